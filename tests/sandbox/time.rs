//! The rules of the world: what happens as time passes.

use ghascale::engine::{InstanceState, Label, birth_label, born};
use ghascale::sandbox::JobStatus;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);

fn state(sandbox: &Sandbox, instance: &str) -> Option<InstanceState> {
    sandbox.world().instance_states().into_iter().find(|(id, _)| id == instance).map(|(_, state)| state)
}

#[tokio::test]
async fn an_instance_boots_takes_a_job_ends_it_and_is_gone_with_its_runner() {
    let sandbox = empty().await;
    let job = sandbox.world().repository("api").run().job(LINUX).lasting(20 * SECOND).id();
    let (runner, instance) = launch(&sandbox, "fleet-linux-000", &LINUX).await;
    assert_eq!(state(&sandbox, &instance), Some(InstanceState::Pending));

    sandbox.advance(SECOND);
    assert_eq!(state(&sandbox, &instance), Some(InstanceState::Running));
    assert_eq!(sandbox.world().job_status(job), Some(JobStatus::Queued));

    sandbox.advance(SECOND);
    assert_eq!(sandbox.world().job_status(job), Some(JobStatus::InProgress));
    let record = get(&sandbox, &format!("/orgs/acme/actions/runners/{runner}")).await.json();
    assert_eq!((&record["status"], &record["busy"]), (&json!("online"), &json!(true)));

    sandbox.advance(20 * SECOND);
    assert_eq!(sandbox.world().job_conclusion(job), Some("success"));
    assert_eq!(sandbox.world().runner_names(), [""; 0]);
    assert_eq!(get(&sandbox, &format!("/orgs/acme/actions/runners/{runner}")).await.status, 404);

    sandbox.advance(2 * SECOND);
    assert_eq!(state(&sandbox, &instance), Some(InstanceState::Terminated));
    sandbox.advance(HOUR);
    assert_eq!(state(&sandbox, &instance), None);
}

#[tokio::test]
async fn all_of_it_happens_in_one_long_advance_too() {
    let sandbox = empty().await;
    let job = sandbox.world().repository("api").run().job(LINUX).id();
    let (_, instance) = launch(&sandbox, "fleet-linux-000", &LINUX).await;
    sandbox.advance(HOUR);
    assert_eq!(sandbox.world().job_conclusion(job), Some("success"));
    assert_eq!(state(&sandbox, &instance), Some(InstanceState::Terminated));
}

#[tokio::test]
async fn a_runner_takes_only_jobs_all_of_whose_labels_it_has_oldest_first_without_case() {
    let sandbox = empty().await;
    let (other, younger, older) = {
        let mut world = sandbox.world();
        let other = world.repository("api").run().job(["self-hosted", "gpu"]).id();
        let younger = world.repository("api").run().aged(SECOND).job(LINUX).id();
        let older = world.repository("web").run().aged(2 * SECOND).job(["Linux", "X64"]).id();
        (other, younger, older)
    };
    launch(&sandbox, "fleet-linux-000", &LINUX).await;
    sandbox.advance(2 * SECOND);
    let world = sandbox.world();
    assert_eq!(world.job_status(older), Some(JobStatus::InProgress));
    assert_eq!(world.job_status(younger), Some(JobStatus::Queued));
    assert_eq!(world.job_status(other), Some(JobStatus::Queued));
}

#[tokio::test]
async fn a_runner_of_one_repository_takes_no_job_of_another() {
    let sandbox = empty().await;
    let (mine, others) = {
        let mut world = sandbox.world();
        let others = world.repository("web").run().aged(SECOND).job(LINUX).id();
        let mine = world.repository("api").run().job(LINUX).id();
        world.runner("box", LINUX).of_repository("acme/api").online();
        (mine, others)
    };
    let world = sandbox.world();
    assert_eq!(world.job_status(mine), Some(JobStatus::InProgress));
    assert_eq!(world.job_status(others), Some(JobStatus::Queued));
}

#[tokio::test]
async fn an_idle_runner_powers_its_host_off_and_its_record_stays_offline_for_a_day() {
    let sandbox = empty().await;
    let (runner, instance) = launch(&sandbox, "fleet-linux-000", &LINUX).await;
    sandbox.advance(9 * 60 * SECOND);
    assert_eq!(state(&sandbox, &instance), Some(InstanceState::Running));
    sandbox.advance(2 * 60 * SECOND);
    assert_eq!(state(&sandbox, &instance), Some(InstanceState::Terminated));
    let record = get(&sandbox, &format!("/orgs/acme/actions/runners/{runner}")).await.json();
    assert_eq!(record["status"], "offline");
    sandbox.advance(24 * HOUR);
    assert_eq!(get(&sandbox, &format!("/orgs/acme/actions/runners/{runner}")).await.status, 404);
}

