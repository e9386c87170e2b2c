//! EC2, runner records, scale sets and jobs -> one [`Snapshot`], read in that order.
//!
//! What can't be read whole becomes a warning and a listing that says so; only what makes any answer impossible (the
//! jobs can't be read at all, the credentials are refused) is an error.

mod prices;
mod scale_sets;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use futures::StreamExt as _;
use futures::stream;
use jiff::{SignedDuration, Timestamp};

pub(crate) use self::scale_sets::counted;
use self::scale_sets::{AT_ONCE, Wish};
pub use self::scale_sets::{Found, Missing, read_scale_sets};
use crate::ages::{age, apart, short};
use crate::cli::SourceChoice;
use crate::comparison::{Books, IN_FLIGHT, Side, Verdict, compare, signed, verdict};
use crate::config::{self, Config, Pool};
use crate::ec2::Fleet;
use crate::engine::{
    CLOCK_ENDS_WITHIN, CLOCK_LAUNCHES_WITHIN, Connection, CountKind, Demand, FleetName, Instance, InstanceId, Job,
    JobId, JobState, LAUNCH_WINDOW, Listing, PoolName, Runner, RunnerId, RunnerName, SUPPLY_LASTS, ScaleSetDemand,
    Snapshot, Statistics, View, failed_boots,
};
use crate::github::{self, Client, Coverage, ErrorKind, Progress, Scanned};
use crate::report::Known;
use crate::scale_set::{self, ScaleSetId};
use crate::state::StateDirectory;
use crate::warning::{Warning, WarningCode};

/// How a warning ends that says what differs, and not why.
pub(crate) const NAMES_CAUSES: &str = "`ghascale compare` names the causes";

/// What is looked through.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// The pools, and what to read.
    pub config: &'a Config,
    /// How jobs are looked for: as the configuration has it, or more thoroughly.
    pub scan: &'a config::Scan,
    /// GitHub's REST API.
    pub client: &'a Client,
    /// The Actions Service.
    pub service: &'a scale_set::Client,
    /// EC2; without it no instance is looked at.
    pub fleet: Option<&'a Fleet>,
    /// This host's memory of when it first saw a record.
    pub state: &'a StateDirectory,
    /// Where demand is read, as the command line has it; `None`: as each pool's configuration has it.
    pub choice: Option<SourceChoice>,
    /// The pools whose scale sets have a listener for certain, us or another: that they were given no job is no sign
    /// that nobody listens.
    pub listened: &'a Listened,
}

/// The pools whose scale sets have a listener for certain.
pub type Listened = BTreeSet<PoolName>;

/// One observation, and what is missing from it.
#[derive(Debug)]
pub struct Observation {
    /// What was seen.
    pub snapshot: Snapshot,
    /// Which parts of the supply were read.
    pub known: Known,
    /// When the supply had been read; the scale sets were asked after that.
    pub read_at: Instant,
    /// The scale sets that were found, by pool: through them runners are registered where demand was read from them.
    pub scale_sets: BTreeMap<PoolName, ScaleSetId>,
    /// What is missing, or worth a word.
    pub warnings: Vec<Warning>,
    /// How much of the scope was looked at.
    pub coverage: Coverage,
}

/// The runners that are there, by both services, and when the look at them began.
#[derive(Debug)]
pub struct Supply {
    /// When it began.
    pub seen_at: Timestamp,
    /// How far this host's clock was ahead of GitHub's by then.
    pub clock_ahead: SignedDuration,
    /// When all of it had been read.
    pub read_at: Instant,
    /// The instances; `None`: not looked at, or not to be had.
    pub instances: Option<Listing<Instance>>,
    /// The runner records; `None`: not looked at, or not to be had.
    pub runners: Option<Listing<Runner>>,
    /// What is missing.
    pub warnings: Vec<Warning>,
}

