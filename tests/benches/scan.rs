//! What reading demand costs, in requests, memory and time, against the embedded world over real HTTP.
//!
//! `cargo bench --bench scan` prints the tables; what counts are their ratios. `GHASCALE_BENCH_REPOSITORIES` sets one size
//! (else 100, 1,000 and 10,000). The world and each look are processes of their own, so that neither's time or memory is
//! the other's. Instructions are counted by valgrind where it is installed, and are `-` elsewhere.
//!
//! The pollers before this one are modelled faithfully and generously: sequential, two filtered lists a repository, the
//! first page of each, one list of jobs a run, no cache (KEDA's scaler does so), and no answer is ever lost to them.

#![expect(clippy::cast_precision_loss, reason = "what is counted here is counted in thousands")]

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_lc_rs::encoding::AsDer as _;
use futures::StreamExt as _;
use ghascale::config::{AppIssuer, Credentials, Github, Scan};
use ghascale::engine::{CountKind, Scope};
use ghascale::github::{Cache, Client, Limits, NoProgress, Usage, scan};
use ghascale::sandbox::{Sandbox, Scenario};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

const ROUND_TRIP: Duration = Duration::from_millis(25);
const AT_ONCE: usize = 64;
/// The pollers before this one are run up to so many repositories: beyond, they take an hour.
const SLOW: usize = 2000;
const LABELS: [&str; 3] = ["self-hosted", "linux", "x64"];
/// What a process that this one starts is to do: `serve 1000`, `look ENDPOINT HOME`, …
const ROLE: &str = "GHASCALE_BENCH_ROLE";

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    if let Ok(role) = std::env::var(ROLE) {
        return runtime.block_on(play(&role));
    }
    // `cargo test --benches` must not take minutes.
    let is_bench = std::env::args().any(|word| word == "--bench");
    let size: Option<usize> = std::env::var("GHASCALE_BENCH_REPOSITORIES").ok().and_then(|size| size.parse().ok());
    let sizes = size.map_or_else(|| if is_bench { vec![100, 1000, 10_000] } else { vec![20] }, |size| vec![size]);
    println!(
        "{ROUND_TRIP:?} a round trip, {AT_ONCE} at once, no rate limits; a fifth of the repositories has an active run"
    );
    let costs: Vec<_> = sizes.iter().map(|size| (*size, table(*size, is_bench))).collect();
    for pair in costs.windows(2) {
        if let [(small, Some(before)), (large, Some(after))] = pair {
            let exponent = (*after as f64 / *before as f64).ln() / (*large as f64 / *small as f64).ln();
            println!("instructions, from {small} to {large} repositories: exponent of growth {exponent:.2}");
        }
    }
}

/// Prints what looks at a world of so many repositories cost; returns the instructions of the first.
fn table(repositories: usize, counts_instructions: bool) -> Option<u64> {
    let mut world = Serving::start(repositories);
    let home = tempfile::tempdir().expect("a directory for the cache");
    let look = |role: &str, home: &Path| ask(&format!("{role} {} {}", world.endpoint, home.display()));
    let cold = look("look", home.path());
    let warm = look("look", home.path());
    let app = tempfile::tempdir().expect("a directory for the cache");
    look("app", app.path());
    let rotated = look("rotate", app.path());
    // What one run more costs: a list of runs and a list of jobs, and the page of repositories that it changed.
    look("add", home.path());
    let one_more = look("look", home.path());
    let alone = ask(&format!("bare {} {}", world.endpoint, cold.requests));
    let before = (repositories <= SLOW).then(|| ask(&format!("poll {}", world.endpoint)));
    let instructions = counts_instructions.then(|| instructions(&world.endpoint)).flatten();
    world.stop();

    let floor = |look: &Look| ROUND_TRIP.as_secs_f64() * (look.requests as f64 / AT_ONCE as f64).ceil();
    println!(
        "\n{:<30} {:>9} {:>8} {:>11} {:>9}",
        format!("{repositories} repositories"),
        "requests",
        "charged",
        "over floor",
        "peak MB"
    );
    for (name, look) in [
        ("first look", &cold),
        ("again, nothing changed", &warm),
        ("again, one run more", &one_more),
        ("again, with another token", &rotated),
        ("as many, and nothing done", &alone),
    ] {
        println!(
            "{name:<30} {:>9} {:>8} {:>10.2}x {:>9}",
            look.requests,
            look.requests - look.not_modified,
            look.seconds / floor(look),
            look.peak_kb.map_or_else(|| "-".into(), |kb| format!("{:.0}", kb as f64 / 1024.0)),
        );
    }
    if let Some(before) = before {
        println!("{:<30} {:>9} {:>8}", "pollers before this one", before.requests, before.requests);
        println!(
            "first look over pollers before this one: {:.2} of the requests, {:.1} times faster",
            cold.requests as f64 / before.requests as f64,
            before.seconds / cold.seconds
        );
    }
    if let Some(instructions) = instructions {
        println!(
            "instructions of a first look: {} million, {} thousand a repository",
            instructions / 1_000_000,
            instructions / 1000 / repositories as u64
        );
    }
    assert_eq!(warm.requests, warm.not_modified, "nothing changed, and something was charged");
    assert_eq!(
        rotated.requests - rotated.not_modified,
        2,
        "beside the refusal and the new token, something was charged"
    );
    instructions
}

