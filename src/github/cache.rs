//! What earlier runs were answered: lists with their tags, an App's token, and what was learned of repositories.
//!
//! Nothing in it is ever needed. It spares the rate limit, because a list that is asked for with its tag and has not
//! changed costs nothing; what it holds of a list is used when GitHub has just said, by a 304, that it is still so.
//! An answer is found by its whole address and by who asked, and its tag belongs to the very token it was asked with.
//! It is written here only after it was read to its end and understood.

mod blob;
mod store;
mod writer;

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::blob::Blob;
use self::store::{Key, Row, Store, Written, digest_of};
use self::writer::{Lot, Writer};
use super::client::lock;
use crate::warning::{Warning, WarningCode};

/// The file's size, at most.
const MOST_BYTES: u64 = 256 << 20;
/// A body that is larger than this is not kept to the byte: it is asked for anew with another token.
const LARGEST_BODY: usize = 1 << 20;
/// Answers, or notes, are written in lots of this many,
const LOT: usize = 128;
/// or of so many bytes, if they are large.
const LOT_BYTES: usize = 2 << 20;
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
    lot: Lot,
    /// Who writes, once there is more than one lot.
    writer: Option<Writer>,
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
    pub(super) body: &'a Bytes,
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
        Ok(Self(Mutex::new(Inner { store, lot: Lot::default(), writer: None })))
    }

    /// Returns what was found wrong with it since it was last asked.
    pub fn warning(&self) -> Option<Warning> {
        let mut inner = lock(&self.0);
        let complaint = inner.store.complaint();
        complaint.or_else(|| inner.writer.as_ref()?.complaint()).map(|said| warning(&said))
    }

    /// Returns what is known of an address.
    pub(super) fn known<T: DeserializeOwned>(&self, who: Identity, address: &str) -> Option<Known<T>> {
        let key = who.key("answer", address);
        let mut inner = lock(&self.0);
        let unwritten = inner.unwritten(|lot| lot.answers.get(&key).cloned());
        let row = unwritten.or_else(|| inner.store.answer(&key))?;
        drop(inner);
        // What another build understood differently is no damage: it is asked for anew, and written over.
        let value = serde_json::from_slice(&row.content.plain()?).ok()?;
        Some(Known { value, tag: Tag { key, row } })
    }

    /// Keeps an answer.
    pub(super) fn keep<T: Serialize>(&self, who: Identity, address: &str, with: &HeaderValue, fresh: &Fresh<'_, T>) {
        let Ok(content) = serde_json::to_vec(fresh.value) else { return };
        let size = content.len() + fresh.body.len();
        let row = Row {
            token: token_of(with),
            etag: fresh.etag.to_owned(),
            next: fresh.next.clone(),
            content: content.into(),
            raw: Some(fresh.body).filter(|body| body.len() <= LARGEST_BODY).cloned().map(Blob::Plain),
            used: now(),
        };
        lock(&self.0).take(who.key("answer", address), row, size);
    }

    /// Notes that an answer still holds, by the tag that was just confirmed with this authorization.
    pub(super) fn confirm(&self, tag: &Tag, etag: &str, with: &HeaderValue) {
        let token = token_of(with);
        let mut inner = lock(&self.0);
        if tag.row.etag != etag || tag.row.token != token {
            inner.take(tag.key, Row { etag: etag.to_owned(), token, used: now(), ..tag.row.clone() }, 0);
        } else if now() - tag.row.used > USE_IS_NOTED_AFTER.as_secs().cast_signed() {
            inner.lot.used.push(tag.key);
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
        self.notes(who, [name]).pop().flatten()
    }

    /// Returns what was noted under each of many names, in their order.
    pub(super) fn notes<T: DeserializeOwned>(
        &self,
        who: Identity,
        names: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Vec<Option<T>> {
        let keys: Vec<Key> = names.into_iter().map(|name| who.key("note", name.as_ref())).collect();
        let mut inner = lock(&self.0);
        let mut notes: Vec<Option<Blob>> =
            keys.iter().map(|key| inner.unwritten(|lot| lot.notes.get(key).cloned())).collect();
        let unknown: Vec<usize> = (0..notes.len()).filter(|nth| notes[*nth].is_none()).collect();
        let written = inner.store.notes(unknown.iter().map(|nth| &keys[*nth]));
        drop(inner);
        for (nth, note) in unknown.into_iter().zip(written) {
            notes[nth] = note;
        }
        let read = |note: Blob| serde_json::from_slice(&note.plain()?).ok();
        notes.into_iter().map(|note| note.and_then(read)).collect()
    }

    /// Notes something under a name.
    pub(super) fn keep_note<T: Serialize>(&self, who: Identity, name: &str, value: &T) {
        let Ok(value) = serde_json::to_vec(value) else { return };
        let mut inner = lock(&self.0);
        inner.lot.bytes += value.len();
        inner.lot.notes.insert(who.key("note", name), value.into());
        inner.pass_on();
    }

    /// Notes something that another process is to know at once.
    pub(super) fn announce<T>(&self, who: Identity, name: &str, value: &T)
    where
        T: Serialize + DeserializeOwned + PartialEq,
    {
        let is_known = self.note::<T>(who, name).as_ref() == Some(value);
        self.keep_note(who, name, value);
        if !is_known {
            self.flush();
        }
    }

    /// Writes what has not been written yet; returns when that is done.
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
    /// Takes an answer of so many bytes.
    fn take(&mut self, key: Key, row: Row, size: usize) {
        self.lot.answers.insert(key, row);
        self.lot.bytes += size;
        self.pass_on();
    }

    /// Finds something that is not in the file yet: the latest.
    fn unwritten<T>(&self, of_lot: impl Fn(&Lot) -> Option<T>) -> Option<T> {
        of_lot(&self.lot).or_else(|| self.writer.as_ref()?.find(of_lot))
    }

    /// Passes a lot that is large enough on to a thread of its own.
    fn pass_on(&mut self) {
        if self.lot.answers.len() < LOT && self.lot.notes.len() < LOT && self.lot.bytes < LOT_BYTES {
            return;
        }
        if self.writer.is_none() && !self.store.is_given_up() {
            self.writer = self.store.beside().and_then(|store| Writer::start(store).ok());
        }
        self.hand_over();
    }

    /// Has written what has not been; where nothing can be any more, what was noted is kept as long as the process lives.
    fn hand_over(&mut self) {
        if self.store.is_given_up() {
            let notes = std::mem::take(&mut self.lot.notes);
            self.lot = Lot { notes, ..Lot::default() };
            return;
        }
        let lot = std::mem::take(&mut self.lot);
        match &self.writer {
            _ if lot.is_empty() => {}
            Some(writer) => writer.take(lot),
            None => {
                if self.store.write(&lot, now()) == Written::Never {
                    self.lot.notes = lot.notes;
                }
            }
        }
    }

    fn flush(&mut self) {
        self.hand_over();
        if let Some(writer) = &self.writer {
            writer.finish();
        }
    }
}

impl Tag {
    /// Returns the tag as it was given, if it was given to this authorization.
    pub(super) fn given_to(&self, authorization: &HeaderValue) -> Option<&str> {
        (self.row.token == token_of(authorization)).then_some(self.row.etag.as_str())
    }

    /// Returns the body that it tags, if that was kept.
    pub(super) fn body(&self) -> Option<Bytes> {
        self.row.raw.as_ref()?.plain()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(token: &str) -> HeaderValue {
        HeaderValue::from_str(&format!("Bearer {token}")).unwrap()
    }

    fn keep(cache: &Cache, who: Identity, address: &str, value: &str, token: &str) {
        let fresh = Fresh { value: &value, etag: "W/\"x\"", next: None, body: &Bytes::from_static(b"body") };
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
    fn a_body_that_is_too_large_is_kept_as_what_it_said_only() {
        let home = tempfile::tempdir().unwrap();
        let (cache, who) = (Cache::open(home.path()).unwrap(), Identity::of(&[b"app"]));
        for size in [64 << 10, LARGEST_BODY + 1] {
            let noise: Bytes = (0..size).map(|_| fastrand::u8(..)).collect();
            cache.keep(who, "x", &bearer("a"), &Fresh { value: &"y", etag: "e", next: None, body: &noise });
            cache.flush();
            let known = cache.known::<String>(who, "x").unwrap();
            assert_eq!((known.value.as_str(), known.tag.body()), ("y", None));
        }
    }

    #[test]
    fn where_nothing_can_be_written_any_more_what_is_noted_is_known_as_long_as_the_process_lives() {
        for many in [1, 2 * LOT] {
            let home = tempfile::tempdir().unwrap();
            let (cache, who) = (Cache::bounded(home.path(), 256 << 10).unwrap(), Identity::of(&[b"one"]));
            let note_all = |of: &str| {
                (0..many).for_each(|nth| cache.keep_note(who, &nth.to_string(), &format!("{of} {nth}")));
                cache.flush();
            };
            note_all("before");
            // More than there is room for, and nothing that deflates.
            let noise: Bytes = (0..400_000).map(|_| fastrand::u8(..)).collect();
            let noise = data_encoding::BASE64.encode(&noise);
            cache.keep_note(who, "too much", &noise);
            for of in ["after", "at last"] {
                note_all(of);
                let known = cache.notes::<String>(who, (0..many).map(|nth| nth.to_string()));
                assert!(known.into_iter().eq((0..many).map(|nth| Some(format!("{of} {nth}")))));
            }
            assert!(cache.warning().is_some_and(|warning| warning.message.contains("nothing more is kept in it")));
        }
    }

    #[test]
    fn what_is_announced_is_known_to_other_processes_at_once() {
        let home = tempfile::tempdir().unwrap();
        let (cache, who) = (Cache::open(home.path()).unwrap(), Identity::of(&[b"one"]));
        cache.keep_note(who, "a repository", &1);
        let known = |name| Cache::open(home.path()).unwrap().note::<u32>(who, name);
        assert_eq!(known("a repository"), None, "it is written with others");
        cache.announce(who, "closed until", &2);
        assert_eq!((known("a repository"), known("closed until")), (Some(1), Some(2)));
    }

    #[test]
    fn what_is_on_its_way_to_the_file_is_found_and_all_of_it_arrives() {
        let home = tempfile::tempdir().unwrap();
        let (cache, who) = (Cache::open(home.path()).unwrap(), Identity::of(&[b"one"]));
        let names = || (0..10 * LOT).map(|nth| nth.to_string());
        for (nth, name) in names().enumerate() {
            keep(&cache, who, &name, "before", "a");
            keep(&cache, who, &name, &name, "a");
            cache.keep_note(who, &name, &nth);
            let earlier = (nth / 2).to_string();
            assert_eq!(cache.known::<String>(who, &earlier).unwrap().value, earlier);
            assert_eq!(cache.note(who, &earlier), Some(nth / 2));
        }
        assert!(lock(&cache.0).writer.is_some());
        cache.flush();
        assert!(lock(&cache.0).lot.is_empty());
        let again = Cache::open(home.path()).unwrap();
        assert!(names().all(|name| again.known::<String>(who, &name).is_some_and(|known| known.value == name)));
        assert!(again.notes(who, names()).into_iter().eq((0..10 * LOT).map(Some)));
        assert_eq!(cache.warning(), None);
    }

    #[test]
    fn a_file_that_is_thrown_away_while_a_lot_is_written_is_thrown_away_once_and_what_comes_next_is_kept() {
        let home = tempfile::tempdir().unwrap();
        let (cache, who) = (Cache::open(home.path()).unwrap(), Identity::of(&[b"one"]));
        let keep_all = |of: &str| (0..3 * LOT).for_each(|nth| keep(&cache, who, &format!("{of} {nth}"), of, "a"));
        keep_all("before");
        cache.flush();
        let damage = "UPDATE answers SET etag = 'another'";
        let other = rusqlite::Connection::open(home.path().join("github-2.sqlite")).unwrap();
        assert_eq!(other.execute(damage, []).unwrap(), 3 * LOT);
        assert!(cache.known::<String>(who, "before 0").is_none(), "an entry is not as it was written");
        keep_all("after");
        cache.flush();
        assert!(cache.warning().is_some_and(|warning| warning.message.contains("thrown away")));
        assert_eq!(cache.warning(), None);
        let again = Cache::open(home.path()).unwrap();
        let of =
            |of: &str| (0..3 * LOT).filter(|nth| again.known::<String>(who, &format!("{of} {nth}")).is_some()).count();
        assert_eq!((of("before"), of("after")), (0, 3 * LOT));
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