/// Looks at instances, then at runner records.
///
/// # Errors
/// GitHub refused the credentials.
pub async fn supply(sources: Sources<'_>) -> Result<Supply, github::Error> {
    let Sources { config, client, fleet, .. } = sources;
    let now = Timestamp::now();
    let mut warnings = Vec::new();
    let mut instances = instances(fleet, &mut warnings).await;
    let mut runners = runners(config, client, &mut warnings).await?;
    let took = age(Timestamp::now(), now);
    if let Some(instances) = instances.as_mut().filter(|_| took > SUPPLY_LASTS) {
        // What was launched since then, and lost its record since then, would be in neither list.
        instances.whole = false;
        let said = format!("they were read {} before the runners: what was launched since is missing", short(took));
        warnings.push(Warning::new(WarningCode::InstancesFailed, "instances", said));
    }
    if let Some(runners) = &mut runners {
        warnings.extend(date_records(sources, &mut runners.items, instances.as_ref(), now).await);
    }
    let clock_ahead = client.clock_ahead();
    Ok(Supply { seen_at: now, clock_ahead, read_at: Instant::now(), instances, runners, warnings })
}

/// Looks at everything once. Without a pool no runner record is looked at.
///
/// # Errors
/// GitHub refused the credentials, or the jobs could not be read at all.
pub async fn observe(sources: Sources<'_>, progress: &dyn Progress) -> Result<Observation, github::Error> {
    let Sources { config, scan, client, .. } = sources;
    let Supply { seen_at: now, clock_ahead, read_at, instances, runners, warnings: mut said } = supply(sources).await?;
    let mut warnings = config.warnings.clone();
    warnings.append(&mut said);
    let wishes = sources.config.pools.iter().map(|pool| (pool, Wish::of(pool, sources.choice)));
    let asked: Vec<(&Pool, Wish)> = wishes.filter(|(_, wish)| *wish != Wish::Rest).collect();
    let found = read_scale_sets(sources.service, asked.iter().map(|(pool, _)| *pool)).await;
    let (scanned, (prices, unpriced)) = futures::join!(
        github::scan(client, &config.github.scope, scan, now, progress),
        Box::pin(prices::prices(config, sources.fleet, instances.as_ref())),
    );
    warnings.extend(unpriced);
    let scanned = scanned.or_else(|error| without_jobs(error, &found))?;
    warnings.extend(scanned.warnings);
    let known = Known {
        runners: runners.as_ref().is_some_and(|listing| listing.whole),
        instances: instances.as_ref().is_some_and(|listing| listing.whole),
        by_name: config.ec2.is_some(),
    };
    if config.ec2.is_none() && !config.pools.is_empty() {
        let said = "the configuration has no `[ec2]`: instances are not shown";
        warnings.push(Warning { code: WarningCode::NoEc2, message: said.to_owned(), subject: None });
    }
    // It may have been set in between.
    let clock_ahead =
        [clock_ahead, client.clock_ahead()].into_iter().max_by_key(|ahead| ahead.abs()).unwrap_or_default();
    warnings.extend(clock(clock_ahead));
    let mut snapshot = Snapshot {
        now,
        clock_ahead,
        instances: instances.unwrap_or_else(|| Listing::partial(Vec::new())),
        runners: runners.unwrap_or_else(|| Listing::partial(Vec::new())),
        demand: scanned.demand,
        scale_sets: BTreeMap::new(),
        unheard: BTreeSet::new(),
        prices,
        without_capacity: BTreeSet::new(),
        refused: BTreeSet::new(),
        never_came: BTreeSet::new(),
    };
    let policy = config.policy();
    // Before it is known which pools' launches fail: that says nothing of whose jobs there are.
    let mut scale_sets = BTreeMap::new();
    let (mut demands, mut unheard) = (BTreeMap::new(), BTreeSet::new());
    let failed: BTreeSet<InstanceId> = {
        let view = View::of(&snapshot, &policy);
        let rest = Rest::of(&view, &policy.fleet, &snapshot);
        for (pool, wish) in asked {
            let name = &pool.policy.name;
            let Some(found) = found.get(name) else { continue };
            let is_unheard = !sources.listened.contains(name) && rest.is_unheard(name, found);
            match choose(wish, found, is_unheard) {
                Ok(demand) => {
                    demands.insert(name.clone(), demand);
                    scale_sets.extend(found.as_ref().ok().map(|found| (name.clone(), found.scale_set.id)));
                    match found {
                        Ok(found) => {
                            warnings.extend(contradiction(name, &found.statistics));
                            warnings.extend(rest.difference(name, found));
                        }
                        Err(why) => {
                            warnings.push(Warning::new(WarningCode::ScaleSetFailed, name.as_str(), why.as_str()));
                        }
                    }
                }
                Err(why) => {
                    if is_unheard {
                        unheard.insert(name.clone());
                    }
                    let said = format!("{why}: its demand is read from the REST API");
                    warnings.push(Warning::new(WarningCode::SourceFallback, name.as_str(), said));
                }
            }
        }
        failed_boots(&view).into_iter().cloned().collect()
    };
    if let Err(error) = sources.state.remember_boots(policy.fleet.as_str(), &failed, Timestamp::now()) {
        let said = format!("that instances never came could not be kept, so more are launched: {error}");
        warnings.push(Warning { code: WarningCode::StateUnwritable, message: said, subject: None });
    }
    (snapshot.scale_sets, snapshot.unheard) = (demands, unheard);
    snapshot.never_came.extend(failed);
    sources.state.remind(policy.fleet.as_str(), &mut snapshot);
    warnings.extend(snapshot.learn_of_failed_orders(&policy).iter().filter_map(failed_order));
    Ok(Observation { snapshot, known, read_at, scale_sets, warnings, coverage: scanned.coverage })
}

