//! From a YAML tree to a scenario, and from a scenario to the steps of a case.
//!
//! One decoder does both. While a file is checked, some early references have no value yet ("open"): where
//! such a reference stands for a typed value, nothing can be said about it and a default stands in. When
//! a case is made, all are known.

mod head;
mod matchers;
mod msrp;
mod names;
mod sessions;
mod steps;
mod values;

use std::collections::BTreeSet;
use std::sync::Arc;

use imspec_reports::record::Location;

pub(crate) use head::scenario;
use names::{Names, Wanted};

use super::early::{Early, Found};
use super::known::Known;
use super::load::Files;
use super::model::{CaseUser, Matcher, Step, UserState};
use super::shape;
use super::template::{self, Piece, Scope, Template};
use crate::document::{Diagnostic, Diagnostics, Fields, Node, NodeKind, Source, Span};

/// A scenario as written: what the plan decodes once for each case.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    pub(crate) source: Arc<Source>,
    pub(crate) files: Files,
    pub(crate) id: Span,
    pub(crate) when: Option<Node>,
    pub(crate) scope: Scope,
    pub(crate) users: Vec<UserNode>,
    pub(crate) matrix: Vec<(String, Vec<Node>)>,
    pub(crate) steps: Node,
}

/// The members of a user that may hold references.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct UserNode {
    pub(crate) role: String,
    pub(crate) state: UserState,
    pub(crate) name: Option<Node>,
    pub(crate) domain: Option<Node>,
    pub(crate) transport: Option<Node>,
}

/// A case, decoded: what only the profile knows is filled in.
pub(crate) struct Decoded {
    pub(crate) users: Vec<CaseUser>,
    pub(crate) steps: Vec<Step>,
    /// A value that only the profile gives may not fit where it is used.
    pub(crate) diagnostics: Diagnostics,
    /// PICS keys that are used and not declared.
    pub(crate) undeclared: BTreeSet<String>,
}

/// Decodes a case. `name` gives a role its user part.
pub(crate) fn case(
    written: &Written,
    early: Early<'_>,
    name: &dyn Fn(&str) -> String,
    transport: &str,
    known: &Known,
) -> Decoded {
    let mut decoder = Decoder::new(&written.source, &written.files, known, early, Mode::Case);
    let users = decoder.name_users(written, name, transport);
    let steps = decoder.steps(&written.steps, "steps");
    Decoded {
        users,
        steps,
        diagnostics: decoder.diagnostics,
        undeclared: decoder.early.undeclared,
    }
}

/// The conditions of a scenario with the values of one choice from its matrix.
pub(crate) fn conditions(written: &Written, choice: &[usize]) -> Vec<(String, Matcher)> {
    let early =
        Early::new(written.scope.clone(), "", "", None, 0).with_matrix(written.values(choice));
    let known = Known::anything();
    let mut decoder = Decoder::new(&written.source, &written.files, &known, early, Mode::Case);
    decoder.conditions(written.when.as_ref())
}

/// What the decoder is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// The steps as written: `repeat` stays, names are not followed.
    Written,
    /// One combination of the matrix, to find mistakes: `repeat` is unrolled, names are followed.
    Trial,
    /// A case: `repeat` is unrolled, every early reference has a value.
    Case,
}

/// State of one pass.
struct Decoder<'a> {
    source: &'a Arc<Source>,
    files: &'a Files,
    known: &'a Known,
    early: Early<'a>,
    mode: Mode,
    names: Names,
    /// What `same-as` needs where the decoder is.
    compared: Wanted,
    diagnostics: Diagnostics,
    /// Variables and counters that were used.
    used: BTreeSet<String>,
    /// Octets to which the text at hand may still grow.
    room: usize,
    /// Steps made so far, which `repeat` in `repeat` could make many.
    made: usize,
}

/// A node with its early references replaced.
enum Value {
    Known(Node),
    Open,
}

/// How deep references may lead to references.
const DEPTH: usize = 8;

/// Octets to which the references of one text may grow.
const LARGEST_TEXT: usize = 8 * 1024 * 1024;

