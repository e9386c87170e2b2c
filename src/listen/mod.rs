//! Real time: one process that listens to every pool's scale set, and does at once what `apply` does once a minute.
//!
//! - Each pool with a scale set has a [`Listener`] that holds its session and waits for nobody. What it hears comes here.
//! - At every message, and at every poll without one, the launches of that pool are decided: by the counts that came
//!   with it and by the supply as it is known ([`KnownSupply`]), with no call in between. Launches run beside.
//! - A look at instances and runner records follows whatever has changed, and comes once a minute anyway.
//! - Once a minute everything is observed, as by `apply`: only then anything is ended, pools without a scale set are
//!   launched for, and the counts are held against the REST API's jobs.
//!
//! The engine, its check and the executor are those of `apply`, and so are the slots and names: beside this, `apply` is
//! another host at work. Nothing here is needed by the next process: a session that is opened begins with the full counts.

mod assigned;
mod event;
pub mod metrics;
mod phantoms;
mod supply;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{LocalBoxFuture, join_all};
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};

use self::assigned::Assigned;
pub use self::event::{Event, JobRow, Line, SessionState};
use self::metrics::{Look, Metrics};
use self::phantoms::{Phantoms, unlisted};
pub use self::supply::KnownSupply;
use crate::ages::{age, short};
use crate::apply::{self, Executor, Outcome, Paces, PoolSettings, put_last};
use crate::config::{Config, Pool};
use crate::ec2::Fleet;
use crate::engine::{
    self, Plan, Policy, PoolName, SUPPLY_LASTS, ScaleSetDemand, Snapshot, Source, Statistics, Step, View, check, plan,
};
use crate::github::{self, Client, Progress, Usage};
use crate::observe::{self, Found, Listened, Observation, Sources, Supply, observe};
use crate::registrar::Registrar;
use crate::report::{ActionResult, PlanReport};
use crate::scale_set::{self, Heard, Listener, Pauses, ScaleSet, ScaleSetId};
use crate::services::{Place, SystemClock};
use crate::state::{AuditLog, StateDirectory};
use crate::warning::{Warning, WarningCode};

/// How long after a change the supply is looked at, so that a burst of changes costs one look.
const LOOKS_AFTER: Duration = Duration::from_secs(5);
/// How long at least lies between the ends of two looks.
const LOOKS_APART: Duration = Duration::from_secs(15);
/// How long an ending process gives to calls that are under way, and to the ends of its sessions.
const GRACE: Duration = Duration::from_secs(18);
/// How long a scale set may be out of reach before its pool's jobs are launched for by the REST API's count: runners
/// that are registered there get none of the jobs that the set has been given.
const STANDS_IN_AFTER: Duration = Duration::from_mins(1);
/// So many polls in a row that were answered with nothing at all, and it is said.
const SILENCES: u32 = 3;
/// How often the loop shows that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// What a listener works with.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// GitHub's REST API.
    pub client: &'a Client,
    /// The Actions Service.
    pub service: &'a Arc<scale_set::Client>,
    /// EC2.
    pub fleet: &'a Fleet,
    /// This host's memory.
    pub state: &'a StateDirectory,
    /// Only these pools; all if none is named.
    pub pools: &'a [PoolName],
    /// How often everything is observed.
    pub every: Duration,
    /// How long is waited before a session is tried again.
    pub pauses: Pauses,
    /// Whom the service names to others who try to open a session of ours.
    pub owner: &'a str,
    /// Hears of each event.
    pub hear: &'a dyn Fn(Line),
    /// Is counted and measured in.
    pub metrics: &'a Metrics,
    /// Is called when all is well with the loop, several times a minute.
    pub alive: &'a dyn Fn(),
}

/// Listens until `stop` is true; then what is under way is finished, within 20 s, and the sessions are closed.
pub async fn serve(parts: Parts<'_>, stop: watch::Receiver<bool>) {
    let registrar = Registrar::new(parts.client, &parts.config.github.scope, parts.service);
    let supply = RefCell::new(KnownSupply::of(parts.config.policy().fleet));
    let shared = Shared {
        parts,
        registrar: &registrar,
        supply: &supply,
        paces: &RefCell::default(),
        is_stopping: &Cell::new(false),
    };
    Desk::new(shared).run(stop).await;
}

