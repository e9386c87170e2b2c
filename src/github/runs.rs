//! The runs of a repository that can hold a job for us.
//!
//! The unfiltered list is the truth; lists filtered by status come from an index that can be stale or empty
//! (dawidd6/action-download-artifact#147). They only serve to find *old* runs that are active again: a re-run keeps its
//! `created_at`, and so stands pages deep in the unfiltered list.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::client::{Client, Decoded, Reply};
use super::error::{Error, ErrorKind};
use super::pages::Pages;
use crate::engine::{RepositoryName, RunId};

/// The words of a run that is not completed (GET /repos/{owner}/{repo}/actions/runs, `status`), in the order in which a
/// run goes through them: one that goes on while they are asked for, one after the other, is still met. One that goes back, from
/// `in_progress` to `queued`, between these two requests is met by the next search: unless it was active at the last look,
/// since then it is asked for by itself.
const ACTIVE: [&str; 5] = ["requested", "pending", "waiting", "queued", "in_progress"];
/// A filtered list ends here, whatever it says of its length.
const MOST_FILTERED: u64 = 1000;
/// The unfiltered list.
const NEWEST: &str = "exclude_pull_requests=true";
/// Runs that are looked at first. In most repositories that is enough; and a page of so few is small enough for its tag
/// to be foreseen when the token has changed.
const FIRST_LOOK: usize = 30;
/// Beyond `max_job_age`, for clocks that differ and runs that began their jobs late.
const MARGIN: Duration = Duration::from_hours(1);

/// A run, as far as it matters here.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Run {
    pub(super) id: RunId,
    status: Option<String>,
    #[serde(rename = "run_started_at")]
    started_at: Option<Timestamp>,
    created_at: Option<Timestamp>,
    pub(super) updated_at: Option<Timestamp>,
    /// When its jobs were listed last: ours, not GitHub's.
    pub(super) listed: Option<Timestamp>,
}

impl Run {
    /// Returns whether it can hold a job that is not completed; a status word that is missing or unknown can.
    fn is_active(&self) -> bool {
        self.status() != "completed"
    }

    pub(super) fn is_in_progress(&self) -> bool {
        self.status() == "in_progress"
    }

    /// Returns GitHub's word for it.
    pub(super) fn status(&self) -> &str {
        self.status.as_deref().unwrap_or("unknown")
    }

    /// Returns whether it is in progress and was so at an earlier look, by an entry that has not changed since: then a new
    /// job of it can only be one that waited for others of its own.
    pub(super) fn is_as_it_was(&self, earlier: &Self) -> bool {
        let entry = |run: &Self| (run.id, run.started_at, run.updated_at);
        self.updated_at.is_some() && self.is_in_progress() && earlier.is_in_progress() && entry(self) == entry(earlier)
    }

    /// Returns when its latest attempt began.
    pub(super) fn since(&self) -> Option<Timestamp> {
        self.started_at.or(self.created_at)
    }
}

/// The active runs of a repository.
#[derive(Debug, Default)]
pub(super) struct Runs {
    pub(super) active: Vec<Run>,
    /// What could not be read, in words.
    pub(super) lost: Vec<String>,
    /// When its newest run was made.
    pub(super) newest: Option<Timestamp>,
    /// It has runs behind those that were listed, which only the index can find.
    pub(super) has_history: bool,
    /// Pages that it took to list them.
    pub(super) pages: u64,
}

