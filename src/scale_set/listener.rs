//! The listener of one scale set: the one who holds its session, for weeks, whatever happens to it.
//!
//! Resolve (the set by group and name) -> open (its session) -> serve (its messages) -> and again from the beginning when
//! the session is lost. Nothing but a stop ends it. It tells what it hears to whoever asked it to listen, and waits for
//! nobody: what is counted is safe once it is told, since a session that is opened anew begins with the full counts. What
//! is on offer and can't be acquired yet is remembered here alone; a session that is opened anew looks for it in the
//! service's list.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::watch;

use super::client::Client;
use super::error::{Error, ErrorKind};
use super::message::Message;
use super::model::ScaleSet;
use super::offers::Offers;
use super::room::{ARRIVES_WITHIN, Room};
use super::session::{Polled, Session};
use crate::engine::Statistics;
use crate::github;

/// A message that could not be read so often in a row is acknowledged unread: what it said, the next counts say too.
const READS: u32 = 5;
/// How long the message in hand may take when it is to stop: what isn't acknowledged comes again to the next listener.
const FINISHES_WITHIN: Duration = Duration::from_secs(8);
/// A queue that has a message gives it within so long, however far away it is: one that comes later was written after it
/// was asked for.
const ANSWERS_WITHIN: Duration = Duration::from_millis(250);
/// What an answer may take beyond two others.
const JITTER: Duration = Duration::from_millis(10);
/// A session that somebody else holds for so long is no left-over of a process that died.
const HELD_FOR_LONG: Duration = Duration::from_mins(5);
/// So many polls in a row have failed, or acknowledgements of one message, and for long, where a queue is given up.
const POLLS_FAIL: u32 = 5;
/// Refusals in a row after which no more is asked for until the pause is over.
const REFUSALS: u32 = 2;
/// How often it is said again that somebody else holds the session.
const SAID_AGAIN: Duration = Duration::from_mins(10);

/// How long is waited before something is tried again.
#[derive(Clone, Copy, Debug)]
pub struct Pauses {
    /// After the first failure; it doubles with each, with jitter.
    pub first: Duration,
    /// After many.
    pub longest: Duration,
    /// After many refusals of the credentials.
    pub refused: Duration,
    /// While another session is open: its idle time, at most, has to pass.
    pub held: Duration,
    /// A queue whose polls all failed for so long, or that let a message not be acknowledged, is given up, and another session
    /// is opened.
    pub given_up: Duration,
    /// Jobs that are counted as on offer, and whose offers did not come for so long, are looked for; and then so often.
    pub offers: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_mins(1),
            refused: Duration::from_mins(5),
            held: Duration::from_secs(12),
            given_up: Duration::from_mins(3),
            offers: Duration::from_secs(30),
        }
    }
}

impl Pauses {
    /// Returns the pause after so many failures in a row.
    fn after(&self, failures: u32, error: ErrorKind) -> Duration {
        let longest = if is_refusal(error) { self.refused } else { self.longest };
        let pause = self.first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(longest);
        let pause = pause.mul_f64(0.5 + fastrand::f64() / 2.0);
        match error {
            ErrorKind::Throttled { until: Some(until) }
            | ErrorKind::Github(github::ErrorKind::RateLimited { until: Some(until) }) => {
                let asked = Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default();
                pause.max(asked.min(Duration::from_hours(1)))
            }
            _ => pause,
        }
    }
}

fn is_refusal(error: ErrorKind) -> bool {
    use github::ErrorKind as Rest;
    matches!(
        error,
        ErrorKind::Unauthorized | ErrorKind::Forbidden | ErrorKind::Github(Rest::Unauthorized | Rest::Forbidden)
    )
}

