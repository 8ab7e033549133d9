//! One message session of an agent: both paths, the connection that it is bound to, the messages that come
//! in through it, and those that went out and may still be reported on.
//!
//! Nothing here waits or writes: what arrives is handed in, and what is to be done about it comes back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use imspec_reports::record::stored::BodyDigest;
use imspec_wire::msrp::{
    ByteRange, Chunk, FailureReport, Flag, Head, Limits, Outcome, Reassembly, Refusal, Reporting,
};
use imspec_wire::sdp::Role;
use tokio::net::TcpSocket;
use tokio::time::Instant;

use super::super::sdp::{Ground, Remote};
use super::Owner;
use super::connection::Connection;
use super::content::Spool;
use super::ledger::{Held, Ledger};
use super::ship::Parcel;

/// Messages of one session that may be incomplete at the same time.
const UNFINISHED: usize = 64;
/// What is taken of a message.
const LIMITS: Limits = Limits {
    line: 16 * 1024,
    headers: 512,
    head: 64 * 1024,
    chunk: 0,
    message: 256 * 1024 * 1024,
    fragments: 4096,
};

/// How an agent behaves in a session, references filled in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Conduct {
    /// What SENDs are answered with; `None`: 200.
    pub status: Option<crate::scenario::model::MsrpAnswer>,
    /// Pause before each answer.
    pub pause: Duration,
    /// Octets of content after which the connection is reset.
    pub reset_after: Option<u64>,
    /// Octets of content after which BYE is sent.
    pub bye_after: Option<u64>,
    /// The MSRP connection is neither made nor taken.
    pub never_connects: bool,
}

/// A message session.
#[derive(Debug)]
pub struct Session {
    owner: Owner,
    ground: Ground,
    conduct: Conduct,
    /// Id of the event that holds the INVITE.
    invite: OnceLock<u32>,
    state: Mutex<State>,
    /// Held while a connection is made, so that one is made.
    pub(super) connecting: tokio::sync::Mutex<()>,
    /// The port of a session that takes no connection.
    _shut: Option<TcpSocket>,
}

#[derive(Debug, Default)]
struct State {
    remote: Option<Remote>,
    role: Option<Role>,
    cema: bool,
    connection: Option<Arc<Connection>>,
    ended: bool,
    messages: HashMap<String, Incoming>,
    parcels: Vec<Arc<Parcel>>,
    /// Octets of content so far.
    octets: u64,
    /// When the last of them came.
    heard: Option<Instant>,
    /// What `reset_after` or `bye_after` asks for was done.
    cut: bool,
}

/// A message that comes in.
#[derive(Debug)]
struct Incoming {
    reassembly: Reassembly,
    spool: Spool,
    sends: Vec<u32>,
    ledger: Ledger,
    wants_report: bool,
    /// Why its content could not be kept.
    lost: Option<String>,
    done: bool,
}

/// What a scenario wants to happen once so many octets of content are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mischief {
    Reset,
    Bye,
}

/// What a SEND was, once it has ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// The status of its response; `None`: none is sent.
    pub(super) status: Option<(u16, &'static str)>,
    /// The message is complete: its range, where success is to be reported.
    pub(super) report: Option<ByteRange>,
    pub(super) complete: bool,
}

/// A message that came in, whole or in part.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) message_id: String,
    pub(super) sends: Vec<u32>,
    pub(super) content: Option<Bytes>,
    pub(super) digest: BodyDigest,
    pub(super) complete: bool,
    /// Frames that were held back, and how many were left out.
    pub(super) held: (Vec<Held>, u64),
}

impl Session {
    pub(in super::super) fn new(
        owner: Owner,
        ground: Ground,
        conduct: Conduct,
        shut: Option<TcpSocket>,
    ) -> Self {
        Self {
            owner,
            ground,
            conduct,
            invite: OnceLock::new(),
            state: Mutex::default(),
            connecting: tokio::sync::Mutex::new(()),
            _shut: shut,
        }
    }

