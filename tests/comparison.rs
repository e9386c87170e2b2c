//! `compare`'s reasoning: one test for each cause, and one where five happen at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ghascale::comparison::{Books, Cause, CauseCode, OtherScaleSet, Side, Verdict, compare, verdict};
use ghascale::engine::build::{job, labels, noon};
use ghascale::engine::{CountKind, Demand, Job, JobState, PoolName, Statistics, WaitReason};
use ghascale::github::{RunnerGroup, Visibility};

/// The two books of one pool, `linux`, whose scale set has its label.
struct World {
    demand: Demand,
    /// Jobs that another pool has, or none.
    elsewhere: BTreeMap<u64, Option<&'static str>>,
    labels: &'static str,
    before: Statistics,
    after: Option<Statistics>,
    offers: Option<u64>,
    group: Option<RunnerGroup>,
    others: Vec<OtherScaleSet>,
}

fn assigned(assigned: u64) -> Statistics {
    Statistics { assigned, ..Statistics::default() }
}

/// REST lists so many jobs, all queued ten minutes ago; the set has been assigned so many.
fn world(rest: u64, set: u64) -> World {
    let mut demand = Demand::none();
    demand.jobs = (1..=rest).map(old).collect();
    World {
        demand,
        elsewhere: BTreeMap::new(),
        labels: "linux",
        before: assigned(set),
        after: None,
        offers: None,
        group: None,
        others: Vec::new(),
    }
}

fn old(id: u64) -> Job {
    job(id).queued_for(600)
}

impl World {
    fn job(mut self, job: Job) -> Self {
        self.demand.jobs.push(job);
        self
    }

    fn of(mut self, job: u64, pool: Option<&'static str>) -> Self {
        self.elsewhere.insert(job, pool);
        self
    }

    fn compared(&self) -> (i64, Verdict, Vec<(CauseCode, Option<u64>)>) {
        let (difference, causes) = self.causes();
        let verdict = verdict(difference, &causes);
        (difference, verdict, causes.into_iter().map(|cause| (cause.code, cause.count)).collect())
    }

    fn causes(&self) -> (i64, Vec<Cause>) {
        let names: BTreeMap<u64, Option<PoolName>> =
            self.elsewhere.iter().map(|(id, pool)| (*id, pool.map(PoolName::from))).collect();
        let linux = PoolName::from("linux");
        let pool_of = self.demand.jobs.iter().filter_map(|job| match names.get(&job.id.0) {
            None => Some((job.id, &linux)),
            Some(pool) => pool.as_ref().map(|pool| (job.id, pool)),
        });
        let pool_of = pool_of.collect();
        let labels = labels(self.labels);
        let side = Side {
            labels: &labels,
            before: self.before,
            after: self.after,
            offers: self.offers,
            group: self.group.as_ref(),
            others: &self.others,
        };
        compare(&linux, Books { now: noon(), demand: &self.demand, pool_of: &pool_of }, side)
    }

    fn message(&self) -> String {
        self.causes().1.into_iter().map(|cause| cause.message).collect::<Vec<_>>().join("; ")
    }
}

use CauseCode::{
    GhostRun, GroupNotVisible, InFlight, LabelMismatch, NoListener, OtherPool, OtherScaleSet as ElseSet, PageLost,
    StaleStatistics, Waiting,
};
use Verdict::{Agree, Differ};

#[test]
fn equal_counts_agree_without_a_cause() {
    assert_eq!(world(3, 3).compared(), (0, Agree, vec![]));
    let offered = World { before: Statistics { available: 1, acquired: 1, assigned: 1, ..assigned(0) }, ..world(3, 0) };
    assert_eq!(offered.compared(), (0, Agree, vec![]));
}

#[test]
fn a_set_that_lacks_a_label_is_a_label_mismatch_and_names_it() {
    let world = world(1, 1).job(old(9).labels("linux gpu"));
    assert_eq!(world.compared(), (1, Differ, vec![(LabelMismatch, Some(1))]));
    assert_eq!(world.message(), "the scale set lacks `gpu`");
}

