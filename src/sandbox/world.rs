//! The world's state and what may be asked of it. Pure: no HTTP, and no clock but the time it is told.
//!
//! [`time`] lets it pass, [`launch`] makes instances, [`scale_set`], [`session`] and [`dispatch`] are the Actions
//! Service's part, [`editor`], [`scale_set_editor`] and [`knobs`] let tests and scenarios put things into it and
//! disturb it.

mod delivery;
mod dispatch;
mod editor;
mod grant;
mod group;
mod index;
mod knobs;
mod launch;
mod organization;
mod registration;
mod rerun;
mod scale_set;
mod scale_set_editor;
mod session;
mod settings;
mod time;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

pub(super) use self::delivery::Delivery;
pub use self::editor::{JobEditor, RepositoryEditor, RunEditor, RunnerEditor};
pub(super) use self::grant::{Grant, Scope};
pub use self::group::RunnerGroupEditor;
pub(super) use self::group::{RunnerGroup, Visibility};
pub(super) use self::launch::{LaunchRequest, Refusal};
pub use self::organization::OrganizationEditor;
pub(super) use self::organization::{Installation, Organization};
pub(super) use self::registration::{JitRefused, RegistrationRefused, RemovalRefused};
pub(super) use self::rerun::RerunRefused;
pub(super) use self::scale_set::{ActionsService, ScaleSet, ScaleSetRefused, ScaleSetWish};
pub use self::scale_set_editor::ScaleSetEditor;
pub(super) use self::session::{Entry, EntryKind, Message, SessionRefused};
pub(super) use self::settings::take_one;
pub use self::settings::{Completions, Dispatch, ScaleSetSettings, Settings};
use crate::engine::{InstanceState, Market};

/// Everything there is: an organization's (or an enterprise's organizations') repositories, runs, jobs and runners, and one account's instances.
///
/// Its clone is another world that has begun the same.
#[derive(Clone, Debug)]
pub struct World {
    /// How fast things happen.
    pub settings: Settings,
    pub(super) now: Timestamp,
    /// Its own organization.
    pub(super) organization: String,
    /// That one and others, by login.
    pub(super) organizations: BTreeMap<String, Organization>,
    /// The enterprise that all of them are of, if there is one.
    pub(super) enterprise: Option<String>,
    pub(super) repositories: BTreeMap<String, Repository>,
    pub(super) runs: BTreeMap<u64, Run>,
    pub(super) jobs: BTreeMap<u64, Job>,
    /// The jobs that are not completed: all that time and runners have to look at.
    pub(super) open: BTreeSet<u64>,
    pub(super) runners: BTreeMap<u64, Runner>,
    pub(super) groups: Vec<RunnerGroup>,
    /// Every JIT configuration ever issued, and the runner it was issued for, who may be gone.
    pub(super) issued: BTreeMap<String, u64>,
    pub(super) arrivals: Vec<Arrival>,
    pub(super) instances: BTreeMap<String, Instance>,
    pub(super) launches: BTreeMap<launch::TokenKey, launch::Launch>,
    /// How many more of an offering (market, type, subnet) can be had; an offering that isn't listed has no end.
    pub(super) capacity: BTreeMap<(Market, String, String), u32>,
    pub(super) subnets: BTreeMap<String, Subnet>,
    /// What an hour of spare capacity costs, by type and zone; of what isn't listed there is no price.
    pub(super) spot_prices: BTreeMap<(String, String), String>,
    pub(super) images: BTreeMap<String, &'static str>,
    pub(super) tokens: BTreeMap<String, Option<Timestamp>>,
    pub(super) budget: Budget,
    pub(super) actions: ActionsService,
    /// When the requests of the last minute came in, where there is a secondary rate limit.
    pub(super) recent: VecDeque<Timestamp>,
    /// When EC2's bucket of launches will be full again, where it has one.
    pub(super) launches_full_at: Timestamp,
    /// What a webhook delivered beside what it did of jobs.
    pub(super) deliveries: Vec<Delivery>,
    index: index::Index,
    /// Until when nothing happens by itself, if nobody has changed anything since that was found out.
    quiet_until: Option<Timestamp>,
    boot_failures: u32,
    next_id: u64,
}

