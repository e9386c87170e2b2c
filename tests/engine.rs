//! The planner, one test a rule. The state table's own tests stand beside it.

mod prices;
mod scale_set;
mod shares;

use std::time::Duration;

use ghascale::engine::build::{instance, job, noon, policy, pool, runner, snapshot};
use ghascale::engine::{
    CountKind, HiddenRun, Instance, InstanceState, Mark, Market, Offering, Plan, Policy, ReasonCode, SkippedRepository,
    Slot, Snapshot, Step, View, check, plan,
};
use jiff::SignedDuration;

/// Plans, and lets the second pair of eyes look.
fn planned(snapshot: &Snapshot, policy: &Policy) -> Plan {
    let plan = plan(snapshot, policy);
    assert_eq!(check(snapshot, policy, &plan), Ok(()), "{plan:#?}");
    plan
}

/// Says a plan's actions in words.
fn said(plan: &Plan) -> Vec<String> {
    plan.actions
        .iter()
        .map(|action| match &action.step {
            Step::Launch { .. } => format!("launch {}", action.runner.as_ref().unwrap()),
            Step::Deregister { runner_id, .. } => format!("deregister {runner_id}"),
            Step::Terminate { instance_id, record: Some(id) } => format!("terminate {instance_id} after {id}"),
            Step::Terminate { instance_id, record: None } => format!("terminate {instance_id}"),
            Step::Mark { instance_id, mark, set: true, record: None } => format!("mark {instance_id} {}", mark.tag()),
            Step::Mark { instance_id, mark, set: true, record: Some(id) } => {
                format!("mark {instance_id} {} after {id}", mark.tag())
            }
            Step::Mark { instance_id, mark, set: false, .. } => format!("unmark {instance_id} {}", mark.tag()),
        })
        .collect()
}

/// Its record was found gone long enough ago.
fn gone(instance: Instance) -> Instance {
    instance.marked(Mark::Draining, 60)
}

fn held(plan: &Plan) -> Vec<ReasonCode> {
    plan.held.iter().map(|held| held.reason.code).collect()
}

fn linux() -> Policy {
    policy([pool("linux")])
}

#[test]
fn each_pending_job_gets_a_launch() {
    let plan = planned(&snapshot().job(job(1)).job(job(2)), &linux());
    assert_eq!(said(&plan), ["launch acme-linux-000", "launch acme-linux-001"]);
    assert!(plan.actions.iter().all(|action| action.reason.code == ReasonCode::Demand));
}

#[test]
fn runners_on_their_way_are_supply() {
    let world = snapshot()
        .job(job(1))
        .job(job(2))
        .job(job(3))
        .runner(runner("linux", 0).born_before(10))
        .runner(runner("linux", 1))
        .instance(instance("linux", 1).aged(60));
    assert_eq!(said(&planned(&world, &linux())), ["launch acme-linux-002"]);
}

#[test]
fn an_idle_runner_takes_a_job_before_one_is_launched() {
    let world = snapshot()
        .job(job(1))
        .runner(runner("linux", 0).online())
        .instance(instance("linux", 0).marked(Mark::SeenOnline, 60));
    assert_eq!(said(&planned(&world, &linux())), [""; 0]);
}

#[test]
fn min_idle_is_kept_beyond_demand() {
    let plan = planned(&snapshot().job(job(1)), &policy([pool("linux").sized(2, 10)]));
    let reasons: Vec<_> = plan.actions.iter().map(|action| action.reason.code).collect();
    assert_eq!(reasons, [ReasonCode::Demand, ReasonCode::MinIdle, ReasonCode::MinIdle]);
}

#[test]
fn max_bounds_launches_and_the_rest_is_unschedulable() {
    let world = (1..=5).fold(snapshot(), |world, id| world.job(job(id)));
    let plan = planned(&world, &policy([pool("linux").sized(0, 3)]));
    assert_eq!(plan.actions.len(), 3);
    assert_eq!(plan.unschedulable.iter().map(|job| job.reason.code).collect::<Vec<_>>(), [ReasonCode::AtMax; 2]);
    assert_eq!((plan.pools[0].demand, plan.pools[0].target, plan.pools[0].launch), (Some(5), Some(3), 3));
}

#[test]
fn what_holds_a_slot_counts_against_max_whatever_it_does() {
    // A lost runner, an orphan record and a settling instance: none is supply, all hold their slot.
    let world = snapshot()
        .job(job(1))
        .job(job(2))
        .instance(instance("linux", 0).marked(Mark::SeenOnline, 900).marked(Mark::OfflineSince, 900))
        .runner(runner("linux", 0))
        .runner(runner("linux", 1))
        .instance(instance("linux", 2).aged(100));
    let plan = planned(&world, &policy([pool("linux").sized(0, 4)]));
    assert_eq!(plan.pools[0].launch, 1);
    assert!(said(&plan).contains(&"launch acme-linux-003".to_owned()));
}

