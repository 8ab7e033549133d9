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
            return error(octets.len(), reader.missing(&octets));
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn read(octets: &str) -> Frame {
        let frame = Frame::parse(octets.to_owned(), &Limits::default()).unwrap();
        assert_eq!(frame.as_bytes(), octets);
        frame
    }

    #[test]
    fn no_body_an_empty_body_and_bodies_with_line_ends() {
        let body = |after: &str| {
            let frame = read(&format!("MSRP abcd SEND\r\nContent-Type: a/b\r\n{after}"));
            assert_eq!(frame.has_body(), frame.body().is_some());
            frame
                .body()
                .map(|body| String::from_utf8(body.to_vec()).unwrap())
        };
        assert_eq!(body("-------abcd$\r\n"), None);
        assert_eq!(body("\r\n\r\n-------abcd$\r\n").as_deref(), Some(""));
        assert_eq!(body("\r\n-------abcd$\r\n").as_deref(), Some(""));
        assert_eq!(body("\r\nhi\r\n-------abcd$\r\n").as_deref(), Some("hi"));
        assert_eq!(
            body("\r\nhi\r\n\r\n-------abcd$\r\n").as_deref(),
            Some("hi\r\n")
        );
        assert_eq!(
            body("\r\n\r\n\r\n-------abcd$\r\n").as_deref(),
            Some("\r\n")
        );
        assert_eq!(body("\n\0\n-------abcd$\n").as_deref(), Some("\0"));
    }

    #[test]
    fn head_body_and_end_make_the_frame() {
        let frame = read("\r\nMSRP abcd SEND\r\nA: b\r\n\r\nhi\r\n-------abcd+\r\n");
        assert_eq!(
            frame.head().as_bytes(),
            "\r\nMSRP abcd SEND\r\nA: b\r\n\r\n"
        );
        assert_eq!(frame.body_range(), Some(26..28));
        assert_eq!(frame.end_line_range(), 30..44);
        assert_eq!(frame.flag(), Flag::More);
        assert_eq!(frame.start_line_range(), 2..16);
        let shown = format!("{frame:?}");
        assert!(shown.starts_with("Frame(b\"\\r\\nMSRP abcd"), "{shown}");
    }

    /// Every text that a reader of a report may see.
    #[test]
    fn errors_say_where_and_what() {
        let limits = Limits {
            line: 40,
            headers: 2,
            head: 80,
            chunk: 4,
            ..Limits::default()
        };
        let long = "x".repeat(60);
        let lines = format!(
            "MSRP abcd SEND\r\nA: {}\r\nB: {}\r\n",
            &long[..35],
            &long[..35]
        );
        let cases = [
            "",
            "\r\n",
            "\r",
            "MSRP",
            "GET / HTTP/1.1\r\n",
            "msrp abcd SEND\r\n",
            "MSRPabcd SEND\r\n",
            "MSRP \r\n",
            "MSRP \u{e9} SEND\r\n",
            "MSRP abcd\r\n",
            "MSRP abcd \r\n",
            "MSRP abcd 20x OK\r\n",
            "MSRP abcd 2000\r\n",
            "MSRP abcd SEND now\r\n",
            "MSRP abcd SE\u{e9}\r\n",
            "MSRP abcd SEND",
            "MSRP abcd SEND\r\n",
            "MSRP abcd SEND\r\nA\r\n",
            "MSRP abcd SEND\r\n: b\r\n",
            "MSRP abcd SEND\r\n folded\r\n",
            "MSRP abcd SEND\r\n-------abce$\r\n",
            "MSRP abcd SEND\r\n-------abcd\r\n",
            "MSRP abcd SEND\r\n-------abcd?\r\n",
            "MSRP abcd SEND\r\nA: b\r\n\r\nhi\r\n-------abcd",
            "MSRP abcd SEND\r\nA: b\r\n\r\nhi\r\n-------abce$\r\n",
            "MSRP abcd SEND\r\nA: b\r\n\r\nhello\r\n-------abcd$\r\n",
            "MSRP abcd SEND\r\n-------abcd$\r\nMSRP efgh SEND\r\n-------efgh$\r\n",
            "MSRP abcd SEND\r\nA: 1\r\nB: 2\r\nC: 3\r\n-------abcd$\r\n",
            &lines,
            &long,
        ];
        let shown: Vec<_> = cases
            .iter()
            .map(|octets| {
                let error = Frame::parse((*octets).to_owned(), &limits).unwrap_err();
                assert!(error.offset <= octets.len());
                format!("{octets:?}\n    {error}")
            })
            .collect();
        insta::assert_snapshot!(shown.join("\n"));
    }
}
