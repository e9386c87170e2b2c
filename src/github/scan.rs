//! Demand by REST: repositories -> active runs -> the jobs of their latest attempts, each job once.
//!
//! One repository, run or page that fails doesn't stop the others: it becomes a warning. What was seen of it lately is
//! shown in its place, and the count is stale then; where nothing is known of it, the count is a lower bound.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream;
use jiff::Timestamp;

use super::client::{Client, Usage};
use super::error::{Error, ErrorKind};
use super::jobs::{self, Jobs};
use super::memory::{Memory, Seen, SeenRepositories};
use super::repositories::{Discovered, discover};
use super::runs::{self, Run};
use crate::ages::{age, short};
use crate::config;
use crate::engine::{
    CountKind, Demand, HiddenRun, Job, JobId, JobState, RepositoryName, RunId, Scope, SkippedRepository, Source,
    WaitReason,
};
use crate::warning::{Warning, WarningCode};

/// Runs of one repository whose jobs are listed at once.
const RUNS_AT_ONCE: usize = 4;

/// Hears of a scan's progress.
pub trait Progress: Send + Sync {
    /// So many repositories are to be read.
    fn found(&self, repositories: usize);
    /// One of them was; and so much has it cost so far.
    fn done(&self, repository: &RepositoryName, usage: Usage);
}

/// Says nothing.
#[derive(Clone, Copy, Debug)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn found(&self, _: usize) {}
    fn done(&self, _: &RepositoryName, _: Usage) {}
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
/// Nothing usable came out: the repositories could not be listed, or none of them could be read, and nothing is known
/// of them from before.
pub async fn scan(
    client: &Client,
    scope: &Scope,
    settings: &config::Scan,
    now: Timestamp,
    progress: &dyn Progress,
) -> Result<Scanned, Error> {
    let memory = Memory { cache: client.cache().map(|cache| (cache, client.who())), now };
    let scan = Scan { client, now, max_job_age: settings.max_job_age, memory };
    let mut sum = Sum::default();
    let found = scan.discover(scope, settings, &mut sum).await?;
    progress.found(found.repositories.len());
    let mut looks: Vec<(RepositoryName, Look)> = stream::iter(found.repositories)
        .map(|repository| async {
            let look = scan.look(&repository).await;
            progress.done(&repository, client.usage());
            (repository, look)
        })
        .buffer_unordered(settings.concurrency.max(1))
        .collect()
        .await;
    looks.sort_by(|(a, _), (b, _)| a.cmp(b));
    sum.skipped.extend(found.skipped);
    sum.warnings.extend(found.warnings);
    for (repository, look) in looks {
        sum.add(repository, look, now);
    }
    sum.up(now)
}

struct Scan<'a> {
    client: &'a Client,
    now: Timestamp,
    max_job_age: Duration,
    memory: Memory<'a>,
}

/// What a look at a repository came to.
#[derive(Debug)]
enum Look {
    /// It was read, but for what the part says is missing.
    Read(Part),
    /// It could not be read, and this was seen of it lately.
    Remembered(Seen, Error),
    /// It could not be read.
    Lost(Error),
}

/// One repository's share.
#[derive(Debug, Default)]
struct Part {
    jobs: Vec<Job>,
    unresolved: Vec<HiddenRun>,
    ghosts: Vec<HiddenRun>,
    warnings: Vec<Warning>,
    /// The runs that nobody could ask for any more, and why.
    unasked: Vec<Error>,
    /// Something was not read, and is not known from before.
    is_missing: bool,
    /// Some of it was seen then, and not now.
    remembered: Option<Timestamp>,
}

