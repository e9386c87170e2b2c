//! `explain`.

use std::time::Duration;

use ghascale::sandbox::{Fault, Service};
use insta::assert_snapshot;
use serde_json::Value;

use super::{Desk, Ran, X64, redacted};

const AGED: Duration = Duration::from_secs(95);

/// Puts one job into `api`; returns its run's id, its own, and the address that a browser shows for it.
fn job(desk: &Desk, labels: &[&str]) -> (u64, u64, String) {
    let (run, job) = {
        let mut world = desk.sandbox.world();
        let job = world.repository("api").run().aged(AGED).job(labels.iter().copied()).lasting(Duration::from_hours(1));
        (job.run_id(), job.id())
    };
    (run, job, format!("{}/api/actions/runs/{run}/job/{job}", desk.sandbox.url()))
}

fn step<'a>(json: &'a Value, name: &str) -> &'a Value {
    json["steps"].as_array().unwrap().iter().find(|step| step["step"] == name).unwrap()
}

fn failed(ran: &Ran) -> String {
    ran.json()["failed_step"].as_str().unwrap_or_else(|| panic!("nothing failed: {ran:#?}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn shows_each_step_and_the_cure_of_the_one_that_fails() {
    let desk = Desk::open().await;
    let (.., url) = job(&desk, &["self-hosted", "linux", "gpus"]);
    let ran = desk.run(&format!("explain {url}")).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:#?}");
    assert_snapshot!(redacted(&ran.stdout));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_job_is_called_can_not_speak_to_the_terminal() {
    let desk = Desk::open().await;
    let job = {
        let mut world = desk.sandbox.world();
        world.repository("api").run().aged(AGED).job(["linux", "gpu\u{1b}[2J"]).named("\u{1b}]0;mine\u{7}").id()
    };
    for line in [format!("explain {job}"), "plan".to_owned(), "status --jobs".to_owned()] {
        let ran = desk.run(&line).await;
        assert!(ran.stdout.contains("\u{fffd}[2J"), "{ran:#?}");
        assert!(!ran.all().contains(|c: char| c.is_control() && c != '\n'), "{ran:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn is_one_object_in_json() {
    let desk = Desk::open().await;
    let (.., url) = job(&desk, &X64);
    let ran = desk.run(&format!("explain {url} -o json")).await;
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_snapshot!(redacted(&ran.stdout));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_followed_from_its_launch_to_its_end() {
    let desk = Desk::open().await;
    desk.sandbox.world().settings.boot = Duration::from_mins(2);
    let (_, id, url) = job(&desk, &X64);
    let explained = async || desk.run(&format!("explain {url} -o json")).await;
    let ran = explained().await;
    assert_eq!(failed(&ran), "launch");
    let json = ran.json();
    assert!(step(&json, "launch")["evidence"].as_str().unwrap().contains("`sandbox-linux-x64-000`"), "{json:#}");

    // The cure that it names is one.
    assert_eq!(step(&json, "launch")["cure"], "`ghascale apply`");
    assert_eq!(desk.run("apply --yes").await.code, 0);
    let json = explained().await.json();
    assert_eq!(json["failed_step"], Value::Null, "{json:#}");
    let evidence = step(&json, "registration")["evidence"].as_str().unwrap();
    assert!(evidence.starts_with("on their way: `sandbox-linux-x64-000` (booting"), "{json:#}");

    desk.sandbox.advance(Duration::from_mins(3));
    let json = explained().await.json();
    assert_eq!(json["verdict"], format!("job {id} is being run by `sandbox-linux-x64-000`"), "{json:#}");

    // Of a completed job nothing else is asked.
    desk.sandbox.advance(Duration::from_hours(2));
    desk.sandbox.forget_calls();
    let json = explained().await.json();
    assert_eq!((&json["job"]["status"], &json["failed_step"]), (&"completed".into(), &Value::Null), "{json:#}");
    assert!(json["verdict"].as_str().unwrap().contains("was run by `sandbox-linux-x64-000`"), "{json:#}");
    assert_eq!(desk.sandbox.calls().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_found_by_every_form_of_its_address_and_by_its_id() {
    let desk = Desk::open().await;
    let (run, id, url) = job(&desk, &X64);
    let endpoint = desk.sandbox.endpoint();
    for asked in [
        url,
        id.to_string(),
        run.to_string(),
        format!("{endpoint}/acme/api/actions/runs/{run}"),
        format!("{endpoint}/acme/api/actions/runs/{run}/attempts/1/job/{id}"),
        format!("{endpoint}/api/v3/repos/acme/api/actions/jobs/{id}"),
    ] {
        let ran = desk.run(&format!("explain {asked} -o json")).await;
        assert_eq!((ran.code, &ran.json()["job"]["job_id"]), (0, &id.into()), "{asked}: {ran:#?}");
        assert_eq!(failed(&ran), "launch", "{asked}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_run_the_longest_wait_is_explained_and_the_others_are_named() {
    let desk = Desk::open().await;
    let (run, first, second) = {
        let mut world = desk.sandbox.world();
        let first = world.repository("api").run().aged(AGED).job(X64).named("one");
        let (run, id) = (first.run_id(), first.id());
        let second = first.job(X64).named("two");
        (run, id, second.id())
    };
    let line = format!("explain {}/api/actions/runs/{run}", desk.sandbox.url());
    let json = desk.run(&format!("{line} -o json")).await.json();
    assert_eq!(json["job"]["job_id"], first, "{json:#}");
    let other = &json["other_jobs"][0];
    let command = format!("ghascale explain {}/api/actions/runs/{run}/job/{second}", desk.sandbox.url());
    assert_eq!(
        (&other["job_id"], &other["status"], &other["command"]),
        (&second.into(), &"queued".into(), &command.as_str().into())
    );
    // The command that is named works.
    let ran = desk.run(command.trim_start_matches("ghascale ")).await;
    assert!(ran.code == 0 && ran.stdout.starts_with(&format!("job {second} `two` of acme/api")), "{ran:#?}");
    assert!(desk.run(&line).await.stdout.contains(&command));
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_without_jobs_get_an_honest_answer() {
    let desk = Desk::open().await;
    let (hidden, ghost, ended) = {
        let mut world = desk.sandbox.world();
        let hidden = world.repository("api").run().with_hidden_jobs().id();
        let ghost = world.repository("api").run().aged(Duration::from_hours(72)).id();
        let ended = world.repository("api").run().job(X64);
        let (run, job) = (ended.run_id(), ended.id());
        world.cancel(job);
        (hidden, ghost, run)
    };
    let of = async |asked: String| desk.run(&format!("explain {asked} -o json")).await;
    let url = |run| format!("{}/api/actions/runs/{run}", desk.sandbox.url());
    for asked in [url(hidden), hidden.to_string()] {
        let ran = of(asked).await;
        assert_eq!((ran.code, &step(&ran.json(), "visible")["result"]), (0, &"unknown".into()), "{ran:#?}");
    }
    for asked in [url(ghost), ghost.to_string()] {
        let ran = of(asked).await;
        assert!(ran.json()["verdict"].as_str().unwrap().contains("a ghost"), "{ran:#?}");
    }
    let ran = of(url(ended)).await;
    assert_eq!((&ran.json()["job"], ran.code), (&Value::Null, 0), "{ran:#?}");
    assert!(ran.json()["verdict"].as_str().unwrap().contains("completed"), "{ran:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_said_with_what_was_scanned() {
    let desk = Desk::open().await;
    let ran = desk.run("explain 4711 -o json").await;
    assert_eq!((ran.code, failed(&ran).as_str()), (0, "visible"), "{ran:#?}");
    let said = "no job or run that is not completed has the id 4711 in acme (1 repository)";
    assert_eq!(ran.json()["verdict"], said);
    let ran = desk.run(&format!("explain {}/api/actions/runs/1/job/4711 -o json", desk.sandbox.url())).await;
    assert_eq!((ran.code, &ran.json()["verdict"]), (0, &"GitHub shows no job 4711 of acme/api".into()), "{ran:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_is_excluded_or_archived_stops_its_jobs() {
    let desk = Desk::open().await;
    let (.., url) = job(&desk, &X64);
    desk.reconfigure("[scan]", "[scan]\nexclude = [\"api\"]");
    desk.sandbox.world().repository("web");
    let ran = desk.run(&format!("explain {url} -o json")).await;
    assert_eq!(failed(&ran), "visible", "{ran:#?}");
    assert!(step(&ran.json(), "visible")["cure"].as_str().unwrap().contains("scan.exclude"), "{ran:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_is_not_there_or_not_open_stops_the_job() {
    let desk = Desk::open().await;
    let (.., url) = job(&desk, &X64);
    let groups = r#"{"total_count":1,"runner_groups":[{"id":1,"name":"Default","visibility":"selected"}]}"#;
    desk.sandbox.fault(Fault::github("/runner-groups/1/repositories").status(200).body(r#"{"repositories":[]}"#));
    desk.sandbox.fault(Fault::github("/actions/runner-groups").status(200).body(groups));
    let ran = desk.run(&format!("explain {url} -o json")).await;
    assert_eq!(failed(&ran), "runner_group", "{ran:#?}");
    desk.reconfigure("name = \"linux-x64\"", "name = \"linux-x64\"\nrunner_group = \"defaults\"");
    let ran = desk.run(&format!("explain {url} -o json")).await;
    assert_eq!(failed(&ran), "runner_group", "{ran:#?}");
    let cure = "nearest: `runner_group = \"Default\"` in pool `linux-x64`";
    assert_eq!(step(&ran.json(), "runner_group")["cure"], cure);
}

// --- without a file -------------------------------------------------------------------------------------------------

async fn stranger() -> Desk {
    let mut desk = Desk::open().await;
    desk.without("GHASCALE_CONFIG");
    std::fs::remove_file(desk.file("ghascale.toml")).unwrap();
    desk
}

#[tokio::test(flavor = "multi_thread")]
async fn needs_no_file_to_hold_a_job_against_the_runners() {
    let desk = stranger().await;
    let (_, id, address) = job(&desk, &X64);
    let line = format!("--url {} explain {id}", desk.sandbox.url());
    let ran = desk.run(&format!("{line} -o json")).await;
    assert_eq!((ran.code, failed(&ran).as_str()), (0, "labels"), "{ran:#?}");

    let runner = desk.sandbox.world().runner("box-1", X64).id();
    let ran = desk.run(&format!("{line} -o json")).await;
    assert_eq!(failed(&ran), "supply", "{ran:#?}");
    desk.sandbox.world().connect(runner, true);
    desk.sandbox.advance(Duration::from_secs(30));
    let ran = desk.run(&format!("--url {} explain {address} -o json", desk.sandbox.url())).await;
    assert!(ran.json()["verdict"].as_str().unwrap().ends_with("is being run by `box-1`"), "{ran:#?}");
    assert!(desk.calls(Service::Ec2, "").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_cannot_read_runners_leaves_them_unknown() {
    let desk = stranger().await;
    let (_, id, _) = job(&desk, &X64);
    desk.sandbox.fault(Fault::github("/orgs/acme/actions/runners").status(403).times(9));
    let ran = desk.run(&format!("--url {} explain {id} -o json", desk.sandbox.url())).await;
    assert_eq!((ran.code, &ran.json()["failed_step"]), (3, &Value::Null), "{ran:#?}");
    assert_eq!(step(&ran.json(), "labels")["result"], "unknown", "{ran:#?}");
}

// --- when the network fails -----------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_could_not_be_looked_up_is_found_in_the_scan() {
    let desk = Desk::open().await;
    let (_, id, url) = job(&desk, &X64);
    desk.sandbox.fault(Fault::github(&format!("/actions/jobs/{id}")).status(502).times(9));
    let ran = desk.run(&format!("explain {url} -o json")).await;
    assert_eq!((ran.code, failed(&ran).as_str()), (3, "launch"), "{ran:#?}");
    assert!(ran.stderr.contains("502") && ran.stderr.contains("run_failed"), "{ran:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_could_not_be_read_at_all_is_unknown() {
    let desk = Desk::open().await;
    let (_, id, url) = job(&desk, &X64);
    desk.sandbox.world().repository("web");
    desk.sandbox.fault(Fault::github(&format!("/actions/jobs/{id}")).status(502).times(9));
    desk.sandbox.fault(Fault::github("/repos/acme/api/actions/runs").status(502).times(9));
    let ran = desk.run(&format!("explain {url} -o json")).await;
    assert_eq!((ran.code, &ran.json()["job"]), (3, &Value::Null), "{ran:#?}");
    assert_eq!(step(&ran.json(), "visible")["result"], "unknown", "{ran:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_that_lost_a_part_says_unknown_rather_than_not_there() {
    let desk = Desk::open().await;
    let (_, id, url) = job(&desk, &X64);
    desk.sandbox.world().repository("web");
    desk.sandbox.fault(Fault::github("/repos/acme/api/actions/runs").status(502).times(9));
    let ran = desk.run(&format!("explain {id} -o json")).await;
    assert_eq!((ran.code, &ran.json()["failed_step"]), (3, &Value::Null), "{ran:#?}");
    assert_eq!(step(&ran.json(), "visible")["result"], "unknown", "{ran:#?}");
    desk.sandbox.fault(Fault::github("/repos/acme/api/actions/runs").status(502).times(9));
    let ran = desk.run(&format!("explain {url} -o json")).await;
    assert_eq!((ran.code, &step(&ran.json(), "visible")["result"]), (3, &"unknown".into()), "{ran:#?}");
    assert!(
        step(&ran.json(), "visible")["evidence"].as_str().unwrap().contains("part of the scan was lost"),
        "{ran:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_that_could_not_be_read_leave_supply_unknown() {
    let desk = Desk::open().await;
    let (.., url) = job(&desk, &X64);
    desk.sandbox.fault(Fault::ec2("DescribeInstances").times(9).code("UnauthorizedOperation").status(403));
    let ran = desk.run(&format!("explain {url} -o json")).await;
    assert_eq!((ran.code, &ran.json()["failed_step"]), (3, &Value::Null), "{ran:#?}");
    for name in ["cap", "supply", "launch", "registration"] {
        assert_eq!(step(&ran.json(), name)["result"], "unknown", "{name}: {ran:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_may_be_of_a_run_without_jobs_has_no_answer_yet() {
    let desk = Desk::open().await;
    job(&desk, &X64);
    assert_eq!(desk.run("explain 1").await.code, 0, "it is not there, and that is an answer");
    desk.sandbox.world().repository("web").run().aged(AGED).with_hidden_jobs();
    let ran = desk.run("explain 1 -o json").await;
    assert_eq!((ran.code, &step(&ran.json(), "visible")["result"]), (3, &"unknown".into()), "{ran:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_or_run_that_is_not_of_the_repository_of_its_address_is_not_answered_for() {
    let desk = Desk::open().await;
    desk.sandbox.world().repository("web");
    let (run, id, url) = job(&desk, &X64);
    let wrong = url.replace("/acme/api/", "/acme/web/");
    for address in [wrong.clone(), wrong.replace(&format!("/job/{id}"), "")] {
        let ran = desk.run(&format!("explain {address} -o json")).await;
        assert_eq!((&ran.json()["job"], failed(&ran).as_str()), (&Value::Null, "visible"), "{ran:#?}");
        assert!(ran.json()["verdict"].as_str().unwrap().ends_with("of acme/web: it is of acme/api"), "{ran:#?}");
    }
    let shouted = format!("{}/API/actions/runs/{run}", desk.sandbox.url());
    assert_eq!(desk.run(&format!("explain {shouted} -o json")).await.json()["job"]["job_id"], id);
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_that_could_not_be_read_are_unknown() {
    let desk = Desk::open().await;
    let (.., url) = job(&desk, &X64);
    desk.sandbox.fault(Fault::github("/actions/runner-groups").status(403).times(9));
    let ran = desk.run(&format!("explain {url} -o json")).await;
    assert_eq!((ran.code, failed(&ran).as_str()), (3, "launch"), "{ran:#?}");
    assert_eq!(step(&ran.json(), "runner_group")["result"], "unknown", "{ran:#?}");
    assert!(ran.stderr.contains("groups_failed"), "{ran:#?}");
}

// --- bad input ------------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_job_of_this_scope_is_refused_before_anything_is_called() {
    let desk = Desk::open().await;
    let endpoint = desk.sandbox.endpoint();
    for (asked, said) in [
        ("tests".to_owned(), "not the address of a job"),
        (format!("{endpoint}/acme/api"), "not the address of a job"),
        ("https://github.com/acme/api/actions/runs/1/job/2".to_owned(), "this address is on github.com"),
        (format!("{endpoint}/other/api/actions/runs/1/job/2"), "other/api is not in the scope acme"),
        ("https://me:hunter2@github.com/acme/api/actions/runs/1".to_owned(), "holds credentials"),
    ] {
        let ran = desk.run(&format!("explain {asked}")).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (64, ""), "{asked}: {ran:#?}");
        assert!(ran.stderr.contains(said) && ran.stderr.contains("hint:"), "{asked}: {ran:#?}");
        assert!(!ran.stderr.contains("hunter2"), "{ran:#?}");
    }
    assert_eq!(desk.run("explain").await.code, 64);
    assert!(desk.sandbox.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_credentials_give_no_answer() {
    let mut desk = Desk::open().await;
    let (_, id, url) = job(&desk, &X64);
    desk.with("GITHUB_TOKEN", "wrong");
    for asked in [url, id.to_string()] {
        let ran = desk.run(&format!("explain {asked}")).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:#?}");
        assert!(ran.stderr.contains("401"), "{ran:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_could_not_be_looked_up_is_found_in_the_scan() {
    let desk = Desk::open().await;
    let (run, id, _) = job(&desk, &X64);
    // The list of the repository's runs goes on as `…/runs?`.
    desk.sandbox.fault(Fault::github(&format!("/api/actions/runs/{run}")).status(502).times(3));
    let ran = desk.run(&format!("explain {}/api/actions/runs/{run} -o json", desk.sandbox.url())).await;
    assert_eq!((ran.code, &ran.json()["job"]["job_id"]), (3, &id.into()), "{ran:#?}");
    assert_eq!(failed(&ran), "launch", "{ran:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_repositorys_scope_a_bare_id_is_asked_for_too() {
    let desk = stranger().await;
    let (run, id, _) = job(&desk, &X64);
    desk.sandbox.world().cancel(id);
    let scope = format!("{}/acme/api", desk.sandbox.endpoint());
    let ran = desk.run(&format!("--url {scope} explain {id} -o json")).await;
    assert_eq!((ran.code, &ran.json()["job"]["status"]), (0, &"completed".into()), "{ran:#?}");
    assert_eq!(failed(&ran), "status", "it was cancelled before any runner had it: {ran:#?}");
    let ran = desk.run(&format!("--url {scope} explain {run} -o json")).await;
    assert!(ran.json()["verdict"].as_str().unwrap().starts_with("run"), "{ran:#?}");
    let ran = desk.run(&format!("--url {scope} explain 4711 -o json")).await;
    assert_eq!(ran.json()["verdict"], "GitHub shows no job or run 4711 of acme/api", "{ran:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_ec2_the_supply_is_unknown_and_the_rest_is_known() {
    let desk = Desk::open().await;
    let (.., url) = job(&desk, &X64);
    desk.reconfigure("[ec2]\nregion = \"eu-north-1\"\nfleet = \"sandbox\"\n", "");
    let ran = desk.run(&format!("explain {url} -o json")).await;
    assert_eq!((ran.code, &ran.json()["failed_step"]), (0, &Value::Null), "{ran:#?}");
    assert_eq!(step(&ran.json(), "runner_group")["result"], "ok");
    let cap = step(&ran.json(), "cap").clone();
    assert_eq!(cap["result"], "unknown");
    assert!(cap["evidence"].as_str().unwrap().contains("no `[ec2]`"), "{cap:#}");
}
