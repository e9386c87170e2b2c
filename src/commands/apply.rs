//! `ghascale apply`: does it, with or without a plan file.
//!
//! A plan file only ever narrows: the world is read again, planned again, and of the new plan only what the file has too
//! is done. What the file has and the new plan hasn't no longer holds, is skipped, and is said.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};

use super::Failure;
use super::session::{Session, about, configuration, pool_names, show, state_directory};
use crate::ages::age;
use crate::apply::{Executor, Listener, Outcome, PoolSettings};
use crate::cli::{ApplyArgs, Cli};
use crate::config::{Config, Needs, Pool};
use crate::engine::{Action, CountKind, Held, Plan, PoolName, Prices, Step, Unit, Unschedulable, View};
use crate::exit;
use crate::files;
use crate::github::AllJobs;
use crate::left_over::{Owner, undo_left_over};
use crate::observe::Observation;
use crate::registrar::Registrar;
use crate::report::{
    ActionKind, ActionResult, ActionRow, ApplyReport, PlanFileError, PlanReport, Report, RerunResult, RerunRow,
    ResultWord, Summary,
};
use crate::rerun::{Due, RerunOutcome, Reruns};
use crate::scale_set::ScaleSetId;
use crate::services::SystemClock;
use crate::state::{AuditLog, HostLock, LockError, StateDirectory};
use crate::ui::{Bar, Ui};
use crate::warning::{Warning, WarningCode};

pub(super) async fn run(cli: &Cli, args: &ApplyArgs, ui: &Ui) -> Result<u8, Failure> {
    let pools = pool_names(&args.view.pool);
    let config = configuration(cli, Needs::Launch, &pools, ui)?;
    let file = args.plan_file.as_deref().map(|file| read(file, &config)).transpose()?;
    if !args.yes && !ui.can_ask() {
        return Err(Failure::usage("nobody is here to confirm").hint("add `--yes` to apply without being asked"));
    }
    let mut warnings = Vec::new();
    let state = state_directory();
    let session = Session::open(config, Needs::Launch).await?;
    let fleet = session.config.policy().fleet;
    // A look at everything takes as long as it takes: runs that launch go on meanwhile, and no second one of its kind.
    let is_full = session.config.scan.full;
    let full = format!("{fleet}.full");
    let _looking = if is_full { locked(lock(&state, &full, Duration::ZERO).await, &mut warnings)? } else { None };
    let began = Instant::now();
    let swept = if is_full { Some(session.observe(args.view.source, ui).await?) } else { None };
    // As long as it took to look: others on this host may take as long, with their part of the pace.
    let patience = if is_full { LOCK_PATIENCE.max(began.elapsed()) } else { Duration::ZERO };
    let _lock = locked(lock(&state, fleet.as_str(), patience).await, &mut warnings)?;

    // Where somebody is asked, nothing is done before the answer; and where a file says what is done, nothing else is.
    let undoes = file.is_none();
    let mut undone = if args.yes && undoes { undo(&session, &pools, &state).await } else { Vec::new() };
    let seen = match swept {
        Some(seen) => seen,
        None => session.observe(args.view.source, ui).await?,
    };
    let mut decision = decide(&session, seen, &pools, file.as_ref()).await?;
    if !args.yes && !decision.is_nothing() {
        ui.warn(&decision.warnings);
        let shown = &decision.report;
        eprintln!("{}\n\n{}\n", shown.text(ui.look()), shown.summary());
        if !ui.confirm("apply this plan?") {
            return Err(Failure::new(exit::FAILED, "not confirmed: nothing was changed"));
        }
        if age(Timestamp::now(), decision.seen_at) > FRESH {
            // What was confirmed is held against the world as it is now, like a plan file.
            let seen = session.observe(args.view.source, ui).await?;
            decision = decide(&session, seen, &pools, Some(&decision.report)).await?;
        }
    }
    if !args.yes && undoes && !decision.is_nothing() {
        undone = undo(&session, &pools, &state).await;
    }
    warnings.append(&mut decision.warnings);

    let audit =
        state.audit(&decision.report, &session.config.github.scope).map_err(|warning| warnings.push(warning)).ok();
    let is_stopping = Cell::new(false);
    let work = async {
        let outcomes = carry_out(&session, &decision, &state, audit.as_ref(), &is_stopping, ui).await;
        if let Err(error) = state.remember_launches(fleet.as_str(), &outcomes, Timestamp::now()) {
            tracing::warn!(%error, "what has no capacity could not be remembered");
        }
        let reruns = rerun(&session, &mut decision, &state, audit.as_ref(), &is_stopping, &mut warnings).await;
        if is_stopping.get() {
            let said = "stopped by a signal: what was under way has been finished, and nothing more was begun";
            warnings.push(Warning { code: WarningCode::ActionSkipped, message: said.to_owned(), subject: None });
        }
        let mut results: Vec<ActionResult> = undone
            .iter()
            .chain(&outcomes)
            .map(|outcome| ActionResult::from(outcome).priced(&decision.prices))
            .collect();
        let has_dropped = !decision.dropped.is_empty() || !decision.dropped_reruns.is_empty();
        results.extend(decision.dropped.into_iter().map(|(action, why)| ActionResult::skipped(action, why)));
        let body = ApplyReport::of(&decision.report, results, reruns);
        let report = session.report("apply", decision.seen_at, warnings, body);
        Ok((report, file.is_some() || has_dropped || is_stopping.get()))
    };
    let (report, was_asked_for) = tokio::select! {
        done = work => done,
        end = ended(&is_stopping) => Err(end),
    }?;
    show(ui, &report, None, || report.body.text(ui.look()))?;
    Ok(code(&report, was_asked_for))
}

