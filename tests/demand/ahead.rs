//! Where nothing bounds a look, repositories are read while the list of them still comes: sooner, and to the same end.

use std::collections::BTreeSet;

use ghascale::engine::CountKind;
use ghascale::github::{Client, Limits, NoProgress, Scanned, scan};
use ghascale::sandbox::{Fault, Moment};
use jiff::Timestamp;

use super::{Bench, LINUX, client, organization, pending, settings};
use crate::commands::until;

/// What nothing bounds, on a server without limits.
const BOUNDLESS: Limits =
    Limits { at_once: 64, per_minute: None, per_look: None, looks_every: None, most_requests: None, share: 100 };

/// A world without limits and with three pages of repositories, of which the first and the last have a job.
async fn large() -> Bench {
    let bench = Bench::open().await;
    let mut world = bench.sandbox.world();
    world.settings.rate_limits = false;
    for nth in 0..250 {
        world.repository(&format!("r{nth:03}"));
    }
    for name in ["r000", "r249"] {
        world.repository(name).run().job(LINUX);
    }
    drop(world);
    bench
}

fn with(bench: &Bench, limits: Limits) -> Client {
    client(&bench.sandbox, bench.token()).with_limits(limits)
}

async fn look(client: &Client) -> Scanned {
    scan(client, &organization(), &settings(&["r1?1"]), Timestamp::now(), &NoProgress).await.unwrap()
}

#[tokio::test]
async fn repositories_are_read_while_their_list_still_comes_and_each_once() {
    let bench = large().await;
    let client = with(&bench, BOUNDLESS);
    let mut hold = bench.sandbox.hold_at("&page=3", Moment::Before);
    let asked = || {
        let calls = bench.sandbox.calls();
        let lists = calls.into_iter().filter(|call| call.target.contains("/actions/runs?")).map(|call| call.target);
        lists.collect::<Vec<String>>()
    };
    let listed = async {
        hold.reached().await.unwrap();
        // Two pages of a hundred, less what is excluded.
        until(|| asked().len() == 190).await;
        drop(hold);
    };
    let (scanned, ()) = futures::join!(look(&client), listed);
    assert_eq!((scanned.demand.kind, scanned.demand.scanned, pending(&scanned)), (CountKind::Exact, 241, 2));
    assert_eq!((scanned.coverage.whole, scanned.coverage.hot), (true, 241), "none of them had been seen before");
    let lists = asked();
    assert_eq!((lists.len(), lists.into_iter().collect::<BTreeSet<_>>().len()), (241, 241));
}

#[tokio::test]
async fn with_a_budget_what_most_likely_has_jobs_comes_first_and_the_list_is_waited_for() {
    let bench = large().await;
    let client = with(&bench, Limits { most_requests: Some(20), ..BOUNDLESS });
    let scanned = client.within_budget(look(&client)).await;
    assert_eq!(
        (scanned.demand.kind, scanned.demand.scanned),
        (CountKind::AtLeast, 16),
        "three pages, one list of jobs"
    );
    let calls = bench.sandbox.calls();
    let first_runs = calls.iter().position(|call| call.target.contains("/actions/runs?")).unwrap();
    let last_page = calls.iter().rposition(|call| call.target.contains("/orgs/acme/repos?")).unwrap();
    assert!(last_page < first_runs);
}

#[tokio::test]
async fn what_a_look_comes_to_is_the_same() {
    type Trouble = fn(&Bench);
    let troubles: [(&str, Trouble); 6] = [
        ("none", |_| {}),
        ("a page is lost", |bench| bench.sandbox.fault(Fault::github("&page=2").status(500).times(99))),
        ("a repository fails", |bench| bench.sandbox.fault(Fault::github("/r007/actions/runs?").status(502).times(99))),
        ("its jobs fail", |bench| bench.sandbox.fault(Fault::github("/jobs?").status(502).times(99))),
        ("a run shows no jobs", |bench| {
            bench.sandbox.world().repository("r003").run();
        }),
        ("some are closed", |bench| {
            let mut world = bench.sandbox.world();
            world.repository("r000").archived();
            world.repository("r004").run().job(LINUX).waiting();
        }),
    ];
    for (trouble, make) in troubles {
        let bench = large().await;
        make(&bench);
        let paced = Limits { per_minute: Some(1_000_000), per_look: Some(1_000_000), ..BOUNDLESS };
        let (ahead, waiting) = (look(&with(&bench, BOUNDLESS)).await, look(&with(&bench, paced)).await);
        assert_eq!(ahead.demand, waiting.demand, "{trouble}");
        assert_eq!(ahead.coverage, waiting.coverage, "{trouble}");
        // Without GitHub's own ids of its answers.
        let said =
            |scanned: Scanned| scanned.warnings.into_iter().map(|one| (one.code, one.subject)).collect::<Vec<_>>();
        assert_eq!(said(ahead), said(waiting), "{trouble}");
    }
}
