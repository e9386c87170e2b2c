//! One ledger of what the pools of a process are lent: how many jobs each set may have at once, where a limit holds all
//! pools together.
//!
//! What is lent to one pool is lent to no other until it is returned: its listener announces less by then, and has not been
//! given more. A pool that could use more presses, and those that press have equal shares, or what they need if that is
//! less; what others don't need is taken back from them only then. So a pool that has all is asked for its share by one that
//! has nothing, and lets go of it as its jobs end.

/// A pool's part of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    /// The most that it may have at once, were it alone.
    pub(super) bound: u32,
    /// What it has: runners, and jobs that wait for one.
    pub(super) has: u32,
    /// What it is lent.
    pub(super) lent: u32,
    /// What it may still come to by what it has announced.
    pub(super) promised: u32,
    /// It could use more.
    pub(super) presses: bool,
    /// What one more costs at least, in whatever unit the limit has.
    pub(super) price: u64,
}

/// What holds all pools together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Limits {
    /// So many runners.
    pub(super) count: Option<u32>,
    /// So much, each runner at its pool's price.
    pub(super) price: Option<u64>,
}

impl Limits {
    /// Returns how many more of a pool fit beside what all have.
    fn more(&self, accounts: &[Account], counts: &[u32], of: usize) -> u32 {
        let total = counts.iter().map(|count| u64::from(*count)).sum::<u64>();
        let spent: u128 = accounts.iter().zip(counts).map(|(one, count)| cost(one, *count)).sum();
        let by_count = self.count.map_or(u64::MAX, |most| u64::from(most).saturating_sub(total));
        let by_price = self.price.filter(|_| accounts[of].price > 0).map_or(u64::MAX, |most| {
            let left = u128::from(most).saturating_sub(spent) / u128::from(accounts[of].price);
            u64::try_from(left).unwrap_or(u64::MAX)
        });
        u32::try_from(by_count.min(by_price)).unwrap_or(u32::MAX)
    }

    fn is_none(self) -> bool {
        self == Self::default()
    }

    fn hold(&self, accounts: &[Account], counts: &[u32]) -> bool {
        let total = counts.iter().map(|count| u64::from(*count)).sum::<u64>();
        let spent: u128 = accounts.iter().zip(counts).map(|(one, count)| cost(one, *count)).sum();
        self.count.is_none_or(|most| total <= u64::from(most))
            && self.price.is_none_or(|most| spent <= u128::from(most))
    }
}

fn cost(account: &Account, count: u32) -> u128 {
    u128::from(account.price) * u128::from(count)
}

/// Returns what each pool is to be lent from now on. What it lacks then of its share is given when others have returned it.
pub(super) fn lend(accounts: &[Account], limits: Limits) -> Vec<u32> {
    if limits.is_none() {
        return accounts.iter().map(|one| one.bound).collect();
    }
    let shares = shares(accounts, limits);
    let mut lent: Vec<u32> = accounts.iter().map(|one| one.lent.min(one.bound)).collect();
    let total =
        |lent: &[u32]| -> Vec<u32> { accounts.iter().zip(lent).map(|(one, lent)| one.has.max(*lent)).collect() };
    // Others have launched, or a limit is less than it was: what nobody uses goes first.
    while !limits.hold(accounts, &total(&lent)) {
        let spare = |nth: &usize| lent[*nth].saturating_sub(accounts[*nth].has);
        let Some(most) = (0..lent.len()).max_by_key(spare).filter(|nth| spare(nth) > 0) else { break };
        lent[most] -= 1;
    }
    // What is free now: to whoever presses, the one with the least first.
    let mut held: Vec<u32> = total(&lent).iter().zip(accounts).map(|(count, one)| (*count).max(one.promised)).collect();
    let mut pressing: Vec<usize> = (0..lent.len()).filter(|nth| accounts[*nth].presses).collect();
    pressing.sort_by_key(|nth| (lent[*nth], *nth));
    let mut lacking = 0_u32;
    for nth in pressing {
        let wanted = shares[nth].saturating_sub(lent[nth]);
        let granted = wanted.min(held[nth].saturating_sub(lent[nth]).saturating_add(limits.more(accounts, &held, nth)));
        lent[nth] += granted;
        held[nth] = held[nth].max(lent[nth]);
        lacking = lacking.saturating_add(wanted - granted);
    }
    // What nobody asks for stands by, in equal parts: a burst needn't ask for its first jobs' room.
    if lacking == 0 {
        let ready =
            accounts.iter().map(|one| Account { presses: one.presses || one.bound > 0, ..*one }).collect::<Vec<_>>();
        for (nth, part) in
            self::shares(&ready, limits).into_iter().enumerate().filter(|(nth, _)| !accounts[*nth].presses)
        {
            let more = part.saturating_sub(lent[nth]).min(limits.more(accounts, &held, nth));
            lent[nth] += more;
            held[nth] = held[nth].max(lent[nth]);
        }
        return lent;
    }
    // What is being returned already, or will be when jobs end, need not be asked for again.
    for (nth, one) in accounts.iter().enumerate() {
        let is_coming = held[nth].saturating_sub(lent[nth].max(one.has.min(shares[nth])));
        lacking = lacking.saturating_sub(is_coming);
    }
    // The rest is asked back from those who have more than they use, or than is their share.
    while lacking > 0 {
        let keeps = |nth: usize| if accounts[nth].presses { shares[nth] } else { accounts[nth].has };
        let spare = |nth: &usize| lent[*nth].saturating_sub(keeps(*nth));
        let Some(most) = (0..lent.len()).max_by_key(spare).filter(|nth| spare(nth) > 0) else { break };
        lent[most] -= 1;
        lacking -= 1;
    }
    lent
}

