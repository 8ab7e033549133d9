//! To-Path, From-Path, Use-Path and the path of a session description: URIs in the order of the
//! hops (RFC 4975 §5.2, §7.1, §8; RFC 4976 §4.4).

use std::fmt;
use std::str::FromStr;

use super::{Uri, ValueError};
use crate::sip::typed::ValueResult;
use crate::sip::typed::cursor::Cursor;

/// At least one URI; the leftmost is the next hop, the rightmost the end (RFC 4975 §7.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Path {
    first: Uri,
    rest: Vec<Uri>,
}

impl Path {
    /// A path of these hops.
    pub fn new(first: Uri, rest: Vec<Uri>) -> Self {
        Self { first, rest }
    }

    /// Reads a header value: URIs with spaces between them.
    pub fn parse(value: &[u8]) -> ValueResult<Self> {
        let mut uris = Vec::new();
        let mut at = 0;
        for piece in value.split(|octet| matches!(octet, b' ' | b'\t')) {
            if !piece.is_empty() {
                uris.push(Uri::parse(piece).map_err(|error| error.shifted(at))?);
            }
            at += piece.len() + 1;
        }
        if uris.is_empty() {
            return Cursor::error_at(0, "at least one MSRP URI");
        }
        Ok(Self {
            first: uris.remove(0),
            rest: uris,
        })
    }

    /// The next hop.
    pub fn first(&self) -> &Uri {
        &self.first
    }

    /// The end of the way: the device that the session is with.
    pub fn last(&self) -> &Uri {
        self.rest.last().unwrap_or(&self.first)
    }

    /// All hops in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Uri> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    /// How many hops there are, at least one.
    #[expect(clippy::len_without_is_empty, reason = "a path is never empty")]
    pub fn len(&self) -> usize {
        1 + self.rest.len()
    }

    /// Whether both lead over equivalent hops in the same order (RFC 4975 §6.1).
    pub fn equivalent(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().zip(other.iter()).all(|(a, b)| a.equivalent(b))
    }
}

impl From<Uri> for Path {
    fn from(uri: Uri) -> Self {
        Self::new(uri, Vec::new())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        self.rest.iter().try_for_each(|uri| write!(f, " {uri}"))
    }
}

impl FromStr for Path {
    type Err = ValueError;

    fn from_str(text: &str) -> ValueResult<Self> {
        Self::parse(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn reads_hops_in_order() {
        let path: Path = "msrps://r:1/a;tcp msrp://b:2/c;tcp".parse().unwrap();
        assert_eq!(path.len(), 2);
        assert_eq!(path.first().session_id(), Some("a"));
        assert_eq!(path.last().session_id(), Some("c"));
        assert_eq!(path.to_string(), "msrps://r:1/a;tcp msrp://b:2/c;tcp");
        assert_eq!(path.iter().next_back(), Some(path.last()));
        let wide = Path::parse(b"  msrps://R:1/a;tcp   msrp://B:2/c;tcp ").unwrap();
        assert!(wide.equivalent(&path) && wide != path);
        let short = Path::from(path.first().clone());
        assert!(!short.equivalent(&path));
        assert_eq!(short.last(), path.first());
    }

    #[test]
    fn errors_have_their_place() {
        for (text, offset) in [("", 0), (" ", 0), ("msrp://h:1/s;tcp msrp://h:x", 26)] {
            assert_eq!(
                Path::parse(text.as_bytes()).unwrap_err().offset,
                offset,
                "{text}"
            );
        }
    }
}
