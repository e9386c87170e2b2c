//! How many more jobs a scale set may acquire, and which: what it has, and what is on offer and was not had yet.
//!
//! An offer comes once, and nobody knows whether GitHub makes it again. So one is forgotten only when something else is
//! said of its job, or when it was asked for and given to somebody else; a refusal only puts it off.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::message::{JobEvent, Message};
use crate::engine::Statistics;

/// Messages that waited are read within this: what is read later was written later.
const BACKLOG: Duration = Duration::from_secs(5);
/// Offers that are remembered; beyond them the oldest are forgotten, and found again in the list of what can be acquired.
const MOST: usize = 10_000;
/// So many refusals of an offer in a row are not waited for any longer than their pauses.
const ENDS_POLLS: u32 = 5;
/// Jobs that are counted as on offer and that no look at that list has found so often are said to be missing.
const LOOKS_IN_VAIN: u32 = 2;

/// The offers of one session.
#[derive(Debug)]
pub(super) struct Offers {
    /// The jobs that the set has, by the last message that counts them.
    counted: u64,
    /// What was acquired, and when, until messages show that the counts know of it.
    acquired: BTreeMap<u64, Instant>,
    /// On offer and not acquired, since there was no room or it was refused.
    open: VecDeque<u64>,
    /// Those of them that were refused: how often in a row, and until when they are left alone.
    refused: BTreeMap<u64, (u32, Instant)>,
    /// So many are asked for at once: fewer after a refusal, so that one that can't be had keeps none of the others.
    at_once: usize,
    /// The jobs on offer, by the last message that counts them.
    available: u64,
    /// Some of these were asked for since and not granted: others may have them.
    is_doubtful: bool,
    /// Jobs are counted as on offer that no offer is known of: when they are looked for, and how often they were in vain.
    to_look: Option<(Instant, u32)>,
}

impl Offers {
    pub(super) fn of(counts: Statistics) -> Self {
        Self {
            counted: jobs(counts),
            acquired: BTreeMap::new(),
            open: VecDeque::new(),
            refused: BTreeMap::new(),
            at_once: usize::MAX,
            available: counts.available,
            is_doubtful: false,
            to_look: None,
        }
    }

    /// Takes in what a message offers and counts. The counts of one that has waited may know nothing of what was acquired
    /// just now.
    pub(super) fn hear(&mut self, message: &Message, has_waited: bool) {
        for job in message.jobs.iter().filter(|job| job.event != JobEvent::Available) {
            self.acquired.remove(&job.runner_request_id);
            self.refused.remove(&job.runner_request_id);
            self.open.retain(|offer| *offer != job.runner_request_id);
        }
        if let Some(counts) = message.statistics {
            (self.counted, self.available, self.is_doubtful) = (jobs(counts), counts.available, false);
            self.acquired.retain(|_, at| has_waited && at.elapsed() < BACKLOG);
        }
        self.add(message.offers());
    }

    fn add(&mut self, offers: Vec<u64>) {
        for offer in offers {
            if !self.open.contains(&offer) && !self.acquired.contains_key(&offer) {
                self.open.push_back(offer);
            }
        }
        let too_many = self.open.len().saturating_sub(MOST);
        for offer in self.open.drain(..too_many) {
            self.refused.remove(&offer);
        }
    }

    /// Returns what to ask for, where so many more jobs may be acquired: the oldest first, and none that was refused just
    /// now.
    pub(super) fn wanted(&self, room: u64, now: Instant) -> Vec<u64> {
        let most = usize::try_from(room).unwrap_or(usize::MAX).min(self.at_once);
        let is_due = |offer: &u64| self.refused.get(offer).is_none_or(|(_, until)| *until <= now);
        self.open.iter().copied().filter(is_due).take(most).collect()
    }

    /// Returns when something is to be asked for again, and a poll is worth giving up for it: what was refused more often
    /// waits for its end, since polls have to end now and then.
    pub(super) fn due_at(&self, room: u64) -> Option<Instant> {
        let soon = self.refused.values().filter(|(times, _)| *times <= ENDS_POLLS);
        soon.map(|(_, until)| *until).min().filter(|_| room > 0)
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
        self.refused.retain(|offer, _| !asked.contains(offer));
        self.at_once = self.at_once.saturating_mul(2);
        self.available = self.available.saturating_sub(granted.len() as u64);
        self.is_doubtful |= granted.len() < asked.len();
        self.acquired.extend(granted.iter().map(|offer| (*offer, Instant::now())));
    }

