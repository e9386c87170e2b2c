#![allow(
    clippy::must_use_candidate,
    clippy::return_self_not_must_use,
    reason = "an editor has changed the world already; it is returned for more changes"
)]
//! Runner groups, and which repositories may use them.

use std::collections::BTreeSet;

use super::{Repository, Scope, World};

/// A runner group.
#[derive(Clone, Debug)]
pub(in crate::sandbox) struct RunnerGroup {
    pub(in crate::sandbox) id: u64,
    pub(in crate::sandbox) name: String,
    /// Whose it is: the enterprise's, or the organization's.
    pub(in crate::sandbox) scope: Scope,
    pub(in crate::sandbox) visibility: Visibility,
    pub(in crate::sandbox) allows_public: bool,
}

/// Which repositories may use a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sandbox) enum Visibility {
    /// Every one.
    All,
    /// Every private one.
    Private,
    /// Those, by their full names.
    Selected(BTreeSet<String>),
    /// Every one of those organizations.
    Organizations(BTreeSet<String>),
}

impl RunnerGroup {
    /// Returns a group that every repository of a scope may use.
    pub(super) fn new(id: u64, name: &str, scope: Scope) -> Self {
        Self { id, name: name.to_owned(), scope, visibility: Visibility::All, allows_public: true }
    }

    /// Returns whether it is its scope's default group.
    pub(in crate::sandbox) fn is_default(&self) -> bool {
        self.id == 1
    }

    /// Returns whether a repository may use it.
    pub(in crate::sandbox) fn admits(&self, repository: &Repository) -> bool {
        let visible = match &self.visibility {
            Visibility::All => true,
            Visibility::Private => repository.private,
            Visibility::Selected(names) => names.contains(&repository.full_name),
            Visibility::Organizations(logins) => logins.contains(owner_of(&repository.full_name)),
        };
        visible && (repository.private || self.allows_public)
    }
}

impl World {
    /// Makes a runner group and returns its id.
    pub fn runner_group(&mut self, name: &str) -> u64 {
        let id = self.next_id() + 1;
        self.groups.push(RunnerGroup::new(id, name, Scope::Organization));
        id
    }

    /// Returns a runner group to change; makes it where there is none of the name.
    pub fn group(&mut self, name: &str) -> RunnerGroupEditor<'_> {
        let id = match self.group_named(name) {
            Some(group) => group.id,
            None => self.runner_group(name),
        };
        RunnerGroupEditor { world: self, id, scope: Scope::Organization }
    }

    /// Returns a runner group of the enterprise to change; makes it where there is none of the name.
    pub fn enterprise_group(&mut self, name: &str) -> RunnerGroupEditor<'_> {
        let known = self.groups_at(&Scope::Enterprise).find(|group| group.name.eq_ignore_ascii_case(name));
        let known = known.map(|group| group.id);
        let id = known.unwrap_or_else(|| {
            let id = self.next_id() + 1;
            self.groups.push(RunnerGroup::new(id, name, Scope::Enterprise));
            id
        });
        RunnerGroupEditor { world: self, id, scope: Scope::Enterprise }
    }

    /// Returns the groups of a scope; a repository has the default group only.
    pub(in crate::sandbox) fn groups_at(&self, scope: &Scope) -> impl Iterator<Item = &RunnerGroup> {
        self.groups.iter().filter(move |group| match scope {
            Scope::Repository(_) => group.scope == Scope::Organization && group.is_default(),
            scope => group.scope == *scope,
        })
    }

    /// Returns a group of the organization by its name, without case.
    pub(in crate::sandbox) fn group_named(&self, name: &str) -> Option<&RunnerGroup> {
        self.groups_at(&Scope::Organization).find(|group| group.name.eq_ignore_ascii_case(name))
    }

    /// Returns a group of a scope by its id; the default group's is 1 in each.
    pub(in crate::sandbox) fn group_at(&self, scope: &Scope, id: u64) -> Option<&RunnerGroup> {
        self.groups_at(scope).find(|group| group.id == id)
    }

    /// Returns whether what is registered at a scope, in a group of it, may have a repository's jobs.
    pub(super) fn serves(&self, scope: &Scope, group: u64, repository: &str) -> bool {
        let is_admitted = || {
            let repository = self.repositories.get(repository);
            self.group_at(scope, group).zip(repository).is_some_and(|(group, repository)| group.admits(repository))
        };
        match scope {
            Scope::Repository(name) => name == repository,
            Scope::Organization => is_admitted(),
            Scope::Enterprise => self.organizations.contains_key(owner_of(repository)) && is_admitted(),
        }
    }
}

/// Returns the owner in a repository's full name.
fn owner_of(repository: &str) -> &str {
    repository.split('/').next().unwrap_or_default()
}

/// A runner group, to change.
#[derive(Debug)]
pub struct RunnerGroupEditor<'world> {
    world: &'world mut World,
    id: u64,
    scope: Scope,
}

impl RunnerGroupEditor<'_> {
    fn edit(self, change: impl FnOnce(&mut RunnerGroup)) -> Self {
        let mut groups = self.world.groups.iter_mut();
        if let Some(group) = groups.find(|group| group.id == self.id && group.scope == self.scope) {
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

    /// Opens it to some organizations of the enterprise only.
    pub fn for_organizations<N: AsRef<str>>(self, logins: impl IntoIterator<Item = N>) -> Self {
        let logins = logins.into_iter().map(|login| self.world.organization(login.as_ref()).login().to_owned());
        let logins = logins.collect();
        self.edit(|group| group.visibility = Visibility::Organizations(logins))
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
