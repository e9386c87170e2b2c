//! Message sessions: opened, refreshed, ended.

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::Answer;
use super::{Request, documents, jwt, scale_sets};
use crate::sandbox::world::{Grant, SessionRefused, World, take_one};

#[derive(Deserialize)]
struct SessionBody {
    #[serde(rename = "ownerName")]
    owner_name: Option<String>,
}

pub(super) fn respond(world: &mut World, request: &Request, set: u64, rest: &[&str]) -> Answer {
    match (request.method, rest) {
        (&Method::POST, []) => open(world, request, set),
        (&Method::PATCH, [id]) => refresh(world, request, set, id),
        (&Method::DELETE, [id]) => {
            if world.close_session(set, id) {
                Answer::empty(StatusCode::NO_CONTENT)
            } else {
                expired()
            }
        }
        _ => Answer::no_route(),
    }
}

fn open(world: &mut World, request: &Request, set: u64) -> Answer {
    let body: SessionBody = match serde_json::from_slice(request.body) {
        Ok(body) => body,
        Err(error) => return scale_sets::malformed(&error),
    };
    match world.open_session(set, &body.owner_name.unwrap_or_default()) {
        Ok(id) => show(world, request, set, &id),
        Err(SessionRefused::NoSet) => Answer::no_scale_set(&set.to_string()),
        Err(SessionRefused::Conflict) => {
            let name = world.scale_set_of(set).map(|set| set.name.clone()).unwrap_or_default();
            Answer::exception(
                StatusCode::CONFLICT,
                "RunnerScaleSetSessionConflictException",
                &format!("The actions runner scaleset {name} already has an active session."),
            )
        }
    }
}

fn refresh(world: &mut World, request: &Request, set: u64, id: &str) -> Answer {
    if let Some(lost) = lose(world, set, id) {
        return lost;
    }
    if world.session(set, id).is_none() {
        return forgotten(id);
    }
    show(world, request, set, id)
}

/// Ends a session where a switch says so; returns the answer to whoever asked for it.
pub(super) fn lose(world: &mut World, set: u64, id: &str) -> Option<Answer> {
    let settings = &mut world.settings.scale_sets;
    let answer = if take_one(&mut settings.expired_sessions) {
        expired()
    } else if take_one(&mut settings.forgotten_sessions) {
        forgotten(id)
    } else {
        return None;
    };
    world.close_session(set, id);
    Some(answer)
}

/// Shows a session with a new queue token.
fn show(world: &mut World, request: &Request, set: u64, id: &str) -> Answer {
    let service = request.service_url(world);
    let until = world.now() + world.settings.scale_sets.queue_token_lives;
    let token = jwt(&world.guid(), world.now(), until);
    world.grant(&token, Grant::Queue { set, session: id.to_owned() }, until);
    let settings = &mut world.settings.scale_sets;
    let url_is_empty = take_one(&mut settings.empty_queue_urls);
    let without_statistics = take_one(&mut settings.sessions_without_statistics);
    let statistics = if without_statistics { Value::Null } else { documents::counts(world.statistics(set)) };
    // The query belongs to the address: a client that drops it names no session.
    let url = format!("{}/broker/scalesets/message?session={id}&set={set}", request.base);
    let Some(found) = world.scale_set_of(set) else { return Answer::no_scale_set(&set.to_string()) };
    Answer::ok(json!({
        "sessionId": id, "ownerName": found.session.as_ref().map(|session| &session.owner),
        "runnerScaleSet": documents::scale_set(world, &service, found, None),
        "messageQueueUrl": if url_is_empty { "" } else { &url }, "messageQueueAccessToken": token,
        "statistics": statistics,
    }))
}

/// Returns 400: the session has expired.
pub(super) fn expired() -> Answer {
    let message = "The session has expired.";
    Answer::exception(StatusCode::BAD_REQUEST, "RunnerScaleSetSessionExpiredException", message)
}

fn forgotten(id: &str) -> Answer {
    let message = format!("session ID {id} not found in redis");
    Answer::exception(StatusCode::NOT_FOUND, "RunnerAdminException", &message)
}