#[test]
fn an_instance_beyond_a_lowered_max_leaves_no_room() {
    let world = snapshot().job(job(1)).instance(instance("linux", 7).aged(60)).runner(runner("linux", 7));
    assert_eq!(planned(&world, &policy([pool("linux").sized(1, 1)])).pools[0].launch, 0);
}

#[test]
fn a_terminated_instance_frees_its_slot() {
    let world = snapshot().job(job(1)).instance(instance("linux", 0).in_state(InstanceState::Terminated));
    assert_eq!(said(&planned(&world, &linux())), ["launch acme-linux-000"]);
}

#[test]
fn a_pool_without_offerings_launches_nothing_and_says_so() {
    let mut pool = pool("linux");
    pool.offerings.clear();
    let plan = planned(&snapshot().job(job(1)), &policy([pool]));
    assert!(plan.actions.is_empty());
    assert_eq!(plan.unschedulable[0].reason.code, ReasonCode::Unavailable);
}

#[test]
fn subnets_rotate_by_slot_and_markets_keep_their_order() {
    let mut pool = pool("linux");
    let offering = |market, subnet: &str| Offering { market, instance_type: "m7a.large".into(), subnet: subnet.into() };
    pool.offerings = vec![
        offering(Market::Spot, "a"),
        offering(Market::Spot, "b"),
        offering(Market::OnDemand, "a"),
        offering(Market::OnDemand, "b"),
    ];
    let plan = planned(&snapshot().job(job(1)).job(job(2)), &policy([pool]));
    let Step::Launch { offerings, .. } = &plan.actions[1].step else { panic!("{:?}", plan.actions) };
    let order: Vec<_> = offerings.iter().map(|offering| (offering.market, offering.subnet.as_str())).collect();
    let expected = [(Market::Spot, "b"), (Market::Spot, "a"), (Market::OnDemand, "b"), (Market::OnDemand, "a")];
    assert_eq!(order, expected);
}

#[test]
fn an_orphan_record_is_deregistered() {
    let plan = planned(&snapshot().runner(runner("linux", 0)), &linux());
    assert_eq!(said(&plan), ["deregister 100"]);
    assert_eq!(plan.actions[0].reason.code, ReasonCode::OrphanRunner);
}

#[test]
fn a_record_that_is_not_of_our_form_is_never_touched() {
    for name in ["acme-linux-x", "acme-other-000", "somebody"] {
        let mut theirs = runner("linux", 0);
        theirs.name = name.into();
        assert!(planned(&snapshot().runner(theirs), &linux()).actions.is_empty(), "{name}");
    }
}

#[test]
fn a_failed_boot_is_deregistered_and_its_instance_ended_in_a_later_pass() {
    let world = snapshot().runner(runner("linux", 0)).instance(instance("linux", 0));
    let plan = planned(&world, &linux());
    assert_eq!(said(&plan), ["deregister 100", "mark i-linux-0 ghascale:draining after 100"]);
    assert_eq!(plan.actions[0].reason.code, ReasonCode::BootFailed);
    assert_eq!(plan.pools[0].end, 0);
    let plan = planned(&snapshot().instance(gone(instance("linux", 0))), &linux());
    assert_eq!(said(&plan), ["terminate i-linux-0 after 100"]);
    assert_eq!(plan.pools[0].end, 1);
}

#[test]
fn a_runner_seen_online_is_marked_once() {
    let world = snapshot().runner(runner("linux", 0).online()).instance(instance("linux", 0));
    assert_eq!(said(&planned(&world, &linux())), ["mark i-linux-0 ghascale:seen-online"]);
}

#[test]
fn a_disconnect_is_marked_first_and_cleared_when_it_ends() {
    let seen = instance("linux", 0).marked(Mark::SeenOnline, 1800);
    let world = snapshot().runner(runner("linux", 0)).instance(seen.clone());
    assert_eq!(said(&planned(&world, &linux())), ["mark i-linux-0 ghascale:offline-since"]);
    let world = snapshot().runner(runner("linux", 0).online()).instance(seen.marked(Mark::OfflineSince, 60));
    assert_eq!(said(&planned(&world, &linux())), ["unmark i-linux-0 ghascale:offline-since"]);
}

#[test]
fn a_lost_runner_is_deregistered_and_its_instance_noted_as_without_a_record() {
    let lost = instance("linux", 0).marked(Mark::SeenOnline, 1800).marked(Mark::OfflineSince, 600);
    let plan = planned(&snapshot().runner(runner("linux", 0).busy()).instance(lost), &linux());
    assert_eq!(said(&plan), ["deregister 100", "mark i-linux-0 ghascale:draining after 100"]);
}

