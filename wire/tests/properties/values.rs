//! URIs, addresses, dates and numbers: writing and reading are inverse, equivalence keeps its laws.

use imspec_wire::sip::typed::{Expires, NameAddr, SipDate, TypedHeader, Uri, list};
use proptest::prelude::*;

use super::generators::{escaped_somewhere, letters_in_any_case, sip_uri};

proptest! {
    #[test]
    fn uris_are_shown_as_they_are_read(text in sip_uri()) {
        let uri = Uri::parse(text.as_bytes()).unwrap();
        prop_assert_eq!(Uri::parse(uri.to_string().as_bytes()).unwrap(), uri.clone());
        prop_assert!(uri.equivalent(&uri));
        let again = uri.as_sip().unwrap().aor_key();
        let key = Uri::parse(again.as_bytes()).unwrap();
        prop_assert_eq!(key.as_sip().unwrap().aor_key(), again);
    }

    #[test]
    fn escapes_and_case_make_no_other_uri(
        user in "[a-zA-Z0-9._~-]{1,10}",
        (host, other_host) in letters_in_any_case("[a-z]{1,8}(\\.[a-z]{1,8}){0,2}"),
        (param, other_param) in letters_in_any_case(";[a-z]{6,9}=[a-z0-9]{1,5}"),
        (escaped, seed) in (any::<u64>(), any::<u64>()),
    ) {
        let read = |text: String| Uri::parse(text.as_bytes()).unwrap();
        let plain = read(format!("sip:{user}@{host}{param}"));
        let other = read(format!(
            "SIP:{}@{other_host}{}",
            escaped_somewhere(&user, escaped),
            other_param,
        ));
        prop_assert!(plain.equivalent(&other) && other.equivalent(&plain), "{plain} {other}");
        let key = |uri: &Uri| uri.as_sip().unwrap().aor_key();
        prop_assert_eq!(key(&plain), key(&other));
        // Another user is another URI.
        let stranger = read(format!("sip:{user}{}@{host}{param}", seed % 10));
        prop_assert!(!plain.equivalent(&stranger));
        prop_assert_ne!(key(&plain), key(&stranger));
    }

    #[test]
    fn equivalence_is_symmetric_and_implies_the_same_aor(a in sip_uri(), b in sip_uri()) {
        let (a, b) = (Uri::parse(a.as_bytes()).unwrap(), Uri::parse(b.as_bytes()).unwrap());
        prop_assert_eq!(a.equivalent(&b), b.equivalent(&a));
        if a.equivalent(&b) {
            prop_assert_eq!(a.as_sip().unwrap().aor_key(), b.as_sip().unwrap().aor_key());
        }
    }

    #[test]
    fn any_display_name_survives_quoting(name in "[^\\p{Cc}]{1,20}", tag in "[a-z0-9]{1,8}") {
        let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
        prop_assume!(quoted.chars().all(|c| !c.is_control()));
        let value = format!("\"{quoted}\" <sip:a@b;x>;tag={tag}");
        let address = NameAddr::parse(value.as_bytes()).unwrap();
        prop_assert_eq!(address.display_name.as_deref(), Some(name.as_str()));
        prop_assert_eq!(address.tag(), Some(tag.as_str()));
        // And does not disturb the list in which it stands.
        let listed = format!("<sip:c@d>, {value}, {value}");
        prop_assert_eq!(list::split(listed.as_bytes()).len(), 3);
    }

    #[test]
    fn dates_are_read_as_they_are_written(
        unix_seconds in SipDate::MIN.unix_seconds..=SipDate::MAX.unix_seconds,
    ) {
        let date = SipDate { unix_seconds };
        let text = date.format();
        prop_assert_eq!(SipDate::parse_value(text.as_bytes()), Ok(date));
        prop_assert_eq!(SipDate::weekday_is_right(text.as_bytes()), Ok(true));
    }

    #[test]
    fn any_instant_can_be_written(unix_seconds in any::<i64>()) {
        let text = SipDate { unix_seconds }.format();
        prop_assert_eq!(SipDate::parse_value(text.as_bytes()).unwrap().format(), text);
    }

    #[test]
    fn expires_holds_its_whole_range(seconds in any::<u32>(), zeros in 0..5_usize) {
        let text = format!("{}{seconds}", "0".repeat(zeros));
        prop_assert_eq!(Expires::parse_value(text.as_bytes()), Ok(Expires(seconds)));
        let over = format!("{}", u64::from(seconds) + (1 << 32));
        prop_assert_eq!(Expires::parse_value(over.as_bytes()).unwrap_err().offset, 0);
    }
}
