//! GitHub's REST API: the endpoints that ghascale uses, at the enterprise, at organizations and at repositories.

mod answer;
mod documents;
mod enterprise;
mod groups;
mod hooks;
mod registration;

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub(super) use self::answer::error_body;
use self::answer::{Answer, Request};
use self::documents::{Documents, time};
use super::world::{
    Budget, JobStatus, Organization, RegistrationRefused, RemovalRefused, Repository, RerunRefused, Run, Runner, Scope,
    World,
};

/// The most that GitHub shows of a filtered list of runs.
const FILTERED_AT_MOST: usize = 1000;
/// How long an installation token is valid.
const INSTALLATION_TOKEN_LIVES: Duration = Duration::from_hours(1);

/// Answers one request, whose path begins with `/api/v3`, or is GraphQL's, and beside which others are under way: so many
/// with it.
pub(super) fn respond(
    world: &mut World,
    method: &Method,
    uri: &http::Uri,
    headers: &HeaderMap,
    body: &[u8],
    request_id: &str,
    under_way: usize,
) -> Response {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("127.0.0.1");
    let query = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned();
    let request = Request {
        method,
        path: uri.path().strip_prefix("/api/v3").or_else(|| uri.path().strip_prefix("/api")).unwrap_or_default(),
        query: query.collect(),
        body,
        base: &format!("http://{host}"),
    };
    let answer = admit(world, headers, &request, under_way).unwrap_or_else(|| route(world, headers, &request));
    write(world, headers, &request, &answer, request_id)
}

/// Returns a refusal to whoever has no right, or no requests left, to be answered.
fn admit(world: &mut World, headers: &HeaderMap, request: &Request, under_way: usize) -> Option<Answer> {
    let are_too_many = world.settings.concurrency_limit.is_some_and(|limit| under_way > limit);
    if is_too_fast(world) || are_too_many {
        let message = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.";
        return Some(Answer { retry_after: Some(60), ..Answer::error(StatusCode::FORBIDDEN, message) });
    }
    if request.path == registration::PATH {
        return registration::admit(world, headers);
    }
    let Some(credential) = bearer(headers) else {
        return Some(Answer::error(StatusCode::UNAUTHORIZED, "Requires authentication"));
    };
    if is_of_app(request) {
        let message = "A JSON web token could not be decoded";
        return (!is_jwt(credential)).then(|| Answer::error(StatusCode::UNAUTHORIZED, message));
    }
    let valid = world.tokens.get(credential).is_some_and(|until| until.is_none_or(|until| until > world.now));
    if !valid {
        return Some(Answer::error(StatusCode::UNAUTHORIZED, "Bad credentials"));
    }
    let is_spent = *world.remaining(installation(headers)) == 0;
    let spent = world.settings.rate_limits && is_spent && request.path != "/rate_limit";
    spent.then(|| Answer::error(StatusCode::FORBIDDEN, "API rate limit exceeded for user ID 1."))
}

/// Counts a request against the secondary rate limit; returns whether it is one too many.
fn is_too_fast(world: &mut World) -> bool {
    let Some(limit) = world.settings.secondary_limit else { return false };
    let now = world.now;
    while world.recent.front().is_some_and(|at| *at + Duration::from_mins(1) <= now) {
        world.recent.pop_front();
    }
    world.recent.push_back(now);
    world.recent.len() > limit
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("token "))
}

/// Returns whether a credential has the shape of a JWT signed with RS256. Its signature is not verified.
fn is_jwt(credential: &str) -> bool {
    let parts: Vec<_> = credential.split('.').collect();
    let [head, claims, signature] = parts[..] else { return false };
    let json = |part| URL_SAFE_NO_PAD.decode(part).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    json(head).is_some_and(|head| head["alg"] == "RS256")
        && json(claims).is_some_and(|claims| claims["iss"].is_string() || claims["iss"].is_number())
        && !signature.is_empty()
}

