//! Lines that a thread of their own writes: a reader that stands still, or a full disk, stops only that.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, SyncSender, TrySendError, channel, sync_channel};
use std::time::{Duration, Instant};

/// Lines that wait for a reader; more are not written.
const WAITING: usize = 10_000;
/// How long the end waits for a reader.
const ENDS_WITHIN: Duration = Duration::from_secs(1);
/// How often it sees meanwhile whether there is room.
const GLANCE: Duration = Duration::from_millis(5);

/// What writes them; dropped, it writes what it has, if the process lives as long.
#[derive(Debug)]
pub(crate) struct Lines {
    orders: SyncSender<Order>,
    /// Lines that were not taken, since too many wait already.
    lost: AtomicU64,
}

enum Order {
    Write(Vec<u8>),
    /// Says when all before it is written.
    Tell(Sender<()>),
}

impl Lines {
    /// Starts the thread. What can't be written is `write`'s to tell.
    pub(crate) fn start(write: impl Fn(&[u8]) + Send + 'static) -> Self {
        let (orders, to_do) = sync_channel(WAITING);
        std::thread::spawn(move || {
            for order in to_do {
                match order {
                    Order::Write(line) => write(&line),
                    Order::Tell(done) => drop(done.send(())),
                }
            }
        });
        Self { orders, lost: AtomicU64::new(0) }
    }

    /// Has a line written, unless too many wait already. Returns how many were not taken since one was; 0 where this one is
    /// not either.
    pub(crate) fn write(&self, line: Vec<u8>) -> u64 {
        if self.orders.try_send(Order::Write(line)).is_ok() {
            return self.lost.swap(0, Ordering::Relaxed);
        }
        self.lost.fetch_add(1, Ordering::Relaxed);
        0
    }

    /// Waits until all is written, but not for a reader that stands still.
    pub(crate) fn finish(&self) {
        let until = Instant::now() + ENDS_WITHIN;
        let (done, is_done) = channel();
        let mut order = Order::Tell(done);
        while let Err(TrySendError::Full(again)) = self.orders.try_send(order) {
            if Instant::now() >= until {
                return;
            }
            order = again;
            std::thread::sleep(GLANCE);
        }
        // All is written, or it is not: either way this is the end.
        let _ = is_done.recv_timeout(until.saturating_duration_since(Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_reads_is_counted_and_what_was_taken_is_written_in_order() {
        let (reached, is_reached) = sync_channel(WAITING + 2);
        let (goes_on, may_go_on) = channel::<()>();
        let lines = Lines::start(move |line| {
            reached.send(String::from_utf8_lossy(line).into_owned()).unwrap();
            let _ = may_go_on.recv();
        });
        let write = |line: &str| lines.write(line.as_bytes().to_vec());
        write("the first");
        assert_eq!(is_reached.recv().unwrap(), "the first", "and there its reader stands still");
        let names: Vec<String> = (0..WAITING).map(|nth| nth.to_string()).collect();
        assert_eq!(names.iter().map(|name| write(name)).sum::<u64>(), 0);
        assert_eq!((0..10).map(|_| write("too much")).sum::<u64>(), 0);
        drop(goes_on);
        assert_eq!(is_reached.iter().take(WAITING).collect::<Vec<_>>(), names);
        assert_eq!((write("the last"), write("behind it")), (10, 0));
        assert_eq!(is_reached.recv().unwrap(), "the last");
        lines.finish();
    }
}
