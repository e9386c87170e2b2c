//! GitHub and its Actions Service on one loopback port, as far as they are told: each answer is planted for a request,
//! given once, and every request is remembered. HTTP by hand, so that an answer can break off or not come at all.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use ghascale::config::{Credentials, Github};
use ghascale::engine::Scope;
use ghascale::github::{self, Patience};
use ghascale::scale_set::Client;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

/// The registration token that the stand-in hands out.
pub(crate) const REGISTRATION_TOKEN: &str = "PLANTED-REGISTRATION-TOKEN";
/// The personal access token of the tests' client.
pub(crate) const PAT: &str = "ghp_PLANTEDPERSONALACCESSTOKEN";
/// The queue's token, first and renewed.
pub(crate) const QUEUE_TOKEN: &str = "PLANTED-QUEUE-TOKEN";
pub(crate) const REGISTRATION: &str = "POST /api/v3/actions/runner-registration";
pub(crate) const SETS: &str = "/svc/_apis/runtime/runnerscalesets";
pub(crate) const AGENTS: &str = "/svc/_apis/distributedtask/pools/0/agents";

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// `GET /path?query`.
    pub(crate) line: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Call {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// An answer, or what comes in its place.
#[derive(Clone, Default)]
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    fault: Option<Fault>,
    /// Given when this is notified.
    held: Option<Arc<Notify>>,
}

#[derive(Clone, Copy)]
enum Fault {
    /// The connection ends without an answer.
    Lost,
    /// The connection ends in the middle of the body.
    Truncated,
}

pub(crate) fn answer(status: u16, body: impl AsRef<[u8]>) -> Answer {
    Answer { status, body: body.as_ref().to_vec(), ..Answer::default() }
}

pub(crate) fn ok(body: &Value) -> Answer {
    answer(200, body.to_string())
}

/// The service's own form of a refusal.
pub(crate) fn exception(status: u16, name: &str) -> Answer {
    let name = format!("GitHub.DistributedTask.WebApi.{name}, GitHub.DistributedTask.WebApi");
    answer(status, json!({ "$id": "1", "typeName": name, "message": "no", "errorCode": 0 }).to_string())
}

pub(crate) fn lost() -> Answer {
    Answer { fault: Some(Fault::Lost), ..answer(200, "") }
}

pub(crate) fn list(values: &[Value]) -> Answer {
    ok(&json!({ "count": values.len(), "value": values }))
}

impl Answer {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn truncated(self) -> Self {
        Self { fault: Some(Fault::Truncated), ..self }
    }

    pub(crate) fn held(self, until: &Arc<Notify>) -> Self {
        Self { held: Some(until.clone()), ..self }
    }
}

/// A JWT that expires in so many seconds; `name` makes it another than the one before.
pub(crate) fn jwt(name: &str, seconds: i64) -> String {
    let exp = jiff::Timestamp::now().as_second() + seconds;
    let claims = json!({ "exp": exp, "sub": name }).to_string();
    format!("{}.{}.PLANTED", BASE64URL_NOPAD.encode(b"{\"alg\":\"RS256\"}"), BASE64URL_NOPAD.encode(claims.as_bytes()))
}

#[derive(Default)]
struct Script {
    /// How requests begin, and their answers, in order.
    answers: Vec<(String, Answer)>,
    calls: Vec<Call>,
    registrations: u32,
}

/// The services; they end with this value.
pub(crate) struct StandIn {
    pub(crate) url: String,
    script: Arc<Mutex<Script>>,
    server: JoinHandle<()>,
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl StandIn {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let script: Arc<Mutex<Script>> = Arc::default();
        let server = tokio::spawn(serve(listener, url.clone(), script.clone()));
        Self { url, script, server }
    }

    /// Plants an answer to the next request that begins so: `GET /path`. Of several that fit, the first is given.
    pub(crate) fn plant(&self, begins: impl Into<String>, answer: Answer) -> &Self {
        self.script.lock().unwrap().answers.push((begins.into(), answer));
        self
    }

    /// Forgets what was planted and not given, and what was asked.
    pub(crate) fn forget(&self) {
        *self.script.lock().unwrap() = Script::default();
    }

