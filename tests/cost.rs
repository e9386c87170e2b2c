//! What a decision costs, where it can be counted: time is `cargo bench`'s.

use allocation_counter::measure;
use ghascale::engine::build::{instance, job, policy, pool, runner, snapshot};
use ghascale::engine::{Instance, InstanceId, Plan, Policy, Runner, RunnerId, Snapshot, check, plan};

/// Pools with runners that work and runners that are lost, and twice as many pending jobs as there is room for.
fn world(pools: u32, runners: u32, jobs: u64) -> (Snapshot, Policy) {
    let policy =
        policy((0..pools).map(|nth| pool(&format!("p{nth}")).labels("self-hosted linux").sized(1, 2 * runners)));
    let mut world = snapshot();
    for nth in 0..pools * runners {
        let (pool, slot, id) = (format!("p{}", nth % pools), nth / pools, u64::from(nth) + 1);
        let record = Runner { id: RunnerId(id), ..runner(&pool, slot) };
        let record = if nth % 3 == 0 { record } else { record.online() };
        let id = InstanceId::new(format!("i-{id:017x}"));
        world.instances.items.push(Instance { id, runner_id: Some(record.id), ..instance(&pool, slot).aged(7200) });
        world.demand.jobs.extend((nth % 3 == 1).then(|| job(u64::from(nth)).on(record.id.0)));
        world.runners.items.push(record);
    }
    world.demand.jobs.extend((0..jobs).map(|nth| job(1_000_000 + nth).labels("linux self-hosted")));
    (world, policy)
}

/// Returns how many allocations the plan and its check take.
fn allocations((snapshot, policy): &(Snapshot, Policy)) -> (u64, u64) {
    let mut made = Plan::default();
    let planned = measure(|| made = plan(snapshot, policy)).count_total;
    let checked = measure(|| assert_eq!(check(snapshot, policy, &made), Ok(()))).count_total;
    (planned, checked)
}

#[test]
fn what_a_decision_allocates_grows_no_faster_than_jobs_runners_or_pools() {
    for (what, small, large) in [
        ("jobs", world(4, 50, 1000), world(4, 50, 4000)),
        ("runners", world(4, 50, 100), world(4, 200, 100)),
        ("pools", world(4, 50, 100), world(16, 50, 100)),
    ] {
        let ((plan_small, check_small), (plan_large, check_large)) = (allocations(&small), allocations(&large));
        assert!(plan_large <= 4 * plan_small, "four times the {what}: plan from {plan_small} to {plan_large}");
        assert!(
            check_large <= 4 * check_small + 100,
            "four times the {what}: check from {check_small} to {check_large}"
        );
    }
}

#[test]
fn a_job_more_costs_a_plan_what_its_reason_does() {
    let ((before, _), (after, _)) = (allocations(&world(4, 50, 1000)), allocations(&world(4, 50, 2000)));
    // Of a job that gets no runner: its two labels, the list of them, and the reason.
    assert!((after - before) / 1000 <= 4, "{} for 1000 jobs", after - before);
}
