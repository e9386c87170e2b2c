//! How soon demand is known under GitHub's own limits: 900 requests a minute, and a refusal of whatever is beyond.
//!
//! `cargo bench --bench limits` prints the tables. Everything is real, the client, its gate and its cache, and the embedded
//! world over HTTP, but both go by a clock that runs five times as fast (`GHASCALE_BENCH_SPEED`): what this machine takes
//! counts five times here, and so the figures are upper bounds. `GHASCALE_BENCH_REPOSITORIES` sets one size.
//!
//! Detection is from the moment a job is queued, in a repository that had a run of late, to the end of the look that shows
//! it. A command that cron starts each minute can't do better than the half of its minute; `listen --interval 10s` looks
//! more often. With hints, the delivery log of a webhook says where something has happened.

#![expect(clippy::cast_precision_loss, reason = "what is counted here is counted in thousands")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use ghascale::clock::Clock;
use ghascale::config::{Credentials, Github, Scan};
use ghascale::engine::{JobId, Scope};
use ghascale::github::{Cache, Client, Limits, NoProgress, Scanned, scan};
use ghascale::sandbox::{Sandbox, Scenario};
use jiff::{SignedDuration, Timestamp};

const A_MINUTE: usize = 900;
const ROUND_TRIP: Duration = Duration::from_millis(25);
/// `scan.concurrency`, as it is if nobody sets it.
const AT_ONCE: usize = 16;
/// The number of the organization's webhook.
const HOOK: u64 = 12;
const LABELS: [&str; 3] = ["self-hosted", "linux", "x64"];
/// A job comes so often, somewhere; no multiple of it is an interval's.
const JOB_EVERY: Duration = Duration::from_secs(7);
/// Today's pollers look so often (KEDA's default).
const POLL_EVERY: Duration = Duration::from_secs(30);

fn main() {
    // `cargo test --benches` must not take minutes.
    let is_bench = std::env::args().any(|word| word == "--bench");
    let number = |name: &str| std::env::var(name).ok().and_then(|number| number.parse::<usize>().ok());
    let sizes = number("GHASCALE_BENCH_REPOSITORIES")
        .map_or_else(|| if is_bench { vec![100, 1000, 10_000] } else { vec![20] }, |size| vec![size]);
    let speed = number("GHASCALE_BENCH_SPEED").and_then(|speed| u32::try_from(speed).ok()).unwrap_or(5);
    let watched = Duration::from_mins(if is_bench { 10 } else { 1 });
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        println!("{A_MINUTE} requests a minute, {ROUND_TRIP:?} a round trip, {speed} times as fast\n");
        println!(
            "{:<28} {:>9} {:>9} {:>11} {:>9}",
            "a first look at everything", "requests", "minutes", "over floor", "refused"
        );
        for repositories in &sizes {
            for per_minute in [None, Some(750)] {
                sweep(*repositories, per_minute, speed).await;
            }
        }
        println!("\n{:<28} {:>9} {:>9} {:>11} {:>9}", "a new job is seen", "p50", "p95", "not yet", "refused");
        for repositories in &sizes {
            let often = Cadence::Listen(Duration::from_secs(10));
            for (cadence, has_hints) in [(often, false), (often, true), (Cadence::Cron(Duration::from_mins(1)), false)]
            {
                detect(*repositories, cadence, has_hints, watched, speed).await;
            }
        }
        println!(
            "\n{:<28} {:>9} {:>9} {:>11} {:>9}",
            "pollers before this one", "sweeps", "whole", "requests", "refused"
        );
        for repositories in &sizes {
            poll(*repositories, watched, speed).await;
        }
    });
}

/// How often is looked.
#[derive(Clone, Copy)]
enum Cadence {
    /// By one process.
    Listen(Duration),
    /// By a new one each time.
    Cron(Duration),
}

