//! RFC 5118: IPv6 addresses wherever a message may hold them.

use std::net::IpAddr;

use imspec_wire::sip::typed::{Contact, Host, To, Uri, Via};

use super::{accepted, all, get, one_defect, valid};

fn request(uri: &str, via: &str) -> String {
    format!(
        "
OPTIONS {uri} SIP/2.0
To: sip:user@example.org
From: sip:user@example.net;tag=81x2
Via: SIP/2.0/UDP {via}
Call-ID: ipv6.1@host_4100
Max-Forwards: 70
Contact: \"Caller\" <sip:caller@[2001:db8::1]>
CSeq: 98176 OPTIONS
Content-Length: 0"
    )
}

const VIA: &str = "[2001:db8::9:1];branch=z9hG4bKas3-111";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn target(uri: &str) -> (IpAddr, Option<u16>) {
    let message = valid(&request(uri, VIA), b"");
    let uri = Uri::parse(message.request_uri().unwrap()).unwrap();
    let sip = uri.as_sip().unwrap();
    let Host::Ip(address) = sip.host else {
        panic!("an address")
    };
    (address, sip.port)
}

/// §4.1, §4.3, §4.4: what is in the brackets is address, what follows is port.
#[test]
fn references_and_ports() {
    assert_eq!(target("sip:[2001:db8::10]"), (ip("2001:db8::10"), None));
    assert_eq!(
        target("sip:[2001:db8::10:5070]"),
        (ip("2001:db8::10:5070"), None)
    );
    assert_eq!(
        target("sip:[2001:db8::10]:5070"),
        (ip("2001:db8::10"), Some(5070))
    );
    assert_eq!(
        target("sips:u%40@[2001:DB8:0:0::10]:1"),
        (ip("2001:db8::10"), Some(1))
    );
    let message = valid(&request("sip:[2001:db8::10]", VIA), b"");
    let Contact::Address(contact) = get::<Contact>(&message) else {
        panic!("an address")
    };
    assert_eq!(contact.uri.to_string(), "sip:caller@[2001:db8::1]");
    assert_eq!(get::<Via>(&message).host, Host::Ip(ip("2001:db8::9:1")));
}

/// §4.2: without brackets it is no host.
#[test]
fn references_without_brackets() {
    let (octets, clause) = one_defect(&request("sip:2001:db8::10", VIA), b"");
    assert_eq!(
        (octets.as_str(), clause),
        ("2001:db8::10", "RFC 3261 §25.1")
    );
    let (octets, _) = one_defect(
        &request("sip:[2001:db8::10]", "2001:db8::9:1;branch=z9hG4bK1"),
        b"",
    );
    assert_eq!(octets, "2001:db8::9:1;branch=z9hG4bK1");
}

/// §4.5: the received parameter comes with and without brackets.
#[test]
fn received_in_both_forms() {
    for received in ["[2001:db8::9:255]", "2001:db8::9:255"] {
        let via = format!("[2001:db8::9:1];received={received};branch=z9hG4bKas3");
        let via: Via = get(&valid(&request("sip:[2001:db8::10]", &via), b""));
        assert_eq!(via.received(), Some(ip("2001:db8::9:255")));
        assert_eq!(via.params.get("received"), Some(received));
    }
}

/// §4.6, §4.8: a body may hold addresses as it likes.
#[test]
fn addresses_in_a_body() {
    let body = b"v=0\r\no=- 1 1 IN IP6 2001:db8::20\r\ns= \r\nc=IN IP6 2001:db8::20\r\nt=0 0\r\n";
    let head = request("sip:user@[2001:db8::10]", VIA).replace(
        "Content-Length: 0",
        &format!(
            "Content-Type: application/sdp\nContent-Length: {}",
            body.len()
        ),
    );
    assert_eq!(valid(&head, body).body(), body);
}

/// §4.7: both families in one list.
#[test]
fn mixed_addresses() {
    let via = "[2001:db8::9:1]:6050;branch=z9hG4bKa1
Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKb2,
 SIP/2.0/TCP [2001:db8::9:255];branch=z9hG4bKc3;received=192.0.2.200";
    let vias: Vec<Via> = all(&valid(&request("sip:user@host.example.org", via), b""));
    let seen: Vec<_> = vias
        .iter()
        .map(|via| (via.host.to_string(), via.port, via.received()))
        .collect();
    assert_eq!(
        seen,
        [
            ("[2001:db8::9:1]".to_owned(), Some(6050), None),
            ("192.0.2.1".to_owned(), None, None),
            (
                "[2001:db8::9:255]".to_owned(),
                None,
                Some(ip("192.0.2.200"))
            ),
        ]
    );
}

/// §4.9: IPv4-mapped addresses stay IPv6.
#[test]
fn mapped_addresses() {
    let via = "[::ffff:192.0.2.10]:19823;branch=z9hG4bKbh19";
    let via: Via = get(&valid(&request("sip:user@example.org", via), b""));
    assert_eq!(
        (via.host, via.port),
        (Host::Ip(ip("::ffff:192.0.2.10")), Some(19823))
    );
    let read = |text: &str| Uri::parse(text.as_bytes()).unwrap();
    assert!(!read("sip:a@[::ffff:192.0.2.10]").equivalent(&read("sip:a@192.0.2.10")));
    assert!(read("sip:a@[::ffff:192.0.2.10]").equivalent(&read("sip:a@[::FFFF:c000:20a]")));
}

/// §4.10: the colon too many that the grammar of RFC 3261 allows.
#[test]
fn three_colons() {
    let message = accepted(&request("sip:user@[2001:db8:::192.0.2.1]", VIA), b"");
    let three = Uri::parse(message.request_uri().unwrap()).unwrap();
    let two = Uri::parse(b"sip:user@[2001:db8::192.0.2.1]").unwrap();
    assert!(three.equivalent(&two));
    assert_eq!(
        message.request_uri(),
        Some(&b"sip:user@[2001:db8:::192.0.2.1]"[..])
    );
    assert!(get::<To>(&message).uri.as_sip().is_some());
}
