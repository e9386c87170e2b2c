//! The repositories of a scope.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::client::{Client, Decoded, Reply};
use super::error::{Error, ErrorKind};
use super::memory::SeenRepositories;
use super::pages::Pages;
use crate::config::Scan;
use crate::engine::{RepositoryName, Scope, SkippedRepository};
use crate::warning::{Warning, WarningCode};

/// The repositories to read, and what is missing.
#[derive(Debug, Default)]
pub(super) struct Discovered {
    pub(super) repositories: Vec<RepositoryName>,
    pub(super) skipped: Vec<SkippedRepository>,
    /// Those that anybody can see.
    pub(super) public: BTreeSet<RepositoryName>,
    pub(super) warnings: Vec<Warning>,
}

/// GitHub's repository, as far as it matters here.
#[derive(Serialize, Deserialize)]
struct Repository {
    full_name: String,
    /// Of a server's internal repositories it is true, too.
    private: Option<bool>,
    archived: Option<bool>,
    disabled: Option<bool>,
}

/// Lists the repositories of a scope (GET /orgs/{org}/repos, GET /repos/{owner}/{repo}).
///
/// # Errors
/// Not even the first page could be read.
pub(super) async fn discover(client: &Client, scope: &Scope, settings: &Scan) -> Result<Discovered, Error> {
    let mut found = Discovered::default();
    match scope {
        Scope::Repository(name) => {
            // Named by the configuration: it is read whatever the globs say.
            let repository: Repository = client.read(&format!("/repos/{name}")).await?.value;
            found.sort_in(repository, None);
        }
        Scope::Organization(organization) => {
            let path = format!("/orgs/{organization}/repos");
            // A stable order: with `sort=updated` a push during the listing moves entries across pages.
            let mut pages = Pages::new(client, &path, "type=all&sort=full_name");
            let mut first = true;
            loop {
                match pages.next::<Repository>().await {
                    Ok(Some(page)) => {
                        if page.unreadable > 0 {
                            let said = format!("{} repositories could not be read from the list", page.unreadable);
                            found.warnings.push(Warning::new(WarningCode::EntryUnreadable, path.as_str(), said));
                        }
                        for repository in page.items {
                            found.sort_in(repository, Some(settings));
                        }
                    }
                    Ok(None) => break,
                    Err(error) if first => return Err(error),
                    Err(error) => {
                        found.warnings.push(Warning::new(WarningCode::DiscoveryFailed, path, error.to_string()));
                        break;
                    }
                }
                first = false;
            }
        }
        Scope::Enterprise(name) => {
            return Err(Error {
                kind: ErrorKind::NotFound,
                request: format!("GET /enterprises/{name}"),
                status: None,
                message: "GitHub has no list of an enterprise's repositories".to_owned(),
                request_id: None,
            });
        }
    }
    found.repositories.sort();
    found.repositories.dedup();
    Ok(found)
}

impl Decoded for Repository {
    fn decode(reply: &Reply) -> Result<Self, Error> {
        reply.decode()
    }

    fn is_whole(&self) -> bool {
        true
    }
}

impl Discovered {
    /// Adds the repositories of an earlier list that are not in this one.
    pub(super) fn add(&mut self, earlier: Option<SeenRepositories>) {
        let is_new = |name: &RepositoryName| !self.skipped.iter().any(|skipped| skipped.repository == *name);
        let Some(earlier) = earlier else { return };
        let repositories: Vec<_> = earlier.repositories.into_iter().filter(is_new).collect();
        self.public.extend(earlier.public.into_iter().filter(|name| repositories.contains(name)));
        self.repositories.extend(repositories);
        self.repositories.sort();
        self.repositories.dedup();
    }

    fn sort_in(&mut self, repository: Repository, settings: Option<&Scan>) {
        let name = RepositoryName::new(repository.full_name.as_str());
        if !is_path(&repository.full_name) {
            let said = "not a repository's name";
            self.warnings.push(Warning::new(WarningCode::EntryUnreadable, repository.full_name, said));
            return;
        }
        if repository.private == Some(false) {
            self.public.insert(name.clone());
        }
        let reason = if repository.archived == Some(true) {
            Some("archived")
        } else if repository.disabled == Some(true) {
            Some("disabled")
        } else if settings.is_some_and(|settings| !is_wanted(&name, settings)) {
            Some("excluded")
        } else {
            None
        };
        match reason {
            None => self.repositories.push(name),
            Some(reason) => self.skipped.push(SkippedRepository { repository: name, reason: reason.to_owned() }),
        }
    }
}

/// Returns whether the globs want a repository; they are held against `owner/name` and against `name`.
fn is_wanted(name: &RepositoryName, settings: &Scan) -> bool {
    let short = name.as_str().rsplit('/').next().unwrap_or_default();
    let matches = |globs: &globset::GlobSet| globs.is_match(name.as_str()) || globs.is_match(short);
    matches(&settings.include) && !matches(&settings.exclude)
}

/// Returns whether a name can stand in an address as it is: two segments of the characters that GitHub allows.
pub(super) fn is_path(name: &str) -> bool {
    let is_segment = |segment: &str| {
        !segment.is_empty()
            && segment != ".."
            && segment.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    let segments: Vec<&str> = name.split('/').collect();
    segments.len() == 2 && segments.into_iter().all(is_segment)
}
