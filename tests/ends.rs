//! Ends: in batches, where there are more than one call takes; and of idle runners, after one more look at the jobs.

use ghascale::apply;
use ghascale::engine::build::{instance, job, pool, runner};
use ghascale::engine::{InstanceState, Job, JobState, Mark, check, plan};

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
    let refused = Fault { word: "AuthFailure".to_owned(), after: false };
    world.faults.borrow_mut().entry("terminate".to_owned()).or_default().extend(vec![refused; 9]);
    let outcomes = apply(&world);
    let failed = outcomes.iter().filter(|outcome| outcome.result == apply::Result::Failed).count();
    assert_eq!((batches(&world), failed, running(&world)), (vec![100, 1], 1, 150));
    assert!(outcomes[149].error.as_ref().unwrap().starts_with("not tried, because EC2 refused the credentials"));
}

#[test]
fn what_may_not_be_done_to_one_instance_keeps_no_other_and_no_launch() {
    let world = with_orphans(3);
    let denied = Fault { word: "UnauthorizedOperation".to_owned(), after: false };
    world.faults.borrow_mut().entry("terminate".to_owned()).or_default().extend(vec![denied; 2]);
    world.policy.borrow_mut().pools.push(pool("gpu").labels("gpu"));
    world.jobs.borrow_mut().push(job(1).labels("gpu"));
    let outcomes = apply(&world);
    let failed = outcomes.iter().filter(|outcome| outcome.result == apply::Result::Failed).count();
    let launched = outcomes.iter().filter(|outcome| outcome.offering.is_some()).count();
    assert_eq!((batches(&world), failed, launched), (vec![3, 1, 1, 1], 1, 1), "{outcomes:?}");
}

/// A world with so many idle runners that nobody needs, seen so long enough ago.
fn with_idle(count: u32) -> World {
    let world = World::new();
    world.policy.borrow_mut().pools.push(pool("linux").sized(0, count).trimmed());
    for slot in 0..count {
        let idle = instance("linux", slot).aged(3600).marked(Mark::SeenOnline, 3500).marked(Mark::IdleSince, 400);
        world.instances.borrow_mut().push((idle, String::new()));
        world.runners.borrow_mut().push(runner("linux", slot).online());
    }
    world
}

fn of(world: &World, slot: u32) -> Job {
    let record = world.runners.borrow()[slot as usize].clone();
    let mut job = job(4711);
    (job.state, job.runner_id, job.runner_name) = (JobState::InProgress, Some(record.id), Some(record.name));
    job
}

/// Plans by one look, and carries it out in a world in which something has changed since.
fn apply_after(world: &World, change: impl FnOnce(&World)) -> Vec<apply::Outcome> {
    let (seen, policy) = (world.observe(), world.policy.borrow().clone());
    let plan = plan(&seen, &policy);
    assert_eq!(check(&seen, &policy, &plan), Ok(()));
    change(world);
    world.apply(&plan)
}

fn looks_at_jobs(world: &World) -> usize {
    world.calls.borrow().iter().filter(|call| call.starts_with("jobs")).count()
}

#[test]
fn an_idle_runner_that_was_given_a_job_since_the_plan_was_made_is_not_removed() {
    let world = with_idle(2);
    let outcomes = apply_after(&world, |world| world.jobs.borrow_mut().push(of(world, 0)));
    let deregistered = &outcomes[0];
    assert_eq!(deregistered.result, apply::Result::Skipped);
    assert_eq!(deregistered.error.as_deref(), Some("it has been given job 4711 of acme/api"));
    assert!(!world.calls.borrow().iter().any(|call| call.starts_with("remove")), "{:?}", world.calls.borrow());
    assert_eq!((world.runners.borrow().len(), running(&world)), (2, 2));
}

#[test]
fn one_look_at_the_jobs_is_enough_for_all_that_go_at_once() {
    let world = with_idle(10);
    let outcomes = apply_after(&world, |_| {});
    let removed = outcomes.iter().filter(|one| one.result == apply::Result::Done && one.runner_id.is_some()).count();
    assert_eq!((removed, looks_at_jobs(&world)), (5, 1));
}

#[test]
fn jobs_that_cannot_be_read_again_keep_idle_runners() {
    let world = with_idle(2);
    let lost = Fault { word: "502".to_owned(), after: false };
    world.faults.borrow_mut().entry("jobs".to_owned()).or_default().push_back(lost);
    let outcomes = apply_after(&world, |_| {});
    assert!(outcomes[0].error.as_ref().unwrap().starts_with("the jobs could not be read again"), "{outcomes:#?}");
    assert_eq!(world.runners.borrow().len(), 2);
}

#[test]
fn a_look_at_the_jobs_that_took_too_long_ends_nothing() {
    let world = with_idle(2);
    world.delays.borrow_mut().entry("jobs".to_owned()).or_default().push_back(std::time::Duration::from_secs(150));
    let outcomes = apply_after(&world, |_| {});
    let said = outcomes[0].error.as_deref();
    assert_eq!(said, Some("to read the jobs again took 2m30s: it may have one"));
}
