//! Demand by REST, through the real client and over real HTTP: the cases in which pollers before this one counted wrong
//! (actions-runner-controller#990, #2723, KEDA#7973, dawidd6/action-download-artifact#147, actions/runner#3872), and an
//! App's authorization on every page.

mod ahead;
mod hints;
mod turns;

use std::time::{Duration, Instant};

use ghascale::config::{AppIssuer, Credentials, Github, Scan};
use ghascale::engine::{Connection, CountKind, JobState, Listing, Runner, Scope, WaitReason};
use ghascale::github::{Cache, Client, Error, ErrorKind, Limits, NoProgress, Patience, Scanned, runners, scan};
use ghascale::sandbox::{Fault, Moment, Sandbox, Scenario};
use ghascale::warning::WarningCode;
use globset::{Glob, GlobSet, GlobSetBuilder};
use jiff::Timestamp;

use crate::keys::private_key;

const LINUX: [&str; 2] = ["self-hosted", "linux"];

/// A world with one repository, and a client before it.
struct Bench {
    sandbox: Sandbox,
    client: Client,
}

fn globs(patterns: &[&str]) -> GlobSet {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(Glob::new(pattern).unwrap());
    }
    set.build().unwrap()
}

fn settings(exclude: &[&str]) -> Scan {
    Scan {
        exclude: globs(exclude),
        patterns: (Vec::new(), Vec::new()),
        concurrency: 8,
        ..Scan::of_every_repository().unwrap()
    }
}

fn client(sandbox: &Sandbox, credentials: Credentials) -> Client {
    let github = Github {
        url: sandbox.url(),
        scope: organization(),
        api_url: format!("{}/api/v3", sandbox.endpoint()),
        credentials,
        ca_pem: None,
    };
    let patience =
        Patience { rate_limit: Duration::from_secs(2), pause: Duration::from_millis(1), ..Patience::default() };
    // The pace has tests of its own (src/github/gate.rs).
    let limits = Limits { at_once: 64, per_minute: Some(1_000_000), ..Limits::default() };
    Client::with_patience(&github, patience).unwrap().with_limits(limits)
}

fn organization() -> Scope {
    Scope::Organization("acme".into())
}

impl Bench {
    async fn open() -> Self {
        let sandbox = Sandbox::start(Scenario::Empty, 0).await.unwrap();
        let client = client(&sandbox, Credentials::Token(sandbox.token().to_owned().into()));
        Self { sandbox, client }
    }

    fn token(&self) -> Credentials {
        Credentials::Token(self.sandbox.token().to_owned().into())
    }

    async fn scan(&self) -> Scanned {
        self.try_scan(&[]).await.unwrap()
    }

    async fn try_scan(&self, exclude: &[&str]) -> Result<Scanned, Error> {
        scan(&self.client, &organization(), &settings(exclude), Timestamp::now(), &NoProgress).await
    }

    async fn runners(&self) -> (Listing<Runner>, Vec<ghascale::warning::Warning>) {
        runners(&self.client, &organization()).await.unwrap()
    }
}

fn pending(scanned: &Scanned) -> usize {
    scanned.demand.pending().count()
}

fn codes(scanned: &Scanned) -> Vec<WarningCode> {
    scanned.warnings.iter().map(|warning| warning.code).collect()
}

// --- truth cases ----------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_run_with_150_queued_jobs_has_150() {
    let world = Bench::open().await;
    {
        let mut world = world.sandbox.world();
        let mut job = world.repository("api").run().job(LINUX);
        for _ in 1..150 {
            job = job.job(LINUX);
        }
    }
    let scanned = world.scan().await;
    assert_eq!((pending(&scanned), scanned.demand.kind), (150, CountKind::Exact));
}

#[tokio::test]
async fn a_run_whose_first_100_jobs_are_finished_has_the_other_50() {
    let world = Bench::open().await;
    {
        let mut world = world.sandbox.world();
        let run = world.repository("api").run().id();
        let jobs: Vec<u64> = (0..150).map(|_| world.run(run).job(LINUX).id()).collect();
        for job in &jobs[..100] {
            world.cancel(*job);
        }
    }
    assert_eq!(pending(&world.scan().await), 50);
}

