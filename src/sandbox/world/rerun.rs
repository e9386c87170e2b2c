//! Running jobs again: a run's next attempt.

use std::time::Duration;

use super::{Job, JobStatus, World};

/// GitHub runs nothing again that is older.
const TOO_OLD: Duration = Duration::from_hours(24 * 30);

/// Why GitHub doesn't run something again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sandbox) enum RerunRefused {
    /// It isn't completed.
    Running,
    /// It was made over a month ago.
    TooOld,
    /// None of its jobs failed.
    NothingFailed,
}

impl World {
    /// Begins a run's next attempt: of one job of its latest attempt, or of all that failed. The others are of the new
    /// attempt too, as they ended, each under a new id. An earlier attempt's job stands for the latest one of its name.
    pub(in crate::sandbox) fn rerun(&mut self, run: u64, only: Option<u64>) -> Result<(), RerunRefused> {
        let now = self.now;
        let Some(of) = self.runs.get(&run) else { return Err(RerunRefused::NothingFailed) };
        if self.run_status(of) != JobStatus::Completed {
            return Err(RerunRefused::Running);
        }
        if of.created_at + TOO_OLD <= now {
            return Err(RerunRefused::TooOld);
        }
        let attempt = of.attempt + 1;
        let name = only.and_then(|id| self.jobs.get(&id)).map(|job| job.name.clone());
        let failed = |job: &Job| matches!(job.conclusion, Some("failure" | "cancelled"));
        let is_again = |job: &Job| name.as_ref().map_or_else(|| failed(job), |name| job.name == *name);
        let jobs: Vec<(bool, Job)> = self.jobs_of(of).map(|job| (is_again(job), job.clone())).collect();
        if !jobs.iter().any(|(again, _)| *again) {
            return Err(RerunRefused::NothingFailed);
        }
        for (again, mut job) in jobs {
            job.id = 53_000_000_000 + self.next_id();
            job.attempt = attempt;
            if again {
                (job.status, job.conclusion, job.created_at) = (JobStatus::Queued, None, now);
                (job.started_at, job.completed_at, job.lost_at, job.runner) = (None, None, None, None);
                self.open.insert(job.id);
            }
            if let Some(run) = self.runs.get_mut(&run) {
                run.jobs.push(job.id);
            }
            self.jobs.insert(job.id, job);
        }
        if let Some(run) = self.runs.get_mut(&run) {
            (run.attempt, run.started_at, run.updated_at) = (attempt, now, now);
        }
        Ok(())
    }

    /// Returns the number of a run's latest attempt.
    #[must_use]
    pub fn run_attempt(&self, run: u64) -> Option<u32> {
        self.runs.get(&run).map(|run| run.attempt)
    }
}
