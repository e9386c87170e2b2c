//! `scale-set`, and the scale set as the source of demand in `status`, `plan` and `apply`.

mod compare;
mod explain;
mod manage;
mod sources;

use super::{Desk, X64, redacted};

const SET: &str = "scale_set = \"linux-x64\"\n";

/// A desk whose pool `linux-x64` has a scale set of the same name in the configuration; whether there is one, each test
/// decides.
async fn desk() -> Desk {
    let desk = Desk::open().await;
    desk.reconfigure("name = \"linux-x64\"\n", &format!("name = \"linux-x64\"\n{SET}"));
    desk
}

/// The same with the set, which a listener of another system serves: it announces a capacity, and has no runners.
pub(crate) async fn listened(capacity: u32) -> Desk {
    let desk = desk().await;
    desk.sandbox.world().scale_set("linux-x64").labels(X64).listened(capacity);
    desk
}
