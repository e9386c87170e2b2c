//! One test for each step and each way to fail there.

use std::collections::BTreeSet;

use super::*;
use crate::config::Pool as Settings;
use crate::engine::build::{instance, job, noon, policy, pool, runner, snapshot};
use crate::engine::{
    self, HiddenRun, Instance, InstanceState, Listing, Mark, Pool, RunId, Runner, ScaleSetDemand, SkippedRepository,
    plan,
};
use crate::github::Visibility;
use crate::scale_set::ScaleSetId;

/// A job to be explained, and what was seen around it.
struct Scene {
    snapshot: Snapshot,
    pools: Vec<Pool>,
    subject: Subject,
    known: Known,
    groups: Result<Vec<RunnerGroup>, String>,
    group: &'static str,
    scale_set: Option<Result<ScaleSet, String>>,
    warnings: Vec<Warning>,
    scope: Scope,
    ceiling: Option<engine::Price>,
}

/// A pending job for one pool of at most ten, all of it read, its group open to all.
fn scene(asked: Job) -> Scene {
    Scene {
        snapshot: snapshot().job(asked.clone()),
        pools: vec![pool("linux")],
        subject: Subject::Job(asked, Standing::Counted),
        known: Known { runners: true, instances: true, by_name: true },
        groups: Ok(vec![group("Default", Visibility::All)]),
        group: "Default",
        scale_set: None,
        warnings: Vec::new(),
        scope: Scope::Organization("acme".into()),
        ceiling: None,
    }
}

fn group(name: &str, visibility: Visibility) -> RunnerGroup {
    RunnerGroup { id: 5, name: name.into(), visibility, allows_public: true }
}

impl Scene {
    fn pool(mut self, pool: Pool) -> Self {
        self.pools = vec![pool];
        self
    }

    fn with(mut self, instance: Instance, runner: Runner) -> Self {
        self.snapshot = self.snapshot.instance(instance).runner(runner);
        self
    }

    fn standing(mut self, standing: Standing) -> Self {
        if let Subject::Job(_, known) = &mut self.subject {
            *known = standing;
        }
        self
    }

    fn groups(mut self, groups: impl IntoIterator<Item = RunnerGroup>) -> Self {
        self.groups = Ok(groups.into_iter().collect());
        self
    }

    fn explained(&self) -> Explanation {
        let policy = engine::Policy { max_usd_per_hour: self.ceiling, ..policy(self.pools.clone()) };
        let (view, plan) = (View::of(&self.snapshot, &policy), plan(&self.snapshot, &policy));
        let settings = |pool: &Pool| Settings {
            policy: pool.clone(),
            runner_group: self.group.into(),
            scale_set: pool.has_scale_set.then(|| "set".into()),
            source: None,
            launch: None,
        };
        let pools: Vec<Settings> = self.pools.iter().map(settings).collect();
        let seen = Seen {
            snapshot: &self.snapshot,
            view: &view,
            plan: &plan,
            known: self.known,
            pools: &pools,
            groups: Some(self.groups.clone()),
            scale_set: self.scale_set.clone(),
            warnings: &self.warnings,
        };
        let explanation = explain(&Case { seen: Some(&seen), ..case(&self.subject, &self.scope) });
        is_sound(&explanation);
        explanation
    }

    /// Returns the step that failed, its evidence and its cure.
    fn failed(&self) -> (StepName, String, String) {
        let explanation = self.explained();
        let failed = explanation.failed_step.unwrap_or_else(|| panic!("nothing failed: {explanation:#?}"));
        let step = at(&explanation, failed);
        (failed, step.evidence.clone(), step.cure.clone().unwrap())
    }
}

fn case<'a>(subject: &'a Subject, scope: &'a Scope) -> Case<'a> {
    let site = "https://github.com";
    Case { subject, now: noon(), site, scope, max_job_age: Duration::from_hours(24), seen: None }
}

fn at(explanation: &Explanation, name: StepName) -> &Step {
    explanation.steps.iter().find(|step| step.step == name).unwrap()
}

