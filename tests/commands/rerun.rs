//! Re-runs of jobs whose spot instance EC2 took back.

use std::collections::BTreeMap;
use std::time::Duration;

use ghascale::sandbox::{Fault, Moment, Service};
use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{Desk, Ran, X64, redacted};

const ON: &str = "rerun_interrupted = true\n";
const POSTS: &str = "POST /repos/acme/api/actions/";

/// A desk whose pool `linux-x64` re-runs what is interrupted.
async fn desk() -> Desk {
    let desk = Desk::open().await;
    desk.reconfigure("name = \"linux-x64\"\n", &format!("name = \"linux-x64\"\n{ON}"));
    desk.sandbox.world().settings.boot = Duration::from_secs(1);
    desk
}

/// Starts a run of so many jobs; returns it and them.
fn run_of(desk: &Desk, jobs: usize) -> (u64, Vec<u64>) {
    let mut world = desk.sandbox.world();
    let run = world.repository("api").run().id();
    let job = |_| world.run(run).job(X64).lasting(Duration::from_hours(5)).id();
    let jobs = (0..jobs).map(job).collect();
    (run, jobs)
}

/// Applies until every job has its runner and that was seen.
async fn put_to_work(desk: &Desk) {
    for _ in 0..2 {
        let ran = desk.run("apply --yes").await;
        assert_eq!(ran.code, 0, "{ran:#?}");
        desk.lapse(Duration::from_secs(5));
    }
}

impl Desk {
    /// Lets time pass in the world and in this host's memory of it.
    fn lapse(&self, by: Duration) {
        self.sandbox.advance(by);
        let file = self.file("state/ghascale/sandbox.spot-jobs.json");
        let Ok(text) = std::fs::read_to_string(&file) else { return };
        let mut kept: Value = serde_json::from_str(&text).unwrap();
        for job in kept["jobs"].as_array_mut().unwrap() {
            for at in ["seen_at", "alive_at", "taken_at"] {
                let Some(known) = job[at].as_str() else { continue };
                let known: jiff::Timestamp = known.parse().unwrap();
                job[at] = (known - by).to_string().into();
            }
        }
        std::fs::write(file, kept.to_string()).unwrap();
    }

    /// Takes the instances back on which these jobs run, and lets GitHub give the jobs up.
    fn interrupt(&self, jobs: &[u64]) {
        let runners: Vec<String> = jobs.iter().map(|job| self.runner_of(*job)).collect();
        {
            let mut world = self.sandbox.world();
            let instances: Vec<String> = world.instance_states().into_iter().map(|(id, _)| id).collect();
            for id in instances {
                if runners.contains(&world.tags(&id).unwrap()["Name"]) {
                    world.interrupt(&id);
                }
            }
        }
        self.lapse(Duration::from_mins(11));
        for job in jobs {
            assert_eq!(self.sandbox.world().job_conclusion(*job), Some("failure"));
        }
    }

    fn runner_of(&self, job: u64) -> String {
        self.sandbox.world().job_runner(job).unwrap_or_else(|| panic!("{job} has no runner"))
    }

    /// Returns the re-runs that were asked for, by their paths.
    fn reruns(&self) -> Vec<String> {
        let calls = self.calls(Service::Github, POSTS);
        calls.into_iter().map(|call| call.target.trim_start_matches("/repos/acme/api/actions/").to_owned()).collect()
    }

    fn attempt(&self, run: u64) -> u32 {
        self.sandbox.world().run_attempt(run).unwrap()
    }

    /// Applies, and returns the results of its re-runs.
    async fn apply(&self, code: i32) -> (Ran, Vec<Value>) {
        let ran = self.run("apply --yes -o json").await;
        assert_eq!(ran.code, code, "{ran:#?}");
        let reruns = ran.json()["reruns"].as_array().unwrap().clone();
        (ran, reruns)
    }
}

fn codes(ran: &Ran) -> Vec<Value> {
    ran.json()["warnings"].as_array().unwrap().iter().map(|warning| warning["code"].clone()).collect()
}

