//! Pools whose demand is read from a scale set.

use std::collections::BTreeMap;

use ghascale::engine::build::{instance, job, policy, pool, runner, snapshot};
use ghascale::engine::{
    CountKind, InstanceState, Mark, Plan, Policy, PoolName, ReasonCode, ScaleSetDemand, Snapshot, Source, State,
    Statistics, Step, View, plan,
};
use ghascale::warning::WarningCode;

use super::{planned, said};

fn linux() -> Policy {
    policy([pool("linux").with_scale_set()])
}

fn counted(world: Snapshot, counts: Statistics) -> Snapshot {
    let scale_sets = BTreeMap::from([(PoolName::from("linux"), ScaleSetDemand::Counted(counts))]);
    Snapshot { scale_sets, ..world }
}

/// The set answers, and has been given no job.
fn unheard(world: Snapshot) -> Snapshot {
    Snapshot { unheard: ["linux".into()].into(), ..world }
}

fn numbers(plan: &Plan) -> (Option<u32>, u32, Option<u32>, u32) {
    let sums = &plan.pools[0];
    (sums.demand, sums.supply, sums.target, sums.launch)
}

/// So many runners of another system online.
fn strangers(world: Snapshot, count: u32) -> Snapshot {
    let named = |nth: u32| ghascale::engine::Runner {
        id: ghascale::engine::RunnerId(900 + u64::from(nth)),
        name: ghascale::engine::RunnerName::new(format!("arc-{nth}")),
        ..runner("linux", 0).online()
    };
    (0..count).fold(world, |world, nth| world.runner(named(nth)))
}

/// So many jobs in the REST API's lists, pending.
fn jobs(world: Snapshot, count: u64) -> Snapshot {
    (1..=count).fold(world, |world, id| world.job(job(id)))
}

/// A runner of ours that works.
fn at_work(world: Snapshot, slot: u32) -> Snapshot {
    world.instance(instance("linux", slot).marked(Mark::SeenOnline, 600)).runner(runner("linux", slot).online().busy())
}

#[test]
fn assigned_jobs_are_the_demand_whatever_rest_lists() {
    let world = jobs(snapshot(), 2).scale_set("linux", 3, 0);
    assert_eq!(numbers(&planned(&world, &linux())), (Some(3), 0, Some(3), 3));
    assert_eq!(world.source(&"linux".into()), Source::ScaleSet);
    let none = snapshot().job(job(1)).scale_set("linux", 0, 0);
    assert_eq!(numbers(&planned(&none, &linux())), (Some(0), 0, Some(0), 0));
}

#[test]
fn running_jobs_are_part_of_what_is_assigned() {
    let world = at_work(snapshot(), 0).scale_set("linux", 3, 1);
    let plan = planned(&world, &linux());
    assert_eq!(numbers(&plan), (Some(3), 1, Some(3), 2));
    assert_eq!(
        plan.actions[0].reason.message,
        "2 jobs assigned to the scale set and waiting, 0 runners idle or on their way"
    );
}

#[test]
fn a_count_that_lags_behind_our_busy_runners_ends_none_and_asks_for_no_more() {
    let world = at_work(at_work(snapshot(), 0), 1).scale_set("linux", 1, 1);
    assert_eq!(numbers(&planned(&world, &linux())), (Some(2), 2, Some(2), 0));
}

#[test]
fn a_job_that_began_after_the_counts_were_read_is_launched_for_once() {
    for record in [runner("linux", 0).online(), runner("linux", 0)] {
        let world = snapshot().instance(instance("linux", 0).aged(20)).runner(record).job(job(1).on(100));
        for running in [0, 1] {
            let plan = planned(&world.clone().scale_set("linux", 1, running), &linux());
            assert_eq!((plan.pools[0].launch, plan.pools[0].demand), (0, Some(1)), "{running}: {:?}", said(&plan));
        }
        // Another job waits beside it.
        let plan = planned(&world.scale_set("linux", 2, 1), &linux());
        assert_eq!(plan.pools[0].launch, 1, "{:?}", said(&plan));
    }
}

