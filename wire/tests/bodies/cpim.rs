//! `message/cpim`: nothing panics, nothing is lost, what is built is read.

use imspec_wire::cpim::{Address, Builder, DateTime, Limits, Message};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Asks everything of what was accepted.
fn ask(octets: &[u8]) -> Result<(), TestCaseError> {
    let Ok(it) = Message::parse(octets.to_vec()) else {
        return Ok(());
    };
    prop_assert_eq!(it.as_bytes(), octets);
    prop_assert!(octets.ends_with(it.content()) && it.content().ends_with(it.body()));
    let mut end = 0;
    for header in it.headers() {
        prop_assert!(header.offset() >= end);
        end = header.offset() + header.line().len();
        prop_assert_eq!(&octets[header.offset()..end], header.line());
        prop_assert_eq!(&octets[header.value_range()], header.raw_value());
        prop_assert!(header.line().starts_with(header.name().as_bytes()));
        let _ = (
            header.value(),
            header.language(),
            header.prefix(),
            header.namespace(),
        );
    }
    for header in it.content_headers() {
        prop_assert!(header.offset() >= end);
        end = header.offset() + header.line().len();
        prop_assert_eq!(&octets[header.offset()..end], header.line());
        let _ = (header.value(), header.name());
    }
    prop_assert!(end <= octets.len() - it.body().len());
    let _ = (it.from(), it.to(), it.cc(), it.date_time(), it.subjects());
    let _ = (
        it.requirements(),
        it.content_type(),
        it.is_imdn(),
        it.is_composing(),
    );
    for defect in it.defects().into_iter().chain(it.defects_in_msrp()) {
        prop_assert!(defect.range.start <= defect.range.end && defect.range.end <= octets.len());
    }
    Ok(())
}

fn line() -> impl Strategy<Value = &'static str> {
    select(vec![
        "From: Ann <sip:ann@example.org>",
        "To:<sip:bob@example.org>",
        "Subject:;lang=fr;x=\"a b\" pluie\\u00e9\\",
        "NS: imdn <urn:ietf:params:imdn>",
        "NS: <urn:x>",
        "NS: x",
        "imdn.Message-ID: 1",
        "Require: imdn.Message-ID,.x,y.",
        "DateTime: 2026-11-23T09:00:00Z",
        " folded",
        "Content-Type: text/plain",
        "content-id:",
        "no colon",
        "",
        "",
    ])
}

fn text() -> impl Strategy<Value = String> {
    let end = select(vec!["\r\n", "\r\n", "\n", "\r"]);
    vec((line(), end), 0..16).prop_map(|lines| {
        let lines = lines.into_iter().map(|(line, end)| format!("{line}{end}"));
        lines.collect()
    })
}

proptest! {
    #[test]
    fn any_octets(octets in vec(any::<u8>(), 0..400)) {
        ask(&octets)?;
    }

    #[test]
    fn any_lines(text in text(), cut in any::<prop::sample::Index>()) {
        ask(text.as_bytes())?;
        ask(&text.as_bytes()[..cut.index(text.len() + 1)])?;
    }

    #[test]
    fn any_header_value(value in vec(any::<u8>(), 0..60), name in "(From|To|NS|Require|Subject|DateTime)") {
        let octets = [name.as_bytes(), b":", &value, b"\r\n\r\nContent-Type: a/b\r\n\r\n"].concat();
        ask(&octets)?;
    }

    #[test]
    fn limits_are_kept(text in text(), head in 0_usize..200, headers in 0_usize..6) {
        let limits = Limits { head, headers, line: 30, body: 20 };
        if let Ok(it) = Message::parse_with(text, &limits) {
            prop_assert!(it.headers().count() + it.content_headers().count() <= headers);
            prop_assert!(it.headers().all(|header| header.line().len() <= 30));
            prop_assert!(it.content_headers().all(|header| header.line().len() <= 30));
            prop_assert!(it.body().len() <= 20);
        }
    }

    #[test]
    fn what_is_built_is_read(
        name in proptest::option::of("\\PC{1,20}"),
        uri in "[a-z][a-z0-9+.-]{0,5}:[!-;=?-~]{1,20}",
        subject in any::<String>(),
        language in proptest::option::of("[a-z]{2}(-[A-Z]{2})?"),
        seconds in -62_167_219_200_i64..=253_402_300_799,
        nanoseconds in 0_u32..1_000_000_000,
        prefix in "[a-zA-Z]{1,8}",
        body in vec(any::<u8>(), 0..100),
    ) {
        let from = Address { name, uri };
        let sent = DateTime { nanoseconds, ..DateTime::utc(seconds) };
        let it = Builder::new()
            .from(from.to_string())
            .to(format!("<{}>", from.uri))
            .date_time(sent)
            .subject(language.as_deref(), &subject)
            .namespace(&prefix, "urn:ietf:params:imdn")
            .header(format!("{prefix}.Message-ID"), "34jk324j")
            .header("Require", format!("{prefix}.Message-ID"))
            .content("application/octet-stream", body.clone())
            .build()
            .unwrap();
        prop_assert_eq!(it.from().unwrap().unwrap(), from);
        prop_assert_eq!(it.date_time().unwrap().unwrap(), sent);
        let subjects = it.subjects();
        prop_assert_eq!(&subjects[0].language, &language);
        // White space at the end of a line is nobody's, and not of the subject.
        prop_assert_eq!(subjects[0].text.trim_matches(' '), subject.trim_matches(' '));
        prop_assert_eq!(it.imdn("Message-ID").unwrap().raw_value(), b"34jk324j");
        let required = it.requirements();
        prop_assert_eq!(required[0].namespace.as_deref(), Some("urn:ietf:params:imdn"));
        prop_assert_eq!(it.body(), &body[..]);
    }

    #[test]
    fn instants_come_back(seconds in any::<i64>(), nanoseconds in 0_u32..1_000_000_000, offset in -1439_i16..=1439) {
        let instant = DateTime { unix_seconds: seconds, nanoseconds, offset_minutes: Some(offset) };
        let read = DateTime::parse(&instant.to_string()).unwrap();
        let span = -62_167_219_200 + 86_400..253_402_300_799 - 86_400;
        prop_assert!(!span.contains(&seconds) || read == instant);
    }

    #[test]
    fn addresses_never_panic(value in "\\PC{0,40}|[\"\\\\<> a:]{0,12}") {
        if let Ok(read) = Address::parse(&value) {
            prop_assert_eq!(Address::parse(&read.to_string()).unwrap(), read);
        }
    }
}
