//! Repositories that take turns, over real HTTP and with a real cache: what was not looked at is never called empty.

use std::time::Duration;

use ghascale::engine::CountKind;
use ghascale::github::{Cache, Limits, NoProgress, Scanned, scan};
use ghascale::sandbox::Fault;
use ghascale::warning::WarningCode;
use jiff::Timestamp;
use tempfile::TempDir;

use super::{Bench, LINUX, organization, pending, settings};

/// A world of fifty repositories, of which a look may ask for twenty; and a time that tests own.
struct Large {
    bench: Bench,
    now: Timestamp,
    _cache: TempDir,
}

impl Large {
    async fn open() -> Self {
        let mut bench = Bench::open().await;
        let cache = tempfile::tempdir().unwrap();
        let limits = Limits { per_minute: Some(1_000_000), per_look: Some(20), ..Limits::default() };
        bench.client = bench.client.with_limits(limits).with_cache(Cache::open(cache.path()).unwrap());
        for nth in 0..49 {
            bench.sandbox.world().repository(&format!("r{nth:02}"));
        }
        Self { bench, now: Timestamp::now(), _cache: cache }
    }

    /// Looks, a minute after the last time.
    async fn look(&mut self, full: bool) -> Scanned {
        self.now += Duration::from_mins(1);
        self.bench.sandbox.forget_calls();
        let settings = ghascale::config::Scan { full, ..settings(&[]) };
        scan(&self.bench.client, &organization(), &settings, self.now, &NoProgress).await.unwrap()
    }

    fn requests(&self) -> usize {
        self.bench.sandbox.calls().len()
    }
}

fn known(scanned: &Scanned) -> (usize, CountKind) {
    (pending(scanned), scanned.demand.kind)
}

#[tokio::test]
async fn the_first_look_and_a_full_one_are_whole_and_exact() {
    let mut large = Large::open().await;
    for full in [false, true] {
        let scanned = large.look(full).await;
        assert_eq!((known(&scanned), scanned.demand.scanned), ((0, CountKind::Exact), 50), "{:?}", scanned.warnings);
        assert!(scanned.coverage.whole && scanned.demand.age.is_zero());
    }
}

#[tokio::test]
async fn a_job_in_a_quiet_repository_shows_within_the_time_that_is_said_and_until_then_the_count_is_stale() {
    let mut large = Large::open().await;
    large.look(false).await;
    for name in ["r05", "r25", "r48"] {
        large.bench.sandbox.world().repository(name).run().job(LINUX);
    }
    let (mut passed, mut within) = (Duration::ZERO, Duration::ZERO);
    loop {
        passed += Duration::from_mins(1);
        let scanned = large.look(false).await;
        within = within.max(scanned.coverage.detection);
        if pending(&scanned) == 3 {
            break;
        }
        assert!(passed < within, "{} of 3 after {passed:?}, and {within:?} was said", pending(&scanned));
        assert_eq!(scanned.demand.kind, CountKind::Stale, "it says that these are all");
        assert!(scanned.demand.age >= Duration::from_mins(1), "{:?}", scanned.demand.age);
        assert!(scanned.warnings.iter().any(|warning| warning.code == WarningCode::ScanInTurns));
    }
    assert!(within < Duration::from_mins(10), "{within:?}");
}

#[tokio::test]
async fn what_has_jobs_is_looked_at_each_time() {
    let mut large = Large::open().await;
    let job = large.bench.sandbox.world().repository("r07").run().job(LINUX).id();
    large.look(false).await;
    let scanned = large.look(false).await;
    assert_eq!(known(&scanned), (1, CountKind::Stale));
    assert!(large.requests() <= 25, "{}", large.requests());
    large.bench.sandbox.world().cancel(job);
    assert_eq!(pending(&large.look(false).await), 0);
}

#[tokio::test]
async fn an_old_run_that_is_run_again_shows_after_a_search_and_until_then_the_count_is_stale() {
    let mut large = Large::open().await;
    let old = {
        let mut world = large.bench.sandbox.world();
        let old = world.repository("r07").run().aged(Duration::from_hours(90)).job(LINUX);
        let (job, run) = (old.id(), old.run_id());
        world.cancel(job);
        for _ in 0..40 {
            let done = world.repository("r07").run().aged(Duration::from_hours(72)).job(LINUX).id();
            world.cancel(done);
        }
        run
    };
    assert_eq!(known(&large.look(false).await), (0, CountKind::Exact));
    large.bench.sandbox.world().run(old).again().job(LINUX);
    let mut looks = 0;
    loop {
        let scanned = large.look(false).await;
        looks += 1;
        if pending(&scanned) == 1 {
            break;
        }
        assert_eq!(scanned.demand.kind, CountKind::Stale);
        assert!(looks <= 70, "it is searched for within the hour");
    }
    assert!(looks > 1, "it was found without a search");
    // From then on it has a job, and so it is looked at each time.
    assert_eq!(pending(&large.look(false).await), 1);
    assert_eq!(known(&large.look(true).await), (1, CountKind::Exact));
}

#[tokio::test]
async fn where_nothing_is_known_from_before_nothing_is_left_for_later() {
    let mut large = Large::open().await;
    large.look(false).await;
    let empty = tempfile::tempdir().unwrap();
    let limits = Limits { per_minute: Some(1_000_000), per_look: Some(20), ..Limits::default() };
    let client = super::client(&large.bench.sandbox, large.bench.token());
    large.bench.client = client.with_limits(limits).with_cache(Cache::open(empty.path()).unwrap());
    large.bench.sandbox.world().repository("r33").run().job(LINUX);
    assert_eq!(known(&large.look(false).await), (1, CountKind::Exact));
}

#[tokio::test]
async fn what_was_seen_too_long_ago_does_not_stand_for_what_cannot_be_read_now() {
    let mut large = Large::open().await;
    large.bench.sandbox.world().repository("r07").run().job(LINUX);
    large.look(false).await;
    large.bench.sandbox.fault(Fault::github("/repos/acme/r07/").status(500).times(99));
    assert_eq!(known(&large.look(false).await), (1, CountKind::Stale));
    large.now += Duration::from_mins(14);
    assert_eq!(known(&large.look(false).await), (0, CountKind::AtLeast));
}

#[tokio::test]
async fn a_clock_that_was_set_back_makes_nothing_of_the_future_known() {
    let mut large = Large::open().await;
    large.look(false).await;
    large.bench.sandbox.world().repository("r07").run().job(LINUX);
    large.now -= Duration::from_hours(1);
    assert_eq!(known(&large.look(false).await), (1, CountKind::Exact));
}
