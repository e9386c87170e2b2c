//! Answers that are no success: what the service calls the situation, sorted by the exception's name.

use http::header::{LOCATION, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::decode::{self, Fields};
use super::error::{Error, ErrorKind};
use crate::github::transport::one_line;

/// A request that failed; beside the error itself, what only this module's callers need to tell apart.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) error: Error,
    /// `None`: the answer named no exception that is known, or there was no answer.
    pub(super) exception: Option<Exception>,
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        refusal.error
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self { error, exception: None }
    }
}

/// The exceptions that are answered differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exception {
    AgentExists,
    AgentNotFound,
    JobStillRunning,
    ScaleSetExists,
    ScaleSetNotFound,
    SessionConflict,
    SessionExpired,
}

impl Exception {
    /// Returns the exception that an answer names; the service's names are .NET's, `Namespace.XException, Assembly`.
    fn of(status: StatusCode, name: &str, message: &str) -> Option<Self> {
        let has = |part: &str| name.contains(part);
        Some(match status.as_u16() {
            _ if has("AgentExistsException") => Self::AgentExists,
            _ if has("AgentNotFoundException") => Self::AgentNotFound,
            _ if has("JobStillRunningException") => Self::JobStillRunning,
            _ if has("RunnerScaleSetNotFoundException") => Self::ScaleSetNotFound,
            _ if has("SessionConflict") => Self::SessionConflict,
            _ if has("SessionExpired") => Self::SessionExpired,
            // The broker's words: `RunnerSessionInvalid` (actions/runner#4556).
            _ if has("SessionInvalid") || has("SessionNotFound") => Self::SessionExpired,
            // What the broker says of a session that it evicted (actions/scaleset#123).
            404 if has("RunnerAdminException") => Self::SessionExpired,
            _ if has("RunnerScaleSetExistsException") => Self::ScaleSetExists,
            400 | 409 if message.contains("already exists in runner group") => Self::ScaleSetExists,
            _ => return None,
        })
    }

    fn kind(self) -> ErrorKind {
        match self {
            Self::AgentExists => ErrorKind::RunnerExists,
            Self::AgentNotFound => ErrorKind::NotFound,
            Self::JobStillRunning => ErrorKind::JobStillRunning,
            Self::ScaleSetExists => ErrorKind::ScaleSetExists,
            Self::ScaleSetNotFound => ErrorKind::ScaleSetNotFound,
            Self::SessionConflict => ErrorKind::SessionConflict,
            Self::SessionExpired => ErrorKind::SessionExpired,
        }
    }
}

/// Reads an answer that isn't a success. `token` is what was sent: an answer that repeats it is not quoted so.
pub(super) fn refusal(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    request: String,
    token: &SecretString,
) -> Refusal {
    let (name, said) = named(body);
    let message = match said {
        Some(said) => scrubbed(&said, token),
        None if status.is_redirection() => match headers.get(LOCATION) {
            Some(to) => {
                let to = scrubbed(&String::from_utf8_lossy(to.as_bytes()), token);
                format!("redirects to another address, which is not followed: {to}")
            }
            None => "redirects nowhere".to_owned(),
        },
        None if decode::is_html(body) => "HTML, where JSON was expected".to_owned(),
        None => status.canonical_reason().unwrap_or("no reason given").to_lowercase(),
    };
    let exception = Exception::of(status, &name, &message);
    let kind = exception.map_or_else(|| kind(status, headers), Exception::kind);
    // `GitHub.Actions.Runtime.WebApi.XException, GitHub.Actions.Runtime.WebApi` is `XException` to people.
    let short = name.split(',').next().and_then(|name| name.rsplit('.').next()).unwrap_or_default();
    let message = if short.is_empty() { message } else { one_line(&scrubbed(&format!("{short}: {message}"), token)) };
    let error = Error { kind, request, status: Some(status.as_u16()), message, activity_id: activity_id(headers) };
    Refusal { error, exception }
}

/// Returns the exception's name, and what was said: in the service's own form, the broker's, or REST's.
fn named(body: &[u8]) -> (String, Option<String>) {
    let body = decode::without_mark(body);
    if let Ok(Value::Object(object)) = serde_json::from_slice(body) {
        let fields = Fields::of(object);
        let first = |names: [&str; 2]| names.map(|name| fields.text(name)).into_iter().find(|text| !text.is_empty());
        return (first(["typeName", "errorKind"]).unwrap_or_default(), first(["message", "errorMessage"]));
    }
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    let is_said = !text.is_empty() && !decode::is_html(body) && !text.starts_with(['{', '[']);
    (String::new(), is_said.then(|| text.to_owned()))
}

fn kind(status: StatusCode, headers: &HeaderMap) -> ErrorKind {
    let retry_after = headers.get(RETRY_AFTER).and_then(|value| until(value.to_str().ok()?));
    match status.as_u16() {
        401 => ErrorKind::Unauthorized,
        403 => ErrorKind::Forbidden,
        404 => ErrorKind::NotFound,
        429 => ErrorKind::Throttled { until: retry_after },
        503 if retry_after.is_some() => ErrorKind::Throttled { until: retry_after },
        500..=599 => ErrorKind::Server,
        400..=499 => ErrorKind::Refused,
        _ => ErrorKind::Protocol,
    }
}

/// Reads a `Retry-After`: seconds, or a date.
fn until(value: &str) -> Option<Timestamp> {
    if let Ok(seconds) = value.trim().parse::<u32>() {
        return Timestamp::now().checked_add(SignedDuration::from_secs(seconds.into())).ok();
    }
    jiff::fmt::rfc2822::parse(value.trim()).ok().map(|date| date.timestamp())
}

