//! Taking a message apart into chunks (RFC 4975 §5.1, §7.1.1).

use std::ops::Range;

use super::{ByteRange, Flag};

/// The largest body with a promised end; a longer one must be open to interruption (RFC 4975
/// §7.1.1).
pub const INTERRUPTIBLE_ABOVE: u64 = 2048;

/// Gives the chunks of a message of known length in order. No content is needed, so that it may be
/// read where and when it is sent.
#[derive(Debug, Clone)]
pub struct Chunker {
    length: u64,
    size: u64,
    at: u64,
    total: Option<u64>,
    ended: bool,
}

/// One chunk to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Its Byte-Range.
    pub range: ByteRange,
    /// The flag of its end line.
    pub flag: Flag,
    /// The octets of the message that it holds, by offsets from 0.
    pub slice: Range<u64>,
}

impl Chunker {
    /// Chunks of `size` octets, the last one of what is left; a size of 0 is taken as 1. An empty
    /// message is one empty chunk, `1-0/0`.
    pub fn new(length: u64, size: u64) -> Self {
        Self {
            length,
            size: size.max(1),
            at: 0,
            total: Some(length),
            ended: false,
        }
    }

    /// Starts with the octet at that offset, where an interrupted message goes on. Beyond the end
    /// there is nothing to be sent.
    pub fn resume_at(mut self, offset: u64) -> Self {
        self.at = offset;
        self.ended = offset > 0 && offset >= self.length;
        self
    }

    /// Writes `*` as total, as a sender does that does not know it yet.
    pub fn hide_total(mut self) -> Self {
        self.total = None;
        self
    }
}

impl Iterator for Chunker {
    type Item = Plan;

    fn next(&mut self) -> Option<Plan> {
        if self.ended {
            return None;
        }
        let slice = self.at..self.at.saturating_add(self.size).min(self.length);
        let octets = slice.end - slice.start;
        self.at = slice.end;
        self.ended = slice.end == self.length;
        Some(Plan {
            range: ByteRange {
                start: slice.start + 1,
                end: (octets <= INTERRUPTIBLE_ABOVE).then_some(slice.end),
                total: self.total,
            },
            flag: if self.ended {
                Flag::Complete
            } else {
                Flag::More
            },
            slice,
        })
    }
}
