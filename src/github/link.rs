//! What a person pastes to ask about a job: the address of a job or of a run, as a page or in the API, or an id alone.
//!
//! Nothing is ever sent to such an address: it is taken apart, and held against the one that is configured.

use http::Uri;

use super::repositories::is_path;
use crate::config;
use crate::engine::{JobId, RepositoryName, RunId, Scope};

/// What was asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// A job.
    Job(RepositoryName, JobId),
    /// A run, and with it all of its jobs.
    Run(RepositoryName, RunId),
    /// An id alone: of a job or of a run.
    Id(u64),
}

/// Why a text names no job that could be looked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Neither an id nor an address of a job or a run.
    #[error("this is not the address of a job or a run, and not an id")]
    Unreadable,
    /// It holds a user's name or password, which is not repeated here.
    #[error("this address holds credentials")]
    Credentials,
    /// It is on another server.
    #[error("this address is on {host}, and the configuration is for {configured}")]
    OtherHost {
        /// The address's.
        host: String,
        /// Ours.
        configured: String,
    },
    /// It is of a repository that is not in the scope.
    #[error("{repository} is not in the scope {scope}")]
    OtherScope {
        /// The address's.
        repository: RepositoryName,
        /// Ours.
        scope: Scope,
    },
}

impl Link {
    /// Reads `https://github.com/acme/api/actions/runs/1/job/2`, `…/runs/1/attempts/2`, `…/api/v3/repos/acme/api/…`, `2`.
    ///
    /// Queries, fragments (`#step:3:1`) and what pages append to an address are passed over.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub fn parse(text: &str, github: &config::Github) -> Result<Self, LinkError> {
        let text = text.trim();
        if !text.is_empty() && text.chars().all(|c| c.is_ascii_digit()) {
            return text.parse().ok().filter(|id| *id > 0).map(Self::Id).ok_or(LinkError::Unreadable);
        }
        let bare = text.split(['?', '#']).next().unwrap_or_default();
        if !bare.contains('/') {
            return Err(LinkError::Unreadable);
        }
        let whole = if bare.contains("://") { bare.to_owned() } else { format!("https://{bare}") };
        let uri: Uri = whole.parse().map_err(|_| LinkError::Unreadable)?;
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(LinkError::Credentials);
        }
        if !matches!(uri.scheme_str(), Some("https" | "http")) || uri.host().is_none_or(str::is_empty) {
            return Err(LinkError::Unreadable);
        }
        let link = Self::of_path(in_repositories(&uri, github)?).ok_or(LinkError::Unreadable)?;
        match &link {
            Self::Job(repository, _) | Self::Run(repository, _) if !is_in(repository, &github.scope) => {
                Err(LinkError::OtherScope { repository: repository.clone(), scope: github.scope.clone() })
            }
            Self::Job(..) | Self::Run(..) | Self::Id(_) => Ok(link),
        }
    }

    /// Reads what stands behind the host, or behind the API's `/repos`.
    fn of_path(path: &str) -> Option<Self> {
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let [owner, name, ref rest @ ..] = segments[..] else { return None };
        let full_name = format!("{owner}/{name}");
        if !is_path(&full_name) {
            return None;
        }
        let repository = RepositoryName::new(full_name);
        let id = |text: &str| text.parse::<u64>().ok().filter(|id| *id > 0);
        match *rest {
            // A job's id is the id of its check run.
            ["actions", "runs", _, "job", job]
            | ["actions", "runs", _, "attempts", _, "job", job]
            | ["actions", "jobs", job]
            | ["runs" | "check-runs", job] => Some(Self::Job(repository, JobId(id(job)?))),
            ["actions", "runs", run]
            | ["actions", "runs", run, "jobs" | "workflow" | "usage"]
            | ["actions", "runs", run, "attempts", _]
            | ["actions", "runs", run, "attempts", _, "jobs"] => Some(Self::Run(repository, RunId(id(run)?))),
            _ => None,
        }
    }
}

/// Returns the part of an address that begins with a repository's owner.
fn in_repositories<'a>(uri: &'a Uri, github: &config::Github) -> Result<&'a str, LinkError> {
    let other = |configured: &Uri| LinkError::OtherHost { host: server(uri), configured: server(configured) };
    let (Ok(pages), Ok(api)) = (github.url.parse::<Uri>(), github.api_url.parse::<Uri>()) else {
        return Err(LinkError::Unreadable);
    };
    let base = format!("{}/repos/", api.path().trim_end_matches('/'));
    match uri.path().strip_prefix(&base) {
        Some(rest) if server(uri) == server(&api) => Ok(rest),
        _ if server(uri) == server(&pages) => Ok(uri.path()),
        _ if server(uri) == server(&api) => Err(LinkError::Unreadable),
        _ => Err(other(&pages)),
    }
}

/// Returns host and port without what changes nothing: case, the usual port, github.com's `www`.
fn server(uri: &Uri) -> String {
    let authority = uri.authority().map_or("", |authority| authority.as_str()).to_lowercase();
    let authority = authority.trim_end_matches(":443");
    if authority == "www.github.com" { "github.com".to_owned() } else { authority.to_owned() }
}

