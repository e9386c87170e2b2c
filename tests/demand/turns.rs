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
pub(super) struct Large {
    pub(super) bench: Bench,
    pub(super) now: Timestamp,
    _cache: TempDir,
}

impl Large {
    async fn open() -> Self {
        Self::looked_at(None).await
    }

    /// The same, looked at again and again by one process.
    pub(super) async fn looked_at(looks_every: Option<Duration>) -> Self {
        let mut bench = Bench::open().await;
        let cache = tempfile::tempdir().unwrap();
        let limits = Limits { per_minute: Some(1_000_000), per_look: Some(20), looks_every, ..Limits::default() };
        bench.client = bench.client.with_limits(limits).with_cache(Cache::open(cache.path()).unwrap());
        for nth in 0..49 {
            bench.sandbox.world().repository(&format!("r{nth:02}"));
        }
        Self { bench, now: Timestamp::now(), _cache: cache }
    }

    /// Looks, a minute after the last time.
    async fn look(&mut self, full: bool) -> Scanned {
        self.look_after(Duration::from_mins(1), full).await
    }

    pub(super) async fn look_after(&mut self, time: Duration, full: bool) -> Scanned {
        self.look_by(time, ghascale::config::Scan { full, ..settings(&[]) }).await
    }

    pub(super) async fn look_by(&mut self, time: Duration, settings: ghascale::config::Scan) -> Scanned {
        self.now += time;
        self.bench.sandbox.forget_calls();
        scan(&self.bench.client, &organization(), &settings, self.now, &NoProgress).await.unwrap()
    }

    fn requests(&self) -> usize {
        self.asked("")
    }

    pub(super) fn asked(&self, part: &str) -> usize {
        self.bench.sandbox.calls().iter().filter(|call| call.target.contains(part)).count()
    }
}

