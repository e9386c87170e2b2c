//! A whole enterprise: the jobs of all of its organizations, and runners, groups and scale sets of its own.

use std::time::Duration;

use ghascale::sandbox::{Fault, JobStatus, Service};
use serde_json::{Value, json};

use super::{Desk, Ran, X64, until};

const HOUR: Duration = Duration::from_hours(1);

/// Opens a desk on an enterprise of two organizations, `acme` and `globex`, each with a repository `api`.
async fn desk() -> Desk {
    let desk = Desk::open().await;
    {
        let mut world = desk.sandbox.world();
        world.enterprise("megacorp");
        world.organization("globex");
        world.repository("globex/api");
    }
    desk.reconfigure(&desk.sandbox.url(), &desk.sandbox.enterprise_url("megacorp"));
    desk
}

fn queue(desk: &Desk, repository: &str, jobs: u32) {
    let mut world = desk.sandbox.world();
    for _ in 0..jobs {
        world.repository(repository).run().job(X64).lasting(HOUR);
    }
}

/// Returns what the pool `linux-x64` has queued, and how that is known.
fn queued(ran: &Ran) -> (u64, String) {
    let report = ran.json();
    let pool = report["pools"].as_array().unwrap().iter().find(|pool| pool["name"] == "linux-x64").unwrap();
    (pool["queued"].as_u64().unwrap(), pool["count_kind"].as_str().unwrap().to_owned())
}

/// Returns the warnings of a code: what each is about, and what it says.
fn warned(ran: &Ran, code: &str) -> Vec<(String, String)> {
    let report = ran.json();
    let of_code = report["warnings"].as_array().unwrap().iter().filter(|warning| warning["code"] == code);
    let text = |warning: &Value, field: &str| warning[field].as_str().unwrap().to_owned();
    of_code.map(|warning| (text(warning, "subject"), text(warning, "message"))).collect()
}

async fn status(desk: &Desk) -> Ran {
    desk.run("status -o json").await
}

