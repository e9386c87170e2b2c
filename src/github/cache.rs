//! What earlier runs were answered: lists with their tags, an App's token, and what was learned of repositories.
//!
//! Nothing in it is ever needed. It spares the rate limit, because a list that is asked for with its tag and has not
//! changed costs nothing; what it holds of a list is used when GitHub has just said, by a 304, that it is still so.
//! An answer is found by its whole address and by who asked, and its tag belongs to the very token it was asked with.
//! It is written here only after it was read to its end and understood.

mod store;

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use http::HeaderValue;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::store::{Key, Row, Store, digest_of};
use super::client::lock;
use crate::warning::{Warning, WarningCode};

/// The file's size, at most.
const MOST_BYTES: u64 = 256 << 20;
/// A body is kept to the byte if it deflates to this; larger ones are asked for anew with another token.
const LARGEST_RAW: usize = 32 << 10;
/// And it is not even tried with one that is larger than this.
const LARGEST_TRIED: usize = 1 << 20;
/// What is no longer than this is not worth deflating: the tables of that alone cost half a million instructions.
const STORED_UP_TO: u16 = 2 << 10;
/// Answers are written in lots of this many.
const LOT: usize = 128;
/// How exactly it is known when an answer was last used.
const USE_IS_NOTED_AFTER: Duration = Duration::from_hours(24);

/// Who asks: the server and the credential, digested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity(Key);

impl Identity {
    /// Digests what makes an identity.
    pub(super) fn of(parts: &[&[u8]]) -> Self {
        Self(digest_of(parts))
    }

    /// Returns the identity of one of an App's installations.
    pub(super) fn in_installation(self, id: u64) -> Self {
        Self(digest_of(&[&self.0, b"installation", id.to_string().as_bytes()]))
    }

    fn key(self, what: &str, name: &str) -> Key {
        digest_of(&[&self.0, what.as_bytes(), name.as_bytes()])
    }
}

/// The cache of one host, shared by all processes on it.
#[derive(Debug)]
pub struct Cache(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    /// Read and not yet written.
    answers: HashMap<Key, Row>,
    used: Vec<Key>,
    notes: HashMap<Key, Vec<u8>>,
}

/// A list as it was answered earlier.
#[derive(Debug)]
pub(super) struct Known<T> {
    pub(super) value: T,
    pub(super) tag: Tag,
}

/// The tag of an earlier answer, and what it takes to use it.
#[derive(Clone, Debug)]
pub(super) struct Tag {
    key: Key,
    row: Row,
}

/// An answer that was read whole and understood.
#[derive(Debug)]
pub(super) struct Fresh<'a, T> {
    pub(super) value: &'a T,
    pub(super) etag: &'a str,
    pub(super) next: Option<String>,
    pub(super) body: &'a [u8],
}

impl Cache {
    /// Opens the cache in a directory, which is made where there is none.
    ///
    /// # Errors
    /// It can't be used: returns the warning that says why, to go on without it.
    pub fn open(directory: &Path) -> Result<Self, Warning> {
        Self::bounded(directory, MOST_BYTES)
    }

    fn bounded(directory: &Path, most_bytes: u64) -> Result<Self, Warning> {
        let store = Store::open(directory, most_bytes).map_err(|error| warning(&format!("it is not used: {error}")))?;
        let inner = Inner { store, answers: HashMap::new(), used: Vec::new(), notes: HashMap::new() };
        Ok(Self(Mutex::new(inner)))
    }

    /// Returns what was found wrong with it since it was last asked.
    pub fn warning(&self) -> Option<Warning> {
        lock(&self.0).store.complaint().map(|said| warning(&said))
    }

    /// Returns what is known of an address.
    pub(super) fn known<T: DeserializeOwned>(&self, who: Identity, address: &str) -> Option<Known<T>> {
        let key = who.key("answer", address);
        let mut inner = lock(&self.0);
        let row = match inner.answers.get(&key) {
            Some(row) => row.clone(),
            None => inner.store.answer(&key)?,
        };
        // What another build understood differently is no damage: it is asked for anew, and written over.
        let value = serde_json::from_slice(&inflate(&row.content)?).ok()?;
        Some(Known { value, tag: Tag { key, row } })
    }

    /// Keeps an answer.
    pub(super) fn keep<T: Serialize>(&self, who: Identity, address: &str, with: &HeaderValue, fresh: &Fresh<'_, T>) {
        let Ok(content) = serde_json::to_vec(fresh.value) else { return };
        let row = Row {
            token: token_of(with),
            etag: fresh.etag.to_owned(),
            next: fresh.next.clone(),
            content: deflate(&content),
            raw: Some(fresh.body)
                .filter(|body| body.len() <= LARGEST_TRIED)
                .map(deflate)
                .filter(|raw| raw.len() <= LARGEST_RAW),
            used: now(),
        };
        lock(&self.0).take(who.key("answer", address), row);
    }

