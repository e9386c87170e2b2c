//! The scale sets, the runner groups that they are in, and the jobs on offer to them.

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::client::Client;
use super::decode;
use super::error::{Error, ErrorKind};
use super::model::{AcquirableJob, NewScaleSet, RunnerGroup, ScaleSet, ScaleSetChange, ScaleSetId};
use super::transport::{Reply, Sends};
use crate::engine::Label;

/// Where the scale sets are.
pub(super) const SCALE_SETS: &str = "_apis/runtime/runnerscalesets";
/// The group that every scope has; it isn't looked up.
const DEFAULT_GROUP: &str = "Default";
const DEFAULT_GROUP_ID: u64 = 1;

/// Returns the path of something of one scale set's.
pub(super) fn path(id: ScaleSetId, rest: &str) -> String {
    format!("{SCALE_SETS}/{id}{rest}")
}

impl Client {
    /// Finds a scale set by its group and name; with its statistics where the service gives them.
    ///
    /// # Errors
    /// The service can't be asked, or its answer leaves open whether there is one.
    pub async fn find(&self, group_id: u64, name: &str) -> Result<Option<ScaleSet>, Error> {
        let group = group_id.to_string();
        let reply = self.get(SCALE_SETS, &[("runnerGroupId", &group), ("name", name)]).await?;
        let found = self.entries(&reply, decode::scale_set)?;
        let unreadable = found.unreadable;
        // A server that doesn't know the filter lists all.
        let folded = name.to_lowercase();
        let mut found: Vec<ScaleSet> =
            found.items.into_iter().filter(|set| set.name.to_lowercase() == folded).collect();
        if found.len() > 1 {
            found.retain(|set| set.group.id == group_id);
        }
        match found.len() {
            0 if unreadable == 0 => Ok(None),
            1 => Ok(found.pop().map(|set| in_group(set, group_id))),
            0 => Err(reply.unreadable("an unreadable answer: a scale set without an id".to_owned())),
            count => Err(reply.unreadable(format!("{count} scale sets of one name in one group"))),
        }
    }

    /// Lists the scale sets of a group, or of the whole scope; without statistics.
    ///
    /// # Errors
    /// The service can't be asked.
    pub async fn list(&self, group_id: Option<u64>) -> Result<Vec<ScaleSet>, Error> {
        let group = group_id.map(|id| id.to_string());
        let query: Vec<_> = group.iter().map(|id| ("runnerGroupId", id.as_str())).collect();
        let reply = self.get(SCALE_SETS, &query).await?;
        let sets = self.entries(&reply, decode::scale_set)?.items.into_iter();
        Ok(sets.map(|set| group_id.map_or_else(|| set.clone(), |id| in_group(set.clone(), id))).collect())
    }

    /// Returns a scale set by its id, with its statistics.
    ///
    /// # Errors
    /// The service can't be asked; [`ErrorKind::ScaleSetNotFound`] when it said so several times, since in incidents it
    /// says so of sets that are there (actions-runner-controller#3942).
    pub async fn scale_set(&self, id: ScaleSetId) -> Result<ScaleSet, Error> {
        let mut sends = Sends::of(self.transport.patience);
        loop {
            match self.get(&path(id, ""), &[]).await {
                Ok(reply) => return reply.one("scale set", decode::scale_set),
                Err(refusal) if refusal.error.kind == ErrorKind::ScaleSetNotFound && sends.pause().await => {}
                Err(refusal) => return Err(refusal.into()),
            }
        }
    }

