//! Jobs that a scale set counts and that are in none of the REST API's lists: after incidents such a count can be wrong for
//! ever (actions-runner-controller#4397), and machines would be launched for it for ever.
//!
//! A single look proves nothing, since REST's lists lag behind. What every look of some minutes found missing is not there.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::ages::age;
use crate::engine::{CountKind, Demand, Job, JobState, Label, PoolName, PoolView, Statistics, Unit};
use crate::observe::Found;

/// How long jobs must have been missing from every look: several times what any is on its way.
const CERTAIN_AFTER: Duration = Duration::from_mins(5);
/// And by how many looks: two prove nothing where the clock was set forward between them, or where they come that seldom.
const LOOKS: u32 = 3;

/// What was missing, by pool.
#[derive(Debug, Default)]
pub(super) struct Phantoms(BTreeMap<PoolName, Missing>);

/// The fewest that any look found missing since the first one that found some.
#[derive(Clone, Copy, Debug)]
struct Missing {
    since: Timestamp,
    seen_at: Timestamp,
    looks: u32,
    fewest: u64,
}

/// Returns how many jobs wait at a set that are in no list of the REST API's, though that lists all; `None` where this
/// proves nothing: a part of the lists was not read, or a runner of ours works on a job that is in none of them, since the
/// token doesn't see its repository.
///
/// So many jobs are known to be on offer to it: those are listed, too, and are none of the jobs that it counts as its own.
pub(super) fn unlisted(pool: &PoolView<'_>, found: &Found, offers: u64, seen: &Demand) -> Option<u64> {
    let lists_all = seen.kind == CountKind::Exact
        && seen.unresolved.is_empty()
        && seen.skipped.iter().all(|skipped| skipped.reason != "excluded");
    let has_hidden_job =
        |unit: &Unit<'_>| unit.job.is_none() && unit.is_online() && unit.runner().is_some_and(|runner| runner.busy);
    if !lists_all || pool.units.iter().any(has_hidden_job) {
        return None;
    }
    let could_be_its = |job: &&Job| {
        let covers = |labels: &[Label]| job.labels.iter().all(|label| labels.contains(label));
        job.state != JobState::InProgress && (covers(&found.scale_set.labels) || covers(&pool.pool.labels))
    };
    let listed = seen.jobs.iter().chain(&seen.ghost_jobs).filter(could_be_its).count() as u64;
    let offered = offers.min(found.statistics.available);
    Some(found.statistics.waiting().saturating_sub(listed.saturating_sub(offered)))
}

impl Phantoms {
    /// Takes in how many jobs a look found missing; `None`: it can't say, and all that was thought is in doubt.
    pub(super) fn see(&mut self, pool: &PoolName, at: Timestamp, missing: Option<u64>) {
        match missing {
            None | Some(0) => drop(self.0.remove(pool)),
            Some(missing) => {
                let first = Missing { since: at, seen_at: at, looks: 0, fewest: missing };
                let known = self.0.entry(pool.clone()).or_insert(first);
                let (looks, fewest) = (known.looks.saturating_add(1), known.fewest.min(missing));
                *known = Missing { seen_at: at, looks, fewest, ..*known };
            }
        }
    }

    /// Returns how many of a pool's jobs are not there.
    pub(super) fn of(&self, pool: &PoolName) -> u64 {
        let is_certain =
            |missing: &&Missing| missing.looks >= LOOKS && age(missing.seen_at, missing.since) >= CERTAIN_AFTER;
        self.0.get(pool).filter(is_certain).map_or(0, |missing| missing.fewest)
    }

    /// Returns a set's counts without the jobs that are not there, but for one: the runner that is launched for it shows
    /// whether there is a job after all.
    pub(super) fn without(&self, pool: &PoolName, counts: Statistics) -> Statistics {
        let phantoms = self.of(pool).min(counts.waiting());
        Statistics { assigned: counts.assigned - phantoms.saturating_sub(1), ..counts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::View;
    use crate::engine::build::{job, policy, pool, snapshot};
    use crate::scale_set::{RunnerGroup, ScaleSet, ScaleSetId};

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + minute * 60).unwrap()
    }

    fn seen(looks: &[(i64, Option<u64>)]) -> u64 {
        let pool = PoolName::new("linux");
        let mut phantoms = Phantoms::default();
        for (minute, missing) in looks {
            phantoms.see(&pool, at(*minute), *missing);
        }
        phantoms.of(&pool)
    }

    #[test]
    fn what_every_look_of_five_minutes_misses_is_not_there() {
        assert_eq!(seen(&[(0, Some(15)), (4, Some(15))]), 0, "not for long enough");
        assert_eq!(seen(&[(0, Some(15)), (3, Some(17)), (5, Some(16))]), 15, "two more come and go");
        assert_eq!(seen(&[(0, Some(15)), (60, Some(15))]), 0, "by a clock that was set forward");
    }

    #[test]
    fn one_look_that_misses_none_or_can_not_say_takes_it_all_back() {
        assert_eq!(seen(&[(0, Some(15)), (3, Some(0)), (6, Some(15))]), 0);
        assert_eq!(seen(&[(0, Some(15)), (3, None), (6, Some(15))]), 0);
    }

    #[test]
    fn jobs_that_are_only_on_offer_hide_none_that_are_not_there() {
        let (linux, mut seen) = (pool("linux"), snapshot());
        let labels = linux.labels.clone();
        for id in 0..3 {
            seen = seen.job(job(id));
        }
        let policy = policy([linux]);
        let view = View::of(&seen, &policy);
        let group = RunnerGroup { id: 1, name: "Default".into() };
        let scale_set = ScaleSet { id: ScaleSetId(1), name: "linux".into(), group, labels, statistics: None };
        let missing = |available: u64, offers: u64| {
            let statistics = Statistics { assigned: 8, available, ..Statistics::default() };
            unlisted(&view.pools[0], &Found { scale_set: scale_set.clone(), statistics }, offers, &seen.demand)
        };
        assert_eq!(missing(0, 0), Some(5), "three are listed, and may be its own");
        assert_eq!(missing(3, 3), Some(8), "they are on offer");
        assert_eq!((missing(9, 0), missing(0, 9)), (Some(5), Some(5)), "one of the two is wrong");
    }

    #[test]
    fn one_of_them_is_tried_and_jobs_that_run_are_no_phantoms() {
        let pool = PoolName::new("linux");
        let mut phantoms = Phantoms::default();
        let counts = Statistics { assigned: 18, running: 2, registered: 2, ..Statistics::default() };
        assert_eq!(phantoms.without(&pool, counts), counts);
        phantoms.see(&pool, at(0), Some(15));
        phantoms.see(&pool, at(3), Some(15));
        phantoms.see(&pool, at(6), Some(15));
        assert_eq!(phantoms.without(&pool, counts).assigned, 4, "2 run, 1 waits, and 1 is tried");
        let fewer = Statistics { assigned: 3, ..counts };
        assert_eq!(phantoms.without(&pool, fewer).assigned, 3);
    }
}
