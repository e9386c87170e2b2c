//! The tokens of the Actions Service: what each is good for, and until when.

use jiff::Timestamp;

use super::World;

/// Where runners and scale sets are registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sandbox) enum Scope {
    /// The enterprise, with all of its organizations.
    Enterprise,
    /// The world's own organization.
    Organization,
    /// One repository, by its full name.
    Repository(String),
}

impl Scope {
    /// Returns the repository, where it is one.
    pub(in crate::sandbox) fn repository(&self) -> Option<&str> {
        match self {
            Self::Repository(name) => Some(name),
            Self::Organization | Self::Enterprise => None,
        }
    }
}

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
