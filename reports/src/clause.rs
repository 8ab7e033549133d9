//! Clauses of the specification: which group of a report a requirement belongs to.
//!
//! A record names a clause as text (`9.3.2.4 b5.1`, `RFC 3428 §7`). Reports follow the order of the
//! specification, and put the rules of the base protocols last.

use crate::record::RequirementRecord;

/// Requirements of one clause, in the order of the record.
#[derive(Debug, Clone, PartialEq)]
pub struct Group<'r> {
    /// `9.3.2.4`; empty for the base protocols.
    pub number: &'r str,
    /// What the clause is about.
    pub title: &'static str,
    /// Its requirements.
    pub requirements: Vec<&'r RequirementRecord>,
}

impl Group<'_> {
    /// Number and title in one line.
    pub fn heading(&self) -> String {
        match (self.number, self.title) {
            ("", title) => title.to_owned(),
            (number, "") => format!("Clause {number}"),
            (number, title) => format!("{number} {title}"),
        }
    }
}

/// Groups by clause, in the order in which the clauses first appear, base protocols last.
pub fn groups(requirements: &[RequirementRecord]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for requirement in requirements {
        let number = split(&requirement.clause).0;
        match groups.iter_mut().find(|group| group.number == number) {
            Some(group) => group.requirements.push(requirement),
            None => groups.push(Group {
                number,
                title: title(number),
                requirements: vec![requirement],
            }),
        }
    }
    groups.sort_by_key(|group| group.number.is_empty());
    groups
}

/// Number of the clause, empty for a base protocol, and the place in it: `("9.3.2.4", "b5.1")`,
/// `("", "RFC 3428 §7")`.
pub fn split(clause: &str) -> (&str, &str) {
    if !clause.starts_with(|c: char| c.is_ascii_digit()) {
        return ("", clause);
    }
    match clause.split_once(' ') {
        Some((number, place)) => (number.trim_end_matches(','), place),
        None => (clause, ""),
    }
}

/// A clause with the name of its document, for a place where nothing else tells it.
pub fn cite(clause: &str) -> String {
    match split(clause) {
        ("", rule) => rule.to_owned(),
        _ => format!("draft {clause}"),
    }
}

fn title(number: &str) -> &'static str {
    match number {
        "" => "Base protocols",
        "2" => "Context",
        "9.3.2.4" => "Storing deferred messages",
        "9.3.2.5" => "Expiration of deferred messages",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_number_and_place() {
        assert_eq!(split("9.3.2.4 b5.1.1"), ("9.3.2.4", "b5.1.1"));
        assert_eq!(split("9.3.2.4, b1"), ("9.3.2.4", "b1"));
        assert_eq!(split("2"), ("2", ""));
        assert_eq!(split("RFC 3428 §7"), ("", "RFC 3428 §7"));
        assert_eq!(split(""), ("", ""));
    }

    #[test]
    fn base_protocols_come_last() {
        let mut record = crate::sample::record();
        record.requirements.rotate_right(1);
        let numbers: Vec<_> = groups(&record.requirements)
            .iter()
            .map(|g| g.number)
            .collect();
        assert_eq!(numbers.last(), Some(&""));
        assert!(numbers.contains(&"9.3.2.4"));
    }
}
