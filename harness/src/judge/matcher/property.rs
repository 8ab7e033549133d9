//! Named properties: what `is: message-id` and the like ask of a value.

use imspec_reports::record::Verdict;
use imspec_wire::msrp;
use imspec_wire::sip::typed::{SipDate, TypedHeader, Uri};
use regex::bytes::Regex;

use crate::judge::Context;
use crate::judge::outcome::{Observed, Ruling, Seen};
use crate::scenario::model::Property;

/// What it asks, for a sentence.
pub(super) fn property_words(property: Property) -> &'static str {
    match property {
        Property::MessageId => "a Message-ID: a string, one @, a host, no white space",
        Property::MessageIdHost => "a Message-ID whose host is that of the message store",
        Property::SipDate => "a date as RFC 3261 §20.17 writes it, in GMT",
        Property::Uri => "a URI",
        Property::MsrpId => "an identifier of MSRP (RFC 4975 §9)",
        Property::MsrpUri => "a URI of MSRP (RFC 4975 §6)",
    }
}

/// Whether all values seen have it.
pub(super) fn property_holds(property: Property, seen: &[Seen], context: Context<'_>) -> Ruling {
    let observed = words_of(seen);
    let expected = property_words(property);
    let all = |holds: &dyn Fn(&[u8]) -> bool| {
        !seen.is_empty() && seen.iter().all(|one| holds(&one.value))
    };
    match property {
        Property::SipDate => Ruling::of(
            all(&|v| SipDate::parse_value(v).is_ok()),
            expected,
            observed,
        ),
        Property::Uri => Ruling::of(all(&|v| Uri::parse(v).is_ok()), expected, observed),
        Property::MsrpId => Ruling::of(all(&is_msrp_id), expected, observed),
        Property::MsrpUri => Ruling::of(all(&|v| msrp::Uri::parse(v).is_ok()), expected, observed),
        Property::MessageIdHost => {
            let declared = context.pics.get("mid.host").and_then(|v| v.as_str());
            let pattern = declared.unwrap_or(HOST);
            match Regex::new(&format!("^(?:{pattern})$")) {
                Err(why) => Ruling::new(
                    Verdict::Inconclusive,
                    expected,
                    format!("PICS mid.host is no regular expression: {why}"),
                ),
                Ok(regex) => {
                    let holds =
                        all(&|v| MessageId::parse(v).is_some_and(|id| regex.is_match(id.host)));
                    Ruling::of(holds, format!("{expected}: /{pattern}/"), observed)
                }
            }
        }
        Property::MessageId => {
            let Some(ids) = seen
                .iter()
                .map(|one| MessageId::parse(&one.value))
                .collect::<Option<Vec<_>>>()
            else {
                return Ruling::new(Verdict::Fail, expected, observed);
            };
            let Some(first) = ids.first() else {
                return Ruling::new(Verdict::Fail, expected, "nothing");
            };
            match context.pics.get("mid.form").and_then(|v| v.as_str()) {
                Some(declared) if ids.iter().any(|id| id.form != declared) => Ruling {
                    mismatch: true,
                    ..Ruling::new(
                        Verdict::Fail,
                        format!("the declared form `{declared}`"),
                        observed,
                    )
                    .note(format!(
                        "the form seen, `{}`, is a legal reading (WD-16), but not the declared one",
                        first.form
                    ))
                },
                Some(_) => Ruling::new(Verdict::Pass, expected, observed),
                None => Ruling::new(Verdict::Pass, expected, observed)
                    .note(format!("form `{}` (WD-16)", first.form)),
            }
        }
    }
}

/// RFC 4975 §9: 4 to 32 characters, the first a letter or digit.
fn is_msrp_id(value: &[u8]) -> bool {
    let may_stand = |octet: &u8| octet.is_ascii_alphanumeric() || b".-+%=".contains(octet);
    (4..=32).contains(&value.len())
        && value[0].is_ascii_alphanumeric()
        && value.iter().all(may_stand)
}

/// Whether an octet may stand in the user part of a SIP URI, if only to escape another (RFC 3261 §25.1).
fn is_of_user_part(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/%".contains(&octet)
}

/// Host part of a Message-ID where the profile says nothing (WD-17).
const HOST: &str = r"[A-Za-z0-9][A-Za-z0-9-]*(\.[A-Za-z0-9-]+)+";

