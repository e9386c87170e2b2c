//! The two ways to register a runner, behind one trait: by the REST API, or through a scale set.
//!
//! A record is looked at and removed by the REST API, whichever way it came: it is seen in REST's list, and removed
//! under the id that it has there. Only what this run registered through a scale set is removed through the Actions
//! Service, under the id that that one gave it.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use crate::engine::{Runner, RunnerId, RunnerName, Scope};
use crate::github::{self, Client, ErrorKind, ScopeRunners};
use crate::scale_set::{self, Jit, RunnerRemoved};
use crate::services::{Place, Registered, Registration, Removed, RunnerRecords};

/// How many records that were made through a scale set are remembered, so that a listener doesn't grow over weeks: each
/// needs it for the seconds until its instance is launched, and far fewer are launched at once.
const REMEMBERED: usize = 10_000;

/// The runner records of one scope, to act on.
#[derive(Debug)]
pub struct Registrar<'a> {
    rest: ScopeRunners<'a>,
    service: &'a scale_set::Client,
    /// The records that this run made through a scale set.
    made: Mutex<BTreeSet<RunnerId>>,
}

impl<'a> Registrar<'a> {
    /// Prepares; nothing is called yet.
    #[must_use]
    pub fn new(client: &'a Client, scope: &'a Scope, service: &'a scale_set::Client) -> Self {
        Self { rest: ScopeRunners::new(client, scope), service, made: Mutex::default() }
    }

    fn made(&self) -> std::sync::MutexGuard<'_, BTreeSet<RunnerId>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RunnerRecords for Registrar<'_> {
    async fn register(&self, registration: &Registration) -> Result<Registered, github::Error> {
        let Place::ScaleSet(scale_set) = registration.place else { return self.rest.register(registration).await };
        match self.service.jit_config(scale_set, &registration.name).await? {
            Jit::New { runner_id, jit_config } => {
                let mut made = self.made();
                made.insert(runner_id);
                if made.len() > REMEMBERED {
                    // Ids count up: the oldest.
                    made.pop_first();
                }
                Ok(Registered::New { runner_id, jit_config })
            }
            Jit::NameTaken => Ok(Registered::NameTaken),
        }
    }

    async fn runner(&self, id: RunnerId) -> Result<Option<Runner>, github::Error> {
        self.rest.runner(id).await
    }

    async fn runner_named(&self, name: &RunnerName) -> Result<Option<Runner>, github::Error> {
        self.rest.runner_named(name).await
    }

    async fn remove(&self, id: RunnerId) -> Result<Removed, github::Error> {
        let is_made = self.made().contains(&id);
        if !is_made {
            return self.rest.remove(id).await;
        }
        Ok(match self.service.remove_runner(id).await? {
            RunnerRemoved::Gone { request_id } => Removed::Gone { request_id },
            RunnerRemoved::Busy { request_id } => Removed::Busy { request_id },
        })
    }
}

/// The Actions Service's refusals in the words of the REST API's, as far as a launch treats them differently.
impl From<scale_set::Error> for github::Error {
    fn from(error: scale_set::Error) -> Self {
        use scale_set::ErrorKind as Kind;
        let kind = match error.kind {
            Kind::Github(kind) => kind,
            Kind::Unauthorized => ErrorKind::Unauthorized,
            Kind::Forbidden => ErrorKind::Forbidden,
            Kind::ScaleSetNotFound | Kind::NotFound => ErrorKind::NotFound,
            Kind::RunnerExists | Kind::ScaleSetExists | Kind::SessionConflict => ErrorKind::Conflict,
            Kind::JobStillRunning | Kind::SessionExpired | Kind::Refused => ErrorKind::Unprocessable,
            Kind::Throttled { until } => ErrorKind::RateLimited { until },
            Kind::Server => ErrorKind::Server,
            Kind::Transport => ErrorKind::Transport,
            Kind::Protocol => ErrorKind::Protocol,
        };
        Self {
            kind,
            request: error.request,
            status: error.status,
            message: error.message,
            request_id: error.activity_id,
        }
    }
}
