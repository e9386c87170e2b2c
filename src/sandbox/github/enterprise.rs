//! The enterprise: its organizations by GraphQL, all of the server's by REST, its runners and runner groups.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, Request};
use super::{documents, groups, runners};
use crate::sandbox::world::{Organization, Scope, World};

/// Where GraphQL is, behind the API's base.
pub(super) const GRAPHQL: &str = "/graphql";
/// GraphQL's own limit of points an hour.
pub(super) const GRAPHQL_POINTS: u32 = 5000;

#[derive(Deserialize)]
struct Query {
    query: String,
    #[serde(default)]
    variables: Value,
}

/// Answers GraphQL's one question that is known here.
pub(super) fn query(world: &World, request: &Request) -> Answer {
    let Ok(Query { query, variables }) = serde_json::from_slice(request.body) else {
        return Answer::error(StatusCode::BAD_REQUEST, "Problems parsing JSON");
    };
    if !query.contains("enterprise(slug:$slug){organizations(first:100,after:$after){") {
        return refused(&json!({ "message": "the sandbox knows an enterprise's organizations only" }));
    }
    let slug = variables["slug"].as_str().unwrap_or_default();
    if !is_enterprise(world, slug) {
        let message = format!("Could not resolve to a Business with the URL slug of '{slug}'.");
        return refused(&json!({ "type": "NOT_FOUND", "path": ["enterprise"], "message": message }));
    }
    let after = variables["after"].as_str().and_then(|cursor| cursor.strip_prefix("cursor:")?.parse::<usize>().ok());
    let (begin, total) = (after.unwrap_or(0), world.organizations.len());
    let page: Vec<&Organization> = world.organizations.values().skip(begin).take(100).collect();
    let end = begin + page.len();
    let errors: Vec<Value> = page.iter().enumerate().filter(|(_, one)| one.is_protected).map(protected).collect();
    let nodes: Vec<Value> = page
        .iter()
        .map(|one| {
            let node = json!({ "login": one.login, "viewerIsAMember": one.is_member });
            if one.is_protected { Value::Null } else { node }
        })
        .collect();
    let page_info = json!({ "hasNextPage": end < total, "endCursor": format!("cursor:{end}") });
    let list = json!({ "totalCount": total, "nodes": nodes, "pageInfo": page_info });
    let mut body = json!({ "data": { "enterprise": { "organizations": list } } });
    if !errors.is_empty() {
        body["errors"] = errors.into();
    }
    Answer::ok(body)
}

fn refused(error: &Value) -> Answer {
    Answer::ok(json!({ "data": { "enterprise": null }, "errors": [error] }))
}

fn protected((nth, _): (usize, &&Organization)) -> Value {
    json!({
        "type": "FORBIDDEN", "path": ["enterprise", "organizations", "nodes", nth],
        "extensions": { "saml_failure": true }, "message": PROTECTED,
    })
}

/// What is said of an organization that is protected by SAML.
pub(super) const PROTECTED: &str = "Resource protected by organization SAML enforcement. You must grant your Personal \
    Access token access to this organization.";

/// Lists all organizations of the server, in the order in which they were made, behind an id.
pub(super) fn organizations(world: &World, request: &Request) -> Answer {
    let number = |name, default| request.parameter(name).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (since, size) = (number("since", 0), number("per_page", 30).clamp(1, 100));
    let mut all: Vec<&Organization> = world.organizations.values().filter(|one| one.id > since).collect();
    all.sort_by_key(|one| one.id);
    let page = &all[..all.len().min(usize::try_from(size).unwrap_or(usize::MAX))];
    let documents = documents(world, request);
    let body: Vec<Value> = page.iter().map(|one| documents.simple_organization(one)).collect();
    let link = page
        .last()
        .filter(|_| page.len() < all.len())
        .map(|last| format!("<{}/api/v3/organizations?per_page={size}&since={}>; rel=\"next\"", request.base, last.id));
    Answer { link, ..Answer::ok(body.into()) }
}

/// Lists the App's installations.
pub(super) fn installations(world: &World, request: &Request) -> Answer {
    let all: Vec<_> = world.organizations.values().filter_map(|one| Some((one, one.installation?))).collect();
    let documents = documents(world, request);
    Answer::page(request, &all, |_, page| {
        page.iter().map(|(one, installation)| documents.installation(one, *installation)).collect()
    })
}

/// Lists the organizations that the token's owner is a member of.
pub(super) fn memberships(world: &World, request: &Request) -> Answer {
    let own: Vec<&Organization> = world.organizations.values().filter(|one| one.is_member).collect();
    let documents = documents(world, request);
    Answer::page(request, &own, |_, page| page.iter().map(|one| documents.simple_organization(one)).collect())
}

/// Answers below `/enterprises/{slug}/actions`; an App has no business here.
pub(super) fn respond(world: &mut World, request: &Request, is_app: bool, slug: &str, rest: &[&str]) -> Answer {
    if !is_enterprise(world, slug) {
        return Answer::not_found();
    }
    if is_app {
        return Answer::error(StatusCode::FORBIDDEN, "Resource not accessible by integration");
    }
    match *rest {
        ["runner-groups", ref rest @ ..] => groups::respond(world, request, &Scope::Enterprise, rest),
        ["runners", ref rest @ ..] => runners(world, request, &Scope::Enterprise, rest),
        _ => Answer::not_found(),
    }
}

pub(super) fn is_enterprise(world: &World, slug: &str) -> bool {
    world.enterprise.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(slug))
}
