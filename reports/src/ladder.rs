//! The ladder of a case: one lane a party, one row a message or a change, in the order in which they happened.
//!
//! SIP, MSRP, the store and the clock stand in one picture, because a verdict about deferred messages speaks
//! of all of them at once. Each row knows the checks that looked at it. This module decides what a ladder
//! says; [`svg`] draws it on the page and [`crate::terminal::ladder`] in a terminal.

pub mod svg;

use std::collections::BTreeMap;

use crate::escape;
use crate::event;
use crate::record::trace::{ConnectionChange, Direction, Packet, StoreResult};
use crate::record::{
    CaseRecord, Check, Event, EventKind, Outcome, Protocol, StoreTime, UtcTime, Verdict,
};
use crate::summary::{self, count};

/// A ladder.
#[derive(Debug, Clone, PartialEq)]
pub struct Ladder<'r> {
    /// From left to right.
    pub lanes: Vec<Lane>,
    /// From top to bottom.
    pub rows: Vec<Row<'r>>,
}

/// A party.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// What it is.
    pub party: Party,
    /// Its name, safe to show.
    pub name: String,
}

/// What a lane stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Party {
    /// A device of a user.
    Agent,
    /// The server under test.
    Server,
    /// What an adapter reads of its store.
    Store,
    /// The clock by which it ages messages.
    Clock,
}

/// One row.
#[derive(Debug, Clone, PartialEq)]
pub struct Row<'r> {
    /// Id of the event.
    pub event: u32,
    /// Protocol time since the run began, in microseconds.
    pub at_us: u64,
    /// Store time, where it is known.
    pub store: Option<StoreTime>,
    /// How it is drawn.
    pub shape: Shape,
    /// What it says, safe to show.
    pub label: String,
    /// Whether no step expected it.
    pub unexpected: bool,
    /// The checks that looked at it.
    pub checks: Vec<&'r Check>,
}

/// How a row is drawn. Lanes are indices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A step begins.
    Step,
    /// From one lane to another.
    Arrow {
        /// Who sent.
        from: usize,
        /// Who received.
        to: usize,
        /// What is spoken.
        line: Line,
        /// Whether it is a retransmission.
        again: bool,
    },
    /// Something in one lane.
    Mark {
        /// Whose.
        lane: usize,
    },
}

/// How an arrow is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// A message of SIP.
    Sip,
    /// A frame of MSRP.
    Msrp,
    /// A connection that is opened or ended.
    Connection,
}

impl Row<'_> {
    /// The worst verdict of the checks that looked at it.
    pub fn verdict(&self) -> Option<Verdict> {
        self.checks.iter().map(|check| check.verdict).max()
    }

    /// Whether a check that looked at it did not hold.
    pub fn is_wrong(&self) -> bool {
        self.wrong().next().is_some()
    }

    /// The checks that did not hold.
    pub fn wrong(&self) -> impl Iterator<Item = &Check> {
        let bad = |check: &&&Check| matches!(check.verdict, Verdict::Fail | Verdict::Error);
        self.checks.iter().filter(bad).copied()
    }
}

impl<'r> Ladder<'r> {
    /// Of this case.
    pub fn of(case: &'r CaseRecord) -> Self {
        let parties = Parties::of(case);
        let mut looked = Looked::of(case);
        let mut rows: Vec<Row<'r>> = Vec::new();
        for event in &case.trace.events {
            if let EventKind::Unclaimed { event: other } = event.kind {
                if let Some(row) = rows.iter_mut().rev().find(|row| row.event == other) {
                    row.unexpected = true;
                }
                continue;
            }
            let checks = looked.take(event);
            match parties.row(event, !checks.is_empty()) {
                Some((shape, label)) => rows.push(Row {
                    event: event.id,
                    at_us: event.at_us,
                    store: event.store,
                    shape,
                    label: escape::line(&label),
                    unexpected: false,
                    checks,
                }),
                // What is not drawn is told where the reader is at that time.
                None => {
                    if let Some(row) = rows.iter_mut().rev().find(|row| row.shape != Shape::Step) {
                        row.checks.extend(checks);
                    }
                }
            }
        }
        // A step in which nothing is seen is only noise.
        let mut follows = rows.iter().skip(1).map(|row| row.shape).collect::<Vec<_>>();
        follows.push(Shape::Step);
        let mut follows = follows.into_iter();
        rows.retain(|row| {
            let next = follows.next();
            row.shape != Shape::Step || row.is_wrong() || next != Some(Shape::Step)
        });
        Self {
            lanes: parties.lanes,
            rows,
        }
    }
}

/// The checks by the event that they looked at; those that saw nothing by the step that waited in vain.
struct Looked<'r> {
    by_event: BTreeMap<u32, Vec<&'r Check>>,
    by_step: BTreeMap<&'r str, Vec<&'r Check>>,
}

