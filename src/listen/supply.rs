//! The supply as a listener knows it between two looks: what the last look saw, what was launched since, and what
//! messages have said of runners since.
//!
//! Launches alone are decided by it, never an end. What it doesn't know makes it launch too little until the next look, or
//! ask for a name that is taken, which GitHub refuses.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use crate::ages::age;
use crate::apply::{Outcome, Result};
use crate::engine::{
    Action, Connection, CountKind, Demand, FleetName, Instance, InstanceId, InstanceState, Listing, Market, Marks,
    PoolName, Runner, RunnerId, RunnerName, ScaleSetDemand, Slot, Snapshot, Step,
};
use crate::scale_set::{JobEvent, JobRunner, Message};

/// A new instance or record is in every list after so long.
const VISIBLE_AFTER: Duration = Duration::from_secs(90);
/// GitHub's `busy` lags behind a job's beginning and end by no more.
const BUSY_LAGS: Duration = Duration::from_mins(1);

/// What is known of the supply.
#[derive(Debug)]
pub(super) struct KnownSupply {
    fleet: FleetName,
    /// The last look at both services that gave all of it.
    look: Option<Look>,
    launches: BTreeMap<RunnerName, Launch>,
    news: BTreeMap<RunnerName, (Timestamp, News)>,
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
    Launched { runner: RunnerId, instance: InstanceId, market: Market, instance_type: String },
    /// Its name was taken: a peer is at work.
    Taken,
}

/// What a message said of a runner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    Works,
    Done,
}

impl KnownSupply {
    pub(super) fn of(fleet: FleetName) -> Self {
        Self { fleet, look: None, launches: BTreeMap::new(), news: BTreeMap::new() }
    }

    /// Takes in a look that gave all of the supply; an older one than is known already is no news.
    pub(super) fn see(&mut self, seen_at: Timestamp, instances: Vec<Instance>, runners: Vec<Runner>) {
        if self.look.as_ref().is_some_and(|known| known.seen_at > seen_at) {
            return;
        }
        self.launches.retain(|_, launch| match launch.stage {
            Stage::Underway => true,
            Stage::Launched { .. } => age(seen_at, launch.since) < VISIBLE_AFTER,
            Stage::Taken => launch.since > seen_at,
        });
        self.news.retain(|_, (at, _)| age(seen_at, *at) < BUSY_LAGS);
        self.look = Some(Look { seen_at, instances, runners });
    }

    /// Returns when the last look began.
    pub(super) fn seen_at(&self) -> Option<Timestamp> {
        self.look.as_ref().map(|look| look.seen_at)
    }

    /// A launch is about to be carried out.
    pub(super) fn begin(&mut self, action: &Action, now: Timestamp) {
        if let (Step::Launch { .. }, Some(name), Some(slot)) = (&action.step, &action.runner, action.slot) {
            let launch = Launch { pool: action.pool.clone(), slot, since: now, stage: Stage::Underway };
            self.launches.insert(name.clone(), launch);
        }
    }

    /// It has been carried out, or not.
    pub(super) fn end(&mut self, outcome: &Outcome) {
        let (Step::Launch { .. }, Some(name)) = (&outcome.action.step, &outcome.action.runner) else { return };
        let Some(launch) = self.launches.get_mut(name) else { return };
        launch.since = outcome.at;
        match (outcome.result, outcome.runner_id, &outcome.instance_id, &outcome.offering) {
            (Result::Done, Some(runner), Some(instance), Some(offering)) => {
                launch.stage = Stage::Launched {
                    runner,
                    instance: instance.clone(),
                    market: offering.market,
                    instance_type: offering.instance_type.clone(),
                };
            }
            // Skipped as taken, or as no longer to be begun: the next look says which.
            (Result::Skipped, ..) => launch.stage = Stage::Taken,
            _ => drop(self.launches.remove(name)),
        }
    }

    /// Hears what a message says of runners.
    pub(super) fn hear(&mut self, message: &Message, now: Timestamp) {
        for job in &message.jobs {
            let (runner, news) = match &job.event {
                JobEvent::Started(runner) => (runner, News::Works),
                JobEvent::Completed { runner, .. } => (runner, News::Done),
                JobEvent::Available | JobEvent::Assigned | JobEvent::Unknown(_) => continue,
            };
            if let JobRunner { name: Some(name), .. } = runner {
                self.news.insert(name.clone(), (now, news));
            }
        }
    }

    /// Returns a snapshot to decide launches by; `None` before the first look.
    ///
    /// No job is in it, and it says so: nothing can be ended by it, and no scale set's count is doubted by it.
    pub(super) fn snapshot(&self, now: Timestamp, scale_sets: BTreeMap<PoolName, ScaleSetDemand>) -> Option<Snapshot> {
        let (instances, runners) = self.merged()?;
        Some(Snapshot {
            now,
            instances: Listing::whole(instances),
            runners: Listing::whole(runners),
            demand: Demand { kind: CountKind::AtLeast, ..Demand::none() },
            scale_sets,
            unheard: BTreeSet::new(),
        })
    }

    /// Puts this supply into an observation, for the launches of a whole pass.
    pub(super) fn fill(&self, now: Timestamp, observed: &Snapshot) -> Option<Snapshot> {
        let (instances, runners) = self.merged()?;
        let (instances, runners) = (Listing::whole(instances), Listing::whole(runners));
        Some(Snapshot { now, instances, runners, ..observed.clone() })
    }

    fn merged(&self) -> Option<(Vec<Instance>, Vec<Runner>)> {
        let look = self.look.as_ref()?;
        let (mut instances, mut runners) = (look.instances.clone(), look.runners.clone());
        for (name, launch) in &self.launches {
            if !runners.iter().any(|runner| runner.name == *name) {
                runners.push(record(name, launch));
            }
            let is_shown = |id: &InstanceId| instances.iter().any(|one| one.id == *id);
            if let Some(instance) = instance(&self.fleet, launch).filter(|one| !is_shown(&one.id)) {
                instances.push(instance);
            }
        }
        for (name, (_, news)) in &self.news {
            let Some(at) = runners.iter().position(|runner| runner.name == *name) else { continue };
            match news {
                News::Works => {
                    runners[at].connection = Connection::Online;
                    runners[at].busy = true;
                }
                // Its instance powers itself off, and holds its slot until it has.
                News::Done => {
                    let id = runners.remove(at).id;
                    for instance in instances.iter_mut().filter(|one| one.runner_id == Some(id)) {
                        if instance.is_live() {
                            instance.state = InstanceState::ShuttingDown;
                        }
                    }
                }
            }
        }
        Some((instances, runners))
    }
}

/// The record of a launch that no list shows yet.
fn record(name: &RunnerName, launch: &Launch) -> Runner {
    let id = match &launch.stage {
        Stage::Launched { runner, .. } => *runner,
        // GitHub's ids count up from 1: these meet none.
        Stage::Underway | Stage::Taken => RunnerId(u64::MAX - u64::from(launch.slot.0)),
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
    let Stage::Launched { runner, instance, market, instance_type } = &launch.stage else { return None };
    Some(Instance {
        id: instance.clone(),
        fleet: fleet.clone(),
        pool: Some(launch.pool.clone()),
        slot: Some(launch.slot),
        runner_id: Some(*runner),
        state: InstanceState::Pending,
        launched_at: Some(launch.since),
        market: *market,
        instance_type: instance_type.clone(),
        subnet: None,
        state_reason: None,
        marks: Marks::default(),
    })
}
