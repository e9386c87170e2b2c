//! Guards, each of which can be taken out: a build of ghascale without it must fail in some history.
//!
//! Production code has no switch. A guard is taken out from outside: what the engine sees, what the executor is told, or
//! what leaves it, is changed as if the guard were not there.

use std::time::Duration;

use ghascale::engine::{
    Connection, CountKind, InstanceState, LatestAttempt, Mark, Plan, Policy, Runner, Snapshot, SpotJobs, Step,
};

use super::runs::TAKEN_BACK;

/// What keeps a history from going wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    /// A runner is idle only if it was in two sightings, far enough apart.
    IdleWindow,
    /// A job in progress outweighs whatever the runner's record says.
    JobCheck,
    /// GitHub refuses a taken name.
    SlotName,
    /// A repeated request carries its first token.
    Token,
    /// Another request carries another token.
    TokenOfRequest,
    /// A clock that is wrong ends nothing, and one that is minutes wrong launches nothing.
    Clock,
    /// What was not read whole ends nothing.
    PartialObservation,
    /// What was seen too long ago launches nothing.
    SupplyLasts,
    /// Only instances with our tag are ours.
    FleetTag,
    /// An instance goes only after its record is gone.
    RecordGone,
    /// A record is looked at once more before it is deleted.
    LookAgain,
    /// The jobs are read once more before an idle runner's record is deleted.
    JobsAgain,
    /// GitHub refuses to delete a busy runner: its own guard, which is not to be relied on.
    GitHubsRefusal,
    /// After its record is gone an instance is left alone until the jobs list must show its job.
    DrainGrace,
    /// A disconnected runner has time to come back.
    LostGrace,
    /// An instance has time to boot.
    BootTimeout,
    /// A registration has time to get its instance.
    LaunchWindow,
    /// A launch beyond what all pools together may have waits.
    MaxTotal,
    /// A note that nothing was ordered is taken away before something is.
    NoteLifted,
    /// A launch that doesn't fit under the ceiling waits.
    Ceiling,
    /// A run is looked at once more before it is re-run.
    LookAtRun,
    /// Only a first attempt is re-run.
    FirstAttempt,
    /// A run that somebody cancelled is not.
    Cancelled,
    /// Only what EC2 says that it took back is proof.
    TakenBack,
    /// Nor is a job that had ended when its instance was seen alive.
    SeenAlive,
}

impl Guard {
    /// GitHub's own.
    pub(crate) const GITHUBS: Self = Self::GitHubsRefusal;
    /// Ours.
    pub(crate) const ALL: [Self; 24] = [
        Self::IdleWindow,
        Self::JobCheck,
        Self::SlotName,
        Self::Token,
        Self::TokenOfRequest,
        Self::Clock,
        Self::PartialObservation,
        Self::SupplyLasts,
        Self::FleetTag,
        Self::RecordGone,
        Self::LookAgain,
        Self::JobsAgain,
        Self::DrainGrace,
        Self::LostGrace,
        Self::BootTimeout,
        Self::LaunchWindow,
        Self::MaxTotal,
        Self::NoteLifted,
        Self::Ceiling,
        Self::LookAtRun,
        Self::FirstAttempt,
        Self::Cancelled,
        Self::TakenBack,
        Self::SeenAlive,
    ];

    /// Changes what the engine is given as if the guard were not there.
    pub(crate) fn distort(self, seen: &mut Snapshot, policy: &mut Policy) {
        let now = seen.now;
        match self {
            Self::IdleWindow => {
                for instance in &mut seen.instances.items {
                    if instance.marks.idle_since.is_none() {
                        instance.marks.idle_since = Some(now);
                    }
                }
                for pool in &mut policy.pools {
                    pool.idle_confirm = Duration::ZERO;
                }
            }
            Self::JobCheck => seen.demand.jobs.retain(|job| job.runner_id.is_none()),
            Self::Clock => seen.clock_ahead = jiff::SignedDuration::ZERO,
            Self::PartialObservation => {
                (seen.instances.whole, seen.runners.whole) = (true, true);
                seen.demand.kind = CountKind::Exact;
            }
            Self::FleetTag => {
                for instance in &mut seen.instances.items {
                    instance.fleet = policy.fleet.clone();
                }
            }
            Self::DrainGrace => {
                for instance in &mut seen.instances.items {
                    instance.marks.set(Mark::Draining, instance.launched_at);
                }
            }
            Self::LostGrace => {
                for instance in &mut seen.instances.items {
                    instance.marks.set(Mark::OfflineSince, instance.launched_at);
                }
            }
            Self::BootTimeout => {
                for pool in &mut policy.pools {
                    pool.boot_timeout = Duration::ZERO;
                }
            }
            Self::LaunchWindow => {
                for runner in &mut seen.runners.items {
                    runner.born = runner.born.map(|born| born - Duration::from_hours(1));
                }
            }
            Self::MaxTotal => policy.max_total = None,
            Self::Ceiling => policy.max_usd_per_hour = None,
            Self::SupplyLasts
            | Self::SlotName
            | Self::Token
            | Self::TokenOfRequest
            | Self::RecordGone
            | Self::LookAgain
            | Self::JobsAgain
            | Self::NoteLifted
            | Self::GitHubsRefusal
            | Self::LookAtRun
            | Self::FirstAttempt
            | Self::Cancelled
            | Self::TakenBack
            | Self::SeenAlive => {}
        }
    }

    /// Changes what the executor is given as if the guard were not there.
    pub(crate) fn distort_plan(self, plan: &mut Plan) {
        if self == Self::RecordGone {
            plan.actions.retain(|action| !matches!(action.step, Step::Deregister { .. }));
        }
    }

    /// Changes by what jobs are known to be interrupted as if the guard were not there.
    pub(crate) fn distort_interrupted(self, seen: &mut Snapshot) {
        match self {
            Self::FirstAttempt => seen.demand.jobs.iter_mut().for_each(|job| job.attempt = 1),
            Self::TakenBack => {
                let is_over = |state| matches!(state, InstanceState::ShuttingDown | InstanceState::Terminated);
                for instance in seen.instances.items.iter_mut().filter(|one| is_over(one.state)) {
                    instance.state_reason = Some(TAKEN_BACK.to_owned());
                }
            }
            _ => {}
        }
    }

    /// Changes what is shown of a run as if the guard were not there.
    pub(crate) fn distort_run(broken: Option<Self>, run: &mut LatestAttempt) {
        match broken {
            Some(Self::FirstAttempt) => run.attempt = 1,
            Some(Self::Cancelled) => {
                let words = run.jobs.items.iter_mut().map(|job| &mut job.conclusion);
                for word in words.chain([&mut run.conclusion]).filter(|word| word.as_deref() == Some("cancelled")) {
                    *word = Some("failure".to_owned());
                }
            }
            _ => {}
        }
    }

    /// Changes what a host remembers as if the guard were not there.
    pub(crate) fn distort_memory(broken: Option<Self>, known: &mut SpotJobs) {
        if broken == Some(Self::SeenAlive) {
            for job in known.values_mut() {
                job.alive_at = None;
            }
        }
    }

    /// Changes what the executor sees of a record as if the guard were not there.
    pub(crate) fn distort_runner(broken: Option<Self>, runner: &mut Runner) {
        if broken == Some(Self::LookAgain) {
            (runner.connection, runner.busy) = (Connection::Offline, false);
        }
    }
}
