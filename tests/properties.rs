//! What must hold of every plan, for every input.

use std::collections::BTreeSet;
use std::time::Duration;

use ghascale::engine::build::{fleet, instance, job, labels, noon, policy, pool, runner, snapshot};
use ghascale::engine::{
    Connection, CountKind, FleetName, Instance, InstanceId, InstanceState, Job, JobState, Mark, Market, Offering,
    Policy, Price, Prices, ReasonCode, Runner, RunnerId, ScaleSetDemand, Snapshot, Statistics, Step, View, WaitReason,
    birth_label, check, plan,
};
use jiff::SignedDuration;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::FileFailurePersistence;

const LABELS: [&str; 5] = ["linux", "gpu", "arm64", "x64", "self-hosted"];

fn some_labels() -> impl Strategy<Value = String> {
    proptest::sample::subsequence(LABELS.to_vec(), 0..=4).prop_map(|labels| labels.join(" "))
}

fn some_policy() -> impl Strategy<Value = Policy> {
    let one = (some_labels(), 0..3_u32, 1..6_u32, 0..3_i64, any::<bool>(), any::<bool>());
    let max_total = proptest::option::of(0..8_u32);
    (proptest::collection::vec(one, 1..4), max_total).prop_map(|(pools, max_total)| {
        let all = policy(pools.into_iter().enumerate().map(
            |(nth, (labels, min_idle, max, priority, can_launch, has_scale_set))| {
                let mut pool =
                    pool(&format!("p{nth}")).labels(&labels).sized(min_idle.min(max), max).priority(priority);
                (pool.has_scale_set, pool.trim) = (has_scale_set, nth % 2 == 0);
                if !can_launch {
                    pool.offerings.clear();
                }
                pool
            },
        ));
        Policy { max_total, ..all }
    })
}

/// Policies with a ceiling, pools that may fall back, and worlds in which some prices are known.
fn some_prices() -> impl Strategy<Value = (Policy, Prices)> {
    let price = || proptest::option::of((1..20_u64).prop_map(|cents| Price::micros(cents * 10_000)));
    let offerings = proptest::collection::vec((any::<bool>(), 0..3_usize, any::<bool>()), 0..5);
    let pools = proptest::collection::vec(offerings, 3);
    let prices = (proptest::collection::vec(price(), 3), proptest::collection::vec(price(), 6));
    (some_policy(), 0..80_u64, pools, prices).prop_map(|(mut policy, cents, offerings, (on_demand, spot))| {
        const TYPES: [&str; 3] = ["m7a.large", "m7a.xlarge", "g5.xlarge"];
        policy.max_usd_per_hour = Some(Price::micros(cents * 10_000));
        let subnet = |is_b: bool| if is_b { "subnet-b" } else { "subnet-a" }.to_owned();
        for (pool, offerings) in policy.pools.iter_mut().zip(offerings) {
            let offerings = offerings.into_iter().map(|(is_spot, of_type, is_b)| Offering {
                market: if is_spot { Market::Spot } else { Market::OnDemand },
                instance_type: TYPES[of_type].to_owned(),
                subnet: subnet(is_b),
            });
            pool.offerings.extend(offerings);
        }
        let mut prices = Prices::default();
        for (of_type, price) in TYPES.iter().zip(on_demand) {
            prices.on_demand.extend(price.map(|price| ((*of_type).to_owned(), price)));
        }
        for (nth, price) in spot.into_iter().enumerate() {
            let place = (TYPES[nth % 3].to_owned(), subnet(nth > 2));
            prices.spot.extend(price.map(|price| (place, price)));
        }
        (policy, prices)
    })
}

fn some_job() -> impl Strategy<Value = Job> {
    let state = prop_oneof![
        3 => Just((JobState::Pending, None)),
        2 => (100..106_u64).prop_map(|runner| (JobState::InProgress, Some(RunnerId(runner)))),
        1 => Just((JobState::Waiting(WaitReason::Approval), None)),
    ];
    (0..1000_u64, some_labels(), 0..4000_u64, state).prop_map(|(id, words, waited, (state, runner_id))| Job {
        state,
        runner_id,
        ..job(id).labels(&words).queued_for(waited)
    })
}

