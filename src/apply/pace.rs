//! The pace of launches and ends: EC2's own token buckets, kept on our side so that its throttle is rarely met.
//!
//! EC2 counts by account and region (`RunInstances` 5 at once and 2 a second, `TerminateInstances` 100 and 5, and of the
//! instances in them 1000 and 20); so all pools of a run share one bucket. Another host has its own, and a throttle that
//! comes all the same halves the rate. EC2 counts when calls arrive, and the first may take longer than those that find a
//! connection: so one launch fewer goes at once.

use std::time::Duration;

use jiff::Timestamp;

use crate::ages::{SET_BACK, age};

/// A pace that was halved is doubled again after so long without a throttle.
const RECOVERS_AFTER: Duration = Duration::from_secs(15);
/// Throttles that come closer together are one: they are of calls that were sent at the same pace.
const ONE_THROTTLE: Duration = Duration::from_secs(2);

/// The paces of one account and region.
#[derive(Debug)]
pub struct Paces {
    /// Of launches.
    pub(super) launching: Pace,
    /// Of terminations, by calls.
    pub(super) ending: Pace,
    /// Of terminations, by instances.
    pub(super) ending_instances: Pace,
}

impl Default for Paces {
    fn default() -> Self {
        Self { launching: Pace::of_launches(), ending: Pace::of_ends(), ending_instances: Pace::of_ended_instances() }
    }
}

/// A bucket that holds `burst` calls, or instances, and gets one back every `interval`.
#[derive(Debug)]
pub(super) struct Pace {
    burst: u32,
    /// What EC2 allows an account that nobody else uses.
    usual: Duration,
    interval: Duration,
    /// When the bucket will be full again.
    full_at: Timestamp,
    /// When the interval was last made longer, and when longer or shorter.
    throttled_at: Timestamp,
    changed_at: Timestamp,
    /// When a call was last taken.
    taken_at: Timestamp,
}

impl Pace {
    /// Returns EC2's pace of launches.
    pub(super) fn of_launches() -> Self {
        Self::new(4, Duration::from_millis(500))
    }

    /// Returns EC2's pace of terminations, by calls.
    pub(super) fn of_ends() -> Self {
        Self::new(100, Duration::from_millis(200))
    }

    fn new(burst: u32, usual: Duration) -> Self {
        let never = Timestamp::UNIX_EPOCH;
        Self { burst, usual, interval: usual, full_at: never, throttled_at: never, changed_at: never, taken_at: never }
    }

    /// Returns EC2's pace of terminations, by instances.
    pub(super) fn of_ended_instances() -> Self {
        Self::new(1000, Duration::from_millis(50))
    }

    /// Takes so many out of the bucket; returns how long they have to wait.
    pub(super) fn take(&mut self, count: u32, now: Timestamp) -> Duration {
        if age(self.taken_at, now) >= SET_BACK {
            // What was written down by a clock that has been set back since would be waited for.
            (self.full_at, self.throttled_at, self.changed_at) = (now, Timestamp::UNIX_EPOCH, now);
        }
        self.taken_at = now;
        if self.interval > self.usual && age(now, self.changed_at) >= RECOVERS_AFTER {
            self.interval = (self.interval / 2).max(self.usual);
            self.changed_at = now;
        }
        self.full_at = self.full_at.max(now) + self.interval * count;
        age(self.full_at, now).saturating_sub(self.interval * self.burst)
    }

    /// EC2 found it too fast all the same.
    pub(super) fn throttled(&mut self, now: Timestamp) {
        if age(now, self.throttled_at) < ONE_THROTTLE {
            return;
        }
        self.interval = (self.interval * 2).min(Duration::from_secs(8));
        (self.throttled_at, self.changed_at) = (now, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_000_000 + millis).unwrap()
    }

    fn spend(pace: &mut Pace, calls: u32, now: Timestamp) {
        for _ in 0..calls {
            assert_eq!(pace.take(1, now), Duration::ZERO);
        }
    }

    #[test]
    fn a_burst_goes_at_once_and_then_two_a_second() {
        let mut pace = Pace::of_launches();
        let waits: Vec<u128> = (0..8).map(|_| pace.take(1, at(0)).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 0, 500, 1000, 1500, 2000]);
    }

    /// Returns how many calls EC2's bucket of launches throttles, by when each arrives.
    fn throttled(arrivals: &[i64]) -> usize {
        let (mut left, mut since) = (5.0_f64, arrivals[0]);
        let mut is_throttled = |at: i64| {
            #[expect(clippy::cast_precision_loss, reason = "milliseconds of minutes")]
            let back = (at - std::mem::replace(&mut since, at)) as f64 / 500.0;
            left = (left + back).min(5.0);
            left -= if left >= 1.0 { 1.0 } else { return true };
            false
        };
        arrivals.iter().filter(|at| is_throttled(**at)).count()
    }

    #[test]
    fn calls_of_which_the_first_take_half_a_second_longer_are_not_throttled() {
        let mut pace = Pace::of_launches();
        let sent: Vec<i64> = (0..40).map(|_| i64::try_from(pace.take(1, at(0)).as_millis()).unwrap()).collect();
        assert_eq!(throttled(&sent), 0);
        let late: Vec<i64> = sent.iter().enumerate().map(|(nth, at)| at + if nth < 4 { 490 } else { 0 }).collect();
        assert_eq!(throttled(&late), 0);
        assert!(throttled(&[0; 6]) == 1 && throttled(&[490, 490, 490, 490, 490, 500, 1000]) > 0);
    }

    #[test]
    fn what_is_not_used_comes_back_up_to_the_burst() {
        let mut pace = Pace::of_launches();
        spend(&mut pace, 4, at(0));
        assert_eq!(pace.take(1, at(500)), Duration::ZERO);
        assert_eq!(pace.take(1, at(500)), Duration::from_millis(500));
        let waits: Vec<u128> = (0..6).map(|_| pace.take(1, at(60_000)).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 0, 500, 1000], "a minute of rest is no more than a burst");
    }

    #[test]
    fn a_batch_takes_as_many_as_it_holds() {
        let mut pace = Pace::of_ended_instances();
        let waits: Vec<u128> = (0..12).map(|_| pace.take(100, at(0)).as_millis()).collect();
        assert_eq!(waits[..10], [0; 10]);
        assert_eq!(waits[10..], [5000, 10_000]);
    }

    #[test]
    fn a_throttle_halves_the_rate() {
        let mut pace = Pace::of_launches();
        spend(&mut pace, 4, at(0));
        // Of six that were under way, one is told after the other.
        for late in 0..6 {
            pace.throttled(at(late));
        }
        // From the full bucket's debt on, one a second.
        let waits: Vec<u128> = (0..2).map(|_| pace.take(1, at(10_000)).as_millis()).collect();
        assert_eq!(waits, [0, 0]);
        spend(&mut pace, 2, at(10_000));
        assert_eq!(pace.take(1, at(10_000)), Duration::from_secs(1));
        // After a while without another it is as it was.
        spend(&mut pace, 4, at(80_000));
        assert_eq!(pace.take(1, at(80_000)), Duration::from_millis(500));
    }

    #[test]
    fn a_clock_that_was_set_back_is_not_waited_for() {
        let mut pace = Pace::of_launches();
        spend(&mut pace, 4, at(86_400_000));
        spend(&mut pace, 1, at(0));
        assert!(pace.take(1, at(0)) <= Duration::from_millis(500));
    }
}
