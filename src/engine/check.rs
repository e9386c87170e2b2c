//! The second pair of eyes: what must hold of every plan, whoever made it.
//!
//! It reads the snapshot for itself and calls nothing that plans are made with. A violation is a defect of ours: then
//! nothing is carried out.

use std::collections::{BTreeMap, BTreeSet};

use super::fleet::{Connection, Instance, InstanceState, Mark, Runner};
use super::job::{CountKind, Job, Source};
use super::names::{InstanceId, Label, PoolName, RunnerId, RunnerName, Slot};
use super::plan::{Action, Plan, Step};
use super::policy::{DRAIN_GRACE, LOST_GRACE, Policy, Pool};
use super::prices::Price;
use super::snapshot::{ScaleSetDemand, Snapshot};

/// Holds a plan against the invariants.
///
/// # Errors
/// Returns a sentence for each violation.
pub fn check(snapshot: &Snapshot, policy: &Policy, plan: &Plan) -> Result<(), Vec<String>> {
    let checker = Checker::new(snapshot, policy, plan);
    let mut violations: Vec<String> = plan.actions.iter().filter_map(|action| checker.action(action).err()).collect();
    violations.extend(checker.room());
    violations.extend(checker.price());
    violations.extend(checker.repetitions());
    violations.extend(checker.spares());
    violations.extend(checker.jobs_with_runners());
    if violations.is_empty() { Ok(()) } else { Err(violations) }
}

struct Checker<'a> {
    snapshot: &'a Snapshot,
    policy: &'a Policy,
    plan: &'a Plan,
    pools: BTreeMap<&'a PoolName, &'a Pool>,
    instances: BTreeMap<&'a InstanceId, &'a Instance>,
    /// Our live instances, by the pool that they are tagged for.
    live: BTreeMap<&'a PoolName, Vec<&'a Instance>>,
    records: BTreeMap<RunnerId, &'a Runner>,
    names: BTreeSet<&'a RunnerName>,
    /// The records that have a name of ours, by its pool.
    ours: BTreeMap<&'a str, Vec<(Slot, &'a Runner)>>,
    jobs: Jobs<'a>,
    deregistered: BTreeSet<RunnerId>,
}

/// The jobs that name a runner.
#[derive(Default)]
struct Jobs<'a> {
    with_id: BTreeMap<RunnerId, &'a Job>,
    named: BTreeMap<&'a RunnerName, &'a Job>,
    only_named: BTreeMap<&'a RunnerName, &'a Job>,
}

impl<'a> Checker<'a> {
    fn new(snapshot: &'a Snapshot, policy: &'a Policy, plan: &'a Plan) -> Self {
        let (instances, runners) = (&snapshot.instances.items, &snapshot.runners.items);
        let is_ours = |one: &&Instance| one.fleet == policy.fleet && one.state != InstanceState::Terminated;
        let mut live: BTreeMap<&PoolName, Vec<&Instance>> = BTreeMap::new();
        for instance in instances.iter().filter(is_ours) {
            if let Some(pool) = &instance.pool {
                live.entry(pool).or_default().push(instance);
            }
        }
        let mut ours: BTreeMap<&str, Vec<(Slot, &Runner)>> = BTreeMap::new();
        for runner in runners {
            if let Some((pool, slot)) = runner.name.place(&policy.fleet) {
                ours.entry(pool).or_default().push((slot, runner));
            }
        }
        let mut jobs = Jobs::default();
        for job in &snapshot.demand.jobs {
            if let Some(id) = job.runner_id {
                jobs.with_id.insert(id, job);
            }
            if let Some(name) = &job.runner_name {
                jobs.named.insert(name, job);
                if job.runner_id.is_none() {
                    jobs.only_named.insert(name, job);
                }
            }
        }
        let deregistered = plan.actions.iter().filter_map(|action| match action.step {
            Step::Deregister { runner_id, .. } => Some(runner_id),
            Step::Launch { .. } | Step::Terminate { .. } | Step::Mark { .. } => None,
        });
        Self {
            snapshot,
            policy,
            plan,
            pools: policy.pools.iter().map(|pool| (&pool.name, pool)).collect(),
            instances: instances.iter().map(|instance| (&instance.id, instance)).collect(),
            live,
            records: runners.iter().map(|runner| (runner.id, runner)).collect(),
            names: runners.iter().map(|runner| &runner.name).collect(),
            ours,
            jobs,
            deregistered: deregistered.collect(),
        }
    }