/// Ages around every bound of the state table.
fn some_age() -> impl Strategy<Value = u64> {
    select(vec![0, 30, 59, 60, 299, 300, 599, 600, 3600, 12 * 3600 - 1, 12 * 3600, 20 * 3600])
}

fn some_instance() -> impl Strategy<Value = Instance> {
    use InstanceState::{Pending, Running, ShuttingDown, Stopped, Stopping, Terminated};
    let marks = proptest::collection::vec((select(Mark::ALL.to_vec()), some_age()), 0..4);
    let fleet = prop_oneof![9 => Just(fleet()), 1 => Just(FleetName::new("theirs"))];
    let state = select(vec![Pending, Running, Running, Running, ShuttingDown, Terminated, Stopping, Stopped]);
    (0..4_u32, 0..6_u32, some_age(), state, marks, fleet, 0..12_u64).prop_map(
        |(of, slot, age, state, marks, fleet, oddity)| {
            let mut one = instance(&format!("p{of}"), slot).aged(age).in_state(state);
            for (mark, age) in marks {
                one = one.marked(mark, age);
            }
            one.fleet = fleet;
            match oddity {
                0 => one.runner_id = None,
                1 => one.slot = None,
                2 => one.pool = None,
                3 => one.launched_at = None,
                _ => {}
            }
            one
        },
    )
}

fn some_runner() -> impl Strategy<Value = Runner> {
    let connection = select(vec![Connection::Online, Connection::Offline, Connection::Offline, Connection::Unknown]);
    (0..4_u32, 0..6_u32, some_age(), connection, any::<bool>(), 0..12_u64).prop_map(
        |(of, slot, age, connection, busy, oddity)| {
            let mut one = runner(&format!("p{of}"), slot).born_before(age);
            (one.connection, one.busy) = (connection, busy);
            match oddity {
                0 => one.born = None,
                1 => one.name = format!("stranger-{of}-{slot}").as_str().into(),
                2 => one.id = RunnerId(900 + u64::from(slot)),
                _ => {}
            }
            one
        },
    )
}

/// How the demand of a pool is known, where not by REST.
fn some_scale_set() -> impl Strategy<Value = ScaleSetDemand> {
    let counts =
        (0..6_u64, 0..6_u64, 0..8_u64, 0..4_u64, 0..4_u64).prop_map(|(assigned, running, registered, busy, idle)| {
            ScaleSetDemand::Counted(Statistics { assigned, running, registered, busy, idle, ..Statistics::default() })
        });
    prop_oneof![4 => counts, 1 => Just(ScaleSetDemand::Unknown)]
}

fn some_world() -> impl Strategy<Value = Snapshot> {
    let scale_sets = proptest::collection::btree_map(
        (0..3_u32).prop_map(|of| format!("p{of}").as_str().into()),
        some_scale_set(),
        0..3,
    );
    (
        proptest::collection::vec(some_job(), 0..12),
        proptest::collection::vec(some_instance(), 0..10),
        proptest::collection::vec(some_runner(), 0..10),
        prop_oneof![8 => Just((true, true, CountKind::Exact)), 1 => Just((false, true, CountKind::Exact)),
                    1 => Just((true, false, CountKind::Exact)), 2 => Just((true, true, CountKind::AtLeast))],
        prop_oneof![2 => Just(std::collections::BTreeMap::new()), 1 => scale_sets],
        prop_oneof![8 => -5..=5_i64, 1 => -600..600_i64],
        prop_oneof![2 => Just(Vec::new()), 1 => proptest::collection::vec(proptest::option::of(0..900_u64), 12)],
    )
        .prop_map(
            |(jobs, instances, runners, (instances_whole, runners_whole, kind), scale_sets, ahead, seen_ago)| {
                let mut world = snapshot();
                (world.scale_sets, world.clock_ahead) = (scale_sets, SignedDuration::from_secs(ahead));
                // Ids are unique in the real world: GitHub's and EC2's keys.
                let mut seen = BTreeSet::new();
                world.demand.jobs = jobs.into_iter().filter(|job| seen.insert(job.id)).collect();
                let (mut ids, mut names) = (BTreeSet::new(), BTreeSet::new());
                world.runners.items =
                    runners.into_iter().filter(|one| ids.insert(one.id) && names.insert(one.name.clone())).collect();
                world.instances.items = instances;
                for (nth, instance) in world.instances.items.iter_mut().enumerate() {
                    instance.id = InstanceId::new(format!("i-{nth:03}"));
                }
                (world.instances.whole, world.runners.whole, world.demand.kind) =
                    (instances_whole, runners_whole, kind);
                let earlier = world.demand.jobs.iter().zip(seen_ago);
                let earlier = earlier.filter_map(|(job, ago)| Some((job.id, noon() - Duration::from_secs(ago?))));
                world.demand.earlier = earlier.collect();
                if !world.demand.earlier.is_empty() && world.demand.kind == CountKind::Exact {
                    world.demand.kind = CountKind::Stale;
                }
                world
            },
        )
}

