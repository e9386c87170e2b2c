//! Pending jobs to pools: one small minimum-cost flow over label signatures.
//!
//! GitHub hands any job to any runner that can take it, so what is decided here are numbers, not bindings. The order
//! of preference: as many jobs served as possible; by runners that are there already; by priority; by the pool with the
//! fewest labels that the job doesn't need; by name.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::flow::{ArcId, Cost, Network};
use super::job::Job;
use super::labels::Signature;
use super::names::{Label, PoolName};
use super::plan::{Reason, ReasonCode, Unschedulable};
use super::policy::Pool;

/// What a pool could give to pending jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// Runners that are idle or on their way.
    pub ready: u32,
    /// Runners that could still be launched.
    pub launchable: u32,
    /// Jobs beyond these that are its own all the same: its scale set has been given them, so no other pool's runner
    /// gets them, and they wait for it.
    pub given: u32,
    /// What it lacks where that isn't enough.
    pub shortage: Shortage,
}

/// Why a pool has no room for a job that it could take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shortage {
    /// It is at its `max`.
    #[default]
    Max,
    /// It has nothing to launch.
    Offerings,
    /// EC2 had no capacity for anything that it launches, a moment ago.
    Capacity,
    /// Its last launches were refused, whatever they asked for, a moment ago.
    Refused,
    /// There is a ceiling on dollars, and nothing that it launches has a known price.
    Unpriced,
    /// The cheapest that it launches costs more than the whole ceiling.
    TooDear,
    /// Its scale set counts fewer jobs: what GitHub has not given to the set, no runner of the set can get.
    Unassigned,
    /// What its scale set counts is not known.
    Unknown,
}

/// Where each pending job goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignment<'a> {
    /// By pool: the jobs that it takes, also those for which it has no room now.
    pub taken: BTreeMap<&'a PoolName, Vec<&'a Job>>,
    /// The jobs that get no runner, with the reason; sorted by id.
    pub unschedulable: Vec<Unschedulable>,
}

/// Assigns pending jobs to pools. The order of `jobs` and `pools` doesn't matter.
///
/// Within a signature the jobs that have waited longest are served first.
#[must_use]
pub fn assign<'a>(
    jobs: impl IntoIterator<Item = &'a Job>,
    pools: &[&'a Pool],
    capacity: impl Fn(&Pool) -> Capacity,
) -> Assignment<'a> {
    let mut pools = pools.to_vec();
    pools.sort_by(|a, b| a.name.cmp(&b.name));
    // Jobs by the hundred have the same labels, written alike: a signature is made once for all of these.
    let mut by_labels: HashMap<&[Label], Vec<&Job>> = HashMap::new();
    for job in jobs {
        by_labels.entry(&job.labels).or_default().push(job);
    }
    let mut by_signature: BTreeMap<Signature, Vec<&Job>> = BTreeMap::new();
    for (labels, jobs) in by_labels {
        by_signature.entry(Signature::of(labels)).or_default().extend(jobs);
    }
    let capacities: Vec<Capacity> = pools.iter().map(|pool| capacity(pool)).collect();
    let routes = route(&by_signature, &pools, &capacities);

    let mut assignment = Assignment::default();
    for (mut jobs, routes) in by_signature.into_values().zip(routes) {
        jobs.sort_by_cached_key(|job| (job.queued_at.is_none(), job.queued_at, job.id));
        // It is told as the oldest job writes it: the map's key is written as whichever came first.
        let oldest = jobs.first().filter(|_| routes.is_empty());
        let reason = oldest.map(|job| Signature::of(&job.labels).no_pool(&pools));
        let mut waiting = jobs.into_iter();
        if let Some(reason) = reason {
            assignment.unschedulable.extend(waiting.map(|job| unschedulable(job, reason.clone())));
            continue;
        }
        for route in &routes {
            let taken = assignment.taken.entry(&route.pool.name).or_default();
            taken.extend(waiting.by_ref().take(route.served));
        }
        for route in &routes {
            if route.full > 0 {
                let taken = assignment.taken.entry(&route.pool.name).or_default();
                let reason = no_room(route.pool, route.shortage);
                for job in waiting.by_ref().take(route.full) {
                    taken.push(job);
                    assignment.unschedulable.push(unschedulable(job, reason.clone()));
                }
            }
        }
    }
    assignment.unschedulable.sort_by_key(|job| job.job_id);
    for jobs in assignment.taken.values_mut() {
        jobs.sort_by_key(|job| job.id);
    }
    assignment
}

fn unschedulable(job: &Job, reason: Reason) -> Unschedulable {
    Unschedulable { job_id: job.id, labels: job.labels.clone(), reason }
}

/// Returns the instance types that a pool launches, each once.
fn types(pool: &Pool) -> String {
    let types: BTreeSet<&str> = pool.offerings.iter().map(|offering| offering.instance_type.as_str()).collect();
    types.into_iter().collect::<Vec<_>>().join(", ")
}

