//! Undoing what a process had registered, and not ordered, when it died: its slot needn't wait for the launch window.
//!
//! No job can be with such a record: its key was in the memory of that process alone, so nobody has ever connected by it.
//! All the same it goes like any other: looked at once more, offline and idle, ours by what no other record has, and with
//! no instance of it on EC2.

use crate::engine::{Connection, RunnerId, Source, born};
use crate::github;
use crate::services::{Birthmark, Instances, Removed, RunnerRecords, Unordered};

/// What came of an attempt to undo a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undone {
    /// Its record is gone now.
    Removed {
        /// The record.
        runner_id: RunnerId,
        /// GitHub's id of the request.
        request_id: Option<String>,
    },
    /// No record has its name. A registration that was under way when its process died may still come to be.
    Absent,
    /// What has its name is not what was noted, or contradicts it: it is left to whoever judges records.
    Kept(String),
}

/// Undoes a registration without an order, whose process is gone.
///
/// # Errors
/// GitHub or EC2 can't be asked: nothing was changed, or nobody knows.
pub async fn undo<R: RunnerRecords, I: Instances>(
    left: &Unordered,
    runners: &R,
    instances: &I,
) -> std::result::Result<Undone, String> {
    let asked = |error: github::Error| error.to_string();
    let Some(runner) = runners.runner_named(&left.name).await.map_err(asked)? else { return Ok(Undone::Absent) };
    let kept = |why: &str| Ok(Undone::Kept(why.to_owned()));
    let (runner_id, book) = match &left.mark {
        Birthmark::Label(label) if runner.labels.contains(label) => (runner.id, Source::Rest),
        Birthmark::Id(id) if born(&runner.labels).is_none() => (*id, Source::ScaleSet),
        Birthmark::Label(_) | Birthmark::Id(_) => return kept("its name is another registration's by now"),
    };
    match runner.connection {
        Connection::Offline if !runner.busy => {}
        Connection::Offline => return kept("GitHub says that it is busy"),
        Connection::Online | Connection::Unknown => return kept("GitHub does not say that it is offline"),
    }
    match instances.launched_for(runner_id).await {
        Ok(None) => {}
        Ok(Some(instance)) => return Ok(Undone::Kept(format!("its instance {instance} is there"))),
        Err(error) => return Err(error.to_string()),
    }
    match runners.undo(runner_id, book).await.map_err(asked)? {
        Removed::Gone { request_id } | Removed::Absent { request_id } => Ok(Undone::Removed { runner_id, request_id }),
        Removed::Busy { .. } => kept("GitHub says that it is running a job"),
    }
}
