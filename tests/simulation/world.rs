//! What is true: machines, records, jobs, and what happens to them by itself. What others are *shown* of it is in
//! [`super::services`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::task::Waker;

use ghascale::engine::build::{fleet, noon};
use ghascale::engine::{
    InstanceId, InstanceState, Label, Marks, Offering, PoolName, RunnerId, RunnerName, Signature, Slot, SpotJobs,
    Statistics, born,
};
use ghascale::services::Unordered;
use jiff::Timestamp;

use super::chance;
use super::history::{
    Call, Failure, Fate, GIVES_UP, History, MINUTE, Ms, ON_DEMAND, OperatorSetup, PoolSetup, SECOND, SPOT, What, clock,
};
use super::runs::{Run, TAKEN_BACK};

/// How long an instance needs to boot where a history says nothing else.
const BOOT: Ms = 40 * SECOND;
/// How long a host without a registration tries before it powers off.
const DEAD_REGISTRATION: Ms = 90 * SECOND;
/// The latest that GitHub's `busy` and its jobs list have caught up with a job's start.
const ALL_KNOW: Ms = 2 * MINUTE;

/// The earliest that a disconnected runner is lost, clocks apart.
const LOST_AT_THE_EARLIEST: Ms = 9 * MINUTE + 30 * SECOND;
/// The earliest that a connected runner is known to be idle, clocks apart.
const IDLE_AT_THE_EARLIEST: Ms = 110 * SECOND;

pub(crate) struct Machine {
    pub(crate) id: InstanceId,
    /// `None`: not of our fleet.
    pub(crate) pool: Option<usize>,
    pub(crate) slot: Slot,
    pub(crate) runner_id: RunnerId,
    pub(crate) offering: Offering,
    pub(crate) token: String,
    pub(crate) state: InstanceState,
    pub(crate) launched: Ms,
    pub(crate) listed_from: Ms,
    pub(crate) ended: Option<Ms>,
    pub(crate) reason: Option<&'static str>,
    pub(crate) marks: Marks,
    /// The job it runs.
    pub(crate) job: Option<usize>,
    pub(crate) had_job: bool,
    /// When it was last shown alive, by the memory that holds it.
    pub(crate) seen_alive: BTreeMap<usize, Ms>,
    /// Its registration ended by itself, or somebody else ended it, or it was gone before the launch: it ends by itself.
    pub(crate) excused: bool,
    /// Something runs on it that powers it off in time.
    pub(crate) has_host: bool,
}

impl Machine {
    /// Returns one that runs and that everybody sees, and that is nobody's of ours.
    fn new(id: InstanceId, offering: Offering, token: String, launched: Ms) -> Self {
        Self {
            id,
            pool: None,
            slot: Slot(0),
            runner_id: RunnerId(7),
            offering,
            token,
            state: InstanceState::Running,
            launched,
            listed_from: launched,
            ended: None,
            reason: None,
            marks: Marks::default(),
            job: None,
            had_job: false,
            seen_alive: BTreeMap::new(),
            excused: true,
            has_host: false,
        }
    }

    pub(crate) fn is_live(&self) -> bool {
        !matches!(self.state, InstanceState::ShuttingDown | InstanceState::Terminated)
    }
}

pub(crate) struct Record {
    pub(crate) id: RunnerId,
    pub(crate) name: RunnerName,
    pub(crate) labels: Vec<Label>,
    /// `None`: nobody of ours.
    pub(crate) pool: Option<usize>,
    /// Registered in the scale set of this pool: it gets that set's jobs, and no others.
    pub(crate) set: Option<usize>,
    /// The machine whose listener is connected as it.
    pub(crate) machine: Option<usize>,
    pub(crate) online: bool,
    pub(crate) online_from: Ms,
    pub(crate) offline_from: Ms,
    pub(crate) offline_until: Ms,
    /// The job it was given; it stays after the machine has died, until GitHub gives up.
    pub(crate) job: Option<usize>,
    pub(crate) busy_from: Ms,
    pub(crate) flipped_until: Ms,
}

pub(crate) struct Job {
    pub(crate) id: u64,
    pub(crate) labels: Vec<Label>,
    /// The pool whose scale set was given it.
    pub(crate) set: Option<usize>,
    pub(crate) lasts: Ms,
    pub(crate) queued: Ms,
    pub(crate) runner: Option<(RunnerId, RunnerName)>,
    pub(crate) started: Ms,
    pub(crate) start_listed: Ms,
    pub(crate) ended: Option<Ms>,
    /// GitHub's word for how it ended.
    pub(crate) conclusion: Option<&'static str>,
    /// The run it belongs to.
    pub(crate) run: usize,
    pub(crate) attempt: u32,
    /// The machine that was given it.
    pub(crate) machine: Option<usize>,
    /// Its machine went from under it.
    pub(crate) is_lost: bool,
    /// The memories in which it is known to be on a spot instance.
    pub(crate) known_to: BTreeSet<usize>,
    /// Those of them that know that EC2 took the instance back.
    pub(crate) proven_to: BTreeSet<usize>,
}

/// What is due at a time.
enum Due {
    /// A step of an operator.
    Step(Waker),
    /// Something of the history.
    Event(What),
    /// Something of the world.
    Happening(Happening),
}

#[derive(Clone, Copy, Debug)]
enum Happening {
    Booted(usize),
    HostIdle(usize),
    LifeOver(usize),
    EndedByEc2(usize),
    TakenBack(usize),
    PoweredOff(usize),
    Terminated(usize),
    Assign,
    JobDone(usize),
    RecordEnds(RunnerId),
    GitHubGivesUp(usize),
}

