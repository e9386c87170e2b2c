//! Why a job is being run, or is not: the way from GitHub's list to a runner, step by step, each with its evidence.
//!
//! Pure, like the engine: what was seen goes in, words come out. It decides nothing by itself: which pool takes a job and
//! what is launched for it are read off the engine's own [`View`] and [`Plan`], so that it can't say anything else than
//! `plan` does.

mod pooled;
mod supplied;
mod unpooled;

use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ages::{age, short};
use crate::config;
use crate::engine::{
    CountKind, Job, JobId, JobState, Label, Plan, PoolName, PoolView, Reason, ReasonCode, RepositoryName, Scope,
    Snapshot, View, WaitReason,
};
use crate::github::{CompletedJob, FoundRun, RunJobs, RunnerGroup};
use crate::report::Known;
use crate::scale_set::ScaleSet;
use crate::warning::{Warning, WarningCode};

/// A step of the way, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepName {
    /// GitHub shows the job, and its repository is scanned.
    Visible,
    /// It waits for a runner, and for nothing else.
    Status,
    /// Something has all of its labels.
    Labels,
    /// The pool's runner group admits its repository.
    RunnerGroup,
    /// The pool's scale set has been given it.
    ScaleSet,
    /// The pool has room for it below its `max`.
    Cap,
    /// Runners are idle or on their way.
    Supply,
    /// One is launched where none is there.
    Launch,
    /// What was launched has registered and connected.
    Registration,
    /// GitHub has given it to a runner.
    Assignment,
}

impl StepName {
    /// Every step, in order.
    pub const ALL: [Self; 10] = [
        Self::Visible,
        Self::Status,
        Self::Labels,
        Self::RunnerGroup,
        Self::ScaleSet,
        Self::Cap,
        Self::Supply,
        Self::Launch,
        Self::Registration,
        Self::Assignment,
    ];

    /// Returns the word for it, as in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Visible => "visible",
            Self::Status => "status",
            Self::Labels => "labels",
            Self::RunnerGroup => "runner_group",
            Self::ScaleSet => "scale_set",
            Self::Cap => "cap",
            Self::Supply => "supply",
            Self::Launch => "launch",
            Self::Registration => "registration",
            Self::Assignment => "assignment",
        }
    }
}

/// What was found at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepResult {
    /// Nothing stands against the job here.
    Ok,
    /// It stops here.
    Failed,
    /// What would tell could not be read.
    Unknown,
    /// Not reached, or without meaning for this job; what is known all the same is in the evidence.
    Skipped,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// Which.
    pub step: StepName,
    /// What was found.
    pub result: StepResult,
    /// By what, with numbers.
    pub evidence: String,
    /// What to do about it; only where it failed.
    pub cure: Option<String>,
}

/// What is asked about, as GitHub shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A job that is not completed.
    Job(Job, Standing),
    /// A job that is.
    Completed(CompletedJob),
    /// A run of which no job is there to be explained.
    Run(FoundRun),
    /// GitHub shows nothing of the kind; in words, `job 7 of acme/api`.
    Missing(String),
    /// A bare id that no job and no run of the scan has.
    Unscanned(u64),
    /// GitHub did not answer.
    Unread {
        /// What was asked for, in words.
        what: String,
        /// What came instead.
        why: String,
    },
}

/// Where a job stands in the demand that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is counted.
    Counted,
    /// It has been queued for longer than `scan.max_job_age`: listed, and not counted.
    Ghost,
    /// It is in no list, though its repository is none that was skipped.
    Unlisted,
    /// Its repository is not scanned, for this reason: `archived`, `excluded`, …
    Skipped(String),
}

impl Standing {
    /// Returns where a job stands; names of repositories have no case.
    #[must_use]
    pub fn of(id: JobId, repository: &RepositoryName, snapshot: &Snapshot) -> Self {
        let demand = &snapshot.demand;
        if demand.jobs.iter().any(|job| job.id == id) {
            return Self::Counted;
        }
        if demand.ghost_jobs.iter().any(|job| job.id == id) {
            return Self::Ghost;
        }
        let skipped = demand.skipped.iter().find(|skipped| skipped.repository.is_same(repository));
        skipped.map_or(Self::Unlisted, |skipped| Self::Skipped(skipped.reason.clone()))
    }
}

