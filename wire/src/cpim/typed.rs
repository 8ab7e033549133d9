//! Values of the core headers (RFC 3862 §4).

use std::fmt;

use super::ValueError;
use super::text::{escape, find_unquoted, is_token, unescape};

/// `From`, `To`, `cc`: `Winnie the Pooh <im:pooh@example.org>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The formal name, quotation marks and escapes resolved; `None` where it is missing or empty.
    pub name: Option<String>,
    /// The URI between the angle brackets, as written.
    pub uri: String,
}

/// `Subject:;lang=fr Objet`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The language tag, where one is given.
    pub language: Option<String>,
    /// The text, escapes resolved.
    pub text: String,
}

/// One name of a `Require` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// The name as written, prefix included.
    pub name: String,
    /// The URI of its namespace; `None` where its prefix was not declared before.
    pub namespace: Option<String>,
    /// The name without its prefix.
    pub local_name: String,
}

impl Address {
    /// Reads `[name] <uri>`. The name may have any spaces around it: the grammar and the examples of
    /// RFC 3862 do not agree on them.
    pub fn parse(value: &str) -> Result<Self, ValueError> {
        let error = |offset, expected| Err(ValueError { offset, expected });
        let octets = value.as_bytes();
        let Some(open) = find_unquoted(octets, b'<') else {
            return error(value.len(), "a URI in angle brackets");
        };
        let (before, after) = (&value[..open], &value[open + 1..]);
        let Some((uri, rest)) = after.split_once('>') else {
            return error(value.len(), "`>` after the URI");
        };
        let scheme = uri.split_once(':').map_or("", |(scheme, _)| scheme);
        let absolute = scheme.starts_with(|it: char| it.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|it| it.is_ascii_alphanumeric() || matches!(it, b'+' | b'-' | b'.'));
        if !absolute || !uri.bytes().all(|octet| octet.is_ascii_graphic()) {
            return error(open + 1, "an absolute URI");
        }
        if let Some(at) = rest.find(|it: char| it != ' ') {
            return error(open + 2 + uri.len() + at, "the end after `>`");
        }
        let name = formal_name(before.trim_matches(' '));
        let Some(name) = name else {
            return error(0, "a name of words, or in quotation marks");
        };
        Ok(Self {
            name: Some(name).filter(|name| !name.is_empty()),
            uri: uri.to_owned(),
        })
    }
}

/// As it stands in a header; the name in quotation marks where it is more than words.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) if is_words(name) => write!(f, "{name} ")?,
            Some(name) => write!(f, "\"{}\" ", escape(name, true))?,
            None => {}
        }
        write!(f, "<{}>", self.uri)
    }
}

/// Tokens between spaces, or a string in quotation marks. Escapes count in both: they may stand
/// anywhere in a header (RFC 3862 §2.3.1).
fn formal_name(text: &str) -> Option<String> {
    let Some(rest) = text.strip_prefix('"') else {
        return (!text.contains('"')).then(|| unescape(text).into_owned());
    };
    let inner = rest.strip_suffix('"')?;
    let mut escaped = false;
    for octet in inner.bytes() {
        if octet == b'"' && !escaped {
            return None;
        }
        escaped = octet == b'\\' && !escaped;
    }
    // An escaped mark at the end closes nothing.
    (!escaped).then(|| unescape(inner).into_owned())
}

fn is_words(name: &str) -> bool {
    let word = |word: &str| !word.is_empty() && word.bytes().all(is_token);
    name.split(' ').all(word)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn reads_addresses() {
        for (text, name, uri, shown) in [
            ("<im:a@b>", None, "im:a@b", "<im:a@b>"),
            ("Ann <sip:a@b>", Some("Ann"), "sip:a@b", "Ann <sip:a@b>"),
            (
                "MR A. B <im:a@b>",
                Some("MR A. B"),
                "im:a@b",
                "MR A. B <im:a@b>",
            ),
            (
                "\"A, <B>\" <im:a@b>",
                Some("A, <B>"),
                "im:a@b",
                "\"A, <B>\" <im:a@b>",
            ),
            ("\"A\"<im:a@b>", Some("A"), "im:a@b", "A <im:a@b>"),
            (r#""a\"b" <im:a>"#, Some("a\"b"), "im:a", r#""a\"b" <im:a>"#),
            ("\"\" <im:a@b>", None, "im:a@b", "<im:a@b>"),
            ("Zoë <tel:+1>", Some("Zoë"), "tel:+1", "Zoë <tel:+1>"),
            (
                r"a\u0007 <im:a>",
                Some("a\u{7}"),
                "im:a",
                "\"a\\u0007\" <im:a>",
            ),
        ] {
            let read = Address::parse(text).unwrap();
            assert_eq!((read.name.as_deref(), &*read.uri), (name, uri), "{text}");
            assert_eq!(read.to_string(), shown, "{text}");
            assert_eq!(Address::parse(shown).unwrap(), read, "{text}");
        }
    }

    #[test]
    fn says_where_it_is_wrong() {
        for (text, offset) in [
            ("", 0),
            ("sip:a@b", 7),
            ("<sip:a@b", 8),
            ("Ann <>", 5),
            ("Ann <no-scheme>", 5),
            ("<sip:a b>", 1),
            ("<sip:a@b> x", 10),
            ("\"Ann <sip:a@b>", 14),
            ("An\"n\" <sip:a@b>", 0),
            (r#""a\" <sip:a@b>"#, 14),
        ] {
            assert_eq!(Address::parse(text).unwrap_err().offset, offset, "{text}");
        }
    }
}
