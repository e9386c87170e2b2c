//! Bytes as the service wrote, or could write, them; both dispatch modes.

use serde_json::json;

use super::decode::{Entries, OpenSession, acquirable_job, entries, ids, message, object, runner, scale_set, session};
use super::message::{JobEvent, JobKey, JobMessage, JobRunner, Message};
use crate::engine::{Label, RunId, RunnerId, Statistics};

/// Returns a message with these entries, encoded twice as the service does.
fn with_jobs(jobs: &serde_json::Value) -> Message {
    let kind = "RunnerScaleSetJobMessages";
    let outer = json!({ "messageId": 100_000_001, "messageType": kind, "body": jobs.to_string(), "statistics": null });
    message(outer.to_string().as_bytes()).unwrap()
}

fn one(job: &serde_json::Value) -> JobMessage {
    let mut read = with_jobs(&json!([job]));
    assert_eq!((read.jobs.len(), read.unreadable), (1, 0), "{job}");
    read.jobs.remove(0)
}

fn time(text: &str) -> jiff::Timestamp {
    text.parse().unwrap()
}

/// Direct assignment, as github.com does it today: a job's id and no request's.
const DIRECT: &str = r#"{
  "messageId": 100000001, "messageType": "RunnerScaleSetJobMessages",
  "statistics": {"totalAvailableJobs": 0, "totalAcquiredJobs": 0, "totalAssignedJobs": 2, "totalRunningJobs": 1,
                 "totalRegisteredRunners": 2, "totalBusyRunners": 1, "totalIdleRunners": 0},
  "body": "[{\"messageType\":\"JobAssigned\",\"jobId\":\"85cb1f2e-0000-4000-8000-000000000001\",\"runnerRequestId\":0,\"workflowRunId\":31,\"ownerName\":\"acme\",\"repositoryName\":\"app\",\"jobDisplayName\":\"build\",\"jobWorkflowRef\":\"acme/app/.github/workflows/ci.yml@refs/heads/main\",\"eventName\":\"push\",\"requestLabels\":[\"linux\",\"x64\"],\"queueTime\":\"2026-08-01T10:00:00Z\",\"scaleSetAssignTime\":\"2026-08-01T10:00:01.5Z\",\"runnerAssignTime\":\"0001-01-01T00:00:00Z\",\"finishTime\":\"0001-01-01T00:00:00Z\"},{\"messageType\":\"JobStarted\",\"jobId\":\"85cb1f2e-0000-4000-8000-000000000002\",\"runnerRequestId\":0,\"runnerId\":41,\"runnerName\":\"acme-linux-001\"}]"
}"#;

#[test]
fn a_message_of_direct_assignment_is_read() {
    let read = message(DIRECT.as_bytes()).unwrap();
    let statistics = Statistics { assigned: 2, running: 1, registered: 2, busy: 1, ..Statistics::default() };
    assert_eq!((read.id, read.statistics, read.unreadable), (100_000_001, Some(statistics), 0));
    let job = &read.jobs[0];
    assert_eq!((&job.event, job.runner_request_id, job.run_id), (&JobEvent::Assigned, 0, RunId(31)));
    assert_eq!(job.key, JobKey::Job("85cb1f2e-0000-4000-8000-000000000001".to_owned()));
    assert_eq!((job.repository.clone(), &*job.name), (Some("acme/app".into()), "build"));
    assert_eq!(job.labels, [Label::from("linux"), Label::from("x64")]);
    assert_eq!(
        (job.queued_at, job.assigned_at),
        (Some(time("2026-08-01T10:00:00Z")), Some(time("2026-08-01T10:00:01.5Z")))
    );
    assert_eq!((job.runner_assigned_at, job.finished_at), (None, None));
    let runner = JobRunner { id: Some(RunnerId(41)), name: Some("acme-linux-001".into()) };
    assert_eq!(read.jobs[1].event, JobEvent::Started(runner));
    assert!(read.offers().is_empty());
}

#[test]
fn a_message_of_acquiring_has_offers_each_once_and_odd_ids_are_none() {
    let offer = |id: u64, run: u64| json!({ "messageType": "JobAvailable", "runnerRequestId": id, "jobId": "", "workflowRunId": run });
    let assigned = json!({ "messageType": "JobAssigned", "runnerRequestId": 9, "jobId": null });
    let again = [offer(514, 1), offer(514, 1)];
    let ambiguous = [offer(515, 1), offer(515, 2)];
    let [first, second] = [offer(512, 1), offer(513, 1)];
    let read =
        with_jobs(&json!([first, second, offer(0, 1), again[0], again[1], ambiguous[0], ambiguous[1], assigned]));
    assert_eq!((read.jobs.len(), read.offers()), (8, vec![512, 513, 514]));
    assert_eq!(read.jobs[7].key, JobKey::Request(9));
}

