//! What commands print: one JSON object for scripts, or tables for people, from the same values.

mod apply;
mod compare;
mod cost;
mod explain;
mod plan;
mod rerun;
mod scale_sets;
mod status;
mod table;

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use apply::{ActionResult, ApplyReport, ResultWord, Summary};
pub use compare::{CompareReport, PoolComparison, RestCounts, ScaleSetCounts};
pub use cost::CostRow;
pub use explain::{ExplainReport, OtherJob};
pub use plan::{ActionKind, ActionRow, HeldRow, MarkRow, PlanCost, PlanFileError, PlanReport, PoolSums};
pub use rerun::{RerunResult, RerunRow};
pub use scale_sets::{GroupRow, ScaleSetResult, ScaleSetRow, ScaleSetsReport};
pub use status::{
    HiddenRunRow, InstanceCounts, JobRow, Known, LabelSetRow, PoolStatus, Repositories, RunnerCounts, ScanRow,
    SkippedRow, StatusCost, StatusReport,
};
pub use table::{Look, Style, printable};

use crate::ages::short;
use crate::github::Usage;
use crate::warning::Warning;

/// What every command's JSON begins with.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Report<T> {
    /// The form of this object and its version: `ghascale.status/1`.
    pub schema: String,
    /// When the observation began, RFC 3339.
    pub generated_at: String,
    /// The scope: `acme`, `acme/api`, `enterprises/acme`.
    pub scope: String,
    /// What is missing, or worth a word.
    pub warnings: Vec<Warning>,
    /// What GitHub's API was asked.
    pub api: Api,
    /// The command's own part.
    #[serde(flatten)]
    pub body: T,
}

/// What a run cost of GitHub's rate limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Api {
    /// Requests sent.
    pub requests: u64,
    /// Those of them that GitHub answered with 304, which cost nothing.
    pub not_modified: u64,
    /// `x-ratelimit-remaining` of the last answer; `null` where no answer named a limit.
    pub rate_limit_remaining: Option<u64>,
    /// `x-ratelimit-limit`.
    pub rate_limit_limit: Option<u64>,
    /// Answers came, and none of them named a limit.
    #[serde(skip)]
    pub is_without_limits: bool,
}

impl<T> Report<T> {
    /// Returns whether something is missing from the result.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.warnings.iter().any(|warning| warning.code.is_partial())
    }
}

impl<T: Serialize> Report<T> {
    /// Returns the one JSON object that stdout gets.
    ///
    /// # Errors
    /// None is known: every field has a JSON form.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }
}

impl Api {
    /// Returns it without the requests of before: those of one look of several.
    #[must_use]
    pub fn since(self, before: Usage) -> Self {
        Self {
            requests: self.requests.saturating_sub(before.requests),
            not_modified: self.not_modified.saturating_sub(before.not_modified),
            ..self
        }
    }

    /// Returns the line that ends every output.
    #[must_use]
    pub fn line(&self, cadence: Option<Duration>) -> String {
        let every = cadence.unwrap_or(Duration::from_mins(1));
        let per_hour = self.requests.saturating_sub(self.not_modified) * 3600 / every.as_secs().max(1);
        let how_often = match cadence {
            Some(cadence) => format!("every {}", short(cadence)),
            None => "once a minute".to_owned(),
        };
        let limit = match (self.rate_limit_remaining, self.rate_limit_limit) {
            (Some(remaining), Some(limit)) => format!("{} of {} left", thousands(remaining), thousands(limit)),
            (Some(remaining), None) => format!("{} left", thousands(remaining)),
            (None, _) if self.is_without_limits => "no rate limit".to_owned(),
            // Nothing was asked, or nothing came back.
            (None, _) => "limit unknown".to_owned(),
        };
        format!(
            "api: {} {}, {} not modified, {limit}; {} an hour if run {how_often}",
            thousands(self.requests),
            if self.requests == 1 { "request" } else { "requests" },
            thousands(self.not_modified),
            thousands(per_hour),
        )
    }
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (nth, digit) in digits.chars().enumerate() {
        if nth > 0 && (digits.len() - nth).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_line_says_what_a_cadence_costs() {
        let (rate_limit_remaining, rate_limit_limit) = (Some(4963), Some(5000));
        let api = Api { requests: 37, not_modified: 7, rate_limit_remaining, rate_limit_limit, ..Api::default() };
        let line = "api: 37 requests, 7 not modified, 4,963 of 5,000 left; 1,800 an hour if run once a minute";
        assert_eq!(api.line(None), line);
    }

    #[test]
    fn a_limit_that_no_answer_named_is_not_said_to_be_none() {
        let line = "api: 0 requests, 0 not modified, limit unknown; 0 an hour if run once a minute";
        assert_eq!(Api::default().line(None), line);
        let line = "api: 4 requests, 0 not modified, no rate limit; 240 an hour if run once a minute";
        assert_eq!(Api { requests: 4, is_without_limits: true, ..Api::default() }.line(None), line);
    }
}
