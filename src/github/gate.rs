//! The one gate that every request passes: how many at once, how many a minute, how many at all, and when none.
//!
//! GitHub allows a hundred requests at once and 900 points a minute (a GET is one point), does not say how much of that
//! is left, counts what it answered with 304 too as far as is known, and bans who goes on after a refusal. So the pace
//! stays well below, a refusal closes the gate for everybody, and afterwards it is passed at half the pace for a while.
//! What decides is pure and is told the time; only [`Gate::pass`] waits.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use governor::clock::Clock as _;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use jiff::Timestamp;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::client::lock;
use crate::clock::Clock;

/// GETs a minute where there are rate limits, in `auto`: two thirds of GitHub's 900.
const READS_A_MINUTE: u32 = 600;
/// What GitHub allows, but for a few that nobody can time so well.
const READS_AT_MOST: u32 = 890;
/// What takes no longer is looked at whole.
const LOOK: Duration = Duration::from_secs(20);
/// What looks that repeat may take of the pace, in percent: what is left is for other requests, and lets the bucket fill up
/// between two looks, so that the next one does not wait for its turns.
const LOOKS_SHARE: u64 = 80;
/// Looks that repeat more often than this are as large as if they repeated so often.
const LOOKS_APART: Duration = Duration::from_secs(5);
/// Changes a minute: each is five points, so 180 is GitHub's limit for these alone.
const WRITES_A_MINUTE: u32 = 180;
/// Changes that need not wait for each other.
const WRITES_AT_ONCE: u32 = 10;
/// Changes a minute for a while after a refusal: one a second, as GitHub advises.
const WRITES_AFTER_REFUSAL: u32 = 60;
const WRITES_STAY_SLOW: Duration = Duration::from_mins(10);
/// A request that comes so long after the last change of the pace brings a tenth of the full one back.
const RECOVERS_EVERY: Duration = Duration::from_mins(1);
/// GitHub's limits end within an hour.
pub(super) const KEPT_AT_MOST: Duration = Duration::from_mins(61);
/// A refusal that names a time that has passed closes the gate for so long, and for longer each time.
const CLOSED_AT_LEAST: Duration = Duration::from_secs(5);
/// However often GitHub refuses, a tenth of the full pace is left: what waits for it comes to an end.
const SLOWEST: u32 = 10;
/// Without a word from GitHub: "wait for at least one minute", and longer each time.
const CLOSED_FOR: Duration = Duration::from_mins(1);
const CLOSED_AT_MOST: Duration = Duration::from_mins(16);

/// How much may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests at once, from 1 to 100.
    pub at_once: usize,
    /// GETs a minute; `None`: 600 where the server has rate limits, and no bound where it has none.
    pub per_minute: Option<u32>,
    /// Requests that a look at everything may take before repositories take turns; `None`: as many as the pace lets
    /// through in twenty seconds, or where looks repeat sooner, until the next one.
    pub per_look: Option<u64>,
    /// How often one process looks; `None`: it looks once.
    pub looks_every: Option<Duration>,
    /// Requests for one observation, at most.
    pub most_requests: Option<u64>,
    /// How much of the hourly limit may be used, by whomever, in percent, before the rest is left to others.
    pub share: u8,
}

impl Default for Limits {
    fn default() -> Self {
        Self { at_once: 100, per_minute: None, per_look: None, looks_every: None, most_requests: None, share: 100 }
    }
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A GET.
    Read,
    /// Anything else.
    Write,
}

/// Why a request may not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// GitHub has refused until then, and that is too long to wait for.
    Closed(Timestamp),
    /// Our share of the hourly limit is used up; the next hour begins then.
    Share(Option<Timestamp>),
    /// As many requests as were allowed have been sent.
    Budget(u64),
}

