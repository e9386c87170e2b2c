//! Stories: scripts of one-line operations on a small world, each beside its exact output.
//!
//! A reviewer reads the diff of a story to see what the engine does differently. `GHASCALE_BLESS=1` writes the outputs
//! anew. The operations:
//!
//! ```text
//! pool NAME labels=A,B [max=N] [min_idle=N] [priority=N] [subnets=A,B] [markets=spot,on-demand]
//! job N labels=A,B            a pending job            job N on NAME|ID   a runner has it
//! job N waits                 for an approval          job N done         it is completed, and leaves the list
//! time 5m                     time passes
//! NAME online|offline|busy|idle                        what GitHub says of a runner
//! NAME record-gone            the record is deleted by somebody else
//! NAME instance STATE         running, shutting-down, terminated, stopped
//! NAME invisible|visible      EC2's lists lag
//! NAME protected              its instance, against termination
//! fail CALL WORD [after] [xN] the next calls fail; `after`: they take effect, and only the answer is lost
//! slow CALL 5m                the next call takes so long
//! plan [lost jobs|runners|instances]                   shows the plan; something could not be read whole
//! apply                       plans and carries it out
//! show                        shows instances and records
//! ```

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use ghascale::engine::build::{job, pool};
use ghascale::engine::{
    Connection, CountKind, InstanceState, JobState, Label, Market, Offering, Plan, Runner, RunnerId, Slot, Snapshot,
    WaitReason, check, plan,
};
use ghascale::report::{ActionResult, Look, PlanReport};
use ghascale::services::Clock;

use crate::world::{Fault, World};

macro_rules! stories {
    ($($name:ident)+) => {
        $(#[test]
        fn $name() {
            tell(stringify!($name));
        })+

        #[test]
        fn every_story_is_told() {
            let mut files: Vec<String> = std::fs::read_dir(folder())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .filter_map(|name| name.strip_suffix(".txt").map(str::to_owned))
                .collect();
            files.sort();
            let mut told = vec![$(stringify!($name).to_owned()),+];
            told.sort();
            assert_eq!(files, told);
        }
    };
}

stories! {
    a_job_comes_and_goes
    a_look_grows_old
    a_lost_answer_from_ec2
    a_lost_answer_from_github
    a_peer_takes_the_slot
    a_proxy_answers_for_ec2
    a_request_has_expired
    a_runner_disconnects_for_a_moment
    a_runner_expires
    a_runner_connects_as_it_is_given_up
    a_runner_is_lost
    a_send_is_never_late
    an_instance_is_not_listed_yet
    an_instance_never_boots
    an_orphan_record_is_reaped
    an_orphaned_instance_is_ended
    an_unanswered_end_is_asked_for_again
    an_unknown_instance_keeps_no_other
    ec2_is_down
    ec2_takes_no_ends
    ends_are_throttled
    ends_go_in_one_call
    busy_false_in_the_middle_of_a_job
    capacity_runs_out_zone_by_zone
    credentials_are_refused
    credentials_end_after_a_lost_answer
    jobs_beyond_max
    labels_compete
    many_launches_keep_ec2s_pace
    min_idle_keeps_a_spare
    nothing_is_ended_on_half_a_look
    one_protected_instance_keeps_no_other
    spot_has_more_places_than_are_tried
    spot_takes_an_instance_back
    stopped_by_hand
}

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stories")
}

/// Plays a story and holds its output against the file beside it.
fn tell(name: &str) {
    let script = std::fs::read_to_string(folder().join(format!("{name}.txt"))).unwrap();
    let beside = folder().join(format!("{name}.out"));
    let told = Story::default().play(&script);
    if std::env::var_os("GHASCALE_BLESS").is_some() {
        std::fs::write(&beside, &told).unwrap();
    }
    let expected = std::fs::read_to_string(&beside).unwrap_or_default();
    assert!(told == expected, "{name} has changed (GHASCALE_BLESS=1 writes it anew):\n{told}");
}

struct Story {
    world: World,
    out: String,
}

impl Default for Story {
    fn default() -> Self {
        Self { world: World::new(), out: String::new() }
    }
}

