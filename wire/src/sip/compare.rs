//! Are two header fields or messages the same? Identical, equal in meaning, or different, header by
//! header, with the clause that makes them equal.
//!
//! A server that keeps a message may write it differently: other case of names, compact forms, other
//! folding, fields of one name joined by commas. This module says which differences mean nothing, and
//! who says so; what a test makes of it is the test's business.

mod value;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use super::message::{Header, Message};
use super::name;
use super::text::is_wsp;

/// How two things relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Relation {
    /// Octet for octet.
    Identical,
    /// The RFC makes them the same.
    Equal,
    /// They do not mean the same.
    Different,
}

/// The outcome for one header name (all fields of that name together: order within a name matters,
/// RFC 3261 §7.3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// Canonical name.
    pub name: String,
    /// How the two sides relate.
    pub relation: Relation,
    /// For [`Relation::Equal`]: the clauses that make them equal, e.g. `RFC 3261 §7.3.3`.
    pub clauses: Vec<&'static str>,
    /// The fields of the first side as written.
    pub left: Vec<Vec<u8>>,
    /// The fields of the second side as written.
    pub right: Vec<Vec<u8>>,
}

/// Compares all fields of one name. A side without the header differs from one that has it.
///
/// Each side is a list of names and values, raw or unfolded; entries of other names are passed over, so
/// that a whole header list may be given. Names may be in any case or compact form. White space before
/// the colon and in front of the value is not part of such a list, so it does not count.
pub fn header(name: &str, left: &[(&str, &[u8])], right: &[(&str, &[u8])]) -> Comparison {
    fn side<'f>(name: &str, fields: &[(&'f str, &'f [u8])]) -> Vec<Field<'f>> {
        let mine = fields.iter().filter(|(field, _)| name::same(field, name));
        mine.map(|(name, value)| Field::of_pair(name, value))
            .collect()
    }
    compare(name, &side(name, left), &side(name, right))
}

/// Compares every header name that either message has, in the order of first appearance on the left.
/// Names that only the right side has follow in their order.
pub fn headers(left: &Message, right: &Message) -> Vec<Comparison> {
    let (left, right) = (Grouped::of(left), Grouped::of(right));
    let only_right = right
        .order
        .iter()
        .filter(|name| !left.by_name.contains_key(*name));
    let names = left.order.iter().chain(only_right);
    names
        .map(|name| compare(name, left.named(name), right.named(name)))
        .collect()
}

/// A field of either side.
#[derive(Debug, Clone)]
struct Field<'f> {
    name: &'f str,
    value: &'f [u8],
    line: Cow<'f, [u8]>,
}

impl<'f> Field<'f> {
    fn of_header(header: Header<'f>) -> Self {
        let line = Cow::Borrowed(header.line());
        Self {
            name: header.name(),
            value: header.raw_value(),
            line,
        }
    }

    fn of_pair(name: &'f str, value: &'f [u8]) -> Self {
        let start = value
            .iter()
            .position(|octet| !is_wsp(*octet))
            .unwrap_or(value.len());
        let value = &value[start..];
        Self {
            name,
            value,
            line: Cow::Owned([name.as_bytes(), b": ", value].concat()),
        }
    }
}

/// The fields of a message by name.
struct Grouped<'m> {
    /// Each key once, in the order of the first fields.
    order: Vec<String>,
    /// The keys are names in lower case and long form.
    by_name: HashMap<String, Vec<Field<'m>>>,
}

impl<'m> Grouped<'m> {
    fn of(message: &'m Message) -> Self {
        let mut grouped = Self {
            order: Vec::new(),
            by_name: HashMap::new(),
        };
        for header in message.headers() {
            let key = header.canonical_name().to_ascii_lowercase();
            let fields = grouped.by_name.entry(key.clone()).or_default();
            if fields.is_empty() {
                grouped.order.push(key);
            }
            fields.push(Field::of_header(header));
        }
        grouped
    }

    fn named(&self, key: &str) -> &[Field<'m>] {
        self.by_name.get(key).map(Vec::as_slice).unwrap_or_default()
    }
}

fn compare(name: &str, left: &[Field<'_>], right: &[Field<'_>]) -> Comparison {
    let spelled = left
        .iter()
        .chain(right)
        .map(|field| field.name)
        .next()
        .unwrap_or(name);
    let canonical = name::canonical(spelled).unwrap_or(spelled);
    let outcome = if left
        .iter()
        .map(|f| &f.line)
        .eq(right.iter().map(|f| &f.line))
    {
        (Relation::Identical, Vec::new())
    } else {
        match equal(canonical, left, right) {
            Some(clauses) => (Relation::Equal, clauses),
            None => (Relation::Different, Vec::new()),
        }
    };
    let lines = |side: &[Field<'_>]| side.iter().map(|field| field.line.to_vec()).collect();
    Comparison {
        name: canonical.to_owned(),
        relation: outcome.0,
        clauses: outcome.1,
        left: lines(left),
        right: lines(right),
    }
}

/// The clauses that make the fields equal, `None` when nothing does.
fn equal(canonical: &str, left: &[Field<'_>], right: &[Field<'_>]) -> Option<Vec<&'static str>> {
    if left.is_empty() || right.is_empty() {
        return None;
    }
    let mut clauses = BTreeSet::new();
    value::equal(canonical, &values(left), &values(right), &mut clauses)?;
    for (a, b) in spellings(left, right) {
        if !a.eq_ignore_ascii_case(b) {
            clauses.insert(COMPACT);
        } else if a != b {
            clauses.insert(FIELD);
        }
    }
    if clauses.is_empty() {
        // All that is left is white space before the colon.
        clauses.insert(FIELD);
    }
    Some(clauses.into_iter().collect())
}

fn values<'f>(side: &[Field<'f>]) -> Vec<&'f [u8]> {
    side.iter().map(|field| field.value).collect()
}

/// The names to be held against each other: field by field, or where the sides have different numbers
/// of fields the first ones.
fn spellings<'f>(
    left: &[Field<'f>],
    right: &[Field<'f>],
) -> impl Iterator<Item = (&'f str, &'f str)> {
    let pairs = if left.len() == right.len() {
        left.len()
    } else {
        1
    };
    let names = |side: &[Field<'f>]| side.iter().map(|field| field.name).collect::<Vec<_>>();
    names(left).into_iter().zip(names(right)).take(pairs)
}

/// Case of names and tokens, white space, folding, comma lists.
const FIELD: &str = "RFC 3261 §7.3.1";
/// Compact forms.
const COMPACT: &str = "RFC 3261 §7.3.3";
