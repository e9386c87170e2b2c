//! `plan`: what apply would do, and why. The same object is the plan file.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Report;
use super::cost::CostRow;
use super::rerun::RerunRow;
use super::status::age_seconds;
use super::table::{Look, Style, bounded, not_read_now, number, printable};
use crate::engine::{
    Action, Cost, CountKind, Held, InstanceId, Mark, Offering, Plan, PoolName, PoolPlan, Price, Prices, Reason,
    ReasonCode, Rerun, RunnerId, RunnerName, ScaleSetDemand, Slot, Snapshot, Source, Step, Unschedulable,
};
use crate::quoting::json_fault;

/// The form of a plan file, and its version.
const SCHEMA: &str = "ghascale.plan/1";

/// Why a file is no plan that can be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanFileError {
    /// It is something else.
    #[error("not a plan file: {0}")]
    NoPlan(String),
    /// It is of another version, or another command's report.
    #[error("its schema is {0}, and this version reads `{SCHEMA}`")]
    Schema(String),
    /// Its id does not follow from its content.
    #[error("it was changed after it was written")]
    Changed,
    /// It was made with a configuration that decides otherwise.
    #[error("it was made with another configuration")]
    AnotherConfiguration,
}

/// Returns a schema as it is quoted, if it can be one of ours.
fn one_of_ours(schema: &str) -> String {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '/' | '.');
    let is_ours = schema.starts_with("ghascale.") && schema.len() <= 40 && schema.chars().all(is_word);
    if is_ours { format!("`{schema}`") } else { "none of ghascale's".to_owned() }
}

/// The body of `ghascale.plan/1`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PlanReport {
    /// SHA-256 over the configuration, what was seen, and the actions.
    pub plan_id: String,
    /// SHA-256 over all of the configuration that decides a plan: `apply FILE` refuses another one.
    pub configuration: String,
    /// SHA-256 over what was seen.
    pub inputs: String,
    /// The sums.
    pub pools: Vec<PoolSums>,
    /// How long ago the oldest part of the jobs was seen; `null` where all of them were read now.
    #[serde(default)]
    pub age_seconds: Option<u64>,
    /// What is to be done, in order.
    pub actions: Vec<ActionRow>,
    /// The jobs that are to be re-run, since EC2 took their spot instances back.
    #[serde(default)]
    pub reruns: Vec<RerunRow>,
    /// Pending jobs that get no runner.
    pub unschedulable: Vec<Unschedulable>,
    /// Ends that a guard holds back.
    pub held: Vec<HeldRow>,
    /// What the launches add, each at the price of its first choice; `null` where nothing is known of prices.
    #[serde(default)]
    pub cost: Option<PlanCost>,
}

/// A pool's sums; `null` is what could not be read, and what follows from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PoolSums {
    /// The pool.
    pub name: PoolName,
    /// Jobs running on it and pending jobs assigned to it.
    pub demand: Option<u32>,
    /// How that is known.
    #[serde(default)]
    pub count_kind: Option<CountKind>,
    /// Runners that are there or on their way: busy, idle, booting, launching.
    pub supply: Option<u32>,
    /// `min(max, demand + min_idle)`.
    pub target: Option<u32>,
    /// Launches in this plan.
    pub launch: u32,
    /// Instances that this plan ends.
    pub end: u32,
}

impl PoolSums {
    /// Returns what is known of a pool's sums: jobs at work are told by the runner records, and what is on its way by both
    /// lists.
    fn of(sums: &PoolPlan, snapshot: &Snapshot) -> Self {
        let by_rest = snapshot.demand.kind;
        let is_counted = |demand: &ScaleSetDemand| matches!(demand, ScaleSetDemand::Counted(_));
        let is_by_the_set = snapshot.scale_sets.get(&sums.name).is_some_and(is_counted);
        let (runners, both) = (snapshot.runners.whole, snapshot.runners.whole && snapshot.instances.whole);
        let demand = sums.demand.filter(|_| runners);
        Self {
            name: sums.name.clone(),
            demand,
            count_kind: demand.map(|_| if is_by_the_set { CountKind::Exact } else { by_rest }),
            supply: both.then_some(sums.supply),
            target: sums.target.filter(|_| runners),
            launch: sums.launch,
            end: sums.end,
        }
    }

