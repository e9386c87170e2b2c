//! Demand by REST: repositories -> active runs -> the jobs of their latest attempts, each job once.
//!
//! One repository, run or page that fails doesn't stop the others: it becomes a warning. What was seen of it lately is
//! shown in its place, and the count is stale then; where nothing is known of it, the count is a lower bound.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::channel::mpsc::{UnboundedReceiver, unbounded};
use futures::future::LocalBoxFuture;
use futures::{FutureExt as _, StreamExt as _, stream};
use jiff::Timestamp;

use super::client::{Client, Usage};
use super::deliveries;
use super::discovery::not_selected;
use super::error::{Error, ErrorKind};
use super::jobs::{self, Jobs};
use super::memory::{JOBS_RUN_FOR, Memory, Seen};
use super::repositories::Discovered;
use super::runs::{self, Old, Run};
use super::shares::{Share, shares};
use super::turns::{Coverage, LEAST_CADENCE, Pace, Tier, Turn, cost, turns};
use crate::ages::{age, short};
use crate::config;
use crate::engine::{
    CountKind, Demand, HiddenRun, JOBS_LAST, Job, JobId, JobState, RepositoryName, Scope, SkippedRepository, Source,
    WaitReason,
};
use crate::quoting;
use crate::services;
use crate::warning::{Warning, WarningCode};

/// Runs of one repository whose jobs are listed at once.
const RUNS_AT_ONCE: usize = 4;
/// A scope in which a new job can take longer to be seen is too large for its pace.
const SERVED_WITHIN: Duration = Duration::from_mins(15);

/// Scans that are farther apart than this say nothing of what an hour of them costs.
const OFTEN: Duration = Duration::from_mins(5);

/// Hears of a scan's progress.
pub trait Progress: Send + Sync {
    /// So many repositories are to be read, as far as is known.
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

/// All jobs of a scope, to be read once more.
#[derive(Clone, Copy, Debug)]
pub struct AllJobs<'a> {
    /// GitHub.
    pub client: &'a Client,
    /// The scope.
    pub scope: &'a Scope,
    /// What is read of it.
    pub settings: &'a config::Scan,
}

impl services::Jobs for AllJobs<'_> {
    fn read(&self) -> LocalBoxFuture<'_, Result<Demand, Error>> {
        let Self { client, scope, settings } = *self;
        async move {
            // A longer look ends nothing by what it saw.
            let looking = scan(client, scope, settings, Timestamp::now(), &NoProgress);
            match client.within_budget(tokio::time::timeout(JOBS_LAST, looking)).await {
                Ok(scanned) => Ok(scanned?.demand),
                Err(_) => Ok(Demand { kind: CountKind::AtLeast, ..Demand::none() }),
            }
        }
        .boxed_local()
    }
}

