//! tests
#[cfg(feature = "sandbox")]
mod sandbox;
