//! The server: one task, one loopback port, the three services and the control endpoint on it.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, State};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::connection::{Listener, Wire};
use super::ec2::Parameters;
use super::scenario::{Beginning, Scenario};
use super::traffic::{Call, Fault, Hold, Holder, Moment, Noted, Service, Traffic};
use super::world::{Refusal, World};
use super::{actions, control, ec2, github};
use crate::clock::Clock;

/// The token that every world knows; it is worth nothing anywhere else.
pub(super) const TOKEN: &str = "sandbox-token";

/// The largest request body that is read.
const BODY_LIMIT: usize = 1 << 20;

/// The embedded world, served until this handle is dropped.
#[derive(Debug)]
pub struct Sandbox {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Dropped or sent, it ends the server.
    shutdown: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

/// What all connections share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) clock: Clock,
    pub(super) beginning: Beginning,
    world: Mutex<World>,
    traffic: Mutex<Traffic>,
    requests: AtomicU64,
    /// Requests of GitHub's that are under way.
    of_github: AtomicUsize,
    stopping: AtomicBool,
}

impl Shared {
    /// Returns the world, in which everything that is due by now has happened.
    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.step(self.clock.now());
        world.may_change();
        world
    }

    /// Returns the same world for reading: of ten thousand requests for lists not each looks for what is due among
    /// thousands of jobs.
    pub(super) fn world_to_read(&self) -> MutexGuard<'_, World> {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.go_on(self.clock.now());
        world
    }

    pub(super) fn traffic(&self) -> MutexGuard<'_, Traffic> {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether the server ends: nothing is held any more.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

impl Sandbox {
    /// Starts a world on `127.0.0.1`; port 0 takes a free one.
    ///
    /// # Errors
    /// The port can't be bound.
    pub async fn start(scenario: Scenario, port: u16) -> io::Result<Self> {
        Self::begin(scenario.into(), port).await
    }

    /// Starts a world as a scenario or a scenario file says.
    ///
    /// # Errors
    /// The port can't be bound.
    pub async fn begin(beginning: Beginning, port: u16) -> io::Result<Self> {
        Self::begin_by(Clock::real(), beginning, port).await
    }

    /// The same, in a world whose time is another clock's.
    ///
    /// # Errors
    /// The port can't be bound.
    pub async fn begin_by(clock: Clock, beginning: Beginning, port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            clock,
            world: Mutex::new(beginning.world(clock.now())),
            beginning,
            traffic: Mutex::default(),
            requests: AtomicU64::new(0),
            of_github: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
        });
        let service = Router::new()
            .fallback(serve_request)
            .with_state(shared.clone())
            .into_make_service_with_connect_info::<Wire>();
        let held = shared.clone();
        let (shutdown, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let until = async move {
                drop(stopped.await);
                held.stopping.store(true, Ordering::Relaxed);
            };
            // Serving ends with an error never, and with the signal always (axum's documentation).
            drop(axum::serve(Listener(listener), service).with_graceful_shutdown(until).await);
        });
        Ok(Self { address, shared, shutdown: Some(shutdown), task })
    }

    /// Ends the server; returns when its last connection is closed.
    pub async fn stop(mut self) {
        drop(self.shutdown.take());
        drop((&mut self.task).await);
    }

    /// Returns what its world began with.
    pub(super) fn beginning(&self) -> &Beginning {
        &self.shared.beginning
    }

    /// Returns the URL of the organization: `github.url`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/{}", self.endpoint(), self.shared.beginning.organization())
    }

    /// Returns the URL of an enterprise.
    #[must_use]
    pub fn enterprise_url(&self, slug: &str) -> String {
        format!("{}/enterprises/{slug}", self.endpoint())
    }

    /// Returns the base of everything: EC2's endpoint, `/api/v3` for GitHub, `/_sandbox` for the control. Where the
    /// Actions Service is, GitHub says.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the port on which it is served.
    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Returns the token that this GitHub accepts. It is no secret.
    #[must_use]
    pub fn token(&self) -> &'static str {
        TOKEN
    }

    /// Returns the world for reading and changing, in which everything that is due by now has happened. The servers
    /// wait as long as it is held.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.shared.world()
    }

    /// Lets time pass: makes everything older by a duration, and lets happen what is due.
    pub fn advance(&self, by: Duration) {
        self.world().advance(by);
    }

    /// Injects a fault.
    pub fn fault(&self, fault: Fault) {
        self.shared.traffic().add(fault);
    }

    /// Holds one of the requests to come at a moment, after so many others.
    #[must_use]
    pub fn hold(&self, skip: usize, moment: Moment) -> Hold {
        self.shared.traffic().hold("", skip, moment)
    }

    /// Holds the next request whose `METHOD /path?query`, or EC2 action, contains `matching` at a moment.
    #[must_use]
    pub fn hold_at(&self, matching: &str, moment: Moment) -> Hold {
        self.shared.traffic().hold(matching, 0, moment)
    }

    /// Returns the requests so far.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.shared.traffic().calls()
    }

    /// Forgets the requests so far.
    pub fn forget_calls(&self) {
        self.shared.traffic().forget_calls();
    }

    /// Returns a complete `ghascale.toml` for the scenario's pools.
    #[must_use]
    pub fn configuration(&self) -> String {
        self.shared.beginning.configuration(&self.url())
    }

    /// Returns the environment that a process needs beside the configuration.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("GITHUB_TOKEN", TOKEN.to_owned()),
            ("AWS_ENDPOINT_URL_EC2", self.endpoint()),
            ("AWS_ACCESS_KEY_ID", ec2::ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "sandbox-secret".to_owned()),
            ("AWS_REGION", "eu-north-1".to_owned()),
        ]
    }
}

