//! Who we are: a token, or a GitHub App that mints its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{HeaderValue, Method};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::cache::Identity;
use super::client::Client;
use super::error::{Error, ErrorKind};
use crate::ages::age;
use crate::config::{AppIssuer, Credentials};

/// An installation token is renewed this long before it expires: a scan that begins with it also ends with it.
const RENEW_BEFORE: Duration = Duration::from_mins(5);

/// For so long a refused mint is not tried again.
const REFUSED_FOR: Duration = Duration::from_secs(30);

/// The identity behind every request.
pub(super) enum Auth {
    Token(SecretString),
    /// An App itself: all it may do is to look at its installations.
    Issuer(Arc<Issuer>),
    /// An App in one of its installations.
    App(Box<App>),
}

/// Who signs for an App.
pub(super) struct Issuer {
    name: String,
    key: EncodingKey,
}

pub(super) struct App {
    issuer: Arc<Issuer>,
    installation_id: u64,
    /// Held while minting, so that any number of tasks that need a token cause one mint.
    minted: Mutex<Option<Minted>>,
    /// When a mint was last refused, and how: for a while everybody gets that answer, and GitHub is left alone.
    refused: Mutex<Option<(Timestamp, Error)>>,
    /// It sees the repositories that somebody selected, and no others.
    is_selected: AtomicBool,
}

#[derive(Clone)]
struct Minted {
    token: SecretString,
    expires_at: Timestamp,
}

#[derive(Serialize)]
struct Claims<'a> {
    iat: i64,
    exp: i64,
    iss: &'a str,
}

#[derive(Deserialize)]
struct AccessToken {
    token: Option<SecretString>,
    expires_at: Option<Timestamp>,
    repository_selection: Option<String>,
}

/// The name under which the cache keeps whether an installation sees the repositories that somebody selected, and no others.
const SELECTED: &str = "selected repositories";

impl Auth {
    pub(super) fn of(credentials: &Credentials) -> Result<Self, String> {
        match credentials {
            Credentials::Token(token) => Ok(Self::Token(token.clone())),
            Credentials::App { issuer, installation_id, private_key } => {
                Ok(Self::in_installation(Arc::new(Issuer::of(issuer, private_key)?), *installation_id))
            }
            Credentials::EveryInstallation { issuer, private_key } => {
                Ok(Self::Issuer(Arc::new(Issuer::of(issuer, private_key)?)))
            }
        }
    }

    /// Returns an App in one of its installations.
    pub(super) fn in_installation(issuer: Arc<Issuer>, installation_id: u64) -> Self {
        let (minted, refused, is_selected) = (Mutex::default(), Mutex::default(), AtomicBool::default());
        Self::App(Box::new(App { issuer, installation_id, minted, refused, is_selected }))
    }

    /// Returns whether it is an App's installation in selected repositories, as far as its tokens have told.
    pub(super) fn is_selected(&self) -> bool {
        matches!(self, Self::App(app) if app.is_selected.load(Ordering::Relaxed))
    }

    /// Returns the `Authorization` of a request; an App mints a token first if it has none that lasts.
    pub(super) async fn header(&self, client: &Client) -> Result<HeaderValue, Error> {
        match self {
            Self::Token(token) => bearer(token.expose_secret()),
            Self::Issuer(issuer) => bearer(&issuer.jwt()?),
            Self::App(app) => app.header(client).await,
        }
    }

    /// Forgets a token that was refused; returns whether there is hope for another.
    pub(super) async fn forget(&self, client: &Client, refused: &HeaderValue) -> bool {
        let Self::App(app) = self else { return false };
        let mut minted = app.minted.lock().await;
        // Another task may have minted anew since.
        if let Some(held) = &*minted
            && bearer(held.token.expose_secret()).is_ok_and(|header| header == *refused)
        {
            if let Some(cache) = client.cache() {
                cache.forget_token(client.who(), &held.token);
            }
            *minted = None;
        }
        true
    }
}

impl App {
    async fn header(&self, client: &Client) -> Result<HeaderValue, Error> {
        let mut minted = self.minted.lock().await;
        let kept = || client.cache()?.token(client.who()).map(|(token, expires_at)| Minted { token, expires_at });
        let lasts = |held: &Minted| held.expires_at > Timestamp::now() + RENEW_BEFORE;
        if let Some(held) = minted.clone().filter(lasts).or_else(|| kept().filter(lasts)) {
            if minted.is_none() {
                let is_selected = client.cache().and_then(|cache| cache.note(client.who(), SELECTED));
                // Not known, it may be.
                self.is_selected.store(is_selected.unwrap_or(true), Ordering::Relaxed);
            }
            let header = bearer(held.token.expose_secret());
            *minted = Some(held);
            return header;
        }
        let mut refused = self.refused.lock().await;
        if let Some((at, error)) = &*refused
            && age(Timestamp::now(), *at) < REFUSED_FOR
        {
            return Err(error.clone());
        }
        let fresh = self.mint(client).await.inspect_err(|error| {
            *refused = Some((Timestamp::now(), error.clone()));
        })?;
        let header = bearer(fresh.token.expose_secret())?;
        if let Some(cache) = client.cache() {
            cache.keep_token(client.who(), &fresh.token, fresh.expires_at);
        }
        *minted = Some(fresh);
        Ok(header)
    }

