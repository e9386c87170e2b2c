//! What a decision costs: plans of up to 100,000 jobs for 200 pools and 10,000 instances, made and checked.
//!
//! `cargo bench --bench decision` prints the table. Allocations are exact; instructions are counted by valgrind where it is
//! installed, and `-` elsewhere. The growth of each is the exponent between two sizes: 1 is linear.

#![expect(clippy::cast_precision_loss, reason = "what is counted here is counted in millions")]

use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

use ghascale::engine::build::{instance, job, policy, pool, runner, snapshot};
use ghascale::engine::{
    Instance, InstanceId, Job, JobId, JobState, Mark, Plan, Policy, Runner, RunnerId, Snapshot, check, plan,
};

const POOLS: u32 = 200;
/// Times are the least of so many.
const TIMES: u32 = 5;
/// Asks this process to make one world, and one plan in it if the second word says so: what valgrind counts.
const ONE: &str = "GHASCALE_BENCH_DECISION";

#[derive(Clone, Copy)]
struct Size {
    jobs: u64,
    instances: u32,
}

fn main() {
    if let Ok(one) = std::env::var(ONE) {
        return make_one(&one);
    }
    // `cargo test --benches` must not take minutes.
    let is_bench = std::env::args().any(|word| word == "--bench");
    let scale: u32 = if is_bench { 1 } else { 100 };
    let size = |jobs: u32, instances: u32| Size { jobs: (jobs / scale).into(), instances: instances / scale };
    let by_jobs = [1_000, 10_000, 100_000].map(|jobs| size(jobs, 10_000));
    let by_instances = [1_000, 10_000].map(|instances| size(10_000, instances));
    println!("{POOLS} pools\n");
    println!(
        "{:>8} {:>10} {:>10} {:>10} {:>13} {:>15}",
        "jobs", "instances", "plan", "check", "allocations", "instructions"
    );
    let of_jobs: Vec<Cost> = by_jobs.into_iter().map(|size| measure(size, is_bench)).collect();
    let of_instances: Vec<Cost> = by_instances.into_iter().map(|size| measure(size, is_bench)).collect();
    println!();
    for (name, costs) in [("jobs", &of_jobs[1..]), ("instances", &of_instances[..])] {
        let [small, large] = costs else { unreachable!("two sizes each") };
        println!("tenfold {name}, exponents of growth: {}", large.growth_over(small));
    }
}

struct Cost {
    plan: Duration,
    allocations: u64,
    instructions: Option<u64>,
}

impl Cost {
    /// The sizes are ten to one.
    fn growth_over(&self, small: &Self) -> String {
        let exponent = |large: f64, small: f64| (large / small).log10();
        let time = exponent(self.plan.as_secs_f64(), small.plan.as_secs_f64());
        let allocations = exponent(self.allocations as f64, small.allocations as f64);
        let instructions = self.instructions.zip(small.instructions);
        let instructions = instructions.map(|(large, small)| exponent(large as f64, small as f64));
        let instructions = instructions.map_or_else(|| "-".into(), |exponent| format!("{exponent:.2}"));
        format!("time {time:.2}, allocations {allocations:.2}, instructions {instructions}")
    }
}

fn measure(size: Size, counts_instructions: bool) -> Cost {
    let (snapshot, policy) = world(size);
    let mut made = Plan::default();
    let allocations = allocation_counter::measure(|| made = plan(&snapshot, &policy)).count_total;
    let least = |what: &dyn Fn()| {
        let times = (0..TIMES).map(|_| {
            let began = Instant::now();
            what();
            began.elapsed()
        });
        times.min().unwrap_or_default()
    };
    let plan = least(&|| drop(black_box(plan(black_box(&snapshot), &policy))));
    let check = least(&|| assert_eq!(check(black_box(&snapshot), &policy, &made), Ok(())));
    let instructions = counts_instructions.then(|| instructions(size)).flatten();
    println!(
        "{:>8} {:>10} {:>10} {:>10} {allocations:>13} {:>15}",
        size.jobs,
        size.instances,
        format!("{:.1} ms", plan.as_secs_f64() * 1e3),
        format!("{:.1} ms", check.as_secs_f64() * 1e3),
        instructions.map_or_else(|| "-".into(), |count| count.to_string()),
    );
    Cost { plan, allocations, instructions }
}

