//! The digest by which a plan file knows its configuration again.

use super::{Desk, GOOD, app_key, changed, github, scan};

const SECOND: &str = "[[pool]]\nname = \"gpu\"\nlabels = [\"gpu\"]\nmax = 1\nimage = \"ami-2\"\n\
    instance_types = [\"g6.xlarge\"]\nsubnets = [\"subnet-a\"]\n";

fn digest(text: &str) -> String {
    Desk::with(text).file("boot.sh", "one").file("other.sh", "two").config().digest
}

#[test]
fn order_and_case_that_decide_nothing_change_nothing() {
    let (head, first) = GOOD.split_once("[[pool]]").unwrap();
    assert_eq!(digest(&format!("{GOOD}{SECOND}")), digest(&format!("{head}{SECOND}[[pool]]{first}")));
    assert_eq!(digest(GOOD), digest(&changed("labels", "labels = [\"X64\", \"linux\", \"self-hosted\"]")));
    let mut lines: Vec<&str> = first.trim().lines().collect();
    lines.reverse();
    assert_eq!(digest(GOOD), digest(&format!("# a comment\n{head}[[pool]]\n{}\n", lines.join("\n"))));
    assert_eq!(digest(&scan("include = [\"a\", \"b\"]")), digest(&scan("include = [\"b\", \"a\"]")));
    let tags = |tags: &str| digest(&format!("{GOOD}[pool.tags]\n{tags}"));
    assert_eq!(tags("a = '1'\nb = '2'"), tags("b = '2'\na = '1'"));
}

#[test]
fn every_setting_that_decides_changes_it() {
    let texts = [
        GOOD.to_owned(),
        format!("{GOOD}{SECOND}"),
        github("url = \"https://github.com/other\""),
        github("url = \"https://ghe.example/acme\""),
        scan("include = [\"a\"]"),
        scan("exclude = [\"a\"]"),
        scan("max_job_age = \"1h\""),
        changed("fleet", "fleet = \"other\""),
        changed("fleet", "fleet = \"acme-prod\"\nregion = \"eu-north-1\""),
        changed("fleet", "fleet = \"acme-prod\"\nmax_total = 9"),
        changed("fleet", "fleet = \"acme-prod\"\nmax_usd_per_hour = 9"),
        changed("fleet", "fleet = \"acme-prod\"\n[ec2.prices]\n\"m7a.large\" = 0.1"),
        changed("name", "name = \"other\""),
        changed("labels", "labels = [\"linux\", \"x64\"]"),
        changed("runner_group", "runner_group = \"other\""),
        changed("source", "source = \"rest\""),
        changed("scale_set", "scale_set = \"x\""),
        changed("min_idle", "min_idle = 1"),
        changed("max", "max = 21"),
        changed("priority", "priority = 1"),
        changed("image", "image = \"ami-1\""),
        changed("image", "launch_template = \"ami-0123456789abcdef0\""),
        changed("instance_types", "instance_types = [\"m7a.xlarge\"]"),
        changed("subnets", "subnets = [\"subnet-b\"]"),
        changed("security_groups", "security_groups = [\"sg-1\"]"),
        changed("market", "market = \"spot\""),
        changed("boot_timeout", "boot_timeout = \"6m\""),
        changed("idle_timeout", "idle_timeout = \"6m\""),
        changed("max_lifetime", "max_lifetime = \"6h\""),
        changed("trim", "trim = true"),
        changed("rerun_interrupted", "rerun_interrupted = true"),
        changed("idle_confirm", "idle_confirm = \"6m\""),
        changed("user_data_file", "user_data_file = \"boot.sh\""),
        changed("user_data_file", "user_data_file = \"other.sh\""),
        format!("{GOOD}[pool.tags]\nteam = \"build\"\n"),
    ];
    let digests: std::collections::BTreeSet<String> = texts.iter().map(|text| digest(text)).collect();
    assert_eq!(digests.len(), texts.len());
    assert!(digests.iter().all(|digest| digest.len() == 64));
}

#[test]
fn the_order_in_which_offerings_are_tried_changes_it() {
    let types = |list: &str| digest(&changed("instance_types", &format!("instance_types = [{list}]")));
    assert_ne!(types("'a', 'b'"), types("'b', 'a'"));
}

#[test]
fn who_asks_and_how_fast_changes_nothing() {
    assert_eq!(digest(GOOD), Desk::with(GOOD).variable("GITHUB_TOKEN", "another").config().digest);
    let app = "url = \"https://github.com/acme\"\n[github.app]\napp_id = 1\ninstallation_id = 1\nprivate_key_file = \"app.pem\"";
    assert_eq!(digest(GOOD), Desk::with(github(app)).file("app.pem", app_key()).config().digest);
    assert_eq!(digest(GOOD), digest(&scan("concurrency = 3\nrequests_per_minute = 9")));
}
