//! The cases in which pollers before this one counted wrong, each through the binary: what GitHub holds is what is shown,
//! or it is said that it is not (actions-runner-controller#990, #2723, KEDA#7973, KEDA#8123, actions/runner#3872,
//! dawidd6/action-download-artifact#147).

use std::time::Duration;

use ghascale::sandbox::{Fault, Moment, Service, World};
use serde_json::{Value, json};

use super::{Desk, Ran, X64};

const HOUR: Duration = Duration::from_hours(1);

/// Runs `status` on a world that is made so.
async fn seen(make: impl FnOnce(&mut World)) -> Value {
    let desk = Desk::open().await;
    make(&mut desk.sandbox.world());
    status(&desk, 0).await
}

async fn status(desk: &Desk, code: i32) -> Value {
    let ran = desk.run("status -o json").await;
    assert_eq!(ran.code, code, "{ran:#?}");
    ran.json()
}

/// Returns what the pool `linux-x64` has: queued, in progress, and how they are known.
fn counts(report: &Value) -> (u64, u64, &str) {
    let pool = report["pools"].as_array().unwrap().iter().find(|pool| pool["name"] == "linux-x64").unwrap();
    let number = |name: &str| pool[name].as_u64().unwrap();
    (number("queued"), number("in_progress"), pool["count_kind"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_with_150_queued_jobs_and_one_whose_first_100_are_finished() {
    let whole = seen(|world| {
        let run = world.repository("api").run().id();
        for _ in 0..150 {
            world.run(run).job(X64);
        }
    });
    assert_eq!(counts(&whole.await), (150, 0, "exact"));
    let rest = seen(|world| {
        let run = world.repository("api").run().id();
        let jobs: Vec<u64> = (0..150).map(|_| world.run(run).job(X64).id()).collect();
        jobs[..100].iter().for_each(|job| world.cancel(*job));
    });
    assert_eq!(counts(&rest.await), (50, 0, "exact"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_with_130_queued_runs_and_one_with_1200() {
    for runs in [130, 1200] {
        let report = seen(|world| {
            for _ in 0..runs {
                world.repository("api").run().job(X64);
            }
        });
        assert_eq!(counts(&report.await), (runs, 0, "exact"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_with_a_sibling_that_is_queued() {
    let report = seen(|world| {
        world.repository("api").run().job(X64).waiting().job(X64);
    });
    let report = report.await;
    assert_eq!((counts(&report), &report["waiting"]), ((1, 0, "exact"), &json!({ "approval": 1 })));
}

/// Answers a list of runs with these, as it was a moment ago.
fn runs(matching: &str, runs: &[(u64, &str)]) -> Fault {
    let at = jiff::Timestamp::now().to_string();
    let run = |(id, status): &(u64, &str)| json!({ "id": id, "status": status, "created_at": at, "run_attempt": 1 });
    let body = json!({ "total_count": runs.len(), "workflow_runs": runs.iter().map(run).collect::<Vec<_>>() });
    Fault::github(matching).status(200).body(&body.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_goes_on_between_two_lists_counts_as_its_jobs_are() {
    let desk = Desk::open().await;
    let (started, released) = {
        let mut world = desk.sandbox.world();
        let runner = world.runner("r", X64).online().id();
        let started = world.repository("api").run().job(X64).lasting(HOUR).on_runner(runner).run_id();
        (started, world.repository("api").run().job(X64).run_id())
    };
    // The list of runs is older than the lists of jobs, in both directions.
    desk.sandbox.fault(runs("/repos/acme/api/actions/runs?", &[(started, "queued"), (released, "in_progress")]));
    assert_eq!(counts(&status(&desk, 0).await), (1, 1, "exact"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_run_that_goes_on_between_two_filtered_lists_is_met_by_the_next() {
    let desk = Desk::open().await;
    let old = Duration::from_hours(72);
    {
        let mut world = desk.sandbox.world();
        for _ in 0..150 {
            let done = world.repository("api").run().aged(old).job(X64).id();
            world.cancel(done);
        }
    }
    status(&desk, 0).await;
    let asked: Vec<String> = desk.calls(Service::Github, "status=").into_iter().map(|call| call.target).collect();
    let at = |status: &str| asked.iter().position(|target| target.contains(&format!("status={status}&"))).unwrap();
    let order = ["requested", "pending", "waiting", "queued", "in_progress"].map(at);
    assert!(order.is_sorted(), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn filtered_lists_that_answer_empty() {
    let desk = Desk::open().await;
    desk.sandbox.fault(runs("status=", &[]).times(99));
    for _ in 0..130 {
        desk.sandbox.world().repository("api").run().job(X64);
    }
    assert_eq!(counts(&status(&desk, 0).await), (130, 0, "exact"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_run_that_is_run_again_counts_with_its_new_jobs_only() {
    let report = seen(|world| {
        let old = world.repository("api").run().aged(Duration::from_hours(72)).job(X64).job(X64).run_id();
        for _ in 0..150 {
            let done = world.repository("api").run().aged(Duration::from_hours(48)).job(X64).id();
            world.cancel(done);
        }
        world.run(old).again().job(X64);
    });
    let report = report.await;
    assert_eq!((counts(&report), &report["jobs"][0]["attempt"]), ((1, 0, "exact"), &2.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn ghosts_with_and_without_jobs() {
    let report = seen(|world| {
        let days = Duration::from_hours(72);
        world.repository("api").run().aged(days);
        world.repository("api").run().aged(days).job(X64);
        world.repository("api").run().job(X64);
    });
    let report = report.await;
    assert_eq!((counts(&report), report["ghost_runs"].as_array().unwrap().len()), ((1, 0, "exact"), 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_in_another_case() {
    let report = seen(|world| {
        world.repository("api").run().job(["Self-Hosted", "LINUX", "X64"]).job(["linux", "x64"]);
    });
    assert_eq!(counts(&report.await), (2, 0, "exact"));
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_githubs_own_runners_are_nobodys() {
    let report = seen(|world| {
        world.settings.hosted_delay = HOUR;
        world.repository("api").run().job(["ubuntu-latest"]).hosted().job(["ubuntu-latest"]).on_hosted_runner();
    });
    let report = report.await;
    assert_eq!(counts(&report), (0, 0, "exact"));
    assert_eq!((&report["jobs"][0]["pool"], &report["label_sets"][0]["queued"]), (&Value::Null, &1.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_names_only_a_runner_group_goes_to_no_pool_and_is_shown() {
    let report = seen(|world| {
        world.repository("api").run().job(Vec::<String>::new());
    });
    let report = report.await;
    assert_eq!((counts(&report), &report["label_sets"][0]["labels"]), ((0, 0, "exact"), &json!([])));
    assert_eq!((&report["jobs"][0]["pool"], &report["label_sets"][0]["queued"]), (&Value::Null, &1.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_runs_jobs_that_answer_502_do_not_hide_the_others() {
    let desk = Desk::open().await;
    let lost = desk.sandbox.world().repository("api").run().job(X64).run_id();
    desk.jobs(2, X64);
    desk.sandbox.fault(Fault::github(&format!("/runs/{lost}/jobs")).status(502).body("<html>").times(9));
    let report = status(&desk, 3).await;
    assert_eq!(counts(&report), (2, 0, "at_least"));
    let warning = &report["warnings"][0];
    assert_eq!((&warning["code"], &warning["subject"]), (&json!("run_failed"), &json!(format!("acme/api run {lost}"))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_in_the_middle_that_is_lost_makes_it_a_lower_bound() {
    let desk = Desk::open().await;
    for _ in 0..230 {
        desk.sandbox.world().repository("api").run().job(X64);
    }
    desk.sandbox.fault(Fault::github("&page=2").status(500).times(99));
    let report = status(&desk, 3).await;
    let (queued, _, kind) = counts(&report);
    assert!((100..230).contains(&queued) && kind == "at_least", "{queued} {kind}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_was_renamed_is_read_under_its_new_name_and_counted_once() {
    let desk = Desk::open().await;
    desk.jobs(2, X64);
    // The list still has the old name, and GitHub redirects it; the new name is listed too.
    let list = r#"[{"full_name":"acme/old-name"},{"full_name":"acme/api"}]"#;
    desk.sandbox.fault(Fault::github("/orgs/acme/repos?").status(200).body(list).times(9));
    let api = format!("{}/api/v3/repos/acme/api/actions/runs", desk.sandbox.endpoint());
    let redirect = |part: &str, to: String| Fault::github(part).redirected(&to).times(9);
    desk.sandbox.fault(redirect("/repos/acme/old-name/actions/runs?", format!("{api}?per_page=100")));
    let runs = desk.sandbox.world().run_ids();
    for run in runs {
        desk.sandbox.fault(redirect(&format!("/old-name/actions/runs/{run}/jobs"), format!("{api}/{run}/jobs")));
    }
    for _ in 0..2 {
        assert_eq!(counts(&status(&desk, 0).await), (2, 0, "exact"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_a_fork_that_is_gone_and_one_that_waits_for_approval() {
    let desk = Desk::open().await;
    let run = desk.sandbox.world().repository("api").run().job(X64).run_id();
    let body = json!({ "total_count": 2, "workflow_runs": [
        { "id": run, "status": "queued", "head_repository": null, "head_commit": null, "head_branch": null, "name": null,
          "pull_requests": null, "created_at": null, "run_started_at": null, "run_attempt": null },
        { "id": 7, "status": "completed", "conclusion": "action_required", "created_at": "2026-11-24T00:00:00Z" },
    ] });
    desk.sandbox.fault(Fault::github("/repos/acme/api/actions/runs?").status(200).body(&body.to_string()).times(9));
    assert_eq!(counts(&status(&desk, 0).await), (1, 0, "exact"));
    assert!(desk.calls(Service::Github, "/runs/7/jobs").is_empty(), "an approval that is missing has no jobs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_run_again_counts_once() {
    let report = seen(|world| {
        let run = world.repository("api").run().job(X64).job(X64).run_id();
        world.run(run).again().job(X64);
    });
    let report = report.await;
    assert_eq!((counts(&report), &report["jobs"][0]["attempt"]), ((1, 0, "exact"), &2.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_word_for_a_run_is_no_reason_to_pass_it_over() {
    let desk = Desk::open().await;
    let run = desk.sandbox.world().repository("api").run().job(X64).run_id();
    for word in ["hovering", "requested", "pending", "waiting"] {
        desk.sandbox.fault(runs("/repos/acme/api/actions/runs?", &[(run, word)]));
        assert_eq!(counts(&status(&desk, 0).await), (1, 0, "exact"), "{word}");
    }
}

/// Fills a repository's first pages with runs that are done, so that older ones are found in the index only.
fn bury(world: &mut World) {
    for _ in 0..250 {
        let done = world.repository("api").run().aged(48 * HOUR).job(X64).id();
        world.cancel(done);
    }
}

/// Lets so many old runs behind a repository's first pages be queued again; returns their jobs.
fn queued_again(world: &mut World, count: usize) -> Vec<u64> {
    let runs: Vec<u64> = (0..count).map(|_| world.repository("api").run().aged(72 * HOUR).job(X64).run_id()).collect();
    for job in world.job_ids() {
        world.cancel(job);
    }
    bury(world);
    runs.iter().map(|run| world.run(*run).again().job(X64).id()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_appears_in_a_run_whose_own_entry_stays_as_it_was() {
    let desk = Desk::open().await;
    // Parked behind another: neither its status nor its `updated_at` changes as long as one of its jobs is.
    let run =
        desk.sandbox.world().repository("api").run().aged(2 * HOUR).job(X64).waiting().job(X64).waiting().run_id();
    let report = status(&desk, 0).await;
    assert_eq!((counts(&report), &report["waiting"]), ((0, 0, "exact"), &json!({ "approval": 2 })));
    for jobs in 1..=2 {
        desk.sandbox.world().run(run).job(X64);
        desk.sandbox.forget_calls();
        assert_eq!(counts(&status(&desk, 0).await), (jobs, 0, "exact"));
        let entry = desk.calls(Service::Github, "/repos/acme/api/actions/runs?");
        assert!(entry.iter().all(|call| call.status == Some(304)), "the list of runs has not changed: {entry:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_lags_hides_no_new_run_and_an_old_one_that_is_run_again_shows_with_it() {
    let desk = Desk::open().await;
    let lag = Duration::from_mins(10);
    let old = {
        let mut world = desk.sandbox.world();
        let old = world.repository("api").run().aged(72 * HOUR).job(X64);
        let (run, job) = (old.run_id(), old.id());
        world.cancel(job);
        bury(&mut world);
        world.settings.index_lag = lag;
        run
    };
    // It is empty at first, and then knows that all are done.
    for _ in 0..2 {
        assert_eq!(counts(&status(&desk, 0).await), (0, 0, "exact"));
        desk.sandbox.advance(lag);
    }
    let (new, again) = {
        let mut world = desk.sandbox.world();
        let new = world.repository("api").run().job(X64).id();
        (new, world.run(old).again().job(X64).id())
    };
    assert_eq!(counts(&status(&desk, 0).await), (1, 0, "exact"));
    desk.sandbox.advance(lag);
    assert_eq!(counts(&status(&desk, 0).await), (2, 0, "exact"));
    // What it calls queued for a while yet is done.
    for (job, left) in [(again, 1), (new, 0)] {
        desk.sandbox.world().cancel(job);
        assert_eq!(counts(&status(&desk, 0).await), (left, 0, "exact"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_run_that_the_index_forgets_again_stays_known_until_it_is_done() {
    let desk = Desk::open().await;
    let job = {
        let mut world = desk.sandbox.world();
        let job = world.repository("api").run().aged(72 * HOUR).job(X64);
        let (run, job) = (job.run_id(), job.id());
        world.cancel(job);
        bury(&mut world);
        world.run(run).again().job(X64).id()
    };
    assert_eq!(counts(&status(&desk, 0).await), (1, 0, "exact"));
    desk.sandbox.fault(runs("status=", &[]).times(99));
    for _ in 0..2 {
        assert_eq!(counts(&status(&desk, 0).await), (1, 0, "exact"));
    }
    desk.sandbox.world().cancel(job);
    assert_eq!(counts(&status(&desk, 0).await), (0, 0, "exact"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_with_1200_queued_runs_before_a_long_history() {
    let report = seen(|world| {
        bury(world);
        for _ in 0..1200 {
            world.repository("api").run().job(X64);
        }
    });
    // The index lists a thousand of them; the list itself has them all.
    assert_eq!(counts(&report.await), (1200, 0, "exact"));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_1200_old_runs_that_are_queued_again_a_thousand_are_found_and_that_is_said_once() {
    let desk = Desk::open().await;
    queued_again(&mut desk.sandbox.world(), 1200);
    let report = status(&desk, 3).await;
    assert_eq!(counts(&report), (1000, 0, "at_least"));
    assert_eq!(report["warnings"].as_array().unwrap().len(), 1, "{:#}", report["warnings"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_history_is_listed_to_its_end_and_not_searched() {
    let desk = Desk::open().await;
    for _ in 0..3 {
        let mut world = desk.sandbox.world();
        let done = world.repository("api").run().aged(48 * HOUR).job(X64).id();
        world.cancel(done);
    }
    assert_eq!(counts(&status(&desk, 0).await), (0, 0, "exact"));
    assert!(desk.calls(Service::Github, "status=").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_at_work_for_more_than_a_day_is_no_ghost_while_its_jobs_are_hidden() {
    let report = seen(|world| {
        let runner = world.runner("r", X64).online().id();
        let run = world.repository("api").run().job(X64).lasting(100 * HOUR).on_runner(runner).run_id();
        world.run(run).aged(30 * HOUR).with_hidden_jobs();
        world.repository("api").run().aged(30 * HOUR).with_hidden_jobs();
    });
    let report = report.await;
    let of = |list: &str| report[list].as_array().unwrap().len();
    assert_eq!((of("unresolved_runs"), of("ghost_runs")), (1, 1), "{report:#}");
}

/// Runs `status`, and cancels these jobs when the first page of queued runs has been read, and not the second.
async fn status_while_some_leave(desk: &Desk, jobs: &[u64]) -> Ran {
    let mut second = desk.sandbox.hold_at("status=queued&page=2", Moment::Before);
    let change = async {
        second.reached().await.unwrap();
        for job in jobs {
            desk.sandbox.world().cancel(*job);
        }
        drop(second);
    };
    tokio::join!(desk.run("status -o json"), change).0
}

#[tokio::test(flavor = "multi_thread")]
async fn new_runs_that_leave_the_index_between_two_pages_are_known_all_the_same() {
    let desk = Desk::open().await;
    let jobs: Vec<u64> = {
        let mut world = desk.sandbox.world();
        bury(&mut world);
        (0..130).map(|_| world.repository("api").run().job(X64).id()).collect()
    };
    let ran = status_while_some_leave(&desk, &jobs[110..]).await;
    assert_eq!((ran.code, counts(&ran.json())), (0, (110, 0, "exact")), "{ran:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn old_runs_that_leave_their_list_between_two_pages_hide_none_silently() {
    let desk = Desk::open().await;
    let jobs = queued_again(&mut desk.sandbox.world(), 130);
    // The newest are on the first page.
    let ran = status_while_some_leave(&desk, &jobs[110..]).await;
    let report = ran.json();
    let (queued, _, kind) = counts(&report);
    assert_eq!((ran.code, queued, kind), (3, 90, "at_least"), "{ran:#?}");
    assert_eq!(counts(&status(&desk, 0).await), (110, 0, "exact"));
}
