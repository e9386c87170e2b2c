//! `listen`: the process, in real time, and its end.

mod reruns;
mod survival;

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use ghascale::sandbox::{Dispatch, Fault, JobStatus, Moment, Service};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::{Desk, X64, until};

const SET: &str = "scale_set = \"linux-x64\"\n";
const GPU: [&str; 3] = ["self-hosted", "linux", "gpu"];

/// A desk whose pool `linux-x64` has a scale set, and a world that answers polls soon.
pub(crate) async fn desk() -> Desk {
    let desk = Desk::open().await;
    desk.reconfigure("name = \"linux-x64\"\n", &format!("name = \"linux-x64\"\n{SET}"));
    {
        let mut world = desk.sandbox.world();
        world.settings.scale_sets.poll_hold = Duration::from_millis(300);
        world.scale_set("linux-x64").labels(X64);
    }
    desk
}

impl Desk {
    /// Waits until a listener has had the looks that it begins with: what follows is by messages alone.
    pub(crate) async fn has_looked(&self) {
        until(|| {
            let looks = self.calls(Service::Ec2, "DescribeInstances").len();
            looks >= 2 && !self.calls(Service::Github, "/actions/runs").is_empty()
        })
        .await;
    }

    /// Waits until the runners are looked at once more.
    async fn looked_at(&self) {
        self.sandbox.forget_calls();
        until(|| !self.calls(Service::Github, "/actions/runs").is_empty()).await;
    }
}

/// A process that listens.
struct Listening {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// What it said so far.
    said: Vec<Value>,
}

impl Listening {
    fn on(desk: &Desk, flags: &str) -> Self {
        Self::by(desk.command(&format!("listen -o json {flags}")))
    }

