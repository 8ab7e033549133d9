//! Whatever comes, nothing panics, errors lie within what was given, and limits are kept.

use imspec_wire::sip::compare::{self, Relation};
use imspec_wire::sip::typed::{
    CSeq, Contact, ContentLengthValue, Expires, From, Host, MaxForwards, MediaType, MinExpires,
    PAssertedIdentity, PPreferredIdentity, RecordRoute, ReplyTo, Route, SipDate, To, TypedHeader,
    Uri, Via, list,
};
use imspec_wire::sip::{Limits, Message};
use proptest::prelude::*;

use super::generators::{message, mutated};

/// Asks for everything that can be asked of a message.
pub(crate) fn ask_for_everything(message: &Message) {
    fn all<T: TypedHeader>(message: &Message) {
        let first = message.typed::<T>().map(|value| value.is_ok());
        let values = message.typed_all::<T>();
        assert_eq!(first, values.first().map(Result::is_ok));
    }
    all::<CSeq>(message);
    all::<Contact>(message);
    all::<ContentLengthValue>(message);
    all::<Expires>(message);
    all::<From>(message);
    all::<MaxForwards>(message);
    all::<MediaType>(message);
    all::<MinExpires>(message);
    all::<PAssertedIdentity>(message);
    all::<PPreferredIdentity>(message);
    all::<RecordRoute>(message);
    all::<ReplyTo>(message);
    all::<Route>(message);
    all::<SipDate>(message);
    all::<To>(message);
    all::<Via>(message);
    if let Some(Ok(uri)) = message.request_uri().map(Uri::parse) {
        assert!(uri.equivalent(&uri));
    }
    let length = message.octets().len();
    for defect in message.defects() {
        assert!(
            defect.range.start <= defect.range.end && defect.range.end <= length,
            "{defect}"
        );
    }
    for header in message.headers() {
        let _ = (header.text(), header.canonical_name(), header.line());
    }
    assert!(message.missing_body() == 0 || message.surplus().is_empty());
}

/// Reads a value as every type there is; errors must lie within the value.
fn read_as_everything(value: &[u8]) {
    fn read<T: TypedHeader>(value: &[u8]) {
        if let Err(error) = T::parse_value(value) {
            assert!(error.offset <= value.len(), "{} {error}", T::NAME);
        }
    }
    read::<CSeq>(value);
    read::<Contact>(value);
    read::<ContentLengthValue>(value);
    read::<Expires>(value);
    read::<From>(value);
    read::<MaxForwards>(value);
    read::<MediaType>(value);
    read::<SipDate>(value);
    read::<Via>(value);
    let _ = SipDate::weekday_is_right(value);
    let _ = Host::parse(value);
    if let Err(error) = Uri::parse(value) {
        assert!(error.offset <= value.len(), "{error}");
    }
    for (at, piece) in list::split(value) {
        assert_eq!(&value[at..at + piece.len()], piece);
    }
}

/// Octets with a taste for what means something in a header.
fn value_octets() -> impl Strategy<Value = Vec<u8>> {
    let octet = prop_oneof![
        4 => prop::sample::select(b"<>\"\\,;:=@/[]()%?&+ \t\r\n*#0123456789abcGMTsip".to_vec()),
        1 => any::<u8>(),
    ];
    prop::collection::vec(octet, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn arbitrary_octets_do_no_harm(octets in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(message) = Message::parse(octets.clone()) {
            ask_for_everything(&message);
        }
        read_as_everything(&octets);
    }

    #[test]
    fn mutated_messages_do_no_harm(octets in mutated(message())) {
        match Message::parse(octets.clone()) {
            Ok(message) => {
                prop_assert_eq!(message.octets(), &octets);
                ask_for_everything(&message);
                let itself = compare::headers(&message, &message);
                prop_assert!(itself.iter().all(|c| c.relation == Relation::Identical));
            }
            Err(error) => prop_assert!(error.offset <= octets.len()),
        }
    }

    #[test]
    fn arbitrary_values_do_no_harm(value in value_octets()) {
        read_as_everything(&value);
    }

    #[test]
    fn arbitrary_values_prefixed_do_no_harm(
        prefix in prop::sample::select(vec![
            "sip:a@b", "<sip:a@b>", "\"A\" <sip:", "SIP/2.0/UDP h", "tel:+1", "text/plain", "1 ",
            "Mon, 01 Jan ", "sip:a@[", "sips:%41",
        ]),
        value in value_octets(),
    ) {
        read_as_everything(&[prefix.as_bytes(), &value].concat());
    }

    #[test]
    fn limits_are_kept(
        written in message(),
        head in 0..600_usize,
        headers in 0..20_usize,
        body in 0..100_usize,
    ) {
        let octets = written.octets();
        let limits = Limits { head, headers, body };
        let whole = Message::parse(octets.clone()).unwrap();
        let start = whole.body_range().start;
        let fits = start <= head && written.fields.len() <= headers && octets.len() - start <= body;
        prop_assert_eq!(Message::parse_with(octets, &limits).is_ok(), fits);
    }
}
