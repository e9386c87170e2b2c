//! `explain`: why a job is being run, or is not.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::status::JobRow;
use super::table::{Look, Style, printable};
use crate::engine::{Job, JobId, JobState, Label, WaitReason};
use crate::explanation::{Explanation, Step, StepName, StepResult, Subject};
use crate::github::CompletedJob;

/// The body of `ghascale.explain/1`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ExplainReport {
    /// The job; `null` where there is none to explain, or none could be read.
    pub job: Option<JobRow>,
    /// The way from GitHub's list to a runner, in order.
    pub steps: Vec<Step>,
    /// The answer in one sentence.
    pub verdict: String,
    /// The first step that failed.
    pub failed_step: Option<StepName>,
    /// Where a run was asked about: its other jobs that are not completed.
    pub other_jobs: Vec<OtherJob>,
}

/// Another job of the run that was asked about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OtherJob {
    /// Its id.
    pub job_id: JobId,
    /// Its name.
    pub name: String,
    /// GitHub's word for where it stands.
    pub status: String,
    /// The command line that explains it.
    pub command: String,
}

impl OtherJob {
    /// Returns a job beside the one that is explained; `prefix` is what stands before its address on the command line.
    #[must_use]
    pub fn of(job: &Job, prefix: &str) -> Self {
        let address = if job.url.is_empty() { job.id.to_string() } else { job.url.clone() };
        let command = format!("{prefix} {address}");
        Self { job_id: job.id, name: job.name.clone(), status: word(&job.state).to_owned(), command }
    }
}

impl ExplainReport {
    /// Puts an explanation into words.
    #[must_use]
    pub fn of(subject: &Subject, explanation: Explanation, other_jobs: Vec<OtherJob>) -> Self {
        let Explanation { steps, verdict, failed_step, pool, reason } = explanation;
        let job = match subject {
            Subject::Job(job, _) => Some(JobRow { pool, reason, ..row(job) }),
            Subject::Completed(job) => Some(completed_row(job)),
            Subject::Run(_) | Subject::Missing(_) | Subject::Unscanned(_) | Subject::Unread { .. } => None,
        };
        Self { job, steps, verdict, failed_step, other_jobs }
    }

    /// Draws it for people.
    #[must_use]
    pub fn text(&self, look: Look) -> String {
        let mut text = String::new();
        if let Some(job) = &self.job {
            let labels = job.labels.iter().map(Label::as_str).collect::<Vec<_>>().join(",");
            let labels = if labels.is_empty() { "(none)".to_owned() } else { printable(&labels) };
            let title = printable(&format!("job {} `{}` of {}", job.job_id, job.name, job.repository));
            let (status, url) = (&job.status, printable(&job.url));
            let _ = writeln!(text, "{}\nlabels {labels}, {status}\n{url}\n", look.paint(Style::Title, &title));
        }
        let rows = self.steps.iter().map(|step| {
            let evidence = match (&step.result, self.failed_step) {
                // Said once below the table.
                (StepResult::Skipped, Some(_)) if step.evidence.starts_with("not reached") => "-".to_owned(),
                _ => step.evidence.clone(),
            };
            vec![step.step.as_str().to_owned(), result(step.result).to_owned(), evidence]
        });
        text += &look.table(&["STEP", "RESULT", "EVIDENCE"], rows);
        let failed = self.failed_step.and_then(|failed| self.steps.iter().find(|step| step.step == failed));
        let style = if failed.is_some() { Style::Bad } else { Style::Good };
        let _ = write!(text, "\n\n{} {}", look.paint(style, "verdict:"), printable(&self.verdict));
        if let Some(cure) = failed.and_then(|step| step.cure.as_ref()) {
            let _ = write!(text, "\n{} {}", look.paint(Style::Title, "cure:"), printable(cure));
        }
        if !self.other_jobs.is_empty() {
            let _ = write!(text, "\n\n{}", look.paint(Style::Title, "other jobs of the run"));
            for job in &self.other_jobs {
                let line = format!("{} `{}`, {}: {}", job.job_id, job.name, job.status, job.command);
                let _ = write!(text, "\n{}", printable(&line));
            }
        }
        text
    }
}

fn row(job: &Job) -> JobRow {
    JobRow {
        repository: job.repository.clone(),
        run_id: job.run_id,
        job_id: job.id,
        attempt: job.attempt,
        name: job.name.clone(),
        labels: job.labels.clone(),
        status: word(&job.state).to_owned(),
        queued_at: job.queued_at.map(|at| at.to_string()),
        pool: None,
        reason: None,
        url: job.url.clone(),
    }
}

fn completed_row(job: &CompletedJob) -> JobRow {
    JobRow {
        repository: job.repository.clone(),
        run_id: job.run_id,
        job_id: job.id,
        attempt: job.attempt,
        name: job.name.clone(),
        labels: job.labels.clone(),
        status: "completed".to_owned(),
        queued_at: job.queued_at.map(|at| at.to_string()),
        pool: None,
        reason: None,
        url: job.url.clone(),
    }
}

/// Returns GitHub's word for where a job stands.
fn word(state: &JobState) -> &str {
    match state {
        JobState::Pending => "queued",
        JobState::InProgress => "in_progress",
        JobState::Waiting(WaitReason::Approval) => "waiting",
        JobState::Waiting(WaitReason::Concurrency) => "pending",
        JobState::Waiting(WaitReason::Requested) => "requested",
        JobState::Waiting(WaitReason::Unknown(word)) => word,
    }
}

fn result(result: StepResult) -> &'static str {
    match result {
        StepResult::Ok => "ok",
        StepResult::Failed => "failed",
        StepResult::Unknown => "unknown",
        StepResult::Skipped => "skipped",
    }
}