#[test]
fn offered_jobs_that_nobody_acquired_ask_for_no_runner() {
    let world = counted(snapshot(), Statistics { available: 4, acquired: 1, ..Statistics::default() });
    assert_eq!(planned(&world, &linux()).pools[0].launch, 0);
}

#[test]
fn min_idle_and_max_bound_a_scale_set_too() {
    let world = jobs(snapshot(), 9).scale_set("linux", 9, 0);
    let plan = planned(&world, &policy([pool("linux").with_scale_set().sized(2, 5)]));
    assert_eq!(numbers(&plan), (Some(9), 0, Some(5), 5));
    let idle = planned(&snapshot().scale_set("linux", 0, 0), &policy([pool("linux").with_scale_set().sized(2, 5)]));
    assert_eq!(numbers(&idle), (Some(0), 0, Some(2), 2));
}

#[test]
fn runners_of_others_are_supply_and_are_warned_of() {
    // Another system's listener: 5 registered, 2 of them work, 1 is idle, 2 boot.
    let counts = Statistics { assigned: 5, running: 2, registered: 5, busy: 2, idle: 1, ..Statistics::default() };
    let (world, policy) = (counted(strangers(jobs(snapshot(), 3), 5), counts), linux());
    // Of the 3 that wait, the idle one takes 1.
    assert_eq!(numbers(&planned(&world, &policy)), (Some(2), 0, Some(2), 2));
    let warnings = View::of(&world, &policy).warnings();
    assert_eq!(warnings.iter().map(|warning| warning.code).collect::<Vec<_>>(), [WarningCode::OthersRunners]);
    assert!(warnings[0].message.contains("3 runners online that are not ours"), "{}", warnings[0].message);
}

#[test]
fn our_own_runners_are_not_taken_for_others_while_the_two_services_disagree() {
    // The set says that ours runs; REST says that it is idle still.
    let counts = Statistics { assigned: 2, running: 1, registered: 1, busy: 1, ..Statistics::default() };
    let world = counted(
        jobs(snapshot(), 1)
            .instance(instance("linux", 0).marked(Mark::SeenOnline, 9))
            .runner(runner("linux", 0).online()),
        counts,
    );
    assert_eq!(numbers(&planned(&world, &linux())), (Some(2), 1, Some(2), 1));
    assert!(View::of(&world, &linux()).warnings().is_empty());
}

#[test]
fn a_runner_of_ours_that_came_online_between_two_looks_is_not_taken_for_anothers() {
    let counts = Statistics { assigned: 2, registered: 1, idle: 1, ..Statistics::default() };
    let world = counted(jobs(snapshot(), 2).instance(instance("linux", 0).aged(40)).runner(runner("linux", 0)), counts);
    assert_eq!(numbers(&planned(&world, &linux())), (Some(2), 1, Some(2), 1));
}

#[test]
fn a_count_that_does_not_know_our_new_runners_yet_does_not_launch_for_jobs_of_others() {
    let counts = Statistics { assigned: 4, running: 4, registered: 4, busy: 4, ..Statistics::default() };
    let world = snapshot().instance(instance("linux", 0).aged(9)).runner(runner("linux", 0));
    let world = counted(strangers(world, 4), counts);
    let plan = planned(&world, &policy([pool("linux").with_scale_set().sized(1, 9)]));
    assert_eq!(numbers(&plan), (Some(0), 1, Some(1), 0));
}

#[test]
fn an_unknown_demand_launches_nothing_and_is_no_zero() {
    let mut world = snapshot().job(job(1));
    world.scale_sets.insert("linux".into(), ScaleSetDemand::Unknown);
    let plan = planned(&world, &policy([pool("linux").with_scale_set().sized(1, 5)]));
    assert_eq!(numbers(&plan), (None, 0, None, 0));
    assert_eq!(plan.unschedulable[0].reason.code, ReasonCode::Unavailable);
}

#[test]
fn a_job_that_the_set_was_not_given_says_so() {
    let world = snapshot().job(job(1).queued_for(90)).job(job(2)).scale_set("linux", 1, 0);
    let plan = planned(&world, &linux());
    assert_eq!(said(&plan), ["launch acme-linux-000"]);
    let refused: Vec<_> = plan.unschedulable.iter().map(|job| (job.job_id.0, job.reason.code)).collect();
    assert_eq!(refused, [(2, ReasonCode::NotAssigned)]);
}

