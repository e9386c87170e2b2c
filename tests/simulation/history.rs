//! A history: who runs when, and what goes wrong when. Made from a seed, and readable without it.
//!
//! Nothing in a history depends on another part of it, so that any event can be left out: that is how a failing history
//! is shrunk.

use std::fmt;

use ghascale::engine::Price;

use super::chance::Chance;

/// Milliseconds since the world began.
pub(crate) type Ms = u64;
pub(crate) const SECOND: Ms = 1000;
pub(crate) const MINUTE: Ms = 60 * SECOND;

/// How long GitHub takes to notice that a runner died with its job.
pub(crate) const GIVES_UP: Ms = 9 * MINUTE;
/// When an instance that has not booted is given up.
const BOOT_TIMEOUT: Ms = 5 * MINUTE;

/// What is played.
#[derive(Clone, Debug)]
pub(crate) struct History {
    pub(crate) seed: u64,
    pub(crate) pools: Vec<PoolSetup>,
    pub(crate) operators: Vec<OperatorSetup>,
    pub(crate) events: Vec<Event>,
    /// From here on nothing goes wrong any more.
    pub(crate) calm_from: Ms,
    /// From here on no operator runs any more: what is there must end by itself.
    pub(crate) abandoned_from: Option<Ms>,
    /// The most runners of all pools together.
    pub(crate) max_total: Option<u32>,
    /// The ceiling on what runs, in millionths of a dollar an hour.
    pub(crate) ceiling: Option<u64>,
}

#[expect(clippy::struct_excessive_bools, reason = "switches, as a pool's configuration has them")]
#[derive(Clone, Debug)]
pub(crate) struct PoolSetup {
    pub(crate) name: &'static str,
    pub(crate) labels: &'static str,
    pub(crate) min_idle: u32,
    pub(crate) max: u32,
    pub(crate) max_lifetime: Ms,
    /// On the host; 0 where the operator's own user data has no timers.
    pub(crate) idle_timeout: Ms,
    pub(crate) spot: bool,
    pub(crate) trim: bool,
    /// Its jobs are given to a scale set, and it is told how many.
    pub(crate) has_set: bool,
    /// Jobs that die with a spot instance which EC2 took back are re-run.
    pub(crate) reruns: bool,
}

/// A host that runs `apply` by cron, or a listener that also does when a job arrives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OperatorSetup {
    pub(crate) every: Ms,
    pub(crate) offset: Ms,
    pub(crate) listens: bool,
    /// How far its clock is ahead or behind.
    pub(crate) skew: i64,
    /// What it knows of jobs on spot instances is kept where operator 0 keeps it too.
    pub(crate) shares_memory: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) at: Ms,
    pub(crate) what: What,
}

/// What happens. "The next" of something is the next one after the event's time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    /// Jobs are queued.
    Jobs { count: u64, labels: &'static str, lasts: Ms },
    /// The run of the oldest job that is not done is cancelled.
    Cancel,
    /// The job that ended last is run again, if its run is over.
    Rerun,
    /// The next calls of a kind fail.
    Fail { call: Call, how: Failure, times: u32 },
    /// An operator's process dies, so many steps from now.
    Crash { operator: usize, steps: u32 },
    /// An operator's next step takes this long: a suspended machine, a call that hangs.
    Pause { operator: usize, steps: u32, lasts: Ms },
    /// An operator stands still for this long before it looks once more at a runner that it removes, and the runner is given a
    /// job meanwhile.
    HaltsOverRemoval { operator: usize, lasts: Ms },
    /// Somebody launches more like an instance of ours, with its tags, and ends the copy after this long.
    Copied { lasts: Ms },
    /// Somebody takes the tags of an instance of ours away that say which runner it is.
    LosesTags,
    /// The clock of an operator's host is so many seconds ahead, or behind, for this long.
    WrongClock { operator: usize, ahead: i64, lasts: Ms },
    /// The next instance has this fate.
    Boot(Fate),
    /// The next instance isn't shown for this long.
    Unlisted { lasts: Ms },
    /// The next job's runner is called busy only after this long.
    BusyLate { lasts: Ms },
    /// A busy runner is called idle for this long.
    BusyFlips { lasts: Ms },
    /// The next jobs list misses changes of this age and less.
    JobsLate { lasts: Ms },
    /// A connected runner is offline for this long.
    Disconnect { lasts: Ms },
    /// Some market and subnet have no capacity.
    NoCapacity { spot: bool, subnet: usize, lasts: Ms },
    /// EC2 takes its oldest spot instance back.
    Interruption,
    /// Somebody stops an instance of ours by hand.
    Stop,
    /// Somebody protects an instance of ours against termination, for this long.
    Protect { lasts: Ms },
    /// Somebody deletes a record of ours by hand.
    DeleteRecord,
    /// A list that claims to be whole misses one of our runners, for this long.
    MissRunner { lasts: Ms },
    /// The counts of all scale sets stay as they are, for this long.
    SetStuck { lasts: Ms },
    /// EC2 takes back the next spot instance that gets a job, so long after.
    TakenBack { after: Ms },
    /// The next host whose job is done powers off only after this long.
    Lingers { lasts: Ms },
    /// EC2 forgets what has ended after this long already.
    Forgets { after: Ms },
    /// The number of the next run that is re-run is shown only after this long, or when that attempt is over.
    NumberLate { lasts: Ms },
    /// An operator's process dies, so many steps after it looked at a run.
    DiesOverRun { operator: usize, steps: u32 },
    /// An operator stands still for this long, so many steps after it looked at a run.
    HaltsOverRun { operator: usize, steps: u32, lasts: Ms },
}