/// Asserts that there are jobs beyond those that were found, because of one organization.
fn assert_at_least(ran: &Ran, jobs: u64, subject: &str, why: &str) {
    assert_eq!((ran.code, queued(ran)), (3, (jobs, "at_least".to_owned())), "{ran:#?}");
    let warnings = warned(ran, "organization_failed");
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    assert!(warnings[0].0 == subject && warnings[0].1.contains(why), "{warnings:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_all_organizations_count_and_repositories_of_one_name_stay_apart() {
    let desk = desk().await;
    queue(&desk, "acme/api", 2);
    queue(&desk, "globex/api", 3);
    queue(&desk, "elsewhere/api", 7);
    for _ in 0..2 {
        let ran = status(&desk).await;
        assert_eq!((ran.code, queued(&ran)), (0, (5, "exact".to_owned())), "{ran:#?}");
        assert_eq!(
            (&ran.json()["scope"], &ran.json()["repositories"]["scanned"]),
            (&json!("enterprises/megacorp"), &2.into())
        );
        let mut of: Vec<String> = Vec::new();
        for job in ran.json()["jobs"].as_array().unwrap() {
            of.push(job["repository"].as_str().unwrap().to_owned());
        }
        of.sort();
        assert_eq!(of, ["acme/api", "acme/api", "globex/api", "globex/api", "globex/api"]);
    }
    let mut desk = desk;
    desk.without("GHASCALE_CONFIG");
    std::fs::remove_file(desk.file("ghascale.toml")).unwrap();
    let ran = desk.run(&format!("--url {} status -o json", desk.sandbox.enterprise_url("megacorp"))).await;
    assert_eq!((ran.code, &ran.json()["label_sets"][0]["queued"]), (0, &5.into()), "{ran:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_changed_costs_nothing_but_the_question_for_organizations() {
    let desk = desk().await;
    queue(&desk, "globex/api", 3);
    status(&desk).await;
    desk.sandbox.forget_calls();
    let ran = status(&desk).await;
    let calls = desk.calls(Service::Github, "");
    let paid: Vec<&str> =
        calls.iter().filter(|call| call.status == Some(200)).map(|call| call.target.as_str()).collect();
    assert_eq!(paid, ["/api/graphql"], "{ran:#?}");
    assert_eq!(ran.json()["api"]["rate_limit_limit"], 5000);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_organizations_than_a_page_holds_are_all_read_by_either_way() {
    let desk = desk().await;
    {
        let mut world = desk.sandbox.world();
        for nth in 0..230 {
            let login = format!("unit-{nth:03}");
            world.organization(&login);
            world.repository(&format!("{login}/api"));
        }
        for login in ["unit-000", "unit-099", "unit-100", "unit-229"] {
            world.repository(&format!("{login}/api")).run().job(X64);
        }
    }
    let ran = status(&desk).await;
    assert_eq!((ran.code, queued(&ran)), (0, (4, "exact".to_owned())), "{ran:#?}");
    assert_eq!(desk.calls(Service::Github, "/api/graphql").len(), 3);
    // A token without `read:enterprise`: the server's own list of organizations is the enterprise's.
    desk.sandbox.fault(insufficient().times(9));
    let ran = status(&desk).await;
    assert_eq!((ran.code, queued(&ran)), (0, (4, "exact".to_owned())), "{ran:#?}");
    assert_eq!(desk.calls(Service::Github, "GET /organizations?").len(), 3);
}

fn insufficient() -> Fault {
    let message = "Your token has not been granted the required scopes to execute this query.";
    let errors = json!({ "errors": [{ "type": "INSUFFICIENT_SCOPES", "message": message }] });
    Fault::github("POST /api/graphql").status(200).body(&errors.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organization_that_refuses_is_named_and_never_counts_as_empty() {
    let desk = desk().await;
    queue(&desk, "acme/api", 2);
    queue(&desk, "globex/api", 3);
    let list = || Fault::github("/orgs/globex/repos?").times(9);
    desk.sandbox.fault(list().status(403).message("Resource protected by organization SAML enforcement."));
    let ran = desk.run("status -o json --no-cache").await;
    assert_at_least(&ran, 2, "globex", "403 Resource protected by organization SAML enforcement");
    for (status, why) in [(404, "404 Not Found"), (502, "502 ")] {
        let desk = self::desk().await;
        queue(&desk, "acme/api", 2);
        queue(&desk, "globex/api", 3);
        desk.sandbox.fault(list().status(status));
        assert_at_least(&self::status(&desk).await, 2, "globex", why);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_graphql_refuses_beside_a_part_is_lost_and_not_empty() {
    let desk = desk().await;
    queue(&desk, "acme/api", 2);
    queue(&desk, "globex/api", 3);
    desk.sandbox.world().organization("globex").protected();
    let ran = status(&desk).await;
    assert_eq!((ran.code, queued(&ran)), (3, (2, "at_least".to_owned())), "{ran:#?}");
    let warnings = warned(&ran, "organization_failed");
    assert!(warnings.iter().any(|(_, said)| said.contains("SAML enforcement")), "{warnings:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_page_of_organizations_that_is_lost_makes_it_a_lower_bound() {
    let desk = desk().await;
    for nth in 0..130 {
        desk.sandbox.world().organization(&format!("unit-{nth:03}"));
    }
    queue(&desk, "acme/api", 2);
    desk.sandbox.fault(Fault::github("POST /api/graphql").skip(1).status(502).times(9));
    assert_at_least(&status(&desk).await, 2, "megacorp", "502");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_organizations_at_all_is_a_failure_and_not_a_zero() {
    for fault in [
        json!({ "data": { "enterprise": null }, "errors": [{ "type": "NOT_FOUND", "message": "Could not resolve" }] }),
        json!({ "data": { "enterprise": { "organizations": null } }, "errors": [{ "message": "Something went wrong" }] }),
        json!({ "data": { "enterprise": null } }),
        json!({}),
    ] {
        let desk = desk().await;
        queue(&desk, "acme/api", 2);
        desk.sandbox.fault(Fault::github("POST /api/graphql").status(200).body(&fault.to_string()).times(9));
        desk.sandbox.fault(Fault::github("GET /organizations").status(404).times(9));
        let ran = status(&desk).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:#?}");
    }
    let desk = desk().await;
    desk.sandbox.fault(Fault::github("/repos?").status(500).times(99));
    let ran = status(&desk).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organization_whose_member_nobody_is_shows_its_public_repositories_and_says_so() {
    for fault in [None, Some(insufficient().times(9))] {
        let desk = desk().await;
        queue(&desk, "globex/api", 3);
        {
            let mut world = desk.sandbox.world();
            world.repository("globex/site").public().run().job(X64);
            world.organization("globex").without_membership();
        }
        if let Some(fault) = fault {
            desk.sandbox.fault(fault);
        }
        assert_at_least(&status(&desk).await, 1, "globex", "no member of it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organization_that_the_globs_leave_out_is_not_asked_for() {
    let desk = desk().await;
    queue(&desk, "acme/api", 2);
    queue(&desk, "globex/api", 3);
    desk.sandbox.world().organization("globex").without_membership();
    for scan in ["exclude = [\"Globex/*\"]", "include = [\"acme/*\"]"] {
        desk.sandbox.forget_calls();
        desk.configure(&desk.sandbox.configuration());
        desk.reconfigure(&desk.sandbox.url(), &desk.sandbox.enterprise_url("megacorp"));
        desk.reconfigure("[scan]\n", &format!("[scan]\n{scan}\n"));
        let ran = status(&desk).await;
        assert_eq!((ran.code, queued(&ran)), (0, (2, "exact".to_owned())), "{ran:#?}");
        assert!(desk.calls(Service::Github, "globex").is_empty());
        let skipped = &ran.json()["repositories"]["skipped"];
        assert_eq!(skipped, &json!([{ "repository": "globex/*", "reason": "excluded" }]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runners_are_the_enterprises_and_take_jobs_of_any_organization() {
    let desk = desk().await;
    desk.sandbox.world().settings.boot = Duration::from_millis(10);
    queue(&desk, "acme/api", 1);
    queue(&desk, "globex/api", 2);
    let ran = desk.run("apply --yes -o json").await;
    assert_eq!((ran.code, &ran.json()["summary"]["done"]), (0, &3.into()), "{ran:#?}");
    let made = desk.calls(Service::Github, "POST /enterprises/megacorp/actions/runners/generate-jitconfig");
    assert_eq!(made.len(), 3);
    until(|| desk.sandbox.world().count_jobs(JobStatus::InProgress) == 3).await;
    let ran = status(&desk).await;
    let pool = &ran.json()["pools"][2];
    assert_eq!((&pool["in_progress"], &pool["runners"]["busy"]), (&3.into(), &3.into()), "{ran:#?}");
    let planned = desk.run("plan -o json").await.json();
    assert!(planned["actions"].as_array().unwrap().iter().all(|action| action["action"] == "mark"), "{planned:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_ended_while_an_organization_is_not_seen() {
    for is_lost in [false, true] {
        let desk = desk().await;
        desk.sandbox.world().settings.boot = Duration::from_mins(1);
        desk.reconfigure("name = \"linux-x64\"\n", "name = \"linux-x64\"\ntrim = true\nidle_confirm = \"1m\"\n");
        queue(&desk, "globex/api", 2);
        let applied = async |code| {
            let ran = desk.run("apply --yes -o json").await;
            assert_eq!(ran.code, code, "{ran:#?}");
            let actions = ran.json()["actions"].as_array().unwrap().clone();
            actions.iter().map(|action| action["action"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(applied(0).await, ["launch", "launch"]);
        let jobs = desk.sandbox.world().job_ids();
        for job in jobs {
            desk.sandbox.world().cancel(job);
        }
        desk.sandbox.advance(Duration::from_mins(2));
        assert!(applied(0).await.iter().all(|action| action == "mark"));
        // Beyond `boot_timeout`, before the host's own `idle_timeout`.
        desk.sandbox.advance(Duration::from_mins(4));
        if is_lost {
            let said = "Resource protected by organization SAML enforcement.";
            desk.sandbox.fault(Fault::github("/orgs/globex/repos?").status(403).message(said).times(9));
        }
        let actions = applied(if is_lost { 3 } else { 0 }).await;
        let ends = actions.iter().any(|action| ["deregister", "terminate"].contains(&action.as_str()));
        assert_eq!(ends, !is_lost, "{actions:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scale_set_is_the_enterprises() {
    let desk = desk().await;
    desk.reconfigure("name = \"linux-x64\"\n", "name = \"linux-x64\"\nscale_set = \"linux-x64\"\n");
    let made = desk.run("scale-set create linux-x64 -o json").await;
    assert_eq!((made.code, &made.json()["result"]), (0, &json!("created")), "{made:#?}");
    assert_eq!(desk.calls(Service::Github, "POST /enterprises/megacorp/actions/runners/registration-token").len(), 1);
    desk.sandbox.world().enterprise_scale_set("linux-x64").listened(5);
    queue(&desk, "globex/api", 2);
    let ran = desk.run("status -o json --source scale-set --pool linux-x64").await;
    assert_eq!((ran.code, queued(&ran).0), (0, 2), "{ran:#?}");
    let ran = desk.run("compare -o json --pool linux-x64").await;
    assert_eq!((ran.code, &ran.json()["pools"][0]["verdict"]), (0, &json!("agree")), "{ran:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_is_closed_to_an_organization_is_the_cause_of_a_difference() {
    let desk = desk().await;
    let pool = "name = \"linux-x64\"\n";
    desk.reconfigure(pool, &format!("{pool}scale_set = \"linux-x64\"\nrunner_group = \"builders\"\n"));
    {
        let mut world = desk.sandbox.world();
        world.enterprise_group("builders").for_organizations(["acme"]);
        world.enterprise_scale_set("linux-x64").labels(X64).group("builders").listened(9);
        for repository in ["acme/api", "globex/api"] {
            world.repository(repository).run().aged(Duration::from_mins(10)).job(X64).lasting(HOUR);
        }
    }
    let ran = desk.run("compare -o json --pool linux-x64").await;
    let causes = &ran.json()["pools"][0]["causes"];
    assert_eq!((&causes[0]["code"], &causes[0]["count"]), (&json!("group_not_visible"), &1.into()), "{ran:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_serves_jobs_of_any_organization() {
    let desk = desk().await;
    desk.reconfigure("name = \"linux-x64\"\n", "name = \"linux-x64\"\nscale_set = \"linux-x64\"\n");
    {
        let mut world = desk.sandbox.world();
        world.settings.scale_sets.poll_hold = Duration::from_millis(300);
        world.enterprise_scale_set("linux-x64").labels(X64);
    }
    let listening = desk.command("listen -o json").stdout(std::process::Stdio::null()).spawn().unwrap();
    until(|| !desk.calls(Service::Actions, "POST /_apis/runtime/runnerscalesets/1/sessions").is_empty()).await;
    queue(&desk, "acme/api", 1);
    queue(&desk, "globex/api", 1);
    until(|| desk.sandbox.world().instance_states().len() == 2).await;
    assert_eq!(desk.calls(Service::Actions, "generatejitconfig").len(), 2);
    drop(listening);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_is_not_open_to_the_organization_is_what_fails() {
    let desk = desk().await;
    desk.reconfigure("name = \"linux-x64\"\n", "name = \"linux-x64\"\nrunner_group = \"builders\"\n");
    let group = desk.sandbox.world().enterprise_group("builders").for_organizations(["acme"]).id();
    let explained = async |repository: &str| {
        let (run, job) = {
            let mut world = desk.sandbox.world();
            let job = world.repository(repository).run().job(X64).lasting(HOUR);
            (job.run_id(), job.id())
        };
        let url = format!("{}/{repository}/actions/runs/{run}/job/{job}", desk.sandbox.endpoint());
        desk.run(&format!("explain {url} -o json")).await
    };
    let ran = explained("globex/api").await;
    assert_eq!((ran.code, &ran.json()["failed_step"]), (0, &json!("runner_group")), "{ran:#?}");
    let settings = format!("/enterprises/megacorp/settings/actions/runner-groups/{group}");
    assert!(ran.stdout.contains("open it to globex:") && ran.stdout.contains(&settings), "{ran:#?}");
    let ran = explained("acme/api").await;
    assert_ne!(ran.json()["failed_step"], "runner_group", "{ran:#?}");
    assert!(ran.stdout.contains("of 1 chosen organization"), "{ran:#?}");
}