#[tokio::test]
async fn each_of_1200_queued_runs_is_found() {
    let world = Bench::open().await;
    for _ in 0..1200 {
        world.sandbox.world().repository("api").run().job(LINUX);
    }
    let scanned = world.scan().await;
    assert_eq!((pending(&scanned), scanned.demand.kind), (1200, CountKind::Exact));
}

#[tokio::test]
async fn a_run_that_waits_can_hold_a_job_that_does_not() {
    let world = Bench::open().await;
    world.sandbox.world().repository("api").run().job(LINUX).waiting().job(LINUX);
    let scanned = world.scan().await;
    assert_eq!(pending(&scanned), 1);
    assert!(scanned.demand.jobs.iter().any(|job| job.state == JobState::Waiting(WaitReason::Approval)));
}

#[tokio::test]
async fn an_old_run_that_is_run_again_is_found_behind_pages_of_history() {
    let world = Bench::open().await;
    {
        let mut world = world.sandbox.world();
        let old = world.repository("api").run().aged(Duration::from_hours(72)).id();
        for _ in 0..150 {
            let done = world.repository("api").run().aged(Duration::from_hours(48)).job(LINUX).id();
            world.cancel(done);
        }
        world.run(old).again().job(LINUX);
    }
    let scanned = world.scan().await;
    assert_eq!((pending(&scanned), scanned.demand.kind), (1, CountKind::Exact), "{:?}", scanned.warnings);
}

#[tokio::test]
async fn filtered_lists_that_answer_empty_hide_nothing() {
    let world = Bench::open().await;
    let empty = r#"{"total_count":0,"workflow_runs":[]}"#;
    world.sandbox.fault(Fault::github("status=").status(200).body(empty).times(99));
    for _ in 0..130 {
        world.sandbox.world().repository("api").run().job(LINUX);
    }
    assert_eq!(pending(&world.scan().await), 130);
}

#[tokio::test]
async fn a_run_without_visible_jobs_is_unresolved_and_not_zero() {
    let world = Bench::open().await;
    world.sandbox.world().repository("api").run().with_hidden_jobs();
    world.sandbox.world().repository("web").run();
    let scanned = world.scan().await;
    assert_eq!((scanned.demand.unresolved.len(), scanned.demand.ghosts.len()), (2, 0), "{scanned:?}");
    assert_eq!(codes(&scanned), [WarningCode::UnresolvedRun; 2]);
}

#[tokio::test]
async fn ghosts_with_and_without_jobs_are_listed_and_not_counted() {
    let world = Bench::open().await;
    let days = Duration::from_hours(72);
    world.sandbox.world().repository("api").run().aged(days);
    world.sandbox.world().repository("api").run().aged(days).job(LINUX);
    // A job of today in a run of last week is no ghost.
    let run = world.sandbox.world().repository("api").run().aged(days).id();
    world.sandbox.world().run(run).again().job(LINUX);
    let scanned = world.scan().await;
    assert_eq!((pending(&scanned), scanned.demand.ghosts.len(), scanned.demand.kind), (1, 2, CountKind::Exact));
}

#[tokio::test]
async fn each_job_counts_once_though_lists_overlap() {
    let world = Bench::open().await;
    for _ in 0..101 {
        world.sandbox.world().repository("api").run().job(LINUX);
    }
    // The second page shows the first again, as it does when a run begins while pages are read.
    let first = format!("{}/api/v3/repos/acme/api/actions/runs?per_page=100", world.sandbox.endpoint());
    world.sandbox.fault(Fault::github("page=2").redirected(&first));
    let scanned = world.scan().await;
    let mut ids: Vec<_> = scanned.demand.jobs.iter().map(|job| job.id).collect();
    ids.dedup();
    assert_eq!((ids.len(), scanned.demand.jobs.len()), (101, 101));
    assert!(world.sandbox.calls().iter().filter(|call| call.target.contains("page=2")).count() > 1);
}

