//! A snapshot, sorted by pool: what is there, what becomes of it, and where the pending jobs go.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::assignment::{Assignment, Capacity, Shortage, assign};
use super::ceiling;
use super::fleet::{Connection, Instance, Runner, born};
use super::job::{Demand, Job, JobState};
use super::labels::Signature;
use super::names::{JobId, PoolName, RunnerId, RunnerName, Slot};
use super::policy::{Policy, Pool};
use super::snapshot::{ScaleSetDemand, Snapshot};
use super::states::{Joined, State, Unit};
use crate::ages::age;
use crate::warning::{Warning, WarningCode};

/// One observation as the policy sees it.
#[derive(Debug)]
pub struct View<'a> {
    /// The pools, by name.
    pub pools: Vec<PoolView<'a>>,
    /// Where the pending jobs go.
    pub assignment: Assignment<'a>,
    /// Jobs that waited at an earlier look, and that runners of the pool may have taken since: demand no more.
    pub taken_since: BTreeMap<&'a PoolName, Vec<&'a Job>>,
    /// Instances with our fleet tag, but with the name of no pool: never touched.
    pub strangers: Vec<&'a Instance>,
    /// What lacks a price, where there is a ceiling.
    pub unpriced: Vec<Warning>,
}

/// One pool's part of it.
#[derive(Debug)]
pub struct PoolView<'a> {
    /// The pool.
    pub pool: &'a Pool,
    /// Its runners, by slot.
    pub units: Vec<Unit<'a>>,
    /// Slots whose name is held by the record of an instance that is tagged for another place.
    pub lent: Vec<Slot>,
    /// How its demand is known, where it is read from its scale set.
    pub scale_set: Option<ScaleSetDemand>,
    /// Its scale set answers, and its jobs are not given to it.
    pub is_unheard: bool,
    /// How many runners of the scope are connected and have none of the fleet's names.
    pub strangers: u64,
}

/// A pool's runners, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Supply {
    /// Working.
    pub busy: u32,
    /// Connected and waiting for a job.
    pub idle: u32,
    /// Connected and waiting too, but registered in the other of GitHub's two books: no job that is counted now can go
    /// there, and one that comes later may.
    pub apart: u32,
    /// On their way.
    pub starting: u32,
    /// All that hold a slot, whatever they do: what `max` bounds.
    pub held: u32,
}

impl<'a> PoolView<'a> {
    fn new(pool: &'a Pool, snapshot: &Snapshot) -> Self {
        let scale_set = snapshot.scale_sets.get(&pool.name).copied();
        let is_unheard = snapshot.unheard.contains(&pool.name);
        Self { pool, units: Vec::new(), lent: Vec::new(), scale_set, is_unheard, strangers: 0 }
    }

    /// Counts what is there.
    #[must_use]
    pub fn supply(&self) -> Supply {
        let lent = u32::try_from(self.lent.len()).unwrap_or(u32::MAX);
        let mut supply = Supply { held: lent, ..Supply::default() };
        let mut counted: BTreeSet<RunnerId> = BTreeSet::new();
        for unit in &self.units {
            supply.held += u32::from(unit.holds_slot());
            // Two instances with one runner's tag are one runner.
            if unit.runner().is_some_and(|runner| !counted.insert(runner.id)) {
                continue;
            }
            let serves = self.serves(unit);
            match unit.state {
                State::Busy | State::Disconnected if self.may_be_counted_as_waiting(unit) => {
                    // The set's counts may be of before its job: it is the runner that they wait for.
                    if unit.is_online() { supply.idle += 1 } else { supply.starting += 1 }
                }
                State::Busy => supply.busy += 1,
                // Connected under our name: GitHub gives it jobs of this pool, wherever its instance is.
                State::Foreign if unit.is_online() && unit.works() => supply.busy += 1,
                State::Idle | State::Expired if serves => supply.idle += 1,
                State::Foreign if unit.is_online() && serves => supply.idle += 1,
                State::Idle | State::Expired => supply.apart += 1,
                State::Foreign if unit.is_online() => supply.apart += 1,
                State::Launching | State::Booting => supply.starting += u32::from(serves),
                State::Foreign
                | State::OrphanRunner
                | State::BootFailed
                | State::Disconnected
                | State::Lost
                | State::Settling
                | State::OrphanInstance
                | State::Ending
                | State::Stopped => {}
            }
        }
        supply
    }