/// Whether old runs that are active again are searched for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Old<'a> {
    /// In the index. Where it doesn't name one of those that were active at the last look, GitHub is asked for that one:
    /// the index is empty at times.
    Searched(&'a [Run]),
    /// No: those that were active at the last look still are, as far as is known.
    Remembered(&'a [Run]),
}

/// Lists the runs of a repository that are not completed.
///
/// # Errors
/// Not even the newest runs could be read.
pub(super) async fn active(
    client: &Client,
    repository: &RepositoryName,
    old: Old<'_>,
    max_job_age: Duration,
    now: Timestamp,
) -> Result<Runs, Error> {
    let mut lost = Vec::new();
    let mut all: BTreeMap<RunId, Run> = BTreeMap::new();
    let path = format!("/repos/{repository}/actions/runs");

    let horizon = now - max_job_age - MARGIN;
    let mut pages = Pages::of(client, &path, NEWEST, FIRST_LOOK);
    let (mut first, mut has_history, mut read) = (true, true, 0);
    loop {
        let page = match pages.next::<Run>().await {
            Ok(page) => page,
            Err(error) if first => return Err(error),
            Err(error) => {
                lost.push(error.to_string());
                break;
            }
        };
        let Some(page) = page else {
            has_history = false;
            break;
        };
        read += 1;
        if page.unreadable > 0 {
            lost.push(format!("{} runs could not be read from the list", page.unreadable));
        }
        let is_old = |run: &Run| run.created_at.is_some_and(|created| created < horizon);
        let is_history = page.items.last().is_some_and(is_old) && !page.items.iter().any(Run::is_active);
        for run in page.items {
            all.entry(run.id).or_insert(run);
        }
        // Of a list that ends here, too, nothing is left to be searched for.
        if is_history && pages.has_next() {
            break;
        }
        if first && pages.has_next() {
            pages = Pages::new(client, &path, NEWEST);
        }
        first = false;
    }
    let newest = all.values().filter_map(|run| run.created_at).max();
    match old {
        Old::Searched(known) if has_history => {
            for status in ACTIVE {
                search(client, &path, status, &mut all, &mut lost).await;
            }
            for run in known {
                if !all.contains_key(&run.id) {
                    all.extend(again(client, &path, run, &mut lost).await.map(|run| (run.id, run)));
                }
            }
        }
        Old::Searched(_) => {}
        Old::Remembered(runs) => {
            for run in runs {
                all.entry(run.id).or_insert_with(|| run.clone());
            }
        }
    }
    let active = all.into_values().filter(Run::is_active).collect();
    Ok(Runs { active, lost, newest, has_history, pages: read })
}

/// Reads a run that was active at the last look; `None`: it is gone.
async fn again(client: &Client, path: &str, run: &Run, lost: &mut Vec<String>) -> Option<Run> {
    match client.read::<Run>(&format!("{path}/{}", run.id)).await {
        Ok(read) => Some(read.value),
        Err(error) if error.kind == ErrorKind::NotFound => None,
        Err(error) => {
            lost.push(error.to_string());
            Some(run.clone())
        }
    }
}

impl Decoded for Run {
    fn decode(reply: &Reply) -> Result<Self, Error> {
        reply.decode()
    }

    fn is_whole(&self) -> bool {
        true
    }
}

/// Adds the runs that an index calls active; where the unfiltered list has them, that one is right.
async fn search(client: &Client, path: &str, status: &str, all: &mut BTreeMap<RunId, Run>, lost: &mut Vec<String>) {
    let known = all.values().filter(|run| run.status() == status).count() as u64;
    let mut pages = Pages::new(client, path, &format!("status={status}&exclude_pull_requests=true"));
    let (mut found, mut unreadable, mut read, mut total, mut is_read) = (BTreeSet::new(), 0, 0, 0, true);
    loop {
        match pages.next::<Run>().await {
            Ok(Some(page)) => {
                if read == 0 {
                    total = page.total.unwrap_or(0);
                }
                read += 1;
                unreadable += page.unreadable as u64;
                for run in page.items {
                    found.insert(run.id);
                    all.entry(run.id).or_insert(run);
                }
                if found.len() as u64 + unreadable >= MOST_FILTERED {
                    break;
                }
            }
            Ok(None) => break,
            Err(error) => {
                lost.push(error.to_string());
                is_read = false;
                break;
            }
        }
    }
    if unreadable > 0 {
        lost.push(format!("{unreadable} {status} runs could not be read from the list"));
    }
    let found = found.len() as u64 + unreadable;
    // Where the unfiltered list has as many, none is missing.
    let is_known = known >= total;
    if total > MOST_FILTERED && !is_known {
        lost.push(format!("more than {MOST_FILTERED} runs are {status}, and GitHub lists no more"));
    } else if read > 1 && is_read && found < total && !is_known {
        // Pages move up when a run leaves the list between two of them, and others are passed over.
        lost.push(format!("{} of {total} {status} runs left their list while it was read", total - found));
    }
}
