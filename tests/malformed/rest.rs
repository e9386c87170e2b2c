//! GitHub's REST API, through the real client.

use std::sync::LazyLock;
use std::time::Duration;

use ghascale::config::{AppIssuer, Credentials, Scan};
use ghascale::engine::{CountKind, RunnerId, Scope};
use ghascale::github::{
    Client, Limits, NoProgress, Patience, ScopeRunners, find_job, find_run, runner_groups, runners, scan,
};
use ghascale::services::{Place, Registration, RunnerRecords as _, Runs as _};
use globset::{Glob, GlobSet, GlobSetBuilder};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::mutation::json_documents;
use super::{each, is_fit_to_be_shown};
use crate::keys::private_key;
use crate::scale_set::stand_in::{PAT, StandIn, answer, ok};

const JIT: &str = "cGxhbnRlZCBKSVQgY29uZmln";
const MINTED: &str = "ghs_PLANTEDMINTED";
const SECRETS: [&str; 3] = [PAT, JIT, MINTED];

const REPOSITORIES: &str = "GET /api/v3/orgs/acme/repos?";
const RUNS: &str = "GET /api/v3/repos/acme/api/actions/runs?";
const JOBS: &str = "GET /api/v3/repos/acme/api/actions/runs/11/jobs?";
const RUNNERS: &str = "GET /api/v3/orgs/acme/actions/runners?";
const GROUPS: &str = "GET /api/v3/orgs/acme/actions/runner-groups?";
const REGISTER: &str = "POST /api/v3/orgs/acme/actions/runners/generate-jitconfig";

fn repositories() -> Value {
    json!([{
        "id": 1, "name": "api", "full_name": "acme/api", "private": true, "archived": false, "disabled": false,
        "pushed_at": "2026-11-24T08:00:00Z", "visibility": "private", "owner": { "login": "acme", "id": 2 },
    }])
}

fn runs() -> Value {
    json!({ "total_count": 1, "workflow_runs": [{
        "id": 11, "name": "ci", "run_number": 7, "run_attempt": 1, "status": "queued", "conclusion": null,
        "created_at": Timestamp::now(), "run_started_at": Timestamp::now(), "updated_at": Timestamp::now(),
        "html_url": "https://github.com/acme/api/actions/runs/11", "repository": { "full_name": "acme/api" },
    }]})
}

fn jobs() -> Value {
    let job = |id: u64| {
        json!({
            "id": id, "run_id": 11, "run_attempt": 1, "status": "queued", "conclusion": null, "name": "build",
            "labels": ["self-hosted", "linux"], "created_at": Timestamp::now(), "started_at": null,
            "completed_at": null, "runner_id": null, "runner_name": null, "runner_group_id": null,
            "html_url": "https://github.com/acme/api/actions/runs/11/job/21",
        })
    };
    json!({ "total_count": 2, "jobs": [job(21), job(22)] })
}

fn runner() -> Value {
    json!({
        "id": 31, "name": "acme-linux-001", "os": "linux", "status": "online", "busy": false, "ephemeral": true,
        "runner_group_id": 1, "labels": [{ "id": 1, "name": "linux", "type": "custom" }],
    })
}

fn globs() -> GlobSet {
    GlobSetBuilder::new().add(Glob::new("*").unwrap()).build().unwrap()
}

fn settings() -> Scan {
    Scan {
        include: globs(),
        exclude: GlobSet::empty(),
        patterns: (Vec::new(), Vec::new()),
        concurrency: 4,
        requests_per_minute: None,
        max_job_age: Duration::from_hours(24),
        rate_limit_share: 100,
        max_requests: None,
        full: false,
        beside: false,
        organization_hook: None,
        cache: false,
    }
}

fn client(runtime: &Runtime, github: &StandIn, credentials: Credentials) -> Client {
    let _entered = runtime.enter();
    let patience =
        Patience { rate_limit: Duration::from_millis(1), pause: Duration::from_micros(10), ..Patience::default() };
    let limits = Limits { at_once: 64, per_minute: Some(1_000_000), ..Limits::default() };
    Client::with_patience(&github.settings(credentials), patience).unwrap().with_limits(limits)
}

/// A GitHub of one repository, and a client before it.
struct Bench {
    runtime: Runtime,
    github: StandIn,
    credentials: fn() -> Credentials,
    client: Client,
}

impl Bench {
    fn open(credentials: fn() -> Credentials) -> Self {
        let runtime = Runtime::new().unwrap();
        let github = runtime.block_on(StandIn::start());
        let client = client(&runtime, &github, credentials());
        Self { runtime, github, credentials, client }
    }

