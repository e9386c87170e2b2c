//! GitHub and EC2 as the executor calls them: the same traits as production, another world behind them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use ghascale::config::{Image, Launch, UserData};
use ghascale::engine::build::fleet;
use ghascale::engine::{
    Demand, InstanceId, JobId, LatestAttempt, Listing, Mark, Price, RepositoryName, RunId, Runner, RunnerId,
    RunnerName, Source, SpotJobs,
};
use ghascale::services::{
    Instances, Jobs, Launched, Memory, Note, Place, Registered, Registration, Removed, RunInstance, RunnerRecords,
    Runs, SpotMemory, SpotPrices, SpotWish, Unordered,
};
use ghascale::{ec2, github};
use jiff::Timestamp;
use secrecy::ExposeSecret as _;

use super::guards::Guard;
use super::history::{Call, Failure, SPOT};
use super::operator::{Hand, shown_runner};
use super::world::{By, World};

/// What EC2 refuses before it looks whether the token is known.
const BEFORE_THE_TOKEN: [&str; 4] =
    ["RequestLimitExceeded", "InternalError", "RequestTimeout", "UnauthorizedOperation"];

fn github_error(failure: Failure) -> github::Error {
    use github::ErrorKind::{Forbidden, NotFound, RateLimited, Server, Transport, Unauthorized, Unprocessable};
    let kind = match failure {
        Failure::Refused("401") => Unauthorized,
        Failure::Refused("403") => Forbidden,
        Failure::Refused("404") => NotFound,
        Failure::Refused("422") => Unprocessable,
        Failure::Refused("429") => RateLimited { until: None },
        Failure::Refused("502") => Server { after: None },
        _ => Transport,
    };
    github::Error { kind, request: "GitHub".into(), status: None, message: format!("{failure:?}"), request_id: None }
}

fn ec2_error(action: &'static str, failure: Failure) -> ec2::Error {
    let code = if let Failure::Refused(code) = failure { code } else { "Timeout" };
    let class = ec2::ErrorClass::of(code, "", None);
    ec2::Error { class, action, code: code.to_owned(), message: "injected".into(), request_id: None }
}

/// Returns what all pools launch with, their offerings aside.
fn launch_settings() -> Launch {
    Launch {
        image: Image::Ami("ami-1".to_owned()),
        security_groups: Vec::new(),
        tags: BTreeMap::new(),
        user_data: UserData::BuiltIn,
        idle_timeout: Duration::ZERO,
        max_lifetime: Duration::ZERO,
    }
}

impl Jobs for Hand {
    fn read(&self) -> LocalBoxFuture<'_, Result<Demand, github::Error>> {
        async {
            if self.lacks(Guard::JobsAgain) {
                return Ok(Demand::none());
            }
            self.demand().await.ok_or_else(|| github_error(Failure::Refused("502")))
        }
        .boxed_local()
    }
}

impl RunnerRecords for Hand {
    async fn register(&self, registration: &Registration) -> Result<Registered, github::Error> {
        let effect = |world: &mut World| {
            let mut name = registration.name.clone();
            if world.records.iter().any(|record| record.name == name) {
                if !self.lacks(Guard::SlotName) {
                    return Registered::NameTaken;
                }
                name = RunnerName::new(format!("{name}-again-{}", world.now));
            }
            let runner_id = match &registration.place {
                Place::Group { labels, .. } => world.enroll(&name, labels, None),
                // A set's runners have the set's labels, and none that tells their age.
                Place::ScaleSet(set) => {
                    let pool = usize::try_from(set.0).unwrap();
                    let labels = ghascale::engine::build::labels(world.pools[pool].labels);
                    world.enroll(&name, &labels, Some(pool))
                }
            };
            Registered::New { runner_id, jit_config: format!("jit {runner_id}").into() }
        };
        self.call(Call::Register, || registration.name.to_string(), effect).await.map_err(github_error)
    }

    async fn runner(&self, id: RunnerId) -> Result<Option<Runner>, github::Error> {
        self.world.borrow_mut().halt_over_removal(self.nth, id);
        let effect = |world: &mut World| {
            world.looked.insert((self.nth, id), world.now);
            let record = world.records.iter().find(|record| record.id == id)?;
            let mut shown = shown_runner(world, record);
            Guard::distort_runner(self.broken, &mut shown);
            Some(shown)
        };
        let answer = self.call(Call::Runner, || id.to_string(), effect).await.map_err(github_error);
        if self.lacks(Guard::RecordGone) { answer.map(|_| None) } else { answer }
    }

