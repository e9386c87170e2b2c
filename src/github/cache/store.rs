//! The cache's file: `SQLite` in WAL mode, its owner's alone, bounded, and thrown away when damaged.
//!
//! Several processes may have it open, and two threads of one. It is opened, and thrown away, under a lock and only where it is
//! the file that was found damaged, so that nobody deletes what another has just made; who had the old one open goes on with
//! the new one. A file that somebody deletes is used until the end of the process, which is all that knows of it.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, TransactionBehavior, params};
use sha2::{Digest as _, Sha256};

use super::blob::Blob;
use super::writer::Lot;

/// The form of the tables and of what stands in them. To be raised with every change of what is decoded from an answer.
const VERSION: i64 = 2;
/// A file of another version has another name, so that two versions on one host leave each other alone.
const FILE: &str = "github-2.sqlite";
const PAGE_BYTES: u64 = 4096;
/// How long is waited for another process that writes, or that opens the file.
const PATIENCE: Duration = Duration::from_secs(2);
/// A body is kept to the byte if it deflates to this; larger ones are asked for anew with another token.
const LARGEST_RAW: usize = 32 << 10;
/// What nobody has asked for in so long is forgotten.
const UNUSED_DAYS: i64 = 14;

const SCHEMA: &str = "
    CREATE TABLE answers (key BLOB PRIMARY KEY, token BLOB NOT NULL, etag TEXT NOT NULL, next TEXT,
        content BLOB NOT NULL, raw BLOB, used INTEGER NOT NULL, digest BLOB NOT NULL) WITHOUT ROWID;
    CREATE INDEX answers_by_use ON answers (used);
    CREATE TABLE tokens (key BLOB PRIMARY KEY, token TEXT NOT NULL, expires INTEGER NOT NULL, digest BLOB NOT NULL)
        WITHOUT ROWID;
    CREATE TABLE notes (key BLOB PRIMARY KEY, value BLOB NOT NULL, used INTEGER NOT NULL, digest BLOB NOT NULL)
        WITHOUT ROWID;
";

/// What something is found by: a SHA-256.
pub(super) type Key = [u8; 32];

/// An answer as it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// The SHA-256 of the `Authorization` that the tag belongs to.
    pub(super) token: Key,
    pub(super) etag: String,
    /// The next page's query.
    pub(super) next: Option<String>,
    /// What was decoded, as JSON.
    pub(super) content: Blob,
    /// The body to the byte, where it is small.
    pub(super) raw: Option<Blob>,
    /// When it was last asked for, roughly; seconds since 1970.
    pub(super) used: i64,
}

/// Why there is no cache.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("{}: {}", .0.display(), .1)]
    File(PathBuf, io::Error),
    #[error("{}: {}", .0.display(), .1)]
    Database(PathBuf, rusqlite::Error),
    #[error("{}: another process has kept it locked for {}s", .0.display(), PATIENCE.as_secs())]
    Locked(PathBuf),
}

/// The open file; `connection` is `None` once nothing more can be done with it.
#[derive(Debug)]
pub(super) struct Store {
    directory: PathBuf,
    most_bytes: u64,
    connection: Option<Connection>,
    /// What is old was forgotten already: once is enough for a process.
    is_tidy: bool,
    /// What was found wrong since it was last asked.
    complaint: Option<String>,
    /// The file that is open.
    file: Option<FileId>,
    /// Nothing more can be written, by any thread.
    is_given_up: Arc<AtomicBool>,
    /// The last thing failed since another process had the file.
    was_busy: bool,
}

/// Device and inode.
type FileId = (u64, u64);

/// What came of writing a lot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// It is in the file.
    Yes,
    /// It is not, and can be tried again: the file was damaged, and is made anew.
    Again,
    /// It is not, since another process had the file for too long.
    Busy,
    /// It is not, and never will be.
    Never,
}

impl Store {
    /// Opens the file, makes it where there is none, and replaces it where it is damaged.
    pub(super) fn open(directory: &Path, most_bytes: u64) -> Result<Self, Unusable> {
        make_private(directory).map_err(|error| Unusable::File(directory.to_owned(), error))?;
        // systemd's DynamicUser= makes the cache's directory a link, and SQLite follows none in any part of a path.
        let directory = directory.canonicalize().map_err(|error| Unusable::File(directory.to_owned(), error))?;
        let _lock = lock(&directory)?;
        let mut store = Self::closed(directory, most_bytes, Arc::default());
        match store.reopen() {
            Err(Unusable::Database(_, error)) if is_damage(&error) => store.replace(&error.to_string())?,
            opened => opened?,
        }
        Ok(store)
    }

