//! What processes of this host that died have left over, undone: at the beginning of every look that launches follow from.
//!
//! Which registrations these are, and why that is certain, is in [`crate::state`]; how one is undone, in [`crate::apply`].

use std::time::Duration;

use jiff::Timestamp;

use crate::ages::age;
use crate::apply::{Outcome, Result, Undone, undo};
use crate::config::Config;
use crate::engine::{
    Action, CountKind, Demand, LAUNCH_WINDOW, Listing, Plan, PoolName, Prices, Reason, ReasonCode, RunnerId, Slot,
    Snapshot, Step,
};
use crate::report::PlanReport;
use crate::services::{Instances, RunnerRecords, Unordered};
use crate::state::{LeftOver, StateDirectory};

/// Nothing waits for it longer: what is left then is undone by the next look.
const WITHIN: Duration = Duration::from_secs(15);

/// Whose registrations are undone.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// Only these pools; all if none is named.
    pub pools: &'a [PoolName],
    /// This host's memory.
    pub state: &'a StateDirectory,
}

/// Undoes what was registered and not ordered by processes that are gone; returns the deregistrations, and writes them
/// into the audit log.
pub async fn undo_left_over<R: RunnerRecords, I: Instances>(
    owner: Owner<'_>,
    runners: &R,
    instances: &I,
) -> Vec<Outcome> {
    let Owner { config, state, .. } = owner;
    let fleet = config.policy().fleet;
    let left = state.unordered(fleet.as_str(), &config.github.url).left_over();
    if left.is_empty() {
        return Vec::new();
    }
    let mut outcomes = Vec::new();
    let all = async {
        for left in left {
            outcomes.extend(undo_one(owner, left, runners, instances).await);
        }
    };
    if tokio::time::timeout(WITHIN, all).await.is_err() {
        tracing::warn!("registrations that were left over could not all be undone in time");
    }
    audit(owner, &outcomes);
    outcomes
}

async fn undo_one<R: RunnerRecords, I: Instances>(
    owner: Owner<'_>,
    left: LeftOver,
    runners: &R,
    instances: &I,
) -> Option<Outcome> {
    let (pool, slot) = place(owner, &left.registration)?;
    let name = left.registration.name.clone();
    let now = Timestamp::now();
    match undo(&left.registration, runners, instances).await {
        Ok(Undone::Removed { runner_id, request_id }) => {
            tracing::info!(runner = name.as_str(), %runner_id, "undone: it was registered, and never ordered");
            let action = action(pool, slot, &left.registration, runner_id);
            left.forget();
            Some(Outcome { runner_id: Some(runner_id), request_id, ..Outcome::of(&action, Result::Done, now) })
        }
        Ok(Undone::Absent) => {
            // By a clock that was set back it is kept a while longer, and costs one request a look.
            if age(now, left.at) >= LAUNCH_WINDOW {
                left.forget();
            }
            None
        }
        Ok(Undone::Kept(why)) => {
            tracing::warn!(runner = name.as_str(), why, "a registration that was left over is not undone");
            left.forget();
            None
        }
        Err(error) => {
            tracing::warn!(runner = name.as_str(), error, "a registration that was left over could not be undone yet");
            None
        }
    }
}

/// Returns the pool and slot of a registration, if it is one of the owner's.
fn place(owner: Owner<'_>, registration: &Unordered) -> Option<(PoolName, Slot)> {
    let (pool, slot) = registration.name.place(&owner.config.policy().fleet)?;
    let pool = owner.config.pool(&PoolName::new(pool))?.policy.name.clone();
    (owner.pools.is_empty() || owner.pools.contains(&pool)).then_some((pool, slot))
}

fn action(pool: PoolName, slot: Slot, registration: &Unordered, runner_id: RunnerId) -> Action {
    Action {
        pool,
        slot: Some(slot),
        runner: Some(registration.name.clone()),
        step: Step::Deregister { runner_id, instance_id: None },
        reason: Reason::new(
            ReasonCode::OrphanRunner,
            "registered by a process of this host that ended before it ordered an instance",
        ),
    }
}

fn audit(owner: Owner<'_>, outcomes: &[Outcome]) {
    if outcomes.is_empty() {
        return;
    }
    let Owner { config, state, .. } = owner;
    let actions = outcomes.iter().map(|outcome| outcome.action.clone()).collect();
    let plan = Plan { seen_at: Timestamp::now(), actions, ..Plan::default() };
    match state.audit(&PlanReport::of(&plan, &nothing_seen(), &config.digest), &config.github.scope) {
        Ok(audit) => outcomes.iter().for_each(|outcome| crate::apply::Listener::ended(&audit, outcome)),
        Err(warning) => tracing::warn!("{}", warning.message),
    }
}

/// Nothing was looked at for it.
fn nothing_seen() -> Snapshot {
    Snapshot {
        now: Timestamp::now(),
        clock_ahead: jiff::SignedDuration::ZERO,
        instances: Listing::partial(Vec::new()),
        runners: Listing::partial(Vec::new()),
        demand: Demand { kind: CountKind::AtLeast, ..Demand::none() },
        scale_sets: std::collections::BTreeMap::new(),
        unheard: std::collections::BTreeSet::new(),
        prices: Prices::default(),
        without_capacity: std::collections::BTreeSet::new(),
        refused: std::collections::BTreeSet::new(),
        never_came: std::collections::BTreeSet::new(),
    }
}
