//! The message queue: polls, which are held until there is something to say, acknowledgements, and acquiring.

use std::time::{Duration, Instant};

use http::{Method, StatusCode};

use super::answer::Answer;
use super::{Request, documents, scale_sets, sessions};
use crate::sandbox::connection::Wire;
use crate::sandbox::server::Shared;
use crate::sandbox::world::{Grant, World, take_one};

/// How often a held poll looks for news. Time makes news too, so nobody could call it.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Answers a request of the queue.
pub(super) async fn respond(shared: &Shared, request: &Request<'_>, wire: &Wire) -> Answer {
    let (set, session) = match admit(&shared.world(), request) {
        Ok(named) => named,
        Err(answer) => return answer,
    };
    let path: Vec<_> = request.path.iter().map(String::as_str).collect();
    match (request.method, &path[..]) {
        (&Method::GET, ["scalesets", "message"]) => poll(shared, request, wire, set, &session).await,
        (&Method::DELETE, ["scalesets", "message", id]) => {
            let mut world = shared.world();
            if world.session(set, &session).is_none() {
                return gone(&world, set);
            }
            let there = id.parse().is_ok_and(|id| world.acknowledge(set, &session, id));
            Answer::empty(if there { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND })
        }
        _ => Answer::no_route(),
    }
}

/// Returns whose queue it is: the token must be of the session that the address names.
fn admit(world: &World, request: &Request) -> Result<(u64, String), Answer> {
    let granted = request.bearer().and_then(|token| world.granted(token));
    let Some(Grant::Queue { set, session }) = granted else { return Err(Answer::unauthorized()) };
    if request.parameter("session") != Some(session) {
        let message = "The session is not known.";
        return Err(Answer::broker(StatusCode::BAD_REQUEST, "RunnerSessionInvalid", message));
    }
    Ok((*set, session.clone()))
}

fn gone(world: &World, set: u64) -> Answer {
    if world.scale_set_of(set).is_some() { sessions::expired() } else { Answer::no_scale_set(&set.to_string()) }
}

/// A poll that is held; the session knows of it until it ends, however it does.
struct Held<'a> {
    shared: &'a Shared,
    set: u64,
    session: &'a str,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.shared.world().end_poll(self.set, self.session);
    }
}

async fn poll(shared: &Shared, request: &Request<'_>, wire: &Wire, set: u64, session: &str) -> Answer {
    // Who announces nothing gets nothing in direct mode: a client that forgot the header must notice.
    let capacity = request.headers.get("x-scalesetmaxcapacity").map(|value| value.to_str().ok()?.parse::<u32>().ok());
    let Some(capacity) = capacity.unwrap_or(Some(0)) else {
        let message = "X-ScaleSetMaxCapacity is not a number from 0.";
        return Answer::broker(StatusCode::BAD_REQUEST, "InvalidCapacity", message);
    };
    let Ok(last) = request.parameter("lastMessageId").unwrap_or("0").parse::<u64>() else {
        return Answer::broker(StatusCode::BAD_REQUEST, "InvalidMessageId", "lastMessageId is not a number.");
    };
    let (hold, cut) = {
        let mut world = shared.world();
        if let Some(lost) = sessions::lose(&mut world, set, session) {
            return lost;
        }
        if take_one(&mut world.settings.scale_sets.forbidden_polls) {
            return Answer::broker(StatusCode::FORBIDDEN, "Forbidden", "The request is not allowed.");
        }
        if !world.begin_poll(set, session, capacity) {
            return gone(&world, set);
        }
        (world.settings.scale_sets.poll_hold, take_one(&mut world.settings.scale_sets.cut_polls))
    };
    let _held = Held { shared, set, session };
    if take_one(&mut shared.world().settings.scale_sets.empty_polls) {
        return Answer::empty(StatusCode::OK);
    }
    let hold = if cut { hold / 2 } else { hold };
    let answer = wait(shared, request, set, session, last, hold).await;
    if cut {
        wire.cut();
    }
    answer
}

/// Waits for the next message, at most for `hold`, and not when the server ends.
async fn wait(shared: &Shared, request: &Request<'_>, set: u64, session: &str, last: u64, hold: Duration) -> Answer {
    let began = Instant::now();
    loop {
        let looked = Instant::now();
        {
            let mut world = shared.world();
            if world.session(set, session).is_none() {
                return gone(&world, set);
            }
            if let Some(message) = world.next_message(set, session, last) {
                let nulls = world.settings.scale_sets.nulls;
                return Answer::ok(documents::message(&message, &request.service_url(&world), set, nulls));
            }
        }
        let left = hold.saturating_sub(began.elapsed());
        if left.is_zero() || shared.is_stopping() {
            return Answer::empty(StatusCode::ACCEPTED);
        }
        // A large world takes its time: most of it is left to whoever else wants the world.
        tokio::time::sleep(left.min(LOOK_EVERY.max(10 * looked.elapsed()))).await;
    }
}

/// Acquires jobs for a set: the one request of the service that takes the queue's token.
pub(super) fn acquire(world: &mut World, request: &Request, set: &str) -> Answer {
    let granted = request.bearer().and_then(|token| world.granted(token)).cloned();
    let Some(Grant::Queue { set: own, session }) = granted else { return Answer::unauthorized() };
    if request.method != Method::POST {
        return Answer::no_route();
    }
    if set.parse() != Ok(own) {
        return Answer::no_scale_set(set);
    }
    if world.session(own, &session).is_none() {
        return gone(world, own);
    }
    match serde_json::from_slice::<Vec<u64>>(request.body) {
        Ok(requests) => Answer::list(world.acquire(own, &requests).into_iter().map(Into::into)),
        Err(error) => scale_sets::malformed(&error),
    }
}
