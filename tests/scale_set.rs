//! The client of the Actions Service over real HTTP: what it sends, how often, and what it makes of bad answers.

mod connection;
mod runners;
mod scale_sets;
mod secrets;
mod session;
pub(crate) mod stand_in;

use serde_json::{Value, json};

/// A scale set as the service writes it.
pub(crate) fn set(id: u64, name: &str, labels: &[&str]) -> Value {
    let labels: Vec<Value> = labels.iter().map(|label| json!({ "type": "system", "name": label })).collect();
    json!({
        "id": id, "name": name, "runnerGroupId": 1, "runnerGroupName": "Default", "labels": labels,
        "RunnerSetting": {}, "createdOn": "2026-08-01T10:00:00.1234567Z", "runnerJitConfigUrl": null,
        "statistics": null, "status": 7,
    })
}

/// The seven counts, all different.
pub(crate) fn counts() -> Value {
    json!({
        "totalAvailableJobs": 1, "totalAcquiredJobs": 2, "totalAssignedJobs": 3, "totalRunningJobs": 4,
        "totalRegisteredRunners": 5, "totalBusyRunners": 6, "totalIdleRunners": 7,
    })
}

fn statistics() -> ghascale::engine::Statistics {
    let [available, acquired, assigned, running, registered, busy, idle] = [1, 2, 3, 4, 5, 6, 7];
    ghascale::engine::Statistics { available, acquired, assigned, running, registered, busy, idle }
}
