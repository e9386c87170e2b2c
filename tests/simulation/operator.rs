//! An operator: one host on which the real engine and the real executor run, over and over.
//!
//! Every outward call takes two steps, the request's way and the answer's. At each step another operator may run, the
//! process may stand still, and it may die: then its future is dropped where it stands.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use ghascale::ages::age;
use ghascale::apply::{Executor, Listener, Outcome, PoolSettings, Undone, undo};
use ghascale::engine::build::{fleet, labels, pool};
use ghascale::engine::{
    CAPACITY_RETURNS, Connection, CountKind, Demand, Instance, InstanceState, Job, JobId, JobState, LatestAttempt,
    Listing, Plan, Policy, Pool, PoolName, Price, Prices, REFUSED_FOR, RunId, Runner, RunnerId, SUPPLY_LASTS,
    ScaleSetDemand, Snapshot, Source, Step, View, check, failed_boots, plan,
};
use ghascale::listen::KnownSupply;
use ghascale::rerun::{Due, Reruns};
use ghascale::scale_set::{JobEvent, JobKey, JobMessage, JobRunner, Message, ScaleSetId};
use ghascale::services::{Clock, Place, SpotPrices as _, SpotWish};
use jiff::{SignedDuration, Timestamp};

use super::guards::Guard;
use super::history::{Call, Failure, MINUTE, Ms, ON_DEMAND, OperatorSetup, PoolSetup, SECOND};
use super::world::{Noted, Record, World};

/// One operator's access to the world: its calls, its clock.
pub(crate) struct Hand {
    pub(crate) world: Rc<RefCell<World>>,
    pub(crate) nth: usize,
    pub(crate) setup: OperatorSetup,
    /// The guard that this build of ghascale lacks.
    pub(crate) broken: Option<Guard>,
    steps: Cell<u64>,
    /// What is found is being re-run.
    pub(crate) is_rerunning: Cell<bool>,
    /// What was shown of runs before that, for a build that doesn't look again.
    pub(crate) looks: RefCell<BTreeMap<RunId, LatestAttempt>>,
}

impl Hand {
    pub(crate) fn new(world: &Rc<RefCell<World>>, nth: usize, setup: OperatorSetup, broken: Option<Guard>) -> Self {
        Self {
            world: Rc::clone(world),
            nth,
            setup,
            broken,
            steps: Cell::new(0),
            is_rerunning: Cell::new(false),
            looks: RefCell::default(),
        }
    }

    pub(crate) fn lacks(&self, guard: Guard) -> bool {
        self.broken == Some(guard)
    }

    /// Returns how far its clock is ahead.
    fn ahead(&self) -> SignedDuration {
        let world = self.world.borrow();
        let wrong = world.processes[self.nth].wrong_clock.filter(|(_, until)| world.now < *until);
        SignedDuration::from_secs(self.setup.skew + wrong.map_or(0, |(ahead, _)| ahead))
    }

    /// Runs as a process does: at its times, until it dies.
    pub(crate) async fn run(self, policy: Rc<Policy>) {
        // What a process knows is gone with it.
        let mut known = KnownSupply::of(fleet());
        let mut heard = self.world.borrow().told.len();
        loop {
            let now = self.world.borrow().now;
            let (every, offset) = (self.setup.every, self.setup.offset);
            let next = (now.saturating_sub(offset) / every + 1) * every + offset;
            Turn { hand: &self, until: next, is_listening: self.setup.listens, has_begun: false }.await;
            self.world.borrow_mut().processes[self.nth].passes += 1;
            self.undo_left_over().await;
            if !self.setup.listens {
                self.pass(&policy).await;
                continue;
            }
            let now = self.now();
            for told in self.world.borrow().told.iter().skip(heard) {
                drop(known.hear(&message(told), now));
            }
            heard = self.world.borrow().told.len();
            known.notice(self.now());
            let has_sets = self.world.borrow().pools.iter().any(|pool| pool.has_set);
            if has_sets && self.world.borrow().now < next {
                self.launch_at_once(&policy, &mut known).await;
            } else {
                self.whole_pass(&policy, &mut known).await;
            }
        }
    }

