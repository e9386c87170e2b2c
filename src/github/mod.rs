//! GitHub's REST API: one client, and one file for each thing that is read or written there.

mod auth;
mod cache;
mod client;
mod discovery;
mod error;
mod etag;
mod gate;
mod graphql;
mod groups;
mod installations;
mod jobs;
mod link;
mod lookup;
mod memory;
mod organizations;
mod pages;
mod registration;
mod repositories;
mod runners;
mod runs;
mod scan;
mod shares;
pub(crate) mod transport;
mod turns;

pub use cache::Cache;
pub(crate) use client::SENDS;
pub use client::{Client, Patience, Usage};
pub use error::{Error, ErrorKind};
pub use gate::{Budget, Limits};
pub use groups::{RunnerGroup, Visibility, runner_groups};
pub use link::{Link, LinkError};
pub use lookup::{CompletedJob, FoundJob, FoundRun, RunJobs, find_job, find_run};
pub(crate) use registration::AdminConnection;
pub use runners::{ScopeRunners, runners};
pub use scan::{NoProgress, Progress, Scanned, scan};
pub use turns::Coverage;