impl Scan<'_> {
    /// Lists the repositories; those of an earlier list where nothing can be asked now.
    async fn discover(&self, scope: &Scope, settings: &config::Scan, sum: &mut Sum) -> Result<Discovered, Error> {
        let globs = &settings.patterns;
        let error = match discover(self.client, scope, settings).await {
            Ok(found) => {
                if found.warnings.is_empty() {
                    let (repositories, skipped) = (found.repositories.clone(), found.skipped.clone());
                    let seen = SeenRepositories { at: self.now, repositories, skipped };
                    self.memory.keep_repositories(scope, globs, &seen);
                }
                sum.is_missing |= found.warnings.iter().any(|warning| warning.code.is_partial());
                return Ok(found);
            }
            Err(error) => error,
        };
        let known = self.memory.repositories(scope, globs).filter(|_| error.kind.ends_asking());
        let Some(known) = known else { return Err(error) };
        // A repository that was made since could be missing.
        sum.is_missing = true;
        sum.warnings.push(Warning::new(
            unasked_code(&error),
            "repositories",
            format!("the list of {} ago is used: {error}", short(age(self.now, known.at))),
        ));
        Ok(Discovered { repositories: known.repositories, skipped: known.skipped, warnings: Vec::new() })
    }

    async fn look(&self, repository: &RepositoryName) -> Look {
        match self.repository(repository).await {
            Ok(part) => Look::Read(part),
            Err(error) if passes(&error) => match self.memory.repository(repository) {
                Some(seen) => Look::Remembered(seen, error),
                None => Look::Lost(error),
            },
            Err(error) => Look::Lost(error),
        }
    }

    async fn repository(&self, repository: &RepositoryName) -> Result<Part, Error> {
        let runs = runs::active(self.client, repository, self.max_job_age, self.now).await?;
        let lost = |why| Warning::new(WarningCode::RepositoryFailed, repository.as_str(), why);
        let warnings: Vec<Warning> = runs.lost.into_iter().map(lost).collect();
        let mut part = Part { is_missing: !warnings.is_empty(), warnings, ..Part::default() };
        let listed: Vec<(Run, Result<Jobs, Error>)> = stream::iter(runs.active)
            .map(|run| async {
                let jobs = jobs::of_run(self.client, repository, run.id).await;
                (run, jobs)
            })
            .buffer_unordered(RUNS_AT_ONCE)
            .collect()
            .await;
        let mut known = None;
        for (run, jobs) in listed {
            match jobs {
                Err(error) if passes(&error) => {
                    let known = known.get_or_insert_with(|| Known::of(self.memory.repository(repository)));
                    part.add_lost(repository, &run, error, known);
                }
                Err(error) => part.add_lost(repository, &run, error, &Known::default()),
                Ok(jobs) => self.add(&mut part, repository, &run, jobs),
            }
        }
        if part.is_whole() {
            let (jobs, unresolved, ghosts) = (part.jobs.clone(), part.unresolved.clone(), part.ghosts.clone());
            self.memory.keep_repository(repository, &Seen { at: self.now, jobs, unresolved, ghosts });
        }
        Ok(part)
    }

    fn add(&self, part: &mut Part, repository: &RepositoryName, run: &Run, jobs: Jobs) {
        let subject = format!("{repository} run {}", run.id);
        let mut warn = |code, why: String| part.warnings.push(Warning::new(code, subject.as_str(), why));
        let hidden = HiddenRun {
            repository: repository.clone(),
            run_id: run.id,
            status: run.status().to_owned(),
            since: run.since(),
        };
        let is_old = |since: Option<Timestamp>| since.is_some_and(|since| age(self.now, since) > self.max_job_age);
        let too_long = format!("queued for longer than {}: not counted", short(self.max_job_age));
        match jobs {
            Jobs::Hidden if is_old(run.since()) => {
                warn(WarningCode::GhostRun, format!("{too_long}, and without jobs"));
                part.ghosts.push(hidden);
            }
            Jobs::Hidden => {
                warn(WarningCode::UnresolvedRun, format!("{}, but GitHub shows no jobs of it yet", run.status()));
                part.unresolved.push(hidden);
            }
            Jobs::Listed { jobs, lost } => {
                part.is_missing |= !lost.is_empty();
                for why in lost {
                    warn(WarningCode::RunFailed, why);
                }
                for job in &jobs {
                    if let JobState::Waiting(WaitReason::Unknown(word)) = &job.state {
                        part.is_missing = true;
                        warn(WarningCode::UnknownStatus, format!("job {} has the unknown status `{word}`", job.id));
                    }
                }
                let is_ghost = |job: &Job| job.state == JobState::Pending && is_old(job.queued_at);
                let (ghosts, jobs): (Vec<Job>, Vec<Job>) = jobs.into_iter().partition(is_ghost);
                if let Some(oldest) = ghosts.iter().filter_map(|job| job.queued_at).min() {
                    warn(WarningCode::GhostRun, format!("{} of its jobs {too_long}", ghosts.len()));
                    part.ghosts.push(HiddenRun { since: Some(oldest), ..hidden });
                }
                part.jobs.extend(jobs);
            }
        }
    }
}

/// What is known from before of a repository's runs.
#[derive(Debug, Default)]
struct Known {
    at: Option<Timestamp>,
    jobs: BTreeMap<RunId, Vec<Job>>,
}

impl Known {
    fn of(seen: Option<Seen>) -> Self {
        seen.map_or_else(Self::default, |seen| Self { at: Some(seen.at), jobs: seen.jobs_by_run() })
    }
}

impl Part {
    /// Adds a run whose jobs could not be read: with the jobs that were seen of it, if it was seen.
    fn add_lost(&mut self, repository: &RepositoryName, run: &Run, error: Error, known: &Known) {
        match known.jobs.get(&run.id) {
            Some(jobs) => {
                self.jobs.extend(jobs.iter().cloned());
                self.remembered = [self.remembered, known.at].into_iter().flatten().min();
            }
            None => self.is_missing = true,
        }
        if error.kind.ends_asking() {
            self.unasked.push(error);
        } else {
            let subject = format!("{repository} run {}", run.id);
            self.warnings.push(Warning::new(WarningCode::RunFailed, subject, error.to_string()));
        }
    }

    fn is_whole(&self) -> bool {
        !self.is_missing && self.remembered.is_none() && self.unasked.is_empty()
    }
}