    /// Makes a scale set, once. When the answer is lost, the set is looked up, and returned if its labels are those
    /// that were asked for.
    ///
    /// # Errors
    /// [`ErrorKind::ScaleSetExists`]: there is one of that name in the group, with other labels or made before; else,
    /// the service can't be asked or refuses, and no set was seen.
    pub async fn create(&self, wanted: &NewScaleSet) -> Result<ScaleSet, Error> {
        let body = json!({
            "name": wanted.name,
            "runnerGroupId": wanted.group_id,
            "labels": labels(&wanted.labels),
            // The service's own settings: a runner that is too old renews itself, or gets no job.
            "RunnerSetting": {},
        });
        let lost = match self.send(Method::POST, SCALE_SETS, &[], Some(&body)).await {
            Ok(reply) => match reply.one("scale set", decode::scale_set) {
                Ok(made) => return Ok(in_group(made, wanted.group_id)),
                Err(unreadable) => unreadable,
            },
            Err(refusal) => refusal.into(),
        };
        if !matches!(lost.kind, ErrorKind::Transport | ErrorKind::Server | ErrorKind::Protocol) {
            return Err(lost);
        }
        match self.find(wanted.group_id, &wanted.name).await {
            Ok(Some(made)) if alike(&made.labels, &wanted.labels) => Ok(made),
            Ok(Some(_)) => Err(Error {
                kind: ErrorKind::ScaleSetExists,
                message: format!("{}; and `{}` is there with other labels", lost.message, wanted.name),
                ..lost
            }),
            Ok(None) | Err(_) => Err(lost),
        }
    }

    /// Changes a scale set, once; returns what the service made of it.
    ///
    /// # Errors
    /// The service can't be asked, or refuses.
    pub async fn update(&self, id: ScaleSetId, change: &ScaleSetChange) -> Result<ScaleSet, Error> {
        let mut body = Map::new();
        if let Some(group_id) = change.group_id {
            body.insert("runnerGroupId".to_owned(), group_id.into());
        }
        if let Some(wanted) = &change.labels {
            body.insert("labels".to_owned(), labels(wanted));
        }
        let reply = self.send(Method::PATCH, &path(id, ""), &[], Some(&Value::Object(body))).await?;
        reply.one("scale set", decode::scale_set)
    }

    /// Deletes a scale set, once; its jobs go back to the queue.
    ///
    /// # Errors
    /// The service can't be asked, or refuses: a runner of the set holds a job.
    pub async fn delete(&self, id: ScaleSetId) -> Result<(), Error> {
        self.send(Method::DELETE, &path(id, ""), &[], None).await?;
        Ok(())
    }

    /// Returns a runner group by its name, without case; `Default` isn't looked up: it is 1.
    ///
    /// # Errors
    /// The service can't be asked, or its answer leaves open whether there is one.
    pub async fn runner_group(&self, name: &str) -> Result<Option<RunnerGroup>, Error> {
        if name.eq_ignore_ascii_case(DEFAULT_GROUP) {
            return Ok(Some(RunnerGroup { id: DEFAULT_GROUP_ID, name: DEFAULT_GROUP.to_owned() }));
        }
        let reply = self.get("_apis/runtime/runnergroups/", &[("groupName", name)]).await?;
        let groups = self.entries(&reply, decode::runner_group)?;
        let folded = name.to_lowercase();
        let found = groups.items.into_iter().find(|group| group.name.to_lowercase() == folded);
        if found.is_none() && groups.unreadable > 0 {
            return Err(reply.unreadable("an unreadable answer: a runner group without an id".to_owned()));
        }
        Ok(found)
    }

    /// Lists the jobs that are on offer to a scale set (acquire mode only).
    ///
    /// # Errors
    /// The service can't be asked.
    pub async fn acquirable_jobs(&self, id: ScaleSetId) -> Result<Vec<AcquirableJob>, Error> {
        let reply = self.get(&path(id, "/acquirablejobs"), &[]).await?;
        if is_nothing(&reply) {
            return Ok(Vec::new());
        }
        Ok(self.entries(&reply, decode::acquirable_job)?.items)
    }
}

/// Returns whether the service says that there is nothing: 204, or no body.
pub(super) fn is_nothing(reply: &Reply) -> bool {
    reply.status == StatusCode::NO_CONTENT || decode::is_nothing(&reply.body)
}

/// Returns labels as the service takes them.
fn labels(labels: &[Label]) -> Value {
    labels.iter().map(|label| json!({ "type": "System", "name": label })).collect()
}

/// Returns whether two lists hold the same labels, whatever their order.
fn alike(some: &[Label], others: &[Label]) -> bool {
    some.iter().all(|label| others.contains(label)) && others.iter().all(|label| some.contains(label))
}

/// Returns a set with its group, where the service left that out.
fn in_group(mut set: ScaleSet, group_id: u64) -> ScaleSet {
    if set.group.id == 0 {
        set.group.id = group_id;
    }
    set
}
