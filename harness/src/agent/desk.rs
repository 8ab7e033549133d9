//! The one place of a case at which everything is written down and decided: the trace, which response
//! belongs to which request, which request was seen before, and which `receive` step claims it.
//!
//! No I/O happens here, and nothing waits, so every decision can be tested by handing in octets.

mod invite;
mod stranger;
mod transfer;

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use imspec_reports::record::trace::Packet;
use imspec_reports::record::{Event, EventKind, StoreTime, Trace, UtcTime};
use imspec_wire::sip::Message;
use imspec_wire::sip::typed::{CSeq, Via};

use super::Place;
use super::call::Call;
use super::dialog::DialogId;
use super::message::{self, Given};
use super::secrets::Secrets;
use crate::evidence::content::Content;
use crate::evidence::{View, delivery};
use crate::link::Transport;
use crate::scenario::model::{Answer, HeaderValue, Receive, Step, Verb};
use crate::scenario::{Case, Template};

pub use invite::described;
pub(super) use invite::{Accepted, Calling, Invited};

/// Events that one case may write; what arrives beyond them is dropped.
const EVENTS: usize = 50_000;
/// Lost requests that are remembered.
const LOST: usize = 10_000;
/// Octets of messages that one case may keep.
const OCTETS: usize = 128 * 1024 * 1024;

/// How events are stamped: real time since the run began, and the store clock.
#[derive(Clone)]
pub struct Stamp {
    /// When the run began.
    pub begun: Instant,
    /// The store clock now, where it is known.
    pub store: Arc<dyn Fn() -> Option<StoreTime> + Send + Sync>,
}

impl std::fmt::Debug for Stamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stamp")
            .field("begun", &self.begun)
            .finish_non_exhaustive()
    }
}

/// When something happened, for what is written down later.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Moment {
    at_us: u64,
    store: Option<StoreTime>,
}

/// A `receive` step that may take a request.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Path of the step.
    pub step: String,
    receive: Receive,
    state: ClaimState,
    /// A copy is still to be lost on its way.
    loses: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClaimState {
    /// Still to come.
    Open,
    /// Has decided how an INVITE is answered, in a way after which no message will come whole: it takes
    /// what comes of that session.
    Bound { invite: u32 },
    /// Has its request; whether the answer is out.
    Taken { event: u32, answered: bool },
    /// Takes none any more.
    Closed,
}

/// Trace, transactions and claims of one case.
#[derive(Debug)]
pub struct Desk {
    case: Arc<Case>,
    stamp: Stamp,
    trace: Trace,
    octets: usize,
    full: bool,
    clients: HashMap<ClientKey, Client>,
    servers: HashMap<ServerKey, Server>,
    claims: Vec<Claim>,
    /// Sessions by the event that holds their INVITE, re-INVITEs included.
    calls: HashMap<u32, Arc<Call>>,
    /// ACKs to 2xx that came: Call-ID, our tag, number.
    acknowledged: HashSet<(String, String, u32)>,
    /// Messages of sessions that no step took.
    loose: Vec<u32>,
    /// Whom requests were for that are none of this case's.
    strangers: HashSet<String>,
    /// What no event tells.
    secrets: Secrets,
    /// Users, and which of their devices, that are out of reach; whether what was for them was told of.
    away: Vec<(String, Option<String>, bool)>,
    /// Requests of which a copy was lost because its recipient was out of reach.
    lost: HashSet<ServerKey>,
}

/// What makes a response belong to a request (RFC 3261 §17.1.3).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum ClientKey {
    /// Branch of the top Via, and method.
    Branch(String, String),
    /// Octets that have none: any response at that socket that belongs to no other request.
    Any(Place),
}

/// A request that was sent.
#[derive(Debug, Clone)]
pub(super) struct Client {
    step: String,
    proceeding: bool,
    answer: Option<(u32, u16)>,
    /// ACKs that are decided and not out yet.
    owes: u32,
    /// What an INVITE needs besides.
    calling: Option<Calling>,
}

