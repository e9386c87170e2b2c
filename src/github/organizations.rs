//! The organizations of an enterprise.
//!
//! The REST API has no list of them, so GraphQL is asked, which also says where the credentials' owner is no member: there
//! only public repositories are listed, and that must not pass for all of them. A GitHub Enterprise Server is one
//! enterprise's as a whole; where it refuses the question (a token without `read:enterprise`), its own list of all
//! organizations (`GET /organizations`) is the same. On github.com that would be a list of the whole world's.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::{Client, Read};
use super::error::{Error, ErrorKind};
use super::graphql::{self, Answered};
use super::pages::{PER_PAGE, Page, Pages};
use super::repositories::is_segment;
use crate::warning::{Warning, WarningCode};

const QUERY: &str = "query($slug:String!,$after:String){enterprise(slug:$slug){organizations(first:100,after:$after){\
    totalCount nodes{login viewerIsAMember} pageInfo{hasNextPage endCursor}}}}";
/// Pages of the list; one that goes on behind them is said to be cut.
const MOST_PAGES: usize = 1000;

/// The organizations, and what is missing.
#[derive(Debug, Default)]
pub(super) struct Organizations {
    /// By their logins, and whether the credentials' owner is a member: else only public repositories are listed there.
    pub(super) members: BTreeMap<String, bool>,
    pub(super) warnings: Vec<Warning>,
}

/// Lists the organizations of an enterprise.
///
/// # Errors
/// Not even a part of them could be read.
pub(super) async fn organizations(client: &Client, enterprise: &str) -> Result<Organizations, Error> {
    let error = match of_enterprise(client, enterprise).await {
        Ok(found) => return Ok(found),
        Err(error) => error,
    };
    let is_refusal =
        matches!(error.kind, ErrorKind::Forbidden | ErrorKind::NotFound | ErrorKind::Unexpected | ErrorKind::Protocol);
    if !is_refusal || !client.is_server() {
        return Err(error);
    }
    tracing::debug!(%error, "asking the server for all of its organizations");
    // What would help is what the first refusal says.
    of_server(client).await.map_err(|_| error)
}

#[derive(Deserialize)]
struct Data {
    enterprise: Option<Enterprise>,
}

