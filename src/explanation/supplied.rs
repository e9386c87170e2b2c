//! From the pool to a runner: room, runners, launches, registrations, and whose turn it is.

use super::pooled::{refusal, refused};
use super::{Case, Finding, Seen, StepName, Walk, count, quoted, unpooled, unread_supply};
use crate::ages::{age, short};
use crate::engine::{
    Action, CountKind, InstanceId, Job, JobState, Label, PoolView, ReasonCode, RunnerName, ScaleSetDemand, State, Step,
    Supply, Unit,
};

/// Runners that are named one by one; more are counted.
const NAMED: usize = 5;

/// A pending job in its pool, and what is there for it.
struct Place<'a> {
    case: &'a Case<'a>,
    seen: &'a Seen<'a>,
    job: &'a Job,
    view: &'a PoolView<'a>,
    supply: Supply,
    /// Jobs of the pool that wait for a runner, that get one, and that have waited longer.
    ahead: u32,
}

/// What the next free runner of the pool, as far as this job is concerned, is.
enum Turn {
    /// A runner that is idle.
    Idle,
    /// A runner that is on its way.
    Starting,
    /// One that would have to be launched, the so manyeth.
    Launch(usize),
}

pub(super) fn walk(walk: &mut Walk, case: &Case<'_>, seen: &Seen<'_>, job: &Job, view: &PoolView<'_>) {
    if !seen.known.by_name || !seen.known.runners || !seen.known.instances {
        unknown(walk, case, seen, job);
        return;
    }
    let place = Place { case, seen, job, view, supply: view.supply(), ahead: ahead(seen, job, view) };
    walk.find(StepName::Cap, place.cap());
    walk.find(StepName::Supply, place.of_supply());
    walk.find(StepName::Launch, place.launch());
    walk.find(StepName::Registration, place.registration());
    walk.find(StepName::Assignment, place.assignment());
}

/// Without all runners and instances, ours can't be counted; those that GitHub shows can still be held against the job.
fn unknown(walk: &mut Walk, case: &Case<'_>, seen: &Seen<'_>, job: &Job) {
    let why = unread_supply(seen);
    walk.find(StepName::Cap, Finding::unknown(why.as_str()));
    let takers = unpooled::takers(seen, job);
    let idle = takers.iter().filter(|runner| unpooled::is_idle(runner)).count();
    walk.find(StepName::Supply, Finding::unknown(format!("{idle} seen idle with all of its labels; {why}")));
    walk.find(StepName::Launch, Finding::unknown(format!("nothing is planned: {why}")));
    walk.find(StepName::Registration, Finding::unknown(why));
    if idle > 0 {
        walk.find(StepName::Assignment, unpooled::assignment(case, job, &takers));
    }
}

fn ahead(seen: &Seen<'_>, job: &Job, view: &PoolView<'_>) -> u32 {
    let order = |job: &Job| (job.queued_at.is_none(), job.queued_at, job.id);
    let is_served = |one: &&&Job| refusal(seen, one.id).is_none();
    let waiting = seen.view.pending_on(&view.pool.name).iter().filter(is_served);
    u32::try_from(waiting.filter(|one| order(one) < order(job)).count()).unwrap_or(u32::MAX)
}

impl<'a> Place<'a> {
    fn turn(&self) -> Turn {
        let there = self.supply.idle + self.supply.starting;
        if self.ahead < self.supply.idle {
            Turn::Idle
        } else if self.ahead < there {
            Turn::Starting
        } else {
            Turn::Launch((self.ahead - there) as usize)
        }
    }