/// Writes an answer with GitHub's headers. A tag that the client has already makes it 304, which is free.
fn write(world: &mut World, headers: &HeaderMap, request: &Request, answer: &Answer, request_id: &str) -> Response {
    let body = answer.body.as_ref().map(Value::to_string).unwrap_or_default();
    let mut response = HeaderMap::new();
    let mut put = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.insert(name, value);
        }
    };
    let mut status = answer.status;
    if request.method == Method::GET && status == StatusCode::OK {
        // Bound to the credential, and made as GitHub's was seen to be
        // (bored-engineer/github-conditional-http-transport).
        let mut digest = Sha256::new();
        for value in [header::ACCEPT, header::AUTHORIZATION, header::COOKIE].iter().filter_map(|name| headers.get(name))
        {
            digest = digest.chain_update(value.as_bytes()).chain_update(":");
        }
        let tag = format!("W/\"{}\"", data_encoding::HEXLOWER.encode(&digest.chain_update(&body).finalize()));
        put("etag", &tag);
        put("cache-control", "private, max-age=60, s-maxage=60");
        put("vary", "Accept, Authorization, Cookie");
        if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
            status = StatusCode::NOT_MODIFIED;
        }
    }
    let is_query = request.path == enterprise::GRAPHQL;
    let free = [StatusCode::NOT_MODIFIED, StatusCode::UNAUTHORIZED].contains(&status)
        || is_query
        || is_of_app(request)
        || request.path == "/rate_limit";
    if !free && world.settings.rate_limits {
        let remaining = world.remaining(installation(headers));
        *remaining = remaining.saturating_sub(1);
    }
    let budget = if is_query {
        let points = enterprise::GRAPHQL_POINTS;
        Budget { limit: points, remaining: points - 1, reset: world.budget.reset }
    } else {
        Budget { remaining: *world.remaining(installation(headers)), ..world.budget }
    };
    if world.settings.rate_limits && !is_of_app(request) {
        put("x-ratelimit-limit", &budget.limit.to_string());
        put("x-ratelimit-remaining", &budget.remaining.to_string());
        put("x-ratelimit-used", &budget.limit.saturating_sub(budget.remaining).to_string());
        put("x-ratelimit-reset", &budget.reset.as_second().to_string());
        put("x-ratelimit-resource", if is_query { "graphql" } else { "core" });
    }
    if let Some(seconds) = answer.retry_after {
        put("retry-after", &seconds.to_string());
    }
    put("x-github-request-id", request_id);
    put("x-github-media-type", "github.v3; format=json");
    if let Some(link) = &answer.link {
        put("link", link);
    }
    if status == StatusCode::NOT_MODIFIED || answer.body.is_none() {
        return (status, response).into_response();
    }
    put("content-type", "application/json; charset=utf-8");
    (status, response, body).into_response()
}

fn route(world: &mut World, headers: &HeaderMap, request: &Request) -> Answer {
    let segments: Vec<_> = request.path.trim_matches('/').split('/').collect();
    let get = request.method == Method::GET;
    match segments[..] {
        ["rate_limit"] if get => Answer::ok(documents(world, request).rate_limit()),
        ["app", "installations"] if get => enterprise::installations(world, request),
        ["app", "installations", id, "access_tokens"] if request.method == Method::POST => access_token(world, id),
        ["actions", "runner-registration"] if request.method == Method::POST => {
            registration::register(world, headers, request)
        }
        ["installation", "repositories"] if get => installation_repositories(world, request),
        ["graphql"] if request.method == Method::POST => enterprise::query(world, request),
        ["organizations"] if get => enterprise::organizations(world, request),
        ["user", "orgs"] if get => enterprise::memberships(world, request),
        ["enterprises", slug, "actions", ref rest @ ..] => {
            enterprise::respond(world, request, installation(headers).is_some(), slug, rest)
        }
        ["orgs", login, ref rest @ ..] => {
            let Some(organization) = world.organization_of(login) else { return Answer::not_found() };
            if organization.is_protected {
                return protected();
            }
            if is_elsewhere(world, headers, &organization.login) {
                return Answer::not_found();
            }
            let is_own = organization.login == world.organization;
            match *rest {
                [] if get => Answer::ok(documents(world, request).organization(organization)),
                ["repos"] if get => repositories(world, request, organization),
                ["hooks", hook, "deliveries"] if get && is_own => hooks::deliveries(world, request, hook),
                ["actions", "runner-groups", ref rest @ ..] if is_own => {
                    groups::respond(world, request, &Scope::Organization, rest)
                }
                ["actions", "runners", ref rest @ ..] if is_own => runners(world, request, &Scope::Organization, rest),
                _ => Answer::not_found(),
            }
        }
        ["repos", owner, name, ref rest @ ..] => {
            let Some(repository) = find_repository(world, owner, name) else { return Answer::not_found() };
            match world.organization_of(owner) {
                Some(organization) if organization.is_protected => return protected(),
                Some(organization) if !organization.is_member && repository.private => return Answer::not_found(),
                _ if is_elsewhere(world, headers, owner) => return Answer::not_found(),
                _ => {}
            }
            match *rest {
                ["actions", "runners", ref rest @ ..] => {
                    let scope = Scope::Repository(repository.full_name.clone());
                    runners(world, request, &scope, rest)
                }
                ["actions", "jobs", id, "rerun"] if request.method == Method::POST => {
                    let name = repository.full_name.clone();
                    rerun(world, &name, world.jobs.get(&number(id)).map(|job| job.run_id), Some(number(id)))
                }
                ["actions", "runs", id, "rerun-failed-jobs"] if request.method == Method::POST => {
                    let name = repository.full_name.clone();
                    rerun(world, &name, Some(number(id)), None)
                }
                ref rest if get => in_repository(world, request, repository, rest),
                _ => Answer::not_found(),
            }
        }
        _ => Answer::not_found(),
    }
}