#[tokio::test]
async fn what_is_not_scanned_is_said_with_its_reason() {
    let world = Bench::open().await;
    {
        let mut world = world.sandbox.world();
        world.repository("attic").archived();
        world.repository("frozen").disabled();
        world.repository("secret-1").run().job(LINUX);
        world.repository("secret-2").run().job(LINUX);
    }
    let scanned = world.try_scan(&["secret-1", "acme/secret-2"]).await.unwrap();
    let skipped: Vec<_> =
        scanned.demand.skipped.iter().map(|one| (one.repository.as_str(), one.reason.as_str())).collect();
    let expected = [
        ("acme/attic", "archived"),
        ("acme/frozen", "disabled"),
        ("acme/secret-1", "excluded"),
        ("acme/secret-2", "excluded"),
    ];
    assert_eq!((skipped, pending(&scanned)), (expected.to_vec(), 0));
}

// --- odd answers ----------------------------------------------------------------------------------------------------

/// Scans a world whose one run's jobs are answered so.
async fn with_jobs(body: &str) -> Scanned {
    let world = Bench::open().await;
    world.sandbox.world().repository("api").run().job(LINUX);
    world.sandbox.fault(Fault::github("/jobs?").status(200).body(body).times(99));
    world.scan().await
}

#[tokio::test]
async fn nulls_and_missing_fields_of_a_job_are_survived() {
    let scanned = with_jobs(
        r#"{"total_count":1,"jobs":[{"id":7,"status":"queued","labels":null,"runner_id":null,"runner_name":null,
            "name":null,"created_at":null,"run_attempt":null,"html_url":null}]}"#,
    )
    .await;
    assert_eq!((pending(&scanned), scanned.demand.kind), (1, CountKind::Exact));
}

#[tokio::test]
async fn a_runner_of_zero_or_no_name_is_no_runner() {
    let scanned = with_jobs(
        r#"{"total_count":2,"jobs":[{"id":7,"status":"queued","labels":["linux"],"runner_id":0,"runner_name":""},
            {"id":8,"status":"queued","labels":["linux"],"runner_id":5,"runner_name":"x"}]}"#,
    )
    .await;
    let states: Vec<_> = scanned.demand.jobs.iter().map(|job| job.state.clone()).collect();
    assert_eq!(states, [JobState::Pending, JobState::InProgress]);
}

