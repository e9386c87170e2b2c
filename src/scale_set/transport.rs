//! One request to the service or its queue, and its answer, whole; how long is waited before it may be sent again.

use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use jiff::Timestamp;
use reqwest::redirect::Policy;
use secrecy::{ExposeSecret as _, SecretString};

use super::address::Address;
use super::error::{Error, ErrorKind};
use super::refusal::{Refusal, activity_id, refusal, scrubbed};
use crate::config::is_loopback;
use crate::github::transport::{LARGEST_ANSWER, builder, chain};
use crate::github::{Patience, SENDS, lock};
use crate::tally::Tally;

/// A connection that says nothing for so long is asked whether it is there: a long poll must notice when it isn't.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// However long the service wants to be left alone, after so long it is asked again.
const CLOSED_AT_MOST: Duration = Duration::from_mins(10);

/// The HTTP clients, made when they are first needed.
pub(super) struct Transport {
    ca_pem: Option<Vec<u8>>,
    /// For loopback, which no proxy is asked for.
    direct: OnceLock<reqwest::Client>,
    /// For everything else.
    outward: OnceLock<reqwest::Client>,
    pub(super) patience: Patience,
    pub(super) tally: Tally,
    /// Until when no runner is registered, since the service wants to be left alone.
    closed: Mutex<Option<Closed>>,
}

/// One request.
pub(super) struct Request<'a> {
    pub(super) method: Method,
    pub(super) address: Address,
    /// The service's token or the queue's: the caller answers for it that the address belongs to it.
    pub(super) token: &'a SecretString,
    pub(super) body: Option<String>,
    /// Headers that only this request has.
    pub(super) headers: Vec<(&'static str, String)>,
    /// How long its answer may take; `None`: as every other.
    pub(super) timeout: Option<Duration>,
    pub(super) gate: Gate,
}

/// Whether a request is kept back while the service wants to be left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// It is not sent: it can come as often as there are jobs.
    Heeded,
    /// It is: it keeps a session alive, or undoes something.
    Ignored,
}

/// The service wants to be left alone.
#[derive(Clone, Debug)]
struct Closed {
    /// Until then, by this process's own clock.
    at: Instant,
    /// And by the time of day.
    until: Timestamp,
    /// What it said.
    why: String,
}

/// A good answer: 2xx.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Method and address, for errors about the body.
    pub(super) request: String,
}

impl Transport {
    pub(super) fn new(ca_pem: Option<Vec<u8>>, patience: Patience) -> Self {
        Self {
            ca_pem,
            direct: OnceLock::new(),
            outward: OnceLock::new(),
            patience,
            tally: Tally::default(),
            closed: Mutex::default(),
        }
    }

    /// Returns the client for a host; makes it if it is the first to that side.
    pub(super) fn client(&self, host: &str) -> Result<&reqwest::Client, String> {
        let side = if is_loopback(host) { &self.direct } else { &self.outward };
        if let Some(client) = side.get() {
            return Ok(client);
        }
        let client = builder(host, self.ca_pem.as_deref())?
            // The service never redirects; who does in its place gets nothing of ours.
            .redirect(Policy::none())
            // No repetition below ours: reqwest's own would send a request twice that creates something.
            .retry(reqwest::retry::never())
            .tcp_keepalive(KEEPALIVE)
            .http2_keep_alive_interval(KEEPALIVE)
            .http2_keep_alive_timeout(KEEPALIVE)
            .build()
            .map_err(|error| chain(&error))?;
        Ok(side.get_or_init(|| client))
    }

    /// Sends one request, once, and reads its answer whole. Every request passes here.
    pub(super) async fn send(&self, request: Request<'_>) -> Result<Reply, Refusal> {
        if request.gate == Gate::Ignored {
            return self.send_now(request).await;
        }
        let closed = lock(&self.closed).clone();
        if let Some(Closed { until, why, .. }) = closed.filter(|closed| Instant::now() < closed.at) {
            return Err(Refusal::from(Error {
                kind: ErrorKind::Throttled { until: Some(until) },
                request: format!("{} {}", request.method, request.address.shown),
                status: None,
                message: format!("not asked: the service wants to be left alone: {why}"),
                activity_id: None,
            }));
        }
        let answer = self.send_now(request).await;
        if let Err(Refusal { error, .. }) = &answer
            && let ErrorKind::Throttled { until: Some(until) } = error.kind
        {
            let now = Timestamp::now();
            let pause = Duration::try_from(until.duration_since(now)).unwrap_or_default().min(CLOSED_AT_MOST);
            let later = Closed { at: Instant::now() + pause, until: now + pause, why: error.message.clone() };
            let mut closed = lock(&self.closed);
            // Of those that were under way together the latest counts.
            if closed.as_ref().is_none_or(|known| known.at < later.at) {
                *closed = Some(later);
            }
        }
        answer
    }

