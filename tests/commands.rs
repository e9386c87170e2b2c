//! The binary itself, as a process, against the embedded world: what it prints, and how it ends.

mod apply;
mod budget;
mod cache;
mod crashes;
mod enterprise;
mod explain;
mod faults;
mod installations;
pub(crate) mod listen;
mod plan;
mod prices;
pub(crate) mod rerun;
mod sandbox;
mod scale_set;
mod secrets;
pub(crate) mod status;
mod truth;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use futures::future::join_all;
use ghascale::sandbox::{Call, Sandbox, Scenario, Service};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

/// The labels of the pool `linux-x64`.
pub(crate) const X64: [&str; 3] = ["self-hosted", "linux", "x64"];

/// How long is waited for what must happen.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

/// Waits until something is so, and fails where that takes too long.
pub(crate) async fn until(is_so: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(std::time::Instant::now() < deadline, "it is not so after 20 s");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A world, and a desk before it with a configuration and a home of its own.
pub(crate) struct Desk {
    pub(crate) sandbox: Sandbox,
    pub(crate) home: TempDir,
    environment: BTreeMap<String, String>,
}

/// What a process did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Desk {
    /// Opens a desk on a world without jobs, in which instances take an hour to boot: nothing happens by itself.
    pub(crate) async fn open() -> Self {
        Self::on(Sandbox::start(Scenario::Empty, 0).await.unwrap())
    }

    pub(crate) fn on(sandbox: Sandbox) -> Self {
        sandbox.world().settings.boot = Duration::from_hours(1);
        let home = tempfile::tempdir().unwrap();
        let mut environment: BTreeMap<String, String> =
            sandbox.environment().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let path = |name: &str| home.path().join(name).display().to_string();
        environment.insert("GHASCALE_CONFIG".into(), path("ghascale.toml"));
        environment.insert("HOME".into(), path("."));
        environment.insert("XDG_STATE_HOME".into(), path("state"));
        environment.insert("XDG_CONFIG_HOME".into(), path("config"));
        let desk = Self { sandbox, home, environment };
        desk.configure(&desk.sandbox.configuration());
        desk
    }

    pub(crate) fn configure(&self, text: &str) {
        std::fs::write(self.file("ghascale.toml"), text).unwrap();
    }

    /// Changes the configuration by replacing a text that must be there.
    pub(crate) fn reconfigure(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.file("ghascale.toml")).unwrap();
        assert!(text.contains(from), "{from} is not in {text}");
        self.configure(&text.replace(from, to));
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn with(&mut self, name: &str, value: &str) {
        self.environment.insert(name.into(), value.into());
    }

    pub(crate) fn without(&mut self, name: &str) {
        self.environment.remove(name);
    }

    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ghascale"));
        command.args(line.split_whitespace()).env_clear().envs(&self.environment).current_dir(self.home.path());
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Runs a command line to its end.
    pub(crate) async fn run(&self, line: &str) -> Ran {
        Ran::from(self.command(line).output().await.unwrap())
    }

    /// Runs a command line at the same time on so many hosts: each has a memory of its own.
    pub(crate) async fn run_on_hosts(&mut self, hosts: usize, line: &str) -> Vec<Ran> {
        let start = |host| {
            let home = self.file(&format!("host-{host}"));
            for (name, place) in [("HOME", ""), ("XDG_STATE_HOME", "state"), ("XDG_CACHE_HOME", "cache")] {
                self.with(name, &home.join(place).display().to_string());
            }
            self.command(line).output()
        };
        let started: Vec<_> = (0..hosts).map(start).collect();
        join_all(started).await.into_iter().map(|ran| Ran::from(ran.unwrap())).collect()
    }

    /// Puts jobs that wait for `labels` into a repository.
    pub(crate) fn jobs(&self, count: u32, labels: [&str; 3]) {
        let mut world = self.sandbox.world();
        for _ in 0..count {
            world.repository("api").run().aged(Duration::from_secs(95)).job(labels).lasting(Duration::from_hours(1));
        }
    }

    /// Lets time pass for what this host remembers of records that carry no age: the world has no hand in that.
    pub(crate) fn sightings_get_older(&self, by: Duration) {
        let file = self.file("state/ghascale/sandbox.sightings.json");
        let Ok(text) = std::fs::read_to_string(&file) else { return };
        let mut sightings: BTreeMap<String, jiff::Timestamp> = serde_json::from_str(&text).unwrap();
        for at in sightings.values_mut() {
            *at -= by;
        }
        std::fs::write(file, serde_json::to_string(&sightings).unwrap()).unwrap();
    }

    /// Returns the calls of one kind that the world has had.
    pub(crate) fn calls(&self, service: Service, part: &str) -> Vec<Call> {
        let is_it = |call: &Call| call.service == service && format!("{} {}", call.method, call.target).contains(part);
        self.sandbox.calls().into_iter().filter(is_it).collect()
    }
}

impl From<Output> for Ran {
    fn from(ran: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: ran.status.code().unwrap_or(-1), stdout: text(ran.stdout), stderr: text(ran.stderr) }
    }
}

impl Ran {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// Returns all that was printed.
    pub(crate) fn all(&self) -> String {
        format!("{}\n{}", self.stdout, self.stderr)
    }
}

/// Replaces what differs from run to run; the one place for it.
pub(crate) fn redacted(text: &str) -> String {
    let mut text = text.to_owned();
    for (pattern, by) in [
        (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
        (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME"),
        (r#"_seconds": \d+"#, r#"_seconds": SECONDS"#),
        (r"[0-9a-f]{64}", "HASH"),
        (r"i-[0-9a-f]{17}", "i-INSTANCE"),
        (r"\b\d+m\d+s\b", "AGE"),
        (r#""request_id": "[^"]+""#, r#""request_id": "REQUEST""#),
        (r"\(request [^)]+\)", "(request ID)"),
        (r#""runner_id": \d+"#, r#""runner_id": RUNNER"#),
        (r"/tmp/[A-Za-z0-9./_-]*/ghascale\.toml", "HOME/ghascale.toml"),
    ] {
        text = regex_lite::Regex::new(pattern).unwrap().replace_all(&text, by).into_owned();
    }
    text
}