/// What makes a request the same as an earlier one (RFC 3261 §17.2.3).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct ServerKey {
    place: Place,
    branch: String,
    sent_by: String,
    method: String,
}

#[expect(
    clippy::struct_excessive_bools,
    reason = "facts about one request that come and go independently"
)]
#[derive(Debug)]
struct Server {
    event: u32,
    user: String,
    device: String,
    method: String,
    /// Index of the claim that took it.
    claim: Option<usize>,
    /// A near miss that a step took when its time was up.
    taken: bool,
    answer: Option<Bytes>,
    /// Decided by a step that waits for what will come of it.
    decided: bool,
    /// An INVITE: cancelled, or its final response acknowledged.
    cancelled: bool,
    acked: bool,
}

/// What the agent does about a request.
#[derive(Debug)]
pub(super) enum Reply {
    /// Sends the same answer as before.
    Again { octets: Bytes, to: SocketAddr },
    /// Answers.
    Answer {
        octets: Bytes,
        after: Duration,
        key: ServerKey,
        to: SocketAddr,
        /// The session that ends with it.
        ends: Option<Arc<Call>>,
    },
    /// Answers an INVITE, which takes what only an open socket can tell.
    Invited(Box<Invited>),
    /// Acknowledges a final response that is no 2xx.
    Acknowledge {
        octets: Bytes,
        step: String,
        again: bool,
        key: ClientKey,
    },
    /// Answers what is none of this case's, without a word in the trace.
    TurnAway { octets: Bytes, to: SocketAddr },
    /// Acknowledges a 2xx, which is a request of its own.
    Accepted(Box<Accepted>),
    /// Closes the connection.
    Reset { key: ServerKey },
}

impl Desk {
    /// The desk of a case, with a claim for each of its `receive` steps.
    pub fn new(case: Arc<Case>, stamp: Stamp) -> Self {
        let mut claims = Vec::new();
        collect_claims(&case.steps, &mut claims);
        let users = case
            .users
            .iter()
            .map(|user| (user.role.clone(), user.uri()))
            .collect();
        Self {
            case,
            stamp,
            trace: Trace {
                users,
                events: Vec::new(),
            },
            octets: 0,
            full: false,
            clients: HashMap::new(),
            servers: HashMap::new(),
            claims,
            calls: HashMap::new(),
            acknowledged: HashSet::new(),
            loose: Vec::new(),
            strangers: HashSet::new(),
            secrets: Secrets::default(),
            away: Vec::new(),
            lost: HashSet::new(),
        }
    }

    /// The case.
    pub fn case(&self) -> &Case {
        &self.case
    }

    /// The trace so far.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The trace, for good.
    pub fn take_trace(&mut self) -> Trace {
        std::mem::take(&mut self.trace)
    }

    /// Puts a trace back that was taken.
    pub(super) fn put_trace(&mut self, trace: Trace) {
        self.trace = trace;
    }

    /// Sessions that stand.
    pub(super) fn standing_calls(&self) -> Vec<Arc<Call>> {
        let mut calls: Vec<Arc<Call>> = Vec::new();
        for call in self.calls.values().filter(|call| call.ended().is_none()) {
            if !calls.iter().any(|known| Arc::ptr_eq(known, call)) {
                calls.push(Arc::clone(call));
            }
        }
        calls
    }

    /// Writes an event; returns its id.
    pub fn note(&mut self, step: Option<&str>, kind: EventKind) -> u32 {
        let moment = self.moment();
        self.note_at(moment, step, kind)
    }

    /// Store time now, where it is known.
    pub(super) fn store_now(&self) -> Option<UtcTime> {
        (self.stamp.store)().map(|store| store.at)
    }

    /// Now.
    pub(super) fn moment(&self) -> Moment {
        Moment {
            at_us: u64::try_from(self.stamp.begun.elapsed().as_micros()).unwrap_or(u64::MAX),
            store: (self.stamp.store)(),
        }
    }