/// A repository.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "they are GitHub's own")]
pub(super) struct Repository {
    pub(super) id: u64,
    /// `owner/name`.
    pub(super) full_name: String,
    pub(super) archived: bool,
    pub(super) disabled: bool,
    pub(super) actions: bool,
    pub(super) private: bool,
    pub(super) created_at: Timestamp,
    pub(super) pushed_at: Timestamp,
    /// Its runs, in the order in which they were made.
    pub(super) runs: Vec<u64>,
}

/// A workflow run.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) id: u64,
    pub(super) repository: String,
    pub(super) number: u64,
    pub(super) attempt: u32,
    pub(super) workflow: String,
    pub(super) created_at: Timestamp,
    pub(super) started_at: Timestamp,
    pub(super) updated_at: Timestamp,
    pub(super) jobs_visible: bool,
    /// Its jobs, those of earlier attempts too.
    pub(super) jobs: Vec<u64>,
}

/// A job's status, as GitHub writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum JobStatus {
    /// It waits for an approval or a deployment gate.
    Waiting,
    /// It waits for its concurrency group.
    Pending,
    /// A runner could take it.
    Queued,
    /// A runner has it.
    InProgress,
    /// Done, whatever came of it.
    Completed,
}

impl JobStatus {
    /// Returns GitHub's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Pending => "pending",
            Self::Queued => "queued",
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
        }
    }
}

/// A job of one attempt of a run.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) id: u64,
    pub(super) run_id: u64,
    pub(super) attempt: u32,
    pub(super) name: String,
    pub(super) labels: Vec<String>,
    pub(super) status: JobStatus,
    pub(super) conclusion: Option<&'static str>,
    pub(super) created_at: Timestamp,
    pub(super) started_at: Option<Timestamp>,
    pub(super) completed_at: Option<Timestamp>,
    pub(super) runner: Option<GivenTo>,
    pub(super) duration: Duration,
    /// It runs on GitHub's own runners.
    pub(super) hosted: bool,
    /// The job whose end frees its concurrency group.
    pub(super) after: Option<u64>,
    /// When its runner was taken away under it.
    pub(super) lost_at: Option<Timestamp>,
}

/// The runner a job was given to, kept after the runner is gone.
#[derive(Clone, Debug)]
pub(super) struct GivenTo {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) group_id: u64,
    pub(super) group_name: String,
}

/// A runner's record.
#[derive(Clone, Debug)]
pub(super) struct Runner {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) labels: Vec<String>,
    pub(super) group_id: u64,
    /// Where it is registered.
    pub(super) scope: Scope,
    /// The scale set whose JIT configuration it was registered with: it takes that set's jobs and no others.
    pub(super) scale_set: Option<u64>,
    pub(super) ephemeral: bool,
    pub(super) online: bool,
    /// Since when it is online and without a job, or offline.
    pub(super) since: Timestamp,
}

/// Jobs to come.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) at: Timestamp,
    /// Again and again after so long; `None`: once.
    pub(super) every: Option<Duration>,
    pub(super) repository: String,
    pub(super) labels: Vec<String>,
    pub(super) duration: Duration,
    pub(super) hosted: bool,
}

/// How far the host on an instance came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Boot {
    /// It will come up.
    Ahead,
    /// It never will.
    Fails,
    /// Its listener is, or was, the one that holds the registration.
    Connected,
    /// It came up without a registration to connect as.
    Alone,
}

/// An EC2 instance.
#[derive(Clone, Debug)]
#[expect(clippy::struct_field_names, reason = "`instance_type` is EC2's word")]
pub(super) struct Instance {
    pub(super) id: String,
    pub(super) reservation: String,
    pub(super) state: InstanceState,
    pub(super) state_reason: Option<(&'static str, &'static str)>,
    pub(super) launched_at: Timestamp,
    pub(super) image: String,
    pub(super) instance_type: String,
    pub(super) subnet: String,
    pub(super) security_groups: Vec<String>,
    pub(super) market: Market,
    pub(super) client_token: String,
    pub(super) tags: BTreeMap<String, String>,
    /// The runner whose JIT configuration stands in its user data.
    pub(super) runner_id: Option<u64>,
    pub(super) boot: Boot,
    /// When its host will power itself off, whatever else happens.
    pub(super) powers_off_at: Option<Timestamp>,
    pub(super) shutting_down_at: Option<Timestamp>,
    pub(super) terminated_at: Option<Timestamp>,
    /// It is protected against termination.
    pub(super) protected: bool,
}

