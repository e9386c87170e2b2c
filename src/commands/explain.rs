//! `ghascale explain`: why a job is being run, or is not.
//!
//! What GitHub says of the job itself comes first: one that is completed needs no look at the rest. Then everything is
//! looked at once, as `plan` does; and where the job is in none of the lists, it is asked for once more, since it may have
//! moved on in the meantime.

use jiff::Timestamp;

use super::Failure;
use super::session::{Session, configuration, show};
use crate::cli::{Cli, ExplainArgs};
use crate::config::Needs;
use crate::engine::{
    HiddenRun, Job, JobId, JobState, Plan, Policy, PoolName, RepositoryName, RunId, Scope, Snapshot, View,
};
use crate::exit;
use crate::explanation::{Case, Explanation, Seen, Standing, Subject, explain, pool_of};
use crate::github::{
    Error, ErrorKind, FoundJob, FoundRun, Link, LinkError, RunJobs, find_job, find_run, runner_groups, runners,
    runners_unread,
};
use crate::observe::Observation;
use crate::report::{ExplainReport, OtherJob};
use crate::ui::Ui;
use crate::warning::{Warning, WarningCode};

pub(super) async fn run(cli: &Cli, args: &ExplainArgs, ui: &Ui) -> Result<u8, Failure> {
    let config = configuration(cli, Needs::Look, &[], ui)?;
    let link = Link::parse(&args.job, &config.github).map_err(|refused| refused_link(&refused, &config.github.url))?;
    let session = Session::open(config, Needs::Look).await?;
    let mut warnings = Vec::new();
    let mut found = look_up(&session, &link, &mut warnings).await?;
    let (now, explanation) = match &found.subject {
        subject @ (Subject::Completed(_) | Subject::Run(FoundRun { jobs: RunJobs::Unread, .. })) => {
            let now = Timestamp::now();
            (now, explain(&case(&session, subject, now, None)))
        }
        _ => look_around(&session, &link, &mut found, &mut warnings, ui).await?,
    };
    let subject = &found.subject;
    let explained = match subject {
        Subject::Job(job, _) => Some(job.id),
        _ => None,
    };
    let prefix = prefix(cli);
    let others = found.of_run.iter().filter(|job| Some(job.id) != explained);
    let others = others.map(|job| OtherJob::of(job, &prefix)).collect();
    let report = session.report("explain", now, warnings, ExplainReport::of(subject, explanation, others));
    show(ui, &report, None, || report.body.text(ui.look()))?;
    // Where what would tell whether it is there could not be read, that is no answer.
    let is_unanswered = matches!(subject, Subject::Unscanned(_)) && report.body.failed_step.is_none();
    Ok(if report.is_partial() || is_unanswered { exit::PARTIAL } else { exit::DONE })
}

/// What was found of the job that was asked about.
struct Found {
    /// Of a bare id nothing, until it has been sought in the scan.
    subject: Subject,
    /// The jobs of the run that was asked about that are not completed.
    of_run: Vec<Job>,
}

impl Found {
    fn only(subject: Subject) -> Self {
        Self { subject, of_run: Vec::new() }
    }
}

/// Asks GitHub for what the address names.
async fn look_up(session: &Session, link: &Link, warnings: &mut Vec<Warning>) -> Result<Found, Failure> {
    match link {
        Link::Id(id) => Ok(Found::only(Subject::Unscanned(*id))),
        Link::Job(repository, id) => {
            let found = find_job(&session.client, repository, *id).await;
            Ok(Found::only(of_job(found, format!("job {id} of {repository}"), warnings)?))
        }
        Link::Run(repository, id) => {
            let found = find_run(&session.client, repository, *id).await;
            of_run(found, format!("run {id} of {repository}"), warnings)
        }
    }
}

fn of_job(
    found: Result<Option<FoundJob>, Error>,
    what: String,
    warnings: &mut Vec<Warning>,
) -> Result<Subject, Failure> {
    Ok(match found {
        // Where it stands is seen in the scan.
        Ok(Some(FoundJob::Active(job))) => Subject::Job(job, Standing::Unlisted),
        Ok(Some(FoundJob::Completed(job))) => Subject::Completed(job),
        Ok(None) => Subject::Missing(what),
        Err(error) => unread(error, what, warnings)?,
    })
}

fn of_run(found: Result<Option<FoundRun>, Error>, what: String, warnings: &mut Vec<Warning>) -> Result<Found, Failure> {
    let run = match found {
        Ok(Some(run)) => run,
        Ok(None) => return Ok(Found::only(Subject::Missing(what))),
        Err(error) => return Ok(Found::only(unread(error, what, warnings)?)),
    };
    let of_run = match &run.jobs {
        RunJobs::Listed(jobs) => jobs.clone(),
        RunJobs::Unread | RunJobs::Hidden => Vec::new(),
    };
    let subject = match first(&of_run) {
        Some(job) => Subject::Job(job.clone(), Standing::Unlisted),
        None => Subject::Run(run),
    };
    Ok(Found { subject, of_run })
}

