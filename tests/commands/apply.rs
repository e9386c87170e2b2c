//! `apply`, with and without a plan file.

use std::process::Stdio;
use std::time::Duration;

use ghascale::sandbox::{Call, Fault, Moment, Service};
use ghascale::state::StateDirectory;
use insta::assert_snapshot;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

use super::{DEADLINE, Desk, X64, redacted, until};

#[tokio::test(flavor = "multi_thread")]
async fn launches_what_is_missing_and_says_what_became_of_it() {
    let desk = Desk::open().await;
    desk.jobs(1, X64);
    let ran = desk.run("apply --yes -o json").await;
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_snapshot!(redacted(&ran.stdout));
}

#[tokio::test(flavor = "multi_thread")]
async fn draws_it_for_people() {
    let desk = Desk::open().await;
    desk.jobs(1, X64);
    let ran = desk.run("apply --yes").await;
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_snapshot!(redacted(&ran.stdout));
    assert_snapshot!(redacted(&desk.run("apply --yes").await.stdout), @r"
    applied: nothing to do

    api: 4 requests, 3 not modified, 4,993 of 5,000 left; 60 an hour if run once a minute
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_apply_launches_nothing() {
    let desk = Desk::open().await;
    desk.jobs(3, X64);
    assert_eq!(desk.run("apply --yes").await.code, 0);
    assert_eq!(desk.run("apply --yes").await.code, 0);
    assert_eq!(desk.calls(Service::Ec2, "RunInstances").len(), 3);
    assert_eq!(desk.calls(Service::Github, "generate-jitconfig").len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_terminal_it_needs_yes_and_calls_nothing() {
    let desk = Desk::open().await;
    let ran = desk.run("apply").await;
    assert_eq!((ran.code, ran.stdout.as_str()), (64, ""), "{ran:#?}");
    assert!(ran.stderr.contains("`--yes`"), "{}", ran.stderr);
    assert!(desk.sandbox.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_run_on_this_host_means_try_again() {
    let desk = Desk::open().await;
    let state = StateDirectory::new(desk.file("state/ghascale"));
    let _held = state.lock("sandbox").unwrap();
    let ran = desk.run("apply --yes").await;
    assert_eq!((ran.code, ran.stdout.as_str()), (75, ""), "{ran:#?}");
    assert!(desk.sandbox.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_directory_that_cannot_be_written_is_a_warning_and_no_more() {
    let mut desk = Desk::open().await;
    std::fs::write(desk.file("file"), "").unwrap();
    let blocked = desk.file("file").display().to_string();
    desk.with("XDG_STATE_HOME", &blocked);
    desk.jobs(1, X64);
    let ran = desk.run("apply --yes").await;
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert!(ran.stderr.contains("state_unwritable"), "{}", ran.stderr);
    assert_eq!(desk.calls(Service::Ec2, "RunInstances").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_never_boots_is_ended_and_its_job_gets_another() {
    let desk = Desk::open().await;
    desk.sandbox.world().fail_next_boots(1);
    desk.jobs(1, X64);
    assert_eq!(desk.run("apply --yes").await.code, 0);
    desk.sandbox.advance(Duration::from_mins(6));
    let ran = desk.run("apply --yes -o json").await;
    assert_eq!(ran.code, 0, "{ran:#?}");
    let deeds: Vec<_> = ran.json()["actions"].as_array().unwrap().iter().map(|row| row["action"].clone()).collect();
    assert_eq!(deeds, ["deregister", "mark", "launch"]);
    assert_eq!(desk.calls(Service::Ec2, "TerminateInstances").len(), 0, "not in one pass with its record");
    assert_eq!(desk.sandbox.world().runner_names(), ["sandbox-linux-x64-001"]);
    desk.sandbox.advance(Duration::from_mins(1));
    let ran = desk.run("apply --yes").await;
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_eq!(desk.calls(Service::Ec2, "TerminateInstances").len(), 1);
}

/// A desk whose three instances are due to be ended: they never booted, and their records are gone.
async fn with_orphans() -> Desk {
    let desk = Desk::open().await;
    desk.sandbox.world().fail_next_boots(3);
    desk.jobs(3, X64);
    for then in [Duration::from_mins(6), Duration::from_mins(1)] {
        let ran = desk.run("apply --yes").await;
        assert_eq!(ran.code, 0, "{ran:#?}");
        desk.sandbox.advance(then);
    }
    desk
}

/// Returns the rows of an apply that terminated something.
fn terminated(ran: &super::Ran) -> Vec<serde_json::Value> {
    let rows = ran.json()["actions"].as_array().unwrap().clone();
    rows.into_iter().filter(|row| row["action"] == "terminate").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_are_ended_with_one_call_and_each_is_told_with_its_request() {
    let desk = with_orphans().await;
    let ran = desk.run("apply --yes -o json").await;
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_eq!(desk.calls(Service::Ec2, "TerminateInstances").len(), 1);
    let rows = terminated(&ran);
    assert!(rows.len() == 3 && rows[0]["request_id"].is_string(), "{rows:?}");
    let log = std::fs::read_to_string(desk.file("state/ghascale/audit.jsonl")).unwrap();
    for row in &rows {
        assert_eq!((&row["result"], &row["request_id"]), (&"done".into(), &rows[0]["request_id"]));
        let id = row["instance_id"].as_str().unwrap();
        let mut lines = log.lines().filter(|line| line.contains("terminate") && line.contains(id));
        let line: serde_json::Value = serde_json::from_str(lines.next_back().unwrap()).unwrap();
        assert_eq!((&line["result"], &line["request_id"]), (&row["result"], &row["request_id"]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_that_meets_another_is_made_all_the_same() {
    let desk = Desk::open().await;
    desk.sandbox.world().fail_next_boots(1);
    desk.jobs(1, X64);
    assert_eq!(desk.run("apply --yes").await.code, 0);
    desk.sandbox.advance(Duration::from_mins(6));
    desk.sandbox.fault(Fault::ec2("CreateTags").code("ConcurrentTagAccess").status(400));
    let ran = desk.run("apply --yes").await;
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_eq!(desk.calls(Service::Ec2, "CreateTags").len(), 2, "{ran:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_may_not_be_ended_keeps_no_other() {
    let desk = with_orphans().await;
    let protected = desk.sandbox.world().instance_states()[0].0.clone();
    desk.sandbox.world().protect(&protected, true);
    let ran = desk.run("apply --yes -o json").await;
    assert_eq!(ran.code, 3, "{ran:#?}");
    for row in terminated(&ran) {
        let is_protected = row["instance_id"] == *protected;
        assert_eq!(row["result"], if is_protected { "failed" } else { "done" }, "{row}");
        assert_eq!(row["error"].as_str().is_some_and(|error| error.contains("OperationNotPermitted")), is_protected);
    }
    // The batch, and then each.
    assert_eq!(desk.calls(Service::Ec2, "TerminateInstances").len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_whose_clock_is_wrong_ends_nothing_and_one_that_is_minutes_wrong_launches_nothing() {
    for (ahead, launched, said) in [
        (600, 0, "behind GitHub's, and nothing is launched or ended by it"),
        (-60, 1, "ahead of GitHub's, and nothing is ended by it"),
    ] {
        let desk = with_orphans().await;
        desk.jobs(1, X64);
        let date = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(ahead);
        let date = date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        desk.sandbox.fault(Fault::github("").header("date", &date).times(1000));
        let ran = desk.run("apply --yes -o json").await;
        assert_eq!((ran.code, ran.json()["actions"].as_array().map(Vec::len)), (3, Some(launched)), "{ran:#?}");
        let warning = ran.json()["warnings"][0].clone();
        assert_eq!(warning["code"], "clock_wrong", "{ran:#?}");
        assert!(warning["message"].as_str().unwrap().contains(said), "{warning}");
        assert!(desk.calls(Service::Ec2, "TerminateInstances").is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_action_leaves_a_line_in_the_audit_log() {
    let desk = Desk::open().await;
    desk.jobs(2, X64);
    desk.run("apply --yes").await;
    let log = std::fs::read_to_string(desk.file("state/ghascale/audit.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    for line in lines {
        assert_eq!((&line["action"], &line["result"]), (&"launch".into(), &"done".into()));
        assert!(line["client_token"].is_string() && line["instance_id"].is_string() && line["request_id"].is_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_never_launch_twice_nor_beyond_max() {
    let mut desk = Desk::open().await;
    // More jobs than the pool's max of eight.
    desk.jobs(12, X64);
    let here = desk.command("apply --yes").output();
    let elsewhere = desk.file("elsewhere").display().to_string();
    desk.with("XDG_STATE_HOME", &elsewhere);
    let there = desk.command("apply --yes").output();
    let (here, there) = tokio::join!(here, there);
    for ran in [here.unwrap(), there.unwrap()] {
        assert_eq!(ran.status.code(), Some(0), "{}", String::from_utf8_lossy(&ran.stderr));
    }
    let world = desk.sandbox.world();
    let mut names: Vec<String> =
        world.instance_states().iter().map(|(id, _)| world.tags(id).unwrap()["Name"].clone()).collect();
    names.sort();
    let expected: Vec<String> = (0..8).map(|slot| format!("sandbox-linux-x64-{slot:03}")).collect();
    assert_eq!(names, expected);
    assert_eq!(world.runner_names().len(), 8);
}

// --- with a plan file -----------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_file_is_applied() {
    let desk = Desk::open().await;
    desk.jobs(2, X64);
    assert_eq!(desk.run("plan --out today.plan").await.code, 0);
    let ran = desk.run("apply today.plan --yes -o json").await;
    assert_eq!((ran.code, &ran.json()["summary"]["done"]), (0, &2.into()), "{ran:#?}");
    assert_eq!(desk.calls(Service::Ec2, "RunInstances").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_file_does_no_more_than_it_says() {
    let desk = Desk::open().await;
    desk.jobs(1, X64);
    desk.run("plan --out today.plan").await;
    desk.jobs(3, X64);
    assert_eq!(desk.run("apply today.plan --yes").await.code, 0);
    assert_eq!(desk.calls(Service::Ec2, "RunInstances").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_whose_job_is_gone_is_skipped_and_said() {
    let desk = Desk::open().await;
    let job = desk.sandbox.world().repository("api").run().job(X64).id();
    desk.run("plan --out today.plan").await;
    desk.sandbox.world().cancel(job);
    let ran = desk.run("apply today.plan --yes -o json").await;
    assert_eq!(ran.code, 3, "{ran:#?}");
    let action = &ran.json()["actions"][0];
    assert_eq!(
        (&action["result"], &action["error"]),
        (&"skipped".into(), &"it no longer holds: no job asks for it any more".into())
    );
    assert!(desk.calls(Service::Ec2, "RunInstances").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_whose_slot_is_taken_is_skipped_and_said() {
    let desk = Desk::open().await;
    desk.jobs(1, X64);
    desk.run("plan --out today.plan").await;
    assert_eq!(desk.run("apply --yes").await.code, 0);
    let ran = desk.run("apply today.plan --yes").await;
    assert_eq!(ran.code, 3, "{ran:#?}");
    assert!(ran.stdout.contains("skipped: it no longer holds: its slot is taken by i-"), "{}", ran.stdout);
    assert_eq!(desk.calls(Service::Ec2, "RunInstances").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_file_that_is_not_whole_or_not_ours_is_refused_before_anything_is_called() {
    let desk = Desk::open().await;
    desk.jobs(1, X64);
    desk.run("plan --out today.plan").await;
    let good = std::fs::read_to_string(desk.file("today.plan")).unwrap();
    let cases = [
        (good[..good.len() / 2].to_owned(), "not a plan file"),
        (String::new(), "not a plan file"),
        ("{}".to_owned(), "not a plan file"),
        (good.replace("sandbox-linux-x64-000", "sandbox-linux-x64-007"), "changed after it was written"),
        (good.replace("ghascale.plan/1", "ghascale.plan/9"), "ghascale.plan/9"),
    ];
    for (text, said) in cases {
        std::fs::write(desk.file("bad.plan"), text).unwrap();
        desk.sandbox.forget_calls();
        let ran = desk.run("apply bad.plan --yes").await;
        assert_eq!((ran.code, ran.stdout.as_str()), (64, ""), "{ran:#?}");
        assert!(ran.stderr.contains(said), "{said}: {}", ran.stderr);
        assert!(desk.sandbox.calls().is_empty());
    }
    assert_eq!(desk.run("apply none.plan --yes").await.code, 64);
    let endless = desk.run("apply /dev/zero --yes").await;
    assert!(endless.code == 64 && endless.stderr.contains("larger than"), "{endless:#?}");
    desk.reconfigure("max = 8", "max = 9");
    let ran = desk.run("apply today.plan --yes").await;
    assert_eq!((ran.code, ran.stdout.as_str()), (64, ""), "{ran:#?}");
    assert!(ran.stderr.contains("another configuration"), "{}", ran.stderr);
}

// --- when EC2 or GitHub refuse --------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn no_capacity_moves_through_the_offerings() {
    let desk = Desk::open().await;
    desk.jobs(1, X64);
    desk.sandbox.fault(Fault::ec2("RunInstances").times(2).code("InsufficientInstanceCapacity").status(500));
    let ran = desk.run("apply --yes -o json").await;
    assert_eq!(ran.code, 0, "{ran:#?}");
    let tried: Vec<_> = desk
        .calls(Service::Ec2, "RunInstances")
        .into_iter()
        .map(|call| {
            (
                call.parameters["InstanceType"].clone(),
                call.parameters["SubnetId"].clone(),
                call.parameters["ClientToken"].clone(),
            )
        })
        .collect();
    assert_eq!(tried.len(), 3);
    assert_eq!((tried[0].1.as_str(), tried[1].1.as_str()), ("subnet-a", "subnet-b"));
    assert!(tried[0].2 != tried[1].2 && tried[1].2 != tried[2].2, "a token goes with one request only");
    assert_eq!(ran.json()["actions"][0]["offering"]["instance_type"], "m6a.large");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_asked_for_with_the_same_token() {
    let desk = Desk::open().await;
    desk.jobs(1, X64);
    desk.sandbox.fault(Fault::ec2("RunInstances").dropped_after());
    let ran = desk.run("apply --yes").await;
    assert_eq!(ran.code, 0, "{ran:#?}");
    let calls = desk.calls(Service::Ec2, "RunInstances");
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0].parameters, calls[1].parameters);
    assert_eq!(desk.sandbox.world().instance_states().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_registration_is_undone() {
    let desk = Desk::open().await;
    desk.jobs(1, X64);
    desk.sandbox.fault(Fault::github("generate-jitconfig").dropped_after());
    let ran = desk.run("apply --yes").await;
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert!(ran.stdout.contains("the registration was undone"), "{}", ran.stdout);
    assert_eq!(desk.calls(Service::Github, "generate-jitconfig").len(), 1, "never repeated by itself");
    assert!(desk.sandbox.world().runner_names().is_empty());
    assert_eq!(desk.run("apply --yes").await.code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_capacity_is_tried_last_by_the_next_run_and_said() {
    let desk = Desk::open().await;
    desk.jobs(1, X64);
    desk.sandbox.fault(Fault::ec2("RunInstances").code("InsufficientInstanceCapacity").status(500));
    let first = desk.run("apply --yes").await;
    assert_eq!(first.code, 0, "{first:#?}");
    assert!(first.stdout.contains("done, no capacity: "), "{}", first.stdout);
    assert_eq!(desk.calls(Service::Ec2, "RunInstances").len(), 2);
    // The next run knows, for three minutes, and asks elsewhere first: one call is enough.
    desk.jobs(1, X64);
    let ran = desk.run("apply --yes").await;
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_eq!(desk.calls(Service::Ec2, "RunInstances").len(), 3);
    let known = std::fs::read_to_string(desk.file("state/ghascale/sandbox.shortages.json")).unwrap();
    assert!(known.contains("subnet"), "{known}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_subnet_and_a_full_market_are_known_to_the_next_run() {
    for (code, elsewhere) in [
        ("InsufficientFreeAddressesInSubnet", ("SubnetId", "subnet-b")),
        ("MaxSpotInstanceCountExceeded", ("InstanceMarketOptions.MarketType", "")),
    ] {
        let desk = Desk::open().await;
        desk.jobs(1, X64);
        desk.sandbox.fault(Fault::ec2("RunInstances").code(code).status(400));
        let first = desk.run("apply --yes").await;
        assert_eq!(first.code, 0, "{first:#?}");
        assert!(first.stdout.contains("done, no capacity: "), "{}", first.stdout);
        // Slots take turns at the subnets: one of these two would ask the full one first.
        desk.jobs(2, X64);
        assert_eq!(desk.run("apply --yes").await.code, 0);
        let calls = desk.calls(Service::Ec2, "RunInstances");
        let asked = |call: &Call| call.parameters.get(elsewhere.0).cloned().unwrap_or_default();
        assert_eq!(calls.iter().skip(1).map(asked).collect::<Vec<_>>(), [elsewhere.1; 3], "{code}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn launches_keep_to_ec2s_pace() {
    let desk = Desk::open().await;
    desk.sandbox.world().settings.launches_every = Some(Duration::from_millis(500));
    desk.jobs(8, X64);
    assert_eq!(desk.run("apply --yes").await.code, 0);
    let calls = desk.calls(Service::Ec2, "RunInstances");
    // Sent at once, three were throttled; a machine that stands still for a moment may cost one or two.
    let throttled = calls.iter().filter(|call| call.status == Some(503)).count();
    assert!(throttled < 3, "{throttled} of {}", calls.len());
    assert_eq!(desk.sandbox.world().instance_states().len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_lets_what_is_under_way_finish_begins_nothing_more_and_says_what_became_of_all() {
    let desk = Desk::open().await;
    desk.jobs(8, X64);
    // EC2's own pace lets some wait.
    let mut held = desk.sandbox.hold_at("RunInstances", Moment::After);
    let mut child = desk.command("apply --yes -o json");
    let child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    assert!(tokio::time::timeout(DEADLINE, held.reached()).await.unwrap().is_some());
    let id = child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let mut said = BufReader::new(child.stderr.unwrap()).lines();
    let stops = async { while !said.next_line().await.unwrap().unwrap().contains("nothing more is begun") {} };
    tokio::time::timeout(DEADLINE, stops).await.unwrap();
    drop(held);
    let mut shown = String::new();
    child.stdout.unwrap().read_to_string(&mut shown).await.unwrap();
    let report: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let with =
        |result: &str| report["actions"].as_array().unwrap().iter().filter(|row| row["result"] == result).count();
    let done = with("done");
    assert!((1..8).contains(&done) && done + with("skipped") == 8, "{report:#}");
    assert!(report["warnings"].to_string().contains("stopped by a signal"), "{report:#}");
    let there = || desk.sandbox.world().instance_states().len();
    assert_eq!(there(), done);
    assert_eq!(desk.run("apply --yes").await.code, 0);
    assert_eq!(there(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_while_ec2_throttles_undoes_what_waits_and_is_no_failure() {
    let desk = Desk::open().await;
    desk.jobs(2, X64);
    desk.sandbox.fault(Fault::ec2("RunInstances").status(503).code("RequestLimitExceeded").times(999));
    let child = desk.command("apply --yes -o json").stdout(Stdio::piped()).spawn().unwrap();
    until(|| desk.calls(Service::Ec2, "RunInstances").len() >= 2).await;
    let id = child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    let ran = tokio::time::timeout(DEADLINE, child.wait_with_output()).await.unwrap().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!((ran.status.code(), &report["summary"]["skipped"]), (Some(3), &2.into()), "{report:#}");
    let world = desk.sandbox.world();
    assert_eq!((world.instance_states().len(), world.runner_names().len()), (0, 0), "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_ec2_takes_and_can_not_carry_out_for_a_quota_is_a_refusal() {
    let desk = Desk::open().await;
    desk.jobs(2, X64);
    assert_eq!(desk.run("apply --yes").await.code, 0);
    let instances = desk.sandbox.world().instance_states();
    for (instance, _) in &instances {
        desk.sandbox.world().fail_to_start(instance, "Client.VolumeLimitExceeded");
    }
    desk.jobs(3, X64);
    let ran = desk.run("plan -o json").await;
    let plan = ran.json();
    let launches = plan["actions"].as_array().unwrap().iter().filter(|action| action["action"] == "launch").count();
    assert_eq!(launches, 1, "{plan:#}");
    assert!(plan.to_string().contains("were refused: one is tried again"), "{plan:#}");
    assert!(plan["warnings"].to_string().contains("Client.VolumeLimitExceeded"), "{plan:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_to_buy_anywhere_leaves_no_record() {
    let desk = Desk::open().await;
    desk.jobs(2, X64);
    desk.sandbox.fault(Fault::ec2("RunInstances").times(99).code("InsufficientInstanceCapacity").status(500));
    let ran = desk.run("apply --yes").await;
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert!(ran.stdout.contains("InsufficientInstanceCapacity"), "apply always shows what became of its actions");
    assert!(desk.sandbox.world().runner_names().is_empty());
    // Six offerings for the first; the second tries what the first has not.
    assert!(desk.calls(Service::Ec2, "RunInstances").len() <= 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn some_that_work_and_some_that_do_not_are_done_in_part() {
    let desk = Desk::open().await;
    desk.jobs(1, X64);
    desk.sandbox.world().repository("api").run().job(["self-hosted", "linux", "arm64"]);
    desk.sandbox.fault(Fault::ec2("RunInstances").code("VcpuLimitExceeded").status(400));
    let ran = desk.run("apply --yes -o json").await;
    assert_eq!(ran.code, 3, "{ran:#?}");
    assert_eq!(ran.json()["summary"], serde_json::json!({ "done": 1, "skipped": 0, "failed": 1 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_runner_group_is_named_with_those_that_exist() {
    let desk = Desk::open().await;
    desk.jobs(1, X64);
    desk.reconfigure("name = \"linux-x64\"", "name = \"linux-x64\"\nrunner_group = \"nobody\"");
    let ran = desk.run("apply --yes").await;
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert!(ran.stdout.contains("no runner group `nobody`") && ran.stdout.contains("`default`"), "{}", ran.stdout);
    assert!(desk.calls(Service::Ec2, "RunInstances").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_at_everything_lets_others_launch_meanwhile_and_launches_nothing_for_their_jobs() {
    let desk = Desk::open().await;
    desk.sandbox.world().settings.boot = std::time::Duration::from_secs(5);
    desk.jobs(2, X64);
    let mut hold = desk.sandbox.hold_at("/repos/acme/api/actions/runs?", ghascale::sandbox::Moment::After);
    let slow = tokio::spawn(desk.command("--full apply --yes -o json").output());
    assert!(hold.reached().await.is_some());
    let quick = desk.run("apply --yes -o json").await;
    assert_eq!((quick.code, &quick.json()["summary"]["done"]), (0, &2.into()), "{quick:#?}");
    let second = desk.run("--full apply --yes").await;
    assert_eq!((second.code, second.stdout.as_str()), (75, ""), "one look at everything is enough: {second:#?}");
    desk.sandbox.advance(std::time::Duration::from_secs(30));
    drop(hold);
    let slow = super::Ran::from(slow.await.unwrap().unwrap());
    assert_eq!(slow.code, 0, "{slow:#?}");
    let report = slow.json();
    assert!(report["actions"].as_array().unwrap().iter().all(|action| action["action"] != "launch"), "{report:#}");
    assert_eq!(desk.sandbox.world().instance_states().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_at_everything_launches_for_what_it_sees() {
    let desk = Desk::open().await;
    desk.jobs(2, X64);
    let ran = desk.run("--full apply --yes -o json").await;
    assert_eq!((ran.code, &ran.json()["summary"]["done"]), (0, &2.into()), "{ran:#?}");
    assert_eq!(desk.run("--full apply --yes -o json").await.json()["summary"]["done"], 0);
}