    fn cells(&self) -> [String; 6] {
        let shown = |count: Option<u32>| bounded(count.map(u64::from), Some(CountKind::Exact));
        let bounded = |count: Option<u32>| bounded(count.map(u64::from), self.count_kind);
        let (launch, end) = (number(self.launch.into()), number(self.end.into()));
        [self.name.to_string(), bounded(self.demand), shown(self.supply), bounded(self.target), launch, end]
    }

    /// Says that nothing is to be done, as far as that is known.
    pub(super) fn nothing(pools: &[Self]) -> &'static str {
        if pools.iter().any(|pool| pool.supply.is_none()) {
            "what there is to do is not known: runners or instances could not be read whole"
        } else if pools.iter().any(|pool| pool.demand.is_none()) {
            "nothing to do as far as it is known: the jobs of a scale set could not be counted"
        } else if pools.iter().any(|pool| pool.count_kind == Some(CountKind::AtLeast)) {
            "nothing to do for the jobs that could be read"
        } else {
            "nothing to do"
        }
    }
}

/// What launches add to the fleet's cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlanCost {
    /// If each gets its first choice.
    pub added: CostRow,
    /// If each falls back to the dearest that it may be tried with.
    pub added_at_most: CostRow,
}

impl PlanCost {
    fn of(plan: &Plan, prices: &Prices) -> Option<Self> {
        let offerings = || {
            plan.actions.iter().filter_map(|action| match &action.step {
                Step::Launch { offerings, .. } => Some(offerings),
                Step::Deregister { .. } | Step::Terminate { .. } | Step::Mark { .. } => None,
            })
        };
        let first = |offerings: &Vec<Offering>| prices.of_offering(offerings.first()?);
        let dearest = |offerings: &Vec<Offering>| {
            let known: Option<Vec<Price>> = offerings.iter().map(|one| prices.at_most_of_offering(one)).collect();
            known?.into_iter().max()
        };
        let sum = |cost: Cost| CostRow::from(cost);
        (!prices.is_empty()).then(|| Self {
            added: sum(offerings().map(first).collect()),
            added_at_most: sum(offerings().map(dearest).collect()),
        })
    }
}

/// One action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ActionRow {
    /// What is done.
    pub action: ActionKind,
    /// The pool.
    pub pool: PoolName,
    /// The slot.
    pub slot: Option<Slot>,
    /// The runner's name.
    pub runner: Option<RunnerName>,
    /// The runner record's id.
    pub runner_id: Option<RunnerId>,
    /// The instance.
    pub instance_id: Option<InstanceId>,
    /// What is bought; the first choice, until it is bought.
    pub offering: Option<Offering>,
    /// What is bought in its place where that can't be had, in this order; of a plan file nothing else is ever bought.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallbacks: Vec<Offering>,
    /// What an hour of that costs, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usd_per_hour: Option<Price>,
    /// For a launch: which book its jobs are in, and so where its runner is registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// The note that is set or cleared.
    pub mark: Option<MarkRow>,
    /// Why.
    pub reason: Reason,
}

/// The kinds of action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActionKind {
    /// Register a runner and launch an instance for it.
    Launch,
    /// Delete a runner's record.
    Deregister,
    /// Terminate an instance.
    Terminate,
    /// Set or clear a note on an instance.
    Mark,
}

/// A note on an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MarkRow {
    /// Which.
    pub name: Mark,
    /// `false` clears it.
    pub set: bool,
}

