//! What the control endpoint and scenario files may turn: one form each, for both.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::control::ADVANCE_AT_MOST;
use super::world::World;
use crate::engine::{Market, Statistics};

/// Jobs, all in one run of the given repository, or of the first that is active.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Jobs {
    repository: Option<String>,
    labels: Vec<String>,
    #[serde(default = "one")]
    count: u32,
    duration_seconds: Option<u32>,
    /// How long their run has been there.
    #[serde(default)]
    age_seconds: u32,
}

fn one() -> u32 {
    1
}

impl Jobs {
    /// Adds them; returns their ids.
    pub(super) fn add(self, world: &mut World) -> Value {
        let first = || {
            let mut active = world.repositories.values().filter(|it| !it.archived && !it.disabled && it.actions);
            active.next().map_or_else(|| "api".to_owned(), |found| found.full_name.clone())
        };
        let repository = self.repository.clone().unwrap_or_else(first);
        let duration =
            self.duration_seconds.map_or(world.settings.job_duration, |seconds| Duration::from_secs(seconds.into()));
        let run = world.repository(&repository).run().aged(Duration::from_secs(self.age_seconds.into())).id();
        let ids: Vec<_> =
            (0..self.count.min(1000)).map(|_| world.run(run).job(self.labels.clone()).lasting(duration).id()).collect();
        json!({ "run_id": run, "job_ids": ids })
    }
}

/// Any of the world's knobs; those that aren't named stay.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Knobs {
    running_after_seconds: Option<f64>,
    boot_seconds: Option<f64>,
    idle_timeout_seconds: Option<f64>,
    shutdown_seconds: Option<f64>,
    listener_gives_up_seconds: Option<f64>,
    invisible_for_seconds: Option<f64>,
    busy_lag_seconds: Option<f64>,
    job_duration_seconds: Option<f64>,
    boot_fails: Option<u32>,
    round_trip_seconds: Option<f64>,
    index_lag_seconds: Option<f64>,
    rate_limits: Option<bool>,
    /// 0: none.
    secondary_limit: Option<usize>,
    /// 0: none.
    concurrency_limit: Option<usize>,
    /// The number of the organization's webhook; 0: it has none.
    delivery_hook: Option<u64>,
    delivery_lag_seconds: Option<f64>,
    deliveries_lost: Option<bool>,
    #[serde(default)]
    deliveries: Vec<Delivered>,
    #[serde(default)]
    capacity: Vec<Capacity>,
    #[serde(default)]
    spot_prices: Vec<SpotPrice>,
    rate_limit_remaining: Option<u32>,
    /// What the Actions Service is like.
    #[serde(default)]
    scale_sets: Map<String, Value>,
}

/// A delivery that no job stands behind.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Delivered {
    event: String,
    action: String,
    repository_id: u64,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Capacity {
    market: Market,
    instance_type: String,
    subnet: String,
    /// `null`: no end.
    left: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct SpotPrice {
    instance_type: String,
    zone: String,
    /// As EC2 writes it, `"0.041000"`; `null`: it has none.
    usd_per_hour: Option<String>,
}

impl Knobs {
    /// Turns them; nothing is turned where one can't be.
    pub(super) fn turn(&self, world: &mut World) -> Result<Value, String> {
        world.settings.scale_sets.turn(&self.scale_sets)?;
        let settings = &mut world.settings;
        for (knob, value) in [
            (&mut settings.running_after, self.running_after_seconds),
            (&mut settings.boot, self.boot_seconds),
            (&mut settings.idle_timeout, self.idle_timeout_seconds),
            (&mut settings.shutdown, self.shutdown_seconds),
            (&mut settings.listener_gives_up, self.listener_gives_up_seconds),
            (&mut settings.invisible_for, self.invisible_for_seconds),
            (&mut settings.busy_lag, self.busy_lag_seconds),
            (&mut settings.job_duration, self.job_duration_seconds),
            (&mut settings.round_trip, self.round_trip_seconds),
            (&mut settings.index_lag, self.index_lag_seconds),
            (&mut settings.delivery_lag, self.delivery_lag_seconds),
        ] {
            if let Some(seconds) = value {
                *knob = Duration::from_secs_f64(seconds.clamp(0.0, ADVANCE_AT_MOST));
            }
        }
        settings.rate_limits = self.rate_limits.unwrap_or(settings.rate_limits);
        if let Some(limit) = self.secondary_limit {
            settings.secondary_limit = Some(limit).filter(|limit| *limit > 0);
        }
        if let Some(limit) = self.concurrency_limit {
            settings.concurrency_limit = Some(limit).filter(|limit| *limit > 0);
        }
        if let Some(hook) = self.delivery_hook {
            settings.delivery_hook = Some(hook).filter(|hook| *hook > 0);
        }
        settings.deliveries_lost = self.deliveries_lost.unwrap_or(settings.deliveries_lost);
        for Delivered { event, action, repository_id } in &self.deliveries {
            world.deliver(event, action, *repository_id);
        }
        if let Some(instances) = self.boot_fails {
            world.fail_next_boots(instances);
        }
        for capacity in &self.capacity {
            world.capacity(capacity.market, &capacity.instance_type, &capacity.subnet, capacity.left);
        }
        for SpotPrice { instance_type, zone, usd_per_hour } in &self.spot_prices {
            world.spot_price(instance_type, zone, usd_per_hour.as_deref());
        }
        if let Some(remaining) = self.rate_limit_remaining {
            let limit = world.budget.limit.max(remaining);
            world.rate_limit(limit, remaining);
        }
        Ok(json!({}))
    }
}

/// A scale set of the organization, or a repository's: made where there is none of the name; what isn't named stays.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScaleSetKnobs {
    pub(super) name: String,
    repository: Option<String>,
    runner_group: Option<String>,
    labels: Option<Vec<String>>,
    /// The listener of another system holds its session and announces so much.
    listened: Option<u32>,
    /// It has so many runners of its own.
    runners: Option<u32>,
    statistics: Option<Said>,
    /// Whoever holds its session loses it.
    #[serde(default)]
    session_lost: bool,
    /// It is made anew, with another id.
    #[serde(default)]
    recreated: bool,
    /// It is gone.
    #[serde(default)]
    vanished: bool,
}

