//! Plays a history to its end, and shrinks one that fails.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use super::guards::Guard;
use super::history::{Call, History, MINUTE, Ms, clock};
use super::operator::{Hand, policy};
use super::world::World;

/// How long after the last trouble everything must be as it should.
const CONVERGED: Ms = 75 * MINUTE;
/// The same where a limit may let through one runner after the other, where one job after the other is interrupted and waits
/// for its run to be given up, or where a pool's only slot may be with a runner that its scale set gives no job: it was
/// launched while the set's counts could not be read.
const CONVERGED_ONE_BY_ONE: Ms = 3 * CONVERGED;
/// How long an instance may outlive its `max_lifetime` where nobody but its host ends it: it boots first.
const BOOTED: Ms = 15 * MINUTE;

/// What became of a history.
pub(crate) struct Verdict {
    pub(crate) violation: Option<String>,
    pub(crate) trace: Vec<String>,
    pub(crate) passes: u64,
    pub(crate) calls: BTreeMap<Call, u64>,
    /// How often so many instances were ended with one call.
    pub(crate) batches: BTreeMap<usize, u64>,
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One operator's process: the future that runs, and whether it has something to do.
struct Running {
    future: Pin<Box<dyn Future<Output = ()>>>,
    flag: Arc<Flag>,
}

/// Plays a history; with `broken`, by a ghascale that lacks a guard.
pub(crate) fn play(history: &History, broken: Option<Guard>, traced: bool) -> Verdict {
    let world = Rc::new(RefCell::new(World::new(history, traced)));
    let policy = Rc::new(policy(&world.borrow(), &history.pools));
    let start = |nth: usize| {
        let hand = Hand::new(&world, nth, history.operators[nth], broken);
        let future = Box::pin(hand.run(Rc::clone(&policy)));
        Running { future, flag: Arc::new(Flag(AtomicBool::new(true))) }
    };
    let mut operators: Vec<Running> = (0..history.operators.len()).map(start).collect();

    let troubled = history.abandoned_from.unwrap_or(history.calm_from);
    run(&world, &mut operators, &start, troubled, false);
    if history.abandoned_from.is_none() && world.borrow().violation.is_none() {
        world.borrow_mut().calm();
        let is_limited = history.max_total.is_some() || history.ceiling.is_some();
        let has_reruns = history.pools.iter().any(|pool| pool.reruns);
        let waits = history.pools.iter().any(|pool| pool.max == 1 && pool.has_set && pool.idle_timeout == 0);
        let patience = if is_limited || has_reruns || waits { CONVERGED_ONE_BY_ONE } else { CONVERGED };
        run(&world, &mut operators, &start, history.calm_from + patience, true);
        let unsettled = world.borrow().unsettled().filter(|_| world.borrow().violation.is_none());
        if let Some(what) = unsettled {
            world.borrow_mut().violated(format!("{} after the last trouble, {what}", clock(patience)));
        }
    }
    drop(operators);
    fade(&world);

    let mut world = world.borrow_mut();
    let calls = std::mem::take(&mut world.calls);
    Verdict {
        calls,
        batches: std::mem::take(&mut world.batches),
        violation: world.violation.take(),
        trace: world.trace.take().unwrap_or_default(),
        passes: world.processes.iter().map(|process| process.passes).sum(),
    }
}

/// Lets the world and its operators run until a time, until a violation, or until all is well if that is enough.
fn run(
    world: &RefCell<World>,
    operators: &mut [Running],
    start: &dyn Fn(usize) -> Running,
    until: Ms,
    until_settled: bool,
) {
    let mut look_at = world.borrow().now + 2 * MINUTE;
    loop {
        for (nth, one) in operators.iter_mut().enumerate() {
            if one.flag.0.swap(false, Ordering::Relaxed) {
                let waker = Waker::from(Arc::clone(&one.flag));
                // An operator never ends by itself.
                let _ = one.future.as_mut().poll(&mut Context::from_waker(&waker));
            }
            if world.borrow().processes[nth].dead {
                world.borrow_mut().say(|| format!("operator {nth} dies"));
                *one = start(nth);
                world.borrow_mut().processes[nth].dead = false;
            }
        }
        let mut world = world.borrow_mut();
        world.look();
        if world.violation.is_some() {
            return;
        }
        if until_settled && world.now >= look_at {
            look_at = world.now + MINUTE / 2;
            if world.unsettled().is_none() {
                return;
            }
        }
        if !world.step(until) {
            return;
        }
    }
}

/// Nobody runs ghascale any more: whatever was launched, and booted with our own user data, ends by itself.
fn fade(world: &RefCell<World>) {
    let mut world = world.borrow_mut();
    if world.violation.is_some() {
        return;
    }
    let bound = |world: &World, nth: usize| {
        let pool = &world.pools[world.machines[nth].pool?];
        (world.machines[nth].has_host && pool.idle_timeout > 0).then_some(pool.max_lifetime + BOOTED)
    };
    let bounds = (0..world.machines.len()).filter_map(|nth| Some(world.machines[nth].launched + bound(&world, nth)?));
    let last = bounds.max().unwrap_or(0);
    while world.violation.is_none() && world.step(last) {}
    for nth in 0..world.machines.len() {
        let is_late = |bound: Ms| world.machines[nth].launched + bound <= last;
        if world.machines[nth].is_live() && bound(&world, nth).is_some_and(is_late) {
            let what = format!("{} has outlived its `max_lifetime`, and nobody runs ghascale", world.machines[nth].id);
            world.violated(what);
        }
    }
}

/// Leaves out of a failing history what it does not need to fail, as long as it fails.
pub(crate) fn shrink(history: &History, broken: Option<Guard>) -> History {
    let mut best = history.clone();
    let fails = |candidate: &History| play(candidate, broken, false).violation.is_some();
    loop {
        let before = (best.events.len(), best.operators.len(), best.pools.len());
        let mut chunk = best.events.len().div_ceil(2).max(1);
        loop {
            let mut at = 0;
            while at < best.events.len() {
                let mut candidate = best.clone();
                candidate.events.drain(at..(at + chunk).min(candidate.events.len()));
                if fails(&candidate) {
                    best = candidate;
                } else {
                    at += chunk;
                }
            }
            if chunk == 1 {
                break;
            }
            chunk = chunk.div_ceil(2);
        }
        while best.operators.len() > 1 {
            let mut candidate = best.clone();
            candidate.operators.pop();
            if !fails(&candidate) {
                break;
            }
            best = candidate;
        }
        for nth in (0..best.pools.len()).rev() {
            let mut candidate = best.clone();
            candidate.pools.remove(nth);
            if !candidate.pools.is_empty() && fails(&candidate) {
                best = candidate;
            }
        }
        if before == (best.events.len(), best.operators.len(), best.pools.len()) {
            return best;
        }
    }
}