/// What a scan found, and what it missed.
#[derive(Debug)]
pub struct Scanned {
    /// The jobs.
    pub demand: Demand,
    /// What is missing.
    pub warnings: Vec<Warning>,
    /// How much of the scope was looked at.
    pub coverage: Coverage,
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
    let before = client.usage();
    let at_once = if settings.beside { 1 } else { settings.concurrency.max(1) };
    let all = Scan::of(client, settings, now);
    let (ahead, listed) = unbounded();
    let listing = async {
        let ahead = ahead;
        shares(client, scope, settings, now, Some(&ahead).filter(|_| !settings.beside)).await
    };
    let (found, mut looked, (hints, complaint)) =
        futures::join!(listing, all.ahead(listed, at_once, progress), hints(client, scope, settings, now));
    let (shares, found) = found?;
    let Discovered { skipped, closed, mut warnings, public, is_missing, listed, ids, .. } = found;
    let closed: BTreeMap<RepositoryName, String> = closed.into_iter().map(|one| (one.repository, one.reason)).collect();
    warnings.extend(complaint);
    let hinted = hints.into_iter().filter_map(|(id, at)| Some((ids.get(&id)?, at)));
    let hinted: BTreeMap<&RepositoryName, Timestamp> = hinted.collect();
    let mut sum = Sum { public, skipped, warnings, is_missing, remembered: listed, ..Sum::default() };
    let clients = shares.iter().map(|share| share.client(client));
    let scans: Vec<Scan<'_>> = clients.map(|client| Scan::of(client, settings, now)).collect();
    let selected = shares.iter().filter(|share| share.client(client).is_selected());
    sum.skipped.extend(selected.filter_map(|share| match &share.scope {
        Scope::Organization(login) => Some(not_selected(login)),
        Scope::Repository(_) | Scope::Enterprise(_) => None,
    }));
    let mut coverage: Option<Coverage> = None;
    let mut queues: Vec<(&Scan<'_>, Vec<Task>)> = Vec::new();
    let mut looks: Vec<(RepositoryName, Look)> = Vec::new();
    for (share, scan) in shares.iter().zip(&scans) {
        let (mut tasks, mut covered, said) = scan.tasks(share, settings.full, &hinted, &looked);
        tasks.retain(|task| match looked.remove(&task.repository) {
            Some((_, look)) => {
                looks.push((task.repository.clone(), look.of_closed(closed.get(&task.repository))));
                false
            }
            None => true,
        });
        sum.warnings.extend(said);
        covered.whole &= listed.is_none();
        coverage = Some(coverage.map_or(covered, |coverage| coverage.and(covered)));
        queues.push((scan, tasks));
    }
    let due = queues.iter().flat_map(|(_, tasks)| tasks).filter(|task| task.turn != Turn::Later).count();
    progress.found(due + looks.len());
    // One queue for each share: one that has to wait doesn't stop the others.
    let queues = queues.into_iter().map(|(scan, tasks)| {
        let looks = stream::iter(tasks).map(async |task| {
            let (repository, is_looked_at) = (task.repository.clone(), task.turn != Turn::Later);
            let look = scan.look(task).await.of_closed(closed.get(&repository));
            if is_looked_at {
                progress.done(&repository, client.usage());
            }
            (repository, look)
        });
        Box::pin(looks.buffer_unordered(at_once))
    });
    looks.extend(stream::select_all(queues).collect::<Vec<_>>().await);
    looks.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (repository, look) in looks {
        sum.add(repository, look, now);
    }
    let mut scanned = sum.up(now, coverage.unwrap_or_default())?;
    if !settings.beside {
        let last = shares.iter().zip(&scans).find_map(|(share, scan)| scan.memory.last_scan(&share.scope));
        let charged = client.usage().charged_since(before);
        let lately = last.map_or(0, |last| last.an_hour);
        let an_hour = last.and_then(|last| an_hour(charged, age(now, last.began)));
        // A burst of some scans is no rule.
        let an_hour = an_hour.map_or(lately, |an_hour| (lately * 3 + an_hour) / 4);
        scanned.warnings.extend(too_dear(an_hour, client.allowed_an_hour()));
        for (share, scan) in shares.iter().zip(&scans) {
            scan.memory.keep_scan(&share.scope, scanned.coverage.whole, an_hour);
        }
    }
    Ok(scanned)
}

/// Reads which repositories something has happened in since they were looked at, if the configuration names who says it.
async fn hints(
    client: &Client,
    scope: &Scope,
    settings: &config::Scan,
    now: Timestamp,
) -> (deliveries::Hints, Option<Warning>) {
    match (scope, settings.organization_hook) {
        (Scope::Organization(login), Some(hook)) if !settings.beside => {
            deliveries::hints(client, Memory::of(client, now), login, hook).await
        }
        _ => (deliveries::Hints::new(), None),
    }
}

/// Returns what scans like one that was charged so much take in an hour, as often as they are made; `None`: two of them so
/// far apart, or so close, say nothing of that.
fn an_hour(charged: u64, apart: Duration) -> Option<u64> {
    let is_told = (LEAST_CADENCE..=OFTEN).contains(&apart);
    is_told.then(|| charged.saturating_mul(3_600_000) / u64::try_from(apart.as_millis()).unwrap_or(u64::MAX).max(1))
}

/// Says that scans as of late take more of the hourly limit than is there.
fn too_dear(an_hour: u64, allowed: Option<u64>) -> Option<Warning> {
    let allowed = allowed.filter(|allowed| an_hour > *allowed)?;
    let said = format!(
        "scans as of late take about {an_hour} requests an hour, and {allowed} are allowed: nothing more can be read then \
         before the hour is over; scan less often, narrow `scan.include`, or use scale sets or a GitHub App, whose limit \
         grows with the organization"
    );
    Some(Warning::new(WarningCode::ScopeTooLarge, "scan", said))
}

/// Says that repositories take turns, and where that takes too long, what would help.
fn words(coverage: Coverage, pace: Pace) -> Option<Warning> {
    if coverage.whole {
        return None;
    }
    let repositories = coverage.hot + coverage.warm + coverage.cold;
    let requests = pace.requests.unwrap_or(0);
    let ends = match pace.every {
        None => "nothing is ended without `--full`",
        Some(_) => "what is to be ended waits until all have been looked at",
    };
    let said = format!(
        "{repositories} repositories take turns, at about {requests} requests a scan: a new job shows within {}, and {ends}",
        short(coverage.detection)
    );
    if coverage.detection <= SERVED_WITHIN {
        return Some(Warning::new(WarningCode::ScanInTurns, "scan", said));
    }
    let cures = "narrow `scan.include`, raise `scan.requests_per_minute` (GitHub refuses above 900), scan more often, \
        let a webhook tell where something happens (`scan.hints`), or use scale sets";
    Some(Warning::new(WarningCode::ScopeTooLarge, "scan", format!("{said}; to be faster, {cures}")))
}

/// One repository to be looked at, or to be left for later.
#[derive(Debug)]
struct Task {
    repository: RepositoryName,
    seen: Option<Seen>,
    turn: Turn,
    /// Its runs that are only at work need not be asked for their jobs.
    may_rest: bool,
    tier: Tier,
}

#[derive(Clone, Copy)]
struct Scan<'a> {
    client: &'a Client,
    now: Timestamp,
    max_job_age: Duration,
    memory: Memory<'a>,
    /// Other looks go on beside it, and have most of the pace.
    is_beside: bool,
}

