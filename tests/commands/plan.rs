//! `plan`.

use insta::assert_snapshot;

use super::{Desk, X64, redacted};

#[tokio::test(flavor = "multi_thread")]
async fn shows_what_apply_would_do_and_changes_nothing() {
    let desk = Desk::open().await;
    desk.jobs(2, X64);
    desk.sandbox.world().repository("api").run().job(["self-hosted", "windows"]);
    let ran = desk.run("plan").await;
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_snapshot!(redacted(&ran.stdout));
    let writes =
        |call: &ghascale::sandbox::Call| !matches!(call.method.as_str(), "GET") && !call.target.starts_with("Describe");
    let written: Vec<_> = desk.sandbox.calls().into_iter().filter(writes).collect();
    assert!(written.is_empty(), "{written:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn is_one_object_in_json() {
    let desk = Desk::open().await;
    desk.jobs(1, X64);
    let ran = desk.run("plan -o json").await;
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_snapshot!(redacted(&ran.stdout));
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_are_not_counted_are_said_and_many_of_them_in_few_lines() {
    let desk = super::status::busy_day().await;
    let listed = desk.run("status").await;
    let said = desk.run("plan").await;
    for code in ["[ghost_run]", "[unresolved_run]"] {
        assert!(!listed.stderr.contains(code), "it stands below the tables: {listed:#?}");
        assert_eq!(said.stderr.matches(code).count(), 1, "{said:#?}");
    }
    for _ in 0..9 {
        desk.sandbox.world().repository("web").run().aged(std::time::Duration::from_hours(72)).workflow("ghost");
    }
    let said = desk.run("plan").await.stderr;
    assert!(said.matches("[ghost_run]").count() == 4 && said.contains("7 more such runs"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn its_exit_code_tells_changes_from_none() {
    let desk = Desk::open().await;
    assert_eq!(desk.run("plan --detailed-exitcode").await.code, 0);
    desk.jobs(1, X64);
    assert_eq!(desk.run("plan --detailed-exitcode").await.code, 2);
    assert_eq!(desk.run("plan").await.code, 0);
    assert_eq!(desk.run("plan --detailed-exitcode --pool gpu").await.code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn its_id_follows_from_what_was_seen_and_decided() {
    let desk = Desk::open().await;
    desk.jobs(1, X64);
    let id = async || desk.run("plan -o json").await.json()["plan_id"].clone();
    let first = id().await;
    assert_eq!(first, id().await);
    desk.jobs(1, X64);
    assert_ne!(first, id().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_cannot_be_written_is_an_error_and_leaves_nothing() {
    let desk = Desk::open().await;
    let ran = desk.run("plan --out missing/today.plan").await;
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:#?}");
    assert!(ran.stderr.contains("missing/today.plan"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn launch_settings_are_needed() {
    let desk = Desk::open().await;
    desk.reconfigure("[ec2]\nregion = \"eu-north-1\"\nfleet = \"sandbox\"\n", "");
    let ran = desk.run("plan").await;
    assert_eq!((ran.code, ran.stdout.as_str()), (64, ""), "{ran:#?}");
    assert!(ran.stderr.contains("`[ec2]` is missing"), "{}", ran.stderr);
    assert!(desk.sandbox.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn user_data_that_could_not_hold_a_key_is_refused_before_anything_is_called() {
    let desk = Desk::open().await;
    std::fs::write(desk.file("boot.sh"), "#!/bin/sh\n").unwrap();
    desk.reconfigure("name = \"gpu\"", "name = \"gpu\"\nuser_data_file = \"boot.sh\"");
    let ran = desk.run("plan").await;
    assert_eq!((ran.code, ran.stdout.as_str()), (64, ""), "{ran:#?}");
    assert!(ran.stderr.contains("{{jit_config}}"), "{}", ran.stderr);
    assert!(desk.sandbox.calls().is_empty());
}
