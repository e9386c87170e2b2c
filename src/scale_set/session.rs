//! A message session: the one queue of a scale set, as long as we hold it.
//!
//! No lock is held across a request but the renewal's own, and that only by those who need the renewed token; so an
//! acknowledgement or a close from another task never waits for a poll.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::ACCEPT;
use http::{Method, StatusCode};
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::address::{self, Address};
use super::client::Client;
use super::decode::{self, OpenSession};
use super::error::{Error, ErrorKind};
use super::message::Message;
use super::model::ScaleSetId;
use super::refusal::Refusal;
use super::scale_sets::{is_nothing, path};
use super::transport::{Gate, Reply, Request, Sends};
use crate::engine::Statistics;

/// How long a session's end may take: a process that ends must not wait for longer.
const CLOSE_DEADLINE: Duration = Duration::from_secs(5);
/// How a queue says that its session or its scale set is gone.
const GONE: [u16; 3] = [400, 403, 404];
/// What Go's client sends in place of an id that there isn't yet.
const NO_SESSION: &str = "00000000-0000-0000-0000-000000000000";

/// An open message session. It is not closed by being dropped: [`Session::close`] is a request.
pub struct Session {
    client: Arc<Client>,
    scale_set: ScaleSetId,
    id: String,
    current: Mutex<Current>,
    /// How often the queue's token was renewed.
    renewals: AtomicU64,
    /// Held while renewing, so that any number of tasks whose token was refused cause one renewal.
    renewing: tokio::sync::Mutex<()>,
}

/// What the service said last.
#[derive(Clone)]
struct Current {
    queue: Arc<Queue>,
    statistics: Statistics,
}

/// Where the messages are, and the token that this host takes.
struct Queue {
    url: Url,
    token: SecretString,
}

/// What a poll brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Polled {
    /// 202: nothing happened; the statistics are what they were. Poll again at once.
    Nothing,
    /// 200 without a body, which the service gives in incidents: poll again after a moment.
    Empty,
    /// A message; it comes again until it is acknowledged.
    Message(Box<Message>),
    /// A message that can't be read; it comes again, too.
    Unreadable {
        /// Its id, if that much can be read.
        id: Option<i64>,
        /// What is wrong with it.
        why: Error,
    },
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("scale_set", &self.scale_set).field("id", &self.id).finish_non_exhaustive()
    }
}

impl Session {
    /// Opens the session of a scale set, once; `owner` is whom the service names to others who try.
    ///
    /// # Errors
    /// [`ErrorKind::SessionConflict`]: somebody has one open, or we have, when the answer to an earlier try was lost.
    /// [`ErrorKind::ScaleSetNotFound`]. [`ErrorKind::Server`] also for a session without a queue, which the service gives
    /// in incidents (actions-runner-controller#4370); that one is deleted.
    pub async fn open(client: Arc<Client>, scale_set: ScaleSetId, owner: &str) -> Result<Self, Error> {
        let body = json!({ "sessionId": NO_SESSION, "ownerName": owner });
        let reply = client.send(Method::POST, &path(scale_set, "/sessions"), &[], Some(&body)).await?;
        let opened = reply.one("session", |fields| Some(decode::session(fields)))?;
        let id = opened.id.clone();
        match current(&reply, opened) {
            Ok(current) => {
                let (current, renewing) = (Mutex::new(current), tokio::sync::Mutex::default());
                Ok(Self { client, scale_set, id, current, renewals: AtomicU64::new(0), renewing })
            }
            Err(error) => {
                if !id.is_empty()
                    && let Err(left) = delete(&client, scale_set, &id).await
                {
                    tracing::warn!(error = %left, "a broken session is left to idle out");
                }
                Err(error)
            }
        }
    }

    /// Returns the session's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the scale set.
    #[must_use]
    pub fn scale_set(&self) -> ScaleSetId {
        self.scale_set
    }

