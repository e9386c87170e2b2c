//! Ending: a record is looked at once more before it is deleted, and an instance goes only after its record.
//!
//! GitHub's DELETE is the last guard, not the first: it has answered 204 for runners in the middle of a job
//! (terraform-aws-github-runner#5085). What it deletes here was offline for minutes, or idle in two sightings; and what
//! could still be running is not ended in the same pass, but noted as without a record.

use std::cell::RefCell;
use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{Executor, Lessons, Outcome, Result};
use crate::ages::short;
use crate::ec2::ErrorClass;
use crate::engine::{Action, Connection, InstanceId, JOBS_LAST, Mark, ReasonCode, Runner, RunnerId, Step};
use crate::github;
use crate::services::{Clock, Instances, Removed, RunnerRecords};

impl<R: RunnerRecords, I: Instances, C: Clock> Executor<'_, R, I, C> {
    /// Carries out any action but a launch; `gone` gathers the records that are deleted, for the instances that wait.
    pub(super) async fn end_or_mark(
        &self,
        action: &Action,
        gone: &mut BTreeSet<RunnerId>,
        lessons: &RefCell<Lessons>,
    ) -> Outcome {
        if (self.is_stopping)() {
            return self.skipped(action, "this process is ending");
        }
        if let Some(why) = &lessons.borrow().halted {
            return self.skipped(action, why);
        }
        match &action.step {
            Step::Launch { .. } => self.failed(action, "a launch is no end"),
            Step::Mark { instance_id, mark, set, record } => {
                match self.still_registered(action, instance_id, *record, gone, lessons).await {
                    Some(outcome) => outcome,
                    // The time is taken after the look: the record is gone by then.
                    None => self.mark(action, instance_id, *mark, set.then(|| self.clock.now()), lessons).await,
                }
            }
            Step::Deregister { runner_id, instance_id } => {
                let outcome = self.deregister(action, *runner_id, instance_id.as_ref(), lessons).await;
                if outcome.result == Result::Done {
                    gone.insert(*runner_id);
                }
                outcome
            }
            Step::Terminate { instance_id, record } => {
                match self.still_registered(action, instance_id, *record, gone, lessons).await {
                    Some(outcome) => outcome,
                    None => self.terminate(action, instance_id, lessons).await,
                }
            }
        }
    }

    /// Returns how an action ends whose instance's record is still there, or can't be looked at.
    ///
    /// A list of several pages can miss a record; the record itself can't be missed.
    async fn still_registered(
        &self,
        action: &Action,
        instance: &InstanceId,
        record: Option<RunnerId>,
        gone: &BTreeSet<RunnerId>,
        lessons: &RefCell<Lessons>,
    ) -> Option<Outcome> {
        let record = record.filter(|record| !gone.contains(record))?;
        match self.runners.runner(record).await {
            Ok(None) => None,
            Ok(Some(_)) => Some(self.skipped(action, format!("the runner of {instance} is registered"))),
            Err(error) => Some(self.refused_by_github(action, &error, lessons)),
        }
    }

    async fn mark(
        &self,
        action: &Action,
        id: &InstanceId,
        mark: Mark,
        at: Option<Timestamp>,
        lessons: &RefCell<Lessons>,
    ) -> Outcome {
        match self.instances.mark(id, mark, at).await {
            Ok(request_id) => Outcome { request_id, ..self.outcome(action, Result::Done) },
            Err(error) => self.refused_by_ec2(action, &error, lessons),
        }
    }

    async fn deregister(
        &self,
        action: &Action,
        id: RunnerId,
        instance: Option<&InstanceId>,
        lessons: &RefCell<Lessons>,
    ) -> Outcome {
        let outcome = match self.runners.runner(id).await {
            Err(error) => self.refused_by_github(action, &error, lessons),
            Ok(None) => self.outcome(action, Result::Done),
            Ok(Some(runner)) => match still_holds(action.reason.code, &runner) {
                Err(why) => self.skipped(action, why),
                Ok(()) if is_idle(action) && self.since_seen(lessons) > JOBS_LAST => {
                    let since = short(self.since_seen(lessons));
                    self.skipped(action, format!("the jobs were read {since} ago: it may have one"))
                }
                Ok(()) => match self.no_instance_came(action.reason.code, id, instance).await {
                    Err(why) => self.skipped(action, why),
                    Ok(()) => self.remove(action, id, lessons).await,
                },
            },
        };
        Outcome { runner_id: Some(id), ..outcome }
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

    async fn terminate(&self, action: &Action, id: &InstanceId, lessons: &RefCell<Lessons>) -> Outcome {
        let wait = self.paces.borrow_mut().ending.take(self.clock.now());
        self.keep_pace(wait).await;
        match self.instances.terminate(id).await {
            Ok(request_id) => Outcome { request_id, ..self.outcome(action, Result::Done) },
            Err(error) if error.class == ErrorClass::InstanceMissing => {
                Outcome { request_id: error.request_id, ..self.outcome(action, Result::Done) }
            }
            Err(error) => self.refused_by_ec2(action, &error, lessons),
        }
    }

    fn refused_by_ec2(&self, action: &Action, error: &crate::ec2::Error, lessons: &RefCell<Lessons>) -> Outcome {
        if error.class == ErrorClass::Credentials {
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
        // Its instance has ended or is stopped: no job can be running, whatever the record says.
        _ => Ok(()),
    }
}
