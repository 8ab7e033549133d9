//! The lines of a text, those that a printer added marked: page feet and heads, tables of contents.

use std::collections::BTreeMap;

use super::Pattern;
use crate::document::Span;

static FOOT: Pattern =
    Pattern::new(r"\[?\b[Pp]age\s+(?:\d+|[ivxlc]+)(?:\s*(?:of|/|\()\s*\d+\)?)?\]?\s*$");
static CONTENTS: Pattern = Pattern::new(r"(?:\.\s?){4,}\s*(?:\d+|[ivx]+)\s*$");

/// Columns of a tabulator.
const TAB: usize = 8;

/// Longest foot of a page, in octets: more is a sentence that ends with a page's number.
const LONGEST_FOOT: usize = 120;

/// One line.
#[derive(Debug, Clone)]
pub(super) struct Line<'a> {
    /// Where it begins.
    pub(super) start: usize,
    /// The line, without its end.
    pub(super) text: &'a str,
    /// Columns before its first character.
    pub(super) indent: usize,
    /// Whether a printer added it.
    pub(super) furniture: bool,
}

impl<'a> Line<'a> {
    /// Without white space around it.
    pub(super) fn trimmed(&self) -> &'a str {
        self.text.trim()
    }

    /// Whether nothing is on it.
    pub(super) fn is_blank(&self) -> bool {
        self.trimmed().is_empty()
    }

    /// Its text, in the file.
    pub(super) fn span(&self) -> Span {
        let lead = self.text.len() - self.text.trim_start().len();
        let start = self.start + lead;
        start..start + self.trimmed().len()
    }
}

/// Splits a text.
pub(super) fn split(text: &str) -> Vec<Line<'_>> {
    let mut start = 0;
    let mut lines: Vec<Line<'_>> = text
        .split('\n')
        .map(|line| {
            let here = start;
            start += line.len() + 1;
            Line {
                start: here,
                text: line,
                indent: indent(line),
                furniture: CONTENTS.is_match(line),
            }
        })
        .collect();
    mark_pages(&mut lines);
    lines
}

fn indent(line: &str) -> usize {
    let mut column = 0;
    for c in line.chars() {
        match c {
            '\t' => column += TAB - column % TAB,
            c if c.is_whitespace() => column += 1,
            _ => break,
        }
    }
    column
}

/// A foot is a line that ends with the number of the page; a head is the line behind a foot that stands behind
/// other feet, too.
fn mark_pages(lines: &mut [Line<'_>]) {
    let mut heads: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for index in 0..lines.len() {
        let line = &lines[index];
        if line.text.contains('\u{c}') && line.is_blank() {
            lines[index].furniture = true;
        } else if line.text.len() <= LONGEST_FOOT && FOOT.is_match(line.text) {
            lines[index].furniture = true;
            let head = (index + 1..lines.len()).find(|at| !lines[*at].is_blank());
            if let Some(head) = head {
                heads
                    .entry(lines[head].trimmed().to_owned())
                    .or_default()
                    .push(head);
            }
        }
    }
    for places in heads.values().filter(|places| places.len() > 1) {
        for place in places {
            lines[*place].furniture = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feet_heads_and_contents_are_marked() {
        let text = "1. Lockers .......... 3\n1. Lockers\nA. Author  Standards  [Page 1]\n\u{c}\nLockers 2026\n   text\nA. Author [Page 2]\nLockers 2026\nsee page 7 of it";
        let shown: Vec<String> = split(text)
            .iter()
            .map(|line| {
                format!(
                    "{}{}",
                    if line.furniture { "- " } else { "  " },
                    line.trimmed()
                )
            })
            .collect();
        insta::assert_snapshot!(shown.join("\n"));
    }
}
