//! What the README shows is what the program prints, and what it says of itself holds.

use std::path::Path;
use std::time::Duration;

use ghascale::sandbox::{Sandbox, Scenario};
use tokio::io::AsyncBufReadExt as _;

use crate::commands::{Desk, X64, redacted};

fn readme() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

/// Returns the fenced block of a language that holds a text.
fn block(language: &str, holding: &str) -> String {
    let text = readme();
    let blocks = text.split("```").skip(1).step_by(2);
    let mut ours = blocks.filter_map(|block| block.strip_prefix(language)).filter(|block| block.contains(holding));
    ours.next().unwrap_or_else(|| panic!("no {language} block holds {holding}")).to_owned()
}

/// Leaves out what differs from run to run: ages, ids, and the widths that follow from them.
fn essence(text: &str) -> Vec<String> {
    let ages = regex_lite::Regex::new(r"\b\d+[dhms](\d+[hms])?\b").unwrap();
    let line = |line: &str| {
        let line = ages.replace_all(&redacted(line), "AGE").into_owned();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    text.lines().map(line).filter(|line| !line.is_empty()).collect()
}

/// Holds what is shown against what was printed: each line in its order, and nothing between two of them that isn't
/// left out by a line of `…`.
fn hold(shown: &str, printed: &str) {
    let (shown, printed) = (essence(shown), essence(printed));
    let mut rest = printed.iter();
    let mut gap = false;
    for line in &shown {
        if line == "…" {
            gap = true;
            continue;
        }
        let found = if gap { rest.any(|printed| printed == line) } else { rest.next() == Some(line) };
        assert!(found, "the README shows {line:?}, and that is not what comes there:\n{printed:#?}");
        gap = false;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tour_is_as_it_is_shown() {
    let ran = Desk::open().await.run("sandbox").await;
    assert_eq!(ran.code, 0, "{ran:#?}");
    hold(&block("console", "An organization on an ordinary day"), &ran.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_one_line_shows_what_it_is_said_to_show() {
    let desk = crate::commands::status::busy_day().await;
    // A stranger has no configuration.
    shown_without_a_file(&desk, "status").await;
}

/// Runs a command line that the README shows, on a world without a configuration file.
async fn shown_without_a_file(desk: &Desk, command: &str) {
    std::fs::remove_file(desk.file("ghascale.toml")).unwrap();
    let mut line = desk.command(&format!("--url {} {command}", desk.sandbox.url()));
    let ran = line.env_remove("GHASCALE_CONFIG").output().await.unwrap();
    let shown = block("console", &format!("ghascale --url https://github.com/acme {command}"));
    let shown: Vec<&str> = shown.trim_start().lines().skip(1).collect();
    let (shown, printed) = (shown.join("\n"), String::from_utf8(ran.stdout).unwrap());
    let limit = regex_lite::Regex::new(r"[\d,]+ of 5,000 left").unwrap();
    hold(&limit.replace_all(&shown, "LEFT"), &limit.replace_all(&printed, "LEFT"));
}

#[tokio::test(flavor = "multi_thread")]
async fn compare_shows_what_it_is_said_to_show() {
    let desk = Desk::open().await;
    {
        let mut world = desk.sandbox.world();
        world.scale_set("arc-linux").listened(9).with_runners(1);
        world.scale_set("arc-gpu");
        world.scale_set("arc-arm64").listened(9).statistics_too_high(15);
        for label in ["arc-linux", "arc-linux", "arc-gpu", "arc-gpu", "arc-gpu", "arc-arm64"] {
            world.repository("api").run().aged(Duration::from_mins(10)).job([label]).lasting(Duration::from_hours(1));
        }
    }
    shown_without_a_file(&desk, "compare").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_explanation_is_the_one_that_is_shown() {
    let desk = Desk::on(Sandbox::start(Scenario::Acme, 0).await.unwrap());
    let shown = block("console", "$ ghascale explain").replace("https://github.com", &desk.sandbox.endpoint());
    let (line, shown) = shown.trim_start().split_once('\n').unwrap();
    let ran = desk.run(line.strip_prefix("$ ghascale ").unwrap()).await;
    assert_eq!(ran.code, 0, "{ran:#?}");
    hold(shown, &ran.stdout);
    assert!(shown.contains("cure:"), "the end of it is shown");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_listener_says_what_it_is_shown_to_say() {
    let desk = crate::commands::listen::desk().await;
    let shown = block("console", "$ ghascale listen");
    let shown: Vec<&str> = shown.trim().lines().skip(1).collect();
    let mut child = desk.command("listen").stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = tokio::io::BufReader::new(child.stdout.take().unwrap()).lines();
    let mut printed = Vec::new();
    while printed.len() < shown.len() {
        let line = tokio::time::timeout(Duration::from_secs(30), lines.next_line()).await.unwrap().unwrap().unwrap();
        if line.contains(" session ") {
            desk.has_looked().await;
            desk.sandbox.world().repository("api").run().job(X64);
        }
        printed.push(line);
    }
    child.kill().await.unwrap();
    let when = regex_lite::Regex::new(r"\d{4}-[\d-]+T[\d:.]+Z").unwrap();
    hold(&when.replace_all(&shown.join("\n"), "AT"), &when.replace_all(&printed.join("\n"), "AT"));
}

#[test]
fn the_unit_starts_what_there_is() {
    let unit = block("ini", "[Service]");
    let started = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let words = started.split_whitespace().map(std::ffi::OsString::from);
    assert!(ghascale::cli::parse(words).is_ok(), "{started}");
    let left_alone = format!("RestartPreventExitStatus={}", ghascale::exit::USAGE);
    assert!(unit.contains(&left_alone) && unit.contains("Type=notify") && unit.contains("WatchdogSec="), "{unit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_is_one() {
    let desk = Desk::open().await;
    desk.jobs(1, X64);
    let text = block("toml", "[[pool]]").replace("https://github.com/acme", &desk.sandbox.url());
    desk.configure(&text);
    let ran = desk.run("plan").await;
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:#?}");
    assert!(ran.stdout.contains("acme-prod-linux-x64-000  spot m7a.large subnet-a"), "{}", ran.stdout);
}

#[test]
fn the_policy_is_json_and_knows_every_call() {
    let policy: serde_json::Value = serde_json::from_str(&block("json", "Statement")).unwrap();
    let text = policy.to_string();
    for action in
        ["DescribeInstances", "DescribeImages", "RunInstances", "CreateTags", "DeleteTags", "TerminateInstances"]
    {
        assert!(text.contains(&format!("ec2:{action}")), "{action}");
    }
    for mark in ghascale::engine::Mark::ALL {
        assert!(text.contains(mark.tag()), "{}", mark.tag());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_two_lines_of_plan_and_apply_work() {
    let desk = Desk::open().await;
    desk.jobs(1, X64);
    assert_eq!(desk.run("plan --out today.plan").await.code, 0);
    desk.sandbox.advance(Duration::from_mins(1));
    assert_eq!(desk.run("apply today.plan --yes").await.code, 0);
}