/// The outward calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Call {
    ListInstances,
    ListRunners,
    ReadSet,
    ListJobs,
    Register,
    Runner,
    RunnerNamed,
    Remove,
    Run,
    LaunchedFor,
    LaunchedWith,
    Terminate,
    Mark,
    SpotPrices,
    ReadRun,
    RerunJob,
    RerunFailed,
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It has no effect, and says why: an EC2 code, or a status of GitHub's.
    Refused(&'static str),
    /// It has its effect, and the answer is lost.
    AnswerLost,
    /// For lists: a part is missing, and it is known.
    Part,
    /// For lists: empty, and nothing says that it should not be.
    Empty,
}

/// How an instance boots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Its runner connects after this long.
    After(Ms),
    /// Its runner never connects, and nothing on the host runs either.
    Never,
    /// EC2 ends it itself after this long.
    Dies(Ms),
}

/// What an hour costs, in millionths of a dollar.
pub(crate) const ON_DEMAND: u64 = 100_000;
pub(crate) const SPOT: u64 = 40_000;

const SUBNETS: u64 = 2;
const LABELS: [&str; 3] = ["linux", "linux x64", "linux gpu"];

impl History {
    /// Returns the history of a seed.
    pub(crate) fn of(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let mut pools = pools(&mut chance);
        let mut operators = operators(&mut chance);
        let mut calm_from = chance.within(8, 18) * MINUTE;
        let mut events = jobs(&mut chance, &pools, calm_from);
        for _ in 0..chance.within(4, 16) {
            let at = chance.below(calm_from);
            let what = trouble(&mut chance, operators.len());
            events.push(Event { at, what });
        }
        // From a chance of their own, so that the rest of a seed's history stays as it was.
        let mut set_chance = Chance::new(seed ^ 0x5e75);
        for pool in &mut pools {
            pool.has_set = set_chance.one_in(3);
        }
        if pools.iter().any(|pool| pool.has_set) {
            for _ in 0..set_chance.within(0, 4) {
                let at = set_chance.below(calm_from);
                events.push(Event { at, what: set_trouble(&mut set_chance) });
            }
        }
        let abandoned_from = chance.one_in(8).then(|| chance.within(calm_from / 2, calm_from));
        if chance.one_in(4) {
            let what = What::Protect { lasts: chance.within(120, 900) * SECOND };
            events.push(Event { at: chance.below(calm_from), what });
        }
        let mut clock_chance = Chance::new(seed ^ 0xc10c);
        for operator in 0..operators.len() {
            if clock_chance.one_in(4) {
                let ahead = clock_chance.pick(&[-900, -290, -110, -40, 40, 110, 290, 900]);
                let what = What::WrongClock { operator, ahead, lasts: clock_chance.within(60, 600) * SECOND };
                events.push(Event { at: clock_chance.below(calm_from), what });
            }
        }
        let mut limit_chance = Chance::new(seed ^ 0x9c1e);
        let ceiling = limit_chance.one_in(3);
        let ceiling = ceiling.then(|| limit_chance.pick(&[ON_DEMAND, 150_000, 240_000, 300_000]));
        let max_total = limit_chance.one_in(4).then(|| u32::try_from(limit_chance.within(1, 5)).unwrap());
        if ceiling.is_some() && limit_chance.one_in(2) {
            let how = Failure::Refused(limit_chance.pick(&["UnauthorizedOperation", "RequestLimitExceeded"]));
            let what = What::Fail { call: Call::SpotPrices, how, times: 3 };
            events.push(Event { at: limit_chance.below(calm_from), what });
        }
        if pools.len() > 1 && (ceiling.is_some() || max_total.is_some()) {
            // What one pool keeps idle may rightly keep the other's jobs waiting: so here nothing is idle for long.
            for pool in &mut pools {
                (pool.min_idle, pool.idle_timeout) = (0, pool.idle_timeout.clamp(5 * MINUTE, 10 * MINUTE));
            }
        }
        let mut rerun_chance = Chance::new(seed ^ 0x4e0a);
        if rerun_chance.one_in(3) {
            for pool in &mut pools {
                pool.reruns = !rerun_chance.one_in(4);
            }
        }
        if pools.iter().any(|pool| pool.reruns && pool.spot) {
            for operator in operators.iter_mut().skip(1) {
                operator.shares_memory = rerun_chance.one_in(3);
            }
            let began = calm_from / 2;
            // What died in the meantime is given up, and so re-run, only now.
            calm_from += GIVES_UP;
            events.extend(interruptions(&mut rerun_chance, began));
            if operators.len() > 1 {
                // Long enough for another to re-run it, and for that to end.
                let operator = usize::try_from(rerun_chance.below(operators.len() as u64)).unwrap();
                let steps = u32::try_from(rerun_chance.within(1, 2)).unwrap();
                let lasts = rerun_chance.pick(&[300, 500]) * SECOND;
                events.push(Event { at: began, what: What::HaltsOverRun { operator, steps, lasts } });
            }
            for _ in 0..rerun_chance.within(1, 5) {
                let at = rerun_chance.within(began, calm_from);
                events.push(Event { at, what: rerun_trouble(&mut rerun_chance, operators.len()) });
            }
        }
        let mut hand_chance = Chance::new(seed ^ 0x4a2d);
        let operator = usize::try_from(hand_chance.below(operators.len() as u64)).unwrap();
        for (what, one_in) in [
            (What::HaltsOverRemoval { operator, lasts: hand_chance.within(15, 50) * SECOND }, 2),
            (What::Copied { lasts: hand_chance.within(5, 300) * SECOND }, 4),
            (What::LosesTags, 8),
        ] {
            // By a copy's tags it can't be told on which instance a job was: then none is re-run.
            let is_told = !matches!(what, What::Copied { .. }) || pools.iter().all(|pool| !pool.reruns);
            // One that is left alone, and has no timers, keeps its slot.
            let goes = !matches!(what, What::LosesTags) || pools.iter().all(|pool| pool.idle_timeout > 0);
            if hand_chance.one_in(one_in) && is_told && goes {
                events.push(Event { at: hand_chance.below(calm_from), what });
            }
        }
        events.sort_by_key(|event| event.at);
        Self { seed, pools, operators, events, calm_from, abandoned_from, max_total, ceiling }
    }
}

