//! The control endpoint, `/_sandbox/…`: time, faults, jobs, and what the world looks like. JSON in, JSON out.

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::ec2::state_name;
use super::server::Shared;
use super::traffic::Fault;
use super::world::{JobStatus, World};
use crate::engine::Market;

/// The longest that time may be advanced by at once.
const ADVANCE_AT_MOST: f64 = 366.0 * 86_400.0;

/// Answers one request.
pub(super) fn answer(shared: &Shared, method: &Method, path: &str, body: &[u8]) -> Response {
    let result = match (method, path) {
        (&Method::GET, "state") => Ok(state(&shared.world())),
        (&Method::GET, "calls") => Ok(json!(shared.traffic().calls())),
        (&Method::POST, "advance") => read(body).and_then(|advance| pass(&mut shared.world(), &advance)),
        (&Method::POST, "fault") => read::<Fault>(body).map(|fault| {
            shared.traffic().add(fault);
            json!({})
        }),
        (&Method::POST, "job") => read(body).map(|job| add_jobs(&mut shared.world(), job)),
        (&Method::POST, "settings") => read(body).map(|knobs| turn(&mut shared.world(), &knobs)),
        (&Method::POST, "reset") => {
            *shared.world() = shared.scenario.world(Timestamp::now());
            *shared.traffic() = super::traffic::Traffic::default();
            Ok(json!({}))
        }
        _ => {
            let message = format!(
                "no `{method} /_sandbox/{path}`: there are GET state, GET calls, POST advance, POST fault, POST job, \
                 POST settings, POST reset"
            );
            return (StatusCode::NOT_FOUND, Json(json!({ "error": message }))).into_response();
        }
    };
    match result {
        Ok(body) => Json(body).into_response(),
        Err(message) => (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({ "error": message }))).into_response(),
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    seconds: f64,
}

fn pass(world: &mut World, advance: &Advance) -> Result<Value, String> {
    if !(0.0..=ADVANCE_AT_MOST).contains(&advance.seconds) {
        return Err(format!("`seconds` must be from 0 to {ADVANCE_AT_MOST}, not {}", advance.seconds));
    }
    world.advance(Duration::from_secs_f64(advance.seconds));
    Ok(json!({}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Jobs {
    repository: Option<String>,
    labels: Vec<String>,
    #[serde(default = "one")]
    count: u32,
    duration_seconds: Option<u32>,
}

fn one() -> u32 {
    1
}

/// Adds jobs, all in one run of the given repository, or of the first that is active.
fn add_jobs(world: &mut World, jobs: Jobs) -> Value {
    let first = || {
        let active =
            |repository: &&super::world::Repository| !repository.archived && !repository.disabled && repository.actions;
        world.repositories.values().find(active).map_or_else(|| "api".to_owned(), |found| found.full_name.clone())
    };
    let repository = jobs.repository.unwrap_or_else(first);
    let duration =
        jobs.duration_seconds.map_or(world.settings.job_duration, |seconds| Duration::from_secs(seconds.into()));
    let run = world.repository(&repository).run().id();
    let ids: Vec<_> =
        (0..jobs.count.min(1000)).map(|_| world.run(run).job(jobs.labels.clone()).lasting(duration).id()).collect();
    json!({ "run_id": run, "job_ids": ids })
}

/// Any of the world's knobs; those that aren't named stay.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Knobs {
    running_after_seconds: Option<f64>,
    boot_seconds: Option<f64>,
    idle_timeout_seconds: Option<f64>,
    shutdown_seconds: Option<f64>,
    listener_gives_up_seconds: Option<f64>,
    invisible_for_seconds: Option<f64>,
    busy_lag_seconds: Option<f64>,
    job_duration_seconds: Option<f64>,
    round_trip_seconds: Option<f64>,
    rate_limits: Option<bool>,
    /// 0: none.
    secondary_limit: Option<usize>,
    boot_fails: Option<u32>,
    #[serde(default)]
    capacity: Vec<Capacity>,
    rate_limit_remaining: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Capacity {
    market: Market,
    instance_type: String,
    subnet: String,
    /// `null`: no end.
    left: Option<u32>,
}

fn turn(world: &mut World, knobs: &Knobs) -> Value {
    let settings = &mut world.settings;
    for (knob, value) in [
        (&mut settings.running_after, knobs.running_after_seconds),
        (&mut settings.boot, knobs.boot_seconds),
        (&mut settings.idle_timeout, knobs.idle_timeout_seconds),
        (&mut settings.shutdown, knobs.shutdown_seconds),
        (&mut settings.listener_gives_up, knobs.listener_gives_up_seconds),
        (&mut settings.invisible_for, knobs.invisible_for_seconds),
        (&mut settings.busy_lag, knobs.busy_lag_seconds),
        (&mut settings.job_duration, knobs.job_duration_seconds),
        (&mut settings.round_trip, knobs.round_trip_seconds),
    ] {
        if let Some(seconds) = value {
            *knob = Duration::from_secs_f64(seconds.clamp(0.0, ADVANCE_AT_MOST));
        }
    }
    settings.rate_limits = knobs.rate_limits.unwrap_or(settings.rate_limits);
    if let Some(limit) = knobs.secondary_limit {
        settings.secondary_limit = Some(limit).filter(|limit| *limit > 0);
    }
    if let Some(instances) = knobs.boot_fails {
        world.fail_next_boots(instances);
    }
    for capacity in &knobs.capacity {
        world.capacity(capacity.market, &capacity.instance_type, &capacity.subnet, capacity.left);
    }
    if let Some(remaining) = knobs.rate_limit_remaining {
        let limit = world.budget.limit.max(remaining);
        world.rate_limit(limit, remaining);
    }
    json!({})
}

/// Shows the world, without any JIT configuration or token.
fn state(world: &World) -> Value {
    let jobs: Vec<_> = world
        .jobs
        .values()
        .map(|job| {
            json!({
                "id": job.id, "run_id": job.run_id, "name": job.name, "labels": job.labels,
                "repository": world.runs.get(&job.run_id).map(|run| &run.repository), "status": job.status.as_str(),
                "conclusion": job.conclusion, "runner": job.runner.as_ref().map(|given| &given.name),
                "lost": job.lost_at.is_some(),
            })
        })
        .collect();
    let runners: Vec<_> = world
        .runners
        .values()
        .map(|runner| {
            json!({
                "id": runner.id, "name": runner.name, "labels": runner.labels, "online": runner.online,
                "busy": world.is_busy(runner.id), "job": world.job_on(runner.id).map(|job| job.id),
                "repository": runner.repository,
            })
        })
        .collect();
    let instances: Vec<_> = world
        .instances
        .values()
        .map(|instance| {
            json!({
                "id": instance.id, "state": state_name(instance.state), "market": instance.market,
                "instance_type": instance.instance_type, "subnet": instance.subnet, "runner_id": instance.runner_id,
                "tags": instance.tags, "state_reason": instance.state_reason.map(|(code, _)| code),
            })
        })
        .collect();
    let queued = world.count_jobs(JobStatus::Queued);
    json!({ "now": world.now().to_string(), "queued": queued, "jobs": jobs, "runners": runners, "instances": instances })
}
