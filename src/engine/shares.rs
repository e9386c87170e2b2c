//! The limits of all pools together: which of their launches `max_total` and the ceiling let through.
//!
//! One after the other is let through, always of the pool with the smallest share: of the runners where `max_total` is
//! given, of the dollars where the ceiling is, and with both of that of which it has more (dominant resource fairness:
//! Ghodsi and others, NSDI 2011). So no pool is kept out by a larger one. A launch that can't be paid for takes no slot,
//! and one without a slot takes no dollars.

use super::ceiling;
use super::names::PoolName;
use super::plan::{Action, Held, Reason, ReasonCode};
use super::policy::{Policy, Pool};
use super::prices::{Price, Prices};
use super::view::PoolView;

/// What a pool asks for.
pub(super) struct Claim<'a> {
    pub(super) pool: &'a PoolView<'a>,
    /// In the order in which they are let through.
    pub(super) launches: &'a mut Vec<Action>,
}

/// Launches that a limit of all pools together holds back, and why.
pub(super) struct HeldBack {
    pub(super) held: Held,
    pub(super) launches: Vec<Action>,
}

/// Leaves of all pools' launches what the limits let through, beside what is spent `apart` from the pools; returns what
/// is held back.
pub(super) fn share(claims: &mut [Claim<'_>], apart: Price, policy: &Policy, prices: &Prices) -> Vec<HeldBack> {
    if policy.max_total.is_none() && policy.max_usd_per_hour.is_none() {
        return Vec::new();
    }
    let mut shares: Vec<Share<'_>> = claims.iter().map(|claim| Share::of(claim, prices)).collect();
    let mut money = policy.max_usd_per_hour.map(|ceiling| Money::of(claims, &shares, ceiling, apart, prices));
    let mut free = policy.max_total.map(|max_total| {
        let held: u64 = shares.iter().map(|share| share.held).sum();
        u64::from(max_total).saturating_sub(held)
    });
    loop {
        let wants_more =
            |nth: &usize| shares[*nth].stop.is_none() && shares[*nth].granted < claims[*nth].launches.len();
        let next = (0..claims.len()).filter(wants_more).min_by_key(|nth| shares[*nth].size(policy));
        let Some(next) = next else { break };
        if let (Some(0), Some(max_total)) = (free, policy.max_total) {
            shares[next].stop = Some(Stop::full(max_total));
            continue;
        }
        let launch = &mut claims[next].launches[shares[next].granted];
        let price = match money.as_mut().map(|money| money.pay(&shares[next], launch)).transpose() {
            Ok(price) => price.unwrap_or_default(),
            Err(stop) => {
                shares[next].stop = Some(stop);
                continue;
            }
        };
        free = free.map(|free| free - 1);
        shares[next].take(price);
    }
    let held_back = claims.iter_mut().zip(shares).filter_map(|(claim, share)| {
        let launches = claim.launches.split_off(share.granted);
        let reason = share.stop?.reason(launches.len());
        let held = Held { pool: share.pool.name.clone(), runner: None, instance_id: None, reason };
        Some(HeldBack { held, launches })
    });
    held_back.collect()
}

/// What a pool has, and was granted in this round.
struct Share<'a> {
    pool: &'a Pool,
    held: u64,
    cost: Price,
    granted: usize,
    /// Why it gets no more of what it wants.
    stop: Option<Stop>,
}

impl<'a> Share<'a> {
    fn of(claim: &Claim<'a>, prices: &Prices) -> Self {
        let held = claim.pool.supply().held.into();
        let cost = ceiling::spent(claim.pool, prices).known;
        Self { pool: claim.pool.pool, held, cost, granted: 0, stop: None }
    }

    fn take(&mut self, price: Price) {
        self.granted += 1;
        self.held += 1;
        self.cost = self.cost.plus(price);
    }

    /// Returns how large it is beside others: the larger of its parts of the two limits, both over their product.
    fn size(&self, policy: &Policy) -> u128 {
        let of_runners = policy.max_total.map(|_| policy.max_usd_per_hour.map_or(1, Price::in_micros));
        let of_dollars = policy.max_usd_per_hour.map(|_| policy.max_total.map_or(1, u64::from));
        let part = |has: u64, weight: Option<u64>| u128::from(has) * u128::from(weight.unwrap_or(0));
        part(self.held, of_runners).max(part(self.cost.in_micros(), of_dollars))
    }
}

