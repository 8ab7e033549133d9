//! Comma lists, and which headers are none.

use crate::sip::text::{is_lws, trim};

/// Splits at the commas that separate values: not in quoted strings and not in angle brackets.
/// Gives the trimmed pieces and their offsets; an empty value is one empty piece.
///
/// Parentheses do not count: in list headers they are ordinary text, as in `sip:a(b@example.com`
/// (RFC 3261 §25.1 has comments only where a header defines them, and no list header does).
pub fn split(value: &[u8]) -> Vec<(usize, &[u8])> {
    let mut pieces = Vec::new();
    let mut start = 0;
    loop {
        let end = start + piece_length(&value[start..]);
        pieces.push(trimmed(value, start, end));
        if end >= value.len() {
            return pieces;
        }
        start = end + 1;
    }
}

/// The first piece that [`split`] gives.
pub fn first(value: &[u8]) -> (usize, &[u8]) {
    trimmed(value, 0, piece_length(value))
}

/// Whether a comma separates values in this header (RFC 3261 §7.3.1): not in Date, Subject and
/// other text headers, nor in the authentication headers. Unknown headers are taken as lists only
/// in comparison.
pub fn is_list_header(canonical_name: &str) -> bool {
    LISTS
        .iter()
        .any(|list| list.eq_ignore_ascii_case(canonical_name))
}

const LISTS: &[&str] = &[
    "Accept",
    "Accept-Contact",
    "Accept-Encoding",
    "Accept-Language",
    "Alert-Info",
    "Allow",
    "Allow-Events",
    "Authentication-Info",
    "Call-Info",
    "Contact",
    "Content-Encoding",
    "Content-Language",
    "Error-Info",
    "Feature-Caps",
    "Geolocation",
    "History-Info",
    "In-Reply-To",
    "P-Asserted-Identity",
    "P-Associated-URI",
    "P-Preferred-Identity",
    "Path",
    "Proxy-Require",
    "Reason",
    "Record-Route",
    "Reject-Contact",
    "Request-Disposition",
    "Require",
    "Route",
    "Security-Client",
    "Security-Server",
    "Security-Verify",
    "Service-Route",
    "Supported",
    "Unsupported",
    "Via",
    "Warning",
];

/// Octets up to the first comma that separates, or all.
fn piece_length(value: &[u8]) -> usize {
    let (mut quoted, mut bracketed) = (false, false);
    let mut octets = value.iter().enumerate();
    while let Some((at, octet)) = octets.next() {
        match octet {
            b'\\' if quoted => {
                octets.next();
            }
            b'"' if !bracketed => quoted = !quoted,
            b'<' if !quoted => bracketed = true,
            b'>' if !quoted => bracketed = false,
            b',' if !quoted && !bracketed => return at,
            _ => {}
        }
    }
    value.len()
}

fn trimmed(value: &[u8], start: usize, end: usize) -> (usize, &[u8]) {
    let piece = &value[start..end];
    let skip = piece.iter().position(|o| !is_lws(*o)).unwrap_or(0);
    (start + skip, trim(piece))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::name;

    fn pieces(value: &str) -> Vec<(usize, String)> {
        split(value.as_bytes())
            .into_iter()
            .map(|(at, piece)| (at, String::from_utf8_lossy(piece).into_owned()))
            .collect()
    }

    #[test]
    fn splits_only_where_a_comma_separates() {
        let text = r#""A, \", B" <sip:a,b@x> ;q="1,2" ,<sip:c@d>,,  sip:e(@f"#;
        let found = pieces(text);
        for (at, piece) in &found {
            assert!(text[*at..].starts_with(piece.as_str()));
        }
        let texts: Vec<_> = found.into_iter().map(|(_, piece)| piece).collect();
        assert_eq!(
            texts,
            [
                r#""A, \", B" <sip:a,b@x> ;q="1,2""#,
                "<sip:c@d>",
                "",
                "sip:e(@f"
            ]
        );
        assert_eq!(pieces(""), [(0, String::new())]);
        assert_eq!(pieces("a,"), [(0, "a".to_owned()), (2, String::new())]);
        assert_eq!(pieces(r#"a"b,c"#).len(), 1);
        assert_eq!(pieces("a<b,c").len(), 1);
        assert_eq!(first(b" \"a,b\" , c"), (1, &b"\"a,b\""[..]));
    }

    #[test]
    fn lists_are_known_names() {
        for list in LISTS {
            assert_eq!(name::canonical(list), Some(*list));
            assert!(is_list_header(list));
        }
        for single in [
            "Date",
            "Subject",
            "From",
            "To",
            "Authorization",
            "User-Agent",
            "X-Any",
        ] {
            assert!(!is_list_header(single));
        }
    }
}
