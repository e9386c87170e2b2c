//! The ceiling on dollars an hour: which launches fit under it, and with what they may be tried.
//!
//! A launch counts at the dearest of the offerings that it may be tried with, since `apply` goes through them and asks
//! nobody. So a plan carries only what fits: near the ceiling a launch loses its dear offerings, and then the launch is
//! held back. What has no known price can't be held under a ceiling, and is not tried.

use std::collections::{BTreeMap, BTreeSet};

use super::assignment::Shortage;
use super::fleet::Offering;
use super::names::PoolName;
use super::plan::{Action, Step};
use super::policy::{Policy, Pool};
use super::prices::{Cost, Price, Prices};
use super::snapshot::Snapshot;
use super::states::Unit;
use super::view::{PoolView, View};
use crate::warning::{Warning, WarningCode};

/// Returns what runs of a pool, and what may turn out to run, at most.
///
/// A registration whose instance was not seen may have one that EC2 doesn't show yet: it counts at the dearest that its
/// pool buys.
pub(super) fn spent(pool: &PoolView<'_>, prices: &Prices) -> Cost {
    let of_unit = |unit: &Unit<'_>| match unit.instance() {
        Some(instance) => instance.is_billed().then(|| prices.at_most_of_instance(instance)),
        None => Some(dearest(&pool.pool.offerings, prices)),
    };
    pool.units.iter().filter_map(of_unit).collect()
}

/// Returns what runs of the fleet and has no place in the configuration.
pub(super) fn spent_apart(view: &View<'_>, prices: &Prices) -> Cost {
    let billed = view.strangers.iter().filter(|instance| instance.is_billed());
    billed.map(|instance| prices.at_most_of_instance(instance)).collect()
}

/// Returns how many more runners each pool may launch at most, were it the only one that does; `None` without a ceiling.
#[must_use]
pub fn affordable(view: &View<'_>, policy: &Policy, prices: &Prices) -> Option<BTreeMap<PoolName, u32>> {
    let ceiling = policy.max_usd_per_hour?;
    let apart = spent_apart(view, prices).known;
    let spare = ceiling.less(view.pools.iter().fold(apart, |sum, pool| sum.plus(spent(pool, prices).known)));
    let count = |pool: &Pool| cheapest(pool, prices).map_or(0, |price| spare.holds(price));
    Some(view.pools.iter().map(|pool| (pool.pool.name.clone(), count(pool.pool))).collect())
}

/// Returns the least that a launch of a pool can count at; `None` where no price of its is known.
pub(super) fn cheapest(pool: &Pool, prices: &Prices) -> Option<Price> {
    pool.offerings.iter().filter_map(|offering| prices.at_most_of_offering(offering)).min()
}

/// Returns whether a pool may ever launch under the ceiling, whatever runs now; `Err` says what is wrong.
pub(super) fn permits(policy: &Policy, pool: &Pool, prices: &Prices) -> Result<(), Shortage> {
    let Some(ceiling) = policy.max_usd_per_hour else { return Ok(()) };
    match cheapest(pool, prices) {
        None => Err(Shortage::Unpriced),
        Some(price) if price > ceiling => Err(Shortage::TooDear),
        Some(_) => Ok(()),
    }
}

fn dearest(offerings: &[Offering], prices: &Prices) -> Option<Price> {
    offerings.iter().filter_map(|offering| prices.at_most_of_offering(offering)).max()
}

/// Leaves of a launch what may be tried with so much room, and returns what it counts at; `None` where nothing fits.
pub(super) fn fit(launch: &mut Action, room: Price, prices: &Prices) -> Option<Price> {
    let Step::Launch { offerings, .. } = &mut launch.step else { return None };
    let fits = |offering: &Offering| prices.at_most_of_offering(offering).is_some_and(|price| price <= room);
    if !offerings.iter().any(fits) {
        return None;
    }
    offerings.retain(fits);
    dearest(offerings, prices)
}

/// Returns the types that a pool buys and that have no known price.
pub(super) fn unpriced_types<'a>(pool: &'a Pool, prices: &Prices) -> BTreeSet<&'a str> {
    let unpriced = pool.offerings.iter().filter(|offering| prices.at_most_of_offering(offering).is_none());
    unpriced.map(|offering| offering.instance_type.as_str()).collect()
}

/// Returns what an operator should know of the prices that a ceiling lacks.
pub(super) fn warnings(pools: &[PoolView<'_>], snapshot: &Snapshot, policy: &Policy) -> Vec<Warning> {
    if policy.max_usd_per_hour.is_none() {
        return Vec::new();
    }
    let mut warnings = Vec::new();
    for PoolView { pool, .. } in pools {
        for instance_type in unpriced_types(pool, &snapshot.prices) {
            let said = format!(
                "`{instance_type}` has no known price, so under `max_usd_per_hour` it is not launched: add it to the \
                 price table"
            );
            warnings.push(Warning::new(WarningCode::PriceUnknown, pool.name.as_str(), said));
        }
    }
    let ours = snapshot.instances.items.iter().filter(|one| one.fleet == policy.fleet && one.is_billed());
    let unknown: Vec<_> = ours.filter(|one| snapshot.prices.at_most_of_instance(one).is_none()).collect();
    if !unknown.is_empty() {
        let types: BTreeSet<&str> = unknown.iter().map(|one| one.instance_type.as_str()).collect();
        let types = types.into_iter().collect::<Vec<_>>().join(", ");
        let said = format!(
            "{} of the fleet's instances have no known price ({types}) and are not counted under `max_usd_per_hour`: \
             add them to the price table",
            unknown.len()
        );
        warnings.push(Warning { code: WarningCode::PriceUnknown, message: said, subject: None });
    }
    warnings
}