#[tokio::test]
async fn an_instance_whose_registration_is_dead_powers_itself_off() {
    let sandbox = empty().await;
    let (runner, jit_config) = register(&sandbox, "fleet-linux-000", &LINUX).await;
    assert_eq!(delete(&sandbox, &format!("/orgs/acme/actions/runners/{runner}")).await.status, 204);
    let launched = ec2::run_instance(&sandbox, "a").user_data(ec2::user_data(&jit_config)).send().await.unwrap();
    sandbox.advance(5 * SECOND);
    let instance = launched.instances()[0].instance_id().unwrap();
    assert_eq!(state(&sandbox, instance), Some(InstanceState::Terminated));
}

#[tokio::test]
async fn of_two_instances_with_one_registration_the_second_powers_itself_off_and_the_first_goes_on() {
    let sandbox = empty().await;
    let (runner, jit_config) = register(&sandbox, "fleet-linux-000", &LINUX).await;
    let mut ids = Vec::new();
    for token in ["one", "two"] {
        let run = ec2::run_instance(&sandbox, token).user_data(ec2::user_data(&jit_config));
        ids.push(run.send().await.unwrap().instances()[0].instance_id().unwrap().to_owned());
    }
    sandbox.advance(60 * SECOND);
    assert_eq!(state(&sandbox, &ids[0]), Some(InstanceState::Running));
    assert_eq!(state(&sandbox, &ids[1]), Some(InstanceState::Terminated));
    let record = get(&sandbox, &format!("/orgs/acme/actions/runners/{runner}")).await.json();
    assert_eq!(record["status"], "online");
}

#[tokio::test]
async fn gzipped_user_data_starts_a_runner_too() {
    let sandbox = empty().await;
    let (_, jit_config) = register(&sandbox, "fleet-linux-000", &LINUX).await;
    let job = sandbox.world().repository("api").run().job(LINUX).id();
    ec2::run_instance(&sandbox, "a").user_data(ec2::gzipped_user_data(&jit_config)).send().await.unwrap();
    sandbox.advance(2 * SECOND);
    assert_eq!(sandbox.world().job_status(job), Some(JobStatus::InProgress));
}

#[tokio::test]
async fn a_boot_that_fails_leaves_a_running_instance_and_an_offline_record() {
    let sandbox = empty().await;
    sandbox.world().fail_next_boots(1);
    let (runner, instance) = launch(&sandbox, "fleet-linux-000", &LINUX).await;
    let (other, _) = launch(&sandbox, "fleet-linux-001", &LINUX).await;
    sandbox.advance(60 * SECOND);
    assert_eq!(state(&sandbox, &instance), Some(InstanceState::Running));
    let status =
        async |id: u64| get(&sandbox, &format!("/orgs/acme/actions/runners/{id}")).await.json()["status"].clone();
    assert_eq!(status(runner).await, "offline");
    assert_eq!(status(other).await, "online");
}

#[tokio::test]
async fn a_job_whose_instance_is_taken_away_fails_after_ten_minutes() {
    let sandbox = empty().await;
    let job = sandbox.world().repository("api").run().job(LINUX).lasting(2 * HOUR).id();
    let (_, instance) = launch(&sandbox, "fleet-linux-000", &LINUX).await;
    sandbox.advance(5 * SECOND);
    sandbox.world().interrupt(&instance);
    sandbox.advance(9 * 60 * SECOND);
    assert_eq!(sandbox.world().job_status(job), Some(JobStatus::InProgress));
    sandbox.advance(2 * 60 * SECOND);
    assert_eq!(sandbox.world().job_conclusion(job), Some("failure"));
}

#[tokio::test]
async fn while_busy_lags_a_running_runner_looks_idle_and_deleting_it_loses_its_job() {
    let sandbox = empty().await;
    sandbox.world().settings.busy_lag = 60 * SECOND;
    let job = sandbox.world().repository("api").run().job(LINUX).lasting(2 * HOUR).id();
    let (runner, instance) = launch(&sandbox, "fleet-linux-000", &LINUX).await;
    sandbox.advance(5 * SECOND);
    let path = format!("/orgs/acme/actions/runners/{runner}");
    assert_eq!(get(&sandbox, &path).await.json()["busy"], false);
    assert_eq!(delete(&sandbox, &path).await.status, 204);
    sandbox.advance(6 * 60 * SECOND);
    assert_eq!(state(&sandbox, &instance), Some(InstanceState::Terminated));
    sandbox.advance(6 * 60 * SECOND);
    assert_eq!(sandbox.world().job_conclusion(job), Some("failure"));
}

