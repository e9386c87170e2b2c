//! REST's count of a pool's jobs beside its scale set's, and what explains the difference. Pure.
//!
//! Each job of REST's is asked first what is certain of it: that the set can't have it, since it lacks a label or its
//! runner group doesn't admit the repository. Of what is left, causes that can't be proven take as much as there is
//! evidence for, the likeliest first; what nothing explains is named for what it is, counts that are stale.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ages::{age, short};
use crate::engine::{CountKind, Demand, Job, JobId, JobState, Label, PoolName, RepositoryName, Statistics, WaitReason};
use crate::github::RunnerGroup;

/// A job may be on its way from one of GitHub's books to the other for so long: seconds between a queued job and its
/// assignment, and up to a minute in REST's lists.
pub const IN_FLIGHT: Duration = Duration::from_mins(1);

/// What a comparison came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// No difference, or one that running time alone explains.
    Agree,
    /// A difference.
    Differ,
    /// One of the two counts could not be had.
    Unknown,
}

/// What explains a difference, or a part of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Cause {
    /// Stable, for scripts.
    pub code: CauseCode,
    /// How many jobs it explains; `null` where nobody can say.
    pub count: Option<u64>,
    /// For people.
    pub message: String,
}

/// The causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CauseCode {
    /// The scale set lacks a label that the jobs ask for, or has one that the pool lacks.
    LabelMismatch,
    /// The runner group of the scale set does not admit the jobs' repositories.
    GroupNotVisible,
    /// Nobody listens: where GitHub assigns jobs directly, a scale set without a session gets none.
    NoListener,
    /// Another pool takes the same jobs.
    OtherPool,
    /// Another scale set has the labels, too, and may have been given the jobs.
    OtherScaleSet,
    /// Jobs that wait for an approval, a concurrency group or a deployment gate: REST counts them apart.
    Waiting,
    /// Jobs that are queued for too long: REST lists them apart.
    GhostRun,
    /// A page, a run or a repository of REST's was not read now: its count is a lower bound, or of a while ago.
    PageLost,
    /// Jobs on their way between the two books.
    InFlight,
    /// Nothing explains it: the scale set's counts are not of now.
    StaleStatistics,
}

impl CauseCode {
    /// Every cause, with its explanation: what the man page lists.
    pub const ALL: [(Self, &str); 10] = [
        (Self::LabelMismatch, "the scale set lacks a label that the jobs ask for, or has one that the pool lacks"),
        (Self::GroupNotVisible, "the runner group of the scale set does not admit the jobs' repositories"),
        (Self::NoListener, "nobody listens: without a session a scale set gets no jobs where GitHub assigns directly"),
        (Self::OtherPool, "another pool takes the same jobs"),
        (Self::OtherScaleSet, "another scale set has the labels, too, and may have been given the jobs"),
        (Self::Waiting, "jobs that wait for an approval, a concurrency group or a gate: REST counts them apart"),
        (Self::GhostRun, "jobs that are queued for longer than scan.max_job_age: REST lists them apart"),
        (Self::PageLost, "a part of REST's lists was not read now: its count is a lower bound, or of a while ago"),
        (Self::InFlight, "jobs on their way between the two books: no difference"),
        (Self::StaleStatistics, "nothing explains it: the scale set's counts are not of now"),
    ];

    /// Returns the code as it stands in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LabelMismatch => "label_mismatch",
            Self::GroupNotVisible => "group_not_visible",
            Self::NoListener => "no_listener",
            Self::OtherPool => "other_pool",
            Self::OtherScaleSet => "other_scale_set",
            Self::Waiting => "waiting",
            Self::GhostRun => "ghost_run",
            Self::PageLost => "page_lost",
            Self::InFlight => "in_flight",
            Self::StaleStatistics => "stale_statistics",
        }
    }
}

/// The Actions Service's side of a comparison.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// The set's labels.
    pub labels: &'a [Label],
    /// What it counts, read before REST's lists.
    pub before: Statistics,
    /// The same, read after them, if it was: what changed in between is running time.
    pub after: Option<Statistics>,
    /// How many jobs are on offer to it, where the service still says so by name (acquire mode).
    pub offers: Option<u64>,
    /// Its runner group; `None` where it isn't known whom that admits.
    pub group: Option<&'a RunnerGroup>,
    /// The scope's other scale sets: name, labels, and how many jobs they know of.
    pub others: &'a [OtherScaleSet],
}

