//! Message sessions: opened, renewed and closed; messages polled, acknowledged, and their jobs acquired.

use std::sync::Arc;
use std::time::Duration;

use ghascale::github::{self, Patience};
use ghascale::scale_set::{ErrorKind, JobEvent, Polled, ScaleSetId, Session};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::stand_in::{Answer, QUEUE_TOKEN, REGISTRATION, SETS, StandIn, answer, exception, jwt, lost, ok};
use super::{counts, statistics};

const ID: &str = "5d2a0c4e-0000-4000-8000-000000000001";

fn sessions() -> String {
    format!("POST {SETS}/7/sessions?")
}

fn this_session(method: &str) -> String {
    format!("{method} {SETS}/7/sessions/{ID}?")
}

fn opened(queue: &str, token: &str) -> Value {
    json!({
        "sessionId": ID, "ownerName": "host-1", "runnerScaleSet": null, "messageQueueUrl": queue,
        "messageQueueAccessToken": token, "statistics": counts(),
    })
}

fn token(nth: u32) -> String {
    format!("{QUEUE_TOKEN}-{nth}")
}

/// Opens a session whose queue is at the stand-in too.
async fn open(github: &StandIn) -> Session {
    github.plant(sessions(), ok(&opened(&format!("{}/q/message?s=1", github.url), &token(1))));
    Session::open(github.client(), ScaleSetId(7), "host-1").await.unwrap()
}

/// Plants a renewal, to another token.
fn plant_renewal(github: &StandIn, nth: u32) {
    let renewed = opened(&format!("{}/q/message?s={nth}", github.url), &token(nth));
    github.plant(this_session("PATCH"), ok(&renewed));
}

fn message(id: i64) -> Value {
    let body = json!([{ "messageType": "JobAvailable", "runnerRequestId": 512, "jobId": "" }]).to_string();
    json!({ "messageId": id, "messageType": "RunnerScaleSetJobMessages", "statistics": counts(), "body": body })
}

// --- opened, renewed, closed ----------------------------------------------------------------------------------------

#[tokio::test]
async fn a_session_is_opened_with_its_statistics() {
    let github = StandIn::start().await;
    let session = open(&github).await;
    assert_eq!((session.id(), session.statistics()), (ID, statistics()));
    let asked = github.calls_of("POST /svc/")[0].json();
    assert_eq!(asked["ownerName"], "host-1");
}

#[tokio::test]
async fn opening_is_tried_once_and_each_refusal_is_told_apart() {
    for (planted, kind) in [
        (exception(409, "RunnerScaleSetSessionConflictException"), ErrorKind::SessionConflict),
        (exception(404, "RunnerScaleSetNotFoundException"), ErrorKind::ScaleSetNotFound),
        (lost(), ErrorKind::Transport),
        (answer(500, ""), ErrorKind::Server),
        (answer(200, "<html>"), ErrorKind::Protocol),
    ] {
        let github = StandIn::start().await;
        github.plant(sessions(), planted);
        let error = Session::open(github.client(), ScaleSetId(7), "h").await.unwrap_err();
        assert_eq!((error.kind, github.count("POST /svc/")), (kind, 1), "{error}");
    }
}

#[tokio::test]
async fn a_session_that_lacks_something_is_deleted_and_may_be_tried_again() {
    for (lacks, deletions) in
        [("messageQueueUrl", 1), ("messageQueueAccessToken", 1), ("statistics", 1), ("sessionId", 0)]
    {
        let github = StandIn::start().await;
        let mut broken = opened("https://queue.example/q", &token(1));
        broken[lacks] = Value::Null;
        github.plant(sessions(), ok(&broken)).plant(this_session("DELETE"), answer(204, ""));
        let error = Session::open(github.client(), ScaleSetId(7), "h").await.unwrap_err();
        assert_eq!((error.kind, github.count("DELETE")), (ErrorKind::Server, deletions), "{lacks}: {error}");
    }
}

#[tokio::test]
async fn a_queue_at_a_plain_http_address_elsewhere_is_refused() {
    let github = StandIn::start().await;
    github.plant(sessions(), ok(&opened("http://queue.example/q?sig=hidden", &token(1))));
    let error = Session::open(github.client(), ScaleSetId(7), "h").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Protocol, "{error}");
    assert!(!format!("{error:?}").contains("hidden"), "{error:?}");
}

