//! What is kept from run to run: a run in which nothing changed costs nothing, and what is kept is never in the way.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ghascale::sandbox::{Call, Fault, Service};
use serde_json::Value;

use super::{Desk, Ran, X64};
use crate::keys::private_key;

/// A job of every sort, but none that GitHub answers with 404: that is never kept, and always paid for.
async fn busy_day() -> Desk {
    let desk = Desk::open().await;
    desk.jobs(2, X64);
    {
        let mut world = desk.sandbox.world();
        world.repository("attic").archived();
        world.repository("tools").run().job(["self-hosted", "windows"]);
        world.repository("web").run().job(["ubuntu-latest"]).on_hosted_runner().lasting(Duration::from_hours(1));
        world.repository("web").run().job(X64).waiting();
        world.repository("web").run().aged(Duration::from_hours(72)).workflow("ghost");
    }
    desk
}

fn file(desk: &Desk) -> PathBuf {
    desk.file(".cache/ghascale/github-2.sqlite")
}

async fn status(desk: &Desk) -> Value {
    let ran = desk.run("status -o json").await;
    assert_eq!(ran.code, 0, "{ran:#?}");
    ran.json()
}

/// What a run says of the world, without ages and costs.
fn said(mut report: Value) -> Value {
    fn without_times(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.retain(|name, _| !name.ends_with("_seconds") && name != "generated_at" && name != "api");
                fields.values_mut().for_each(without_times);
            }
            Value::Array(items) => items.iter_mut().for_each(without_times),
            _ => {}
        }
    }
    without_times(&mut report);
    report
}

fn api(report: &Value) -> (u64, u64, u64) {
    let number = |name: &str| report["api"][name].as_u64().unwrap();
    (number("requests"), number("not_modified"), number("rate_limit_remaining"))
}

/// Makes the desk's configuration that of a GitHub App.
fn as_app(desk: &Desk) {
    std::fs::write(desk.file("app.pem"), private_key()).unwrap();
    let app = "[github.app]\napp_id = 1\ninstallation_id = 1\nprivate_key_file = \"app.pem\"\n";
    desk.reconfigure("token_env = \"GITHUB_TOKEN\"\n", app);
}