/// Returns how many instructions one plan takes: those of a process that makes it, less those of one that doesn't.
fn instructions(size: Size) -> Option<u64> {
    let of = |last: &str| {
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]);
        valgrind.arg(std::env::current_exe().ok()?).env(ONE, format!("{} {} {last}", size.jobs, size.instances));
        let said = String::from_utf8(valgrind.output().ok()?.stderr).ok()?;
        let count = said.lines().find_map(|line| line.split_once("refs:"))?.1;
        count.trim().replace(',', "").parse::<u64>().ok()
    };
    of("plan")?.checked_sub(of("nothing")?)
}

fn make_one(words: &str) {
    let mut words = words.split(' ');
    let mut number = || words.next().and_then(|word| word.parse().ok()).expect("a number");
    let size = Size { jobs: number(), instances: u32::try_from(number()).expect("a number") };
    let (snapshot, policy) = world(size);
    if words.next() == Some("plan") {
        drop(black_box(plan(&snapshot, &policy)));
    }
    // What is left is not counted: the end of the process frees it.
    std::mem::forget((snapshot, policy));
}

/// Half of the instances work, a quarter are idle, some boot, some are lost, some have no record any more; the jobs are
/// those that run, those of one pool, and those of any, which are more than the pools have room for.
fn world(size: Size) -> (Snapshot, Policy) {
    let each = size.instances / POOLS;
    let policy = policy((0..POOLS).map(|nth| {
        let labels = format!("self-hosted linux x64 of-{nth}");
        pool(&name(nth)).labels(&labels).priority(i64::from(nth % 3)).sized(2, each + each / 2 + 2).trimmed()
    }));
    let mut world = snapshot();
    for slot in 0..each {
        for nth in 0..POOLS {
            let id = u64::from(slot * POOLS + nth) + 1;
            let machine = Instance {
                id: InstanceId::new(format!("i-{id:017x}")),
                runner_id: Some(RunnerId(id)),
                ..instance(&name(nth), slot).aged(7200).marked(Mark::SeenOnline, 7000)
            };
            let record = Runner { id: RunnerId(id), ..runner(&name(nth), slot) };
            let (machine, record) = match slot % 10 {
                0..5 => {
                    world.demand.jobs.push(job(id).labels("self-hosted").on(id));
                    (machine, Some(record.online().busy()))
                }
                5..7 => (machine.marked(Mark::IdleSince, 3600), Some(record.online())),
                7 => (Instance { marks: ghascale::engine::Marks::default(), ..machine }.aged(60), Some(record)),
                8 => (machine.marked(Mark::OfflineSince, 3600), Some(record)),
                _ => (machine.marked(Mark::Draining, 3600), None),
            };
            world.instances.items.push(machine);
            world.runners.items.extend(record);
        }
    }
    world.demand.jobs.truncate(usize::try_from(size.jobs).expect("a number") / 2);
    for nth in 0..size.jobs - world.demand.jobs.len() as u64 {
        let labels = match nth % 4 {
            0 => "self-hosted linux".to_owned(),
            1 => "self-hosted windows".to_owned(),
            _ => format!("self-hosted x64 of-{}", nth % u64::from(POOLS)),
        };
        world.demand.jobs.push(Job {
            id: JobId(1_000_000 + nth),
            state: JobState::Pending,
            ..job(nth).labels(&labels)
        });
    }
    (world, policy)
}

fn name(pool: u32) -> String {
    format!("pool-{pool:03}")
}
