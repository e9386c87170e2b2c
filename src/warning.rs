//! Warnings: what the result lacks, or what its reader should act on. Their codes are stable and listed in ghascale(1).

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One warning.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Warning {
    /// Stable, for scripts.
    pub code: WarningCode,
    /// For people: lower case, no full stop, no secret.
    pub message: String,
    /// What it is about: a repository, a pool, an instance, a call.
    pub subject: Option<String>,
}

impl Warning {
    /// Returns a warning about `subject`.
    pub fn new(code: WarningCode, subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), subject: Some(subject.into()) }
    }
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident => $word:literal, $partial:literal;)+) => {
        /// The warnings' codes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        pub enum WarningCode {
            $($(#[doc = $doc])+ #[serde(rename = $word)] $name,)+
        }

        impl WarningCode {
            /// Every code, with its explanation: what the man page lists.
            pub const ALL: &[(Self, &str)] = &[$((Self::$name, concat!($($doc),+)),)+];

            /// Returns the code as it stands in JSON.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }

            /// Returns whether it is said of each run that is not counted: there may be many, and `status` lists them.
            #[must_use]
            pub fn is_of_runs(self) -> bool {
                matches!(self, Self::UnresolvedRun | Self::GhostRun)
            }

            /// Returns whether the result is incomplete because of it (exit code 3).
            #[must_use]
            pub fn is_partial(self) -> bool {
                match self { $(Self::$name => $partial,)+ }
            }
        }
    };
}

codes! {
    /// A repository could not be read: its jobs are missing from the counts.
    RepositoryFailed => "repository_failed", true;
    /// The jobs of a run could not be read: they are missing from the counts.
    RunFailed => "run_failed", true;
    /// An organization could not be listed, or not with all its repositories: they are missing from the counts.
    OrganizationFailed => "organization_failed", true;
    /// A page of the repositories could not be read: whole repositories are missing from the counts.
    DiscoveryFailed => "discovery_failed", true;
    /// An entry of an answer had no id or could not be understood, and was left out.
    EntryUnreadable => "entry_unreadable", true;
    /// A job has a status word that this version doesn't know: it is listed as waiting.
    UnknownStatus => "unknown_status", true;
    /// The runner records could not be read whole: nothing is planned.
    RunnersFailed => "runners_failed", true;
    /// The instances could not be read whole: nothing is planned.
    InstancesFailed => "instances_failed", true;
    /// The runner groups could not be read: whether a pool's group admits a repository is unknown.
    GroupsFailed => "groups_failed", true;
    /// The rate limit ended before the scan did.
    RateLimited => "rate_limited", true;
    /// The requests of `--max-requests` ended before the scan did.
    BudgetEnded => "budget_ended", true;
    /// Not every repository was looked at this time: they take turns, and counts are as old as the longest unseen one.
    ScanInTurns => "scan_in_turns", false;
    /// Repositories take turns, and so slowly that a new job can stay unseen for a quarter of an hour and longer; or scans use
    /// up the hourly limit before the hour is over.
    ScopeTooLarge => "scope_too_large", false;
    /// The delivery log of `scan.hints` could not be read: new jobs show as late as without it.
    HintsFailed => "hints_failed", false;
    /// A run should have jobs, but GitHub shows none yet.
    UnresolvedRun => "unresolved_run", false;
    /// A run has been queued for longer than `scan.max_job_age`: listed, not counted.
    GhostRun => "ghost_run", false;
    /// Two pools can take the same jobs, and the larger one's runners will get some of the smaller one's.
    OverlappingPools => "overlapping_pools", false;
    /// A pool asks for a source that is not there; another was used.
    SourceFallback => "source_fallback", false;
    /// A pool's scale set could not be read, and no other source may be used: its counts are unknown.
    ScaleSetFailed => "scale_set_failed", true;
    /// A pool's scale set and the REST API count its jobs differently, beyond what running time explains.
    SourcesDiffer => "sources_differ", false;
    /// The Actions Service kept fewer labels of a scale set than it was asked to.
    LabelsDropped => "labels_dropped", false;
    /// A scale set has runners online that are not ours: another system listens there too.
    OthersRunners => "others_runners", false;
    /// An instance carries our fleet tag and the name of a pool that the configuration doesn't have.
    UnknownPool => "unknown_pool", false;
    /// A runner with one of our names is online, but its instance was not seen.
    ForeignRunner => "foreign_runner", false;
    /// There is a ceiling on dollars an hour, and something has no known price: it is not launched, or not counted.
    PriceUnknown => "price_unknown", false;
    /// EC2 did not tell its spot prices: they are unknown.
    PricesFailed => "prices_failed", false;
    /// This host's clock is not GitHub's: nothing is ended by it, and where it is minutes wrong, nothing launched.
    ClockWrong => "clock_wrong", true;
    /// No instance of the fleet was seen, though its runners are online: nothing is ended.
    WrongAccount => "wrong_account", true;
    /// The configuration has no `[ec2]`: instances are not shown.
    NoEc2 => "no_ec2", false;
    /// Something works, but not as it should: the message says what.
    Degraded => "degraded", false;
    /// The cache could not be used, or was damaged and thrown away: everything was asked for anew.
    CacheFailed => "cache_failed", false;
    /// An action of a plan file no longer holds and was skipped.
    ActionSkipped => "action_skipped", false;
    /// A job that died with its spot instance was not re-run, or it isn't known whether it is to be.
    RerunFailed => "rerun_failed", false;
    /// The audit log or the state directory could not be written.
    StateUnwritable => "state_unwritable", false;
}

impl fmt::Display for WarningCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