    /// Plants the service's address and token, as the next registration hands them out.
    pub(crate) fn register(&self, url: &str, token: &str) -> &Self {
        self.plant(REGISTRATION, ok(&json!({ "url": url, "token": token })))
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.script.lock().unwrap().calls.clone()
    }

    /// Returns the requests that begin so.
    pub(crate) fn calls_of(&self, begins: &str) -> Vec<Call> {
        self.calls().into_iter().filter(|call| call.line.starts_with(begins)).collect()
    }

    pub(crate) fn count(&self, begins: &str) -> usize {
        self.calls_of(begins).len()
    }

    pub(crate) fn settings(&self, credentials: Credentials) -> Github {
        Github {
            url: format!("{}/acme", self.url),
            scope: Scope::Organization("acme".into()),
            api_url: format!("{}/api/v3", self.url),
            credentials,
            ca_pem: None,
        }
    }

    pub(crate) fn client(&self) -> Arc<Client> {
        self.client_as(Credentials::Token(PAT.into()))
    }

    /// Returns one that gives a poll up after so long.
    pub(crate) fn client_that_polls_for(&self, poll: Duration) -> Arc<Client> {
        patient(&self.settings(Credentials::Token(PAT.into())), Patience { poll, ..patience() })
    }

    pub(crate) fn client_as(&self, credentials: Credentials) -> Arc<Client> {
        client(&self.settings(credentials))
    }
}

pub(crate) fn client(settings: &Github) -> Arc<Client> {
    patient(settings, patience())
}

fn patient(settings: &Github, patience: Patience) -> Arc<Client> {
    let github = Arc::new(github::Client::with_patience(settings, patience).unwrap());
    Arc::new(Client::with_patience(github, settings, patience).unwrap())
}

fn patience() -> Patience {
    Patience { rate_limit: Duration::from_secs(2), pause: Duration::from_millis(1), ..Patience::default() }
}

async fn serve(listener: TcpListener, url: String, script: Arc<Mutex<Script>>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (url, script) = (url.clone(), script.clone());
        connections.spawn(async move {
            // A client that goes away is none of the server's business.
            let _ = connection(stream, &url, &script).await;
        });
    }
}

async fn connection(stream: TcpStream, url: &str, script: &Mutex<Script>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let line = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).await?;
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        headers.push((name.to_lowercase(), value.to_owned()));
    }
    let length =
        headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, value)| value.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let call = Call { line, headers, body: String::from_utf8(body).unwrap() };
    let answer = next(&mut script.lock().unwrap(), url, call);
    if let Some(held) = &answer.held {
        held.notified().await;
    }
    if matches!(answer.fault, Some(Fault::Lost)) {
        return Ok(());
    }
    let (status, whole) = (answer.status, answer.body.len());
    let own = answer.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect::<Vec<_>>().concat();
    let head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {whole}\r\n{own}\r\n");
    stream.write_all(head.as_bytes()).await?;
    let sent = if matches!(answer.fault, Some(Fault::Truncated)) { whole / 2 } else { whole };
    stream.write_all(&answer.body[..sent]).await?;
    stream.flush().await
}

/// Remembers a request and returns its answer: what was planted, else what a quiet GitHub says.
fn next(script: &mut Script, url: &str, call: Call) -> Answer {
    let line = call.line.clone();
    script.calls.push(call);
    if let Some(at) = script.answers.iter().position(|(begins, _)| line.starts_with(begins)) {
        return script.answers.remove(at).1;
    }
    if line == REGISTRATION {
        script.registrations += 1;
        let token = jwt(&script.registrations.to_string(), 3600);
        return ok(&json!({ "url": format!("{url}/svc/"), "token": token }));
    }
    if line.starts_with("POST /api/v3/") && line.ends_with("/registration-token") {
        return answer(201, json!({ "token": REGISTRATION_TOKEN, "expires_at": "2099-01-01T00:00:00Z" }).to_string());
    }
    if line.ends_with("/access_tokens") {
        return answer(201, json!({ "token": "ghs_PLANTED", "expires_at": "2099-01-01T00:00:00Z" }).to_string());
    }
    answer(404, "nothing is planted here")
}