#[tokio::test]
async fn a_refresh_brings_another_token_another_queue_and_fresh_counts() {
    let github = StandIn::start().await;
    let session = open(&github).await;
    let mut renewed = opened(&format!("{}/other?s=9", github.url), &token(2));
    renewed["statistics"] = json!({ "totalAssignedJobs": 9 });
    github.plant(this_session("PATCH"), lost()).plant(this_session("PATCH"), ok(&renewed));
    assert_eq!(session.refresh().await.unwrap().assigned, 9);
    github.plant("GET /other?s=9&lastMessageId=4", answer(202, ""));
    session.poll(4, 1).await.unwrap();
    let calls = github.calls_of("GET /other");
    assert_eq!(calls[0].header("authorization").unwrap(), format!("Bearer {}", token(2)));
    // What a refresh leaves out has not changed.
    let bare = json!({ "messageQueueAccessToken": token(3) });
    github.plant(this_session("PATCH"), ok(&bare)).plant("GET /other?s=9", answer(202, ""));
    assert_eq!(session.refresh().await.unwrap().assigned, 9);
    session.poll(0, 1).await.unwrap();
}

#[tokio::test]
async fn a_session_that_the_service_forgot_is_expired() {
    for gone in [
        exception(400, "RunnerScaleSetSessionExpiredException"),
        exception(404, "RunnerAdminException"),
        exception(404, "RunnerScaleSetNotFoundException"),
        answer(400, r#"{"source":"broker","errorKind":"RunnerSessionInvalid","statusCode":400,"errorMessage":"x"}"#),
    ] {
        let github = StandIn::start().await;
        let session = open(&github).await;
        github.plant(this_session("PATCH"), gone);
        assert_eq!(session.refresh().await.unwrap_err().kind, ErrorKind::SessionExpired);
        assert_eq!(github.count("PATCH"), 1);
    }
}

#[tokio::test]
async fn a_session_is_closed_also_when_it_is_closed_already() {
    for planted in [
        answer(204, ""),
        exception(400, "RunnerScaleSetSessionExpiredException"),
        exception(404, "RunnerAdminException"),
        answer(404, ""),
    ] {
        let github = StandIn::start().await;
        let session = open(&github).await;
        github.plant(this_session("DELETE"), planted);
        session.close().await.unwrap();
    }
    for planted in [answer(500, ""), exception(400, "ArgumentException"), lost()] {
        let github = StandIn::start().await;
        let session = open(&github).await;
        github.plant(this_session("DELETE"), planted);
        session.close().await.unwrap_err();
    }
}

// --- polled ---------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_poll_says_how_many_runners_there_may_be_and_where_it_stands() {
    let github = StandIn::start().await;
    let session = open(&github).await;
    github.plant("GET /q/", answer(202, "")).plant("GET /q/", ok(&message(100_000_001)));
    assert_eq!(session.poll(0, 5).await.unwrap(), Polled::Nothing);
    let Polled::Message(message) = session.poll(100_000_000, 0).await.unwrap() else { panic!("no message") };
    assert_eq!((message.id, message.statistics, message.offers()), (100_000_001, Some(statistics()), vec![512]));
    assert_eq!(message.jobs[0].event, JobEvent::Available);
    let calls = github.calls_of("GET /q/");
    let lines: Vec<&str> = calls.iter().map(|call| call.line.as_str()).collect();
    assert_eq!(lines, ["GET /q/message?s=1", "GET /q/message?s=1&lastMessageId=100000000"]);
    let said = |nth: usize, name: &str| calls[nth].header(name).unwrap().to_owned();
    assert_eq!((said(0, "x-scalesetmaxcapacity"), said(1, "x-scalesetmaxcapacity")), ("5".into(), "0".into()));
    assert_eq!(said(0, "accept"), "application/json; api-version=6.0-preview");
    assert_eq!(said(0, "authorization"), format!("Bearer {}", token(1)));
}

#[tokio::test]
async fn a_message_without_a_body_is_none_and_a_failure_is_an_error() {
    let github = StandIn::start().await;
    let session = open(&github).await;
    for empty in ["", "\u{feff}", " \r\n", "null"] {
        github.plant("GET /q/", answer(200, empty));
        assert_eq!(session.poll(0, 1).await.unwrap(), Polled::Empty, "{empty:?}");
    }
    for (planted, kind) in [
        (ok(&message(1)).truncated(), ErrorKind::Transport),
        (lost(), ErrorKind::Transport),
        (answer(503, ""), ErrorKind::Server),
        (answer(429, ""), ErrorKind::Throttled { until: None }),
    ] {
        let before = github.count("GET /q/");
        github.plant("GET /q/", planted);
        let error = session.poll(0, 1).await.unwrap_err();
        assert_eq!((error.kind, github.count("GET /q/") - before), (kind, 1), "{error}");
    }
}

