//! `status`.

use std::time::Duration;

use ghascale::sandbox::Service;
use insta::assert_snapshot;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

use super::{Desk, X64, redacted};

/// A job of every sort.
pub(crate) async fn busy_day() -> Desk {
    let desk = Desk::open().await;
    desk.jobs(2, X64);
    {
        let mut world = desk.sandbox.world();
        world.repository("attic").archived();
        let aged = Duration::from_secs(95);
        world.repository("tools").run().aged(aged).job(["self-hosted", "windows"]);
        world.repository("web").run().aged(aged).job(["ubuntu-latest"]).on_hosted_runner();
        world.repository("web").run().aged(aged).job(X64).waiting();
        world.repository("web").run().aged(Duration::from_hours(72)).workflow("ghost");
        world.repository("web").run().aged(aged).with_hidden_jobs();
    }
    desk
}

#[tokio::test(flavor = "multi_thread")]
async fn shows_pools_and_what_no_pool_takes() {
    let ran = busy_day().await.run("status --jobs").await;
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_snapshot!(redacted(&ran.stdout));
}

#[tokio::test(flavor = "multi_thread")]
async fn is_one_object_in_json() {
    let ran = busy_day().await.run("status -o json").await;
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_snapshot!(redacted(&ran.stdout));
}

#[tokio::test(flavor = "multi_thread")]
async fn needs_no_file_to_look() {
    let mut desk = busy_day().await;
    desk.without("GHASCALE_CONFIG");
    std::fs::remove_file(desk.file("ghascale.toml")).unwrap();
    let url = desk.sandbox.url();
    let ran = desk.run(&format!("--url {url} status")).await;
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_snapshot!(redacted(&ran.stdout));
    let report = desk.run(&format!("status -o json --url {url}")).await.json();
    assert_eq!(report["pools"], serde_json::json!([]));
    assert_eq!(report["label_sets"][0]["queued"], 2);
    // Neither runners nor instances were asked for: a token that sees jobs is enough.
    assert!(desk.calls(ghascale::sandbox::Service::Ec2, "").is_empty());
    assert!(desk.calls(ghascale::sandbox::Service::Github, "/runners").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_ec2_instances_are_unknown_and_that_is_said_once() {
    let desk = busy_day().await;
    desk.reconfigure("[ec2]\nregion = \"eu-north-1\"\nfleet = \"sandbox\"\n", "");
    let ran = desk.run("status -o json").await;
    assert_eq!(ran.code, 0, "{ran:#?}");
    let report = ran.json();
    assert!(report["pools"].as_array().unwrap().iter().all(|pool| pool["instances"].is_null()));
    assert_eq!(report["pools"][2]["runners"], serde_json::json!({ "idle": 0, "busy": 0, "offline": 0 }));
    assert!(
        report["jobs"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|job| job["pool"] == "linux-x64")
            .all(|job| job["reason"].is_null())
    );
    assert_eq!(ran.stderr.matches("no_ec2").count(), 1, "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_region_jobs_are_shown_all_the_same() {
    let mut desk = busy_day().await;
    desk.reconfigure("region = \"eu-north-1\"\n", "");
    desk.without("AWS_REGION");
    desk.with("AWS_EC2_METADATA_DISABLED", "true");
    let ran = desk.run("status -o json").await;
    assert_eq!((ran.code, &ran.json()["pools"][2]["queued"]), (3, &2.into()), "{ran:#?}");
    assert!(ran.json()["pools"][2]["instances"].is_null());
    assert_eq!(desk.run("plan").await.code, 64);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_pool_can_be_picked_and_an_unknown_one_is_refused() {
    let desk = busy_day().await;
    let report = desk.run("status --pool linux-x64 -o json").await.json();
    assert_eq!(report["pools"].as_array().unwrap().len(), 1);
    assert_eq!(report["jobs"].as_array().unwrap().len(), 2);
    desk.sandbox.forget_calls();
    let ran = desk.run("status --pool linux-x46").await;
    assert_eq!((ran.code, ran.stdout.as_str()), (64, ""), "{ran:#?}");
    assert!(desk.sandbox.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runners_life_shows_in_its_states() {
    let desk = Desk::open().await;
    desk.sandbox.world().settings.boot = Duration::from_mins(2);
    desk.jobs(1, X64);
    assert_eq!(desk.run("apply --yes").await.code, 0);
    let state = async || desk.run("status -o json").await.json()["pools"][2].clone();
    let booting = state().await;
    assert_eq!(
        (&booting["instances"]["booting"], &booting["runners"]["offline"]),
        (&1.into(), &1.into()),
        "{booting:#}"
    );
    desk.sandbox.advance(Duration::from_mins(3));
    let busy = state().await;
    assert_eq!((&busy["instances"]["busy"], &busy["in_progress"], &busy["queued"]), (&1.into(), &1.into(), &0.into()));
    desk.sandbox.advance(Duration::from_hours(2));
    let gone = state().await;
    assert_eq!(
        (&gone["instances"]["busy"], &gone["runners"]["busy"], &gone["in_progress"]),
        (&0.into(), &0.into(), &0.into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_pipe_is_a_quiet_success() {
    let desk = busy_day().await;
    let mut child = desk
        .command("status -o json")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).await.unwrap();
    let status = child.wait().await.unwrap();
    assert!(status.success() && !said.contains("error"), "{status} {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn colours_are_for_those_who_want_them() {
    let mut desk = busy_day().await;
    assert!(!desk.run("status").await.all().contains('\u{1b}'));
    assert!(desk.run("status --color always").await.stdout.contains('\u{1b}'));
    desk.with("CLICOLOR_FORCE", "1");
    assert!(desk.run("status").await.stdout.contains('\u{1b}'));
    desk.with("NO_COLOR", "1");
    assert!(!desk.run("status").await.all().contains('\u{1b}'));
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_looks_again() {
    let desk = busy_day().await;
    let mut child = desk.command("status --watch 1s").stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let (mut said, mut buffer) = (String::new(), [0; 4096]);
    let twice = async {
        while said.matches("every 1s").count() < 2 {
            let read = out.read(&mut buffer).await.unwrap();
            assert!(read > 0, "it ended: {said}");
            said.push_str(std::str::from_utf8(&buffer[..read]).unwrap_or_default());
        }
    };
    tokio::time::timeout(Duration::from_mins(1), twice).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_look_of_a_watch_counts_what_it_asked_itself() {
    let desk = busy_day().await;
    let mut child = desk.command("status --watch 1s").stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut looks = Vec::new();
    while looks.len() < 3 {
        let line = tokio::time::timeout(Duration::from_mins(1), lines.next_line()).await.unwrap().unwrap().unwrap();
        if line.starts_with("api: ") {
            looks.push(line);
        }
    }
    // Nothing has changed since the first look: of what the others ask nothing, or next to nothing, is charged.
    let numbers = regex_lite::Regex::new(r"^api: (\d+) requests, (\d+) not modified, .*; ([\d,]+) an hour").unwrap();
    let of = |look: &str| {
        let parts = numbers.captures(look).unwrap_or_else(|| panic!("{look}"));
        [1, 2, 3].map(|nth| parts[nth].replace(',', "").parse::<u64>().unwrap())
    };
    let [first, second, third] = [of(&looks[0]), of(&looks[1]), of(&looks[2])];
    assert!(third[0] <= second[0] && second[0] <= first[0], "{looks:#?}");
    for [requests, not_modified, an_hour] in [first, second, third] {
        assert_eq!(an_hour, (requests - not_modified) * 3600, "{looks:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_quietly_when_its_reader_is_gone() {
    let desk = busy_day().await;
    let mut command = desk.command("status --watch 1s -q");
    let mut child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next_line().await.unwrap().is_some());
    drop(lines);
    let ran = tokio::time::timeout(Duration::from_secs(30), child.wait_with_output()).await.unwrap().unwrap();
    assert!(ran.status.success() && ran.stderr.is_empty(), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn watching_asks_for_what_fits_between_two_looks_and_hears_hints() {
    for (deliveries_lost, queued) in [(true, 0), (false, 1)] {
        let desk = Desk::open().await;
        for nth in 0..45 {
            desk.sandbox.world().repository(&format!("r{nth:02}"));
        }
        desk.reconfigure("[scan]\n", "[scan]\nhints = { organization_hook = 12 }\n");
        desk.sandbox.world().settings.delivery_hook = Some(12);
        assert_eq!(desk.run("status").await.code, 0);
        // Forty requests a look; and the last repository's turn is not the next.
        desk.reconfigure("requests_per_minute = 6000\n", "requests_per_minute = 600\n");
        desk.sandbox.world().settings.deliveries_lost = deliveries_lost;
        desk.sandbox.world().repository("r44").run().job(X64);
        desk.sandbox.forget_calls();
        let report = first_look(&desk, "status --watch 5s -o json").await;
        let pool = &report["pools"][2];
        assert_eq!((&pool["queued"], &pool["count_kind"]), (&queued.into(), &"stale".into()), "{report:#}");
        assert_eq!(report["scan"]["detection_seconds"], 10, "two looks");
        let runs = desk.calls(Service::Github, "/actions/runs?").len();
        assert!((35..=42).contains(&runs), "{runs}");
    }
}

/// Returns what a command that goes on says first.
async fn first_look(desk: &Desk, line: &str) -> serde_json::Value {
    let mut child = desk.command(line).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut text = String::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        text.push_str(&line);
        if line == "}" {
            break;
        }
    }
    child.kill().await.unwrap();
    serde_json::from_str(&text).unwrap()
}
