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

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(chunker: Chunker) -> Vec<String> {
        chunker
            .map(|plan| format!("{}{} {:?}", plan.range, plan.flag, plan.slice))
            .collect()
    }

    #[test]
    fn cuts_in_order() {
        assert_eq!(shown(Chunker::new(0, 4)), ["1-0/0$ 0..0"]);
        assert_eq!(shown(Chunker::new(4, 4)), ["1-4/4$ 0..4"]);
        assert_eq!(shown(Chunker::new(5, 4)), ["1-4/5+ 0..4", "5-5/5$ 4..5"]);
        assert_eq!(shown(Chunker::new(2, 0)), ["1-1/2+ 0..1", "2-2/2$ 1..2"]);
        assert_eq!(
            shown(Chunker::new(3, 2).hide_total()),
            ["1-2/*+ 0..2", "3-3/*$ 2..3"]
        );
        let last = u64::MAX;
        assert_eq!(
            Chunker::new(last, last).last().map(|plan| plan.slice),
            Some(0..last)
        );
    }

    /// RFC 4975 §7.1.1: more than 2048 octets must be open to interruption.
    #[test]
    fn long_chunks_promise_no_end() {
        assert_eq!(shown(Chunker::new(2048, 9000)), ["1-2048/2048$ 0..2048"]);
        assert_eq!(shown(Chunker::new(2049, 9000)), ["1-*/2049$ 0..2049"]);
        assert_eq!(
            shown(Chunker::new(4097, 2049)),
            ["1-*/4097+ 0..2049", "2050-4097/4097$ 2049..4097"]
        );
    }

    #[test]
    fn goes_on_where_it_was_interrupted() {
        assert_eq!(shown(Chunker::new(5, 4).resume_at(3)), ["4-5/5$ 3..5"]);
        assert_eq!(shown(Chunker::new(5, 4).resume_at(0)).len(), 2);
        assert!(shown(Chunker::new(5, 4).resume_at(5)).is_empty());
        assert!(shown(Chunker::new(5, 4).resume_at(u64::MAX)).is_empty());
    }
}
