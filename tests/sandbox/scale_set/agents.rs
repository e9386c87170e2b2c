//! Runners, as the Actions Service and the REST API both see them.

use super::*;

const AGENTS: &str = "distributedtask/pools/0/agents";

async fn jit(service: &Service<'_>, set: u64, name: &str) -> Answer {
    let body = json!({ "name": name, "workFolder": "_work" });
    service.post(&format!("{SETS}/{set}/generatejitconfig"), &body).await
}

#[tokio::test]
async fn a_runner_of_a_set_is_one_record_for_both_apis() {
    let sandbox = empty().await;
    let service = Service::open(&sandbox).await;
    let set = service.create("linux", &["Linux", "x64"]).await;
    let answer = jit(&service, set, "fleet-linux-000").await;
    assert_eq!(answer.status, 200);
    let id = answer.json()["runner"]["id"].clone();
    assert_eq!(answer.json()["runner"]["runnerScaleSetId"], set);

    let rest = get(&sandbox, &format!("/orgs/acme/actions/runners/{id}")).await.json();
    assert_eq!((&rest["name"], &rest["status"]), (&json!("fleet-linux-000"), &json!("offline")));
    let labels: Vec<_> = rest["labels"].as_array().unwrap().iter().map(|label| label["name"].clone()).collect();
    assert_eq!(labels, ["linux", "x64"]);

    let found = service.get(&format!("{AGENTS}?agentName=fleet-linux-000")).await.json();
    assert_eq!((&found["count"], &found["value"][0]["id"]), (&json!(1), &id));
    assert_eq!(service.get(&format!("{AGENTS}?agentName=none")).await.json()["count"], 0);
    assert_eq!(service.get(AGENTS).await.json()["count"], 1);
    let shown = service.get(&format!("{AGENTS}/{id}")).await.json();
    assert_eq!((&shown["runnerScaleSetId"], &shown["busy"]), (&json!(set), &json!(false)));

    assert_eq!(delete(&sandbox, &format!("/orgs/acme/actions/runners/{id}")).await.status, 204);
    let gone = service.get(&format!("{AGENTS}/{id}")).await;
    assert_eq!(refused(&gone), not_found("AgentNotFoundException"));
}

#[tokio::test]
async fn a_name_is_taken_across_both_apis() {
    let sandbox = empty().await;
    let service = Service::open(&sandbox).await;
    let set = service.create("linux", &["linux"]).await;
    register(&sandbox, "by-rest", &["linux"]).await;
    assert_eq!(refused(&jit(&service, set, "by-rest").await), (409, "AgentExistsException".to_owned()));
    assert_eq!(jit(&service, set, "by-service").await.status, 200);
    assert_eq!(refused(&jit(&service, set, "by-service").await), (409, "AgentExistsException".to_owned()));
    let body = json!({ "name": "by-service", "runner_group_id": 1, "labels": ["x"] });
    assert_eq!(post(&sandbox, "/orgs/acme/actions/runners/generate-jitconfig", &body).await.status, 409);
    assert_eq!(jit(&service, set, "").await.status, 400);
    assert_eq!(refused(&jit(&service, 77, "a").await), not_found("RunnerScaleSetNotFoundException"));
}

#[tokio::test]
async fn a_runner_with_a_job_is_not_deleted_even_while_rest_calls_it_idle() {
    let sandbox = empty().await;
    sandbox.world().settings.busy_lag = Duration::from_mins(5);
    sandbox.world().scale_set("linux").listened(1).with_runners(1);
    let service = Service::open(&sandbox).await;
    sandbox.world().repository("api").run().job(["linux"]);
    let runner = service.get(AGENTS).await.json()["value"][0].clone();
    assert_eq!(runner["busy"], true);
    let id = &runner["id"];
    let rest = get(&sandbox, &format!("/orgs/acme/actions/runners/{id}")).await.json();
    assert_eq!(rest["busy"], false);
    let path = format!("{AGENTS}/{id}");
    assert_eq!(refused(&service.delete(&path).await), (400, "JobStillRunningException".to_owned()));
    sandbox.world().settings.scale_sets.job_still_running_status = 409;
    assert_eq!(refused(&service.delete(&path).await), (409, "JobStillRunningException".to_owned()));
}

#[tokio::test]
async fn deleting_a_runner_that_is_not_there_is_204_or_404() {
    let sandbox = empty().await;
    let service = Service::open(&sandbox).await;
    let set = service.create("linux", &["linux"]).await;
    let id = jit(&service, set, "a").await.json()["runner"]["id"].clone();
    let path = format!("{AGENTS}/{id}");
    assert_eq!(service.delete(&path).await.status, 204);
    assert_eq!(service.delete(&path).await.status, 204);
    sandbox.world().settings.scale_sets.missing_runner_is_deleted = false;
    assert_eq!(refused(&service.delete(&path).await), not_found("AgentNotFoundException"));
}
