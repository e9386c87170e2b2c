//! What a host keeps: the audit log, the lock that stops overlapping runs, and what the next run is quicker with. Never
//! needed: with all of it gone, every command still gives the right answer.

mod unordered;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use self::unordered::{LeftOver, UnorderedNotes};
use crate::ages::age;
use crate::apply::Result::Done;
use crate::apply::{Listener, Outcome};
use crate::engine::{
    CAPACITY_RETURNS, ENDED_SHOW_FOR, InstanceId, Offering, PoolName, REFUSED_FOR, Scope, Snapshot, SpotJob, SpotJobs,
};
use crate::files::{self, LARGEST_MEMORY};
use crate::report::{ActionResult, PlanReport, PoolSums, RerunResult};
use crate::rerun::RerunOutcome;
use crate::services::SpotMemory;
use crate::warning::{Warning, WarningCode};

/// The file of offerings that had no capacity.
const SHORTAGES: &str = "shortages";
/// The file of pools in which nothing could be launched.
const REFUSALS: &str = "refusals";
/// The file of instances that never came.
const BOOTS: &str = "boots";
/// How long a record's first sighting is kept after the record is gone.
const SIGHTINGS_FORGOTTEN: Duration = Duration::from_hours(24);

/// The state directory of one host, `$XDG_STATE_HOME/ghascale`.
#[derive(Clone, Debug)]
pub struct StateDirectory {
    path: PathBuf,
}

/// Held while a run changes things; released with the process, however it ends.
#[derive(Debug)]
pub struct HostLock {
    _file: File,
}

/// The jobs on spot instances, as they are kept: their ids are one scope's.
#[derive(Serialize, Deserialize)]
struct KeptJobs {
    scope: String,
    jobs: Vec<SpotJob>,
}

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another run on this host has it.
    #[error("another run holds this host's lock {}", .0.display())]
    Held(PathBuf),
    /// The file could not be made: there is no lock, and none is needed for correctness.
    #[error("the lock {} could not be taken: {}", .0.display(), .1)]
    Unwritable(PathBuf, io::Error),
}