#[test]
fn a_job_is_told_by_its_id_else_its_request_else_its_run_and_name() {
    let key = |job: serde_json::Value| one(&job).key;
    let kind = "JobAssigned";
    assert_eq!(key(json!({ "messageType": kind, "jobId": "a", "runnerRequestId": 7 })), JobKey::Job("a".into()));
    assert_eq!(key(json!({ "messageType": kind, "runnerRequestId": 7, "workflowRunId": 3 })), JobKey::Request(7));
    let bare = json!({ "messageType": kind, "jobId": null, "workflowRunId": 3, "jobDisplayName": "build" });
    assert_eq!(key(bare), JobKey::Run(RunId(3), "build".into()));
    let nil = json!({ "messageType": kind, "jobId": "00000000-0000-0000-0000-000000000000", "runnerRequestId": 7 });
    assert_eq!(key(nil), JobKey::Request(7));
}

#[test]
fn a_lapsed_assignment_is_completed_without_a_runner() {
    let lapsed =
        json!({ "messageType": "JobCompleted", "jobId": "a", "result": "canceled", "runnerId": 0, "runnerName": "" });
    let nobody = JobRunner { id: None, name: None };
    assert_eq!(one(&lapsed).event, JobEvent::Completed { result: "canceled".into(), runner: nobody });
}

