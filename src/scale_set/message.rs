//! What a message session brings: messages, and the jobs they speak of.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use crate::ages::age;
use crate::engine::{Label, RepositoryName, RunId, RunnerId, RunnerName, Statistics};

/// One message of a scale set's queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its id: what acknowledging names, and the cursor behind it. They grow within one session.
    pub id: i64,
    /// What the service calls it; `RunnerScaleSetJobMessages` is the only one known. Of others only the id and the
    /// statistics are read.
    pub kind: String,
    /// The seven counts at that time; `None` where the service left them out.
    pub statistics: Option<Statistics>,
    /// What happened to which jobs, in the service's order; at most 50 entries, so never the whole truth.
    pub jobs: Vec<JobMessage>,
    /// Entries that could not be read.
    pub unreadable: usize,
}

/// What happened to one job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobMessage {
    /// What happened.
    pub event: JobEvent,
    /// The job.
    pub key: JobKey,
    /// The offer's id: what acquiring names; 0 where GitHub assigns jobs directly.
    pub runner_request_id: u64,
    /// The repository it belongs to; `None` where the service left out its name or its owner's.
    pub repository: Option<RepositoryName>,
    /// The run it belongs to, the same number as the REST API's; 0: not said.
    pub run_id: RunId,
    /// The job's name, as the REST API has it too.
    pub name: String,
    /// What the job asks for.
    pub labels: Vec<Label>,
    /// When it was queued.
    pub queued_at: Option<Timestamp>,
    /// When it was assigned to the scale set.
    pub assigned_at: Option<Timestamp>,
    /// When a runner was assigned to it.
    pub runner_assigned_at: Option<Timestamp>,
    /// When it was finished.
    pub finished_at: Option<Timestamp>,
}

/// What can happen to a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobEvent {
    /// It is offered to every scale set that fits; the first to acquire it gets it (acquire mode only).
    Available,
    /// It is the scale set's, and needs a runner.
    Assigned,
    /// A runner of the set took it: not always the one that was launched for it.
    Started(JobRunner),
    /// It is over, or its assignment lapsed. A hint, and no authority to end anything: it may come minutes late, never,
    /// or while the job still runs (actions/runner#4492).
    Completed {
        /// `succeeded`, `failed`, `canceled`, `ignored`, `abandoned`, or another word; `canceled` without a runner is an
        /// assignment that lapsed.
        result: String,
        /// The runner that had it.
        runner: JobRunner,
    },
    /// Something that we don't know, by the service's name.
    Unknown(String),
}

/// The runner that has, or had, a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRunner {
    /// Its record's id; `None`: no runner.
    pub id: Option<RunnerId>,
    /// Its name; `None`: no runner.
    pub name: Option<RunnerName>,
}

/// What tells one job from another. Neither of the service's two numbers does alone: where GitHub assigns jobs directly
/// the request's id is 0, where they are acquired the job's id may be empty. An offer may lack the job's id that the
/// assignment has, so from the one to the other leads [`JobMessage::runner_request_id`] and not the key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JobKey {
    /// The service's id of the job (a GUID, not the REST API's number). A lapsed assignment comes back under another.
    Job(String),
    /// The offer's id, where the job has none.
    Request(u64),
    /// The run and the job's name, where it has neither.
    Run(RunId, String),
}

impl JobMessage {
    /// Returns an entry that says nothing but what happened to which job.
    #[must_use]
    pub fn of(key: JobKey, event: JobEvent) -> Self {
        Self {
            event,
            key,
            runner_request_id: 0,
            repository: None,
            run_id: RunId(0),
            name: String::new(),
            labels: Vec::new(),
            queued_at: None,
            assigned_at: None,
            runner_assigned_at: None,
            finished_at: None,
        }
    }
}

impl JobMessage {
    /// Returns for how long the job was assigned, if that is over and no runner ever had it.
    #[must_use]
    pub fn waited_in_vain(&self) -> Option<Duration> {
        let JobEvent::Completed { runner: JobRunner { id: None, name: None }, .. } = &self.event else { return None };
        Some(age(self.finished_at?, self.assigned_at?))
    }
}

impl Message {
    /// Returns a message of these entries, without counts.
    #[must_use]
    pub fn of(id: i64, jobs: Vec<JobMessage>) -> Self {
        Self { id, kind: "RunnerScaleSetJobMessages".to_owned(), statistics: None, jobs, unreadable: 0 }
    }

    /// Returns the ids of the jobs that are on offer, each once, in the service's order. An id of 0, or one that two
    /// different jobs have, names no job.
    #[must_use]
    pub fn offers(&self) -> Vec<u64> {
        let is_offer = |job: &&JobMessage| job.event == JobEvent::Available && job.runner_request_id != 0;
        let mut offers: Vec<&JobMessage> = Vec::new();
        let mut ambiguous = BTreeSet::new();
        for job in self.jobs.iter().filter(is_offer) {
            match offers.iter().find(|known| known.runner_request_id == job.runner_request_id) {
                None => offers.push(job),
                // The same job, offered again.
                Some(known) if (&known.key, known.run_id, &known.name) == (&job.key, job.run_id, &job.name) => {}
                Some(_) => {
                    ambiguous.insert(job.runner_request_id);
                }
            }
        }
        offers.into_iter().map(|job| job.runner_request_id).filter(|id| !ambiguous.contains(id)).collect()
    }
}
