//! A second opinion: on plain messages, where `rsip` 0.4 is known to be right, it reads the same
//! values as this crate. What it is known to read wrong is left out here and written down in
//! `imspec_wire::sip::rsip`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

#[path = "../benches/inputs/mod.rs"]
mod inputs;

use imspec_wire::sip::typed::{CSeq, Contact, From, Host, To, Uri, Via};
use imspec_wire::sip::{Message, StartLine};
use proptest::prelude::*;
use rsip::SipMessage;
use rsip::param::{Branch, Tag};
use rsip::prelude::{HasHeaders, HeadersExt, ToTypedHeader, UntypedHeader};

/// Asserts that both parsers read the same out of a message that both must take.
fn agree(octets: &[u8]) {
    let ours = Message::parse(octets.to_vec()).unwrap();
    let theirs = SipMessage::try_from(octets).unwrap();

    match (ours.start_line(), &theirs) {
        (StartLine::Request { method, uri, .. }, SipMessage::Request(request)) => {
            assert_eq!(method, request.method.to_string());
            same_uri(&Uri::parse(uri).unwrap(), &request.uri);
        }
        (StartLine::Response { status, .. }, SipMessage::Response(response)) => {
            assert_eq!(status, response.status_code.code());
        }
        (ours, theirs) => panic!("{ours:?} {theirs}"),
    }
    // The number of fields, and each value, in order.
    let values: Vec<_> = theirs
        .headers()
        .iter()
        .map(|header| {
            header
                .to_string()
                .split_once(": ")
                .map(|(_, v)| v.to_owned())
                .unwrap()
        })
        .collect();
    let mine: Vec<_> = ours
        .headers()
        .map(|header| header.text().into_owned())
        .collect();
    assert_eq!(mine, values);

    let call_id = ours.header("Call-ID").unwrap();
    assert_eq!(call_id.text(), theirs.call_id_header().unwrap().value());

    let (mine, yours) = (
        ours.typed::<CSeq>().unwrap().unwrap(),
        theirs.cseq_header().unwrap(),
    );
    let yours = yours.typed().unwrap();
    assert_eq!(
        (mine.number, mine.method),
        (yours.seq, yours.method.to_string())
    );

    let mine = ours.typed::<From>().unwrap().unwrap();
    let yours = theirs.from_header().unwrap().typed().unwrap();
    assert_eq!(mine.tag(), yours.tag().map(Tag::value));
    same_display_name(mine.display_name.as_deref(), yours.display_name.as_deref());
    same_uri(&mine.uri, &yours.uri);

    let mine = ours.typed::<To>().unwrap().unwrap();
    let yours = theirs.to_header().unwrap().typed().unwrap();
    assert_eq!(mine.tag(), yours.tag().map(Tag::value));
    same_display_name(mine.display_name.as_deref(), yours.display_name.as_deref());
    same_uri(&mine.uri, &yours.uri);

    let mine = ours.typed::<Via>().unwrap().unwrap();
    let yours = theirs.via_header().unwrap().typed().unwrap();
    assert_eq!(mine.branch(), yours.branch().map(Branch::value));
    assert_eq!(mine.transport, yours.transport.to_string());
    same_host(&mine.host, yours.uri.host());
    assert_eq!(mine.port, yours.uri.port().map(|port| *port.value()));
    assert_eq!(mine.params.len(), yours.params.len());

    if let Some(contact) = ours.typed::<Contact>() {
        let Contact::Address(mine) = contact.unwrap() else {
            panic!("an address")
        };
        let yours = theirs.contact_header().unwrap().typed().unwrap();
        same_uri(&mine.uri, &yours.uri);
        assert_eq!(
            mine.params.get("expires"),
            yours.expires().map(rsip::param::Expires::value)
        );
    }
}

fn same_uri(mine: &Uri, yours: &rsip::Uri) {
    let mine = mine.as_sip().unwrap();
    assert_eq!(mine.secure, yours.is_sips().unwrap());
    assert_eq!(mine.user.as_deref(), yours.user());
    let password = yours
        .auth
        .as_ref()
        .and_then(|auth| auth.password.as_deref());
    assert_eq!(mine.password.as_deref(), password);
    same_host(&mine.host, yours.host());
    assert_eq!(mine.port, yours.port().map(|port| *port.value()));
    assert_eq!(mine.params.len(), yours.params.len());
}

fn same_host(mine: &Host, yours: &rsip::Host) {
    match (mine, yours) {
        (Host::Name(mine), rsip::Host::Domain(yours)) => assert_eq!(*mine, yours.to_string()),
        (Host::Ip(mine), rsip::Host::IpAddr(yours)) => assert_eq!(mine, yours),
        _ => panic!("{mine:?} {yours:?}"),
    }
}

