//! The one way to the Actions Service: its address, its token, and what may be repeated.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::Method;
use serde_json::Value;

use super::address;
use super::connection::{Connection, Connector};
use super::decode::{self, Entries, Fields};
use super::error::{Error, ErrorKind};
use super::refusal::Refusal;
use super::transport::{Gate, Reply, Request, Sends, Transport};
use crate::config;
use crate::github::{self, Patience};
use crate::tally::Tally;

/// The Actions Service of one scope. Must be made inside a tokio runtime; nothing is called before the first request.
///
/// What reads is repeated a few times where the answer was lost or the server failed; what makes or deletes something is
/// sent once. A token that is refused is renewed, and the request that it was refused for sent again, once.
///
/// Where the service says until when it wants to be left alone, no runner is registered before, by whichever pool; what keeps
/// sessions alive, or undoes something, is sent all the same, at its own pauses.
pub struct Client {
    connector: Connector,
    pub(super) transport: Transport,
    unreadable: AtomicU64,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("connector", &self.connector).finish_non_exhaustive()
    }
}

impl Client {
    /// Prepares a client; nothing is called yet.
    ///
    /// # Errors
    /// The CA file can't be used.
    pub fn new(github: Arc<github::Client>, settings: &config::Github) -> Result<Self, Error> {
        Self::with_patience(github, settings, Patience::default())
    }

    /// The same, with another patience.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn with_patience(
        github: Arc<github::Client>,
        settings: &config::Github,
        patience: Patience,
    ) -> Result<Self, Error> {
        let transport = Transport::new(settings.ca_pem.clone(), patience);
        // The service is where GitHub is, in all likelihood; so what is wrong with the settings is said here.
        let host = settings.api_url.parse::<http::Uri>().ok();
        transport.client(host.as_ref().and_then(http::Uri::host).unwrap_or_default()).map_err(|message| Error {
            kind: ErrorKind::Protocol,
            request: format!("the client for the Actions Service of {}", settings.url),
            status: None,
            message,
            activity_id: None,
        })?;
        Ok(Self { connector: Connector::new(github, settings), transport, unreadable: AtomicU64::new(0) })
    }

    /// Returns how many entries of lists could not be read so far: what was listed is short of so many.
    #[must_use]
    pub fn unreadable(&self) -> u64 {
        self.unreadable.load(Ordering::Relaxed)
    }

    /// Returns how often it was tried to connect to the service.
    pub(super) fn connects(&self) -> u64 {
        self.connector.tried()
    }

    /// Returns what its requests were answered with.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.transport.tally
    }

    /// Reads something, with up to two repetitions.
    pub(super) async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Reply, Refusal> {
        let mut sends = Sends::of(self.transport.patience);
        loop {
            match self.send(Method::GET, path, query, None).await {
                Err(refusal) if sends.again(refusal.error.kind).await => {}
                result => return result,
            }
        }
    }

    /// Sends something with the service's token, once; a token that is refused is renewed, once.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Reply, Refusal> {
        self.sent(method, path, query, body, Gate::Ignored).await
    }

    /// Makes something, once, and not while the service wants to be left alone.
    pub(super) async fn post_in_turn(&self, path: &str, body: &Value) -> Result<Reply, Refusal> {
        self.sent(Method::POST, path, &[], Some(body), Gate::Heeded).await
    }

    async fn sent(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
        gate: Gate,
    ) -> Result<Reply, Refusal> {
        let connection = self.connector.connection().await?;
        match self.send_over(&connection, &method, path, query, body, gate).await {
            Err(refusal) if refusal.error.kind == ErrorKind::Unauthorized => {
                tracing::debug!(error = %refusal.error, "connecting anew");
            }
            result => return result,
        }
        self.connector.forget(&connection).await;
        let connection = self.connector.connection().await?;
        self.send_over(&connection, &method, path, query, body, gate).await
    }

    async fn send_over(
        &self,
        connection: &Connection,
        method: &Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
        gate: Gate,
    ) -> Result<Reply, Refusal> {
        let request = Request {
            method: method.clone(),
            address: address::resource(&connection.base, path, query),
            token: &connection.token,
            body: body.map(Value::to_string),
            headers: Vec::new(),
            timeout: None,
            gate,
        };
        self.transport.send(request).await
    }

    /// Returns where the service is now.
    pub(super) async fn base(&self) -> Result<reqwest::Url, Error> {
        Ok(self.connector.connection().await?.base.clone())
    }

    /// Reads a list; entries that can't be read are counted, and said.
    pub(super) fn entries<T>(&self, reply: &Reply, read: impl Fn(&Fields) -> Option<T>) -> Result<Entries<T>, Error> {
        let entries = decode::entries(&reply.body, read).map_err(|what| reply.unreadable(what))?;
        if entries.unreadable > 0 {
            let (request, unreadable) = (&reply.request, entries.unreadable);
            tracing::warn!(request, unreadable, "entries of a list could not be read");
            self.unreadable.fetch_add(unreadable as u64, Ordering::Relaxed);
        }
        Ok(entries)
    }
}

impl Reply {
    /// Reads one object. What doesn't decode may hold a secret: it is not quoted.
    pub(super) fn one<T>(&self, what: &str, read: impl Fn(&Fields) -> Option<T>) -> Result<T, Error> {
        let fields = decode::object(&self.body).map_err(|what| self.unreadable(what))?;
        read(&fields).ok_or_else(|| self.unreadable(format!("no {what} in it")))
    }
}
