//! The way from the REST API to the Actions Service: a registration token, then a registration.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde_json::json;

use super::answer::{Answer, Request};
use super::documents::time;
use super::{enterprise, find_repository};
use crate::sandbox::actions::{jwt, service_url};
use crate::sandbox::world::{Grant, Scope, World, take_one};

/// Where runners, and listeners, register.
pub(super) const PATH: &str = "/actions/runner-registration";

/// How long a registration token is valid.
const TOKEN_LIVES: Duration = Duration::from_hours(1);

/// Gives out a registration token of a scope.
pub(super) fn token(world: &mut World, scope: &Scope) -> Answer {
    let expires = world.now() + TOKEN_LIVES;
    let token = format!("AABF3JGZ{}", world.guid().replace('-', "").to_uppercase());
    world.grant(&token, Grant::Registration(scope.clone()), expires);
    Answer::created(json!({ "token": token, "expires_at": time(expires) }))
}

/// Returns a refusal to whoever brings no registration token.
pub(super) fn admit(world: &World, headers: &HeaderMap) -> Option<Answer> {
    match scope(world, headers) {
        Some(_) => None,
        None => Some(Answer::error(StatusCode::UNAUTHORIZED, "Bad credentials")),
    }
}

fn scope(world: &World, headers: &HeaderMap) -> Option<Scope> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    match world.granted(value.strip_prefix("RemoteAuth ")?)? {
        Grant::Registration(scope) => Some(scope.clone()),
        Grant::Admin(_) | Grant::Queue { .. } => None,
    }
}

#[derive(Deserialize)]
struct Registration {
    url: String,
    runner_event: String,
}

/// Answers where the scope's Actions Service is, with an admin token for it.
pub(super) fn register(world: &mut World, headers: &HeaderMap, request: &Request) -> Answer {
    let Some(scope) = scope(world, headers) else { return Answer::not_found() };
    let body: Registration = match serde_json::from_slice(request.body) {
        Ok(body) => body,
        Err(error) => return super::unprocessable(&format!("Invalid request.\n\n{error}")),
    };
    if body.runner_event != "register" {
        return super::unprocessable("Invalid request.\n\nrunner_event must be `register` or `remove`.");
    }
    if named(world, &body.url).as_ref() != Some(&scope) {
        return Answer::not_found();
    }
    if take_one(&mut world.settings.scale_sets.service_moves) {
        world.move_service();
    }
    let until = world.now() + world.settings.scale_sets.admin_token_lives;
    let token = jwt(&world.guid(), world.now(), until);
    world.grant(&token, Grant::Admin(scope), until);
    Answer::ok(json!({ "url": service_url(request.base, world.tenant()), "token": token }))
}

/// Returns the scope that a configuration URL names.
fn named(world: &World, url: &str) -> Option<Scope> {
    let (_, rest) = url.split_once("://")?;
    let (_, path) = rest.trim_matches('/').split_once('/')?;
    match path.split('/').collect::<Vec<_>>()[..] {
        [organization] if organization.eq_ignore_ascii_case(&world.organization) => Some(Scope::Organization),
        ["enterprises", slug] => enterprise::is_enterprise(world, slug).then_some(Scope::Enterprise),
        [owner, name] => find_repository(world, owner, name).map(|found| Scope::Repository(found.full_name.clone())),
        _ => None,
    }
}
