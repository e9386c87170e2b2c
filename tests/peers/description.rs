//! GitHub's own description of its REST API, cut down to the paths that ghascale uses: Prism reads it ten times as fast
//! as the whole, and any other path is one that it doesn't know.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Every path that ghascale asks for, as GitHub's description writes it. `/app/installations` is not among them: the
/// description, with its references resolved, wants an installation's account to be a user and an enterprise at once.
const PATHS: [&str; 34] = [
    "/app/installations/{installation_id}/access_tokens",
    "/enterprises/{enterprise}/actions/runner-groups",
    "/enterprises/{enterprise}/actions/runner-groups/{runner_group_id}",
    "/enterprises/{enterprise}/actions/runner-groups/{runner_group_id}/organizations",
    "/enterprises/{enterprise}/actions/runners",
    "/enterprises/{enterprise}/actions/runners/generate-jitconfig",
    "/enterprises/{enterprise}/actions/runners/registration-token",
    "/enterprises/{enterprise}/actions/runners/{runner_id}",
    "/installation/repositories",
    "/organizations",
    "/orgs/{org}",
    "/orgs/{org}/actions/runner-groups",
    "/orgs/{org}/actions/runner-groups/{runner_group_id}",
    "/orgs/{org}/actions/runner-groups/{runner_group_id}/repositories",
    "/orgs/{org}/actions/runners",
    "/orgs/{org}/actions/runners/generate-jitconfig",
    "/orgs/{org}/actions/runners/registration-token",
    "/orgs/{org}/actions/runners/{runner_id}",
    "/orgs/{org}/hooks/{hook_id}/deliveries",
    "/orgs/{org}/repos",
    "/rate_limit",
    "/repos/{owner}/{repo}",
    "/repos/{owner}/{repo}/actions/jobs/{job_id}",
    "/repos/{owner}/{repo}/actions/jobs/{job_id}/rerun",
    "/repos/{owner}/{repo}/actions/permissions",
    "/repos/{owner}/{repo}/actions/runners",
    "/repos/{owner}/{repo}/actions/runners/generate-jitconfig",
    "/repos/{owner}/{repo}/actions/runners/registration-token",
    "/repos/{owner}/{repo}/actions/runners/{runner_id}",
    "/repos/{owner}/{repo}/actions/runs",
    "/repos/{owner}/{repo}/actions/runs/{run_id}",
    "/repos/{owner}/{repo}/actions/runs/{run_id}/jobs",
    "/repos/{owner}/{repo}/actions/runs/{run_id}/rerun-failed-jobs",
    "/user/orgs",
];

/// Returns a description with those paths, each after `/api/v3`, and what they refer to.
pub(super) fn trim(whole: &Value) -> Value {
    let mut paths = Map::new();
    for path in PATHS {
        match whole["paths"].get(path) {
            Some(operations) => paths.insert(format!("/api/v3{path}"), operations.clone()),
            // That of github.com is of what there is without an enterprise.
            None if path.starts_with("/enterprises/") => None,
            None => panic!("the description has no {path}"),
        };
    }
    let paths = Value::Object(paths);
    let mut components: Map<String, Value> = Map::new();
    let mut seen = BTreeSet::new();
    let mut open = references(&paths);
    while let Some(reference) = open.pop() {
        if !seen.insert(reference.clone()) {
            continue;
        }
        let pointer = reference.strip_prefix('#').unwrap_or(&reference);
        let part = whole.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere"));
        open.extend(references(part));
        let [_, "components", kind, name] = pointer.split('/').collect::<Vec<_>>()[..] else { continue };
        components.entry(kind).or_insert_with(|| Value::Object(Map::new()))[name] = part.clone();
    }
    let mut trimmed = Map::new();
    for key in ["openapi", "info"] {
        trimmed.insert(key.to_owned(), whole[key].clone());
    }
    trimmed.insert("paths".to_owned(), paths);
    trimmed.insert("components".to_owned(), Value::Object(components));
    let mut trimmed = Value::Object(trimmed);
    drop_examples(&mut trimmed);
    trimmed
}

fn references(value: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(key, value)| match value {
                Value::String(reference) if key == "$ref" => vec![reference.clone()],
                value => references(value),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

/// Drops the examples, some of which break the description's own schemas.
fn drop_examples(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|key, value| !(key == "examples" || (key == "example" && !value.is_object())));
            fields.values_mut().for_each(drop_examples);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_examples),
        _ => {}
    }
}