#[test]
fn a_lost_runner_whose_job_is_in_progress_stays() {
    let lost = instance("linux", 0).marked(Mark::SeenOnline, 1800).marked(Mark::OfflineSince, 600);
    let plan = planned(&snapshot().runner(runner("linux", 0)).instance(lost).job(job(1).on(100)), &linux());
    assert_eq!((said(&plan), held(&plan)), (vec![], vec![ReasonCode::JobInProgress]));
}

#[test]
fn an_instance_is_noted_as_without_a_record_before_it_is_terminated() {
    let world = snapshot().instance(instance("linux", 0));
    assert_eq!(said(&planned(&world, &linux())), ["mark i-linux-0 ghascale:draining after 100"]);
    let working = planned(&world.job(job(1).on(100)), &linux());
    assert_eq!(said(&working), [""; 0]);
}

#[test]
fn a_runner_that_was_thought_gone_is_not_ended_before_the_note_is_taken_away() {
    let thought_gone = gone(instance("linux", 0));
    let plan = planned(&snapshot().runner(runner("linux", 0)).instance(thought_gone), &linux());
    assert_eq!(said(&plan), ["unmark i-linux-0 ghascale:draining"]);
    assert_eq!(held(&plan), [ReasonCode::Confirming]);
}

#[test]
fn a_job_of_a_scale_sets_runner_is_known_by_name_too() {
    // The Actions Service's id of the runner is not the one in the jobs list.
    let mut by_name = job(1).on(9000);
    by_name.runner_name = Some(runner("linux", 0).name);
    let world = snapshot().instance(gone(instance("linux", 0))).job(by_name);
    let plan = planned(&world, &policy([pool("linux").with_scale_set()]));
    assert_eq!((said(&plan), held(&plan)), (vec![], vec![ReasonCode::JobInProgress]));
}

#[test]
fn an_instance_without_a_record_is_terminated_unless_a_job_has_its_runner() {
    let world = snapshot().instance(gone(instance("linux", 0)));
    assert_eq!(said(&planned(&world, &linux())), ["terminate i-linux-0 after 100"]);
    let plan = planned(&world.job(job(1).on(100)), &linux());
    assert_eq!((said(&plan), held(&plan)), (vec![], vec![ReasonCode::JobInProgress]));
}

#[test]
fn a_namesakes_job_does_not_keep_an_instance() {
    // The job has a runner of the same name, but of another registration.
    let mut of_namesake = job(1).on(555);
    of_namesake.runner_name = Some(runner("linux", 0).name);
    let world = snapshot().instance(gone(instance("linux", 0))).job(of_namesake);
    assert_eq!(said(&planned(&world, &linux())), ["terminate i-linux-0 after 100"]);
}

#[test]
fn of_two_instances_in_a_slot_the_one_with_the_record_stays() {
    let mut second = instance("linux", 0);
    second.id = "i-second".into();
    second.runner_id = Some(ghascale::engine::RunnerId(77));
    let mut world = snapshot()
        .runner(runner("linux", 0).online())
        .instance(instance("linux", 0).marked(Mark::SeenOnline, 60))
        .instance(second.clone());
    assert_eq!(said(&planned(&world, &linux())), ["mark i-second ghascale:draining after 77"]);
    *world.instances.items.last_mut().unwrap() = gone(second);
    assert_eq!(said(&planned(&world, &linux())), ["terminate i-second after 77"]);
}

#[test]
fn two_instances_with_one_runners_tag_are_deregistered_once() {
    let mut copied = instance("linux", 0);
    copied.id = "i-copy".into();
    let world = snapshot().runner(runner("linux", 0)).instance(instance("linux", 0)).instance(copied);
    let expected =
        ["deregister 100", "mark i-copy ghascale:draining after 100", "mark i-linux-0 ghascale:draining after 100"];
    assert_eq!(said(&planned(&world, &linux())), expected);
}

#[test]
fn two_instances_with_one_runners_tag_are_one_runner() {
    let mut copied = instance("linux", 0);
    copied.id = "i-copy".into();
    let of_record = |record| snapshot().runner(record).instance(instance("linux", 0)).instance(copied.clone());
    let idle = of_record(runner("linux", 0).online()).job(job(1)).job(job(2));
    let launches = said(&planned(&idle, &linux())).iter().filter(|one| one.starts_with("launch")).count();
    assert_eq!(launches, 1, "two jobs, and one is idle");
    let kept = policy([pool("linux").sized(1, 5).trimmed()]);
    let mut world = of_record(runner("linux", 0).online());
    for one in &mut world.instances.items {
        *one = one.clone().aged(3600).marked(Mark::SeenOnline, 3500).marked(Mark::IdleSince, 3400);
    }
    assert!(planned(&world, &kept).actions.iter().all(|one| !matches!(one.step, Step::Deregister { .. })));
}