#[tokio::test]
async fn an_unknown_status_is_said_and_makes_the_count_a_lower_bound() {
    let scanned = with_jobs(r#"{"total_count":1,"jobs":[{"id":7,"status":"hovering","labels":[]}]}"#).await;
    assert_eq!((codes(&scanned), scanned.demand.kind), (vec![WarningCode::UnknownStatus], CountKind::AtLeast));
}

#[tokio::test]
async fn an_entry_without_an_id_does_not_hide_the_others() {
    let jobs = r#"{"total_count":2,"jobs":[{"status":"queued"},{"id":8,"status":"queued","labels":["linux"]}]}"#;
    let scanned = with_jobs(jobs).await;
    assert_eq!((pending(&scanned), scanned.demand.kind), (1, CountKind::AtLeast));
}

#[tokio::test]
async fn bodies_that_are_no_list_of_jobs_are_warnings_that_name_the_request() {
    for body in ["{", "[]]", "null", "7", r#"{"jobs":null}"#, r#"{"jobs":7}"#, "<html>no</html>", ""] {
        let scanned = with_jobs(body).await;
        assert_eq!(
            (codes(&scanned), scanned.demand.kind),
            (vec![WarningCode::RunFailed], CountKind::AtLeast),
            "{body}"
        );
        assert!(scanned.warnings[0].message.contains("/actions/runs/"), "{:?}", scanned.warnings);
    }
}

#[tokio::test]
async fn a_redirect_on_the_same_server_is_followed_and_elsewhere_the_token_does_not_go() {
    let world = Bench::open().await;
    world.sandbox.world().repository("api").run().job(LINUX);
    let renamed = format!("{}/api/v3/repos/acme/api/actions/runs?per_page=100", world.sandbox.endpoint());
    world.sandbox.fault(Fault::github("/repos/acme/api/actions/runs?").skip(0).redirected(&renamed));
    assert_eq!(pending(&world.scan().await), 1);

    let elsewhere = Sandbox::start(Scenario::Empty, 0).await.unwrap();
    let stolen = format!("{}/api/v3/orgs/acme", elsewhere.endpoint());
    world.sandbox.fault(Fault::github("/repos/acme/api/actions/runs?").redirected(&stolen).times(9));
    let error = world.try_scan(&[]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unexpected, "{error}");
    assert!(elsewhere.calls().is_empty(), "the other server was asked");
}

#[tokio::test]
async fn a_short_rate_limit_is_waited_for_and_a_long_one_is_not() {
    let world = Bench::open().await;
    world.sandbox.world().repository("api").run().job(LINUX);
    world.sandbox.fault(Fault::github("/orgs/acme/repos").status(429).header("retry-after", "1"));
    assert_eq!(pending(&world.scan().await), 1);
    // Each with a client of its own, since one that was refused for an hour does not even ask.
    let secondary = "You have exceeded a secondary rate limit.";
    for fault in [
        Fault::github("/orgs/acme/repos").status(429).header("retry-after", "3600"),
        Fault::github("/orgs/acme/repos").status(403).header("retry-after", "3600"),
        Fault::github("/orgs/acme/repos").status(403).header("x-ratelimit-remaining", "0"),
        Fault::github("/orgs/acme/repos").status(403).message(secondary),
        Fault::github("/orgs/acme/repos").status(403).message("You have triggered an abuse detection mechanism."),
        Fault::github("/orgs/acme/repos").status(403).header("retry-after", "Sun, 06 Nov 2033 08:49:37 GMT"),
    ] {
        let world = Bench::open().await;
        world.sandbox.fault(fault);
        for _ in 0..2 {
            let error = world.try_scan(&[]).await.unwrap_err();
            assert!(matches!(error.kind, ErrorKind::RateLimited { until: Some(_) }), "{error}");
        }
        assert_eq!(world.sandbox.calls().len(), 1, "a refusal is not asked for again");
    }
    let world = Bench::open().await;
    world.sandbox.fault(Fault::github("/orgs/acme/repos").status(403).message("Resource not accessible"));
    assert_eq!(world.try_scan(&[]).await.unwrap_err().kind, ErrorKind::Forbidden);
}

#[tokio::test]
async fn a_server_that_fails_and_says_for_how_long_is_asked_no_earlier() {
    let world = Bench::open().await;
    world.sandbox.world().repository("api").run().job(LINUX);
    world.sandbox.world().repository("web").run().job(LINUX);
    let failing = || Fault::github("/repos/acme/api/actions/runs?").status(503);
    world.sandbox.fault(failing().header("retry-after", "1"));
    let began = Instant::now();
    assert_eq!(pending(&world.scan().await), 2);
    assert!(began.elapsed() >= Duration::from_secs(1));
    // Longer than a look waits: it is not asked again, and the others are read all the same.
    world.sandbox.forget_calls();
    world.sandbox.fault(failing().header("retry-after", "600").times(9));
    let scanned = world.scan().await;
    assert_eq!((pending(&scanned), scanned.demand.kind), (1, CountKind::AtLeast));
    let asked = world.sandbox.calls().iter().filter(|call| call.target.contains("/acme/api/actions/runs?")).count();
    assert_eq!(asked, 1);
}

#[tokio::test]
async fn nothing_more_is_asked_once_the_rate_limit_has_ended() {
    let world = Bench::open().await;
    for name in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"] {
        world.sandbox.world().repository(name).run().job(LINUX);
    }
    world.sandbox.fault(Fault::github("/repos/acme/a/").status(429).header("retry-after", "3600").times(99));
    let scanned = world.scan().await;
    assert_eq!(scanned.demand.kind, CountKind::AtLeast);
    assert!(codes(&scanned).contains(&WarningCode::RateLimited));
    let refused = world.sandbox.calls().iter().filter(|call| call.status == Some(429)).count();
    assert_eq!(refused, 1, "a refusal is not asked for again");
}