    fn units(&self, wanted: impl Fn(&Unit<'a>) -> bool) -> Vec<&'a Unit<'a>> {
        self.view.units.iter().filter(|unit| wanted(unit)).collect()
    }

    fn cap(&self) -> Finding {
        let (pool, supply) = (self.view.pool, self.supply);
        let others = supply.held.saturating_sub(supply.busy + supply.idle + supply.starting);
        let mut evidence = format!(
            "{} of at most {}: {} busy, {} idle, {} on their way",
            count(supply.held.into(), "runner", "runners"),
            pool.max,
            supply.busy,
            supply.idle,
            supply.starting
        );
        if others > 0 {
            evidence = format!("{evidence}, {others} of no use");
        }
        let refused = refused(self.seen, self.job.id);
        let cure = match refused.map(|reason| reason.code) {
            Some(ReasonCode::AtMax) => None,
            Some(ReasonCode::MaxTotal) => Some("raise `max_total`, or wait until a runner of any pool is done"),
            Some(ReasonCode::MaxUsdPerHour) => {
                Some("raise `max_usd_per_hour`, or wait until a runner of any pool is done")
            }
            Some(ReasonCode::PriceUnknown) => Some("add the type to the price table"),
            _ => return Finding::ok(evidence),
        };
        if let (Some(cure), Some(reason)) = (cure, refused) {
            return Finding::failed(format!("{evidence}; {}", reason.message), cure);
        }
        let holders = self.named(&self.units(Unit::holds_slot));
        let freed = self.seen.plan.pools.iter().find(|sums| sums.name == pool.name).map_or(0, |sums| sums.end);
        let free = if freed > 0 { format!("`ghascale apply` ends {freed} of them; or ") } else { String::new() };
        let (name, max) = (&pool.name, pool.max.saturating_add(1));
        Finding::failed(
            format!("{evidence}; the slots are held by {holders}"),
            format!("{free}raise the `max` of pool `{name}`, `max = {max}` or more, or wait until one of them is done"),
        )
    }

    fn of_supply(&self) -> Finding {
        let Supply { idle, starting, .. } = self.supply;
        let before = count(self.ahead.into(), "job waits", "jobs wait");
        let bound = if self.seen.snapshot.demand.kind == CountKind::Exact { "" } else { "at least " };
        let evidence = format!("{idle} idle, {starting} on their way; {bound}{before} before this one");
        // What a scale set's runners can take is the set's affair, and their records carry no labels.
        if self.view.scale_set.is_some() || self.view.pool.has_scale_set || !matches!(self.turn(), Turn::Idle) {
            return Finding::ok(evidence);
        }
        let idle =
            self.units(|unit| matches!(unit.state, State::Idle | State::Expired | State::Foreign) && is_idle(unit));
        let lacking = |unit: &Unit<'_>| -> Vec<&Label> {
            let labels = unit.runner().map_or(&[][..], |runner| &runner.labels);
            self.job.labels.iter().filter(|label| !labels.contains(label)).collect()
        };
        match idle.first() {
            Some(first) if idle.iter().all(|unit| !lacking(unit).is_empty()) => Finding::failed(
                format!(
                    "{evidence}; but what is idle was registered without all of the labels: `{}` lacks {}",
                    name(first),
                    quoted(lacking(first))
                ),
                "they end by themselves at their `idle_timeout`; the next have the labels that the pool has now",
            ),
            _ => Finding::ok(evidence),
        }
    }

    fn launch(&self) -> Finding {
        let Turn::Launch(nth) = self.turn() else { return Finding::ok("none is needed for this job") };
        let pool = self.view.pool;
        if pool.offerings.is_empty() {
            return Finding::failed(
                format!("pool `{}` has nothing to launch", pool.name),
                "give it an `image` (or a `launch_template`), `instance_types` and `subnets`",
            );
        }
        let offerings = count(pool.offerings.len() as u64, "offering", "offerings");
        let launches: Vec<(&Action, String)> =
            self.seen.plan.actions.iter().filter_map(|one| self.launched(one)).collect();
        match launches.get(nth) {
            Some((action, first)) => Finding::failed(
                format!(
                    "no runner is there or on its way for it; `apply` would launch `{}`: {first} first, of {offerings}",
                    action.runner.as_ref().map_or("?", RunnerName::as_str)
                ),
                "`ghascale apply`",
            ),
            None if matches!(self.view.scale_set, Some(ScaleSetDemand::Unknown)) => {
                Finding::unknown("nothing is launched while its scale set can't be asked")
            }
            None => Finding::unknown(format!(
                "no runner is there or on its way for it; the plan launches {} in its pool, with {offerings} to choose from",
                launches.len()
            )),
        }
    }