    /// Opens the file once more, for another thread; `None` where that can't be had.
    pub(super) fn beside(&self) -> Option<Self> {
        let _lock = lock(&self.directory).ok()?;
        let mut store = Self::closed(self.directory.clone(), self.most_bytes, self.is_given_up.clone());
        store.reopen().ok()?;
        // Of a file that was deleted only one connection is left, and both must be to the same.
        (store.file == self.file).then_some(store)
    }

    /// Returns a store before it is opened.
    fn closed(directory: PathBuf, most_bytes: u64, is_given_up: Arc<AtomicBool>) -> Self {
        let (connection, complaint, file) = (None, None, None);
        Self { directory, most_bytes, connection, is_tidy: false, complaint, file, is_given_up, was_busy: false }
    }

    /// Returns whether nothing more can be written to it.
    pub(super) fn is_given_up(&self) -> bool {
        self.is_given_up.load(Ordering::SeqCst)
    }

    /// Returns what was found wrong since it was last asked: in words, once.
    pub(super) fn complaint(&mut self) -> Option<String> {
        self.complaint.take()
    }

    pub(super) fn answer(&mut self, key: &Key) -> Option<Row> {
        let found = self.attempt(|connection| {
            let mut select = connection
                .prepare("SELECT token, etag, next, content, raw, used, digest FROM answers WHERE key = ?1")?;
            let read = |row: &rusqlite::Row<'_>| {
                let found = Row {
                    token: row.get(0)?,
                    etag: row.get(1)?,
                    next: row.get(2)?,
                    content: Blob::Deflated(row.get(3)?),
                    raw: row.get::<_, Option<_>>(4)?.map(Blob::Deflated),
                    used: row.get(5)?,
                };
                Ok((found, row.get::<_, Key>(6)?))
            };
            select.query_row([key], read).optional()
        });
        let (row, digest) = found.flatten()?;
        let is_as_written =
            row.digest(key, &row.content.deflated(), row.raw.as_ref().map(Blob::deflated).as_deref()) == digest;
        self.genuine(is_as_written)?;
        Some(row)
    }

    /// Writes a lot, all of it or nothing.
    pub(super) fn write(&mut self, lot: &Lot, now: i64) -> Written {
        if self.is_given_up() {
            return Written::Never;
        }
        let written = self.attempt(|connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            {
                let mut insert =
                    transaction.prepare("INSERT OR REPLACE INTO answers VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?;
                for (key, row) in &lot.answers {
                    let content = row.content.deflated();
                    let raw = row.raw.as_ref().map(Blob::deflated).filter(|raw| raw.len() <= LARGEST_RAW);
                    let digest = row.digest(key, &content, raw.as_deref());
                    let (content, raw) = (content.as_ref(), raw.as_deref());
                    insert.execute(params![key, row.token, row.etag, row.next, content, raw, row.used, digest])?;
                }
                let mut touch = transaction.prepare("UPDATE answers SET used = ?2 WHERE key = ?1")?;
                for key in &lot.used {
                    touch.execute(params![key, now])?;
                }
                let mut note = transaction.prepare("INSERT OR REPLACE INTO notes VALUES (?1, ?2, ?3, ?4)")?;
                for (key, value) in &lot.notes {
                    let value = value.deflated();
                    note.execute(params![key, value.as_ref(), now, digest_of(&[key, &value])])?;
                }
            }
            transaction.commit()
        });
        if written.is_none() {
            return match self.was_busy {
                _ if self.is_given_up() => Written::Never,
                true => Written::Busy,
                false => Written::Again,
            };
        }
        self.forget_old(now);
        self.make_room(now);
        Written::Yes
    }

    pub(super) fn token(&mut self, key: &Key) -> Option<(String, i64)> {
        let found = self.attempt(|connection| {
            let read =
                |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, Key>(2)?));
            connection.query_row("SELECT token, expires, digest FROM tokens WHERE key = ?1", [key], read).optional()
        });
        let (token, expires, digest) = found.flatten()?;
        self.genuine(token_digest(key, &token, expires) == digest)?;
        Some((token, expires))
    }

    pub(super) fn keep_token(&mut self, key: &Key, token: &str, expires: i64) {
        let digest = token_digest(key, token, expires);
        let _ = self.attempt(|connection| {
            connection
                .execute("INSERT OR REPLACE INTO tokens VALUES (?1, ?2, ?3, ?4)", params![key, token, expires, digest])
        });
    }

    pub(super) fn forget_token(&mut self, key: &Key, token: &str) {
        let _ = self.attempt(|connection| {
            connection.execute("DELETE FROM tokens WHERE key = ?1 AND token = ?2", params![key, token])
        });
    }

    /// Returns what was noted by each of these keys, in their order.
    pub(super) fn notes<'a>(&mut self, keys: impl IntoIterator<Item = &'a Key>) -> Vec<Option<Blob>> {
        let keys: Vec<&Key> = keys.into_iter().collect();
        let found = self.attempt(|connection| {
            let mut select = connection.prepare("SELECT value, digest FROM notes WHERE key = ?1")?;
            let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Key>(1)?));
            keys.iter().map(|key| select.query_row([key], read).optional()).collect::<rusqlite::Result<Vec<_>>>()
        });
        let Some(found) = found else { return vec![None; keys.len()] };
        let agrees = |(key, found): (&&Key, &Option<(Vec<u8>, Key)>)| {
            found.as_ref().is_none_or(|(value, digest)| digest_of(&[*key, value]) == *digest)
        };
        if self.genuine(keys.iter().zip(&found).all(agrees)).is_none() {
            return vec![None; keys.len()];
        }
        found.into_iter().map(|found| Some(Blob::Deflated(found?.0))).collect()
    }

    /// Forgets what has not been used for long.
    fn forget_old(&mut self, now: i64) {
        if std::mem::replace(&mut self.is_tidy, true) {
            return;
        }
        let _ = self.attempt(|connection| {
            let too_old = now - UNUSED_DAYS * 86_400;
            connection.execute("DELETE FROM answers WHERE used < ?1", [too_old])?;
            connection.execute("DELETE FROM notes WHERE used < ?1", [too_old])?;
            connection.execute("DELETE FROM tokens WHERE expires < ?1", [now])
        });
    }

    /// Forgets the longest unused, until the rest fits: what was noted of repositories that nobody has looked at for a week,
    /// by a credential that has changed since, most likely; then answers; then all other notes.
    fn make_room(&mut self, now: i64) {
        let most_bytes = self.most_bytes;
        let _ = self.attempt(|connection| {
            // A quarter is left free, so that not every run has to make room.
            let is_too_much = |connection: &Connection| bytes(connection).map(|bytes| bytes > most_bytes / 4 * 3);
            if is_too_much(connection)? {
                let too_old = now - UNUSED_DAYS / 2 * 86_400;
                connection.execute("DELETE FROM notes WHERE used < ?1", [too_old])?;
            }
            for table in ["answers", "notes"] {
                while is_too_much(connection)? {
                    let count = format!("SELECT count(*) / 8 + 1 FROM {table}");
                    let eighth: i64 = connection.query_row(&count, [], |row| row.get(0))?;
                    let oldest = format!("SELECT key FROM {table} ORDER BY used LIMIT ?1");
                    if connection.execute(&format!("DELETE FROM {table} WHERE key IN ({oldest})"), [eighth])? == 0 {
                        break;
                    }
                }
            }
            Ok(())
        });
    }

    fn path(&self) -> PathBuf {
        self.directory.join(FILE)
    }

    /// Does something with the file; `None` where that fails. What is damaged is thrown away and made anew, what is
    /// only busy is passed over, and after anything else the file is left alone.
    fn attempt<T>(&mut self, work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Option<T> {
        self.follow();
        let error = match work(self.connection.as_mut()?) {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        self.was_busy = error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy);
        if is_damage(&error) {
            self.throw_away(&error.to_string());
        } else if self.was_busy {
            tracing::debug!(%error, "the cache is busy");
        } else {
            self.give_up(&format!("{}: {error}", self.path().display()));
        }
        None
    }

    fn give_up(&mut self, why: &str) {
        self.connection = None;
        self.is_given_up.store(true, Ordering::SeqCst);
        self.complaint = Some(format!("nothing more is kept in it: {why}"));
    }

    /// Throws the file away if a digest didn't agree.
    fn genuine(&mut self, agrees: bool) -> Option<()> {
        if !agrees {
            self.throw_away("an entry is not as it was written");
        }
        agrees.then_some(())
    }

    fn throw_away(&mut self, why: &str) {
        let replaced = lock(&self.directory).and_then(|_lock| self.replace(why));
        if let Err(error) = replaced {
            self.give_up(&format!("it is damaged ({why}), and could not be made anew: {error}"));
        }
    }

    /// Opens the new file, where another thread or process has thrown away the one that is open.
    fn follow(&mut self) {
        if self.connection.is_some()
            && self.is_replaced()
            && let Err(error) = lock(&self.directory).and_then(|_lock| self.reopen())
        {
            self.give_up(&error.to_string());
        }
    }

    /// Returns whether another file stands where the one was that is open here.
    fn is_replaced(&self) -> bool {
        file_at(&self.path()).is_some_and(|there| self.file.is_some_and(|open| open != there))
    }

    /// Opens the file that is there now. To be called under the lock.
    fn reopen(&mut self) -> Result<(), Unusable> {
        self.connection = None;
        let path = self.path();
        self.connection = Some(connect(&path, self.most_bytes)?);
        self.file = file_at(&path);
        Ok(())
    }

    /// Deletes the file, if nobody has already, and opens a new one. To be called under the lock.
    fn replace(&mut self, why: &str) -> Result<(), Unusable> {
        if self.is_replaced() {
            return self.reopen();
        }
        self.connection = None;
        for suffix in ["", "-wal", "-shm"] {
            let file = self.directory.join(format!("{FILE}{suffix}"));
            match std::fs::remove_file(&file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Unusable::File(file, error)),
                _ => {}
            }
        }
        self.reopen()?;
        self.complaint = Some(format!("{} was damaged and thrown away: {why}", self.path().display()));
        Ok(())
    }
}

