//! Processes that die, and processes that run at once: `apply` itself, killed at each of its outward calls, and whoever runs
//! next puts it right.
//!
//! The calls are those of a first run that nothing disturbs; so a call that is new is covered by itself.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::time::Duration;

use futures::{StreamExt, stream};
use ghascale::engine::{InstanceState, birth_label};
use ghascale::sandbox::{Hold, JobStatus, Moment, Sandbox, Scenario, Service, World};
use jiff::Timestamp;

use super::{DEADLINE, Desk, X64, scale_set};

/// Longer than every window that something must pass before it is put right.
const WINDOWS: Duration = Duration::from_mins(6);
/// The most runs after a crash until all is well.
const RUNS: usize = 8;
/// How many worlds are played at once.
const AT_ONCE: usize = 3;

/// A world in which `apply` has something of every kind to do.
struct Stage {
    world: World,
    configuration: String,
    /// How many instances there are when all is done, those that never booted included.
    instances: usize,
}

impl Stage {
    /// Keeps the world before a desk.
    fn of(desk: &Desk, instances: usize) -> Self {
        let configuration = std::fs::read_to_string(desk.file("ghascale.toml")).unwrap();
        let configuration = configuration.replace(&desk.sandbox.url(), "URL");
        Self { world: desk.sandbox.world().clone(), configuration, instances }
    }

    /// Opens a desk on another world that is the same, on a host that has never run ghascale.
    async fn open(&self) -> Desk {
        let desk = Desk::on(Sandbox::start(Scenario::Empty, 0).await.unwrap());
        // However long ago the stage was set, nothing on it is older than it was then.
        *desk.sandbox.world() = self.world.clone().as_of(Timestamp::now());
        desk.configure(&self.configuration.replace("URL", &desk.sandbox.url()));
        desk
    }
}

async fn apply(desk: &Desk) {
    let ran = desk.run("apply --yes").await;
    assert_eq!(ran.code, 0, "{ran:#?}");
}

/// Queues jobs that take longer than any window.
fn queue(desk: &Desk, count: usize) {
    for _ in 0..count {
        desk.sandbox.world().repository("api").run().job(X64).lasting(Duration::from_mins(8));
    }
}

/// Jobs that wait, jobs that run, two instances to end, one that never booted, and a record without an instance.
async fn of_every_kind() -> Stage {
    let desk = Desk::open().await;
    desk.sandbox.world().settings.boot = Duration::from_secs(40);
    for (jobs, failing) in [(2, 2), (1, 1)] {
        desk.sandbox.world().fail_next_boots(failing);
        queue(&desk, jobs);
        apply(&desk).await;
        desk.sandbox.advance(WINDOWS);
    }
    queue(&desk, 2);
    let now = desk.sandbox.world().now();
    let labels = [birth_label(now - Duration::from_mins(10), 7).as_str().to_owned()];
    desk.sandbox.world().runner("sandbox-linux-x64-007", labels).ephemeral();
    // Three that never boot, and one for each job.
    Stage::of(&desk, 3 + 5)
}

/// Jobs that were assigned to a scale set that another system listens to.
async fn of_a_scale_set() -> Stage {
    let desk = scale_set::listened(9).await;
    desk.sandbox.world().settings.boot = Duration::from_secs(40);
    queue(&desk, 3);
    Stage::of(&desk, 3)
}

/// What must hold at any time: no slot with two machines, and no more machines than there are jobs for.
fn look(desk: &Desk, stage: &Stage, when: &str) {
    let world = desk.sandbox.world();
    let states = world.instance_states();
    assert!(states.len() <= stage.instances, "{when}: an instance more than was needed: {states:?}");
    let mut slots = BTreeSet::new();
    for (id, _) in states.iter().filter(|(_, state)| is_live(*state)) {
        let tags = world.tags(id).unwrap();
        let slot = (tags["ghascale:pool"].clone(), tags["ghascale:slot"].clone());
        assert!(slots.insert(slot.clone()), "{when}: two live instances in {slot:?}");
    }
}

