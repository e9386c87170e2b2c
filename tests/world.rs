//! A small world behind the same traits as GitHub and EC2: what the stories are played in.
//!
//! Nothing happens by itself: a story says what GitHub and EC2 do, and when. Calls are recorded, and can be made to fail
//! before or after they have taken effect.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use ghascale::apply::{Executor, Listener, Outcome, PoolSettings};
use ghascale::ec2;
use ghascale::engine::build::{fleet, noon, snapshot};
use ghascale::engine::{
    Connection, Demand, Instance, InstanceId, InstanceState, Job, Label, Mark, Marks, Plan, Policy, PoolName, Runner,
    RunnerId, RunnerName, Snapshot, Source, born,
};
use ghascale::github;
use ghascale::services::{
    Clock, Instances, Jobs, Launched, Memory, Note, Place, Registered, Registration, Removed, RunInstance,
    RunnerRecords, Unordered,
};
use jiff::Timestamp;

/// The world.
pub(crate) struct World {
    now: Cell<Timestamp>,
    next: Cell<u64>,
    /// The policy in force.
    pub(crate) policy: RefCell<Policy>,
    /// Jobs that are not completed.
    pub(crate) jobs: RefCell<Vec<Job>>,
    /// Records.
    pub(crate) runners: RefCell<Vec<Runner>>,
    /// Machines, with the client token that launched each.
    pub(crate) instances: RefCell<Vec<(Instance, String)>>,
    /// Instances that exist, but that lists don't show yet.
    pub(crate) invisible: RefCell<Vec<InstanceId>>,
    /// Instances that somebody has protected against termination.
    pub(crate) protected: RefCell<Vec<InstanceId>>,
    /// How the next calls fail, by the call's name.
    pub(crate) faults: RefCell<BTreeMap<String, VecDeque<Fault>>>,
    /// How long the next calls take, by the call's name.
    pub(crate) delays: RefCell<BTreeMap<String, VecDeque<Duration>>>,
    /// Every call, in words.
    pub(crate) calls: RefCell<Vec<String>>,
    /// What its host noted.
    pub(crate) notebook: Notebook,
}

/// How a call fails.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    /// EC2's error code, or a status of GitHub's.
    pub(crate) word: String,
    /// The effect happens all the same: only the answer is lost.
    pub(crate) after: bool,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            now: Cell::new(noon()),
            next: Cell::new(0),
            policy: RefCell::new(Policy { fleet: fleet(), pools: Vec::new(), max_total: None, max_usd_per_hour: None }),
            jobs: RefCell::default(),
            runners: RefCell::default(),
            instances: RefCell::default(),
            invisible: RefCell::default(),
            protected: RefCell::default(),
            faults: RefCell::default(),
            delays: RefCell::default(),
            calls: RefCell::default(),
            notebook: Notebook::default(),
        }
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, time: Duration) {
        self.now.set(self.now.get() + time);
    }

    /// Observes the whole world.
    pub(crate) fn observe(&self) -> Snapshot {
        let mut seen = snapshot();
        seen.now = self.now.get();
        let invisible = self.invisible.borrow();
        let visible = |one: &&(Instance, String)| !invisible.contains(&one.0.id);
        seen.instances.items = self.instances.borrow().iter().filter(visible).map(|(one, _)| one.clone()).collect();
        seen.runners.items.clone_from(&self.runners.borrow());
        seen.demand.jobs.clone_from(&self.jobs.borrow());
        seen
    }

    /// Carries a plan out with the real executor.
    pub(crate) fn apply(&self, plan: &Plan) -> Vec<Outcome> {
        let policy = self.policy.borrow();
        let settings =
            |labels: &[Label]| PoolSettings { place: Place::Group { name: "Default".into(), labels: labels.to_vec() } };
        let pools: BTreeMap<PoolName, PoolSettings> =
            policy.pools.iter().map(|pool| (pool.name.clone(), settings(&pool.labels))).collect();
        let nonce = || self.fresh();
        let executor = Executor {
            runners: self,
            instances: self,
            clock: self,
            memory: &self.notebook,
            jobs: self,
            pools: &pools,
            nonce: &nonce,
            listener: &NoListener,
            paces: &RefCell::default(),
            is_stopping: &|| false,
        };
        futures::executor::block_on(executor.carry_out(plan))
    }

    /// Returns the record of a name.
    pub(crate) fn record(&self, name: &str) -> Option<Runner> {
        self.runners.borrow().iter().find(|runner| runner.name.as_str() == name).cloned()
    }

    fn fresh(&self) -> u64 {
        self.next.set(self.next.get() + 1);
        self.next.get()
    }

    fn call(&self, name: &str, words: &str) -> Option<Fault> {
        self.calls.borrow_mut().push(format!("{name} {words}"));
        if let Some(delay) = self.delays.borrow_mut().get_mut(name).and_then(VecDeque::pop_front) {
            self.pass(delay);
        }
        self.faults.borrow_mut().get_mut(name).and_then(VecDeque::pop_front)
    }
}

