//! `scale-set`: the scope's runner scale sets.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::table::Look;
use crate::engine::{Label, PoolName, Statistics};
use crate::scale_set::{ScaleSet, ScaleSetId};

/// The body of `ghascale.scale-set/1`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ScaleSetsReport {
    /// The scale sets, by runner group and name.
    pub scale_sets: Vec<ScaleSetRow>,
    /// What was done, by `create`, `update` and `delete`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub result: Option<ScaleSetResult>,
}

/// One scale set.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ScaleSetRow {
    /// Its id.
    pub id: ScaleSetId,
    /// Its name.
    pub name: String,
    /// Its runner group.
    pub runner_group: GroupRow,
    /// Its labels.
    pub labels: Vec<Label>,
    /// The pool of the configuration that it is the scale set of.
    pub pool: Option<PoolName>,
    /// Its seven counts; `null` where the service didn't give them.
    pub statistics: Option<Statistics>,
}

/// A runner group.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct GroupRow {
    /// Its id.
    pub id: u64,
    /// Its name.
    pub name: String,
}

/// What was done to a scale set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScaleSetResult {
    /// It was not there, and is now.
    Created,
    /// It was as it should be.
    Unchanged,
    /// It has other labels now.
    Updated,
    /// It is gone.
    Deleted,
}

impl ScaleSetRow {
    /// Puts a scale set into words.
    #[must_use]
    pub fn of(scale_set: ScaleSet, pool: Option<PoolName>) -> Self {
        let ScaleSet { id, name, group, mut labels, statistics } = scale_set;
        labels.sort();
        let runner_group = GroupRow { id: group.id, name: group.name };
        Self { id, name, runner_group, labels, pool, statistics }
    }
}

impl ScaleSetsReport {
    /// Draws it for people.
    #[must_use]
    pub fn text(&self, look: Look) -> String {
        if self.scale_sets.is_empty() {
            return "no scale sets".to_owned();
        }
        let head = [
            "SCALE SET",
            ">ID",
            "RUNNER GROUP",
            "LABELS",
            "POOL",
            ">OFFERED",
            ">ASSIGNED",
            ">RUNNING",
            ">REGISTERED",
            ">BUSY",
            ">IDLE",
        ];
        let table = look.table(
            &head,
            self.scale_sets.iter().map(|set| {
                let count = |count: fn(&Statistics) -> u64| match set.statistics.as_ref().map(count) {
                    None => "?".to_owned(),
                    Some(0) => "-".to_owned(),
                    Some(count) => count.to_string(),
                };
                vec![
                    set.name.clone(),
                    set.id.to_string(),
                    set.runner_group.name.clone(),
                    set.labels.iter().map(Label::as_str).collect::<Vec<_>>().join(","),
                    set.pool.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
                    count(|counts| counts.available + counts.acquired),
                    count(|counts| counts.assigned),
                    count(|counts| counts.running),
                    count(|counts| counts.registered),
                    count(|counts| counts.busy),
                    count(|counts| counts.idle),
                ]
            }),
        );
        let result = self.result.map(|result| match result {
            ScaleSetResult::Created => "created",
            ScaleSetResult::Unchanged => "unchanged",
            ScaleSetResult::Updated => "updated",
            ScaleSetResult::Deleted => "deleted",
        });
        match result {
            Some(result) => format!("{table}\n\nscale set: {result}"),
            None => table,
        }
    }
}