/// All that is known of what is to be explained.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// What is asked about.
    pub subject: &'a Subject,
    /// The time to which ages are counted.
    pub now: Timestamp,
    /// Where people see GitHub's pages, without a trailing slash: `https://github.com`.
    pub site: &'a str,
    /// Where runners are registered.
    pub scope: &'a Scope,
    /// What has been queued for longer is a ghost.
    pub max_job_age: Duration,
    /// What was seen; `None`: the subject was enough of an answer.
    pub seen: Option<&'a Seen<'a>>,
}

/// One observation, what follows from it, and what was asked beside it.
#[derive(Debug)]
pub struct Seen<'a> {
    /// What was seen.
    pub snapshot: &'a Snapshot,
    /// The same, by pool.
    pub view: &'a View<'a>,
    /// What apply would do.
    pub plan: &'a Plan,
    /// Which parts of the supply were read.
    pub known: Known,
    /// The pools as configured.
    pub pools: &'a [config::Pool],
    /// The scope's runner groups; `None`: not asked for, since no pool takes the job.
    pub groups: Option<Result<Vec<RunnerGroup>, String>>,
    /// The scale set of the pool that takes the job, by its own id; `None`: its demand isn't read from one.
    pub scale_set: Option<Result<ScaleSet, String>>,
    /// What is missing from the observation.
    pub warnings: &'a [Warning],
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// All ten, in order.
    pub steps: Vec<Step>,
    /// The answer in one sentence.
    pub verdict: String,
    /// The first that failed.
    pub failed_step: Option<StepName>,
    /// The pool that takes the job.
    pub pool: Option<PoolName>,
    /// Why the plan has no runner for it.
    pub reason: Option<Reason>,
}

/// What one step has found, before it is known whether the way leads that far.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    result: StepResult,
    evidence: String,
    cure: Option<String>,
}

impl Finding {
    fn ok(evidence: impl Into<String>) -> Self {
        Self { result: StepResult::Ok, evidence: evidence.into(), cure: None }
    }

    fn failed(evidence: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { result: StepResult::Failed, evidence: evidence.into(), cure: Some(cure.into()) }
    }

    fn unknown(evidence: impl Into<String>) -> Self {
        Self { result: StepResult::Unknown, evidence: evidence.into(), cure: None }
    }

    fn skipped(evidence: impl Into<String>) -> Self {
        Self { result: StepResult::Skipped, evidence: evidence.into(), cure: None }
    }
}

/// Explains.
#[must_use]
pub fn explain(case: &Case<'_>) -> Explanation {
    match case.subject {
        Subject::Job(job, standing) => of_job(case, job, standing),
        Subject::Completed(job) => of_completed(case, job),
        Subject::Run(run) => of_run(case, run),
        Subject::Missing(what) => {
            let cure = "check the address, and that the credentials can see the repository";
            alone(Finding::failed(format!("GitHub shows no {what}"), cure))
        }
        Subject::Unscanned(id) => alone(unscanned(case, *id)),
        Subject::Unread { what, why } => alone(Finding::unknown(format!("{what} could not be read: {why}"))),
    }
}

/// Returns the view of the pool that takes a job, if one does.
#[must_use]
pub fn pool_of<'a, 'v>(job: JobId, view: &'v View<'a>) -> Option<&'v PoolView<'a>> {
    let is_taken = |pool: &&PoolView<'_>| view.queued_on(&pool.pool.name).iter().any(|taken| taken.id == job);
    view.pools.iter().find(is_taken)
}

fn of_job(case: &Case<'_>, job: &Job, standing: &Standing) -> Explanation {
    let mut walk = Walk::default();
    walk.find(StepName::Visible, visible(case, job, standing));
    walk.find(StepName::Status, status(case, job, standing));
    let (mut pool, mut reason) = (None, None);
    match (&job.state, case.seen) {
        (JobState::Pending, Some(seen)) if walk.failed().is_none() => {
            if seen.pools.is_empty() {
                unpooled::walk(&mut walk, case, seen, job);
            } else {
                let taker = pool_of(job.id, seen.view);
                pooled::walk(&mut walk, case, seen, job, taker);
                pool = taker.map(|taker| taker.pool.name.clone());
                // Whether a pool is full can't be said without its instances; that no pool takes the job, can.
                let can_say =
                    |reason: &Reason| seen.known.instances && seen.known.runners || reason.code == ReasonCode::NoPool;
                let refused = seen.plan.unschedulable.iter().find(|refused| refused.job_id == job.id);
                reason = refused.map(|refused| refused.reason.clone()).filter(can_say);
            }
        }
        (JobState::InProgress, Some(seen)) => supplied::of_running(&mut walk, seen, job),
        _ => {}
    }
    let verdict = verdict(&walk, job);
    walk.end(verdict, pool, reason)
}

