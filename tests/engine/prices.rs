//! The ceiling on dollars an hour.

use ghascale::engine::build::{instance, job, policy, pool, runner, snapshot};
use ghascale::engine::{
    InstanceState, Market, Offering, Plan, Policy, Pool, Price, ReasonCode, Slot, Snapshot, Step, check, plan,
};

use super::{held, planned};

fn ceiling(dollars: &str, pools: impl IntoIterator<Item = Pool>) -> Policy {
    Policy { max_usd_per_hour: Price::parse(dollars), ..policy(pools) }
}

/// A pool that tries spot first.
fn spot_first(name: &str) -> Pool {
    let mut pool = pool(name);
    let on_demand = pool.offerings.remove(0);
    pool.offerings = vec![Offering { market: Market::Spot, ..on_demand.clone() }, on_demand];
    pool
}

fn waiting(jobs: u64, world: Snapshot) -> Snapshot {
    (1..=jobs).fold(world, |world, id| world.job(job(id)))
}

/// Says the markets that each launch may try.
fn tried(plan: &Plan) -> Vec<String> {
    let launches = plan.actions.iter().filter_map(|action| match &action.step {
        Step::Launch { offerings, .. } => Some(offerings.iter().map(|one| one.market.to_string()).collect::<Vec<_>>()),
        _ => None,
    });
    launches.map(|markets| markets.join(" ")).collect()
}

fn refused(plan: &Plan) -> Vec<(u64, ReasonCode)> {
    plan.unschedulable.iter().map(|job| (job.job_id.0, job.reason.code)).collect()
}

#[test]
fn what_runs_and_what_is_launched_costs_no_more_than_the_ceiling() {
    let world = waiting(4, snapshot().price("m7a.large", "0.10"));
    let world = world.instance(instance("linux", 0)).runner(runner("linux", 0).online().busy());
    let plan = planned(&world, &ceiling("0.30", [pool("linux")]));
    assert_eq!((plan.pools[0].launch, held(&plan)), (2, vec![ReasonCode::MaxUsdPerHour]));
    assert_eq!(
        plan.held[0].reason.message,
        "max_usd_per_hour is 0.30, and $0.30 are spent or planned: 2 launches wait for a runner to end"
    );
    assert_eq!(refused(&plan), [(3, ReasonCode::MaxUsdPerHour), (4, ReasonCode::MaxUsdPerHour)]);
    assert_eq!(planned(&world, &ceiling("0.50", [pool("linux")])).pools[0].launch, 4, "to the cent");
    assert_eq!(planned(&world, &ceiling("0.499999", [pool("linux")])).pools[0].launch, 3);
}

#[test]
fn where_more_is_spent_already_nothing_is_launched_and_nothing_ended_for_it() {
    let world = waiting(1, snapshot().price("m7a.large", "0.10"));
    let world = (0..3).fold(world, |world, slot| {
        world
            .instance(instance("linux", slot).marked(ghascale::engine::Mark::SeenOnline, 9))
            .runner(runner("linux", slot).online().busy())
    });
    assert!(planned(&world, &ceiling("0.20", [pool("linux")])).actions.is_empty());
}

#[test]
fn only_what_ec2_bills_counts() {
    let world = waiting(2, snapshot().price("m7a.large", "0.10"));
    let world = world
        .instance(instance("linux", 7).in_state(InstanceState::Terminated))
        .instance(instance("linux", 8).in_state(InstanceState::ShuttingDown));
    assert_eq!(planned(&world, &ceiling("0.20", [pool("linux")])).pools[0].launch, 2);
}

#[test]
fn an_instance_counts_at_the_price_of_its_own_market_type_and_subnet() {
    let mut taken = instance("linux", 9);
    taken.market = Market::Spot;
    let world = snapshot().price("m7a.large", "0.10").spot_price("m7a.large", "subnet-a", "0.04");
    let world = waiting(2, world.spot_price("m7a.large", "subnet-b", "0.09")).instance(taken.clone());
    assert_eq!(planned(&world, &ceiling("0.24", [pool("linux")])).pools[0].launch, 2);
    let mut elsewhere = world.clone();
    elsewhere.instances.items[0].subnet = Some("subnet-b".into());
    assert_eq!(planned(&elsewhere, &ceiling("0.24", [pool("linux")])).pools[0].launch, 1);
    // Of a subnet that isn't known the on-demand price is the most that it can be.
    elsewhere.instances.items[0].subnet = None;
    assert_eq!(planned(&elsewhere, &ceiling("0.29", [pool("linux")])).pools[0].launch, 1);
}

