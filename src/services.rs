//! The two services that ghascale acts on, as narrow as `apply` and re-runs need them.
//!
//! Each trait has two implementations: the service itself ([`crate::github`], [`crate::ec2`]) and the simulated world
//! of the tests. Nothing here retries: who may repeat a call depends on what it creates, and `apply` knows that.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use futures::future::LocalBoxFuture;
use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::engine::{
    Demand, InstanceId, JobId, Label, LatestAttempt, Mark, Offering, PoolName, Price, RepositoryName, RunId, Runner,
    RunnerId, RunnerName, Slot, Source, SpotJobs,
};
use crate::scale_set::ScaleSetId;
use crate::{ec2, github};

/// Time, injected so that tests own it.
pub trait Clock {
    /// Returns the time of day.
    fn now(&self) -> Timestamp;
    /// Waits.
    fn sleep(&self, time: Duration) -> impl Future<Output = ()>;
}

/// The machine's own clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

/// The runner records of the scope.
pub trait RunnerRecords {
    /// Registers a runner, once: the request is never repeated by itself, since a lost answer may hide a success.
    fn register(&self, registration: &Registration) -> impl Future<Output = Result<Registered, github::Error>>;
    /// Returns a record by its id.
    fn runner(&self, id: RunnerId) -> impl Future<Output = Result<Option<Runner>, github::Error>>;
    /// Returns the record that holds a name.
    fn runner_named(&self, name: &RunnerName) -> impl Future<Output = Result<Option<Runner>, github::Error>>;
    /// Deletes a record, under the id that lists show.
    fn remove(&self, id: RunnerId) -> impl Future<Output = Result<Removed, github::Error>>;
    /// Deletes a record, under the id that its registration in that book was answered with.
    fn undo(&self, id: RunnerId, book: Source) -> impl Future<Output = Result<Removed, github::Error>>;
}

/// The jobs of the scope.
pub trait Jobs {
    /// Reads all of them, now.
    fn read(&self) -> LocalBoxFuture<'_, Result<Demand, github::Error>>;
}

/// What a just-in-time registration asks for.
#[derive(Clone, Debug)]
pub struct Registration {
    /// The slot's name.
    pub name: RunnerName,
    /// Where it is registered.
    pub place: Place,
}

/// Where a runner is registered, and with it which jobs it can get.
#[derive(Clone, Debug)]
pub enum Place {
    /// In a runner group, with labels of its own: it gets any job that asks for no others.
    Group {
        /// The runner group, by name; a repository has only `Default`.
        name: String,
        /// All labels: a just-in-time runner gets none by itself.
        labels: Vec<Label>,
    },
    /// In a scale set, whose group and labels it has: it gets only jobs that were assigned to the set.
    ScaleSet(ScaleSetId),
}

impl Place {
    /// Returns which book's jobs a runner gets that is registered here.
    #[must_use]
    pub fn source(&self) -> Source {
        match self {
            Self::Group { .. } => Source::Rest,
            Self::ScaleSet(_) => Source::ScaleSet,
        }
    }
}

/// What GitHub answered to a registration.
#[derive(Debug)]
pub enum Registered {
    /// The record is ours, and this is the only copy of its key.
    New {
        /// The record's id.
        runner_id: RunnerId,
        /// What the runner starts with: base64, several KiB, single use.
        jit_config: SecretString,
    },
    /// 409: a record has this name already.
    NameTaken,
}

/// What GitHub answered to a deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// 204: the record is gone. No proof that no job ran (terraform-aws-github-runner#5085).
    Gone {
        /// `x-github-request-id`.
        request_id: Option<String>,
    },
    /// 404: there was none.
    Absent {
        /// `x-github-request-id`.
        request_id: Option<String>,
    },
    /// 422: it is running a job.
    Busy {
        /// `x-github-request-id`.
        request_id: Option<String>,
    },
}

/// Workflow runs, to run jobs of them once more.
pub trait Runs {
    /// Returns a run and, where it is completed in its first attempt, its jobs; `None`: it is not there, or not visible
    /// to us.
    fn latest_attempt(
        &self,
        repository: &RepositoryName,
        id: RunId,
    ) -> impl Future<Output = Result<Option<LatestAttempt>, github::Error>>;
    /// Runs one job again and those that depend on it, once: a lost answer may hide a success. Returns GitHub's id of the
    /// request.
    fn rerun_job(
        &self,
        repository: &RepositoryName,
        job: JobId,
    ) -> impl Future<Output = Result<Option<String>, github::Error>>;
    /// Runs all failed jobs of a run again and those that depend on them, once, as above.
    fn rerun_failed_jobs(
        &self,
        repository: &RepositoryName,
        run: RunId,
    ) -> impl Future<Output = Result<Option<String>, github::Error>>;
}

