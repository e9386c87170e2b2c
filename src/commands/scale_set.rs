//! `ghascale scale-set`: list, show, create, update and delete runner scale sets.

use futures::{StreamExt as _, stream};

use super::Failure;
use super::session::{Session, configuration, pool_names, show};
use crate::cli::{Cli, ScaleSetCommand, ScaleSetDeletion};
use crate::config::{Config, Needs, Pool};
use crate::engine::{Label, PoolName, Statistics};
use crate::exit;
use crate::observe::counted;
use crate::report::{ScaleSetResult, ScaleSetRow, ScaleSetsReport};
use crate::scale_set::{Client, Error, ErrorKind, NewScaleSet, RunnerGroup, ScaleSet, ScaleSetChange};
use crate::ui::Ui;
use crate::warning::{Warning, WarningCode};

/// Counts that are read at once.
const AT_ONCE: usize = 8;

pub(super) async fn run(cli: &Cli, command: &ScaleSetCommand, ui: &Ui) -> Result<u8, Failure> {
    let pools = match command {
        ScaleSetCommand::Create(pool) | ScaleSetCommand::Update(pool) => pool_names(std::slice::from_ref(&pool.pool)),
        ScaleSetCommand::List | ScaleSetCommand::Show(_) | ScaleSetCommand::Delete(_) => Vec::new(),
    };
    let config = Config { ec2: None, ..configuration(cli, Needs::Look, &pools, ui)? };
    let wanted = pools.first().and_then(|pool| config.pool(pool)).map(Wanted::of).transpose()?;
    if let ScaleSetCommand::Delete(deletion) = command
        && !deletion.yes
        && !ui.can_ask()
    {
        return Err(Failure::usage("nobody is here to confirm").hint("add `--yes` to delete without being asked"));
    }
    let session = Session::open(config, Needs::Look).await?;
    if session.client.is_app() {
        let said = "GitHub lets no App manage an enterprise's runners, nor its scale sets";
        let cure = "name a classic token with `manage_runners:enterprise`, or an organization by `github.url`";
        return Err(Failure::usage(said).hint(cure));
    }
    let service = &session.service;
    let (result, sets, mut warnings) = match (command, &wanted) {
        (ScaleSetCommand::Create(_), Some(wanted)) => done(create(service, wanted).await?, &wanted.labels),
        (ScaleSetCommand::Update(_), Some(wanted)) => done(update(service, wanted).await?, &wanted.labels),
        (ScaleSetCommand::Show(named), _) => (None, vec![named_set(service, &named.name).await?], Vec::new()),
        (ScaleSetCommand::Delete(deletion), _) => {
            (Some(ScaleSetResult::Deleted), vec![delete(service, deletion, ui).await?], Vec::new())
        }
        (ScaleSetCommand::List | ScaleSetCommand::Create(_) | ScaleSetCommand::Update(_), _) => {
            (None, service.list(None).await?, Vec::new())
        }
    };
    let sets =
        if result == Some(ScaleSetResult::Deleted) { sets } else { with_counts(service, sets, &mut warnings).await };
    warnings.extend(unreadable(service));
    let mut rows: Vec<ScaleSetRow> = sets
        .into_iter()
        .map(|set| (pool_of(&session.config, &set), set))
        .map(|(pool, set)| ScaleSetRow::of(set, pool))
        .collect();
    rows.sort_by(|a, b| (&a.runner_group.name, &a.name, a.id).cmp(&(&b.runner_group.name, &b.name, b.id)));
    let report =
        session.report("scale-set", jiff::Timestamp::now(), warnings, ScaleSetsReport { scale_sets: rows, result });
    show(ui, &report, None, || report.body.text(ui.look()))?;
    Ok(if report.is_partial() { exit::PARTIAL } else { exit::DONE })
}

/// The scale set that a pool asks for.
struct Wanted {
    pool: PoolName,
    name: String,
    group: String,
    labels: Vec<Label>,
}

impl Wanted {
    fn of(pool: &Pool) -> Result<Self, Failure> {
        let Some(name) = &pool.scale_set else {
            let failure = Failure::usage(format!("pool `{}` has no scale set", pool.policy.name));
            return Err(failure.hint(format!("name it in the configuration, `scale_set = \"{}\"`", pool.policy.name)));
        };
        Ok(Self {
            pool: pool.policy.name.clone(),
            name: name.clone(),
            group: pool.runner_group.clone(),
            labels: pool.policy.labels.clone(),
        })
    }

