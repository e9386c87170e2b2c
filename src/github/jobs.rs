//! The jobs of a run's latest attempt.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::client::Client;
use super::error::{Error, ErrorKind};
use super::pages::Pages;
use crate::engine::{Job, JobId, JobState, Label, RepositoryName, RunId, RunnerId, RunnerName, WaitReason};

/// A job as GitHub lists it: everything but its id can be missing or null.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Listed {
    id: JobId,
    status: Option<String>,
    name: Option<String>,
    run_attempt: Option<u32>,
    labels: Option<Vec<Option<String>>>,
    created_at: Option<Timestamp>,
    started_at: Option<Timestamp>,
    runner_id: Option<i64>,
    runner_name: Option<String>,
    html_url: Option<String>,
}

/// What a run's list of jobs says.
#[derive(Debug)]
pub(super) enum Jobs {
    /// The jobs that are not completed; completed ones may stand beside them.
    Listed {
        jobs: Vec<Job>,
        /// What could not be read, in words.
        lost: Vec<String>,
    },
    /// 404, or a list without any job: they are not visible (yet).
    Hidden,
}

/// Lists the jobs of a run's latest attempt (GET /repos/{owner}/{repo}/actions/runs/{run}/jobs).
///
/// # Errors
/// Not even the first page could be read.
pub(super) async fn of_run(client: &Client, repository: &RepositoryName, run: RunId) -> Result<Jobs, Error> {
    let path = format!("/repos/{repository}/actions/runs/{run}/jobs");
    let mut pages = Pages::new(client, &path, "filter=latest");
    let (mut jobs, mut lost, mut entries) = (Vec::new(), Vec::new(), 0);
    let mut first = true;
    loop {
        match pages.next::<Listed>().await {
            Ok(Some(page)) => {
                entries += page.items.len() + page.unreadable;
                if page.unreadable > 0 {
                    lost.push(format!("{} jobs could not be read from the list", page.unreadable));
                }
                jobs.extend(page.items.into_iter().filter_map(|listed| job(listed, repository, run)));
            }
            Ok(None) => break,
            Err(error) if first && error.kind == ErrorKind::NotFound => return Ok(Jobs::Hidden),
            Err(error) if first => return Err(error),
            Err(error) => {
                lost.push(error.to_string());
                break;
            }
        }
        first = false;
    }
    if entries == 0 && lost.is_empty() { Ok(Jobs::Hidden) } else { Ok(Jobs::Listed { jobs, lost }) }
}

/// Reads a job; `None` if it is completed.
pub(super) fn job(listed: Listed, repository: &RepositoryName, run_id: RunId) -> Option<Job> {
    let runner_id = listed.runner_id.and_then(|id| u64::try_from(id).ok()).filter(|id| *id > 0).map(RunnerId);
    let runner_name = listed.runner_name.filter(|name| !name.is_empty()).map(RunnerName::new);
    let has_runner = runner_id.is_some() || runner_name.is_some();
    let state = match listed.status.as_deref() {
        Some("completed") => return None,
        Some("in_progress") => JobState::InProgress,
        Some("queued") if has_runner => JobState::InProgress,
        Some("queued") => JobState::Pending,
        Some("waiting") => JobState::Waiting(WaitReason::Approval),
        Some("pending") => JobState::Waiting(WaitReason::Concurrency),
        Some("requested") => JobState::Waiting(WaitReason::Requested),
        other => JobState::Waiting(WaitReason::Unknown(other.unwrap_or("null").to_owned())),
    };
    let labels = listed.labels.unwrap_or_default().into_iter().flatten().map(Label::new).collect();
    Some(Job {
        id: listed.id,
        run_id,
        attempt: listed.run_attempt.unwrap_or(1),
        repository: repository.clone(),
        name: listed.name.unwrap_or_else(|| format!("job {}", listed.id)),
        labels,
        state,
        queued_at: listed.created_at.or(listed.started_at),
        runner_id,
        runner_name,
        url: listed.html_url.unwrap_or_default(),
    })
}