/// Serves one request: it is noted, may meet a fault, and is answered by its service.
async fn serve_request(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(wire): ConnectInfo<Wire>,
    request: axum::extract::Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, BODY_LIMIT).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    if let Some(path) = parts.uri.path().strip_prefix("/_sandbox/") {
        return control::answer(&shared, &parts.method, path, &body);
    }
    let Some(exchange) = Exchange::read(parts, body) else {
        return (
            StatusCode::NOT_FOUND,
            "no such service: GitHub is under /api/v3, EC2 is POST /, and GitHub says where Actions is\n",
        )
            .into_response();
    };
    let call = exchange.call();
    let under_way = UnderWay::begin(&shared, &exchange);
    let Noted { number, fault, holder } = shared.traffic().note(call.clone());
    let round_trip = shared.world_to_read().settings.round_trip;
    if !round_trip.is_zero() {
        shared.clock.sleep(round_trip).await;
    }
    let holder = held(holder, Moment::Before, &call).await;
    let cut = fault.as_ref().and_then(|fault| fault.drop);
    if cut == Some(Moment::Before) {
        wire.cut();
        return StatusCode::OK.into_response();
    }
    let request_id = shared.requests.fetch_add(1, Ordering::Relaxed);
    let mut response = exchange.answer(&shared, fault.as_ref(), &wire, request_id, under_way.count).await;
    if let Some(fault) = fault {
        response = disturb(response, &fault).await;
    }
    held(holder, Moment::After, &call).await;
    if cut == Some(Moment::After) {
        wire.cut();
    }
    if !wire.is_cut() {
        shared.traffic().answered(number, response.status().as_u16());
    }
    response
}

/// A request while it is under way.
struct UnderWay<'a> {
    shared: &'a Shared,
    /// How many of GitHub's were when it began, itself included; 0 where it is another service's.
    count: usize,
}

