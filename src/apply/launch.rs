//! Launching, at most once and without a lock: GitHub first, EC2 second.
//!
//! 1. Register a runner under its slot's name. GitHub refuses a taken name with 409, and that is the lock: between any
//!    number of hosts only one gets the record, and `max` slots can never become more than `max` runners.
//! 2. Launch an instance for that record. The client token is derived from the record's id and the whole request, so a
//!    repetition launches nothing, and nobody else can send that request at all.
//!
//! A crash between the two leaves a record that costs nothing. Where this host's memory shows that no order was ever
//! sent for it, the next run on this host undoes it; else whoever runs reaps it after the launch window. Neither call is
//! repeated blindly: a lost answer of the first is looked up by its nonce, and the second is only ever repeated
//! with the same token.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;

use super::{ENDING, Executor, Lessons, Outcome, PoolSettings, Result, UNDONE};
use crate::ages::{age, short};
use crate::ec2::{self, ErrorClass};
use crate::engine::{
    Action, LAUNCH_WINDOW, Label, Market, Offering, PoolName, RunnerId, RunnerName, SUPPLY_LASTS, Slot, Step,
    birth_label,
};
use crate::github::{self, ErrorKind};
use crate::services::{
    Birthmark, Clock, Instances, Launched, Note, Place, Registered, Registration, RunInstance, RunnerRecords, Unordered,
};

/// After so many registrations in a row that GitHub did not answer, a pool's others wait for the next run.
const UNANSWERED: u32 = 3;
/// Sends of a request that EC2 refused for what may pass, its pace aside.
const REFUSALS: u32 = 2;
/// Offerings of each market that are tried for one runner in one run.
const OFFERINGS_TRIED: usize = 6;
/// Times that one request is sent, the first included.
const SENDS: u32 = 5;
/// The longest pause between two sends of one request.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);
/// How long a launch that sleeps may take to notice that it is to stop.
const WAKES_WITHIN: Duration = Duration::from_secs(1);
/// A launch is never sent later than this after its registration: its record could be reaped as an orphan.
const LATEST_SEND: Duration = LAUNCH_WINDOW.saturating_sub(Duration::from_mins(1));

/// The record that a launch holds.
struct Held {
    id: RunnerId,
    jit_config: SecretString,
    since: Timestamp,
    /// Stands while nothing is ordered for it.
    note: Box<dyn Note>,
}

/// Why a launch gave up its record, or left it.
enum GaveUp {
    /// Nothing was launched, and never will be with this record.
    Surely(String),
    /// The same, since the process ends.
    Ending,
    /// Something may have been launched: the record must stay, and the next observation decides.
    Perhaps(String),
}

