//! tests
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[cfg(feature = "sandbox")]
mod peers;
#[cfg(feature = "sandbox")]
mod sandbox;