impl<'r> Looked<'r> {
    fn of(case: &'r CaseRecord) -> Self {
        let mut looked = Self {
            by_event: BTreeMap::new(),
            by_step: BTreeMap::new(),
        };
        for check in &case.checks {
            match &check.evidence {
                Some(evidence) => looked
                    .by_event
                    .entry(evidence.event)
                    .or_default()
                    .push(check),
                None => looked.by_step.entry(&check.step).or_default().push(check),
            }
        }
        looked
    }

    fn take(&mut self, event: &Event) -> Vec<&'r Check> {
        let mut checks = self.by_event.remove(&event.id).unwrap_or_default();
        if let (EventKind::StepEnded { .. }, Some(step)) = (&event.kind, &event.step) {
            checks.extend(self.by_step.remove(step.as_str()).unwrap_or_default());
        }
        checks
    }
}

/// Who takes part.
struct Parties {
    lanes: Vec<Lane>,
    agents: Vec<((String, String), usize)>,
    server: usize,
    store: usize,
    clock: usize,
}

impl Parties {
    fn of(case: &CaseRecord) -> Self {
        let mut agents: Vec<(String, String)> = Vec::new();
        let (mut store, mut clock) = (false, false);
        for event in &case.trace.events {
            let agent = match &event.kind {
                EventKind::Sent(packet) | EventKind::Received(packet) => {
                    Some((packet.user.clone(), device(&packet.device)))
                }
                EventKind::Transfer(transfer) => {
                    Some((transfer.user.clone(), device(&transfer.device)))
                }
                EventKind::StoreRead { .. } => {
                    store = true;
                    None
                }
                EventKind::ClockMoved { .. } | EventKind::WaitUntil { .. } => {
                    clock = true;
                    None
                }
                _ => None,
            };
            if let Some(agent) = agent
                && !agents.contains(&agent)
            {
                agents.push(agent);
            }
        }
        // Who acts first stands at the left with all devices, the server beside, everybody else behind it.
        let first = agents.first().map(|agent| agent.0.clone());
        let (left, right): (Vec<_>, Vec<_>) = agents
            .into_iter()
            .partition(|agent| Some(&agent.0) == first.as_ref());
        let mut lanes: Vec<Lane> = Vec::new();
        let mut places = Vec::new();
        let mut add = |party, name: &str| {
            lanes.push(Lane {
                party,
                name: escape::line(name),
            });
            lanes.len() - 1
        };
        for agent in left {
            let lane = add(Party::Agent, &name(&agent));
            places.push((agent, lane));
        }
        let server = add(Party::Server, "server");
        for agent in right {
            let lane = add(Party::Agent, &name(&agent));
            places.push((agent, lane));
        }
        let store = if store {
            add(Party::Store, "store")
        } else {
            server
        };
        let clock = if clock {
            add(Party::Clock, "clock")
        } else {
            server
        };
        Self {
            lanes,
            agents: places,
            server,
            store,
            clock,
        }
    }

    fn agent(&self, user: &str, of: &str) -> usize {
        let of = device(of);
        let whole = self.agents.iter().find(|((u, d), _)| u == user && *d == of);
        let user = || self.agents.iter().find(|((u, _), _)| u == user);
        whole.or_else(user).map_or(self.server, |(_, lane)| *lane)
    }