    fn with_token() -> Self {
        Self::open(|| Credentials::Token(PAT.into()))
    }

    /// Returns a client that no earlier answer has taught anything.
    fn another_client(&self) -> Client {
        client(&self.runtime, &self.github, (self.credentials)())
    }

    /// Plants a good GitHub, and one document in its place.
    fn plant(&self, request: &str, document: &[u8]) {
        self.github.forget();
        self.github.plant(request, answer(200, document));
        for (request, good) in [
            (REPOSITORIES, repositories()),
            (RUNS, runs()),
            (JOBS, jobs()),
            (RUNNERS, json!({ "total_count": 1, "runners": [runner()] })),
            (GROUPS, json!({ "total_count": 1, "runner_groups": [group()] })),
        ] {
            self.github.plant(request, ok(&good));
        }
    }

    /// Scans; what is said is fit to be shown, and what was not understood is not called exact.
    fn scan(&self, client: &Client) {
        let organization = Scope::Organization("acme".into());
        let scanned = self.runtime.block_on(scan(client, &organization, &settings(), Timestamp::now(), &NoProgress));
        match scanned {
            Err(error) => is_fit_to_be_shown(&format!("{error}\n{error:?}"), &SECRETS),
            Ok(scanned) => {
                for warning in scanned.warnings.iter().take(20) {
                    is_fit_to_be_shown(&warning.message, &SECRETS);
                }
                let has_lost = scanned.warnings.iter().any(|warning| warning.code.is_partial());
                assert!(!has_lost || scanned.demand.kind != CountKind::Exact, "{:?}", scanned.warnings);
            }
        }
    }
}

fn group() -> Value {
    json!({ "id": 1, "name": "Default", "visibility": "all", "default": true, "allows_public_repositories": true })
}

#[test]
fn lists_of_repositories_runs_and_jobs() {
    let bench = Bench::with_token();
    bench.plant("GET nothing", b"");
    bench.scan(&bench.client);
    for (request, good) in [(REPOSITORIES, repositories()), (RUNS, runs()), (JOBS, jobs())] {
        each(&json_documents(&good), |document| {
            bench.plant(request, &document);
            bench.scan(&bench.client);
        });
    }
}

#[test]
fn a_list_that_breaks_off_anywhere_is_not_exact() {
    let bench = Bench::with_token();
    for (request, good) in [(REPOSITORIES, repositories()), (RUNS, runs()), (JOBS, jobs())] {
        let whole = good.to_string();
        for length in 0..whole.len() {
            bench.plant(request, &whole.as_bytes()[..length]);
            let organization = Scope::Organization("acme".into());
            let scanned =
                bench.runtime.block_on(scan(&bench.client, &organization, &settings(), Timestamp::now(), &NoProgress));
            let is_exact = scanned.is_ok_and(|scanned| scanned.demand.kind == CountKind::Exact);
            assert!(!is_exact, "{request} {}", &whole[..length]);
        }
    }
}

#[test]
fn runners_and_groups() {
    let bench = Bench::with_token();
    let organization = Scope::Organization("acme".into());
    let lists = [
        (RUNNERS, json!({ "total_count": 2, "runners": [runner(), runner()] })),
        (GROUPS, json!({ "total_count": 1, "runner_groups": [group()] })),
    ];
    for (request, good) in lists {
        each(&json_documents(&good), |document| {
            bench.plant(request, &document);
            let client = &bench.client;
            match bench.runtime.block_on(runners(client, &organization)) {
                Err(error) => is_fit_to_be_shown(&format!("{error}\n{error:?}"), &SECRETS),
                Ok((_, warnings)) => {
                    for warning in warnings.iter().take(20) {
                        is_fit_to_be_shown(&warning.message, &SECRETS);
                    }
                }
            }
            if let Err(error) = bench.runtime.block_on(runner_groups(client, &organization)) {
                is_fit_to_be_shown(&format!("{error}\n{error:?}"), &SECRETS);
            }
        });
    }
}

#[test]
fn single_answers_with_and_without_a_secret() {
    let bench = Bench::with_token();
    let scope = Scope::Organization("acme".into());
    let created = json!({ "runner": runner(), "encoded_jit_config": JIT });
    each(&json_documents(&created), |document| {
        bench.plant(REGISTER, &document);
        let client = &bench.client;
        let records = ScopeRunners::new(client, &scope);
        let place = Place::Group { name: "Default".into(), labels: vec!["linux".into()] };
        let registration = Registration { name: "acme-linux-001".into(), place };
        let said = match bench.runtime.block_on(records.register(&registration)) {
            Ok(registered) => format!("{registered:?}"),
            Err(error) => format!("{error}\n{error:?}"),
        };
        is_fit_to_be_shown(&said, &SECRETS);
    });
    each(&json_documents(&runner()), |document| {
        bench.plant("GET /api/v3/orgs/acme/actions/runners/31", &document);
        let client = &bench.client;
        if let Err(error) = bench.runtime.block_on(ScopeRunners::new(client, &scope).runner(RunnerId(31))) {
            is_fit_to_be_shown(&format!("{error}\n{error:?}"), &SECRETS);
        }
    });
}

