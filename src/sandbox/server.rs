//! The server: one task, one loopback port, both services and the control endpoint on it.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, State};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::connection::{Listener, Wire};
use super::ec2::Parameters;
use super::scenario::Scenario;
use super::traffic::{Call, Cut, Fault, Service, Traffic};
use super::world::{Refusal, World};
use super::{control, ec2, github, scenario};

/// The token that every world knows; it is worth nothing anywhere else.
pub(super) const TOKEN: &str = "sandbox-token";

/// The largest request body that is read.
const BODY_LIMIT: usize = 1 << 20;

/// The embedded world, served until this handle is dropped.
#[derive(Debug)]
pub struct Sandbox {
    scenario: Scenario,
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Dropped or sent, it ends the server.
    shutdown: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

/// What all connections share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) scenario: Scenario,
    world: Mutex<World>,
    traffic: Mutex<Traffic>,
    requests: AtomicU64,
}

impl Shared {
    /// Returns the world, in which everything that is due by now has happened.
    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.step(Timestamp::now());
        world
    }

    pub(super) fn traffic(&self) -> MutexGuard<'_, Traffic> {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sandbox {
    /// Starts a world on `127.0.0.1`; port 0 takes a free one.
    ///
    /// # Errors
    /// The port can't be bound.
    pub async fn start(scenario: Scenario, port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            scenario,
            world: Mutex::new(scenario.world(Timestamp::now())),
            traffic: Mutex::default(),
            requests: AtomicU64::new(0),
        });
        let service = Router::new()
            .fallback(serve_request)
            .with_state(shared.clone())
            .into_make_service_with_connect_info::<Wire>();
        let (shutdown, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let until = async move { drop(stopped.await) };
            // Serving ends with an error never, and with the signal always (axum's documentation).
            drop(axum::serve(Listener(listener), service).with_graceful_shutdown(until).await);
        });
        Ok(Self { scenario, address, shared, shutdown: Some(shutdown), task })
    }

    /// Ends the server; returns when its last connection is closed.
    pub async fn stop(mut self) {
        drop(self.shutdown.take());
        drop((&mut self.task).await);
    }

    /// Returns the URL of the organization: `github.url`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/{}", self.endpoint(), self.scenario.organization())
    }

    /// Returns the base of everything: EC2's endpoint, `/api/v3` for GitHub, `/_sandbox` for the control.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
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
        scenario::configuration(&self.url())
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
        return (StatusCode::NOT_FOUND, "no such service: GitHub is under /api/v3, EC2 is POST /\n").into_response();
    };
    let (number, fault) = shared.traffic().note(exchange.call());
    let round_trip = shared.world().settings.round_trip;
    if !round_trip.is_zero() {
        tokio::time::sleep(round_trip).await;
    }
    let cut = fault.as_ref().and_then(|fault| fault.drop);
    if cut == Some(Cut::Before) {
        wire.cut();
        return StatusCode::OK.into_response();
    }
    let request_id = shared.requests.fetch_add(1, Ordering::Relaxed);
    let mut response = exchange.answer(&shared, fault.as_ref(), request_id);
    if let Some(fault) = fault {
        response = disturb(response, &fault).await;
    }
    if cut == Some(Cut::After) {
        wire.cut();
    } else {
        shared.traffic().answered(number, response.status().as_u16());
    }
    response
}

/// One request for one of the services.
struct Exchange {
    parts: Parts,
    body: Bytes,
    /// The call's parameters, where it is one for EC2.
    ec2: Option<Parameters>,
}

impl Exchange {
    fn read(parts: Parts, body: Bytes) -> Option<Self> {
        let ec2 = (parts.method == Method::POST && parts.uri.path() == "/").then(|| Parameters::read(&body));
        (ec2.is_some() || parts.uri.path().starts_with("/api/v3/")).then_some(Self { parts, body, ec2 })
    }

    fn call(&self) -> Call {
        let method = self.parts.method.to_string();
        if let Some(parameters) = &self.ec2 {
            let parameters = parameters.shown();
            let target = parameters.get("Action").cloned().unwrap_or_default();
            return Call { service: Service::Ec2, method, target, parameters, status: None };
        }
        let target = self.parts.uri.path_and_query().map_or("", |target| target.as_str());
        let fields: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&self.body).unwrap_or_default();
        Call {
            service: Service::Github,
            method,
            target: target.strip_prefix("/api/v3").unwrap_or(target).to_owned(),
            parameters: fields.into_iter().map(|(name, value)| (name, value.to_string())).collect(),
            status: None,
        }
    }

    fn answer(&self, shared: &Shared, fault: Option<&Fault>, number: u64) -> Response {
        let fault = fault.filter(|fault| fault.replaces_answer());
        let headers = &self.parts.headers;
        if let Some(parameters) = &self.ec2 {
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
            return response;
        }
        let id = format!("5A4D:B0F:{number:06X}");
        let Some(fault) = fault else {
            return github::respond(&mut shared.world(), &self.parts.method, &self.parts.uri, headers, &self.body, &id);
        };
        let default = if fault.redirect.is_some() { 301 } else { 500 };
        let status = StatusCode::from_u16(fault.status.unwrap_or(default)).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let message = fault.message.as_deref().or(status.canonical_reason()).unwrap_or("injected");
        let body = github::error_body(status, message).to_string();
        let headers = [
            (header::CONTENT_TYPE, "application/json; charset=utf-8".to_owned()),
            (HeaderName::from_static("x-github-request-id"), id),
        ];
        (status, headers, body).into_response()
    }
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
