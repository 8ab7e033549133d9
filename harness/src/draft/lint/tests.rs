//! Each rule on a text of nobody's that has the defect, and on one that does not.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;

use super::super::tests::LOCKERS;
use super::*;

fn found(text: &str) -> Vec<Finding> {
    lint(&Draft::read("a.txt", text.as_bytes()).unwrap())
}

fn rules_of(text: &str) -> BTreeSet<&'static str> {
    found(text).iter().map(|it| it.rule.id).collect()
}

/// Rule, a text with the defect, a text without.
const SAMPLES: &[(&str, &str, &str)] = &[
    (
        "vague-word",
        "The proxy MUST wait a reasonable time.",
        "The proxy MUST wait five seconds.",
    ),
    (
        "unlisted",
        "The proxy SHALL log the relevant header fields.",
        "The proxy SHALL log these header fields: To, From.",
    ),
    (
        "fidelity",
        "The relay SHALL forward the complete body.",
        "The relay SHALL forward the complete body, octet for octet.",
    ),
    (
        "example-in-statement",
        "The proxy MAY add a field, e.g. Route.",
        "The proxy MAY add a Route field.",
    ),
    (
        "and-or",
        "It SHALL check the user and/or the device.",
        "It SHALL check the user and the device.",
    ),
    (
        "capability",
        "The gateway SHALL be able to translate.",
        "The gateway SHALL translate.",
    ),
    (
        "nothing-excluded",
        "It SHOULD act according to local policy.",
        "It SHOULD drop it.",
    ),
    (
        "small-letters",
        "It MUST ring. It must be loud.",
        "It MUST ring. It is loud.",
    ),
    (
        "term-spelling",
        "The relay mode MUST be on. Relayer mode SHALL be off.",
        "The relay mode MUST be on. Relay mode SHALL be off.",
    ),
    (
        "term-spelling",
        "The Rating value SHALL be kept from the Ratings header.",
        "The Rating value SHALL be kept from the Rating header.",
    ),
    (
        "many-names",
        "The callee MUST ring. The recipient SHALL answer, and the called party MAY hang up.",
        "The callee MUST ring. The callee SHALL answer.",
    ),
    (
        "undefined-state",
        "If the gateway is busy, it MUST queue calls.",
        "A gateway is \"busy\": it has no line.\n\nIf the gateway is busy, it MUST queue calls.",
    ),
    (
        "undefined-entity",
        "The server SHALL log calls in the billing data repository.",
        "The server SHALL log calls.",
    ),
    (
        "undefined-term",
        "The server SHALL number each rejected call. A rejected call MUST ring. A rejected call MAY end.",
        "A rejected call is a call that got 603.\n\nThe server SHALL number each rejected call. A rejected call MUST ring.",
    ),
    (
        "note-binds",
        "It MUST ring.\n\nNOTE: The next ring will be louder.",
        "It MUST ring.\n\nNOTE: The next ring could be louder.",
    ),
    (
        "unbalanced-quote",
        "The value SHALL be “on.",
        "The value SHALL be “on”.",
    ),
    (
        "condition-without-else",
        "If the call has a Subject, the proxy SHALL log it.",
        "If the call has a Subject, the proxy SHALL log it.\n\nOtherwise it SHALL log nothing.",
    ),
    (
        "optional-default",
        "The proxy MAY use a default route.",
        "The proxy SHALL use a default route.",
    ),
    (
        "aim-unmet",
        "1 Introduction\n\nThis text is to avoid that calls ring forever.\n\n2 Rules\n\nA call SHOULD end, or MAY still ring.",
        "1 Introduction\n\nThis text is about calls.\n\n2 Rules\n\nA call SHOULD end, or MAY still ring.",
    ),
    (
        "internet-draft",
        "It SHALL follow draft-smith-ringing-03.",
        "It SHALL follow RFC 3261.",
    ),
    (
        "obsolete-rfc",
        "It SHALL follow RFC 2543.",
        "It SHALL follow RFC 3261.",
    ),
    (
        "format-example",
        "The token SHALL have the format: “tok/part:num” with letters.\n\nNOTE: An example is a1/b2.",
        "The token SHALL have the format: “tok/part” with letters.\n\nNOTE: An example is a1/b2.",
    ),
    (
        "format-space",
        "Its format is “tok: num”, and it MUST be sent.",
        "Its format is “tok:num”, and it MUST be sent.",
    ),
    (
        "format-placeholder",
        "Its format is “tok:num”, and it MUST be sent.",
        "Its format is “<tok>:<num>”, and it MUST be sent.",
    ),
    (
        "format-without-grammar",
        "Its format is “tok:num”, and it MUST be sent.",
        "Its format is “tok:num”, and it MUST be sent.\n\nnum has eight digits.",
    ),
    (
        "unique-scope",
        "The server SHALL give each call a unique number.",
        "The server SHALL give each call a number that is unique within its domain.",
    ),
    (
        "name-taken",
        "The server SHALL assign a Session-ID.",
        "The server SHALL assign a Session-ID and put it in the Session-ID header.",
    ),
    (
        "no-carrier",
        "The server SHALL assign a Ticket-ID.",
        "The server SHALL assign a Ticket-ID. The 200 SHALL carry the Ticket-ID.",
    ),
    (
        "header-not-carried",
        "If the BYE contains the Expires header field, the proxy MUST drop it, else not.",
        "If the INVITE contains the Expires header field, the proxy MUST drop it, else not.",
    ),
    (
        "header-not-carried",
        "The proxy SHALL log these headers of REPORT:\n\n  - Success-Report\n  - Status",
        "The proxy SHALL log these headers of SEND:\n\n  - Success-Report\n  - Byte-Range",
    ),
    (
        "all-includes-hops",
        "The proxy SHALL log all header fields.",
        "The proxy SHALL log all header fields except those of one hop.",
    ),
    (
        "all-includes-credentials",
        "The proxy SHALL log all header fields.",
        "The proxy SHALL log all end-to-end header fields.",
    ),
    (
        "all-includes-identity",
        "The proxy SHALL log every header field.",
        "The proxy SHALL log the To header field.",
    ),
    (
        "part-missing",
        "It SHALL log the whole request with its headers and body.",
        "It SHALL log the whole request with its request line, headers and body.",
    ),
    (
        "companion-missing",
        "It SHALL log these header fields of INVITE:\n\n  - P-Asserted-Identity",
        "It SHALL log these header fields of INVITE:\n\n  - P-Asserted-Identity\n  - Privacy",
    ),
    (
        "optional-header",
        "It SHALL log these header fields of INVITE:\n\n  - From\n  - Subject",
        "It SHALL log these header fields of INVITE, if present:\n\n  - From\n  - Subject",
    ),
    (
        "mode-and-transport",
        "Page-mode messages over MSRP SHALL be logged.",
        "Page-mode messages SHALL be logged.",
    ),
    (
        "may-not-come",
        "The proxy SHALL log the ACK.",
        "The proxy SHALL answer the ACK.",
    ),
    (
        "one-of-many",
        "The server SHALL log the SEND request.",
        "The server SHALL log the SEND request of each chunk.",
    ),
    (
        "not-a-part",
        "It SHALL log the BYE request including the time of its arrival.",
        "It SHALL log the BYE request and the time of its arrival.",
    ),
    (
        "no-unit",
        "It SHALL take the value of the Retry-After header.",
        "It SHALL take the value of the Retry-After header in seconds.",
    ),
    (
        "zero",
        "It SHALL take the value of the Retry-After header.",
        "It SHALL take the value of the Retry-After header unless that is zero.",
    ),
    (
        "malformed-value",
        "It SHALL take the value of the Retry-After header.",
        "It SHALL take the value of the Retry-After header unless that is malformed.",
    ),
    (
        "no-bound",
        "It SHALL take the value of the Retry-After header.",
        "It SHALL take the value of the Retry-After header, at most 60.",
    ),
    (
        "relative-or-absolute",
        "It SHALL take the value of the Retry-After header.",
        "It SHALL take the value of the Retry-After header as a point in time.",
    ),
    (
        "no-start",
        "It SHALL take the value of the Retry-After header.",
        "It SHALL take the value of the Retry-After header, measured from receipt.",
    ),
    (
        "timestamp-form",
        "It SHALL log a timestamp.",
        "It SHALL log a timestamp in UTC.",
    ),
    (
        "no-deadline",
        "If the timer expires, the proxy SHALL cancel the call.",
        "If the timer expires, the proxy SHALL cancel the call within a second.",
    ),
    (
        "race",
        "If the timer expires before the call is presented, the proxy SHALL log it.",
        "If the timer expires, the proxy SHALL log it.",
    ),
    (
        "no-means",
        "The server MAY inform the caller.",
        "The server MAY inform the caller by a 181.",
    ),
    (
        "unsaid",
        "The gateway SHALL store the message.",
        "The gateway SHALL forward the call.",
    ),
    (
        "grammar",
        "The call MUST ring before to be ended.",
        "The call MUST ring before it is ended.",
    ),
    (
        "spelling",
        "The call MUST be seperate.",
        "The call MUST be separate.",
    ),
];

