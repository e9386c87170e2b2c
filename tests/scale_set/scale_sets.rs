//! Scale sets, runner groups and offers.

use ghascale::engine::Label;
use ghascale::scale_set::{ErrorKind, NewScaleSet, RunnerGroup, ScaleSet, ScaleSetChange, ScaleSetId};
use serde_json::{Value, json};

use super::stand_in::{Answer, SETS, StandIn, answer, exception, list, lost, ok};
use super::{counts, set, statistics};

fn labels(names: &[&str]) -> Vec<Label> {
    names.iter().copied().map(Label::from).collect()
}

fn linux(names: &[&str]) -> NewScaleSet {
    NewScaleSet { name: "linux".to_owned(), group_id: 1, labels: labels(names) }
}

fn names(sets: &[ScaleSet]) -> Vec<&str> {
    sets.iter().map(|set| set.name.as_str()).collect()
}

#[tokio::test]
async fn a_set_is_found_by_its_group_and_name_whatever_is_in_it() {
    let github = StandIn::start().await;
    github.plant(format!("GET {SETS}?"), list(&[set(7, "a&b #1", &["x"])]));
    let found = github.client().find(3, "a&b #1").await.unwrap().unwrap();
    let group = RunnerGroup { id: 1, name: "Default".to_owned() };
    let expected =
        ScaleSet { id: ScaleSetId(7), name: "a&b #1".into(), group, labels: labels(&["x"]), statistics: None };
    assert_eq!(found, expected);
    let line = format!("GET {SETS}?runnerGroupId=3&name=a%26b%20%231&api-version=6.0-preview");
    assert_eq!(github.calls()[2].line, line);
}

#[tokio::test]
async fn a_set_is_not_found_only_when_the_list_says_so() {
    let twins = [set(7, "linux", &[]), set(8, "linux", &[])];
    let cases: [(Answer, Result<Option<u64>, ErrorKind>); 6] = [
        (list(&[]), Ok(None)),
        (answer(200, "\u{feff}{\"Count\":0,\"VALUE\":null}"), Ok(None)),
        // A server that doesn't know the filter.
        (list(&[set(6, "other", &[]), set(7, "Linux", &[])]), Ok(Some(7))),
        (list(&twins), Err(ErrorKind::Protocol)),
        (list(&[json!({ "name": "linux" })]), Err(ErrorKind::Protocol)),
        (ok(&json!({ "count": 1, "value": [] })), Err(ErrorKind::Protocol)),
    ];
    for (planted, expected) in cases {
        let github = StandIn::start().await;
        github.plant(format!("GET {SETS}?"), planted);
        let found = github.client().find(1, "linux").await;
        assert_eq!(found.map(|set| set.map(|set| set.id.0)).map_err(|error| error.kind), expected);
    }
}

#[tokio::test]
async fn a_list_has_what_can_be_read_and_counts_the_rest() {
    let github = StandIn::start().await;
    let sets = [set(7, "linux", &["linux"]), Value::Null, json!({ "id": null }), json!("x"), set(8, "arm", &["arm"])];
    github.plant(format!("GET {SETS}?runnerGroupId=2&"), list(&sets));
    let client = github.client();
    let listed = client.list(Some(2)).await.unwrap();
    assert_eq!((names(&listed), client.unreadable()), (vec!["linux", "arm"], 3));
}

#[tokio::test]
async fn a_set_has_its_statistics_and_counts_that_are_missing_are_zero() {
    let github = StandIn::start().await;
    let with = |statistics: Value| {
        let mut set = set(7, "linux", &["linux"]);
        set["statistics"] = statistics;
        ok(&set)
    };
    let client = github.client();
    for (planted, expected) in [
        (with(counts()), Some(statistics())),
        (with(json!({ "totalAssignedJobs": null })), Some(ghascale::engine::Statistics::default())),
        // What is left out, or null, is at least what the other counts speak of.
        (
            with(json!({ "totalAssignedJobs": 3, "totalRunningJobs": 3, "totalRegisteredRunners": null })),
            Some(ghascale::engine::Statistics { assigned: 3, running: 3, registered: 3, ..Default::default() }),
        ),
        (with(Value::Null), None),
    ] {
        github.plant(format!("GET {SETS}/7?"), planted);
        assert_eq!(client.scale_set(ScaleSetId(7)).await.unwrap().statistics, expected);
    }
}

