//! The doctor: tries each thing that a profile promises, one after the other, and says of what fails what to look
//! at. It uses the adapters and the user agents of a run, so that what works here works there.

mod acceptance;
mod adapters;
mod advice;
mod server;
pub(crate) mod session;
mod signalling;
pub(crate) mod visit;

use std::sync::Arc;

use imspec_reports::record::StoredMessage;
use serde::Serialize;

use crate::sut::instance::unless;
use crate::sut::places::Places;
use crate::sut::policy;
use crate::sut::profile::{ClockAdapter, ProcessAdapter};
use crate::sut::store::Account;
use crate::sut::{Instance, Profile};
use visit::Visit;

pub use acceptance::{Adapter, accept};

/// How one thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It works.
    Ok,
    /// It is promised and does not work.
    Fails,
    /// The profile does not promise it.
    NotPromised,
    /// It could not be tried, because of something that fails.
    NotTried,
}

impl State {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Fails => "fails",
            Self::NotPromised => "not promised",
            Self::NotTried => "not tried",
        }
    }
}

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Its name: `register`, `store`.
    pub what: String,
    /// How it is.
    pub state: State,
    /// What was seen.
    pub said: String,
    /// What to look at, where it fails.
    pub check: Vec<String>,
}

/// Tries everything. Each line is told as soon as it is known. Gives nothing where `stop` comes first; the server is
/// left as it was found all the same.
pub async fn examine(
    profile: &Profile,
    tell: &mut (dyn FnMut(&Line) + '_),
    stop: impl Future<Output = ()>,
) -> Option<Vec<Line>> {
    let mut doctor = Doctor {
        profile,
        lines: Vec::new(),
        tell,
    };
    let all = async |doctor: &mut Doctor<'_>, patient: &Patient| doctor.all(patient).await;
    doctor.attend(&AFTER_START, stop, all).await?;
    Some(doctor.lines)
}

/// What fails: what was seen, and what to look at.
struct Complaint {
    said: String,
    check: Vec<String>,
}

impl Complaint {
    fn new(said: impl Into<String>, check: &[&str]) -> Self {
        Self {
            said: said.into(),
            check: check.iter().map(|&line| line.to_owned()).collect(),
        }
    }
}

/// Who examines, and what is known so far.
struct Doctor<'a> {
    profile: &'a Profile,
    lines: Vec<Line>,
    tell: &'a mut (dyn FnMut(&Line) + 'a),
}

/// What comes after the server is up.
const AFTER_START: [&str; 9] = [
    "target", "accounts", "register", "message", "store", "delivery", "session", "clock", "policy",
];

/// A server that is up while it is examined.
struct Patient {
    /// The profile, without what could not be put in place.
    sound: Profile,
    places: Places,
    instance: Arc<Instance>,
    /// Whether its clock adapter is in place.
    clock: bool,
}

