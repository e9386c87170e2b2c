#![allow(
    clippy::must_use_candidate,
    clippy::return_self_not_must_use,
    reason = "an editor has changed the world already; it is returned for more changes"
)]
//! Putting things into the world: what tests and scenarios write.
//!
//! ```
//! # use ghascale::sandbox::World;
//! # let mut world = World::new("acme", jiff::Timestamp::now());
//! let job = world.repository("acme/api").run().job(["self-hosted", "linux", "x64"]).id();
//! ```

use std::time::Duration;

use jiff::Timestamp;

use super::{Arrival, GivenTo, Job, JobStatus, Repository, Run, Runner, Scope, World};

/// The lowest id of the runners that GitHub itself hosts, far from ours.
const HOSTED_RUNNERS: u64 = 1_000_000_000;

impl World {
    /// Returns a repository to put things into; makes it where there is none. Without an owner the name is one of the
    /// organization's.
    pub fn repository(&mut self, name: &str) -> RepositoryEditor<'_> {
        let name = if name.contains('/') { name.to_owned() } else { format!("{}/{name}", self.organization) };
        if !self.repositories.contains_key(&name) {
            let id = 700_000 + self.next_id();
            let repository = Repository {
                id,
                full_name: name.clone(),
                archived: false,
                disabled: false,
                actions: true,
                private: true,
                created_at: self.now - Duration::from_hours(24 * 365),
                pushed_at: self.now,
                runs: Vec::new(),
            };
            self.repositories.insert(name.clone(), repository);
        }
        RepositoryEditor { world: self, name }
    }

    /// Returns a persistent runner of somebody else's, offline; makes it.
    pub fn runner<L: Into<String>>(&mut self, name: &str, labels: impl IntoIterator<Item = L>) -> RunnerEditor<'_> {
        let id = self.next_id();
        let runner = Runner {
            id,
            name: name.to_owned(),
            labels: labels.into_iter().map(Into::into).collect(),
            group_id: 1,
            scope: Scope::Organization,
            scale_set: None,
            ephemeral: false,
            online: false,
            since: self.now,
        };
        self.runners.insert(id, runner);
        RunnerEditor { world: self, id }
    }
}

/// A repository, to put things into.
#[derive(Debug)]
pub struct RepositoryEditor<'world> {
    world: &'world mut World,
    name: String,
}

impl<'world> RepositoryEditor<'world> {
    fn edit(self, change: impl FnOnce(&mut Repository)) -> Self {
        if let Some(repository) = self.world.repositories.get_mut(&self.name) {
            change(repository);
        }
        self
    }

    /// Returns its full name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Archives it.
    pub fn archived(self) -> Self {
        self.edit(|repository| repository.archived = true)
    }

    /// Disables it.
    pub fn disabled(self) -> Self {
        self.edit(|repository| repository.disabled = true)
    }

    /// Switches GitHub Actions off in it.
    pub fn without_actions(self) -> Self {
        self.edit(|repository| repository.actions = false)
    }

    /// Makes it public.
    pub fn public(self) -> Self {
        self.edit(|repository| repository.private = false)
    }

    /// Takes it away, and its runs with it.
    pub fn delete(self) {
        let gone = self.world.repositories.remove(&self.name);
        for id in gone.map(|repository| repository.runs).unwrap_or_default() {
            let jobs = self.world.runs.remove(&id).map(|run| run.jobs).unwrap_or_default();
            for job in jobs {
                self.world.jobs.remove(&job);
                self.world.open.remove(&job);
            }
        }
    }

    /// Lets jobs arrive from now on, each in a run of its own.
    pub fn arriving<L: Into<String>>(
        self,
        every: Duration,
        labels: impl IntoIterator<Item = L>,
        lasting: Duration,
    ) -> Self {
        self.arrival(every, labels, lasting, false)
    }

    /// Lets jobs for GitHub's own runners arrive from now on.
    pub fn arriving_hosted(self, every: Duration, lasting: Duration) -> Self {
        self.arrival(every, ["ubuntu-latest"], lasting, true)
    }

