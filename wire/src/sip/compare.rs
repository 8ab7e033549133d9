//! Are two header fields or messages the same? Identical, equal in meaning, or different, header by
//! header, with the clause that makes them equal.

use super::message::Message;

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
pub fn header(name: &str, left: &[(&str, &[u8])], right: &[(&str, &[u8])]) -> Comparison { let _ = (name, left, right); todo!() }

/// Compares every header name that either message has, in the order of first appearance on the left.
pub fn headers(left: &Message, right: &Message) -> Vec<Comparison> { let _ = (left, right); todo!() }
