//! GitHub's Actions Service, as far as runner scale sets need it: one client of our own.
//!
//! The protocol isn't documented by GitHub. What is known of it was read off `actions/scaleset` 0.4.0 and
//! actions-runner-controller, and measured by others; so everything that comes from the service is decoded leniently.

mod client;
mod error;
mod model;

pub use client::Client;
pub use error::{Error, ErrorKind};
pub use model::{
    AcquirableJob, Jit, NewScaleSet, RunnerGroup, RunnerRemoved, ScaleSet, ScaleSetChange, ScaleSetId, ServiceRunner,
};
