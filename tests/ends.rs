//! Ends in batches, where there are more than one call takes.

use ghascale::apply;
use ghascale::engine::build::{instance, pool};
use ghascale::engine::{InstanceState, Mark, check, plan};

use crate::world::{Fault, World};

/// A world with so many instances whose records have long been gone.
fn with_orphans(count: u32) -> World {
    let world = World::new();
    world.policy.borrow_mut().pools.push(pool("linux").sized(0, count));
    let orphan = |slot| instance("linux", slot).marked(Mark::Draining, 600);
    world.instances.borrow_mut().extend((0..count).map(|slot| (orphan(slot), String::new())));
    world
}

fn apply(world: &World) -> Vec<apply::Outcome> {
    let (seen, policy) = (world.observe(), world.policy.borrow().clone());
    let plan = plan(&seen, &policy);
    assert_eq!(check(&seen, &policy, &plan), Ok(()));
    world.apply(&plan)
}

fn running(world: &World) -> usize {
    world.instances.borrow().iter().filter(|(one, _)| one.state == InstanceState::Running).count()
}

/// Returns how many instances each call to end some named.
fn batches(world: &World) -> Vec<usize> {
    let calls = world.calls.borrow();
    calls.iter().filter_map(|call| Some(call.strip_prefix("terminate ")?.split(' ').count())).collect()
}

#[test]
fn over_a_hundred_go_in_calls_of_at_most_a_hundred() {
    let world = with_orphans(230);
    let outcomes = apply(&world);
    assert_eq!((outcomes.len(), running(&world)), (230, 0));
    assert_eq!(batches(&world), [100, 100, 30]);
    let looks = world.calls.borrow().iter().filter(|call| call.starts_with("runner ")).count();
    assert_eq!(looks, 230, "each record is looked up once");
    let mut requests: Vec<_> = outcomes.iter().map(|outcome| outcome.request_id.clone().unwrap()).collect();
    requests.dedup();
    assert_eq!(requests.len(), 3, "each outcome has the request of its call");
}

#[test]
fn a_batch_that_is_refused_does_not_stop_the_next() {
    let world = with_orphans(150);
    let refused = Fault { word: "InvalidInstanceID.NotFound".to_owned(), after: false };
    world.faults.borrow_mut().entry("terminate".to_owned()).or_default().push_back(refused);
    assert!(apply(&world).iter().all(|outcome| outcome.result == apply::Result::Done));
    assert_eq!((batches(&world).len(), running(&world)), (1 + 100 + 1, 0));
}

#[test]
fn refused_credentials_end_the_fall_back_at_its_first_call() {
    let world = with_orphans(150);
    let refused = Fault { word: "UnauthorizedOperation".to_owned(), after: false };
    world.faults.borrow_mut().entry("terminate".to_owned()).or_default().extend(vec![refused; 9]);
    let outcomes = apply(&world);
    let failed = outcomes.iter().filter(|outcome| outcome.result == apply::Result::Failed).count();
    assert_eq!((batches(&world), failed, running(&world)), (vec![100, 1], 1, 150));
    assert!(outcomes[149].error.as_ref().unwrap().starts_with("not tried, because EC2 refused the credentials"));
}
