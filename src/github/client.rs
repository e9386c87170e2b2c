//! The one way to GitHub: addresses, headers, retries, rate limits, errors.
//!
//! octocrab carries the requests, and no more than that. Its models fail on legal data, its pages drop an App's
//! authorization off api.github.com, its cache stores truncated bodies and its retry repeats a POST (each shown with
//! 0.54.9); so it stands here without retry, cache and timeouts of its own, and is only asked for relative addresses.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::future::LocalBoxFuture;
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LINK, LOCATION, RETRY_AFTER,
};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Limited};
use jiff::{SignedDuration, Timestamp};
use octocrab::service::middleware::base_uri::BaseUriLayer;
use octocrab::service::middleware::reqwest_connector::ReqwestConnector;
use octocrab::{AuthState, Octocrab, OctocrabBuilder};
use reqwest::redirect::{Attempt, Policy};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::auth::{self, Auth};
use super::cache::{Cache, Fresh, Identity, Known, Tag};
use super::error::{Error, ErrorKind};
use super::etag::{self, Foresight};
use super::gate::{Gate, KEPT_AT_MOST, Limits, Purpose, Refusal, Told};
use super::graphql;
use super::skew;
use super::transport::{self, LARGEST_ANSWER, chain, one_line};
use crate::clock::Clock;
use crate::config;
use crate::quoting::json_fault;
use crate::tally::Tally;

/// The oldest version of the API that every supported server knows (GHES 3.9).
const API_VERSION: &str = "2022-11-28";
/// The form of every answer. It is part of what GitHub makes a tag from, and so there is only one.
const MEDIA_TYPE: &str = "application/vnd.github+json";
/// The name under which the cache keeps how often tags could be foreseen.
const FORESIGHT: &str = "foresight";
/// What ends the addresses of requests that count against the limit of registrations.
const REGISTRATIONS: [&str; 3] = ["/generate-jitconfig", "/registration-token", "/runner-registration"];
/// After so many refusals of our credentials in a row nothing is sent for a while.
const UNAUTHORIZED: u32 = 3;
const UNAUTHORIZED_FOR: Duration = Duration::from_secs(30);
/// The name under which the cache keeps until when GitHub has refused everything.
const CLOSED: &str = "closed until";
/// And until when it refuses registrations.
const UNREGISTERED: &str = "no registrations until";
/// Times that a GET is sent, the first included.
pub(crate) const SENDS: u32 = 3;
/// A server that fails and asks to be left alone for longer is not asked again: one repository must not hold up a look.
pub(super) const LEFT_ALONE_FOR: Duration = Duration::from_secs(5);

/// How long is waited for what.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// A rate limit that ends within this is waited for.
    pub rate_limit: Duration,
    /// The first pause before a GET is repeated; it doubles, with jitter.
    pub pause: Duration,
    /// The answer to a poll of the Actions Service's queue, which is held for up to 50 s where the service is there: a dead
    /// path is noticed by it.
    pub poll: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { rate_limit: Duration::from_mins(1), pause: Duration::from_millis(500), poll: Duration::from_secs(100) }
    }
}

impl Patience {
    /// Returns the pause before a GET that failed so is sent again, after so many sendings; `None`: it is not.
    pub(super) fn before_again(&self, kind: ErrorKind, sends: u32) -> Option<Duration> {
        let after = match kind {
            ErrorKind::Transport => Duration::ZERO,
            ErrorKind::Server { after } => after.unwrap_or_default(),
            _ => return None,
        };
        (sends < SENDS && after <= LEFT_ALONE_FOR).then(|| after.max(self.before(sends)))
    }

    /// Returns the pause before another sending, after so many.
    pub(crate) fn before(&self, sends: u32) -> Duration {
        self.pause.saturating_mul(1 << sends.min(16)).mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

/// What the requests so far have cost, and what is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Requests sent, repetitions and token mints included.
    pub requests: u64,
    /// Answers with status 304.
    pub not_modified: u64,
    /// `x-ratelimit-remaining` of the last answer that had it.
    pub remaining: Option<u64>,
    /// `x-ratelimit-limit` of the last answer that had it.
    pub limit: Option<u64>,
    /// `x-ratelimit-reset` of the last answer that had it, in seconds since 1970: it names the window.
    pub reset: Option<u64>,
}

impl Usage {
    /// Returns how many of the requests were charged since it was so.
    pub(super) fn charged_since(self, before: Self) -> u64 {
        let requests = self.requests.saturating_sub(before.requests);
        requests.saturating_sub(self.not_modified.saturating_sub(before.not_modified))
    }