#[test]
fn the_record_of_an_ended_instance_is_deleted_even_if_github_calls_it_busy() {
    let with = |runner| {
        let ended = instance("linux", 0).in_state(InstanceState::Terminated);
        snapshot().runner(runner).instance(ended).job(job(1).on(100))
    };
    assert_eq!(said(&planned(&with(runner("linux", 0).busy()), &linux())), ["deregister 100"]);
    let plan = planned(&with(runner("linux", 0).online().busy()), &linux());
    assert_eq!((said(&plan), held(&plan)), (vec![], vec![ReasonCode::Confirming]), "GitHub has not noticed yet");
}

#[test]
fn a_copy_of_an_instance_that_has_ended_or_stopped_is_nobodys() {
    for state in
        [InstanceState::ShuttingDown, InstanceState::Terminated, InstanceState::Stopping, InstanceState::Stopped]
    {
        let mut copied = instance("linux", 0).in_state(state);
        copied.id = "i-copy".into();
        let original = instance("linux", 0).marked(Mark::SeenOnline, 60);
        // `busy` comes late; and a runner that boots is offline.
        for record in [runner("linux", 0).online(), runner("linux", 0)] {
            let world = snapshot().runner(record.clone()).instance(original.clone()).instance(copied.clone());
            let plan = planned(&world.job(job(1).on(100)), &linux());
            assert!(plan.actions.iter().all(|action| matches!(action.step, Step::Mark { .. })), "{:?}", said(&plan));
        }
        let alone = snapshot().runner(runner("linux", 0)).instance(copied);
        assert!(said(&planned(&alone, &linux())).contains(&"deregister 100".to_owned()), "it was the original");
    }
}

#[test]
fn an_instance_that_says_neither_slot_nor_runner_is_left_alone() {
    let mut nameless = gone(instance("linux", 0));
    (nameless.slot, nameless.runner_id) = (None, None);
    let world = snapshot().runner(runner("linux", 0).online().busy()).instance(nameless.clone()).job(job(1).on(100));
    assert_eq!(said(&planned(&world, &linux())), [""; 0]);
    let policy = linux();
    let warnings = View::of(&world, &policy).warnings();
    assert!(warnings.iter().any(|one| one.subject.as_deref() == Some("i-linux-0")), "{warnings:?}");
    let mut terminate = planned(&snapshot().instance(gone(instance("linux", 0))), &linux());
    let Step::Terminate { record, .. } = &mut terminate.actions[0].step else { panic!("{terminate:?}") };
    *record = None;
    let violations = check(&snapshot().instance(nameless), &linux(), &terminate).unwrap_err();
    assert_eq!(violations, ["terminate i-linux-0, of which nothing tells whether it has a job"]);
}

#[test]
fn where_the_last_launches_were_refused_one_is_tried_and_jobs_go_elsewhere() {
    let mut world = snapshot().job(job(1).labels("linux")).job(job(2).labels("linux"));
    world.refused.insert("linux".into());
    let plan = planned(&world, &linux());
    assert_eq!(said(&plan), ["launch acme-linux-000"]);
    assert_eq!(held(&plan), [ReasonCode::LaunchesFail]);
    let both = policy([pool("linux").priority(1), pool("other").labels("linux")]);
    assert_eq!(said(&planned(&world, &both)), ["launch acme-other-000", "launch acme-other-001"]);
    // What all pools together may have goes to the other, too.
    let one = Policy { max_total: Some(1), ..policy([pool("linux"), pool("gpu").labels("gpu")]) };
    let world = world.job(job(3).labels("gpu"));
    assert_eq!(said(&planned(&world, &one)), ["launch acme-gpu-000"]);
}

#[test]
fn boots_that_have_failed_are_counted_when_their_records_are_gone() {
    let mut world = snapshot().job(job(1)).job(job(2)).job(job(3)).job(job(4));
    for slot in 0..3 {
        world = world.instance(instance("linux", slot).in_state(InstanceState::Terminated));
    }
    assert_eq!(said(&planned(&world, &linux())).len(), 4, "they may have done short jobs");
    world.never_came = (0..3).map(|slot| instance("linux", slot).id).collect();
    let plan = planned(&world, &linux());
    assert_eq!((said(&plan).len(), held(&plan)), (1, vec![ReasonCode::BootsFail]));
}

#[test]
fn a_stopped_instance_is_ended() {
    let world = snapshot().runner(runner("linux", 0)).instance(instance("linux", 0).in_state(InstanceState::Stopped));
    assert_eq!(said(&planned(&world, &linux())), ["deregister 100", "terminate i-linux-0 after 100"]);
}

fn expired() -> ghascale::engine::Instance {
    instance("linux", 0).aged(13 * 3600).marked(Mark::SeenOnline, 12 * 3600)
}

