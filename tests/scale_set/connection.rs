//! From a credential to the service: tokens, their renewal, and the addresses that are not followed.

use std::sync::Arc;

use ghascale::config::{AppIssuer, Credentials};
use ghascale::engine::Scope;
use ghascale::github;
use ghascale::scale_set::{ErrorKind, ScaleSetId};
use serde_json::json;
use tokio::sync::Notify;

use super::set;
use super::stand_in::{
    PAT, REGISTRATION, REGISTRATION_TOKEN, SETS, StandIn, answer, client, exception, jwt, list, lost, ok,
};
use crate::keys::private_key;

const TOKEN: &str = "POST /api/v3/orgs/acme/actions/runners/registration-token";

/// Plants an empty list for so many requests.
fn plant_lists(github: &StandIn, count: usize) {
    for _ in 0..count {
        github.plant("GET /svc/", list(&[]));
    }
}

#[tokio::test]
async fn two_requests_lead_to_the_service_and_each_has_its_own_authorization() {
    let github = StandIn::start().await;
    plant_lists(&github, 2);
    let client = github.client();
    client.list(None).await.unwrap();
    client.list(None).await.unwrap();
    let calls = github.calls();
    let lines: Vec<&str> = calls.iter().map(|call| call.line.as_str()).collect();
    let listed = "GET /svc/_apis/runtime/runnerscalesets?api-version=6.0-preview";
    assert_eq!(lines, [TOKEN, REGISTRATION, listed, listed]);
    assert_eq!(calls[0].header("authorization").unwrap(), format!("Bearer {PAT}"));
    assert_eq!(calls[1].header("authorization").unwrap(), format!("RemoteAuth {REGISTRATION_TOKEN}"));
    assert_eq!(calls[1].json(), json!({ "url": format!("{}/acme", github.url), "runner_event": "register" }));
    assert!(calls[2].header("authorization").unwrap().starts_with("Bearer eyJ"));
    for call in calls {
        assert_eq!(call.header("user-agent"), Some(concat!("ghascale/", env!("CARGO_PKG_VERSION"))), "{}", call.line);
    }
}

#[tokio::test]
async fn each_scope_has_its_registration_token() {
    for (scope, path) in [
        (Scope::Repository("acme/api".into()), "/repos/acme/api"),
        (Scope::Enterprise("corp".to_owned()), "/enterprises/corp"),
    ] {
        let github = StandIn::start().await;
        plant_lists(&github, 1);
        let settings = ghascale::config::Github { scope, ..github.settings(Credentials::Token(PAT.into())) };
        client(&settings).list(None).await.unwrap();
        assert_eq!(github.calls()[0].line, format!("POST /api/v3{path}/actions/runners/registration-token"));
    }
}

#[tokio::test]
async fn an_app_gets_there_with_a_token_that_it_minted() {
    let github = StandIn::start().await;
    plant_lists(&github, 1);
    let credentials = Credentials::App {
        issuer: AppIssuer::ClientId("Iv1.abc".into()),
        installation_id: 7,
        private_key: private_key().into(),
    };
    github.client_as(credentials).list(None).await.unwrap();
    let calls = github.calls();
    assert_eq!(calls[0].line, "POST /api/v3/app/installations/7/access_tokens");
    assert_eq!((&*calls[1].line, calls[1].header("authorization")), (TOKEN, Some("Bearer ghs_PLANTED")));
}

#[tokio::test]
async fn a_registration_token_that_is_not_valid_yet_is_shown_again() {
    let github = StandIn::start().await;
    for status in [401, 403, 401, 500] {
        github.plant(REGISTRATION, answer(status, "{}"));
    }
    plant_lists(&github, 1);
    github.client().list(None).await.unwrap();
    assert_eq!((github.count(TOKEN), github.count(REGISTRATION)), (1, 5));
}

