//! Supply: the EC2 instances that carry our fleet tag, and the runner records that GitHub keeps.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::names::{FleetName, InstanceId, Label, PoolName, RunnerId, RunnerName, Slot};
use super::policy::CAPACITY_RETURNS;
use crate::ages::age;

/// An EC2 instance that carries our fleet tag, as `DescribeInstances` showed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// EC2's id.
    pub id: InstanceId,
    /// The value of its `ghascale:fleet` tag.
    pub fleet: FleetName,
    /// The pool it was launched for; `None` if the tag is missing.
    pub pool: Option<PoolName>,
    /// The slot it was launched for; `None` if the tag is missing or no number.
    pub slot: Option<Slot>,
    /// The runner record it was launched with; `None` if the tag is missing or no number.
    pub runner_id: Option<RunnerId>,
    /// EC2's word for what it is doing.
    pub state: InstanceState,
    /// When EC2 launched it; `None` where EC2 doesn't say, and then it has no age.
    pub launched_at: Option<Timestamp>,
    /// How it was bought.
    pub market: Market,
    /// Its instance type, `m7a.large`.
    pub instance_type: String,
    /// Its subnet; EC2 forgets it once the instance is terminated.
    pub subnet: Option<String>,
    /// EC2's `StateReason.code`, `Server.SpotInstanceTermination`.
    pub state_reason: Option<String>,
    /// What earlier runs noted on it.
    pub marks: Marks,
}

impl Instance {
    /// Returns whether it costs money or can still run a job.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.state != InstanceState::Terminated
    }

    /// Returns whether EC2 says that it took the instance back.
    #[must_use]
    pub fn was_taken_back(&self) -> bool {
        self.state_reason.as_deref() == Some(TAKEN_BACK)
    }

    /// Returns whether EC2 took the order for this offering and then had no capacity for it, within [`CAPACITY_RETURNS`]: it
    /// says so by the instance's reason. An instance whose subnet EC2 has forgotten speaks for all subnets.
    #[must_use]
    pub fn lacked(&self, offering: &Offering, now: Timestamp) -> bool {
        self.state_reason.as_deref() == Some(NO_CAPACITY)
            && self.launched_at.is_some_and(|at| age(now, at) < CAPACITY_RETURNS)
            && (self.market, &self.instance_type) == (offering.market, &offering.instance_type)
            && self.subnet.as_ref().is_none_or(|subnet| *subnet == offering.subnet)
    }

    /// Returns whether it is pending or running: what runs on it, or will, goes on.
    #[must_use]
    pub fn can_run(&self) -> bool {
        matches!(self.state, InstanceState::Pending | InstanceState::Running)
    }

    /// Returns whether EC2 took its order and then could not start it for what its pool's other launches would meet, too.
    #[must_use]
    pub fn was_refused(&self) -> bool {
        self.state_reason.as_deref().is_some_and(|reason| NEVER_STARTS.contains(&reason))
    }

    /// Returns when a mark was set on this instance.
    ///
    /// A mark from before its launch (or of an unknown launch) may be another instance's: the console's "launch more like this" copies tags.
    #[must_use]
    pub fn mark(&self, mark: Mark) -> Option<Timestamp> {
        self.marks.get(mark).filter(|set| self.launched_at.is_some_and(|launched| *set >= launched))
    }
}

/// EC2's `StateReason.code` of a spot instance that it took back.
pub(super) const TAKEN_BACK: &str = "Server.SpotInstanceTermination";
/// EC2's reason for an instance that never came to run.
const NO_CAPACITY: &str = "Server.InsufficientInstanceCapacity";
/// EC2's reasons for instances that never come to run as the account and the configuration are: a quota of volumes, a
/// snapshot that is gone, a key that may not be used ("Troubleshoot Amazon EC2 instance launch issues").
const NEVER_STARTS: [&str; 3] =
    ["Client.VolumeLimitExceeded", "Client.InvalidSnapshot.NotFound", "Client.InternalError"];

/// EC2's instance states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InstanceState {
    /// Being placed.
    Pending,
    /// Started; the operating system may still be booting.
    Running,
    /// On its way to `Terminated`.
    ShuttingDown,
    /// Gone; shown for about an hour.
    Terminated,
    /// On its way to `Stopped`.
    Stopping,
    /// Never intended: our instances terminate on shutdown.
    Stopped,
}

/// How an instance is bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Market {
    /// Cheaper; EC2 may take it back with two minutes' notice.
    Spot,
    /// At the list price.
    OnDemand,
}

impl fmt::Display for Market {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Spot => "spot",
            Self::OnDemand => "on-demand",
        })
    }
}

/// One way to buy an instance: market, type and subnet. `RunInstances` takes exactly one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Offering {
    /// How it is bought.
    pub market: Market,
    /// What is bought.
    pub instance_type: String,
    /// Where it is placed; a subnet is in exactly one zone.
    pub subnet: String,
}

impl fmt::Display for Offering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.market, self.instance_type, self.subnet)
    }
}

