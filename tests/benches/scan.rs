//! What reading demand costs, in requests and in time, against the embedded world over real HTTP.
//!
//! `cargo bench --profile dev` prints the table; what counts are its ratios. `GHASCALE_BENCH_REPOSITORIES` sets the size.
//! The pollers before this one are modelled faithfully and generously: sequential, two filtered lists a repository, the
//! first page of each, one list of jobs a run, no cache (KEDA's scaler does so), and no answer is ever lost to them.

#![expect(clippy::cast_precision_loss, reason = "what is counted here is counted in thousands")]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use ghascale::config::{Credentials, Github, Scan};
use ghascale::engine::{CountKind, Scope};
use ghascale::github::{Cache, Client, Limits, NoProgress, Usage, scan};
use ghascale::sandbox::{Sandbox, Scenario};
use globset::{Glob, GlobSet, GlobSetBuilder};
use jiff::Timestamp;

const ROUND_TRIP: Duration = Duration::from_millis(25);
const AT_ONCE: usize = 64;
/// The pollers before this one are run up to so many repositories: beyond, they take an hour.
const SLOW: usize = 2000;
const LABELS: [&str; 3] = ["self-hosted", "linux", "x64"];

fn main() {
    // `cargo test --benches` must not take minutes.
    let is_bench = std::env::args().any(|word| word == "--bench");
    let size = std::env::var("GHASCALE_BENCH_REPOSITORIES").ok().and_then(|size| size.parse().ok());
    let repositories: usize = size.unwrap_or(if is_bench { 1000 } else { 20 });
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(table(repositories));
}

async fn table(repositories: usize) {
    let runs = repositories / 5;
    let sandbox = world(repositories, runs).await;
    let home = tempfile::tempdir().expect("a directory for the cache");

    let cold = look(&sandbox, home.path()).await;
    let warm = look(&sandbox, home.path()).await;
    // What one run more costs: a list of runs and a list of jobs.
    sandbox.world().repository("r00000").run().job(LABELS);
    let one_more = look(&sandbox, home.path()).await;
    let before = if repositories <= SLOW { Some(poll(&sandbox).await) } else { None };

    let floor = |look: &Look| ROUND_TRIP.mul_f64((look.usage.requests as f64 / AT_ONCE as f64).ceil());
    let over_floor = |look: &Look| look.took.as_secs_f64() / floor(look).as_secs_f64();
    let per_repository = |requests: u64| requests as f64 / repositories as f64;
    println!(
        "{repositories} repositories, {runs} with an active run, {ROUND_TRIP:?} a round trip, {AT_ONCE} at once\n"
    );
    println!("{:<34} {:>9} {:>12} {:>9} {:>11}", "", "requests", "a repository", "charged", "over floor");
    for (name, look) in [("first look", &cold), ("again, nothing changed", &warm), ("again, one run more", &one_more)] {
        let charged = look.usage.requests - look.usage.not_modified;
        println!(
            "{name:<34} {:>9} {:>12.2} {charged:>9} {:>10.2}x",
            look.usage.requests,
            per_repository(look.usage.requests),
            over_floor(look)
        );
    }
    if let Some(before) = before {
        let requests = before.usage.requests;
        let each = per_repository(requests);
        println!("{:<34} {requests:>9} {each:>12.2} {requests:>9} {:>11}", "pollers before this one", "-");
        println!("\nfirst look over pollers before this one:");
        println!("  requests  {:.2}", cold.usage.requests as f64 / requests as f64);
        println!("  faster by {:.1}x", before.took.as_secs_f64() / cold.took.as_secs_f64());
    }
    assert_eq!(warm.usage.requests, warm.usage.not_modified, "nothing changed, and something was charged");
    sandbox.stop().await;
}

struct Look {
    usage: Usage,
    took: Duration,
}

/// A server without rate limits, on which a fifth of the repositories have a job to do.
async fn world(repositories: usize, runs: usize) -> Sandbox {
    let sandbox = Sandbox::start(Scenario::Empty, 0).await.expect("a port");
    let mut world = sandbox.world();
    world.repository("api").delete();
    world.settings.rate_limits = false;
    world.settings.round_trip = ROUND_TRIP;
    for nth in 0..repositories {
        let repository = world.repository(&format!("r{nth:05}"));
        if nth % 5 == 1 && nth / 5 < runs {
            repository.run().job(LABELS);
        }
    }
    drop(world);
    sandbox
}

fn github(sandbox: &Sandbox) -> Github {
    Github {
        url: sandbox.url(),
        scope: Scope::Organization("acme".into()),
        api_url: format!("{}/api/v3", sandbox.endpoint()),
        credentials: Credentials::Token(sandbox.token().to_owned().into()),
        ca_pem: None,
    }
}

/// Looks as a process does that begins with what is in the cache.
async fn look(sandbox: &Sandbox, cache: &Path) -> Look {
    let every = Glob::new("*").and_then(|glob| GlobSetBuilder::new().add(glob).build()).expect("a glob");
    let settings = Scan {
        include: every,
        exclude: GlobSet::empty(),
        patterns: (vec!["*".to_owned()], Vec::new()),
        concurrency: AT_ONCE,
        requests_per_minute: None,
        max_job_age: Duration::from_hours(24),
        rate_limit_share: 100,
        full: false,
        max_requests: None,
        cache: true,
    };
    let github = github(sandbox);
    let began = Instant::now();
    let client = Client::new(&github).expect("a client").with_limits(Limits { at_once: AT_ONCE, ..Limits::default() });
    let client = client.with_cache(Cache::open(cache).expect("a cache"));
    let scanned = scan(&client, &github.scope, &settings, Timestamp::now(), &NoProgress).await.expect("a scan");
    assert_eq!(scanned.demand.kind, CountKind::Exact);
    let usage = client.usage();
    drop(client);
    Look { usage, took: began.elapsed() }
}

/// Reads the demand as pollers before this one did.
async fn poll(sandbox: &Sandbox) -> Look {
    let client = reqwest::Client::builder().no_proxy().user_agent("poller").build().expect("a client");
    let api = format!("{}/api/v3", sandbox.endpoint());
    let mut usage = Usage::default();
    let began = Instant::now();
    let mut get = async |path: String| -> serde_json::Value {
        usage.requests += 1;
        let request = client.get(format!("{api}{path}")).bearer_auth(sandbox.token());
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
    Look { usage, took: began.elapsed() }
}
