//! A pending job where pools are configured: which takes it, and what the pool, its group and its scale set say.

use super::supplied;
use super::{Case, Finding, Seen, StepName, Walk, count, quoted};
use crate::ages::short;
use crate::comparison::{IN_FLIGHT, is_in_flight};
use crate::config::{self, nearest};
use crate::engine::{
    Job, JobId, Label, Pool, PoolName, PoolView, Reason, ReasonCode, ScaleSetDemand, Scope, Signature, is_hosted,
};
use crate::github::{RunnerGroup, Visibility};
use crate::warning::WarningCode;

pub(super) fn walk(walk: &mut Walk, case: &Case<'_>, seen: &Seen<'_>, job: &Job, taker: Option<&PoolView<'_>>) {
    walk.rest = "no pool takes it";
    walk.find(StepName::Labels, labels(seen, job, taker));
    let Some(view) = taker else { return };
    let Some(settings) = seen.pools.iter().find(|pool| pool.policy.name == view.pool.name) else { return };
    walk.find(StepName::RunnerGroup, runner_group(case, seen, job, settings));
    walk.find(StepName::ScaleSet, scale_set(seen, job, view, settings));
    supplied::walk(walk, case, seen, job, view);
}

fn labels(seen: &Seen<'_>, job: &Job, taker: Option<&PoolView<'_>>) -> Finding {
    let signature = Signature::of(&job.labels);
    let Some(taker) = taker else { return no_pool(seen, &signature) };
    let could_too = |pool: &&Pool| signature.unneeded_on(pool).is_some() && pool.name != taker.pool.name;
    let others: Vec<String> =
        seen.view.pools.iter().map(|view| view.pool).filter(could_too).map(|pool| format!("`{}`", pool.name)).collect();
    let others = if others.is_empty() { String::new() } else { format!("; so has {}", others.join(", ")) };
    Finding::ok(format!("pool `{}` has all of {}{others}", taker.pool.name, quoted(signature.labels())))
}

fn no_pool(seen: &Seen<'_>, signature: &Signature) -> Finding {
    let pools: Vec<&Pool> = seen.view.pools.iter().map(|view| view.pool).collect();
    let evidence = signature.no_pool(&pools).message;
    let Some(first) = signature.labels().next() else {
        return Finding::failed(evidence, "name labels of a pool in `runs-on`, beside the group");
    };
    if signature.labels().any(is_hosted) {
        let cure = "GitHub's own runners take it: see the organization's Actions usage and limits";
        return Finding::failed(evidence, cure);
    }
    let Some(missing) = signature.labels().find(|label| pools.iter().all(|pool| !pool.labels.contains(label))) else {
        let lacking = |pool: &Pool| signature.labels().filter(|label| !pool.labels.contains(label)).collect::<Vec<_>>();
        let near = pools.iter().map(|pool| (lacking(pool), pool)).min_by_key(|(lacking, _)| lacking.len());
        let (lacking, pool) = near.map_or_else(|| (vec![first], "…"), |(lacking, pool)| (lacking, pool.name.as_str()));
        let cure = format!("add {} to the `labels` of pool `{pool}`, or take it out of `runs-on`", quoted(lacking));
        return Finding::failed(evidence, cure);
    };
    let known = pools.iter().flat_map(|pool| pool.labels.iter().map(move |label| (label, &pool.name)));
    let known: Vec<(&Label, &PoolName)> = known.collect();
    let near = nearest(missing.as_str(), known.iter().map(|(label, _)| label.as_str()));
    let pool_of = |near: &str| known.iter().find(|(label, _)| label.as_str() == near).map(|(_, pool)| *pool);
    let cure = match near.and_then(|near| Some((near, pool_of(near)?))) {
        Some((near, pool)) => format!(
            "nearest: `{near}`, of pool `{pool}`; write that in `runs-on`, or add `{missing}` to a pool's `labels`"
        ),
        None => format!("add `{missing}` to the `labels` of a pool, or take it out of `runs-on`"),
    };
    Finding::failed(evidence, cure)
}

