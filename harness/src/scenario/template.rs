//! Text with `${…}` references: the types, the parser and the printer.
//!
//! `$${` writes `${`. What a name means depends on the scenario ([`Scope`]): a matrix variable, a user, or
//! else something that a step saves.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use imspec_reports::record::Location;

use super::duration;
use crate::document::suggest::{closest, one_of};

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
    /// Early: `domain`, or `domain.upper`.
    Domain {
        /// In capital letters.
        upper: bool,
    },
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
    /// `path`: MSRP URI of the other end of a session, as its SDP has it.
    Path,
    /// `own-path`: MSRP URI of the agent's end.
    OwnPath,
    /// `sdp.max-size`: what the other end's SDP says; names as in `expect.sdp`.
    Sdp(String),
    /// `msrp-id`: Message-ID of MSRP.
    MsrpId,
    /// `report`: status of the last REPORT.
    Report,
    /// `send.Content-Type`: a header field of the first SEND of a message.
    Send(String),
    /// `mode`: `pager` or `session`, of what was received and of a record.
    Mode,
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

/// Longest value that `random.…` draws.
pub const LONGEST_RANDOM: usize = 4 * 1024 * 1024;

/// The names that a scenario gives a meaning of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// Users.
    pub roles: BTreeSet<String>,
    /// Matrix variables and counters of `repeat`.
    pub variables: BTreeSet<String>,
}

/// First words of a reference that are no names of a scenario.
pub const RESERVED: [&str; 5] = ["domain", "case", "date", "pics", "random"];

/// A reference that means nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferenceError {
    /// Where in the text, with `${` and `}`.
    pub range: Range<usize>,
    /// What is wrong.
    pub problem: String,
    /// What was expected.
    pub expected: String,
    /// What was perhaps meant.
    pub meant: Option<String>,
}

/// Reads a text. References that mean nothing are left out of the pieces and told apart.
pub fn parse(text: &str, scope: &Scope) -> (Vec<Piece>, Vec<ReferenceError>) {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut errors = Vec::new();
    let mut plain = String::new();
    let mut at = 0;
    while let Some(found) = text[at..].find("${") {
        let start = at + found;
        if start > at && text.as_bytes()[start - 1] == b'$' {
            plain.push_str(&text[at..start - 1]);
            plain.push_str("${");
            at = start + 2;
            continue;
        }
        plain.push_str(&text[at..start]);
        let Some(length) = text[start..].find('}') else {
            errors.push(ReferenceError {
                range: start..text.len(),
                problem: "reference without end".to_owned(),
                expected: "expected `}`; a literal `${` is written `$${`".to_owned(),
                meant: None,
            });
            at = text.len();
            break;
        };
        let end = start + length + 1;
        match reference(&text[start + 2..end - 1], scope) {
            Ok(reference) => {
                if !plain.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                }
                pieces.push(Piece::Reference(reference));
            }
            Err(mut error) => {
                error.range = start..end;
                errors.push(error);
            }
        }
        at = end;
    }
    plain.push_str(&text[at..]);
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    (pieces, errors)
}

fn wrong(problem: impl Into<String>, expected: impl Into<String>) -> ReferenceError {
    ReferenceError {
        range: 0..0,
        problem: problem.into(),
        expected: expected.into(),
        meant: None,
    }
}

impl ReferenceError {
    fn meant(mut self, name: Option<impl Into<String>>) -> Self {
        self.meant = name.map(Into::into);
        self
    }
}