#[tokio::test]
async fn a_set_that_is_said_to_be_gone_is_asked_for_a_few_times() {
    let github = StandIn::start().await;
    let get = format!("GET {SETS}/7?");
    let gone = || exception(404, "RunnerScaleSetNotFoundException");
    github.plant(&get, gone()).plant(&get, gone()).plant(&get, ok(&set(7, "linux", &[])));
    github.client().scale_set(ScaleSetId(7)).await.unwrap();
    for _ in 0..9 {
        github.plant(&get, gone());
    }
    let error = github.client().scale_set(ScaleSetId(7)).await.unwrap_err();
    assert_eq!((error.kind, github.count(&get)), (ErrorKind::ScaleSetNotFound, 6), "{error}");
}

#[tokio::test]
async fn a_set_is_made_with_its_labels() {
    let github = StandIn::start().await;
    let mut kept = set(7, "linux", &["linux"]);
    kept["runnerGroupId"] = Value::Null;
    github.plant(format!("POST {SETS}?"), ok(&kept));
    let made = github.client().create(&linux(&["linux", "gpu"])).await.unwrap();
    assert_eq!((made.id, made.group.id, made.labels), (ScaleSetId(7), 1, labels(&["linux"])), "as the service has it");
    let asked = github.calls_of("POST /svc/")[0].json();
    let system = |name: &str| json!({ "type": "System", "name": name });
    assert_eq!(asked["labels"], json!([system("linux"), system("gpu")]));
    assert_eq!((&asked["name"], &asked["runnerGroupId"]), (&json!("linux"), &json!(1)));
}

#[tokio::test]
async fn a_set_whose_making_was_not_answered_is_looked_up_and_never_made_twice() {
    let find = format!("GET {SETS}?runnerGroupId=1&name=linux&");
    let there = |labels: &[&str]| list(&[set(7, "linux", labels)]);
    for unanswered in [lost(), ok(&set(7, "linux", &[])).truncated(), answer(504, ""), answer(200, "{}")] {
        for (seen, expected) in [
            (there(&["GPU", "linux"]), Ok(7)),
            (there(&["linux"]), Err(true)),
            (list(&[]), Err(false)),
            (answer(403, ""), Err(false)),
        ] {
            let github = StandIn::start().await;
            github.plant(format!("POST {SETS}?"), unanswered.clone()).plant(&find, seen);
            let made = github.client().create(&linux(&["linux", "gpu"])).await;
            let made = made.map(|set| set.id.0).map_err(|error| error.kind == ErrorKind::ScaleSetExists);
            assert_eq!((made, github.count("POST /svc/")), (expected, 1));
        }
    }
}

#[tokio::test]
async fn a_set_that_is_there_already_is_not_made() {
    let github = StandIn::start().await;
    let taken = json!({ "typeName": "X.ArgumentException", "message": "linux already exists in runner group Default" });
    github.plant(format!("POST {SETS}?"), answer(400, taken.to_string()));
    let error = github.client().create(&linux(&["linux"])).await.unwrap_err();
    assert_eq!((error.kind, github.count("GET")), (ErrorKind::ScaleSetExists, 0), "{error}");
}

