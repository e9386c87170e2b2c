//! How the world behaves: its pace, and what is known to go wrong with the Actions Service.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How fast things happen.
#[derive(Clone, Debug)]
pub struct Settings {
    /// From launch to `running`.
    pub running_after: Duration,
    /// From launch until the runner is online.
    pub boot: Duration,
    /// An idle runner's host powers off after so long.
    pub idle_timeout: Duration,
    /// From `shutting-down` to `terminated`.
    pub shutdown: Duration,
    /// A listener whose registration was deleted gives up, and its host powers off, after so long (actions/runner
    /// retries for about five minutes).
    pub listener_gives_up: Duration,
    /// A new instance is shown and can be named only after so long: EC2 is eventually consistent.
    pub invisible_for: Duration,
    /// A runner's `busy` lags behind its job by so much (actions/runner#4422), and so does the refusal to delete it.
    pub busy_lag: Duration,
    /// How long a job runs where nothing else is said.
    pub job_duration: Duration,
    /// How long a job for GitHub's own runners waits.
    pub hosted_delay: Duration,
    /// How long every answer takes, whatever is asked.
    pub round_trip: Duration,
    /// Answers carry GitHub's rate limit, and it is kept; a GitHub Enterprise Server has none.
    pub rate_limits: bool,
    /// Requests a minute beyond which GitHub refuses for a while (its secondary rate limit); `None`: it never does.
    pub secondary_limit: Option<usize>,
    /// Requests under way at once beyond which GitHub refuses; `None`: there are never too many.
    pub concurrency_limit: Option<usize>,
    /// EC2 throttles `RunInstances` beyond a bucket of five, which gets one back so often (EC2's own: half a second); `None`:
    /// it never does.
    pub launches_every: Option<Duration>,
    /// The organization's webhook, whose delivery log can be read; `None`: it has none.
    pub delivery_hook: Option<u64>,
    /// The log shows a delivery only after so long.
    pub delivery_lag: Duration,
    /// What happens to jobs is not delivered.
    pub deliveries_lost: bool,
    /// Whoever asks may run jobs again (*Actions: write*).
    pub actions_write: bool,
    /// Filtered lists of runs know of a change only after so long.
    pub index_lag: Duration,
    /// What the Actions Service is like.
    pub scale_sets: ScaleSetSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            running_after: Duration::from_millis(500),
            boot: Duration::from_millis(1500),
            idle_timeout: Duration::from_mins(10),
            shutdown: Duration::from_secs(1),
            listener_gives_up: Duration::from_mins(5),
            invisible_for: Duration::ZERO,
            busy_lag: Duration::ZERO,
            job_duration: Duration::from_secs(30),
            hosted_delay: Duration::from_secs(3),
            round_trip: Duration::ZERO,
            rate_limits: true,
            secondary_limit: None,
            concurrency_limit: Some(100),
            launches_every: None,
            delivery_hook: None,
            delivery_lag: Duration::ZERO,
            deliveries_lost: false,
            actions_write: true,
            index_lag: Duration::ZERO,
            scale_sets: ScaleSetSettings::default(),
        }
    }
}

/// How a queued job comes to a scale set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dispatch {
    /// A session that announced capacity is assigned jobs without being asked: github.com, 2026.
    #[default]
    Direct,
    /// Jobs are offered to every set that could run them, and go to the first that acquires them: GHES.
    Acquire,
}

/// When a scale set is told that its job is completed. It is a hint, and not always a good one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Completions {
    /// When it is.
    #[default]
    OnTime,
    /// As soon as it has started (runner#4492).
    Early,
    /// [`ScaleSetSettings::completed_late_by`] after it is.
    Late,
    /// Never.
    Missing,
}

