//! The bootstrap, judged by shellcheck.

use std::io::Write;
use std::process::{Command, Stdio};

use super::python::program;

const BOOTSTRAP: &str = include_str!("../../src/ec2/bootstrap.sh");

#[track_caller]
fn check(script: &str) {
    let mut shellcheck =
        Command::new(program("shellcheck")).arg("-").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    shellcheck.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = shellcheck.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
#[cfg_attr(not(ghascale_peers), ignore = "set GHASCALE_PEERS=1")]
fn shellcheck_finds_nothing_in_the_bootstrap() {
    check(BOOTSTRAP);
}

/// To shellcheck the watcher is a text inside the bootstrap; here it is a script.
#[test]
#[cfg_attr(not(ghascale_peers), ignore = "set GHASCALE_PEERS=1")]
fn shellcheck_finds_nothing_in_the_watcher() {
    let (_, watcher) = BOOTSTRAP.split_once("cat >>\"$ours/watch.sh\" <<'END'\n").unwrap();
    let (watcher, _) = watcher.split_once("\nEND\n").unwrap();
    check(&format!("#!/bin/bash\nrun=/run/ghascale console=/dev/console\n{watcher}\n"));
}
