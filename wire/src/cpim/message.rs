//! One `message/cpim` object: its octets and an index into them.

use bytes::Bytes;

use super::date_time::DateTime;
use super::defects::Defect;
use super::error::Limits;
use super::header::{ContentHeader, Header};
use super::typed::{Address, Requirement, Subject};
use super::{ParseError, ValueError};
use crate::sip::typed::MediaType;

/// A message as it was received or built. Cloning is cheap: the octets are shared.
#[derive(Debug, Clone)]
pub struct Message {
    octets: Bytes,
}

impl Message {
    /// Indexes `octets` as one message under the default [`Limits`].
    pub fn parse(octets: impl Into<Bytes>) -> Result<Self, ParseError> {
        Self::parse_with(octets, &Limits::default())
    }
    /// Indexes `octets` under `limits`.
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
    /// All message headers in order.
    pub fn headers(&self) -> impl Iterator<Item = Header<'_>> {
        std::iter::empty()
    }
    /// The first header of that name in that namespace, whatever its prefix.
    pub fn header_in(&self, namespace: &str, local_name: &str) -> Option<Header<'_>> {
        self.headers()
            .find(|header| header.is(namespace, local_name))
    }
    /// All headers of that name in that namespace.
    pub fn headers_in<'m>(
        &'m self,
        namespace: &'m str,
        local_name: &'m str,
    ) -> impl Iterator<Item = Header<'m>> {
        self.headers()
            .filter(move |header| header.is(namespace, local_name))
    }
    /// The first header of that name in the namespace of RFC 3862: `From`, `cc`.
    pub fn header(&self, name: &str) -> Option<Header<'_>> {
        self.header_in(super::CORE_NAMESPACE, name)
    }
    /// The first header of that name in the namespace of RFC 5438: `Message-ID`,
    /// `Disposition-Notification`.
    pub fn imdn(&self, name: &str) -> Option<Header<'_>> {
        self.header_in(super::IMDN_NAMESPACE, name)
    }
    /// The sender.
    pub fn from(&self) -> Option<Result<Address, ValueError>> {
        todo!()
    }
    /// The recipients.
    pub fn to(&self) -> Vec<Result<Address, ValueError>> {
        todo!()
    }
    /// The recipients of a courtesy copy.
    pub fn cc(&self) -> Vec<Result<Address, ValueError>> {
        todo!()
    }
    /// When it was sent.
    pub fn date_time(&self) -> Option<Result<DateTime, ValueError>> {
        todo!()
    }
    /// The subjects, one a language.
    pub fn subjects(&self) -> Vec<Subject> {
        todo!()
    }
    /// What its recipient must understand (RFC 3862 §3.5).
    pub fn requirements(&self) -> Vec<Requirement> {
        todo!()
    }
    /// The headers of the MIME part in order.
    pub fn content_headers(&self) -> impl Iterator<Item = ContentHeader<'_>> {
        std::iter::empty()
    }
    /// The first MIME header of that name, in any case.
    pub fn content_header(&self, name: &str) -> Option<ContentHeader<'_>> {
        self.content_headers()
            .find(|header| header.name().eq_ignore_ascii_case(name))
    }
    /// The type of the content.
    pub fn content_type(&self) -> Option<Result<MediaType, ValueError>> {
        todo!()
    }
    /// Whether the content is a delivery notification (RFC 5438).
    pub fn is_imdn(&self) -> bool {
        todo!()
    }
    /// Whether the content is a composing indication (RFC 3994).
    pub fn is_composing(&self) -> bool {
        todo!()
    }
    /// The MIME part: its headers, the empty line, its body.
    pub fn content(&self) -> &[u8] {
        todo!()
    }
    /// The body of the MIME part.
    pub fn body(&self) -> &[u8] {
        todo!()
    }
    /// The same as [`Self::body`], sharing the message's memory.
    pub fn body_bytes(&self) -> Bytes {
        todo!()
    }
    /// Where the message breaks the rules of RFC 3862, in the order of the octets.
    pub fn defects(&self) -> Vec<Defect> {
        todo!()
    }
}
