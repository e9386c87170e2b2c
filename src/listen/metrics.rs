//! What `listen` counts and measures, as Prometheus text, and whether it is healthy.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{StatusCode, header};
use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::ages::age;
use crate::apply::{Outcome, Result};
use crate::engine::{
    Cost, CountKind, Instance, InstanceId, Pool, PoolName, Price, ReasonCode, ScaleSetDemand, Snapshot, Step, View,
};
use crate::github::Usage;
use crate::report::{RerunResult, ResultWord};
use crate::tally::Tally;

/// A poll is answered within a minute where all is well; after so long without one a listener is not healthy.
const POLLS_WITHIN: Duration = Duration::from_mins(3);

/// A whole observation, as far as it is measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) view: &'a View<'a>,
    /// The pools that are served.
    pub(super) chosen: &'a BTreeSet<PoolName>,
    /// Instances and runner records were read whole.
    pub(super) supply_is_known: bool,
    /// Something is missing.
    pub(super) is_partial: bool,
}

/// What is measured.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    runners: Family<PoolState, Gauge>,
    desired: Family<OfPool, Gauge>,
    min_idle: Family<OfPool, Gauge>,
    max: Family<OfPool, Gauge>,
    queued: Family<OfPool, Gauge>,
    queued_exactly: Family<OfPool, Gauge>,
    cost: Family<OfPool, Gauge<f64, AtomicU64>>,
    oldest: Family<OfPool, Gauge>,
    unschedulable: Family<OfReason, Gauge>,
    launches: Family<LaunchLabels, Counter>,
    launch_errors: Family<OfCode, Counter>,
    boot: Family<OfPool, Histogram, fn() -> Histogram>,
    interruptions: Family<OfPool, Counter>,
    reruns: Family<OfRerun, Counter>,
    /// Instances that EC2 took back, as far as it shows them still.
    interrupted: Mutex<BTreeSet<InstanceId>>,
    terminations: Family<OfReason, Counter>,
    orphans: Family<OfSide, Counter>,
    sessions: Family<OfPool, Gauge>,
    last_poll: Family<OfPool, Gauge<f64, AtomicU64>>,
    messages: Family<OfPool, Counter>,
    poll_errors: Family<OfPool, Counter>,
    acquired: Family<OfPool, Counter>,
    lapses: Family<OfPool, Counter>,
    api_requests: Family<OfAnswer, Counter>,
    remaining: Gauge,
    last_run: Gauge<f64, AtomicU64>,
    last_success: Gauge<f64, AtomicU64>,
    run_seconds: Gauge<f64, AtomicU64>,
    polled: Mutex<BTreeMap<PoolName, Polled>>,
    /// Of everything; and how old that may be, where pools without a session depend on it.
    observed: Mutex<(Polled, Option<Duration>)>,
    /// Of instances and runners; and how old that may be: nothing is launched without them.
    supplied: Mutex<(Polled, Duration)>,
}

/// When a listened pool was polled last with success, or everything observed.
#[derive(Clone, Copy, Debug)]
struct Polled {
    at: Instant,
    /// Not yet: then it is since when it is listened to.
    is_first: bool,
}

impl Polled {
    fn begun() -> Self {
        Self { at: Instant::now(), is_first: true }
    }

    fn now() -> Self {
        Self { at: Instant::now(), is_first: false }
    }