/// Returns what each pool should have: those that press alike, as far as the limits go; the others what they have.
fn shares(accounts: &[Account], limits: Limits) -> Vec<u32> {
    let needs: Vec<u32> = accounts.iter().map(|one| if one.presses { one.bound } else { one.has }).collect();
    let at = |level: u32| -> Vec<u32> { needs.iter().map(|need| (*need).min(level)).collect() };
    let (mut fits, mut too_high) = (0, needs.iter().copied().max().unwrap_or(0).saturating_add(1));
    while too_high - fits > 1 {
        let level = fits + (too_high - fits) / 2;
        if limits.hold(accounts, &at(level)) { fits = level } else { too_high = level }
    }
    let mut shares = at(fits);
    for nth in 0..shares.len() {
        if needs[nth] > shares[nth] && limits.more(accounts, &shares, nth) > 0 {
            shares[nth] += 1;
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limits = Limits { count: Some(6), price: None };

    fn account(lent: u32, has: u32) -> Account {
        Account { bound: 20, has, lent, promised: lent.max(has), ..Account::default() }
    }

    fn pressing(lent: u32, has: u32) -> Account {
        Account { presses: true, ..account(lent, has) }
    }

    #[test]
    fn at_first_all_have_equal_parts() {
        let idle = account(0, 0);
        assert_eq!(lend(&[idle, idle], LIMIT), [3, 3]);
        assert_eq!(lend(&[Account { bound: 1, ..idle }, idle], LIMIT), [1, 5]);
        let two = Limits { count: Some(2), ..LIMIT };
        assert_eq!(lend(&[idle; 4], two), [1, 1, 0, 0]);
    }

    #[test]
    fn two_that_press_in_the_same_moment_are_lent_no_more_than_there_is() {
        assert_eq!(lend(&[pressing(3, 3), pressing(3, 3)], LIMIT), [3, 3]);
        assert_eq!(lend(&[pressing(4, 4), pressing(2, 2)], LIMIT), [3, 2], "the first lets go as its jobs end");
        let halfway = [Account { promised: 4, has: 3, ..pressing(3, 3) }, pressing(2, 2)];
        assert_eq!(lend(&halfway, LIMIT), [3, 2], "it is not returned yet");
        let returned = [Account { promised: 3, has: 3, ..pressing(3, 3) }, pressing(2, 2)];
        assert_eq!(lend(&returned, LIMIT), [3, 3]);
    }

    #[test]
    fn what_one_does_not_use_another_gets_when_it_is_returned() {
        let (idle, busy) = (account(3, 0), pressing(3, 3));
        assert_eq!(lend(&[idle, busy], LIMIT), [0, 3]);
        let returning = Account { lent: 0, ..idle };
        assert_eq!(lend(&[returning, busy], LIMIT), [0, 3], "it has announced three until now");
        let returned = Account { promised: 0, ..returning };
        assert_eq!(lend(&[returned, busy], LIMIT), [0, 6]);
        // No more is asked back than is needed.
        let small = Account { bound: 4, ..busy };
        assert_eq!(lend(&[idle, small], LIMIT), [2, 3]);
    }

    #[test]
    fn one_with_nothing_is_not_starved_by_one_that_has_all() {
        let all = pressing(6, 6);
        assert_eq!(lend(&[all, pressing(0, 0)], LIMIT), [3, 0]);
        let lowered = |has: u32| Account { lent: 3, promised: has, has, ..all };
        assert_eq!(lend(&[lowered(6), pressing(0, 0)], LIMIT), [3, 0]);
        assert_eq!(lend(&[lowered(5), pressing(0, 0)], LIMIT), [3, 1], "the first job that ends");
        assert_eq!(lend(&[lowered(4), pressing(1, 1)], LIMIT), [3, 2]);
    }

    #[test]
    fn while_nobody_presses_nothing_moves() {
        let as_it_is = [account(5, 2), account(1, 0)];
        assert_eq!(lend(&as_it_is, LIMIT), [5, 1]);
    }

    #[test]
    fn what_others_launch_is_taken_off() {
        let other = Account { bound: 0, has: 4, ..Account::default() };
        assert_eq!(lend(&[account(3, 0), account(3, 1), other], LIMIT), [1, 1, 0]);
        let others = Account { has: 9, ..other };
        assert_eq!(lend(&[account(3, 0), account(3, 1), others], LIMIT), [0, 1, 0]);
    }

    #[test]
    fn a_bound_of_its_own_holds_and_without_limits_it_is_all_that_does() {
        let held_back = Account { bound: 2, ..pressing(3, 3) };
        assert_eq!(lend(&[held_back, account(3, 0)], LIMIT), [2, 3]);
        assert_eq!(lend(&[held_back, account(3, 0)], Limits::default()), [2, 20]);
    }

    #[test]
    fn the_dearer_pool_gets_as_many_and_the_ceiling_holds() {
        let limits = Limits { count: None, price: Some(100) };
        let (dear, cheap) = (Account { price: 30, ..pressing(0, 0) }, Account { price: 10, ..pressing(0, 0) });
        assert_eq!(lend(&[dear, cheap], limits), [2, 3]);
        let unpriced = Account { bound: 0, ..pressing(0, 0) };
        assert_eq!(lend(&[unpriced, cheap], limits), [0, 10]);
    }

    #[test]
    fn whatever_is_asked_for_and_returned_never_more_is_promised_than_there_is() {
        // A pool takes what it is lent, announces late, and its jobs end now and then.
        let mut seed = 7_u64;
        let mut chance = |of: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % of
        };
        for _ in 0..200 {
            let mut pools = [account(0, 0); 3];
            let (mut wanted, mut ran) = (vec![0_u32; 3], vec![0_u32; 3]);
            for step in 0..200 {
                let nth = usize::try_from(chance(3)).unwrap();
                match chance(4) {
                    0 if step < 100 => wanted[nth] += 3,
                    1 if pools[nth].has > 0 => (pools[nth].has, ran[nth]) = (pools[nth].has - 1, ran[nth] + 1),
                    2 => pools[nth].promised = pools[nth].lent.max(pools[nth].has),
                    _ => {
                        // Given by what was announced, or acquired by what is lent.
                        let given = wanted[nth].min(pools[nth].promised.saturating_sub(pools[nth].has));
                        (wanted[nth], pools[nth].has) = (wanted[nth] - given, pools[nth].has + given);
                    }
                }
                for (pool, wanted) in pools.iter_mut().zip(&wanted) {
                    pool.presses = *wanted > 0 || (pool.has > 0 && pool.has >= pool.lent);
                }
                let lent = lend(&pools, LIMIT);
                for (pool, lent) in pools.iter_mut().zip(lent) {
                    pool.lent = lent;
                    pool.promised = pool.promised.max(lent);
                }
                let promised: u32 = pools.iter().map(|pool| pool.promised.max(pool.has)).sum();
                assert!(promised <= 6, "{pools:?}");
            }
            // Nobody is starved: with time all is given.
            for _ in 0..400 {
                for nth in 0..3 {
                    pools[nth].promised = pools[nth].lent.max(pools[nth].has);
                    let given = wanted[nth].min(pools[nth].lent.saturating_sub(pools[nth].has));
                    (wanted[nth], pools[nth].has) = (wanted[nth] - given, pools[nth].has + given);
                    pools[nth].presses = wanted[nth] > 0;
                    pools[nth].has = pools[nth].has.saturating_sub(1);
                    pools[nth].promised = pools[nth].lent.max(pools[nth].has);
                }
                let lent = lend(&pools, LIMIT);
                pools.iter_mut().zip(lent).for_each(|(pool, lent)| pool.lent = lent);
            }
            assert_eq!(wanted, [0, 0, 0], "{pools:?}");
        }
    }
}