/// What a listener hears.
#[derive(Debug)]
pub enum Heard {
    /// The session is open.
    Opened {
        /// The set, as it is now.
        scale_set: ScaleSet,
        /// Its counts.
        statistics: Statistics,
    },
    /// The queue's token was renewed.
    Refreshed,
    /// The session is gone; another is opened at once.
    Lost(Error),
    /// Somebody else holds the set's session, or we do by a process that died; it is tried again.
    Held {
        /// What the service said.
        why: Error,
        /// For how long that has been so.
        since: Duration,
    },
    /// The set could not be found, or its session not be opened, for another reason; it is tried again.
    Unavailable(String),
    /// A poll ended without news.
    Idle,
    /// Less is announced by now than was: what it doesn't need any more may be lent to others.
    Returned,
    /// A poll was answered with nothing at all, so often in a row: nobody knows whether there is news.
    Silence(u32),
    /// A message, before anything is done about it.
    Message {
        /// The message.
        message: Message,
        /// It was written no earlier; `None`: nobody knows.
        written_after: Option<Instant>,
    },
    /// So many jobs of those on offer were acquired.
    Acquired {
        /// What was asked for.
        asked: usize,
        /// What was granted.
        granted: usize,
    },
    /// A poll, an acquisition or an acknowledgement failed; it is tried again.
    Trouble(Error),
    /// So many jobs are counted as on offer, there is room for them, and the service's list of offers shows none.
    Unlisted(u64),
    /// A message could not be read, time and again, and was acknowledged unread.
    Poison {
        /// Its id.
        id: i64,
        /// What is wrong with it.
        why: Error,
    },
    /// The session was closed, since the process ends; or could not be.
    Closed(Option<Error>),
}

/// One scale set's listener.
#[derive(Debug)]
pub struct Listener {
    /// The Actions Service.
    pub client: Arc<Client>,
    /// The set's runner group, by name.
    pub group: String,
    /// The set's name.
    pub name: String,
    /// Whom the service names to others who try to open the session.
    pub owner: String,
    /// How many jobs it may have at once: what polls announce, and what is acquired up to. It may change at any time.
    pub room: Arc<Room>,
    /// How long is waited before something is tried again.
    pub pauses: Pauses,
}

/// Why serving ended.
enum End {
    Stopped,
    Lost,
}

/// How a message came.
#[derive(Clone, Copy, Debug)]
struct Reading {
    /// For the first time.
    is_news: bool,
    /// So often that it is acknowledged though what it offers can't be acquired.
    gives_up: bool,
    /// It was written no earlier; `None`: nobody knows.
    written_after: Option<Instant>,
}

/// What has gone wrong in a row, over any number of sessions: only a poll that was answered, and whose message was
/// acknowledged, ends it.
#[derive(Debug, Default)]
struct Trouble {
    failures: u32,
    /// Polls that were answered with nothing at all.
    silences: u32,
}

/// The requests of a kind that have failed in a row: when the first was sent, and how many.
#[derive(Debug, Default)]
struct Failing(Option<(Instant, u32)>);

/// The acknowledgements of one message that have failed in a row.
#[derive(Debug, Default)]
struct Unacknowledged {
    id: i64,
    failing: Failing,
}

impl Unacknowledged {
    /// Hears what came of an acknowledgement.
    fn hear(&mut self, id: i64, acknowledged: &Result<(), Error>, asked: Instant) {
        if self.id != id {
            *self = Self { id, ..Self::default() };
        }
        match acknowledged {
            Ok(()) => self.failing = Failing::default(),
            Err(why) => self.failing.count(why, asked),
        }
    }
}

impl Failing {
    /// Hears what came of a poll; nothing, where it was given up for something else.
    fn hear(&mut self, polled: Option<&Result<Polled, Error>>, asked: Instant) {
        match polled {
            Some(Err(why)) => self.count(why, asked),
            // One that was given up later was held, as where all is well.
            None if asked.elapsed() < ANSWERS_WITHIN => {}
            Some(Ok(_)) | None => self.0 = None,
        }
    }

    /// Counts a failure; one who is to ask later has not failed.
    fn count(&mut self, why: &Error, asked: Instant) {
        if !matches!(why.kind, ErrorKind::Throttled { .. }) {
            self.0.get_or_insert((asked, 0)).1 += 1;
        }
    }

    fn is_for(&self, time: Duration) -> bool {
        self.0.is_some_and(|(since, times)| since.elapsed() >= time && times >= POLLS_FAIL)
    }
}

