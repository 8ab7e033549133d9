//! Drives one case: its steps, one after another, turned into a trace.
//!
//! The interpreter decides only what steers: whether a status is one that the case can go on with, whether
//! a request arrived, how long to wait. Whether things are as they must be is judged later from the trace.

mod observe;
mod presence;
mod request;
mod session;
mod steer;
mod sweep;

pub(in crate::run) use steer::{known_downtime, known_waits, period};
mod templates;

use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use imspec_reports::record::{EventKind, Outcome, UtcTime};
use imspec_wire::sip::typed::SipDate;
use tokio::sync::OwnedSemaphorePermit;

use super::RunOptions;
use super::timeline::{Activity, Timeline};
use crate::agent::msrp::Parcel;
use crate::agent::{Agents, Desk, Endpoint};
use crate::evidence::Value;
use crate::scenario::model::{Expect, StatusPattern, Step, UserState, Verb};
use crate::scenario::template::{Piece, Reference, SocketProperty};
use crate::scenario::{Case, CaseUser, Template, duration};
use crate::sut::policy::SetError;
use crate::sut::profile::Transport;
use crate::sut::{Instance, Pending, Profile};

/// Runs the steps of one case.
pub(super) struct Interpreter<'c> {
    case: &'c Arc<Case>,
    agents: &'c Agents,
    instance: &'c Arc<Instance>,
    timeline: &'c Arc<Timeline>,
    profile: &'c Profile,
    options: &'c RunOptions,
    memory: Mutex<Memory>,
}

/// What the agents of a case remember between steps.
#[derive(Debug, Default)]
struct Memory {
    /// Transport of each device that was opened.
    devices: HashMap<(String, String), Transport>,
    /// Call-ID and last `CSeq` of each device's registrations (RFC 3261 §10.2).
    registrations: HashMap<(String, String), (String, u32)>,
    /// Contacts that were registered, by role.
    bound: BTreeMap<String, Vec<String>>,
    /// Sum of the waits so far.
    waited: Duration,
    /// Period at which the server sweeps for what has expired.
    granularity: Duration,
    /// What the server was told to choose, to be told again after a restart.
    policy: BTreeMap<String, serde_json::Value>,
    /// Messages that went through sessions, by the event that their name stands for.
    parcels: HashMap<u32, Arc<Parcel>>,
}

/// Whether a case goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Flow {
    On,
    End(String),
}

/// How a step went.
#[derive(Debug)]
struct Done {
    outcome: Outcome,
    flow: Flow,
}

impl Done {
    /// As it should.
    fn on() -> Self {
        Self {
            outcome: Outcome::Done,
            flow: Flow::On,
        }
    }

    /// It did its work, and what came out ends the case.
    fn end(why: String) -> Self {
        Self {
            outcome: Outcome::Done,
            flow: Flow::End(why),
        }
    }
}

/// Why a step could not do its work. It ends the case.
#[derive(Debug)]
enum Trouble {
    /// Not at this SUT.
    Impossible(String),
    /// The harness or the set-up broke.
    Broken(String),
}

impl Trouble {
    /// What the server declines to be is no fault of the harness.
    fn unset(what: &str, error: &SetError) -> Self {
        let why = format!("{what}: {error}");
        match error {
            SetError::Declined(_) => Self::Impossible(why),
            SetError::Failed(_) => Self::Broken(why),
        }
    }
}

impl From<Trouble> for Done {
    fn from(trouble: Trouble) -> Self {
        let (outcome, why) = match trouble {
            Trouble::Impossible(why) => (Outcome::Impossible { why: why.clone() }, why),
            Trouble::Broken(why) => (Outcome::Broken { why: why.clone() }, why),
        };
        Self {
            outcome,
            flow: Flow::End(why),
        }
    }
}

impl<'c> Interpreter<'c> {
    pub(super) fn new(
        case: &'c Arc<Case>,
        agents: &'c Agents,
        instance: &'c Arc<Instance>,
        timeline: &'c Arc<Timeline>,
        profile: &'c Profile,
        options: &'c RunOptions,
        policy: &BTreeMap<String, serde_json::Value>,
    ) -> Self {
        let granularity = policy
            .get(steer::GRANULARITY)
            .or_else(|| profile.pics.get(steer::GRANULARITY));
        let granularity = granularity.and_then(steer::period).unwrap_or_default();
        let memory = Mutex::new(Memory {
            granularity,
            policy: policy.clone(),
            ..Memory::default()
        });
        Self {
            case,
            agents,
            instance,
            timeline,
            profile,
            options,
            memory,
        }
    }

