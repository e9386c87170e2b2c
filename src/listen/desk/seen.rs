//! What a look shows, and what follows from it: launches by any, ends by a whole observation alone.
//!
//! Where the repositories are too many for each look, they take turns at it, and everything is looked at beside, slowly: from
//! that only ends follow, each of which is looked at once more when it is carried out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant as StdInstant};

use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use tokio::time::Instant;

use super::{Carrying, Desk, RECOUNTS_AGAIN_AFTER, STANDS_IN_AFTER, Seen, Shared, WHOLE_EVERY, Why};
use crate::ages::short;
use crate::config;
use crate::engine::{Action, Mark, PoolName, ReasonCode, RunnerId, ScaleSetDemand, Snapshot, Statistics, Step, View};
use crate::github::{Coverage, NoProgress, runners_unread};
use crate::left_over::{Owner, undo_left_over};
use crate::listen::Parts;
use crate::listen::event::{Event, Line};
use crate::listen::metrics::Look;
use crate::listen::phantoms::unlisted;
use crate::observe::{self, Listened, NAMES_CAUSES, Observation, Sources, observe};
use crate::report::ActionResult;
use crate::rerun::Due;
use crate::scale_set::ScaleSetId;
use crate::warning::{Warning, WarningCode};

/// Scale sets that are asked at once.
const AT_ONCE: usize = 8;
/// How long a look waits for what a set counts, repetitions included.
const COUNTS_WITHIN: Duration = Duration::from_mins(1);

impl<'a> Desk<'a> {
    pub(super) fn seen(&mut self, seen: Seen, carrying: &Carrying<'a>) {
        self.notice_the_clock();
        match seen {
            Seen::Supply(looked, counts) => {
                self.looked_at = Some(Instant::now());
                match looked {
                    Ok(supply) => {
                        supply.warnings.into_iter().for_each(|warning| self.warn_of(warning));
                        if let (Some(instances), Some(runners)) = (supply.instances, supply.runners)
                            && instances.whole
                            && runners.whole
                        {
                            self.shared.supply.borrow_mut().see(supply.seen_at, instances.items, runners.items);
                            self.shared.parts.metrics.supplied();
                            self.read_at = self.read_at.max(Some(supply.read_at));
                        }
                        for (pool, counts) in counts {
                            let Some(served) = self.served.get_mut(&pool) else { continue };
                            served.is_unasked = counts.is_err();
                            match counts {
                                Ok(counts) => served.count(counts, supply.read_at, Some(supply.read_at)),
                                Err(why) => {
                                    self.warn_of(Warning::new(WarningCode::ScaleSetFailed, pool.as_str(), why));
                                }
                            }
                        }
                    }
                    Err(error) => {
                        self.warn_of(runners_unread(&error, &self.shared.parts.config.github.scope));
                    }
                }
                let all = self.served.keys().cloned().collect();
                self.launch_at_once(&all, carrying);
                if self.is_in_a_hurry() || !self.troubled.is_empty() {
                    self.look_soon();
                }
            }
            Seen::Counts(asked_at, counts) => {
                let mut told = BTreeSet::new();
                for (pool, counts) in counts {
                    let Some(served) = self.served.get_mut(&pool) else { continue };
                    match counts {
                        Ok(counts) => {
                            served.count(counts, asked_at, Some(asked_at));
                            told.insert(pool);
                        }
                        Err(_) if !served.is_outdated && served.counted_at >= self.read_at => {}
                        // A look has found that, too, and the next one asks again.
                        Err(_) if served.is_unasked => {}
                        Err(why) => {
                            tracing::debug!(pool = pool.as_str(), why, "its counts are asked for again");
                            self.to_recount.entry(pool).or_insert(Instant::now() + RECOUNTS_AGAIN_AFTER);
                        }
                    }
                }
                self.launch_at_once(&told, carrying);
            }
            Seen::All(seen) => {
                self.count_requests();
                match *seen {
                    Ok((seen, due)) => self.pass(seen, due, carrying),
                    Err(error) => {
                        self.served.values_mut().for_each(|served| served.is_unasked = true);
                        self.shared.parts.metrics.unobserved(&self.policy.pools, |pool| self.serving(pool).is_some());
                        let said = format!("nothing could be observed: {error}");
                        self.warn_of(Warning { code: WarningCode::Degraded, message: said, subject: None });
                    }
                }
            }
            Seen::Whole(seen) => match *seen {
                Ok(seen) => self.end_after(seen, carrying),
                Err(error) => {
                    let said = format!("not everything could be observed: {error}");
                    self.warn_of(Warning { code: WarningCode::Degraded, message: said, subject: None });
                }
            },
        }
    }

