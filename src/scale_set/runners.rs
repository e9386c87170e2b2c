//! The runner records, as the service keeps them ("agents").

use http::Method;
use serde_json::json;

use super::client::Client;
use super::decode;
use super::error::{Error, ErrorKind};
use super::model::{Jit, RunnerRemoved, ScaleSetId, ServiceRunner};
use super::refusal::{Exception, Refusal, activity_id};
use super::scale_sets::path;
use crate::engine::{RunnerId, RunnerName};

const AGENTS: &str = "_apis/distributedtask/pools/0/agents";

impl Client {
    /// Returns a runner by its id.
    ///
    /// # Errors
    /// The service can't be asked; a 404 of another's making is no proof that the record is gone.
    pub async fn runner(&self, id: RunnerId) -> Result<Option<ServiceRunner>, Error> {
        match self.get(&format!("{AGENTS}/{id}"), &[]).await {
            Ok(reply) => reply.one("runner", decode::runner).map(Some),
            Err(Refusal { exception: Some(Exception::AgentNotFound), .. }) => Ok(None),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// Returns the runner that has a name.
    ///
    /// # Errors
    /// The service can't be asked, or its answer leaves open whether there is one.
    pub async fn runner_named(&self, name: &RunnerName) -> Result<Option<ServiceRunner>, Error> {
        let reply = self.get(AGENTS, &[("agentName", name.as_str())]).await?;
        let found = self.entries(&reply, decode::runner)?;
        let unreadable = found.unreadable;
        let folded = name.as_str().to_lowercase();
        let found = found.items.into_iter().find(|runner| runner.name.as_str().to_lowercase() == folded);
        if found.is_none() && unreadable > 0 {
            return Err(reply.unreadable("an unreadable answer: a runner without an id".to_owned()));
        }
        Ok(found)
    }

    /// Lists the runners of the whole scope.
    ///
    /// # Errors
    /// The service can't be asked.
    pub async fn runners(&self) -> Result<Vec<ServiceRunner>, Error> {
        let reply = self.get(AGENTS, &[]).await?;
        Ok(self.entries(&reply, decode::runner)?.items)
    }

    /// Deletes a runner's record, once. The service refuses that for a runner that holds a job.
    ///
    /// # Errors
    /// The service can't be asked, or refuses otherwise; a 404 of another's making is no proof that the record is gone.
    pub async fn remove_runner(&self, id: RunnerId) -> Result<RunnerRemoved, Error> {
        match self.send(Method::DELETE, &format!("{AGENTS}/{id}"), &[], None).await {
            Ok(reply) => Ok(RunnerRemoved::Gone { request_id: activity_id(&reply.headers) }),
            Err(Refusal { error, exception }) => match exception {
                Some(Exception::AgentNotFound) => Ok(RunnerRemoved::Gone { request_id: error.activity_id }),
                Some(Exception::JobStillRunning) => Ok(RunnerRemoved::Busy { request_id: error.activity_id }),
                _ => Err(error),
            },
        }
    }

    /// Registers a runner of a scale set, once: never repeated by itself.
    ///
    /// A runner's name is a lock between hosts, so the record that holds it is never deleted. Only when the name proves
    /// to be free after all, which the refusal didn't make anything of, is it asked for once more.
    ///
    /// # Errors
    /// The service can't be asked, or refuses otherwise. A lost answer may hide a record that nobody has the key of.
    pub async fn jit_config(&self, id: ScaleSetId, name: &RunnerName) -> Result<Jit, Error> {
        match self.register(id, name).await {
            Err(error) if error.kind == ErrorKind::RunnerExists => {}
            result => return result,
        }
        // Unknown is taken: that is what the service has just said.
        if !matches!(self.runner_named(name).await, Ok(None)) {
            return Ok(Jit::NameTaken);
        }
        match self.register(id, name).await {
            Err(error) if error.kind == ErrorKind::RunnerExists => Ok(Jit::NameTaken),
            result => result,
        }
    }

    async fn register(&self, id: ScaleSetId, name: &RunnerName) -> Result<Jit, Error> {
        let body = json!({ "name": name, "workFolder": "_work" });
        let reply = self.post_in_turn(&path(id, "/generatejitconfig"), &body).await?;
        let registered = reply.one("runner and key", decode::registered)?;
        Ok(Jit::New { runner_id: registered.runner_id, jit_config: registered.jit_config })
    }
}
