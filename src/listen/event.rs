//! What `listen` says: one event a line.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::engine::{PoolName, RepositoryName, RunId, RunnerName, Statistics};
use crate::report::{ActionResult, RerunResult, ResultWord, printable};
use crate::scale_set::{JobEvent, JobKey, JobMessage, Message, ScaleSetId};
use crate::warning::WarningCode;

/// One line of `listen -o json`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Line {
    /// When: RFC 3339.
    pub at: String,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The first: the configuration is good, and listening begins.
    Ready {
        /// None in particular.
        pool: Option<PoolName>,
        /// The pools with a scale set, whose sessions are opened.
        listening: Vec<PoolName>,
        /// The others, which are looked at from time to time.
        polling: Vec<PoolName>,
        /// The scope.
        scope: String,
    },
    /// A message session changed.
    Session {
        /// Its pool.
        pool: PoolName,
        /// To what.
        state: SessionState,
        /// The scale set, where it is known.
        scale_set: Option<ScaleSetId>,
        /// Why.
        error: Option<String>,
    },
    /// A message of a scale set.
    Message {
        /// Its pool.
        pool: PoolName,
        /// Its id.
        message_id: i64,
        /// The set's counts, if the message has them.
        statistics: Option<Statistics>,
        /// What happened to which jobs: at most 50.
        jobs: Vec<JobRow>,
        /// Entries that could not be read.
        unreadable: u64,
    },
    /// Something is to be done.
    Plan {
        /// The pool; `null` for a plan of several.
        pool: Option<PoolName>,
        /// SHA-256 over the configuration, what was seen, and the actions: as in the audit log.
        plan_id: String,
        /// Launches.
        launch: u64,
        /// Instances that are ended.
        end: u64,
        /// All actions, deregistrations and marks among them.
        actions: u64,
        /// Re-runs that have ended, with their results; the counts are 0 then.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        reruns: Vec<RerunResult>,
    },
    /// An action has ended.
    Action(Box<ActionResult>),
    /// Something is missing, or worth a word; said once until it changes.
    Warning {
        /// The pool it is about, if it is about one.
        pool: Option<PoolName>,
        /// As in the other commands.
        code: WarningCode,
        /// For people.
        message: String,
        /// What it is about.
        subject: Option<String>,
    },
    /// The last.
    Stopped {
        /// None in particular.
        pool: Option<PoolName>,
        /// By what.
        reason: String,
    },
}

/// The states of a message session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// Open.
    Opened,
    /// Its token was renewed.
    Refreshed,
    /// Gone, or not to be had: another is opened.
    Lost,
    /// Somebody else holds it.
    Held,
}

/// What happened to a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct JobRow {
    /// `available`, `assigned`, `started`, `completed`, or the service's own word.
    pub job_event: String,
    /// The service's id of the job, which is not the REST API's.
    pub job_id: Option<String>,
    /// The job's name.
    pub name: String,
    /// The repository.
    pub repository: Option<RepositoryName>,
    /// The run: the REST API's number.
    pub run_id: Option<RunId>,
    /// The runner that has it, or had it.
    pub runner: Option<RunnerName>,
    /// For a completed one.
    pub result: Option<String>,
}

impl From<&JobMessage> for JobRow {
    fn from(job: &JobMessage) -> Self {
        let (job_event, runner, result) = match &job.event {
            JobEvent::Available => ("available".to_owned(), None, None),
            JobEvent::Assigned => ("assigned".to_owned(), None, None),
            JobEvent::Started(runner) => ("started".to_owned(), runner.name.clone(), None),
            JobEvent::Completed { result, runner } => {
                ("completed".to_owned(), runner.name.clone(), Some(result.clone()))
            }
            JobEvent::Unknown(word) => (word.clone(), None, None),
        };
        Self {
            job_event,
            job_id: match &job.key {
                JobKey::Job(id) => Some(id.clone()),
                JobKey::Request(_) | JobKey::Run(..) => None,
            },
            name: job.name.clone(),
            repository: job.repository.clone(),
            run_id: (job.run_id.0 != 0).then_some(job.run_id),
            runner,
            result,
        }
    }
}

impl Event {
    /// Returns a message's event.
    pub(super) fn of_message(pool: &PoolName, message: &Message) -> Self {
        Self::Message {
            pool: pool.clone(),
            message_id: message.id,
            statistics: message.statistics,
            jobs: message.jobs.iter().map(JobRow::from).collect(),
            unreadable: message.unreadable as u64,
        }
    }
}

impl Line {
    /// Returns what happens now.
    #[must_use]
    pub fn now(event: Event) -> Self {
        Self { at: Timestamp::now().to_string(), event }
    }

    /// Returns it for people: one line.
    #[must_use]
    pub fn text(&self) -> String {
        printable(&format!("{} {}", self.at, self.event.text()))
    }
}

impl Event {
    fn text(&self) -> String {
        let because = |error: &Option<String>| error.as_ref().map_or_else(String::new, |error| format!(": {error}"));
        match self {
            Self::Ready { listening, polling, scope, .. } => {
                let named = |pools: &[PoolName]| {
                    if pools.is_empty() {
                        "none".to_owned()
                    } else {
                        pools.iter().map(PoolName::as_str).collect::<Vec<_>>().join(", ")
                    }
                };
                format!("ready      {scope}: listening for {}; polling for {}", named(listening), named(polling))
            }
            Self::Session { pool, state, error, .. } => {
                let state = match state {
                    SessionState::Opened => "opened",
                    SessionState::Refreshed => "refreshed",
                    SessionState::Lost => "lost",
                    SessionState::Held => "held by another",
                };
                format!("session    {pool} {state}{}", because(error))
            }
            Self::Message { pool, message_id, statistics, jobs, .. } => {
                let counts = statistics.map_or_else(
                    || "no counts".to_owned(),
                    |counts| format!("{} assigned, {} running", counts.assigned, counts.running),
                );
                format!("message    {pool} {message_id}: {counts}, {} events", jobs.len())
            }
            Self::Plan { pool, reruns, .. } if !reruns.is_empty() => {
                let pool = pool.as_ref().map_or_else(|| "all pools".to_owned(), ToString::to_string);
                let reruns: Vec<String> = reruns.iter().map(RerunResult::words).collect();
                format!("plan       {pool}: re-run {}", reruns.join("; "))
            }
            Self::Plan { pool, launch, end, actions, .. } => {
                let pool = pool.as_ref().map_or_else(|| "all pools".to_owned(), ToString::to_string);
                format!("plan       {pool}: {launch} to launch, {end} to end, {actions} actions")
            }
            Self::Action(result) => {
                let word = match result.result {
                    ResultWord::Done => "done",
                    ResultWord::Skipped => "skipped",
                    ResultWord::Failed => "failed",
                };
                let row = &result.action;
                let runner = row.runner.as_ref().map_or("-", RunnerName::as_str);
                let instance = row.instance_id.as_ref().map_or_else(String::new, |id| format!(" {id}"));
                let kind = format!("{:?}", row.action).to_lowercase();
                format!("action     {} {kind} {runner}{instance} {word}{}", row.pool, because(&result.error))
            }
            Self::Warning { code, message, subject, .. } => {
                let subject = subject.as_ref().map_or_else(String::new, |subject| format!("{subject}: "));
                format!("warning    {subject}{message} [{code}]")
            }
            Self::Stopped { reason, .. } => format!("stopped    {reason}"),
        }
    }
}
