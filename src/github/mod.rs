//! GitHub's REST API: one client, and one file for each thing that is read or written there.

mod error;

pub use error::{Error, ErrorKind};