fn documents<'a>(world: &'a World, request: &Request<'a>) -> Documents<'a> {
    Documents { world, base: request.base }
}

fn find_repository<'a>(world: &'a World, owner: &str, name: &str) -> Option<&'a Repository> {
    let full_name = format!("{owner}/{name}");
    // As it is written nearly always; else whatever its case.
    if let Some(repository) = world.repositories.get(&full_name) {
        return Some(repository);
    }
    world.repositories.values().find(|repository| repository.full_name.eq_ignore_ascii_case(&full_name))
}

fn access_token(world: &mut World, installation: &str) -> Answer {
    let Ok(id) = installation.parse::<u64>() else { return Answer::not_found() };
    match world.installed(id).and_then(|organization| organization.installation) {
        Some(installed) if installed.is_suspended => {
            return Answer::error(StatusCode::FORBIDDEN, "This installation has been suspended");
        }
        None if world.organizations.values().any(|one| one.installation.is_some()) => return Answer::not_found(),
        _ => {}
    }
    let expires = world.now + INSTALLATION_TOKEN_LIVES;
    let token = format!("ghs_sandbox{installation}n{}", world.tokens.len());
    world.tokens.insert(token.clone(), Some(expires));
    let actions = if world.settings.actions_write { "write" } else { "read" };
    Answer::created(json!({
        "token": token, "expires_at": time(expires), "repository_selection": "all",
        "permissions": { "actions": actions, "metadata": "read", "organization_self_hosted_runners": "write" },
    }))
}

/// Returns whether a request is for the App itself.
fn is_of_app(request: &Request) -> bool {
    request.path.starts_with("/app/")
}

/// Returns the App's installation that asks.
fn installation(headers: &HeaderMap) -> Option<u64> {
    bearer(headers)?.strip_prefix("ghs_sandbox")?.split('n').next()?.parse().ok()
}

/// Returns whether it is an App's installation in another organization that asks.
fn is_elsewhere(world: &World, headers: &HeaderMap, login: &str) -> bool {
    let own = installation(headers).and_then(|id| world.installed(id));
    own.is_some_and(|own| !own.login.eq_ignore_ascii_case(login))
}

fn protected() -> Answer {
    Answer::error(StatusCode::FORBIDDEN, enterprise::PROTECTED)
}

fn of_organization<'a>(world: &'a World, login: &str) -> Vec<&'a Repository> {
    let prefix = format!("{login}/");
    let from_it = world.repositories.range(prefix.clone()..).map(|(_, repository)| repository);
    from_it.take_while(|repository| repository.full_name.starts_with(&prefix)).collect()
}

fn repositories(world: &World, request: &Request, organization: &Organization) -> Answer {
    let mut repositories = of_organization(world, &organization.login);
    repositories.retain(|repository| organization.is_member || !repository.private);
    let by_name = request.parameter("sort") == Some("full_name");
    match request.parameter("sort") {
        Some("pushed" | "updated") => repositories.sort_by_key(|repository| (repository.pushed_at, repository.id)),
        // As they stand.
        Some("full_name") => {}
        _ => repositories.sort_by_key(|repository| (repository.created_at, repository.id)),
    }
    if request.parameter("direction").unwrap_or(if by_name { "asc" } else { "desc" }) == "desc" {
        repositories.reverse();
    }
    let documents = documents(world, request);
    Answer::page(request, &repositories, |_, page| {
        page.iter().map(|repository| documents.repository(repository)).collect()
    })
}

fn installation_repositories(world: &World, request: &Request) -> Answer {
    let documents = documents(world, request);
    Answer::page(request, &of_organization(world, &world.organization), |total, page| {
        let page: Vec<_> = page.iter().map(|repository| documents.whole_repository(repository)).collect();
        json!({ "total_count": total, "repository_selection": "all", "repositories": page })
    })
}