/// What holds of every explanation: ten steps in order, one failed at most, and with it a cure; none is ok behind it.
fn is_sound(explanation: &Explanation) {
    let names: Vec<StepName> = explanation.steps.iter().map(|step| step.step).collect();
    assert_eq!(names, StepName::ALL);
    let failed: Vec<&Step> = explanation.steps.iter().filter(|step| step.result == StepResult::Failed).collect();
    assert_eq!(failed.first().map(|step| step.step), explanation.failed_step, "{explanation:#?}");
    assert!(failed.len() <= 1 && failed.iter().all(|step| step.cure.is_some()), "{explanation:#?}");
    if let Some(failed) = failed.first() {
        let behind = explanation.steps.iter().filter(|step| step.step > failed.step);
        assert!(behind.into_iter().all(|step| step.result == StepResult::Skipped), "{explanation:#?}");
    }
    assert!(!explanation.verdict.is_empty() && explanation.steps.iter().all(|step| !step.evidence.is_empty()));
}

// --- visible --------------------------------------------------------------------------------------------------------

#[test]
fn a_job_of_a_repository_that_is_not_scanned_stops_there() {
    for (why, cure) in [
        ("archived", "gh repo unarchive acme/api"),
        ("excluded", "scan.include"),
        ("disabled", "support"),
        ("actions_disabled", "gh api -X PUT repos/acme/api/actions/permissions"),
    ] {
        let (step, _, said) = scene(job(1)).standing(Standing::Skipped(why.into())).failed();
        assert_eq!(step, StepName::Visible);
        assert!(said.contains(cure), "{why}: {said}");
    }
}

#[test]
fn a_job_that_runs_is_explained_though_its_repository_is_not_scanned() {
    let explained = scene(job(1).on(7)).standing(Standing::Skipped("excluded".into())).explained();
    assert_eq!((explained.failed_step, explained.verdict.as_str()), (None, "job 1 is being run"));
}

#[test]
fn a_job_that_no_list_has_yet_is_unknown_and_not_refused() {
    let explained = scene(job(1)).standing(Standing::Unlisted).explained();
    assert_eq!(at(&explained, StepName::Visible).result, StepResult::Unknown);
}

#[test]
fn standing_is_read_off_the_lists_without_case() {
    let mut seen = snapshot().job(job(1));
    seen.demand.ghost_jobs.push(job(2));
    seen.demand.skipped.push(SkippedRepository { repository: "acme/attic".into(), reason: "archived".into() });
    let of = |id, repository: &str| Standing::of(JobId(id), &repository.into(), &seen);
    assert_eq!(of(1, "acme/api"), Standing::Counted);
    assert_eq!(of(2, "acme/api"), Standing::Ghost);
    assert_eq!(of(3, "acme/api"), Standing::Unlisted);
    assert_eq!(of(3, "Acme/Attic"), Standing::Skipped("archived".into()));
}

#[test]
fn what_github_does_not_show_is_said_so() {
    let mut missing = scene(job(1));
    missing.subject = Subject::Missing("job 9 of acme/api".into());
    assert_eq!(missing.failed().1, "GitHub shows no job 9 of acme/api");
    missing.subject = Subject::Unread { what: "job 9 of acme/api".into(), why: "502 bad gateway".into() };
    let explained = missing.explained();
    assert_eq!(at(&explained, StepName::Visible).result, StepResult::Unknown);
    assert_eq!(explained.verdict, "job 9 of acme/api could not be read: 502 bad gateway");
}

#[test]
fn an_id_that_was_not_found_is_refused_only_where_everything_was_read() {
    let mut unscanned = scene(job(1));
    unscanned.subject = Subject::Unscanned(9);
    unscanned.snapshot.demand.scanned = 3;
    let (_, said, _) = unscanned.failed();
    assert_eq!(said, "no job or run that is not completed has the id 9 in acme (3 repositories)");
    unscanned.snapshot.demand.kind = CountKind::AtLeast;
    assert_eq!(at(&unscanned.explained(), StepName::Visible).result, StepResult::Unknown);
}

// --- status ---------------------------------------------------------------------------------------------------------