/// A world by a fast clock, and a place for the cache.
struct Bench {
    clock: Clock,
    sandbox: Sandbox,
    home: tempfile::TempDir,
}

impl Bench {
    /// A twentieth of the repositories, ten at least, has a run that goes on.
    async fn open(repositories: usize, speed: u32) -> Self {
        let clock = Clock::faster(speed);
        let sandbox = Sandbox::begin_by(clock, Scenario::Empty.into(), 0).await.expect("a port");
        {
            let mut world = sandbox.world();
            world.repository("api").delete();
            world.rate_limit(100_000, 100_000);
            world.settings.secondary_limit = Some(A_MINUTE);
            world.settings.round_trip = ROUND_TRIP;
            world.settings.delivery_hook = Some(HOOK);
            for nth in 0..repositories {
                let repository = world.repository(&name(nth));
                if nth < hot(repositories) {
                    repository.run().job(LABELS).on_hosted_runner().lasting(Duration::from_hours(12));
                }
            }
        }
        Self { clock, sandbox, home: tempfile::tempdir().expect("a directory for the cache") }
    }

    fn client(&self, per_minute: Option<u32>) -> Client {
        self.client_of(per_minute, None)
    }

    /// The same, for one process that looks so often.
    fn client_of(&self, per_minute: Option<u32>, looks_every: Option<Duration>) -> Client {
        let limits = Limits { at_once: AT_ONCE, per_minute, looks_every, ..Limits::default() };
        let client = Client::new(&github(&self.sandbox)).expect("a client").with_clock(self.clock).with_limits(limits);
        client.with_cache(Cache::open(Path::new(self.home.path())).expect("a cache"))
    }

    async fn look(&self, client: &Client, has_hints: bool) -> Scanned {
        let organization_hook = has_hints.then_some(HOOK);
        let settings = Scan { concurrency: AT_ONCE, organization_hook, ..Scan::of_every_repository().expect("a glob") };
        let scope = Scope::Organization("acme".into());
        scan(client, &scope, &settings, self.clock.now(), &NoProgress).await.expect("a scan")
    }

    fn refusals(&self) -> usize {
        self.sandbox.calls().iter().filter(|call| call.status == Some(403)).count()
    }
}

fn name(nth: usize) -> String {
    format!("r{nth:05}")
}

