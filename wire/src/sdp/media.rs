//! One `m=` section of any kind.

use std::ops::Range;

use super::ParseError;
use super::address::Address;
use super::description::Description;
use super::message::MessageMedia;

/// One `a=` line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'d> {
    /// Name as written; names are case-sensitive (RFC 8866 §5.13).
    pub name: &'d str,
    /// What follows the colon, `None` where there is none.
    pub value: Option<&'d str>,
    pub(super) offset: usize,
}

impl Attribute<'_> {
    /// Offset of the value (of the end of the name where there is none) in the description.
    pub fn value_offset(&self) -> usize {
        self.offset
    }
}

/// One `m=` section, borrowed from the description.
#[derive(Debug, Clone, Copy)]
pub struct Media<'d> {
    pub(super) description: &'d Description,
    pub(super) index: usize,
}

impl<'d> Media<'d> {
    /// Which `m=` section of the description, from 0.
    pub fn index(&self) -> usize {
        self.index
    }
    /// `message`, `audio` and so on.
    pub fn kind(&self) -> &'d str {
        todo!()
    }
    /// The port; 0 means refused or stopped (RFC 3264 §6, §8.2).
    pub fn port(&self) -> u16 {
        todo!()
    }
    /// `TCP/MSRP` and so on, as written.
    pub fn protocol(&self) -> &'d str {
        todo!()
    }
    /// The formats as written, `*` for MSRP.
    pub fn formats(&self) -> &'d str {
        todo!()
    }
    /// The whole `m=` line after the equals sign, as written.
    pub fn line(&self) -> &'d str {
        todo!()
    }
    /// All octets of the section in the description.
    pub fn range(&self) -> Range<usize> {
        todo!()
    }
    /// Its own connection address, else that of the session.
    pub fn connection(&self) -> Option<Address> {
        todo!()
    }
    /// Its own attributes in order.
    pub fn attributes(&self) -> impl Iterator<Item = Attribute<'d>> {
        std::iter::empty()
    }
    /// Its first attribute of that name.
    pub fn attribute(&self, name: &str) -> Option<Attribute<'d>> {
        self.attributes().find(|attribute| attribute.name == name)
    }
    /// Whether this is an `m=message` section over one of the transports of MSRP.
    pub fn is_message(&self) -> bool {
        todo!()
    }
    /// What the section says as a message session. `None` where it is not one; an error, with its
    /// place in the description, where a value that is needed cannot be read.
    pub fn message(&self) -> Option<Result<MessageMedia, ParseError>> {
        todo!()
    }
}