#[tokio::test]
async fn a_queue_that_says_nothing_on_an_open_connection_is_given_up() {
    let github = StandIn::start().await;
    github.plant(sessions(), ok(&opened(&format!("{}/q/message?s=1", github.url), &token(1))));
    let client = github.client_that_polls_for(Duration::from_millis(50));
    let session = Session::open(client, ScaleSetId(7), "host-1").await.unwrap();
    github.plant("GET /q/", answer(202, "").held(&Arc::new(Notify::new())));
    let polled = tokio::time::timeout(Duration::from_secs(20), session.poll(0, 1)).await.expect("it is given up");
    assert_eq!((polled.unwrap_err().kind, github.count("GET /q/")), (ErrorKind::Transport, 1));
    // One that the service holds as long as it does is not; and a dead connection is noticed before a health check does.
    let poll = Patience::default().poll;
    assert!(poll > Duration::from_mins(1) && poll <= Duration::from_mins(2), "{poll:?}");
}

#[tokio::test]
async fn a_message_that_can_not_be_read_says_its_id_if_it_can() {
    let github = StandIn::start().await;
    let session = open(&github).await;
    for (body, expected) in [
        ("{}", None),
        ("<html>", None),
        ("{\"messageId\":0}", None),
        ("{\"messageId\":\"x\",\"body\":1", None),
        ("{\"messageId\": 7,", Some(7)),
        ("{\"messageType\":\"x\",\"messageId\" :9223372036854775807", Some(i64::MAX)),
        ("{\"messageId\":99999999999999999999,", None),
    ] {
        github.plant("GET /q/", answer(200, body));
        match session.poll(0, 1).await.unwrap() {
            Polled::Unreadable { id, why } => assert_eq!((id, why.kind), (expected, ErrorKind::Protocol), "{body}"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_queue_that_refuses_has_lost_the_session() {
    for status in [400, 403, 404] {
        let github = StandIn::start().await;
        let session = open(&github).await;
        github.plant("GET /q/", answer(status, "")).plant("DELETE /q/", answer(400, ""));
        assert_eq!(session.poll(0, 1).await.unwrap_err().kind, ErrorKind::SessionExpired);
        assert_eq!(session.acknowledge(9).await.unwrap_err().kind, ErrorKind::SessionExpired);
        assert_eq!((github.count("GET /q/"), github.count("PATCH")), (1, 0));
    }
}

#[tokio::test]
async fn a_queue_token_that_is_refused_is_renewed_once() {
    let github = StandIn::start().await;
    let session = open(&github).await;
    github.plant("GET /q/", answer(401, "")).plant("GET /q/message?s=2", ok(&message(1)));
    plant_renewal(&github, 2);
    assert!(matches!(session.poll(0, 1).await.unwrap(), Polled::Message(_)));
    assert_eq!((github.count("PATCH"), github.count(REGISTRATION)), (1, 1));
    // And a renewed one that is refused ends the session.
    for _ in 0..9 {
        github.plant("GET /q/", answer(401, ""));
    }
    plant_renewal(&github, 3);
    assert_eq!(session.poll(0, 1).await.unwrap_err().kind, ErrorKind::SessionExpired);
    assert_eq!((github.count("GET /q/"), github.count("PATCH")), (4, 2));
}

#[tokio::test]
async fn a_refusal_of_githubs_on_the_way_to_a_renewal_is_no_lost_session() {
    let github = StandIn::start().await;
    let session = open(&github).await;
    github.plant("GET /q/", answer(401, "")).plant(this_session("PATCH"), answer(401, ""));
    for _ in 0..9 {
        github.plant(REGISTRATION, answer(403, r#"{"message":"Resource not accessible"}"#));
    }
    let refused = session.poll(0, 1).await.unwrap_err();
    assert_eq!((refused.kind, refused.status), (ErrorKind::Github(github::ErrorKind::Forbidden), Some(403)));
}

#[tokio::test]
async fn a_token_that_is_refused_to_many_at_once_is_renewed_once() {
    let github = StandIn::start().await;
    let session = open(&github).await;
    let gate = Arc::new(Notify::new());
    for _ in 0..20 {
        github.plant("DELETE /q/", answer(401, "").held(&gate));
    }
    for _ in 0..20 {
        github.plant("DELETE /q/", answer(204, ""));
    }
    plant_renewal(&github, 2);
    let all = futures::future::join_all((1..=20).map(|id| session.acknowledge(id)));
    let open = async {
        while github.count("DELETE /q/") < 20 {
            tokio::task::yield_now().await;
        }
        gate.notify_waiters();
    };
    let (results, ()) = tokio::join!(all, open);
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(github.count("PATCH"), 1);
}

#[tokio::test]
async fn nothing_waits_for_a_poll() {
    let github = StandIn::start().await;
    let session = open(&github).await;
    let gate = Arc::new(Notify::new());
    github.plant("GET /q/", answer(202, "").held(&gate)).plant("DELETE /q/message/1?s=1", answer(204, ""));
    github.plant(format!("POST {SETS}/7/acquirejobs?"), ok(&json!({ "count": 1, "value": [1] })));
    github.plant(this_session("DELETE"), answer(204, ""));
    plant_renewal(&github, 2);
    let others = async {
        while github.count("GET /q/") == 0 {
            tokio::task::yield_now().await;
        }
        session.acknowledge(1).await.unwrap();
        session.acquire(&[1]).await.unwrap();
        session.refresh().await.unwrap();
        session.close().await.unwrap();
        gate.notify_one();
    };
    let (polled, ()) = tokio::join!(session.poll(0, 1), others);
    assert_eq!(polled.unwrap(), Polled::Nothing);
}

// --- acknowledged, acquired -----------------------------------------------------------------------------------------

#[tokio::test]
async fn a_message_is_acknowledged_at_its_own_address() {
    let github = StandIn::start().await;
    let session = open(&github).await;
    let delete = "DELETE /q/message/100000001?s=1";
    github.plant(delete, lost()).plant(delete, answer(500, "")).plant(delete, answer(204, ""));
    session.acknowledge(100_000_001).await.unwrap();
    assert_eq!(github.count(delete), 3);
    github.plant("DELETE /q/", exception(404, "MessageNotFoundException"));
    session.acknowledge(9).await.unwrap();
    github.plant("DELETE /q/", answer(401, "")).plant("DELETE /q/message/9?s=2", answer(204, ""));
    plant_renewal(&github, 2);
    session.acknowledge(9).await.unwrap();
}

#[tokio::test]
async fn what_is_acquired_is_what_was_granted() {
    let github = StandIn::start().await;
    let session = open(&github).await;
    let acquire = format!("POST {SETS}/7/acquirejobs?api-version=6.0-preview");
    github.plant(&acquire, answer(401, "")).plant(&acquire, lost());
    github.plant(&acquire, answer(200, "\u{feff}{\"count\":1,\"value\":[512]}"));
    plant_renewal(&github, 2);
    assert_eq!(session.acquire(&[512, 0, 513]).await.unwrap(), [512]);
    let calls = github.calls_of(&acquire);
    assert_eq!((calls.len(), calls[2].json()), (3, json!([512, 513])));
    let authorization = |nth: usize| calls[nth].header("authorization").unwrap().to_owned();
    assert_eq!([0, 1, 2].map(authorization), [1, 2, 2].map(|nth| format!("Bearer {}", token(nth))));
    assert!(session.acquire(&[0]).await.unwrap().is_empty());
    assert_eq!(github.count(&acquire), 3, "nothing to ask for");
}

#[tokio::test]
async fn each_token_goes_to_its_own_host() {
    let service = StandIn::start().await;
    let queue = StandIn::start().await;
    service.register(&format!("{}/svc", service.url), &jwt("admin", 3600));
    service.plant(sessions(), ok(&opened(&format!("{}/q/message", queue.url), &token(1))));
    service.plant(this_session("DELETE"), answer(204, ""));
    queue.plant("GET /q/", answer(202, "")).plant("DELETE /q/message/1", answer(204, ""));
    let session = Session::open(service.client(), ScaleSetId(7), "h").await.unwrap();
    session.poll(0, 1).await.unwrap();
    session.acknowledge(1).await.unwrap();
    session.close().await.unwrap();
    let sent = |to: &StandIn| -> Vec<String> {
        to.calls().iter().map(|call| call.header("authorization").unwrap().to_owned()).collect()
    };
    assert!(sent(&queue).iter().all(|one| *one == format!("Bearer {}", token(1))), "{:?}", sent(&queue));
    assert!(sent(&service).iter().all(|one| !one.contains(QUEUE_TOKEN)), "{:?}", sent(&service));
    // A queue that sends us elsewhere is not followed there.
    let elsewhere: Answer = answer(307, "").header("location", &format!("{}/svc/x", service.url));
    queue.plant("GET /q/", elsewhere);
    let before = service.calls().len();
    assert_eq!(session.poll(0, 1).await.unwrap_err().kind, ErrorKind::Protocol);
    assert_eq!(service.calls().len(), before);
}