fn visible(case: &Case<'_>, job: &Job, standing: &Standing) -> Finding {
    let what = format!("job {} `{}` of run {} in {}", job.id, job.name, job.run_id, job.repository);
    let Some(seen) = case.seen else { return Finding::ok(what) };
    let demand = &seen.snapshot.demand;
    match standing {
        Standing::Counted | Standing::Ghost => {
            Finding::ok(format!("{what}; {} scanned", count(demand.scanned as u64, "repository", "repositories")))
        }
        Standing::Skipped(why) if job.state == JobState::Pending => {
            let (said, cure) = not_scanned(why, &job.repository);
            Finding::failed(format!("{what}; its repository is not scanned: {said}"), cure)
        }
        Standing::Skipped(why) => Finding::ok(format!("{what}; its repository is not scanned: {why}")),
        Standing::Unlisted if job.state != JobState::Pending => Finding::ok(what),
        Standing::Unlisted => Finding::unknown(match demand.kind {
            CountKind::Exact => format!(
                "{what}, shown by its id but not yet in the lists that demand is read from; what follows holds once it is"
            ),
            CountKind::AtLeast | CountKind::Stale => {
                format!("{what}, shown by its id; a part of the scan was lost, and what follows holds if it is counted")
            }
        }),
    }
}

/// Returns why a repository is not scanned, and what to do about it.
fn not_scanned(why: &str, repository: &RepositoryName) -> (String, String) {
    let cure = match why {
        "archived" => format!("GitHub runs nothing in an archived repository: `gh repo unarchive {repository}`"),
        "disabled" => "GitHub has disabled the repository: ask its support".to_owned(),
        "actions_disabled" => {
            format!("switch Actions on: `gh api -X PUT repos/{repository}/actions/permissions -F enabled=true`")
        }
        _ => format!("let `scan.include` name `{repository}`, and `scan.exclude` not"),
    };
    let said = match why {
        "excluded" => "`scan.include` and `scan.exclude` leave it out".to_owned(),
        other => other.replace('_', " "),
    };
    (said, cure)
}

fn status(case: &Case<'_>, job: &Job, standing: &Standing) -> Finding {
    let queued = job.queued_at.map_or_else(|| "for an unknown time".to_owned(), |at| for_age(case.now, at));
    let gh = gh_repository(case.site, &job.repository);
    match &job.state {
        JobState::Pending if *standing == Standing::Ghost => Finding::failed(
            format!(
                "queued {queued}, longer than `scan.max_job_age` of {}: listed, not counted",
                short(case.max_job_age)
            ),
            format!("start its run anew: `gh run cancel {0} -R {gh} && gh run rerun {0} -R {gh}`", job.run_id),
        ),
        JobState::Pending => Finding::ok(format!("queued {queued}, and no runner has it")),
        JobState::InProgress => Finding::ok(match &job.runner_name {
            Some(runner) => format!("in progress on runner `{runner}`, created {queued}"),
            None => format!("in progress, created {queued}"),
        }),
        JobState::Waiting(WaitReason::Approval) => Finding::failed(
            format!("waiting {queued} for an approval, or for another rule that protects its environment"),
            format!("review its deployment: {}/{}/actions/runs/{}", case.site, job.repository, job.run_id),
        ),
        JobState::Waiting(WaitReason::Concurrency) => Finding::failed(
            format!("pending {queued}: its concurrency group is taken, or `max-parallel` is reached"),
            format!("it goes on when what holds the group ends; to see that: `gh run list -R {gh} -s in_progress`"),
        ),
        JobState::Waiting(WaitReason::Requested) => Finding::failed(
            format!("requested {queued}: GitHub has not queued it yet"),
            "nothing can take it before GitHub queues it: look again in a minute",
        ),
        JobState::Waiting(WaitReason::Unknown(word)) => {
            Finding::unknown(format!("`{word}` is a status that this version does not know; it is counted as waiting"))
        }
    }
}

