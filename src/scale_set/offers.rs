//! How many more jobs a scale set may acquire, and which: what it has, and what is on offer and was not asked for yet.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::message::{JobEvent, Message};
use crate::engine::Statistics;

/// Messages that waited are read within this: what is read later was written later.
const BACKLOG: Duration = Duration::from_secs(5);
/// Offers that are remembered; GitHub offers again what nobody takes.
const MOST: usize = 10_000;

/// The offers of one session.
#[derive(Debug)]
pub(super) struct Offers {
    /// The jobs that the set has, by the last message that counts them.
    counted: u64,
    /// What was acquired, and when, until messages show that the counts know of it.
    acquired: BTreeMap<u64, Instant>,
    /// On offer and not asked for, since there was no room.
    open: VecDeque<u64>,
}

impl Offers {
    pub(super) fn of(counts: Statistics) -> Self {
        Self { counted: jobs(counts), acquired: BTreeMap::new(), open: VecDeque::new() }
    }

    /// Takes in what a message offers and counts. The counts of one that has waited may know nothing of what was acquired
    /// just now.
    pub(super) fn hear(&mut self, message: &Message, has_waited: bool) {
        for job in message.jobs.iter().filter(|job| job.event != JobEvent::Available) {
            self.acquired.remove(&job.runner_request_id);
            self.open.retain(|offer| *offer != job.runner_request_id);
        }
        if let Some(counts) = message.statistics {
            self.counted = jobs(counts);
            self.acquired.retain(|_, at| has_waited && at.elapsed() < BACKLOG);
        }
        for offer in message.offers() {
            if !self.open.contains(&offer) && !self.acquired.contains_key(&offer) {
                self.open.push_back(offer);
            }
        }
        let too_many = self.open.len().saturating_sub(MOST);
        self.open.drain(..too_many);
    }

    /// Returns what to ask for, where so many runners may have a job at once: the oldest first.
    pub(super) fn wanted(&self, capacity: u32) -> Vec<u64> {
        let room = u64::from(capacity).saturating_sub(self.taken());
        self.open.iter().copied().take(usize::try_from(room).unwrap_or(usize::MAX)).collect()
    }

    /// Returns how many jobs the set has, by all that is known.
    pub(super) fn taken(&self) -> u64 {
        self.counted.saturating_add(self.acquired.len() as u64)
    }

    /// Returns how many offers there was no room for.
    pub(super) fn count(&self) -> usize {
        self.open.len()
    }

    /// Some were asked for, and some of these granted; the others are somebody else's, or gone.
    pub(super) fn answered(&mut self, asked: &[u64], granted: &[u64]) {
        self.open.retain(|offer| !asked.contains(offer));
        self.acquired.extend(granted.iter().map(|offer| (*offer, Instant::now())));
    }
}

fn jobs(counts: Statistics) -> u64 {
    counts.assigned.saturating_add(counts.acquired)
}

#[cfg(test)]
mod tests {
    use super::super::message::{JobKey, JobMessage};
    use super::*;

    fn counts(assigned: u64) -> Statistics {
        Statistics { assigned, ..Statistics::default() }
    }

    fn message(event: &JobEvent, ids: &[u64], assigned: Option<u64>) -> Message {
        let job =
            |id: &u64| JobMessage { runner_request_id: *id, ..JobMessage::of(JobKey::Request(*id), event.clone()) };
        Message { statistics: assigned.map(counts), ..Message::of(1, ids.iter().map(job).collect()) }
    }

    #[test]
    fn what_there_is_no_room_for_is_asked_for_when_there_is() {
        let mut offers = Offers::of(counts(0));
        offers.hear(&message(&JobEvent::Available, &[1, 2, 3], Some(0)), false);
        assert_eq!(offers.wanted(2), [1, 2]);
        offers.answered(&[1, 2], &[1, 2]);
        assert_eq!(offers.wanted(2), [0; 0]);
        offers.hear(&message(&JobEvent::Assigned, &[1, 2], Some(2)), true);
        assert_eq!(offers.wanted(2), [0; 0]);
        assert_eq!(offers.wanted(3), [3], "there is more room");
        offers.hear(
            &message(&JobEvent::Started(super::super::message::JobRunner { id: None, name: None }), &[1], Some(1)),
            true,
        );
        assert_eq!(offers.wanted(2), [3], "one is done");
        offers.answered(&[3], &[]);
        assert_eq!(offers.wanted(9), [0; 0], "somebody else was faster");
    }

    #[test]
    fn counts_from_before_an_acquisition_know_nothing_of_it() {
        let mut offers = Offers::of(counts(0));
        offers.hear(&message(&JobEvent::Available, &[1, 2], Some(0)), false);
        offers.answered(&[1, 2], &[1, 2]);
        // This one had waited while they were acquired; the next is written after that.
        offers.hear(&message(&JobEvent::Available, &[3], Some(0)), true);
        assert_eq!(offers.wanted(2), [0; 0]);
        offers.hear(&message(&JobEvent::Available, &[], Some(1)), false);
        assert_eq!(offers.wanted(2), [3]);
    }

    #[test]
    fn an_offer_that_is_made_again_is_one_and_one_that_is_assigned_is_none() {
        let mut offers = Offers::of(counts(0));
        offers.hear(&message(&JobEvent::Available, &[1], None), false);
        offers.hear(&message(&JobEvent::Available, &[1, 2], None), false);
        assert_eq!(offers.wanted(9), [1, 2]);
        offers.hear(&message(&JobEvent::Assigned, &[1], None), false);
        assert_eq!(offers.wanted(9), [2]);
    }
}
