//! `name-addr` and `addr-spec` (RFC 3261 §20.10): From, To, Contact, Route, P-Asserted-Identity.

use std::borrow::Cow;
use std::fmt;

use memchr::memchr;

use super::cursor::Cursor;
use super::params::{Params, RawParam, header_params, write_quoted};
use super::uri::Uri;
use super::{TypedHeader, ValueResult};
use crate::sip::text::{is_lws, is_token, trim};

/// Display name, URI, header parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameAddr {
    /// Display name, unquoted and unescaped; `None` when there is none. Octets that are not UTF-8
    /// are replaced.
    pub display_name: Option<String>,
    /// The URI.
    pub uri: Uri,
    /// Header parameters: without angle brackets, parameters belong to the header (RFC 3261
    /// §20.10).
    pub params: Params,
}

impl NameAddr {
    /// Reads one value.
    pub fn parse(value: &[u8]) -> ValueResult<Self> {
        let raw = RawAddress::parse(value)?;
        Ok(Self {
            display_name: raw
                .display_name
                .map(|name| String::from_utf8_lossy(&name).into_owned()),
            uri: Uri::parse(raw.uri).map_err(|error| error.shifted(raw.uri_at))?,
            params: raw.params.into(),
        })
    }

    /// The tag parameter.
    pub fn tag(&self) -> Option<&str> {
        self.params.get("tag")
    }
}

/// Writes the value as a new header would hold it: always with angle brackets, the display name in
/// quotation marks. Not the text that was received, which stays in the message.
impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.display_name {
            write_quoted(f, name)?;
            f.write_str(" ")?;
        }
        write!(f, "<{}>", self.uri)?;
        self.params.write_in_header(f)
    }
}

macro_rules! address_header {
    ($(#[$doc:meta])* $name:ident, $header:literal, $list:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name(pub NameAddr);

        impl TypedHeader for $name {
            const NAME: &'static str = $header;
            const LIST: bool = $list;

            fn parse_value(value: &[u8]) -> ValueResult<Self> {
                NameAddr::parse(value).map(Self)
            }
        }

        impl std::ops::Deref for $name {
            type Target = NameAddr;

            fn deref(&self) -> &NameAddr {
                &self.0
            }
        }
    };
}

address_header!(
    /// From (RFC 3261 §20.20).
    From, "From", false
);
address_header!(
    /// To (RFC 3261 §20.39).
    To, "To", false
);
address_header!(
    /// Route (RFC 3261 §20.34).
    Route, "Route", true
);
address_header!(
    /// Record-Route (RFC 3261 §20.30).
    RecordRoute, "Record-Route", true
);
address_header!(
    /// Path (RFC 3327 §4).
    Path, "Path", true
);
address_header!(
    /// Service-Route (RFC 3608 §5).
    ServiceRoute, "Service-Route", true
);
address_header!(
    /// Reply-To (RFC 3261 §20.31).
    ReplyTo, "Reply-To", false
);
address_header!(
    /// P-Asserted-Identity (RFC 3325 §9.1).
    PAssertedIdentity, "P-Asserted-Identity", true
);
address_header!(
    /// P-Preferred-Identity (RFC 3325 §9.2).
    PPreferredIdentity, "P-Preferred-Identity", true
);

/// Contact (RFC 3261 §20.10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contact {
    /// `*`
    Star,
    /// An address.
    Address(NameAddr),
}

impl TypedHeader for Contact {
    const NAME: &'static str = "Contact";
    const LIST: bool = true;

    fn parse_value(value: &[u8]) -> ValueResult<Self> {
        if trim(value) == b"*" {
            return Ok(Self::Star);
        }
        NameAddr::parse(value).map(Self::Address)
    }
}

/// An address borrowed from the value, its URI not yet read.
#[derive(Debug)]
pub(crate) struct RawAddress<'v> {
    pub(crate) display_name: Option<Cow<'v, [u8]>>,
    pub(crate) uri: &'v [u8],
    pub(crate) uri_at: usize,
    pub(crate) params: Vec<RawParam<'v>>,
}

impl<'v> RawAddress<'v> {
    pub(crate) fn parse(value: &'v [u8]) -> ValueResult<Self> {
        let mut cursor = Cursor::new(value);
        cursor.skip_lws();
        if let Some(display_name) = display_name(&mut cursor)? {
            cursor.expect(b'<', "`<` and a URI after the display name")?;
            let uri_at = cursor.at();
            let Some(length) = memchr(b'>', cursor.rest()) else {
                return Cursor::error_at(value.len(), "`>` after the URI");
            };
            let uri = &cursor.rest()[..length];
            cursor.take(length + 1);
            let params = header_params(&mut cursor)?;
            let display_name = Some(display_name).filter(|name| !name.is_empty());
            return Ok(Self {
                display_name,
                uri,
                uri_at,
                params,
            });
        }
        // Without brackets a semicolon ends the URI, and a question mark or comma must not stand in
        // it (RFC 3261 §20.10).
        let uri_at = cursor.at();
        let uri = cursor.take_while(|octet| !is_lws(octet) && !matches!(octet, b';' | b'?' | b','));
        if matches!(cursor.peek(), Some(b'?' | b',')) {
            return cursor.error("`;` or the end: a URI with `?` or `,` needs angle brackets");
        }
        let params = header_params(&mut cursor)?;
        Ok(Self {
            display_name: None,
            uri,
            uri_at,
            params,
        })
    }
}

