//! How many jobs a listener may have at once: what it was lent, and what it has made of that.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// A poll that announces less is with the service after so long, and then no job comes by what was announced before.
pub(super) const ARRIVES_WITHIN: Duration = Duration::from_millis(250);

/// A listener's room, shared with whoever lends it: that one sets what is lent, the listener all else.
///
/// What is lent counts what the listener has. Where GitHub assigns jobs directly, whatever a poll announces is given
/// without being asked for; so less is returned only when a poll has announced less.
#[derive(Debug)]
pub struct Room {
    lent: watch::Sender<u32>,
    announced: Mutex<Announced>,
    /// The jobs that it has by its set's count, those included that it is asking for.
    taken: AtomicU64,
    /// So many of them are not there: the set's count is wrong.
    phantoms: AtomicU64,
    /// Offers that it has not acquired.
    offers: AtomicU64,
}

/// What the polls have announced.
#[derive(Clone, Copy, Debug, Default)]
struct Announced {
    now: u32,
    /// What was announced before, and holds until then.
    before: Option<(u32, Instant)>,
}

impl Room {
    /// Returns one for so many jobs.
    #[must_use]
    pub fn new(jobs: u32) -> Self {
        Self {
            lent: watch::Sender::new(jobs),
            announced: Mutex::default(),
            taken: AtomicU64::default(),
            phantoms: AtomicU64::default(),
            offers: AtomicU64::default(),
        }
    }

    // --- for the lender ---------------------------------------------------------------------------------------------

    /// Lends it so many. A listener that has to return some, or could use more, polls anew at once.
    pub fn lend(&self, jobs: u32) {
        self.lent.send_if_modified(|lent| std::mem::replace(lent, jobs) != jobs);
    }

    /// Returns how many it is lent.
    #[must_use]
    pub fn lent(&self) -> u32 {
        *self.lent.borrow()
    }

    /// Returns how many it has, or may be given by what it has announced: they can't be lent to others.
    #[must_use]
    pub fn promised(&self) -> u32 {
        self.announced().at_most().max(self.has())
    }

    /// Tells it how many of the jobs that its set counts are not there.
    pub fn doubt(&self, phantoms: u64) {
        self.phantoms.store(phantoms, Ordering::Relaxed);
    }

    /// Returns how many offers are known to it that it has not acquired.
    #[must_use]
    pub fn offers(&self) -> u64 {
        self.offers.load(Ordering::Relaxed)
    }

    /// Returns whether it could use more than it is lent.
    #[must_use]
    pub fn presses(&self) -> bool {
        self.presses_beyond(self.lent())
    }

    // --- for the listener -------------------------------------------------------------------------------------------

    fn announced(&self) -> std::sync::MutexGuard<'_, Announced> {
        self.announced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a poll announces what is lent; returns what it says, and whether that returns something.
    ///
    /// Never 0: a job that is queued while nothing is announced may never be assigned, not even later. So a listener
    /// that is lent nothing may still be given one job where GitHub assigns directly; it waits for room.
    pub(super) fn announce(&self) -> (u32, bool) {
        let lent = self.lent();
        let mut announced = self.announced();
        let before = announced.at_most();
        let is_less = lent < before;
        *announced = Announced { now: lent, before: is_less.then(|| (before, Instant::now() + ARRIVES_WITHIN)) };
        (lent.max(1), is_less)
    }

    /// The session is gone, and what it had announced and asked for with it.
    pub(super) fn close(&self) {
        *self.announced() = Announced::default();
        self.take(0, 0);
    }

    /// Notes how many jobs it has by its set's count, or asks for, and how many more are on offer.
    pub(super) fn take(&self, jobs: u64, offers: usize) {
        self.taken.store(jobs, Ordering::Relaxed);
        self.offers.store(offers as u64, Ordering::Relaxed);
    }

    /// Returns how many more jobs it may acquire beside so many that its set counts.
    pub(super) fn beside(&self, counted: u64) -> u64 {
        u64::from(self.lent()).saturating_sub(counted.saturating_sub(self.phantoms.load(Ordering::Relaxed)))
    }

    /// Returns how many jobs it has, as far as they are there.
    fn has(&self) -> u32 {
        let has = self.taken.load(Ordering::Relaxed).saturating_sub(self.phantoms.load(Ordering::Relaxed));
        u32::try_from(has).unwrap_or(u32::MAX)
    }

    /// Returns when what is lent has come to be another number than the poll that is out announced, and that can't wait for
    /// its end.
    pub(super) async fn changed(&self) {
        let mut seen = self.lent.subscribe();
        let matters = |lent: &u32| {
            let announced = self.announced().now;
            *lent < announced || (*lent > announced && self.presses_beyond(announced))
        };
        if seen.wait_for(matters).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    fn presses_beyond(&self, room: u32) -> bool {
        let has = self.has();
        self.offers() > 0 || (has > 0 && has >= room)
    }
}

impl Announced {
    fn at_most(self) -> u32 {
        let holds = |until: &Instant| *until > Instant::now();
        self.before.filter(|(_, until)| holds(until)).map_or(self.now, |(before, _)| before.max(self.now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_announced_is_promised_until_less_has_been_announced_for_a_moment() {
        let room = Room::new(5);
        assert_eq!(room.promised(), 0);
        assert_eq!(room.announce(), (5, false));
        room.lend(2);
        assert_eq!((room.lent(), room.promised()), (2, 5));
        assert_eq!(room.announce(), (2, true));
        assert_eq!(room.promised(), 5, "the poll is on its way");
        // Announced once more within that time, it is so no sooner.
        assert_eq!(room.announce(), (2, true));
        assert_eq!(room.promised(), 5);
        room.announced().before = Some((5, Instant::now()));
        assert_eq!(room.promised(), 2);
        room.take(4, 0);
        assert_eq!(room.promised(), 4, "what it has it has");
        room.close();
        assert_eq!(room.promised(), 0);
    }

    #[test]
    fn nothing_lent_is_announced_as_one() {
        let room = Room::new(0);
        assert_eq!((room.announce(), room.promised()), ((1, false), 0));
        assert!(!room.presses(), "it has nothing, and nothing is on offer");
        room.take(1, 0);
        assert!(room.presses(), "it was given one");
        room.doubt(1);
        assert_eq!((room.presses(), room.promised()), (false, 0), "which is not there");
    }

    #[test]
    fn jobs_that_are_not_there_take_no_room() {
        let room = Room::new(8);
        assert_eq!(room.beside(10), 0);
        room.doubt(7);
        assert_eq!(room.beside(10), 5);
    }

    #[tokio::test]
    async fn a_poll_is_ended_for_what_matters_and_for_nothing_else() {
        let room = Room::new(3);
        room.announce();
        let is_ended = async || tokio::time::timeout(Duration::from_millis(20), room.changed()).await.is_ok();
        assert!(!is_ended().await);
        room.lend(9);
        assert!(!is_ended().await, "it has room enough");
        room.take(3, 0);
        room.lend(10);
        assert!(is_ended().await, "it is full by what it has announced");
        room.announce();
        room.lend(2);
        assert!(is_ended().await, "it has to return some");
    }
}