    async fn group(&self, service: &Client) -> Result<RunnerGroup, Failure> {
        let group = service.runner_group(&self.group).await?;
        group.ok_or_else(|| Failure::new(exit::FAILED, format!("there is no runner group `{}`", self.group)))
    }
}

/// Creates a pool's scale set, unless it is there already with the same labels.
async fn create(service: &Client, wanted: &Wanted) -> Result<(ScaleSetResult, ScaleSet), Failure> {
    let group = wanted.group(service).await?;
    if let Some(there) = service.find(group.id, &wanted.name).await? {
        return unchanged(there, wanted);
    }
    let new = NewScaleSet { name: wanted.name.clone(), group_id: group.id, labels: wanted.labels.clone() };
    match service.create(&new).await {
        Ok(made) => Ok((ScaleSetResult::Created, made)),
        // Somebody was faster.
        Err(error) if error.kind == ErrorKind::ScaleSetExists => match service.find(group.id, &wanted.name).await? {
            Some(there) => unchanged(there, wanted),
            None => Err(error.into()),
        },
        Err(error) => Err(error.into()),
    }
}

/// Returns a set that is there as it is, or what differs about it.
fn unchanged(there: ScaleSet, wanted: &Wanted) -> Result<(ScaleSetResult, ScaleSet), Failure> {
    let lacking = missing(&wanted.labels, &there.labels);
    let surplus = missing(&there.labels, &wanted.labels);
    if lacking.is_empty() && surplus.is_empty() {
        return Ok((ScaleSetResult::Unchanged, there));
    }
    let mut differences = Vec::new();
    if !lacking.is_empty() {
        differences.push(format!("it lacks {}", lacking.join(", ")));
    }
    if !surplus.is_empty() {
        differences.push(format!("it has {}, which the pool has not", surplus.join(", ")));
    }
    let message = format!("scale set `{}` exists with other labels: {}", there.name, differences.join("; "));
    Err(Failure::new(exit::FAILED, message)
        .hint(format!("`ghascale scale-set update {}` gives it the pool's labels", wanted.pool)))
}

/// Gives a pool's scale set the pool's labels.
async fn update(service: &Client, wanted: &Wanted) -> Result<(ScaleSetResult, ScaleSet), Failure> {
    let group = wanted.group(service).await?;
    let Some(there) = service.find(group.id, &wanted.name).await? else {
        let message = format!("there is no scale set `{}` in runner group `{}`", wanted.name, group.name);
        return Err(
            Failure::new(exit::FAILED, message).hint(format!("`ghascale scale-set create {}` makes it", wanted.pool))
        );
    };
    if missing(&wanted.labels, &there.labels).is_empty() && missing(&there.labels, &wanted.labels).is_empty() {
        return Ok((ScaleSetResult::Unchanged, there));
    }
    let change = ScaleSetChange { labels: Some(wanted.labels.clone()), ..ScaleSetChange::default() };
    Ok((ScaleSetResult::Updated, service.update(there.id, &change).await?))
}

/// Deletes a scale set, after saying what becomes of its jobs; returns it as it was.
async fn delete(service: &Client, deletion: &ScaleSetDeletion, ui: &Ui) -> Result<ScaleSet, Failure> {
    let mut set = named_set(service, &deletion.name.name).await?;
    set.statistics = match set.statistics {
        Some(counts) => Some(counts),
        None => service.scale_set(set.id).await?.statistics,
    };
    if !deletion.yes {
        eprintln!("{}", consequences(&set));
        if !ui.confirm("delete it?") {
            return Err(Failure::new(exit::FAILED, "not confirmed: nothing was changed"));
        }
    }
    match service.delete(set.id).await {
        Ok(()) => Ok(set),
        // The answer was lost: whether it is gone can be seen.
        Err(error) if matches!(error.kind, ErrorKind::Transport | ErrorKind::Server | ErrorKind::ScaleSetNotFound) => {
            match service.scale_set(set.id).await {
                Err(second) if second.kind == ErrorKind::ScaleSetNotFound => Ok(set),
                _ => Err(error.into()),
            }
        }
        Err(error) if error.kind == ErrorKind::JobStillRunning => {
            Err(Failure::from(error).hint("wait until its runners have no job, then delete it again"))
        }
        Err(error) => Err(error.into()),
    }
}

