//! What a listener hears, and what follows from it.

use std::time::{Duration, Instant as StdInstant};

use jiff::Timestamp;
use tokio::time::Instant;

use super::{Desk, ENDS_WITHIN, HURRIED_LOOKS, LOOKS_AFTER, LOOKS_APART, LOOKS_APART_WHEN_FULL, Served, Why};
use crate::ages::short;
use crate::engine::PoolName;
use crate::listen::event::{Event, SessionState};
use crate::scale_set::{Heard, JobEvent, JobMessage, Message};
use crate::warning::{Warning, WarningCode};

/// So many polls in a row that were answered with nothing at all, and it is said.
const SILENCES: u32 = 3;

/// So many assignments that lapsed within half an hour, and it is said.
const LAPSES: usize = 3;

impl Desk<'_> {
    /// Takes in what a listener heard; returns its pool if launches may follow from it.
    pub(super) fn take_in(&mut self, pool: PoolName, heard: Heard) -> Option<PoolName> {
        let metrics = self.shared.parts.metrics;
        let session = |state, scale_set, error| Event::Session { pool: pool.clone(), state, scale_set, error };
        match heard {
            Heard::Opened { scale_set, statistics } => {
                metrics.session(&pool, true);
                self.say(session(SessionState::Opened, Some(scale_set.id), None));
                self.served.insert(pool.clone(), Served::new(scale_set, statistics));
                self.troubled.remove(&pool);
            }
            Heard::Refreshed => {
                self.say(session(SessionState::Refreshed, None, None));
                return None;
            }
            Heard::Lost(why) => {
                metrics.session(&pool, false);
                metrics.silent(&pool);
                metrics.trouble(&pool);
                self.say(session(SessionState::Lost, None, Some(why.to_string())));
                self.served.remove(&pool);
                self.troubled.remove(&pool);
                // Since the first loss without a good poll after it.
                self.is_unserved(pool, Why::Unavailable);
                return None;
            }
            Heard::Held { why, since } => {
                let said = if since < Duration::from_mins(5) {
                    why.to_string()
                } else {
                    format!("for {} now: does another system listen to this scale set? {why}", short(since))
                };
                self.say(session(SessionState::Held, None, Some(said)));
                self.is_unserved(pool, Why::Held);
                return None;
            }
            Heard::Unavailable(why) => {
                self.warn_of(Warning::new(WarningCode::ScaleSetFailed, pool.as_str(), why));
                self.is_unserved(pool, Why::Unavailable);
                return None;
            }
            Heard::Trouble(why) => {
                metrics.trouble(&pool);
                self.warn_of(Warning::new(WarningCode::Degraded, pool.as_str(), why.to_string()));
                // Its queue may say nothing for a while.
                self.troubled.insert(pool);
                self.look_soon();
                return None;
            }
            Heard::Unlisted(available) => {
                let said = format!(
                    "its scale set counts {available} jobs on offer that there is room for, and its list of offers shows \
                     none: they can't be acquired"
                );
                self.warn_of(Warning::new(WarningCode::Degraded, pool.as_str(), said));
                return None;
            }
            Heard::Poison { id, why } => {
                let said = format!("message {id} could not be read and was acknowledged unread: {why}");
                self.warn_of(Warning::new(WarningCode::EntryUnreadable, pool.as_str(), said));
                return None;
            }
            Heard::Acquired { asked, granted } => {
                metrics.acquired(&pool, granted);
                tracing::info!(pool = pool.as_str(), asked, granted, "acquired jobs");
                return None;
            }
            // Its room is lent anew: see `lend`.
            Heard::Returned => return None,
            Heard::Closed(why) => {
                metrics.session(&pool, false);
                let said = why.map_or_else(|| "closed in good order".to_owned(), |why| why.to_string());
                self.say(session(SessionState::Lost, None, Some(said)));
                return None;
            }
            Heard::Idle => {
                metrics.polled(&pool);
                self.unserved.remove(&pool);
                self.troubled.remove(&pool);
                if let Some(served) = self.served.get_mut(&pool) {
                    served.is_quiet();
                }
            }
            Heard::Silence(times) => {
                metrics.trouble(&pool);
                if times >= SILENCES {
                    let said = "its queue answers polls with nothing at all: messages are not delivered".to_owned();
                    self.warn_of(Warning::new(WarningCode::Degraded, pool.as_str(), said));
                    self.troubled.insert(pool);
                    self.look_soon();
                }
                return None;
            }
            Heard::Message { message, written_after } => self.take_in_message(&pool, &message, written_after),
        }
        Some(pool)
    }

    fn take_in_message(&mut self, pool: &PoolName, message: &Message, written_after: Option<StdInstant>) {
        let (metrics, now) = (self.shared.parts.metrics, Timestamp::now());
        self.unserved.remove(pool);
        self.troubled.remove(pool);
        metrics.message(pool);
        self.say(Event::of_message(pool, message));
        for (pool, took) in self.shared.supply.borrow_mut().hear(message, now) {
            metrics.booted(&pool, took);
        }
        if let Some(served) = self.served.get_mut(pool) {
            let newly_lapsed = served.told.hear(message, now);
            metrics.lapsed(pool, newly_lapsed);
            served.heard_at = Instant::now();
            if let Some(statistics) = message.statistics {
                served.count(statistics, StdInstant::now(), written_after);
            } else {
                // What it counts is asked for then: soon, and once for any number of such messages.
                served.is_outdated = true;
                self.to_recount.insert(pool.clone(), Instant::now());
            }
            let counts = served.found.statistics;
            let (assigned, lapses) = (served.told.at_least(counts, now).assigned, served.told.lapses());
            if assigned > counts.assigned {
                let said = format!(
                    "its scale set counts nothing beside {assigned} jobs that it was given: these are launched for"
                );
                self.warn_of(Warning::new(WarningCode::SourcesDiffer, pool.as_str(), said));
            }
            if newly_lapsed > 0 && lapses >= LAPSES {
                let said = format!(
                    "{lapses} jobs within half an hour were taken back from its scale set, since no runner took them in \
                     time: a runner has to be online within some four minutes"
                );
                self.warn_of(Warning::new(WarningCode::Degraded, pool.as_str(), said));
            }
        }
        let is_end = |job: &JobMessage| matches!(job.event, JobEvent::Completed { .. });
        if self.has_unmet && message.jobs.iter().any(is_end) {
            self.freed_at = Some(Instant::now());
        }
        if !message.jobs.is_empty() {
            self.look_soon();
        }
    }

    fn is_unserved(&mut self, pool: PoolName, why: Why) {
        let since = self.unserved.get(&pool).filter(|(before, _)| *before == why).map(|(_, since)| *since);
        self.unserved.insert(pool, (why, since.unwrap_or_else(Instant::now)));
    }

    /// Has the supply looked at soon, and not more often than is needed.
    pub(super) fn look_soon(&mut self) {
        let soon = Instant::now() + LOOKS_AFTER;
        let apart = if self.is_in_a_hurry() { LOOKS_APART_WHEN_FULL } else { LOOKS_APART };
        let at = self.looked_at.map_or(soon, |looked_at| soon.max(looked_at + apart));
        self.look_at = Some(self.look_at.map_or(at, |planned| planned.min(at)));
    }

    /// Returns whether jobs wait for what a look may show at any moment: an instance that has ended.
    pub(super) fn is_in_a_hurry(&self) -> bool {
        let is_ending = self.freed_at.is_some_and(|at| at.elapsed() < ENDS_WITHIN);
        let looks = self.hurried.iter().filter(|at| at.elapsed() < Duration::from_mins(1)).count();
        self.has_unmet && is_ending && looks < HURRIED_LOOKS
    }

    /// A look begins: notes whether it comes sooner than it would otherwise.
    pub(super) fn note_hurry(&mut self) {
        self.hurried.retain(|at| at.elapsed() < Duration::from_mins(1));
        if self.looked_at.is_some_and(|at| at.elapsed() < LOOKS_APART) {
            self.hurried.push(Instant::now());
        }
    }
}
