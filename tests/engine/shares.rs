//! What all pools share: who comes first, and who goes without.

use ghascale::engine::build::{instance, job, policy, pool, runner, snapshot};
use ghascale::engine::{Instance, InstanceState, Mark, Offering, Plan, Policy, Pool, PoolName, Price, Snapshot, Step};

use super::planned;

fn max_total(most: u32, pools: impl IntoIterator<Item = Pool>) -> Policy {
    Policy { max_total: Some(most), ..policy(pools) }
}

fn launched(plan: &Plan) -> Vec<(&str, u32)> {
    plan.pools.iter().map(|sums| (sums.name.as_str(), sums.launch)).collect()
}

/// Adds so many jobs that have waited for so many seconds.
fn waiting(world: Snapshot, labels: &str, count: u64, seconds: u64) -> Snapshot {
    let first = world.demand.jobs.len() as u64 + 1;
    (first..first + count).fold(world, |world, id| world.job(job(id).labels(labels).queued_for(seconds)))
}

fn at_work(world: Snapshot, pool: &str, slot: u32) -> Snapshot {
    world.instance(instance(pool, slot).marked(Mark::SeenOnline, 60)).runner(runner(pool, slot).online().busy())
}

/// A pool with instances of a type of its own.
fn of_type(name: &str, instance_type: &str) -> Pool {
    let mut pool = pool(name).labels(name);
    pool.offerings[0].instance_type = instance_type.into();
    pool
}

#[test]
fn a_pool_that_ec2_had_no_capacity_for_claims_after_the_others() {
    let gpu = of_type("gpu", "g5.xlarge");
    let world = waiting(waiting(snapshot(), "gpu", 2, 90), "linux", 5, 10).no_capacity_for(&gpu);
    assert_eq!(launched(&planned(&world, &max_total(3, [gpu.clone(), pool("linux")]))), [("gpu", 0), ("linux", 3)]);
    assert_eq!(
        launched(&planned(&world, &max_total(6, [gpu, pool("linux")]))),
        [("gpu", 1), ("linux", 5)],
        "and tries"
    );
}

#[test]
fn of_equals_the_one_whose_job_has_waited_longest_comes_first() {
    let pools = [of_type("gpu", "g5.xlarge"), pool("linux")];
    let world = waiting(waiting(snapshot(), "gpu", 2, 10), "linux", 2, 90);
    assert_eq!(launched(&planned(&world, &max_total(1, pools.clone()))), [("gpu", 0), ("linux", 1)]);
    let world = waiting(waiting(snapshot(), "gpu", 2, 99), "linux", 2, 90);
    assert_eq!(launched(&planned(&world, &max_total(1, pools))), [("gpu", 1), ("linux", 0)]);
}

#[test]
fn of_equals_of_whom_nobody_knows_who_waits_longer_each_has_its_minute() {
    let pools = ["a", "b", "c"].map(|name| pool(name).labels(name).sized(0, 1).with_scale_set());
    let world = ["a", "b", "c"].into_iter().fold(snapshot(), |world, name| world.scale_set(name, 1, 0));
    let first = |minute: i64| {
        let now = world.now + jiff::SignedDuration::from_mins(minute);
        let plan = planned(&Snapshot { now, ..world.clone() }, &max_total(1, pools.clone()));
        plan.pools.iter().position(|sums| sums.launch == 1).unwrap()
    };
    let mut served: Vec<usize> = (0..3).map(first).collect();
    served.sort_unstable();
    assert_eq!(served, [0, 1, 2]);
}

#[test]
fn launches_for_jobs_come_before_spares() {
    let pools = [pool("a").labels("a").sized(2, 5), pool("b").labels("b")];
    let world = at_work(waiting(snapshot(), "b", 2, 0), "b", 0);
    assert_eq!(launched(&planned(&world, &max_total(3, pools.clone()))), [("a", 0), ("b", 2)]);
    assert_eq!(launched(&planned(&world, &max_total(4, pools))), [("a", 1), ("b", 2)]);
}

#[test]
fn a_pool_within_its_part_has_its_turn_though_others_take_turns_without_it() {
    let pools = [of_type("p", "p.large"), of_type("q1", "q.large"), of_type("q2", "q.large")];
    let policy = Policy { max_usd_per_hour: Price::parse("1.00"), ..policy(pools) };
    let priced = || snapshot().price("p.large", "0.33").price("q.large", "0.45");
    let instance = |name: &str, of: &str| {
        let mut one = instance(name, 0).marked(Mark::SeenOnline, 60);
        one.instance_type = of.into();
        one
    };
    // q1 works and wants no more; q2's has just ended, and it wants the next. p needs a third of all.
    let world = waiting(waiting(priced(), "p", 1, 0), "q2", 1, 0);
    let world = world.instance(instance("q1", "q.large")).runner(runner("q1", 0).online().busy());
    assert_eq!(launched(&planned(&world, &policy)), [("p", 1), ("q1", 0), ("q2", 0)]);
    // Both work, and jobs wait for all: p doesn't fit, and what comes free is not q1's again.
    let world = waiting(waiting(waiting(priced(), "p", 1, 0), "q1", 1, 0), "q2", 1, 0);
    let both = world.clone().instance(instance("q1", "q.large")).runner(runner("q1", 0).online().busy());
    let both = both.instance(instance("q2", "q.large")).runner(runner("q2", 0).online().busy());
    assert_eq!(launched(&planned(&both, &policy)), [("p", 0), ("q1", 0), ("q2", 0)]);
}

