//! The loop: what is heard and seen comes here, what follows from it is begun here, and nothing is waited for.

mod heard;
mod launches;
mod lending;
mod reruns;
mod seen;

use std::cell::{Cell, RefCell};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant as StdInstant};

use futures::future::{FusedFuture, LocalBoxFuture, join_all};
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};

use self::lending::Bounds;
use super::Parts;
use super::assigned::Assigned;
use super::event::{Event, Line};
use super::phantoms::Phantoms;
use super::supply::KnownSupply;
use crate::ages::{age, short};
use crate::apply::{Outcome, Paces};
use crate::config::Pool;
use crate::engine::{Policy, PoolName, Source, Statistics};
use crate::github;
use crate::observe::{Found, Listened, Observation, Supply};
use crate::registrar::Registrar;
use crate::rerun::Due;
use crate::scale_set::{Heard, Listener, Room, ScaleSet, ScaleSetId};
use crate::warning::{Warning, WarningCode};

/// How long after a change the supply is looked at, so that a burst of changes costs one look.
const LOOKS_AFTER: Duration = Duration::from_secs(5);
/// How long at least lies between the ends of two looks.
const LOOKS_APART: Duration = Duration::from_secs(15);
/// The same while jobs wait for a slot, or for room among all pools, and a runner has just ended its job: its instance
/// takes some seconds to end, and only a look shows that.
const LOOKS_APART_WHEN_FULL: Duration = Duration::from_secs(5);
/// So many looks a minute come sooner for that than they would, and no more: each reads all runners.
const HURRIED_LOOKS: usize = 4;
/// For how long the end of an instance is looked for after its runner's job.
const ENDS_WITHIN: Duration = Duration::from_mins(1);
/// Counts that were written before the supply was read are asked for anew not more often.
const RECOUNTS_APART: Duration = Duration::from_secs(1);
/// And those that could not be had after so long.
const RECOUNTS_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// The supply is looked at at least so often: half as old as it may be for a launch.
const LOOKS_AT_LEAST: Duration = Duration::from_mins(2);
/// How long an ending process gives to calls that are under way, and to the ends of its sessions. Some seconds are left of
/// the 20 s that are promised: for what is still to be written.
const GRACE: Duration = Duration::from_secs(15);
/// How long nothing is launched at messages in a pool in which a launch failed; it doubles with each failure in a row.
const COOLS_FOR: Duration = Duration::from_secs(5);
const COOLS_FOR_AT_MOST: Duration = Duration::from_mins(1);
/// A warning that stands is said again after so long.
const SAID_AGAIN: Duration = Duration::from_mins(10);
/// How long a scale set may say nothing before its pool's jobs are launched for by the REST API's count: runners that are
/// registered there get none of the jobs that the set has been given.
const STANDS_IN_AFTER: Duration = Duration::from_mins(1);
/// Where looks take turns, one at everything is begun so often beside them, or when the one before is over.
const WHOLE_EVERY: Duration = Duration::from_mins(15);
/// How often the loop shows that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// What the calls that are under way share.
#[derive(Clone, Copy)]
pub(super) struct Shared<'a> {
    pub(super) parts: Parts<'a>,
    pub(super) registrar: &'a Registrar<'a>,
    pub(super) supply: &'a RefCell<KnownSupply>,
    pub(super) paces: &'a RefCell<Paces>,
    pub(super) is_stopping: &'a Cell<bool>,
    /// Held by the look that undoes what was left over.
    pub(super) undoing: &'a Mutex<()>,
}

