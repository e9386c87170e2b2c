//! What `status`, `plan` and `apply` share: a configuration, connections, one observation, one report.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use etcetera::BaseStrategy as _;
use serde::Serialize;

use super::Failure;
use crate::cli::{Cli, SourceChoice};
use crate::config::{self, Config, Environment, Needs, Request};
use crate::ec2::{self, Fleet};
use crate::engine::{Plan, PoolName, Snapshot, check, plan};
use crate::exit;
use crate::github::{Cache, Client, ErrorKind, Limits};
use crate::observe::{Listened, Observation, Sources, observe, renew};
use crate::report::{Api, Report};
use crate::rerun::{Due, Reruns};
use crate::scale_set;
use crate::state::StateDirectory;
use crate::ui::Ui;
use crate::warning::{Warning, WarningCode};

/// What to do where the requests of `--max-requests` were too few, and there is a cache.
const GOES_ON: &str = "run it again: what was read is kept, and asked for first; or raise `--max-requests`";

/// One command's connections.
pub(super) struct Session {
    /// The validated configuration.
    pub(super) config: Config,
    /// GitHub.
    pub(super) client: Arc<Client>,
    /// The Actions Service.
    pub(super) service: Arc<scale_set::Client>,
    /// EC2; `None` without `[ec2]`.
    pub(super) fleet: Option<Fleet>,
}

/// Reads the configuration, and nothing else.
pub(super) fn configuration(cli: &Cli, needs: Needs, pools: &[PoolName], ui: &Ui) -> Result<Config, Failure> {
    let request =
        Request { file: cli.config.clone(), url: cli.url.clone(), environment: Environment::of_process(), needs };
    let mut config = config::load(&request)
        .map_err(|problems| Failure { drawn: true, ..Failure::usage(problems.render(ui.colors_errors())) })?;
    config.scan.cache = !cli.no_cache;
    config.scan.max_requests = cli.max_requests;
    config.scan.full = cli.full;
    check_pools(&config, pools)?;
    if needs == Needs::Launch {
        let too_large = config.pools.iter().filter_map(|pool| ec2::check_user_data(pool).err());
        if let Some(why) = too_large.reduce(|all, one| format!("{all}; {one}")) {
            return Err(Failure::usage(why));
        }
    }
    Ok(config)
}

/// Refuses the names of pools that the configuration doesn't have.
pub(super) fn check_pools(config: &Config, pools: &[PoolName]) -> Result<(), Failure> {
    for pool in pools {
        if config.pool(pool).is_none() {
            let names: Vec<_> = config.pools.iter().map(|pool| format!("`{}`", pool.policy.name)).collect();
            let failure = Failure::usage(format!("no pool `{pool}` in the configuration"));
            return Err(if names.is_empty() {
                failure
            } else {
                failure.hint(format!("there is {}", names.join(", ")))
            });
        }
    }
    Ok(())
}

impl Session {
    /// Connects to what the configuration names. Nothing is called yet, so what fails here is the configuration.
    ///
    /// To look, EC2 is not needed: what is wrong with it is a warning then.
    pub(super) async fn open(config: Config, needs: Needs) -> Result<Self, Failure> {
        Self::open_to_repeat(config, needs, None).await
    }

    /// The same, for looks that are repeated so often.
    pub(super) async fn open_to_repeat(
        mut config: Config,
        needs: Needs,
        looks_every: Option<Duration>,
    ) -> Result<Self, Failure> {
        let client = Client::new(&config.github).map_err(|error| Failure::usage(error.to_string()))?;
        let mut client = client.with_limits(limits(&config.scan, looks_every));
        if config.scan.cache {
            match cache_directory().and_then(|directory| Cache::open(&directory)) {
                Ok(cache) => client = client.with_cache(cache),
                Err(why) => config.warnings.push(why),
            }
        }
        let client = Arc::new(client);
        let service = scale_set::Client::new(client.clone(), &config.github);
        let service = Arc::new(service.map_err(|error| Failure::usage(error.to_string()))?);
        let ca = config.github.ca_pem.as_deref();
        let fleet = match &config.ec2 {
            None => None,
            Some(ec2) => match Fleet::connect(ec2, &config.pools, ca).await {
                Ok(fleet) => Some(fleet),
                Err(error) if needs == Needs::Launch => {
                    return Err(Failure { may_pass: error.is_no_region(), ..Failure::usage(error.to_string()) });
                }
                Err(error) => {
                    config.warnings.push(Warning::new(WarningCode::InstancesFailed, "instances", error.to_string()));
                    None
                }
            },
        };
        Ok(Self { config, client, service, fleet })
    }

    /// Looks at everything once.
    pub(super) async fn observe(&self, choice: Option<SourceChoice>, ui: &Ui) -> Result<Observation, Failure> {
        let progress = ui.progress("reading repositories", 0);
        let (config, client, service) = (&self.config, &*self.client, &self.service);
        let (fleet, state) = (self.fleet.as_ref(), &state_directory());
        let (scan, listened) = (&self.config.scan, &Listened::new());
        let sources = Sources { config, scan, client, service, fleet, state, choice, listened };
        let mut seen = client.within_budget(observe(sources, &progress)).await.map_err(|error| {
            let goes_on = error.kind == ErrorKind::OverBudget && client.cache().is_some();
            let failure = Failure::from(error);
            if goes_on { failure.hint(GOES_ON) } else { failure }
        })?;
        if let Some(cache) = client.cache() {
            cache.flush();
            seen.warnings.extend(cache.warning());
        }
        Ok(seen)
    }

