//! What can go wrong between us and the Actions Service: each kind is a situation that a caller treats differently.

use std::fmt;

use crate::github;

/// A request that did not give what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The situation.
    pub kind: ErrorKind,
    /// Method and address, without credentials and query tokens.
    pub request: String,
    /// The answer's status, if there was an answer.
    pub status: Option<u16>,
    /// What the service said, or the transport: one line, at most 300 characters, without secrets.
    pub message: String,
    /// The service's `ActivityId`, else `x-github-request-id`, for GitHub's support.
    pub activity_id: Option<String>,
}

/// The situations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// 401, or an expired token that could not be renewed.
    Unauthorized,
    /// 403.
    Forbidden,
    /// `RunnerScaleSetNotFoundException`: gone, or (in incidents) said to be.
    ScaleSetNotFound,
    /// `AgentNotFoundException`, or any other 404.
    NotFound,
    /// `AgentExistsException`: the runner's name is taken.
    RunnerExists,
    /// `JobStillRunningException`: the runner holds a job.
    JobStillRunning,
    /// A scale set of that name is in the group already.
    ScaleSetExists,
    /// `RunnerScaleSetSessionConflictException`: another session is open.
    SessionConflict,
    /// `…SessionExpiredException`, or the broker forgot the session, or the queue refuses: close it and open a new one.
    SessionExpired,
    /// 429, or 503 with a time to wait.
    Throttled {
        /// When it may be tried again, if the service said.
        until: Option<jiff::Timestamp>,
    },
    /// Another refusal, 400 to 499.
    Refused,
    /// 5xx, or a success that is none: a session without a queue.
    Server,
    /// No answer, or half of one.
    Transport,
    /// An answer that isn't what the protocol says; an address that must not be followed.
    Protocol,
    /// GitHub's REST API refused on the way to the service.
    Github(github::ErrorKind),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.request)?;
        if let Some(status) = self.status {
            write!(f, "{status} ")?;
        }
        write!(f, "{}", self.message)?;
        if let Some(id) = &self.activity_id {
            write!(f, " (activity {id})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

impl From<github::Error> for Error {
    fn from(error: github::Error) -> Self {
        Self {
            kind: ErrorKind::Github(error.kind),
            request: error.request,
            status: error.status,
            message: error.message,
            activity_id: error.request_id,
        }
    }
}
