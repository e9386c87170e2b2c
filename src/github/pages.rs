//! Lists: all pages, each entry read by itself, so that one that can't be read doesn't hide the others.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::client::{Client, Decoded, Read, Reply};
use super::error::Error;

/// Entries a page, the most that GitHub gives.
pub(super) const PER_PAGE: usize = 100;
/// Pages of one list; a list that goes on behind them is said to be cut.
const MOST_PAGES: usize = 1000;

/// One page of a list.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    /// Entries that could not be read.
    pub(super) unreadable: usize,
    /// `total_count`, where the list has it: counted by another part of GitHub, and good for "there is more" only.
    pub(super) total: Option<u64>,
}

/// A list, page by page.
pub(super) struct Pages<'a> {
    client: &'a Client,
    path: String,
    /// The query of the next page; `None` behind the last.
    query: Option<String>,
    /// Entries a page.
    size: usize,
    seen: usize,
    count: usize,
    /// The page before this one ended before the list's length.
    is_short: bool,
    /// The number of the last page, as the latest answer names it.
    last: Option<usize>,
}

/// The key under which GitHub wraps a list.
#[derive(Deserialize)]
struct Wrapped<T> {
    total_count: Option<u64>,
    #[serde(
        alias = "workflow_runs",
        alias = "jobs",
        alias = "runners",
        alias = "runner_groups",
        alias = "repositories",
        alias = "organizations"
    )]
    items: Option<Vec<T>>,
}

impl<'a> Pages<'a> {
    /// Prepares a list; `query` are its own parameters, `a=b&c=d`.
    pub(super) fn new(client: &'a Client, path: &str, query: &str) -> Self {
        Self::of(client, path, query, PER_PAGE)
    }

    /// The same, with so many entries a page.
    pub(super) fn of(client: &'a Client, path: &str, query: &str, size: usize) -> Self {
        let separator = if query.is_empty() { "" } else { "&" };
        let query = Some(format!("{query}{separator}per_page={size}"));
        Self { client, path: path.to_owned(), query, size, seen: 0, count: 0, is_short: false, last: None }
    }

    /// Returns whether there is another page.
    pub(super) fn has_next(&self) -> bool {
        self.query.is_some()
    }

    /// Takes out the pages between this one and the last that the answer named, to be read at once: what is left is the
    /// last and what may have got behind it since. Each is a list of one page.
    pub(super) fn at_once(&mut self) -> Vec<Self> {
        let (Some(query), Some(last)) = (&self.query, self.last.filter(|last| *last <= MOST_PAGES)) else {
            return Vec::new();
        };
        let page = |number| Self { query: Some(numbered(query, number)), path: self.path.clone(), last: None, ..*self };
        let between: Vec<Self> = (self.count + 1..last).map(page).collect();
        if !between.is_empty() {
            (self.query, self.count) = (Some(numbered(query, last)), last - 1);
        }
        between
    }

    /// Reads the next page; `None` behind the last.
    pub(super) async fn next<T: DeserializeOwned + Serialize>(&mut self) -> Result<Option<Page<T>>, Error> {
        let Some(query) = self.query.take() else { return Ok(None) };
        let Read { value: page, next, reply } = self.client.read::<Page<T>>(&format!("{}?{query}", self.path)).await?;
        self.count += 1;
        self.last = reply.last_page();
        let entries = page.items.len() + page.unreadable;
        self.seen += entries;
        let has_more = page.total.is_some_and(|total| total > self.seen as u64);
        let next = match next {
            Some(next) if next == query => return Err(reply.unreadable("its next page is itself")),
            Some(_) if entries == 0 && has_more => {
                return Err(reply.unreadable("an empty page in the middle of a list"));
            }
            // The length may have been counted before something left the list: that is asked for, once.
            None if entries == 0 && has_more && self.is_short => {
                let (seen, total) = (self.seen, page.total.unwrap_or_default());
                return Err(reply.unreadable(&format!("a list that ends after {seen} of {total} entries")));
            }
            None if entries < self.size && has_more => {
                self.is_short = true;
                Some(numbered(&query, self.count + 1))
            }
            Some(_) if entries == 0 => None,
            Some(next) => Some(next),
            // A proxy may have stripped the link; and a list without a length, whose first page has not changed (304),
            // may have got a second one since. Behind a full page is another, unless the list says that it ends there.
            None if entries == self.size && (has_more || page.total.is_none()) => {
                Some(numbered(&query, self.count + 1))
            }
            None => None,
        };
        if next.is_some() && self.count == MOST_PAGES {
            return Err(reply.unreadable(&format!("the list is longer than {MOST_PAGES} pages")));
        }
        self.query = next;
        Ok(Some(page))
    }
}

impl<T: DeserializeOwned + Serialize> Decoded for Page<T> {
    fn decode(reply: &Reply) -> Result<Self, Error> {
        decode(reply)
    }

    fn is_whole(&self) -> bool {
        self.unreadable == 0
    }
}

/// Returns a query with its page number replaced.
fn numbered(query: &str, page: usize) -> String {
    let others = query.split('&').filter(|parameter| !parameter.starts_with("page="));
    others.chain([format!("page={page}").as_str()]).collect::<Vec<_>>().join("&")
}

/// Decodes a page at once, or where that fails, entry by entry.
fn decode<T: DeserializeOwned>(reply: &Reply) -> Result<Page<T>, Error> {
    let bare = reply.body.trim_ascii_start().starts_with(b"[");
    if bare {
        if let Ok(items) = serde_json::from_slice(&reply.body) {
            return Ok(Page { items, unreadable: 0, total: None });
        }
        return Ok(each(reply.decode::<Vec<serde_json::Value>>()?, None));
    }
    if let Ok(Wrapped { total_count, items: Some(items) }) = serde_json::from_slice(&reply.body) {
        return Ok(Page { items, unreadable: 0, total: total_count });
    }
    let wrapped: Wrapped<serde_json::Value> = reply.decode()?;
    let items = wrapped.items.ok_or_else(|| reply.unreadable("there is no list in it"))?;
    Ok(each(items, wrapped.total_count))
}

fn each<T: DeserializeOwned>(entries: Vec<serde_json::Value>, total: Option<u64>) -> Page<T> {
    let all = entries.len();
    let items: Vec<T> = entries.into_iter().filter_map(|entry| serde_json::from_value(entry).ok()).collect();
    let unreadable = all - items.len();
    Page { items, unreadable, total }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_number_replaces_the_one_before() {
        assert_eq!(numbered("status=queued&per_page=100", 2), "status=queued&per_page=100&page=2");
        assert_eq!(numbered("per_page=100&page=2", 3), "per_page=100&page=3");
    }
}
