//! Jobs that died with a spot instance which EC2 took back: which ones these are, and which of them are to be re-run.
//!
//! A re-run is somebody else's run changed, so it needs proof: EC2's own reason for the end of the instance whose runner
//! had the job, a job of attempt 1 that failed and did so after its instance was last seen alive, in a run that is
//! completed, failed, and still in attempt 1. What is not proven is not re-run, and no harm is done: a person can.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::fleet::{Instance, InstanceState, Market};
use super::job::{Job, JobState};
use super::names::{InstanceId, JobId, PoolName, RepositoryName, RunId, RunnerName};
use super::plan::{Reason, ReasonCode};
use super::policy::{Policy, Pool};
use super::snapshot::{Listing, Snapshot};
use crate::ages::age;

/// The attempt whose jobs are re-run, so that none is re-run twice.
const FIRST_ATTEMPT: u32 = 1;
/// How long a job is remembered that no list shows: EC2 shows the reason for an hour, GitHub gives the job up after ten
/// minutes, and the rest of its run may take some hours.
const FORGOTTEN: Duration = Duration::from_hours(12);
/// So many jobs are remembered, those that were seen last.
const REMEMBERED: usize = 2_000;

/// A job of attempt 1, seen on a spot instance of ours whose pool re-runs what is interrupted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpotJob {
    /// The repository it belongs to.
    pub repository: RepositoryName,
    /// Its run.
    pub run_id: RunId,
    /// GitHub's id of the job.
    pub job_id: JobId,
    /// The job's name as the workflow gives it.
    pub name: String,
    /// The pool of the instance.
    pub pool: PoolName,
    /// The runner that has it.
    pub runner: RunnerName,
    /// The instance of that runner.
    pub instance_id: InstanceId,
    /// That is known by the runner's name alone, which its successor in the slot has, too.
    #[serde(default)]
    pub is_by_name: bool,
    /// When the job was last seen in a list.
    pub seen_at: Timestamp,
    /// When the instance was last seen alive.
    pub alive_at: Option<Timestamp>,
    /// When EC2 was first seen to say that it took the instance back.
    pub taken_at: Option<Timestamp>,
}

/// What is remembered from one observation to the next; losing it only means that nothing is re-run.
pub type SpotJobs = BTreeMap<JobId, SpotJob>;

/// A run as GitHub shows it by its id, with all jobs of its latest attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LatestAttempt {
    /// Its number, from 1.
    pub attempt: u32,
    /// GitHub's word for where the run stands.
    pub status: String,
    /// GitHub's word for how it ended.
    pub conclusion: Option<String>,
    /// Its jobs.
    pub jobs: Listing<AttemptedJob>,
}

/// A job of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptedJob {
    /// GitHub's id of the job.
    pub id: JobId,
    /// GitHub's word for how it ended.
    pub conclusion: Option<String>,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
}

/// Jobs of one run, to be re-run with one call, and with those that depend on them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rerun {
    /// The repository.
    pub repository: RepositoryName,
    /// The run.
    pub run_id: RunId,
    /// The jobs, by id; never empty. Several: all that failed in the run.
    pub jobs: Vec<SpotJob>,
}

/// What follows for the interrupted jobs of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RerunVerdict {
    /// They are to be re-run.
    Due(Rerun),
    /// It can't be told yet.
    Later,
    /// They never will be by us.
    Never(NoRerun),
}

/// Why interrupted jobs are not re-run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRerun {
    /// The run is not there, or not visible to us.
    Gone,
    /// Somebody has re-run it: it is in this attempt.
    Attempted(u32),
    /// The run did not fail, or not as a whole: it succeeded all the same, or somebody cancelled it.
    NotFailed,
    /// None of them failed by the loss of its instance.
    NoneFailed,
    /// Several were interrupted and others failed by themselves; GitHub re-runs one job, or all that failed.
    OthersFailed,
}

impl fmt::Display for NoRerun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("the run is not there, or not visible with these credentials"),
            Self::Attempted(attempt) => write!(f, "the run was re-run already: it is in attempt {attempt}"),
            Self::NotFailed => f.write_str("the run did not fail, or was cancelled"),
            Self::NoneFailed => f.write_str("the job did not fail by the loss of its instance"),
            Self::OthersFailed => f.write_str(
                "several jobs of the run were interrupted and others failed by themselves; GitHub re-runs either one \
                 job or all that failed, so this is left to a person",
            ),
        }
    }
}

