//! Demand by REST: repositories -> active runs -> the jobs of their latest attempts, each job once.
//!
//! One repository, run or page that fails doesn't stop the others: it becomes a warning, and the count a lower bound.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream;
use jiff::Timestamp;

use super::client::Client;
use super::error::{Error, ErrorKind};
use super::jobs::{self, Jobs};
use super::repositories::discover;
use super::runs::{self, Run};
use crate::ages::age;
use crate::config;
use crate::engine::{
    CountKind, Demand, HiddenRun, Job, JobId, JobState, RepositoryName, Scope, SkippedRepository, Source, WaitReason,
};
use crate::warning::{Warning, WarningCode};

/// Runs of one repository whose jobs are listed at once.
const RUNS_AT_ONCE: usize = 4;

/// Hears of a scan's progress.
pub trait Progress: Send + Sync {
    /// So many repositories are to be read.
    fn found(&self, repositories: usize);
    /// One of them was.
    fn done(&self, repository: &RepositoryName);
}

/// Says nothing.
#[derive(Clone, Copy, Debug)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn found(&self, _: usize) {}
    fn done(&self, _: &RepositoryName) {}
}

/// What a scan found, and what it missed.
#[derive(Debug)]
pub struct Scanned {
    /// The jobs.
    pub demand: Demand,
    /// What is missing.
    pub warnings: Vec<Warning>,
}

/// Reads the jobs of a scope that are not completed.
///
/// # Errors
/// Nothing usable came out: the repositories could not be listed, or none of them could be read.
pub async fn scan(
    client: &Client,
    scope: &Scope,
    settings: &config::Scan,
    now: Timestamp,
    progress: &dyn Progress,
) -> Result<Scanned, Error> {
    let found = discover(client, scope, settings).await?;
    progress.found(found.repositories.len());
    let scan = Scan { client, now, max_job_age: settings.max_job_age, limited: AtomicBool::new(false) };
    let mut parts: Vec<(RepositoryName, Result<Part, Error>)> = stream::iter(found.repositories)
        .map(|repository| async {
            let part = scan.repository(&repository).await;
            progress.done(&repository);
            (repository, part)
        })
        .buffer_unordered(settings.concurrency.max(1))
        .collect()
        .await;
    parts.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut scanned = sum(parts, found.skipped, found.warnings)?;
    scanned.demand.public = found.public;
    Ok(scanned)
}

struct Scan<'a> {
    client: &'a Client,
    now: Timestamp,
    max_job_age: Duration,
    /// The rate limit has ended: nothing more is asked.
    limited: AtomicBool,
}

/// One repository's share.
#[derive(Debug, Default)]
struct Part {
    jobs: Vec<Job>,
    unresolved: Vec<HiddenRun>,
    ghosts: Vec<HiddenRun>,
    ghost_jobs: Vec<Job>,
    warnings: Vec<Warning>,
}

