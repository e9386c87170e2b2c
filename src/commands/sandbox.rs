//! `ghascale sandbox`: a guided tour of the embedded world; `serve` keeps the world up.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::process::Command;

use super::Failure;
use crate::cli::{SandboxArgs, SandboxCommand};
use crate::exit;
use crate::sandbox::{Beginning, Sandbox, Scenario, serve};
use crate::ui::Ui;

/// The tour: what is said, how long the world is given first, and the command that is run.
const TOUR: [(&str, u64, &[&str]); 5] = [
    ("What waits, and what is there? Nothing runs yet.", 0, &["status"]),
    ("What would be done about it, and why? Nothing is changed.", 0, &["plan"]),
    ("Do it. A runner is registered first, then its instance is launched, at most once.", 0, &["apply", "--yes"]),
    ("A second later: instances boot, and their runners come online.", 900, &["status"]),
    ("And then they take the jobs.", 2500, &["status"]),
];

pub(super) async fn run(args: &SandboxArgs, ui: &Ui) -> Result<u8, Failure> {
    match &args.command {
        None => tour(ui).await.context("the tour could not go on")?,
        Some(SandboxCommand::Serve(args)) => {
            let beginning: Beginning = args.scenario.parse().map_err(Failure::usage)?;
            serve(args.port, beginning, &mut io::stdout()).await.context("the sandbox could not be served")?;
        }
    }
    Ok(exit::DONE)
}

/// Runs this very binary's commands against a world of its own, and prints each command line with what it prints.
async fn tour(ui: &Ui) -> anyhow::Result<()> {
    let sandbox = Sandbox::start(Scenario::Acme, 0).await?;
    let home = Home::create()?;
    let file = home.0.join("ghascale.toml");
    std::fs::write(&file, sandbox.configuration())?;
    let binary = std::env::current_exe()?;

    ui.print("An organization on an ordinary day, GitHub and EC2 included, on loopback; nothing outside is called.")?;
    for (caption, wait, words) in TOUR {
        tokio::time::sleep(Duration::from_millis(wait)).await;
        ui.print(&format!("\n# {caption}\n$ ghascale {}", words.join(" ")))?;
        let mut command = Command::new(&binary);
        command.args(words).stdin(Stdio::null()).kill_on_drop(true);
        command.env("GHASCALE_CONFIG", &file).env("XDG_STATE_HOME", &home.0).env("XDG_CACHE_HOME", &home.0);
        for (name, value) in sandbox.environment() {
            command.env(name, value);
        }
        let status = command.status().await?;
        if !status.success() && status.code() != Some(exit::PARTIAL.into()) {
            bail!("`ghascale {}` ended with {status}", words.join(" "));
        }
    }
    ui.print("\nTo go on by hand: `ghascale sandbox serve` keeps a world up and prints what to export.")?;
    sandbox.stop().await;
    Ok(())
}

/// A directory of the tour's own, gone with it.
struct Home(std::path::PathBuf);

impl Home {
    fn create() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("ghascale-tour-{}-{:08x}", std::process::id(), fastrand::u32(..)));
        create_private(&path)?;
        Ok(Self(path))
    }
}

fn create_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().mode(0o700).create(path)
}

impl Drop for Home {
    fn drop(&mut self) {
        // A leftover in the directory for temporary files is nobody's loss.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