    fn action(&self, action: &Action) -> Result<(), String> {
        if !self.snapshot.instances.whole || !self.snapshot.runners.whole {
            return Err("there is an action, though the supply was not read whole".into());
        }
        if self.snapshot.clock_is_wrong() && !matches!(action.step, Step::Launch { .. }) && !self.is_of_the_dead(action)
        {
            return Err("an end or a mark, by a clock that is wrong".into());
        }
        match &action.step {
            Step::Launch { offerings, source } => self.launch(action, offerings.is_empty(), *source),
            Step::Mark { instance_id, mark, set, record } => {
                let instance = self.our_instance(instance_id, &action.pool)?;
                if *set && *mark == Mark::Draining && record.is_none() && can_run(instance) {
                    return Err(format!(
                        "{instance_id} is taken for one without a record, and which it had is not known"
                    ));
                }
                Ok(())
            }
            Step::Deregister { runner_id, instance_id } => {
                if !self.is_of_the_dead(action) {
                    self.jobs_are_known()?;
                }
                self.deregister(*runner_id, instance_id.as_ref(), &action.pool)
            }
            Step::Terminate { instance_id, record } => {
                self.jobs_are_known()?;
                self.terminate(self.our_instance(instance_id, &action.pool)?, *record)
            }
        }
    }

    /// Whether it deletes the record of an instance that is terminated.
    fn is_of_the_dead(&self, action: &Action) -> bool {
        let is_gone = |id| self.instances.get(id).is_some_and(|one| one.state == InstanceState::Terminated);
        matches!(&action.step, Step::Deregister { instance_id: Some(id), .. } if is_gone(id))
    }

    fn launch(&self, action: &Action, nothing_to_buy: bool, source: Source) -> Result<(), String> {
        let pool = self.pools.get(&action.pool);
        let pool = pool.ok_or_else(|| format!("launch in pool `{}`, which is not ours", action.pool))?;
        if self.snapshot.clock_is_useless() {
            return Err("a launch, by a clock that is minutes wrong".into());
        }
        if self.snapshot.scale_sets.get(&pool.name) == Some(&ScaleSetDemand::Unknown) {
            return Err(format!("launch in pool `{}`, whose demand is not known", pool.name));
        }
        if source != self.snapshot.source(&pool.name) {
            return Err(format!("launch in pool `{}`, registered where its jobs are not", pool.name));
        }
        let slot = action.slot.ok_or("launch without a slot")?;
        let name = RunnerName::of(&self.policy.fleet, &pool.name, slot);
        if slot.0 >= pool.max {
            return Err(format!("launch in slot {slot} of pool `{}`, whose max is {}", pool.name, pool.max));
        }
        if action.runner.as_ref() != Some(&name) || nothing_to_buy {
            return Err(format!("launch in slot {slot} of pool `{}` without its name or an offering", pool.name));
        }
        if self.names.contains(&name) {
            return Err(format!("launch of `{name}`, which is registered"));
        }
        if self.live_in(&pool.name).iter().any(|instance| instance.slot == Some(slot)) {
            return Err(format!("launch of `{name}`, whose slot has a live instance"));
        }
        Ok(())
    }

    fn deregister(&self, id: RunnerId, instance: Option<&InstanceId>, pool: &PoolName) -> Result<(), String> {
        let runner = self.record(id).ok_or_else(|| format!("deregister {id}, which was not seen"))?;
        runner
            .name
            .slot_in(&self.policy.fleet, pool)
            .ok_or_else(|| format!("deregister `{}`, which is not of pool `{pool}`", runner.name))?;
        if let Some(instance) = instance {
            let instance = self.our_instance(instance, pool)?;
            if !can_run(instance) {
                let has_another = |other: &Instance| {
                    other.fleet == self.policy.fleet && other.runner_id == Some(id) && can_run(other)
                };
                return if runner.connection != Connection::Offline {
                    Err(format!("deregister `{}`, which is not offline", runner.name))
                } else if self.instances.values().copied().any(has_another) {
                    Err(format!("deregister `{}`, which is another instance's", runner.name))
                } else {
                    Ok(())
                };
            }
            if runner.connection == Connection::Offline && runner.busy && !self.was_offline_for_long(instance) {
                return Err(format!("deregister `{}`, which is busy", runner.name));
            }
            let may_go = self.outlived(instance) || self.may_be_trimmed(instance);
            if runner.connection == Connection::Online && (runner.busy || !may_go) {
                return Err(format!("deregister `{}`, which is online", runner.name));
            }
        } else if runner.connection != Connection::Offline || runner.busy || runner.born.is_none() {
            return Err(format!("deregister `{}`, which is online, busy or not ours", runner.name));
        }
        self.no_job(Some(id), Some(&runner.name))
    }