/// What the calls that are under way share.
#[derive(Clone, Copy)]
struct Shared<'a> {
    parts: Parts<'a>,
    registrar: &'a Registrar<'a>,
    supply: &'a RefCell<KnownSupply>,
    paces: &'a RefCell<Paces>,
    is_stopping: &'a Cell<bool>,
}

/// What is known of the sets, and what was said.
struct Desk<'a> {
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
    /// Pools in which a launch failed: nothing more is launched at messages before the next whole observation.
    cooling: BTreeSet<PoolName>,
    /// Warnings that were said and still hold, without what differs each time.
    said: BTreeSet<(WarningCode, Option<String>, String)>,
    /// When the supply is to be looked at; `None`: when something changes.
    look_at: Option<Instant>,
    /// When it was looked at last.
    looked_at: Option<Instant>,
    /// Ends and marks are being carried out.
    is_ending: bool,
}

/// An open session's scale set.
#[derive(Debug)]
struct Served {
    /// The set, and its counts by the last message or the last whole observation.
    found: Found,
    /// When they were so. Counts from before a look at the supply know nothing of what it shows, and the two together
    /// would be wrong: a runner that works, and its job among those that wait.
    counted_at: Timestamp,
    /// The jobs that messages said are assigned.
    told: Assigned,
}

impl Served {
    fn new(scale_set: ScaleSet, statistics: Statistics) -> Self {
        let found = Found { scale_set, statistics };
        Self { found, counted_at: Timestamp::now(), told: Assigned::default() }
    }

    fn count(&mut self, statistics: Statistics, at: Timestamp) {
        if at >= self.counted_at {
            (self.found.statistics, self.counted_at) = (statistics, at);
        }
    }
}

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
    Supply(Result<Supply, github::Error>),
    All(Box<Result<Observation, github::Error>>),
}

/// What was carried out.
struct Carried {
    outcomes: Vec<Outcome>,
    are_ends: bool,
}

type Looking<'a> = Option<LocalBoxFuture<'a, Seen>>;
type Carrying<'a> = FuturesUnordered<LocalBoxFuture<'a, Carried>>;

