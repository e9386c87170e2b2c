//! Re-runs of what was interrupted, in real time.

use ghascale::sandbox::Service;
use serde_json::json;

use super::{Listening, free_port, get};
use crate::commands::rerun::interrupted;
use crate::commands::until;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_interrupted_is_re_run_once_and_told_in_a_plan() {
    let (desk, run, job) = interrupted().await;
    let port = free_port();
    let mut listening = Listening::on(&desk, &format!("--interval 1s --metrics 127.0.0.1:{port}"));
    let told = listening.until(|event| event["event"] == "plan" && event.get("reruns").is_some()).await;
    let (_, metrics) = get(port, "metrics").await;
    assert!(metrics.contains("ghascale_reruns_total{pool=\"linux-x64\",result=\"done\"} 1"), "{metrics}");
    assert_eq!((&told["pool"], &told["launch"], &told["actions"]), (&json!("linux-x64"), &json!(0), &json!(0)));
    let rerun = &told["reruns"][0];
    assert_eq!((&rerun["job_id"], &rerun["result"]), (&json!(job), &json!("done")), "{told:#}");
    // Its new attempt gets a runner, and two whole observations later it is still the only one.
    listening.launches(1).await;
    for _ in 0..2 {
        desk.sandbox.forget_calls();
        until(|| desk.calls(Service::Github, "/orgs/acme/actions/runners?").len() > 1).await;
        assert!(desk.calls(Service::Github, "/rerun").is_empty());
    }
    let (status, said) = listening.end().await;
    assert!(status.success());
    let reruns = said.iter().filter(|event| event.get("reruns").is_some()).count();
    assert_eq!((reruns, desk.sandbox.world().run_attempt(run)), (1, Some(2)), "{said:#?}");
    let log = std::fs::read_to_string(desk.file("state/ghascale/audit.jsonl")).unwrap();
    assert_eq!(log.lines().filter(|line| line.contains("\"rerun\"")).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_one_warning_with_its_cure() {
    let (desk, run, _) = interrupted().await;
    desk.sandbox.world().settings.actions_write = false;
    let mut listening = Listening::on(&desk, "--interval 1s");
    let said = listening.until(|event| event["event"] == "warning" && event["code"] == "rerun_failed").await;
    assert!(said["message"].as_str().unwrap().contains("*Actions: write*"), "{said:#}");
    assert!(said["subject"].as_str().unwrap().contains(&run.to_string()), "{said:#}");
    desk.looked_at().await;
    desk.looked_at().await;
    let (_, said) = listening.end().await;
    assert_eq!(said.iter().filter(|event| event["code"] == "rerun_failed").count(), 1, "{said:#?}");
    assert_eq!(desk.calls(Service::Github, "/rerun").len(), 0, "not since it was refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_of_other_pools_leaves_it_alone() {
    let (desk, run, _) = interrupted().await;
    let listening = Listening::on(&desk, "--interval 1s --pool gpu");
    for _ in 0..2 {
        desk.looked_at().await;
    }
    listening.end().await;
    assert_eq!(desk.sandbox.world().run_attempt(run), Some(1));
}
