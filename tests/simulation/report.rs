//! What a failing history looks like to the person who has to understand it.

use std::fmt::Write as _;

use ghascale::engine::{Plan, Step};

/// Says a plan in a line.
pub(crate) fn short(plan: &Plan) -> String {
    let mut line = String::new();
    for action in &plan.actions {
        let name = action.runner.as_ref().map_or("?", |name| name.as_str());
        let said = match &action.step {
            Step::Launch { .. } => write!(line, " +{name}"),
            Step::Deregister { runner_id, .. } => write!(line, " -{runner_id} ({:?})", action.reason.code),
            Step::Terminate { instance_id, .. } => write!(line, " -{instance_id} ({:?})", action.reason.code),
            Step::Mark { instance_id, mark, set, .. } => write!(line, " ~{instance_id} {mark:?} {set}"),
        };
        said.expect("a string takes every word");
    }
    if line.is_empty() { "plans nothing".to_owned() } else { format!("plans{line}") }
}
