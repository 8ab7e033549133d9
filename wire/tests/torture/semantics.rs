//! RFC 4475 §3.2 to §3.4: messages that a parser must take although the layers above will not.

use imspec_wire::sip::typed::{Contact, From, MaxForwards, To, Uri, Via};
use imspec_wire::sip::{Limits, StreamDecoder, compare};

use super::{accepted, all, defects, get, one_defect, valid};

fn request(start_line: &str, more: &str) -> String {
    let method = start_line.split(' ').next().unwrap_or_default();
    format!(
        "{start_line}
To: sip:user@example.org
From: sip:ringer@example.net;tag=1
Max-Forwards: 70
Call-ID: semantics.1
CSeq: 8 {method}
Via: SIP/2.0/TCP a.example.net;branch=z9hG4bKsemantics{more}"
    )
}

const START: &str = "OPTIONS sip:user@example.org SIP/2.0";

/// §3.2.1: the magic cookie with nothing after it.
#[test]
fn a_branch_that_says_nothing() {
    let head = request(START, "").replace("z9hG4bKsemantics", "z9hG4bK");
    assert_eq!(one_defect(&head, b"").1, "RFC 3261 §8.1.1.7");
    assert_eq!(get::<Via>(&accepted(&head, b"")).branch(), Some("z9hG4bK"));
}

/// §3.3.1: mandatory fields that are missing.
#[test]
fn missing_fields() {
    let message = accepted(
        "MESSAGE sip:user@example.org SIP/2.0\nCSeq: 1 MESSAGE\nVia: SIP/2.0/UDP h;branch=z9hG4bKx",
        b"",
    );
    let missing = message.defects();
    let names = ["Max-Forwards", "To", "From", "Call-ID"];
    assert_eq!(missing.len(), names.len());
    for (defect, name) in missing.iter().zip(names) {
        assert!(defect.expected.contains(name), "{defect}");
    }
}

/// §3.3.2 to §3.3.4: schemes that no one here knows.
#[test]
fn unknown_schemes() {
    for uri in [
        "unheardOfScheme:opaque-to-us",
        "soap.beep://192.0.2.103:3002",
        "im:user@example.org",
        "urn:service:sos",
    ] {
        let message = valid(&request(&format!("OPTIONS {uri} SIP/2.0"), ""), b"");
        let read = Uri::parse(message.request_uri().unwrap()).unwrap();
        assert!(read.as_sip().is_none());
        assert_eq!(read.to_string().to_lowercase(), uri.to_lowercase());
    }
    let message = valid(
        "
REGISTER sip:example.org SIP/2.0
To: isbn:9780000000002
From: <http://www.example.org/a?b#c>;tag=2
Call-ID: schemes.1@dashed-host.example.org
CSeq: 2 REGISTER
Max-Forwards: 70
Via: SIP/2.0/UDP 192.0.2.21:5060;branch=z9hG4bKschemes
Contact: <name:Pat_Doe>
l: 0",
        b"",
    );
    assert_eq!(get::<To>(&message).uri.scheme(), "isbn");
    assert_eq!(
        get::<From>(&message).uri.to_string(),
        "http://www.example.org/a?b#c"
    );
    let Contact::Address(contact) = get::<Contact>(&message) else {
        panic!("an address")
    };
    assert_eq!(contact.uri.to_string(), "name:Pat_Doe");
}