impl Rerun {
    /// Returns why a job of it is re-run.
    #[must_use]
    pub fn reason(job: &SpotJob) -> Reason {
        let said = format!("EC2 took {} back while its runner {} had the job", job.instance_id, job.runner);
        Reason::new(ReasonCode::Interrupted, said)
    }
}

/// Returns what is to be remembered after an observation: the jobs on spot instances, and what became of those.
#[must_use]
pub fn remember_spot_jobs(mut known: SpotJobs, snapshot: &Snapshot, policy: &Policy) -> SpotJobs {
    if snapshot.clock_is_wrong() {
        // When an instance was last alive is held against the time at which GitHub says that its job ended.
        return known;
    }
    let now = snapshot.now;
    for (pool, instance) in spot_instances(snapshot, policy) {
        let Some((job, runner)) = job_on(snapshot, policy, pool, instance) else { continue };
        let is_known = known.get(&job.id).is_some_and(|known| known.instance_id == instance.id);
        if !is_known {
            known.insert(job.id, spot_job(job, pool, runner, instance, now));
        }
    }
    for job in &snapshot.demand.jobs {
        if let Some(known) = known.get_mut(&job.id) {
            known.seen_at = now;
        }
    }
    for job in known.values_mut() {
        let Some(instance) = snapshot.instances.items.iter().find(|one| one.id == job.instance_id) else { continue };
        if is_taken_back(instance) {
            job.taken_at.get_or_insert(now);
        } else if instance.can_run() {
            job.alive_at = Some(now);
        }
    }
    // A clock that was set back proves nothing.
    known.retain(|_, job| job.seen_at <= now && age(now, job.seen_at) < FORGOTTEN);
    let mut latest: Vec<(Timestamp, JobId)> = known.values().map(|job| (job.seen_at, job.job_id)).collect();
    latest.sort_unstable();
    for (_, id) in latest.iter().rev().skip(REMEMBERED) {
        known.remove(id);
    }
    known
}

/// Returns the interrupted jobs whose runs may be over, by run: those of which this observation shows nothing any more.
#[must_use]
pub fn interrupted_runs(known: &SpotJobs, snapshot: &Snapshot) -> BTreeMap<(RepositoryName, RunId), Vec<SpotJob>> {
    if snapshot.clock_is_wrong() {
        return BTreeMap::new();
    }
    let demand = &snapshot.demand;
    let shown = demand.jobs.iter().chain(&demand.ghost_jobs).map(|job| job.run_id);
    let hidden = demand.unresolved.iter().chain(&demand.ghosts).map(|run| run.run_id);
    let going: BTreeSet<RunId> = shown.chain(hidden).collect();
    let mut runs: BTreeMap<_, Vec<SpotJob>> = BTreeMap::new();
    for job in known.values().filter(|job| job.taken_at.is_some() && !going.contains(&job.run_id)) {
        runs.entry((job.repository.clone(), job.run_id)).or_default().push(job.clone());
    }
    runs
}

/// Decides what follows for the interrupted jobs of one run from what GitHub shows of it.
#[must_use]
pub fn judge_rerun(interrupted: &[SpotJob], run: Option<&LatestAttempt>) -> RerunVerdict {
    use RerunVerdict::{Due, Later, Never};
    let Some(run) = run else { return Never(NoRerun::Gone) };
    if run.attempt != FIRST_ATTEMPT {
        return Never(NoRerun::Attempted(run.attempt));
    }
    if run.status != "completed" || !run.jobs.whole {
        return Later;
    }
    if run.conclusion.as_deref() != Some("failure") {
        return Never(NoRerun::NotFailed);
    }
    let ended = |job: &SpotJob| run.jobs.items.iter().find(|ended| ended.id == job.job_id);
    let died = |job: &&SpotJob| ended(job).is_some_and(|ended| is_lost(job, ended));
    let mut jobs: Vec<SpotJob> = interrupted.iter().filter(died).cloned().collect();
    jobs.sort_by_key(|job| job.job_id);
    let Some(first) = jobs.first() else { return Never(NoRerun::NoneFailed) };
    let is_ours = |failed: &&AttemptedJob| jobs.iter().any(|job| job.job_id == failed.id);
    if jobs.len() > 1 && !run.jobs.items.iter().filter(|job| has_failed(job)).all(|job| is_ours(&job)) {
        return Never(NoRerun::OthersFailed);
    }
    Due(Rerun { repository: first.repository.clone(), run_id: first.run_id, jobs })
}

