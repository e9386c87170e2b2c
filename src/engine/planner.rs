//! The decision, as a page: marks, ends, launches; each step with the reason why, or the reason why not.

use jiff::Timestamp;
use std::collections::BTreeSet;

use super::ceiling;
use super::fleet::{Connection, Instance, Mark, Market, Offering};
use super::job::{CountKind, Job, Source};
use super::names::{InstanceId, JobId, PoolName, RunnerId, RunnerName, Slot};
use super::plan::{Action, Held, Plan, PoolPlan, Reason, ReasonCode, Step, Unschedulable};
use super::policy::{BOOTS_IN_DOUBT, LAUNCH_WINDOW, LOST_GRACE, Policy, Pool, RECORD_GRACE};
use super::shares::{Claim, HeldBack, share};
use super::snapshot::{ScaleSetDemand, Snapshot};
use super::states::{State, Unit};
use super::view::{PoolView, View};
use crate::ages::{age, apart, short};

/// Decides what to do about a snapshot.
///
/// The result is the same for any order of the snapshot's lists and of the policy's pools.
#[must_use]
pub fn plan(snapshot: &Snapshot, policy: &Policy) -> Plan {
    let mut view = View::of(snapshot, policy);
    let unschedulable = std::mem::take(&mut view.assignment.unschedulable);
    let supply_is_whole = snapshot.instances.whole && snapshot.runners.whole;
    let guards = Guards::of(snapshot, &view);

    let mut plan = Plan { seen_at: snapshot.now, unschedulable, ..Plan::default() };
    let mut parts: Vec<Part<'_>> = Vec::new();
    for pool in &view.pools {
        let demand = pool_demand(pool, &view);
        let (mut actions, mut to_launch) = (Vec::new(), Vec::new());
        if supply_is_whole {
            let surplus = demand.map_or(0, |demand| surplus(pool, demand));
            let trimmed = trimmed(pool, surplus, &guards, snapshot.now);
            for unit in &pool.units {
                actions.extend(mark(unit, surplus > 0, &guards, snapshot.now));
                match end(unit, &trimmed, &guards, snapshot.now) {
                    Ending::Nothing => {}
                    Ending::Steps(steps) => actions.extend(steps),
                    Ending::Held(reason) => plan.held.push(held(unit, reason)),
                }
            }
            let demand = demand.filter(|_| !snapshot.clock_is_useless());
            to_launch = demand.into_iter().flat_map(|demand| launches(pool, demand, policy, snapshot)).collect();
            let doubt = || boots_in_doubt(pool, snapshot).or_else(|| launches_in_doubt(pool, snapshot));
            if let Some(doubt) = doubt().filter(|_| to_launch.len() > 1) {
                to_launch.truncate(1);
                plan.held.push(Held { pool: pool.pool.name.clone(), runner: None, instance_id: None, reason: doubt });
            }
        }
        parts.push(Part { pool, demand, actions, to_launch });
    }
    let mut claims: Vec<Claim<'_>> = parts
        .iter_mut()
        .map(|Part { pool, to_launch, .. }| {
            let waits_since = view.pending_on(&pool.pool.name).iter().filter_map(|job| job.queued_at).min();
            Claim { pool, launches: to_launch, is_short: pool.is_short(snapshot), waits_since }
        })
        .collect();
    let apart = ceiling::spent_apart(&view, &snapshot.prices).known;
    for HeldBack { held, launches } in share(&mut claims, apart, policy, snapshot) {
        plan.unschedulable.extend(without_runner(&view, &plan.unschedulable, &launches, &held));
        plan.held.push(held);
    }
    plan.unschedulable.sort_by_key(|job| job.job_id);
    for Part { pool, demand, mut actions, to_launch } in parts {
        actions.extend(to_launch);
        drop_repeated_deregistrations(&mut actions);
        plan.pools.push(sums(pool, demand, &actions));
        plan.actions.extend(actions);
    }
    plan
}

