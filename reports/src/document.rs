//! A document of facts and tables, in Markdown or as a page: what a comparison and a conformance statement are made of.
//!
//! Text comes in only through functions that make control characters visible; the renderers escape what is markup
//! to them.

use std::fmt::Write as _;

use serde::Serialize;

use crate::change::Turn;
use crate::escape;
use crate::record::Verdict;

/// A document.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Document {
    /// What kind of document it is, above the title.
    pub kicker: String,
    /// Title.
    pub title: String,
    /// What it says in one line.
    pub headline: String,
    /// The tone of that line.
    pub class: &'static str,
    /// Version of imspec that wrote it.
    pub tool: String,
    /// In their order.
    pub sections: Vec<Section>,
}

/// A section.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Section {
    /// Stands in addresses.
    pub id: &'static str,
    /// Heading.
    pub title: String,
    /// What the tables show.
    pub lead: Option<String>,
    /// In their order; those without rows are left out.
    pub tables: Vec<Table>,
}

/// A table.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Table {
    /// What it shows.
    pub caption: Option<String>,
    /// Names of the columns.
    pub head: Vec<String>,
    /// In their order.
    pub rows: Vec<Vec<Cell>>,
}

/// One field of a table.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Cell {
    text: String,
    /// Class of a verdict, with the sign that tells it without colour.
    class: &'static str,
    sign: &'static str,
    /// Stands out: a name.
    strong: bool,
    /// In smaller print below.
    note: Option<String>,
}

impl Cell {
    /// Text.
    pub fn text(text: impl AsRef<str>) -> Self {
        Self {
            text: escape::line(text.as_ref()),
            ..Self::default()
        }
    }

    /// A name that the row is about.
    pub fn name(text: impl AsRef<str>) -> Self {
        Self {
            strong: true,
            ..Self::text(text)
        }
    }

    /// A verdict, in these words.
    pub fn verdict(verdict: Verdict, words: impl AsRef<str>) -> Self {
        Self {
            class: verdict.as_str(),
            sign: sign(verdict),
            ..Self::text(words)
        }
    }

    /// A turn, in these words.
    pub fn turn(turn: Turn, words: impl AsRef<str>) -> Self {
        let (class, sign) = match turn {
            Turn::Worse => ("fail", "✗"),
            Turn::Unclear => ("inconclusive", "?"),
            Turn::Unsteady => ("inconclusive", "~"),
            Turn::Better => ("pass", "✓"),
            Turn::New => ("observation", "+"),
            Turn::Gone => ("none", "−"),
        };
        Self {
            class,
            sign,
            ..Self::text(words)
        }
    }

    /// Something of a certain tone, with a sign that tells it without colour.
    pub fn toned(class: &'static str, sign: &'static str, words: impl AsRef<str>) -> Self {
        Self {
            class,
            sign,
            ..Self::text(words)
        }
    }

    /// With something in smaller print below.
    #[must_use]
    pub fn note(mut self, note: impl AsRef<str>) -> Self {
        self.note = Some(escape::line(note.as_ref()));
        self
    }
}

/// The sign of a verdict.
pub fn sign(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "✓",
        Verdict::Fail => "✗",
        Verdict::Inconclusive => "?",
        Verdict::Error => "!",
        Verdict::None | Verdict::NotApplicable => "·",
    }
}

impl Document {
    /// A section; one without anything to show is left out.
    pub fn push(&mut self, mut section: Section) {
        section.tables.retain(|table| !table.rows.is_empty());
        if section.lead.is_some() || !section.tables.is_empty() {
            self.sections.push(section);
        }
    }

    /// As Markdown.
    pub fn markdown(&self) -> String {
        let mut page = format!(
            "# {}: {}\n\n{}\n",
            md(&self.kicker),
            md(&self.title),
            md(&self.headline)
        );
        for section in &self.sections {
            let _ = writeln!(page, "\n## {}", md(&section.title));
            if let Some(lead) = &section.lead {
                let _ = writeln!(page, "\n{}", md(lead));
            }
            for table in &section.tables {
                if let Some(caption) = &table.caption {
                    let _ = writeln!(page, "\n### {}", md(caption));
                }
                let head: Vec<_> = table.head.iter().map(|it| md(it)).collect();
                let _ = write!(page, "\n| {} |\n|", head.join(" | "));
                page.push_str(&"---|".repeat(table.head.len()));
                page.push('\n');
                for row in &table.rows {
                    let row: Vec<_> = row.iter().map(Cell::markdown).collect();
                    let _ = writeln!(page, "| {} |", row.join(" | "));
                }
            }
        }
        page
    }

    /// As a page of its own.
    ///
    /// # Errors
    /// A mistake in the template.
    pub fn html(&self) -> Result<String, crate::html::Error> {
        crate::html::document(self)
    }
}

impl Cell {
    fn markdown(&self) -> String {
        let mut out = md(&self.text);
        if self.strong {
            out = format!("**{out}**");
        }
        if !self.sign.is_empty() {
            out = format!("{} {out}", self.sign);
        }
        match &self.note {
            Some(note) => format!("{out}<br>{}", md(note)),
            None => out,
        }
    }
}

fn md(words: &str) -> String {
    crate::markdown::text(words)
}