fn pools(chance: &mut Chance) -> Vec<PoolSetup> {
    let names: &[(&str, &str)] = match chance.below(3) {
        0 => &[("linux", "linux x64")],
        1 => &[("gpu", "linux gpu")],
        _ => &[("gpu", "linux gpu"), ("linux", "linux x64")],
    };
    let setup = |&(name, labels)| PoolSetup {
        name,
        labels,
        min_idle: chance.pick(&[0, 0, 1, 2]),
        max: u32::try_from(chance.within(1, 4)).unwrap(),
        max_lifetime: chance.pick(&[8, 12, 45]) * MINUTE,
        idle_timeout: chance.pick(&[5, 10, 40, 0]) * MINUTE,
        spot: chance.one_in(2),
        trim: chance.one_in(2),
        has_set: false,
        reruns: false,
    };
    names.iter().map(setup).collect()
}

fn operators(chance: &mut Chance) -> Vec<OperatorSetup> {
    let count = chance.pick(&[1, 1, 2, 2, 3, 4]);
    let setup = |_| OperatorSetup {
        every: chance.pick(&[45, 60, 60, 120]) * SECOND,
        offset: chance.pick(&[0, 0, 0, 7, 31]) * SECOND,
        listens: chance.one_in(4),
        skew: i64::try_from(chance.below(7)).unwrap() - 3,
        shares_memory: false,
    };
    (0..count).map(setup).collect()
}

