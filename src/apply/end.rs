//! Ending: a record is looked at once more before it is deleted, and an instance goes only after its record.
//!
//! GitHub's DELETE is the last guard, not the first: it has answered 204 for runners in the middle of a job
//! (terraform-aws-github-runner#5085). What it deletes here was offline for minutes, or idle in two sightings and without a
//! job in a look just before; and what could still be running is not ended in the same pass, but noted as without a record.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use futures::{StreamExt, stream};
use jiff::Timestamp;

use super::{ENDING, Executor, Lessons, Outcome, Paces, Result};
use crate::ages::{age, short};
use crate::ec2::{self, ErrorClass};
use crate::engine::{Action, Connection, Demand, InstanceId, JOBS_LAST, ReasonCode, Runner, RunnerId, Step};
use crate::github;
use crate::services::{Clock, Instances, Removed, RunnerRecords};

/// The most instances that one call ends.
const BATCH: usize = 100;
/// How many records are looked at at once before a batch goes.
const LOOKS_AT_ONCE: usize = 6;
/// After so many calls in a row that EC2 did not take, throttled, unanswered or not permitted, what is left waits for the next
/// run.
const NOT_TAKEN: u32 = 3;

/// Times that a mark is sent while another of the same instance is in its way.
const MARK_SENDS: u32 = 3;
/// A look at the jobs is not repeated for so long.
const LOOKED_JUST_NOW: Duration = Duration::from_secs(5);

/// A look at the jobs.
#[derive(Debug)]
pub(super) struct JobsSeen {
    began_at: Timestamp,
    read_at: Timestamp,
    /// What was seen, or why nothing was.
    demand: std::result::Result<Demand, String>,
}

/// An instance that is to be ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct End<'a> {
    /// Where in the plan.
    pub(super) nth: usize,
    pub(super) action: &'a Action,
    pub(super) instance_id: &'a InstanceId,
    /// The record that must be gone first.
    pub(super) record: Option<RunnerId>,
}