fn runner_group(case: &Case<'_>, seen: &Seen<'_>, job: &Job, settings: &config::Pool) -> Finding {
    let wanted = settings.runner_group.as_str();
    let groups = match &seen.groups {
        Some(Ok(groups)) => groups,
        Some(Err(why)) => return Finding::unknown(format!("whether runner group `{wanted}` admits it: {why}")),
        None => return Finding::unknown(format!("runner group `{wanted}` was not asked about")),
    };
    if let Scope::Repository(repository) = case.scope {
        return Finding::ok(format!("the runners are {repository}'s own, and so in no other's group"));
    }
    let Some(group) = groups.iter().find(|group| group.name.eq_ignore_ascii_case(wanted)) else {
        let names: Vec<&str> = groups.iter().map(|group| group.name.as_str()).collect();
        let listed = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let cure = match nearest(wanted, names) {
            Some(near) => format!("nearest: `runner_group = \"{near}\"` in pool `{}`", settings.policy.name),
            None => format!("make it, or name another in pool `{}`", settings.policy.name),
        };
        return Finding::failed(format!("there is no runner group `{wanted}`; there is {listed}"), cure);
    };
    let is_public = seen.snapshot.demand.public.iter().any(|one| one.is_same(&job.repository));
    match group.admits(&job.repository, is_public) {
        Some(true) => Finding::ok(format!("runner group `{}` is open to {}", group.name, audience(group))),
        None => Finding::unknown(format!("GitHub does not say whether runner group `{}` admits it", group.name)),
        Some(false) => {
            let settings = match case.scope {
                Scope::Organization(name) => {
                    format!("{}/organizations/{name}/settings/actions/runner-groups/{}", case.site, group.id)
                }
                Scope::Enterprise(name) => {
                    format!("{}/enterprises/{name}/settings/actions/runner-groups/{}", case.site, group.id)
                }
                Scope::Repository(_) => "the group's settings".to_owned(),
            };
            let repository = &job.repository;
            let evidence = format!("runner group `{}` is open to {}, not to {repository}", group.name, audience(group));
            if is_public && !group.allows_public {
                let warned = "if whoever can open a pull request there may use your machines";
                return Finding::failed(
                    format!("{evidence}, which is public"),
                    format!("open it to public repositories {warned}: {settings}"),
                );
            }
            let to = match &group.visibility {
                Visibility::Organizations(_) => repository.as_str().split('/').next().unwrap_or_default(),
                _ => repository.as_str(),
            };
            Finding::failed(evidence, format!("open it to {to}: {settings}"))
        }
    }
}

fn audience(group: &RunnerGroup) -> String {
    let but = if group.allows_public { "" } else { " that are not public" };
    match &group.visibility {
        Visibility::All => format!("all repositories{but}"),
        Visibility::Private => "all repositories that are not public".to_owned(),
        Visibility::Selected(chosen) => {
            format!("{}{but}", count(chosen.len() as u64, "chosen repository", "chosen repositories"))
        }
        Visibility::Organizations(chosen) => {
            let chosen = count(chosen.len() as u64, "chosen organization", "chosen organizations");
            format!("all repositories{but} of {chosen}")
        }
        Visibility::Unknown => "some repositories".to_owned(),
    }
}

fn scale_set(seen: &Seen<'_>, job: &Job, view: &PoolView<'_>, settings: &config::Pool) -> Finding {
    let pool = &view.pool.name;
    let name = settings.scale_set.as_deref().unwrap_or("?");
    let said = |code| {
        let of_pool = |warning: &&crate::warning::Warning| warning.subject.as_deref() == Some(pool.as_str());
        seen.warnings
            .iter()
            .filter(of_pool)
            .find(|warning| warning.code == code)
            .map(|warning| warning.message.as_str())
    };
    let counts = match view.scale_set {
        None if settings.scale_set.is_none() => {
            return Finding::skipped(format!("pool `{pool}` has none: its demand is read from the REST API"));
        }
        None => {
            let why = said(WarningCode::SourceFallback).unwrap_or("its demand is read from the REST API");
            return Finding::skipped(format!("scale set `{name}` is not used: {why}"));
        }
        Some(ScaleSetDemand::Unknown) => {
            let why = said(WarningCode::ScaleSetFailed).unwrap_or("it could not be asked");
            return Finding::unknown(format!("scale set `{name}`: {why}; no other source may be used"));
        }
        Some(ScaleSetDemand::Counted(counts)) => counts,
    };
    let evidence = format!(
        "scale set `{name}` has {} assigned, {} of them running, and {} on offer",
        count(counts.assigned, "job", "jobs"),
        counts.running,
        counts.available.saturating_add(counts.acquired),
    );
    if let Some(Ok(set)) = &seen.scale_set {
        let lacking: Vec<&Label> = job.labels.iter().filter(|label| !set.labels.contains(label)).collect();
        if !lacking.is_empty() {
            let evidence = format!("scale set `{name}` has {}, and lacks {}", quoted(&set.labels), quoted(lacking));
            return Finding::failed(evidence, format!("`ghascale scale-set update {pool}`"));
        }
    }
    let is_not_given = refusal(seen, job.id) == Some(ReasonCode::NotAssigned);
    if is_not_given && is_in_flight(job, seen.snapshot.now) {
        let young = short(IN_FLIGHT);
        return Finding::unknown(format!("{evidence}; younger than {young}, the job may be on its way to the set"));
    }
    if is_not_given {
        return Finding::failed(
            format!("{evidence}: it has not been given this job, and no runner of it can get it"),
            format!("GitHub gives it jobs while somebody listens; `ghascale compare --pool {pool}` names the cause"),
        );
    }
    match &seen.scale_set {
        Some(Err(why)) => Finding::unknown(format!("{evidence}; whether its labels cover the job: {why}")),
        Some(Ok(_)) | None => Finding::ok(evidence),
    }
}

/// Returns why the plan has no runner for a job.
pub(super) fn refusal(seen: &Seen<'_>, job: JobId) -> Option<ReasonCode> {
    refused(seen, job).map(|reason| reason.code)
}

/// The same, in words too.
pub(super) fn refused<'a>(seen: &Seen<'a>, job: JobId) -> Option<&'a Reason> {
    seen.plan.unschedulable.iter().find(|refused| refused.job_id == job).map(|refused| &refused.reason)
}