/// All repositories' shares together, each job once, in an order that doesn't depend on who answered first.
#[derive(Debug, Default)]
struct Sum {
    jobs: BTreeMap<JobId, Job>,
    unresolved: Vec<HiddenRun>,
    ghosts: Vec<HiddenRun>,
    skipped: Vec<SkippedRepository>,
    warnings: Vec<Warning>,
    scanned: usize,
    /// Something was not read, and is not known from before.
    is_missing: bool,
    /// The oldest thing that was not read and is known from before.
    remembered: Option<Timestamp>,
    has_remembered: bool,
    unasked: Unasked,
    first_error: Option<Error>,
}

/// What could not be asked for any more: counted, since it can be thousands.
#[derive(Debug, Default)]
struct Unasked {
    repositories: usize,
    remembered: usize,
    runs: usize,
    why: Option<Error>,
}

impl Sum {
    fn add(&mut self, repository: RepositoryName, look: Look, now: Timestamp) {
        match look {
            Look::Read(part) => {
                self.scanned += 1;
                self.is_missing |= part.is_missing;
                self.remember(part.remembered);
                self.unasked.runs += part.unasked.len();
                self.unasked.why = self.unasked.why.take().or(part.unasked.into_iter().next());
                self.jobs.extend(part.jobs.into_iter().map(|job| (job.id, job)));
                self.unresolved.extend(part.unresolved);
                self.ghosts.extend(part.ghosts);
                self.warnings.extend(part.warnings);
            }
            Look::Remembered(seen, error) => {
                self.has_remembered = true;
                self.remember(Some(seen.at));
                if error.kind.ends_asking() {
                    self.unasked.repositories += 1;
                    self.unasked.remembered += 1;
                    self.unasked.why.get_or_insert_with(|| error.clone());
                } else {
                    let ago = short(age(now, seen.at));
                    let said = format!("{error}; what was seen of it {ago} ago is shown");
                    self.warnings.push(Warning::new(WarningCode::RepositoryFailed, repository.as_str(), said));
                }
                // What was read now is right where both have a job: a repository may have got another name.
                for job in seen.jobs {
                    self.jobs.entry(job.id).or_insert(job);
                }
                self.unresolved.extend(seen.unresolved);
                self.ghosts.extend(seen.ghosts);
                self.first_error.get_or_insert(error);
            }
            Look::Lost(error) if is_disabled(&error) => {
                self.skipped.push(SkippedRepository { repository, reason: "actions_disabled".to_owned() });
            }
            Look::Lost(error) => {
                self.is_missing = true;
                if error.kind.ends_asking() {
                    self.unasked.repositories += 1;
                    self.unasked.why.get_or_insert_with(|| error.clone());
                } else {
                    let warning = Warning::new(WarningCode::RepositoryFailed, repository.as_str(), error.to_string());
                    self.warnings.push(warning);
                }
                self.first_error.get_or_insert(error);
            }
        }
    }

    fn remember(&mut self, at: Option<Timestamp>) {
        self.remembered = [self.remembered, at].into_iter().flatten().min();
    }

    fn up(mut self, now: Timestamp) -> Result<Scanned, Error> {
        if self.scanned == 0
            && !self.has_remembered
            && let Some(error) = self.first_error
        {
            return Err(error);
        }
        self.warnings.extend(self.unasked.warning());
        self.unresolved.sort();
        self.ghosts.sort();
        self.skipped.sort();
        self.warnings.sort();
        let kind = if self.is_missing {
            CountKind::AtLeast
        } else if self.remembered.is_some() {
            CountKind::Stale
        } else {
            CountKind::Exact
        };
        let demand = Demand {
            source: Source::Rest,
            jobs: self.jobs.into_values().collect(),
            kind,
            age: self.remembered.map_or(Duration::ZERO, |at| age(now, at)),
            unresolved: self.unresolved,
            ghosts: self.ghosts,
            scanned: self.scanned,
            skipped: self.skipped,
        };
        Ok(Scanned { demand, warnings: self.warnings })
    }
}

impl Unasked {
    fn warning(&self) -> Option<Warning> {
        let why = self.why.as_ref()?;
        let things = [(self.repositories, "repositories"), (self.runs, "runs")];
        let things = things.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
        let things = things.collect::<Vec<_>>().join(" and ");
        let known = match self.remembered {
            0 => String::new(),
            count => format!("; what was seen of {count} of them lately is shown"),
        };
        Some(Warning::new(unasked_code(why), "scan", format!("{things} could not be read{known}: {why}")))
    }
}

fn unasked_code(error: &Error) -> WarningCode {
    match error.kind {
        ErrorKind::OverBudget => WarningCode::BudgetEnded,
        _ => WarningCode::RateLimited,
    }
}

/// Returns whether an error says nothing of what was asked for, so that it is most likely still as it was.
fn passes(error: &Error) -> bool {
    error.kind.ends_asking() || matches!(error.kind, ErrorKind::Server | ErrorKind::Transport)
}

/// Returns whether GitHub says that a repository has no Actions. Most servers answer with an empty list instead.
fn is_disabled(error: &Error) -> bool {
    let said = error.message.to_lowercase();
    matches!(error.kind, ErrorKind::NotFound | ErrorKind::Forbidden)
        && said.contains("actions")
        && said.contains("disabled")
}
