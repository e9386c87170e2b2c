#![allow(
    clippy::must_use_candidate,
    clippy::return_self_not_must_use,
    reason = "an editor has changed the world already; it is returned for more changes"
)]
//! Scale sets as tests and scenarios make and disturb them, and the listener of another system that may hold one.
//!
//! ```
//! # use ghascale::sandbox::World;
//! # let mut world = World::new("acme", jiff::Timestamp::now());
//! let id = world.scale_set("gpu").labels(["self-hosted", "gpu"]).listened(5).with_runners(2).id();
//! ```

use super::scale_set::{Lie, ScaleSet, ScaleSetWish};
use super::session::Session;
use super::{Runner, Scope, World};
use crate::engine::Statistics;

impl World {
    /// Returns the organization's scale set of a name to change; makes it where there is none, in the default group,
    /// with its name as its only label.
    pub fn scale_set(&mut self, name: &str) -> ScaleSetEditor<'_> {
        self.scale_set_at(&Scope::Organization, name)
    }

    /// Returns the enterprise's scale set of a name to change; makes it where there is none.
    pub fn enterprise_scale_set(&mut self, name: &str) -> ScaleSetEditor<'_> {
        self.scale_set_at(&Scope::Enterprise, name)
    }

    /// Returns a repository's scale set of a name to change; makes either where there is none.
    pub fn repository_scale_set(&mut self, repository: &str, name: &str) -> ScaleSetEditor<'_> {
        let repository = self.repository(repository).name().to_owned();
        self.scale_set_at(&Scope::Repository(repository), name)
    }

    fn scale_set_at(&mut self, scope: &Scope, name: &str) -> ScaleSetEditor<'_> {
        let known = self.scale_sets(scope).find(|set| set.name.eq_ignore_ascii_case(name)).map(|set| set.id);
        let id = known.unwrap_or_else(|| {
            let wish = ScaleSetWish {
                name: Some(name.to_owned()),
                labels: Some(vec![name.to_owned()]),
                ..ScaleSetWish::default()
            };
            self.create_scale_set(scope, wish).expect("a name that is free, in the default group")
        });
        ScaleSetEditor { world: self, id }
    }

    /// Returns what the service says of a scale set of the organization; `None`: there is none of the name.
    #[must_use]
    pub fn statistics_of(&self, name: &str) -> Option<Statistics> {
        let set = self.scale_sets(&Scope::Organization).find(|set| set.name.eq_ignore_ascii_case(name))?;
        Some(self.statistics(set.id))
    }

    /// Returns who holds the session of a scale set of the organization.
    #[must_use]
    pub fn session_owner(&self, name: &str) -> Option<String> {
        let set = self.scale_sets(&Scope::Organization).find(|set| set.name.eq_ignore_ascii_case(name))?;
        set.session.as_ref().map(|session| session.owner.clone())
    }

    /// Returns how many polls are held at a scale set of the organization.
    #[must_use]
    pub fn polls_held(&self, name: &str) -> u32 {
        let set = self.scale_sets(&Scope::Organization).find(|set| set.name.eq_ignore_ascii_case(name));
        set.and_then(|set| set.session.as_ref()).map_or(0, |session| session.polls)
    }

    /// Makes up the runners of the listeners of other systems: each time one is gone with its job, another comes.
    pub(super) fn keep_runners_elsewhere(&mut self) {
        let kept = self.actions.sets.values().filter_map(|set| {
            let wanted = set.session.as_ref()?.elsewhere?;
            let there = self.runners_of_set(set.id).filter(|runner| runner.name.starts_with(ELSEWHERE)).count();
            let missing = (wanted as usize).saturating_sub(there);
            Some((set.id, set.group_id, set.scope.clone(), set.labels.clone(), missing))
        });
        for (set, group_id, scope, labels, missing) in kept.collect::<Vec<_>>() {
            for _ in 0..missing {
                let name = format!("{ELSEWHERE}{}", &self.guid()[..5]);
                let id = self.next_id();
                let runner = Runner {
                    id,
                    name,
                    labels: labels.iter().map(|label| label.to_lowercase()).collect(),
                    group_id,
                    scope: scope.clone(),
                    scale_set: Some(set),
                    ephemeral: true,
                    online: true,
                    since: self.now,
                };
                self.runners.insert(id, runner);
            }
        }
    }
}