/// What one look cost, as a process says it of itself.
#[derive(Debug, Serialize, Deserialize)]
struct Look {
    requests: u64,
    not_modified: u64,
    seconds: f64,
    peak_kb: Option<u64>,
}

/// A world in a process of its own.
struct Serving {
    child: Child,
    endpoint: String,
}

impl Serving {
    fn start(repositories: usize) -> Self {
        let mut child = this(&format!("serve {repositories}")).stdin(Stdio::piped()).spawn().expect("a process");
        let mut endpoint = String::new();
        let said = child.stdout.take().expect("its output");
        BufReader::new(said).read_line(&mut endpoint).expect("its address");
        Self { child, endpoint: endpoint.trim().to_owned() }
    }

    fn stop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().expect("its end");
    }
}

/// Lets another process do something, and returns what it cost.
fn ask(role: &str) -> Look {
    let output = this(role).output().expect("a process");
    serde_json::from_slice(&output.stdout).expect("what it cost")
}

fn this(role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.env(ROLE, role).stdout(Stdio::piped());
    command
}

/// Returns how many instructions a first look takes, the start of its process included.
fn instructions(endpoint: &str) -> Option<u64> {
    let home = tempfile::tempdir().expect("a directory for the cache");
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]);
    let role = format!("look {endpoint} {}", home.path().display());
    let said = valgrind.arg(std::env::current_exe().ok()?).env(ROLE, role).output().ok()?;
    let said = String::from_utf8(said.stderr).ok()?;
    let count = said.lines().find_map(|line| line.split_once("refs:"))?.1;
    count.trim().replace(',', "").parse().ok()
}

/// Does what the process was started for.
async fn play(role: &str) {
    let words: Vec<&str> = role.split(' ').collect();
    let look = match words[..] {
        ["serve", repositories] => return serve(repositories.parse().expect("a number")).await,
        ["look", endpoint, home] => look(endpoint, Credentials::Token("sandbox-token".to_owned().into()), home).await,
        ["app", endpoint, home] => look(endpoint, app(home), home).await,
        ["rotate", endpoint, home] => {
            control(endpoint, "fault", r#"{"service": "github", "match": "GET ", "status": 401}"#).await;
            look(endpoint, app(home), home).await
        }
        ["add", endpoint, _] => {
            control(endpoint, "job", r#"{"repository": "r00000", "labels": ["self-hosted", "linux", "x64"]}"#).await;
            Look { requests: 1, not_modified: 0, seconds: 0.0, peak_kb: None }
        }
        ["bare", endpoint, requests] => bare(endpoint, requests.parse().expect("a number")).await,
        ["poll", endpoint] => poll(endpoint).await,
        _ => unreachable!("no such role: {role}"),
    };
    println!("{}", serde_json::to_string(&look).expect("JSON"));
}

/// Serves a GitHub without rate limits until its input ends.
async fn serve(repositories: usize) {
    let sandbox = Sandbox::start(Scenario::Empty, 0).await.expect("a port");
    {
        let mut world = sandbox.world();
        world.repository("api").delete();
        world.settings.rate_limits = false;
        world.settings.round_trip = ROUND_TRIP;
        for nth in 0..repositories {
            let repository = world.repository(&format!("r{nth:05}"));
            if nth % 5 == 1 {
                repository.run().job(LABELS);
            }
        }
    }
    println!("{}", sandbox.endpoint());
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    drop(ended.await);
    sandbox.stop().await;
}

async fn control(endpoint: &str, what: &str, body: &'static str) {
    let request = plain().post(format!("{endpoint}/_sandbox/{what}")).body(body);
    request.send().await.and_then(reqwest::Response::error_for_status).expect("what was asked of the world");
}

fn plain() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().user_agent("poller").build().expect("a client")
}

/// An App, whose key is made once for each cache.
fn app(home: &str) -> Credentials {
    let path = Path::new(home).join("app.pem");
    let key = std::fs::read_to_string(&path).unwrap_or_else(|_| {
        let key = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).expect("a key");
        let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = key.as_der().expect("its form");
        let text = data_encoding::BASE64.encode(der.as_ref());
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
        std::fs::write(&path, &pem).expect("a file");
        pem
    });
    Credentials::App { issuer: AppIssuer::AppId(1), installation_id: 1, private_key: key.into() }
}