    /// Returns whether the set's counts may not know yet that a runner of the set works: they are read after the records and
    /// before the jobs, and only a job says so. Where they do know it, its job is one that works beyond our busy runners,
    /// and is counted beside it.
    fn may_be_counted_as_waiting(&self, unit: &Unit<'_>) -> bool {
        let is_by_job_alone = unit.job.is_some() && unit.runner().is_some_and(|runner| !runner.busy);
        matches!(self.scale_set, Some(ScaleSetDemand::Counted(_))) && is_by_job_alone && is_of_the_set(unit)
    }

    /// Returns whether a runner may get the jobs that its pool's source counts: those of a scale set go to the set's own
    /// runners only, and those have no label of birth.
    ///
    /// Where a set is silent, the REST API's jobs may be the set's: then its runners are not launched for again. Where it
    /// answers that it has none, only those on their way may still get one, if that answer is wrong.
    fn serves(&self, unit: &Unit<'_>) -> bool {
        if !self.pool.has_scale_set || unit.runner().is_none() {
            return true;
        }
        let is_of_the_set = is_of_the_set(unit);
        match self.scale_set {
            None => !self.is_unheard || !is_of_the_set || !unit.is_online(),
            Some(ScaleSetDemand::Counted(_)) => is_of_the_set,
            Some(ScaleSetDemand::Unknown) => true,
        }
    }

    /// Returns what it could give to pending jobs.
    ///
    /// A job of the REST API goes to a pool that can launch for it before one that may not under the ceiling, or for which
    /// EC2 had no capacity a moment ago.
    fn capacity(&self, policy: &Policy, snapshot: &Snapshot) -> Capacity {
        let supply = self.supply();
        let ready = supply.idle + supply.starting;
        let room = self.pool.max.saturating_sub(supply.held);
        let can_launch = !self.pool.offerings.is_empty();
        let launchable = if can_launch { room } else { 0 };
        let shortage = if can_launch { Shortage::Max } else { Shortage::Offerings };
        match self.scale_set {
            None if can_launch && self.is_short(snapshot) => {
                let is_refused = snapshot.refused.contains(&self.pool.name);
                let shortage = if is_refused { Shortage::Refused } else { Shortage::Capacity };
                Capacity { ready, shortage, ..Capacity::default() }
            }
            None => match ceiling::permits(policy, self.pool, &snapshot.prices) {
                Err(never) if can_launch => Capacity { ready, shortage: never, ..Capacity::default() },
                Ok(()) | Err(_) => Capacity { ready, launchable, given: 0, shortage },
            },
            // The set's jobs are its own already, whatever other pool could take them; and it gets no others.
            Some(ScaleSetDemand::Counted(counts)) => {
                let waiting = u32::try_from(counts.waiting()).unwrap_or(u32::MAX);
                let shortage = if waiting < ready + launchable { Shortage::Unassigned } else { shortage };
                let room = ready + launchable;
                let beyond = if self.has_long_idled(snapshot) { 0 } else { waiting.saturating_sub(room) };
                Capacity { ready: waiting.min(room), launchable: 0, given: beyond, shortage }
            }
            Some(ScaleSetDemand::Unknown) => Capacity { ready, shortage: Shortage::Unknown, ..Capacity::default() },
        }
    }

    /// Returns whether EC2 had no capacity for anything that it buys, a moment ago, or GitHub or EC2 refused to launch in it.
    #[must_use]
    pub fn is_short(&self, snapshot: &Snapshot) -> bool {
        let offerings = &self.pool.offerings;
        snapshot.refused.contains(&self.pool.name)
            || !offerings.is_empty() && offerings.iter().all(|offering| snapshot.without_capacity.contains(offering))
    }

