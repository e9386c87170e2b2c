//! The supply as a listener knows it between two looks: what the last look saw, what was launched since, and what
//! messages have said of runners since.
//!
//! Launches alone are decided by it, never an end. What it doesn't know makes it launch too little until the next look, or
//! ask for a name that is taken, which GitHub refuses.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::ages::{SET_BACK, age};
use crate::apply::{Outcome, Result};
use crate::engine::{
    Action, Connection, CountKind, Demand, FleetName, Instance, InstanceId, InstanceState, Listing, Marks, Offering,
    PoolName, Prices, Runner, RunnerId, RunnerName, ScaleSetDemand, Slot, Snapshot, Step,
};
use crate::scale_set::{JobEvent, Message};

/// A new instance or record is in every list after so long.
const VISIBLE_AFTER: Duration = Duration::from_secs(90);
/// GitHub's `busy` lags behind a job's beginning and end by no more.
const BUSY_LAGS: Duration = Duration::from_mins(1);
/// What has taken no job after so long will not, or not for the launch's sake.
const BOOTS_WITHIN: Duration = Duration::from_hours(1);

/// What is known of the supply.
#[derive(Debug)]
pub struct KnownSupply {
    fleet: FleetName,
    /// The last look at both services that gave all of it.
    look: Option<Look>,
    launches: BTreeMap<RunnerName, Launch>,
    /// Runners that have taken a job, and when that was said.
    took: BTreeMap<RunnerId, Timestamp>,
    /// Runners that were launched here and have taken no job yet, and when.
    launched: BTreeMap<RunnerId, (PoolName, Timestamp)>,
    /// The latest that the clock has shown.
    latest: Timestamp,
    /// What is known of prices.
    prices: Prices,
}

#[derive(Debug)]
struct Look {
    seen_at: Timestamp,
    instances: Vec<Instance>,
    runners: Vec<Runner>,
}

/// A launch of ours.
#[derive(Debug)]
struct Launch {
    pool: PoolName,
    slot: Slot,
    /// When it came to what it is now.
    since: Timestamp,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Being carried out.
    Underway,
    /// Done.
    Launched { runner: RunnerId, instance: InstanceId, offering: Offering },
    /// Its name is taken: by a peer that is at work, or by what may be left of a launch that failed.
    Taken,
}

impl KnownSupply {
    /// Returns one that knows of nothing yet.
    #[must_use]
    pub fn of(fleet: FleetName) -> Self {
        Self {
            fleet,
            look: None,
            launches: BTreeMap::new(),
            took: BTreeMap::new(),
            launched: BTreeMap::new(),
            latest: Timestamp::UNIX_EPOCH,
            prices: Prices::default(),
        }
    }

    /// Notices what the clock shows. Where it was set back, nothing that is known has an age any more: all of it is
    /// forgotten, and the next look begins anew. Returns whether it was.
    pub fn notice(&mut self, now: Timestamp) -> bool {
        let was_set_back = age(self.latest, now) > SET_BACK;
        if was_set_back {
            (self.look, self.latest) = (None, now);
            self.launches.clear();
            self.took.clear();
            self.launched.clear();
        }
        self.latest = self.latest.max(now);
        was_set_back
    }

    /// Takes in a look that gave all of the supply; an older one than is known already is no news.
    pub fn see(&mut self, seen_at: Timestamp, instances: Vec<Instance>, runners: Vec<Runner>) {
        let is_older = self.look.as_ref().is_some_and(|known| known.seen_at > seen_at);
        let is_of_the_old_clock = self.latest > Timestamp::UNIX_EPOCH && age(seen_at, self.latest) > SET_BACK;
        if is_older || is_of_the_old_clock {
            return;
        }
        self.launches.retain(|_, launch| match &launch.stage {
            Stage::Underway => true,
            // Shown once, it is what looks say of it from then on.
            Stage::Launched { instance, .. } => {
                age(seen_at, launch.since) < VISIBLE_AFTER && !instances.iter().any(|one| one.id == *instance)
            }
            Stage::Taken => launch.since > seen_at,
        });
        self.took.retain(|_, at| age(seen_at, *at) < BUSY_LAGS);
        self.launched.retain(|_, (_, at)| age(seen_at, *at) < BOOTS_WITHIN);
        self.look = Some(Look { seen_at, instances, runners });
    }

