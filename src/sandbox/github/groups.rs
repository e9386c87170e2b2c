//! Runner groups, and the repositories that may use them.

use super::answer::{Answer, Request};
use super::{documents, of_organization};
use crate::sandbox::world::{Organization, RunnerGroup, Scope, Visibility, World};

pub(super) fn respond(world: &World, request: &Request, scope: &Scope, rest: &[&str]) -> Answer {
    if request.method != http::Method::GET {
        return Answer::not_found();
    }
    let group = |id: &str| id.parse().ok().and_then(|id: u64| world.group_at(scope, id));
    match *rest {
        [] => list(world, request, scope),
        [id] => match group(id) {
            Some(group) => Answer::ok(documents(world, request).runner_group(group)),
            None => Answer::not_found(),
        },
        [id, "organizations"] if *scope == Scope::Enterprise => match group(id) {
            Some(group) => organizations(world, request, group),
            None => Answer::not_found(),
        },
        [id, "repositories"] if *scope == Scope::Organization => match group(id) {
            Some(group) => repositories(world, request, group),
            None => Answer::not_found(),
        },
        _ => Answer::not_found(),
    }
}

fn list(world: &World, request: &Request, scope: &Scope) -> Answer {
    let documents = documents(world, request);
    let repository = request.parameter("visible_to_repository").map(|name| {
        let known = of_organization(world, &world.organization);
        known
            .into_iter()
            .find(|known| known.full_name.rsplit('/').next().is_some_and(|it| it.eq_ignore_ascii_case(name)))
    });
    let admits = |group: &&RunnerGroup| match &repository {
        None => true,
        Some(repository) => repository.is_some_and(|repository| group.admits(repository)),
    };
    let groups: Vec<_> = world.groups_at(scope).filter(admits).collect();
    Answer::page(request, &groups, |total, page| {
        let page: Vec<_> = page.iter().map(|group| documents.runner_group(group)).collect();
        serde_json::json!({ "total_count": total, "runner_groups": page })
    })
}

/// Lists the repositories that were selected; a group of another visibility has none.
fn repositories(world: &World, request: &Request, group: &RunnerGroup) -> Answer {
    let documents = documents(world, request);
    let selected = |name: &String| match &group.visibility {
        Visibility::Selected(names) => names.contains(name),
        Visibility::All | Visibility::Private | Visibility::Organizations(_) => false,
    };
    let repositories = of_organization(world, &world.organization).into_iter();
    let repositories: Vec<_> = repositories.filter(|repository| selected(&repository.full_name)).collect();
    Answer::page(request, &repositories, |total, page| {
        let page: Vec<_> = page.iter().map(|repository| documents.repository(repository)).collect();
        serde_json::json!({ "total_count": total, "repositories": page })
    })
}

/// Lists the organizations that were selected; a group of another visibility has none.
fn organizations(world: &World, request: &Request, group: &RunnerGroup) -> Answer {
    let documents = documents(world, request);
    let selected = |one: &&Organization| match &group.visibility {
        Visibility::Organizations(logins) => logins.contains(&one.login),
        Visibility::All | Visibility::Private | Visibility::Selected(_) => false,
    };
    let organizations: Vec<_> = world.organizations.values().filter(selected).collect();
    Answer::page(request, &organizations, |total, page| {
        let page: Vec<_> = page.iter().map(|one| documents.simple_organization(one)).collect();
        serde_json::json!({ "total_count": total, "organizations": page })
    })
}
