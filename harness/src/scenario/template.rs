//! Text with `${…}` references.

use imspec_reports::record::Location;

/// Text with references, as written, with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    /// In order.
    pub pieces: Vec<Piece>,
    /// Where it is written.
    pub at: Location,
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    /// Plain text.
    Text(String),
    /// `${…}`
    Reference(Reference),
}

/// What stands between `${` and `}`, in parts. [`crate::plan`] replaces all early ones by text, so that a
/// case holds late ones only.
#[derive(Debug, Clone, PartialEq)]
pub enum Reference {
    /// Early: a matrix variable, a member of one, or a repeat counter: `transport`, `var.member`.
    Variable(Vec<String>),
    /// Early: `bob.uri`, `bob.name`, `bob.domain`.
    User {
        /// Role.
        role: String,
        /// Which property.
        property: UserProperty,
    },
    /// Early: `domain`.
    Domain,
    /// Early: `case`.
    Case,
    /// Early: `pics.expire.default.pm` → `expire.default.pm`.
    Pics(String),
    /// Early: `random.text(12)`.
    Random {
        /// Kind.
        kind: Random,
        /// Length.
        length: usize,
    },
    /// Late: `bob.contact`, `bob.via`: depends on the open socket.
    Socket {
        /// Role.
        role: String,
        /// Which property.
        property: SocketProperty,
    },
    /// Late: `date`, `date(-58s)`: store clock at the start of the step, shifted by so many milliseconds.
    Date {
        /// Shift in milliseconds.
        shift_ms: i64,
    },
    /// Late: a field of something saved: `sent.header.Call-ID`.
    Saved {
        /// The name that a step saved.
        name: String,
        /// The field.
        field: SavedField,
    },
    /// Late: the same over `m1`, `m2`, …: `all(m).message-id`. A list.
    All {
        /// The stem.
        stem: String,
        /// The field.
        field: SavedField,
    },
}

/// Property of a user that the plan knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserProperty {
    /// `sip:name@domain`
    Uri,
    /// User part.
    Name,
    /// Domain.
    Domain,
}

/// Property of a user that an open socket gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketProperty {
    /// Contact URI of the main device.
    Contact,
    /// Via value with a fresh branch.
    Via,
}

/// What `random.…` draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Random {
    /// Letters, digits and single spaces.
    Text,
    /// Hex digits.
    Hex,
    /// Letters and digits, the first a letter: a SIP token.
    Token,
    /// Digits, the first not 0.
    Number,
}

/// Field of something saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SavedField {
    /// Nothing after the name: whether it is there at all.
    Itself,
    /// `status` of the final response to a sent request (or of a received response).
    Status,
    /// `body`
    Body,
    /// `uri`: Request-URI.
    Uri,
    /// `header.Name`: first value.
    Header(String),
    /// `response.header.Name`: of the final response to a sent request.
    ResponseHeader(String),
    /// `message-id`, `mark`, `state`, `account`, `received-at` of a record.
    Record(RecordField),
}

/// Field of a stored record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordField {
    /// Message-ID of the specification.
    MessageId,
    /// Lifetime in seconds, `none` when not marked.
    Mark,
    /// State.
    State,
    /// Account.
    Account,
    /// Receipt time.
    ReceivedAt,
}
