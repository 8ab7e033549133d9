//! What a store adapter read about one deferred message, in the one model that all adapters fill.
//!
//! *Unknown* and *absent* are different facts: an adapter that cannot read a field leaves it unknown, and
//! a check of it is inconclusive; a field that is known not to be there fails the check.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::octets::Octets;
use super::time::UtcTime;

/// A field of a record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "Field_{T}")]
pub enum Field<T> {
    /// The adapter cannot read it.
    #[default]
    Unknown,
    /// It is known not to be there.
    Absent,
    /// It is there.
    Known(T),
}

impl<T> Field<T> {
    /// The value, where known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown | Self::Absent => None,
        }
    }
}

/// One deferred message as it lies in the store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct StoredMessage {
    /// Address of record of the account it lies in.
    pub account: Field<String>,
    /// The Message-ID of the specification, not that of MSRP or IMDN.
    pub message_id: Field<String>,
    /// How it reached the server.
    pub mode: Field<Mode>,
    /// First line of the MESSAGE as stored.
    pub start_line: Field<Octets>,
    /// Header fields of the MESSAGE in order; the ones that the adapter can see.
    pub headers: Vec<StoredHeader>,
    /// Whether the list is all: if not, a header that is not in it is unknown, not absent.
    pub headers_complete: bool,
    /// Session mode: what is kept of the INVITE.
    pub invite: Field<StoredPart>,
    /// Session mode: what is kept of the 200 to the INVITE.
    pub ok: Field<StoredPart>,
    /// Session mode: what is kept of the BYE; absent when there was none.
    pub bye: Field<StoredPart>,
    /// Session mode: the SEND request, of a message in chunks that of the first.
    pub send: Field<StoredPart>,
    /// Session mode: further messages of the same session, where the server makes one record of them.
    pub further: Vec<FurtherMessage>,
    /// Body octets.
    pub body: Field<Octets>,
    /// Size and digest of the body, where the adapter gives these in place of the octets.
    pub body_digest: Field<BodyDigest>,
    /// When the server had the complete message, by its store clock.
    pub received_at: Field<UtcTime>,
    /// When it was stored.
    pub stored_at: Field<UtcTime>,
    /// The Expire value; absent when the message is not marked.
    pub expire: Field<Expire>,
    /// Where in its life it is.
    pub state: Field<State>,
}

/// What is kept of one SIP or MSRP message of a session.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct StoredPart {
    /// First line.
    pub start_line: Field<Octets>,
    /// Header fields in order; the ones that the adapter can see.
    pub headers: Vec<StoredHeader>,
    /// Whether the list is all that is kept.
    pub headers_complete: bool,
}

/// A message after the first in a record that holds a whole session.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct FurtherMessage {
    /// Its SEND request.
    pub send: Field<StoredPart>,
    /// Body octets.
    pub body: Field<Octets>,
    /// Size and digest of the body, where the adapter gives these in place of the octets.
    pub body_digest: Field<BodyDigest>,
}

/// A body that is too long to be carried about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BodyDigest {
    /// Length.
    pub octets: u64,
    /// SHA-256 in lower-case hexadecimal digits.
    pub sha256: String,
}

/// How a message reached the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// As a SIP MESSAGE.
    Pager,
    /// Through an MSRP session.
    Session,
}

/// One stored header field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoredHeader {
    /// Name as stored.
    pub name: String,
    /// Value as stored.
    pub value: Octets,
}

/// The mark of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Expire {
    /// Lifetime in seconds, where the store holds one.
    pub seconds: Option<u64>,
    /// Instant of expiry, where the store holds one.
    pub at: Option<UtcTime>,
}

/// Where in its life a deferred message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Waits for its recipient.
    Waiting,
    /// Is being pushed.
    Delivering,
    /// Was delivered.
    Delivered,
    /// Has expired and is kept.
    Expired,
    /// Is deleted, and only listed.
    Deleted,
}
