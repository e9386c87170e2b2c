//! Real time: one process that listens to every pool's scale set, and does at once what `apply` does once a minute.
//!
//! - Each pool with a scale set has a [`scale_set::Listener`] that holds its session and waits for nobody. What it hears
//!   comes here.
//! - At every message the launches of its pool are decided: by the counts that came with it and by the supply as it is
//!   known ([`KnownSupply`]), with no call in between. Launches run beside.
//! - A look at instances, runner records and the sets' counts follows whatever has changed, and comes every two minutes
//!   anyway; launches are decided by it as at a message.
//! - Once a minute everything is observed, as by `apply`: only then anything is ended, pools without a scale set are
//!   launched for, and the counts are held against the REST API's jobs.
//!
//! `desk.rs` is the loop, `desk/heard.rs` what follows from a message, `desk/launches.rs` how launches are decided and
//! begun, `desk/seen.rs` what follows from a look; `supply.rs`, `assigned.rs` and `phantoms.rs` are what is known between
//! two looks; `ledger.rs` is what the listeners are lent of what all pools together may have.
//!
//! The engine, its check and the executor are those of `apply`, and so are the slots and names: beside this, `apply` is
//! another host at work. Nothing here is needed by the next process: a session that is opened begins with the full counts.

mod assigned;
mod desk;
mod event;
mod ledger;
pub mod metrics;
mod phantoms;
mod supply;

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, watch};

use self::desk::{Desk, Shared};
pub use self::event::{Event, JobRow, Line, SessionState};
use self::metrics::Metrics;
pub use self::supply::KnownSupply;
use crate::apply::Paces;
use crate::config::Config;
use crate::ec2::Fleet;
use crate::engine::PoolName;
use crate::github::Client;
use crate::registrar::Registrar;
use crate::scale_set::{self, Pauses};
use crate::state::StateDirectory;

/// What a listener works with.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// GitHub's REST API.
    pub client: &'a Client,
    /// The Actions Service.
    pub service: &'a Arc<scale_set::Client>,
    /// EC2.
    pub fleet: &'a Fleet,
    /// This host's memory.
    pub state: &'a StateDirectory,
    /// Only these pools; all if none is named.
    pub pools: &'a [PoolName],
    /// How often everything is observed.
    pub every: Duration,
    /// How long is waited before a session is tried again.
    pub pauses: Pauses,
    /// Whom the service names to others who try to open a session of ours.
    pub owner: &'a str,
    /// Hears of each event.
    pub hear: &'a dyn Fn(Line),
    /// Is counted and measured in.
    pub metrics: &'a Metrics,
    /// How fast EC2 may be asked: what it refused is remembered over changes of the configuration.
    pub paces: &'a RefCell<Paces>,
    /// Is called when all is well with the loop, several times a minute.
    pub alive: &'a dyn Fn(),
}

/// Listens until `stop` is true; then what is under way is finished, within 20 s, and the sessions are closed.
pub async fn serve(parts: Parts<'_>, stop: watch::Receiver<bool>) {
    let registrar = Registrar::new(parts.client, &parts.config.github.scope, parts.service);
    let supply = RefCell::new(KnownSupply::of(parts.config.policy().fleet));
    supply.borrow_mut().price(parts.config.prices());
    let shared = Shared {
        parts,
        registrar: &registrar,
        supply: &supply,
        paces: parts.paces,
        is_stopping: &Cell::new(false),
        undoing: &Mutex::new(()),
    };
    Desk::new(shared).run(stop).await;
}
