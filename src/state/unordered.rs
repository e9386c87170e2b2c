//! Registrations whose instance was never ordered, kept for whoever runs after a process that died: one file each, in
//! `FLEET.unordered/`, no secret in it.
//!
//! - A note stands only while it is certain that no order is under way. It is taken away before one is sent, and set again
//!   where EC2 has refused it.
//! - Its file is locked by its process for as long as that lives: a lock that can be had is proof that nobody will ever
//!   order by it. No clock has a part in that, nor a process id.
//! - A file that was taken away is no note any more, whoever has it open still.
//! - After a crash of the host itself a file may be older than what was done last, so a note of another boot is no
//!   knowledge; neither is one that can't be read.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::StateDirectory;
use crate::files::{self, LARGEST_SETTING};
use crate::services::{Memory, Note, Unordered};

/// Where this host's system tells which boot this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What was not made a note for so long was left by a process that died.
const ABANDONED_AFTER: Duration = Duration::from_mins(1);

/// The notes of one fleet, at one scope.
#[derive(Clone, Debug)]
pub struct UnorderedNotes {
    directory: PathBuf,
    scope: String,
    /// `None`: nothing is noted, and nothing that was is believed.
    boot: Option<String>,
}

/// What is in a file.
#[derive(Serialize, Deserialize)]
struct Kept {
    scope: String,
    boot: String,
    at: Timestamp,
    #[serde(flatten)]
    registration: Unordered,
}

/// A note of a process that is gone. Nobody else has it as long as this lives.
#[derive(Debug)]
pub struct LeftOver {
    /// The registration.
    pub registration: Unordered,
    /// When it was noted, by the clock of then.
    pub at: Timestamp,
    path: PathBuf,
    _locked: File,
}

impl StateDirectory {
    /// Returns the notes of a fleet's registrations at a scope, by its address.
    #[must_use]
    pub fn unordered(&self, fleet: &str, scope: &str) -> UnorderedNotes {
        UnorderedNotes {
            directory: self.path.join(format!("{fleet}.unordered")),
            scope: scope.to_owned(),
            boot: fs::read_to_string(BOOT_ID).ok().map(|id| id.trim().to_owned()).filter(|id| !id.is_empty()),
        }
    }
}

impl UnorderedNotes {
    /// Returns what processes of this host that are gone had registered, and not ordered.
    #[must_use]
    pub fn left_over(&self) -> Vec<LeftOver> {
        let Ok(entries) = fs::read_dir(&self.directory) else { return Vec::new() };
        let is = |path: &Path, wanted: &str| path.extension().is_some_and(|kind| kind == wanted);
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let (mut paths, others): (Vec<PathBuf>, Vec<PathBuf>) = paths.partition(|path| is(path, "json"));
        others.iter().filter(|path| is(path, "tmp") && is_abandoned(path)).for_each(|path| drop_file(path));
        paths.sort();
        paths.into_iter().filter_map(|path| self.claim(path)).collect()
    }

    fn claim(&self, path: PathBuf) -> Option<LeftOver> {
        let file = File::open(&path).ok()?;
        // Its process lives, or somebody else is at it; or nobody can tell.
        file.try_lock().ok()?;
        // Its process may have taken it away after it was opened here, and have ordered since.
        if !is_still(&file, &path) {
            return None;
        }
        let text = files::read(&path, LARGEST_SETTING).ok();
        let Some(kept) = text.and_then(|text| serde_json::from_slice::<Kept>(&text).ok()) else {
            tracing::warn!(path = %path.display(), "a note of a registration can't be read, and is dropped");
            drop_file(&path);
            return None;
        };
        if self.boot.as_ref() != Some(&kept.boot) {
            drop_file(&path);
            return None;
        }
        let Kept { scope, at, registration, .. } = kept;
        (scope == self.scope).then_some(LeftOver { registration, at, path, _locked: file })
    }

