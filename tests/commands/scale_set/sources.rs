//! `--source`: which book is used, what is said of it, and what is launched by it.

use std::time::Duration;

use ghascale::engine::{InstanceState, Statistics};
use ghascale::sandbox::{Fault, JobStatus, Service};
use serde_json::{Value, json};

use super::{Desk, X64, desk, listened};

fn pool<'a>(report: &'a Value, name: &str) -> &'a Value {
    report["pools"].as_array().unwrap().iter().find(|pool| pool["name"] == name).unwrap()
}

fn codes(report: &Value) -> Vec<&str> {
    report["warnings"].as_array().unwrap().iter().map(|warning| warning["code"].as_str().unwrap()).collect()
}

async fn status(desk: &Desk, flags: &str) -> (i32, Value) {
    let ran = desk.run(&format!("status --pool linux-x64 -o json {flags}")).await;
    (ran.code, ran.json())
}

fn down(desk: &Desk) {
    desk.sandbox.fault(Fault::actions("").status(503).times(999));
}

#[tokio::test(flavor = "multi_thread")]
async fn auto_uses_a_scale_set_that_answers() {
    let desk = listened(9).await;
    desk.jobs(3, X64);
    let (code, report) = status(&desk, "").await;
    let pool = pool(&report, "linux-x64");
    assert_eq!((code, &pool["source"], &pool["queued"]), (0, &json!("scale-set"), &json!(3)), "{report:#}");
    assert_eq!((&pool["in_progress"], &pool["count_kind"]), (&json!(0), &json!("exact")));
    assert_eq!(codes(&report), [""; 0]);
    assert!(desk.calls(Service::Actions, "sessions").is_empty(), "no session is opened");
    let (_, rest) = status(&desk, "--source rest").await;
    assert_eq!(rest["pools"][0]["source"], "rest");
}

