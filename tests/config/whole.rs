//! Good files, whole and short.

use std::time::Duration;

use ghascale::config::{AppIssuer, Credentials};
use ghascale::engine::Source;
use ghascale::warning::WarningCode;
use secrecy::ExposeSecret as _;

use super::{Desk, GOOD, app_key, github, scan};

/// What the README shows, line by line.
const WHOLE: &str = r#"
[github]
url = "https://ghe.example/acme"
api_url = "https://api.ghe.example/v3/"
token_env = "GITHUB_TOKEN"

[scan]
include = ["*"]
exclude = []
concurrency = 16
requests_per_minute = "auto"
max_job_age = "24h"

[ec2]
region = "eu-north-1"
fleet = "acme-prod"

[[pool]]
name = "linux-x64"
labels = ["self-hosted", "linux", "x64"]
runner_group = "Default"
source = "auto"
min_idle = 0
max = 20
priority = 0
image = "ami-0123456789abcdef0"
instance_types = ["m7a.large", "m6a.large"]
subnets = ["subnet-a", "subnet-b"]
security_groups = ["sg-1"]
market = "spot-then-on-demand"
boot_timeout = "5m"
idle_timeout = "10m"
max_lifetime = "12h"
trim = false
rerun_interrupted = false
idle_confirm = "5m"
[pool.tags]
team = "build"
"#;

#[test]
fn every_key_is_taken() {
    let config = Desk::with(WHOLE).config();
    assert_eq!(config.github.url, "https://ghe.example/acme");
    assert_eq!(config.github.api_url, "https://api.ghe.example/v3");
    assert_eq!(config.github.scope.to_string(), "acme");
    let ec2 = config.ec2.as_ref().unwrap();
    assert_eq!((ec2.region.as_deref(), ec2.fleet.as_str()), (Some("eu-north-1"), "acme-prod"));
    let launch = config.pools[0].launch.as_ref().unwrap();
    assert_eq!(launch.security_groups, ["sg-1"]);
    assert_eq!(launch.tags["team"], "build");
    assert_eq!(config.pools[0].policy.offerings.len(), 8);
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn what_is_left_out_is_as_the_whole_example_has_it() {
    let keep = |line: &&str| {
        let key = line.split(" = ").next().unwrap();
        let defaults = "token_env include exclude concurrency requests_per_minute max_job_age runner_group source \
            min_idle priority market boot_timeout idle_timeout max_lifetime trim rerun_interrupted idle_confirm";
        !defaults.split_whitespace().any(|default| default == key)
    };
    let short: Vec<&str> = WHOLE.lines().filter(keep).collect();
    let (short, whole) = (Desk::with(short.join("\n")).config(), Desk::with(WHOLE).config());
    assert_eq!(format!("{:?}", short.pools), format!("{:?}", whole.pools));
    assert_eq!(format!("{:?}", short.scan), format!("{:?}", whole.scan));
    assert_eq!(short.digest, whole.digest);
    let without_scan = Desk::with(GOOD).config().scan;
    assert_eq!(format!("{without_scan:?}"), format!("{:?}", whole.scan));
    assert!(without_scan.include.is_match("anything") && without_scan.exclude.is_empty());
    assert_eq!(without_scan.max_job_age, Duration::from_hours(24));
}

#[test]
fn hints_are_off_unless_a_webhook_is_named() {
    assert_eq!(Desk::with(GOOD).config().scan.organization_hook, None);
    let named = Desk::with(scan("hints = { organization_hook = 12 }")).config();
    assert_eq!(named.scan.organization_hook, Some(12));
    assert_eq!(named.digest, Desk::with(GOOD).config().digest, "it decides no plan");
}

#[test]
fn numbers_may_be_written_as_toml_allows() {
    let pace =
        |number: &str| Desk::with(scan(&format!("requests_per_minute = {number}"))).config().scan.requests_per_minute;
    assert_eq!(pace("1_000"), Some(1000));
    assert_eq!(pace("+60"), Some(60));
    assert_eq!(pace("0x1F"), Some(31));
    assert_eq!(pace("\"auto\""), None);
}

#[test]
fn a_byte_order_mark_and_windows_lines_change_nothing() {
    let windows = format!("\u{feff}{}", GOOD.replace('\n', "\r\n"));
    assert_eq!(Desk::with(windows).config().digest, Desk::with(GOOD).config().digest);
}

#[test]
fn an_app_is_named_by_its_number_or_its_client_id() {
    let issuer = |id: &str| {
        let app = format!("[github.app]\n{id}\ninstallation_id = 7\nprivate_key_file = \"keys/app.pem\"");
        let text = github(&format!("url = \"https://github.com/acme\"\n{app}"));
        let desk = Desk::with(text).file("keys/app.pem", app_key()).without("GITHUB_TOKEN");
        match desk.config().github.credentials {
            Credentials::App { issuer, installation_id: 7, private_key }
                if private_key.expose_secret() == app_key() =>
            {
                issuer
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(issuer("app_id = 42"), AppIssuer::AppId(42));
    assert_eq!(issuer("client_id = \"Iv1.x\""), AppIssuer::ClientId("Iv1.x".into()));
}

#[test]
fn trim_is_the_engines() {
    let read = |source: &str| {
        let config = Desk::with(format!("{GOOD}scale_set = \"x\"\ntrim = true\nsource = \"{source}\"\n")).config();
        let codes: Vec<_> = config.warnings.iter().map(|warning| warning.code).collect();
        (config.policy().pools[0].trim, config.pools[0].source, codes)
    };
    assert_eq!(read("auto"), (true, None, vec![]));
    assert_eq!(read("scale-set"), (true, Some(Source::ScaleSet), vec![]));
    assert!(!Desk::with(GOOD).config().policy().pools[0].trim, "it is off unless it is asked for");
    assert!(!Desk::with(GOOD).config().policy().pools[0].rerun_interrupted, "and so is this");
    let on = Desk::with(format!("{GOOD}rerun_interrupted = true\n")).config();
    assert!(on.policy().pools[0].rerun_interrupted);
}

#[test]
fn pools_that_overlap_are_warned_of_once_a_pair() {
    let subjects = |sets: &[(&str, &str)]| -> Vec<String> {
        let pools =
            sets.iter().map(|(name, labels)| format!("[[pool]]\nname = \"{name}\"\nlabels = [{labels}]\nmax = 1\n"));
        let text = format!("[github]\nurl = \"https://github.com/acme\"\n{}", pools.collect::<Vec<_>>().concat());
        let warnings = Desk::with(text).looking().config().warnings;
        assert!(warnings.iter().all(|warning| warning.code == WarningCode::OverlappingPools));
        warnings.into_iter().filter_map(|warning| warning.subject).collect()
    };
    assert_eq!(subjects(&[("b", "'x', 'y'"), ("a", "'Y', 'X'")]), ["a"]);
    assert_eq!(subjects(&[("large", "'x', 'gpu'"), ("small", "'x'")]), ["small"]);
    assert_eq!(subjects(&[("c", "'x'"), ("b", "'x'"), ("a", "'x'")]).len(), 3);
    assert!(subjects(&[("a", "'x', 'arm64'"), ("b", "'x', 'x64'")]).is_empty());
}

#[test]
fn globs_have_no_case_as_repositories_have_none() {
    let scan = Desk::with(scan("include = [\"acme/*\"]\nexclude = [\"*-Secret\"]")).config().scan;
    assert!(scan.include.is_match("Acme/App") && scan.exclude.is_match("acme/app-secret"));
}