/// Returns whether a job failed, and not before its instance was last seen alive. A job that was cancelled is not one:
/// nobody can tell whether a person did it. One that is known by name alone had begun when its instance was seen alive: else
/// an observation that took long has shown it beside the instance of the runner before.
fn is_lost(job: &SpotJob, ended: &AttemptedJob) -> bool {
    let had_begun = ended.started_at.zip(job.alive_at).is_some_and(|(began, alive)| began <= alive);
    if job.is_by_name && !had_begun {
        return false;
    }
    let is_before = |alive: Timestamp| ended.completed_at.is_none_or(|completed| completed < alive);
    job.taken_at.is_some() && ended.conclusion.as_deref() == Some("failure") && !job.alive_at.is_some_and(is_before)
}

/// Returns whether `rerun-failed-jobs` could run a job again.
fn has_failed(job: &AttemptedJob) -> bool {
    !matches!(job.conclusion.as_deref(), Some("success" | "skipped" | "neutral"))
}

fn is_taken_back(instance: &Instance) -> bool {
    let is_over = matches!(instance.state, InstanceState::ShuttingDown | InstanceState::Terminated);
    is_over && instance.market == Market::Spot && instance.was_taken_back()
}

fn spot_instances<'a>(
    snapshot: &'a Snapshot,
    policy: &'a Policy,
) -> impl Iterator<Item = (&'a Pool, &'a Instance)> + use<'a> {
    let ours = |one: &&Instance| one.market == Market::Spot && one.fleet == policy.fleet;
    let pool_of = |one: &Instance| {
        policy.pools.iter().find(|pool| pool.rerun_interrupted && one.pool.as_ref() == Some(&pool.name))
    };
    snapshot.instances.items.iter().filter(ours).filter_map(move |one| Some((pool_of(one)?, one)))
}

/// Returns the job that the runner of an instance has.
///
/// An id names one runner for ever, but an instance of a scale set's may carry another than REST has. A name is used again,
/// and the job of a machine that is gone is listed for ten minutes more: so it counts only for a machine that runs, and
/// only if the record that has the name now is the job's.
fn job_on<'a>(
    snapshot: &'a Snapshot,
    policy: &Policy,
    pool: &Pool,
    instance: &Instance,
) -> Option<(&'a Job, RunnerName)> {
    let runner = RunnerName::of(&policy.fleet, &pool.name, instance.slot?);
    let id = instance.runner_id?;
    let is_alive = instance.state == InstanceState::Running;
    let named = snapshot.runners.items.iter().find(|record| record.name == runner).map(|record| record.id);
    let mut jobs = snapshot.demand.jobs.iter();
    let job = jobs.find(|job| {
        let by_id = job.runner_id == Some(id) && job.runner_name.as_ref().is_none_or(|name| *name == runner);
        let is_unproven = job.runner_id.is_none_or(|id| pool.has_scale_set && named == Some(id));
        by_id || (is_alive && is_unproven && job.runner_name.as_ref() == Some(&runner))
    })?;
    (job.state == JobState::InProgress && job.attempt == FIRST_ATTEMPT).then_some((job, runner))
}

