//! The pace of launches and ends: EC2's own token buckets, kept on our side so that its throttle is rarely met.
//!
//! EC2 counts by account and region (`RunInstances` 5 at once and 2 a second, `TerminateInstances` 100 and 5, and of the
//! instances in them 1000 and 20); so all pools of a run share one bucket. Another host has its own, and a throttle that
//! comes all the same halves the rate.

use std::time::Duration;

use jiff::Timestamp;

use crate::ages::age;

/// A bucket that holds `burst` calls, or instances, and gets one back every `interval`.
#[derive(Debug)]
pub(super) struct Pace {
    burst: u32,
    interval: Duration,
    /// When the bucket will be full again.
    full_at: Timestamp,
}

impl Pace {
    /// Returns EC2's pace of launches.
    pub(super) fn of_launches() -> Self {
        Self { burst: 5, interval: Duration::from_millis(500), full_at: Timestamp::UNIX_EPOCH }
    }

    /// Returns EC2's pace of terminations, by calls.
    pub(super) fn of_ends() -> Self {
        Self { burst: 100, interval: Duration::from_millis(200), full_at: Timestamp::UNIX_EPOCH }
    }

    /// Returns EC2's pace of terminations, by instances.
    pub(super) fn of_ended_instances() -> Self {
        Self { burst: 1000, interval: Duration::from_millis(50), full_at: Timestamp::UNIX_EPOCH }
    }

    /// Takes so many out of the bucket; returns how long they have to wait.
    pub(super) fn take(&mut self, count: u32, now: Timestamp) -> Duration {
        self.full_at = self.full_at.max(now) + self.interval * count;
        age(self.full_at, now).saturating_sub(self.interval * self.burst)
    }

    /// EC2 found it too fast all the same.
    pub(super) fn throttled(&mut self) {
        self.interval = (self.interval * 2).min(Duration::from_secs(8));
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
        assert_eq!(waits, [0, 0, 0, 0, 0, 500, 1000, 1500]);
    }

    #[test]
    fn what_is_not_used_comes_back_up_to_the_burst() {
        let mut pace = Pace::of_launches();
        spend(&mut pace, 5, at(0));
        assert_eq!(pace.take(1, at(500)), Duration::ZERO);
        assert_eq!(pace.take(1, at(500)), Duration::from_millis(500));
        let waits: Vec<u128> = (0..6).map(|_| pace.take(1, at(60_000)).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 500], "a minute of rest is no more than a burst");
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
        spend(&mut pace, 5, at(0));
        pace.throttled();
        // From the full bucket's debt on, one a second.
        let waits: Vec<u128> = (0..2).map(|_| pace.take(1, at(10_000)).as_millis()).collect();
        assert_eq!(waits, [0, 0]);
        spend(&mut pace, 3, at(10_000));
        assert_eq!(pace.take(1, at(10_000)), Duration::from_secs(1));
    }
}