impl Listener {
    /// Listens until `stop` is true; then the message in hand is finished, and the session closed.
    pub async fn run(&self, mut stop: watch::Receiver<bool>, hear: impl Fn(Heard)) {
        let mut trouble = Trouble::default();
        while let Some((session, took)) = self.open(&mut trouble, &mut stop, &hear).await {
            let end = self.serve(&session, took, &mut trouble, &mut stop, &hear).await;
            // Were it not closed, a new one would be refused until it has idled out.
            let closed = session.close().await;
            self.room.close();
            match end {
                End::Lost => {
                    if let Err(error) = closed {
                        tracing::debug!(%error, "a lost session could not be closed");
                    }
                    trouble.failures += 1;
                    // One that is lost now and then is opened anew at once; one that never serves is not hammered.
                    if trouble.failures > 1 {
                        wait(self.pauses.after(trouble.failures, ErrorKind::SessionExpired), &mut stop).await;
                    }
                }
                End::Stopped => return hear(Heard::Closed(closed.err())),
            }
        }
    }

    /// Opens the set's session, however long that takes; returns how long the request for it took, too. `None`: it is to
    /// stop.
    async fn open(
        &self,
        trouble: &mut Trouble,
        stop: &mut watch::Receiver<bool>,
        hear: &impl Fn(Heard),
    ) -> Option<(Session, Duration)> {
        let mut held: Option<(Instant, Instant)> = None;
        let mut resolved = None;
        loop {
            if *stop.borrow() {
                return None;
            }
            let connects = self.client.connects();
            // Not given up half-way: a session that is opened and not known of would have to idle out.
            let opened = match resolved.take() {
                None => self.try_open(&mut resolved).await,
                Some(scale_set) => self.open_of(&mut resolved, scale_set).await,
            };
            let pause = match opened {
                Ok((session, took, scale_set)) => {
                    hear(Heard::Opened { scale_set, statistics: session.statistics() });
                    return Some((session, took));
                }
                Err(NotOpened::Missing(why)) => {
                    trouble.failures += 1;
                    hear(Heard::Unavailable(why));
                    self.pauses.after(trouble.failures, ErrorKind::ScaleSetNotFound)
                }
                Err(NotOpened::Refused(why)) if why.kind == ErrorKind::SessionConflict => {
                    let (since, said) = held.unwrap_or_else(|| (Instant::now(), Instant::now()));
                    let is_news = held.is_none()
                        || (since.elapsed() >= HELD_FOR_LONG && said.duration_since(since) < HELD_FOR_LONG)
                        || said.elapsed() >= SAID_AGAIN;
                    if is_news {
                        hear(Heard::Held { why, since: since.elapsed() });
                    }
                    held = Some((since, if is_news { Instant::now() } else { said }));
                    self.pauses.held.mul_f64(0.8 + fastrand::f64() * 0.4)
                }
                Err(NotOpened::Refused(why)) => {
                    // GitHub was left alone: what it said before is no failure more.
                    let is_repeated = matches!(why.kind, ErrorKind::Github(_)) && self.client.connects() == connects;
                    trouble.failures += u32::from(!is_repeated);
                    let pause = self.pauses.after(trouble.failures, why.kind);
                    hear(Heard::Unavailable(why.to_string()));
                    pause
                }
            };
            wait(pause, stop).await;
        }
    }

    /// Finds the set anew, since one that was made again under its name has another id, and opens its session.
    async fn try_open(&self, resolved: &mut Option<ScaleSet>) -> Result<(Session, Duration, ScaleSet), NotOpened> {
        let Some(group) = self.client.runner_group(&self.group).await? else {
            return Err(NotOpened::Missing(format!("there is no runner group `{}`", self.group)));
        };
        let Some(scale_set) = self.client.find(group.id, &self.name).await? else {
            let said = format!("there is no scale set `{}` in runner group `{}`", self.name, self.group);
            return Err(NotOpened::Missing(said));
        };
        self.open_of(resolved, scale_set).await
    }

