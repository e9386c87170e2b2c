//! The way to the service, and what each token is good for.

use data_encoding::BASE64URL_NOPAD;

use super::listener::Listener;
use super::*;

async fn registration_token(sandbox: &Sandbox, scope: &str) -> String {
    let answer = post(sandbox, &format!("{scope}/actions/runners/registration-token"), &Value::Null).await;
    answer.json()["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_admin_token_says_when_it_expires_and_is_refused_then() {
    let sandbox = empty().await;
    let service = Service::open(&sandbox).await;
    let claims = service.token.split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&BASE64URL_NOPAD.decode(claims.as_bytes()).unwrap()).unwrap();
    let lives = claims["exp"].as_i64().unwrap() - sandbox.world().now().as_second();
    assert!((3590..=3600).contains(&lives), "{lives}");
    sandbox.advance(Duration::from_mins(59));
    assert_eq!(service.get(SETS).await.status, 200);
    sandbox.advance(Duration::from_mins(2));
    assert_eq!(service.get(SETS).await.status, 401);
    assert_eq!(Service::open(&sandbox).await.get(SETS).await.status, 200);
}

#[tokio::test]
async fn a_registration_is_refused_without_its_token_or_for_another_scope() {
    let sandbox = empty().await;
    let url = sandbox.url();
    assert_eq!(register_at(&sandbox, sandbox.token(), &url).await.status, 401);
    let token = registration_token(&sandbox, "/orgs/acme").await;
    assert_eq!(register_at(&sandbox, &token, "http://127.0.0.1/other").await.status, 404);
    assert_eq!(register_at(&sandbox, &token, "http://127.0.0.1/acme/api").await.status, 404);
    assert_eq!(register_at(&sandbox, &token, "nonsense").await.status, 404);
    let of_repository = registration_token(&sandbox, "/repos/acme/api").await;
    assert_eq!(register_at(&sandbox, &of_repository, "http://127.0.0.1/acme/api/").await.status, 200);
    sandbox.advance(Duration::from_hours(2));
    assert_eq!(register_at(&sandbox, &token, &url).await.status, 401);
    let path = "/api/v3/orgs/acme/actions/runners/registration-token";
    assert_eq!(send(request(&sandbox, Method::POST, path)).await.status, 401);
    let body = json!({ "url": url, "runner_event": "dance" }).to_string();
    let token = registration_token(&sandbox, "/orgs/acme").await;
    let odd = request(&sandbox, Method::POST, "/api/v3/actions/runner-registration").body(body);
    assert_eq!(send(odd.header("authorization", format!("RemoteAuth {token}"))).await.status, 422);
}

/// Go's client sends empty bodies in chunks of unknown length.
#[tokio::test]
async fn a_chunked_empty_body_is_read() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let sandbox = empty().await;
    let address = sandbox.endpoint().strip_prefix("http://").unwrap().to_owned();
    let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "POST /api/v3/orgs/acme/actions/runners/registration-token HTTP/1.1\r\nHost: {address}\r\nAuthorization: \
         Bearer {}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n",
        sandbox.token()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
}

#[tokio::test]
async fn each_token_opens_its_own_door_only() {
    let sandbox = hasty().await;
    let service = Service::open(&sandbox).await;
    let set = service.create("linux", &["linux"]).await;
    let mut listener = Listener::open(&service, set, 1).await;
    let queue_token = listener.token.clone();

    let with_queue_token = Service { sandbox: &sandbox, url: service.url.clone(), token: queue_token.clone() };
    assert_eq!(with_queue_token.get(SETS).await.status, 401);
    listener.token.clone_from(&service.token);
    assert_eq!(listener.poll().await.status, 401);
    assert_eq!(listener.acquire(&json!([1])).await.status, 401);
    listener.token = queue_token;
    assert_eq!(listener.poll().await.status, 202);
    let calls = format!("{:?}", sandbox.calls());
    assert!(!calls.contains(&listener.token) && !calls.contains(&service.token), "neither is noted: {calls}");
}

#[tokio::test]
async fn a_queue_token_expires_and_a_refresh_gives_another() {
    let sandbox = hasty().await;
    sandbox.world().settings.scale_sets.queue_token_lives = Duration::from_mins(10);
    sandbox.world().settings.scale_sets.session_idle = Duration::from_hours(1);
    let service = Service::open(&sandbox).await;
    let set = service.create("linux", &["linux"]).await;
    let mut listener = Listener::open(&service, set, 1).await;
    sandbox.advance(Duration::from_mins(11));
    assert_eq!(listener.poll().await.status, 401);
    let refreshed = service.call(Method::PATCH, &listener.path(), None).await;
    assert_eq!(refreshed.status, 200);
    assert_eq!(refreshed.json()["sessionId"], listener.session["sessionId"]);
    listener.token = refreshed.json()["messageQueueAccessToken"].as_str().unwrap().to_owned();
    assert_eq!(listener.poll().await.status, 202);
}

#[tokio::test]
async fn the_service_moves_at_a_registration_and_answers_no_more_where_it_was() {
    let sandbox = empty().await;
    let before = Service::open(&sandbox).await;
    sandbox.world().settings.scale_sets.service_moves = 1;
    let after = Service::open(&sandbox).await;
    assert_ne!(before.url, after.url);
    assert_eq!(after.get(SETS).await.status, 200);
    assert_eq!(before.get(SETS).await.status, 404);
    assert_eq!(Service::open(&sandbox).await.url, after.url, "once");
}