/// What is said of a set's statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Said {
    True,
    StuckAtZero,
    StuckAt(Statistics),
    TooHigh(u64),
}

impl ScaleSetKnobs {
    /// Turns them; returns the set's id, null if it is gone.
    pub(super) fn turn(&self, world: &mut World) -> Value {
        let mut set = match &self.repository {
            Some(repository) => world.repository_scale_set(repository, &self.name),
            None => world.scale_set(&self.name),
        };
        if let Some(group) = &self.runner_group {
            set = set.group(group);
        }
        if let Some(labels) = &self.labels {
            set = set.labels(labels.clone());
        }
        if self.recreated {
            set = set.recreate();
        }
        if self.session_lost {
            set = set.without_session();
        }
        if let Some(capacity) = self.listened {
            set = set.listened(capacity);
        }
        if let Some(runners) = self.runners {
            set = set.with_runners(runners);
        }
        set = match self.statistics {
            None => set,
            Some(Said::True) => set.statistics_true(),
            Some(Said::StuckAtZero) => set.statistics_stuck_at_zero(),
            Some(Said::StuckAt(statistics)) => set.statistics_stuck_at(statistics),
            Some(Said::TooHigh(by)) => set.statistics_too_high(by),
        };
        let id = set.id();
        if self.vanished {
            set.vanish();
            return json!({ "id": null });
        }
        json!({ "id": id })
    }
}

/// A runner group: made where there is none of the name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RunnerGroupKnobs {
    name: String,
    visibility: Option<Seen>,
    /// With `selected`: which repositories.
    #[serde(default)]
    repositories: Vec<String>,
    #[serde(default = "yes")]
    allows_public_repositories: bool,
}

/// Whom a group is open to, in GitHub's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Seen {
    All,
    Private,
    Selected,
}

fn yes() -> bool {
    true
}

impl RunnerGroupKnobs {
    /// Turns them; returns the group's id.
    pub(super) fn turn(&self, world: &mut World) -> Value {
        let mut group = world.group(&self.name);
        group = match self.visibility {
            None => group,
            Some(Seen::All) => group.for_all(),
            Some(Seen::Private) => group.for_private(),
            Some(Seen::Selected) => group.for_selected(&self.repositories),
        };
        if !self.allows_public_repositories {
            group = group.without_public_repositories();
        }
        json!({ "id": group.id() })
    }
}

/// A repository: made where there is none of the name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RepositoryKnobs {
    name: String,
    #[serde(default)]
    public: bool,
    #[serde(default)]
    archived: bool,
}

impl RepositoryKnobs {
    pub(super) fn turn(&self, world: &mut World) {
        let mut repository = world.repository(&self.name);
        if self.public {
            repository = repository.public();
        }
        if self.archived {
            repository.archived();
        }
    }
}