/// Returns the service's own id of an answer, else the front's.
pub(super) fn activity_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get("activityid").or_else(|| headers.get("x-github-request-id"))?;
    id.to_str().ok().map(one_line)
}

/// Returns one line of a text that came from outside, without what may be a secret: the token that was sent, anything
/// of a JWT's form, the query of an address.
pub(super) fn scrubbed(text: &str, token: &SecretString) -> String {
    let token = token.expose_secret();
    let text = if token.is_empty() { text.to_owned() } else { text.replace(token, "***") };
    let words = text.lines().next().unwrap_or_default().split_inclusive([' ', '\t', '"', '\'', '<', '>', ',']);
    let words = words.map(|word| {
        // `eyJ` is `{"` in base64: how a JWT begins, and a JIT config.
        if let Some(at) = word.find("eyJ") {
            return format!("{}*** ", &word[..at]);
        }
        match (word.contains("://"), word.find('?')) {
            (true, Some(query)) => format!("{}?*** ", &word[..query]),
            _ => word.to_owned(),
        }
    });
    one_line(words.collect::<String>().trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(status: u16, body: &str) -> Error {
        let status = StatusCode::from_u16(status).unwrap();
        refusal(status, &HeaderMap::new(), body.as_bytes(), "GET x".to_owned(), &"sent-token".into()).error
    }

    #[test]
    fn an_exception_is_known_by_its_name_wherever_that_stands() {
        let vss = |name: &str| {
            format!(
                r#"{{"$id":"1","typeName":"GitHub.X.{name}, GitHub.X","message":"m","errorCode":0,"eventId":3000}}"#
            )
        };
        for (status, name, kind) in [
            (409, "AgentExistsException", ErrorKind::RunnerExists),
            (404, "TaskAgentNotFoundException", ErrorKind::NotFound),
            (400, "JobStillRunningException", ErrorKind::JobStillRunning),
            (409, "JobStillRunningException", ErrorKind::JobStillRunning),
            (409, "RunnerScaleSetSessionConflictException", ErrorKind::SessionConflict),
            (400, "RunnerScaleSetSessionExpiredException", ErrorKind::SessionExpired),
            (404, "RunnerAdminException", ErrorKind::SessionExpired),
            (404, "RunnerScaleSetNotFoundException", ErrorKind::ScaleSetNotFound),
            (400, "SomeOtherException", ErrorKind::Refused),
            (404, "SomeOtherException", ErrorKind::NotFound),
            (500, "SomeOtherException", ErrorKind::Server),
        ] {
            let error = sorted(status, &vss(name));
            assert_eq!((error.kind, error.message), (kind, format!("{name}: m")), "{status}");
        }
    }

    #[test]
    fn each_form_of_a_refusal_is_read() {
        let said = |status, body: &str| (sorted(status, body).kind, sorted(status, body).message);
        let broker =
            r#"{"source":"actions-broker","errorKind":"RunnerSessionInvalid","statusCode":400,"errorMessage":"gone"}"#;
        assert_eq!(said(400, broker), (ErrorKind::SessionExpired, "RunnerSessionInvalid: gone".into()));
        let rest = r#"{"message":"Not Found","documentation_url":"https://docs"}"#;
        assert_eq!(said(404, rest), (ErrorKind::NotFound, "Not Found".into()));
        assert_eq!(said(400, "plain\r\nwords"), (ErrorKind::Refused, "plain".into()));
        assert_eq!(said(502, "<html><b>eyJx"), (ErrorKind::Server, "HTML, where JSON was expected".into()));
        assert_eq!(said(403, ""), (ErrorKind::Forbidden, "forbidden".into()));
        assert_eq!(said(400, "{\"mess"), (ErrorKind::Refused, "bad request".into()));
        assert_eq!(said(418, "null").0, ErrorKind::Refused);
        assert_eq!(said(302, "").0, ErrorKind::Protocol);
        let marked = "\u{feff}{\"TYPENAME\":\"JobStillRunningException\",\"message\":null}";
        assert_eq!(said(400, marked), (ErrorKind::JobStillRunning, "JobStillRunningException: bad request".into()));
        let taken = r#"{"typeName":"X.ArgumentException","message":"Runner scale set a already exists in runner group Default"}"#;
        assert_eq!(said(400, taken).0, ErrorKind::ScaleSetExists);
    }

    #[test]
    fn a_time_to_wait_is_read_as_seconds_and_as_a_date() {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, "Wed, 21 Oct 2015 07:28:00 GMT".parse().unwrap());
        let date: Timestamp = "2015-10-21T07:28:00Z".parse().unwrap();
        let (busy, many) = (StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(kind(busy, &headers), ErrorKind::Throttled { until: Some(date) });
        headers.insert(RETRY_AFTER, "30".parse().unwrap());
        assert!(matches!(kind(many, &headers), ErrorKind::Throttled { until: Some(at) } if at > Timestamp::now()));
        assert_eq!(kind(many, &HeaderMap::new()), ErrorKind::Throttled { until: None });
        assert_eq!(kind(busy, &HeaderMap::new()), ErrorKind::Server);
    }

    #[test]
    fn what_may_be_a_secret_is_not_repeated() {
        let text = "token sent-token, Bearer eyJhbGciOi.x.y at https://h/q?s=hidden is bad";
        assert_eq!(scrubbed(text, &"sent-token".into()), "token ***, Bearer *** at https://h/q?*** is bad");
    }
}