impl StateDirectory {
    /// Names the directory; nothing is created yet.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Takes the lock of one fleet on this host, without waiting.
    ///
    /// # Errors
    /// See [`LockError`].
    pub fn lock(&self, fleet: &str) -> Result<HostLock, LockError> {
        let path = self.path.join(format!("{fleet}.lock"));
        let unwritable = |error| LockError::Unwritable(path.clone(), error);
        let file = self.open(&path, OpenOptions::new().write(true).create(true)).map_err(unwritable)?;
        match file.try_lock() {
            Ok(()) => Ok(HostLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(LockError::Held(path)),
            Err(TryLockError::Error(error)) => Err(unwritable(error)),
        }
    }

    /// Opens the audit log, `audit.jsonl`, for the actions of a plan of `scope`: one line an action, appended whole.
    ///
    /// # Errors
    /// The directory or the file can't be written: what is to be said of it.
    pub fn audit(&self, plan: &PlanReport, scope: &Scope) -> Result<AuditLog, Warning> {
        let path = self.path.join("audit.jsonl");
        match self.open(&path, OpenOptions::new().append(true).create(true)) {
            Ok(file) => Ok(AuditLog {
                file,
                host: host(),
                scope: scope.to_string(),
                plan_id: plan.plan_id.clone(),
                pools: plan.pools.clone(),
            }),
            Err(error) => {
                let message = format!("the audit log could not be opened: {error}");
                Err(Warning { code: WarningCode::StateUnwritable, message, subject: None })
            }
        }
    }

    /// Returns when this host first saw records that carry no age of their own, or `None` where it has kept nothing of the
    /// kind yet; a file that can't be read is none.
    #[must_use]
    pub fn sightings(&self, fleet: &str) -> Option<BTreeMap<String, Timestamp>> {
        self.read(&format!("{fleet}.sightings"))
    }

    /// Remembers when records were first seen, each by a name that no other ever has. Those that were not seen now may be
    /// another configuration's of the fleet, or on a page that was lost: they are kept for a day.
    ///
    /// # Errors
    /// The directory or the file can't be written.
    pub fn remember_sightings(
        &self,
        fleet: &str,
        seen: &BTreeMap<String, Timestamp>,
        now: Timestamp,
    ) -> io::Result<()> {
        let known = self.sightings(fleet);
        let mut kept = known.clone().unwrap_or_default();
        kept.retain(|_, at| is_fresh(*at, SIGHTINGS_FORGOTTEN, now));
        kept.extend(seen.clone());
        if known.as_ref() == Some(&kept) {
            return Ok(());
        }
        self.replace(&format!("{fleet}.sightings"), &kept)
    }

    /// Tells a snapshot what earlier runs met: offerings without capacity, pools that were refused, instances that never came.
    pub fn remind(&self, fleet: &str, snapshot: &mut Snapshot) {
        let now = snapshot.now;
        snapshot.without_capacity.extend(self.fresh(fleet, SHORTAGES, CAPACITY_RETURNS, now));
        snapshot.refused.extend(self.fresh(fleet, REFUSALS, REFUSED_FOR, now));
        snapshot.never_came.extend(self.fresh(fleet, BOOTS, ENDED_SHOW_FOR, now));
    }

    /// Remembers what launches met: what had no capacity, and the pools in which nothing could be launched.
    ///
    /// # Errors
    /// The directory or a file can't be written. Nothing is lost with it but some calls.
    pub fn remember_launches(&self, fleet: &str, outcomes: &[Outcome], now: Timestamp) -> io::Result<()> {
        let short: BTreeSet<Offering> =
            outcomes.iter().flat_map(|outcome| outcome.no_capacity.iter().cloned()).collect();
        let is_short_kept = self.renew(fleet, SHORTAGES, CAPACITY_RETURNS, now, &short, |_| false);
        let refused = outcomes.iter().filter(|outcome| outcome.is_refused).map(|outcome| outcome.action.pool.clone());
        let refused: BTreeSet<PoolName> = refused.collect();
        let is_launched = |pool: &PoolName| {
            outcomes.iter().any(|one| one.offering.is_some() && one.result == Done && one.action.pool == *pool)
        };
        self.renew(fleet, REFUSALS, REFUSED_FOR, now, &refused, is_launched).and(is_short_kept)
    }

    /// Remembers which instances had ended before their runners ever were online.
    ///
    /// # Errors
    /// The directory or the file can't be written. Then it is forgotten how often boots fail.
    pub fn remember_boots(&self, fleet: &str, failed: &BTreeSet<InstanceId>, now: Timestamp) -> io::Result<()> {
        self.renew(fleet, BOOTS, ENDED_SHOW_FOR, now, failed, |_| false)
    }

    /// Returns what one of the fleet's files names that is younger than `lasts`.
    fn fresh<T: DeserializeOwned>(
        &self,
        fleet: &str,
        file: &str,
        lasts: Duration,
        now: Timestamp,
    ) -> impl Iterator<Item = T> {
        let kept: Vec<(T, Timestamp)> = self.read(&format!("{fleet}.{file}")).unwrap_or_default();
        kept.into_iter().filter(move |(_, at)| is_fresh(*at, lasts, now)).map(|(one, _)| one)
    }

    /// Adds to what one of the fleet's files names, and leaves out what is old or over.
    fn renew<T: Serialize + DeserializeOwned + Ord + Clone>(
        &self,
        fleet: &str,
        file: &str,
        lasts: Duration,
        now: Timestamp,
        new: &BTreeSet<T>,
        is_over: impl Fn(&T) -> bool,
    ) -> io::Result<()> {
        let name = format!("{fleet}.{file}");
        let mut known: Vec<(T, Timestamp)> = self.read(&name).unwrap_or_default();
        // By a clock that has been set back since: it would come true again.
        let is_of_the_future = known.iter().any(|(_, at)| *at > now);
        known.retain(|(_, at)| is_fresh(*at, lasts, now));
        let stays = |(one, _): &&(T, Timestamp)| !new.contains(one) && !is_over(one);
        let mut kept: Vec<(T, Timestamp)> = known.iter().filter(stays).cloned().collect();
        kept.extend(new.iter().map(|one| (one.clone(), now)));
        if kept == known && !is_of_the_future { Ok(()) } else { self.replace(&name, &kept) }
    }

    /// Reads a JSON file; one that can't be read is none.
    fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let text = files::read(&self.path.join(format!("{name}.json")), LARGEST_MEMORY).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Writes a JSON file whole or not at all: beside its place first, then renamed into it.
    fn replace(&self, name: &str, content: &impl Serialize) -> io::Result<()> {
        let beside = self.path.join(format!("{name}.{}.tmp", std::process::id()));
        let mut file = self.open(&beside, OpenOptions::new().write(true).create(true).truncate(true))?;
        file.write_all(&serde_json::to_vec(content)?)?;
        std::fs::rename(&beside, self.path.join(format!("{name}.json")))
    }

    fn open(&self, path: &PathBuf, options: &mut OpenOptions) -> io::Result<File> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.path)?;
        options.mode(0o600).open(path)
    }
}

