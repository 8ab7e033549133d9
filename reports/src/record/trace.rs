//! Everything that happened in one case: octets, both clocks, steps. Verdicts are a pure function of it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::octets::Octets;
use super::stored::{BodyDigest, StoredMessage};
use super::time::{StoreTime, UtcTime};

/// The trace of one case.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Trace {
    /// Role (`bob`) → address of record.
    pub users: BTreeMap<String, String>,
    /// In the order in which they happened; an event's id is its index.
    pub events: Vec<Event>,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Index in the trace.
    pub id: u32,
    /// Real time since the run began, in microseconds (protocol time).
    pub at_us: u64,
    /// Store time, where the clock adapter knows it.
    pub store: Option<StoreTime>,
    /// Step that it belongs to, e.g. `steps[3]`, where it belongs to one.
    pub step: Option<String>,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum EventKind {
    /// A step began.
    StepStarted {
        /// `message`, `receive`, …
        verb: String,
    },
    /// A step ended.
    StepEnded {
        /// How.
        outcome: Outcome,
    },
    /// A user agent of the harness sent octets to the SUT.
    Sent(Packet),
    /// A user agent of the harness received octets.
    Received(Packet),
    /// A message that went through an MSRP session, either way, seen as a whole.
    Transfer(Transfer),
    /// An MSRP connection of a user agent was opened, or ended.
    Connection {
        /// Role of the user agent.
        user: String,
        /// Address of the harness's socket.
        local: String,
        /// Address of the other end.
        remote: String,
        /// What happened.
        change: ConnectionChange,
    },
    /// A step took an earlier event as its own: the response that it waited for, the delivery that it
    /// expected. Steering matched it; the judge looks at it.
    Took {
        /// Id of the [`EventKind::Received`] event, or of the [`EventKind::Transfer`] of a delivery by session.
        event: u32,
    },
    /// A received request that no step claimed; it was answered with 200. Or a message of a session that no
    /// step claimed.
    Unclaimed {
        /// Id of the [`EventKind::Received`] or [`EventKind::Transfer`] event.
        event: u32,
    },
    /// A name was given to a message or record: later steps refer to it.
    Saved {
        /// The name.
        name: String,
        /// Id of the event that it names.
        event: u32,
    },
    /// A value was drawn or computed: `random.text(8)` and the like, so that judging needs no dice.
    Value {
        /// The expression as written between `${` and `}`.
        expression: String,
        /// Its value in this place.
        value: String,
    },
    /// The store adapter read an account.
    StoreRead {
        /// Address of record.
        account: String,
        /// What it read, or why it could not.
        result: StoreResult,
    },
    /// The store clock was moved by the timeline.
    ClockMoved {
        /// Before.
        from: UtcTime,
        /// After.
        to: UtcTime,
    },
    /// A wait was computed.
    WaitUntil {
        /// Store time at which the case wants to wake.
        deadline: UtcTime,
        /// Margin that was added or subtracted, in milliseconds: granularity, clock uncertainty, round trip.
        margin_ms: i64,
    },
    /// Something was done to the SUT's process: `stop`, `kill`, `start`.
    Process {
        /// What.
        action: String,
    },
    /// The provider's policy was set.
    PolicySet {
        /// PICS key → value.
        values: BTreeMap<String, serde_json::Value>,
    },
    /// A reading was recorded.
    Reading {
        /// Wording defect, e.g. `WD-25`.
        defect: String,
        /// Its name.
        reading: String,
    },
    /// For the reader.
    Note {
        /// Text.
        text: String,
    },
}

/// Octets on the wire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Packet {
    /// Role of the user agent.
    pub user: String,
    /// Device of the user, `main` unless the scenario names more.
    pub device: String,
    /// What is spoken.
    #[serde(default)]
    pub protocol: Protocol,
    /// `udp`, `tcp`, `tls`, `ws` or `wss`.
    pub transport: String,
    /// Address of the harness's socket.
    pub local: String,
    /// Address of the SUT's socket.
    pub remote: String,
    /// The message.
    pub octets: Octets,
    /// Body octets that are left out of `octets`, where a message is very long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elided: Option<Elided>,
    /// Whether these octets are a retransmission of an earlier event (same transaction).
    pub retransmission: bool,
}

/// What is spoken on a socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// SIP.
    #[default]
    Sip,
    /// MSRP.
    Msrp,
}

/// A gap in the octets of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Elided {
    /// Where in `octets` they would stand.
    pub at: u32,
    /// How many.
    pub octets: u64,
}

/// A message that went through an MSRP session: what its sender meant to send, or what its recipient put
/// together from chunks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Transfer {
    /// Role of the user agent of the harness that sent or received it.
    pub user: String,
    /// Its device.
    pub device: String,
    /// Which way it went.
    pub direction: Direction,
    /// Id of the event that holds the INVITE of the session.
    pub invite: u32,
    /// Ids of the events that hold its SEND requests, in the order in which they went; not all of them where
    /// there are very many, but the first and the last.
    pub sends: Vec<u32>,
    /// Message-ID of MSRP.
    pub message_id: String,
    /// Its content; left out where it is very long.
    pub content: Option<Octets>,
    /// Size and digest of the content.
    pub digest: BodyDigest,
    /// Whether all of it went or came, with an end.
    pub complete: bool,
}

/// Which way a message went, seen from the harness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// To the SUT.
    Sent,
    /// From the SUT.
    Received,
}

/// What happened to a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ConnectionChange {
    /// The harness opened it.
    Opened,
    /// The SUT opened it.
    Accepted,
    /// The harness closed it.
    Closed,
    /// The harness reset it.
    Reset,
    /// The SUT closed or reset it.
    Ended,
    /// It could not be opened.
    Failed(String),
}

/// Outcome of a store read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StoreResult {
    /// The records of the account.
    Records(Vec<StoredMessage>),
    /// There is no store adapter: black box.
    NoAdapter,
    /// The adapter failed.
    Failed(String),
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It did what it is for; its checks can be judged.
    Done,
    /// What it waited for did not come.
    TimedOut {
        /// How long it waited, in milliseconds of real time.
        after_ms: u64,
    },
    /// It was not reached, because of an earlier step or an interruption.
    NotReached {
        /// Why.
        why: String,
    },
    /// It cannot be done at this SUT: an adapter is missing, the time budget is too small.
    Impossible {
        /// Why.
        why: String,
    },
    /// The harness or the set-up broke.
    Broken {
        /// Why.
        why: String,
    },
}