/// A subnet.
#[derive(Clone, Debug)]
pub(super) struct Subnet {
    pub(super) zone: String,
    pub(super) free_addresses: u32,
}

/// GitHub's primary rate limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    pub(super) limit: u32,
    pub(super) remaining: u32,
    pub(super) reset: Timestamp,
}

/// Returns spot prices of the types that the scenarios' pools launch: this world's own, and nobody's.
fn spot_prices() -> BTreeMap<(String, String), String> {
    let prices = [("m7a.large", 0.041), ("m6a.large", 0.038), ("m7g.large", 0.033), ("g5.xlarge", 0.42)];
    let price = |(instance_type, dollars): (&str, f64), (letter, more)| {
        ((instance_type.to_owned(), format!("eu-north-1{letter}")), format!("{:.6}", dollars + more))
    };
    let zones = [("a", 0.0), ("b", 0.0025), ("c", 0.001)];
    prices.into_iter().flat_map(|of_type| zones.map(|zone| price(of_type, zone))).collect()
}

impl World {
    /// Returns an organization without anything, in an account with three subnets (`subnet-a` to `subnet-c`) and the
    /// images of the example configuration.
    #[must_use]
    pub fn new(organization: &str, now: Timestamp) -> Self {
        let subnets = ["a", "b", "c"].map(|letter| {
            let zone = format!("eu-north-1{letter}");
            (format!("subnet-{letter}"), Subnet { zone, free_addresses: 4091 })
        });
        Self {
            settings: Settings::default(),
            now,
            organization: organization.to_owned(),
            organizations: BTreeMap::from([(organization.to_owned(), Organization::new(9919, organization))]),
            enterprise: None,
            repositories: BTreeMap::new(),
            runs: BTreeMap::new(),
            jobs: BTreeMap::new(),
            open: BTreeSet::new(),
            runners: BTreeMap::new(),
            groups: vec![RunnerGroup::new(1, "Default", Scope::Organization)],
            issued: BTreeMap::new(),
            arrivals: Vec::new(),
            instances: BTreeMap::new(),
            launches: BTreeMap::new(),
            capacity: BTreeMap::new(),
            subnets: BTreeMap::from(subnets),
            spot_prices: spot_prices(),
            images: BTreeMap::from([
                ("ami-0123456789abcdef0".to_owned(), "x86_64"),
                ("ami-0123456789abcdef1".to_owned(), "arm64"),
            ]),
            tokens: BTreeMap::new(),
            budget: Budget { limit: 5000, remaining: 5000, reset: now + Duration::from_hours(1) },
            actions: ActionsService::default(),
            recent: VecDeque::new(),
            launches_full_at: now,
            deliveries: Vec::new(),
            index: index::Index::new(),
            quiet_until: None,
            boot_failures: 0,
            next_id: 1,
        }
    }

    /// Returns the time of its last step.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    fn next_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    /// Returns a run's status as GitHub derives it: that of its least advanced job (cli/cli#13972), `queued` while it
    /// has none.
    pub(super) fn run_status(&self, run: &Run) -> JobStatus {
        self.jobs_of(run).map(|job| job.status).min().unwrap_or(JobStatus::Queued)
    }

    /// Returns the jobs of a run's latest attempt.
    pub(super) fn jobs_of(&self, run: &Run) -> impl Iterator<Item = &Job> {
        self.jobs_of_all_attempts(run).filter(|job| job.attempt == run.attempt)
    }

    /// Returns the jobs of all attempts of a run.
    pub(super) fn jobs_of_all_attempts(&self, run: &Run) -> impl Iterator<Item = &Job> {
        run.jobs.iter().filter_map(|id| self.jobs.get(id))
    }