    /// Undoes what a process of this host had registered and not ordered when it died.
    async fn undo_left_over(&self) {
        let is_left = |(id, note): (&u64, &Noted)| {
            (note.nth == self.nth && !note.is_held).then(|| (*id, note.registration.clone(), note.at))
        };
        let left: Vec<_> = self.world.borrow().notes.iter().filter_map(is_left).collect();
        for (id, registration, at) in left {
            let is_settled = match undo(&registration, self, self).await {
                Ok(Undone::Absent) => at + 5 * MINUTE <= self.world.borrow().now,
                Ok(Undone::Removed { .. } | Undone::Kept(_)) => true,
                Err(_) => false,
            };
            if is_settled {
                self.world.borrow_mut().notes.remove(&id);
            }
        }
    }

    /// What `apply` does.
    async fn pass(&self, policy: &Policy) {
        let Some(seen) = self.observe().await else { return };
        let due = self.due(&seen, policy).await;
        let Some((plan, _)) = self.decide(seen.clone(), policy) else { return };
        self.carry_out(&plan, &seen).await;
        self.rerun(due, policy).await;
    }

    /// What `listen` does at a message: the counts that came with it, the supply as it is known, and launches alone.
    async fn launch_at_once(&self, policy: &Policy, known: &mut KnownSupply) {
        let sets = {
            let world = self.world.borrow();
            let demand = |nth: usize, pool: &PoolSetup| {
                if pool.has_set { ScaleSetDemand::Counted(world.statistics(nth)) } else { ScaleSetDemand::Unknown }
            };
            world.pools.iter().enumerate().map(|(nth, pool)| (PoolName::new(pool.name), demand(nth, pool))).collect()
        };
        let (Some(mut snapshot), Some(seen_at)) = (known.snapshot(self.now(), sets), known.seen_at()) else { return };
        snapshot.clock_ahead = self.ahead();
        self.launch(snapshot, seen_at, policy, known).await;
    }

    /// What `listen` does now and then: ends by what was just seen, launches beside what is on its way.
    async fn whole_pass(&self, policy: &Policy, known: &mut KnownSupply) {
        let Some(seen) = self.observe().await else { return };
        let due = self.due(&seen, policy).await;
        self.rerun(due, policy).await;
        if !seen.instances.whole || !seen.runners.whole {
            return;
        }
        let Some((mut ends, _)) = self.decide(seen.clone(), policy) else { return };
        ends.actions.retain(|action| !matches!(action.step, Step::Launch { .. }));
        self.carry_out(&ends, &seen).await;
        known.price(seen.prices.clone());
        known.see(seen.now, seen.instances.items.clone(), seen.runners.items.clone());
        let filled = known.fill(self.now(), &seen);
        self.launch(filled, seen.now, policy, known).await;
    }

    async fn launch(&self, snapshot: Snapshot, seen_at: Timestamp, policy: &Policy, known: &mut KnownSupply) {
        if age(self.now(), seen_at) > SUPPLY_LASTS && !self.lacks(Guard::SupplyLasts) {
            return;
        }
        let Some((mut plan, snapshot)) = self.decide(snapshot, policy) else { return };
        plan.seen_at = seen_at;
        plan.actions.retain(|action| matches!(action.step, Step::Launch { .. }));
        plan.actions.iter().for_each(|action| known.begin(action, self.now()));
        for outcome in self.carry_out(&plan, &snapshot).await {
            known.end(&outcome);
        }
    }

    fn decide(&self, mut seen: Snapshot, policy: &Policy) -> Option<(Plan, Snapshot)> {
        let mut policy = policy.clone();
        self.remember(&mut seen, &policy);
        if let Some(guard) = self.broken {
            guard.distort(&mut seen, &mut policy);
        }
        let mut plan = plan(&seen, &policy);
        if let Err(violations) = check(&seen, &policy, &plan) {
            self.world.borrow_mut().violated(format!("the check: {}", violations.join("; ")));
            return None;
        }
        if let Some(guard) = self.broken {
            guard.distort_plan(&mut plan);
        }
        Some((plan, seen))
    }

