//! The decision: actions, and a reason for each and for each job that gets no runner.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fleet::{Mark, Offering};
use super::job::Source;
use super::names::{InstanceId, JobId, Label, PoolName, RunnerId, RunnerName, Slot};

/// What to do, and why. The executor has no choice left to make but the offering.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// When the observation began that it was made from.
    pub seen_at: Timestamp,
    /// The sums, by pool name.
    pub pools: Vec<PoolPlan>,
    /// In the order in which they are carried out: marks, ends, launches; by pool, then by slot.
    pub actions: Vec<Action>,
    /// Pending jobs for which nothing is or will be there, with the reason.
    pub unschedulable: Vec<Unschedulable>,
    /// Ends that a guard held back.
    pub held: Vec<Held>,
}

/// A pool's sums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolPlan {
    /// The pool.
    pub name: PoolName,
    /// Jobs running on it and pending jobs assigned to it; `null` where its scale set could not be asked and no other
    /// source may be used.
    pub demand: Option<u32>,
    /// Runners that are there or on their way: busy, idle, booting, launching.
    pub supply: u32,
    /// `min(max, demand + min_idle)`.
    pub target: Option<u32>,
    /// Launches in this plan.
    pub launch: u32,
    /// Instances that this plan ends.
    pub end: u32,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// The pool it is done for.
    pub pool: PoolName,
    /// The slot it concerns; `None` for an instance whose slot tag is lost.
    pub slot: Option<Slot>,
    /// The runner it concerns.
    pub runner: Option<RunnerName>,
    /// What is done.
    pub step: Step,
    /// Why.
    pub reason: Reason,
}

/// The kinds of action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Register a runner by its slot's name, then launch an instance for it.
    Launch {
        /// What may be bought, best first; never empty.
        offerings: Vec<Offering>,
        /// Which book the jobs are in that it is for, and so where it is registered: a runner of a scale set gets the
        /// set's jobs only, and another gets none of them.
        source: Source,
    },
    /// Delete a runner's record on GitHub.
    Deregister {
        /// The record.
        runner_id: RunnerId,
        /// Its instance, if it has one.
        instance_id: Option<InstanceId>,
    },
    /// Terminate an instance.
    Terminate {
        /// The instance.
        instance_id: InstanceId,
        /// The record that must be gone first: by the same plan's `Deregister`, or already.
        record: Option<RunnerId>,
    },
    /// Note something on an instance, or clear the note.
    Mark {
        /// The instance.
        instance_id: InstanceId,
        /// Which note.
        mark: Mark,
        /// `false` clears it.
        set: bool,
        /// The record that must be gone first, where the note says that it is.
        record: Option<RunnerId>,
    },
}

impl Action {
    /// Returns the instance it concerns.
    #[must_use]
    pub fn instance_id(&self) -> Option<&InstanceId> {
        match &self.step {
            Step::Launch { .. } => None,
            Step::Deregister { instance_id, .. } => instance_id.as_ref(),
            Step::Terminate { instance_id, .. } | Step::Mark { instance_id, .. } => Some(instance_id),
        }
    }

    /// Returns whether it changes more than a note: what `--detailed-exitcode` calls a change.
    #[must_use]
    pub fn is_change(&self) -> bool {
        !matches!(self.step, Step::Mark { .. })
    }
}

/// Why something is done, or is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reason {
    /// Stable, for scripts.
    pub code: ReasonCode,
    /// For people.
    pub message: String,
}

impl Reason {
    /// Returns a reason.
    pub fn new(code: ReasonCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// The reasons, stable in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReasonCode {
    /// Launch: pending jobs need it.
    Demand,
    /// Launch: fewer idle runners than `min_idle`.
    MinIdle,
    /// Re-run: EC2 took back the spot instance whose runner had the job.
    Interrupted,
    /// Deregister: a record whose instance never came to be.
    OrphanRunner,
    /// End: never online within `boot_timeout`.
    BootFailed,
    /// End: offline for longer than the grace, and no job has its runner.
    Lost,
    /// End: older than `max_lifetime`.
    Expired,
    /// End: idle, beyond demand and `min_idle`, and the pool may be trimmed.
    Surplus,
    /// End: an instance without a record, and no job has its runner.
    OrphanInstance,
    /// Deregister: the instance has ended.
    Ended,
    /// End: stopped, which is never intended.
    Stopped,
    /// Mark: its runner is online.
    SeenOnline,
    /// Mark: its runner went offline.
    Offline,
    /// Mark cleared: its runner is online again.
    OnlineAgain,
    /// Mark: its runner is idle where that could end it.
    Idle,
    /// Mark cleared: its runner works.
    Working,
    /// Mark: its runner is registered no more. Mark cleared: it is after all.
    Draining,
    /// Held: a job in progress names its runner.
    JobInProgress,
    /// Held: GitHub says that its runner is busy.
    RunnerBusy,
    /// Held: not everything could be read, and absence proves nothing.
    PartialObservation,
    /// Held: this host's clock is not GitHub's, and no age can be told by it.
    ClockWrong,
    /// Held: no instance of the fleet was seen, though its runners are online: another account or region?
    WrongAccount,
    /// Held: waiting for a second sighting or a grace to pass.
    Confirming,
    /// Held: launches, all but one, since the pool's latest instances never came online.
    BootsFail,
    /// Held: launches, all but one, since the pool's last ones were refused.
    LaunchesFail,
    /// Held: launches, since all pools together hold as many runners as they may.
    MaxTotal,
    /// Held, unschedulable now: launches, since all pools together cost as much an hour as they may.
    MaxUsdPerHour,
    /// Held, unschedulable now: launches, since nothing that the pool buys has a known price, and there is a ceiling.
    PriceUnknown,
    /// Unschedulable: no pool has all of the job's labels.
    NoPool,
    /// Unschedulable now: the pools that could take it are full.
    AtMax,
    /// Unschedulable: the pools that could take it can't launch.
    Unavailable,
    /// Unschedulable now: the scale set of the pool that could take it has not been given it.
    NotAssigned,
}

impl ReasonCode {
    /// Returns whether it holds back launches that jobs ask for.
    #[must_use]
    pub fn holds_launches(self) -> bool {
        matches!(self, Self::BootsFail | Self::LaunchesFail | Self::MaxTotal | Self::MaxUsdPerHour | Self::PriceUnknown)
    }
}

/// A pending job that gets no runner from this plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unschedulable {
    /// The job.
    pub job_id: JobId,
    /// Its labels.
    pub labels: Vec<Label>,
    /// Why.
    pub reason: Reason,
}

/// Something that would have been ended but for a guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The pool.
    pub pool: PoolName,
    /// The runner.
    pub runner: Option<RunnerName>,
    /// The instance.
    pub instance_id: Option<InstanceId>,
    /// The guard that spoke.
    pub reason: Reason,
}
