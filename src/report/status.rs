//! `status`: pending jobs, runners and instances, by pool.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cost::CostRow;
use super::table::{Look, Style, bounded, not_read_now, number};
use crate::ages::{age, short};
use crate::engine::{
    Connection, Cost, CountKind, HiddenRun, Instance, Job, JobId, JobState, Label, Plan, PoolName, PoolView, Prices,
    Reason, ReasonCode, RepositoryName, RunId, Runner, ScaleSetDemand, Signature, Snapshot, Source, State, Unit, View,
};
use crate::github::Coverage;

/// The body of `ghascale.status/1`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct StatusReport {
    /// By name.
    pub pools: Vec<PoolStatus>,
    /// The pending jobs, the longest wait first.
    pub jobs: Vec<JobRow>,
    /// Demand as the workflows ask for it, whether a pool takes it or not.
    pub label_sets: Vec<LabelSetRow>,
    /// What was read.
    pub repositories: Repositories,
    /// How the repositories were looked at; `null` where demand is not read from them.
    pub scan: Option<ScanRow>,
    /// Jobs that wait for something else than a runner: how many, by reason.
    pub waiting: BTreeMap<String, u64>,
    /// Runs whose jobs GitHub doesn't show yet.
    pub unresolved_runs: Vec<HiddenRunRow>,
    /// Runs queued for longer than `scan.max_job_age`: not counted.
    pub ghost_runs: Vec<HiddenRunRow>,
    /// What the whole fleet costs now; `null` where nothing is known of prices, or of instances.
    pub cost: Option<StatusCost>,
}

/// What instances that are billed cost now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StatusCost {
    /// All of them.
    pub now: CostRow,
    /// Those of them whose runners are idle; `null` where the runner records could not be read.
    pub idle: Option<CostRow>,
}

impl StatusCost {
    fn of<'a>(
        units: impl Iterator<Item = &'a Unit<'a>> + Clone,
        apart: &[&Instance],
        prices: &Prices,
        known: Known,
    ) -> Self {
        let cost = |unit: &Unit<'_>| prices.of_unit(unit);
        let apart = apart.iter().filter(|one| one.is_billed()).map(|one| prices.of_instance(one));
        let now: Cost = units.clone().filter_map(cost).chain(apart).collect();
        let is_idle = |unit: &&Unit<'_>| matches!(unit.state, State::Idle | State::Expired);
        let idle = || units.filter(is_idle).filter_map(cost).collect::<Cost>().into();
        Self { now: now.into(), idle: known.runners.then(idle) }
    }
}

/// One pool.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PoolStatus {
    /// Its name.
    pub name: PoolName,
    /// Its labels.
    pub labels: Vec<Label>,
    /// Where its demand was read.
    pub source: Source,
    /// Pending jobs that it takes; by its scale set, the jobs that the set knows of and no runner has. `null` where the
    /// scale set could not be asked and no other source may be used.
    pub queued: Option<u64>,
    /// Jobs in progress on its runners; by its scale set, the jobs that runners of the set have.
    pub in_progress: Option<u64>,
    /// How these two are known; `null` where they aren't.
    pub count_kind: Option<CountKind>,
    /// How long ago the oldest part of what they rest on was seen; `null` where all of it was read now.
    pub age_seconds: Option<u64>,
    /// How long the longest wait is.
    pub oldest_queued_seconds: Option<u64>,
    /// Its runner records; `null` where they could not be read.
    pub runners: Option<RunnerCounts>,
    /// Its instances; `null` without `[ec2]`, or where they could not be read.
    pub instances: Option<InstanceCounts>,
    /// As configured.
    pub min_idle: u32,
    /// As configured.
    pub max: u32,
    /// What its instances cost now; `null` where nothing is known of prices, or of instances.
    pub cost: Option<StatusCost>,
}

/// Runner records by what GitHub says of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunnerCounts {
    /// Online, not busy.
    pub idle: u64,
    /// Busy, whether online or not.
    pub busy: u64,
    /// Offline, not busy.
    pub offline: u64,
}