#[tokio::test(flavor = "multi_thread")]
async fn auto_falls_back_to_rest_and_says_why() {
    let desk = listened(9).await;
    desk.jobs(3, X64);
    down(&desk);
    let (code, report) = status(&desk, "").await;
    assert_eq!((code, &report["pools"][0]["source"], &report["pools"][0]["queued"]), (0, &json!("rest"), &json!(3)));
    assert_eq!(codes(&report), ["source_fallback"]);
    assert!(report["warnings"][0]["message"].as_str().unwrap().contains("503"), "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_does_not_exist_is_a_reason_to_fall_back_too() {
    let desk = desk().await;
    desk.jobs(2, X64);
    let (code, report) = status(&desk, "").await;
    assert_eq!((code, &report["pools"][0]["source"], codes(&report)), (0, &json!("rest"), vec!["source_fallback"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_group_that_does_not_exist_is_named() {
    let desk = listened(9).await;
    desk.jobs(2, X64);
    desk.reconfigure(super::SET, &format!("{}runner_group = \"none\"\n", super::SET));
    let (code, report) = status(&desk, "").await;
    assert_eq!((code, &report["pools"][0]["source"], &report["pools"][0]["queued"]), (0, &json!("rest"), &json!(2)));
    assert!(report["warnings"][0]["message"].as_str().unwrap().starts_with("there is no runner group `none`"));
    assert_eq!(status(&desk, "--source scale-set").await.0, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_was_made_anew_is_found_again_by_its_name() {
    let desk = listened(9).await;
    desk.jobs(2, X64);
    assert_eq!(status(&desk, "").await.1["pools"][0]["queued"], 2);
    desk.sandbox.world().scale_set("linux-x64").recreate().listened(9);
    let (code, report) = status(&desk, "--source scale-set").await;
    assert_eq!((code, &report["pools"][0]["source"]), (0, &json!("scale-set")), "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scale_set_alone_and_the_service_down_is_unknown_and_no_zero() {
    let desk = listened(9).await;
    desk.jobs(3, X64);
    down(&desk);
    let (code, report) = status(&desk, "--source scale-set").await;
    let pool = &report["pools"][0];
    assert_eq!((code, &pool["queued"], &pool["in_progress"]), (3, &json!(null), &json!(null)), "{report:#}");
    assert_eq!((&pool["count_kind"], &pool["source"]), (&json!(null), &json!("scale-set")));
    assert!(desk.run("status --pool linux-x64 --source scale-set").await.stdout.contains('?'));
    let plan = desk.run("plan --pool linux-x64 --source scale-set -o json").await;
    assert_eq!((plan.code, &plan.json()["pools"][0]["demand"]), (3, &json!(null)));
    let ran = desk.run("apply --yes --pool linux-x64 --source scale-set -o json").await;
    assert_eq!((ran.code, &ran.json()["actions"]), (3, &json!([])), "{ran:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_asks_for_the_scale_set_alone_is_obeyed_and_a_flag_beats_it() {
    let desk = listened(9).await;
    desk.reconfigure(super::SET, &format!("{}source = \"scale-set\"\n", super::SET));
    desk.jobs(1, X64);
    down(&desk);
    assert_eq!(status(&desk, "").await.0, 3);
    let (code, report) = status(&desk, "--source rest").await;
    assert_eq!((code, &report["pools"][0]["queued"]), (0, &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zero_beside_jobs_that_wait_is_not_believed() {
    // Nobody listens: GitHub gives the set nothing, and the jobs would wait for ever.
    let desk = desk().await;
    desk.sandbox.world().scale_set("linux-x64").labels(X64);
    desk.jobs(2, X64);
    let (code, report) = status(&desk, "").await;
    assert_eq!((code, &report["pools"][0]["source"], &report["pools"][0]["queued"]), (0, &json!("rest"), &json!(2)));
    assert_eq!(codes(&report), ["source_fallback"]);
    // The same where an incident zeroes the counts of a set with a listener.
    let desk = listened(9).await;
    desk.sandbox.world().scale_set("linux-x64").statistics_stuck_at_zero();
    desk.jobs(2, X64);
    assert_eq!(status(&desk, "").await.1["pools"][0]["queued"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_difference_is_warned_of_where_both_books_are_at_hand() {
    let desk = listened(1).await;
    desk.jobs(3, X64);
    let (code, report) = status(&desk, "").await;
    assert_eq!((code, codes(&report)), (0, vec!["sources_differ"]));
    let said = report["warnings"][0]["message"].as_str().unwrap();
    assert!(said.contains("knows of 1 jobs and the REST API of 3"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rest_is_down_and_the_scale_set_still_says_what_is_needed() {
    let desk = listened(9).await;
    desk.jobs(2, X64);
    desk.sandbox.fault(Fault::github("/orgs/acme/repos").status(502).times(99));
    let (code, report) = status(&desk, "").await;
    assert_eq!((code, &report["pools"][0]["queued"]), (3, &json!(2)), "{report:#}");
    let ran = desk.run("apply --yes --pool linux-x64 -o json").await;
    assert_eq!((ran.code, &ran.json()["summary"]["done"]), (3, &json!(2)), "{ran:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn apply_registers_through_the_scale_set_and_its_runners_take_the_jobs() {
    let desk = listened(9).await;
    desk.sandbox.world().settings.boot = Duration::from_secs(40);
    desk.jobs(2, X64);
    let ran = desk.run("apply --yes --pool linux-x64 -o json").await;
    assert_eq!((ran.code, &ran.json()["summary"]["done"]), (0, &json!(2)), "{ran:#?}");
    let names = desk.sandbox.world().runner_names();
    assert_eq!(names, ["sandbox-linux-x64-000", "sandbox-linux-x64-001"]);
    let jit = desk.calls(Service::Actions, "generatejitconfig");
    assert_eq!(jit.len(), 2, "{jit:#?}");
    assert!(desk.calls(Service::Github, "generate-jitconfig").is_empty());
    // A second run sees them on their way.
    let again = desk.run("apply --yes --pool linux-x64 -o json").await;
    assert_eq!((again.code, &again.json()["actions"]), (0, &json!([])), "{again:#?}");
    desk.sandbox.advance(Duration::from_mins(1));
    assert_eq!(desk.sandbox.world().count_jobs(JobStatus::InProgress), 2);
    let (_, report) = status(&desk, "").await;
    assert_eq!((&report["pools"][0]["in_progress"], &report["pools"][0]["queued"]), (&json!(2), &json!(0)));
    assert_eq!(codes(&report), [""; 0], "our own runners are not taken for another system's");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_applies_at_once_launch_once_through_a_scale_set_too() {
    let mut desk = listened(9).await;
    desk.jobs(4, X64);
    let first = desk.command("apply --yes --pool linux-x64").output();
    desk.with("XDG_STATE_HOME", &desk.file("elsewhere").display().to_string());
    let second = desk.command("apply --yes --pool linux-x64").output();
    let (first, second) = tokio::join!(first, second);
    assert_eq!((first.unwrap().status.code(), second.unwrap().status.code()), (Some(0), Some(0)));
    let world = desk.sandbox.world();
    assert_eq!((world.runner_names().len(), world.instance_states().len()), (4, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_registration_is_left_to_the_reaper_and_never_claimed() {
    let desk = listened(9).await;
    desk.jobs(1, X64);
    desk.sandbox.fault(Fault::actions("generatejitconfig").dropped_after());
    // The service doesn't say how old a record is.
    desk.sandbox.fault(Fault::actions("GET /_apis/distributedtask").status(403).times(99));
    let ran = desk.run("apply --yes --pool linux-x64 -o json").await;
    assert_eq!((ran.code, &ran.json()["actions"][0]["result"]), (1, &json!("failed")), "{ran:#?}");
    assert_eq!(desk.sandbox.world().runner_names(), ["sandbox-linux-x64-000"]);
    assert!(desk.calls(Service::Actions, "DELETE").is_empty());
    assert!(desk.calls(Service::Github, "DELETE").is_empty());
    // Its age counts from when this host first saw it: the launch window has to pass once more.
    let young = desk.run("plan --pool linux-x64 -o json").await;
    assert_eq!(young.json()["pools"][0]["supply"], 1, "{young:#?}");
    desk.sightings_get_older(Duration::from_mins(6));
    let ran = desk.run("apply --yes --pool linux-x64 -o json").await;
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_eq!(ran.json()["actions"][0]["reason"]["code"], "orphan_runner");
    // Its slot is free for the next pass; this one took another, since it was held when it was seen.
    assert_eq!(desk.sandbox.world().runner_names(), ["sandbox-linux-x64-001"]);
    // With the state gone, or damaged, it only takes longer.
    std::fs::write(desk.file("state/ghascale/sandbox.sightings.json"), "not json").unwrap();
    assert_eq!(desk.run("apply --yes --pool linux-x64").await.code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_that_fails_gives_its_registration_back_to_the_service() {
    let desk = listened(9).await;
    desk.jobs(1, X64);
    desk.sandbox.fault(Fault::ec2("RunInstances").code("InvalidAMIID.NotFound"));
    let ran = desk.run("apply --yes --pool linux-x64 -o json").await;
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert!(desk.sandbox.world().runner_names().is_empty());
    assert_eq!(desk.calls(Service::Actions, "DELETE /_apis/distributedtask").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_systems_runners_are_supply_and_stay() {
    let desk = listened(9).await;
    desk.sandbox.world().scale_set("linux-x64").with_runners(3);
    desk.sandbox.world().scale_set("linux-x64").statistics_stuck_at(Statistics {
        assigned: 4,
        running: 1,
        registered: 3,
        busy: 1,
        idle: 2,
        ..Statistics::default()
    });
    let ran = desk.run("apply --yes --pool linux-x64 --source scale-set -o json").await;
    // 4 assigned: one runs, two find an idle runner, one needs ours.
    assert_eq!((ran.code, &ran.json()["summary"]["done"]), (0, &json!(1)), "{ran:#?}");
    assert!(codes(&ran.json()).contains(&"others_runners"));
    assert_eq!(desk.sandbox.world().runner_names().iter().filter(|name| name.starts_with("arc-")).count(), 3);
    let running = desk.sandbox.world().instance_states();
    assert!(running.iter().all(|(_, state)| *state != InstanceState::ShuttingDown));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_of_the_service_is_shown_at_any_log_level() {
    let mut desk = listened(9).await;
    desk.jobs(1, X64);
    desk.with("RUST_LOG", "trace");
    let mut said = String::new();
    for line in ["-vvvv status", "-vvvv apply --yes --pool linux-x64 -o json", "-vvvv compare", "-vvvv scale-set list"]
    {
        said += &desk.run(line).await.all();
    }
    for secret in desk.sandbox.world().jit_configs() {
        assert!(!said.contains(&secret[..40]), "a JIT configuration");
    }
    // Every token of the service is a JWT.
    assert!(!said.contains("eyJ") && !said.contains("RemoteAuth "), "a token");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_that_is_stuck_too_high_is_said_and_bounded_by_max() {
    let desk = listened(9).await;
    desk.sandbox.world().scale_set("linux-x64").statistics_too_high(15);
    let ran = desk.run("plan --pool linux-x64 -o json").await;
    let report = ran.json();
    assert_eq!((ran.code, &report["pools"][0]["demand"], &report["pools"][0]["launch"]), (0, &json!(15), &json!(8)));
    assert_eq!(codes(&report), ["sources_differ"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_repositories_that_are_not_scanned_are_launched_for_by_the_sets_count() {
    let desk = listened(9).await;
    desk.jobs(3, X64);
    // `jobs` queues them in `api`.
    desk.reconfigure("[scan]", "[scan]\nexclude = [\"api\"]");
    let ran = desk.run("plan --pool linux-x64 -o json").await;
    let report = ran.json();
    assert_eq!((&report["pools"][0]["demand"], &report["pools"][0]["launch"]), (&json!(3), &json!(3)), "{report:#}");
    assert_eq!(report["held"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_falls_silent_after_a_launch_launches_nothing_twice() {
    let desk = listened(9).await;
    desk.sandbox.world().settings.boot = Duration::from_secs(40);
    desk.jobs(2, X64);
    assert_eq!(desk.run("apply --yes --pool linux-x64 -o json").await.json()["summary"]["done"], 2);
    down(&desk);
    let ran = desk.run("apply --yes --pool linux-x64 -o json").await;
    assert_eq!((ran.code, &ran.json()["actions"]), (0, &json!([])), "{ran:#?}");
    assert_eq!(codes(&ran.json()), ["source_fallback"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_for_the_set_is_not_applied_at_the_rest_api() {
    let desk = listened(9).await;
    desk.jobs(2, X64);
    let plan = desk.run("plan --pool linux-x64 --out today.plan -o json").await;
    assert_eq!(plan.json()["actions"][0]["source"], "scale-set");
    down(&desk);
    let ran = desk.run("apply today.plan --yes -o json").await;
    assert_eq!((ran.code, &ran.json()["summary"]["skipped"]), (3, &json!(2)), "{ran:#?}");
    assert!(desk.sandbox.world().runner_names().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_registration_is_as_old_as_the_service_says_wherever_the_state_is() {
    let mut desk = listened(9).await;
    desk.jobs(1, X64);
    desk.sandbox.fault(Fault::actions("generatejitconfig").dropped_after());
    assert_eq!(desk.run("apply --yes --pool linux-x64").await.code, 1);
    desk.sandbox.advance(Duration::from_mins(6));
    // A host that has never seen it, as a container without a volume is at every run.
    desk.with("XDG_STATE_HOME", &desk.file("fresh").display().to_string());
    let ran = desk.run("apply --yes --pool linux-x64 -o json").await;
    assert_eq!(ran.json()["actions"][0]["reason"]["code"], "orphan_runner", "{ran:#?}");
    assert_eq!(codes(&ran.json()), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_is_as_young_as_the_service_says_whatever_was_sighted_before() {
    let desk = listened(9).await;
    desk.jobs(1, X64);
    desk.sandbox.fault(Fault::actions("generatejitconfig").dropped_after());
    assert_eq!(desk.run("apply --yes --pool linux-x64").await.code, 1);
    assert_eq!(desk.run("plan --pool linux-x64").await.code, 0);
    // The same id and name were sighted half an hour ago, in a server that has been made anew since.
    let seen = desk.file("state").join("ghascale/sandbox.sightings.json");
    let text = std::fs::read_to_string(&seen).unwrap();
    let mut sightings: std::collections::BTreeMap<String, jiff::Timestamp> = serde_json::from_str(&text).unwrap();
    for at in sightings.values_mut() {
        *at -= Duration::from_mins(30);
    }
    std::fs::write(&seen, serde_json::to_string(&sightings).unwrap()).unwrap();
    let ran = desk.run("plan --pool linux-x64 -o json").await;
    assert_eq!((&ran.json()["actions"], &ran.json()["pools"][0]["supply"]), (&json!([]), &json!(1)), "{ran:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_of_no_known_age_is_said_to_be_one_where_nothing_is_remembered() {
    let mut desk = listened(9).await;
    desk.jobs(1, X64);
    desk.sandbox.fault(Fault::actions("generatejitconfig").dropped_after());
    desk.sandbox.fault(Fault::actions("GET /_apis/distributedtask").status(403).times(99));
    assert_eq!(desk.run("apply --yes --pool linux-x64").await.code, 1);
    desk.with("XDG_STATE_HOME", &desk.file("fresh").display().to_string());
    let first = desk.run("plan --pool linux-x64 -o json").await;
    assert_eq!(codes(&first.json()), ["degraded"], "{first:#?}");
    let second = desk.run("plan --pool linux-x64 -o json").await;
    assert_eq!(codes(&second.json()), [""; 0], "it is remembered now");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_counts_more_running_jobs_than_runners_is_said_to_be_stuck() {
    let desk = listened(9).await;
    desk.jobs(2, X64);
    let stuck = Statistics { assigned: 2, running: 2, ..Statistics::default() };
    desk.sandbox.world().scale_set("linux-x64").statistics_stuck_at(stuck);
    let ran = desk.run("plan --pool linux-x64 -o json").await;
    assert_eq!(ran.json()["pools"][0]["launch"], 2, "{ran:#?}");
    for command in ["plan", "compare"] {
        let report = desk.run(&format!("{command} --pool linux-x64 -o json")).await.json();
        let said = report["warnings"][0]["message"].as_str().unwrap();
        assert_eq!(said, "its scale set counts 2 running jobs and 0 runners: its counts are stuck", "{command}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flag_beats_the_file_to_auto_too() {
    let desk = listened(9).await;
    desk.reconfigure(super::SET, &format!("{}source = \"rest\"\n", super::SET));
    assert_eq!(status(&desk, "").await.1["pools"][0]["source"], "rest");
    assert_eq!(status(&desk, "--source auto").await.1["pools"][0]["source"], "scale-set");
}

#[tokio::test(flavor = "multi_thread")]
async fn running_jobs_of_the_pool_beside_an_empty_set_are_no_zero() {
    // Nobody listens; REST stood in, and its runners work.
    let desk = desk().await;
    desk.sandbox.world().scale_set("linux-x64").labels(X64);
    desk.sandbox.world().settings.boot = Duration::from_secs(30);
    desk.jobs(2, X64);
    assert_eq!(desk.run("apply --yes --pool linux-x64").await.code, 0);
    desk.sandbox.advance(Duration::from_mins(2));
    let (_, report) = status(&desk, "").await;
    assert_eq!((&report["pools"][0]["source"], &report["pools"][0]["in_progress"]), (&json!("rest"), &json!(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_that_say_nothing_are_unknown_and_no_zero() {
    for statistics in [json!({}), json!({ "totalAssignedJobs": -3 }), json!({ "totalAssignedJobs": 1e30 })] {
        let desk = listened(9).await;
        desk.jobs(2, X64);
        let set = json!({ "id": 1, "name": "linux-x64", "runnerGroupId": 1, "labels": [], "statistics": statistics });
        let fault = Fault::actions("GET /_apis/runtime/runnerscalesets/1").status(200).body(&set.to_string());
        desk.sandbox.fault(fault.times(9));
        let (code, report) = status(&desk, "--source scale-set").await;
        assert_eq!((code, &report["pools"][0]["queued"]), (3, &json!(null)), "{statistics} {report:#}");
    }
}