    /// Puts the supply and the scale sets' counts of now into an observation that took long: to launch by, and by nothing else.
    pub(super) async fn renew(&self, seen: &mut Observation) -> Result<Vec<Warning>, Failure> {
        let (config, client, service) = (&self.config, &*self.client, &self.service);
        let (fleet, state) = (self.fleet.as_ref(), &state_directory());
        let (scan, listened) = (&self.config.scan, &Listened::new());
        renew(Sources { config, scan, client, service, fleet, state, choice: None, listened }, seen)
            .await
            .map_err(Failure::from)
    }

    /// Finds the jobs that are to be re-run, after an observation.
    pub(super) async fn reruns(&self, seen: &Observation, pools: &[PoolName]) -> Due {
        let state = &state_directory();
        let due = Reruns::of(&self.config, &self.client, state).find(&seen.snapshot, pools).await;
        if let Some(cache) = self.client.cache() {
            cache.flush();
        }
        due
    }

    /// Decides, and lets the second pair of eyes look.
    pub(super) fn decide(&self, snapshot: &Snapshot, pools: &[PoolName]) -> Result<Plan, Failure> {
        let policy = self.config.policy();
        let plan = plan(snapshot, &policy);
        check(snapshot, &policy, &plan).map_err(|violations| {
            let message = format!("this plan breaks a rule, and nothing was done: {}", violations.join("; "));
            Failure::new(exit::FAILED, message)
                .hint("this is a defect of ghascale: please report it with `-vv`'s output")
        })?;
        Ok(plan.only(pools))
    }

    /// Puts a command's own part into what all reports share.
    pub(super) fn report<T>(&self, name: &str, at: jiff::Timestamp, warnings: Vec<Warning>, body: T) -> Report<T> {
        let usage = self.client.usage();
        Report {
            schema: format!("ghascale.{name}/1"),
            generated_at: at.to_string(),
            scope: self.config.github.scope.to_string(),
            warnings,
            api: Api {
                requests: usage.requests,
                not_modified: usage.not_modified,
                rate_limit_remaining: usage.remaining,
                rate_limit_limit: usage.limit,
                is_without_limits: self.client.is_without_limits(),
            },
            body,
        }
    }
}

/// Drops warnings about pools that were not asked about.
pub(super) fn about(pools: &[PoolName], config: &Config, mut warnings: Vec<Warning>) -> Vec<Warning> {
    let is_other = |subject: &str| {
        config.pools.iter().any(|pool| pool.policy.name.as_str() == subject && !pools.contains(&pool.policy.name))
    };
    let is_of_a_pool = |code: WarningCode| {
        use WarningCode::{
            OthersRunners, OverlappingPools, PriceUnknown, ScaleSetFailed, SourceFallback, SourcesDiffer,
        };
        matches!(
            code,
            OthersRunners | OverlappingPools | PriceUnknown | ScaleSetFailed | SourceFallback | SourcesDiffer
        )
    };
    if !pools.is_empty() {
        warnings.retain(|warning| !is_of_a_pool(warning.code) || !warning.subject.as_deref().is_some_and(is_other));
    }
    warnings
}

/// Writes a report: JSON to stdout, or the drawing to stdout; its warnings to stderr.
pub(super) fn show<T: Serialize>(
    ui: &Ui,
    report: &Report<T>,
    cadence: Option<Duration>,
    text: impl FnOnce() -> String,
) -> Result<(), Failure> {
    ui.warn(&report.warnings);
    print(ui, report, cadence, text).map(drop)
}

/// Writes a report to stdout, its warnings apart; returns whether somebody still reads it.
pub(super) fn print<T: Serialize>(
    ui: &Ui,
    report: &Report<T>,
    cadence: Option<Duration>,
    text: impl FnOnce() -> String,
) -> Result<bool, Failure> {
    let text = if ui.is_json() {
        report.json().map_err(|error| Failure::new(exit::FAILED, error.to_string()))?
    } else {
        format!("{}\n\n{}", text(), report.api.line(cadence))
    };
    Ok(ui.print(&text)?)
}

/// Returns where this host keeps its state.
pub(super) fn state_directory() -> StateDirectory {
    let state = etcetera::choose_base_strategy().ok().and_then(|strategy| strategy.state_dir());
    StateDirectory::new(state.unwrap_or_else(|| PathBuf::from(".")).join("ghascale"))
}

/// Returns how much may be asked.
fn limits(scan: &config::Scan, looks_every: Option<Duration>) -> Limits {
    Limits {
        at_once: scan.concurrency,
        per_minute: scan.requests_per_minute,
        per_look: None,
        looks_every,
        most_requests: scan.max_requests,
        share: scan.rate_limit_share,
    }
}

/// Returns where this host keeps what may be thrown away. Tokens are among it: without a home there is no place for it.
fn cache_directory() -> Result<PathBuf, Warning> {
    let home = etcetera::choose_base_strategy();
    let nowhere = |error| Warning::new(WarningCode::CacheFailed, "cache", format!("it is not used: {error}"));
    Ok(home.map_err(nowhere)?.cache_dir().join("ghascale"))
}

/// Names pools as the flags do.
pub(super) fn pool_names(names: &[String]) -> Vec<PoolName> {
    names.iter().map(PoolName::new).collect()
}
