//! The time, for whoever waits: the real one, or one that runs faster, in which hours of rate limits are rehearsed in
//! minutes, through the same code and over the same wire.

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// A clock, and the means to wait by it.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    began: Instant,
    began_at: Timestamp,
    speed: u32,
}

impl Clock {
    /// Returns the real one.
    #[must_use]
    pub fn real() -> Self {
        Self::faster(1)
    }

    /// Returns one that shows the real time now, and from now on runs so many times as fast.
    #[must_use]
    pub fn faster(speed: u32) -> Self {
        Self { began: Instant::now(), began_at: Timestamp::now(), speed: speed.max(1) }
    }

    /// Returns the time of day.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        // The real time of day can be set back while a process runs, and then it is.
        if self.speed == 1 { Timestamp::now() } else { self.began_at + self.elapsed() }
    }

    /// Returns how long it has run: never set back.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed() * self.speed
    }

    /// Waits.
    pub async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration / self.speed).await;
    }
}