    /// Writes an event of an earlier moment; returns its id.
    pub(super) fn note_at(
        &mut self,
        moment: Moment,
        step: Option<&str>,
        mut kind: EventKind,
    ) -> u32 {
        if let EventKind::Sent(packet) | EventKind::Received(packet) = &kind {
            self.octets += packet.octets.len();
        }
        self.secrets.hide(&mut kind);
        let id = u32::try_from(self.trace.events.len()).unwrap_or(u32::MAX);
        self.trace.events.push(Event {
            id,
            at_us: moment.at_us,
            store: moment.store,
            step: step.filter(|step| !step.is_empty()).map(str::to_owned),
            kind,
        });
        id
    }

    /// What no event tells.
    pub(super) fn secrets(&mut self) -> &mut Secrets {
        &mut self.secrets
    }

    /// The request that the step claimed.
    pub fn taken(&self, step: &str) -> Option<u32> {
        self.claims
            .iter()
            .find(|claim| claim.step == step)
            .and_then(|claim| match claim.state {
                ClaimState::Taken { event, .. } => Some(event),
                _ => None,
            })
    }

    /// The request that the step claimed, once its answer is out.
    pub fn claimed(&self, step: &str) -> Option<u32> {
        self.claims
            .iter()
            .find(|claim| claim.step == step)
            .and_then(|claim| match claim.state {
                ClaimState::Taken {
                    event,
                    answered: true,
                } => Some(event),
                _ => None,
            })
    }

    /// Ends a step's claim. Gives the request that it has, or the closest of those that nobody claimed, if
    /// `nearest` is wanted. The second value tells whether it fitted.
    pub fn close_claim(&mut self, step: &str, nearest: bool) -> Option<(u32, bool)> {
        let index = self.claims.iter().position(|claim| claim.step == step)?;
        match self.claims[index].state {
            ClaimState::Taken { event, .. } => return Some((event, true)),
            // It has answered the INVITE as it should, and what comes of the session may never end.
            ClaimState::Bound { invite } => {
                self.claims[index].state = ClaimState::Taken {
                    event: invite,
                    answered: true,
                };
                return Some((invite, true));
            }
            ClaimState::Open | ClaimState::Closed => {}
        }
        self.claims[index].state = ClaimState::Closed;
        if !nearest {
            return None;
        }
        let receive = self.claims[index].receive.clone();
        let event = self.nearest(step, &receive)?;
        for server in self
            .servers
            .values_mut()
            .filter(|server| server.event == event)
        {
            server.taken = true;
        }
        self.not_loose(event);
        Some((event, false))
    }

    /// Gives up the claims of steps that will not be run: a branch that is not taken. What they had is
    /// offered to the others.
    pub fn withdraw(&mut self, steps: &[Step]) {
        let mut gone = Vec::new();
        collect_claims(steps, &mut gone);
        for step in gone.iter().map(|claim| &claim.step) {
            let Some(index) = self.claims.iter().position(|claim| claim.step == *step) else {
                continue;
            };
            let state = std::mem::replace(&mut self.claims[index].state, ClaimState::Closed);
            let ClaimState::Taken { event, answered } = state else {
                continue;
            };
            if self.is_transfer(event) {
                self.offer_transfer(event);
                continue;
            }
            let Some((key, message)) = self.request_of(event) else {
                continue;
            };
            let claim = self.find_claim(&key.place, &message);
            if let Some(other) = claim {
                self.claims[other].state = ClaimState::Taken { event, answered };
            } else {
                self.note(None, EventKind::Unclaimed { event });
            }
            if let Some(server) = self.servers.get_mut(&key) {
                server.claim = claim;
            }
        }
    }

    pub(super) fn expect_answer(&mut self, key: ClientKey, client: Client) {
        self.clients.insert(key, client);
    }

