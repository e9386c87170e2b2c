//! One binary for all integration tests: each more would link the EC2 SDK again.

#![allow(clippy::unwrap_used, reason = "a test that can't go on says so by panicking, in its helpers too")]

mod ec2;
mod peers;
