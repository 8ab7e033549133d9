//! What was received is kept, octet for octet, and each part lies where the index says.

use imspec_wire::sip::{Builder, ContentLength, Header, Message};
use proptest::prelude::*;

use super::generators::message;

proptest! {
    #[test]
    fn an_accepted_message_keeps_every_octet(written in message()) {
        let octets = written.octets();
        let message = Message::parse(octets.clone()).unwrap();
        prop_assert_eq!(message.octets(), &octets);
        prop_assert_eq!(message.headers().count(), written.fields.len());

        // The parts lie side by side, with nothing but line ends between them.
        let mut rebuilt = octets[..message.start_line_range().end].to_vec();
        rebuilt.extend_from_slice(written.line_end.as_bytes());
        for (header, field) in message.headers().zip(&written.fields) {
            prop_assert_eq!(header.name(), &field.name);
            prop_assert_eq!(header.raw_value(), &field.value[..]);
            prop_assert_eq!(&octets[header.value_range()], header.raw_value());
            prop_assert_eq!(header.offset(), rebuilt.len());
            rebuilt.extend_from_slice(header.line());
            rebuilt.extend_from_slice(written.line_end.as_bytes());
        }
        rebuilt.extend_from_slice(written.line_end.as_bytes());
        prop_assert_eq!(message.body_range().start, rebuilt.len());
        rebuilt.extend_from_slice(message.body());
        rebuilt.extend_from_slice(message.surplus());
        prop_assert_eq!(&rebuilt[..], &octets[..]);
        prop_assert_eq!(message.body_bytes(), message.body());
    }

    #[test]
    fn values_are_unfolded_as_meant(written in message()) {
        let message = Message::parse(written.octets()).unwrap();
        for header in message.headers() {
            let value = header.value();
            prop_assert!(!value.contains(&b'\n'));
            let is_space = |o: &u8| matches!(o, b' ' | b'\t' | b'\r' | b'\n');
            prop_assert!(!value.first().is_some_and(is_space));
            prop_assert!(!value.last().is_some_and(is_space));
            let words = |octets: &[u8]| -> Vec<Vec<u8>> {
                octets.split(is_space).filter(|w| !w.is_empty()).map(<[u8]>::to_vec).collect()
            };
            prop_assert_eq!(words(&value), words(header.raw_value()));
        }
    }

    #[test]
    fn what_is_built_is_what_is_read(
        headers in prop::collection::vec(("[A-Za-z-]{2,12}", "[!-~]([ -~]{0,20}[!-~])?"), 0..20),
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut builder = Builder::request("MESSAGE", "sip:bob@example.org");
        for (name, value) in &headers {
            builder = builder.header(name, value);
        }
        let built = builder.content_length(ContentLength::Omit).body(body.clone()).build().unwrap();
        let pair = |h: Header<'_>| (h.name().to_owned(), h.text().into_owned());
        let read: Vec<_> = built.headers().map(pair).collect();
        prop_assert_eq!(read, headers);
        prop_assert_eq!(&built.octets()[built.body_range().start..], &body[..]);
    }
}