#[tokio::test]
async fn a_registration_that_stays_refused_is_an_error_that_names_it_and_is_not_asked_for_by_everybody() {
    let github = StandIn::start().await;
    for _ in 0..20 {
        github.plant(REGISTRATION, answer(403, r#"{"message":"Resource not accessible"}"#));
    }
    let client = github.client();
    for _ in 0..3 {
        let error = client.list(None).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Github(github::ErrorKind::Forbidden), "{error}");
        assert!(error.to_string().contains("/actions/runner-registration: 403 Resource not accessible"), "{error}");
    }
    assert_eq!(github.count(REGISTRATION), 5);
}

#[tokio::test]
async fn a_refused_registration_token_is_githubs_own_refusal() {
    let github = StandIn::start().await;
    github.plant(TOKEN, answer(404, r#"{"message":"Not Found"}"#));
    let error = github.client().list(None).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Github(github::ErrorKind::NotFound), "{error}");
    assert_eq!(github.calls().len(), 1);
}

#[tokio::test]
async fn a_lost_registration_token_is_asked_for_again() {
    let github = StandIn::start().await;
    github.plant(TOKEN, lost());
    plant_lists(&github, 1);
    github.client().list(None).await.unwrap();
    assert_eq!(github.count(TOKEN), 2);
}

#[tokio::test]
async fn an_answer_without_address_or_token_is_no_connection() {
    for body in
        [r#"{"url":"https://h"}"#, r#"{"url":"","token":"x"}"#, r#"{"url":"https://h","token":null}"#, "[", "<p>"]
    {
        let github = StandIn::start().await;
        github.plant(REGISTRATION, answer(200, body));
        let error = github.client().list(None).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Github(github::ErrorKind::Protocol), "{body}: {error}");
    }
}

#[tokio::test]
async fn any_number_of_tasks_connect_once() {
    let github = StandIn::start().await;
    plant_lists(&github, 50);
    let client = github.client();
    let all = (0..50).map(|_| client.list(None));
    futures::future::try_join_all(all).await.unwrap();
    assert_eq!((github.count(TOKEN), github.count(REGISTRATION)), (1, 1));
}

#[tokio::test]
async fn any_number_of_tasks_that_wait_for_a_connection_fail_with_it() {
    let github = StandIn::start().await;
    let gate = Arc::new(Notify::new());
    github.plant(TOKEN, answer(422, r#"{"message":"no"}"#).held(&gate));
    let client = github.client();
    let all = futures::future::join_all((0..50).map(|_| client.list(None)));
    let open = async {
        while github.count(TOKEN) == 0 {
            tokio::task::yield_now().await;
        }
        gate.notify_one();
    };
    let (results, ()) = tokio::join!(all, open);
    assert!(results.iter().all(Result::is_err));
    assert_eq!(github.count(TOKEN), 1);
}

#[tokio::test]
async fn a_token_is_renewed_a_minute_before_it_expires() {
    for (lives, registrations) in [(55, 2), (90, 1)] {
        let github = StandIn::start().await;
        github.register(&format!("{}/svc", github.url), &jwt("short", lives));
        plant_lists(&github, 2);
        let client = github.client();
        client.list(None).await.unwrap();
        client.list(None).await.unwrap();
        assert_eq!(github.count(REGISTRATION), registrations, "{lives} s");
    }
}

#[tokio::test]
async fn a_token_that_is_refused_to_many_tasks_is_renewed_once() {
    let github = StandIn::start().await;
    plant_lists(&github, 1);
    let client = github.client();
    client.list(None).await.unwrap();
    let gate = Arc::new(Notify::new());
    for _ in 0..20 {
        github.plant("GET /svc/", answer(401, "").held(&gate));
    }
    plant_lists(&github, 20);
    let all = futures::future::join_all((0..20).map(|_| client.list(None)));
    let open = async {
        while github.count("GET /svc/") < 21 {
            tokio::task::yield_now().await;
        }
        gate.notify_waiters();
    };
    let (results, ()) = tokio::join!(all, open);
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!((github.count(TOKEN), github.count(REGISTRATION)), (2, 2));
}

#[tokio::test]
async fn a_token_that_is_refused_when_it_is_new_is_an_error() {
    let github = StandIn::start().await;
    for _ in 0..9 {
        github.plant("GET /svc/", answer(401, "").header("ActivityId", "act-1"));
    }
    let error = github.client().list(None).await.unwrap_err();
    assert_eq!((error.kind, error.activity_id.as_deref()), (ErrorKind::Unauthorized, Some("act-1")), "{error}");
    assert_eq!((github.count("GET /svc/"), github.count(REGISTRATION)), (2, 2));
}

#[tokio::test]
async fn what_creates_is_sent_again_after_a_401_since_nothing_was_done() {
    let github = StandIn::start().await;
    let generate = format!("POST {SETS}/7/generatejitconfig");
    github.plant(&generate, answer(401, ""));
    github.plant(&generate, ok(&json!({ "runner": { "id": 41 }, "encodedJITConfig": "x" })));
    github.client().jit_config(ScaleSetId(7), &"r".into()).await.unwrap();
    assert_eq!(github.count(&generate), 2);
}

#[tokio::test]
async fn a_service_that_moved_is_followed_by_everything() {
    let github = StandIn::start().await;
    let other = StandIn::start().await;
    github.register(&format!("{}/svc/", github.url), &jwt("one", 3600));
    github.register(&format!("{}/tenant/x?sig=a+b", other.url), &jwt("two", 3600));
    github.plant("GET /svc/", answer(401, ""));
    other.plant("GET /tenant/x/_apis", list(&[]));
    other.plant("GET /tenant/x/_apis", ok(&set(7, "linux", &["linux"])));
    let client = github.client();
    client.list(Some(1)).await.unwrap();
    client.scale_set(ScaleSetId(7)).await.unwrap();
    let lines: Vec<String> = other.calls().into_iter().map(|call| call.line).collect();
    let base = "GET /tenant/x/_apis/runtime/runnerscalesets";
    assert_eq!(
        lines,
        [
            format!("{base}?sig=a+b&runnerGroupId=1&api-version=6.0-preview"),
            format!("{base}/7?sig=a+b&api-version=6.0-preview")
        ]
    );
    assert_eq!(github.count("GET /svc/"), 1);
}

#[tokio::test]
async fn a_service_at_a_plain_http_address_elsewhere_is_refused() {
    let github = StandIn::start().await;
    for url in ["http://broker.example/svc", "ftp://127.0.0.1/x", "nonsense", "https://me:hidden@broker.example/"] {
        github.register(url, &jwt("x", 3600));
        let error = github.client().list(None).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Protocol, "{url}: {error}");
        assert!(!format!("{error:?}").contains("hidden"), "{error:?}");
    }
    assert_eq!(github.count("GET"), 0);
}

#[tokio::test]
async fn a_redirect_is_not_followed_wherever_it_leads() {
    let other = StandIn::start().await;
    for to in [format!("{}/x?token=hidden", other.url), "/svc/elsewhere".to_owned()] {
        for status in [301, 302, 307, 308] {
            let github = StandIn::start().await;
            github.plant("GET /svc/", answer(status, "").header("location", &to));
            let error = github.client().list(None).await.unwrap_err();
            assert_eq!((error.kind, error.status), (ErrorKind::Protocol, Some(status)), "{error}");
            assert!(error.message.contains("not followed") && !error.message.contains("hidden"), "{error}");
            assert_eq!(github.count("GET"), 1);
        }
    }
    assert!(other.calls().is_empty());
}

#[tokio::test]
async fn what_reads_is_repeated_and_what_fails_for_good_is_not() {
    for (planted, kind, sends) in [
        (lost(), ErrorKind::Transport, 3),
        (answer(200, r#"{"count":0,"value":[]}"#).truncated(), ErrorKind::Transport, 3),
        (answer(502, "<html>"), ErrorKind::Server, 3),
        (answer(429, ""), ErrorKind::Throttled { until: None }, 3),
        (answer(403, ""), ErrorKind::Forbidden, 1),
        (exception(400, "ArgumentException"), ErrorKind::Refused, 1),
        (answer(200, "{\"count\":1,"), ErrorKind::Protocol, 1),
        (answer(200, "<html>"), ErrorKind::Protocol, 1),
        (answer(200, "{}"), ErrorKind::Protocol, 1),
        (answer(200, ""), ErrorKind::Protocol, 1),
    ] {
        let github = StandIn::start().await;
        for _ in 0..9 {
            github.plant("GET /svc/", planted.clone());
        }
        let error = github.client().list(None).await.unwrap_err();
        assert_eq!((error.kind, github.count("GET")), (kind, sends), "{error}");
    }
}

#[tokio::test]
async fn a_time_to_wait_that_is_too_long_is_said_and_not_waited_for() {
    let github = StandIn::start().await;
    github.plant("GET /svc/", answer(503, "").header("retry-after", "0"));
    github.plant("GET /svc/", answer(503, "").header("retry-after", "600"));
    let error = github.client().list(None).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Throttled { until: Some(_) }), "{error}");
    assert_eq!(github.count("GET"), 2);
}
