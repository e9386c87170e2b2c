//! The repositories of an organization.

use std::collections::{BTreeMap, BTreeSet};

use futures::channel::mpsc::UnboundedSender;
use futures::{StreamExt as _, stream};
use globset::GlobBuilder;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::client::{Client, Decoded, Reply};
use super::error::Error;
use super::memory::{Memory, SeenRepositories};
use super::pages::{Page, Pages};
use crate::config::Scan;
use crate::engine::{RepositoryName, SkippedRepository};
use crate::warning::{Warning, WarningCode};

/// The repositories to read, and what is missing.
#[derive(Debug, Default)]
pub(super) struct Discovered {
    pub(super) repositories: Vec<RepositoryName>,
    pub(super) skipped: Vec<SkippedRepository>,
    /// Those to read that would be skipped, if they had no run in progress at the last look.
    pub(super) closed: Vec<SkippedRepository>,
    /// Those that anybody can see.
    pub(super) public: BTreeSet<RepositoryName>,
    /// Those to read, by GitHub's ids, where something asks for them.
    pub(super) ids: BTreeMap<u64, RepositoryName>,
    pub(super) warnings: Vec<Warning>,
    /// A repository could be missing.
    pub(super) is_missing: bool,
    /// When that was listed which was not listed now.
    pub(super) listed: Option<Timestamp>,
}

/// GitHub's repository, as far as it matters here.
#[derive(Serialize, Deserialize)]
struct Repository {
    /// By which webhooks name it.
    id: Option<u64>,
    full_name: String,
    /// Of a server's internal repositories it is true, too.
    private: Option<bool>,
    archived: Option<bool>,
    disabled: Option<bool>,
}

/// Reads the one repository of a scope (GET /repos/{owner}/{repo}): named by the configuration, it is read whatever the
/// globs say.
pub(super) async fn one(client: &Client, name: &RepositoryName) -> Result<Discovered, Error> {
    let mut found = Discovered::default();
    found.sort_in(client.read(&format!("/repos/{name}")).await?.value, None);
    Ok(found)
}

/// Hears of repositories that are to be read as soon as they are listed, while the list goes on.
pub(super) type Ahead = UnboundedSender<Vec<RepositoryName>>;

/// Lists the repositories of an organization (GET /orgs/{org}/repos).
///
/// # Errors
/// Not even the first page could be read.
pub(super) async fn of_organization(
    client: &Client,
    login: &str,
    settings: &Scan,
    ahead: Option<&Ahead>,
) -> Result<Discovered, Error> {
    let mut found = Discovered::default();
    let path = format!("/orgs/{login}/repos");
    // A stable order: with `sort=updated` a push during the listing moves entries across pages.
    let mut pages = Pages::new(client, &path, "type=all&sort=full_name");
    let first = pages.next::<Repository>().await?;
    found.take_in(&path, Ok(first), settings, ahead);
    let between = stream::iter(pages.at_once()).map(async |mut page| page.next::<Repository>().await);
    let last = stream::once(pages.next::<Repository>());
    let mut reads = Box::pin(stream::select(between.buffered(AT_ONCE), last));
    let mut goes_on = true;
    while let Some(read) = reads.next().await {
        // Beside a page that is lost, others may be lost for the same reason: a limit, an outage. It is said once.
        if goes_on || read.is_ok() {
            goes_on &= found.take_in(&path, read, settings, ahead);
        }
    }
    drop(reads);
    while goes_on {
        goes_on = found.take_in(&path, pages.next::<Repository>().await, settings, ahead);
    }
    found.order();
    Ok(found)
}

/// Pages of one list that are read at once; each can be half a megabyte.
const AT_ONCE: usize = 16;

impl Decoded for Repository {
    fn decode(reply: &Reply) -> Result<Self, Error> {
        reply.decode()
    }

    fn is_whole(&self) -> bool {
        true
    }
}

impl Discovered {
    /// Takes in what came of a page; returns whether another may follow.
    fn take_in(
        &mut self,
        path: &str,
        read: Result<Option<Page<Repository>>, Error>,
        settings: &Scan,
        ahead: Option<&Ahead>,
    ) -> bool {
        match read {
            Ok(Some(page)) => {
                let known = self.repositories.len();
                if page.unreadable > 0 {
                    let said = format!("{} repositories could not be read from the list", page.unreadable);
                    self.warnings.push(Warning::new(WarningCode::EntryUnreadable, path, said));
                }
                for repository in page.items {
                    self.sort_in(repository, Some(settings));
                }
                if let Some(ahead) = ahead {
                    // Nobody hears it any more where the scan was given up.
                    let _ = ahead.unbounded_send(self.repositories[known..].to_vec());
                }
                true
            }
            Ok(None) => false,
            Err(error) => {
                self.warnings.push(Warning::new(WarningCode::DiscoveryFailed, path, error.to_string()));
                false
            }
        }
    }

