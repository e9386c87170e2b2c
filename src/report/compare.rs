//! `compare`: REST's counts beside the scale sets', and the causes of their differences.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::table::{Look, Style, printable};
use crate::comparison::{Cause, Verdict};
use crate::engine::{CountKind, PoolName, Statistics};
use crate::scale_set::ScaleSetId;

/// The body of `ghascale.compare/1`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CompareReport {
    /// By name; without a configuration file, one for each scale set.
    pub pools: Vec<PoolComparison>,
}

/// One pool's two counts.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PoolComparison {
    /// The pool, or without a configuration file, the scale set.
    pub name: PoolName,
    /// What REST counts: the numbers of `status`; `null` where it could not be read.
    pub rest: Option<RestCounts>,
    /// What the Actions Service counts; `null` where there is no scale set, or it could not be read.
    pub scale_set: Option<ScaleSetCounts>,
    /// REST's `queued` and `in_progress`, less the scale set's `available`, `acquired` and `assigned`; `null` where one
    /// side is.
    pub difference: Option<i64>,
    /// What explains it.
    pub causes: Vec<Cause>,
    /// What it comes to.
    pub verdict: Verdict,
}

/// REST's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RestCounts {
    /// Pending jobs that the pool takes.
    pub queued: u64,
    /// Jobs in progress on its runners.
    pub in_progress: u64,
    /// How these two are known.
    pub count_kind: CountKind,
}

/// The Actions Service's side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScaleSetCounts {
    /// Its id.
    pub id: ScaleSetId,
    /// Its name.
    pub name: String,
    /// Its seven counts.
    #[serde(flatten)]
    pub counts: Statistics,
}

impl CompareReport {
    /// Returns whether any pool's counts differ.
    #[must_use]
    pub fn has_differences(&self) -> bool {
        self.pools.iter().any(|pool| pool.verdict == Verdict::Differ)
    }

    /// Returns whether a count is missing.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.pools.iter().any(|pool| pool.verdict == Verdict::Unknown)
    }

    /// Draws it for people.
    #[must_use]
    pub fn text(&self, look: Look) -> String {
        if self.pools.is_empty() {
            return "no scale sets".to_owned();
        }
        let head = [
            "POOL",
            ">REST QUEUED",
            ">RUNNING",
            "SCALE SET",
            ">OFFERED",
            ">WAITING",
            ">RUNNING",
            ">DIFFERENCE",
            "VERDICT",
        ];
        let table = look.table(&head, self.pools.iter().map(row));
        let causes: Vec<String> = self.pools.iter().flat_map(|pool| pool.lines(look)).collect();
        if causes.is_empty() { table } else { format!("{table}\n\n{}", causes.join("\n")) }
    }
}

fn row(pool: &PoolComparison) -> Vec<String> {
    let rest = |count: fn(&RestCounts) -> u64| match pool.rest {
        None => "?".to_owned(),
        Some(rest) => match rest.count_kind {
            CountKind::Exact => number(count(&rest)),
            CountKind::AtLeast => format!("≥{}", count(&rest)),
            CountKind::Stale => format!("~{}", count(&rest)),
        },
    };
    let set = |count: fn(&Statistics) -> u64| {
        pool.scale_set.as_ref().map_or_else(|| "?".to_owned(), |set| number(count(&set.counts)))
    };
    vec![
        pool.name.to_string(),
        rest(|rest| rest.queued),
        rest(|rest| rest.in_progress),
        pool.scale_set.as_ref().map_or_else(|| "?".to_owned(), |set| format!("{} ({})", set.name, set.id)),
        set(|counts| counts.available + counts.acquired),
        set(Statistics::waiting),
        set(|counts| counts.running),
        match pool.difference {
            None => "?".to_owned(),
            Some(0) => "-".to_owned(),
            Some(difference) => format!("{difference:+}"),
        },
        match pool.verdict {
            Verdict::Agree => "agree",
            Verdict::Differ => "differ",
            Verdict::Unknown => "unknown",
        }
        .to_owned(),
    ]
}

impl PoolComparison {
    fn lines(&self, look: Look) -> Vec<String> {
        let style = if self.verdict == Verdict::Differ { Style::Bad } else { Style::Quiet };
        let line = |cause: &Cause| {
            let count = cause.count.map_or_else(|| "?".to_owned(), |count| count.to_string());
            let head = look.paint(style, &format!("{}: {count} {}", self.name, cause.code.as_str()));
            format!("{head}  # {}", printable(&cause.message))
        };
        self.causes.iter().map(line).collect()
    }
}

fn number(count: u64) -> String {
    if count == 0 { "-".to_owned() } else { count.to_string() }
}
