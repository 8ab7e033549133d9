//! Requirements: `scenarios/requirements.yaml` and `scenarios/rfc-rules.yaml`.

use std::collections::BTreeMap;
use std::sync::Arc;

use imspec_reports::record::{Basis, Level};

use super::fingerprint::Fingerprint;
use crate::document::suggest::{closest, one_of};
use crate::document::{Diagnostic, Diagnostics, Fields, Key, Node, Source, Span, tree};
use crate::embedded;
use crate::fingerprint;
use crate::scenario::model::{Expect, RecordMatcher, Scenario, Step, Verb};

/// One normative statement, in our words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// `DM-STORE-02`, or `RFC3261-8.2.6.2`.
    pub id: String,
    /// Clause and bullet, e.g. `9.3.2.4 b1`.
    pub clause: String,
    /// How binding it is.
    pub level: Level,
    /// Where it comes from.
    pub basis: Basis,
    /// Whether every behaviour is legal and a failure only contradicts what the profile declares.
    pub declared: bool,
    /// What it is about: a check of something else does not speak for it.
    pub about: About,
    /// When it applies.
    pub condition: String,
    /// What it asks for.
    pub statement: String,
    /// How a tester sees it.
    pub observation: String,
    /// Whether it can be tested, and what is in the way.
    pub testability: String,
    /// Wording defects that touch it.
    pub wording: Vec<String>,
    /// Fingerprint of the sentence that it came from; none where no sentence says it.
    pub fingerprint: Option<Fingerprint>,
}

impl Requirement {
    /// Whether it speaks of what lies in the store, not of what comes out of it.
    pub fn is_of_storage(&self) -> bool {
        self.id.starts_with("DM-STORE-")
    }
}

/// What a requirement is about, so that what a check looked at is not blamed on something else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum About {
    /// What the server does: whether and when it stores, delivers, expires.
    #[default]
    Behaviour,
    /// The content of a message: its header fields and bodies.
    Content,
    /// Its header fields, start line included.
    Headers,
    /// Its bodies.
    Bodies,
    /// The Message-ID.
    MessageId,
    /// What is kept of the INVITE that began a message session.
    SessionStart,
    /// What is kept of the 200 to it.
    SessionAnswer,
    /// The SEND requests of a message session and what is in them.
    Send,
    /// What is kept of the BYE that ended it.
    SessionEnd,
    /// The time at which a message was there.
    ReceiptTime,
}

/// All requirements, those of the specification first, in the order of its clauses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalogue {
    list: Vec<Requirement>,
    index: BTreeMap<String, usize>,
    fingerprint: String,
}

impl Catalogue {
    /// The one that this build brings along.
    pub fn bundled() -> Result<Self, Diagnostics> {
        let files = ["requirements.yaml", "rfc-rules.yaml"].map(|name| {
            let text = embedded::text(name).unwrap_or_default();
            Arc::new(Source::new(format!("scenarios/{name}"), text))
        });
        Self::read(&files)
    }

    /// Reads the files of a catalogue.
    pub fn read(files: &[Arc<Source>]) -> Result<Self, Diagnostics> {
        let mut diagnostics = Diagnostics::new();
        let mut catalogue = Self {
            fingerprint: fingerprint::of(files.iter().map(|source| source.text())),
            ..Self::default()
        };
        let mut places: BTreeMap<String, (Arc<Source>, Span)> = BTreeMap::new();
        for source in files {
            let root = match tree::parse(source) {
                Ok(root) => root,
                Err(diagnostic) => {
                    diagnostics.push(*diagnostic);
                    continue;
                }
            };
            let mut reader = Reader {
                source,
                diagnostics: &mut diagnostics,
            };
            for (requirement, span) in reader.file(&root) {
                if let Some((other, place)) = places.get(&requirement.id) {
                    diagnostics.push(
                        Diagnostic::error(
                            source,
                            &span,
                            format!("requirement `{}` stands twice", requirement.id),
                        )
                        .expected("expected an id that no other requirement has")
                        .related(other, place, "the first"),
                    );
                    continue;
                }
                places.insert(requirement.id.clone(), (Arc::clone(source), span));
                catalogue
                    .index
                    .insert(requirement.id.clone(), catalogue.list.len());
                catalogue.list.push(requirement);
            }
        }
        if diagnostics.are_warnings_only() {
            Ok(catalogue)
        } else {
            Err(diagnostics)
        }
    }

    /// A requirement by its id.
    pub fn get(&self, id: &str) -> Option<&Requirement> {
        self.list.get(*self.index.get(id)?)
    }

    /// In the order of clauses; the rules of the base protocols last.
    pub fn iter(&self) -> std::slice::Iter<'_, Requirement> {
        self.list.iter()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Tells two catalogues apart.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The id that was perhaps meant.
    pub fn closest(&self, id: &str) -> Option<&str> {
        closest(id, self.list.iter().map(|r| r.id.as_str()))
    }
}

impl<'a> IntoIterator for &'a Catalogue {
    type Item = &'a Requirement;
    type IntoIter = std::slice::Iter<'a, Requirement>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Which scenarios speak for which requirements.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    scenarios: BTreeMap<String, Vec<String>>,
}

