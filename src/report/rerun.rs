//! Re-runs, beside a plan's actions: a row a job.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::apply::ResultWord;
use super::table::{Look, Style, printable};
use crate::engine::{InstanceId, JobId, PoolName, Reason, RepositoryName, Rerun, RunId, RunnerName};
use crate::rerun::RerunOutcome;

/// A job that is to be re-run, since EC2 took its spot instance back; what depends on it comes with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RerunRow {
    /// The repository.
    pub repository: RepositoryName,
    /// The run.
    pub run_id: RunId,
    /// The job, as the attempt that failed knows it.
    pub job_id: JobId,
    /// The job's name.
    pub name: String,
    /// The pool of the instance.
    pub pool: PoolName,
    /// The runner that had it.
    pub runner: RunnerName,
    /// The instance that EC2 took back.
    pub instance_id: InstanceId,
    /// Why.
    pub reason: Reason,
}

/// A re-run and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RerunResult {
    /// The re-run.
    #[serde(flatten)]
    pub rerun: RerunRow,
    /// What became of it.
    pub result: ResultWord,
    /// What stood against it.
    pub error: Option<String>,
    /// GitHub's id of the request.
    pub request_id: Option<String>,
}

impl RerunRow {
    /// Returns the rows of a re-run.
    #[must_use]
    pub fn of(rerun: &Rerun) -> Vec<Self> {
        let row = |job: &crate::engine::SpotJob| Self {
            repository: job.repository.clone(),
            run_id: job.run_id,
            job_id: job.job_id,
            name: job.name.clone(),
            pool: job.pool.clone(),
            runner: job.runner.clone(),
            instance_id: job.instance_id.clone(),
            reason: Rerun::reason(job),
        };
        rerun.jobs.iter().map(row).collect()
    }

    pub(super) fn line(&self, look: Look) -> String {
        let Self { repository, job_id, name, .. } = self;
        let deed = printable(&format!("> rerun       {repository} {name} ({job_id})"));
        format!("{}  # {}", look.paint(Style::Good, &deed), printable(&self.reason.message))
    }
}

impl RerunResult {
    /// Returns the rows of an outcome.
    #[must_use]
    pub fn of(outcome: &RerunOutcome) -> Vec<Self> {
        let rows = RerunRow::of(&outcome.rerun).into_iter();
        rows.map(|rerun| Self {
            rerun,
            result: outcome.result.into(),
            error: outcome.error.clone(),
            request_id: outcome.request_id.clone(),
        })
        .collect()
    }

    /// Returns that of a plan file that no longer holds.
    #[must_use]
    pub fn skipped(rerun: RerunRow, why: impl Into<String>) -> Self {
        Self { rerun, result: ResultWord::Skipped, error: Some(why.into()), request_id: None }
    }

    pub(super) fn line(&self, look: Look) -> String {
        let end = self.result.words(look, self.error.as_deref());
        format!("{}\n    {end}", self.rerun.line(look))
    }

    /// Returns it in a few words.
    #[must_use]
    pub fn words(&self) -> String {
        let RerunRow { repository, job_id, .. } = &self.rerun;
        format!("{repository} {job_id} {}", self.result.words(Look::default(), self.error.as_deref()))
    }
}
