//! Bad answers from the network, seen through the commands: a clear word, the right exit code, nothing lost.

use std::time::Duration;

use ghascale::sandbox::Fault;
use serde_json::{Value, json};

use super::{Desk, Ran, X64};

async fn desk() -> Desk {
    let desk = Desk::open().await;
    desk.jobs(1, X64);
    desk.sandbox.world().repository("web").run().job(X64);
    desk
}

fn is_clear(ran: &Ran, request: &str) {
    assert!(!ran.all().contains("panicked"), "{ran:#?}");
    assert!(ran.all().contains(request), "the request is not named: {ran:#?}");
}

/// One repository fails: the other's job is shown, the count is a lower bound, and the exit code says so.
async fn one_repository_fails(fault: Fault) {
    let desk = desk().await;
    desk.sandbox.fault(fault.times(9));
    let ran = desk.run("status -o json").await;
    assert_eq!(ran.code, 3, "{ran:#?}");
    is_clear(&ran, "/repos/acme/web/actions/runs");
    let pool = &ran.json()["pools"][2];
    assert_eq!((&pool["queued"], &pool["count_kind"]), (&1.into(), &"at_least".into()), "{pool:#}");
    assert!(desk.run("status").await.stdout.contains("≥"), "a lower bound is shown as one");
    let plan = desk.run("plan -o json").await;
    assert_eq!((plan.code, &plan.json()["pools"][2]["launch"]), (3, &1.into()), "what is known is launched for");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_answers_500() {
    one_repository_fails(Fault::github("/repos/acme/web/actions/runs").status(500)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_answers_with_html() {
    let html = "<html><body>Bad Gateway</body></html>";
    one_repository_fails(Fault::github("/repos/acme/web/actions/runs").status(502).body(html)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_answers_with_half_an_object() {
    one_repository_fails(Fault::github("/repos/acme/web/actions/runs").truncated(40)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_answers_with_nulls() {
    let nulls = r#"{"total_count":null,"workflow_runs":null}"#;
    one_repository_fails(Fault::github("/repos/acme/web/actions/runs").status(200).body(nulls)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_may_not_be_read() {
    one_repository_fails(Fault::github("/repos/acme/web/actions/runs").status(403)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_redirects_elsewhere() {
    one_repository_fails(Fault::github("/repos/acme/web/actions/runs").redirected("http://127.0.0.2:1/steal")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_whose_connection_breaks() {
    one_repository_fails(Fault::github("/repos/acme/web/actions/runs").dropped_before()).await;
}

/// Returns the words of the row of the pool `linux-x64`.
fn row(table: &str) -> Vec<&str> {
    let row = table.lines().find(|line| line.starts_with("linux-x64"));
    row.unwrap_or_else(|| panic!("no such row: {table}")).split_whitespace().collect()
}

/// Says of `plan` and `apply` that they don't know what there is to do, and launch and end nothing.
async fn nothing_is_known_to_do(desk: &Desk) {
    let unknown = "what there is to do is not known: runners or instances could not be read whole";
    for (line, said) in [("plan", format!("plan: {unknown}")), ("apply --yes", format!("applied: {unknown}"))] {
        let ran = desk.run(line).await;
        assert!(ran.code == 3 && ran.stdout.contains(&said), "{ran:#?}");
    }
    assert!(desk.calls(ghascale::sandbox::Service::Ec2, "TerminateInstances").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_runner_records_no_machine_is_said_to_be_ending_and_no_supply_to_be_none() {
    let desk = Desk::open().await;
    desk.sandbox.world().settings.boot = Duration::from_mins(2);
    desk.jobs(1, X64);
    assert_eq!(desk.run("apply --yes").await.code, 0);
    desk.sandbox.advance(Duration::from_mins(6));
    assert_eq!(desk.run("status -o json").await.json()["pools"][2]["instances"]["busy"], 1);
    desk.sandbox.fault(Fault::github("/orgs/acme/actions/runners").status(403).times(99));
    let ran = desk.run("status -o json").await;
    let pool = &ran.json()["pools"][2];
    assert_eq!((ran.code, &pool["runners"], &pool["instances"]["up"]), (3, &Value::Null, &1.into()), "{pool:#}");
    let states = pool["instances"].as_object().unwrap();
    assert!(states.iter().all(|(state, count)| state == "up" || count.is_null()), "{pool:#}");
    assert!(ran.stderr.contains("Self-hosted runners: read"), "{}", ran.stderr);
    let table = desk.run("status").await.stdout;
    assert_eq!(row(&table), ["linux-x64", "-", "1", "-", "?", "?", "?", "?", "?", "?", "8"], "{table}");
    assert!(table.contains("1 instance is up"), "{table}");
    let ran = desk.run("plan -o json").await;
    let sums = &ran.json()["pools"][2];
    assert_eq!((&sums["demand"], &sums["supply"], &sums["target"]), (&Value::Null, &Value::Null, &Value::Null));
    assert_eq!(row(&desk.run("plan").await.stdout), ["linux-x64", "?", "?", "?", "-", "-"]);
    nothing_is_known_to_do(&desk).await;
    // Where another pool's labels fit as well, whose runner has the job is not guessed.
    let text = std::fs::read_to_string(desk.file("ghascale.toml")).unwrap();
    let other = "[[pool]]\nname = \"aa-linux\"\nlabels = [\"self-hosted\", \"linux\", \"x64\"]\nmax = 1\n";
    desk.configure(&format!("{text}\n{other}"));
    let pools = desk.run("status -o json").await.json()["pools"].clone();
    let running: Vec<&Value> = pools.as_array().unwrap().iter().map(|pool| &pool["in_progress"]).collect();
    assert_eq!(running, [&Value::Null, &0.into(), &0.into(), &Value::Null], "{pools:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_instances_supply_is_unknown_and_demand_is_not() {
    let desk = desk().await;
    for status in [500, 403] {
        desk.sandbox.fault(Fault::ec2("DescribeInstances").status(status).times(99));
        let ran = desk.run("plan -o json").await;
        let sums = &ran.json()["pools"][2];
        assert_eq!(
            (&sums["demand"], &sums["supply"], &sums["target"]),
            (&2.into(), &Value::Null, &2.into()),
            "{ran:#?}"
        );
        assert_eq!((&sums["launch"], &sums["count_kind"]), (&0.into(), &json!("exact")));
        assert_eq!(row(&desk.run("plan").await.stdout), ["linux-x64", "2", "?", "2", "-", "-"]);
        nothing_is_known_to_do(&desk).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_credentials_give_no_answer() {
    let mut desk = desk().await;
    desk.with("GITHUB_TOKEN", "wrong");
    for line in ["status", "plan", "status -o json"] {
        let ran = desk.run(line).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:#?}");
        assert!(ran.stderr.contains("401") && ran.stderr.contains("hint:"), "{}", ran.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organization_that_is_not_there_gives_no_answer() {
    let desk = desk().await;
    let ran = desk.run(&format!("--url {}/nobody status", desk.sandbox.endpoint())).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:#?}");
    is_clear(&ran, "404");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_at_the_address_gives_no_answer() {
    let desk = desk().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let free = listener.local_addr().unwrap();
    drop(listener);
    let ran = desk.run(&format!("--url http://{free}/acme status")).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:#?}");
    is_clear(&ran, &free.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exhausted_rate_limit_means_try_again() {
    let desk = desk().await;
    let later = (jiff::Timestamp::now().as_second() + 3000).to_string();
    let fault = Fault::github("/orgs/acme/repos").status(403).header("x-ratelimit-remaining", "0");
    desk.sandbox.fault(fault.header("x-ratelimit-reset", &later).times(9));
    let ran = desk.run("status").await;
    assert_eq!((ran.code, ran.stdout.as_str()), (75, ""), "{ran:#?}");
    assert!(ran.stderr.contains("try again after"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_that_ends_in_the_middle_shows_what_is_known() {
    let desk = desk().await;
    let fault = Fault::github("/repos/acme/web/actions/runs").status(429).header("retry-after", "3600").times(9);
    desk.sandbox.fault(fault);
    let ran = desk.run("status -o json").await;
    assert_eq!(ran.code, 3, "{ran:#?}");
    assert!(ran.json()["warnings"].as_array().unwrap().iter().any(|warning| warning["code"] == "rate_limited"));
}

#[tokio::test(flavor = "multi_thread")]
async fn supply_that_is_not_known_whole_means_no_action_at_all() {
    for fault in [
        Fault::ec2("DescribeInstances").status(500).code("InternalError").times(99),
        Fault::ec2("DescribeInstances").status(403).code("UnauthorizedOperation").times(99),
        Fault::github("/orgs/acme/actions/runners?").status(500).times(99),
        Fault::github("/orgs/acme/actions/runners?").status(403).times(99),
    ] {
        let desk = desk().await;
        desk.sandbox.fault(fault.clone());
        for line in ["plan -o json", "apply --yes -o json"] {
            let ran = desk.run(line).await;
            assert_eq!(ran.code, 3, "{fault:?} {ran:#?}");
            assert_eq!(ran.json()["actions"], serde_json::json!([]), "{fault:?}");
        }
        let status = desk.run("status -o json").await;
        assert_eq!(status.code, 3, "{fault:?} {status:#?}");
        let pool = &status.json()["pools"][2];
        assert!(pool["instances"].is_null() || pool["runners"].is_null(), "unknown is null, never 0: {pool:#}");
        assert_eq!(pool["queued"], 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_aws_credentials_stop_an_apply() {
    let desk = desk().await;
    desk.sandbox.fault(Fault::ec2("RunInstances").status(403).code("UnauthorizedOperation").times(99));
    let ran = desk.run("apply --yes").await;
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert_eq!(desk.calls(ghascale::sandbox::Service::Ec2, "RunInstances").len(), 1);
    assert!(desk.sandbox.world().runner_names().is_empty(), "its registration is taken back");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_usage_is_64_with_an_empty_stdout() {
    let desk = desk().await;
    for line in ["", "stats", "plan --out", "status --source scaleset", "apply a b", "-o yaml status", "status -q -v"] {
        let ran = desk.run(line).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (64, ""), "{line}: {ran:#?}");
    }
    assert!(desk.sandbox.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_wrong_with_a_configuration_is_said_at_once() {
    let desk = desk().await;
    desk.reconfigure("max = 8", "max = 8\nmin_idel = 2\npriority = \"high\"");
    desk.reconfigure("market = \"on-demand\"", "market = \"ondemand\"");
    for line in ["status", "plan", "apply --yes"] {
        let ran = desk.run(line).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (64, ""), "{ran:#?}");
        for word in [
            "min_idel",
            "did you mean `min_idle`",
            "ondemand",
            "did you mean `on-demand`",
            "priority",
            "ghascale.toml:",
        ] {
            assert!(ran.stderr.contains(word), "{word}: {}", ran.stderr);
        }
    }
    assert!(desk.sandbox.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn why_no_connection_can_be_made_is_said_and_the_address_once() {
    let desk = desk().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    desk.reconfigure(&desk.sandbox.url(), &format!("http://{closed}/acme"));
    let ran = desk.run("status").await;
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:#?}");
    assert!(ran.stderr.contains("Connection refused"), "{}", ran.stderr);
    assert_eq!(ran.stderr.matches(&closed.to_string()).count(), 1, "{}", ran.stderr);
}