#[test]
fn each_rule_finds_its_defect_and_no_other_text_has_it() {
    let missed = SAMPLES
        .iter()
        .filter(|(rule, with, _)| !rules_of(with).contains(rule));
    let missed: Vec<_> = missed.map(|(rule, with, _)| (rule, with)).collect();
    assert!(missed.is_empty(), "not found: {missed:#?}");
    let wrong = SAMPLES
        .iter()
        .filter(|(rule, _, without)| rules_of(without).contains(rule));
    let wrong: Vec<_> = wrong.map(|(rule, _, without)| (rule, without)).collect();
    assert!(wrong.is_empty(), "found without reason: {wrong:#?}");
    let tested: BTreeSet<&str> = SAMPLES.iter().map(|(rule, _, _)| *rule).collect();
    let all: BTreeSet<&str> = rules().iter().map(|rule| rule.id).collect();
    assert_eq!(tested, all);
}

#[test]
fn a_clean_text_has_no_finding() {
    assert_eq!(
        rules_of(
            "1 Ringing\n\nA proxy that receives an INVITE MUST send a 100 within 200 ms.\n\nIt SHOULD NOT send a second one."
        ),
        BTreeSet::new()
    );
}

#[test]
fn findings_are_shown_with_place_reason_readings_and_help() {
    let draft = Draft::read("lockers.txt", LOCKERS.as_bytes()).unwrap();
    let findings = lint(&draft);
    let shown = render(&draft, &findings);
    insta::assert_snapshot!(anstream::adapter::strip_str(&shown).to_string());
    insta::assert_snapshot!(format!("{:#}", as_json(&draft, &findings[..1])));
}

#[test]
fn the_same_defect_is_told_once_with_all_its_places() {
    let findings = found("It SHALL ring and/or hum.\n\nIt MAY sing and/or cry.");
    let [only] = findings.as_slice() else {
        panic!("{findings:?}");
    };
    assert_eq!(only.also.len(), 1);
}

proptest::proptest! {
    #[test]
    fn any_text_is_judged(text in "((SHALL|MAY|If|the|all|header|headers|Expires|Subject|INVITE|SEND|200|format is|store|message|expires|before|delivered|unique|each|deferred|ü@1|Ä|[“”\"@:/=.,;()-]| |\n\n- |\n\nNOTE: |\n\n){0,40})") {
        if let Ok(draft) = Draft::read("a.txt", text.as_bytes()) {
            let findings = lint(&draft);
            let _ = render(&draft, &findings);
        }
    }
}