/// §3.3.5 to §3.3.7, §3.3.15: extensions, media types and schemes of authentication that are
/// unknown.
#[test]
fn unknown_extensions() {
    let message = valid(
        &request(
            START,
            "
Require: noneKnowsThis, norThis
Proxy-Require: noProxyKnowsThis
Accept: text/whoKnows
Authorization: WhoKnowsThisScheme some-data=here
Content-Type: application/whoknows
Content-Length:3",
        ),
        b"<a>",
    );
    let options: Vec<_> = message
        .headers_named("Require")
        .flat_map(|header| {
            header
                .text()
                .split(',')
                .map(|o| o.trim().to_owned())
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(options, ["noneKnowsThis", "norThis"]);
    assert_eq!(message.body(), b"<a>");
}

/// §3.3.8: fields twice that may be there once.
#[test]
fn fields_that_may_be_there_once() {
    let message = accepted(
        &request(
            START,
            "
CSeq: 59 OPTIONS
Call-ID: semantics.2
To: sip:other@example.net
From: sip:ringer@example.net;tag=2
Max-Forwards: 5
Contact: <sip:a@b>
Contact: <sip:c@d>",
        ),
        b"",
    );
    assert_eq!(get::<MaxForwards>(&message).0, 70);
    assert_eq!(all::<To>(&message).len(), 2);
    let found = defects(&message);
    assert_eq!(found.len(), 5, "{found:?}");
    assert!(found.iter().all(|(_, clause)| *clause == "RFC 3261 §7.3.1"));
}

/// §3.3.9: Content-Length values that contradict each other.
#[test]
fn conflicting_lengths() {
    let head = request(
        START,
        "\nContent-Length: 13\nContent-Length: 5\nContent-Type: text/plain",
    );
    let body = b"No one can tell where this ends.";
    let message = accepted(&head, body);
    assert_eq!(
        (message.content_length(), message.body()),
        (None, &body[..])
    );
    assert_eq!(defects(&message).len(), 2);
    let mut decoder = StreamDecoder::new(Limits::default());
    decoder.push(message.octets());
    assert_eq!(
        decoder.next_frame().unwrap_err().expected,
        "one Content-Length that is a number"
    );
}

/// §3.3.10, §3.3.11: values that are odd and right.
#[test]
fn odd_and_right() {
    let message = valid(
        "
SIP/2.0 200 OK
Via: SIP/2.0/UDP 192.0.2.198;branch=z9hG4bKa1
Via: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bKb2
Call-ID: odd.1
CSeq: 35 MESSAGE
From: sip:user@example.org;tag=1
To: sip:user@example.com;tag=2
Max-Forwards: 0
Content-Length: 0",
        b"",
    );
    assert_eq!(all::<Via>(&message)[1].host.to_string(), "255.255.255.255");
    assert_eq!(get::<MaxForwards>(&message).0, 0);
}

/// §3.3.12 to §3.3.14: whose parameter it is, and headers in a URI.
#[test]
fn parameters_of_the_header_and_of_the_uri() {
    let contact = |value: &str| {
        let message = valid(&request(START, &format!("\nm: {value}")), b"");
        let Contact::Address(contact) = get::<Contact>(&message) else {
            panic!("an address")
        };
        contact
    };
    let outside = contact("sip:+15550123@gw.example.net;newparam");
    assert!(outside.params.has("newparam") && outside.uri.as_sip().unwrap().params.is_empty());
    let inside = contact("<sip:+15550123@gw.example.net;newparam>");
    assert!(inside.params.is_empty() && inside.uri.as_sip().unwrap().params.has("newparam"));
    let headers = contact("<sip:user@example.org?Route=%3Csip:edge.example.org%3E>");
    assert_eq!(
        headers.uri.as_sip().unwrap().headers.as_deref(),
        Some("Route=%3Csip:edge.example.org%3E")
    );
    let differ = compare::header(
        "Contact",
        &[("m", b"sip:a@b;x")],
        &[("Contact", b"<sip:a@b;x>")],
    );
    assert_eq!(differ.relation, compare::Relation::Different);
}

/// §3.4.1: the syntax of RFC 2543: no branch, no From tag, no Max-Forwards, no Content-Length.
#[test]
fn a_message_of_the_old_syntax() {
    let message = accepted(
        "
MESSAGE sip:UserB@example.org SIP/2.0
Via: SIP/2.0/UDP gw.example.org
From: <sip:+15550111@client.example.net;user=phone>
Record-Route: <sip:UserB@example.org;maddr=edge.example.org>
To: sip:+15550222@edge.example.net;user=phone
Call-ID: old.1@client.example.net
CSeq: 56 MESSAGE
Content-Type: text/plain",
        b"all octets are the body",
    );
    assert_eq!(message.body(), b"all octets are the body");
    let clauses: Vec<_> = defects(&message)
        .into_iter()
        .map(|(_, clause)| clause)
        .collect();
    assert_eq!(
        clauses,
        ["RFC 3261 §8.1.1", "RFC 3261 §8.1.1.7", "RFC 3261 §8.1.1.3"]
    );
    // Without brackets the parameter is the header's.
    assert_eq!(get::<To>(&message).params.get("user"), Some("phone"));
}
