//! Which requirement came from which statement: by the fingerprints that `requirements.yaml` holds, so that neither white
//! space nor numbering nor typography breaks the link, and a changed sentence is found by what is left of it.

use std::collections::BTreeMap;

use imspec_reports::record::{Basis, Level};

use super::Statement;
use crate::catalogue::fingerprint::ALIKE;
use crate::catalogue::{Catalogue, Change, Fingerprint, Requirement};

/// Words that a sentence must have to be known again when it was changed: of two words, one in common is chance.
const ENOUGH_WORDS: usize = 4;

/// Which statements and requirements belong together.
#[derive(Debug, Default)]
pub struct Links<'a> {
    /// For each statement, in the order of the draft.
    of_statements: Vec<Vec<Link<'a>>>,
    /// Requirements whose sentence the draft does not have any more.
    pub gone: Vec<&'a Requirement>,
}

/// A statement's tie to a requirement.
#[derive(Debug, Clone, PartialEq)]
pub struct Link<'a> {
    /// The requirement.
    pub requirement: &'a Requirement,
    /// Whether the sentence is still the one that it came from.
    pub state: State,
    /// How binding the requirement takes it to be, where the draft says otherwise.
    pub level_was: Option<Level>,
}

/// Whether a sentence is still the one that a requirement came from.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// Word by word.
    Same,
    /// It was changed.
    Reworded {
        /// What is left of it, from 0 to 1.
        likeness: f64,
        /// What changed.
        changes: Vec<Change>,
    },
}

/// What became of a statement as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Requirements come from it, as it is.
    Same,
    /// Requirements come from what it was.
    Reworded,
    /// No requirement comes from it.
    New,
}

impl Standing {
    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Reworded => "reworded",
            Self::New => "new",
        }
    }
}

impl<'a> Links<'a> {
    /// Finds them.
    pub fn of(statements: &[Statement], catalogue: &'a Catalogue) -> Self {
        let mut sources: BTreeMap<&Fingerprint, Vec<&Requirement>> = BTreeMap::new();
        for requirement in catalogue {
            if let Some(fingerprint) = &requirement.fingerprint {
                sources.entry(fingerprint).or_default().push(requirement);
            }
        }
        let pairs = pairs(&sources, statements);
        let mut links = Self {
            of_statements: statements.iter().map(|_| Vec::new()).collect(),
            gone: Vec::new(),
        };
        for (fingerprint, requirements) in &sources {
            let Some(at) = pairs.get(*fingerprint) else {
                links.gone.extend(requirements);
                continue;
            };
            let statement = &statements[*at];
            let state = if statement.fingerprint.is_same(fingerprint) {
                State::Same
            } else {
                State::Reworded {
                    likeness: statement.fingerprint.likeness(fingerprint),
                    changes: fingerprint.changes(&statement.text),
                }
            };
            links.of_statements[*at].extend(requirements.iter().map(|requirement| {
                Link {
                    requirement,
                    state: state.clone(),
                    level_was: (requirement.basis == Basis::Written
                        && requirement.level != statement.level)
                        .then_some(requirement.level),
                }
            }));
        }
        links
    }

    /// Those of a statement.
    pub fn of_statement(&self, index: usize) -> &[Link<'a>] {
        self.of_statements.get(index).map_or(&[], Vec::as_slice)
    }

    /// What became of a statement.
    pub fn standing(&self, index: usize) -> Standing {
        match self.of_statement(index) {
            [] => Standing::New,
            links
                if links
                    .iter()
                    .all(|link| link.state == State::Same && link.level_was.is_none()) =>
            {
                Standing::Same
            }
            _ => Standing::Reworded,
        }
    }
}

/// The statement of each fingerprint: the very same one, or else the one most like it that is left.
fn pairs<'f>(
    sources: &BTreeMap<&'f Fingerprint, Vec<&Requirement>>,
    statements: &[Statement],
) -> BTreeMap<&'f Fingerprint, usize> {
    let mut pairs = BTreeMap::new();
    let mut taken = vec![false; statements.len()];
    for (fingerprint, requirements) in sources {
        let same = |at: &usize| !taken[*at] && statements[*at].fingerprint.is_same(fingerprint);
        let in_place = |at: &usize| {
            requirements
                .iter()
                .any(|it| statements[*at].clause.starts_with(&it.clause))
        };
        let all: Vec<usize> = (0..statements.len()).filter(same).collect();
        let found = all
            .iter()
            .copied()
            .find(|at| in_place(at))
            .or(all.first().copied());
        if let Some(at) = found {
            taken[at] = true;
            pairs.insert(*fingerprint, at);
        }
    }
    let mut alike: Vec<(f64, &Fingerprint, usize)> = Vec::new();
    for fingerprint in sources.keys().filter(|it| !pairs.contains_key(*it)) {
        for (at, statement) in statements.iter().enumerate().filter(|(at, _)| !taken[*at]) {
            let words = fingerprint.words().min(statement.fingerprint.words());
            let likeness = statement.fingerprint.likeness(fingerprint);
            if words >= ENOUGH_WORDS && likeness >= ALIKE {
                alike.push((likeness, fingerprint, at));
            }
        }
    }
    alike.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (_, fingerprint, at) in alike {
        if !taken[at] && !pairs.contains_key(fingerprint) {
            taken[at] = true;
            pairs.insert(fingerprint, at);
        }
    }
    pairs
}