impl Row {
    /// Returns the digest of all that it is, with its content and body as they stand in the file.
    fn digest(&self, key: &Key, content: &[u8], raw: Option<&[u8]>) -> Key {
        let next = self.next.as_deref().map_or(vec![0], |next| [b"1", next.as_bytes()].concat());
        let raw = raw.map_or(vec![0], |raw| [b"1", raw].concat());
        digest_of(&[key, &self.token, self.etag.as_bytes(), &next, content, &raw])
    }
}

fn token_digest(key: &Key, token: &str, expires: i64) -> Key {
    digest_of(&[key, token.as_bytes(), &expires.to_le_bytes()])
}

/// Returns the SHA-256 over parts, each with its length.
pub(super) fn digest_of(parts: &[&[u8]]) -> Key {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

fn bytes(connection: &Connection) -> rusqlite::Result<u64> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let pages = pragma("page_count")? - pragma("freelist_count")?;
    Ok(u64::try_from(pages).unwrap_or(0) * PAGE_BYTES)
}

/// Opens the database, and makes its tables where it is new.
///
/// A file that is there is opened by `SQLite` alone: were it opened and closed beside that, the locks of this process's other
/// connections to it would be gone, since POSIX locks are a process's (sqlite.org/howtocorrupt.html, 2.2).
fn connect(path: &Path, most_bytes: u64) -> Result<Connection, Unusable> {
    // Made here, since SQLite would make it as the umask says; its other files take the same mode.
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            std::fs::set_permissions(path, Permissions::from_mode(0o600))
        }
        made => made.map(drop),
    }
    .map_err(|error| Unusable::File(path.to_owned(), error))?;
    prepare(path, most_bytes).map_err(|error| Unusable::Database(path.to_owned(), error))
}

