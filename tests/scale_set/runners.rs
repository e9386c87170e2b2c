//! Runner records: looked up, removed, registered.

use std::time::{Duration, Instant};

use ghascale::engine::{RunnerId, RunnerName};
use ghascale::scale_set::{ErrorKind, Jit, RunnerRemoved, ScaleSetId, ServiceRunner};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::stand_in::{AGENTS, Answer, SETS, StandIn, answer, exception, list, lost, ok};

fn record(id: u64, name: &str, scale_set: Option<u64>) -> Value {
    json!({ "id": id, "name": name, "runnerScaleSetId": scale_set, "status": 2, "createdOn": "0001-01-01T00:00:00Z" })
}

fn runner(id: u64, name: &str, scale_set: Option<u64>) -> ServiceRunner {
    ServiceRunner { id: RunnerId(id), name: name.into(), scale_set: scale_set.map(ScaleSetId), created_at: None }
}

#[tokio::test]
async fn a_record_says_when_it_was_made_if_the_service_does() {
    let github = StandIn::start().await;
    let made = json!({ "id": 41, "name": "r", "createdOn": "2026-03-04T05:06:07.89Z" });
    github.plant(format!("GET {AGENTS}/41?"), ok(&made));
    let found = github.client().runner(RunnerId(41)).await.unwrap().unwrap();
    assert_eq!(found.created_at, Some("2026-03-04T05:06:07.89Z".parse().unwrap()));
}

#[tokio::test]
async fn a_record_is_read_by_id_and_by_name_and_all_are_listed() {
    let github = StandIn::start().await;
    github.plant(format!("GET {AGENTS}/41?"), ok(&record(41, "r 1", Some(7))));
    github.plant(format!("GET {AGENTS}?agentName=r%201&"), list(&[record(41, "R 1", Some(0))]));
    github.plant(format!("GET {AGENTS}?api"), list(&[record(41, "r 1", Some(7)), record(42, "x", None)]));
    let client = github.client();
    assert_eq!(client.runner(RunnerId(41)).await.unwrap(), Some(runner(41, "r 1", Some(7))));
    assert_eq!(client.runner_named(&"r 1".into()).await.unwrap(), Some(runner(41, "R 1", None)));
    assert_eq!(client.runners().await.unwrap(), [runner(41, "r 1", Some(7)), runner(42, "x", None)]);
}