    /// How an event is drawn, and what it says; nothing where the picture is clearer without it.
    fn row(&self, event: &Event, looked_at: bool) -> Option<(Shape, String)> {
        let mark = |lane| Shape::Mark { lane };
        Some(match &event.kind {
            EventKind::StepStarted { verb } => {
                let step = event.step.as_deref().unwrap_or_default();
                (Shape::Step, format!("{step} {verb}").trim().to_owned())
            }
            EventKind::StepEnded { outcome } => {
                let words = match outcome {
                    Outcome::Done if looked_at => "done".to_owned(),
                    Outcome::Done => return None,
                    Outcome::TimedOut { after_ms } => format!("nothing came in {after_ms} ms"),
                    Outcome::NotReached { why } => format!("not reached: {why}"),
                    Outcome::Impossible { why } => format!("impossible here: {why}"),
                    Outcome::Broken { why } => format!("broke: {why}"),
                };
                (mark(self.server), words)
            }
            EventKind::Sent(packet) => {
                let from = self.agent(&packet.user, &packet.device);
                (arrow(from, self.server, packet), title(packet))
            }
            EventKind::Received(packet) => {
                let to = self.agent(&packet.user, &packet.device);
                (arrow(self.server, to, packet), title(packet))
            }
            EventKind::Transfer(transfer) => {
                let whole = if transfer.complete {
                    "whole message"
                } else {
                    "part of a message"
                };
                let octets = usize::try_from(transfer.digest.octets).unwrap_or(usize::MAX);
                let way = match transfer.direction {
                    Direction::Sent => "sent",
                    Direction::Received => "received",
                };
                let words = format!("{whole} {way}: {}", count(octets, "octet", "octets"));
                (mark(self.agent(&transfer.user, &transfer.device)), words)
            }
            EventKind::Connection { user, change, .. } => {
                let agent = self.agent(user, "main");
                let (from, to, words) = match change {
                    ConnectionChange::Opened => (agent, self.server, "opens connection".to_owned()),
                    ConnectionChange::Accepted => {
                        (self.server, agent, "opens connection".to_owned())
                    }
                    ConnectionChange::Closed => {
                        (agent, self.server, "closes connection".to_owned())
                    }
                    ConnectionChange::Reset => (agent, self.server, "resets connection".to_owned()),
                    ConnectionChange::Ended => (self.server, agent, "ends connection".to_owned()),
                    ConnectionChange::Failed(why) => {
                        (agent, self.server, format!("no connection: {why}"))
                    }
                };
                let line = Line::Connection;
                (
                    Shape::Arrow {
                        from,
                        to,
                        line,
                        again: false,
                    },
                    words,
                )
            }
            EventKind::StoreRead { result, account } => {
                let words = match result {
                    StoreResult::Records(records) => count(records.len(), "message", "messages"),
                    StoreResult::NoAdapter => "cannot be read".to_owned(),
                    StoreResult::Failed(why) => format!("not read: {why}"),
                };
                let who = account
                    .split_once(':')
                    .map_or(account.as_str(), |(_, rest)| rest);
                let who = who.split('@').next().unwrap_or(who);
                (mark(self.store), format!("{who}: {words}"))
            }
            EventKind::ClockMoved { from, to } => (mark(self.clock), moved(*from, *to)),
            EventKind::WaitUntil { deadline, .. } => (
                mark(self.clock),
                format!("waits until {}", clock_time(*deadline)),
            ),
            EventKind::Process { action } => (mark(self.server), format!("process: {action}")),
            EventKind::PolicySet { values } => {
                let values: Vec<_> = values.iter().map(|(k, v)| format!("{k}={v}")).collect();
                (mark(self.server), format!("policy: {}", values.join(", ")))
            }
            EventKind::Note { text } => (mark(self.server), text.clone()),
            EventKind::Took { .. }
            | EventKind::Unclaimed { .. }
            | EventKind::Saved { .. }
            | EventKind::Value { .. }
            | EventKind::Reading { .. } => return None,
        })
    }
}

fn device(name: &str) -> String {
    if name == "main" {
        String::new()
    } else {
        name.to_owned()
    }
}

fn name((user, device): &(String, String)) -> String {
    if device.is_empty() {
        user.clone()
    } else {
        format!("{user}/{device}")
    }
}

fn arrow(from: usize, to: usize, packet: &Packet) -> Shape {
    let line = match packet.protocol {
        Protocol::Sip => Line::Sip,
        Protocol::Msrp => Line::Msrp,
    };
    let again = packet.retransmission;
    Shape::Arrow {
        from,
        to,
        line,
        again,
    }
}

/// What a message is, short: `MESSAGE`, `202 Accepted`, `SEND 1-9/9 $`.
fn title(packet: &Packet) -> String {
    let octets: &[u8] = &packet.octets;
    let first = octets
        .split(|octet| matches!(octet, b'\r' | b'\n'))
        .next()
        .unwrap_or_default();
    let first = String::from_utf8_lossy(first);
    let mut words = first.split(' ');
    let again = if packet.retransmission { ", again" } else { "" };
    let said = match (words.next(), words.next(), words.next()) {
        (Some("SIP/2.0"), Some(_), _) => first["SIP/2.0 ".len()..].to_owned(),
        (Some("MSRP"), Some(_), Some(what)) => {
            let more: Vec<_> = std::iter::once(what).chain(words).collect();
            let mut said = more.join(" ");
            if what == "SEND" || what == "REPORT" {
                if let Some(range) = header(octets, b"Byte-Range") {
                    said = format!("{said} {range}");
                }
                let flag = octets.trim_ascii_end().last().copied();
                if let Some(flag @ (b'+' | b'#')) = flag {
                    said = format!("{said} {}", char::from(flag));
                }
            }
            said
        }
        (Some(method), Some(_), Some("SIP/2.0")) => method.to_owned(),
        _ => count(octets.len(), "octet", "octets"),
    };
    format!("{said}{again}")
}