#[test]
fn a_job_that_waits_for_something_else_than_a_runner_stops_there() {
    for (wait, said, cure) in [
        (WaitReason::Approval, "approval", "https://github.com/acme/api/actions/runs/10"),
        (WaitReason::Concurrency, "concurrency group", "gh run list -R acme/api"),
        (WaitReason::Requested, "not queued it yet", "look again"),
    ] {
        let (step, evidence, found) = scene(Job { state: JobState::Waiting(wait), ..job(1) }).failed();
        assert_eq!(step, StepName::Status);
        assert!(evidence.contains(said) && found.contains(cure), "{evidence}: {found}");
    }
}

#[test]
fn a_status_that_is_not_known_is_unknown() {
    let state = JobState::Waiting(WaitReason::Unknown("dreaming".into()));
    let explained = scene(Job { state, ..job(1) }).explained();
    assert_eq!(at(&explained, StepName::Status).result, StepResult::Unknown);
    assert!(explained.verdict.contains("`dreaming`"), "{}", explained.verdict);
}

#[test]
fn a_ghost_is_started_anew() {
    let (step, evidence, cure) = scene(job(1).queued_for(3 * 86_400)).standing(Standing::Ghost).failed();
    assert_eq!(step, StepName::Status);
    assert_eq!(evidence, "queued for 3d, longer than `scan.max_job_age` of 1d: listed, not counted");
    assert!(cure.contains("gh run cancel 10 -R acme/api && gh run rerun 10 -R acme/api"), "{cure}");
}

#[test]
fn a_job_in_progress_is_with_the_runner_that_has_it() {
    let asked = Job { runner_name: Some("acme-linux-000".into()), ..job(1).on(100) };
    let explained = scene(asked.clone()).with(instance("linux", 0), runner("linux", 0).online().busy()).explained();
    assert_eq!(explained.verdict, "job 1 is being run by `acme-linux-000`");
    assert!(at(&explained, StepName::Assignment).evidence.contains("instance i-linux-0"));
    let lost = instance("linux", 0).marked(Mark::SeenOnline, 1800).marked(Mark::OfflineSince, 900);
    let (step, evidence, cure) = scene(asked.clone()).with(lost, runner("linux", 0)).failed();
    assert_eq!(step, StepName::Registration);
    assert!(evidence.contains("offline in the middle of the job") && cure.contains("--instance-id i-linux-0"));
    let gone = instance("linux", 0).in_state(InstanceState::Terminated);
    assert!(scene(asked).with(gone, runner("linux", 0)).failed().1.contains("gone in the middle of the job"));
}

fn completed(conclusion: &str, runner: Option<&str>) -> Explanation {
    let subject = Subject::Completed(CompletedJob {
        id: JobId(1),
        run_id: RunId(10),
        attempt: 1,
        repository: "acme/api".into(),
        name: "test".into(),
        labels: Vec::new(),
        conclusion: conclusion.into(),
        queued_at: Some(noon() - Duration::from_hours(25)),
        completed_at: Some(noon() - Duration::from_hours(1)),
        runner_name: runner.map(Into::into),
        url: String::new(),
    });
    let explanation = explain(&case(&subject, &Scope::Organization("acme".into())));
    is_sound(&explanation);
    explanation
}

#[test]
fn a_completed_job_is_an_answer_and_one_that_no_runner_ever_had_a_failure() {
    let ran = completed("failure", Some("acme-linux-000"));
    assert_eq!(
        (ran.failed_step, ran.verdict.as_str()),
        (None, "job 1 was run by `acme-linux-000` and completed 1h ago: failure")
    );
    let given_up = completed("cancelled", None);
    assert_eq!(given_up.failed_step, Some(StepName::Status));
    let step = at(&given_up, StepName::Status);
    assert_eq!(step.evidence, "completed 1h ago: cancelled after 1d, and no runner ever had it");
    assert_eq!(step.cure.as_deref(), Some("`gh run rerun 10 --job 1 -R acme/api`"));
    assert_eq!(completed("skipped", None).failed_step, None);
}

