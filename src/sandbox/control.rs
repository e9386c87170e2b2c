//! The control endpoint, `/_sandbox/…`: time, faults, jobs, and what the world looks like. JSON in, JSON out.

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::ec2::state_name;
use super::knobs::{Jobs, Knobs, RunnerGroupKnobs, ScaleSetKnobs};
use super::server::Shared;
use super::traffic::Fault;
use super::world::{JobStatus, World};

/// The longest that time may be advanced by at once.
pub(super) const ADVANCE_AT_MOST: f64 = 366.0 * 86_400.0;

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
        (&Method::POST, "job") => read::<Jobs>(body).map(|jobs| jobs.add(&mut shared.world())),
        (&Method::POST, "settings") => read::<Knobs>(body).and_then(|knobs| knobs.turn(&mut shared.world())),
        (&Method::POST, "scale-set") => read::<ScaleSetKnobs>(body).map(|knobs| knobs.turn(&mut shared.world())),
        (&Method::POST, "runner-group") => read::<RunnerGroupKnobs>(body).map(|knobs| knobs.turn(&mut shared.world())),
        (&Method::POST, "reset") => {
            *shared.world() = shared.beginning.world(shared.clock.now());
            *shared.traffic() = super::traffic::Traffic::default();
            Ok(json!({}))
        }
        _ => {
            let message = format!(
                "no `{method} /_sandbox/{path}`: there are GET state, GET calls, POST advance, POST fault, POST job, \
                 POST settings, POST scale-set, POST runner-group, POST reset"
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
                "repository": runner.scope.repository(), "scale_set": runner.scale_set,
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
    let scale_sets: Vec<_> = world
        .all_scale_sets()
        .map(|set| {
            json!({
                "id": set.id, "name": set.name, "labels": set.labels, "repository": set.scope.repository(),
                "runner_group": world.group_at(&set.scope, set.group_id).map(|group| &group.name),
                "session": set.session.as_ref().map(|session| &session.owner), "statistics": world.statistics(set.id),
            })
        })
        .collect();
    json!({
        "now": world.now().to_string(), "queued": world.count_jobs(JobStatus::Queued), "jobs": jobs, "runners": runners,
        "instances": instances, "scale_sets": scale_sets,
    })
}