    fn by(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines, said: Vec::new() }
    }

    /// Waits for the next event that is as wanted.
    async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        self.within(Duration::from_secs(30), wanted).await
    }

    async fn within(&mut self, most: Duration, wanted: impl Fn(&Value) -> bool) -> Value {
        let found = tokio::time::timeout(most, async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                let event: Value = serde_json::from_str(&line).unwrap();
                self.said.push(event.clone());
                if wanted(&event) {
                    return Some(event);
                }
            }
            None
        });
        let found = found.await.ok().flatten();
        found.unwrap_or_else(|| panic!("it was not said within {most:?}; said: {:#?}", self.said))
    }

    async fn opened(&mut self) {
        self.until(|event| event["event"] == "session" && event["state"] == "opened").await;
    }

    /// Waits until so many launches are done.
    async fn launches(&mut self, count: usize) -> Vec<Value> {
        let mut done = Vec::new();
        while done.len() < count {
            done.push(self.until(|event| is_launch(event) && event["result"] == "done").await);
        }
        done
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().unwrap().to_string();
        assert!(std::process::Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    /// Ends it as systemd does; returns what it said since.
    async fn end(mut self) -> (ExitStatus, Vec<Value>) {
        self.signal("-TERM");
        let status = tokio::time::timeout(Duration::from_secs(20), self.child.wait()).await.unwrap().unwrap();
        while let Some(line) = self.lines.next_line().await.unwrap() {
            self.said.push(serde_json::from_str(&line).unwrap());
        }
        (status, self.said)
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Asks a listener that serves metrics.
async fn get(port: u16, path: &str) -> (u16, String) {
    let answer = reqwest::get(format!("http://127.0.0.1:{port}/{path}")).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// Waits until the metrics have all of these and none of those.
async fn shows(port: u16, lines: &[&str], not: &[&str]) {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    loop {
        let (_, text) = get(port, "metrics").await;
        if lines.iter().all(|line| text.contains(line)) && !not.iter().any(|line| text.contains(line)) {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{lines:?} and not {not:?} in {text}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn is_launch(event: &Value) -> bool {
    event["event"] == "action" && event["action"] == "launch"
}

fn launches(said: &[Value]) -> usize {
    said.iter().filter(|event| is_launch(event) && event["result"] == "done").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_launched_for_at_its_message_and_the_end_is_clean() {
    let desk = desk().await;
    let mut listening = Listening::on(&desk, "");
    let ready = listening.until(|_| true).await;
    assert_eq!((&ready["event"], &ready["listening"]), (&json!("ready"), &json!(["linux-x64"])));
    assert_eq!(ready["polling"], json!(["linux-arm64", "gpu"]));
    listening.opened().await;
    desk.has_looked().await;
    desk.sandbox.forget_calls();
    desk.jobs(1, X64);
    let message = listening.until(|event| event["event"] == "message").await;
    assert_eq!((&message["statistics"]["assigned"], &message["jobs"][0]["job_event"]), (&json!(1), &json!("assigned")));
    let plan = listening.until(|event| event["event"] == "plan").await;
    assert_eq!((&plan["pool"], &plan["launch"]), (&json!("linux-x64"), &json!(1)));
    let launched = listening.launches(1).await.remove(0);
    assert_eq!((&launched["runner"], &launched["source"]), (&json!("sandbox-linux-x64-000"), &json!("scale-set")));
    assert!(launched["request_id"].is_string() && launched["instance_id"].is_string(), "{launched}");
    let (status, said) = listening.end().await;
    assert_eq!((status.code(), &said.last().unwrap()["event"]), (Some(0), &json!("stopped")));
    assert_eq!(said.last().unwrap()["reason"], "SIGTERM");
    assert_eq!(desk.sandbox.world().session_owner("linux-x64"), None, "its session is closed");
    assert_eq!(desk.sandbox.world().instance_states().len(), 1);
    // Every action is in the audit log too.
    let audit = std::fs::read_to_string(desk.file("state").join("ghascale/audit.jsonl")).unwrap();
    assert!(audit.contains(launched["instance_id"].as_str().unwrap()), "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn between_a_message_and_its_launch_only_the_registration_is_asked_for() {
    let desk = desk().await;
    let mut listening = Listening::on(&desk, "");
    listening.opened().await;
    desk.has_looked().await;
    // The first whole observation is over when a second message finds nothing under way.
    desk.jobs(1, X64);
    listening.launches(1).await;
    // What is asked from here on, up to the order, lies between the two: the poll that brings the message is under way.
    desk.sandbox.forget_calls();
    desk.jobs(1, X64);
    listening.launches(1).await;
    let calls = desk.sandbox.calls();
    let bought = calls.iter().position(|call| call.target.contains("RunInstances")).unwrap_or(calls.len());
    let between: Vec<&str> = calls[..bought]
        .iter()
        .filter(|call| !call.target.starts_with("/scalesets/message"))
        .map(|call| call.target.as_str())
        .collect();
    let is_known = |target: &&str| target.contains("generatejitconfig");
    assert!(between.iter().any(is_known), "{between:?}");
    // A look that was due at that moment is no part of it: it lists instances and runners, and asks the set for its counts.
    let is_of_a_look = |target: &&str| {
        let path = target.split('?').next().unwrap_or_default();
        *target == "DescribeInstances"
            || path.ends_with("/acme/actions/runners")
            || path == "/_apis/runtime/runnerscalesets/1"
            || path == "/_apis/distributedtask/pools/0/agents"
    };
    let others: Vec<&&str> = between.iter().filter(|target| !is_known(target) && !is_of_a_look(target)).collect();
    assert!(others.is_empty(), "{others:?} in {between:?}");
    listening.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_is_launched_for_once_and_its_runners_take_the_jobs() {
    let desk = desk().await;
    desk.sandbox.world().settings.boot = Duration::from_millis(700);
    let mut listening = Listening::on(&desk, "--interval 1s");
    listening.opened().await;
    for burst in [2, 1, 3] {
        desk.jobs(burst, X64);
        listening.launches(burst as usize).await;
    }
    let started = |event: &Value| {
        event["event"] == "message" && event["statistics"]["running"].as_u64().is_some_and(|running| running == 6)
    };
    listening.until(started).await;
    let (_, said) = listening.end().await;
    assert_eq!(launches(&said), 6, "{said:#?}");
    assert_eq!(desk.sandbox.world().count_jobs(JobStatus::InProgress), 6);
    assert_eq!(desk.sandbox.world().instance_states().len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_are_acquired_are_as_many_as_may_run() {
    let desk = desk().await;
    desk.reconfigure("max = 8\n", "max = 2\n");
    desk.sandbox.world().settings.scale_sets.dispatch = Dispatch::Acquire;
    let mut listening = Listening::on(&desk, "");
    listening.opened().await;
    desk.jobs(5, X64);
    listening.launches(2).await;
    let counts = desk.sandbox.world().statistics_of("linux-x64").unwrap();
    assert_eq!((counts.assigned, counts.available), (2, 3));
    listening.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_are_acquired_are_as_many_as_all_pools_together_may_run() {
    let desk = desk().await;
    desk.reconfigure("[ec2]\n", "[ec2]\nmax_total = 3\n");
    desk.sandbox.world().settings.scale_sets.dispatch = Dispatch::Acquire;
    desk.jobs(1, GPU);
    let mut listening = Listening::on(&desk, "--interval 1s");
    listening.launches(1).await;
    for _ in 0..2 {
        desk.looked_at().await;
    }
    desk.jobs(5, X64);
    listening.launches(2).await;
    let counts = desk.sandbox.world().statistics_of("linux-x64").unwrap();
    assert_eq!((counts.assigned, counts.available), (2, 3), "the others are left to whoever has room");
    listening.end().await;
}

/// A desk with two scale sets, and room for three runners in all.
async fn two_sets(dispatch: Dispatch) -> Desk {
    let desk = desk().await;
    desk.reconfigure("[ec2]\n", "[ec2]\nmax_total = 3\n");
    desk.reconfigure("name = \"gpu\"\n", "name = \"gpu\"\nscale_set = \"gpu\"\n");
    let mut world = desk.sandbox.world();
    world.settings.scale_sets.dispatch = dispatch;
    world.scale_set("gpu").labels(GPU);
    drop(world);
    desk
}

/// Returns how many jobs the two sets have.
fn given(desk: &Desk) -> (u64, u64) {
    let world = desk.sandbox.world();
    let of = |set| world.statistics_of(set).map_or(0, |counts| counts.assigned + counts.acquired);
    (of("linux-x64"), of("gpu"))
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sets_that_burst_in_the_same_moment_are_lent_no_more_than_there_is() {
    for dispatch in [Dispatch::Acquire, Dispatch::Direct] {
        let desk = two_sets(dispatch).await;
        let mut listening = Listening::on(&desk, "--interval 1s");
        listening.opened().await;
        listening.opened().await;
        desk.looked_at().await;
        desk.jobs(5, X64);
        desk.jobs(5, GPU);
        listening.launches(3).await;
        for _ in 0..2 {
            desk.looked_at().await;
        }
        let (x64, gpu) = given(&desk);
        assert_eq!((x64 + gpu, x64.min(gpu)), (3, 1), "{dispatch:?}: each has its share, and none waits here");
        assert_eq!(desk.sandbox.world().instance_states().len(), 3);
        listening.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_set_does_not_need_the_other_gets_and_lets_go_of_as_its_jobs_end() {
    for dispatch in [Dispatch::Acquire, Dispatch::Direct] {
        let desk = two_sets(dispatch).await;
        {
            let mut world = desk.sandbox.world();
            (world.settings.boot, world.settings.shutdown) = (Duration::from_millis(100), Duration::from_millis(50));
            // A poll that lasts: what is lent is returned all the same.
            world.settings.scale_sets.poll_hold = Duration::from_secs(50);
        }
        let mut listening = Listening::on(&desk, "--interval 1s");
        listening.opened().await;
        listening.opened().await;
        desk.looked_at().await;
        for _ in 0..6 {
            desk.sandbox.world().repository("api").run().job(X64).lasting(Duration::from_secs(4));
        }
        listening.launches(3).await;
        assert_eq!(given(&desk), (3, 0), "{dispatch:?}");
        desk.jobs(2, GPU);
        // In the end all of them have run, or run.
        until(|| given(&desk).1 == 2 && desk.sandbox.world().count_jobs(JobStatus::Completed) >= 4).await;
        let (_, said) = listening.end().await;
        assert!(launches(&said) >= 6, "{dispatch:?}: {said:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_whose_launches_have_no_price_under_a_ceiling_acquires_nothing() {
    let desk = desk().await;
    let table = "max_usd_per_hour = 9\n[ec2.prices]\n\"g5.xlarge\" = 1.0\n";
    desk.reconfigure("fleet = \"sandbox\"\n", &format!("fleet = \"sandbox\"\n{table}"));
    desk.reconfigure("market = \"spot-then-on-demand\"", "market = \"on-demand\"");
    desk.sandbox.world().settings.scale_sets.dispatch = Dispatch::Acquire;
    let mut listening = Listening::on(&desk, "--interval 1s");
    listening.opened().await;
    desk.jobs(2, X64);
    listening.until(|event| event["event"] == "message" && event["statistics"]["available"] == 2).await;
    for _ in 0..2 {
        desk.looked_at().await;
    }
    assert_eq!(given(&desk).0, 0, "others could run them");
    assert!(desk.calls(Service::Actions, "acquirejobs").is_empty());
    // It announces 1 all the same.
    let announced = |jobs: &str| {
        let calls = desk.sandbox.calls();
        calls.iter().any(|call| call.parameters.get("X-ScaleSetMaxCapacity").is_some_and(|said| said == jobs))
    };
    until(|| announced("1")).await;
    assert!(!announced("0"));
    listening.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_a_ceiling_too_a_set_without_any_gets_its_share_of_one_that_has_all() {
    let desk = desk().await;
    let table = "max_usd_per_hour = 0.3\n[ec2.prices]\n\"m7a.large\" = 0.1\n\"m6a.large\" = 0.1\n\"m7g.large\" = 0.1\n\"g5.xlarge\" = 0.1\n";
    desk.reconfigure("fleet = \"sandbox\"\n", &format!("fleet = \"sandbox\"\n{table}"));
    desk.reconfigure("market = \"spot-then-on-demand\"", "market = \"on-demand\"");
    desk.reconfigure("name = \"gpu\"\n", "name = \"gpu\"\nscale_set = \"gpu\"\n");
    {
        let mut world = desk.sandbox.world();
        world.scale_set("gpu").labels(GPU);
        world.settings.scale_sets.dispatch = Dispatch::Acquire;
        (world.settings.boot, world.settings.shutdown) = (Duration::from_millis(100), Duration::from_millis(50));
    }
    let mut listening = Listening::on(&desk, "--interval 1s");
    listening.opened().await;
    listening.opened().await;
    desk.looked_at().await;
    for _ in 0..20 {
        desk.sandbox.world().repository("api").run().job(X64).lasting(Duration::from_secs(2));
    }
    listening.launches(3).await;
    desk.jobs(1, GPU);
    listening.within(Duration::from_mins(1), |event| is_launch(event) && event["pool"] == "gpu").await;
    assert!(desk.sandbox.world().count_jobs(JobStatus::Completed) < 12, "it had to wait for most of the other's");
    listening.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_on_offer_that_there_was_no_room_for_are_acquired_when_there_is() {
    let desk = desk().await;
    desk.reconfigure("max = 8\n", "max = 2\n");
    {
        let mut world = desk.sandbox.world();
        world.settings.scale_sets.dispatch = Dispatch::Acquire;
        (world.settings.boot, world.settings.shutdown) = (Duration::from_millis(100), Duration::from_millis(50));
        let lasts = Duration::from_millis(300);
        for _ in 0..4 {
            world.repository("api").run().job(X64).lasting(lasts);
        }
    }
    let mut listening = Listening::on(&desk, "--interval 1s");
    // GitHub offers them once.
    listening.launches(4).await;
    until(|| desk.sandbox.world().count_jobs(JobStatus::Completed) == 4).await;
    listening.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_holds_launches_back_is_said() {
    let desk = desk().await;
    desk.reconfigure("[ec2]\n", "[ec2]\nmax_total = 1\n");
    desk.jobs(2, GPU);
    let mut listening = Listening::on(&desk, "--interval 1s");
    let said = listening.until(|event| {
        let message = event["message"].as_str().unwrap_or_default();
        event["event"] == "warning" && message.starts_with("launches wait: max_total is 1")
    });
    assert_eq!(said.await["pool"], "gpu");
    listening.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_were_there_before_it_are_launched_for_once() {
    let desk = desk().await;
    desk.jobs(3, X64);
    let mut listening = Listening::on(&desk, "--interval 1s");
    listening.launches(3).await;
    // Two whole observations later it is still so.
    for _ in 0..2 {
        desk.looked_at().await;
    }
    let (_, said) = listening.end().await;
    assert_eq!(launches(&said), 3, "{said:#?}");
    assert!(said.iter().filter(|event| is_launch(event)).all(|event| event["source"] == "scale-set"), "{said:#?}");
    assert_eq!(desk.sandbox.world().instance_states().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn pools_without_a_scale_set_are_polled_in_the_same_process() {
    let desk = desk().await;
    let mut listening = Listening::on(&desk, "--interval 1s");
    listening.opened().await;
    desk.jobs(1, GPU);
    let launched = listening.launches(1).await.remove(0);
    assert_eq!((&launched["pool"], &launched["source"]), (&json!("gpu"), &json!("rest")));
    let (_, said) = listening.end().await;
    assert_eq!(launches(&said), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_pools_that_are_named_are_served() {
    let desk = desk().await;
    let mut listening = Listening::on(&desk, "--interval 1s --pool gpu");
    desk.jobs(2, X64);
    desk.jobs(1, GPU);
    listening.launches(1).await;
    let (_, said) = listening.end().await;
    assert_eq!(said[0]["listening"], json!([]));
    let is_given_up = |event: &Value| event["message"].as_str().is_some_and(|said| said.contains("given up"));
    assert!(!said.iter().any(is_given_up), "nothing is waited for: {said:#?}");
    assert!(desk.calls(Service::Actions, "sessions").is_empty());
    assert!(desk.sandbox.world().runner_names().iter().all(|name| name.starts_with("sandbox-gpu")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_apply_beside_it_launches_nothing_twice() {
    let desk = desk().await;
    let mut listening = Listening::on(&desk, "--interval 1s");
    listening.opened().await;
    let apply = "apply --yes --pool linux-x64 -o json";
    let mut by_apply = 0;
    for _ in 0..3 {
        desk.jobs(2, X64);
        let ran = desk.run(apply).await;
        assert_eq!(ran.code, 0, "{ran:#?}");
        by_apply += ran.json()["summary"]["done"].as_u64().unwrap();
    }
    // Between the two of them each job has its one machine.
    until(|| desk.sandbox.world().instance_states().len() >= 6).await;
    let plan = desk.run("plan --pool linux-x64 -o json").await;
    assert_eq!(plan.json()["actions"], json!([]), "{plan:#?}");
    let (_, said) = listening.end().await;
    assert_eq!(launches(&said) as u64 + by_apply, 6, "{said:#?}");
    assert_eq!(desk.sandbox.world().instance_states().len(), 6);
    assert_eq!(desk.sandbox.world().runner_names().len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_and_health_are_served() {
    let desk = desk().await;
    let port = free_port();
    let mut listening = Listening::on(&desk, &format!("--interval 1s --metrics 127.0.0.1:{port}"));
    listening.opened().await;
    desk.jobs(2, X64);
    listening.launches(2).await;
    let (status, text) = get(port, "metrics").await;
    assert_eq!(status, 200);
    for line in [
        "ghascale_launches_total{pool=\"linux-x64\",market=\"spot\",result=\"done\"} 2",
        "ghascale_session_open{pool=\"linux-x64\"} 1",
        "ghascale_desired_runners{pool=\"linux-x64\"} 2",
        "ghascale_jobs_queued_exact{pool=\"linux-x64\"} 1",
        "# EOF",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    let (status, text) = get(port, "healthz").await;
    assert!(status == 200 && text.starts_with("healthy\nlinux-x64: polled "), "{text}");
    assert_eq!(get(port, "other").await.0, 404);
    listening.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_known_is_absent_and_a_lower_bound_says_so() {
    let desk = desk().await;
    let port = free_port();
    let shows = async |lines: &[&str], not: &[&str]| shows(port, lines, not).await;
    let mut listening = Listening::on(&desk, &format!("--interval 1s --metrics 127.0.0.1:{port}"));
    listening.opened().await;
    desk.sandbox.world().repository("web");
    let (queued, exact) = ("ghascale_jobs_queued{pool=\"gpu\"}", "ghascale_jobs_queued_exact{pool=\"gpu\"}");
    shows(&[&format!("{queued} 0"), &format!("{exact} 1")], &[]).await;
    // One repository can't be read: that nothing waits is no longer known; and that one job does, at least, is.
    desk.sandbox.fault(Fault::github("/repos/acme/web/actions/runs").status(403).times(100_000));
    shows(&[&format!("{exact} 0")], &[queued]).await;
    desk.jobs(1, GPU);
    shows(&[&format!("{queued} 1"), &format!("{exact} 0")], &[]).await;
    let asked = |api: &str, code: &str| format!("ghascale_api_requests_total{{api=\"{api}\",code=\"{code}\"}} ");
    shows(&[&asked("github", "403"), &asked("actions", "200"), &asked("ec2", "200")], &[]).await;
    desk.sandbox.fault(Fault::github("").status(502).times(100_000));
    // What was seen of the repositories a moment ago is known still, as a lower bound; of the runners nothing is.
    let unknown = ["ghascale_runners{", "ghascale_desired_runners{pool=\"gpu\"}"];
    shows(&[&format!("{queued} 1"), &format!("{exact} 0")], &unknown).await;
    // The set's messages still come: what they count is known.
    shows(&["ghascale_jobs_queued_exact{pool=\"linux-x64\"} 1"], &[]).await;
    listening.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_a_set_does_not_count_are_shown_as_what_is_launched_for() {
    let desk = desk().await;
    let port = free_port();
    let mut listening = Listening::on(&desk, &format!("--metrics 127.0.0.1:{port}"));
    listening.opened().await;
    desk.has_looked().await;
    let (queued, exact) =
        ("ghascale_jobs_queued{pool=\"linux-x64\"}", "ghascale_jobs_queued_exact{pool=\"linux-x64\"}");
    shows(port, &[&format!("{queued} 0"), &format!("{exact} 1")], &[]).await;
    desk.sandbox.world().scale_set("linux-x64").statistics_stuck_at_zero();
    desk.jobs(2, X64);
    listening.launches(2).await;
    shows(port, &[&format!("{queued} 2"), &format!("{exact} 0")], &[]).await;
    listening.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_lost_session_counted_is_of_a_while_ago() {
    let desk = desk().await;
    let port = free_port();
    let mut listening = Listening::on(&desk, &format!("--interval 10m --metrics 127.0.0.1:{port}"));
    listening.opened().await;
    desk.jobs(1, X64);
    listening.launches(1).await;
    let exact = "ghascale_jobs_queued_exact{pool=\"linux-x64\"}";
    shows(port, &[&format!("{exact} 1")], &[]).await;
    desk.sandbox.fault(Fault::actions("/sessions").status(503).times(100_000));
    desk.sandbox.world().settings.scale_sets.expired_sessions = 1;
    shows(port, &[&format!("{exact} 0")], &[]).await;
    listening.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn that_the_supply_can_not_be_read_is_seen_in_its_health() {
    let desk = desk().await;
    let port = free_port();
    desk.sandbox.fault(Fault::ec2("DescribeInstances").status(503).code("Unavailable").times(100_000));
    let mut listening = Listening::on(&desk, &format!("--pool linux-x64 --metrics 127.0.0.1:{port}"));
    listening.opened().await;
    let (_, text) = get(port, "healthz").await;
    assert!(text.contains("\ninstances and runners: not read, begun "), "{text}");
    listening.end().await;
    // What has no address yet may have it when it is started again.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let ran = desk.run(&format!("listen --metrics {}", taken.local_addr().unwrap())).await;
    assert_eq!(ran.code, 1, "{ran:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ec2_refuses_takes_back_and_how_long_a_boot_takes_is_measured() {
    let desk = desk().await;
    desk.sandbox.world().settings.boot = Duration::from_millis(300);
    let port = free_port();
    let mut listening = Listening::on(&desk, &format!("--interval 1s --metrics 127.0.0.1:{port}"));
    listening.opened().await;
    desk.sandbox.fault(Fault::ec2("RunInstances").status(500).code("InsufficientInstanceCapacity"));
    desk.jobs(1, X64);
    let launched = listening.launches(1).await.remove(0);
    listening.until(|event| event["event"] == "message" && event["jobs"][0]["job_event"] == "started").await;
    let id = launched["instance_id"].as_str().unwrap();
    desk.sandbox.world().interrupt(id);
    for _ in 0..2 {
        desk.looked_at().await;
    }
    let (_, text) = get(port, "metrics").await;
    for line in [
        "ghascale_launch_errors_total{code=\"InsufficientInstanceCapacity\"} 1",
        "ghascale_boot_seconds_count{pool=\"linux-x64\"} 1",
        "ghascale_spot_interruptions_total{pool=\"linux-x64\"} 1",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    listening.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn status_beside_it_shows_the_same_numbers() {
    let desk = desk().await;
    let mut listening = Listening::on(&desk, "");
    listening.opened().await;
    desk.jobs(3, X64);
    let message = listening.until(|event| event["event"] == "message" && event["statistics"]["assigned"] == 3).await;
    listening.launches(3).await;
    let status = desk.run("status --pool linux-x64 -o json").await.json();
    assert_eq!(status["pools"][0]["queued"], message["statistics"]["assigned"], "{status:#}");
    assert_eq!(status["pools"][0]["source"], "scale-set");
    listening.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_is_wrong_is_refused_before_anything_is_called() {
    let desk = desk().await;
    desk.reconfigure("max = 8\n", "max = -1\n");
    let ran = desk.run("listen").await;
    assert_eq!((ran.code, ran.stdout.as_str()), (64, ""), "{ran:#?}");
    assert!(desk.sandbox.calls().is_empty());
    let ran = desk.run("listen --metrics nowhere").await;
    assert_eq!(ran.code, 64, "{ran:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_is_taken_in_and_a_wrong_one_refused_as_a_whole() {
    let desk = desk().await;
    let mut listening = Listening::on(&desk, "--interval 1s");
    listening.opened().await;
    desk.reconfigure("max = 8\n", "max = eight\n");
    listening.signal("-HUP");
    let refused = listening.until(|event| event["event"] == "warning" && event["code"] == "degraded").await;
    let said = refused["message"].as_str().unwrap();
    assert!(said.starts_with("the changed configuration is refused, and the old one stays"), "{said}");
    desk.jobs(1, X64);
    listening.launches(1).await;
    // Without a signal too: the file is looked at.
    desk.reconfigure("max = eight\n", "max = 2\n");
    listening.until(|event| event["event"] == "ready").await;
    listening.opened().await;
    desk.jobs(3, X64);
    listening.launches(1).await;
    let (status, said) = listening.end().await;
    assert_eq!((status.code(), launches(&said)), (Some(0), 2), "max is 2 now: {said:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_read_lines() {
    let desk = desk().await;
    let mut child = desk.command("listen").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next_line().await.unwrap().unwrap();
    assert!(first.ends_with(" ready      acme: listening for linux-x64; polling for linux-arm64, gpu"), "{first}");
    let second = lines.next_line().await.unwrap().unwrap();
    assert!(second.ends_with(" session    linux-x64 opened"), "{second}");
    child.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_said_at_any_log_level() {
    let mut desk = desk().await;
    desk.with("RUST_LOG", "trace");
    let mut listening = Listening::on(&desk, "-vvvv");
    listening.opened().await;
    desk.sandbox.fault(Fault::ec2("RunInstances").status(503).code("Unavailable"));
    desk.jobs(1, X64);
    listening.launches(1).await;
    listening.signal("-TERM");
    let output = listening.child.wait_with_output().await.unwrap();
    let all = format!("{}{:?}", String::from_utf8_lossy(&output.stderr), listening.said);
    for secret in desk.sandbox.world().jit_configs() {
        assert!(!all.contains(&secret[..40]), "a JIT configuration");
    }
    assert!(!all.contains("eyJ") && !all.contains("RemoteAuth ") && !all.contains("sandbox-token"), "a token");
}

#[tokio::test(flavor = "multi_thread")]
async fn launches_at_messages_obey_the_ceiling_and_its_cost_is_measured() {
    let desk = desk().await;
    let table = "max_usd_per_hour = 0.25\n[ec2.prices]\n\"m7a.large\" = 0.1\n\"m6a.large\" = 0.1\n\"m7g.large\" = 0.1\n\"g5.xlarge\" = 1.0\n";
    desk.reconfigure("fleet = \"sandbox\"\n", &format!("fleet = \"sandbox\"\n{table}"));
    desk.reconfigure("market = \"spot-then-on-demand\"", "market = \"on-demand\"");
    let port = free_port();
    let mut listening = Listening::on(&desk, &format!("--interval 1s --metrics 127.0.0.1:{port}"));
    listening.opened().await;
    desk.jobs(5, X64);
    let done = listening.launches(2).await;
    drop(done);
    shows(port, &["ghascale_estimated_cost_usd_per_hour{pool=\"linux-x64\"} 0.2"], &[]).await;
    desk.looked_at().await;
    desk.looked_at().await;
    assert_eq!(desk.sandbox.world().runner_names().len(), 2, "of five that are asked for");
    listening.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_repositories_take_turns_everything_is_looked_at_beside_and_then_ends_follow() {
    let desk = Desk::open().await;
    // Forty requests a look, and more repositories than that.
    desk.reconfigure("requests_per_minute = 6000\n", "requests_per_minute = 600\n");
    for nth in 0..45 {
        desk.sandbox.world().repository(&format!("r{nth:02}"));
    }
    desk.jobs(1, X64);
    desk.sandbox.world().fail_next_boots(1);
    assert_eq!(desk.run("apply --yes").await.code, 0);
    desk.sandbox.advance(Duration::from_mins(6));
    let mut listening = Listening::on(&desk, "--interval 5s");
    let warned = listening.until(|event| event["event"] == "warning" && event["code"] == "scan_in_turns").await;
    assert!(warned["message"].as_str().unwrap().contains("waits until all have been looked at"), "{warned}");
    let is_end = |event: &Value| event["event"] == "action" && event["action"] == "deregister";
    let ended = listening.within(Duration::from_mins(1), is_end).await;
    assert_eq!(ended["result"], "done", "{ended}");
    // Looks have gone on meanwhile.
    let looks = desk.calls(Service::Github, "/repos/acme/api/actions/runs?").len();
    assert!(looks > 3, "{looks}");
    listening.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_ec2_answers_nothing_its_queue_is_heard() {
    let desk = desk().await;
    let mut listening = Listening::on(&desk, "--interval 10m");
    listening.opened().await;
    desk.has_looked().await;
    let mut order = desk.sandbox.hold_at("RunInstances", Moment::Before);
    desk.jobs(1, X64);
    order.reached().await.unwrap();
    // The next job's message comes, is acknowledged, and its own order goes out beside.
    desk.jobs(1, X64);
    until(|| desk.calls(Service::Ec2, "RunInstances").len() == 2).await;
    until(|| desk.calls(Service::Actions, "DELETE /scalesets/message").len() >= 2).await;
    drop(order);
    listening.launches(2).await;
    listening.end().await;
}
