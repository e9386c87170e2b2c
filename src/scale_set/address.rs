//! Addresses that the service hands out: which of them are followed, and what is appended to them.

use std::fmt::Write as _;

use reqwest::Url;

use crate::config;

/// Added to every query that doesn't name one.
const API_VERSION: (&str, &str) = ("api-version", "6.0-preview");

/// Where one request goes, and how that is shown.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) url: Url,
    /// Without what the service put into the query: there may be a token in it.
    pub(super) shown: String,
}

/// Reads an address that credentials may follow to: https, or http on loopback. What is wrong is said without it.
pub(super) fn follow(url: &str) -> Result<Url, String> {
    let url: Url = url.trim().parse().map_err(|error| format!("hands out what is no address: {error}"))?;
    let host = url.host_str().unwrap_or_default();
    let shown = shown(&url);
    if host.is_empty() || !url.username().is_empty() || url.password().is_some() {
        return Err(format!("hands out an address that is not followed: {shown}"));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if config::is_loopback(host) => Ok(url),
        scheme => Err(format!("hands out an address that is not followed, since it is {scheme}: {shown}")),
    }
}

/// Returns the address of a resource below the service's own; a query that the base has is kept.
pub(super) fn resource(base: &Url, path: &str, query: &[(&str, &str)]) -> Address {
    let mut address = below(base, path);
    extend(&mut address, query);
    let has_version = address.url.query_pairs().any(|(key, _)| key.eq_ignore_ascii_case(API_VERSION.0));
    if !has_version {
        append(&mut address.url, &[API_VERSION]);
    }
    address
}

/// Returns the address of the next message behind a cursor; 0 is the beginning.
pub(super) fn next_message(queue: &Url, last_message_id: i64) -> Address {
    let mut address = Address { url: queue.clone(), shown: shown(queue) };
    if last_message_id > 0 {
        extend(&mut address, &[("lastMessageId", &last_message_id.to_string())]);
    }
    address
}

/// Returns the address of one message; the queue's query is kept.
pub(super) fn message(queue: &Url, id: i64) -> Address {
    below(queue, &id.to_string())
}

fn below(base: &Url, path: &str) -> Address {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url.set_fragment(None);
    let shown = shown(&url);
    Address { url, shown }
}

/// Appends a query of our own, which may be shown.
fn extend(address: &mut Address, query: &[(&str, &str)]) {
    if !query.is_empty() {
        address.shown = format!("{}?{}", address.shown, encoded(query));
        append(&mut address.url, query);
    }
}

/// Appends to a query and leaves what is there as it is, to the letter.
fn append(url: &mut Url, query: &[(&str, &str)]) {
    let added = encoded(query);
    let whole = match url.query() {
        None | Some("") => added,
        Some(given) => format!("{given}&{added}"),
    };
    url.set_query(Some(&whole));
}

fn encoded(query: &[(&str, &str)]) -> String {
    query.iter().map(|(key, value)| format!("{key}={}", percent(value))).collect::<Vec<_>>().join("&")
}

/// Percent-encodes all that has, or could have, a meaning in a query.
fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

/// Returns an address without its query, and without credentials.
fn shown(url: &Url) -> String {
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(url: &str) -> Url {
        follow(url).unwrap()
    }

    #[test]
    fn credentials_go_over_https_or_stay_on_this_machine() {
        for url in ["https://broker.example/rest/", "http://127.0.0.1:9/svc", "http://[::1]:9", "http://localhost/"] {
            assert!(follow(url).is_ok(), "{url}");
        }
        for url in [
            "http://broker.example",
            "https://u:hidden@h",
            "ftp://h",
            "",
            "broker.example/rest",
            "http://127.0.0.1.example",
        ] {
            let refused = follow(url).unwrap_err();
            assert!(!refused.contains("hidden"), "{refused}");
        }
    }

    #[test]
    fn a_given_query_is_kept_and_the_version_added_where_there_is_none() {
        let (plain, given) = (base("https://h/t/"), base("https://h/t?a=b+c%2F&sig=hidden"));
        assert_eq!(resource(&plain, "x/7", &[]).url.as_str(), "https://h/t/x/7?api-version=6.0-preview");
        let address = resource(&given, "x/", &[("name", "a")]);
        assert_eq!(address.url.as_str(), "https://h/t/x/?a=b+c%2F&sig=hidden&name=a&api-version=6.0-preview");
        assert_eq!(address.shown, "https://h/t/x/?name=a");
        let versioned = base("https://h/?API-version=7");
        assert_eq!(resource(&versioned, "x", &[]).url.as_str(), "https://h/x?API-version=7");
    }

    #[test]
    fn a_name_is_a_name_whatever_is_in_it() {
        let address = resource(&base("https://h"), "x", &[("name", "a&b #+%/ü")]);
        assert_eq!(address.url.as_str(), "https://h/x?name=a%26b%20%23%2B%25%2F%C3%BC&api-version=6.0-preview");
    }

    #[test]
    fn a_queue_keeps_its_query_behind_a_cursor_and_on_a_message() {
        let queue = base("https://h/q/message?s=1");
        assert_eq!(next_message(&queue, 0).url.as_str(), "https://h/q/message?s=1");
        assert_eq!(next_message(&queue, 9).url.as_str(), "https://h/q/message?s=1&lastMessageId=9");
        assert_eq!(message(&queue, 9).url.as_str(), "https://h/q/message/9?s=1");
        assert_eq!(next_message(&queue, 9).shown, "https://h/q/message?lastMessageId=9");
    }
}
