//! What binds somebody: each key word in a clause that binds, and each bullet that a key word above it makes binding.

use std::collections::BTreeMap;
use std::ops::Range;

use imspec_reports::record::Level;

use super::layout::{self, Block, BlockKind, Clause};
use super::pattern::Pattern;
use super::sentence::{self, Binds, KeyWord};
use crate::catalogue::Fingerprint;
use crate::document::Span;

/// One normative statement.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// The same as long as its words are: `S-3f9a01`.
    pub id: String,
    /// Clause and place in it: `9.3.2.4 b5.1.2`.
    pub clause: String,
    /// Which sentence of that place, where it has several.
    pub sentence: Option<usize>,
    /// How binding.
    pub level: Level,
    /// The word that makes it so, as written; where it has none of its own, that of what stands above.
    pub key_word: String,
    /// How it says that it binds.
    pub form: Form,
    /// Who is bound.
    pub actor: Option<String>,
    /// When: first what it inherits, then its own.
    pub conditions: Vec<Condition>,
    /// Its text, white space made one.
    pub text: String,
    /// Where it stands.
    pub span: Span,
    /// Index of its block.
    pub block: usize,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
}

/// How a statement says that it binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Form {
    /// By a key word in capital letters.
    KeyWord,
    /// It leads into a list of statements and says when they apply.
    Stem,
    /// It stands in a list that a key word leads into.
    Inherited,
    /// By a word in small letters, which RFC 8174 takes for none.
    SmallLetters,
}

impl Form {
    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::KeyWord => "key word",
            Self::Stem => "stem",
            Self::Inherited => "inherited",
            Self::SmallLetters => "small letters",
        }
    }
}

/// When a statement applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// As written.
    pub text: String,
    /// Whether it stands above the statement.
    pub inherited: bool,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) statements: Vec<Statement>,
    pub(super) assumptions: Vec<String>,
}

/// Finds the statements of a text.
pub(super) fn extract(clauses: &[Clause], blocks: &[Block]) -> Found {
    let mut finder = Finder {
        clauses,
        blocks,
        words: blocks
            .iter()
            .map(|block| sentence::key_words(block.text()))
            .collect(),
        found: Found::default(),
        ids: BTreeMap::new(),
    };
    let mut left_out: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, block) in blocks.iter().enumerate() {
        let informative = clauses[block.clause].informative.as_deref();
        let reason = informative.or((block.kind == BlockKind::Note).then_some("notes"));
        if let Some(reason) = reason {
            let capital = finder.words[index]
                .iter()
                .filter(|word| word.capital)
                .count();
            if capital > 0 {
                *left_out.entry(reason).or_default() += capital;
            }
        } else if block.kind.can_bind() {
            finder.block(index);
        }
    }
    for (reason, count) in left_out {
        let words = if count == 1 { "key word" } else { "key words" };
        finder.found.assumptions.push(format!(
            "left out, for that part only informs: {count} {words} in \"{reason}\""
        ));
    }
    if !finder
        .found
        .statements
        .iter()
        .any(|it| it.form == Form::KeyWord)
    {
        finder.found.assumptions.push(
            "no key word in capital letters (MUST, SHALL, SHOULD, MAY) was found in a part that binds".to_owned(),
        );
    }
    finder.found
}

struct Finder<'a> {
    clauses: &'a [Clause],
    blocks: &'a [Block],
    words: Vec<Vec<KeyWord>>,
    found: Found,
    ids: BTreeMap<String, usize>,
}