    /// Opens the session of a set. Where somebody else has it, it is the right set: it need not be found again.
    async fn open_of(
        &self,
        resolved: &mut Option<ScaleSet>,
        scale_set: ScaleSet,
    ) -> Result<(Session, Duration, ScaleSet), NotOpened> {
        let asked = Instant::now();
        match Session::open(self.client.clone(), scale_set.id, &self.owner).await {
            Ok(session) => Ok((session, asked.elapsed(), scale_set)),
            Err(why) => {
                *resolved = (why.kind == ErrorKind::SessionConflict).then_some(scale_set);
                Err(NotOpened::Refused(why))
            }
        }
    }

    /// Polls; `None` where what is lent changes, and the poll must not go on as it is, or where it is time to acquire what
    /// was put off. A poll that is given up loses nothing: what it would have brought is not acknowledged.
    async fn poll(
        &self,
        session: &Session,
        cursor: i64,
        due_at: Option<Instant>,
        hear: &impl Fn(Heard),
    ) -> Option<Result<Polled, Error>> {
        let (capacity, returns_some) = self.room.announce();
        let mut poll = std::pin::pin!(session.poll(cursor, capacity));
        if returns_some {
            tokio::select! {
                biased;
                polled = &mut poll => return Some(polled),
                () = self.room.changed() => return None,
                () = tokio::time::sleep(ARRIVES_WITHIN) => hear(Heard::Returned),
            }
        }
        tokio::select! {
            biased;
            polled = poll => Some(polled),
            () = self.room.changed() => None,
            () = until(due_at) => None,
        }
    }

    async fn serve(
        &self,
        session: &Session,
        took: Duration,
        trouble: &mut Trouble,
        stop: &mut watch::Receiver<bool>,
        hear: &impl Fn(Heard),
    ) -> End {
        let mut cursor = 0;
        let mut told = None;
        let mut offers = Offers::of(session.statistics());
        // Messages come in the order in which they were written. What was written before the session nobody knows.
        let mut written_after = None;
        let mut answers_within = answers_after(took);
        let mut renewals = session.renewals();
        let mut unread = (None, 0);
        // After trouble messages may have waited, and what they count was so then.
        let mut is_late = trouble.failures > 0;
        let mut failing = Failing::default();
        let mut unacknowledged = Unacknowledged::default();
        loop {
            let asked = Instant::now();
            self.tell_room(&offers, 0);
            let due_at = offers.due_at(self.room.beside(offers.taken()));
            let polled = tokio::select! {
                biased;
                () = stopped(stop) => return End::Stopped,
                polled = self.poll(session, cursor, due_at, hear) => polled,
            };
            failing.hear(polled.as_ref(), asked);
            if session.renewals() != renewals {
                renewals = session.renewals();
                hear(Heard::Refreshed);
            }
            let result = match polled {
                None => {
                    let acquiring = self.acquire(session, &mut offers, true, hear);
                    let Some(acquired) = finished(acquiring, stop).await else { return End::Stopped };
                    acquired
                }
                Some(Ok(Polled::Nothing)) => {
                    *trouble = Trouble::default();
                    // Behind what is acknowledged there is nothing: whatever was answered, it is.
                    unacknowledged = Unacknowledged::default();
                    is_late = false;
                    written_after = Instant::now().checked_sub(answers_within);
                    hear(Heard::Idle);
                    // Whoever answers at once, time and again, is not asked time and again.
                    wait(self.pauses.first.saturating_sub(asked.elapsed()), stop).await;
                    // There may be room by now.
                    let acquiring = self.acquire(session, &mut offers, true, hear);
                    let Some(acquired) = finished(acquiring, stop).await else { return End::Stopped };
                    acquired
                }
                Some(Ok(Polled::Empty)) => {
                    is_late = true;
                    trouble.silences += 1;
                    hear(Heard::Silence(trouble.silences));
                    wait(self.pauses.first, stop).await;
                    continue;
                }
                Some(Ok(Polled::Message(mut message))) => {
                    unread = (None, 0);
                    let is_news = told != Some(message.id);
                    told = Some(message.id);
                    // One that was waited for has just been written; and so it is told in a busy set, too, where none is
                    // waited for for long. Just after trouble a connection has to be made anew, which takes time, too.
                    let waited = if trouble.failures > 0 { self.pauses.first } else { ANSWERS_WITHIN };
                    is_late &= asked.elapsed() < waited;
                    if asked.elapsed() >= answers_within {
                        written_after = Instant::now().checked_sub(answers_within);
                    }
                    offers.hear(&message, asked.elapsed() < self.pauses.first);
                    if is_late {
                        message.statistics = None;
                    }
                    let gives_up = trouble.failures >= READS;
                    let reading = Reading { is_news, gives_up, written_after };
                    let receiving = self.receive(session, *message, &mut offers, reading, &mut unacknowledged, hear);
                    let began = Instant::now();
                    let Some(received) = finished(receiving, stop).await else { return End::Stopped };
                    if received.is_ok() {
                        answers_within = answers_after(began.elapsed());
                        *trouble = Trouble::default();
                    }
                    // It was acknowledged before, and comes all the same.
                    let pause = if received.is_ok() && !is_news { self.pauses.first } else { Duration::ZERO };
                    wait(pause, stop).await;
                    received.map(|id| cursor = id)
                }
                Some(Ok(Polled::Unreadable { id, why })) => {
                    let unreadable = self.unreadable(session, (id, why), &mut unread, &mut unacknowledged, stop, hear);
                    match unreadable.await {
                        Ok(acknowledged) => acknowledged.map(|id| cursor = id),
                        Err(end) => return end,
                    }
                }
                Some(Err(why)) => Err(why),
            };
            if let Err(why) = result {
                let given_up = self.pauses.given_up;
                let is_dead = failing.is_for(given_up) || unacknowledged.failing.is_for(given_up);
                if is_dead || why.kind == ErrorKind::SessionExpired || why.kind == ErrorKind::ScaleSetNotFound {
                    hear(Heard::Lost(why));
                    return End::Lost;
                }
                trouble.failures += 1;
                is_late = true;
                let pause = self.pauses.after(trouble.failures, why.kind);
                hear(Heard::Trouble(why));
                wait(pause, stop).await;
            }
        }
    }

