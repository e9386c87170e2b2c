//! Re-running, once, the jobs whose spot instance EC2 took back: what the engine decides of them is looked up and carried
//! out here.
//!
//! GitHub has two calls for it: one for a job, one for all failed jobs of a run. The first touches nothing but the job and
//! what depends on it, and is taken where one job was interrupted; the second only where all that failed was. Neither is
//! ever repeated: the run is read again just before, and after an answer that was lost or that refused, and what tells is
//! the number of its latest attempt. So another operator, a crash or a person in between makes no second one.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use crate::ages::age;
use crate::apply::{ENDING, Result as Ended};
use crate::config::Config;
use crate::engine::{
    JobId, NoRerun, Policy, PoolName, RepositoryName, Rerun, RerunVerdict, RunId, Snapshot, SpotJob, interrupted_runs,
    judge_rerun, remember_spot_jobs,
};
use crate::github::{self, Client, ErrorKind};
use crate::services::{Clock, Runs, SpotMemory, SystemClock};
use crate::state::StateDirectory;
use crate::warning::{Warning, WarningCode};

/// So many runs are looked up, and re-run, in one pass; the next goes on.
const RUNS_A_PASS: usize = 20;
/// How long runs are looked up for in one pass: launches wait for it.
const LOOKS_FOR: Duration = Duration::from_secs(10);

/// What re-runs work with.
pub struct Reruns<'a, R, M, C> {
    /// The pools.
    pub policy: Policy,
    /// Where the runs are: memories of another scope are of other runs.
    pub scope: &'a str,
    /// GitHub.
    pub runs: &'a R,
    /// This host's memory.
    pub memory: &'a M,
    /// Time.
    pub clock: &'a C,
    /// Decides which run is looked up first.
    pub nonce: &'a dyn Fn() -> u64,
}

/// What one observation leads to.
#[derive(Debug, Default)]
pub struct Due {
    /// What is to be re-run.
    pub reruns: Vec<Rerun>,
    /// The interrupted jobs that never will be by us: whoever carries this out forgets them.
    pub settled: BTreeSet<JobId>,
    /// What is not known or not re-run, and should be said.
    pub warnings: Vec<Warning>,
}

/// What became of a re-run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RerunOutcome {
    /// What was to be done.
    pub rerun: Rerun,
    /// Whether it was.
    pub result: Ended,
    /// What stood against it, or that another was faster.
    pub error: Option<String>,
    /// GitHub's id of the request.
    pub request_id: Option<String>,
    /// When it was finished.
    pub at: Timestamp,
}

/// What one try has shown.
struct Tried {
    result: Ended,
    error: Option<String>,
    request_id: Option<String>,
    /// Nothing is left to do for these jobs.
    is_settled: bool,
    /// Is to be said, and what follows for the re-runs after it.
    refusal: Option<github::Error>,
}

impl Tried {
    fn new(result: Ended, is_settled: bool, error: Option<String>) -> Self {
        Self { result, error, request_id: None, is_settled, refusal: None }
    }

    fn stopped(error: github::Error) -> Self {
        let said = Some(error.to_string());
        Self { request_id: error.request_id.clone(), refusal: Some(error), ..Self::new(Ended::Failed, false, said) }
    }
}

impl<'a> Reruns<'a, Client, StateDirectory, SystemClock> {
    /// Returns those of a configuration.
    #[must_use]
    pub fn of(config: &'a Config, client: &'a Client, state: &'a StateDirectory) -> Self {
        Self {
            policy: config.policy(),
            scope: config.github.url.as_str(),
            runs: client,
            memory: state,
            clock: &SystemClock,
            nonce: &|| fastrand::u64(..),
        }
    }
}

