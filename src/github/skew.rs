//! How far this host's clock is from GitHub's, by the `Date` of its answers (RFC 9110 §6.6.1: whole seconds).

use http::HeaderMap;
use http::header::{AGE, DATE};
use jiff::{SignedDuration, Timestamp};

/// Returns how far this host's clock is ahead of the one that dated an answer, by the least that both can mean; negative:
/// behind. `None` where the answer has no date of now.
///
/// The answer was dated at some time between the request and its arrival: whatever lies between them proves nothing.
pub(super) fn ahead(headers: &HeaderMap, asked_at: Timestamp, answered_at: Timestamp) -> Option<SignedDuration> {
    if headers.contains_key(AGE) {
        // A cache's answer has the date of when it was made.
        return None;
    }
    let date = headers.get(DATE)?.to_str().ok()?;
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?;
    let dated_until = date + SignedDuration::from_secs(1);
    // What is ahead by more than that the answer took was dated in our past; set back meanwhile, a clock proves nothing.
    if asked_at > answered_at {
        None
    } else if dated_until < asked_at {
        Some(asked_at.duration_since(dated_until))
    } else if date > answered_at {
        Some(answered_at.duration_since(date))
    } else {
        Some(SignedDuration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: &str) -> Timestamp {
        format!("2026-11-24T12:00:{second}Z").parse().unwrap()
    }

    fn told(date: &str, asked_at: &str, answered_at: &str) -> Option<f64> {
        let headers = [(DATE, date.parse().unwrap())].into_iter().collect();
        ahead(&headers, at(asked_at), at(answered_at)).map(|ahead| ahead.as_secs_f64())
    }

    #[test]
    fn a_clock_is_wrong_by_what_the_way_of_the_answer_does_not_explain() {
        let noon = "Tue, 24 Nov 2026 12:00:10 GMT";
        assert_eq!(told(noon, "10.2", "10.3"), Some(0.0));
        assert_eq!(told(noon, "03", "11"), Some(0.0), "a slow answer");
        assert_eq!(told(noon, "10.9", "11.4"), Some(0.0), "dates have whole seconds");
        assert_eq!(told(noon, "31", "32"), Some(20.0));
        assert_eq!(told(noon, "02", "04"), Some(-6.0));
    }

    #[test]
    fn what_has_no_date_of_now_says_nothing() {
        assert_eq!(told("yesterday", "10", "11"), None);
        assert_eq!(told("Tue, 24 Nov 2026 12:00:10 GMT", "11", "10"), None, "the clock was set back meanwhile");
        assert_eq!(ahead(&HeaderMap::new(), at("10"), at("11")), None);
        let kept = [(DATE, "Tue, 24 Nov 2026 11:00:00 GMT".parse().unwrap()), (AGE, "3600".parse().unwrap())];
        assert_eq!(ahead(&kept.into_iter().collect(), at("10"), at("11")), None, "a cache's");
    }
}