    /// Ends what can be ended after everything was looked at. Whatever else it says is of a while ago.
    fn end_after(&mut self, seen: Observation, carrying: &Carrying<'a>) {
        let Observation { mut snapshot, known, warnings, scale_sets, .. } = seen;
        self.warn(warnings);
        self.count_by_sessions(&mut snapshot);
        if known.instances && known.runners {
            self.end(&snapshot, &scale_sets, false, carrying);
        }
    }

    /// Has everything looked at beside, now and then, where the looks don't do it.
    fn notice_turns(&mut self, coverage: Coverage) {
        let scan = &self.shared.parts.config.scan;
        if coverage.whole || scan.max_requests.is_some() {
            self.whole_at = None;
        } else {
            self.whole_at = Some(self.whole_began.map_or_else(Instant::now, |began| began + WHOLE_EVERY));
        }
    }

    /// Puts in what the open sessions count, in place of what was asked; returns their pools.
    fn count_by_sessions(&self, snapshot: &mut Snapshot) -> Vec<PoolName> {
        let serving: Vec<PoolName> =
            self.served.iter().filter(|(_, served)| !served.is_silent()).map(|(pool, _)| pool.clone()).collect();
        for pool in &serving {
            if let Some(counts) = self.demand(pool, Timestamp::now()) {
                snapshot.scale_sets.insert(pool.clone(), ScaleSetDemand::Counted(counts));
            }
            snapshot.unheard.remove(pool);
        }
        serving
    }

    /// Carries out the ends and marks of a plan; those of idle runners only where all jobs can be looked at once more, soon
    /// enough.
    fn end(
        &mut self,
        snapshot: &Snapshot,
        scale_sets: &BTreeMap<PoolName, ScaleSetId>,
        looks_are_whole: bool,
        carrying: &Carrying<'a>,
    ) {
        let pools: Vec<PoolName> = self.chosen.iter().cloned().collect();
        if !self.is_ending
            && let Some(ends) = self.decide(snapshot)
        {
            let mut ends = ends.only(&pools);
            ends.actions.retain(|action| !matches!(action.step, Step::Launch { .. }));
            if !looks_are_whole {
                let left = leave_idle_runners(&mut ends.actions);
                if left > 0 {
                    let said = format!(
                        "{left} idle runners are left to their hosts' `idle_timeout`: before an end all jobs are looked at once \
                         more, and that takes too long where repositories take turns"
                    );
                    self.warn_of(Warning::new(WarningCode::ScanInTurns, "ends", said));
                }
            }
            self.carry_out(ends, snapshot, scale_sets, carrying);
        }
    }

    /// Adds what helps where jobs wait and a served set counts nothing, as far as anybody can tell from here.
    fn say_what_helps(&self, warning: &mut Warning) {
        let is_it = |(pool, served): (&PoolName, &super::Served)| {
            Some(pool.as_str()) == warning.subject.as_deref() && served.found.statistics.jobs() == 0
        };
        if warning.message.ends_with(NAMES_CAUSES) && self.served.iter().any(is_it) {
            warning.message.push_str(
                "; where it names none, send SIGHUP to open its session anew; if that does not help, make the scale set \
                 again and re-run the jobs",
            );
        }
    }

