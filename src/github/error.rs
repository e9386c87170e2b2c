//! What can go wrong between us and GitHub: each kind is a situation that a caller treats differently.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

/// A request to GitHub that did not give what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The situation.
    pub kind: ErrorKind,
    /// Method and address, without credentials: `GET https://api.github.com/orgs/acme/repos?page=2`.
    pub request: String,
    /// The answer's status, if there was an answer.
    pub status: Option<u16>,
    /// What GitHub said, or the transport: one line, at most 300 characters, without secrets.
    pub message: String,
    /// GitHub's own id of the request (`x-github-request-id`), for its support.
    pub request_id: Option<String>,
}

/// The situations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// 401: the credentials are wrong or expired.
    Unauthorized,
    /// 403: the credentials may not do this.
    Forbidden,
    /// 404 or 410: not there, or not visible with these credentials.
    NotFound,
    /// 409.
    Conflict,
    /// 422: GitHub understood and refused.
    Unprocessable,
    /// 429, or 403 for a primary or secondary rate limit.
    RateLimited {
        /// When it may be tried again, if GitHub said.
        until: Option<Timestamp>,
    },
    /// Not asked at all: as many requests as the operator allows have been sent.
    OverBudget,
    /// 5xx.
    Server {
        /// How long GitHub asks to be left alone, if it said.
        after: Option<Duration>,
    },
    /// Another status that no caller expects, a redirect that could not be followed among them.
    Unexpected,
    /// No answer, or half of one: connection refused, reset, timed out.
    Transport,
    /// An answer that isn't what the API promises: HTML, truncated JSON, nulls in place of lists.
    Protocol,
}

impl ErrorKind {
    /// Returns whether nothing more can be asked for now, of whatever.
    #[must_use]
    pub fn ends_asking(self) -> bool {
        matches!(self, Self::RateLimited { .. } | Self::OverBudget)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.request)?;
        if let Some(status) = self.status {
            write!(f, "{status} ")?;
        }
        write!(f, "{}", self.message)?;
        if let Some(id) = &self.request_id {
            write!(f, " (request {id})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
