//! Plan -> calls. Every decision was made by the engine; here each call only re-checks its own precondition.
//!
//! Nothing here is a transaction, and several hosts may run it at once: what makes a stale call harmless is the call
//! itself (a taken name is refused by GitHub, a repeated token launches nothing, a deleted record stays deleted). A
//! failure is an outcome of its action and does not stop the others, unless it is certain to meet them too.

mod end;
mod launch;
mod pace;
mod undo;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use futures::stream;
use jiff::Timestamp;

use self::end::{End, JobsSeen};
pub use self::pace::Paces;
pub use self::undo::{Undone, undo};
use crate::ages::age;
use crate::engine::{Action, InstanceId, Market, Offering, Plan, PoolName, RunnerId, Step};
use crate::services::{Clock, Instances, Jobs, Memory, Place, RunnerRecords};

/// How many launches of one pool are under way at once, after its first has succeeded.
const LAUNCHES_AT_ONCE: usize = 6;

/// Why what was planned is not begun.
pub(crate) const ENDING: &str = "not begun: the process ends, or goes on with a changed configuration";
/// The same of a launch that was begun and of which nothing was ordered.
const UNDONE: &str =
    "not ordered, and its registration undone: the process ends, or goes on with a changed configuration";

/// What became of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What was to be done.
    pub action: Action,
    /// Whether it was.
    pub result: Result,
    /// What stood against it: for `Skipped` and `Failed`.
    pub error: Option<String>,
    /// The instance it launched or concerned.
    pub instance_id: Option<InstanceId>,
    /// The record it registered or concerned.
    pub runner_id: Option<RunnerId>,
    /// What was bought.
    pub offering: Option<Offering>,
    /// A failed launch of which something may be there all the same: its registration, and perhaps an instance that EC2
    /// doesn't show yet. The next look says.
    pub may_remain: bool,
    /// A launch that was refused, whatever it asked for: the pool's next ones would be, too.
    pub is_refused: bool,
    /// What would have been bought before it, and was not to be had: no capacity, a full subnet, a full market.
    pub no_capacity: Vec<Offering>,
    /// The client token of the launch, for the audit log.
    pub client_token: Option<String>,
    /// EC2's id of the request for launch, terminate and mark, GitHub's for deregister.
    pub request_id: Option<String>,
    /// When it was finished.
    pub at: Timestamp,
}

impl Outcome {
    /// Returns that of an action that ended in this way, with nothing to add.
    #[must_use]
    pub fn of(action: &Action, result: Result, at: Timestamp) -> Self {
        Self {
            action: action.clone(),
            result,
            error: None,
            instance_id: action.instance_id().cloned(),
            runner_id: None,
            offering: None,
            may_remain: false,
            is_refused: false,
            no_capacity: Vec::new(),
            client_token: None,
            request_id: None,
            at,
        }
    }

    /// Returns it with what stood against it.
    #[must_use]
    pub fn because(self, why: impl Into<String>) -> Self {
        Self { error: Some(why.into()), ..self }
    }

    /// Returns it as that of a launch of which something may be there all the same.
    fn remaining(self) -> Self {
        Self { may_remain: true, ..self }
    }
}

/// The three ways an action ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Result {
    /// It is as the plan wanted, by us or by a peer a moment before.
    Done,
    /// It no longer held: nothing was changed.
    Skipped,
    /// It was tried and did not work.
    Failed,
}

/// Hears of each action as it ends: progress, log and audit.
pub trait Listener {
    /// An action has ended.
    fn ended(&self, outcome: &Outcome);

    /// EC2 refused to launch, by its code; whether another try or another offering follows shows the action's end.
    fn refused(&self, _code: &str) {}
}

/// What a launch needs beside the plan.
#[derive(Clone, Debug)]
pub struct PoolSettings {
    /// Where the pool's runners are registered.
    pub place: Place,
}

/// Carries plans out.
pub struct Executor<'a, R, I, C> {
    /// GitHub.
    pub runners: &'a R,
    /// EC2.
    pub instances: &'a I,
    /// Time.
    pub clock: &'a C,
    /// What the next run on this host should know if this one dies.
    pub memory: &'a dyn Memory,
    /// The jobs, looked at once more before a runner is removed that was connected.
    pub jobs: &'a dyn Jobs,
    /// Every pool's settings.
    pub pools: &'a BTreeMap<PoolName, PoolSettings>,
    /// A number that no other registration has, of which 48 bits are used.
    pub nonce: &'a dyn Fn() -> u64,
    /// Hears of each action as it ends.
    pub listener: &'a dyn Listener,
    /// How fast EC2 may be asked, shared by whatever is carried out at the same time.
    pub paces: &'a RefCell<Paces>,
    /// Whether nothing more is to be begun: the process ends.
    pub is_stopping: &'a dyn Fn() -> bool,
}