fn no_room(pool: &Pool, shortage: Shortage) -> Reason {
    let Pool { name, max, .. } = pool;
    match shortage {
        Shortage::Max => Reason::new(ReasonCode::AtMax, format!("pool `{name}` is at its max of {max}")),
        Shortage::Offerings => Reason::new(ReasonCode::Unavailable, format!("pool `{name}` has nothing to launch")),
        Shortage::Capacity => Reason::new(
            ReasonCode::Unavailable,
            format!("EC2 had no capacity for anything that pool `{name}` launches: it is tried again"),
        ),
        Shortage::Refused => Reason::new(
            ReasonCode::Unavailable,
            format!("the last launches of pool `{name}` were refused: one is tried again"),
        ),
        Shortage::Unpriced => Reason::new(
            ReasonCode::PriceUnknown,
            format!(
                "nothing that pool `{name}` launches has a known price, which `max_usd_per_hour` asks for: {}",
                types(pool)
            ),
        ),
        Shortage::TooDear => Reason::new(
            ReasonCode::MaxUsdPerHour,
            format!("the cheapest that pool `{name}` launches costs more than `max_usd_per_hour`"),
        ),
        Shortage::Unassigned => Reason::new(
            ReasonCode::NotAssigned,
            format!("the scale set of pool `{name}` has not been given it, so no runner of the set can get it"),
        ),
        Shortage::Unknown => Reason::new(
            ReasonCode::Unavailable,
            format!("the scale set of pool `{name}` could not be asked, and no other source may be used"),
        ),
    }
}

/// How many jobs of one signature a pool takes.
struct Route<'a> {
    pool: &'a Pool,
    /// With a runner that is there or can be launched.
    served: usize,
    /// Without: the pool is full.
    full: usize,
    shortage: Shortage,
}

