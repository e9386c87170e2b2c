//! Which repositories a scan looks at, where the pace doesn't let it look at all of them each time.
//!
//! A scan that fits into a short while looks at everything. Where it doesn't, repositories take turns, by what was seen
//! of them: *hot* ones, which had jobs or a run of late, are looked at each time; *warm* ones, with a run of the last
//! day, each minute; *cold* ones as the rest of the pace allows, the longest unseen first. What was not looked at is
//! never taken for empty: the count is stale then, and as old as the longest unseen repository.
//!
//! A process that looks again and again asks for no more at each look than the pace lets through until the next one: where
//! even the hot are more than that, they take turns, too, and so does the search for old runs.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::memory::{RUNS_REST_FOR, Seen};
use super::runs::Run;
use crate::ages::age;

/// A repository with a run so lately is hot.
const HOT_FOR: Duration = Duration::from_mins(10);
/// And warm with one so lately.
const WARM_FOR: Duration = Duration::from_hours(24);
/// A warm one is looked at each minute; cron's minutes are not all as long.
const WARM_EVERY: Duration = Duration::from_secs(50);
/// So often old runs that are active again are searched for: in hot and warm repositories, and in cold ones.
const SEARCH_EVERY: Duration = Duration::from_mins(5);
const SEARCH_COLD_EVERY: Duration = Duration::from_hours(1);
/// Requests of a search: one for each status of an active run.
const SEARCH: u64 = 5;
/// Looks that are kept for cold repositories, of all: whatever the others do, none is forgotten.
const COLD_SHARE: u64 = 5;
/// And for warm ones.
const WARM_SHARE: u64 = 10;
/// Where looks repeat, looks that are kept for hot ones of which nobody hints anything, of all.
const HOT_SHARE: u64 = 5;
/// Where looks repeat, requests of each that may go to searches in hot and warm repositories, of all.
const SEARCH_SHARE: u64 = 5;
/// How often a scan is taken to be made, where nothing says it.
const USUAL_CADENCE: Duration = Duration::from_mins(1);
/// Scans that are closer together were made by hand.
pub(super) const LEAST_CADENCE: Duration = Duration::from_secs(5);

/// How much is expected of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tier {
    /// Somebody says that something has happened in it since it was looked at.
    Hinted,
    /// It had jobs at the last look, or a run that may get more of them, or one of late.
    Hot,
    /// Never seen: it could be anything.
    New,
    /// It had a run within a day.
    Warm,
    /// Neither.
    Cold,
}

/// What is done with a repository this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Everything is read.
    Whole,
    /// Its newest runs are read, and old ones are not searched for.
    Newest,
    /// It is not looked at.
    Later,
}

/// How much of the scope a scan looks at, and what follows from that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Everything was looked at, old runs included.
    pub whole: bool,
    /// Repositories with jobs or a run of late, those never seen before included.
    pub hot: usize,
    /// Repositories with a run within a day.
    pub warm: usize,
    /// The rest.
    pub cold: usize,
    /// A new job shows within this, and what a scan itself takes, in whatever repository is listed, if scans go on as often as
    /// lately. A new repository is listed at once, or where looks repeat, within five minutes.
    pub detection: Duration,
    /// And one of an old run that is run again within this.
    pub rerun_detection: Duration,
}

/// What decides: how many requests a look may take (`None`: any number), and whether it must be whole all the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) requests: Option<u64>,
    pub(super) full: bool,
    /// When the last scan began, if it is known.
    pub(super) last: Option<Timestamp>,
    /// How often it is looked, where one process repeats that.
    pub(super) every: Option<Duration>,
    pub(super) now: Timestamp,
}

impl Coverage {
    /// Returns that of two parts of a scope together.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            whole: self.whole && other.whole,
            hot: self.hot + other.hot,
            warm: self.warm + other.warm,
            cold: self.cold + other.cold,
            detection: self.detection.max(other.detection),
            rerun_detection: self.rerun_detection.max(other.rerun_detection),
        }
    }
}