impl SpotMemory for StateDirectory {
    /// A file that can't be read holds none.
    fn spot_jobs(&self, fleet: &str, scope: &str) -> SpotJobs {
        let kept: Option<KeptJobs> = self.read(&format!("{fleet}.spot-jobs"));
        let jobs = kept.filter(|kept| kept.scope == scope).map(|kept| kept.jobs).unwrap_or_default();
        jobs.into_iter().map(|job| (job.job_id, job)).collect()
    }

    fn remember_spot_jobs(&self, fleet: &str, scope: &str, jobs: &SpotJobs) -> io::Result<()> {
        if *jobs == self.spot_jobs(fleet, scope) {
            return Ok(());
        }
        let kept = KeptJobs { scope: scope.to_owned(), jobs: jobs.values().cloned().collect() };
        self.replace(&format!("{fleet}.spot-jobs"), &kept)
    }
}

/// Returns whether something is younger than `lasts`. A clock that was set back proves nothing.
fn is_fresh(at: Timestamp, lasts: Duration, now: Timestamp) -> bool {
    at <= now && age(now, at) < lasts
}

/// A line for each action, with what decided it and the ids to ask GitHub and AWS about it. No secret is in it.
#[derive(Debug)]
pub struct AuditLog {
    file: File,
    host: Option<String>,
    scope: String,
    plan_id: String,
    /// What each pool's launches were decided by.
    pools: Vec<PoolSums>,
}

#[derive(Serialize)]
struct Line<'a> {
    at: String,
    host: Option<&'a str>,
    process: u32,
    scope: &'a str,
    plan_id: &'a str,
    /// The sums of the action's pool.
    inputs: Option<&'a PoolSums>,
    client_token: Option<&'a str>,
    #[serde(flatten)]
    action: ActionResult,
}

/// A line for each job that was to be re-run.
#[derive(Serialize)]
struct RerunLine<'a> {
    at: String,
    host: Option<&'a str>,
    process: u32,
    scope: &'a str,
    plan_id: &'a str,
    rerun: RerunResult,
}

impl AuditLog {
    /// Notes what became of a re-run: a line a job.
    pub fn rerun(&self, outcome: &RerunOutcome) {
        for rerun in RerunResult::of(outcome) {
            self.write(&RerunLine {
                at: outcome.at.to_string(),
                host: self.host.as_deref(),
                process: std::process::id(),
                scope: &self.scope,
                plan_id: &self.plan_id,
                rerun,
            });
        }
    }

    fn write(&self, line: &impl Serialize) {
        let written = serde_json::to_string(line)
            .map_err(io::Error::other)
            .and_then(|line| (&self.file).write_all(format!("{line}\n").as_bytes()));
        if let Err(error) = written {
            tracing::warn!(%error, "the audit log could not be written");
        }
    }
}

impl Listener for AuditLog {
    fn ended(&self, outcome: &Outcome) {
        self.write(&Line {
            at: outcome.at.to_string(),
            host: self.host.as_deref(),
            process: std::process::id(),
            scope: &self.scope,
            inputs: self.pools.iter().find(|sums| sums.name == outcome.action.pool),
            plan_id: &self.plan_id,
            client_token: outcome.client_token.as_deref(),
            action: ActionResult::from(outcome),
        });
    }
}