#[test]
fn a_job_beyond_max_of_a_set_is_at_max() {
    let world = snapshot().job(job(1)).job(job(2)).scale_set("linux", 2, 0);
    let plan = planned(&world, &policy([pool("linux").with_scale_set().sized(0, 1)]));
    assert_eq!(plan.unschedulable.iter().map(|job| job.reason.code).collect::<Vec<_>>(), [ReasonCode::AtMax]);
}

#[test]
fn jobs_that_a_set_has_been_given_are_launched_for_once() {
    // Both pools could take them; the set has them, so the other pool must not launch for them too.
    let pools = policy([pool("linux").with_scale_set().labels("linux gpu"), pool("plain")]);
    let world = snapshot().job(job(1)).job(job(2)).job(job(3)).scale_set("linux", 2, 0);
    let plan = planned(&world, &pools);
    assert_eq!(said(&plan), ["launch acme-linux-000", "launch acme-linux-001", "launch acme-plain-000"]);
    assert!(plan.unschedulable.is_empty());
}

#[test]
fn an_instance_whose_record_goes_by_another_id_is_left_alone() {
    // The Actions Service's id is on the tag, REST's in the list. Were it taken for an instance without a record, it
    // would be ended under its job.
    let renamed = ghascale::engine::Runner { id: ghascale::engine::RunnerId(7), ..runner("linux", 0).online() };
    let world = snapshot().instance(instance("linux", 0)).runner(renamed.clone()).scale_set("linux", 1, 1);
    let pools = linux();
    assert_eq!(View::of(&world, &pools).pools[0].units[0].state, State::Foreign);
    assert!(planned(&world, &pools).actions.is_empty());
    // One that was renewed under the same name is another's: its instance claims it.
    let renewed = snapshot()
        .instance(instance("linux", 0).marked(Mark::Draining, 60))
        .instance(ghascale::engine::Instance {
            runner_id: Some(renamed.id),
            id: "i-new".into(),
            ..instance("linux", 0)
        })
        .runner(renamed.clone());
    let states: Vec<State> = View::of(&renewed, &pools).pools[0].units.iter().map(|unit| unit.state).collect();
    assert!(states.contains(&State::OrphanInstance) && states.contains(&State::Idle), "{states:?}");
    // And an ended instance is ended, whatever its name is used for now.
    let ended = snapshot()
        .instance(instance("linux", 0).in_state(InstanceState::Terminated))
        .runner(ghascale::engine::Runner { connection: ghascale::engine::Connection::Offline, ..renamed });
    let states: Vec<State> = View::of(&ended, &pools).pools[0].units.iter().map(|unit| unit.state).collect();
    assert!(states.contains(&State::Ending) && !states.contains(&State::Foreign), "{states:?}");
}

#[test]
fn a_plan_that_launches_on_an_unknown_demand_is_refused() {
    let pools = linux();
    let good = plan(&snapshot().job(job(1)), &pools);
    let mut blind = snapshot().job(job(1));
    blind.scale_sets.insert("linux".into(), ScaleSetDemand::Unknown);
    let violations = ghascale::engine::check(&blind, &pools, &good).unwrap_err();
    assert_eq!(violations, ["launch in pool `linux`, whose demand is not known"]);
}

#[test]
fn a_runner_that_boots_under_another_id_is_on_its_way_and_no_second_is_launched() {
    let renamed = ghascale::engine::Runner { id: ghascale::engine::RunnerId(7), ..runner("linux", 0) };
    let world = snapshot().instance(instance("linux", 0).aged(60)).runner(renamed).scale_set("linux", 1, 0);
    assert_eq!(numbers(&planned(&world, &linux())), (Some(1), 1, Some(1), 0));
}

