//! The thread that writes: whoever asks GitHub for thousands of lists doesn't wait for the disk each hundred of them.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::blob::Blob;
use super::store::{Key, Row, Store, Written};
use crate::github::client::lock;

/// Lots that wait to be written, at most: beyond, whoever brings another waits too. They are what bounds the memory.
const MOST: usize = 3;
/// How often whoever waits sees whether the thread is still there.
const GLANCE: Duration = Duration::from_millis(200);

/// What is written together.
#[derive(Debug, Default)]
pub(super) struct Lot {
    pub(super) answers: BTreeMap<Key, Row>,
    /// Answers that are in the file already, and were used.
    pub(super) used: Vec<Key>,
    pub(super) notes: BTreeMap<Key, Blob>,
    /// What it takes as it came, roughly.
    pub(super) bytes: usize,
}

impl Lot {
    pub(super) fn is_empty(&self) -> bool {
        self.answers.is_empty() && self.used.is_empty() && self.notes.is_empty()
    }
}

/// The thread, and the lots that are on their way; dropped, it writes what it has.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Queue {
    lots: Mutex<Lots>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct Lots {
    /// The first is being written.
    waiting: VecDeque<Arc<Lot>>,
    /// Those that can't be written any more: what is in the file is older.
    kept: Vec<Arc<Lot>>,
    is_closed: bool,
    /// The last lot was lost, since another process had the file for too long: until one is written, nobody waits.
    is_stuck: bool,
    /// What was found wrong with the file since it was last asked.
    complaint: Option<String>,
}

impl Writer {
    /// Starts the thread, whose store nobody else uses.
    pub(super) fn start(store: Store) -> io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let of_thread = queue.clone();
        let thread =
            std::thread::Builder::new().name("cache".to_owned()).spawn(move || write_all(&of_thread, store))?;
        Ok(Self { queue, thread: Some(thread) })
    }

    /// Takes a lot, to be written behind the earlier ones; where none can be, it is lost.
    pub(super) fn take(&self, lot: Lot) {
        let mut lots = self.wait_while(|lots| lots.waiting.len() >= MOST && !lots.is_stuck);
        if lots.waiting.len() < MOST && self.is_alive() {
            // The first in line is waited for, as long as a file that is kept locked is.
            lots.is_stuck &= !lots.waiting.is_empty();
            lots.waiting.push_back(Arc::new(lot));
            self.queue.moved.notify_all();
        }
    }

    /// Waits until everything is written, but not for another process that keeps the file.
    pub(super) fn finish(&self) {
        drop(self.wait_while(|lots| !lots.waiting.is_empty() && !lots.is_stuck));
    }

    /// Finds something that is not in the file yet: the latest.
    pub(super) fn find<T>(&self, of_lot: impl Fn(&Lot) -> Option<T>) -> Option<T> {
        let lots = lock(&self.queue.lots);
        // What a thread that has died did not write is lost.
        let waiting = lots.waiting.iter().filter(|_| self.is_alive());
        waiting.rev().chain(lots.kept.iter().rev()).find_map(|lot| of_lot(lot))
    }

    /// Returns what was found wrong with the file since it was last asked: in words, once.
    pub(super) fn complaint(&self) -> Option<String> {
        lock(&self.queue.lots).complaint.take()
    }

    fn wait_while(&self, is_so: impl Fn(&Lots) -> bool) -> MutexGuard<'_, Lots> {
        let mut lots = lock(&self.queue.lots);
        while is_so(&lots) && self.is_alive() {
            (lots, _) = self.queue.moved.wait_timeout(lots, GLANCE).unwrap_or_else(PoisonError::into_inner);
        }
        lots
    }

    fn is_alive(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        lock(&self.queue.lots).is_closed = true;
        self.queue.moved.notify_all();
        if let Some(thread) = self.thread.take() {
            // What it has not written is lost, and asked for anew: nothing in the cache is ever needed.
            drop(thread.join());
        }
    }
}

fn write_all(queue: &Queue, mut store: Store) {
    loop {
        let mut lots = lock(&queue.lots);
        let lot = loop {
            match lots.waiting.front() {
                Some(lot) => break lot.clone(),
                None if lots.is_closed => return,
                None => lots = queue.moved.wait(lots).unwrap_or_else(PoisonError::into_inner),
            }
        };
        drop(lots);
        let mut written = store.write(&lot, super::now());
        if written == Written::Again {
            written = store.write(&lot, super::now());
        }
        let mut lots = lock(&queue.lots);
        lots.waiting.pop_front();
        lots.is_stuck = written == Written::Busy;
        if written == Written::Never {
            lots.kept.push(lot);
        }
        let busy =
            lots.is_stuck.then(|| "another process keeps it locked: what is read is not kept meanwhile".to_owned());
        lots.complaint = store.complaint().or(lots.complaint.take()).or(busy);
        queue.moved.notify_all();
    }
}