    /// The final response to a request, if it is there and acknowledged where it must be: event and status.
    pub(super) fn answer(&self, key: &ClientKey) -> Option<(u32, u16)> {
        let client = self.clients.get(key)?;
        client.answer.filter(|_| client.owes == 0)
    }

    /// Whether anything came back for a request.
    pub(super) fn is_heard(&self, key: &ClientKey) -> bool {
        let client = self.clients.get(key);
        client.is_some_and(|client| client.proceeding || client.answer.is_some())
    }

    /// An ACK that was decided is out, or cannot be sent.
    pub(super) fn acknowledgement_done(&mut self, key: &ClientKey) {
        if let Some(client) = self.clients.get_mut(key) {
            client.owes = client.owes.saturating_sub(1);
        }
    }

    /// Whether ACKs are still to go out.
    pub(super) fn owes(&self) -> bool {
        self.clients.values().any(|client| client.owes > 0)
    }

    /// Whether a provisional response came.
    pub(super) fn proceeding(&self, key: &ClientKey) -> bool {
        self.clients
            .get(key)
            .is_some_and(|client| client.proceeding)
    }

    /// Takes what arrived at a socket; says what to do about it.
    pub(super) fn arrived(
        &mut self,
        place: &Place,
        packet: Packet,
        from: SocketAddr,
    ) -> Vec<Reply> {
        if !self.room(packet.octets.len()) {
            return Vec::new();
        }
        let message = match Message::parse(packet.octets.0.clone()) {
            Ok(message) => message,
            Err(e) => {
                self.note(None, EventKind::Received(packet));
                self.note(
                    None,
                    EventKind::Note {
                        text: format!("what arrived is no SIP message: {e}"),
                    },
                );
                return Vec::new();
            }
        };
        if message.is_request() && self.is_away(place, &message) {
            return Vec::new();
        }
        if let Some(status) = message.status() {
            return self
                .response(place, packet, &message, status)
                .into_iter()
                .collect();
        }
        self.request(place, packet, &message, from)
    }

    /// A device of a user, or all of them, hears nothing any more: what is for it is lost, as in a network without
    /// coverage. Answers to what it says itself still arrive.
    pub fn leaves(&mut self, user: &str, device: Option<&str>) {
        self.returns(user, device);
        let away = (user.to_owned(), device.map(str::to_owned), false);
        self.away.push(away);
    }

    /// A device of a user is in reach again; gives whether it was not.
    pub fn returns(&mut self, user: &str, device: Option<&str>) -> bool {
        let before = self.away.len();
        self.away.retain(|(whose, which, _)| {
            whose != user
                || device.is_some() && which.as_deref().is_some_and(|one| Some(one) != device)
        });
        self.away.len() < before
    }

    /// Whether a request is for somebody who is out of reach; the first such is told of.
    fn is_away(&mut self, place: &Place, message: &Message) -> bool {
        let gone = self.away.iter_mut().find(|(user, device, _)| {
            *user == place.user && device.as_ref().is_none_or(|one| *one == place.device)
        });
        let Some((_, _, told)) = gone else {
            return false;
        };
        let first = !std::mem::replace(told, true);
        if self.lost.len() < LOST {
            self.lost.insert(ServerKey::of(place, message));
        }
        if first {
            let text = format!(
                "a {} for {} was lost: he is out of reach",
                message.method().unwrap_or_default(),
                place.user
            );
            self.note(None, EventKind::Note { text });
        }
        true
    }

    /// Whether the trace has room for so many octets more.
    pub(super) fn room(&mut self, octets: usize) -> bool {
        if self.trace.events.len() < EVENTS && self.octets.saturating_add(octets) <= OCTETS {
            return true;
        }
        if !std::mem::replace(&mut self.full, true) {
            let text = format!(
                "the trace is full ({EVENTS} events or {OCTETS} octets); what arrives from here on is dropped"
            );
            self.note(None, EventKind::Note { text });
        }
        false
    }