#[test]
fn a_launch_counts_at_the_dearest_that_it_may_fall_back_to_and_near_the_ceiling_it_may_not() {
    let world = waiting(5, snapshot().price("m7a.large", "0.10").spot_price("m7a.large", "subnet-a", "0.04"));
    let plan = planned(&world, &ceiling("0.25", [spot_first("linux")]));
    assert_eq!(tried(&plan), ["spot on-demand", "spot on-demand", "spot"], "0.10 + 0.10 + 0.04");
    assert_eq!(held(&plan), [ReasonCode::MaxUsdPerHour]);
}

#[test]
fn a_registration_whose_instance_was_not_seen_counts_at_the_dearest_of_its_pool() {
    let world = waiting(3, snapshot().price("m7a.large", "0.10").spot_price("m7a.large", "subnet-a", "0.04"));
    let world = world.runner(runner("linux", 0).born_before(20));
    let plan = planned(&world, &ceiling("0.15", [spot_first("linux")]));
    assert_eq!(tried(&plan), ["spot"]);
}

#[test]
fn what_has_no_known_price_is_not_launched_under_a_ceiling_and_that_is_said() {
    let world = waiting(2, snapshot().price("m7a.large", "0.10"));
    let mut gpu = pool("linux");
    gpu.offerings[0].instance_type = "g5.xlarge".into();
    let policy = ceiling("100", [gpu.clone()]);
    let plan = planned(&world, &policy);
    assert_eq!((plan.actions.len(), held(&plan)), (0, vec![ReasonCode::PriceUnknown]));
    assert!(plan.held[0].reason.message.contains("g5.xlarge has no known price"), "{:?}", plan.held);
    assert_eq!(refused(&plan), [(1, ReasonCode::PriceUnknown), (2, ReasonCode::PriceUnknown)]);
    let said = ghascale::engine::View::of(&world, &policy).warnings();
    assert!(said[0].message.contains("add it to the price table"), "{said:?}");
    // Beside one with a price it is left out.
    gpu.offerings.push(pool("linux").offerings.remove(0));
    let plan = planned(&world, &ceiling("100", [gpu.clone()]));
    let Step::Launch { offerings, .. } = &plan.actions[0].step else { panic!("{plan:#?}") };
    assert_eq!(offerings.iter().map(|one| one.instance_type.as_str()).collect::<Vec<_>>(), ["m7a.large"]);
    // And without a ceiling nobody asks.
    assert_eq!(planned(&world, &super::policy([gpu])).pools[0].launch, 2);
}

#[test]
fn a_spot_price_that_ec2_does_not_tell_is_at_most_the_on_demand_price() {
    let world = waiting(3, snapshot().price("m7a.large", "0.10"));
    let plan = planned(&world, &ceiling("0.20", [spot_first("linux")]));
    assert_eq!(tried(&plan), ["spot on-demand", "spot on-demand"]);
}

#[test]
fn an_instance_of_unknown_price_is_said_and_not_counted() {
    let mut stray = instance("linux", 5);
    stray.instance_type = "x2iedn.32xlarge".into();
    let world = waiting(1, snapshot().price("m7a.large", "0.10")).instance(stray);
    let policy = ceiling("0.10", [pool("linux")]);
    assert_eq!(planned(&world, &policy).pools[0].launch, 1);
    let said = ghascale::engine::View::of(&world, &policy).warnings();
    assert!(said.iter().any(|one| one.message.contains("1 of the fleet's instances have no known price")), "{said:?}");
}