/// Who ends a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Us,
    Host,
    Ec2,
}

/// One operator's process, as the world treats it.
#[derive(Default)]
pub(crate) struct Process {
    pub(crate) dies_in: Option<u32>,
    pub(crate) stands_still: Option<(u32, Ms)>,
    /// Its host's clock is so many seconds ahead beyond its skew, until then.
    pub(crate) wrong_clock: Option<(i64, Ms)>,
    /// The same, counted from its next look at a run.
    pub(crate) dies_over_run: Option<u32>,
    pub(crate) halts_over_run: Option<(u32, Ms)>,
    pub(crate) dead: bool,
    /// A job has arrived that its listener wants to hear of.
    pub(crate) called: Option<Waker>,
    pub(crate) passes: u64,
    /// It stands still for so long before it looks once more at a connected runner, which is given a job meanwhile.
    pub(crate) halts_over_removal: Option<Ms>,
    /// What its host remembers: when it first saw a record that has no age.
    pub(crate) sightings: BTreeMap<RunnerId, Ms>,
    /// And what had no capacity, when.
    pub(crate) shortages: BTreeMap<Offering, Ms>,
    /// The pools in which nothing could be launched, when.
    pub(crate) refused: BTreeMap<PoolName, Ms>,
    /// And the instances that never came.
    pub(crate) never_came: BTreeSet<InstanceId>,
    /// When the jobs were read last.
    pub(crate) jobs_read: Ms,
    /// And what they were, by its own clock.
    pub(crate) jobs_seen: Option<(Timestamp, Vec<ghascale::engine::Job>)>,
}

/// A host's note that a registration has no order.
pub(crate) struct Noted {
    pub(crate) nth: usize,
    pub(crate) registration: Unordered,
    pub(crate) at: Ms,
    /// Its process lives.
    pub(crate) is_held: bool,
}

/// Everything.
pub(crate) struct World {
    pub(crate) now: Ms,
    seed: u64,
    queue: BTreeMap<(Ms, u64), Due>,
    serial: u64,
    pub(crate) pools: Vec<PoolSetup>,
    pub(crate) max_total: Option<u32>,
    pub(crate) ceiling: Option<u64>,
    pub(crate) machines: Vec<Machine>,
    /// Of these somebody has taken the tags away that say which runner it is.
    pub(crate) nameless: BTreeSet<InstanceId>,
    pub(crate) records: Vec<Record>,
    pub(crate) jobs: Vec<Job>,
    pub(crate) runs: Vec<Run>,
    pub(crate) operators: Vec<OperatorSetup>,
    /// What hosts know of jobs on spot instances.
    pub(crate) memories: BTreeMap<usize, SpotJobs>,
    pub(crate) processes: Vec<Process>,
    /// What the hosts' processes have noted of registrations.
    pub(crate) notes: BTreeMap<u64, Noted>,
    faults: BTreeMap<Call, VecDeque<Failure>>,
    boots: VecDeque<Fate>,
    unlisted: VecDeque<Ms>,
    busy_late: VecDeque<Ms>,
    jobs_late: VecDeque<Ms>,
    taken_back: VecDeque<Ms>,
    lingers: VecDeque<Ms>,
    pub(crate) numbers_late: VecDeque<Ms>,
    /// How long EC2 shows what has ended.
    pub(crate) remembers: Ms,
    no_capacity: Vec<(bool, usize, Ms)>,
    /// A machine that is protected against termination, and until when.
    protected: Option<(usize, Ms)>,
    pub(crate) missed: Option<(RunnerId, Ms)>,
    /// Whose instances were in no list of EC2's yet while their records were missing from GitHub's.
    unseen: BTreeSet<RunnerId>,
    /// The counts that scale sets show, and until when.
    stuck: Option<(Vec<Statistics>, Ms)>,
    /// What messages have told of runners: which, and whether it works or is done.
    pub(crate) told: Vec<(RunnerId, bool)>,
    /// When an operator looked at a record last.
    pub(crate) looked: BTreeMap<(usize, RunnerId), Ms>,
    /// What each client token was sent with first.
    pub(crate) tokens: BTreeMap<String, String>,
    pub(crate) calls: BTreeMap<Call, u64>,
    /// How often so many instances were ended with one call.
    pub(crate) batches: BTreeMap<usize, u64>,
    pub(crate) violation: Option<String>,
    pub(crate) trace: Option<Vec<String>>,
}

impl World {
    pub(crate) fn new(history: &History, traced: bool) -> Self {
        let mut world = Self {
            now: 0,
            seed: history.seed,
            queue: BTreeMap::new(),
            serial: 0,
            pools: history.pools.clone(),
            max_total: history.max_total,
            ceiling: history.ceiling,
            machines: Vec::new(),
            nameless: BTreeSet::new(),
            records: Vec::new(),
            jobs: Vec::new(),
            runs: Vec::new(),
            operators: history.operators.clone(),
            memories: BTreeMap::new(),
            processes: history.operators.iter().map(|_| Process::default()).collect(),
            faults: BTreeMap::new(),
            boots: VecDeque::new(),
            unlisted: VecDeque::new(),
            busy_late: VecDeque::new(),
            jobs_late: VecDeque::new(),
            taken_back: VecDeque::new(),
            lingers: VecDeque::new(),
            numbers_late: VecDeque::new(),
            remembers: 60 * MINUTE,
            no_capacity: Vec::new(),
            protected: None,
            missed: None,
            unseen: BTreeSet::new(),
            stuck: None,
            notes: BTreeMap::new(),
            told: Vec::new(),
            looked: BTreeMap::new(),
            tokens: BTreeMap::new(),
            calls: BTreeMap::new(),
            batches: BTreeMap::new(),
            violation: None,
            trace: traced.then(Vec::new),
        };
        for event in &history.events {
            world.due(event.at, Due::Event(event.what));
        }
        world.strangers();
        world
    }