#[test]
fn a_set_with_a_label_that_the_pool_lacks_is_a_label_mismatch_too() {
    let world = World { labels: "linux gpu", ..world(1, 2) }.job(old(9).labels("gpu")).of(9, None);
    assert_eq!(world.compared(), (-1, Differ, vec![(LabelMismatch, Some(1))]));
    assert!(world.message().contains("`gpu`"));
}

#[test]
fn a_group_that_does_not_admit_the_repository_is_named() {
    let visibility = Visibility::Selected(BTreeSet::from(["acme/web".into()]));
    let group = RunnerGroup { id: 2, name: "build".into(), visibility, allows_public: true };
    let world = World { group: Some(group), ..world(2, 0) };
    assert_eq!(world.compared(), (2, Differ, vec![(GroupNotVisible, Some(2))]));
    assert!(world.message().contains("`acme/api`"));
}

#[test]
fn nobody_listens_where_everything_is_zero_beside_queued_jobs() {
    assert_eq!(world(4, 0).compared(), (4, Differ, vec![(NoListener, Some(4))]));
    // Jobs of this moment are on their way all the same.
    let young = world(0, 0).job(job(1).queued_for(5));
    assert_eq!(young.compared(), (1, Agree, vec![(InFlight, Some(1))]));
}

#[test]
fn a_job_of_this_moment_is_in_flight() {
    let world = world(2, 2).job(job(9).queued_for(20));
    assert_eq!(world.compared(), (1, Agree, vec![(InFlight, Some(1))]));
}

#[test]
fn what_moved_while_rest_was_read_is_in_flight() {
    let fell = World { after: Some(assigned(1)), ..world(1, 3) };
    assert_eq!(fell.compared(), (-2, Agree, vec![(InFlight, Some(2))]));
    let rose = World { after: Some(assigned(3)), ..world(3, 1) };
    assert_eq!(rose.compared(), (2, Agree, vec![(InFlight, Some(2))]));
}

#[test]
fn another_pool_with_the_same_labels_takes_some() {
    let world = world(1, 2).job(old(9)).of(9, Some("large"));
    assert_eq!(world.compared(), (-1, Differ, vec![(OtherPool, Some(1))]));
    assert!(world.message().contains("`large`"));
}

#[test]
fn another_scale_set_with_the_labels_may_have_been_given_some() {
    let other = |pool: Option<&str>, jobs| OtherScaleSet {
        name: "arc".into(),
        pool: pool.map(PoolName::from),
        labels: labels("linux x64"),
        jobs,
    };
    let arc = World { others: vec![other(None, 1)], ..world(3, 2) };
    assert_eq!(arc.compared(), (1, Differ, vec![(ElseSet, Some(1))]));
    // It has all of them: the set itself need not lack a listener.
    let all = World { others: vec![other(None, 3)], ..world(3, 0) };
    assert_eq!(all.compared(), (3, Differ, vec![(ElseSet, Some(3))]));
    let of_a_pool = World { others: vec![other(Some("large"), 5)], ..world(3, 2) };
    assert_eq!(of_a_pool.compared(), (1, Differ, vec![(OtherPool, Some(1))]));
    let empty = World { others: vec![other(None, 0)], ..world(3, 2) };
    assert_eq!(empty.compared(), (1, Differ, vec![(StaleStatistics, Some(1))]));
}

#[test]
fn a_job_that_waits_for_an_approval_is_counted_apart_by_rest() {
    let world = world(1, 2).job(Job { state: JobState::Waiting(WaitReason::Approval), ..old(9) });
    assert_eq!(world.compared(), (-1, Differ, vec![(Waiting, Some(1))]));
    assert!(world.message().contains("waiting for approval"));
}

#[test]
fn a_ghost_is_counted_by_the_set_only() {
    let mut world = world(1, 2);
    world.demand.ghost_jobs.push(job(9).queued_for(3 * 86_400));
    assert_eq!(world.compared(), (-1, Differ, vec![(GhostRun, Some(1))]));
}