/// What is known of the sets, and what was said.
pub(super) struct Desk<'a> {
    shared: Shared<'a>,
    policy: Policy,
    /// The pools that are ours to serve, by name.
    chosen: BTreeSet<PoolName>,
    /// Those of them whose scale sets are listened to.
    listening: Vec<&'a Pool>,
    /// Those of them whose sessions are open, and what their sets count.
    served: BTreeMap<PoolName, Served>,
    /// Those of the others of which it is known why, and since when.
    unserved: BTreeMap<PoolName, (Why, Instant)>,
    /// What their sets count and no list shows.
    phantoms: Phantoms,
    /// Pools in which a launch failed: for a while nothing is launched but by whole observations.
    cooling: BTreeMap<PoolName, Cooling>,
    /// Pools whose latest instances never came online.
    in_doubt: BTreeSet<PoolName>,
    /// What the listeners may have jobs for.
    rooms: BTreeMap<PoolName, Arc<Room>>,
    /// What bounds them, by the last plan.
    bounds: Bounds,
    /// What was said, and when.
    said_at: BTreeMap<Essence, Instant>,
    /// When the supply is to be looked at; `None`: when something changes.
    look_at: Option<Instant>,
    /// When it was looked at last.
    looked_at: Option<Instant>,
    /// When a look at everything is to be begun beside the others; `None`: they look at everything themselves, as far as
    /// is known.
    whole_at: Option<Instant>,
    /// When the last one was begun.
    whole_began: Option<Instant>,
    /// When what is known of it had been read.
    read_at: Option<StdInstant>,
    /// Looks of the last minute that came sooner, since jobs wait.
    hurried: Vec<Instant>,
    /// A pool has jobs that wait, and no slot or no room for them, by the last plan.
    has_unmet: bool,
    /// When a runner ended its job last while that was so.
    freed_at: Option<Instant>,
    /// Pools whose queues can't be polled: what their sets count is asked for meanwhile.
    troubled: BTreeSet<PoolName>,
    /// Pools whose latest counts were written before the supply was read, so that nothing can be launched by them.
    /// Each is asked for then.
    to_recount: BTreeMap<PoolName, Instant>,
    recounted_at: Option<Instant>,
    /// Ends and marks are being carried out.
    is_ending: bool,
    /// Re-runs are being carried out.
    is_rerunning: bool,
}

/// An open session's scale set.
#[derive(Debug)]
struct Served {
    /// The set, and its counts by the last message or the last whole observation.
    found: Found,
    /// No later than when they were so; `None`: nobody knows. Counts from before the end of a look at the supply know nothing of what it shows,
    /// and the two together would be wrong: a job that is counted, and its runner already gone.
    counted_at: Option<StdInstant>,
    /// When they were told: what is told later is newer.
    told_at: StdInstant,
    /// Something has happened since that is not in them: a message came without counts.
    is_outdated: bool,
    /// The set itself could not be asked when it was looked at last.
    is_unasked: bool,
    /// When its queue was heard last, with news or without.
    heard_at: Instant,
    /// The jobs that messages said are assigned.
    told: Assigned,
}

impl Served {
    fn new(scale_set: ScaleSet, statistics: Statistics) -> Self {
        let found = Found { scale_set, statistics };
        let told = Assigned::default();
        Self {
            found,
            counted_at: Some(StdInstant::now()),
            told_at: StdInstant::now(),
            is_outdated: false,
            is_unasked: false,
            heard_at: Instant::now(),
            told,
        }
    }

    /// Takes in counts that were told then, and were so no earlier than `counted_at`.
    fn count(&mut self, statistics: Statistics, told_at: StdInstant, counted_at: Option<StdInstant>) {
        if told_at >= self.told_at {
            (self.found.statistics, self.is_outdated) = (statistics, false);
            (self.told_at, self.counted_at) = (told_at, counted_at);
        }
    }

    /// Returns whether neither its queue nor the set itself has said anything for a while: whatever it counted is no
    /// longer known.
    fn is_silent(&self) -> bool {
        self.is_unasked && self.heard_at.elapsed() >= STANDS_IN_AFTER
    }

    /// A poll has ended without news: where the set itself can't be asked, its counts are what they were.
    fn is_quiet(&mut self) {
        self.heard_at = Instant::now();
        if self.is_unasked && !self.is_outdated {
            self.counted_at = Some(StdInstant::now());
        }
    }
}

/// After a launch that failed.
#[derive(Clone, Copy, Debug)]
struct Cooling {
    /// How many failed since one succeeded.
    failures: u32,
    until: Instant,
}

impl Cooling {
    fn after(failures: u32) -> Self {
        let pause = COOLS_FOR.saturating_mul(1 << failures.saturating_sub(1).min(8)).min(COOLS_FOR_AT_MOST);
        Self { failures, until: Instant::now() + pause }
    }

    fn is_over(&self) -> bool {
        self.until <= Instant::now()
    }
}

/// What of a warning tells it from others.
type Essence = (WarningCode, Option<String>, String);

/// Why a session is not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// Somebody else holds it.
    Held,
    /// The set or the service can't be had.
    Unavailable,
}

/// What came of a look at something.
enum Seen {
    /// Instances and runner records; then the counts of the sets whose sessions are open.
    Supply(Result<Supply, github::Error>, BTreeMap<PoolName, Result<Statistics, String>>),
    All(Box<Result<(Observation, Due), github::Error>>),
    /// The counts of some sets alone, asked for then.
    Counts(StdInstant, BTreeMap<PoolName, Result<Statistics, String>>),
    /// All of it, slowly: of a while ago when it is over.
    Whole(Box<Result<Observation, github::Error>>),
}

