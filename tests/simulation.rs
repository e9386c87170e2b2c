//! The simulated world: GitHub and EC2 at their worst, from a seed, and the real engine and executor in it.
//!
//! A history says who runs when and what goes wrong when. It is played on a virtual clock, step by step; after every
//! step the world is held against what must never be. One that fails is shrunk, and shown.
//!
//! ```text
//! cargo test simulation                                     the ordinary run
//! GHASCALE_HISTORIES=100000 cargo test simulation           many more (GHASCALE_FROM=50000: from that seed on)
//! GHASCALE_SEED=4711 cargo test simulation -- --nocapture   one, step by step
//! ```

mod chance;
mod guards;
mod history;
mod operator;
mod play;
mod report;
mod runs;
mod services;
mod world;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use guards::Guard;
use history::{Call, Event, Failure, Fate, History, What};
use play::{play, shrink};

/// Histories in the ordinary run.
const HISTORIES: u64 = 2000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

/// Shows a failing history: shrunk, then step by step.
fn show(seed: u64, broken: Option<Guard>) -> String {
    let history = shrink(&History::of(seed), broken);
    let verdict = play(&history, broken, true);
    format!(
        "seed {seed} fails: {}\n\n{history}\n{}\n\nreplay it with GHASCALE_SEED={seed} cargo test simulation",
        verdict.violation.unwrap_or_default(),
        verdict.trace.join("\n"),
    )
}