fn is_live(state: InstanceState) -> bool {
    matches!(state, InstanceState::Pending | InstanceState::Running)
}

/// Runs until all is well, which must not take long.
async fn converge(desk: &Desk, stage: &Stage, after: &str) {
    for _ in 0..RUNS {
        let ran = desk.run("apply --yes").await;
        assert_eq!(ran.code, 0, "{after}: {ran:#?}");
        look(desk, stage, after);
        desk.sandbox.advance(WINDOWS);
        desk.sightings_get_older(WINDOWS);
        if is_settled(&desk.sandbox.world()) {
            break;
        }
    }
    let world = desk.sandbox.world();
    let open = [JobStatus::Queued, JobStatus::InProgress].map(|status| world.count_jobs(status));
    assert!(is_settled(&world), "{after}: {open:?} {:?} {:?}", world.runner_names(), world.instance_states());
    assert_eq!(world.instance_states().len(), stage.instances, "{after}");
    let jobs = world.run_ids().len();
    let succeeded = world.job_ids().into_iter().filter(|job| world.job_conclusion(*job) == Some("success")).count();
    assert_eq!(succeeded, jobs, "{after}: a job was lost");
}

/// Returns whether every job is done, and nothing is left over.
fn is_settled(world: &World) -> bool {
    let open = world.count_jobs(JobStatus::Queued) + world.count_jobs(JobStatus::InProgress);
    let live = world.instance_states().into_iter().filter(|(_, state)| is_live(*state)).count();
    (open, live, world.runner_names().len()) == (0, 0, 0)
}

/// Kills an apply when it has made so many calls and waits for the answer to the next; says which that is.
async fn kill(desk: &Desk, calls: usize, moment: Moment) -> String {
    let hold = desk.sandbox.hold(calls, moment);
    kill_at(desk, hold, &format!("it made {calls} calls and no more")).await
}

/// Kills an apply at a call of its own that is held.
async fn kill_at(desk: &Desk, mut hold: Hold, otherwise: &str) -> String {
    let mut child = desk.command("apply --yes").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let call = tokio::select! {
        call = hold.reached() => call.unwrap(),
        ended = child.wait() => panic!("{otherwise}, and ended with {ended:?}"),
        () = tokio::time::sleep(DEADLINE) => panic!("{otherwise}"),
    };
    child.start_kill().unwrap();
    assert_eq!(child.wait().await.unwrap().signal(), Some(9));
    hold.given_up().await;
    format!("{} {}", call.method, call.target)
}

