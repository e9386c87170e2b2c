//! Every REST request that the commands themselves make, judged by Prism with GitHub's own description.

use std::time::Duration;

use super::judge::Judge;
use crate::commands::{Desk, X64};

/// Lives through a fleet's day at one scope: looking, launching, a failed boot, ending, a registration that is undone.
async fn a_day(scope: &str) {
    let desk = Desk::open().await;
    let judge = Judge::start(&desk.sandbox, "ghes-3.19").await;
    desk.reconfigure(&desk.sandbox.url(), &format!("{}/{scope}", judge.endpoint()));
    // More runs than stand on one page.
    desk.jobs(130, X64);
    desk.sandbox.world().repository("api").run().aged(Duration::from_hours(72)).job(X64);
    desk.sandbox.world().fail_next_boots(2);
    for line in ["status --jobs", "plan", "apply --yes"] {
        let ran = desk.run(line).await;
        assert_eq!(ran.code, 0, "{line}: {ran:#?}");
    }
    desk.sandbox.advance(Duration::from_mins(6));
    let ran = desk.run("apply --yes").await;
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert!(ran.stdout.contains("- deregister"), "{}", ran.stdout);
    desk.sandbox.advance(Duration::from_mins(6));
    desk.sandbox.fault(ghascale::sandbox::Fault::github("generate-jitconfig").dropped_after());
    desk.run("apply --yes").await;
    assert!(judge.verdict() > 30, "{} requests were judged", judge.verdict());
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(ghascale_peers), ignore = "set GHASCALE_PEERS=1")]
async fn what_the_commands_ask_for_an_organization_is_in_githubs_description() {
    a_day("acme").await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(ghascale_peers), ignore = "set GHASCALE_PEERS=1")]
async fn what_the_commands_ask_for_a_repository_is_in_githubs_description() {
    a_day("acme/api").await;
}