    /// Returns when the last look began.
    #[must_use]
    pub fn seen_at(&self) -> Option<Timestamp> {
        self.look.as_ref().map(|look| look.seen_at)
    }

    /// A launch is about to be carried out.
    pub fn begin(&mut self, action: &Action, now: Timestamp) {
        if let (Step::Launch { .. }, Some(name), Some(slot)) = (&action.step, &action.runner, action.slot) {
            let launch = Launch { pool: action.pool.clone(), slot, since: now, stage: Stage::Underway };
            self.launches.insert(name.clone(), launch);
        }
    }

    /// It has been carried out, or not.
    pub fn end(&mut self, outcome: &Outcome) {
        let (Step::Launch { .. }, Some(name)) = (&outcome.action.step, &outcome.action.runner) else { return };
        let Some(launch) = self.launches.get_mut(name) else { return };
        launch.since = outcome.at;
        match (outcome.result, outcome.runner_id, &outcome.instance_id, &outcome.offering) {
            (Result::Done, Some(runner), Some(instance), Some(offering)) => {
                self.launched.insert(runner, (launch.pool.clone(), outcome.at));
                launch.stage = Stage::Launched { runner, instance: instance.clone(), offering: offering.clone() };
            }
            // Skipped as taken, or as no longer to be begun: the next look says which.
            (Result::Skipped, ..) => launch.stage = Stage::Taken,
            (Result::Failed, ..) if outcome.may_remain => launch.stage = Stage::Taken,
            _ => drop(self.launches.remove(name)),
        }
    }

    /// Hears of runners that have taken a job. That one is over is no more than that, since it may come early, late or
    /// never (actions/runner#4492): a runner that is done is counted as demand and as supply, until a look shows it gone.
    ///
    /// Returns how long each runner that was launched here took from its launch to its job: as long as it booted, where
    /// jobs wait.
    pub fn hear(&mut self, message: &Message, now: Timestamp) -> Vec<(PoolName, Duration)> {
        let mut booted = Vec::new();
        for job in &message.jobs {
            if let JobEvent::Started(runner) | JobEvent::Completed { runner, .. } = &job.event
                && let Some(id) = runner.id
            {
                self.took.insert(id, now);
                booted.extend(self.launched.remove(&id).map(|(pool, at)| (pool, age(now, at))));
            }
        }
        booted
    }

    /// Returns a snapshot to decide launches by; `None` before the first look.
    ///
    /// No job is in it, and it says so: nothing can be ended by it, and no scale set's count is doubted by it. Nor does it
    /// know whether the clock is right.
    #[must_use]
    pub fn snapshot(&self, now: Timestamp, scale_sets: BTreeMap<PoolName, ScaleSetDemand>) -> Option<Snapshot> {
        let look = self.look.as_ref()?;
        let (instances, runners) = self.merged(look.instances.clone(), look.runners.clone());
        Some(Snapshot {
            now,
            clock_ahead: SignedDuration::ZERO,
            instances: Listing::whole(instances),
            runners: Listing::whole(runners),
            demand: Demand { kind: CountKind::AtLeast, ..Demand::none() },
            scale_sets,
            unheard: BTreeSet::new(),
            prices: self.prices.clone(),
            without_capacity: BTreeSet::new(),
            refused: BTreeSet::new(),
            never_came: BTreeSet::new(),
        })
    }

    /// Learns what things cost.
    pub fn price(&mut self, prices: Prices) {
        self.prices = prices;
    }

    /// Returns what is known of prices.
    #[must_use]
    pub fn prices(&self) -> &Prices {
        &self.prices
    }

