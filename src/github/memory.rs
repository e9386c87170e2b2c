//! What earlier looks at a repository came to, kept in the cache: what is shown, with its age, when it can't be looked at
//! again now.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::cache::{Cache, Identity};
use super::client::Client;
use super::runs::Run;
use crate::ages::{SET_BACK, age};
use crate::engine::{HiddenRun, Job, JobState, RepositoryName, Scope, SkippedRepository};

/// What is older is not shown any more: a job that was seen so long ago may well be done.
const KNOWN_FOR: Duration = Duration::from_mins(15);
/// GitHub ends a job after so long: one that was seen before that can't be running any more.
pub(super) const JOBS_RUN_FOR: Duration = Duration::from_hours(5 * 24);
/// A list of repositories is good for longer: they come and go by the day.
const LIST_KNOWN_FOR: Duration = Duration::from_hours(24);
/// And for so long it is good enough for looks that repeat: to read it may take as many requests as such a look has.
const LIST_HOLDS_FOR: Duration = Duration::from_mins(5);
/// A run in progress is left alone for so long where looks repeat.
pub(super) const RUNS_REST_FOR: Duration = Duration::from_mins(1);

/// The memory of one identity; empty where there is no cache.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory<'a> {
    pub(super) cache: Option<(&'a Cache, Identity)>,
    pub(super) now: Timestamp,
}

/// A repository as it was when it was last read whole.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Seen {
    pub(super) at: Timestamp,
    /// When it was last to be read and could not be, or not whole; `None`: it was read whole since.
    #[serde(default)]
    pub(super) tried: Option<Timestamp>,
    /// When old runs were last searched for.
    pub(super) searched: Timestamp,
    /// When its newest run was made.
    pub(super) newest: Option<Timestamp>,
    /// It has runs that only a search can find.
    pub(super) has_history: bool,
    /// Pages that the list of its newest runs took.
    #[serde(default)]
    pub(super) pages: u64,
    /// Its runs that were not completed.
    pub(super) active: Vec<Run>,
    pub(super) jobs: Vec<Job>,
    pub(super) unresolved: Vec<HiddenRun>,
    pub(super) ghosts: Vec<HiddenRun>,
    pub(super) ghost_jobs: Vec<Job>,
}

/// The last scan of a scope.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct LastScan {
    pub(super) began: Timestamp,
    /// All of it was looked at.
    pub(super) whole: bool,
    /// What scans were charged in an hour as of late, those before it included.
    #[serde(default)]
    pub(super) an_hour: u64,
}

/// A scope's repositories, as they were when they were last read whole.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SeenRepositories {
    pub(super) at: Timestamp,
    pub(super) repositories: Vec<RepositoryName>,
    pub(super) skipped: Vec<SkippedRepository>,
    /// Those that anybody can see.
    pub(super) public: BTreeSet<RepositoryName>,
    /// By GitHub's ids, where something asked for them.
    #[serde(default)]
    pub(super) ids: BTreeMap<u64, RepositoryName>,
}

impl<'a> Memory<'a> {
    /// Returns what a client has kept.
    pub(super) fn of(client: &'a Client, now: Timestamp) -> Self {
        Self { cache: client.cache().map(|cache| (cache, client.who())), now }
    }

    /// Returns what was last seen of a repository. What a clock that was set back puts into the future is forgotten.
    pub(super) fn repository(&self, name: &RepositoryName) -> Option<Seen> {
        self.each_of(std::slice::from_ref(name)).pop().flatten()
    }

    /// Returns the same of each of many.
    pub(super) fn each_of(&self, repositories: &[RepositoryName]) -> Vec<Option<Seen>> {
        let Some((cache, who)) = self.cache else { return repositories.iter().map(|_| None).collect() };
        let names = repositories.iter().map(|name| format!("repository {name}"));
        // Another look may have gone on beside this one since it began.
        let is_past = |at| age(at, self.now) < SET_BACK;
        let is_known = |seen: &Seen| is_past(seen.at) && is_past(seen.searched);
        cache.notes(who, names).into_iter().map(|seen: Option<Seen>| seen.filter(is_known)).collect()
    }

    /// Returns the last scan of a scope.
    pub(super) fn last_scan(&self, scope: &Scope) -> Option<LastScan> {
        let (cache, who) = self.cache?;
        cache.note::<LastScan>(who, &format!("scan {scope}")).filter(|last| last.began < self.now)
    }

    /// Notes that a scan of a scope was made.
    pub(super) fn keep_scan(&self, scope: &Scope, whole: bool, an_hour: u64) {
        if let Some((cache, who)) = self.cache {
            cache.keep_note(who, &format!("scan {scope}"), &LastScan { began: self.now, whole, an_hour });
        }
    }

    pub(super) fn keep_repository(&self, name: &RepositoryName, seen: &Seen) {
        if let Some((cache, who)) = self.cache {
            cache.keep_note(who, &format!("repository {name}"), seen);
        }
    }

    /// Returns a scope's repositories as they were last seen; other globs have another list.
    pub(super) fn repositories(&self, scope: &Scope, globs: &(Vec<String>, Vec<String>)) -> Option<SeenRepositories> {
        let (cache, who) = self.cache?;
        let seen: SeenRepositories = cache.note(who, &format!("repositories {scope} {globs:?}"))?;
        (age(self.now, seen.at) <= LIST_KNOWN_FOR && seen.at <= self.now).then_some(seen)
    }

    /// Returns them if that was a short while ago.
    pub(super) fn recent_repositories(
        &self,
        scope: &Scope,
        globs: &(Vec<String>, Vec<String>),
    ) -> Option<SeenRepositories> {
        self.repositories(scope, globs).filter(|seen| age(self.now, seen.at) <= LIST_HOLDS_FOR)
    }

    pub(super) fn keep_repositories(
        &self,
        scope: &Scope,
        globs: &(Vec<String>, Vec<String>),
        repositories: &SeenRepositories,
    ) {
        if let Some((cache, who)) = self.cache {
            cache.keep_note(who, &format!("repositories {scope} {globs:?}"), repositories);
        }
    }
}

impl Seen {
    /// Returns whether it can stand for what can't be read now.
    pub(super) fn is_recent(&self, now: Timestamp) -> bool {
        age(now, self.at) <= KNOWN_FOR
    }

    /// Returns when it had its turn last, whatever came of it.
    pub(super) fn turn(&self) -> Timestamp {
        self.tried.map_or(self.at, |tried| tried.max(self.at))
    }

    /// Returns its runs that may still have a job with a runner.
    pub(super) fn may_run(&self, now: Timestamp) -> impl Iterator<Item = &Run> {
        let is_ghost = |run: &Run| self.ghosts.iter().any(|ghost| ghost.run_id == run.id);
        let is_over = age(now, self.at) > JOBS_RUN_FOR;
        self.active.iter().filter(move |run| !is_over && !is_ghost(run))
    }

    /// Returns whether a run of it is only at work, by a list of its jobs that is not old: where looks repeat, that is not
    /// asked for again while the run's own entry stays as it is.
    pub(super) fn rests(&self, run: &Run, now: Timestamp) -> bool {
        let mut jobs = self.jobs.iter().filter(|job| job.run_id == run.id).peekable();
        run.is_in_progress()
            && run.listed.is_some_and(|at| age(now, at) < RUNS_REST_FOR)
            && jobs.peek().is_some()
            && jobs.all(|job| job.state == JobState::InProgress)
    }
}