/// Instances, and records without one, by state. What an instance does is told by its runner record: where the records
/// could not be read, all but `up` is `null`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstanceCounts {
    /// Pending or running by EC2, whatever their runners do.
    #[serde(default)]
    pub up: u64,
    /// Registered, and no instance seen yet.
    pub launching: Option<u64>,
    /// Its runner has never been online.
    pub booting: Option<u64>,
    /// Online, nothing to do.
    pub idle: Option<u64>,
    /// At work.
    pub busy: Option<u64>,
    /// Shutting down, or stopped.
    pub ending: Option<u64>,
    /// Never online in time.
    pub boot_failed: Option<u64>,
    /// Was online, and is offline.
    pub lost: Option<u64>,
    /// An instance without a record, or a record whose instance never came.
    pub orphaned: Option<u64>,
}

/// One pending job.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct JobRow {
    /// `owner/name`.
    pub repository: RepositoryName,
    /// Its run.
    pub run_id: RunId,
    /// Its id.
    pub job_id: JobId,
    /// The run's attempt.
    pub attempt: u32,
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: Vec<Label>,
    /// `queued`.
    pub status: String,
    /// When it was queued.
    pub queued_at: Option<String>,
    /// The pool that takes it.
    pub pool: Option<PoolName>,
    /// Why it gets no runner now; `null` if it does.
    pub reason: Option<Reason>,
    /// Its page.
    pub url: String,
}

/// The jobs that ask for one set of labels.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct LabelSetRow {
    /// The labels, sorted.
    pub labels: Vec<Label>,
    /// Pending jobs.
    pub queued: u64,
    /// Jobs in progress, on whatever runner.
    pub in_progress: u64,
    /// How these two are known.
    pub count_kind: CountKind,
    /// How long the longest wait is.
    pub oldest_queued_seconds: Option<u64>,
    /// The pools that can take them.
    pub pools: Vec<PoolName>,
}

/// Repositories read and not read.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Repositories {
    /// How many were read.
    pub scanned: u64,
    /// How long ago the oldest part of all that is shown was seen; `null` where all of it was read now.
    pub age_seconds: Option<u64>,
    /// How the counts are known: as `count_kind`.
    pub count_kind: CountKind,
    /// Those that were not.
    pub skipped: Vec<SkippedRow>,
}

/// How repositories were looked at, and how soon a new job is seen.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ScanRow {
    /// All of them were looked at, old runs included; else they take turns.
    pub whole: bool,
    /// Repositories with jobs or a run of late, and those never seen before.
    pub hot: u64,
    /// Repositories with a run within a day.
    pub warm: u64,
    /// The others.
    pub cold: u64,
    /// A new job shows within this, wherever it is, if scans go on as often as lately.
    pub detection_seconds: u64,
    /// A job of an old run that is run again shows within this.
    pub rerun_detection_seconds: u64,
}

impl From<Coverage> for ScanRow {
    fn from(coverage: Coverage) -> Self {
        Self {
            whole: coverage.whole,
            hot: coverage.hot as u64,
            warm: coverage.warm as u64,
            cold: coverage.cold as u64,
            detection_seconds: coverage.detection.as_secs(),
            rerun_detection_seconds: coverage.rerun_detection.as_secs(),
        }
    }
}

/// A repository that was not read.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SkippedRow {
    /// `owner/name`.
    pub repository: RepositoryName,
    /// `archived`, `disabled`, `actions_disabled`, `excluded`.
    pub reason: String,
}

/// A run without visible jobs, or queued for too long.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct HiddenRunRow {
    /// `owner/name`.
    pub repository: RepositoryName,
    /// The run.
    pub run_id: RunId,
    /// GitHub's word for it.
    pub status: String,
    /// For how long it has been so.
    pub age_seconds: Option<u64>,
}

/// What of the supply is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Runner records were read, all of them.
    pub runners: bool,
    /// Instances were read, all of them.
    pub instances: bool,
    /// Our runners are known by their names: the configuration has a fleet.
    pub by_name: bool,
}

