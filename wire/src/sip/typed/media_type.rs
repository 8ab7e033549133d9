//! Content-Type (RFC 3261 §20.15).

use super::cursor::Cursor;
use super::params::{Params, RawParam, header_params};
use super::{TypedHeader, ValueResult};

/// `type/subtype;param=value`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaType {
    /// Type as written.
    pub kind: String,
    /// Subtype as written.
    pub subtype: String,
    /// Parameters.
    pub params: Params,
}

impl MediaType {
    /// Whether this is `type/subtype`, case and parameters aside (RFC 2045 §5.1).
    pub fn is(&self, name: &str) -> bool {
        name.split_once('/').is_some_and(|(kind, subtype)| {
            self.kind.eq_ignore_ascii_case(kind) && self.subtype.eq_ignore_ascii_case(subtype)
        })
    }
}

impl TypedHeader for MediaType {
    const NAME: &'static str = "Content-Type";

    fn parse_value(value: &[u8]) -> ValueResult<Self> {
        let raw = RawMediaType::parse(value)?;
        Ok(Self {
            kind: raw.kind.to_owned(),
            subtype: raw.subtype.to_owned(),
            params: raw.params.into(),
        })
    }
}

/// A media type borrowed from the value.
#[derive(Debug)]
pub(crate) struct RawMediaType<'v> {
    pub(crate) kind: &'v str,
    pub(crate) subtype: &'v str,
    pub(crate) params: Vec<RawParam<'v>>,
}

impl<'v> RawMediaType<'v> {
    pub(crate) fn parse(value: &'v [u8]) -> ValueResult<Self> {
        let mut cursor = Cursor::new(value);
        cursor.skip_lws();
        let kind = cursor.token("a media type")?;
        cursor.skip_lws();
        cursor.expect(b'/', "`/` and a subtype")?;
        cursor.skip_lws();
        let subtype = cursor.token("a subtype")?;
        let params = header_params(&mut cursor)?;
        Ok(Self {
            kind,
            subtype,
            params,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn reads_types_and_parameters() {
        let read = |v: &str| MediaType::parse_value(v.as_bytes());
        let media = read("Text / Plain ; Charset=\"UTF-8\";format=flowed").unwrap();
        assert_eq!(
            (media.kind.as_str(), media.subtype.as_str()),
            ("Text", "Plain")
        );
        assert_eq!(media.params.get("charset"), Some("UTF-8"));
        assert_eq!(media.params.get("FORMAT"), Some("flowed"));
        assert!(media.is("text/plain"));
        assert!(!media.is("text/html"));
        assert!(!media.is("text"));
        let media = read("multipart/mixed;boundary=\"a;b=\\\"c\"").unwrap();
        assert_eq!(media.params.get("boundary"), Some("a;b=\"c"));
        for (value, offset) in [
            ("", 0),
            ("text", 4),
            ("text/", 5),
            ("/plain", 0),
            ("a/b c", 4),
            ("a/b;", 4),
            ("a/b;c=", 6),
        ] {
            assert_eq!(read(value).unwrap_err().offset, offset, "{value}");
        }
    }
}
