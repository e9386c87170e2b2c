//! What the service answers: documents, exceptions, and how either may be spoilt.

use axum::response::{IntoResponse, Response};
use http::{HeaderName, StatusCode, header};
use serde_json::{Value, json};

use super::documents;
use crate::sandbox::world::ScaleSetSettings;

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    status: StatusCode,
    body: Body,
}

#[derive(Debug)]
enum Body {
    None,
    Json(Value),
    Text(String),
}

impl Answer {
    /// Returns 200 with a document.
    pub(super) fn ok(document: Value) -> Self {
        Self { status: StatusCode::OK, body: Body::Json(document) }
    }

    /// Returns 200 with a list.
    pub(super) fn list(items: impl IntoIterator<Item = Value>) -> Self {
        let items: Vec<_> = items.into_iter().collect();
        Self::ok(json!({ "count": items.len(), "value": items }))
    }

    /// Returns a status and nothing else.
    pub(super) fn empty(status: StatusCode) -> Self {
        Self { status, body: Body::None }
    }

    /// Returns a status with plain text.
    pub(super) fn text(status: StatusCode, text: &str) -> Self {
        Self { status, body: Body::Text(text.to_owned()) }
    }

    /// Returns one of the service's exceptions.
    pub(super) fn exception(status: StatusCode, name: &str, message: &str) -> Self {
        Self { status, body: Body::Json(exception(name, message)) }
    }

    /// Returns a refusal as the broker words it.
    pub(super) fn broker(status: StatusCode, kind: &str, message: &str) -> Self {
        let status_code = status.as_u16();
        let body = json!({
            "source": "actions-broker-listener", "errorKind": kind, "statusCode": status_code, "errorMessage": message,
        });
        Self { status, body: Body::Json(body) }
    }

    /// Returns 401: there is no token, or it is expired or of another kind.
    pub(super) fn unauthorized() -> Self {
        Self::empty(StatusCode::UNAUTHORIZED)
    }

    /// Returns 404 for what no controller answers.
    pub(super) fn no_route() -> Self {
        Self::text(StatusCode::NOT_FOUND, "The controller for path was not found")
    }

    /// Returns 404: the scale set isn't there, or is said not to be.
    pub(super) fn no_scale_set(id: &str) -> Self {
        let message = format!("No runner scale set found with identifier {id}.");
        Self::exception(StatusCode::NOT_FOUND, "RunnerScaleSetNotFoundException", &message)
    }
}

/// Returns the body of an exception; its type is named as the service does, with namespace and assembly.
pub(in crate::sandbox) fn exception(name: &str, message: &str) -> Value {
    let namespace = if name.starts_with("RunnerScaleSet") || name.starts_with("RunnerAdmin") {
        "GitHub.Actions.Runtime.WebApi"
    } else if name.starts_with("Vss") {
        "GitHub.Services.WebApi"
    } else {
        "GitHub.DistributedTask.WebApi"
    };
    json!({
        "$id": "1", "innerException": null, "message": message, "typeName": format!("{namespace}.{name}, {namespace}"),
        "typeKey": name, "errorCode": 0, "eventId": 3000,
    })
}

/// Writes an answer with the service's headers.
pub(super) fn write(answer: Answer, settings: &ScaleSetSettings, number: u64) -> Response {
    let headers = [
        (HeaderName::from_static("activityid"), format!("00000000-0000-4000-9000-{number:012x}")),
        (HeaderName::from_static("x-github-request-id"), format!("5A4D:AC7:{number:06X}")),
    ];
    let (kind, text) = match answer.body {
        Body::None => return (answer.status, headers).into_response(),
        Body::Text(text) => ("text/plain", text),
        Body::Json(mut document) => {
            if settings.nulls {
                documents::hollow(&mut document);
            }
            ("application/json; charset=utf-8; api-version=6.0-preview.1", document.to_string())
        }
    };
    let mark = if settings.byte_order_mark { "\u{feff}" } else { "" };
    (answer.status, headers, [(header::CONTENT_TYPE, kind)], format!("{mark}{text}")).into_response()
}