fn reference(written: &str, scope: &Scope) -> Result<Reference, ReferenceError> {
    let expression = written.trim();
    let (head, rest) = match expression.split_once('.') {
        Some((head, rest)) => (head, Some(rest)),
        None => (expression, None),
    };
    if scope.variables.contains(head) {
        return Ok(Reference::Variable(
            expression.split('.').map(str::to_owned).collect(),
        ));
    }
    if scope.roles.contains(head) {
        return of_user(head, rest);
    }
    match (head, rest) {
        ("domain", None) => return Ok(Reference::Domain { upper: false }),
        ("domain", Some("upper")) => return Ok(Reference::Domain { upper: true }),
        ("case", None) => return Ok(Reference::Case),
        ("date", None) => return Ok(Reference::Date { shift_ms: 0 }),
        ("pics", Some(key)) if !key.is_empty() => return Ok(Reference::Pics(key.to_owned())),
        ("random", Some(call)) => return random(call),
        ("domain" | "case" | "date" | "pics" | "random", _) => {
            return Err(wrong(
                format!("`{expression}` is no reference"),
                "expected `domain`, `domain.upper`, `case`, `date`, `date(-58s)`, `pics.KEY` or `random.text(12)`",
            ));
        }
        _ => {}
    }
    // A shift may hold a point (`1.5h`), so it is looked for in the whole expression.
    if let Some(shift) = expression
        .strip_prefix("date(")
        .and_then(|s| s.strip_suffix(')'))
    {
        return match duration::parse_shift_ms(shift) {
            Some(shift_ms) => Ok(Reference::Date { shift_ms }),
            None => Err(wrong(
                format!("`{shift}` is no shift of time"),
                format!("expected a sign and {}", duration::EXPECTED),
            )),
        };
    }
    if let Some((stem, rest)) = expression
        .strip_prefix("all(")
        .and_then(|s| s.split_once(')'))
    {
        if !is_name(stem) {
            return Err(wrong(
                format!("`{stem}` is no name"),
                "expected `all(m).message-id`",
            ));
        }
        let field = match rest {
            "" => SavedField::Itself,
            rest => field(rest.strip_prefix('.').unwrap_or(rest))?,
        };
        return Ok(Reference::All {
            stem: stem.to_owned(),
            field,
        });
    }
    if !is_name(head) {
        return Err(wrong(
            format!("`{expression}` is no reference"),
            "expected a name, perhaps with a field: `sent.header.Call-ID`; a literal `${` is written `$${`",
        ));
    }
    Ok(Reference::Saved {
        name: head.to_owned(),
        field: rest.map_or(Ok(SavedField::Itself), field)?,
    })
}

fn of_user(role: &str, property: Option<&str>) -> Result<Reference, ReferenceError> {
    const PROPERTIES: [&str; 5] = ["uri", "name", "domain", "contact", "via"];
    let role = role.to_owned();
    let user = |property| Reference::User {
        role: role.clone(),
        property,
    };
    let socket = |property| Reference::Socket {
        role: role.clone(),
        property,
    };
    match property {
        Some("uri") => Ok(user(UserProperty::Uri)),
        Some("name") => Ok(user(UserProperty::Name)),
        Some("domain") => Ok(user(UserProperty::Domain)),
        Some("contact") => Ok(socket(SocketProperty::Contact)),
        Some("via") => Ok(socket(SocketProperty::Via)),
        Some(other) => Err(wrong(
            format!("user `{role}` has no `{other}`"),
            format!("expected {}", one_of(PROPERTIES)),
        )
        .meant(closest(other, PROPERTIES))),
        None => Err(wrong(
            format!("`{role}` is a user"),
            format!("expected a property: {}", one_of(PROPERTIES)),
        )
        .meant(Some(format!("{role}.uri")))),
    }
}

fn random(call: &str) -> Result<Reference, ReferenceError> {
    const KINDS: [&str; 4] = ["text", "hex", "token", "number"];
    let (name, length) = call
        .strip_suffix(')')
        .and_then(|call| call.split_once('('))
        .ok_or_else(|| {
            wrong(
                format!("`random.{call}` has no length"),
                "expected `random.text(12)`",
            )
        })?;
    let kind = match name {
        "text" => Random::Text,
        "hex" => Random::Hex,
        "token" => Random::Token,
        "number" => Random::Number,
        _ => {
            return Err(wrong(
                format!("unknown kind of random value `{name}`"),
                format!("expected {}", one_of(KINDS)),
            )
            .meant(closest(name, KINDS)));
        }
    };
    match length.trim().parse::<usize>() {
        Ok(length) if (1..=LONGEST_RANDOM).contains(&length) => {
            Ok(Reference::Random { kind, length })
        }
        _ => Err(wrong(
            format!("`{length}` is no length"),
            format!("expected a number from 1 to {LONGEST_RANDOM}"),
        )),
    }
}

