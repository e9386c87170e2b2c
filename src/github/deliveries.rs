//! Which repositories something has just happened in, by the log of what an organization's webhook delivered.
//!
//! A hint and no more: what it names is looked at sooner. It is late at times, loses what is not delivered, and keeps three
//! days; nothing is counted by it, and without it nothing is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::client::{Client, Decoded as _, Read};
use super::error::{Error, ErrorKind};
use super::memory::Memory;
use super::pages::{PER_PAGE, Page};
use crate::ages::age;
use crate::warning::{Warning, WarningCode};

/// Pages that are read at one look. The log has no page numbers: each page names the one behind it.
const MOST_PAGES: usize = 5;
/// Deliveries that are known, so that those that came late among them are still found to be new.
const KNOWN_AT_MOST: usize = 2 * MOST_PAGES * PER_PAGE;
/// A hint holds until its repository was read, and no longer than this.
const HOLDS_FOR: Duration = Duration::from_mins(10);
/// A process that was refused the log asks again after so long: GitHub takes refusals in a row for abuse.
const ASKED_AGAIN_AFTER: Duration = Duration::from_mins(5);
/// What is delivered when there is something to do, or was.
const EVENTS: [&str; 2] = ["workflow_job", "workflow_run"];

/// What the log says of repositories, by their ids: when they were named last.
pub(super) type Hints = BTreeMap<u64, Timestamp>;

/// One delivery, as the list has it.
#[derive(Debug, Serialize, Deserialize)]
struct Delivery {
    id: u64,
    event: Option<String>,
    repository_id: Option<u64>,
}

/// What is known of the log.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Log {
    /// The newest deliveries.
    known: BTreeSet<u64>,
    hints: Hints,
    /// When it was refused, and how.
    refused: Option<(Timestamp, String)>,
}

/// Reads what was delivered since the last look, whose memory this is; returns the hints that hold, and what went wrong.
pub(super) async fn hints(
    client: &Client,
    memory: Memory<'_>,
    organization: &str,
    hook: u64,
) -> (Hints, Option<Warning>) {
    // Without a memory every repository is read anyway.
    let Some((cache, who)) = memory.cache else { return (Hints::new(), None) };
    let path = format!("/orgs/{organization}/hooks/{hook}/deliveries");
    let earlier: Option<Log> = cache.note(who, &path);
    let is_first = earlier.is_none();
    let mut log = earlier.unwrap_or_default();
    let now = memory.now;
    log.hints.retain(|_, at| *at <= now && age(now, *at) <= HOLDS_FOR);
    let failed = |said: &str| Some(Warning::new(WarningCode::HintsFailed, path.as_str(), said));
    if let Some((at, said)) = &log.refused
        && client.looks_every().is_some()
        && *at <= now
        && age(now, *at) < ASKED_AGAIN_AFTER
    {
        return (log.hints.clone(), failed(said));
    }
    let read = new_deliveries(client, &path, &log.known, is_first).await;
    let named = read.new.iter().filter(|one| one.event.as_deref().is_some_and(|event| EVENTS.contains(&event)));
    log.hints.extend(named.filter_map(|one| Some((one.repository_id?, now))));
    log.refused = None;
    let warning = match &read.lost {
        Some(Lost::Behind(said)) => failed(said),
        Some(Lost::Unread(error)) => {
            let said = error.to_string();
            if matches!(error.kind, ErrorKind::Forbidden | ErrorKind::NotFound) {
                log.refused = Some((now, said.clone()));
            }
            failed(&said)
        }
        None => None,
    };
    if !matches!(read.lost, Some(Lost::Unread(_))) {
        log.known.extend(read.new.iter().map(|one| one.id));
        while log.known.len() > KNOWN_AT_MOST {
            log.known.pop_first();
        }
    }
    cache.keep_note(who, &path, &log);
    (log.hints, warning)
}

/// What was read of the log.
struct Reading {
    new: Vec<Delivery>,
    lost: Option<Lost>,
}

/// What was not.
enum Lost {
    /// More was delivered since the last look than is read at once.
    Behind(String),
    /// A page: what was on it is asked for again next time.
    Unread(Error),
}

/// Reads pages, the newest first, until one has a delivery that is known; the first time, one page.
async fn new_deliveries(client: &Client, path: &str, known: &BTreeSet<u64>, is_first: bool) -> Reading {
    let mut reading = Reading { new: Vec::new(), lost: None };
    let mut query = format!("per_page={PER_PAGE}");
    for nth in 0..MOST_PAGES {
        let (page, next) = match page(client, &format!("{path}?{query}"), nth == 0).await {
            Ok(read) => read,
            Err(error) => {
                reading.lost = Some(Lost::Unread(error));
                return reading;
            }
        };
        let meets_the_known = page.items.is_empty() || page.items.iter().any(|one| known.contains(&one.id));
        reading.new.extend(page.items.into_iter().filter(|one| !known.contains(&one.id)));
        match next.filter(|next| *next != query) {
            Some(next) if !meets_the_known && !is_first => query = next,
            _ => return reading,
        }
    }
    let most = MOST_PAGES * PER_PAGE;
    let said = format!("more than {most} deliveries since the last look: repositories of the others are read in turn");
    reading.lost = Some(Lost::Behind(said));
    reading
}

/// Reads a page, and where the next one begins. Only the first is asked for again and again.
async fn page(client: &Client, path: &str, is_kept: bool) -> Result<(Page<Delivery>, Option<String>), Error> {
    if is_kept {
        let Read { value, next, .. } = client.read(path).await?;
        return Ok((value, next));
    }
    let reply = client.get(path).await?;
    Ok((Page::decode(&reply)?, reply.next_page()))
}
