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
