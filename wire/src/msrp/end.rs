//! The end line of a frame: seven hyphens, the transaction id, a flag (RFC 4975 §7.1, §9).
//!
//! Only the line of the frame's own id ends it. The RFC keeps that line out of every body, so it is
//! looked for at the start of a line and nowhere else, and whatever resembles it is body: another
//! id, an id without a flag, hyphens alone.

use std::fmt;
use std::ops::Range;
use std::sync::LazyLock;

use bytes::Bytes;
use memchr::memmem::Finder;

/// Whether a message goes on after this chunk: the last character of the end line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flag {
    /// `$`: the end of the message, or a frame that is all there is.
    Complete,
    /// `+`: more chunks follow.
    More,
    /// `#`: the message is given up; no more chunks follow.
    Abort,
}

impl Flag {
    /// The flag that an octet stands for.
    pub const fn from_octet(octet: u8) -> Option<Self> {
        match octet {
            b'$' => Some(Self::Complete),
            b'+' => Some(Self::More),
            b'#' => Some(Self::Abort),
            _ => None,
        }
    }

    /// The octet that stands for the flag.
    pub const fn octet(self) -> u8 {
        match self {
            Self::Complete => b'$',
            Self::More => b'+',
            Self::Abort => b'#',
        }
    }
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", char::from(self.octet()))
    }
}

/// The end of a frame as it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// The flag.
    pub flag: Flag,
    /// The end line with its line end and, after a body, the line end before it, which is no part
    /// of the body.
    pub octets: Bytes,
}

/// The end line that closes a frame of this id, with its CRLF. A body needs a CRLF before it.
pub fn end_line(transaction_id: &str, flag: Flag) -> String {
    format!("-------{transaction_id}{flag}\r\n")
}

/// What every end line begins with.
pub(crate) const HYPHENS: &[u8] = b"-------";

/// A line that begins as every end line does.
static CANDIDATE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\n-------"));

/// What the octets at the start of a line are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// The end line; it has that many octets, line end included.
    End(Flag, usize),
    /// May become one.
    Undecided,
    /// Something else.
    Other,
}

/// Whether the end line of `id` stands at the front.
pub(crate) fn at_line_start(octets: &[u8], id: &[u8]) -> Line {
    let mut rest = octets;
    for part in [HYPHENS, id] {
        let there = rest.len().min(part.len());
        if rest[..there] != part[..there] {
            return Line::Other;
        }
        if there < part.len() {
            return Line::Undecided;
        }
        rest = &rest[there..];
    }
    let Some((octet, line_end)) = rest.split_first() else {
        return Line::Undecided;
    };
    let Some(flag) = Flag::from_octet(*octet) else {
        return Line::Other;
    };
    let before = HYPHENS.len() + id.len() + 1;
    match line_end {
        [] | [b'\r'] => Line::Undecided,
        [b'\n', ..] => Line::End(flag, before + 1),
        [b'\r', b'\n', ..] => Line::End(flag, before + 2),
        _ => Line::Other,
    }
}

/// How far a body is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scan {
    /// Octets before this offset are body.
    pub(crate) body: usize,
    /// The end line, where it was found.
    pub(crate) end: Option<Found>,
}

/// An end line that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) flag: Flag,
    /// Where it stands, its line end included.
    pub(crate) line: Range<usize>,
}

impl Found {
    pub(crate) fn shifted(self, by: usize) -> Self {
        Self {
            flag: self.flag,
            line: self.line.start + by..self.line.end + by,
        }
    }
}

