//! Which repositories a scan reads: those of the scope's organizations, and of earlier lists where one is lost.
//!
//! An organization that can't be listed is never taken for an empty one: it is named, and what was found without it is
//! a lower bound.

use futures::StreamExt as _;
use futures::stream;
use jiff::Timestamp;

use super::client::Client;
use super::error::{Error, ErrorKind};
use super::memory::{Memory, SeenRepositories};
use super::organizations::{Organizations, organizations};
use super::repositories::{self, Ahead, Discovered, is_owner_wanted};
use super::scan::{passes, unasked_code};
use crate::ages::{age, short};
use crate::config::Scan;
use crate::engine::{RepositoryName, Scope, SkippedRepository};
use crate::warning::{Warning, WarningCode};

/// Where repositories are looked for.
#[derive(Clone, Copy)]
pub(super) struct Discovery<'a> {
    pub(super) client: &'a Client,
    pub(super) settings: &'a Scan,
    pub(super) memory: Memory<'a>,
    /// A list of a short while ago will do: not everything will be looked at anyway.
    holds: bool,
    /// Who hears of repositories before their list is whole.
    ahead: Option<&'a Ahead>,
}

impl<'a> Discovery<'a> {
    /// Returns who looks for the repositories of a share of the scope.
    pub(super) fn new(client: &'a Client, settings: &'a Scan, share: &Scope, now: Timestamp) -> Self {
        let memory = Memory::of(client, now);
        let is_in_turns = memory.last_scan(share).is_some_and(|last| !last.whole);
        let holds = is_in_turns && client.looks_every().is_some() && !settings.full;
        Self { client, settings, memory, holds, ahead: None }
    }

    /// Lets somebody hear of repositories before their list is whole.
    pub(super) fn telling(self, ahead: Option<&'a Ahead>) -> Self {
        Self { ahead, ..self }
    }
}

