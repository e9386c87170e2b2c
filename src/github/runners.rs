//! The runner records of a scope, and the calls that make and delete them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::OnceCell;

use super::client::{Client, request_id};
use super::error::{Error, ErrorKind};
use super::installations::no_business;
use super::pages::Pages;
use crate::engine::{Connection, Label, Listing, Runner, RunnerId, RunnerName, Scope, Source, born};
use crate::services::{Place, Registered, Registration, Removed, RunnerRecords};
use crate::warning::{Warning, WarningCode};

/// Times that a list whose length doesn't agree with itself is read.
const READINGS: usize = 3;

/// A record as GitHub lists it.
#[derive(Debug, Serialize, Deserialize)]
struct Listed {
    id: RunnerId,
    name: Option<String>,
    status: Option<String>,
    busy: Option<bool>,
    labels: Option<Vec<ListedLabel>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ListedLabel {
    name: Option<String>,
}

impl From<Listed> for Runner {
    fn from(listed: Listed) -> Self {
        let labels = listed.labels.unwrap_or_default().into_iter().filter_map(|label| label.name);
        let labels: Vec<Label> = labels.map(Label::new).collect();
        Self {
            id: listed.id,
            name: RunnerName::new(listed.name.unwrap_or_default()),
            connection: match listed.status.as_deref() {
                Some("online") => Connection::Online,
                Some("offline") => Connection::Offline,
                _ => Connection::Unknown,
            },
            // What isn't said to be idle is not ended.
            busy: listed.busy.unwrap_or(true),
            born: born(&labels),
            labels,
        }
    }
}

/// Returns where a scope's Actions resources are.
pub(super) fn actions(scope: &Scope) -> String {
    match scope {
        Scope::Organization(name) => format!("/orgs/{name}/actions"),
        Scope::Repository(name) => format!("/repos/{name}/actions"),
        Scope::Enterprise(name) => format!("/enterprises/{name}/actions"),
    }
}

/// Lists all runner records of a scope (GET …/actions/runners).
///
/// A record that is deleted while the pages are read shifts the others, and one may fall between two pages. A missing
/// record would be taken for proof that an instance has none; so a list of several pages that has fewer entries than it
/// says is read again, and if that doesn't help, is not called whole.
///
/// # Errors
/// Not even the first page could be read.
pub async fn runners(client: &Client, scope: &Scope) -> Result<(Listing<Runner>, Vec<Warning>), Error> {
    if let Some(error) = no_business(client, scope) {
        return Err(error);
    }
    let mut reading = read(client, scope).await?;
    for _ in 1..READINGS {
        if !reading.has_gap {
            break;
        }
        reading = read(client, scope).await?;
    }
    if reading.has_gap {
        reading.lost.push("the list changed while it was read".to_owned());
    }
    let subject = format!("{}/runners", actions(scope));
    let warnings: Vec<Warning> =
        reading.lost.into_iter().map(|why| Warning::new(WarningCode::RunnersFailed, subject.as_str(), why)).collect();
    let listing = Listing { whole: warnings.is_empty(), items: reading.records.into_values().collect() };
    Ok((listing, warnings))
}

/// Returns a warning of runner records that could not be read, with the permission where that may be what is missing.
pub(crate) fn runners_unread(error: &Error, scope: &Scope) -> Warning {
    let permission = match scope {
        Scope::Organization(_) => "Self-hosted runners: read (classic token: admin:org)",
        Scope::Repository(_) => "Administration: read (classic token: repo)",
        Scope::Enterprise(_) => "a classic token with manage_runners:enterprise",
    };
    let said = match error.kind {
        ErrorKind::Forbidden | ErrorKind::NotFound => format!("{error}; it takes {permission}"),
        _ => error.to_string(),
    };
    Warning::new(WarningCode::RunnersFailed, "runners", said)
}

struct Reading {
    records: BTreeMap<RunnerId, Runner>,
    lost: Vec<String>,
    has_gap: bool,
}

async fn read(client: &Client, scope: &Scope) -> Result<Reading, Error> {
    let mut pages = Pages::new(client, &format!("{}/runners", actions(scope)), "");
    let mut reading = Reading { records: BTreeMap::new(), lost: Vec::new(), has_gap: false };
    let (mut count, mut most, mut unreadable) = (0_usize, 0_u64, 0_usize);
    loop {
        match pages.next::<Listed>().await {
            Ok(Some(page)) => {
                count += 1;
                unreadable += page.unreadable;
                most = most.max(page.total.unwrap_or(0));
                reading.records.extend(page.items.into_iter().map(|listed| (listed.id, Runner::from(listed))));
            }
            Ok(None) => break,
            Err(error) if count == 0 => return Err(error),
            Err(error) => {
                reading.lost.push(error.to_string());
                return Ok(reading);
            }
        }
    }
    if unreadable > 0 {
        reading.lost.push(format!("{unreadable} runners could not be read from the list"));
    }
    reading.has_gap = ((reading.records.len() + unreadable) as u64) < most;
    Ok(reading)
}

/// The runner records of one scope, to act on.
#[derive(Debug)]
pub struct ScopeRunners<'a> {
    client: &'a Client,
    scope: &'a Scope,
    /// The runner groups' ids by name, read when the first is needed.
    groups: OnceCell<BTreeMap<String, u64>>,
}

