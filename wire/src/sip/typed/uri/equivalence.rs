//! When two URIs are the same.
//!
//! Each part is brought into one form and then compared as it is, which keeps the work in
//! proportion to the length of the URIs, whoever wrote them.

use std::collections::BTreeMap;

use super::{Host, Params, SipUri, Unescape, Uri, is_separator};
use crate::sip::name;

/// A text for comparison: octets, and whether each is a reserved one that was escaped. An escaped
/// octet is the octet itself, unless it is reserved: there the escape takes a meaning away, so it
/// stays a difference (RFC 3261 §19.1.4).
type Part = Vec<(u8, bool)>;

pub(super) fn uris(a: &Uri, b: &Uri) -> bool {
    match (a, b) {
        (Uri::Sip(a), Uri::Sip(b)) => sip_uris(a, b),
        (
            Uri::Tel {
                number: a,
                params: a_params,
            },
            Uri::Tel {
                number: b,
                params: b_params,
            },
        ) => {
            // RFC 3966 §4: both global or both local, the same digits, the same parameters.
            digits(a) == digits(b) && tel_params(a_params) == tel_params(b_params)
        }
        (
            Uri::Other {
                scheme: a,
                rest: a_rest,
            },
            Uri::Other {
                scheme: b,
                rest: b_rest,
            },
        ) => a == b && a_rest == b_rest,
        _ => false,
    }
}

pub(super) fn sip_uris(a: &SipUri, b: &SipUri) -> bool {
    let exact = |text: &Option<String>| text.as_deref().map(|text| part(text, Case::Kept));
    a.secure == b.secure
        && exact(&a.user) == exact(&b.user)
        && exact(&a.password) == exact(&b.password)
        && a.host.same(&b.host)
        && a.port == b.port
        && same_uri_params(&a.params, &b.params)
        && headers(a.headers.as_deref()) == headers(b.headers.as_deref())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    Kept,
    Folded,
}

fn part(text: &str, case: Case) -> Part {
    Unescape::new(text)
        .map(|(octet, escaped)| {
            let octet = if case == Case::Folded {
                octet.to_ascii_lowercase()
            } else {
                octet
            };
            (octet, escaped && is_reserved(octet))
        })
        .collect()
}

/// Parameters that do not match when only one side has them. `transport` is not in that list of RFC
/// 3261 §19.1.4, but the paragraph on default values before it names it, and the examples treat it
/// so.
const NEVER_IGNORED: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];

fn same_uri_params(a: &Params, b: &Params) -> bool {
    let (a, b) = (uri_params(a), uri_params(b));
    let lone = |name: &Part| {
        !NEVER_IGNORED
            .iter()
            .any(|known| part(known, Case::Folded) == *name)
    };
    a.iter().all(|(name, values)| {
        b.get(name)
            .map_or_else(|| lone(name), |other| other == values)
    }) && b.keys().all(|name| a.contains_key(name) || lone(name))
}

/// The values of each name, in order.
fn uri_params(params: &Params) -> BTreeMap<Part, Vec<Option<Part>>> {
    let (method, maddr) = (part("method", Case::Folded), part("maddr", Case::Folded));
    let mut by_name: BTreeMap<Part, Vec<Option<Part>>> = BTreeMap::new();
    for (name, value) in params.iter() {
        let name = part(name, Case::Folded);
        let value = value.map(|value| {
            if name == method {
                // A method is case-sensitive wherever it stands: RFC 3261 §25.1 spells methods in
                // octets.
                part(value, Case::Kept)
            } else if name == maddr {
                let host = Host::parse(value.as_bytes()).map(|host| host.to_string());
                part(host.as_deref().unwrap_or(value), Case::Folded)
            } else {
                part(value, Case::Folded)
            }
        });
        by_name.entry(name).or_default().push(value);
    }
    by_name
}

