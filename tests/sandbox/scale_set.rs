//! The Actions Service, asked by a plain client: the way to it, scale sets, runner groups, runners.

mod agents;
mod dispatch;
mod listener;
mod sessions;
mod switches;
mod tokens;

use reqwest::header::HeaderMap;

use super::*;

/// The organization's Actions Service, or a repository's.
struct Service<'a> {
    sandbox: &'a Sandbox,
    /// Ends in a slash.
    url: String,
    token: String,
}

impl<'a> Service<'a> {
    /// Goes the whole way: registration token, registration.
    async fn of(sandbox: &'a Sandbox, scope: &str, url: &str) -> Service<'a> {
        let registration = post(sandbox, &format!("{scope}/actions/runners/registration-token"), &Value::Null).await;
        assert_eq!(registration.status, 201, "{}", registration.text);
        let answer = register_at(sandbox, registration.json()["token"].as_str().unwrap(), url).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let answer = answer.json();
        let text = |field: &str| answer[field].as_str().unwrap().to_owned();
        Service { sandbox, url: text("url"), token: text("token") }
    }

    async fn open(sandbox: &'a Sandbox) -> Service<'a> {
        Self::of(sandbox, "/orgs/acme", &sandbox.url()).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}_apis/{path}", self.url);
        let path = url.strip_prefix(&self.sandbox.endpoint()).unwrap();
        request(self.sandbox, method, path).bearer_auth(&self.token)
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let separator = if path.contains('?') { '&' } else { '?' };
        let mut request = self.request(method, &format!("{path}{separator}api-version=6.0-preview"));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        send(request).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, None).await
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call(Method::POST, path, Some(body)).await
    }

    async fn delete(&self, path: &str) -> Answer {
        self.call(Method::DELETE, path, None).await
    }

