//! stderr: written at once, or, in a process that must wait for no reader, by a thread of its own.

use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, SyncSender};
use std::time::Duration;

/// Lines that wait for a reader; more are not written.
const LINES_WAITING: usize = 10_000;
/// How long the end waits for a reader.
const ENDS_WITHIN: Duration = Duration::from_secs(1);

/// The thread that writes, if there is one: a process has one stderr.
static BESIDE: OnceLock<Beside> = OnceLock::new();

struct Beside {
    orders: SyncSender<Order>,
    /// Lines that were not written, since too many wait already.
    lost: AtomicU64,
}

enum Order {
    Write(Vec<u8>),
    /// Says when all before it is written.
    Tell(Sender<()>),
}

/// Has all that is written from now on written by a thread: a reader that stands still, or a full disk, stops only that.
pub fn write_beside() {
    BESIDE.get_or_init(|| {
        let (orders, to_do) = std::sync::mpsc::sync_channel(LINES_WAITING);
        std::thread::spawn(move || {
            for order in to_do {
                match order {
                    // Nobody is left to tell it to where this fails.
                    Order::Write(line) => drop(io::stderr().write_all(&line)),
                    Order::Tell(done) => drop(done.send(())),
                }
            }
        });
        Beside { orders, lost: AtomicU64::new(0) }
    });
}

/// Waits until all is written, but not for a reader that stands still.
pub fn finish() {
    let (done, is_done) = std::sync::mpsc::channel();
    if let Some(beside) = BESIDE.get()
        && beside.orders.try_send(Order::Tell(done)).is_ok()
    {
        // All is written, or it is not: either way this is the end.
        let _ = is_done.recv_timeout(ENDS_WITHIN);
    }
}

/// Writes there; each write is a line, or several.
#[derive(Clone, Copy, Debug)]
pub struct Stderr;

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let Some(beside) = BESIDE.get() else {
            return io::stderr().write_all(line).map(|()| line.len());
        };
        let lost = beside.lost.swap(0, Ordering::Relaxed);
        let said =
            if lost == 0 { String::new() } else { format!("{lost} lines were not written, since nobody read\n") };
        if beside.orders.try_send(Order::Write([said.as_bytes(), line].concat())).is_err() {
            beside.lost.fetch_add(lost + 1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