impl<'a> UnderWay<'a> {
    fn begin(shared: &'a Shared, exchange: &Exchange) -> Self {
        let is_of_github = matches!(exchange.service, Addressed::Github);
        let count = if is_of_github { shared.of_github.fetch_add(1, Ordering::Relaxed) + 1 } else { 0 };
        Self { shared, count }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if self.count > 0 {
            self.shared.of_github.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Holds a request, if this is its moment; returns what holds it at another.
async fn held(holder: Option<Holder>, now: Moment, call: &Call) -> Option<Holder> {
    match holder {
        Some(holder) if holder.moment == now => {
            holder.hold(call.clone()).await;
            None
        }
        holder => holder,
    }
}

/// One request for one of the services.
struct Exchange {
    parts: Parts,
    body: Bytes,
    service: Addressed,
}

/// Whom a request is for.
enum Addressed {
    Github,
    Actions,
    /// EC2, and the call's parameters.
    Ec2(Parameters),
}

impl Exchange {
    fn read(parts: Parts, body: Bytes) -> Option<Self> {
        let path = parts.uri.path();
        let service = if parts.method == Method::POST && path == "/" {
            Addressed::Ec2(Parameters::read(&body))
        } else if path.starts_with("/api/v3/") || path == "/api/graphql" {
            Addressed::Github
        } else if actions::serves(path) {
            Addressed::Actions
        } else {
            return None;
        };
        Some(Self { parts, body, service })
    }

    fn call(&self) -> Call {
        let method = self.parts.method.to_string();
        let target = self.parts.uri.path_and_query().map_or("", |target| target.as_str());
        match &self.service {
            Addressed::Ec2(parameters) => {
                let parameters = parameters.shown();
                let target = parameters.get("Action").cloned().unwrap_or_default();
                Call { service: Service::Ec2, method, target, parameters, status: None }
            }
            Addressed::Github => {
                let target = target.strip_prefix("/api/v3").unwrap_or(target).to_owned();
                Call { service: Service::Github, method, target, parameters: self.fields(), status: None }
            }
            Addressed::Actions => {
                let mut parameters = self.fields();
                if let Some(capacity) = self.parts.headers.get(CAPACITY).and_then(|value| value.to_str().ok()) {
                    parameters.insert(CAPACITY.to_owned(), capacity.to_owned());
                }
                Call { service: Service::Actions, method, target: actions::target(target), parameters, status: None }
            }
        }
    }

    /// Returns the fields of a JSON body.
    fn fields(&self) -> BTreeMap<String, String> {
        match serde_json::from_slice(&self.body) {
            Ok(Value::Object(fields)) => fields.into_iter().map(|(name, value)| (name, value.to_string())).collect(),
            Ok(value) => BTreeMap::from([("body".to_owned(), value.to_string())]),
            Err(_) => BTreeMap::new(),
        }
    }

    async fn answer(
        &self,
        shared: &Shared,
        fault: Option<&Fault>,
        wire: &Wire,
        number: u64,
        under_way: usize,
    ) -> Response {
        let fault = fault.filter(|fault| fault.replaces_answer());
        let Parts { method, uri, headers, .. } = &self.parts;
        match (&self.service, fault) {
            (Addressed::Ec2(parameters), fault) => answer_ec2(shared, headers, parameters, fault, number),
            (Addressed::Actions, None) => actions::respond(shared, &self.parts, &self.body, wire, number).await,
            (Addressed::Github, None) => {
                let id = format!("5A4D:B0F:{number:06X}");
                let mut world = if method == Method::GET { shared.world_to_read() } else { shared.world() };
                github::respond(&mut world, method, uri, headers, &self.body, &id, under_way)
            }
            (Addressed::Actions, Some(fault)) => {
                let (status, message) = words(fault);
                let name = fault.code.as_deref().unwrap_or("VssServiceException");
                let body = actions::exception(name, &message).to_string();
                let id = format!("00000000-0000-4000-9000-{number:012x}");
                let headers = [
                    (header::CONTENT_TYPE, "application/json; charset=utf-8".to_owned()),
                    (HeaderName::from_static("activityid"), id),
                ];
                (status, headers, body).into_response()
            }
            (Addressed::Github, Some(fault)) => {
                let (status, message) = words(fault);
                let body = github::error_body(status, &message).to_string();
                let headers = [
                    (header::CONTENT_TYPE, "application/json; charset=utf-8".to_owned()),
                    (HeaderName::from_static("x-github-request-id"), format!("5A4D:B0F:{number:06X}")),
                ];
                (status, headers, body).into_response()
            }
        }
    }
}

/// The header that announces how many jobs a listener would take.
const CAPACITY: &str = "X-ScaleSetMaxCapacity";

/// Returns the status and the message of a fault that answers in a service's place.
fn words(fault: &Fault) -> (StatusCode, String) {
    let default = if fault.redirect.is_some() { 301 } else { 500 };
    let status = StatusCode::from_u16(fault.status.unwrap_or(default)).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let message = fault.message.as_deref().or(status.canonical_reason()).unwrap_or("injected");
    (status, message.to_owned())
}

fn answer_ec2(
    shared: &Shared,
    headers: &HeaderMap,
    parameters: &Parameters,
    fault: Option<&Fault>,
    number: u64,
) -> Response {
    let id = format!("00000000-0000-4000-8000-{number:012x}");
    let status = fault.and_then(|fault| fault.status).and_then(|status| StatusCode::from_u16(status).ok());
    if let Some(fault) = fault.filter(|fault| fault.code.is_none()) {
        let refusal = Refusal::new("InternalError", fault.message.as_deref().unwrap_or("injected"));
        return ec2::refuse(&refusal, status, &id);
    }
    let refusal = fault.map(|fault| {
        let message = fault.message.as_deref().unwrap_or("injected");
        Refusal::new(fault.code.as_deref().unwrap_or_default(), message)
    });
    let mut response = ec2::answer(&mut shared.world(), headers, parameters, refusal, &id);
    if let Some(status) = status {
        *response.status_mut() = status;
    }
    response
}

/// Does to an answer what a fault says.
async fn disturb(response: Response, fault: &Fault) -> Response {
    let (mut parts, body) = response.into_parts();
    let mut body = match &fault.body {
        Some(text) => Bytes::from(text.clone()),
        None => axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default(),
    };
    if let Some(bytes) = fault.truncate {
        body.truncate(bytes);
    }
    parts.headers.remove(header::CONTENT_LENGTH);
    if let Some(Ok(location)) = fault.redirect.as_ref().map(|to| HeaderValue::from_str(to)) {
        parts.headers.insert(header::LOCATION, location);
    }
    for (name, value) in &fault.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(value)) {
            parts.headers.insert(name, value);
        }
    }
    Response::from_parts(parts, Body::from(body))
}