/// The repositories that were looked at before their list was whole: what was seen of them earlier, and what the look came to.
type Looked = BTreeMap<RepositoryName, (Option<Seen>, Look)>;

/// What a look at a repository came to.
#[derive(Debug)]
enum Look {
    /// It was read, but for what the part says is missing.
    Read(Part),
    /// It was not its turn, and this was seen of it.
    Later(Seen),
    /// It could not be read, and this was seen of it lately.
    Remembered(Seen, Error),
    /// It could not be read. This was seen of it, a while ago.
    Lost(Error, Option<Box<Seen>>),
    /// Nobody can read it, and why; this was seen of it, if ever it was looked at.
    Closed(String, Option<Box<Seen>>),
}

impl Look {
    /// Returns what came of it, where GitHub lists the repository as one without jobs, or says so when it is asked.
    fn of_closed(self, listed: Option<&String>) -> Self {
        match self {
            Self::Lost(error, seen) => {
                let is_refused = matches!(error.kind, ErrorKind::NotFound | ErrorKind::Forbidden);
                let reason = listed.filter(|_| is_refused).cloned();
                match reason.or_else(|| is_disabled(&error).then(|| "actions_disabled".to_owned())) {
                    Some(reason) => Self::Closed(reason, seen),
                    None => Self::Lost(error, seen),
                }
            }
            // Nothing that waits there is begun any more; what runs may run on.
            Self::Read(mut part) if listed.is_some() => {
                part.jobs.retain(|job| job.state == JobState::InProgress);
                Self::Read(part)
            }
            other => other,
        }
    }
}

/// One repository's share.
#[derive(Debug, Default)]
struct Part {
    jobs: Vec<Job>,
    /// When those of them that wait were seen, where that was not now.
    earlier: BTreeMap<JobId, Timestamp>,
    unresolved: Vec<HiddenRun>,
    ghosts: Vec<HiddenRun>,
    ghost_jobs: Vec<Job>,
    warnings: Vec<Warning>,
    /// The runs that nobody could ask for any more, and why.
    unasked: Vec<Error>,
    /// Something was not read, and is not known from before.
    is_missing: bool,
    /// Some of it was seen then, and not now.
    remembered: Option<Timestamp>,
    /// Old runs were not searched for since then.
    unsearched: Option<Timestamp>,
    /// The jobs of a run that is only at work were not listed since then.
    rested: Option<Timestamp>,
}

impl<'a> Scan<'a> {
    fn of(client: &'a Client, settings: &config::Scan, now: Timestamp) -> Self {
        let memory = Memory::of(client, now);
        Self { client, now, max_job_age: settings.max_job_age, memory, is_beside: settings.beside }
    }

    /// Looks at repositories while they are still being listed, where all of them will be looked at in any case.
    async fn ahead(
        &self,
        listed: UnboundedReceiver<Vec<RepositoryName>>,
        at_once: usize,
        progress: &dyn Progress,
    ) -> Looked {
        let mut known = BTreeSet::new();
        let listed = listed.flat_map(|page| {
            let is_new = |name: &RepositoryName| self.client.is_boundless() && known.insert(name.clone());
            let page: Vec<RepositoryName> = page.into_iter().filter(is_new).collect();
            progress.found(known.len());
            let seen = self.memory.each_of(&page);
            stream::iter(page.into_iter().zip(seen))
        });
        let looks = listed.map(async |(repository, seen)| {
            let look = self.read(&repository, seen.clone(), Turn::Whole, false).await;
            progress.done(&repository, self.client.usage());
            (repository, (seen, look))
        });
        looks.buffer_unordered(at_once).collect().await
    }

