//! RFC 4475 §3.1.2: messages that break the grammar, and what a parser makes of each.

use imspec_wire::sip::typed::{CSeq, Contact, Expires, From, MaxForwards, SipDate, To, Uri, Via};
use imspec_wire::sip::{Limits, Message, StreamDecoder};

use super::{accepted, all, defects, get, octets, one_defect, refused};

const GRAMMAR: &str = "RFC 3261 §25.1";

/// A request that is right in all but what the test changes.
fn request(start_line: &str, to: &str, more: &str) -> String {
    let method = start_line.split(' ').next().unwrap_or_default();
    format!(
        "{start_line}
To: {to}
From: sip:ringer@example.net;tag=1
Max-Forwards: 70
Call-ID: invalid.1
CSeq: 8 {method}
Via: SIP/2.0/UDP 192.0.2.15;branch=z9hG4bKinvalid{more}"
    )
}

const START: &str = "OPTIONS sip:user@example.org SIP/2.0";
const TO: &str = "sip:user@example.org";

/// §3.1.2.1: separators with nothing between them.
#[test]
fn surplus_separators() {
    let message = accepted(
        &request(
            START,
            TO,
            ";;,;,,\nContact: \"Jo\" <sip:jo@example.org>;;;;",
        ),
        b"",
    );
    assert!(message.typed::<Via>().unwrap().is_err());
    assert!(message.typed_all::<Via>().iter().all(Result::is_err));
    assert_eq!(message.typed::<Contact>().unwrap().unwrap_err().offset, 26);
    let found = defects(&message);
    assert!(
        found.iter().all(|(_, clause)| *clause == GRAMMAR),
        "{found:?}"
    );
    assert!(found.contains(&(";;;".to_owned(), GRAMMAR)), "{found:?}");
}

/// §3.1.2.2: Content-Length larger than the datagram.
#[test]
fn a_body_that_is_too_short() {
    let head = request(
        START,
        TO,
        "\nContent-Type: text/plain\nContent-Length: 9999",
    );
    let message = accepted(&head, b"short");
    assert_eq!(
        (message.body(), message.missing_body()),
        (&b"short"[..], 9994)
    );
    assert_eq!(defects(&message), [(String::new(), "RFC 3261 §18.3")]);
    // On a stream the rest may still come.
    let mut decoder = StreamDecoder::new(Limits::default());
    decoder.push(message.octets());
    assert_eq!(decoder.next_frame(), Ok(None));
}

/// §3.1.2.3: Content-Length that is no number.
#[test]
fn a_content_length_that_is_no_number() {
    for value in ["-999", "five", "1 2", "0x10", ""] {
        let head = request(
            START,
            TO,
            &format!("\nContent-Type: a/b\nContent-Length: {value}"),
        );
        let message = accepted(&head, b"octets");
        assert_eq!(
            (message.content_length(), message.body()),
            (None, &b"octets"[..]),
            "{value}"
        );
        assert_eq!(defects(&message).len(), 1, "{value}");
        let mut decoder = StreamDecoder::new(Limits::default());
        decoder.push(message.octets());
        assert!(decoder.next_frame().is_err(), "{value}");
    }
}

/// §3.1.2.4 and §3.1.2.5: numbers out of range.
#[test]
fn numbers_out_of_range() {
    let message = accepted(
        &format!(
            "
REGISTER sip:example.org SIP/2.0
Via: SIP/2.0/TCP a.example.org;branch=z9hG4bKscalar
To: <sip:user@example.org>
From: <sip:user@example.org>;tag=2
CSeq: 73786976294838206464 REGISTER
Call-ID: scalar.1
Max-Forwards: 300
Expires: 1{}
Contact: <sip:user@a.example.org>
  ;expires=280297596632815
Content-Length: 0",
            "0".repeat(100)
        ),
        b"",
    );
    assert_eq!(message.typed::<CSeq>().unwrap().unwrap_err().offset, 0);
    assert_eq!(
        message.typed::<MaxForwards>().unwrap().unwrap_err().offset,
        0
    );
    assert_eq!(message.typed::<Expires>().unwrap().unwrap_err().offset, 0);
    let Contact::Address(contact) = get::<Contact>(&message) else {
        panic!("an address")
    };
    assert_eq!(contact.params.get("expires"), Some("280297596632815"));
    assert_eq!(defects(&message).len(), 3);
}

/// §3.1.2.6: a quotation mark without its partner.
#[test]
fn an_unbalanced_quotation_mark() {
    let to = "\"Mx. U. Ser <sip:user@example.org>";
    assert_eq!(
        one_defect(&request(START, to, ""), b""),
        (String::new(), GRAMMAR)
    );
    let message = accepted(&request(START, to, ""), b"");
    assert_eq!(message.typed::<To>().unwrap().unwrap_err().offset, to.len());
    assert!(message.typed::<From>().unwrap().is_ok());
}

/// §3.1.2.7: the Request-URI in angle brackets.
#[test]
fn a_request_uri_in_brackets() {
    let head = request("OPTIONS <sip:user@example.org> SIP/2.0", TO, "");
    assert_eq!(
        one_defect(&head, b""),
        ("<sip:user@example.org>".to_owned(), GRAMMAR)
    );
}

/// §3.1.2.8: white space in the Request-URI.
#[test]
fn a_request_uri_with_a_space() {
    let head = request("OPTIONS sip:user@example.org; lr SIP/2.0", TO, "");
    assert_eq!(one_defect(&head, b""), (" lr".to_owned(), GRAMMAR));
    let message = accepted(&head, b"");
    assert_eq!(
        message.request_uri(),
        Some(&b"sip:user@example.org; lr"[..])
    );
}