/// Hears of SIGINT and SIGTERM while actions are carried out: at the first nothing more is begun; at the second it returns the
/// end of the process.
async fn ended(is_stopping: &Cell<bool>) -> Failure {
    let heard = |kind| signal(kind).context("signals can't be waited for");
    let (mut interrupt, mut terminate) = match (heard(SignalKind::interrupt()), heard(SignalKind::terminate())) {
        (Ok(interrupt), Ok(terminate)) => (interrupt, terminate),
        (Err(error), _) | (_, Err(error)) => return error.into(),
    };
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if is_stopping.replace(true) {
            return Failure::new(exit::FAILED, "ended by a second signal: what was under way may have been done")
                .hint("run it again: what was cut off is put right by the next run");
        }
        tracing::warn!(
            "stopping: what is under way is finished, and nothing more is begun; a second signal ends it at once"
        );
    }
}

/// Returns the lock, or none where none can be had; that another run has it ends this one.
fn locked(lock: Result<HostLock, LockError>, warnings: &mut Vec<Warning>) -> Result<Option<HostLock>, Failure> {
    match lock {
        Ok(lock) => Ok(Some(lock)),
        Err(error @ LockError::Held(_)) => {
            Err(Failure::new(exit::TRY_AGAIN, error.to_string()).hint("try again when that run has ended"))
        }
        Err(error @ LockError::Unwritable(..)) => {
            let warning = Warning { code: WarningCode::StateUnwritable, message: error.to_string(), subject: None };
            warnings.extend((!warnings.contains(&warning)).then_some(warning));
            Ok(None)
        }
    }
}

/// Undoes what runs before this one had registered and not ordered when they died: no plan shows it, since it is gone when
/// the world is looked at.
async fn undo(session: &Session, pools: &[PoolName], state: &StateDirectory) -> Vec<Outcome> {
    let Some(fleet) = &session.fleet else { return Vec::new() };
    let runners = Registrar::new(&session.client, &session.config.github.scope, &session.service);
    undo_left_over(Owner { config: &session.config, pools, state }, &runners, fleet).await
}

/// A plan that somebody looked at for longer is looked at once more by us.
const FRESH: Duration = Duration::from_secs(30);

/// What has looked at everything waits so long for a run that launches.
const LOCK_PATIENCE: Duration = Duration::from_mins(1);
const LOCK_PAUSE: Duration = Duration::from_millis(200);

async fn lock(state: &StateDirectory, fleet: &str, patience: Duration) -> Result<HostLock, LockError> {
    let began = Instant::now();
    loop {
        match state.lock(fleet) {
            Err(LockError::Held(_)) if began.elapsed() < patience => tokio::time::sleep(LOCK_PAUSE).await,
            taken => return taken,
        }
    }
}

/// What is to be done, from one observation.
struct Decision {
    seen_at: Timestamp,
    plan: Plan,
    /// The scale sets in which runners of these pools are registered.
    scale_sets: BTreeMap<PoolName, ScaleSetId>,
    /// The jobs that are to be re-run.
    due: Due,
    report: PlanReport,
    prices: Prices,
    /// What was asked for and no longer holds, and why.
    dropped: Vec<(ActionRow, String)>,
    dropped_reruns: Vec<RerunRow>,
    why_dropped: &'static str,
    warnings: Vec<Warning>,
}