    async fn runner_named(&self, name: &RunnerName) -> Result<Option<Runner>, github::Error> {
        let effect = |world: &mut World| {
            let record = world.records.iter().find(|record| record.name == *name)?;
            Some(shown_runner(world, record))
        };
        self.call(Call::RunnerNamed, || name.to_string(), effect).await.map_err(github_error)
    }

    async fn remove(&self, id: RunnerId) -> Result<Removed, github::Error> {
        let effect = |world: &mut World| {
            let Some(record) = world.records.iter().find(|record| record.id == id) else {
                return Removed::Absent { request_id: None };
            };
            // What GitHub shows of it is what it decides by: a busy runner that is called idle is deleted.
            if shown_runner(world, record).busy && !self.lacks(Guard::GitHubsRefusal) {
                return Removed::Busy { request_id: None };
            }
            world.deleted_by_us(id, self.nth);
            Removed::Gone { request_id: None }
        };
        self.call(Call::Remove, || id.to_string(), effect).await.map_err(github_error)
    }

    async fn undo(&self, id: RunnerId, _: Source) -> Result<Removed, github::Error> {
        self.remove(id).await
    }
}

impl Memory for Hand {
    fn note(&self, registration: Unordered) -> Box<dyn Note> {
        let mut note = HostNote {
            world: Rc::clone(&self.world),
            nth: self.nth,
            registration,
            standing: None,
            is_stuck: self.lacks(Guard::NoteLifted),
        };
        note.set();
        Box::new(note)
    }
}

/// A note on an operator's host. It outlives its process, and is heeded from then on.
struct HostNote {
    world: Rc<RefCell<World>>,
    nth: usize,
    registration: Unordered,
    standing: Option<u64>,
    /// It is never taken away.
    is_stuck: bool,
}

impl Note for HostNote {
    fn set(&mut self) {
        if self.standing.is_none() {
            self.standing = Some(self.world.borrow_mut().note(self.nth, self.registration.clone()));
        }
    }

    fn lift(&mut self) -> io::Result<()> {
        if let Some(id) = self.standing.take_if(|_| !self.is_stuck) {
            self.world.borrow_mut().notes.remove(&id);
        }
        Ok(())
    }
}

impl Drop for HostNote {
    fn drop(&mut self) {
        if let Some(id) = self.standing {
            self.world.borrow_mut().notes.entry(id).and_modify(|note| note.is_held = false);
        }
    }
}

impl Instances for Hand {
    async fn prepare(&self, _: &RunInstance) -> Result<(), ec2::Error> {
        Ok(())
    }

    fn client_token(&self, request: &RunInstance) -> Result<String, ec2::Error> {
        Ok(if self.lacks(Guard::TokenOfRequest) {
            format!("{} {}", request.name, request.runner_id)
        } else {
            ec2::client_token(&fleet(), request, &launch_settings(), &request.jit_config)
        })
    }

    async fn run(&self, request: &RunInstance) -> Result<Launched, ec2::Error> {
        let token = self.client_token(request)?;
        let known = token.clone();
        let effect = |world: &mut World| {
            let token = if self.lacks(Guard::Token) { format!("{token} {}", world.now) } else { token };
            let whole = format!(
                "{} {} {} {} {} {}",
                request.pool,
                request.slot,
                request.name,
                request.runner_id,
                request.offering,
                request.jit_config.expose_secret()
            );
            let first = world.tokens.entry(token.clone()).or_insert_with(|| whole.clone()).clone();
            if first != whole {
                world.violated(format!("the client token of `{first}` was sent with `{whole}`"));
                return Err("IdempotentParameterMismatch");
            }
            if let Some(machine) = world.machines.iter().find(|machine| machine.token == token) {
                let is_gone = machine.ended.is_some();
                return if is_gone { Err("IdempotentInstanceTerminated") } else { Ok(machine.id.clone()) };
            }
            if !world.has_capacity(&request.offering) {
                return Err("InsufficientInstanceCapacity");
            }
            Ok(world.launch(&request.pool, request.slot, request.runner_id, &request.offering, &token))
        };
        let what = || format!("{} {}", request.name, request.offering);
        // EC2 answers the repetition of a launch with that launch, before it looks for capacity or at the request.
        let never = |world: &World, failure: Failure| {
            let is_launched = world.machines.iter().any(|machine| machine.token == known);
            is_launched && matches!(failure, Failure::Refused(code) if !BEFORE_THE_TOKEN.contains(&code))
        };
        let answer = self.call_unless(Call::Run, what, never, effect).await;
        let answer = answer.and_then(|answer| answer.map_err(Failure::Refused));
        answer
            .map(|instance_id| Launched { instance_id, request_id: None })
            .map_err(|failure| ec2_error("RunInstances", failure))
    }