/// What was carried out.
struct Carried {
    outcomes: Vec<Outcome>,
    are_ends: bool,
    /// It was re-runs, and this should be known of them.
    reruns: Option<Vec<Warning>>,
}

type Looking<'a> = Option<LocalBoxFuture<'a, Seen>>;
type Carrying<'a> = FuturesUnordered<LocalBoxFuture<'a, Carried>>;

impl<'a> Desk<'a> {
    #[expect(clippy::large_types_passed_by_value, reason = "it is kept, and there is one")]
    pub(super) fn new(shared: Shared<'a>) -> Self {
        let Parts { config, pools, .. } = shared.parts;
        let is_chosen = |pool: &&Pool| pools.is_empty() || pools.contains(&pool.policy.name);
        let chosen: Vec<&Pool> = config.pools.iter().filter(is_chosen).collect();
        let name = |pool: &&Pool| pool.policy.name.clone();
        let (listening, polling): (Vec<&Pool>, Vec<&Pool>) =
            chosen.iter().partition(|pool| pool.scale_set.is_some() && pool.source != Some(Source::Rest));
        let desk = Self {
            shared,
            policy: config.policy(),
            chosen: chosen.iter().map(name).collect(),
            listening,
            served: BTreeMap::new(),
            unserved: BTreeMap::new(),
            phantoms: Phantoms::default(),
            cooling: BTreeMap::new(),
            in_doubt: BTreeSet::new(),
            rooms: BTreeMap::new(),
            bounds: Bounds::at_first(&config.policy()),
            said_at: BTreeMap::new(),
            look_at: Some(Instant::now()),
            looked_at: None,
            whole_at: None,
            whole_began: None,
            read_at: None,
            hurried: Vec::new(),
            has_unmet: false,
            freed_at: None,
            troubled: BTreeSet::new(),
            to_recount: BTreeMap::new(),
            recounted_at: None,
            is_ending: false,
            is_rerunning: false,
        };
        let polled_every = (!polling.is_empty()).then_some(shared.parts.every);
        let every = shared.parts.every;
        shared.parts.metrics.begin(desk.listening.iter().map(|pool| &pool.policy.name), polled_every, every);
        let (listening, polling) = (desk.listening.iter().map(name).collect(), polling.iter().map(name).collect());
        desk.say(Event::Ready { pool: None, listening, polling, scope: config.github.scope.to_string() });
        desk
    }