/// What the Actions Service is like. The counts (`u32`) are of requests to come: each lets one go wrong less.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "they are switches")]
pub struct ScaleSetSettings {
    /// How jobs come to sets.
    pub dispatch: Dispatch,
    /// A job that is queued while a session announces no capacity is never given to a set (direct mode).
    pub zero_capacity_trap: bool,
    /// An assigned job that no runner took for so long is taken back, and assigned again under another id.
    #[serde(rename = "lapse_after_seconds", with = "seconds")]
    pub lapse_after: Duration,
    /// From acquiring a job to its assignment (acquire mode).
    #[serde(rename = "assigned_after_seconds", with = "seconds")]
    pub assigned_after: Duration,
    /// A job that was offered and not acquired for so long is offered again (acquire mode).
    #[serde(rename = "offered_again_after_seconds", with = "seconds")]
    pub offered_again_after: Duration,
    /// A session without requests for so long is lost. While a poll is held it never is, however far time is advanced.
    #[serde(rename = "session_idle_seconds", with = "seconds")]
    pub session_idle: Duration,
    /// How long a poll is held while there is nothing to say. That is real time, which can't be advanced.
    #[serde(rename = "poll_hold_seconds", with = "seconds")]
    pub poll_hold: Duration,
    /// How long an admin token is valid.
    #[serde(rename = "admin_token_lives_seconds", with = "seconds")]
    pub admin_token_lives: Duration,
    /// How long a queue token is valid.
    #[serde(rename = "queue_token_lives_seconds", with = "seconds")]
    pub queue_token_lives: Duration,
    /// The number that message ids begin after: 100000000 on github.com, 0 on GHES.
    pub message_ids_after: u64,
    /// Entries beyond the fifty that a message holds are never delivered, and not in the next message.
    pub excess_dropped: bool,
    /// An offer says which job it is of; off, its `jobId` is empty.
    pub offers_name_job: bool,
    /// When a set is told of a job's end.
    pub completed: Completions,
    /// How late it is told with [`Completions::Late`].
    #[serde(rename = "completed_late_by_seconds", with = "seconds")]
    pub completed_late_by: Duration,
    /// Of a set's labels only the first is kept, without a word (GHES before 3.21).
    pub first_label_only: bool,
    /// The status that refuses to delete a runner with a job: 400 or 409.
    pub job_still_running_status: u16,
    /// Deleting a runner that isn't there answers 204; off, 404 `AgentNotFoundException`.
    pub missing_runner_is_deleted: bool,
    /// A byte order mark stands before every body.
    pub byte_order_mark: bool,
    /// Whatever is zero, empty or not essential is null.
    pub nulls: bool,
    /// So many sessions are answered with an empty queue URL.
    pub empty_queue_urls: u32,
    /// So many sessions are answered without statistics.
    pub sessions_without_statistics: u32,
    /// So many polls answer 200 and nothing.
    pub empty_polls: u32,
    /// So many polls are cut off half-way; what they would have answered comes again.
    pub cut_polls: u32,
    /// So many polls are forbidden, while the session lives on.
    pub forbidden_polls: u32,
    /// So many polls or refreshes find the session expired (400 `RunnerScaleSetSessionExpiredException`), and it is.
    pub expired_sessions: u32,
    /// So many polls or refreshes find the session forgotten (404 `RunnerAdminException`), and it is.
    pub forgotten_sessions: u32,
    /// So many requests about a scale set that is there are answered that it is not (ARC#3942).
    pub sets_not_found: u32,
    /// So many registrations are sent to a new service URL; the old one answers no more.
    pub service_moves: u32,
}

impl Default for ScaleSetSettings {
    fn default() -> Self {
        Self {
            dispatch: Dispatch::Direct,
            zero_capacity_trap: false,
            lapse_after: Duration::from_mins(5),
            assigned_after: Duration::ZERO,
            offered_again_after: Duration::from_mins(1),
            session_idle: Duration::from_secs(50),
            poll_hold: Duration::from_secs(50),
            admin_token_lives: Duration::from_hours(1),
            queue_token_lives: Duration::from_hours(1),
            message_ids_after: 100_000_000,
            excess_dropped: false,
            offers_name_job: true,
            completed: Completions::OnTime,
            completed_late_by: Duration::from_mins(3),
            first_label_only: false,
            job_still_running_status: 400,
            missing_runner_is_deleted: true,
            byte_order_mark: false,
            nulls: false,
            empty_queue_urls: 0,
            sessions_without_statistics: 0,
            empty_polls: 0,
            cut_polls: 0,
            forbidden_polls: 0,
            expired_sessions: 0,
            forgotten_sessions: 0,
            sets_not_found: 0,
            service_moves: 0,
        }
    }
}

impl ScaleSetSettings {
    /// Changes those that are named, each as its field is here; durations in seconds, with `_seconds` after the name.
    pub(in crate::sandbox) fn turn(&mut self, named: &Map<String, Value>) -> Result<(), String> {
        let mut all = serde_json::to_value(&*self).map_err(|error| error.to_string())?;
        if let Value::Object(all) = &mut all {
            all.extend(named.clone());
        }
        *self = serde_json::from_value(all).map_err(|error| error.to_string())?;
        Ok(())
    }
}

/// Durations as numbers of seconds.
mod seconds {
    use std::time::Duration;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(duration.as_secs_f64())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        let year = Duration::from_hours(366 * 24);
        let duration = Duration::try_from_secs_f64(seconds).ok().filter(|duration| *duration <= year);
        duration.ok_or_else(|| D::Error::custom(format!("{seconds} seconds: they must be from 0 to a year")))
    }
}

/// Takes one off a count; returns whether there was one.
pub(in crate::sandbox) fn take_one(count: &mut u32) -> bool {
    let any = *count > 0;
    *count = count.saturating_sub(1);
    any
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn turned(named: &Value) -> Result<ScaleSetSettings, String> {
        let mut settings = ScaleSetSettings::default();
        settings.turn(named.as_object().unwrap())?;
        Ok(settings)
    }

    #[test]
    fn what_is_named_is_turned_and_all_else_stays() {
        let settings = turned(&json!({ "dispatch": "acquire", "poll_hold_seconds": 0.25, "nulls": true })).unwrap();
        let expected = ScaleSetSettings {
            dispatch: Dispatch::Acquire,
            poll_hold: Duration::from_millis(250),
            nulls: true,
            ..ScaleSetSettings::default()
        };
        assert_eq!(settings, expected);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for named in [json!({ "null": true }), json!({ "lapse_after_seconds": -1 }), json!({ "dispatch": "both" })] {
            turned(&named).unwrap_err();
        }
    }
}
