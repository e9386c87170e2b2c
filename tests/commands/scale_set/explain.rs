//! `explain` of jobs whose pool has a scale set.

use std::time::Duration;

use ghascale::sandbox::{Fault, Service};
use serde_json::{Value, json};

use super::{Desk, X64, desk, listened};

async fn explained(desk: &Desk) -> (i32, Value) {
    let job = desk.run("status --source rest -o json").await.json()["jobs"][0]["job_id"].clone();
    let ran = desk.run(&format!("explain {job} -o json")).await;
    (ran.code, ran.json())
}

fn step<'a>(report: &'a Value, name: &str) -> &'a Value {
    report["steps"].as_array().unwrap().iter().find(|step| step["step"] == name).unwrap_or_else(|| panic!("{report:#}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_the_set_was_given_needs_a_launch() {
    let desk = listened(9).await;
    desk.jobs(1, X64);
    let (code, report) = explained(&desk).await;
    assert_eq!((code, &report["failed_step"]), (0, &json!("launch")), "{report:#}");
    assert_eq!(step(&report, "scale_set")["result"], "ok");
    assert!(step(&report, "scale_set")["evidence"].as_str().unwrap().contains('1'), "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_the_set_was_not_given_fails_there() {
    let desk = listened(1).await;
    desk.jobs(2, X64);
    let (_, all) = explained(&desk).await;
    let ids: Vec<Value> = desk.run("status --source rest -o json").await.json()["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| job["job_id"].clone())
        .collect();
    assert_eq!(all["failed_step"], "launch", "the first is the set's: {all:#}");
    let ran = desk.run(&format!("explain {} -o json", ids[1])).await;
    let report = ran.json();
    assert_eq!((ran.code, &report["failed_step"]), (0, &json!("scale_set")), "{report:#}");
    assert!(step(&report, "scale_set")["cure"].is_string(), "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_without_the_labels_fails_there_and_names_them() {
    let desk = desk().await;
    desk.sandbox.world().scale_set("linux-x64").labels(["self-hosted", "linux"]).listened(9);
    // Another job keeps the set from being silent, which would make REST stand in.
    desk.sandbox.world().repository("api").run().aged(Duration::from_mins(2)).job(["linux"]);
    desk.jobs(1, X64);
    let jobs = desk.run("status --source rest -o json").await.json();
    let job = jobs["jobs"].as_array().unwrap().iter().find(|job| job["labels"].as_array().unwrap().len() == 3).unwrap();
    let ran = desk.run(&format!("explain {} -o json", job["job_id"])).await;
    let report = ran.json();
    assert_eq!((ran.code, &report["failed_step"]), (0, &json!("scale_set")), "{report:#}");
    assert!(step(&report, "scale_set")["evidence"].as_str().unwrap().contains("`x64`"), "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_down_is_no_failed_step_where_rest_stands_in() {
    let desk = listened(9).await;
    desk.jobs(1, X64);
    desk.sandbox.fault(Fault::actions("").status(503).times(999));
    let (code, report) = explained(&desk).await;
    assert_eq!((code, &report["failed_step"]), (0, &json!("launch")), "{report:#}");
    assert!(report["warnings"].as_array().unwrap().iter().any(|one| one["code"] == "source_fallback"), "{report:#}");
    assert!(desk.calls(Service::Actions, "sessions").is_empty());
}
