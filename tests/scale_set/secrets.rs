//! Nothing that opens a door is in an error, in what can be printed, or in a log of any level.

use ghascale::scale_set::{Jit, ScaleSetId, Session};
use serde_json::json;

use super::counts;
use super::stand_in::{PAT, QUEUE_TOKEN, REGISTRATION_TOKEN, SETS, StandIn, answer, exception, jwt, ok};
use crate::log::Log;

#[tokio::test]
async fn no_secret_is_in_an_error_in_a_value_or_in_a_log() {
    const KEY: &str = "UExBTlRFRC1KSVQtS0VZ";
    let log = Log::begin();
    let github = StandIn::start().await;
    let admin = jwt("admin", 3600);
    github.register(&format!("{}/svc?sig=PLANTED-SERVICE-QUERY", github.url), &admin);
    let client = github.client();
    let mut shown = vec![format!("{client:?}")];

    let generate = format!("POST {SETS}/7/generatejitconfig?");
    let key = json!({ "runner": { "id": 41 }, "encodedJITConfig": KEY });
    github.plant(&generate, ok(&key));
    // A key whose runner has no id can't be used; and a refusal that repeats what it was sent is not repeated.
    github.plant(&generate, ok(&json!({ "runner": {}, "encodedJITConfig": KEY })));
    github.plant(&generate, answer(400, json!({ "message": format!("bad token {admin}") }).to_string()));
    github.plant(&generate, answer(400, format!("Bearer {admin} is bad")).header("content-type", "text/plain"));
    let jit = client.jit_config(ScaleSetId(7), &"r".into()).await.unwrap();
    assert!(matches!(jit, Jit::New { .. }));
    shown.push(format!("{jit:?}"));
    for _ in 0..3 {
        let error = client.jit_config(ScaleSetId(7), &"r".into()).await.unwrap_err();
        shown.push(format!("{error} {error:?}"));
    }

    let queue = format!("{}/q/message?sig=PLANTED-QUEUE-QUERY", github.url);
    github.plant(
        format!("POST {SETS}/7/sessions?"),
        ok(&json!({
            "sessionId": "5d", "messageQueueUrl": queue, "messageQueueAccessToken": QUEUE_TOKEN, "statistics": counts(),
        })),
    );
    let session = Session::open(client, ScaleSetId(7), "h").await.unwrap();
    shown.push(format!("{session:?}"));
    github.plant("GET /q/", answer(500, format!("at {queue} with {QUEUE_TOKEN}")));
    github.plant("GET /q/", answer(200, format!("{{\"messageQueueAccessToken\":\"{QUEUE_TOKEN}\"}}")));
    github.plant("GET /q/", answer(302, "").header("location", &queue));
    github.plant("GET /q/", ok(&json!({ "messageId": 1, "body": QUEUE_TOKEN })).truncated());
    github.plant("GET /q/", exception(400, "RunnerScaleSetSessionExpiredException"));
    for _ in 0..5 {
        shown.push(format!("{:?}", session.poll(0, 1).await));
    }

    shown.push(log.end());
    let shown = shown.join("\n");
    assert!(shown.contains("actions service") && shown.contains("/q/message"), "nothing was logged");
    let claims = admin.split('.').nth(1).unwrap();
    let secrets = [KEY, PAT, REGISTRATION_TOKEN, QUEUE_TOKEN, claims, "PLANTED-SERVICE-QUERY", "PLANTED-QUEUE-QUERY"];
    for secret in secrets {
        let at = shown.find(secret).map(|at| &shown[at.saturating_sub(300)..at]);
        assert!(at.is_none(), "{secret} is shown: {at:?}");
    }
}