    /// Whose it is.
    pub(in super::super) fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Where it is.
    pub(in super::super) fn ground(&self) -> &Ground {
        &self.ground
    }

    /// Whether the agent is behind a relay.
    pub(in super::super) fn is_relayed(&self) -> bool {
        !self.ground.relays.is_empty()
    }

    /// How it behaves.
    pub(super) fn conduct(&self) -> Conduct {
        self.conduct
    }

    /// The event that holds its INVITE.
    pub(in super::super) fn set_invite(&self, event: u32) {
        let _ = self.invite.set(event);
    }

    /// The event that holds its INVITE.
    pub(in super::super) fn invite(&self) -> u32 {
        self.invite.get().copied().unwrap_or_default()
    }

    /// Both descriptions are known.
    pub(in super::super) fn agreed(&self, remote: Remote, role: Role, cema: bool) {
        let mut state = self.state();
        state.remote = Some(remote);
        state.role = Some(role);
        state.cema = cema;
    }

    /// What the other end says, and whether we offered CEMA.
    pub(super) fn remote(&self) -> Option<(Remote, bool)> {
        let state = self.state();
        Some((state.remote.clone()?, state.cema))
    }

    /// Who opens the connection.
    pub(in super::super) fn role(&self) -> Option<Role> {
        self.state().role
    }

    /// The connection that it is bound to, as long as that is open.
    pub(super) fn connection(&self) -> Option<Arc<Connection>> {
        self.state()
            .connection
            .clone()
            .filter(|connection| connection.is_open())
    }

    /// Binds it to a connection, unless it is bound to another one that is open (RFC 4975 §5.4).
    pub(super) fn bind(&self, connection: &Arc<Connection>) -> bool {
        let mut state = self.state();
        if let Some(bound) = &state.connection
            && bound.is_open()
        {
            return Arc::ptr_eq(bound, connection);
        }
        state.connection = Some(Arc::clone(connection));
        true
    }

    /// Whether it is over.
    pub(super) fn is_over(&self) -> bool {
        self.state().ended
    }

    /// It is over. Gives its connection.
    pub(super) fn end(&self) -> Option<Arc<Connection>> {
        let mut state = self.state();
        state.ended = true;
        state.connection.clone()
    }

    /// A message of ours that may be reported on.
    pub(super) fn sent(&self, parcel: &Arc<Parcel>) {
        let mut state = self.state();
        if !state.parcels.iter().any(|known| Arc::ptr_eq(known, parcel)) {
            state.parcels.push(Arc::clone(parcel));
        }
    }

    /// The message of ours that a REPORT speaks of.
    pub(super) fn parcel(&self, message_id: &str) -> Option<Arc<Parcel>> {
        let state = self.state();
        let found = state
            .parcels
            .iter()
            .rev()
            .find(|parcel| parcel.message_id == message_id);
        found.cloned()
    }

    /// A SEND with a body begins. An error is the status with which it is refused.
    pub(super) fn begin(&self, head: &Head) -> Result<Chunk, (u16, &'static str)> {
        let id = head.message_id().unwrap_or_default();
        let mut state = self.state();
        if !state.messages.contains_key(id) {
            let open = state.messages.values().filter(|message| !message.done);
            if open.count() >= UNFINISHED {
                return Err((413, "Too many unfinished messages"));
            }
        }
        let message = state
            .messages
            .entry(id.to_owned())
            .or_insert_with(Incoming::new);
        message.wants_report |= head.success_report();
        message
            .reassembly
            .begin(head.byte_range().and_then(Result::ok))
            .map_err(refused)
    }