/// Returns whether a scope has a repository; of an enterprise nobody can say without asking.
fn is_in(repository: &RepositoryName, scope: &Scope) -> bool {
    let owner = repository.as_str().split('/').next().unwrap_or_default();
    match scope {
        Scope::Organization(name) => owner.eq_ignore_ascii_case(name),
        Scope::Repository(name) => repository.is_same(name),
        Scope::Enterprise(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Credentials, Github};

    fn github(url: &str, api_url: &str, scope: Scope) -> Github {
        let credentials = Credentials::Token("secret".to_owned().into());
        Github { url: url.into(), scope, api_url: api_url.into(), credentials, ca_pem: None }
    }

    fn acme() -> Github {
        github("https://github.com/acme", "https://api.github.com", Scope::Organization("acme".into()))
    }

    fn server() -> Github {
        let url = "https://ghe.example:8443/acme";
        github(url, "https://ghe.example:8443/api/v3", Scope::Organization("acme".into()))
    }

    fn job(id: u64) -> Link {
        Link::Job("acme/api".into(), JobId(id))
    }

    fn run(id: u64) -> Link {
        Link::Run("acme/api".into(), RunId(id))
    }

    #[test]
    fn every_address_that_names_a_job_is_read() {
        for text in [
            "https://github.com/acme/api/actions/runs/10/job/7",
            " https://github.com/acme/api/actions/runs/10/job/7 ",
            "https://github.com/acme/api/actions/runs/10/job/7?pr=3#step:2:1",
            "https://www.GitHub.com:443/acme/api/actions/runs/10/attempts/2/job/7/",
            "github.com/acme/api/actions/runs/10/job/7",
            "https://github.com/acme/api/runs/7?check_suite_focus=true",
            "https://api.github.com/repos/acme/api/actions/jobs/7",
            "https://api.github.com/repos/acme/api/check-runs/7",
        ] {
            assert_eq!(Link::parse(text, &acme()), Ok(job(7)), "{text}");
        }
        for text in [
            "https://ghe.example:8443/acme/api/actions/runs/10/job/7",
            "https://ghe.example:8443/api/v3/repos/acme/api/actions/jobs/7",
        ] {
            assert_eq!(Link::parse(text, &server()), Ok(job(7)), "{text}");
        }
        let url = "https://corp.ghe.com/acme";
        let corp = github(url, "https://api.corp.ghe.com", Scope::Organization("acme".into()));
        for text in [
            "https://corp.ghe.com/acme/api/actions/runs/10/job/7",
            "https://api.corp.ghe.com/repos/acme/api/actions/jobs/7",
        ] {
            assert_eq!(Link::parse(text, &corp), Ok(job(7)), "{text}");
        }
    }

    #[test]
    fn every_address_that_names_a_run_is_read() {
        for text in [
            "https://github.com/acme/api/actions/runs/10",
            "https://github.com/acme/api/actions/runs/10/attempts/2",
            "https://github.com/acme/api/actions/runs/10/workflow",
            "https://api.github.com/repos/acme/api/actions/runs/10/jobs?filter=latest",
            "https://api.github.com/repos/acme/api/actions/runs/10/attempts/1/jobs",
        ] {
            assert_eq!(Link::parse(text, &acme()), Ok(run(10)), "{text}");
        }
        assert_eq!(Link::parse("42", &acme()), Ok(Link::Id(42)));
    }

    #[test]
    fn what_names_no_job_is_refused() {
        for text in [
            "",
            "0",
            "99999999999999999999",
            "-7",
            "test",
            "https://github.com/acme/api",
            "https://github.com/acme/api/actions",
            "https://github.com/acme/api/actions/runs/x/job/y",
            "https://github.com/acme/api/actions/runs/10/job/0",
            "https://github.com/acme/../actions/runs/10",
            "https://github.com/acme/a%2Fpi/actions/runs/10",
            "https://api.github.com/orgs/acme/actions/runs/10",
            "ftp://github.com/acme/api/actions/runs/10",
        ] {
            assert_eq!(Link::parse(text, &acme()), Err(LinkError::Unreadable), "{text}");
        }
    }

    #[test]
    fn another_server_is_not_asked() {
        for (text, host) in [
            ("https://ghe.example/acme/api/actions/runs/10", "ghe.example"),
            ("https://github.com:8443/acme/api/actions/runs/10", "github.com:8443"),
            ("https://github.com.evil.example/acme/api/actions/runs/10", "github.com.evil.example"),
        ] {
            let refused = LinkError::OtherHost { host: host.into(), configured: "github.com".into() };
            assert_eq!(Link::parse(text, &acme()), Err(refused), "{text}");
        }
    }

    #[test]
    fn another_scope_is_not_looked_into() {
        let text = "https://github.com/other/api/actions/runs/10";
        assert!(matches!(Link::parse(text, &acme()), Err(LinkError::OtherScope { .. })));
        let one = github("https://github.com/acme/web", "https://api.github.com", Scope::Repository("acme/web".into()));
        let text = "https://github.com/acme/api/actions/runs/10";
        assert!(matches!(Link::parse(text, &one), Err(LinkError::OtherScope { .. })));
        let text = "https://github.com/ACME/Web/actions/runs/10";
        assert_eq!(Link::parse(text, &one), Ok(Link::Run("ACME/Web".into(), RunId(10))), "GitHub's names have no case");
    }

    #[test]
    fn credentials_in_an_address_are_refused_and_not_repeated() {
        let refused = Link::parse("https://me:hunter2@github.com/acme/api/actions/runs/10", &acme()).unwrap_err();
        assert_eq!(refused, LinkError::Credentials);
        assert!(!refused.to_string().contains("hunter2"));
    }
}
