//! The shape of a text: clauses, paragraphs, bullets with their nesting, notes, verbatim parts. What a printer puts on
//! each page is taken out.

mod heading;
mod lines;
mod nesting;
mod prose;

use std::collections::BTreeSet;

pub(super) use nesting::announces;
pub use prose::Prose;

use self::heading::Headings;
use self::lines::Line;
use super::pattern::Pattern;
use crate::document::Span;

/// A clause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    /// `9.3.2.4`, `A.1`; empty where it has none.
    pub number: String,
    /// Its title; empty for what stands before any heading.
    pub title: String,
    /// Where its heading is.
    pub span: Span,
    /// Why nothing in it binds, where that is so.
    pub informative: Option<String>,
}

impl Clause {
    /// How people name it: its number, or else its title.
    pub fn name(&self) -> String {
        match (self.number.as_str(), self.title.as_str()) {
            ("", "") => "-".to_owned(),
            ("", title) => format!("\"{title}\""),
            (number, _) => number.to_owned(),
        }
    }
}

/// A piece of a clause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// What it is.
    pub kind: BlockKind,
    /// Index of its clause.
    pub clause: usize,
    /// Where in the clause: `p1`, `b2.1`, `NOTE`.
    pub place: String,
    /// Its text, white space made one.
    pub prose: Prose,
    /// Indices of what stands above it: the paragraph that leads into its list, then the bullets.
    pub above: Vec<usize>,
}

impl Block {
    /// Its text.
    pub fn text(&self) -> &str {
        self.prose.text()
    }
}

/// What a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockKind {
    /// Running text.
    Paragraph,
    /// An item of a list; `1` is the outermost.
    Bullet {
        /// Depth.
        depth: usize,
    },
    /// A note or an example: it explains and does not bind.
    Note,
    /// Grammar, a figure, a message.
    Verbatim,
}

impl BlockKind {
    /// Whether a statement may stand in it.
    pub fn can_bind(self) -> bool {
        matches!(self, Self::Paragraph | Self::Bullet { .. })
    }
}

/// The shape of a text.
#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) clauses: Vec<Clause>,
    pub(super) blocks: Vec<Block>,
    pub(super) assumptions: Vec<String>,
}

static BULLET: Pattern = Pattern::new(
    r"^(?:([·•▪◦‣●○■□–—\u{f0b7}\u{f0a7}§*+-])\s+|(o)\s{1,4}|(\(?[a-z]\))\s+|(\(?[ivx]{2,5}\))\s+|(\(?\d{1,2}\))\s+|(\d{1,2}\.)\s+|([a-z]\.)\s+)\S",
);
static NOTE: Pattern = Pattern::new(
    r"^(?i:editor[’']?s\s+note|informative\s+note|implementation\s+note|note|example)(?:\s*\d{1,2})?\s*:",
);

/// Columns beyond which a line was not broken by hand: then each line is a paragraph.
const UNBROKEN: usize = 160;

impl Layout {
    /// Of a text; `marked` if `#` and the like mean something in it.
    pub(super) fn of(text: &str, marked: bool) -> Self {
        let lines = lines::split(text);
        let headings = Headings::of(&lines, marked);
        let mut builder = Builder {
            layout: Self::default(),
            open: None,
            items: Vec::new(),
            after_page: false,
            unbroken: lines.iter().any(|line| line.text.len() > UNBROKEN),
        };
        builder.layout.clauses.push(Clause {
            number: String::new(),
            title: String::new(),
            span: 0..0,
            informative: None,
        });
        builder.read(&lines, &headings, marked);
        let mut layout = builder.finish();
        layout.name_places();
        if layout.clauses.len() == 1 {
            layout.assumptions.push(
                "no heading was found: paragraphs and bullets are counted through the whole text"
                    .to_owned(),
            );
        } else if layout.clauses.iter().all(|clause| clause.number.is_empty()) {
            layout
                .assumptions
                .push("the clauses have no numbers: they are named by their titles".to_owned());
        }
        layout
    }

