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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::{Flag, Limits};
    use super::*;

    /// What is reported after each of these chunks: Byte-Range, octets in truth, flag.
    fn reported(reporting: Reporting, chunks: &[(&str, usize, Flag)]) -> Vec<Option<String>> {
        let mut message = Reassembly::new(&Limits::default());
        let due = |(range, octets, flag): &(&str, usize, Flag)| {
            let mut chunk = message.begin(Some(range.parse().unwrap())).unwrap();
            message.take(&mut chunk, *octets).unwrap();
            let outcome = message.end(&chunk, *flag);
            reporting
                .due(&message, &chunk, outcome)
                .map(|range| range.to_string())
        };
        chunks.iter().map(due).collect()
    }

    #[test]
    fn reports_what_was_counted() {
        use Flag::{Abort, Complete, More};
        let chunks = [
            ("1-*/8", 3, More),
            ("6-9/8", 3, Complete),
            ("4-5/8", 2, More),
            ("1-3/8", 3, More),
        ];
        let some = |texts: &[&str]| {
            texts
                .iter()
                .map(|t| Some((*t).to_owned()))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            reported(Reporting::EachChunk, &chunks),
            some(&["1-3/8", "6-8/8", "4-5/8", "1-3/8"])
        );
        assert_eq!(
            reported(Reporting::SoFar, &chunks),
            some(&["1-3/8", "1-3/8", "1-8/8", "1-8/8"])
        );
        assert_eq!(
            reported(Reporting::Complete, &chunks)[1..],
            [None, Some("1-8/8".to_owned()), Some("1-8/8".to_owned())]
        );
        for reporting in [Reporting::Complete, Reporting::EachChunk, Reporting::SoFar] {
            assert_eq!(
                reported(reporting, &[("1-0/0", 0, Complete)]),
                some(&["1-0/0"])
            );
            assert_eq!(reported(reporting, &[("1-4/8", 4, Abort)]), [None]);
            assert_eq!(reported(reporting, &[("1-4/8", 4, Complete)]), [None]);
            assert_eq!(reported(reporting, &[("1-0/8", 0, More)]), [None]);
        }
        // The total is told as soon as it is known.
        assert_eq!(
            reported(
                Reporting::EachChunk,
                &[("1-*/*", 2, More), ("3-*/*", 1, Complete)]
            ),
            some(&["1-2/*", "3-3/3"])
        );
    }
}