impl Finder<'_> {
    fn block(&mut self, index: usize) {
        let text = self.blocks[index].text();
        let sentences = sentence::sentences(text);
        let mut parts = Vec::new();
        for (count, sentence) in sentences.iter().enumerate() {
            for part in split(text, sentence.clone(), &self.words[index]) {
                parts.push((count, part));
            }
        }
        let has_own = parts.iter().any(|(_, part)| part.word.capital);
        if !has_own && let Some(form) = self.without_own(index) {
            let first = sentences.first().cloned().unwrap_or(0..text.len());
            if let Some((level, key_word)) = self.level_for(index, form) {
                let part = Part {
                    at: first,
                    word: KeyWord {
                        at: 0..0,
                        binds: Binds::Shall,
                        capital: false,
                    },
                };
                self.add(index, None, &part, form, level, key_word);
                return;
            }
        }
        let previous = self.found.statements.len();
        for (count, part) in &parts {
            if is_about_words(&text[part.at.clone()]) {
                continue;
            }
            let form = if part.word.capital {
                Form::KeyWord
            } else {
                Form::SmallLetters
            };
            let number = (sentences.len() > 1).then_some(count + 1);
            let key_word = text[part.word.at.clone()]
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ");
            self.add(index, number, part, form, level(part.word.binds), key_word);
        }
        // `It`, or nobody behind an `and`, is whoever the statement before it bound.
        for at in previous + 1..self.found.statements.len() {
            let actor = self.found.statements[at].actor.as_deref();
            if actor.is_none_or(|actor| actor.eq_ignore_ascii_case("it")) {
                let before = self.found.statements[at - 1].actor.clone();
                self.found.statements[at].actor = before;
            }
        }
    }

    /// A block without key word in capitals: it leads into statements, or inherits from what stands above.
    fn without_own(&self, index: usize) -> Option<Form> {
        let text = self.blocks[index].text();
        let below = |other: &Block| other.above.last() == Some(&index);
        let mut children = (index + 1..self.blocks.len())
            .take_while(|at| self.blocks[*at].clause == self.blocks[index].clause)
            .filter(|at| below(&self.blocks[*at]));
        let leads = text.ends_with(':')
            && children.any(|at| {
                self.words[at]
                    .iter()
                    .any(|word| word.capital && word.at.start == 0)
            });
        if leads {
            return Some(Form::Stem);
        }
        let is_item = matches!(self.blocks[index].kind, BlockKind::Bullet { .. });
        (is_item && !sentence::is_condition(text)).then_some(Form::Inherited)
    }

    /// The level of a block that has no key word of its own.
    fn level_for(&self, index: usize, form: Form) -> Option<(Level, String)> {
        let capital = |at: usize| {
            self.words[at]
                .iter()
                .filter(|word| word.capital)
                .collect::<Vec<_>>()
        };
        let word = |at: usize, word: &KeyWord| {
            let text = &self.blocks[at].text()[word.at.clone()];
            (level(word.binds), text.to_owned())
        };
        if form == Form::Stem {
            let below = (index + 1..self.blocks.len())
                .take_while(|at| self.blocks[*at].clause == self.blocks[index].clause)
                .filter(|at| self.blocks[*at].above.contains(&index));
            let all = below.flat_map(|at| capital(at).into_iter().map(move |it| (at, it)));
            return all
                .min_by_key(|(_, it)| it.binds)
                .map(|(at, it)| word(at, it));
        }
        // The nearest above that has one, and that announces a list.
        for at in self.blocks[index].above.iter().rev() {
            let text = self.blocks[*at].text();
            if let Some(last) = capital(*at).last() {
                let is_last = sentence::sentences(text)
                    .last()
                    .is_some_and(|it| it.contains(&last.at.start));
                return (is_last && layout::announces(text)).then(|| word(*at, last));
            }
        }
        None
    }

    fn add(
        &mut self,
        index: usize,
        number: Option<usize>,
        part: &Part,
        form: Form,
        level: Level,
        key_word: String,
    ) {
        let block = &self.blocks[index];
        let text = block.text()[part.at.clone()].trim();
        let (before, behind) = if part.word.at.is_empty() {
            (text, "")
        } else {
            let at = part.word.at.start - part.at.start;
            let end = part.word.at.end - part.at.start;
            let whole = &block.text()[part.at.clone()];
            (
                whole.get(..at).unwrap_or_default(),
                whole.get(end..).unwrap_or_default(),
            )
        };
        let mut conditions = self.inherited(index);
        let own = sentence::leading_condition(before.trim_start()).map(|(condition, _)| condition);
        let all = own.into_iter().chain(sentence::later_conditions(behind));
        conditions.extend(all.map(|text| Condition {
            text: text.to_owned(),
            inherited: false,
        }));
        let actor = match form {
            Form::Inherited => None,
            _ => sentence::actor(before),
        };
        let about = own.and_then(sentence::subject);
        let actor = match actor {
            Some(it) if it.eq_ignore_ascii_case("it") => about.or(Some(it)),
            actor => actor,
        };
        let fingerprint = Fingerprint::of(text);
        if fingerprint.words() == 0 {
            return;
        }
        let id = self.id(&fingerprint);
        let clause = &self.clauses[block.clause];
        self.found.statements.push(Statement {
            id,
            clause: format!("{} {}", clause.name(), block.place),
            sentence: number,
            level,
            key_word,
            form,
            actor: actor.or_else(|| self.actor_above(index)),
            conditions,
            text: text.to_owned(),
            span: block.prose.span(part.at.clone()),
            block: index,
            fingerprint,
        });
    }

    /// What stands above and says when.
    fn inherited(&self, index: usize) -> Vec<Condition> {
        let above = self.blocks[index].above.iter();
        let texts = above.flat_map(|at| {
            let text = self.blocks[*at].text();
            let last = sentence::sentences(text).pop().unwrap_or(0..text.len());
            let text = &text[last];
            let word = sentence::key_words(text)
                .into_iter()
                .find(|word| word.capital);
            match word {
                Some(word) => sentence::leading_condition(&text[..word.at.start])
                    .map(|(condition, _)| condition)
                    .into_iter()
                    .chain(sentence::later_conditions(&text[word.at.end..]))
                    .collect(),
                None if sentence::is_condition(text) => {
                    vec![text.trim_end_matches([':', ',', ' '])]
                }
                None => sentence::leading_condition(text.trim_end_matches(':'))
                    .map(|(condition, _)| condition)
                    .into_iter()
                    .collect(),
            }
        });
        texts
            .map(|text: &str| Condition {
                text: text.trim().to_owned(),
                inherited: true,
            })
            .collect()
    }

    /// Who the nearest key word or stem above binds.
    fn actor_above(&self, index: usize) -> Option<String> {
        self.blocks[index].above.iter().rev().find_map(|at| {
            let text = self.blocks[*at].text();
            let last = sentence::sentences(text).pop()?;
            let text = &text[last];
            match self.words[*at].iter().find(|word| word.capital) {
                Some(_) => {
                    let word = sentence::key_words(text)
                        .into_iter()
                        .find(|word| word.capital)?;
                    sentence::actor(&text[..word.at.start])
                }
                None if text.ends_with(':') && !sentence::is_condition(text) => {
                    let text = text.trim_end_matches(':');
                    // `In a locker` is no actor; `the locker` at the end of a stem is.
                    sentence::actor(text).filter(|actor| actor.split_whitespace().count() <= 6)
                }
                None => None,
            }
        })
    }

    /// Short, from the words alone; the second of the same words has `-2`.
    fn id(&mut self, fingerprint: &Fingerprint) -> String {
        const SHOWN: usize = 6;
        let id = format!("S-{}", fingerprint.hash().get(..SHOWN).unwrap_or_default());
        let count = self.ids.entry(id.clone()).or_default();
        *count += 1;
        if *count == 1 {
            id
        } else {
            format!("{id}-{count}")
        }
    }
}

