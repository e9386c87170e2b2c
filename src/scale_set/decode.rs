//! Bytes -> our types, leniently: null or missing for every field, any letter case of keys (Go's decoder has none, and
//! the service relies on it), numbers written as texts, a byte-order mark in front.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};

use super::message::{JobEvent, JobKey, JobMessage, JobRunner, Message};
use super::model::{AcquirableJob, RunnerGroup, ScaleSet, ScaleSetId, ServiceRunner};
use crate::engine::{Label, RepositoryName, RunId, RunnerId, RunnerName, Statistics};

/// More jobs than this no scale set can have: GitHub queues at most 500 a second and keeps a job for a day.
const MOST_JOBS: u64 = 50_000_000;
/// The kind of message that has jobs in it.
const JOB_MESSAGES: &str = "RunnerScaleSetJobMessages";

/// A list as the service gave it: each entry read by itself, so that one that can't be read doesn't lose the others.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entries<T> {
    pub(super) items: Vec<T>,
    /// Entries that could not be read, or that the list counts and doesn't hold.
    pub(super) unreadable: usize,
}

/// An open session, as far as it was said.
pub(super) struct OpenSession {
    pub(super) id: String,
    pub(super) queue_url: String,
    pub(super) queue_token: SecretString,
    pub(super) statistics: Option<Statistics>,
}

/// A runner that was registered, and its key.
pub(super) struct Registered {
    pub(super) runner_id: RunnerId,
    pub(super) jit_config: SecretString,
}

/// An object's fields, whatever their case.
#[derive(Debug, Default)]
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    pub(super) fn of(object: Map<String, Value>) -> Self {
        Self(object)
    }

    fn from(value: &Value) -> Option<Self> {
        value.as_object().cloned().map(Self)
    }

    /// Returns a field; null is none.
    fn get(&self, name: &str) -> Option<&Value> {
        let any_case = || self.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        self.0.get(name).or_else(any_case).filter(|value| !value.is_null())
    }

    /// Returns whether a field is there, null included.
    fn has(&self, name: &str) -> bool {
        self.0.keys().any(|key| key.eq_ignore_ascii_case(name))
    }

    /// Returns a text; empty where there is none.
    pub(super) fn text(&self, name: &str) -> String {
        match self.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        }
    }

    /// Returns a number; 0 where there is none, or one that can't be.
    fn number(&self, name: &str) -> u64 {
        u64::try_from(self.signed(name)).unwrap_or(0)
    }

    fn signed(&self, name: &str) -> i64 {
        self.get(name).and_then(integer).unwrap_or(0)
    }

    fn object(&self, name: &str) -> Option<Self> {
        self.get(name).and_then(Self::from)
    }

    fn list(&self, name: &str) -> &[Value] {
        self.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// Returns labels, written as texts or as objects with a name.
    fn labels(&self, name: &str) -> Vec<Label> {
        let labels = self.list(name).iter().filter_map(|label| match label {
            Value::String(label) => Some(label.clone()),
            other => Self::from(other).map(|label| label.text("name")),
        });
        labels.filter(|label| !label.is_empty()).map(Label::new).collect()
    }

    /// Returns a time; the year 1 is Go's and .NET's way to say none.
    fn time(&self, name: &str) -> Option<Timestamp> {
        let text = self.text(name);
        let local = || TimeZone::UTC.to_timestamp(text.parse::<DateTime>().ok()?).ok();
        let time = text.parse::<Timestamp>().ok().or_else(local)?;
        (time > Timestamp::UNIX_EPOCH).then_some(time)
    }

    fn repository(&self) -> Option<RepositoryName> {
        let (owner, name) = (self.text("ownerName"), self.text("repositoryName"));
        // Should the name have its owner in it already, that is enough.
        if name.contains('/') {
            return Some(RepositoryName::new(name));
        }
        (!owner.is_empty() && !name.is_empty()).then(|| RepositoryName::new(format!("{owner}/{name}")))
    }

    fn statistics(&self) -> Option<Statistics> {
        let counts = self.object("statistics")?;
        // The demand itself: without it, or with one that can't be, the others are no statistics, and 0 would be a lie.
        // Null is how the service's own clients write 0.
        let assigned = match counts.get("totalAssignedJobs") {
            None if counts.has("totalAssignedJobs") => 0,
            None => return None,
            Some(count) => u64::try_from(integer(count)?).ok().filter(|count| *count <= MOST_JOBS)?,
        };
        let [running, busy, idle] =
            ["totalRunningJobs", "totalBusyRunners", "totalIdleRunners"].map(|name| counts.number(name));
        // Left out or null, it is at least what the others speak of.
        let registered = match counts.get("totalRegisteredRunners") {
            Some(_) => counts.number("totalRegisteredRunners"),
            None => running.max(busy.saturating_add(idle)),
        };
        Some(Statistics {
            available: counts.number("totalAvailableJobs"),
            acquired: counts.number("totalAcquiredJobs"),
            assigned,
            running,
            registered,
            busy,
            idle,
        })
    }
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        #[expect(clippy::cast_possible_truncation, reason = "a whole number as a float, `7.0`; `as` saturates")]
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().map(|float| float as i64)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// Returns a body without the byte-order mark that the service likes to put in front.
pub(super) fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii()
}