fn in_repository(world: &World, request: &Request, repository: &Repository, rest: &[&str]) -> Answer {
    let documents = documents(world, request);
    match *rest {
        [] => Answer::ok(documents.whole_repository(repository)),
        ["actions", "permissions"] => Answer::ok(json!({ "enabled": repository.actions, "allowed_actions": "all" })),
        ["actions", "runs"] => runs(world, request, repository),
        ["actions", "runs", id] => match run_of(world, repository, id) {
            Some(run) => Answer::ok(documents.run(run)),
            None => Answer::not_found(),
        },
        ["actions", "runs", id, "jobs"] => match run_of(world, repository, id) {
            Some(run) if run.jobs_visible => jobs(world, request, run),
            _ => Answer::not_found(),
        },
        ["actions", "jobs", id] => {
            let job = id.parse().ok().and_then(|id| world.jobs.get(&id));
            let run = job.and_then(|job| run_of(world, repository, &job.run_id.to_string()));
            match (run, job) {
                (Some(run), Some(job)) => Answer::ok(documents.job(run, job)),
                _ => Answer::not_found(),
            }
        }
        _ => Answer::not_found(),
    }
}

/// Returns an id; 0, which nothing has, for what is none.
fn number(id: &str) -> u64 {
    id.parse().unwrap_or_default()
}

/// Runs a job again, or whatever failed in a run.
fn rerun(world: &mut World, repository: &str, run: Option<u64>, job: Option<u64>) -> Answer {
    let refused = |message: &str| Answer::error(StatusCode::FORBIDDEN, message);
    let Some(run) = run.filter(|id| world.runs.get(id).is_some_and(|run| run.repository == repository)) else {
        return Answer::not_found();
    };
    if !world.settings.actions_write {
        return refused("Resource not accessible by integration");
    }
    match world.rerun(run, job) {
        Ok(()) => Answer::created(json!({})),
        Err(RerunRefused::Running) if job.is_some() => {
            refused("The workflow run containing this job is already running")
        }
        Err(RerunRefused::Running) => refused("This workflow run is already running"),
        Err(RerunRefused::TooOld) => {
            refused("Unable to retry this workflow run because it was created over a month ago")
        }
        Err(RerunRefused::NothingFailed) => refused("This workflow run cannot be retried"),
    }
}

fn run_of<'a>(world: &'a World, repository: &Repository, id: &str) -> Option<&'a Run> {
    let run = world.runs.get(&id.parse().ok()?)?;
    (run.repository == repository.full_name).then_some(run)
}

/// Lists runs, newest first. A repository in which Actions is switched off answers with an empty list, and no error
/// (self-actuated/actions-usage#13).
fn runs(world: &World, request: &Request, repository: &Repository) -> Answer {
    let documents = documents(world, request);
    let mut runs: Vec<_> = repository.runs.iter().filter_map(|id| world.runs.get(id)).collect();
    runs.retain(|_| repository.actions);
    runs.sort_by_key(|run| std::cmp::Reverse((run.created_at, run.id)));
    let is_filtered = ["actor", "branch", "check_suite_id", "created", "event", "head_sha", "status"]
        .iter()
        .any(|filter| request.query.contains_key(*filter));
    if is_filtered {
        runs.retain(|run| world.indexed_status(run).is_some());
    }
    if let Some(status) = request.parameter("status") {
        runs.retain(|run| match world.indexed_status(run) {
            Some(JobStatus::Completed) => status == "completed" || documents.conclusion(run) == Some(status),
            known => known.is_some_and(|known| known.as_str() == status),
        });
    }
    if let Some(created) = request.parameter("created") {
        runs.retain(|run| was_created(&time(run.created_at), created));
    }
    let all = runs.len();
    if is_filtered {
        runs.truncate(FILTERED_AT_MOST);
    }
    Answer::page(request, &runs, |_, page| {
        let page: Vec<_> = page.iter().map(|run| documents.run(run)).collect();
        json!({ "total_count": all, "workflow_runs": page })
    })
}

