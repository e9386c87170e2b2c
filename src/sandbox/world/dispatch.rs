//! How jobs come to scale sets, in both modes, and what the sets are told of it.
//!
//! A set's job is a job like any other: `queued` to the REST API until a runner has it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::session::{Entry, EntryKind};
use super::settings::{Completions, Dispatch};
use super::{Job, JobStatus, World};

/// Nothing that a world does again and again by itself is quicker, whatever its settings say.
const AGAIN_AT_LEAST: Duration = Duration::from_secs(1);

/// What a job is to the Actions Service, beyond queued.
#[derive(Clone, Debug)]
pub(super) enum Hold {
    /// It is offered to sets: to which of their sessions, and when.
    Offered {
        /// The offer's id.
        request_id: u64,
        /// The service's id of the job.
        job_id: String,
        /// Whom it was offered to.
        to: BTreeMap<u64, (String, Timestamp)>,
    },
    /// It is a set's.
    Given(Holding),
}

/// A set's job.
#[derive(Clone, Debug)]
pub(super) struct Holding {
    pub(super) set: u64,
    pub(super) request_id: u64,
    pub(super) job_id: String,
    /// When it was acquired, or given without being asked for.
    pub(super) given_at: Timestamp,
    /// When the set was told that it is assigned.
    pub(super) assigned_at: Option<Timestamp>,
    /// The set knows that it runs.
    pub(super) started: bool,
}

/// Something that will happen to sets by itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SetEvent {
    Assigned(u64),
    Lapses(u64),
    OfferedAgain(u64),
    ToldLate,
    SessionLost(u64),
}

impl World {
    /// Gives the queued jobs to sets, and those to runners, as far as it goes now.
    pub(super) fn settle(&mut self) {
        if self.actions.sets.is_empty() && self.actions.holds.is_empty() {
            return self.give_jobs_to_runners();
        }
        self.keep_runners_elsewhere();
        self.note_progress();
        match self.settings.scale_sets.dispatch {
            Dispatch::Direct => self.assign_directly(),
            Dispatch::Acquire => self.offer(),
        }
        self.give_jobs_to_runners();
        self.note_progress();
    }

    /// Returns the next thing that happens to sets by itself.
    pub(super) fn next_set_event(&self) -> Option<(Timestamp, SetEvent)> {
        let settings = &self.settings.scale_sets;
        let offered_again_after = settings.offered_again_after.max(AGAIN_AT_LEAST);
        let lapse_after = settings.lapse_after.max(AGAIN_AT_LEAST);
        let holds = self.actions.holds.iter().filter_map(|(job, hold)| match hold {
            Hold::Offered { to, .. } => {
                let first = to.values().map(|(_, at)| *at).min()?;
                Some((first + offered_again_after, SetEvent::OfferedAgain(*job)))
            }
            Hold::Given(Holding { assigned_at: None, given_at, .. }) => {
                Some((*given_at + settings.assigned_after, SetEvent::Assigned(*job)))
            }
            Hold::Given(Holding { assigned_at: Some(at), started: false, .. }) => {
                Some((*at + lapse_after, SetEvent::Lapses(*job)))
            }
            Hold::Given(_) => None,
        });
        let late = self.actions.late.iter().map(|(at, _, _)| (*at, SetEvent::ToldLate));
        let lost = self.next_lost_session().map(|(at, set)| (at, SetEvent::SessionLost(set)));
        holds.chain(late).chain(lost).min()
    }

    pub(super) fn happen_to_sets(&mut self, event: &SetEvent) {
        match event {
            SetEvent::Assigned(job) => self.assign_acquired(*job),
            SetEvent::Lapses(job) => self.lapse(*job),
            // The next settling offers it anew.
            SetEvent::OfferedAgain(job) => {
                let due = self.now - self.settings.scale_sets.offered_again_after.max(AGAIN_AT_LEAST);
                if let Some(Hold::Offered { to, .. }) = self.actions.holds.get_mut(job) {
                    to.retain(|_, (_, at)| *at > due);
                }
            }
            SetEvent::ToldLate => {
                let now = self.now;
                let late = std::mem::take(&mut self.actions.late);
                let (due, later): (Vec<_>, _) = late.into_iter().partition(|(at, ..)| *at <= now);
                self.actions.late = later;
                for (_, set, entry) in due {
                    self.tell(set, entry);
                }
            }
            SetEvent::SessionLost(set) => {
                if let Some(set) = self.actions.sets.get_mut(set) {
                    set.session = None;
                }
            }
        }
    }

    /// Returns whether a set has a job, or will have: no other runner may take it.
    pub(super) fn is_held(&self, job: u64) -> bool {
        matches!(self.actions.holds.get(&job), Some(Hold::Given(_)))
    }

    /// Returns whether a runner of a set may take a job.
    pub(super) fn is_assigned(&self, job: u64, set: u64) -> bool {
        let hold = self.actions.holds.get(&job);
        matches!(hold, Some(Hold::Given(holding)) if holding.set == set && holding.assigned_at.is_some())
    }

