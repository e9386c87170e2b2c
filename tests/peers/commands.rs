//! The commands themselves, as processes: every REST request of theirs judged by Prism with GitHub's own description, and
//! their EC2 calls answered by moto.

use std::process::Stdio;
use std::time::Duration;

use ghascale::sandbox::Service;

use super::judge::Judge;
use super::moto::Moto;
use crate::commands::{Desk, Ran, X64};

/// Lives through a fleet's day at one scope: looking, launching, a failed boot, ending, a registration that is undone.
async fn a_day(scope: &str) {
    let desk = Desk::open().await;
    let judge = Judge::start(&desk.sandbox, "ghes-3.19").await;
    desk.reconfigure(&desk.sandbox.url(), &format!("{}/{scope}", judge.endpoint()));
    // More runs than stand on one page.
    desk.jobs(130, X64);
    desk.sandbox.world().repository("api").run().aged(Duration::from_hours(72)).job(X64);
    desk.sandbox.world().fail_next_boots(2);
    for line in ["status --jobs", "plan", "apply --yes"] {
        let ran = desk.run(line).await;
        assert_eq!(ran.code, 0, "{line}: {ran:#?}");
    }
    desk.sandbox.advance(Duration::from_mins(6));
    let ran = desk.run("apply --yes").await;
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert!(ran.stdout.contains("- deregister"), "{}", ran.stdout);
    desk.sandbox.advance(Duration::from_mins(6));
    desk.sandbox.fault(ghascale::sandbox::Fault::github("generate-jitconfig").dropped_after());
    desk.run("apply --yes").await;
    assert!(judge.verdict() > 30, "{} requests were judged", judge.verdict());
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(ghascale_peers), ignore = "set GHASCALE_PEERS=1")]
async fn what_the_commands_ask_for_an_organization_is_in_githubs_description() {
    a_day("acme").await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(ghascale_peers), ignore = "set GHASCALE_PEERS=1")]
async fn what_the_commands_ask_for_a_repository_is_in_githubs_description() {
    a_day("acme/api").await;
}

/// A desk whose instances are moto's.
async fn with_moto(moto: &Moto) -> Desk {
    let mut desk = Desk::open().await;
    desk.with("AWS_ENDPOINT_URL_EC2", &moto.url);
    let url = desk.sandbox.url();
    desk.configure(&format!(
        r#"
[github]
url = "{url}"
[ec2]
region = "us-east-1"
fleet = "sandbox"
[[pool]]
name = "linux-x64"
labels = ["self-hosted", "linux", "x64"]
max = 3
image = "{}"
instance_types = ["m5.large"]
subnets = ["{}"]
"#,
        moto.image, moto.subnet
    ));
    desk
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(ghascale_peers), ignore = "set GHASCALE_PEERS=1")]
async fn eight_applies_at_once_launch_at_moto_what_one_would() {
    let moto = Moto::start().await;
    let mut desk = with_moto(&moto).await;
    desk.jobs(3, X64);
    let ran = desk.run_on_hosts(8, "apply --yes").await;
    let done = |ran: &Ran| ran.stdout.matches("\n    i-").count();
    assert_eq!(ran.iter().map(done).sum::<usize>(), 3, "{ran:#?}");
    assert!(ran.iter().all(|ran| ran.code == 0), "{ran:#?}");
    assert_eq!(moto.calls("RunInstances").await.len(), 3, "each name is registered once");
    let report = desk.run("status -o json").await.json();
    assert_eq!(report["pools"][0]["instances"]["booting"], 3, "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(ghascale_peers), ignore = "set GHASCALE_PEERS=1")]
async fn two_applies_launch_once_at_moto() {
    let moto = Moto::start().await;
    let desk = with_moto(&moto).await;
    desk.jobs(2, X64);
    for _ in 0..2 {
        let ran = desk.run("apply --yes").await;
        assert_eq!(ran.code, 0, "{ran:#?}");
    }
    assert_eq!(moto.calls("RunInstances").await.len(), 2);
    let report = desk.run("status -o json").await.json();
    assert_eq!(report["pools"][0]["instances"]["booting"], 2, "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(ghascale_peers), ignore = "set GHASCALE_PEERS=1")]
async fn a_lost_answer_of_motos_is_asked_for_with_the_same_token_and_parameters() {
    let moto = Moto::start().await;
    let desk = with_moto(&moto).await;
    desk.jobs(1, X64);
    moto.fault(serde_json::json!({ "action": "RunInstances", "after": true, "drop": true, "times": 1 })).await;
    let ran = desk.run("apply --yes").await;
    assert_eq!(ran.code, 0, "{ran:#?}");
    let calls = moto.calls("RunInstances").await;
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0], calls[1], "a repeat is the same request to the letter");
    assert!(calls[0]["ClientToken"].is_string());
}

/// Kills an apply that has sent `RunInstances` and waits for the answer, runs on, and returns the desk.
async fn killed_in_a_launch(moto: &Moto, is_done: bool) -> Desk {
    let desk = with_moto(moto).await;
    desk.jobs(1, X64);
    moto.fault(serde_json::json!({ "action": "RunInstances", "hold": true, "after": is_done })).await;
    let mut child = desk.command("apply --yes").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    moto.holds_one().await;
    child.kill().await.unwrap();
    for _ in 0..3 {
        let ran = desk.run("apply --yes").await;
        assert_eq!(ran.code, 0, "{ran:#?}");
        desk.sandbox.advance(Duration::from_mins(6));
    }
    let report = desk.run("status -o json").await.json();
    assert_eq!(report["pools"][0]["instances"]["booting"], 1, "{report:#}");
    assert_eq!(desk.sandbox.world().runner_names().len(), 1);
    desk
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(ghascale_peers), ignore = "set GHASCALE_PEERS=1")]
async fn a_launch_at_moto_whose_process_is_killed_is_found_by_the_next() {
    let moto = Moto::start().await;
    let desk = killed_in_a_launch(&moto, true).await;
    assert_eq!(moto.calls("RunInstances").await.len(), 1);
    assert_eq!(desk.calls(Service::Github, "generate-jitconfig").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(ghascale_peers), ignore = "set GHASCALE_PEERS=1")]
async fn a_launch_that_moto_never_did_is_made_up_for_with_another_registration() {
    let moto = Moto::start().await;
    let desk = killed_in_a_launch(&moto, false).await;
    let calls = moto.calls("RunInstances").await;
    assert_eq!(calls.len(), 2);
    assert_ne!(calls[0]["ClientToken"], calls[1]["ClientToken"], "a registration has its own token");
    assert_eq!(desk.calls(Service::Github, "DELETE").len(), 1, "what was left over is reaped");
}