#[test]
fn an_expired_runner_is_marked_idle_at_first_sight() {
    let plan = planned(&snapshot().runner(runner("linux", 0).online()).instance(expired()), &linux());
    assert_eq!(said(&plan), ["mark i-linux-0 ghascale:idle-since"]);
    assert_eq!(held(&plan), [ReasonCode::Confirming]);
}

#[test]
fn an_expired_runner_waits_for_idle_confirm() {
    let seen = expired().marked(Mark::IdleSince, 299);
    let plan = planned(&snapshot().runner(runner("linux", 0).online()).instance(seen), &linux());
    assert_eq!((said(&plan), held(&plan)), (vec![], vec![ReasonCode::Confirming]));
}

#[test]
fn an_expired_runner_loses_its_record_first_and_its_instance_in_a_later_pass() {
    let seen = expired().marked(Mark::IdleSince, 300);
    let plan = planned(&snapshot().runner(runner("linux", 0).online()).instance(seen.clone()), &linux());
    assert_eq!(said(&plan), ["deregister 100", "mark i-linux-0 ghascale:draining after 100"]);
    let plan = planned(&snapshot().instance(seen.clone().marked(Mark::Draining, 59)), &linux());
    assert_eq!(said(&plan), [""; 0]);
    let plan = planned(&snapshot().instance(seen.marked(Mark::Draining, 60)), &linux());
    assert_eq!(said(&plan), ["terminate i-linux-0 after 100"]);
}

#[test]
fn an_expired_runner_that_works_is_never_ended() {
    let seen = expired().marked(Mark::IdleSince, 3600);
    let busy = snapshot().runner(runner("linux", 0).online().busy()).instance(seen.clone());
    let by_job = snapshot().runner(runner("linux", 0).online()).instance(seen).job(job(1).on(100));
    for world in [busy, by_job] {
        let plan = planned(&world, &linux());
        assert_eq!(said(&plan), ["unmark i-linux-0 ghascale:idle-since"]);
        assert_eq!(held(&plan), [ReasonCode::RunnerBusy]);
    }
}

/// A pool of so many idle runners, seen idle for `seconds`, that may be trimmed.
fn idlers(count: u32, seconds: u64) -> Snapshot {
    (0..count).fold(snapshot(), |world, slot| {
        let idle = instance("linux", slot).marked(Mark::SeenOnline, 3000).marked(Mark::IdleSince, seconds);
        world.runner(runner("linux", slot).online()).instance(idle)
    })
}

#[test]
fn idle_runners_are_left_to_their_hosts_unless_trim_is_on() {
    assert_eq!(said(&planned(&idlers(3, 300), &linux())), [""; 0]);
}

#[test]
fn trimming_marks_at_first_sight_and_waits_for_idle_confirm() {
    let trimmed = policy([pool("linux").trimmed()]);
    let fresh =
        snapshot().runner(runner("linux", 0).online()).instance(instance("linux", 0).marked(Mark::SeenOnline, 3000));
    assert_eq!(said(&planned(&fresh, &trimmed)), ["mark i-linux-0 ghascale:idle-since"]);
    assert_eq!(said(&planned(&idlers(1, 299), &trimmed)), [""; 0]);
    let plan = planned(&idlers(1, 300), &trimmed);
    assert_eq!(said(&plan), ["deregister 100", "mark i-linux-0 ghascale:draining after 100"]);
    assert_eq!(plan.actions[0].reason.code, ReasonCode::Surplus);
}

#[test]
fn trimming_takes_at_most_half_the_surplus_in_one_pass() {
    let trimmed = |min_idle| policy([pool("linux").sized(min_idle, 10).trimmed()]);
    let ends = |world: &Snapshot, policy: &Policy| {
        let plan = planned(world, policy);
        plan.actions.iter().filter(|action| matches!(action.step, Step::Deregister { .. })).count()
    };
    assert_eq!(ends(&idlers(5, 300), &trimmed(0)), 2);
    assert_eq!(ends(&idlers(5, 300), &trimmed(3)), 1);
    assert_eq!(ends(&idlers(5, 300), &trimmed(4)), 1);
    assert_eq!(ends(&idlers(5, 300), &trimmed(5)), 0);
    // A pending job is taken by an idle runner: that one is no surplus.
    assert_eq!(ends(&idlers(2, 300).job(job(1)).job(job(2)), &trimmed(0)), 0);
}

#[test]
fn a_runner_on_its_way_makes_no_idle_one_superfluous() {
    let world = idlers(1, 300).runner(runner("linux", 1)).instance(instance("linux", 1).aged(60));
    assert_eq!(said(&planned(&world, &policy([pool("linux").sized(1, 10).trimmed()]))), [""; 0]);
}