/// Another scale set of the scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherScaleSet {
    /// Its name.
    pub name: String,
    /// The pool that it is the scale set of, if it is one's.
    pub pool: Option<PoolName>,
    /// Its labels.
    pub labels: Vec<Label>,
    /// How many jobs it knows of.
    pub jobs: u64,
}

/// REST's side of a comparison.
#[derive(Clone, Copy, Debug)]
pub struct Books<'a> {
    /// When it was read.
    pub now: Timestamp,
    /// All jobs.
    pub demand: &'a Demand,
    /// Which pool has a job: by its runner, or where none of ours has it, by its labels.
    pub pool_of: &'a BTreeMap<JobId, &'a PoolName>,
}

/// Compares a pool's counts; returns the difference, REST's less the scale set's, and its causes.
#[must_use]
pub fn compare(pool: &PoolName, books: Books<'_>, side: Side<'_>) -> (i64, Vec<Cause>) {
    let mine: Vec<&Job> = books.jobs(|of| of == Some(pool)).collect();
    let difference = signed(mine.len() as u64).saturating_sub(signed(side.before.jobs()));
    let mut ledger = Ledger { left: difference, causes: Vec::new() };

    let rest = ledger.certain(mine, books, side);
    ledger.fewer_in_the_set(&rest, books, side);
    ledger.more_in_the_set(pool, books, side);
    ledger.the_rest(side);
    ledger.causes.sort();
    (difference, ledger.causes)
}

/// Returns what a difference and its causes come to.
#[must_use]
pub fn verdict(difference: i64, causes: &[Cause]) -> Verdict {
    let is_explained = causes.iter().all(|cause| cause.code == CauseCode::InFlight);
    if difference == 0 || is_explained { Verdict::Agree } else { Verdict::Differ }
}

/// What is still to be explained, and what was.
struct Ledger {
    left: i64,
    causes: Vec<Cause>,
}