    async fn send_now(&self, request: Request<'_>) -> Result<Reply, Refusal> {
        let Request { method, address, token, body, headers, timeout, gate: _ } = request;
        let shown = format!("{method} {}", address.shown);
        let failed = |kind, message: String| {
            let message = scrubbed(&message, token);
            Refusal::from(Error { kind, request: shown.clone(), status: None, message, activity_id: None })
        };
        let client = self
            .client(address.url.host_str().unwrap_or_default())
            .map_err(|message| failed(ErrorKind::Protocol, message))?;
        let authorization = bearer(token).map_err(|message| failed(ErrorKind::Protocol, message.to_owned()))?;
        let mut sent = client.request(method.clone(), address.url).header(AUTHORIZATION, authorization);
        if !headers.iter().any(|(name, _)| ACCEPT.as_str().eq_ignore_ascii_case(name)) {
            sent = sent.header(ACCEPT, "application/json");
        }
        for (name, value) in headers {
            sent = sent.header(name, value);
        }
        sent = match body {
            Some(body) => sent.header(CONTENT_TYPE, "application/json").body(body),
            None if method == Method::PATCH => sent.header(CONTENT_TYPE, "application/json").header(CONTENT_LENGTH, 0),
            None => sent,
        };
        if let Some(timeout) = timeout {
            sent = sent.timeout(timeout);
        }

        let started = Instant::now();
        let lost = |what: &str, error: reqwest::Error| {
            // The address is in the request already, and the error's has the query.
            failed(ErrorKind::Transport, format!("{what}{}", chain(&error.without_url())))
        };
        let answer = sent.send().await;
        self.tally.count(answer.as_ref().ok().map(|answer| answer.status().as_u16()));
        let mut answer = answer.map_err(|error| lost("", error))?;
        let (status, headers) = (answer.status(), std::mem::take(answer.headers_mut()));
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| lost("the answer broke off: ", error))? {
            if body.len() + chunk.len() > LARGEST_ANSWER {
                return Err(failed(ErrorKind::Protocol, format!("an answer of more than {LARGEST_ANSWER} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        let (code, ms) = (status.as_u16(), started.elapsed().as_millis());
        tracing::debug!(request = shown, status = code, ms, bytes = body.len(), "actions service");
        if status.is_success() {
            return Ok(Reply { status, headers, body: body.into(), request: shown });
        }
        Err(refusal(status, &headers, &body, shown, token))
    }
}

impl Reply {
    /// Returns the error of a body that isn't what the protocol says.
    pub(super) fn unreadable(&self, message: String) -> Error {
        let (request, activity_id) = (self.request.clone(), activity_id(&self.headers));
        Error { kind: ErrorKind::Protocol, request, status: None, message, activity_id }
    }
}

/// How often something that may be repeated was sent.
pub(super) struct Sends {
    count: u32,
    patience: Patience,
}

impl Sends {
    pub(super) fn of(patience: Patience) -> Self {
        Self { count: 1, patience }
    }

    /// Returns whether to send again, when it has waited; false where that would be of no use, or for too long.
    pub(super) async fn again(&mut self, kind: ErrorKind) -> bool {
        match kind {
            ErrorKind::Transport | ErrorKind::Server | ErrorKind::Throttled { until: None } => self.pause().await,
            ErrorKind::Throttled { until: Some(until) } => {
                let wait = Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default();
                if wait > self.patience.rate_limit {
                    return false;
                }
                tokio::time::sleep(wait).await;
                self.pause().await
            }
            _ => false,
        }
    }

    /// Returns whether to send again, when it has waited.
    pub(super) async fn pause(&mut self) -> bool {
        if self.count == SENDS {
            return false;
        }
        tokio::time::sleep(self.patience.before(self.count)).await;
        self.count += 1;
        true
    }
}

/// Returns a header that is never shown.
fn bearer(token: &SecretString) -> Result<HeaderValue, &'static str> {
    let header = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()));
    let mut header = header.map_err(|_| "the token holds a character that no header can")?;
    header.set_sensitive(true);
    Ok(header)
}