/// Returns whether a body says nothing.
pub(super) fn is_nothing(body: &[u8]) -> bool {
    matches!(without_mark(body), b"" | b"null")
}

pub(super) fn is_html(body: &[u8]) -> bool {
    without_mark(body).starts_with(b"<")
}

/// Reads an object. What is wrong is said without quoting the body: there may be a secret in it.
pub(super) fn object(body: &[u8]) -> Result<Fields, String> {
    match serde_json::from_slice(without_mark(body)) {
        Ok(Value::Object(object)) => Ok(Fields(object)),
        Ok(_) => Err("an unreadable answer: not an object".to_owned()),
        Err(_) if is_html(body) => Err("HTML, where JSON was expected".to_owned()),
        Err(error) => Err(format!("an unreadable answer: {error}")),
    }
}

/// Reads a list, `{count, value: […]}` or bare.
pub(super) fn entries<T>(body: &[u8], read: impl Fn(&Fields) -> Option<T>) -> Result<Entries<T>, String> {
    values(body, |value| Fields::from(value).as_ref().and_then(&read))
}

/// Reads a list of ids.
pub(super) fn ids(body: &[u8]) -> Result<Entries<u64>, String> {
    values(body, |value| integer(value).and_then(|id| u64::try_from(id).ok()))
}

fn values<T>(body: &[u8], read: impl Fn(&Value) -> Option<T>) -> Result<Entries<T>, String> {
    let (values, count) = if let Ok(Value::Array(values)) = serde_json::from_slice(without_mark(body)) {
        (values, 0)
    } else {
        let list = object(body)?;
        let count = usize::try_from(list.number("count")).unwrap_or(0);
        match list.get("value") {
            Some(Value::Array(values)) => (values.clone(), count),
            // An empty list may be null; an object that has neither field, though, is no list at all.
            None if list.has("count") || list.has("value") => (Vec::new(), count),
            _ => return Err("an unreadable answer: there is no list in it".to_owned()),
        }
    };
    let items: Vec<T> = values.iter().filter_map(read).collect();
    let unreadable = values.len().max(count) - items.len();
    Ok(Entries { items, unreadable })
}

pub(super) fn scale_set(fields: &Fields) -> Option<ScaleSet> {
    let (id, group_id) = (fields.number("id"), fields.number("runnerGroupId"));
    let group_name = match fields.text("runnerGroupName") {
        none if none.is_empty() && group_id == 1 => "Default".to_owned(),
        name => name,
    };
    (id != 0).then(|| ScaleSet {
        id: ScaleSetId(id),
        name: fields.text("name"),
        group: RunnerGroup { id: group_id, name: group_name },
        labels: fields.labels("labels"),
        statistics: fields.statistics(),
    })
}

pub(super) fn runner_group(fields: &Fields) -> Option<RunnerGroup> {
    let id = fields.number("id");
    (id != 0).then(|| RunnerGroup { id, name: fields.text("name") })
}

pub(super) fn runner(fields: &Fields) -> Option<ServiceRunner> {
    let (id, scale_set) = (fields.number("id"), fields.number("runnerScaleSetId"));
    (id != 0).then(|| ServiceRunner {
        id: RunnerId(id),
        name: RunnerName::new(fields.text("name")),
        scale_set: (scale_set != 0).then_some(ScaleSetId(scale_set)),
        created_at: fields.time("createdOn"),
    })
}

pub(super) fn acquirable_job(fields: &Fields) -> Option<AcquirableJob> {
    let runner_request_id = fields.number("runnerRequestId");
    (runner_request_id != 0).then(|| AcquirableJob {
        runner_request_id,
        repository: fields.repository().map(|name| name.to_string()).unwrap_or_default(),
        labels: fields.labels("requestLabels"),
    })
}

pub(super) fn registered(fields: &Fields) -> Option<Registered> {
    let runner_id = fields.object("runner")?.number("id");
    // `encodedJITConfig` and `encodedJitConfig` are one.
    let jit_config = fields.text("encodedJITConfig");
    (runner_id != 0 && !jit_config.is_empty())
        .then(|| Registered { runner_id: RunnerId(runner_id), jit_config: jit_config.into() })
}