pub(super) fn known(scanned: &Scanned) -> (usize, CountKind) {
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
async fn what_was_not_read_now_is_known_to_be_of_then() {
    let mut large = Large::open().await;
    let job = large.bench.sandbox.world().repository("r07").run().job(LINUX).id();
    large.look(false).await;
    let seen_at = large.now;
    large.bench.sandbox.fault(Fault::github("/repos/acme/r07/").status(502).times(3));
    let earlier = large.look(false).await.demand.earlier;
    assert_eq!(earlier.into_iter().collect::<Vec<_>>(), [(ghascale::engine::JobId(job), seen_at)]);
    assert!(large.look(false).await.demand.earlier.is_empty(), "it was read now");
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

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_process_that_looks_again_asks_for_no_more_than_its_share_and_for_what_is_hot_each_time() {
    let mut large = Large::looked_at(Some(SOON)).await;
    large.bench.sandbox.world().repository("r07").run().job(LINUX);
    large.look(false).await;
    for _ in 0..3 {
        let scanned = large.look_after(SOON, false).await;
        assert!(large.requests() <= 21, "{}", large.requests());
        assert_eq!((large.asked("/r07/actions/runs?"), known(&scanned)), (1, (1, CountKind::Stale)));
        assert!(scanned.coverage.detection <= SOON * 4, "{:?}", scanned.coverage);
    }
}

#[tokio::test]
async fn looks_that_take_turns_list_the_repositories_every_few_minutes_and_whole_ones_each_time() {
    let mut large = Large::looked_at(Some(SOON)).await;
    large.look(false).await;
    let list = "/orgs/acme/repos?";
    // That the last look was in turns is known after it.
    large.look_after(SOON, false).await;
    assert_eq!(large.asked(list), 1);
    large.bench.sandbox.world().repository("new").run().job(LINUX);
    assert_eq!(known(&large.look_after(SOON, false).await), (0, CountKind::Stale));
    assert_eq!(large.asked(list), 0);
    assert_eq!(known(&large.look_after(SOON, true).await), (1, CountKind::Exact));
    assert_eq!(large.asked(list), 1);
    large.look_after(SOON, false).await;
    large.bench.sandbox.world().repository("newer").run().job(LINUX);
    large.look_after(SOON, false).await;
    assert_eq!(pending(&large.look_after(Duration::from_mins(5), false).await), 2);
}

#[tokio::test]
async fn a_run_that_is_only_at_work_is_asked_for_its_jobs_each_minute_and_one_with_a_queued_job_each_time() {
    let mut large = Large::looked_at(Some(SOON)).await;
    {
        let mut world = large.bench.sandbox.world();
        world.repository("r07").run().job(["ubuntu-latest"]).on_hosted_runner().lasting(Duration::from_hours(1));
        world.repository("r08").run().job(LINUX);
    }
    large.look(false).await;
    let mut asked = 0;
    for _ in 0..6 {
        let scanned = large.look_after(SOON, false).await;
        asked += large.asked("/r07/actions/runs/");
        assert_eq!((large.asked("/r08/actions/runs/"), scanned.demand.jobs.len()), (1, 2), "none is forgotten");
        assert_eq!(scanned.demand.kind, CountKind::Stale);
    }
    assert_eq!(asked, 1);
    // A look at everything takes nothing for granted.
    large.look_after(SOON, true).await;
    assert_eq!(large.asked("/r07/actions/runs/"), 1);
}

#[tokio::test]
async fn a_look_beside_others_is_whole_and_neither_is_in_the_others_way() {
    let mut large = Large::looked_at(Some(SOON)).await;
    large.look(false).await;
    large.look_after(SOON, false).await;
    let before = large.look_after(SOON, false).await.coverage.detection;
    large.bench.sandbox.world().repository("r44").run().job(LINUX);
    let beside = ghascale::config::Scan { full: true, beside: true, ..settings(&[]) };
    let scanned = scan(&large.bench.client, &organization(), &beside, large.now, &NoProgress).await.unwrap();
    assert_eq!((known(&scanned), scanned.coverage.whole), ((1, CountKind::Exact), true));
    // What it saw is known to the next look, and how often is looked is as it was.
    let next = large.look_after(SOON, false).await;
    assert_eq!((pending(&next), next.coverage.detection), (1, before));
}

#[tokio::test]
async fn a_job_that_was_seen_long_ago_and_not_since_is_not_launched_for() {
    let mut large = Large::looked_at(Some(Duration::from_secs(10))).await;
    for nth in 0..40 {
        large.bench.sandbox.world().repository(&format!("r{nth:02}")).run().job(LINUX);
    }
    assert_eq!(known(&large.look_after(Duration::from_secs(10), false).await), (40, CountKind::Exact));
    let soon = large.look_after(Duration::from_secs(10), false).await;
    assert_eq!(known(&soon), (40, CountKind::Stale));
    let (pending, kind) = known(&large.look_after(Duration::from_hours(10), false).await);
    assert!((1..40).contains(&pending) && kind == CountKind::AtLeast, "{pending} {kind:?}");
}

#[tokio::test]
async fn looks_that_use_up_the_hourly_limit_are_said_to_be_too_many() {
    let mut large = Large::open().await;
    large.bench.sandbox.world().rate_limit(500, 500);
    let mut says = Vec::new();
    for _ in 0..6 {
        for nth in 0..8 {
            large.bench.sandbox.world().repository(&format!("r{nth:02}")).run().job(LINUX);
        }
        let scanned = large.look(false).await;
        let said = scanned.warnings.iter().find(|warning| warning.code == WarningCode::ScopeTooLarge);
        says.push(said.map(|warning| warning.message.clone()));
    }
    // One look, and the first at that, is no rule.
    assert_eq!(says[0], None);
    let said = says[5].as_deref().unwrap_or_default();
    assert!(said.contains("requests an hour, and 500 are allowed: nothing more can be read then before"), "{said}");
}