/// A part of a sentence with one key word.
#[derive(Debug, Clone)]
struct Part {
    at: Range<usize>,
    word: KeyWord,
}

/// Splits a sentence between its key words, where a conjunction lets it.
fn split(text: &str, sentence: Range<usize>, words: &[KeyWord]) -> Vec<Part> {
    static JOINT: Pattern = Pattern::new(r",?\s+(?:and|but|or|while)\s+|;\s+|,\s+");
    let all: Vec<&KeyWord> = words
        .iter()
        .filter(|word| sentence.contains(&word.at.start))
        .collect();
    // What is said in small letters beside a key word is not said to bind.
    let capital = all.iter().any(|word| word.capital);
    let words: Vec<&KeyWord> = all
        .into_iter()
        .filter(|word| word.capital == capital)
        .collect();
    let mut parts: Vec<Part> = Vec::new();
    let mut start = sentence.start;
    for (index, word) in words.iter().enumerate() {
        let end = match words.get(index + 1) {
            None => sentence.end,
            Some(next) => {
                let between = &text[word.at.end..next.at.start];
                let joint = JOINT.find_iter(between).last();
                joint.map_or(next.at.start, |joint| word.at.end + joint.start())
            }
        };
        parts.push(Part {
            at: start..end,
            word: (*word).clone(),
        });
        let joint = JOINT
            .find(&text[end..sentence.end])
            .filter(|joint| joint.start() == 0);
        start = end + joint.map_or(0, |joint| joint.end());
    }
    parts
}

/// The sentence that says what the key words mean.
fn is_about_words(text: &str) -> bool {
    static ABOUT: Pattern = Pattern::new(
        r"(?i)key\s*words\b|\bRFC\s*(?:2119|8174)|BCP\s*14|as described in \[?RFC ?2119",
    );
    ABOUT.is_match(text)
}

fn level(binds: Binds) -> Level {
    match binds {
        Binds::Shall => Level::Shall,
        Binds::Should => Level::Should,
        Binds::May => Level::May,
    }
}