impl Scan<'_> {
    async fn repository(&self, repository: &RepositoryName) -> Result<Part, Error> {
        self.is_open(repository)?;
        let runs = self.heed(runs::active(self.client, repository, self.max_job_age, self.now).await)?;
        let lost = |why| Warning::new(WarningCode::RepositoryFailed, repository.as_str(), why);
        let mut part = Part { warnings: runs.lost.into_iter().map(lost).collect(), ..Part::default() };
        let listed: Vec<(Run, Result<Jobs, Error>)> = stream::iter(runs.active)
            .map(|run| async {
                let jobs = match self.is_open(repository) {
                    Ok(()) => self.heed(jobs::of_run(self.client, repository, run.id).await),
                    Err(error) => Err(error),
                };
                (run, jobs)
            })
            .buffer_unordered(RUNS_AT_ONCE)
            .collect()
            .await;
        for (run, jobs) in listed {
            self.add(&mut part, repository, &run, jobs);
        }
        Ok(part)
    }

    fn add(&self, part: &mut Part, repository: &RepositoryName, run: &Run, jobs: Result<Jobs, Error>) {
        let subject = format!("{repository} run {}", run.id);
        let mut warn = |code, why: String| part.warnings.push(Warning::new(code, subject.as_str(), why));
        let hidden = HiddenRun {
            repository: repository.clone(),
            run_id: run.id,
            status: run.status().to_owned(),
            since: run.since(),
        };
        let is_old = |since: Option<Timestamp>| since.is_some_and(|since| age(self.now, since) > self.max_job_age);
        let too_long = format!("queued for longer than {}: not counted", crate::ages::short(self.max_job_age));
        match jobs {
            Err(error) => {
                let limited = matches!(error.kind, ErrorKind::RateLimited { .. });
                let code = if limited { WarningCode::RateLimited } else { WarningCode::RunFailed };
                warn(code, error.to_string());
            }
            Ok(Jobs::Hidden) if is_old(run.since()) => {
                warn(WarningCode::GhostRun, format!("{too_long}, and without jobs"));
                part.ghosts.push(hidden);
            }
            Ok(Jobs::Hidden) => {
                warn(WarningCode::UnresolvedRun, format!("{}, but GitHub shows no jobs of it yet", run.status()));
                part.unresolved.push(hidden);
            }
            Ok(Jobs::Listed { jobs, lost }) => {
                for why in lost {
                    warn(WarningCode::RunFailed, why);
                }
                for job in &jobs {
                    if let JobState::Waiting(WaitReason::Unknown(word)) = &job.state {
                        warn(WarningCode::UnknownStatus, format!("job {} has the unknown status `{word}`", job.id));
                    }
                }
                let is_ghost = |job: &Job| job.state == JobState::Pending && is_old(job.queued_at);
                let (ghosts, jobs): (Vec<Job>, Vec<Job>) = jobs.into_iter().partition(is_ghost);
                if let Some(oldest) = ghosts.iter().filter_map(|job| job.queued_at).min() {
                    warn(WarningCode::GhostRun, format!("{} of its jobs {too_long}", ghosts.len()));
                    part.ghosts.push(HiddenRun { since: Some(oldest), ..hidden });
                }
                part.ghost_jobs.extend(ghosts);
                part.jobs.extend(jobs);
            }
        }
    }

    /// Returns an error once the rate limit has ended: a request more would only be refused, and be held against us.
    fn is_open(&self, repository: &RepositoryName) -> Result<(), Error> {
        if !self.limited.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err(Error {
            kind: ErrorKind::RateLimited { until: None },
            request: format!("{repository}"),
            status: None,
            message: "not read: the rate limit is exhausted".to_owned(),
            request_id: None,
        })
    }

    fn heed<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        if result.as_ref().is_err_and(|error| matches!(error.kind, ErrorKind::RateLimited { .. })) {
            self.limited.store(true, Ordering::Relaxed);
        }
        result
    }
}

/// Puts the repositories' shares together, each job once, in an order that doesn't depend on who answered first.
fn sum(
    parts: Vec<(RepositoryName, Result<Part, Error>)>,
    mut skipped: Vec<SkippedRepository>,
    mut warnings: Vec<Warning>,
) -> Result<Scanned, Error> {
    let mut jobs: BTreeMap<JobId, Job> = BTreeMap::new();
    let mut ghost_jobs: BTreeMap<JobId, Job> = BTreeMap::new();
    let (mut unresolved, mut ghosts, mut scanned) = (Vec::new(), Vec::new(), 0);
    let mut first_error = None;
    for (repository, part) in parts {
        match part {
            Ok(part) => {
                scanned += 1;
                jobs.extend(part.jobs.into_iter().map(|job| (job.id, job)));
                unresolved.extend(part.unresolved);
                ghosts.extend(part.ghosts);
                ghost_jobs.extend(part.ghost_jobs.into_iter().map(|job| (job.id, job)));
                warnings.extend(part.warnings);
            }
            Err(error) if is_disabled(&error) => {
                skipped.push(SkippedRepository { repository, reason: "actions_disabled".to_owned() });
            }
            Err(error) => {
                let limited = matches!(error.kind, ErrorKind::RateLimited { .. });
                let code = if limited { WarningCode::RateLimited } else { WarningCode::RepositoryFailed };
                warnings.push(Warning::new(code, repository.as_str(), error.to_string()));
                first_error.get_or_insert(error);
            }
        }
    }
    if let Some(error) = first_error.filter(|_| scanned == 0) {
        return Err(error);
    }
    unresolved.sort();
    ghosts.sort();
    skipped.sort();
    warnings.sort();
    let is_partial = warnings.iter().any(|warning| warning.code.is_partial());
    let kind = if is_partial { CountKind::AtLeast } else { CountKind::Exact };
    let jobs = jobs.into_values().collect();
    let ghost_jobs = ghost_jobs.into_values().collect();
    let (source, public) = (Source::Rest, BTreeSet::new());
    let demand = Demand { source, jobs, kind, unresolved, ghosts, ghost_jobs, scanned, skipped, public };
    Ok(Scanned { demand, warnings })
}

/// Returns whether GitHub says that a repository has no Actions. Most servers answer with an empty list instead.
fn is_disabled(error: &Error) -> bool {
    let said = error.message.to_lowercase();
    matches!(error.kind, ErrorKind::NotFound | ErrorKind::Forbidden)
        && said.contains("actions")
        && said.contains("disabled")
}