impl<R: RunnerRecords, I: Instances, C: Clock> Executor<'_, R, I, C> {
    /// Carries out one launch.
    pub(super) async fn launch(&self, action: &Action, lessons: &RefCell<Lessons>) -> Outcome {
        let Step::Launch { offerings, source } = &action.step else { return self.failed(action, "no launch") };
        let (Some(name), Some(slot)) = (&action.runner, action.slot) else {
            return self.failed(action, "a launch needs a name and a slot");
        };
        let Some(settings) = self.pools.get(&action.pool) else {
            return self.failed(action, format!("pool `{}` has no launch settings", action.pool));
        };
        if (self.is_stopping)() {
            return self.skipped(action, ENDING);
        }
        if settings.place.source() != *source {
            return self.failed(action, "it would be registered where its jobs are not");
        }
        if let Some(why) = lessons.borrow().against(action) {
            return self.skipped(action, why);
        }
        let since_seen = self.since_seen(lessons);
        if since_seen > SUPPLY_LASTS {
            return self
                .skipped(action, format!("the supply was read {} ago: its slot may be taken", short(since_seen)));
        }
        let mut held = match self.register(action, name, settings, lessons).await {
            Ok(held) => held,
            Err(outcome) => return Outcome { is_refused: lessons.borrow().has_refused(&outcome), ..*outcome },
        };
        let outcome = match self.buy(action, name, slot, &mut held, offerings, lessons).await {
            Ok(outcome) => outcome,
            Err(GaveUp::Perhaps(why)) => {
                let others = not_tried("EC2 has not answered the pool's launches");
                lessons.borrow_mut().closed.entry(action.pool.clone()).or_insert(others);
                self.failed(action, format!("{why}; its registration is left for the next run to judge")).remaining()
            }
            Err(gave_up @ (GaveUp::Surely(_) | GaveUp::Ending)) => {
                let undone = self.runners.undo(held.id, *source).await;
                if undone.is_ok() {
                    taken_away(held.note);
                }
                match (gave_up, undone) {
                    (GaveUp::Surely(why), Ok(_)) => self.failed(action, why),
                    (_, Ok(_)) => self.skipped(action, UNDONE),
                    // The note stays, and the next look undoes it.
                    (gave_up, Err(error)) => {
                        let why = if let GaveUp::Surely(why) = gave_up { why } else { "the process ends".to_owned() };
                        self.failed(action, format!("{why}; its registration is left, since {error}")).remaining()
                    }
                }
            }
        };
        let lessons = lessons.borrow();
        let better = offerings.iter().take_while(|offering| Some(*offering) != outcome.offering.as_ref());
        let no_capacity = better.filter(|offering| lessons.is_hopeless(offering)).cloned().collect();
        let is_refused = lessons.has_refused(&outcome);
        Outcome { runner_id: Some(held.id), no_capacity, is_refused, ..outcome }
    }

    // --- GitHub ----------------------------------------------------------------------------------------------------

    async fn register(
        &self,
        action: &Action,
        name: &RunnerName,
        settings: &PoolSettings,
        lessons: &RefCell<Lessons>,
    ) -> std::result::Result<Held, Box<Outcome>> {
        let since = self.clock.now();
        let mut place = settings.place.clone();
        // Only a registration with labels can say whose it is.
        let mine = match &mut place {
            Place::Group { labels, .. } => {
                let mine = birth_label(since, (self.nonce)());
                labels.push(mine.clone());
                Some(mine)
            }
            Place::ScaleSet(_) => None,
        };
        let noted = |mark| self.memory.note(Unordered { name: name.clone(), mark });
        let note = mine.clone().map(Birthmark::Label).map(noted);
        let mine = mine.as_ref();
        let registration = Registration { name: name.clone(), place };
        let outcome = match self.runners.register(&registration).await {
            Ok(Registered::New { runner_id: id, jit_config }) => {
                lessons.borrow_mut().learn_of_registration(&action.pool, true);
                let note = note.unwrap_or_else(|| noted(Birthmark::Id(id)));
                return Ok(Held { id, jit_config, since, note });
            }
            Ok(Registered::NameTaken) => match self.undo_registration(name, mine).await {
                // Do not slide to the next slot: two hosts that want k runners would launch 2k.
                Ok(false) => self.skipped(action, format!("`{name}` is registered already: a peer is at work")),
                Ok(true) => self.failed(action, format!("`{name}` was registered, but its key was lost; undone")),
                Err(error) => self.failed(action, error.to_string()).remaining(),
            },
            Err(error) => self.registration_failed(action, name, mine, &error, lessons).await,
        };
        // One that may have come to be, or may still, is undone by the next look.
        note.filter(|_| !outcome.may_remain).into_iter().for_each(taken_away);
        Err(Box::new(outcome))
    }

    async fn registration_failed(
        &self,
        action: &Action,
        name: &RunnerName,
        mine: Option<&Label>,
        error: &github::Error,
        lessons: &RefCell<Lessons>,
    ) -> Outcome {
        match error.kind {
            ErrorKind::Unauthorized => {
                lessons.borrow_mut().halted = Some(not_tried("GitHub refused the credentials"));
            }
            ErrorKind::Forbidden
            | ErrorKind::NotFound
            | ErrorKind::Unprocessable
            | ErrorKind::RateLimited { .. }
            | ErrorKind::OverBudget => {
                let why = not_tried("GitHub refused to register a runner");
                lessons.borrow_mut().closed.insert(action.pool.clone(), why);
            }
            // The answer was lost, and the record may be there: its key is gone with the answer, so it must go too.
            ErrorKind::Server { .. }
            | ErrorKind::Transport
            | ErrorKind::Protocol
            | ErrorKind::Conflict
            | ErrorKind::Unexpected => {
                lessons.borrow_mut().learn_of_registration(&action.pool, false);
                if mine.is_none() {
                    let why = format!("{error}; a registration is left for the next run to judge");
                    return self.failed(action, why).remaining();
                }
                return match self.undo_registration(name, mine).await {
                    Ok(true) => self.failed(action, format!("{error}; the registration was undone")),
                    // GitHub may still be at it.
                    Ok(false) => self.failed(action, error.to_string()).remaining(),
                    Err(second) => {
                        self.failed(action, format!("{error}; and it could not be looked up: {second}")).remaining()
                    }
                };
            }
        }
        Outcome { request_id: error.request_id.clone(), ..self.failed(action, error.to_string()) }
    }

    /// Deletes the record of a name if it carries our birth label; returns whether it did.
    async fn undo_registration(
        &self,
        name: &RunnerName,
        mine: Option<&Label>,
    ) -> std::result::Result<bool, github::Error> {
        let Some(mine) = mine else { return Ok(false) };
        match self.runners.runner_named(name).await? {
            Some(runner) if runner.labels.contains(mine) => self.runners.remove(runner.id).await.map(|_| true),
            Some(_) | None => Ok(false),
        }
    }

    // --- EC2 -------------------------------------------------------------------------------------------------------

    /// Goes through the offerings until one is bought.
    async fn buy(
        &self,
        action: &Action,
        name: &RunnerName,
        slot: Slot,
        held: &mut Held,
        offerings: &[Offering],
        lessons: &RefCell<Lessons>,
    ) -> std::result::Result<Outcome, GaveUp> {
        let mut last = "no offering has capacity".to_owned();
        // By market: where spot has more places than are tried, on-demand has its turn all the same.
        let mut tried: BTreeMap<Market, usize> = BTreeMap::new();
        for offering in offerings {
            let tried = tried.entry(offering.market).or_default();
            if lessons.borrow().is_hopeless(offering) || *tried == OFFERINGS_TRIED {
                continue;
            }
            *tried += 1;
            let request = RunInstance {
                pool: action.pool.clone(),
                slot,
                name: name.clone(),
                runner_id: held.id,
                offering: offering.clone(),
                jit_config: held.jit_config.clone(),
            };
            match self.send(&request, held, lessons).await? {
                Ok((launched, client_token)) => {
                    return Ok(Outcome {
                        instance_id: Some(launched.instance_id),
                        request_id: launched.request_id,
                        offering: Some(offering.clone()),
                        client_token: Some(client_token),
                        ..self.outcome(action, Result::Done)
                    });
                }
                Err(error) => {
                    held.note.set();
                    self.listener.refused(&error.code);
                    last = error.to_string();
                    match error.class {
                        ErrorClass::NextOffering => drop(lessons.borrow_mut().exhausted.insert(offering.clone())),
                        ErrorClass::NextSubnet => {
                            lessons.borrow_mut().full_subnets.insert(offering.subnet.clone());
                        }
                        ErrorClass::NextMarket => {
                            lessons.borrow_mut().full_markets.insert(offering.market);
                        }
                        ErrorClass::Credentials if !error.is_denied() => {
                            lessons.borrow_mut().halted = Some(not_tried("EC2 refused the credentials"));
                            return Err(GaveUp::Surely(last));
                        }
                        ErrorClass::Credentials | ErrorClass::Quota | ErrorClass::Configuration | ErrorClass::Retry => {
                            let why = not_tried(&format!("EC2 refused the pool's first launches with {}", error.code));
                            lessons.borrow_mut().closed.insert(action.pool.clone(), why);
                            return Err(GaveUp::Surely(last));
                        }
                        ErrorClass::TokenSpent | ErrorClass::InstanceMissing | ErrorClass::InstanceRefuses => {
                            return Err(GaveUp::Surely(last));
                        }
                        ErrorClass::TokenMismatch => {
                            return Err(GaveUp::Perhaps(last));
                        }
                    }
                }
            }
        }
        Err(GaveUp::Surely(last))
    }

    /// Sends one request until it has an answer that means something; every send carries the same token.
    ///
    /// The inner error is a refusal: nothing was launched by this request. The note that nothing was ordered stands
    /// whenever that is certain, and never while a send may be under way.
    async fn send(
        &self,
        request: &RunInstance,
        held: &mut Held,
        lessons: &RefCell<Lessons>,
    ) -> std::result::Result<std::result::Result<(Launched, String), ec2::Error>, GaveUp> {
        let token = self.instances.client_token(request).map_err(|error| GaveUp::Surely(error.to_string()))?;
        let mut unanswered = None;
        for nth in 1..=SENDS {
            // First, since it may ask EC2 something: what has its turn is sent at once.
            let prepared = self.instances.prepare(request).await;
            let is_sent = prepared.is_ok();
            let now = self.clock.now();
            let wait = if is_sent { self.paces.borrow_mut().launching.take(1, now) } else { Duration::ZERO };
            self.rest(wait, unanswered.is_none()).await;
            // A launch that has only slept, and of which nothing is ordered, doesn't keep a process from its end.
            if unanswered.is_none() && (nth > 1 || !wait.is_zero()) && (self.is_stopping)() {
                return Err(GaveUp::Ending);
            }
            if age(self.clock.now(), held.since) > LATEST_SEND {
                return match unanswered {
                    Some(why) => self.find(&token, why).await,
                    None => Err(GaveUp::Surely("this process was held up for too long since its registration".into())),
                };
            }
            let answer = match prepared {
                Ok(()) => {
                    held.note.lift().map_err(|error| {
                        GaveUp::Surely(format!("that an instance is ordered could not be kept: {error}"))
                    })?;
                    self.instances.run(request).await
                }
                Err(error) => Err(error),
            };
            match answer {
                Ok(launched) => return Ok(Ok((launched, token))),
                Err(error) if error.class == ErrorClass::TokenMismatch => {
                    // Somebody's request with this token was another. Whatever it launched is this record's instance.
                    return match self.instances.launched_with(&token).await {
                        Ok(Some(instance_id)) => {
                            Ok(Ok((Launched { instance_id, request_id: error.request_id }, token)))
                        }
                        Ok(None) | Err(_) => Err(GaveUp::Perhaps(error.to_string())),
                    };
                }
                Err(error) if error.class == ErrorClass::Retry => {
                    if nth < SENDS || unanswered.is_some() {
                        self.listener.refused(&error.code);
                    }
                    // A call that was refused did nothing; after any other of this class EC2 may have launched and not said so.
                    if is_sent {
                        if error.is_throttle() {
                            self.paces.borrow_mut().launching.throttled(self.clock.now());
                        } else if !error.is_refusal() {
                            unanswered = Some(error.to_string());
                        }
                    }
                    if unanswered.is_none() {
                        held.note.set();
                    }
                    if nth == SENDS || nth == REFUSALS && error.is_refusal() && !error.is_throttle() {
                        return match unanswered {
                            Some(why) => self.find(&token, why).await,
                            None => Ok(Err(error)),
                        };
                    }
                    self.rest(self.pause(nth), unanswered.is_none()).await;
                }
                // EC2 looks at who asks before it looks at the token: an unanswered send may have launched all the same.
                Err(error) if error.class == ErrorClass::Credentials && unanswered.is_some() => {
                    if !error.is_denied() {
                        lessons.borrow_mut().halted = Some(not_tried("EC2 refused the credentials"));
                    }
                    return Err(GaveUp::Perhaps(error.to_string()));
                }
                // Nor does it mean anything that somebody else has answered in EC2's place.
                Err(error) if !error.is_ec2s() && unanswered.is_some() => {
                    return Err(GaveUp::Perhaps(error.to_string()));
                }
                // EC2 answers a repetition of a token that launched with that launch: so any other refusal now means that
                // no send before it launched either.
                Err(error) => return Ok(Err(error)),
            }
        }
        Err(GaveUp::Perhaps("no send was answered".into()))
    }

    /// Looks for what a token launched after its answer was lost for good.
    async fn find(
        &self,
        token: &str,
        why: String,
    ) -> std::result::Result<std::result::Result<(Launched, String), ec2::Error>, GaveUp> {
        match self.instances.launched_with(token).await {
            Ok(Some(instance_id)) => Ok(Ok((Launched { instance_id, request_id: None }, token.to_owned()))),
            // EC2 forgets for a minute what it just launched: absence proves nothing.
            Ok(None) | Err(_) => Err(GaveUp::Perhaps(why)),
        }
    }

    /// Sleeps; where it may end, for little longer than until it is to stop.
    async fn rest(&self, pause: Duration, may_end: bool) {
        let mut left = pause;
        while !(left.is_zero() || may_end && (self.is_stopping)()) {
            let part = left.min(WAKES_WITHIN);
            self.clock.sleep(part).await;
            left -= part;
        }
    }

    /// Exponential, with full jitter.
    pub(super) fn pause(&self, nth: u32) -> Duration {
        let bound = Duration::from_secs(1).saturating_mul(1 << nth.min(5)).min(LONGEST_PAUSE);
        let bound = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis((self.nonce)() % bound.max(1))
    }
}

