//! A run's latest attempt, and running jobs of it once more.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::client::{Client, request_id};
use super::error::{Error, ErrorKind};
use super::installations::installation_for;
use super::pages::Pages;
use crate::engine::{AttemptedJob, JobId, LatestAttempt, Listing, RepositoryName, RunId};
use crate::services::Runs;

#[derive(Deserialize)]
struct ShownRun {
    run_attempt: Option<u32>,
    status: Option<String>,
    conclusion: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ShownJob {
    id: JobId,
    conclusion: Option<String>,
    started_at: Option<Timestamp>,
    completed_at: Option<Timestamp>,
}

impl Runs for Client {
    /// GET /repos/{owner}/{repo}/actions/runs/{id}, and …/jobs.
    async fn latest_attempt(&self, repository: &RepositoryName, id: RunId) -> Result<Option<LatestAttempt>, Error> {
        let installation = installation_for(self, repository).await?;
        let client = installation.as_deref().unwrap_or(self);
        let path = format!("/repos/{repository}/actions/runs/{id}");
        let reply = match client.get(&path).await {
            Ok(reply) => reply,
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let shown: ShownRun = reply.decode()?;
        // What doesn't say which attempt it is can't be told from one that was re-run.
        let attempt = shown.run_attempt.ok_or_else(|| reply.unreadable("it has no `run_attempt`"))?;
        let status = shown.status.unwrap_or_else(|| "unknown".to_owned());
        let is_over = attempt == 1 && status == "completed";
        let jobs = if is_over { jobs(client, &path).await? } else { Listing::partial(Vec::new()) };
        Ok(Some(LatestAttempt { attempt, status, conclusion: shown.conclusion, jobs }))
    }

    /// POST /repos/{owner}/{repo}/actions/jobs/{id}/rerun.
    async fn rerun_job(&self, repository: &RepositoryName, job: JobId) -> Result<Option<String>, Error> {
        rerun(self, repository, &format!("/repos/{repository}/actions/jobs/{job}/rerun")).await
    }

    /// POST /repos/{owner}/{repo}/actions/runs/{id}/rerun-failed-jobs.
    async fn rerun_failed_jobs(&self, repository: &RepositoryName, run: RunId) -> Result<Option<String>, Error> {
        rerun(self, repository, &format!("/repos/{repository}/actions/runs/{run}/rerun-failed-jobs")).await
    }
}

async fn jobs(client: &Client, run: &str) -> Result<Listing<AttemptedJob>, Error> {
    let path = format!("{run}/jobs");
    let mut pages = Pages::new(client, &path, "filter=latest");
    let mut listing = Listing::whole(Vec::new());
    while let Some(page) = pages.next::<ShownJob>().await? {
        listing.whole &= page.unreadable == 0;
        let job = |ShownJob { id, conclusion, started_at, completed_at }| AttemptedJob {
            id,
            conclusion,
            started_at,
            completed_at,
        };
        listing.items.extend(page.items.into_iter().map(job));
    }
    Ok(listing)
}

async fn rerun(client: &Client, repository: &RepositoryName, path: &str) -> Result<Option<String>, Error> {
    let installation = installation_for(client, repository).await?;
    let client = installation.as_deref().unwrap_or(client);
    let reply = client.post(path, &serde_json::json!({})).await?;
    Ok(request_id(&reply.headers))
}