/// Header values are compared without case unless their header says otherwise (RFC 3261 §7.3.1):
/// Call-IDs do (§20.8), addresses do in their user part, a body is octets, a subject is a text.
const HEADERS_WITH_CASE: &[&str] = &[
    "body",
    "Call-ID",
    "Contact",
    "From",
    "In-Reply-To",
    "Organization",
    "P-Asserted-Identity",
    "Record-Route",
    "Refer-To",
    "Referred-By",
    "Replaces",
    "Reply-To",
    "Route",
    "Subject",
    "To",
];

/// Names and values in a fixed order, which does not matter; nothing is ignored.
fn headers(text: Option<&str>) -> Vec<(String, Part)> {
    let pairs = text
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty());
    let mut headers: Vec<_> = pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let octets: Vec<u8> = Unescape::new(name).map(|(octet, _)| octet).collect();
            let name = String::from_utf8_lossy(&octets).into_owned();
            let name = name::canonical(&name).map_or(name, str::to_owned);
            let with_case = HEADERS_WITH_CASE
                .iter()
                .any(|known| known.eq_ignore_ascii_case(&name));
            let case = if with_case { Case::Kept } else { Case::Folded };
            (name.to_ascii_lowercase(), part(value, case))
        })
        .collect();
    headers.sort();
    headers
}

/// A number without its visual separators, in one case (RFC 3966 §4).
fn digits(number: &str) -> Vec<u8> {
    let significant = number.bytes().filter(|octet| !is_separator(*octet));
    significant
        .map(|octet| octet.to_ascii_lowercase())
        .collect()
}

/// Names and values in a fixed order, which does not matter; nothing is ignored (RFC 3966 §4).
fn tel_params(params: &Params) -> Vec<(String, Option<Part>)> {
    let mut params: Vec<_> = params
        .iter()
        .map(|(name, value)| {
            let name = name.to_ascii_lowercase();
            let value = value.map(|value| {
                let is_number = name == "ext" || name == "phone-context" && value.starts_with('+');
                if is_number {
                    digits(value)
                        .into_iter()
                        .map(|digit| (digit, false))
                        .collect()
                } else {
                    part(value, Case::Folded)
                }
            });
            (name, value)
        })
        .collect();
    params.sort();
    params
}

