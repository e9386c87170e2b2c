//! An enterprise through a GitHub App: each organization that it is installed in with a token and a rate limit of its own.

use std::time::Duration;

use ghascale::sandbox::{Fault, Service};
use serde_json::{Value, json};

use super::{Desk, Ran, X64};
use crate::keys::private_key;

/// Opens a desk with an App that is installed in `acme` (11) and in `globex` (12), and not in `initech`.
async fn desk() -> Desk {
    let desk = Desk::open().await;
    {
        let mut world = desk.sandbox.world();
        world.enterprise("megacorp");
        world.organization("acme").installed(11);
        world.organization("globex").installed(12);
        world.organization("initech");
        for (repository, jobs) in [("acme/api", 2), ("globex/api", 3), ("initech/api", 7)] {
            for _ in 0..jobs {
                world.repository(repository).run().job(X64).lasting(Duration::from_hours(1));
            }
        }
    }
    std::fs::write(desk.file("app.pem"), private_key()).unwrap();
    desk.reconfigure(&desk.sandbox.url(), &desk.sandbox.enterprise_url("megacorp"));
    let app = "[github.app]\napp_id = 1\nprivate_key_file = \"app.pem\"\n";
    desk.reconfigure("token_env = \"GITHUB_TOKEN\"\n", app);
    desk
}

/// Returns what the pool `linux-x64` has queued, and how that is known.
fn queued(report: &Value) -> (u64, &str) {
    let pool = report["pools"].as_array().unwrap().iter().find(|pool| pool["name"] == "linux-x64").unwrap();
    (pool["queued"].as_u64().unwrap(), pool["count_kind"].as_str().unwrap())
}

/// Returns what the warnings of a code are about.
fn warned<'a>(report: &'a Value, code: &str) -> Vec<&'a str> {
    let of_code = report["warnings"].as_array().unwrap().iter().filter(|warning| warning["code"] == code);
    of_code.map(|warning| warning["subject"].as_str().unwrap()).collect()
}

fn answered(ran: &Ran, code: i32) -> Value {
    assert_eq!(ran.code, code, "{ran:#?}");
    ran.json()
}

fn mints(desk: &Desk) -> usize {
    desk.calls(Service::Github, "access_tokens").len()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_organization_is_read_with_its_own_token_which_is_kept() {
    let desk = desk().await;
    let report = answered(&desk.run("status -o json").await, 0);
    assert_eq!((queued(&report), mints(&desk)), ((5, "exact"), 2), "{report:#}");
    // What it can not see is said, and not asked for.
    assert_eq!(warned(&report, "degraded"), ["runners", "enterprises/megacorp"]);
    assert!(desk.calls(Service::Github, "/enterprises/").is_empty());
    assert_eq!(report["pools"][2]["runners"], json!(null), "{report:#}");
    assert_eq!(report["api"]["rate_limit_limit"], 10_000);

    desk.sandbox.forget_calls();
    let again = answered(&desk.run("status -o json").await, 0);
    assert_eq!((queued(&again), mints(&desk)), ((5, "exact"), 0));
    let paid = |report: &Value| report["api"]["rate_limit_remaining"].clone();
    assert_eq!(paid(&again), paid(&report), "what has not changed costs nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_that_ends_in_one_organization_stops_no_other() {
    let desk = desk().await;
    desk.sandbox.world().organization("globex").with_requests_left(0);
    let report = answered(&desk.run("status -o json").await, 3);
    assert_eq!((queued(&report), warned(&report, "organization_failed")), ((2, "at_least"), vec!["globex"]));

    let desk = self::desk().await;
    let refusal = Fault::github("/repos/globex/api/actions/runs?").status(429).header("retry-after", "3600");
    desk.sandbox.fault(refusal.times(99));
    let report = answered(&desk.run("status -o json").await, 3);
    assert_eq!((queued(&report), warned(&report, "rate_limited")), ((2, "at_least"), vec!["scan"]));
    assert_eq!(desk.calls(Service::Github, "/repos/globex/api/actions/runs?").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_that_is_suspended_or_refused_is_named_and_never_counts_as_empty() {
    let desk = desk().await;
    desk.sandbox.world().organization("globex").suspended();
    let ran = desk.run("status -o json").await;
    assert!(ran.stdout.contains("the App's installation in it is suspended"), "{ran:#?}");
    let report = answered(&ran, 3);
    assert_eq!((queued(&report), warned(&report, "organization_failed")), ((2, "at_least"), vec!["globex"]));
    assert_eq!(mints(&desk), 1, "nothing is asked for where it is known to be suspended");

    for status in [401, 403, 404, 500] {
        let desk = self::desk().await;
        desk.sandbox.fault(Fault::github("/app/installations/12/access_tokens").status(status).times(99));
        let report = answered(&desk.run("status -o json").await, 3);
        assert_eq!((queued(&report), warned(&report, "organization_failed")), ((2, "at_least"), vec!["globex"]));
    }
    let desk = self::desk().await;
    desk.sandbox.fault(Fault::github("access_tokens").status(404).times(99));
    assert_eq!(desk.run("status").await.code, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_is_installed_nowhere_or_not_known_is_a_failure() {
    let list = || Fault::github("GET /app/installations").times(9);
    for fault in [list().status(401), list().status(200).body("[]")] {
        let desk = desk().await;
        desk.sandbox.fault(fault);
        let ran = desk.run("status").await;
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organization_that_the_globs_leave_out_gets_no_token() {
    let desk = desk().await;
    desk.reconfigure("[scan]\n", "[scan]\nexclude = [\"globex/*\"]\n");
    let report = answered(&desk.run("status -o json").await, 0);
    assert_eq!((queued(&report), mints(&desk)), ((2, "exact"), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_budget_of_a_look_is_that_of_all_installations_together() {
    let desk = desk().await;
    let ran = desk.run("status -o json --max-requests 4").await;
    let report = answered(&ran, 3);
    let reads = desk.calls(Service::Github, "GET ").len();
    assert_eq!((reads, queued(&report).1), (4, "at_least"), "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_the_enterprises_runners_is_refused_before_anything_is_called() {
    let desk = desk().await;
    for line in ["plan", "apply --yes", "listen", "scale-set list", "scale-set delete linux-x64 --yes"] {
        let ran = desk.run(line).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (64, ""), "{line}: {ran:#?}");
        assert!(ran.stderr.contains("GitHub lets no App manage an enterprise's runners"), "{line}: {ran:#?}");
        assert!(ran.stderr.contains("`manage_runners:enterprise`"), "{line}: {ran:#?}");
    }
    assert!(desk.sandbox.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_explained_with_its_organizations_token() {
    let desk = desk().await;
    let (run, job) = {
        let mut world = desk.sandbox.world();
        let job = world.repository("globex/api").run().job(["windows"]);
        (job.run_id(), job.id())
    };
    let url = format!("{}/globex/api/actions/runs/{run}/job/{job}", desk.sandbox.endpoint());
    let ran = desk.run(&format!("explain {url} -o json")).await;
    assert_eq!((ran.code, &ran.json()["failed_step"]), (0, &json!("labels")), "{ran:#?}");
    let elsewhere = url.replace("globex", "initech");
    let ran = desk.run(&format!("explain {elsewhere} -o json")).await;
    assert!(ran.stderr.contains("the App is not installed in initech"), "{ran:#?}");
}