    /// Adds what is on its way to an observation, for the launches of a whole pass: its jobs were read after its own
    /// instances and records, and only those are held against them.
    #[must_use]
    pub fn fill(&self, now: Timestamp, observed: &Snapshot) -> Snapshot {
        let (instances, runners) = self.merged(observed.instances.items.clone(), observed.runners.items.clone());
        let (instances, runners) = (Listing::whole(instances), Listing::whole(runners));
        Snapshot { now, instances, runners, ..observed.clone() }
    }

    fn merged(&self, mut instances: Vec<Instance>, mut runners: Vec<Runner>) -> (Vec<Instance>, Vec<Runner>) {
        for (nth, (name, launch)) in (0_u64..).zip(&self.launches) {
            if !runners.iter().any(|runner| runner.name == *name) {
                runners.push(record(nth, name, launch));
            }
            let is_shown = |id: &InstanceId| instances.iter().any(|one| one.id == *id);
            if let Some(instance) = instance(&self.fleet, launch).filter(|one| !is_shown(&one.id)) {
                instances.push(instance);
            }
        }
        // By its id: names are used again, by the next runner of the slot.
        for runner in runners.iter_mut().filter(|runner| self.took.contains_key(&runner.id)) {
            runner.connection = Connection::Online;
            runner.busy = true;
        }
        (instances, runners)
    }
}

/// The record of the n-th launch, which no list shows yet.
fn record(nth: u64, name: &RunnerName, launch: &Launch) -> Runner {
    let id = match &launch.stage {
        Stage::Launched { runner, .. } => *runner,
        // GitHub's ids count up from 1: these meet none.
        Stage::Underway | Stage::Taken => RunnerId(u64::MAX - nth),
    };
    Runner {
        id,
        name: name.clone(),
        connection: Connection::Offline,
        busy: false,
        labels: Vec::new(),
        born: Some(launch.since),
    }
}