impl Coverage {
    /// Of a suite: a scenario covers what its head, its steps and their expectations name.
    pub fn of<'s>(scenarios: impl IntoIterator<Item = &'s Scenario>) -> Self {
        let mut coverage = Self::default();
        for scenario in scenarios {
            for id in covered(scenario) {
                let list = coverage.scenarios.entry(id).or_default();
                if !list.contains(&scenario.id) {
                    list.push(scenario.id.clone());
                }
            }
        }
        coverage
    }

    /// Ids of the scenarios that cover a requirement.
    pub fn scenarios(&self, requirement: &str) -> &[String] {
        self.scenarios.get(requirement).map_or(&[], Vec::as_slice)
    }
}

/// Ids of everything that a scenario covers, those of its head first.
pub fn covered(scenario: &Scenario) -> Vec<String> {
    let mut ids = scenario.covers.clone();
    of_steps(&scenario.steps, &mut ids);
    let mut seen = std::collections::BTreeSet::new();
    ids.retain(|id| seen.insert(id.clone()));
    ids
}

fn of_steps(steps: &[Step], ids: &mut Vec<String>) {
    for step in steps {
        ids.extend(step.covers.iter().flatten().cloned());
        let of_answer = |expect: &'_ Option<Expect>| expect.as_ref().and_then(|e| e.covers.clone());
        let covers = match &step.verb {
            Verb::Register(register) => of_answer(&register.expect),
            Verb::Message(message) => of_answer(&message.expect),
            Verb::Raw(raw) => of_answer(&raw.expect),
            Verb::Invite(invite) => of_answer(&invite.expect),
            Verb::Bye(bye) => of_answer(&bye.expect),
            Verb::Cancel(cancel) => of_answer(&cancel.expect),
            Verb::Msrp(msrp) => msrp.expect.as_ref().and_then(|e| e.covers.clone()),
            Verb::Stored(stored) => {
                let of_records = stored
                    .messages
                    .iter()
                    .filter_map(|r: &RecordMatcher| r.covers.clone());
                Some(of_records.flatten().collect())
            }
            Verb::When(when) => {
                of_steps(&when.then, ids);
                of_steps(&when.otherwise, ids);
                None
            }
            Verb::Parallel(branches) => {
                for branch in branches {
                    of_steps(branch, ids);
                }
                None
            }
            Verb::Repeat(repeat) => {
                of_steps(&repeat.steps, ids);
                None
            }
            _ => None,
        };
        ids.extend(covers.into_iter().flatten());
    }
}

const KEYS: [Key; 12] = [
    key("id", true),
    key("clause", true),
    key("level", true),
    key("basis", true),
    key("declared", false),
    key("about", false),
    key("condition", true),
    key("statement", true),
    key("observation", true),
    key("testability", true),
    key("wording", true),
    key("fingerprint", false),
];

const fn key(name: &'static str, required: bool) -> Key {
    Key { name, required }
}

struct Reader<'a> {
    source: &'a Arc<Source>,
    diagnostics: &'a mut Diagnostics,
}