    /// `p1`, `b2.1`, `NOTE`: counted in each clause.
    fn name_places(&mut self) {
        let mut clause = usize::MAX;
        let (mut paragraphs, mut notes, mut others) = (0, 0, 0);
        let mut bullets: Vec<usize> = Vec::new();
        for block in &mut self.blocks {
            if block.clause != clause {
                clause = block.clause;
                (paragraphs, notes, others) = (0, 0, 0);
                bullets.clear();
            }
            block.place = match block.kind {
                BlockKind::Paragraph => {
                    paragraphs += 1;
                    format!("p{paragraphs}")
                }
                BlockKind::Bullet { depth } => {
                    bullets.resize(depth.max(1), 0);
                    if let Some(last) = bullets.last_mut() {
                        *last += 1;
                    }
                    let counts: Vec<String> = bullets.iter().map(ToString::to_string).collect();
                    format!("b{}", counts.join("."))
                }
                BlockKind::Note => {
                    notes += 1;
                    if notes == 1 {
                        "NOTE".to_owned()
                    } else {
                        format!("NOTE {notes}")
                    }
                }
                BlockKind::Verbatim => {
                    others += 1;
                    format!("v{others}")
                }
            };
        }
    }
}

/// An item of a list, before its depth is known.
#[derive(Debug, Clone)]
struct Item {
    block: usize,
    indent: usize,
    mark: String,
}

/// A block that may go on.
#[derive(Debug)]
struct Open {
    kind: BlockKind,
    indent: usize,
    prose: Prose,
    mark: Option<String>,
    /// Whether the next line begins another block unless it goes on across the border of a page.
    closed: bool,
}

struct Builder {
    layout: Layout,
    open: Option<Open>,
    /// The list at hand.
    items: Vec<Item>,
    after_page: bool,
    unbroken: bool,
}

