//! `ghascale compare`: REST's counts beside the scale sets', from one observation, and the cause of every difference.
//!
//! The scale sets are read before REST's lists and, where the counts differ, again behind them: what moved in between
//! is running time. No session is opened, so a live listener isn't disturbed.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, stream};

use super::Failure;
use super::scale_set::unreadable;
use super::session::{Session, check_pools, configuration, pool_names, show};
use crate::cli::{Cli, CompareArgs, SourceChoice};
use crate::comparison::{Books, OtherScaleSet, Side, Verdict, compare, covers, verdict};
use crate::config::{Needs, Pool};
use crate::engine::{Demand, FleetName, Job, JobId, JobState, Policy, PoolName, View};
use crate::exit;
use crate::github::{RunnerGroup, runner_groups};
use crate::observe::{Found, Missing, Observation, contradiction, counted, read_scale_sets};
use crate::report::{CompareReport, PoolComparison, RestCounts, ScaleSetCounts};
use crate::scale_set::{ScaleSet, ScaleSetId};
use crate::ui::Ui;
use crate::warning::{Warning, WarningCode};

/// Counts that are read at once.
const AT_ONCE: usize = 8;

/// What is compared, by pool, or without pools, by scale set.
type Targets = BTreeMap<PoolName, Result<Found, Missing>>;

pub(super) async fn run(cli: &Cli, args: &CompareArgs, ui: &Ui) -> Result<u8, Failure> {
    let only = pool_names(&args.pool);
    let config = configuration(cli, Needs::Look, &[], ui)?;
    if !config.pools.is_empty() {
        check_pools(&config, &only)?;
    }
    let session = Session::open(config, Needs::Look).await?;
    let mut warnings = Vec::new();
    let listed = session.service.list(None).await;
    let (policy, targets) = if session.config.pools.is_empty() {
        by_scale_set(&session, listed.clone()?, &only).await?
    } else {
        let wanted = |pool: &&Pool| only.is_empty() || only.contains(&pool.policy.name);
        let pools = session.config.pools.iter().filter(wanted);
        (session.config.policy(), read_scale_sets(&session.service, pools).await)
    };
    let listed = listed.unwrap_or_else(|error| {
        let said = format!("other scale sets of the scope are not considered: {error}");
        warnings.push(Warning::new(WarningCode::Degraded, "scale sets", said));
        Vec::new()
    });

    warnings.extend(unreadable(&session.service));
    let seen = match session.observe(Some(SourceChoice::Rest), ui).await {
        Ok(seen) => Some(seen),
        // One side is better than none.
        Err(failure) if failure.code == exit::FAILED && targets.values().any(Result::is_ok) => {
            warnings.push(Warning::new(WarningCode::DiscoveryFailed, "repositories", failure.message));
            None
        }
        Err(failure) => return Err(failure),
    };
    for (pool, found) in &targets {
        if let Err(why) = found {
            warnings.push(Warning::new(WarningCode::ScaleSetFailed, pool.as_str(), why.as_str()));
        }
    }
    let pools = match &seen {
        None => targets.into_iter().map(|(pool, found)| one_sided(pool, None, found.ok())).collect(),
        Some(seen) => Comparer { session: &session, seen, policy: &policy }.all(targets, &listed, &mut warnings).await,
    };
    let at = seen.as_ref().map_or_else(jiff::Timestamp::now, |seen| seen.snapshot.now);
    // Instances are looked at to tell whose a job is, and their absence is no loss here.
    let is_missed = |warning: &Warning| !matches!(warning.code, WarningCode::InstancesFailed | WarningCode::NoEc2);
    warnings.extend(seen.into_iter().flat_map(|seen| seen.warnings).filter(is_missed));
    let report = session.report("compare", at, warnings, CompareReport { pools });
    show(ui, &report, None, || report.body.text(ui.look()))?;
    let is_partial = report.is_partial() || report.body.is_partial();
    Ok(match (is_partial, args.exit_code && report.body.has_differences()) {
        (true, _) => exit::PARTIAL,
        (false, true) => exit::CHANGES,
        (false, false) => exit::DONE,
    })
}

