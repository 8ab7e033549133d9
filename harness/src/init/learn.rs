//! Asks a server what it is: OPTIONS, a registration, a message for somebody who is offline, and what comes when he
//! returns. What is written down is what was seen, and how.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use imspec_wire::digest::AuthValue;
use serde_json::{Value, json};

use super::{Accounts, Given, write};
use crate::catalogue::PicsKeys;
use crate::doctor::visit::{Heard, Visit};
use crate::document::Source;
use crate::sut::places::Places;
use crate::sut::profile::{Adapters, Profile, Provision, Registration, Transport};
use crate::sut::{Instance, probe};

/// How long somebody who is there takes to say so, and to answer a request.
const REACH: Duration = Duration::from_secs(4);
/// How long a registration is asked for.
const EXPIRES: u32 = 600;

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What: `udp 127.0.0.1:5060`, `REGISTER`.
    pub what: String,
    /// What came of it.
    pub said: String,
}

/// What a server showed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Learnt {
    /// In the order of trying.
    pub seen: Vec<Seen>,
    /// What it calls itself.
    pub server: Option<String>,
    /// PICS key → value, and how it was learnt.
    pub pics: Vec<(String, Value, String)>,
    /// What a reader of the profile should know, by section: `target`, `registration`, `accounts`.
    pub remarks: Vec<(&'static str, String)>,
}

impl Learnt {
    fn saw(&mut self, what: impl Into<String>, said: impl Into<String>) {
        self.seen.push(Seen {
            what: what.into(),
            said: said.into(),
        });
    }

    fn answers(&mut self, key: &str, value: impl Into<Value>, how: impl Into<String>) {
        self.pics.push((key.to_owned(), value.into(), how.into()));
    }
}

/// Asks the server. Targets that do not answer are taken out of `given`, as long as one does.
///
/// # Errors
/// Where none answers, or what is given makes no profile: a sentence for whoever gave it.
pub async fn learn(given: &mut Given, keys: &PicsKeys) -> Result<Learnt, String> {
    let mut learnt = Learnt::default();
    let profile = draft(given, keys)?;
    let mut answering = Vec::new();
    let mut refused = Vec::new();
    for (transport, target) in &given.targets {
        let what = format!("{} {target}", transport.as_str());
        match answers(&profile, *transport).await {
            Ok(()) => answering.push((*transport, target.clone())),
            Err(why) => refused.push(format!("{what}: {why}")),
        }
    }
    if answering.is_empty() {
        return Err(format!(
            "no server answers OPTIONS:\n  {}\ncheck that it runs, host and port of --target, and that no firewall is \
             in the way; --no-probe writes a profile all the same",
            refused.join("\n  ")
        ));
    }
    for why in refused {
        learnt.remarks.push(("target", format!("{why}: left out")));
        learnt.saw("left out", why);
    }
    if !answering
        .iter()
        .any(|(transport, _)| *transport == given.transport)
        && let Some((transport, _)) = answering.first()
    {
        given.transport = *transport;
    }
    given.targets = answering;
    let mut profile = draft(given, keys)?;
    profile.pixit.timers.answer = REACH;
    let instance = Instance::assemble(&profile, &Places::default(), None).await;
    let instance = Arc::new(instance.map_err(|why| why.to_string())?);
    let visit = Visit::new(&profile, &instance)?;
    ask(given, &instance, &visit, &mut learnt).await;
    visit.leave().await;
    Ok(learnt)
}

/// Whether somebody answers over a transport.
async fn answers(profile: &Profile, transport: Transport) -> Result<(), String> {
    let mut alone = profile.clone();
    alone.adapters = Adapters::none();
    alone.pixit.accounts = Provision::None;
    alone.pixit.targets.retain(|known, _| *known == transport);
    let instance = Instance::assemble(&alone, &Places::default(), None).await;
    let instance = instance.map_err(|why| why.what)?;
    for (&transport, &at) in &instance.targets {
        probe::reach(&instance.dialer, transport, at, &alone.pixit.domain, REACH).await?;
    }
    Ok(())
}

