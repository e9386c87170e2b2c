//! How many requests an API was sent, by what came back: what `listen` shows as `ghascale_api_requests_total`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Requests by the HTTP status of their answers; `None`: no answer came.
#[derive(Debug, Default)]
pub struct Tally(Mutex<BTreeMap<Option<u16>, u64>>);

impl Tally {
    /// Counts a request, each repetition as one of its own.
    pub(crate) fn count(&self, status: Option<u16>) {
        *self.counts().entry(status).or_default() += 1;
    }

    /// Returns what was counted since this was asked last.
    pub fn take(&self) -> BTreeMap<Option<u16>, u64> {
        std::mem::take(&mut self.counts())
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, BTreeMap<Option<u16>, u64>> {
        // A panic in between left it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