    /// Returns whether that is no longer ago than it may be, and says when it was.
    fn is_healthy(&self, (what, done): (&str, &str), within: Duration, now: Instant, said: &mut String) -> bool {
        let ago = now.saturating_duration_since(self.at);
        let done = if self.is_first { format!("not {done}, begun") } else { done.to_owned() };
        // Writing to a string can't fail.
        let _ = writeln!(said, "{what}: {done} {} s ago", ago.as_secs());
        ago < within
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfPool {
    pool: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PoolState {
    pool: String,
    state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfReason {
    reason: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfCode {
    code: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfAnswer {
    api: &'static str,
    code: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfRerun {
    pool: String,
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfSide {
    side: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct LaunchLabels {
    pool: String,
    market: String,
    result: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Returns metrics that are all zero.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("ghascale");
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The version of this program", build);
        let all = &mut registry;
        Self {
            runners: kept(all, "runners", "Runners by pool and state: busy, idle, starting"),
            desired: kept(all, "desired_runners", "What the pool should have: demand and min_idle, up to max"),
            min_idle: kept(all, "min_idle", "min_idle of the configuration"),
            max: kept(all, "max_runners", "max of the configuration"),
            queued: kept(all, "jobs_queued", "Jobs that wait for a runner of the pool; absent where nothing is known"),
            queued_exactly: kept(
                all,
                "jobs_queued_exact",
                "1: jobs_queued is the count of now; 0: it is a lower bound, or corrected, or of a while ago, or absent",
            ),
            cost: kept(
                all,
                "estimated_cost_usd_per_hour",
                "What the pool's instances cost an hour; NaN where a price is unknown, absent without a price table",
            ),
            oldest: kept(
                all,
                "oldest_queued_job_age_seconds",
                "How long the pool's oldest pending job has waited, by REST",
            ),
            unschedulable: kept(all, "jobs_unschedulable", "Pending jobs that get no runner, by reason"),
            launches: kept(all, "launches", "Launches, by pool, market and result"),
            launch_errors: kept(all, "launch_errors", "Refusals of EC2 to launch, by its code"),
            boot: kept_by(
                all,
                "boot_seconds",
                "From an instance's launch to its runner's job",
                Family::new_with_constructor(boots),
            ),
            interruptions: kept(all, "spot_interruptions", "Spot instances that EC2 took back"),
            reruns: kept(all, "reruns", "Jobs whose spot instance EC2 took back, and what became of their re-run"),
            interrupted: Mutex::default(),
            terminations: kept(all, "terminations", "Instances that were terminated, by reason"),
            orphans: kept(
                all,
                "orphans",
                "Records without an instance (github) and instances without a record (ec2) that were ended",
            ),
            sessions: kept(all, "session_open", "Whether the message session of the pool's scale set is ours and open"),
            last_poll: kept(all, "last_poll_timestamp_seconds", "When the pool's queue was polled last with success"),
            messages: kept(all, "messages", "Messages of the pool's scale set"),
            poll_errors: kept(all, "poll_errors", "Polls, acknowledgements and acquisitions that failed"),
            acquired: kept(all, "jobs_acquired", "Jobs that the pool's scale set was offered, and was granted"),
            lapses: kept(
                all,
                "assignments_lapsed",
                "Jobs that GitHub took back from the pool's scale set, since no runner took them in time",
            ),
            api_requests: kept(
                all,
                "api_requests",
                "Requests by API (github, actions, ec2) and HTTP status; lost: no answer came",
            ),
            remaining: kept(all, "github_rate_limit_remaining", "Requests left of GitHub's hourly limit"),
            last_run: kept(
                all,
                "last_run_timestamp_seconds",
                "When everything was observed last, with or without success",
            ),
            last_success: kept(all, "last_success_timestamp_seconds", "When everything was observed last with success"),
            run_seconds: kept(all, "run_duration_seconds", "How long that took"),
            polled: Mutex::default(),
            observed: Mutex::new((Polled::begun(), None)),
            supplied: Mutex::new((Polled::begun(), POLLS_WITHIN)),
            registry,
        }
    }

    fn supply_read(&self) -> std::sync::MutexGuard<'_, (Polled, Duration)> {
        self.supplied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn polled_at(&self) -> std::sync::MutexGuard<'_, BTreeMap<PoolName, Polled>> {
        self.polled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A configuration is begun with, by which these pools are listened to, others polled so often, and everything observed
    /// so often: whatever else there was is forgotten.
    pub(super) fn begin<'a>(
        &self,
        listening: impl Iterator<Item = &'a PoolName>,
        polled_every: Option<Duration>,
        every: Duration,
    ) {
        for gauge in [&self.desired, &self.min_idle, &self.max, &self.queued, &self.queued_exactly, &self.oldest] {
            gauge.clear();
        }
        self.sessions.clear();
        self.runners.clear();
        self.cost.clear();
        self.unschedulable.clear();
        self.last_poll.clear();
        let mut polled = self.polled_at();
        let before = std::mem::take(&mut *polled);
        let since = Polled::begun();
        let within = |every: Duration| POLLS_WITHIN.max(every.saturating_mul(3));
        *self.observed.lock().unwrap_or_else(PoisonError::into_inner) = (since, polled_every.map(within));
        let mut supplied = self.supply_read();
        // Over a reload it is as old as it was.
        let at = if supplied.0.is_first { since } else { supplied.0 };
        *supplied = (at, within(every));
        for pool in listening {
            self.sessions.get_or_create(&of(pool)).set(0);
            polled.insert(pool.clone(), before.get(pool).copied().unwrap_or(since));
        }
    }

    pub(super) fn session(&self, pool: &PoolName, is_open: bool) {
        self.sessions.get_or_create(&of(pool)).set(i64::from(is_open));
    }

    pub(super) fn polled(&self, pool: &PoolName) {
        self.last_poll.get_or_create(&of(pool)).set(seconds(Timestamp::now()));
        self.polled_at().insert(pool.clone(), Polled::now());
    }

    pub(super) fn message(&self, pool: &PoolName) {
        self.polled(pool);
        self.messages.get_or_create(&of(pool)).inc();
    }

    /// Instances and runners were read whole.
    pub(super) fn supplied(&self) {
        self.supply_read().0 = Polled::now();
    }

    /// So many jobs wait at a pool's set; not exactly where its counts were corrected, or are of a while ago.
    pub(super) fn waits_at_set(&self, pool: &PoolName, queued: u64, is_exact: bool) {
        self.waits(pool, Some(queued), CountKind::Exact);
        self.queued_exactly.get_or_create(&of(pool)).set(i64::from(is_exact));
    }

    /// So many jobs wait for a pool; `None`: nobody knows.
    fn waits(&self, pool: &PoolName, queued: Option<u64>, kind: CountKind) {
        known(&self.queued, pool, queued, kind);
        let is_exact = queued.is_some() && kind == CountKind::Exact;
        self.queued_exactly.get_or_create(&of(pool)).set(i64::from(is_exact));
    }

    pub(super) fn trouble(&self, pool: &PoolName) {
        self.poll_errors.get_or_create(&of(pool)).inc();
    }

    /// Everything was looked at, which took so long, and leaves so much of the rate limit.
    pub(super) fn ran(&self, took: Duration, usage: Usage) {
        self.run_seconds.set(took.as_secs_f64());
        self.last_run.set(seconds(Timestamp::now()));
        if let Some(remaining) = usage.remaining {
            self.remaining.set(gauge(remaining));
        }
    }

    /// So many jobs that were on offer are a set's now.
    pub(super) fn acquired(&self, pool: &PoolName, jobs: usize) {
        self.acquired.get_or_create(&of(pool)).inc_by(jobs as u64);
    }

    /// So many of a set's jobs were taken back.
    pub(super) fn lapsed(&self, pool: &PoolName, jobs: usize) {
        self.lapses.get_or_create(&of(pool)).inc_by(jobs as u64);
    }

    /// A set that was listened to says nothing: what it counted is not known any more. What REST counts is told with the
    /// next whole observation.
    pub(super) fn silent(&self, pool: &PoolName) {
        self.queued_exactly.get_or_create(&of(pool)).set(0);
    }

    /// Requests of an API were answered since this was called last.
    pub(super) fn answered(&self, api: &'static str, tally: &Tally) {
        for (status, count) in tally.take() {
            let code = status.map_or_else(|| "lost".to_owned(), |status| status.to_string());
            self.api_requests.get_or_create(&OfAnswer { api, code }).inc_by(count);
        }
    }

    /// A runner has its first job, so long after its launch.
    pub(super) fn booted(&self, pool: &PoolName, took: Duration) {
        self.boot.get_or_create(&of(pool)).observe(took.as_secs_f64());
    }

    /// EC2 refused to launch.
    pub(super) fn refused(&self, code: &str) {
        self.launch_errors.get_or_create(&OfCode { code: code.to_owned() }).inc();
    }

    /// Jobs were re-run, or not.
    pub(super) fn reran(&self, jobs: &[RerunResult]) {
        for RerunResult { rerun, result, .. } in jobs {
            let labels = OfRerun { pool: rerun.pool.to_string(), result: result.word() };
            self.reruns.get_or_create(&labels).inc();
        }
    }

    /// Counts the instances that EC2 has taken back since the last look.
    fn interrupted(&self, instances: &[Instance]) {
        let is_it = |one: &&Instance| one.was_taken_back();
        let mut known = self.interrupted.lock().unwrap_or_else(PoisonError::into_inner);
        for instance in instances.iter().filter(is_it).filter(|one| !known.contains(&one.id)) {
            let pool = instance.pool.as_ref().map_or_else(String::new, ToString::to_string);
            self.interruptions.get_or_create(&OfPool { pool }).inc();
        }
        *known = instances.iter().filter(is_it).map(|one| one.id.clone()).collect();
    }

    /// Nothing could be observed: nothing is known but of the pools whose sets speak by themselves.
    pub(super) fn unobserved(&self, pools: &[Pool], is_serving: impl Fn(&PoolName) -> bool) {
        self.runners.clear();
        self.cost.clear();
        self.oldest.clear();
        self.unschedulable.clear();
        for pool in pools.iter().map(|pool| &pool.name).filter(|pool| !is_serving(pool)) {
            known(&self.queued, pool, None, CountKind::AtLeast);
            if self.queued_exactly.get(&of(pool)).is_some() {
                self.waits(pool, None, CountKind::AtLeast);
            }
            self.desired.remove(&of(pool));
        }
    }

    /// What was seen. What is not known is absent: a 0, or what was so an hour ago, would be a lie.
    pub(super) fn observed(&self, Look { snapshot, view, chosen, supply_is_known, is_partial }: Look<'_>) {
        if !is_partial {
            self.last_success.set(seconds(snapshot.now));
        }
        if supply_is_known {
            self.interrupted(&snapshot.instances.items);
            self.observed.lock().unwrap_or_else(PoisonError::into_inner).0 = Polled::now();
            self.supplied();
        } else {
            self.runners.clear();
        }
        let kind = snapshot.demand.kind;
        for pool in view.pools.iter().filter(|pool| chosen.contains(&pool.pool.name)) {
            let (name, supply) = (&pool.pool.name, pool.supply());
            let counts = [("busy", supply.busy), ("idle", supply.idle + supply.apart), ("starting", supply.starting)];
            for (state, count) in counts.into_iter().filter(|_| supply_is_known) {
                self.runners.get_or_create(&PoolState { pool: name.to_string(), state }).set(count.into());
            }
            if snapshot.prices.is_empty() || !supply_is_known {
                self.cost.remove(&of(name));
            } else {
                let cost: Cost = pool.units.iter().filter_map(|unit| snapshot.prices.of_unit(unit)).collect();
                self.cost.get_or_create(&of(name)).set(cost.exact().map_or(f64::NAN, Price::dollars));
            }
            self.min_idle.get_or_create(&of(name)).set(pool.pool.min_idle.into());
            self.max.get_or_create(&of(name)).set(pool.pool.max.into());
            let pending = view.queued_on(name);
            let oldest = pending.iter().filter_map(|job| job.queued_at).min();
            let oldest = oldest.map_or(0, |at| age(snapshot.now, at).as_secs());
            known(&self.oldest, name, Some(oldest), kind);
            if !supply_is_known && !matches!(pool.scale_set, Some(ScaleSetDemand::Counted(_))) {
                // No plan is made of it.
                self.desired.remove(&of(name));
            }
            match pool.scale_set {
                Some(ScaleSetDemand::Counted(counts)) => self.waits(name, Some(counts.queued()), CountKind::Exact),
                Some(ScaleSetDemand::Unknown) => self.waits(name, None, CountKind::AtLeast),
                None => self.waits(name, Some(pending.len() as u64), kind),
            }
        }
        self.unschedulable.clear();
        if supply_is_known {
            for job in &view.assignment.unschedulable {
                self.unschedulable.get_or_create(&OfReason { reason: word(job.reason.code) }).inc();
            }
        }
    }

    /// What a plan's pool should have.
    pub(super) fn desires(&self, pool: &PoolName, target: u32) {
        self.desired.get_or_create(&of(pool)).set(target.into());
    }

    pub(super) fn acted(&self, outcome: &Outcome) {
        let reason = OfReason { reason: word(outcome.action.reason.code) };
        match &outcome.action.step {
            Step::Launch { offerings, .. } => {
                let market =
                    outcome.offering.as_ref().or(offerings.first()).map(|offering| offering.market.to_string());
                let result = ResultWord::from(outcome.result).word();
                let labels =
                    LaunchLabels { pool: outcome.action.pool.to_string(), market: market.unwrap_or_default(), result };
                self.launches.get_or_create(&labels).inc();
            }
            Step::Terminate { .. } if outcome.result == Result::Done => {
                self.terminations.get_or_create(&reason).inc();
                if outcome.action.reason.code == ReasonCode::OrphanInstance {
                    self.orphans.get_or_create(&OfSide { side: "ec2" }).inc();
                }
            }
            Step::Deregister { .. } if outcome.result == Result::Done => {
                if outcome.action.reason.code == ReasonCode::OrphanRunner {
                    self.orphans.get_or_create(&OfSide { side: "github" }).inc();
                }
            }
            Step::Terminate { .. } | Step::Deregister { .. } | Step::Mark { .. } => {}
        }
    }

    /// Returns all of it as text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string can't fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// Returns whether every listened pool was polled within three minutes, and instances and runners were read within
    /// three minutes or intervals: by whole observations alone, where pools without a session depend on them; and the ages of the last good polls, a line each. A process that has
    /// just begun has as long to open its sessions.
    #[must_use]
    pub fn health(&self) -> (bool, String) {
        self.health_at(Instant::now())
    }

    fn health_at(&self, now: Instant) -> (bool, String) {
        let (mut healthy, mut said) = (true, String::new());
        for (pool, polled) in &*self.polled_at() {
            healthy &= polled.is_healthy((pool.as_str(), "polled"), POLLS_WITHIN, now, &mut said);
        }
        let (observed, within) = *self.observed.lock().unwrap_or_else(PoisonError::into_inner);
        healthy &= observed.is_healthy(("everything", "observed"), within.unwrap_or(Duration::MAX), now, &mut said);
        let (supplied, within) = *self.supply_read();
        healthy &= supplied.is_healthy(("instances and runners", "read"), within, now, &mut said);
        (healthy, format!("{}\n{said}", if healthy { "healthy" } else { "unhealthy" }))
    }
}

/// Sets what is known of a pool: that there are none is known only if all was looked at.
fn known(gauges: &Family<OfPool, Gauge>, pool: &PoolName, count: Option<u64>, kind: CountKind) {
    match count.filter(|count| *count > 0 || kind != CountKind::AtLeast) {
        Some(count) => {
            gauges.get_or_create(&of(pool)).set(gauge(count));
        }
        None => {
            gauges.remove(&of(pool));
        }
    }
}

/// Returns a metric that is at zero and in the registry.
fn kept<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    kept_by(registry, name, help, M::default())
}

fn kept_by<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

/// From five seconds to three quarters of an hour.
fn boots() -> Histogram {
    Histogram::new(exponential_buckets(5.0, 1.8, 12))
}

fn of(pool: &PoolName) -> OfPool {
    OfPool { pool: pool.to_string() }
}

fn gauge(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn seconds(at: Timestamp) -> f64 {
    at.as_duration().as_secs_f64()
}

/// Returns a reason as it stands in JSON.
fn word(code: ReasonCode) -> String {
    serde_json::to_value(code).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

/// The server of `/metrics` and `/healthz`; it ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    _shutdown: oneshot::Sender<()>,
    _task: JoinHandle<()>,
}

impl Server {
    /// Starts it.
    ///
    /// # Errors
    /// The address can't be bound.
    pub async fn start(address: SocketAddr, metrics: Arc<Metrics>) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let router = Router::new()
            .route("/metrics", get(respond_with_metrics))
            .route("/healthz", get(respond_with_health))
            .with_state(metrics);
        let (shutdown, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            // It ends with the signal, and with no error (axum's documentation).
            drop(axum::serve(listener, router).with_graceful_shutdown(async { drop(stopped.await) }).await);
        });
        Ok(Self { address, _shutdown: shutdown, _task: task })
    }
}

async fn respond_with_metrics(State(metrics): State<Arc<Metrics>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], metrics.text()).into_response()
}

async fn respond_with_health(State(metrics): State<Arc<Metrics>>) -> Response {
    let (healthy, said) = metrics.health();
    let status = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, said).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_healthy_while_what_it_serves_is_polled() {
        let (listened, minutes) = (PoolName::new("linux"), |count| Instant::now() + Duration::from_mins(count));
        let is_healthy = |metrics: &Metrics, at| metrics.health_at(at).0;
        let metrics = Metrics::new();
        metrics.begin(std::iter::once(&listened), None, Duration::from_mins(1));
        assert!(is_healthy(&metrics, minutes(2)), "it has just begun");
        assert!(!is_healthy(&metrics, minutes(4)), "it was never polled");
        metrics.polled(&listened);
        assert!(is_healthy(&metrics, minutes(2)));
        assert_eq!(metrics.health_at(minutes(4)).1.lines().next(), Some("unhealthy"));
        // Where nothing is listened to, the whole observations are what is polled.
        metrics.begin(std::iter::empty(), Some(Duration::from_mins(2)), Duration::from_mins(2));
        assert!(is_healthy(&metrics, minutes(5)));
        assert!(!is_healthy(&metrics, minutes(7)));
    }

    #[test]
    fn one_that_polls_and_can_not_read_the_supply_is_not_healthy() {
        let (listened, after) = (PoolName::new("linux"), |minutes| Instant::now() + Duration::from_mins(minutes));
        let metrics = Metrics::new();
        metrics.begin(std::iter::once(&listened), None, Duration::from_mins(1));
        // Its polls are of then.
        metrics.polled_at().insert(listened, Polled { at: after(4), is_first: false });
        assert!(!metrics.health_at(after(4)).0, "nothing is launched without it");
        *metrics.supply_read() = (Polled { at: after(2), is_first: false }, POLLS_WITHIN);
        assert!(metrics.health_at(after(4)).0);
        assert!(metrics.health_at(after(4)).1.ends_with("instances and runners: read 120 s ago\n"));
    }
}
