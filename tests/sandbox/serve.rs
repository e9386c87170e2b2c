//! Starting and stopping.

use super::*;

#[tokio::test]
async fn a_stopped_sandbox_answers_no_more_and_frees_its_port() {
    let sandbox = empty().await;
    let client = Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/_sandbox/state", sandbox.endpoint());
    assert_eq!(client.get(&url).send().await.unwrap().status(), 200);
    let port = sandbox.endpoint().rsplit(':').next().unwrap().parse().unwrap();
    sandbox.stop().await;
    client.get(&url).send().await.unwrap_err();
    Sandbox::start(Scenario::Empty, port).await.unwrap().stop().await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_an_error() {
    let sandbox = empty().await;
    let port = sandbox.endpoint().rsplit(':').next().unwrap().parse().unwrap();
    let error = Sandbox::start(Scenario::Empty, port).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
}

#[tokio::test]
async fn the_configuration_names_the_world_and_three_pools() {
    let sandbox = empty().await;
    let table: toml::Table = sandbox.configuration().parse().unwrap();
    assert_eq!(table["github"]["url"].as_str(), Some(sandbox.url().as_str()));
    assert_eq!(table["ec2"]["fleet"].as_str(), Some("sandbox"));
    let names: Vec<_> = table["pool"].as_array().unwrap().iter().map(|pool| pool["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["linux-x64", "linux-arm64", "gpu"]);
}

#[test]
fn scenarios_are_found_by_name() {
    for scenario in Scenario::ALL {
        assert_eq!(scenario.name().parse(), Ok(scenario));
    }
    assert_eq!("amce".parse::<Scenario>().unwrap_err(), "no scenario `amce`: there are `acme`, `empty`, `scale-sets`");
}
