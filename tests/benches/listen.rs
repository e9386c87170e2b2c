//! How soon a job has its machine ordered, what a burst takes, and what listening costs: the real process, against the
//! embedded world over real HTTP.
//!
//! `cargo bench --profile dev --bench listen` prints the tables. `GHASCALE_BENCH_JOBS` sets how many jobs are timed (100;
//! EC2's own pace makes each last half a second). Times are the process's own: from the event of a message to that of
//! the plan, which is all that is ours, and to that of the launch, which adds the registration and the order themselves.

#![expect(clippy::cast_precision_loss, reason = "what is counted here is counted in thousands")]

use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use ghascale::sandbox::{Sandbox, Scenario};
use jiff::Timestamp;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// A job for which nothing was launched within so long has found a runner.
const SERVED_WITHIN: Duration = Duration::from_secs(5);
/// EC2 takes five at once and two a second: the last of a hundred can't be sent earlier.
const BURST_FLOOR: f64 = 47.5;

fn main() {
    // `cargo test --benches` must not take minutes.
    let is_bench = std::env::args().any(|word| word == "--bench");
    let jobs = std::env::var("GHASCALE_BENCH_JOBS").ok().and_then(|jobs| jobs.parse().ok());
    let jobs: usize = jobs.unwrap_or(if is_bench { 100 } else { 2 });
    let (burst, messages) = if is_bench { (100, 10_000) } else { (3, 20) };
    let watched = Duration::from_secs(if is_bench { 120 } else { 1 });
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        println!(
            "{:<34} {:>10} {:>10} {:>10} {:>10}",
            "from a message", "plan p50", "plan p99", "order p50", "order p99"
        );
        for pools in if is_bench { [1, 50] } else { [1, 2] } {
            latency(pools, jobs).await;
        }
        println!();
        many_at_once(burst).await;
        println!();
        memory(messages).await;
        idle(watched).await;
    });
}

/// A world, a process that listens in it, and what it says.
struct Bench {
    sandbox: Sandbox,
    _home: TempDir,
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Bench {
    async fn open(pools: usize, hold: Duration) -> Self {
        let sandbox = Sandbox::start(Scenario::Empty, 0).await.expect("a port");
        {
            let mut world = sandbox.world();
            world.settings.boot = Duration::from_secs(2);
            world.settings.rate_limits = false;
            world.settings.scale_sets.poll_hold = hold;
            for pool in 0..pools {
                world.scale_set(&format!("p{pool}")).labels([label(pool)]);
            }
        }
        let home = tempfile::tempdir().expect("a home");
        std::fs::write(home.path().join("ghascale.toml"), configuration(&sandbox, pools)).expect("a configuration");
        let path = |name: &str| home.path().join(name).display().to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_ghascale"));
        command.args(["listen", "-o", "json"]).env_clear().envs(sandbox.environment());
        for (name, at) in [("HOME", "."), ("XDG_STATE_HOME", "state"), ("GHASCALE_CONFIG", "ghascale.toml")] {
            command.env(name, path(at));
        }
        let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("a process");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let mut bench = Self { sandbox, _home: home, child, lines };
        for _ in 0..pools {
            bench.until(|event| event["state"] == "opened").await;
        }
        bench
    }

    async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = self.lines.next_line().await.expect("a line").expect("it listens");
            let event: Value = serde_json::from_str(&line).expect("JSON");
            if wanted(&event) {
                return event;
            }
        }
    }

    fn job(&self, pool: usize) {
        self.sandbox.world().repository("api").run().job([label(pool)]).lasting(Duration::from_secs(10));
    }

    /// Returns when a message said that a job is assigned, when the plan for it was made, and when its order was answered;
    /// `None` where a runner was there for it already.
    async fn launch(&mut self) -> Option<[Timestamp; 3]> {
        tokio::time::timeout(SERVED_WITHIN, self.launched()).await.ok()
    }

    async fn launched(&mut self) -> [Timestamp; 3] {
        let mut told = None;
        loop {
            let event = self.until(|event| event["event"] == "message" || event["launch"] == 1).await;
            let jobs = event["jobs"].as_array().into_iter().flatten();
            match told {
                // Others tell of jobs that begin and end.
                _ if jobs.clone().any(|job| job["job_event"] == "assigned") => told = Some(at(&event)),
                Some(told) if event["event"] == "plan" => {
                    let ordered = self.until(|event| event["event"] == "action" && event["action"] == "launch").await;
                    assert_eq!(ordered["result"], "done", "{ordered}");
                    return [told, at(&event), at(&ordered)];
                }
                _ => {}
            }
        }
    }

    /// Returns the process's memory in MB and its processor time in seconds.
    fn cost(&self) -> (f64, f64) {
        let id = self.child.id().expect("it runs");
        let read = |name: &str| std::fs::read_to_string(Path::new("/proc").join(id.to_string()).join(name));
        let status = read("status").expect("its status");
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        let memory: f64 = memory.trim().trim_end_matches(" kB").parse().expect("a number");
        let stat = read("stat").expect("its times");
        // After the name in parentheses: utime and stime are the 12th and 13th, in hundredths of a second.
        let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
        let ticks = |nth: usize| fields[nth].parse::<f64>().expect("a number");
        (memory / 1024.0, (ticks(11) + ticks(12)) / 100.0)
    }
}

