//! GitHub's JSON documents, with every field that its `OpenAPI` description requires.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::sandbox::world::{
    Installation, Job, JobStatus, Organization, Repository, Run, Runner, RunnerGroup, Scope, Visibility, World,
};

/// Writes documents whose addresses begin with one base.
#[derive(Clone, Copy, Debug)]
pub(super) struct Documents<'a> {
    pub(super) world: &'a World,
    /// Scheme, host and port.
    pub(super) base: &'a str,
}

impl Documents<'_> {
    /// Returns an address of the REST API.
    fn api(&self, path: &str) -> String {
        format!("{}/api/v3{path}", self.base)
    }

    /// Returns an organization as lists show it.
    pub(super) fn simple_organization(&self, organization: &Organization) -> Value {
        let Organization { id, login, .. } = organization;
        let url = self.api(&format!("/orgs/{login}"));
        json!({
            "login": login, "id": id, "node_id": node_id("O", *id), "url": url,
            "repos_url": format!("{url}/repos"), "events_url": format!("{url}/events"),
            "hooks_url": format!("{url}/hooks"), "issues_url": format!("{url}/issues"),
            "members_url": format!("{url}/members{{/member}}"),
            "public_members_url": format!("{url}/public_members{{/member}}"),
            "avatar_url": format!("{}/avatars/{login}", self.base), "description": null,
        })
    }

    /// Returns an organization with all that its own page shows.
    pub(super) fn organization(&self, organization: &Organization) -> Value {
        let mut document = self.simple_organization(organization);
        let login = &organization.login;
        let more = json!({
            "name": login, "has_organization_projects": true, "has_repository_projects": true, "public_repos": 0,
            "public_gists": 0, "followers": 0, "following": 0, "html_url": format!("{}/{login}", self.base),
            "type": "Organization", "created_at": LONG_AGO, "updated_at": LONG_AGO, "archived_at": null,
        });
        if let (Value::Object(document), Value::Object(more)) = (&mut document, more) {
            document.extend(more);
        }
        document
    }

    /// Returns an App's installation.
    pub(super) fn installation(&self, organization: &Organization, installation: Installation) -> Value {
        let Installation { id, is_suspended, .. } = installation;
        let url = self.api(&format!("/app/installations/{id}"));
        json!({
            "id": id, "account": self.owner(&organization.login), "app_id": 1, "app_slug": "ghascale",
            "access_tokens_url": format!("{url}/access_tokens"),
            "repositories_url": self.api("/installation/repositories"),
            "html_url": format!("{}/organizations/{}/settings/installations/{id}", self.base, organization.login),
            "target_id": organization.id, "target_type": "Organization", "repository_selection": "all",
            "permissions": { "actions": "read", "metadata": "read" }, "events": [], "single_file_name": null,
            "created_at": LONG_AGO, "updated_at": LONG_AGO,
            "suspended_at": is_suspended.then_some(LONG_AGO),
            "suspended_by": is_suspended.then(|| self.owner(&organization.login)),
        })
    }

    pub(super) fn owner(&self, login: &str) -> Value {
        let id = self.world.organization_of(login).map_or(ORGANIZATION_ID, |organization| organization.id);
        let mut owner = json!({
            "login": login, "id": id, "node_id": node_id("O", id),
            "avatar_url": format!("{}/avatars/{login}", self.base), "gravatar_id": "",
            "url": self.api(&format!("/users/{login}")), "html_url": format!("{}/{login}", self.base),
            "type": "Organization", "site_admin": false,
        });
        for (field, rest) in [
            ("followers_url", "/followers"),
            ("following_url", "/following{/other_user}"),
            ("gists_url", "/gists{/gist_id}"),
            ("starred_url", "/starred{/owner}{/repo}"),
            ("subscriptions_url", "/subscriptions"),
            ("organizations_url", "/orgs"),
            ("repos_url", "/repos"),
            ("events_url", "/events{/privacy}"),
            ("received_events_url", "/received_events"),
        ] {
            owner[field] = self.api(&format!("/users/{login}{rest}")).into();
        }
        owner
    }

    /// Returns a repository as lists and runs show it.
    pub(super) fn repository(&self, repository: &Repository) -> Value {
        let (owner, name) = repository.full_name.split_once('/').unwrap_or(("", ""));
        let mut document = json!({
            "id": repository.id, "node_id": node_id("R", repository.id), "name": name,
            "full_name": repository.full_name, "private": repository.private,
            "html_url": format!("{}/{}", self.base, repository.full_name), "description": null, "fork": false,
            "url": self.api(&format!("/repos/{}", repository.full_name)), "archived": repository.archived,
            "disabled": repository.disabled, "visibility": if repository.private { "private" } else { "public" },
            "default_branch": "main", "pushed_at": time(repository.pushed_at),
            "created_at": time(repository.created_at), "updated_at": time(repository.pushed_at),
        });
        document["owner"] = self.owner(owner);
        for (field, rest) in REPOSITORY_ADDRESSES {
            document[field] = self.api(&format!("/repos/{}{rest}", repository.full_name)).into();
        }
        document
    }

    /// Returns a repository with all that its own page shows.
    pub(super) fn whole_repository(&self, repository: &Repository) -> Value {
        let mut document = self.repository(repository);
        let address = format!("{}/{}.git", self.base, repository.full_name);
        let more = json!({
            "git_url": address, "ssh_url": address, "clone_url": address, "svn_url": address, "mirror_url": null,
            "homepage": null, "language": null, "forks_count": 0, "stargazers_count": 0, "watchers_count": 0,
            "size": 0, "open_issues_count": 0, "has_issues": true, "has_projects": true, "has_wiki": true,
            "has_pages": false, "has_downloads": true, "has_discussions": false, "subscribers_count": 0,
            "network_count": 0, "license": null, "forks": 0, "open_issues": 0, "watchers": 0,
        });
        if let (Value::Object(document), Value::Object(more)) = (&mut document, more) {
            document.extend(more);
        }
        document
    }

    /// Returns a run.
    pub(super) fn run(&self, run: &Run) -> Value {
        let status = self.world.run_status(run);
        let path = format!("/repos/{}/actions/runs/{}", run.repository, run.id);
        let url = self.api(&path);
        let repository = self.world.repositories.get(&run.repository);
        let repository = repository.map_or(Value::Null, |repository| self.repository(repository));
        let owner = self.owner(&self.world.organization);
        let sha = format!("{:040x}", run.id);
        let workflow = 5_000_000 + run.id % 7;
        let person = json!({ "name": "octocat", "email": "octocat@example.com" });
        let mut document = json!({
            "id": run.id, "name": run.workflow, "node_id": node_id("WFR", run.id), "head_branch": "main",
            "head_sha": sha, "path": format!(".github/workflows/{}.yml", run.workflow), "display_title": "a change",
            "run_number": run.number, "run_attempt": run.attempt, "event": "push", "status": status.as_str(),
            "conclusion": self.conclusion(run), "workflow_id": workflow, "check_suite_id": run.id + 1,
            "check_suite_node_id": node_id("CS", run.id + 1), "url": url,
            "html_url": format!("{}/{}/actions/runs/{}", self.base, run.repository, run.id), "pull_requests": [],
            "created_at": time(run.created_at), "updated_at": time(run.updated_at),
            "run_started_at": time(run.started_at),
            "jobs_url": format!("{url}/jobs"), "logs_url": format!("{url}/logs"),
            "check_suite_url": self.api(&format!("/repos/{}/check-suites/{}", run.repository, run.id + 1)),
            "artifacts_url": format!("{url}/artifacts"), "cancel_url": format!("{url}/cancel"),
            "rerun_url": format!("{url}/rerun"), "previous_attempt_url": null, "referenced_workflows": [],
            "workflow_url": self.api(&format!("/repos/{}/actions/workflows/{workflow}", run.repository)),
            "head_commit": {
                "id": sha, "tree_id": sha, "message": "a change", "timestamp": time(run.created_at), "author": person,
                "committer": person,
            },
        });
        // Moved in: the macro would copy all of each once more, and lists of runs are what is asked for most.
        for (field, value) in [
            ("actor", owner.clone()),
            ("triggering_actor", owner),
            ("repository", repository.clone()),
            ("head_repository", repository),
        ] {
            document[field] = value;
        }
        document
    }

    /// Returns how a run ended: `failure` if any of its jobs did.
    pub(super) fn conclusion(&self, run: &Run) -> Option<&'static str> {
        if self.world.run_status(run) != JobStatus::Completed {
            return None;
        }
        let conclusions: Vec<_> = self.world.jobs_of(run).filter_map(|job| job.conclusion).collect();
        Some(["failure", "cancelled"].into_iter().find(|bad| conclusions.contains(bad)).unwrap_or("success"))
    }

    /// Returns a job.
    pub(super) fn job(&self, run: &Run, job: &Job) -> Value {
        let url = self.api(&format!("/repos/{}/actions/jobs/{}", run.repository, job.id));
        let given = job.runner.as_ref();
        json!({
            "id": job.id, "run_id": job.run_id, "workflow_name": run.workflow, "head_branch": "main",
            "run_url": self.api(&format!("/repos/{}/actions/runs/{}", run.repository, run.id)),
            "run_attempt": job.attempt, "node_id": node_id("CR", job.id), "head_sha": format!("{:040x}", run.id),
            "url": url,
            "html_url": format!("{}/{}/actions/runs/{}/job/{}", self.base, run.repository, run.id, job.id),
            "status": job.status.as_str(), "conclusion": job.conclusion, "created_at": time(job.created_at),
            // GitHub fills it in for jobs that have not started, too.
            "started_at": time(job.started_at.unwrap_or(job.created_at)), "completed_at": job.completed_at.map(time),
            "name": job.name, "steps": [], "labels": job.labels,
            "check_run_url": self.api(&format!("/repos/{}/check-runs/{}", run.repository, job.id)),
            "runner_id": given.map(|given| given.id), "runner_name": given.map(|given| &given.name),
            "runner_group_id": given.map(|given| given.group_id),
            "runner_group_name": given.map(|given| &given.group_name),
        })
    }

    /// Returns a runner's record.
    pub(super) fn runner(&self, runner: &Runner) -> Value {
        let labels: Vec<_> = runner
            .labels
            .iter()
            .zip(1_u32..)
            .map(|(label, id)| json!({ "id": id, "name": label, "type": "custom" }))
            .collect();
        json!({
            "id": runner.id, "name": runner.name, "os": if runner.online { "linux" } else { "unknown" },
            "status": if runner.online { "online" } else { "offline" }, "busy": self.world.is_busy(runner.id),
            "labels": labels, "runner_group_id": runner.group_id, "ephemeral": runner.ephemeral,
        })
    }

    /// Returns a runner group.
    pub(super) fn runner_group(&self, group: &RunnerGroup) -> Value {
        let of_enterprise = group.scope == Scope::Enterprise;
        let owner = match &self.world.enterprise {
            Some(slug) if of_enterprise => format!("/enterprises/{slug}"),
            _ => format!("/orgs/{}", self.world.organization),
        };
        let url = self.api(&format!("{owner}/actions/runner-groups/{}", group.id));
        let visibility = match &group.visibility {
            Visibility::All => "all",
            Visibility::Private => "private",
            Visibility::Selected(_) | Visibility::Organizations(_) => "selected",
        };
        let mut document = json!({
            "id": group.id, "name": group.name, "visibility": visibility, "default": group.is_default(),
            "runners_url": format!("{url}/runners"),
            "allows_public_repositories": group.allows_public, "restricted_to_workflows": false,
            "selected_workflows": [], "workflow_restrictions_read_only": false,
        });
        if !of_enterprise {
            document["inherited"] = false.into();
        }
        if visibility == "selected" {
            let what = if of_enterprise { "organizations" } else { "repositories" };
            document[format!("selected_{what}_url")] = format!("{url}/{what}").into();
        }
        document
    }

    /// Returns what is left of the rate limits.
    pub(super) fn rate_limit(&self) -> Value {
        let budget = self.world.budget;
        let core = json!({
            "limit": budget.limit, "remaining": budget.remaining, "used": budget.limit - budget.remaining,
            "reset": budget.reset.as_second(),
        });
        let mut resources = Map::new();
        for name in ["core", "search", "graphql", "actions_runner_registration"] {
            resources.insert(name.to_owned(), core.clone());
        }
        json!({ "resources": resources, "rate": core })
    }
}