impl Ledger {
    /// Names jobs that the set certainly can't have; returns the others.
    fn certain<'a>(&mut self, jobs: Vec<&'a Job>, books: Books<'_>, side: Side<'_>) -> Vec<&'a Job> {
        let is_closed = |repository: &RepositoryName| {
            let is_public = books.demand.public.contains(repository);
            side.group.and_then(|group| group.admits(repository, is_public)) == Some(false)
        };
        let (mut lacking, mut closed, mut rest) = (Vec::new(), Vec::new(), Vec::new());
        for job in jobs {
            if job.labels.iter().any(|label| !side.labels.contains(label)) {
                lacking.push(job);
            } else if is_closed(&job.repository) {
                closed.push(job);
            } else {
                rest.push(job);
            }
        }
        let labels: BTreeSet<&Label> =
            lacking.iter().flat_map(|job| job.labels.iter().filter(|label| !side.labels.contains(label))).collect();
        let labels = quoted(labels.iter().map(|label| label.as_str()));
        self.take(CauseCode::LabelMismatch, lacking.len(), || format!("the scale set lacks {labels}"));
        let repositories: BTreeSet<&str> = closed.iter().map(|job| job.repository.as_str()).collect();
        let repositories = quoted(repositories.into_iter());
        self.take(CauseCode::GroupNotVisible, closed.len(), || {
            format!("the runner group of the scale set does not admit {repositories}")
        });
        rest
    }

    /// Looks for what would make REST see more jobs than the set.
    fn fewer_in_the_set(&mut self, rest: &[&Job], books: Books<'_>, side: Side<'_>) {
        if self.left <= 0 {
            return;
        }
        let is_young = |job: &&&Job| is_in_flight(job, books.now);
        if side.before.jobs() == 0 && side.after.is_none_or(|after| after.jobs() == 0) {
            let old = rest.iter().filter(|job| !is_young(job)).count();
            // With a session in another set of the same labels, that one has been given the jobs.
            let elsewhere = elsewhere(rest, side.others.iter());
            self.up_to(CauseCode::NoListener, old.saturating_sub(elsewhere), || {
                "the scale set counts no job at all beside them: nobody listens, as far as can be told".to_owned()
            });
        }
        let (of_pools, of_none): (Vec<_>, Vec<_>) = side.others.iter().partition(|other| other.pool.is_some());
        self.up_to(CauseCode::OtherPool, elsewhere(rest, of_pools.iter().copied()), || {
            let pools = takers(rest, of_pools.iter().copied()).filter_map(|other| other.pool.as_ref());
            format!("the scale set of {} has the labels, too", quoted(pools.map(PoolName::as_str)))
        });
        self.up_to(CauseCode::OtherScaleSet, elsewhere(rest, of_none.iter().copied()), || {
            let names = takers(rest, of_none.iter().copied()).map(|other| other.name.as_str());
            format!("scale set {} has the labels, too", quoted(names))
        });
        let moved = side.moved();
        let young = rest.iter().filter(is_young).count().max(moved);
        self.up_to(CauseCode::InFlight, young, || {
            format!("queued or moved within the last {}, on their way to the scale set", short(IN_FLIGHT))
        });
        if books.demand.kind == CountKind::Stale {
            self.unread("a part of REST's lists is as it was seen a while ago, and some of its jobs may be done");
        }
    }

    /// Looks for what would make the set see more jobs than REST.
    fn more_in_the_set(&mut self, pool: &PoolName, books: Books<'_>, side: Side<'_>) {
        if self.left >= 0 {
            return;
        }
        let takes = |job: &&Job| covers(side.labels, job);
        let of_others: Vec<&Job> = books.jobs(|of| of.is_some_and(|of| of != pool)).filter(takes).collect();
        self.up_to(CauseCode::OtherPool, of_others.len(), || {
            let names: BTreeSet<&str> =
                of_others.iter().filter_map(|job| books.pool_of.get(&job.id)).map(|name| name.as_str()).collect();
            format!("the scale set's labels cover jobs of {}", quoted(names.into_iter()))
        });
        let of_nobody: Vec<&Job> = books.jobs(|of| of.is_none()).filter(takes).collect();
        self.up_to(CauseCode::LabelMismatch, of_nobody.len(), || {
            let labels: BTreeSet<&str> = of_nobody.iter().flat_map(|job| &job.labels).map(Label::as_str).collect();
            format!("the scale set takes jobs that the pool does not: they ask for {}", quoted(labels.into_iter()))
        });
        let waiting: Vec<&Job> = books.waiting().filter(takes).collect();
        self.up_to(CauseCode::Waiting, waiting.len(), || {
            let why: BTreeSet<String> = waiting.iter().filter_map(|job| reason(job)).collect();
            format!("REST counts them apart, as waiting for {}", why.into_iter().collect::<Vec<_>>().join(", "))
        });
        let ghosts = books.demand.ghost_jobs.iter().filter(takes).count();
        self.up_to(CauseCode::GhostRun, ghosts, || {
            "queued for longer than `scan.max_job_age`: REST lists them apart".to_owned()
        });
        if books.demand.kind != CountKind::Exact {
            self.unread("not all of REST's lists could be read now, so its count is a lower bound");
        }
        self.up_to(CauseCode::InFlight, side.moved(), || {
            "the scale set's own count moved by as much while REST was read".to_owned()
        });
    }

    /// Blames what is left on what of REST's lists was not read: nobody can say how much of it.
    fn unread(&mut self, why: &str) {
        if self.left != 0 {
            self.causes.push(Cause { code: CauseCode::PageLost, count: None, message: why.to_owned() });
            self.left = 0;
        }
    }

    /// Names what nothing explains.
    fn the_rest(&mut self, side: Side<'_>) {
        let Statistics { assigned, running, idle, .. } = side.before;
        let sign = if self.left > 0 { "fewer" } else { "more" };
        let left = usize::try_from(self.left.unsigned_abs()).unwrap_or(usize::MAX);
        self.up_to(CauseCode::StaleStatistics, left, || {
            let hidden = side.offers.filter(|offers| *offers > side.before.available);
            let hint = if let Some(offers) = hidden {
                return format!(
                    "the scale set counts {left} {sign}, but has {offers} jobs on offer: its count is wrong"
                );
            } else if side.before.waiting() > 0 && idle > 0 {
                ", and has idle runners beside jobs without one: its count is stuck"
            } else {
                ""
            };
            if sign == "fewer" && assigned > 0 {
                return format!(
                    "the scale set was not given {left} of them ({assigned} assigned, {running} running): its listener \
                     may be at its capacity"
                );
            }
            format!("the scale set counts {left} {sign} ({assigned} assigned, {running} running){hint}")
        });
    }

    /// Books jobs that are certain: all of them, whatever is left.
    fn take(&mut self, code: CauseCode, jobs: usize, message: impl FnOnce() -> String) {
        if jobs > 0 {
            self.left = self.left.saturating_sub(signed(jobs as u64));
            self.causes.push(Cause { code, count: Some(jobs as u64), message: message() });
        }
    }

    /// Books as many of the possible jobs as are left to be explained, of either sign.
    fn up_to(&mut self, code: CauseCode, jobs: usize, message: impl FnOnce() -> String) {
        let booked = self.left.unsigned_abs().min(jobs as u64);
        if booked > 0 {
            self.left -= self.left.signum() * signed(booked);
            self.causes.push(Cause { code, count: Some(booked), message: message() });
        }
    }
}

