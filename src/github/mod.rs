//! GitHub's REST API: one client, and one file for each thing that is read or written there.

mod auth;
mod cache;
mod client;
mod error;
mod etag;
mod gate;
mod jobs;
mod memory;
mod pages;
mod repositories;
mod runners;
mod runs;
mod scan;
mod turns;

pub use cache::Cache;
pub use client::{Client, Patience, Usage};
pub use error::{Error, ErrorKind};
pub use gate::{Budget, Limits};
pub use runners::{ScopeRunners, runners};
pub use scan::{NoProgress, Progress, Scanned, scan};
pub use turns::Coverage;