fn mints(desk: &Desk) -> usize {
    desk.calls(Service::Github, "access_tokens").len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_in_which_nothing_changed_costs_nothing_and_says_the_same() {
    let desk = busy_day().await;
    let first = status(&desk).await;
    let again = status(&desk).await;
    let ((requests, not_modified, left), (_, fresh, before)) = (api(&again), api(&first));
    assert_eq!((not_modified, fresh), (requests, 0), "{again:#}");
    assert_eq!(left, before, "the rate limit is not touched");
    assert_eq!(said(again), said(first));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_seen_and_only_what_changed_is_paid_for() {
    let desk = busy_day().await;
    let queued = async || status(&desk).await["pools"][2]["queued"].clone();
    assert_eq!(queued().await, 2);
    let job = desk.sandbox.world().repository("api").run().job(X64).id();
    desk.sandbox.forget_calls();
    assert_eq!(status(&desk).await["pools"][2]["queued"], 3);
    // The list of repositories is paid for too where the push falls into another second than the one before.
    let is_paid = |call: &Call| call.status == Some(200) && !call.target.starts_with("/orgs/acme/repos");
    let paid: Vec<String> =
        desk.calls(Service::Github, "").into_iter().filter(is_paid).map(|call| call.target).collect();
    assert_eq!(paid.len(), 2, "one list of runs and one of jobs: {paid:#?}");
    assert!(paid.iter().all(|target| target.starts_with("/repos/acme/api/actions/runs")), "{paid:#?}");
    desk.sandbox.world().cancel(job);
    assert_eq!(queued().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_cache_nothing_is_used_and_nothing_is_kept() {
    let desk = busy_day().await;
    for _ in 0..2 {
        let report = desk.run("--no-cache status -o json").await.json();
        assert_eq!(api(&report).1, 0);
    }
    assert!(!file(&desk).exists());
    status(&desk).await;
    assert!(file(&desk).exists());
    assert_eq!(api(&desk.run("status --no-cache -o json").await.json()).1, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_is_its_owners_alone_and_holds_no_token_of_the_operators() {
    let desk = busy_day().await;
    status(&desk).await;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file(&desk)), mode(file(&desk).parent().unwrap())), (0o600, 0o700));
    for entry in std::fs::read_dir(file(&desk).parent().unwrap()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(13).any(|window| window == b"sandbox-token"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_cache_is_thrown_away_with_a_warning_and_never_trusted() {
    let desk = busy_day().await;
    let first = said(status(&desk).await);
    let whole = std::fs::read(file(&desk)).unwrap();
    let half = whole[..whole.len() / 2].to_vec();
    let garbage = b"no database at all, and long enough to be looked at twice".to_vec();
    let flipped = whole.iter().enumerate().map(|(at, byte)| if at % 97 == 96 { byte ^ 1 } else { *byte }).collect();
    for damaged in [half, garbage, flipped] {
        std::fs::write(file(&desk), damaged).unwrap();
        let ran = desk.run("status -o json").await;
        assert_eq!(ran.code, 0, "{ran:#?}");
        assert_eq!(ran.stderr.matches("cache_failed").count(), 1, "{}", ran.stderr);
        let mut report = said(ran.json());
        report["warnings"].as_array_mut().unwrap().retain(|warning| warning["code"] != "cache_failed");
        assert_eq!(report, first);
        let healed = status(&desk).await;
        assert_eq!((api(&healed).0, said(healed.clone())), (api(&healed).1, first.clone()), "{healed:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_that_cannot_be_had_is_a_warning() {
    let mut desk = busy_day().await;
    std::fs::write(desk.file("taken"), "").unwrap();
    let taken = desk.file("taken").display().to_string();
    desk.with("XDG_CACHE_HOME", &taken);
    let ran = desk.run("status -o json").await;
    assert_eq!((ran.code, &ran.json()["pools"][2]["queued"]), (0, &2.into()), "{ran:#?}");
    assert!(ran.stderr.contains("cache_failed"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_at_once_are_both_right() {
    let desk = busy_day().await;
    let truth = said(status(&desk).await);
    std::fs::remove_dir_all(file(&desk).parent().unwrap()).unwrap();
    for _ in 0..3 {
        let runs = futures::future::join_all((0..4).map(|_| desk.run("status -o json"))).await;
        for ran in runs {
            assert_eq!((ran.code, said(ran.json())), (0, truth.clone()), "{ran:#?}");
        }
    }
    let (requests, not_modified, _) = api(&status(&desk).await);
    assert_eq!(requests, not_modified);
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_an_error_nor_half_an_answer_is_kept() {
    for fault in [
        Fault::github("/jobs?").status(404).header("etag", "W/\"error\""),
        Fault::github("/repos/acme/api/actions/runs?").truncated(200),
        Fault::github("/repos/acme/api/actions/runs?")
            .status(502)
            .body("<html>")
            .header("etag", "W/\"error\"")
            .times(3),
        Fault::github("/jobs?").status(200).body(r#"{"total_count":1,"jobs":[{"status":"queued"}]}"#),
    ] {
        let desk = Desk::open().await;
        desk.jobs(1, X64);
        desk.sandbox.world().repository("web");
        desk.sandbox.fault(fault.clone());
        let hit: Ran = desk.run("status -o json").await;
        assert_ne!(hit.json()["pools"][2]["queued"], 1, "the fault was not met: {fault:?}");
        let report = status(&desk).await;
        assert_eq!(report["pools"][2]["queued"], 1, "{fault:?} {report:#}");
        assert_eq!(report["pools"][2]["count_kind"], "exact", "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_repositories_that_grew_a_page_is_read_to_its_new_end() {
    let desk = Desk::open().await;
    for nth in 1..100 {
        desk.sandbox.world().repository(&format!("r{nth:02}"));
    }
    status(&desk).await;
    desk.sandbox.world().repository("zz").run().job(X64);
    // The first page has not changed, and a 304 need not say that there is a second now.
    desk.sandbox.fault(Fault::github("/orgs/acme/repos?").header("link", ""));
    let report = status(&desk).await;
    assert_eq!((&report["repositories"]["scanned"], &report["pools"][2]["queued"]), (&101.into(), &1.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_token_is_told_what_it_is_told_and_not_what_the_first_was() {
    let mut desk = busy_day().await;
    status(&desk).await;
    desk.sandbox.world().token("another-token", None);
    desk.with("GITHUB_TOKEN", "another-token");
    assert_eq!(api(&status(&desk).await).1, 0);
    desk.with("GITHUB_TOKEN", "nobodys-token");
    let ran = desk.run("status").await;
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_apps_token_is_used_by_the_next_run_until_shortly_before_its_end() {
    let desk = busy_day().await;
    as_app(&desk);
    status(&desk).await;
    let (requests, not_modified, _) = api(&status(&desk).await);
    assert_eq!((mints(&desk), requests), (1, not_modified), "the second run shares the token and its tags");
    assert_eq!(desk.run("--no-cache status").await.code, 0);
    assert_eq!(mints(&desk), 2, "`--no-cache` ignores the token too");

    let desk = busy_day().await;
    as_app(&desk);
    // It says that it ends in four minutes: that is too short for a scan to begin with.
    let soon = (jiff::Timestamp::now() + Duration::from_mins(4)).to_string();
    desk.sandbox.world().token("ghs_short", None);
    let minted = format!(r#"{{"token":"ghs_short","expires_at":"{soon}"}}"#);
    desk.sandbox.fault(Fault::github("access_tokens").status(201).body(&minted).times(99));
    desk.run("status").await;
    let before = mints(&desk);
    desk.run("status").await;
    assert!(mints(&desk) > before, "a token that is about to end was used again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_token_costs_no_new_reading_of_what_has_not_changed() {
    let desk = busy_day().await;
    as_app(&desk);
    let first = status(&desk).await;
    desk.sandbox.world().revoke("ghs_sandbox1n1");
    let again = status(&desk).await;
    let (requests, not_modified, _) = api(&again);
    // The refusal, the new token; and of the rest nothing is charged.
    assert_eq!((mints(&desk), requests - not_modified), (2, 2), "{again:#}");
    assert_eq!(said(again), said(first));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_tags_are_made_otherwise_a_new_token_reads_anew_and_is_right() {
    let desk = busy_day().await;
    as_app(&desk);
    desk.sandbox.fault(Fault::github("/api").header("etag", "W/\"made-otherwise\"").times(99));
    desk.sandbox.fault(Fault::github("/actions/runs").header("etag", "W/\"made-otherwise\"").times(99));
    let first = status(&desk).await;
    desk.sandbox.world().revoke("ghs_sandbox1n1");
    let again = status(&desk).await;
    assert_eq!(said(again.clone()), said(first));
    let (requests, not_modified, _) = api(&again);
    assert!(requests > not_modified + 2, "nothing could be foreseen here: {again:#}");
}
