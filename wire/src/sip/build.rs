//! Building messages, malformed ones included: a tester must send what a library refuses to.

use bytes::Bytes;

use super::error::ParseError;
use super::message::Message;

/// What to do about Content-Length.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ContentLength {
    /// Written with the true length after the last header, unless a header of that name was given.
    #[default]
    Auto,
    /// Not written.
    Omit,
}

/// Writes a message exactly as told: names, values and order as given, nothing checked.
#[derive(Debug, Clone)]
pub struct Builder {
    head: Vec<u8>,
}

impl Builder {
    /// `METHOD uri SIP/2.0`
    pub fn request(method: impl AsRef<[u8]>, uri: impl AsRef<[u8]>) -> Self { let _ = (method, uri); todo!() }
    /// `SIP/2.0 status reason`
    pub fn response(status: u16, reason: impl AsRef<[u8]>) -> Self { let _ = (status, reason); todo!() }
    /// A response that mirrors Via, From, To, Call-ID and CSeq of `request` octet for octet
    /// (RFC 3261 §8.2.6.2). `to_tag` is added to To where To has no tag.
    pub fn response_to(request: &Message, status: u16, reason: impl AsRef<[u8]>, to_tag: Option<&str>) -> Self { let _ = (request, status, reason, to_tag); todo!() }
    /// Any first line.
    pub fn start_line(line: impl AsRef<[u8]>) -> Self { let _ = line; todo!() }
    /// Appends `name: value`.
    pub fn header(self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self { let _ = (name, value); todo!() }
    /// Appends a field as it is, without line end.
    pub fn header_line(self, line: impl AsRef<[u8]>) -> Self { let _ = line; todo!() }
    /// Sets the body octets. Content-Type is a header like any other.
    pub fn body(self, octets: impl Into<Bytes>) -> Self { let _ = octets.into(); todo!() }
    /// How Content-Length is written.
    pub fn content_length(self, how: ContentLength) -> Self { let _ = how; todo!() }
    /// The octets.
    pub fn octets(self) -> Bytes { todo!() }
    /// The octets, indexed.
    pub fn build(self) -> Result<Message, ParseError> { todo!() }
}

/// The usual reason phrase of a status code, empty when there is none.
pub fn reason_phrase(status: u16) -> &'static str { let _ = status; todo!() }