/// A pool's part of a plan.
struct Part<'a> {
    pool: &'a PoolView<'a>,
    demand: Option<PoolDemand>,
    /// Marks and ends.
    actions: Vec<Action>,
    to_launch: Vec<Action>,
}

/// What a pool is asked for.
#[derive(Clone, Copy, Debug)]
struct PoolDemand {
    busy: u32,
    pending: u32,
}

/// Returns what a pool is asked for; `None` where nobody can say.
///
/// A scale set's own count of assigned jobs is its demand, less what runners of others have or will take of it.
fn pool_demand(pool: &PoolView<'_>, view: &View<'_>) -> Option<PoolDemand> {
    let busy = pool.supply().busy;
    let pending = match pool.scale_set {
        None => view.pending_on(&pool.pool.name).len() as u64,
        Some(ScaleSetDemand::Unknown) => return None,
        Some(ScaleSetDemand::Counted(counts)) => {
            let (running, idle) = pool.runners_of_others();
            // Of jobs that our runners have by the set's count and not by REST's, the runners are still counted as idle.
            let unseen = counts.at_work().saturating_sub(running).saturating_sub(pool.busy_at_the_set().into());
            counts.waiting().saturating_sub(idle).saturating_add(unseen)
        }
    };
    Some(PoolDemand { busy, pending: u32::try_from(pending).unwrap_or(u32::MAX) })
}

impl PoolDemand {
    fn total(self) -> u32 {
        self.busy.saturating_add(self.pending)
    }

    fn target(self, pool: &Pool) -> u32 {
        self.total().saturating_add(pool.min_idle).min(pool.max)
    }
}

fn sums(view: &PoolView<'_>, demand: Option<PoolDemand>, actions: &[Action]) -> PoolPlan {
    let supply = view.supply();
    let count = |wanted: fn(&Step) -> bool| {
        u32::try_from(actions.iter().filter(|action| wanted(&action.step)).count()).unwrap_or(u32::MAX)
    };
    PoolPlan {
        name: view.pool.name.clone(),
        demand: demand.map(PoolDemand::total),
        supply: supply.busy + supply.idle + supply.starting,
        target: demand.map(|demand| demand.target(view.pool)),
        launch: count(|step| matches!(step, Step::Launch { .. })),
        end: count(|step| matches!(step, Step::Terminate { .. })),
    }
}

// --- launching ------------------------------------------------------------------------------------------------------

/// Returns the launches that bring a pool up to its target, at once, in its lowest free slots.
fn launches(view: &PoolView<'_>, demand: PoolDemand, policy: &Policy, snapshot: &Snapshot) -> Vec<Action> {
    let (pool, supply) = (view.pool, view.supply());
    if pool.offerings.is_empty() {
        return Vec::new();
    }
    let ready = supply.idle + supply.starting;
    let for_jobs = demand.pending.saturating_sub(ready);
    let spare = ready.saturating_sub(demand.pending) + supply.apart;
    let wanted = for_jobs.saturating_add(pool.min_idle.saturating_sub(spare));
    let count = wanted.min(pool.max.saturating_sub(supply.held));
    let source = if view.scale_set.is_some() { Source::ScaleSet } else { Source::Rest };
    (0..count)
        .zip(view.free_slots())
        .map(|(nth, slot)| Action {
            pool: pool.name.clone(),
            slot: Some(slot),
            runner: Some(RunnerName::of(&policy.fleet, &pool.name, slot)),
            step: Step::Launch { offerings: offerings_for(slot, pool, snapshot), source },
            reason: if nth < for_jobs {
                let jobs = jobs(demand.pending);
                let at = if view.scale_set.is_some() { "assigned to the scale set and waiting" } else { "pending" };
                Reason::new(ReasonCode::Demand, format!("{jobs} {at}, {ready} runners idle or on their way"))
            } else {
                Reason::new(ReasonCode::MinIdle, format!("min_idle is {}", pool.min_idle))
            },
        })
        .collect()
}