/// Returns what a deletion will do, in sentences.
fn consequences(set: &ScaleSet) -> String {
    let count = |count: fn(&Statistics) -> u64| {
        set.statistics.as_ref().map_or_else(|| "an unknown number of".to_owned(), |counts| count(counts).to_string())
    };
    let (assigned, running) = (count(|counts| counts.assigned), count(|counts| counts.running));
    let registered = count(|counts| counts.registered);
    format!(
        "scale set `{}` (id {}, runner group `{}`): {assigned} jobs assigned, {running} of them running; {registered} \
         runners registered\n\
         - jobs that wait go back to GitHub's queue; a set made later under the same name does not get them: re-run \
         them (actions-runner-controller#3363)\n\
         - GitHub refuses while a runner of the set holds a job\n\
         - its runners lose their registration, and whoever listens to it, its session",
        set.name, set.id, set.group.name
    )
}

/// Finds a scale set by its name, or by `GROUP/NAME`; as GitHub compares them, without case. What is written exactly as
/// the set's own name is that set, even if it looks like another's group and name.
async fn named_set(service: &Client, name: &str) -> Result<ScaleSet, Failure> {
    let all = service.list(None).await?;
    let wanted = name.to_lowercase();
    let of_name = |set: &&ScaleSet| set.name.to_lowercase() == wanted;
    let of_both = |set: &&ScaleSet| format!("{}/{}", set.group.name, set.name).to_lowercase() == wanted;
    let mut found: Vec<&ScaleSet> = all.iter().filter(|set| set.name == name).collect();
    if found.is_empty() {
        found = all.iter().filter(|set| of_name(set) || of_both(set)).collect();
    }
    match found[..] {
        [one] => Ok(one.clone()),
        [] => {
            let names: Vec<String> = all.iter().map(|set| format!("`{}`", set.name)).collect();
            let failure = Failure::new(exit::FAILED, format!("there is no scale set `{name}`"));
            Err(if names.is_empty() { failure } else { failure.hint(format!("there is {}", names.join(", "))) })
        }
        [..] => {
            let names: Vec<String> = found.iter().map(|set| format!("`{}/{}`", set.group.name, set.name)).collect();
            let message = format!("there are {} scale sets `{name}`", found.len());
            Err(Failure::new(exit::FAILED, message).hint(format!("name its runner group too: {}", names.join(", "))))
        }
    }
}

/// Returns a result with warnings of the labels that the service did not keep.
fn done(
    (result, set): (ScaleSetResult, ScaleSet),
    wanted: &[Label],
) -> (Option<ScaleSetResult>, Vec<ScaleSet>, Vec<Warning>) {
    let dropped = missing(wanted, &set.labels);
    let mut warnings = Vec::new();
    if !dropped.is_empty() {
        let said = format!(
            "the service dropped {}: jobs that ask for it never reach this scale set (a GHES before 3.21 keeps one \
             label unless `DistributedTask.AllowRunnerScaleSetCustomLabels` is on)",
            dropped.join(", ")
        );
        warnings.push(Warning::new(WarningCode::LabelsDropped, set.name.as_str(), said));
    }
    (Some(result), vec![set], warnings)
}

/// Reads the counts of sets that came without.
async fn with_counts(service: &Client, sets: Vec<ScaleSet>, warnings: &mut Vec<Warning>) -> Vec<ScaleSet> {
    let read: Vec<(ScaleSet, Option<Error>)> = stream::iter(sets)
        .map(|set| async move {
            match counted(service, set.clone()).await {
                Ok(Some(found)) => (ScaleSet { statistics: Some(found.statistics), ..set }, None),
                Ok(None) => (set, None),
                Err(error) => (set, Some(error)),
            }
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    let mut sets = Vec::new();
    for (set, error) in read {
        if let Some(error) = error {
            warnings.push(Warning::new(WarningCode::ScaleSetFailed, set.name.as_str(), error.to_string()));
        }
        sets.push(set);
    }
    sets
}

/// Returns a warning where a list of the service's had entries that could not be read.
pub(super) fn unreadable(service: &Client) -> Option<Warning> {
    let count = service.unreadable();
    let said = format!("{count} entries could not be read, and are missing");
    (count > 0).then(|| Warning::new(WarningCode::EntryUnreadable, "scale sets", said))
}

/// Returns the pool whose scale set it is; runner groups' names have no case.
fn pool_of(config: &Config, set: &ScaleSet) -> Option<PoolName> {
    let is_its = |pool: &&Pool| {
        let is_named = |name: &String| name.to_lowercase() == set.name.to_lowercase();
        pool.scale_set.as_ref().is_some_and(is_named) && pool.runner_group.eq_ignore_ascii_case(&set.group.name)
    };
    config.pools.iter().find(is_its).map(|pool| pool.policy.name.clone())
}

fn missing(wanted: &[Label], there: &[Label]) -> Vec<String> {
    wanted.iter().filter(|label| !there.contains(label)).map(|label| format!("`{label}`")).collect()
}