#[derive(Serialize, Deserialize)]
struct Group {
    id: u64,
    name: Option<String>,
}

#[derive(Deserialize)]
struct Created {
    runner: Option<CreatedRunner>,
    encoded_jit_config: Option<secrecy::SecretString>,
}

#[derive(Deserialize)]
struct CreatedRunner {
    id: Option<RunnerId>,
}

impl<'a> ScopeRunners<'a> {
    /// Prepares; nothing is called yet.
    #[must_use]
    pub fn new(client: &'a Client, scope: &'a Scope) -> Self {
        Self { client, scope, groups: OnceCell::new() }
    }

    fn path(&self, rest: &str) -> String {
        format!("{}/runners{rest}", actions(self.scope))
    }

    /// Returns the id of a runner group (GET …/actions/runner-groups); a repository has one only, with the id 1.
    async fn group(&self, name: &str) -> Result<u64, Error> {
        if matches!(self.scope, Scope::Repository(_)) {
            return Ok(1);
        }
        let groups = self.groups.get_or_try_init(|| self.read_groups()).await?;
        groups.get(&name.to_lowercase()).copied().ok_or_else(|| Error {
            kind: ErrorKind::NotFound,
            request: format!("GET {}/runner-groups", actions(self.scope)),
            status: None,
            message: format!(
                "there is no runner group `{name}`; there is {}",
                groups.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
            ),
            request_id: None,
        })
    }

    async fn read_groups(&self) -> Result<BTreeMap<String, u64>, Error> {
        let mut pages = Pages::new(self.client, &format!("{}/runner-groups", actions(self.scope)), "");
        let mut groups = BTreeMap::new();
        while let Some(page) = pages.next::<Group>().await? {
            groups.extend(page.items.into_iter().filter_map(|group| Some((group.name?.to_lowercase(), group.id))));
        }
        Ok(groups)
    }

    async fn one(&self, path: &str) -> Result<Option<Runner>, Error> {
        match self.client.get(path).await {
            Ok(reply) => Ok(Some(reply.decode::<Listed>()?.into())),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl RunnerRecords for ScopeRunners<'_> {
    /// POST …/actions/runners/generate-jitconfig
    async fn register(&self, registration: &Registration) -> Result<Registered, Error> {
        let Place::Group { name: group, labels } = &registration.place else {
            return Err(Error {
                kind: ErrorKind::Unexpected,
                request: format!("register {}", registration.name),
                status: None,
                message: "a scale set's runners are registered by the Actions Service".to_owned(),
                request_id: None,
            });
        };
        let group = self.group(group).await?;
        let body = json!({
            "name": registration.name,
            "runner_group_id": group,
            "labels": labels,
            "work_folder": "_work",
        });
        let reply = match self.client.post(&self.path("/generate-jitconfig"), &body).await {
            Ok(reply) => reply,
            Err(error) if error.kind == ErrorKind::Conflict => return Ok(Registered::NameTaken),
            Err(error) => return Err(error),
        };
        // What doesn't decode may hold the key: it is not quoted.
        let created: Option<Created> = serde_json::from_slice(&reply.body).ok();
        match created {
            Some(Created {
                runner: Some(CreatedRunner { id: Some(runner_id) }),
                encoded_jit_config: Some(jit_config),
            }) => Ok(Registered::New { runner_id, jit_config }),
            _ => Err(reply.unreadable("no runner and key in it")),
        }
    }

    /// GET …/actions/runners/{id}
    async fn runner(&self, id: RunnerId) -> Result<Option<Runner>, Error> {
        self.one(&self.path(&format!("/{id}"))).await
    }

    /// GET …/actions/runners?name=…
    async fn runner_named(&self, name: &RunnerName) -> Result<Option<Runner>, Error> {
        let mut pages = Pages::new(self.client, &self.path(""), &format!("name={name}"));
        while let Some(page) = pages.next::<Listed>().await? {
            if let Some(found) = page.items.into_iter().map(Runner::from).find(|runner| runner.name == *name) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// DELETE …/actions/runners/{id}
    async fn remove(&self, id: RunnerId) -> Result<Removed, Error> {
        match self.client.delete(&self.path(&format!("/{id}"))).await {
            Ok(reply) => Ok(Removed::Gone { request_id: request_id(&reply.headers) }),
            Err(error) => match error.kind {
                ErrorKind::NotFound => Ok(Removed::Absent { request_id: error.request_id }),
                ErrorKind::Unprocessable => Ok(Removed::Busy { request_id: error.request_id }),
                _ => Err(error),
            },
        }
    }

    async fn undo(&self, id: RunnerId, _: Source) -> Result<Removed, Error> {
        self.remove(id).await
    }
}