/// Returns the jobs that get no runner, since launches for them are held back: those that have waited the shortest.
fn without_runner(
    view: &View<'_>,
    told: &[Unschedulable],
    launches: &[Action],
    Held { pool, reason, .. }: &Held,
) -> Vec<Unschedulable> {
    let for_jobs = launches.iter().filter(|launch| launch.reason.code == ReasonCode::Demand).count();
    let told: BTreeSet<JobId> = told.iter().map(|job| job.job_id).collect();
    let mut waiting: Vec<&Job> = view.pending_on(pool).iter().copied().filter(|job| !told.contains(&job.id)).collect();
    waiting.sort_by_key(|job| (job.queued_at.is_none(), job.queued_at, job.id));
    let served = waiting.len().saturating_sub(for_jobs);
    let without = waiting.into_iter().skip(served);
    without.map(|job| Unschedulable { job_id: job.id, labels: job.labels.clone(), reason: reason.clone() }).collect()
}

/// Returns why a pool must not launch many at once: its latest instances never came online.
///
/// EC2 shows what has ended for an hour, with its tags, and until its record is deleted every host can tell that it failed;
/// from then on this host remembers.
fn boots_in_doubt(view: &PoolView<'_>, snapshot: &Snapshot) -> Option<Reason> {
    let launched = |unit: &Unit<'_>| unit.instance().and_then(|instance| instance.launched_at);
    let came_online = |unit: &&Unit<'_>| {
        unit.is_online() || unit.instance().is_some_and(|instance| instance.mark(Mark::SeenOnline).is_some())
    };
    let last_good = view.units.iter().filter(came_online).filter_map(launched).max();
    let is_known = |unit: &Unit<'_>| unit.instance().is_some_and(|instance| snapshot.never_came.contains(&instance.id));
    let has_failed = |unit: &&Unit<'_>| launched(unit) > last_good && (never_came(unit) || is_known(unit));
    let failed = view.units.iter().filter(has_failed).count();
    let failed = u32::try_from(failed).unwrap_or(u32::MAX);
    (failed >= BOOTS_IN_DOUBT).then(|| {
        let message = format!("{failed} instances in a row never came online: one launch a pass until one does");
        Reason::new(ReasonCode::BootsFail, message)
    })
}

/// Returns why a pool must not launch many at once: its last launches were refused, whatever they asked for.
fn launches_in_doubt(view: &PoolView<'_>, snapshot: &Snapshot) -> Option<Reason> {
    let said = "its last launches were refused: one launch a pass until one succeeds";
    snapshot.refused.contains(&view.pool.name).then(|| Reason::new(ReasonCode::LaunchesFail, said))
}

/// Returns the instances that have ended without their runners ever having been online, as long as that can be told.
#[must_use]
pub fn failed_boots<'a>(view: &'a View<'_>) -> BTreeSet<&'a InstanceId> {
    let units = view.pools.iter().flat_map(|pool| &pool.units);
    let failed = units.filter(|unit| unit.state == State::Ending && never_came(unit));
    failed.filter_map(|unit| unit.instance().map(|instance| &instance.id)).collect()
}

/// Returns whether an instance is known to have failed before its runner was online. One that did a short job between two
/// passes was not seen online either, but GitHub has deleted its record.
fn never_came(unit: &Unit<'_>) -> bool {
    let Some(instance) = unit.instance() else { return false };
    let was_given_up = unit.state == State::BootFailed || instance.mark(Mark::Draining).is_some();
    let died = unit.state == State::Ending && unit.runner().is_some() && !unit.works();
    instance.mark(Mark::SeenOnline).is_none()
        && !unit.is_online()
        && (was_given_up || died)
        && !instance.was_taken_back()
}

fn jobs(count: u32) -> String {
    format!("{count} {}", if count == 1 { "job" } else { "jobs" })
}