#[test]
fn an_instance_of_a_pool_that_is_gone_counts_too() {
    let world = waiting(2, snapshot().price("m7a.large", "0.10")).instance(instance("gone", 0));
    assert_eq!(planned(&world, &ceiling("0.20", [pool("linux")])).pools[0].launch, 1);
}

#[test]
fn pools_share_the_ceiling_by_what_they_cost_and_none_is_kept_out_by_a_dear_one() {
    let mut world = waiting(8, snapshot().price("m7a.large", "0.10").price("g5.xlarge", "1.00"));
    for id in 11..=13 {
        world = world.job(job(id).labels("gpu"));
    }
    let plan = planned(&world, &ceiling("1.50", [dear("gpu", "g5.xlarge"), pool("linux")]));
    assert_eq!(launched(&plan), [("gpu", 1), ("linux", 5)]);
    assert_eq!(held(&plan), [ReasonCode::MaxUsdPerHour; 2]);
}

#[test]
fn both_limits_hold_together() {
    let world = waiting(8, snapshot().price("m7a.large", "0.10"));
    let both = |max_total, dollars| Policy { max_total: Some(max_total), ..ceiling(dollars, [pool("linux")]) };
    assert_eq!(planned(&world, &both(3, "0.50")).pools[0].launch, 3);
    let plan = planned(&world, &both(6, "0.50"));
    assert_eq!((plan.pools[0].launch, held(&plan)), (5, vec![ReasonCode::MaxUsdPerHour]));
    assert_eq!(plan.unschedulable.len(), 3, "each job with one reason: {:?}", plan.unschedulable);
}

/// A pool of dear instances, for jobs of its own label.
fn dear(name: &str, instance_type: &str) -> Pool {
    let mut dear = pool(name).labels(name);
    dear.offerings[0].instance_type = instance_type.into();
    dear
}

fn launched(plan: &Plan) -> Vec<(&str, u32)> {
    plan.pools.iter().map(|sums| (sums.name.as_str(), sums.launch)).collect()
}

#[test]
fn a_launch_that_cannot_be_paid_for_takes_no_slot() {
    let world = waiting(4, snapshot().price("m7a.large", "0.10").price("g5.xlarge", "1.00"));
    let world = (11..=14).fold(world, |world, id| world.job(job(id).labels("gpu")));
    let both = |dollars| Policy { max_total: Some(4), ..ceiling(dollars, [dear("gpu", "g5.xlarge"), pool("linux")]) };
    let plan = planned(&world, &both("0.50"));
    assert_eq!(launched(&plan), [("gpu", 0), ("linux", 4)]);
    assert_eq!(
        plan.held[0].reason.message,
        "max_usd_per_hour is 0.50, and the cheapest of pool `gpu` costs $1.00: 4 launches wait for a higher one"
    );
    assert_eq!(
        launched(&planned(&world, &both("1.20"))),
        [("gpu", 1), ("linux", 2)],
        "within its money it has its slot"
    );
}

#[test]
fn a_launch_without_a_slot_takes_no_money() {
    let world = waiting(9, snapshot().price("m7a.large", "0.10").price("g5.xlarge", "0.40"));
    let world = (11..=12).fold(world, |world, id| world.job(job(id).labels("gpu")));
    let policy = Policy { max_total: Some(4), ..ceiling("1.00", [dear("gpu", "g5.xlarge"), pool("linux")]) };
    let plan = planned(&world, &policy);
    assert_eq!(launched(&plan), [("gpu", 2), ("linux", 2)], "0.80 and 0.20 of the money");
    assert_eq!(held(&plan), [ReasonCode::MaxTotal]);
}

