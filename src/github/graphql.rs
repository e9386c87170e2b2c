//! GraphQL, for what the REST API has no list of. It answers 200 to what it refuses, with the errors in the body, and may
//! give a part beside them: neither is ever taken for an empty list.

use http::HeaderMap;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::client::{Client, Reply, request_id};
use super::error::{Error, ErrorKind};
use super::transport::one_line;

/// Where it is, beside the REST API.
pub(super) const PATH: &str = "/graphql";

/// What was answered.
#[derive(Debug)]
pub(super) struct Answered<T> {
    /// Whatever could be answered.
    pub(super) data: T,
    /// What could not.
    pub(super) errors: Vec<Error>,
}

#[derive(Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
struct Body<T> {
    data: Option<T>,
    errors: Option<Vec<Refused>>,
}

#[derive(Deserialize)]
struct Refused {
    #[serde(rename = "type")]
    kind: Option<String>,
    message: Option<String>,
}

/// Asks a question.
///
/// # Errors
/// Nothing at all was answered.
pub(super) async fn query<T: DeserializeOwned>(
    client: &Client,
    text: &str,
    variables: &Value,
) -> Result<Answered<T>, Error> {
    let reply = client.ask(&json!({ "query": text, "variables": variables })).await?;
    let body: Body<T> = reply.decode()?;
    let mut errors: Vec<Error> = body.errors.unwrap_or_default().into_iter().map(|one| error(&reply, &one)).collect();
    match body.data {
        Some(data) => Ok(Answered { data, errors }),
        None if errors.is_empty() => Err(reply.unreadable("neither data nor errors in it")),
        None => Err(errors.swap_remove(0)),
    }
}

fn error(reply: &Reply, refused: &Refused) -> Error {
    let message = refused.message.as_deref().map_or_else(|| "no reason given".to_owned(), one_line);
    Error {
        kind: match refused.kind.as_deref() {
            Some("NOT_FOUND") => ErrorKind::NotFound,
            Some("FORBIDDEN" | "INSUFFICIENT_SCOPES") => ErrorKind::Forbidden,
            Some("RATE_LIMITED") => ErrorKind::RateLimited { until: reset(&reply.headers) },
            _ => ErrorKind::Unexpected,
        },
        request: reply.request.clone(),
        status: Some(200),
        message,
        request_id: request_id(&reply.headers),
    }
}

fn reset(headers: &HeaderMap) -> Option<Timestamp> {
    let at = headers.get("x-ratelimit-reset")?.to_str().ok()?.parse().ok()?;
    Timestamp::from_second(at).ok()
}