    /// Returns whether a runner of the set is idle that has been there for long: then jobs that wait for the set by its own
    /// count don't wait, or it would have one of them.
    fn has_long_idled(&self, snapshot: &Snapshot) -> bool {
        let is_old = |at: Timestamp| age(snapshot.now, at) >= self.pool.boot_timeout;
        let launched = |unit: &Unit<'_>| unit.instance().and_then(|instance| instance.launched_at);
        self.units
            .iter()
            .any(|unit| unit.state == State::Idle && self.serves(unit) && launched(unit).is_some_and(is_old))
    }

    /// Returns how many runners of its scale set are not ours, working and idle: another system listens there too.
    ///
    /// The counts of the two services are of different moments, so what could be one of ours is: a runner that works by
    /// the set's count and is idle by REST's, and one that is idle by the set's count and still boots by ours. And counts
    /// can be stuck: where REST lists no runner of others, there is none.
    #[must_use]
    pub fn runners_of_others(&self) -> (u64, u64) {
        let Some(ScaleSetDemand::Counted(counts)) = self.scale_set else { return (0, 0) };
        let (busy, Supply { idle, starting, .. }) = (self.busy_at_the_set(), self.supply());
        let online = counts.busy.max(counts.at_work()).saturating_add(counts.idle);
        let others = online.saturating_sub(u64::from(busy) + u64::from(idle)).min(self.strangers);
        let running = counts.at_work().saturating_sub(busy.into()).min(others);
        let idle = counts.idle.saturating_sub(u64::from(idle) + u64::from(starting)).min(others - running);
        (running, idle)
    }

    /// Returns how many of its runners work that the set knows of: registered there.
    #[must_use]
    pub fn busy_at_the_set(&self) -> u32 {
        let works = |unit: &&Unit<'_>| {
            let is_busy = unit.state == State::Busy || unit.state == State::Foreign && unit.is_online() && unit.works();
            is_busy && is_of_the_set(unit) && !self.may_be_counted_as_waiting(unit)
        };
        u32::try_from(self.units.iter().filter(works).count()).unwrap_or(u32::MAX)
    }

    /// Returns the slots that nothing holds, lowest first.
    pub fn free_slots(&self) -> impl Iterator<Item = Slot> {
        let units = self.units.iter().filter(|unit| unit.holds_slot()).filter_map(|unit| unit.slot);
        let held: BTreeSet<Slot> = units.chain(self.lent.iter().copied()).collect();
        (0..self.pool.max).map(Slot).filter(move |slot| !held.contains(slot))
    }
}

/// Returns whether a runner was registered through a scale set: then it has no label of birth.
fn is_of_the_set(unit: &Unit<'_>) -> bool {
    unit.runner().is_some_and(|runner| born(&runner.labels).is_none())
}

