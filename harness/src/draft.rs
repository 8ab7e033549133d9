//! For those who write the specification: what a draft says, and how well.
//!
//! ```text
//! octets ─[decode]→ text ─[layout]→ blocks ─[statement]→ statements ─[link]→ requirements
//! ```
//!
//! - [`decode`]: octets become text, whatever the encoding, the line ends, the format; `html` and `docx` are
//!   turned into plain text with marks of Markdown, so that everything behind reads one kind of text.
//! - [`layout`]: clauses, paragraphs, bullets with their nesting, notes.
//! - [`statement`]: every sentence that binds somebody, with key word, actor and conditions.
//! - [`link`]: which requirement came from which statement, by its [fingerprint](crate::catalogue::fingerprint), and what
//!   changed since.
//!
//! [`lint`] tells where the wording does not hold, [`coverage`] what shows each statement.
//!
//! A draft is a stranger's file: nothing in it makes the command panic or take more than a few times its size, and what
//! had to be assumed to read it is said.

pub mod coverage;
pub mod decode;
mod docx;
mod html;
pub mod layout;
pub mod link;
pub mod lint;
mod pattern;
pub mod render;
mod sentence;
pub mod statement;

use std::path::Path;
use std::sync::Arc;

pub use decode::Unreadable;
pub use layout::{Block, BlockKind, Clause};
pub use statement::{Form, Statement};

use crate::document::Source;

/// A draft, read.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Its text; of HTML and DOCX, the text that they were turned into.
    pub source: Arc<Source>,
    /// What had to be assumed to read it, and what was left out.
    pub assumptions: Vec<String>,
    /// Its clauses, in order. The first is what stands before any heading.
    pub clauses: Vec<Clause>,
    /// Everything in them, in order.
    pub blocks: Vec<Block>,
    /// What binds somebody, in order.
    pub statements: Vec<Statement>,
}

impl Draft {
    /// Reads a file.
    pub fn open(path: &Path) -> Result<Self, Unreadable> {
        let octets = decode::load(path)?;
        Self::read(&path.display().to_string(), &octets)
    }

    /// Reads octets; the name tells the format, where the octets do not.
    pub fn read(name: &str, octets: &[u8]) -> Result<Self, Unreadable> {
        let text = decode::decode(name, octets)?;
        let source = Arc::new(Source::new(text.name, text.text));
        let mut assumptions = text.assumptions;
        let layout = layout::Layout::of(source.text(), text.marked);
        assumptions.extend(layout.assumptions);
        let found = statement::extract(&layout.clauses, &layout.blocks);
        assumptions.extend(found.assumptions);
        Ok(Self {
            source,
            assumptions,
            clauses: layout.clauses,
            blocks: layout.blocks,
            statements: found.statements,
        })
    }

    /// The clause of a block.
    pub fn clause_of(&self, block: &Block) -> &Clause {
        // A block's clause is an index into this very list.
        &self.clauses[block.clause]
    }

    /// Blocks of clauses and kinds that bind: no notes, nothing informative, nothing verbatim.
    pub fn binding(&self) -> impl Iterator<Item = &Block> {
        self.blocks
            .iter()
            .filter(|block| block.kind.can_bind() && self.clause_of(block).informative.is_none())
    }
}

#[cfg(test)]
mod tests;