    fn arrival<L: Into<String>>(
        self,
        every: Duration,
        labels: impl IntoIterator<Item = L>,
        duration: Duration,
        hosted: bool,
    ) -> Self {
        self.world.arrivals.push(Arrival {
            at: self.world.now + every,
            every: Some(every.max(Duration::from_secs(1))),
            repository: self.name.clone(),
            labels: labels.into_iter().map(Into::into).collect(),
            duration,
            hosted,
        });
        self
    }

    /// Starts a run, without jobs yet.
    pub fn run(self) -> RunEditor<'world> {
        let world = self.world;
        let id = 19_000_000_000 + world.next_id();
        let now = world.now;
        let number = world.repositories.get_mut(&self.name).map_or(1, |repository| {
            repository.pushed_at = now;
            repository.runs.push(id);
            repository.runs.len() as u64
        });
        world.runs.insert(
            id,
            Run {
                id,
                repository: self.name,
                number,
                attempt: 1,
                workflow: "build".to_owned(),
                created_at: now,
                started_at: now,
                updated_at: now,
                jobs_visible: true,
                jobs: Vec::new(),
            },
        );
        RunEditor { world, id }
    }
}

/// A run, to put jobs into.
#[derive(Debug)]
pub struct RunEditor<'world> {
    world: &'world mut World,
    id: u64,
}

impl<'world> RunEditor<'world> {
    fn edit(self, change: impl FnOnce(&mut Run)) -> Self {
        if let Some(run) = self.world.runs.get_mut(&self.id) {
            change(run);
        }
        self
    }

    /// Names its workflow.
    pub fn workflow(self, name: &str) -> Self {
        self.edit(|run| name.clone_into(&mut run.workflow))
    }

    /// Lets it have begun so long ago. The jobs that it gets afterwards are as old.
    pub fn aged(self, by: Duration) -> Self {
        self.edit(|run| {
            for at in [&mut run.created_at, &mut run.started_at, &mut run.updated_at] {
                *at -= by;
            }
        })
    }

    /// Hides its jobs: the list of them answers 404, as GitHub Enterprise does for a while after a run began.
    pub fn with_hidden_jobs(self) -> Self {
        self.edit(|run| run.jobs_visible = false)
    }

    /// Gives it a job that a runner with all these labels could take.
    pub fn job<L: Into<String>>(self, labels: impl IntoIterator<Item = L>) -> JobEditor<'world> {
        let world = self.world;
        let id = 53_000_000_000 + world.next_id();
        let duration = world.settings.job_duration;
        let (created_at, attempt, number) = match world.runs.get_mut(&self.id) {
            Some(run) => {
                run.jobs.push(id);
                (run.started_at, run.attempt, run.jobs.len())
            }
            None => (world.now, 1, 1),
        };
        let job = Job {
            id,
            run_id: self.id,
            attempt,
            name: format!("job-{number}"),
            labels: labels.into_iter().map(Into::into).collect(),
            status: JobStatus::Queued,
            conclusion: None,
            created_at,
            started_at: None,
            completed_at: None,
            runner: None,
            duration,
            hosted: false,
            after: None,
            lost_at: None,
        };
        world.jobs.insert(id, job);
        world.open.insert(id);
        JobEditor { world, run: self.id, id }
    }

    /// Runs it again: a new attempt, as yet without jobs; those of the attempt before are completed.
    pub fn again(self) -> Self {
        let now = self.world.now;
        let jobs = self.world.runs.get(&self.id).map(|run| run.jobs.clone()).unwrap_or_default();
        for id in jobs {
            if self.world.open.remove(&id)
                && let Some(job) = self.world.jobs.get_mut(&id)
            {
                job.status = JobStatus::Completed;
                job.conclusion = Some("cancelled");
                job.completed_at = Some(now);
            }
        }
        self.edit(|run| {
            run.attempt += 1;
            run.started_at = now;
            run.updated_at = now;
        })
    }

    /// Returns its id.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }
}

impl World {
    /// Returns a run to change.
    pub fn run(&mut self, id: u64) -> RunEditor<'_> {
        RunEditor { world: self, id }
    }
}