#[test]
fn a_message_may_be_statistics_only() {
    for body in [r#""""#, "null", r#""[]""#, r#""null ""#, "[]"] {
        let text = format!(
            r#"{{"messageId":1,"messageType":"RunnerScaleSetJobMessages","body":{body},"statistics":{{"totalAssignedJobs":3}}}}"#
        );
        let read = message(text.as_bytes()).unwrap();
        let expected = Statistics { assigned: 3, ..Statistics::default() };
        assert_eq!((read.jobs.len(), read.unreadable, read.statistics), (0, 0, Some(expected)), "{body}");
    }
    let read = message(br#"{"messageId":1,"messageType":"RunnerScaleSetJobMessages"}"#).unwrap();
    assert_eq!((read.jobs.len(), read.unreadable, read.statistics), (0, 0, None));
}

#[test]
fn a_mark_another_case_and_texts_for_numbers_are_all_the_same() {
    let text = "\u{feff} {\"MESSAGEID\":\"7\",\"MessageType\":\"runnerscalesetjobmessages\",\
                \"Body\":\"\u{feff}[{\\\"MessageType\\\":\\\"JobStarted\\\",\\\"JobID\\\":\\\"a\\\",\\\"RUNNERID\\\":41.0}]\",\
                \"STATISTICS\":{\"TotalIdleRunners\":\"2\",\"TOTALASSIGNEDJOBS\":\"1\"}}";
    let read = message(text.as_bytes()).unwrap();
    assert_eq!((read.id, read.statistics.map(|counts| (counts.idle, counts.assigned))), (7, Some((2, 1))));
    let runner = JobRunner { id: Some(RunnerId(41)), name: None };
    assert_eq!(read.jobs[0].event, JobEvent::Started(runner));
}

#[test]
fn unknown_kinds_are_kept() {
    let read = message(br#"{"messageId":8,"messageType":"Brand.New","body":"not JSON","statistics":{}}"#).unwrap();
    assert_eq!((read.id, &*read.kind, read.statistics), (8, "Brand.New", None));
    assert_eq!((read.jobs.len(), read.unreadable), (0, 0));
    assert_eq!(one(&json!({ "messageType": "JobPaused", "jobId": "a" })).event, JobEvent::Unknown("JobPaused".into()));
    assert_eq!(one(&json!({})).event, JobEvent::Unknown(String::new()));
}

#[test]
fn an_entry_that_can_not_be_read_does_not_lose_the_others() {
    let nobody = json!({ "messageType": "JobAssigned", "jobId": null, "runnerRequestId": null });
    let good = json!({ "messageType": "JobAssigned", "jobId": "a" });
    let read = with_jobs(&json!([null, 7, "x", nobody, good]));
    assert_eq!((read.jobs.len(), read.unreadable), (1, 4));
    for body in [r#""[{""#, r#""7""#, "7", r#"{"a":1}"#] {
        let text =
            format!(r#"{{"messageId":1,"messageType":"RunnerScaleSetJobMessages","body":{body},"statistics":{{}}}}"#);
        let read = message(text.as_bytes()).unwrap();
        assert_eq!((read.id, read.jobs.len(), read.unreadable), (1, 0, 1), "{body}");
        assert_eq!(read.statistics, None, "{body}");
    }
}

#[test]
fn a_batch_of_fifty_is_fifty() {
    let jobs: Vec<_> = (1..=50).map(|nth| json!({ "messageType": "JobAvailable", "runnerRequestId": nth })).collect();
    let read = with_jobs(&json!(jobs));
    assert_eq!((read.jobs.len(), read.offers()), (50, (1..=50).collect::<Vec<u64>>()));
}

#[test]
fn a_message_that_can_not_be_acknowledged_is_none() {
    for body in ["", "{}", "[]", "null", "{\"messageId\":null}", "<html>", "{\"messageId\":1"] {
        assert!(message(body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn nulls_are_what_is_missing() {
    let nulls = json!({
        "messageType": "JobCompleted", "jobId": "a", "runnerRequestId": null, "repositoryName": null, "ownerName": null,
        "jobDisplayName": null, "workflowRunId": null, "requestLabels": null, "queueTime": null, "finishTime": "soon",
        "result": null, "runnerId": null, "runnerName": null,
    });
    let bare = json!({ "messageType": "JobCompleted", "jobId": "a" });
    assert_eq!(one(&nulls), one(&bare));
}

#[test]
fn times_are_read_without_a_zone_too() {
    let job = json!({ "jobId": "a", "queueTime": "2026-08-01T10:00:00.1234567", "finishTime": "0001-01-01T00:00:00" });
    let job = one(&job);
    assert_eq!((job.queued_at, job.finished_at), (Some(time("2026-08-01T10:00:00.1234567Z")), None));
}

#[test]
fn a_scale_set_needs_an_id_and_nothing_else() {
    let read = |text: &str| scale_set(&object(text.as_bytes()).unwrap());
    let set = read(r#"{"ID":7,"labels":[{"type":"system","Name":"linux"},"x64",{"name":null},null]}"#).unwrap();
    assert_eq!((set.id.0, set.labels.len(), set.statistics, &*set.group.name), (7, 2, None, ""));
    let set = read(r#"{"id":7,"runnerGroupId":1,"statistics":{"totalAssignedJobs":null,"totalIdleRunners":-1}}"#);
    let set = set.unwrap();
    assert_eq!((&*set.group.name, set.statistics), ("Default", Some(Statistics::default())));
    // Without the demand, or with one that can't be, the counts say nothing: 0 would be a lie.
    for statistics in [r#"{"totalIdleRunners":1}"#, r#"{"totalAssignedJobs":-1}"#, r#"{"totalAssignedJobs":"many"}"#] {
        let set = read(&format!(r#"{{"id":7,"statistics":{statistics}}}"#)).unwrap();
        assert_eq!(set.statistics, None, "{statistics}");
    }
    assert_eq!(read(r#"{"id":0}"#), None);
}

#[test]
fn a_list_is_read_entry_by_entry() {
    let read = |text: &str| entries(text.as_bytes(), runner);
    let Entries { items, unreadable } = read(r#"{"count":4,"value":[{"id":1},{"id":null},3]}"#).unwrap();
    assert_eq!((items.len(), unreadable), (1, 3), "one was counted and not sent");
    assert_eq!(read(r#"[{"id":1}]"#).unwrap().items.len(), 1);
    for empty in [r#"{"count":0,"value":null}"#, r#"{"Value":null}"#, r#"{"count":null}"#] {
        assert_eq!(read(empty).unwrap(), Entries { items: Vec::new(), unreadable: 0 }, "{empty}");
    }
    for none in ["{}", r#"{"count":1,"value":{}}"#, "7", "", "<p>"] {
        assert!(read(none).is_err(), "{none}");
    }
    assert_eq!(
        ids(br#"{"count":3,"value":[512,"513",null]}"#).unwrap(),
        Entries { items: vec![512, 513], unreadable: 1 }
    );
    let jobs = entries(br#"{"count":1,"value":[{"runnerRequestId":5,"repositoryName":"acme/api"}]}"#, acquirable_job);
    assert_eq!(jobs.unwrap().items[0].repository, "acme/api");
}

#[test]
fn a_session_says_what_it_lacks() {
    let nil = r#"{"sessionId":"00000000-0000-0000-0000-000000000000","messageQueueUrl":null,"statistics":null}"#;
    let OpenSession { id, queue_url, statistics, .. } = session(&object(nil.as_bytes()).unwrap());
    assert_eq!((&*id, &*queue_url, statistics), ("", "", None));
}

#[test]
fn garbage_is_an_error_that_does_not_repeat_it() {
    for garbage in ["PLANTED", "{\"a\":PLANTED}", "<PLANTED>", "\"PLANTED\"", "{\"PLANTED", "\u{0}PLANTED"] {
        let error = object(garbage.as_bytes()).unwrap_err();
        assert!(!error.contains("PLANTED"), "{error}");
    }
}
