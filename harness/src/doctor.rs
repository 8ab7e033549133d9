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

use crate::sut::places::Places;
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

/// Tries everything. Each line is told as soon as it is known.
pub async fn examine(profile: &Profile, tell: &mut (dyn FnMut(&Line) + '_)) -> Vec<Line> {
    let mut doctor = Doctor {
        profile,
        lines: Vec::new(),
        tell,
    };
    doctor.all().await;
    doctor.lines
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

impl Doctor<'_> {
    async fn all(&mut self) {
        // Whatever cannot be put in place is said here, and left out of what follows.
        let mut sound = self.profile.clone();
        let Some((process, places)) = self.process_prepared().await else {
            return self.not_tried(&AFTER_START, "the server was not started");
        };
        let clock = self.clock_assembled(&mut sound, &places).await;
        self.addresses(&mut sound, &places).await;
        let started = process.is_some();
        let mut instance = match Instance::assemble(&sound, &places, process).await {
            Ok(instance) => instance,
            Err(why) => {
                self.fails("adapters", Complaint::new(why.what, &[&why.check]));
                return self.not_tried(&AFTER_START, "the adapters are not in place");
            }
        };
        if started && !self.launched(&mut instance).await {
            instance.close().await;
            return self.not_tried(&AFTER_START, "the server does not run");
        }
        let reached = self.targets(&sound, &places, &instance).await;
        self.own_address(&instance);
        let instance = Arc::new(instance);
        let stored = self.talk(&sound, &instance, reached).await;
        if clock {
            self.clock(&sound, &instance, reached && stored).await;
        }
        self.policy(&instance).await;
        self.restart(&instance).await;
        if let Some(instance) = Arc::into_inner(instance) {
            instance.close().await;
        }
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
        let account = Account {
            uri: user.uri(),
            user: user.name.clone(),
            domain: user.domain.clone(),
        };
        Some(store.read(&account).await)
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