    /// Notes that an answer still holds, by the tag that was just confirmed with this authorization.
    pub(super) fn confirm(&self, tag: &Tag, etag: &str, with: &HeaderValue) {
        let token = token_of(with);
        let mut inner = lock(&self.0);
        if tag.row.etag != etag || tag.row.token != token {
            inner.take(tag.key, Row { etag: etag.to_owned(), token, used: now(), ..tag.row.clone() });
        } else if now() - tag.row.used > USE_IS_NOTED_AFTER.as_secs().cast_signed() {
            inner.used.push(tag.key);
        }
    }

    /// Returns a token that was kept, and when it expires.
    pub(super) fn token(&self, who: Identity) -> Option<(SecretString, Timestamp)> {
        let (token, expires) = lock(&self.0).store.token(&who.key("token", ""))?;
        Some((token.into(), Timestamp::from_second(expires).ok()?))
    }

    /// Keeps a token.
    pub(super) fn keep_token(&self, who: Identity, token: &SecretString, expires_at: Timestamp) {
        lock(&self.0).store.keep_token(&who.key("token", ""), token.expose_secret(), expires_at.as_second());
    }

    /// Forgets a token that was refused, if no other process has put another in its place.
    pub(super) fn forget_token(&self, who: Identity, token: &SecretString) {
        lock(&self.0).store.forget_token(&who.key("token", ""), token.expose_secret());
    }

    /// Returns something that was noted under a name.
    pub(super) fn note<T: DeserializeOwned>(&self, who: Identity, name: &str) -> Option<T> {
        let key = who.key("note", name);
        let mut inner = lock(&self.0);
        let value = match inner.notes.get(&key) {
            Some(value) => value.clone(),
            None => inner.store.note(&key)?,
        };
        drop(inner);
        serde_json::from_slice(&inflate(&value)?).ok()
    }

    /// Notes something under a name.
    pub(super) fn keep_note<T: Serialize>(&self, who: Identity, name: &str, value: &T) {
        let Ok(value) = serde_json::to_vec(value) else { return };
        let mut inner = lock(&self.0);
        inner.notes.insert(who.key("note", name), deflate(&value));
        if inner.notes.len() >= LOT {
            inner.flush();
        }
    }

    /// Writes what has not been written yet.
    pub fn flush(&self) {
        lock(&self.0).flush();
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.flush();
    }
}

impl Inner {
    fn take(&mut self, key: Key, row: Row) {
        self.answers.insert(key, row);
        if self.answers.len() >= LOT {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let now = now();
        let (answers, used) = (std::mem::take(&mut self.answers), std::mem::take(&mut self.used));
        if !answers.is_empty() || !used.is_empty() {
            self.store.write(&answers.into_iter().collect::<Vec<_>>(), &used, now);
        }
        let notes = std::mem::take(&mut self.notes);
        if !notes.is_empty() {
            self.store.keep_notes(&notes.into_iter().collect::<Vec<_>>(), now);
        }
    }
}

impl Tag {
    /// Returns the tag as it was given, if it was given to this authorization.
    pub(super) fn given_to(&self, authorization: &HeaderValue) -> Option<&str> {
        (self.row.token == token_of(authorization)).then_some(self.row.etag.as_str())
    }

    /// Returns the body that it tags, if that was kept.
    pub(super) fn body(&self) -> Option<Vec<u8>> {
        inflate(self.row.raw.as_ref()?)
    }