/// What a reference counts for in that, however short its value is.
const REFERENCE_COST: usize = 1024;

impl<'a> Decoder<'a> {
    fn new(
        source: &'a Arc<Source>,
        files: &'a Files,
        known: &'a Known,
        early: Early<'a>,
        mode: Mode,
    ) -> Self {
        Self {
            source,
            files,
            known,
            early,
            mode,
            names: Names::default(),
            compared: Wanted::Comparable,
            diagnostics: Diagnostics::new(),
            used: BTreeSet::new(),
            room: LARGEST_TEXT,
            made: 0,
        }
    }

    fn at(&self, span: &Span) -> Location {
        self.source.location(span.start)
    }

    fn error(&mut self, span: &Span, title: impl Into<String>, expected: impl Into<String>) {
        let diagnostic = Diagnostic::error(self.source, span, title).expected(expected);
        self.diagnostics.push(diagnostic);
    }

    /// A value of the wrong type.
    fn mistyped(&mut self, node: &Node, what: &str, expected: &str) {
        let title = match node.as_text() {
            Some(text) if text.len() <= 60 && !text.contains('\n') => {
                format!("`{text}` is no {what}")
            }
            _ => format!("{} is no {what}", node.describe()),
        };
        let diagnostic = Diagnostic::error(self.source, &node.span, title)
            .expected(format!("expected {expected}"));
        let late = node.as_text().is_some_and(|text| text.contains("${"));
        self.diagnostics.push(if late {
            diagnostic
                .note("this value is known only while the case runs, and it decides what is run")
        } else {
            diagnostic
        });
    }