    /// The answer to a request goes out.
    pub(super) fn answered(&mut self, key: &ServerKey, packet: Packet) {
        let octets = packet.octets.0.clone();
        self.note(None, EventKind::Sent(packet));
        let Some(server) = self.servers.get_mut(key) else {
            return;
        };
        server.answer = Some(octets);
        let (event, claim, decided) = (server.event, server.claim, server.decided);
        match claim {
            Some(index) => {
                self.claims[index].state = ClaimState::Taken {
                    event,
                    answered: true,
                }
            }
            None if decided => {}
            None => drop(self.note(None, EventKind::Unclaimed { event })),
        }
    }

    /// A request is not answered, as its step wants it.
    pub(super) fn dismissed(&mut self, key: &ServerKey) {
        let Some(server) = self.servers.get(key) else {
            return;
        };
        if let Some(index) = server.claim {
            self.claims[index].state = ClaimState::Taken {
                event: server.event,
                answered: true,
            };
        }
    }

    fn response(
        &mut self,
        place: &Place,
        mut packet: Packet,
        message: &Message,
        status: u16,
    ) -> Option<Reply> {
        let key = ClientKey::of_message(message)
            .filter(|key| self.clients.contains_key(key))
            .or_else(|| {
                Some(ClientKey::Any(place.clone())).filter(|key| self.clients.contains_key(key))
            });
        let Some(key) = key else {
            self.note(None, EventKind::Received(packet));
            return None;
        };
        let client = self.clients.get(&key);
        let step = client.map(|client| client.step.clone());
        packet.retransmission = client.is_some_and(|client| client.answer.is_some());
        let event = self.note(step.as_deref(), EventKind::Received(packet));
        let client = self.clients.get_mut(&key)?;
        if status < 200 {
            client.proceeding = true;
            return None;
        }
        let first = client.answer.is_none();
        client.answer.get_or_insert((event, status));
        let client = client.clone();
        let reply = self.final_response(&key, client, message, status, event, first);
        if reply.is_some()
            && let Some(client) = self.clients.get_mut(&key)
        {
            client.owes += 1;
        }
        reply
    }

