//! What the organization's webhook delivered.

use jiff::Timestamp;

use super::{Job, World};

/// One delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sandbox) struct Delivery {
    pub(in crate::sandbox) id: u64,
    pub(in crate::sandbox) at: Timestamp,
    pub(in crate::sandbox) event: String,
    pub(in crate::sandbox) action: Option<String>,
    pub(in crate::sandbox) repository_id: Option<u64>,
}

impl World {
    /// Puts a delivery into the log that no job stands behind.
    pub fn deliver(&mut self, event: &str, action: &str, repository_id: u64) {
        let (id, at) = (self.next_id(), self.now);
        let (event, action) = (event.to_owned(), Some(action.to_owned()));
        self.deliveries.push(Delivery { id, at, event, action, repository_id: Some(repository_id) });
    }

    /// Returns a repository's id.
    #[must_use]
    pub fn repository_id(&self, full_name: &str) -> Option<u64> {
        self.repositories.get(full_name).map(|repository| repository.id)
    }

    /// Returns what the log shows by now, the newest first: with [`super::Settings::deliveries_lost`] nothing of jobs, and
    /// nothing that is younger than [`super::Settings::delivery_lag`].
    pub(in crate::sandbox) fn delivery_log(&self) -> Vec<Delivery> {
        let jobs = self.jobs.values().filter(|_| !self.settings.deliveries_lost);
        let mut all: Vec<Delivery> = jobs.flat_map(|job| self.deliveries_of(job)).collect();
        all.extend(self.deliveries.iter().cloned());
        all.retain(|one| one.at + self.settings.delivery_lag <= self.now);
        all.sort_by_key(|one| std::cmp::Reverse((one.at, one.id)));
        all
    }

    fn deliveries_of(&self, job: &Job) -> impl Iterator<Item = Delivery> {
        let repository = self.runs.get(&job.run_id).and_then(|run| self.repositories.get(&run.repository));
        let repository_id = repository.map(|repository| repository.id);
        let id = job.id * 3;
        let times =
            [("queued", Some(job.created_at)), ("in_progress", job.started_at), ("completed", job.completed_at)];
        (id..).zip(times).filter_map(move |(id, (action, at))| {
            let (event, action) = ("workflow_job".to_owned(), Some(action.to_owned()));
            Some(Delivery { id, at: at?, event, action, repository_id })
        })
    }
}
