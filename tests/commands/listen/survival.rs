//! What must not end a listener, and what its end must not leave.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_costs_the_sessions_idle_time_and_nothing_else() {
    let desk = desk().await;
    desk.sandbox.world().settings.scale_sets.session_idle = Duration::from_millis(100);
    let mut first = Listening::on(&desk, "");
    first.opened().await;
    desk.jobs(2, X64);
    first.launches(2).await;
    first.child.kill().await.unwrap();
    desk.jobs(1, X64);
    let mut second = Listening::on(&desk, "--interval 1s");
    // Whether or not the old session has idled out by now.
    second.launches(1).await;
    let (_, said) = second.end().await;
    assert_eq!(launches(&said), 1, "{said:#?}");
    assert_eq!(desk.sandbox.world().instance_states().len(), 3);
}

/// Waits until something has stayed as it is for half a second.
async fn settled<T: PartialEq>(now: impl Fn() -> T) {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    let (mut seen, mut times) = (now(), 0);
    while times < 20 {
        assert!(std::time::Instant::now() < deadline, "it is still changing after 20 s");
        tokio::time::sleep(Duration::from_millis(25)).await;
        let next = now();
        times = if next == seen { times + 1 } else { 0 };
        seen = next;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn launches_that_wait_for_ec2s_pace_when_it_is_killed_are_begun_anew_at_once() {
    let desk = desk().await;
    desk.reconfigure("max = 8\n", "max = 20\n");
    desk.sandbox.world().settings.scale_sets.session_idle = Duration::from_secs(2);
    let mut first = Listening::on(&desk, "");
    first.opened().await;
    desk.has_looked().await;
    desk.jobs(20, X64);
    // EC2 takes five at once and two a second: of the next six, which are registered, most wait.
    let registered = || desk.sandbox.world().runner_names().len();
    let ordered = || desk.calls(Service::Ec2, "RunInstances").len();
    until(|| ordered() >= 8 && registered() >= ordered() + 3).await;
    first.child.kill().await.unwrap();
    // What was on its way arrives; nothing tells when the last of it has.
    settled(|| (registered(), ordered(), desk.sandbox.world().instance_states().len())).await;
    let notes = std::fs::read_dir(desk.file("state/ghascale/sandbox.unordered")).unwrap();
    let left = notes.filter(|note| !note.as_ref().unwrap().path().to_string_lossy().ends_with(".tmp")).count();
    assert!(left >= 1);
    // An order that was cut off on its way may have been carried out, for all that anybody knows: its slot waits.
    let lost = registered() - left - desk.sandbox.world().instance_states().len();
    let mut second = Listening::on(&desk, "--interval 1s");
    let is_undone = |event: &Value| event["event"] == "action" && event["action"] == "deregister";
    for _ in 0..left {
        let undone = second.until(is_undone).await;
        assert_eq!((&undone["result"], &undone["reason"]["code"]), (&json!("done"), &json!("orphan_runner")));
    }
    until(|| desk.sandbox.world().instance_states().len() == 20 - lost).await;
    second.end().await;
    let world = desk.sandbox.world();
    assert_eq!((world.runner_names().len(), world.instance_states().len()), (20, 20 - lost));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_pool_whose_only_launch_was_killed_before_its_order_serves_at_once() {
    let desk = desk().await;
    desk.reconfigure("max = 8\n", "max = 1\n");
    desk.sandbox.world().settings.scale_sets.session_idle = Duration::from_millis(100);
    let mut hold = desk.sandbox.hold_at("DescribeImages", Moment::Before);
    let mut first = Listening::on(&desk, "");
    first.opened().await;
    desk.jobs(1, X64);
    hold.reached().await.unwrap();
    first.child.kill().await.unwrap();
    hold.given_up().await;
    assert_eq!(desk.sandbox.world().runner_names().len(), 1);
    let mut second = Listening::on(&desk, "");
    second.launches(1).await;
    second.end().await;
    assert_eq!(desk.sandbox.world().instance_states().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_another_is_said_with_its_reason_and_its_jobs_are_served_all_the_same() {
    let desk = desk().await;
    desk.sandbox.world().scale_set("linux-x64").listened(5);
    let mut listening = Listening::on(&desk, "--interval 1s");
    let held = listening.until(|event| event["event"] == "session" && event["state"] == "held").await;
    assert!(held["error"].as_str().unwrap().contains("already has an active session"), "{held}");
    // As `apply` would beside another listener: by the set's own count.
    desk.jobs(1, X64);
    let launched = listening.launches(1).await.remove(0);
    assert_eq!(launched["source"], "scale-set");
    listening.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_sessions_are_opened_again_and_no_job_is_lost() {
    let desk = desk().await;
    let mut listening = Listening::on(&desk, "");
    listening.opened().await;
    desk.sandbox.world().settings.scale_sets.expired_sessions = 1;
    let lost = listening.until(|event| event["event"] == "session" && event["state"] == "lost").await;
    assert!(lost["error"].as_str().unwrap().contains("SessionExpired"), "{lost}");
    listening.opened().await;
    desk.jobs(2, X64);
    listening.launches(2).await;
    let (_, said) = listening.end().await;
    assert_eq!(launches(&said), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn ec2_that_is_down_for_a_while_is_tried_again_and_nothing_is_launched_twice() {
    let desk = desk().await;
    let mut listening = Listening::on(&desk, "--interval 1s");
    listening.opened().await;
    desk.sandbox.fault(Fault::ec2("RunInstances").status(400).code("InsufficientInstanceCapacity").times(8));
    desk.jobs(2, X64);
    listening.until(|event| is_launch(event) && event["result"] == "failed").await;
    listening.launches(2).await;
    let (_, said) = listening.end().await;
    assert_eq!(launches(&said), 2, "{said:#?}");
    assert_eq!(desk.sandbox.world().instance_states().len(), 2);
    assert_eq!(desk.sandbox.world().runner_names().len(), 2, "what failed left no record");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_that_failed_is_tried_again_though_only_the_queue_answers() {
    let desk = desk().await;
    let mut listening = Listening::on(&desk, "--interval 1s");
    listening.opened().await;
    desk.sandbox.fault(Fault::actions("GET /_apis/runtime/runnerscalesets").status(403).times(100_000));
    listening.until(|event| event["event"] == "warning" && event["code"] == "scale_set_failed").await;
    // All offerings of the pool, once.
    desk.sandbox.fault(Fault::ec2("RunInstances").status(400).code("InsufficientInstanceCapacity").times(8));
    desk.jobs(1, X64);
    listening.until(|event| is_launch(event) && event["result"] == "failed").await;
    listening.launches(1).await;
    let (_, said) = listening.end().await;
    let messages = said.iter().filter(|event| event["event"] == "message").count();
    assert_eq!((launches(&said), messages), (1, 1), "{said:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_that_failed_does_not_wait_for_a_whole_observation() {
    let desk = desk().await;
    let mut listening = Listening::on(&desk, "--interval 10m");
    listening.opened().await;
    desk.has_looked().await;
    desk.sandbox.fault(Fault::actions("generatejitconfig").status(500));
    desk.jobs(1, X64);
    listening.until(|event| is_launch(event) && event["result"] == "failed").await;
    // Nor does what comes after it.
    desk.jobs(2, X64);
    listening.launches(3).await;
    listening.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_actions_service_is_down_rest_stands_in() {
    let desk = desk().await;
    let mut listening = Listening::on(&desk, "--interval 1s");
    listening.opened().await;
    // One is given to the set, and nothing launched for it, before the service is gone.
    desk.sandbox.fault(Fault::actions("generatejitconfig").status(503).times(100_000));
    desk.jobs(1, X64);
    listening.until(|event| event["event"] == "message" && event["statistics"]["assigned"] == 1).await;
    desk.sandbox.fault(Fault::actions("").status(503).times(100_000));
    desk.jobs(2, X64);
    let is_fallback = |event: &Value| event["event"] == "warning" && event["code"] == "source_fallback";
    // A set that is silent for a moment may only be slow: its own runners alone get what it was given.
    let said = listening.within(Duration::from_secs(100), is_fallback).await;
    assert_eq!(said["pool"], "linux-x64");
    let launched = listening.launches(2).await;
    assert!(launched.iter().all(|launch| launch["source"] == "rest"), "{launched:#?}");
    let (_, said) = listening.end().await;
    // The job that the set had been given is left to its own runners.
    assert_eq!(launches(&said), 2, "{said:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_queue_fails_its_set_is_asked_every_quarter_of_a_minute() {
    let desk = desk().await;
    let mut listening = Listening::on(&desk, "--interval 10m");
    listening.opened().await;
    desk.has_looked().await;
    desk.sandbox.fault(Fault::actions("GET /scalesets/message").status(500).times(100_000));
    listening.until(|event| event["event"] == "warning" && event["code"] == "degraded").await;
    // The look that follows what happens is over.
    let before = desk.calls(Service::Ec2, "DescribeInstances").len();
    until(|| desk.calls(Service::Ec2, "DescribeInstances").len() > before).await;
    desk.jobs(1, X64);
    listening.launches(1).await;
    listening.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_queue_says_nothing_at_all_its_set_is_asked_every_quarter_of_a_minute() {
    let desk = desk().await;
    let mut listening = Listening::on(&desk, "--interval 10m");
    listening.opened().await;
    desk.has_looked().await;
    desk.sandbox.world().settings.scale_sets.empty_polls = 100_000;
    listening.until(|event| event["event"] == "warning" && event["code"] == "degraded").await;
    // A look follows some seconds after the beginning; at its end the set is asked for its counts.
    desk.sandbox.forget_calls();
    let asked = || desk.calls(Service::Actions, "GET /_apis/runtime/runnerscalesets/1");
    until(|| asked().iter().any(|call| call.status == Some(200))).await;
    desk.jobs(1, X64);
    listening.launches(1).await;
    listening.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_rest_api_is_down_scale_sets_are_served() {
    let desk = desk().await;
    let mut listening = Listening::on(&desk, "--interval 1s");
    listening.opened().await;
    desk.jobs(1, X64);
    listening.launches(1).await;
    desk.sandbox.fault(Fault::github("").status(502).times(100_000));
    listening.until(|event| event["event"] == "warning").await;
    desk.jobs(1, X64);
    listening.launches(1).await;
    let (status, said) = listening.end().await;
    assert_eq!((status.code(), launches(&said)), (Some(0), 2), "{said:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn looks_at_the_jobs_leave_of_the_hourly_limit_what_launches_need() {
    let desk = desk().await;
    let mut listening = Listening::on(&desk, "--interval 1s");
    listening.opened().await;
    desk.has_looked().await;
    desk.sandbox.world().rate_limit(10_000, 900);
    listening.until(|event| event["message"].as_str().is_some_and(|said| said.contains("rate_limit_share"))).await;
    desk.sandbox.forget_calls();
    desk.jobs(1, X64);
    listening.launches(1).await;
    // A look at the runners follows a launch.
    until(|| !desk.calls(Service::Github, "/actions/runners").is_empty()).await;
    assert!(desk.calls(Service::Github, "/actions/runs").is_empty(), "jobs are not looked at");
    listening.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_that_could_not_be_had_are_asked_for_again() {
    let desk = desk().await;
    let mut listening = Listening::on(&desk, "--interval 10m");
    listening.opened().await;
    desk.has_looked().await;
    // A look follows some seconds after the beginning, and the next one a quarter of a minute later.
    until(|| desk.calls(Service::Ec2, "DescribeInstances").len() >= 3).await;
    desk.jobs(1, X64);
    listening.launches(1).await;
    // What a message counts that comes after trouble is not told, and its set is asked, once, in vain.
    desk.sandbox.fault(Fault::actions("GET /scalesets/message").status(503));
    listening.until(|event| event["event"] == "warning" && event["code"] == "degraded").await;
    desk.sandbox.fault(Fault::actions("GET /_apis/runtime/runnerscalesets/").status(403));
    desk.jobs(1, X64);
    // Before the next look.
    let is_done = |event: &Value| is_launch(event) && event["result"] == "done";
    listening.within(Duration::from_secs(9), is_done).await;
    listening.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_fails_does_not_stop_the_others() {
    let desk = desk().await;
    desk.reconfigure("name = \"linux-arm64\"\n", "name = \"linux-arm64\"\nscale_set = \"none-such\"\n");
    let mut listening = Listening::on(&desk, "--interval 1s");
    listening.opened().await;
    listening.until(|event| event["event"] == "warning" && event["pool"] == "linux-arm64").await;
    desk.jobs(1, X64);
    listening.launches(1).await;
    let (_, said) = listening.end().await;
    let about = said.iter().filter(|event| event["code"] == "scale_set_failed").count();
    assert!(about < 20, "a warning is said when it is news, not each time: {about}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_lets_a_launch_that_is_under_way_finish() {
    let desk = desk().await;
    let mut listening = Listening::on(&desk, "");
    listening.opened().await;
    // Every answer takes its time, so that the end falls between a registration and its launch.
    desk.sandbox.world().settings.round_trip = Duration::from_millis(400);
    desk.jobs(1, X64);
    until(|| !desk.calls(Service::Actions, "generatejitconfig").is_empty()).await;
    let (status, said) = listening.end().await;
    assert_eq!((status.code(), launches(&said)), (Some(0), 1), "{said:#?}");
    let world = desk.sandbox.world();
    assert_eq!((world.runner_names().len(), world.instance_states().len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_that_is_under_way_keeps_nothing_from_being_undone_at_the_end() {
    let desk = desk().await;
    // One request at once: whoever waits for an answer keeps all others waiting.
    desk.reconfigure("[scan]\n", "[scan]\nconcurrency = 1\n");
    desk.sandbox.fault(Fault::ec2("RunInstances").status(503).code("RequestLimitExceeded").times(100_000));
    desk.jobs(1, GPU);
    let mut listening = Listening::on(&desk, "--interval 1s --pool gpu");
    until(|| !desk.calls(Service::Ec2, "RunInstances").is_empty()).await;
    assert_eq!(desk.sandbox.world().runner_names().len(), 1);
    let mut look = desk.sandbox.hold_at("/actions/runs", Moment::Before);
    look.reached().await.unwrap();
    listening.signal("-TERM");
    let status = tokio::time::timeout(Duration::from_secs(10), listening.child.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(desk.sandbox.world().runner_names().is_empty(), "its launch is undone");
}

/// A pipe that a process opens when it looks up a name, and reads to the end: as long as it is held, which is never.
fn aliases(desk: &Desk) -> std::path::PathBuf {
    let pipe = desk.file("aliases");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    pipe
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_being_looked_up_keeps_no_process_from_its_end() {
    let mut desk = desk().await;
    let (url, pipe) = (desk.sandbox.url(), aliases(&desk));
    desk.reconfigure(&url, "https://no-such-host/acme");
    desk.with("HOSTALIASES", &pipe.display().to_string());
    let listening = Listening::on(&desk, "--pool gpu");
    let opened = tokio::task::spawn_blocking(move || std::fs::File::options().write(true).open(pipe));
    let _held = tokio::time::timeout(Duration::from_secs(20), opened).await.unwrap().unwrap().unwrap();
    let began = std::time::Instant::now();
    let (status, _) = listening.end().await;
    assert_eq!(status.code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_at_once() {
    let desk = desk().await;
    let mut listening = Listening::on(&desk, "");
    listening.opened().await;
    desk.has_looked().await;
    desk.sandbox.world().settings.round_trip = Duration::from_secs(4);
    desk.jobs(1, X64);
    until(|| !desk.calls(Service::Actions, "generatejitconfig").is_empty()).await;
    listening.signal("-TERM");
    listening.signal("-INT");
    let began = std::time::Instant::now();
    // Both may be taken for one where they come too close together.
    let status = loop {
        match tokio::time::timeout(Duration::from_millis(200), listening.child.wait()).await {
            Ok(status) => break status.unwrap(),
            Err(_) => listening.signal("-TERM"),
        }
        assert!(began.elapsed() < Duration::from_secs(3), "it waits for its session");
    };
    assert_eq!(status.code(), Some(1));
    // What was under way is said, and written down.
    let given_up = listening.until(|event| is_launch(event) && event["result"] == "failed").await;
    let why = given_up["error"].as_str().unwrap().to_owned();
    assert!(why.starts_with("given up as the process ended"), "{why}");
    let audit = std::fs::read_to_string(desk.file("state").join("ghascale/audit.jsonl")).unwrap();
    assert!(audit.contains(&why), "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_is_told_that_it_is_ready_alive_and_ending() {
    let mut desk = desk().await;
    let socket = desk.file("notify.sock");
    let systemd = tokio::net::UnixDatagram::bind(&socket).unwrap();
    desk.with("NOTIFY_SOCKET", &socket.display().to_string());
    desk.with("WATCHDOG_USEC", "60000000");
    // Its own id is known once it runs.
    let line = desk.command("listen -o json");
    let line = line.as_std();
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "WATCHDOG_PID=$$ exec \"$0\" \"$@\""]).arg(line.get_program()).args(line.get_args());
    shell.env_clear().envs(line.get_envs().filter_map(|(name, value)| Some((name, value?)))).kill_on_drop(true);
    let mut listening = Listening::by(shell);
    let told = async || {
        let mut text = [0; 256];
        let length = tokio::time::timeout(Duration::from_secs(20), systemd.recv(&mut text)).await.unwrap().unwrap();
        String::from_utf8_lossy(&text[..length]).trim().to_owned()
    };
    assert_eq!(told().await, "READY=1");
    assert_eq!(told().await, "WATCHDOG=1");
    listening.opened().await;
    listening.signal("-TERM");
    loop {
        match told().await.as_str() {
            "WATCHDOG=1" => {}
            other => break assert_eq!(other, "STOPPING=1"),
        }
    }
    assert_eq!(listening.child.wait().await.unwrap().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_from_before_the_runners_took_their_jobs_launch_nothing_again() {
    let desk = desk().await;
    desk.sandbox.world().settings.boot = Duration::from_millis(500);
    let mut listening = Listening::on(&desk, "");
    listening.opened().await;
    desk.jobs(3, X64);
    listening.until(|event| event["event"] == "plan").await;
    // From here on no message comes, and the last one said that three jobs wait.
    desk.sandbox.fault(Fault::actions("GET /scalesets/message").status(503).times(1000));
    listening.launches(3).await;
    // A look at the supply follows by itself, and finds the three at work.
    let calls = || desk.calls(Service::Github, "/actions/runners").len();
    let before = calls();
    until(|| calls() > before).await;
    assert_eq!(desk.sandbox.world().count_jobs(JobStatus::InProgress), 3);
    let (_, said) = listening.end().await;
    assert_eq!(launches(&said), 3, "{said:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_job_after_the_other_in_one_slot_is_one_machine_each() {
    let desk = desk().await;
    {
        let mut world = desk.sandbox.world();
        (world.settings.boot, world.settings.shutdown) = (Duration::from_millis(200), Duration::from_millis(50));
    }
    let mut listening = Listening::on(&desk, "--interval 1s");
    listening.opened().await;
    for _ in 0..3 {
        let lasts = Duration::from_millis(600);
        desk.sandbox.world().repository("api").run().job(X64).lasting(lasts);
        listening.launches(1).await;
        listening.until(|event| event["event"] == "message" && event["jobs"][0]["job_event"] == "completed").await;
    }
    for _ in 0..2 {
        desk.looked_at().await;
    }
    let (_, said) = listening.end().await;
    assert_eq!(launches(&said), 3, "{said:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_pool_looks_sooner_for_the_slot_of_a_job_that_is_done() {
    let desk = desk().await;
    desk.reconfigure("max = 8\n", "max = 1\n");
    {
        let mut world = desk.sandbox.world();
        (world.settings.boot, world.settings.shutdown) = (Duration::from_millis(200), Duration::from_millis(50));
        for _ in 0..2 {
            world.repository("api").run().job(X64).lasting(Duration::from_secs(1));
        }
    }
    let mut listening = Listening::on(&desk, "--interval 10m");
    listening.launches(1).await;
    let is_done = |event: &Value| event["event"] == "message" && event["jobs"][0]["job_event"] == "completed";
    listening.until(is_done).await;
    // The next look would be due a quarter of a minute after the last.
    listening.within(Duration::from_secs(12), |event| is_launch(event) && event["result"] == "done").await;
    listening.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_were_said_to_be_assigned_beside_counts_of_nothing_are_launched_for() {
    let desk = desk().await;
    let mut listening = Listening::on(&desk, "");
    listening.opened().await;
    desk.sandbox.world().scale_set("linux-x64").statistics_stuck_at_zero();
    desk.jobs(2, X64);
    listening.launches(2).await;
    let (_, said) = listening.end().await;
    assert_eq!(launches(&said), 2, "{said:#?}");
    let is_said = |event: &Value| event["message"].as_str().is_some_and(|said| said.contains("counts nothing beside"));
    assert!(said.iter().any(is_said), "{said:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stands_still_stops_nothing() {
    let desk = desk().await;
    desk.sandbox.world().settings.scale_sets.poll_hold = Duration::from_millis(20);
    let mut child = desk.command("listen -o json --interval 1s").stdout(Stdio::piped()).spawn().unwrap();
    // Nobody reads, and every launch is some hundred bytes: the pipe is full soon.
    desk.sandbox.fault(Fault::ec2("RunInstances").code("InvalidAMIID.NotFound").times(100_000));
    desk.jobs(8, X64);
    until(|| desk.calls(Service::Ec2, "RunInstances").len() >= 3).await;
    let id = child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    let status = tokio::time::timeout(Duration::from_secs(20), child.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0));
    assert_eq!(desk.sandbox.world().session_owner("linux-x64"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_stderr_that_stands_still_stops_nothing() {
    let desk = desk().await;
    let (reader, writer) = std::io::pipe().unwrap();
    let mut full = writer.try_clone().unwrap();
    // It blocks when the pipe is full, which it stays: nobody reads.
    std::thread::spawn(move || std::io::Write::write_all(&mut full, &vec![b'.'; 1 << 21]));
    let mut command = desk.command("listen -vv -o json");
    let child = command.stdout(Stdio::piped()).stderr(writer).spawn();
    let mut child = child.unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut listening = Listening { child, lines, said: Vec::new() };
    listening.opened().await;
    desk.jobs(1, X64);
    listening.launches(1).await;
    let (status, _) = listening.end().await;
    assert_eq!(status.code(), Some(0));
    drop(reader);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_events_that_is_gone_is_said_once_and_stops_nothing() {
    let desk = desk().await;
    let mut command = desk.command("listen -o json");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    BufReader::new(child.stdout.take().unwrap()).lines().next_line().await.unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    desk.jobs(3, X64);
    until(|| desk.calls(Service::Ec2, "RunInstances").len() >= 3).await;
    child.start_kill().unwrap();
    let mut times = 0;
    while let Some(line) = said.next_line().await.unwrap() {
        times += usize::from(line.contains("who read the events is gone"));
    }
    assert_eq!(times, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn launches_that_wait_for_a_throttle_to_pass_do_not_hold_a_reload_up() {
    let desk = desk().await;
    let mut listening = Listening::on(&desk, "");
    listening.opened().await;
    desk.has_looked().await;
    desk.sandbox.fault(Fault::ec2("RunInstances").status(503).code("RequestLimitExceeded").times(100_000));
    desk.jobs(8, X64);
    // The first is sent five times, at an ever slower pace; the others wait for what becomes of it.
    until(|| desk.calls(Service::Ec2, "RunInstances").len() >= 2).await;
    listening.signal("-HUP");
    listening.within(Duration::from_secs(10), |event| event["event"] == "session" && event["state"] == "opened").await;
    let is_undone = |event: &&Value| {
        is_launch(event)
            && event["result"] == "skipped"
            && event["error"]
                .as_str()
                .is_some_and(|error| error.starts_with("not ordered, and its registration undone"))
    };
    assert!(listening.said.iter().any(|event| is_undone(&event)), "{:#?}", listening.said);
    listening.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_during_a_reload_is_a_good_end() {
    let desk = desk().await;
    let mut listening = Listening::on(&desk, "");
    listening.opened().await;
    // The old session takes its time to close.
    desk.sandbox.world().settings.round_trip = Duration::from_millis(700);
    listening.signal("-HUP");
    until(|| !desk.calls(Service::Actions, "DELETE").is_empty()).await;
    let (status, said) = listening.end().await;
    assert_eq!((status.code(), &said.last().unwrap()["event"]), (Some(0), &json!("stopped")), "{said:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_new_configuration_is_prepared_the_old_one_is_served() {
    let mut desk = desk().await;
    desk.without("AWS_REGION");
    // The SDK asks for the region there, and is told nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    desk.with("AWS_EC2_METADATA_SERVICE_ENDPOINT", &format!("http://{}", silent.local_addr().unwrap()));
    let mut listening = Listening::on(&desk, "");
    listening.opened().await;
    desk.has_looked().await;
    desk.reconfigure("region = \"eu-north-1\"\n", "");
    listening.signal("-HUP");
    let _asked = tokio::task::spawn_blocking(move || silent.accept().map(|asked| (asked, silent))).await.unwrap();
    desk.jobs(1, X64);
    listening.launches(1).await;
    let is_refusal = |event: &Value| event["event"] == "warning" && event["code"] == "degraded";
    assert!(!listening.said.iter().any(is_refusal), "{:#?}", listening.said);
    let refused = listening.until(is_refusal).await;
    assert!(refused["message"].as_str().unwrap().contains("no AWS region"), "{refused}");
    listening.end().await;
}

/// Answers as an instance's metadata service does, that knows of a region from its second request for one on; returns its
/// address, and how often it was asked for the region.
async fn late_metadata() -> (String, Arc<AtomicU32>) {
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", server.local_addr().unwrap());
    let asked = Arc::new(AtomicU32::default());
    let counter = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = server.accept().await {
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let (status, body) = if request.starts_with("PUT ") {
                ("200 OK", "token")
            } else if counter.fetch_add(1, Ordering::Relaxed) == 0 {
                ("404 Not Found", "")
            } else {
                ("200 OK", "eu-north-1")
            };
            let answer = format!(
                "HTTP/1.1 {status}\r\nx-aws-ec2-metadata-token-ttl-seconds: 600\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            drop(stream.write_all(answer.as_bytes()).await);
        }
    });
    (address, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_the_instance_does_not_know_yet_is_waited_for() {
    let mut desk = desk().await;
    desk.reconfigure("region = \"eu-north-1\"\n", "");
    desk.without("AWS_REGION");
    let (address, asked) = late_metadata().await;
    desk.with("AWS_EC2_METADATA_SERVICE_ENDPOINT", &address);
    let mut listening = Listening::on(&desk, "");
    listening.opened().await;
    assert!(asked.load(Ordering::Relaxed) >= 2);
    listening.end().await;
    // What asks once has its answer at once.
    desk.with("AWS_EC2_METADATA_DISABLED", "true");
    let ran = desk.run("listen").await;
    assert_eq!((ran.code, ran.stderr.contains("no AWS region")), (64, true), "{ran:#?}");
}

/// Answers as an instance's metadata service does, and says nothing before it is told to; returns its address, what says that
/// it was asked, and what lets it answer.
async fn held_metadata() -> (String, Arc<Notify>, Arc<Notify>) {
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", server.local_addr().unwrap());
    let (asked, answers) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, told) = (asked.clone(), answers.clone());
    tokio::spawn(async move {
        let mut is_held = true;
        while let Ok((mut stream, _)) = server.accept().await {
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap_or(0);
            if std::mem::take(&mut is_held) {
                tell.notify_one();
                told.notified().await;
            }
            let body = if request[..length].starts_with(b"PUT ") { "token" } else { "eu-north-1" };
            let answer = format!(
                "HTTP/1.1 200 OK\r\nx-aws-ec2-metadata-token-ttl-seconds: 600\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            drop(stream.write_all(answer.as_bytes()).await);
        }
    });
    (address, asked, answers)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_changed_or_asked_for_before_it_listens_is_taken_in_when_it_does() {
    for by_signal in [false, true] {
        let mut desk = desk().await;
        desk.reconfigure("region = \"eu-north-1\"\n", "");
        desk.without("AWS_REGION");
        let (address, asked, answers) = held_metadata().await;
        desk.with("AWS_EC2_METADATA_SERVICE_ENDPOINT", &address);
        let mut listening = Listening::on(&desk, "");
        // By now its configuration has been read.
        tokio::time::timeout(Duration::from_secs(20), asked.notified()).await.unwrap();
        if by_signal {
            listening.signal("-HUP");
        } else {
            desk.reconfigure("max = 8\n", "max = 2\n");
        }
        answers.notify_one();
        for _ in 0..2 {
            listening.until(|event| event["event"] == "ready").await;
        }
        listening.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_it_while_it_waits_for_a_region() {
    let mut desk = desk().await;
    desk.reconfigure("region = \"eu-north-1\"\n", "");
    desk.without("AWS_REGION");
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    desk.with("AWS_EC2_METADATA_SERVICE_ENDPOINT", &format!("http://{}", silent.local_addr().unwrap()));
    let listening = Listening::on(&desk, "");
    let _asked = tokio::task::spawn_blocking(move || silent.accept().map(|asked| (asked, silent))).await.unwrap();
    let (status, said) = listening.end().await;
    assert_eq!((status.code(), said.len()), (Some(0), 1), "{said:#?}");
    assert_eq!((&said[0]["event"], &said[0]["reason"]), (&json!("stopped"), &json!("SIGTERM")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_file_that_is_written_anew_is_read_anew() {
    let desk = desk().await;
    std::fs::write(desk.file("token"), "sandbox-token").unwrap();
    desk.reconfigure("token_env = \"GITHUB_TOKEN\"", "token_file = \"token\"");
    let mut listening = Listening::on(&desk, "");
    listening.opened().await;
    std::fs::write(desk.file("token"), "sandbox-token\n").unwrap();
    listening.until(|event| event["event"] == "ready").await;
    listening.opened().await;
    listening.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_github_takes_back_since_no_runner_came_are_said() {
    let desk = desk().await;
    // No runner of these ever comes online, and each job is taken back after five minutes, and given again.
    desk.sandbox.world().settings.scale_sets.session_idle = Duration::from_hours(24);
    let mut listening = Listening::on(&desk, "--interval 1s");
    listening.opened().await;
    desk.jobs(3, X64);
    listening.until(|event| event["event"] == "message" && event["statistics"]["assigned"] == 3).await;
    desk.sandbox.advance(Duration::from_mins(5));
    let said = listening.until(|event| {
        let message = event["message"].as_str().unwrap_or_default();
        event["event"] == "warning" && event["pool"] == "linux-x64" && message.contains("taken back")
    });
    assert!(said.await["message"].as_str().unwrap().starts_with("3 jobs within half an hour"));
    listening.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_wait_beside_a_set_that_is_given_none_are_said() {
    let desk = desk().await;
    // The set asks for a label less than the pool offers: GitHub gives it none of the pool's jobs.
    desk.sandbox.world().scale_set("linux-x64").labels(["self-hosted", "linux"]);
    desk.jobs(2, X64);
    let mut listening = Listening::on(&desk, "--interval 1s");
    let said = listening.until(|event| event["event"] == "warning" && event["code"] == "sources_differ").await;
    let message = said["message"].as_str().unwrap();
    assert!(message.starts_with("its scale set knows of 0 jobs and the REST API of 2"), "{said}");
    let helps =
        |event: &Value| event["message"].as_str().is_some_and(|said| said.contains("send SIGHUP to open its session"));
    if !helps(&said) {
        // The first look may be over before its session is open.
        listening.until(helps).await;
    }
    listening.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_that_are_stuck_are_said_and_bounded_by_max() {
    let desk = desk().await;
    desk.reconfigure("max = 8\n", "max = 3\n");
    desk.sandbox.world().scale_set("linux-x64").statistics_too_high(15);
    let mut listening = Listening::on(&desk, "--interval 1s");
    listening.launches(3).await;
    let is_said = |event: &Value| event["event"] == "warning" && event["code"] == "sources_differ";
    if !listening.said.iter().any(is_said) {
        listening.until(is_said).await;
    }
    let (_, said) = listening.end().await;
    assert_eq!(launches(&said), 3, "{said:#?}");
}
