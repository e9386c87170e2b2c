//! The Actions Service and its queue, through the real client.

use std::sync::Arc;

use ghascale::scale_set::{Client, Jit, ScaleSetId, Session};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::mutation::{changed, damaged, json_documents};
use super::{each, is_fit_to_be_shown};
use crate::scale_set::stand_in::{
    AGENTS, PAT, QUEUE_TOKEN, REGISTRATION, REGISTRATION_TOKEN, SETS, StandIn, answer, jwt, ok,
};
use crate::scale_set::{counts, set};
use proptest::strategy::Strategy as _;

const KEY: &str = "UExBTlRFRC1KSVQtS0VZ";
const SECRETS: [&str; 6] = [PAT, QUEUE_TOKEN, REGISTRATION_TOKEN, KEY, "PLANTED-SERVICE-QUERY", "PLANTED-QUEUE-QUERY"];

struct Bench {
    runtime: Runtime,
    github: StandIn,
    client: Arc<Client>,
}

impl Bench {
    fn open() -> Self {
        let runtime = Runtime::new().unwrap();
        let github = runtime.block_on(StandIn::start());
        let client = runtime.block_on(async { github.client() });
        Self { runtime, github, client }
    }

    /// Does something at a service that answers one kind of request with a document.
    fn ask<T>(&self, request: &str, document: &[u8], what: impl AsyncFnOnce(Arc<Client>) -> T) -> T {
        self.ask_by(self.client.clone(), request, document, what)
    }

    /// The same, by a client that has not been there before.
    fn ask_anew<T>(&self, request: &str, document: &[u8], what: impl AsyncFnOnce(Arc<Client>) -> T) -> T {
        let client = self.runtime.block_on(async { self.github.client() });
        self.ask_by(client, request, document, what)
    }

    fn ask_by<T>(
        &self,
        client: Arc<Client>,
        request: &str,
        document: &[u8],
        what: impl AsyncFnOnce(Arc<Client>) -> T,
    ) -> T {
        self.github.forget();
        // Whoever asks again is answered the same.
        for _ in 0..3 {
            self.github.plant(request, answer(200, document));
        }
        self.github.plant(sessions(), ok(&self.opened()));
        self.runtime.block_on(what(client))
    }

    fn opened(&self) -> Value {
        let queue = format!("{}/q/message?sig=PLANTED-QUEUE-QUERY", self.github.url);
        json!({
            "sessionId": "5d2a0c4e-0000-4000-8000-000000000001", "ownerName": "host-1", "runnerScaleSet": set(7, "x", &[]),
            "messageQueueUrl": queue, "messageQueueAccessToken": QUEUE_TOKEN, "statistics": counts(),
        })
    }
}

fn sessions() -> String {
    format!("POST {SETS}/7/sessions?")
}

fn said<T: std::fmt::Debug>(result: Result<T, ghascale::scale_set::Error>) -> String {
    result.map_or_else(|error| format!("{error}\n{error:?}"), |_| String::new())
}

/// The entries of a message, in both dispatch modes.
fn entries() -> Value {
    json!([
        { "messageType": "JobAvailable", "runnerRequestId": 512, "jobId": "", "workflowRunId": 1, "ownerName": "acme" },
        { "messageType": "JobAssigned", "jobId": "85cb1f2e-0000-4000-8000-000000000001", "runnerRequestId": 0,
          "workflowRunId": 31, "ownerName": "acme", "repositoryName": "app", "jobDisplayName": "build",
          "requestLabels": ["linux", "x64"], "queueTime": "2026-08-01T10:00:00Z",
          "scaleSetAssignTime": "2026-08-01T10:00:01.5Z", "finishTime": "0001-01-01T00:00:00Z" },
        { "messageType": "JobStarted", "jobId": "a", "runnerId": 41, "runnerName": "acme-linux-001" },
        { "messageType": "JobCompleted", "jobId": "a", "result": "succeeded", "runnerId": 41, "runnerName": "r" },
    ])
}

fn message(body: &Value) -> Value {
    json!({
        "messageId": 100_000_001, "messageType": "RunnerScaleSetJobMessages", "statistics": counts(),
        "body": body.to_string(),
    })
}

/// Polls once for a message; what is read of it is no more than was in it.
fn poll(bench: &Bench, document: &[u8]) {
    let polled = bench.ask("GET /q/message?", document, async |client| {
        let session = Session::open(client, ScaleSetId(7), "host-1").await.unwrap();
        session.poll(0, 1).await
    });
    is_fit_to_be_shown(&said(polled), &SECRETS);
}