/// An end that a guard holds back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeldRow {
    /// The pool.
    pub pool: PoolName,
    /// The runner's name.
    pub runner: Option<RunnerName>,
    /// The instance.
    pub instance_id: Option<InstanceId>,
    /// The guard.
    pub reason: Reason,
}

impl From<&Action> for ActionRow {
    fn from(action: &Action) -> Self {
        let mut row = Self {
            action: ActionKind::Launch,
            pool: action.pool.clone(),
            slot: action.slot,
            runner: action.runner.clone(),
            runner_id: None,
            instance_id: action.instance_id().cloned(),
            offering: None,
            fallbacks: Vec::new(),
            usd_per_hour: None,
            source: None,
            mark: None,
            reason: action.reason.clone(),
        };
        match &action.step {
            Step::Launch { offerings, source } => {
                row.offering = offerings.first().cloned();
                row.fallbacks = offerings.iter().skip(1).cloned().collect();
                row.source = Some(*source);
            }
            Step::Deregister { runner_id, .. } => {
                row.action = ActionKind::Deregister;
                row.runner_id = Some(*runner_id);
            }
            Step::Terminate { record, .. } => {
                row.action = ActionKind::Terminate;
                row.runner_id = *record;
            }
            Step::Mark { mark, set, .. } => {
                row.action = ActionKind::Mark;
                row.mark = Some(MarkRow { name: *mark, set: *set });
            }
        }
        row
    }
}

impl ActionRow {
    /// Returns whether two rows are the same deed, whatever their reasons say.
    #[must_use]
    pub fn is_same_deed(&self, other: &Self) -> bool {
        let deed = |row: &Self| {
            let subject = (row.runner_id, row.instance_id.clone(), row.mark.clone());
            // A file of a version that did not say registers as all did then.
            (row.action, row.pool.clone(), row.slot, row.source.unwrap_or(Source::Rest), subject)
        };
        deed(self) == deed(other)
    }

    /// Returns whether a launch may buy this.
    #[must_use]
    pub fn may_buy(&self, offering: &Offering) -> bool {
        self.offering.as_ref() == Some(offering) || self.fallbacks.contains(offering)
    }

    /// Puts the price to what is bought.
    pub fn price(&mut self, prices: &Prices) {
        self.usd_per_hour = self.offering.as_ref().and_then(|offering| prices.of_offering(offering));
    }

    /// Returns it as a line: `+` launch, `-` end, `~` mark.
    #[must_use]
    pub fn line(&self, look: Look) -> String {
        let runner = self.runner.as_ref().map_or("?", RunnerName::as_str);
        let instance = self.instance_id.as_ref().map_or("no instance", InstanceId::as_str);
        let (style, deed) = match self.action {
            ActionKind::Launch => {
                let offering = self.offering.as_ref().map_or_else(String::new, |offering| format!("  {offering}"));
                let price = self.usd_per_hour.map_or_else(String::new, |price| format!("  ${price}/h"));
                (Style::Good, format!("+ launch      {runner}{offering}{price}"))
            }
            ActionKind::Deregister => (Style::Bad, format!("- deregister  {runner}  {instance}")),
            ActionKind::Terminate => (Style::Bad, format!("- terminate   {instance}")),
            ActionKind::Mark => {
                let mark = self.mark.as_ref().map_or_else(String::new, |mark| {
                    format!("{}{}", if mark.set { "" } else { "not " }, mark.name.tag().trim_start_matches("ghascale:"))
                });
                (Style::Quiet, format!("~ mark        {instance}  {mark}"))
            }
        };
        format!("{}  # {}", look.paint(style, &deed), printable(&self.reason.message))
    }
}

impl From<&Held> for HeldRow {
    fn from(held: &Held) -> Self {
        Self {
            pool: held.pool.clone(),
            runner: held.runner.clone(),
            instance_id: held.instance_id.clone(),
            reason: held.reason.clone(),
        }
    }
}