impl Reader<'_> {
    fn file(&mut self, root: &Node) -> Vec<(Requirement, Span)> {
        let owner = root
            .as_map()
            .and_then(<[_]>::first)
            .map_or(0..0, |entry| entry.key.span.clone());
        let keys = [key("requirements", true)];
        let Some(fields) = Fields::read(
            self.source,
            "catalogue",
            &owner,
            root,
            &keys,
            self.diagnostics,
        ) else {
            return Vec::new();
        };
        let Some(list) = fields.get("requirements") else {
            return Vec::new();
        };
        let Some(items) = list.as_list() else {
            self.wrong(list, "expected a list of requirements");
            return Vec::new();
        };
        items
            .iter()
            .filter_map(|item| self.requirement(item))
            .collect()
    }

    fn requirement(&mut self, item: &Node) -> Option<(Requirement, Span)> {
        let owner = item
            .as_map()
            .and_then(<[_]>::first)
            .map_or_else(|| item.span.clone(), |e| e.key.span.clone());
        let fields = Fields::read(
            self.source,
            "requirement",
            &owner,
            item,
            &KEYS,
            self.diagnostics,
        )?;
        let id = fields.get("id")?;
        let requirement = Requirement {
            id: self.text(Some(id)),
            clause: self.text(fields.get("clause")),
            level: self.word(
                fields.get("level")?,
                &[
                    ("SHALL", Level::Shall),
                    ("SHOULD", Level::Should),
                    ("MAY", Level::May),
                ],
            )?,
            basis: self.word(
                fields.get("basis")?,
                &[
                    ("written", Basis::Written),
                    ("derived", Basis::Derived),
                    ("note", Basis::Note),
                    ("context", Basis::Context),
                    ("protocol", Basis::Protocol),
                ],
            )?,
            declared: match fields.get("declared") {
                None => false,
                Some(node) => self.word(node, &[("true", true), ("false", false)])?,
            },
            about: match fields.get("about") {
                None => About::default(),
                Some(node) => self.word(
                    node,
                    &[
                        ("behaviour", About::Behaviour),
                        ("content", About::Content),
                        ("headers", About::Headers),
                        ("bodies", About::Bodies),
                        ("message-id", About::MessageId),
                        ("session-start", About::SessionStart),
                        ("session-answer", About::SessionAnswer),
                        ("send", About::Send),
                        ("session-end", About::SessionEnd),
                        ("receipt-time", About::ReceiptTime),
                    ],
                )?,
            },
            condition: self.text(fields.get("condition")),
            statement: self.text(fields.get("statement")),
            observation: self.text(fields.get("observation")),
            testability: self.text(fields.get("testability")),
            wording: self.wording(fields.get("wording")),
            fingerprint: self.fingerprint(fields.get("fingerprint")),
        };
        Some((requirement, id.span.clone()))
    }

    fn wording(&mut self, node: Option<&Node>) -> Vec<String> {
        let Some(node) = node else {
            return Vec::new();
        };
        let Some(items) = node.as_list() else {
            self.wrong(
                node,
                "expected a list of wording defects, perhaps empty: `[]`",
            );
            return Vec::new();
        };
        items.iter().map(|item| self.text(Some(item))).collect()
    }

    fn fingerprint(&mut self, node: Option<&Node>) -> Option<Fingerprint> {
        let node = node?;
        match node.as_text().unwrap_or_default().parse() {
            Ok(fingerprint) => Some(fingerprint),
            Err(expected) => {
                self.wrong(node, expected);
                None
            }
        }
    }

    fn text(&mut self, node: Option<&Node>) -> String {
        match node.map(|node| (node, node.as_text().map(str::trim))) {
            None => String::new(),
            Some((_, Some(text))) if !text.is_empty() => text.to_owned(),
            Some((node, _)) => {
                self.wrong(node, "expected text");
                String::new()
            }
        }
    }

    fn word<T: Copy>(&mut self, node: &Node, words: &[(&'static str, T)]) -> Option<T> {
        let text = node.as_text().unwrap_or_default();
        let found = words
            .iter()
            .find(|(word, _)| *word == text)
            .map(|(_, value)| *value);
        if found.is_none() {
            let names = || words.iter().map(|(word, _)| *word);
            self.diagnostics.push(
                Diagnostic::error(
                    self.source,
                    &node.span,
                    format!("`{text}` is not possible here"),
                )
                .expected(format!("expected {}", one_of(names())))
                .meant(closest(text, names())),
            );
        }
        found
    }

    fn wrong(&mut self, node: &Node, expected: &str) {
        let title = format!("{} where it cannot be", node.describe());
        self.diagnostics
            .push(Diagnostic::error(self.source, &node.span, title).expected(expected));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;

    fn read(text: &str) -> Result<Catalogue, Diagnostics> {
        Catalogue::read(&[Arc::new(Source::new("requirements.yaml", text))])
    }

    #[test]
    fn the_bundled_catalogue_holds_every_requirement() {
        let catalogue = Catalogue::bundled().unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
        let of_draft = catalogue.iter().filter(|r| r.id.starts_with("DM-")).count();
        assert_eq!(of_draft, 63);
        assert!(catalogue.get("DM-EXP-11").unwrap().declared);
        assert_eq!(
            catalogue.get("RFC3261-7.3.1").unwrap().basis,
            Basis::Protocol
        );
    }

    #[test]
    fn mistakes_are_shown() {
        let text = "requirements:
- id: DM-A-01
  clause: 9.3
  level: MUST
  basis: writen
  condition: c
  statement: s
  observation: o
  testability: t
  wording: WD-01
- id: DM-A-02
  clause: 9.3
  level: MAY
  basis: written
  declared: yes
  conditon: c
  statement: s
  observation: [o]
  testability: t
  wording: []
- id: DM-A-03
  clause: 2
  level: MAY
  basis: note
  condition: c
  statement: s
  observation: o
  testability: t
  wording: []
- { id: DM-A-03, clause: 2, level: MAY, basis: note, condition: c, statement: s, observation: o, testability: t, wording: [] }
";
        insta::assert_snapshot!(read(text).unwrap_err());
    }

    #[test]
    fn coverage_sees_covers_at_every_level() {
        let scenario = crate::scenario::load::load_str(
            "id: PG-01
title: t
purpose: p
covers: [A]
users: { a: online, b: offline }
steps:
  - message: { from: a, to: b, save: m, expect: { status: 202, covers: [B] } }
  - stored: { for: b, messages: [{ of: m, covers: [C] }] }
    covers: [D, A]
  - parallel: [[{ register: b, covers: [E] }]]
",
            "PG-01.yaml",
            &crate::scenario::Known::anything(),
        )
        .unwrap();
        assert_eq!(covered(&scenario), ["A", "B", "D", "C", "E"]);
        let coverage = Coverage::of([&scenario]);
        assert_eq!(coverage.scenarios("E"), ["PG-01"]);
        assert!(coverage.scenarios("F").is_empty());
    }
}
