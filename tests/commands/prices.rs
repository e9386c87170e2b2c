//! Prices and the ceiling, through the commands.

use std::time::Duration;

use ghascale::sandbox::{Fault, Service};
use insta::assert_snapshot;
use serde_json::json;

use super::{Desk, X64, redacted};

const TABLE: &str = "[ec2.prices]\n\"m7a.large\" = 0.1159\n\"m6a.large\" = 0.1024\n\"m7g.large\" = 0.0816\n";

/// A desk with a price table, and other lines in `[ec2]`.
async fn desk(lines: &str) -> Desk {
    let desk = Desk::open().await;
    desk.reconfigure("fleet = \"sandbox\"\n", &format!("fleet = \"sandbox\"\n{lines}\n{TABLE}"));
    desk
}

fn asked(desk: &Desk) -> usize {
    desk.calls(Service::Ec2, "DescribeSpotPriceHistory").len() + desk.calls(Service::Ec2, "DescribeSubnets").len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_what_it_adds_and_what_it_may_come_to() {
    let desk = desk("").await;
    desk.jobs(2, X64);
    assert_snapshot!(redacted(&desk.run("plan").await.stdout));
    let plan = desk.run("plan -o json").await.json();
    assert_eq!(plan["cost"]["added"], json!({"usd_per_hour": 0.0845, "at_least_usd_per_hour": 0.0845, "unpriced": 0}));
    assert_eq!(plan["cost"]["added_at_most"]["usd_per_hour"], json!(0.2318));
    assert_eq!(plan["actions"][1]["usd_per_hour"], json!(0.0435), "the second slot's first subnet is in another zone");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_says_what_runs_costs_now_and_what_of_it_is_idle() {
    let desk = desk("").await;
    desk.sandbox.world().settings.boot = Duration::from_secs(1);
    desk.jobs(1, X64);
    desk.reconfigure("max = 8", "min_idle = 1\nmax = 8");
    let applied = desk.run("apply --yes").await;
    assert!(applied.stdout.contains("spot m7a.large subnet-a  $0.041/h"), "{applied:#?}");
    assert!(applied.stdout.contains("applied: 2 done, 0 skipped, 0 failed; +$0.0845/h"), "{applied:#?}");
    desk.sandbox.advance(Duration::from_mins(2));
    let ran = desk.run("status").await;
    assert_snapshot!(redacted(&ran.stdout));
    let status = desk.run("status -o json").await.json();
    assert_eq!(status["cost"]["now"]["usd_per_hour"], json!(0.0845));
    let idle = &status["cost"]["idle"]["usd_per_hour"];
    assert!(*idle == json!(0.041) || *idle == json!(0.0435), "{status:#}");
    let pool = status["pools"].as_array().unwrap().iter().find(|pool| pool["name"] == "linux-x64").unwrap();
    assert_eq!(pool["cost"]["now"], status["cost"]["now"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_prices_nothing_is_asked_and_nothing_shown() {
    let desk = Desk::open().await;
    desk.jobs(1, X64);
    let plan = desk.run("plan -o json").await.json();
    let status = desk.run("status -o json").await.json();
    assert_eq!((&plan["cost"], &status["cost"], asked(&desk)), (&json!(null), &json!(null), 0));
    assert!(!desk.run("status").await.stdout.contains("$/H"));
}

#[tokio::test(flavor = "multi_thread")]
async fn spot_prices_are_not_asked_for_where_nothing_is_bought_as_spot() {
    let desk = desk("").await;
    desk.reconfigure("market = \"spot-then-on-demand\"", "market = \"on-demand\"");
    desk.jobs(1, X64);
    let plan = desk.run("plan -o json").await.json();
    assert_eq!((&plan["cost"]["added"]["usd_per_hour"], asked(&desk)), (&json!(0.1159), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn spot_prices_that_are_refused_are_unknown_and_fail_nothing() {
    for (action, code) in [
        ("DescribeSubnets", "UnauthorizedOperation"),
        ("DescribeSpotPriceHistory", "UnauthorizedOperation"),
        ("DescribeSpotPriceHistory", "InternalError"),
    ] {
        let desk = desk("").await;
        desk.jobs(2, X64);
        desk.sandbox.fault(Fault::ec2(action).code(code).times(100));
        let ran = desk.run("plan -o json").await;
        let plan = ran.json();
        assert_eq!(ran.code, 0, "{ran:#?}");
        let unknown = json!({"usd_per_hour": null, "at_least_usd_per_hour": 0.0, "unpriced": 2});
        assert_eq!(plan["cost"]["added"], unknown);
        let warning = &plan["warnings"][0];
        assert_eq!((&warning["code"], &warning["subject"]), (&json!("prices_failed"), &json!("spot prices")));
        let has_cure = warning["message"].as_str().unwrap().contains("allow `ec2:DescribeSpotPriceHistory`");
        assert_eq!(has_cure, code == "UnauthorizedOperation", "{warning}");
        let said = "plan: 2 to launch (+n/a (2 without a known price), at most $0.2318/h)";
        let ran = desk.run("plan").await;
        assert!(ran.stdout.contains(said), "{ran:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ceiling_holds_launches_back_and_says_so() {
    let desk = desk("max_usd_per_hour = 0.25").await;
    desk.jobs(4, X64);
    let ran = desk.run("plan").await;
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_snapshot!(redacted(&ran.stdout));
    assert_eq!(desk.run("apply --yes").await.code, 0);
    // What was bought is cheaper than what it could have come to: there is room for another.
    for _ in 0..4 {
        assert_eq!(desk.run("apply --yes").await.code, 0);
    }
    assert_eq!(desk.calls(Service::Ec2, "RunInstances").len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fallback_to_on_demand_does_not_break_the_ceiling() {
    let desk = desk("max_usd_per_hour = 0.25").await;
    desk.jobs(4, X64);
    for instance_type in ["m7a.large", "m6a.large"] {
        for subnet in ["subnet-a", "subnet-b"] {
            desk.sandbox.world().capacity(ghascale::engine::Market::Spot, instance_type, subnet, Some(0));
        }
    }
    for _ in 0..3 {
        desk.run("apply --yes").await;
    }
    let status = desk.run("status -o json").await.json();
    assert_eq!(status["cost"]["now"]["usd_per_hour"], json!(0.2318), "two on demand, and no third");
}

#[tokio::test(flavor = "multi_thread")]
async fn under_a_ceiling_what_has_no_price_is_not_launched_and_the_cure_is_said() {
    let desk = desk("max_usd_per_hour = 100").await;
    desk.jobs(1, ["self-hosted", "linux", "gpu"]);
    let ran = desk.run("apply --yes -o json").await;
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert!(desk.calls(Service::Ec2, "RunInstances").is_empty());
    let said = ran.json();
    assert_eq!(said["unschedulable"][0]["reason"]["code"], "price_unknown");
    let warnings = said["warnings"].as_array().unwrap();
    assert!(
        warnings.iter().any(|one| one["code"] == "price_unknown"
            && one["subject"] == "gpu"
            && one["message"].as_str().unwrap().contains("`g5.xlarge` has no known price")),
        "{warnings:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_file_of_prices_is_refused_before_anything_is_called() {
    let desk = Desk::open().await;
    desk.reconfigure("fleet = \"sandbox\"\n", "fleet = \"sandbox\"\nprices_file = \"prices.toml\"\n");
    std::fs::write(desk.file("prices.toml"), "as_of = 2026-11-24\n[eu-north-1]\n\"m7a.large\" = \"cheap\"\n").unwrap();
    for command in ["plan", "status"] {
        let ran = desk.run(command).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (64, ""), "{ran:#?}");
        assert!(
            ran.stderr.contains("prices.toml:3:15") && ran.stderr.contains("a number of dollars"),
            "{}",
            ran.stderr
        );
    }
    assert!(desk.sandbox.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_file_buys_nothing_that_it_does_not_name() {
    let desk = desk("max_usd_per_hour = 0.13").await;
    desk.sandbox.world().settings.boot = Duration::from_secs(1);
    desk.sandbox
        .world()
        .repository("api")
        .run()
        .job(["self-hosted", "linux", "arm64"])
        .lasting(Duration::from_secs(30));
    assert_eq!(desk.run("apply --yes").await.code, 0);
    desk.jobs(1, X64);
    let planned = desk.run("plan --out spot.plan -o json").await.json();
    let launch = &planned["actions"].as_array().unwrap().iter().find(|row| row["action"] == "launch").unwrap();
    let markets = |row: &serde_json::Value| {
        let fallbacks = row["fallbacks"].as_array().cloned().unwrap_or_default();
        fallbacks.iter().chain([&row["offering"]]).all(|one| one["market"] == "spot")
    };
    assert!(markets(launch), "beside what runs on-demand doesn't fit: {launch:#}");
    // The other job is done, so on-demand would fit now: but nobody has seen that in the file.
    desk.sandbox.advance(Duration::from_mins(3));
    for instance_type in ["m7a.large", "m6a.large"] {
        for subnet in ["subnet-a", "subnet-b"] {
            desk.sandbox.world().capacity(ghascale::engine::Market::Spot, instance_type, subnet, Some(0));
        }
    }
    let ran = desk.run("apply spot.plan --yes").await;
    assert!(ran.stdout.contains("InsufficientInstanceCapacity"), "{ran:#?}");
    let on_demand = |desk: &Desk| {
        let bought = desk.calls(Service::Ec2, "RunInstances");
        bought.iter().filter(|call| !format!("{:?}", call.parameters).contains("MarketType")).count()
    };
    assert_eq!(on_demand(&desk), 0);
    assert_eq!(desk.run("apply --yes").await.code, 0);
    assert_eq!(on_demand(&desk), 1, "without a file it is bought");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_whose_answer_was_lost_for_good_has_no_known_cost() {
    let desk = desk("").await;
    desk.jobs(1, X64);
    desk.sandbox.fault(Fault::ec2("RunInstances").dropped_after().times(9));
    desk.sandbox.fault(Fault::ec2("DescribeInstances").code("InternalError").status(500).skip(1).times(9));
    let ran = desk.run("apply --yes -o json").await;
    let row = &ran.json()["actions"][0];
    assert_eq!((&row["result"], &row["may_remain"]), (&json!("failed"), &json!(true)), "{ran:#?}");
    assert_eq!(ran.json()["cost"], json!({"usd_per_hour": null, "at_least_usd_per_hour": 0.0, "unpriced": 1}));
}