#[test]
fn messages_from_without() {
    let bench = Bench::open();
    each(&json_documents(&message(&entries())), |document| poll(&bench, &document));
}

#[test]
fn messages_from_within() {
    let bench = Bench::open();
    let messages = changed(&entries()).prop_map(|entries| message(&entries).to_string().into_bytes());
    each(&damaged(messages), |document| poll(&bench, &document));
}

#[test]
fn sessions_that_are_opened() {
    let bench = Bench::open();
    let good = bench.opened();
    each(&json_documents(&good), |document| {
        // The session's id is in every address: a service that gives its token for it has shown it itself.
        let read = serde_json::from_slice::<Value>(&document).unwrap_or_default();
        if read["sessionId"].as_str().is_some_and(|id| id != good["sessionId"]) {
            return;
        }
        let opened = bench.ask(&sessions(), &document, async |client| {
            let session = Session::open(client, ScaleSetId(7), "host-1").await?;
            is_fit_to_be_shown(&format!("{session:?}"), &SECRETS);
            session.poll(0, 1).await.map(drop)
        });
        is_fit_to_be_shown(&said(opened), &SECRETS);
    });
}

#[test]
fn registrations() {
    let bench = Bench::open();
    let good = json!({
        "url": format!("{}/svc?sig=PLANTED-SERVICE-QUERY", bench.github.url), "token": jwt("admin", 3600),
        "token_schema": "OAuthAccessToken",
    });
    each(&json_documents(&good), |document| {
        let listed = bench.ask_anew(REGISTRATION, &document, async |client| client.list(None).await);
        let said = said(listed);
        is_fit_to_be_shown(&said, &SECRETS);
        let claims = good["token"].as_str().unwrap().split('.').nth(1).unwrap();
        assert!(!said.contains(claims), "{said}");
    });
    let token = json!({ "token": REGISTRATION_TOKEN, "expires_at": "2099-01-01T00:00:00Z" });
    each(&json_documents(&token), |document| {
        let request = "POST /api/v3/orgs/acme/actions/runners/registration-token";
        is_fit_to_be_shown(&said(bench.ask_anew(request, &document, async |client| client.list(None).await)), &SECRETS);
    });
}

#[test]
fn keys_of_runners() {
    let bench = Bench::open();
    let good = json!({
        "runner": { "id": 41, "name": "r", "runnerScaleSetId": 7 }, "encodedJITConfig": KEY,
    });
    each(&json_documents(&good), |document| {
        let request = format!("POST {SETS}/7/generatejitconfig?");
        let made = bench.ask(&request, &document, async |client| client.jit_config(ScaleSetId(7), &"r".into()).await);
        if let Ok(Jit::New { runner_id, .. }) = &made {
            assert_ne!(runner_id.0, 0);
        }
        is_fit_to_be_shown(
            &made.map_or_else(|error| format!("{error}\n{error:?}"), |made| format!("{made:?}")),
            &SECRETS,
        );
    });
}

#[test]
fn lists_of_sets_and_of_runners() {
    let bench = Bench::open();
    let sets = json!({ "count": 2, "value": [set(7, "x", &["linux"]), set(8, "y", &[])] });
    each(&json_documents(&sets), |document| {
        let request = format!("GET {SETS}?");
        is_fit_to_be_shown(&said(bench.ask(&request, &document, async |client| client.list(None).await)), &SECRETS);
    });
    let runners = json!({ "count": 1, "value": [{
        "id": 41, "name": "r", "runnerScaleSetId": 7, "createdOn": "2026-08-01T10:00:00Z", "enabled": true,
    }]});
    each(&json_documents(&runners), |document| {
        let request = format!("GET {AGENTS}?");
        let found = bench.ask(&request, &document, async |client| client.runner_named(&"r".into()).await);
        is_fit_to_be_shown(&said(found), &SECRETS);
    });
}

#[test]
fn refusals() {
    let bench = Bench::open();
    let good = json!({
        "$id": "1", "message": "no", "typeName": "GitHub.DistributedTask.WebApi.XException, GitHub.DistributedTask.WebApi",
        "typeKey": "XException", "errorCode": 0, "innerException": null,
    });
    each(&json_documents(&good), |document| {
        for status in [400, 403, 404, 409] {
            bench.github.forget();
            bench.github.plant(format!("GET {SETS}/7?"), answer(status, &document));
            let found = bench.runtime.block_on(bench.client.scale_set(ScaleSetId(7)));
            is_fit_to_be_shown(&said(found), &SECRETS);
        }
    });
}