    /// Keeps a note of a process that lives; returns its id.
    pub(crate) fn note(&mut self, nth: usize, registration: Unordered) -> u64 {
        self.serial += 1;
        self.notes.insert(self.serial, Noted { nth, registration, at: self.now, is_held: true });
        self.serial
    }

    /// Puts things into the world that look a little like ours, and are not.
    fn strangers(&mut self) {
        let offering = self.offerings(0).remove(0);
        let stranger = Machine::new(InstanceId::new("i-stranger"), offering, String::new(), 0);
        self.machines.push(stranger);
        for (id, name) in [(7, "acme-linux-x"), (8, "elsewhere-linux-000")] {
            self.records.push(Record {
                id: RunnerId(id),
                name: RunnerName::new(name),
                labels: vec![Label::new("theirs")],
                pool: None,
                set: None,
                machine: None,
                online: false,
                online_from: 0,
                offline_from: 0,
                offline_until: 0,
                job: None,
                busy_from: 0,
                flipped_until: 0,
            });
        }
    }

    // --- time -------------------------------------------------------------------------------------------------------

    fn due(&mut self, at: Ms, due: Due) {
        self.serial += 1;
        self.queue.insert((at.max(self.now), self.serial), due);
    }

    fn later(&mut self, after: Ms, happening: Happening) {
        self.due(self.now + after, Due::Happening(happening));
    }

    pub(crate) fn wake_at(&mut self, at: Ms, waker: Waker) {
        self.due(at, Due::Step(waker));
    }

    /// Lets the next thing happen, if it is due before `until`; returns whether there was one.
    pub(crate) fn step(&mut self, until: Ms) -> bool {
        let Some((&(at, serial), _)) = self.queue.first_key_value() else { return false };
        if at > until {
            return false;
        }
        let due = self.queue.remove(&(at, serial));
        self.now = at;
        match due {
            Some(Due::Step(waker)) => waker.wake(),
            Some(Due::Event(what)) => self.event(what),
            Some(Due::Happening(happening)) => self.happen(happening),
            None => {}
        }
        true
    }

    /// From here on nothing goes wrong any more.
    pub(crate) fn calm(&mut self) {
        self.say(|| "--- calm from here on".to_owned());
        self.faults.clear();
        for process in &mut self.processes {
            (process.dies_in, process.stands_still) = (None, None);
            (process.dies_over_run, process.halts_over_run) = (None, None);
            (process.wrong_clock, process.halts_over_removal) = (None, None);
        }
    }

    pub(crate) fn at(at: Ms) -> Timestamp {
        noon() + std::time::Duration::from_millis(at)
    }

    pub(crate) fn ms(at: Timestamp) -> Ms {
        Ms::try_from(at.duration_since(noon()).as_millis()).unwrap_or(0)
    }

