//! One `m=` section of any kind.

use std::ops::Range;

use super::ParseError;
use super::address::Address;
use super::description::Description;
use super::lines::{Line, lines};
use super::message::{self, MessageMedia, Protocol};

/// One `a=` line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'d> {
    /// Name as written; names are case-sensitive (RFC 8866 §5.13).
    pub name: &'d str,
    /// What follows the colon, `None` where there is none.
    pub value: Option<&'d str>,
    start: usize,
    end: usize,
}

impl Attribute<'_> {
    /// The octets of the line in the description, without its line end.
    pub fn range(&self) -> Range<usize> {
        self.start..self.end
    }

    /// The octets of the value in the description, empty where there is none.
    pub fn value_range(&self) -> Range<usize> {
        self.end - self.value.map_or(0, str::len)..self.end
    }
}

/// One `m=` section, borrowed from the description.
#[derive(Debug, Clone, Copy)]
pub struct Media<'d> {
    pub(super) description: &'d Description,
    pub(super) section: &'d sdp_types::Media,
    pub(super) index: usize,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl<'d> Media<'d> {
    /// Which `m=` section of the description, from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// `message`, `audio` and so on.
    pub fn kind(&self) -> &'d str {
        &self.section.media
    }

    /// The port; 0 means refused or stopped (RFC 3264 §6, §8.2).
    pub fn port(&self) -> u16 {
        self.section.port
    }

    /// `TCP/MSRP` and so on, as written.
    pub fn protocol(&self) -> &'d str {
        &self.section.proto
    }

    /// The formats as written, `*` for MSRP.
    pub fn formats(&self) -> &'d str {
        &self.section.fmt
    }

    /// All octets of the section in the description, from its `m=` line on.
    pub fn range(&self) -> Range<usize> {
        self.start..self.end
    }

    /// Its lines as they stand, the `m=` line first.
    pub fn lines(&self) -> impl Iterator<Item = Line<'d>> {
        let start = self.start;
        lines(&self.description.as_bytes()[self.range()]).map(move |line| line.shifted(start))
    }

    /// Its own connection address, else that of the session (RFC 8866 §5.7).
    pub fn connection(&self) -> Option<Address> {
        match self.section.connections.first() {
            Some(own) => Some(own.into()),
            None => self.description.connection(),
        }
    }

    /// Its own attributes in order.
    pub fn attributes(&self) -> impl Iterator<Item = Attribute<'d>> + use<'d> {
        attributes(self.description, self.range(), &self.section.attributes)
    }

    /// Its first attribute of that name.
    pub fn attribute(&self, name: &str) -> Option<Attribute<'d>> {
        self.attributes().find(|attribute| attribute.name == name)
    }

    /// The transport of a message session; `None` where the section is not one.
    pub fn message_protocol(&self) -> Option<Protocol> {
        let named = |protocol: &Protocol| protocol.name() == self.protocol();
        let of_message = self.kind() == "message";
        [Protocol::Tcp, Protocol::Tls]
            .into_iter()
            .find(named)
            .filter(|_| of_message)
    }

    /// What the section says as a message session. `None` where it is not one; an error, with its
    /// place in the description, where the path or a list of types cannot be read.
    pub fn message(&self) -> Option<Result<MessageMedia, ParseError>> {
        let protocol = self.message_protocol()?;
        Some(message::read(self, protocol))
    }
}

/// The attributes that `meant` holds with the places of the lines in `range` that they came from.
pub(super) fn attributes<'d>(
    description: &'d Description,
    range: Range<usize>,
    meant: &'d [sdp_types::Attribute],
) -> impl Iterator<Item = Attribute<'d>> + use<'d> {
    let start = range.start;
    lines(&description.as_bytes()[range])
        .filter(|line| line.kind() == Some(b'a'))
        .zip(meant)
        .map(move |(line, attribute)| Attribute {
            name: &attribute.attribute,
            value: attribute.value.as_deref(),
            start: start + line.range().start,
            end: start + line.range().end,
        })
}