/// What a host notes of registrations, in the order in which it does.
#[derive(Clone, Default)]
pub(crate) struct Notebook(pub(crate) Rc<RefCell<Vec<&'static str>>>);

impl Memory for Notebook {
    fn note(&self, _: Unordered) -> Box<dyn Note> {
        let mut note = Noted { book: self.clone(), stands: false };
        note.set();
        Box::new(note)
    }
}

struct Noted {
    book: Notebook,
    stands: bool,
}

impl Note for Noted {
    fn set(&mut self) {
        if !std::mem::replace(&mut self.stands, true) {
            self.book.0.borrow_mut().push("set");
        }
    }

    fn lift(&mut self) -> std::io::Result<()> {
        if std::mem::replace(&mut self.stands, false) {
            self.book.0.borrow_mut().push("lifted");
        }
        Ok(())
    }
}

struct NoListener;

impl Listener for NoListener {
    fn ended(&self, _: &Outcome) {}
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        self.now.get()
    }

    async fn sleep(&self, time: Duration) {
        self.pass(time);
    }
}

fn github_error(fault: &Fault) -> github::Error {
    use github::ErrorKind::{Forbidden, NotFound, Server, Transport, Unauthorized, Unprocessable};
    let (kind, status) = match fault.word.as_str() {
        "401" => (Unauthorized, Some(401)),
        "403" => (Forbidden, Some(403)),
        "404" => (NotFound, Some(404)),
        "422" => (Unprocessable, Some(422)),
        "reset" => (Transport, None),
        _ => (Server { after: None }, Some(502)),
    };
    github::Error {
        kind,
        request: "POST https://github.test/x".into(),
        status,
        message: "injected".into(),
        request_id: None,
    }
}

fn ec2_error(action: &'static str, fault: &Fault) -> ec2::Error {
    let status = fault.word.strip_prefix("Http").and_then(|status| status.parse().ok());
    let class = ec2::ErrorClass::of(&fault.word, "", status);
    ec2::Error { class, action, code: fault.word.clone(), message: "injected".into(), request_id: None }
}

impl Jobs for World {
    fn read(&self) -> LocalBoxFuture<'_, Result<Demand, github::Error>> {
        let answer = match self.call("jobs", "") {
            Some(fault) => Err(github_error(&fault)),
            None => Ok(self.observe().demand),
        };
        std::future::ready(answer).boxed_local()
    }
}

impl RunnerRecords for World {
    async fn register(&self, registration: &Registration) -> Result<Registered, github::Error> {
        let fault = self.call("register", registration.name.as_str());
        if let Some(fault) = fault.as_ref().filter(|fault| !fault.after) {
            return Err(github_error(fault));
        }
        if self.record(registration.name.as_str()).is_some() {
            return Ok(Registered::NameTaken);
        }
        let runner_id = RunnerId(1000 + self.fresh());
        let labels = match &registration.place {
            Place::Group { labels, .. } => labels.clone(),
            // A scale set's runner has the set's labels, and none that tells its age.
            Place::ScaleSet(_) => Vec::new(),
        };
        self.runners.borrow_mut().push(Runner {
            id: runner_id,
            name: registration.name.clone(),
            connection: Connection::Offline,
            busy: false,
            labels: labels.clone(),
            born: born(&labels),
        });
        match fault {
            Some(fault) => Err(github_error(&fault)),
            None => Ok(Registered::New { runner_id, jit_config: "jit".to_owned().into() }),
        }
    }

    async fn runner(&self, id: RunnerId) -> Result<Option<Runner>, github::Error> {
        if let Some(fault) = self.call("runner", &id.to_string()) {
            return Err(github_error(&fault));
        }
        Ok(self.runners.borrow().iter().find(|runner| runner.id == id).cloned())
    }

    async fn runner_named(&self, name: &RunnerName) -> Result<Option<Runner>, github::Error> {
        if let Some(fault) = self.call("runner_named", name.as_str()) {
            return Err(github_error(&fault));
        }
        Ok(self.record(name.as_str()))
    }