impl<'a> View<'a> {
    /// Joins a snapshot's instances and records, classifies them, and assigns its pending jobs.
    #[must_use]
    pub fn of(snapshot: &'a Snapshot, policy: &'a Policy) -> Self {
        let mut pools: Vec<_> = policy.pools.iter().map(|pool| PoolView::new(pool, snapshot)).collect();
        pools.sort_by(|a, b| a.pool.name.cmp(&b.pool.name));

        let records: BTreeMap<RunnerId, &Runner> =
            snapshot.runners.items.iter().map(|runner| (runner.id, runner)).collect();
        let names: BTreeMap<&RunnerName, &Runner> =
            snapshot.runners.items.iter().map(|runner| (&runner.name, runner)).collect();
        let mut instances: Vec<&Instance> =
            snapshot.instances.items.iter().filter(|instance| instance.fleet == policy.fleet).collect();
        instances.sort_by(|a, b| a.id.cmp(&b.id));
        let tagged: BTreeSet<RunnerId> = instances.iter().filter_map(|instance| instance.runner_id).collect();
        // Tags can be copied ("launch more like this"): a record is that of the instance that can run, and a copy that can't is
        // nobody's.
        let alive: BTreeSet<RunnerId> =
            instances.iter().filter(|one| one.can_run()).filter_map(|one| one.runner_id).collect();
        let jobs = snapshot.demand.by_runner();
        let nth_pool: BTreeMap<&str, usize> =
            pools.iter().enumerate().map(|(nth, view)| (view.pool.name.as_str(), nth)).collect();

        // The places in which an instance stands for a record.
        let mut joined_records: BTreeSet<(RunnerId, usize, Option<Slot>)> = BTreeSet::new();
        let mut strangers = Vec::new();
        for instance in instances {
            let Some(&nth) = instance.pool.as_ref().and_then(|pool| nth_pool.get(pool.as_str())) else {
                strangers.push(instance);
                continue;
            };
            let view = &mut pools[nth];
            let name = instance.slot.map(|slot| RunnerName::of(&policy.fleet, &view.pool.name, slot));
            if !instance.can_run() && instance.runner_id.is_some_and(|id| alive.contains(&id)) {
                let joined = Joined::Machine(instance);
                let unit = Unit::new(view.pool, instance.slot, joined, &jobs, name.as_ref(), snapshot.now);
                view.units.push(Unit { state: State::Foreign, ..unit });
                continue;
            }
            let record = match instance.runner_id {
                Some(id) => records.get(&id),
                // Its tag is lost: the record by name is its own, unless another instance's tag claims that record.
                None => name.as_ref().and_then(|name| names.get(name)).filter(|record| !tagged.contains(&record.id)),
            };
            let slot_by_name = record.and_then(|record| record.name.slot_in(&policy.fleet, &view.pool.name));
            // Its record may go by another id with the service that lists records: then the name's record, if no other
            // instance claims it, is most likely its own.
            let by_name = name.as_ref().and_then(|name| names.get(name)).filter(|record| !tagged.contains(&record.id));
            let by_name = by_name.filter(|_| view.pool.has_scale_set && instance.can_run());
            let joined = match record.or(by_name) {
                None => Joined::Machine(instance),
                Some(own) if slot_by_name.is_some() && (instance.slot.is_none() || instance.slot == slot_by_name) => {
                    Joined::Both(instance, own)
                }
                Some(other) => Joined::Contradiction(instance, other),
            };
            let slot = instance.slot.or(slot_by_name);
            joined_records.extend(record.or(by_name).map(|record| (record.id, nth, slot)));
            view.units.push(Unit::new(view.pool, slot, joined, &jobs, name.as_ref(), snapshot.now));
        }
        let mut strangers_online = 0;
        for record in records.values() {
            let place = record.name.place(&policy.fleet);
            let Some((&nth, slot)) = place.and_then(|(pool, slot)| Some((nth_pool.get(pool)?, slot))) else {
                strangers_online += u64::from(record.connection == Connection::Online);
                continue;
            };
            let view = &mut pools[nth];
            let is_joined =
                joined_records.range((record.id, 0, None)..).next().is_some_and(|(id, ..)| *id == record.id);
            if !is_joined {
                let (joined, name) = (Joined::Record(record), Some(&record.name));
                view.units.push(Unit::new(view.pool, Some(slot), joined, &jobs, name, snapshot.now));
            } else if !joined_records.contains(&(record.id, nth, Some(slot))) {
                view.lent.push(slot);
            }
        }
        for view in &mut pools {
            view.strangers = strangers_online;
            view.units.sort_by_key(|unit| {
                (unit.slot, unit.instance().map(|instance| &instance.id), unit.runner().map(|runner| runner.id))
            });
        }
        let capacities: BTreeMap<&PoolName, Capacity> =
            pools.iter().map(|view| (&view.pool.name, view.capacity(policy, snapshot))).collect();
        let takers: Vec<&Pool> = pools.iter().map(|view| view.pool).collect();
        let taken_since = taken_since(&pools, &snapshot.demand);
        let taken: BTreeSet<JobId> = taken_since.values().flatten().map(|job| job.id).collect();
        let waiting = snapshot.demand.pending().filter(|job| !taken.contains(&job.id));
        let assignment = assign(waiting, &takers, |pool| capacities[&pool.name]);
        let unpriced = ceiling::warnings(&pools, snapshot, policy);
        Self { pools, assignment, taken_since, strangers, unpriced }
    }