/// Returns, for each signature in order, its routes by pool name; none if no pool can take it.
fn route<'a>(
    by_signature: &BTreeMap<Signature, Vec<&Job>>,
    pools: &[&'a Pool],
    capacities: &[Capacity],
) -> Vec<Vec<Route<'a>>> {
    // Per pool two nodes, "served" and "full", so that the flow of each signature into each can be read off its arc.
    let sink = 0;
    let first_pool = 1;
    let first_signature = first_pool + 2 * pools.len();
    let mut network = Network::new(first_signature + by_signature.len());
    let highest = pools.iter().map(|pool| pool.priority).max().unwrap_or(0);
    for (nth, Capacity { ready, launchable, given, .. }) in capacities.iter().copied().enumerate() {
        let (served, full) = (first_pool + 2 * nth, first_pool + 2 * nth + 1);
        network.arc(served, sink, ready.into(), Cost::default());
        network.arc(served, sink, launchable.into(), Cost([0, 1, 0, 0, 0]));
        network.arc(full, sink, given.into(), Cost([0, 0, 0, 0, 1]));
        network.arc(full, sink, u64::MAX / 2, Cost([1, 0, 0, 0, 0]));
    }
    let mut arcs: Vec<Vec<(&Pool, Shortage, ArcId, ArcId)>> = Vec::new();
    // Pools that can take it, labels that the best of them doesn't need, its node, and its jobs.
    let mut in_turn: Vec<(usize, usize, usize, usize)> = Vec::new();
    for (nth, (signature, jobs)) in by_signature.iter().enumerate() {
        let node = first_signature + nth;
        let mut leaving = Vec::new();
        let mut closest = usize::MAX;
        for (nth, pool) in pools.iter().enumerate() {
            let Some(unneeded) = signature.unneeded_on(pool) else { continue };
            closest = closest.min(unneeded);
            let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
            let cost = Cost([0, 0, highest.saturating_sub(pool.priority), number(unneeded), number(nth)]);
            let mut into = |node_of_pool| network.arc(node, node_of_pool, u64::MAX / 2, cost);
            let shortage = capacities[nth].shortage;
            leaving.push((*pool, shortage, into(first_pool + 2 * nth), into(first_pool + 2 * nth + 1)));
        }
        in_turn.push((leaving.len(), closest, node, jobs.len()));
        arcs.push(leaving);
    }
    // There is always room. What can go to few pools is sent first, which leaves the least to be sent another way; then what
    // fits best.
    in_turn.sort_unstable();
    for (_, _, node, jobs) in in_turn {
        network.send(node, sink, jobs as u64);
    }
    let flow = |arc| usize::try_from(network.flow(arc)).unwrap_or(usize::MAX);
    arcs.into_iter()
        .map(|leaving| {
            leaving
                .into_iter()
                .map(|(pool, shortage, served, full)| Route { pool, served: flow(served), full: flow(full), shortage })
                .collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::build::{job, pool};

    fn numbers(
        jobs: &[Job],
        pools: &[&Pool],
        capacity: &[(&str, u32, u32)],
    ) -> (Vec<(String, usize)>, Vec<ReasonCode>) {
        let assignment = assign(jobs, pools, |pool| {
            let (_, ready, launchable) = capacity.iter().find(|(name, ..)| *name == pool.name.as_str()).unwrap();
            Capacity { ready: *ready, launchable: *launchable, ..Capacity::default() }
        });
        let taken = assignment.taken.iter().map(|(pool, jobs)| (pool.to_string(), jobs.len()));
        let refused = assignment.unschedulable.iter().map(|job| job.reason.code).collect();
        (taken.filter(|(_, count)| *count > 0).collect(), refused)
    }

    fn jobs(count: u64, labels: &str) -> Vec<Job> {
        (1..=count).map(|id| job(id).labels(labels)).collect()
    }

    #[test]
    fn idle_capacity_comes_before_priority() {
        let (a, b) = (pool("a").labels("linux").priority(9), pool("b").labels("linux"));
        let (taken, _) = numbers(&jobs(2, "linux"), &[&a, &b], &[("a", 0, 5), ("b", 1, 5)]);
        assert_eq!(taken, [("a".into(), 1), ("b".into(), 1)]);
    }

    #[test]
    fn priority_comes_before_unneeded_labels() {
        let (exact, wide) = (pool("exact").labels("linux"), pool("wide").labels("linux gpu").priority(1));
        let (taken, _) = numbers(&jobs(1, "linux"), &[&exact, &wide], &[("exact", 0, 1), ("wide", 0, 1)]);
        assert_eq!(taken, [("wide".into(), 1)]);
    }

    #[test]
    fn the_pool_with_the_fewest_unneeded_labels_comes_next() {
        let (exact, wide) = (pool("z").labels("linux"), pool("a").labels("linux gpu"));
        let (taken, _) = numbers(&jobs(1, "linux"), &[&exact, &wide], &[("a", 0, 1), ("z", 0, 1)]);
        assert_eq!(taken, [("z".into(), 1)]);
    }

    #[test]
    fn ties_go_by_name() {
        let (a, b) = (pool("a").labels("linux"), pool("b").labels("linux"));
        let (taken, _) = numbers(&jobs(1, "linux"), &[&b, &a], &[("a", 0, 1), ("b", 0, 1)]);
        assert_eq!(taken, [("a".into(), 1)]);
    }

    #[test]
    fn overlapping_labels_that_do_not_nest_still_cover_every_job() {
        // Greedy by the fewest unneeded labels would give `ab` to the shared pool and leave `bc` without.
        let (ab, abc) = (pool("x").labels("a b d e"), pool("y").labels("a b c"));
        let mut all = vec![job(1).labels("a b")];
        all.push(job(2).labels("b c"));
        let (taken, refused) = numbers(&all, &[&ab, &abc], &[("x", 0, 1), ("y", 0, 1)]);
        assert_eq!((taken, refused), (vec![("x".into(), 1), ("y".into(), 1)], vec![]));
    }

    #[test]
    fn a_job_beyond_max_stays_with_its_pool_and_says_so() {
        let pool = pool("linux").labels("linux");
        let (taken, refused) = numbers(&jobs(5, "linux"), &[&pool], &[("linux", 1, 2)]);
        assert_eq!((taken, refused), (vec![("linux".into(), 5)], vec![ReasonCode::AtMax; 2]));
    }

    #[test]
    fn a_job_that_a_scale_set_was_given_is_not_launched_for_elsewhere() {
        let (set, other) = (pool("set").labels("linux"), pool("other").labels("linux"));
        let jobs = jobs(4, "linux");
        let assignment = assign(&jobs, &[&set, &other], |pool| match pool.name.as_str() {
            "set" => Capacity { ready: 1, given: 2, ..Capacity::default() },
            _ => Capacity { launchable: 9, ..Capacity::default() },
        });
        let taken: Vec<_> = assignment.taken.iter().map(|(pool, jobs)| (pool.as_str(), jobs.len())).collect();
        assert_eq!((taken, assignment.unschedulable.len()), (vec![("other", 1), ("set", 3)], 2));
    }

    #[test]
    fn the_longest_wait_is_served_first() {
        let pool = pool("linux").labels("linux");
        let jobs = [job(1).labels("linux").queued_for(10), job(2).labels("linux").queued_for(90)];
        let assignment = assign(&jobs, &[&pool], |_| Capacity { ready: 1, ..Capacity::default() });
        assert_eq!(assignment.unschedulable[0].job_id, jobs[0].id);
    }

    #[test]
    fn a_job_that_no_pool_can_take_is_said() {
        let pool = pool("linux").labels("linux");
        let (taken, refused) = numbers(&jobs(1, "windows"), &[&pool], &[("linux", 9, 9)]);
        assert_eq!((taken, refused), (vec![], vec![ReasonCode::NoPool]));
    }
}
