//! The pure part: [`Snapshot`] and [`Policy`] in, [`Plan`] out.
//!
//! No I/O, no clock (`now` is a field of the snapshot), no randomness, no log: what happened is in the plan's reasons.
//! The result is the same for any order of the inputs. [`check`] is the second pair of eyes: it knows the invariants
//! and nothing of how plans are made.

mod assignment;
pub mod build;
mod ceiling;
mod check;
mod fleet;
mod flow;
mod job;
mod labels;
mod names;
mod plan;
mod planner;
mod policy;
mod prices;
mod rerun;
mod shares;
mod snapshot;
mod states;
mod view;

pub use assignment::{Assignment, Capacity, Shortage, assign};
pub use ceiling::affordable;
pub use check::check;
pub use fleet::{Connection, Instance, InstanceState, Mark, Market, Marks, Offering, Runner, birth_label, born};
pub use job::{
    CountKind, Demand, HiddenRun, Job, JobState, JobsByRunner, SkippedRepository, Source, Statistics, WaitReason,
};
pub use labels::Signature;
pub(crate) use labels::is_hosted;
pub use names::{
    FleetName, InstanceId, JobId, Label, PoolName, RepositoryName, RunId, RunnerId, RunnerName, Scope, Slot,
};
pub use plan::{Action, Held, Plan, PoolPlan, Reason, ReasonCode, Step, Unschedulable};
pub use planner::{failed_boots, plan};
pub use policy::{
    BOOTS_IN_DOUBT, CAPACITY_RETURNS, CLOCK_ENDS_WITHIN, CLOCK_LAUNCHES_WITHIN, DRAIN_GRACE, ENDED_SHOW_FOR, JOBS_LAST,
    LAUNCH_WINDOW, LOST_GRACE, Policy, Pool, RECORD_GRACE, REFUSED_FOR, SUPPLY_LASTS,
};
pub use prices::{Cost, Price, Prices};
pub use rerun::{
    AttemptedJob, LatestAttempt, NoRerun, Rerun, RerunVerdict, SpotJob, SpotJobs, interrupted_runs, judge_rerun,
    remember_spot_jobs,
};
pub use snapshot::{Listing, ScaleSetDemand, Snapshot};
pub use states::{State, Unit};
pub use view::{PoolView, Supply, View};
