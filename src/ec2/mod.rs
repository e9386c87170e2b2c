//! EC2: the instances of the fleet, how they are launched, marked and ended.
//!
//! Everything goes through a [`Fleet`], which knows one fleet's tag and the pools' launch settings. It shows and
//! touches only instances that carry that tag; an instance can be ended or marked only if the latest
//! [`Fleet::observe`] returned it. What is decided here is how a request looks; whether and when it is sent, and what
//! follows an error, is decided elsewhere, by the error's [`ErrorClass`].

mod client;
mod error;
mod instances;
mod launch;
mod prices;
mod user_data;

#[cfg(test)]
mod bootstrap_test;

pub use client::Fleet;
pub use error::{Error, ErrorClass};
pub use launch::client_token;
pub use user_data::check_user_data;

/// The tag that makes an instance ours; its value is the fleet's name.
const FLEET_TAG: &str = "ghascale:fleet";
/// The pool it was launched for.
const POOL_TAG: &str = "ghascale:pool";
/// The slot it was launched for, in plain decimal.
const SLOT_TAG: &str = "ghascale:slot";
/// The runner record it was launched with, in plain decimal.
const RUNNER_ID_TAG: &str = "ghascale:runner-id";
/// How it was bought: `spot` or `on-demand`.
const MARKET_TAG: &str = "ghascale:market";