    fn write(&self, registration: &Unordered) -> io::Result<(PathBuf, File)> {
        let boot = self.boot.clone().ok_or_else(|| io::Error::other("this host does not tell its boots apart"))?;
        let kept = Kept { scope: self.scope.clone(), boot, at: Timestamp::now(), registration: registration.clone() };
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let name = format!("{:016x}", fastrand::u64(..));
        let beside = self.directory.join(format!("{name}.tmp"));
        let path = self.directory.join(format!("{name}.json"));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        // It is locked and whole when it becomes a note.
        let written = file
            .try_lock()
            .map_err(io::Error::other)
            .and_then(|()| file.write_all(&serde_json::to_vec(&kept)?))
            .and_then(|()| fs::rename(&beside, &path));
        match written {
            Ok(()) => Ok((path, file)),
            Err(error) => {
                drop_file(&beside);
                Err(error)
            }
        }
    }
}

impl LeftOver {
    /// Takes the note away: there is nothing left to undo.
    pub fn forget(self) {
        drop_file(&self.path);
    }
}

impl Memory for UnorderedNotes {
    fn note(&self, registration: Unordered) -> Box<dyn Note> {
        let mut note = OwnNote { notes: self.clone(), registration, standing: None, locked: None };
        note.set();
        Box::new(note)
    }
}

/// A note of this process.
#[derive(Debug)]
struct OwnNote {
    notes: UnorderedNotes,
    registration: Unordered,
    /// Where it stands.
    standing: Option<PathBuf>,
    /// Held also while it is taken away: who has it open must not get it.
    locked: Option<File>,
}

impl Note for OwnNote {
    fn set(&mut self) {
        if self.standing.is_some() {
            return;
        }
        match self.notes.write(&self.registration) {
            Ok((path, file)) => (self.standing, self.locked) = (Some(path), Some(file)),
            Err(error) => {
                tracing::debug!(%error, "a registration could not be noted: a crash would leave it for some minutes");
            }
        }
    }

    fn lift(&mut self) -> io::Result<()> {
        let Some(path) = &self.standing else { return Ok(()) };
        match fs::remove_file(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        self.standing = None;
        Ok(())
    }
}

fn is_still(file: &File, path: &Path) -> bool {
    let id = |metadata: io::Result<fs::Metadata>| metadata.ok().map(|metadata| (metadata.dev(), metadata.ino()));
    id(file.metadata()).is_some_and(|opened| Some(opened) == id(fs::metadata(path)))
}

/// Returns whether a file that is no note yet will never be one: it is locked as soon as it is there, and renamed at once.
fn is_abandoned(path: &Path) -> bool {
    let age = || fs::metadata(path).ok()?.modified().ok()?.elapsed().ok();
    age().is_some_and(|age| age > ABANDONED_AFTER) && File::open(path).is_ok_and(|file| file.try_lock().is_ok())
}

fn drop_file(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::debug!(%error, path = %path.display(), "a note could not be taken away");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Label, RunnerId};
    use crate::services::Birthmark;

    fn registration(slot: u64) -> Unordered {
        Unordered { name: format!("acme-linux-{slot:03}").as_str().into(), mark: Birthmark::Id(RunnerId(slot)) }
    }

    fn left(notes: &UnorderedNotes) -> Vec<Unordered> {
        notes.left_over().into_iter().map(|left| left.registration.clone()).collect()
    }