#[test]
fn a_lost_page_explains_a_low_count_of_rests_by_nobody_knows_how_much() {
    let mut world = world(1, 4);
    world.demand.kind = CountKind::AtLeast;
    assert_eq!(world.compared(), (-3, Differ, vec![(PageLost, None)]));
}

#[test]
fn lists_of_a_while_ago_explain_a_count_either_way() {
    for (rest, set) in [(1, 4), (4, 1)] {
        let mut world = world(rest, set);
        world.demand.kind = CountKind::Stale;
        assert_eq!(world.compared().2, [(PageLost, None)]);
    }
}

#[test]
fn what_nothing_explains_is_a_stale_count() {
    let stuck = World { before: Statistics { registered: 3, idle: 3, ..assigned(15) }, ..world(0, 0) };
    assert_eq!(stuck.compared(), (-15, Differ, vec![(StaleStatistics, Some(15))]));
    assert!(stuck.message().contains("idle runners beside jobs without one"), "{}", stuck.message());
    assert_eq!(world(5, 2).compared(), (3, Differ, vec![(StaleStatistics, Some(3))]));
    let offering = World { offers: Some(3), ..world(5, 2) };
    assert!(offering.message().ends_with("but has 3 jobs on offer: its count is wrong"), "{}", offering.message());
}

#[test]
fn five_causes_at_once_are_told_apart() {
    // REST lists 8: 2 that the set lacks a label for, 1 of a repository that its group doesn't admit, 1 of this moment;
    // and apart from them one that waits and one ghost, both of which the set counts.
    let group = RunnerGroup { id: 1, name: "Default".into(), visibility: Visibility::Private, allows_public: true };
    let mut world = World { group: Some(group), ..world(4, 5) }
        .job(old(11).labels("linux gpu"))
        .job(old(12).labels("linux arm64"))
        .job(Job { repository: "acme/website".into(), ..old(13) })
        .job(job(14).queued_for(3))
        .job(Job { state: JobState::Waiting(WaitReason::Concurrency), ..old(15) });
    world.demand.public.insert("acme/website".into());
    world.demand.ghost_jobs.push(job(16).queued_for(3 * 86_400));
    let (difference, verdict, causes) = world.compared();
    assert_eq!((difference, verdict), (3, Differ));
    // 3 are certain; what is left is nothing, so the young one reached the set, and neither of the others did.
    assert_eq!(causes, [(LabelMismatch, Some(2)), (GroupNotVisible, Some(1))]);

    world.before.assigned = 7;
    let (difference, _, causes) = world.compared();
    assert_eq!(difference, 1);
    let expected = [(LabelMismatch, Some(2)), (GroupNotVisible, Some(1)), (Waiting, Some(1)), (GhostRun, Some(1))];
    assert_eq!(causes, expected);

    world.before.assigned = 9;
    let (difference, verdict, causes) = world.compared();
    let fifth = (StaleStatistics, Some(2));
    assert_eq!((difference, verdict), (-1, Differ));
    assert_eq!(causes, [&expected[..], &[fifth]].concat());
    assert_eq!(causes.iter().filter_map(|(_, count)| *count).sum::<u64>(), 7);
}

#[test]
fn every_cause_is_in_the_list_for_people_and_has_the_word_of_its_json() {
    for (code, _) in CauseCode::ALL {
        assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
    }
    assert_eq!(CauseCode::ALL.iter().map(|(code, _)| code).collect::<BTreeSet<_>>().len(), CauseCode::ALL.len());
}

#[test]
fn a_job_without_a_time_is_young() {
    let mut timeless = world(2, 2);
    timeless.demand.jobs.push(Job { queued_at: None, ..job(9) });
    assert_eq!(timeless.compared(), (1, Agree, vec![(InFlight, Some(1))]));
    assert!(ghascale::comparison::IN_FLIGHT <= Duration::from_mins(1));
}