/// Returns the job of a run that is explained: of those that wait for a runner the one that has waited longest; else of
/// those that wait for something else; else of those in progress.
fn first(jobs: &[Job]) -> Option<&Job> {
    let rank = |state: &JobState| match state {
        JobState::Pending => 0,
        JobState::Waiting(_) => 1,
        JobState::InProgress => 2,
    };
    jobs.iter().min_by_key(|job| (rank(&job.state), job.queued_at.is_none(), job.queued_at, job.id))
}

/// Goes on without what could not be read, unless nothing else could be read either.
fn unread(error: Error, what: String, warnings: &mut Vec<Warning>) -> Result<Subject, Failure> {
    if matches!(error.kind, ErrorKind::Unauthorized | ErrorKind::RateLimited { .. }) {
        return Err(error.into());
    }
    let why = error.to_string();
    warnings.push(Warning::new(WarningCode::RunFailed, what.as_str(), why.as_str()));
    Ok(Subject::Unread { what, why })
}

/// Looks at everything once, and explains.
async fn look_around(
    session: &Session,
    link: &Link,
    found: &mut Found,
    warnings: &mut Vec<Warning>,
    ui: &Ui,
) -> Result<(Timestamp, Explanation), Failure> {
    let mut observed = session.observe(None, ui).await?;
    warnings.append(&mut observed.warnings);
    settle(session, link, found, &observed.snapshot, warnings).await?;
    // What the lists lack so far is followed as if they had it.
    if let Subject::Job(job, Standing::Unlisted) = &found.subject {
        observed.snapshot.demand.jobs.push(job.clone());
    }
    let waits = matches!(&found.subject, Subject::Job(job, _) if job.state == JobState::Pending);
    if session.config.pools.is_empty() && waits {
        read_runners(session, &mut observed, warnings).await?;
    }
    let policy = session.config.policy();
    let plan = session.decide(&observed.snapshot, &[])?;
    let now = observed.snapshot.now;
    let explanation = with_what_was_seen(session, &found.subject, &observed, &policy, &plan, warnings).await;
    Ok((now, explanation))
}

/// Holds what was found by its id against the lists, which were read after it and so are newer.
async fn settle(
    session: &Session,
    link: &Link,
    found: &mut Found,
    snapshot: &Snapshot,
    warnings: &mut Vec<Warning>,
) -> Result<(), Failure> {
    let demand = &snapshot.demand;
    let listed = || demand.jobs.iter().chain(&demand.ghost_jobs);
    match link {
        Link::Id(id) => *found = in_scan(session, *id, snapshot, warnings).await?,
        Link::Run(repository, id) if matches!(found.subject, Subject::Missing(_) | Subject::Unread { .. }) => {
            let of_run: Vec<Job> = listed().filter(|job| job.run_id == *id).cloned().collect();
            match first(&of_run).cloned() {
                Some(job) if job.repository.is_same(repository) => {
                    *found = Found { subject: Subject::Job(job, Standing::Unlisted), of_run };
                }
                Some(job) => found.subject = elsewhere(&found.subject, &job),
                None => {}
            }
        }
        Link::Job(repository, id) if matches!(found.subject, Subject::Missing(_) | Subject::Unread { .. }) => {
            match listed().find(|job| job.id == *id) {
                Some(job) if job.repository.is_same(repository) => {
                    found.subject = Subject::Job(job.clone(), Standing::Unlisted);
                }
                Some(job) => found.subject = elsewhere(&found.subject, job),
                None => {}
            }
        }
        Link::Run(..) | Link::Job(..) => {}
    }
    let Subject::Job(job, standing) = &mut found.subject else { return Ok(()) };
    *standing = Standing::of(job.id, &job.repository, snapshot);
    if let Some(newer) = listed().find(|listed| listed.id == job.id) {
        *job = newer.clone();
    } else if let Ok(Some(newer)) = find_job(&session.client, &job.repository, job.id).await {
        // A repetition that fails leaves what the first look has shown.
        match newer {
            FoundJob::Active(newer) => *job = newer,
            FoundJob::Completed(completed) => found.subject = Subject::Completed(completed),
        }
    }
    Ok(())
}

/// Says of what GitHub does not show in the repository of its address where the lists have it.
fn elsewhere(subject: &Subject, job: &Job) -> Subject {
    match subject {
        Subject::Missing(what) => Subject::Missing(format!("{what}: it is of {}", job.repository)),
        other => other.clone(),
    }
}

/// Seeks a bare id among what was scanned; where the scope is one repository, GitHub can be asked for it too.
async fn in_scan(
    session: &Session,
    id: u64,
    snapshot: &Snapshot,
    warnings: &mut Vec<Warning>,
) -> Result<Found, Failure> {
    let demand = &snapshot.demand;
    let all: Vec<&Job> = demand.jobs.iter().chain(&demand.ghost_jobs).collect();
    if let Some(job) = all.iter().find(|job| job.id == JobId(id)) {
        return Ok(Found::only(Subject::Job((*job).clone(), Standing::Counted)));
    }
    let of_run: Vec<Job> = all.into_iter().filter(|job| job.run_id == RunId(id)).cloned().collect();
    if let Some(job) = first(&of_run) {
        return Ok(Found { subject: Subject::Job(job.clone(), Standing::Counted), of_run });
    }
    let mut hidden = demand.unresolved.iter().chain(&demand.ghosts);
    if let Some(run) = hidden.find(|run| run.run_id == RunId(id)) {
        return Ok(Found::only(Subject::Run(shown(run))));
    }
    let Scope::Repository(repository) = &session.config.github.scope else {
        return Ok(Found::only(Subject::Unscanned(id)));
    };
    by_number(session, repository, id, warnings).await
}

