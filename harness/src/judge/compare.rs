//! Comparing what was observed with a message that was sent: headers in meaning or octet for octet,
//! bodies always octet for octet.

use imspec_reports::record::Verdict;
use imspec_wire::msrp::{ByteRange, Path};
use imspec_wire::sip::{Relation, compare};

use super::outcome::{Ruling, Seen, show};
use crate::evidence::content::{Content, Likeness};
use crate::evidence::fields::Fields;
use crate::evidence::{Frame, fields};

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
    sent: &Fields,
    seen: &[Seen],
    exact: bool,
    declared: bool,
) -> Ruling {
    let left: Vec<(&str, &[u8])> = sent
        .named(name)
        .map(|field| (field.name.as_str(), field.raw.trim_ascii()))
        .collect();
    let comparison = compare::header(name, &left, &pairs(name, seen));
    let (expected, observed) = sides(name, sent, seen);
    match comparison.relation {
        Relation::Identical => Ruling::new(Verdict::Pass, expected, observed),
        Relation::Different => {
            let (expected, observed) = told_apart(expected, observed, &left, &pairs(name, seen));
            Ruling::new(Verdict::Fail, expected, observed)
        }
        Relation::Equal if !exact => Ruling::new(Verdict::Pass, expected, observed).note(format!(
            "not the same octets, but equal by {}",
            comparison.clauses.join(", ")
        )),
        Relation::Equal => {
            // As written, since unfolded values without names may look the same.
            let (expected, observed) = (lines(&left), lines(&pairs(name, seen)));
            let (expected, observed) = told_apart(expected, observed, &left, &pairs(name, seen));
            Ruling {
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
            }
        }
    }
}

/// Fields as they are written, but for the white space around the colon and at the end, which belongs to no
/// value (RFC 3261 §25.1, `HCOLON`).
fn lines(fields: &[(&str, &[u8])]) -> String {
    let shown: Vec<_> = fields
        .iter()
        .map(|(name, value)| format!("{name}: {}", show(value)))
        .collect();
    shown.join(" and ")
}

/// Two texts that print alike get the place at which the fields begin to differ, and what stands there.
fn told_apart(
    expected: String,
    observed: String,
    left: &[(&str, &[u8])],
    right: &[(&str, &[u8])],
) -> (String, String) {
    if expected != observed {
        return (expected, observed);
    }
    let line = |(name, value): &(&str, &[u8])| [name.as_bytes(), b": ", value].concat();
    let pairs = left.iter().zip(right);
    let Some((a, b)) = pairs.map(|(a, b)| (line(a), line(b))).find(|(a, b)| a != b) else {
        return (expected, observed);
    };
    let first = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let around = |text: String, octets: &[u8]| {
        let end = octets.len().min(first + 40);
        let there = show(octets.get(first..end).unwrap_or_default());
        format!("{text}, and from octet {first} of the line on {there}")
    };
    (around(expected, &a), around(observed, &b))
}

fn sides(name: &str, sent: &Fields, seen: &[Seen]) -> (String, String) {
    let mut wanted = sent.named(name).map(|field| show(&field.value)).peekable();
    let expected = if wanted.peek().is_none() {
        "no such header, as in the message sent".to_owned()
    } else {
        wanted.collect::<Vec<_>>().join(" and ")
    };
    let observed = if seen.is_empty() {
        "no such header".to_owned()
    } else {
        let seen: Vec<_> = seen.iter().map(|one| show(&one.value)).collect();
        seen.join(" and ")
    };
    (expected, observed)
}

/// A header field of a SEND in the store against the SENDs of the message. Every chunk has one, and a store
/// keeps that of the one that it takes for the first; a Byte-Range may be that of the whole message, since
/// who puts chunks together has no other (RFC 4976 §6.4.1 lets relays cut anew).
pub(super) fn of_send(name: &str, sends: &[Frame], seen: &[Seen]) -> Ruling {
    let all: Vec<Fields> = sends.iter().map(|send| Fields::from(&send.head)).collect();
    let first = all.first().cloned().unwrap_or_default();
    let (expected, observed) = sides(name, &first, seen);
    let same = |fields: &Fields| {
        let wanted: Vec<&[u8]> = fields.named(name).map(|field| &field.value[..]).collect();
        let seen: Vec<&[u8]> = seen.iter().map(|one| one.value.trim_ascii()).collect();
        wanted == seen
            || (wanted.len() == seen.len()
                && wanted
                    .iter()
                    .zip(&seen)
                    .all(|(a, b)| equal_in_meaning(name, a, b)))
    };
    let holds =
        all.iter().any(same) || (name.eq_ignore_ascii_case("Byte-Range") && whole(sends, seen));
    Ruling::of(holds, expected, observed)
}