#[test]
fn runners_of_one_kind_are_no_supply_for_jobs_of_the_other() {
    let of_rest = |slot: u32| {
        let labelled = ghascale::engine::birth_label(ghascale::engine::build::noon(), 1);
        let mut record = runner("linux", slot).online();
        record.labels.push(labelled);
        record
    };
    let idle = |record| snapshot().instance(instance("linux", 0).marked(Mark::SeenOnline, 9)).runner(record);
    // Registered by REST: it gets none of the set's jobs.
    assert_eq!(planned(&idle(of_rest(0)).scale_set("linux", 1, 0), &linux()).pools[0].launch, 1);
    assert_eq!(planned(&idle(of_rest(0)).job(job(1)), &linux()).pools[0].launch, 0);
    assert_eq!(planned(&idle(runner("linux", 0).online()).scale_set("linux", 1, 0), &linux()).pools[0].launch, 0);
    // A runner of the set gets none of REST's jobs where the set answers and has none.
    let unheard = unheard(idle(runner("linux", 0).online()).job(job(1)));
    assert_eq!(planned(&unheard, &linux()).pools[0].launch, 1);
    // Those at work by REST take nothing away from what waits at the set.
    let working = snapshot()
        .instance(instance("linux", 0).marked(Mark::SeenOnline, 9))
        .runner(of_rest(0).busy())
        .scale_set("linux", 1, 0);
    assert_eq!(numbers(&planned(&working, &linux())), (Some(2), 1, Some(2), 1));
}

#[test]
fn a_change_of_source_launches_nothing_twice() {
    // Launched for the set's jobs a moment ago; then the service falls silent, and REST lists the same jobs.
    let on_its_way = snapshot().instance(instance("linux", 0).aged(40)).runner(runner("linux", 0)).job(job(1));
    assert_eq!(numbers(&planned(&on_its_way, &linux())), (Some(1), 1, Some(1), 0));
    // It answers, and says 0 (actions-runner-controller#3420): what is on its way may still get the job.
    assert_eq!(numbers(&planned(&unheard(on_its_way), &linux())), (Some(1), 1, Some(1), 0));
    // Connected, and the service silent: the job may be its own, by a list that lags.
    let idle = snapshot()
        .instance(instance("linux", 0).marked(Mark::SeenOnline, 9))
        .runner(runner("linux", 0).online())
        .job(job(1));
    assert_eq!(numbers(&planned(&idle, &linux())), (Some(1), 1, Some(1), 0));
}

#[test]
fn min_idle_is_kept_once_whichever_book_its_runners_are_in() {
    let pools = policy([pool("linux").with_scale_set().sized(1, 5)]);
    let of_the_set =
        snapshot().instance(instance("linux", 0).marked(Mark::SeenOnline, 9)).runner(runner("linux", 0).online());
    assert_eq!(planned(&unheard(of_the_set.clone()), &pools).pools[0].launch, 0);
    // A job that it can't get is launched for all the same, and that one alone.
    assert_eq!(planned(&unheard(of_the_set.job(job(1))), &pools).pools[0].launch, 1);
    let mut of_rest = runner("linux", 0).online();
    of_rest.labels.push(ghascale::engine::birth_label(ghascale::engine::build::noon(), 1));
    let of_rest = snapshot().instance(instance("linux", 0).marked(Mark::SeenOnline, 9)).runner(of_rest);
    assert_eq!(planned(&of_rest.clone().scale_set("linux", 0, 0), &pools).pools[0].launch, 0);
    assert_eq!(planned(&of_rest.job(job(1)).scale_set("linux", 1, 0), &pools).pools[0].launch, 1);
}

#[test]
fn a_count_is_believed_whatever_rest_lists_and_bounded_by_max() {
    // Stuck, or of repositories that the token doesn't see: nobody can tell, and a wrong 0 is worse than an idle runner.
    let plan = planned(&jobs(snapshot(), 1).scale_set("linux", 16, 0), &linux());
    assert_eq!(numbers(&plan), (Some(16), 0, Some(10), 10));
}

#[test]
fn idle_runners_of_others_that_rest_does_not_list_take_no_jobs() {
    let counts = Statistics { assigned: 8, running: 2, registered: 10, busy: 2, idle: 8, ..Statistics::default() };
    let stuck = counted(jobs(snapshot(), 6), counts);
    assert_eq!(planned(&stuck, &linux()).pools[0].launch, 8, "none of the ten is there");
    assert_eq!(planned(&strangers(stuck, 10), &linux()).pools[0].launch, 0);
}