impl<R: RunnerRecords, I: Instances, C: Clock> Executor<'_, R, I, C> {
    /// Deletes a record; it joins those that are gone if that is done.
    pub(super) async fn deregister(
        &self,
        action: &Action,
        id: RunnerId,
        instance: Option<&InstanceId>,
        gone: &mut BTreeSet<RunnerId>,
        lessons: &RefCell<Lessons>,
    ) -> Outcome {
        if let Some(outcome) = self.halted(action, lessons) {
            return outcome;
        }
        let outcome = self.look_and_remove(action, id, instance, lessons).await;
        if outcome.result == Result::Done {
            gone.insert(id);
        }
        Outcome { runner_id: Some(id), ..outcome }
    }

    /// Sets a note on an instance, or clears it.
    pub(super) async fn mark(&self, action: &Action, gone: &BTreeSet<RunnerId>, lessons: &RefCell<Lessons>) -> Outcome {
        let Step::Mark { instance_id, mark, set, record } = &action.step else {
            return self.failed(action, "no mark");
        };
        if let Some(outcome) = self.stands_against(action, instance_id, *record, gone, lessons).await {
            return outcome;
        }
        let mut sends = 0;
        loop {
            sends += 1;
            // The time is taken after the look: the record is gone by then.
            match self.instances.mark(instance_id, *mark, set.then(|| self.clock.now())).await {
                Ok(request_id) => return Outcome { request_id, ..self.outcome(action, Result::Done) },
                // Two marks of one instance can meet; a mark that is set again is the same mark.
                Err(error) if error.code == "ConcurrentTagAccess" && sends < MARK_SENDS => {
                    self.clock.sleep(self.pause(sends)).await;
                }
                Err(error) => return self.refused_by_ec2(action, &error, lessons),
            }
        }
    }

    /// Ends instances, when all records are gone that go in this run; returns what became of each.
    pub(super) async fn end_all(
        &self,
        ends: &[End<'_>],
        gone: &BTreeSet<RunnerId>,
        lessons: &RefCell<Lessons>,
    ) -> Vec<(usize, Outcome)> {
        let mut outcomes = Vec::new();
        for batch in ends.chunks(BATCH) {
            let looks = stream::iter(batch).map(|end| self.look(end, gone, lessons)).buffered(LOOKS_AT_ONCE);
            let looks: Vec<Option<Outcome>> = looks.collect().await;
            let mut due = Vec::new();
            for (end, outcome) in batch.iter().zip(looks) {
                match outcome.or_else(|| self.halted(end.action, lessons)) {
                    Some(outcome) => outcomes.push(self.told(end, outcome)),
                    None => due.push(end),
                }
            }
            if due.is_empty() {
                continue;
            }
            match self.terminate(&due, lessons).await {
                // Refused, it may be for one of them; unanswered, it may be done, and to end an instance again changes
                // nothing. Only what was throttled would be throttled the more.
                Err(error) if due.len() > 1 && !error.is_throttle() => {
                    for end in due {
                        let outcome = self.end_alone(end, gone, lessons).await;
                        outcomes.push(self.told(end, outcome));
                    }
                }
                answer => {
                    let outcome = |end| self.told(end, self.answered(end, &answer, lessons));
                    outcomes.extend(due.into_iter().map(outcome));
                }
            }
        }
        outcomes
    }

    async fn end_alone(&self, end: &End<'_>, gone: &BTreeSet<RunnerId>, lessons: &RefCell<Lessons>) -> Outcome {
        if let Some(outcome) = self.look(end, gone, lessons).await {
            return outcome;
        }
        let answer = self.terminate(&[end], lessons).await;
        self.answered(end, &answer, lessons)
    }

    /// Looks at what must be true of an end at this moment; returns how it ends where it isn't.
    async fn look(&self, end: &End<'_>, gone: &BTreeSet<RunnerId>, lessons: &RefCell<Lessons>) -> Option<Outcome> {
        if lessons.borrow().ends_not_taken >= NOT_TAKEN {
            let why = format!("not tried: EC2 took none of the last {NOT_TAKEN} calls to end instances");
            return Some(self.skipped(end.action, why));
        }
        self.stands_against(end.action, end.instance_id, end.record, gone, lessons).await
    }

    /// Sends one call for instances that were looked at, at EC2's pace.
    async fn terminate(
        &self,
        ends: &[&End<'_>],
        lessons: &RefCell<Lessons>,
    ) -> std::result::Result<Option<String>, ec2::Error> {
        let ids: Vec<InstanceId> = ends.iter().map(|end| end.instance_id.clone()).collect();
        let wait = self.paces.borrow_mut().wait_to_end(&ids, self.clock.now());
        self.keep_pace(wait).await;
        let answer = self.instances.terminate(&ids).await;
        if answer.as_ref().is_err_and(ec2::Error::is_throttle) {
            self.paces.borrow_mut().ends_throttled(self.clock.now());
        }
        lessons.borrow_mut().learn_of_ends(answer.as_ref().err());
        answer
    }

    /// Returns what EC2's answer to a call means for one of its instances.
    fn answered(
        &self,
        end: &End<'_>,
        answer: &std::result::Result<Option<String>, ec2::Error>,
        lessons: &RefCell<Lessons>,
    ) -> Outcome {
        let done = |request_id| Outcome { request_id, ..self.outcome(end.action, Result::Done) };
        match answer {
            Ok(request_id) => done(request_id.clone()),
            Err(error) if error.class == ErrorClass::InstanceMissing => done(error.request_id.clone()),
            Err(error) => self.refused_by_ec2(end.action, error, lessons),
        }
    }

    fn told(&self, end: &End<'_>, outcome: Outcome) -> (usize, Outcome) {
        self.listener.ended(&outcome);
        (end.nth, outcome)
    }

    /// Returns how an action ends because nothing more is tried in this run.
    fn halted(&self, action: &Action, lessons: &RefCell<Lessons>) -> Option<Outcome> {
        if (self.is_stopping)() {
            return Some(self.skipped(action, ENDING));
        }
        lessons.borrow().halted.as_ref().map(|why| self.skipped(action, why))
    }

    /// Returns how an action ends that must not go on: nothing more is tried, or its instance's record is still there or can't
    /// be looked at.
    ///
    /// A list of several pages can miss a record; the record itself can't be missed. Gone, it stays so: GitHub gives no id
    /// twice.
    async fn stands_against(
        &self,
        action: &Action,
        instance: &InstanceId,
        record: Option<RunnerId>,
        gone: &BTreeSet<RunnerId>,
        lessons: &RefCell<Lessons>,
    ) -> Option<Outcome> {
        if let Some(outcome) = self.halted(action, lessons) {
            return Some(outcome);
        }
        let record = record.filter(|record| !gone.contains(record))?;
        match self.runners.runner(record).await {
            Ok(None) => None,
            Ok(Some(_)) => Some(self.skipped(action, format!("the runner of {instance} is registered"))),
            Err(error) => Some(self.refused_by_github(action, &error, lessons)),
        }
    }

    async fn look_and_remove(
        &self,
        action: &Action,
        id: RunnerId,
        instance: Option<&InstanceId>,
        lessons: &RefCell<Lessons>,
    ) -> Outcome {
        match self.runners.runner(id).await {
            Err(error) => self.refused_by_github(action, &error, lessons),
            Ok(None) => self.outcome(action, Result::Done),
            Ok(Some(runner)) => match still_holds(action.reason.code, &runner) {
                Err(why) => self.skipped(action, why),
                Ok(()) => match self.no_instance_came(action.reason.code, id, instance).await {
                    Err(why) => self.skipped(action, why),
                    Ok(()) => match self.no_job_came(action, &runner, lessons).await {
                        Err(why) => self.skipped(action, why),
                        // That look may have taken minutes.
                        Ok(()) => match self.halted(action, lessons) {
                            Some(outcome) => outcome,
                            None => self.remove(action, id, lessons).await,
                        },
                    },
                },
            },
        }
    }

    /// Before a runner is removed that was connected, the jobs are read once more: it may have been given one since the
    /// plan was made, which GitHub's `busy` shows a minute later. The removal itself would kill that job: a runner whose
    /// session ends cancels what it does (actions/runner, `JobDispatcher`), and GitHub grants it all the same.
    ///
    /// What remains is what GitHub gives it, or doesn't list yet, between this look and the removal.
    async fn no_job_came(
        &self,
        action: &Action,
        runner: &Runner,
        lessons: &RefCell<Lessons>,
    ) -> std::result::Result<(), String> {
        if !is_idle(action) {
            return Ok(());
        }
        let is_fresh = |seen: &JobsSeen| age(self.clock.now(), seen.read_at) < LOOKED_JUST_NOW;
        if !lessons.borrow().jobs.as_ref().is_some_and(is_fresh) {
            let began_at = self.clock.now();
            let demand = self.jobs.read().await.map_err(|error| error.to_string());
            lessons.borrow_mut().jobs = Some(JobsSeen { began_at, read_at: self.clock.now(), demand });
        }
        let lessons = lessons.borrow();
        let Some(JobsSeen { began_at, demand, .. }) = &lessons.jobs else {
            return Err("the jobs are not known".into());
        };
        let demand = demand.as_ref().map_err(|error| format!("the jobs could not be read again: {error}"))?;
        if let Some(why) = demand.hides_jobs() {
            return Err(format!("looked at once more, {why}"));
        }
        if let Some(job) = demand.by_runner().of(Some(runner.id), Some(&runner.name)) {
            return Err(format!("it has been given job {} of {}", job.id, job.repository));
        }
        let since = age(self.clock.now(), *began_at);
        if since > JOBS_LAST {
            return Err(format!("to read the jobs again took {}: it may have one", short(since)));
        }
        Ok(())
    }

    /// A record without an instance is looked up on EC2 once more: a fresh instance may be missing from lists for a
    /// minute (EC2's eventual consistency).
    async fn no_instance_came(
        &self,
        reason: ReasonCode,
        id: RunnerId,
        instance: Option<&InstanceId>,
    ) -> std::result::Result<(), String> {
        if reason != ReasonCode::OrphanRunner || instance.is_some() {
            return Ok(());
        }
        match self.instances.launched_for(id).await {
            Ok(None) => Ok(()),
            Ok(Some(instance)) => Err(format!("its instance {instance} is there after all")),
            Err(error) => Err(format!("its instance could not be looked up: {error}")),
        }
    }

    async fn remove(&self, action: &Action, id: RunnerId, lessons: &RefCell<Lessons>) -> Outcome {
        match self.runners.remove(id).await {
            Ok(Removed::Gone { request_id } | Removed::Absent { request_id }) => {
                Outcome { request_id, ..self.outcome(action, Result::Done) }
            }
            Ok(Removed::Busy { request_id }) => {
                Outcome { request_id, ..self.skipped(action, "GitHub says that it is running a job") }
            }
            Err(error) => self.refused_by_github(action, &error, lessons),
        }
    }

    fn refused_by_ec2(&self, action: &Action, error: &ec2::Error, lessons: &RefCell<Lessons>) -> Outcome {
        // What EC2 doesn't permit for one instance it may permit for another.
        if error.class == ErrorClass::Credentials && !error.is_denied() {
            lessons.borrow_mut().halted = Some(format!("not tried, because EC2 refused the credentials: {error}"));
        }
        Outcome { request_id: error.request_id.clone(), ..self.failed(action, error.to_string()) }
    }

    fn refused_by_github(&self, action: &Action, error: &github::Error, lessons: &RefCell<Lessons>) -> Outcome {
        if error.kind == github::ErrorKind::Unauthorized {
            lessons.borrow_mut().halted = Some(format!("not tried, because GitHub refused the credentials: {error}"));
        }
        Outcome { request_id: error.request_id.clone(), ..self.failed(action, error.to_string()) }
    }
}

/// Returns whether an action ends a runner that was connected: that it is idle is what the jobs say, too.
fn is_idle(action: &Action) -> bool {
    matches!(action.reason.code, ReasonCode::Expired | ReasonCode::Surplus)
}

/// Returns whether a record is still as it was when its end was decided, or what has changed.
fn still_holds(reason: ReasonCode, runner: &Runner) -> std::result::Result<(), &'static str> {
    match reason {
        ReasonCode::OrphanRunner | ReasonCode::BootFailed => match runner.connection {
            Connection::Online => Err("it is online now"),
            Connection::Unknown => Err("GitHub does not say whether it is online"),
            Connection::Offline if runner.busy => Err("it is busy now"),
            Connection::Offline => Ok(()),
        },
        // `busy` of a runner that has been offline for minutes proves nothing; the DELETE itself answers 422 if it is.
        ReasonCode::Lost if runner.connection == Connection::Offline => Ok(()),
        ReasonCode::Lost => Err("it is no longer offline"),
        ReasonCode::Expired | ReasonCode::Surplus if runner.connection == Connection::Online && !runner.busy => Ok(()),
        ReasonCode::Expired | ReasonCode::Surplus => Err("it is no longer idle"),
        // No job can be running on an instance that has ended or is stopped; but tags can be copied, and the record of one
        // that runs is connected.
        ReasonCode::Ended | ReasonCode::Stopped if runner.connection != Connection::Offline => Err("it is not offline"),
        _ => Ok(()),
    }
}

impl Paces {
    /// Takes a call that ends instances out of EC2's pace, and the instances; returns how long it has to wait.
    fn wait_to_end(&mut self, ids: &[InstanceId], now: Timestamp) -> Duration {
        let instances = u32::try_from(ids.len()).unwrap_or(u32::MAX);
        self.ending.take(1, now).max(self.ending_instances.take(instances, now))
    }

    fn ends_throttled(&mut self, now: Timestamp) {
        self.ending.throttled(now);
        self.ending_instances.throttled(now);
    }
}

impl Lessons {
    fn learn_of_ends(&mut self, error: Option<&ec2::Error>) {
        let is_taken = error.is_none_or(|error| error.class != ErrorClass::Retry && !error.is_denied());
        self.ends_not_taken = if is_taken { 0 } else { self.ends_not_taken + 1 };
    }
}