fn equal_in_meaning(name: &str, a: &[u8], b: &[u8]) -> bool {
    if name.eq_ignore_ascii_case("To-Path") || name.eq_ignore_ascii_case("From-Path") {
        return match (Path::parse(a), Path::parse(b)) {
            (Ok(a), Ok(b)) => a.equivalent(&b),
            _ => false,
        };
    }
    fields::is_of_content(name)
        && compare::header(name, &[(name, a)], &[(name, b)]).relation != Relation::Different
}

/// Whether the Byte-Range seen is that of all chunks together.
fn whole(sends: &[Frame], seen: &[Seen]) -> bool {
    let [one] = seen else {
        return false;
    };
    let Ok(range) = ByteRange::parse(one.value.trim_ascii()) else {
        return false;
    };
    let end = sends.iter().map(|send| send.range().end).max().unwrap_or(0);
    range.start == 1
        && range.end.is_none_or(|last| last == end)
        && range.total.is_none_or(|total| total == end)
}

/// Contents of any length. Where the octets of either are not at hand, by digest.
pub(super) fn content(sent: &Content, seen: &Content, range: Option<(u32, u32)>) -> Ruling {
    if let (Some(wanted), Some(octets)) = (sent.octets(), seen.octets()) {
        let seen = Seen {
            range,
            ..Seen::value(octets.to_vec())
        };
        return body(wanted, &[seen]);
    }
    let (expected, observed) = (in_words(sent), in_words(seen));
    match seen.likeness(sent) {
        Likeness::Same => Ruling::new(Verdict::Pass, expected, "the same octets"),
        Likeness::Untold => Ruling::new(Verdict::Inconclusive, expected, observed)
            .note("it is wrapped in message/cpim, and too long for the trace to hold it"),
        Likeness::Carries | Likeness::Partly(_) => Ruling::new(Verdict::Fail, expected, observed),
    }
}

fn in_words(content: &Content) -> String {
    match content.digest() {
        Some(digest) => format!(
            "{} octets with SHA-256 {}…",
            digest.octets,
            digest.sha256.get(..16).unwrap_or(&digest.sha256)
        ),
        None => "a message that was never finished".into(),
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use imspec_wire::sip::Message;

    use super::*;

    fn octet_for_octet(sent: &str, stored: &[u8]) -> Ruling {
        let message = Message::parse(format!("SIP/2.0 200 OK\r\n{sent}\r\n\r\n")).unwrap();
        let seen = [Seen::value(stored.to_vec())];
        header("Subject", &Fields::from(&message), &seen, true, true)
    }

    #[test]
    fn white_space_around_a_value_is_no_part_of_its_octets() {
        for stored in [&b"Dinner"[..], b"  Dinner", b"\tDinner ", b"\r\n Dinner"] {
            let ruling = octet_for_octet("Subject:  Dinner", stored);
            assert_eq!(ruling.verdict, Verdict::Pass, "{ruling:?}");
        }
    }

    #[test]
    fn fields_that_are_not_the_same_octets_do_not_print_alike() {
        let long = "x".repeat(100);
        for (sent, stored) in [
            (
                "Subject: Dinner at  eight".to_owned(),
                "Dinner at eight".to_owned(),
            ),
            ("SUBJECT: Dinner".to_owned(), "Dinner".to_owned()),
            (
                "Subject: Dinner\r\n at eight".to_owned(),
                "Dinner at eight".to_owned(),
            ),
            (format!("Subject: {long}  y"), format!("{long} y")),
            (format!("Subject: {long}yes"), format!("{long}no.")),
        ] {
            let ruling = octet_for_octet(&sent, stored.as_bytes());
            assert_eq!(ruling.verdict, Verdict::Fail, "{ruling:?}");
            let expected = ruling.expected.trim_start_matches("the same octets: ");
            assert_ne!(expected, ruling.observed);
        }
    }
}
