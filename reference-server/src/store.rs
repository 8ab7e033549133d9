//! Where accounts, bindings and deferred messages live, in the words of the domain.
//!
//! Nothing here knows SQL or the time: callers pass instants in. What a method changed is durable when
//! its answer arrives, and it changed all or nothing.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use imspec_wire::sip::{Limits, Message, ParseError};
use serde_json::Value;

use crate::clock::Timestamp;
use crate::policy::{ExpiredHandling, Mark};

pub mod sqlite;

pub use sqlite::SqliteStore;

/// The answer of a store, when it is there.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Why a store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Too much waits to be written already. Nothing was changed.
    #[error("the store has more to do than it can take")]
    Busy,
    /// The store is being closed.
    #[error("the store is closed")]
    Closed,
    /// What the database or the disk said.
    #[error("the store failed: {0}")]
    Failed(String),
}

/// One contact at which a user can be reached (RFC 3261 §10.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The Contact's URI as registered.
    pub contact: String,
    /// The Contact's `q`, as registered.
    pub q: Option<String>,
    /// Call-ID of the REGISTER that last touched it.
    pub call_id: String,
    /// `CSeq` number of that REGISTER.
    pub cseq: u32,
    /// When it was made.
    pub bound_at: Timestamp,
    /// When it was last refreshed.
    pub updated_at: Timestamp,
    /// When it lapses.
    pub expires_at: Timestamp,
    /// Where the REGISTER came from, as `udp 192.0.2.1:5060`.
    pub source: String,
    /// Request-URI of what is sent there, where that is not the contact: the address of record of a user whom
    /// the operator's core registered.
    pub target: Option<String>,
    /// Route of what is sent there: the Path of the REGISTER (RFC 3327 §5.3), or the core itself.
    pub route: Vec<String>,
}

/// A message on its way into the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// Account key.
    pub account: String,
    /// Message-ID, in the form that the provider chose.
    pub message_id: String,
    /// How it came, and what of it is kept.
    pub form: Form,
    /// When all of it was here.
    pub received_at: Timestamp,
    /// When it was handed to the store.
    pub stored_at: Timestamp,
    /// When it expires; `None` is never.
    pub mark: Option<Mark>,
}

impl NewMessage {
    /// The MESSAGE, or the INVITE's head, indexed. It was within bounds when it came, so none are set
    /// here.
    pub fn parse(&self) -> Result<Message, ParseError> {
        reparse(match &self.form {
            Form::Pager(request) => request.clone(),
            Form::Session(record) => record.invite.clone(),
        })
    }
}

/// The two kinds of deferred message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// The MESSAGE request as it came.
    Pager(Bytes),
    /// What came by a session.
    Session(SessionRecord),
}

/// What is kept of a session: heads without bodies, each with the fields that the provider keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRecord {
    /// The INVITE.
    pub invite: Bytes,
    /// The 200 that answered it.
    pub ok: Bytes,
    /// The sender's BYE; `None` while there is none.
    pub bye: Option<Bytes>,
    /// The messages, in the order in which they were complete. One, unless the provider makes a whole
    /// session one record (`lm.multi`).
    pub parts: Vec<Part>,
}

/// One message of a session, whose octets are read with [`Store::read_content`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Where its octets are.
    pub content: i64,
    /// How many there are.
    pub octets: u64,
    /// Their SHA-256.
    pub sha256: [u8; 32],
    /// Who sent it under which MSRP Message-ID, to tell a copy.
    pub origin: String,
    /// Start line and header fields of its SENDs in the order in which they came, each up to its last
    /// line end. Where they were too many, that of the chunk with the first octet alone.
    pub heads: Vec<Bytes>,
    /// Which of them is that of the chunk with the first octet.
    pub first: usize,
    /// Whether none was left out.
    pub all_heads: bool,
}

impl Part {
    /// The head of the chunk with the first octet.
    pub fn head(&self) -> &[u8] {
        self.heads.get(self.first).map_or(&[], |head| &**head)
    }
}

/// Octets of a content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Which content.
    pub content: i64,
    /// The octets before these.
    pub at: u64,
    /// The octets, not more than [`PIECE`] and not across a multiple of it.
    pub octets: Bytes,
}

/// Contents are kept in pieces of this many octets.
pub const PIECE: usize = 64 * 1024;

/// Indexes a request that was accepted before, whatever its size.
pub(crate) fn reparse(octets: Bytes) -> Result<Message, ParseError> {
    let limits = Limits {
        head: octets.len(),
        headers: octets.len(),
        body: octets.len(),
    };
    Message::parse_with(octets, &limits)
}

/// What became of a [`NewMessage`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// It is durable, under this number.
    Stored(i64),
    /// The account has as many as it may have.
    Full,
    /// There is no such account (any more).
    NoAccount,
    /// The account holds a message of the same origin with the same octets already. One in a held
    /// record does not count, unless it is the record that was to be added to.
    Duplicate,
}

/// A message in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMessage {
    /// Place in the order of arrival, never given twice.
    pub number: i64,
    /// What was stored.
    pub message: NewMessage,
    /// Whether it was found expired and kept.
    pub expired: bool,
}