fn label(pool: usize) -> String {
    format!("p{pool}")
}

fn configuration(sandbox: &Sandbox, pools: usize) -> String {
    let mut text = format!(
        "[github]\nurl = \"{}\"\n[scan]\nrequests_per_minute = 100000\n[ec2]\nregion = \"eu-north-1\"\nfleet = \"bench\"\n",
        sandbox.url()
    );
    for pool in 0..pools {
        let _ = write!(
            text,
            "[[pool]]\nname = \"p{pool}\"\nlabels = [\"p{pool}\"]\nscale_set = \"p{pool}\"\nmax = 200\n\
             image = \"ami-0123456789abcdef0\"\ninstance_types = [\"m7a.large\"]\nsubnets = [\"subnet-a\"]\n\
             security_groups = [\"sg-1\"]\nmarket = \"on-demand\"\n"
        );
    }
    text
}

fn at(event: &Value) -> Timestamp {
    event["at"].as_str().and_then(|at| at.parse().ok()).expect("a time")
}

fn percentile(sorted: &[f64], percent: usize) -> f64 {
    sorted[(sorted.len() - 1) * percent / 100]
}

async fn latency(pools: usize, jobs: usize) {
    let mut bench = Bench::open(pools, Duration::from_secs(50)).await;
    let (mut to_plan, mut to_order) = (Vec::new(), Vec::new());
    for job in 0..jobs {
        bench.job(job % pools);
        if let Some([told, planned, ordered]) = bench.launch().await {
            let since = |then: Timestamp| then.duration_since(told).as_secs_f64() * 1000.0;
            to_plan.push(since(planned));
            to_order.push(since(ordered));
        }
        // EC2's bucket gets one back.
        tokio::time::sleep(Duration::from_millis(510)).await;
    }
    for times in [&mut to_plan, &mut to_order] {
        times.sort_by(f64::total_cmp);
    }
    println!(
        "{:<34} {:>7.1} ms {:>7.1} ms {:>7.1} ms {:>7.1} ms",
        format!("{} of {jobs} jobs, {pools} pools", to_plan.len()),
        percentile(&to_plan, 50),
        percentile(&to_plan, 99),
        percentile(&to_order, 50),
        percentile(&to_order, 99),
    );
    bench.sandbox.stop().await;
}

async fn many_at_once(jobs: usize) {
    let mut bench = Bench::open(1, Duration::from_secs(50)).await;
    bench.sandbox.world().settings.launches_every = Some(Duration::from_millis(500));
    let began = Instant::now();
    {
        let mut world = bench.sandbox.world();
        for _ in 0..jobs {
            world.repository("api").run().job([label(0)]).lasting(Duration::from_hours(9));
        }
    }
    let mut done = 0;
    while done < jobs {
        let event = bench.until(|event| event["event"] == "action").await;
        done += usize::from(event["result"] == "done");
    }
    let took = began.elapsed().as_secs_f64();
    let calls = bench.sandbox.calls();
    let orders = calls.iter().filter(|call| call.target.contains("RunInstances"));
    let refused = orders.filter(|call| call.status.is_some_and(|status| status >= 400)).count();
    println!(
        "{jobs} jobs at once: the last is ordered after {took:.1} s, {:.2} of the floor; {refused} requests refused",
        took / BURST_FLOOR
    );
    bench.sandbox.stop().await;
}

/// Messages that come at once stand for weeks of them: each is a poll, an event, a decision and an acknowledgement.
async fn memory(messages: usize) {
    let mut bench = Bench::open(1, Duration::from_secs(50)).await;
    let mut costs = Vec::new();
    for nth in 0..=messages {
        if nth == messages / 10 || nth == messages {
            costs.push(bench.cost());
        }
        bench.sandbox.world().scale_set(&label(0)).tell_statistics();
        bench.until(|event| event["event"] == "message").await;
    }
    let [(before, spent), (after, spent_then)] = costs[..] else { unreachable!("two looks") };
    let each = (spent_then - spent) / (messages as f64 * 0.9) * 1000.0;
    println!(
        "{messages} messages: {before:.1} MB after a tenth, {after:.1} MB after all; {each:.2} ms of processor each"
    );
    bench.sandbox.stop().await;
}

/// Nothing happens: polls of 50 s, and one whole observation a minute.
async fn idle(watched: Duration) {
    let bench = Bench::open(1, Duration::from_secs(50)).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (_, spent) = bench.cost();
    bench.sandbox.forget_calls();
    tokio::time::sleep(watched).await;
    let (memory, spent_then) = bench.cost();
    let an_hour = 3600.0 / watched.as_secs_f64();
    let requests = bench.sandbox.calls().len() as f64 * an_hour;
    println!(
        "idle: {requests:.0} requests and {:.1} s of processor an hour, {memory:.1} MB",
        (spent_then - spent) * an_hour
    );
    bench.sandbox.stop().await;
}
