//! Runner scale sets: how they are made, changed and deleted, and what is counted of them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::dispatch::{Hold, Holding};
use super::grant::{Grant, Scope};
use super::session::{Entry, Session};
use super::{JobStatus, World, can_run};
use crate::engine::Statistics;

/// What the Actions Service keeps.
#[derive(Clone, Debug)]
pub(in crate::sandbox) struct ActionsService {
    pub(super) sets: BTreeMap<u64, ScaleSet>,
    /// The jobs that are offered or given to sets.
    pub(super) holds: BTreeMap<u64, Hold>,
    /// The jobs that fell through the trapdoor ([`super::ScaleSetSettings::zero_capacity_trap`]).
    pub(super) trapped: BTreeSet<u64>,
    /// What sets will be told, and when.
    pub(super) late: Vec<(Timestamp, u64, Entry)>,
    pub(super) grants: BTreeMap<String, (Grant, Timestamp)>,
    /// The number in the service's URL.
    pub(super) tenant: u32,
    pub(super) next_set: u64,
    pub(super) next_request: u64,
    pub(super) next_guid: u64,
}

impl Default for ActionsService {
    fn default() -> Self {
        Self {
            sets: BTreeMap::new(),
            holds: BTreeMap::new(),
            trapped: BTreeSet::new(),
            late: Vec::new(),
            grants: BTreeMap::new(),
            tenant: 1,
            next_set: 1,
            next_request: 512,
            next_guid: 1,
        }
    }
}

/// A runner scale set.
#[derive(Clone, Debug)]
pub(in crate::sandbox) struct ScaleSet {
    pub(in crate::sandbox) id: u64,
    pub(in crate::sandbox) name: String,
    pub(in crate::sandbox) group_id: u64,
    /// Where it is.
    pub(in crate::sandbox) scope: Scope,
    pub(in crate::sandbox) labels: Vec<String>,
    pub(in crate::sandbox) disable_update: bool,
    pub(in crate::sandbox) created_at: Timestamp,
    pub(in crate::sandbox) session: Option<Session>,
    pub(super) lie: Option<Lie>,
    /// How many messages it has had.
    pub(super) messages: u64,
}

/// What is said of a set in place of what is counted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lie {
    /// These counts, for ever.
    Stuck(Statistics),
    /// So many more assigned jobs than there are.
    TooHigh(u64),
}

/// What a set shall be; `None` is left as it is.
#[derive(Clone, Debug, Default)]
pub(in crate::sandbox) struct ScaleSetWish {
    pub(in crate::sandbox) name: Option<String>,
    pub(in crate::sandbox) group_id: Option<u64>,
    pub(in crate::sandbox) labels: Option<Vec<String>>,
    pub(in crate::sandbox) disable_update: Option<bool>,
}

/// Why a set was not made, changed or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sandbox) enum ScaleSetRefused {
    /// It has no name.
    Nameless,
    /// There is no such runner group.
    NoGroup(u64),
    /// Another set of the group has the name.
    NameTaken {
        /// The name.
        name: String,
        /// The group's name.
        group: String,
    },
    /// There is no such set.
    Absent,
    /// A runner of the set has a job.
    Running,
}

impl World {
    /// Returns the sets of a scope.
    pub(in crate::sandbox) fn scale_sets(&self, scope: &Scope) -> impl Iterator<Item = &ScaleSet> {
        self.actions.sets.values().filter(move |set| set.scope == *scope)
    }

    /// Returns every set.
    pub(in crate::sandbox) fn all_scale_sets(&self) -> impl Iterator<Item = &ScaleSet> {
        self.actions.sets.values()
    }

    /// Returns a set by its id.
    pub(in crate::sandbox) fn scale_set_of(&self, id: u64) -> Option<&ScaleSet> {
        self.actions.sets.get(&id)
    }

    /// Makes a set and returns its id.
    pub(in crate::sandbox) fn create_scale_set(
        &mut self,
        scope: &Scope,
        wish: ScaleSetWish,
    ) -> Result<u64, ScaleSetRefused> {
        let name = wish.name.filter(|name| !name.is_empty()).ok_or(ScaleSetRefused::Nameless)?;
        let group_id = wish.group_id.unwrap_or(1);
        self.check_place(None, scope, &name, group_id)?;
        let id = self.actions.next_set;
        self.actions.next_set += 1;
        let set = ScaleSet {
            id,
            name,
            group_id,
            scope: scope.clone(),
            labels: self.kept_labels(wish.labels.unwrap_or_default()),
            disable_update: wish.disable_update.unwrap_or_default(),
            created_at: self.now,
            session: None,
            lie: None,
            messages: 0,
        };
        self.actions.sets.insert(id, set);
        Ok(id)
    }

    /// Changes a set.
    pub(in crate::sandbox) fn update_scale_set(&mut self, id: u64, wish: ScaleSetWish) -> Result<(), ScaleSetRefused> {
        let set = self.actions.sets.get(&id).ok_or(ScaleSetRefused::Absent)?;
        let name = wish.name.filter(|name| !name.is_empty()).unwrap_or_else(|| set.name.clone());
        let group_id = wish.group_id.unwrap_or(set.group_id);
        let scope = set.scope.clone();
        self.check_place(Some(id), &scope, &name, group_id)?;
        let labels = wish.labels.map(|labels| self.kept_labels(labels));
        let set = self.actions.sets.get_mut(&id).ok_or(ScaleSetRefused::Absent)?;
        set.name = name;
        set.group_id = group_id;
        set.labels = labels.unwrap_or_else(|| std::mem::take(&mut set.labels));
        set.disable_update = wish.disable_update.unwrap_or(set.disable_update);
        Ok(())
    }