impl Tier {
    /// Sorts a repository by what was seen of it, and by when somebody said last that something has happened in it.
    pub(super) fn of(seen: Option<&Seen>, hinted: Option<Timestamp>, now: Timestamp) -> Self {
        let Some(seen) = seen else { return Self::New };
        if hinted.is_some_and(|at| at > seen.at) {
            return Self::Hinted;
        }
        let newest = seen.newest.map(|at| age(now, at));
        // A run may stand between two of its jobs; one that is a ghost has none to come.
        let is_ghost = |run: &Run| seen.ghosts.iter().any(|ghost| ghost.run_id == run.id);
        let has_runs = seen.active.iter().any(|run| !is_ghost(run));
        if has_runs || !seen.jobs.is_empty() || newest.is_some_and(|age| age <= HOT_FOR) {
            Self::Hot
        } else if newest.is_some_and(|age| age <= WARM_FOR) {
            Self::Warm
        } else {
            Self::Cold
        }
    }
}

/// Gives each repository its turn; the order is that of `seen` and of their tiers.
pub(super) fn turns(seen: &[Option<Seen>], tiers: &[Tier], pace: Pace) -> (Vec<Turn>, Coverage) {
    let now = pace.now;
    let count = |tier| tiers.iter().filter(|one| **one == tier).count();
    // Two looks by hand, one after the other, say nothing of how often it is looked.
    let cadence = pace.last.map(|last| age(now, last)).filter(|cadence| *cadence >= LEAST_CADENCE);
    let cadence = cadence.max(pace.every).unwrap_or(USUAL_CADENCE);
    let mut coverage = Coverage {
        whole: true,
        hot: count(Tier::New) + count(Tier::Hinted) + count(Tier::Hot),
        warm: count(Tier::Warm),
        cold: count(Tier::Cold),
        detection: cadence,
        rerun_detection: cadence,
    };
    let whole: u64 = seen.iter().map(|seen| cost(seen.as_ref(), true)).sum();
    let rest = |known: &Seen| known.active.iter().filter(|run| known.rests(run, now)).count() as u64;
    let Some(requests) = pace.requests.filter(|requests| !pace.full && whole > *requests) else {
        return (vec![Turn::Whole; seen.len()], coverage);
    };

    let mut order: Vec<usize> = (0..seen.len()).collect();
    order.sort_by_key(|nth| (tiers[*nth], seen[*nth].as_ref().map(Seen::turn)));
    let mut turns = vec![Turn::Later; seen.len()];
    // What hot and new ones take is taken, or where looks repeat, what leaves the others their part; the warm leave a part
    // to the cold, who may have all that is left. Of each tier the one whose turn was longest ago is looked at whatever it
    // takes, and has its turn then, though it could not be read: so none waits for ever, neither it nor those behind it.
    let (kept_for_cold, kept_for_warm) = (requests / COLD_SHARE, requests / WARM_SHARE);
    let kept_for_hot = requests / HOT_SHARE;
    let for_hot = pace.every.map_or(u64::MAX, |_| requests - kept_for_cold - kept_for_warm);
    let for_hinted = pace.every.map_or(u64::MAX, |_| for_hot - kept_for_hot);
    let mut for_searches = pace.every.map_or(u64::MAX, |_| (requests / SEARCH_SHARE).max(SEARCH));
    let (mut spent, mut spent_on) = (0, BTreeMap::<Tier, u64>::new());
    let mut unsearched = 0;
    let mut are_all_warm_looked_at = true;
    for nth in order {
        let tier = tiers[nth];
        let Some(known) = &seen[nth] else {
            turns[nth] = Turn::Whole;
            spent += cost(None, true);
            continue;
        };
        let search_every = if tier == Tier::Cold { SEARCH_COLD_EVERY } else { SEARCH_EVERY };
        let must_be_searched = known.has_history && age(now, known.searched) >= search_every;
        let is_searched = !known.has_history || must_be_searched && (tier == Tier::Cold || for_searches >= SEARCH);
        // While it rests a run costs nothing.
        let resting = if pace.every.is_some() { rest(known) } else { 0 };
        let cost = cost(Some(known), is_searched) - resting;
        let with_it = cost + spent_on.get(&tier).copied().unwrap_or(0);
        let is_first = with_it == cost;
        let is_due = match tier {
            Tier::New => true,
            Tier::Hinted => is_first || with_it <= for_hinted,
            Tier::Hot => is_first || spent + cost <= for_hot || with_it <= kept_for_hot,
            Tier::Warm if age(now, known.at) < WARM_EVERY => false,
            Tier::Warm => is_first || spent + cost <= requests - kept_for_cold || with_it <= kept_for_warm,
            Tier::Cold => is_first || with_it <= kept_for_cold.max(requests.saturating_sub(spent)),
        };
        are_all_warm_looked_at &= is_due || tier != Tier::Warm || age(now, known.at) < WARM_EVERY;
        unsearched += usize::from(must_be_searched && tier != Tier::Cold && !(is_due && is_searched));
        if is_due {
            turns[nth] = if is_searched { Turn::Whole } else { Turn::Newest };
            spent_on.insert(tier, with_it);
            if tier != Tier::Cold {
                spent += cost;
                for_searches -= if must_be_searched && is_searched { SEARCH } else { 0 };
            }
        }
    }
    coverage.whole = turns.iter().all(|turn| *turn == Turn::Whole);
    let cycle = |tier| {
        let of_tier = (0..seen.len()).filter(|nth| tiers[*nth] == tier);
        let (all, now) = (of_tier.clone().count(), of_tier.filter(|nth| turns[*nth] != Turn::Later).count());
        u32::try_from(all.div_ceil(now.max(1))).unwrap_or(u32::MAX).max(1)
    };
    // Those that were not due had their turn within the minute.
    let cycle_of_warm = if are_all_warm_looked_at {
        u32::try_from(WARM_EVERY.as_millis().div_ceil(cadence.as_millis().max(1))).unwrap_or(u32::MAX)
    } else {
        cycle(Tier::Warm)
    };
    let cycle_of_warm = if coverage.warm > 0 { cycle_of_warm } else { 1 };
    let cycle_of_all = cycle(Tier::Hinted).max(cycle(Tier::Hot)).max(cycle_of_warm).max(cycle(Tier::Cold));
    coverage.detection = cadence.saturating_mul(cycle_of_all);
    if pace.every.is_some() && seen.iter().flatten().any(|known| rest(known) > 0) {
        coverage.detection = coverage.detection.max(RUNS_REST_FOR + cadence);
    }
    let search_every = if coverage.cold > 0 { SEARCH_COLD_EVERY } else { SEARCH_EVERY };
    let searches = usize::try_from(requests / SEARCH_SHARE / SEARCH).unwrap_or(usize::MAX).max(1);
    let behind = u32::try_from(unsearched.div_ceil(searches)).unwrap_or(u32::MAX);
    coverage.rerun_detection = search_every + coverage.detection + cadence.saturating_mul(behind);
    (turns, coverage)
}

