//! The embedded world, seen over real HTTP by a plain client and by the real EC2 SDK.

mod control;
mod ec2;
mod faults;
mod github;
mod groups;
mod scale_set;
mod scenario_file;
mod serve;
mod time;

use std::sync::LazyLock;
use std::time::Duration;

use ghascale::sandbox::{Sandbox, Scenario};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

const LINUX: [&str; 3] = ["self-hosted", "linux", "x64"];

/// Starts a world without jobs on a free port.
async fn empty() -> Sandbox {
    Sandbox::start(Scenario::Empty, 0).await.unwrap()
}

/// An answer, read whole.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: reqwest::header::HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// One for all tests: each request has a connection of its own, as each test has a runtime of its own.
static CLIENT: LazyLock<Client> = LazyLock::new(|| {
    let client = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    client.pool_max_idle_per_host(0).build().unwrap()
});

/// Prepares a request that picks up no proxy and follows no redirect.
fn request(sandbox: &Sandbox, method: Method, path: &str) -> RequestBuilder {
    CLIENT.request(method, format!("{}{path}", sandbox.endpoint())).timeout(Duration::from_secs(20))
}

async fn send(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    Answer { status, headers, text: response.text().await.unwrap() }
}

/// Sends a GET to GitHub with the world's token.
async fn get(sandbox: &Sandbox, path: &str) -> Answer {
    let path = format!("/api/v3{path}");
    send(request(sandbox, Method::GET, &path).bearer_auth(sandbox.token())).await
}

async fn delete(sandbox: &Sandbox, path: &str) -> Answer {
    let path = format!("/api/v3{path}");
    send(request(sandbox, Method::DELETE, &path).bearer_auth(sandbox.token())).await
}

async fn post(sandbox: &Sandbox, path: &str, body: &Value) -> Answer {
    let path = format!("/api/v3{path}");
    let request = request(sandbox, Method::POST, &path).bearer_auth(sandbox.token());
    send(request.header("content-type", "application/json").body(body.to_string())).await
}

/// Registers a runner at the organization and returns its id and JIT configuration.
async fn register(sandbox: &Sandbox, name: &str, labels: &[&str]) -> (u64, String) {
    let body = json!({ "name": name, "runner_group_id": 1, "labels": labels });
    let answer = post(sandbox, "/orgs/acme/actions/runners/generate-jitconfig", &body).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let answer = answer.json();
    (answer["runner"]["id"].as_u64().unwrap(), answer["encoded_jit_config"].as_str().unwrap().to_owned())
}

/// Launches an instance for a new runner; returns the ids of both.
async fn launch(sandbox: &Sandbox, name: &str, labels: &[&str]) -> (u64, String) {
    let (runner, jit_config) = register(sandbox, name, labels).await;
    let launched = ec2::run_instance(sandbox, name).user_data(ec2::user_data(&jit_config)).send().await.unwrap();
    (runner, launched.instances()[0].instance_id().unwrap().to_owned())
}
