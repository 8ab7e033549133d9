//! One message header or MIME header, borrowed from the message.

use std::borrow::Cow;
use std::ops::Range;

use super::index::{params_of, value_of};
use super::text::{split_unquoted, unescape};
use crate::sip::text::unfold;

/// One message header: `imdn.Message-ID: 34jk324j`.
#[derive(Debug, Clone, Copy)]
pub struct Header<'m> {
    pub(super) line: &'m [u8],
    pub(super) name: usize,
    pub(super) offset: usize,
    pub(super) namespace: Option<&'m str>,
}

impl<'m> Header<'m> {
    /// The name as written, prefix included.
    pub fn name(&self) -> &'m str {
        ascii(&self.line[..self.name])
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
        &self.line[params_of(self.line, self.name)]
    }

    /// The language tag of its value (RFC 3862 §3.3).
    pub fn language(&self) -> Option<&'m str> {
        split_unquoted(self.raw_params(), b';')
            .find_map(|(_, param)| param.strip_prefix(b"lang="))
            .and_then(|tag| std::str::from_utf8(tag).ok())
    }

    /// The octets after the one space, as written.
    pub fn raw_value(&self) -> &'m [u8] {
        &self.line[value_of(self.line, self.name)]
    }

    /// The value for reading: outer white space gone, folds one space, escapes resolved
    /// (RFC 3862 §2.3), octets that are not UTF-8 replaced.
    pub fn value(&self) -> Cow<'m, str> {
        match self.text() {
            Cow::Borrowed(text) => unescape(text),
            Cow::Owned(text) => Cow::Owned(unescape(&text).into_owned()),
        }
    }

    /// The whole header as written, without its line end.
    pub fn line(&self) -> &'m [u8] {
        self.line
    }

    /// Offset of its first octet in the message.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Range of the raw value in the message.
    pub fn value_range(&self) -> Range<usize> {
        let value = value_of(self.line, self.name);
        self.offset + value.start..self.offset + value.end
    }

    /// [`Self::value`] with its escapes, which the values of some headers need for their own syntax.
    pub(super) fn text(&self) -> Cow<'m, str> {
        lossy(unfold(self.raw_value()))
    }
}

/// One header of the MIME part: `Content-Type: text/plain`.
#[derive(Debug, Clone, Copy)]
pub struct ContentHeader<'m> {
    pub(super) line: &'m [u8],
    pub(super) name: usize,
    pub(super) offset: usize,
}

impl<'m> ContentHeader<'m> {
    /// The name as written; here case does not count (RFC 2045 §1).
    pub fn name(&self) -> &'m str {
        ascii(&self.line[..self.name]).trim_end()
    }

    /// The value unfolded and trimmed.
    pub fn value(&self) -> Cow<'m, [u8]> {
        unfold(&self.line[self.value_start()..])
    }

    /// The whole field as written, without its line end.
    pub fn line(&self) -> &'m [u8] {
        self.line
    }

    /// Offset of its first octet in the message.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Range of the value in the message, white space and folds included.
    pub fn value_range(&self) -> Range<usize> {
        self.offset + self.value_start()..self.offset + self.line.len()
    }

    fn value_start(&self) -> usize {
        (self.name + 1).min(self.line.len())
    }
}

/// The index takes names of ASCII only.
fn ascii(octets: &[u8]) -> &str {
    std::str::from_utf8(octets).unwrap_or_default()
}

fn lossy(octets: Cow<'_, [u8]>) -> Cow<'_, str> {
    match octets {
        Cow::Borrowed(octets) => String::from_utf8_lossy(octets),
        Cow::Owned(octets) => Cow::Owned(String::from_utf8_lossy(&octets).into_owned()),
    }
}
