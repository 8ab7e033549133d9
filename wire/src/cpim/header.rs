//! One message header or MIME header, borrowed from the message.

use std::borrow::Cow;
use std::ops::Range;

/// One message header: `imdn.Message-ID: 34jk324j`.
#[derive(Debug, Clone, Copy)]
pub struct Header<'m> {
    pub(super) line: &'m [u8],
    pub(super) offset: usize,
    pub(super) namespace: Option<&'m str>,
}

impl<'m> Header<'m> {
    /// The name as written, prefix included.
    pub fn name(&self) -> &'m str {
        todo!()
    }
    /// The namespace prefix, where the name has one.
    pub fn prefix(&self) -> Option<&'m str> {
        self.name().split_once('.').map(|(prefix, _)| prefix)
    }
    /// The name without its prefix.
    pub fn local_name(&self) -> &'m str {
        let name = self.name();
        name.split_once('.').map_or(name, |(_, local)| local)
    }
    /// The URI of its namespace; `None` where its prefix was not declared before it
    /// (RFC 3862 §3.4).
    pub fn namespace(&self) -> Option<&'m str> {
        self.namespace
    }
    /// Whether this is the header of that name in that namespace, case-sensitively.
    pub fn is(&self, namespace: &str, local_name: &str) -> bool {
        self.namespace == Some(namespace) && self.local_name() == local_name
    }
    /// The parameters as written, the first semicolon included: `;lang=fr`.
    pub fn raw_params(&self) -> &'m [u8] {
        todo!()
    }
    /// The language tag of its value (RFC 3862 §3.3).
    pub fn language(&self) -> Option<&'m str> {
        todo!()
    }
    /// The octets after the space, as written.
    pub fn raw_value(&self) -> &'m [u8] {
        todo!()
    }
    /// The value for reading: escapes resolved (RFC 3862 §2.3), octets that are not UTF-8 replaced.
    pub fn value(&self) -> Cow<'m, str> {
        todo!()
    }
    /// The whole line as written, without its line end.
    pub fn line(&self) -> &'m [u8] {
        self.line
    }
    /// Offset of its first octet in the message.
    pub fn offset(&self) -> usize {
        self.offset
    }
    /// Range of the raw value in the message.
    pub fn value_range(&self) -> Range<usize> {
        todo!()
    }
}

/// One header of the MIME part: `Content-Type: text/plain`.
#[derive(Debug, Clone, Copy)]
pub struct ContentHeader<'m> {
    pub(super) line: &'m [u8],
    pub(super) offset: usize,
}

impl<'m> ContentHeader<'m> {
    /// The name as written; here case does not count.
    pub fn name(&self) -> &'m str {
        todo!()
    }
    /// The value unfolded and trimmed.
    pub fn value(&self) -> Cow<'m, [u8]> {
        todo!()
    }
    /// The whole field as written, without its line end.
    pub fn line(&self) -> &'m [u8] {
        self.line
    }
    /// Offset of its first octet in the message.
    pub fn offset(&self) -> usize {
        self.offset
    }
}