    async fn launched_for(&self, id: RunnerId) -> Result<Option<InstanceId>, ec2::Error> {
        let effect = |world: &mut World| {
            let listed = world.machines.iter().filter(|machine| machine.listed_from <= world.now && machine.is_live());
            listed.filter(|machine| machine.runner_id == id).map(|machine| machine.id.clone()).next()
        };
        let answer = self.call(Call::LaunchedFor, || id.to_string(), effect).await;
        answer.map_err(|failure| ec2_error("DescribeInstances", failure))
    }

    async fn launched_with(&self, token: &str) -> Result<Option<InstanceId>, ec2::Error> {
        let effect = |world: &mut World| {
            let listed = world.machines.iter().filter(|machine| machine.listed_from <= world.now);
            listed.filter(|machine| machine.token == token).map(|machine| machine.id.clone()).next()
        };
        let answer = self.call(Call::LaunchedWith, || token.to_owned(), effect).await;
        answer.map_err(|failure| ec2_error("DescribeInstances", failure))
    }

    async fn terminate(&self, ids: &[InstanceId]) -> Result<Option<String>, ec2::Error> {
        let effect = |world: &mut World| {
            *world.batches.entry(ids.len()).or_default() += 1;
            let nth_of = |id: &InstanceId| {
                world.machines.iter().position(|machine| machine.id == *id && machine.listed_from <= world.now)
            };
            // One that isn't known keeps all.
            let asked: Option<Vec<usize>> = ids.iter().map(nth_of).collect();
            let asked = asked.ok_or("InvalidInstanceID.NotFound")?;
            // One that is protected keeps those of its zone, and no others.
            let zone = |nth: usize| world.machines[nth].offering.subnet.clone();
            let held: Vec<String> = asked.iter().copied().filter(|nth| world.is_protected(*nth)).map(zone).collect();
            for nth in asked {
                if !held.contains(&world.machines[nth].offering.subnet) {
                    world.end(nth, By::Us);
                }
            }
            if held.is_empty() { Ok(None) } else { Err("OperationNotPermitted") }
        };
        let what = || ids.iter().map(InstanceId::as_str).collect::<Vec<_>>().join(" ");
        let answer = self.call(Call::Terminate, what, effect).await;
        answer
            .and_then(|answer| answer.map_err(Failure::Refused))
            .map_err(|failure| ec2_error("TerminateInstances", failure))
    }

    async fn mark(&self, id: &InstanceId, mark: Mark, at: Option<Timestamp>) -> Result<Option<String>, ec2::Error> {
        let effect = |world: &mut World| {
            let nth =
                world.machines.iter().position(|machine| machine.id == *id).ok_or("InvalidInstanceID.NotFound")?;
            if world.machines[nth].pool.is_none() {
                world.violated(format!("{id} was marked, and it is not ours"));
            }
            // A tag's value is whole seconds.
            let at = at.and_then(|at| Timestamp::from_second(at.as_second()).ok());
            world.machines[nth].marks.set(mark, at);
            Ok(None)
        };
        let what = || format!("{id} {mark:?} {}", if at.is_some() { "set" } else { "cleared" });
        let answer = self.call(Call::Mark, what, effect).await;
        answer.and_then(|answer| answer.map_err(Failure::Refused)).map_err(|failure| ec2_error("CreateTags", failure))
    }
}

impl SpotPrices for Hand {
    async fn spot_prices(&self, wish: &SpotWish) -> Result<BTreeMap<(String, String), Price>, ec2::Error> {
        let of_type = |instance_type: &String| {
            let place = |subnet: &String| ((instance_type.clone(), subnet.clone()), Price::micros(SPOT));
            wish.subnets.iter().map(place).collect::<Vec<_>>()
        };
        let prices = |_: &mut World| wish.types.iter().flat_map(of_type).collect();
        let answer = self.call(Call::SpotPrices, String::new, prices).await;
        answer.map_err(|failure| ec2_error("DescribeSpotPriceHistory", failure))
    }
}

