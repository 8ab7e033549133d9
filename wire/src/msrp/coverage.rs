//! Which octets of a message are there: a set of ranges, without the octets.
//!
//! A receiver may write content where it belongs as it arrives and ask here whether all of it is
//! there; a sender may keep what was reported. The set grows with the gaps in it, not with the
//! message, and the gaps are bounded.

use std::ops::Range;

/// A set of octets, by offsets from 0. Ranges that touch are one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// In order, none empty, with gaps between them.
    parts: Vec<Range<u64>>,
    most: usize,
}

/// One more gap than allowed: nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the octets received would be in more than {most} parts with gaps between them")]
pub struct TooManyFragments {
    /// How many parts are allowed.
    pub most: usize,
}

impl Coverage {
    /// Nothing yet; at most `most` parts with gaps between them.
    pub fn new(most: usize) -> Self {
        Self {
            parts: Vec::new(),
            most,
        }
    }

    /// Adds a range. Gives the parts of it that were not there before, in order; an empty range
    /// adds nothing.
    pub fn insert(&mut self, range: Range<u64>) -> Result<Vec<Range<u64>>, TooManyFragments> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        // The parts that overlap or touch the range become one with it.
        let from = self.parts.partition_point(|part| part.end < range.start);
        let to = self.parts.partition_point(|part| part.start <= range.end);
        if from == to && self.parts.len() >= self.most {
            return Err(TooManyFragments { most: self.most });
        }
        let mut fresh = Vec::new();
        let mut at = range.start;
        let mut merged = range.clone();
        for part in &self.parts[from..to] {
            if at < part.start {
                fresh.push(at..part.start);
            }
            at = at.max(part.end);
            merged = merged.start.min(part.start)..merged.end.max(part.end);
        }
        if at < range.end {
            fresh.push(at..range.end);
        }
        self.parts.splice(from..to, [merged]);
        Ok(fresh)
    }

    /// Whether all octets below `total` are there.
    pub fn is_complete(&self, total: u64) -> bool {
        self.prefix() >= total
    }

    /// How many octets are there without a gap from the first one on.
    pub fn prefix(&self) -> u64 {
        match self.parts.first() {
            Some(part) if part.start == 0 => part.end,
            _ => 0,
        }
    }

    /// The offset after the last octet that is there.
    pub fn end(&self) -> u64 {
        self.parts.last().map_or(0, |part| part.end)
    }

    /// How many octets are there.
    pub fn octets(&self) -> u64 {
        self.parts.iter().map(|part| part.end - part.start).sum()
    }

    /// Whether nothing is there.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The parts that are there, in order, with gaps between them.
    pub fn parts(&self) -> impl Iterator<Item = Range<u64>> {
        self.parts.iter().cloned()
    }

    /// The first gap below `total`.
    pub fn first_gap(&self, total: u64) -> Option<Range<u64>> {
        let start = self.prefix();
        let next = self.parts.iter().find(|part| part.start > start);
        let end = next.map_or(total, |part| part.start.min(total));
        (start < end).then_some(start..end)
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

    fn parts(coverage: &Coverage) -> Vec<Range<u64>> {
        coverage.parts().collect()
    }

    #[test]
    fn tells_what_is_new() {
        let mut coverage = Coverage::new(8);
        assert!(coverage.is_empty());
        assert_eq!(coverage.insert(10..20).unwrap(), [10..20]);
        assert_eq!(coverage.insert(30..40).unwrap(), [30..40]);
        assert_eq!(coverage.insert(12..18).unwrap(), []);
        assert_eq!(coverage.insert(5..35).unwrap(), [5..10, 20..30]);
        assert_eq!(parts(&coverage), [5..40]);
        assert_eq!(coverage.insert(40..50).unwrap(), [40..50]);
        assert_eq!(coverage.insert(60..60).unwrap(), []);
        assert_eq!(coverage.insert(0..5).unwrap(), [0..5]);
        assert_eq!(parts(&coverage), [0..50]);
        assert_eq!(
            (coverage.prefix(), coverage.end(), coverage.octets()),
            (50, 50, 50)
        );
        assert_eq!(coverage.insert(u64::MAX - 1..u64::MAX).unwrap().len(), 1);
        assert_eq!(
            (coverage.prefix(), coverage.end(), coverage.octets()),
            (50, u64::MAX, 51)
        );
    }

    #[test]
    fn knows_its_gaps() {
        let mut coverage = Coverage::new(8);
        assert_eq!(coverage.first_gap(0), None);
        assert!(coverage.is_complete(0) && !coverage.is_complete(1));
        assert_eq!(coverage.first_gap(4), Some(0..4));
        coverage.insert(2..3).unwrap();
        coverage.insert(5..6).unwrap();
        assert_eq!(coverage.first_gap(9), Some(0..2));
        coverage.insert(0..2).unwrap();
        assert_eq!(coverage.first_gap(9), Some(3..5));
        assert_eq!(coverage.first_gap(4), Some(3..4));
        assert_eq!(coverage.first_gap(3), None);
        assert!(coverage.is_complete(3) && !coverage.is_complete(4));
        coverage.insert(3..5).unwrap();
        assert_eq!(coverage.first_gap(9), Some(6..9));
    }

    #[test]
    fn its_gaps_are_bounded() {
        let mut coverage = Coverage::new(2);
        coverage.insert(0..1).unwrap();
        coverage.insert(2..3).unwrap();
        let error = coverage.insert(4..5).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the octets received would be in more than 2 parts with gaps between them"
        );
        assert_eq!(parts(&coverage), [0..1, 2..3]);
        assert_eq!(coverage.insert(3..5).unwrap(), [3..5]);
        assert_eq!(coverage.insert(1..2).unwrap(), [1..2]);
        assert_eq!(parts(&coverage), [0..5]);
        assert!(Coverage::new(0).insert(0..1).is_err());
    }
}
