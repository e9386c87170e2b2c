//! ghascale: the right number of self-hosted GitHub Actions runners on EC2.
//!
//! Every command does the same three steps: *observe* (EC2, runner records, jobs) into one [`engine::Snapshot`];
//! *decide*, with one pure function, into one [`engine::Plan`]; then show the plan or carry it out.

pub mod ages;
pub mod apply;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod comparison;
pub mod config;
pub mod ec2;
pub mod engine;
pub mod exit;
pub mod explanation;
mod files;
pub mod github;
pub mod left_over;
mod lines;
pub mod listen;
pub mod observe;
mod quoting;
pub mod registrar;
pub mod report;
pub mod rerun;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod scale_set;
pub mod services;
pub mod state;
pub mod stderr;
pub mod tally;
pub mod ui;
pub mod warning;
