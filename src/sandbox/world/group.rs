#![allow(
    clippy::must_use_candidate,
    clippy::return_self_not_must_use,
    reason = "an editor has changed the world already; it is returned for more changes"
)]
//! Runner groups, and which repositories may use them.

use std::collections::BTreeSet;

use super::{Repository, World};

/// A runner group.
#[derive(Clone, Debug)]
pub(in crate::sandbox) struct RunnerGroup {
    pub(in crate::sandbox) id: u64,
    pub(in crate::sandbox) name: String,
    pub(in crate::sandbox) visibility: Visibility,
    pub(in crate::sandbox) allows_public: bool,
}

/// Which of the organization's repositories may use a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sandbox) enum Visibility {
    /// Every one.
    All,
    /// Every private one.
    Private,
    /// Those, by their full names.
    Selected(BTreeSet<String>),
}

impl RunnerGroup {
    /// Returns a group that every repository may use.
    pub(super) fn new(id: u64, name: &str) -> Self {
        Self { id, name: name.to_owned(), visibility: Visibility::All, allows_public: true }
    }

    /// Returns whether a repository may use it.
    pub(in crate::sandbox) fn admits(&self, repository: &Repository) -> bool {
        let visible = match &self.visibility {
            Visibility::All => true,
            Visibility::Private => repository.private,
            Visibility::Selected(names) => names.contains(&repository.full_name),
        };
        visible && (repository.private || self.allows_public)
    }
}

impl World {
    /// Makes a runner group and returns its id.
    pub fn runner_group(&mut self, name: &str) -> u64 {
        let id = self.next_id() + 1;
        self.groups.push(RunnerGroup::new(id, name));
        id
    }

    /// Returns a runner group to change; makes it where there is none of the name.
    pub fn group(&mut self, name: &str) -> RunnerGroupEditor<'_> {
        let id = match self.group_named(name) {
            Some(group) => group.id,
            None => self.runner_group(name),
        };
        RunnerGroupEditor { world: self, id }
    }

    /// Returns a group by its name, without case.
    pub(in crate::sandbox) fn group_named(&self, name: &str) -> Option<&RunnerGroup> {
        self.groups.iter().find(|group| group.name.eq_ignore_ascii_case(name))
    }

    /// Returns a group by its id.
    pub(in crate::sandbox) fn group_of(&self, id: u64) -> Option<&RunnerGroup> {
        self.groups.iter().find(|group| group.id == id)
    }

    /// Returns whether a repository may use a group.
    pub(super) fn may_use(&self, repository: &str, group: u64) -> bool {
        let repository = self.repositories.get(repository);
        self.group_of(group).zip(repository).is_some_and(|(group, repository)| group.admits(repository))
    }
}

/// A runner group, to change.
#[derive(Debug)]
pub struct RunnerGroupEditor<'world> {
    world: &'world mut World,
    id: u64,
}

impl RunnerGroupEditor<'_> {
    fn edit(self, change: impl FnOnce(&mut RunnerGroup)) -> Self {
        if let Some(group) = self.world.groups.iter_mut().find(|group| group.id == self.id) {
            change(group);
        }
        self
    }

    /// Opens it to every repository.
    pub fn for_all(self) -> Self {
        self.edit(|group| group.visibility = Visibility::All)
    }

    /// Opens it to private repositories only.
    pub fn for_private(self) -> Self {
        self.edit(|group| group.visibility = Visibility::Private)
    }

    /// Opens it to some repositories only, which are made where they aren't there.
    pub fn for_selected<N: AsRef<str>>(self, repositories: impl IntoIterator<Item = N>) -> Self {
        let names = repositories.into_iter().map(|name| self.world.repository(name.as_ref()).name().to_owned());
        let names = names.collect();
        self.edit(|group| group.visibility = Visibility::Selected(names))
    }

    /// Closes it to public repositories, whatever else is said of them.
    pub fn without_public_repositories(self) -> Self {
        self.edit(|group| group.allows_public = false)
    }

    /// Returns its id.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }
}
