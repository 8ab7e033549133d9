//! Building messages, malformed ones included.

use bytes::Bytes;

use super::ParseError;
use super::date_time::DateTime;
use super::message::Message;

/// Writes a message exactly as told: order as given, nothing checked.
#[derive(Debug, Clone, Default)]
pub struct Builder {
    head: Vec<u8>,
    content_head: Vec<u8>,
    body: Bytes,
}

impl Builder {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }
    /// Appends `From: value`, the value as it is: `Ann <sip:ann@example.org>`.
    pub fn from(self, value: impl AsRef<[u8]>) -> Self {
        self.header("From", value)
    }
    /// Appends `To: value`, the value as it is.
    pub fn to(self, value: impl AsRef<[u8]>) -> Self {
        self.header("To", value)
    }
    /// Appends `DateTime`.
    pub fn date_time(self, instant: DateTime) -> Self {
        self.header("DateTime", instant.to_string())
    }
    /// Appends `Subject`, with the language where one is given; control characters and backslashes
    /// are escaped (RFC 3862 §2.3).
    pub fn subject(self, language: Option<&str>, text: &str) -> Self {
        let _ = (language, text);
        todo!()
    }
    /// Appends `NS: prefix <uri>`, or `NS: <uri>` with an empty prefix.
    pub fn namespace(self, prefix: &str, uri: &str) -> Self {
        let _ = (prefix, uri);
        todo!()
    }
    /// Appends `name: value`.
    pub fn header(self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.line([name.as_ref(), b": ", value.as_ref()].concat())
    }
    /// Appends a line to the message headers as it is, without line end; an empty one is a stray
    /// blank line.
    pub fn line(mut self, line: impl AsRef<[u8]>) -> Self {
        self.head.extend_from_slice(line.as_ref());
        self.head.extend_from_slice(b"\r\n");
        self
    }
    /// Appends `name: value` to the headers of the MIME part.
    pub fn content_header(self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.content_line([name.as_ref(), b": ", value.as_ref()].concat())
    }
    /// Appends a line to the headers of the MIME part as it is, without line end.
    pub fn content_line(mut self, line: impl AsRef<[u8]>) -> Self {
        self.content_head.extend_from_slice(line.as_ref());
        self.content_head.extend_from_slice(b"\r\n");
        self
    }
    /// Sets Content-Type and body of the MIME part.
    pub fn content(self, content_type: impl AsRef<[u8]>, body: impl Into<Bytes>) -> Self {
        self.content_header("Content-Type", content_type).body(body)
    }
    /// Sets the body octets of the MIME part.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }
    /// The octets.
    pub fn octets(self) -> Bytes {
        [
            &self.head[..],
            b"\r\n",
            &self.content_head[..],
            b"\r\n",
            &self.body[..],
        ]
        .concat()
        .into()
    }
    /// The octets, indexed.
    pub fn build(self) -> Result<Message, ParseError> {
        Message::parse(self.octets())
    }
}
