//! Runners as the service keeps them: the same records as the REST API's.

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::Request;
use super::answer::Answer;
use super::{documents, scale_sets};
use crate::sandbox::world::{JitRefused, Runner, Scope, World};

#[derive(Deserialize)]
struct JitBody {
    name: Option<String>,
}

/// Registers a runner of a set.
pub(super) fn jit(world: &mut World, request: &Request, set: u64) -> Answer {
    let body: JitBody = match serde_json::from_slice(request.body) {
        Ok(body) => body,
        Err(error) => return scale_sets::malformed(&error),
    };
    let name = body.name.unwrap_or_default();
    if name.is_empty() || name.chars().count() > 64 {
        let message = "The name must have from 1 to 64 characters.";
        return Answer::exception(StatusCode::BAD_REQUEST, "ArgumentException", message);
    }
    match world.register_for_set(set, &name) {
        Ok((id, jit_config)) => Answer::ok(json!({
            "runner": { "id": id, "name": name, "runnerScaleSetId": set }, "encodedJITConfig": jit_config,
        })),
        Err(JitRefused::NameTaken) => Answer::exception(
            StatusCode::CONFLICT,
            "AgentExistsException",
            &format!("Already exists - A runner with the name {name} already exists."),
        ),
        Err(JitRefused::NoSet) => Answer::no_scale_set(&set.to_string()),
    }
}

/// Lists, finds, shows or deletes the scope's runners.
pub(super) fn respond(world: &mut World, request: &Request, scope: &Scope, rest: &[&str]) -> Answer {
    let here = |runner: &&Runner| runner.scope == *scope;
    match (request.method, rest) {
        (&Method::GET, []) => {
            let name = request.parameter("agentName").filter(|name| !name.is_empty());
            let runners = world.runners.values().filter(here);
            let runners = runners.filter(|runner| name.is_none_or(|name| runner.name == name));
            Answer::list(runners.map(|runner| documents::runner(world, runner)))
        }
        (&Method::GET, [id]) => match id.parse().ok().and_then(|id| world.runners.get(&id)).filter(here) {
            Some(runner) => Answer::ok(documents::runner(world, runner)),
            None => absent(id),
        },
        (&Method::DELETE, [id]) => {
            let Some(runner) = id.parse().ok().and_then(|id| world.runners.get(&id)).filter(here) else {
                let deleted = world.settings.scale_sets.missing_runner_is_deleted;
                return if deleted { Answer::empty(StatusCode::NO_CONTENT) } else { absent(id) };
            };
            // Here, unlike in the REST API, nothing lags: this is the one sure way to learn whether it has a job.
            if world.job_on(runner.id).is_some() {
                return still_running(world, &format!("Runner \"{}\"", runner.name));
            }
            let id = runner.id;
            match world.remove_runner(id) {
                Ok(()) => Answer::empty(StatusCode::NO_CONTENT),
                Err(_) => still_running(world, &format!("Runner {id}")),
            }
        }
        _ => Answer::no_route(),
    }
}

/// Returns the refusal to delete what holds a job.
pub(super) fn still_running(world: &World, what: &str) -> Answer {
    let status = StatusCode::from_u16(world.settings.scale_sets.job_still_running_status);
    let message = format!("{what} is still running a job.");
    Answer::exception(status.unwrap_or(StatusCode::BAD_REQUEST), "JobStillRunningException", &message)
}

fn absent(id: &str) -> Answer {
    let message = format!("No agent found with identifier {id}.");
    Answer::exception(StatusCode::NOT_FOUND, "AgentNotFoundException", &message)
}