impl StatusReport {
    /// Sums a view up.
    #[must_use]
    pub fn of(snapshot: &Snapshot, view: &View<'_>, known: Known) -> Self {
        let now = snapshot.now;
        let mut in_progress = in_progress_by_pool(snapshot, view);
        let are_told = known.runners && known.by_name;
        let unclear = if are_told { BTreeSet::new() } else { unclear_by_labels(snapshot, view) };
        let has_prices = known.instances && !snapshot.prices.is_empty();
        let pools = view.pools.iter().map(|pool| {
            let queued = view.queued_on(&pool.pool.name);
            let counts = match pool.scale_set {
                None => {
                    let in_progress = in_progress.remove(&pool.pool.name).unwrap_or(0);
                    Some((queued.len() as u64, in_progress, snapshot.demand.kind))
                }
                Some(ScaleSetDemand::Counted(counts)) => Some((counts.queued(), counts.running, CountKind::Exact)),
                Some(ScaleSetDemand::Unknown) => None,
            };
            PoolStatus {
                name: pool.pool.name.clone(),
                labels: pool.pool.labels.clone(),
                source: snapshot.source(&pool.pool.name),
                queued: counts.map(|(queued, ..)| queued),
                in_progress: counts
                    .filter(|_| pool.scale_set.is_some() || !unclear.contains(&pool.pool.name))
                    .map(|(_, in_progress, _)| in_progress),
                count_kind: counts.map(|(.., kind)| kind),
                age_seconds: age_seconds(snapshot).filter(|_| pool.scale_set.is_none()),
                oldest_queued_seconds: oldest(queued.iter().copied(), now),
                runners: known.runners.then(|| runner_counts(snapshot, pool, known.by_name)),
                instances: known.instances.then(|| InstanceCounts::of(pool, known)),
                min_idle: pool.pool.min_idle,
                max: pool.pool.max,
                cost: has_prices.then(|| StatusCost::of(pool.units.iter(), &[], &snapshot.prices, known)),
            }
        });
        let mut waiting = BTreeMap::new();
        for job in &snapshot.demand.jobs {
            if let JobState::Waiting(reason) = &job.state {
                *waiting.entry(reason.to_string()).or_insert(0) += 1;
            }
        }
        let skipped = snapshot.demand.skipped.iter();
        Self {
            pools: pools.collect(),
            jobs: job_rows(snapshot, view, known),
            label_sets: label_sets(snapshot, view),
            repositories: Repositories {
                scanned: snapshot.demand.scanned as u64,
                age_seconds: age_seconds(snapshot),
                count_kind: snapshot.demand.kind,
                skipped: skipped
                    .map(|one| SkippedRow { repository: one.repository.clone(), reason: one.reason.clone() })
                    .collect(),
            },
            scan: None,
            waiting,
            unresolved_runs: hidden_rows(&snapshot.demand.unresolved, now),
            ghost_runs: hidden_rows(&snapshot.demand.ghosts, now),
            cost: has_prices.then(|| {
                let units = view.pools.iter().flat_map(|pool| &pool.units);
                StatusCost::of(units, &view.strangers, &snapshot.prices, known)
            }),
        }
    }

    /// Adds why jobs get no runner that a limit of all pools together keeps waiting: only a plan knows that.
    #[must_use]
    pub fn with_reasons(mut self, plan: &Plan) -> Self {
        for job in self.jobs.iter_mut().filter(|job| job.reason.is_none()) {
            let told = plan.unschedulable.iter().find(|told| told.job_id == job.job_id);
            job.reason = told.map(|told| told.reason.clone());
        }
        self
    }

    /// Adds how the repositories were looked at, if they were.
    #[must_use]
    pub fn with_coverage(mut self, coverage: Coverage) -> Self {
        self.scan = (coverage != Coverage::default()).then(|| coverage.into());
        self
    }

    /// Keeps only what concerns the given pools; all of it if none is given. Label sets and jobs of no pool go too.
    #[must_use]
    pub fn only(mut self, pools: &[PoolName]) -> Self {
        if !pools.is_empty() {
            self.pools.retain(|pool| pools.contains(&pool.name));
            self.jobs.retain(|job| job.pool.as_ref().is_some_and(|pool| pools.contains(pool)));
            self.label_sets.retain(|set| set.pools.iter().any(|pool| pools.contains(pool)));
        }
        self
    }

    /// Draws it for people; `with_jobs` lists each pending job.
    #[must_use]
    pub fn text(&self, look: Look, with_jobs: bool) -> String {
        let mut sections = Vec::new();
        if !self.pools.is_empty() {
            sections.push(self.pool_table(look));
        }
        let sets: Vec<_> = self.label_sets.iter().filter(|set| self.pools.is_empty() || set.pools.is_empty()).collect();
        if !sets.is_empty() {
            let title = if self.pools.is_empty() { "jobs by label set" } else { "jobs that no pool takes" };
            sections.push(format!("{}\n{}", look.paint(Style::Title, title), label_set_table(&sets, look)));
        } else if self.pools.is_empty() {
            sections.push(match self.repositories.count_kind {
                CountKind::Exact => "no pending jobs".to_owned(),
                CountKind::AtLeast | CountKind::Stale => "no pending jobs in what could be read".to_owned(),
            });
        }
        if with_jobs && !self.jobs.is_empty() {
            sections.push(self.job_table(look));
        }
        sections.push(self.notes());
        sections.join("\n\n")
    }