#[test]
fn a_job_goes_to_a_pool_for_which_there_is_capacity() {
    let fast = Pool { priority: 9, ..of_type("fast", "g5.xlarge").labels("linux") };
    let world = waiting(snapshot(), "linux", 2, 0);
    let policy = policy([fast.clone(), pool("linux")]);
    assert_eq!(launched(&planned(&world, &policy)), [("fast", 2), ("linux", 0)]);
    let world = world.no_capacity_for(&fast);
    assert_eq!(launched(&planned(&world, &policy)), [("fast", 0), ("linux", 2)]);
    let alone = planned(&world, &super::policy([fast]));
    assert_eq!(launched(&alone), [("fast", 2)], "where nothing else can, it is tried again");
    assert_eq!(
        alone.unschedulable[0].reason.message,
        "EC2 had no capacity for anything that pool `fast` launches: it is tried again"
    );
}

#[test]
fn what_had_no_capacity_is_tried_last() {
    let mut both = pool("linux");
    both.offerings.push(Offering { instance_type: "m6a.large".into(), ..both.offerings[0].clone() });
    let mut world = waiting(snapshot(), "linux", 1, 0);
    world.without_capacity.insert(both.offerings[0].clone());
    let plan = planned(&world, &super::policy([both]));
    let Step::Launch { offerings, .. } = &plan.actions[0].step else { panic!("{plan:#?}") };
    assert_eq!(offerings.iter().map(|one| one.instance_type.as_str()).collect::<Vec<_>>(), ["m6a.large", "m7a.large"]);
}

#[test]
fn an_instance_that_ec2_could_not_start_says_what_lacks_capacity() {
    let wanted = pool("linux").offerings.remove(0);
    let mut ended = instance("linux", 0).aged(60);
    ended.state_reason = Some("Server.InsufficientInstanceCapacity".into());
    let now = snapshot().now;
    let elsewhere = Offering { subnet: "subnet-z".into(), ..wanted.clone() };
    assert!(ended.lacked(&wanted, now) && !ended.lacked(&elsewhere, now));
    ended.subnet = None;
    assert!(ended.lacked(&elsewhere, now), "EC2 has forgotten where");
    assert!(!instance("linux", 0).aged(60).lacked(&wanted, now));
    assert!(!ended.aged(600).lacked(&wanted, now), "long ago");
}

#[test]
fn an_order_that_ec2_can_not_carry_out_is_a_refusal_until_a_later_one_is() {
    let failed = |slot, age, reason: &str| {
        let one = instance("linux", slot).aged(age).in_state(InstanceState::Terminated);
        Instance { state_reason: Some(reason.into()), ..one }
    };
    let quota = || failed(0, 60, "Client.VolumeLimitExceeded");
    let both = policy([pool("linux"), pool("other")]);
    for (others, is_refused) in [
        (vec![], true),
        (vec![instance("linux", 1).aged(20)], false),
        (vec![instance("linux", 1).aged(90)], true),
        // EC2 is still at it; and of those of one second, one that failed decides.
        (vec![instance("linux", 1).aged(20).in_state(InstanceState::Pending)], true),
        (vec![instance("linux", 1).aged(60)], true),
        (vec![instance("other", 1).aged(20)], true),
        (vec![failed(1, 20, "Client.UserInitiatedShutdown")], false),
    ] {
        let mut world = others.iter().cloned().fold(snapshot().instance(quota()), Snapshot::instance);
        let said = world.learn_of_failed_orders(&both);
        assert_eq!(
            world.refused.iter().map(PoolName::as_str).collect::<Vec<_>>(),
            ["linux"].repeat(is_refused.into()),
            "{others:?}"
        );
        assert_eq!(said.len(), usize::from(is_refused));
    }
    let mut world = snapshot().instance(failed(0, 400, "Client.VolumeLimitExceeded"));
    assert!(world.learn_of_failed_orders(&both).is_empty(), "long ago");
    let mut world = snapshot().instance(Instance { fleet: "another".into(), ..quota() });
    assert!(world.learn_of_failed_orders(&both).is_empty(), "another fleet's");
}