/// The parts of a Message-ID in any of the forms of WD-16.
struct MessageId<'v> {
    form: &'static str,
    host: &'v [u8],
}

impl<'v> MessageId<'v> {
    fn parse(value: &'v [u8]) -> Option<Self> {
        let value = value.trim_ascii();
        if value.iter().any(u8::is_ascii_whitespace) {
            return None;
        }
        let angle = value.strip_prefix(b"<").and_then(|v| v.strip_suffix(b">"));
        let (form, rest) = match (angle, value.get(..4)) {
            (Some(rest), _) => ("angle", rest),
            (None, Some(scheme)) if scheme.eq_ignore_ascii_case(b"sip:") => {
                match value[4..].strip_prefix(b"Message-ID=") {
                    Some(rest) => ("sip-uri-param", rest),
                    None => ("sip-uri", &value[4..]),
                }
            }
            _ => ("bare", value),
        };
        let at = rest.iter().position(|octet| *octet == b'@')?;
        let (string, host) = (&rest[..at], &rest[at + 1..]);
        let user = !form.starts_with("sip") || string.iter().copied().all(is_of_user_part);
        let whole = user && !string.is_empty() && !host.is_empty() && !host.contains(&b'@');
        whole.then_some(Self { form, host })
    }
}

/// What makes two Message-IDs the same: String exactly, host without case (WD-18); the wrapping does not
/// count. Other values are themselves.
pub(super) fn identity(value: &[u8]) -> Vec<u8> {
    match MessageId::parse(value) {
        Some(id) => {
            let value = value.trim_ascii();
            let bare = value
                .strip_prefix(b"<")
                .and_then(|v| v.strip_suffix(b">"))
                .unwrap_or(value);
            let bare = if id.form.starts_with("sip") {
                &bare[4..]
            } else {
                bare
            };
            let bare = bare.strip_prefix(b"Message-ID=").unwrap_or(bare);
            let at = bare.len() - id.host.len();
            [&bare[..at], &bare[at..].to_ascii_lowercase()].concat()
        }
        None => value.to_vec(),
    }
}

fn words_of(seen: &[Seen]) -> String {
    Observed::Known(seen.to_vec()).in_words()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(id: &str) -> Option<&'static str> {
        MessageId::parse(id.as_bytes()).map(|id| id.form)
    }

    #[test]
    fn every_form_of_wd_16_is_a_message_id() {
        assert_eq!(form("13684434990@mailserver32.example.org"), Some("bare"));
        assert_eq!(form("sip:abc@ms.example.org"), Some("sip-uri"));
        assert_eq!(
            form("sip:Message-ID=abc@ms.example.org"),
            Some("sip-uri-param")
        );
        assert_eq!(form("<abc@ms.example.org>"), Some("angle"));
        assert_eq!(form("  abc@ms.example.org "), Some("bare"));
        assert_eq!(form("\"a\"@ms.example.org"), Some("bare"));
        assert_eq!(form("sip:a%20b@ms.example.org"), Some("sip-uri"));
    }

    #[test]
    fn what_lacks_a_part_or_holds_white_space_is_none() {
        for id in [
            "",
            "abc",
            "@host.example",
            "abc@",
            "a b@host.example",
            "a@b@host.example",
            "sip: Message-ID= a@h.example",
            "sip:\"a\"@h.example",
            "sip:Message-ID=ü@h.example",
        ] {
            assert_eq!(form(id), None, "{id}");
        }
    }

    #[test]
    fn message_ids_differ_by_string_exactly_and_by_host_without_case() {
        assert_eq!(
            identity(b"abc@MS.example.org"),
            identity(b"abc@ms.EXAMPLE.org")
        );
        assert_eq!(
            identity(b"<abc@ms.example.org>"),
            identity(b"sip:abc@ms.example.org")
        );
        assert_ne!(
            identity(b"abc@ms.example.org"),
            identity(b"ABC@ms.example.org")
        );
    }

    #[test]
    fn an_identifier_of_msrp_has_4_to_32_characters() {
        for (id, is_one) in [
            ("a1b2", true),
            ("9.-+%=", true),
            ("abc", false),
            (".abc", false),
            ("a@host.example", false),
            ("a234567890123456789012345678901x", true),
            ("a234567890123456789012345678901xy", false),
        ] {
            assert_eq!(is_msrp_id(id.as_bytes()), is_one, "{id}");
        }
    }
}
