//! An App's installations in organizations: to each its own token, rate limit and gate, so that what one is refused says
//! nothing of the others.
//!
//! Which organizations an enterprise has is not told to an App: those that it is installed in are the scope.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::client::Client;
use super::error::{Error, ErrorKind};
use super::pages::Pages;
use super::repositories::is_segment;
use crate::engine::{RepositoryName, Scope};
use crate::warning::{Warning, WarningCode};

/// An installation in an organization.
#[derive(Debug)]
pub(super) struct Installation {
    pub(super) login: String,
    /// Somebody has suspended it: no token is given out for it.
    pub(super) is_suspended: bool,
    pub(super) client: Arc<Client>,
}

#[derive(Serialize, Deserialize)]
struct Listed {
    id: u64,
    account: Option<Account>,
    target_type: Option<String>,
    suspended_at: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Account {
    login: Option<String>,
}

/// Lists the installations of an App in organizations (`GET /app/installations`), and what of the list is missing.
///
/// # Errors
/// Not even the first page could be read, or it is installed nowhere.
pub(super) async fn installations(client: &Client) -> Result<(Vec<Installation>, Vec<Warning>), Error> {
    const LIST: &str = "/app/installations";
    let mut pages = Pages::new(client, LIST, "");
    let (mut all, mut warnings): (Vec<Listed>, Vec<Warning>) = (Vec::new(), Vec::new());
    let mut lost = |said: String| warnings.push(Warning::new(WarningCode::OrganizationFailed, LIST, said));
    let mut first = true;
    loop {
        match pages.next::<Listed>().await {
            Ok(Some(page)) => {
                if page.unreadable > 0 {
                    lost(format!("{} installations could not be read from the list", page.unreadable));
                }
                all.extend(page.items);
            }
            Ok(None) => break,
            Err(error) if first => return Err(error),
            Err(error) => {
                lost(error.to_string());
                break;
            }
        }
        first = false;
    }
    all.retain(|one| one.target_type.as_deref().is_none_or(|kind| kind == "Organization"));
    let among = all.len();
    let mut installations = Vec::new();
    for Listed { id, account, suspended_at, .. } in all {
        let login = account.and_then(|account| account.login).filter(|login| is_segment(login));
        match (login, client.in_installation(id, among)) {
            (Some(login), Some(client)) => {
                installations.push(Installation { login, is_suspended: suspended_at.is_some(), client });
            }
            _ => lost(format!("installation {id} is in no organization that has a name")),
        }
    }
    installations.sort_by(|a, b| a.login.cmp(&b.login));
    if installations.is_empty() {
        let message = "the App is installed in no organization".to_owned();
        return Err(Error {
            kind: ErrorKind::NotFound,
            request: format!("GET {LIST}"),
            status: None,
            message,
            request_id: None,
        });
    }
    Ok((installations, warnings))
}

/// Returns who asks for a repository: of an App, the installation in its organization; `None`: the client itself.
pub(super) async fn installation_for(
    client: &Client,
    repository: &RepositoryName,
) -> Result<Option<Arc<Client>>, Error> {
    if !client.is_app() {
        return Ok(None);
    }
    let owner = repository.as_str().split('/').next().unwrap_or_default();
    let (installations, _) = installations(client).await?;
    let of_owner = installations.into_iter().find(|one| one.login.eq_ignore_ascii_case(owner));
    of_owner.map(|one| Some(one.client)).ok_or_else(|| Error {
        kind: ErrorKind::NotFound,
        request: format!("the installation in {owner}"),
        status: None,
        message: format!("the App is not installed in {owner}"),
        request_id: None,
    })
}

/// Returns why nothing that has to do with an enterprise's runners is asked for by an App.
pub(super) fn no_business(client: &Client, scope: &Scope) -> Option<Error> {
    matches!(scope, Scope::Enterprise(_)).then_some(())?;
    client.is_app().then(|| Error {
        kind: ErrorKind::Forbidden,
        request: format!("the runners of {scope}"),
        status: None,
        message: "not asked: GitHub lets no App see or manage an enterprise's runners".to_owned(),
        request_id: None,
    })
}