#[tokio::test]
async fn a_record_is_gone_when_the_service_says_so_and_not_when_a_proxy_does() {
    let github = StandIn::start().await;
    let (get, delete) = (format!("GET {AGENTS}/41?"), format!("DELETE {AGENTS}/41?"));
    let client = github.client();
    github.plant(&get, exception(404, "AgentNotFoundException"));
    github.plant(&delete, exception(404, "AgentNotFoundException").header("ActivityId", "act-1"));
    assert_eq!(client.runner(RunnerId(41)).await.unwrap(), None);
    let gone = RunnerRemoved::Gone { request_id: Some("act-1".to_owned()) };
    assert_eq!(client.remove_runner(RunnerId(41)).await.unwrap(), gone);
    for elsewhere in [answer(404, "<html>"), answer(404, ""), answer(404, r#"{"message":"Not Found"}"#)] {
        github.plant(&get, elsewhere.clone()).plant(&delete, elsewhere);
        assert_eq!(client.runner(RunnerId(41)).await.unwrap_err().kind, ErrorKind::NotFound);
        assert_eq!(client.remove_runner(RunnerId(41)).await.unwrap_err().kind, ErrorKind::NotFound);
    }
}

#[tokio::test]
async fn a_removal_is_done_or_refused_and_sent_once() {
    let delete = format!("DELETE {AGENTS}/41?");
    let id = || Some("act-1".to_owned());
    let cases: [(Answer, Result<RunnerRemoved, ErrorKind>); 6] = [
        (answer(204, ""), Ok(RunnerRemoved::Gone { request_id: id() })),
        (exception(400, "JobStillRunningException"), Ok(RunnerRemoved::Busy { request_id: id() })),
        (exception(409, "JobStillRunningException"), Ok(RunnerRemoved::Busy { request_id: id() })),
        (exception(400, "ArgumentException"), Err(ErrorKind::Refused)),
        (answer(503, ""), Err(ErrorKind::Server)),
        (lost(), Err(ErrorKind::Transport)),
    ];
    for (planted, expected) in cases {
        let github = StandIn::start().await;
        github.plant(&delete, planted.header("x-github-request-id", "front").header("ActivityId", "act-1"));
        let removed = github.client().remove_runner(RunnerId(41)).await;
        assert_eq!((removed.map_err(|error| error.kind), github.count("DELETE")), (expected, 1));
    }
}

#[tokio::test]
async fn nobody_of_a_name_is_not_somebody_who_can_not_be_read() {
    let github = StandIn::start().await;
    let get = format!("GET {AGENTS}?agentName=r&");
    github.plant(&get, list(&[])).plant(&get, list(&[json!({ "name": "r" })]));
    let client = github.client();
    assert_eq!(client.runner_named(&"r".into()).await.unwrap(), None);
    assert_eq!(client.runner_named(&"r".into()).await.unwrap_err().kind, ErrorKind::Protocol);
}

// --- registering ----------------------------------------------------------------------------------------------------

fn name() -> RunnerName {
    "acme-linux-001".into()
}

fn taken() -> Answer {
    exception(409, "AgentExistsException")
}

fn key() -> Answer {
    ok(&json!({ "runner": { "id": 41, "name": "acme-linux-001", "runnerScaleSetId": 7 }, "encodedJitConfig": "a2V5" }))
}

/// Registers where these answers are planted; returns the result, and how often was asked for it.
async fn register(answers: &[Answer], lookup: Answer) -> (Result<Option<RunnerId>, ErrorKind>, StandIn) {
    let github = StandIn::start().await;
    for planted in answers {
        github.plant(format!("POST {SETS}/7/generatejitconfig?"), planted.clone());
    }
    github.plant(format!("GET {AGENTS}?agentName=acme-linux-001&"), lookup);
    let result = github.client().jit_config(ScaleSetId(7), &name()).await;
    let result = result.map_err(|error| error.kind).map(|jit| match jit {
        Jit::New { runner_id, jit_config } => {
            assert_eq!(jit_config.expose_secret(), "a2V5");
            Some(runner_id)
        }
        Jit::NameTaken => None,
    });
    (result, github)
}

#[tokio::test]
async fn a_runner_is_registered_and_its_key_handed_over() {
    let (result, github) = register(&[key()], list(&[])).await;
    assert_eq!(result, Ok(Some(RunnerId(41))));
    let calls = github.calls_of("POST /svc/");
    assert_eq!((calls.len(), calls[0].json()), (1, json!({ "name": "acme-linux-001", "workFolder": "_work" })));
}

#[tokio::test]
async fn a_taken_name_is_a_lock_and_its_record_is_never_deleted() {
    for (holder, registrations) in [
        (list(&[record(40, "acme-linux-001", Some(7))]), 1),
        (list(&[record(40, "acme-linux-001", Some(8))]), 1),
        // Nobody can say who holds it: it is held.
        (answer(403, ""), 1),
        // Said to be free, and taken again.
        (list(&[]), 2),
    ] {
        let (result, github) = register(&[taken(), taken(), key()], holder).await;
        assert_eq!((result, github.count("POST /svc/"), github.count("DELETE")), (Ok(None), registrations, 0));
    }
}

#[tokio::test]
async fn a_name_that_is_free_after_all_is_asked_for_once_more() {
    let (result, github) = register(&[taken(), key()], list(&[])).await;
    assert_eq!((result, github.count("POST /svc/")), (Ok(Some(RunnerId(41))), 2));
}

#[tokio::test]
async fn a_service_that_says_when_is_left_alone_until_then_by_every_pool() {
    let github = StandIn::start().await;
    let client = github.client();
    let first = format!("POST {SETS}/7/generatejitconfig?");
    github.plant(&first, answer(429, "").header("retry-after", "2"));
    github.plant(format!("POST {SETS}/8/generatejitconfig?"), key()).plant(&first, key());
    let throttled = client.jit_config(ScaleSetId(7), &name()).await.unwrap_err();
    assert!(matches!(throttled.kind, ErrorKind::Throttled { until: Some(_) }), "{throttled:?}");
    for set in [8, 7] {
        let kept = client.jit_config(ScaleSetId(set), &name()).await.unwrap_err();
        assert!(kept.status.is_none() && kept.request.contains(&format!("/{set}/generatejitconfig")), "{kept:?}");
    }
    assert_eq!(github.count("POST /svc/"), 1);
    // What undoes something, or looks, is sent all the same.
    github.plant(format!("GET {AGENTS}/41?"), ok(&record(41, "r", None)));
    assert!(client.runner(RunnerId(41)).await.unwrap().is_some());
    let deadline = Instant::now() + Duration::from_secs(20);
    while client.jit_config(ScaleSetId(8), &name()).await.is_err() {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(github.count("POST /svc/"), 2);
}

#[tokio::test]
async fn a_registration_without_an_answer_is_never_repeated() {
    for (planted, kind) in [
        (lost(), ErrorKind::Transport),
        (key().truncated(), ErrorKind::Transport),
        (answer(502, "<html>"), ErrorKind::Server),
        (answer(429, ""), ErrorKind::Throttled { until: None }),
        (answer(200, r#"{"runner":{"id":41},"encodedJITConfig":null}"#), ErrorKind::Protocol),
        (answer(200, r#"{"runner":null,"encodedJITConfig":"x"}"#), ErrorKind::Protocol),
        (exception(404, "RunnerScaleSetNotFoundException"), ErrorKind::ScaleSetNotFound),
    ] {
        let (result, github) = register(&[planted, key()], list(&[])).await;
        assert_eq!((result, github.count("POST /svc/"), github.count("GET")), (Err(kind), 1, 0));
    }
}