const ORGANIZATION_ID: u64 = 9919;
const LONG_AGO: &str = "2019-05-14T04:36:15Z";

fn node_id(kind: &str, id: u64) -> String {
    format!("{kind}_kwDO{id:08x}")
}

/// Writes a time as GitHub does: to the second, in UTC.
pub(super) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The addresses in a repository's document, after that of the repository.
const REPOSITORY_ADDRESSES: [(&str, &str); 37] = [
    ("archive_url", "/{archive_format}{/ref}"),
    ("assignees_url", "/assignees{/user}"),
    ("blobs_url", "/git/blobs{/sha}"),
    ("branches_url", "/branches{/branch}"),
    ("collaborators_url", "/collaborators{/collaborator}"),
    ("comments_url", "/comments{/number}"),
    ("commits_url", "/commits{/sha}"),
    ("compare_url", "/compare/{base}...{head}"),
    ("contents_url", "/contents/{+path}"),
    ("contributors_url", "/contributors"),
    ("deployments_url", "/deployments"),
    ("downloads_url", "/downloads"),
    ("events_url", "/events"),
    ("forks_url", "/forks"),
    ("git_commits_url", "/git/commits{/sha}"),
    ("git_refs_url", "/git/refs{/sha}"),
    ("git_tags_url", "/git/tags{/sha}"),
    ("hooks_url", "/hooks"),
    ("issue_comment_url", "/issues/comments{/number}"),
    ("issue_events_url", "/issues/events{/number}"),
    ("issues_url", "/issues{/number}"),
    ("keys_url", "/keys{/key_id}"),
    ("labels_url", "/labels{/name}"),
    ("languages_url", "/languages"),
    ("merges_url", "/merges"),
    ("milestones_url", "/milestones{/number}"),
    ("notifications_url", "/notifications{?since,all,participating}"),
    ("pulls_url", "/pulls{/number}"),
    ("releases_url", "/releases{/id}"),
    ("stargazers_url", "/stargazers"),
    ("statuses_url", "/statuses/{sha}"),
    ("subscribers_url", "/subscribers"),
    ("subscription_url", "/subscription"),
    ("tags_url", "/tags"),
    ("teams_url", "/teams"),
    ("trees_url", "/git/trees{/sha}"),
    ("url", ""),
];
