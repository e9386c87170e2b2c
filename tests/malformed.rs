//! Documents that are almost right: good ones of each service, of the configuration and of a plan, changed in one place or
//! several. Whatever comes in, nothing panics, nothing grows without bound, and no secret is in what is said about it.

mod ec2;
pub(crate) mod mutation;
mod plan_file;
mod rest;
mod scale_set;
mod state;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, TestRunner};

/// How many documents each property is held against; `GHASCALE_DOCUMENTS=20000` for many more.
const DOCUMENTS: u32 = 128;
/// The longest that one error may be, its request included.
const LONGEST_ERROR: usize = 1200;

/// Holds a property against many documents; a failing one is shrunk, and shown.
fn each(documents: &impl Strategy<Value = Vec<u8>>, property: impl Fn(Vec<u8>)) {
    let cases = std::env::var("GHASCALE_DOCUMENTS").map_or(DOCUMENTS, |count| count.parse().unwrap());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 500, ..Config::default() };
    let shown = documents.prop_map(Document);
    let held = TestRunner::new(config).run(&shown, |document| {
        property(document.0);
        Ok(())
    });
    held.unwrap_or_else(|error| panic!("{error}"));
}

/// Shown as a text, which is easier to read than bytes.
#[derive(Clone)]
pub(crate) struct Document(pub(crate) Vec<u8>);

impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", String::from_utf8_lossy(&self.0).chars().take(4000).collect::<String>())
    }
}

/// Holds what is said against the secrets that are known here, and against what may be said at all.
#[track_caller]
fn is_fit_to_be_shown(said: &str, secrets: &[&str]) {
    for secret in secrets {
        assert!(!said.contains(secret), "{secret} is shown: {said}");
    }
    assert!(said.len() <= LONGEST_ERROR, "{} bytes: {}…", said.len(), said.chars().take(400).collect::<String>());
}
