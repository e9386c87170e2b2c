//! How time passes: what is due happens, one thing after the other, each at its own time.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::dispatch::SetEvent;
use super::{Boot, Instance, JobStatus, World, can_run};
use crate::engine::{InstanceState, Label, Mark, birth_label, born};

/// EC2 shows a terminated instance for about an hour.
const TERMINATED_SHOWN: Duration = Duration::from_hours(1);
/// GitHub gives up a job whose runner lost contact after about ten minutes.
const LOST_CONTACT: Duration = Duration::from_mins(10);
/// GitHub forgets an ephemeral runner after a day without contact.
const RECORD_KEPT: Duration = Duration::from_hours(24);
/// A repeating arrival holds back while so many of its repository's jobs wait: nobody may be there to run them.
const WAITING_AT_MOST: usize = 12;

/// Something that will happen by itself. Of two that are due at once, the smaller is first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    BudgetResets,
    Arrives(usize),
    HostedStarts(u64),
    JobEnds(u64),
    Runs(String),
    Boots(String),
    PowersOff(String),
    Terminates(String),
    IsForgotten(String),
    RecordExpires(u64),
    OfSets(SetEvent),
}

impl World {
    /// Lets everything happen that is due at `now`; a time before the last step's changes nothing.
    pub fn step(&mut self, now: Timestamp) {
        self.settle();
        loop {
            let next = self.next_event();
            self.quiet_until = next.as_ref().map(|(at, _)| *at);
            let Some((at, event)) = next.filter(|(at, _)| *at <= now) else { break };
            self.now = self.now.max(at);
            self.happen(event);
            self.settle();
        }
        self.now = self.now.max(now);
        self.note_changes();
    }

    /// The same for who has changed nothing since the last step but what nothing comes of by itself, and will not: then it
    /// is known when something is due.
    pub(in crate::sandbox) fn go_on(&mut self, now: Timestamp) {
        match self.quiet_until {
            Some(until) if until > now => self.now = self.now.max(now),
            _ => self.step(now),
        }
    }

    /// Says that whoever has the world now may change anything.
    pub(in crate::sandbox) fn may_change(&mut self) {
        self.quiet_until = None;
    }