    async fn carry_out(&self, plan: &Plan, seen: &Snapshot) -> Vec<Outcome> {
        let pools = &settings(&self.world.borrow(), seen);
        let mut plan = plan.clone();
        if self.lacks(Guard::SupplyLasts) {
            plan.seen_at = self.now() + SignedDuration::from_hours(1);
        }
        let plan = &plan;
        self.world.borrow_mut().say(|| format!("operator {}: {}", self.nth, super::report::short(plan)));
        let nonce = || self.nonce();
        let executor = Executor {
            runners: self,
            instances: self,
            clock: self,
            memory: self,
            jobs: self,
            pools,
            nonce: &nonce,
            listener: self,
            paces: &RefCell::default(),
            is_stopping: &|| false,
        };
        let outcomes = executor.carry_out(plan).await;
        let mut world = self.world.borrow_mut();
        let now = world.now;
        let short = outcomes.iter().flat_map(|outcome| outcome.no_capacity.iter().cloned());
        let process = &mut world.processes[self.nth];
        process.shortages.extend(short.map(|offering| (offering, now)));
        for outcome in &outcomes {
            if outcome.is_refused {
                process.refused.insert(outcome.action.pool.clone(), now);
            } else if outcome.offering.is_some() {
                process.refused.remove(&outcome.action.pool);
            }
        }
        drop(world);
        outcomes
    }

    /// Finds what is to be re-run, as every whole observation does.
    async fn due(&self, seen: &Snapshot, policy: &Policy) -> Due {
        if !policy.pools.iter().any(|pool| pool.rerun_interrupted) {
            return Due::default();
        }
        let at = World::ms(seen.now - self.ahead());
        if !seen.clock_is_wrong() {
            self.world.borrow_mut().taken_in(self.nth, at, seen);
        }
        let mut seen = seen.clone();
        if let Some(guard) = self.broken {
            guard.distort_interrupted(&mut seen);
        }
        self.looks.borrow_mut().clear();
        self.reruns(policy, &|| self.nonce()).find(&seen, &[]).await
    }

    /// Carries it out.
    async fn rerun(&self, due: Due, policy: &Policy) {
        // Between what was found and what is done there is always something.
        self.steps.set(self.steps.get() + 1);
        self.is_rerunning.set(true);
        let nonce = || self.nonce();
        let (outcomes, _) = self.reruns(policy, &nonce).carry_out(&due.reruns, due.settled, |_| (), &|| false).await;
        self.is_rerunning.set(false);
        for outcome in outcomes {
            let said = || format!("operator {}: run {}: {:?}", self.nth, outcome.rerun.run_id, outcome.result);
            self.world.borrow_mut().say(said);
        }
    }

    fn reruns<'a>(&'a self, policy: &Policy, nonce: &'a dyn Fn() -> u64) -> Reruns<'a, Self, Self, Self> {
        let scope = "https://github.com/acme";
        Reruns { policy: policy.clone(), scope, runs: self, memory: self, clock: self, nonce }
    }

    fn nonce(&self) -> u64 {
        self.steps.set(self.steps.get() + 1);
        self.world.borrow().chance(&[5, self.nth as u64, self.steps.get()], u64::MAX)
    }

    /// Returns at which of its steps its process is.
    pub(crate) fn at_step(&self) -> u64 {
        self.steps.get()
    }

    // --- steps ------------------------------------------------------------------------------------------------------

    /// Goes one step: time passes, others run, the process may die.
    pub(crate) async fn step(&self) {
        let nth = self.steps.get();
        self.steps.set(nth + 1);
        let until = {
            let mut world = self.world.borrow_mut();
            let mut takes = 20 + world.chance(&[6, self.nth as u64, nth], 400);
            let process = &mut world.processes[self.nth];
            if let Some((left, lasts)) = process.stands_still {
                process.stands_still = (left > 1).then(|| (left - 1, lasts));
                if left <= 1 {
                    takes += lasts;
                }
            }
            if let Some(left) = process.dies_in {
                process.dies_in = (left > 1).then(|| left - 1);
                process.dead |= left <= 1;
            }
            if world.processes[self.nth].dead { Ms::MAX } else { world.now + takes }
        };
        Turn { hand: self, until, is_listening: false, has_begun: false }.await;
    }

    /// Makes a call: there, its effect, and back. The error is how it failed.
    pub(crate) async fn call<T>(
        &self,
        call: Call,
        what: impl FnOnce() -> String,
        effect: impl FnOnce(&mut World) -> T,
    ) -> Result<T, Failure> {
        self.call_unless(call, what, |_, _| false, effect).await
    }

