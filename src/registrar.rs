//! The two ways to register a runner, behind one trait: by the REST API, or through a scale set.
//!
//! A record is looked at and removed by the REST API, whichever way it came: it is seen in REST's list, and removed
//! under the id that it has there. Only a registration through a scale set is undone through the Actions Service, under
//! the id that that one gave it.

use crate::engine::{Runner, RunnerId, RunnerName, Scope, Source};
use crate::github::{self, Client, ErrorKind, ScopeRunners};
use crate::scale_set::{self, Jit, RunnerRemoved};
use crate::services::{Place, Registered, Registration, Removed, RunnerRecords};

/// The runner records of one scope, to act on.
#[derive(Debug)]
pub struct Registrar<'a> {
    rest: ScopeRunners<'a>,
    service: &'a scale_set::Client,
}

impl<'a> Registrar<'a> {
    /// Prepares; nothing is called yet.
    #[must_use]
    pub fn new(client: &'a Client, scope: &'a Scope, service: &'a scale_set::Client) -> Self {
        Self { rest: ScopeRunners::new(client, scope), service }
    }
}

impl RunnerRecords for Registrar<'_> {
    async fn register(&self, registration: &Registration) -> Result<Registered, github::Error> {
        let Place::ScaleSet(scale_set) = registration.place else { return self.rest.register(registration).await };
        Ok(match self.service.jit_config(scale_set, &registration.name).await? {
            Jit::New { runner_id, jit_config } => Registered::New { runner_id, jit_config },
            Jit::NameTaken => Registered::NameTaken,
        })
    }

    async fn runner(&self, id: RunnerId) -> Result<Option<Runner>, github::Error> {
        self.rest.runner(id).await
    }

    async fn runner_named(&self, name: &RunnerName) -> Result<Option<Runner>, github::Error> {
        self.rest.runner_named(name).await
    }

    async fn remove(&self, id: RunnerId) -> Result<Removed, github::Error> {
        self.rest.remove(id).await
    }

    async fn undo(&self, id: RunnerId, book: Source) -> Result<Removed, github::Error> {
        match book {
            Source::Rest => self.rest.remove(id).await,
            Source::ScaleSet => Ok(match self.service.remove_runner(id).await? {
                RunnerRemoved::Gone { request_id } => Removed::Gone { request_id },
                RunnerRemoved::Busy { request_id } => Removed::Busy { request_id },
            }),
        }
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
            Kind::Server => ErrorKind::Server { after: None },
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
