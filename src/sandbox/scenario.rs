//! What a world starts with.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;

use super::scenario_file::ScenarioFile;
use super::server::TOKEN;
use super::world::World;

/// A beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// An organization on an ordinary day: a dozen repositories, three pools, jobs of every sort that come and go.
    #[default]
    Acme,
    /// The same organization with one repository and nothing in it: tests add what they need.
    Empty,
    /// The same organization with two pools on runner scale sets: `linux-x64` is listened to by another system, which
    /// has runners of its own, and nobody listens to `linux-arm64`.
    ScaleSets,
}

/// What a world begins with: a scenario, or a file that puts more on top of one.
#[derive(Clone, Debug, PartialEq)]
pub enum Beginning {
    /// A scenario.
    Scenario(Scenario),
    /// A file.
    File(Box<ScenarioFile>),
}

impl From<Scenario> for Beginning {
    fn from(scenario: Scenario) -> Self {
        Self::Scenario(scenario)
    }
}

impl FromStr for Beginning {
    type Err = String;

    /// Takes a scenario's name, or the path of a file: whatever ends with `.toml` or has a `/` in it.
    fn from_str(text: &str) -> Result<Self, String> {
        let path = Path::new(text);
        if text.contains('/') || path.extension().is_some_and(|extension| extension == "toml") {
            return Ok(Self::File(Box::new(ScenarioFile::read(path)?)));
        }
        text.parse().map(Self::Scenario)
    }
}

impl Beginning {
    /// Returns the scenario's name, or what the file is called.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Scenario(scenario) => scenario.name(),
            Self::File(file) => file.name(),
        }
    }

    fn scenario(&self) -> Scenario {
        match self {
            Self::Scenario(scenario) => *scenario,
            Self::File(file) => file.scenario(),
        }
    }

    /// Returns the organization's name.
    pub(super) fn organization(&self) -> &'static str {
        self.scenario().organization()
    }

    /// Returns the world as it begins at `now`.
    pub(super) fn world(&self, now: Timestamp) -> World {
        match self {
            Self::Scenario(scenario) => scenario.world(now),
            Self::File(file) => file.world(now),
        }
    }

    /// Returns a complete `ghascale.toml` for the pools, where `url` is the organization's.
    pub(super) fn configuration(&self, url: &str) -> String {
        let on_scale_set = |pool: &Pool| {
            let made = matches!(self, Self::File(file) if file.has_scale_set(pool.name));
            made || self.scenario() == Scenario::ScaleSets && [X64.name, ARM64.name].contains(&pool.name)
        };
        let blocks = [X64, ARM64, GPU].map(|pool| pool.block(on_scale_set(&pool)));
        [head(url), blocks.concat()].concat()
    }
}

/// A pool of the configuration.
struct Pool {
    name: &'static str,
    labels: &'static [&'static str],
    image: &'static str,
    instance_types: &'static [&'static str],
    market: &'static str,
    max: u32,
}

const X64: Pool = Pool {
    name: "linux-x64",
    labels: &["self-hosted", "linux", "x64"],
    image: "ami-0123456789abcdef0",
    instance_types: &["m7a.large", "m6a.large"],
    market: "spot-then-on-demand",
    max: 8,
};
const ARM64: Pool = Pool {
    name: "linux-arm64",
    labels: &["self-hosted", "linux", "arm64"],
    image: "ami-0123456789abcdef1",
    instance_types: &["m7g.large"],
    market: "spot-then-on-demand",
    max: 4,
};
const GPU: Pool = Pool {
    name: "gpu",
    labels: &["self-hosted", "linux", "gpu"],
    image: "ami-0123456789abcdef0",
    instance_types: &["g5.xlarge"],
    market: "on-demand",
    max: 2,
};

impl Pool {
    /// Returns its block of the configuration.
    fn block(&self, on_scale_set: bool) -> String {
        let Self { name, labels, image, instance_types, market, max } = self;
        let scale_set = if on_scale_set { format!("\nscale_set = \"{name}\"") } else { String::new() };
        format!(
            r#"
[[pool]]
name = "{name}"
labels = {labels:?}{scale_set}
max = {max}
image = "{image}"
instance_types = {instance_types:?}
subnets = ["subnet-a", "subnet-b"]
security_groups = ["sg-1"]
market = "{market}"
boot_timeout = "5m"
idle_timeout = "10m"
max_lifetime = "12h"
"#
        )
    }
}

impl Scenario {
    /// Every scenario.
    pub const ALL: [Self; 3] = [Self::Acme, Self::Empty, Self::ScaleSets];

    /// Returns its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Acme => "acme",
            Self::Empty => "empty",
            Self::ScaleSets => "scale-sets",
        }
    }

    /// Returns the organization's name.
    #[must_use]
    pub fn organization(self) -> &'static str {
        "acme"
    }

    /// Returns the world as it begins at `now`.
    #[must_use]
    pub fn world(self, now: Timestamp) -> World {
        let mut world = World::new(self.organization(), now);
        world.token(TOKEN, None);
        match self {
            Self::Acme => fill_acme(&mut world),
            Self::Empty => {
                world.repository("api");
            }
            Self::ScaleSets => fill_scale_sets(&mut world),
        }
        world
    }
}

