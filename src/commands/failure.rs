//! How a command ends when it gives no answer: what stderr says, and the exit code.

use std::io;

use crate::{ec2, exit, github, scale_set};

/// The end of a command without an answer.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// A lower-case phrase that fits after `error: `; drawn as it is where it is a whole picture.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The message is a drawing of its own, with its own heads.
    pub drawn: bool,
    /// It may be another way in a moment, with nothing changed by hand.
    pub may_pass: bool,
}

impl Failure {
    /// Returns a failure of the given exit code.
    pub fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, drawn: false, may_pass: false }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Wrong usage or configuration.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(exit::USAGE, message)
    }
}

impl From<github::Error> for Failure {
    fn from(error: github::Error) -> Self {
        use github::ErrorKind;
        let failure = Self::new(exit::FAILED, error.to_string());
        match error.kind {
            ErrorKind::Unauthorized => {
                failure.hint("check that the token or the App's key is right and has not expired")
            }
            ErrorKind::Forbidden => failure.hint("the credentials may not read this: README.md lists the permissions"),
            ErrorKind::NotFound => failure.hint("check `github.url`, and that the credentials can see it"),
            ErrorKind::RateLimited { until } => {
                let failure = Self { code: exit::TRY_AGAIN, ..failure };
                match until {
                    Some(until) => failure.hint(format!("try again after {until}")),
                    None => failure.hint("try again in some minutes"),
                }
            }
            ErrorKind::OverBudget => Self { code: exit::TRY_AGAIN, ..failure }.hint("raise `--max-requests`"),
            ErrorKind::Transport => failure.hint("check the network, the proxy and `github.ca_file`"),
            ErrorKind::Conflict
            | ErrorKind::Unprocessable
            | ErrorKind::Server { .. }
            | ErrorKind::Unexpected
            | ErrorKind::Protocol => failure,
        }
    }
}

/// With the REST API's hints: the service's credentials come from it.
impl From<scale_set::Error> for Failure {
    fn from(error: scale_set::Error) -> Self {
        let message = error.to_string();
        Self { message, ..Self::from(github::Error::from(error)) }
    }
}

impl From<ec2::Error> for Failure {
    fn from(error: ec2::Error) -> Self {
        Self::new(exit::FAILED, error.to_string())
    }
}

/// What nobody treats apart from other failures, with its context: a temporary directory, a file to be written.
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(exit::FAILED, format!("{error:#}"))
    }
}

/// Only stdout is written by commands: what fails there is a closed pipe or a full disk.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new(exit::FAILED, format!("the output could not be written: {error}"))
    }
}