fn jobs(chance: &mut Chance, pools: &[PoolSetup], until: Ms) -> Vec<Event> {
    let mut left = 3 * pools.iter().map(|pool| u64::from(pool.max)).sum::<u64>().min(4);
    let mut events = Vec::new();
    while left > 0 {
        let count = chance.within(1, 4).min(left);
        left -= count;
        let what = What::Jobs { count, labels: chance.pick(&LABELS), lasts: chance.pick(&[5, 30, 90, 180]) * SECOND };
        events.push(Event { at: chance.below(until), what });
    }
    events
}

fn trouble(chance: &mut Chance, operators: usize) -> What {
    let operator = usize::try_from(chance.below(operators as u64)).unwrap();
    let steps = u32::try_from(chance.within(1, 14)).unwrap();
    match chance.below(28) {
        25..=27 => What::Fail {
            call: chance.pick(&[Call::ListInstances, Call::ListRunners, Call::ListRunners, Call::ListJobs]),
            how: Failure::Part,
            times: u32::try_from(chance.within(1, 6)).unwrap(),
        },
        22..=24 => What::Boot(Fate::After(BOOT_TIMEOUT + chance.below(60_000))),
        0..=4 => fault(chance),
        5 | 6 => What::Crash { operator, steps },
        7 => What::Pause { operator, steps, lasts: chance.pick(&[20, 90, 200, 280, 400]) * SECOND },
        8 => What::Boot(match chance.below(5) {
            0 => Fate::Never,
            1 => Fate::Dies(chance.within(5, 300) * SECOND),
            // In the very moment in which it is given up.
            2 | 3 => Fate::After(BOOT_TIMEOUT + chance.below(30_000)),
            _ => Fate::After(chance.within(10, 400) * SECOND),
        }),
        9 => What::Unlisted { lasts: chance.within(5, 60) * SECOND },
        10 => What::BusyLate { lasts: chance.within(5, 60) * SECOND },
        11 => What::BusyFlips { lasts: chance.within(20, 200) * SECOND },
        12 => What::JobsLate { lasts: chance.within(5, 45) * SECOND },
        13 => What::Disconnect { lasts: chance.pick(&[20, 100, 650, 900]) * SECOND },
        14 => What::NoCapacity {
            spot: chance.one_in(2),
            subnet: usize::try_from(chance.below(SUBNETS)).unwrap(),
            lasts: chance.within(60, 400) * SECOND,
        },
        15 => What::Interruption,
        16 => What::Stop,
        17 => What::DeleteRecord,
        18 => What::MissRunner { lasts: chance.within(10, 150) * SECOND },
        19 => What::Cancel,
        20 => What::Rerun,
        _ => What::Fail {
            call: chance.pick(&[Call::ListInstances, Call::ListRunners, Call::ListJobs]),
            how: chance.pick(&[Failure::Part, Failure::Part, Failure::Empty]),
            times: u32::try_from(chance.within(1, 4)).unwrap(),
        },
    }
}

fn set_trouble(chance: &mut Chance) -> What {
    match chance.below(3) {
        0 => What::SetStuck { lasts: chance.pick(&[30, 120, 300]) * SECOND },
        _ => What::Fail {
            call: Call::ReadSet,
            how: Failure::Refused("502"),
            times: u32::try_from(chance.within(1, 4)).unwrap(),
        },
    }
}

fn interruptions(chance: &mut Chance, until: Ms) -> Vec<Event> {
    let mut events = Vec::new();
    let mut then = |chance: &mut Chance, what: What| events.push(Event { at: chance.below(until), what });
    let count = chance.within(1, 3);
    let (labels, lasts) = (chance.pick(&LABELS), chance.pick(&[30, 90, 180]) * SECOND);
    then(chance, What::Jobs { count, labels, lasts });
    for _ in 0..chance.within(2, 4) {
        let after = chance.within(1, 180) * SECOND;
        then(chance, What::TakenBack { after });
    }
    for _ in 0..chance.within(0, 3) {
        let lasts = chance.within(60, 240) * SECOND;
        then(chance, What::Lingers { lasts });
    }
    if chance.one_in(4) {
        let after = chance.pick(&[30, 120, 300]) * SECOND;
        then(chance, What::Forgets { after });
    }
    events
}