/// §3.1.2.9 and §3.1.2.10: surplus spaces in the start line.
#[test]
fn surplus_spaces_in_the_start_line() {
    for line in [
        "OPTIONS  sip:user@example.org  SIP/2.0",
        "OPTIONS sip:user@example.org SIP/2.0  ",
    ] {
        let message = accepted(&request(line, TO, ""), b"");
        assert_eq!(message.request_uri(), Some(TO.as_bytes()));
        assert_eq!(defects(&message), [(line.to_owned(), GRAMMAR)]);
    }
}

/// §3.1.2.11: headers in the Request-URI.
#[test]
fn a_request_uri_with_headers() {
    let uri = "sip:user@example.org?Route=%3Csip:example.com%3E";
    let head = request(&format!("OPTIONS {uri} SIP/2.0"), TO, "");
    assert_eq!(one_defect(&head, b""), (uri.to_owned(), "RFC 3261 §19.1.1"));
}

/// §3.1.2.12: a time zone that is not GMT.
#[test]
fn a_date_in_another_time_zone() {
    for zone in ["EST", "UT", "UTC", "UCT", "+0000", "gmt"] {
        let date = format!("Fri, 01 Jan 2027 16:00:00 {zone}");
        let head = request(START, TO, &format!("\nDate: {date}"));
        assert_eq!(one_defect(&head, b""), (zone.to_owned(), GRAMMAR));
        assert_eq!(
            accepted(&head, b"")
                .typed::<SipDate>()
                .unwrap()
                .unwrap_err()
                .offset,
            26
        );
    }
}

/// §3.1.2.13: a URI with headers needs its brackets.
#[test]
fn a_contact_without_its_brackets() {
    let more = "\nContact: sip:user@example.org?Route=%3Csip:edge.example.org%3E";
    let (octets, clause) = one_defect(&request(START, TO, more), b"");
    assert_eq!(
        (octets.as_str(), clause),
        ("?Route=%3Csip:edge.example.org%3E", GRAMMAR)
    );
}

/// §3.1.2.14: spaces between the brackets.
#[test]
fn spaces_within_the_brackets() {
    let to = "\"Watt, Sam\" < sip:s.watt@example.org >";
    let (octets, clause) = one_defect(&request(START, to, ""), b"");
    assert_eq!(
        (octets.as_str(), clause),
        (" sip:s.watt@example.org >", GRAMMAR)
    );
}

/// §3.1.2.15: a display name that needs quotation marks.
#[test]
fn a_display_name_without_its_marks() {
    for to in [
        "Watt, Sam <sip:s.watt@example.org>",
        "J\u{f6}rg <sip:j@example.org>",
    ] {
        let message = accepted(&request(START, to, ""), b"");
        assert!(message.typed::<To>().unwrap().is_err(), "{to}");
        assert_eq!(defects(&message).len(), 1);
    }
}

/// §3.1.2.16: a version from the future is kept, to be answered with 505.
#[test]
fn an_unknown_version() {
    let head = request("OPTIONS sip:user@example.org SIP/7.0", TO, "")
        .replace("SIP/2.0/UDP", "SIP/7.0/UDP");
    let message = accepted(&head, b"");
    assert_eq!(get::<Via>(&message).version, "7.0");
    assert_eq!(one_defect(&head, b"").1, "RFC 3261 §7.1");
}

/// §3.1.2.17 and §3.1.2.18: two methods.
#[test]
fn methods_that_differ() {
    for method in ["OPTIONS", "NEWMETHOD"] {
        let line = format!("{method} sip:user@example.org SIP/2.0");
        let head = request(&line, TO, "").replace(&format!("8 {method}"), "8 INVITE");
        assert_eq!(
            one_defect(&head, b""),
            (" 8 INVITE".to_owned(), "RFC 3261 §8.1.1.5")
        );
    }
}

/// §3.1.2.19: a status code beyond all.
#[test]
fn a_status_code_that_is_too_long() {
    let error = refused(
        "SIP/2.0 4294967301 must not be taken\nContent-Length: 0",
        b"",
    );
    assert_eq!(
        (error.offset, error.expected),
        (8, "a status code of three digits")
    );
    assert!(Message::parse(octets("SIP/2.0 20 short", b"")).is_err());
    assert_eq!(
        defects(&accepted("SIP/2.0 999 unheard of", b""))[0].1,
        "RFC 3261 §7.2"
    );
}

/// Not in RFC 4475: what cannot be told apart is refused, with the place.
#[test]
fn what_is_no_message_is_refused() {
    for (head, offset) in [
        ("HELO example.org", 5),
        ("GET /index.html HTTP/1.1\nHost: example.org", 16),
        ("OPTIONS sip:user@example.org SIP/2.0\nno colon here", 41),
        ("OPTIONS sip:user@example.org SIP/2.0\n: no name", 38),
        (
            "OPTIONS sip:user@example.org SIP/2.0\n folded start line: x",
            38,
        ),
        ("\u{16}\u{3}\u{1}\u{2}", 0),
    ] {
        assert_eq!(refused(head, b"").offset, offset, "{head}");
    }
}

/// The values that are right stay readable beside those that are not.
#[test]
fn faults_stay_where_they_are() {
    let message = accepted(
        &request(START, "\"broken", "\nContact: <sip:a@b>, broken, <sip:c@d>"),
        b"",
    );
    let contacts = message.typed_all::<Contact>();
    assert_eq!(
        contacts.iter().map(Result::is_ok).collect::<Vec<_>>(),
        [true, false, true]
    );
    assert_eq!(contacts[1].as_ref().unwrap_err().offset, 17);
    assert_eq!(all::<From>(&message).len(), 1);
    assert!(Uri::parse(message.request_uri().unwrap()).is_ok());
}