    fn check_place(&self, id: Option<u64>, scope: &Scope, name: &str, group_id: u64) -> Result<(), ScaleSetRefused> {
        let group = self.group_at(scope, group_id);
        let group = group.ok_or(ScaleSetRefused::NoGroup(group_id))?;
        let taken = self
            .scale_sets(scope)
            .any(|set| Some(set.id) != id && set.group_id == group_id && set.name.eq_ignore_ascii_case(name));
        if taken {
            return Err(ScaleSetRefused::NameTaken { name: name.to_owned(), group: group.name.clone() });
        }
        Ok(())
    }

    fn kept_labels(&self, mut labels: Vec<String>) -> Vec<String> {
        if self.settings.scale_sets.first_label_only {
            labels.truncate(1);
        }
        labels
    }

    /// Deletes a set: its waiting jobs go back to the queue, and its runners' records go.
    pub(in crate::sandbox) fn delete_scale_set(&mut self, id: u64) -> Result<(), ScaleSetRefused> {
        if !self.actions.sets.contains_key(&id) {
            return Err(ScaleSetRefused::Absent);
        }
        let runners: Vec<_> = self.runners_of_set(id).map(|runner| runner.id).collect();
        if runners.iter().any(|runner| self.job_on(*runner).is_some()) {
            return Err(ScaleSetRefused::Running);
        }
        for runner in runners {
            // Not one of them has a job.
            let _ = self.remove_runner(runner);
        }
        self.vanish_scale_set(id);
        Ok(())
    }

    /// Takes a set away as an incident does: its runners' records stay, and find no jobs any more.
    pub(super) fn vanish_scale_set(&mut self, id: u64) {
        self.actions.sets.remove(&id);
        self.actions.late.retain(|(_, set, _)| *set != id);
        for hold in self.actions.holds.values_mut() {
            if let Hold::Offered { to, .. } = hold {
                to.remove(&id);
            }
        }
        self.actions.holds.retain(|_, hold| !matches!(hold, Hold::Given(holding) if holding.set == id));
    }

    /// Returns what the service says of a set's jobs and runners.
    pub(in crate::sandbox) fn statistics(&self, id: u64) -> Statistics {
        let truth = self.true_statistics(id);
        match self.actions.sets.get(&id).and_then(|set| set.lie) {
            None => truth,
            Some(Lie::Stuck(statistics)) => statistics,
            Some(Lie::TooHigh(by)) => Statistics { assigned: truth.assigned + by, ..truth },
        }
    }

    fn true_statistics(&self, id: u64) -> Statistics {
        let mut statistics = Statistics::default();
        for (job, hold) in &self.actions.holds {
            match hold {
                Hold::Offered { to, .. } => statistics.available += u64::from(to.contains_key(&id)),
                Hold::Given(Holding { set, assigned_at, .. }) if *set == id => {
                    if assigned_at.is_none() {
                        statistics.acquired += 1;
                    } else {
                        statistics.assigned += 1;
                        let status = self.jobs.get(job).map(|job| job.status);
                        statistics.running += u64::from(status == Some(JobStatus::InProgress));
                    }
                }
                Hold::Given(_) => {}
            }
        }
        let busy = self.busy_runners();
        for runner in self.runners_of_set(id) {
            statistics.registered += 1;
            match (runner.online, busy.contains(&runner.id)) {
                (true, true) => statistics.busy += 1,
                (true, false) => statistics.idle += 1,
                (false, _) => {}
            }
        }
        statistics
    }

    /// Returns the records of a set's runners.
    pub(super) fn runners_of_set(&self, id: u64) -> impl Iterator<Item = &super::Runner> {
        self.runners.values().filter(move |runner| runner.scale_set == Some(id))
    }

    /// Returns the sets that a job could go to: with all its labels, in a group that its repository may use.
    pub(super) fn sets_for(&self, job: u64) -> Vec<u64> {
        let Some(job) = self.jobs.get(&job) else { return Vec::new() };
        let Some(run) = self.runs.get(&job.run_id) else { return Vec::new() };
        let takes = |set: &&ScaleSet| {
            self.serves(&set.scope, set.group_id, &run.repository) && can_run(&job.labels, &set.labels)
        };
        self.actions.sets.values().filter(takes).map(|set| set.id).collect()
    }

    /// Returns the number in the service's URL.
    pub(in crate::sandbox) fn tenant(&self) -> u32 {
        self.actions.tenant
    }

    /// Moves the service to another URL: the old one answers no more.
    pub(in crate::sandbox) fn move_service(&mut self) {
        self.actions.tenant += 1;
    }
}

impl ActionsService {
    /// Makes everything older: hands every time that it keeps to `older`.
    pub(super) fn each_time(&mut self, mut older: impl FnMut(&mut Timestamp)) {
        for set in self.sets.values_mut() {
            older(&mut set.created_at);
            if let Some(session) = &mut set.session {
                session.each_time(&mut older);
            }
        }
        for hold in self.holds.values_mut() {
            match hold {
                Hold::Offered { to, .. } => to.values_mut().for_each(|(_, at)| older(at)),
                Hold::Given(holding) => {
                    older(&mut holding.given_at);
                    holding.assigned_at.as_mut().map(&mut older);
                }
            }
        }
        for (at, _, entry) in &mut self.late {
            older(at);
            entry.each_time(&mut older);
        }
        self.grants.values_mut().for_each(|(_, until)| older(until));
    }
}