impl PlanReport {
    /// Puts a plan into words; `configuration` is the digest of the configuration it was made with.
    #[must_use]
    pub fn of(plan: &Plan, snapshot: &Snapshot, configuration: &str) -> Self {
        let mut actions: Vec<ActionRow> = plan.actions.iter().map(ActionRow::from).collect();
        for action in &mut actions {
            action.price(&snapshot.prices);
        }
        let inputs = inputs(snapshot);
        Self {
            plan_id: plan_id(configuration, &inputs, &actions, &[]),
            configuration: configuration.to_owned(),
            inputs,
            pools: plan.pools.iter().map(|sums| PoolSums::of(sums, snapshot)).collect(),
            age_seconds: age_seconds(snapshot),
            actions,
            reruns: Vec::new(),
            unschedulable: plan.unschedulable.clone(),
            held: plan.held.iter().map(HeldRow::from).collect(),
            cost: PlanCost::of(plan, &snapshot.prices),
        }
    }

    /// Adds the re-runs.
    #[must_use]
    pub fn with_reruns(mut self, reruns: &[Rerun]) -> Self {
        self.reruns = reruns.iter().flat_map(RerunRow::of).collect();
        self.plan_id = plan_id(&self.configuration, &self.inputs, &self.actions, &self.reruns);
        self
    }

    /// Reads a plan file that was made with a configuration, by its digest. Wrong in any way, it is refused as a whole.
    ///
    /// # Errors
    /// See [`PlanFileError`]. Nothing of the file is quoted: it may be another, with a secret in it.
    pub fn read(file: &[u8], configuration: &str) -> Result<Self, PlanFileError> {
        let report: Report<Self> =
            serde_json::from_slice(file).map_err(|error| PlanFileError::NoPlan(json_fault(&error)))?;
        if report.schema != SCHEMA {
            return Err(PlanFileError::Schema(one_of_ours(&report.schema)));
        }
        if !report.body.is_intact() {
            return Err(PlanFileError::Changed);
        }
        if report.body.configuration != configuration {
            return Err(PlanFileError::AnotherConfiguration);
        }
        Ok(report.body)
    }

