//! How launches are decided, and how whatever was decided is begun.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::FutureExt as _;
use jiff::Timestamp;
use tokio::time::Instant;

use super::lending::Bounds;
use super::{Carried, Carrying, Cooling, Desk, Shared};
use crate::ages::{age, short};
use crate::apply::{self, Executor, Listener as _, Outcome, PoolSettings};
use crate::config::Pool;
use crate::engine::{
    self, Action, Plan, PoolName, ReasonCode, SUPPLY_LASTS, ScaleSetDemand, Snapshot, Source, Statistics, Step, check,
    plan,
};
use crate::github::AllJobs;
use crate::listen::Parts;
use crate::listen::event::{Event, Line};
use crate::observe::failed_order;
use crate::report::{ActionResult, PlanReport};
use crate::scale_set::ScaleSetId;
use crate::services::SystemClock;
use crate::state::AuditLog;
use crate::warning::{Warning, WarningCode};

/// A launch that failed so long ago is no reason for anything.
const FORGIVEN_AFTER: Duration = Duration::from_mins(5);

impl<'a> Desk<'a> {
    /// Launches what the sets' counts ask for now, in these pools.
    pub(super) fn launch_at_once(&mut self, pools: &BTreeSet<PoolName>, carrying: &Carrying<'a>) {
        let now = Timestamp::now();
        // A message that comes just after the end of a look may have been written before it: only its set can tell.
        let is_too_old =
            |pool: &&PoolName| !self.counts_hold(pool) && self.serving(pool).is_some_and(|served| !served.is_unasked);
        let too_old: Vec<PoolName> = pools.iter().filter(is_too_old).cloned().collect();
        self.to_recount.extend(too_old.into_iter().map(|pool| (pool, Instant::now())));
        let is_cool = |pool: &PoolName| self.cooling.get(pool).is_none_or(Cooling::is_over);
        // Where boots fail: one a whole observation, and no more, until one comes online.
        let can_serve = |pool: &&PoolName| self.counts_hold(pool) && is_cool(pool) && !self.in_doubt.contains(*pool);
        let pools: Vec<PoolName> = pools.iter().filter(can_serve).cloned().collect();
        if pools.is_empty() {
            return;
        }
        let counted = |pool: &engine::Pool| {
            // Of the others nothing is known here.
            self.demand(&pool.name, now).map_or(ScaleSetDemand::Unknown, ScaleSetDemand::Counted)
        };
        let scale_sets = self.policy.pools.iter().map(|pool| (pool.name.clone(), counted(pool))).collect();
        let supply = self.shared.supply.borrow();
        let (Some(mut snapshot), Some(seen_at)) = (supply.snapshot(now, scale_sets), supply.seen_at()) else { return };
        drop(supply);
        snapshot.clock_ahead = self.shared.parts.client.clock_ahead();
        self.shared.parts.state.remind(self.policy.fleet.as_str(), &mut snapshot);
        let failed = snapshot.learn_of_failed_orders(&self.policy);
        failed.iter().filter_map(failed_order).for_each(|warning| self.warn_of(warning));
        self.launch(&snapshot, seen_at, &BTreeMap::new(), &pools, carrying);
    }

    /// Returns whether a served pool's counts are no older than the supply that they are held against.
    fn counts_hold(&self, pool: &PoolName) -> bool {
        self.serving(pool).is_some_and(|served| served.counted_at >= self.read_at)
    }

    /// Returns what a served pool's set counts, corrected by what is known better: jobs that were said to be assigned
    /// beside counts of 0, jobs that are counted and not there.
    pub(super) fn demand(&self, pool: &PoolName, now: Timestamp) -> Option<Statistics> {
        let served = self.serving(pool)?;
        Some(self.phantoms.without(pool, served.told.at_least(served.found.statistics, now)))
    }

