//! The service's JSON documents.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::engine::Statistics;
use crate::sandbox::world::{Entry, EntryKind, Message, Runner, RunnerGroup, ScaleSet, World};

/// How a time is written that isn't set.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// What stays with [`hollow`], unless it is zero or empty.
const ESSENTIAL: [&str; 32] = [
    "id",
    "name",
    "runnerGroupId",
    "labels",
    "count",
    "value",
    "url",
    "token",
    "runner",
    "encodedJITConfig",
    "runnerScaleSetId",
    "sessionId",
    "messageQueueUrl",
    "messageQueueAccessToken",
    "runnerScaleSet",
    "statistics",
    "messageId",
    "messageType",
    "body",
    "typeName",
    "message",
    "repositoryName",
    "ownerName",
    "jobId",
    "jobDisplayName",
    "workflowRunId",
    "runnerRequestId",
    "requestLabels",
    "runnerId",
    "runnerName",
    "result",
    "queueTime",
];

/// Returns a scale set; `statistics` are null in lists.
pub(super) fn scale_set(world: &World, service: &str, set: &ScaleSet, statistics: Option<Statistics>) -> Value {
    let url = format!("{service}_apis/runtime/runnerscalesets/{}", set.id);
    let labels: Vec<_> = set
        .labels
        .iter()
        .zip(1_u32..)
        .map(|(label, id)| json!({ "id": id, "name": label, "type": "system" }))
        .collect();
    json!({
        "id": set.id, "name": set.name, "runnerGroupId": set.group_id,
        "runnerGroupName": world.group_at(&set.scope, set.group_id).map(|group| &group.name), "labels": labels,
        "RunnerSetting": { "ephemeral": true, "isElastic": true, "disableUpdate": set.disable_update },
        "createdOn": time(set.created_at), "runnerJitConfigUrl": format!("{url}/generatejitconfig"),
        "getAcquirableJobsUrl": format!("{url}/acquirablejobs"), "acquireJobsUrl": format!("{url}/acquirejobs"),
        "status": if set.session.is_some() { "online" } else { "offline" }, "enabled": true,
        "statistics": statistics.map(counts),
    })
}

/// Returns the seven counts.
pub(super) fn counts(statistics: Statistics) -> Value {
    json!({
        "totalAvailableJobs": statistics.available, "totalAcquiredJobs": statistics.acquired,
        "totalAssignedJobs": statistics.assigned, "totalRunningJobs": statistics.running,
        "totalRegisteredRunners": statistics.registered, "totalBusyRunners": statistics.busy,
        "totalIdleRunners": statistics.idle,
    })
}

/// Returns a runner group.
pub(super) fn runner_group(group: &RunnerGroup, runners: usize) -> Value {
    json!({ "id": group.id, "name": group.name, "size": runners, "isDefaultGroup": group.is_default() })
}

/// Returns a runner's record.
pub(super) fn runner(world: &World, runner: &Runner) -> Value {
    let labels: Vec<_> =
        runner.labels.iter().zip(1_u32..).map(|(name, id)| json!({ "id": id, "name": name, "type": "user" })).collect();
    json!({
        "id": runner.id, "name": runner.name, "runnerScaleSetId": runner.scale_set, "os": "linux",
        "runnerGroupId": runner.group_id, "runnerGroupName": world.group_at(&runner.scope, runner.group_id).map(|group| &group.name),
        "createdOn": time(runner.since), "version": "2.330.0", "enabled": true, "ephemeral": runner.ephemeral,
        "status": if runner.online { "online" } else { "offline" }, "busy": world.job_on(runner.id).is_some(),
        "disableUpdate": false, "provisioningState": "Provisioned", "labels": labels,
    })
}

/// Returns a message: its entries are an array of JSON, as text.
pub(super) fn message(message: &Message, service: &str, set: u64, nulls: bool) -> Value {
    let mut entries: Vec<_> = message.entries.iter().map(|it| entry(it, service, set)).collect();
    if nulls {
        entries.iter_mut().for_each(hollow);
    }
    let body = if entries.is_empty() { String::new() } else { Value::Array(entries).to_string() };
    json!({
        "messageId": message.id, "messageType": "RunnerScaleSetJobMessages", "body": body,
        "statistics": counts(message.statistics),
    })
}

/// Returns what is told of a job.
pub(super) fn entry(entry: &Entry, service: &str, set: u64) -> Value {
    let (owner, repository) = entry.repository.split_once('/').unwrap_or(("", &entry.repository));
    let at = |at: Option<Timestamp>| at.map_or_else(|| NEVER.to_owned(), time);
    let mut document = json!({
        "runnerRequestId": entry.request_id, "jobId": entry.job_id, "ownerName": owner, "repositoryName": repository,
        "jobWorkflowRef": format!(
            "{}/.github/workflows/{}.yml@refs/heads/main", entry.repository, entry.workflow
        ),
        "jobDisplayName": entry.name, "workflowRunId": entry.run_id, "eventName": "push",
        "requestLabels": entry.labels, "queueTime": time(entry.queued_at),
        "scaleSetAssignTime": at(entry.assigned_at), "runnerAssignTime": at(entry.started_at),
        "finishTime": at(entry.finished_at),
    });
    let more = match &entry.kind {
        EntryKind::Available => json!({
            "messageType": "JobAvailable",
            "acquireJobUrl": format!("{service}_apis/runtime/runnerscalesets/{set}/acquirejobs"),
        }),
        EntryKind::Assigned => json!({ "messageType": "JobAssigned" }),
        EntryKind::Started(id, name) => json!({ "messageType": "JobStarted", "runnerId": id, "runnerName": name }),
        EntryKind::Completed(result, id, name) => {
            json!({ "messageType": "JobCompleted", "result": result, "runnerId": id, "runnerName": name })
        }
    };
    if let (Value::Object(document), Value::Object(more)) = (&mut document, more) {
        document.extend(more);
    }
    document
}

/// Puts null in the place of whatever a client can do without, and of whatever is zero or empty: a decoder that takes
/// null for zero, as Go's does, reads the same.
pub(super) fn hollow(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if is_zero(field) || !ESSENTIAL.contains(&name.as_str()) && !name.starts_with("total") {
                    *field = Value::Null;
                } else {
                    hollow(field);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hollow),
        _ => {}
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty() || text == NEVER,
        Value::Array(items) => items.is_empty(),
        Value::Object(_) => false,
    }
}

/// Writes a time as the service does.
fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hollow_keeps_what_can_not_be_done_without() {
        let mut document = json!({
            "id": 7, "name": "linux", "runnerGroupName": "Default", "createdOn": "2026-11-24T08:00:00Z",
            "labels": [{ "name": "linux", "type": "system" }],
            "statistics": { "totalAssignedJobs": 2, "totalIdleRunners": 0 }, "runnerRequestId": 0, "jobId": "",
        });
        hollow(&mut document);
        assert_eq!(
            document,
            json!({
                "id": 7, "name": "linux", "runnerGroupName": null, "createdOn": null,
                "labels": [{ "name": "linux", "type": null }],
                "statistics": { "totalAssignedJobs": 2, "totalIdleRunners": null }, "runnerRequestId": null,
                "jobId": null,
            })
        );
    }
}
