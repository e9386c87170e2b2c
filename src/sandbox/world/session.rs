//! Message sessions: one a set, its queue of messages, and what a poll gets.

use std::collections::{BTreeMap, VecDeque};

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::World;
use crate::engine::Statistics;

/// The most entries that one message holds.
const ENTRIES_AT_MOST: usize = 50;

/// A message session.
#[derive(Clone, Debug)]
pub(in crate::sandbox) struct Session {
    pub(in crate::sandbox) id: String,
    pub(in crate::sandbox) owner: String,
    /// When it was heard of last.
    pub(super) seen_at: Timestamp,
    /// How many polls are held now.
    pub(super) polls: u32,
    /// What the last poll announced.
    pub(super) capacity: Option<u32>,
    /// Since when that is nothing.
    pub(super) shut_since: Option<Timestamp>,
    /// A listener of another system holds it, inside the world: it acquires and acknowledges at once, and keeps so
    /// many runners of its own.
    pub(super) elsewhere: Option<u32>,
    /// What will be told in the next message.
    pending: VecDeque<Entry>,
    /// The next message is due though there may be no entries for it.
    statistics_due: bool,
    /// What was told and not acknowledged.
    messages: BTreeMap<u64, Message>,
}

/// A message of a set's queue.
#[derive(Clone, Debug)]
pub(in crate::sandbox) struct Message {
    pub(in crate::sandbox) id: u64,
    pub(in crate::sandbox) entries: Vec<Entry>,
    pub(in crate::sandbox) statistics: Statistics,
}

/// What is told of a job.
#[derive(Clone, Debug)]
pub(in crate::sandbox) struct Entry {
    pub(in crate::sandbox) kind: EntryKind,
    /// The service's id of this assignment of the job; empty where the service keeps it to itself.
    pub(in crate::sandbox) job_id: String,
    /// The offer's id; 0 where there was none.
    pub(in crate::sandbox) request_id: u64,
    pub(in crate::sandbox) repository: String,
    pub(in crate::sandbox) run_id: u64,
    pub(in crate::sandbox) workflow: String,
    pub(in crate::sandbox) name: String,
    pub(in crate::sandbox) labels: Vec<String>,
    pub(in crate::sandbox) queued_at: Timestamp,
    pub(in crate::sandbox) assigned_at: Option<Timestamp>,
    pub(in crate::sandbox) started_at: Option<Timestamp>,
    pub(in crate::sandbox) finished_at: Option<Timestamp>,
}

/// What happened to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sandbox) enum EntryKind {
    /// It is offered.
    Available,
    /// It is the set's.
    Assigned,
    /// A runner took it: its id and name.
    Started(u64, String),
    /// It ended so, on that runner; 0 and no name where no runner had it.
    Completed(&'static str, u64, String),
}

/// Why there is no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sandbox) enum SessionRefused {
    /// Another one is open.
    Conflict,
    /// There is no such set.
    NoSet,
}

impl Entry {
    pub(super) fn each_time(&mut self, older: &mut impl FnMut(&mut Timestamp)) {
        older(&mut self.queued_at);
        for at in [&mut self.assigned_at, &mut self.started_at, &mut self.finished_at] {
            at.as_mut().map(&mut *older);
        }
    }
}

impl Session {
    pub(super) fn new(id: String, owner: &str, now: Timestamp) -> Self {
        Self {
            id,
            owner: owner.to_owned(),
            seen_at: now,
            polls: 0,
            capacity: None,
            shut_since: None,
            elsewhere: None,
            pending: VecDeque::new(),
            statistics_due: false,
            messages: BTreeMap::new(),
        }
    }

    /// Tells it something.
    pub(super) fn tell(&mut self, entry: Entry) {
        if self.elsewhere.is_none() {
            self.pending.push_back(entry);
        }
    }

    pub(super) fn tell_statistics(&mut self) {
        self.statistics_due = self.elsewhere.is_none();
    }

    /// Makes everything older but the messages that were told already: they are told again as they were.
    pub(super) fn each_time(&mut self, older: &mut impl FnMut(&mut Timestamp)) {
        older(&mut self.seen_at);
        self.shut_since.as_mut().map(&mut *older);
        self.pending.iter_mut().for_each(|entry| entry.each_time(older));
    }
}