    #[expect(
        clippy::too_many_lines,
        reason = "the one decision about a request, in the order in which RFC 3261 §8.2 asks"
    )]
    fn request(
        &mut self,
        place: &Place,
        mut packet: Packet,
        message: &Message,
        from: SocketAddr,
    ) -> Vec<Reply> {
        let to = message::answer_address(message, from);
        let method = message.method().unwrap_or_default().to_owned();
        if let Some(stranger) = stranger::addressee(&self.case.users, message) {
            return self.turn_away(&stranger, message, to, from);
        }
        let key = ServerKey::of(place, message);
        if let Some(server) = self.servers.get_mut(&key) {
            // An ACK belongs to the transaction of its INVITE and is never answered (RFC 3261 §17.2.1).
            let is_ack = method == "ACK";
            server.acked |= is_ack;
            let again = server
                .answer
                .clone()
                .filter(|_| !is_ack)
                .map(|octets| Reply::Again { octets, to });
            packet.retransmission = !is_ack;
            self.note(None, EventKind::Received(packet));
            return again.into_iter().collect();
        }
        if self.lost.contains(&key) && !self.is_awaited(place, message) {
            return self.came_late(&key, message, to, from);
        }
        if self.is_lost_once(place, message) {
            return Vec::new();
        }
        let event = self.note(None, EventKind::Received(packet));
        if method == "ACK" {
            self.acknowledge(message);
            return Vec::new();
        }
        let mut server = Server {
            event,
            user: place.user.clone(),
            device: place.device.clone(),
            method: method.clone(),
            claim: None,
            taken: false,
            answer: None,
            decided: false,
            cancelled: false,
            acked: false,
        };
        if method == "CANCEL" {
            self.servers.insert(key.clone(), server);
            return self.cancelled(key, message, from, to);
        }
        let dialog = DialogId::of_request(message);
        let call = dialog.as_ref().and_then(|id| self.call_in(id));
        // Within a session nothing is claimed but what a step names.
        let named = call.is_some() || method == "BYE";
        server.claim = if method == "INVITE" {
            None
        } else {
            self.find_claim(place, message)
        };
        server.decided = named;
        if method == "INVITE" {
            let tagged = dialog.is_some();
            return self.invited(place, message, (key, server), call, tagged, from);
        }
        let claim = server.claim;
        self.servers.insert(key.clone(), server);
        let (status, after, headers) = match claim {
            // RFC 3261 §12.2.2, §15.1.2: what belongs to no dialog of ours.
            None if call.is_none()
                && (method == "BYE" || method == "UPDATE" && dialog.is_some()) =>
            {
                (481, Duration::ZERO, Vec::new())
            }
            None => (200, Duration::ZERO, Vec::new()),
            Some(index) => {
                self.claims[index].state = ClaimState::Taken {
                    event,
                    answered: false,
                };
                let step = self.claims[index].step.clone();
                match self.claims[index].receive.answer.clone() {
                    Answer::Status {
                        status,
                        after_ms,
                        headers,
                    } => (
                        status,
                        Duration::from_millis(after_ms),
                        self.fill(&headers, &step),
                    ),
                    Answer::Silence => {
                        self.claims[index].state = ClaimState::Taken {
                            event,
                            answered: true,
                        };
                        return Vec::new();
                    }
                    Answer::Reset => return vec![Reply::Reset { key }],
                }
            }
        };
        let body = call
            .as_ref()
            .filter(|_| method == "UPDATE" && !message.body().is_empty())
            .and_then(|call| call.own_sdp());
        let ends = call.filter(|_| method == "BYE");
        if let Some(call) = &ends {
            call.end(super::call::End::Remote);
        }
        let octets = match body {
            None => message::answer(message, status, &headers, from),
            Some(body) => {
                let mut headers = headers;
                headers.push(Given {
                    name: "Content-Type".into(),
                    values: vec![b"application/sdp".to_vec()],
                });
                message::answer_with(message, status, &headers, from, body)
            }
        };
        vec![Reply::Answer {
            octets,
            after,
            key,
            to,
            ends,
        }]
    }

    /// Answers what is for nobody here, as RFC 3261 §8.2.2.1 wants it.
    fn turn_away(
        &mut self,
        stranger: &str,
        message: &Message,
        to: SocketAddr,
        from: SocketAddr,
    ) -> Vec<Reply> {
        let method = message.method().unwrap_or_default();
        if self.strangers.insert(stranger.to_owned()) {
            let text = format!(
                "{method} for {stranger}, who is no user of this case, came from {from}: left over from an earlier \
                 one, answered with 404 and not judged"
            );
            self.note(None, EventKind::Note { text });
        }
        if method == "ACK" {
            return Vec::new();
        }
        let octets = message::answer(message, 404, &[], from);
        vec![Reply::TurnAway { octets, to }]
    }

    /// Whether a `receive` still to come takes a request.
    fn is_awaited(&self, place: &Place, message: &Message) -> bool {
        if message.method() == Some("INVITE") {
            self.find_invite_claim(place).is_some()
        } else {
            self.find_claim(place, message).is_some()
        }
    }

    /// Whether this is the copy that a step wants lost. Nothing gets lost in a stream.
    fn is_lost_once(&mut self, place: &Place, message: &Message) -> bool {
        if place.transport != Transport::Udp {
            return false;
        }
        let claim = self.find_claim(place, message);
        let Some(claim) = claim.map(|index| &mut self.claims[index]) else {
            return false;
        };
        if !std::mem::take(&mut claim.loses) {
            return false;
        }
        let step = claim.step.clone();
        let text = format!(
            "a {} for {} is lost on its way, as a datagram may be",
            message.method().unwrap_or_default(),
            place.user
        );
        self.note(Some(&step), EventKind::Note { text });
        true
    }

    /// Takes a copy of what was sent when its recipient was out of reach, and nobody waits for: when it was sent it
    /// may have been right, so it is no evidence now.
    fn came_late(
        &mut self,
        key: &ServerKey,
        message: &Message,
        to: SocketAddr,
        from: SocketAddr,
    ) -> Vec<Reply> {
        let method = message.method().unwrap_or_default();
        if method == "ACK" {
            return Vec::new();
        }
        let text = format!(
            "a {method} of which copies were lost while {} was out of reach came late, and is not judged",
            key.place.user
        );
        self.note(None, EventKind::Note { text });
        // A session is not begun for it; a message is taken, or it would come again.
        let status = if method == "INVITE" { 480 } else { 200 };
        let octets = message::answer(message, status, &[], from);
        vec![Reply::TurnAway { octets, to }]
    }

    /// The first `receive` still to come that fits.
    fn find_claim(&self, place: &Place, message: &Message) -> Option<usize> {
        self.claims.iter().position(|claim| {
            claim.state == ClaimState::Open
                && claim.is_at(&place.user, &place.device)
                && message.method() == Some(claim.receive.method.as_deref().unwrap_or("MESSAGE"))
                && claim.receive.of.as_ref().is_none_or(|of| {
                    self.saved_content(of, &claim.step)
                        .is_some_and(|sent| delivery::carries(message, sent))
                })
        })
    }

    /// Of the deliveries that nobody claimed, the one most like the message that the step waits for. One that
    /// is a delivery of another saved message is none of it.
    fn nearest(&self, step: &str, receive: &Receive) -> Option<u32> {
        let wanted = receive
            .of
            .as_ref()
            .and_then(|of| self.saved_content(of, step));
        let view = View::new(&self.case, &self.trace);
        let others: Vec<Content> = view
            .names()
            .filter_map(|name| view.saved_content(name))
            .map(|(_, content)| content)
            .filter(|other| {
                other.length() > 0
                    && wanted
                        .as_ref()
                        .is_none_or(|wanted| !same_octets(wanted, other))
            })
            .collect();
        let requests = self
            .servers
            .values()
            .filter(|server| {
                server.claim.is_none()
                    && !server.taken
                    && server.user == receive.at
                    && server.method == receive.method.as_deref().unwrap_or("MESSAGE")
                    && receive
                        .device
                        .as_ref()
                        .is_none_or(|device| *device == server.device)
            })
            .map(|server| server.event);
        let by_session = self.loose_at(receive);
        requests
            .chain(by_session)
            .filter_map(|event| {
                let content = view.content(view.event(event)?)?;
                if others
                    .iter()
                    .any(|other| delivery::carries(&content, other))
                {
                    return None;
                }
                let likeness = wanted
                    .as_ref()
                    .map_or(0, |wanted| delivery::likeness(&content, wanted));
                Some((std::cmp::Reverse(likeness), event))
            })
            .min()
            .map(|(_, event)| event)
    }

    fn saved_content(&self, of: &Template, step: &str) -> Option<Content> {
        let view = View::new(&self.case, &self.trace);
        let name = view.text(of, step).ok()?;
        view.saved_content(&name).map(|(_, content)| content)
    }

    fn request_of(&self, event: u32) -> Option<(ServerKey, Message)> {
        let key = self
            .servers
            .iter()
            .find(|(_, server)| server.event == event)?
            .0
            .clone();
        let message = self
            .trace
            .events
            .get(event as usize)
            .and_then(crate::evidence::message_of)?;
        Some((key, message))
    }

    fn fill(&mut self, headers: &[(Template, HeaderValue)], step: &str) -> Vec<Given> {
        let mut given = Vec::new();
        let mut mistakes = Vec::new();
        let view = View::new(&self.case, &self.trace);
        for (name, value) in headers {
            let HeaderValue::Values(values) = value else {
                continue;
            };
            let values: Result<Vec<_>, _> = values
                .iter()
                .map(|value| view.text(value, step).map(String::into_bytes))
                .collect();
            match (view.text(name, step), values) {
                (Ok(name), Ok(values)) => given.push(Given { name, values }),
                (Err(why), _) | (_, Err(why)) => mistakes.push(why.to_string()),
            }
        }
        for text in mistakes {
            self.note(
                Some(step),
                EventKind::Note {
                    text: format!("a header of the answer has no value: {text}"),
                },
            );
        }
        given
    }
}

