//! Runs: which jobs belong together, in which attempt they are, and what GitHub shows of it. Held against it: which jobs
//! may be re-run by us, and which must be.

use std::collections::{BTreeMap, BTreeSet};

use ghascale::engine::{
    AttemptedJob, InstanceState, JobId, JobState, LatestAttempt, Listing, Market, RunId, Snapshot, SpotJobs,
};

use super::history::{Ms, SECOND};
use super::world::World;

/// EC2's reason for the end of a spot instance that it took back.
pub(crate) const TAKEN_BACK: &str = "Server.SpotInstanceTermination";
/// Clocks apart, and as long as a list is on its way.
const APART: Ms = 5 * SECOND;

/// A run of one to three jobs.
pub(crate) struct Run {
    pub(crate) id: RunId,
    pub(crate) attempt: u32,
    /// The attempts that somebody cancelled.
    pub(crate) cancelled: BTreeSet<u32>,
    /// From here on the number of its attempt is shown.
    pub(crate) shown_from: Ms,
    /// GitHub has refused a call about it for good: whoever heard that leaves it to a person.
    pub(crate) is_refused: bool,
    /// At which of its steps each operator looked at it last, and which attempt it was shown.
    pub(crate) looked: BTreeMap<usize, (u64, u32)>,
}

impl World {
    /// Returns which memory of jobs on spot instances an operator has.
    pub(crate) fn memory_of(&self, operator: usize) -> usize {
        if self.operators[operator].shares_memory { 0 } else { operator }
    }

    pub(crate) fn memory(&mut self, operator: usize) -> &mut SpotJobs {
        self.memories.entry(self.memory_of(operator)).or_default()
    }

    pub(crate) fn run_with(&self, id: RunId) -> Option<usize> {
        self.runs.iter().position(|run| run.id == id)
    }

    /// Begins a run without jobs.
    pub(crate) fn begin_run(&mut self) -> usize {
        self.runs.push(Run {
            id: RunId((self.jobs.len() as u64 + 1) * 10),
            attempt: 1,
            cancelled: BTreeSet::new(),
            shown_from: 0,
            is_refused: false,
            looked: BTreeMap::new(),
        });
        self.runs.len() - 1
    }

    /// Returns the jobs of an attempt of a run.
    fn jobs_of(&self, run: usize, attempt: u32) -> impl Iterator<Item = usize> {
        (0..self.jobs.len()).filter(move |nth| self.jobs[*nth].run == run && self.jobs[*nth].attempt == attempt)
    }

    pub(crate) fn latest_jobs(&self, run: usize) -> Vec<usize> {
        self.jobs_of(run, self.runs[run].attempt).collect()
    }

    pub(crate) fn is_over(&self, run: usize) -> bool {
        self.jobs_of(run, self.runs[run].attempt).all(|nth| self.jobs[nth].ended.is_some())
    }

