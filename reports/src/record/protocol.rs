//! Rules of the base protocols that messages of the SUT break, whatever the scenario looked at.
//!
//! A family of its own: a server may keep every requirement of the specification in messages that no
//! other product would take.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How much a broken rule weighs: as its RFC binds (RFC 2119).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum ProtocolWeight {
    /// MUST, or the grammar.
    Error,
    /// SHOULD.
    Warning,
}

/// One rule that messages of one kind break.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProtocolFinding {
    /// How much it weighs.
    pub weight: ProtocolWeight,
    /// The rule, e.g. `RFC 3261 §8.1.1.7`.
    pub clause: String,
    /// What it wants where the octets are.
    pub expected: String,
    /// Messages of what kind: `MESSAGE`, `200 to INVITE`, `MSRP SEND`.
    pub message: String,
    /// How many messages in all.
    pub count: u32,
    /// Where, the first of each case, up to a bound.
    pub places: Vec<ProtocolPlace>,
    /// The waiver that accepts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiver: Option<String>,
}

/// Octets that break a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProtocolPlace {
    /// Case id.
    pub case: String,
    /// Id of the event in its trace.
    pub event: u32,
    /// Start and end (exclusive) in the octets of the message; equal where something is missing.
    pub range: (u32, u32),
}