fn field(written: &str) -> Result<SavedField, ReferenceError> {
    const FIELDS: [&str; 17] = [
        "status",
        "body",
        "uri",
        "header.NAME",
        "response.header.NAME",
        "message-id",
        "mark",
        "state",
        "account",
        "received-at",
        "path",
        "own-path",
        "sdp.NAME",
        "msrp-id",
        "report",
        "send.NAME",
        "mode",
    ];
    let named = |name: &str| {
        let token = !name.is_empty() && name.bytes().all(is_token);
        token.then(|| name.to_owned()).ok_or_else(|| {
            wrong(
                format!("`{name}` is no header name"),
                "expected the name of a header, as in `sent.header.Call-ID`",
            )
        })
    };
    if let Some(name) = written.strip_prefix("header.") {
        return Ok(SavedField::Header(named(name)?));
    }
    if let Some(name) = written.strip_prefix("response.header.") {
        return Ok(SavedField::ResponseHeader(named(name)?));
    }
    if let Some(name) = written.strip_prefix("send.") {
        return Ok(SavedField::Send(named(name)?));
    }
    if let Some(name) = written.strip_prefix("sdp.") {
        return Ok(SavedField::Sdp(named(name)?));
    }
    Ok(match written {
        "status" => SavedField::Status,
        "body" => SavedField::Body,
        "uri" => SavedField::Uri,
        "message-id" => SavedField::Record(RecordField::MessageId),
        "mark" => SavedField::Record(RecordField::Mark),
        "state" => SavedField::Record(RecordField::State),
        "account" => SavedField::Record(RecordField::Account),
        "received-at" => SavedField::Record(RecordField::ReceivedAt),
        "path" => SavedField::Path,
        "own-path" => SavedField::OwnPath,
        "msrp-id" => SavedField::MsrpId,
        "report" => SavedField::Report,
        "mode" => SavedField::Mode,
        other => {
            return Err(wrong(
                format!("unknown field `{other}` of something saved"),
                format!("expected {}", one_of(FIELDS)),
            )
            .meant(closest(other, FIELDS)));
        }
    })
}

/// Octets of a SIP token (RFC 3261 §25.1), which is what a header name is.
fn is_token(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&octet)
}

/// Whether a word can be the name of something saved or of a variable.
pub fn is_name(word: &str) -> bool {
    word.len() <= 64
        && word.starts_with(|c: char| c.is_ascii_alphabetic())
        && word
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

impl Reference {
    /// Whether [`crate::plan`] replaces it.
    pub fn is_early(&self) -> bool {
        matches!(
            self,
            Self::Variable(_)
                | Self::User { .. }
                | Self::Domain { .. }
                | Self::Case
                | Self::Pics(_)
                | Self::Random { .. }
        )
    }
}

impl Template {
    /// A plain text.
    pub fn plain(text: impl Into<String>, at: Location) -> Self {
        let text = text.into();
        let pieces = if text.is_empty() {
            Vec::new()
        } else {
            vec![Piece::Text(text)]
        };
        Self { pieces, at }
    }

    /// The text, if no reference is left.
    pub fn as_text(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The references in it.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Reference(reference) => Some(reference),
        })
    }
}

impl fmt::Display for Template {
    /// As it would be written in a scenario.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pieces.iter().try_for_each(|piece| piece.fmt(f))
    }
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(&text.replace("${", "$${")),
            Self::Reference(reference) => write!(f, "${{{reference}}}"),
        }
    }
}

