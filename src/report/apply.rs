//! `apply`: the plan, and what became of each of its actions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cost::CostRow;
use super::plan::{ActionKind, ActionRow, PlanReport, PoolSums};
use super::rerun::RerunResult;
use super::table::{Look, Style, printable};
use crate::apply::{Outcome, Result};
use crate::engine::{Cost, Offering, Prices};

/// The body of `ghascale.apply/1`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ApplyReport {
    /// As in `plan`.
    pub plan_id: String,
    /// As in `plan`.
    pub pools: Vec<PoolSums>,
    /// The actions, in order, each with its result.
    pub actions: Vec<ActionResult>,
    /// The re-runs, each with its result; they are not in the sums.
    #[serde(default)]
    pub reruns: Vec<RerunResult>,
    /// As in `plan`.
    pub unschedulable: Vec<crate::engine::Unschedulable>,
    /// The sums.
    pub summary: Summary,
    /// What the launches that were done have added; `null` where nothing is known of prices.
    pub cost: Option<CostRow>,
}

/// An action and what became of it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ActionResult {
    /// The action.
    #[serde(flatten)]
    pub action: ActionRow,
    /// What became of it.
    pub result: ResultWord,
    /// What stood against it.
    pub error: Option<String>,
    /// Whether a failed launch may have left something all the same: its registration, and perhaps an instance. What it
    /// costs is not known then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_remain: bool,
    /// EC2's id of the request for launch, terminate and mark, GitHub's for deregister.
    pub request_id: Option<String>,
    /// For a launch: what would have been bought before it, and was not to be had: no capacity, a full subnet, a full market.
    #[serde(default)]
    pub no_capacity: Vec<Offering>,
}

/// The three ways an action ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResultWord {
    /// As planned.
    Done,
    /// It no longer held.
    Skipped,
    /// It did not work.
    Failed,
}

impl From<Result> for ResultWord {
    fn from(result: Result) -> Self {
        match result {
            Result::Done => Self::Done,
            Result::Skipped => Self::Skipped,
            Result::Failed => Self::Failed,
        }
    }
}

impl ResultWord {
    /// Returns the word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        }
    }

    /// Returns it for people, with what stood against it.
    pub(super) fn words(self, look: Look, error: Option<&str>) -> String {
        let style = match self {
            Self::Done => Style::Good,
            Self::Skipped => Style::Quiet,
            Self::Failed => Style::Bad,
        };
        format!(
            "{}{}",
            look.paint(style, self.word()),
            error.map_or_else(String::new, |error| format!(": {}", printable(error)))
        )
    }
}

/// How many actions ended in each way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// As planned.
    pub done: u64,
    /// No longer held.
    pub skipped: u64,
    /// Did not work.
    pub failed: u64,
}

impl From<&Outcome> for ActionResult {
    fn from(outcome: &Outcome) -> Self {
        let mut action = ActionRow::from(&outcome.action);
        action.instance_id.clone_from(&outcome.instance_id);
        action.runner_id = outcome.runner_id.or(action.runner_id);
        action.offering = outcome.offering.clone().or(action.offering);
        action.fallbacks.clear();
        Self {
            action,
            result: outcome.result.into(),
            error: outcome.error.clone(),
            may_remain: outcome.may_remain,
            request_id: outcome.request_id.clone(),
            no_capacity: outcome.no_capacity.clone(),
        }
    }
}

impl ActionResult {
    /// Returns an action of a plan file that no longer holds.
    #[must_use]
    pub fn skipped(action: ActionRow, why: impl Into<String>) -> Self {
        let (result, error) = (ResultWord::Skipped, Some(why.into()));
        Self { action, result, error, may_remain: false, request_id: None, no_capacity: Vec::new() }
    }

    /// Puts the price to what was bought.
    #[must_use]
    pub fn priced(mut self, prices: &Prices) -> Self {
        self.action.price(prices);
        self
    }

    /// Returns it as a line.
    #[must_use]
    pub fn line(&self, look: Look) -> String {
        let deed = self.action.line(look);
        let launched = match (self.result, &self.action.instance_id) {
            (ResultWord::Done, Some(id)) if self.action.action == ActionKind::Launch => format!("{id} "),
            _ => String::new(),
        };
        let result = self.result.words(look, self.error.as_deref());
        let without: Vec<String> = self.no_capacity.iter().map(ToString::to_string).collect();
        let without = if without.is_empty() { String::new() } else { format!(", no capacity: {}", without.join("; ")) };
        format!("{deed}\n    {launched}{result}{without}")
    }
}

impl ApplyReport {
    /// Puts a run into words.
    #[must_use]
    pub fn of(plan: &PlanReport, actions: Vec<ActionResult>, reruns: Vec<RerunResult>) -> Self {
        let mut summary = Summary::default();
        for action in &actions {
            match action.result {
                ResultWord::Done => summary.done += 1,
                ResultWord::Skipped => summary.skipped += 1,
                ResultWord::Failed => summary.failed += 1,
            }
        }
        let launches = actions.iter().filter(|action| action.action.action == ActionKind::Launch);
        let price = |launch: &ActionResult| match launch.result {
            ResultWord::Done => Some(launch.action.usd_per_hour),
            // It was registered, so it may have been ordered: whether an instance runs and costs something is not known.
            ResultWord::Failed if launch.may_remain && launch.action.runner_id.is_some() => Some(None),
            ResultWord::Failed | ResultWord::Skipped => None,
        };
        let cost: Cost = launches.filter_map(price).collect();
        Self {
            cost: plan.cost.map(|_| cost.into()),
            plan_id: plan.plan_id.clone(),
            pools: plan.pools.clone(),
            actions,
            reruns,
            unschedulable: plan.unschedulable.clone(),
            summary,
        }
    }

    /// Draws it for people.
    #[must_use]
    pub fn text(&self, look: Look) -> String {
        let lines: Vec<String> = self.actions.iter().map(|action| action.line(look)).collect();
        let Summary { done, skipped, failed } = self.summary;
        let reruns: Vec<String> = self.reruns.iter().map(|rerun| rerun.line(look)).collect();
        let done_again = self.reruns.iter().filter(|rerun| rerun.result == ResultWord::Done).count();
        let again =
            if reruns.is_empty() { String::new() } else { format!("; {done_again} of {} re-run", reruns.len()) };
        let sums = if lines.is_empty() && reruns.is_empty() {
            format!("applied: {}", PoolSums::nothing(&self.pools))
        } else {
            let cost = self.cost.filter(|cost| *cost != Cost::default().into());
            let cost = cost.map_or_else(String::new, |cost| format!("; +{}", cost.words()));
            format!("applied: {done} done, {skipped} skipped, {failed} failed{cost}{again}")
        };
        lines.into_iter().chain(reruns).chain([sums]).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::build::{job, policy, pool, snapshot};

    #[test]
    fn neither_a_label_nor_an_error_can_speak_to_the_terminal() {
        let seen = snapshot().job(job(1)).job(job(2).labels("\u{1b}[2J"));
        let plan = crate::engine::plan(&seen, &policy([pool("linux")]));
        let plan = PlanReport::of(&plan, &seen, "");
        assert!(!plan.unschedulable.is_empty());
        let failed = ActionResult::skipped(plan.actions[0].clone(), "GitHub says \u{1b}[2J");
        for text in [plan.text(Look::default()), failed.line(Look::default())] {
            assert!(text.contains("\u{fffd}[2J") && !text.contains('\u{1b}'), "{text}");
        }
    }
}