/// Returns a pool's offerings, the subnets of each market and type rotated by the slot: a spread over zones, and two
/// hosts that plan for different slots ask different zones first. What had no capacity a moment ago is tried last.
fn offerings_for(slot: Slot, pool: &Pool, snapshot: &Snapshot) -> Vec<Offering> {
    let rotated = pool
        .offerings
        .chunk_by(|a, b| (a.market, &a.instance_type) == (b.market, &b.instance_type))
        .flat_map(|subnets| {
            let first = slot.0 as usize % subnets.len();
            subnets[first..].iter().chain(&subnets[..first]).cloned()
        });
    let mut offerings: Vec<Offering> = rotated.collect();
    offerings.sort_by_key(|offering| snapshot.without_capacity.contains(offering));
    offerings
}

// --- trimming -------------------------------------------------------------------------------------------------------

/// Returns how many runners are idle beyond what the pool is asked for and keeps. One that is on its way may never come: it
/// makes no idle one superfluous.
fn surplus(view: &PoolView<'_>, demand: PoolDemand) -> u32 {
    let (pool, supply) = (view.pool, view.supply());
    let wanted = demand.pending.saturating_add(pool.min_idle);
    if pool.trim { supply.idle.saturating_sub(wanted) } else { 0 }
}

/// Returns the idle runners that are ended in this pass: at most half the surplus, and one at least.
///
/// On-demand goes before spot where spot was wanted: it is what is left of a shortage. Then the oldest, and the name of
/// the instance decides between equals, so that hosts that plan at once agree.
fn trimmed<'a>(view: &PoolView<'a>, surplus: u32, guards: &Guards, now: Timestamp) -> BTreeSet<&'a InstanceId> {
    let may_go = |unit: &&Unit<'_>| {
        let has_booted = unit.instance().and_then(|instance| instance.launched_at);
        unit.state == State::Idle
            && has_booted.is_some_and(|launched| age(now, launched) >= unit.pool.boot_timeout)
            && hindrance(unit, guards, now).is_none()
    };
    let is_fallback = |instance: &Instance| {
        let wants_spot = view.pool.offerings.first().is_some_and(|offering| offering.market == Market::Spot);
        wants_spot && instance.market == Market::OnDemand
    };
    let mut idle: Vec<&Instance> = view.units.iter().filter(may_go).filter_map(Unit::instance).collect();
    idle.sort_by_key(|instance| (!is_fallback(instance), instance.launched_at, &instance.id));
    let most = if surplus == 0 { 0 } else { (surplus / 2).max(1) };
    idle.into_iter().take(most as usize).map(|instance| &instance.id).collect()
}

// --- marking --------------------------------------------------------------------------------------------------------

/// Returns the notes that the next observation needs on an instance.
fn mark(unit: &Unit<'_>, is_surplus: bool, guards: &Guards, now: Timestamp) -> Vec<Action> {
    let Some(instance) = unit.instance().filter(|_| !guards.clock_is_wrong) else { return Vec::new() };
    // Without a launch time no mark can be told from one that was copied.
    if matches!(unit.state, State::Ending | State::Stopped | State::Foreign) || instance.launched_at.is_none() {
        return Vec::new();
    }
    let marked = |mark| instance.mark(mark).is_some();
    let Some(runner) = unit.runner() else {
        // A young one has most likely done its job and powers itself off.
        let is_old = instance.launched_at.is_some_and(|launched| age(now, launched) >= RECORD_GRACE);
        let is_news = is_old && !unit.works() && !marked(Mark::Draining);
        return is_news.then(|| mark_gone(unit, instance, instance.runner_id)).into_iter().collect();
    };
    let mut notes = Vec::new();
    if unit.is_online() && !marked(Mark::SeenOnline) {
        notes.push((Mark::SeenOnline, true, Reason::new(ReasonCode::SeenOnline, "its runner is online")));
    }
    if unit.is_online() && marked(Mark::OfflineSince) {
        notes.push((Mark::OfflineSince, false, Reason::new(ReasonCode::OnlineAgain, "its runner is online again")));
    }
    let went_offline = unit.state == State::Disconnected && runner.connection == Connection::Offline;
    if went_offline && !marked(Mark::OfflineSince) {
        notes.push((Mark::OfflineSince, true, Reason::new(ReasonCode::Offline, "its runner is offline")));
    }
    let why_idle = match unit.state {
        State::Expired => Some("its runner is idle, and its life is over"),
        State::Idle if is_surplus => Some("its runner is idle, and more are than needed"),
        _ => None,
    };
    if let Some(why) = why_idle.filter(|_| !marked(Mark::IdleSince) && guards.against(unit).is_none()) {
        notes.push((Mark::IdleSince, true, Reason::new(ReasonCode::Idle, why)));
    }
    if marked(Mark::Draining) {
        notes.push((Mark::Draining, false, Reason::new(ReasonCode::Draining, "its runner is registered after all")));
    }
    if unit.works() && marked(Mark::IdleSince) {
        notes.push((Mark::IdleSince, false, Reason::new(ReasonCode::Working, "its runner works")));
    }
    notes.into_iter().map(|(mark, set, reason)| mark_action(unit, instance, mark, set, reason)).collect()
}

