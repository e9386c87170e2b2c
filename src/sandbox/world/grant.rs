//! The tokens of the Actions Service: what each is good for, and until when.

use jiff::Timestamp;

use super::World;

/// The organization, or one of its repositories by its full name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sandbox) struct Scope(pub(in crate::sandbox) Option<String>);

/// What a token is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sandbox) enum Grant {
    /// To register at a scope.
    Registration(Scope),
    /// The Actions Service of a scope.
    Admin(Scope),
    /// The message queue of a scale set's session.
    Queue {
        /// The set.
        set: u64,
        /// The session.
        session: String,
    },
}

impl World {
    /// Notes that a token was given out.
    pub(in crate::sandbox) fn grant(&mut self, token: &str, grant: Grant, until: Timestamp) {
        self.actions.grants.insert(token.to_owned(), (grant, until));
    }

    /// Returns what a token is good for now.
    pub(in crate::sandbox) fn granted(&self, token: &str) -> Option<&Grant> {
        let (grant, until) = self.actions.grants.get(token)?;
        (*until > self.now).then_some(grant)
    }
}
