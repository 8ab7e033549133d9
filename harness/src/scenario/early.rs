//! Values of early references: what the plan knows before a case runs.
//!
//! The same code serves two masters. The loader tries every combination of a matrix with made-up users and
//! no PICS, so that mistakes show before anything runs; the plan gives the true values.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{CaseUser, Pics};
use super::template::{Random, Reference, Scope, UserProperty};
use crate::document::{Node, Span};

/// Values for the early references of one case.
#[derive(Debug)]
pub(crate) struct Early<'a> {
    /// What names mean.
    pub(crate) scope: Scope,
    /// Matrix variables and counters with their values; of two with one name the last.
    pub(crate) variables: Vec<(String, Node)>,
    /// Users, as far as they have names already.
    pub(crate) users: Vec<CaseUser>,
    /// Domain of the profile.
    pub(crate) domain: &'a str,
    /// Id of the case.
    pub(crate) case: &'a str,
    /// PICS; `None` while checking a file: then every PICS reference stays open.
    pub(crate) pics: Option<&'a Pics>,
    /// Where random values come from.
    pub(crate) random: fastrand::Rng,
    /// PICS keys that were asked for and are not declared.
    pub(crate) undeclared: BTreeSet<String>,
    /// The rounds of `repeat` that surround the step at hand.
    pub(crate) rounds: Vec<u64>,
    /// Random values by place: rounds, offset of the scalar, number of the reference in it.
    drawn: BTreeMap<(Vec<u64>, usize, usize), String>,
    /// Offsets of the scalars in the matrix: a random value there is drawn once a case, so that a variable
    /// is the same wherever it is used.
    shared: BTreeSet<usize>,
}

/// Value of an early reference.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Found {
    /// Text.
    Text(String),
    /// A value with a type and a place of its own.
    Node(Node),
    /// Not known yet.
    Open,
    /// There is no such value.
    Missing(String),
}

impl<'a> Early<'a> {
    /// Values for a case.
    pub(crate) fn new(
        scope: Scope,
        domain: &'a str,
        case: &'a str,
        pics: Option<&'a Pics>,
        seed: u64,
    ) -> Self {
        Self {
            scope,
            variables: Vec::new(),
            users: Vec::new(),
            domain,
            case,
            pics,
            random: fastrand::Rng::with_seed(seed),
            undeclared: BTreeSet::new(),
            rounds: Vec::new(),
            drawn: BTreeMap::new(),
            shared: BTreeSet::new(),
        }
    }

    /// Gives the matrix variables their values.
    pub(crate) fn with_matrix(mut self, values: Vec<(String, Node)>) -> Self {
        for (_, node) in &values {
            scalars(node, &mut self.shared);
        }
        self.variables = values;
        self
    }

    /// Value of a reference that stands in the scalar at `span`; `index` counts the references of the scalar.
    pub(crate) fn find(&mut self, reference: &Reference, span: &Span, index: usize) -> Found {
        match reference {
            Reference::Variable(path) => self.variable(path),
            Reference::User { role, property } => {
                let Some(user) = self.users.iter().find(|user| user.role == *role) else {
                    return Found::Open;
                };
                Found::Text(match property {
                    UserProperty::Uri => user.uri(),
                    UserProperty::Name => user.name.clone(),
                    UserProperty::Domain => user.domain.clone(),
                })
            }
            Reference::Domain { upper: false } => Found::Text(self.domain.to_owned()),
            Reference::Domain { upper: true } => Found::Text(self.domain.to_ascii_uppercase()),
            Reference::Case => Found::Text(self.case.to_owned()),
            Reference::Pics(key) => match self.pics {
                None => Found::Open,
                Some(pics) => {
                    if let Some(value) = pics.get(key) {
                        return Found::Node(Node::from_value(value, span));
                    }
                    if let Some(argument) = argument(pics, key) {
                        return Found::Text(argument.to_owned());
                    }
                    self.undeclared.insert(key.clone());
                    Found::Open
                }
            },
            Reference::Random { kind, length } => {
                let rounds = if self.shared.contains(&span.start) {
                    Vec::new()
                } else {
                    self.rounds.clone()
                };
                let random = &mut self.random;
                let value = self
                    .drawn
                    .entry((rounds, span.start, index))
                    .or_insert_with(|| draw(random, *kind, *length));
                Found::Text(value.clone())
            }
            Reference::Socket { .. }
            | Reference::Date { .. }
            | Reference::Saved { .. }
            | Reference::All { .. } => Found::Open,
        }
    }

