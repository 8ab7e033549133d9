//! Running text with white space made one, that still knows where each word stands in the file.

use std::ops::Range;

use crate::document::Span;

/// Text of a block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prose {
    text: String,
    /// Where each word begins: here, and in the file.
    words: Vec<(usize, usize)>,
}

impl Prose {
    /// Adds a line, or a part of one, that stands at `start` of the file.
    pub(super) fn push(&mut self, start: usize, line: &str) {
        let mut at = 0;
        // A word that a line's end cuts at its hyphen is one word.
        let mut cut = self.text.ends_with('-')
            && self
                .text
                .chars()
                .rev()
                .nth(1)
                .is_some_and(char::is_alphabetic)
            && line.trim_start().starts_with(char::is_alphabetic);
        for word in line.split(char::is_whitespace) {
            if !word.is_empty() {
                if !self.text.is_empty() && !cut {
                    self.text.push(' ');
                }
                cut = false;
                self.words.push((self.text.len(), start + at));
                self.text.push_str(word);
            }
            // White space is one character, of one to three octets.
            let gap = line[at + word.len()..].chars().next();
            at += word.len() + gap.map_or(0, char::len_utf8);
        }
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where a part of the text stands in the file.
    pub fn span(&self, part: Range<usize>) -> Span {
        let start = self.offset(part.start);
        let last = part.end.max(part.start + 1) - 1;
        start..self.offset(last).max(start) + 1
    }

    fn offset(&self, at: usize) -> usize {
        let word = self.words.partition_point(|(here, _)| *here <= at);
        let (here, there) = word.checked_sub(1).map_or((0, 0), |word| self.words[word]);
        there + at.saturating_sub(here)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_found_again_across_lines() {
        let source = "  The locker\u{a0}\u{2003} opens\n  – at once.";
        let mut split = Prose::default();
        split.push(0, "a Parcel-");
        split.push(10, "Id -");
        split.push(15, "or none");
        assert_eq!(split.text(), "a Parcel-Id - or none");
        let mut prose = Prose::default();
        for line in source.split_inclusive('\n') {
            let start = line.as_ptr() as usize - source.as_ptr() as usize;
            prose.push(start, line);
        }
        assert_eq!(prose.text(), "The locker opens – at once.");
        let at = prose.text().find("opens").unwrap_or_default();
        assert_eq!(&source[prose.span(at..at + 5)], "opens");
        assert_eq!(
            &source[prose.span(at..prose.text().len())],
            "opens\n  – at once."
        );
    }
}
