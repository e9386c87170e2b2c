//! Scenario files and the scenario `scale-sets`.

use ghascale::sandbox::{Beginning, Dispatch, ScenarioFile};

use super::*;

const MONDAY: &str = r#"
scenario = "empty"

[settings]
boot_seconds = 2
[settings.scale_sets]
dispatch = "acquire"
nulls = true

[[repository]]
name = "website"
public = true

[[runner_group]]
name = "gpu"
visibility = "selected"
repositories = ["models"]
allows_public_repositories = false

[[scale_set]]
name = "linux-x64"
labels = ["self-hosted", "linux", "x64"]
listened = 5
runners = 2

[[scale_set]]
name = "gpu"
runner_group = "gpu"
statistics = { too_high = 15 }

[[job]]
repository = "api"
labels = ["self-hosted", "linux", "x64"]
count = 3
age_seconds = 90
"#;

#[tokio::test]
async fn a_file_begins_a_world_with_all_that_it_names() {
    let file = ScenarioFile::parse("monday.toml", MONDAY).unwrap();
    let sandbox = Sandbox::begin(Beginning::File(Box::new(file)), 0).await.unwrap();
    {
        let world = sandbox.world();
        assert_eq!(world.settings.boot, Duration::from_secs(2));
        assert_eq!(world.settings.scale_sets.dispatch, Dispatch::Acquire);
        assert!(world.settings.scale_sets.nulls);
        let counts = world.statistics_of("linux-x64").unwrap();
        assert_eq!((counts.busy, world.statistics_of("gpu").unwrap().assigned), (2, 15));
        assert_eq!(world.count_jobs(ghascale::sandbox::JobStatus::InProgress), 2);
    }
    let website = get(&sandbox, "/repos/acme/website").await.json();
    assert_eq!(website["private"], false);
    let groups = get(&sandbox, "/orgs/acme/actions/runner-groups").await.json();
    assert_eq!(groups["runner_groups"][1]["visibility"], "selected");
    let configuration: toml::Table = sandbox.configuration().parse().unwrap();
    let sets: Vec<_> = configuration["pool"].as_array().unwrap().iter().map(|pool| pool.get("scale_set")).collect();
    assert_eq!(sets, [Some(&toml::Value::from("linux-x64")), None, Some(&toml::Value::from("gpu"))]);

    send(request(&sandbox, Method::POST, "/_sandbox/reset").body("{}")).await;
    assert!(sandbox.world().settings.scale_sets.nulls, "a reset begins with the file again");
}

#[test]
fn a_file_that_is_not_understood_is_refused_with_its_name() {
    for (text, expected) in [
        ("scenario = \"amce\"", "unknown variant `amce`"),
        ("[settings]\nboot = 1", "unknown field `boot`"),
        ("[settings.scale_sets]\nbom = true", "settings: unknown field `bom`"),
        ("[[scale_set]]\nlabels = []", "missing field `name`"),
        ("nonsense", "monday.toml"),
    ] {
        let refused = ScenarioFile::parse("monday.toml", text).unwrap_err();
        assert!(refused.starts_with("`monday.toml`: ") && refused.contains(expected), "{refused}");
    }
    let missing = "/nowhere/monday.toml".parse::<Beginning>().unwrap_err();
    assert!(missing.starts_with("`/nowhere/monday.toml`: "), "{missing}");
}

#[test]
fn the_file_that_the_readme_shows_is_understood() {
    let readme = include_str!("../../README.md");
    let shown = readme.split("```toml\n").find(|block| block.contains("--scenario ./monday.toml\n")).unwrap();
    let shown = shown.split("```").next().unwrap();
    ScenarioFile::parse("monday.toml", shown).unwrap();
}

#[test]
fn a_beginning_is_a_scenario_by_its_name_and_a_file_by_its_path() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("monday.toml");
    std::fs::write(&file, MONDAY).unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(file.parse::<Beginning>().unwrap().name(), file);
    assert_eq!("scale-sets".parse(), Ok(Beginning::Scenario(Scenario::ScaleSets)));
    assert!("amce".parse::<Beginning>().unwrap_err().contains("there are `acme`"));
}

#[tokio::test]
async fn in_scale_sets_one_set_is_listened_to_and_the_other_is_not() {
    let sandbox = Sandbox::start(Scenario::ScaleSets, 0).await.unwrap();
    let (x64, arm64) = {
        let world = sandbox.world();
        (world.statistics_of("linux-x64").unwrap(), world.statistics_of("linux-arm64").unwrap())
    };
    assert_eq!((x64.assigned, x64.running, x64.busy), (3, 2, 2));
    assert_eq!((arm64.assigned, arm64.registered), (0, 0));
    let configuration: toml::Table = sandbox.configuration().parse().unwrap();
    let sets: Vec<_> = configuration["pool"].as_array().unwrap().iter().map(|pool| pool.get("scale_set")).collect();
    assert_eq!(sets, [Some(&toml::Value::from("linux-x64")), Some(&toml::Value::from("linux-arm64")), None]);
}