#[tokio::test]
async fn a_list_that_leads_to_itself_or_breaks_off_is_not_whole() {
    let world = Bench::open().await;
    world.sandbox.world().repository("api").run().job(LINUX);
    let page = r#"{"total_count":9,"workflow_runs":[]}"#;
    let again = r#"<https://elsewhere.example/x?exclude_pull_requests=true&per_page=30>; rel="next""#;
    let on = r#"<https://elsewhere.example/x?page=2>; rel="next""#;
    for link in [again, on] {
        let fault = Fault::github("/repos/acme/api/actions/runs?").status(200).body(page).header("link", link);
        world.sandbox.fault(fault);
        let error = world.try_scan(&[]).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Protocol, "{error}");
    }
}

// --- runner records -------------------------------------------------------------------------------------------------

#[tokio::test]
async fn every_page_of_runners_is_read() {
    let world = Bench::open().await;
    for nth in 0..250 {
        world.sandbox.world().runner(&format!("r{nth}"), LINUX).online();
    }
    let (listing, warnings) = world.runners().await;
    assert_eq!((listing.items.len(), listing.whole, warnings), (250, true, vec![]));
    assert!(listing.items.iter().all(|runner| runner.connection == Connection::Online));
}

#[tokio::test]
async fn a_lost_page_of_runners_makes_the_list_partial() {
    let world = Bench::open().await;
    for nth in 0..150 {
        world.sandbox.world().runner(&format!("r{nth}"), LINUX);
    }
    world.sandbox.fault(Fault::github("actions/runners?per_page=100&page=2").status(500).times(99));
    let (listing, warnings) = world.runners().await;
    assert_eq!((listing.items.len(), listing.whole), (100, false));
    assert_eq!(warnings[0].code, WarningCode::RunnersFailed);
}

#[tokio::test]
async fn a_list_of_runners_that_lost_an_entry_between_two_pages_is_read_again() {
    let world = Bench::open().await;
    world.sandbox.world().runner("seen", LINUX);
    // It says two, and shows one: the other slipped through while a third was deleted.
    let shifted = r#"{"total_count":2,"runners":[{"id":1,"name":"seen","status":"online","busy":false,"labels":[]}]}"#;
    world.sandbox.fault(Fault::github("actions/runners?").status(200).body(shifted));
    let (listing, _) = world.runners().await;
    assert!(listing.whole, "the second reading was whole");
    world.sandbox.fault(Fault::github("actions/runners?").status(200).body(shifted).times(9));
    let (listing, warnings) = world.runners().await;
    assert!(!listing.whole && warnings[0].code == WarningCode::RunnersFailed, "{warnings:?}");
}

#[tokio::test]
async fn a_runner_of_which_little_is_known_is_neither_idle_nor_offline() {
    let world = Bench::open().await;
    let odd = r#"{"total_count":1,"runners":[{"id":1,"name":null,"status":null,"busy":null,"labels":null}]}"#;
    world.sandbox.fault(Fault::github("actions/runners?").status(200).body(odd));
    let (listing, _) = world.runners().await;
    assert_eq!((listing.items[0].connection, listing.items[0].busy), (Connection::Unknown, true));
}

// --- long lists of repositories -------------------------------------------------------------------------------------

#[tokio::test]
async fn a_long_list_of_repositories_is_read_once_each_page_and_whole() {
    let world = Bench::open().await;
    for nth in 0..450 {
        world.sandbox.world().repository(&format!("r{nth:03}"));
    }
    let scanned = world.scan().await;
    assert_eq!((scanned.demand.scanned, scanned.demand.kind), (451, CountKind::Exact));
    let calls = world.sandbox.calls();
    let mut pages: Vec<&str> =
        calls.iter().map(|call| call.target.as_str()).filter(|target| target.starts_with("/orgs/acme/repos")).collect();
    pages.sort_unstable();
    pages.dedup();
    assert_eq!(pages.len(), 5, "{pages:?}");
    let asked = calls.iter().filter(|call| call.target.starts_with("/orgs/acme/repos")).count();
    assert_eq!(asked, 5);
}