    /// Acquires offered jobs for a set, by the offers' ids; returns those that it has now.
    pub(in crate::sandbox) fn acquire(&mut self, set: u64, requests: &[u64]) -> Vec<u64> {
        let now = self.now;
        let mut granted = Vec::new();
        for hold in self.actions.holds.values_mut() {
            match hold {
                Hold::Offered { request_id, job_id, to } if requests.contains(request_id) && to.contains_key(&set) => {
                    granted.push(*request_id);
                    *hold = Hold::Given(Holding {
                        set,
                        request_id: *request_id,
                        job_id: std::mem::take(job_id),
                        given_at: now,
                        assigned_at: None,
                        started: false,
                    });
                }
                Hold::Given(holding) if holding.set == set && requests.contains(&holding.request_id) => {
                    granted.push(holding.request_id);
                }
                _ => {}
            }
        }
        granted.sort_unstable();
        granted
    }

    /// Returns what is offered to a set and acquired by nobody.
    pub(in crate::sandbox) fn offers_to(&self, set: u64) -> Vec<Entry> {
        let offers = self.actions.holds.iter().filter_map(|(job, hold)| match hold {
            Hold::Offered { request_id, to, .. } if to.contains_key(&set) => {
                self.entry(*job, EntryKind::Available, *request_id, "", None)
            }
            _ => None,
        });
        offers.collect()
    }

    /// Gives each queued job to the first set whose session announced more than it has.
    fn assign_directly(&mut self) {
        self.actions.holds.retain(|_, hold| matches!(hold, Hold::Given(_)));
        let (mut room, shut) = (self.room(), self.shut_sessions());
        if room.is_empty() && shut.is_empty() {
            return;
        }
        for (queued_at, job) in self.queued_for_sets() {
            if self.actions.trapped.contains(&job) {
                continue;
            }
            let sets = self.sets_for(job);
            if sets.iter().any(|set| shut.get(set).is_some_and(|since| *since <= queued_at)) {
                self.actions.trapped.insert(job);
                continue;
            }
            let Some(set) = sets.into_iter().find(|set| room.contains_key(set)) else { continue };
            room.entry(set).and_modify(|left| *left -= 1);
            room.retain(|_, left| *left > 0);
            let job_id = self.guid();
            let now = self.now;
            let holding = Holding { set, request_id: 0, job_id, given_at: now, assigned_at: None, started: false };
            self.actions.holds.insert(job, Hold::Given(holding));
            self.assign_acquired(job);
        }
    }

    /// Returns how many more jobs each set's session would take; those that would take none are left out.
    fn room(&self) -> BTreeMap<u64, u64> {
        let sessions = self.actions.sets.values().filter_map(|set| Some((set.id, set.session.as_ref()?.capacity?)));
        let mut room: BTreeMap<u64, u64> = sessions.map(|(set, capacity)| (set, capacity.into())).collect();
        for hold in self.actions.holds.values() {
            if let Hold::Given(holding) = hold {
                room.entry(holding.set).and_modify(|left| *left = left.saturating_sub(1));
            }
        }
        room.retain(|_, left| *left > 0);
        room
    }

    /// Returns since when sessions announce nothing, where that is a trapdoor.
    fn shut_sessions(&self) -> BTreeMap<u64, Timestamp> {
        if !self.settings.scale_sets.zero_capacity_trap {
            return BTreeMap::new();
        }
        self.actions.sets.values().filter_map(|set| Some((set.id, set.session.as_ref()?.shut_since?))).collect()
    }

    /// Offers each queued job to every set with a session that doesn't know of it; a listener of another system
    /// acquires at once.
    fn offer(&mut self) {
        let now = self.now;
        for (_, job) in self.queued_for_sets() {
            for set in self.sets_for(job) {
                let Some(session) = self.actions.sets.get(&set).and_then(|set| set.session.as_ref()) else { continue };
                let (session_id, elsewhere) = (session.id.clone(), session.elsewhere.is_some());
                let room = u64::from(session.capacity.unwrap_or_default());
                if !self.actions.holds.contains_key(&job) {
                    let job_id = self.guid();
                    let request_id = self.actions.next_request;
                    self.actions.next_request += 1;
                    self.actions.holds.insert(job, Hold::Offered { request_id, job_id, to: BTreeMap::new() });
                }
                let Some(Hold::Offered { request_id, job_id, to }) = self.actions.holds.get_mut(&job) else { break };
                let (request_id, job_id) = (*request_id, job_id.clone());
                if to.get(&set).is_none_or(|(known, _)| *known != session_id) {
                    to.insert(set, (session_id, now));
                    let named = if self.settings.scale_sets.offers_name_job { job_id.as_str() } else { "" };
                    if let Some(entry) = self.entry(job, EntryKind::Available, request_id, named, None) {
                        self.tell(set, entry);
                    }
                }
                if elsewhere && self.given_to(set) < room {
                    self.acquire(set, &[request_id]);
                }
            }
        }
    }

    fn given_to(&self, set: u64) -> u64 {
        let given = |hold: &&Hold| matches!(hold, Hold::Given(holding) if holding.set == set);
        self.actions.holds.values().filter(given).count() as u64
    }