    /// Returns whether the file is as it was written: its id follows from its content.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.plan_id == plan_id(&self.configuration, &self.inputs, &self.actions, &self.reruns)
    }

    /// Returns whether anything is to be done but notes.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        !self.reruns.is_empty() || self.actions.iter().any(|action| action.action != ActionKind::Mark)
    }

    /// Draws it for people.
    #[must_use]
    pub fn text(&self, look: Look) -> String {
        let lines = self.actions.iter().map(|action| action.line(look));
        let lines = lines.chain(self.reruns.iter().map(|rerun| rerun.line(look)));
        self.draw(look, &lines.collect::<Vec<_>>())
    }

    /// Draws it with other lines in place of its actions'.
    pub(super) fn draw(&self, look: Look, actions: &[String]) -> String {
        let added = |pool: &PoolName| {
            let launches = self.actions.iter().filter(|action| action.action == ActionKind::Launch);
            let cost: Cost = launches.filter(|one| one.pool == *pool).map(|launch| launch.usd_per_hour).collect();
            self.cost.map(|_| CostRow::from(cost).cell())
        };
        let mut head = vec!["POOL", ">DEMAND", ">SUPPLY", ">TARGET", ">LAUNCH", ">END"];
        head.extend(self.cost.map(|_| ">+$/H"));
        let row = |pool: &PoolSums| pool.cells().into_iter().chain(added(&pool.name)).collect();
        let mut sections = vec![look.table(&head, self.pools.iter().map(row))];
        if !actions.is_empty() {
            sections.push(actions.join("\n"));
        }
        if !self.held.is_empty() {
            let line = |held: &HeldRow| {
                let runner = held.runner.as_ref().map(RunnerName::as_str);
                let subject =
                    runner.or(held.instance_id.as_ref().map(InstanceId::as_str)).unwrap_or(held.pool.as_str());
                format!("  held          {subject}  # {}", held.reason.message)
            };
            sections.push(self.held.iter().map(line).collect::<Vec<_>>().join("\n"));
        }
        if let Some(unschedulable) = self.unschedulable_lines() {
            sections.push(unschedulable);
        }
        sections.extend(self.age_seconds.map(not_read_now));
        sections.join("\n\n")
    }

    /// Returns the sentence that ends a plan.
    #[must_use]
    pub fn summary(&self) -> String {
        let count = |kinds: &[ActionKind]| self.actions.iter().filter(|action| kinds.contains(&action.action)).count();
        if self.actions.is_empty() && self.reruns.is_empty() {
            return format!("plan: {}", PoolSums::nothing(&self.pools));
        }
        let launches = count(&[ActionKind::Launch]);
        let cost = self.cost.filter(|_| launches > 0).map_or_else(String::new, |cost| {
            let PlanCost { added, added_at_most: at_most } = cost;
            let more = at_most.usd_per_hour.filter(|price| Some(*price) != added.usd_per_hour);
            let more = more.map_or_else(String::new, |price| format!(", at most ${price}/h"));
            format!(" (+{}{more})", added.words())
        });
        let reruns = self.reruns.len();
        let reruns = if reruns == 0 { String::new() } else { format!(", {reruns} to re-run") };
        format!(
            "plan: {} to launch{cost}, {} to deregister, {} to terminate, {} to mark{reruns}",
            launches,
            count(&[ActionKind::Deregister]),
            count(&[ActionKind::Terminate]),
            count(&[ActionKind::Mark]),
        )
    }

    fn unschedulable_lines(&self) -> Option<String> {
        let mut by_reason: std::collections::BTreeMap<(ReasonCode, &str), Vec<String>> =
            std::collections::BTreeMap::new();
        for job in &self.unschedulable {
            let key = (job.reason.code, job.reason.message.as_str());
            by_reason.entry(key).or_default().push(job.job_id.to_string());
        }
        if by_reason.is_empty() {
            return None;
        }
        let mut lines = String::new();
        for ((_, message), jobs) in by_reason {
            let shown = if jobs.len() > 3 { format!("{}, …", jobs[..3].join(", ")) } else { jobs.join(", ") };
            let plural = if jobs.len() == 1 { "job gets" } else { "jobs get" };
            let _ = writeln!(lines, "  {} {plural} no runner: {} ({shown})", jobs.len(), printable(message));
        }
        Some(lines.trim_end().to_owned())
    }
}

fn plan_id(configuration: &str, inputs: &str, actions: &[ActionRow], reruns: &[RerunRow]) -> String {
    let mut hash = Sha256::new();
    hash.update(configuration);
    hash.update("\n");
    hash.update(inputs);
    for action in actions {
        hash.update("\n");
        hash.update(serde_json::to_string(action).unwrap_or_default());
    }
    for rerun in reruns {
        hash.update("\nrerun ");
        hash.update(serde_json::to_string(rerun).unwrap_or_default());
    }
    data_encoding::HEXLOWER.encode(&hash.finalize())
}

/// Digests what was seen, whatever its order and whenever it was.
fn inputs(snapshot: &Snapshot) -> String {
    let mut seen: Vec<String> =
        snapshot.demand.jobs.iter().map(|job| format!("job {} {:?}", job.id, job.state)).collect();
    seen.extend(
        snapshot.runners.items.iter().map(|one| format!("runner {} {:?} {}", one.id, one.connection, one.busy)),
    );
    seen.extend(snapshot.instances.items.iter().map(|one| format!("instance {} {:?}", one.id, one.state)));
    seen.sort();
    data_encoding::HEXLOWER.encode(&Sha256::digest(seen.join("\n")))
}