#[test]
fn trimming_ends_the_fallback_before_spot_then_the_oldest() {
    let mut pool = pool("linux").trimmed();
    pool.offerings[0].market = Market::Spot;
    let mut world = idlers(3, 300);
    world.instances.items[0].market = Market::Spot;
    world.instances.items[2].market = Market::Spot;
    let victim = |world: &Snapshot| said(&planned(world, &policy([pool.clone()])))[0].clone();
    assert_eq!(victim(&world), "deregister 101", "on-demand where spot was wanted");
    world.instances.items[1].market = Market::Spot;
    world.instances.items[2].launched_at = Some(noon() - Duration::from_hours(2));
    assert_eq!(victim(&world), "deregister 102", "the oldest");
}

#[test]
fn what_forbids_an_end_forbids_trimming() {
    let trimmed = policy([pool("linux").trimmed()]);
    let ends = |world: &Snapshot| {
        planned(world, &trimmed).actions.iter().any(|action| matches!(action.step, Step::Deregister { .. }))
    };
    let quiet = idlers(1, 300);
    assert!(ends(&quiet));
    let mut partial = quiet.clone();
    partial.demand.kind = CountKind::AtLeast;
    let mut hidden = quiet.clone();
    hidden.demand.skipped.push(SkippedRepository { repository: "acme/secret".into(), reason: "excluded".into() });
    let mut young = quiet.clone();
    young.instances.items[0] = instance("linux", 0).aged(299).marked(Mark::IdleSince, 299);
    let mut unknown = quiet.clone();
    unknown.scale_sets.insert("linux".into(), ghascale::engine::ScaleSetDemand::Unknown);
    let working = quiet.clone().job(job(1).on(100));
    for (what, world) in
        [("partial", partial), ("hidden", hidden), ("young", young), ("unknown", unknown), ("working", working)]
    {
        assert!(!ends(&world), "{what}");
    }
}

#[test]
fn the_check_keeps_min_idle_and_the_idle_window() {
    let trimmed = policy([pool("linux").trimmed()]);
    let plan = planned(&idlers(1, 300), &trimmed);
    assert!(check(&idlers(1, 299), &trimmed, &plan).is_err(), "too early");
    assert!(check(&idlers(1, 300), &linux(), &plan).is_err(), "not asked for");
    let keeps = policy([pool("linux").sized(1, 10).trimmed()]);
    let said = check(&idlers(1, 300), &keeps, &plan).unwrap_err();
    assert_eq!(said, ["pool `linux` is trimmed to 0 idle runners, fewer than min_idle"]);
}

/// So many instances that were given up, the latest `slot`th launched last, an hour to some minutes ago.
fn given_up(count: u32) -> Snapshot {
    (0..count).fold(snapshot(), |world, slot| {
        let aged = 3000 - u64::from(slot) * 60;
        let ended = instance("linux", slot).aged(aged).in_state(InstanceState::Terminated);
        world.instance(ended.marked(Mark::Draining, 600))
    })
}

fn waiting(world: Snapshot) -> Snapshot {
    (1..=4).fold(world, |world, id| world.job(job(id)))
}

#[test]
fn after_three_failed_boots_in_a_row_one_launch_a_pass_is_made() {
    assert_eq!(planned(&waiting(given_up(2)), &linux()).pools[0].launch, 4);
    let plan = planned(&waiting(given_up(3)), &linux());
    assert_eq!((plan.pools[0].launch, held(&plan)), (1, vec![ReasonCode::BootsFail]));
}

#[test]
fn an_instance_that_came_online_ends_the_doubt_about_those_before_it() {
    let came = instance("linux", 9).aged(120).marked(Mark::SeenOnline, 60).in_state(InstanceState::Terminated);
    assert_eq!(planned(&waiting(given_up(3).instance(came.clone())), &linux()).pools[0].launch, 4);
    let before = came.aged(3500).marked(Mark::SeenOnline, 3400);
    assert_eq!(planned(&waiting(given_up(3).instance(before)), &linux()).pools[0].launch, 1);
    let online = waiting(given_up(3)).instance(instance("linux", 9).aged(60)).runner(runner("linux", 9).online());
    assert_eq!(planned(&online, &linux()).pools[0].launch, 3);
}

#[test]
fn instances_that_ended_with_their_job_or_were_taken_back_have_not_failed_to_boot() {
    // Too short to be seen online; GitHub has deleted the record with the job.
    let brief = (0..3).fold(snapshot(), |world, slot| {
        world.instance(instance("linux", slot).aged(200).in_state(InstanceState::Terminated))
    });
    assert_eq!(planned(&waiting(brief), &linux()).pools[0].launch, 4);
    let dead = |reason: Option<&str>| {
        (0..3).fold(snapshot(), |world, slot| {
            let mut ended = instance("linux", slot).aged(200).in_state(InstanceState::ShuttingDown);
            ended.state_reason = reason.map(str::to_owned);
            world.instance(ended).runner(runner("linux", slot))
        })
    };
    assert_eq!(planned(&waiting(dead(Some("Server.SpotInstanceTermination"))), &linux()).pools[0].launch, 4);
    assert_eq!(
        planned(&waiting(dead(None)), &linux()).pools[0].launch,
        1,
        "its record is still there: it never worked"
    );
}

