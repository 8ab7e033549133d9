//! Building messages, malformed ones included.

use bytes::Bytes;

use super::ParseError;
use super::date_time::DateTime;
use super::message::Message;
use super::text::escape;

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
        let language = language.map_or(String::new(), |tag| format!(";lang={tag}"));
        self.line(format!("Subject:{language} {}", escape(text, false)))
    }

    /// Appends `NS: prefix <uri>`, or `NS: <uri>` with an empty prefix.
    pub fn namespace(self, prefix: &str, uri: &str) -> Self {
        let space = if prefix.is_empty() { "" } else { " " };
        self.header("NS", format!("{prefix}{space}<{uri}>"))
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::cpim::{Address, IMDN_NAMESPACE};

    fn text(builder: Builder) -> String {
        String::from_utf8(builder.octets().to_vec()).unwrap()
    }

    #[test]
    fn writes_as_told() {
        let ann = Address {
            name: Some("Ann, A.".to_owned()),
            uri: "sip:ann@example.org".to_owned(),
        };
        let built = Builder::new()
            .from(ann.to_string())
            .to("<sip:bob@example.org>")
            .date_time(DateTime::utc(0))
            .subject(None, "a\tb\\c")
            .subject(Some("fr"), "pluie")
            .namespace("imdn", IMDN_NAMESPACE)
            .namespace("", "urn:x")
            .header("imdn.Message-ID", "1")
            .content("text/plain", "hello")
            .content_header("Content-ID", "<1@h>");
        assert_eq!(
            text(built.clone()),
            "From: \"Ann, A.\" <sip:ann@example.org>\r\nTo: <sip:bob@example.org>\r\n\
             DateTime: 1970-01-01T00:00:00Z\r\nSubject: a\\tb\\\\c\r\nSubject:;lang=fr pluie\r\n\
             NS: imdn <urn:ietf:params:imdn>\r\nNS: <urn:x>\r\nimdn.Message-ID: 1\r\n\r\n\
             Content-Type: text/plain\r\nContent-ID: <1@h>\r\n\r\nhello"
        );
        let message = built.build().unwrap();
        assert_eq!(message.defects(), []);
        assert_eq!(message.subjects()[0].text, "a\tb\\c");
        assert_eq!(message.from().unwrap().unwrap(), ann);
    }

    #[test]
    fn writes_what_nobody_should() {
        let broken = Builder::new()
            .line("from:no space")
            .line("")
            .line(b" \xff folded")
            .content_line("no colon")
            .body(&b"\0"[..]);
        assert_eq!(
            &broken.octets()[..],
            b"from:no space\r\n\r\n \xff folded\r\n\r\nno colon\r\n\r\n\0"
        );
        assert_eq!(&Builder::new().octets()[..], b"\r\n\r\n");
    }
}