fn mark_action(unit: &Unit<'_>, instance: &Instance, mark: Mark, set: bool, reason: Reason) -> Action {
    action(unit, Step::Mark { instance_id: instance.id.clone(), mark, set, record: None }, reason)
}

/// Returns the note that a record is gone: made only once it is, and then true for ever.
fn mark_gone(unit: &Unit<'_>, instance: &Instance, record: Option<RunnerId>) -> Action {
    let reason = Reason::new(ReasonCode::Draining, "its runner is registered no more");
    action(unit, Step::Mark { instance_id: instance.id.clone(), mark: Mark::Draining, set: true, record }, reason)
}

// --- ending ---------------------------------------------------------------------------------------------------------

/// What becomes of a unit that may have to go.
enum Ending {
    Nothing,
    Steps(Vec<Action>),
    Held(Reason),
}

/// Returns how a unit is ended, or the guard that holds it back.
fn end(unit: &Unit<'_>, trimmed: &BTreeSet<&InstanceId>, guards: &Guards, now: Timestamp) -> Ending {
    let reason = match unit.state {
        State::Idle if unit.instance().is_some_and(|instance| trimmed.contains(&instance.id)) => Reason::new(
            ReasonCode::Surplus,
            format!("idle for {}, and more are idle than needed (min_idle {})", idle(unit, now), unit.pool.min_idle),
        ),
        State::Launching | State::Foreign | State::Booting | State::Idle | State::Disconnected => {
            return Ending::Nothing;
        }
        State::Settling => return at_work(unit).map_or(Ending::Nothing, Ending::Held),
        State::Busy => return past_its_life(unit, now).map_or(Ending::Nothing, Ending::Held),
        State::Ending if unit.runner().is_none() => return Ending::Nothing,
        State::Ending => Reason::new(ReasonCode::Ended, "its instance has ended"),
        State::OrphanRunner => {
            Reason::new(ReasonCode::OrphanRunner, format!("registered over {} ago, no instance", short(LAUNCH_WINDOW)))
        }
        State::BootFailed => Reason::new(
            ReasonCode::BootFailed,
            format!(
                "launched {} ago and never online (boot_timeout {})",
                launched(unit, now),
                short(unit.pool.boot_timeout)
            ),
        ),
        State::Lost => {
            Reason::new(ReasonCode::Lost, format!("offline for over {}, and no job has its runner", short(LOST_GRACE)))
        }
        State::OrphanInstance => Reason::new(
            ReasonCode::OrphanInstance,
            format!("launched {} ago, no runner record, and no job has its runner", launched(unit, now)),
        ),
        State::Stopped => Reason::new(ReasonCode::Stopped, "stopped, which is never intended"),
        State::Expired => Reason::new(
            ReasonCode::Expired,
            format!("launched {} ago and idle (max_lifetime {})", launched(unit, now), short(unit.pool.max_lifetime)),
        ),
    };
    let is_over = matches!(unit.state, State::Ending | State::Stopped);
    if is_over && unit.runner().is_some_and(|runner| runner.connection != Connection::Offline) {
        let said = "its instance has ended, and GitHub doesn't say that its runner is offline";
        return Ending::Held(Reason::new(ReasonCode::Confirming, said));
    }
    // Of a terminated instance nothing can be ended any more: its record only keeps its slot from the next.
    let is_gone = unit.state == State::Ending && unit.instance().is_some_and(|instance| !instance.is_live());
    if is_gone {
        return Ending::Steps(steps(unit, &reason));
    }
    hindrance(unit, guards, now).map_or_else(|| Ending::Steps(steps(unit, &reason)), Ending::Held)
}

