//! How long ago, and how people read it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// A clock that goes back by less is only being trimmed.
pub(crate) const SET_BACK: Duration = Duration::from_secs(30);

/// Returns how long before `now` something was; zero for the future, so that a clock set back makes nothing old.
#[must_use]
pub fn age(now: Timestamp, then: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or(Duration::ZERO)
}

/// Returns a duration in whole seconds and at most two units: `3m12s`, `2d4h`.
#[must_use]
pub fn short(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [("d", seconds / 86_400), ("h", seconds / 3600 % 24), ("m", seconds / 60 % 60), ("s", seconds % 60)];
    let mut text = String::new();
    for (unit, count) in units.iter().skip_while(|(_, count)| *count == 0).take(2).filter(|(_, count)| *count > 0) {
        text.push_str(&count.to_string());
        text.push_str(unit);
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// Returns how far one clock is from another: `20s ahead of`, `3m behind`.
#[must_use]
pub(crate) fn apart(ahead: SignedDuration) -> String {
    let side = if ahead.is_negative() { "behind" } else { "ahead of" };
    format!("{} {side}", short(ahead.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_at_most_two_units() {
        let said = |seconds| short(Duration::from_secs(seconds));
        let expected = ["0s", "59s", "3m12s", "1h", "1h1m", "2d4h", "2d"];
        assert_eq!([0, 59, 192, 3600, 3661, 187_200, 172_801].map(said), expected);
    }

    #[test]
    fn the_future_has_no_age() {
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(age(now, now + Duration::from_secs(5)), Duration::ZERO);
    }
}
