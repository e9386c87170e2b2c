//! How many jobs each listener may have: where launches are held back, a job that is acquired all the same would wait here,
//! and nobody else could take it.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Desk;
use crate::engine::{Held, Plan, Policy, PoolName, Price, ReasonCode, Snapshot, View, affordable};
use crate::listen::ledger::{self, Account, Limits};

/// What a plan says of the room that pools have.
#[derive(Debug)]
pub(super) struct Bounds {
    /// `None`: there are limits, and nobody knows yet what there is beside them.
    limits: Option<Limits>,
    /// By pool; none where nothing bounds a pool but its own `max`.
    pools: BTreeMap<PoolName, Bound>,
}

#[derive(Clone, Copy, Debug)]
struct Bound {
    /// The most that it may have at once, were it the only one that launches.
    most: u32,
    /// Its runners that hold a slot.
    held: u32,
    /// What one more costs at least, in millionths of a dollar an hour; 0 without a ceiling.
    price: u64,
}

impl Bounds {
    /// Returns those before the first plan.
    pub(super) fn at_first(policy: &Policy) -> Self {
        let is_limited = policy.max_total.is_some() || policy.max_usd_per_hour.is_some();
        Self { limits: (!is_limited).then(Limits::default), pools: BTreeMap::new() }
    }

    /// Returns what a pool is lent before the first plan: where limits hold all pools together, nothing.
    pub(super) fn lent_at_first(&self, max: u32) -> u32 {
        self.limits.map_or(0, |_| max)
    }

    /// Reads them off a plan, and what it was made from.
    ///
    /// A pool whose launches wait for a boot that works, or for a price, has no more than it launches now. What waits for
    /// room among all pools, or under the ceiling, is the ledger's: it goes by shares, and not by who was there first.
    pub(super) fn of(snapshot: &Snapshot, policy: &Policy, plan: &Plan) -> Self {
        let Policy { max_total, max_usd_per_hour, .. } = *policy;
        let is_its_own = |held: &&Held| matches!(held.reason.code, ReasonCode::BootsFail | ReasonCode::PriceUnknown);
        let is_held_back = plan.held.iter().any(|held| is_its_own(&held));
        if max_total.is_none() && max_usd_per_hour.is_none() && !is_held_back {
            // At every message: what bounds nothing is not computed.
            return Self { limits: Some(Limits::default()), pools: BTreeMap::new() };
        }
        let view = View::of(snapshot, policy);
        let prices = &snapshot.prices;
        let affordable = affordable(&view, policy, prices);
        let mut spare = 0;
        let mut pools = BTreeMap::new();
        for pool in &view.pools {
            let (name, held) = (&pool.pool.name, pool.supply().held);
            let more = affordable.as_ref().and_then(|counts| counts.get(name)).copied();
            let cheapest = pool.pool.offerings.iter().filter_map(|offering| prices.at_most_of_offering(offering)).min();
            let by_price = match (max_usd_per_hour, cheapest) {
                (Some(ceiling), Some(price)) => ceiling.holds(price),
                (Some(_), None) => held,
                (None, _) => u32::MAX,
            };
            let mut most = pool.pool.max.min(by_price);
            let waits = plan.held.iter().filter(is_its_own).any(|held| held.pool == *name);
            if let Some(sums) = plan.pools.iter().find(|sums| sums.name == *name).filter(|_| waits) {
                most = most.min(held.saturating_add(sums.launch));
            }
            let price = cheapest.filter(|_| more.is_some()).map_or(0, Price::in_micros);
            // What is spare in dollars, as far as whole runners of a pool show it.
            spare = spare.max(u64::from(more.unwrap_or(0)).saturating_mul(price));
            pools.insert(name.clone(), Bound { most, held, price });
        }
        let has = pools.values().map(|pool| u64::from(pool.held).saturating_mul(pool.price));
        let price = max_usd_per_hour.map(|_| has.fold(spare, u64::saturating_add));
        Self { limits: Some(Limits { count: max_total, price }), pools }
    }
}

impl Desk<'_> {
    /// Lends the listeners what their pools may have, by the last plan, and by what each has made of what it was lent.
    ///
    /// A pool that is lent nothing, since there is no room or since what it buys has no known price, acquires nothing. It
    /// announces 1 all the same: 0 is a trapdoor, and a job that is queued meanwhile may never come, not even when there is
    /// room. So where GitHub assigns directly, one job of each such pool may wait here; it is given back when it lapses.
    pub(super) fn lend(&self) {
        let Some(limits) = self.bounds.limits else { return };
        let accounts = self.policy.pools.iter().map(|pool| {
            let name = &pool.name;
            let bound = self.bounds.pools.get(name);
            let held = bound.map_or(0, |bound| bound.held);
            let price = bound.map_or(0, |bound| bound.price);
            let Some(room) = self.rooms.get(name) else {
                return Account { has: held, price, ..Account::default() };
            };
            // What a set has been given will hold slots, too; not what it counts and was never there.
            let counted = self.served.get(name).map_or(0, |served| served.found.statistics.assigned);
            let given = self.demand(name, Timestamp::now()).map_or(counted, |counts| counts.assigned);
            room.doubt(counted.saturating_sub(given));
            let given = u32::try_from(given).unwrap_or(u32::MAX);
            let promised = room.promised().min(pool.max);
            Account {
                bound: bound.map_or(pool.max, |bound| bound.most),
                has: held.max(given.min(pool.max)),
                lent: room.lent(),
                promised,
                presses: room.presses(),
                price,
            }
        });
        let accounts: Vec<Account> = accounts.collect();
        for (pool, lent) in self.policy.pools.iter().zip(ledger::lend(&accounts, limits)) {
            if let Some(room) = self.rooms.get(&pool.name) {
                room.lend(lent);
            }
        }
    }
}
