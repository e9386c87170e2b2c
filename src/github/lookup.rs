//! One job or one run by its id, completed ones included: what the lists of a scan do not hold.

use jiff::Timestamp;
use serde::Deserialize;

use super::client::Client;
use super::error::{Error, ErrorKind};
use super::installations::installation_for;
use super::jobs::{self, Jobs};
use crate::engine::{Job, JobId, Label, RepositoryName, RunId, RunnerName};

/// A job, as GitHub shows it by its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoundJob {
    /// It is not completed.
    Active(Job),
    /// It is.
    Completed(CompletedJob),
}

/// A job that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompletedJob {
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
    /// The labels of `runs-on`.
    pub labels: Vec<Label>,
    /// GitHub's word for how it ended: `success`, `failure`, `cancelled`, `skipped`, …; `unknown` where it gives none.
    pub conclusion: String,
    /// When it became a job that could be waited for.
    pub queued_at: Option<Timestamp>,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// The runner that had it; `None`: no runner ever did.
    pub runner_name: Option<RunnerName>,
    /// The page a person would open.
    pub url: String,
}

/// A run, as GitHub shows it by its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundRun {
    /// GitHub's id of the run.
    pub id: RunId,
    /// The repository it belongs to.
    pub repository: RepositoryName,
    /// GitHub's word for where it stands.
    pub status: String,
    /// GitHub's word for how it ended; `None` where it hasn't.
    pub conclusion: Option<String>,
    /// When it, or its latest attempt, began.
    pub since: Option<Timestamp>,
    /// When GitHub last changed it: of a completed run, when it ended.
    pub updated_at: Option<Timestamp>,
    /// Its jobs, where it is not completed.
    pub jobs: RunJobs,
}

/// The jobs of a run's latest attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunJobs {
    /// The run is completed: they were not asked for.
    Unread,
    /// Those that are not completed; none: every job that GitHub shows is.
    Listed(Vec<Job>),
    /// GitHub shows none at all.
    Hidden,
}

#[derive(Deserialize)]
struct Shown {
    run_id: Option<RunId>,
    run_attempt: Option<u32>,
    status: Option<String>,
    conclusion: Option<String>,
    name: Option<String>,
    labels: Option<Vec<Option<String>>>,
    created_at: Option<Timestamp>,
    completed_at: Option<Timestamp>,
    runner_name: Option<String>,
    html_url: Option<String>,
}

#[derive(Deserialize)]
struct ShownRun {
    status: Option<String>,
    conclusion: Option<String>,
    run_started_at: Option<Timestamp>,
    created_at: Option<Timestamp>,
    updated_at: Option<Timestamp>,
}

/// Reads a job (GET /repos/{owner}/{repo}/actions/jobs/{id}); `None`: it is not there, or not visible to us.
///
/// # Errors
/// It could not be read.
pub async fn find_job(client: &Client, repository: &RepositoryName, id: JobId) -> Result<Option<FoundJob>, Error> {
    let installation = installation_for(client, repository).await?;
    let client = installation.as_deref().unwrap_or(client);
    let reply = match client.get(&format!("/repos/{repository}/actions/jobs/{id}")).await {
        Ok(reply) => reply,
        Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let shown: Shown = reply.decode()?;
    let Some(run_id) = shown.run_id else { return Err(reply.unreadable("the job has no run")) };
    if shown.status.as_deref() != Some("completed") {
        return Ok(jobs::job(reply.decode()?, repository, run_id).map(FoundJob::Active));
    }
    Ok(Some(FoundJob::Completed(CompletedJob {
        id,
        run_id,
        attempt: shown.run_attempt.unwrap_or(1),
        repository: repository.clone(),
        name: shown.name.unwrap_or_else(|| format!("job {id}")),
        labels: shown.labels.unwrap_or_default().into_iter().flatten().map(Label::new).collect(),
        conclusion: shown.conclusion.unwrap_or_else(|| "unknown".to_owned()),
        queued_at: shown.created_at,
        completed_at: shown.completed_at,
        runner_name: shown.runner_name.filter(|name| !name.is_empty()).map(RunnerName::new),
        url: shown.html_url.unwrap_or_default(),
    })))
}

/// Reads a run (GET /repos/{owner}/{repo}/actions/runs/{id}) and, where it isn't completed, its jobs; `None`: it is not
/// there, or not visible to us.
///
/// # Errors
/// The run or its jobs could not be read whole: the one that is missing could be the one that waits.
pub async fn find_run(client: &Client, repository: &RepositoryName, id: RunId) -> Result<Option<FoundRun>, Error> {
    let installation = installation_for(client, repository).await?;
    let client = installation.as_deref().unwrap_or(client);
    let reply = match client.get(&format!("/repos/{repository}/actions/runs/{id}")).await {
        Ok(reply) => reply,
        Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let shown: ShownRun = reply.decode()?;
    let status = shown.status.unwrap_or_else(|| "unknown".to_owned());
    let jobs = if status == "completed" {
        RunJobs::Unread
    } else {
        match jobs::of_run(client, repository, id).await? {
            Jobs::Hidden => RunJobs::Hidden,
            Jobs::Listed { jobs, lost } if lost.is_empty() => RunJobs::Listed(jobs),
            Jobs::Listed { lost, .. } => return Err(reply.unreadable(&format!("its jobs: {}", lost.join("; ")))),
        }
    };
    Ok(Some(FoundRun {
        id,
        repository: repository.clone(),
        status,
        conclusion: shown.conclusion,
        since: shown.run_started_at.or(shown.created_at),
        updated_at: shown.updated_at,
        jobs,
    }))
}