    /// Exchanges a JWT for an installation token (`POST /app/installations/{id}/access_tokens`).
    async fn mint(&self, client: &Client) -> Result<Minted, Error> {
        let path = format!("/app/installations/{}/access_tokens", self.installation_id);
        // One token too many harms nobody.
        let mut tries = 1;
        let reply = loop {
            match client.send(&Method::POST, &path, None, bearer(&self.issuer.jwt()?)?, None).await {
                Ok(reply) => break reply,
                Err(error) => match client.patience.before_again(error.kind, tries) {
                    Some(pause) => client.sleep(pause).await,
                    None => return Err(error),
                },
            }
            tries += 1;
        };
        // What doesn't decode may hold the token: it is not quoted.
        let answer: Option<AccessToken> = serde_json::from_slice(&reply.body).ok();
        match answer {
            Some(AccessToken { token: Some(token), expires_at, repository_selection }) => {
                let is_selected = repository_selection.as_deref() == Some("selected");
                self.is_selected.store(is_selected, Ordering::Relaxed);
                if let Some(cache) = client.cache() {
                    // Before the token, so that no other process uses that with what was known of the one before.
                    cache.announce(client.who(), SELECTED, &is_selected);
                }
                // An hour is what GitHub documents.
                let expires_at = expires_at.unwrap_or_else(|| Timestamp::now() + Duration::from_hours(1));
                Ok(Minted { token, expires_at })
            }
            _ => Err(reply.unreadable("no installation token in it")),
        }
    }
}

impl Issuer {
    fn of(issuer: &AppIssuer, private_key: &SecretString) -> Result<Self, String> {
        // The library's error can hold a piece of what it read; ours holds none of it.
        let key = EncodingKey::from_rsa_pem(private_key.expose_secret().as_bytes())
            .map_err(|_| "`github.app.private_key_file` is no RSA private key in PEM form")?;
        let name = match issuer {
            AppIssuer::AppId(id) => id.to_string(),
            AppIssuer::ClientId(id) => id.clone(),
        };
        Ok(Self { name, key })
    }

    /// Signs who we are, for nine minutes and from a minute ago, since clocks differ and GitHub allows ten.
    fn jwt(&self) -> Result<String, Error> {
        let now = Timestamp::now().as_second();
        let claims = Claims { iat: now - 60, exp: now + 540, iss: &self.name };
        jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &self.key)
            .map_err(|_| unusable("the App's private key could not sign"))
    }
}

/// Returns who somebody is to a server: what one is answered is never taken for what another would be. An App's tokens
/// change by the hour and are all the same to it; another key of the same App has to prove itself. Another version of
/// this program may understand more of an answer, and so it is somebody else.
pub(super) fn identity(credentials: &Credentials, api_url: &str) -> Identity {
    let (version, api_url) = (env!("CARGO_PKG_VERSION").as_bytes(), api_url.as_bytes());
    match credentials {
        Credentials::Token(token) => Identity::of(&[b"token", version, api_url, token.expose_secret().as_bytes()]),
        Credentials::App { issuer, installation_id, private_key } => Identity::of(&[
            b"app",
            version,
            api_url,
            format!("{issuer:?} {installation_id}").as_bytes(),
            private_key.expose_secret().as_bytes(),
        ]),
        Credentials::EveryInstallation { issuer, private_key } => Identity::of(&[
            b"app",
            version,
            api_url,
            format!("{issuer:?}").as_bytes(),
            private_key.expose_secret().as_bytes(),
        ]),
    }
}

/// Returns a header that is never shown.
fn bearer(token: &str) -> Result<HeaderValue, Error> {
    authorization("Bearer", token)
}

/// The same, of another scheme.
pub(super) fn authorization(scheme: &str, token: &str) -> Result<HeaderValue, Error> {
    let mut header = HeaderValue::from_str(&format!("{scheme} {token}"))
        .map_err(|_| unusable("the token holds a character that no header can"))?;
    header.set_sensitive(true);
    Ok(header)
}

fn unusable(message: &str) -> Error {
    Error {
        kind: ErrorKind::Unauthorized,
        request: "credentials".to_owned(),
        status: None,
        message: message.to_owned(),
        request_id: None,
    }
}
