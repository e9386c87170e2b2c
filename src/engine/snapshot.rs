//! One observation of the whole world, the engine's only input beside the policy.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::fleet::{Instance, InstanceState, Offering, Runner};
use super::job::{Demand, Source, Statistics};
use super::names::{InstanceId, PoolName};
use super::policy::{CLOCK_ENDS_WITHIN, CLOCK_LAUNCHES_WITHIN, Policy, REFUSED_FOR};
use super::prices::Prices;
use crate::ages::age;

/// A list, and whether it is the whole list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing<T> {
    /// What was read.
    pub items: Vec<T>,
    /// `false` where a page or a call was lost: absence proves nothing then.
    pub whole: bool,
}

impl<T> Listing<T> {
    /// Returns a list that was read whole.
    #[must_use]
    pub fn whole(items: Vec<T>) -> Self {
        Self { items, whole: true }
    }

    /// Returns a list of which a part was lost.
    #[must_use]
    pub fn partial(items: Vec<T>) -> Self {
        Self { items, whole: false }
    }
}

/// What was seen, in the order in which it was read: instances, runner records, jobs.
///
/// An instance that was seen had a record before it, because GitHub comes first at every launch; so "no record" is a
/// fact here and not a race.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// When the observation began: the engine's only clock.
    pub now: Timestamp,
    /// How far that clock is ahead of GitHub's, negative where it is behind; zero where it isn't known.
    pub clock_ahead: SignedDuration,
    /// Instances with our fleet tag, terminated ones that EC2 still shows included.
    pub instances: Listing<Instance>,
    /// All runner records of the scope, others' included.
    pub runners: Listing<Runner>,
    /// The jobs, by the REST API.
    pub demand: Demand,
    /// How the demand of a pool is known, where it isn't by those jobs.
    pub scale_sets: BTreeMap<PoolName, ScaleSetDemand>,
    /// Pools whose scale set answers, and has been given no job beside jobs of theirs: their demand is by the REST API's
    /// jobs, and the set's runners get none of them.
    pub unheard: BTreeSet<PoolName>,
    /// What is known of prices.
    pub prices: Prices,
    /// What EC2 had no capacity for minutes ago, no room in the subnet, or no more for this account in its market.
    pub without_capacity: BTreeSet<Offering>,
    /// Pools in which GitHub or EC2 refused to launch anything minutes ago, at once or once it had taken the order.
    pub refused: BTreeSet<PoolName>,
    /// Instances that had ended when they were seen, and whose runner had never been online: their records are deleted by
    /// then, and nothing else tells them from those that did a short job.
    pub never_came: BTreeSet<InstanceId>,
}

/// The demand of a pool that is read from its scale set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScaleSetDemand {
    /// What the Actions Service counts.
    Counted(Statistics),
    /// The Actions Service did not say, and no other source may be used: nothing is launched.
    Unknown,
}

impl Snapshot {
    /// Returns whether the clock is too wrong to end anything by it.
    #[must_use]
    pub fn clock_is_wrong(&self) -> bool {
        self.clock_ahead.abs() > CLOCK_ENDS_WITHIN
    }

    /// Returns whether it is too wrong to launch by it.
    #[must_use]
    pub fn clock_is_useless(&self) -> bool {
        self.clock_ahead.abs() > CLOCK_LAUNCHES_WITHIN
    }

    /// Takes in what EC2 says of orders that it took and could not carry out: what had no capacity, and the pools whose
    /// latest order can't be carried out as things are. One that EC2 is still at says nothing yet. Returns the instances
    /// of these pools' orders.
    pub fn learn_of_failed_orders(&mut self, policy: &Policy) -> Vec<Instance> {
        let now = self.now;
        let is_decided = |one: &&Instance| one.fleet == policy.fleet && one.state != InstanceState::Pending;
        let mut latest: BTreeMap<&PoolName, &Instance> = BTreeMap::new();
        let mut lacking: Vec<&Offering> = Vec::new();
        for instance in self.instances.items.iter().filter(is_decided) {
            if instance.state_reason.is_some() {
                let offerings = policy.pools.iter().flat_map(|pool| &pool.offerings);
                lacking.extend(offerings.filter(|offering| instance.lacked(offering, now)));
            }
            let Some(pool) = &instance.pool else { continue };
            let order = |one: &Instance| (one.launched_at, one.was_refused());
            let known = latest.entry(pool).or_insert(instance);
            if order(instance) > order(known) {
                *known = instance;
            }
        }
        let is_recent = |one: &Instance| one.launched_at.is_some_and(|at| age(now, at) < REFUSED_FOR);
        let refused = latest.into_values().filter(|one| one.was_refused() && is_recent(one));
        let refused: Vec<Instance> = refused.cloned().collect();
        self.without_capacity.extend(lacking.into_iter().cloned());
        self.refused.extend(refused.iter().filter_map(|one| one.pool.clone()));
        refused
    }

    /// Returns where a pool's demand was read.
    #[must_use]
    pub fn source(&self, pool: &PoolName) -> Source {
        if self.scale_sets.contains_key(pool) { Source::ScaleSet } else { Source::Rest }
    }
}