#[test]
fn a_run_without_jobs_is_told_from_a_ghost_and_from_a_completed_one() {
    let of = |status: &str, hours, jobs| {
        let run = FoundRun {
            id: RunId(10),
            repository: "acme/api".into(),
            status: status.into(),
            conclusion: Some("success".into()),
            since: Some(noon() - Duration::from_hours(hours)),
            updated_at: Some(noon() - Duration::from_hours(1)),
            jobs,
        };
        let subject = Subject::Run(run);
        let explanation = explain(&case(&subject, &Scope::Organization("acme".into())));
        is_sound(&explanation);
        explanation
    };
    let young = of("queued", 2, RunJobs::Hidden);
    assert_eq!((young.failed_step, at(&young, StepName::Visible).result), (None, StepResult::Unknown));
    let ghost = of("queued", 72, RunJobs::Hidden);
    assert_eq!(ghost.failed_step, Some(StepName::Visible));
    assert!(at(&ghost, StepName::Visible).cure.as_ref().unwrap().contains("actions/runs/10/force-cancel"));
    let over = of("completed", 2, RunJobs::Unread);
    assert_eq!(over.verdict, "run 10 in acme/api is completed 1h ago: success");
    let between = of("in_progress", 2, RunJobs::Listed(Vec::new()));
    assert!(between.verdict.contains("every job that GitHub shows of it is completed"), "{}", between.verdict);
}

// --- labels ---------------------------------------------------------------------------------------------------------

#[test]
fn a_label_on_no_pool_is_named_with_the_nearest() {
    let (step, evidence, cure) =
        scene(job(1).labels("linux gpu")).pool(pool("cuda").labels("linux linux-gpu gpus")).failed();
    assert_eq!((step, evidence.as_str()), (StepName::Labels, "label `gpu` is on no pool"));
    assert!(cure.starts_with("nearest: `gpus`, of pool `cuda`"), "{cure}");
    let (_, _, cure) = scene(job(1).labels("zebra")).failed();
    assert_eq!(cure, "add `zebra` to the `labels` of a pool, or take it out of `runs-on`");
}

#[test]
fn labels_that_no_one_pool_has_together_are_named_with_the_nearest_pool() {
    let mut split = scene(job(1).labels("linux gpu"));
    split.pools = vec![pool("linux").labels("linux x64"), pool("gpu").labels("gpu")];
    let (step, _, cure) = split.failed();
    assert_eq!(step, StepName::Labels);
    assert_eq!(cure, "add `linux` to the `labels` of pool `gpu`, or take it out of `runs-on`");
}

#[test]
fn a_hosted_label_and_no_label_are_said_for_what_they_are() {
    let (step, _, cure) = scene(job(1).labels("ubuntu-latest")).failed();
    assert!(step == StepName::Labels && cure.starts_with("GitHub's own runners take it"), "{cure}");
    let (step, evidence, _) = scene(job(1).labels("")).failed();
    assert!(step == StepName::Labels && evidence.contains("only a runner group"), "{evidence}");
}

// --- runner group ---------------------------------------------------------------------------------------------------

#[test]
fn a_group_that_does_not_admit_the_repository_stops_it() {
    let chosen = Visibility::Selected(BTreeSet::from(["acme/web".into()]));
    let (step, evidence, cure) = scene(job(1)).groups([group("Default", chosen)]).failed();
    assert_eq!(step, StepName::RunnerGroup);
    assert_eq!(evidence, "runner group `Default` is open to 1 chosen repository, not to acme/api");
    assert!(cure.ends_with("https://github.com/organizations/acme/settings/actions/runner-groups/5"), "{cure}");
}

#[test]
fn a_group_that_is_closed_to_public_repositories_stops_a_public_one_only() {
    let closed = RunnerGroup { allows_public: false, ..group("Default", Visibility::All) };
    let mut public = scene(job(1)).groups([closed]);
    assert_eq!(at(&public.explained(), StepName::RunnerGroup).result, StepResult::Ok);
    public.snapshot.demand.public.insert("Acme/API".into());
    let (step, evidence, _) = public.failed();
    assert!(step == StepName::RunnerGroup && evidence.ends_with("which is public"), "{evidence}");
}

#[test]
fn a_group_that_does_not_exist_is_named_with_the_nearest() {
    let mut scene = scene(job(1)).groups([group("Default", Visibility::All), group("builders", Visibility::All)]);
    scene.group = "builder";
    let (step, evidence, cure) = scene.failed();
    assert_eq!(step, StepName::RunnerGroup);
    assert_eq!(evidence, "there is no runner group `builder`; there is `Default`, `builders`");
    assert_eq!(cure, "nearest: `runner_group = \"builders\"` in pool `linux`");
}