/// Takes a note away whose record is gone, or never was.
fn taken_away(mut note: Box<dyn Note>) {
    if let Err(error) = note.lift() {
        tracing::debug!(%error, "a note of a registration that is gone stays: the next look finds nothing by it");
    }
}

fn not_tried(why: &str) -> String {
    format!("not tried: {why}")
}

impl Lessons {
    /// Returns whether an offering can't be had in this run, by what other launches met.
    fn is_hopeless(&self, offering: &Offering) -> bool {
        self.exhausted.contains(offering)
            || self.full_subnets.contains(&offering.subnet)
            || self.full_markets.contains(&offering.market)
    }

    /// Learns whether GitHub answered to a registration: after some in a row that it didn't, a pool's others wait.
    fn learn_of_registration(&mut self, pool: &PoolName, is_answered: bool) {
        let unanswered = self.unanswered.entry(pool.clone()).or_default();
        *unanswered = if is_answered { 0 } else { *unanswered + 1 };
        if *unanswered >= UNANSWERED {
            let why = not_tried(&format!("GitHub answered none of the last {UNANSWERED} registrations"));
            self.closed.insert(pool.clone(), why);
        }
    }

    /// Returns whether a launch failed for what its pool's others would meet, too.
    fn has_refused(&self, outcome: &Outcome) -> bool {
        outcome.result == Result::Failed && self.closed.contains_key(&outcome.action.pool)
    }

    /// Returns why a launch needn't be tried.
    fn against(&self, action: &Action) -> Option<String> {
        let knows_all = || match &action.step {
            Step::Launch { offerings, .. } => offerings.iter().all(|offering| self.is_hopeless(offering)),
            Step::Deregister { .. } | Step::Terminate { .. } | Step::Mark { .. } => false,
        };
        let no_capacity = || knows_all().then(|| not_tried("no offering has capacity"));
        self.halted.clone().or_else(|| self.closed.get(&action.pool).cloned()).or_else(no_capacity)
    }
}