    /// Returns a launch of this pool, and what it would buy first.
    fn launched<'p>(&self, action: &'p Action) -> Option<(&'p Action, String)> {
        match &action.step {
            Step::Launch { offerings, .. } if action.pool == self.view.pool.name => {
                Some((action, offerings.first().map_or_else(|| "nothing".to_owned(), ToString::to_string)))
            }
            Step::Launch { .. } | Step::Deregister { .. } | Step::Terminate { .. } | Step::Mark { .. } => None,
        }
    }

    fn registration(&self) -> Finding {
        let failed = self.units(|unit| unit.state == State::BootFailed);
        let orphans = self.units(|unit| unit.state == State::OrphanRunner);
        let foreign = self.units(|unit| unit.state == State::Foreign);
        let starting = self.units(|unit| matches!(unit.state, State::Launching | State::Booting));
        let mut evidence: Vec<String> = Vec::new();
        if !starting.is_empty() {
            let timeout = short(self.view.pool.boot_timeout);
            evidence.push(format!("on their way: {} (`boot_timeout` is {timeout})", self.named(&starting)));
        }
        if !failed.is_empty() {
            evidence.push(format!("never online in time: {}", self.named(&failed)));
        }
        if !orphans.is_empty() {
            evidence.push(format!("registered, but without an instance: {}", self.named(&orphans)));
        }
        if !foreign.is_empty() {
            evidence.push(format!("not seen as ours, and left alone: {}", self.named(&foreign)));
        }
        if self.view.units.is_empty() {
            return Finding::ok("its pool has no record and no instance");
        }
        if evidence.is_empty() {
            return Finding::ok("every record has its instance, and every instance its record");
        }
        let evidence = evidence.join("; ");
        match (self.turn(), failed.first().and_then(|unit| unit.instance()), orphans.is_empty()) {
            (Turn::Idle, ..) | (_, None, true) => Finding::ok(evidence),
            (_, Some(instance), _) => Finding::failed(evidence, console(&instance.id)),
            (_, None, false) => Finding::failed(
                evidence,
                "its launch was refused or broke off: `audit.jsonl` says why, and `ghascale apply` clears the record",
            ),
        }
    }

    fn assignment(&self) -> Finding {
        match self.turn() {
            Turn::Starting => Finding::skipped("its runner is not online yet"),
            Turn::Launch(_) => Finding::skipped("no runner is there for it"),
            Turn::Idle => match self.units(is_idle).first().and_then(|unit| unit.runner()) {
                Some(runner) => unpooled::not_given_yet(self.case, self.job, runner),
                None => Finding::unknown("its idle runner was not seen twice"),
            },
        }
    }

    /// Names runners with their states, the first few of them.
    fn named(&self, units: &[&Unit<'_>]) -> String {
        let named = units.iter().take(NAMED).map(|unit| format!("`{}` ({})", name(unit), self.state(unit)));
        let mut all: Vec<String> = named.collect();
        if units.len() > NAMED {
            all.push(format!("{} more", units.len() - NAMED));
        }
        let lent = self.view.lent.len();
        if units.is_empty() && lent > 0 {
            all.push(count(lent as u64, "record of another place", "records of other places"));
        }
        if all.is_empty() { "nothing".to_owned() } else { all.join(", ") }
    }

    fn state(&self, unit: &Unit<'_>) -> String {
        let now = self.case.now;
        let launched = unit.instance().and_then(|instance| instance.launched_at);
        let since = launched.or(unit.runner().and_then(|runner| runner.born));
        let aged =
            |word: &str| since.map_or_else(|| word.to_owned(), |at| format!("{word}, {} old", short(age(now, at))));
        match unit.state {
            State::Busy => match unit.job {
                Some(job) => format!("job {} of {}", job.id, job.repository),
                None => "busy".to_owned(),
            },
            State::Launching => aged("launching"),
            State::Booting => aged("booting"),
            State::BootFailed => aged("never online"),
            State::OrphanRunner => aged("a record alone"),
            State::Foreign => "not ours to touch".to_owned(),
            State::Idle => "idle".to_owned(),
            State::Expired => "past its life".to_owned(),
            State::Disconnected | State::Lost => "offline".to_owned(),
            State::Settling | State::OrphanInstance => aged("without a record"),
            State::Ending => "ending".to_owned(),
            State::Stopped => "stopped".to_owned(),
        }
    }
}

/// A job that a runner has: whether that runner is one of ours, and still there.
pub(super) fn of_running(walk: &mut Walk, seen: &Seen<'_>, job: &Job) {
    walk.rest = "a runner has it";
    debug_assert_eq!(job.state, JobState::InProgress);
    let is_its = |unit: &&Unit<'_>| unit.job.is_some_and(|one| one.id == job.id);
    let Some(unit) = seen.view.pools.iter().flat_map(|view| &view.units).find(is_its) else { return };
    let (runner, pool) = (name(unit), &unit.pool.name);
    let instance = unit.instance().map_or_else(|| "no instance seen".to_owned(), |one| format!("instance {}", one.id));
    let said = format!("`{runner}` of pool `{pool}`, {instance}");
    walk.find(
        StepName::Registration,
        match (unit.state, unit.instance()) {
            (State::Disconnected | State::Lost, Some(instance)) => {
                Finding::failed(format!("{said}, is offline in the middle of the job"), console(&instance.id))
            }
            (State::Ending | State::Stopped, Some(_)) => Finding::failed(
                format!("{said}, is gone in the middle of the job"),
                "GitHub fails the job when it misses the runner; start it again then",
            ),
            _ => Finding::ok(said.as_str()),
        },
    );
    walk.find(StepName::Assignment, Finding::ok(format!("given to {said}")));
}

/// Returns the command that shows what an instance's system had to say.
fn console(instance: &InstanceId) -> String {
    format!("`aws ec2 get-console-output --latest --output text --instance-id {instance}` shows how far it came")
}

fn is_idle(unit: &Unit<'_>) -> bool {
    unit.is_online() && !unit.works()
}

fn name(unit: &Unit<'_>) -> String {
    match (unit.runner(), unit.instance()) {
        (Some(runner), _) => runner.name.to_string(),
        (None, Some(instance)) => instance.id.to_string(),
        (None, None) => "?".to_owned(),
    }
}