#[test]
fn what_is_free_is_kept_for_a_pool_that_has_less_than_its_part() {
    let mut world = waiting(20, snapshot().price("m7a.large", "0.10").price("g5.xlarge", "0.50"));
    for slot in 0..7 {
        world = world
            .instance(instance("linux", slot).marked(ghascale::engine::Mark::SeenOnline, 9))
            .runner(runner("linux", slot).online().busy());
    }
    let world = world.job(job(100).labels("gpu"));
    let policy = |dollars| ceiling(dollars, [dear("gpu", "g5.xlarge"), pool("linux")]);
    let plan = planned(&world, &policy("1.00"));
    assert_eq!(launched(&plan), [("gpu", 0), ("linux", 0)], "$0.70 are spent");
    let messages: Vec<&str> = plan.held.iter().map(|held| held.reason.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "max_usd_per_hour is 1.00, and $0.70 are spent or planned: 1 launch waits for a runner to end",
            "max_usd_per_hour is 1.00, and what is free of it is kept for pool `gpu`, which has less: 3 launches wait \
             for a runner to end",
        ]
    );
    let mut later = world.clone();
    let is_old = |name: &str| ["acme-linux-005", "acme-linux-006"].contains(&name);
    later.runners.items.retain(|runner| !is_old(runner.name.as_str()));
    later.instances.items.retain(|one| one.slot.is_none_or(|slot| slot.0 < 5));
    assert_eq!(launched(&planned(&later, &policy("1.00"))), [("gpu", 1), ("linux", 0)], "once two have ended");
    // Of less than twice its price that is no part of its own, and nothing waits for it.
    assert_eq!(launched(&planned(&world, &policy("0.90"))), [("gpu", 0), ("linux", 2)]);
}

#[test]
fn a_job_goes_to_a_pool_that_can_be_paid_for() {
    let world = waiting(2, snapshot().price("m7a.large", "0.10").price("g5.xlarge", "1.00"));
    let preferred = |instance_type: &str| dear("fast", instance_type).labels("linux").priority(9);
    let plan = planned(&world, &ceiling("0.50", [preferred("x9.unknown"), pool("linux")]));
    assert_eq!((launched(&plan), plan.unschedulable.len()), (vec![("fast", 0), ("linux", 2)], 0), "no price");
    let plan = planned(&world, &ceiling("0.50", [preferred("g5.xlarge"), pool("linux")]));
    assert_eq!((launched(&plan), plan.unschedulable.len()), (vec![("fast", 0), ("linux", 2)], 0), "too dear");
    let plan = planned(&world, &ceiling("5.00", [preferred("g5.xlarge"), pool("linux")]));
    assert_eq!(launched(&plan), [("fast", 2), ("linux", 0)]);
}

#[test]
fn the_check_knows_the_ceiling() {
    let world = waiting(3, snapshot().price("m7a.large", "0.10"));
    let free = plan(&world, &super::policy([pool("linux")]));
    let violations = check(&world, &ceiling("0.20", [pool("linux")]), &free).unwrap_err();
    assert_eq!(violations, ["the fleet would cost $0.30 an hour, and max_usd_per_hour is 0.20"]);
    let unpriced = waiting(1, snapshot());
    let violations =
        check(&unpriced, &ceiling("9", [pool("linux")]), &plan(&unpriced, &super::policy([pool("linux")])));
    assert!(violations.unwrap_err()[0].contains("no known price"));
}

#[test]
fn lower_slots_are_launched_first_under_a_ceiling_too() {
    let world = waiting(3, snapshot().price("m7a.large", "0.10"));
    let plan = planned(&world, &ceiling("0.20", [pool("linux")]));
    assert_eq!(plan.actions.iter().map(|one| one.slot.unwrap()).collect::<Vec<_>>(), [Slot(0), Slot(1)]);
}

#[test]
fn a_launch_whose_instance_is_not_shown_yet_costs_what_nobody_knows() {
    let world =
        snapshot().price("m7a.large", "0.10").instance(instance("linux", 0)).runner(runner("linux", 0).online());
    let world = world.runner(runner("linux", 1).born_before(20)).runner(runner("linux", 2).born_before(400));
    let world = world.instance(instance("linux", 3).in_state(InstanceState::Terminated));
    let policy = super::policy([pool("linux")]);
    let view = ghascale::engine::View::of(&world, &policy);
    let costs: Vec<_> = view.pools[0].units.iter().map(|unit| world.prices.of_unit(unit)).collect();
    assert_eq!(costs, [Some(Some(Price::micros(100_000))), Some(None), None, None]);
}