impl ClientKey {
    /// The key of a request that goes out.
    pub(super) fn of(octets: &Bytes, place: &Place) -> Self {
        Message::parse(octets.clone())
            .ok()
            .filter(Message::is_request)
            .and_then(|message| Self::of_message(&message))
            .unwrap_or_else(|| Self::Any(place.clone()))
    }

    fn of_message(message: &Message) -> Option<Self> {
        let via = message.typed::<Via>()?.ok()?;
        let cseq = message.typed::<CSeq>()?.ok()?;
        Some(Self::Branch(
            via.branch()?.to_ascii_lowercase(),
            cseq.method,
        ))
    }
}

impl Client {
    pub(super) fn new(step: &str) -> Self {
        Self {
            step: step.to_owned(),
            proceeding: false,
            answer: None,
            owes: 0,
            calling: None,
        }
    }

    /// An INVITE.
    pub(super) fn inviting(step: &str, calling: Calling) -> Self {
        Self {
            calling: Some(calling),
            ..Self::new(step)
        }
    }
}

impl Claim {
    fn is_at(&self, user: &str, device: &str) -> bool {
        self.receive.at == user
            && self
                .receive
                .device
                .as_ref()
                .is_none_or(|wanted| wanted == device)
    }
}

impl ServerKey {
    fn of(place: &Place, message: &Message) -> Self {
        let method = match message.method().unwrap_or_default() {
            "ACK" => "INVITE",
            other => other,
        };
        let via = message.typed::<Via>().and_then(Result::ok);
        let branch = via
            .as_ref()
            .and_then(Via::branch)
            .filter(|branch| branch.starts_with("z9hG4bK"));
        let (branch, sent_by) = if let (Some(via), Some(branch)) = (&via, branch) {
            let host = via.host.to_string().to_ascii_lowercase();
            (
                branch.to_ascii_lowercase(),
                format!("{host}:{}", via.port.unwrap_or(5060)),
            )
        } else {
            // Without a branch of RFC 3261 the header fields that never change must do (RFC 3261 §17.2.3).
            let fields = ["Call-ID", "CSeq", "From", "To", "Via"].map(|name| {
                message
                    .header(name)
                    .map(|header| header.text().into_owned())
                    .unwrap_or_default()
            });
            (fields.join("\n"), String::new())
        };
        Self {
            place: place.clone(),
            branch,
            sent_by,
            method: method.to_owned(),
        }
    }
}

/// Whether two messages say the same.
fn same_octets(a: &Content, b: &Content) -> bool {
    match (a.octets(), b.octets()) {
        (Some(a), Some(b)) => a == b,
        _ => a.digest().is_some() && a.digest() == b.digest(),
    }
}

fn collect_claims(steps: &[Step], claims: &mut Vec<Claim>) {
    for step in steps {
        match &step.verb {
            Verb::Receive(receive) => claims.push(Claim {
                step: step.path.clone(),
                receive: receive.clone(),
                state: ClaimState::Open,
                loses: receive.lose_first,
            }),
            Verb::Parallel(branches) => branches
                .iter()
                .for_each(|branch| collect_claims(branch, claims)),
            Verb::When(when) => {
                collect_claims(&when.then, claims);
                collect_claims(&when.otherwise, claims);
            }
            _ => {}
        }
    }
}