fn prepare(path: &Path, most_bytes: u64) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "page_size", PAGE_BYTES.cast_signed())?;
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "normal")?;
    connection.pragma_update_and_check(None, "journal_size_limit", 4 << 20, |_| Ok(()))?;
    connection.pragma_update_and_check(None, "max_page_count", (most_bytes / PAGE_BYTES).cast_signed(), |_| Ok(()))?;
    let version = |connection: &Connection| connection.pragma_query_value(None, "user_version", |row| row.get(0));
    if version(&connection)? == 0_i64 {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(SCHEMA)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
        transaction.commit()?;
    }
    match version(&connection)? {
        VERSION => Ok(connection),
        other => Err(rusqlite::Error::IntegralValueOutOfRange(0, other)),
    }
}

/// Returns whether an error means that the file is not what we wrote.
fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::Error as E;
    match error {
        // `Unknown` is SQLITE_ERROR: a table that is not there, or not as it was made.
        E::SqliteFailure(failure, _) => {
            matches!(failure.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown)
        }
        E::SqlInputError { .. }
        | E::InvalidColumnType(..)
        | E::FromSqlConversionFailure(..)
        | E::IntegralValueOutOfRange(..)
        | E::Utf8Error(..) => true,
        _ => false,
    }
}

fn file_at(path: &Path) -> Option<FileId> {
    std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

/// Makes the directory, or makes it private: tokens are kept in it.
fn make_private(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    if std::fs::metadata(directory)?.permissions().mode() & 0o777 != 0o700 {
        std::fs::set_permissions(directory, Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Takes the lock under which the file is opened or thrown away: for milliseconds, and so with little patience.
fn lock(directory: &Path) -> Result<File, Unusable> {
    let path = directory.join("cache.lock");
    let failed = |error| Unusable::File(path.clone(), error);
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
    let started = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if started.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(TryLockError::WouldBlock) => return Err(Unusable::Locked(path)),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: u64 = 64 << 20;
    const NOW: i64 = 1_800_000_000;

    fn row(etag: &str) -> Row {
        let next = Some("page=2".to_owned());
        Row { token: [7; 32], etag: etag.into(), next, content: b"content".to_vec().into(), raw: None, used: NOW }
    }

    fn lot(answers: &[(Key, Row)], used: &[Key]) -> Lot {
        Lot { answers: answers.iter().cloned().collect(), used: used.to_vec(), ..Lot::default() }
    }

    fn key(nth: u32) -> Key {
        digest_of(&[&nth.to_le_bytes()])
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_was_written_is_read_by_the_next_process() {
        let home = tempfile::tempdir().unwrap();
        let place = home.path().join("a/ghascale");
        Store::open(&place, MANY).unwrap().write(&lot(&[(key(1), row("W/\"x\""))], &[]), NOW);
        let mut store = Store::open(&place, MANY).unwrap();
        assert_eq!((store.answer(&key(1)), store.answer(&key(2))), (Some(row("W/\"x\"")), None));
        assert_eq!(store.complaint(), None);
    }

    #[test]
    fn everything_in_it_is_its_owners_alone() {
        let home = tempfile::tempdir().unwrap();
        let place = home.path().join("ghascale");
        // Made by something that was less careful.
        std::fs::create_dir(&place).unwrap();
        std::fs::write(place.join(FILE), "").unwrap();
        std::fs::set_permissions(&place, Permissions::from_mode(0o755)).unwrap();
        std::fs::set_permissions(place.join(FILE), Permissions::from_mode(0o644)).unwrap();
        let mut store = Store::open(&place, MANY).unwrap();
        store.keep_token(&key(1), "ghs_x", NOW);
        assert_eq!(mode(&place), 0o700);
        for file in std::fs::read_dir(&place).unwrap() {
            let file = file.unwrap().path();
            assert_eq!(mode(&file), 0o600, "{}", file.display());
        }
    }

    #[test]
    fn a_file_that_is_no_database_is_thrown_away_and_that_is_said_once() {
        for garbage in [&b"this is not a database, though it is long enough to be taken for one"[..], &[0; 4096]] {
            let home = tempfile::tempdir().unwrap();
            std::fs::write(home.path().join(FILE), garbage).unwrap();
            let mut store = Store::open(home.path(), MANY).unwrap();
            store.write(&lot(&[(key(1), row("x"))], &[]), NOW);
            assert_eq!(store.answer(&key(1)), Some(row("x")));
            assert!(store.complaint().is_some_and(|said| said.contains("thrown away")), "{garbage:?}");
            assert_eq!(store.complaint(), None);
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_is_never_taken_for_an_answer() {
        let home = tempfile::tempdir().unwrap();
        let mut store = Store::open(home.path(), MANY).unwrap();
        let rows: Vec<_> = (0..40).map(|nth| (key(nth), row(&format!("etag-{nth}-{}", "x".repeat(200))))).collect();
        store.write(&lot(&rows, &[]), NOW);
        drop(store);
        let whole = std::fs::read(home.path().join(FILE)).unwrap();
        for at in (0..whole.len()).step_by(61) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            let _ = std::fs::remove_file(home.path().join(format!("{FILE}-wal")));
            std::fs::write(home.path().join(FILE), damaged).unwrap();
            let mut store = Store::open(home.path(), MANY).unwrap();
            for (key, row) in &rows {
                // When it was last used decides nothing but what goes first.
                let found = store.answer(key).map(|found| Row { used: NOW, ..found });
                assert!(found.is_none_or(|found| found == *row), "byte {at}");
            }
            store.write(&lot(&rows[..1], &[]), NOW);
        }
    }

    #[test]
    fn a_file_that_was_cut_off_is_survived() {
        let home = tempfile::tempdir().unwrap();
        let rows: Vec<_> = (0..400).map(|nth| (key(nth), row(&"x".repeat(200)))).collect();
        Store::open(home.path(), MANY).unwrap().write(&lot(&rows, &[]), NOW);
        let file = OpenOptions::new().write(true).open(home.path().join(FILE)).unwrap();
        file.set_len(file.metadata().unwrap().len() / 2).unwrap();
        let mut store = Store::open(home.path(), MANY).unwrap();
        for (key, row) in &rows {
            assert!(store.answer(key).is_none_or(|found| found == *row));
        }
        store.write(&lot(&rows, &[]), NOW);
        let mut store = Store::open(home.path(), MANY).unwrap();
        assert_eq!(store.answer(&key(399)), Some(row(&"x".repeat(200))), "it works again");
    }

    #[test]
    fn what_is_too_much_goes_the_longest_unused_first() {
        let home = tempfile::tempdir().unwrap();
        let mut store = Store::open(home.path(), 1 << 20).unwrap();
        for nth in 0..400 {
            let big = Row { content: Blob::Deflated(vec![7; 8192]), used: NOW + i64::from(nth), ..row("x") };
            store.write(&lot(&[(key(nth), big)], &[]), NOW);
        }
        assert!(store.answer(&key(399)).is_some() && store.answer(&key(0)).is_none());
        assert_eq!(store.complaint(), None);
        drop(store);
        assert!(std::fs::metadata(home.path().join(FILE)).unwrap().len() <= 1 << 20);
    }

    #[test]
    fn notes_of_a_credential_that_nobody_has_any_more_leave_room_for_answers() {
        let home = tempfile::tempdir().unwrap();
        let mut store = Store::open(home.path(), 1 << 20).unwrap();
        let notes = |of: u32| (0..80).map(move |nth| (key(of + nth), Blob::Deflated(vec![7; 8192])));
        store.write(&Lot { notes: notes(0).collect(), ..Lot::default() }, NOW);
        let later = NOW + 8 * 86_400;
        store.write(&Lot { notes: notes(1000).take(10).collect(), ..Lot::default() }, later);
        for nth in 0..20 {
            let big = Row { content: Blob::Deflated(vec![7; 8192]), used: later, ..row("x") };
            store.write(&lot(&[(key(nth), big)], &[]), later);
        }
        let known = |store: &mut Store, of: u32| store.notes(&[key(of)])[0].is_some();
        assert!((0..20).all(|nth| store.answer(&key(nth)).is_some()));
        assert_eq!((known(&mut store, 0), known(&mut store, 1000)), (false, true));
        // More than there is room for, and none of it old.
        for of in [2000, 3000, 4000, 5000] {
            store.write(&Lot { notes: notes(of).take(20).collect(), ..Lot::default() }, later);
        }
        assert!(store.answer(&key(0)).is_none() && store.complaint().is_none());
        assert!(bytes(store.connection.as_ref().unwrap()).unwrap() <= (1 << 20) / 4 * 3);
    }

    #[test]
    fn where_one_thread_can_no_longer_write_no_other_does() {
        let home = tempfile::tempdir().unwrap();
        let mut store = Store::open(home.path(), 256 << 10).unwrap();
        store.write(&lot(&[(key(1), row("x"))], &[]), NOW);
        let mut writer = store.beside().unwrap();
        let too_much = Row { content: Blob::Deflated(vec![7; 300 << 10]), ..row("y") };
        assert_eq!(writer.write(&lot(&[(key(2), too_much)], &[]), NOW), Written::Never);
        assert!(writer.complaint().is_some_and(|said| said.contains("full")));
        assert_eq!(store.write(&lot(&[(key(3), row("z"))], &[]), NOW), Written::Never);
        assert_eq!((store.answer(&key(1)), store.answer(&key(3))), (Some(row("x")), None));
    }

    #[test]
    fn a_directory_that_is_a_link_is_followed() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("private")).unwrap();
        std::os::unix::fs::symlink("private", home.path().join("ghascale")).unwrap();
        let mut store = Store::open(&home.path().join("ghascale"), MANY).unwrap();
        store.write(&lot(&[(key(1), row("x"))], &[]), NOW);
        assert!(home.path().join("private").join(FILE).exists());
    }

    #[test]
    fn a_file_that_another_process_has_put_in_its_place_is_used_and_not_thrown_away() {
        let home = tempfile::tempdir().unwrap();
        let mut store = Store::open(home.path(), MANY).unwrap();
        store.write(&lot(&[(key(1), row("x"))], &[]), NOW);
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(home.path().join(format!("{FILE}{suffix}")));
        }
        assert_eq!(store.answer(&key(1)), Some(row("x")), "deleted, it is used on");
        assert!(store.beside().is_none(), "by this connection alone");
        let mut other = Store::open(home.path(), MANY).unwrap();
        other.write(&lot(&[(key(2), row("y"))], &[]), NOW);
        store.throw_away("it is damaged");
        assert_eq!((store.answer(&key(2)), store.complaint()), (Some(row("y")), None));
    }

    #[test]
    fn another_connection_of_the_same_process_takes_no_lock_away() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(home.path(), MANY).unwrap();
        let inode = file_at(&store.path()).unwrap().1;
        // A process's locks as the kernel lists them (proc_locks(5)): the inode stands behind `major:minor:`.
        let locks = || {
            let all = std::fs::read_to_string("/proc/locks").unwrap_or_default();
            all.lines().filter(|line| line.contains(&format!(":{inode} "))).count()
        };
        let before = locks();
        let others = [store.beside().unwrap(), Store::open(home.path(), MANY).unwrap()];
        assert!(locks() >= before.max(1));
        drop(others);
    }

    #[test]
    fn what_nobody_asked_for_in_weeks_is_forgotten_and_expired_tokens_are_too() {
        let home = tempfile::tempdir().unwrap();
        let mut store = Store::open(home.path(), MANY).unwrap();
        store.write(&lot(&[(key(1), row("old")), (key(2), row("used"))], &[]), NOW);
        store.keep_token(&key(1), "ghs_x", NOW + 3600);
        store.write(&lot(&[], &[key(2)]), NOW + 10 * 86_400);
        drop(store);
        let mut store = Store::open(home.path(), MANY).unwrap();
        store.write(&lot(&[], &[]), NOW + 15 * 86_400);
        assert!(store.answer(&key(1)).is_none() && store.answer(&key(2)).is_some());
        assert_eq!(store.token(&key(1)), None);
    }

    #[test]
    fn two_processes_write_at_once() {
        let home = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for process in 0..4 {
                let place = home.path();
                scope.spawn(move || {
                    let mut store = Store::open(place, MANY).unwrap();
                    for nth in 0..50 {
                        store.write(&lot(&[(key(process * 100 + nth), row("x"))], &[]), NOW);
                    }
                    assert_eq!(store.complaint(), None);
                });
            }
        });
        let mut store = Store::open(home.path(), MANY).unwrap();
        assert!((0..4).all(|process| (0..50).all(|nth| store.answer(&key(process * 100 + nth)).is_some())));
    }

    #[test]
    fn a_place_that_cannot_be_written_is_an_error_that_names_it() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("file"), "").unwrap();
        let error = Store::open(&home.path().join("file/below"), MANY).unwrap_err();
        assert!(error.to_string().contains("file/below"), "{error}");
    }
}