fn is_reserved(octet: u8) -> bool {
    matches!(
        octet,
        b';' | b'/' | b'?' | b':' | b'@' | b'&' | b'=' | b'+' | b'$' | b','
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "tests")]

    use super::*;

    fn read(text: &str) -> Uri {
        Uri::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn equivalent(a: &str, b: &str) -> bool {
        let (a, b) = (read(a), read(b));
        assert_eq!(a.equivalent(&b), b.equivalent(&a), "symmetric");
        assert!(a.equivalent(&a) && b.equivalent(&b), "reflexive");
        a.equivalent(&b)
    }

    #[test]
    fn examples_of_rfc_3261_19_1_4_that_are_equivalent() {
        for (a, b) in [
            (
                "sip:%61lice@atlanta.com;transport=TCP",
                "sip:alice@AtLanTa.CoM;Transport=tcp",
            ),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
            (
                "sip:carol@chicago.com;newparam=5",
                "sip:carol@chicago.com;security=on",
            ),
            (
                "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
                "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
            ),
            (
                "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
                "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            ),
            (
                "sip:carol@chicago.com",
                "sip:carol@chicago.com;security=off",
            ),
        ] {
            assert!(equivalent(a, b), "{a} {b}");
        }
    }

    #[test]
    fn examples_of_rfc_3261_19_1_4_that_are_not_equivalent() {
        for (a, b) in [
            (
                "SIP:ALICE@AtLanTa.CoM;Transport=udp",
                "sip:alice@AtLanTa.CoM;Transport=UDP",
            ),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            (
                "sip:bob@biloxi.com",
                "sip:bob@biloxi.com:6000;transport=tcp",
            ),
            (
                "sip:carol@chicago.com",
                "sip:carol@chicago.com?Subject=next%20meeting",
            ),
            ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
            (
                "sip:carol@chicago.com;security=on",
                "sip:carol@chicago.com;security=off",
            ),
        ] {
            assert!(!equivalent(a, b), "{a} {b}");
        }
    }

    #[test]
    fn rules_of_rfc_3261_19_1_4() {
        for (a, b, expected) in [
            ("sip:a@b", "sips:a@b", false),
            ("sip:b", "sip:a@b", false),
            ("sip:a:p@b", "sip:a@b", false),
            ("sip:a:p@b", "sip:a:P@b", false),
            ("sip:a:p%71@b", "sip:a:pq@b", true),
            ("sip:a@b;user=phone", "sip:a@b", false),
            ("sip:a@b;ttl=1", "sip:a@b", false),
            ("sip:a@b;method=INVITE", "sip:a@b", false),
            ("sip:a@b;method=INVITE", "sip:a@b;method=invite", false),
            ("sip:a@b;maddr=h", "sip:a@b", false),
            ("sip:a@b;maddr=h", "sip:a@b;maddr=H", true),
            ("sip:a@b;maddr=[::1]", "sip:a@b;maddr=[0:0::1]", true),
            ("sip:a@b;lr", "sip:a@b", true),
            ("sip:a@b;lr", "sip:a@b;%6cR", true),
            ("sip:a@b;lr", "sip:a@b;lr=true", false),
            ("sip:a@b;x=1;x=2", "sip:a@b;x=1", false),
            ("sip:a@b;x=Y", "sip:a@b;X=y", true),
            // Reserved characters and their escapes differ; escapes are decoded once.
            ("sip:a%3Bb@c", "sip:a;b@c", false),
            ("sip:a%3bb@c", "sip:a%3Bb@c", true),
            ("sip:a%2541@c", "sip:aA@c", false),
            ("sip:a%2541@c", "sip:a%25%34%31@c", true),
            ("sip:a@[::1]", "sip:a@[0:0:0:0:0:0:0:1]", true),
            ("sip:a@[::ffff:192.0.2.1]", "sip:a@192.0.2.1", false),
            ("sip:a@b?x=1&x=2", "sip:a@b?x=2&x=1", true),
            ("sip:a@b?x=1&x=1", "sip:a@b?x=1&x=2", false),
            ("sip:a@b?s=Hi", "sip:a@b?Subject=Hi", true),
            ("sip:a@b?s=Hi", "sip:a@b?Subject=hi", false),
            ("sip:a@b?priority=urgent", "sip:a@b?Priority=URGENT", true),
            ("sip:a@b?body=x", "sip:a@b?body=X", false),
        ] {
            assert_eq!(equivalent(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn other_schemes_compare_by_their_own_rules() {
        for (a, b, expected) in [
            ("tel:+1-201-555-0123", "TEL:+12015550123", true),
            ("tel:+1-201-555-0123", "tel:12015550123", false),
            (
                "tel:7042;phone-context=Example.com",
                "tel:70-42;PHONE-context=example.COM",
                true,
            ),
            (
                "tel:7042;phone-context=+1-2",
                "tel:7042;phone-context=+12",
                true,
            ),
            ("tel:+1;ext=1-2;a=b", "tel:+1;A=B;ext=12", true),
            ("tel:+1;ext=1", "tel:+1", false),
            ("tel:+1;a", "tel:+1;a=b", false),
            ("tel:aF*", "tel:Af*", true),
            ("IM:a@b", "im:a@b", true),
            ("im:a@b", "im:a@B", false),
            ("im:a@b", "sip:a@b", false),
        ] {
            assert_eq!(equivalent(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn long_parameter_lists_take_no_longer_than_their_length() {
        let many: String = (0..20_000)
            .flat_map(|n| [";p".to_owned(), n.to_string()])
            .collect();
        let reversed: String = (0..20_000)
            .rev()
            .flat_map(|n| [";P".to_owned(), n.to_string()])
            .collect();
        assert!(equivalent(
            &format!("sip:a@b{many}"),
            &format!("sip:a@b{reversed}")
        ));
    }
}