    /// Returns the jobs of a pool that were pending when they were last looked at: what its demand is counted from, and what
    /// runners of it may have taken since.
    #[must_use]
    pub fn queued_on(&self, pool: &PoolName) -> Vec<&'a Job> {
        let taken = self.taken_since.get(pool).into_iter().flatten();
        self.pending_on(pool).iter().chain(taken).copied().collect()
    }

    /// Returns the pending jobs that a pool takes, those without room included.
    #[must_use]
    pub fn pending_on(&self, pool: &PoolName) -> &[&'a Job] {
        self.assignment.taken.get(pool).map_or(&[], Vec::as_slice)
    }

    /// Returns which pool has each job that is pending or in progress, if one has it: a pending job's by its labels; one
    /// in progress is with the pool whose runner has it, or where no runner of ours does, with the pool that would take
    /// it.
    #[must_use]
    pub fn pools_of_jobs(&self, demand: &'a Demand) -> BTreeMap<JobId, &'a PoolName> {
        let mut pool_of = BTreeMap::new();
        let mut others = Vec::new();
        let (mut by_id, mut by_name) = (BTreeMap::new(), BTreeMap::new());
        for view in &self.pools {
            for runner in view.units.iter().filter_map(Unit::runner) {
                by_id.entry(runner.id).or_insert(&view.pool.name);
                by_name.entry(&runner.name).or_insert(&view.pool.name);
            }
        }
        for job in demand.jobs.iter().filter(|job| job.state == JobState::InProgress) {
            let pool = match job.runner_id {
                Some(id) => by_id.get(&id),
                None => job.runner_name.as_ref().and_then(|name| by_name.get(name)),
            };
            match pool {
                Some(pool) => drop(pool_of.insert(job.id, *pool)),
                None => others.push(job),
            }
        }
        let pools: Vec<&Pool> = self.pools.iter().map(|pool| pool.pool).collect();
        let by_labels = assign(others, &pools, |_| Capacity::default()).taken;
        for (pool, jobs) in by_labels.iter().chain(&self.assignment.taken).chain(&self.taken_since) {
            pool_of.extend(jobs.iter().map(|job| (job.id, *pool)));
        }
        pool_of
    }

    /// Returns whether none of the fleet's instances was seen, though runners with its names are connected: the wrong
    /// account or region, most likely, where the absence of an instance proves nothing.
    #[must_use]
    pub fn is_wrong_account(&self) -> bool {
        let mut units = self.pools.iter().flat_map(|view| &view.units).peekable();
        units.peek().is_some()
            && self.strangers.is_empty()
            && self.pools.iter().flat_map(|view| &view.units).all(|unit| unit.instance().is_none())
            && units.any(Unit::is_online)
    }

    /// Returns what an operator should know of it.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        let mut warnings = self.unpriced.clone();
        for unit in self.pools.iter().flat_map(|view| &view.units).filter(|unit| unit.runner().is_none()) {
            if let Some(instance) = unit.instance().filter(|_| unit.state == State::Foreign) {
                let said = match instance.runner_id {
                    None => "carries the tags of our fleet and of a pool, but no runner's id; left alone",
                    Some(_) => "carries the tags of another instance, which can run; left alone",
                };
                warnings.push(Warning::new(WarningCode::Degraded, instance.id.as_str(), said));
            }
        }
        for stranger in &self.strangers {
            let pool = stranger.pool.as_ref().map_or("no pool".into(), |pool| format!("pool `{pool}`"));
            let said = format!("carries our fleet tag and {pool}, which the configuration does not have; left alone");
            warnings.push(Warning::new(WarningCode::UnknownPool, stranger.id.as_str(), said));
        }
        for unit in self.pools.iter().flat_map(|view| &view.units).filter(|unit| unit.state == State::Foreign) {
            if let Some(runner) = unit.runner() {
                let said = match unit.joined {
                    Joined::Contradiction(instance, record) if instance.runner_id != Some(record.id) => {
                        format!("its instance {} is tagged with another record's id; left alone", instance.id)
                    }
                    Joined::Contradiction(instance, _) => {
                        format!("its instance {} is tagged for another place; left alone", instance.id)
                    }
                    _ => "has one of our names, but its instance was not seen; left alone".to_owned(),
                };
                warnings.push(Warning::new(WarningCode::ForeignRunner, runner.name.as_str(), said));
            }
        }
        for pool in &self.pools {
            let (running, idle) = pool.runners_of_others();
            if running + idle > 0 {
                let said = format!(
                    "its scale set has {} runners online that are not ours: another system listens there too; what \
                     they have or will take is left to them, and they are never touched",
                    running + idle
                );
                warnings.push(Warning::new(WarningCode::OthersRunners, pool.pool.name.as_str(), said));
            }
        }
        if self.is_wrong_account() {
            let said =
                "its runners are online, but none of its instances was seen: is this the right account and region?";
            warnings.push(Warning { code: WarningCode::WrongAccount, message: said.to_owned(), subject: None });
        }
        warnings
    }
}