    fn pool_table(&self, look: Look) -> String {
        let mut head = vec![
            "POOL",
            ">QUEUED",
            ">RUNNING",
            ">OLDEST",
            ">LAUNCHING",
            ">BOOTING",
            ">IDLE",
            ">BUSY",
            ">ENDING",
            ">BAD",
            ">MAX",
        ];
        head.extend(self.cost.map(|_| ">$/H"));
        look.table(
            &head,
            self.pools.iter().map(|pool| {
                let shown = |count: Option<u64>| count.map_or_else(|| "?".to_owned(), number);
                let of = |count: fn(&InstanceCounts) -> Option<u64>| shown(pool.instances.as_ref().and_then(count));
                let runners = |count: fn(&RunnerCounts) -> u64| shown(pool.runners.as_ref().map(count));
                let (idle, busy) = match pool.instances {
                    Some(_) => (of(|counts| counts.idle), of(|counts| counts.busy)),
                    None => (runners(|counts| counts.idle), runners(|counts| counts.busy)),
                };
                let mut row = vec![
                    pool.name.to_string(),
                    bounded(pool.queued, pool.count_kind),
                    bounded(pool.in_progress, pool.count_kind),
                    seconds(pool.oldest_queued_seconds),
                    of(|counts| counts.launching),
                    of(|counts| counts.booting),
                    idle,
                    busy,
                    of(|counts| counts.ending),
                    of(|counts| Some(counts.boot_failed? + counts.lost? + counts.orphaned?)),
                    pool.max.to_string(),
                ];
                row.extend(pool.cost.map(|cost| cost.now.cell()));
                row
            }),
        )
    }

    fn job_table(&self, look: Look) -> String {
        look.table(
            &["JOB", "REPOSITORY", "NAME", "LABELS", "POOL", "WHY NOT"],
            self.jobs.iter().map(|job| {
                vec![
                    job.job_id.to_string(),
                    job.repository.to_string(),
                    job.name.clone(),
                    joined(&job.labels),
                    job.pool.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
                    job.reason.as_ref().map_or_else(|| "-".to_owned(), |reason| reason.message.clone()),
                ]
            }),
        )
    }

    fn notes(&self) -> String {
        let mut notes = format!("repositories: {} scanned", self.repositories.scanned);
        for (reason, count) in tally(self.repositories.skipped.iter().map(|skipped| skipped.reason.as_str())) {
            let _ = write!(notes, ", {count} skipped ({reason})");
        }
        // In a repository that could not be read none shows.
        let is_exact = self.repositories.count_kind == CountKind::Exact;
        if let Some(scan) = self.scan.filter(|scan| scan.whole && is_exact) {
            let _ = write!(notes, "; a new job shows within {}", seconds(Some(scan.detection_seconds)));
        }
        if let Some(scan) = self.scan.filter(|scan| !scan.whole) {
            let _ = write!(
                notes,
                "\nin turns: {} hot, {} warm, {} cold; a new job shows within {}, one of an old run within {}",
                scan.hot,
                scan.warm,
                scan.cold,
                seconds(Some(scan.detection_seconds)),
                seconds(Some(scan.rerun_detection_seconds)),
            );
        }
        if let Some(ago) = self.repositories.age_seconds {
            let _ = write!(notes, "\n{}", not_read_now(ago));
        }
        if let Some(StatusCost { now, idle }) = self.cost {
            let idle = idle.map_or_else(|| "?".to_owned(), |idle| idle.words());
            let _ = write!(notes, "\ncost now: {}, {idle} of it idle", now.words());
        }
        let instances = self.pools.iter().filter_map(|pool| pool.instances);
        let up: u64 = instances.filter(|counts| counts.busy.is_none()).map(|counts| counts.up).sum();
        if up > 0 {
            let what = if up == 1 { "1 instance is" } else { &format!("{up} instances are") };
            let _ = write!(notes, "\n{what} up, and what their runners do is not known");
        }
        for (reason, count) in &self.waiting {
            let _ = write!(notes, "\nwaiting for {reason}: {}", jobs(*count));
        }
        for (title, runs) in
            [("without visible jobs", &self.unresolved_runs), ("ghosts, not counted", &self.ghost_runs)]
        {
            for run in runs {
                let age = run.age_seconds.map_or_else(String::new, |age| format!(", {}", seconds(Some(age))));
                let _ = write!(notes, "\n{title}: run {} of {}{age}", run.run_id, run.repository);
            }
        }
        notes
    }
}

