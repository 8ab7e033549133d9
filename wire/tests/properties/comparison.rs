//! Comparison is an equivalence, and the same whichever side comes first.

use imspec_wire::sip::Message;
use imspec_wire::sip::compare::{self, Relation};
use proptest::prelude::*;

use super::generators::{message, mutated};

/// Three sides of a header of each rule, from few values, so that equal ones meet often.
fn few_fields() -> impl Strategy<Value = (&'static str, [Vec<String>; 3])> {
    let values: Vec<(&str, Vec<&str>)> = vec![
        ("Subject", vec!["a", "A", "a  b", "a b", "a\tb", "", "a, b"]),
        (
            "X-Any",
            vec!["a", "A", "a,b", "a , b", "b", "\"a,b\"", "a  b", "a b"],
        ),
        (
            "Supported",
            vec!["a", "A", "a,b", "A , B", "b", "a;q=1", "a; Q=1"],
        ),
        ("Expires", vec!["5", "05", "005", "6", "x", "+5"]),
        ("CSeq", vec!["1 A", "01 A", "1  A", "1 a", "2 A", "x"]),
        (
            "Via",
            vec![
                "SIP/2.0/UDP h",
                "sip/2.0/udp H",
                "SIP / 2.0/UDP h;a;b",
                "SIP/2.0/UDP h;b;A",
                "x",
            ],
        ),
        (
            "Content-Type",
            vec![
                "a/b",
                "A/B",
                "a/b;charset=x",
                "a/b; charset=\"X\"",
                "a/b;c=D",
                "a/b;c=d",
            ],
        ),
        (
            "Contact",
            vec![
                "<sip:a@b>",
                "sip:%61@B",
                "\"A\" <sip:a@b>",
                "A<sip:a@b>",
                "*",
                "<sip:A@b>",
            ],
        ),
        (
            "Authorization",
            vec!["D a=b, c=\"d\"", "d C=\"d\",a=B", "D a=b", "D a=b, c=\"D\""],
        ),
    ];
    prop::sample::select(values).prop_flat_map(|(name, values)| {
        let rows = prop::collection::vec(prop::sample::select(values), 0..3);
        prop::array::uniform3(rows).prop_map(move |sides| {
            let owned = |rows: Vec<&str>| rows.into_iter().map(str::to_owned).collect();
            (name, sides.map(owned))
        })
    })
}

fn relation(name: &str, left: &[String], right: &[String]) -> compare::Comparison {
    fn side<'s>(name: &'s str, rows: &'s [String]) -> Vec<(&'s str, &'s [u8])> {
        rows.iter().map(|row| (name, row.as_bytes())).collect()
    }
    compare::header(name, &side(name, left), &side(name, right))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// The URIs among the values have no parameters, where RFC 3261 §19.1.4 gives transitivity up.
    #[test]
    fn comparison_is_an_equivalence(
        (name, [a, b, c]) in few_fields(),
    ) {
        let (ab, ba) = (relation(name, &a, &b), relation(name, &b, &a));
        prop_assert_eq!(relation(name, &a, &a).relation, Relation::Identical);
        prop_assert_eq!(ab.relation, ba.relation);
        prop_assert_eq!(&ab.clauses, &ba.clauses);
        prop_assert_eq!(ab.relation == Relation::Equal, !ab.clauses.is_empty());
        prop_assert_eq!((&ab.left, &ab.right), (&ba.right, &ba.left));
        let (bc, ac) = (relation(name, &b, &c), relation(name, &a, &c));
        if ab.relation != Relation::Different && bc.relation != Relation::Different {
            prop_assert_ne!(ac.relation, Relation::Different, "{} {:?} {:?} {:?}", name, a, b, c);
        }
    }
}

proptest! {
    #[test]
    fn comparison_of_messages_is_symmetric(
        left in mutated(message()),
        right in mutated(message()),
    ) {
        if let (Ok(left), Ok(right)) = (Message::parse(left), Message::parse(right)) {
            let (there, back) = (compare::headers(&left, &right), compare::headers(&right, &left));
            prop_assert_eq!(there.len(), back.len());
            for one in there {
                let other = back.iter().find(|c| c.name.eq_ignore_ascii_case(&one.name)).unwrap();
                prop_assert_eq!(one.relation, other.relation);
                prop_assert_eq!(&one.left, &other.right);
            }
        }
    }

    /// The same fields in other letters, folds and white space are never different.
    #[test]
    fn rewriting_changes_no_meaning(
        values in prop::collection::vec("[!-~]{1,8}( [!-~]{1,8}){0,3}", 1..8),
        names in prop::collection::vec("[A-Za-z]{4,9}", 8),
        folds in prop::collection::vec(
            prop::sample::select(vec![" ", "\r\n ", " \r\n\t", "\t", "   "]),
            8,
        ),
    ) {
        let (mut plain, mut other) = (String::new(), String::new());
        for ((value, name), fold) in values.iter().zip(&names).zip(&folds) {
            plain.extend([name, ": ", value, "\r\n"]);
            let (name, value) = (name.to_uppercase(), value.replace(' ', fold));
            other.extend([&name, " :", fold, &value, fold, "\r\n"]);
        }
        let read = |head: String| Message::parse(format!("A b SIP/2.0\r\n{head}\r\n")).unwrap();
        for found in compare::headers(&read(plain), &read(other)) {
            prop_assert_ne!(found.relation, Relation::Different, "{:?}", found);
        }
    }
}