impl Story {
    fn play(mut self, script: &str) -> String {
        for line in script.lines() {
            if line.trim().is_empty() || line.starts_with('#') {
                writeln!(self.out, "{line}").unwrap();
                continue;
            }
            writeln!(self.out, "> {line}").unwrap();
            let words: Vec<&str> = line.split_whitespace().collect();
            self.operation(&words);
        }
        self.out
    }

    fn operation(&mut self, words: &[&str]) {
        match words {
            ["pool", name, settings @ ..] => self.pool(name, settings),
            ["job", id, rest @ ..] => self.job(id.parse().unwrap(), rest),
            ["time", time] => self.world.pass(humantime::parse_duration(time).unwrap()),
            ["fail", call, word, rest @ ..] => self.fail(call, word, rest),
            ["slow", call, time] => {
                let time = humantime::parse_duration(time).unwrap();
                self.world.delays.borrow_mut().entry((*call).to_owned()).or_default().push_back(time);
            }
            ["plan"] => self.plan(&self.world.observe()),
            ["plan", "lost", what] => {
                let mut seen = self.world.observe();
                match *what {
                    "jobs" => seen.demand.kind = CountKind::AtLeast,
                    "runners" => seen.runners.whole = false,
                    "instances" => seen.instances.whole = false,
                    other => panic!("nothing to lose in {other}"),
                }
                self.plan(&seen);
            }
            ["apply"] => self.apply(),
            ["show"] => self.show(),
            [name, "instance", state] => self.instance_state(name, state),
            [name, what] => self.runner(name, what),
            other => panic!("no such operation: {other:?}"),
        }
    }

    fn pool(&mut self, name: &str, settings: &[&str]) {
        let mut pool = pool(name);
        let (mut markets, mut subnets) = (vec![Market::OnDemand], vec!["subnet-a".to_owned()]);
        for setting in settings {
            let (key, value) = setting.split_once('=').unwrap();
            let words = || value.split(',').map(str::to_owned);
            match key {
                "labels" => pool.labels = words().map(Label::new).collect(),
                "max" => pool.max = value.parse().unwrap(),
                "min_idle" => pool.min_idle = value.parse().unwrap(),
                "priority" => pool.priority = value.parse().unwrap(),
                "subnets" => subnets = words().collect(),
                "markets" => {
                    let market = |word: String| if word == "spot" { Market::Spot } else { Market::OnDemand };
                    markets = words().map(market).collect();
                }
                other => panic!("no such setting: {other}"),
            }
        }
        let offering =
            |market, subnet: &String| Offering { market, instance_type: "m7a.large".into(), subnet: subnet.clone() };
        pool.offerings = markets.iter().flat_map(|m| subnets.iter().map(|s| offering(*m, s))).collect();
        self.world.policy.borrow_mut().pools.push(pool);
    }

    fn job(&mut self, id: u64, rest: &[&str]) {
        let now = self.world.now();
        let mut jobs = self.world.jobs.borrow_mut();
        match rest {
            ["done"] => jobs.retain(|job| job.id.0 != id),
            ["waits"] => {
                for job in jobs.iter_mut().filter(|job| job.id.0 == id) {
                    job.state = JobState::Waiting(WaitReason::Approval);
                }
            }
            ["on", runner] => {
                let (runner_id, runner_name) = match (runner.parse(), self.world.record(runner)) {
                    (Ok(id), _) => (RunnerId(id), None),
                    (Err(_), runner) => runner.map(|runner| (runner.id, Some(runner.name))).unwrap(),
                };
                for job in jobs.iter_mut().filter(|job| job.id.0 == id) {
                    job.state = JobState::InProgress;
                    (job.runner_id, job.runner_name) = (Some(runner_id), runner_name.clone());
                }
            }
            [labels] => {
                let labels = labels.strip_prefix("labels=").unwrap().replace(',', " ");
                let mut new = job(id).labels(&labels);
                new.queued_at = Some(now);
                jobs.push(new);
            }
            other => panic!("no such thing happens to a job: {other:?}"),
        }
    }

    fn fail(&mut self, call: &str, word: &str, rest: &[&str]) {
        let after = rest.contains(&"after");
        let times = rest.iter().find_map(|word| word.strip_prefix('x')).map_or(1, |times| times.parse().unwrap());
        let fault = Fault { word: word.to_owned(), after };
        let mut faults = self.world.faults.borrow_mut();
        faults.entry(call.to_owned()).or_default().extend(vec![fault; times]);
    }