fn job_rows(snapshot: &Snapshot, view: &View<'_>, known: Known) -> Vec<JobRow> {
    let mut pool_of: BTreeMap<JobId, &PoolName> = BTreeMap::new();
    for (pool, jobs) in view.assignment.taken.iter().chain(&view.taken_since) {
        pool_of.extend(jobs.iter().map(|job| (job.id, *pool)));
    }
    // Whether a pool is full can't be said without its instances; that no pool takes a job, can.
    let can_say = |reason: &Reason| known.instances && known.runners || reason.code == ReasonCode::NoPool;
    let refused = view.assignment.unschedulable.iter().filter(|job| can_say(&job.reason));
    let reason_of: BTreeMap<JobId, &Reason> = refused.map(|job| (job.job_id, &job.reason)).collect();
    let mut pending: Vec<&Job> = snapshot.demand.pending().collect();
    pending.sort_by_key(|job| (job.queued_at.is_none(), job.queued_at, job.id));
    pending
        .into_iter()
        .map(|job| JobRow {
            repository: job.repository.clone(),
            run_id: job.run_id,
            job_id: job.id,
            attempt: job.attempt,
            name: job.name.clone(),
            labels: job.labels.clone(),
            status: "queued".to_owned(),
            queued_at: job.queued_at.map(|at| at.to_string()),
            pool: pool_of.get(&job.id).map(|pool| (*pool).clone()),
            reason: reason_of.get(&job.id).map(|reason| (*reason).clone()),
            url: job.url.clone(),
        })
        .collect()
}

fn label_sets(snapshot: &Snapshot, view: &View<'_>) -> Vec<LabelSetRow> {
    let mut sets: BTreeMap<Signature, Vec<&Job>> = BTreeMap::new();
    for job in snapshot.demand.jobs.iter().filter(|job| !matches!(job.state, JobState::Waiting(_))) {
        sets.entry(Signature::of(&job.labels)).or_default().push(job);
    }
    let rows = sets.into_iter().map(|(signature, jobs)| {
        let (queued, running): (Vec<&Job>, Vec<&Job>) =
            jobs.into_iter().partition(|job| job.state == JobState::Pending);
        LabelSetRow {
            labels: signature.labels().cloned().collect(),
            queued: queued.len() as u64,
            in_progress: running.len() as u64,
            count_kind: snapshot.demand.kind,
            oldest_queued_seconds: oldest(queued.into_iter(), snapshot.now),
            pools: view
                .pools
                .iter()
                .filter(|pool| signature.unneeded_on(pool.pool).is_some())
                .map(|pool| pool.pool.name.clone())
                .collect(),
        }
    });
    rows.collect()
}

/// Counts jobs in progress by the pool that has them.
fn in_progress_by_pool<'a>(snapshot: &'a Snapshot, view: &View<'a>) -> BTreeMap<&'a PoolName, u64> {
    let pool_of = view.pools_of_jobs(&snapshot.demand);
    let mut by_pool: BTreeMap<&PoolName, u64> = BTreeMap::new();
    for job in snapshot.demand.jobs.iter().filter(|job| job.state == JobState::InProgress) {
        if let Some(pool) = pool_of.get(&job.id) {
            *by_pool.entry(pool).or_default() += 1;
        }
    }
    by_pool
}

/// Returns the pools whose labels fit a job in progress as those of another do: whose runner has it, only the records of
/// runners with our names can tell.
fn unclear_by_labels<'a>(snapshot: &Snapshot, view: &View<'a>) -> BTreeSet<&'a PoolName> {
    let running = snapshot.demand.jobs.iter().filter(|job| job.state == JobState::InProgress);
    let signatures: BTreeSet<Signature> = running.map(|job| Signature::of(&job.labels)).collect();
    let fitting = signatures.iter().map(|signature| {
        let pools = view.pools.iter().map(|pool| pool.pool);
        pools.filter(|pool| signature.unneeded_on(pool).is_some()).map(|pool| &pool.name).collect::<Vec<_>>()
    });
    fitting.filter(|pools| pools.len() > 1).flatten().collect()
}

