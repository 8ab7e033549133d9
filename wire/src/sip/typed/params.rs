//! `;name=value` parameters, with quoted values.

use std::borrow::Cow;
use std::fmt;

use super::ValueResult;
use super::cursor::Cursor;
use crate::sip::text::is_token;

/// Parameters in order, as written.
///
/// In a header, quoted values are kept without their quotation marks and escapes; octets in them
/// that are not UTF-8 are replaced. In a URI, `%` escapes are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params(pub Vec<(String, Option<String>)>);

impl Params {
    /// The value of the first parameter of that name (any case), unquoted; `Some("")` for a bare
    /// one.
    pub fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self
            .0
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(value.as_deref().unwrap_or_default())
    }

    /// Whether a parameter of that name is there.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Name and value in order; values unquoted.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v.as_deref()))
    }

    /// Writes `;name=value` for each as a header does: values that are no tokens or hosts in
    /// quotation marks.
    pub(crate) fn write_in_header(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.iter() {
            write!(f, ";{name}")?;
            match value {
                None => {}
                Some(value) if !value.is_empty() && value.bytes().all(is_value) => {
                    write!(f, "={value}")?;
                }
                Some(value) => {
                    f.write_str("=")?;
                    write_quoted(f, value)?;
                }
            }
        }
        Ok(())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Writes a `quoted-string`. A line end, which no quoted string can hold, becomes a space: what a
/// peer put into a value must not become a header field of ours.
pub(crate) fn write_quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for character in text.chars() {
        match character {
            '\r' | '\n' => f.write_str(" ")?,
            // Other control characters may stand there only behind a backslash.
            '"' | '\\' | '\0'..='\x08' | '\x0b'..='\x1f' | '\x7f' => write!(f, "\\{character}")?,
            _ => write!(f, "{character}")?,
        }
    }
    f.write_str("\"")
}

/// A `generic-param` borrowed from the value: what comparison needs and [`Params`] no longer tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawParam<'v> {
    pub(crate) name: &'v str,
    pub(crate) value: Option<RawValue<'v>>,
}

/// A parameter value; RFC 3261 §7.3.1 compares tokens without case and quoted strings with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RawValue<'v> {
    Token(&'v str),
    Quoted(Cow<'v, [u8]>),
}

impl RawValue<'_> {
    pub(crate) fn octets(&self) -> &[u8] {
        match self {
            Self::Token(text) => text.as_bytes(),
            Self::Quoted(octets) => octets,
        }
    }
}

impl From<Vec<RawParam<'_>>> for Params {
    fn from(raw: Vec<RawParam<'_>>) -> Self {
        let text = |value: RawValue| String::from_utf8_lossy(value.octets()).into_owned();
        Self(
            raw.into_iter()
                .map(|p| (p.name.to_owned(), p.value.map(text)))
                .collect(),
        )
    }
}

/// `*( SEMI generic-param )` up to the end of the value.
pub(crate) fn header_params<'v>(cursor: &mut Cursor<'v>) -> ValueResult<Vec<RawParam<'v>>> {
    let mut params = Vec::new();
    loop {
        cursor.skip_lws();
        if cursor.peek().is_none() {
            return Ok(params);
        }
        cursor.expect(b';', "`;` and a parameter, or the end of the value")?;
        cursor.skip_lws();
        params.push(param(cursor)?);
    }
}

/// `name [ EQUAL value ]`
pub(crate) fn param<'v>(cursor: &mut Cursor<'v>) -> ValueResult<RawParam<'v>> {
    let name = cursor.token("a parameter name")?;
    cursor.skip_lws();
    if !cursor.eat(b'=') {
        return Ok(RawParam { name, value: None });
    }
    cursor.skip_lws();
    let value = if cursor.peek() == Some(b'"') {
        RawValue::Quoted(cursor.quoted_string()?)
    } else {
        RawValue::Token(cursor.word(is_value, "a parameter value")?)
    };
    Ok(RawParam {
        name,
        value: Some(value),
    })
}

/// `token` and `host`, which lets in brackets and colons; also the separators that practice writes
/// without quotation marks (`tag=a@b`, base64 with `=` and `/`) and that cannot end a value here.
fn is_value(octet: u8) -> bool {
    is_token(octet)
        || matches!(
            octet,
            b'[' | b']' | b':' | b'/' | b'@' | b'=' | b'?' | b'&' | b'$'
        )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn read(value: &str) -> Result<Params, usize> {
        header_params(&mut Cursor::new(value.as_bytes()))
            .map(Params::from)
            .map_err(|e| e.offset)
    }

    #[test]
    fn reads_all_forms() {
        let params =
            read("; a ; B = 1;c=\"x;\\\",y\" ;received=[2001:db8::1];d=2001:db8::2").unwrap();
        assert_eq!(params.len(), 5);
        assert_eq!(params.get("A"), Some(""));
        assert_eq!(params.get("b"), Some("1"));
        assert_eq!(params.get("c"), Some("x;\",y"));
        assert_eq!(params.get("received"), Some("[2001:db8::1]"));
        assert_eq!(params.get("d"), Some("2001:db8::2"));
        assert!(!params.has("e"));
        assert_eq!(params.iter().next(), Some(("a", None)));
        assert!(read(" ").unwrap().is_empty());
    }

    #[test]
    fn errors_have_their_place() {
        assert_eq!(read(";;"), Err(1));
        assert_eq!(read(";"), Err(1));
        assert_eq!(read("a=1"), Err(0));
        assert_eq!(read(";a="), Err(3));
        assert_eq!(read(";a=\"x"), Err(5));
        assert_eq!(read(";a=1 b"), Err(5));
        assert_eq!(read(";a=\u{e9}"), Err(3));
    }
}