async fn by_number(
    session: &Session,
    repository: &RepositoryName,
    id: u64,
    warnings: &mut Vec<Warning>,
) -> Result<Found, Failure> {
    let job = find_job(&session.client, repository, JobId(id)).await;
    match of_job(job, format!("job {id} of {repository}"), warnings)? {
        Subject::Missing(_) => {}
        subject => return Ok(Found::only(subject)),
    }
    let run = find_run(&session.client, repository, RunId(id)).await;
    of_run(run, format!("job or run {id} of {repository}"), warnings)
}

/// Returns a run that the scan has seen without jobs.
fn shown(run: &HiddenRun) -> FoundRun {
    FoundRun {
        id: run.run_id,
        repository: run.repository.clone(),
        status: run.status.clone(),
        conclusion: None,
        since: run.since,
        updated_at: None,
        jobs: RunJobs::Hidden,
    }
}

/// Reads the runners, which without a pool no observation does.
async fn read_runners(
    session: &Session,
    observed: &mut Observation,
    warnings: &mut Vec<Warning>,
) -> Result<(), Failure> {
    match runners(&session.client, &session.config.github.scope).await {
        Ok((listing, said)) => {
            warnings.extend(said);
            observed.known.runners = listing.whole;
            observed.snapshot.runners = listing;
        }
        Err(error) if error.kind == ErrorKind::Unauthorized => return Err(error.into()),
        Err(error) => warnings.push(runners_unread(&error, &session.config.github.scope)),
    }
    Ok(())
}

/// Asks for what the pool that takes the job adds, and explains.
async fn with_what_was_seen(
    session: &Session,
    subject: &Subject,
    observed: &Observation,
    policy: &Policy,
    plan: &Plan,
    warnings: &mut Vec<Warning>,
) -> Explanation {
    let view = View::of(&observed.snapshot, policy);
    if observed.known.instances && observed.known.runners {
        warnings.extend(view.warnings());
    }
    let pool: Option<PoolName> = match subject {
        Subject::Job(job, _) => pool_of(job.id, &view).map(|view| view.pool.name.clone()),
        _ => None,
    };
    let groups = match &pool {
        None => None,
        Some(_) => match runner_groups(&session.client, &session.config.github.scope).await {
            Ok(groups) => Some(Ok(groups)),
            Err(error) => {
                warnings.push(Warning::new(WarningCode::GroupsFailed, "runner groups", error.to_string()));
                Some(Err(error.to_string()))
            }
        },
    };
    let scale_set = match pool.as_ref().and_then(|pool| observed.scale_sets.get(pool)) {
        None => None,
        Some(id) => Some(session.service.scale_set(*id).await.map_err(|error| error.to_string())),
    };
    let seen = Seen {
        snapshot: &observed.snapshot,
        view: &view,
        plan,
        known: observed.known,
        pools: &session.config.pools,
        groups,
        scale_set,
        warnings,
    };
    explain(&case(session, subject, observed.snapshot.now, Some(&seen)))
}

fn case<'a>(session: &'a Session, subject: &'a Subject, now: Timestamp, seen: Option<&'a Seen<'a>>) -> Case<'a> {
    let config = &session.config;
    let url = config.github.url.as_str();
    let path = url.find("://").and_then(|scheme| url[scheme + 3..].find('/').map(|path| scheme + 3 + path));
    Case {
        subject,
        now,
        site: &url[..path.unwrap_or(url.len())],
        scope: &config.github.scope,
        max_job_age: config.scan.max_job_age,
        seen,
    }
}

/// Returns how a command line for another job begins, with the flags that this one had.
fn prefix(cli: &Cli) -> String {
    let mut line = "ghascale".to_owned();
    for (flag, value) in
        [("-c", cli.config.as_ref().map(|file| file.display().to_string())), ("--url", cli.url.clone())]
    {
        if let Some(value) = value {
            line = format!("{line} {flag} {}", word(&value));
        }
    }
    format!("{line} explain")
}

/// Returns a word as a shell takes it for one.
fn word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:".contains(c);
    if text.chars().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

fn refused_link(refused: &LinkError, url: &str) -> Failure {
    let failure = Failure::usage(refused.to_string());
    match refused {
        LinkError::Unreadable => failure
            .hint(format!("such as `ghascale explain {url}/…/actions/runs/1/job/2`, or the id of a job or a run")),
        LinkError::Credentials => failure.hint("leave them out: the token is named by the configuration"),
        LinkError::OtherHost { .. } | LinkError::OtherScope { .. } => failure
            .hint("name its organization or repository: `ghascale --url URL explain …`, or another file with `-c`"),
    }
}