fn header(octets: &[u8], name: &[u8]) -> Option<String> {
    octets[..event_head(octets)]
        .split(|octet| *octet == b'\n')
        .find_map(|line| {
            let at = line.iter().position(|octet| *octet == b':')?;
            line[..at]
                .eq_ignore_ascii_case(name)
                .then(|| &line[at + 1..])
        })
        .map(|value| String::from_utf8_lossy(value.trim_ascii()).into_owned())
}

fn event_head(octets: &[u8]) -> usize {
    crate::excerpt::body_start(octets)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "shown in its two greatest units"
)]
fn moved(from: UtcTime, to: UtcTime) -> String {
    let seconds = to.unix_us.saturating_sub(from.unix_us) as f64 / 1e6;
    let sign = if seconds < 0.0 { "" } else { "+" };
    format!(
        "{sign}{}, to {}",
        summary::store_time(seconds),
        clock_time(to)
    )
}

/// `09:00:07.120`, for beside a date.
pub(crate) fn clock_time(at: UtcTime) -> String {
    let text = at.to_millis();
    let text = text.trim_end_matches(" UTC");
    text.split_once(' ')
        .map_or_else(|| text.to_owned(), |(_, time)| time.to_owned())
}

/// `2026-03-01`.
pub(crate) fn clock_date(at: UtcTime) -> String {
    let text = at.to_millis();
    text.split_once(' ')
        .map_or_else(String::new, |(date, _)| date.to_owned())
}

/// Store times as a column tells them: the time where it changed, with its date where that changed.
#[derive(Debug, Default)]
pub(crate) struct Dates {
    shown: Option<(String, UtcTime)>,
}

impl Dates {
    /// A new date to tell first, and the time.
    pub(crate) fn next(&mut self, at: UtcTime) -> (Option<String>, Option<String>) {
        let date = clock_date(at);
        let time = Some(clock_time(at));
        let told = match &self.shown {
            Some((known, before)) if *known == date => {
                if *before == at {
                    return (None, None);
                }
                (None, time)
            }
            _ => (Some(date.clone()), time),
        };
        self.shown = Some((date, at));
        told
    }
}

/// Whether a ladder may have a row for this event.
pub(crate) fn is_drawn(event: &Event) -> bool {
    !matches!(
        event.kind,
        EventKind::StepStarted { .. }
            | EventKind::Took { .. }
            | EventKind::Unclaimed { .. }
            | EventKind::Saved { .. }
            | EventKind::Value { .. }
            | EventKind::Reading { .. }
            | EventKind::StepEnded {
                outcome: Outcome::Done
            }
    )
}

/// The case with this id, or the first of the scenario with this id.
pub fn find<'r>(cases: &'r [CaseRecord], id: &str) -> Option<&'r CaseRecord> {
    let whole = cases.iter().find(|case| case.id.eq_ignore_ascii_case(id));
    whole.or_else(|| {
        let of = |case: &&CaseRecord| case.scenario.eq_ignore_ascii_case(id);
        // Of several the one that there is something to see in.
        cases
            .iter()
            .filter(of)
            .max_by(|a, b| a.verdict.cmp(&b.verdict).then(b.id.cmp(&a.id)))
    })
}

/// Of an event: who, and over what.
pub(crate) fn route(event: &Event) -> Option<String> {
    let packet = event::packet(event)?;
    let (from, to) = match event.kind {
        EventKind::Sent(_) => (&packet.local, &packet.remote),
        _ => (&packet.remote, &packet.local),
    };
    Some(escape::line(&format!("{} {from} → {to}", packet.transport)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::sample;

    #[test]
    fn the_server_stands_between_who_sends_and_who_receives() {
        let record = sample::record();
        let case = find(&record.cases, "PG-05[transport=tcp]").unwrap();
        let ladder = Ladder::of(case);
        let names: Vec<_> = ladder.lanes.iter().map(|lane| lane.name.as_str()).collect();
        assert_eq!(names[..3], ["alice", "server", "bob"]);
        assert!(ladder.rows.iter().any(Row::is_wrong));
    }

    #[test]
    fn every_check_has_a_row() {
        for case in &sample::record().cases {
            let ladder = Ladder::of(case);
            let told: usize = ladder.rows.iter().map(|row| row.checks.len()).sum();
            let seen = case
                .checks
                .iter()
                .filter(|check| check.evidence.is_some())
                .count();
            assert!(
                ladder.rows.is_empty() || told >= seen,
                "{}: {told} < {seen}",
                case.id
            );
        }
    }

    #[test]
    fn a_scenario_stands_for_its_worst_case() {
        let record = sample::record();
        let worst = find(&record.cases, "pg-05").unwrap();
        assert_eq!(worst.verdict, Verdict::Fail);
        assert!(find(&record.cases, "PG-99").is_none());
    }
}