    /// The same, for a call that can't fail in every way at every time.
    pub(crate) async fn call_unless<T>(
        &self,
        call: Call,
        what: impl FnOnce() -> String,
        never: impl FnOnce(&World, Failure) -> bool,
        effect: impl FnOnce(&mut World) -> T,
    ) -> Result<T, Failure> {
        self.step().await;
        let answer = {
            let mut world = self.world.borrow_mut();
            let fault = world.fault(call).filter(|fault| !never(&world, *fault));
            match fault {
                Some(failure @ Failure::Refused(_)) => {
                    world.say(|| format!("operator {}: {call:?} {} -> {failure:?}", self.nth, what()));
                    Err(failure)
                }
                fault => {
                    world.say(|| {
                        let fault = fault.map_or(String::new(), |fault| format!(" -> {fault:?}"));
                        format!("operator {}: {call:?} {}{fault}", self.nth, what())
                    });
                    let answer = effect(&mut world);
                    fault.map_or(Ok(answer), Err)
                }
            }
        };
        self.step().await;
        answer
    }

    // --- observing --------------------------------------------------------------------------------------------------

    /// Reads what is shown, in the order in which ghascale reads it; `None` where nothing usable came.
    async fn observe(&self) -> Option<Snapshot> {
        let (now, was_ahead) = (self.now(), self.ahead());
        let instances = self.call(Call::ListInstances, String::new, |world| shown_instances(world)).await;
        let mut instances = self.listing(Call::ListInstances, instances, shown_instances);
        let runners = self.call(Call::ListRunners, String::new, |world| shown_runners(world)).await;
        if runners.as_ref().is_err_and(|failure| *failure == Failure::Refused("401")) {
            return None;
        }
        let mut runners = self.listing(Call::ListRunners, runners, shown_runners);
        self.date(&instances.items, &mut runners.items);
        instances.whole &= age(self.now(), now) <= SUPPLY_LASTS || self.lacks(Guard::SupplyLasts);
        let mut scale_sets = BTreeMap::new();
        let sets: Vec<usize> = {
            self.world.borrow().pools.iter().enumerate().filter(|(_, one)| one.has_set).map(|(nth, _)| nth).collect()
        };
        for set in sets {
            // Where it can't be read, the jobs are read from REST: `auto`.
            let counts = self.call(Call::ReadSet, || set.to_string(), |world| world.statistics(set)).await;
            let name = PoolName::new(self.world.borrow().pools[set].name);
            scale_sets.extend(counts.ok().map(|counts| (name, ScaleSetDemand::Counted(counts))));
        }
        let demand = self.demand().await?;
        Some(Snapshot {
            now,
            clock_ahead: [was_ahead, self.ahead()].into_iter().max_by_key(|ahead| ahead.abs()).unwrap(),
            instances,
            runners,
            demand,
            scale_sets,
            unheard: BTreeSet::new(),
            prices: self.prices().await,
            without_capacity: BTreeSet::new(),
            refused: BTreeSet::new(),
            never_came: BTreeSet::new(),
        })
    }

    /// Reads the jobs; `None` where nothing usable came.
    pub(crate) async fn demand(&self) -> Option<Demand> {
        let at = self.now();
        let read = |world: &mut World| {
            let jobs = shown_jobs(world);
            let now = world.now;
            let process = &mut world.processes[self.nth];
            (process.jobs_read, process.jobs_seen) = (now, Some((at, jobs.clone())));
            jobs
        };
        match self.call(Call::ListJobs, String::new, read).await {
            Ok(jobs) => Some(Demand { jobs, kind: CountKind::Exact, ..Demand::none() }),
            // A part is lost, and what was seen earlier stands for it.
            Err(Failure::Part) => {
                let world = self.world.borrow();
                let mut jobs = shown_jobs(&world);
                let lost = jobs.split_off(jobs.len() / 2);
                let mut earlier = BTreeMap::new();
                if let Some((at, seen)) = &world.processes[self.nth].jobs_seen {
                    let is_lost = |job: &&Job| {
                        lost.iter().any(|lost| lost.id == job.id) || !jobs.iter().any(|one| one.id == job.id)
                    };
                    let remembered: Vec<Job> = seen.iter().filter(is_lost).cloned().collect();
                    earlier.extend(remembered.iter().map(|job| (job.id, *at)));
                    jobs.extend(remembered);
                }
                Some(Demand { jobs, earlier, kind: CountKind::AtLeast, ..Demand::none() })
            }
            // An empty page that claims to be whole can't be had of jobs: the run says that it has some.
            Err(_) => None,
        }
    }