#[tokio::test]
async fn a_page_in_the_middle_that_is_lost_is_said_once_and_nothing_is_exact() {
    let world = Bench::open().await;
    for nth in 0..450 {
        world.sandbox.world().repository(&format!("r{nth:03}"));
    }
    world.sandbox.fault(Fault::github("&page=3").status(500).times(99));
    let scanned = world.scan().await;
    assert_eq!((scanned.demand.scanned, scanned.demand.kind), (351, CountKind::AtLeast), "all but that page's hundred");
    let codes: Vec<WarningCode> = scanned.warnings.iter().map(|warning| warning.code).collect();
    assert_eq!(codes, [WarningCode::DiscoveryFailed]);
}

// --- an App ---------------------------------------------------------------------------------------------------------

async fn as_app(issuer: AppIssuer) -> Bench {
    let sandbox = Sandbox::start(Scenario::Empty, 0).await.unwrap();
    let credentials = Credentials::App { issuer, installation_id: 1, private_key: private_key().into() };
    let client = client(&sandbox, credentials);
    Bench { sandbox, client }
}

#[tokio::test]
async fn an_app_mints_once_for_many_tasks_and_is_authorised_on_every_page() {
    for issuer in [AppIssuer::AppId(1), AppIssuer::ClientId("Iv1.abc".into())] {
        let world = as_app(issuer).await;
        for nth in 0..150 {
            world.sandbox.world().repository(&format!("r{nth:03}")).run().job(LINUX);
        }
        let scanned = world.scan().await;
        assert_eq!((pending(&scanned), scanned.demand.kind), (150, CountKind::Exact), "{:?}", scanned.warnings);
        let mints = world.sandbox.calls().iter().filter(|call| call.target.contains("access_tokens")).count();
        assert_eq!(mints, 1);
        assert!(world.sandbox.calls().iter().all(|call| call.status != Some(401)));
    }
}

#[tokio::test]
async fn an_apps_token_that_is_refused_is_minted_anew_once() {
    let world = as_app(AppIssuer::AppId(1)).await;
    world.sandbox.world().repository("api").run().job(LINUX);
    world.scan().await;
    world.sandbox.fault(Fault::github("/orgs/acme/repos").status(401));
    assert_eq!(pending(&world.scan().await), 1);
    world.sandbox.fault(Fault::github("/orgs/acme/repos").status(401).times(9));
    assert_eq!(world.try_scan(&[]).await.unwrap_err().kind, ErrorKind::Unauthorized);
    let refused = world.sandbox.calls().iter().filter(|call| call.status == Some(401)).count();
    assert_eq!(refused, 3, "once, then twice and no more");
}

