//! One whole frame: a request or a response with its body and its end line.
//!
//! Whatever was accepted can be given back octet for octet, because it is never taken apart: every
//! accessor shows a part of the one buffer.

use std::fmt;
use std::ops::{Deref, Range};

use bytes::Bytes;

use super::end::{Found, scan};
use super::index::{HeadEnd, HeadReader, Index};
use super::{Flag, Head, Limits, ParseError};

/// A frame as it was received or built. Cloning is cheap: the octets are shared.
///
/// A frame is a [`Head`] with an end, so all that can be asked of a head can be asked of it.
#[derive(Clone)]
pub struct Frame {
    octets: Bytes,
    head: Head,
    body: Option<Range<usize>>,
    /// Offset of the end line.
    end: usize,
    flag: Flag,
}

/// Shows the octets, which are all that a frame is.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Frame").field(&self.octets).finish()
    }
}

/// Frames are equal when their octets are.
impl PartialEq for Frame {
    fn eq(&self, other: &Self) -> bool {
        self.octets == other.octets
    }
}

impl Eq for Frame {}

impl Deref for Frame {
    type Target = Head;

    fn deref(&self) -> &Head {
        &self.head
    }
}

impl Frame {
    /// Indexes `octets` as one frame that ends where they end, as one WebSocket message holds it
    /// (RFC 7977 §5.3) or [`super::FrameDecoder`] cuts it.
    pub fn parse(octets: impl Into<Bytes>, limits: &Limits) -> Result<Self, ParseError> {
        let octets = octets.into();
        let error = |at: usize, expected| Err(ParseError::at(&octets, at, expected));
        let mut reader = HeadReader::default();
        let Some(head_end) = reader.advance(&octets, limits)? else {
            return error(octets.len(), reader.missing());
        };
        let (body, end) = match head_end {
            HeadEnd::Frame(found) => (None, found),
            HeadEnd::Body(start) => {
                let scan = scan(&octets[start..], reader.transaction_id(&octets), true);
                if scan.body > limits.chunk {
                    return error(start + limits.chunk, END_LIMIT);
                }
                let Some(found) = scan.end else {
                    return error(octets.len(), "the end line of this transaction");
                };
                (Some(start..start + scan.body), found.shifted(start))
            }
        };
        if end.line.end < octets.len() {
            return error(end.line.end, "nothing after the end line");
        }
        Ok(Self::assemble(octets, reader.into_index(), body, &end))
    }

    /// A frame whose parts are known. `octets` end where it ends.
    pub(super) fn assemble(
        octets: Bytes,
        index: Index,
        body: Option<Range<usize>>,
        end: &Found,
    ) -> Self {
        let head_end = body.as_ref().map_or(end.line.start, |body| body.start);
        Self {
            head: Head::new(octets.slice(..head_end), index, body.is_some()),
            body,
            end: end.line.start,
            flag: end.flag,
            octets,
        }
    }

    /// All octets as received: parsing and this give the same octets back.
    pub fn as_bytes(&self) -> &Bytes {
        &self.octets
    }

    /// Start line and header fields.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The body, sharing the memory of the frame. `None`: there is none (RFC 4975 §7.1), which is
    /// not the same as an empty one.
    pub fn body(&self) -> Option<Bytes> {
        self.body.clone().map(|range| self.octets.slice(range))
    }

    /// Range of the body in the frame.
    pub fn body_range(&self) -> Option<Range<usize>> {
        self.body.clone()
    }

    /// The flag of the end line.
    pub fn flag(&self) -> Flag {
        self.flag
    }

    /// Range of the end line in the frame, its line end included.
    pub fn end_line_range(&self) -> Range<usize> {
        self.end..self.octets.len()
    }
}

/// A body that is longer than it may be.
pub(super) const END_LIMIT: &str = "the body to end here (limit)";