/// The rate limit as answers tell it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) limit: Option<u64>,
    pub(super) remaining: Option<u64>,
    /// Seconds since 1970.
    pub(super) reset: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Gate {
    patience: Duration,
    clock: Clock,
    slots: Semaphore,
    /// Whoever waits for the pace waits in line: one for reads, one for writes.
    lines: [tokio::sync::Mutex<()>; 2],
    state: Mutex<State>,
    /// The gate of the App whose installation this one is of: its budget, and its bound on requests at once, are those of all
    /// installations together.
    above: Option<Arc<Gate>>,
}

/// Leave to send one request; given back when it is answered.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    _slot: Option<SemaphorePermit<'a>>,
    _slot_above: Option<SemaphorePermit<'a>>,
}

/// While it lives, there is a budget that requests can be counted against.
#[derive(Debug)]
struct Budget<'a>(&'a Gate);

tokio::task_local! {
    /// Is there while an observation asks: what else is asked meanwhile, to launch by, is bounded by no budget.
    static COUNTS: ();
}

impl Gate {
    pub(super) fn new(limits: Limits, patience: Duration, clock: Clock) -> Self {
        Self {
            patience,
            clock,
            slots: Semaphore::new(limits.at_once.clamp(1, 100)),
            lines: <[tokio::sync::Mutex<()>; 2]>::default(),
            state: Mutex::new(State::new(limits)),
            above: None,
        }
    }

    /// Prepares the gate of one of an App's installations, which counts against the App's budget and is otherwise closed
    /// and paced by what GitHub says to this installation alone.
    pub(super) fn below(above: Arc<Self>, limits: Limits, patience: Duration) -> Self {
        let clock = above.clock;
        let gate = Self::new(Limits { most_requests: None, ..limits }, patience, clock);
        lock(&gate.state).spent = Some(0);
        Self { above: Some(above), ..gate }
    }

    /// Waits until a request may be sent.
    ///
    /// # Errors
    /// It may not be sent, or not soon.
    pub(super) async fn pass(&self, purpose: Purpose) -> Result<Pass<'_>, Refusal> {
        let counts = COUNTS.try_with(|()| ()).is_ok();
        // Nobody closes the semaphore.
        let slot = self.slots.acquire().await.ok();
        let _line = self.lines[usize::from(purpose == Purpose::Write)].lock().await;
        loop {
            let (since, now) = (self.clock.elapsed(), self.clock.now());
            let verdict = lock(&self.state).ask(purpose, counts, since, now, self.patience)?;
            match verdict {
                Verdict::Go => {
                    let Some(above) = &self.above else { return Ok(Pass { _slot: slot, _slot_above: None }) };
                    if counts && purpose == Purpose::Read {
                        lock(&above.state).spend()?;
                    }
                    // Last, so that an installation that has to wait keeps none of the others waiting.
                    return Ok(Pass { _slot: slot, _slot_above: above.slots.acquire().await.ok() });
                }
                Verdict::Pace(wait) => self.clock.sleep(wait).await,
                Verdict::Closed(wait) => {
                    tracing::warn!("rate limit: waiting {}", crate::ages::short(wait + Duration::from_millis(999)));
                    self.clock.sleep(wait).await;
                }
            }
        }
    }

    /// Hears of an answer that was no refusal: whether it had a rate limit, and how that stands by all answers so far.
    pub(super) fn answered(&self, has_limit: bool, told: Told) {
        let mut state = lock(&self.state);
        state.answered(has_limit, told);
        state.told_at = Some(self.clock.now());
    }

    /// Returns whether nothing may be asked now, or not before a wait.
    pub(super) fn is_closed(&self) -> bool {
        lock(&self.state).closed_until.is_some_and(|until| until > self.clock.now())
    }

    /// Returns whether answers have come, and none of them named a rate limit.
    pub(super) fn is_without_limits(&self) -> bool {
        lock(&self.state).has_limits == Some(false)
    }

    /// Hears until when an earlier process was refused; what no limit of GitHub's takes is by a clock that was set since.
    pub(super) fn close(&self, until: Option<Timestamp>) {
        let latest = self.clock.now() + KEPT_AT_MOST;
        lock(&self.state).closed_until = until.filter(|until| *until < latest);
    }

    /// Hears that GitHub refused for a rate limit; returns until when the gate is closed.
    pub(super) fn refused(&self, until: Option<Timestamp>) -> Timestamp {
        lock(&self.state).refused(until, self.clock.elapsed(), self.clock.now())
    }

    /// Returns how many requests a look at everything may take; `None` where nothing bounds them.
    pub(super) fn requests_for_a_look(&self) -> Option<u64> {
        let state = lock(&self.state);
        let reads = &state.reads;
        let of_pace = || {
            let once = u64::from(reads.burst) + u64::from(reads.full) * LOOK.as_secs() / 60;
            state.limits.looks_every.map_or(once, |every| once.min(reads.until_the_next_look(every)))
        };
        state.limits.per_look.or_else(|| state.paces_reads().then(of_pace))
    }

    /// Returns how long so many reads take of what looks leave of the pace; nothing where there is no pace.
    pub(super) fn at_leisure(&self, requests: u64) -> Duration {
        let state = lock(&self.state);
        let a_minute = u64::from(state.reads.now) * (100 - LOOKS_SHARE) / 100;
        let milliseconds = requests.saturating_mul(60_000) / a_minute.max(1);
        if state.paces_reads() { Duration::from_millis(milliseconds) } else { Duration::ZERO }
    }

    /// Counts what `work` asks against the budget, and nothing else. Of observations that overlap the budget is one.
    pub(super) fn within_budget<'a, T>(&'a self, work: impl Future<Output = T> + 'a) -> LocalBoxFuture<'a, T> {
        async move {
            let _budget = self.budget();
            COUNTS.scope((), work).await
        }
        .boxed_local()
    }

    fn budget(&self) -> Budget<'_> {
        let mut state = lock(&self.state);
        state.observations += 1;
        state.spent.get_or_insert(0);
        drop(state);
        Budget(self)
    }
}