/// Returns what stands before the pools.
fn head(url: &str) -> String {
    format!(
        r#"# The embedded world of `ghascale sandbox`.
[github]
url = "{url}"
token_env = "GITHUB_TOKEN"

[scan]
requests_per_minute = 6000
max_job_age = "24h"

[ec2]
region = "eu-north-1"
fleet = "sandbox"
"#
    )
}

impl FromStr for Scenario {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let names = Self::ALL.map(Self::name).join("`, `");
        Self::ALL
            .into_iter()
            .find(|scenario| scenario.name() == name)
            .ok_or_else(|| format!("no scenario `{name}`: there are `{names}`"))
    }
}

/// Two scale sets over the same jobs as the REST API shows, one of them listened to.
fn fill_scale_sets(world: &mut World) {
    let seconds = Duration::from_secs;
    let (x64, arm64) = (X64.labels, ARM64.labels);
    for name in ["api", "web", "mobile"] {
        world.repository(name);
    }
    world.scale_set(X64.name).labels(x64.to_vec()).listened(3).with_runners(2);
    world.scale_set(ARM64.name).labels(arm64.to_vec());
    let api = world.repository("api").run().workflow("test").aged(seconds(95));
    let shards = api.job(x64.to_vec()).named("test (1)").lasting(seconds(20));
    let shards = shards.job(x64.to_vec()).named("test (2)").lasting(seconds(45));
    shards.job(x64.to_vec()).named("test (3)").lasting(seconds(30));
    world.repository("web").run().aged(seconds(40)).job(x64.to_vec()).lasting(seconds(30));
    world.repository("mobile").run().workflow("release").aged(seconds(180)).job(arm64.to_vec()).lasting(seconds(18));
    world.repository("api").arriving(seconds(20), x64.to_vec(), seconds(25));
    world.repository("mobile").arriving(seconds(45), arm64.to_vec(), seconds(30));
}

fn fill_acme(world: &mut World) {
    let seconds = Duration::from_secs;
    let (x64, arm64, gpu) = (X64.labels, ARM64.labels, GPU.labels);
    for name in ["api", "web", "worker", "mobile", "infra", "docs", "models", "search", "billing", "tools"] {
        world.repository(name);
    }
    world.repository("website").public();
    world.repository("attic").archived();
    world.repository("suspended").disabled();
    world.repository("notes").without_actions();

    // Somebody else's.
    world.runner("mac-mini-3", ["self-hosted", "macos"]).online();

    // Waiting for our runners, each for a while already.
    let api = world.repository("api").run().workflow("test").aged(seconds(95));
    let shards = api.job(x64.to_vec()).named("test (1)").lasting(seconds(20));
    let shards = shards.job(x64.to_vec()).named("test (2)").lasting(seconds(25));
    shards.job(x64.to_vec()).named("test (3)").lasting(seconds(12));
    world.repository("web").run().aged(seconds(40)).job(x64.to_vec()).lasting(seconds(30));
    world.repository("worker").run().aged(seconds(15)).job(x64.to_vec()).lasting(seconds(8));
    let mobile = world.repository("mobile").run().workflow("release").aged(seconds(180));
    let mobile = mobile.job(arm64.to_vec()).named("arm64 (debug)").lasting(seconds(18));
    mobile.job(arm64.to_vec()).named("arm64 (release)").lasting(seconds(45));
    world.repository("infra").run().aged(seconds(20)).job(arm64.to_vec()).lasting(seconds(10));
    world.repository("models").run().workflow("train").aged(seconds(310)).job(gpu.to_vec()).lasting(seconds(60));

    // On GitHub's own runners.
    let ubuntu = ["ubuntu-latest"];
    world.repository("docs").run().job(ubuntu).lasting(seconds(40)).on_hosted_runner();
    world.repository("website").run().job(ubuntu).lasting(seconds(25)).on_hosted_runner();

    // Waiting for something else than a runner.
    world.repository("infra").run().workflow("deploy").aged(seconds(3600)).job(x64.to_vec()).waiting();
    let holder = world.repository("billing").run().workflow("migrate").job(ubuntu).lasting(seconds(50));
    let holder = holder.on_hosted_runner().id();
    world.repository("billing").run().workflow("migrate").job(x64.to_vec()).lasting(seconds(15)).pending_until(holder);

    // For nobody: no pool has the label.
    world.repository("tools").run().workflow("installer").aged(seconds(600)).job(["self-hosted", "windows"]);

    // What GitHub leaves behind, and what it doesn't show yet.
    world.repository("search").run().workflow("nightly").aged(seconds(3 * 86_400));
    world.repository("search").run().workflow("index").with_hidden_jobs();

    world.repository("api").arriving(seconds(20), x64.to_vec(), seconds(25));
    world.repository("mobile").arriving(seconds(45), arm64.to_vec(), seconds(30));
    world.repository("models").arriving(seconds(150), gpu.to_vec(), seconds(60));
    world.repository("web").arriving_hosted(seconds(30), seconds(20));
}
