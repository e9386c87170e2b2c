//! The delivery log of a webhook: what it names is looked at sooner, and nothing is counted by it.

use std::time::Duration;

use ghascale::config::Scan;
use ghascale::engine::CountKind;
use ghascale::github::Scanned;
use ghascale::sandbox::Fault;
use ghascale::warning::WarningCode;

use super::turns::{Large, known};
use super::{LINUX, pending, settings};

const HOOK: u64 = 12;
const LOG: &str = "/hooks/12/deliveries";
const SOON: Duration = Duration::from_secs(10);

/// A large world whose last repositories' turn is not the next, with a webhook.
async fn large() -> Large {
    let mut large = Large::looked_at(Some(SOON)).await;
    large.bench.sandbox.world().settings.delivery_hook = Some(HOOK);
    look(&mut large).await;
    large
}

async fn look(large: &mut Large) -> Scanned {
    large.look_by(SOON, Scan { organization_hook: Some(HOOK), ..settings(&[]) }).await
}

fn complaints(scanned: &Scanned) -> Vec<&str> {
    let of_hints = scanned.warnings.iter().filter(|warning| warning.code == WarningCode::HintsFailed);
    of_hints.map(|warning| warning.message.as_str()).collect()
}

#[tokio::test]
async fn a_cold_repository_that_the_log_names_is_read_in_the_same_look_and_without_the_log_it_is_not() {
    let mut large = large().await;
    large.bench.sandbox.world().repository("r48").run().job(LINUX);
    large.bench.sandbox.world().settings.deliveries_lost = true;
    assert_eq!(known(&look(&mut large).await), (0, CountKind::Stale), "its turn has not come");
    large.bench.sandbox.world().settings.deliveries_lost = false;
    let scanned = look(&mut large).await;
    assert_eq!((known(&scanned), large.asked(LOG)), ((1, CountKind::Stale), 1));
    assert!(complaints(&scanned).is_empty());
}

#[tokio::test]
async fn a_log_that_lies_changes_no_count() {
    let mut large = large().await;
    let ids: Vec<u64> = {
        let world = large.bench.sandbox.world();
        ["acme/r47", "acme/r48"].iter().map(|name| world.repository_id(name).unwrap()).collect()
    };
    {
        let mut world = large.bench.sandbox.world();
        world.repository("r46").run().job(LINUX);
        world.settings.deliveries_lost = true;
        world.deliver("workflow_job", "queued", 4_711_000_000);
        world.deliver("push", "", ids[0]);
        world.deliver("workflow_job", "queued", ids[1]);
    }
    let scanned = look(&mut large).await;
    assert_eq!(known(&scanned), (0, CountKind::Stale));
    let asked = ["r46", "r47", "r48"].map(|name| large.asked(&format!("/{name}/actions/runs?")));
    assert_eq!(asked, [0, 0, 1], "only what an event of ours names, and there is nothing in it");
    // Once looked at, it is as cold as before.
    look(&mut large).await;
    assert_eq!(large.asked("/r48/actions/runs?"), 0);
}

#[tokio::test]
async fn a_delivery_that_comes_late_into_the_log_is_heard_all_the_same() {
    let mut large = large().await;
    large.bench.sandbox.world().settings.delivery_lag = Duration::from_hours(1);
    large.bench.sandbox.world().repository("r48").run().job(LINUX);
    assert_eq!(pending(&look(&mut large).await), 0);
    {
        let mut world = large.bench.sandbox.world();
        let id = world.repository_id("acme/r47").unwrap();
        world.settings.delivery_lag = Duration::ZERO;
        world.deliver("workflow_job", "queued", id);
    }
    assert_eq!(pending(&look(&mut large).await), 1);
}

#[tokio::test]
async fn what_cannot_be_read_of_the_log_is_a_warning_and_changes_nothing_else() {
    for (fault, said, times) in [
        (Fault::github(LOG).status(403).message("Resource not accessible by personal access token"), "accessible", 1),
        (Fault::github(LOG).status(404), "404", 1),
        (Fault::github(LOG).status(502).times(3), "502", 3),
        (Fault::github(LOG).status(200).body("[{\"id\":"), "unreadable", 1),
        (Fault::github(LOG).status(200).body("{}"), "no list", 1),
    ] {
        let mut large = large().await;
        large.bench.sandbox.fault(fault);
        large.bench.sandbox.world().repository("r00").run().job(LINUX);
        let scanned = look(&mut large).await;
        assert_eq!((known(&scanned), large.asked(LOG)), ((1, CountKind::Stale), times), "{said}");
        let complaints = complaints(&scanned);
        assert!(complaints.len() == 1 && complaints[0].contains(said), "{said}: {complaints:?}");
    }
}

#[tokio::test]
async fn who_is_refused_the_log_does_not_ask_at_each_look() {
    let mut large = large().await;
    large.bench.sandbox.fault(Fault::github(LOG).status(403));
    for asked in [1, 0, 0] {
        let scanned = look(&mut large).await;
        assert_eq!((large.asked(LOG), complaints(&scanned).len()), (asked, 1), "and it is said each time");
    }
    large.now += Duration::from_mins(5);
    assert_eq!((complaints(&look(&mut large).await).len(), large.asked(LOG)), (0, 1));
}

#[tokio::test]
async fn of_a_long_log_a_few_pages_are_read_at_once_and_a_page_that_is_lost_is_asked_for_again() {
    let mut large = large().await;
    let deliver = |large: &Large, name: &str, count: usize| {
        let mut world = large.bench.sandbox.world();
        let id = world.repository_id(name).unwrap();
        (0..count).for_each(|_| world.deliver("workflow_job", "queued", id));
    };
    deliver(&large, "acme/r48", 1);
    deliver(&large, "acme/r47", 120);
    large.bench.sandbox.fault(Fault::github("cursor=").status(500).times(3));
    let scanned = look(&mut large).await;
    assert_eq!((complaints(&scanned).len(), large.asked("/r48/actions/runs?")), (1, 0));
    assert_eq!(large.asked("/r47/actions/runs?"), 1, "what was read is heeded");
    let scanned = look(&mut large).await;
    assert_eq!((complaints(&scanned).len(), large.asked(LOG), large.asked("/r48/actions/runs?")), (0, 2, 1));
    look(&mut large).await;
    assert_eq!(large.asked(LOG), 1, "it ends where it is known");

    deliver(&large, "acme/r47", 1000);
    let scanned = look(&mut large).await;
    assert_eq!(large.asked(LOG), 5);
    assert!(complaints(&scanned)[0].contains("more than 500"), "{:?}", scanned.warnings);
}
