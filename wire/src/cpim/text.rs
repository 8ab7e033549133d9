//! The character classes of RFC 3862 §3.6 and its escapes (§2.3).

use std::borrow::Cow;
use std::fmt::Write as _;

/// `SEPARATORS` of §3.1, the full stop not among them.
const fn is_separator(octet: u8) -> bool {
    matches!(
        octet,
        b'(' | b')'
            | b'<'
            | b'>'
            | b'@'
            | b','
            | b';'
            | b':'
            | b'\\'
            | b'"'
            | b'/'
            | b'['
            | b']'
            | b'?'
            | b'='
            | b'{'
            | b'}'
            | b' '
    )
}

/// `NAMECHAR`
pub(super) const fn is_name(octet: u8) -> bool {
    octet.is_ascii_graphic() && !is_separator(octet) && octet != b'.'
}

/// `TOKENCHAR`, in UTF-8.
pub(super) const fn is_token(octet: u8) -> bool {
    octet == b'.' || is_name(octet) || !octet.is_ascii()
}

/// `Header-name`: a name, perhaps with a prefix and a full stop before it.
pub(super) fn is_header_name(name: &[u8]) -> bool {
    let mut parts = name.splitn(2, |octet| *octet == b'.');
    parts.all(|part| !part.is_empty() && part.iter().all(|octet| is_name(*octet)))
}

/// The pieces between the octets `separator` that stand in no string, each with its offset.
pub(super) fn split_unquoted(octets: &[u8], separator: u8) -> impl Iterator<Item = (usize, &[u8])> {
    let mut quotes = Quotes::default();
    let mut offset = 0;
    octets
        .split(move |octet| !quotes.inside(*octet) && *octet == separator)
        .map(move |piece| {
            let start = offset;
            offset += piece.len() + 1;
            (start, piece)
        })
}

/// The place of the first octet `wanted` that stands in no string.
pub(super) fn find_unquoted(octets: &[u8], wanted: u8) -> Option<usize> {
    let mut quotes = Quotes::default();
    octets
        .iter()
        .position(|octet| !quotes.inside(*octet) && *octet == wanted)
}

/// Follows the quotation marks of `String`.
#[derive(Debug, Clone, Default)]
struct Quotes {
    quoted: bool,
    escaped: bool,
}

impl Quotes {
    /// Takes the next octet and says whether it stands in a string; its marks do.
    fn inside(&mut self, octet: u8) -> bool {
        let before = self.quoted;
        match octet {
            _ if self.escaped => self.escaped = false,
            b'\\' if self.quoted => self.escaped = true,
            b'"' => self.quoted = !self.quoted,
            _ => {}
        }
        before || self.quoted
    }
}

/// Resolves the escapes. An unknown one is the character after the backslash, a backslash at the
/// end is nothing (§2.3.1); half a surrogate pair is U+FFFD.
pub(super) fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut meant = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('\\') {
        meant.push_str(plain);
        if let Some((unit, after)) = code_unit(escape) {
            rest = after;
            let low = after.strip_prefix('\\').and_then(code_unit);
            let pair = low.map(|(low, after)| (char::decode_utf16([unit, low]).next(), after));
            if let Some((Some(Ok(character)), after)) = pair
                && character > '\u{ffff}'
            {
                meant.push(character);
                rest = after;
            } else {
                let alone = char::from_u32(u32::from(unit));
                meant.push(alone.unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            continue;
        }
        let mut characters = escape.chars();
        match characters.next() {
            Some('b') => meant.push('\u{8}'),
            Some('t') => meant.push('\t'),
            Some('n') => meant.push('\n'),
            Some('r') => meant.push('\r'),
            Some(other) => meant.push(other),
            None => {}
        }
        rest = characters.as_str();
    }
    meant.push_str(rest);
    Cow::Owned(meant)
}

/// `u` and four hexadecimal digits, with what follows them.
fn code_unit(escape: &str) -> Option<(u16, &str)> {
    let digits = escape.strip_prefix('u')?;
    let (digits, rest) = digits.split_at_checked(4)?;
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    Some((u16::from_str_radix(digits, 16).ok()?, rest))
}

/// Escapes what must be escaped anywhere in a header, and quotation marks where the text will stand
/// between them (§2.3.1).
pub(super) fn escape(text: &str, in_quotes: bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => escaped.push_str("\\\\"),
            '\u{8}' => escaped.push_str("\\b"),
            '\t' => escaped.push_str("\\t"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '"' if in_quotes => escaped.push_str("\\\""),
            character if character.is_ascii_control() => {
                // Writing to a String cannot fail.
                let _ = write!(escaped, "\\u{:04x}", u32::from(character));
            }
            character => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_resolved_as_the_rule_says() {
        for (written, meant) in [
            ("plain", "plain"),
            (r"a\\b", r"a\b"),
            (r"\b\t\n\r\u0007", "\u{8}\t\n\r\u{7}"),
            (r#"\"\'"#, "\"'"),
            (r"\u00e9\u00E9", "éé"),
            (r"\ud83d\ude00!", "😀!"),
            (r"\ud83dx", "\u{fffd}x"),
            (r"\ude00\ud83d", "\u{fffd}\u{fffd}"),
            (r"\ud83d\u0041", "\u{fffd}A"),
            (r"\u12", "u12"),
            (r"\u+123", "u+123"),
            (r"\uéé", "uéé"),
            (r"\x\é", "xé"),
            (r"end\", "end"),
        ] {
            assert_eq!(unescape(written), meant, "{written}");
        }
    }

    #[test]
    fn what_is_escaped_comes_back() {
        let all: String = (0..=0x100).filter_map(char::from_u32).collect();
        for in_quotes in [false, true] {
            let escaped = escape(&all, in_quotes);
            assert!(!escaped.chars().any(|it| it.is_ascii_control()));
            assert_eq!(unescape(&escaped), all);
        }
        assert_eq!(escape("a\"b\u{7f}'", true), "a\\\"b\\u007f'");
        assert_eq!(escape("a\"b", false), "a\"b");
    }

    #[test]
    fn names() {
        for name in ["From", "imdn.Message-ID", "a!#$%&'*+-^_`|~9"] {
            assert!(is_header_name(name.as_bytes()), "{name}");
        }
        for name in ["", ".", "a.", ".a", "a.b.c", "a b", "a@b", "\u{e9}", "a\0"] {
            assert!(!is_header_name(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn quotation_marks_protect() {
        let pieces: Vec<_> = split_unquoted(br#"a;"b;\";c";d"#, b';').collect();
        assert_eq!(pieces, [(0, &b"a"[..]), (2, br#""b;\";c""#), (11, b"d")]);
        assert_eq!(find_unquoted(br#""<" <x>"#, b'<'), Some(4));
        assert_eq!(find_unquoted(br#""<"#, b'<'), None);
    }
}