/// Looks for the end of a body in `octets`. `first`: they begin where the body begins, so that an
/// end line may stand right at the front.
///
/// What is given as body never has to be searched again.
pub(crate) fn scan(octets: &[u8], id: &[u8], first: bool) -> Scan {
    if first {
        match at_line_start(octets, id) {
            Line::End(flag, length) => {
                let line = 0..length;
                return Scan {
                    body: 0,
                    end: Some(Found { flag, line }),
                };
            }
            Line::Undecided => return Scan { body: 0, end: None },
            Line::Other => {}
        }
    }
    let mut from = 0;
    while let Some(found) = CANDIDATE.find(&octets[from..]) {
        let line_feed = from + found;
        let line = line_feed + 1;
        let end = match at_line_start(&octets[line..], id) {
            Line::End(flag, length) => {
                let line = line..line + length;
                Some(Found { flag, line })
            }
            Line::Undecided => None,
            Line::Other => {
                from = line;
                continue;
            }
        };
        let body = before_line_end(octets, line_feed);
        return Scan { body, end };
    }
    Scan {
        body: octets.len() - undecided_tail(&octets[from..]),
        end: None,
    }
}

/// Where the line end begins whose LF is at `line_feed`.
fn before_line_end(octets: &[u8], line_feed: usize) -> usize {
    match octets[..line_feed].last() {
        Some(b'\r') => line_feed - 1,
        _ => line_feed,
    }
}

/// How many of the last octets may be the front of a line end with an end line: CR, or a line end
/// and up to six hyphens.
fn undecided_tail(octets: &[u8]) -> usize {
    let hyphens = octets
        .iter()
        .rev()
        .take(HYPHENS.len() - 1)
        .take_while(|octet| **octet == b'-')
        .count();
    match octets[..octets.len() - hyphens] {
        [.., b'\r', b'\n'] => hyphens + 2,
        [.., b'\n'] => hyphens + 1,
        [.., b'\r'] if hyphens == 0 => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end_of(octets: &[u8]) -> Option<(usize, Flag, Range<usize>)> {
        let scan = scan(octets, b"a1b2", true);
        scan.end.map(|found| (scan.body, found.flag, found.line))
    }

    #[test]
    fn finds_its_own_end_line_only() {
        let at = |octets: &str| end_of(octets.as_bytes());
        assert_eq!(
            at("hi\r\n-------a1b2$\r\n"),
            Some((2, Flag::Complete, 4..18))
        );
        assert_eq!(
            at("hi\r\n\r\n-------a1b2+\r\n"),
            Some((4, Flag::More, 6..20))
        );
        assert_eq!(at("\r\n-------a1b2#\r\n"), Some((0, Flag::Abort, 2..16)));
        // Not as the RFC has it, and clear all the same.
        assert_eq!(at("-------a1b2$\r\n"), Some((0, Flag::Complete, 0..14)));
        assert_eq!(at("hi\n-------a1b2$\n"), Some((2, Flag::Complete, 3..16)));
        // The line after look-alikes of every kind.
        let before = "x-------a1b2$\r\n-------\r\n-------a1b\r\n-------a1b2\r\n-------a1b2?\r\n\
            --------a1b2$\r\n-------A1B2$\r\n-------a1b2$ \r\n-------a1b2$$\r\n------a1b2$\r\n\
            -------a1b22$\r\n -------a1b2$";
        let end = before.len();
        assert_eq!(
            at(&format!("{before}\r\n-------a1b2$\r\n-------a1b2$\r\n")),
            Some((end, Flag::Complete, end + 2..end + 16))
        );
        assert_eq!(at(before), None);
    }

    #[test]
    fn what_is_given_as_body_never_was_the_end() {
        let octets = b"\r\n-\r\r\n-------a1b2\n-------a1b2$\r\r\n-------\r\n-------a1b2+\r\n";
        for to in 0..octets.len() {
            let scan = scan(&octets[..to], b"a1b2", true);
            assert_eq!(scan.end, None, "{to}");
            assert!(scan.body <= octets.len() - 16, "{to}");
            // No more is held back than may be the front of an end line.
            assert!(to - scan.body < 16, "{to}");
        }
        let whole = scan(octets, b"a1b2", true);
        assert_eq!(whole.body, octets.len() - 16);
    }

    #[test]
    fn flags_and_lines_are_written_as_they_are_read() {
        for octet in 0..=u8::MAX {
            assert_eq!(
                Flag::from_octet(octet).map(Flag::octet),
                b"$+#".contains(&octet).then_some(octet)
            );
        }
        assert_eq!(end_line("a1b2", Flag::More), "-------a1b2+\r\n");
    }
}