/// Returns whether a time lies in a range of GitHub's search: `>=2026-11-23`, `<2026-11-24T00:00:00Z`, `A..B`.
fn was_created(at: &str, range: &str) -> bool {
    // RFC 3339 in UTC sorts as text, and a date sorts before its own day.
    if let Some((from, to)) = range.split_once("..") {
        return (from == "*" || at >= from) && (to == "*" || at <= to || at.starts_with(to));
    }
    if let Some(from) = range.strip_prefix(">=") {
        at >= from
    } else if let Some(to) = range.strip_prefix("<=") {
        at <= to || at.starts_with(to)
    } else if let Some(from) = range.strip_prefix('>') {
        at > from && !at.starts_with(from)
    } else if let Some(to) = range.strip_prefix('<') {
        at < to
    } else {
        at.starts_with(range)
    }
}

fn jobs(world: &World, request: &Request, run: &Run) -> Answer {
    let documents = documents(world, request);
    let jobs: Vec<_> = match request.parameter("filter") {
        Some("all") => world.jobs_of_all_attempts(run).collect(),
        _ => world.jobs_of(run).collect(),
    };
    Answer::page(request, &jobs, |total, page| {
        let page: Vec<_> = page.iter().map(|job| documents.job(run, job)).collect();
        json!({ "total_count": total, "jobs": page })
    })
}

fn runners(world: &mut World, request: &Request, scope: &Scope, rest: &[&str]) -> Answer {
    let here = |runner: &Runner| runner.scope == *scope;
    match (request.method, rest) {
        (&Method::GET, []) => {
            let documents = documents(world, request);
            let name = request.parameter("name");
            let runners: Vec<_> = world
                .runners
                .values()
                .filter(|runner| here(runner) && name.is_none_or(|name| runner.name == name))
                .collect();
            Answer::page(request, &runners, |total, page| {
                let page: Vec<_> = page.iter().map(|runner| documents.runner(runner)).collect();
                json!({ "total_count": total, "runners": page })
            })
        }
        (&Method::POST, ["registration-token"]) => registration::token(world, scope),
        (&Method::POST, ["generate-jitconfig"]) => generate_jit_config(world, request, scope),
        (&Method::GET, [id]) => match id.parse().ok().and_then(|id| world.runners.get(&id)) {
            Some(runner) if here(runner) => Answer::ok(documents(world, request).runner(runner)),
            _ => Answer::not_found(),
        },
        (&Method::DELETE, [id]) => match id.parse().ok().and_then(|id| world.runners.get(&id)) {
            Some(runner) if here(runner) => {
                let (id, name) = (runner.id, runner.name.clone());
                match world.remove_runner(id) {
                    Ok(()) => Answer::no_content(),
                    Err(RemovalRefused::Absent) => Answer::not_found(),
                    Err(RemovalRefused::Busy) => {
                        let message = format!("Bad request - Runner \"{name}\" is still running a job\"");
                        Answer::error(StatusCode::UNPROCESSABLE_ENTITY, &message)
                    }
                }
            }
            _ => Answer::not_found(),
        },
        _ => Answer::not_found(),
    }
}

/// The body of `generate-jitconfig`.
#[derive(Deserialize)]
struct JitRequest {
    name: String,
    runner_group_id: u64,
    labels: Vec<String>,
}

fn generate_jit_config(world: &mut World, request: &Request, scope: &Scope) -> Answer {
    let body: JitRequest = match serde_json::from_slice(request.body) {
        Ok(body) => body,
        Err(error) => return unprocessable(&format!("Invalid request.\n\n{error}")),
    };
    if body.name.is_empty() || body.name.chars().count() > 64 {
        return unprocessable("Invalid request.\n\nThe name must have from 1 to 64 characters.");
    }
    if !(1..=100).contains(&body.labels.len()) || body.labels.iter().any(String::is_empty) {
        return unprocessable("Invalid request.\n\nThe labels must be from 1 to 100.");
    }
    // GitHub keeps a just-in-time runner's labels in lower case.
    let labels = body.labels.iter().map(|label| label.to_lowercase()).collect();
    match world.register(scope, &body.name, body.runner_group_id, labels) {
        Ok((id, jit_config)) => match world.runners.get(&id) {
            Some(runner) => Answer::created(json!({
                "runner": documents(world, request).runner(runner), "encoded_jit_config": jit_config,
            })),
            None => Answer::not_found(),
        },
        Err(RegistrationRefused::NameTaken) => Answer::error(
            StatusCode::CONFLICT,
            &format!("Already exists - A runner with the name {} already exists.", body.name),
        ),
        Err(RegistrationRefused::NoGroup) => Answer::not_found(),
    }
}

fn unprocessable(message: &str) -> Answer {
    Answer::error(StatusCode::UNPROCESSABLE_ENTITY, message)
}
