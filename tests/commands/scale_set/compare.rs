//! `compare`: the whole way, from both books to a verdict. Its reasoning has its own tests (tests/comparison.rs).

use std::time::Duration;

use ghascale::sandbox::{Fault, Service};
use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{Desk, X64, desk, listened, redacted};

const ONLY: &str = "compare --pool linux-x64 -o json";

fn causes(report: &Value) -> Vec<(&str, Option<u64>)> {
    let causes = report["pools"][0]["causes"].as_array().unwrap().iter();
    causes.map(|cause| (cause["code"].as_str().unwrap(), cause["count"].as_u64())).collect()
}

fn old(desk: &Desk, count: u32, repository: &str, labels: &[&str]) {
    for _ in 0..count {
        let mut world = desk.sandbox.world();
        world.repository(repository).run().aged(Duration::from_mins(10)).job(labels.to_vec());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn agrees_beside_a_live_listener_and_opens_no_session() {
    let desk = listened(10).await;
    desk.sandbox.world().scale_set("linux-x64").with_runners(1);
    desk.jobs(3, X64);
    let ran = desk.run(&format!("{ONLY} --exit-code")).await;
    assert_eq!(ran.code, 0, "{ran:#?}");
    let report = ran.json();
    let pool = &report["pools"][0];
    assert_eq!((&pool["verdict"], &pool["difference"]), (&json!("agree"), &json!(0)));
    assert_eq!(pool["rest"], json!({ "queued": 2, "in_progress": 1, "count_kind": "exact" }));
    assert_eq!((&pool["scale_set"]["assigned"], &pool["scale_set"]["running"]), (&json!(3), &json!(1)));
    assert!(desk.calls(Service::Actions, "sessions").is_empty());
    assert!(desk.calls(Service::Actions, "message").is_empty());
    assert_eq!(desk.sandbox.world().session_owner("linux-x64").as_deref(), Some("arc-listener"));
}

#[tokio::test(flavor = "multi_thread")]
async fn shows_both_books_and_every_cause() {
    let desk = listened(4).await;
    old(&desk, 2, "api", &X64);
    old(&desk, 1, "api", &["self-hosted", "linux", "arm64"]);
    let ran = desk.run("compare").await;
    assert_eq!(ran.code, 3, "two pools have no scale set: {ran:#?}");
    assert_snapshot!(redacted(&ran.all()));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_listens() {
    let desk = desk().await;
    desk.sandbox.world().scale_set("linux-x64").labels(X64);
    old(&desk, 2, "api", &X64);
    let ran = desk.run(ONLY).await;
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_eq!(causes(&ran.json()), [("no_listener", Some(2))]);
    assert_eq!(desk.run(&format!("{ONLY} --exit-code")).await.code, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_is_closed_to_the_repository_is_the_cause() {
    let desk = desk().await;
    desk.reconfigure(super::SET, &format!("{}runner_group = \"build\"\n", super::SET));
    {
        let mut world = desk.sandbox.world();
        world.repository("web");
        world.group("build").for_selected(["web"]);
        world.scale_set("linux-x64").labels(X64).group("build").listened(9);
    }
    old(&desk, 3, "api", &X64);
    old(&desk, 1, "web", &X64);
    let ran = desk.run(ONLY).await;
    assert_eq!(causes(&ran.json()), [("group_not_visible", Some(3))], "{ran:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_that_a_ghes_trimmed_are_the_cause() {
    let desk = desk().await;
    desk.sandbox.world().settings.scale_sets.first_label_only = true;
    assert_eq!(desk.run("scale-set create linux-x64").await.code, 0);
    old(&desk, 2, "api", &X64);
    let report = desk.run(ONLY).await.json();
    assert_eq!(causes(&report), [("label_mismatch", Some(2))]);
    assert!(report["pools"][0]["causes"][0]["message"].as_str().unwrap().contains("`x64`"));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_set_with_the_labels_is_the_cause() {
    let desk = desk().await;
    {
        let mut world = desk.sandbox.world();
        world.scale_set("linux-x64").labels(X64);
        world.scale_set("arc").labels(X64).listened(9);
    }
    old(&desk, 2, "api", &X64);
    let report = desk.run(ONLY).await.json();
    assert_eq!(causes(&report), [("other_scale_set", Some(2))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_that_is_stuck_is_the_cause() {
    let desk = listened(9).await;
    desk.sandbox.world().scale_set("linux-x64").statistics_too_high(15);
    let report = desk.run(ONLY).await.json();
    assert_eq!(causes(&report), [("stale_statistics", Some(15))]);
    assert_eq!(report["pools"][0]["difference"], -15);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_can_not_be_read_is_a_cause_that_nobody_can_count() {
    let desk = listened(9).await;
    old(&desk, 2, "api", &X64);
    desk.sandbox.fault(Fault::github("/actions/runs").status(500).times(99));
    let ran = desk.run(ONLY).await;
    assert_eq!(ran.code, 3, "{ran:#?}");
    let report = ran.json();
    // Nothing of REST's could be read at all: one side is missing, and is no zero.
    assert_eq!((&report["pools"][0]["rest"], &report["pools"][0]["verdict"]), (&json!(null), &json!("unknown")));
    assert_eq!(report["pools"][0]["scale_set"]["assigned"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_lost_leaves_the_other_repositories_counted() {
    let desk = listened(9).await;
    old(&desk, 2, "api", &X64);
    old(&desk, 1, "web", &X64);
    desk.sandbox.fault(Fault::github("/repos/acme/api/actions/runs").status(500).times(99));
    let ran = desk.run(ONLY).await;
    assert_eq!(ran.code, 3, "{ran:#?}");
    assert_eq!(causes(&ran.json()), [("page_lost", None)]);
    assert_eq!(ran.json()["pools"][0]["rest"]["count_kind"], "at_least");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_is_not_there_is_unknown_and_no_zero() {
    let desk = desk().await;
    old(&desk, 2, "api", &X64);
    let ran = desk.run(ONLY).await;
    assert_eq!(ran.code, 3, "{ran:#?}");
    let report = ran.json();
    assert_eq!((&report["pools"][0]["scale_set"], &report["pools"][0]["verdict"]), (&json!(null), &json!("unknown")));
    assert_eq!((&report["pools"][0]["difference"], &report["pools"][0]["rest"]["queued"]), (&json!(null), &json!(2)));
    assert!(ran.stderr.contains("there is no scale set `linux-x64` in runner group `Default`"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_is_down_and_rests_side_is_shown_all_the_same() {
    let desk = listened(9).await;
    old(&desk, 2, "api", &X64);
    desk.sandbox.fault(Fault::actions("").status(503).times(999));
    let ran = desk.run(ONLY).await;
    assert_eq!((ran.code, &ran.json()["pools"][0]["rest"]["queued"]), (3, &json!(2)), "{ran:#?}");
    assert_eq!(ran.json()["pools"][0]["scale_set"], json!(null));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_file_every_set_of_the_scope_is_compared_in_one_line() {
    let mut desk = listened(9).await;
    {
        let mut world = desk.sandbox.world();
        world.scale_set("arc-runners").listened(9).with_runners(1);
    }
    old(&desk, 2, "api", &X64);
    old(&desk, 2, "api", &["arc-runners"]);
    desk.without("GHASCALE_CONFIG");
    std::fs::remove_file(desk.file("ghascale.toml")).unwrap();
    let url = desk.sandbox.url();
    let ran = desk.run(&format!("--url {url} compare --exit-code")).await;
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_snapshot!(redacted(&ran.stdout));
    let one = desk.run(&format!("--url {url} compare --pool arc-runners -o json")).await.json();
    assert_eq!((one["pools"].as_array().unwrap().len(), &one["pools"][0]["rest"]["in_progress"]), (1, &json!(1)));
    assert_eq!(desk.run(&format!("--url {url} compare --pool none")).await.code, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_file_a_service_that_is_down_is_an_error() {
    let mut desk = listened(9).await;
    desk.without("GHASCALE_CONFIG");
    std::fs::remove_file(desk.file("ghascale.toml")).unwrap();
    desk.sandbox.fault(Fault::actions("").status(503).times(999));
    let ran = desk.run(&format!("--url {} compare", desk.sandbox.url())).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rest_holds_the_numbers_of_status() {
    let desk = super::super::status::busy_day().await;
    desk.reconfigure("name = \"linux-x64\"\n", &format!("name = \"linux-x64\"\n{}", super::SET));
    desk.sandbox.world().scale_set("linux-x64").labels(X64).listened(1);
    let compared = desk.run("compare -o json").await.json();
    let status = desk.run("status --source rest -o json").await.json();
    for (compared, status) in compared["pools"].as_array().unwrap().iter().zip(status["pools"].as_array().unwrap()) {
        for field in ["queued", "in_progress", "count_kind"] {
            assert_eq!(compared["rest"][field], status[field], "{field} of {}", status["name"]);
        }
    }
}