/// What one run knows, and has learned so far, shared by its actions.
#[derive(Debug)]
struct Lessons {
    /// When the observation began that the plan was made from.
    seen_at: Timestamp,
    /// The last look at the jobs of this run, if there was one.
    jobs: Option<JobsSeen>,
    /// Calls in a row to end instances that EC2 did not take.
    ends_not_taken: u32,
    /// Nothing more is tried, and why: the credentials were refused.
    halted: Option<String>,
    /// Pools in which no more is launched, and why.
    closed: BTreeMap<PoolName, String>,
    /// Offerings without capacity.
    exhausted: BTreeSet<Offering>,
    /// Subnets without addresses.
    full_subnets: BTreeSet<String>,
    /// Markets in which the account has as much as it may.
    full_markets: BTreeSet<Market>,
    /// Registrations in a row, by pool, that GitHub did not answer.
    unanswered: BTreeMap<PoolName, u32>,
}

impl Lessons {
    fn before(plan: &Plan) -> Self {
        Self {
            seen_at: plan.seen_at,
            jobs: None,
            ends_not_taken: 0,
            halted: None,
            closed: BTreeMap::new(),
            exhausted: BTreeSet::new(),
            full_subnets: BTreeSet::new(),
            full_markets: BTreeSet::new(),
            unanswered: BTreeMap::new(),
        }
    }
}

impl<R: RunnerRecords, I: Instances, C: Clock> Executor<'_, R, I, C> {
    /// Carries out a plan that was checked, and returns what became of each of its actions, in the plan's order.
    ///
    /// Records and notes go first, one after the other; then instances, in batches; then the pools launch beside each
    /// other: the first launch of a pool alone, to learn whether it can be done at all, then the others at once.
    pub async fn carry_out(&self, plan: &Plan) -> Vec<Outcome> {
        let lessons = RefCell::new(Lessons::before(plan));
        let mut gone = BTreeSet::new();
        let mut outcomes: BTreeMap<usize, Outcome> = BTreeMap::new();
        let mut ends: Vec<End<'_>> = Vec::new();
        let mut launches: BTreeMap<&PoolName, Vec<(usize, &Action)>> = BTreeMap::new();
        for (nth, action) in plan.actions.iter().enumerate() {
            let outcome = match &action.step {
                Step::Deregister { runner_id, instance_id } => {
                    self.deregister(action, *runner_id, instance_id.as_ref(), &mut gone, &lessons).await
                }
                Step::Mark { .. } => self.mark(action, &gone, &lessons).await,
                Step::Terminate { instance_id, record } => {
                    ends.push(End { nth, action, instance_id, record: *record });
                    continue;
                }
                Step::Launch { .. } => {
                    launches.entry(&action.pool).or_default().push((nth, action));
                    continue;
                }
            };
            self.listener.ended(&outcome);
            outcomes.insert(nth, outcome);
        }
        outcomes.extend(self.end_all(&ends, &gone, &lessons).await);
        let pools = launches.into_values().map(|launches| self.launch_all(launches, &lessons));
        outcomes.extend(join_all(pools).await.into_iter().flatten());
        outcomes.into_values().collect()
    }

    async fn launch_all(&self, launches: Vec<(usize, &Action)>, lessons: &RefCell<Lessons>) -> Vec<(usize, Outcome)> {
        let launch = async |(nth, action)| {
            let outcome = self.launch(action, lessons).await;
            self.listener.ended(&outcome);
            (nth, outcome)
        };
        let mut launches = launches.into_iter();
        let mut outcomes = Vec::new();
        // One that a peer was faster with has taught nothing of EC2.
        for first in launches.by_ref() {
            outcomes.push(launch(first).await);
            if outcomes.last().is_some_and(|(_, outcome)| outcome.result != Result::Skipped) {
                break;
            }
        }
        let rest = stream::iter(launches).map(launch).buffer_unordered(LAUNCHES_AT_ONCE);
        outcomes.extend(rest.collect::<Vec<_>>().await);
        outcomes
    }

    /// Waits until EC2's pace allows a call.
    async fn keep_pace(&self, wait: Duration) {
        if !wait.is_zero() {
            self.clock.sleep(wait).await;
        }
    }

    /// Returns how old the observation is that the plan was made from.
    fn since_seen(&self, lessons: &RefCell<Lessons>) -> Duration {
        age(self.clock.now(), lessons.borrow().seen_at)
    }

    fn outcome(&self, action: &Action, result: Result) -> Outcome {
        Outcome::of(action, result, self.clock.now())
    }

    fn skipped(&self, action: &Action, why: impl Into<String>) -> Outcome {
        self.outcome(action, Result::Skipped).because(why)
    }

    fn failed(&self, action: &Action, why: impl Into<String>) -> Outcome {
        self.outcome(action, Result::Failed).because(why)
    }
}