#[derive(Deserialize)]
struct Enterprise {
    organizations: Option<Connection>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Connection {
    total_count: Option<usize>,
    nodes: Option<Vec<Option<Node>>>,
    page_info: Option<PageInfo>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    login: Option<String>,
    viewer_is_a_member: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageInfo {
    has_next_page: Option<bool>,
    end_cursor: Option<String>,
}

async fn of_enterprise(client: &Client, enterprise: &str) -> Result<Organizations, Error> {
    let mut found = Organizations::default();
    let (mut after, mut entries, mut total): (Option<String>, usize, usize) = (None, 0, 0);
    for _ in 0..MOST_PAGES {
        let page = match page(client, enterprise, after.as_deref(), &mut found).await {
            Ok(page) => page,
            Err(error) if after.is_none() => return Err(error),
            Err(error) => {
                found.lose(enterprise, error.to_string());
                return Ok(found);
            }
        };
        let nodes = page.nodes.unwrap_or_default();
        entries += nodes.len();
        total = total.max(page.total_count.unwrap_or(0));
        for node in nodes {
            match node {
                Some(Node { login: Some(login), viewer_is_a_member }) => found.add(login, viewer_is_a_member),
                Some(Node { login: None, .. }) | None => {
                    found
                        .lose(enterprise, "an organization is in its list that the credentials may not see".to_owned());
                }
            }
        }
        let next = match page.page_info {
            Some(PageInfo { has_next_page: Some(false), .. }) => None,
            Some(PageInfo { end_cursor: Some(cursor), .. }) if Some(&cursor) != after.as_ref() => Some(cursor),
            _ => {
                found.lose(enterprise, "the list of its organizations does not say how it goes on".to_owned());
                return Ok(found);
            }
        };
        let Some(next) = next else {
            if entries < total {
                let said = format!("GitHub lists {entries} of its organizations and says that there are {total}");
                found.lose(enterprise, said);
            }
            return Ok(found);
        };
        after = Some(next);
    }
    found.lose(enterprise, format!("the list of its organizations is longer than {MOST_PAGES} pages"));
    Ok(found)
}

/// Reads one page; what is refused beside it is lost.
async fn page(
    client: &Client,
    enterprise: &str,
    after: Option<&str>,
    found: &mut Organizations,
) -> Result<Connection, Error> {
    let variables = json!({ "slug": enterprise, "after": after });
    let Answered { data, mut errors } = graphql::query::<Data>(client, QUERY, &variables).await?;
    let list = data.enterprise.and_then(|enterprise| enterprise.organizations).filter(|list| list.nodes.is_some());
    let Some(list) = list else {
        return Err(if errors.is_empty() {
            Error {
                kind: ErrorKind::NotFound,
                request: format!("the organizations of enterprise {enterprise}"),
                status: None,
                message: "GitHub lists none and does not say why".to_owned(),
                request_id: None,
            }
        } else {
            errors.swap_remove(0)
        });
    };
    for error in errors {
        found.lose(enterprise, error.to_string());
    }
    Ok(list)
}

#[derive(Serialize, Deserialize)]
struct Listed {
    id: u64,
    login: String,
}

/// Lists all organizations of a server (`GET /organizations`), which has no page numbers: a page begins behind an id.
async fn of_server(client: &Client) -> Result<Organizations, Error> {
    let mut found = Organizations::default();
    let mut all = Vec::new();
    let mut query = format!("per_page={PER_PAGE}");
    loop {
        let read = client.read::<Page<Listed>>(&format!("/organizations?{query}")).await;
        let Read { value: page, next, .. } = match read {
            Ok(read) => read,
            Err(error) if all.is_empty() => return Err(error),
            Err(error) => {
                found.lose("/organizations", error.to_string());
                break;
            }
        };
        if page.unreadable > 0 {
            let said = format!("{} organizations could not be read from the list", page.unreadable);
            found.lose("/organizations", said);
        }
        let last = page.items.last().map(|one| one.id);
        let is_full = page.items.len() + page.unreadable >= PER_PAGE;
        all.extend(page.items.into_iter().map(|one| one.login));
        // A page that has not changed (304) may have got another behind it since.
        let following = next.or_else(|| last.filter(|_| is_full).map(|id| format!("per_page={PER_PAGE}&since={id}")));
        match following {
            Some(next) if last.is_some() && next != query => query = next,
            _ => break,
        }
    }
    let own = memberships(client).await;
    if let Err(error) = &own {
        let said =
            format!("private repositories may be missing, since it is not known where they can be seen: {error}");
        found.lose("/organizations", said);
    }
    for login in all {
        let is_member = own.as_ref().ok().map(|own| own.contains(&login.to_lowercase()));
        found.add(login, is_member.or(Some(true)));
    }
    Ok(found)
}

/// Returns the organizations that the credentials' owner is a member of, in lower case.
async fn memberships(client: &Client) -> Result<BTreeSet<String>, Error> {
    let mut pages = Pages::new(client, "/user/orgs", "");
    let mut own = BTreeSet::new();
    while let Some(page) = pages.next::<Listed>().await? {
        own.extend(page.items.into_iter().map(|one| one.login.to_lowercase()));
    }
    Ok(own)
}

impl Organizations {
    fn add(&mut self, login: String, is_member: Option<bool>) {
        if !is_segment(&login) {
            let said = "not an organization's name";
            self.warnings.push(Warning::new(WarningCode::EntryUnreadable, login, said));
            return;
        }
        self.members.insert(login, is_member == Some(true));
    }

    fn lose(&mut self, subject: &str, said: String) {
        self.warnings.push(Warning::new(WarningCode::OrganizationFailed, subject, said));
    }
}
