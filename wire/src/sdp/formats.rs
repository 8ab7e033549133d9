//! `accept-types` and `accept-wrapped-types` (RFC 4975 §8.6).

use super::ValueError;
use crate::sip::typed::{MediaType, TypedHeader};

/// One entry of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormatEntry {
    /// `*`: anything may be tried.
    Any,
    /// `text/*`: any subtype of that type may be tried.
    AnyOf(String),
    /// A media type, perhaps with parameters.
    Type(MediaType),
}

/// How a list lets a type in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// It is listed.
    Explicit,
    /// A `*` covers it: the sender may try, the receiver may still answer 415.
    Wildcard,
}

/// The entries in order of preference.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FormatList {
    /// The entries.
    pub entries: Vec<FormatEntry>,
}

impl FormatList {
    /// Reads the value of the attribute. More than one space between two entries is taken.
    pub fn parse(value: &str) -> Result<Self, ValueError> {
        let mut entries = Vec::new();
        for (start, entry) in split(value) {
            entries.push(FormatEntry::parse(entry).map_err(|error| error.shifted(start))?);
        }
        if entries.is_empty() {
            return Err(ValueError {
                offset: 0,
                expected: ENTRY,
            });
        }
        Ok(Self { entries })
    }

    /// How the list lets in a Content-Type value such as `text/plain;charset=utf-8`. Parameters do
    /// not count (RFC 4975 §8.6). `None` when it does not, or when `content_type` is none.
    pub fn fit(&self, content_type: &str) -> Option<Fit> {
        let media_type = MediaType::parse_value(content_type.as_bytes()).ok()?;
        let mut best = None;
        for entry in &self.entries {
            match entry {
                FormatEntry::Type(listed)
                    if listed.kind.eq_ignore_ascii_case(&media_type.kind)
                        && listed.subtype.eq_ignore_ascii_case(&media_type.subtype) =>
                {
                    return Some(Fit::Explicit);
                }
                FormatEntry::AnyOf(kind) if kind.eq_ignore_ascii_case(&media_type.kind) => {
                    best = Some(Fit::Wildcard);
                }
                FormatEntry::Any => best = Some(Fit::Wildcard),
                FormatEntry::Type(_) | FormatEntry::AnyOf(_) => {}
            }
        }
        best
    }

    /// Whether the first entry, the preferred one, is that type, `message/cpim` say.
    pub fn prefers(&self, name: &str) -> bool {
        matches!(self.entries.first(), Some(FormatEntry::Type(listed)) if listed.is(name))
    }
}

const ENTRY: &str = "a media type, `type/*` or `*`";

impl FormatEntry {
    fn parse(entry: &str) -> Result<Self, ValueError> {
        if entry == "*" {
            return Ok(Self::Any);
        }
        let media_type = MediaType::parse_value(entry.as_bytes()).map_err(|error| ValueError {
            expected: ENTRY,
            ..error
        })?;
        Ok(match (&*media_type.kind, &*media_type.subtype) {
            // By the grammar this is a type with the name `*`; nobody means that.
            ("*", "*") => Self::Any,
            (_, "*") => Self::AnyOf(media_type.kind),
            _ => Self::Type(media_type),
        })
    }
}

/// The pieces between spaces that stand in no quoted string, each with its offset.
fn split(value: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut quoted = false;
    let mut escaped = false;
    let mut offset = 0;
    value
        .split(move |character| {
            match character {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                _ => {}
            }
            character == ' ' && !quoted
        })
        .map(move |piece| {
            let start = offset;
            offset += piece.len() + 1;
            (start, piece)
        })
        .filter(|(_, piece)| !piece.is_empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn reads_lists() {
        let list =
            FormatList::parse("message/cpim  text/* text/plain;a=\"x \\\" y\";b=1 *").unwrap();
        assert_eq!(list.entries.len(), 4);
        assert!(matches!(&list.entries[0], FormatEntry::Type(t) if t.is("Message/CPIM")));
        assert_eq!(list.entries[1], FormatEntry::AnyOf("text".to_owned()));
        assert!(
            matches!(&list.entries[2], FormatEntry::Type(t) if t.params.get("a") == Some("x \" y"))
        );
        assert_eq!(list.entries[3], FormatEntry::Any);
        assert!(list.prefers("message/cpim") && !list.prefers("text/plain"));
        assert_eq!(
            FormatList::parse("*/*").unwrap().entries,
            [FormatEntry::Any]
        );
    }

    #[test]
    fn says_where_an_entry_is_none() {
        for (value, offset) in [
            ("", 0),
            (" ", 0),
            ("text/plain text", 15),
            ("text/plain,text/html", 10),
            ("text/plain; charset=utf-8", 11),
            ("/plain", 0),
            ("text/plain;a=\"b", 15),
        ] {
            let error = FormatList::parse(value).unwrap_err();
            assert_eq!((error.offset, error.expected), (offset, ENTRY), "{value}");
        }
    }

    #[test]
    fn fits() {
        let fit = |list: &str, content: &str| FormatList::parse(list).unwrap().fit(content);
        for (list, content, expected) in [
            ("text/plain", "text/plain", Some(Fit::Explicit)),
            (
                "text/plain",
                "TEXT/Plain; charset=utf-8",
                Some(Fit::Explicit),
            ),
            (
                "text/plain;charset=utf-8",
                "text/plain",
                Some(Fit::Explicit),
            ),
            ("text/plain", "text/html", None),
            ("text/*", "text/html", Some(Fit::Wildcard)),
            ("text/*", "image/png", None),
            ("text/* text/html", "text/html", Some(Fit::Explicit)),
            ("*", "image/png", Some(Fit::Wildcard)),
            ("* image/png", "image/png", Some(Fit::Explicit)),
            // RFC 4975 §8.6: types that all must support are signalled like any other.
            ("text/plain", "multipart/mixed;boundary=b", None),
            ("text/plain", "message/cpim", None),
            ("*", "no type", None),
            ("*", "", None),
        ] {
            assert_eq!(fit(list, content), expected, "{list} / {content}");
        }
    }
}