/// Looks at instances, runner records and scale sets' counts once more, after a look at the jobs that took long: any of its
/// jobs may have a runner by now. Returns what is missing.
///
/// # Errors
/// GitHub refused the credentials.
pub async fn renew(sources: Sources<'_>, seen: &mut Observation) -> Result<Vec<Warning>, github::Error> {
    let Supply { seen_at, clock_ahead, read_at, instances, runners, warnings } = supply(sources).await?;
    let snapshot = &mut seen.snapshot;
    if snapshot.demand.earlier.is_empty() {
        let worked = snapshot.runners.items.iter().filter(|runner| runner.busy).map(|runner| runner.id);
        snapshot.demand.worked_before = worked.collect();
    }
    for job in &snapshot.demand.jobs {
        snapshot.demand.earlier.entry(job.id).or_insert(snapshot.now);
    }
    let pools = sources.config.pools.iter().filter(|pool| snapshot.scale_sets.contains_key(&pool.policy.name));
    for (pool, found) in read_scale_sets(sources.service, pools).await {
        let demand = found.map_or(ScaleSetDemand::Unknown, |found| ScaleSetDemand::Counted(found.statistics));
        snapshot.scale_sets.insert(pool, demand);
    }
    seen.known.runners &= runners.as_ref().is_some_and(|listing| listing.whole);
    seen.known.instances &= instances.as_ref().is_some_and(|listing| listing.whole);
    (snapshot.now, snapshot.clock_ahead, seen.read_at) = (seen_at, clock_ahead, read_at);
    snapshot.instances = instances.unwrap_or_else(|| Listing::partial(Vec::new()));
    snapshot.runners = runners.unwrap_or_else(|| Listing::partial(Vec::new()));
    snapshot.without_capacity.clear();
    snapshot.refused.clear();
    let policy = sources.config.policy();
    sources.state.remind(policy.fleet.as_str(), snapshot);
    // Most of them were said already.
    let _ = snapshot.learn_of_failed_orders(&policy);
    Ok(warnings)
}

/// Returns a warning of an order that EC2 took and could not carry out.
pub(crate) fn failed_order(instance: &Instance) -> Option<Warning> {
    let (pool, reason) = (instance.pool.as_ref()?, instance.state_reason.as_ref()?);
    let said =
        format!("EC2 took its latest order and could not start it: {reason}; one launch a pass until one succeeds");
    Some(Warning::new(WarningCode::Degraded, pool.as_str(), said))
}

/// Returns a warning where this host's clock is not GitHub's.
fn clock(ahead: SignedDuration) -> Option<Warning> {
    (ahead.abs() > CLOCK_ENDS_WITHIN).then(|| {
        let nothing =
            if ahead.abs() > CLOCK_LAUNCHES_WITHIN { "nothing is launched or ended" } else { "nothing is ended" };
        let said = format!("this host's clock is {} GitHub's, and {nothing} by it: set it by NTP", apart(ahead));
        Warning { code: WarningCode::ClockWrong, message: said, subject: None }
    })
}

/// Returns a pool's demand by its scale set, or why the REST API's is taken instead.
fn choose(wish: Wish, found: &Result<Found, Missing>, is_unheard: bool) -> Result<ScaleSetDemand, String> {
    match (wish, found) {
        (Wish::Either, Ok(_)) if is_unheard => {
            Err("its scale set has been given no job, beside jobs of the pool, as if nobody listened".to_owned())
        }
        (Wish::Either, Err(why)) => Err(why.clone()),
        (_, Ok(found)) => Ok(ScaleSetDemand::Counted(found.statistics)),
        (_, Err(_)) => Ok(ScaleSetDemand::Unknown),
    }
}