/// The profile as far as it is known.
fn draft(given: &Given, keys: &PicsKeys) -> Result<Profile, String> {
    let text = write::profile(given, &Learnt::default(), keys);
    Profile::read(Source::new("profile.yaml", text), Path::new(".")).map_err(|why| why.to_string())
}

async fn ask(given: &Given, instance: &Instance, visit: &Visit, learnt: &mut Learnt) {
    for (transport, target) in &given.targets {
        let heard = visit.options(*transport).await;
        let line = heard
            .line()
            .unwrap_or_else(|| "no final response".to_owned());
        let who = heard
            .header("Server")
            .or_else(|| heard.header("User-Agent"));
        let mut said = format!("OPTIONS is answered with {line}");
        if let Some(who) = &who {
            said = format!("{said} ({who})");
        }
        for name in ["Allow", "Supported"] {
            if let Some(value) = heard.header(name) {
                learnt.remarks.push((
                    "target",
                    format!("{name} over {}: {value}", transport.as_str()),
                ));
            }
        }
        learnt.saw(format!("{} {target}", transport.as_str()), said);
        learnt.server = learnt.server.take().or(who);
    }
    if let Err(why) = instance.provision(visit.users()).await {
        learnt
            .remarks
            .push(("accounts", format!("no account could be made: {why}")));
        learnt.saw("accounts", why.to_string());
    }
    registration(given, visit, learnt).await;
    let taken = message(given, visit, learnt).await;
    session(taken, visit, learnt).await;
    for role in ["alice", "bob"] {
        visit.register(role, Some(0)).await;
    }
}

async fn registration(given: &Given, visit: &Visit, learnt: &mut Learnt) {
    let heard = visit.register("alice", Some(EXPIRES)).await;
    let mut said = outcome(&heard);
    if let Some(granted) = heard.granted().filter(|_| heard.is_good()) {
        said = format!("{said}, for {granted} s");
        learnt.remarks.push((
            "registration",
            format!("a registration of {EXPIRES} s was granted for {granted} s"),
        ));
    }
    credentials("auth.register", "REGISTER", given, &heard, learnt);
    if matches!(heard.status(), Some(403 | 404)) {
        let (whose, or, question) = doubts(given);
        learnt.remarks.push((
            "accounts",
            format!(
                "REGISTER of {whose} is answered with {}: either the domain is not the server's, or {or}",
                outcome(&heard)
            ),
        ));
        said = format!("{said}: is the domain right? {question}");
    }
    learnt.saw("REGISTER", said);
}

/// Who was registered in vain, what may be the reason, and what to ask oneself.
fn doubts(given: &Given) -> (&'static str, &'static str, &'static str) {
    match (&given.registration, &given.accounts) {
        (Registration::ThirdParty { .. }, _) => (
            "a user by an S-CSCF",
            "it does not take this machine for one of its core, or it does not know the user",
            "Does the server believe an S-CSCF on this machine?",
        ),
        (_, Accounts::List(_) | Accounts::Pattern(..)) => (
            "one of these users",
            "there is no such account",
            "Does the server have these accounts?",
        ),
        _ => (
            "a user part that was made up",
            "it does not take every user part for an account, and a program or the control API must make them",
            "Does every user part have an account (--accounts)?",
        ),
    }
}

