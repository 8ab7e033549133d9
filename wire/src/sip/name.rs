//! Header field names: case, compact forms, the usual spelling.
//!
//! A name is a token, compared without case (RFC 3261 §7.3.1); some have a one-letter form
//! (RFC 3261 §7.3.3 and the extensions that registered one). Names that are not in the table are
//! names like any other, they just have no usual spelling.

/// Long name in its usual spelling and the compact form, if there is one. Sorted by long name
/// without case, so that a look-up is a binary search.
const KNOWN: &[(&str, Option<u8>)] = &[
    ("Accept", None),
    ("Accept-Contact", Some(b'a')),
    ("Accept-Encoding", None),
    ("Accept-Language", None),
    ("Alert-Info", None),
    ("Allow", None),
    ("Allow-Events", Some(b'u')),
    ("Answer-Mode", None),
    ("Authentication-Info", None),
    ("Authorization", None),
    ("Call-ID", Some(b'i')),
    ("Call-Info", None),
    ("Contact", Some(b'm')),
    ("Content-Disposition", None),
    ("Content-Encoding", Some(b'e')),
    ("Content-ID", None),
    ("Content-Language", None),
    ("Content-Length", Some(b'l')),
    ("Content-Transfer-Encoding", None),
    ("Content-Type", Some(b'c')),
    ("CSeq", None),
    ("Date", None),
    ("Error-Info", None),
    ("Event", Some(b'o')),
    ("Expires", None),
    ("Feature-Caps", None),
    ("Flow-Timer", None),
    ("From", Some(b'f')),
    ("Geolocation", None),
    ("History-Info", None),
    ("Identity", Some(b'y')),
    ("Identity-Info", Some(b'n')),
    ("In-Reply-To", None),
    ("Join", None),
    ("Max-Breadth", None),
    ("Max-Forwards", None),
    ("MIME-Version", None),
    ("Min-Expires", None),
    ("Min-SE", None),
    ("Organization", None),
    ("P-Access-Network-Info", None),
    ("P-Asserted-Identity", None),
    ("P-Asserted-Service", None),
    ("P-Associated-URI", None),
    ("P-Called-Party-ID", None),
    ("P-Charging-Function-Addresses", None),
    ("P-Charging-Vector", None),
    ("P-Preferred-Identity", None),
    ("P-Preferred-Service", None),
    ("P-Visited-Network-ID", None),
    ("Path", None),
    ("Priority", None),
    ("Privacy", None),
    ("Proxy-Authenticate", None),
    ("Proxy-Authorization", None),
    ("Proxy-Require", None),
    ("RAck", None),
    ("Reason", None),
    ("Record-Route", None),
    ("Refer-To", Some(b'r')),
    ("Referred-By", Some(b'b')),
    ("Reject-Contact", Some(b'j')),
    ("Replaces", None),
    ("Reply-To", None),
    ("Request-Disposition", Some(b'd')),
    ("Require", None),
    ("Retry-After", None),
    ("Route", None),
    ("RSeq", None),
    ("Security-Client", None),
    ("Security-Server", None),
    ("Security-Verify", None),
    ("Server", None),
    ("Service-Route", None),
    ("Session-Expires", Some(b'x')),
    ("SIP-ETag", None),
    ("SIP-If-Match", None),
    ("Subject", Some(b's')),
    ("Subscription-State", None),
    ("Supported", Some(b'k')),
    ("Suppress-If-Match", None),
    ("Timestamp", None),
    ("To", Some(b't')),
    ("Unsupported", None),
    ("User-Agent", None),
    ("User-to-User", None),
    ("Via", Some(b'v')),
    ("Warning", None),
    ("WWW-Authenticate", None),
];

/// The long name of a compact form (`s` → `Subject`), or the usual spelling of a known name; `None`
/// for a name that is not known. Case does not matter (RFC 3261 §7.3.1).
pub fn canonical(name: &str) -> Option<&'static str> {
    if let [letter] = name.as_bytes() {
        return long_form(*letter);
    }
    KNOWN
        .binary_search_by(|(known, _)| cmp_ignore_case(known, name))
        .ok()
        .map(|at| KNOWN[at].0)
}

/// The one-letter form of a known name, given in any form (RFC 3261 §7.3.3).
pub fn compact(name: &str) -> Option<char> {
    let long = canonical(name)?;
    KNOWN
        .iter()
        .find(|(known, _)| *known == long)
        .and_then(|(_, letter)| letter.map(char::from))
}

/// Whether two names mean the same header field.
pub fn same(a: &str, b: &str) -> bool {
    // The lengths decide almost every call: two long names of different length differ.
    match (a.len(), b.len()) {
        (1, n) if n != 1 => long_form(a.as_bytes()[0]).is_some_and(|l| l.eq_ignore_ascii_case(b)),
        (n, 1) if n != 1 => long_form(b.as_bytes()[0]).is_some_and(|l| l.eq_ignore_ascii_case(a)),
        _ => a.eq_ignore_ascii_case(b),
    }
}

fn long_form(letter: u8) -> Option<&'static str> {
    let letter = letter.to_ascii_lowercase();
    Some(match letter {
        b'a' => "Accept-Contact",
        b'b' => "Referred-By",
        b'c' => "Content-Type",
        b'd' => "Request-Disposition",
        b'e' => "Content-Encoding",
        b'f' => "From",
        b'i' => "Call-ID",
        b'j' => "Reject-Contact",
        b'k' => "Supported",
        b'l' => "Content-Length",
        b'm' => "Contact",
        b'n' => "Identity-Info",
        b'o' => "Event",
        b'r' => "Refer-To",
        b's' => "Subject",
        b't' => "To",
        b'u' => "Allow-Events",
        b'v' => "Via",
        b'x' => "Session-Expires",
        b'y' => "Identity",
        _ => return None,
    })
}

fn cmp_ignore_case(a: &str, b: &str) -> std::cmp::Ordering {
    let lower = |octet: u8| octet.to_ascii_lowercase();
    a.bytes().map(lower).cmp(b.bytes().map(lower))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_sorted_and_agrees_with_the_letters() {
        for pair in KNOWN.windows(2) {
            assert!(cmp_ignore_case(pair[0].0, pair[1].0).is_lt(), "{pair:?}");
        }
        for (name, letter) in KNOWN {
            assert_eq!(canonical(name), Some(*name));
            assert_eq!(compact(name), letter.map(char::from));
            if let Some(letter) = letter {
                assert_eq!(long_form(*letter), Some(*name));
            }
        }
        let letters = (b'a'..=b'z').filter(|l| long_form(*l).is_some()).count();
        assert_eq!(letters, KNOWN.iter().filter(|(_, l)| l.is_some()).count());
    }

    #[test]
    fn names_are_the_same_in_any_case_and_form() {
        assert_eq!(canonical("s"), Some("Subject"));
        assert_eq!(canonical("S"), Some("Subject"));
        assert_eq!(canonical("call-id"), Some("Call-ID"));
        assert_eq!(canonical("X-Vendor"), None);
        assert_eq!(canonical("z"), None);
        assert_eq!(canonical(""), None);
        assert!(same("L", "content-length"));
        assert!(same("VIA", "v"));
        assert!(same("x-vendor", "X-Vendor"));
        assert!(same("z", "Z"));
        assert!(!same("z", "Via"));
        assert!(!same("C%6Fntact", "Contact"));
        assert!(!same("", "Via"));
    }
}