impl Runs for Hand {
    async fn latest_attempt(
        &self,
        _repository: &RepositoryName,
        id: RunId,
    ) -> Result<Option<LatestAttempt>, github::Error> {
        if self.lacks(Guard::LookAtRun) && self.is_rerunning.get() {
            let known = self.looks.borrow_mut().remove(&id);
            if known.is_some() {
                return Ok(known);
            }
        }
        let effect = |world: &mut World| {
            let process = &mut world.processes[self.nth];
            process.dies_in = process.dies_over_run.take().or(process.dies_in);
            process.stands_still = process.halts_over_run.take().or(process.stands_still);
            let nth = world.run_with(id)?;
            let mut shown = world.latest_attempt(nth);
            world.runs[nth].looked.insert(self.nth, (self.at_step(), shown.attempt));
            Guard::distort_run(self.broken, &mut shown);
            if shown.attempt > 1 || shown.status != "completed" {
                shown.jobs = Listing::partial(Vec::new());
            }
            Some(shown)
        };
        let answer = match self.call(Call::ReadRun, || id.to_string(), effect).await {
            Ok(shown) => Ok(shown),
            Err(Failure::Part) => {
                let world = self.world.borrow();
                let mut shown = world.run_with(id).map(|nth| world.latest_attempt(nth));
                if let Some(shown) = &mut shown {
                    let half = shown.jobs.items.len() / 2;
                    shown.jobs = Listing::partial(shown.jobs.items.drain(..half).collect());
                }
                Ok(shown)
            }
            Err(Failure::Refused("404")) => {
                self.refused_for_good(id);
                Ok(None)
            }
            Err(failure) => Err(github_error(failure)),
        };
        if let Ok(Some(shown)) = &answer {
            self.looks.borrow_mut().insert(id, shown.clone());
        }
        answer
    }

    async fn rerun_job(&self, _repository: &RepositoryName, job: JobId) -> Result<Option<String>, github::Error> {
        let (run, nth) = {
            let world = self.world.borrow();
            let nth = world.jobs.iter().position(|one| one.id == job.0).expect("jobs that were shown are there");
            (world.runs[world.jobs[nth].run].id, nth)
        };
        self.rerun_once(Call::RerunJob, run, Some(nth)).await
    }

    async fn rerun_failed_jobs(
        &self,
        _repository: &RepositoryName,
        run: RunId,
    ) -> Result<Option<String>, github::Error> {
        self.rerun_once(Call::RerunFailed, run, None).await
    }
}

impl Hand {
    async fn rerun_once(&self, call: Call, run: RunId, only: Option<usize>) -> Result<Option<String>, github::Error> {
        let effect = |world: &mut World| {
            let nth = world.run_with(run).expect("runs that were shown are there");
            world.rerun_by_us(self.nth, self.at_step(), nth, only)
        };
        match self.call(call, || run.to_string(), effect).await {
            Ok(Ok(())) => Ok(None),
            Ok(Err(message)) => Err(github::Error { message: message.into(), ..github_error(Failure::Refused("403")) }),
            Err(failure) => {
                if matches!(failure, Failure::Refused("403" | "404")) {
                    self.refused_for_good(run);
                }
                Err(github_error(failure))
            }
        }
    }

    /// Whoever hears that leaves the run to a person.
    fn refused_for_good(&self, run: RunId) {
        let mut world = self.world.borrow_mut();
        if let Some(nth) = world.run_with(run) {
            world.runs[nth].is_refused = true;
        }
    }
}

impl SpotMemory for Hand {
    fn spot_jobs(&self, _fleet: &str, _scope: &str) -> SpotJobs {
        let mut known = self.world.borrow_mut().memory(self.nth).clone();
        Guard::distort_memory(self.broken, &mut known);
        known
    }

    fn remember_spot_jobs(&self, _fleet: &str, _scope: &str, jobs: &SpotJobs) -> io::Result<()> {
        self.world.borrow_mut().memory(self.nth).clone_from(jobs);
        Ok(())
    }
}