#[test]
fn all_pools_together_hold_no_more_than_max_total_in_fair_shares() {
    let pools = policy([pool("linux"), pool("gpu").labels("gpu"), pool("arm").labels("arm")]);
    let few = Policy { max_total: Some(7), ..pools.clone() };
    // linux has two runners at work and wants six more, gpu wants two, arm wants one.
    let mut world = snapshot();
    for slot in 0..2 {
        world = world
            .instance(instance("linux", slot).marked(Mark::SeenOnline, 9))
            .runner(runner("linux", slot).online().busy());
    }
    for id in 1..=6 {
        world = world.job(job(id));
    }
    world = world.job(job(7).labels("gpu")).job(job(8).labels("gpu")).job(job(9).labels("arm"));
    let plan = planned(&world, &few);
    let launched: Vec<(&str, u32)> = plan.pools.iter().map(|sums| (sums.name.as_str(), sums.launch)).collect();
    assert_eq!(launched, [("arm", 1), ("gpu", 2), ("linux", 2)], "7 in all, and none kept out by the largest");
    assert_eq!(held(&plan), [ReasonCode::MaxTotal]);
    assert!(plan.held[0].reason.message.contains("4 launches wait"), "{:?}", plan.held);
    assert_eq!(planned(&world, &pools).pools[2].launch, 6);
    // Where more are there already than may be, nothing is launched, and nothing ended for it.
    let full = Policy { max_total: Some(1), ..pools.clone() };
    assert!(planned(&world, &full).actions.is_empty());
    let violations = ghascale::engine::check(&world, &full, &planned(&world, &pools)).unwrap_err();
    assert_eq!(violations, ["all pools would hold 11 runners, and max_total is 1"]);
}

/// One of each kind that would be ended.
fn doomed() -> Snapshot {
    snapshot()
        .runner(runner("linux", 0))
        .runner(runner("linux", 1))
        .instance(instance("linux", 1))
        .instance(gone(instance("linux", 2)))
        .runner(runner("linux", 3))
        .instance(instance("linux", 3).marked(Mark::SeenOnline, 1800).marked(Mark::OfflineSince, 1800))
        .runner(runner("linux", 4))
        .instance(instance("linux", 4).in_state(InstanceState::Terminated))
}

#[test]
fn jobs_that_were_not_read_whole_end_nothing_but_launch() {
    let mut world = doomed().job(job(1));
    world.demand.kind = CountKind::AtLeast;
    let plan = planned(&world, &linux());
    // Of the terminated one nothing can be ended any more: its record is all that is left.
    assert_eq!(said(&plan), ["deregister 104", "launch acme-linux-005"]);
    assert_eq!(held(&plan), [ReasonCode::PartialObservation; 4]);
}

#[test]
fn supply_that_was_not_read_whole_does_nothing_at_all() {
    for break_it in
        [|world: &mut Snapshot| world.instances.whole = false, |world: &mut Snapshot| world.runners.whole = false]
    {
        let mut world = doomed().job(job(1));
        break_it(&mut world);
        assert!(planned(&world, &linux()).actions.is_empty());
    }
}

#[test]
fn a_run_with_hidden_jobs_holds_what_could_be_running_one_of_them() {
    let mut world = doomed();
    world.demand.unresolved.push(HiddenRun {
        repository: "acme/api".into(),
        run_id: ghascale::engine::RunId(9),
        status: "queued".into(),
        since: None,
    });
    let plan = planned(&world, &linux());
    let expected = ["deregister 100", "deregister 101", "mark i-linux-1 ghascale:draining after 101", "deregister 104"];
    assert_eq!(said(&plan), expected);
    assert_eq!(held(&plan), [ReasonCode::PartialObservation; 2]);
}

#[test]
fn repositories_that_are_not_scanned_hold_what_could_be_running_their_jobs() {
    let mut world = doomed();
    world.demand.skipped.push(SkippedRepository { repository: "acme/secret".into(), reason: "excluded".into() });
    assert_eq!(held(&planned(&world, &linux())), [ReasonCode::PartialObservation; 2]);
    world.demand.skipped[0].reason = "archived".into();
    assert_eq!(held(&planned(&world, &linux())), [ReasonCode::PartialObservation; 0]);
}

