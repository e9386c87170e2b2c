//! The jobs that messages said are assigned to a scale set: in incidents its counts are 0 beside them
//! (actions-runner-controller#3420), and then these are the demand, for a while.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::ages::age;
use crate::engine::Statistics;
use crate::scale_set::{JobEvent, JobKey, Message};

/// An assignment that nobody took for so long has lapsed: the job comes back under another id.
const LAPSES_AFTER: Duration = Duration::from_mins(5);

/// Jobs that are assigned and have no runner yet, by all that was said.
#[derive(Debug, Default)]
pub(super) struct Assigned(BTreeMap<JobKey, Timestamp>);

impl Assigned {
    pub(super) fn hear(&mut self, message: &Message, now: Timestamp) {
        for job in &message.jobs {
            match job.event {
                JobEvent::Assigned => drop(self.0.insert(job.key.clone(), now)),
                JobEvent::Started(_) | JobEvent::Completed { .. } => drop(self.0.remove(&job.key)),
                JobEvent::Available | JobEvent::Unknown(_) => {}
            }
        }
        self.0.retain(|_, at| age(now, *at) < LAPSES_AFTER);
    }

    /// Returns counts in which these jobs wait, if they say that none does at all.
    pub(super) fn at_least(&self, counts: Statistics, now: Timestamp) -> Statistics {
        let waiting = self.0.values().filter(|at| age(now, **at) < LAPSES_AFTER).count() as u64;
        let is_nothing = counts.assigned == 0 && counts.running == 0;
        if is_nothing { Statistics { assigned: waiting, ..counts } } else { counts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scale_set::{JobMessage, JobRunner};

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
}