/// Returns the first thing that stands against an end.
fn hindrance(unit: &Unit<'_>, guards: &Guards, now: Timestamp) -> Option<Reason> {
    guards.against(unit).or_else(|| at_work(unit)).or_else(|| unconfirmed(unit, now))
}

/// Returns the steps of an end: of a record, or of an instance whose record has been gone for long.
///
/// No instance that can run goes in one pass with its record. GitHub gives a job to a runner that connects between our
/// last look and our DELETE, calls the runner idle for a minute more, and grants the DELETE all the same
/// (terraform-aws-github-runner#5085): so the instance follows as an orphan in a later pass, after
/// [`super::DRAIN_GRACE`] and another look at the jobs, unless it has powered itself off by then.
fn steps(unit: &Unit<'_>, reason: &Reason) -> Vec<Action> {
    let mut steps = Vec::new();
    if let Some(runner) = unit.runner() {
        let instance_id = unit.instance().map(|instance| instance.id.clone());
        steps.push(action(unit, Step::Deregister { runner_id: runner.id, instance_id }, reason.clone()));
    }
    let Some(instance) = unit.instance().filter(|_| unit.state != State::Ending) else { return steps };
    let record = unit.runner().map(|runner| runner.id).or(instance.runner_id);
    if unit.runner().is_none() || unit.state == State::Stopped {
        steps.push(action(unit, Step::Terminate { instance_id: instance.id.clone(), record }, reason.clone()));
    } else if instance.launched_at.is_some() {
        steps.push(mark_gone(unit, instance, record));
    }
    steps
}

fn action(unit: &Unit<'_>, step: Step, reason: Reason) -> Action {
    Action {
        pool: unit.pool.name.clone(),
        slot: unit.slot,
        runner: unit.runner().map(|runner| runner.name.clone()),
        step,
        reason,
    }
}

fn held(unit: &Unit<'_>, reason: Reason) -> Held {
    Held {
        pool: unit.pool.name.clone(),
        runner: unit.runner().map(|runner| runner.name.clone()),
        instance_id: unit.instance().map(|instance| instance.id.clone()),
        reason,
    }
}

/// What is true of the whole observation and forbids ends.
struct Guards {
    /// Holds every end.
    every: Option<Reason>,
    /// Holds the ends of instances whose runner may have been connected: their proof is that no job has the runner.
    connected: Option<Reason>,
    /// Holds every mark, too: others judge by its time.
    clock_is_wrong: bool,
}

impl Guards {
    fn of(snapshot: &Snapshot, view: &View<'_>) -> Self {
        let demand = &snapshot.demand;
        let partial = |why| Reason::new(ReasonCode::PartialObservation, why);
        let hidden = demand.hides_jobs().map(partial);
        let clock_is_wrong = snapshot.clock_is_wrong();
        let (every, connected) = if clock_is_wrong {
            let said = format!("this host's clock is {} GitHub's", apart(snapshot.clock_ahead));
            (Some(Reason::new(ReasonCode::ClockWrong, said)), None)
        } else if demand.kind != CountKind::Exact {
            (hidden, None)
        } else if view.is_wrong_account() {
            let said = "no instance of the fleet was seen, though its runners are online";
            (Some(Reason::new(ReasonCode::WrongAccount, said)), hidden)
        } else {
            (None, hidden)
        };
        Self { every, connected, clock_is_wrong }
    }