#[test]
fn a_wrong_clock_ends_and_marks_nothing_and_a_useless_one_launches_nothing() {
    let with_clock = |seconds| {
        let mut world =
            doomed().runner(runner("linux", 5).online()).instance(instance("linux", 5)).job(job(1)).job(job(2));
        world.clock_ahead = SignedDuration::from_secs(seconds);
        world
    };
    let right = said(&planned(&with_clock(-5), &linux()));
    assert!(right.iter().any(|action| action.starts_with("mark")), "{right:?}");
    for seconds in [6, -6, 120, -120] {
        let plan = planned(&with_clock(seconds), &linux());
        // Of the terminated one nothing can be ended any more.
        assert_eq!(said(&plan), ["deregister 104", "launch acme-linux-006"], "{seconds}");
        assert_eq!(held(&plan), [ReasonCode::ClockWrong; 4]);
    }
    assert_eq!(planned(&with_clock(6), &linux()).held[0].reason.message, "this host's clock is 6s ahead of GitHub's");
    let plan = planned(&with_clock(-121), &linux());
    assert_eq!(said(&plan), ["deregister 104"]);
    assert_eq!(plan.held[0].reason.message, "this host's clock is 2m1s behind GitHub's");
    let violations = check(&with_clock(200), &linux(), &planned(&with_clock(0), &linux())).unwrap_err();
    assert!(violations.iter().any(|one| one == "a launch, by a clock that is minutes wrong"), "{violations:?}");
    assert!(violations.iter().any(|one| one == "an end or a mark, by a clock that is wrong"), "{violations:?}");
}

#[test]
fn a_fleet_without_instances_but_with_runners_online_ends_nothing() {
    let world = snapshot().runner(runner("linux", 0)).runner(runner("linux", 1).online());
    let plan = planned(&world, &linux());
    assert_eq!((said(&plan), held(&plan)), (vec![], vec![ReasonCode::WrongAccount]));
}

#[test]
fn an_instance_of_an_unknown_pool_is_never_touched() {
    let plan = planned(&snapshot().instance(instance("gone", 0)), &linux());
    assert!(plan.actions.is_empty() && plan.held.is_empty());
}

#[test]
fn a_plan_can_be_narrowed_to_a_pool_without_moving_its_jobs() {
    let policy = policy([pool("a"), pool("b").priority(1)]);
    let plan = planned(&snapshot().job(job(1)), &policy).only(&["a".into()]);
    assert!(plan.actions.is_empty(), "the job is b's");
}

#[test]
fn the_check_finds_what_a_planner_must_not_do() {
    let policy = linux();
    let world =
        snapshot().runner(runner("linux", 0).online().busy()).instance(instance("linux", 0)).job(job(1).on(100));
    let good = planned(&doomed(), &policy);
    // The same ends, held against a world in which the runner works.
    let mut bad = Plan::default();
    bad.actions.extend(good.actions.iter().filter(|action| action.slot == Some(Slot(1))).cloned());
    for action in &mut bad.actions {
        action.slot = Some(Slot(0));
        match &mut action.step {
            Step::Deregister { runner_id, instance_id } => {
                *runner_id = ghascale::engine::RunnerId(100);
                *instance_id = Some("i-linux-0".into());
            }
            Step::Terminate { instance_id, record } => {
                *instance_id = "i-linux-0".into();
                *record = Some(ghascale::engine::RunnerId(100));
            }
            Step::Launch { .. } | Step::Mark { .. } => {}
        }
    }
    let violations = check(&world, &policy, &bad).unwrap_err();
    assert_eq!(violations.len(), 2, "{violations:?}");
}

#[test]
fn the_check_knows_our_tag() {
    let policy = linux();
    let plan = plan(&snapshot().instance(instance("linux", 0)), &policy);
    let mut theirs = instance("linux", 0);
    theirs.fleet = "theirs".into();
    assert!(check(&snapshot().instance(theirs), &policy, &plan).is_err());
    assert!(check(&snapshot(), &policy, &plan).is_err());
}

#[test]
fn the_check_counts_room() {
    let policy = policy([pool("linux").sized(0, 2)]);
    let two = plan(&snapshot().job(job(1)).job(job(2)), &policy);
    let taken = snapshot().instance(instance("linux", 5));
    assert!(check(&taken, &policy, &two).unwrap_err()[0].contains("its max is 2"));
    let mut twice = two.clone();
    twice.actions[1] = twice.actions[0].clone();
    assert!(check(&snapshot(), &policy, &twice).unwrap_err()[0].contains("launched twice"));
}

#[test]
fn nothing_is_old_before_its_time_when_the_clock_goes_back() {
    let mut world = doomed();
    world.now = noon() - Duration::from_hours(24);
    assert_eq!(said(&planned(&world, &linux())), ["deregister 104"]);
}
