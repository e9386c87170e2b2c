//! EC2: the instances of the fleet, how they are launched, marked and ended.

mod error;

pub use error::{Error, ErrorClass};
