//! Defects of wording: what two readers may take in two ways, what no tester can see, what contradicts the protocols that
//! the text builds on, and what it leaves unsaid.
//!
//! The rules are about kinds of defects and know no particular text. What they know of protocols are facts, in `facts`.

mod facts;
mod formats;
mod language;
mod messages;
mod references;
mod structure;
mod terms;
mod unsaid;
mod values;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde_json::{Value, json};

use super::pattern::Pattern;
use super::{Block, Draft};
use crate::document::{Diagnostic, Diagnostics, Span};

/// One kind of defect.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// `and-or`
    pub id: &'static str,
    /// How much it matters.
    pub weight: Weight,
    /// Why it matters to a tester.
    pub why: &'static str,
}

/// How much a defect matters to a tester.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Weight {
    /// A server passes or fails by the reading.
    Verdict,
    /// A server must declare what it does before it can be tested.
    Choice,
    /// A reader stumbles.
    Editorial,
}

impl Weight {
    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Verdict => "verdict",
            Self::Choice => "choice",
            Self::Editorial => "editorial",
        }
    }
}

/// One defect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What kind.
    pub rule: &'static Rule,
    /// What is wrong.
    pub title: String,
    /// What it may mean.
    pub readings: Vec<String>,
    /// What to write instead.
    pub suggestion: String,
    /// Where.
    pub span: Span,
    /// Where else the same is wrong.
    pub also: Vec<Span>,
    /// Index of the block.
    pub block: usize,
}

impl Finding {
    fn readings<const N: usize>(&mut self, readings: [&str; N]) -> &mut Self {
        self.readings = readings.map(str::to_owned).to_vec();
        self
    }

    fn suggest(&mut self, suggestion: impl Into<String>) {
        self.suggestion = suggestion.into();
    }
}

/// All rules, for documentation and for those who want some only.
pub fn rules() -> Vec<&'static Rule> {
    [
        words::RULES,
        terms::RULES,
        structure::RULES,
        references::RULES,
        formats::RULES,
        messages::RULES,
        values::RULES,
        unsaid::RULES,
        language::RULES,
    ]
    .concat()
}

/// The defects of a draft, in its order.
pub fn lint(draft: &Draft) -> Vec<Finding> {
    let bound = draft.statements.iter().map(|it| it.block).collect();
    let said = draft
        .binding()
        .map(Block::text)
        .collect::<Vec<_>>()
        .join("\n");
    let mut page = Page {
        draft,
        bound,
        said,
        findings: Vec::new(),
        known: BTreeMap::new(),
    };
    for find in [
        words::find,
        terms::find,
        structure::find,
        references::find,
        formats::find,
        messages::find,
        values::find,
        unsaid::find,
        language::find,
    ] {
        find(&mut page);
    }
    let mut findings = page.findings;
    findings.sort_by(|a, b| (a.span.start, a.rule.id).cmp(&(b.span.start, b.rule.id)));
    findings
}

/// What the rules look at, and what they found.
struct Page<'a> {
    draft: &'a Draft,
    /// Blocks that hold a statement.
    bound: BTreeSet<usize>,
    /// Everything that stands in parts that bind.
    said: String,
    findings: Vec<Finding>,
    /// Index of each finding, by rule and key.
    known: BTreeMap<(&'static str, String), usize>,
}

/// A place in a block.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    block: usize,
    at: Range<usize>,
    /// What stands there.
    text: String,
}

impl<'a> Page<'a> {
    fn block(&self, index: usize) -> &'a Block {
        &self.draft.blocks[index]
    }

    /// Indices of the blocks of a clause: they stand together.
    fn of_clause(&self, clause: usize) -> Range<usize> {
        let blocks = &self.draft.blocks;
        let start = blocks.partition_point(|it| it.clause < clause);
        start..blocks.partition_point(|it| it.clause <= clause)
    }

    /// Indices of the blocks that stand right below one.
    fn below(&self, index: usize) -> Vec<usize> {
        let clause = self.of_clause(self.block(index).clause);
        let is_below = |at: &usize| self.block(*at).above.last() == Some(&index);
        (index + 1..clause.end).filter(is_below).collect()
    }

    /// Where a pattern is, in blocks that hold a statement.
    fn in_statements(&self, pattern: &Pattern) -> Vec<Place> {
        self.places(pattern, |index, _| self.bound.contains(&index))
    }

    /// Where a pattern is, in the whole text.
    fn anywhere(&self, pattern: &Pattern) -> Vec<Place> {
        self.places(pattern, |_, _| true)
    }

    fn places(&self, pattern: &Pattern, wanted: impl Fn(usize, &Block) -> bool) -> Vec<Place> {
        let blocks = self.draft.blocks.iter().enumerate();
        let blocks = blocks.filter(|(index, block)| wanted(*index, block));
        blocks
            .flat_map(|(index, block)| {
                pattern.find_iter(block.text()).map(move |found| Place {
                    block: index,
                    at: found.range(),
                    text: found.as_str().to_owned(),
                })
            })
            .collect()
    }

    /// Whether a part that binds speaks of something.
    fn speaks_of(&self, pattern: &Pattern) -> bool {
        pattern.is_match(&self.said)
    }

    /// Adds a finding; one of the same rule and key is told once, with all its places.
    fn add(
        &mut self,
        rule: &'static Rule,
        key: &str,
        place: &Place,
        title: impl Into<String>,
    ) -> &mut Finding {
        let span = self.block(place.block).prose.span(place.at.clone());
        let key = (rule.id, key.to_owned());
        if let Some(at) = self.known.get(&key).copied() {
            self.findings[at].also.push(span);
            return &mut self.findings[at];
        }
        self.known.insert(key, self.findings.len());
        self.findings.push(Finding {
            rule,
            title: title.into(),
            readings: Vec::new(),
            suggestion: String::new(),
            span,
            also: Vec::new(),
            block: place.block,
        });
        let last = self.findings.len() - 1;
        &mut self.findings[last]
    }
}

/// For people: each defect with its line and a caret.
pub fn render(draft: &Draft, findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let mut diagnostic = Diagnostic::warning(
            &draft.source,
            &finding.span,
            format!("{} [{}]", finding.title, finding.rule.id),
        )
        .note(finding.rule.why);
        for reading in &finding.readings {
            diagnostic = diagnostic.note(format!("may mean: {reading}"));
        }
        if !finding.also.is_empty() {
            let places: Vec<String> = finding
                .also
                .iter()
                .map(|span| {
                    let at = draft.source.location(span.start);
                    format!("{}:{}", at.line, at.column)
                })
                .collect();
            diagnostic = diagnostic.note(format!("also at {}", places.join(", ")));
        }
        if !finding.suggestion.is_empty() {
            diagnostic = diagnostic.help(&finding.suggestion);
        }
        text.push_str(&Diagnostics::from(diagnostic).render(true));
    }
    text
}

/// For programs.
pub fn as_json(draft: &Draft, findings: &[Finding]) -> Value {
    let list: Vec<Value> = findings
        .iter()
        .map(|finding| {
            json!({
                "rule": finding.rule.id,
                "weight": finding.rule.weight.name(),
                "title": finding.title,
                "why": finding.rule.why,
                "readings": finding.readings,
                "suggestion": finding.suggestion,
                "at": draft.source.location(finding.span.start),
                "also": finding.also.iter().map(|span| draft.source.location(span.start)).collect::<Vec<_>>(),
                "statements": draft.statements.iter().filter(|it| it.block == finding.block).map(|it| it.id.as_str()).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({ "draft": draft.source.name(), "assumptions": draft.assumptions, "findings": list })
}

#[cfg(test)]
mod tests;
