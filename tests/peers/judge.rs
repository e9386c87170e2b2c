//! A recording proxy before Prism before the sandbox: point any client at it, then ask for the verdict.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use ghascale::sandbox::Sandbox;
use http::{HeaderMap, header};
use serde_json::Value;

use super::description;

/// What is installed, with npm: GitHub's description and the judge.
const PACKAGES: [&str; 2] = ["@octokit/openapi@23.0.2", "@stoplight/prism-cli@5.14.2"];

/// Prism, and the proxy before it that remembers what Prism found.
pub(crate) struct Judge {
    address: SocketAddr,
    record: Arc<Record>,
    prism: Child,
    task: tokio::task::JoinHandle<()>,
}

struct Record {
    prism: String,
    sandbox: String,
    client: reqwest::Client,
    judged: Mutex<usize>,
    violations: Mutex<Vec<String>>,
}

impl Drop for Judge {
    fn drop(&mut self) {
        self.task.abort();
        drop(self.prism.kill());
        drop(self.prism.wait());
    }
}

impl Judge {
    /// Starts Prism before a sandbox, with one of GitHub's descriptions (`api.github.com`, `ghes-3.19`).
    pub(crate) async fn start(sandbox: &Sandbox, name: &str) -> Self {
        let directory = install();
        let (prism, address) = start_prism(&directory, name, &sandbox.endpoint()).await;
        // No connection is kept: Node closes idle ones after five seconds, and a request may be on its way just then.
        let client = reqwest::Client::builder().no_proxy().no_gzip().pool_max_idle_per_host(0);
        let client = client.redirect(reqwest::redirect::Policy::none());
        let record = Arc::new(Record {
            prism: format!("http://{address}"),
            sandbox: sandbox.endpoint(),
            client: client.build().unwrap(),
            judged: Mutex::new(0),
            violations: Mutex::default(),
        });
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = Router::new().fallback(forward).with_state(record.clone());
        let task = tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
        Self { address, record, prism, task }
    }

    /// Returns the base to use in place of the sandbox's own (`Sandbox::endpoint`).
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns how many requests were judged, and fails if anything was wrong with one of them or its answer.
    pub(crate) fn verdict(&self) -> usize {
        let violations = self.record.violations.lock().unwrap();
        assert!(violations.is_empty(), "{} violations:\n{}", violations.len(), violations.join("\n"));
        *self.record.judged.lock().unwrap()
    }
}

/// Passes one request on: those for GitHub through Prism, any other straight to the sandbox.
async fn forward(State(record): State<Arc<Record>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let target = parts.uri.path_and_query().unwrap().as_str();
    let judged = target.starts_with("/api/v3");
    let base = if judged { &record.prism } else { &record.sandbox };
    let mut headers = parts.headers.clone();
    headers.remove(header::HOST);
    let sent = record.client.request(parts.method.clone(), format!("{base}{target}")).headers(headers).body(body);
    let answer = sent.send().await.unwrap();
    let status = answer.status();
    let mut headers = answer.headers().clone();
    let body = answer.bytes().await.unwrap();
    if judged {
        *record.judged.lock().unwrap() += 1;
        let found = violations(&headers, status.as_u16(), &body);
        let found = found.into_iter().map(|found| format!("{} {target} -> {status}: {found}", parts.method));
        record.violations.lock().unwrap().extend(found);
    }
    for name in ["sl-violations", "transfer-encoding", "content-length", "connection"] {
        headers.remove(name);
    }
    // Other pages must come through here, too.
    if let Some(link) = headers.get(header::LINK).and_then(|link| link.to_str().ok()) {
        let host = parts.headers[header::HOST].to_str().unwrap();
        let link =
            link.replace(&record.sandbox, &format!("http://{host}")).replace(&record.prism, &format!("http://{host}"));
        headers.insert(header::LINK, link.parse().unwrap());
    }
    (status, headers, body).into_response()
}

/// Returns what Prism found wrong: its violations of severity `Error`, a route that it doesn't know (which it calls a
/// warning, and then checks nothing), and answers of its own.
fn violations(headers: &HeaderMap, status: u16, body: &[u8]) -> Vec<String> {
    let list = headers.get("sl-violations").map_or("[]", |list| list.to_str().unwrap());
    let list: Vec<Value> = serde_json::from_str(list).unwrap();
    let mut found: Vec<_> = list
        .iter()
        .filter(|violation| violation["severity"] == "Error" || violation.to_string().contains("route not found"))
        .map(Value::to_string)
        .collect();
    let text = String::from_utf8_lossy(body);
    if status >= 400 && text.contains("stoplight.io/prism/errors") {
        found.push(text.into_owned());
    }
    found
}

/// Installs the packages once; other processes that want them wait.
fn install() -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("prism");
    std::fs::create_dir_all(&directory).unwrap();
    let lock = File::create(directory.join("lock")).unwrap();
    lock.lock().unwrap();
    let done = directory.join("installed");
    let wanted = PACKAGES.join("\n");
    if std::fs::read_to_string(&done).is_ok_and(|installed| installed == wanted) {
        return directory;
    }
    let npm = Command::new("npm")
        .args(["install", "--no-audit", "--no-fund", "--no-save", "--prefix"])
        .arg(&directory)
        .args(PACKAGES)
        .output()
        .expect("`npm` can be run: it comes with Node 20 or later");
    assert!(npm.status.success(), "npm install: {}", String::from_utf8_lossy(&npm.stderr));
    std::fs::write(done, wanted).unwrap();
    directory
}

/// Starts Prism in proxy mode on a free port and waits until it answers.
async fn start_prism(directory: &Path, name: &str, upstream: &str) -> (Child, SocketAddr) {
    let modules = directory.join("node_modules");
    let whole = std::fs::read(modules.join(format!("@octokit/openapi/generated/{name}.json"))).unwrap();
    let trimmed = description::trim(&serde_json::from_slice(&whole).unwrap());
    // A port is free until somebody else takes it: then Prism ends at once, and another is tried.
    for _ in 0..5 {
        let free = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let file = directory.join(format!("{name}-{}.json", free.port()));
        std::fs::write(&file, trimmed.to_string()).unwrap();
        let mut prism = Command::new("node")
            .arg(modules.join("@stoplight/prism-cli/dist/index.js"))
            .args(["proxy", "-h", "127.0.0.1", "-p", &free.port().to_string()])
            .arg(&file)
            .arg(upstream)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("`node` can be run");
        let deadline = Instant::now() + Duration::from_mins(1);
        while prism.try_wait().unwrap().is_none() {
            if is_prism(free).await && prism.try_wait().unwrap().is_none() {
                std::fs::remove_file(&file).unwrap();
                return (prism, free);
            }
            assert!(Instant::now() < deadline, "Prism did not listen within a minute");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    panic!("Prism ended five times before it listened");
}

/// Returns whether it is Prism that listens, and not somebody who was quicker to take the port.
async fn is_prism(address: SocketAddr) -> bool {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().unwrap();
    let answer = client.get(format!("http://{address}/no-route")).send().await;
    answer.is_ok_and(|answer| answer.headers().contains_key("sl-violations"))
}