    /// Lets a message that can't be read come some times more, and then acknowledges it unread; returns the cursor behind it.
    async fn unreadable(
        &self,
        session: &Session,
        (id, why): (Option<i64>, Error),
        unread: &mut (Option<i64>, u32),
        unacknowledged: &mut Unacknowledged,
        stop: &mut watch::Receiver<bool>,
        hear: &impl Fn(Heard),
    ) -> Result<Result<i64, Error>, End> {
        *unread = (id, if unread.0 == id { unread.1 + 1 } else { 1 });
        if unread.1 < READS {
            return Ok(Err(why));
        }
        let Some(id) = id else {
            // Nobody can say what to acknowledge: another session may be told something else.
            hear(Heard::Lost(why));
            return Err(End::Lost);
        };
        *unread = (None, 0);
        hear(Heard::Poison { id, why });
        let asked = Instant::now();
        let acknowledged = finished(session.acknowledge(id), stop).await.ok_or(End::Stopped)?;
        unacknowledged.hear(id, &acknowledged, asked);
        Ok(acknowledged.map(|()| id))
    }

    /// Tells of a message, acquires what it offers as far as there may be runners for it, and acknowledges it; returns the
    /// cursor behind it. One that is not acknowledged comes again, as it was: what it counts is no news then.
    async fn receive(
        &self,
        session: &Session,
        message: Message,
        offers: &mut Offers,
        reading: Reading,
        unacknowledged: &mut Unacknowledged,
        hear: &impl Fn(Heard),
    ) -> Result<i64, Error> {
        let id = message.id;
        if reading.is_news {
            hear(Heard::Message { message, written_after: reading.written_after });
        }
        self.acquire(session, offers, reading.gives_up, hear).await?;
        let asked = Instant::now();
        let acknowledged = session.acknowledge(id).await;
        unacknowledged.hear(id, &acknowledged, asked);
        acknowledged.map(|()| id)
    }