/// Makes a pool of every scale set of the scope, named as the set is, or where two groups have one of that name, as
/// `group/name`.
async fn by_scale_set(
    session: &Session,
    listed: Vec<ScaleSet>,
    only: &[PoolName],
) -> Result<(Policy, Targets), Failure> {
    let all: Vec<&str> = listed.iter().map(|set| set.name.as_str()).collect();
    let name_of = |set: &ScaleSet| {
        let is_shared = all.iter().filter(|name| **name == set.name).count() > 1;
        PoolName::new(if is_shared { format!("{}/{}", set.group.name, set.name) } else { set.name.clone() })
    };
    let named: Vec<(PoolName, ScaleSet)> = listed.iter().map(|set| (name_of(set), set.clone())).collect();
    for name in only {
        if !named.iter().any(|(named, _)| named == name) {
            return Err(Failure::new(exit::FAILED, format!("there is no scale set `{name}`")));
        }
    }
    let policy = Policy {
        fleet: FleetName::new(""),
        pools: named.iter().map(|(name, set)| crate::engine::Pool::to_look(name.clone(), set.labels.clone())).collect(),
        max_total: None,
        max_usd_per_hour: None,
    };
    let wanted = named.into_iter().filter(|(name, _)| only.is_empty() || only.contains(name));
    let targets = stream::iter(wanted)
        .map(|(name, set)| async move {
            let found = match counted(&session.service, set).await {
                Ok(Some(found)) => Ok(found),
                Ok(None) => Err("the service gives no statistics of it".to_owned()),
                Err(error) => Err(error.to_string()),
            };
            (name, found)
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    Ok((policy, targets))
}

/// One observation, to be compared with the scale sets' counts.
struct Comparer<'a> {
    session: &'a Session,
    seen: &'a Observation,
    policy: &'a Policy,
}

impl Comparer<'_> {
    async fn all(&self, targets: Targets, listed: &[ScaleSet], warnings: &mut Vec<Warning>) -> Vec<PoolComparison> {
        let demand = &self.seen.snapshot.demand;
        let view = View::of(&self.seen.snapshot, self.policy);
        let pool_of = view.pools_of_jobs(demand);
        let rest = |pool: &PoolName| rest(pool, demand, &pool_of);
        let differs = |(pool, found): (&PoolName, &Result<Found, Missing>)| {
            let counts = rest(pool);
            found.as_ref().is_ok_and(|found| found.statistics.jobs() != counts.queued + counts.in_progress)
        };
        let differing: BTreeSet<ScaleSetId> = targets
            .iter()
            .filter(|target| differs(*target))
            .filter_map(|(_, found)| found.as_ref().ok().map(|found| found.scale_set.id))
            .collect();
        let (mut after, mut groups, mut others) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
        let mut offers = BTreeMap::new();
        if !differing.is_empty() {
            for id in &differing {
                // A second reading that fails explains nothing, and hides nothing.
                let offered = self.session.service.acquirable_jobs(*id).await;
                offers.extend(offered.ok().map(|jobs| (*id, jobs.len() as u64)));
                after.extend(
                    self.session.service.scale_set(*id).await.ok().and_then(|set| Some((*id, set.statistics?))),
                );
            }
            groups = self.groups(warnings).await;
            others = self.others(&targets, listed, demand).await;
        }
        let mut pools = Vec::new();
        for (pool, found) in targets {
            let counts = rest(&pool);
            let Ok(found) = found else {
                pools.push(one_sided(pool, Some(counts), None));
                continue;
            };
            warnings.extend(contradiction(&pool, &found.statistics));
            let id = found.scale_set.id;
            let other_sets: Vec<OtherScaleSet> =
                others.iter().filter(|(other, _)| **other != id).map(|(_, other)| other.clone()).collect();
            let side = Side {
                labels: &found.scale_set.labels,
                before: found.statistics,
                after: after.get(&id).copied(),
                offers: offers.get(&id).copied(),
                group: groups.iter().find(|group| group.id == found.scale_set.group.id),
                others: &other_sets,
            };
            let books = Books { now: self.seen.snapshot.now, demand, pool_of: &pool_of };
            let (difference, causes) = compare(&pool, books, side);
            let verdict = verdict(difference, &causes);
            let scale_set = Some(counts_of(found));
            pools.push(PoolComparison {
                name: pool,
                rest: Some(counts),
                scale_set,
                difference: Some(difference),
                causes,
                verdict,
            });
        }
        pools
    }

    async fn groups(&self, warnings: &mut Vec<Warning>) -> Vec<RunnerGroup> {
        match runner_groups(&self.session.client, &self.session.config.github.scope).await {
            Ok(groups) => groups,
            Err(error) => {
                let said = format!("which repositories a runner group admits is not considered: {error}");
                warnings.push(Warning::new(WarningCode::Degraded, "runner groups", said));
                Vec::new()
            }
        }
    }

    /// Returns the scope's scale sets that could have been given one of the jobs, with what they count.
    async fn others(
        &self,
        targets: &Targets,
        listed: &[ScaleSet],
        demand: &Demand,
    ) -> BTreeMap<ScaleSetId, OtherScaleSet> {
        let known: BTreeMap<ScaleSetId, (&PoolName, u64)> = targets
            .iter()
            .filter_map(|(pool, found)| found.as_ref().ok().map(|found| (pool, found)))
            .map(|(pool, found)| (found.scale_set.id, (pool, found.statistics.jobs())))
            .collect();
        let has_pools = !self.session.config.pools.is_empty();
        let could = listed.iter().filter(|set| demand.jobs.iter().any(|job| covers(&set.labels, job)));
        stream::iter(could)
            .map(|set| {
                let known = known.get(&set.id).copied();
                async move {
                    let jobs = match known {
                        Some((_, jobs)) => jobs,
                        None => counted(&self.session.service, set.clone()).await.ok()??.statistics.jobs(),
                    };
                    let pool = known.filter(|_| has_pools).map(|(pool, _)| pool.clone());
                    let other = OtherScaleSet { name: set.name.clone(), pool, labels: set.labels.clone(), jobs };
                    Some((set.id, other))
                }
            })
            .buffer_unordered(AT_ONCE)
            .filter_map(std::future::ready)
            .collect()
            .await
    }
}

/// Returns REST's count of a pool: the numbers of `status`.
fn rest(pool: &PoolName, demand: &Demand, pool_of: &BTreeMap<JobId, &PoolName>) -> RestCounts {
    let mine = |job: &&Job| pool_of.get(&job.id) == Some(&pool);
    let count = |state: &JobState| demand.jobs.iter().filter(mine).filter(|job| job.state == *state).count() as u64;
    RestCounts { queued: count(&JobState::Pending), in_progress: count(&JobState::InProgress), count_kind: demand.kind }
}

/// Returns the row of a pool of which one count is missing.
fn one_sided(pool: PoolName, rest: Option<RestCounts>, found: Option<Found>) -> PoolComparison {
    PoolComparison {
        name: pool,
        rest,
        scale_set: found.map(counts_of),
        difference: None,
        causes: Vec::new(),
        verdict: Verdict::Unknown,
    }
}

fn counts_of(found: Found) -> ScaleSetCounts {
    ScaleSetCounts { id: found.scale_set.id, name: found.scale_set.name, counts: found.statistics }
}