    /// Runs the case to its end. `place` is given back when the case first waits for store time: from then
    /// on it must go on at once when it is woken.
    pub(super) async fn run(&self, activity: &mut Activity, place: Option<OwnedSemaphorePermit>) {
        let mut work = Work { activity, place };
        if let Err(trouble) = self.set_up().await {
            let outcome = Done::from(trouble).outcome;
            cut_short(&mut self.agents.desk(), &outcome);
            return;
        }
        self.steps(&self.case.steps, &mut work).await;
    }

    fn steps<'a>(&'a self, steps: &'a [Step], work: &'a mut Work<'_>) -> Pending<'a, Flow> {
        Box::pin(async move {
            for (index, step) in steps.iter().enumerate() {
                if let Flow::End(why) = self.step(step, work).await {
                    let outcome = Outcome::NotReached { why: why.clone() };
                    end_steps(&mut self.agents.desk(), &steps[index + 1..], &outcome);
                    return Flow::End(why);
                }
            }
            Flow::On
        })
    }

    async fn step(&self, step: &Step, work: &mut Work<'_>) -> Flow {
        let verb = step.verb.name().to_owned();
        self.agents
            .note(Some(&step.path), EventKind::StepStarted { verb });
        let done = match self.values(step).await {
            Ok(()) => self.act(step, work).await.unwrap_or_else(Done::from),
            Err(trouble) => trouble.into(),
        };
        self.agents.note(
            Some(&step.path),
            EventKind::StepEnded {
                outcome: done.outcome,
            },
        );
        match done.flow {
            Flow::On => Flow::On,
            Flow::End(why) if why.starts_with("at ") => Flow::End(why),
            Flow::End(why) => Flow::End(format!("at {} ({}): {why}", step.path, step.verb.name())),
        }
    }

    async fn act(&self, step: &Step, work: &mut Work<'_>) -> Result<Done, Trouble> {
        let path = &step.path;
        match &step.verb {
            Verb::Register(register) => self.register(path, register, work).await,
            Verb::Message(message) => self.message(path, message).await,
            Verb::Raw(raw) => self.raw(path, raw).await,
            Verb::Invite(invite) => self.invite(path, invite).await,
            Verb::Msrp(msrp) => self.msrp(path, msrp).await,
            Verb::Bye(bye) => self.bye(path, bye).await,
            Verb::Cancel(cancel) => self.cancel(path, cancel).await,
            Verb::Receive(receive) => self.receive(path, receive).await,
            Verb::Silence(silence) => self.silence(path, silence).await,
            Verb::Stored(stored) => self.stored(path, stored).await,
            Verb::Wait(wait) => self.wait(path, wait, work).await,
            Verb::Restart(restart) => self.restart(path, restart).await,
            Verb::Policy(values) => self.policy(path, values).await,
            // Judged from the trace; nothing is to be done now.
            Verb::Check(_) => Ok(Done::on()),
            Verb::When(when) => {
                let holds = self.condition(path, when)?;
                let (taken, left) = if holds {
                    (&when.then, &when.otherwise)
                } else {
                    (&when.otherwise, &when.then)
                };
                self.agents.desk().withdraw(left);
                let flow = self.steps(taken, work).await;
                Ok(Done {
                    outcome: Outcome::Done,
                    flow,
                })
            }
            Verb::Reading(readings) => {
                for (defect, reading) in readings {
                    let kind = EventKind::Reading {
                        defect: defect.clone(),
                        reading: reading.clone(),
                    };
                    self.agents.note(Some(path), kind);
                }
                Ok(Done::on())
            }
            Verb::Parallel(branches) => Ok(self.parallel(branches, work).await),
            Verb::Repeat(_) => Err(Trouble::Broken(
                "`repeat` should have been unrolled before the run".into(),
            )),
        }
    }

