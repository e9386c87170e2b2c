//! What the operator wants: the pools and their limits, as the engine needs them.

use std::time::Duration;

use jiff::SignedDuration;

use super::fleet::Offering;
use super::names::{FleetName, Label, PoolName};
use super::prices::Price;

/// How long a registration may be without an instance before it is an orphan.
pub const LAUNCH_WINDOW: Duration = Duration::from_mins(5);
/// How long a runner that was online may be offline before it is lost.
pub const LOST_GRACE: Duration = Duration::from_mins(10);
/// How long an instance may run without a runner record before it is an orphan.
pub const RECORD_GRACE: Duration = Duration::from_mins(5);
/// How long after a runner's record was found gone its instance is left to itself, so that a job which GitHub had given to
/// it in its last moment shows in the jobs list.
pub const DRAIN_GRACE: Duration = Duration::from_mins(1);

/// How long a lack of capacity is remembered: as long as Karpenter does.
pub const CAPACITY_RETURNS: Duration = Duration::from_mins(3);
/// How long it is remembered that nothing could be launched in a pool.
pub const REFUSED_FOR: Duration = Duration::from_mins(5);
/// How long it is remembered that an instance never came: as long as EC2 shows what has ended.
pub const ENDED_SHOW_FOR: Duration = Duration::from_hours(1);
/// So many instances in a row that never came online, and a pool launches one a pass until one does.
pub const BOOTS_IN_DOUBT: u32 = 3;
/// How old a look at the supply may be for a launch: an instance that was launched since then can't have failed to boot
/// yet, and so still has the record that keeps its slot.
pub const SUPPLY_LASTS: Duration = Duration::from_mins(4);
/// How far this host's clock may be from GitHub's before it ends nothing: the shortest grace is a minute, of which two
/// hosts that are wrong in opposite ways take twice as much.
pub const CLOCK_ENDS_WITHIN: SignedDuration = SignedDuration::from_secs(5);
/// How far it may be before it launches nothing either: others tell by a registration's age whether its instance is still
/// to come, and EC2 refuses who is off by more than five minutes.
pub const CLOCK_LAUNCHES_WITHIN: SignedDuration = SignedDuration::from_mins(2);
/// How old a look at the jobs may be for the end of an idle runner.
pub const JOBS_LAST: Duration = Duration::from_mins(2);

/// The operator's wishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The tag value that marks our instances, and the first part of our runners' names.
    pub fleet: FleetName,
    /// The pools, in any order.
    pub pools: Vec<Pool>,
    /// The most runners that all of them together may have; `None`: as many as their own `max` allow.
    pub max_total: Option<u32>,
    /// The most that all of them together may cost; `None`: whatever they do.
    pub max_usd_per_hour: Option<Price>,
}

/// Interchangeable runners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Its name.
    pub name: PoolName,
    /// A job goes here if every label of the job is among these.
    pub labels: Vec<Label>,
    /// Idle runners to keep beyond demand.
    pub min_idle: u32,
    /// The most runners that may exist at once.
    pub max: u32,
    /// Among pools that can take a job, the highest goes first.
    pub priority: i64,
    /// What may be bought, best first.
    pub offerings: Vec<Offering>,
    /// How long an instance may take until its runner is online.
    pub boot_timeout: Duration,
    /// The longest that an instance may live.
    pub max_lifetime: Duration,
    /// How long an idle runner must have been seen idle before the control plane may end it.
    pub idle_confirm: Duration,
    /// May the control plane end idle runners beyond demand and `min_idle`?
    pub trim: bool,
    /// May a job be re-run, once, whose spot instance EC2 took back?
    pub rerun_interrupted: bool,
    /// Its runners may be registered through a scale set: by the Actions Service, of whose ids it isn't proven that they
    /// are the REST API's, and without a label that tells their age.
    pub has_scale_set: bool,
}

impl Pool {
    /// Returns a pool that only shows which jobs its labels take: nothing can be launched in it.
    #[must_use]
    pub fn to_look(name: PoolName, labels: Vec<Label>) -> Self {
        Self {
            name,
            labels,
            min_idle: 0,
            max: u32::MAX,
            priority: 0,
            offerings: Vec::new(),
            boot_timeout: Duration::MAX,
            max_lifetime: Duration::MAX,
            idle_confirm: Duration::MAX,
            trim: false,
            rerun_interrupted: false,
            has_scale_set: true,
        }
    }
}
