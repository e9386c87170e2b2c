//! The jobs that messages said are assigned to a scale set: in incidents its counts are 0 beside them
//! (actions-runner-controller#3420), and then these are the demand, for a while.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::ages::age;
use crate::engine::Statistics;
use crate::scale_set::{JobEvent, JobKey, JobMessage, Message};

/// An assignment that nobody took for so long has lapsed: the job comes back under another id.
const LAPSES_AFTER: Duration = Duration::from_mins(5);

/// One that ends after so long without a runner has lapsed, or would have: GitHub waits for five minutes
/// (actions-runner-controller#4602).
const IS_LAPSE: Duration = Duration::from_mins(4);
/// For how long a lapse is remembered.
const LAPSES_COUNT_FOR: Duration = Duration::from_mins(30);

/// Jobs that are assigned and have no runner yet, by all that was said.
#[derive(Debug, Default)]
pub(super) struct Assigned {
    waiting: BTreeMap<JobKey, Timestamp>,
    /// When assignments lapsed.
    lapses: Vec<Timestamp>,
}

impl Assigned {
    /// Takes in what a message says; returns how many of its jobs were taken back, since no runner took them in time.
    pub(super) fn hear(&mut self, message: &Message, now: Timestamp) -> usize {
        for job in &message.jobs {
            match job.event {
                JobEvent::Assigned => drop(self.waiting.insert(job.key.clone(), now)),
                JobEvent::Started(_) | JobEvent::Completed { .. } => drop(self.waiting.remove(&job.key)),
                JobEvent::Available | JobEvent::Unknown(_) => {}
            }
        }
        self.waiting.retain(|_, at| age(now, *at) < LAPSES_AFTER);
        let is_lapse = |job: &&JobMessage| job.waited_in_vain().is_some_and(|waited| waited >= IS_LAPSE);
        let lapses = message.jobs.iter().filter(is_lapse).count();
        self.lapses.retain(|at| age(now, *at) < LAPSES_COUNT_FOR);
        self.lapses.extend(std::iter::repeat_n(now, lapses));
        lapses
    }

    /// Returns how many assignments lapsed within the half hour before the last message.
    pub(super) fn lapses(&self) -> usize {
        self.lapses.len()
    }

    /// Returns counts in which these jobs wait, if they say that none does at all.
    pub(super) fn at_least(&self, counts: Statistics, now: Timestamp) -> Statistics {
        let waiting = self.waiting.values().filter(|at| age(now, **at) < LAPSES_AFTER).count() as u64;
        let is_nothing = counts.assigned == 0 && counts.running == 0;
        if is_nothing { Statistics { assigned: waiting, ..counts } } else { counts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::RunnerId;
    use crate::scale_set::JobRunner;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    fn message(job: &str, event: JobEvent) -> Message {
        Message::of(1, vec![JobMessage::of(JobKey::Job(job.into()), event)])
    }

    #[test]
    fn jobs_beside_counts_of_nothing_are_demand_until_they_are_taken_or_lapse() {
        let mut told = Assigned::default();
        told.hear(&message("a", JobEvent::Assigned), at(0));
        told.hear(&message("b", JobEvent::Assigned), at(1));
        // Told twice, it is still one job.
        told.hear(&message("b", JobEvent::Assigned), at(2));
        let nothing = Statistics::default();
        assert_eq!(told.at_least(nothing, at(3)).assigned, 2);
        let counts = Statistics { assigned: 1, ..nothing };
        assert_eq!(told.at_least(counts, at(3)), counts, "counts that say something are believed");
        told.hear(&message("a", JobEvent::Started(JobRunner { id: None, name: None })), at(4));
        assert_eq!(told.at_least(nothing, at(5)).assigned, 1);
        assert_eq!(told.at_least(nothing, at(302)).assigned, 0);
    }

    #[test]
    fn an_assignment_lapses_that_no_runner_took_in_minutes() {
        let ended = |second: i64, runner: Option<RunnerId>| {
            let runner = JobRunner { id: runner, name: None };
            let event = JobEvent::Completed { result: "canceled".into(), runner };
            let job = JobMessage::of(JobKey::Job("a".into()), event);
            Message::of(1, vec![JobMessage { assigned_at: Some(at(0)), finished_at: Some(at(second)), ..job }])
        };
        let mut told = Assigned::default();
        assert_eq!(told.hear(&ended(300, None), at(300)), 1);
        assert_eq!(told.hear(&ended(9, None), at(301)), 0, "somebody cancelled it");
        assert_eq!(told.hear(&ended(300, Some(RunnerId(7))), at(302)), 0, "it was cancelled while it ran");
        assert_eq!(
            told.hear(
                &message(
                    "b",
                    JobEvent::Completed { result: "canceled".into(), runner: JobRunner { id: None, name: None } }
                ),
                at(303)
            ),
            0,
            "nobody knows how long it was assigned"
        );
        assert_eq!(told.lapses(), 1);
        told.hear(&message("c", JobEvent::Assigned), at(3000));
        assert_eq!(told.lapses(), 0, "that is long ago");
    }
}