    /// Returns the counts as they were when the session was opened or last refreshed.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.current().statistics
    }

    /// Returns how often the queue's token was renewed so far.
    #[must_use]
    pub fn renewals(&self) -> u64 {
        self.renewals.load(Ordering::Relaxed)
    }

    /// Renews the queue's token; returns fresh counts.
    ///
    /// # Errors
    /// [`ErrorKind::SessionExpired`]: the service forgot the session. Else, the service can't be asked.
    pub async fn refresh(&self) -> Result<Statistics, Error> {
        let _renewing = self.renewing.lock().await;
        self.renew().await
    }

    /// Asks for the next message behind `last_message_id` (0: the first), while `capacity` runners in all may have a
    /// job; waits up to 100 s. Sent once.
    ///
    /// # Errors
    /// [`ErrorKind::SessionExpired`]: close the session and open another. Else, the queue can't be asked.
    pub async fn poll(&self, last_message_id: i64, capacity: u32) -> Result<Polled, Error> {
        let reply = self
            .queue(|queue| Request {
                headers: vec![
                    (ACCEPT.as_str(), "application/json; api-version=6.0-preview".to_owned()),
                    ("X-ScaleSetMaxCapacity", capacity.to_string()),
                ],
                timeout: Some(self.client.transport.patience.poll),
                ..request(Method::GET, address::next_message(&queue.url, last_message_id), queue)
            })
            .await
            .map_err(|refusal| expired(refusal, &GONE))?;
        if reply.status == StatusCode::ACCEPTED || reply.status == StatusCode::NO_CONTENT {
            return Ok(Polled::Nothing);
        }
        if is_nothing(&reply) {
            return Ok(Polled::Empty);
        }
        Ok(match decode::message(&reply.body) {
            Ok(message) => Polled::Message(Box::new(message)),
            Err(what) => Polled::Unreadable { id: decode::message_id(&reply.body), why: reply.unreadable(what) },
        })
    }

    /// Acknowledges a message, so that it doesn't come again; one that isn't there is acknowledged already.
    ///
    /// # Errors
    /// As [`Session::poll`]; then the message comes again.
    pub async fn acknowledge(&self, message_id: i64) -> Result<(), Error> {
        let mut sends = Sends::of(self.client.transport.patience);
        loop {
            let sent = self
                .queue(|queue| Request {
                    headers: vec![("Content-Type", "application/json".to_owned())],
                    ..request(Method::DELETE, address::message(&queue.url, message_id), queue)
                })
                .await;
            match sent {
                Ok(_) => return Ok(()),
                Err(refusal) if is_absent(&refusal.error) => return Ok(()),
                Err(refusal) if sends.again(refusal.error.kind).await => {}
                Err(refusal) => return Err(expired(refusal, &GONE).into()),
            }
        }
    }

    /// Acquires jobs that are on offer; returns those that were granted, since others may have been quicker. Asking
    /// twice harms nobody, so it may be repeated.
    ///
    /// # Errors
    /// The service can't be asked, or refuses.
    pub async fn acquire(&self, offers: &[u64]) -> Result<Vec<u64>, Error> {
        // 0 is no offer: GitHub assigns such a job directly.
        let offers: Vec<u64> = offers.iter().copied().filter(|id| *id != 0).collect();
        if offers.is_empty() {
            return Ok(Vec::new());
        }
        let body = json!(offers).to_string();
        let mut sends = Sends::of(self.client.transport.patience);
        loop {
            // At the service, but with the queue's token: that is what the protocol asks for.
            let base = self.client.base().await?;
            let address = || address::resource(&base, &path(self.scale_set, "/acquirejobs"), &[]);
            let sent = self
                .queue(|queue| Request { body: Some(body.clone()), ..request(Method::POST, address(), queue) })
                .await;
            match sent {
                Ok(reply) if is_nothing(&reply) => return Ok(Vec::new()),
                Ok(reply) => return Ok(decode::ids(&reply.body).map_err(|what| reply.unreadable(what))?.items),
                Err(refusal) if sends.again(refusal.error.kind).await => {}
                Err(refusal) => return Err(refusal.into()),
            }
        }
    }

    /// Closes the session, so that the next one needn't wait until it idles out; one that is gone is closed already.
    ///
    /// # Errors
    /// The service can't be asked within 5 s, or refuses.
    pub async fn close(&self) -> Result<(), Error> {
        delete(&self.client, self.scale_set, &self.id).await
    }

    /// Sends something with the queue's token; one that is refused is renewed, and it is sent again, once.
    async fn queue(&self, request: impl Fn(&Queue) -> Request<'_>) -> Result<Reply, Refusal> {
        let queue = self.current().queue;
        match self.client.transport.send(request(&queue)).await {
            Err(refusal) if refusal.error.kind == ErrorKind::Unauthorized => {
                tracing::debug!(error = %refusal.error, "renewing the queue's token");
            }
            result => return result,
        }
        let queue = self.renewed(&queue).await?;
        self.client.transport.send(request(&queue)).await.map_err(|refusal| expired(refusal, &[401]))
    }

    /// Renews a token that was refused, unless another task has done so since.
    async fn renewed(&self, refused: &Arc<Queue>) -> Result<Arc<Queue>, Error> {
        let _renewing = self.renewing.lock().await;
        let current = self.current().queue;
        if !Arc::ptr_eq(&current, refused) {
            return Ok(current);
        }
        self.renew().await?;
        Ok(self.current().queue)
    }

    /// PATCH …/sessions/{id}; it makes nothing but a token, so it may be repeated.
    async fn renew(&self) -> Result<Statistics, Error> {
        let path = path(self.scale_set, &format!("/sessions/{}", self.id));
        let mut sends = Sends::of(self.client.transport.patience);
        let reply = loop {
            match self.client.send(Method::PATCH, &path, &[], None).await {
                Ok(reply) => break reply,
                Err(refusal) if sends.again(refusal.error.kind).await => {}
                Err(refusal) => return Err(expired(refusal, &[400, 404]).into()),
            }
        };
        let renewed = reply.one("session", |fields| Some(decode::session(fields)))?;
        let before = self.current();
        // What it doesn't say has not changed; but a token it must say.
        let url = if renewed.queue_url.is_empty() { before.queue.url.to_string() } else { renewed.queue_url };
        let statistics = renewed.statistics.or(Some(before.statistics));
        let renewed = current(&reply, OpenSession { id: self.id.clone(), queue_url: url, statistics, ..renewed })?;
        let statistics = renewed.statistics;
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = renewed;
        self.renewals.fetch_add(1, Ordering::Relaxed);
        Ok(statistics)
    }

    fn current(&self) -> Current {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Returns what a session is made of, if the service gave all of it.
fn current(reply: &Reply, said: OpenSession) -> Result<Current, Error> {
    let broken = |what: &str| Error {
        kind: ErrorKind::Server,
        status: Some(reply.status.as_u16()),
        ..reply.unreadable(format!("a session without {what}"))
    };
    let missing = [
        (said.id.is_empty(), "an id"),
        (said.queue_url.is_empty(), "a queue's address"),
        (said.queue_token.expose_secret().is_empty(), "a queue's token"),
    ];
    if let Some((_, what)) = missing.into_iter().find(|(is_missing, _)| *is_missing) {
        return Err(broken(what));
    }
    let statistics = said.statistics.ok_or_else(|| broken("statistics"))?;
    let url = address::follow(&said.queue_url).map_err(|what| reply.unreadable(format!("the service {what}")))?;
    Ok(Current { queue: Arc::new(Queue { url, token: said.queue_token }), statistics })
}

fn request(method: Method, address: Address, queue: &Queue) -> Request<'_> {
    Request {
        method,
        address,
        token: &queue.token,
        body: None,
        headers: Vec::new(),
        timeout: None,
        gate: Gate::Ignored,
    }
}