impl World {
    /// Opens a set's session and returns its id.
    pub(in crate::sandbox) fn open_session(&mut self, set: u64, owner: &str) -> Result<String, SessionRefused> {
        let id = self.guid();
        let now = self.now;
        let set = self.actions.sets.get_mut(&set).ok_or(SessionRefused::NoSet)?;
        if set.session.is_some() {
            return Err(SessionRefused::Conflict);
        }
        set.session = Some(Session::new(id.clone(), owner, now));
        Ok(id)
    }

    /// Returns a session if it is the set's, which it thereby hears of.
    pub(in crate::sandbox) fn session(&mut self, set: u64, id: &str) -> Option<&mut Session> {
        let now = self.now;
        let session = self.actions.sets.get_mut(&set)?.session.as_mut().filter(|session| session.id == id)?;
        session.seen_at = now;
        Some(session)
    }

    /// Ends a session; returns whether there was one of the id.
    pub(in crate::sandbox) fn close_session(&mut self, set: u64, id: &str) -> bool {
        let there = self.session(set, id).is_some();
        if there && let Some(set) = self.actions.sets.get_mut(&set) {
            set.session = None;
        }
        there
    }

    /// Notes that a poll is held from now on, and what it announced; returns whether the session lives.
    pub(in crate::sandbox) fn begin_poll(&mut self, set: u64, id: &str, capacity: u32) -> bool {
        let now = self.now;
        let Some(session) = self.session(set, id) else { return false };
        session.polls += 1;
        session.capacity = Some(capacity);
        session.shut_since = (capacity == 0).then(|| session.shut_since.unwrap_or(now));
        self.step(now);
        true
    }

    /// Notes that a poll is held no more.
    pub(in crate::sandbox) fn end_poll(&mut self, set: u64, id: &str) {
        if let Some(session) = self.session(set, id) {
            session.polls = session.polls.saturating_sub(1);
        }
    }

    /// Returns the first message after `last`: one that was not acknowledged, else a new one if there is news.
    pub(in crate::sandbox) fn next_message(&mut self, set: u64, session: &str, last: u64) -> Option<Message> {
        let statistics = self.statistics(set);
        let first = self.settings.scale_sets.message_ids_after + 1;
        let drops = self.settings.scale_sets.excess_dropped;
        let told = self.actions.sets.get(&set)?.messages;
        let session = self.session(set, session)?;
        if let Some((_, message)) = session.messages.range(last.saturating_add(1)..).next() {
            return Some(message.clone());
        }
        if session.pending.is_empty() && !session.statistics_due {
            return None;
        }
        let fit = session.pending.len().min(ENTRIES_AT_MOST);
        let message = Message { id: first + told, entries: session.pending.drain(..fit).collect(), statistics };
        if drops {
            session.pending.clear();
        }
        session.statistics_due = false;
        session.messages.insert(message.id, message.clone());
        self.actions.sets.get_mut(&set)?.messages += 1;
        (message.id > last).then_some(message)
    }

    /// Forgets a message that was received; returns whether it was there.
    pub(in crate::sandbox) fn acknowledge(&mut self, set: u64, session: &str, message: u64) -> bool {
        self.session(set, session).is_some_and(|session| session.messages.remove(&message).is_some())
    }

    /// Returns when the first session without requests will be lost, and its set.
    pub(super) fn next_lost_session(&self) -> Option<(Timestamp, u64)> {
        let idle = self.settings.scale_sets.session_idle;
        let sessions = self.actions.sets.values().filter_map(|set| Some((set.id, set.session.as_ref()?)));
        let sessions = sessions.filter(|(_, session)| session.polls == 0 && session.elsewhere.is_none());
        sessions.map(|(set, session)| (session.seen_at + idle, set)).min()
    }

    /// Returns a new id of the service's sort.
    pub(in crate::sandbox) fn guid(&mut self) -> String {
        let number = self.actions.next_guid;
        self.actions.next_guid += 1;
        let text = HEXLOWER.encode(&Sha256::digest(format!("guid {number}")));
        format!("{}-{}-4{}-8{}-{}", &text[..8], &text[8..12], &text[12..15], &text[15..18], &text[18..30])
    }
}
