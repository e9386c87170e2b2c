//! What GitHub answers: a status, a JSON body, the links to other pages.

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use serde_json::{Value, json};

/// A request for the REST API, read.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) method: &'a Method,
    /// The path after `/api/v3`.
    pub(super) path: &'a str,
    pub(super) query: BTreeMap<String, String>,
    pub(super) body: &'a [u8],
    /// Scheme, host and port as the client wrote them.
    pub(super) base: &'a str,
}

impl Request<'_> {
    /// Returns a parameter of the query.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Option<Value>,
    /// The `Link` header.
    pub(super) link: Option<String>,
    /// The `Retry-After` header, in seconds.
    pub(super) retry_after: Option<u32>,
}

impl Answer {
    /// Returns 200 with a body.
    pub(super) fn ok(body: Value) -> Self {
        Self { status: StatusCode::OK, body: Some(body), link: None, retry_after: None }
    }

    /// Returns 201 with a body.
    pub(super) fn created(body: Value) -> Self {
        Self { status: StatusCode::CREATED, ..Self::ok(body) }
    }

    /// Returns 204.
    pub(super) fn no_content() -> Self {
        Self { status: StatusCode::NO_CONTENT, body: None, link: None, retry_after: None }
    }

    /// Returns an error as GitHub words it.
    pub(super) fn error(status: StatusCode, message: &str) -> Self {
        Self { status, ..Self::ok(error_body(status, message)) }
    }

    /// Returns 404.
    pub(super) fn not_found() -> Self {
        Self::error(StatusCode::NOT_FOUND, "Not Found")
    }

    /// Returns one page of `items` (`per_page` to 100, from 30), wrapped by `body`, which gets the count of all.
    pub(super) fn page<T>(request: &Request, items: &[T], body: impl FnOnce(usize, &[T]) -> Value) -> Self {
        let number =
            |name, default: usize| request.parameter(name).and_then(|text| text.parse().ok()).unwrap_or(default);
        let size = number("per_page", 30).clamp(1, 100);
        let page = number("page", 1).max(1);
        let last = items.len().div_ceil(size).max(1);
        let start = (page - 1).saturating_mul(size).min(items.len());
        let end = (start + size).min(items.len());
        Self { link: links(request, page, last), ..Self::ok(body(items.len(), &items[start..end])) }
    }
}

/// Returns the body of an error.
pub(in crate::sandbox) fn error_body(status: StatusCode, message: &str) -> Value {
    json!({
        "message": message,
        "documentation_url": "https://docs.github.com/rest",
        "status": status.as_u16().to_string(),
    })
}

fn links(request: &Request, page: usize, last: usize) -> Option<String> {
    let link = |to: usize, relation| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(request.query.iter().filter(|(name, _)| *name != "page"));
        query.append_pair("page", &to.to_string());
        format!("<{}/api/v3{}?{}>; rel=\"{relation}\"", request.base, request.path, query.finish())
    };
    let mut links = Vec::new();
    if page > 1 {
        links.push(link(page.min(last + 1) - 1, "prev"));
    }
    if page < last {
        links.extend([link(page + 1, "next"), link(last, "last")]);
    }
    if page > 1 {
        links.push(link(1, "first"));
    }
    (!links.is_empty()).then(|| links.join(", "))
}