impl<R: Runs, M: SpotMemory, C: Clock> Reruns<'_, R, M, C> {
    /// Remembers which jobs are on spot instances, and finds those that are to be re-run. Nothing is changed but this
    /// host's memory, and nothing at all is asked where no pool has it switched on.
    pub async fn find(&self, seen: &Snapshot, pools: &[PoolName]) -> Due {
        let mut due = Due::default();
        let policy = &self.policy;
        let is_on = |name: &PoolName| policy.pools.iter().any(|pool| pool.rerun_interrupted && pool.name == *name);
        if !policy.pools.iter().any(|pool| pool.rerun_interrupted) {
            return due;
        }
        let fleet = policy.fleet.as_str();
        let known = remember_spot_jobs(self.memory.spot_jobs(fleet, self.scope), seen, policy);
        if let Err(error) = self.memory.remember_spot_jobs(fleet, self.scope, &known) {
            let said = format!("which jobs are on spot instances could not be kept, so fewer are re-run: {error}");
            due.warnings.push(Warning { code: WarningCode::StateUnwritable, message: said, subject: None });
        }
        if !seen.instances.whole || !seen.runners.whole {
            return due;
        }
        let is_chosen = |job: &SpotJob| is_on(&job.pool) && (pools.is_empty() || pools.contains(&job.pool));
        let mut runs: Vec<_> = interrupted_runs(&known, seen).into_iter().collect();
        runs.retain(|(_, jobs)| jobs.iter().all(is_chosen));
        // Another one first in each pass: where not all can be looked up in one, each has its turn.
        let first = (self.nonce)().checked_rem(runs.len() as u64).unwrap_or(0);
        runs.rotate_left(usize::try_from(first).unwrap_or(0));
        let (mut looked_up, mut unread, began) = (0, BTreeSet::new(), self.clock.now());
        for ((repository, run), jobs) in runs {
            if looked_up == RUNS_A_PASS || age(self.clock.now(), began) >= LOOKS_FOR {
                break;
            }
            // A repository that can't be read is asked once a pass, and keeps no other from its turn.
            if unread.contains(&repository) {
                continue;
            }
            looked_up += 1;
            let latest = match self.runs.latest_attempt(&repository, run).await {
                Ok(latest) => latest,
                Err(error) => {
                    let said = format!("whether its interrupted jobs are to be re-run is not known: {error}");
                    due.warnings.push(warning(&repository, run, said));
                    unread.insert(repository);
                    if error.kind.ends_asking() {
                        break;
                    }
                    continue;
                }
            };
            match judge_rerun(&jobs, latest.as_ref()) {
                RerunVerdict::Due(rerun) => due.reruns.push(rerun),
                RerunVerdict::Later => {}
                RerunVerdict::Never(why) => {
                    tracing::debug!(%repository, %run, %why, "interrupted jobs are not re-run");
                    if why == NoRerun::OthersFailed {
                        due.warnings.push(warning(&repository, run, format!("not re-run: {why}")));
                    }
                    due.settled.extend(jobs.iter().map(|job| job.job_id));
                }
            }
        }
        due.reruns.sort_by(|a, b| (&a.repository, a.run_id).cmp(&(&b.repository, b.run_id)));
        due
    }

    /// Re-runs jobs, and forgets those of which nothing is left to do. Each outcome is told as it ends.
    pub async fn carry_out(
        &self,
        reruns: &[Rerun],
        mut settled: BTreeSet<JobId>,
        tell: impl Fn(&RerunOutcome),
        is_stopping: &dyn Fn() -> bool,
    ) -> (Vec<RerunOutcome>, Vec<Warning>) {
        let (mut outcomes, mut warnings) = (Vec::new(), Vec::new());
        let mut halted: Option<String> = None;
        for rerun in reruns {
            let tried = match &halted {
                _ if is_stopping() => Tried::new(Ended::Skipped, false, Some(ENDING.to_owned())),
                Some(why) => Tried::new(Ended::Skipped, false, Some(format!("not tried: {why}"))),
                None => self.once(rerun).await,
            };
            if tried.is_settled {
                settled.extend(rerun.jobs.iter().map(|job| job.job_id));
            }
            if let Some(refusal) = tried.refusal {
                let ends = refusal.kind.ends_asking() || refusal.kind == ErrorKind::Unauthorized;
                halted = ends.then(|| refusal.message.clone());
                // The others most likely fail for the same cause: it is said once.
                if warnings.is_empty() {
                    warnings.push(warning(&rerun.repository, rerun.run_id, refused(&refusal)));
                }
            }
            let Tried { result, error, request_id, .. } = tried;
            let outcome = RerunOutcome { rerun: rerun.clone(), result, error, request_id, at: self.clock.now() };
            tell(&outcome);
            outcomes.push(outcome);
        }
        self.forget(&settled);
        (outcomes, warnings)
    }

    /// Re-runs the interrupted jobs of one run, unless that no longer holds.
    async fn once(&self, rerun: &Rerun) -> Tried {
        let Rerun { repository, run_id, jobs } = rerun;
        let latest = match self.runs.latest_attempt(repository, *run_id).await {
            Ok(latest) => latest,
            Err(error) => return Tried::stopped(error),
        };
        match judge_rerun(jobs, latest.as_ref()) {
            RerunVerdict::Due(still) if still == *rerun => {}
            RerunVerdict::Due(_) | RerunVerdict::Later => {
                return Tried::new(
                    Ended::Skipped,
                    false,
                    Some("the run has changed: the next pass looks again".into()),
                );
            }
            RerunVerdict::Never(why) => return Tried::new(Ended::Skipped, true, Some(why.to_string())),
        }
        let sent = match &jobs[..] {
            [job] => self.runs.rerun_job(repository, job.job_id).await,
            _ => self.runs.rerun_failed_jobs(repository, *run_id).await,
        };
        let error = match sent {
            Ok(request_id) => return Tried { request_id, ..Tried::new(Ended::Done, true, None) },
            Err(error) if error.kind.ends_asking() => return Tried::stopped(error),
            Err(error) => error,
        };
        let is_lost = matches!(error.kind, ErrorKind::Transport | ErrorKind::Server { .. } | ErrorKind::Protocol);
        let request_id = error.request_id.clone();
        match self.runs.latest_attempt(repository, *run_id).await {
            Ok(Some(latest)) if latest.attempt > 1 && is_lost => {
                Tried { request_id, ..Tried::new(Ended::Done, true, None) }
            }
            Ok(Some(latest)) if latest.attempt > 1 => {
                let why = NoRerun::Attempted(latest.attempt).to_string();
                Tried { request_id, ..Tried::new(Ended::Skipped, true, Some(why)) }
            }
            // The run's number may lag behind what was begun.
            _ if error.message.contains("already running") => {
                let why = Some("a re-run has begun already".to_owned());
                Tried { request_id, ..Tried::new(Ended::Skipped, true, why) }
            }
            // It may have been done all the same; the next pass sees in which attempt the run is.
            _ if is_lost => Tried::stopped(error),
            _ if error.kind == ErrorKind::Unauthorized => Tried::stopped(error),
            // It will be refused again: a person can do it, when what stands against it is gone.
            _ => {
                let why = Some(error.to_string());
                Tried { request_id, refusal: Some(error), ..Tried::new(Ended::Skipped, true, why) }
            }
        }
    }

    fn forget(&self, settled: &BTreeSet<JobId>) {
        if settled.is_empty() {
            return;
        }
        let fleet = self.policy.fleet.as_str();
        let mut known = self.memory.spot_jobs(fleet, self.scope);
        known.retain(|id, _| !settled.contains(id));
        if let Err(error) = self.memory.remember_spot_jobs(fleet, self.scope, &known) {
            tracing::warn!(%error, "what was re-run could not be noted: the run's attempt tells the next pass");
        }
    }
}

fn refused(error: &github::Error) -> String {
    let cure = match error.kind {
        ErrorKind::Forbidden | ErrorKind::NotFound => {
            ": re-running needs *Actions: write* on the repository (classic token: `repo`); give it, and re-run this one \
             by hand"
        }
        _ => "",
    };
    format!("its interrupted jobs were not re-run: {error}{cure}")
}

fn warning(repository: &RepositoryName, run: RunId, message: String) -> Warning {
    Warning::new(WarningCode::RerunFailed, format!("run {run} of {repository}"), message)
}
