//! Injected faults: what a client must survive.

use ghascale::sandbox::{Fault, Moment};

use super::*;

async fn raw(sandbox: &Sandbox, path: &str) -> reqwest::Result<reqwest::Response> {
    request(sandbox, Method::GET, &format!("/api/v3{path}")).bearer_auth(sandbox.token()).send().await
}

#[tokio::test]
async fn a_status_is_answered_as_often_as_asked_and_then_no_more() {
    let sandbox = empty().await;
    sandbox.fault(Fault::github("/orgs/acme").status(502).body("<html>bad gateway</html>").times(2));
    for _ in 0..2 {
        let answer = get(&sandbox, "/orgs/acme").await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (502, "<html>bad gateway</html>"));
    }
    assert_eq!(get(&sandbox, "/orgs/acme").await.status, 200);
}

#[tokio::test]
async fn a_fault_meets_only_what_it_matches_and_lets_the_first_pass_where_told() {
    let sandbox = empty().await;
    sandbox.fault(Fault::github("GET /repos/acme/api/actions/runs?").status(500).skip(1));
    let runs = "/repos/acme/api/actions/runs?per_page=100";
    assert_eq!(get(&sandbox, "/orgs/acme").await.status, 200);
    assert_eq!(get(&sandbox, runs).await.status, 200);
    assert_eq!(get(&sandbox, runs).await.status, 500);
    assert_eq!(get(&sandbox, runs).await.status, 200);
}

#[tokio::test]
async fn an_error_without_a_body_has_githubs_form() {
    let sandbox = empty().await;
    sandbox.fault(Fault::github("").status(403).message("API rate limit exceeded").header("retry-after", "7"));
    let answer = get(&sandbox, "/orgs/acme").await;
    assert_eq!(answer.json()["message"], "API rate limit exceeded");
    assert_eq!((answer.json()["status"].as_str(), answer.header("retry-after")), (Some("403"), "7"));
}

#[tokio::test]
async fn a_connection_cut_before_leaves_no_effect_and_after_leaves_it() {
    let sandbox = empty().await;
    let path = "/orgs/acme/actions/runners/generate-jitconfig";
    let register = async |name: &str| {
        let body = json!({ "name": name, "runner_group_id": 1, "labels": ["x"] }).to_string();
        let request = request(&sandbox, Method::POST, &format!("/api/v3{path}")).bearer_auth(sandbox.token());
        request.body(body).send().await
    };
    sandbox.fault(Fault::github(path).dropped_before());
    register("before").await.unwrap_err();
    sandbox.fault(Fault::github(path).dropped_after());
    register("after").await.unwrap_err();
    assert_eq!(sandbox.world().runner_names(), ["after"]);
}

#[tokio::test]
async fn a_launch_whose_answer_is_lost_is_found_by_its_token() {
    let sandbox = empty().await;
    sandbox.fault(Fault::ec2("RunInstances").dropped_after());
    ec2::run_instance(&sandbox, "t").send().await.unwrap_err();
    let again = ec2::run_instance(&sandbox, "t").send().await.unwrap();
    let id = again.instances()[0].instance_id().unwrap().to_owned();
    assert_eq!(sandbox.world().instance_states().into_iter().map(|(id, _)| id).collect::<Vec<_>>(), [id]);
}

#[tokio::test]
async fn a_body_is_cut_short() {
    let sandbox = empty().await;
    sandbox.fault(Fault::github("/orgs/acme").truncated(10));
    let answer = get(&sandbox, "/orgs/acme").await;
    assert_eq!((answer.status.as_u16(), answer.text.len()), (200, 10));
}

#[tokio::test]
async fn a_redirect_is_answered() {
    let sandbox = empty().await;
    sandbox.fault(Fault::github("/orgs/acme").redirected("http://127.0.0.1:1/elsewhere"));
    let answer = raw(&sandbox, "/orgs/acme").await.unwrap();
    assert_eq!(answer.status(), 301);
    assert_eq!(answer.headers()["location"], "http://127.0.0.1:1/elsewhere");
}

#[tokio::test]
async fn headers_can_be_added_to_a_true_answer() {
    let sandbox = empty().await;
    sandbox.fault(Fault::github("/orgs/acme").header("x-ratelimit-remaining", "3"));
    let answer = get(&sandbox, "/orgs/acme").await;
    assert_eq!((answer.status.as_u16(), answer.header("x-ratelimit-remaining")), (200, "3"));
}

#[tokio::test]
async fn calls_are_noted_without_secrets() {
    let sandbox = empty().await;
    let (_, jit_config) = register(&sandbox, "a", &LINUX).await;
    ec2::run_instance(&sandbox, "t").user_data(ec2::user_data(&jit_config)).send().await.unwrap();
    sandbox.fault(Fault::github("/orgs").dropped_after());
    raw(&sandbox, "/orgs/acme").await.unwrap_err();
    let calls = sandbox.calls();
    let targets: Vec<_> = calls.iter().map(|call| (call.target.as_str(), call.status)).collect();
    let register = "/orgs/acme/actions/runners/generate-jitconfig";
    assert_eq!(targets, [(register, Some(201)), ("RunInstances", Some(200)), ("/orgs/acme", None)]);
    assert_eq!(calls[1].parameters["ClientToken"], "t");
    let text = format!("{calls:?}");
    assert!(!text.contains(&jit_config) && !text.contains("UserData") && !text.contains(sandbox.token()), "{text}");
}

#[tokio::test]
async fn a_request_is_held_before_or_after_what_it_does_until_it_is_let_go() {
    let sandbox = empty().await;
    for (moment, names) in [(Moment::Before, vec![]), (Moment::After, vec!["runner-After"])] {
        let mut hold = sandbox.hold(1, moment);
        assert_eq!(get(&sandbox, "/orgs/acme").await.status, 200, "one passes");
        let name = format!("runner-{moment:?}");
        let mut registered = std::pin::pin!(register(&sandbox, &name, &LINUX));
        let call = tokio::select! {
            call = hold.reached() => call.unwrap(),
            _ = &mut registered => panic!("it was not held"),
        };
        assert!(call.target.contains("generate-jitconfig"), "{call:?}");
        assert_eq!(sandbox.world().runner_names(), names);
        drop(hold);
        let (id, _) = registered.await;
        assert_eq!(delete(&sandbox, &format!("/orgs/acme/actions/runners/{id}")).await.status, 204);
    }
}

#[tokio::test]
async fn a_request_whose_sender_is_gone_while_it_is_held_is_never_done() {
    let sandbox = empty().await;
    let mut hold = sandbox.hold(0, Moment::Before);
    tokio::select! {
        call = hold.reached() => drop(call.unwrap()),
        _ = register(&sandbox, "runner", &LINUX) => panic!("it was not held"),
    }
    hold.given_up().await;
    drop(hold);
    assert!(sandbox.world().runner_names().is_empty());
}
