//! A session description: its octets, its lines, and what they mean.

use bytes::Bytes;

use super::ParseError;
use super::address::Address;
use super::defects::Defect;
use super::error::Limits;
use super::lines::Line;
use super::media::{Attribute, Media};
use super::message::MessageMedia;
use super::origin::{Origin, Revision};

/// A session description as it was received or built.
#[derive(Debug, Clone)]
pub struct Description {
    octets: Bytes,
}

impl Description {
    /// Reads a description under the default [`Limits`].
    pub fn parse(octets: impl Into<Bytes>) -> Result<Self, ParseError> {
        Self::parse_with(octets, &Limits::default())
    }
    /// Reads a description under `limits`.
    pub fn parse_with(octets: impl Into<Bytes>, limits: &Limits) -> Result<Self, ParseError> {
        let _ = (octets.into(), limits);
        todo!()
    }
    /// All octets as received.
    pub fn octets(&self) -> &Bytes {
        &self.octets
    }
    /// All octets as received.
    pub fn as_bytes(&self) -> &[u8] {
        &self.octets
    }
    /// Its lines as they stand.
    pub fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        super::lines::lines(&self.octets)
    }
    /// The `o=` line, where there is one.
    pub fn origin(&self) -> Option<Origin> {
        todo!()
    }
    /// The session name, `s=`; it is not the subject of a message, which SIP's Subject is.
    pub fn session_name(&self) -> Option<&str> {
        todo!()
    }
    /// The connection address of the session level.
    pub fn connection(&self) -> Option<Address> {
        todo!()
    }
    /// The attributes of the session level in order.
    pub fn attributes(&self) -> impl Iterator<Item = Attribute<'_>> {
        std::iter::empty()
    }
    /// Its `m=` sections in order.
    pub fn media(&self) -> impl Iterator<Item = Media<'_>> {
        std::iter::empty()
    }
    /// The sections that are message sessions, in order.
    pub fn messages(&self) -> impl Iterator<Item = Result<MessageMedia, ParseError>> {
        self.media().filter_map(|media| media.message())
    }
    /// The first message session that is not refused (port 0).
    pub fn message(&self) -> Option<Result<MessageMedia, ParseError>> {
        todo!()
    }
    /// What this description is to the one that the same party sent before.
    pub fn revision_of(&self, before: &Self) -> Revision {
        let _ = before;
        todo!()
    }
    /// Where it breaks the rules for descriptions of message sessions, in the order of the octets.
    pub fn defects(&self) -> Vec<Defect> {
        todo!()
    }
}
