//! One SIP message: its octets and an index into them.

use std::borrow::Cow;

use bytes::Bytes;

use super::error::{Limits, ParseError};
use super::typed::{TypedHeader, ValueResult};

/// A message as it was received or built. Cloning is cheap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    octets: Bytes,
}

/// The first line, borrowed from the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartLine<'m> {
    /// `METHOD uri SIP/2.0`
    Request {
        /// The method as written.
        method: &'m str,
        /// The Request-URI as written; may hold octets that are not UTF-8.
        uri: &'m [u8],
        /// The version as written.
        version: &'m str,
    },
    /// `SIP/2.0 200 OK`
    Response {
        /// The version as written.
        version: &'m str,
        /// Three digits.
        status: u16,
        /// The reason phrase as written, possibly empty.
        reason: &'m [u8],
    },
}

/// One header field, borrowed from the message.
#[derive(Debug, Clone, Copy)]
pub struct Header<'m> {
    pub(crate) message: &'m [u8],
    pub(crate) name: (u32, u32),
    pub(crate) value: (u32, u32),
}

impl<'m> Header<'m> {
    /// The name as written, without white space before the colon.
    pub fn name(&self) -> &'m str { todo!() }
    /// The long form of the name in its usual case: `Subject` for `s`. Unknown names stay as written.
    pub fn canonical_name(&self) -> Cow<'m, str> { todo!() }
    /// Same header field, whatever case or compact form (RFC 3261 §7.3.1, §7.3.3).
    pub fn is(&self, name: &str) -> bool { let _ = name; todo!() }
    /// The value as written, folding and outer white space included, without the final line end.
    pub fn raw_value(&self) -> &'m [u8] { todo!() }
    /// The value unfolded and trimmed (RFC 3261 §7.3.1): what the sender meant.
    pub fn value(&self) -> Cow<'m, [u8]> { todo!() }
    /// [`Self::value`] for printing; octets that are not UTF-8 are replaced.
    pub fn text(&self) -> Cow<'m, str> { todo!() }
    /// The whole field as written, name to line end exclusive.
    pub fn line(&self) -> &'m [u8] { todo!() }
    /// Offset of the first octet of the name in the message.
    pub fn offset(&self) -> usize { self.name.0 as usize }
    /// Range of the raw value in the message, to mark the place in a report.
    pub fn value_range(&self) -> std::ops::Range<usize> { self.value.0 as usize..self.value.1 as usize }
}

impl Message {
    /// Indexes `octets` as one message, as a datagram holds it, under the default [`Limits`].
    pub fn parse(octets: impl Into<Bytes>) -> Result<Self, ParseError> { Self::parse_with(octets, &Limits::default()) }
    /// Indexes `octets` under `limits`.
    pub fn parse_with(octets: impl Into<Bytes>, limits: &Limits) -> Result<Self, ParseError> { let _ = (octets.into(), limits); todo!() }
    /// All octets as received: parsing and this give the same octets back.
    pub fn octets(&self) -> &Bytes { &self.octets }
    /// The first line.
    pub fn start_line(&self) -> StartLine<'_> { todo!() }
    /// Whether this is a request.
    pub fn is_request(&self) -> bool { matches!(self.start_line(), StartLine::Request { .. }) }
    /// The method of a request.
    pub fn method(&self) -> Option<&str> { todo!() }
    /// The Request-URI of a request, as written.
    pub fn request_uri(&self) -> Option<&[u8]> { todo!() }
    /// The status code of a response.
    pub fn status(&self) -> Option<u16> { todo!() }
    /// All header fields in order.
    pub fn headers(&self) -> impl Iterator<Item = Header<'_>> { std::iter::empty() }
    /// The first field of that name, in any case or compact form.
    pub fn header(&self, name: &str) -> Option<Header<'_>> { let _ = name; todo!() }
    /// All fields of that name, in order.
    pub fn headers_named<'m>(&'m self, name: &'m str) -> impl Iterator<Item = Header<'m>> { let _ = name; std::iter::empty() }
    /// The first value of that type, parsed now. `None` when there is no such field.
    pub fn typed<T: TypedHeader>(&self) -> Option<ValueResult<T>> { todo!() }
    /// Every value of that type: all fields of the name, comma lists split where the header is a list.
    pub fn typed_all<T: TypedHeader>(&self) -> Vec<ValueResult<T>> { todo!() }
    /// Body octets: what follows the empty line, cut to Content-Length where that is valid and smaller
    /// (RFC 3261 §18.3: surplus octets of a datagram are discarded).
    pub fn body(&self) -> &[u8] { todo!() }
    /// The same as [`Self::body`], sharing the message's memory.
    pub fn body_bytes(&self) -> Bytes { todo!() }
    /// Range of the body in the message.
    pub fn body_range(&self) -> std::ops::Range<usize> { todo!() }
    /// Octets after the end of the body that Content-Length gives.
    pub fn surplus(&self) -> &[u8] { todo!() }
    /// How many octets of the body that Content-Length promises are missing (RFC 3261 §18.3: 400).
    pub fn missing_body(&self) -> usize { todo!() }
}