/// Reads up to `<`; `None` when there is no `<` where one can be, so that this is an `addr-spec`.
/// An absent display name is empty.
fn display_name<'v>(cursor: &mut Cursor<'v>) -> ValueResult<Option<Cow<'v, [u8]>>> {
    if cursor.peek() == Some(b'"') {
        let name = cursor.quoted_string()?;
        cursor.skip_lws();
        return Ok(Some(name));
    }
    let mut ahead = cursor.clone();
    // RFC 4475 §3.1.1.6: white space before `<` may be missing.
    let words = ahead.take_while(|octet| is_token(octet) || is_lws(octet));
    if ahead.peek() != Some(b'<') {
        return Ok(None);
    }
    *cursor = ahead;
    Ok(Some(Cow::Borrowed(trim(words))))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;

    fn read(value: &str) -> NameAddr {
        NameAddr::parse(value.as_bytes()).unwrap_or_else(|e| panic!("{value}: {e}"))
    }

    fn offset(value: &str) -> usize {
        NameAddr::parse(value.as_bytes()).unwrap_err().offset
    }

    #[test]
    fn reads_all_forms() {
        let address = read(r#""J Rosenberg \\\""       <sip:jdrosen@example.com> ; tag = 98asjd8"#);
        assert_eq!(address.display_name.as_deref(), Some(r#"J Rosenberg \""#));
        assert_eq!(address.uri.to_string(), "sip:jdrosen@example.com");
        assert_eq!(address.tag(), Some("98asjd8"));

        let address =
            read(r#""Watson, T. <not a uri>" <sip:a,b@x;lr>;+sip.instance="<urn:uuid:1>""#);
        assert_eq!(
            address.display_name.as_deref(),
            Some("Watson, T. <not a uri>")
        );
        assert_eq!(address.uri.to_string(), "sip:a,b@x;lr");
        assert_eq!(address.params.get("+sip.instance"), Some("<urn:uuid:1>"));

        assert_eq!(
            read("A. B.  Bell <sip:a@b>").display_name.as_deref(),
            Some("A. B.  Bell")
        );
        assert_eq!(read("caller<sip:a@b>;tag=323").tag(), Some("323"));
        assert_eq!(read("<sip:a@b>").display_name, None);
        assert_eq!(read(r#""" <sip:a@b>"#).display_name, None);
        assert_eq!(read("<name:John_Smith>").uri.scheme(), "name");

        let address = read("sip:alice@example.com;user=phone;tag=1");
        assert!(address.uri.as_sip().unwrap().params.is_empty());
        assert_eq!(address.params.get("user"), Some("phone"));
        assert_eq!(read("sip:a@b ;   tag    = 1").tag(), Some("1"));
        let address = read("sip:a@b;x=\"<y>\"");
        assert_eq!(address.params.get("x"), Some("<y>"));
    }

    #[test]
    fn errors_have_their_place() {
        assert_eq!(offset(""), 0);
        assert_eq!(offset(r#""Mr. J. User <sip:j.user@example.com>"#), 37);
        assert_eq!(offset(r#""Joe" sip:joe@example.org"#), 6);
        assert_eq!(offset(r#""Joe" <sip:joe@example.org>;;;;"#), 28);
        assert_eq!(offset(r#""Watson" < sip:t.watson@example.org >"#), 10);
        assert_eq!(offset("Bell, Alexander <sip:a@b>"), 4);
        assert_eq!(offset("<sip:a@b"), 8);
        assert_eq!(offset("<sip:a@b> x"), 10);
        assert_eq!(offset("sip:user@example.com?Route=%3Csip:x%3E"), 20);
        assert_eq!(offset("<sip:a@b:x>"), 9);
    }

    #[test]
    fn writes_what_reads_the_same() {
        for value in [
            r#""A \"\\, B" <sip:a@b;lr>;tag=1;x;y="a b";z="";i=[::1]"#,
            "<tel:+1;ext=2>",
            "\"\\\x00\\\x7f\" <im:a@b>",
        ] {
            assert_eq!(read(value).to_string(), value);
            assert_eq!(read(&read(value).to_string()), read(value));
        }
        assert_eq!(
            read("Bob B <sip:a@b> ; tag = 1").to_string(),
            "\"Bob B\" <sip:a@b>;tag=1"
        );
        assert_eq!(read("sip:a@b;tag=1").to_string(), "<sip:a@b>;tag=1");
    }

    #[test]
    fn contact_may_be_a_star() {
        assert_eq!(Contact::parse_value(b" * "), Ok(Contact::Star));
        let contact = Contact::parse_value(b"<sip:a@b>;expires=7").unwrap();
        let Contact::Address(address) = contact else {
            panic!("an address")
        };
        assert_eq!(address.params.get("expires"), Some("7"));
        assert!(Contact::parse_value(b"*;expires=0").is_err());
    }
}