impl Decision {
    fn is_nothing(&self) -> bool {
        self.plan.actions.is_empty() && self.due.reruns.is_empty()
    }
}

/// Plans by an observation; of the plan only what `asked_for` has too, if that is given.
///
/// After a look at everything, which can take minutes, launches are planned by the runners of now, who may have its jobs by
/// now. Ends are planned by what it saw: that no job has a runner is known of jobs that were read after the runner.
async fn decide(
    session: &Session,
    mut seen: Observation,
    pools: &[PoolName],
    asked_for: Option<&PlanReport>,
) -> Result<Decision, Failure> {
    let mut due = session.reruns(&seen, pools).await;
    let mut warnings = seen.warnings.clone();
    warnings.append(&mut due.warnings);
    let policy = session.config.policy();
    warnings.extend(View::of(&seen.snapshot, &policy).warnings());
    let mut warnings = about(pools, &session.config, warnings);
    let mut plan = session.decide(&seen.snapshot, pools)?;
    if session.config.scan.full {
        warnings.extend(session.renew(&mut seen).await?);
        plan = joined(plan, session.decide(&seen.snapshot, pools)?);
    }
    let launches = plan.actions.iter().filter(|action| is_launch(action));
    let launched_in: BTreeSet<PoolName> = launches.map(|action| action.pool.clone()).collect();
    let dropped = asked_for.map(|asked_for| narrow(&mut plan, asked_for)).unwrap_or_default();
    let dropped_reruns = asked_for.map(|asked_for| narrow_reruns(&mut due, asked_for)).unwrap_or_default();
    let is_known = seen.known.runners && seen.known.instances;
    let why_dropped = if is_known { NO_LONGER } else { UNKNOWN };
    // Of thousands of jobs it is not made for nothing.
    let view = (is_known && !dropped.is_empty()).then(|| View::of(&seen.snapshot, &policy));
    let is_whole = seen.snapshot.demand.kind == CountKind::Exact;
    let with_why = |action| {
        let why = view.as_ref().and_then(|view| why_no_longer(&action, view, &plan, &launched_in, is_whole));
        (action, why.unwrap_or_else(|| why_dropped.to_owned()))
    };
    let dropped: Vec<(ActionRow, String)> = dropped.into_iter().map(with_why).collect();
    warnings.extend(dropped.iter().map(|(action, why)| skipped(action, why)));
    warnings.extend(dropped_reruns.iter().map(|row| {
        Warning::new(WarningCode::ActionSkipped, format!("job {} of {}", row.job_id, row.repository), why_dropped)
    }));
    let report = PlanReport::of(&plan, &seen.snapshot, &session.config.digest).with_reruns(&due.reruns);
    let scale_sets = seen.scale_sets;
    let prices = seen.snapshot.prices;
    Ok(Decision {
        seen_at: seen.snapshot.now,
        plan,
        scale_sets,
        due,
        report,
        prices,
        dropped,
        dropped_reruns,
        why_dropped,
        warnings,
    })
}

fn is_launch(action: &Action) -> bool {
    matches!(action.step, Step::Launch { .. })
}

/// Returns the ends and marks of one plan with the launches of a later one.
fn joined(mut ends: Plan, mut launches: Plan) -> Plan {
    launches.actions.retain(is_launch);
    ends.actions.retain(|action| !is_launch(action));
    for sums in &mut launches.pools {
        sums.end = ends.pools.iter().find(|one| one.name == sums.name).map_or(0, |one| one.end);
    }
    ends.actions.append(&mut launches.actions);
    ends.actions.sort_by(|a, b| a.pool.cmp(&b.pool));
    let holds_launches = |held: &Held| held.reason.code.holds_launches();
    launches.held.retain(holds_launches);
    ends.held.retain(|held| !holds_launches(held));
    ends.held.append(&mut launches.held);
    Plan { actions: ends.actions, held: ends.held, ..launches }
}

const NO_LONGER: &str = "it no longer holds: the world has changed since the plan was made";
const UNKNOWN: &str = "whether it still holds is not known: runners or instances could not be read whole";