/// Kills an apply at each of its calls, before and after what the call does, each time in a world of its own; `kinds` are
/// calls that must be among them.
async fn dies_at_each_call(stage: Stage, kinds: &[&str]) {
    let first = stage.open().await;
    apply(&first).await;
    let calls: Vec<String> =
        first.sandbox.calls().iter().map(|call| format!("{} {}", call.method, call.target)).collect();
    for kind in kinds {
        assert!(calls.iter().any(|call| call.contains(kind)), "no {kind} is among {calls:#?}");
    }
    converge(&first, &stage, "nothing has died").await;
    let stage = &stage;
    let died = stream::iter(0..calls.len()).map(async |nth| {
        for moment in [Moment::Before, Moment::After] {
            let desk = stage.open().await;
            let call = kill(&desk, nth, moment).await;
            let death = format!("killed {moment:?} call {nth}, {call}");
            look(&desk, stage, &death);
            converge(&desk, stage, &death).await;
            // What only reads has done nothing at either moment.
            if call.starts_with("GET") || call.contains("Describe") {
                break;
            }
        }
    });
    died.buffer_unordered(AT_ONCE).collect::<()>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_call_the_next_runs_put_it_right() {
    let kinds = ["generate-jitconfig", "RunInstances", "DELETE", "CreateTags", "TerminateInstances"];
    dies_at_each_call(of_every_kind().await, &kinds).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_call_of_the_actions_service_too() {
    dies_at_each_call(of_a_scale_set().await, &["generatejitconfig", "RunInstances"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_at_once_on_eight_hosts_launch_no_more_than_one_would() {
    for stage in [of_every_kind().await, of_a_scale_set().await] {
        let mut desk = stage.open().await;
        for ran in desk.run_on_hosts(8, "apply --yes").await {
            assert_eq!(ran.code, 0, "{ran:#?}");
        }
        look(&desk, &stage, "eight at once");
        converge(&desk, &stage, "eight at once").await;
    }
}

/// A world with one job, and a pool for one runner: by REST, or through a scale set.
async fn one_slot(has_set: bool) -> Desk {
    let desk = if has_set { scale_set::listened(9).await } else { Desk::open().await };
    desk.reconfigure("max = 8\n", "max = 1\n");
    queue(&desk, 1);
    desk
}

/// Kills an apply at a call of one kind, and returns the runner's id by then.
async fn kills_at(desk: &Desk, kind: &str, moment: Moment) -> String {
    kill_at(desk, desk.sandbox.hold_at(kind, moment), &format!("no {kind}")).await;
    let world = desk.sandbox.world();
    assert_eq!((world.runner_names().len(), world.instance_states().len()), (1, 0), "registered, and not launched");
    world.runner_names().remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_whose_launch_died_before_its_order_is_free_at_once() {
    let registers = [(false, "generate-jitconfig", Moment::After), (false, "DescribeImages", Moment::Before)];
    for (has_set, kind, moment) in registers.into_iter().chain([(true, "DescribeImages", Moment::After)]) {
        let desk = one_slot(has_set).await;
        let name = kills_at(&desk, kind, moment).await;
        let status = desk.run("plan -o json").await.json();
        assert_eq!(status["actions"], serde_json::json!([]), "who only looks undoes nothing: {kind}");
        let ran = desk.run("apply --yes -o json").await;
        assert_eq!(ran.code, 0, "{kind}: {ran:#?}");
        let report = ran.json();
        let done: Vec<_> = report["actions"].as_array().unwrap().iter().collect();
        assert_eq!((&done[0]["action"], &done[0]["runner"]), (&"deregister".into(), &name.as_str().into()), "{kind}");
        assert_eq!((&done[1]["action"], &done[1]["result"]), (&"launch".into(), &"done".into()), "{kind}");
        assert_eq!(done.len(), 2, "{kind}: {report:#}");
        {
            let world = desk.sandbox.world();
            assert_eq!((world.runner_names().len(), world.instance_states().len()), (1, 1), "{kind}");
        }
        let audit = std::fs::read_to_string(desk.file("state/ghascale/audit.jsonl")).unwrap();
        assert!(audit.contains("that ended before it ordered an instance"), "{audit}");
        // It is undone once.
        desk.sandbox.forget_calls();
        let ran = desk.run("apply --yes -o json").await;
        assert_eq!(ran.json()["actions"], serde_json::json!([]), "{kind}: {ran:#?}");
        assert!(desk.calls(Service::Github, "DELETE").is_empty() && desk.calls(Service::Actions, "DELETE").is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_whose_order_may_have_been_sent_is_left_for_the_launch_window() {
    for has_set in [false, true] {
        let desk = one_slot(has_set).await;
        kills_at(&desk, "RunInstances", Moment::Before).await;
        desk.sandbox.forget_calls();
        apply(&desk).await;
        assert!(desk.calls(Service::Github, "DELETE").is_empty() && desk.calls(Service::Actions, "DELETE").is_empty());
        assert_eq!(desk.sandbox.world().instance_states().len(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_file_undoes_nothing_that_it_does_not_name() {
    let desk = one_slot(false).await;
    kills_at(&desk, "DescribeImages", Moment::Before).await;
    assert_eq!(desk.run(&format!("plan --out {}", desk.file("today.plan").display())).await.code, 0);
    desk.sandbox.forget_calls();
    let ran = desk.run("apply today.plan --yes -o json").await;
    assert_eq!((ran.code, ran.json()["actions"].clone()), (0, serde_json::json!([])), "{ran:#?}");
    assert!(desk.calls(Service::Github, "DELETE").is_empty());
    assert_eq!(desk.sandbox.world().runner_names().len(), 1);
}