impl fmt::Display for Reference {
    /// What stands between `${` and `}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(path) => f.write_str(&path.join(".")),
            Self::User { role, property } => {
                let property = match property {
                    UserProperty::Uri => "uri",
                    UserProperty::Name => "name",
                    UserProperty::Domain => "domain",
                };
                write!(f, "{role}.{property}")
            }
            Self::Domain { upper: false } => f.write_str("domain"),
            Self::Domain { upper: true } => f.write_str("domain.upper"),
            Self::Case => f.write_str("case"),
            Self::Pics(key) => write!(f, "pics.{key}"),
            Self::Random { kind, length } => {
                let kind = match kind {
                    Random::Text => "text",
                    Random::Hex => "hex",
                    Random::Token => "token",
                    Random::Number => "number",
                };
                write!(f, "random.{kind}({length})")
            }
            Self::Socket { role, property } => {
                let property = match property {
                    SocketProperty::Contact => "contact",
                    SocketProperty::Via => "via",
                };
                write!(f, "{role}.{property}")
            }
            Self::Date { shift_ms: 0 } => f.write_str("date"),
            Self::Date { shift_ms } if shift_ms % 1000 == 0 => {
                write!(f, "date({:+}s)", shift_ms / 1000)
            }
            Self::Date { shift_ms } => write!(f, "date({shift_ms:+}ms)"),
            Self::Saved { name, field } => write!(f, "{name}{field}"),
            Self::All { stem, field } => write!(f, "all({stem}){field}"),
        }
    }
}