/// How many repositories are hot.
fn hot(repositories: usize) -> usize {
    (repositories / 20).max(10)
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

/// Looks at everything for the first time.
async fn sweep(repositories: usize, per_minute: Option<u32>, speed: u32) {
    let bench = Bench::open(repositories, speed).await;
    let client = bench.client(per_minute);
    let began = bench.clock.elapsed();
    bench.look(&client, false).await;
    let minutes = bench.clock.elapsed().saturating_sub(began).as_secs_f64() / 60.0;
    let requests = client.usage().requests;
    let pace = per_minute.map_or_else(|| "auto".to_owned(), |pace| format!("{pace} a minute"));
    println!(
        "{:<28} {requests:>9} {minutes:>9.1} {:>10.2}x {:>9}",
        format!("{repositories}, {pace}"),
        minutes / (requests as f64 / A_MINUTE as f64),
        bench.refusals()
    );
    drop(client);
    bench.sandbox.stop().await;
}

/// Lets jobs come, and looks for them again and again.
async fn detect(repositories: usize, cadence: Cadence, has_hints: bool, watched: Duration, speed: u32) {
    let bench = Bench::open(repositories, speed).await;
    let mut client = bench.client(None);
    bench.look(&client, has_hints).await;
    if let Cadence::Listen(every) = cadence {
        client = bench.client_of(None, Some(every));
    }
    bench.sandbox.forget_calls();
    let began = bench.clock.elapsed();
    let mut queued: BTreeMap<JobId, Timestamp> = BTreeMap::new();
    let (mut waits, mut jobs) = (Vec::new(), 0..);
    let mut next_job = began + JOB_EVERY;
    let mut next_look = began;
    while bench.clock.elapsed() < began + watched {
        let look = async {
            let (Cadence::Listen(every) | Cadence::Cron(every)) = cadence;
            bench.clock.sleep(next_look.saturating_sub(bench.clock.elapsed())).await;
            next_look = (next_look + every).max(bench.clock.elapsed());
            if matches!(cadence, Cadence::Cron(_)) {
                client = bench.client(None);
            }
            bench.look(&client, has_hints).await
        };
        let arrivals = async {
            loop {
                bench.clock.sleep(next_job.saturating_sub(bench.clock.elapsed())).await;
                next_job += JOB_EVERY;
                let nth = jobs.next().unwrap_or(0_usize) * 7 % hot(repositories);
                let mut world = bench.sandbox.world();
                let job = world.repository(&name(nth)).run().job(LABELS).hosted().lasting(Duration::from_mins(2));
                queued.insert(JobId(job.id()), bench.clock.now());
            }
        };
        let scanned = tokio::select! {
            scanned = look => scanned,
            () = arrivals => unreachable!("jobs never end to come"),
        };
        let now = bench.clock.now();
        let seen: BTreeSet<JobId> = scanned.demand.jobs.iter().map(|job| job.id).collect();
        waits.extend(queued.extract_if(.., |job, _| seen.contains(job)).map(|(_, at)| now.duration_since(at)));
    }
    waits.sort();
    let at = |share: usize| waits.get((waits.len() * share / 100).min(waits.len().saturating_sub(1)));
    let shown =
        |wait: Option<&SignedDuration>| wait.map_or_else(|| "-".into(), |wait| format!("{:.0} s", wait.as_secs_f64()));
    let how = match cadence {
        Cadence::Listen(every) if has_hints => format!("{repositories}, every {} s, hints", every.as_secs()),
        Cadence::Listen(every) => format!("{repositories}, every {} s", every.as_secs()),
        Cadence::Cron(every) => format!("{repositories}, by cron, {} s", every.as_secs()),
    };
    println!("{how:<28} {:>9} {:>9} {:>11} {:>9}", shown(at(50)), shown(at(95)), queued.len(), bench.refusals());
    drop(client);
    bench.sandbox.stop().await;
}

/// Looks as pollers before this one did: one request after the other, each whole look thrown away that was refused one.
async fn poll(repositories: usize, watched: Duration, speed: u32) {
    let bench = Bench::open(repositories, speed).await;
    let client = reqwest::Client::builder().no_proxy().user_agent("poller").build().expect("a client");
    let api = format!("{}/api/v3", bench.sandbox.endpoint());
    let (mut requests, mut refused, mut sweeps, mut whole) = (0_u64, 0_u64, 0, 0);
    let until = bench.clock.elapsed() + watched;
    let mut get = async |path: String| {
        if bench.clock.elapsed() >= until {
            return false;
        }
        requests += 1;
        let answer =
            client.get(format!("{api}{path}")).bearer_auth(bench.sandbox.token()).send().await.expect("an answer");
        refused += u64::from(answer.status() == 403);
        let is_good = answer.status().is_success();
        drop(answer.bytes().await);
        is_good
    };
    while bench.clock.elapsed() < until {
        sweeps += 1;
        let began = bench.clock.elapsed();
        let mut is_whole = true;
        'sweep: for nth in 0..repositories {
            for status in ["queued", "in_progress"] {
                let path = format!("/repos/acme/{}/actions/runs?status={status}&per_page=100", name(nth));
                if !get(path).await {
                    is_whole = false;
                    break 'sweep;
                }
            }
        }
        whole += u32::from(is_whole);
        bench.clock.sleep((began + POLL_EVERY).saturating_sub(bench.clock.elapsed())).await;
    }
    println!("{repositories:<28} {sweeps:>9} {whole:>9} {requests:>11} {refused:>9}");
    bench.sandbox.stop().await;
}