impl Discovery<'_> {
    /// Lists the repositories of a scope.
    ///
    /// # Errors
    /// None at all could be listed, and none are known from before.
    pub(super) async fn of(self, scope: &Scope) -> Result<Discovered, Error> {
        let Scope::Enterprise(enterprise) = scope else {
            return self.of_owner(scope).await.or_else(|error| {
                let earlier = self.earlier(scope).filter(|_| passes(&error));
                let Some((ago, mut found)) = earlier else { return Err(error) };
                let said = format!("the list of {ago} ago is used: {error}");
                let is_asked = !error.kind.ends_asking();
                let code = if is_asked { WarningCode::DiscoveryFailed } else { unasked_code(&error) };
                found.warnings.push(Warning::new(code, "repositories", said));
                Ok(found)
            });
        };
        let Organizations { members, mut warnings } = organizations(self.client, enterprise).await?;
        let mut found = Discovered { is_missing: !warnings.is_empty(), ..Discovered::default() };
        let (wanted, others): (Vec<_>, Vec<_>) =
            members.into_iter().partition(|(login, _)| is_owner_wanted(login, self.settings));
        found.skipped = others.into_iter().map(|(login, _)| skipped(&login)).collect();
        for (login, _) in wanted.iter().filter(|(_, is_member)| !is_member) {
            found.is_missing = true;
            warnings.push(no_member(login));
        }
        found.warnings.append(&mut warnings);
        found.extend(self.of_organizations(wanted.into_iter().map(|(login, _)| login).collect()).await?);
        Ok(found)
    }

    /// Lists the repositories of several organizations, each by itself.
    ///
    /// # Errors
    /// None of them could be listed, and none are known from before.
    pub(super) async fn of_organizations(self, logins: Vec<String>) -> Result<Discovered, Error> {
        let all = logins.len();
        let mut lists: Vec<(Scope, Result<Discovered, Error>)> = stream::iter(logins)
            .map(async |login| {
                let scope = Scope::Organization(login);
                let list = self.of_owner(&scope).await;
                (scope, list)
            })
            .buffer_unordered(self.settings.concurrency.max(1))
            .collect()
            .await;
        lists.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut found = Discovered::default();
        let (mut unasked, mut known, mut lost) = (0, 0, Vec::new());
        for (scope, list) in lists {
            let error = match list {
                Ok(listed) => {
                    found.extend(listed);
                    continue;
                }
                Err(error) if error.kind == ErrorKind::Unauthorized => return Err(error),
                Err(error) => error,
            };
            let earlier = self.earlier(&scope).filter(|_| passes(&error));
            unasked += usize::from(error.kind.ends_asking());
            if !error.kind.ends_asking() {
                let instead = match &earlier {
                    Some((ago, _)) => format!("those of {ago} ago are looked at"),
                    None => "they are missing".to_owned(),
                };
                let said = format!("its repositories could not be listed, and {instead}: {error}");
                found.warnings.push(Warning::new(WarningCode::OrganizationFailed, scope.to_string(), said));
            }
            if let Some((_, earlier)) = earlier {
                known += 1;
                found.extend(earlier);
            }
            lost.push(error);
        }
        if let Some(error) = lost.iter().find(|error| error.kind.ends_asking()) {
            let said = format!("the repositories of {unasked} organizations could not be listed: {error}");
            found.warnings.push(Warning::new(unasked_code(error), "repositories", said));
        }
        found.is_missing |= !lost.is_empty();
        if lost.len() == all && known == 0 && !lost.is_empty() {
            return Err(lost.swap_remove(0));
        }
        Ok(found)
    }

    /// Lists the repositories of an organization, or reads the one of the scope.
    async fn of_owner(self, scope: &Scope) -> Result<Discovered, Error> {
        let globs = &self.settings.patterns;
        if let Some(recent) = self.memory.recent_repositories(scope, globs).filter(|_| self.holds) {
            return Ok(Discovered { listed: Some(recent.at), ..recent.into() });
        }
        let list = match scope {
            Scope::Repository(name) => repositories::one(self.client, name).await,
            Scope::Organization(login) | Scope::Enterprise(login) => {
                repositories::of_organization(self.client, login, self.settings, self.ahead).await
            }
        };
        let mut found = list?;
        if found.warnings.is_empty() {
            let (repositories, skipped) = (found.repositories.clone(), found.skipped.clone());
            let (at, public, ids) = (self.memory.now, found.public.clone(), found.ids.clone());
            self.memory.keep_repositories(scope, globs, &SeenRepositories { at, repositories, skipped, public, ids });
        }
        if found.warnings.iter().any(|warning| warning.code.is_partial()) {
            found.is_missing = true;
            // What stood on the page that was lost is most likely still there, and can be looked at.
            found.add(self.memory.repositories(scope, globs));
        }
        Ok(found)
    }

    /// Returns what an earlier scan listed, and how long ago. A repository that was made since could be missing.
    fn earlier(&self, scope: &Scope) -> Option<(String, Discovered)> {
        let earlier = self.memory.repositories(scope, &self.settings.patterns)?;
        let ago = short(age(self.memory.now, earlier.at));
        Some((ago, Discovered { is_missing: true, ..earlier.into() }))
    }
}

impl From<SeenRepositories> for Discovered {
    fn from(SeenRepositories { repositories, skipped, public, ids, .. }: SeenRepositories) -> Self {
        Self { repositories, skipped, public, ids, ..Self::default() }
    }
}

/// Says that all of an organization is left out, as its repositories would be.
pub(super) fn skipped(login: &str) -> SkippedRepository {
    SkippedRepository { repository: RepositoryName::new(format!("{login}/*")), reason: "excluded".to_owned() }
}

/// Says that an App sees only some of an organization's repositories.
pub(super) fn not_selected(login: &str) -> SkippedRepository {
    SkippedRepository { repository: RepositoryName::new(format!("{login}/*")), reason: "not_selected".to_owned() }
}

fn no_member(login: &str) -> Warning {
    let said = format!(
        "the credentials' owner is no member of it, so its private repositories are missing: join it, or leave it out \
        with `scan.exclude = [\"{login}/*\"]`"
    );
    Warning::new(WarningCode::OrganizationFailed, login, said)
}