    /// Some of its octets. The second value says what the scenario wants to happen now.
    pub(super) fn take(
        &self,
        message_id: &str,
        chunk: &mut Chunk,
        octets: &[u8],
    ) -> (Result<(), (u16, &'static str)>, Option<Mischief>) {
        let mut state = self.state();
        state.octets += octets.len() as u64;
        state.heard = Some(Instant::now());
        let reached = |limit: Option<u64>| limit.is_some_and(|limit| state.octets >= limit);
        let mischief = if state.cut {
            None
        } else if reached(self.conduct.reset_after) {
            Some(Mischief::Reset)
        } else if reached(self.conduct.bye_after) {
            Some(Mischief::Bye)
        } else {
            None
        };
        state.cut |= mischief.is_some();
        let Some(message) = state.messages.get_mut(message_id) else {
            return (Ok(()), mischief);
        };
        let placed = match message.reassembly.take(chunk, octets.len()) {
            Ok(placed) => placed,
            Err(refusal) => return (Err(refused(refusal)), mischief),
        };
        if !message.done
            && let Err(why) = message.spool.write(placed.range.start, octets)
        {
            message.lost.get_or_insert(why.to_string());
        }
        (Ok(()), mischief)
    }

    /// Notes a frame of a message with its ledger; see [`Ledger::frame`].
    pub(super) fn ledger<T>(
        &self,
        message_id: &str,
        ask: impl FnOnce(&mut Ledger) -> T,
    ) -> Option<T> {
        let mut state = self.state();
        state
            .messages
            .get_mut(message_id)
            .map(|message| ask(&mut message.ledger))
    }

    /// The event that holds a SEND of a message.
    pub(super) fn noted(&self, message_id: &str, event: u32) {
        if let Some(message) = self.state().messages.get_mut(message_id) {
            message.sends.push(event);
        }
    }

    /// Its end came.
    pub(super) fn finish(&self, head: &Head, chunk: &Chunk, flag: Flag) -> Ended {
        let id = head.message_id().unwrap_or_default();
        let mut state = self.state();
        // Who has sent BYE takes no more: a message whose end was on its way has not arrived.
        let left = state.cut && self.conduct.bye_after.is_some();
        let Some(message) = state.messages.get_mut(id) else {
            return Ended {
                status: self.status(head, 200, "OK"),
                report: None,
                complete: false,
            };
        };
        let outcome = message.reassembly.end(chunk, flag);
        if left {
            return Ended {
                status: self.status(head, 481, "The session was ended"),
                report: None,
                complete: false,
            };
        }
        let (status, comment) = match outcome {
            Outcome::Conflict(_) => (400, "The chunks contradict one another"),
            _ if message.lost.is_some() => (413, "The content cannot be kept"),
            _ => (200, "OK"),
        };
        let accepts = self.conduct.status.is_none() && status == 200;
        let report = (accepts && message.wants_report)
            .then(|| Reporting::Complete.due(&message.reassembly, chunk, outcome))
            .flatten();
        Ended {
            status: self.status(head, status, comment),
            report,
            complete: matches!(outcome, Outcome::Complete(_)) && !message.done,
        }
    }

    /// What a SEND is answered with, as far as its sender wants to hear of it (RFC 4975 §7.2).
    pub(super) fn status(
        &self,
        head: &Head,
        status: u16,
        comment: &'static str,
    ) -> Option<(u16, &'static str)> {
        use crate::scenario::model::MsrpAnswer;
        let (status, comment) = match self.conduct.status {
            Some(MsrpAnswer::Silence) => return None,
            Some(MsrpAnswer::Status(status)) => (status, ""),
            None => (status, comment),
        };
        head.failure_report()
            .allows_response(status)
            .then_some((status, comment))
    }

    /// Takes a message out, complete or not.
    pub(super) fn arrived(&self, message_id: &str, complete: bool) -> Option<Arrived> {
        let mut state = self.state();
        let message = state.messages.get_mut(message_id)?;
        if std::mem::replace(&mut message.done, true) {
            return None;
        }
        let spool = std::mem::take(&mut message.spool);
        let length = match message.reassembly.total() {
            Some(total) if complete => total,
            _ => message.reassembly.coverage().prefix(),
        };
        let sends = std::mem::take(&mut message.sends);
        let held = message.ledger.close();
        drop(state);
        let (content, digest) = spool.finish(length).unwrap_or_else(|_| {
            let nothing = super::content::Content::Octets(Bytes::new());
            (None, nothing.digest())
        });
        Some(Arrived {
            message_id: message_id.to_owned(),
            sends,
            content,
            digest,
            complete,
            held,
        })
    }

    /// When something last came of a message that is not complete yet.
    pub(in super::super) fn arriving(&self) -> Option<Instant> {
        let state = self.state();
        let open = !state.ended && state.messages.values().any(|message| !message.done);
        state.heard.filter(|_| open)
    }

    /// The messages of which not all came.
    pub(super) fn unfinished(&self) -> Vec<String> {
        let state = self.state();
        let open = state.messages.iter().filter(|(_, message)| !message.done);
        let mut ids: Vec<String> = open.map(|(id, _)| id.clone()).collect();
        ids.sort();
        ids
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Incoming {
    fn new() -> Self {
        Self {
            reassembly: Reassembly::new(&LIMITS),
            spool: Spool::default(),
            sends: Vec::new(),
            ledger: Ledger::default(),
            wants_report: false,
            lost: None,
            done: false,
        }
    }
}

fn refused(refusal: Refusal) -> (u16, &'static str) {
    match refusal {
        Refusal::TooLong { .. } => (413, "The message is too long"),
        Refusal::TooManyFragments(_) => (413, "The message is in too many parts"),
    }
}

/// Whether a SEND is answered at all.
pub(super) fn answers(head: &Head, status: u16) -> bool {
    let report: FailureReport = head.failure_report();
    report.allows_response(status)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use imspec_wire::msrp::{self, Frame};

    use super::*;
    use crate::scenario::model::MsrpAnswer;

    fn session(conduct: Conduct) -> Session {
        let ground = Ground {
            path: "msrp://127.0.0.1:7000/own;tcp".into(),
            own: "msrp://127.0.0.1:7000/own;tcp".into(),
            relays: Vec::new(),
            told: None,
            listens: "127.0.0.1:7000".parse().unwrap(),
            secure: false,
            fingerprint: None,
            id: 1,
        };
        let owner = Owner {
            user: "bob".into(),
            device: "phone".into(),
        };
        Session::new(owner, ground, conduct, None)
    }

    fn head(message_id: &str, range: &str, more: &[(&str, &str)]) -> Head {
        let builder = msrp::Builder::request("SEND", "a1b2")
            .to_path("msrp://127.0.0.1:7000/own;tcp")
            .from_path("msrp://127.0.0.1:7001/theirs;tcp")
            .header("Message-ID", message_id)
            .header("Byte-Range", range);
        let builder = more.iter().fold(builder, |builder, (name, value)| {
            builder.header(name, value)
        });
        let octets = builder
            .header("Content-Type", "text/plain")
            .body("x")
            .octets();
        let frame = Frame::parse(octets, &Limits::default()).unwrap();
        frame.head().clone()
    }

    /// A chunk comes; gives what it was.
    fn chunk(session: &Session, head: &Head, octets: &[u8], flag: Flag) -> Ended {
        let mut chunk = session.begin(head).unwrap();
        let id = head.message_id().unwrap();
        session.take(id, &mut chunk, octets).0.unwrap();
        session.finish(head, &chunk, flag)
    }

    #[test]
    fn a_message_in_any_order_comes_once_and_whole() {
        let session = session(Conduct::default());
        let wants = [("Success-Report", "yes")];
        let ended = chunk(
            &session,
            &head("m1", "5-8/8", &wants),
            b"five",
            Flag::Complete,
        );
        assert!(!ended.complete && ended.report.is_none());
        assert_eq!(session.unfinished(), ["m1"]);
        assert!(session.arriving().is_some());
        let ended = chunk(&session, &head("m1", "1-4/8", &wants), b"high", Flag::More);
        assert_eq!(ended.status, Some((200, "OK")));
        assert_eq!(ended.report.unwrap().to_string(), "1-8/8");
        assert!(ended.complete);
        let arrived = session.arrived("m1", true).unwrap();
        assert_eq!(arrived.content.unwrap(), "highfive");
        assert!(session.arrived("m1", true).is_none(), "it is told once");
        let again = chunk(&session, &head("m1", "1-4/8", &wants), b"high", Flag::More);
        assert!(!again.complete, "what comes again is no second message");
        assert!(session.unfinished().is_empty() && session.arriving().is_none());
    }

    #[test]
    fn only_so_many_messages_may_be_unfinished() {
        let session = session(Conduct::default());
        for number in 0..UNFINISHED {
            let head = head(&format!("m{number}"), "1-4/8", &[]);
            assert_eq!(
                chunk(&session, &head, b"high", Flag::More).status,
                Some((200, "OK"))
            );
        }
        let one_more = head("more", "1-4/8", &[]);
        assert_eq!(session.begin(&one_more).unwrap_err().0, 413);
        assert!(
            session.begin(&head("m0", "5-8/8", &[])).is_ok(),
            "a known one may go on"
        );
        session.arrived("m0", false);
        assert!(session.begin(&one_more).is_ok());
    }

    #[test]
    fn a_message_that_claims_to_be_endless_is_refused_and_takes_no_memory() {
        let session = session(Conduct::default());
        for range in ["1-*/268435457", "1-4/9223372036854775808", "268435458-*/*"] {
            assert_eq!(
                session.begin(&head(range, range, &[])).unwrap_err().0,
                413,
                "{range}"
            );
        }
        assert!(session.begin(&head("m1", "1-*/268435456", &[])).is_ok());
    }

    #[test]
    fn a_message_in_too_many_parts_is_refused() {
        let session = session(Conduct::default());
        let mut refused = None;
        for number in 0..=LIMITS.fragments as u64 {
            let at = number * 2 + 1;
            let head = head("m1", &format!("{at}-{at}/100000"), &[]);
            let mut chunk = session.begin(&head).unwrap();
            if let Err((status, _)) = session.take("m1", &mut chunk, b"x").0 {
                refused = Some((number, status));
            }
        }
        assert_eq!(refused, Some((LIMITS.fragments as u64, 413)));
    }

    #[test]
    fn a_scenario_decides_what_is_answered_and_the_sender_whether_it_is() {
        let status = |answer, more: &[(&str, &str)]| {
            let session = session(Conduct {
                status: answer,
                ..Conduct::default()
            });
            session.status(&head("m1", "1-1/1", more), 200, "OK")
        };
        let (no, partial) = ([("Failure-Report", "no")], [("Failure-Report", "partial")]);
        assert_eq!(status(None, &[]), Some((200, "OK")));
        assert_eq!(status(None, &no), None);
        assert_eq!(status(None, &partial), None);
        let refuses = Some(MsrpAnswer::Status(413));
        assert_eq!(status(refuses, &[]), Some((413, "")));
        assert_eq!(status(refuses, &partial), Some((413, "")));
        assert_eq!(status(refuses, &no), None);
        assert_eq!(status(Some(MsrpAnswer::Silence), &[]), None);
    }

    #[test]
    fn mischief_comes_once_and_when_so_many_octets_are_there() {
        let session = session(Conduct {
            reset_after: Some(6),
            ..Conduct::default()
        });
        let head = head("m1", "1-12/12", &[]);
        let mut chunk = session.begin(&head).unwrap();
        let mut take = || session.take("m1", &mut chunk, b"four").1;
        assert_eq!(
            [take(), take(), take()],
            [None, Some(Mischief::Reset), None]
        );
    }
}
