//! The identifiers that the field uses, each a type of its own, so that a pool's name can't be passed for a runner's.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! text {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes the text as it is.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// Returns the text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self::new(text)
            }
        }
    };
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

text! {
    /// The name of one `[[pool]]` of the configuration: `[a-z0-9-]`, unique in its file.
    PoolName
}
text! {
    /// The tag value that marks the EC2 instances of one installation of ghascale (`ghascale:fleet`).
    FleetName
}
text! {
    /// A repository as GitHub writes it: `owner/name`.
    RepositoryName
}
text! {
    /// A runner's name, unique in its scope by GitHub's own rule; at most 64 characters.
    RunnerName
}
text! {
    /// An EC2 instance id, `i-…`.
    InstanceId
}
number! {
    /// A workflow run's id.
    RunId(u64)
}
number! {
    /// A job's id; a re-run's jobs have new ones.
    JobId(u64)
}
number! {
    /// A self-hosted runner's id; never used again, though names are.
    RunnerId(u64)
}
number! {
    /// The numbered place of one runner in a pool, from 0 to `max - 1`.
    Slot(u32)
}

impl RepositoryName {
    /// Returns whether both name one repository: GitHub compares without case.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl RunnerName {
    /// Returns the name of the runner in `slot` of `pool`: `{fleet}-{pool}-{slot:03}`.
    #[must_use]
    pub fn of(fleet: &FleetName, pool: &PoolName, slot: Slot) -> Self {
        Self(format!("{fleet}-{pool}-{:03}", slot.0))
    }

    /// Returns the slot this name holds in `pool`, if it is a name of that pool.
    #[must_use]
    pub fn slot_in(&self, fleet: &FleetName, pool: &PoolName) -> Option<Slot> {
        self.place(fleet).filter(|(name, _)| *name == pool.as_str()).map(|(_, slot)| slot)
    }

    /// Returns the name of the pool and the slot that a runner of the fleet would have by this name; whether there is
    /// such a pool is not known here.
    #[must_use]
    pub fn place(&self, fleet: &FleetName) -> Option<(&str, Slot)> {
        let (pool, digits) = self.0.strip_prefix(fleet.as_str())?.strip_prefix('-')?.rsplit_once('-')?;
        let slot = Slot(digits.parse().ok()?);
        (format!("{:03}", slot.0) == digits).then_some((pool, slot))
    }
}

/// A runner label. Compared without case, as GitHub does (actions-runner-controller#2302); shown as it was written. A copy
/// costs next to nothing: of a hundred thousand jobs that wait, each is told with its labels.
#[derive(Clone, Debug)]
pub struct Label {
    shown: Arc<str>,
    /// In small letters, where it wasn't written so.
    folded: Option<Arc<str>>,
}

impl Label {
    /// Takes a label as it was written.
    pub fn new(text: impl Into<String>) -> Self {
        let shown = text.into();
        let folded = Some(shown.to_lowercase()).filter(|folded| *folded != shown).map(Arc::from);
        Self { shown: shown.into(), folded }
    }

    fn folded(&self) -> &str {
        self.folded.as_ref().unwrap_or(&self.shown)
    }

    /// Returns the label as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.shown
    }
}

impl From<&str> for Label {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.shown)
    }
}

impl PartialEq for Label {
    fn eq(&self, other: &Self) -> bool {
        self.folded() == other.folded()
    }
}

impl Eq for Label {}

impl PartialOrd for Label {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Label {
    fn cmp(&self, other: &Self) -> Ordering {
        self.folded().cmp(other.folded())
    }
}

impl Hash for Label {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.folded().hash(state);
    }
}

impl Serialize for Label {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.shown)
    }
}

impl<'de> Deserialize<'de> for Label {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl JsonSchema for Label {
    fn schema_name() -> Cow<'static, str> {
        "Label".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        String::json_schema(generator)
    }
}

/// Where the runners are registered, read off the configuration's `github.url`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// All repositories of an organization.
    Organization(String),
    /// One repository.
    Repository(RepositoryName),
    /// All organizations of an enterprise.
    Enterprise(String),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Organization(name) => f.pad(name),
            Self::Repository(name) => f.pad(name.as_str()),
            Self::Enterprise(name) => write!(f, "enterprises/{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_compare_without_case_and_keep_how_they_were_written() {
        assert_eq!(Label::new("Linux"), Label::new("lINUX"));
        assert_eq!(Label::new("Linux").to_string(), "Linux");
    }

    #[test]
    fn a_runner_name_leads_back_to_its_slot() {
        let (fleet, pool) = ("acme".into(), "linux-x64".into());
        for slot in [0, 7, 999, 1000] {
            let name = RunnerName::of(&fleet, &pool, Slot(slot));
            assert_eq!(name.slot_in(&fleet, &pool), Some(Slot(slot)), "{name}");
        }
    }

    #[test]
    fn only_the_exact_form_is_a_runner_name_of_ours() {
        let (fleet, pool) = ("acme".into(), "linux".into());
        for name in [
            "acme-linux-1",
            "acme-linux-0001",
            "acme-linux-x64-001",
            "acme-linux-+01",
            "other-linux-001",
            "acme-linux-",
        ] {
            assert_eq!(RunnerName::new(name).slot_in(&fleet, &pool), None, "{name}");
        }
    }
}