#[tokio::test]
async fn a_job_in_a_concurrency_group_waits_for_the_one_before_it() {
    let sandbox = empty().await;
    let (first, second) = {
        let mut world = sandbox.world();
        let first = world.repository("api").run().job(["ubuntu-latest"]).lasting(10 * SECOND).on_hosted_runner().id();
        let second = world.repository("api").run().job(LINUX).pending_until(first).id();
        (first, second)
    };
    assert_eq!(sandbox.world().job_status(second), Some(JobStatus::Pending));
    sandbox.advance(11 * SECOND);
    assert_eq!(sandbox.world().job_conclusion(first), Some("success"));
    assert_eq!(sandbox.world().job_status(second), Some(JobStatus::Queued));
}

#[tokio::test]
async fn an_advance_makes_marks_and_birth_labels_older_too() {
    let sandbox = empty().await;
    let now = sandbox.world().now();
    let label = birth_label(now, 77);
    let (runner, instance) = launch(&sandbox, "fleet-linux-000", &["linux", label.as_str()]).await;
    sandbox.world().tag(&instance, "ghascale:idle-since", &now.as_second().to_string());
    sandbox.advance(300 * SECOND);
    let then = now.as_second() - 300;
    assert_eq!(sandbox.world().tags(&instance).unwrap()["ghascale:idle-since"], then.to_string());
    let record = get(&sandbox, &format!("/orgs/acme/actions/runners/{runner}")).await.json();
    let aged = Label::new(record["labels"][1]["name"].as_str().unwrap());
    assert_eq!(born(std::slice::from_ref(&aged)).unwrap().as_second(), then);
    assert_eq!(aged.as_str().rsplit('-').next(), label.as_str().rsplit('-').next());
}

#[tokio::test]
async fn jobs_arrive_as_time_passes_and_hold_back_where_nobody_runs_them() {
    let sandbox = empty().await;
    sandbox.world().repository("api").arriving(10 * SECOND, LINUX, 5 * SECOND);
    sandbox.advance(35 * SECOND);
    assert_eq!(sandbox.world().count_jobs(JobStatus::Queued), 3);
    sandbox.advance(HOUR);
    assert_eq!(sandbox.world().count_jobs(JobStatus::Queued), 12);
}

#[tokio::test]
async fn the_scenario_acme_begins_with_demand_of_every_sort() {
    let sandbox = Sandbox::start(Scenario::Acme, 0).await.unwrap();
    let state = send(request(&sandbox, Method::GET, "/_sandbox/state")).await.json();
    let count = |labels: &[&str], status: &str| {
        state["jobs"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|job| job["labels"] == json!(labels) && job["status"] == status)
            .count()
    };
    assert_eq!(count(&LINUX, "queued"), 5);
    assert_eq!(count(&["self-hosted", "linux", "arm64"], "queued"), 3);
    assert_eq!(count(&["self-hosted", "linux", "gpu"], "queued"), 1);
    assert_eq!(count(&["self-hosted", "windows"], "queued"), 1);
    assert_eq!(count(&LINUX, "waiting"), 1);
    assert_eq!(count(&LINUX, "pending"), 1);
    assert_eq!(count(&["ubuntu-latest"], "in_progress"), 3);
}

#[tokio::test]
async fn a_day_passes_over_acme_with_nobody_there_and_it_stays_small() {
    let sandbox = Sandbox::start(Scenario::Acme, 0).await.unwrap();
    sandbox.advance(24 * HOUR);
    assert!(sandbox.world().count_jobs(JobStatus::Queued) < 50);
    assert!(sandbox.world().count_jobs(JobStatus::InProgress) < 5);
    assert_eq!(get(&sandbox, "/orgs/acme/repos").await.status, 200);
}

#[tokio::test]
async fn a_world_can_be_begun_again_later_as_old_as_it_was() {
    let sandbox = empty().await;
    let job = sandbox.world().repository("api").run().job(LINUX).lasting(30 * SECOND).id();
    let born_at = sandbox.world().now();
    let label = birth_label(born_at, 7);
    sandbox.world().runner("fleet-linux-007", [label.as_str()]);
    launch(&sandbox, "fleet-linux-000", &LINUX).await;
    sandbox.advance(20 * SECOND);
    let kept = sandbox.world().clone();
    sandbox.advance(HOUR);
    assert_eq!(sandbox.world().job_status(job), Some(JobStatus::Completed));
    let now = sandbox.world().now() + HOUR;
    let mut again = kept.as_of(now);
    assert_eq!((again.now(), again.job_status(job)), (now, Some(JobStatus::InProgress)));
    again.step(now + 5 * SECOND);
    assert_eq!(again.job_status(job), Some(JobStatus::InProgress));
    again.step(now + 15 * SECOND);
    assert_eq!(again.job_status(job), Some(JobStatus::Completed));
}