impl Drop for Budget<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.observations = state.observations.saturating_sub(1);
        if state.observations == 0 {
            state.spent = None;
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Go,
    Pace(Duration),
    Closed(Duration),
}

/// All that decides. Times since the beginning are monotonic; times of day are GitHub's words.
#[derive(Debug)]
struct State {
    limits: Limits,
    /// Whether answers carry a rate limit; unknown before the first.
    has_limits: Option<bool>,
    told: Told,
    told_at: Option<Timestamp>,
    reads: Pace,
    writes: Pace,
    closed_until: Option<Timestamp>,
    /// Refusals in a row.
    refusals: u32,
    /// Requests of this observation; `None` where they are not counted.
    spent: Option<u64>,
    /// Observations that are under way.
    observations: u32,
}

impl State {
    fn new(limits: Limits) -> Self {
        let reads = limits.per_minute.unwrap_or(READS_A_MINUTE);
        Self {
            limits,
            has_limits: None,
            told: Told::default(),
            told_at: None,
            reads: Pace::new(reads, reads_at_once(reads)),
            writes: Pace::new(WRITES_A_MINUTE, WRITES_AT_ONCE),
            closed_until: None,
            refusals: 0,
            spent: None,
            observations: 0,
        }
    }

    fn ask(
        &mut self,
        purpose: Purpose,
        counts: bool,
        since: Duration,
        now: Timestamp,
        patience: Duration,
    ) -> Result<Verdict, Refusal> {
        // The clock was set back since: no limit of GitHub's takes so long.
        self.closed_until = self.closed_until.filter(|until| *until <= now + KEPT_AT_MOST);
        if let Some(until) = self.closed_until {
            match Duration::try_from(until.duration_since(now)) {
                Ok(wait) if wait > patience => return Err(Refusal::Closed(until)),
                Ok(wait) if !wait.is_zero() => return Ok(Verdict::Closed(wait)),
                _ => self.closed_until = None,
            }
        }
        if counts && purpose == Purpose::Read {
            self.within_budget(now)?;
        }
        let is_paced = match purpose {
            Purpose::Read => self.paces_reads(),
            Purpose::Write => self.has_limits != Some(false),
        };
        let pace = match purpose {
            Purpose::Read => &mut self.reads,
            Purpose::Write => &mut self.writes,
        };
        if let Some(wait) = pace.wait(since).filter(|_| is_paced) {
            return Ok(Verdict::Pace(wait));
        }
        if let Some(spent) = self.spent.as_mut().filter(|_| counts) {
            *spent += 1;
        }
        Ok(Verdict::Go)
    }

