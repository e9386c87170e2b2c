//! What goes over the wire: every request is noted down, and a fault may come in between.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use tokio::sync::oneshot;

/// How many requests are remembered.
const REMEMBERED: usize = 20_000;

/// Which of the services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// GitHub's REST API.
    Github,
    /// EC2.
    Ec2,
    /// GitHub's Actions Service, its message queue included.
    Actions,
}

/// One request that came in, without its secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Call {
    /// Whom it was for.
    pub service: Service,
    /// The HTTP method.
    pub method: String,
    /// GitHub: the path and query after `/api/v3`. Actions: those after the service's URL or the queue's host
    /// (`/_apis/…`, `/scalesets/message?…`). EC2: the action.
    pub target: String,
    /// GitHub: the fields of the JSON body. Actions: those, a body that is no object as `body`, and
    /// `X-ScaleSetMaxCapacity`. EC2: the parameters, without the user data.
    pub parameters: BTreeMap<String, String>,
    /// The status that was answered; `None` where the connection was cut, or has no answer yet.
    pub status: Option<u16>,
}

/// A moment of a request: when its connection is cut, or it is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Moment {
    /// Before anything is done.
    Before,
    /// After it is done, before the answer: the effect is there, and nobody was told.
    After,
}

/// A request to come that is held at a moment, so that whoever made it can be stopped right there. It goes on when this is
/// dropped; one that is given up before anything is done never has any effect.
#[derive(Debug)]
pub struct Hold {
    reached: oneshot::Receiver<Call>,
    release: oneshot::Sender<()>,
}

impl Hold {
    /// Waits until the request has come as far; returns it, or `None` where it never will.
    pub async fn reached(&mut self) -> Option<Call> {
        (&mut self.reached).await.ok()
    }

    /// Waits until the request is given up: its connection is closed.
    pub async fn given_up(&mut self) {
        self.release.closed().await;
    }
}

/// What holds a request.
#[derive(Debug)]
pub(super) struct Holder {
    /// What its request contains, as a fault's does.
    matching: String,
    /// How many such requests pass before it.
    skip: usize,
    pub(super) moment: Moment,
    reached: oneshot::Sender<Call>,
    released: oneshot::Receiver<()>,
}

impl Holder {
    /// Says that the request is there, and waits until it may go on.
    pub(super) async fn hold(self, call: Call) {
        if self.reached.send(call).is_ok() {
            // Nothing is ever sent: it is released by what would send.
            drop(self.released.await);
        }
    }
}

/// A fault to inject. Without a `status`, `code`, `body` or `redirect` the request is served, and only what else the
/// fault says is done to the answer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Whose.
    pub service: Service,
    /// A part of `METHOD /path?query` (GitHub, Actions: as [`Call::target`] shows it) or of the action (EC2); empty:
    /// any request.
    #[serde(rename = "match", default)]
    pub matching: String,
    /// How many requests it meets.
    #[serde(default = "one")]
    pub times: u32,
    /// How many matching requests pass before the first it meets.
    #[serde(default)]
    pub skip: u32,
    /// The HTTP status to answer.
    pub status: Option<u16>,
    /// EC2's error code to answer, or the name of the Actions Service's exception. `RunInstances` binds its client
    /// token all the same, as a real refusal does.
    pub code: Option<String>,
    /// The message to answer with the status or code.
    pub message: Option<String>,
    /// The body to answer, as it is; in JSON either text or a value.
    #[serde(default, deserialize_with = "text_or_json")]
    pub body: Option<String>,
    /// Headers to add to the answer, or to replace.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Cuts the connection.
    pub drop: Option<Moment>,
    /// Answers only the first bytes of the body.
    pub truncate: Option<usize>,
    /// Answers a redirect (301, or `status`) to this address.
    pub redirect: Option<String>,
}

fn one() -> u32 {
    1
}

fn text_or_json<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<Value>::deserialize(deserializer)?.map(|value| match value {
        Value::String(text) => text,
        value => value.to_string(),
    }))
}

impl Fault {
    fn new(service: Service, matching: &str) -> Self {
        Self {
            service,
            matching: matching.to_owned(),
            times: 1,
            skip: 0,
            status: None,
            code: None,
            message: None,
            body: None,
            headers: BTreeMap::new(),
            drop: None,
            truncate: None,
            redirect: None,
        }
    }

    /// Returns a fault of GitHub's at requests whose `METHOD /path?query` contains `matching`, once.
    #[must_use]
    pub fn github(matching: &str) -> Self {
        Self::new(Service::Github, matching)
    }

    /// Returns a fault of EC2's at an action, once.
    #[must_use]
    pub fn ec2(action: &str) -> Self {
        Self::new(Service::Ec2, action)
    }

    /// Returns a fault of the Actions Service's, or its queue's, at requests whose `METHOD /path?query` contains
    /// `matching`, once.
    #[must_use]
    pub fn actions(matching: &str) -> Self {
        Self::new(Service::Actions, matching)
    }