fn verdict(walk: &Walk, job: &Job) -> String {
    let id = job.id;
    if let Some(failed) = walk.failed() {
        return format!("job {id} stops at `{}`: {}", failed.step.as_str(), failed.evidence);
    }
    let unknown: Vec<&Step> = walk.steps.iter().filter(|step| step.result == StepResult::Unknown).collect();
    let of = |name| walk.steps.iter().find(|step| step.step == name).map_or("", |step| step.evidence.as_str());
    match (&job.state, &job.runner_name) {
        (JobState::InProgress, Some(runner)) => format!("job {id} is being run by `{runner}`"),
        (JobState::InProgress, None) => format!("job {id} is being run"),
        _ if !unknown.is_empty() => {
            let steps: Vec<String> =
                unknown.iter().map(|step| format!("`{}` ({})", step.step.as_str(), step.evidence)).collect();
            format!("nothing is known to stop job {id}, but not all could be found out: {}", steps.join(", "))
        }
        _ if walk.result_of(StepName::Assignment) == Some(StepResult::Ok) => {
            format!("job {id} is about to be run: {}", of(StepName::Assignment))
        }
        _ => format!("nothing stops job {id}; {}", of(StepName::Registration)),
    }
}

fn of_completed(case: &Case<'_>, job: &CompletedJob) -> Explanation {
    let mut walk = Walk::default();
    let what = format!("job {} `{}` of run {} in {}", job.id, job.name, job.run_id, job.repository);
    walk.find(StepName::Visible, Finding::ok(what));
    let when = job.completed_at.map_or_else(String::new, |at| format!(" {} ago", short(age(case.now, at))));
    let verdict = match &job.runner_name {
        Some(runner) => format!("job {} was run by `{runner}` and completed{when}: {}", job.id, job.conclusion),
        None => format!("job {} was completed{when} without a runner: {}", job.id, job.conclusion),
    };
    // What GitHub gave up on has waited for a runner in vain; it does so after a day.
    if job.runner_name.is_none() && matches!(job.conclusion.as_str(), "cancelled" | "timed_out" | "stale") {
        let waited = job.queued_at.zip(job.completed_at).map(|(from, to)| short(age(to, from)));
        let waited = waited.map_or_else(String::new, |waited| format!(" after {waited}"));
        let gh = gh_repository(case.site, &job.repository);
        let cure = format!("`gh run rerun {} --job {} -R {gh}`", job.run_id, job.id);
        let evidence = format!("completed{when}: {}{waited}, and no runner ever had it", job.conclusion);
        walk.find(StepName::Status, Finding::failed(evidence, cure));
    } else {
        let runner = job.runner_name.as_ref().map_or_else(String::new, |runner| format!(", run by `{runner}`"));
        walk.find(StepName::Status, Finding::ok(format!("completed{when}: {}{runner}", job.conclusion)));
        walk.rest = "the job is completed";
    }
    walk.end(verdict, None, None)
}

fn of_run(case: &Case<'_>, run: &FoundRun) -> Explanation {
    let mut walk = Walk::default();
    let what = format!("run {} in {}", run.id, run.repository);
    let since = run.since.map_or_else(|| "for an unknown time".to_owned(), |at| for_age(case.now, at));
    let is_old = run.since.is_some_and(|at| age(case.now, at) > case.max_job_age);
    let gh = gh_repository(case.site, &run.repository);
    let verdict = match &run.jobs {
        RunJobs::Unread => {
            let when = run.updated_at.map_or_else(String::new, |at| format!(" {} ago", short(age(case.now, at))));
            let said = format!("completed{when}: {}", run.conclusion.as_deref().unwrap_or("unknown"));
            walk.find(StepName::Visible, Finding::ok(what.as_str()));
            walk.find(StepName::Status, Finding::ok(said.as_str()));
            walk.rest = "the run is completed";
            format!("{what} is {said}")
        }
        RunJobs::Hidden if is_old => {
            let evidence = format!("{what} is {} {since}, and has no jobs: a ghost, not counted", run.status);
            let cure = format!(
                "`gh api -X POST repos/{}/actions/runs/{}/force-cancel{}`",
                run.repository,
                run.id,
                host_flag(case.site)
            );
            walk.find(StepName::Visible, Finding::failed(evidence.as_str(), cure));
            evidence
        }
        RunJobs::Hidden => {
            let evidence = format!("{what} is {} {since}, but GitHub shows no jobs of it yet", run.status);
            walk.find(StepName::Visible, Finding::unknown(evidence.as_str()));
            walk.rest = "no job is visible";
            evidence
        }
        RunJobs::Listed(_) => {
            let said = format!("{what} is {} {since}, and every job that GitHub shows of it is completed", run.status);
            walk.find(StepName::Visible, Finding::ok(what.as_str()));
            let cure = format!("jobs that `needs` holds back are not there yet; see `gh run view {} -R {gh}`", run.id);
            walk.find(StepName::Status, Finding::failed(said.as_str(), cure));
            said
        }
    };
    walk.end(verdict, None, None)
}

