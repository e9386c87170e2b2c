#![allow(
    clippy::must_use_candidate,
    clippy::return_self_not_must_use,
    reason = "an editor has changed the world already; it is returned for more changes"
)]
//! Organizations beside the world's own, and the enterprise that they are of.
//!
//! ```
//! # use ghascale::sandbox::World;
//! # let mut world = World::new("acme", jiff::Timestamp::now());
//! world.enterprise("megacorp");
//! world.organization("globex").without_membership();
//! world.repository("globex/api").run().job(["self-hosted", "linux", "x64"]);
//! ```

use super::group::RunnerGroup;
use super::{Scope, World};

/// An organization. What is registered at one is the own one's only; the others have repositories.
#[derive(Clone, Debug)]
pub(in crate::sandbox) struct Organization {
    pub(in crate::sandbox) id: u64,
    pub(in crate::sandbox) login: String,
    /// The token's owner is a member of it, and sees its private repositories.
    pub(in crate::sandbox) is_member: bool,
    /// It is protected by SAML, and the token is not authorized for it.
    pub(in crate::sandbox) is_protected: bool,
    /// The App's installation in it.
    pub(in crate::sandbox) installation: Option<Installation>,
}

/// An App's installation in an organization.
#[derive(Clone, Copy, Debug)]
pub(in crate::sandbox) struct Installation {
    pub(in crate::sandbox) id: u64,
    pub(in crate::sandbox) is_suspended: bool,
    /// What is left of its own hour, which ends with everybody's.
    pub(in crate::sandbox) remaining: u32,
}

impl Organization {
    pub(super) fn new(id: u64, login: &str) -> Self {
        Self { id, login: login.to_owned(), is_member: true, is_protected: false, installation: None }
    }
}

impl World {
    /// Puts all organizations into an enterprise, which has a default runner group of its own.
    pub fn enterprise(&mut self, slug: &str) {
        if self.enterprise.replace(slug.to_owned()).is_none() {
            self.groups.push(RunnerGroup::new(1, "Default", Scope::Enterprise));
        }
    }

    /// Returns an organization to change; makes it where there is none of the login.
    pub fn organization(&mut self, login: &str) -> OrganizationEditor<'_> {
        if !self.organizations.contains_key(login) {
            let id = 10_000 + self.next_id();
            self.organizations.insert(login.to_owned(), Organization::new(id, login));
        }
        OrganizationEditor { world: self, login: login.to_owned() }
    }

    /// Returns the organization that an App's installation is in. Where no installation was made, any has all the rights.
    pub(in crate::sandbox) fn installed(&self, id: u64) -> Option<&Organization> {
        self.organizations.values().find(|one| one.installation.is_some_and(|installation| installation.id == id))
    }

    /// Returns what is left of the hour, of an installation or of everybody else.
    pub(in crate::sandbox) fn remaining(&mut self, installation: Option<u64>) -> &mut u32 {
        let own = self.organizations.values_mut().filter_map(|one| one.installation.as_mut());
        let own = own.into_iter().find(|one| Some(one.id) == installation);
        own.map_or(&mut self.budget.remaining, |installation| &mut installation.remaining)
    }

    /// Returns an organization by its login, without case.
    pub(in crate::sandbox) fn organization_of(&self, login: &str) -> Option<&Organization> {
        self.organizations.values().find(|organization| organization.login.eq_ignore_ascii_case(login))
    }
}

/// An organization, to change.
#[derive(Debug)]
pub struct OrganizationEditor<'world> {
    world: &'world mut World,
    login: String,
}

impl OrganizationEditor<'_> {
    fn edit(self, change: impl FnOnce(&mut Organization)) -> Self {
        if let Some(organization) = self.world.organizations.get_mut(&self.login) {
            change(organization);
        }
        self
    }

    /// Returns its login.
    #[must_use]
    pub fn login(&self) -> &str {
        &self.login
    }

    /// Makes the token's owner no member of it: only its public repositories are shown.
    pub fn without_membership(self) -> Self {
        self.edit(|organization| organization.is_member = false)
    }

    /// Installs the App in it, which has a rate limit of its own there.
    pub fn installed(self, id: u64) -> Self {
        let remaining = self.world.budget.limit;
        self.edit(|organization| {
            organization.installation = Some(Installation { id, is_suspended: false, remaining });
        })
    }

    /// Suspends the App's installation in it.
    pub fn suspended(self) -> Self {
        self.edit(|organization| {
            if let Some(installation) = &mut organization.installation {
                installation.is_suspended = true;
            }
        })
    }

    /// Leaves the App's installation in it only so many requests of the hour.
    pub fn with_requests_left(self, requests: u32) -> Self {
        self.edit(|organization| {
            if let Some(installation) = &mut organization.installation {
                installation.remaining = requests;
            }
        })
    }

    /// Protects it by SAML, for which the token is not authorized: everything in it is refused.
    pub fn protected(self) -> Self {
        self.edit(|organization| organization.is_protected = true)
    }
}