#[test]
fn what_works_at_the_rest_apis_jobs_hides_no_runner_of_others() {
    let mut of_rest = runner("linux", 0).online().busy();
    of_rest.labels.push(ghascale::engine::birth_label(ghascale::engine::build::noon(), 1));
    let world = snapshot().instance(instance("linux", 0).marked(Mark::SeenOnline, 9)).runner(of_rest);
    let counts = Statistics { assigned: 2, running: 1, registered: 2, busy: 1, idle: 1, ..Statistics::default() };
    // One of theirs works, another is idle and takes the job that waits: ours is busy elsewhere.
    let plan = planned(&counted(strangers(world, 2), counts), &linux());
    assert_eq!(numbers(&plan), (Some(1), 1, Some(1), 0));
}

#[test]
fn no_more_jobs_run_than_there_are_runners_whatever_the_count_says() {
    let counts = Statistics { assigned: 2, running: 2, ..Statistics::default() };
    let world = counted(snapshot().job(job(1)).job(job(2)), counts);
    assert_eq!(numbers(&planned(&world, &linux())), (Some(2), 0, Some(2), 2));
}

#[test]
fn a_terminated_instance_gives_its_slot_back_though_not_all_jobs_were_read() {
    for (state, removed) in [(InstanceState::Terminated, true), (InstanceState::ShuttingDown, false)] {
        let mut world = snapshot().instance(instance("linux", 0).in_state(state)).runner(runner("linux", 0));
        world.demand.kind = CountKind::AtLeast;
        let plan = planned(&world, &policy([pool("linux").sized(0, 1)]));
        assert_eq!(!plan.actions.is_empty(), removed, "{state:?}: {:?}", plan.actions);
        assert_eq!(plan.held.is_empty(), removed, "{state:?}");
    }
}

#[test]
fn a_launch_knows_where_its_runner_is_registered() {
    let source = |plan: &Plan| match &plan.actions[0].step {
        Step::Launch { source, .. } => *source,
        step => panic!("{step:?}"),
    };
    let of_rest = snapshot().job(job(1));
    assert_eq!(source(&planned(&of_rest, &linux())), Source::Rest);
    let of_set = snapshot().scale_set("linux", 1, 0);
    let plan = planned(&of_set, &linux());
    assert_eq!(source(&plan), Source::ScaleSet);
    let violations = ghascale::engine::check(&of_rest, &linux(), &plan).unwrap_err();
    assert_eq!(violations, ["launch in pool `linux`, registered where its jobs are not"]);
}

#[test]
fn jobs_that_nobody_acquired_are_not_said_to_wait_for_room() {
    let counts = Statistics { available: 2, ..Statistics::default() };
    let plan = planned(&counted(snapshot().job(job(1)).job(job(2)), counts), &linux());
    assert_eq!(plan.unschedulable.iter().map(|job| job.reason.code).collect::<Vec<_>>(), [ReasonCode::NotAssigned; 2]);
}

#[test]
fn jobs_that_a_full_set_was_given_are_not_launched_for_elsewhere() {
    let pools = policy([pool("linux").sized(0, 1).with_scale_set(), pool("other")]);
    let world = at_work(jobs(snapshot(), 3), 0).scale_set("linux", 3, 1);
    let launched = |world: &Snapshot| planned(world, &pools).pools.iter().map(|sums| sums.launch).collect::<Vec<_>>();
    assert_eq!(launched(&world), [0, 1], "two of the three wait for the set");
    // A count that says so beside a runner that is idle for long is stuck.
    let idle = jobs(snapshot(), 3).instance(instance("linux", 0).aged(900).marked(Mark::SeenOnline, 800));
    let idle = idle.runner(ghascale::engine::Runner { born: None, labels: Vec::new(), ..runner("linux", 0).online() });
    assert_eq!(launched(&idle.scale_set("linux", 5, 0)), [0, 2]);
}
