//! The way from our credentials to the Actions Service: a registration token, and with it the service's address and
//! the token that it takes (the flow of `actions/scaleset`).

use http::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;

use super::auth::authorization;
use super::client::{Client, LEFT_ALONE_FOR};
use super::error::{Error, ErrorKind};
use super::installations::no_business;
use super::runners::actions;
use crate::engine::Scope;

/// Times that a runner registration is tried: a fresh registration token is not valid everywhere at once
/// (actions-runner-controller#3377, #3724).
const REGISTRATIONS: u32 = 5;

/// What GitHub hands out to those who may manage a scope's runners.
pub(crate) struct AdminConnection {
    /// Where the Actions Service is.
    pub(crate) url: String,
    /// The JWT that it takes.
    pub(crate) token: SecretString,
}

#[derive(Deserialize)]
struct RegistrationToken {
    token: Option<SecretString>,
}

#[derive(Deserialize)]
struct Registered {
    url: Option<String>,
    token: Option<SecretString>,
}

impl Client {
    /// Connects to the Actions Service of a scope; `url` is the configuration's.
    ///
    /// Both requests make nothing but tokens, so they may be repeated.
    pub(crate) async fn admin_connection(&self, scope: &Scope, url: &str) -> Result<AdminConnection, Error> {
        let token = self.registration_token(scope).await?;
        self.runner_registration(url, &token).await
    }

    /// POST …/actions/runners/registration-token
    async fn registration_token(&self, scope: &Scope) -> Result<SecretString, Error> {
        if let Some(error) = no_business(self, scope) {
            return Err(error);
        }
        let path = format!("{}/runners/registration-token", actions(scope));
        let reply = self.repeated(&Method::POST, &path).await?;
        // What doesn't decode may hold the token: it is not quoted.
        let answer: Option<RegistrationToken> = serde_json::from_slice(&reply.body).ok();
        let token = answer.and_then(|answer| answer.token).filter(|token| !token.expose_secret().is_empty());
        token.ok_or_else(|| reply.unreadable("no registration token in it"))
    }

    /// POST /actions/runner-registration
    async fn runner_registration(&self, url: &str, token: &SecretString) -> Result<AdminConnection, Error> {
        let body = json!({ "url": url, "runner_event": "register" }).to_string();
        let mut sends = 0;
        let reply = loop {
            sends += 1;
            let header = authorization("RemoteAuth", token.expose_secret())?;
            let path = "/actions/runner-registration";
            let error = match self.send(&Method::POST, path, Some(body.clone()), header, None).await {
                Ok(reply) => break reply,
                Err(error) if sends == REGISTRATIONS => return Err(error),
                Err(error) => error,
            };
            match error.kind {
                // The gate waits, or says that it takes too long.
                ErrorKind::RateLimited { .. } if error.status.is_some() && self.is_closed() => {}
                ErrorKind::Server { after: Some(after) } if after > LEFT_ALONE_FOR => return Err(error),
                ErrorKind::Unauthorized | ErrorKind::Forbidden | ErrorKind::Transport | ErrorKind::Server { .. } => {
                    tracing::debug!(%error, "registering again");
                    tokio::time::sleep(self.patience.before(sends)).await;
                }
                _ => return Err(error),
            }
        };
        let answer: Option<Registered> = serde_json::from_slice(&reply.body).ok();
        match answer {
            Some(Registered { url: Some(url), token: Some(token) })
                if !url.is_empty() && !token.expose_secret().is_empty() =>
            {
                Ok(AdminConnection { url, token })
            }
            _ => Err(reply.unreadable("no address and token of the Actions Service in it")),
        }
    }
}