/// A job, to change.
#[derive(Debug)]
pub struct JobEditor<'world> {
    world: &'world mut World,
    run: u64,
    id: u64,
}

impl<'world> JobEditor<'world> {
    fn edit(self, change: impl FnOnce(&mut Job)) -> Self {
        if let Some(job) = self.world.jobs.get_mut(&self.id) {
            change(job);
        }
        self
    }

    /// Names it.
    pub fn named(self, name: &str) -> Self {
        self.edit(|job| name.clone_into(&mut job.name))
    }

    /// Lets it run for so long.
    pub fn lasting(self, duration: Duration) -> Self {
        self.edit(|job| job.duration = duration)
    }

    /// Lets it wait for an approval.
    pub fn waiting(self) -> Self {
        self.edit(|job| job.status = JobStatus::Waiting)
    }

    /// Lets it wait for its concurrency group, until another job ends.
    pub fn pending_until(self, other: u64) -> Self {
        self.edit(|job| {
            job.status = JobStatus::Pending;
            job.after = Some(other);
        })
    }

    /// Lets one of GitHub's own runners take it, after [`super::Settings::hosted_delay`].
    pub fn hosted(self) -> Self {
        self.edit(|job| job.hosted = true)
    }

    /// Lets one of GitHub's own runners have it already.
    pub fn on_hosted_runner(self) -> Self {
        let now = self.world.now;
        self.edit(|job| {
            job.hosted = true;
            job.start_hosted(now);
        })
    }

    /// Lets a runner have it already.
    pub fn on_runner(self, runner: u64) -> Self {
        self.world.start_job(self.id, runner);
        self
    }

    /// Gives the same run another job.
    pub fn job<L: Into<String>>(self, labels: impl IntoIterator<Item = L>) -> JobEditor<'world> {
        RunEditor { world: self.world, id: self.run }.job(labels)
    }

    /// Returns its id.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Returns its run's id.
    #[must_use]
    pub fn run_id(&self) -> u64 {
        self.run
    }
}

impl World {
    /// Gives a job to a runner.
    pub(super) fn start_job(&mut self, job: u64, runner: u64) {
        let now = self.now;
        let Some(record) = self.runners.get(&runner) else { return };
        let group = self.group_at(&record.scope, record.group_id);
        let given = GivenTo {
            id: record.id,
            name: record.name.clone(),
            group_id: record.group_id,
            group_name: group.map(|group| group.name.clone()).unwrap_or_default(),
        };
        let Some(job) = self.jobs.get_mut(&job) else { return };
        job.status = JobStatus::InProgress;
        job.started_at = Some(now);
        job.runner = Some(given);
        let run = job.run_id;
        self.touch(run);
    }
}

impl Job {
    /// Lets one of GitHub's own runners start it.
    pub(super) fn start_hosted(&mut self, at: Timestamp) {
        self.status = JobStatus::InProgress;
        self.started_at = Some(at);
        self.runner = Some(GivenTo {
            id: HOSTED_RUNNERS + self.id % HOSTED_RUNNERS,
            name: format!("GitHub Actions {HOSTED_RUNNERS}"),
            group_id: 0,
            group_name: "GitHub Actions".to_owned(),
        });
    }
}

/// Somebody else's runner, to change.
#[derive(Debug)]
pub struct RunnerEditor<'world> {
    world: &'world mut World,
    id: u64,
}

impl RunnerEditor<'_> {
    fn edit(self, change: impl FnOnce(&mut Runner)) -> Self {
        if let Some(runner) = self.world.runners.get_mut(&self.id) {
            change(runner);
        }
        self
    }

    /// Connects it.
    pub fn online(self) -> Self {
        self.edit(|runner| runner.online = true)
    }

    /// Makes it one that runs a single job, after which its record goes.
    pub fn ephemeral(self) -> Self {
        self.edit(|runner| runner.ephemeral = true)
    }

    /// Registers it at one repository and not at the organization.
    pub fn of_repository(self, name: &str) -> Self {
        self.edit(|runner| runner.scope = Scope::Repository(name.to_owned()))
    }

    /// Returns its id.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }
}
