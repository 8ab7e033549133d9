//! Putting the chunks of one message together, without holding its content (RFC 4975 §7.3.1).
//!
//! The caller keeps one [`Reassembly`] for each Message-ID of a session, writes the octets of a
//! chunk where [`Placed`] says, and learns from [`Outcome`] what the message is after each chunk.
//! [`super::Message`] does the same in memory.
//!
//! The rules:
//!
//! - A chunk starts where its Byte-Range says, at the first octet where it has none. How far it
//!   reaches is counted, whatever it claims as its end (§7.3.1).
//! - Chunks come in any order, twice, and over one another; the octets that came last hold
//!   (§7.3.1).
//! - Only a chunk that ends in `$` says where the message ends: where that chunk does (§7.3.1). A
//!   total that was claimed is a claim: it costs no memory (§14.5), and contradicting it is a
//!   [`Conflict`].
//! - The message is complete when a chunk has ended in `$` and all octets up to there are in;
//!   before that `$` alone says nothing.
//! - A chunk without octets has to start at 1 wherever it belongs (§7.1.1: `1-0/0`). So where one
//!   that says `1-0` ends in `$`, the message ends where its total says: after 0 octets, or after
//!   those that other chunks brought.
//! - `#` gives the message up (§7.1). What comes after it, or after the message is complete,
//!   changes nothing.
//! - A request without a body is no chunk: do not [`Reassembly::begin`] with it.

use std::ops::Range;

use super::{ByteRange, Coverage, Flag, Limits, TooManyFragments};

/// What is known of one message.
#[derive(Debug, Clone)]
pub struct Reassembly {
    coverage: Coverage,
    longest: u64,
    claimed: Option<u64>,
    end: Option<u64>,
    conflict: Option<Conflict>,
    aborted: bool,
    complete: bool,
}

/// A chunk whose octets are arriving.
#[derive(Debug)]
pub struct Chunk {
    range: ByteRange,
    octets: u64,
}

/// Where octets of a chunk belong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Their offsets in the message, from 0. Write them there, over what may be there.
    pub range: Range<u64>,
    /// The parts of it that were not there before.
    pub fresh: Vec<Range<u64>>,
}

/// What a message is after a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Octets or the end are missing.
    Incomplete,
    /// All octets are there, that many.
    Complete(u64),
    /// It was complete before this chunk, which changes nothing (RFC 4975 §5.4: acknowledge it, and
    /// do not keep or show the message again).
    Duplicate,
    /// The sender gave it up (`#`); what was received is not a message.
    Aborted,
    /// Its chunks contradict one another. It never becomes complete; [`Reassembly::is_covered`]
    /// tells whether one might still take it.
    Conflict(Conflict),
}

/// Two statements of a sender about the length of one message that cannot both be true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// Two chunks claim different totals.
    #[error("one chunk claims a total of {first} octets, another one of {second}")]
    Totals {
        /// The total that was claimed first.
        first: u64,
        /// The other one.
        second: u64,
    },
    /// The chunk that ends in `$` ends elsewhere than the claimed total.
    #[error("the total is claimed to be {claimed} octets, and the message ends after {end}")]
    TotalAndEnd {
        /// The total that was claimed.
        claimed: u64,
        /// Where the message ends.
        end: u64,
    },
    /// Two chunks end in `$`, at different places.
    #[error("the message ends after {first} octets, and again after {second}")]
    Ends {
        /// The end that came first.
        first: u64,
        /// The other one.
        second: u64,
    },
    /// Octets were received beyond the end or the claimed total.
    #[error("the message has {end} octets in all, and octets up to {received} were received")]
    Beyond {
        /// Where the message ends or claims to.
        end: u64,
        /// How far it was received.
        received: u64,
    },
}

/// Why a chunk, or more of it, is not taken. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The message is longer than allowed, or claims to be: 413 (RFC 4975 §10.5).
    #[error("the message is longer than {limit} octets: it reaches or claims {octets}")]
    TooLong {
        /// How many octets it reaches or claims.
        octets: u64,
        /// How many are allowed.
        limit: u64,
    },
    /// Its octets are in too many parts.
    #[error(transparent)]
    TooManyFragments(#[from] TooManyFragments),
}

impl Reassembly {
    /// A message of which nothing is known, under `limits`.
    pub fn new(limits: &Limits) -> Self {
        Self {
            coverage: Coverage::new(limits.fragments),
            longest: limits.message,
            claimed: None,
            end: None,
            conflict: None,
            aborted: false,
            complete: false,
        }
    }