fn unscanned(case: &Case<'_>, id: u64) -> Finding {
    let Some(seen) = case.seen else { return Finding::unknown(format!("{id} was not looked for")) };
    let demand = &seen.snapshot.demand;
    let scanned = count(demand.scanned as u64, "repository", "repositories");
    let skipped = match demand.skipped.len() {
        0 => String::new(),
        skipped => format!(", {skipped} skipped"),
    };
    let evidence =
        format!("no job or run that is not completed has the id {id} in {} ({scanned}{skipped})", case.scope);
    if demand.kind != CountKind::Exact {
        return Finding::unknown(format!("{evidence}; but a part of the scan was lost"));
    }
    if !demand.unresolved.is_empty() {
        let runs = count(demand.unresolved.len() as u64, "run", "runs");
        return Finding::unknown(format!("{evidence}; but of {runs} GitHub shows no jobs yet"));
    }
    Finding::failed(evidence, "give the job's URL: by that, completed jobs and those of skipped repositories are found")
}

/// Returns the explanation of what has only its first step.
fn alone(visible: Finding) -> Explanation {
    let mut walk = Walk::default();
    let verdict = visible.evidence.clone();
    walk.rest = "there is no job to follow";
    walk.find(StepName::Visible, visible);
    walk.end(verdict, None, None)
}

/// The way so far.
#[derive(Debug, Default)]
struct Walk {
    steps: Vec<Step>,
    /// Why the steps that are not gone are not.
    rest: &'static str,
}

impl Walk {
    /// Adds a finding. Behind the step that failed none counts, but its evidence is kept.
    fn find(&mut self, step: StepName, finding: Finding) {
        let Finding { result, evidence, cure } = finding;
        let is_behind = self.failed().is_some();
        let (result, cure) = if is_behind { (StepResult::Skipped, None) } else { (result, cure) };
        self.steps.push(Step { step, result, evidence, cure });
    }

    fn failed(&self) -> Option<&Step> {
        self.steps.iter().find(|step| step.result == StepResult::Failed)
    }

    fn result_of(&self, name: StepName) -> Option<StepResult> {
        self.steps.iter().find(|step| step.step == name).map(|step| step.result)
    }

    /// Adds the steps that were not gone, in their places.
    fn end(mut self, verdict: String, pool: Option<PoolName>, reason: Option<Reason>) -> Explanation {
        let failed_step = self.failed().map(|step| step.step);
        let rest = match failed_step {
            Some(failed) => format!("not reached: `{}` failed", failed.as_str()),
            None if self.rest.is_empty() => "it does not wait for a runner".to_owned(),
            None => self.rest.to_owned(),
        };
        for step in StepName::ALL {
            if self.result_of(step).is_none() {
                self.steps.push(Step { step, result: StepResult::Skipped, evidence: rest.clone(), cure: None });
            }
        }
        self.steps.sort_by_key(|step| step.step);
        Explanation { steps: self.steps, verdict, failed_step, pool, reason }
    }
}

// --- words ----------------------------------------------------------------------------------------------------------

/// Returns what is said where runners or instances were not read: the warning that says why, if there is one.
fn unread_supply(seen: &Seen<'_>) -> String {
    let codes = [WarningCode::RunnersFailed, WarningCode::InstancesFailed, WarningCode::NoEc2];
    let why = seen.warnings.iter().find(|warning| codes.contains(&warning.code));
    why.map_or_else(|| "runners and instances were not read whole".to_owned(), |warning| warning.message.clone())
}

fn for_age(now: Timestamp, at: Timestamp) -> String {
    format!("for {}", short(age(now, at)))
}

fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

fn quoted<'a>(labels: impl IntoIterator<Item = &'a Label>) -> String {
    labels.into_iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ")
}

/// Returns a repository as `gh -R` takes it.
fn gh_repository(site: &str, repository: &RepositoryName) -> String {
    match host(site) {
        "github.com" => repository.to_string(),
        host => format!("{host}/{repository}"),
    }
}

/// Returns the flag that `gh api` needs on another server than github.com.
fn host_flag(site: &str) -> String {
    match host(site) {
        "github.com" => String::new(),
        host => format!(" --hostname {host}"),
    }
}

fn host(site: &str) -> &str {
    let host = site.split_once("://").map_or(site, |(_, host)| host);
    host.strip_prefix("www.").filter(|host| *host == "github.com").unwrap_or(host)
}

#[cfg(test)]
mod tests;