/// Returns how many requests a look at a repository takes.
pub(super) fn cost(seen: Option<&Seen>, is_searched: bool) -> u64 {
    let (pages, runs) = seen.map_or((1, 0), |seen| (seen.pages.max(1), seen.active.len() as u64));
    let has_history = seen.is_none_or(|seen| seen.has_history);
    pages + runs + if is_searched && has_history { SEARCH } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::HiddenRun;

    /// The turns of repositories of which nobody gives a hint.
    fn turns(seen: &[Option<Seen>], pace: Pace) -> (Vec<Turn>, Coverage) {
        let tiers: Vec<Tier> = seen.iter().map(|seen| Tier::of(seen.as_ref(), None, pace.now)).collect();
        super::turns(seen, &tiers, pace)
    }

    const MINUTE: Duration = Duration::from_mins(1);

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    /// A repository without jobs, whose newest run is so old, and that was last looked at and searched so long ago.
    fn seen(newest: Duration, at: Duration, searched: Duration) -> Seen {
        Seen {
            at: now() - at,
            searched: now() - searched,
            newest: Some(now() - newest),
            has_history: true,
            pages: 1,
            tried: None,
            active: Vec::new(),
            jobs: Vec::new(),
            unresolved: Vec::new(),
            ghosts: Vec::new(),
            ghost_jobs: Vec::new(),
        }
    }

    fn many_cold(count: usize, minutes_ago: u32) -> Vec<Option<Seen>> {
        let one = seen(MINUTE * 60 * 48, MINUTE * minutes_ago, MINUTE * minutes_ago);
        vec![Some(one); count]
    }

    fn pace(requests: u64) -> Pace {
        Pace { requests: Some(requests), full: false, last: Some(now() - MINUTE), every: None, now: now() }
    }

    #[test]
    fn what_fits_is_looked_at_whole() {
        let all = many_cold(60, 1);
        let (turns, coverage) = turns(&all, pace(360));
        assert!(turns.iter().all(|turn| *turn == Turn::Whole));
        assert_eq!((coverage.whole, coverage.detection), (true, MINUTE));
    }

    #[test]
    fn without_a_bound_or_where_it_is_asked_for_everything_is_looked_at() {
        let all = many_cold(10_000, 1);
        for pace in [Pace { requests: None, ..pace(0) }, Pace { full: true, ..pace(400) }] {
            assert!(turns(&all, pace).1.whole);
        }
    }

    #[test]
    fn the_hot_and_the_never_seen_are_looked_at_each_time() {
        let mut all = many_cold(1000, 1);
        all[7] = Some(seen(MINUTE * 2, MINUTE, MINUTE));
        all[8] = None;
        all[9] = Some(seen(MINUTE * 2, MINUTE, MINUTE * 6));
        let (turns, coverage) = turns(&all, pace(400));
        assert_eq!(turns[7..10], [Turn::Newest, Turn::Whole, Turn::Whole]);
        assert_eq!((coverage.hot, coverage.cold, coverage.whole), (3, 997, false));
    }

    #[test]
    fn one_with_a_run_between_two_of_its_jobs_is_hot_and_one_with_a_ghost_is_not() {
        let run: Run = serde_json::from_str(r#"{"id":7,"status":"in_progress"}"#).unwrap();
        let two_days_old = seen(MINUTE * 60 * 48, MINUTE, MINUTE);
        let between = Seen { active: vec![run.clone()], ..two_days_old.clone() };
        assert_eq!(Tier::of(Some(&between), None, now()), Tier::Hot);
        let ghost = HiddenRun { repository: "acme/api".into(), run_id: run.id, status: "queued".into(), since: None };
        let ghostly = Seen { active: vec![run], ghosts: vec![ghost], ..two_days_old };
        assert_eq!(Tier::of(Some(&ghostly), None, now()), Tier::Cold);
    }

    #[test]
    fn a_hint_makes_one_hot_until_it_was_looked_at_since() {
        let cold = seen(MINUTE * 60 * 48, MINUTE, MINUTE);
        let tier = |hinted| Tier::of(Some(&cold), Some(hinted), now());
        assert_eq!(
            (tier(now()), tier(now() - MINUTE), tier(now() - MINUTE * 2)),
            (Tier::Hinted, Tier::Cold, Tier::Cold)
        );
    }

    #[test]
    fn the_cold_take_turns_the_longest_unseen_first_and_none_is_forgotten() {
        let mut all = many_cold(1000, 30);
        let mut scans = 0;
        let mut last_seen = vec![0; all.len()];
        while last_seen.contains(&0) {
            scans += 1;
            assert!(scans < 20, "some are never looked at");
            let (turns, coverage) = turns(&all, pace(400));
            // As long as is said, and no longer.
            assert!(u128::from(coverage.detection.as_secs()) >= 60 && coverage.detection <= MINUTE * 5);
            for (nth, turn) in turns.iter().enumerate() {
                if *turn == Turn::Later {
                    // A minute passes.
                    all[nth].as_mut().unwrap().at -= MINUTE;
                } else {
                    last_seen[nth] = scans;
                    all[nth].as_mut().unwrap().at = now() - MINUTE;
                }
            }
        }
        assert_eq!(scans, 3, "1,000 repositories at 400 a scan");
    }

    #[test]
    fn however_many_are_warm_the_cold_get_their_share() {
        let mut all: Vec<_> = (0..2000).map(|_| Some(seen(MINUTE * 60, MINUTE * 2, MINUTE * 2))).collect();
        all.extend(many_cold(500, 30));
        let (turns, _) = turns(&all, pace(400));
        let looked = |range: std::ops::Range<usize>| turns[range].iter().filter(|turn| **turn != Turn::Later).count();
        assert_eq!((looked(0..2000), looked(2000..2500)), (320, 80));
    }

    #[test]
    fn a_warm_one_is_not_looked_at_twice_in_a_minute() {
        let mut all = many_cold(1000, 1);
        all[0] = Some(seen(MINUTE * 60, Duration::from_secs(20), MINUTE));
        all[1] = Some(seen(MINUTE * 60, Duration::from_secs(61), MINUTE));
        let (turns, _) = turns(&all, pace(400));
        assert_eq!((turns[0], turns[1]), (Turn::Later, Turn::Newest));
    }

    #[test]
    fn warm_ones_that_are_not_due_yet_show_a_new_job_within_the_next_minute_or_two() {
        let all: Vec<_> = (0..500).map(|_| Some(seen(MINUTE * 60, Duration::from_secs(31), MINUTE))).collect();
        let last = Some(now() - Duration::from_secs(31));
        let (turns, coverage) = turns(&all, Pace { last, ..pace(400) });
        assert!(turns.iter().all(|turn| *turn == Turn::Later));
        assert_eq!(coverage.detection, Duration::from_secs(62));
        // Two looks by hand say nothing of the next one.
        let (_, coverage) = super::tests::turns(&all, Pace { last: Some(now() - Duration::from_secs(1)), ..pace(400) });
        assert_eq!(coverage.detection, MINUTE);
    }

    #[test]
    fn a_warm_one_has_its_turn_in_each_of_crons_minutes() {
        let mut all = many_cold(1000, 1);
        all[0] = Some(seen(MINUTE * 60, Duration::from_millis(59_900), MINUTE));
        assert_ne!(turns(&all, pace(400)).0[0], Turn::Later);
    }

    /// The pace of a process that looks every ten seconds.
    fn repeated(requests: u64) -> Pace {
        let every = Duration::from_secs(10);
        Pace { last: Some(now() - every), every: Some(every), ..pace(requests) }
    }

    #[test]
    fn where_looks_repeat_the_hot_take_turns_too_once_they_are_more_than_fit_between_two_looks() {
        let mut all: Vec<_> = (0..100).map(|_| Some(seen(MINUTE, Duration::from_secs(20), MINUTE))).collect();
        all.extend(many_cold(400, 30));
        for one in &mut all[0..30] {
            one.as_mut().unwrap().at = now() - Duration::from_secs(10);
        }
        let (turns, coverage) = turns(&all, repeated(80));
        let looked = |range: std::ops::Range<usize>| turns[range].iter().filter(|turn| **turn != Turn::Later).count();
        // The longest unseen first; and the cold have their part.
        assert_eq!((looked(0..30), looked(30..100)), (0, 56));
        assert_eq!(looked(100..500), 24, "400 of them in 17 looks");
        assert_eq!(coverage.detection, Duration::from_secs(10) * 17);
    }

    #[test]
    fn where_looks_repeat_searches_in_hot_repositories_take_turns() {
        let mut all: Vec<_> = (0..40).map(|_| Some(seen(MINUTE, Duration::from_secs(10), MINUTE * 6))).collect();
        all.extend(many_cold(400, 1));
        let (turns, coverage) = turns(&all, repeated(80));
        let whole = turns[..40].iter().filter(|turn| **turn == Turn::Whole).count();
        let newest = turns[..40].iter().filter(|turn| **turn == Turn::Newest).count();
        assert_eq!((whole, newest), (3, 37), "and all are looked at");
        assert!(coverage.rerun_detection >= SEARCH_COLD_EVERY + MINUTE * 2);
    }

    #[test]
    fn a_hot_one_with_more_runs_than_a_look_has_requests_is_looked_at_all_the_same() {
        let run: Run = serde_json::from_str(r#"{"id":7,"status":"in_progress"}"#).unwrap();
        let busy = Seen { active: vec![run; 200], ..seen(MINUTE, MINUTE, MINUTE) };
        let (turns, _) = turns(&[Some(busy.clone()), Some(busy)], repeated(80));
        assert_eq!(turns, [Turn::Newest, Turn::Later]);
    }

    #[test]
    fn none_waits_for_ever_whatever_the_others_take_and_whatever_it_takes_itself() {
        let run: Run = serde_json::from_str(r#"{"id":7,"status":"in_progress"}"#).unwrap();
        let busy = |runs| Seen { active: vec![run.clone(); runs], ..seen(MINUTE, MINUTE, MINUTE) };
        let ghost = HiddenRun { repository: "acme/api".into(), run_id: run.id, status: "queued".into(), since: None };
        let quiet = |age| Seen {
            active: vec![run.clone(); 20],
            ghosts: vec![ghost.clone()],
            ..seen(age, MINUTE * 5, MINUTE * 90)
        };
        // Thirty that a hint names each time, one of them huge; then hot, warm and cold ones, the first of each huge.
        let mut all: Vec<Option<Seen>> = (0..30).map(|nth| Some(busy(if nth == 0 { 60 } else { 3 }))).collect();
        all.extend((0..30).map(|nth| Some(busy(if nth == 0 { 60 } else { 3 }))));
        for age in [MINUTE * 60, MINUTE * 60 * 48] {
            all.push(Some(quiet(age)));
            all.extend((0..30).map(|_| Some(seen(age, MINUTE * 5, MINUTE * 90))));
        }
        let mut waited = vec![0; all.len()];
        let mut time = now();
        for _ in 0..600 {
            let tier = |(nth, one): (usize, &Option<Seen>)| Tier::of(one.as_ref(), (nth < 30).then_some(time), time);
            let tiers: Vec<Tier> = all.iter().enumerate().map(tier).collect();
            let pace = Pace { last: Some(time - Duration::from_secs(10)), now: time, ..repeated(80) };
            let (turns, _) = super::turns(&all, &tiers, pace);
            for ((turn, one), waited) in turns.iter().zip(all.iter_mut().flatten()).zip(&mut waited) {
                let is_looked_at = *turn != Turn::Later;
                *waited = if is_looked_at { 0 } else { *waited + 1 };
                assert!(*waited < 40, "one was not looked at 40 times in a row");
                // Those with sixty runs can never be read whole.
                match is_looked_at {
                    true if one.active.len() == 60 => one.tried = Some(time),
                    true => one.at = time,
                    false => {}
                }
                one.searched = if *turn == Turn::Whole { time } else { one.searched };
                // Its newest run is as old as it was.
                one.newest = one.newest.map(|at| at + Duration::from_secs(10));
            }
            time += Duration::from_secs(10);
        }
    }

    #[test]
    fn the_warm_are_not_forgotten_whatever_the_hot_take() {
        let mut all: Vec<_> = (0..500).map(|_| Some(seen(MINUTE, MINUTE, MINUTE))).collect();
        all.extend((0..50).map(|_| Some(seen(MINUTE * 60, MINUTE * 2, MINUTE * 2))));
        for pace in [pace(400), repeated(80)] {
            let looked = turns(&all, pace).0[500..].iter().filter(|turn| **turn != Turn::Later).count();
            assert!(looked >= 8, "{looked}");
        }
    }

    #[test]
    fn old_runs_are_searched_for_within_the_hour_even_in_the_quietest() {
        let mut all = many_cold(1000, 1);
        all[0] = Some(seen(MINUTE * 60 * 48, MINUTE * 90, MINUTE * 90));
        let (turns, coverage) = turns(&all, pace(400));
        assert_eq!(turns[0], Turn::Whole);
        assert!(coverage.rerun_detection > SEARCH_COLD_EVERY);
    }
}
