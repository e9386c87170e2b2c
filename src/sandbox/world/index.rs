//! The index behind filtered lists of runs, which is late by [`super::Settings::index_lag`]: what it does not know yet is
//! missing from them, and what it knows is as it was (dawidd6/action-download-artifact#147).

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{JobStatus, Run, World};

/// Every change of a run's status, by run, since the index began to be late.
pub(super) type Index = BTreeMap<u64, Vec<(Timestamp, JobStatus)>>;

impl World {
    /// Notes what the index will know after a while.
    pub(super) fn note_changes(&mut self) {
        if self.settings.index_lag.is_zero() {
            return self.index.clear();
        }
        let now = self.now;
        let statuses: Vec<(u64, JobStatus)> = self.runs.values().map(|run| (run.id, self.run_status(run))).collect();
        for (id, status) in statuses {
            let known = self.index.entry(id).or_default();
            if known.last().is_none_or(|(_, last)| *last != status) {
                known.push((now, status));
            }
        }
    }

    /// Returns a run's status as the index has it; `None`: the run is not in it.
    pub(in crate::sandbox) fn indexed_status(&self, run: &Run) -> Option<JobStatus> {
        let lag = self.settings.index_lag;
        if lag.is_zero() {
            return Some(self.run_status(run));
        }
        let known = self.index.get(&run.id)?.iter().rev().find(|(at, _)| *at + lag <= self.now)?;
        Some(known.1)
    }
}