    fn terminate(&self, instance: &Instance, gone_first: Option<RunnerId>) -> Result<(), String> {
        let id = &instance.id;
        match instance.state {
            InstanceState::ShuttingDown | InstanceState::Terminated => {
                return Err(format!("terminate {id}, which has ended"));
            }
            InstanceState::Stopping | InstanceState::Stopped => {}
            InstanceState::Pending | InstanceState::Running => {
                if instance.launched_at.is_none_or(|at| self.snapshot.now.duration_since(at).as_secs() < 60) {
                    return Err(format!("terminate {id}, which is younger than a minute"));
                }
                if instance.runner_id.is_none() {
                    return Err(format!("terminate {id}, of which nothing tells whether it has a job"));
                }
                self.no_job(instance.runner_id, None)?;
                self.no_job_of_name(instance)?;
                if !self.was_gone_for_long(instance) {
                    return Err(format!("terminate {id}, whose record was not found gone a while ago"));
                }
            }
        }
        let id_of_record = instance.runner_id.or(gone_first);
        let record = id_of_record.and_then(|runner| self.record(runner));
        if record.is_some() && can_run(instance) {
            return Err(format!("terminate {id}, whose runner is registered"));
        }
        if gone_first != id_of_record {
            return Err(format!("terminate {id} without a look at its own runner's record"));
        }
        match record {
            Some(record) if !self.deregistered.contains(&record.id) => {
                Err(format!("terminate {id} without deregistering its runner first"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Live instances and records, launches added, never exceed `max`, nor those of all pools `max_total`.
    fn room(&self) -> Vec<String> {
        let mut violations = Vec::new();
        let mut launches: BTreeMap<&PoolName, usize> = BTreeMap::new();
        for (pool, _) in self.launches() {
            *launches.entry(pool).or_default() += 1;
        }
        let mut total = 0;
        for pool in &self.policy.pools {
            let mine = self.live_in(&pool.name);
            let with_instance: BTreeSet<RunnerId> = mine.iter().filter_map(|instance| instance.runner_id).collect();
            // A record whose instance lost its tag stands for that instance, by name; and so does one that may go by
            // another id with the Actions Service.
            let is_nameless = |instance: &&&Instance| match instance.runner_id {
                None => true,
                Some(id) => pool.has_scale_set && can_run(instance) && self.record(id).is_none(),
            };
            let by_name: BTreeSet<Slot> =
                mine.iter().filter(is_nameless).filter_map(|instance| instance.slot).collect();
            let is_alone =
                |(slot, runner): &&(Slot, &Runner)| !with_instance.contains(&runner.id) && !by_name.contains(slot);
            let alone = self.records_of(&pool.name).iter().filter(is_alone).count();
            let launches = launches.get(&pool.name).copied().unwrap_or(0);
            let after = mine.len() + alone + launches;
            total += after;
            if launches > 0 && after > pool.max as usize {
                violations
                    .push(format!("pool `{}` would hold {after} runners, and its max is {}", pool.name, pool.max));
            }
        }
        if let Some(max_total) = self.policy.max_total.filter(|max_total| total > *max_total as usize)
            && self.launches().next().is_some()
        {
            violations.push(format!("all pools would hold {total} runners, and max_total is {max_total}"));
        }
        violations
    }

    /// What runs at known prices, and each launch at the dearest that it may be tried with, never exceeds the ceiling; and
    /// nothing without a price is tried under one.
    fn price(&self) -> Vec<String> {
        let Some(ceiling) = self.policy.max_usd_per_hour else { return Vec::new() };
        let prices = &self.snapshot.prices;
        let is_ours = |one: &&Instance| one.fleet == self.policy.fleet && can_run(one);
        let ours = self.snapshot.instances.items.iter().filter(is_ours);
        let ours = ours.filter_map(|one| prices.at_most_of_instance(one));
        let mut total = ours.fold(Price::ZERO, Price::plus);
        let mut violations = Vec::new();
        let mut is_launching = false;
        for action in &self.plan.actions {
            let Step::Launch { offerings, .. } = &action.step else { continue };
            is_launching = true;
            let tried: Vec<Option<Price>> = offerings.iter().map(|one| prices.at_most_of_offering(one)).collect();
            if tried.contains(&None) {
                let pool = &action.pool;
                violations.push(format!("a launch in pool `{pool}` may buy what has no known price, under a ceiling"));
            }
            total = total.plus(tried.into_iter().flatten().max().unwrap_or_default());
        }
        if is_launching && total > ceiling {
            violations.push(format!("the fleet would cost ${total} an hour, and max_usd_per_hour is {ceiling}"));
        }
        violations
    }

    /// What was seen before the supply is no demand beside runners that work and that no job names: they may have it.
    fn jobs_with_runners(&self) -> Vec<String> {
        let mut violations = Vec::new();
        // By their labels, which are few: how many jobs, and how many of them were seen earlier.
        let mut jobs: BTreeMap<&[Label], (usize, usize)> = BTreeMap::new();
        for job in self.snapshot.demand.pending() {
            let (all, earlier) = jobs.entry(&job.labels).or_default();
            *all += 1;
            *earlier += usize::from(self.snapshot.demand.earlier.contains_key(&job.id));
        }
        let pools = self.policy.pools.iter().filter(|pool| !self.snapshot.scale_sets.contains_key(&pool.name));
        for pool in pools {
            let fits = |labels: &[Label]| !labels.is_empty() && labels.iter().all(|label| pool.labels.contains(label));
            let fitting = jobs.iter().filter(|(labels, _)| fits(labels)).map(|(_, counts)| counts);
            let (jobs, earlier) = fitting.fold((0, 0), |(jobs, earlier), (all, seen)| (jobs + all, earlier + seen));
            let works = |instance: &&&Instance| {
                let record = instance.runner_id.and_then(|id| self.record(id)).filter(|record| record.busy);
                record.is_some_and(|record| {
                    !self.snapshot.demand.worked_before.contains(&record.id)
                        && record.name.slot_in(&self.policy.fleet, &pool.name) == instance.slot
                        && self.no_job(Some(record.id), Some(&record.name)).is_ok()
                        && !self.jobs.named.contains_key(&record.name)
                })
            };
            let runners: BTreeSet<RunnerId> =
                self.live_in(&pool.name).iter().filter(works).filter_map(|instance| instance.runner_id).collect();
            let most = jobs - earlier.min(runners.len()) + pool.min_idle as usize;
            let launches = self.launches().filter(|(name, _)| **name == pool.name).count();
            if launches > most {
                violations.push(format!(
                    "pool `{}` would launch {launches}, and no more than {most} can be without a runner",
                    pool.name
                ));
            }
        }
        violations
    }

    fn repetitions(&self) -> Vec<String> {
        let mut slots: BTreeSet<(&PoolName, Slot)> = BTreeSet::new();
        let mut ended: BTreeMap<String, usize> = BTreeMap::new();
        let mut violations: Vec<String> = self
            .launches()
            .filter(|&place| !slots.insert(place))
            .map(|(pool, slot)| format!("slot {slot} of pool `{pool}` is launched twice"))
            .collect();
        for action in &self.plan.actions {
            match &action.step {
                Step::Deregister { runner_id, .. } => *ended.entry(format!("runner {runner_id}")).or_default() += 1,
                Step::Terminate { instance_id, .. } => *ended.entry(instance_id.to_string()).or_default() += 1,
                Step::Launch { .. } | Step::Mark { .. } => {}
            }
        }
        violations
            .extend(ended.iter().filter(|(_, times)| **times > 1).map(|(what, _)| format!("{what} is ended twice")));
        violations
    }

    fn launches(&self) -> impl Iterator<Item = (&PoolName, Slot)> {
        let launches = self.plan.actions.iter().filter(|action| matches!(action.step, Step::Launch { .. }));
        launches.filter_map(|action| Some((&action.pool, action.slot?)))
    }

    fn live_in(&self, pool: &PoolName) -> &[&'a Instance] {
        self.live.get(pool).map_or(&[], Vec::as_slice)
    }

    fn records_of(&self, pool: &PoolName) -> &[(Slot, &'a Runner)] {
        self.ours.get(pool.as_str()).map_or(&[], Vec::as_slice)
    }

    fn our_instance(&self, id: &InstanceId, pool: &PoolName) -> Result<&'a Instance, String> {
        let instance = self.instances.get(id).copied().ok_or_else(|| format!("{id} was not seen"))?;
        if instance.fleet != self.policy.fleet || instance.pool.as_ref() != Some(pool) {
            return Err(format!("{id} is not of our fleet and pool `{pool}`"));
        }
        Ok(instance)
    }

    fn record(&self, id: RunnerId) -> Option<&'a Runner> {
        self.records.get(&id).copied()
    }

    fn pool_of(&self, instance: &Instance) -> Option<&'a Pool> {
        self.pools.get(instance.pool.as_ref()?).copied()
    }

    fn jobs_are_known(&self) -> Result<(), String> {
        if self.snapshot.demand.kind == CountKind::Exact {
            Ok(())
        } else {
            Err("an end, though not all jobs were read".into())
        }
    }

    fn no_job(&self, id: Option<RunnerId>, name: Option<&RunnerName>) -> Result<(), String> {
        let by_id = id.and_then(|id| self.jobs.with_id.get(&id));
        let theirs = by_id.or_else(|| self.jobs.only_named.get(name?));
        theirs.map_or(Ok(()), |job| Err(format!("an end of the runner that has job {}", job.id)))
    }

    fn was_gone_for_long(&self, instance: &Instance) -> bool {
        let gone =
            instance.marks.draining.filter(|gone| instance.launched_at.is_some_and(|launched| *gone >= launched));
        gone.is_some_and(|gone| self.snapshot.now.duration_since(gone).as_secs() >= DRAIN_GRACE.as_secs().cast_signed())
    }

    /// The jobs list may know the runners of a scale set by other ids: then the name counts too.
    fn no_job_of_name(&self, instance: &Instance) -> Result<(), String> {
        let pool = self.pool_of(instance).filter(|pool| pool.has_scale_set);
        let (Some(pool), Some(slot)) = (pool, instance.slot) else { return Ok(()) };
        let theirs = self.jobs.named.get(&RunnerName::of(&self.policy.fleet, &pool.name, slot));
        theirs.map_or(Ok(()), |job| Err(format!("an end of the runner that has job {}, by name", job.id)))
    }

    fn was_offline_for_long(&self, instance: &Instance) -> bool {
        let since = instance.marks.offline_since;
        since.is_some_and(|since| {
            self.snapshot.now.duration_since(since).as_secs() >= LOST_GRACE.as_secs().cast_signed()
        })
    }

    /// Returns whether an instance is past its life and was seen idle before, long enough ago.
    fn outlived(&self, instance: &Instance) -> bool {
        self.pool_of(instance).is_some_and(|pool| {
            self.is_past(instance.launched_at, pool.max_lifetime)
                && self.is_past(instance.marks.idle_since, pool.idle_confirm)
        })
    }

    /// Returns whether an instance is of a pool that may be trimmed, and was seen idle before, long enough ago.
    fn may_be_trimmed(&self, instance: &Instance) -> bool {
        self.pool_of(instance).is_some_and(|pool| {
            pool.trim
                && self.is_past(instance.launched_at, pool.boot_timeout)
                && self.is_past(
                    instance.marks.idle_since.filter(|_| instance.marks.idle_since >= instance.launched_at),
                    pool.idle_confirm,
                )
        })
    }

    fn is_past(&self, since: Option<jiff::Timestamp>, bound: std::time::Duration) -> bool {
        since.is_some_and(|since| self.snapshot.now.duration_since(since).as_secs() >= bound.as_secs().cast_signed())
    }

    /// What is trimmed leaves `min_idle` connected runners that don't work.
    fn spares(&self) -> Vec<String> {
        let mut violations = Vec::new();
        let ended = self.plan.actions.iter().filter_map(|action| match &action.step {
            Step::Deregister { runner_id, instance_id: Some(instance) } => {
                let instance = self.instances.get(instance).filter(|one| can_run(one) && !self.outlived(one));
                instance.map(|_| *runner_id)
            }
            _ => None,
        });
        let ended: BTreeSet<RunnerId> = ended.collect();
        for pool in self.policy.pools.iter().filter(|pool| pool.trim) {
            let is_idle = |runner: &&Runner| runner.connection == Connection::Online && !runner.busy;
            let records = self.records_of(&pool.name).iter().map(|(_, runner)| *runner);
            let (trimmed, left): (Vec<_>, Vec<_>) = records.filter(is_idle).partition(|one| ended.contains(&one.id));
            let left = left.len();
            if !trimmed.is_empty() && left < pool.min_idle as usize {
                violations.push(format!("pool `{}` is trimmed to {left} idle runners, fewer than min_idle", pool.name));
            }
        }
        violations
    }
}

fn can_run(instance: &Instance) -> bool {
    matches!(instance.state, InstanceState::Pending | InstanceState::Running)
}