    /// Decides and begins the launches of some pools.
    pub(super) fn launch(
        &mut self,
        snapshot: &Snapshot,
        seen_at: Timestamp,
        scale_sets: &BTreeMap<PoolName, ScaleSetId>,
        pools: &[PoolName],
        carrying: &Carrying<'a>,
    ) {
        let since = age(Timestamp::now(), seen_at);
        if since > SUPPLY_LASTS {
            let said =
                format!("the supply was read {} ago: nothing is launched before it can be read again", short(since));
            self.warn_of(Warning { code: WarningCode::Degraded, message: said, subject: None });
            self.look_soon();
            return;
        }
        let Some(plan) = self.decide(snapshot) else { return };
        self.has_unmet = plan.pools.iter().any(|sums| sums.demand.is_some_and(|jobs| jobs > sums.supply + sums.launch));
        self.bounds = Bounds::of(snapshot, &self.policy, &plan);
        self.lend();
        let mut plan = plan.only(pools);
        self.note_what_is_held(&plan);
        plan.seen_at = seen_at;
        plan.actions.retain(|action| matches!(action.step, Step::Launch { .. }));
        self.leave_what_was_given(&mut plan);
        if !plan.actions.is_empty() {
            let mut supply = self.shared.supply.borrow_mut();
            plan.actions.iter().for_each(|action| supply.begin(action, Timestamp::now()));
        }
        for sums in &plan.pools {
            sums.target.into_iter().for_each(|target| self.shared.parts.metrics.desires(&sums.name, target));
        }
        self.carry_out(plan, snapshot, scale_sets, carrying);
    }

    /// Launches what was put off since a launch had failed.
    pub(super) fn launch_after_cooling(&mut self, carrying: &Carrying<'a>) {
        self.cooling.retain(|_, cooling| cooling.until.elapsed() < FORGIVEN_AFTER);
        let over = self.cooling.iter().filter(|(_, cooling)| cooling.is_over()).map(|(pool, _)| pool.clone());
        let over: BTreeSet<PoolName> = over.collect();
        if !over.is_empty() {
            self.launch_at_once(&over, carrying);
        }
    }

    /// Says why launches wait that jobs ask for, and notes where boots fail.
    fn note_what_is_held(&mut self, plan: &Plan) {
        for sums in &plan.pools {
            self.in_doubt.remove(&sums.name);
        }
        let doubtful = plan.held.iter().filter(|held| held.reason.code == ReasonCode::BootsFail);
        self.in_doubt.extend(doubtful.map(|held| held.pool.clone()));
        for held in plan.held.iter().filter(|held| held.reason.code.holds_launches()) {
            let said = format!("launches wait: {}", held.reason.message);
            self.warn_of(Warning::new(WarningCode::Degraded, held.pool.as_str(), said));
        }
    }

    /// Where a set is silent, leaves it the jobs that it was given: runners that REST registers get none of them, and would
    /// only be in the way of those that the set's runners need.
    fn leave_what_was_given(&self, plan: &mut Plan) {
        for (pool, served) in self.served.iter().filter(|(_, served)| served.is_silent()) {
            let mut given = served.found.statistics.waiting();
            plan.actions.retain(|action| {
                let is_left = action.pool == *pool && given > 0;
                given -= u64::from(is_left);
                !is_left
            });
        }
    }

    /// Decides for all pools; `None`, and said, where the plan breaks a rule.
    pub(super) fn decide(&mut self, snapshot: &Snapshot) -> Option<Plan> {
        let plan = plan(snapshot, &self.policy);
        match check(snapshot, &self.policy, &plan) {
            Ok(()) => Some(plan),
            Err(violations) => {
                let message = format!(
                    "a plan breaks a rule, and nothing was done: {}; this is a defect of ghascale: please report it",
                    violations.join("; ")
                );
                self.warn_of(Warning { code: WarningCode::Degraded, message, subject: None });
                None
            }
        }
    }

    /// Begins to carry out a plan that was checked. Runners are registered at the sets whose sessions are open, or at
    /// those that were found.
    pub(super) fn carry_out(
        &mut self,
        plan: Plan,
        snapshot: &Snapshot,
        scale_sets: &BTreeMap<PoolName, ScaleSetId>,
        carrying: &Carrying<'a>,
    ) {
        if plan.actions.is_empty() {
            return;
        }
        let report = PlanReport::of(&plan, snapshot, &self.shared.parts.config.digest);
        let count =
            |wanted: fn(&Step) -> bool| plan.actions.iter().filter(|action| wanted(&action.step)).count() as u64;
        let pools: BTreeSet<&PoolName> = plan.actions.iter().map(|action| &action.pool).collect();
        let launch = count(|step| matches!(step, Step::Launch { .. }));
        self.say(Event::Plan {
            pool: pools.first().filter(|_| pools.len() == 1).map(|pool| (*pool).clone()),
            plan_id: report.plan_id.clone(),
            launch,
            end: count(|step| matches!(step, Step::Terminate { .. })),
            actions: plan.actions.len() as u64,
            reruns: Vec::new(),
        });
        let are_ends = launch == 0;
        self.is_ending |= are_ends;
        let settings = |pool: &Pool| {
            let name = &pool.policy.name;
            let served = self.served.get(name).map(|served| served.found.scale_set.id);
            let set = served.or(scale_sets.get(name).copied()).filter(|_| snapshot.source(name) == Source::ScaleSet);
            PoolSettings { place: pool.place(set) }
        };
        let pools = self.shared.parts.config.pools.iter();
        let settings = pools.map(|pool| (pool.policy.name.clone(), settings(pool))).collect();
        let Parts { state, config, .. } = self.shared.parts;
        let audit = state.audit(&report, &config.github.scope).map_err(|warning| self.warn_of(warning)).ok();
        carrying.push(self.shared.carry_out(plan, settings, audit, are_ends).boxed_local());
    }

