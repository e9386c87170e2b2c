//! A scope in as many shares as it takes credentials to read it: one, or in an enterprise one for each organization that an
//! App is installed in.

use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream;
use jiff::Timestamp;

use super::client::Client;
use super::discovery::{Discovery, skipped};
use super::error::Error;
use super::installations::{Installation, installations};
use super::memory::Memory;
use super::repositories::{Ahead, Discovered, is_owner_wanted};
use crate::config::Scan;
use crate::engine::{RepositoryName, Scope};
use crate::warning::{Warning, WarningCode};

/// What is read with one credential.
#[derive(Debug)]
pub(super) struct Share {
    pub(super) scope: Scope,
    pub(super) repositories: Vec<RepositoryName>,
    /// Who reads it, where that is an App's installation.
    installation: Option<Arc<Client>>,
}

impl Share {
    /// Returns who reads it; `own` is who was asked to.
    pub(super) fn client<'a>(&'a self, own: &'a Client) -> &'a Client {
        self.installation.as_deref().unwrap_or(own)
    }
}

/// Divides a scope; returns with it what was found beside the repositories. Where one credential reads all of it, `ahead`
/// hears of them while they are listed.
///
/// # Errors
/// No repositories could be listed at all, and none are known from before.
pub(super) async fn shares(
    client: &Client,
    scope: &Scope,
    settings: &Scan,
    now: Timestamp,
    ahead: Option<&Ahead>,
) -> Result<(Vec<Share>, Discovered), Error> {
    if matches!(scope, Scope::Enterprise(_)) && client.is_app() {
        return of_installations(client, scope, settings, now).await;
    }
    let mut found = Discovery::new(client, settings, scope, now).telling(ahead).of(scope).await?;
    found.follow(Memory::of(client, now));
    let repositories = std::mem::take(&mut found.repositories);
    Ok((vec![Share { scope: scope.clone(), repositories, installation: None }], found))
}

async fn of_installations(
    client: &Client,
    scope: &Scope,
    settings: &Scan,
    now: Timestamp,
) -> Result<(Vec<Share>, Discovered), Error> {
    let (all, warnings) = installations(client).await?;
    let mut beside = Discovered { is_missing: !warnings.is_empty(), warnings, ..Discovered::default() };
    let said = format!(
        "an App is not told which organizations there are: jobs of those that it is installed in are read ({})",
        all.len()
    );
    beside.warnings.push(Warning::new(WarningCode::Degraded, scope.to_string(), said));
    let mut wanted = Vec::new();
    for installation in all {
        if !is_owner_wanted(&installation.login, settings) {
            beside.skipped.push(skipped(&installation.login));
        } else if installation.is_suspended {
            let said = "the App's installation in it is suspended, so its jobs are missing";
            beside.lose(&installation.login, said.to_owned());
        } else {
            wanted.push(installation);
        }
    }
    let lists = stream::iter(wanted).map(async |Installation { login, client, .. }| {
        let scope = Scope::Organization(login);
        let found = Discovery::new(&client, settings, &scope, now).of(&scope).await;
        (scope, client, found)
    });
    let mut lists = lists.buffered(settings.concurrency.max(1));
    let (mut shares, mut failed) = (Vec::new(), None);
    while let Some((scope, client, found)) = lists.next().await {
        match found {
            Ok(mut found) => {
                found.follow(Memory::of(&client, now));
                let repositories = std::mem::take(&mut found.repositories);
                beside.extend(found);
                shares.push(Share { scope, repositories, installation: Some(client) });
            }
            Err(error) => {
                beside.lose(
                    &scope.to_string(),
                    format!("its repositories could not be listed, and are missing: {error}"),
                );
                failed = Some(error);
            }
        }
    }
    match failed {
        Some(error) if shares.is_empty() => Err(error),
        _ => Ok((shares, beside)),
    }
}

impl Discovered {
    fn lose(&mut self, login: &str, said: String) {
        self.is_missing = true;
        self.warnings.push(Warning::new(WarningCode::OrganizationFailed, login, said));
    }
}