/// Counts a pool's runner records; without a fleet there are no names to know ours by, so all that could take the pool's
/// jobs are counted.
fn runner_counts(snapshot: &Snapshot, pool: &PoolView<'_>, by_name: bool) -> RunnerCounts {
    let could_take = |runner: &&Runner| pool.pool.labels.iter().all(|label| runner.labels.contains(label));
    let runners: Vec<&Runner> = if by_name {
        pool.units.iter().filter_map(Unit::runner).collect()
    } else {
        snapshot.runners.items.iter().filter(could_take).collect()
    };
    let mut counts = RunnerCounts::default();
    for runner in runners {
        match (runner.busy, runner.connection) {
            (true, _) => counts.busy += 1,
            (false, Connection::Online) => counts.idle += 1,
            (false, Connection::Offline | Connection::Unknown) => counts.offline += 1,
        }
    }
    counts
}

impl InstanceCounts {
    fn of(pool: &PoolView<'_>, known: Known) -> Self {
        let up = pool.units.iter().filter_map(Unit::instance).filter(|one| one.can_run()).count() as u64;
        if !known.runners {
            return Self { up, ..Self::default() };
        }
        let none = Some(0);
        let mut counts = Self {
            up,
            launching: none,
            booting: none,
            idle: none,
            busy: none,
            ending: none,
            boot_failed: none,
            lost: none,
            orphaned: none,
        };
        for unit in &pool.units {
            let count = match unit.state {
                State::Launching => &mut counts.launching,
                State::Booting => &mut counts.booting,
                State::Idle | State::Expired => &mut counts.idle,
                State::Busy => &mut counts.busy,
                State::Stopped | State::Settling => &mut counts.ending,
                State::Ending if unit.runner().is_some() || unit.instance().is_some_and(Instance::is_live) => {
                    &mut counts.ending
                }
                State::BootFailed => &mut counts.boot_failed,
                State::Lost | State::Disconnected => &mut counts.lost,
                State::OrphanInstance | State::OrphanRunner => &mut counts.orphaned,
                // Gone, or not ours to count.
                State::Ending | State::Foreign => continue,
            };
            *count.get_or_insert(0) += 1;
        }
        counts
    }
}

/// Returns how long ago the oldest part of the demand was seen, where not all of it was read now.
pub(super) fn age_seconds(snapshot: &Snapshot) -> Option<u64> {
    let age = snapshot.demand.age;
    // An age of less than a second is one all the same.
    (!age.is_zero()).then(|| age.as_secs().max(1))
}

fn hidden_rows(runs: &[HiddenRun], now: Timestamp) -> Vec<HiddenRunRow> {
    let row = |run: &HiddenRun| HiddenRunRow {
        repository: run.repository.clone(),
        run_id: run.run_id,
        status: run.status.clone(),
        age_seconds: run.since.map(|since| age(now, since).as_secs()),
    };
    runs.iter().map(row).collect()
}

fn label_set_table(sets: &[&LabelSetRow], look: Look) -> String {
    look.table(
        &["LABELS", ">QUEUED", ">RUNNING", ">OLDEST"],
        sets.iter().map(|set| {
            vec![
                if set.labels.is_empty() { "(none)".to_owned() } else { joined(&set.labels) },
                bounded(Some(set.queued), Some(set.count_kind)),
                bounded(Some(set.in_progress), Some(set.count_kind)),
                seconds(set.oldest_queued_seconds),
            ]
        }),
    )
}

fn oldest<'a>(jobs: impl Iterator<Item = &'a Job>, now: Timestamp) -> Option<u64> {
    jobs.filter_map(|job| job.queued_at).min().map(|at| age(now, at).as_secs())
}

fn tally<'a>(words: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, usize> {
    let mut tally = BTreeMap::new();
    for word in words {
        *tally.entry(word).or_insert(0) += 1;
    }
    tally
}

fn joined(labels: &[Label]) -> String {
    labels.iter().map(Label::as_str).collect::<Vec<_>>().join(",")
}

fn jobs(count: u64) -> String {
    format!("{count} {}", if count == 1 { "job" } else { "jobs" })
}

fn seconds(seconds: Option<u64>) -> String {
    seconds.map_or_else(|| "-".to_owned(), |seconds| short(std::time::Duration::from_secs(seconds)))
}