    /// Adds what this host remembers of launches that failed, and notes which have failed now.
    fn remember(&self, seen: &mut Snapshot, policy: &Policy) {
        let failed: BTreeSet<_> = failed_boots(&View::of(seen, policy)).into_iter().cloned().collect();
        let mut world = self.world.borrow_mut();
        let now = world.now;
        let process = &mut world.processes[self.nth];
        process.never_came.extend(failed);
        let is_fresh = |at: &Ms, lasts: Duration| now - at < Ms::try_from(lasts.as_millis()).unwrap();
        let short = process.shortages.iter().filter(|(_, at)| is_fresh(at, CAPACITY_RETURNS));
        seen.without_capacity.extend(short.map(|(offering, _)| offering.clone()));
        let refused = process.refused.iter().filter(|(_, at)| is_fresh(at, REFUSED_FOR));
        seen.refused.extend(refused.map(|(pool, _)| pool.clone()));
        seen.never_came.extend(process.never_came.iter().cloned());
        drop(world);
        let _ = seen.learn_of_failed_orders(policy);
    }

    /// Reads what things cost, where there is a ceiling: the table, and spot prices if EC2 tells them.
    async fn prices(&self) -> Prices {
        if self.world.borrow().ceiling.is_none() {
            return Prices::default();
        }
        let on_demand = BTreeMap::from([("m7a.large".to_owned(), Price::micros(ON_DEMAND))]);
        let subnets = self.world.borrow().offerings(0).into_iter().map(|offering| offering.subnet).collect();
        let wish = SpotWish { types: on_demand.keys().cloned().collect(), subnets };
        Prices { on_demand, spot: self.spot_prices(&wish).await.unwrap_or_default() }
    }

    /// Gives records of scale sets that have no instance the age of this host's first sighting.
    fn date(&self, instances: &[Instance], runners: &mut [Runner]) {
        let mut world = self.world.borrow_mut();
        let now = world.now;
        let has_instance = |runner: &Runner| instances.iter().any(|one| one.runner_id == Some(runner.id));
        for runner in runners.iter_mut().filter(|one| one.born.is_none() && one.connection == Connection::Offline) {
            let is_of_a_set = world.records.iter().any(|one| one.id == runner.id && one.set.is_some());
            if is_of_a_set && !has_instance(runner) {
                let seen = *world.processes[self.nth].sightings.entry(runner.id).or_insert(now);
                runner.born = Some(World::at(seen).min(World::at(now)));
            }
        }
    }

    fn listing<T>(&self, call: Call, answer: Result<Vec<T>, Failure>, shown: fn(&World) -> Vec<T>) -> Listing<T> {
        match answer {
            Ok(items) => Listing::whole(items),
            // EC2 in trouble shows nothing and says that this is all.
            Err(Failure::Empty) if call == Call::ListInstances => {
                self.world.borrow_mut().out_of_sight();
                Listing::whole(Vec::new())
            }
            Err(Failure::Part) => {
                let items = shown(&self.world.borrow());
                let kept = items.len() / 2;
                Listing::partial(items.into_iter().take(kept).collect())
            }
            Err(_) => Listing::partial(Vec::new()),
        }
    }
}

fn shown_instances(world: &World) -> Vec<Instance> {
    let shown = world.machines.iter().filter(|machine| {
        machine.listed_from <= world.now && machine.ended.is_none_or(|ended| ended + world.remembers > world.now)
    });
    shown
        .map(|machine| Instance {
            id: machine.id.clone(),
            fleet: if machine.pool.is_some() { fleet() } else { "another".into() },
            pool: Some(PoolName::new(machine.pool.map_or("linux", |pool| world.pools[pool].name))),
            slot: Some(machine.slot).filter(|_| !world.nameless.contains(&machine.id)),
            runner_id: Some(machine.runner_id).filter(|_| !world.nameless.contains(&machine.id)),
            state: if machine.state == InstanceState::Running && machine.launched + 10 * SECOND > world.now {
                InstanceState::Pending
            } else {
                machine.state
            },
            launched_at: Some(World::at(machine.launched)),
            market: machine.offering.market,
            instance_type: machine.offering.instance_type.clone(),
            subnet: machine.ended.is_none().then(|| machine.offering.subnet.clone()),
            state_reason: machine.reason.map(str::to_owned),
            marks: machine.marks,
        })
        .collect()
}

fn shown_runners(world: &World) -> Vec<Runner> {
    let missed = world.missed.filter(|(_, until)| world.now < *until).map(|(id, _)| id);
    world.records.iter().filter(|record| Some(record.id) != missed).map(|record| shown_runner(world, record)).collect()
}

