//! How jobs come to sets and what is told of them: both modes from beginning to end, and what may go wrong on the way.

use ghascale::sandbox::{Completions, Dispatch, JobStatus};

use super::listener::Listener;
use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn queue_job(sandbox: &Sandbox) -> u64 {
    sandbox.world().repository("api").run().job(["linux"]).lasting(20 * SECOND).id()
}

fn status(sandbox: &Sandbox, job: u64) -> JobStatus {
    sandbox.world().job_status(job).unwrap()
}

#[tokio::test]
async fn a_direct_job_is_assigned_started_and_completed_and_counted_at_every_step() {
    let sandbox = hasty().await;
    let service = Service::open(&sandbox).await;
    let set = service.create("linux", &["linux", "x64"]).await;
    let mut listener = Listener::open(&service, set, 5).await;
    assert_eq!(listener.session["statistics"]["totalAssignedJobs"], 0);
    assert_eq!(listener.next().await.map(|message| message.id), None);

    let job = queue_job(&sandbox);
    let assigned = listener.next().await.unwrap();
    assert_eq!(assigned.id, 100_000_001);
    assert_eq!(assigned.kinds(), ["JobAssigned"]);
    let entry = &assigned.entries[0];
    assert_eq!((&entry["runnerRequestId"], entry["jobId"].as_str().unwrap().len()), (&json!(0), 36));
    assert_eq!((&entry["ownerName"], &entry["repositoryName"]), (&json!("acme"), &json!("api")));
    assert_eq!((&entry["jobDisplayName"], &entry["requestLabels"]), (&json!("job-1"), &json!(["linux"])));
    assert_eq!(entry["finishTime"], "0001-01-01T00:00:00Z");
    assert_eq!(
        (&assigned.statistics["totalAssignedJobs"], &assigned.statistics["totalRunningJobs"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(status(&sandbox, job), JobStatus::Queued, "REST shows it queued");

    let runner = service.launch(set, "fleet-linux-000").await;
    let shown = service.get(&format!("{SETS}/{set}")).await.json();
    assert_eq!(
        (&shown["statistics"]["totalRegisteredRunners"], &shown["statistics"]["totalIdleRunners"]),
        (&json!(1), &json!(0))
    );
    sandbox.advance(2 * SECOND);
    let started = listener.next().await.unwrap();
    assert_eq!(started.kinds(), ["JobStarted"]);
    assert_eq!(
        (&started.entries[0]["runnerId"], &started.entries[0]["runnerName"]),
        (&json!(runner), &json!("fleet-linux-000"))
    );
    assert_eq!(started.entries[0]["jobId"], entry["jobId"]);
    assert_eq!(
        (&started.statistics["totalRunningJobs"], &started.statistics["totalBusyRunners"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(started.statistics["totalAssignedJobs"], 1, "waiting and running");
    assert_eq!(status(&sandbox, job), JobStatus::InProgress);

    sandbox.advance(20 * SECOND);
    let completed = listener.next().await.unwrap();
    assert_eq!(completed.kinds(), ["JobCompleted"]);
    assert_eq!(
        (&completed.entries[0]["result"], &completed.entries[0]["runnerId"]),
        (&json!("succeeded"), &json!(runner))
    );
    assert_eq!(
        (&completed.statistics["totalAssignedJobs"], &completed.statistics["totalRegisteredRunners"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(completed.id, 100_000_003);
    assert!(listener.next().await.is_none());
    assert_eq!(service.delete(&listener.path()).await.status, 204);
}

#[tokio::test]
async fn an_acquired_job_is_offered_granted_assigned_started_and_completed() {
    let sandbox = hasty().await;
    sandbox.world().settings.scale_sets.dispatch = Dispatch::Acquire;
    sandbox.world().settings.scale_sets.offers_name_job = false;
    let service = Service::open(&sandbox).await;
    let set = service.create("linux", &["linux"]).await;
    let mut listener = Listener::open(&service, set, 5).await;
    let job = queue_job(&sandbox);

    let offered = listener.next().await.unwrap();
    assert_eq!(offered.kinds(), ["JobAvailable"]);
    let request = offered.entries[0]["runnerRequestId"].as_u64().unwrap();
    assert_eq!((request > 0, &offered.entries[0]["jobId"]), (true, &json!("")));
    assert!(offered.entries[0]["acquireJobUrl"].as_str().unwrap().contains("/acquirejobs"));
    assert_eq!(
        (&offered.statistics["totalAvailableJobs"], &offered.statistics["totalAssignedJobs"]),
        (&json!(1), &json!(0))
    );
    let acquirable = service.get(&format!("{SETS}/{set}/acquirablejobs")).await.json();
    assert_eq!((&acquirable["count"], &acquirable["value"][0]["runnerRequestId"]), (&json!(1), &json!(request)));

    let granted = listener.acquire(&json!([request, 9999])).await;
    assert_eq!(granted.json(), json!({ "count": 1, "value": [request] }));
    assert_eq!(service.get(&format!("{SETS}/{set}/acquirablejobs")).await.status, 204);
    let assigned = listener.next().await.unwrap();
    assert_eq!((assigned.kinds(), &assigned.entries[0]["runnerRequestId"]), (vec!["JobAssigned"], &json!(request)));
    assert_eq!(assigned.statistics["totalAssignedJobs"], 1);
    assert_eq!(listener.acquire(&json!([request])).await.json()["count"], 1, "a repeated request is harmless");

    service.launch(set, "fleet-linux-000").await;
    sandbox.advance(2 * SECOND);
    assert_eq!(listener.next().await.unwrap().kinds(), ["JobStarted"]);
    sandbox.advance(20 * SECOND);
    assert_eq!(listener.next().await.unwrap().kinds(), ["JobCompleted"]);
    assert_eq!(status(&sandbox, job), JobStatus::Completed);
}

#[tokio::test]
async fn an_offer_goes_to_every_set_and_the_first_that_acquires_has_it() {
    let sandbox = hasty().await;
    sandbox.world().settings.scale_sets.dispatch = Dispatch::Acquire;
    sandbox.world().settings.scale_sets.assigned_after = 10 * SECOND;
    let service = Service::open(&sandbox).await;
    let (one, two) = (service.create("one", &["linux"]).await, service.create("two", &["linux", "x64"]).await);
    let (mut first, mut second) = (Listener::open(&service, one, 5).await, Listener::open(&service, two, 5).await);
    queue_job(&sandbox);
    let request = first.next().await.unwrap().entries[0]["runnerRequestId"].clone();
    assert_eq!(second.next().await.unwrap().entries[0]["runnerRequestId"], request);
    assert_eq!(second.acquire(&json!([request])).await.json()["count"], 1);
    assert_eq!(first.acquire(&json!([request])).await.json(), json!({ "count": 0, "value": [] }));
    let counts = sandbox.world().statistics_of("two").unwrap();
    assert_eq!((counts.acquired, counts.assigned), (1, 0), "in flight");
    assert!(second.next().await.is_none());
    sandbox.advance(10 * SECOND);
    assert_eq!(second.next().await.unwrap().kinds(), ["JobAssigned"]);
    assert!(first.next().await.is_none());
}

#[tokio::test]
async fn what_is_not_acquired_is_offered_again() {
    let sandbox = hasty().await;
    sandbox.world().settings.scale_sets.dispatch = Dispatch::Acquire;
    sandbox.world().settings.scale_sets.session_idle = Duration::from_hours(1);
    let service = Service::open(&sandbox).await;
    let set = service.create("one", &["linux"]).await;
    let mut listener = Listener::open(&service, set, 5).await;
    queue_job(&sandbox);
    let first = listener.next().await.unwrap();
    assert!(listener.next().await.is_none());
    sandbox.advance(Duration::from_mins(1));
    let again = listener.next().await.unwrap();
    assert_eq!(again.entries[0]["runnerRequestId"], first.entries[0]["runnerRequestId"]);
}

#[tokio::test]
async fn no_more_is_assigned_than_was_announced_and_nothing_without_a_session() {
    let sandbox = hasty().await;
    let service = Service::open(&sandbox).await;
    let set = service.create("linux", &["linux"]).await;
    for _ in 0..3 {
        queue_job(&sandbox);
    }
    assert_eq!(sandbox.world().statistics_of("linux").unwrap().assigned, 0, "nobody listens: in no statistics");
    let mut listener = Listener::open(&service, set, 2).await;
    assert_eq!(listener.next().await.unwrap().kinds(), ["JobAssigned", "JobAssigned"]);
    assert!(listener.next().await.is_none());
    listener.capacity = 3;
    assert_eq!(listener.next().await.unwrap().kinds(), ["JobAssigned"]);
}

#[tokio::test]
async fn a_job_goes_only_where_all_its_labels_are_and_its_repository_may() {
    let sandbox = hasty().await;
    let service = Service::open(&sandbox).await;
    let set = service.create("linux", &["Linux", "x64"]).await;
    sandbox.world().scale_set("linux").group("closed");
    sandbox.world().group("closed").for_selected(["api"]);
    let mut listener = Listener::open(&service, set, 9).await;
    {
        let mut world = sandbox.world();
        world.repository("api").run().job(["linux", "arm64"]);
        world.repository("api").run().job(["LINUX"]).waiting();
        world.repository("web").run().job(["linux"]);
        world.repository("api").run().job(["X64", "linux"]).named("ours");
    }
    let message = listener.next().await.unwrap();
    let names: Vec<_> = message.entries.iter().map(|entry| entry["jobDisplayName"].as_str().unwrap()).collect();
    assert_eq!(names, ["ours"]);
}

#[tokio::test]
async fn a_runner_of_a_set_takes_its_jobs_only_and_another_none_of_them() {
    let sandbox = hasty().await;
    let service = Service::open(&sandbox).await;
    let set = service.create("linux", &["linux"]).await;
    let not_held = queue_job(&sandbox);
    service.launch(set, "of-the-set").await;
    sandbox.advance(2 * SECOND);
    assert_eq!(status(&sandbox, not_held), JobStatus::Queued, "it is nobody's: the set's runner doesn't take it");
    sandbox.world().runner("ordinary", ["linux"]).online();
    assert_eq!(status(&sandbox, not_held), JobStatus::InProgress);

    sandbox.world().cancel(not_held);
    let mut listener = Listener::open(&service, set, 5).await;
    sandbox.world().runner_id("ordinary").unwrap();
    let runner = sandbox.world().runner_id("of-the-set").unwrap();
    sandbox.world().connect(runner, false);
    listener.next().await;
    sandbox.advance(30 * SECOND);
    let held = {
        let ordinary = sandbox.world().runner_id("ordinary").unwrap();
        sandbox.world().connect(ordinary, false);
        let held = queue_job(&sandbox);
        assert_eq!(listener.next().await.unwrap().kinds(), ["JobAssigned"]);
        sandbox.world().connect(ordinary, true);
        held
    };
    assert_eq!(status(&sandbox, held), JobStatus::Queued, "it is the set's: the other runner doesn't take it");
    sandbox.world().connect(runner, true);
    assert_eq!(status(&sandbox, held), JobStatus::InProgress);
}

#[tokio::test]
async fn an_assignment_that_nobody_serves_lapses_and_comes_again_under_another_id() {
    let sandbox = hasty().await;
    sandbox.world().settings.scale_sets.session_idle = Duration::from_hours(1);
    let service = Service::open(&sandbox).await;
    let set = service.create("linux", &["linux"]).await;
    let mut listener = Listener::open(&service, set, 5).await;
    listener.next().await;
    let job = queue_job(&sandbox);
    let first = listener.next().await.unwrap();
    sandbox.advance(Duration::from_secs(299));
    assert!(listener.next().await.is_none());
    sandbox.advance(SECOND);
    let lapsed = listener.next().await.unwrap();
    assert_eq!(lapsed.kinds(), ["JobCompleted", "JobAssigned"]);
    let (completed, assigned) = (&lapsed.entries[0], &lapsed.entries[1]);
    assert_eq!(
        (&completed["result"], &completed["runnerId"], &completed["runnerName"]),
        (&json!("canceled"), &json!(0), &json!(""))
    );
    assert_eq!(completed["jobId"], first.entries[0]["jobId"]);
    assert_ne!(assigned["jobId"], first.entries[0]["jobId"]);
    assert_eq!(assigned["workflowRunId"], first.entries[0]["workflowRunId"]);
    assert_eq!(lapsed.statistics["totalAssignedJobs"], 1);
    assert_eq!(status(&sandbox, job), JobStatus::Queued);
}

#[tokio::test]
async fn a_cancelled_job_is_completed_without_a_runner() {
    let sandbox = hasty().await;
    let service = Service::open(&sandbox).await;
    let set = service.create("linux", &["linux"]).await;
    let mut listener = Listener::open(&service, set, 5).await;
    listener.next().await;
    let job = queue_job(&sandbox);
    assert_eq!(listener.next().await.unwrap().kinds(), ["JobAssigned"]);
    sandbox.world().cancel(job);
    let completed = listener.next().await.unwrap();
    assert_eq!((completed.kinds(), &completed.entries[0]["result"]), (vec!["JobCompleted"], &json!("canceled")));
    assert_eq!(completed.statistics["totalAssignedJobs"], 0);
}

/// Runs one job to its end; returns what was told at its start, just after its end, and five minutes later.
async fn told(completed: Completions) -> [Vec<String>; 3] {
    let sandbox = hasty().await;
    sandbox.world().settings.scale_sets.completed = completed;
    sandbox.world().settings.scale_sets.session_idle = Duration::from_hours(1);
    let service = Service::open(&sandbox).await;
    let set = service.create("linux", &["linux"]).await;
    let mut listener = Listener::open(&service, set, 5).await;
    listener.next().await;
    queue_job(&sandbox);
    listener.next().await;
    service.launch(set, "fleet-linux-000").await;
    let mut told = [Vec::new(), Vec::new(), Vec::new()];
    for (told, passed) in told.iter_mut().zip([2 * SECOND, 20 * SECOND, 300 * SECOND]) {
        sandbox.advance(passed);
        while let Some(message) = listener.next().await {
            told.extend(message.kinds().into_iter().map(str::to_owned));
        }
    }
    told
}

#[tokio::test]
async fn a_completion_may_be_early_late_or_missing() {
    let (started, completed) = ("JobStarted".to_owned(), "JobCompleted".to_owned());
    let none = Vec::new;
    assert_eq!(told(Completions::OnTime).await, [vec![started.clone()], vec![completed.clone()], none()]);
    assert_eq!(told(Completions::Early).await, [vec![started.clone(), completed.clone()], none(), none()]);
    assert_eq!(told(Completions::Late).await, [vec![started.clone()], none(), vec![completed]]);
    assert_eq!(told(Completions::Missing).await, [vec![started], none(), none()]);
}

#[tokio::test]
async fn behind_the_trapdoor_a_job_queued_at_capacity_zero_comes_never() {
    let sandbox = hasty().await;
    sandbox.world().settings.scale_sets.zero_capacity_trap = true;
    let service = Service::open(&sandbox).await;
    let set = service.create("linux", &["linux"]).await;
    let before = queue_job(&sandbox);
    let mut listener = Listener::open(&service, set, 0).await;
    assert!(listener.next().await.is_none());
    let trapped = queue_job(&sandbox);
    assert!(listener.next().await.is_none());
    listener.capacity = 5;
    let message = listener.next().await.unwrap();
    assert_eq!(message.kinds(), ["JobAssigned"], "only what was queued before: {before}");
    assert!(listener.next().await.is_none());
    let run = sandbox.world().statistics_of("linux").unwrap();
    assert_eq!(run.assigned, 1);
    let counted = sandbox.world().count_jobs(JobStatus::Queued);
    assert_eq!(counted, 2, "REST still shows {trapped}");
}

#[tokio::test]
async fn a_listener_of_another_system_serves_by_itself_in_both_modes() {
    for dispatch in [Dispatch::Direct, Dispatch::Acquire] {
        let sandbox = hasty().await;
        sandbox.world().settings.scale_sets.dispatch = dispatch;
        sandbox.world().scale_set("linux").listened(3).with_runners(2);
        let jobs: Vec<_> = (0..4).map(|_| queue_job(&sandbox)).collect();
        sandbox.advance(SECOND);
        let counts = sandbox.world().statistics_of("linux").unwrap();
        assert_eq!((counts.assigned, counts.running, counts.busy, counts.idle), (3, 2, 2, 0), "{dispatch:?}");
        assert!(sandbox.world().runner_names().iter().all(|name| name.starts_with("arc-")));
        sandbox.advance(Duration::from_mins(3));
        assert!(jobs.iter().all(|job| status(&sandbox, *job) == JobStatus::Completed), "{dispatch:?}");
        let counts = sandbox.world().statistics_of("linux").unwrap();
        assert_eq!((counts.assigned, counts.registered, counts.idle), (0, 2, 2), "{dispatch:?}");
        let service = Service::open(&sandbox).await;
        let set = sandbox.world().scale_set("linux").id();
        let body = json!({ "ownerName": "us" });
        let answer = service.post(&format!("{SETS}/{set}/sessions"), &body).await;
        assert_eq!(refused(&answer), (409, "RunnerScaleSetSessionConflictException".to_owned()));
    }
}