/// Returns why what a plan file has is not in a plan of now, which had launches in these pools, from all jobs or not; `None`:
/// that can't be told in few words.
fn why_no_longer(
    action: &ActionRow,
    view: &View<'_>,
    plan: &Plan,
    launched_in: &BTreeSet<PoolName>,
    is_whole: bool,
) -> Option<String> {
    let pool = view.pools.iter().find(|pool| pool.pool.name == action.pool)?;
    let is_launch = action.action == ActionKind::Launch;
    let is_its = |unit: &&Unit<'_>| match action.instance_id.as_ref() {
        _ if is_launch => unit.slot == action.slot && unit.holds_slot(),
        Some(id) => unit.instance().is_some_and(|instance| instance.id == *id),
        None => unit.runner().is_some_and(|runner| Some(runner.id) == action.runner_id),
    };
    let unit = pool.units.iter().find(is_its);
    let held = plan.held.iter().find(|held| match held.runner.as_ref().or(action.runner.as_ref()) {
        _ if held.pool != action.pool => false,
        _ if is_launch => held.reason.code.holds_launches(),
        runner => held.instance_id == action.instance_id && runner == action.runner.as_ref(),
    });
    let why = match (unit, held) {
        (Some(unit), _) if is_launch => {
            let holder = unit.instance().map(|instance| instance.id.to_string());
            format!("its slot is taken by {}", holder.or_else(|| Some(unit.runner()?.name.to_string()))?)
        }
        (_, Some(held)) => held.reason.message.clone(),
        (None, None) if is_launch => {
            let waiting = view.pending_on(&action.pool);
            let is_of_pool = |job: &&Unschedulable| waiting.iter().any(|waiting| waiting.id == job.job_id);
            // A set's jobs are counted by the set, and spares are asked for by none.
            let is_by_jobs = pool.scale_set.is_none() && pool.pool.min_idle == 0;
            let is_idle = is_by_jobs && waiting.is_empty() && !launched_in.contains(&action.pool);
            match plan.unschedulable.iter().find(is_of_pool) {
                Some(job) => job.reason.message.clone(),
                None if is_whole && is_idle => "no job asks for it any more".to_owned(),
                None => return None,
            }
        }
        (None, None) => "it is gone already".to_owned(),
        (Some(unit), None) if unit.works() => "its runner works".to_owned(),
        (Some(_), None) => return None,
    };
    Some(format!("it no longer holds: {why}"))
}

fn skipped(action: &ActionRow, why: &str) -> Warning {
    let subject = action.runner.as_ref().map(ToString::to_string);
    let subject = subject.or_else(|| action.instance_id.as_ref().map(ToString::to_string));
    Warning { code: WarningCode::ActionSkipped, message: why.to_owned(), subject }
}

async fn carry_out(
    session: &Session,
    decision: &Decision,
    state: &StateDirectory,
    audit: Option<&AuditLog>,
    is_stopping: &Cell<bool>,
    ui: &Ui,
) -> Vec<Outcome> {
    let Some(fleet) = &session.fleet else { return Vec::new() };
    let settings =
        |pool: &Pool| PoolSettings { place: pool.place(decision.scale_sets.get(&pool.policy.name).copied()) };
    let pools = session.config.pools.iter().map(|pool| (pool.policy.name.clone(), settings(pool))).collect();
    let runners = Registrar::new(&session.client, &session.config.github.scope, &session.service);
    let nonce = || fastrand::u64(..);
    let executor = Executor {
        runners: &runners,
        instances: fleet,
        clock: &SystemClock,
        memory: &state.unordered(session.config.policy().fleet.as_str(), &session.config.github.url),
        jobs: &AllJobs { client: &session.client, scope: &session.config.github.scope, settings: &session.config.scan },
        pools: &pools,
        nonce: &nonce,
        listener: &Log { audit, progress: ui.progress("applying", decision.plan.actions.len()) },
        paces: &RefCell::default(),
        is_stopping: &|| is_stopping.get(),
    };
    executor.carry_out(&decision.plan).await
}

/// Re-runs what is to be; returns the result of each job, those that no longer hold among them.
async fn rerun(
    session: &Session,
    decision: &mut Decision,
    state: &StateDirectory,
    audit: Option<&AuditLog>,
    is_stopping: &Cell<bool>,
    warnings: &mut Vec<Warning>,
) -> Vec<RerunResult> {
    let Due { reruns, settled, .. } = std::mem::take(&mut decision.due);
    let tell = |outcome: &RerunOutcome| {
        tracing::info!(run = %outcome.rerun.run_id, result = ?outcome.result, error = outcome.error, "re-run ended");
        if let Some(audit) = audit {
            audit.rerun(outcome);
        }
    };
    let work = Reruns::of(&session.config, &session.client, state);
    let (outcomes, said) = work.carry_out(&reruns, settled, tell, &|| is_stopping.get()).await;
    warnings.extend(said);
    let done = outcomes.iter().flat_map(RerunResult::of);
    let dropped = std::mem::take(&mut decision.dropped_reruns).into_iter();
    done.chain(dropped.map(|row| RerunResult::skipped(row, decision.why_dropped))).collect()
}