    /// Does what one `apply` does: ends by what was seen just now and by nothing else; launches beside what is known to
    /// be on its way.
    fn pass(&mut self, seen: Observation, due: Due, carrying: &Carrying<'a>) {
        let Observation { mut snapshot, known, read_at, mut warnings, scale_sets, coverage, .. } = seen;
        self.notice_turns(coverage);
        let now = Timestamp::now();
        for (pool, served) in &mut self.served {
            // It was asked after the supply was looked at; a message may have come since.
            match snapshot.scale_sets.get(pool) {
                Some(ScaleSetDemand::Counted(counts)) => {
                    served.is_unasked = false;
                    served.count(*counts, read_at, Some(read_at));
                }
                Some(ScaleSetDemand::Unknown) | None => served.is_unasked = true,
            }
        }
        let serving = self.count_by_sessions(&mut snapshot);
        let is_served = |warning: &Warning| {
            warning.code == WarningCode::SourceFallback
                && warning.subject.as_ref().is_some_and(|subject| serving.iter().any(|pool| pool.as_str() == subject))
        };
        warnings.retain(|warning| !is_served(warning));
        for warning in &mut warnings {
            self.say_what_helps(warning);
        }
        let policy = self.policy.clone();
        let view = View::of(&snapshot, &policy);
        warnings.extend(view.warnings());
        for pool in &view.pools {
            if let Some(served) = self.served.get(&pool.pool.name) {
                let offers = self.rooms.get(&pool.pool.name).map_or(0, |room| room.offers());
                let missing = unlisted(pool, &served.found, offers, &snapshot.demand);
                self.phantoms.see(&pool.pool.name, snapshot.now, missing);
            }
        }
        let parts = self.shared.parts;
        let is_partial = warnings.iter().any(|warning| warning.code.is_partial());
        let supply_is_known = known.instances && known.runners;
        let chosen = &self.chosen;
        parts.metrics.observed(Look { snapshot: &snapshot, view: &view, chosen, supply_is_known, is_partial });
        self.measure(serving.iter());
        self.warn(warnings);
        if !supply_is_known {
            return;
        }
        self.rerun(due, &snapshot, carrying);
        // A session that is being opened will say what its set counts: until then nobody knows where its jobs are.
        let is_opening = |pool: &&PoolName| {
            let is_listening = self.listening.iter().any(|one| one.policy.name == **pool);
            let is_certain = self.unserved.get(*pool).is_some_and(|(why, since)| match why {
                Why::Held => true,
                Why::Unavailable => since.elapsed() >= STANDS_IN_AFTER,
            });
            is_listening && !self.served.contains_key(*pool) && !is_certain
        };
        let opened: Vec<PoolName> = self.chosen.iter().filter(|pool| !is_opening(pool)).cloned().collect();
        self.end(&snapshot, &scale_sets, true, carrying);
        self.shared.supply.borrow_mut().price(snapshot.prices.clone());
        let (instances, runners) = (snapshot.instances.items.clone(), snapshot.runners.items.clone());
        self.shared.supply.borrow_mut().see(snapshot.now, instances, runners);
        self.read_at = self.read_at.max(Some(read_at));
        let holds = |pool: &PoolName| self.serving(pool).is_none_or(|served| served.counted_at >= Some(read_at));
        let to_launch: Vec<PoolName> = opened.into_iter().filter(holds).collect();
        let mut filled = self.shared.supply.borrow().fill(now, &snapshot);
        // What launches met while this was looked at.
        self.shared.parts.state.remind(self.policy.fleet.as_str(), &mut filled);
        if !to_launch.is_empty() {
            self.launch(&filled, snapshot.now, &scale_sets, &to_launch, carrying);
        }
    }
}

/// Takes out what ends idle runners; returns how many they are.
fn leave_idle_runners(actions: &mut Vec<Action>) -> usize {
    let left: BTreeSet<RunnerId> = actions.iter().filter_map(ends_an_idle_runner).collect();
    actions.retain(|action| match action.step {
        Step::Deregister { runner_id, .. } => !left.contains(&runner_id),
        Step::Mark { mark: Mark::Draining, record: Some(record), .. } => !left.contains(&record),
        _ => true,
    });
    left.len()
}

/// Returns the runner that an action ends because it is idle.
fn ends_an_idle_runner(action: &Action) -> Option<RunnerId> {
    match action.step {
        Step::Deregister { runner_id, .. } => {
            matches!(action.reason.code, ReasonCode::Expired | ReasonCode::Surplus).then_some(runner_id)
        }
        _ => None,
    }
}

