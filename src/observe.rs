//! EC2, runner records and jobs -> one [`Snapshot`], read in that order.
//!
//! What can't be read whole becomes a warning and a listing that says so; only what makes any answer impossible (the
//! jobs can't be read at all, the credentials are refused) is an error.

use jiff::Timestamp;

use crate::config::Config;
use crate::ec2::Fleet;
use crate::engine::{Instance, Listing, Runner, Snapshot};
use crate::github::{self, Client, Coverage, ErrorKind, Progress};
use crate::report::Known;
use crate::warning::{Warning, WarningCode};

/// One observation, and what is missing from it.
#[derive(Debug)]
pub struct Observation {
    /// What was seen.
    pub snapshot: Snapshot,
    /// Which parts of the supply were read.
    pub known: Known,
    /// What is missing, or worth a word.
    pub warnings: Vec<Warning>,
    /// How much of the scope was looked at.
    pub coverage: Coverage,
}

/// Looks at everything once. Without a fleet no instance is looked at, and without a pool no runner record.
///
/// # Errors
/// GitHub refused the credentials, or the jobs could not be read at all.
pub async fn observe(
    config: &Config,
    client: &Client,
    fleet: Option<&Fleet>,
    progress: &dyn Progress,
) -> Result<Observation, github::Error> {
    let now = Timestamp::now();
    let mut warnings = config.warnings.clone();
    let instances = instances(fleet, &mut warnings).await;
    let runners = runners(config, client, &mut warnings).await?;
    let scanned = github::scan(client, &config.github.scope, &config.scan, now, progress).await?;
    warnings.extend(scanned.warnings);
    let known = Known {
        runners: runners.as_ref().is_some_and(|listing| listing.whole),
        instances: instances.as_ref().is_some_and(|listing| listing.whole),
        by_name: config.ec2.is_some(),
    };
    if config.ec2.is_none() && !config.pools.is_empty() {
        let said = "the configuration has no `[ec2]`: instances are not shown";
        warnings.push(Warning { code: WarningCode::NoEc2, message: said.to_owned(), subject: None });
    }
    Ok(Observation {
        snapshot: Snapshot {
            now,
            instances: instances.unwrap_or_else(|| Listing::partial(Vec::new())),
            runners: runners.unwrap_or_else(|| Listing::partial(Vec::new())),
            demand: scanned.demand,
        },
        known,
        warnings,
        coverage: scanned.coverage,
    })
}

async fn instances(fleet: Option<&Fleet>, warnings: &mut Vec<Warning>) -> Option<Listing<Instance>> {
    match fleet?.observe().await {
        Ok((listing, said)) => {
            warnings.extend(said);
            Some(listing)
        }
        Err(error) => {
            warnings.push(Warning::new(WarningCode::InstancesFailed, "instances", error.to_string()));
            None
        }
    }
}

async fn runners(
    config: &Config,
    client: &Client,
    warnings: &mut Vec<Warning>,
) -> Result<Option<Listing<Runner>>, github::Error> {
    if config.pools.is_empty() {
        return Ok(None);
    }
    match github::runners(client, &config.github.scope).await {
        Ok((listing, said)) => {
            warnings.extend(said);
            Ok(Some(listing))
        }
        Err(error) if error.kind == ErrorKind::Unauthorized => Err(error),
        Err(error) => {
            warnings.push(Warning::new(WarningCode::RunnersFailed, "runners", error.to_string()));
            Ok(None)
        }
    }
}