    /// A chunk with that Byte-Range begins. Several may be under way, each over its own connection.
    pub fn begin(&mut self, range: Option<ByteRange>) -> Result<Chunk, Refusal> {
        let range = range.unwrap_or(ByteRange::OPEN);
        self.within(range.total.unwrap_or(0).max(range.offset()))?;
        if let Some(total) = range.total
            && !self.is_over()
        {
            match self.claimed {
                Some(first) if first != total => self.found(Conflict::Totals {
                    first,
                    second: total,
                }),
                _ => self.claimed = Some(total),
            }
            self.contradictions();
        }
        Ok(Chunk { range, octets: 0 })
    }

    /// That many more octets of the chunk are there. After a refusal the chunk is to be dropped;
    /// what was taken of it before stays.
    pub fn take(&mut self, chunk: &mut Chunk, octets: usize) -> Result<Placed, Refusal> {
        let octets = octets as u64;
        let start = chunk.range.offset().saturating_add(chunk.octets);
        let end = start.saturating_add(octets);
        self.within(end)?;
        let fresh = if self.is_over() {
            Vec::new()
        } else {
            self.coverage.insert(start..end)?
        };
        chunk.octets += end - start;
        self.contradictions();
        Ok(Placed {
            range: start..end,
            fresh,
        })
    }

    /// The chunk ends with that flag. A chunk that was cut off has no end: drop it, and what was
    /// taken of it stays.
    pub fn end(&mut self, chunk: &Chunk, flag: Flag) -> Outcome {
        if self.complete {
            return Outcome::Duplicate;
        }
        if self.aborted {
            return Outcome::Aborted;
        }
        match flag {
            Flag::Abort => self.aborted = true,
            Flag::Complete => self.ends(chunk),
            Flag::More => {}
        }
        let outcome = self.outcome();
        self.complete = matches!(outcome, Outcome::Complete(_));
        outcome
    }

    /// The octets that are there.
    pub fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    /// How long the message is, as far as it said: where it ends, or else the total it claims.
    pub fn total(&self) -> Option<u64> {
        self.end.or(self.claimed)
    }

    /// The first contradiction among the chunks, also of those under way.
    pub fn conflict(&self) -> Option<Conflict> {
        self.conflict
    }

    /// Whether the end is known and every octet up to there was received, conflicts or not.
    pub fn is_covered(&self) -> bool {
        self.end.is_some_and(|end| self.coverage.is_complete(end))
    }

    /// Whether a chunk has completed the message.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Whether the sender gave the message up.
    pub fn is_aborted(&self) -> bool {
        self.aborted
    }

    /// Whether nothing can change any more.
    pub fn is_over(&self) -> bool {
        self.complete || self.aborted
    }

    fn outcome(&self) -> Outcome {
        if self.aborted {
            return Outcome::Aborted;
        }
        match (self.conflict, self.end) {
            (Some(conflict), _) => Outcome::Conflict(conflict),
            (None, Some(end)) if self.is_covered() => Outcome::Complete(end),
            (None, _) => Outcome::Incomplete,
        }
    }

    /// The chunk says that the message ends where it does.
    fn ends(&mut self, chunk: &Chunk) {
        let is_empty = chunk.octets == 0 && chunk.range.start == 1 && chunk.range.end == Some(0);
        let end = match chunk.range.total {
            Some(total) if is_empty => total,
            _ => chunk.range.offset().saturating_add(chunk.octets),
        };
        match self.end {
            Some(first) if first != end => self.found(Conflict::Ends { first, second: end }),
            _ => self.end = Some(end),
        }
        self.contradictions();
    }

    fn contradictions(&mut self) {
        if let (Some(claimed), Some(end)) = (self.claimed, self.end)
            && claimed != end
        {
            self.found(Conflict::TotalAndEnd { claimed, end });
        }
        let received = self.coverage.end();
        if let Some(end) = self.total()
            && received > end
        {
            self.found(Conflict::Beyond { end, received });
        }
    }

    /// The first one stands.
    fn found(&mut self, conflict: Conflict) {
        self.conflict.get_or_insert(conflict);
    }

    /// The largest number stands for all that are larger.
    fn within(&self, octets: u64) -> Result<(), Refusal> {
        if octets > self.longest || octets == u64::MAX {
            Err(Refusal::TooLong {
                octets,
                limit: self.longest,
            })
        } else {
            Ok(())
        }
    }
}

impl Chunk {
    /// What it claims to be; [`ByteRange::OPEN`] where it claims nothing.
    pub fn claimed(&self) -> ByteRange {
        self.range
    }

    /// How many of its octets were taken.
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// The range that it has in truth so far: start and total as claimed, end counted (RFC 4975
    /// §7.1.4).
    pub fn actual(&self) -> ByteRange {
        ByteRange {
            end: Some(self.range.offset().saturating_add(self.octets)),
            ..self.range
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::single_range_in_vec_init,
        reason = "tests"
    )]