/// It keeps the quotation marks; in the plain subset there is no escape between them.
fn same_display_name(mine: Option<&str>, yours: Option<&str>) {
    let bare = yours
        .map(|name| name.trim_matches('"'))
        .filter(|name| !name.is_empty());
    assert_eq!(mine, bare);
}

/// `sip:` and `sips:` with what `rsip` reads right: no dots in the user, no IPv6, no headers.
fn uri() -> impl Strategy<Value = String> {
    let user = "([a-z0-9+_~!*'()-]{1,8}(:[a-z0-9]{1,4})?@)?";
    let host = prop_oneof![
        "[a-z][a-z0-9]{0,6}(\\.[a-z]{2,5}){0,2}",
        "(1[0-9]{0,2}\\.){3}[1-9][0-9]?",
    ];
    let port = prop_oneof![
        Just(String::new()),
        (1..=65535_u16).prop_map(|p| format!(":{p}"))
    ];
    let params = prop::sample::select(vec![
        "",
        ";lr",
        ";transport=tcp",
        ";transport=UDP;x=1",
        ";user=phone",
        ";a;b=c",
    ]);
    ("sips?:", user, host, port, params).prop_map(|(scheme, user, host, port, params)| {
        [&scheme, &user, &host, &port, params].concat()
    })
}

fn address() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        Just(String::new()),
        "[A-Z][a-z]{0,6}( [A-Z][a-z]{0,6})? ",
        "\"[A-Za-z ,.]{1,10}[a-z]\" "
    ];
    let tag = prop_oneof![
        Just(String::new()),
        "(;tag=[a-zA-Z0-9.!%*_+`'~-]{1,12})(;[a-z]{1,5}=[a-z0-9]{1,5})?"
    ];
    (name, uri(), tag).prop_map(|(name, uri, tag)| format!("{name}<{uri}>{tag}"))
}

fn via() -> impl Strategy<Value = String> {
    let transport = prop::sample::select(vec!["UDP", "TCP", "TLS", "SCTP", "WS", "WSS"]);
    let host = "[a-z][a-z0-9-]{0,6}[a-z0-9](\\.[a-z]{2,5}){0,2}|(1[0-9]{0,2}\\.){3}[1-9][0-9]?";
    let params =
        "(;rport)?;branch=z9hG4bK[a-zA-Z0-9.!%*_+`'~-]{1,12}(;received=10\\.0\\.0\\.[1-9])?";
    (transport, host, prop::option::of(1..=65535_u16), params).prop_map(
        |(transport, host, port, params)| {
            let port = port.map(|port| format!(":{port}")).unwrap_or_default();
            format!("SIP/2.0/{transport} {host}{port}{params}")
        },
    )
}

fn plain_message() -> impl Strategy<Value = Vec<u8>> {
    let methods = vec![
        "INVITE",
        "ACK",
        "BYE",
        "CANCEL",
        "REGISTER",
        "OPTIONS",
        "MESSAGE",
        "SUBSCRIBE",
        "NOTIFY",
    ];
    let start = (
        prop::sample::select(methods),
        uri(),
        prop::option::of(100..700_u16),
    );
    let others = prop::collection::vec(("X-[A-Za-z]{1,8}", "[!-~]([ -~]{0,20}[!-~])?"), 0..4);
    let body = prop::collection::vec(any::<u8>(), 0..50);
    (
        start,
        (
            prop::collection::vec(via(), 1..3),
            address(),
            address(),
            prop::option::of(address()),
        ),
        ("[!-~]{1,20}", any::<u32>()),
        others,
        body,
    )
        .prop_map(
            |(
                (method, uri, status),
                (vias, from, to, contact),
                (call_id, number),
                others,
                body,
            )| {
                let start = match status {
                    Some(status) => format!("SIP/2.0 {status} As You Like"),
                    None => format!("{method} {uri} SIP/2.0"),
                };
                let mut lines = vec![start];
                lines.extend(vias.iter().map(|via| format!("Via: {via}")));
                lines.push(format!(
                    "From: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {number} {method}"
                ));
                lines.extend(contact.map(|contact| format!("Contact: {contact}")));
                lines.extend(
                    others
                        .iter()
                        .map(|(name, value)| format!("{name}: {value}")),
                );
                lines.push(format!("Content-Length: {}\r\n\r\n", body.len()));
                [lines.join("\r\n").into_bytes(), body].concat()
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn plain_messages_are_read_alike(octets in plain_message()) {
        agree(&octets);
    }
}

#[test]
fn the_messages_of_the_bench_are_read_alike() {
    for (_, text) in inputs::ALL {
        agree(text.as_bytes());
    }
}