    /// Returns the jobs that sets may get, oldest first, and since when they are queued.
    fn queued_for_sets(&self) -> Vec<(Timestamp, u64)> {
        let jobs = self.open.iter().filter_map(|id| self.jobs.get(id));
        let jobs = jobs.filter(|job| job.status == JobStatus::Queued && !job.hosted && !self.is_held(job.id));
        let mut jobs: Vec<_> = jobs.map(|job| (job.created_at, job.id)).collect();
        jobs.sort_unstable();
        jobs
    }

    /// Tells a set that a job which it was given is assigned.
    fn assign_acquired(&mut self, job: u64) {
        let now = self.now;
        let Some(Hold::Given(holding)) = self.actions.holds.get_mut(&job) else { return };
        holding.assigned_at = Some(now);
        let (set, request_id, job_id) = (holding.set, holding.request_id, holding.job_id.clone());
        if let Some(entry) = self.entry(job, EntryKind::Assigned, request_id, &job_id, Some(now)) {
            self.tell(set, entry);
        }
    }

    /// Takes an assigned job back that no runner took: it is queued again, and will have another id.
    fn lapse(&mut self, job: u64) {
        let Some(Hold::Given(holding)) = self.actions.holds.remove(&job) else { return };
        let kind = EntryKind::Completed("canceled", 0, String::new());
        if let Some(mut entry) = self.entry(job, kind, holding.request_id, &holding.job_id, holding.assigned_at) {
            entry.finished_at = Some(self.now);
            self.tell(holding.set, entry);
        }
    }

    /// Tells the sets which of their jobs started or ended, and forgets what is no job any more.
    fn note_progress(&mut self) {
        let held: Vec<u64> = self.actions.holds.keys().copied().collect();
        for id in held {
            let status = self.jobs.get(&id).map(|job| job.status);
            match (self.actions.holds.get(&id), status) {
                (Some(Hold::Given(holding)), Some(JobStatus::InProgress)) if !holding.started => self.note_start(id),
                (_, Some(JobStatus::Completed)) | (Some(Hold::Offered { .. }), Some(JobStatus::InProgress)) => {
                    self.note_end(id);
                }
                (_, None) => {
                    self.actions.holds.remove(&id);
                }
                _ => {}
            }
        }
    }

    fn note_start(&mut self, id: u64) {
        let Some(Hold::Given(holding)) = self.actions.holds.get_mut(&id) else { return };
        holding.started = true;
        let (set, request_id, job_id, at) =
            (holding.set, holding.request_id, holding.job_id.clone(), holding.assigned_at);
        let Some(given) = self.jobs.get(&id).and_then(|job| job.runner.clone()) else { return };
        let started = EntryKind::Started(given.id, given.name.clone());
        if let Some(entry) = self.entry(id, started, request_id, &job_id, at) {
            self.tell(set, entry);
        }
        if self.settings.scale_sets.completed == Completions::Early {
            let completed = EntryKind::Completed("succeeded", given.id, given.name);
            if let Some(mut entry) = self.entry(id, completed, request_id, &job_id, at) {
                entry.finished_at = Some(self.now);
                self.tell(set, entry);
            }
        }
    }

    fn note_end(&mut self, id: u64) {
        let Some(Hold::Given(holding)) = self.actions.holds.remove(&id) else { return };
        let Some(job) = self.jobs.get(&id) else { return };
        let (runner, name) = job.runner.clone().map_or((0, String::new()), |given| (given.id, given.name));
        let completed = EntryKind::Completed(result(job), runner, name);
        let entry = self.entry(id, completed, holding.request_id, &holding.job_id, holding.assigned_at);
        let Some(entry) = entry else { return };
        let settings = &self.settings.scale_sets;
        match settings.completed {
            Completions::Missing => {}
            Completions::Early if holding.started => {}
            Completions::OnTime | Completions::Early => self.tell(holding.set, entry),
            Completions::Late => self.actions.late.push((self.now + settings.completed_late_by, holding.set, entry)),
        }
    }

    fn tell(&mut self, set: u64, entry: Entry) {
        if let Some(session) = self.actions.sets.get_mut(&set).and_then(|set| set.session.as_mut()) {
            session.tell(entry);
        }
    }

    fn entry(
        &self,
        job: u64,
        kind: EntryKind,
        request_id: u64,
        job_id: &str,
        assigned_at: Option<Timestamp>,
    ) -> Option<Entry> {
        let job = self.jobs.get(&job)?;
        let run = self.runs.get(&job.run_id)?;
        Some(Entry {
            kind,
            job_id: job_id.to_owned(),
            request_id,
            repository: run.repository.clone(),
            run_id: run.id,
            workflow: run.workflow.clone(),
            name: job.name.clone(),
            labels: job.labels.clone(),
            queued_at: job.created_at,
            assigned_at,
            started_at: job.started_at,
            finished_at: job.completed_at,
        })
    }
}

/// Returns the service's word for how a job ended.
fn result(job: &Job) -> &'static str {
    match job.conclusion {
        Some("success") => "succeeded",
        Some("cancelled") => "canceled",
        _ => "failed",
    }
}