    pub(crate) fn say(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>11}  {}", clock(self.now), what()));
        }
    }

    pub(crate) fn violated(&mut self, what: impl Into<String>) {
        let what = what.into();
        self.say(|| format!("VIOLATED: {what}"));
        self.violation.get_or_insert(what);
    }

    /// Returns a number below `bound` that depends on `parts` and the seed alone.
    pub(crate) fn chance(&self, parts: &[u64], bound: u64) -> u64 {
        let mut all = vec![self.seed];
        all.extend(parts);
        chance::of(&all) % bound
    }

    // --- the history's events ---------------------------------------------------------------------------------------

    fn event(&mut self, what: What) {
        self.say(|| format!("* {what}"));
        match what {
            What::Jobs { count, labels, lasts } => self.queue_runs(count, labels, lasts),
            What::Cancel => self.cancel(),
            What::Rerun => self.rerun_by_hand(),
            What::Fail { call, how, times } => {
                self.faults.entry(call).or_default().extend(vec![how; times as usize]);
            }
            What::Crash { operator, .. }
            | What::Pause { operator, .. }
            | What::WrongClock { operator, .. }
            | What::HaltsOverRemoval { operator, .. }
            | What::DiesOverRun { operator, .. }
            | What::HaltsOverRun { operator, .. } => self.befalls(operator, what),
            What::Copied { lasts } => self.copy_one(lasts),
            What::LosesTags => {
                let one = |machine: &&mut Machine| machine.pool.is_some() && machine.is_live() && machine.has_host;
                if let Some(machine) = self.machines.iter_mut().find(one) {
                    machine.excused = true;
                    self.nameless.insert(machine.id.clone());
                }
            }
            What::Boot(fate) => self.boots.push_back(fate),
            What::Unlisted { lasts } => self.unlisted.push_back(lasts),
            What::BusyLate { lasts } => self.busy_late.push_back(lasts),
            What::JobsLate { lasts } => self.jobs_late.push_back(lasts),
            What::BusyFlips { lasts } => {
                let until = self.now + lasts;
                if let Some(record) = self.records.iter_mut().find(|record| record.job.is_some()) {
                    record.flipped_until = until;
                }
            }
            What::Disconnect { lasts } => {
                let until = self.now + lasts;
                let now = self.now;
                let connected = |record: &&mut Record| record.online && record.offline_until <= now;
                if let Some(record) = self.records.iter_mut().find(connected) {
                    (record.offline_from, record.offline_until) = (until - lasts, until);
                    self.due(until, Due::Happening(Happening::Assign));
                }
            }
            What::NoCapacity { spot, subnet, lasts } => self.no_capacity.push((spot, subnet, self.now + lasts)),
            What::Interruption => {
                let spot = |machine: &Machine| {
                    machine.is_live() && machine.offering.market == ghascale::engine::Market::Spot && machine.has_host
                };
                if let Some(nth) = self.machines.iter().position(spot) {
                    self.take_back(nth);
                }
            }
            What::Stop => {
                let ours = |machine: &Machine| machine.pool.is_some() && machine.is_live();
                if let Some(nth) = self.machines.iter().position(ours) {
                    self.stop_work(nth);
                    self.machines[nth].state = InstanceState::Stopped;
                    self.machines[nth].has_host = false;
                }
            }
            What::Protect { lasts } => {
                let ours = |machine: &Machine| machine.pool.is_some() && machine.is_live();
                self.protected = self.machines.iter().position(ours).map(|nth| (nth, self.now + lasts));
            }
            What::DeleteRecord => {
                let ours = |record: &Record| record.pool.is_some() && record.machine.is_some();
                if let Some(id) = self.records.iter().find(|record| ours(record)).map(|record| record.id) {
                    self.excuse(id);
                    self.forget(id);
                }
            }
            What::SetStuck { lasts } => {
                let counts = (0..self.pools.len()).map(|pool| self.counts(pool)).collect();
                self.stuck = Some((counts, self.now + lasts));
            }
            What::MissRunner { lasts } => {
                let until = self.now + lasts;
                let ours = self.records.iter().find(|record| record.pool.is_some());
                self.missed = ours.map(|record| (record.id, until));
            }
            What::TakenBack { after } => self.taken_back.push_back(after),
            What::Lingers { lasts } => self.lingers.push_back(lasts),
            What::Forgets { after } => self.remembers = after,
            What::NumberLate { lasts } => self.numbers_late.push_back(lasts),
        }
    }

    /// Something happens to an operator, if there is one of that number.
    fn befalls(&mut self, operator: usize, what: What) {
        let now = self.now;
        let Some(process) = self.processes.get_mut(operator) else { return };
        match what {
            What::Crash { steps, .. } => process.dies_in = Some(steps),
            What::Pause { steps, lasts, .. } => process.stands_still = Some((steps, lasts)),
            What::WrongClock { ahead, lasts, .. } => process.wrong_clock = Some((ahead, now + lasts)),
            What::HaltsOverRemoval { lasts, .. } => process.halts_over_removal = Some(lasts),
            What::DiesOverRun { steps, .. } => process.dies_over_run = Some(steps),
            What::HaltsOverRun { steps, lasts, .. } => process.halts_over_run = Some((steps, lasts)),
            _ => {}
        }
    }

    /// Somebody launches more like an instance of ours, with its tags, and ends the copy.
    fn copy_one(&mut self, lasts: Ms) {
        let Some(nth) = self.machines.iter().position(|one| one.pool.is_some() && one.is_live() && !one.excused) else {
            return;
        };
        let Machine { pool, slot, runner_id, ref offering, .. } = self.machines[nth];
        let id = InstanceId::new(format!("i-{}", self.machines.len()));
        let token = format!("by hand {id}");
        let copy =
            Machine { pool, slot, runner_id, has_host: true, ..Machine::new(id, offering.clone(), token, self.now) };
        let nth = self.machines.len();
        self.machines.push(copy);
        self.later(lasts, Happening::PoweredOff(nth));
    }

    /// A runner that is looked at once more before it is removed is given a job just now.
    pub(crate) fn halt_over_removal(&mut self, operator: usize, id: RunnerId) {
        let Some(record) = self.records.iter().find(|record| record.id == id && record.online && record.job.is_none())
        else {
            return;
        };
        let labels = record.labels.clone();
        let Some(lasts) = self.processes[operator].halts_over_removal.take() else { return };
        self.busy_late.push_front(MINUTE);
        self.jobs_late.push_front(SECOND);
        let run = self.begin_run();
        let of_pool =
            |label: &Label| self.pools.iter().any(|pool| pool.labels.split(' ').any(|word| label == &Label::new(word)));
        let labels = labels.into_iter().filter(of_pool).collect();
        self.queue_job(run, labels, 180 * SECOND);
        self.processes[operator].stands_still = Some((1, lasts));
    }

    fn has_reruns(&self) -> bool {
        self.pools.iter().any(|pool| pool.reruns)
    }

    /// Queues jobs: each in a run of its own, or up to three in one where runs are looked at.
    fn queue_runs(&mut self, count: u64, labels: &str, lasts: Ms) {
        let mut left = count;
        while left > 0 {
            let size = if self.has_reruns() { 1 + self.chance(&[11, self.jobs.len() as u64], 3) } else { 1 };
            let run = self.begin_run();
            for _ in 0..size.min(left) {
                self.queue_job(run, labels.split_whitespace().map(Label::new).collect(), lasts);
            }
            left -= size.min(left);
        }
    }

    pub(crate) fn queue_job(&mut self, run: usize, labels: Vec<Label>, lasts: Ms) {
        let id = self.jobs.len() as u64 + 1;
        // Whoever could take it may get it: a scale set, or the runners that are in none.
        let covers = |pool: &&PoolSetup| {
            let of_pool = ghascale::engine::build::labels(pool.labels);
            labels.iter().all(|label| of_pool.contains(label))
        };
        let takers: Vec<Option<usize>> = (0..self.pools.len())
            .filter(|pool| covers(&&self.pools[*pool]))
            .map(|pool| self.pools[pool].has_set.then_some(pool))
            .collect();
        let set = match takers.len() as u64 {
            0 => None,
            count => takers[usize::try_from(self.chance(&[9, id], count)).unwrap_or(0)],
        };
        let queued = self.now;
        self.jobs.push(Job {
            id,
            labels,
            set,
            lasts,
            queued,
            runner: None,
            started: 0,
            start_listed: 0,
            ended: None,
            conclusion: None,
            run,
            attempt: self.runs[run].attempt,
            machine: None,
            is_lost: false,
            known_to: BTreeSet::new(),
            proven_to: BTreeSet::new(),
        });
        self.later(SECOND, Happening::Assign);
        for process in &mut self.processes {
            if let Some(listener) = process.called.take() {
                listener.wake();
            }
        }
    }

    fn cancel(&mut self) {
        let Some(run) = self.jobs.iter().find(|job| job.ended.is_none()).map(|job| job.run) else { return };
        let attempt = self.runs[run].attempt;
        self.runs[run].cancelled.insert(attempt);
        for nth in self.latest_jobs(run) {
            if self.jobs[nth].ended.is_some() {
                continue;
            }
            if self.jobs[nth].runner.is_none() {
                self.conclude(nth, "cancelled");
            } else {
                self.later(5 * SECOND, Happening::JobDone(nth));
            }
        }
    }

    /// A job ends: as it did, or cancelled with its run.
    fn conclude(&mut self, nth: usize, conclusion: &'static str) {
        let now = self.now;
        let Job { run, attempt, .. } = self.jobs[nth];
        let is_cancelled = self.runs[run].cancelled.contains(&attempt);
        let job = &mut self.jobs[nth];
        if job.ended.is_none() {
            (job.ended, job.conclusion) = (Some(now), Some(if is_cancelled { "cancelled" } else { conclusion }));
        }
    }

    /// Takes the next way in which a call goes wrong.
    pub(crate) fn fault(&mut self, call: Call) -> Option<Failure> {
        *self.calls.entry(call).or_default() += 1;
        self.faults.get_mut(&call).and_then(VecDeque::pop_front)
    }

    pub(crate) fn has_capacity(&self, offering: &Offering) -> bool {
        let spot = offering.market == ghascale::engine::Market::Spot;
        !self
            .no_capacity
            .iter()
            .any(|&(of, subnet, until)| of == spot && offering.subnet == subnet_name(subnet) && self.now < until)
    }

    pub(crate) fn is_protected(&self, nth: usize) -> bool {
        self.protected.is_some_and(|(protected, until)| protected == nth && self.now < until)
    }

    // --- the world's own course -------------------------------------------------------------------------------------

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Assign => self.assign(),
            Happening::Booted(nth) => self.booted(nth),
            Happening::HostIdle(nth) => {
                if !self.machines[nth].had_job {
                    self.end(nth, By::Host);
                }
            }
            Happening::LifeOver(nth) | Happening::PoweredOff(nth) => self.end(nth, By::Host),
            Happening::EndedByEc2(nth) => self.end(nth, By::Ec2),
            Happening::TakenBack(nth) => {
                if self.machines[nth].is_live() && self.machines[nth].has_host {
                    self.take_back(nth);
                }
            }
            Happening::Terminated(nth) => {
                self.machines[nth].state = InstanceState::Terminated;
                self.machines[nth].ended = Some(self.now);
            }
            Happening::JobDone(nth) => self.job_done(nth),
            Happening::RecordEnds(id) => {
                self.excuse(id);
                self.records.retain(|record| record.id != id);
            }
            Happening::GitHubGivesUp(nth) => {
                self.conclude(nth, "failure");
                for record in self.records.iter_mut().filter(|record| record.job == Some(nth)) {
                    record.job = None;
                }
            }
        }
    }

    fn booted(&mut self, nth: usize) {
        let machine = &self.machines[nth];
        if !machine.is_live() || machine.state == InstanceState::Stopped {
            return;
        }
        let Some(pool) = machine.pool else { return };
        let id = machine.runner_id;
        let record = self.records.iter_mut().find(|record| record.id == id && record.machine.is_none());
        if let Some(record) = record {
            (record.online, record.online_from, record.machine) = (true, self.now, Some(nth));
            self.say(|| format!("runner {id} is online"));
            self.later(SECOND / 10, Happening::Assign);
            if self.pools[pool].idle_timeout > 0 {
                self.later(self.pools[pool].idle_timeout, Happening::HostIdle(nth));
            }
        } else {
            self.say(|| format!("runner {id} has no registration any more"));
            self.later(DEAD_REGISTRATION, Happening::PoweredOff(nth));
        }
        if self.pools[pool].idle_timeout > 0 {
            self.later(self.pools[pool].max_lifetime, Happening::LifeOver(nth));
        }
    }

    /// GitHub gives waiting jobs to connected runners.
    fn assign(&mut self) {
        for nth in 0..self.jobs.len() {
            let job = &self.jobs[nth];
            if job.ended.is_some() || job.runner.is_some() {
                continue;
            }
            let fits =
                |record: &Record| record.set == job.set && job.labels.iter().all(|label| record.labels.contains(label));
            let free = |record: &&usize| {
                let record = &self.records[**record];
                record.online && record.offline_until <= self.now && record.job.is_none() && fits(record)
            };
            let all: Vec<usize> = (0..self.records.len()).collect();
            let free: Vec<usize> = all.iter().filter(free).copied().collect();
            if free.is_empty() {
                continue;
            }
            let at = usize::try_from(self.chance(&[1, job.id], free.len() as u64)).unwrap_or(0);
            self.give(nth, free[at]);
        }
    }

    fn give(&mut self, nth: usize, to: usize) {
        let job = self.jobs[nth].id;
        let late = self.busy_late.pop_front().unwrap_or_else(|| self.chance(&[7, job], 40 * SECOND));
        let listed = self.jobs_late.pop_front().unwrap_or_else(|| self.chance(&[8, job], 8 * SECOND));
        let record = &mut self.records[to];
        (record.job, record.busy_from) = (Some(nth), self.now + late);
        let (id, name, machine) = (record.id, record.name.clone(), record.machine);
        let job = &mut self.jobs[nth];
        (job.started, job.start_listed) = (self.now, self.now + listed);
        job.runner = Some((id, name));
        let (job_id, lasts) = (job.id, job.lasts);
        if let Some(machine) = machine {
            (self.machines[machine].job, self.machines[machine].had_job) = (Some(nth), true);
            self.jobs[nth].machine = Some(machine);
            if self.machines[machine].offering.market == ghascale::engine::Market::Spot
                && let Some(after) = self.taken_back.pop_front()
            {
                self.later(after, Happening::TakenBack(machine));
            }
        }
        self.told.push((id, true));
        self.say(|| format!("runner {id} starts job {job_id}"));
        self.later(lasts, Happening::JobDone(nth));
    }

    fn job_done(&mut self, nth: usize) {
        if self.jobs[nth].ended.is_some() {
            return;
        }
        let Some(machine) = self.machines.iter().position(|machine| machine.job == Some(nth)) else { return };
        let id = self.machines[machine].runner_id;
        let job = self.jobs[nth].id;
        let fails = self.has_reruns() && self.chance(&[12, job], 3) == 0;
        self.conclude(nth, if fails { "failure" } else { "success" });
        self.machines[machine].job = None;
        if let Some((id, _)) = self.jobs[nth].runner.clone() {
            self.told.push((id, false));
        }
        let conclusion = self.jobs[nth].conclusion.unwrap_or_default();
        self.say(|| format!("job {job} is done: {conclusion}"));
        self.later(3 * SECOND, Happening::RecordEnds(id));
        let lingers = self.lingers.pop_front().unwrap_or(5 * SECOND);
        self.later(lingers, Happening::PoweredOff(machine));
    }

    fn take_back(&mut self, nth: usize) {
        self.machines[nth].reason = Some(TAKEN_BACK);
        self.end(nth, By::Ec2);
    }

    /// Ends a machine, whoever does it.
    pub(crate) fn end(&mut self, nth: usize, by: By) {
        if !self.machines[nth].is_live() {
            return;
        }
        if by == By::Us
            && let Some(job) = self.machines[nth].job
        {
            let (id, job) = (self.machines[nth].id.clone(), self.jobs[job].id);
            self.violated(format!("{id} was terminated while its job {job} ran"));
        }
        if by == By::Us && self.machines[nth].pool.is_none() {
            self.violated(format!("{} was terminated, and it is not ours", self.machines[nth].id));
        }
        let id = self.machines[nth].id.clone();
        self.say(|| format!("{id} is ended by {by:?}"));
        self.stop_work(nth);
        self.machines[nth].state = InstanceState::ShuttingDown;
        let after = (20 + self.chance(&[2, nth as u64], 20)) * SECOND;
        self.later(after, Happening::Terminated(nth));
    }

    fn stop_work(&mut self, nth: usize) {
        for record in self.records.iter_mut().filter(|record| record.machine == Some(nth)) {
            record.online = false;
        }
        if let Some(job) = self.machines[nth].job.take() {
            self.jobs[job].is_lost = true;
            // A host that is shut down in good order says itself that its job has failed.
            let is_told = self.has_reruns() && self.machines[nth].reason == Some(TAKEN_BACK);
            let is_told = is_told && self.chance(&[13, self.jobs[job].id], 4) == 0;
            self.later(if is_told { 5 * SECOND } else { GIVES_UP }, Happening::GitHubGivesUp(job));
        }
    }

    /// EC2 shows none of its instances: what has no registration any more is out of everybody's sight.
    pub(crate) fn out_of_sight(&mut self) {
        let records: Vec<RunnerId> = self.records.iter().map(|record| record.id).collect();
        for machine in self.machines.iter_mut().filter(|machine| !records.contains(&machine.runner_id)) {
            machine.excused = true;
        }
    }

    /// A record ends otherwise than by us: what its machine still does is not our doing.
    fn excuse(&mut self, id: RunnerId) {
        for machine in self.machines.iter_mut().filter(|machine| machine.runner_id == id) {
            machine.excused = true;
        }
    }

    /// A record goes; its host notices sooner or later.
    pub(crate) fn forget(&mut self, id: RunnerId) {
        let Some(at) = self.records.iter().position(|record| record.id == id) else { return };
        let record = self.records.remove(at);
        if let (Some(machine), None) = (record.machine, record.job) {
            let after = MINUTE + self.chance(&[3, id.0], 4 * MINUTE);
            self.later(after, Happening::PoweredOff(machine));
        }
    }

    // --- what calls do ----------------------------------------------------------------------------------------------

    pub(crate) fn launch(
        &mut self,
        pool: &PoolName,
        slot: Slot,
        runner_id: RunnerId,
        offering: &Offering,
        token: &str,
    ) -> InstanceId {
        let nth = self.machines.len();
        let id = InstanceId::new(format!("i-{nth}"));
        let fate = self.boots.pop_front().unwrap_or(Fate::After(BOOT + self.chance(&[4, runner_id.0], 20) * SECOND));
        let unlisted = self.unlisted.pop_front().unwrap_or(SECOND);
        let is_registered = self.records.iter().any(|record| record.id == runner_id);
        self.machines.push(Machine {
            pool: self.pools.iter().position(|setup| setup.name == pool.as_str()),
            slot,
            runner_id,
            listed_from: self.now + unlisted,
            excused: !is_registered,
            has_host: fate != Fate::Never,
            ..Machine::new(id.clone(), offering.clone(), token.to_owned(), self.now)
        });
        match fate {
            Fate::After(time) => self.later(time, Happening::Booted(nth)),
            Fate::Never => {}
            Fate::Dies(time) => self.later(time, Happening::EndedByEc2(nth)),
        }
        id
    }

    pub(crate) fn enroll(&mut self, name: &RunnerName, labels: &[Label], set: Option<usize>) -> RunnerId {
        let id = RunnerId(1000 + self.serial);
        self.serial += 1;
        let of_pool = |setup: &PoolSetup| name.slot_in(&fleet(), &PoolName::new(setup.name)).is_some();
        let pool = self.pools.iter().position(of_pool);
        self.records.push(Record {
            id,
            name: name.clone(),
            labels: labels.to_vec(),
            pool: pool.or(Some(0)),
            set,
            machine: None,
            online: false,
            online_from: 0,
            offline_from: 0,
            offline_until: 0,
            job: None,
            busy_from: 0,
            flipped_until: 0,
        });
        id
    }

    /// Returns what the scale set of a pool shows.
    pub(crate) fn statistics(&self, pool: usize) -> Statistics {
        match &self.stuck {
            Some((counts, until)) if self.now < *until => counts[pool],
            _ => self.counts(pool),
        }
    }

    fn counts(&self, pool: usize) -> Statistics {
        let jobs = self.jobs.iter().filter(|job| job.set == Some(pool) && job.ended.is_none());
        let records: Vec<&Record> = self.records.iter().filter(|record| record.set == Some(pool)).collect();
        let online = |record: &&&Record| record.online && record.offline_until <= self.now;
        let running = jobs.clone().filter(|job| job.runner.is_some()).count() as u64;
        let busy = records.iter().filter(online).filter(|record| record.job.is_some()).count() as u64;
        Statistics {
            assigned: jobs.count() as u64,
            running,
            registered: records.len() as u64,
            busy,
            idle: records.iter().filter(online).count() as u64 - busy,
            ..Statistics::default()
        }
    }

    /// A record is deleted on our demand, and GitHub lets it happen.
    pub(crate) fn deleted_by_us(&mut self, id: RunnerId, operator: usize) {
        let Some(record) = self.records.iter().find(|record| record.id == id) else { return };
        let working = record.machine.and_then(|machine| self.machines[machine].job);
        let (is_ours, name) = (record.pool.is_some(), record.name.clone());
        if !is_ours {
            self.violated(format!("the record `{name}` was deleted, and it is not ours"));
        }
        if let Some(job) = working.filter(|job| self.now > self.jobs[*job].started + ALL_KNOW) {
            let (id, since) = (self.jobs[job].id, clock(self.now - self.jobs[job].started));
            self.violated(format!("the record `{name}` was deleted {since} into its job {id}"));
        }
        if let Some(job) = working.filter(|job| self.jobs[*job].start_listed <= self.processes[operator].jobs_read) {
            let id = self.jobs[job].id;
            self.violated(format!("the record `{name}` was deleted after a look that showed its job {id}"));
        }
        // A job that was listed before the record was looked at shows in the jobs that are read after it.
        let looked = self.looked.get(&(operator, id)).copied().unwrap_or(0);
        if let Some(job) = working.filter(|job| self.jobs[*job].start_listed + 5 * SECOND <= looked) {
            let id = self.jobs[job].id;
            self.violated(format!(
                "the record `{name}` was deleted, and its job {id} was listed when it was looked at"
            ));
        }
        if let Some(why) = self.is_healthy(id, operator) {
            self.violated(format!("the record `{name}` was deleted, and its runner is {why}"));
        }
        let machine = self.records.iter().find(|record| record.id == id).and_then(|record| record.machine);
        self.forget(id);
        // Its runner ends, and with it what it did: that GitHub gave it a job since the last look nobody could know.
        if let (Some(machine), true) = (machine, working.is_some()) {
            self.say(|| format!("the job of `{name}` is lost"));
            self.stop_work(machine);
            self.later(MINUTE, Happening::PoweredOff(machine));
        }
    }

    /// Returns what speaks for a runner whose record must not be deleted by an operator that has looked at it.
    ///
    /// What happens between its look and its DELETE it can't know.
    fn is_healthy(&self, id: RunnerId, operator: usize) -> Option<String> {
        let record = self.records.iter().find(|record| record.id == id)?;
        let pool = &self.pools[record.pool?];
        let looked = self.looked.get(&(operator, id)).copied().unwrap_or(0);
        if !record.online || record.online_from >= looked {
            return None;
        }
        let is_away = record.offline_until > looked;
        if is_away && (looked - record.offline_from.min(looked)) > LOST_AT_THE_EARLIEST {
            return None;
        }
        // No pass saw it while it was connected: to all that can be known, it never was. If it was given a job in this moment,
        // its instance is left to do it.
        let was_seen = record.machine.is_some_and(|machine| self.machines[machine].marks.seen_online.is_some());
        if is_away && !was_seen {
            return None;
        }
        if is_away {
            return Some(format!("disconnected for {} only", clock(looked - record.offline_from)));
        }
        let connected = looked - record.online_from;
        let launched = self.machines[record.machine?].launched;
        let may_go = pool.trim || self.now >= launched + pool.max_lifetime;
        (!may_go || connected < IDLE_AT_THE_EARLIEST).then(|| format!("connected for {}", clock(connected)))
    }

    // --- what must always hold --------------------------------------------------------------------------------------

    /// Looks at what is standing: never more than `max`, never two in a slot, and of all pools together never more and
    /// never dearer than the limits, which each operator may use up beside the others, and beside what nobody could see.
    pub(crate) fn look(&mut self) {
        let operators = self.processes.len();
        if let Some((missed, _)) = self.missed.filter(|(_, until)| self.now < *until) {
            let is_hidden = |one: &&Machine| one.runner_id == missed && self.now < one.listed_from;
            self.unseen.extend(self.machines.iter().find(is_hidden).map(|one| one.runner_id));
        }
        let stands =
            |one: &&Machine| one.pool.is_some() && one.is_live() && !one.excused && one.state != InstanceState::Stopped;
        let counts = |one: &&Machine| stands(one) && !self.unseen.contains(&one.runner_id);
        let standing = self.machines.iter().filter(counts).count();
        let costs: u64 = self.machines.iter().filter(counts).map(|one| price(&one.offering)).sum();
        if let Some(max_total) = self.max_total.filter(|max_total| standing > *max_total as usize * operators) {
            self.violated(format!("{standing} instances are live, and max_total is {max_total}"));
        }
        if let Some(ceiling) = self.ceiling.filter(|ceiling| costs > *ceiling * operators as u64) {
            self.violated(format!("what runs costs {costs} millionths, and the ceiling is {ceiling}"));
        }
        for nth in 0..self.pools.len() {
            let (name, max) = (self.pools[nth].name, self.pools[nth].max as usize);
            let mut slots = [0_u32; 16];
            let mut live = 0;
            // One that somebody stopped runs nothing, and is ended by whoever sees it next.
            let counts = |one: &&Machine| one.is_live() && !one.excused && one.state != InstanceState::Stopped;
            for machine in self.machines.iter().filter(|one| one.pool == Some(nth)).filter(counts) {
                live += 1;
                slots[machine.slot.0 as usize % 16] += 1;
            }
            let registered = self.records.iter().filter(|record| record.pool == Some(nth)).count();
            if live > max {
                self.violated(format!("pool {name} has {live} live instances, and its max is {max}"));
            }
            if registered > max {
                self.violated(format!("pool {name} has {registered} registered runners, and its max is {max}"));
            }
            if let Some(slot) = slots.iter().position(|count| *count > 1) {
                self.violated(format!("slot {slot} of pool {name} has two live instances"));
            }
        }
    }

    /// Returns what is not as it should be in the end: a job that waits though a pool takes it, an orphan on either side.
    pub(crate) fn unsettled(&self) -> Option<String> {
        if let Some(job) = self.jobs.iter().find(|job| job.ended.is_none() && self.is_takeable(job)) {
            let what = if job.runner.is_some() { "is still running" } else { "still waits" };
            return Some(format!("job {} {what}, queued at {}", job.id, clock(job.queued)));
        }
        if let Some(nth) = (0..self.jobs.len()).find(|nth| self.is_owed(*nth)) {
            return Some(format!("job {} died with its spot instance, and was not re-run", self.jobs[nth].id));
        }
        for machine in self.machines.iter().filter(|machine| machine.pool.is_some() && machine.is_live()) {
            if !self.records.iter().any(|record| record.id == machine.runner_id) {
                return Some(format!("{} is live and has no record", machine.id));
            }
            if machine.state == InstanceState::Stopped {
                return Some(format!("{} is stopped", machine.id));
            }
        }
        for record in self.records.iter().filter(|record| record.pool.is_some()) {
            if !self.machines.iter().any(|machine| machine.runner_id == record.id && machine.is_live()) {
                return Some(format!("record `{}` has no live instance", record.name));
            }
        }
        let never =
            self.machines.iter().find(|machine| machine.pool.is_some() && machine.is_live() && !machine.has_host);
        never.map(|machine| format!("{} never boots, and is still there", machine.id))
    }

    fn is_takeable(&self, job: &Job) -> bool {
        let signature = Signature::of(&job.labels);
        self.pools.iter().any(|pool| {
            let pool = ghascale::engine::build::pool(pool.name).labels(pool.labels);
            signature.unneeded_on(&pool).is_some()
        })
    }

    pub(crate) fn offerings(&self, pool: usize) -> Vec<Offering> {
        use ghascale::engine::Market::{OnDemand, Spot};
        let markets: &[_] = if self.pools[pool].spot { &[Spot, OnDemand] } else { &[OnDemand] };
        let offering = |market, subnet| Offering { market, instance_type: "m7a.large".into(), subnet };
        markets.iter().flat_map(|market| (0..2).map(|nth| offering(*market, subnet_name(nth)))).collect()
    }

    /// Reads what the birth label of a record says.
    pub(crate) fn born(record: &Record) -> Option<Timestamp> {
        born(&record.labels)
    }
}

fn price(offering: &Offering) -> u64 {
    if offering.market == ghascale::engine::Market::Spot { SPOT } else { ON_DEMAND }
}

fn subnet_name(nth: usize) -> String {
    format!("subnet-{nth}")
}