    /// Makes a scale set as Go's client does and returns its id.
    async fn create(&self, name: &str, labels: &[&str]) -> u64 {
        let labels: Vec<_> = labels.iter().map(|label| json!({ "type": "System", "name": label })).collect();
        let body = json!({
            "name": name, "runnerGroupId": 1, "labels": labels, "RunnerSetting": { "disableUpdate": true },
            "createdOn": "0001-01-01T00:00:00Z",
        });
        let answer = self.post(SETS, &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["id"].as_u64().unwrap()
    }

    /// Registers a runner of a set and launches an instance for it.
    async fn launch(&self, set: u64, name: &str) -> u64 {
        let answer = self.post(&format!("{SETS}/{set}/generatejitconfig"), &json!({ "name": name })).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let answer = answer.json();
        let user_data = ec2::user_data(answer["encodedJITConfig"].as_str().unwrap());
        ec2::run_instance(self.sandbox, name).user_data(user_data).send().await.unwrap();
        answer["runner"]["id"].as_u64().unwrap()
    }
}

/// Where scale sets are, below `_apis`.
const SETS: &str = "runtime/runnerscalesets";

async fn register_at(sandbox: &Sandbox, registration_token: &str, url: &str) -> Answer {
    let body = json!({ "url": url, "runner_event": "register" });
    let request = request(sandbox, Method::POST, "/api/v3/actions/runner-registration");
    send(request.header("authorization", format!("RemoteAuth {registration_token}")).body(body.to_string())).await
}

/// Starts a world without jobs in which no poll is held.
async fn hasty() -> Sandbox {
    let sandbox = empty().await;
    sandbox.world().settings.scale_sets.poll_hold = Duration::ZERO;
    sandbox
}

fn refused(answer: &Answer) -> (u16, String) {
    let name = answer.json()["typeName"].as_str().unwrap_or_default().to_owned();
    let (name, assembly) = name.split_once(", ").unwrap_or_default();
    let name = name.strip_prefix(assembly).and_then(|name| name.strip_prefix('.')).unwrap_or(name);
    (answer.status.as_u16(), name.to_owned())
}

fn not_found(name: &str) -> (u16, String) {
    (404, name.to_owned())
}

#[tokio::test]
async fn a_set_is_made_found_listed_shown_changed_and_deleted() {
    let sandbox = empty().await;
    let service = Service::open(&sandbox).await;
    let find = format!("{SETS}?runnerGroupId=1&name=linux");
    assert_eq!(service.get(&find).await.json(), json!({ "count": 0, "value": [] }));
    let id = service.create("linux", &["Linux", "x64"]).await;

    let found = service.get(&find).await.json();
    assert_eq!((&found["count"], &found["value"][0]["id"]), (&json!(1), &json!(id)));
    assert_eq!(found["value"][0]["statistics"], Value::Null, "lists have none");
    assert_eq!(service.get(SETS).await.json()["count"], 1);
    assert_eq!(service.get(&format!("{SETS}?runnerGroupId=2")).await.json()["count"], 0);

    let shown = service.get(&format!("{SETS}/{id}")).await.json();
    assert_eq!(shown["statistics"]["totalAssignedJobs"], 0);
    assert_eq!(shown["runnerGroupName"], "Default");
    assert_eq!(shown["RunnerSetting"]["disableUpdate"], true);
    let labels = shown["labels"].as_array().unwrap();
    let labels: Vec<_> = labels.iter().map(|label| (&label["name"], &label["type"])).collect();
    assert_eq!(labels, [(&json!("Linux"), &json!("system")), (&json!("x64"), &json!("system"))]);

    let group = sandbox.world().runner_group("gpu");
    let change = json!({ "runnerGroupId": group, "createdOn": "0001-01-01T00:00:00Z", "RunnerSetting": {} });
    let changed = service.call(Method::PATCH, &format!("{SETS}/{id}"), Some(&change)).await;
    assert_eq!((changed.status.as_u16(), &changed.json()["runnerGroupName"]), (200, &json!("gpu")));
    assert_eq!(changed.json()["labels"].as_array().unwrap().len(), 2, "what isn't named stays");

    assert_eq!(service.delete(&format!("{SETS}/{id}")).await.status, 204);
    let gone = service.get(&format!("{SETS}/{id}")).await;
    assert_eq!(refused(&gone), not_found("RunnerScaleSetNotFoundException"));
    assert!(!gone.header("activityid").is_empty());
    assert_eq!(refused(&service.delete(&format!("{SETS}/{id}")).await).0, 404);
}

#[tokio::test]
async fn a_name_is_taken_once_in_a_group_and_the_refusal_is_400() {
    let sandbox = empty().await;
    let service = Service::open(&sandbox).await;
    service.create("linux", &["linux"]).await;
    let again = service.post(SETS, &json!({ "name": "linux", "runnerGroupId": 1 })).await;
    assert_eq!(again.status, 400);
    assert!(again.json()["message"].as_str().unwrap().contains("already exists in runner group"), "{}", again.text);
    let group = sandbox.world().runner_group("gpu");
    let elsewhere = service.post(SETS, &json!({ "name": "linux", "runnerGroupId": group })).await;
    assert_eq!(elsewhere.status, 200);
    let id = elsewhere.json()["id"].as_u64().unwrap();
    let back = service.call(Method::PATCH, &format!("{SETS}/{id}"), Some(&json!({ "runnerGroupId": 1 }))).await;
    assert_eq!(back.status, 400);
}

#[tokio::test]
async fn what_can_not_be_made_is_refused() {
    let sandbox = empty().await;
    let service = Service::open(&sandbox).await;
    assert_eq!(service.post(SETS, &json!({ "runnerGroupId": 1 })).await.status, 400);
    assert_eq!(service.post(SETS, &json!({ "name": "a", "runnerGroupId": 77 })).await.status, 404);
    assert_eq!(service.post(SETS, &json!({ "name": 7 })).await.status, 400);
    assert_eq!(service.get(&format!("{SETS}?runnerGroupId=x")).await.status, 400);
    assert_eq!(service.get("runtime/nothing").await.status, 404);
    let without_version = send(service.request(Method::POST, SETS).body("{}")).await;
    assert_eq!(refused(&without_version), (400, "VssVersionNotSpecifiedException".to_owned()));
}

#[tokio::test]
async fn a_repository_has_sets_of_its_own() {
    let sandbox = empty().await;
    let of_organization = Service::open(&sandbox).await;
    let id = of_organization.create("linux", &["linux"]).await;
    let url = format!("{}/acme/api", sandbox.endpoint());
    let of_repository = Service::of(&sandbox, "/repos/acme/api", &url).await;
    assert_eq!(of_repository.get(SETS).await.json()["count"], 0);
    assert_eq!(of_repository.get(&format!("{SETS}/{id}")).await.status, 404);
    let own = of_repository.create("linux", &["linux"]).await;
    assert_ne!(own, id);
    assert_eq!(of_organization.get(SETS).await.json()["count"], 1);
}

#[tokio::test]
async fn runner_groups_are_found_by_name() {
    let sandbox = empty().await;
    let group = sandbox.world().runner_group("gpu & co");
    let service = Service::open(&sandbox).await;
    let found = service.get("runtime/runnergroups/?groupName=gpu%20%26%20co").await.json();
    assert_eq!((&found["count"], &found["value"][0]["id"]), (&json!(1), &json!(group)));
    assert_eq!(service.get("runtime/runnergroups/?groupName=none").await.json()["count"], 0);
    let all = service.get("runtime/runnergroups/").await.json();
    assert_eq!((&all["count"], &all["value"][0]["isDefaultGroup"]), (&json!(2), &json!(true)));
}

#[tokio::test]
async fn a_set_with_a_running_job_is_not_deleted_and_one_with_a_waiting_job_gives_it_back() {
    let sandbox = hasty().await;
    let service = Service::open(&sandbox).await;
    let set = service.create("linux", &["linux"]).await;
    sandbox.world().scale_set("linux").listened(5).with_runners(1);
    let running = sandbox.world().repository("api").run().job(["linux"]).id();
    let waiting = sandbox.world().repository("api").run().job(["linux"]).id();
    assert_eq!(sandbox.world().job_status(running), Some(ghascale::sandbox::JobStatus::InProgress));
    assert_eq!(sandbox.world().statistics_of("linux").unwrap().assigned, 2);
    let path = format!("{SETS}/{set}");
    assert_eq!(refused(&service.delete(&path).await), (400, "JobStillRunningException".to_owned()));

    sandbox.world().scale_set("linux").with_runners(0);
    sandbox.world().finish(running);
    assert_eq!(sandbox.world().statistics_of("linux").unwrap().assigned, 1);
    sandbox.world().runner("ordinary", ["linux"]).online();
    assert_eq!(sandbox.world().job_status(waiting), Some(ghascale::sandbox::JobStatus::Queued));
    assert_eq!(service.delete(&path).await.status, 204);
    assert_eq!(sandbox.world().job_status(waiting), Some(ghascale::sandbox::JobStatus::InProgress));
    assert_eq!(sandbox.world().runner_names(), ["ordinary"], "the set's own are gone");
}

/// An answer's headers must say nothing of a token.
fn no_token(headers: &HeaderMap) -> bool {
    headers.values().all(|value| !value.to_str().unwrap_or_default().contains("ey"))
}

#[tokio::test]
async fn calls_are_noted_by_what_does_not_change_and_without_tokens() {
    let sandbox = empty().await;
    let service = Service::open(&sandbox).await;
    let answer = service.get(SETS).await;
    assert!(no_token(&answer.headers));
    let calls = sandbox.calls();
    let targets: Vec<_> = calls.iter().map(|call| (call.service, call.target.as_str())).collect();
    assert_eq!(
        targets,
        [
            (ghascale::sandbox::Service::Github, "/orgs/acme/actions/runners/registration-token"),
            (ghascale::sandbox::Service::Github, "/actions/runner-registration"),
            (ghascale::sandbox::Service::Actions, "/_apis/runtime/runnerscalesets?api-version=6.0-preview"),
        ]
    );
    assert_eq!(calls[1].parameters["runner_event"], "\"register\"");
    let text = format!("{calls:?}");
    assert!(!text.contains(&service.token) && !text.contains("AABF3JGZ"), "{text}");
}

#[tokio::test]
async fn faults_meet_the_service_too() {
    let sandbox = empty().await;
    let service = Service::open(&sandbox).await;
    let fault = ghascale::sandbox::Fault::actions("GET /_apis/runtime/runnergroups");
    sandbox.fault(fault.status(409).code("RunnerScaleSetSessionConflictException").message("no"));
    let answer = service.get("runtime/runnergroups/").await;
    assert_eq!(refused(&answer), (409, "RunnerScaleSetSessionConflictException".to_owned()));
    assert_eq!(answer.json()["message"], "no");
    sandbox.fault(ghascale::sandbox::Fault::actions("POST").dropped_after());
    let body = json!({ "name": "linux" }).to_string();
    service.request(Method::POST, &format!("{SETS}?api-version=6.0-preview")).body(body).send().await.unwrap_err();
    assert_eq!(service.get(SETS).await.json()["count"], 1, "it was made, and nobody was told");
}
