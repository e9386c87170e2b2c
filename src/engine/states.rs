//! The state table: instance × runner record × age -> state. One `match`, its arms in the table's order.

use std::time::Duration;

use jiff::Timestamp;

use super::fleet::{Connection, Instance, InstanceState, Mark, Runner};
use super::job::{Job, JobsByRunner};
use super::names::{RunnerName, Slot};
use super::policy::{DRAIN_GRACE, LAUNCH_WINDOW, LOST_GRACE, Pool, RECORD_GRACE};
use crate::ages::age;

/// What becomes of one instance, one runner record, or the two together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// A record whose instance is on its way: supply.
    Launching,
    /// A record whose instance never came to be.
    OrphanRunner,
    /// One of our names is connected, but its instance was not seen; or its age is unknown; or tags and record contradict
    /// each other: never touched.
    Foreign,
    /// An instance whose runner has never been online, in time: supply.
    Booting,
    /// The same, too late.
    BootFailed,
    /// Online, and nothing says that it works.
    Idle,
    /// Online, and GitHub or a job says that it works.
    Busy,
    /// It was online, or works, and is offline: for how long is not known yet, or not long.
    Disconnected,
    /// The same for longer than the grace.
    Lost,
    /// An instance without a record, young or not known to be without one for long: its runner may have finished, or been
    /// given a job, this moment.
    Settling,
    /// An instance whose record has been gone for longer than the grace.
    OrphanInstance,
    /// Shutting down, or terminated.
    Ending,
    /// Stopped, which is never intended.
    Stopped,
    /// Online and idle, but older than its life may be.
    Expired,
}

/// An instance and its record, joined by runner id.
#[derive(Clone, Copy, Debug)]
pub enum Joined<'a> {
    /// A record whose instance was not seen.
    Record(&'a Runner),
    /// An instance whose record was not seen.
    Machine(&'a Instance),
    /// Both.
    Both(&'a Instance, &'a Runner),
    /// Both, but the record's name is not of the pool and slot that the instance is tagged for: someone changed a tag.
    Contradiction(&'a Instance, &'a Runner),
}

/// One runner of ours, as far as it is there.
#[derive(Clone, Copy, Debug)]
pub struct Unit<'a> {
    /// The pool it belongs to.
    pub pool: &'a Pool,
    /// The slot it holds.
    pub slot: Option<Slot>,
    /// What was seen of it.
    pub joined: Joined<'a>,
    /// A job that is known to be with this runner, by the jobs list.
    pub job: Option<&'a Job>,
    /// What becomes of it.
    pub state: State,
}

impl<'a> Unit<'a> {
    /// Joins what was seen, and classifies it.
    pub(super) fn new(
        pool: &'a Pool,
        slot: Option<Slot>,
        joined: Joined<'a>,
        jobs: &JobsByRunner<'a>,
        name: Option<&RunnerName>,
        now: Timestamp,
    ) -> Self {
        let id = match joined {
            Joined::Record(runner) | Joined::Both(_, runner) | Joined::Contradiction(_, runner) => Some(runner.id),
            Joined::Machine(instance) => instance.runner_id,
        };
        // The Actions Service's ids may not be the ones of the jobs list.
        let by_name = || jobs.of(None, name).filter(|_| pool.has_scale_set);
        let job = jobs.of(id, name).or_else(by_name);
        let state = classify(pool, joined, job, now);
        Self { pool, slot, joined, job, state }
    }

    /// Returns the instance, if it was seen.
    #[must_use]
    pub fn instance(&self) -> Option<&'a Instance> {
        match self.joined {
            Joined::Machine(instance) | Joined::Both(instance, _) | Joined::Contradiction(instance, _) => {
                Some(instance)
            }
            Joined::Record(_) => None,
        }
    }

    /// Returns the record, if it was seen.
    #[must_use]
    pub fn runner(&self) -> Option<&'a Runner> {
        match self.joined {
            Joined::Record(runner) | Joined::Both(_, runner) | Joined::Contradiction(_, runner) => Some(runner),
            Joined::Machine(_) => None,
        }
    }

    /// Returns whether anything says that it works.
    #[must_use]
    pub fn works(&self) -> bool {
        works(self.runner(), self.job)
    }

    /// Returns whether it may have a job that waited at that time, or have had it, and no listed job says so.
    ///
    /// A record is gone once its runner has done its job. When an instance ended is not known: one that was launched since
    /// then, or was on its way then, most likely did so since then.
    #[must_use]
    pub fn may_have_taken_one_since(&self, then: Timestamp) -> bool {
        let was_on_its_way =
            |one: &Instance| one.launched_at.is_some_and(|launched| launched + self.pool.boot_timeout > then);
        let was_given_up = |one: &Instance| one.mark(Mark::Draining).is_some();
        self.job.is_none()
            && match (self.runner(), self.state) {
                (Some(runner), _) => runner.busy,
                (None, State::Settling | State::OrphanInstance) => true,
                (None, State::Ending) => self.instance().is_some_and(|one| was_on_its_way(one) && !was_given_up(one)),
                (None, _) => false,
            }
    }

    /// Returns whether its runner is connected.
    #[must_use]
    pub fn is_online(&self) -> bool {
        self.runner().is_some_and(|runner| runner.connection == Connection::Online)
    }

    /// Returns whether it holds its slot: a live instance or a record does.
    #[must_use]
    pub fn holds_slot(&self) -> bool {
        self.runner().is_some() || self.instance().is_some_and(Instance::is_live)
    }
}