    fn with_runner(&self, name: &str, change: impl FnOnce(&mut Runner)) {
        let mut runners = self.world.runners.borrow_mut();
        change(runners.iter_mut().find(|runner| runner.name.as_str() == name).unwrap());
    }

    fn runner(&mut self, name: &str, what: &str) {
        let of_record = |story: &Self| story.world.record(name).unwrap().id;
        match what {
            "online" => self.with_runner(name, |runner| runner.connection = Connection::Online),
            "offline" => self.with_runner(name, |runner| runner.connection = Connection::Offline),
            "busy" => self.with_runner(name, |runner| runner.busy = true),
            "idle" => self.with_runner(name, |runner| runner.busy = false),
            "record-gone" => self.world.runners.borrow_mut().retain(|runner| runner.name.as_str() != name),
            "invisible" => {
                let id = of_record(self);
                let instances = self.world.instances.borrow();
                let hidden =
                    instances.iter().filter(|(one, _)| one.runner_id == Some(id)).map(|(one, _)| one.id.clone());
                self.world.invisible.borrow_mut().extend(hidden);
            }
            "protected" => {
                let protected = self
                    .world
                    .instances
                    .borrow()
                    .iter()
                    .filter(|(one, _)| slot_of(name) == one.slot && one.is_live())
                    .map(|(one, _)| one.id.clone())
                    .collect::<Vec<_>>();
                self.world.protected.borrow_mut().extend(protected);
            }
            "visible" => self.world.invisible.borrow_mut().clear(),
            other => panic!("no such thing happens to a runner: {other}"),
        }
    }

    fn instance_state(&mut self, name: &str, word: &str) {
        let state = match word {
            "running" => InstanceState::Running,
            "shutting-down" => InstanceState::ShuttingDown,
            "terminated" => InstanceState::Terminated,
            "stopped" => InstanceState::Stopped,
            other => panic!("no such state: {other}"),
        };
        let mut instances = self.world.instances.borrow_mut();
        for (one, _) in instances.iter_mut().filter(|(one, _)| one.slot == slot_of(name) && one.is_live()) {
            one.state = state;
        }
    }

    fn decide(&mut self, seen: &Snapshot) -> Plan {
        let policy = self.world.policy.borrow().clone();
        let plan = plan(seen, &policy);
        assert_eq!(check(seen, &policy, &plan), Ok(()));
        plan
    }

    fn plan(&mut self, seen: &Snapshot) {
        let plan = self.decide(seen);
        let report = PlanReport::of(&plan, seen, "");
        writeln!(self.out, "{}\n{}", report.text(Look::default()), report.summary()).unwrap();
    }

    fn apply(&mut self) {
        let seen = self.world.observe();
        let plan = self.decide(&seen);
        self.world.calls.borrow_mut().clear();
        let before = self.world.now();
        for outcome in self.world.apply(&plan) {
            writeln!(self.out, "{}", ActionResult::from(&outcome).line(Look::default())).unwrap();
        }
        for call in self.world.calls.borrow().iter() {
            writeln!(self.out, "    call: {call}").unwrap();
        }
        let waited = ghascale::ages::age(self.world.now(), before);
        if waited >= Duration::from_secs(1) {
            writeln!(self.out, "    waited between calls").unwrap();
        }
    }

    fn show(&mut self) {
        let now = self.world.now();
        for (one, _) in self.world.instances.borrow().iter() {
            let record = one.runner_id.map_or_else(|| "-".to_owned(), |id| id.to_string());
            let age = one.launched_at.map(|at| ghascale::ages::short(ghascale::ages::age(now, at)));
            writeln!(
                self.out,
                "{} {:?}, launched {} ago for runner {record}",
                one.id,
                one.state,
                age.unwrap_or_default()
            )
            .unwrap();
        }
        for runner in self.world.runners.borrow().iter() {
            let busy = if runner.busy { ", busy" } else { "" };
            writeln!(self.out, "{} ({}) {:?}{busy}", runner.name, runner.id, runner.connection).unwrap();
        }
    }
}

/// Returns the slot that a runner's name ends with.
fn slot_of(name: &str) -> Option<Slot> {
    name.rsplit('-').next().unwrap().parse().ok().map(Slot)
}