    /// Returns the next page's query as it stood then.
    pub(super) fn next(&self) -> Option<&str> {
        self.row.next.as_deref()
    }
}

fn token_of(authorization: &HeaderValue) -> Key {
    digest_of(&[authorization.as_bytes()])
}

fn warning(said: &str) -> Warning {
    Warning::new(WarningCode::CacheFailed, "cache", said)
}

fn now() -> i64 {
    Timestamp::now().as_second()
}

/// How a deflated stream begins that is one block, stored as it is (RFC 1951, 3.2.4); its length follows, and the
/// length's complement.
const STORED: u8 = 1;

/// Returns what stands in such a stream.
fn stored(stream: &[u8]) -> Option<&[u8]> {
    let (&[form, a, b, c, d], content) = stream.split_first_chunk()?;
    let length = u16::from_le_bytes([a, b]);
    let agrees = u16::from_le_bytes([c, d]) == !length && content.len() == usize::from(length);
    (form == STORED && agrees).then_some(content)
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    if let Some(length) = u16::try_from(bytes.len()).ok().filter(|length| *length <= STORED_UP_TO) {
        return [&[STORED][..], &length.to_le_bytes(), &(!length).to_le_bytes(), bytes].concat();
    }
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    // A Vec takes every write.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

fn inflate(bytes: &[u8]) -> Option<Vec<u8>> {
    if let Some(stored) = stored(bytes) {
        return Some(stored.to_vec());
    }
    let mut out = Vec::new();
    DeflateDecoder::new(bytes).read_to_end(&mut out).ok()?;
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(token: &str) -> HeaderValue {
        HeaderValue::from_str(&format!("Bearer {token}")).unwrap()
    }

    fn keep(cache: &Cache, who: Identity, address: &str, value: &str, token: &str) {
        let fresh = Fresh { value: &value, etag: "W/\"x\"", next: None, body: b"body" };
        cache.keep(who, address, &bearer(token), &fresh);
    }

    #[test]
    fn an_answer_is_found_by_its_whole_address_and_by_who_asked() {
        let home = tempfile::tempdir().unwrap();
        let (one, other) = (Identity::of(&[b"one"]), Identity::of(&[b"other"]));
        let cache = Cache::open(home.path()).unwrap();
        keep(&cache, one, "https://ghe.example/runs/7/jobs", "seven", "a");
        for cache in [cache, Cache::open(home.path()).unwrap()] {
            let found = |who, address| cache.known::<String>(who, address).map(|known| known.value);
            assert_eq!(found(one, "https://ghe.example/runs/7/jobs").as_deref(), Some("seven"));
            assert_eq!(found(one, "https://ghe.example/runs/8/jobs"), None);
            assert_eq!(found(one, "https://ghe.example/runs/7/jobs?page=2"), None);
            assert_eq!(found(other, "https://ghe.example/runs/7/jobs"), None);
        }
    }

    #[test]
    fn a_tag_is_given_back_to_its_own_token_only() {
        let home = tempfile::tempdir().unwrap();
        let (cache, who) = (Cache::open(home.path()).unwrap(), Identity::of(&[b"app"]));
        keep(&cache, who, "x", "y", "old");
        let tag = cache.known::<String>(who, "x").unwrap().tag;
        assert_eq!((tag.given_to(&bearer("old")), tag.given_to(&bearer("new"))), (Some("W/\"x\""), None));
        assert_eq!(tag.body().as_deref(), Some(&b"body"[..]));
        cache.confirm(&tag, "W/\"z\"", &bearer("new"));
        let tag = cache.known::<String>(who, "x").unwrap().tag;
        assert_eq!((tag.given_to(&bearer("old")), tag.given_to(&bearer("new"))), (None, Some("W/\"z\"")));
    }

    #[test]
    fn what_is_stored_is_a_deflated_stream_like_any_other() {
        for length in [0, 1, usize::from(STORED_UP_TO), usize::from(STORED_UP_TO) + 1, 70_000] {
            let bytes = vec![b'x'; length];
            let stream = deflate(&bytes);
            let mut out = Vec::new();
            DeflateDecoder::new(&stream[..]).read_to_end(&mut out).unwrap();
            assert_eq!((out.as_slice(), inflate(&stream).as_deref()), (bytes.as_slice(), Some(bytes.as_slice())));
            assert_eq!(stored(&stream).is_some(), length <= usize::from(STORED_UP_TO));
        }
        assert_eq!(inflate(&[STORED, 9, 0, !9, 0xff, b'x']), None, "half a block");
    }

    #[test]
    fn a_body_that_is_too_large_is_kept_as_what_it_said_only() {
        let home = tempfile::tempdir().unwrap();
        let (cache, who) = (Cache::open(home.path()).unwrap(), Identity::of(&[b"app"]));
        let noise: Vec<u8> = (0..2 * LARGEST_RAW).map(|_| fastrand::u8(..)).collect();
        cache.keep(who, "x", &bearer("a"), &Fresh { value: &"y", etag: "e", next: None, body: &noise });
        let known = cache.known::<String>(who, "x").unwrap();
        assert_eq!((known.value.as_str(), known.tag.body()), ("y", None));
    }

    #[test]
    fn a_token_is_kept_for_its_own_identity_and_forgotten_when_it_was_refused() {
        let home = tempfile::tempdir().unwrap();
        let (who, until) = (Identity::of(&[b"app"]), Timestamp::now() + Duration::from_mins(50));
        let cache = Cache::open(home.path()).unwrap();
        cache.keep_token(who, &"ghs_x".to_owned().into(), until);
        let again = Cache::open(home.path()).unwrap();
        assert_eq!(again.token(who).unwrap().0.expose_secret(), "ghs_x");
        assert!(again.token(Identity::of(&[b"other"])).is_none());
        again.forget_token(who, &"ghs_another".to_owned().into());
        assert!(cache.token(who).is_some());
        again.forget_token(who, &"ghs_x".to_owned().into());
        assert!(cache.token(who).is_none());
    }
}