/// Tells the log, the audit log and the terminal of each action.
struct Log<'a> {
    audit: Option<&'a AuditLog>,
    progress: Bar,
}

impl Listener for Log<'_> {
    fn ended(&self, outcome: &Outcome) {
        let (pool, result) = (outcome.action.pool.as_str(), outcome.result);
        tracing::info!(pool, slot = ?outcome.action.slot, ?result, error = outcome.error, "action ended");
        if let Some(audit) = self.audit {
            audit.ended(outcome);
        }
        self.progress.step(pool);
    }
}

// --- the plan file --------------------------------------------------------------------------------------------------

/// Reads a plan file. Wrong in any way, it is refused as a whole, before anything is called.
fn read(file: &Path, config: &Config) -> Result<PlanReport, Failure> {
    let named = |what: &dyn std::fmt::Display| Failure::usage(format!("{}: {what}", file.display()));
    let text = files::read(file, files::LARGEST_PLAN).map_err(|error| named(&error))?;
    PlanReport::read(&text, &config.digest).map_err(|error| match error {
        PlanFileError::NoPlan(_) | PlanFileError::Schema(_) => named(&error),
        PlanFileError::Changed | PlanFileError::AnotherConfiguration => {
            named(&error).hint("make a new one with `ghascale plan --out`")
        }
    })
}

/// Keeps of a fresh plan what the file has too, a launch with the offerings that the file has too; returns what the file
/// has and the fresh plan hasn't.
fn narrow(fresh: &mut Plan, file: &PlanReport) -> Vec<ActionRow> {
    let mut wanted = file.actions.clone();
    fresh.actions.retain_mut(|action| {
        let row = ActionRow::from(&*action);
        let Some(at) = wanted.iter().position(|other| other.is_same_deed(&row)) else { return false };
        if let Step::Launch { offerings, .. } = &mut action.step {
            offerings.retain(|offering| wanted[at].may_buy(offering));
            if offerings.is_empty() {
                return false;
            }
        }
        wanted.remove(at);
        true
    });
    // A note that is set already, by a peer or by a listener, is as the plan wanted it.
    wanted.retain(|action| action.action != ActionKind::Mark);
    let count = |plan: &Plan, pool: &PoolName, wanted: fn(ActionKind) -> bool| {
        let of_pool = plan.actions.iter().filter(|action| action.pool == *pool);
        u32::try_from(of_pool.filter(|action| wanted(ActionRow::from(*action).action)).count()).unwrap_or(u32::MAX)
    };
    let sums: Vec<(u32, u32)> = fresh
        .pools
        .iter()
        .map(|sums| {
            let launches = count(fresh, &sums.name, |kind| kind == ActionKind::Launch);
            (launches, count(fresh, &sums.name, |kind| kind == ActionKind::Terminate))
        })
        .collect();
    for (pool, (launch, end)) in fresh.pools.iter_mut().zip(sums) {
        (pool.launch, pool.end) = (launch, end);
    }
    wanted
}

/// Keeps of the re-runs what the file has too; returns what the file has and is not to be re-run any more.
fn narrow_reruns(fresh: &mut Due, file: &PlanReport) -> Vec<RerunRow> {
    fresh
        .reruns
        .retain(|rerun| RerunRow::of(rerun).iter().all(|row| file.reruns.iter().any(|other| is_same(row, other))));
    let kept: Vec<RerunRow> = fresh.reruns.iter().flat_map(RerunRow::of).collect();
    file.reruns.iter().filter(|row| !kept.iter().any(|other| is_same(row, other))).cloned().collect()
}

fn is_same(one: &RerunRow, other: &RerunRow) -> bool {
    (&one.repository, one.run_id, one.job_id) == (&other.repository, other.run_id, other.job_id)
}

fn code(report: &Report<ApplyReport>, was_asked_for: bool) -> u8 {
    let Summary { done, skipped, failed } = report.body.summary;
    let has = |wanted| report.body.reruns.iter().any(|row| row.result == wanted);
    let is_skipped = skipped > 0 || has(ResultWord::Skipped);
    if failed > 0 && done == 0 {
        exit::FAILED
    } else if failed > 0 || has(ResultWord::Failed) || report.is_partial() || (was_asked_for && is_skipped) {
        exit::PARTIAL
    } else {
        exit::DONE
    }
}
