//! Runner groups, and which repositories may use them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::client::Client;
use super::error::Error;
use super::installations::no_business;
use super::pages::Pages;
use super::runners::actions;
use crate::engine::{RepositoryName, Scope};

/// A runner group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunnerGroup {
    /// GitHub's id; the same with the Actions Service.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Who may use it.
    pub visibility: Visibility,
    /// Whether public repositories may, too; `true` where GitHub doesn't say.
    pub allows_public: bool,
}

/// Which of the scope's repositories may use a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// All of them.
    All,
    /// All that are not public.
    Private,
    /// These.
    Selected(BTreeSet<RepositoryName>),
    /// Those of these organizations, as far as the enterprise has a say: each may narrow it down.
    Organizations(BTreeSet<String>),
    /// GitHub didn't say.
    Unknown,
}

impl RunnerGroup {
    /// Returns whether a repository's jobs may run in the group; `None` where that isn't known. Repositories' names have
    /// no case.
    #[must_use]
    pub fn admits(&self, repository: &RepositoryName, is_public: bool) -> Option<bool> {
        if is_public && !self.allows_public {
            return Some(false);
        }
        match &self.visibility {
            Visibility::All => Some(true),
            Visibility::Private => Some(!is_public),
            Visibility::Selected(repositories) => Some(repositories.iter().any(|one| one.is_same(repository))),
            Visibility::Organizations(logins) => {
                let owner = repository.as_str().split('/').next().unwrap_or_default();
                Some(logins.iter().any(|login| login.eq_ignore_ascii_case(owner)))
            }
            Visibility::Unknown => None,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Listed {
    id: u64,
    name: Option<String>,
    visibility: Option<String>,
    allows_public_repositories: Option<bool>,
}

#[derive(Serialize, Deserialize)]
struct Repository {
    full_name: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Organization {
    login: Option<String>,
}

/// Lists the runner groups of an organization (GET /orgs/{org}/actions/runner-groups, …/{id}/repositories) or of an
/// enterprise (GET /enterprises/{enterprise}/actions/runner-groups, …/{id}/organizations).
///
/// A repository has only the default group, which it may use.
///
/// # Errors
/// A list could not be read whole: what is missing from it could be the answer.
pub async fn runner_groups(client: &Client, scope: &Scope) -> Result<Vec<RunnerGroup>, Error> {
    if let Scope::Repository(_) = scope {
        let name = "Default".to_owned();
        return Ok(vec![RunnerGroup { id: 1, name, visibility: Visibility::All, allows_public: true }]);
    }
    if let Some(error) = no_business(client, scope) {
        return Err(error);
    }
    let path = format!("{}/runner-groups", actions(scope));
    let mut groups = Vec::new();
    let mut pages = Pages::new(client, &path, "");
    while let Some(page) = pages.next::<Listed>().await? {
        for listed in page.items {
            let visibility = match (scope, listed.visibility.as_deref()) {
                (Scope::Organization(_) | Scope::Enterprise(_), Some("all")) => Visibility::All,
                (Scope::Organization(_), Some("private")) => Visibility::Private,
                (Scope::Organization(_), Some("selected")) => {
                    Visibility::Selected(selected(client, &format!("{path}/{}/repositories", listed.id)).await?)
                }
                (Scope::Enterprise(_), Some("selected")) => Visibility::Organizations(
                    organizations(client, &format!("{path}/{}/organizations", listed.id)).await?,
                ),
                _ => Visibility::Unknown,
            };
            groups.push(RunnerGroup {
                id: listed.id,
                name: listed.name.unwrap_or_default(),
                visibility,
                allows_public: listed.allows_public_repositories.unwrap_or(true),
            });
        }
    }
    Ok(groups)
}

async fn selected(client: &Client, path: &str) -> Result<BTreeSet<RepositoryName>, Error> {
    let mut repositories = BTreeSet::new();
    let mut pages = Pages::new(client, path, "");
    while let Some(page) = pages.next::<Repository>().await? {
        repositories.extend(page.items.into_iter().filter_map(|one| one.full_name).map(RepositoryName::new));
    }
    Ok(repositories)
}

async fn organizations(client: &Client, path: &str) -> Result<BTreeSet<String>, Error> {
    let mut logins = BTreeSet::new();
    let mut pages = Pages::new(client, path, "");
    while let Some(page) = pages.next::<Organization>().await? {
        logins.extend(page.items.into_iter().filter_map(|one| one.login));
    }
    Ok(logins)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(visibility: Visibility, allows_public: bool) -> RunnerGroup {
        RunnerGroup { id: 2, name: "gpu".into(), visibility, allows_public }
    }

    #[test]
    fn a_group_admits_by_its_visibility_and_by_whether_it_is_open_to_public_repositories() {
        let api = RepositoryName::from("acme/api");
        let selected = Visibility::Selected(BTreeSet::from(["Acme/API".into()]));
        for (visibility, allows_public, is_public, admits) in [
            (Visibility::All, true, true, Some(true)),
            (Visibility::All, false, true, Some(false)),
            (Visibility::All, false, false, Some(true)),
            (Visibility::Private, true, true, Some(false)),
            (Visibility::Private, true, false, Some(true)),
            (selected.clone(), true, false, Some(true)),
            (selected, false, true, Some(false)),
            (Visibility::Selected(BTreeSet::new()), true, false, Some(false)),
            (Visibility::Organizations(BTreeSet::from(["ACME".into()])), true, false, Some(true)),
            (Visibility::Organizations(BTreeSet::from(["ACME".into()])), false, true, Some(false)),
            (Visibility::Organizations(BTreeSet::from(["globex".into()])), true, false, Some(false)),
            (Visibility::Unknown, true, false, None),
        ] {
            let group = group(visibility, allows_public);
            assert_eq!(group.admits(&api, is_public), admits, "{group:?} {is_public}");
        }
    }
}