    /// Returns the job that a runner has now, whatever the runner's own `busy` says.
    pub(super) fn job_on(&self, runner: u64) -> Option<&Job> {
        self.jobs_on_runners().find(|(given, _)| *given == runner).map(|(_, job)| job)
    }

    /// Returns the runners that have a job now.
    fn busy_runners(&self) -> BTreeSet<u64> {
        self.jobs_on_runners().map(|(runner, _)| runner).collect()
    }

    fn jobs_on_runners(&self) -> impl Iterator<Item = (u64, &Job)> {
        let running = self.open.iter().filter_map(|id| self.jobs.get(id));
        let running = running.filter(|job| job.status == JobStatus::InProgress && !job.hosted);
        running.filter_map(|job| Some((job.runner.as_ref()?.id, job)))
    }

    /// Returns what GitHub says of a runner, which is late by [`Settings::busy_lag`].
    pub(super) fn is_busy(&self, runner: u64) -> bool {
        self.job_on(runner)
            .and_then(|job| job.started_at)
            .is_some_and(|started| started + self.settings.busy_lag <= self.now)
    }

    /// Returns whether EC2 shows an instance yet.
    pub(super) fn is_visible(&self, instance: &Instance) -> bool {
        instance.launched_at + self.settings.invisible_for <= self.now
    }

    /// Returns how many jobs have a status.
    #[must_use]
    pub fn count_jobs(&self, status: JobStatus) -> usize {
        self.jobs.values().filter(|job| job.status == status).count()
    }

    /// Returns the runs' ids, in the order in which they were made.
    #[must_use]
    pub fn run_ids(&self) -> Vec<u64> {
        self.runs.keys().copied().collect()
    }

    /// Returns the jobs' ids, in the order in which they were made.
    #[must_use]
    pub fn job_ids(&self) -> Vec<u64> {
        self.jobs.keys().copied().collect()
    }

    /// Returns a job's status.
    #[must_use]
    pub fn job_status(&self, job: u64) -> Option<JobStatus> {
        self.jobs.get(&job).map(|job| job.status)
    }

    /// Returns how a job ended.
    #[must_use]
    pub fn job_conclusion(&self, job: u64) -> Option<&'static str> {
        self.jobs.get(&job).and_then(|job| job.conclusion)
    }

    /// Returns the name of the runner that a job was given to.
    #[must_use]
    pub fn job_runner(&self, job: u64) -> Option<String> {
        self.jobs.get(&job).and_then(|job| job.runner.as_ref()).map(|given| given.name.clone())
    }

    /// Returns the names of the runner records, sorted.
    #[must_use]
    pub fn runner_names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.runners.values().map(|runner| runner.name.clone()).collect();
        names.sort();
        names
    }

    /// Returns a runner's id by its name.
    #[must_use]
    pub fn runner_id(&self, name: &str) -> Option<u64> {
        self.runners.values().find(|runner| runner.name == name).map(|runner| runner.id)
    }

    /// Returns every JIT configuration that was issued: what must be seen nowhere but in user data.
    #[must_use]
    pub fn jit_configs(&self) -> Vec<String> {
        self.issued.keys().cloned().collect()
    }

    /// Returns each instance's id and state, in the order of their launches.
    #[must_use]
    pub fn instance_states(&self) -> Vec<(String, InstanceState)> {
        self.instances.values().map(|instance| (instance.id.clone(), instance.state)).collect()
    }

    /// Returns an instance's tags.
    #[must_use]
    pub fn tags(&self, instance: &str) -> Option<&BTreeMap<String, String>> {
        self.instances.get(instance).map(|instance| &instance.tags)
    }
}

/// Returns whether a runner with `have` may run a job that wants `want`: all of them, compared without case. A job
/// without labels names a runner group only, which this world doesn't follow.
fn can_run(want: &[String], have: &[String]) -> bool {
    !want.is_empty() && want.iter().all(|label| have.iter().any(|had| had.eq_ignore_ascii_case(label)))
}
