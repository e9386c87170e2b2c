//! Scenario files: a world to begin with, as its owner wrote it down.

use std::path::Path;

use jiff::Timestamp;
use serde::Deserialize;

use super::knobs::{Jobs, Knobs, RepositoryKnobs, RunnerGroupKnobs, ScaleSetKnobs};
use super::scenario::Scenario;
use super::world::World;

/// A scenario file, read: what is put on top of a scenario.
///
/// ```toml
/// scenario = "empty"                       # the one to begin with; the default
///
/// [settings]                               # as `POST /_sandbox/settings` takes them
/// boot_seconds = 2
/// [settings.scale_sets]
/// dispatch = "acquire"
/// nulls = true
///
/// [[repository]]
/// name = "website"
/// public = true
///
/// [[runner_group]]
/// name = "gpu"
/// visibility = "selected"                  # all | private | selected
/// repositories = ["models"]
///
/// [[scale_set]]
/// name = "linux-x64"                       # a pool of that name gets `scale_set = "linux-x64"`
/// labels = ["self-hosted", "linux", "x64"]
/// listened = 5                             # held by the listener of another system
/// runners = 2
///
/// [[job]]
/// repository = "api"
/// labels = ["self-hosted", "linux", "x64"]
/// count = 3
/// ```
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScenarioFile {
    #[serde(skip)]
    name: String,
    #[serde(default = "empty")]
    scenario: Scenario,
    #[serde(default)]
    settings: Knobs,
    #[serde(default, rename = "repository")]
    repositories: Vec<RepositoryKnobs>,
    #[serde(default, rename = "runner_group")]
    runner_groups: Vec<RunnerGroupKnobs>,
    #[serde(default, rename = "scale_set")]
    scale_sets: Vec<ScaleSetKnobs>,
    #[serde(default, rename = "job")]
    jobs: Vec<Jobs>,
}

fn empty() -> Scenario {
    Scenario::Empty
}

impl ScenarioFile {
    /// Reads one.
    ///
    /// # Errors
    /// It can't be read, or something in it isn't understood; the message names the file, and the line where there is
    /// one.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("`{}`: {error}", path.display()))?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// Reads the text of one; `name` is what it is called in messages.
    ///
    /// # Errors
    /// Something in it isn't understood.
    pub fn parse(name: &str, text: &str) -> Result<Self, String> {
        let refuse = |message: String| format!("`{name}`: {}", message.trim_end());
        let mut file: Self = toml::from_str(text).map_err(|error| refuse(error.to_string()))?;
        name.clone_into(&mut file.name);
        let mut world = file.scenario.world(Timestamp::UNIX_EPOCH);
        file.settings.turn(&mut world).map_err(|error| refuse(format!("settings: {error}")))?;
        Ok(file)
    }

    /// Returns what it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the scenario that it is put on top of.
    #[must_use]
    pub fn scenario(&self) -> Scenario {
        self.scenario
    }

    /// Returns whether it makes a scale set of that name.
    pub(super) fn has_scale_set(&self, name: &str) -> bool {
        self.scale_sets.iter().any(|set| set.name == name)
    }

    /// Returns the world as it begins at `now`.
    pub(super) fn world(&self, now: Timestamp) -> World {
        let mut world = self.scenario.world(now);
        self.settings.turn(&mut world).expect("they were turned once when the file was read");
        self.repositories.iter().for_each(|repository| repository.turn(&mut world));
        for group in &self.runner_groups {
            group.turn(&mut world);
        }
        for set in &self.scale_sets {
            set.turn(&mut world);
        }
        for jobs in &self.jobs {
            jobs.clone().add(&mut world);
        }
        world
    }
}