#[test]
fn an_apps_token() {
    static KEY: LazyLock<String> = LazyLock::new(private_key);
    let bench = Bench::open(|| Credentials::App {
        issuer: AppIssuer::AppId(1),
        installation_id: 1,
        private_key: KEY.as_str().into(),
    });
    let minted = json!({
        "token": MINTED, "expires_at": "2099-01-01T00:00:00Z", "permissions": { "actions": "read" },
        "repository_selection": "all",
    });
    each(&json_documents(&minted), |document| {
        bench.plant("POST /api/v3/app/installations/1/access_tokens", &document);
        bench.scan(&bench.another_client());
    });
}

#[test]
fn refusals() {
    const STATUSES: [u16; 6] = [400, 401, 403, 404, 409, 422];
    let bench = Bench::with_token();
    let refusal = json!({
        "message": "Not Found", "documentation_url": "https://docs.github.com", "status": "404",
        "errors": [{ "resource": "Runner", "code": "invalid", "message": "no" }],
    });
    each(&json_documents(&refusal), |document| {
        let status = STATUSES[document.len() % STATUSES.len()];
        bench.github.forget();
        bench.github.plant(REPOSITORIES, answer(status, &document));
        bench.scan(&bench.another_client());
    });
}

#[test]
fn a_job_or_a_run_that_is_asked_for() {
    let bench = Bench::with_token();
    let repository = "acme/api".into();
    let (run, job) = (runs()["workflow_runs"][0].clone(), jobs()["jobs"][0].clone());
    for (request, good) in
        [("GET /api/v3/repos/acme/api/actions/runs/11", &run), ("GET /api/v3/repos/acme/api/actions/jobs/21", &job)]
    {
        each(&json_documents(good), |document| {
            bench.plant(request, &document);
            let client = &bench.client;
            let found = bench.runtime.block_on(async {
                let run = find_run(client, &repository, ghascale::engine::RunId(11)).await.map(drop);
                let job = find_job(client, &repository, ghascale::engine::JobId(21)).await.map(drop);
                [run, job]
            });
            for error in found.into_iter().filter_map(Result::err) {
                is_fit_to_be_shown(&format!("{error}\n{error:?}"), &SECRETS);
            }
        });
    }
}

#[test]
fn the_latest_attempt_of_a_run_and_its_jobs() {
    let bench = Bench::with_token();
    let repository = "acme/api".into();
    let mut run = runs()["workflow_runs"][0].clone();
    (run["status"], run["conclusion"]) = (json!("completed"), json!("failure"));
    let mut jobs = jobs();
    for job in jobs["jobs"].as_array_mut().unwrap() {
        job["status"] = json!("completed");
        (job["conclusion"], job["completed_at"]) = (json!("failure"), json!(Timestamp::now()));
    }
    let run_path = "GET /api/v3/repos/acme/api/actions/runs/11";
    let as_bytes = |value: &Value| serde_json::to_vec(value).unwrap();
    let ask = |run: &[u8], jobs: &[u8]| {
        bench.github.forget();
        bench.github.plant(run_path, answer(200, run)).plant(JOBS, answer(200, jobs));
        bench.runtime.block_on(bench.client.latest_attempt(&repository, ghascale::engine::RunId(11)))
    };
    let fits = |found: Result<_, ghascale::github::Error>| {
        if let Err(error) = found {
            is_fit_to_be_shown(&format!("{error}\n{error:?}"), &SECRETS);
        }
    };
    each(&json_documents(&run), |document| fits(ask(&document, &as_bytes(&jobs))));
    each(&json_documents(&jobs), |document| fits(ask(&as_bytes(&run), &document)));
    // Of a list that breaks off anywhere nothing is re-run.
    let whole = as_bytes(&jobs);
    assert!(ask(&as_bytes(&run), &whole).unwrap().unwrap().jobs.whole);
    for end in 0..whole.len() {
        assert!(ask(&as_bytes(&run), &whole[..end]).is_err(), "cut off at {end}");
    }
}
