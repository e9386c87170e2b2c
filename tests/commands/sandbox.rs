//! `sandbox`, `completions`, and what every command line has.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::Desk;

#[tokio::test(flavor = "multi_thread")]
async fn the_tour_runs_every_step_and_ends_well() {
    let desk = Desk::open().await;
    let ran = desk.run("sandbox").await;
    assert_eq!(ran.code, 0, "{ran:#?}");
    let lines: Vec<&str> = ran.stdout.lines().filter(|line| line.starts_with("$ ")).collect();
    let expected = ["status", "plan", "apply --yes", "status", "status"].map(|words| format!("$ ghascale {words}"));
    assert_eq!(lines, expected);
    assert!(ran.stdout.contains("applied: 9 done, 0 skipped, 0 failed"), "{}", ran.stdout);
    assert!(desk.sandbox.calls().is_empty(), "it has a world of its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_prints_what_to_export_and_ends_with_a_signal() {
    let mut desk = Desk::open().await;
    desk.without("GHASCALE_CONFIG");
    let mut child = desk.command("sandbox serve").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut exports = BTreeMap::new();
    let read = async {
        while exports.len() < 6 {
            let line = lines.next_line().await.unwrap().unwrap();
            if let Some((name, value)) = line.strip_prefix("export ").and_then(|export| export.split_once('=')) {
                exports.insert(name.to_owned(), value.trim_matches('\'').to_owned());
            }
        }
    };
    tokio::time::timeout(Duration::from_mins(1), read).await.unwrap();
    let mut status = desk.command("status -o json");
    let ran = status.envs(&exports).output().await.unwrap();
    assert_eq!(ran.status.code(), Some(0), "{}", String::from_utf8_lossy(&ran.stderr));
    let report: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(report["pools"].as_array().unwrap().len(), 3);

    let configuration = std::path::Path::new(&exports["GHASCALE_CONFIG"]);
    let kept = std::fs::read_to_string(configuration).unwrap();
    let mut beside = desk.command("sandbox serve").stdout(Stdio::piped()).spawn().unwrap();
    BufReader::new(beside.stdout.take().unwrap()).lines().next_line().await.unwrap();
    assert_eq!(std::fs::read_to_string(configuration).unwrap(), kept, "another world has a configuration of its own");
    beside.kill().await.unwrap();

    let kill = format!("kill -TERM {}", child.id().unwrap());
    assert!(std::process::Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    let ended = tokio::time::timeout(Duration::from_mins(1), child.wait()).await.unwrap().unwrap();
    assert_eq!(ended.code(), Some(0));
    assert!(!configuration.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn completions_prints_the_committed_file() {
    let desk = Desk::open().await;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("completions");
    for (shell, file) in [
        ("bash", "ghascale.bash"),
        ("zsh", "_ghascale"),
        ("fish", "ghascale.fish"),
        ("powershell", "_ghascale.ps1"),
        ("elvish", "ghascale.elv"),
    ] {
        let ran = desk.run(&format!("completions {shell}")).await;
        assert_eq!((ran.code, ran.stdout), (0, std::fs::read_to_string(folder.join(file)).unwrap()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn help_and_version_are_for_stdout() {
    let desk = Desk::open().await;
    let ran = desk.run("--version").await;
    assert_eq!((ran.code, ran.stdout), (0, format!("ghascale {}\n", env!("CARGO_PKG_VERSION"))));
    for line in [
        "--help",
        "status --help",
        "plan --help",
        "apply --help",
        "sandbox --help",
        "sandbox serve --help",
        "completions --help",
    ] {
        let ran = desk.run(line).await;
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{line}");
        assert!(
            ran.stdout.trim_end().lines().rev().take(4).any(|line| line.contains("ghascale ")),
            "{line} ends with examples"
        );
    }
}