fn works(runner: Option<&Runner>, job: Option<&Job>) -> bool {
    job.is_some() || runner.is_some_and(|runner| runner.busy)
}

/// The rows of the state table, in its order; each has its tests below.
///
/// What has no known age (`None`) is never old enough for anything.
fn classify(pool: &Pool, joined: Joined<'_>, job: Option<&Job>, now: Timestamp) -> State {
    use Connection::{Offline, Online, Unknown};
    use InstanceState::{Pending, Running, ShuttingDown, Stopped, Stopping, Terminated};
    use Joined::{Both, Contradiction, Machine, Record};

    let old = |then: Option<Timestamp>, bound: Duration| then.is_some_and(|then| age(now, then) >= bound);
    match joined {
        Record(runner) => match (runner.connection, runner.born) {
            (Offline, None) | (Online | Unknown, _) => State::Foreign,
            (Offline, born) if old(born, LAUNCH_WINDOW) => State::OrphanRunner,
            (Offline, Some(_)) => State::Launching,
        },
        Both(instance, runner) => {
            match (instance.state, runner.connection) {
                (Pending | Running, Offline)
                    if instance.mark(Mark::SeenOnline).is_none() && !works(Some(runner), job) =>
                {
                    if old(instance.launched_at, pool.boot_timeout) { State::BootFailed } else { State::Booting }
                }
                (Pending | Running, Online) if works(Some(runner), job) => State::Busy,
                (Pending | Running, Online) => {
                    if old(instance.launched_at, pool.max_lifetime) {
                        State::Expired
                    } else {
                        State::Idle
                    }
                }
                (Pending | Running, Offline) => {
                    if old(instance.mark(Mark::OfflineSince), LOST_GRACE) {
                        State::Lost
                    } else {
                        State::Disconnected
                    }
                }
                (Pending | Running, Unknown) => State::Disconnected,
                (ShuttingDown | Terminated, _) => State::Ending,
                (Stopping | Stopped, _) => State::Stopped,
            }
        }
        // With a scale set it may be its own record under another service's id, and then it is on its way.
        Contradiction(instance, runner)
            if pool.has_scale_set
                && instance.runner_id.is_some_and(|id| id != runner.id)
                && matches!(instance.state, Pending | Running)
                && runner.connection == Offline
                && instance.mark(Mark::SeenOnline).is_none()
                && instance.launched_at.is_some()
                && !old(instance.launched_at, pool.boot_timeout) =>
        {
            State::Booting
        }
        Contradiction(..) => State::Foreign,
        Machine(instance) => match instance.state {
            // Nothing tells whose job it may run.
            Pending | Running if instance.runner_id.is_none() => State::Foreign,
            Pending | Running => {
                // A record that is gone never comes back: from then on GitHub gives its runner no job, and one that it gave
                // before shows in the jobs list by the end of the grace.
                let drained = old(instance.mark(Mark::Draining), DRAIN_GRACE);
                if old(instance.launched_at, RECORD_GRACE) && drained { State::OrphanInstance } else { State::Settling }
            }
            ShuttingDown | Terminated => State::Ending,
            Stopping | Stopped => State::Stopped,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::build::{instance, job, noon, pool, runner};

    #[expect(clippy::needless_pass_by_value, reason = "cases read better without borrows")]
    fn state(instance: Option<Instance>, runner: Option<Runner>, job: Option<Job>) -> State {
        let joined = match (&instance, &runner) {
            (None, Some(runner)) => Joined::Record(runner),
            (Some(instance), None) => Joined::Machine(instance),
            (Some(instance), Some(runner)) => Joined::Both(instance, runner),
            (None, None) => panic!("nothing to classify"),
        };
        classify(&pool("linux"), joined, job.as_ref(), noon())
    }

    #[test]
    fn a_young_offline_record_without_an_instance_is_launching() {
        assert_eq!(state(None, Some(runner("linux", 0).born_before(299)), None), State::Launching);
    }

    #[test]
    fn an_old_offline_record_without_an_instance_is_an_orphan() {
        assert_eq!(state(None, Some(runner("linux", 0).born_before(300)), None), State::OrphanRunner);
    }

    #[test]
    fn a_record_of_unknown_age_is_foreign() {
        let unborn = Runner { born: None, ..runner("linux", 0) };
        assert_eq!(state(None, Some(unborn), None), State::Foreign);
    }

    #[test]
    fn an_online_record_without_an_instance_is_foreign() {
        assert_eq!(state(None, Some(runner("linux", 0).online()), None), State::Foreign);
    }

    #[test]
    fn an_instance_whose_runner_was_never_online_is_booting_then_failed() {
        let young = instance("linux", 0).aged(299);
        assert_eq!(state(Some(young), Some(runner("linux", 0)), None), State::Booting);
        let late = instance("linux", 0).aged(300);
        assert_eq!(state(Some(late), Some(runner("linux", 0)), None), State::BootFailed);
    }

    #[test]
    fn an_instance_of_unknown_age_has_not_failed_to_boot() {
        let ageless = Instance { launched_at: None, ..instance("linux", 0) };
        assert_eq!(state(Some(ageless), Some(runner("linux", 0)), None), State::Booting);
    }

    #[test]
    fn an_offline_runner_that_works_has_not_failed_to_boot() {
        assert_eq!(state(Some(instance("linux", 0)), Some(runner("linux", 0).busy()), None), State::Disconnected);
        let job = job(1).on(100);
        assert_eq!(state(Some(instance("linux", 0)), Some(runner("linux", 0)), Some(job)), State::Disconnected);
    }

    #[test]
    fn an_online_runner_is_idle_or_busy() {
        let online = runner("linux", 0).online();
        assert_eq!(state(Some(instance("linux", 0)), Some(online.clone()), None), State::Idle);
        assert_eq!(state(Some(instance("linux", 0)), Some(online.busy()), None), State::Busy);
    }

    #[test]
    fn a_job_in_progress_outweighs_busy_false() {
        let online = runner("linux", 0).online();
        assert_eq!(state(Some(instance("linux", 0)), Some(online), Some(job(1).on(100))), State::Busy);
    }

    #[test]
    fn a_runner_that_was_online_is_disconnected_before_it_is_lost() {
        let seen = instance("linux", 0).marked(Mark::SeenOnline, 1800);
        assert_eq!(state(Some(seen.clone()), Some(runner("linux", 0)), None), State::Disconnected);
        let young = seen.clone().marked(Mark::OfflineSince, 599);
        assert_eq!(state(Some(young), Some(runner("linux", 0)), None), State::Disconnected);
        let old = seen.marked(Mark::OfflineSince, 600);
        assert_eq!(state(Some(old), Some(runner("linux", 0)), None), State::Lost);
    }

    #[test]
    fn marks_from_before_the_launch_are_another_instances() {
        let copied = instance("linux", 0).aged(60).marked(Mark::SeenOnline, 1800).marked(Mark::OfflineSince, 1800);
        assert_eq!(state(Some(copied), Some(runner("linux", 0)), None), State::Booting);
    }

    #[test]
    fn an_unknown_connection_proves_nothing() {
        let unknown = Runner { connection: Connection::Unknown, ..runner("linux", 0) };
        assert_eq!(state(Some(instance("linux", 0)), Some(unknown), None), State::Disconnected);
    }

    #[test]
    fn a_young_instance_without_a_record_settles_before_it_is_an_orphan() {
        let aged = |seconds| instance("linux", 0).aged(seconds).marked(Mark::Draining, 100);
        assert_eq!(state(Some(aged(299)), None, None), State::Settling);
        assert_eq!(state(Some(aged(300)), None, None), State::OrphanInstance);
    }

    #[test]
    fn an_instance_whose_record_is_gone_is_left_alone_for_a_while() {
        assert_eq!(state(Some(instance("linux", 0)), None, None), State::Settling, "seen without it once");
        let draining = |seconds| instance("linux", 0).marked(Mark::Draining, seconds);
        assert_eq!(state(Some(draining(59)), None, None), State::Settling);
        assert_eq!(state(Some(draining(60)), None, None), State::OrphanInstance);
    }

    #[test]
    fn an_ended_instance_is_ending_with_and_without_a_record() {
        for ended in [InstanceState::ShuttingDown, InstanceState::Terminated] {
            let ended = instance("linux", 0).in_state(ended);
            assert_eq!(state(Some(ended.clone()), Some(runner("linux", 0).online().busy()), None), State::Ending);
            assert_eq!(state(Some(ended), None, None), State::Ending);
        }
    }

    #[test]
    fn a_stopped_instance_is_never_intended() {
        for stopped in [InstanceState::Stopping, InstanceState::Stopped] {
            let stopped = instance("linux", 0).in_state(stopped);
            assert_eq!(state(Some(stopped), Some(runner("linux", 0)), None), State::Stopped);
        }
    }

    #[test]
    fn an_idle_runner_past_its_life_is_expired_and_a_busy_one_is_busy() {
        let old = instance("linux", 0).aged(12 * 3600);
        let online = runner("linux", 0).online();
        assert_eq!(state(Some(old.clone()), Some(online.clone()), None), State::Expired);
        assert_eq!(state(Some(old), Some(online.busy()), None), State::Busy);
    }
}