impl Doctor<'_> {
    /// Puts the adapters in place, starts the server, does what is to be done with it, and leaves it as it was found.
    /// What cannot be put in place is said here; `rest` is what then remains untried. Gives nothing where `stop` comes
    /// first.
    async fn attend(
        &mut self,
        rest: &[&str],
        stop: impl Future<Output = ()>,
        work: impl AsyncFnOnce(&mut Self, &Patient),
    ) -> Option<()> {
        let mut stop = std::pin::pin!(stop);
        let assembled = unless(&mut stop, self.assembled(rest)).await?;
        let Some((sound, places, mut instance, clock)) = assembled else {
            return Some(());
        };
        let up = unless(&mut stop, self.launched(&mut instance)).await;
        let patient = Patient {
            sound,
            places,
            instance: Arc::new(instance),
            clock,
        };
        let instance = &patient.instance;
        let mut done = up.map(drop);
        match up {
            Some(true) => {
                let policy = instance.policy.as_ref();
                let before = policy.read().await.unwrap_or_default();
                done = unless(stop, work(self, &patient)).await;
                if done.is_none() {
                    // A key may have been set to be taken back. Nobody is there to be told if that is not possible.
                    let _ = policy::restore(policy, before).await;
                }
            }
            Some(false) => self.not_tried(rest, "the server does not run"),
            None => {}
        }
        instance.close().await;
        done
    }

    /// The server with its adapters in place, and not started yet; whether its clock adapter is among them.
    async fn assembled(&mut self, rest: &[&str]) -> Option<(Profile, Places, Instance, bool)> {
        let mut sound = self.profile.clone();
        let Some((process, places)) = self.process_prepared().await else {
            self.not_tried(rest, "the server was not started");
            return None;
        };
        let clock = self.clock_assembled(&mut sound, &places).await;
        self.addresses(&mut sound, &places).await;
        match Instance::assemble(&sound, &places, process).await {
            Ok(instance) => Some((sound, places, instance, clock)),
            Err(why) => {
                self.fails("adapters", Complaint::new(why.what, &[&why.check]));
                self.not_tried(rest, "the adapters are not in place");
                None
            }
        }
    }

    async fn all(&mut self, patient: &Patient) {
        let Patient {
            sound,
            places,
            instance,
            clock,
        } = patient;
        let reached = self.targets(sound, places, instance).await;
        self.own_address(instance);
        let stored = self.talk(sound, instance, reached).await;
        if *clock {
            self.clock(sound, instance, reached && stored).await;
        }
        self.policy(instance).await;
        self.restart(instance).await;
    }

    /// Everything that users do. Whether a message for later was taken.
    async fn talk(&mut self, sound: &Profile, instance: &Arc<Instance>, reached: bool) -> bool {
        let visit = match Visit::new(sound, instance) {
            Ok(visit) => visit,
            Err(why) => {
                self.fails("accounts", Complaint::new(why, &["`pixit.domain`"]));
                return false;
            }
        };
        self.provision(instance, &visit).await;
        if !reached {
            self.not_tried(&["register", "message"], "no target is reached");
            self.store(instance, &visit, None).await;
            self.not_tried(&["delivery", "session"], "no target is reached");
            visit.leave().await;
            return false;
        }
        self.register(&visit).await;
        let text = self.message(&visit).await;
        self.store(instance, &visit, text.as_deref()).await;
        self.delivery(&visit, text.as_deref()).await;
        self.session(&visit).await;
        // What waits for others goes out, and nobody stays registered.
        visit.register("dave", Some(60)).await;
        tokio::time::sleep(self.profile.pixit.timers.quiet).await;
        for role in ["dave", "alice"] {
            visit.register(role, Some(0)).await;
        }
        visit.leave().await;
        text.is_some()
    }

    fn ok(&mut self, what: &str, said: impl Into<String>) {
        self.line(what, State::Ok, said.into(), Vec::new());
    }

    fn fails(&mut self, what: &str, complaint: Complaint) {
        self.line(what, State::Fails, complaint.said, complaint.check);
    }

    fn not_promised(&mut self, what: &str, said: &str) {
        self.line(what, State::NotPromised, said.to_owned(), Vec::new());
    }

    fn not_tried(&mut self, what: &[&str], why: &str) {
        for what in what {
            self.line(what, State::NotTried, why.to_owned(), Vec::new());
        }
    }

    fn line(&mut self, what: &str, state: State, said: String, check: Vec<String>) {
        let line = Line {
            what: what.to_owned(),
            state,
            said,
            check,
        };
        (self.tell)(&line);
        self.lines.push(line);
    }

    /// What a PICS key is declared as, where it is one text.
    fn declared(&self, key: &str) -> Option<&str> {
        self.profile
            .pics
            .get(key)
            .and_then(serde_json::Value::as_str)
    }

    /// The records of a user.
    async fn records(
        instance: &Instance,
        visit: &Visit,
        role: &str,
    ) -> Option<Result<Vec<StoredMessage>, String>> {
        let store = instance.store.as_ref()?;
        let user = match visit.user(role) {
            Ok(user) => user,
            Err(why) => return Some(Err(why)),
        };
        Some(store.read(&Account::of(user)).await)
    }

    fn starts(&self) -> bool {
        !matches!(self.profile.adapters.process, ProcessAdapter::Attach)
    }

    fn moves_clock(&self) -> bool {
        !matches!(self.profile.adapters.clock, ClockAdapter::Real { .. })
    }

    fn places(&self) -> Places {
        Places {
            profile: self.profile.folder.clone(),
            ..Places::default()
        }
    }
}