    /// Some were asked for, and the question was refused: they are put off together, by how often that was so.
    pub(super) fn put_off(&mut self, asked: &[u64], now: Instant, pause: impl Fn(u32) -> Duration) {
        self.at_once = self.at_once.min((asked.len() / 2).max(1));
        let before = asked.iter().filter_map(|offer| self.refused.get(offer)).map(|(times, _)| *times).max();
        let times = before.unwrap_or(0).saturating_add(1);
        let until = now + pause(times);
        self.refused.extend(asked.iter().map(|offer| (*offer, (times, until))));
        // Others are asked for first by then.
        self.open.retain(|offer| !asked.contains(offer));
        self.open.extend(asked);
    }

    /// One question after the other was refused: nothing is asked for for a while.
    pub(super) fn put_off_all(&mut self, now: Instant, pause: impl Fn(u32) -> Duration) {
        let until = now + pause(1);
        for offer in &self.open {
            self.refused.entry(*offer).or_insert((0, until));
        }
    }

    /// Notices whether jobs are counted as on offer that no offer is known of, though there is room for them; returns
    /// whether it is time to look for them: after so long none is on its way any more.
    pub(super) fn lacks_some(&mut self, room: u64, now: Instant, arrives_within: Duration) -> bool {
        if self.available == 0 || !self.open.is_empty() || room == 0 {
            self.to_look = None;
            return false;
        }
        self.to_look.get_or_insert((now + arrives_within, 0)).0 <= now
    }

    /// The list could not be read, and is looked at again then.
    pub(super) fn look_again(&mut self, at: Instant) {
        self.to_look = self.to_look.map(|(_, times)| (at, times));
    }