    /// Gives each of a share's repositories its turn; what most likely has jobs comes first, should not all be allowed.
    fn tasks(
        &self,
        share: &Share,
        full: bool,
        hinted: &BTreeMap<&RepositoryName, Timestamp>,
        looked: &Looked,
    ) -> (Vec<Task>, Coverage, Option<Warning>) {
        let repositories = &share.repositories;
        let others = repositories.iter().filter(|name| !looked.contains_key(name));
        let mut seen_of_others = self.memory.each_of(&others.cloned().collect::<Vec<_>>()).into_iter();
        let seen = |name| looked.get(name).map_or_else(|| seen_of_others.next().flatten(), |(seen, _)| seen.clone());
        let seen: Vec<Option<Seen>> = repositories.iter().map(seen).collect();
        let (requests, every) = (self.client.requests_for_a_look(), self.client.looks_every());
        let last = self.memory.last_scan(&share.scope).map(|last| last.began);
        let pace = Pace { requests, full, last, every, now: self.now };
        let tiers: Vec<Tier> = repositories
            .iter()
            .zip(&seen)
            .map(|(name, seen)| Tier::of(seen.as_ref(), hinted.get(name).copied(), self.now))
            .collect();
        let (turns, coverage) = turns(&seen, &tiers, pace);
        let may_rest = every.is_some() && !coverage.whole;
        let of = |(((repository, seen), turn), tier): (((&RepositoryName, _), _), _)| Task {
            repository: repository.clone(),
            seen,
            turn,
            may_rest,
            tier,
        };
        let mut tasks: Vec<Task> = repositories.iter().zip(seen).zip(turns).zip(tiers).map(of).collect();
        tasks.sort_by(|a, b| (a.tier, &a.repository).cmp(&(b.tier, &b.repository)));
        (tasks, coverage, words(coverage, pace))
    }

    async fn look(&self, task: Task) -> Look {
        let Task { repository, mut seen, turn, may_rest, .. } = task;
        if self.is_beside {
            self.client.sleep(self.client.at_leisure(cost(seen.as_ref(), true))).await;
            // The others have gone on.
            let beside = Self { now: self.client.now(), ..*self };
            seen = Memory { now: beside.now, ..self.memory }.repository(&repository);
            return beside.read(&repository, seen, turn, may_rest).await;
        }
        match (seen, turn) {
            (Some(seen), Turn::Later) => Look::Later(seen),
            (seen, turn) => self.read(&repository, seen, turn, may_rest).await,
        }
    }

    async fn read(&self, repository: &RepositoryName, seen: Option<Seen>, turn: Turn, may_rest: bool) -> Look {
        let is_read = (self.repository(repository, seen.as_ref(), turn, may_rest).await, seen);
        if let (Err(error), seen) = &is_read
            && !error.kind.ends_asking()
        {
            self.has_tried(repository, seen.as_ref());
        }
        match is_read {
            (Ok(part), _) => Look::Read(part),
            (Err(error), Some(seen)) if passes(&error) && seen.is_recent(self.now) => Look::Remembered(seen, error),
            (Err(error), seen) => Look::Lost(error, seen.map(Box::new)),
        }
    }

    /// Notes that a repository had its turn, though it could not be read whole.
    fn has_tried(&self, repository: &RepositoryName, seen: Option<&Seen>) {
        if let Some(seen) = seen {
            self.memory.keep_repository(repository, &Seen { tried: Some(self.now), ..seen.clone() });
        }
    }