fn rerun_trouble(chance: &mut Chance, operators: usize) -> What {
    let operator = usize::try_from(chance.below(operators as u64)).unwrap();
    // Its answer, what is done in between, the next look, the request.
    let steps = u32::try_from(chance.within(1, 4)).unwrap();
    match chance.below(12) {
        0 => What::Fail {
            call: Call::ReadRun,
            how: chance.pick(&[Failure::Part, Failure::Part, Failure::Refused("502"), Failure::Refused("404")]),
            times: u32::try_from(chance.within(1, 4)).unwrap(),
        },
        1..=3 => What::Fail {
            call: chance.pick(&[Call::RerunJob, Call::RerunFailed]),
            how: match chance.below(3) {
                0 => Failure::Refused(chance.pick(&GITHUB)),
                _ => Failure::AnswerLost,
            },
            times: chance.pick(&[1, 1, 2]),
        },
        4 => What::DiesOverRun { operator, steps },
        5..=7 => What::HaltsOverRun { operator, steps, lasts: chance.pick(&[20, 90, 200, 400]) * SECOND },
        8 => What::NumberLate { lasts: chance.within(1, 120) * SECOND },
        9 => What::Cancel,
        _ => What::Rerun,
    }
}

const GITHUB: [&str; 6] = ["502", "reset", "403", "429", "404", "401"];

fn fault(chance: &mut Chance) -> What {
    const EC2: [&str; 9] = [
        "RequestLimitExceeded",
        "InternalError",
        "InsufficientInstanceCapacity",
        "InsufficientFreeAddressesInSubnet",
        "MaxSpotInstanceCountExceeded",
        "VcpuLimitExceeded",
        "InvalidAMIID.NotFound",
        "UnauthorizedOperation",
        "RequestTimeout",
    ];
    let call = chance.pick(&[
        Call::Register,
        Call::Register,
        Call::Runner,
        Call::RunnerNamed,
        Call::Remove,
        Call::Run,
        Call::Run,
        Call::Run,
        Call::LaunchedFor,
        Call::LaunchedWith,
        Call::Terminate,
        Call::Mark,
        Call::ListInstances,
        Call::ListRunners,
        Call::ListJobs,
    ]);
    let how = match call {
        _ if chance.one_in(3) => Failure::AnswerLost,
        Call::Register
        | Call::Runner
        | Call::RunnerNamed
        | Call::Remove
        | Call::ListRunners
        | Call::ReadSet
        | Call::ReadRun
        | Call::RerunJob
        | Call::RerunFailed
        | Call::ListJobs => Failure::Refused(chance.pick(&GITHUB)),
        Call::Terminate => Failure::Refused(chance.pick(&[
            "RequestLimitExceeded",
            "InternalError",
            "UnauthorizedOperation",
            "InvalidInstanceID.NotFound",
        ])),
        Call::Mark => {
            Failure::Refused(chance.pick(&["RequestLimitExceeded", "InternalError", "UnauthorizedOperation"]))
        }
        Call::Run | Call::LaunchedFor | Call::LaunchedWith | Call::ListInstances | Call::SpotPrices => {
            Failure::Refused(chance.pick(&EC2))
        }
    };
    What::Fail { call, how, times: chance.pick(&[1, 1, 2, 5, 6]) }
}

// --- for people -----------------------------------------------------------------------------------------------------

