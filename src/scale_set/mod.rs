//! GitHub's Actions Service, as far as runner scale sets need it: one client of our own.
//!
//! The protocol isn't documented by GitHub. What is known of it was read off `actions/scaleset` 0.4.0 and
//! actions-runner-controller, and measured by others; so everything that comes from the service is decoded leniently.

mod address;
mod client;
mod connection;
mod decode;
#[cfg(test)]
mod decode_test;
mod error;
mod listener;
mod message;
mod model;
mod offers;
mod refusal;
mod room;
mod runners;
mod scale_sets;
mod session;
mod transport;

pub use client::Client;
pub use error::{Error, ErrorKind};
pub use listener::{Heard, Listener, Pauses};
pub use message::{JobEvent, JobKey, JobMessage, JobRunner, Message};
pub use model::{
    AcquirableJob, Jit, NewScaleSet, RunnerGroup, RunnerRemoved, ScaleSet, ScaleSetChange, ScaleSetId, ServiceRunner,
};
pub use room::Room;
pub use session::{Polled, Session};
