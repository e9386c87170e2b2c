//! The sandbox's REST answers, and the requests that ghascale makes, judged by Prism with GitHub's own description.

use ghascale::sandbox::{Fault, Sandbox, Scenario};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use super::judge::Judge;

/// Sends requests through the judge.
struct Rest<'a> {
    judge: &'a Judge,
    client: Client,
    token: String,
}

impl Rest<'_> {
    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let mut request = self
            .client
            .request(method, format!("{}/api/v3{path}", self.judge.endpoint()))
            .bearer_auth(&self.token)
            .header("accept", "application/vnd.github+json")
            .header("x-github-api-version", "2022-11-28");
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        let status = answer.status();
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or(Value::Null))
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.send(Method::GET, path, None).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }
}

/// Runs jobs again, and is refused while they run.
async fn reruns(sandbox: &Sandbox, rest: &Rest<'_>) {
    let (job, run) = {
        let mut world = sandbox.world();
        let job = world.repository("acme/api").run().job(["nobody"]);
        let (job, run) = (job.id(), job.run_id());
        world.end(job, "failure");
        (job, run)
    };
    let one = format!("/repos/acme/api/actions/jobs/{job}/rerun");
    let failed = format!("/repos/acme/api/actions/runs/{run}/rerun-failed-jobs");
    let (status, answer) = rest.send(Method::POST, &one, Some(json!({}))).await;
    assert_eq!(status, 201, "{answer}");
    assert_eq!(rest.send(Method::POST, &one, Some(json!({}))).await.0, 403);
    let again = sandbox.world().job_ids().into_iter().next_back().unwrap();
    sandbox.world().end(again, "failure");
    let (status, answer) = rest.send(Method::POST, &failed, Some(json!({}))).await;
    assert_eq!(status, 201, "{answer}");
}

/// Reads a webhook's delivery log, page by page.
async fn deliveries(sandbox: &Sandbox, rest: &Rest<'_>) {
    {
        let mut world = sandbox.world();
        world.settings.delivery_hook = Some(12);
        world.deliver("workflow_run", "requested", 4711);
    }
    let page = rest.get("/orgs/acme/hooks/12/deliveries?per_page=2").await;
    assert_eq!(page.as_array().unwrap().len(), 2);
    let cursor = format!("/orgs/acme/hooks/12/deliveries?per_page=100&cursor=v1_{}", page[1]["id"]);
    assert!(!rest.get(&cursor).await.as_array().unwrap().contains(&page[0]));
    assert_eq!(rest.send(Method::GET, "/orgs/acme/hooks/13/deliveries", None).await.0, 404);
}