impl<'a> Desk<'a> {
    fn new(shared: Shared<'a>) -> Self {
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
            cooling: BTreeSet::new(),
            said: BTreeSet::new(),
            look_at: Some(Instant::now()),
            looked_at: None,
            is_ending: false,
        };
        shared.parts.metrics.forget();
        desk.listening.iter().for_each(|pool| shared.parts.metrics.listens(&pool.policy.name));
        let (listening, polling) = (desk.listening.iter().map(name).collect(), polling.iter().map(name).collect());
        desk.say(Event::Ready { pool: None, listening, polling, scope: config.github.scope.to_string() });
        desk
    }

    async fn run(mut self, stop: watch::Receiver<bool>) {
        let (tell, mut told) = mpsc::unbounded_channel::<(PoolName, Heard)>();
        let listeners: Vec<(PoolName, Listener)> =
            self.listening.iter().map(|pool| (pool.policy.name.clone(), self.listener(pool))).collect();
        let listening = listeners.iter().map(|(pool, listener)| {
            let tell = tell.clone();
            listener.run(stop.clone(), move |heard| drop(tell.send((pool.clone(), heard))))
        });
        let mut listening = std::pin::pin!(join_all(listening).fuse());
        let mut stopping = stop.clone();
        let mut carrying: Carrying<'a> = FuturesUnordered::new();
        let (mut looking, mut observing): (Looking<'a>, Looking<'a>) = (None, None);
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
                () = until(self.look_at), if looking.is_none() => {
                    self.look_at = None;
                    looking = Some(self.shared.look().boxed_local());
                }
                _ = tick.tick(), if observing.is_none() => {
                    observing = Some(self.shared.observe(self.listened()).boxed_local());
                }
                _ = heartbeat.tick() => {
                    (self.shared.parts.alive)();
                    self.notice_the_clock();
                }
                _ = &mut listening => {}
            }
        }
        self.shared.is_stopping.set(true);
        let finished = async {
            let listened = async {
                (&mut listening).await;
            };
            let carried = async { while carrying.next().await.is_some() {} };
            futures::join!(listened, carried);
        };
        if tokio::time::timeout(GRACE, finished).await.is_err() {
            self.warn_of(Warning {
                code: WarningCode::Degraded,
                message: format!("calls that were still under way after {} were given up", short(GRACE)),
                subject: None,
            });
        }
        while let Ok((pool, heard)) = told.try_recv() {
            self.take_in(pool, heard);
        }
        if let Some(cache) = self.shared.parts.client.cache() {
            cache.flush();
        }
    }

    fn listener(&self, pool: &Pool) -> Listener {
        let Parts { service, owner, pauses, .. } = self.shared.parts;
        Listener {
            client: service.clone(),
            group: pool.runner_group.clone(),
            name: pool.scale_set.clone().unwrap_or_default(),
            owner: owner.to_owned(),
            capacity: pool.policy.max,
            pauses,
        }
    }

    fn notice_the_clock(&mut self) {
        self.shared.supply.borrow_mut().notice(Timestamp::now());
        if self.shared.supply.borrow().seen_at().is_none() {
            self.look_soon();
        }
    }

    /// Returns the pools whose sets have a listener: us, most likely also where a session is only being opened. Their
    /// counts are asked for all the same: messages can be late, or never come.
    fn listened(&self) -> Listened {
        let why = |pool: &Pool| self.unserved.get(&pool.policy.name).map(|(why, _)| *why);
        let is_heard = |pool: &&&Pool| why(pool) != Some(Why::Unavailable);
        let names = self.listening.iter().filter(is_heard).map(|pool| &pool.policy.name);
        names.map(|name| (name.clone(), None)).collect()
    }

    // --- what is heard -----------------------------------------------------------------------------------------------

    /// Takes in what a listener heard; returns its pool if launches may follow from it.
    fn take_in(&mut self, pool: PoolName, heard: Heard) -> Option<PoolName> {
        let metrics = self.shared.parts.metrics;
        let session = |state, scale_set, error| Event::Session { pool: pool.clone(), state, scale_set, error };
        match heard {
            Heard::Opened { scale_set, statistics } => {
                metrics.session(&pool, true);
                self.say(session(SessionState::Opened, Some(scale_set.id), None));
                self.unserved.remove(&pool);
                self.served.insert(pool.clone(), Served::new(scale_set, statistics));
            }
            Heard::Refreshed => {
                self.say(session(SessionState::Refreshed, None, None));
                return None;
            }
            Heard::Lost(why) => {
                metrics.session(&pool, false);
                self.say(session(SessionState::Lost, None, Some(why.to_string())));
                self.served.remove(&pool);
                return None;
            }
            Heard::Held { why, since } => {
                let said = if since < Duration::from_mins(5) {
                    why.to_string()
                } else {
                    format!("for {} now: does another system listen to this scale set? {why}", short(since))
                };
                self.say(session(SessionState::Held, None, Some(said)));
                self.is_unserved(pool, Why::Held);
                return None;
            }
            Heard::Unavailable(why) => {
                self.warn_of(Warning::new(WarningCode::ScaleSetFailed, pool.as_str(), why));
                self.is_unserved(pool, Why::Unavailable);
                return None;
            }
            Heard::Trouble(why) => {
                metrics.trouble(&pool);
                self.warn_of(Warning::new(WarningCode::Degraded, pool.as_str(), why.to_string()));
                return None;
            }
            Heard::Poison { id, why } => {
                let said = format!("message {id} could not be read and was acknowledged unread: {why}");
                self.warn_of(Warning::new(WarningCode::EntryUnreadable, pool.as_str(), said));
                return None;
            }
            Heard::Acquired { asked, granted } => {
                tracing::info!(pool = pool.as_str(), asked, granted, "acquired jobs");
                return None;
            }
            Heard::Closed(why) => {
                metrics.session(&pool, false);
                let said = why.map_or_else(|| "closed in good order".to_owned(), |why| why.to_string());
                self.say(session(SessionState::Lost, None, Some(said)));
                return None;
            }
            Heard::Idle => metrics.polled(&pool),
            Heard::Silence(times) => {
                metrics.trouble(&pool);
                if times >= SILENCES {
                    let said = "its queue answers polls with nothing at all: messages are not delivered".to_owned();
                    self.warn_of(Warning::new(WarningCode::Degraded, pool.as_str(), said));
                }
                return None;
            }
            Heard::Message(message) => {
                metrics.message(&pool, &message);
                self.say(Event::of_message(&pool, &message));
                let booted = self.shared.supply.borrow_mut().hear(&message, Timestamp::now());
                for (pool, took) in booted {
                    metrics.booted(&pool, took);
                }
                if let Some(served) = self.served.get_mut(&pool) {
                    served.told.hear(&message, Timestamp::now());
                    if let Some(statistics) = message.statistics {
                        served.count(statistics, Timestamp::now());
                    }
                    let counts = served.found.statistics;
                    let assigned = served.told.at_least(counts, Timestamp::now()).assigned;
                    if assigned > counts.assigned {
                        let said = format!(
                            "its scale set counts nothing beside {assigned} jobs that it was given: these are launched for"
                        );
                        self.warn_of(Warning::new(WarningCode::SourcesDiffer, pool.as_str(), said));
                    }
                }
                if !message.jobs.is_empty() {
                    self.look_soon();
                }
            }
        }
        Some(pool)
    }

    fn is_unserved(&mut self, pool: PoolName, why: Why) {
        let since = self.unserved.get(&pool).filter(|(before, _)| *before == why).map(|(_, since)| *since);
        self.unserved.insert(pool, (why, since.unwrap_or_else(Instant::now)));
    }

    /// Has the supply looked at soon, and not more often than is needed.
    fn look_soon(&mut self) {
        let soon = Instant::now() + LOOKS_AFTER;
        let apart = self.looked_at.map_or(soon, |looked_at| looked_at + LOOKS_APART);
        self.look_at = Some(self.look_at.unwrap_or(soon.max(apart)));
    }

    // --- launches ----------------------------------------------------------------------------------------------------

    /// Launches what the sets' counts ask for now, in these pools.
    fn launch_at_once(&mut self, pools: &BTreeSet<PoolName>, carrying: &Carrying<'a>) {
        let now = Timestamp::now();
        let can_serve = |pool: &&PoolName| self.counts_hold(pool) && !self.cooling.contains(*pool);
        let pools: Vec<PoolName> = pools.iter().filter(can_serve).cloned().collect();
        let counted = |pool: &engine::Pool| {
            // Of the others nothing is known here.
            self.demand(&pool.name, now).map_or(ScaleSetDemand::Unknown, ScaleSetDemand::Counted)
        };
        let scale_sets = self.policy.pools.iter().map(|pool| (pool.name.clone(), counted(pool))).collect();
        let Some(snapshot) = self.shared.supply.borrow().snapshot(now, scale_sets) else { return };
        if !pools.is_empty() {
            self.launch(&snapshot, &BTreeMap::new(), &pools, carrying);
        }
    }

    /// Returns whether a served pool's counts are no older than the supply that they are held against.
    fn counts_hold(&self, pool: &PoolName) -> bool {
        let seen_at = self.shared.supply.borrow().seen_at();
        self.served.get(pool).is_some_and(|served| seen_at.is_some_and(|seen_at| served.counted_at >= seen_at))
    }

    /// Returns what a served pool's set counts, corrected by what is known better: jobs that were said to be assigned
    /// beside counts of 0, jobs that are counted and not there.
    fn demand(&self, pool: &PoolName, now: Timestamp) -> Option<Statistics> {
        let served = self.served.get(pool)?;
        Some(self.phantoms.without(pool, served.told.at_least(served.found.statistics, now)))
    }

    /// Decides and begins the launches of some pools.
    fn launch(
        &mut self,
        snapshot: &Snapshot,
        scale_sets: &BTreeMap<PoolName, ScaleSetId>,
        pools: &[PoolName],
        carrying: &Carrying<'a>,
    ) {
        let Some(seen_at) = self.shared.supply.borrow().seen_at() else { return };
        let since = age(Timestamp::now(), seen_at);
        if since > SUPPLY_LASTS {
            let said =
                format!("the supply was read {} ago: nothing is launched before it can be read again", short(since));
            self.warn_of(Warning { code: WarningCode::Degraded, message: said, subject: None });
            self.look_soon();
            return;
        }
        let Some(mut plan) = self.decide(snapshot, pools) else { return };
        plan.seen_at = seen_at;
        plan.actions.retain(|action| matches!(action.step, Step::Launch { .. }));
        let fleet = &self.policy.fleet;
        if !plan.actions.is_empty() {
            put_last(&mut plan, &self.shared.parts.state.without_capacity(fleet.as_str(), Timestamp::now()));
            let mut supply = self.shared.supply.borrow_mut();
            plan.actions.iter().for_each(|action| supply.begin(action, Timestamp::now()));
        }
        for sums in &plan.pools {
            sums.target.into_iter().for_each(|target| self.shared.parts.metrics.desires(&sums.name, target));
        }
        self.carry_out(plan, snapshot, scale_sets, carrying);
    }

    fn decide(&mut self, snapshot: &Snapshot, pools: &[PoolName]) -> Option<Plan> {
        let plan = plan(snapshot, &self.policy);
        match check(snapshot, &self.policy, &plan) {
            Ok(()) => Some(plan.only(pools)),
            Err(violations) => {
                let message = format!(
                    "a plan breaks a rule, and nothing was done: {}; this is a defect of ghascale: please report it",
                    violations.join("; ")
                );
                self.warn_of(Warning { code: WarningCode::Degraded, message, subject: None });
                None
            }
        }
    }

    /// Begins to carry out a plan that was checked. Runners are registered at the sets whose sessions are open, or at
    /// those that were found.
    fn carry_out(
        &mut self,
        plan: Plan,
        snapshot: &Snapshot,
        scale_sets: &BTreeMap<PoolName, ScaleSetId>,
        carrying: &Carrying<'a>,
    ) {
        if plan.actions.is_empty() {
            return;
        }
        let report = PlanReport::of(&plan, snapshot, &self.shared.parts.config.digest);
        let count =
            |wanted: fn(&Step) -> bool| plan.actions.iter().filter(|action| wanted(&action.step)).count() as u64;
        let pools: BTreeSet<&PoolName> = plan.actions.iter().map(|action| &action.pool).collect();
        let launch = count(|step| matches!(step, Step::Launch { .. }));
        self.say(Event::Plan {
            pool: pools.first().filter(|_| pools.len() == 1).map(|pool| (*pool).clone()),
            plan_id: report.plan_id.clone(),
            launch,
            end: count(|step| matches!(step, Step::Terminate { .. })),
            actions: plan.actions.len() as u64,
        });
        let are_ends = launch == 0;
        self.is_ending |= are_ends;
        let settings = |pool: &Pool| {
            let name = &pool.policy.name;
            let group = || Place::Group { name: pool.runner_group.clone(), labels: pool.policy.labels.clone() };
            let served = self.served.get(name).map(|served| served.found.scale_set.id);
            let set = served.or(scale_sets.get(name).copied()).filter(|_| snapshot.source(name) == Source::ScaleSet);
            PoolSettings { place: set.map_or_else(group, Place::ScaleSet) }
        };
        let pools = self.shared.parts.config.pools.iter();
        let settings = pools.map(|pool| (pool.policy.name.clone(), settings(pool))).collect();
        let audit = match self.shared.parts.state.audit(&report.plan_id) {
            Ok(audit) => Some(audit),
            Err(error) => {
                let message = format!("the audit log could not be opened: {error}");
                self.warn_of(Warning { code: WarningCode::StateUnwritable, message, subject: None });
                None
            }
        };
        carrying.push(self.shared.carry_out(plan, settings, audit, are_ends).boxed_local());
    }

    fn carried(&mut self, carried: &Carried) {
        if carried.are_ends {
            self.is_ending = false;
        }
        let Parts { state, .. } = self.shared.parts;
        let failed = carried.outcomes.iter().filter(|outcome| {
            outcome.result == apply::Result::Failed && matches!(outcome.action.step, Step::Launch { .. })
        });
        self.cooling.extend(failed.map(|outcome| outcome.action.pool.clone()));
        let kept = state.remember_shortages(self.policy.fleet.as_str(), &carried.outcomes, Timestamp::now());
        if let Err(error) = kept {
            tracing::warn!(%error, "what has no capacity could not be remembered");
        }
        self.look_soon();
    }

    // --- what is seen ------------------------------------------------------------------------------------------------

    fn seen(&mut self, seen: Seen, carrying: &Carrying<'a>) {
        self.shared.supply.borrow_mut().notice(Timestamp::now());
        match seen {
            Seen::Supply(looked) => {
                self.looked_at = Some(Instant::now());
                match looked {
                    Ok(supply) => {
                        supply.warnings.into_iter().for_each(|warning| self.warn_of(warning));
                        if let (Some(instances), Some(runners)) = (supply.instances, supply.runners)
                            && instances.whole
                            && runners.whole
                        {
                            self.shared.supply.borrow_mut().see(supply.seen_at, instances.items, runners.items);
                        }
                    }
                    Err(error) => {
                        self.warn_of(Warning::new(WarningCode::RunnersFailed, "runners", error.to_string()));
                    }
                }
                let all = self.served.keys().cloned().collect();
                self.launch_at_once(&all, carrying);
            }
            Seen::All(seen) => {
                // What failed may have been made good by now.
                self.cooling.clear();
                match *seen {
                    Ok(seen) => self.pass(seen, carrying),
                    Err(error) => {
                        self.shared.parts.metrics.observed(None);
                        let said = format!("nothing could be observed: {error}");
                        self.said.clear();
                        self.warn_of(Warning { code: WarningCode::Degraded, message: said, subject: None });
                    }
                }
            }
        }
    }

    /// Does what one `apply` does: ends by what was seen just now and by nothing else; launches beside what is known to
    /// be on its way.
    fn pass(&mut self, seen: Observation, carrying: &Carrying<'a>) {
        let Observation { mut snapshot, known, mut warnings, scale_sets, .. } = seen;
        let now = Timestamp::now();
        for (pool, served) in &mut self.served {
            // It was asked after the supply was looked at; a message may have come since.
            if let Some(ScaleSetDemand::Counted(counts)) = snapshot.scale_sets.get(pool) {
                served.count(*counts, snapshot.now);
            }
        }
        let served: Vec<PoolName> = self.served.keys().cloned().collect();
        for pool in served {
            if let Some(counts) = self.demand(&pool, now) {
                snapshot.scale_sets.insert(pool.clone(), ScaleSetDemand::Counted(counts));
            }
            snapshot.unheard.remove(&pool);
        }
        let is_served = |warning: &Warning| {
            warning.code == WarningCode::SourceFallback
                && warning
                    .subject
                    .as_ref()
                    .is_some_and(|subject| self.served.keys().any(|pool| pool.as_str() == subject))
        };
        warnings.retain(|warning| !is_served(warning));
        let policy = self.policy.clone();
        let view = View::of(&snapshot, &policy);
        warnings.extend(view.warnings());
        for pool in &view.pools {
            if let Some(served) = self.served.get(&pool.pool.name) {
                self.phantoms.see(&pool.pool.name, snapshot.now, unlisted(pool, &served.found, &snapshot.demand));
            }
        }
        let parts = self.shared.parts;
        let is_partial = warnings.iter().any(|warning| warning.code.is_partial());
        let supply_is_known = known.instances && known.runners;
        parts.metrics.observed(Some(Look { snapshot: &snapshot, view: &view, supply_is_known, is_partial }));
        self.warn(warnings);
        if !known.instances || !known.runners {
            return;
        }
        // A session that is being opened will say what its set counts: until then nobody knows where its jobs are.
        let is_opening = |pool: &&PoolName| {
            let is_listening = self.listening.iter().any(|one| one.policy.name == **pool);
            let is_certain = self.unserved.get(*pool).is_some_and(|(why, since)| match why {
                Why::Held => true,
                Why::Unavailable => since.elapsed() >= STANDS_IN_AFTER,
            });
            is_listening && !self.served.contains_key(*pool) && !is_certain
        };
        let opened: Vec<PoolName> = self.chosen.iter().filter(|pool| !is_opening(pool)).cloned().collect();
        let pools: Vec<PoolName> = self.chosen.iter().cloned().collect();
        if !self.is_ending
            && let Some(mut ends) = self.decide(&snapshot, &pools)
        {
            ends.actions.retain(|action| !matches!(action.step, Step::Launch { .. }));
            self.carry_out(ends, &snapshot, &scale_sets, carrying);
        }
        let (instances, runners) = (snapshot.instances.items.clone(), snapshot.runners.items.clone());
        self.shared.supply.borrow_mut().see(snapshot.now, instances, runners);
        let holds = |pool: &PoolName| !self.served.contains_key(pool) || self.counts_hold(pool);
        let to_launch: Vec<PoolName> = opened.into_iter().filter(holds).collect();
        let filled = self.shared.supply.borrow().fill(now, &snapshot);
        if let Some(filled) = filled.filter(|_| !to_launch.is_empty()) {
            self.launch(&filled, &scale_sets, &to_launch, carrying);
        }
    }

    // --- what is said ------------------------------------------------------------------------------------------------

    fn say(&self, event: Event) {
        (self.shared.parts.hear)(Line::now(event));
    }

    /// Says those of a whole observation's warnings that are new, and forgets those that no longer hold.
    fn warn(&mut self, warnings: Vec<Warning>) {
        let others: Vec<&PoolName> =
            self.policy.pools.iter().map(|pool| &pool.name).filter(|name| !self.chosen.contains(*name)).collect();
        let is_of_others = |warning: &Warning| {
            warning.subject.as_deref().is_some_and(|subject| others.iter().any(|name| name.as_str() == subject))
        };
        let warnings: Vec<Warning> = warnings.into_iter().filter(|warning| !is_of_others(warning)).collect();
        let before = std::mem::replace(&mut self.said, warnings.iter().map(essence).collect());
        for warning in warnings.into_iter().filter(|warning| !before.contains(&essence(warning))) {
            self.tell_warning(warning);
        }
    }

    /// Says one warning, unless it was said since the last whole observation.
    fn warn_of(&mut self, warning: Warning) {
        if self.said.insert(essence(&warning)) {
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

impl<'a> Shared<'a> {
    fn sources<'b>(&self, listened: &'b Listened) -> Sources<'b>
    where
        'a: 'b,
    {
        let Parts { config, client, service, fleet, state, .. } = self.parts;
        Sources { config, client, service, fleet: Some(fleet), state, choice: None, listened }
    }

    async fn look(self) -> Seen {
        Seen::Supply(observe::supply(self.sources(&Listened::new())).await)
    }

    async fn observe(self, listened: Listened) -> Seen {
        let _budget = self.parts.client.budget();
        let began = Instant::now();
        let seen = observe(self.sources(&listened), &Unseen).await;
        self.parts.metrics.ran(began.elapsed(), self.parts.client.usage());
        if let Some(cache) = self.parts.client.cache() {
            cache.flush();
        }
        Seen::All(Box::new(seen))
    }

    async fn carry_out(
        self,
        plan: Plan,
        pools: BTreeMap<PoolName, PoolSettings>,
        audit: Option<AuditLog>,
        are_ends: bool,
    ) -> Carried {
        let executor = Executor {
            runners: self.registrar,
            instances: self.parts.fleet,
            clock: &SystemClock,
            pools: &pools,
            nonce: &|| fastrand::u64(..),
            listener: &Log { shared: self, audit },
            paces: self.paces,
            is_stopping: &|| self.is_stopping.get(),
        };
        Carried { outcomes: executor.carry_out(&plan).await, are_ends }
    }
}

/// Tells of each action as it ends.
struct Log<'a> {
    shared: Shared<'a>,
    audit: Option<AuditLog>,
}

impl apply::Listener for Log<'_> {
    fn refused(&self, code: &str) {
        self.shared.parts.metrics.refused(code);
    }

    fn ended(&self, outcome: &Outcome) {
        if let Some(audit) = &self.audit {
            audit.ended(outcome);
        }
        self.shared.supply.borrow_mut().end(outcome);
        self.shared.parts.metrics.acted(outcome);
        (self.shared.parts.hear)(Line::now(Event::Action(Box::new(ActionResult::from(outcome)))));
    }
}

/// Nobody watches.
struct Unseen;

impl Progress for Unseen {
    fn found(&self, _repositories: usize) {}

    fn done(&self, _repository: &engine::RepositoryName, _usage: Usage) {}
}

/// Returns a warning without numbers and the ids of requests, which differ each time that it is said.
fn essence(warning: &Warning) -> (WarningCode, Option<String>, String) {
    let message = warning.message.split(" (activity").next().unwrap_or_default();
    let message = message.chars().filter(|c| !c.is_ascii_digit()).collect();
    (warning.code, warning.subject.clone(), message)
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