/// Returns this host's name, where the system tells it.
pub(crate) fn host() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_run_of_a_fleet_is_refused_and_another_fleets_is_not() {
        let home = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(home.path().join("ghascale"));
        let held = state.lock("acme").unwrap();
        assert!(matches!(state.lock("acme"), Err(LockError::Held(_))));
        state.lock("other").unwrap();
        drop(held);
        state.lock("acme").unwrap();
    }

    fn launch_without(offering: &Offering) -> Outcome {
        let plan = crate::engine::plan(
            &crate::engine::build::snapshot().job(crate::engine::build::job(1)),
            &crate::engine::build::policy([crate::engine::build::pool("linux")]),
        );
        let failed = Outcome::of(&plan.actions[0], crate::apply::Result::Failed, Timestamp::UNIX_EPOCH);
        Outcome { no_capacity: vec![offering.clone()], ..failed }
    }

    #[test]
    fn a_lack_of_capacity_is_remembered_for_three_minutes_and_another_fleet_has_its_own() {
        let home = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(home.path().join("ghascale"));
        let offering = crate::engine::build::pool("linux").offerings.remove(0);
        let at = |seconds: i64| Timestamp::from_second(10_000 + seconds).unwrap();
        let short = |fleet: &str, seconds: i64| {
            let mut snapshot = Snapshot { now: at(seconds), ..crate::engine::build::snapshot() };
            state.remind(fleet, &mut snapshot);
            snapshot.without_capacity
        };
        assert!(short("acme", 0).is_empty());
        state.remember_launches("acme", &[launch_without(&offering)], at(0)).unwrap();
        assert!(short("acme", 179).contains(&offering));
        assert!(short("other", 1).is_empty());
        assert!(short("acme", 180).is_empty());
        assert!(short("acme", -1).is_empty(), "a clock that was set back proves nothing");
        let another = Offering { subnet: "subnet-z".into(), ..offering.clone() };
        state.remember_launches("acme", &[launch_without(&another)], at(200)).unwrap();
        let kept = std::fs::read_to_string(home.path().join("ghascale/acme.shortages.json")).unwrap();
        assert!(!kept.contains(&offering.subnet), "what is old is forgotten in the file too: {kept}");
        std::fs::write(home.path().join("ghascale/acme.shortages.json"), "{").unwrap();
        assert!(short("acme", 0).is_empty(), "a torn file is no knowledge");
    }

    #[test]
    fn a_pool_that_is_refused_again_is_remembered_anew_and_one_launch_that_succeeds_ends_it() {
        let home = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(home.path().join("ghascale"));
        let offering = crate::engine::build::pool("linux").offerings.remove(0);
        let launch = |is_refused| Outcome { is_refused, no_capacity: Vec::new(), ..launch_without(&offering) };
        let at = |seconds: i64| Timestamp::from_second(10_000 + seconds).unwrap();
        let is_refused = |seconds| {
            let mut snapshot = Snapshot { now: at(seconds), ..crate::engine::build::snapshot() };
            state.remind("acme", &mut snapshot);
            !snapshot.refused.is_empty()
        };
        state.remember_launches("acme", &[launch(true)], at(0)).unwrap();
        assert!(is_refused(299) && !is_refused(300));
        state.remember_launches("acme", &[launch(true)], at(240)).unwrap();
        assert!(is_refused(500));
        let done = Outcome { result: Done, offering: Some(offering.clone()), ..launch(false) };
        state.remember_launches("acme", &[done], at(300)).unwrap();
        assert!(!is_refused(301));
    }

    #[test]
    fn sightings_are_kept_and_those_of_another_configuration_with_them() {
        let home = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(home.path().join("state"));
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let see = |ids: &[(u64, i64)], now: i64| {
            let seen = ids.iter().map(|(id, second)| (id.to_string(), at(*second))).collect();
            state.remember_sightings("acme", &seen, at(now)).unwrap();
            let kept = state.sightings("acme").unwrap_or_default();
            kept.into_iter().map(|(id, at)| (id.parse::<u64>().unwrap(), at.as_second())).collect::<Vec<_>>()
        };
        assert_eq!(state.sightings("acme"), None);
        assert_eq!(see(&[(1, 100)], 100), [(1, 100)]);
        assert_eq!(see(&[(2, 200)], 200), [(1, 100), (2, 200)], "1 was not seen by this configuration");
        assert_eq!(state.sightings("other"), None, "another fleet's are its own");
        let day = 24 * 3600;
        assert_eq!(see(&[(2, 200)], 100 + day), [(2, 200)], "1 has been gone for a day");
        assert_eq!(see(&[], 150), [], "a clock that was set back proves nothing");
        std::fs::write(home.path().join("state/acme.sightings.json"), "{\"1\":").unwrap();
        assert_eq!(state.sightings("acme"), None, "a torn file is no knowledge");
        assert_eq!(see(&[(1, 600)], 600), [(1, 600)]);
        let kept = std::fs::metadata(home.path().join("state/acme.sightings.json")).unwrap();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&kept.permissions()) & 0o777, 0o600);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_said() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("file");
        std::fs::write(&file, "").unwrap();
        let state = StateDirectory::new(file.join("below"));
        assert!(matches!(state.lock("acme"), Err(LockError::Unwritable(..))));
        let (snapshot, policy) = (crate::engine::build::snapshot(), crate::engine::build::policy([]));
        let plan = PlanReport::of(&crate::engine::plan(&snapshot, &policy), &snapshot, "digest");
        assert!(state.audit(&plan, &Scope::Organization("acme".into())).is_err());
        let seen = BTreeMap::from([("1".to_owned(), Timestamp::now())]);
        assert!(state.remember_sightings("acme", &seen, Timestamp::now()).is_err());
    }
}
