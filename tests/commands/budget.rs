//! What is shown when not everything may be asked: what is known, as what it is, and nothing is ended on it.

use std::time::Duration;

use ghascale::sandbox::{Fault, Service};
use serde_json::Value;

use super::{Desk, X64};

/// Twelve repositories with a job each.
async fn dozen() -> Desk {
    let desk = Desk::open().await;
    for nth in 0..12 {
        let name = format!("r{nth:02}");
        desk.sandbox.world().repository(&name).run().job(X64).lasting(Duration::from_hours(1));
    }
    desk
}

fn codes(report: &Value) -> Vec<&str> {
    report["warnings"].as_array().unwrap().iter().map(|warning| warning["code"].as_str().unwrap()).collect()
}

fn reads(desk: &Desk) -> usize {
    desk.calls(Service::Github, "GET").len()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_the_budget_is_asked_and_what_is_known_is_a_lower_bound() {
    let desk = dozen().await;
    let ran = desk.run("--max-requests 20 status -o json").await;
    let report = ran.json();
    assert_eq!((ran.code, reads(&desk)), (3, 20), "{ran:#?}");
    let pool = &report["pools"][2];
    let queued = pool["queued"].as_u64().unwrap();
    assert!((1..12).contains(&queued), "{pool:#}");
    assert_eq!((&pool["count_kind"], codes(&report)), (&"at_least".into(), vec!["budget_ended"]));
    assert!(ran.stderr.contains("--max-requests"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lower_bound_is_shown_as_one_in_every_table() {
    let desk = dozen().await;
    let url = desk.sandbox.url();
    let pools = desk.run("--max-requests 20 --no-cache status").await;
    assert!(pools.stdout.contains('≥'), "{pools:#?}");
    let plan = desk.run("--max-requests 20 --no-cache plan").await;
    let row = plan.stdout.lines().find(|line| line.starts_with("linux-x64")).unwrap();
    assert_eq!(row.matches('≥').count(), 2, "demand and target: {plan:#?}");
    let sums = &desk.run("--max-requests 20 --no-cache plan -o json").await.json()["pools"][2];
    assert_eq!(sums["count_kind"], "at_least", "{sums:#}");
    let mut bare = dozen().await;
    bare.without("GHASCALE_CONFIG");
    std::fs::remove_file(bare.file("ghascale.toml")).unwrap();
    let url = url.replace(&desk.sandbox.endpoint(), &bare.sandbox.endpoint());
    let sets = bare.run(&format!("--url {url} --max-requests 20 --no-cache status")).await;
    assert!(sets.stdout.contains('≥'), "{sets:#?}");
    let none = bare.run(&format!("--url {url} --max-requests 2 --no-cache status")).await;
    assert!(none.stdout.contains("in what could be read"), "{none:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_again_is_shown_as_it_was_with_its_age() {
    let desk = dozen().await;
    assert_eq!(desk.run("status").await.code, 0);
    desk.sandbox.world().repository("r00").run().job(X64);
    let ran = desk.run("--max-requests 2 status -o json").await;
    let report = ran.json();
    let pool = &report["pools"][2];
    assert_eq!(ran.code, 3, "{ran:#?}");
    // The list of repositories is known to be whole: all that is missing is how they are now.
    assert_eq!((&pool["queued"], &pool["count_kind"]), (&12.into(), &"stale".into()), "{pool:#}");
    assert!(pool["age_seconds"].as_u64().is_some_and(|ago| ago >= 1), "{pool:#}");
    let table = desk.run("--max-requests 2 status").await.stdout;
    assert!(table.contains("~12") && table.contains("was seen"), "{table}");
    let plan = desk.run("--max-requests 2 plan").await.stdout;
    assert!(plan.contains("~12") && plan.contains("was seen"), "{plan}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_is_too_small_is_not_made_up_for_by_a_cache_that_is_not_used() {
    let desk = dozen().await;
    for (line, goes_on) in [("--max-requests 1 status", true), ("--no-cache --max-requests 1 status", false)] {
        let ran = desk.run(line).await;
        let hint = ran.stderr.lines().find(|line| line.starts_with("hint:")).unwrap();
        assert_eq!((ran.code, hint.contains("is kept")), (75, goes_on), "{ran:#?}");
        assert!(hint.contains("raise `--max-requests`"), "{hint}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exhausted_limit_shows_what_is_known_and_75_where_nothing_is() {
    let later = (jiff::Timestamp::now().as_second() + 3000).to_string();
    let exhausted = || {
        let fault = Fault::github("").status(403).header("x-ratelimit-remaining", "0");
        fault.header("x-ratelimit-reset", &later).times(9999)
    };
    let desk = dozen().await;
    desk.sandbox.fault(exhausted());
    let ran = desk.run("status").await;
    assert_eq!((ran.code, ran.stdout.as_str()), (75, ""), "{ran:#?}");

    let desk = dozen().await;
    assert_eq!(desk.run("status").await.code, 0);
    desk.sandbox.fault(exhausted());
    desk.sandbox.forget_calls();
    let ran = desk.run("status -o json").await;
    let report = ran.json();
    let pool = &report["pools"][2];
    assert_eq!((ran.code, &pool["queued"], &pool["count_kind"]), (3, &12.into(), &"at_least".into()), "{ran:#?}");
    assert!(codes(&report).contains(&"rate_limited") && pool["runners"].is_null(), "{report:#}");
    assert_eq!(reads(&desk), 1, "one refusal is enough");
    // With the supply unknown nothing is planned.
    assert_eq!(desk.run("plan -o json").await.json()["actions"], serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_ended_on_what_is_not_known_now() {
    let desk = Desk::open().await;
    desk.jobs(1, X64);
    desk.sandbox.world().fail_next_boots(1);
    assert_eq!(desk.run("apply --yes").await.code, 0);
    desk.sandbox.advance(Duration::from_mins(6));
    let is_end = |action: &&Value| action["action"] == "deregister" || action["action"] == "terminate";
    let ends = |report: Value| report["actions"].as_array().unwrap().iter().filter(is_end).count();
    // The runners and the repositories are read, and then no more.
    let held = desk.run("--max-requests 3 plan -o json").await;
    assert_eq!((held.code, ends(held.json())), (3, 0), "{held:#?}");
    assert_eq!(ends(desk.run("plan -o json").await.json()), 1, "with all known, the boot that failed loses its record");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_hourly_limit_only_the_share_is_used() {
    let desk = dozen().await;
    desk.reconfigure("[scan]\n", "[scan]\nrate_limit_share = 80\n");
    desk.sandbox.world().rate_limit(100, 30);
    let ran = desk.run("status -o json").await;
    let left = ran.json()["api"]["rate_limit_remaining"].as_u64().unwrap();
    assert_eq!(ran.code, 3, "{ran:#?}");
    // What is under way when the share ends is answered all the same.
    assert!((4..=20).contains(&left), "{left}");
    assert!(ran.stderr.contains("rate_limit_share"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secondary_limit_is_obeyed_by_every_task() {
    let desk = dozen().await;
    let fault = Fault::github("/repos/acme/r03/").status(403).message("You have exceeded a secondary rate limit.");
    desk.sandbox.fault(fault.header("retry-after", "1"));
    let ran = desk.run("status -o json").await;
    assert_eq!((ran.code, &ran.json()["pools"][2]["queued"]), (0, &12.into()), "{ran:#?}");
    let refused = desk.sandbox.calls().iter().filter(|call| call.status == Some(403)).count();
    assert_eq!(refused, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_fails_shows_what_was_seen_of_it() {
    let desk = dozen().await;
    assert_eq!(desk.run("status").await.code, 0);
    desk.sandbox.fault(Fault::github("/repos/acme/r03/").status(500).times(99));
    let ran = desk.run("status -o json").await;
    let report = ran.json();
    let pool = &report["pools"][2];
    assert_eq!((ran.code, &pool["queued"], &pool["count_kind"]), (3, &12.into(), &"stale".into()), "{ran:#?}");
    assert_eq!(codes(&report), ["repository_failed"]);
    // 404 is an answer about the repository: what was seen of it before is not shown then.
    let desk = dozen().await;
    assert_eq!(desk.run("status").await.code, 0);
    desk.sandbox.fault(Fault::github("/repos/acme/r03/").status(404).times(99));
    let gone = desk.run("status -o json").await.json();
    assert_eq!((&gone["pools"][2]["queued"], &gone["pools"][2]["count_kind"]), (&11.into(), &"at_least".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_of_nothing_is_wrong_usage() {
    let desk = dozen().await;
    assert_eq!(desk.run("--max-requests 0 status").await.code, 64);
    desk.reconfigure("[scan]\n", "[scan]\nrate_limit_share = 0\n");
    let ran = desk.run("status").await;
    assert!(ran.code == 64 && ran.stderr.contains("allowed: 1 to 100"), "{ran:#?}");
    assert_eq!(reads(&desk), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_secondary_limit_nobody_goes_on_asking() {
    let desk = dozen().await;
    desk.reconfigure("[scan]\n", "[scan]\nconcurrency = 4\n");
    desk.sandbox.world().settings.secondary_limit = Some(18);
    // For longer than anybody waits; on an answer that is no refusal it means nothing.
    desk.sandbox.fault(Fault::github("").header("retry-after", "3600").times(999));
    let ran = desk.run("status -o json").await;
    let report = ran.json();
    assert_eq!(ran.code, 3, "{ran:#?}");
    assert_eq!((&report["pools"][2]["count_kind"], codes(&report)), (&"at_least".into(), vec!["rate_limited"]));
    let refused = desk.sandbox.calls().iter().filter(|call| call.status == Some(403)).count();
    assert!((1..=4).contains(&refused), "{refused}: only what was under way already is refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_rate_limits_is_read_whole_at_once() {
    let desk = dozen().await;
    desk.reconfigure("requests_per_minute = 6000\n", "");
    desk.sandbox.world().settings.rate_limits = false;
    for nth in 0..250 {
        desk.sandbox.world().repository(&format!("more-{nth:03}"));
    }
    for _ in 0..2 {
        let ran = desk.run("status -o json").await;
        let report = ran.json();
        assert_eq!((ran.code, &report["pools"][2]["count_kind"]), (0, &"exact".into()), "{ran:#?}");
        assert_eq!((&report["scan"]["whole"], &report["api"]["rate_limit_remaining"]), (&true.into(), &Value::Null));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn repositories_on_a_page_that_is_lost_are_looked_at_if_they_were_known_before() {
    let desk = dozen().await;
    for nth in 0..120 {
        desk.sandbox.world().repository(&format!("a{nth:03}"));
    }
    assert_eq!(desk.run("status").await.code, 0);
    // The dozen stands on the second page.
    desk.sandbox.fault(Fault::github("sort=full_name&type=all&page=2").status(500).times(9));
    desk.sandbox.world().repository("r00").run().job(X64);
    let ran = desk.run("status -o json").await;
    let report = ran.json();
    let pool = &report["pools"][2];
    // Others could have come to that page since.
    assert_eq!((ran.code, &pool["queued"], &pool["count_kind"]), (3, &13.into(), &"at_least".into()), "{ran:#?}");
    assert_eq!(codes(&report), ["discovery_failed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn never_more_requests_are_under_way_than_github_allows() {
    let desk = dozen().await;
    desk.reconfigure("requests_per_minute = 6000\n", "");
    desk.reconfigure("[scan]\n", "[scan]\nconcurrency = 100\n");
    {
        let mut world = desk.sandbox.world();
        world.settings.rate_limits = false;
        world.settings.round_trip = Duration::from_millis(50);
        for nth in 0..300 {
            world.repository(&format!("more-{nth:03}")).run().job(X64);
        }
    }
    let ran = desk.run("status -o json").await;
    assert_eq!((ran.code, &ran.json()["pools"][2]["count_kind"]), (0, &"exact".into()), "{ran:#?}");
    assert!(desk.sandbox.calls().iter().all(|call| call.status == Some(200)));
    // It is met, where it is lower than what we ask at once.
    desk.sandbox.world().settings.concurrency_limit = Some(20);
    desk.sandbox.forget_calls();
    desk.sandbox.fault(Fault::github("").header("retry-after", "3600").times(9999));
    let ran = desk.run("--no-cache status -o json").await;
    assert_eq!(ran.code, 3, "{ran:#?}");
    assert!(desk.sandbox.calls().iter().any(|call| call.status == Some(403)));
}

fn launches(report: &Value) -> usize {
    let actions = report["actions"].as_array().unwrap();
    actions.iter().filter(|action| action["action"] == "launch").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_was_seen_before_its_runner_took_it_is_not_launched_for_again() {
    for flags in ["", "--max-requests 2 "] {
        let desk = Desk::open().await;
        desk.sandbox.world().settings.boot = Duration::from_secs(5);
        {
            let mut world = desk.sandbox.world();
            for _ in 0..3 {
                world.repository("api").run().job(X64).lasting(Duration::from_hours(1));
            }
        }
        assert_eq!(launches(&desk.run("apply --yes -o json").await.json()), 3);
        desk.sandbox.advance(Duration::from_secs(30));
        if flags.is_empty() {
            desk.sandbox.fault(Fault::github("/repos/acme/api/").status(502).times(999));
        }
        let line = format!("{flags}apply --yes -o json");
        let ran = desk.run(&line).await;
        assert_eq!((ran.code, launches(&ran.json())), (3, 0), "{flags}: its three runners are busy: {ran:#?}");
        let queued = desk.run(&format!("{flags}status -o json")).await.json()["pools"][2]["queued"].clone();
        assert_eq!(queued, 3, "what was seen is shown as it was");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_is_one_that_its_runner_has_done_since() {
    let desk = Desk::open().await;
    {
        let mut world = desk.sandbox.world();
        (world.settings.boot, world.settings.shutdown) = (Duration::from_millis(300), Duration::from_millis(50));
        world.repository("api").run().job(X64).lasting(Duration::from_millis(300));
    }
    assert_eq!(launches(&desk.run("apply --yes -o json").await.json()), 1);
    desk.sandbox.fault(Fault::github("/repos/acme/api/").status(502).times(999));
    super::until(|| desk.sandbox.world().runner_names().is_empty()).await;
    let ran = desk.run("apply --yes -o json").await;
    assert_eq!((ran.code, launches(&ran.json())), (3, 0), "{ran:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_came_since_is_launched_for_beside_those_that_may_have_their_runners() {
    let desk = Desk::open().await;
    desk.sandbox.world().settings.boot = Duration::from_secs(5);
    desk.jobs(2, X64);
    assert_eq!(launches(&desk.run("apply --yes -o json").await.json()), 2);
    desk.sandbox.advance(Duration::from_secs(30));
    desk.sandbox.fault(Fault::github("/repos/acme/api/").status(502).times(999));
    desk.sandbox.world().repository("web").run().job(X64);
    assert_eq!(launches(&desk.run("apply --yes -o json").await.json()), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_until_a_time_that_has_passed_is_waited_for_all_the_same() {
    let desk = dozen().await;
    let past = (jiff::Timestamp::now().as_second() - 30).to_string();
    let fault = Fault::github("/repos/acme/r03/").status(403).header("x-ratelimit-remaining", "0");
    desk.sandbox.fault(fault.header("x-ratelimit-reset", &past));
    let ran = desk.run("status -o json").await;
    assert_eq!((ran.code, &ran.json()["pools"][2]["queued"]), (0, &12.into()), "{ran:#?}");
    assert!(ran.stderr.contains("rate limit: waiting"), "{}", ran.stderr);
    assert_eq!(desk.sandbox.calls().iter().filter(|call| call.status == Some(403)).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_of_registrations_is_not_that_of_reads() {
    let desk = dozen().await;
    let reset = (jiff::Timestamp::now().as_second() + 3000).to_string();
    let fault = Fault::github("generate-jitconfig").status(403).message("API rate limit exceeded").times(99);
    let fault = fault.header("x-ratelimit-remaining", "0").header("x-ratelimit-reset", &reset);
    desk.sandbox.fault(fault.header("x-ratelimit-resource", "actions_runner_registration"));
    assert_ne!(desk.run("apply --yes").await.code, 0);
    let refused = desk.calls(Service::Github, "generate-jitconfig").len();
    assert!(refused < 12, "{refused}: the others are not tried");
    assert_ne!(desk.run("apply --yes").await.code, 0);
    assert_eq!(desk.calls(Service::Github, "generate-jitconfig").len(), refused, "nor is the next process");
    let ran = desk.run("status -o json").await;
    assert_eq!((ran.code, &ran.json()["pools"][2]["queued"]), (0, &12.into()), "{ran:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_process_heeds_a_refusal_too() {
    let desk = dozen().await;
    assert_eq!(desk.run("status").await.code, 0);
    desk.sandbox.fault(Fault::github("/orgs/acme/repos").status(429).header("retry-after", "3000"));
    desk.run("status").await;
    desk.sandbox.forget_calls();
    let ran = desk.run("status -o json").await;
    assert_eq!((ran.code, &ran.json()["pools"][2]["queued"], reads(&desk)), (3, &12.into(), 0), "{ran:#?}");
    assert_eq!(desk.run("--no-cache status").await.code, 0, "without what is kept it is not known");
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_are_refused_again_and_again_are_not_sent_for_every_repository() {
    let desk = dozen().await;
    for nth in 0..80 {
        desk.sandbox.world().repository(&format!("more-{nth:02}"));
    }
    desk.sandbox.fault(Fault::github("/actions/runs").status(401).times(999));
    let ran = desk.run("status -o json").await;
    assert_ne!(ran.code, 0, "{ran:#?}");
    let refused = desk.sandbox.calls().iter().filter(|call| call.status == Some(401)).count();
    assert!(refused <= 32, "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_repositories_that_fails_shows_those_of_the_last_look() {
    let desk = dozen().await;
    assert_eq!(desk.run("status").await.code, 0);
    desk.sandbox.fault(Fault::github("/orgs/acme/repos").status(502).times(9));
    let ran = desk.run("status -o json").await;
    let report = ran.json();
    let pool = &report["pools"][2];
    assert_eq!((ran.code, &pool["queued"], &pool["count_kind"]), (3, &12.into(), &"at_least".into()), "{ran:#?}");
    assert_eq!(codes(&report), ["discovery_failed"]);
}