#[tokio::test]
async fn a_change_names_only_what_changes() {
    let github = StandIn::start().await;
    let patch = format!("PATCH {SETS}/7?");
    github.plant(&patch, ok(&set(7, "linux", &["x"]))).plant(&patch, ok(&set(7, "linux", &["x"])));
    let client = github.client();
    let change = ScaleSetChange { group_id: Some(3), labels: None };
    client.update(ScaleSetId(7), &change).await.unwrap();
    let change = ScaleSetChange { group_id: None, labels: Some(labels(&["x"])) };
    assert_eq!(client.update(ScaleSetId(7), &change).await.unwrap().labels, labels(&["x"]));
    let calls = github.calls_of("PATCH");
    assert_eq!(calls[0].json(), json!({ "runnerGroupId": 3 }));
    assert_eq!(calls[1].json(), json!({ "labels": [{ "type": "System", "name": "x" }] }));
}

#[tokio::test]
async fn what_changes_or_deletes_is_sent_once() {
    for planted in [lost(), answer(500, ""), answer(429, "")] {
        let github = StandIn::start().await;
        github.plant("PATCH /svc/", planted.clone()).plant("DELETE /svc/", planted);
        let client = github.client();
        client.update(ScaleSetId(7), &ScaleSetChange::default()).await.unwrap_err();
        client.delete(ScaleSetId(7)).await.unwrap_err();
        assert_eq!((github.count("PATCH"), github.count("DELETE")), (1, 1));
    }
}

#[tokio::test]
async fn a_deletion_is_done_or_refused() {
    let github = StandIn::start().await;
    let delete = format!("DELETE {SETS}/7?");
    github.plant(&delete, answer(204, "")).plant(&delete, exception(400, "JobStillRunningException"));
    github.plant(&delete, exception(404, "RunnerScaleSetNotFoundException"));
    let client = github.client();
    client.delete(ScaleSetId(7)).await.unwrap();
    assert_eq!(client.delete(ScaleSetId(7)).await.unwrap_err().kind, ErrorKind::JobStillRunning);
    assert_eq!(client.delete(ScaleSetId(7)).await.unwrap_err().kind, ErrorKind::ScaleSetNotFound);
}

#[tokio::test]
async fn the_default_group_is_1_without_a_word() {
    let github = StandIn::start().await;
    let group = github.client().runner_group("dEFAULT").await.unwrap();
    assert_eq!(group, Some(RunnerGroup { id: 1, name: "Default".to_owned() }));
    assert!(github.calls().is_empty());
}

#[tokio::test]
async fn another_group_is_looked_up_by_its_name() {
    let github = StandIn::start().await;
    let get = "GET /svc/_apis/runtime/runnergroups/?groupName=big%20ones&api-version=6.0-preview";
    github.plant(get, list(&[json!({ "id": 4, "name": "Big ones", "size": 0, "isDefaultGroup": null })]));
    github.plant(get, list(&[])).plant(get, list(&[json!({ "name": "big ones" })]));
    let client = github.client();
    assert_eq!(client.runner_group("big ones").await.unwrap().map(|group| group.id), Some(4));
    assert_eq!(client.runner_group("big ones").await.unwrap(), None);
    assert_eq!(client.runner_group("big ones").await.unwrap_err().kind, ErrorKind::Protocol);
}

#[tokio::test]
async fn jobs_on_offer_are_a_list_or_nothing() {
    let github = StandIn::start().await;
    let get = format!("GET {SETS}/7/acquirablejobs?");
    let job = json!({
        "acquireJobUrl": null, "messageType": "JobAvailable", "runnerRequestId": 512, "repositoryName": "api",
        "ownerName": "acme", "requestLabels": ["linux", null],
    });
    github.plant(&get, answer(204, "")).plant(&get, list(&[job, json!({})]));
    let client = github.client();
    assert!(client.acquirable_jobs(ScaleSetId(7)).await.unwrap().is_empty());
    let jobs = client.acquirable_jobs(ScaleSetId(7)).await.unwrap();
    assert_eq!((jobs.len(), client.unreadable()), (1, 1));
    assert_eq!(
        (jobs[0].runner_request_id, &*jobs[0].repository, &jobs[0].labels),
        (512, "acme/api", &labels(&["linux"]))
    );
}