    /// Returns both together. Limits add up; the first window to end is named.
    fn and(self, other: Self) -> Self {
        let sum = |a: Option<u64>, b: Option<u64>| a.zip(b).map(|(a, b)| a + b).or(a).or(b);
        Self {
            requests: self.requests + other.requests,
            not_modified: self.not_modified + other.not_modified,
            remaining: sum(self.remaining, other.remaining),
            limit: sum(self.limit, other.limit),
            reset: [self.reset, other.reset].into_iter().flatten().min(),
        }
    }
}

/// A good answer: 2xx, or 304 to a request that had a tag.
#[derive(Debug)]
pub(super) struct Reply {
    status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Method and address, for errors about the body.
    pub(super) request: String,
}

/// What an answer is decoded to, and kept as.
pub(super) trait Decoded: Serialize + DeserializeOwned {
    /// Decodes an answer.
    fn decode(reply: &Reply) -> Result<Self, Error>;

    /// Returns whether all of it was understood: else it is not kept.
    fn is_whole(&self) -> bool;
}

/// Something that was read: just now, or earlier and GitHub says that it is still so.
#[derive(Debug)]
pub(super) struct Read<T> {
    pub(super) value: T,
    /// The next page's query, if there is one.
    pub(super) next: Option<String>,
    /// For errors about it.
    pub(super) reply: Reply,
}

/// A reply, and with what it was asked for.
struct Exchange {
    reply: Reply,
    authorization: HeaderValue,
    etag: Option<String>,
}

/// GitHub's REST API, at one address with one identity.
pub struct Client {
    crab: Octocrab,
    api_url: String,
    /// The path of that: `/api/v3` on a server of one's own.
    base: String,
    auth: Auth,
    pub(super) patience: Patience,
    usage: Mutex<Usage>,
    tally: Tally,
    who: Identity,
    cache: Option<Arc<Cache>>,
    foresight: Mutex<Foresight>,
    clock: Clock,
    limits: Limits,
    gate: Arc<Gate>,
    /// Until when GitHub refuses registrations, which have a limit of their own.
    unregistered: Mutex<Option<Timestamp>>,
    /// Refusals of our credentials in a row, and when the last was.
    unauthorized: Mutex<Option<(u32, Duration, Error)>>,
    /// How far this host's clock is ahead of GitHub's, by the last answer that told.
    clock_ahead: Mutex<SignedDuration>,
    /// Of an App: the clients of its installations, by their ids.
    installations: Mutex<BTreeMap<u64, Arc<Self>>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("api_url", &self.api_url).field("usage", &self.usage()).finish_non_exhaustive()
    }
}

impl Client {
    /// Prepares a client; nothing is called yet. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// The private key or the CA file can't be used.
    pub fn new(github: &config::Github) -> Result<Self, Error> {
        Self::with_patience(github, Patience::default())
    }

