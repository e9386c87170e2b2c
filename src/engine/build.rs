//! Builders with good defaults, so that a test shows only what matters to it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::fleet::{Connection, Instance, InstanceState, Mark, Market, Marks, Offering, Runner};
use super::job::{Demand, Job, JobState, Statistics};
use super::names::{FleetName, InstanceId, JobId, Label, PoolName, RunId, RunnerId, RunnerName, Slot};
use super::policy::{Policy, Pool};
use super::prices::{Price, Prices};
use super::snapshot::{Listing, ScaleSetDemand, Snapshot};

/// The time at which built snapshots are taken: 2026-11-24T12:00:00Z.
#[must_use]
pub fn noon() -> Timestamp {
    Timestamp::constant(1_795_521_600, 0)
}

/// The fleet of built instances and policies.
#[must_use]
pub fn fleet() -> FleetName {
    FleetName::new("acme")
}

/// Splits words into labels.
#[must_use]
pub fn labels(words: &str) -> Vec<Label> {
    words.split_whitespace().map(Label::new).collect()
}

/// Returns a pool of at most 10 runners, with the label `linux` and one offering.
#[must_use]
pub fn pool(name: &str) -> Pool {
    Pool {
        name: PoolName::new(name),
        labels: labels("linux"),
        min_idle: 0,
        max: 10,
        priority: 0,
        offerings: vec![Offering {
            market: Market::OnDemand,
            instance_type: "m7a.large".into(),
            subnet: "subnet-a".into(),
        }],
        boot_timeout: Duration::from_mins(5),
        max_lifetime: Duration::from_hours(12),
        idle_confirm: Duration::from_mins(5),
        trim: false,
        rerun_interrupted: false,
        has_scale_set: false,
    }
}

impl Pool {
    /// Replaces the labels.
    #[must_use]
    pub fn labels(mut self, words: &str) -> Self {
        self.labels = labels(words);
        self
    }

    /// Replaces the priority.
    #[must_use]
    pub fn priority(mut self, priority: i64) -> Self {
        self.priority = priority;
        self
    }

    /// Lets the control plane end idle runners.
    #[must_use]
    pub fn trimmed(mut self) -> Self {
        self.trim = true;
        self
    }

    /// Lets jobs be re-run whose spot instance was taken back.
    #[must_use]
    pub fn rerunning(mut self) -> Self {
        self.rerun_interrupted = true;
        self
    }

    /// Gives it a scale set.
    #[must_use]
    pub fn with_scale_set(mut self) -> Self {
        self.has_scale_set = true;
        self
    }

    /// Replaces the limits.
    #[must_use]
    pub fn sized(mut self, min_idle: u32, max: u32) -> Self {
        (self.min_idle, self.max) = (min_idle, max);
        self
    }
}

/// Returns a policy for the fleet [`fleet`].
#[must_use]
pub fn policy(pools: impl IntoIterator<Item = Pool>) -> Policy {
    Policy { fleet: fleet(), pools: pools.into_iter().collect(), max_total: None, max_usd_per_hour: None }
}

/// Returns a pending job with the label `linux`, queued a minute before [`noon`].
#[must_use]
pub fn job(id: u64) -> Job {
    Job {
        id: JobId(id),
        run_id: RunId(id * 10),
        attempt: 1,
        repository: "acme/api".into(),
        name: format!("job {id}"),
        labels: labels("linux"),
        state: JobState::Pending,
        queued_at: Some(noon() - Duration::from_mins(1)),
        runner_id: None,
        runner_name: None,
        url: format!("https://github.com/acme/api/actions/runs/{}/job/{id}", id * 10),
    }
}

impl Job {
    /// Replaces the labels.
    #[must_use]
    pub fn labels(mut self, words: &str) -> Self {
        self.labels = labels(words);
        self
    }

    /// Sets how long before [`noon`] it was queued.
    #[must_use]
    pub fn queued_for(mut self, seconds: u64) -> Self {
        self.queued_at = Some(noon() - Duration::from_secs(seconds));
        self
    }

    /// Gives it to a runner.
    #[must_use]
    pub fn on(mut self, runner: u64) -> Self {
        self.state = JobState::InProgress;
        self.runner_id = Some(RunnerId(runner));
        self
    }
}