    /// Takes in the list of what can be acquired, which is looked at again then; returns how many jobs are counted as on
    /// offer and can't be found in it, time and again.
    pub(super) fn found(&mut self, offers: Vec<u64>, look_at: Instant) -> Option<u64> {
        self.add(offers);
        let times = self.to_look.map_or(1, |(_, times)| times.saturating_add(1));
        self.to_look = Some((look_at, times));
        // Others have them.
        if self.open.is_empty() && self.is_doubtful {
            self.available = 0;
        }
        (self.open.is_empty() && self.available > 0 && times >= LOOKS_IN_VAIN).then_some(self.available)
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

    const HALF: Duration = Duration::from_secs(30);

    fn wanted(offers: &Offers, capacity: u64) -> Vec<u64> {
        offers.wanted(capacity.saturating_sub(offers.taken()), Instant::now())
    }

    #[test]
    fn what_there_is_no_room_for_is_asked_for_when_there_is() {
        let mut offers = Offers::of(counts(0));
        offers.hear(&message(&JobEvent::Available, &[1, 2, 3], Some(0)), false);
        assert_eq!(wanted(&offers, 2), [1, 2]);
        offers.answered(&[1, 2], &[1, 2]);
        assert_eq!(wanted(&offers, 2), [0; 0]);
        offers.hear(&message(&JobEvent::Assigned, &[1, 2], Some(2)), true);
        assert_eq!(wanted(&offers, 2), [0; 0]);
        assert_eq!(wanted(&offers, 3), [3], "there is more room");
        offers.hear(
            &message(&JobEvent::Started(super::super::message::JobRunner { id: None, name: None }), &[1], Some(1)),
            true,
        );
        assert_eq!(wanted(&offers, 2), [3], "one is done");
        offers.answered(&[3], &[]);
        assert_eq!(wanted(&offers, 9), [0; 0], "somebody else was faster");
    }

    #[test]
    fn counts_from_before_an_acquisition_know_nothing_of_it() {
        let mut offers = Offers::of(counts(0));
        offers.hear(&message(&JobEvent::Available, &[1, 2], Some(0)), false);
        offers.answered(&[1, 2], &[1, 2]);
        // This one had waited while they were acquired; the next is written after that.
        offers.hear(&message(&JobEvent::Available, &[3], Some(0)), true);
        assert_eq!(wanted(&offers, 2), [0; 0]);
        offers.hear(&message(&JobEvent::Available, &[], Some(1)), false);
        assert_eq!(wanted(&offers, 2), [3]);
    }

    #[test]
    fn an_offer_that_is_made_again_is_one_and_one_that_is_assigned_is_none() {
        let mut offers = Offers::of(counts(0));
        offers.hear(&message(&JobEvent::Available, &[1], None), false);
        offers.hear(&message(&JobEvent::Available, &[1, 2], None), false);
        assert_eq!(wanted(&offers, 9), [1, 2]);
        offers.hear(&message(&JobEvent::Assigned, &[1], None), false);
        assert_eq!(wanted(&offers, 9), [2]);
    }

    #[test]
    fn what_was_refused_is_asked_for_again_in_ever_smaller_parts_and_nothing_is_forgotten() {
        let (mut offers, now) = (Offers::of(counts(0)), Instant::now());
        let second = |times: u32| Duration::from_secs(times.into());
        let after = |seconds| now + Duration::from_secs(seconds);
        offers.hear(&message(&JobEvent::Available, &[1, 2, 3, 4], Some(0)), false);
        offers.put_off(&[1, 2, 3, 4], now, second);
        assert_eq!(offers.wanted(9, now), [0; 0]);
        assert_eq!(offers.due_at(9), Some(after(1)));
        assert_eq!(offers.due_at(0), None, "there is no room for it");
        // A new one is not kept waiting.
        offers.hear(&message(&JobEvent::Available, &[5], None), false);
        assert_eq!(offers.wanted(9, now), [5]);
        offers.answered(&[5], &[5]);
        assert_eq!(offers.wanted(9, after(1)), [1, 2, 3, 4]);
        offers.put_off(&[1, 2, 3, 4], after(1), second);
        assert_eq!(offers.wanted(9, after(3)), [1, 2]);
        offers.put_off(&[1, 2], after(3), second);
        assert_eq!(offers.wanted(9, after(3)), [3]);
        offers.answered(&[3], &[3]);
        assert_eq!(offers.wanted(9, after(3)), [4]);
        // Something else is said of one.
        offers.hear(&message(&JobEvent::Assigned, &[1], None), false);
        assert_eq!(offers.wanted(9, after(60)), [4, 2], "what was refused comes last");
        offers.answered(&[2, 4], &[2]);
        assert_eq!((offers.count(), offers.due_at(9)), (0, None));
    }

    #[test]
    fn offers_that_are_always_refused_keep_no_other_from_being_asked_for() {
        let (mut offers, now) = (Offers::of(counts(0)), Instant::now());
        let second = |_| Duration::from_secs(1);
        offers.hear(&message(&JobEvent::Available, &[1, 2, 3], Some(0)), false);
        offers.put_off(&[1, 2], now, second);
        offers.put_off_all(now, second);
        assert_eq!(offers.wanted(9, now), [0; 0]);
        assert_eq!(offers.wanted(9, now + Duration::from_secs(1)), [3]);
    }

    #[test]
    fn jobs_that_are_counted_and_not_known_of_are_looked_for() {
        let (mut offers, now) = (Offers::of(Statistics { available: 2, ..counts(0) }), Instant::now());
        let after = |seconds| now + Duration::from_secs(seconds);
        assert!(!offers.lacks_some(9, now, HALF), "their offers may be on their way");
        assert!(offers.lacks_some(9, after(30), HALF));
        assert_eq!(offers.found(vec![], after(60)), None);
        assert!(!offers.lacks_some(9, after(31), HALF));
        assert!(offers.lacks_some(9, after(60), HALF));
        assert_eq!(offers.found(vec![], after(90)), Some(2), "it is said");
        assert_eq!(offers.found(vec![7], after(120)), None);
        assert_eq!(offers.wanted(9, after(90)), [7]);
        assert!(!offers.lacks_some(9, after(90), HALF));
        assert!(!Offers::of(counts(3)).lacks_some(9, after(90), HALF));
        // Neither granted nor, by the list, to be had: somebody else was faster.
        offers.answered(&[7], &[]);
        assert!(!offers.lacks_some(9, after(90), HALF));
        assert!(offers.lacks_some(9, after(120), HALF));
        assert_eq!(offers.found(vec![], after(150)), None);
        assert!(!offers.lacks_some(9, after(150), HALF));
    }
}