    fn fields<'n>(
        &mut self,
        what: &'n str,
        owner: &Span,
        node: &'n Node,
        shape: &shape::Shape,
    ) -> Option<Fields<'n>> {
        let advice = |name: &str| {
            if name == "generate" {
                return Some("only the body of an `msrp` is drawn while it is sent".to_owned());
            }
            let header = shape::HEADERS
                .iter()
                .find(|header| header.eq_ignore_ascii_case(name))?;
            shape
                .keys
                .iter()
                .any(|key| key.name == "headers")
                .then(|| format!("a header is written as `headers: {{ {header}: … }}`"))
        };
        Fields::read_with(
            self.source,
            what,
            owner,
            node,
            &shape.keys(),
            &advice,
            &mut self.diagnostics,
        )
    }

    /// Replaces a scalar that is an early reference by its value, with the type and place of that value.
    fn resolve(&mut self, node: &Node) -> Value {
        let mut node = node.clone();
        for depth in 0..DEPTH {
            let Some(text) = node.as_text().filter(|text| text.contains("${")) else {
                return Value::Known(node);
            };
            let (pieces, _) = template::parse(text, &self.early.scope);
            if let [Piece::Reference(reference)] = pieces.as_slice() {
                self.note_use(reference);
                match self.early.find(reference, &node.span, 0) {
                    Found::Text(text) => return Value::Known(Node::text(text, node.span)),
                    Found::Node(value) => {
                        node = value;
                        continue;
                    }
                    Found::Open if reference.is_early() => return Value::Open,
                    Found::Missing(_) => {
                        // Told once, there; nothing more can be said about the value.
                        let _ = self.template_at(&node, depth);
                        return Value::Open;
                    }
                    Found::Open => {}
                }
            }
            let template = self.template_at(&node, depth);
            if template.references().any(template::Reference::is_early) {
                return Value::Open;
            }
            return Value::Known(match template.as_text() {
                Some(text) => Node::text(text, node.span),
                None => node,
            });
        }
        Value::Known(node)
    }

    /// Text with early references replaced; late ones are left, after a look at whether they can be known.
    fn template(&mut self, node: &Node) -> Template {
        self.template_at(node, 0)
    }

    fn template_at(&mut self, node: &Node, depth: usize) -> Template {
        let mut pieces = Vec::new();
        self.room = LARGEST_TEXT;
        self.expand(node, depth, &mut pieces);
        Template {
            pieces: join(pieces),
            at: self.at(&node.span),
        }
    }

    fn expand(&mut self, node: &Node, depth: usize, out: &mut Vec<Piece>) {
        let scalar = match &node.kind {
            NodeKind::Scalar(scalar) if !scalar.value.is_null() => scalar,
            _ => {
                let title = format!("{} where text is needed", node.describe());
                self.error(&node.span, title, "expected text, a number, or a reference");
                return;
            }
        };
        let (pieces, errors) = template::parse(&scalar.text, &self.early.scope);
        for error in errors {
            let span = self.part(node, &scalar.text, &error.range);
            let diagnostic = Diagnostic::error(self.source, &span, error.problem)
                .expected(error.expected)
                .meant(error.meant.as_deref());
            self.diagnostics.push(diagnostic);
        }
        let mut index = 0;
        for piece in pieces {
            if self.room == 0 {
                return;
            }
            let reference = match piece {
                Piece::Text(text) => {
                    self.grow(node, text, out);
                    continue;
                }
                Piece::Reference(reference) => reference,
            };
            self.spend(node, REFERENCE_COST);
            self.note_use(&reference);
            let written = format!("${{{reference}}}");
            let span = self.nth(node, &written, index);
            match self.early.find(&reference, &node.span, index) {
                Found::Text(text) => self.grow(node, text, out),
                Found::Node(value) if depth + 1 >= DEPTH => {
                    self.error(
                        &value.span,
                        "references go round in a circle",
                        "expected a value",
                    );
                }
                Found::Node(value) if value.as_scalar().is_none() || value.is_null() => {
                    let title = format!(
                        "`{written}` is {} and cannot stand in a text",
                        value.describe()
                    );
                    self.error(&span, title, "expected text or a number");
                }
                Found::Node(value) => self.expand(&value, depth + 1, out),
                Found::Open => {
                    if !reference.is_early() {
                        self.names_used(&reference, &span);
                    }
                    out.push(Piece::Reference(reference));
                }
                Found::Missing(problem) => {
                    self.error(&span, problem, "expected a member that every value has");
                    out.push(Piece::Reference(reference));
                }
            }
            index += 1;
        }
    }

    /// Adds text as long as there is room: references to references could grow without end.
    fn grow(&mut self, node: &Node, text: String, out: &mut Vec<Piece>) {
        self.spend(node, text.len());
        if self.room > 0 {
            out.push(Piece::Text(text));
        }
    }

    fn spend(&mut self, node: &Node, octets: usize) {
        let before = self.room;
        self.room = before.saturating_sub(octets);
        if before > 0 && self.room == 0 {
            self.error(
                &node.span,
                "the text grows too long",
                format!("expected at most {LARGEST_TEXT} octets"),
            );
        }
    }

    /// The place of a part of a text; the whole text where escapes or folds move it.
    fn part(&self, node: &Node, text: &str, range: &std::ops::Range<usize>) -> Span {
        let Some(part) = text.get(range.clone()) else {
            return node.span.clone();
        };
        let before = text.get(..range.start).unwrap_or_default();
        self.nth(node, part, before.matches(part).count())
    }

    fn nth(&self, node: &Node, part: &str, index: usize) -> Span {
        let written = self.source.slice(&node.span);
        match written
            .match_indices(part)
            .nth(index)
            .or_else(|| written.match_indices(part).next())
        {
            Some((at, _)) => node.span.start + at..node.span.start + at + part.len(),
            None => node.span.clone(),
        }
    }

    fn note_use(&mut self, reference: &template::Reference) {
        if let template::Reference::Variable(path) = reference
            && let Some(name) = path.first()
        {
            self.used.insert(name.clone());
        }
    }
}

/// Joins neighbouring texts.
fn join(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut joined: Vec<Piece> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match (joined.last_mut(), piece) {
            (Some(Piece::Text(before)), Piece::Text(text)) => before.push_str(&text),
            (_, Piece::Text(text)) if text.is_empty() => {}
            (_, piece) => joined.push(piece),
        }
    }
    joined
}