    /// Adds the repositories of an earlier list that are not in this one.
    pub(super) fn add(&mut self, earlier: Option<SeenRepositories>) {
        let is_new = |name: &RepositoryName| !self.skipped.iter().any(|skipped| skipped.repository == *name);
        let Some(earlier) = earlier else { return };
        let repositories: Vec<_> = earlier.repositories.into_iter().filter(is_new).collect();
        self.public.extend(earlier.public.into_iter().filter(|name| repositories.contains(name)));
        self.repositories.extend(repositories);
        self.ids.extend(earlier.ids);
        self.order();
    }

    /// Goes on reading what was archived or disabled while a run of it was in progress: until that has ended, a job of it can
    /// have a runner.
    pub(super) fn follow(&mut self, memory: Memory<'_>) {
        let may_run = |name: &RepositoryName| {
            memory.repository(name).is_some_and(|seen| seen.may_run(memory.now).next().is_some())
        };
        let is_closed = |one: &SkippedRepository| one.reason != "excluded" && may_run(&one.repository);
        let (closed, skipped) = std::mem::take(&mut self.skipped).into_iter().partition(is_closed);
        (self.closed, self.skipped) = (closed, skipped);
        self.repositories.extend(self.closed.iter().map(|one| one.repository.clone()));
        self.order();
    }

    /// Adds what was found elsewhere.
    pub(super) fn extend(&mut self, other: Self) {
        let Self { repositories, skipped, closed, public, ids, warnings, is_missing, listed } = other;
        self.closed.extend(closed);
        self.repositories.extend(repositories);
        self.skipped.extend(skipped);
        self.public.extend(public);
        self.ids.extend(ids);
        self.warnings.extend(warnings);
        self.is_missing |= is_missing;
        self.listed = [self.listed, listed].into_iter().flatten().min();
        self.order();
    }

    fn order(&mut self) {
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
            None => {
                let is_asked_for = settings.is_some_and(|settings| settings.organization_hook.is_some());
                self.ids.extend(repository.id.filter(|_| is_asked_for).map(|id| (id, name.clone())));
                self.repositories.push(name);
            }
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

/// Returns whether the globs can want any of an owner's repositories; a pattern that can't be told by its owner can.
pub(super) fn is_owner_wanted(owner: &str, settings: &Scan) -> bool {
    let (include, exclude) = &settings.patterns;
    let is_of_owner = |part: &str| {
        let glob = GlobBuilder::new(part).case_insensitive(true).build();
        glob.is_ok_and(|glob| glob.compile_matcher().is_match(owner))
    };
    let can_include = |pattern: &String| split(pattern).is_none_or(|(part, _)| is_of_owner(part));
    let excludes_all =
        |pattern: &String| split(pattern).is_some_and(|(part, rest)| ["*", "**"].contains(&rest) && is_of_owner(part));
    include.iter().any(can_include) && !exclude.iter().any(excludes_all)
}

/// Splits a pattern into the owner's part and the repository's; `None` where it has not just these two.
fn split(pattern: &str) -> Option<(&str, &str)> {
    // A wildcard can stand for a slash, too: but a name has one, and that is the pattern's own.
    let (owner, name) = pattern.split_once('/')?;
    (!name.contains('/') && !pattern.contains(['[', '{', '\\'])).then_some((owner, name))
}

/// Returns whether a name can stand in an address as it is: two segments of the characters that GitHub allows.
pub(super) fn is_path(name: &str) -> bool {
    let segments: Vec<&str> = name.split('/').collect();
    segments.len() == 2 && segments.into_iter().all(is_segment)
}

/// Returns whether a name can be one segment of an address as it is.
pub(super) fn is_segment(segment: &str) -> bool {
    !segment.is_empty()
        && segment != "."
        && segment != ".."
        && segment.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(include: &[&str], exclude: &[&str]) -> Scan {
        let texts = |patterns: &[&str]| patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        Scan { patterns: (texts(include), texts(exclude)), ..Scan::of_every_repository().unwrap() }
    }

    #[test]
    fn an_owner_is_left_out_only_where_no_repository_of_it_can_be_wanted() {
        for (include, exclude, is_wanted) in [
            (&["*"][..], &[][..], true),
            (&["acme/*"], &[], true),
            (&["ACME/api"], &[], true),
            (&["ac*/api"], &[], true),
            (&["globex/*"], &[], false),
            (&["globex/*", "api"], &[], true),
            (&["{globex,acme}/*"], &[], true),
            (&["*"], &["acme/*"], false),
            (&["*"], &["Acme/**"], false),
            (&["*"], &["a*/*"], false),
            (&["*"], &["acme/api"], true),
            (&["*"], &["acme/?"], true),
            (&["*"], &["*-old"], true),
            (&["*"], &["globex/*"], true),
        ] {
            assert_eq!(is_owner_wanted("acme", &settings(include, exclude)), is_wanted, "{include:?} {exclude:?}");
        }
    }

    #[test]
    fn only_what_is_a_path_is_asked_for() {
        for name in ["acme", "acme/", "acme/..", "./api", "acme/a/b", "acme/a b", "acme/a%2f"] {
            assert!(!is_path(name), "{name}");
        }
        assert!(is_path("acme/.github"));
    }
}