/// A note that one run leaves for the next on the instance itself, as a tag whose value is seconds since 1970.
///
/// Tags are shared by all hosts and survive every crash; they are no lock, and none is used as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// Its runner was seen online: set once in its life, so that a short disconnect is no failed boot.
    SeenOnline,
    /// First sighting of its runner offline after it had been online; cleared when it is online again.
    OfflineSince,
    /// First sighting of its runner idle where that could end it; cleared by any sign of work.
    IdleSince,
    /// Its runner's record was looked up and is gone, by us or not, while the instance ran.
    Draining,
}

impl Mark {
    /// Every mark, in the order of an instance's life.
    pub const ALL: [Self; 4] = [Self::SeenOnline, Self::OfflineSince, Self::IdleSince, Self::Draining];

    /// Returns the EC2 tag that holds it.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::SeenOnline => "ghascale:seen-online",
            Self::OfflineSince => "ghascale:offline-since",
            Self::IdleSince => "ghascale:idle-since",
            Self::Draining => "ghascale:draining",
        }
    }
}

/// The marks an instance carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// See [`Mark::SeenOnline`].
    pub seen_online: Option<Timestamp>,
    /// See [`Mark::OfflineSince`].
    pub offline_since: Option<Timestamp>,
    /// See [`Mark::IdleSince`].
    pub idle_since: Option<Timestamp>,
    /// See [`Mark::Draining`].
    pub draining: Option<Timestamp>,
}

impl Marks {
    /// Returns when a mark was set.
    #[must_use]
    pub fn get(&self, mark: Mark) -> Option<Timestamp> {
        match mark {
            Mark::SeenOnline => self.seen_online,
            Mark::OfflineSince => self.offline_since,
            Mark::IdleSince => self.idle_since,
            Mark::Draining => self.draining,
        }
    }

    /// Sets a mark, or clears it with `None`.
    pub fn set(&mut self, mark: Mark, at: Option<Timestamp>) {
        match mark {
            Mark::SeenOnline => self.seen_online = at,
            Mark::OfflineSince => self.offline_since = at,
            Mark::IdleSince => self.idle_since = at,
            Mark::Draining => self.draining = at,
        }
    }
}

/// A self-hosted runner's record on GitHub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runner {
    /// GitHub's id.
    pub id: RunnerId,
    /// Its name, unique in the scope.
    pub name: RunnerName,
    /// Whether its listener is connected.
    pub connection: Connection,
    /// What GitHub says of it. `false` is no proof of idleness (actions/runner#4422); null is read as `true`.
    pub busy: bool,
    /// Its labels, ours of birth among them.
    pub labels: Vec<Label>,
    /// When we registered it, read off its `ghascale-…` label (see [`birth_label`]); `None` for runners that aren't ours.
    pub born: Option<Timestamp>,
}

/// Whether a runner's listener is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Connection {
    /// `online`.
    Online,
    /// `offline`.
    Offline,
    /// Null, or a word this version doesn't know: nothing is concluded from it.
    Unknown,
}

/// Returns the label that carries a registration's age and ownership: `ghascale-{born in base 36}-{nonce}`.
///
/// GitHub keeps no creation time of a runner; a label is the only field of a registration that we can write.
#[must_use]
pub fn birth_label(born: Timestamp, nonce: u64) -> Label {
    let born = u64::try_from(born.as_second()).unwrap_or(0);
    Label::new(format!("ghascale-{}-{}", base36(born), base36(nonce & 0xffff_ffff_ffff)))
}

/// Reads the time of registration back from a runner's labels.
///
/// Of several that look like one the latest counts: too young is only reaped later, too old would be reaped at once.
#[must_use]
pub fn born(labels: &[Label]) -> Option<Timestamp> {
    let births = labels.iter().filter_map(|label| {
        let (born, nonce) = label.as_str().strip_prefix("ghascale-")?.split_once('-')?;
        if nonce.is_empty() {
            return None;
        }
        Timestamp::from_second(i64::from_str_radix(born, 36).ok()?).ok()
    });
    births.max()
}

fn base36(mut number: u64) -> String {
    let mut digits = Vec::new();
    loop {
        digits.push(char::from_digit(u32::try_from(number % 36).unwrap_or(0), 36).unwrap_or('0'));
        number /= 36;
        if number == 0 {
            break;
        }
    }
    digits.iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_birth_label_carries_its_second() {
        let at = Timestamp::from_second(1_795_478_400).unwrap();
        let label = birth_label(at, 0xdead_beef_cafe_f00d);
        assert_eq!(born(&[Label::new("linux"), label.clone()]), Some(at));
        assert_eq!(born(&[Label::new("ghascale-linux-x64"), label]), Some(at), "somebody's own label is older");
    }

    #[test]
    fn other_labels_carry_no_birth() {
        for text in ["linux", "ghascale-", "ghascale-pool", "ghascale-!-x", "ghascale-zz-"] {
            assert_eq!(born(&[Label::new(text)]), None, "{text}");
        }
    }
}