fn shuffle<T>(items: &mut [T], order: &[Index]) {
    for at in (1..items.len()).rev() {
        items.swap(at, order[at % order.len()].index(at + 1));
    }
}

/// Returns the same world and policy, in another order.
fn reordered(world: &Snapshot, policy: &Policy, order: &[Index]) -> (Snapshot, Policy) {
    let (mut world, mut policy) = (world.clone(), policy.clone());
    shuffle(&mut world.demand.jobs, order);
    shuffle(&mut world.instances.items, order);
    shuffle(&mut world.runners.items, order);
    shuffle(&mut policy.pools, order);
    (world, policy)
}

/// Carries a plan out in theory: every action succeeds at once.
fn carried_out(mut world: Snapshot, plan: &ghascale::engine::Plan) -> Snapshot {
    let mut next = world.runners.items.iter().map(|runner| runner.id.0).max().unwrap_or(0).max(5000);
    for action in &plan.actions {
        match &action.step {
            Step::Launch { .. } => {
                next += 1;
                let slot = action.slot.unwrap().0;
                let mut record = runner(action.pool.as_str(), slot).born_before(0);
                record.id = RunnerId(next);
                if !world.scale_sets.contains_key(&action.pool) {
                    record.labels.push(birth_label(noon(), next));
                }
                let mut machine = instance(action.pool.as_str(), slot).aged(0).in_state(InstanceState::Pending);
                machine.id = InstanceId::new(format!("i-new-{next}"));
                machine.runner_id = Some(RunnerId(next));
                world = world.runner(record).instance(machine);
            }
            Step::Deregister { runner_id, .. } => world.runners.items.retain(|runner| runner.id != *runner_id),
            Step::Terminate { instance_id, .. } => {
                for instance in world.instances.items.iter_mut().filter(|instance| instance.id == *instance_id) {
                    instance.state = InstanceState::Terminated;
                }
            }
            Step::Mark { instance_id, mark, set, .. } => {
                for instance in world.instances.items.iter_mut().filter(|instance| instance.id == *instance_id) {
                    instance.marks.set(*mark, set.then(noon));
                }
            }
        }
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, max_shrink_iters: 20_000, failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/properties.regressions"))), ..ProptestConfig::default() })]

    #[test]
    fn every_plan_passes_the_check(world in some_world(), policy in some_policy()) {
        let plan = plan(&world, &policy);
        prop_assert_eq!(check(&world, &policy, &plan), Ok(()));
    }

    #[test]
    fn the_order_of_inputs_changes_nothing(
        world in some_world(), policy in some_policy(), order in proptest::collection::vec(any::<Index>(), 16),
    ) {
        let (shuffled, reordered) = reordered(&world, &policy, &order);
        prop_assert_eq!(plan(&world, &policy), plan(&shuffled, &reordered));
    }

    #[test]
    fn a_pool_never_grows_beyond_its_max(world in some_world(), policy in some_policy()) {
        let plan = plan(&world, &policy);
        let after = carried_out(world.clone(), &plan);
        for pool in &policy.pools {
            let launches = plan.pools.iter().find(|sums| sums.name == pool.name).unwrap().launch;
            let live = |world: &Snapshot| world.instances.items.iter()
                .filter(|one| one.fleet == policy.fleet && one.pool.as_ref() == Some(&pool.name) && one.is_live()).count();
            let registered = |world: &Snapshot| world.runners.items.iter()
                .filter(|one| one.name.slot_in(&policy.fleet, &pool.name).is_some()).count();
            prop_assert!(launches == 0 || live(&after) <= pool.max as usize);
            prop_assert!(launches == 0 || registered(&after) <= pool.max as usize);
        }
    }

    #[test]
    fn the_known_cost_never_grows_beyond_the_ceiling(world in some_world(), (policy, prices) in some_prices()) {
        let world = Snapshot { prices, ..world };
        let plan = plan(&world, &policy);
        prop_assert_eq!(check(&world, &policy, &plan), Ok(()));
        let ceiling = policy.max_usd_per_hour.unwrap();
        let runs = world.instances.items.iter()
            .filter(|one| one.fleet == policy.fleet && one.is_billed())
            .filter_map(|one| world.prices.at_most_of_instance(one));
        let before = runs.fold(Price::ZERO, Price::plus);
        // Whatever each launch falls back to.
        let dearest = plan.actions.iter().filter_map(|action| match &action.step {
            Step::Launch { offerings, .. } => Some(offerings.iter().map(|one| world.prices.at_most_of_offering(one).unwrap()).max().unwrap()),
            _ => None,
        });
        let after = dearest.clone().fold(before, Price::plus);
        prop_assert!(dearest.count() == 0 || after <= ceiling, "{} then {}, of {}", before, after, ceiling);
    }

    #[test]
    fn under_a_ceiling_the_order_of_inputs_changes_nothing(
        world in some_world(), (policy, prices) in some_prices(), order in proptest::collection::vec(any::<Index>(), 16),
    ) {
        let world = Snapshot { prices, ..world };
        let (shuffled, reordered) = reordered(&world, &policy, &order);
        prop_assert_eq!(plan(&world, &policy), plan(&shuffled, &reordered));
    }

    #[test]
    fn limits_only_take_launches_away_and_say_so(world in some_world(), (policy, prices) in some_prices()) {
        let world = Snapshot { prices, ..world };
        let free = plan(&world, &Policy { max_usd_per_hour: None, max_total: None, ..policy.clone() });
        let under = plan(&world, &policy);
        let launched = |plan: &ghascale::engine::Plan| plan.actions.iter()
            .filter(|action| matches!(action.step, Step::Launch { .. }))
            .map(|action| (action.pool.clone(), action.slot)).collect::<BTreeSet<_>>();
        // Jobs of the REST API may go to another pool than one that can't be paid for.
        let is_moved = under.pools.iter().zip(&free.pools).any(|(with, without)| with.demand != without.demand);
        prop_assert!(is_moved || launched(&under).is_subset(&launched(&free)));
        let others = |plan: &ghascale::engine::Plan| plan.actions.iter()
            .filter(|action| !matches!(action.step, Step::Launch { .. })).cloned().collect::<Vec<_>>();
        prop_assert!(is_moved || others(&under) == others(&free));
        for (with, without) in under.pools.iter().zip(&free.pools) {
            let is_said = under.held.iter().any(|held| held.pool == with.name && matches!(
                held.reason.code, ReasonCode::MaxTotal | ReasonCode::MaxUsdPerHour | ReasonCode::PriceUnknown
            ));
            prop_assert!(is_moved || (with.launch < without.launch) == is_said);
        }
        let told: Vec<_> = under.unschedulable.iter().map(|job| job.job_id).collect();
        prop_assert!(told.is_sorted_by(|a, b| a < b), "each job once: {:?}", told);
    }

    #[test]
    fn a_launch_is_held_back_only_where_a_limit_is_reached(world in some_world(), (policy, prices) in some_prices()) {
        let world = Snapshot { prices: prices.clone(), ..world };
        let plan = plan(&world, &policy);
        let ceiling = policy.max_usd_per_hour.unwrap();
        let launches = plan.actions.iter().filter_map(|action| match &action.step {
            Step::Launch { offerings, .. } => Some(offerings),
            _ => None,
        });
        let view = View::of(&world, &policy);
        let held: u64 = view.pools.iter().map(|pool| u64::from(pool.supply().held)).sum();
        let is_full = policy.max_total.is_some_and(|most| held + launches.clone().count() as u64 >= u64::from(most));
        // At most: of records without an instance nobody knows what they cost.
        let unseen = view.pools.iter().flat_map(|pool| &pool.units).any(|unit| unit.instance().is_none());
        let runs = world.instances.items.iter().filter(|one| one.fleet == policy.fleet && one.is_billed());
        let runs = runs.filter_map(|one| prices.at_most_of_instance(one)).fold(Price::ZERO, Price::plus);
        let spent = launches.fold(runs, |sum, offerings| {
            sum.plus(offerings.iter().filter_map(|one| prices.at_most_of_offering(one)).max().unwrap())
        });
        for held in plan.held.iter().filter(|held| held.runner.is_none()) {
            let pool = policy.pools.iter().find(|pool| pool.name == held.pool).unwrap();
            let cheapest = pool.offerings.iter().filter_map(|one| prices.at_most_of_offering(one)).min();
            match held.reason.code {
                ReasonCode::MaxTotal => prop_assert!(is_full),
                ReasonCode::PriceUnknown => prop_assert_eq!(cheapest, None),
                ReasonCode::MaxUsdPerHour if !held.reason.message.contains("is kept for") => {
                    prop_assert!(unseen || spent.plus(cheapest.unwrap()) > ceiling, "{}", held.reason.message);
                }
                _ => {}
            }
        }
        // What is kept is kept for one that waits itself.
        let kept = plan.held.iter().filter(|held| held.reason.message.contains("is kept for")).count();
        let waits = plan.held.iter().filter(|held| held.reason.message.contains("spent or planned")).count();
        prop_assert!(kept == 0 || waits > 0);
    }

    #[test]
    fn of_pools_that_want_more_none_costs_more_than_another_by_more_than_one_launch(
        jobs in (0..8_u64, 0..8_u64, 0..8_u64), cents in 0..200_u64,
    ) {
        let names = ["a", "b", "c"];
        let all = policy(names.map(|name| pool(name).labels(name)));
        let policy = Policy { max_usd_per_hour: Some(Price::micros(cents * 10_000)), ..all };
        let mut world = snapshot().price("m7a.large", "0.10");
        for (nth, (name, count)) in names.into_iter().zip([jobs.0, jobs.1, jobs.2]).enumerate() {
            for id in 0..count {
                world = world.job(job(nth as u64 * 100 + id + 1).labels(name));
            }
        }
        let plan = plan(&world, &policy);
        for (pool, wants) in plan.pools.iter().zip([jobs.0, jobs.1, jobs.2]) {
            if u64::from(pool.launch) < wants {
                prop_assert!(plan.pools.iter().all(|other| other.launch <= pool.launch + 1), "{:?}", plan.pools);
            }
        }
    }

    #[test]
    fn nothing_without_our_tag_is_touched(world in some_world(), policy in some_policy()) {
        for action in plan(&world, &policy).actions {
            if let Some(id) = action.instance_id() {
                let one = world.instances.items.iter().find(|one| one.id == *id).unwrap();
                prop_assert_eq!(&one.fleet, &policy.fleet);
            }
        }
    }

    #[test]
    fn a_partial_observation_ends_nothing(mut world in some_world(), policy in some_policy(), part in 0..3) {
        match part {
            0 => world.instances.whole = false,
            1 => world.runners.whole = false,
            _ => world.demand.kind = CountKind::AtLeast,
        }
        let plan = plan(&world, &policy);
        let is_gone = |id: &InstanceId| {
            world.instances.items.iter().any(|one| one.id == *id && one.state == InstanceState::Terminated)
        };
        let harmless = |step: &Step| match step {
            Step::Mark { .. } | Step::Launch { .. } => true,
            Step::Deregister { instance_id, .. } => instance_id.as_ref().is_some_and(is_gone),
            Step::Terminate { .. } => false,
        };
        prop_assert!(plan.actions.iter().all(|action| harmless(&action.step)));
    }

    #[test]
    fn no_runner_with_a_job_is_ended_while_its_instance_can_run(world in some_world(), policy in some_policy()) {
        for action in plan(&world, &policy).actions {
            let Step::Terminate { instance_id, .. } = &action.step else { continue };
            let one = world.instances.items.iter().find(|one| one.id == *instance_id).unwrap();
            let can_run = matches!(one.state, InstanceState::Pending | InstanceState::Running);
            let has_job = |job: &Job| one.runner_id.is_some() && job.runner_id == one.runner_id;
            prop_assert!(!can_run || !world.demand.jobs.iter().any(has_job));
        }
    }

    #[test]
    fn a_plan_carried_out_leaves_nothing_to_do(world in some_world(), policy in some_policy()) {
        // A deregistration can free a slot, and a mark can ripen: then a second pass may go on where the first had to
        // stop, but never further, and never back.
        let mut now = world;
        for _ in 0..4 {
            let plan = plan(&now, &policy);
            if plan.actions.is_empty() {
                return Ok(());
            }
            now = carried_out(now, &plan);
        }
        prop_assert_eq!(plan(&now, &policy).actions, vec![]);
    }

    #[test]
    fn that_a_job_was_seen_earlier_never_adds_a_launch(world in some_world(), policy in some_policy()) {
        let count = |world: &Snapshot| {
            let plan = plan(world, &policy);
            plan.actions.iter().filter(|action| matches!(action.step, Step::Launch { .. })).count()
        };
        let mut read_now = world.clone();
        read_now.demand.earlier.clear();
        prop_assert!(count(&world) <= count(&read_now));
        let told = check(&world, &policy, &plan(&world, &policy)).err().unwrap_or_default();
        prop_assert!(!told.iter().any(|violation| violation.contains("without a runner")), "{told:?}");
        // And one that is read now is demand whatever the runners do.
        if world.demand.earlier.is_empty() {
            prop_assert!(ghascale::engine::View::of(&world, &policy).taken_since.is_empty());
        }
    }

    #[test]
    fn every_pending_job_is_taken_by_a_pool_or_explained(world in some_world(), policy in some_policy()) {
        let plan = plan(&world, &policy);
        let told: BTreeSet<_> = plan.unschedulable.iter().map(|job| job.job_id).collect();
        for job in world.demand.pending() {
            let fits = |words: &[ghascale::engine::Label]| !job.labels.is_empty() && job.labels.iter().all(|l| words.contains(l));
            prop_assert!(told.contains(&job.id) || policy.pools.iter().any(|pool| fits(&pool.labels)));
        }
    }
}

#[test]
fn labels_of_any_case_plan_alike() {
    let policy = policy([pool("linux").labels("Self-Hosted Linux")]);
    let lower = snapshot().job(job(1).labels("self-hosted linux"));
    let upper = snapshot().job(Job { labels: labels("SELF-HOSTED LINUX"), ..job(1) });
    assert_eq!(plan(&lower, &policy).actions, plan(&upper, &policy).actions);
}

#[test]
fn time_going_by_alone_never_ends_a_busy_runner() {
    let policy = policy([pool("linux")]);
    let mut world = snapshot().runner(runner("linux", 0).online()).instance(instance("linux", 0)).job(job(1).on(100));
    for _ in 0..2000 {
        world.now += Duration::from_mins(1);
        let plan = plan(&world, &policy);
        assert!(plan.actions.iter().all(|action| matches!(action.step, Step::Mark { .. })), "{plan:#?}");
    }
}