#[test]
fn groups_that_could_not_be_read_are_unknown_and_the_walk_goes_on() {
    let mut scene = scene(job(1));
    scene.groups = Err("403 forbidden".into());
    let explained = scene.explained();
    assert_eq!(at(&explained, StepName::RunnerGroup).result, StepResult::Unknown);
    assert_eq!(explained.failed_step, Some(StepName::Launch));
}

// --- scale set ------------------------------------------------------------------------------------------------------

fn of_scale_set(assigned: u64, labels: &str) -> Scene {
    asked_of_scale_set(job(1), assigned, labels)
}

fn asked_of_scale_set(asked: Job, assigned: u64, labels: &str) -> Scene {
    let mut scene = scene(asked).pool(pool("linux").with_scale_set());
    scene.snapshot = scene.snapshot.scale_set("linux", assigned, 0);
    scene.scale_set = Some(Ok(ScaleSet {
        id: ScaleSetId(3),
        name: "set".into(),
        group: crate::scale_set::RunnerGroup { id: 1, name: "Default".into() },
        labels: engine::build::labels(labels),
        statistics: None,
    }));
    scene
}

#[test]
fn a_scale_set_that_was_not_given_the_job_stops_it() {
    let (step, evidence, cure) = of_scale_set(0, "linux").failed();
    assert_eq!(step, StepName::ScaleSet);
    assert!(
        evidence.starts_with("scale set `set` has 0 jobs assigned, 0 of them running, and 0 on offer"),
        "{evidence}"
    );
    assert!(cure.contains("`ghascale compare --pool linux`"), "{cure}");
    assert_eq!(of_scale_set(1, "linux").failed().0, StepName::Launch);
}

#[test]
fn a_scale_set_whose_labels_do_not_cover_the_job_stops_it() {
    let (step, evidence, cure) = of_scale_set(1, "windows").failed();
    assert_eq!((step, evidence.as_str()), (StepName::ScaleSet, "scale set `set` has `windows`, and lacks `linux`"));
    assert_eq!(cure, "`ghascale scale-set update linux`");
}

#[test]
fn a_job_that_may_be_on_its_way_to_its_scale_set_is_not_said_to_be_kept_from_it() {
    let explained = asked_of_scale_set(job(1).queued_for(40), 0, "linux").explained();
    let step = at(&explained, StepName::ScaleSet);
    assert_eq!(step.result, StepResult::Unknown);
    assert!(step.evidence.ends_with("younger than 1m, the job may be on its way to the set"), "{}", step.evidence);
}

#[test]
fn a_scale_set_that_could_not_be_asked_is_unknown() {
    let mut scene = scene(job(1)).pool(pool("linux").with_scale_set());
    scene.snapshot.scale_sets.insert("linux".into(), ScaleSetDemand::Unknown);
    scene.warnings = vec![Warning::new(WarningCode::ScaleSetFailed, "linux", "503 service unavailable")];
    let explained = scene.explained();
    let step = at(&explained, StepName::ScaleSet);
    assert_eq!(step.result, StepResult::Unknown);
    assert!(step.evidence.contains("503 service unavailable"), "{}", step.evidence);
    assert_eq!(at(&explained, StepName::Launch).result, StepResult::Unknown);
}

// --- cap, supply, launch --------------------------------------------------------------------------------------------

#[test]
fn a_full_pool_says_who_holds_its_slots() {
    let working = job(7).on(100);
    let mut full = scene(job(1)).pool(pool("linux").sized(0, 1));
    full = full.with(instance("linux", 0), runner("linux", 0).online().busy());
    full.snapshot = full.snapshot.job(working);
    let (step, evidence, cure) = full.failed();
    assert_eq!(step, StepName::Cap);
    assert_eq!(
        evidence,
        "1 runner of at most 1: 1 busy, 0 idle, 0 on their way; the slots are held by `acme-linux-000` (job 7 of acme/api)"
    );
    assert!(cure.contains("`max = 2`"), "{cure}");
    assert_eq!(full.explained().reason.map(|reason| reason.code), Some(engine::ReasonCode::AtMax));
}