/// How the names of another system's runners begin.
const ELSEWHERE: &str = "arc-";

/// A scale set, to change.
#[derive(Debug)]
pub struct ScaleSetEditor<'world> {
    world: &'world mut World,
    id: u64,
}

impl ScaleSetEditor<'_> {
    fn edit(self, change: impl FnOnce(&mut ScaleSet)) -> Self {
        if let Some(set) = self.world.actions.sets.get_mut(&self.id) {
            change(set);
        }
        self
    }

    /// Gives it labels, in place of those that it has.
    pub fn labels<L: Into<String>>(self, labels: impl IntoIterator<Item = L>) -> Self {
        let labels = labels.into_iter().map(Into::into).collect();
        self.edit(|set| set.labels = labels)
    }

    /// Moves it to a runner group of its scope, which is made where it isn't there.
    pub fn group(self, name: &str) -> Self {
        let is_enterprises = self.world.scale_set_of(self.id).is_some_and(|set| set.scope == Scope::Enterprise);
        let group = if is_enterprises { self.world.enterprise_group(name) } else { self.world.group(name) };
        let id = group.id();
        self.edit(|set| set.group_id = id)
    }

    /// Lets the listener of another system hold its session for ever, inside the world: it announces a capacity, and
    /// acquires and acknowledges by itself. It has no runners: see [`Self::with_runners`].
    pub fn listened(self, capacity: u32) -> Self {
        let id = self.world.guid();
        let now = self.world.now;
        let edited = self.edit(|set| {
            let mut session = Session::new(id, "arc-listener", now);
            session.capacity = Some(capacity);
            session.elsewhere = Some(0);
            set.session = Some(session);
        });
        edited.settled()
    }

    /// Gives the listener of another system so many online runners, which run one job each and are replaced.
    pub fn with_runners(self, runners: u32) -> Self {
        let edited = self.edit(|set| {
            if let Some(session) = set.session.as_mut().filter(|session| session.elsewhere.is_some()) {
                session.elsewhere = Some(runners);
            }
        });
        edited.settled()
    }

    fn settled(self) -> Self {
        let now = self.world.now;
        self.world.step(now);
        self
    }

    /// Ends its session, whoever holds it: a pod was evicted, the broker forgot it.
    pub fn without_session(self) -> Self {
        self.edit(|set| set.session = None)
    }

    /// Lets its statistics stick at these counts, whatever happens.
    pub fn statistics_stuck_at(self, statistics: Statistics) -> Self {
        self.edit(|set| set.lie = Some(Lie::Stuck(statistics)))
    }

    /// Lets its statistics stick at zero, beside jobs that are assigned (ARC#3420).
    pub fn statistics_stuck_at_zero(self) -> Self {
        self.statistics_stuck_at(Statistics::default())
    }

    /// Lets its statistics show so many more assigned jobs than there are (ARC#4397).
    pub fn statistics_too_high(self, by: u64) -> Self {
        self.edit(|set| set.lie = Some(Lie::TooHigh(by)))
    }

    /// Lets its statistics tell the truth again.
    pub fn statistics_true(self) -> Self {
        self.edit(|set| set.lie = None)
    }

    /// Lets a message come that holds statistics and nothing else.
    pub fn tell_statistics(self) -> Self {
        self.edit(|set| {
            if let Some(session) = &mut set.session {
                session.tell_statistics();
            }
        })
    }

    /// Takes it away, as incidents do (ARC#4370): its runners' records stay.
    pub fn vanish(self) {
        self.world.vanish_scale_set(self.id);
    }

    /// Takes it away and makes one of the same name, group and labels, which has another id and no session.
    pub fn recreate(mut self) -> Self {
        let Some(set) = self.world.scale_set_of(self.id) else { return self };
        let scope = set.scope.clone();
        let wish = ScaleSetWish {
            name: Some(set.name.clone()),
            group_id: Some(set.group_id),
            labels: Some(set.labels.clone()),
            disable_update: Some(set.disable_update),
        };
        self.world.vanish_scale_set(self.id);
        if let Ok(id) = self.world.create_scale_set(&scope, wish) {
            self.id = id;
        }
        self
    }

    /// Returns its id.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }
}