fn spot_job(job: &Job, pool: &Pool, runner: RunnerName, instance: &Instance, now: Timestamp) -> SpotJob {
    SpotJob {
        repository: job.repository.clone(),
        run_id: job.run_id,
        job_id: job.id,
        name: job.name.clone(),
        pool: pool.name.clone(),
        runner,
        instance_id: instance.id.clone(),
        is_by_name: job.runner_id != instance.runner_id,
        seen_at: now,
        alive_at: None,
        taken_at: None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::build::{instance, job, noon, policy, pool, runner, snapshot};
    use super::super::fleet::Runner;
    use super::super::job::HiddenRun;
    use super::super::names::RunnerId;
    use super::*;

    fn on() -> Policy {
        policy([pool("linux").rerunning()])
    }

    fn spot(slot: u32) -> Instance {
        Instance { market: Market::Spot, ..instance("linux", slot) }
    }

    fn taken(slot: u32) -> Instance {
        let reason = Some(crate::engine::fleet::TAKEN_BACK.to_owned());
        Instance { state_reason: reason, ..spot(slot).in_state(InstanceState::Terminated) }
    }

    fn seen(instances: impl IntoIterator<Item = Instance>, jobs: impl IntoIterator<Item = Job>) -> Snapshot {
        let mut seen = snapshot();
        seen.instances = Listing::whole(instances.into_iter().collect());
        seen.demand.jobs.extend(jobs);
        seen
    }

    fn at(mut seen: Snapshot, after: Duration) -> Snapshot {
        seen.now = noon() + after;
        seen
    }

    fn known(seen: &Snapshot, policy: &Policy) -> SpotJobs {
        remember_spot_jobs(SpotJobs::new(), seen, policy)
    }

    /// Returns what is remembered of a job after its instance ran at noon and was taken back a minute later.
    fn interrupted() -> SpotJobs {
        let before = known(&seen([spot(0)], [job(1).on(100)]), &on());
        remember_spot_jobs(before, &at(seen([taken(0)], [job(1).on(100)]), Duration::from_mins(1)), &on())
    }

    /// Returns the record that has the name of slot 0.
    fn record(id: u64) -> Runner {
        Runner { id: RunnerId(id), ..runner("linux", 0) }
    }

    fn named(job: Job, name: &str) -> Job {
        Job { state: JobState::InProgress, runner_name: Some(RunnerName::new(name)), ..job }
    }

    #[test]
    fn a_job_on_a_spot_instance_is_remembered_with_both_its_ends() {
        let known = interrupted();
        let one = &known[&JobId(1)];
        assert_eq!((one.alive_at, one.taken_at), (Some(noon()), Some(noon() + Duration::from_mins(1))));
        assert_eq!((one.runner.as_str(), one.instance_id.as_str()), ("acme-linux-000", "i-linux-0"));
        let later = at(seen([taken(0)], []), Duration::from_mins(30));
        assert_eq!(remember_spot_jobs(known.clone(), &later, &on()), known, "the first time counts");
        assert_eq!(interrupted_runs(&known, &later).len(), 1);
    }

    #[test]
    fn nothing_else_is_remembered() {
        let ours = || job(1).on(100);
        assert_eq!(known(&seen([spot(0)], [ours()]), &on()).len(), 1);
        let foreign = Instance { fleet: "other".into(), ..spot(0) };
        for (what, seen, policy) in [
            ("it is switched off", seen([spot(0)], [ours()]), policy([pool("linux")])),
            ("on demand", seen([instance("linux", 0)], [ours()]), on()),
            ("another fleet's", seen([foreign], [ours()]), on()),
            ("another pool's", seen([spot(0)], [ours()]), policy([pool("mac").rerunning()])),
            ("a second attempt", seen([spot(0)], [Job { attempt: 2, ..ours() }]), on()),
            ("it only waits", seen([spot(0)], [job(1)]), on()),
            ("another runner's", seen([spot(0)], [job(1).on(7)]), on()),
            ("another name's", seen([spot(0)], [named(ours(), "acme-linux-001")]), on()),
            ("a name alone, of a machine that is gone", seen([taken(0)], [named(job(1), "acme-linux-000")]), on()),
        ] {
            assert!(known(&seen, &policy).is_empty(), "{what}");
        }
    }

    #[test]
    fn a_name_that_is_used_again_is_no_proof_against_another_runner() {
        let second = Job { runner_id: Some(RunnerId(500)), ..named(job(2), "acme-linux-000") };
        assert!(known(&seen([taken(0)], [second.clone()]), &on()).is_empty());
        let of_set = policy([pool("linux").rerunning().with_scale_set()]);
        assert!(known(&seen([taken(0)], [second.clone()]), &of_set).is_empty());
        let next = Instance { id: InstanceId::new("i-next"), runner_id: Some(RunnerId(9)), ..spot(0) };
        let known = known(&seen([taken(0), next], [second]).runner(record(500)), &of_set);
        assert_eq!((known[&JobId(2)].instance_id.as_str(), known[&JobId(2)].taken_at), ("i-next", None));
    }

    #[test]
    fn a_job_whose_runner_is_gone_is_not_its_successors_in_the_same_slot() {
        let of_set = policy([pool("linux").rerunning().with_scale_set()]);
        let next = || Instance { id: InstanceId::new("i-next"), runner_id: Some(RunnerId(9)), ..spot(0) };
        let lost = || Job { runner_id: Some(RunnerId(100)), ..named(job(1), "acme-linux-000") };
        let before = known(&seen([spot(0)], [lost()]).runner(record(100)), &of_set);
        for succeeded in [seen([taken(0), next()], [lost()]).runner(record(9)), seen([taken(0), next()], [lost()])] {
            let known = remember_spot_jobs(before.clone(), &succeeded, &of_set);
            assert_eq!(known[&JobId(1)].instance_id.as_str(), "i-linux-0");
            assert!(known[&JobId(1)].taken_at.is_some(), "its own proof is kept");
        }
        let successor_taken = Instance { state_reason: taken(0).state_reason, ..next() };
        let foreign = seen([successor_taken.in_state(InstanceState::Running)], [lost()]).runner(record(9));
        assert!(known(&foreign, &of_set).is_empty(), "and the successor's end would prove nothing");
    }

    #[test]
    fn only_ec2s_own_reason_is_proof() {
        let before = known(&seen([spot(0)], [job(1).on(100)]), &on());
        let other = Some("Client.UserInitiatedShutdown".to_owned());
        for instance in [
            Instance { state_reason: None, ..taken(0) },
            Instance { state_reason: other, ..taken(0) },
            Instance { market: Market::OnDemand, ..taken(0) },
            Instance { state: InstanceState::Running, ..taken(0) },
        ] {
            let known = remember_spot_jobs(before.clone(), &seen([instance.clone()], []), &on());
            assert_eq!(interrupted_runs(&known, &seen([], [])).len(), 0, "{instance:?}");
        }
    }

    #[test]
    fn a_run_of_which_anything_is_shown_is_not_over() {
        let known = interrupted();
        let run = RunId(10);
        assert_eq!(interrupted_runs(&known, &snapshot()).len(), 1);
        let sibling = Job { run_id: run, ..job(2) };
        assert!(interrupted_runs(&known, &snapshot().job(sibling.clone())).is_empty());
        let hidden = HiddenRun { repository: "acme/api".into(), run_id: run, status: "queued".into(), since: None };
        let (mut unresolved, mut ghost, mut ghosts) = (snapshot(), snapshot(), snapshot());
        unresolved.demand.unresolved.push(hidden.clone());
        ghosts.demand.ghosts.push(hidden);
        ghost.demand.ghost_jobs.push(sibling);
        for seen in [unresolved, ghost, ghosts] {
            assert!(interrupted_runs(&known, &seen).is_empty(), "{:?}", seen.demand);
        }
    }

    #[test]
    fn what_no_list_shows_is_forgotten_after_half_a_day_and_the_oldest_first() {
        let known = interrupted();
        let after =
            |hours| remember_spot_jobs(known.clone(), &at(snapshot(), Duration::from_hours(hours)), &on()).len();
        assert_eq!((after(12), after(13)), (1, 0));
        let shown = at(seen([], [job(1).on(100)]), Duration::from_hours(20));
        assert_eq!(remember_spot_jobs(SpotJobs::new(), &shown, &on()).len(), 0);
        let early = Snapshot { now: noon() - Duration::from_hours(1), ..snapshot() };
        assert!(remember_spot_jobs(known.clone(), &early, &on()).is_empty(), "a clock that was set back");
        let mut many = SpotJobs::new();
        for id in 1..=3000_u32 {
            let seen_at = noon() - Duration::from_secs(u64::from(id));
            many.insert(JobId(id.into()), SpotJob { job_id: JobId(id.into()), seen_at, ..known[&JobId(1)].clone() });
        }
        let kept = remember_spot_jobs(many, &snapshot(), &on());
        assert_eq!((kept.len(), kept.last_key_value().map(|(id, _)| id.0)), (REMEMBERED, Some(2000)));
    }

    // --- the verdict ------------------------------------------------------------------------------------------------

    fn ended(id: u64, conclusion: &str) -> AttemptedJob {
        let completed_at = Some(noon() + Duration::from_mins(11));
        let started_at = Some(noon() - Duration::from_mins(1));
        AttemptedJob { id: JobId(id), conclusion: Some(conclusion.to_owned()), started_at, completed_at }
    }

    fn run(jobs: impl IntoIterator<Item = AttemptedJob>) -> LatestAttempt {
        LatestAttempt {
            attempt: 1,
            status: "completed".into(),
            conclusion: Some("failure".into()),
            jobs: Listing::whole(jobs.into_iter().collect()),
        }
    }

    fn two() -> Vec<SpotJob> {
        let one = interrupted()[&JobId(1)].clone();
        vec![SpotJob { job_id: JobId(2), ..one.clone() }, one]
    }

    #[track_caller]
    fn due(verdict: &RerunVerdict) -> Vec<u64> {
        let RerunVerdict::Due(rerun) = verdict else { panic!("{verdict:?}") };
        rerun.jobs.iter().map(|job| job.job_id.0).collect()
    }

    #[test]
    fn one_is_due_beside_whatever_failed_and_several_where_nothing_else_did() {
        let two = two();
        let one = &two[1..];
        assert_eq!(due(&judge_rerun(one, Some(&run([ended(1, "failure")])))), [1]);
        assert_eq!(due(&judge_rerun(one, Some(&run([ended(1, "failure"), ended(3, "failure")])))), [1]);
        let both = [ended(1, "failure"), ended(2, "failure"), ended(3, "success"), ended(4, "skipped")];
        assert_eq!(due(&judge_rerun(&two, Some(&run(both.clone())))), [1, 2]);
        for other in ["failure", "cancelled", "timed_out", "a new word"] {
            let others = both.iter().cloned().chain([ended(5, other)]);
            assert_eq!(judge_rerun(&two, Some(&run(others))), RerunVerdict::Never(NoRerun::OthersFailed), "{other}");
        }
        let half = [ended(1, "failure"), ended(2, "success"), ended(3, "failure")];
        assert_eq!(due(&judge_rerun(&two, Some(&run(half)))), [1], "the other one succeeded");
    }

    #[test]
    fn whatever_is_not_proven_is_not_due() {
        let two = two();
        let one = &two[1..];
        let good = || run([ended(1, "failure")]);
        let concluded = |word: &str| LatestAttempt { conclusion: Some(word.into()), ..good() };
        let early = AttemptedJob { completed_at: Some(noon() - Duration::from_secs(1)), ..ended(1, "failure") };
        let untold = AttemptedJob { completed_at: None, ..ended(1, "failure") };
        for (run, why) in [
            (None, NoRerun::Gone),
            (Some(LatestAttempt { attempt: 2, ..good() }), NoRerun::Attempted(2)),
            (Some(LatestAttempt { attempt: 0, ..good() }), NoRerun::Attempted(0)),
            (Some(concluded("cancelled")), NoRerun::NotFailed),
            (Some(concluded("success")), NoRerun::NotFailed),
            (Some(LatestAttempt { conclusion: None, ..good() }), NoRerun::NotFailed),
            (Some(run([ended(1, "cancelled")])), NoRerun::NoneFailed),
            (Some(run([ended(1, "success")])), NoRerun::NoneFailed),
            (Some(run([ended(2, "failure")])), NoRerun::NoneFailed),
            (Some(run([early])), NoRerun::NoneFailed),
            (Some(run([untold])), NoRerun::NoneFailed),
        ] {
            assert_eq!(judge_rerun(one, run.as_ref()), RerunVerdict::Never(why), "{run:?}");
        }
        let by_name = SpotJob { is_by_name: true, ..one[0].clone() };
        assert_eq!(due(&judge_rerun(std::slice::from_ref(&by_name), Some(&good()))), [1]);
        let began_later = AttemptedJob { started_at: Some(noon() + Duration::from_mins(1)), ..ended(1, "failure") };
        let judged = judge_rerun(&[by_name], Some(&run([began_later])));
        assert_eq!(judged, RerunVerdict::Never(NoRerun::NoneFailed), "it was on the next instance of the slot");
        let alive = SpotJob { taken_at: None, ..one[0].clone() };
        assert_eq!(judge_rerun(&[alive], Some(&good())), RerunVerdict::Never(NoRerun::NoneFailed));
        for later in [
            LatestAttempt { status: "in_progress".into(), conclusion: None, ..good() },
            LatestAttempt { jobs: Listing::partial(vec![ended(1, "failure")]), ..good() },
        ] {
            assert_eq!(judge_rerun(one, Some(&later)), RerunVerdict::Later, "{later:?}");
        }
    }
}