    /// Counts a read that another gate lets pass.
    fn spend(&mut self) -> Result<(), Refusal> {
        let Some(spent) = &mut self.spent else { return Ok(()) };
        if let Some(most) = self.limits.most_requests.filter(|most| *spent >= *most) {
            return Err(Refusal::Budget(most));
        }
        *spent += 1;
        Ok(())
    }

    fn paces_reads(&self) -> bool {
        self.limits.per_minute.is_some() || self.has_limits != Some(false)
    }

    /// Returns whether another read is allowed. What is written is never stopped half-way by a budget.
    fn within_budget(&self, now: Timestamp) -> Result<(), Refusal> {
        let Some(spent) = self.spent else { return Ok(()) };
        if let Some(most) = self.limits.most_requests.filter(|most| spent >= *most) {
            return Err(Refusal::Budget(most));
        }
        let (Some(limit), Some(remaining)) = (self.told.limit, self.told.remaining) else { return Ok(()) };
        let reset = self.told.reset.and_then(|at| Timestamp::from_second(at.cast_signed()).ok());
        let until = reset.or_else(|| self.told_at.map(|at| at + Duration::from_hours(1)));
        let is_of_this_hour = until.is_none_or(|until| until > now);
        let left_to_others = limit * u64::from(100 - self.limits.share.min(100)) / 100;
        if left_to_others > 0 && remaining <= left_to_others && is_of_this_hour {
            return Err(Refusal::Share(reset));
        }
        Ok(())
    }

    fn answered(&mut self, has_limit: bool, told: Told) {
        self.refusals = 0;
        // One answer without, from a proxy, doesn't undo what GitHub has said.
        self.has_limits = Some(has_limit || self.has_limits == Some(true));
        self.told = told;
    }

    fn refused(&mut self, until: Option<Timestamp>, since: Duration, now: Timestamp) -> Timestamp {
        let is_open = self.closed_until.is_none_or(|until| until <= now);
        // Requests that were under way together are refused together: that is one refusal.
        if is_open {
            self.refusals += 1;
            self.reads.halve(since);
            self.writes.slow_down(WRITES_AFTER_REFUSAL, since);
        }
        let doubled = |time: Duration| {
            let time = time.saturating_mul(1 << self.refusals.saturating_sub(1).min(8));
            now + time.min(CLOSED_AT_MOST)
        };
        let until = match until {
            None => doubled(CLOSED_FOR),
            Some(until) if until <= now => doubled(CLOSED_AT_LEAST),
            Some(until) => until.min(now + KEPT_AT_MOST),
        };
        let until = self.closed_until.map_or(until, |known| known.max(until));
        self.closed_until = Some(until);
        until
    }
}

/// Returns how many reads need not wait for each other: a third of a minute's, and no more than that the worst minute stays
/// below GitHub's limit. A pace beyond the limit is for a server that has another.
fn reads_at_once(per_minute: u32) -> u32 {
    let third = per_minute / 3;
    READS_AT_MOST.checked_sub(per_minute).map_or(third, |left| third.min(left)).max(1)
}

/// A token bucket whose size can change.
#[derive(Debug)]
struct Pace {
    full: u32,
    now: u32,
    burst: u32,
    changed: Duration,
    recovers: Duration,
    clock: Since,
    bucket: RateLimiter<NotKeyed, InMemoryState, Since, NoOpMiddleware<Nanos>>,
}

