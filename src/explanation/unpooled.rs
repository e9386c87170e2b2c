//! A pending job where no pool is configured: which of the scope's own runners could take it.

use std::collections::BTreeSet;

use super::{Case, Finding, Seen, StepName, Walk, count, for_age, quoted, unread_supply};
use crate::ages::age;
use crate::comparison::IN_FLIGHT;
use crate::config::nearest;
use crate::engine::{Connection, Job, Label, Runner, Scope, Signature, is_hosted};

pub(super) fn walk(walk: &mut Walk, case: &Case<'_>, seen: &Seen<'_>, job: &Job) {
    walk.rest = "no pool is configured";
    let takers = takers(seen, job);
    walk.find(StepName::Labels, labels(case, seen, job, &takers));
    if !takers.is_empty() {
        walk.find(StepName::Supply, supply(case, seen, &takers));
        walk.find(StepName::Assignment, assignment(case, job, &takers));
    }
}

/// Returns the runners that have all of a job's labels.
pub(super) fn takers<'a>(seen: &Seen<'a>, job: &Job) -> Vec<&'a Runner> {
    let has_all = |runner: &&Runner| job.labels.iter().all(|label| runner.labels.contains(label));
    if job.labels.is_empty() { Vec::new() } else { seen.snapshot.runners.items.iter().filter(has_all).collect() }
}

fn labels(case: &Case<'_>, seen: &Seen<'_>, job: &Job, takers: &[&Runner]) -> Finding {
    let signature = Signature::of(&job.labels);
    let asked = quoted(signature.labels());
    if let Some(label) = signature.labels().find(|label| is_hosted(label)) {
        let evidence = format!("`{label}` is a label of GitHub-hosted runners");
        return Finding::failed(
            evidence,
            "GitHub's own runners take it: see the organization's Actions usage and limits",
        );
    }
    if job.labels.is_empty() {
        return Finding::unknown("it has no labels: it names only a runner group, which GitHub does not show");
    }
    let all = &seen.snapshot.runners;
    let online: Vec<String> =
        takers.iter().filter(|runner| is_online(runner)).map(|one| one.name.to_string()).collect();
    if let Some(first) = online.first() {
        let more = match online.len() {
            1 => String::new(),
            online => format!(" and {} more", online - 1),
        };
        return Finding::ok(format!("`{first}`{more} of {}, online, has all of {asked}", case.scope));
    }
    if !takers.is_empty() {
        let runners = count(takers.len() as u64, "runner has", "runners have");
        return Finding::ok(format!("{runners} all of {asked}, and none of them is online"));
    }
    if !seen.known.runners {
        return Finding::unknown(format!("whether a runner has all of {asked}: {}", unread_supply(seen)));
    }
    let online = all.items.iter().filter(|runner| is_online(runner)).count();
    let (registered, scope) = (all.items.len(), case.scope);
    let of = format!("of the runners registered at {scope} ({registered}, {online} of them online) none");
    if let Some(unseen) = unseen(case) {
        return Finding::unknown(format!("{of} has all of {asked}, but {unseen}"));
    }
    let known: BTreeSet<&Label> = all.items.iter().flat_map(|runner| &runner.labels).collect();
    let Some(missing) = signature.labels().find(|label| !known.contains(label)) else {
        return Finding::failed(format!("{of} has all of {asked}"), "register a runner that has them all");
    };
    let near = nearest(missing.as_str(), known.iter().map(|label| label.as_str()));
    let cure = near.map_or_else(
        || format!("register a runner with `{missing}`, or take it out of `runs-on`"),
        |near| format!("nearest: `{near}`; write that in `runs-on`, or register a runner with `{missing}`"),
    );
    Finding::failed(format!("label `{missing}` is on no runner: {of} has it"), cure)
}

/// Returns which runners could take a job of the scope and are not listed with it.
fn unseen(case: &Case<'_>) -> Option<String> {
    match case.scope {
        Scope::Repository(repository) => {
            let owner = repository.as_str().split('/').next().unwrap_or_default();
            Some(format!(
                "the runners of {owner} may serve it, too, and are not seen from here: use the URL of {owner}"
            ))
        }
        Scope::Enterprise(_) => {
            let said =
                "the runners of its organization may serve it, too, and are not seen from here: use the URL of that";
            Some(said.to_owned())
        }
        Scope::Organization(_) => None,
    }
}

fn supply(case: &Case<'_>, seen: &Seen<'_>, takers: &[&Runner]) -> Finding {
    let idle = takers.iter().filter(|runner| is_idle(runner)).count();
    let busy = takers.iter().filter(|runner| is_online(runner) && runner.busy).count();
    let offline = takers.len() - idle - busy;
    let evidence = format!("with all of its labels: {idle} idle, {busy} busy, {offline} not online");
    if idle > 0 {
        return Finding::ok(evidence);
    }
    if !seen.known.runners {
        return Finding::unknown(format!("{evidence}; more could not be read: {}", unread_supply(seen)));
    }
    if let Some(unseen) = unseen(case) {
        return Finding::unknown(format!("{evidence}; but {unseen}"));
    }
    let cure =
        if busy > 0 { "wait until one is done, or register more" } else { "start their machines, or register more" };
    Finding::failed(evidence, cure)
}

pub(super) fn assignment(case: &Case<'_>, job: &Job, takers: &[&Runner]) -> Finding {
    let Some(idle) = takers.iter().find(|runner| is_idle(runner)) else {
        return Finding::skipped("no runner with its labels is idle");
    };
    not_given_yet(case, job, idle)
}

/// Returns the finding of a queued job beside an idle runner that has its labels.
pub(super) fn not_given_yet(case: &Case<'_>, job: &Job, idle: &Runner) -> Finding {
    let name = &idle.name;
    let Some(queued_at) = job.queued_at else {
        return Finding::unknown(format!("`{name}` is idle, and GitHub has not given it the job yet"));
    };
    let evidence = format!("`{name}` is online and idle, the job queued {}", for_age(case.now, queued_at));
    if age(case.now, queued_at) < IN_FLIGHT {
        return Finding::ok(format!("{evidence}: GitHub gives it out within seconds"));
    }
    Finding::failed(
        format!("{evidence}: GitHub has not given it yet"),
        format!(
            "see whether the runner's group admits {} and its workflow, and whether GitHub's Actions have an incident: \
             https://www.githubstatus.com",
            job.repository
        ),
    )
}

pub(super) fn is_online(runner: &Runner) -> bool {
    runner.connection == Connection::Online
}

pub(super) fn is_idle(runner: &Runner) -> bool {
    is_online(runner) && !runner.busy
}