#[tokio::test]
async fn a_mint_that_is_refused_is_an_error_that_names_it() {
    for (status, body) in [(401, "{}"), (404, "{}"), (201, r#"{"token":7,"PLANTED":"x"}"#), (201, "<html>")] {
        let world = as_app(AppIssuer::AppId(1)).await;
        world.sandbox.fault(Fault::github("access_tokens").status(status).body(body).times(9));
        let error = world.try_scan(&[]).await.unwrap_err();
        assert!(error.request.contains("/app/installations/1/access_tokens"), "{error}");
        assert!(!error.to_string().contains("PLANTED"), "{error}");
    }
}

#[tokio::test]
async fn a_mint_without_an_answer_is_tried_again_and_a_refused_one_is_not() {
    let world = as_app(AppIssuer::AppId(1)).await;
    world.sandbox.world().repository("api").run().job(LINUX);
    world.sandbox.fault(Fault::github("access_tokens").dropped_before().times(2));
    assert_eq!(pending(&world.scan().await), 1);

    let world = as_app(AppIssuer::AppId(1)).await;
    world.sandbox.fault(Fault::github("access_tokens").status(403).times(9));
    for _ in 0..5 {
        assert_eq!(world.try_scan(&[]).await.unwrap_err().kind, ErrorKind::Forbidden);
    }
    assert_eq!(world.sandbox.calls().len(), 1);
}

#[tokio::test]
async fn no_secret_is_in_what_can_be_printed_of_a_client() {
    let world = as_app(AppIssuer::AppId(1)).await;
    world.scan().await;
    let shown = format!("{:?}", world.client);
    assert!(!shown.contains("PRIVATE") && !shown.contains("Bearer") && !shown.contains("ghs_"), "{shown}");
}

#[tokio::test]
async fn jobs_of_the_first_repositories_are_asked_for_while_others_are_still_asked_for_their_runs() {
    let bench = Bench::open().await;
    for nth in 0..40 {
        bench.sandbox.world().repository(&format!("r{nth:02}")).run().job(LINUX);
    }
    // One repository's answer takes as long as all others together.
    let mut hold = bench.sandbox.hold_at("/repos/acme/r00/actions/runs?", Moment::Before);
    let (client, organization) = (&bench.client, organization());
    let settings = Scan { concurrency: 4, ..settings(&[]) };
    let scanning = scan(client, &organization, &settings, Timestamp::now(), &NoProgress);
    let others = async {
        hold.reached().await.unwrap();
        let asked = || bench.sandbox.calls().iter().filter(|call| call.target.contains("/jobs?")).count();
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while asked() < 39 {
            assert!(std::time::Instant::now() < deadline, "{} of 39 are asked for their jobs", asked());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        drop(hold);
    };
    let (scanned, ()) = futures::join!(scanning, others);
    assert_eq!(pending(&scanned.unwrap()), 40);
    let calls = bench.sandbox.calls();
    let first_jobs = calls.iter().position(|call| call.target.contains("/jobs?")).unwrap();
    let last_runs = calls.iter().rposition(|call| call.target.contains("/actions/runs?")).unwrap();
    assert!(first_jobs < last_runs, "{first_jobs} {last_runs}");
}

// --- lists that are short, and repositories that close ---------------------------------------------------------------

#[tokio::test]
async fn a_list_that_ends_before_its_length_is_a_lower_bound_and_asked_on_once() {
    let runs = r#"{"total_count":40,"workflow_runs":[]}"#;
    let jobs =
        |id: u64| format!(r#"{{"total_count":150,"jobs":[{{"id":{id},"status":"queued","labels":["linux"]}}]}}"#);
    for (matching, body, expected) in [("/actions/runs?", runs.to_owned(), 0), ("/jobs?", jobs(7), 1)] {
        let world = Bench::open().await;
        world.sandbox.world().repository("api").run().job(LINUX);
        world.sandbox.fault(Fault::github(matching).status(200).body(&body));
        let list = if matching == "/jobs?" { "jobs" } else { "workflow_runs" };
        let empty = format!(r#"{{"total_count":150,"{list}":[]}}"#);
        world.sandbox.fault(Fault::github(matching).status(200).body(&empty).times(9));
        let scanned = world.scan().await;
        assert_eq!((pending(&scanned), scanned.demand.kind), (expected, CountKind::AtLeast), "{scanned:#?}");
        assert!(scanned.warnings.iter().any(|warning| warning.message.contains("entries")), "{:?}", scanned.warnings);
    }
}

#[tokio::test]
async fn a_length_that_was_counted_before_something_left_the_list_is_no_fault() {
    let world = Bench::open().await;
    world.sandbox.world().repository("api").run().job(LINUX);
    // The next page says that the list is no longer as long.
    let jobs = r#"{"total_count":2,"jobs":[{"id":7,"status":"queued","labels":["linux"]}]}"#;
    world.sandbox.fault(Fault::github("/jobs?").status(200).body(jobs));
    world.sandbox.fault(Fault::github("/jobs?").status(200).body(r#"{"total_count":1,"jobs":[]}"#));
    let scanned = world.scan().await;
    assert_eq!((pending(&scanned), scanned.demand.kind), (1, CountKind::Exact), "{:?}", scanned.warnings);
}

#[tokio::test]
async fn a_job_that_was_let_go_after_days_is_counted_and_one_of_a_run_that_lies_still_is_not() {
    let now = Timestamp::now();
    let old = now - Duration::from_hours(72);
    for (updated, expected) in [(now, (1, 0)), (old, (0, 1))] {
        let world = Bench::open().await;
        world.sandbox.world().repository("api").run().job(LINUX);
        let run = format!(
            r#"{{"id":7,"status":"queued","created_at":"{old}","run_started_at":"{old}","updated_at":"{updated}"}}"#
        );
        let runs = format!(r#"{{"total_count":1,"workflow_runs":[{run}]}}"#);
        let job = format!(r#"{{"id":8,"status":"queued","labels":["linux"],"created_at":"{old}"}}"#);
        world.sandbox.fault(Fault::github("/actions/runs?").status(200).body(&runs).times(99));
        let jobs = format!(r#"{{"total_count":1,"jobs":[{job}]}}"#);
        world.sandbox.fault(Fault::github("/jobs?").status(200).body(&jobs).times(99));
        let scanned = world.scan().await;
        assert_eq!((pending(&scanned), scanned.demand.ghosts.len()), expected, "{:?}", scanned.warnings);
        assert_eq!(scanned.demand.kind, CountKind::Exact);
    }
}

#[tokio::test]
async fn a_repository_that_is_closed_while_a_job_runs_is_followed_until_it_has_ended() {
    let mut world = Bench::open().await;
    let cache = tempfile::tempdir().unwrap();
    world.client = client(&world.sandbox, world.token()).with_cache(Cache::open(cache.path()).unwrap());
    let job = {
        let mut world = world.sandbox.world();
        world.repository("web");
        let job = world.repository("api").run().job(LINUX);
        job.on_hosted_runner().lasting(Duration::from_hours(1)).id()
    };
    world.sandbox.advance(Duration::from_secs(1));
    let running =
        |scanned: &Scanned| scanned.demand.jobs.iter().filter(|job| job.state == JobState::InProgress).count();
    assert_eq!(running(&world.scan().await), 1);
    world.sandbox.world().repository("api").archived();
    let scanned = world.scan().await;
    assert_eq!((running(&scanned), scanned.demand.hides_jobs()), (1, None), "it is read all the same");
    // GitHub shows nothing of it any more: then the job is not known to have ended.
    let said = "Actions has been disabled for this repository.";
    world.sandbox.fault(Fault::github("/repos/acme/api/").status(403).message(said));
    let scanned = world.scan().await;
    let skipped: Vec<_> = scanned.demand.skipped.iter().map(|one| one.reason.as_str()).collect();
    assert_eq!((skipped, scanned.demand.kind), (vec!["archived"], CountKind::Exact));
    assert!(scanned.demand.hides_jobs().is_some_and(|why| why.contains("acme/api")), "{scanned:#?}");
    world.sandbox.world().end(job, "success");
    assert_eq!(running(&world.scan().await), 0);
    world.sandbox.forget_calls();
    let scanned = world.scan().await;
    assert_eq!((scanned.demand.skipped.len(), scanned.demand.hides_jobs()), (1, None));
    assert!(!world.sandbox.calls().iter().any(|call| call.target.starts_with("/repos/acme/api/")));
}

#[tokio::test]
async fn an_app_in_selected_repositories_counts_what_it_sees_and_proves_no_runner_idle() {
    let mut world = Bench::open().await;
    world.sandbox.world().repository("api").run().job(LINUX);
    let (token, expires) = (world.sandbox.token().to_owned(), Timestamp::now() + Duration::from_hours(1));
    for selection in ["all", "selected"] {
        let issuer = AppIssuer::AppId(1);
        world.client =
            client(&world.sandbox, Credentials::App { issuer, installation_id: 1, private_key: private_key().into() });
        let body = format!(r#"{{"token":"{token}","expires_at":"{expires}","repository_selection":"{selection}"}}"#);
        world.sandbox.fault(Fault::github("access_tokens").status(201).body(&body));
        let scanned = world.scan().await;
        assert_eq!((pending(&scanned), scanned.demand.kind), (1, CountKind::Exact), "{:?}", scanned.warnings);
        assert_eq!(scanned.demand.hides_jobs().is_some(), selection == "selected", "{:?}", scanned.demand.skipped);
    }
}