#[test]
fn a_ceiling_that_keeps_a_job_waiting_is_said_with_its_cure() {
    let mut dear = scene(job(1));
    dear.ceiling = engine::Price::parse("0.05");
    let (step, evidence, cure) = dear.failed();
    assert_eq!(step, StepName::Cap);
    assert!(
        evidence.contains("known price, which `max_usd_per_hour` asks for: m7a.large") && cure.contains("price table"),
        "{evidence}: {cure}"
    );
    dear.snapshot = dear.snapshot.price("m7a.large", "0.10");
    let (step, evidence, cure) = dear.failed();
    assert_eq!(step, StepName::Cap);
    assert!(
        evidence.contains("costs more than `max_usd_per_hour`") && cure.contains("raise `max_usd_per_hour`"),
        "{evidence}: {cure}"
    );
}

#[test]
fn an_idle_runner_that_was_registered_with_other_labels_is_no_supply() {
    let old = Runner { labels: engine::build::labels("linux"), ..runner("linux", 0).online() };
    let scene = scene(job(1).labels("linux x64")).pool(pool("linux").labels("linux x64"));
    let (step, evidence, cure) = scene.with(instance("linux", 0), old).failed();
    assert_eq!(step, StepName::Supply);
    assert!(evidence.ends_with("`acme-linux-000` lacks `x64`") && cure.contains("idle_timeout"), "{evidence}: {cure}");
}

#[test]
fn what_apply_would_launch_for_it_is_named() {
    let mut waiting = scene(job(2).queued_for(30));
    waiting.snapshot = waiting.snapshot.job(job(1).queued_for(60));
    let (step, evidence, cure) = waiting.failed();
    assert_eq!((step, cure.as_str()), (StepName::Launch, "`ghascale apply`"));
    assert_eq!(
        evidence,
        "no runner is there or on its way for it; `apply` would launch `acme-linux-001`: on-demand m7a.large subnet-a \
         first, of 1 offering"
    );
}

#[test]
fn a_pool_without_offerings_has_nothing_to_launch() {
    let (step, _, cure) = scene(job(1)).pool(Pool { offerings: Vec::new(), ..pool("linux") }).failed();
    assert!(step == StepName::Launch && cure.contains("`instance_types`"), "{step:?}: {cure}");
}

#[test]
fn supply_that_was_not_read_is_unknown_and_never_zero() {
    let mut blind = scene(job(1));
    blind.snapshot.instances = Listing::partial(Vec::new());
    blind.known.instances = false;
    blind.warnings = vec![Warning::new(WarningCode::InstancesFailed, "instances", "access denied")];
    let explained = blind.explained();
    assert_eq!(explained.failed_step, None);
    for name in [StepName::Cap, StepName::Supply, StepName::Launch, StepName::Registration] {
        let step = at(&explained, name);
        assert_eq!(step.result, StepResult::Unknown, "{step:?}");
        assert!(step.evidence.contains("access denied"), "{step:?}");
    }
}

// --- registration, assignment ---------------------------------------------------------------------------------------

#[test]
fn a_runner_on_its_way_is_no_failure() {
    let explained = scene(job(1)).with(instance("linux", 0).aged(40), runner("linux", 0)).explained();
    assert_eq!(explained.failed_step, None);
    assert_eq!(
        explained.verdict,
        "nothing stops job 1; on their way: `acme-linux-000` (booting, 40s old) (`boot_timeout` is 5m)"
    );
}

#[test]
fn an_instance_that_never_came_online_is_named_with_its_console() {
    let scene = scene(job(1)).with(instance("linux", 0), runner("linux", 0));
    let (step, evidence, cure) = scene.with(instance("linux", 1).aged(40), runner("linux", 1)).failed();
    assert_eq!(step, StepName::Registration);
    assert!(evidence.contains("never online in time: `acme-linux-000` (never online, 1h old)"), "{evidence}");
    assert!(cure.contains("get-console-output --latest --output text --instance-id i-linux-0"), "{cure}");
}