    async fn repository(
        &self,
        repository: &RepositoryName,
        seen: Option<&Seen>,
        turn: Turn,
        may_rest: bool,
    ) -> Result<Part, Error> {
        let (old, searched) = match seen {
            Some(seen) if turn == Turn::Newest => (Old::Remembered(&seen.active), seen.searched),
            _ => (Old::Searched(seen.map_or(&[], |seen| &seen.active)), self.now),
        };
        let runs = runs::active(self.client, repository, old, self.max_job_age, self.now).await?;
        let (newest, has_history, pages, mut active) = (runs.newest, runs.has_history, runs.pages, runs.active);
        let lost = |why| Warning::new(WarningCode::RepositoryFailed, repository.as_str(), why);
        let warnings: Vec<Warning> = runs.lost.into_iter().map(lost).collect();
        let unsearched = Some(searched).filter(|searched| has_history && *searched < self.now);
        let mut part = Part { is_missing: !warnings.is_empty(), warnings, unsearched, ..Part::default() };
        // A run's own entry can stay as it is while its jobs change. So they are asked for each time, or where looks
        // repeat and take turns, and none of them waited for a runner, each minute. What has not changed is free.
        for run in &mut active {
            let is_it = |earlier: &&Run| run.is_as_it_was(earlier);
            let earlier = seen.filter(|_| may_rest).and_then(|seen| Some((seen, seen.active.iter().find(is_it)?)));
            run.listed = match earlier.filter(|(seen, earlier)| seen.rests(earlier, self.now)) {
                Some((seen, earlier)) => {
                    part.jobs.extend(seen.jobs.iter().filter(|job| job.run_id == run.id).cloned());
                    part.rested = [part.rested, earlier.listed].into_iter().flatten().min();
                    earlier.listed
                }
                None => Some(self.now),
            };
        }
        let due = active.iter().filter(|run| run.listed == Some(self.now));
        let listed: Vec<(&Run, Result<Jobs, Error>)> = stream::iter(due)
            .map(async |run| (run, jobs::of_run(self.client, repository, run.id).await))
            .buffer_unordered(RUNS_AT_ONCE)
            .collect()
            .await;
        let recent = seen.filter(|seen| seen.is_recent(self.now));
        for (run, jobs) in listed {
            match jobs {
                Err(error) => part.add_lost(repository, run, recent.filter(|_| passes(&error)), error),
                Ok(jobs) => self.add(&mut part, repository, run, jobs),
            }
        }
        if part.is_whole() {
            let (jobs, unresolved, ghosts) = (part.jobs.clone(), part.unresolved.clone(), part.ghosts.clone());
            let (at, ghost_jobs) = (self.now, part.ghost_jobs.clone());
            let tried = None;
            let seen =
                Seen { at, tried, searched, newest, has_history, pages, active, jobs, unresolved, ghosts, ghost_jobs };
            self.memory.keep_repository(repository, &seen);
        } else if part.unasked.is_empty() {
            self.has_tried(repository, seen);
        }
        Ok(part)
    }