    /// Meets so many requests.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    /// Lets so many matching requests pass first.
    #[must_use]
    pub fn skip(mut self, requests: u32) -> Self {
        self.skip = requests;
        self
    }

    /// Answers with a status.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// Answers with one of EC2's error codes, or the name of one of the Actions Service's exceptions.
    #[must_use]
    pub fn code(mut self, code: &str) -> Self {
        self.code = Some(code.to_owned());
        self
    }

    /// Answers with this message.
    #[must_use]
    pub fn message(mut self, message: &str) -> Self {
        self.message = Some(message.to_owned());
        self
    }

    /// Answers with this body.
    #[must_use]
    pub fn body(mut self, body: &str) -> Self {
        self.body = Some(body.to_owned());
        self
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Cuts the connection before anything is done.
    #[must_use]
    pub fn dropped_before(mut self) -> Self {
        self.drop = Some(Moment::Before);
        self
    }

    /// Does what was asked and cuts the connection.
    #[must_use]
    pub fn dropped_after(mut self) -> Self {
        self.drop = Some(Moment::After);
        self
    }

    /// Answers only so many bytes of the body.
    #[must_use]
    pub fn truncated(mut self, bytes: usize) -> Self {
        self.truncate = Some(bytes);
        self
    }

    /// Answers with a redirect.
    #[must_use]
    pub fn redirected(mut self, to: &str) -> Self {
        self.redirect = Some(to.to_owned());
        self
    }

    /// Returns whether it answers in the service's place.
    pub(super) fn replaces_answer(&self) -> bool {
        self.status.is_some() || self.code.is_some() || self.body.is_some() || self.redirect.is_some()
    }
}

/// The calls so far and the faults to come.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    calls: VecDeque<Call>,
    /// How many calls were forgotten.
    forgotten: usize,
    faults: Vec<Fault>,
    holders: Vec<Holder>,
}

/// What becomes of a request on its way.
pub(super) struct Noted {
    /// Its number.
    pub(super) number: usize,
    /// The fault that it meets.
    pub(super) fault: Option<Fault>,
    /// What holds it.
    pub(super) holder: Option<Holder>,
}

impl Traffic {
    /// Notes a request.
    pub(super) fn note(&mut self, call: Call) -> Noted {
        let subject = match call.service {
            Service::Github | Service::Actions => format!("{} {}", call.method, call.target),
            Service::Ec2 => call.target.clone(),
        };
        let fault = self.meet(call.service, &subject);
        let holder = self.holder(&subject);
        if self.calls.len() == REMEMBERED {
            self.calls.pop_front();
            self.forgotten += 1;
        }
        self.calls.push_back(call);
        Noted { number: self.forgotten + self.calls.len() - 1, fault, holder }
    }

    fn holder(&mut self, subject: &str) -> Option<Holder> {
        let is_met = |holder: &&mut Holder| subject.contains(&holder.matching);
        let at = self.holders.iter().position(|holder| holder.skip == 0 && subject.contains(&holder.matching));
        let met = at.map(|at| self.holders.remove(at));
        for holder in self.holders.iter_mut().filter(is_met) {
            holder.skip = holder.skip.saturating_sub(1);
        }
        met
    }

    /// Holds a request that contains `matching` at a moment, after so many others of the kind.
    pub(super) fn hold(&mut self, matching: &str, skip: usize, moment: Moment) -> Hold {
        let (reached, is_reached) = oneshot::channel();
        let (release, released) = oneshot::channel();
        self.holders.push(Holder { matching: matching.to_owned(), skip, moment, reached, released });
        Hold { reached: is_reached, release }
    }

    fn meet(&mut self, service: Service, subject: &str) -> Option<Fault> {
        let index = self.faults.iter_mut().position(|fault| {
            let matches = fault.service == service && subject.contains(&fault.matching);
            if matches && fault.skip > 0 {
                fault.skip -= 1;
                return false;
            }
            matches
        })?;
        let fault = self.faults[index].clone();
        self.faults[index].times = fault.times.saturating_sub(1);
        if self.faults[index].times == 0 {
            self.faults.remove(index);
        }
        Some(fault)
    }

    /// Notes what was answered to a request.
    pub(super) fn answered(&mut self, number: usize, status: u16) {
        if let Some(call) = number.checked_sub(self.forgotten).and_then(|index| self.calls.get_mut(index)) {
            call.status = Some(status);
        }
    }

    /// Adds a fault, to be met after those that are there.
    pub(super) fn add(&mut self, fault: Fault) {
        if fault.times > 0 {
            self.faults.push(fault);
        }
    }

    /// Returns the requests so far.
    pub(super) fn calls(&self) -> Vec<Call> {
        self.calls.iter().cloned().collect()
    }

    /// Forgets the requests so far; faults to come stay.
    pub(super) fn forget_calls(&mut self) {
        self.forgotten += self.calls.len();
        self.calls.clear();
    }
}
