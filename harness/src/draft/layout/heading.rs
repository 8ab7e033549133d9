//! Which lines are headings, and which clauses explain instead of binding.

use std::collections::{BTreeMap, BTreeSet};

use super::Pattern;
use super::lines::Line;

static MARKED: Pattern = Pattern::new(r"^(#{1,6})\s+(.*?)[\s#]*$");
static NUMBERED: Pattern = Pattern::new(r"^(\d+(?:\.\d+)+|[A-Z](?:\.\d+)+)\.?\s+(\S.*)$");
static TOP: Pattern = Pattern::new(r"^(\d{1,2})(?:\.\s*|\s+)([^\d\s].*)$");
static ANNEX: Pattern = Pattern::new(r"^(?i:appendix|annex)\s+([A-Z](?:\.\d+)*)\b[.:]?\s*(.*)$");
static UNDERLINE: Pattern = Pattern::new(r"^(?:={3,}|-{3,}|~{3,})$");

/// Octets of a title at most.
const LONGEST: usize = 100;

/// Octets of a title that has no dotted number to prove it.
const LONGEST_PLAIN: usize = 70;

/// Beginnings of the titles of clauses that explain, in lower case.
const INFORMATIVE: [&str; 29] = [
    "abstract",
    "acknowledg",
    "author's address",
    "authors addresses",
    "authors' address",
    "background",
    "bibliography",
    "change history",
    "change log",
    "contributors",
    "copyright",
    "document history",
    "editor's address",
    "foreword",
    "full copyright",
    "index",
    "informative ",
    "intellectual property",
    "introduction",
    "motivation",
    "normative references",
    "rationale",
    "reason for ",
    "recommendation",
    "references",
    "revision history",
    "status of this",
    "summary of",
    "table of contents",
];

/// A heading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heading {
    pub(super) number: String,
    pub(super) title: String,
    pub(super) informative: Option<String>,
    depth: usize,
}

/// The headings of a text, by line.
#[derive(Debug, Default)]
pub(super) struct Headings {
    by_line: BTreeMap<usize, Heading>,
    /// Lines under headings that only underline them.
    underlines: BTreeSet<usize>,
}

impl Headings {
    /// Finds them.
    pub(super) fn of(lines: &[Line<'_>], marked: bool) -> Self {
        let mut found = Self::default();
        if marked {
            found.find_marked(lines);
        }
        if found.by_line.is_empty() {
            found.find_plain(lines);
        }
        found.find_informative();
        found
    }

    /// The heading at a line.
    pub(super) fn at(&self, line: usize) -> Option<&Heading> {
        self.by_line.get(&line)
    }

    /// Whether a line is a part of a heading that was told already.
    pub(super) fn is_part(&self, line: usize) -> bool {
        self.underlines.contains(&line)
    }

    fn find_marked(&mut self, lines: &[Line<'_>]) {
        let mut fenced = false;
        for (index, line) in lines.iter().enumerate() {
            if line.trimmed().starts_with("```") {
                fenced = !fenced;
            }
            let found = MARKED.captures(line.text).filter(|_| !fenced);
            if let Some(found) = found {
                self.add(index, &found[2], found[1].len());
            }
        }
    }

    fn find_plain(&mut self, lines: &[Line<'_>]) {
        let written = || {
            lines
                .iter()
                .filter(|line| !line.is_blank() && !line.furniture)
        };
        let margin = written().filter(|line| line.indent == 0).count();
        // Where running text is set in, what stands at the margin is a heading.
        let set_in = margin * 2 < written().count();
        let mut top = 0;
        for (index, line) in lines.iter().enumerate() {
            if line.is_blank() || line.furniture || (set_in && line.indent > 0) {
                continue;
            }
            let before = lines[..index].iter().rev().find(|line| !line.furniture);
            let after = lines[index + 1..].iter().find(|line| !line.furniture);
            let alone_before = before.is_none_or(Line::is_blank);
            let alone = alone_before && after.is_none_or(Line::is_blank);
            let text = line.trimmed();
            let underlined = after.is_some_and(|line| UNDERLINE.is_match(line.trimmed()));
            if underlined && alone_before && is_title(text, LONGEST) {
                self.add(index, text, 1);
                self.underlines.insert(index + 1);
            } else if let Some(found) = NUMBERED.captures(text) {
                let ended = before.is_none_or(|line| line.trimmed().ends_with(['.', ':', ';']));
                if (alone_before || ended || self.by_line.contains_key(&index.saturating_sub(1)))
                    && is_title(&found[2], LONGEST)
                {
                    self.add(index, text, 1);
                }
            } else if let Some(found) = TOP.captures(text) {
                let number = found[1].parse().unwrap_or(0);
                if alone_before
                    && (alone || set_in)
                    && number == top + 1
                    && is_title(&found[2], LONGEST_PLAIN)
                {
                    top = number;
                    self.add(index, text, 1);
                }
            } else if ANNEX.is_match(text) {
                if alone_before && is_title(text, LONGEST) {
                    self.add(index, text, 1);
                }
            } else if alone && is_title(text, LONGEST_PLAIN) && (set_in || explains(text)) {
                self.add(index, text, 1);
            }
        }
    }

    fn add(&mut self, line: usize, text: &str, depth: usize) {
        let annex = ANNEX.captures(text);
        let numbered = NUMBERED.captures(text).or_else(|| TOP.captures(text));
        let (number, title) = match annex.or(numbered) {
            Some(found) => (found[1].to_owned(), found[2].to_owned()),
            None => (String::new(), text.to_owned()),
        };
        let heading = Heading {
            number,
            title,
            informative: None,
            depth,
        };
        self.by_line.insert(line, heading);
    }

    /// A clause explains if its title says so, or if the clause above it does.
    fn find_informative(&mut self) {
        let mut open: Vec<(String, usize, String)> = Vec::new();
        for heading in self.by_line.values_mut() {
            let below = |(number, depth, _): &(String, usize, String)| {
                if number.is_empty() || heading.number.is_empty() {
                    *depth < heading.depth
                } else {
                    heading.number.starts_with(&format!("{number}."))
                }
            };
            open.retain(below);
            let own = explains(&heading.title).then(|| heading.title.clone());
            heading.informative = own.or_else(|| open.last().map(|(_, _, why)| why.clone()));
            if let Some(why) = &heading.informative {
                open.push((heading.number.clone(), heading.depth, why.clone()));
            }
        }
    }
}

/// Whether a clause of this title explains.
fn explains(title: &str) -> bool {
    let title = title.to_lowercase().replace('’', "'");
    title.contains("(informative)")
        || title.contains("(non-normative)")
        || INFORMATIVE.iter().any(|start| title.starts_with(start))
}

/// A title is short, begins with a capital letter or a sign, and does not end like a sentence.
fn is_title(text: &str, longest: usize) -> bool {
    let starts = |c: char| c.is_uppercase() || c.is_ascii_digit() || c == '"' || c == '“';
    text.len() <= longest
        && text.starts_with(starts)
        && !text.ends_with(['.', ';', ':', ',', '?'])
        && text.chars().any(char::is_alphabetic)
}