    fn add(&self, part: &mut Part, repository: &RepositoryName, run: &Run, jobs: Jobs) {
        let subject = format!("{repository} run {}", run.id);
        let mut warn = |code, why: String| part.warnings.push(Warning::new(code, subject.as_str(), why));
        let hidden = hidden(repository, run);
        let is_old = |since: Option<Timestamp>| since.is_some_and(|since| age(self.now, since) > self.max_job_age);
        let too_long = format!("queued for longer than {}: not counted", short(self.max_job_age));
        // One that is at work may be at it for days; and one that was let go after a wait shows its jobs a moment later.
        let is_over = |since| !run.is_in_progress() || age(self.now, since) > JOBS_RUN_FOR;
        match jobs {
            Jobs::Hidden if is_old(run.updated_at.or(run.since())) && run.since().is_some_and(is_over) => {
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
                        warn(
                            WarningCode::UnknownStatus,
                            format!("job {} has the unknown status `{}`", job.id, quoting::word(word)),
                        );
                    }
                }
                // A job that was approved, or let go by its concurrency group, is as old as it was before; its run has changed.
                let is_still = is_old(run.updated_at.or(run.since()));
                let is_ghost = |job: &Job| job.state == JobState::Pending && is_old(job.queued_at) && is_still;
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
}

impl Part {
    /// Adds a run whose jobs could not be read: with the jobs that were seen of it lately, if there were any.
    fn add_lost(&mut self, repository: &RepositoryName, run: &Run, seen: Option<&Seen>, error: Error) {
        let jobs = seen.into_iter().flat_map(|seen| &seen.jobs).filter(|job| job.run_id == run.id);
        let before = self.jobs.len();
        self.jobs.extend(jobs.cloned());
        self.earlier.extend(seen.iter().flat_map(|seen| self.jobs[before..].iter().map(|job| (job.id, seen.at))));
        match seen.filter(|_| self.jobs.len() > before) {
            Some(seen) => self.remembered = Some(self.remembered.map_or(seen.at, |known| known.min(seen.at))),
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
    earlier: BTreeMap<JobId, Timestamp>,
    unresolved: Vec<HiddenRun>,
    ghosts: Vec<HiddenRun>,
    ghost_jobs: BTreeMap<JobId, Job>,
    public: BTreeSet<RepositoryName>,
    skipped: Vec<SkippedRepository>,
    warnings: Vec<Warning>,
    scanned: usize,
    /// Something was not read, and is not known from before.
    is_missing: bool,
    /// The oldest thing that was not read and is known from before.
    remembered: Option<Timestamp>,
    /// Something is known from before.
    is_known: bool,
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
                self.remember(part.unsearched);
                self.remember(part.rested);
                self.unasked.runs += part.unasked.len();
                self.unasked.why = self.unasked.why.take().or(part.unasked.into_iter().next());
                for job in part.jobs {
                    self.earlier.remove(&job.id);
                    self.jobs.insert(job.id, job);
                }
                self.earlier.extend(part.earlier);
                self.unresolved.extend(part.unresolved);
                self.ghosts.extend(part.ghosts);
                self.ghost_jobs.extend(part.ghost_jobs.into_iter().map(|job| (job.id, job)));
                self.warnings.extend(part.warnings);
            }
            Look::Later(mut seen) => {
                self.is_known = true;
                self.remember(Some(seen.at));
                if !seen.is_recent(now) && seen.jobs.iter().any(|job| job.state == JobState::Pending) {
                    // Most likely they are done: nothing is launched for them.
                    seen.jobs.retain(|job| job.state != JobState::Pending);
                    self.is_missing = true;
                }
                self.put(seen);
            }
            Look::Remembered(seen, error) => {
                self.is_known = true;
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
                self.put(seen);
                self.first_error.get_or_insert(error);
            }
            Look::Closed(reason, seen) => {
                // A job that had its runner by then goes on: what is skipped hides it.
                let runs = seen.iter().flat_map(|seen| seen.may_run(now)).map(|run| hidden(&repository, run));
                self.unresolved.extend(runs);
                self.skipped.push(SkippedRepository { repository, reason });
            }
            Look::Lost(error, _) => {
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

    /// Puts in what was seen earlier. What was read now is right where both have a job: a repository may have got another
    /// name since.
    fn put(&mut self, seen: Seen) {
        for job in seen.jobs {
            if let Entry::Vacant(place) = self.jobs.entry(job.id) {
                self.earlier.insert(job.id, seen.at);
                place.insert(job);
            }
        }
        for job in seen.ghost_jobs {
            self.ghost_jobs.entry(job.id).or_insert(job);
        }
        self.unresolved.extend(seen.unresolved);
        self.ghosts.extend(seen.ghosts);
    }

    fn remember(&mut self, at: Option<Timestamp>) {
        self.remembered = [self.remembered, at].into_iter().flatten().min();
    }

    fn up(mut self, now: Timestamp, coverage: Coverage) -> Result<Scanned, Error> {
        if self.scanned == 0
            && !self.is_known
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
            earlier: self.earlier,
            worked_before: BTreeSet::new(),
            kind,
            age: self.remembered.map_or(Duration::ZERO, |at| age(now, at)),
            unresolved: self.unresolved,
            ghosts: self.ghosts,
            ghost_jobs: self.ghost_jobs.into_values().collect(),
            public: self.public,
            scanned: self.scanned,
            skipped: self.skipped,
        };
        Ok(Scanned { demand, warnings: self.warnings, coverage })
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

pub(super) fn unasked_code(error: &Error) -> WarningCode {
    match error.kind {
        ErrorKind::OverBudget => WarningCode::BudgetEnded,
        _ => WarningCode::RateLimited,
    }
}

/// Returns whether an error says nothing of what was asked for, so that it is most likely still as it was.
pub(super) fn passes(error: &Error) -> bool {
    error.kind.ends_asking() || matches!(error.kind, ErrorKind::Server { .. } | ErrorKind::Transport)
}

/// Returns a run whose jobs are not visible.
fn hidden(repository: &RepositoryName, run: &Run) -> HiddenRun {
    HiddenRun { repository: repository.clone(), run_id: run.id, status: run.status().to_owned(), since: run.since() }
}

/// Returns whether GitHub says that a repository has no Actions. Most servers answer with an empty list instead.
fn is_disabled(error: &Error) -> bool {
    let said = error.message.to_lowercase();
    matches!(error.kind, ErrorKind::NotFound | ErrorKind::Forbidden)
        && said.contains("actions")
        && said.contains("disabled")
}