    /// Acquires what is on offer, as far as there may be runners for it. With `gives_up` what can't be had is put off, and
    /// nothing waits for it.
    async fn acquire(
        &self,
        session: &Session,
        offers: &mut Offers,
        gives_up: bool,
        hear: &impl Fn(Heard),
    ) -> Result<(), Error> {
        self.look_for_offers(offers, session, hear).await;
        let mut refusals = 0;
        loop {
            let asked = offers.wanted(self.room.beside(offers.taken()), Instant::now());
            self.tell_room(offers, asked.len());
            if asked.is_empty() {
                return Ok(());
            }
            match session.acquire(&asked).await {
                Ok(granted) => {
                    refusals = 0;
                    offers.answered(&asked, &granted);
                    self.tell_room(offers, 0);
                    hear(Heard::Acquired { asked: asked.len(), granted: granted.len() });
                }
                // Jobs that are not to be had must not keep others from being heard of.
                Err(why) if is_final(why.kind) || gives_up => {
                    refusals += 1;
                    let pause = |times| self.pauses.after(times, why.kind);
                    offers.put_off(&asked, Instant::now(), pause);
                    if refusals == REFUSALS {
                        offers.put_off_all(Instant::now(), pause);
                    }
                    let is_refused = is_final(why.kind);
                    hear(Heard::Trouble(why));
                    // Granted all the same, they come with the next counts: nothing more is asked for before.
                    if !is_refused {
                        return Ok(());
                    }
                }
                // Granted or not: nobody knows before it is asked again.
                Err(why) => return Err(why),
            }
        }
    }

    /// Looks for what is counted as on offer, and whose offers never came or were forgotten.
    async fn look_for_offers(&self, offers: &mut Offers, session: &Session, hear: &impl Fn(Heard)) {
        if !offers.lacks_some(self.room.beside(offers.taken()), Instant::now(), self.pauses.offers) {
            return;
        }
        let listed = self.client.acquirable_jobs(session.scale_set()).await;
        let look_at = Instant::now() + self.pauses.offers;
        match listed {
            Ok(listed) => {
                let listed = listed.into_iter().map(|job| job.runner_request_id).filter(|id| *id != 0).collect();
                if let Some(available) = offers.found(listed, look_at) {
                    hear(Heard::Unlisted(available));
                }
            }
            Err(why) => {
                offers.look_again(look_at);
                hear(Heard::Trouble(why));
            }
        }
    }

    /// Notes how many jobs the set has, so many included that are being asked for.
    fn tell_room(&self, offers: &Offers, asked: usize) {
        self.room.take(offers.taken().saturating_add(asked as u64), offers.count().saturating_sub(asked));
    }
}

/// Returns how long an answer may take that is given at once, where another took so long.
fn answers_after(took: Duration) -> Duration {
    took.saturating_mul(2).saturating_add(JITTER).min(ANSWERS_WITHIN)
}

/// Returns whether a refusal says that asking again is no use.
fn is_final(error: ErrorKind) -> bool {
    matches!(
        error,
        ErrorKind::Refused | ErrorKind::NotFound | ErrorKind::Forbidden | ErrorKind::Protocol | ErrorKind::RunnerExists
    )
}

/// Why no session was opened.
enum NotOpened {
    /// There is nothing to open it at.
    Missing(String),
    /// The service refused, or could not be asked.
    Refused(Error),
}

impl From<Error> for NotOpened {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

/// Returns what comes of a message in hand; `None` where it is to stop, and the service has its time for it.
async fn finished<T>(work: impl Future<Output = T>, stop: &mut watch::Receiver<bool>) -> Option<T> {
    let mut work = std::pin::pin!(work);
    tokio::select! {
        biased;
        done = &mut work => return Some(done),
        () = stopped(stop) => {}
    }
    tokio::time::timeout(FINISHES_WITHIN, work).await.ok()
}

/// Waits, but no longer than until it is to stop.
async fn wait(pause: Duration, stop: &mut watch::Receiver<bool>) {
    tokio::select! {
        () = tokio::time::sleep(pause) => {}
        () = stopped(stop) => {}
    }
}

/// Returns when a time has come; never, if there is none.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Returns when it is to stop: also when nobody is left who could say so.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|is_stopping| *is_stopping).await);
}