/// Returns a record as GitHub shows it.
pub(crate) fn shown_runner(world: &World, record: &Record) -> Runner {
    let is_online = record.online && record.offline_until <= world.now;
    Runner {
        id: record.id,
        name: record.name.clone(),
        connection: if is_online { Connection::Online } else { Connection::Offline },
        busy: record.job.is_some() && record.busy_from <= world.now && record.flipped_until <= world.now,
        labels: record.labels.clone(),
        born: World::born(record),
    }
}

fn shown_jobs(world: &World) -> Vec<Job> {
    let open = world.jobs.iter().filter(|job| job.ended.is_none_or(|ended| ended + 2 * SECOND > world.now));
    open.filter(|job| job.queued + SECOND <= world.now)
        .map(|job| {
            let runner = job.runner.clone().filter(|_| job.start_listed <= world.now);
            Job {
                id: JobId(job.id),
                run_id: world.runs[job.run].id,
                attempt: job.attempt,
                repository: "acme/api".into(),
                name: String::new(),
                labels: job.labels.clone(),
                state: if runner.is_some() { JobState::InProgress } else { JobState::Pending },
                queued_at: Some(World::at(job.queued)),
                runner_id: runner.as_ref().map(|(id, _)| *id),
                runner_name: runner.map(|(_, name)| name),
                url: String::new(),
            }
        })
        .collect()
}

/// Returns the policy that all operators of a history have.
pub(crate) fn policy(world: &World, setups: &[PoolSetup]) -> Policy {
    let pools = setups.iter().enumerate().map(|(nth, setup)| Pool {
        offerings: world.offerings(nth),
        max_lifetime: Duration::from_millis(setup.max_lifetime),
        idle_confirm: Duration::from_mins(2),
        trim: setup.trim,
        rerun_interrupted: setup.reruns,
        has_scale_set: setup.has_set,
        ..pool(setup.name).labels(setup.labels).sized(setup.min_idle, setup.max)
    });
    Policy {
        fleet: fleet(),
        pools: pools.collect(),
        max_total: world.max_total,
        max_usd_per_hour: world.ceiling.map(Price::micros),
    }
}

/// Returns what launches need beside the plan.
fn settings(world: &World, seen: &Snapshot) -> BTreeMap<PoolName, PoolSettings> {
    let place = |nth: usize, pool: &PoolSetup| match seen.source(&PoolName::new(pool.name)) {
        Source::ScaleSet => Place::ScaleSet(ScaleSetId(nth as u64)),
        Source::Rest => Place::Group { name: "Default".into(), labels: labels(pool.labels) },
    };
    let pools = world.pools.iter().enumerate();
    pools.map(|(nth, pool)| (PoolName::new(pool.name), PoolSettings { place: place(nth, pool) })).collect()
}

/// A message of a scale set that tells of one runner.
fn message((id, works): &(RunnerId, bool)) -> Message {
    let runner = JobRunner { id: Some(*id), name: None };
    let event =
        if *works { JobEvent::Started(runner) } else { JobEvent::Completed { result: "succeeded".into(), runner } };
    Message::of(1, vec![JobMessage::of(JobKey::Request(1), event)])
}

// --- time -----------------------------------------------------------------------------------------------------------

/// Waits for a time, or for a call of the listener's.
struct Turn<'a> {
    hand: &'a Hand,
    until: Ms,
    is_listening: bool,
    has_begun: bool,
}

impl Future for Turn<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut world = self.hand.world.borrow_mut();
        let was_called = self.is_listening && self.has_begun && world.processes[self.hand.nth].called.is_none();
        if world.now >= self.until || was_called {
            world.processes[self.hand.nth].called = None;
            return Poll::Ready(());
        }
        if self.is_listening {
            world.processes[self.hand.nth].called = Some(context.waker().clone());
        }
        if self.until != Ms::MAX && !self.has_begun {
            world.wake_at(self.until, context.waker().clone());
        }
        drop(world);
        self.has_begun = true;
        Poll::Pending
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        World::at(self.world.borrow().now) + self.ahead()
    }

    async fn sleep(&self, time: Duration) {
        let until = self.world.borrow().now + u64::try_from(time.as_millis()).unwrap_or(0);
        Turn { hand: self, until, is_listening: false, has_begun: false }.await;
    }
}

impl Listener for Hand {
    fn ended(&self, outcome: &Outcome) {
        if let Some(error) = &outcome.error {
            self.world.borrow_mut().say(|| format!("operator {}: {:?}: {error}", self.nth, outcome.result));
        }
    }
}