    pub(super) fn carried(&mut self, carried: &Carried) {
        if carried.are_ends {
            self.is_ending = false;
        }
        if let Some(warnings) = &carried.reruns {
            self.is_rerunning = false;
            warnings.iter().cloned().for_each(|warning| self.warn_of(warning));
        }
        let Parts { state, .. } = self.shared.parts;
        let failed = carried.outcomes.iter().filter(|outcome| {
            outcome.result == apply::Result::Failed && matches!(outcome.action.step, Step::Launch { .. })
        });
        let failed: BTreeSet<&PoolName> = failed.map(|outcome| &outcome.action.pool).collect();
        for outcome in carried.outcomes.iter().filter(|outcome| is_launched(outcome)) {
            self.cooling.remove(&outcome.action.pool);
        }
        for pool in failed {
            let failures = self.cooling.get(pool).map_or(1, |cooling| cooling.failures.saturating_add(1));
            self.cooling.insert(pool.clone(), Cooling::after(failures));
        }
        let kept = state.remember_launches(self.policy.fleet.as_str(), &carried.outcomes, Timestamp::now());
        if let Err(error) = kept {
            tracing::warn!(%error, "what has no capacity could not be remembered");
        }
        self.look_soon();
    }
}

fn is_launched(outcome: &Outcome) -> bool {
    outcome.result == apply::Result::Done && matches!(outcome.action.step, Step::Launch { .. })
}

impl Shared<'_> {
    pub(super) async fn carry_out(
        self,
        plan: Plan,
        pools: BTreeMap<PoolName, PoolSettings>,
        audit: Option<AuditLog>,
        are_ends: bool,
    ) -> Carried {
        let config = self.parts.config;
        let executor = Executor {
            runners: self.registrar,
            instances: self.parts.fleet,
            clock: &SystemClock,
            memory: &self.parts.state.unordered(config.policy().fleet.as_str(), &config.github.url),
            jobs: &AllJobs { client: self.parts.client, scope: &config.github.scope, settings: &config.scan },
            pools: &pools,
            nonce: &|| fastrand::u64(..),
            listener: &Log { shared: self, audit, unfinished: RefCell::new(plan.actions.clone()) },
            paces: self.paces,
            is_stopping: &|| self.is_stopping.get(),
        };
        Carried { outcomes: executor.carry_out(&plan).await, are_ends, reruns: None }
    }
}

/// Tells of each action as it ends, and of those that are given up.
struct Log<'a> {
    shared: Shared<'a>,
    audit: Option<AuditLog>,
    unfinished: RefCell<Vec<Action>>,
}

impl Log<'_> {
    fn tell(&self, outcome: &Outcome) {
        if let Some(audit) = &self.audit {
            audit.ended(outcome);
        }
        self.shared.parts.metrics.acted(outcome);
        let result = ActionResult::from(outcome).priced(self.shared.supply.borrow().prices());
        (self.shared.parts.hear)(Line::now(Event::Action(Box::new(result))));
    }
}

impl Drop for Log<'_> {
    fn drop(&mut self) {
        let why = "given up as the process ended, begun or not: the next run finds out what became of it";
        for action in self.unfinished.take() {
            self.tell(&Outcome::of(&action, apply::Result::Failed, Timestamp::now()).because(why));
        }
    }
}

impl apply::Listener for Log<'_> {
    fn refused(&self, code: &str) {
        self.shared.parts.metrics.refused(code);
    }

    fn ended(&self, outcome: &Outcome) {
        let mut unfinished = self.unfinished.borrow_mut();
        if let Some(nth) = unfinished.iter().position(|action| *action == outcome.action) {
            unfinished.remove(nth);
        }
        drop(unfinished);
        self.shared.supply.borrow_mut().end(outcome);
        self.tell(outcome);
    }
}