    pub(super) async fn run(mut self, stop: watch::Receiver<bool>) {
        let (tell, mut told) = mpsc::unbounded_channel::<(PoolName, Heard)>();
        let listeners: Vec<(PoolName, Listener)> =
            self.listening.iter().map(|pool| (pool.policy.name.clone(), self.listener(pool))).collect();
        let room = |(pool, listener): &(PoolName, Listener)| (pool.clone(), listener.room.clone());
        self.rooms = listeners.iter().map(room).collect();
        let listening = listeners.iter().map(|(pool, listener)| {
            let tell = tell.clone();
            listener.run(stop.clone(), move |heard| drop(tell.send((pool.clone(), heard))))
        });
        let mut listening = std::pin::pin!(join_all(listening).fuse());
        let mut stopping = stop.clone();
        let mut carrying: Carrying<'a> = FuturesUnordered::new();
        let (mut looking, mut observing): (Looking<'a>, Looking<'a>) = (None, None);
        let (mut counting, mut sweeping): (Looking<'a>, Looking<'a>) = (None, None);
        let mut tick = tokio::time::interval(self.shared.parts.every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        loop {
            tokio::select! {
                biased;
                _ = stopping.wait_for(|is_stopping| *is_stopping) => break,
                Some((pool, heard)) = told.recv() => {
                    let mut changed: BTreeSet<PoolName> = self.take_in(pool, heard).into_iter().collect();
                    while let Ok((pool, heard)) = told.try_recv() {
                        changed.extend(self.take_in(pool, heard));
                    }
                    self.launch_at_once(&changed, &carrying);
                    self.lend();
                    self.measure(changed.iter());
                }
                Some(carried) = carrying.next(), if !carrying.is_empty() => self.carried(&carried),
                seen = ended(&mut looking) => {
                    looking = None;
                    self.seen(seen, &carrying);
                }
                seen = ended(&mut observing) => {
                    observing = None;
                    self.seen(seen, &carrying);
                }
                seen = ended(&mut counting) => {
                    counting = None;
                    self.seen(seen, &carrying);
                }
                () = until(self.recount_at()), if counting.is_none() => {
                    counting = Some(self.begin_recount());
                }
                seen = ended(&mut sweeping) => {
                    sweeping = None;
                    self.seen(seen, &carrying);
                }
                () = until(self.whole_at), if sweeping.is_none() => {
                    (self.whole_at, self.whole_began) = (None, Some(Instant::now()));
                    sweeping = Some(self.shared.sweep(self.listened()).boxed_local());
                }
                () = until(self.look_at), if looking.is_none() => {
                    self.look_at = None;
                    self.note_hurry();
                    let sets = self.served.iter().map(|(pool, served)| (pool.clone(), served.found.scale_set.id));
                    looking = Some(self.shared.look(sets.collect()).boxed_local());
                }
                _ = tick.tick(), if observing.is_none() => {
                    observing = Some(self.shared.observe(self.listened()).boxed_local());
                }
                _ = heartbeat.tick() => {
                    (self.shared.parts.alive)();
                    self.notice_the_clock();
                    self.count_requests();
                    self.measure(self.served.keys());
                    self.lend();
                    self.launch_after_cooling(&carrying);
                }
                _ = &mut listening => {}
            }
        }
        self.shared.is_stopping.set(true);
        // Nobody polls them any more, and what they hold (a turn at GitHub's API, the connection to the service) is waited
        // for by what has to be finished.
        drop((looking, observing, counting, sweeping));
        if tokio::time::timeout(GRACE, finished(&mut listening, &mut carrying)).await.is_err() {
            self.warn_of(Warning {
                code: WarningCode::Degraded,
                message: format!("calls that were still under way after {} were given up", short(GRACE)),
                subject: None,
            });
        }
        // Whatever was given up says so.
        drop(carrying);
        while let Ok((pool, heard)) = told.try_recv() {
            self.take_in(pool, heard);
        }
        self.count_requests();
        if let Some(cache) = self.shared.parts.client.cache() {
            cache.flush();
        }
    }

    fn begin_recount(&mut self) -> LocalBoxFuture<'a, Seen> {
        self.recounted_at = Some(Instant::now());
        let now = Instant::now();
        let pools = self.to_recount.extract_if(.., |_, at| *at <= now).map(|(pool, _)| pool);
        let pools: Vec<PoolName> = pools.collect();
        let sets = pools.into_iter().filter_map(|pool| Some((pool.clone(), self.set_of(&pool)?)));
        self.shared.recount(sets.collect()).boxed_local()
    }

    fn listener(&self, pool: &Pool) -> Listener {
        let Parts { service, owner, pauses, .. } = self.shared.parts;
        Listener {
            client: service.clone(),
            group: pool.runner_group.clone(),
            name: pool.scale_set.clone().unwrap_or_default(),
            owner: owner.to_owned(),
            room: Arc::new(Room::new(self.bounds.lent_at_first(pool.policy.max))),
            pauses,
        }
    }

    /// Notices what the clock shows, and has the supply looked at where that was long ago: a whole observation of a large
    /// organization can take longer than a look lasts.
    fn notice_the_clock(&mut self) {
        let now = Timestamp::now();
        if self.shared.supply.borrow_mut().notice(now) {
            // Nor has anything else an age.
            self.phantoms = Phantoms::default();
            self.read_at = None;
            for served in self.served.values_mut() {
                served.told = Assigned::default();
            }
        }
        let seen_at = self.shared.supply.borrow().seen_at();
        if seen_at.is_none_or(|seen_at| age(now, seen_at) >= LOOKS_AT_LEAST) {
            self.look_soon();
        }
    }

    /// Returns when counts are asked for anew that are too old for the supply; `None`: there are none.
    fn recount_at(&self) -> Option<Instant> {
        let first = self.to_recount.values().min()?;
        Some(self.recounted_at.map_or(*first, |at| (at + RECOUNTS_APART).max(*first)))
    }

    fn set_of(&self, pool: &PoolName) -> Option<ScaleSetId> {
        self.served.get(pool).map(|served| served.found.scale_set.id)
    }

    /// Returns a pool's session, if its set says anything.
    fn serving(&self, pool: &PoolName) -> Option<&Served> {
        self.served.get(pool).filter(|served| !served.is_silent())
    }

