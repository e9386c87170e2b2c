//! GitHub's endpoints.

use std::time::Duration;

use super::*;

fn numbers(list: &Value, field: &str) -> Vec<u64> {
    list.as_array().unwrap().iter().map(|item| item[field].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn an_organization_shows_itself_and_its_repositories() {
    let sandbox = Sandbox::start(Scenario::Acme, 0).await.unwrap();
    assert_eq!(get(&sandbox, "/orgs/acme").await.json()["login"], "acme");
    assert_eq!(get(&sandbox, "/orgs/other").await.status, 404);
    let list = get(&sandbox, "/orgs/acme/repos?per_page=100&sort=full_name").await.json();
    let names: Vec<_> = list.as_array().unwrap().iter().map(|item| item["full_name"].as_str().unwrap()).collect();
    assert!(names.is_sorted() && (12..20).contains(&names.len()), "{names:?}");
    let flagged = |flag: &str| list.as_array().unwrap().iter().filter(|item| item[flag] == true).count();
    assert_eq!((flagged("archived"), flagged("disabled")), (1, 1));
}

#[tokio::test]
async fn a_repository_is_found_without_case_and_another_is_not() {
    let sandbox = empty().await;
    assert_eq!(get(&sandbox, "/repos/Acme/API").await.json()["full_name"], "acme/api");
    assert_eq!(get(&sandbox, "/repos/acme/none").await.status, 404);
}

#[tokio::test]
async fn lists_are_paged_with_links() {
    let sandbox = empty().await;
    for _ in 0..5 {
        sandbox.world().repository("api").run().job(LINUX);
    }
    let first = get(&sandbox, "/repos/acme/api/actions/runs?per_page=2&exclude_pull_requests=true").await;
    assert_eq!(first.json()["total_count"], 5);
    assert_eq!(first.json()["workflow_runs"].as_array().unwrap().len(), 2);
    let base =
        format!("{}/api/v3/repos/acme/api/actions/runs?exclude_pull_requests=true&per_page=2", sandbox.endpoint());
    assert_eq!(first.header("link"), format!("<{base}&page=2>; rel=\"next\", <{base}&page=3>; rel=\"last\""));
    let last = get(&sandbox, "/repos/acme/api/actions/runs?per_page=2&page=3").await;
    assert_eq!(last.json()["workflow_runs"].as_array().unwrap().len(), 1);
    assert!(!last.header("link").contains("next"), "{}", last.header("link"));
    let beyond = get(&sandbox, "/repos/acme/api/actions/runs?per_page=2&page=9").await;
    assert_eq!(beyond.json()["workflow_runs"], json!([]));
}

#[tokio::test]
async fn per_page_is_at_most_a_hundred_and_thirty_by_default() {
    let sandbox = empty().await;
    let run = sandbox.world().repository("api").run().id();
    for _ in 0..120 {
        sandbox.world().run(run).job(LINUX);
    }
    let path = format!("/repos/acme/api/actions/runs/{run}/jobs");
    assert_eq!(get(&sandbox, &path).await.json()["jobs"].as_array().unwrap().len(), 30);
    let page = get(&sandbox, &format!("{path}?per_page=1000")).await.json();
    assert_eq!((page["jobs"].as_array().unwrap().len(), &page["total_count"]), (100, &json!(120)));
}

#[tokio::test]
async fn runs_are_listed_newest_first_and_filtered_by_status() {
    let sandbox = empty().await;
    let (old, new, done) = {
        let mut world = sandbox.world();
        let old = world.repository("api").run().aged(Duration::from_hours(2)).job(LINUX).run_id();
        let done = world.repository("api").run().aged(Duration::from_hours(1)).job(LINUX);
        let (done_job, done) = (done.id(), done.run_id());
        let new = world.repository("api").run().job(LINUX).run_id();
        world.cancel(done_job);
        (old, new, done)
    };
    let list = async |query: &str| {
        let answer = get(&sandbox, &format!("/repos/acme/api/actions/runs{query}")).await.json();
        numbers(&answer["workflow_runs"], "id")
    };
    assert_eq!(list("").await, [new, done, old]);
    assert_eq!(list("?status=queued").await, [new, old]);
    assert_eq!(list("?status=completed").await, [done]);
    assert_eq!(list("?status=cancelled").await, [done]);
    let hour_ago = sandbox.world().now() - Duration::from_mins(90);
    assert_eq!(list(&format!("?created=>={hour_ago}")).await, [new, done]);
}

#[tokio::test]
async fn a_filtered_list_ends_after_a_thousand_runs() {
    let sandbox = empty().await;
    for _ in 0..1001 {
        sandbox.world().repository("api").run();
    }
    let page = async |query: &str| {
        let answer = get(&sandbox, &format!("/repos/acme/api/actions/runs?per_page=100&page=11{query}")).await.json();
        answer["workflow_runs"].as_array().unwrap().len()
    };
    assert_eq!(page("").await, 1);
    assert_eq!(page("&status=queued").await, 0);
}

#[tokio::test]
async fn a_run_has_the_status_of_its_least_advanced_job() {
    let sandbox = empty().await;
    let (waiting, queued) = {
        let mut world = sandbox.world();
        let waiting = world.repository("api").run().job(LINUX).job(LINUX).waiting().run_id();
        let queued = world.repository("api").run().job(["ubuntu-latest"]).on_hosted_runner().job(LINUX).run_id();
        (waiting, queued)
    };
    let status =
        async |run: u64| get(&sandbox, &format!("/repos/acme/api/actions/runs/{run}")).await.json()["status"].clone();
    assert_eq!(status(waiting).await, "waiting");
    assert_eq!(status(queued).await, "queued");
}

#[tokio::test]
async fn jobs_are_those_of_the_latest_attempt_unless_all_are_asked_for() {
    let sandbox = empty().await;
    let first = sandbox.world().repository("api").run().job(LINUX).id();
    let run = sandbox.world().repository("api").run().job(LINUX).run_id();
    let old = numbers(&get(&sandbox, &format!("/repos/acme/api/actions/runs/{run}/jobs")).await.json()["jobs"], "id");
    let new = sandbox.world().run(run).again().job(LINUX).id();
    let jobs = async |query: &str| {
        numbers(&get(&sandbox, &format!("/repos/acme/api/actions/runs/{run}/jobs{query}")).await.json()["jobs"], "id")
    };
    assert_eq!(jobs("?filter=latest").await, [new]);
    assert_eq!(jobs("?filter=all").await, [old[0], new]);
    let job = get(&sandbox, &format!("/repos/acme/api/actions/jobs/{new}")).await.json();
    assert_eq!((&job["run_attempt"], &job["runner_id"]), (&json!(2), &Value::Null));
    assert_eq!(get(&sandbox, &format!("/repos/acme/api/actions/jobs/{first}")).await.status, 200);
    assert_eq!(get(&sandbox, "/repos/acme/api/actions/jobs/1").await.status, 404);
}

#[tokio::test]
async fn hidden_jobs_are_404_and_a_ghost_has_none() {
    let sandbox = empty().await;
    let (hidden, ghost) = {
        let mut world = sandbox.world();
        let hidden = world.repository("api").run().with_hidden_jobs().id();
        (hidden, world.repository("api").run().aged(Duration::from_hours(72)).id())
    };
    assert_eq!(get(&sandbox, &format!("/repos/acme/api/actions/runs/{hidden}/jobs")).await.status, 404);
    assert_eq!(get(&sandbox, &format!("/repos/acme/api/actions/runs/{ghost}/jobs")).await.json()["jobs"], json!([]));
    assert_eq!(get(&sandbox, &format!("/repos/acme/api/actions/runs/{ghost}")).await.json()["status"], "queued");
}

#[tokio::test]
async fn a_repository_without_actions_lists_no_runs() {
    let sandbox = empty().await;
    sandbox.world().repository("api").without_actions().run().job(LINUX);
    assert_eq!(
        get(&sandbox, "/repos/acme/api/actions/runs").await.json(),
        json!({ "total_count": 0, "workflow_runs": [] })
    );
    assert_eq!(get(&sandbox, "/repos/acme/api/actions/permissions").await.json()["enabled"], false);
}

#[tokio::test]
async fn a_runners_name_is_taken_once_and_free_again_when_it_is_deleted() {
    let sandbox = empty().await;
    let (id, _) = register(&sandbox, "fleet-linux-000", &LINUX).await;
    let body = json!({ "name": "fleet-linux-000", "runner_group_id": 1, "labels": ["x"] });
    let again = post(&sandbox, "/orgs/acme/actions/runners/generate-jitconfig", &body).await;
    assert_eq!(again.status, 409);
    assert_eq!(again.json()["message"], "Already exists - A runner with the name fleet-linux-000 already exists.");
    let listed = get(&sandbox, "/orgs/acme/actions/runners?name=fleet-linux-000").await.json();
    assert_eq!(numbers(&listed["runners"], "id"), [id]);
    assert_eq!(get(&sandbox, "/orgs/acme/actions/runners?name=fleet-linux-001").await.json()["total_count"], 0);
    assert_eq!(delete(&sandbox, &format!("/orgs/acme/actions/runners/{id}")).await.status, 204);
    assert_eq!(delete(&sandbox, &format!("/orgs/acme/actions/runners/{id}")).await.status, 404);
    assert_ne!(register(&sandbox, "fleet-linux-000", &LINUX).await.0, id);
}

#[tokio::test]
async fn labels_are_kept_in_lower_case() {
    let sandbox = empty().await;
    let (id, _) = register(&sandbox, "a", &["Self-Hosted", "X64"]).await;
    let record = get(&sandbox, &format!("/orgs/acme/actions/runners/{id}")).await.json();
    assert_eq!((&record["labels"][0]["name"], &record["labels"][1]["name"]), (&json!("self-hosted"), &json!("x64")));
}

#[tokio::test]
async fn a_registration_without_labels_name_or_group_is_refused() {
    let sandbox = empty().await;
    for (body, status) in [
        (json!({ "name": "a", "runner_group_id": 1, "labels": [] }), 422),
        (json!({ "name": "a", "labels": ["x"] }), 422),
        (json!({ "name": "", "runner_group_id": 1, "labels": ["x"] }), 422),
        (json!({ "name": "a".repeat(65), "runner_group_id": 1, "labels": ["x"] }), 422),
        (json!({ "name": "a", "runner_group_id": 9, "labels": ["x"] }), 404),
    ] {
        let answer = post(&sandbox, "/orgs/acme/actions/runners/generate-jitconfig", &body).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_busy_runner_is_not_deleted() {
    let sandbox = empty().await;
    let runner = {
        let mut world = sandbox.world();
        world.repository("api").run().job(LINUX);
        world.runner("box", LINUX).online().id()
    };
    let answer = delete(&sandbox, &format!("/orgs/acme/actions/runners/{runner}")).await;
    assert_eq!(answer.status, 422);
    assert_eq!(answer.json()["message"], "Bad request - Runner \"box\" is still running a job\"");
    assert_eq!(answer.json()["status"], "422");
}

#[tokio::test]
async fn runners_of_a_repository_and_of_the_organization_are_kept_apart() {
    let sandbox = empty().await;
    let body = json!({ "name": "a", "runner_group_id": 1, "labels": ["x"] });
    let path = "/repos/acme/api/actions/runners";
    let created = post(&sandbox, &format!("{path}/generate-jitconfig"), &body).await;
    assert_eq!(created.status, 201);
    let id = created.json()["runner"]["id"].clone();
    register(&sandbox, "a", &LINUX).await;
    assert_eq!(get(&sandbox, path).await.json()["total_count"], 1);
    assert_eq!(get(&sandbox, "/orgs/acme/actions/runners").await.json()["total_count"], 1);
    assert_eq!(get(&sandbox, &format!("/orgs/acme/actions/runners/{id}")).await.status, 404);
    assert_eq!(delete(&sandbox, &format!("{path}/{id}")).await.status, 204);
}

#[tokio::test]
async fn runner_groups_are_listed() {
    let sandbox = empty().await;
    let id = sandbox.world().runner_group("gpu");
    let groups = get(&sandbox, "/orgs/acme/actions/runner-groups").await.json();
    assert_eq!(numbers(&groups["runner_groups"], "id"), [1, id]);
    assert_eq!(groups["runner_groups"][0]["name"], "Default");
}

#[tokio::test]
async fn without_a_valid_token_everything_is_401() {
    let sandbox = empty().await;
    let path = "/api/v3/orgs/acme";
    assert_eq!(send(request(&sandbox, Method::GET, path)).await.status, 401);
    let wrong = send(request(&sandbox, Method::GET, path).bearer_auth("wrong")).await;
    assert_eq!((wrong.status, &wrong.json()["message"]), (StatusCode::UNAUTHORIZED, &json!("Bad credentials")));
}

#[tokio::test]
async fn an_app_gets_a_token_that_works_for_an_hour() {
    let sandbox = empty().await;
    let path = "/api/v3/app/installations/7/access_tokens";
    let encode = |text: &str| data_encoding::BASE64URL_NOPAD.encode(text.as_bytes());
    let jwt = format!("{}.{}.c2ln", encode(r#"{"alg":"RS256","typ":"JWT"}"#), encode(r#"{"iss":1,"iat":1,"exp":2}"#));
    assert_eq!(send(request(&sandbox, Method::POST, path).bearer_auth(sandbox.token())).await.status, 401);
    let answer = send(request(&sandbox, Method::POST, path).bearer_auth(jwt)).await;
    assert_eq!(answer.status, 201);
    let token = answer.json()["token"].as_str().unwrap().to_owned();
    let status = async || send(request(&sandbox, Method::GET, "/api/v3/orgs/acme").bearer_auth(&token)).await.status;
    assert_eq!(status().await, 200);
    let repositories = request(&sandbox, Method::GET, "/api/v3/installation/repositories").bearer_auth(&token);
    assert_eq!(send(repositories).await.json()["total_count"], 1);
    sandbox.advance(Duration::from_mins(61));
    assert_eq!(status().await, 401);
}

#[tokio::test]
async fn what_has_not_changed_is_304_and_free_to_the_same_token() {
    let sandbox = empty().await;
    let first = get(&sandbox, "/repos/acme/api/actions/runs").await;
    let tag = first.header("etag").to_owned();
    assert!(tag.starts_with("W/\""), "{tag}");
    let again = async |token: &str| {
        let request = request(&sandbox, Method::GET, "/api/v3/repos/acme/api/actions/runs");
        send(request.bearer_auth(token).header("if-none-match", &tag)).await
    };
    let unchanged = again(sandbox.token()).await;
    assert_eq!((unchanged.status.as_u16(), unchanged.text.as_str()), (304, ""));
    assert_eq!(unchanged.header("x-ratelimit-remaining"), first.header("x-ratelimit-remaining"));
    sandbox.world().token("another", None);
    assert_eq!(again("another").await.status, 200);
    sandbox.world().repository("api").run().job(LINUX);
    assert_eq!(again(sandbox.token()).await.status, 200);
}

#[tokio::test]
async fn the_rate_limit_counts_down_ends_and_is_reset() {
    let sandbox = empty().await;
    sandbox.world().rate_limit(5000, 2);
    let first = get(&sandbox, "/orgs/acme").await;
    assert_eq!((first.header("x-ratelimit-remaining"), first.header("x-ratelimit-limit")), ("1", "5000"));
    get(&sandbox, "/orgs/acme").await;
    let spent = get(&sandbox, "/orgs/acme").await;
    assert_eq!((spent.status.as_u16(), spent.header("x-ratelimit-remaining")), (403, "0"));
    assert_eq!(get(&sandbox, "/rate_limit").await.json()["resources"]["core"]["remaining"], 0);
    sandbox.advance(Duration::from_mins(61));
    assert_eq!(get(&sandbox, "/orgs/acme").await.status, 200);
}

#[tokio::test]
async fn every_answer_has_a_request_id() {
    let sandbox = empty().await;
    let (one, two) = (get(&sandbox, "/orgs/acme").await, get(&sandbox, "/orgs/none").await);
    assert!(!one.header("x-github-request-id").is_empty());
    assert_ne!(one.header("x-github-request-id"), two.header("x-github-request-id"));
}

#[tokio::test]
async fn more_than_a_hundred_requests_at_once_are_refused_and_a_hundred_are_not() {
    let sandbox = Sandbox::start(Scenario::Empty, 0).await.unwrap();
    sandbox.world().settings.round_trip = Duration::from_millis(500);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/api/v3/orgs/acme", sandbox.endpoint());
    let ask = async |count: usize| {
        let asked = (0..count).map(|_| client.get(&url).bearer_auth(sandbox.token()).send());
        let mut refused = Vec::new();
        for answer in futures::future::join_all(asked).await {
            let answer = answer.unwrap();
            if answer.status() != 200 {
                assert_eq!(answer.headers()["retry-after"], "60");
                refused.push(answer.json::<serde_json::Value>().await.unwrap());
            }
        }
        refused
    };
    assert!(ask(100).await.is_empty());
    let refused = ask(140).await;
    assert!(!refused.is_empty() && refused.len() <= 40, "{}", refused.len());
    assert!(refused[0]["message"].as_str().unwrap().starts_with("You have exceeded a secondary rate limit."));
}