    fn variable(&self, path: &[String]) -> Found {
        let Some((name, members)) = path.split_first() else {
            return Found::Open;
        };
        let Some((_, value)) = self.variables.iter().rev().find(|(known, _)| known == name) else {
            return Found::Open;
        };
        let mut node = value;
        for member in members {
            match node.get(member) {
                Some(inner) => node = inner,
                None => {
                    return Found::Missing(format!(
                        "`{name}` has no member `{}` in each of its values",
                        members.join(".")
                    ));
                }
            }
        }
        Found::Node(node.clone())
    }
}

fn scalars(node: &Node, offsets: &mut BTreeSet<usize>) {
    if node.as_scalar().is_some() {
        offsets.insert(node.span.start);
    }
    for item in node.as_list().unwrap_or_default() {
        scalars(item, offsets);
    }
    for entry in node.as_map().unwrap_or_default() {
        scalars(&entry.value, offsets);
    }
}

/// `X-Expired` for `policy.indication.argument`, where `policy.indication` is `header:X-Expired`.
fn argument<'p>(pics: &'p Pics, key: &str) -> Option<&'p str> {
    let value = pics.get(key.strip_suffix(".argument")?)?.as_str()?;
    value.split_once(':').map(|(_, argument)| argument)
}

/// Draws a value.
pub(crate) fn draw(random: &mut fastrand::Rng, kind: Random, length: usize) -> String {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
    const WORD: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut pick = |from: &[u8]| char::from(from[random.usize(..from.len())]);
    let mut text = String::with_capacity(length);
    for at in 0..length {
        let edge = at == 0 || at + 1 == length;
        let next = match kind {
            Random::Hex => pick(b"0123456789abcdef"),
            Random::Number if at == 0 => pick(b"123456789"),
            Random::Number => pick(b"0123456789"),
            Random::Token if at == 0 => pick(LETTERS),
            // A space at either end, or beside another, would be the business of a test about white space.
            Random::Text if !edge && at % 6 == 5 => ' ',
            Random::Token | Random::Text => pick(WORD),
        };
        text.push(next);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_value_may_have_an_argument() {
        let pics: Pics = [
            ("policy.indication".to_owned(), "header:X-Expired".into()),
            ("policy.expired".to_owned(), "delete".into()),
        ]
        .into();
        assert_eq!(
            argument(&pics, "policy.indication.argument"),
            Some("X-Expired")
        );
        assert_eq!(argument(&pics, "policy.expired.argument"), None);
        assert_eq!(argument(&pics, "policy.indication"), None);
    }

    proptest! {
        #[test]
        fn drawn_values_are_what_they_should_be(seed: u64, length in 1usize..200) {
            let mut random = fastrand::Rng::with_seed(seed);
            let text = draw(&mut random, Random::Text, length);
            prop_assert_eq!(text.len(), length);
            prop_assert_eq!(text.trim(), &text);
            prop_assert!(!text.contains("  "));
            let token = draw(&mut random, Random::Token, length);
            prop_assert!(token.starts_with(|c: char| c.is_ascii_lowercase()));
            let number = draw(&mut random, Random::Number, length);
            prop_assert!(!number.starts_with('0') && number.bytes().all(|b| b.is_ascii_digit()));
            prop_assert!(draw(&mut random, Random::Hex, length).bytes().all(|b| b.is_ascii_hexdigit()));
        }
    }
}