    async fn remove(&self, id: RunnerId) -> Result<Removed, github::Error> {
        let fault = self.call("remove", &id.to_string());
        if let Some(fault) = fault.as_ref().filter(|fault| !fault.after) {
            return Err(github_error(fault));
        }
        let mut runners = self.runners.borrow_mut();
        let answer = match runners.iter().position(|runner| runner.id == id) {
            None => Removed::Absent { request_id: None },
            Some(at) if runners[at].busy => Removed::Busy { request_id: None },
            Some(at) => {
                runners.remove(at);
                Removed::Gone { request_id: None }
            }
        };
        fault.map_or(Ok(answer), |fault| Err(github_error(&fault)))
    }

    async fn undo(&self, id: RunnerId, _: Source) -> Result<Removed, github::Error> {
        self.remove(id).await
    }
}

impl Instances for World {
    async fn prepare(&self, _: &RunInstance) -> Result<(), ec2::Error> {
        Ok(())
    }

    fn client_token(&self, request: &RunInstance) -> Result<String, ec2::Error> {
        Ok(format!("{} {}", request.runner_id, request.offering))
    }

    async fn run(&self, request: &RunInstance) -> Result<Launched, ec2::Error> {
        let fault = self.call("run", &format!("{} {}", request.name, request.offering));
        if let Some(fault) = fault.as_ref().filter(|fault| !fault.after) {
            return Err(ec2_error("RunInstances", fault));
        }
        let token = self.client_token(request)?;
        let launched = self.instances.borrow().iter().find(|(_, by)| *by == token).map(|(one, _)| one.id.clone());
        let instance_id = launched.unwrap_or_else(|| {
            let id = InstanceId::new(format!("i-{:04}", self.fresh()));
            let instance = Instance {
                id: id.clone(),
                fleet: fleet(),
                pool: Some(request.pool.clone()),
                slot: Some(request.slot),
                runner_id: Some(request.runner_id),
                state: InstanceState::Pending,
                launched_at: Some(self.now.get()),
                market: request.offering.market,
                instance_type: request.offering.instance_type.clone(),
                subnet: Some(request.offering.subnet.clone()),
                state_reason: None,
                marks: Marks::default(),
            };
            self.instances.borrow_mut().push((instance, token));
            id
        });
        match fault {
            Some(fault) => Err(ec2_error("RunInstances", &fault)),
            None => Ok(Launched { instance_id, request_id: None }),
        }
    }

    async fn launched_for(&self, id: RunnerId) -> Result<Option<InstanceId>, ec2::Error> {
        self.call("launched_for", &id.to_string());
        let instances = self.instances.borrow();
        Ok(instances.iter().find(|(one, _)| one.runner_id == Some(id) && one.is_live()).map(|(one, _)| one.id.clone()))
    }

    async fn launched_with(&self, token: &str) -> Result<Option<InstanceId>, ec2::Error> {
        self.call("launched_with", token);
        let (invisible, instances) = (self.invisible.borrow(), self.instances.borrow());
        let shown = instances.iter().find(|(one, by)| by == token && !invisible.contains(&one.id));
        Ok(shown.map(|(one, _)| one.id.clone()))
    }

    async fn terminate(&self, ids: &[InstanceId]) -> Result<Option<String>, ec2::Error> {
        let words: Vec<&str> = ids.iter().map(InstanceId::as_str).collect();
        let fault = self.call("terminate", &words.join(" "));
        if let Some(fault) = fault.as_ref().filter(|fault| !fault.after) {
            return Err(ec2_error("TerminateInstances", fault));
        }
        let protected = self.protected.borrow();
        let mut instances = self.instances.borrow_mut();
        let asked = instances.iter().filter(|(one, _)| ids.contains(&one.id));
        let held: Vec<_> =
            asked.filter(|(one, _)| protected.contains(&one.id)).map(|(one, _)| one.subnet.clone()).collect();
        // One that is protected keeps those of its zone, and no others.
        for (instance, _) in
            instances.iter_mut().filter(|(one, _)| ids.contains(&one.id) && !held.contains(&one.subnet))
        {
            instance.state = InstanceState::ShuttingDown;
        }
        let refused = (!held.is_empty()).then(|| Fault { word: "OperationNotPermitted".to_owned(), after: false });
        match refused.or(fault) {
            Some(fault) => Err(ec2_error("TerminateInstances", &fault)),
            None => Ok(Some(format!("req-{}", self.calls.borrow().len()))),
        }
    }

    async fn mark(&self, id: &InstanceId, mark: Mark, at: Option<Timestamp>) -> Result<Option<String>, ec2::Error> {
        if let Some(fault) = self.call("mark", &format!("{id} {}", mark.tag())) {
            return Err(ec2_error("CreateTags", &fault));
        }
        for (instance, _) in self.instances.borrow_mut().iter_mut().filter(|(one, _)| one.id == *id) {
            instance.marks.set(mark, at);
        }
        Ok(None)
    }
}
