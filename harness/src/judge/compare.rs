//! Comparing what was observed with a message that was sent: headers in meaning or octet for octet,
//! bodies always octet for octet.

use imspec_reports::record::Verdict;
use imspec_wire::sip::{Message, Relation, compare};

use super::outcome::{Ruling, Seen, show};

/// How the wanted values of one header relate to the fields seen, and the clauses that make them equal.
pub(super) fn fields(name: &str, wanted: &[Vec<u8>], seen: &[Seen]) -> (Relation, String) {
    let left: Vec<(&str, &[u8])> = wanted
        .iter()
        .map(|value| (name, value.as_slice()))
        .collect();
    let comparison = compare::header(name, &left, &pairs(name, seen));
    (comparison.relation, comparison.clauses.join(", "))
}

/// All fields of one name of `sent` against the fields seen. `exact`: octet for octet. `declared`: the
/// octets are asked for only by what the profile declares, so that equality in meaning is a mismatch.
pub(super) fn header(
    name: &str,
    sent: &Message,
    seen: &[Seen],
    exact: bool,
    declared: bool,
) -> Ruling {
    let left: Vec<(&str, &[u8])> = sent
        .headers_named(name)
        .map(|h| (h.name(), h.raw_value().trim_ascii()))
        .collect();
    let comparison = compare::header(name, &left, &pairs(name, seen));
    let expected = if left.is_empty() {
        "no such header, as in the message sent".to_owned()
    } else {
        sent.headers_named(name)
            .map(|h| show(&h.value()))
            .collect::<Vec<_>>()
            .join(" and ")
    };
    let observed = if seen.is_empty() {
        "no such header".to_owned()
    } else {
        seen.iter()
            .map(|one| show(&one.value))
            .collect::<Vec<_>>()
            .join(" and ")
    };
    match comparison.relation {
        Relation::Identical => Ruling::new(Verdict::Pass, expected, observed),
        Relation::Different => Ruling::new(Verdict::Fail, expected, observed),
        Relation::Equal if !exact => Ruling::new(Verdict::Pass, expected, observed).note(format!(
            "not the same octets, but equal by {}",
            comparison.clauses.join(", ")
        )),
        Relation::Equal => Ruling {
            mismatch: declared,
            ..Ruling::new(
                Verdict::Fail,
                format!("the same octets: {expected}"),
                observed,
            )
            .note(format!(
                "equal in meaning by {}, but not the same octets",
                comparison.clauses.join(", ")
            ))
        },
    }
}

/// Bodies. The place marked is where they first differ.
pub(super) fn body(sent: &[u8], seen: &[Seen]) -> Ruling {
    let [one] = seen else {
        return Ruling::new(Verdict::Fail, describe(sent), "no body");
    };
    if one.value == sent {
        return Ruling::new(Verdict::Pass, describe(sent), "the same octets");
    }
    let first = one
        .value
        .iter()
        .zip(sent)
        .take_while(|(a, b)| a == b)
        .count();
    let around = |octets: &[u8]| {
        show(
            octets
                .get(first..octets.len().min(first + 40))
                .unwrap_or_default(),
        )
    };
    let expected = format!(
        "{}, and from octet {first} on {}",
        describe(sent),
        around(sent)
    );
    let observed = format!(
        "{}, and from octet {first} on {}",
        describe(&one.value),
        around(&one.value)
    );
    let range = one.range.map(|(start, end)| {
        let from = start
            .saturating_add(u32::try_from(first).unwrap_or(u32::MAX))
            .min(end);
        (from, end)
    });
    Ruling::new(Verdict::Fail, expected, observed).range(range)
}

fn describe(octets: &[u8]) -> String {
    format!("{} octets", octets.len())
}

fn pairs<'s>(name: &'s str, seen: &'s [Seen]) -> Vec<(&'s str, &'s [u8])> {
    seen.iter()
        .map(|one| {
            (
                if one.name.is_empty() {
                    name
                } else {
                    one.name.as_str()
                },
                one.raw.trim_ascii(),
            )
        })
        .collect()
}
