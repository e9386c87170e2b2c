//! One observation of the whole world, the engine's only input beside the policy.

use jiff::Timestamp;

use super::fleet::{Instance, Runner};
use super::job::Demand;

/// A list, and whether it is the whole list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing<T> {
    /// What was read.
    pub items: Vec<T>,
    /// `false` where a page or a call was lost: absence proves nothing then.
    pub whole: bool,
}

impl<T> Listing<T> {
    /// Returns a list that was read whole.
    #[must_use]
    pub fn whole(items: Vec<T>) -> Self {
        Self { items, whole: true }
    }

    /// Returns a list of which a part was lost.
    #[must_use]
    pub fn partial(items: Vec<T>) -> Self {
        Self { items, whole: false }
    }
}

/// What was seen, in the order in which it was read: instances, runner records, jobs.
///
/// An instance that was seen had a record before it, because GitHub comes first at every launch; so "no record" is a
/// fact here and not a race.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// When the observation began: the engine's only clock.
    pub now: Timestamp,
    /// Instances with our fleet tag, terminated ones that EC2 still shows included.
    pub instances: Listing<Instance>,
    /// All runner records of the scope, others' included.
    pub runners: Listing<Runner>,
    /// The jobs.
    pub demand: Demand,
}
