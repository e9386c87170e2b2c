//! The HTTP client below both of GitHub's services: who we say we are, how long we wait, which proxy and certificates.

use std::time::Duration;

use crate::config;

/// Ours, on every request.
const USER_AGENT: &str = concat!("ghascale/", env!("CARGO_PKG_VERSION"));
/// From sending a request to the last byte of its answer.
const TIMEOUT: Duration = Duration::from_secs(20);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// An answer larger than this is refused: a page of a hundred runs is about a megabyte.
pub(crate) const LARGEST_ANSWER: usize = 64 << 20;

/// Prepares a client for one host: its proxy is the environment's (none for loopback), its certificates the system's
/// and those of the configuration. Where it follows redirects to is the caller's to say.
pub(crate) fn builder(host: &str, ca_pem: Option<&[u8]>) -> Result<reqwest::ClientBuilder, String> {
    let mut http = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .timeout(TIMEOUT)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_max_idle_per_host(100)
        .http2_adaptive_window(true);
    if config::is_loopback(host) {
        http = http.no_proxy();
    }
    if let Some(pem) = ca_pem {
        let certificates = reqwest::Certificate::from_pem_bundle(pem);
        http = http.tls_certs_merge(certificates.map_err(|error| format!("`github.ca_file`: {error}"))?);
    }
    Ok(http)
}

/// Returns an error's causes on one line; the outermost of octocrab's says nothing, the innermost says it.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let causes: Vec<String> =
        causes.map(|cause| cause.to_string().lines().next().unwrap_or_default().to_owned()).collect();
    // octocrab repeats what those within say, and reqwest names the address again, which stands in front already.
    let is_news = |(nth, cause): &(usize, &String)| {
        let is_repeated = |inner: &String| !inner.is_empty() && cause.contains(inner);
        !cause.is_empty() && !cause.starts_with("error sending request") && !causes[nth + 1..].iter().any(is_repeated)
    };
    let said: Vec<&str> = causes.iter().enumerate().filter(is_news).map(|(_, cause)| cause.as_str()).collect();
    if said.is_empty() { "no answer".to_owned() } else { one_line(&said.join(": ")) }
}

/// Returns the first line of a text, at most 300 characters of it.
pub(crate) fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(300).collect()
}
