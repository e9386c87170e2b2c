//! The connection to the service: where it is and the token that it takes, renewed before that expires, or when it is
//! refused, once for any number of tasks.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use reqwest::Url;
use secrecy::SecretString;
use tokio::sync::Mutex;

use super::address;
use super::decode::token_times;
use super::error::{Error, ErrorKind};
use crate::config;
use crate::engine::Scope;
use crate::github::{self, AdminConnection};

/// A token is renewed so long before it expires.
const RENEW_BEFORE: Duration = Duration::from_mins(1);
/// How long a token is used that doesn't say when it expires; the service's own live about an hour.
const UNSAID_LIFE: Duration = Duration::from_mins(30);
/// For so long everybody gets GitHub's refusal to connect, and GitHub is left alone; it doubles with each in a row.
const REFUSED_FOR: Duration = Duration::from_secs(2);
const REFUSED_FOR_AT_MOST: Duration = Duration::from_secs(30);

/// What a request to the service needs.
pub(super) struct Connection {
    pub(super) base: Url,
    pub(super) token: SecretString,
    renew_at: Instant,
}

/// Connects, and keeps the connection.
pub(super) struct Connector {
    github: Arc<github::Client>,
    scope: Scope,
    /// The configuration's URL.
    url: String,
    /// Held while connecting, so that any number of tasks that need a connection make one.
    state: Mutex<State>,
    /// How often it was tried to connect.
    tried: AtomicU64,
}

#[derive(Default)]
struct State {
    held: Option<Arc<Connection>>,
    failed: Option<(Instant, Error)>,
    /// How often in a row that was so.
    failures: u32,
}

impl State {
    /// Returns how long a refusal is one.
    fn refused_for(&self) -> Duration {
        REFUSED_FOR.saturating_mul(1 << self.failures.saturating_sub(1).min(8)).min(REFUSED_FOR_AT_MOST)
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("github", &self.github).field("url", &self.url).finish_non_exhaustive()
    }
}

impl Connector {
    pub(super) fn new(github: Arc<github::Client>, settings: &config::Github) -> Self {
        Self {
            github,
            scope: settings.scope.clone(),
            url: settings.url.clone(),
            state: Mutex::default(),
            tried: AtomicU64::new(0),
        }
    }

    /// Returns how often it was tried to connect: what else asked meanwhile was told what came of that.
    pub(super) fn tried(&self) -> u64 {
        self.tried.load(Ordering::Relaxed)
    }

    /// Returns the connection; connects first if there is none that lasts.
    pub(super) async fn connection(&self) -> Result<Arc<Connection>, Error> {
        let asked = Instant::now();
        let mut state = self.state.lock().await;
        if let Some(held) = state.held.as_ref().filter(|held| Instant::now() < held.renew_at) {
            return Ok(held.clone());
        }
        if let Some((at, error)) = &state.failed {
            // Who waited while it failed has been answered; and a refusal is one for a while.
            let is_refusal = matches!(
                error.kind,
                ErrorKind::Github(
                    github::ErrorKind::Unauthorized | github::ErrorKind::Forbidden | github::ErrorKind::NotFound
                )
            );
            if *at >= asked || is_refusal && at.elapsed() < state.refused_for() {
                return Err(error.clone());
            }
        }
        self.tried.fetch_add(1, Ordering::Relaxed);
        let fresh = self.connect().await.inspect_err(|error| {
            state.failed = Some((Instant::now(), error.clone()));
            state.failures = state.failures.saturating_add(1);
        })?;
        let fresh = Arc::new(fresh);
        *state = State { held: Some(fresh.clone()), ..State::default() };
        Ok(fresh)
    }

    /// Forgets a connection whose token was refused.
    pub(super) async fn forget(&self, refused: &Arc<Connection>) {
        let mut state = self.state.lock().await;
        // Another task may have connected anew since.
        if state.held.as_ref().is_some_and(|held| Arc::ptr_eq(held, refused)) {
            state.held = None;
        }
    }

    async fn connect(&self) -> Result<Connection, Error> {
        let AdminConnection { url, token } = self.github.admin_connection(&self.scope, &self.url).await?;
        let base = address::follow(&url).map_err(|what| Error {
            kind: ErrorKind::Protocol,
            request: format!("the Actions Service of {}", self.url),
            status: None,
            message: format!("GitHub {what}"),
            activity_id: None,
        })?;
        let life = life(&token);
        tracing::debug!(host = base.host_str(), life = life.as_secs(), "connected to the actions service");
        Ok(Connection { base, token, renew_at: Instant::now() + life.saturating_sub(RENEW_BEFORE) })
    }
}

/// Returns how long a fresh token lives, by its own clock where it says when it was issued: ours may be wrong. A fresh
/// token that seems to have expired says only that one of the clocks is.
fn life(token: &SecretString) -> Duration {
    let Some((issued, expires)) = token_times(token) else { return UNSAID_LIFE };
    let seconds = expires.saturating_sub(issued.unwrap_or_else(|| Timestamp::now().as_second()));
    match u64::try_from(seconds) {
        Ok(seconds) if seconds > 0 => Duration::from_secs(seconds.min(24 * 60 * 60)),
        _ => UNSAID_LIFE,
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn lives(claims: &str) -> u64 {
        life(&format!("e30.{}.x", URL_SAFE_NO_PAD.encode(claims)).into()).as_secs()
    }

    #[test]
    fn a_token_lives_as_long_as_it_says_and_an_odd_one_for_half_an_hour() {
        let in_an_hour = Timestamp::now().as_second() + 3600;
        assert_eq!(lives(r#"{"iat":1000,"exp":4000}"#), 3000);
        assert!((3590..=3600).contains(&lives(&format!(r#"{{"exp":{in_an_hour}}}"#))));
        for odd in [r#"{"exp":1}"#, r#"{"exp":null}"#, "{}", "[]", "", r#"{"iat":9,"exp":9}"#] {
            assert_eq!(lives(odd), 1800, "{odd}");
        }
        assert_eq!(life(&"not a JWT".into()).as_secs(), 1800);
        assert_eq!(lives(&format!(r#"{{"iat":0,"exp":{}}}"#, i64::MAX)), 86_400);
    }
}
