//! Demand: the jobs that GitHub holds, each once, and what is known of how complete the list is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::names::{JobId, Label, RepositoryName, RunId, RunnerId, RunnerName};

/// One job of a run's latest attempt, not completed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// GitHub's id of the job.
    pub id: JobId,
    /// The run it belongs to.
    pub run_id: RunId,
    /// The run's attempt, from 1.
    pub attempt: u32,
    /// The repository it belongs to.
    pub repository: RepositoryName,
    /// The job's name as the workflow gives it.
    pub name: String,
    /// The labels of `runs-on`, as GitHub lists them; empty where the job names only a runner group.
    pub labels: Vec<Label>,
    /// What it waits for, or that it runs.
    pub state: JobState,
    /// When it became a job that could be waited for (`created_at`); `None` where GitHub doesn't say.
    pub queued_at: Option<Timestamp>,
    /// The runner it was given to.
    pub runner_id: Option<RunnerId>,
    /// The name of the runner it was given to.
    pub runner_name: Option<RunnerName>,
    /// The page a person would open.
    pub url: String,
}

/// Where a job that is not completed stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum JobState {
    /// `queued` and without a runner: a runner could take it now.
    Pending,
    /// A runner has it: `in_progress`, or `queued` with a runner already named.
    InProgress,
    /// It waits for something else than a runner.
    Waiting(WaitReason),
}

/// What a job waits for that no runner can give.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum WaitReason {
    /// `waiting`: an approval, or a deployment protection rule.
    Approval,
    /// `pending`: a concurrency group, or `max-parallel`.
    Concurrency,
    /// `requested`: GitHub has not queued it yet.
    Requested,
    /// A status word that this version doesn't know.
    Unknown(String),
}

impl fmt::Display for WaitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Approval => f.pad("approval"),
            Self::Concurrency => f.pad("concurrency"),
            Self::Requested => f.pad("requested"),
            Self::Unknown(word) => write!(f, "unknown_status:{word}"),
        }
    }
}

/// How a number is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CountKind {
    /// Everything was read.
    Exact,
    /// A page, a repository or a call was lost: there may be more.
    AtLeast,
    /// It was exact some time ago.
    Stale,
}

/// Which of GitHub's two books demand was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The REST API's runs and jobs.
    Rest,
    /// The Actions Service's runner scale sets.
    ScaleSet,
}

/// The seven counts that the Actions Service keeps of a runner scale set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Statistics {
    /// Jobs offered to the set and not acquired; 0 where GitHub assigns jobs directly.
    pub available: u64,
    /// Jobs acquired, their assignment on its way.
    pub acquired: u64,
    /// Jobs assigned to the set, waiting and running: the demand.
    pub assigned: u64,
    /// Those of them that a runner has.
    pub running: u64,
    /// Runners registered for the set, whatever their state.
    pub registered: u64,
    /// Online, with a job.
    pub busy: u64,
    /// Online, without one.
    pub idle: u64,
}

impl Statistics {
    /// Returns how many jobs have a runner: no more than there are runners, whatever the count of running jobs says.
    #[must_use]
    pub fn at_work(&self) -> u64 {
        self.running.min(self.registered.max(self.busy.saturating_add(self.idle)))
    }

    /// Returns how many jobs are assigned to the set and have no runner yet.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.assigned.saturating_sub(self.at_work())
    }

    /// Returns how many jobs the set knows of that have no runner yet, those that nobody has acquired among them.
    #[must_use]
    pub fn queued(&self) -> u64 {
        self.available.saturating_add(self.acquired).saturating_add(self.waiting())
    }

    /// Returns how many jobs the set knows of.
    #[must_use]
    pub fn jobs(&self) -> u64 {
        self.available.saturating_add(self.acquired).saturating_add(self.assigned)
    }
}

/// A run that should have jobs, but whose jobs GitHub does not show (404 or an empty list): not zero, unknown.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HiddenRun {
    /// The repository it belongs to.
    pub repository: RepositoryName,
    /// GitHub's id of the run.
    pub run_id: RunId,
    /// GitHub's word for the run: `queued`, `in_progress`, `waiting`, `pending`, …
    pub status: String,
    /// When it, or its latest attempt, began; `None` where GitHub doesn't say.
    pub since: Option<Timestamp>,
}

/// A repository that was not scanned, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SkippedRepository {
    /// The repository.
    pub repository: RepositoryName,
    /// `archived`, `disabled`, `actions_disabled`, `excluded`, `not_selected`, …
    pub reason: String,
}