impl Pace {
    fn new(per_minute: u32, burst: u32) -> Self {
        let clock = Since::default();
        let bucket = bucket(per_minute, burst, &clock);
        Self {
            full: per_minute,
            now: per_minute,
            burst,
            changed: Duration::ZERO,
            recovers: RECOVERS_EVERY,
            clock,
            bucket,
        }
    }

    /// Returns how many requests a look may take that is followed by another one after so long.
    fn until_the_next_look(&self, every: Duration) -> u64 {
        let seconds = every.max(LOOKS_APART).as_secs();
        (u64::from(self.now).saturating_mul(seconds).saturating_mul(LOOKS_SHARE) / 6000).max(1)
    }

    /// Takes a turn, or returns how long there is none.
    fn wait(&mut self, since: Duration) -> Option<Duration> {
        if self.now < self.full && since.saturating_sub(self.changed) >= self.recovers {
            let to = self.now.saturating_add((self.full / 10).max(1)).min(self.full);
            self.recovers = RECOVERS_EVERY;
            self.change(to, since);
        }
        self.clock.set(since);
        let early = self.bucket.check().err()?;
        Some(early.wait_time_from(self.clock.now()).max(Duration::from_millis(1)))
    }

    fn halve(&mut self, since: Duration) {
        self.change((self.now / 2).max(self.full / SLOWEST).max(1), since);
    }

    /// Goes on at a lower pace, which stays for a while.
    fn slow_down(&mut self, to: u32, since: Duration) {
        self.recovers = WRITES_STAY_SLOW;
        self.change(to.min(self.full), since);
    }

    fn change(&mut self, to: u32, since: Duration) {
        (self.now, self.changed) = (to, since);
        self.clock.set(since);
        // Nothing at once until the full pace is back.
        let burst = if to == self.full { self.burst } else { 1 };
        self.bucket = bucket(to, burst, &self.clock);
    }
}

fn bucket(
    per_minute: u32,
    burst: u32,
    clock: &Since,
) -> RateLimiter<NotKeyed, InMemoryState, Since, NoOpMiddleware<Nanos>> {
    let at_least_one = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
    let quota = Quota::per_minute(at_least_one(per_minute)).allow_burst(at_least_one(burst));
    RateLimiter::direct_with_clock(quota, clock.clone())
}

/// A clock that is told the time.
#[derive(Clone, Debug, Default)]
struct Since(std::sync::Arc<AtomicU64>);