/// Looks as a process does that begins with what is in the cache.
async fn look(endpoint: &str, credentials: Credentials, cache: &str) -> Look {
    let settings = Scan { concurrency: AT_ONCE, ..Scan::of_every_repository().expect("a glob") };
    let github = Github {
        url: format!("{endpoint}/acme"),
        scope: Scope::Organization("acme".into()),
        api_url: format!("{endpoint}/api/v3"),
        credentials,
        ca_pem: None,
    };
    let began = Instant::now();
    let client = Client::new(&github).expect("a client").with_limits(Limits { at_once: AT_ONCE, ..Limits::default() });
    let client = client.with_cache(Cache::open(Path::new(cache)).expect("a cache"));
    let scanned = scan(&client, &github.scope, &settings, Timestamp::now(), &NoProgress).await.expect("a scan");
    assert_eq!(scanned.demand.kind, CountKind::Exact);
    let usage = client.usage();
    drop(client);
    Look::of(usage, began.elapsed())
}

impl Look {
    fn of(usage: Usage, took: Duration) -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak_kb = peak.and_then(|size| size.trim().strip_suffix(" kB")?.parse().ok());
        Self { requests: usage.requests, not_modified: usage.not_modified, seconds: took.as_secs_f64(), peak_kb }
    }
}

/// Asks as often, as many at once, with a client that does nothing with the answers: what the world itself takes.
async fn bare(endpoint: &str, requests: u64) -> Look {
    let client = plain();
    let address = format!("{endpoint}/api/v3/repos/acme/r00000/actions/runs?per_page=30");
    let began = Instant::now();
    let asked = futures::stream::iter(0..requests).map(|_| async {
        let answer = client.get(&address).bearer_auth("sandbox-token").send().await.expect("an answer");
        answer.bytes().await.expect("all of it")
    });
    asked.buffer_unordered(AT_ONCE).for_each(|_| async {}).await;
    Look::of(Usage { requests, ..Usage::default() }, began.elapsed())
}

/// Reads the demand as pollers before this one did.
async fn poll(endpoint: &str) -> Look {
    let client = plain();
    let mut usage = Usage::default();
    let began = Instant::now();
    let mut get = async |path: String| -> serde_json::Value {
        usage.requests += 1;
        let request = client.get(format!("{endpoint}/api/v3{path}")).bearer_auth("sandbox-token");
        let answer = request.send().await.expect("an answer").bytes().await.expect("all of it");
        serde_json::from_slice(&answer).expect("JSON")
    };
    let mut names = Vec::new();
    for page in 1.. {
        let list = get(format!("/orgs/acme/repos?per_page=100&page={page}")).await;
        let list = list.as_array().expect("a list");
        names.extend(list.iter().filter_map(|one| Some(one["full_name"].as_str()?.to_owned())));
        if list.len() < 100 {
            break;
        }
    }
    for name in names {
        let mut runs = BTreeSet::new();
        for status in ["queued", "in_progress"] {
            let list = get(format!("/repos/{name}/actions/runs?status={status}&per_page=100")).await;
            runs.extend(list["workflow_runs"].as_array().expect("a list").iter().filter_map(|run| run["id"].as_u64()));
        }
        for run in runs {
            get(format!("/repos/{name}/actions/runs/{run}/jobs?per_page=100")).await;
        }
    }
    Look::of(usage, began.elapsed())
}