    /// Returns why a unit must not be ended, whatever else is known of it.
    fn against(&self, unit: &Unit<'_>) -> Option<Reason> {
        let by_jobs = match unit.state {
            State::Lost | State::OrphanInstance | State::Expired | State::Idle => self.connected.clone(),
            _ => None,
        };
        self.every.clone().or(by_jobs)
    }
}

/// Returns the work that forbids an end.
///
/// Of an ended or stopped instance no job can be running, whatever GitHub still says. GitHub's `busy` alone doesn't
/// hold a lost runner for ever: its DELETE answers 422 if that is so, and then the instance stays.
fn at_work(unit: &Unit<'_>) -> Option<Reason> {
    if matches!(unit.state, State::Ending | State::Stopped) {
        return None;
    }
    if let Some(job) = unit.job {
        return Some(Reason::new(
            ReasonCode::JobInProgress,
            format!("job {} of {} has its runner", job.id, job.repository),
        ));
    }
    let busy = unit.runner().is_some_and(|runner| runner.busy) && unit.state != State::Lost;
    busy.then(|| Reason::new(ReasonCode::RunnerBusy, "GitHub says that its runner is busy"))
}

/// Returns what an end still has to wait for.
///
/// An idle runner: two sightings, and `idle_confirm` between them. Any: that the note of its record's absence, which was
/// wrong, is taken away.
fn unconfirmed(unit: &Unit<'_>, now: Timestamp) -> Option<Reason> {
    let was_thought_gone = unit.instance().is_some_and(|instance| instance.mark(Mark::Draining).is_some());
    if unit.runner().is_some() && was_thought_gone && !matches!(unit.state, State::Ending | State::Stopped) {
        return Some(Reason::new(ReasonCode::Confirming, "its runner was thought to be registered no more"));
    }
    if !matches!(unit.state, State::Expired | State::Idle) {
        return None;
    }
    let confirm = unit.pool.idle_confirm;
    match unit.instance().and_then(|instance| instance.mark(Mark::IdleSince)) {
        Some(since) if age(now, since) >= confirm => None,
        Some(since) => Some(Reason::new(
            ReasonCode::Confirming,
            format!("idle for {} of {}", short(age(now, since)), short(confirm)),
        )),
        None => Some(Reason::new(ReasonCode::Confirming, format!("idle for the first time of {}", short(confirm)))),
    }
}

fn idle(unit: &Unit<'_>, now: Timestamp) -> String {
    let since = unit.instance().and_then(|instance| instance.mark(Mark::IdleSince));
    since.map_or_else(|| "?".into(), |since| short(age(now, since)))
}

fn past_its_life(unit: &Unit<'_>, now: Timestamp) -> Option<Reason> {
    let launched_at = unit.instance()?.launched_at?;
    (age(now, launched_at) >= unit.pool.max_lifetime).then(|| {
        let message = format!("older than max_lifetime {}, but it works", short(unit.pool.max_lifetime));
        Reason::new(ReasonCode::RunnerBusy, message)
    })
}

fn launched(unit: &Unit<'_>, now: Timestamp) -> String {
    unit.instance()
        .and_then(|instance| instance.launched_at)
        .map_or_else(|| "?".into(), |launched_at| short(age(now, launched_at)))
}

/// Keeps one deregistration of each record: two instances can carry the same runner's tag where someone copied one.
fn drop_repeated_deregistrations(actions: &mut Vec<Action>) {
    let mut seen: BTreeSet<RunnerId> = BTreeSet::new();
    actions.retain(|action| match action.step {
        Step::Deregister { runner_id, .. } => seen.insert(runner_id),
        Step::Launch { .. } | Step::Terminate { .. } | Step::Mark { .. } => true,
    });
}

impl Plan {
    /// Keeps only what concerns the given pools; all of it if none is given.
    #[must_use]
    pub fn only(mut self, pools: &[PoolName]) -> Self {
        if !pools.is_empty() {
            self.pools.retain(|sums| pools.contains(&sums.name));
            self.actions.retain(|action| pools.contains(&action.pool));
            self.held.retain(|held| pools.contains(&held.pool));
        }
        self
    }
}