impl fmt::Display for SavedField {
    /// With the point that joins it to a name; nothing for [`SavedField::Itself`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Itself => Ok(()),
            Self::Status => f.write_str(".status"),
            Self::Body => f.write_str(".body"),
            Self::Uri => f.write_str(".uri"),
            Self::Header(name) => write!(f, ".header.{name}"),
            Self::ResponseHeader(name) => write!(f, ".response.header.{name}"),
            Self::Record(RecordField::MessageId) => f.write_str(".message-id"),
            Self::Record(RecordField::Mark) => f.write_str(".mark"),
            Self::Record(RecordField::State) => f.write_str(".state"),
            Self::Record(RecordField::Account) => f.write_str(".account"),
            Self::Record(RecordField::ReceivedAt) => f.write_str(".received-at"),
            Self::Path => f.write_str(".path"),
            Self::OwnPath => f.write_str(".own-path"),
            Self::Sdp(name) => write!(f, ".sdp.{name}"),
            Self::MsrpId => f.write_str(".msrp-id"),
            Self::Report => f.write_str(".report"),
            Self::Send(name) => write!(f, ".send.{name}"),
            Self::Mode => f.write_str(".mode"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scope() -> Scope {
        Scope {
            roles: ["alice", "bob"].map(str::to_owned).into(),
            variables: ["transport", "n", "v"].map(str::to_owned).into(),
        }
    }

    fn print(pieces: &[Piece]) -> String {
        pieces.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_reference_of_the_manual() {
        let references = [
            "transport",
            "v.member.deeper",
            "bob.uri",
            "bob.name",
            "bob.domain",
            "bob.contact",
            "bob.via",
            "domain",
            "domain.upper",
            "case",
            "pics.expire.default.pm",
            "random.text(12)",
            "random.hex(16)",
            "random.token(8)",
            "random.number(6)",
            "date",
            "date(-58s)",
            "date(+1500ms)",
            "sent",
            "sent.status",
            "sent.body",
            "sent.uri",
            "sent.header.Call-ID",
            "sent.response.header.To",
            "got.header.X.Dotted",
            "rec.message-id",
            "rec.mark",
            "rec.state",
            "rec.account",
            "rec.received-at",
            "call.path",
            "call.own-path",
            "call.sdp.max-size",
            "sent.msrp-id",
            "sent.report",
            "sent.send.Byte-Range",
            "got.mode",
            "all(m).message-id",
            "all(m)",
        ];
        for written in references {
            let text = format!("${{{written}}}");
            let (pieces, errors) = parse(&text, &scope());
            assert_eq!(errors, [], "{written}");
            assert!(
                matches!(pieces.as_slice(), [Piece::Reference(_)]),
                "{written}"
            );
            assert_eq!(print(&pieces), text);
        }
    }

    #[test]
    fn escapes() {
        let parsed = |text| parse(text, &scope()).0;
        assert_eq!(parsed("a$${b}"), [Piece::Text("a${b}".to_owned())]);
        assert_eq!(parsed("$$${b}"), [Piece::Text("$${b}".to_owned())]);
        assert_eq!(parsed("100$ {b}"), [Piece::Text("100$ {b}".to_owned())]);
        assert_eq!(parsed("^a$"), [Piece::Text("^a$".to_owned())]);
        assert_eq!(parsed(""), []);
    }

    #[test]
    fn errors_point_at_the_reference() {
        let text = "to ${bob.url} and ${sent.stauts} and ${x";
        let (pieces, errors) = parse(text, &scope());
        assert_eq!(print(&pieces), "to  and  and ");
        let places: Vec<&str> = errors.iter().map(|e| &text[e.range.clone()]).collect();
        assert_eq!(places, ["${bob.url}", "${sent.stauts}", "${x"]);
        assert_eq!(errors[0].meant.as_deref(), Some("uri"));
        assert_eq!(errors[1].meant.as_deref(), Some("status"));
    }

    fn reference_strategy() -> impl Strategy<Value = Reference> {
        let field = prop_oneof![
            Just(SavedField::Itself),
            Just(SavedField::Status),
            "[A-Za-z][A-Za-z0-9.-]{0,8}".prop_map(SavedField::Header),
            "[A-Za-z][A-Za-z0-9.-]{0,8}".prop_map(SavedField::ResponseHeader),
            "[A-Za-z][A-Za-z0-9.-]{0,8}".prop_map(SavedField::Send),
            "[a-z][a-z0-9.-]{0,8}".prop_map(SavedField::Sdp),
            Just(SavedField::OwnPath),
            Just(SavedField::Record(RecordField::ReceivedAt)),
        ];
        let name = "s[a-z0-9_-]{0,6}";
        prop_oneof![
            Just(Reference::Variable(vec!["v".to_owned(), "a-b".to_owned()])),
            Just(Reference::User {
                role: "bob".to_owned(),
                property: UserProperty::Name
            }),
            Just(Reference::Socket {
                role: "alice".to_owned(),
                property: SocketProperty::Via
            }),
            "[a-z]{1,6}(\\.[a-z_]{1,6}){0,2}".prop_map(Reference::Pics),
            (1usize..5000).prop_map(|length| Reference::Random {
                kind: Random::Hex,
                length
            }),
            (-10_000_000i64..10_000_000).prop_map(|shift_ms| Reference::Date { shift_ms }),
            (name, field.clone()).prop_map(|(name, field)| Reference::Saved { name, field }),
            (name, field).prop_map(|(stem, field)| Reference::All { stem, field }),
        ]
    }

    /// Texts and references by turns: what the parser makes. A text before a reference does not end with `$`,
    /// because `$${` is the escape.
    fn pieces_strategy() -> impl Strategy<Value = Vec<Piece>> {
        let text = "[ -~\\r\\n€]{0,12}[^$]";
        proptest::collection::vec((text, reference_strategy(), any::<bool>()), 0..5).prop_map(
            |parts| {
                let mut pieces = Vec::new();
                for (text, reference, both) in parts {
                    pieces.push(Piece::Text(text));
                    pieces.push(Piece::Reference(reference.clone()));
                    if both {
                        pieces.push(Piece::Reference(reference));
                    }
                }
                pieces
            },
        )
    }

    proptest! {
        #[test]
        fn print_then_parse_is_identity(pieces in pieces_strategy()) {
            let (parsed, errors) = parse(&print(&pieces), &scope());
            prop_assert_eq!(errors, vec![]);
            prop_assert_eq!(parsed, pieces);
        }

        #[test]
        fn any_text_survives(text in "[$\\{\\}a-z. ()-]{0,40}") {
            let printed = print(&[Piece::Text(text.clone())]);
            let (parsed, errors) = parse(&printed, &scope());
            prop_assert_eq!(errors, vec![]);
            prop_assert_eq!(parsed, if text.is_empty() { vec![] } else { vec![Piece::Text(text)] });
        }

        #[test]
        fn never_panics(text in "[$\\{\\}a-z.()€-]{0,60}") {
            let (_, errors) = parse(&text, &scope());
            for error in errors {
                prop_assert!(text.get(error.range).is_some());
            }
        }
    }
}