/// What the REST API says of the pools' jobs, beside which their scale sets' counts are held.
struct Rest<'a> {
    fleet: &'a FleetName,
    snapshot: &'a Snapshot,
    pool_of: BTreeMap<JobId, &'a PoolName>,
}

impl<'a> Rest<'a> {
    fn of(view: &'a View<'_>, fleet: &'a FleetName, snapshot: &'a Snapshot) -> Self {
        Self { fleet, snapshot, pool_of: view.pools_of_jobs(&snapshot.demand) }
    }

    /// Returns whether a scale set has been given no job at all while jobs of its pool have been there, queued or in
    /// progress, for longer than any is on its way.
    ///
    /// Where GitHub assigns jobs directly, a set has none unless somebody listens; and in incidents it says 0 beside
    /// assigned jobs (actions-runner-controller#3420). Either way its 0 is not demand.
    fn is_unheard(&self, pool: &PoolName, found: &Result<Found, Missing>) -> bool {
        let is_old = |job: &Job| job.queued_at.is_some_and(|at| age(self.snapshot.now, at) >= IN_FLIGHT);
        // One that runs is a job of the pool only on a runner of ours: others have the labels, too.
        let could_be_given = |job: &&Job| match &job.runner_name {
            Some(name) => name.slot_in(self.fleet, pool).is_some(),
            None => job.state != JobState::InProgress,
        };
        let of_pool = |job: &&Job| self.pool_of.get(&job.id) == Some(&pool);
        let mut mine = self.snapshot.demand.jobs.iter().filter(of_pool).filter(could_be_given);
        let is_empty = |found: &Found| found.statistics.assigned == 0 && found.statistics.acquired == 0;
        found.as_ref().is_ok_and(is_empty) && mine.any(is_old)
    }

    /// Returns a warning where the two counts differ beyond what running time explains.
    fn difference(&self, pool: &PoolName, found: &Found) -> Option<Warning> {
        let books = Books { now: self.snapshot.now, demand: &self.snapshot.demand, pool_of: &self.pool_of };
        let side = Side {
            labels: &found.scale_set.labels,
            before: found.statistics,
            after: None,
            offers: None,
            group: None,
            others: &[],
        };
        let (difference, causes) = compare(pool, books, side);
        if verdict(difference, &causes) == Verdict::Agree {
            return None;
        }
        let set = signed(found.statistics.jobs());
        let said = format!(
            "its scale set knows of {set} jobs and the REST API of {}: {NAMES_CAUSES}",
            set.saturating_add(difference)
        );
        Some(Warning::new(WarningCode::SourcesDiffer, pool.as_str(), said))
    }
}

/// Returns a warning where a set's counts can't all be true: then the lower one of jobs at work is believed.
pub(crate) fn contradiction(pool: &PoolName, counts: &Statistics) -> Option<Warning> {
    let Statistics { running, registered, .. } = *counts;
    (running > counts.at_work()).then(|| {
        let said =
            format!("its scale set counts {running} running jobs and {registered} runners: its counts are stuck");
        Warning::new(WarningCode::SourcesDiffer, pool.as_str(), said)
    })
}

/// Returns a scan without jobs where they could not be read, but a scale set tells a pool's demand all the same.
fn without_jobs(
    error: github::Error,
    found: &BTreeMap<PoolName, Result<Found, Missing>>,
) -> Result<Scanned, github::Error> {
    if error.kind == ErrorKind::Unauthorized || !found.values().any(Result::is_ok) {
        return Err(error);
    }
    let code = match error.kind {
        ErrorKind::RateLimited { .. } => WarningCode::RateLimited,
        ErrorKind::OverBudget => WarningCode::BudgetEnded,
        _ => WarningCode::DiscoveryFailed,
    };
    let warnings = vec![Warning::new(code, "repositories", error.to_string())];
    let demand = Demand { kind: CountKind::AtLeast, ..Demand::none() };
    Ok(Scanned { demand, warnings, coverage: Coverage::default() })
}

