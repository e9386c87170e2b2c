//! The simulated world: GitHub and EC2 at their worst, from a seed, and the real engine and executor in it.
//!
//! A history says who runs when and what goes wrong when. It is played on a virtual clock, step by step; after every
//! step the world is held against what must never be. One that fails is shrunk, and shown.
//!
//! ```text
//! cargo test simulation                                     the ordinary run
//! GHASCALE_HISTORIES=100000 cargo test simulation           many more
//! GHASCALE_SEED=4711 cargo test simulation -- --nocapture   one, step by step
//! ```

mod chance;
mod guards;
mod history;
mod operator;
mod play;
mod report;
mod services;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};

use guards::Guard;
use history::History;
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
    let count = number("GHASCALE_HISTORIES").unwrap_or(HISTORIES);
    let (next, failed, passes) = (AtomicU64::new(0), AtomicU64::new(u64::MAX), AtomicU64::new(0));
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
    println!("{count} histories, {} passes", passes.into_inner());
}

/// Returns the first seeds that fail, up to a number.
fn caught(guard: Guard, seeds: u64) -> Vec<u64> {
    (0..seeds).filter(|seed| play(&History::of(*seed), Some(guard), false).violation.is_some()).collect()
}

#[test]
fn survey() {
    for guard in Guard::ALL {
        let seeds = caught(guard, 600);
        println!("{guard:?}: {} of 600: {:?}", seeds.len(), seeds.first());
    }
}