pub(super) fn session(fields: &Fields) -> OpenSession {
    let id = fields.text("sessionId");
    let is_nil = id.chars().all(|c| matches!(c, '0' | '-'));
    OpenSession {
        id: if is_nil { String::new() } else { id },
        queue_url: fields.text("messageQueueUrl"),
        queue_token: fields.text("messageQueueAccessToken").into(),
        statistics: fields.statistics(),
    }
}

/// Reads one message; without an id it is none, since it could not be acknowledged.
pub(super) fn message(body: &[u8]) -> Result<Message, String> {
    let fields = object(body)?;
    let (id, kind) = (fields.signed("messageId"), fields.text("messageType"));
    if id == 0 {
        return Err("an unreadable answer: a message without an id".to_owned());
    }
    let jobs = if kind.eq_ignore_ascii_case(JOB_MESSAGES) { jobs(fields.get("body")) } else { Entries::none() };
    Ok(Message { id, kind, statistics: fields.statistics(), jobs: jobs.items, unreadable: jobs.unreadable })
}

/// Returns the id of a message that can't be read otherwise, so that it can be acknowledged all the same.
pub(super) fn message_id(body: &[u8]) -> Option<i64> {
    let text = String::from_utf8_lossy(body);
    let (_, behind) = text.split_once("\"messageId\"")?;
    let number = behind.trim_start().strip_prefix(':')?.trim_start();
    let end = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
    number[..end].parse().ok().filter(|id| *id != 0)
}

/// Reads a message's body: a list within a text. A body that is no list counts as one entry that can't be read.
fn jobs(body: Option<&Value>) -> Entries<JobMessage> {
    let values = match body {
        None => return Entries::none(),
        Some(Value::String(text)) if is_nothing(text.as_bytes()) => return Entries::none(),
        Some(Value::String(text)) => serde_json::from_slice(without_mark(text.as_bytes())).unwrap_or_default(),
        Some(other) => other.clone(),
    };
    let Value::Array(values) = values else { return Entries { items: Vec::new(), unreadable: 1 } };
    let items: Vec<JobMessage> = values.iter().filter_map(|value| Fields::from(value).as_ref().and_then(job)).collect();
    Entries { unreadable: values.len() - items.len(), items }
}

/// Reads one entry; what names no job at all is none.
fn job(fields: &Fields) -> Option<JobMessage> {
    let runner = || {
        let (id, name) = (fields.number("runnerId"), fields.text("runnerName"));
        JobRunner { id: (id != 0).then_some(RunnerId(id)), name: (!name.is_empty()).then(|| RunnerName::new(name)) }
    };
    let event = match fields.text("messageType").as_str() {
        "JobAvailable" => JobEvent::Available,
        "JobAssigned" => JobEvent::Assigned,
        "JobStarted" => JobEvent::Started(runner()),
        "JobCompleted" => JobEvent::Completed { result: fields.text("result"), runner: runner() },
        other => JobEvent::Unknown(other.to_owned()),
    };
    let (job_id, runner_request_id) = (fields.text("jobId"), fields.number("runnerRequestId"));
    let (run_id, name) = (RunId(fields.number("workflowRunId")), fields.text("jobDisplayName"));
    let is_nil = job_id.chars().all(|c| matches!(c, '0' | '-'));
    let key = match (is_nil, runner_request_id) {
        (false, _) => JobKey::Job(job_id),
        (true, 0) if run_id.0 == 0 && !matches!(event, JobEvent::Unknown(_)) => return None,
        (true, 0) => JobKey::Run(run_id, name.clone()),
        (true, id) => JobKey::Request(id),
    };
    Some(JobMessage {
        event,
        key,
        runner_request_id,
        repository: fields.repository(),
        run_id,
        name,
        labels: fields.labels("requestLabels"),
        queued_at: fields.time("queueTime"),
        assigned_at: fields.time("scaleSetAssignTime"),
        runner_assigned_at: fields.time("runnerAssignTime"),
        finished_at: fields.time("finishTime"),
    })
}

/// Returns when a JWT was issued, if it says so, and when it expires, in seconds since 1970. Its signature is not ours
/// to verify: only the service takes it.
pub(super) fn token_times(token: &SecretString) -> Option<(Option<i64>, i64)> {
    let claims = token.expose_secret().split('.').nth(1)?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?).ok()?;
    Some((claims.get("iat").and_then(integer), claims.get("exp").and_then(integer)?))
}

impl<T> Entries<T> {
    fn none() -> Self {
        Self { items: Vec::new(), unreadable: 0 }
    }
}