    use super::*;
    use Flag::{Abort, Complete, More};

    const LIMITS: Limits = Limits {
        line: 0,
        headers: 0,
        head: 0,
        chunk: 0,
        message: 100,
        fragments: 3,
    };

    fn range(text: &str) -> Option<ByteRange> {
        (!text.is_empty()).then(|| text.parse().unwrap())
    }

    /// What the message is after each of these chunks: Byte-Range, octets in truth, flag.
    fn outcomes(chunks: &[(&str, usize, Flag)]) -> Vec<Outcome> {
        let mut message = Reassembly::new(&LIMITS);
        let outcome = |(text, octets, flag): &(&str, usize, Flag)| {
            let mut chunk = message.begin(range(text)).unwrap();
            message.take(&mut chunk, *octets).unwrap();
            message.end(&chunk, *flag)
        };
        chunks.iter().map(outcome).collect()
    }

    fn last(chunks: &[(&str, usize, Flag)]) -> Outcome {
        *outcomes(chunks).last().unwrap()
    }

    #[test]
    fn one_chunk_is_a_message() {
        assert_eq!(last(&[("", 5, Complete)]), Outcome::Complete(5));
        assert_eq!(last(&[("1-*/*", 5, Complete)]), Outcome::Complete(5));
        assert_eq!(last(&[("1-5/5", 5, Complete)]), Outcome::Complete(5));
        assert_eq!(last(&[("", 0, Complete)]), Outcome::Complete(0));
        assert_eq!(last(&[("1-0/0", 0, Complete)]), Outcome::Complete(0));
    }

    #[test]
    fn complete_only_with_all_octets_and_the_flag() {
        use Outcome::Incomplete;
        assert_eq!(
            outcomes(&[
                ("5-8/8", 4, Complete),
                ("1-2/8", 2, More),
                ("3-4/8", 2, More)
            ]),
            [Incomplete, Incomplete, Outcome::Complete(8)]
        );
        // All octets of the claimed total, and nobody said that this is the end.
        assert_eq!(last(&[("1-4/8", 4, More), ("5-8/8", 4, More)]), Incomplete);
        // The end is that of the chunk with the flag, wherever the total is unknown.
        assert_eq!(
            last(&[("1-*/*", 4, More), ("5-*/*", 3, Complete)]),
            Outcome::Complete(7)
        );
        assert_eq!(
            last(&[("5-*/*", 3, Complete), ("1-*/*", 3, More)]),
            Incomplete
        );
        // An empty chunk may bring the flag after all octets, at its own place or at 1.
        let octets = ("1-8/8", 8, More);
        assert_eq!(
            last(&[octets, ("9-8/8", 0, Complete)]),
            Outcome::Complete(8)
        );
        assert_eq!(
            last(&[octets, ("1-0/8", 0, Complete)]),
            Outcome::Complete(8)
        );
        assert_eq!(
            last(&[("1-0/8", 0, Complete), octets]),
            Outcome::Complete(8)
        );
    }

    #[test]
    fn duplicates_and_overlaps_do_no_harm() {
        use Outcome::{Duplicate, Incomplete};
        assert_eq!(
            outcomes(&[
                ("1-4/8", 4, More),
                ("1-4/8", 4, More),
                ("3-6/8", 4, More),
                ("5-8/8", 4, Complete),
                ("5-8/8", 4, Complete),
                ("1-9/9", 9, More),
                ("1-8/8", 8, Abort),
            ]),
            [
                Incomplete,
                Incomplete,
                Incomplete,
                Outcome::Complete(8),
                Duplicate,
                Duplicate,
                Duplicate
            ]
        );
    }

    /// RFC 4975 §7.3.1: the length is counted, not believed.
    #[test]
    fn a_range_that_lies_about_its_end() {
        let chunks = [("1-8/8", 3, More), ("4-8/8", 5, Complete)];
        assert_eq!(last(&chunks), Outcome::Complete(8));
        assert_eq!(
            last(&[("1-8/*", 3, More), ("9-10/*", 2, Complete)]),
            Outcome::Incomplete
        );
    }

    #[test]
    fn aborted_is_the_end() {
        use Outcome::{Aborted, Incomplete};
        assert_eq!(
            outcomes(&[
                ("1-4/8", 4, More),
                ("5-*/8", 2, Abort),
                ("7-8/8", 2, Complete),
                ("1-8/9", 8, Complete),
            ]),
            [Incomplete, Aborted, Aborted, Aborted]
        );
        assert_eq!(last(&[("", 8, Abort)]), Aborted);
    }

