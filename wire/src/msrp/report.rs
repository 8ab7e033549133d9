//! Which octets a receiver reports as received (RFC 4975 §7.1.3).
//!
//! A message whose chunks say `Success-Report: yes` is reported in full, at once or bit by bit; the
//! choice is the receiver's. Reports speak of ranges, not of chunks, and of what was counted, not
//! of what was claimed.

use super::{ByteRange, Chunk, Outcome, Reassembly};

/// When a receiver reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Reporting {
    /// Once, when the message is complete, on all of it.
    #[default]
    Complete,
    /// After each chunk, on that chunk.
    EachChunk,
    /// After each chunk, on all octets from the first one up to the first gap.
    SoFar,
}

impl Reporting {
    /// The Byte-Range of the success report that is due after `chunk`, which ended in `outcome`.
    /// `None`: none is due now. Whether the sender asked for any is the caller's to look up
    /// ([`super::Head::success_report`]).
    ///
    /// After a duplicate the same is reported as if it had been needed: acknowledgements are due
    /// for it too (RFC 4975 §5.4). On a message that was given up or contradicts itself nothing is.
    pub fn due(
        self,
        reassembly: &Reassembly,
        chunk: &Chunk,
        outcome: Outcome,
    ) -> Option<ByteRange> {
        let done = match outcome {
            Outcome::Complete(_) | Outcome::Duplicate => true,
            Outcome::Incomplete => false,
            Outcome::Aborted | Outcome::Conflict(_) => return None,
        };
        let total = reassembly.total();
        match self {
            Self::Complete => done.then(|| whole(total)),
            Self::EachChunk if done && chunk.octets() == 0 => Some(whole(total)),
            Self::EachChunk => (chunk.octets() > 0).then(|| ByteRange {
                total,
                ..chunk.actual()
            }),
            Self::SoFar => {
                let prefix = reassembly.coverage().prefix();
                (done || prefix > 0).then_some(ByteRange {
                    start: 1,
                    end: Some(prefix),
                    total,
                })
            }
        }
    }
}

fn whole(total: Option<u64>) -> ByteRange {
    ByteRange {
        start: 1,
        end: total,
        total,
    }
}