impl<'a> Shared<'a> {
    fn sources<'b>(&self, listened: &'b Listened) -> Sources<'b>
    where
        'a: 'b,
    {
        let Parts { config, client, service, fleet, state, .. } = self.parts;
        let scan = &config.scan;
        Sources { config, scan, client, service, fleet: Some(fleet), state, choice: None, listened }
    }

    /// Undoes what processes of this host that died, or launches that were given up, have left over: before anything is
    /// looked at, so that nothing that is seen holds a slot in vain. Two looks at once don't both do it, and neither goes on
    /// before it is done.
    async fn undo_left_over(self) {
        let _one_at_a_time = self.undoing.lock().await;
        let Parts { config, pools, state, fleet, metrics, hear, .. } = self.parts;
        for outcome in undo_left_over(Owner { config, pools, state }, self.registrar, fleet).await {
            metrics.acted(&outcome);
            hear(Line::now(Event::Action(Box::new(ActionResult::from(&outcome)))));
        }
    }

    pub(super) async fn look(self, sets: BTreeMap<PoolName, ScaleSetId>) -> Seen {
        self.undo_left_over().await;
        let supply = observe::supply(self.sources(&Listened::new())).await;
        Seen::Supply(supply, self.counts(sets, COUNTS_WITHIN).await)
    }

    /// Asks sets for their counts, and nothing else.
    pub(super) async fn recount(self, sets: BTreeMap<PoolName, ScaleSetId>) -> Seen {
        let asked_at = StdInstant::now();
        // One that doesn't answer would keep the others waiting.
        Seen::Counts(asked_at, self.counts(sets, RECOUNTS_AGAIN_AFTER).await)
    }

    async fn counts(
        self,
        sets: BTreeMap<PoolName, ScaleSetId>,
        within: Duration,
    ) -> BTreeMap<PoolName, Result<Statistics, String>> {
        stream::iter(sets)
            .map(async |(pool, id)| {
                let counts = match tokio::time::timeout(within, self.parts.service.scale_set(id)).await {
                    Ok(set) => set.map_err(|error| error.to_string()),
                    Err(_) => Err(format!("no answer within {}", short(within))),
                };
                (pool, counts.and_then(|set| set.statistics.ok_or_else(|| "it shows no counts".to_owned())))
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await
    }

    /// Looks at everything, beside the looks that go on.
    pub(super) async fn sweep(self, listened: Listened) -> Seen {
        let Parts { config, client, .. } = self.parts;
        let scan = config::Scan { full: true, beside: true, ..config.scan.clone() };
        let sources = Sources { scan: &scan, ..self.sources(&listened) };
        let seen = client.within_budget(observe(sources, &NoProgress)).await;
        Seen::Whole(Box::new(seen))
    }

    pub(super) async fn observe(self, listened: Listened) -> Seen {
        self.undo_left_over().await;
        let began = Instant::now();
        let observing = async {
            let seen = observe(self.sources(&listened), &NoProgress).await?;
            let due = self.due(&seen).await;
            Ok((seen, due))
        };
        let mut seen = self.parts.client.within_budget(observing).await;
        self.parts.metrics.ran(began.elapsed(), self.parts.client.usage());
        if let Some(cache) = self.parts.client.cache() {
            cache.flush();
            if let Ok((seen, _)) = &mut seen {
                seen.warnings.extend(cache.warning());
            }
        }
        Seen::All(Box::new(seen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::build::{instance, policy, pool, runner, snapshot};
    use crate::engine::plan;

    #[test]
    fn what_ends_an_idle_runner_is_left_out_whole_and_nothing_else_is() {
        let idle = instance("linux", 0).marked(Mark::SeenOnline, 3000).marked(Mark::IdleSince, 600);
        let never_came = instance("linux", 1).aged(3000);
        let seen = snapshot().instance(idle).runner(runner("linux", 0).online());
        let seen = seen.instance(never_came).runner(runner("linux", 1));
        let mut actions = plan(&seen, &policy([pool("linux").trimmed()])).actions;
        let ends = |actions: &[Action]| -> Vec<u64> {
            let ended = actions.iter().filter_map(|action| match action.step {
                Step::Deregister { runner_id, .. } => Some(runner_id.0),
                Step::Mark { mark: Mark::Draining, record, .. } => record.map(|record| record.0),
                _ => None,
            });
            ended.collect()
        };
        assert_eq!(ends(&actions), [100, 100, 101, 101]);
        assert_eq!((leave_idle_runners(&mut actions), ends(&actions)), (1, vec![101, 101]));
    }
}