/// Returns the pending jobs that were seen before the supply was, and that may have a runner by now, by its pool.
///
/// Each runner that works or has worked, and that no listed job names, may have one of those that its pool can take: the
/// job that has waited longest. It may as well have another that nobody has looked at; then this one waits until it is
/// looked at again, since what was read after the supply is demand whatever the runners do.
fn taken_since<'a>(pools: &[PoolView<'a>], demand: &'a Demand) -> BTreeMap<&'a PoolName, Vec<&'a Job>> {
    let seen_at = |job: &'a Job| Some((job, *demand.earlier.get(&job.id)?));
    let mut waiting: Vec<(&Job, Timestamp)> = demand.pending().filter_map(seen_at).collect();
    waiting.sort_by_key(|(job, _)| (job.queued_at.is_none(), job.queued_at, job.id));
    let mut taken: BTreeMap<&PoolName, Vec<&Job>> = BTreeMap::new();
    for view in pools.iter().filter(|view| view.scale_set.is_none()) {
        let fits = |(job, _): &(&Job, Timestamp)| Signature::of(&job.labels).unneeded_on(view.pool).is_some();
        let (mut fitting, others): (Vec<_>, Vec<_>) = waiting.into_iter().partition(fits);
        let worked_before =
            |unit: &&Unit<'_>| unit.runner().is_some_and(|runner| demand.worked_before.contains(&runner.id));
        let mut asked: BTreeSet<RunnerId> = BTreeSet::new();
        for unit in view.units.iter().filter(|unit| !worked_before(unit)) {
            // Two instances with one runner's tag are one runner.
            if unit.runner().is_some_and(|runner| !asked.insert(runner.id)) {
                continue;
            }
            if let Some(nth) = fitting.iter().position(|(_, seen)| unit.may_have_taken_one_since(*seen)) {
                taken.entry(&view.pool.name).or_default().push(fitting.remove(nth).0);
            }
        }
        waiting = fitting;
        waiting.extend(others);
        waiting.sort_by_key(|(job, _)| (job.queued_at.is_none(), job.queued_at, job.id));
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use crate::engine::build::{instance, job, noon, policy, pool, runner, snapshot};
    use crate::engine::{InstanceState, Mark};

    #[test]
    fn an_instance_joins_the_record_of_its_tag_and_no_other_of_its_name() {
        let renewed = Runner { id: RunnerId(999), ..runner("linux", 0).online() };
        let (snapshot, policy) = (
            snapshot().instance(instance("linux", 0).marked(Mark::Draining, 60)).runner(renewed),
            policy([pool("linux")]),
        );
        let view = View::of(&snapshot, &policy);
        let states: Vec<_> = view.pools[0].units.iter().map(|unit| unit.state).collect();
        assert_eq!(states, [State::Foreign, State::OrphanInstance]);
    }

    #[test]
    fn an_instance_without_the_tag_joins_by_name() {
        let untagged = Instance { runner_id: None, ..instance("linux", 0) };
        let (snapshot, policy) =
            (snapshot().instance(untagged).runner(runner("linux", 0).online()), policy([pool("linux")]));
        let view = View::of(&snapshot, &policy);
        assert_eq!(view.pools[0].supply(), Supply { idle: 1, held: 1, ..Supply::default() });
    }

    #[test]
    fn a_foreign_runner_that_is_connected_is_supply() {
        let (snapshot, policy) = (snapshot().runner(runner("linux", 4).online()), policy([pool("linux")]));
        let view = View::of(&snapshot, &policy);
        assert_eq!(view.pools[0].supply(), Supply { idle: 1, held: 1, ..Supply::default() });
        assert!(!view.pools[0].free_slots().any(|slot| slot == Slot(4)));
    }

    #[test]
    fn a_record_keeps_its_name_taken_though_its_instance_is_tagged_for_another_place() {
        let moved = Instance { pool: Some("gpu".into()), ..instance("linux", 3) };
        let (snapshot, policy) =
            (snapshot().instance(moved).runner(runner("linux", 3)), policy([pool("gpu"), pool("linux")]));
        let view = View::of(&snapshot, &policy);
        assert!(!view.pools[1].free_slots().any(|slot| slot == Slot(3)));
        assert_eq!(view.pools.iter().map(|pool| pool.supply().held).collect::<Vec<_>>(), [1, 1]);
    }

    /// How many of these jobs are demand, and how many may have a runner by now.
    fn demand(snapshot: &Snapshot) -> (usize, usize) {
        let policy = policy([pool("linux")]);
        let view = View::of(snapshot, &policy);
        let name = PoolName::new("linux");
        (view.pending_on(&name).len(), view.taken_since.get(&name).map_or(0, Vec::len))
    }

    #[test]
    fn a_job_that_was_seen_earlier_may_be_with_a_runner_that_works_and_that_no_job_names() {
        let seen = |job: Job, mut snapshot: Snapshot| {
            snapshot.demand.earlier.insert(job.id, noon() - Duration::from_mins(1));
            snapshot.job(job)
        };
        let busy = snapshot().instance(instance("linux", 0)).runner(runner("linux", 0).online().busy());
        assert_eq!(demand(&busy.clone().job(job(1))), (1, 0), "it was read after the runner");
        assert_eq!(demand(&seen(job(1), busy.clone())), (0, 1));
        assert_eq!(demand(&seen(job(2), seen(job(1), busy.clone()))), (1, 1), "one runner, one job");
        assert_eq!(demand(&seen(job(1), busy.clone().job(job(9).on(100)))), (1, 0), "the runner's job is known");
        assert_eq!(demand(&seen(job(1).labels("gpu"), busy)), (0, 0), "no job of its pool");
        let idle = snapshot().instance(instance("linux", 0)).runner(runner("linux", 0).online());
        assert_eq!(demand(&seen(job(1), idle)), (1, 0), "an idle runner is supply as it is");
    }

    #[test]
    fn a_runner_that_worked_before_has_no_job_that_was_seen_waiting_since() {
        let mut snapshot = snapshot()
            .instance(instance("linux", 0).marked(Mark::SeenOnline, 600))
            .runner(runner("linux", 0).online().busy())
            .job(job(1));
        snapshot.demand.earlier.insert(JobId(1), noon() - Duration::from_mins(5));
        let policy = policy([pool("linux")]);
        assert!(View::of(&snapshot, &policy).pending_on(&"linux".into()).is_empty());
        snapshot.demand.worked_before.insert(RunnerId(100));
        assert_eq!(View::of(&snapshot, &policy).pending_on(&"linux".into()).len(), 1);
    }

    #[test]
    fn a_job_that_was_seen_earlier_may_be_done_by_a_runner_that_was_launched_since() {
        let ended = |ago| {
            let instance = instance("linux", 0).aged(ago).in_state(InstanceState::Terminated);
            let mut snapshot = snapshot().job(job(1)).instance(instance);
            snapshot.demand.earlier.insert(JobId(1), noon() - Duration::from_mins(5));
            demand(&snapshot)
        };
        assert_eq!((ended(240), ended(600)), ((0, 1), (1, 0)));
    }

    #[test]
    fn another_fleets_instance_is_not_seen() {
        let (snapshot, mut policy) = (snapshot().instance(instance("linux", 0)), policy([pool("linux")]));
        policy.fleet = "other".into();
        let view = View::of(&snapshot, &policy);
        assert!(view.pools[0].units.is_empty() && view.strangers.is_empty());
    }
}