/// Gives an age to records that carry none: those that the Actions Service made. It says itself when that was, if it
/// keeps to what garm reads of it (`createdOn`); else they are as old as this host's first sighting of them.
///
/// Asked for are only those that this host has not seen before, and of which no instance shows how old they are.
async fn date_records(
    sources: Sources<'_>,
    records: &mut [Runner],
    instances: Option<&Listing<Instance>>,
    now: Timestamp,
) -> Option<Warning> {
    let policy = sources.config.policy();
    let pools: Vec<&PoolName> = policy.pools.iter().filter(|pool| pool.has_scale_set).map(|pool| &pool.name).collect();
    let instances = instances.map_or(&[][..], |listing| &listing.items);
    let has_instance = |id: RunnerId| instances.iter().any(|instance| instance.runner_id == Some(id));
    let mut undated: Vec<&mut Runner> = records
        .iter_mut()
        .filter(|runner| {
            runner.born.is_none()
                && runner.connection == Connection::Offline
                && !has_instance(runner.id)
                && pools.iter().any(|pool| runner.name.slot_in(&policy.fleet, pool).is_some())
        })
        .collect();
    if sources.config.ec2.is_none() || pools.is_empty() {
        return None;
    }
    // Ids are numbered from 1 in every scope, and anew where a server was made anew.
    let scope = &sources.config.github.url;
    let key = |runner: &Runner| format!("{scope} {} {}", runner.id, runner.name);
    let known = sources.state.sightings(policy.fleet.as_str());
    let mut seen: BTreeMap<String, Timestamp> = known.clone().unwrap_or_default();
    // Whatever is new, and whatever would be taken for a left-over now.
    let is_asked_for = |key: &String| seen.get(key).is_none_or(|at| age(now, *at) >= LAUNCH_WINDOW);
    let asked: Vec<(String, &RunnerName)> =
        undated.iter().map(|runner| (key(runner), &runner.name)).filter(|(key, _)| is_asked_for(key)).collect();
    let made: Vec<(String, Option<Timestamp>)> = stream::iter(asked)
        .map(async |(key, name)| {
            let found = sources.service.runner_named(name).await;
            (key, found.ok().flatten().and_then(|runner| runner.created_at))
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let ageless = made.iter().filter(|(_, at)| at.is_none()).count();
    for (key, at) in made {
        let sighted = seen.get(&key).copied();
        // The younger counts: too young is only ended later.
        let first = at.max(sighted).unwrap_or(now);
        seen.insert(key, first);
    }
    for runner in &mut undated {
        runner.born = seen.get(&key(runner)).map(|at| (*at).min(now));
    }
    let seen = undated.iter().filter_map(|runner| Some((key(runner), runner.born?))).collect();
    if let Err(error) = sources.state.remember_sightings(policy.fleet.as_str(), &seen, now) {
        let said = format!(
            "when runners of scale sets were first seen could not be kept, so registrations that were left over hold \
             their slots: {error}"
        );
        return Some(Warning { code: WarningCode::StateUnwritable, message: said, subject: None });
    }
    (ageless > 0 && known.is_none()).then(|| {
        let said = format!(
            "{ageless} registrations of scale sets have no known age, and this host remembers none: they count as on \
             their way from now on, and are judged by a run that finds this host's state directory kept"
        );
        Warning { code: WarningCode::Degraded, message: said, subject: None }
    })
}

async fn instances(fleet: Option<&Fleet>, warnings: &mut Vec<Warning>) -> Option<Listing<Instance>> {
    match fleet?.observe().await {
        Ok((listing, said)) => {
            warnings.extend(said);
            Some(listing)
        }
        Err(error) => {
            warnings.push(Warning::new(WarningCode::InstancesFailed, "instances", error.to_string()));
            None
        }
    }
}

async fn runners(
    config: &Config,
    client: &Client,
    warnings: &mut Vec<Warning>,
) -> Result<Option<Listing<Runner>>, github::Error> {
    if config.pools.is_empty() {
        return Ok(None);
    }
    if client.is_app() {
        let said = "GitHub lets no App see an enterprise's runners: they are not shown, and nothing can be planned";
        warnings.push(Warning::new(WarningCode::Degraded, "runners", said));
        return Ok(None);
    }
    match github::runners(client, &config.github.scope).await {
        Ok((listing, said)) => {
            warnings.extend(said);
            Ok(Some(listing))
        }
        Err(error) if error.kind == ErrorKind::Unauthorized => Err(error),
        Err(error) => {
            warnings.push(github::runners_unread(&error, &config.github.scope));
            Ok(None)
        }
    }
}