impl Since {
    fn set(&self, since: Duration) {
        // An hour beyond zero, since a bucket looks into the past; u64 nanoseconds last for centuries.
        let nanoseconds = since.saturating_add(Duration::from_hours(1)).as_nanos();
        self.0.store(u64::try_from(nanoseconds).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl governor::clock::Clock for Since {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::from(self.0.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_mins(1);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A gate whose time passes only when somebody waits.
    struct World {
        state: State,
        since: Duration,
        sent: Vec<Duration>,
    }

    impl World {
        fn new(limits: Limits) -> Self {
            Self { state: State::new(limits), since: Duration::ZERO, sent: Vec::new() }
        }

        fn limited(limits: Limits) -> Self {
            let mut world = Self::new(limits);
            world.told(5000, 5000);
            world
        }

        fn told(&mut self, limit: u64, remaining: u64) {
            let reset = Some(self.now().as_second().cast_unsigned() + 3600);
            self.state.answered(true, Told { limit: Some(limit), remaining: Some(remaining), reset });
        }

        fn now(&self) -> Timestamp {
            Timestamp::from_second(1_800_000_000).unwrap() + self.since
        }

        fn send(&mut self, purpose: Purpose) -> Result<(), Refusal> {
            loop {
                match self.state.ask(purpose, true, self.since, self.now(), PATIENCE)? {
                    Verdict::Go => break,
                    Verdict::Pace(wait) | Verdict::Closed(wait) => self.since += wait,
                }
            }
            self.sent.push(self.since);
            Ok(())
        }

        fn send_all(&mut self, count: usize, purpose: Purpose) {
            for _ in 0..count {
                self.send(purpose).unwrap();
            }
        }

        /// Returns the most that was sent in any one minute.
        fn busiest_minute(&self) -> usize {
            let within = |from: &Duration| {
                self.sent.iter().filter(|at| **at >= *from && at.saturating_sub(*from) < seconds(60)).count()
            };
            self.sent.iter().map(within).max().unwrap_or(0)
        }
    }

    #[test]
    fn no_minute_sees_more_than_github_allows() {
        let mut world = World::limited(Limits::default());
        world.send_all(3000, Purpose::Read);
        assert!(world.busiest_minute() <= 801, "{}", world.busiest_minute());
        // 200 at once, the rest at 600 a minute.
        let minutes = world.since.as_secs_f64() / 60.0;
        assert!((4.6..4.7).contains(&minutes), "{minutes}");
    }

    #[test]
    fn nor_at_a_pace_that_somebody_set_below_the_limit() {
        for pace in [60, 600, 700, 750, 850] {
            let mut world = World::limited(Limits { per_minute: Some(pace), ..Limits::default() });
            world.send_all(3000, Purpose::Read);
            assert!(world.busiest_minute() <= 900, "{} at {pace} a minute", world.busiest_minute());
        }
    }

    #[test]
    fn before_the_first_answer_it_is_as_if_there_were_limits() {
        let mut world = World::new(Limits::default());
        world.send_all(800, Purpose::Read);
        assert!(world.since >= seconds(59));
    }

    #[test]
    fn a_server_without_limits_is_not_paced_unless_somebody_says_so() {
        let mut world = World::new(Limits::default());
        world.state.answered(false, Told::default());
        world.send_all(5000, Purpose::Read);
        world.send_all(500, Purpose::Write);
        assert_eq!(world.since, Duration::ZERO);

        let mut world = World::new(Limits { per_minute: Some(60), ..Limits::default() });
        world.state.answered(false, Told::default());
        world.send_all(80, Purpose::Read);
        assert!(world.since >= seconds(59));
    }

    #[test]
    fn one_answer_without_the_headers_does_not_undo_the_limit() {
        let mut world = World::limited(Limits::default());
        world.state.answered(false, Told::default());
        world.send_all(800, Purpose::Read);
        assert!(world.since >= seconds(59));
    }

    #[test]
    fn a_launch_of_a_hundred_does_not_wait_for_good_manners_alone() {
        let mut world = World::limited(Limits::default());
        world.send_all(10, Purpose::Write);
        assert_eq!(world.since, Duration::ZERO);
        world.send_all(90, Purpose::Write);
        assert!((seconds(29)..seconds(31)).contains(&world.since), "{:?}", world.since);
    }

    #[test]
    fn a_refusal_closes_the_gate_for_everybody_for_as_long_as_it_says() {
        let mut world = World::limited(Limits::default());
        world.state.refused(Some(world.now() + seconds(30)), world.since, world.now());
        world.send(Purpose::Write).unwrap();
        assert_eq!(world.since, seconds(30));
        let until = world.now() + seconds(3600);
        world.state.refused(Some(until), world.since, world.now());
        assert_eq!(world.send(Purpose::Read), Err(Refusal::Closed(until)));
        assert_eq!(world.send(Purpose::Write), Err(Refusal::Closed(until)));
        world.since += seconds(3600);
        world.send(Purpose::Read).unwrap();
    }

    #[test]
    fn without_a_word_it_is_closed_for_a_minute_and_for_longer_each_time() {
        let mut world = World::limited(Limits::default());
        for minutes in [1, 2, 4, 8, 16, 16] {
            let until = world.state.refused(None, world.since, world.now());
            assert_eq!(until, world.now() + seconds(60 * minutes));
            world.since += seconds(60 * minutes);
        }
        world.told(5000, 4000);
        assert_eq!(world.state.refused(None, world.since, world.now()), world.now() + seconds(60));
    }

    #[test]
    fn a_refusal_until_a_time_that_has_passed_closes_the_gate_all_the_same_and_leaves_a_pace() {
        let mut world = World::limited(Limits::default());
        for wait in [5, 10, 20, 40, 80] {
            let until = world.state.refused(Some(world.now() - seconds(30)), world.since, world.now());
            assert_eq!(until, world.now() + seconds(wait));
            world.since += seconds(wait);
        }
        assert_eq!(world.state.reads.now, 60);
        world.state.refused(Some(world.now()), world.since, world.now());
        assert!(matches!(world.send(Purpose::Read), Err(Refusal::Closed(_))), "nobody waits for so long");
    }

    #[test]
    fn no_word_and_no_clock_closes_the_gate_for_longer_than_a_limit_lasts() {
        let mut world = World::limited(Limits::default());
        let until = world.state.refused(Some(world.now() + seconds(31_536_000)), world.since, world.now());
        assert_eq!(until, world.now() + KEPT_AT_MOST);
        world.since += seconds(7200);
        world.state.refused(Some(world.now() + seconds(30)), world.since, world.now());
        // The clock is set back by two hours.
        world.since = Duration::ZERO;
        world.send(Purpose::Read).unwrap();
    }

    #[tokio::test]
    async fn an_apps_installations_have_no_more_at_once_than_it_has() {
        let limits = Limits { at_once: 2, per_minute: Some(60_000), ..Limits::default() };
        let above = Arc::new(Gate::new(limits, PATIENCE, Clock::real()));
        let gates = [1, 2, 3].map(|_| Gate::below(above.clone(), Limits { at_once: 1, ..limits }, PATIENCE));
        let first = gates[0].pass(Purpose::Read).await.unwrap();
        let _second = gates[1].pass(Purpose::Read).await.unwrap();
        let third = gates[2].pass(Purpose::Read);
        tokio::pin!(third);
        assert!(futures::poll!(&mut third).is_pending());
        drop(first);
        third.await.unwrap();
    }

    #[test]
    fn requests_that_are_refused_together_are_one_refusal() {
        let mut world = World::limited(Limits::default());
        for _ in 0..50 {
            world.state.refused(Some(world.now() + seconds(10)), world.since, world.now());
        }
        assert_eq!((world.state.reads.now, world.state.refusals), (300, 1));
    }

    #[test]
    fn after_a_refusal_the_pace_is_halved_and_comes_back_bit_by_bit() {
        let mut world = World::limited(Limits::default());
        world.state.refused(Some(world.now() + seconds(1)), world.since, world.now());
        world.since += seconds(1);
        let begin = world.since;
        world.send_all(290, Purpose::Read);
        assert!(world.since.saturating_sub(begin) >= seconds(57), "300 a minute, none at once");
        for (minutes, pace) in [(1, 360), (1, 420), (3, 480)] {
            world.since += seconds(60 * minutes);
            world.send(Purpose::Read).unwrap();
            assert_eq!(world.state.reads.now, pace);
        }
        for _ in 0..9 {
            world.since += seconds(60);
            world.send(Purpose::Read).unwrap();
        }
        assert_eq!(world.state.reads.now, 600);
    }

    #[test]
    fn writes_stay_at_one_a_second_for_ten_minutes_after_a_refusal() {
        let mut world = World::limited(Limits::default());
        world.state.refused(Some(world.now() + seconds(1)), world.since, world.now());
        world.since += seconds(1);
        let begin = world.since;
        world.send_all(120, Purpose::Write);
        assert!(world.since.saturating_sub(begin) >= seconds(118));
        world.since = begin + seconds(600);
        world.send(Purpose::Write).unwrap();
        assert!(world.state.writes.now > WRITES_AFTER_REFUSAL);
    }

    #[test]
    fn a_look_that_repeats_takes_what_the_pace_lets_through_until_the_next_and_leaves_some_of_it() {
        let requests = |looks_every| {
            let gate = Gate::new(Limits { looks_every, ..Limits::default() }, PATIENCE, Clock::real());
            gate.requests_for_a_look()
        };
        assert_eq!(requests(None), Some(400));
        for (every, expected) in [(1, 40), (5, 40), (10, 80), (30, 240), (60, 400), (3600, 400)] {
            assert_eq!(requests(Some(seconds(every))), Some(expected), "{every} s");
        }
        // Sent at once each time, they wait for nothing but the first.
        let mut world = World::limited(Limits::default());
        for look in 1..30 {
            world.since = world.since.max(seconds(look * 10));
            let began = world.since;
            world.send_all(80, Purpose::Read);
            assert!(world.since.saturating_sub(began).is_zero(), "look {look}");
        }
        assert!(world.busiest_minute() <= 890);
    }

    #[test]
    fn of_observations_that_overlap_the_budget_is_one() {
        let gate = Gate::new(Limits::default(), PATIENCE, Clock::real());
        let spent = || lock(&gate.state).spent;
        let one = gate.budget();
        lock(&gate.state).spent = Some(7);
        let other = gate.budget();
        drop(one);
        assert_eq!(spent(), Some(7));
        drop(other);
        assert_eq!(spent(), None);
    }

    #[test]
    fn a_budget_bounds_the_reads_of_one_observation_and_no_write() {
        let mut world = World::limited(Limits { most_requests: Some(3), ..Limits::default() });
        world.send_all(5, Purpose::Read);
        for _ in 0..2 {
            world.state.spent = Some(0);
            world.send_all(3, Purpose::Read);
            assert_eq!(world.send(Purpose::Read), Err(Refusal::Budget(3)));
            world.send(Purpose::Write).unwrap();
        }
    }

    #[test]
    fn what_is_not_our_share_is_left_to_others_until_the_next_hour() {
        let mut world = World::limited(Limits { share: 80, ..Limits::default() });
        world.state.spent = Some(0);
        world.told(5000, 1001);
        world.send(Purpose::Read).unwrap();
        world.told(5000, 1000);
        assert!(matches!(world.send(Purpose::Read), Err(Refusal::Share(Some(_)))));
        world.since += seconds(3601);
        world.send(Purpose::Read).unwrap();
    }

    #[tokio::test]
    async fn what_is_asked_beside_an_observation_is_bounded_by_no_budget() {
        let limits = Limits { share: 80, most_requests: Some(3), per_minute: Some(60_000), ..Limits::default() };
        for told in [100, 1000] {
            let gate = Gate::new(limits, PATIENCE, Clock::real());
            gate.answered(true, Told { limit: Some(1000), remaining: Some(told), reset: None });
            let observation = gate.within_budget(async {
                let mut passed = 0;
                while gate.pass(Purpose::Read).await.is_ok() {
                    passed += 1;
                }
                // It goes on while others ask.
                tokio::task::yield_now().await;
                passed
            });
            let beside = async {
                for _ in 0..9 {
                    gate.pass(Purpose::Read).await.unwrap();
                }
            };
            let (passed, ()) = futures::join!(observation, beside);
            assert_eq!(passed, if told == 100 { 0 } else { 3 });
        }
    }

    #[tokio::test]
    async fn never_more_than_so_many_are_under_way() {
        let gate =
            Gate::new(Limits { at_once: 2, per_minute: Some(60_000), ..Limits::default() }, PATIENCE, Clock::real());
        let passes = [gate.pass(Purpose::Read).await.unwrap(), gate.pass(Purpose::Write).await.unwrap()];
        let third = gate.pass(Purpose::Read);
        tokio::pin!(third);
        assert!(futures::poll!(&mut third).is_pending());
        drop(passes);
        third.await.unwrap();
    }
}
