//! What is known to go wrong, switched on.

use ghascale::engine::Statistics;

use super::listener::{Listener, read};
use super::*;

/// Turns switches over the control endpoint.
async fn switch(sandbox: &Sandbox, switches: Value) {
    let body = json!({ "scale_sets": switches }).to_string();
    let answer = send(request(sandbox, Method::POST, "/_sandbox/settings").body(body)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

async fn tell(sandbox: &Sandbox, what: &str, body: Value) -> Answer {
    send(request(sandbox, Method::POST, &format!("/_sandbox/{what}")).body(body.to_string())).await
}

#[tokio::test]
async fn a_byte_order_mark_stands_before_every_body() {
    let sandbox = hasty().await;
    let service = Service::open(&sandbox).await;
    switch(&sandbox, json!({ "byte_order_mark": true })).await;
    for path in [SETS, "runtime/runnergroups/", &format!("{SETS}/77")] {
        let text = service.get(path).await.text;
        assert!(text.starts_with("\u{feff}{"), "{path}: {text}");
    }
}

#[tokio::test]
async fn nulls_stand_for_what_is_zero_or_not_essential() {
    let sandbox = hasty().await;
    let service = Service::open(&sandbox).await;
    let set = service.create("linux", &["linux"]).await;
    let mut listener = Listener::open(&service, set, 1).await;
    listener.next().await;
    sandbox.world().repository("api").run().job(["linux"]);
    switch(&sandbox, json!({ "nulls": true })).await;
    let shown = service.get(&format!("{SETS}/{set}")).await.json();
    assert_eq!(
        (&shown["id"], &shown["runnerGroupName"], &shown["createdOn"]),
        (&json!(set), &Value::Null, &Value::Null)
    );
    assert_eq!(shown["labels"][0], json!({ "id": 1, "name": "linux", "type": null }));
    let message = listener.next().await.unwrap();
    let entry = &message.entries[0];
    assert_eq!((message.kinds(), &entry["runnerRequestId"]), (vec!["JobAssigned"], &Value::Null));
    assert_eq!((&entry["finishTime"], &message.statistics["totalIdleRunners"]), (&Value::Null, &Value::Null));
    assert_eq!(message.statistics["totalAssignedJobs"], 1);
}

#[tokio::test]
async fn a_session_may_come_without_its_queue_or_its_statistics() {
    let sandbox = hasty().await;
    let service = Service::open(&sandbox).await;
    let set = service.create("linux", &["linux"]).await;
    switch(&sandbox, json!({ "empty_queue_urls": 1 })).await;
    let first = Listener::open(&service, set, 1).await;
    assert_eq!(first.session["messageQueueUrl"], "");
    assert_eq!(service.delete(&first.path()).await.status, 204);
    switch(&sandbox, json!({ "sessions_without_statistics": 1 })).await;
    let second = Listener::open(&service, set, 1).await;
    assert_eq!(second.session["statistics"], Value::Null);
    assert_eq!(service.delete(&second.path()).await.status, 204);
    let third = Listener::open(&service, set, 1).await;
    assert!(third.session["statistics"].is_object() && third.session["messageQueueUrl"] != "");
}

#[tokio::test]
async fn a_poll_may_be_answered_with_nothing_be_forbidden_or_be_cut_off() {
    let sandbox = hasty().await;
    let service = Service::open(&sandbox).await;
    let set = service.create("linux", &["linux"]).await;
    let listener = Listener::open(&service, set, 5).await;
    listener.poll().await;
    sandbox.world().repository("api").run().job(["linux"]);
    switch(&sandbox, json!({ "empty_polls": 1 })).await;
    let empty = listener.poll().await;
    assert_eq!((empty.status.as_u16(), empty.text.as_str()), (200, ""));
    switch(&sandbox, json!({ "forbidden_polls": 1 })).await;
    let forbidden = listener.poll().await;
    assert_eq!((forbidden.status.as_u16(), &forbidden.json()["statusCode"]), (403, &json!(403)));
    switch(&sandbox, json!({ "cut_polls": 1 })).await;
    listener.polling().send().await.unwrap_err();
    assert_eq!(sandbox.calls().last().unwrap().status, None);
    assert_eq!(read(&listener.poll().await).kinds(), ["JobAssigned"], "it comes again");
    assert_eq!(sandbox.calls().last().unwrap().parameters["X-ScaleSetMaxCapacity"], "5");
}

#[tokio::test]
async fn a_session_may_expire_or_be_forgotten() {
    let sandbox = hasty().await;
    let service = Service::open(&sandbox).await;
    let set = service.create("linux", &["linux"]).await;
    let first = Listener::open(&service, set, 1).await;
    switch(&sandbox, json!({ "expired_sessions": 1 })).await;
    assert_eq!(refused(&first.poll().await), (400, "RunnerScaleSetSessionExpiredException".to_owned()));
    let second = Listener::open(&service, set, 1).await;
    switch(&sandbox, json!({ "forgotten_sessions": 1 })).await;
    let refreshed = service.call(Method::PATCH, &second.path(), None).await;
    assert_eq!(refused(&refreshed), not_found("RunnerAdminException"));
    assert!(refreshed.json()["message"].as_str().unwrap().contains("redis"));
    Listener::open(&service, set, 1).await;
}

#[tokio::test]
async fn a_set_may_be_said_not_to_be_there() {
    let sandbox = hasty().await;
    let service = Service::open(&sandbox).await;
    let set = service.create("linux", &["linux"]).await;
    switch(&sandbox, json!({ "sets_not_found": 2 })).await;
    for _ in 0..2 {
        let answer = service.get(&format!("{SETS}/{set}")).await;
        assert_eq!(refused(&answer), not_found("RunnerScaleSetNotFoundException"));
    }
    assert_eq!(service.get(&format!("{SETS}/{set}")).await.status, 200);
}

#[tokio::test]
async fn a_set_that_vanished_comes_back_under_its_name_with_another_id() {
    let sandbox = hasty().await;
    let service = Service::open(&sandbox).await;
    let set = service.create("linux", &["linux"]).await;
    let listener = Listener::open(&service, set, 1).await;
    let recreated = tell(&sandbox, "scale-set", json!({ "name": "linux", "recreated": true })).await.json();
    assert_ne!(recreated["id"], set);
    assert_eq!(refused(&listener.poll().await), not_found("RunnerScaleSetNotFoundException"));
    let found = service.get(&format!("{SETS}?runnerGroupId=1&name=linux")).await.json();
    assert_eq!(found["value"][0]["id"], recreated["id"]);
    assert_eq!(found["value"][0]["labels"][0]["name"], "linux");
    tell(&sandbox, "scale-set", json!({ "name": "linux", "vanished": true })).await;
    assert_eq!(service.get(SETS).await.json()["count"], 0);
}

#[tokio::test]
async fn of_the_labels_only_the_first_may_be_kept() {
    let sandbox = hasty().await;
    let service = Service::open(&sandbox).await;
    switch(&sandbox, json!({ "first_label_only": true })).await;
    let set = service.create("linux", &["self-hosted", "linux", "x64"]).await;
    let kept = |answer: &Answer| answer.json()["labels"].as_array().unwrap().len();
    assert_eq!(kept(&service.get(&format!("{SETS}/{set}")).await), 1);
    let change = json!({ "labels": [{ "name": "a" }, { "name": "b" }] });
    assert_eq!(kept(&service.call(Method::PATCH, &format!("{SETS}/{set}"), Some(&change)).await), 1);
}

#[tokio::test]
async fn statistics_stick_high_or_at_zero_or_tell_the_truth_again() {
    let sandbox = hasty().await;
    let service = Service::open(&sandbox).await;
    let set = service.create("linux", &["linux"]).await;
    sandbox.world().scale_set("linux").listened(5);
    sandbox.world().repository("api").run().job(["linux"]);
    let assigned = async || {
        let shown = service.get(&format!("{SETS}/{set}")).await.json();
        shown["statistics"]["totalAssignedJobs"].as_u64().unwrap()
    };
    assert_eq!(assigned().await, 1);
    tell(&sandbox, "scale-set", json!({ "name": "linux", "statistics": { "too_high": 15 } })).await;
    assert_eq!(assigned().await, 16);
    tell(&sandbox, "scale-set", json!({ "name": "linux", "statistics": "stuck_at_zero" })).await;
    assert_eq!(assigned().await, 0);
    let stuck = Statistics { assigned: 7, ..Statistics::default() };
    sandbox.world().scale_set("linux").statistics_stuck_at(stuck);
    assert_eq!(assigned().await, 7);
    tell(&sandbox, "scale-set", json!({ "name": "linux", "statistics": "true" })).await;
    assert_eq!(assigned().await, 1);
    let state = send(request(&sandbox, Method::GET, "/_sandbox/state")).await.json();
    assert_eq!(state["scale_sets"][0]["session"], "arc-listener");
    assert_eq!(state["scale_sets"][0]["statistics"]["assigned"], 1);
}

#[tokio::test]
async fn switches_that_are_not_understood_are_refused() {
    let sandbox = hasty().await;
    for switches in [json!({ "bom": true }), json!({ "poll_hold_seconds": -1 }), json!({ "dispatch": "both" })] {
        let answer = tell(&sandbox, "settings", json!({ "scale_sets": switches })).await;
        assert_eq!(answer.status, 422, "{switches}");
    }
    assert_eq!(tell(&sandbox, "scale-set", json!({ "nam": "a" })).await.status, 422);
}