/// A desk with one job that was interrupted.
pub(crate) async fn interrupted() -> (Desk, u64, u64) {
    let desk = desk().await;
    let (run, jobs) = run_of(&desk, 1);
    put_to_work(&desk).await;
    desk.interrupt(&jobs);
    (desk, run, jobs[0])
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_re_run_once_and_its_second_attempt_never() {
    let (desk, run, job) = interrupted().await;
    let (ran, reruns) = desk.apply(0).await;
    assert_eq!(
        (reruns.len(), &reruns[0]["result"], &reruns[0]["job_id"]),
        (1, &json!("done"), &json!(job)),
        "{ran:#?}"
    );
    assert!(reruns[0]["request_id"].is_string(), "{reruns:#?}");
    assert_eq!(reruns[0]["reason"]["code"], "interrupted");
    assert_eq!((desk.reruns(), desk.attempt(run)), (vec![format!("jobs/{job}/rerun")], 2));
    assert_eq!(ran.json()["summary"]["failed"], 0);
    let log = std::fs::read_to_string(desk.file("state/ghascale/audit.jsonl")).unwrap();
    let line: Value = serde_json::from_str(log.lines().find(|line| line.contains("\"rerun\"")).unwrap()).unwrap();
    assert_eq!((&line["rerun"]["result"], &line["rerun"]["run_id"]), (&json!("done"), &json!(run)));
    assert_eq!(line["plan_id"], ran.json()["plan_id"]);

    put_to_work(&desk).await;
    let again = desk.sandbox.world().job_ids().into_iter().next_back().unwrap();
    assert_ne!(again, job);
    desk.interrupt(&[again]);
    for _ in 0..2 {
        assert_eq!(desk.apply(0).await.1, Vec::<Value>::new());
    }
    assert_eq!((desk.reruns().len(), desk.attempt(run)), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_shows_it_and_does_nothing() {
    let (desk, run, _) = interrupted().await;
    let ran = desk.run("plan --detailed-exitcode").await;
    assert_eq!(ran.code, 2, "{ran:#?}");
    assert_snapshot!(redacted(&ran.stdout));
    assert_eq!((desk.reruns().len(), desk.attempt(run)), (0, 1));
    assert_eq!(desk.run("plan -o json --pool linux-arm64").await.json()["reruns"], json!([]));
    assert_snapshot!(redacted(&desk.run("apply --yes").await.stdout));
    assert_eq!(desk.attempt(run), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn switched_off_nothing_is_asked_remembered_or_re_run() {
    let desk = desk().await;
    desk.reconfigure(ON, "");
    let (run, jobs) = run_of(&desk, 1);
    put_to_work(&desk).await;
    desk.interrupt(&jobs);
    assert_eq!(desk.apply(0).await.1, Vec::<Value>::new());
    assert_eq!((desk.reruns().len(), desk.attempt(run)), (0, 1));
    assert!(desk.calls(Service::Github, &format!("/actions/runs/{run} ")).is_empty());
    assert!(!desk.file("state/ghascale/sandbox.spot-jobs.json").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_that_is_gone_means_no_re_run_and_no_harm() {
    let (desk, run, _) = interrupted().await;
    std::fs::remove_dir_all(desk.file("state")).unwrap();
    let (ran, reruns) = desk.apply(0).await;
    assert_eq!((reruns, codes(&ran)), (Vec::new(), Vec::new()));
    assert_eq!((desk.reruns().len(), desk.attempt(run)), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interruption_is_noticed_as_long_as_its_job_is_in_a_list_without_any_memory_before() {
    let desk = desk().await;
    let (run, jobs) = run_of(&desk, 1);
    assert_eq!(desk.run("apply --yes").await.code, 0);
    desk.lapse(Duration::from_secs(5));
    let id = desk.sandbox.world().instance_states()[0].0.clone();
    desk.sandbox.world().interrupt(&id);
    assert_eq!(desk.run("plan").await.code, 0);
    desk.lapse(Duration::from_mins(11));
    assert_eq!(desk.sandbox.world().job_conclusion(jobs[0]), Some("failure"));
    assert_eq!(desk.apply(0).await.1[0]["result"], "done");
    assert_eq!(desk.attempt(run), 2);
}

// --- what is not proven ---------------------------------------------------------------------------------------------

/// Applies twice to a desk where nothing may be re-run.
async fn nothing_is_re_run(desk: &Desk) {
    for _ in 0..2 {
        assert_eq!(desk.apply(0).await.1, Vec::<Value>::new());
    }
    assert_eq!(desk.reruns(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_on_an_on_demand_instance_is_not() {
    let desk = desk().await;
    desk.reconfigure("market = \"spot-then-on-demand\"", "market = \"on-demand\"");
    let (_, jobs) = run_of(&desk, 1);
    put_to_work(&desk).await;
    desk.interrupt(&jobs);
    nothing_is_re_run(&desk).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_instance_went_otherwise_is_not() {
    let desk = desk().await;
    let (_, jobs) = run_of(&desk, 1);
    put_to_work(&desk).await;
    let id = desk.sandbox.world().instance_states()[0].0.clone();
    desk.sandbox.world().terminate_by_hand(&id);
    desk.lapse(Duration::from_mins(11));
    assert_eq!(desk.sandbox.world().job_conclusion(jobs[0]), Some("failure"));
    nothing_is_re_run(&desk).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_boot_is_not_and_its_job_gets_another_runner_as_ever() {
    let desk = desk().await;
    let (run, _) = run_of(&desk, 1);
    desk.sandbox.world().fail_next_boots(1);
    assert_eq!(desk.run("apply --yes").await.code, 0);
    let id = desk.sandbox.world().instance_states()[0].0.clone();
    desk.sandbox.world().interrupt(&id);
    desk.lapse(Duration::from_mins(11));
    nothing_is_re_run(&desk).await;
    assert_eq!(desk.attempt(run), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_ended_before_its_instance_was_taken_is_not_whatever_came_of_it() {
    for conclusion in ["failure", "success", "cancelled"] {
        let desk = desk().await;
        let (_, jobs) = run_of(&desk, 1);
        put_to_work(&desk).await;
        let id = desk.sandbox.world().instance_states()[0].0.clone();
        desk.sandbox.world().linger(&id, jobs[0], conclusion);
        desk.lapse(Duration::from_secs(20));
        // It is seen once more, alive.
        assert_eq!(desk.run("plan").await.code, 0);
        desk.sandbox.world().interrupt(&id);
        desk.lapse(Duration::from_mins(11));
        nothing_is_re_run(&desk).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_succeeded_in_its_last_moment_or_that_a_person_cancelled_is_not() {
    for conclusion in ["success", "cancelled"] {
        let desk = desk().await;
        let (_, jobs) = run_of(&desk, 1);
        put_to_work(&desk).await;
        let id = desk.sandbox.world().instance_states()[0].0.clone();
        desk.sandbox.world().interrupt(&id);
        desk.sandbox.world().end(jobs[0], conclusion);
        desk.lapse(Duration::from_mins(1));
        nothing_is_re_run(&desk).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_a_person_has_re_run_is_not() {
    let (desk, run, _) = interrupted().await;
    desk.sandbox.world().run(run).again().job(X64).lasting(Duration::from_secs(1));
    nothing_is_re_run(&desk).await;
    desk.lapse(Duration::from_mins(1));
    nothing_is_re_run(&desk).await;
    assert_eq!(desk.attempt(run), 2);
}

// --- runs of several jobs -------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_not_completed_is_waited_for() {
    let desk = desk().await;
    let (run, jobs) = run_of(&desk, 2);
    put_to_work(&desk).await;
    desk.interrupt(&jobs[..1]);
    nothing_is_re_run(&desk).await;
    desk.sandbox.world().end(jobs[1], "success");
    assert_eq!(desk.apply(0).await.1[0]["result"], "done");
    assert_eq!((desk.reruns(), desk.attempt(run)), (vec![format!("jobs/{}/rerun", jobs[0])], 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_interrupted_job_is_re_run_alone_beside_others_that_failed_by_themselves() {
    let desk = desk().await;
    let (_, jobs) = run_of(&desk, 2);
    put_to_work(&desk).await;
    desk.sandbox.world().end(jobs[1], "failure");
    desk.interrupt(&jobs[..1]);
    assert_eq!(desk.apply(0).await.1.len(), 1);
    assert_eq!(desk.reruns(), [format!("jobs/{}/rerun", jobs[0])]);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_are_re_run_with_one_call_where_no_other_failed() {
    let desk = desk().await;
    let (run, jobs) = run_of(&desk, 3);
    put_to_work(&desk).await;
    desk.interrupt(&jobs[..2]);
    desk.sandbox.world().end(jobs[2], "success");
    let reruns = desk.apply(0).await.1;
    assert_eq!(reruns.iter().map(|row| row["job_id"].clone()).collect::<Vec<_>>(), [json!(jobs[0]), json!(jobs[1])]);
    assert_eq!((desk.reruns(), desk.attempt(run)), (vec![format!("runs/{run}/rerun-failed-jobs")], 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn several_beside_another_that_failed_are_left_to_a_person_and_said_once() {
    let desk = desk().await;
    let (run, jobs) = run_of(&desk, 3);
    put_to_work(&desk).await;
    desk.sandbox.world().end(jobs[2], "failure");
    desk.interrupt(&jobs[..2]);
    let (ran, reruns) = desk.apply(0).await;
    assert_eq!((reruns, codes(&ran)), (Vec::new(), vec![json!("rerun_failed")]));
    assert!(ran.stderr.contains("left to a person"), "{}", ran.stderr);
    let (ran, _) = desk.apply(0).await;
    assert_eq!((codes(&ran), desk.reruns().len(), desk.attempt(run)), (Vec::new(), 0, 1));
}

// --- when GitHub refuses, or its answer is lost ---------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_lost_is_looked_for_and_not_asked_again() {
    let (desk, run, _) = interrupted().await;
    desk.sandbox.fault(Fault::github("/rerun").dropped_after());
    assert_eq!(desk.apply(0).await.1[0]["result"], "done");
    assert_eq!(desk.apply(0).await.1, Vec::<Value>::new());
    assert_eq!((desk.reruns().len(), desk.attempt(run)), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_lost_is_made_again_by_the_next_run_alone() {
    let (desk, run, _) = interrupted().await;
    desk.sandbox.fault(Fault::github("/rerun").dropped_before());
    let (ran, reruns) = desk.apply(3).await;
    assert_eq!((&reruns[0]["result"], codes(&ran)), (&json!("failed"), vec![json!("rerun_failed")]));
    assert_eq!(desk.attempt(run), 1);
    assert_eq!(desk.apply(0).await.1[0]["result"], "done");
    assert_eq!((desk.reruns().len(), desk.attempt(run)), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_over_its_request_re_runs_no_second_time() {
    let (desk, run, _) = interrupted().await;
    let mut hold = desk.sandbox.hold_at("/rerun", Moment::After);
    let mut process = desk.command("apply --yes").spawn().unwrap();
    hold.reached().await.unwrap();
    process.kill().await.unwrap();
    drop(hold);
    assert_eq!(desk.apply(0).await.1, Vec::<Value>::new());
    assert_eq!((desk.reruns().len(), desk.attempt(run)), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_may_not_are_one_warning_with_its_cure_and_no_failed_run() {
    let (desk, run, _) = interrupted().await;
    desk.sandbox.world().settings.actions_write = false;
    let (ran, reruns) = desk.apply(0).await;
    assert_eq!((&reruns[0]["result"], codes(&ran)), (&json!("skipped"), vec![json!("rerun_failed")]));
    assert!(ran.stderr.contains("not accessible by integration"), "{}", ran.stderr);
    assert!(ran.stderr.contains("*Actions: write*"), "{}", ran.stderr);
    let (ran, reruns) = desk.apply(0).await;
    assert_eq!((reruns, codes(&ran)), (Vec::new(), Vec::new()), "once");
    assert_eq!((desk.reruns().len(), desk.attempt(run)), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_which_github_says_that_it_runs_again_already_is_left_alone_without_a_word() {
    for status in [403, 409] {
        let (desk, run, _) = interrupted().await;
        let body = r#"{"message":"The workflow run containing this job is already running"}"#;
        desk.sandbox.fault(Fault::github("/rerun").status(status).body(body));
        let (ran, reruns) = desk.apply(0).await;
        assert_eq!((&reruns[0]["result"], codes(&ran)), (&json!("skipped"), Vec::new()), "{ran:#?}");
        desk.apply(0).await;
        assert_eq!((desk.reruns().len(), desk.attempt(run)), (1, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_cannot_be_read_is_a_warning_and_looked_at_again() {
    let (desk, run, _) = interrupted().await;
    let path = format!("/actions/runs/{run}");
    desk.sandbox.fault(Fault::github(&path).status(500).times(3));
    let (ran, reruns) = desk.apply(0).await;
    assert_eq!((reruns, codes(&ran)), (Vec::new(), vec![json!("rerun_failed")]));
    assert_eq!(desk.apply(0).await.1[0]["result"], "done");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_at_once_re_run_once() {
    let mut desk = desk().await;
    let (run, jobs) = run_of(&desk, 1);
    put_to_work(&desk).await;
    desk.interrupt(&jobs);
    let here = desk.command("apply --yes -o json").output();
    let elsewhere = desk.file("elsewhere");
    std::fs::create_dir_all(elsewhere.join("ghascale")).unwrap();
    let memory = "ghascale/sandbox.spot-jobs.json";
    std::fs::copy(desk.file("state").join(memory), elsewhere.join(memory)).unwrap();
    desk.with("XDG_STATE_HOME", &elsewhere.display().to_string());
    let there = desk.command("apply --yes -o json").output();
    let (here, there) = tokio::join!(here, there);
    let mut results: BTreeMap<String, usize> = BTreeMap::new();
    for ran in [here.unwrap(), there.unwrap()] {
        assert_eq!(ran.status.code(), Some(0), "{}", String::from_utf8_lossy(&ran.stderr));
        let report: Value = serde_json::from_slice(&ran.stdout).unwrap();
        assert_eq!(report["warnings"], json!([]));
        for row in report["reruns"].as_array().unwrap() {
            *results.entry(row["result"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    assert_eq!((results.get("done"), results.get("failed"), desk.attempt(run)), (Some(&1), None, 2), "{results:?}");
    let granted = desk.calls(Service::Github, POSTS).into_iter().filter(|call| call.status == Some(201));
    assert_eq!(granted.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_another_began_between_the_look_and_the_request_is_no_second_one() {
    let (desk, run, job) = interrupted().await;
    let hold = desk.sandbox.hold_at("/rerun", Moment::Before);
    let applied = desk.command("apply --yes -o json").output();
    let other = async {
        let mut hold = hold;
        hold.reached().await.unwrap();
        desk.sandbox.world().run(run).again().job(X64).lasting(Duration::from_hours(1));
    };
    let (applied, ()) = tokio::join!(applied, other);
    let report: Value = serde_json::from_slice(&applied.unwrap().stdout).unwrap();
    assert_eq!((&report["reruns"][0]["result"], &report["reruns"][0]["job_id"]), (&json!("skipped"), &json!(job)));
    assert!(report["reruns"][0]["error"].as_str().unwrap().contains("attempt 2"), "{report:#}");
    assert_eq!(report["warnings"], json!([]));
    assert_eq!(desk.attempt(run), 2);
}

// --- with a plan file -----------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_file_re_runs_what_it_says_and_no_more() {
    let (desk, run, _) = interrupted().await;
    assert_eq!(desk.run("plan --out with.plan").await.code, 0);
    let plan = std::fs::read_to_string(desk.file("with.plan")).unwrap();
    std::fs::write(desk.file("changed.plan"), plan.replace("\"name\": \"job-1\"", "\"name\": \"job-2\"")).unwrap();
    let ran = desk.run("apply changed.plan --yes").await;
    assert!(ran.code == 64 && ran.stderr.contains("changed after it was written"), "{ran:#?}");
    let ran = desk.run("apply with.plan --yes -o json").await;
    assert_eq!((ran.code, &ran.json()["reruns"][0]["result"]), (0, &json!("done")), "{ran:#?}");
    let ran = desk.run("apply with.plan --yes -o json").await;
    assert_eq!((ran.code, &ran.json()["reruns"][0]["result"]), (3, &json!("skipped")), "it no longer holds");
    assert_eq!((desk.reruns().len(), desk.attempt(run)), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_file_from_before_the_interruption_re_runs_nothing() {
    let desk = desk().await;
    let (run, jobs) = run_of(&desk, 1);
    put_to_work(&desk).await;
    assert_eq!(desk.run("plan --out before.plan").await.code, 0);
    desk.interrupt(&jobs);
    let ran = desk.run("apply before.plan --yes -o json").await;
    assert_eq!((ran.code, &ran.json()["reruns"]), (0, &json!([])), "{ran:#?}");
    assert_eq!(desk.attempt(run), 1);
}
