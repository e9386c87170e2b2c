//! The control endpoint.

use super::*;

async fn tell(sandbox: &Sandbox, what: &str, body: Value) -> Answer {
    send(request(sandbox, Method::POST, &format!("/_sandbox/{what}")).body(body.to_string())).await
}

async fn ask(sandbox: &Sandbox, what: &str) -> Value {
    send(request(sandbox, Method::GET, &format!("/_sandbox/{what}"))).await.json()
}

#[tokio::test]
async fn jobs_are_added_time_is_advanced_and_the_state_shows_it() {
    let sandbox = empty().await;
    let added = tell(&sandbox, "job", json!({ "labels": LINUX, "count": 2, "duration_seconds": 5 })).await.json();
    assert_eq!(added["job_ids"].as_array().unwrap().len(), 2);
    launch(&sandbox, "fleet-linux-000", &LINUX).await;
    assert_eq!(tell(&sandbox, "advance", json!({ "seconds": 3 })).await.status, 200);
    let state = ask(&sandbox, "state").await;
    let statuses: Vec<_> =
        state["jobs"].as_array().unwrap().iter().map(|job| job["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["in_progress", "queued"]);
    assert_eq!((&state["runners"][0]["busy"], &state["instances"][0]["state"]), (&json!(true), &json!("running")));
}

#[tokio::test]
async fn faults_are_injected() {
    let sandbox = empty().await;
    let fault = json!({ "service": "github", "match": "/orgs", "status": 500, "body": { "message": null }, "headers": { "x-a": "b" } });
    assert_eq!(tell(&sandbox, "fault", fault).await.status, 200);
    let answer = get(&sandbox, "/orgs/acme").await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str(), answer.header("x-a")), (500, r#"{"message":null}"#, "b"));
}

#[tokio::test]
async fn calls_are_read_back() {
    let sandbox = empty().await;
    get(&sandbox, "/orgs/acme").await;
    let calls = ask(&sandbox, "calls").await;
    assert_eq!(calls[0]["service"], "github");
    assert_eq!((&calls[0]["method"], &calls[0]["target"]), (&json!("GET"), &json!("/orgs/acme")));
}

#[tokio::test]
async fn knobs_are_turned() {
    let sandbox = empty().await;
    let capacity = json!([{ "market": "on-demand", "instance_type": "m7a.large", "subnet": "subnet-a", "left": 0 }]);
    let knobs = json!({ "boot_seconds": 100.5, "boot_fails": 1, "capacity": capacity, "rate_limit_remaining": 0 });
    assert_eq!(tell(&sandbox, "settings", knobs).await.status, 200);
    ec2::run_instance(&sandbox, "t").send().await.unwrap_err();
    assert_eq!(sandbox.world().settings.boot, Duration::from_millis(100_500));
    assert_eq!(get(&sandbox, "/orgs/acme").await.status, 403);
}

#[tokio::test]
async fn a_reset_begins_again() {
    let sandbox = empty().await;
    tell(&sandbox, "job", json!({ "labels": ["x"] })).await;
    get(&sandbox, "/orgs/acme").await;
    tell(&sandbox, "reset", json!({})).await;
    assert_eq!(ask(&sandbox, "state").await["jobs"], json!([]));
    assert_eq!(ask(&sandbox, "calls").await, json!([]));
}

#[tokio::test]
async fn what_is_not_understood_is_refused() {
    let sandbox = empty().await;
    for (what, body) in [
        ("advance", json!({})),
        ("advance", json!({ "seconds": -1 })),
        ("advance", json!({ "seconds": 1e300 })),
        ("fault", json!({ "service": "azure" })),
        ("fault", json!({ "service": "ec2", "statu": 500 })),
        ("job", json!({ "labels": "x" })),
    ] {
        assert_eq!(tell(&sandbox, what, body.clone()).await.status, 422, "{what} {body}");
    }
    assert_eq!(tell(&sandbox, "nothing", json!({})).await.status, 404);
}