    fn conclusion(&self, run: usize, attempt: u32) -> &'static str {
        let has_failed = self.jobs_of(run, attempt).any(|nth| self.jobs[nth].conclusion == Some("failure"));
        match (self.runs[run].cancelled.contains(&attempt), has_failed) {
            (true, _) => "cancelled",
            (false, true) => "failure",
            (false, false) => "success",
        }
    }

    /// Returns a run as GitHub shows it. A new attempt may be shown late, but not later than its end.
    pub(crate) fn latest_attempt(&self, run: usize) -> LatestAttempt {
        let Run { attempt, shown_from, .. } = self.runs[run];
        let is_late = attempt > 1 && self.now < shown_from && !self.is_over(run);
        let attempt = if is_late { attempt - 1 } else { attempt };
        let is_over = is_late || self.is_over(run);
        let job = |nth: usize| AttemptedJob {
            id: JobId(self.jobs[nth].id),
            conclusion: self.jobs[nth].conclusion.map(str::to_owned),
            started_at: Some(Self::at(self.jobs[nth].started)),
            completed_at: self.jobs[nth].ended.map(Self::at),
        };
        LatestAttempt {
            attempt,
            status: if is_over { "completed" } else { "in_progress" }.into(),
            conclusion: is_over.then(|| self.conclusion(run, attempt).to_owned()),
            jobs: Listing::whole(self.jobs_of(run, attempt).map(job).collect()),
        }
    }

    /// Begins a run's next attempt.
    pub(crate) fn run_again(&mut self, run: usize, jobs: &[usize]) {
        let late = self.numbers_late.pop_front().unwrap_or(0);
        self.runs[run].attempt += 1;
        self.runs[run].shown_from = self.now + late;
        for nth in jobs {
            let (labels, lasts) = (self.jobs[*nth].labels.clone(), self.jobs[*nth].lasts);
            self.queue_job(run, labels, lasts);
        }
    }

    /// Somebody re-runs the job that ended last, if its run is over.
    pub(crate) fn rerun_by_hand(&mut self) {
        let ended = (0..self.jobs.len()).filter(|nth| self.jobs[*nth].ended.is_some());
        let last = ended.max_by_key(|nth| (self.jobs[*nth].ended, self.jobs[*nth].id));
        if let Some(last) = last.filter(|nth| self.is_over(self.jobs[*nth].run)) {
            self.run_again(self.jobs[last].run, &[last]);
        }
    }

    /// Re-runs one job on our demand, or all that failed.
    pub(crate) fn rerun_by_us(
        &mut self,
        operator: usize,
        step: u64,
        run: usize,
        only: Option<usize>,
    ) -> Result<(), &'static str> {
        if !self.is_over(run) {
            return Err("This workflow run is already running");
        }
        let failed = |nth: &usize| self.jobs[*nth].conclusion != Some("success");
        let jobs: Vec<usize> = match only {
            Some(job) => vec![job],
            None => self.latest_jobs(run).into_iter().filter(failed).collect(),
        };
        if let Some(why) = self.why_not(operator, step, run, &jobs) {
            self.violated(format!("run {} was re-run by operator {operator}, and {why}", self.runs[run].id));
        }
        self.run_again(run, &jobs);
        Ok(())
    }

    /// Returns what stands against a re-run of ours.
    fn why_not(&self, operator: usize, step: u64, run: usize, jobs: &[usize]) -> Option<String> {
        let Run { attempt, cancelled, looked, .. } = &self.runs[run];
        if *attempt > 1 {
            // What happens between a look and the very next call nobody can know.
            let is_unknown = looked.get(&operator).is_some_and(|(at, shown)| *shown == 1 && at + 2 == step);
            return (!is_unknown).then(|| format!("it is in attempt {attempt}"));
        }
        if cancelled.contains(attempt) {
            return Some("somebody had cancelled it".into());
        }
        if let Some(why) = jobs.iter().find_map(|nth| self.is_not_interrupted(operator, *nth)) {
            return Some(why);
        }
        let owed = self.latest_jobs(run).into_iter().find(|nth| self.is_owed(*nth) && !jobs.contains(nth))?;
        (self.operators.len() == 1).then(|| format!("its job {} was left out", self.jobs[owed].id))
    }

    /// Returns why a job is not one that died with an instance which EC2 took back.
    fn is_not_interrupted(&self, operator: usize, nth: usize) -> Option<String> {
        let job = &self.jobs[nth];
        let said = |what: &str| Some(format!("its job {} {what}", job.id));
        let Some(machine) = job.machine.map(|machine| &self.machines[machine]) else { return said("never ran") };
        if !machine.pool.is_some_and(|pool| self.pools[pool].reruns) {
            return said("is of a pool that re-runs nothing");
        }
        if machine.reason != Some(TAKEN_BACK) {
            return said("had an instance that EC2 did not take back");
        }
        if job.conclusion != Some("failure") {
            return said("did not fail");
        }
        let seen_alive = machine.seen_alive.get(&self.memory_of(operator)).copied().unwrap_or(0);
        let failed_before = !job.is_lost && job.ended.is_some_and(|ended| ended + APART < seen_alive);
        if failed_before { said("had failed before its instance was taken back") } else { None }
    }

    /// An operator takes in what it was shown at a time: which jobs it then knows to be on spot instances, and of which
    /// it knows that EC2 took those back.
    pub(crate) fn taken_in(&mut self, operator: usize, at: Ms, seen: &Snapshot) {
        let memory = self.memory_of(operator);
        // Clocks apart make one operator forget what another has just noted.
        let is_alone = self.operators.iter().all(|one| !one.shares_memory);
        for instance in &seen.instances.items {
            let Some(nth) = self.machines.iter().position(|machine| machine.id == instance.id) else { continue };
            let reruns = self.machines[nth].pool.is_some_and(|pool| self.pools[pool].reruns);
            if matches!(instance.state, InstanceState::Pending | InstanceState::Running) {
                self.machines[nth].seen_alive.insert(memory, at);
            }
            let is_taken = !self.machines[nth].is_live() && instance.state_reason.as_deref() == Some(TAKEN_BACK);
            for job in self.jobs.iter_mut().filter(|job| job.machine == Some(nth) && job.attempt == 1) {
                let is_shown = seen.demand.jobs.iter().any(|shown| {
                    let has_runner = shown.runner_id == instance.runner_id && shown.state == JobState::InProgress;
                    shown.id.0 == job.id && has_runner
                });
                if is_alone && is_shown && reruns && instance.market == Market::Spot {
                    job.known_to.insert(memory);
                }
                if is_taken && job.known_to.contains(&memory) {
                    job.proven_to.insert(memory);
                }
            }
        }
    }

    /// Returns whether a job that died with its instance is to be re-run by us, by all that we were shown.
    pub(crate) fn is_owed(&self, nth: usize) -> bool {
        let run = self.jobs[nth].run;
        let is_proven = |nth: &usize| !self.jobs[*nth].proven_to.is_empty();
        let has_failed = |nth: &usize| is_proven(nth) && self.jobs[*nth].conclusion == Some("failure");
        let is_lost = |nth: &usize| has_failed(nth) && self.jobs[*nth].is_lost;
        let Run { attempt, is_refused, .. } = self.runs[run];
        if attempt > 1 || is_refused || !is_lost(&nth) || !self.is_over(run) || self.conclusion(run, 1) != "failure" {
            return false;
        }
        let (ours, others): (Vec<usize>, Vec<usize>) = self.latest_jobs(run).into_iter().partition(is_lost);
        // Just before its instance was taken back a job may have failed by itself, and nobody can tell.
        let is_unclear = others.iter().any(has_failed);
        // And of several, each operator may know some.
        let knows_all = |memory: &usize| ours.iter().all(|nth| self.jobs[*nth].proven_to.contains(memory));
        if !self.jobs[nth].proven_to.iter().any(knows_all) {
            return false;
        }
        // GitHub re-runs one job, or all that failed.
        let is_alone = ours.len() == 1 && !is_unclear;
        is_alone || others.iter().all(|nth| self.jobs[*nth].conclusion == Some("success"))
    }
}