/// What may be spent.
struct Money<'a> {
    prices: &'a Prices,
    ceiling: Price,
    /// By all pools, and apart from them.
    spent: Price,
    /// What each pool that wants more may count on: an equal part of what the others leave.
    fair: Price,
    /// The pool that what is free is kept for, and what it will cost once it gets its next launch.
    kept: Option<(&'a PoolName, Price)>,
}

impl<'a> Money<'a> {
    fn of(claims: &[Claim<'_>], shares: &[Share<'_>], ceiling: Price, apart: Price, prices: &'a Prices) -> Self {
        let can_buy = |claim: &Claim<'_>| ceiling::cheapest(claim.pool.pool, prices).is_some_and(|one| one <= ceiling);
        let wants = |claim: &Claim<'_>| !claim.launches.is_empty() && can_buy(claim);
        let (mut spent, mut of_others, mut wanting) = (apart, apart, 0);
        for (claim, share) in claims.iter().zip(shares) {
            spent = spent.plus(share.cost);
            if wants(claim) {
                wanting += 1;
            } else {
                of_others = of_others.plus(share.cost);
            }
        }
        Self { prices, ceiling, spent, fair: ceiling.less(of_others).part(wanting), kept: None }
    }

    /// Pays for a launch, and leaves of it what it may be tried with; returns what it counts at.
    ///
    /// A pool whose next launch would leave it within its fair part and doesn't fit is waited for: until runners have
    /// ended, no other pool may cost more than it will. Or cheap launches would take each cent that comes free, for as
    /// long as there are jobs for them. One whose launch is dearer than that gets it when it fits.
    fn pay(&mut self, share: &Share<'a>, launch: &mut Action) -> Result<Price, Stop> {
        let room = self.ceiling.less(self.spent);
        let kept = self.kept.filter(|(pool, _)| **pool != share.pool.name);
        let allowed = kept.map_or(room, |(_, cost)| room.min(cost.less(share.cost)));
        if self.spent <= self.ceiling
            && let Some(price) = ceiling::fit(launch, allowed, self.prices)
        {
            self.spent = self.spent.plus(price);
            return Ok(price);
        }
        let Some(cheapest) = ceiling::cheapest(share.pool, self.prices) else {
            return Err(Stop::unpriced(share.pool, self));
        };
        if cheapest > self.ceiling {
            return Err(Stop::too_dear(share.pool, cheapest, self));
        }
        if let Some((pool, _)) = kept.filter(|_| cheapest <= room) {
            return Err(Stop::kept_for(pool, self));
        }
        let after = share.cost.plus(cheapest);
        if self.kept.is_none() && after <= self.fair {
            self.kept = Some((&share.pool.name, after));
        }
        Err(Stop::spent(self))
    }
}

/// What holds a pool's launches back, and until when.
struct Stop {
    code: ReasonCode,
    why: String,
    until: &'static str,
}

impl Stop {
    fn full(max_total: u32) -> Self {
        let why = format!("max_total is {max_total}");
        Self { code: ReasonCode::MaxTotal, why, until: "for a runner to end" }
    }

    fn spent(Money { ceiling, spent, .. }: &Money<'_>) -> Self {
        let why = format!("max_usd_per_hour is {ceiling}, and ${spent} are spent or planned");
        Self { code: ReasonCode::MaxUsdPerHour, why, until: "for a runner to end" }
    }

    fn kept_for(pool: &PoolName, Money { ceiling, .. }: &Money<'_>) -> Self {
        let why =
            format!("max_usd_per_hour is {ceiling}, and what is free of it is kept for pool `{pool}`, which has less");
        Self { code: ReasonCode::MaxUsdPerHour, why, until: "for a runner to end" }
    }

    fn too_dear(pool: &Pool, cheapest: Price, Money { ceiling, .. }: &Money<'_>) -> Self {
        let why = format!("max_usd_per_hour is {ceiling}, and the cheapest of pool `{}` costs ${cheapest}", pool.name);
        Self { code: ReasonCode::MaxUsdPerHour, why, until: "for a higher one" }
    }

    fn unpriced(pool: &Pool, Money { ceiling, prices, .. }: &Money<'_>) -> Self {
        let types = ceiling::unpriced_types(pool, prices).into_iter().collect::<Vec<_>>().join(", ");
        let why = format!("max_usd_per_hour is {ceiling}, and {types} has no known price");
        Self { code: ReasonCode::PriceUnknown, why, until: "for one in the price table" }
    }

    fn reason(&self, count: usize) -> Reason {
        let Self { code, why, until } = self;
        let launches = if count == 1 { "1 launch waits".to_owned() } else { format!("{count} launches wait") };
        Reason::new(*code, format!("{why}: {launches} {until}"))
    }
}