impl Builder {
    fn read(&mut self, lines: &[Line<'_>], headings: &Headings, marked: bool) {
        let mut fenced = false;
        for (index, line) in lines.iter().enumerate() {
            if line.furniture {
                self.after_page = true;
                continue;
            }
            if marked && line.trimmed().starts_with("```") {
                self.close();
                fenced = !fenced;
                continue;
            }
            if fenced {
                self.verbatim(line);
            } else if line.is_blank() {
                if let Some(open) = &mut self.open {
                    open.closed = true;
                }
            } else if let Some(heading) = headings.at(index) {
                self.heading(heading, line);
            } else if !headings.is_part(index) {
                self.line(line);
            }
        }
        self.close();
        self.end_list();
    }

    fn heading(&mut self, heading: &heading::Heading, line: &Line<'_>) {
        self.close();
        self.end_list();
        self.layout.clauses.push(Clause {
            number: heading.number.clone(),
            title: heading.title.clone(),
            span: line.span(),
            informative: heading.informative.clone(),
        });
    }

    fn verbatim(&mut self, line: &Line<'_>) {
        let goes_on = matches!(&self.open, Some(open) if open.kind == BlockKind::Verbatim);
        if !goes_on {
            self.close();
            self.open = Some(Open::new(BlockKind::Verbatim, line, None));
        }
        self.append(line, 0);
    }

    fn line(&mut self, line: &Line<'_>) {
        let text = line.trimmed();
        if let Some(found) = BULLET.captures(text) {
            let mark = found.iter().skip(1).enumerate().find_map(|(kind, group)| {
                let sign = group?.as_str();
                // Numbers and letters count; signs are told apart by themselves.
                Some(if kind < 2 {
                    sign.to_owned()
                } else {
                    kind.to_string()
                })
            });
            let skip = found.get(0).map_or(0, |all| all.as_str().trim_end().len());
            let last = text[..skip].chars().next_back().map_or(0, char::len_utf8);
            self.close();
            self.open = Some(Open::new(BlockKind::Bullet { depth: 1 }, line, mark));
            self.append(line, skip - last);
            return;
        }
        if NOTE.is_match(text) {
            self.close();
            self.open = Some(Open::new(BlockKind::Note, line, None));
            self.append(line, 0);
            return;
        }
        if !self.goes_on(line) {
            self.close();
            let kind = if looks_verbatim(line) {
                BlockKind::Verbatim
            } else {
                BlockKind::Paragraph
            };
            self.open = Some(Open::new(kind, line, None));
        }
        self.append(line, 0);
    }

    /// Whether a line belongs to the block before it.
    fn goes_on(&self, line: &Line<'_>) -> bool {
        let Some(open) = &self.open else {
            return false;
        };
        if open.closed {
            // A sentence that a page's end cuts goes on behind the next page's head.
            let unfinished = !open.prose.text().ends_with(['.', ':', ';', '!', '?']);
            let starts_small = line.trimmed().starts_with(|c: char| !c.is_uppercase());
            let is_set_in = match open.kind {
                BlockKind::Bullet { .. } => line.indent > open.indent,
                _ => line.indent == open.indent,
            };
            return self.after_page && unfinished && (starts_small || is_set_in);
        }
        !self.unbroken
    }

    fn append(&mut self, line: &Line<'_>, skip: usize) {
        self.after_page = false;
        if let Some(open) = &mut self.open {
            open.closed = false;
            let lead = line.text.len() - line.text.trim_start().len();
            open.prose
                .push(line.start + lead + skip, &line.trimmed()[skip..]);
        }
    }

    fn close(&mut self) {
        let Some(open) = self.open.take() else {
            return;
        };
        if open.prose.text().is_empty() {
            return;
        }
        let mut above = Vec::new();
        match (open.kind, &open.mark) {
            (BlockKind::Bullet { .. }, Some(mark)) => self.items.push(Item {
                block: self.layout.blocks.len(),
                indent: open.indent,
                mark: mark.clone(),
            }),
            (BlockKind::Paragraph, _) => {
                // A paragraph that is set in belongs to the bullet before it; any other ends the list.
                let owner = self
                    .items
                    .iter()
                    .rev()
                    .find(|item| item.indent < open.indent);
                match owner {
                    Some(item) => above.push(item.block),
                    None => self.end_list(),
                }
            }
            _ => {}
        }
        self.layout.blocks.push(Block {
            kind: open.kind,
            clause: self.layout.clauses.len() - 1,
            place: String::new(),
            prose: open.prose,
            above,
        });
    }

    /// Gives the bullets of a list their depth, and tells them what is above.
    fn end_list(&mut self) {
        let items = std::mem::take(&mut self.items);
        let Some(first) = items.first() else {
            return;
        };
        let lead = first.block.checked_sub(1).filter(|index| {
            let block = &self.layout.blocks[*index];
            block.clause == self.layout.blocks[first.block].clause
                && block.kind == BlockKind::Paragraph
        });
        let (depths, guessed) = nesting::depths(&items, &self.layout.blocks);
        if guessed {
            let clause = self.layout.blocks[first.block].clause;
            self.layout.assumptions.push(format!(
                "the bullets of {} all stand at the same column: how they nest is taken from their wording",
                self.layout.clauses[clause].name()
            ));
        }
        let mut chain: Vec<usize> = Vec::new();
        for (item, depth) in items.iter().zip(depths) {
            chain.truncate(depth - 1);
            let block = &mut self.layout.blocks[item.block];
            block.kind = BlockKind::Bullet { depth };
            block.above = lead.into_iter().chain(chain.iter().copied()).collect();
            chain.push(item.block);
        }
    }

    fn finish(mut self) -> Layout {
        // A set-in paragraph has above it whatever its bullet has.
        for index in 0..self.layout.blocks.len() {
            let block = &self.layout.blocks[index];
            if let (BlockKind::Paragraph, [owner]) = (block.kind, block.above.as_slice()) {
                let mut above = self.layout.blocks[*owner].above.clone();
                above.push(*owner);
                self.layout.blocks[index].above = above;
            }
        }
        let once: BTreeSet<String> = self.layout.assumptions.drain(..).collect();
        self.layout.assumptions = once.into_iter().collect();
        self.layout
    }
}

impl Open {
    fn new(kind: BlockKind, line: &Line<'_>, mark: Option<String>) -> Self {
        Self {
            kind,
            indent: line.indent,
            prose: Prose::default(),
            mark,
            closed: false,
        }
    }
}

/// Figures, tables, grammar and messages: more signs than letters, arrows, `name = rule`.
fn looks_verbatim(line: &Line<'_>) -> bool {
    static GRAMMAR: Pattern = Pattern::new(r"^[A-Za-z][\w-]*\s+=/?\s+\S|-->|<--|\|.*\||\+--|={4,}");
    let text = line.trimmed();
    let signs = text.chars().filter(char::is_ascii_punctuation).count();
    GRAMMAR.is_match(text) || signs * 3 > text.len() && text.len() > 5
}