    /// Shows how many jobs wait at these pools' sets, by what is launched by; and whether they are counted, or reckoned, or
    /// of a while ago.
    fn measure<'b>(&self, pools: impl Iterator<Item = &'b PoolName>) {
        for pool in pools {
            let metrics = self.shared.parts.metrics;
            match (self.served.get(pool), self.demand(pool, Timestamp::now())) {
                (Some(served), Some(demand)) => {
                    let is_exact = !served.is_outdated && demand == served.found.statistics;
                    metrics.waits_at_set(pool, demand.queued(), is_exact);
                }
                _ => metrics.silent(pool),
            }
        }
    }

    /// Counts what the three APIs were asked since it was counted last.
    fn count_requests(&self) {
        let Parts { client, service, fleet, metrics, .. } = self.shared.parts;
        metrics.answered("github", client.tally());
        metrics.answered("actions", service.tally());
        metrics.answered("ec2", fleet.tally());
    }

    /// Returns the pools whose sets have a listener: us, most likely also where a session is only being opened. Their
    /// counts are asked for all the same: messages can be late, or never come.
    fn listened(&self) -> Listened {
        let why = |pool: &Pool| self.unserved.get(&pool.policy.name).map(|(why, _)| *why);
        let is_silent = |pool: &Pool| self.served.get(&pool.policy.name).is_some_and(Served::is_silent);
        let is_heard = |pool: &&&Pool| why(pool) != Some(Why::Unavailable) && !is_silent(pool);
        let names = self.listening.iter().filter(is_heard).map(|pool| &pool.policy.name);
        names.cloned().collect()
    }

    fn say(&self, event: Event) {
        (self.shared.parts.hear)(Line::now(event));
    }

    /// Says a whole observation's warnings.
    fn warn(&mut self, warnings: Vec<Warning>) {
        let others: Vec<&PoolName> =
            self.policy.pools.iter().map(|pool| &pool.name).filter(|name| !self.chosen.contains(*name)).collect();
        let is_of_others = |warning: &Warning| {
            warning.subject.as_deref().is_some_and(|subject| others.iter().any(|name| name.as_str() == subject))
        };
        let warnings: Vec<Warning> = warnings.into_iter().filter(|warning| !is_of_others(warning)).collect();
        for warning in warnings {
            self.warn_of(warning);
        }
    }

    /// Says one warning, unless it was said a short while ago.
    fn warn_of(&mut self, warning: Warning) {
        self.said_at.retain(|_, at| at.elapsed() < SAID_AGAIN);
        if let Entry::Vacant(unsaid) = self.said_at.entry(essence(&warning)) {
            unsaid.insert(Instant::now());
            self.tell_warning(warning);
        }
    }

    fn tell_warning(&self, warning: Warning) {
        let Warning { code, message, subject } = warning;
        let is_it = |pool: &&PoolName| Some(pool.as_str()) == subject.as_deref();
        let pool = self.policy.pools.iter().map(|pool| &pool.name).find(is_it).cloned();
        self.say(Event::Warning { pool, code, message, subject });
    }
}

/// Returns a warning without numbers, ages and the ids of requests, which differ each time that it is said.
fn essence(warning: &Warning) -> Essence {
    let (activity, request) = (" (activity", " (request");
    let message = warning.message.split(activity).next().unwrap_or_default();
    let message = message.split(request).next().unwrap_or_default();
    // `12`, `$1.50`, `3m12s`; but not what has a number in its name.
    let is_number = |word: &&str| {
        let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        word.starts_with(|c: char| c.is_ascii_digit()) && word.chars().all(|c| !c.is_alphabetic() || "dhms".contains(c))
    };
    let message = message.split_whitespace().filter(|word| !is_number(word)).collect::<Vec<_>>().join(" ");
    (warning.code, warning.subject.clone(), message)
}

/// Waits until the listeners have closed their sessions, and all that was begun has ended.
async fn finished(listening: impl FusedFuture, carrying: &mut Carrying<'_>) {
    let listened = async {
        // Where there is no set to listen to, it has ended long ago, and never says so again.
        if !listening.is_terminated() {
            listening.await;
        }
    };
    let carried = async { while carrying.next().await.is_some() {} };
    futures::join!(listened, carried);
}

/// Returns what comes of a look; never, if there is none.
async fn ended(looking: &mut Looking<'_>) -> Seen {
    match looking {
        Some(looking) => looking.await,
        None => pending().await,
    }
}

/// Returns when a time has come; never, if there is none.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_the_same_whatever_its_numbers_and_another_where_a_name_differs() {
        let of = |message: &str| essence(&Warning::new(WarningCode::Degraded, "linux", message));
        assert_eq!(of("down for 3m12s, 7 tries (activity 0-1)"), of("down for 4h, 12 tries (activity 0-2)"));
        assert_eq!(of("GET http://x: 503 (request 5A4D:B0F)"), of("GET http://x: 502 (request 77:C)"));
        assert_eq!(of("$1.50 are spent"), of("$2.25 are spent"));
        assert_ne!(of("`m6a.large` has no known price"), of("`m7a.large` has no known price"));
    }
}