    /// The same, with another patience.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn with_patience(github: &config::Github, patience: Patience) -> Result<Self, Error> {
        let unusable = |message: String| Error {
            kind: ErrorKind::Protocol,
            request: format!("the client for {}", github.api_url),
            status: None,
            message,
            request_id: None,
        };
        let api: Uri = github.api_url.parse().map_err(|error| unusable(format!("not an address: {error}")))?;
        let http = transport::builder(api.host().unwrap_or_default(), github.ca_pem.as_deref()).map_err(unusable)?;
        // GraphQL is not below the REST base: paths are ours to make, from the root on.
        let base = api.path().trim_end_matches('/').to_owned();
        let mut root = api.into_parts();
        root.path_and_query = Some(PathAndQuery::from_static("/"));
        let root = Uri::from_parts(root).map_err(|error| unusable(format!("not an address: {error}")))?;
        let http = http.redirect(Policy::custom(same_origin));
        let http = http.build().map_err(|error| unusable(chain(&error)))?;
        let crab = OctocrabBuilder::new_empty()
            .with_service(ReqwestConnector::new(http))
            .with_layer(&BaseUriLayer::new(root))
            .with_auth(AuthState::None)
            .build();
        let clock = Clock::real();
        let crab = match crab {
            Ok(crab) => crab,
            Err(never) => match never {},
        };
        Ok(Self {
            crab,
            api_url: github.api_url.clone(),
            base,
            auth: Auth::of(&github.credentials).map_err(unusable)?,
            who: auth::identity(&github.credentials, &github.api_url),
            cache: None,
            foresight: Mutex::default(),
            patience,
            usage: Mutex::default(),
            tally: Tally::default(),
            limits: Limits::default(),
            clock,
            gate: Arc::new(Gate::new(Limits::default(), patience.rate_limit, clock)),
            unregistered: Mutex::default(),
            unauthorized: Mutex::default(),
            clock_ahead: Mutex::default(),
            installations: Mutex::default(),
        })
    }

    /// Lets it use what earlier runs were answered, and keep what it is answered.
    #[must_use]
    pub fn with_cache(mut self, cache: Cache) -> Self {
        self.foresight = Mutex::new(Foresight::after(cache.note(self.who, FORESIGHT).unwrap_or(0)));
        self.gate.close(cache.note(self.who, CLOSED));
        self.unregistered = Mutex::new(cache.note(self.who, UNREGISTERED));
        self.cache = Some(Arc::new(cache));
        self
    }

    /// Lets it ask no more than so much.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self.gate = Arc::new(Gate::new(limits, self.patience.rate_limit, self.clock));
        self
    }

    /// Lets it wait by another clock; before its limits are set.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self.with_limits(Limits::default())
    }

    /// Counts what `work`, an observation, reads against its budget.
    pub fn within_budget<'a, T>(&'a self, work: impl Future<Output = T> + 'a) -> LocalBoxFuture<'a, T> {
        self.gate.within_budget(work)
    }

    /// Returns how many requests a look at everything may take; `None` where nothing bounds them.
    pub(super) fn requests_for_a_look(&self) -> Option<u64> {
        self.gate.requests_for_a_look()
    }

    /// Returns whether the server has answered, and never named a rate limit.
    #[must_use]
    pub fn is_without_limits(&self) -> bool {
        self.gate.is_without_limits()
    }

    /// Returns whether nothing bounds how much a look may ask: a server without rate limits, and no budget.
    pub(super) fn is_boundless(&self) -> bool {
        self.limits.most_requests.is_none() && self.requests_for_a_look().is_none()
    }

    /// Returns how many requests an hour may be charged, as far as answers have said.
    pub(super) fn allowed_an_hour(&self) -> Option<u64> {
        Some(self.usage().limit? * u64::from(self.limits.share.min(100)) / 100)
    }

    /// Returns how often it is looked, where that is repeated.
    pub(super) fn looks_every(&self) -> Option<Duration> {
        self.limits.looks_every
    }

    /// Returns how long so many requests take at a fifth of the pace; nothing where none is kept.
    pub(super) fn at_leisure(&self, requests: u64) -> Duration {
        self.gate.at_leisure(requests)
    }

    /// Returns what time it is.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns how far this host's clock is ahead of GitHub's, negative where it is behind; zero while no answer has told.
    #[must_use]
    pub fn clock_ahead(&self) -> SignedDuration {
        *lock(&self.clock_ahead)
    }

    /// Waits.
    pub(super) async fn sleep(&self, time: Duration) {
        self.clock.sleep(time).await;
    }

    /// Returns whether GitHub wants nothing to be asked now: whoever asks waits, or is told that it takes too long.
    pub(super) fn is_closed(&self) -> bool {
        self.gate.is_closed()
    }

    /// Returns until when registrations are refused; no limit of GitHub's lasts for longer than a gate is closed.
    fn unregistered_until(&self) -> Option<Timestamp> {
        let now = self.clock.now();
        lock(&self.unregistered).filter(|until| *until > now && *until <= now + KEPT_AT_MOST)
    }

    /// Returns the cache, if it has one.
    #[must_use]
    pub fn cache(&self) -> Option<&Cache> {
        self.cache.as_deref()
    }

    /// Returns whether it is a GitHub Enterprise Server, which is all one enterprise's.
    pub(super) fn is_server(&self) -> bool {
        self.base.ends_with("/api/v3")
    }

    /// Returns who asks.
    pub(super) fn who(&self) -> Identity {
        self.who
    }

    /// Returns what the requests so far have cost; an App's, with those of all its installations.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let mut own = *lock(&self.usage);
        if self.is_app() {
            // What is left to list installations with is not what is left to read with.
            (own.remaining, own.limit, own.reset) = (None, None, None);
        }
        lock(&self.installations).values().map(|installation| installation.usage()).fold(own, Usage::and)
    }

    /// Returns whether it is an App itself, which acts through its installations only.
    pub(crate) fn is_app(&self) -> bool {
        matches!(self.auth, Auth::Issuer(_))
    }

    /// Returns the client of one of the App's installations, which has a token, a rate limit and a memory of its own, and
    /// as much at once as is its share `among` so many; `None`: this is no App.
    pub(super) fn in_installation(&self, id: u64, among: usize) -> Option<Arc<Self>> {
        let Auth::Issuer(issuer) = &self.auth else { return None };
        let mut installations = lock(&self.installations);
        let installation = installations.entry(id).or_insert_with(|| {
            let who = self.who.in_installation(id);
            let limits = Limits { at_once: (self.limits.at_once / among.max(1)).max(1), ..self.limits };
            let foresight = self.cache.as_ref().and_then(|cache| cache.note(who, FORESIGHT)).unwrap_or(0);
            let gate = Gate::below(self.gate.clone(), limits, self.patience.rate_limit);
            gate.close(self.cache.as_ref().and_then(|cache| cache.note(who, CLOSED)));
            let unregistered = self.cache.as_ref().and_then(|cache| cache.note(who, UNREGISTERED));
            Arc::new(Self {
                crab: self.crab.clone(),
                api_url: self.api_url.clone(),
                base: self.base.clone(),
                auth: Auth::in_installation(issuer.clone(), id),
                patience: self.patience,
                usage: Mutex::default(),
                tally: Tally::default(),
                who,
                cache: self.cache.clone(),
                foresight: Mutex::new(Foresight::after(foresight)),
                clock: self.clock,
                limits,
                gate: Arc::new(gate),
                unregistered: Mutex::new(unregistered),
                unauthorized: Mutex::default(),
                clock_ahead: Mutex::default(),
                installations: Mutex::default(),
            })
        });
        Some(installation.clone())
    }

    /// Returns whether it is an App's installation in selected repositories: jobs of others, which it can't see, may be with
    /// the same runners.
    pub(super) fn is_selected(&self) -> bool {
        self.auth.is_selected()
    }

    /// Returns what its requests were answered with.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Reads something as it is now, whatever is known of it.
    pub(super) async fn get(&self, path: &str) -> Result<Reply, Error> {
        Ok(self.asked(path, None).await?.reply)
    }

    /// Reads something that may have been read before: it is asked for with its tag, and costs nothing if GitHub says
    /// that it has not changed.
    pub(super) async fn read<T: Decoded>(&self, path: &str) -> Result<Read<T>, Error> {
        let address = format!("{}{path}", self.api_url);
        let known: Option<Known<T>> = self.cache.as_ref().and_then(|cache| cache.known(self.who, &address));
        let Exchange { reply, authorization, etag } = self.asked(path, known.as_ref().map(|known| &known.tag)).await?;
        if let (Some(cache), Some(known), Some(etag)) = (&self.cache, known, etag)
            && reply.status == StatusCode::NOT_MODIFIED
        {
            cache.confirm(&known.tag, &etag, &authorization);
            let next = reply.next_page().or_else(|| known.tag.next().map(str::to_owned));
            return Ok(Read { value: known.value, next, reply });
        }
        let value = T::decode(&reply)?;
        let next = reply.next_page();
        if let Some(etag) = reply.headers.get(ETAG).and_then(|etag| etag.to_str().ok()) {
            self.learn(etag, &authorization, &reply.body);
            if let Some(cache) = self.cache.as_ref().filter(|_| value.is_whole()) {
                let fresh = Fresh { value: &value, etag, next: next.clone(), body: &reply.body };
                cache.keep(self.who, &address, &authorization, &fresh);
            }
        }
        Ok(Read { value, next, reply })
    }

    /// Learns from an answer whether tags can be foreseen.
    fn learn(&self, etag: &str, authorization: &HeaderValue, body: &[u8]) {
        let Some(cache) = &self.cache else { return };
        let mut foresight = lock(&self.foresight);
        let before = *foresight;
        foresight.learn(etag, MEDIA_TYPE, authorization, body);
        if *foresight != before {
            cache.keep_note(self.who, FORESIGHT, &foresight.proofs());
        }
    }

    /// Returns the tag to ask with: the one that was given to this authorization, else the one that it should have.
    fn tag(&self, known: &Tag, authorization: &HeaderValue) -> Option<String> {
        if let Some(etag) = known.given_to(authorization) {
            return Some(etag.to_owned());
        }
        if !lock(&self.foresight).holds() {
            return None;
        }
        Some(etag::tag(MEDIA_TYPE, authorization, &known.body()?))
    }

    /// Sends a GET, with up to two repetitions where the answer was lost or the server failed.
    async fn asked(&self, path: &str, known: Option<&Tag>) -> Result<Exchange, Error> {
        self.again(&Method::GET, path, known).await
    }

    /// Sends what may arrive several times without harm, with up to two repetitions.
    pub(super) async fn repeated(&self, method: &Method, path: &str) -> Result<Reply, Error> {
        Ok(self.again(method, path, None).await?.reply)
    }

    async fn again(&self, method: &Method, path: &str, known: Option<&Tag>) -> Result<Exchange, Error> {
        let mut sends = 0;
        loop {
            sends += 1;
            let error = match self.authorized(method, path, None, known).await {
                Ok(exchange) => return Ok(exchange),
                Err(error) => error,
            };
            // The gate waits, or says that it takes too long; a request that was never sent is not repeated.
            let is_gates =
                error.status.is_some() && matches!(error.kind, ErrorKind::RateLimited { .. }) && self.is_closed();
            match self.patience.before_again(error.kind, sends) {
                Some(pause) => self.clock.sleep(pause).await,
                None if is_gates && sends < SENDS => {}
                None => return Err(error),
            }
        }
    }

    /// Creates something, once: whether a lost answer hides a success is the caller's to find out.
    pub(super) async fn post(&self, path: &str, body: &serde_json::Value) -> Result<Reply, Error> {
        Ok(self.authorized(&Method::POST, path, Some(body.to_string()), None).await?.reply)
    }

    /// Deletes something, once.
    pub(super) async fn delete(&self, path: &str) -> Result<Reply, Error> {
        Ok(self.authorized(&Method::DELETE, path, None, None).await?.reply)
    }

    /// Asks GraphQL, which changes nothing, with up to two repetitions.
    pub(super) async fn ask(&self, body: &serde_json::Value) -> Result<Reply, Error> {
        let mut sends = 0;
        loop {
            sends += 1;
            let error = match self.authorized(&Method::POST, graphql::PATH, Some(body.to_string()), None).await {
                Ok(exchange) => return Ok(exchange.reply),
                Err(error) => error,
            };
            match self.patience.before_again(error.kind, sends) {
                Some(pause) => self.clock.sleep(pause).await,
                None => return Err(error),
            }
        }
    }

    /// Sends a request with our authorization; an App's token that is refused is minted anew, once.
    async fn authorized(
        &self,
        method: &Method,
        path: &str,
        body: Option<String>,
        known: Option<&Tag>,
    ) -> Result<Exchange, Error> {
        let mut is_second = false;
        if let Some((refusals, at, error)) = &*lock(&self.unauthorized)
            && *refusals >= UNAUTHORIZED
            && self.clock.elapsed().saturating_sub(*at) < UNAUTHORIZED_FOR
        {
            return Err(error.clone());
        }
        loop {
            let authorization = self.auth.header(self).await?;
            let etag = known.and_then(|known| self.tag(known, &authorization));
            match self.send(method, path, body.clone(), authorization.clone(), etag.as_deref()).await {
                Ok(reply) => {
                    *lock(&self.unauthorized) = None;
                    return Ok(Exchange { reply, authorization, etag });
                }
                Err(refused)
                    if refused.kind == ErrorKind::Unauthorized
                        && !is_second
                        && self.auth.forget(self, &authorization).await =>
                {
                    tracing::debug!(%refused, "minting a new installation token");
                    is_second = true;
                }
                Err(error) => {
                    if error.kind == ErrorKind::Unauthorized {
                        let mut unauthorized = lock(&self.unauthorized);
                        let refusals = unauthorized.as_ref().map_or(0, |(refusals, ..)| *refusals) + 1;
                        *unauthorized = Some((refusals, self.clock.elapsed(), error.clone()));
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Sends one request, once, and reads its answer whole. Every request passes here, and every answer's headers.
    pub(super) async fn send(
        &self,
        method: &Method,
        path: &str,
        body: Option<String>,
        authorization: HeaderValue,
        etag: Option<&str>,
    ) -> Result<Reply, Error> {
        let address = format!("{method} {}", placed(&self.api_url, path));
        let is_query = path == graphql::PATH;
        let purpose = if is_query || *method == Method::GET { Purpose::Read } else { Purpose::Write };
        let is_registration = REGISTRATIONS.iter().any(|end| path.ends_with(end));
        if let Some(until) = self.unregistered_until().filter(|_| is_registration) {
            return Err(not_asked(Refusal::Closed(until), &address));
        }
        let _pass = self.gate.pass(purpose).await.map_err(|refusal| not_asked(refusal, &address))?;
        let failed =
            |kind, message: String| Error { kind, request: address.clone(), status: None, message, request_id: None };

        let mut request = Request::builder()
            .method(method)
            .uri(placed(&self.base, path))
            .header(ACCEPT, MEDIA_TYPE)
            .header("X-GitHub-Api-Version", API_VERSION)
            .header(AUTHORIZATION, authorization);
        request = match &body {
            Some(_) => request.header(CONTENT_TYPE, "application/json"),
            None if *method == Method::POST => request.header(CONTENT_LENGTH, 0),
            None => request,
        };
        if let Some(etag) = etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let request = request
            .body(body.unwrap_or_default())
            .map_err(|error| failed(ErrorKind::Protocol, format!("not a request: {error}")))?;

        let (started, asked_at) = (std::time::Instant::now(), Timestamp::now());
        lock(&self.usage).requests += 1;
        let answer = self.crab.execute(request).await;
        self.tally.count(answer.as_ref().ok().map(|answer| answer.status().as_u16()));
        let answer = answer.map_err(|error| failed(ErrorKind::Transport, chain(&error)))?;
        let (parts, body) = answer.into_parts();
        self.observe(&parts.headers, parts.status);
        let ahead = skew::ahead(&parts.headers, asked_at, Timestamp::now());
        if let Some(ahead) = ahead {
            *lock(&self.clock_ahead) = ahead;
        }
        let body = Limited::new(body, LARGEST_ANSWER).collect().await;
        let body =
            body.map_err(|error| failed(ErrorKind::Transport, format!("the answer broke off: {}", chain(&*error))))?;
        let body = body.to_bytes();
        let (status, ms) = (parts.status.as_u16(), started.elapsed().as_millis());
        tracing::debug!(%method, path, status, ms, bytes = body.len(), "github");
        // A 304 to a request without a tag is an answer that no client could use.
        if parts.status.is_success() || parts.status == StatusCode::NOT_MODIFIED && etag.is_some() {
            return Ok(Reply { status: parts.status, headers: parts.headers, body, request: address });
        }
        // When a limit ends is said by GitHub's clock.
        let by_its_clock = self.clock.now() - ahead.unwrap_or_default();
        let mut error = refusal(parts.status, &parts.headers, &body, address, by_its_clock);
        if let ErrorKind::RateLimited { until } = &mut error.kind {
            // That GraphQL's own limit is used up, or that of registrations, says nothing of the others.
            let is_of_another = (is_query || !is_of_core(&parts.headers)) && until.is_some();
            *until = until.map(|until| until + ahead.unwrap_or_default());
            if !is_of_another || parts.headers.contains_key(RETRY_AFTER) {
                let closed_until = self.gate.refused(*until);
                *until = Some(closed_until);
                if let Some(cache) = &self.cache {
                    // The next process asks no earlier, nor than another was told meanwhile.
                    let known = cache.note::<Timestamp>(self.who, CLOSED);
                    let known = known.filter(|known| *known < self.clock.now() + KEPT_AT_MOST);
                    cache.announce(self.who, CLOSED, &known.map_or(closed_until, |known| known.max(closed_until)));
                }
            } else if is_registration {
                *lock(&self.unregistered) = *until;
                if let Some(cache) = &self.cache {
                    cache.announce(self.who, UNREGISTERED, until);
                }
            }
        }
        Err(error)
    }

    /// Reads the rate limit off an answer.
    fn observe(&self, headers: &HeaderMap, status: StatusCode) {
        let number = |name: &str| headers.get(name)?.to_str().ok()?.parse::<u64>().ok();
        let mut usage = lock(&self.usage);
        usage.not_modified += u64::from(status == StatusCode::NOT_MODIFIED);
        let limit = number("x-ratelimit-limit");
        let is_ours = is_of_core(headers);
        usage.limit = limit.filter(|_| is_ours).or(usage.limit);
        if is_ours && let (Some(remaining), reset) = (number("x-ratelimit-remaining"), number("x-ratelimit-reset")) {
            // Answers overtake each other: within one window the least is the latest.
            let known = usage.remaining.filter(|_| reset == usage.reset);
            usage.remaining = Some(known.map_or(remaining, |known| known.min(remaining)));
            usage.reset = reset;
        }
        if status.is_success() || status == StatusCode::NOT_MODIFIED {
            let told = Told { limit: usage.limit, remaining: usage.remaining, reset: usage.reset };
            self.gate.answered(limit.is_some(), told);
        }
    }
}

impl Reply {
    /// Decodes the body.
    pub(super) fn decode<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|error| self.unreadable(&json_fault(&error)))
    }

    /// Returns the error of a body that isn't what the API promises.
    pub(super) fn unreadable(&self, what: &str) -> Error {
        let html = self.body.trim_ascii_start().starts_with(b"<");
        let what =
            if html { "HTML, where JSON was expected".to_owned() } else { format!("an unreadable answer: {what}") };
        Error {
            kind: ErrorKind::Protocol,
            request: self.request.clone(),
            status: None,
            message: what,
            request_id: request_id(&self.headers),
        }
    }

    /// Returns the next page's query, if the answer names one.
    ///
    /// Only the query is taken from the link, and asked of the same list: no address that GitHub, or whoever answers in
    /// its place, makes up gets our token.
    pub(super) fn next_page(&self) -> Option<String> {
        self.linked("next")
    }

    /// Returns the last page's number, if the answer names it.
    pub(super) fn last_page(&self) -> Option<usize> {
        let query = self.linked("last")?;
        query.split('&').find_map(|parameter| parameter.strip_prefix("page=")?.parse().ok())
    }

    /// Returns the query of the page that stands in this relation to this one.
    fn linked(&self, relation: &str) -> Option<String> {
        let links = self.headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
        links.flat_map(|value| value.split(',')).find_map(|link| {
            let (address, attributes) = link.trim().strip_prefix('<')?.split_once('>')?;
            let is_it = |one: &str| one.strip_prefix("rel=").is_some_and(|rel| rel.trim_matches('"') == relation);
            let query = address.split_once('?')?.1;
            attributes.split(';').map(str::trim).any(is_it).then(|| query.to_owned())
        })
    }
}

/// Returns whether an answer's limit is that of the REST API: GraphQL and registrations have others.
fn is_of_core(headers: &HeaderMap) -> bool {
    headers.get("x-ratelimit-resource").is_none_or(|resource| resource == "core")
}

/// Returns where something is, below the REST base or its path; GraphQL is beside `/api/v3`, as `/api/graphql`.
fn placed(base: &str, path: &str) -> String {
    let base = if path == graphql::PATH { base.strip_suffix("/v3").unwrap_or(base) } else { base };
    format!("{base}{path}")
}

/// Returns GitHub's own id of an answer.
pub(super) fn request_id(headers: &HeaderMap) -> Option<String> {
    headers.get("x-github-request-id")?.to_str().ok().map(str::to_owned)
}

fn refusal(status: StatusCode, headers: &HeaderMap, body: &[u8], request: String, now: Timestamp) -> Error {
    #[derive(serde::Deserialize)]
    struct Said {
        message: Option<String>,
    }
    let said = serde_json::from_slice::<Said>(body).ok().and_then(|said| said.message);
    let message = match (said, headers.get(LOCATION)) {
        (Some(message), _) => one_line(&message),
        (None, Some(to)) if status.is_redirection() => {
            format!(
                "redirects to another address, which is not followed: {}",
                one_line(&String::from_utf8_lossy(to.as_bytes()))
            )
        }
        (None, _) => status.canonical_reason().unwrap_or("no reason given").to_lowercase(),
    };
    Error {
        kind: kind(status, headers, &message, now),
        request,
        status: Some(status.as_u16()),
        message,
        request_id: request_id(headers),
    }
}

/// Sorts an answer that isn't a success.
fn kind(status: StatusCode, headers: &HeaderMap, message: &str, now: Timestamp) -> ErrorKind {
    let number = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()?.parse::<i64>().ok());
    let retry_after = number(RETRY_AFTER.as_str());
    let exhausted = number("x-ratelimit-remaining") == Some(0);
    let said = message.to_lowercase();
    let is_said = said.contains("rate limit") || said.contains("abuse detection");
    let is_limit = status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::FORBIDDEN && (headers.contains_key(RETRY_AFTER) || exhausted || is_said);
    if is_limit {
        let after = retry_after.and_then(|seconds| now.checked_add(jiff::SignedDuration::from_secs(seconds)).ok());
        let reset = number("x-ratelimit-reset").filter(|_| exhausted).and_then(|at| Timestamp::from_second(at).ok());
        return ErrorKind::RateLimited { until: after.or(reset) };
    }
    let after = retry_after.and_then(|seconds| seconds.try_into().ok()).map(Duration::from_secs);
    match status.as_u16() {
        401 => ErrorKind::Unauthorized,
        403 => ErrorKind::Forbidden,
        404 | 410 => ErrorKind::NotFound,
        409 => ErrorKind::Conflict,
        422 => ErrorKind::Unprocessable,
        500..=599 => ErrorKind::Server { after },
        _ => ErrorKind::Unexpected,
    }
}

/// Returns the error of a request that was not sent.
fn not_asked(refusal: Refusal, address: &str) -> Error {
    let (kind, message) = match refusal {
        Refusal::Closed(until) => {
            (ErrorKind::RateLimited { until: Some(until) }, "not asked: the rate limit is exhausted".to_owned())
        }
        Refusal::Share(until) => (
            ErrorKind::RateLimited { until },
            "not asked: what `scan.rate_limit_share` allows of the rate limit is used up".to_owned(),
        ),
        Refusal::Budget(most) => {
            (ErrorKind::OverBudget, format!("not asked: the {most} requests of `--max-requests` are used up"))
        }
    };
    Error { kind, request: address.to_owned(), status: None, message, request_id: None }
}

/// Follows a redirect only to the same scheme, host and port, at most three in a row: a renamed repository's.
fn same_origin(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let same = attempt.previous().last().is_some_and(|from| from.origin() == attempt.url().origin());
    if same && attempt.previous().len() <= 3 { attempt.follow() } else { attempt.stop() }
}

/// Locks what is only ever held for a few assignments; a panic in between left it whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn graphql_is_beside_the_rest_api_on_a_server_and_below_it_elsewhere() {
        assert_eq!(placed("https://api.github.com", graphql::PATH), "https://api.github.com/graphql");
        assert_eq!(placed("https://ghe.example/api/v3", graphql::PATH), "https://ghe.example/api/graphql");
        assert_eq!(placed("https://ghe.example/api/v3", "/user/orgs"), "https://ghe.example/api/v3/user/orgs");
        assert_eq!(placed("/api/v3", graphql::PATH), "/api/graphql");
        assert_eq!(placed("", graphql::PATH), "/graphql");
    }
}
