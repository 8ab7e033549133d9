//! Are the header fields of two frames the same?
//!
//! The answer has the same form as [`crate::sip::compare`] gives, but there is far less that means
//! nothing: names have no case (RFC 4975 §9: literals and tokens), and that is all. No folding, no
//! compact forms, no comma lists; values are held against each other octet for octet.

use std::collections::{HashMap, HashSet};

use super::{Head, Header};
use crate::sip::compare::{Comparison, Relation};

const NAMES: &str = "RFC 4975 §9";

/// Compares every header name that either side has, all fields of a name together and in order.
/// Names are in the order of first appearance on the left, those of the right side alone follow.
pub fn headers(left: &Head, right: &Head) -> Vec<Comparison> {
    let (by_left, by_right) = (grouped(left), grouped(right));
    let mut seen = HashSet::new();
    let mut comparisons = Vec::new();
    for header in left.headers().chain(right.headers()) {
        let key = header.name().to_ascii_lowercase();
        if seen.insert(key.clone()) {
            let fields = [&by_left, &by_right].map(|side| side.get(&key));
            let [left, right] = fields.map(|side| side.map(Vec::as_slice).unwrap_or_default());
            comparisons.push(compare(header.name(), left, right));
        }
    }
    comparisons
}

/// Compares all fields of one name. A side without the header differs from one that has it.
pub fn header(name: &str, left: &Head, right: &Head) -> Comparison {
    let fields = |head| Head::headers_named(head, name).collect::<Vec<_>>();
    compare(name, &fields(left), &fields(right))
}

/// The fields of a head by name in lower case.
fn grouped(head: &Head) -> HashMap<String, Vec<Header<'_>>> {
    let mut by_name: HashMap<_, Vec<_>> = HashMap::new();
    for header in head.headers() {
        let key = header.name().to_ascii_lowercase();
        by_name.entry(key).or_default().push(header);
    }
    by_name
}

fn compare(name: &str, left: &[Header<'_>], right: &[Header<'_>]) -> Comparison {
    let lines = |side: &[Header<'_>]| side.iter().map(|h| h.line().to_vec()).collect::<Vec<_>>();
    let same_values = left
        .iter()
        .map(Header::value)
        .eq(right.iter().map(Header::value));
    let (left_lines, right_lines) = (lines(left), lines(right));
    let (relation, clauses) = if left_lines == right_lines {
        (Relation::Identical, Vec::new())
    } else if same_values {
        (Relation::Equal, vec![NAMES])
    } else {
        (Relation::Different, Vec::new())
    };
    Comparison {
        name: name.to_owned(),
        relation,
        clauses,
        left: left_lines,
        right: right_lines,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::Builder;
    use super::*;
    use Relation::{Different, Equal, Identical};

    fn head(lines: &[&str]) -> Head {
        let builder = Builder::request("SEND", "abcd");
        let builder = lines.iter().fold(builder, Builder::header_line);
        builder.build().unwrap().head().clone()
    }

    #[test]
    fn only_the_case_of_names_means_nothing() {
        let base = ["To-Path: msrp://h:1/s;tcp", "X: 1", "X: 2"];
        let relation = |lines: &[&str]| {
            let all = headers(&head(&base), &head(lines));
            let one = header("x", &head(&base), &head(lines));
            assert_eq!(one.relation, all[1].relation);
            all.iter().map(|c| c.relation).collect::<Vec<_>>()
        };
        assert_eq!(relation(&base), [Identical, Identical]);
        assert_eq!(relation(&["X: 1", base[0], "X: 2"]), [Identical, Identical]);
        assert_eq!(
            relation(&["TO-PATH: msrp://h:1/s;tcp", "x:1", "X: 2"]),
            [Equal, Equal]
        );
        assert_eq!(relation(&[base[0], "X: 2", "X: 1"]), [Identical, Different]);
        assert_eq!(relation(&[base[0], "X: 1"]), [Identical, Different]);
        assert_eq!(relation(&[base[0], "X: 1,2"]), [Identical, Different]);
        assert_eq!(
            relation(&[base[0], "X:  1", "X: 2"]),
            [Identical, Different]
        );
        assert_eq!(
            relation(&[base[0], "y: 1"]),
            [Identical, Different, Different]
        );
        let equal = &headers(&head(&["a: 1"]), &head(&["A: 1"]))[0];
        assert_eq!(
            (equal.name.as_str(), &equal.clauses[..]),
            ("a", &["RFC 4975 §9"][..])
        );
        assert_eq!(equal.right, [b"A: 1".to_vec()]);
    }
}