    fn files(home: &Path) -> Vec<PathBuf> {
        fs::read_dir(home.join("acme.unordered")).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    fn open(home: &Path) -> UnorderedNotes {
        StateDirectory::new(home.to_owned()).unordered("acme", "https://github.com/acme")
    }

    #[test]
    fn a_note_is_left_over_when_its_process_is_gone_and_not_before() {
        let home = tempfile::tempdir().unwrap();
        let notes = open(home.path());
        assert_eq!(left(&notes), []);
        let by_label = Unordered { mark: Birthmark::Label(Label::new("ghascale-x-y")), ..registration(1) };
        let (one, other) = (notes.note(registration(0)), notes.note(by_label.clone()));
        assert_eq!(left(&notes), [], "it lives");
        drop(one);
        assert_eq!(left(&notes), [registration(0)]);
        drop(other);
        let mut all = left(&notes);
        all.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(all, [registration(0), by_label]);
        let mode = fs::metadata(&files(home.path())[0]).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
        notes.left_over().into_iter().for_each(LeftOver::forget);
        assert_eq!((left(&notes), files(home.path()).len()), (Vec::new(), 0));
    }

    #[test]
    fn one_at_a_time_has_what_is_left_over() {
        let home = tempfile::tempdir().unwrap();
        let notes = open(home.path());
        drop(notes.note(registration(0)));
        let mine = notes.left_over();
        assert_eq!((mine.len(), notes.left_over().len()), (1, 0));
        drop(mine);
        assert_eq!(notes.left_over().len(), 1, "it was not undone");
    }

    #[test]
    fn what_was_ordered_is_not_left_over_and_what_was_refused_is_again() {
        let home = tempfile::tempdir().unwrap();
        let notes = open(home.path());
        let mut note = notes.note(registration(0));
        note.lift().unwrap();
        note.lift().unwrap();
        note.set();
        note.set();
        assert_eq!(files(home.path()).len(), 1);
        drop(note);
        assert_eq!(left(&notes), [registration(0)]);
        notes.left_over().into_iter().for_each(LeftOver::forget);
        let mut note = notes.note(registration(1));
        note.lift().unwrap();
        drop(note);
        assert_eq!(left(&notes), []);
    }

    #[test]
    fn a_note_that_is_taken_away_while_somebody_opens_it_is_none() {
        let home = tempfile::tempdir().unwrap();
        let notes = open(home.path());
        let mut note = notes.note(registration(0));
        let path = files(home.path()).remove(0);
        let opened = File::open(&path).unwrap();
        assert!(is_still(&opened, &path));
        note.lift().unwrap();
        // Its lock is not to be had before the launch is over, and then it is no note.
        assert!(opened.try_lock().is_err());
        drop(note);
        opened.try_lock().unwrap();
        assert!(!is_still(&opened, &path));
        notes.note(registration(0)).set();
        assert!(!is_still(&opened, &files(home.path())[0]), "another file");
    }

    #[test]
    fn notes_of_another_boot_or_scope_and_torn_ones_are_no_knowledge() {
        let home = tempfile::tempdir().unwrap();
        let notes = open(home.path());
        let elsewhere = UnorderedNotes { scope: "https://ghe.example/acme".into(), ..notes.clone() };
        drop(elsewhere.note(registration(0)));
        assert_eq!(left(&notes), []);
        assert_eq!(left(&elsewhere), [registration(0)], "it is kept for whoever it concerns");
        elsewhere.left_over().into_iter().for_each(LeftOver::forget);
        let before = UnorderedNotes { boot: Some("another".into()), ..notes.clone() };
        drop(before.note(registration(1)));
        assert_eq!((left(&notes), files(home.path()).len()), (Vec::new(), 0));
        drop(UnorderedNotes { boot: None, ..notes.clone() }.note(registration(2)));
        assert_eq!(files(home.path()).len(), 0);
        drop(notes.note(registration(3)));
        fs::write(files(home.path()).remove(0), "{\"scope\":").unwrap();
        assert_eq!((left(&notes), files(home.path()).len()), (Vec::new(), 0));
    }

    #[test]
    fn what_a_process_that_died_was_about_to_note_is_removed() {
        let home = tempfile::tempdir().unwrap();
        let notes = open(home.path());
        drop(notes.note(registration(0)));
        let beside = files(home.path()).remove(0).with_extension("tmp");
        let half = File::create(&beside).unwrap();
        assert_eq!((left(&notes).len(), beside.exists()), (1, true), "it may become one");
        half.set_modified(std::time::SystemTime::now() - 2 * ABANDONED_AFTER).unwrap();
        assert_eq!((left(&notes).len(), beside.exists()), (1, false));
    }

    #[test]
    fn where_nothing_can_be_kept_launches_go_on() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("acme.unordered"), "").unwrap();
        let notes = open(home.path());
        let mut note = notes.note(registration(0));
        note.lift().unwrap();
        note.set();
        drop(note);
        assert_eq!(left(&notes), []);
    }
}
