//! GitHub's tags, foreseen: with another token the same body has another tag, and asking with the old one costs a read.
//!
//! GitHub does not document how it makes its tags. It was seen that a tag is the SHA-256 over the values of some request
//! headers, each with a colon, and the body (bored-engineer/github-conditional-http-transport). A tag foreseen so is
//! sound whatever GitHub does: it answers 304 only if its own tag of its own body is the same. A wrong one costs what
//! asking without one costs. All the same it is only used while it proves right: after three answers whose tags were as
//! foreseen, until the first that was not.

use http::HeaderValue;
use sha2::{Digest as _, Sha256};

/// Tags in a row that must have been as foreseen.
const PROOFS: u32 = 3;

/// Whether tags can be foreseen, as far as answers have shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Foresight {
    proofs: u32,
}

impl Foresight {
    /// Returns what earlier runs have come to.
    pub(super) fn after(proofs: u32) -> Self {
        Self { proofs: proofs.min(PROOFS) }
    }

    /// Returns how many tags in a row were as foreseen, as far as it matters.
    pub(super) fn proofs(self) -> u32 {
        self.proofs
    }

    /// Returns whether it has proved right.
    pub(super) fn holds(self) -> bool {
        self.proofs >= PROOFS
    }

    /// Holds a tag against what it was foreseen to be.
    pub(super) fn learn(&mut self, etag: &str, accept: &str, authorization: &HeaderValue, body: &[u8]) {
        let foreseen = tag(accept, authorization, body);
        self.proofs = if opaque(etag) == opaque(&foreseen) { (self.proofs + 1).min(PROOFS) } else { 0 };
    }
}

/// Returns the tag of a body for who asks with these headers.
pub(super) fn tag(accept: &str, authorization: &HeaderValue, body: &[u8]) -> String {
    let mut digest = Sha256::new();
    for part in [accept.as_bytes(), b":", authorization.as_bytes(), b":", body] {
        digest.update(part);
    }
    format!("W/\"{}\"", data_encoding::HEXLOWER.encode(&digest.finalize()))
}

/// Returns what stands between a tag's quotes.
fn opaque(etag: &str) -> &str {
    etag.trim().trim_start_matches("W/").trim_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_tags_as_foreseen_switch_it_on_and_one_other_switches_it_off() {
        let me = HeaderValue::from_static("Bearer x");
        let mut foresight = Foresight::default();
        let right = tag("json", &me, b"body");
        for expected in [false, false, true, true] {
            foresight.learn(&right, "json", &me, b"body");
            assert_eq!(foresight.holds(), expected);
        }
        foresight.learn("W/\"other\"", "json", &me, b"body");
        assert_eq!((foresight.holds(), foresight.proofs()), (false, 0));
    }

    #[test]
    fn a_strong_tag_of_the_same_bytes_is_the_same() {
        let me = HeaderValue::from_static("Bearer x");
        let mut foresight = Foresight::after(2);
        foresight.learn(tag("json", &me, b"").trim_start_matches("W/"), "json", &me, b"");
        assert!(foresight.holds());
    }

    #[test]
    fn the_algorithm_is_the_one_that_was_seen() {
        // sha256("application/vnd.github+json:Bearer token:[]"), computed with sha256sum.
        let made = tag("application/vnd.github+json", &HeaderValue::from_static("Bearer token"), b"[]");
        assert_eq!(made, "W/\"4b5299a944f2072dc390c8418ecb91fd0f24370a177cb61d6a9fb4137eccec78\"");
    }
}