/// What a host remembers of the jobs on spot instances, from one observation to the next.
pub trait SpotMemory {
    /// Returns the jobs that this host saw on spot instances; of another scope there are none.
    fn spot_jobs(&self, fleet: &str, scope: &str) -> SpotJobs;
    /// Remembers the jobs that are on spot instances, in place of those that were.
    ///
    /// # Errors
    /// They could not be kept. Nothing is lost with it but re-runs.
    fn remember_spot_jobs(&self, fleet: &str, scope: &str, jobs: &SpotJobs) -> io::Result<()>;
}

/// A registration for which no instance has been ordered yet. Its key is in the memory of the process that made it, and
/// nowhere else: when that process is gone, nobody can ever connect as this runner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unordered {
    /// The runner's name.
    pub name: RunnerName,
    /// What tells its record from another of its name.
    pub mark: Birthmark,
}

/// What no other record has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Birthmark {
    /// Its label of birth, chosen before it was registered.
    Label(Label),
    /// The id that the Actions Service gave it.
    Id(RunnerId),
}

/// This host's memory of registrations without an order, for whoever runs after a process that died.
pub trait Memory {
    /// Notes one. What can't be kept is as if it had never been noted.
    fn note(&self, registration: Unordered) -> Box<dyn Note>;
}

/// A note that a registration has no order. While its process lives, nobody else heeds it.
pub trait Note {
    /// Sets it again: what was ordered was refused.
    fn set(&mut self);
    /// Takes it away: from here on an order may be under way.
    ///
    /// # Errors
    /// It is still there, and so nothing may be ordered.
    fn lift(&mut self) -> io::Result<()>;
}

/// The EC2 instances.
pub trait Instances {
    /// Asks whatever must be known before a request can be sent: nothing is launched by it.
    fn prepare(&self, request: &RunInstance) -> impl Future<Output = Result<(), ec2::Error>>;
    /// Sends one `RunInstances` for one instance, with no retry of the SDK's.
    fn run(&self, request: &RunInstance) -> impl Future<Output = Result<Launched, ec2::Error>>;
    /// Returns the client token of a request: the same for the same request, another for any other.
    ///
    /// # Errors
    /// Fails where the request can't be made at all: its pool has no launch settings, its user data is too large.
    fn client_token(&self, request: &RunInstance) -> Result<String, ec2::Error>;
    /// Returns the live instance that carries a runner's id in its tags, if EC2 shows one.
    fn launched_for(&self, id: RunnerId) -> impl Future<Output = Result<Option<InstanceId>, ec2::Error>>;
    /// Returns the instance that a client token launched, if EC2 shows one.
    fn launched_with(&self, token: &str) -> impl Future<Output = Result<Option<InstanceId>, ec2::Error>>;
    /// Terminates instances with one call; returns EC2's request id.
    ///
    /// EC2 refuses the whole call for one id that it doesn't know. For one that may not be ended it refuses it too, and
    /// has ended those of other zones all the same. To end an instance again changes nothing.
    fn terminate(&self, ids: &[InstanceId]) -> impl Future<Output = Result<Option<String>, ec2::Error>>;
    /// Sets or, with `None`, clears a mark; returns EC2's request id.
    fn mark(
        &self,
        id: &InstanceId,
        mark: Mark,
        at: Option<Timestamp>,
    ) -> impl Future<Output = Result<Option<String>, ec2::Error>>;
}

/// What EC2 asks for its spare capacity.
pub trait SpotPrices {
    /// Returns what an hour costs now, by instance type and subnet; what EC2 doesn't tell is missing.
    fn spot_prices(
        &self,
        wish: &SpotWish,
    ) -> impl Future<Output = Result<BTreeMap<(String, String), Price>, ec2::Error>>;
}

/// The spot prices that are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpotWish {
    /// Of these instance types,
    pub types: BTreeSet<String>,
    /// in the zones of these subnets.
    pub subnets: BTreeSet<String>,
}

/// One instance to launch, whole: the same value always makes the same request.
#[derive(Clone, Debug)]
pub struct RunInstance {
    /// The pool, whose launch settings (image, security groups, tags) the EC2 client knows.
    pub pool: PoolName,
    /// The slot.
    pub slot: Slot,
    /// The runner's name: the `Name` tag.
    pub name: RunnerName,
    /// The record it will connect as: the `ghascale:runner-id` tag.
    pub runner_id: RunnerId,
    /// Market, type and subnet.
    pub offering: Offering,
    /// Goes into the user data, and nowhere else.
    pub jit_config: SecretString,
}

/// What EC2 answered to a launch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launched {
    /// The instance.
    pub instance_id: InstanceId,
    /// EC2's request id.
    pub request_id: Option<String>,
}
