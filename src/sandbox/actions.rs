//! The Actions Service, as far as runner scale sets need it, and its message queue on an address of its own.
//!
//! The service is under `/svc/{tenant}/`, where the tenant changes when the service moves; the queue is under `/broker/`.

mod agents;
mod answer;
mod documents;
mod queue;
mod scale_sets;
mod sessions;
mod token;

use std::collections::BTreeMap;

use axum::response::Response;
use http::request::Parts;
use http::{Method, StatusCode, header};

pub(super) use self::answer::exception;
use self::answer::{Answer, write};
pub(super) use self::token::jwt;
use super::connection::Wire;
use super::server::Shared;
use super::world::{Grant, World};

/// What a request is for.
#[derive(Debug, PartialEq, Eq)]
enum Place<'a> {
    /// The service at one of its URLs: the number in it, and the path behind it.
    Service(u32, &'a str),
    /// The queue: the path behind its address.
    Queue(&'a str),
}

impl<'a> Place<'a> {
    fn of(path: &'a str) -> Option<Self> {
        if let Some(rest) = path.strip_prefix("/broker/") {
            return Some(Self::Queue(rest));
        }
        let (tenant, rest) = path.strip_prefix("/svc/t")?.split_once('/')?;
        Some(Self::Service(tenant.parse().ok()?, rest))
    }
}

/// Returns whether a path is the service's or the queue's.
pub(super) fn serves(path: &str) -> bool {
    Place::of(path).is_some()
}

/// Returns a path behind the service's or the queue's address: what doesn't change when the service moves.
pub(super) fn target(path_and_query: &str) -> String {
    match Place::of(path_and_query) {
        Some(Place::Service(_, rest) | Place::Queue(rest)) => format!("/{rest}"),
        None => path_and_query.to_owned(),
    }
}

/// Returns the service's URL, which ends in a slash as GitHub's does.
pub(super) fn service_url(base: &str, tenant: u32) -> String {
    format!("{base}/svc/t{tenant}/")
}

/// A request, read.
#[derive(Debug)]
struct Request<'a> {
    method: &'a Method,
    /// The segments of the path behind the service's address.
    path: Vec<String>,
    query: BTreeMap<String, String>,
    headers: &'a http::HeaderMap,
    body: &'a [u8],
    /// Scheme, host and port as the client wrote them.
    base: String,
}

impl Request<'_> {
    fn bearer(&self) -> Option<&str> {
        self.headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    fn service_url(&self, world: &World) -> String {
        service_url(&self.base, world.tenant())
    }
}

/// Answers one request, whose path is the service's or the queue's. A poll is held here.
pub(super) async fn respond(shared: &Shared, parts: &Parts, body: &[u8], wire: &Wire, number: u64) -> Response {
    let place = Place::of(parts.uri.path());
    let rest = match place {
        Some(Place::Service(_, rest) | Place::Queue(rest)) => rest,
        None => "",
    };
    let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("127.0.0.1");
    let query = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned();
    let request = Request {
        method: &parts.method,
        path: rest.trim_end_matches('/').split('/').map(str::to_owned).collect(),
        query: query.collect(),
        headers: &parts.headers,
        body,
        base: format!("http://{host}"),
    };
    let answer = match place {
        Some(Place::Queue(_)) => queue::respond(shared, &request, wire).await,
        Some(Place::Service(tenant, _)) => route(&mut shared.world(), tenant, &request),
        None => Answer::text(StatusCode::NOT_FOUND, "no such service"),
    };
    let settings = shared.world().settings.scale_sets.clone();
    write(answer, &settings, number)
}

fn route(world: &mut World, tenant: u32, request: &Request) -> Answer {
    if tenant != world.tenant() {
        return Answer::text(StatusCode::NOT_FOUND, "The service has moved");
    }
    let path: Vec<_> = request.path.iter().map(String::as_str).collect();
    if let ["_apis", "runtime", "runnerscalesets", set, "acquirejobs"] = path[..] {
        return queue::acquire(world, request, set);
    }
    let Some(Grant::Admin(scope)) = request.bearer().and_then(|token| world.granted(token)).cloned() else {
        return Answer::unauthorized();
    };
    if request.method != Method::GET && request.parameter("api-version").is_none() {
        let message = format!("No api-version was supplied for the \"{}\" request.", request.method);
        return Answer::exception(StatusCode::BAD_REQUEST, "VssVersionNotSpecifiedException", &message);
    }
    let scope = &scope;
    match path[..] {
        ["_apis", "runtime", "runnergroups"] if request.method == Method::GET => {
            scale_sets::groups(world, request, scope)
        }
        ["_apis", "runtime", "runnerscalesets", ref rest @ ..] => match *rest {
            [] => scale_sets::of_scope(world, request, scope),
            [id, ref rest @ ..] => match scale_sets::find(world, scope, id) {
                Ok(set) => match *rest {
                    [] => scale_sets::one(world, request, set),
                    ["generatejitconfig"] if request.method == Method::POST => agents::jit(world, request, set),
                    ["acquirablejobs"] if request.method == Method::GET => scale_sets::acquirable(world, request, set),
                    ["sessions", ref rest @ ..] => sessions::respond(world, request, set, rest),
                    _ => Answer::no_route(),
                },
                Err(answer) => answer,
            },
        },
        ["_apis", "distributedtask", "pools", "0", "agents", ref rest @ ..] => {
            agents::respond(world, request, scope, rest)
        }
        _ => Answer::no_route(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_named_by_what_stands_behind_the_address_that_may_change() {
        assert_eq!(target("/svc/t12/_apis/runtime/runnergroups/?x=1"), "/_apis/runtime/runnergroups/?x=1");
        assert_eq!(target("/broker/scalesets/message/7?s=a"), "/scalesets/message/7?s=a");
        assert!(!serves("/api/v3/orgs/acme") && !serves("/svc/_apis") && !serves("/svc/tx/_apis"));
    }
}