#[test]
fn no_history_goes_wrong() {
    if let Some(seed) = number("GHASCALE_SEED") {
        let history = History::of(seed);
        let verdict = play(&history, None, true);
        println!("{history}\n{}", verdict.trace.join("\n"));
        assert!(verdict.violation.is_none(), "{}", show(seed, None));
        return;
    }
    let first = number("GHASCALE_FROM").unwrap_or(0);
    let count = number("GHASCALE_HISTORIES").unwrap_or(first + HISTORIES);
    assert!(first < count, "no history from {first} to {count}");
    let (next, failed, passes) = (AtomicU64::new(first), AtomicU64::new(u64::MAX), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= count.min(failed.load(Ordering::Relaxed)) {
                        return;
                    }
                    let verdict = play(&History::of(seed), None, false);
                    passes.fetch_add(verdict.passes, Ordering::Relaxed);
                    if verdict.violation.is_some() {
                        failed.fetch_min(seed, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner();
    assert!(failed == u64::MAX, "{}", show(failed, None));
    println!("seeds {first} to {count}, {} passes", passes.into_inner());
}

/// Returns the seeds below a number whose histories fail without a guard.
fn caught(guard: Guard, seeds: u64) -> impl Iterator<Item = u64> {
    (0..seeds).filter(move |seed| play(&History::of(*seed), Some(guard), false).violation.is_some())
}

#[test]
fn without_any_one_guard_some_history_goes_wrong() {
    // The counts for the documentation: GHASCALE_SURVEY=1000.
    if let Some(seeds) = number("GHASCALE_SURVEY") {
        for guard in Guard::ALL {
            let caught: Vec<u64> = caught(guard, seeds).collect();
            println!("{guard:?}: {} of {seeds}, the first is {:?}", caught.len(), caught.first());
        }
        return;
    }
    std::thread::scope(|scope| {
        for half in Guard::ALL.chunks(Guard::ALL.len().div_ceil(2)) {
            scope.spawn(move || {
                for guard in half {
                    assert!(caught(*guard, HISTORIES).next().is_some(), "{guard:?} can go, and nothing happens");
                }
            });
        }
    });
}

#[test]
fn no_history_needs_githubs_refusal_to_delete_a_busy_runner() {
    for seed in 0..200 {
        let verdict = play(&History::of(seed), Some(Guard::GITHUBS), false);
        assert_eq!(verdict.violation, None, "{seed}");
    }
}

#[test]
fn calls_are_bounded_where_ec2_has_no_capacity_at_all() {
    for seed in 0..20 {
        let mut history = History::of(seed);
        history.events.retain(|event| matches!(event.what, What::Jobs { .. }));
        let never = |spot, subnet| Event { at: 0, what: What::NoCapacity { spot, subnet, lasts: u64::MAX / 2 } };
        history.events.extend([never(false, 0), never(false, 1), never(true, 0), never(true, 1)]);
        history.abandoned_from = Some(history.calm_from);
        let verdict = play(&history, None, false);
        assert_eq!(verdict.violation, None, "{seed}");
        let made = |call| verdict.calls.get(&call).copied().unwrap_or(0);
        // A pool's first launch of a pass goes through all four offerings; the others know.
        let pools = history.pools.len() as u64;
        assert!(made(Call::Run) <= verdict.passes * pools * 4, "{seed}: {:?}", verdict.calls);
        // What was registered for nothing goes at once; a taken name was a look only, and in a scale set not even that.
        let has_set = history.pools.iter().any(|pool| pool.has_set);
        assert!(
            has_set || made(Call::Remove) + made(Call::RunnerNamed) + 1 >= made(Call::Register),
            "{seed}: {:?}",
            verdict.calls
        );
    }
}

/// How many calls one pass may make.
type Bound = fn(&History) -> u64;

/// Refusals that never end: the call, what it is answered, and how many such calls one pass may make.
#[rustfmt::skip]
const FOR_EVER: [(Call, &str, Bound); 16] = [
    // The first launch of a pool tells the others; what may pass is asked five times.
    (Call::Run, "UnauthorizedOperation", in_each_pool),
    (Call::Run, "AuthFailure", in_each_pool),
    (Call::Run, "MaxSpotInstanceCountExceeded", |history| 2 * in_each_pool(history)),
    (Call::Run, "VcpuLimitExceeded", |history| 2 * in_each_pool(history)),
    (Call::Run, "InvalidAMIID.NotFound", in_each_pool),
    (Call::Run, "RequestLimitExceeded", |history| 5 * in_each_pool(history)),
    (Call::Run, "InternalError", |history| 5 * in_each_pool(history)),
    (Call::Register, "403", in_each_pool),
    (Call::Register, "422", in_each_pool),
    (Call::Register, "500", |history| 3 * in_each_pool(history)),
    (Call::Remove, "403", |history| 2 * in_each_slot(history)),
    (Call::Remove, "500", |history| 2 * in_each_slot(history)),
    // All with one call, then each by itself.
    (Call::Terminate, "UnauthorizedOperation", |history| 1 + in_each_slot(history)),
    (Call::Mark, "UnauthorizedOperation", |history| 4 * in_each_slot(history)),
    (Call::ListInstances, "UnauthorizedOperation", once),
    (Call::ListJobs, "502", |history| 1 + in_each_slot(history)),
];

fn once(_: &History) -> u64 {
    1
}

fn in_each_pool(history: &History) -> u64 {
    history.pools.len() as u64
}

fn in_each_slot(history: &History) -> u64 {
    history.pools.iter().map(|pool| u64::from(pool.max)).sum()
}

#[test]
fn calls_are_bounded_where_one_is_refused_for_ever() {
    for (call, code, most) in FOR_EVER {
        let mut met = 0;
        for seed in 0..20 {
            let mut history = History::of(seed);
            history.events.retain(|event| !matches!(event.what, What::Fail { .. }));
            history.events.push(Event { at: 0, what: What::Fail { call, how: Failure::Refused(code), times: 10_000 } });
            history.abandoned_from = Some(history.calm_from);
            let verdict = play(&history, None, false);
            assert_eq!(verdict.violation, None, "{call:?} {code}: {seed}");
            let made = verdict.calls.get(&call).copied().unwrap_or(0);
            let most = verdict.passes * most(&history);
            assert!(made <= most, "{call:?} {code}: {seed}: {made} calls, and at most {most} may be");
            met += made;
        }
        assert!(met > 0, "{call:?} is never made");
    }
}

#[test]
fn launches_are_bounded_where_nothing_ever_boots() {
    for (seed, dies) in (0..20).flat_map(|seed| [(seed, None), (seed, Some(40_000))]) {
        let mut history = History::of(seed);
        history.events.retain(|event| matches!(event.what, What::Jobs { .. }));
        let fate = dies.map_or(Fate::Never, Fate::Dies);
        history.events.extend((0..500).map(|_| Event { at: 0, what: What::Boot(fate) }));
        history.abandoned_from = Some(history.calm_from);
        let verdict = play(&history, None, false);
        assert_eq!(verdict.violation, None, "{seed}");
        let launched = verdict.calls.get(&Call::Run).copied().unwrap_or(0);
        // Each host learns for itself: what it launches at once, until three have failed; then one a pass.
        let operators = history.operators.len() as u64;
        let most = 2 * operators * in_each_slot(&history) + verdict.passes * in_each_pool(&history);
        assert!(launched <= most, "{seed}: {launched} launches, and at most {most} may be");
    }
}

#[test]
fn histories_end_instances_alone_and_together() {
    let mut batches: BTreeMap<usize, u64> = BTreeMap::new();
    for seed in 0..400 {
        for (size, times) in play(&History::of(seed), None, false).batches {
            *batches.entry(size).or_default() += times;
        }
    }
    assert!(batches.contains_key(&1) && batches.keys().any(|size| *size > 1), "{batches:?}");
}

#[test]
fn histories_re_run_interrupted_jobs_alone_and_together() {
    let mut calls: BTreeMap<Call, u64> = BTreeMap::new();
    for seed in 0..200 {
        for (call, times) in play(&History::of(seed), None, false).calls {
            *calls.entry(call).or_default() += times;
        }
    }
    assert!(calls.contains_key(&Call::RerunJob) && calls.contains_key(&Call::RerunFailed), "{calls:?}");
}

#[test]
fn the_same_seed_is_the_same_history() {
    for seed in 0..5 {
        let trace = || play(&History::of(seed), None, true).trace;
        assert_eq!(trace(), trace());
    }
}

#[test]
fn a_failing_history_is_shrunk_to_what_it_needs_to_fail() {
    let seed = caught(Guard::SlotName, HISTORIES).next().unwrap();
    let (whole, shrunk) = (History::of(seed), shrink(&History::of(seed), Some(Guard::SlotName)));
    assert!(play(&shrunk, Some(Guard::SlotName), false).violation.is_some());
    assert!(shrunk.events.len() < whole.events.len() && shrunk.events.len() <= 3, "{shrunk}");
}