/// DELETE …/sessions/{id}
async fn delete(client: &Client, scale_set: ScaleSetId, id: &str) -> Result<(), Error> {
    let path = path(scale_set, &format!("/sessions/{id}"));
    let sent = tokio::time::timeout(CLOSE_DEADLINE, client.send(Method::DELETE, &path, &[], None)).await;
    match sent {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(Refusal { error, .. })) if error.kind == ErrorKind::SessionExpired || is_absent(&error) => Ok(()),
        Ok(Err(refusal)) => Err(refusal.into()),
        Err(_) => Err(Error {
            kind: ErrorKind::Transport,
            request: format!("DELETE {path}"),
            status: None,
            message: format!("no answer within {} s", CLOSE_DEADLINE.as_secs()),
            activity_id: None,
        }),
    }
}

/// Returns whether the service says that something is not there; where a token had to be had first, GitHub's REST API says
/// nothing of that.
fn is_absent(error: &Error) -> bool {
    error.status == Some(404) && !matches!(error.kind, ErrorKind::Github(_))
}

/// Takes the statuses by which a queue says that the session is gone for what they mean. What GitHub's REST API says, where a
/// token had to be had first, is about no session.
fn expired(mut refusal: Refusal, gone: &[u16]) -> Refusal {
    let is_of_github = matches!(refusal.error.kind, ErrorKind::Github(_));
    if !is_of_github && refusal.error.status.is_some_and(|status| gone.contains(&status)) {
        refusal.error.kind = ErrorKind::SessionExpired;
    }
    refusal
}