async fn every_request_is_judged(description: &str) {
    let sandbox = Sandbox::start(Scenario::Acme, 0).await.unwrap();
    let judge = Judge::start(&sandbox, description).await;
    let client = Client::builder().no_proxy().build().unwrap();
    let rest = Rest { judge: &judge, client: client.clone(), token: sandbox.token().to_owned() };

    rest.get("/rate_limit").await;
    rest.get("/orgs/acme").await;
    {
        let mut world = sandbox.world();
        world.group("inner").for_private().without_public_repositories();
        world.group("chosen").for_selected(["api", "models"]);
    }
    let groups = rest.get("/orgs/acme/actions/runner-groups?per_page=100&page=1").await;
    rest.get("/orgs/acme/actions/runner-groups?visible_to_repository=api").await;
    for group in groups["runner_groups"].as_array().unwrap() {
        let path = format!("/orgs/acme/actions/runner-groups/{}", group["id"]);
        rest.get(&path).await;
        rest.get(&format!("{path}/repositories?per_page=100")).await;
    }
    for page in 1..=2 {
        let repositories = rest.get(&format!("/orgs/acme/repos?type=all&sort=full_name&per_page=10&page={page}")).await;
        for repository in repositories.as_array().unwrap() {
            let name = repository["full_name"].as_str().unwrap();
            let runs = format!("/repos/{name}/actions/runs");
            rest.get(&format!("/repos/{name}")).await;
            rest.get(&format!("/repos/{name}/actions/permissions")).await;
            for status in ["queued", "in_progress", "waiting", "pending", "requested"] {
                rest.get(&format!("{runs}?status={status}&exclude_pull_requests=true&per_page=50")).await;
            }
            let list = rest.get(&format!("{runs}?exclude_pull_requests=true&per_page=50&page=1")).await;
            for run in list["workflow_runs"].as_array().unwrap() {
                let id = &run["id"];
                rest.get(&format!("{runs}/{id}")).await;
                let path = format!("{runs}/{id}/jobs?filter=latest&per_page=100");
                let (_, jobs) = rest.send(Method::GET, &path, None).await;
                for job in jobs["jobs"].as_array().into_iter().flatten() {
                    rest.get(&format!("/repos/{name}/actions/jobs/{}", job["id"])).await;
                }
            }
        }
    }

    deliveries(&sandbox, &rest).await;
    {
        let mut world = sandbox.world();
        world.enterprise("megacorp");
        world.organization("globex");
        world.enterprise_group("chosen").for_organizations(["globex"]);
    }
    let organizations = rest.get("/organizations?per_page=1").await;
    let since = organizations[0]["id"].as_u64().unwrap();
    assert_eq!(rest.get(&format!("/organizations?per_page=1&since={since}")).await[0]["login"], "globex");
    assert_eq!(rest.get("/user/orgs?per_page=100").await.as_array().unwrap().len(), 2);
    // The description of github.com is of what is there without an enterprise.
    let mut scopes = vec!["/orgs/acme", "/repos/acme/api"];
    if description != "api.github.com" {
        scopes.push("/enterprises/megacorp");
        let groups = rest.get("/enterprises/megacorp/actions/runner-groups?per_page=100").await;
        for group in groups["runner_groups"].as_array().unwrap() {
            let path = format!("/enterprises/megacorp/actions/runner-groups/{}", group["id"]);
            rest.get(&path).await;
            rest.get(&format!("{path}/organizations?per_page=100")).await;
        }
    }
    for scope in scopes {
        let runners = format!("{scope}/actions/runners");
        let register = json!({
            "name": "sandbox-linux-x64-000", "runner_group_id": 1, "work_folder": "_work",
            "labels": ["self-hosted", "linux", "x64", "ghascale-thx0yk-1f2e3d"],
        });
        let (status, token) = rest.send(Method::POST, &format!("{runners}/registration-token"), None).await;
        assert_eq!(status, 201, "{token}");
        let path = format!("{runners}/generate-jitconfig");
        let (status, created) = rest.send(Method::POST, &path, Some(register.clone())).await;
        assert_eq!(status, 201, "{created}");
        assert_eq!(rest.send(Method::POST, &path, Some(register)).await.0, 409);
        rest.get(&format!("{runners}?per_page=100&page=1")).await;
        let found = rest.get(&format!("{scope}/actions/runners?name=sandbox-linux-x64-000&per_page=100")).await;
        assert_eq!(found["total_count"], 1);
        let one = format!("{runners}/{}", created["runner"]["id"]);
        rest.get(&one).await;
        assert_eq!(rest.send(Method::DELETE, &one, None).await.0, 204);
        assert_eq!(rest.send(Method::DELETE, &one, None).await.0, 404);
    }

    reruns(&sandbox, &rest).await;

    let encode = |text: &str| data_encoding::BASE64URL_NOPAD.encode(text.as_bytes());
    let jwt = format!("{}.{}.c2ln", encode(r#"{"alg":"RS256"}"#), encode(r#"{"iss":"Iv1.sandbox"}"#));
    let app = Rest { judge: &judge, client: client.clone(), token: jwt };
    let (status, created) = app.send(Method::POST, "/app/installations/1/access_tokens", Some(json!({}))).await;
    assert_eq!(status, 201, "{created}");
    let token = created["token"].as_str().unwrap().to_owned();
    let installation = Rest { judge: &judge, client, token };
    installation.get("/installation/repositories?per_page=100").await;

    let judged = judge.verdict();
    assert!(judged > 150, "{judged}");
}

#[tokio::test]
#[cfg_attr(not(ghascale_peers), ignore = "set GHASCALE_PEERS=1")]
async fn answers_and_requests_are_as_github_enterprise_server_describes_them() {
    every_request_is_judged("ghes-3.19").await;
}

#[tokio::test]
#[cfg_attr(not(ghascale_peers), ignore = "set GHASCALE_PEERS=1")]
async fn answers_and_requests_are_as_github_com_describes_them() {
    every_request_is_judged("api.github.com").await;
}

#[tokio::test]
#[cfg_attr(not(ghascale_peers), ignore = "set GHASCALE_PEERS=1")]
async fn answers_and_requests_are_as_github_enterprise_cloud_describes_them() {
    every_request_is_judged("ghec").await;
}

#[tokio::test]
#[cfg_attr(not(ghascale_peers), ignore = "set GHASCALE_PEERS=1")]
async fn what_is_wrong_is_found_in_requests_and_in_answers() {
    let sandbox = Sandbox::start(Scenario::Empty, 0).await.unwrap();
    let (get, post) = (Method::GET, Method::POST);
    let jit = "/orgs/acme/actions/runners/generate-jitconfig";
    let runners = "/orgs/acme/actions/runners";
    for (method, path, body, answer) in [
        (get.clone(), "/orgs/acme/actions/unknown", None, None),
        (get.clone(), "/repos/acme/api/actions/runs?status=bogus", None, None),
        (post, jit, Some(json!({ "name": "a", "labels": ["x"] })), None),
        (get.clone(), runners, None, Some(r#"{"total_count":1,"runners":[{"id":1,"name":"a","os":"linux"}]}"#)),
        (get, runners, None, Some(r#"{"total_count":null,"runners":[]}"#)),
    ] {
        let judge = Judge::start(&sandbox, "ghes-3.19").await;
        if let Some(answer) = answer {
            sandbox.fault(Fault::github(path).status(200).body(answer));
        }
        let client = Client::builder().no_proxy().build().unwrap();
        let rest = Rest { judge: &judge, client, token: sandbox.token().to_owned() };
        rest.send(method, path, body).await;
        let verdict = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| judge.verdict()));
        assert!(verdict.is_err(), "{path} passed");
    }
}