/// Returns a running instance for `pool` and `slot`, launched an hour before [`noon`], whose runner has the id
/// `100 + slot`.
#[must_use]
pub fn instance(pool: &str, slot: u32) -> Instance {
    Instance {
        id: InstanceId::new(format!("i-{pool}-{slot}")),
        fleet: fleet(),
        pool: Some(PoolName::new(pool)),
        slot: Some(Slot(slot)),
        runner_id: Some(RunnerId(100 + u64::from(slot))),
        state: InstanceState::Running,
        launched_at: Some(noon() - Duration::from_hours(1)),
        market: Market::OnDemand,
        instance_type: "m7a.large".into(),
        subnet: Some("subnet-a".into()),
        state_reason: None,
        marks: Marks::default(),
    }
}

impl Instance {
    /// Sets how long before [`noon`] it was launched.
    #[must_use]
    pub fn aged(mut self, seconds: u64) -> Self {
        self.launched_at = Some(noon() - Duration::from_secs(seconds));
        self
    }

    /// Replaces its state.
    #[must_use]
    pub fn in_state(mut self, state: InstanceState) -> Self {
        self.state = state;
        self
    }

    /// Sets a mark, so many seconds before [`noon`].
    #[must_use]
    pub fn marked(mut self, mark: Mark, seconds: u64) -> Self {
        self.marks.set(mark, Some(noon() - Duration::from_secs(seconds)));
        self
    }
}

/// Returns the offline, idle record of `pool` and `slot`, born an hour before [`noon`], with the id `100 + slot`.
#[must_use]
pub fn runner(pool: &str, slot: u32) -> Runner {
    Runner {
        id: RunnerId(100 + u64::from(slot)),
        name: RunnerName::of(&fleet(), &PoolName::new(pool), Slot(slot)),
        connection: Connection::Offline,
        busy: false,
        labels: labels("linux"),
        born: Some(noon() - Duration::from_hours(1)),
    }
}

impl Runner {
    /// Sets how long before [`noon`] it was registered.
    #[must_use]
    pub fn born_before(mut self, seconds: u64) -> Self {
        self.born = Some(noon() - Duration::from_secs(seconds));
        self
    }

    /// Connects it.
    #[must_use]
    pub fn online(mut self) -> Self {
        self.connection = Connection::Online;
        self
    }

    /// Makes GitHub say that it is busy.
    #[must_use]
    pub fn busy(mut self) -> Self {
        self.busy = true;
        self
    }
}

/// Returns a snapshot of nothing, taken at [`noon`].
#[must_use]
pub fn snapshot() -> Snapshot {
    Snapshot {
        now: noon(),
        clock_ahead: SignedDuration::ZERO,
        instances: Listing::whole(Vec::new()),
        runners: Listing::whole(Vec::new()),
        demand: Demand::none(),
        scale_sets: BTreeMap::new(),
        unheard: BTreeSet::new(),
        prices: Prices::default(),
        without_capacity: BTreeSet::new(),
        refused: BTreeSet::new(),
        never_came: BTreeSet::new(),
    }
}

impl Snapshot {
    /// Adds that EC2 had no capacity for what a pool buys.
    #[must_use]
    pub fn no_capacity_for(mut self, pool: &Pool) -> Self {
        self.without_capacity.extend(pool.offerings.iter().cloned());
        self
    }

    /// Adds a job.
    #[must_use]
    pub fn job(mut self, job: Job) -> Self {
        self.demand.jobs.push(job);
        self
    }

    /// Makes a scale set the source of a pool's demand: so many jobs assigned to it, so many of them running on runners
    /// that are registered and busy.
    #[must_use]
    pub fn scale_set(mut self, pool: &str, assigned: u64, running: u64) -> Self {
        let counts = Statistics { assigned, running, registered: running, busy: running, ..Statistics::default() };
        self.scale_sets.insert(PoolName::new(pool), ScaleSetDemand::Counted(counts));
        self
    }

    /// Knows the on-demand price of a type.
    ///
    /// # Panics
    /// What is given is no price.
    #[must_use]
    pub fn price(mut self, instance_type: &str, dollars: &str) -> Self {
        self.prices.on_demand.insert(instance_type.to_owned(), Price::parse(dollars).expect("a price"));
        self
    }

    /// Knows the spot price of a type in a subnet.
    ///
    /// # Panics
    /// What is given is no price.
    #[must_use]
    pub fn spot_price(mut self, instance_type: &str, subnet: &str, dollars: &str) -> Self {
        let price = Price::parse(dollars).expect("a price");
        self.prices.spot.insert((instance_type.to_owned(), subnet.to_owned()), price);
        self
    }

    /// Adds an instance.
    #[must_use]
    pub fn instance(mut self, instance: Instance) -> Self {
        self.instances.items.push(instance);
        self
    }

    /// Adds a runner record.
    #[must_use]
    pub fn runner(mut self, runner: Runner) -> Self {
        self.runners.items.push(runner);
        self
    }
}