fn instance(fleet: &FleetName, launch: &Launch) -> Option<Instance> {
    let Stage::Launched { runner, instance, offering } = &launch.stage else { return None };
    Some(Instance {
        id: instance.clone(),
        fleet: fleet.clone(),
        pool: Some(launch.pool.clone()),
        slot: Some(launch.slot),
        runner_id: Some(*runner),
        state: InstanceState::Pending,
        launched_at: Some(launch.since),
        market: offering.market,
        instance_type: offering.instance_type.clone(),
        subnet: Some(offering.subnet.clone()),
        state_reason: None,
        marks: Marks::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::build::{fleet, instance, noon, policy, pool, runner};
    use crate::engine::{PoolPlan, Statistics, plan};
    use crate::scale_set::{JobKey, JobMessage, JobRunner};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(noon().as_second() + second).unwrap()
    }

    /// What is known after a look that saw nothing.
    fn nothing() -> KnownSupply {
        let mut known = KnownSupply::of(fleet());
        known.see(at(0), Vec::new(), Vec::new());
        known
    }

    /// Decides by what is known, with so many jobs assigned and so many running.
    fn decided(known: &KnownSupply, second: i64, assigned: u64, running: u64) -> (Vec<Action>, PoolPlan) {
        let counts = Statistics { assigned, running, registered: running, busy: running, ..Statistics::default() };
        let sets = BTreeMap::from([(PoolName::new("linux"), ScaleSetDemand::Counted(counts))]);
        let mut plan = plan(&known.snapshot(at(second), sets).unwrap(), &policy([pool("linux").with_scale_set()]));
        plan.actions.retain(|action| matches!(action.step, Step::Launch { .. }));
        (plan.actions, plan.pools.remove(0))
    }

    fn outcome(action: &Action, result: Result, second: i64) -> Outcome {
        let slot = action.slot.unwrap().0;
        let Step::Launch { offerings, .. } = &action.step else { panic!("{action:?}") };
        let is_done = result == Result::Done;
        Outcome {
            instance_id: is_done.then(|| instance("linux", slot).id),
            runner_id: is_done.then(|| runner("linux", slot).id),
            offering: is_done.then(|| offerings[0].clone()),
            ..Outcome::of(action, result, at(second))
        }
    }

    fn message(event: JobEvent) -> Message {
        Message::of(1, vec![JobMessage::of(JobKey::Job("j".into()), event)])
    }

    fn of(slot: u32) -> JobRunner {
        JobRunner { id: Some(runner("linux", slot).id), name: Some(runner("linux", slot).name) }
    }

    #[test]
    fn before_the_first_look_nothing_is_decided() {
        assert!(KnownSupply::of(fleet()).snapshot(at(0), BTreeMap::new()).is_none());
    }

    #[test]
    fn what_is_under_way_launched_or_taken_is_not_launched_again() {
        let mut known = nothing();
        let (actions, _) = decided(&known, 1, 3, 0);
        assert_eq!(actions.len(), 3);
        for action in &actions {
            known.begin(action, at(1));
        }
        assert_eq!(decided(&known, 2, 3, 0).0.len(), 0, "under way");
        known.end(&outcome(&actions[0], Result::Done, 3));
        known.end(&outcome(&actions[1], Result::Skipped, 3));
        assert_eq!(decided(&known, 4, 3, 0).0.len(), 0, "one is launched, one a peer's");
        let (more, _) = decided(&known, 4, 4, 0);
        assert_eq!(more.iter().map(|action| action.slot.unwrap().0).collect::<Vec<_>>(), [3]);
        // One that failed is wanted again, in its own slot.
        known.end(&outcome(&actions[2], Result::Failed, 5));
        let (again, _) = decided(&known, 6, 3, 0);
        assert_eq!(again.iter().map(|action| action.slot.unwrap().0).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn what_failed_and_left_its_registration_holds_its_slot_and_its_price_until_the_next_look() {
        let mut known = nothing();
        let (actions, _) = decided(&known, 1, 1, 0);
        known.begin(&actions[0], at(1));
        known.end(&Outcome { may_remain: true, ..outcome(&actions[0], Result::Failed, 2) });
        let (none, sums) = decided(&known, 3, 1, 0);
        assert_eq!((none.len(), sums.supply), (0, 1), "it may have been launched");
        let (more, _) = decided(&known, 3, 2, 0);
        assert_eq!(more[0].slot.unwrap().0, 1, "its name is not asked for again");
        let seen = known.snapshot(at(3), BTreeMap::new()).unwrap();
        let mut policy = policy([pool("linux")]);
        let price = crate::engine::Price::micros(100_000);
        policy.max_usd_per_hour = Some(price);
        let prices = Prices { on_demand: BTreeMap::from([("m7a.large".to_owned(), price)]), ..Prices::default() };
        let view = crate::engine::View::of(&seen, &policy);
        let more = crate::engine::affordable(&view, &policy, &prices).unwrap();
        assert_eq!(more[&PoolName::new("linux")], 0, "it may cost what it would have cost");
        known.see(at(2), Vec::new(), Vec::new());
        assert_eq!(decided(&known, 4, 1, 0).0.len(), 1, "it is not there");
    }

    #[test]
    fn what_is_under_way_in_two_pools_is_told_apart() {
        let mut known = nothing();
        for name in ["gpu", "linux"] {
            let job = crate::engine::build::job(1).labels(name);
            let pools = policy([pool(name).labels(name)]);
            let action = plan(&crate::engine::build::snapshot().job(job), &pools).actions.remove(0);
            known.begin(&action, at(1));
        }
        let seen = known.snapshot(at(2), BTreeMap::new()).unwrap();
        let ids: BTreeSet<RunnerId> = seen.runners.items.iter().map(|runner| runner.id).collect();
        assert_eq!(ids.len(), 2);
    }

    #[test]
    fn a_launch_is_known_until_every_list_must_show_it() {
        let mut known = nothing();
        let (actions, _) = decided(&known, 1, 1, 0);
        known.begin(&actions[0], at(1));
        // A look from before its end sees nothing of it, and one a minute later may not either.
        known.see(at(2), Vec::new(), Vec::new());
        known.end(&outcome(&actions[0], Result::Done, 3));
        known.see(at(60), Vec::new(), Vec::new());
        assert_eq!(decided(&known, 61, 1, 0).0.len(), 0);
        // Seen by a look it is what the look says.
        known.see(at(70), vec![instance("linux", 0)], vec![runner("linux", 0).online()]);
        assert_eq!(decided(&known, 71, 1, 0).1.supply, 1);
        known.see(at(94), Vec::new(), Vec::new());
        assert_eq!(decided(&known, 95, 1, 0).0.len(), 1, "it is gone");
    }

    #[test]
    fn a_clock_that_was_set_back_begins_anew() {
        let mut known = nothing();
        known.notice(at(3600));
        let (actions, _) = decided(&known, 3600, 1, 0);
        known.begin(&actions[0], at(3600));
        known.notice(at(3590));
        assert!(known.seen_at().is_some(), "some seconds are nothing");
        known.notice(at(100));
        assert_eq!(known.seen_at(), None);
        known.see(at(3595), Vec::new(), Vec::new());
        assert_eq!(known.seen_at(), None, "a look that began by the old clock");
        known.see(at(101), Vec::new(), Vec::new());
        assert_eq!(decided(&known, 102, 1, 0).0.len(), 1);
        // Forward by a day, what is known is old, and said to be.
        known.notice(at(86_400));
        assert_eq!(known.seen_at(), Some(at(101)));
    }

    #[test]
    fn an_older_look_is_no_news() {
        let mut known = nothing();
        known.see(at(10), vec![instance("linux", 0).aged(60)], vec![runner("linux", 0)]);
        known.see(at(5), Vec::new(), Vec::new());
        assert_eq!((known.seen_at(), decided(&known, 11, 1, 0).1.supply), (Some(at(10)), 1));
    }

    #[test]
    fn a_runner_that_took_a_job_is_no_supply_for_the_next() {
        let mut known = nothing();
        let (actions, _) = decided(&known, 1, 1, 0);
        known.begin(&actions[0], at(1));
        known.end(&outcome(&actions[0], Result::Done, 2));
        known.hear(&message(JobEvent::Started(of(0))), at(40));
        assert_eq!(decided(&known, 41, 2, 1).0.len(), 1, "the second job needs a second runner");
        // Done, and nothing follows from it before a look: it may have been said too early.
        known.hear(&message(JobEvent::Completed { result: "succeeded".into(), runner: of(0) }), at(50));
        assert_eq!(decided(&known, 51, 1, 0).0.len(), 1, "one that waits needs one, beside the one that is done");
        assert_eq!(decided(&known, 51, 1, 1).0.len(), 0);
        // Its slot's next runner is another one.
        known.see(at(60), Vec::new(), Vec::new());
        let mut next = runner("linux", 0);
        next.id = RunnerId(4711);
        known.see(at(61), Vec::new(), vec![next]);
        assert_eq!(decided(&known, 62, 1, 0).1.supply, 1, "on its way, and not at work");
    }

    #[test]
    fn what_a_message_said_of_a_runner_ends_with_the_lag_of_the_lists() {
        let mut known = nothing();
        known.see(at(1), vec![instance("linux", 0)], vec![runner("linux", 0).online()]);
        known.hear(&message(JobEvent::Started(of(0))), at(2));
        let idle = (vec![instance("linux", 0)], vec![runner("linux", 0).online()]);
        known.see(at(30), idle.0.clone(), idle.1.clone());
        assert_eq!(decided(&known, 31, 2, 1).0.len(), 1, "GitHub's list may not know it yet");
        known.see(at(63), idle.0, idle.1);
        assert_eq!(decided(&known, 64, 1, 0).0.len(), 0, "it is idle after all");
    }
}