/// Writes a time as people do: `7m03.250s`.
pub(crate) fn clock(at: Ms) -> String {
    format!("{}m{:02}.{:03}s", at / MINUTE, at / SECOND % 60, at % SECOND)
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for pool in &self.pools {
            writeln!(
                f,
                "pool {} [{}] min_idle {} max {} max_lifetime {} idle_timeout {}{}{}{}{}",
                pool.name,
                pool.labels,
                pool.min_idle,
                pool.max,
                clock(pool.max_lifetime),
                clock(pool.idle_timeout),
                if pool.spot { ", spot first" } else { "" },
                if pool.trim { ", trimmed" } else { "" },
                if pool.has_set { ", a scale set's" } else { "" },
                if pool.reruns { ", re-run when interrupted" } else { "" },
            )?;
        }
        for (nth, operator) in self.operators.iter().enumerate() {
            let listens = if operator.listens { ", and when a job arrives" } else { "" };
            let (every, offset, skew) = (clock(operator.every), clock(operator.offset), operator.skew);
            let shares = if operator.shares_memory { ", with the memory of operator 0" } else { "" };
            writeln!(f, "operator {nth} every {every} after {offset}{listens}, clock {skew:+}s{shares}")?;
        }
        for event in &self.events {
            writeln!(f, "at {}  {}", clock(event.at), event.what)?;
        }
        if let Some(max_total) = self.max_total {
            writeln!(f, "at most {max_total} runners")?;
        }
        if let Some(ceiling) = self.ceiling {
            writeln!(f, "at most ${} an hour", Price::micros(ceiling))?;
        }
        writeln!(f, "calm from {}", clock(self.calm_from))?;
        match self.abandoned_from {
            Some(at) => writeln!(f, "abandoned from {}", clock(at)),
            None => Ok(()),
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Jobs { count, labels, lasts } => {
                write!(f, "{count} jobs [{labels}] are queued, {} of work each", clock(*lasts))
            }
            Self::Cancel => f.pad("the run of the oldest job is cancelled"),
            Self::Rerun => f.pad("the job that ended last is run again"),
            Self::Fail { call, how, times } => write!(f, "the next {times} {call:?} fail: {how:?}"),
            Self::Crash { operator, steps } => write!(f, "operator {operator} dies, {steps} steps on"),
            Self::Pause { operator, steps, lasts } => {
                write!(f, "operator {operator} stands still for {}, {steps} steps on", clock(*lasts))
            }
            Self::HaltsOverRemoval { operator, lasts } => {
                let lasts = clock(*lasts);
                write!(f, "operator {operator} stands still for {lasts} over the next connected runner that it removes")
            }
            Self::Copied { lasts } => {
                write!(f, "somebody copies an instance, and ends the copy after {}", clock(*lasts))
            }
            Self::LosesTags => f.pad("somebody takes the tags of an instance away"),
            Self::WrongClock { operator, ahead, lasts } => {
                write!(f, "the clock of operator {operator} is {ahead:+}s ahead for {}", clock(*lasts))
            }
            Self::Boot(Fate::After(time)) => write!(f, "the next instance boots in {}", clock(*time)),
            Self::Boot(Fate::Never) => f.pad("the next instance never boots"),
            Self::Boot(Fate::Dies(time)) => write!(f, "the next instance is ended by EC2 after {}", clock(*time)),
            Self::Unlisted { lasts } => write!(f, "the next instance is not listed for {}", clock(*lasts)),
            Self::BusyLate { lasts } => write!(f, "the next job's runner is called idle for {}", clock(*lasts)),
            Self::BusyFlips { lasts } => write!(f, "a busy runner is called idle for {}", clock(*lasts)),
            Self::JobsLate { lasts } => write!(f, "the next job's start is not listed for {}", clock(*lasts)),
            Self::Disconnect { lasts } => write!(f, "a runner is disconnected for {}", clock(*lasts)),
            Self::NoCapacity { spot, subnet, lasts } => {
                let market = if *spot { "spot" } else { "on-demand" };
                write!(f, "no {market} capacity in subnet {subnet} for {}", clock(*lasts))
            }
            Self::Interruption => f.pad("EC2 takes its oldest spot instance back"),
            Self::Stop => f.pad("somebody stops an instance"),
            Self::Protect { lasts } => write!(f, "somebody protects an instance for {}", clock(*lasts)),
            Self::DeleteRecord => f.pad("somebody deletes a runner's record"),
            Self::MissRunner { lasts } => write!(f, "the list of runners misses one for {}", clock(*lasts)),
            Self::SetStuck { lasts } => write!(f, "the counts of scale sets are stuck for {}", clock(*lasts)),
            Self::TakenBack { after } => {
                write!(f, "EC2 takes the next spot instance back {} after it gets a job", clock(*after))
            }
            Self::Lingers { lasts } => write!(f, "the next host whose job is done lingers for {}", clock(*lasts)),
            Self::Forgets { after } => write!(f, "EC2 forgets after {} what has ended", clock(*after)),
            Self::NumberLate { lasts } => write!(f, "the next run's attempt is shown {} late", clock(*lasts)),
            Self::DiesOverRun { operator, steps } => {
                write!(f, "operator {operator} dies, {steps} steps after its next look at a run")
            }
            Self::HaltsOverRun { operator, steps, lasts } => {
                let lasts = clock(*lasts);
                write!(f, "operator {operator} stands still for {lasts}, {steps} steps after its next look at a run")
            }
        }
    }
}
