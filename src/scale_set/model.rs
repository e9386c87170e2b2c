//! What the Actions Service speaks of, as we keep it: read leniently in one place, relied on everywhere else.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::{Label, RunnerId, RunnerName, Statistics};

/// A scale set's id; a set that is made anew under the old name has another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ScaleSetId(pub u64);

impl fmt::Display for ScaleSetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A runner group as the Actions Service knows it: the same ids as the REST API's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct RunnerGroup {
    /// Its id; the default group of every scope is 1.
    pub id: u64,
    /// Its name.
    pub name: String,
}

/// A runner scale set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScaleSet {
    /// Its id.
    pub id: ScaleSetId,
    /// Its name, unique in its runner group.
    pub name: String,
    /// Its runner group.
    pub group: RunnerGroup,
    /// Its labels: it takes a job whose labels are all among them. Its name is none of them unless it says so.
    pub labels: Vec<Label>,
    /// The seven counts; `None` in lists, and where the service left them out.
    pub statistics: Option<Statistics>,
}

/// A scale set to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewScaleSet {
    /// Its name.
    pub name: String,
    /// Its runner group's id.
    pub group_id: u64,
    /// Its labels; never empty.
    pub labels: Vec<Label>,
}

/// What is to be changed of a scale set; `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScaleSetChange {
    /// Another runner group.
    pub group_id: Option<u64>,
    /// Other labels, all of them.
    pub labels: Option<Vec<Label>>,
}

/// A runner's record as the Actions Service keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRunner {
    /// Its id.
    pub id: RunnerId,
    /// Its name.
    pub name: RunnerName,
    /// The scale set it was registered for; `None`: for none.
    pub scale_set: Option<ScaleSetId>,
    /// When it was registered, where the service says so.
    pub created_at: Option<Timestamp>,
}

/// What the service answered to a request for a JIT configuration.
#[derive(Debug)]
pub enum Jit {
    /// The runner is registered, and this is the only copy of its key.
    New {
        /// The record's id.
        runner_id: RunnerId,
        /// What the runner starts with: base64, several KiB, single use.
        jit_config: secrecy::SecretString,
    },
    /// 409 `AgentExistsException`: a record has this name already.
    NameTaken,
}

/// What the service answered to the deletion of a runner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunnerRemoved {
    /// 204, or 404 `AgentNotFoundException`: the record is gone, or there was none.
    Gone {
        /// The answer's `ActivityId` or `x-github-request-id`.
        request_id: Option<String>,
    },
    /// `JobStillRunningException`: it holds a job.
    Busy {
        /// The answer's `ActivityId` or `x-github-request-id`.
        request_id: Option<String>,
    },
}

/// A job that is offered to a scale set and that nobody has acquired (acquire mode only).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcquirableJob {
    /// The offer's id: what acquiring names.
    pub runner_request_id: u64,
    /// `owner/name`.
    pub repository: String,
    /// What the job asks for.
    pub labels: Vec<Label>,
}
