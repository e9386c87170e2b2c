//! What can go wrong between us and EC2, and how each error code is to be answered.

use std::fmt;

/// A call to EC2 that did not give what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// How it is to be answered.
    pub class: ErrorClass,
    /// The API action: `RunInstances`.
    pub action: &'static str,
    /// EC2's error code, `InsufficientInstanceCapacity`; for a call without an answer a word of ours (`Timeout`, `Transport`, …).
    pub code: String,
    /// What EC2 said, one line, at most 300 characters, without secrets.
    pub message: String,
    /// EC2's id of the request, for its support.
    pub request_id: Option<String>,
}

/// The reactions to EC2's error codes (the table stands in [`ErrorClass::of`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErrorClass {
    /// Throttled, or a fault of EC2's, or no answer: the same request with the same token again, after a pause.
    Retry,
    /// No capacity for this offering: the next one.
    NextOffering,
    /// No room in this subnet: the next subnet.
    NextSubnet,
    /// No spot for this account now: the next market, if configured.
    NextMarket,
    /// A quota is reached: no more launches in this pool now.
    Quota,
    /// The configuration names something that isn't there or isn't allowed: this pool fails.
    Configuration,
    /// The credentials are wrong or may not do this: everything stops.
    Credentials,
    /// The token was used with another request (`IdempotentParameterMismatch`): look who did.
    TokenMismatch,
    /// The token's instance is already terminated: the slot failed, the record is not used again.
    TokenSpent,
    /// The instance isn't there (any more, or yet).
    InstanceMissing,
    /// The instance may not be ended (termination protection) or is in a state that forbids it.
    InstanceRefuses,
}

impl Error {
    /// Returns whether EC2 refused the call for its pace, and so surely did nothing.
    #[must_use]
    pub fn is_throttle(&self) -> bool {
        let throttles = ["Throttl", "RequestLimitExceeded", "SlowDown", "BandwidthLimitExceeded"];
        throttles.iter().any(|word| self.code.contains(word))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.action, self.code, self.message)?;
        if let Some(id) = &self.request_id {
            write!(f, " (request {id})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
