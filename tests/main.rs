//! One integration binary: each more would link the AWS SDK again.
#![expect(clippy::unwrap_used, reason = "a test that can't go on should stop right there")]

#[cfg(feature = "sandbox")]
mod commands;
mod comparison;
mod config;
mod cost;
#[cfg(feature = "sandbox")]
mod demand;
mod ec2;
mod ends;
mod engine;
mod generated;
mod keys;
mod listener;
mod log;
mod malformed;
mod notes;
mod peers;
mod properties;
#[cfg(feature = "sandbox")]
mod readme;
#[cfg(feature = "sandbox")]
mod sandbox;
mod scale_set;
mod schemas;
mod simulation;
mod stories;
mod world;