#[test]
fn a_record_whose_instance_never_came_is_said() {
    let mut orphaned = scene(job(1)).with(instance("linux", 1).aged(40), runner("linux", 1));
    orphaned.snapshot = orphaned.snapshot.runner(runner("linux", 0));
    let (step, evidence, _) = orphaned.failed();
    assert_eq!(step, StepName::Registration);
    assert!(evidence.contains("without an instance: `acme-linux-000` (a record alone, 1h old)"), "{evidence}");
}

#[test]
fn an_idle_runner_beside_a_queued_job_is_githubs_turn() {
    let beside = |seconds| {
        let online = runner("linux", 0).online();
        scene(job(1).queued_for(seconds)).with(instance("linux", 0), online)
    };
    let young = beside(20).explained();
    assert_eq!((young.failed_step, at(&young, StepName::Assignment).result), (None, StepResult::Ok));
    let (step, evidence, _) = beside(300).failed();
    assert_eq!(step, StepName::Assignment);
    assert_eq!(evidence, "`acme-linux-000` is online and idle, the job queued for 5m: GitHub has not given it yet");
}

// --- without pools --------------------------------------------------------------------------------------------------

fn unpooled(asked: Job, runners: impl IntoIterator<Item = Runner>) -> Scene {
    let mut scene = scene(asked);
    scene.pools.clear();
    scene.known = Known { runners: true, instances: false, by_name: false };
    scene.snapshot.runners = Listing::whole(runners.into_iter().collect());
    scene
}

#[test]
fn without_pools_the_scopes_runners_are_held_against_the_labels() {
    let asked = || job(1).labels("linux gpus");
    let (step, evidence, cure) =
        unpooled(asked(), [Runner { labels: engine::build::labels("linux gpu"), ..runner("x", 0) }]).failed();
    assert_eq!(step, StepName::Labels);
    assert_eq!(
        evidence,
        "label `gpus` is on no runner: of the runners registered at acme (1, 0 of them online) none has it"
    );
    assert!(cure.starts_with("nearest: `gpu`"), "{cure}");

    let fits = || Runner { labels: engine::build::labels("gpus linux"), ..runner("x", 0) };
    assert_eq!(unpooled(asked(), [fits()]).failed().1, "with all of its labels: 0 idle, 0 busy, 1 not online");
    assert_eq!(unpooled(asked(), [fits().online().busy()]).failed().0, StepName::Supply);
    assert_eq!(unpooled(asked().queued_for(300), [fits().online()]).failed().0, StepName::Assignment);
}

#[test]
fn without_pools_runners_that_could_not_be_read_are_unknown() {
    let mut blind = unpooled(job(1), []);
    blind.known.runners = false;
    blind.warnings = vec![Warning::new(WarningCode::RunnersFailed, "runners", "403 forbidden")];
    let explained = blind.explained();
    let step = at(&explained, StepName::Labels);
    assert_eq!((explained.failed_step, step.result), (None, StepResult::Unknown));
    assert!(step.evidence.contains("403 forbidden"), "{}", step.evidence);
}

#[test]
fn an_unresolved_run_could_have_the_id_that_was_not_found() {
    let mut unscanned = scene(job(1));
    unscanned.subject = Subject::Unscanned(9);
    let run = HiddenRun { repository: "acme/api".into(), run_id: RunId(5), status: "queued".into(), since: None };
    unscanned.snapshot.demand.unresolved.push(run);
    assert_eq!(at(&unscanned.explained(), StepName::Visible).result, StepResult::Unknown);
}

#[test]
fn a_repositorys_own_runners_are_not_all_that_could_take_its_jobs() {
    for runners in [vec![], vec![runner("linux", 0)]] {
        let mut scene = unpooled(job(1), runners);
        scene.scope = Scope::Repository("acme/api".into());
        let explained = scene.explained();
        assert_eq!(explained.failed_step, None, "{explained:#?}");
        assert!(explained.verdict.contains("the runners of acme may serve it, too"), "{}", explained.verdict);
    }
}

#[test]
fn jobs_before_this_one_are_a_lower_bound_where_a_part_of_the_scan_was_lost() {
    let mut scene = scene(job(1));
    scene.snapshot.demand.kind = CountKind::AtLeast;
    let said = at(&scene.explained(), StepName::Supply).evidence.clone();
    assert!(said.ends_with("at least 0 jobs wait before this one"), "{said}");
}