    async fn parallel(&self, branches: &[Vec<Step>], work: &mut Work<'_>) -> Done {
        let mut activities = work.activity.fork(branches.len());
        // Whichever branch waits first gives the place back for all.
        let place = work.place.take();
        let branches = branches
            .iter()
            .zip(&mut activities)
            .map(|(steps, activity)| {
                let pending: Pending<'_, Flow> = Box::pin(async move {
                    let flow = self
                        .steps(
                            steps,
                            &mut Work {
                                activity,
                                place: None,
                            },
                        )
                        .await;
                    activity.rest();
                    flow
                });
                pending
            });
        let flows = join(branches.collect()).await;
        work.activity.resume();
        drop(place);
        let flow = flows
            .into_iter()
            .find(|flow| *flow != Flow::On)
            .unwrap_or(Flow::On);
        Done {
            outcome: Outcome::Done,
            flow,
        }
    }

    /// Makes the accounts.
    pub(super) async fn provide(&self) -> Result<(), SetError> {
        self.instance.provision(&self.case.users).await
    }

    /// Accounts and first registrations.
    async fn set_up(&self) -> Result<(), Trouble> {
        if !self.instance.knows_absent_users()
            && let Some(user) = self
                .case
                .users
                .iter()
                .find(|user| user.state == UserState::Absent)
        {
            return Err(Trouble::Impossible(format!(
                "`{}` must have no account, and at this server every name is one (`accounts: {{ provision: none }}`)",
                user.role
            )));
        }
        let provided = self.provide().await;
        provided.map_err(|e| Trouble::unset("the accounts could not be made", &e))?;
        for user in self
            .case
            .users
            .iter()
            .filter(|user| user.state == UserState::Online)
        {
            self.go_online(user).await?;
        }
        Ok(())
    }

    /// Draws and notes what only an open socket or the clock can tell, so that all templates of the step
    /// can be read from the trace, now and when it is judged.
    async fn values(&self, step: &Step) -> Result<(), Trouble> {
        let mut references: Vec<&Reference> = Vec::new();
        templates::visit(&step.verb, &mut |template| {
            for piece in &template.pieces {
                if let Piece::Reference(
                    reference @ (Reference::Socket { .. } | Reference::Date { .. }),
                ) = piece
                    && !references.contains(&reference)
                {
                    references.push(reference);
                }
            }
        });
        for reference in references {
            let value = match reference {
                Reference::Socket { role, property } => {
                    let user = self.user(role)?;
                    let endpoint = self.endpoint(user, "main", None).await?;
                    match property {
                        SocketProperty::Contact => endpoint.contact(),
                        SocketProperty::Via => endpoint.via(),
                    }
                }
                Reference::Date { shift_ms } => {
                    let at = self.timeline.now().plus_us(shift_ms.saturating_mul(1000));
                    SipDate {
                        unix_seconds: at.unix_us.div_euclid(1_000_000),
                    }
                    .format()
                }
                _ => continue,
            };
            let kind = EventKind::Value {
                expression: reference.to_string(),
                value,
            };
            self.agents.note(Some(&step.path), kind);
        }
        Ok(())
    }

    /// Contacts that were registered for a role.
    pub(super) fn bound(&self, role: &str) -> Vec<String> {
        self.memory().bound.get(role).cloned().unwrap_or_default()
    }

    /// All contacts that were registered, by role.
    pub(super) fn all_bound(&self) -> BTreeMap<String, Vec<String>> {
        self.memory().bound.clone()
    }

    fn user(&self, role: &str) -> Result<&'c CaseUser, Trouble> {
        let user = self.case.users.iter().find(|user| user.role == role);
        user.ok_or_else(|| Trouble::Broken(format!("the case has no user `{role}`")))
    }

    /// The socket of a device. Its transport is the one asked for, else the one that it has, else the user's.
    async fn endpoint(
        &self,
        user: &CaseUser,
        device: &str,
        transport: Option<Transport>,
    ) -> Result<Arc<Endpoint>, Trouble> {
        let usual = Transport::parse(&user.transport)
            .ok_or_else(|| Trouble::Impossible(format!("no agent speaks `{}`", user.transport)))?;
        let transport = {
            let mut memory = self.memory();
            let key = (user.role.clone(), device.to_owned());
            let first = transport.unwrap_or(usual);
            transport.unwrap_or(*memory.devices.entry(key).or_insert(first))
        };
        let transport = self.agents.carried_by(transport);
        self.agents
            .endpoint(user, device, transport)
            .await
            .map_err(Trouble::Impossible)
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn text(&self, template: &Template, step: &str) -> Result<String, Trouble> {
        self.agents
            .view(|view| view.text(template, step))
            .map_err(|e| Trouble::Impossible(e.to_string()))
    }

    fn octets(&self, template: &Template, step: &str) -> Result<Vec<u8>, Trouble> {
        match self.agents.view(|view| view.resolve(template, step)) {
            Ok(Value::Octets(octets)) => Ok(octets),
            Ok(other) => other
                .into_text()
                .map(String::into_bytes)
                .map_err(|e| Trouble::Impossible(e.to_string())),
            Err(e) => Err(Trouble::Impossible(e.to_string())),
        }
    }

    fn transport(
        &self,
        template: Option<&Template>,
        step: &str,
    ) -> Result<Option<Transport>, Trouble> {
        let Some(template) = template else {
            return Ok(None);
        };
        let text = self.text(template, step)?;
        let transport = Transport::parse(&text);
        transport
            .map(Some)
            .ok_or_else(|| Trouble::Impossible(format!("no agent speaks `{text}`")))
    }

    fn save(&self, template: Option<&Template>, step: &str) -> Result<Option<String>, Trouble> {
        template
            .map(|template| self.text(template, step))
            .transpose()
    }

    /// A length of time: `500ms`, or a plain number of milliseconds.
    fn length(
        &self,
        template: Option<&Template>,
        usual: Duration,
        step: &str,
    ) -> Result<Duration, Trouble> {
        let Some(template) = template else {
            return Ok(usual);
        };
        let text = self.text(template, step)?;
        duration::parse_ms(&text)
            .or_else(|| text.trim().parse().ok())
            .map(Duration::from_millis)
            .ok_or_else(|| Trouble::Impossible(format!("`{text}` is no length of time")))
    }

    /// How long a final response is waited for. Who may rightly say nothing says it as well in a quarter of the
    /// time of a transaction: 16·T1, by when a request over UDP has gone out five times (RFC 3261 §17.1.2.2).
    fn patience(
        &self,
        within: Option<&Template>,
        right: &[StatusPattern],
        step: &str,
    ) -> Result<Duration, Trouble> {
        let answer = self.profile.pixit.timers.answer;
        let usual = if right.contains(&StatusPattern::Silence) {
            answer / 4
        } else {
            answer
        };
        self.length(within, usual, step)
    }

    fn saved(&self, step: &str, name: Option<String>, event: u32) {
        if let Some(name) = name {
            self.agents
                .note(Some(step), EventKind::Saved { name, event });
        }
    }
}