    #[test]
    fn contradictions_are_told() {
        let conflict = |chunks: &[(&str, usize, Flag)]| match last(chunks) {
            Outcome::Conflict(conflict) => conflict.to_string(),
            other => format!("{other:?}"),
        };
        let told = [
            conflict(&[("1-4/8", 4, More), ("5-9/9", 5, Complete)]),
            conflict(&[("1-10/10", 8, Complete)]),
            conflict(&[("3-4/*", 2, Complete), ("1-*/8", 0, More)]),
            conflict(&[("5-8/*", 4, Complete), ("1-4/*", 4, Complete)]),
            conflict(&[("3-4/*", 2, Complete), ("5-8/*", 4, More)]),
            conflict(&[("5-8/6", 4, More)]),
            conflict(&[("1-*/4", 5, More)]),
            conflict(&[("5-8/*", 4, More), ("1-4/4", 4, Complete)]),
            conflict(&[("1-8/*", 8, More), ("1-0/*", 0, Complete)]),
        ];
        insta::assert_snapshot!(told.join("\n"));
    }

    #[test]
    fn a_conflict_stays_and_can_be_looked_behind() {
        let mut message = Reassembly::new(&LIMITS);
        let mut chunk = message.begin(range("1-8/10")).unwrap();
        message.take(&mut chunk, 8).unwrap();
        assert_eq!(message.conflict(), None);
        let conflict = Conflict::TotalAndEnd {
            claimed: 10,
            end: 8,
        };
        assert_eq!(message.end(&chunk, Complete), Outcome::Conflict(conflict));
        assert_eq!(message.conflict(), Some(conflict));
        assert!(message.is_covered() && !message.is_complete() && !message.is_over());
        assert_eq!(message.total(), Some(8));
        let chunk = message.begin(range("1-8/9")).unwrap();
        assert_eq!(message.end(&chunk, More), Outcome::Conflict(conflict));
    }

    /// RFC 4975 §14.5, and 413 of §10.5.
    #[test]
    fn claims_cost_nothing_and_limits_hold() {
        let mut message = Reassembly::new(&LIMITS);
        let too_long = |octets| Refusal::TooLong { octets, limit: 100 };
        for (text, octets) in [
            ("1-*/101", 101),
            ("1-*/9223372036854775808", 1 << 63),
            ("1-*/18446744073709551615", u64::MAX),
            ("102-*/*", 101),
            ("18446744073709551615-*/*", u64::MAX - 1),
        ] {
            assert_eq!(
                message.begin(range(text)).unwrap_err(),
                too_long(octets),
                "{text}"
            );
        }
        assert_eq!(message.total(), None);
        let mut chunk = message.begin(range("51-*/100")).unwrap();
        assert_eq!(message.take(&mut chunk, 51).unwrap_err(), too_long(101));
        assert_eq!(
            message.take(&mut chunk, usize::MAX).unwrap_err(),
            too_long(u64::MAX)
        );
        let placed = message.take(&mut chunk, 50).unwrap();
        assert_eq!((placed.range, placed.fresh), (50..100, vec![50..100]));
        assert_eq!(chunk.actual().to_string(), "51-100/100");
        for start in [1, 3] {
            let mut chunk = message.begin(range(&format!("{start}-*/*"))).unwrap();
            message.take(&mut chunk, 1).unwrap();
        }
        let mut chunk = message.begin(range("5-*/*")).unwrap();
        assert_eq!(
            message.take(&mut chunk, 1).unwrap_err(),
            Refusal::TooManyFragments(TooManyFragments { most: 3 })
        );
        assert_eq!(message.take(&mut chunk, 0).unwrap().fresh, []);
        let unlimited = Limits {
            message: u64::MAX,
            ..LIMITS
        };
        let mut message = Reassembly::new(&unlimited);
        let mut chunk = message.begin(range("18446744073709551615-*/*")).unwrap();
        assert!(message.take(&mut chunk, 1).is_err());
    }

    #[test]
    fn a_chunk_that_was_cut_off_keeps_its_octets() {
        let mut message = Reassembly::new(&LIMITS);
        let mut lost = message.begin(range("1-*/8")).unwrap();
        assert_eq!(message.take(&mut lost, 3).unwrap().range, 0..3);
        assert_eq!(message.take(&mut lost, 3).unwrap().range, 3..6);
        // `lost` never ends.
        let mut rest = message.begin(range("5-8/8")).unwrap();
        let placed = message.take(&mut rest, 4).unwrap();
        assert_eq!((placed.range, placed.fresh), (4..8, vec![6..8]));
        assert_eq!(message.end(&rest, Complete), Outcome::Complete(8));
        assert_eq!((rest.octets(), rest.claimed().end), (4, Some(8)));
    }
}
