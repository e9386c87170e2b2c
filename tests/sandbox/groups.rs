//! Runner groups: who may use them.

use ghascale::sandbox::JobStatus;

use super::*;

fn names(list: &Value, field: &str) -> Vec<String> {
    list.as_array().unwrap().iter().map(|item| item[field].as_str().unwrap().to_owned()).collect()
}

/// Starts a world with a group of each kind, and a private and a public repository.
async fn with_groups() -> Sandbox {
    let sandbox = empty().await;
    {
        let mut world = sandbox.world();
        world.repository("website").public();
        world.group("open").for_all();
        world.group("closed").for_all().without_public_repositories();
        world.group("inner").for_private();
        world.group("chosen").for_selected(["website", "acme/models"]);
    }
    sandbox
}

#[tokio::test]
async fn groups_say_who_may_use_them() {
    let sandbox = with_groups().await;
    let list = get(&sandbox, "/orgs/acme/actions/runner-groups").await.json();
    let shown =
        |group: &Value| format!("{} {} {}", group["name"], group["visibility"], group["allows_public_repositories"]);
    let shown: Vec<_> = list["runner_groups"].as_array().unwrap().iter().map(shown).collect();
    assert_eq!(
        shown,
        [
            "\"Default\" \"all\" true",
            "\"open\" \"all\" true",
            "\"closed\" \"all\" false",
            "\"inner\" \"private\" true",
            "\"chosen\" \"selected\" true",
        ]
    );
    let chosen = &list["runner_groups"][4];
    let one = get(&sandbox, &format!("/orgs/acme/actions/runner-groups/{}", chosen["id"])).await.json();
    assert_eq!(&one, chosen);
    let repositories = get(&sandbox, &format!("/orgs/acme/actions/runner-groups/{}/repositories", chosen["id"])).await;
    assert_eq!(names(&repositories.json()["repositories"], "full_name"), ["acme/models", "acme/website"]);
    assert_eq!(repositories.json()["total_count"], 2);
    assert_eq!(get(&sandbox, "/orgs/acme/actions/runner-groups/77").await.status, 404);
    assert_eq!(get(&sandbox, "/orgs/acme/actions/runner-groups/77/repositories").await.status, 404);
}

#[tokio::test]
async fn groups_are_filtered_by_the_repository_that_they_are_open_to() {
    let sandbox = with_groups().await;
    let visible = async |repository: &str| {
        let path = format!("/orgs/acme/actions/runner-groups?visible_to_repository={repository}");
        names(&get(&sandbox, &path).await.json()["runner_groups"], "name")
    };
    assert_eq!(visible("api").await, ["Default", "open", "closed", "inner"]);
    assert_eq!(visible("website").await, ["Default", "open", "chosen"]);
    assert_eq!(visible("none").await, [""; 0]);
}

#[tokio::test]
async fn a_runner_takes_no_job_of_a_repository_that_its_group_is_closed_to() {
    let sandbox = with_groups().await;
    let group = sandbox.world().group("chosen").id();
    let body = json!({ "name": "a", "runner_group_id": group, "labels": ["linux"] });
    let created = post(&sandbox, "/orgs/acme/actions/runners/generate-jitconfig", &body).await.json();
    sandbox.world().connect(created["runner"]["id"].as_u64().unwrap(), true);
    let mut world = sandbox.world();
    let closed = world.repository("api").run().job(["linux"]).id();
    let open = world.repository("models").run().job(["linux"]).id();
    let now = world.now();
    world.step(now);
    assert_eq!(
        (world.job_status(closed), world.job_status(open)),
        (Some(JobStatus::Queued), Some(JobStatus::InProgress))
    );
}