/// The case's share of the timeline.
struct Work<'w> {
    activity: &'w mut Activity,
    place: Option<OwnedSemaphorePermit>,
}

impl Work<'_> {
    async fn wait(&mut self, deadline: UtcTime, patience: Duration) -> super::timeline::Woken {
        self.place = None;
        self.activity.wait(deadline, patience).await
    }
}

/// Ends every step that has not ended: the one at work and the first that was not begun as `outcome` says,
/// what follows as not reached, since one reason is enough.
pub(super) fn cut_short(desk: &mut Desk, outcome: &Outcome) {
    let why = match outcome {
        Outcome::Broken { why } | Outcome::Impossible { why } | Outcome::NotReached { why } => {
            why.clone()
        }
        Outcome::Done | Outcome::TimedOut { .. } => return,
    };
    let ended: std::collections::HashSet<String> = desk
        .trace()
        .events
        .iter()
        .filter(|event| matches!(event.kind, EventKind::StepEnded { .. }))
        .filter_map(|event| event.step.clone())
        .collect();
    let mut open = Vec::new();
    paths(&desk.case().steps, &mut open);
    open.retain(|path| !ended.contains(path));
    for (index, path) in open.iter().enumerate() {
        let outcome = if index == 0 {
            outcome.clone()
        } else {
            Outcome::NotReached { why: why.clone() }
        };
        desk.note(Some(path), EventKind::StepEnded { outcome });
    }
}

fn end_steps(desk: &mut Desk, steps: &[Step], outcome: &Outcome) {
    let mut open = Vec::new();
    paths(steps, &mut open);
    for path in open {
        desk.note(
            Some(&path),
            EventKind::StepEnded {
                outcome: outcome.clone(),
            },
        );
    }
}

/// The paths of steps and of all steps within them.
fn paths(steps: &[Step], into: &mut Vec<String>) {
    for step in steps {
        into.push(step.path.clone());
        match &step.verb {
            Verb::Parallel(branches) => branches.iter().for_each(|branch| paths(branch, into)),
            Verb::When(when) => {
                paths(&when.then, into);
                paths(&when.otherwise, into);
            }
            _ => {}
        }
    }
}

/// Waits for all.
async fn join<T>(mut pending: Vec<Pending<'_, T>>) -> Vec<T> {
    let mut done: Vec<Option<T>> = pending.iter().map(|_| None).collect();
    poll_fn(|context| {
        for (future, done) in pending.iter_mut().zip(&mut done) {
            if done.is_none()
                && let Poll::Ready(value) = future.as_mut().poll(context)
            {
                *done = Some(value);
            }
        }
        if done.iter().all(Option::is_some) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    done.into_iter().flatten().collect()
}

/// The statuses that are right, where the scenario says which.
fn statuses(expect: Option<&Expect>) -> &[StatusPattern] {
    expect.map_or(&[], |expect| &expect.status)
}