impl Side<'_> {
    /// Returns by how many jobs the set's count moved while REST was read.
    fn moved(&self) -> usize {
        let moved = self.after.map_or(0, |after| after.jobs().abs_diff(self.before.jobs()));
        usize::try_from(moved).unwrap_or(usize::MAX)
    }
}

impl<'a> Books<'a> {
    /// Returns the jobs that are queued or in progress, by the pool that has them.
    fn jobs(self, wanted: impl Fn(Option<&PoolName>) -> bool) -> impl Iterator<Item = &'a Job> {
        let counted = self.demand.jobs.iter().filter(|job| !matches!(job.state, JobState::Waiting(_)));
        counted.filter(move |job| wanted(self.pool_of.get(&job.id).copied()))
    }

    fn waiting(self) -> impl Iterator<Item = &'a Job> {
        self.demand.jobs.iter().filter(|job| matches!(job.state, JobState::Waiting(_)))
    }
}

fn reason(job: &Job) -> Option<String> {
    match &job.state {
        JobState::Waiting(reason @ (WaitReason::Approval | WaitReason::Concurrency | WaitReason::Requested)) => {
            Some(reason.to_string())
        }
        JobState::Waiting(WaitReason::Unknown(word)) => Some(format!("`{word}`")),
        JobState::Pending | JobState::InProgress => None,
    }
}

/// Returns the sets that could have been given one of the jobs and have any.
fn takers<'a>(jobs: &[&Job], sets: impl Iterator<Item = &'a OtherScaleSet>) -> impl Iterator<Item = &'a OtherScaleSet> {
    sets.filter(move |set| set.jobs > 0 && jobs.iter().any(|job| covers(&set.labels, job)))
}

/// Returns how many of the jobs other sets can have been given: no more than they cover, and than they know of.
fn elsewhere<'a>(jobs: &[&Job], sets: impl Iterator<Item = &'a OtherScaleSet>) -> usize {
    let sets: Vec<&OtherScaleSet> = takers(jobs, sets).collect();
    let known = sets.iter().fold(0_u64, |sum, set| sum.saturating_add(set.jobs));
    let covered = jobs.iter().filter(|job| sets.iter().any(|set| covers(&set.labels, job))).count();
    covered.min(usize::try_from(known).unwrap_or(usize::MAX))
}

/// Returns whether a scale set with these labels takes a job: superset matching, as measured (runpool#150).
pub(crate) fn covers(labels: &[Label], job: &Job) -> bool {
    !job.labels.is_empty() && job.labels.iter().all(|label| labels.contains(label))
}

/// Returns whether a job is so young that it may be on its way from one of GitHub's books to the other.
pub(crate) fn is_in_flight(job: &Job, now: Timestamp) -> bool {
    job.queued_at.is_none_or(|at| age(now, at) < IN_FLIGHT)
}

fn quoted<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.map(|word| format!("`{word}`")).collect();
    match words.len() {
        0..=4 => words.join(", "),
        many => format!("{} and {} more", words[..3].join(", "), many - 3),
    }
}

/// Returns a count that can be taken from another.
pub(crate) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
