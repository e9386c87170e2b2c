//! What earlier looks at a repository came to, kept in the cache: what is shown, with its age, when it can't be looked at
//! again now.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::cache::{Cache, Identity};
use crate::ages::age;
use crate::engine::{HiddenRun, Job, RepositoryName, RunId, Scope, SkippedRepository};

/// What is older is not shown any more: a job that was seen so long ago may well be done.
const KNOWN_FOR: Duration = Duration::from_mins(15);
/// A list of repositories is good for longer: they come and go by the day.
const LIST_KNOWN_FOR: Duration = Duration::from_hours(24);

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
    pub(super) jobs: Vec<Job>,
    pub(super) unresolved: Vec<HiddenRun>,
    pub(super) ghosts: Vec<HiddenRun>,
}

/// A scope's repositories, as they were when they were last read whole.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SeenRepositories {
    pub(super) at: Timestamp,
    pub(super) repositories: Vec<RepositoryName>,
    pub(super) skipped: Vec<SkippedRepository>,
}

impl Memory<'_> {
    /// Returns what was last seen of a repository, if that is not too long ago.
    pub(super) fn repository(&self, name: &RepositoryName) -> Option<Seen> {
        let (cache, who) = self.cache?;
        let seen: Seen = cache.note(who, &format!("repository {name}"))?;
        (age(self.now, seen.at) <= KNOWN_FOR && seen.at <= self.now).then_some(seen)
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
    /// Returns the jobs of each run.
    pub(super) fn jobs_by_run(self) -> BTreeMap<RunId, Vec<Job>> {
        let mut by_run: BTreeMap<RunId, Vec<Job>> = BTreeMap::new();
        for job in self.jobs {
            by_run.entry(job.run_id).or_default().push(job);
        }
        by_run
    }
}