    /// Makes everything older by a duration, and then lets happen what is due.
    ///
    /// Nothing is left behind: the marks on instances and the birth labels of runners, which ghascale wrote, get older
    /// too (by whole seconds).
    pub fn advance(&mut self, by: Duration) {
        let now = self.now;
        self.shift(SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX));
        self.now = now - by;
        self.step(now);
    }

    /// Returns the world as if it had come to be what it is by `now`: everything in it is as old as it was.
    #[must_use]
    pub fn as_of(mut self, now: Timestamp) -> Self {
        self.shift(self.now.duration_since(now));
        self.now = now;
        self
    }

    fn next_event(&self) -> Option<(Timestamp, Event)> {
        let arrivals = self.arrivals.iter().enumerate().map(|(index, arrival)| (arrival.at, Event::Arrives(index)));
        let jobs = self.open.iter().filter_map(|id| self.jobs.get(id)).filter_map(|job| match job.status {
            JobStatus::Queued if job.hosted => {
                Some((job.created_at + self.settings.hosted_delay, Event::HostedStarts(job.id)))
            }
            JobStatus::InProgress => {
                let ends = match job.lost_at {
                    Some(lost) => lost + LOST_CONTACT,
                    None => job.started_at? + job.duration,
                };
                Some((ends, Event::JobEnds(job.id)))
            }
            _ => None,
        });
        let busy = self.busy_runners();
        let instances = self.instances.values().filter_map(|instance| self.next_event_of(instance, &busy));
        let records = self
            .runners
            .values()
            .filter(|runner| runner.ephemeral && !runner.online)
            .map(|runner| (runner.since + RECORD_KEPT, Event::RecordExpires(runner.id)));
        let budget = std::iter::once((self.budget.reset, Event::BudgetResets));
        let sets = self.next_set_event().map(|(at, event)| (at, Event::OfSets(event)));
        arrivals.chain(jobs).chain(instances).chain(records).chain(budget).chain(sets).min()
    }

    fn next_event_of(&self, instance: &Instance, busy: &BTreeSet<u64>) -> Option<(Timestamp, Event)> {
        let id = instance.id.clone();
        Some(match instance.state {
            InstanceState::Pending => (instance.launched_at + self.settings.running_after, Event::Runs(id)),
            InstanceState::Running => {
                let boots = (instance.boot == Boot::Ahead && instance.runner_id.is_some())
                    .then(|| (instance.launched_at + self.settings.boot, Event::Boots(id.clone())));
                let idle = instance
                    .runner_id
                    .filter(|_| instance.boot == Boot::Connected)
                    .and_then(|runner| self.runners.get(&runner))
                    .filter(|runner| runner.online && !busy.contains(&runner.id))
                    .map(|runner| runner.since + self.settings.idle_timeout);
                let off = instance.powers_off_at.into_iter().chain(idle).min().map(|at| (at, Event::PowersOff(id)));
                return boots.into_iter().chain(off).min();
            }
            InstanceState::ShuttingDown => (instance.shutting_down_at? + self.settings.shutdown, Event::Terminates(id)),
            InstanceState::Terminated => (instance.terminated_at? + TERMINATED_SHOWN, Event::IsForgotten(id)),
            InstanceState::Stopping | InstanceState::Stopped => return None,
        })
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::BudgetResets => {
                self.budget.remaining = self.budget.limit;
                for installation in self.organizations.values_mut().filter_map(|one| one.installation.as_mut()) {
                    installation.remaining = self.budget.limit;
                }
                self.budget.reset = self.now + Duration::from_hours(1);
            }
            Event::Arrives(index) => self.arrive(index),
            Event::HostedStarts(job) => self.start_hosted(job),
            Event::JobEnds(job) => self.end_job(job),
            Event::Runs(id) => self.instance(&id).state = InstanceState::Running,
            Event::Boots(id) => self.boot(&id),
            Event::PowersOff(id) => self.shut_down(
                &id,
                ("Client.InstanceInitiatedShutdown", "Client.InstanceInitiatedShutdown: Instance initiated shutdown"),
            ),
            Event::Terminates(id) => {
                let now = self.now;
                let instance = self.instance(&id);
                instance.state = InstanceState::Terminated;
                instance.terminated_at = Some(now);
                let subnet = instance.subnet.clone();
                if let Some(subnet) = self.subnets.get_mut(&subnet) {
                    subnet.free_addresses += 1;
                }
            }
            Event::IsForgotten(id) => {
                self.instances.remove(&id);
            }
            Event::RecordExpires(id) => {
                self.runners.remove(&id);
            }
            Event::OfSets(event) => self.happen_to_sets(&event),
        }
    }

    fn instance(&mut self, id: &str) -> &mut Instance {
        self.instances.get_mut(id).expect("events are made of instances that exist")
    }

    fn arrive(&mut self, index: usize) {
        let arrival = &mut self.arrivals[index];
        let (repository, labels, duration, hosted) =
            (arrival.repository.clone(), arrival.labels.clone(), arrival.duration, arrival.hosted);
        match arrival.every {
            Some(every) => arrival.at += every,
            None => {
                self.arrivals.remove(index);
            }
        }
        let waiting = self.open.iter().filter_map(|id| self.jobs.get(id)).filter(|job| {
            job.status == JobStatus::Queued
                && self.runs.get(&job.run_id).is_some_and(|run| run.repository == repository)
        });
        if waiting.count() >= WAITING_AT_MOST {
            return;
        }
        let job = self.repository(&repository).run().job(labels).lasting(duration);
        if hosted {
            job.hosted();
        }
    }

    fn start_hosted(&mut self, id: u64) {
        let now = self.now;
        if let Some(job) = self.jobs.get_mut(&id) {
            job.start_hosted(now);
            let run = job.run_id;
            self.touch(run);
        }
    }

    /// Gives each queued job, oldest first, to the longest registered idle runner that may run it.
    pub(super) fn give_jobs_to_runners(&mut self) {
        let busy = self.busy_runners();
        let mut idle: Vec<u64> = self
            .runners
            .values()
            .filter(|runner| runner.online && !busy.contains(&runner.id))
            .map(|runner| runner.id)
            .collect();
        if idle.is_empty() {
            return;
        }
        let queued = self.open.iter().filter_map(|id| self.jobs.get(id));
        let queued = queued.filter(|job| job.status == JobStatus::Queued && !job.hosted);
        let mut queued: Vec<_> = queued.map(|job| (job.created_at, job.id)).collect();
        queued.sort();
        for (_, job) in queued {
            if let Some(index) = idle.iter().position(|runner| self.may_run(*runner, job)) {
                self.start_job(job, idle.remove(index));
            }
        }
    }

    fn may_run(&self, runner: u64, job: u64) -> bool {
        let (Some(runner), Some(job)) = (self.runners.get(&runner), self.jobs.get(&job)) else { return false };
        if let Some(set) = runner.scale_set {
            return self.is_assigned(job.id, set);
        }
        let Some(repository) = self.runs.get(&job.run_id).map(|run| &run.repository) else { return false };
        let here = self.serves(&runner.scope, runner.group_id, repository);
        here && !self.is_held(job.id) && can_run(&job.labels, &runner.labels)
    }

    fn boot(&mut self, id: &str) {
        let now = self.now;
        let registration = self.instance(id).runner_id;
        let record = registration.and_then(|runner| self.runners.get_mut(&runner)).filter(|runner| !runner.online);
        let connected = record.is_some();
        if let Some(runner) = record {
            runner.online = true;
            runner.since = now;
        }
        let instance = self.instance(id);
        if connected {
            instance.boot = Boot::Connected;
        } else {
            // "registration has been deleted", or another listener holds it: `run.sh` ends, and the host with it.
            instance.boot = Boot::Alone;
            instance.powers_off_at = Some(now);
        }
    }

    pub(super) fn end_job(&mut self, id: u64) {
        let now = self.now;
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.status = JobStatus::Completed;
        job.conclusion = Some(if job.lost_at.is_some() { "failure" } else { "success" });
        job.completed_at = Some(now);
        let (run, hosted, given) = (job.run_id, job.hosted, job.runner.clone());
        self.open.remove(&id);
        self.touch(run);
        self.free_concurrency_group(id);
        let Some(given) = given.filter(|_| !hosted) else { return };
        if self.runners.get(&given.id).is_some_and(|runner| runner.ephemeral) {
            self.runners.remove(&given.id);
        } else if let Some(runner) = self.runners.get_mut(&given.id) {
            runner.since = now;
        }
        if let Some(host) = self.host_of(given.id) {
            host.powers_off_at = Some(now);
        }
    }

    fn free_concurrency_group(&mut self, ended: u64) {
        let now = self.now;
        for id in self.open.clone() {
            let Some(job) = self.jobs.get_mut(&id).filter(|job| job.after == Some(ended)) else { continue };
            job.status = JobStatus::Queued;
            job.after = None;
            job.created_at = job.created_at.min(now);
            let run = job.run_id;
            self.touch(run);
        }
    }

    /// Takes an instance down, and its runner's connection with it.
    pub(super) fn shut_down(&mut self, id: &str, reason: (&'static str, &'static str)) {
        let now = self.now;
        let instance = self.instance(id);
        if matches!(instance.state, InstanceState::ShuttingDown | InstanceState::Terminated) {
            return;
        }
        instance.state = InstanceState::ShuttingDown;
        instance.shutting_down_at = Some(now);
        instance.state_reason = Some(reason);
        let Some(runner) = instance.runner_id.filter(|_| instance.boot == Boot::Connected) else { return };
        if let Some(record) = self.runners.get_mut(&runner).filter(|record| record.online) {
            record.online = false;
            record.since = now;
        }
        self.lose_job_of(runner, now);
    }

    /// Returns the running instance on which a runner's listener is.
    pub(super) fn host_of(&mut self, runner: u64) -> Option<&mut Instance> {
        self.instances.values_mut().find(|instance| {
            instance.runner_id == Some(runner)
                && instance.boot == Boot::Connected
                && instance.state == InstanceState::Running
        })
    }

    /// Takes the runner away under the job that it has.
    pub(super) fn lose_job_of(&mut self, runner: u64, at: Timestamp) {
        let Some(id) = self.job_on(runner).map(|job| job.id) else { return };
        if let Some(job) = self.jobs.get_mut(&id) {
            job.lost_at.get_or_insert(at);
        }
    }

    /// Notes on a run that something changed in it.
    pub(super) fn touch(&mut self, run: u64) {
        let now = self.now;
        if let Some(run) = self.runs.get_mut(&run) {
            run.updated_at = now;
        }
    }

    /// Makes everything older by a duration; younger, by a negative one.
    fn shift(&mut self, by: SignedDuration) {
        self.quiet_until = None;
        let older = |at: &mut Timestamp| *at -= by;
        for repository in self.repositories.values_mut() {
            older(&mut repository.created_at);
            older(&mut repository.pushed_at);
        }
        for run in self.runs.values_mut() {
            older(&mut run.created_at);
            older(&mut run.started_at);
            older(&mut run.updated_at);
        }
        for job in self.jobs.values_mut() {
            older(&mut job.created_at);
            for at in [&mut job.started_at, &mut job.completed_at, &mut job.lost_at] {
                at.as_mut().map(older);
            }
        }
        for runner in self.runners.values_mut() {
            older(&mut runner.since);
            runner.labels.iter_mut().for_each(|label| shift_birth(label, by));
        }
        for instance in self.instances.values_mut() {
            older(&mut instance.launched_at);
            for at in [&mut instance.powers_off_at, &mut instance.shutting_down_at, &mut instance.terminated_at] {
                at.as_mut().map(older);
            }
            for mark in Mark::ALL {
                if let Some(value) = instance.tags.get_mut(mark.tag())
                    && let Ok(seconds) = value.parse::<i64>()
                {
                    *value = (seconds - by.as_secs()).to_string();
                }
            }
        }
        self.arrivals.iter_mut().for_each(|arrival| older(&mut arrival.at));
        self.deliveries.iter_mut().for_each(|delivery| older(&mut delivery.at));
        older(&mut self.launches_full_at);
        self.index.values_mut().flatten().for_each(|(at, _)| older(at));
        self.tokens.values_mut().filter_map(Option::as_mut).for_each(older);
        older(&mut self.budget.reset);
        self.actions.each_time(older);
    }
}

/// Rewrites a birth label with another second and the same nonce; leaves any other label alone.
fn shift_birth(label: &mut String, by: SignedDuration) {
    let Some(at) = born(&[Label::new(label.as_str())]) else { return };
    let Some((_, nonce)) = label.rsplit_once('-') else { return };
    if let Ok(nonce) = u64::from_str_radix(nonce, 36) {
        birth_label(at - SignedDuration::from_secs(by.as_secs()), nonce).as_str().clone_into(label);
    }
}