/// All that one observation learned of jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Where it was read.
    pub source: Source,
    /// Jobs that are not completed, each once: pending, in progress and waiting.
    pub jobs: Vec<Job>,
    /// When those of them were seen that were not read now: a runner may have taken one since.
    pub earlier: BTreeMap<JobId, Timestamp>,
    /// Runners that worked before any of those was seen: they have none of them.
    pub worked_before: BTreeSet<RunnerId>,
    /// `AtLeast` where anything that could hold a job was not read whole and is not known from before either; `Stale`
    /// where all of that is known from before.
    pub kind: CountKind,
    /// How long before this observation the oldest part of it was seen; zero where all was read now.
    pub age: Duration,
    /// Runs whose jobs are not visible (yet).
    pub unresolved: Vec<HiddenRun>,
    /// Runs queued for longer than `max_job_age`: listed, not counted.
    pub ghosts: Vec<HiddenRun>,
    /// The jobs of those runs that GitHub shows: pending for too long, and not counted.
    pub ghost_jobs: Vec<Job>,
    /// How many repositories were read.
    pub scanned: usize,
    /// The repositories that were not.
    pub skipped: Vec<SkippedRepository>,
    /// Those of the scope's repositories that anybody can see: a runner group can be closed to them.
    pub public: BTreeSet<RepositoryName>,
}

impl HiddenRun {
    /// Returns whether one of its hidden jobs could be running: not while the run as a whole waits for its turn.
    #[must_use]
    pub fn could_run(&self) -> bool {
        !matches!(self.status.as_str(), "waiting" | "pending" | "requested")
    }
}

impl Demand {
    /// Returns a demand in which nothing waits and nothing is unknown.
    #[must_use]
    pub fn none() -> Self {
        Self {
            source: Source::Rest,
            jobs: Vec::new(),
            earlier: BTreeMap::new(),
            worked_before: BTreeSet::new(),
            kind: CountKind::Exact,
            age: Duration::ZERO,
            unresolved: Vec::new(),
            ghosts: Vec::new(),
            ghost_jobs: Vec::new(),
            scanned: 0,
            skipped: Vec::new(),
            public: BTreeSet::new(),
        }
    }

    /// Returns the jobs that a runner could take now.
    pub fn pending(&self) -> impl Iterator<Item = &Job> {
        self.jobs.iter().filter(|job| job.state == JobState::Pending)
    }

    /// Returns why a job could be in progress that isn't listed, in words; `None` where all are.
    #[must_use]
    pub fn hides_jobs(&self) -> Option<String> {
        if self.kind != CountKind::Exact {
            return Some("not all jobs could be read".to_owned());
        }
        if let Some(run) = self.unresolved.iter().find(|run| run.could_run()) {
            return Some(format!("the jobs of run {} of {} are not visible", run.run_id, run.repository));
        }
        if let Some(skipped) = self.skipped.iter().find(|skipped| skipped.reason == "not_selected") {
            return Some(format!(
                "the App is installed in selected repositories of {}, and a job of another could have its runner",
                skipped.repository
            ));
        }
        let excluded = self.skipped.iter().filter(|skipped| skipped.reason == "excluded").count();
        (excluded > 0).then(|| {
            format!("{excluded} repositories are excluded from the scan, and a job of theirs could have its runner")
        })
    }

    /// Returns the jobs by the runners that have them.
    #[must_use]
    pub fn by_runner(&self) -> JobsByRunner<'_> {
        let has_runner = |job: &&Job| job.runner_id.is_some() || job.runner_name.is_some();
        let mut jobs: Vec<&Job> = self.jobs.iter().filter(has_runner).collect();
        jobs.sort_by_key(|job| job.id);
        let mut by_runner = JobsByRunner::default();
        for job in jobs {
            if let Some(id) = job.runner_id {
                by_runner.by_id.entry(id).or_insert(job);
            }
            if let Some(name) = &job.runner_name {
                by_runner.by_name.entry(name).or_insert(job);
                if job.runner_id.is_none() {
                    by_runner.without_id.entry(name).or_insert(job);
                }
            }
        }
        by_runner
    }
}

/// Which job is known to be with which runner.
///
/// The jobs list is kept by another part of GitHub than the runner's `busy` flag, which lags by up to a minute
/// and has been seen false in the middle of a job (actions/runner#4422).
#[derive(Clone, Debug, Default)]
pub struct JobsByRunner<'a> {
    by_id: BTreeMap<RunnerId, &'a Job>,
    by_name: BTreeMap<&'a RunnerName, &'a Job>,
    /// Jobs of which GitHub said only the runner's name.
    without_id: BTreeMap<&'a RunnerName, &'a Job>,
}

impl<'a> JobsByRunner<'a> {
    /// Returns the job of the runner of this id (or of this name, where an id is missing): the first of several.
    ///
    /// Names are used again, ids are not: a name counts only where an id is missing.
    #[must_use]
    pub fn of(&self, id: Option<RunnerId>, name: Option<&RunnerName>) -> Option<&'a Job> {
        let Some(id) = id else { return self.by_name.get(name?).copied() };
        let by_name = name.and_then(|name| self.without_id.get(name));
        self.by_id.get(&id).into_iter().chain(by_name).min_by_key(|job| job.id).copied()
    }
}