/// Keeps everything that must survive.
pub trait Store: Send + Sync + 'static {
    /// All account keys, in order.
    fn accounts(&self) -> Answer<'_, Vec<String>>;
    /// Whether there is such an account.
    fn has_account<'a>(&'a self, account: &'a str) -> Answer<'a, bool>;
    /// Adds and removes accounts, removed ones with all that is theirs. Gives their number after.
    fn change_accounts(&self, add: Vec<String>, remove: Vec<String>) -> Answer<'_, usize>;

    /// The password of an account, where it has one.
    fn password<'a>(&'a self, account: &'a str) -> Answer<'a, Option<String>>;
    /// Gives accounts new passwords. Accounts that do not exist are passed over.
    fn set_passwords(&self, passwords: Vec<(String, String)>) -> Answer<'_, ()>;

    /// The bindings of an account, lapsed ones included, in the order of their making.
    fn bindings<'a>(&'a self, account: &'a str) -> Answer<'a, Vec<Binding>>;
    /// Replaces the bindings of an account.
    fn set_bindings<'a>(&'a self, account: &'a str, bindings: Vec<Binding>) -> Answer<'a, ()>;
    /// Forgets bindings that lapse at or before `now`.
    fn remove_lapsed(&self, now: Timestamp) -> Answer<'_, ()>;

    /// Stores a message unless its account holds `most` already.
    fn insert(&self, message: NewMessage, most: u64) -> Answer<'static, Inserted> {
        self.insert_session(message, Vec::new(), false, most)
    }
    /// Stores a message with the last pieces of its contents. A `held` one is kept, but is no deferred
    /// message before [`Store::release`]. All of a content must be there, or nothing is stored.
    fn insert_session(
        &self,
        message: NewMessage,
        pieces: Vec<Piece>,
        held: bool,
        most: u64,
    ) -> Answer<'static, Inserted>;
    /// Adds a message that was complete at `received_at` to the record of its session.
    fn append(
        &self,
        number: i64,
        part: Part,
        pieces: Vec<Piece>,
        received_at: Timestamp,
    ) -> Answer<'static, Inserted>;
    /// Adds the head of the BYE to the records of a session. Those that are gone stay so.
    fn add_bye(&self, numbers: Vec<i64>, bye: Bytes) -> Answer<'_, ()>;
    /// Makes a held record a deferred message, without what its account has got elsewhere meanwhile.
    fn release(&self, number: i64, mark: Option<Mark>) -> Answer<'_, ()>;
    /// At the start: what the last run left of sessions. Contents of messages that were not complete
    /// go. Held records are released, or removed.
    fn recover_sessions(&self, keep_held: bool) -> Answer<'_, ()>;

    /// A content that was never given before. It is there once something is written to it.
    fn new_content(&self) -> i64;
    /// Writes octets of a message that is not complete yet, over what is there. Contents are written in
    /// the order of the calls, whether the answers are awaited or not.
    fn write_content(&self, piece: Piece) -> Answer<'static, ()>;
    /// Forgets a content that no message has.
    fn drop_content(&self, content: i64) -> Answer<'_, ()>;
    /// Octets from `at` on, at most `most` and perhaps fewer; none at the end.
    fn read_content(&self, content: i64, at: u64, most: usize) -> Answer<'_, Bytes>;
    /// How many messages the account holds.
    fn count<'a>(&'a self, account: &'a str) -> Answer<'a, u64>;

    /// The messages of one account, or of all, in the order of arrival.
    fn messages(&self, account: Option<String>) -> Answer<'_, Vec<StoredMessage>>;
    /// The account's first message after the one with that number.
    fn next_message<'a>(
        &'a self,
        account: &'a str,
        after: i64,
    ) -> Answer<'a, Option<StoredMessage>>;
    /// Removes a message, and copies of it from held records unless it was held itself. Its number and its
    /// Message-ID stay used.
    fn remove(&self, number: i64) -> Answer<'_, ()>;
    /// Accounts that have both a message and a binding that lives at `now`.
    fn deliverable(&self, now: Timestamp) -> Answer<'_, Vec<String>>;

    /// The first expiry after an instant, among messages not yet found expired.
    fn next_expiry(&self, after: Timestamp) -> Answer<'_, Option<Timestamp>>;
    /// Deletes what expired at or before `until`, or notes that it expired; not the messages in
    /// `except`. Gives how many, a bounded number at a time: call again until it is 0.
    fn expire(
        &self,
        until: Timestamp,
        handling: ExpiredHandling,
        except: Vec<i64>,
    ) -> Answer<'_, usize>;

    /// Takes `count` numbers of a named counter, and gives the first. No number is given twice, even
    /// by a process killed in between.
    fn reserve<'a>(&'a self, counter: &'a str, count: u64) -> Answer<'a, u64>;
    /// A number that belongs to an account and to no other, ever.
    fn account_number<'a>(&'a self, account: &'a str) -> Answer<'a, Option<u64>>;

    /// Settings that were changed at run time.
    fn settings(&self) -> Answer<'_, BTreeMap<String, Value>>;
    /// Adds to them.
    fn save_settings(&self, settings: BTreeMap<String, Value>) -> Answer<'_, ()>;

    /// Finishes what was asked, and closes.
    fn close(&self) -> Answer<'_, ()>;
}
