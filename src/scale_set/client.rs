//! The one way to the Actions Service.

use std::sync::Arc;

use super::error::Error;
use super::model::{
    AcquirableJob, Jit, NewScaleSet, RunnerGroup, RunnerRemoved, ScaleSet, ScaleSetChange, ScaleSetId, ServiceRunner,
};
use crate::config;
use crate::engine::{RunnerId, RunnerName};
use crate::github;

/// The Actions Service of one scope. Must be made inside a tokio runtime; nothing is called before the first request.
#[derive(Debug)]
pub struct Client {
    github: Arc<github::Client>,
}

#[expect(missing_docs, clippy::missing_errors_doc, clippy::unused_async)]
impl Client {
    pub fn new(github: Arc<github::Client>, _settings: &config::Github) -> Result<Self, Error> {
        Ok(Self { github })
    }

    /// Finds a scale set by its group and name; with its statistics where the service gives them.
    pub async fn find(&self, _group_id: u64, _name: &str) -> Result<Option<ScaleSet>, Error> {
        unimplemented!("{:?}", self.github)
    }

    /// Lists the scale sets of a group, or of the whole scope; without statistics.
    pub async fn list(&self, _group_id: Option<u64>) -> Result<Vec<ScaleSet>, Error> {
        unimplemented!()
    }

    /// Returns a scale set by its id, with its statistics.
    pub async fn scale_set(&self, _id: ScaleSetId) -> Result<ScaleSet, Error> {
        unimplemented!()
    }

    pub async fn create(&self, _wanted: &NewScaleSet) -> Result<ScaleSet, Error> {
        unimplemented!()
    }

    pub async fn update(&self, _id: ScaleSetId, _change: &ScaleSetChange) -> Result<ScaleSet, Error> {
        unimplemented!()
    }

    pub async fn delete(&self, _id: ScaleSetId) -> Result<(), Error> {
        unimplemented!()
    }

    /// Returns a runner group by its name, without case; `Default` isn't looked up: it is 1.
    pub async fn runner_group(&self, _name: &str) -> Result<Option<RunnerGroup>, Error> {
        unimplemented!()
    }

    pub async fn runner(&self, _id: RunnerId) -> Result<Option<ServiceRunner>, Error> {
        unimplemented!()
    }

    pub async fn runner_named(&self, _name: &RunnerName) -> Result<Option<ServiceRunner>, Error> {
        unimplemented!()
    }

    pub async fn runners(&self) -> Result<Vec<ServiceRunner>, Error> {
        unimplemented!()
    }

    pub async fn remove_runner(&self, _id: RunnerId) -> Result<RunnerRemoved, Error> {
        unimplemented!()
    }

    /// Registers a runner of a scale set, once: never repeated by itself.
    pub async fn jit_config(&self, _id: ScaleSetId, _name: &RunnerName) -> Result<Jit, Error> {
        unimplemented!()
    }

    pub async fn acquirable_jobs(&self, _id: ScaleSetId) -> Result<Vec<AcquirableJob>, Error> {
        unimplemented!()
    }
}