/// Whether a message for somebody who is offline was taken.
async fn message(given: &Given, visit: &Visit, learnt: &mut Learnt) -> bool {
    let text = format!("imspec init {:016x}", fastrand::u64(..));
    let heard = visit.message("alice", "bob", &text).await;
    credentials("auth.sender", "MESSAGE", given, &heard, learnt);
    learnt.saw(
        "MESSAGE",
        format!("{}, for a user who is offline", outcome(&heard)),
    );
    let Some(status @ (200 | 202)) = heard.status() else {
        return false;
    };
    learnt.answers(
        "accept.status",
        status,
        "the answer to a MESSAGE for a user who was offline",
    );
    let back = visit.register("bob", Some(EXPIRES)).await;
    if !back.is_good() {
        return true;
    }
    if visit.delivered(&text, Duration::from_secs(5)).await {
        learnt.saw(
            "delivery",
            "the MESSAGE came after the recipient had registered",
        );
        learnt.answers("delivery.form", "message", "it came as a MESSAGE");
        learnt.answers(
            "delivery.trigger",
            "on-register",
            "it came after a REGISTER",
        );
    } else {
        learnt.saw(
            "delivery",
            "nothing came within 5 s after the recipient had registered",
        );
    }
    true
}

/// Which modes it has, as far as the answer to an INVITE leaves no doubt.
async fn session(pager: bool, visit: &Visit, learnt: &mut Learnt) {
    let Some(heard) = crate::doctor::session::offered(visit).await else {
        return;
    };
    let said = outcome(&heard);
    let how = format!("INVITE for a user who was offline was answered with {said}");
    match heard.status() {
        Some(200..300) if pager => {
            learnt.answers("store.modes", json!(["pager", "session"]), how);
        }
        // RFC 3261 §21.4.6, §21.5.2: the server does not do this at all.
        Some(405 | 501) if pager => learnt.answers("store.modes", json!(["pager"]), how),
        _ => {}
    }
    learnt.saw("INVITE", format!("{said}, for a user who is offline"));
}

/// Whether a user was asked who he is. Without a password nothing is declared: every request would be refused.
fn credentials(key: &str, method: &str, given: &Given, heard: &Heard, learnt: &mut Learnt) {
    let asked = !heard.challenges.is_empty();
    if !asked {
        if heard.is_good() {
            learnt.answers(
                key,
                "none",
                format!("{method} was taken without credentials"),
            );
        }
        return;
    }
    if given.password.is_none() {
        learnt.remarks.push((
            "accounts",
            format!("{method} was answered with {}: the server asks who it is. Give a password (--password-rule), and declare {key}: digest", outcome(heard)),
        ));
        return;
    }
    if !heard.is_good() {
        learnt.remarks.push((
            "accounts",
            format!(
                "{method} with the password of this rule was answered with {}: the rule must give what the server has, and \
                 the accounts must be there (--accounts)",
                outcome(heard)
            ),
        ));
        return;
    }
    learnt.answers(
        key,
        "digest",
        format!("{method} was answered with a challenge"),
    );
    let wanted = algorithms(heard);
    if !wanted.is_empty()
        && !learnt
            .pics
            .iter()
            .any(|(known, ..)| known == "auth.algorithms")
    {
        learnt.answers("auth.algorithms", json!(wanted), "those of the challenge");
    }
}

fn algorithms(heard: &Heard) -> Vec<String> {
    let Some(asked) = &heard.asked else {
        return Vec::new();
    };
    let mut names: Vec<String> = Vec::new();
    for header in ["WWW-Authenticate", "Proxy-Authenticate"] {
        for field in asked.headers_named(header) {
            for value in AuthValue::parse_all(&field.value()).unwrap_or_default() {
                let Ok(challenge) = imspec_wire::digest::Challenge::read(&value) else {
                    continue;
                };
                let name = challenge
                    .algorithm
                    .unwrap_or_else(|| "MD5".to_owned())
                    .to_uppercase();
                let known = ["SHA-512-256", "SHA-256", "MD5"].contains(&name.as_str());
                if known && !names.contains(&name) {
                    names.push(name);
                }
            }
        }
    }
    names
}

fn outcome(heard: &Heard) -> String {
    match (heard.line(), &heard.no_way, &heard.provisional) {
        (Some(line), _, _) => line,
        (None, Some(why), _) => format!("not sent: {why}"),
        (None, None, Some(provisional)) => format!("{provisional}, and nothing else"),
        (None, None, None) => "no answer".to_owned(),
    }
}
