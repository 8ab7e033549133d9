//! URIs of any scheme, with the comparison rules of RFC 3261 §19.1.4.
//!
//! `sip:` and `sips:` are taken apart, `tel:` into number and parameters; every other scheme stays
//! one text, which is all that a server may rely on.

mod equivalence;

use std::fmt;

use memchr::memchr;

use super::ValueResult;
use super::cursor::Cursor;
pub use super::host::Host;
use super::host::host_port;
use super::params::Params;
use crate::sip::error::ValueError;

/// A URI: `sip:`/`sips:` in parts, every other scheme as scheme and rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uri {
    /// `sip:` or `sips:`
    Sip(SipUri),
    /// `tel:` (RFC 3966): the number as written and its parameters.
    Tel {
        /// The number as written.
        number: String,
        /// Parameters.
        params: Params,
    },
    /// `im:`, `pres:`, `urn:`, `msrp:` …
    Other {
        /// Scheme in lower case.
        scheme: String,
        /// All after the colon.
        rest: String,
    },
}

/// The parts of a `sip:` or `sips:` URI, as written (escapes are kept).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SipUri {
    /// `sips:`
    pub secure: bool,
    /// User part as written, escapes kept.
    pub user: Option<String>,
    /// Password as written.
    pub password: Option<String>,
    /// Host.
    pub host: Host,
    /// Port, where one is written.
    pub port: Option<u16>,
    /// URI parameters, in order.
    pub params: Params,
    /// `?name=value&…` as written, without the question mark.
    pub headers: Option<String>,
}

impl Uri {
    /// Reads a URI. Octets that are not UTF-8 are an error.
    pub fn parse(octets: &[u8]) -> ValueResult<Self> {
        let mut cursor = Cursor::new(octets);
        let scheme = scheme(&mut cursor)?;
        match scheme.as_str() {
            "sip" => sip(&mut cursor, false).map(Self::Sip),
            "sips" => sip(&mut cursor, true).map(Self::Sip),
            "tel" => tel(&mut cursor),
            _ => {
                let rest = cursor
                    .word(is_visible, "something after the scheme")?
                    .to_owned();
                at_end(&cursor)?;
                Ok(Self::Other { scheme, rest })
            }
        }
    }

    /// Scheme in lower case.
    pub fn scheme(&self) -> &str {
        match self {
            Self::Sip(sip) if sip.secure => "sips",
            Self::Sip(_) => "sip",
            Self::Tel { .. } => "tel",
            Self::Other { scheme, .. } => scheme,
        }
    }

    /// The parts, for `sip:` and `sips:`.
    pub fn as_sip(&self) -> Option<&SipUri> {
        match self {
            Self::Sip(sip) => Some(sip),
            _ => None,
        }
    }

    /// RFC 3261 §19.1.4 (sip, sips), RFC 3966 §4 (tel); other schemes: scheme without case, rest
    /// exact.
    pub fn equivalent(&self, other: &Self) -> bool {
        equivalence::uris(self, other)
    }
}

impl SipUri {
    /// User part with escapes decoded: octets, since `%00` and `%ff` are legal.
    pub fn user_decoded(&self) -> Option<Vec<u8>> {
        self.user
            .as_deref()
            .map(|user| Unescape::new(user).map(|(octet, _)| octet).collect())
    }

    /// The address-of-record key of RFC 3261 §10.3 step 5: scheme, decoded user, lower-case host,
    /// port; without parameters. Two AORs are the same when their keys are.
    ///
    /// The user is escaped again in one fixed way, so that the key is text and `%00` shortens
    /// nothing.
    pub fn aor_key(&self) -> String {
        let mut key = String::from(if self.secure { "sips:" } else { "sip:" });
        if let Some(user) = self.user_decoded() {
            for octet in user {
                if is_unreserved(octet) {
                    key.push(char::from(octet));
                } else {
                    key.push('%');
                    key.extend(
                        [octet >> 4, octet & 15].map(|digit| {
                            char::from_digit(u32::from(digit), 16).unwrap_or_default()
                        }),
                    );
                }
            }
            key.push('@');
        }
        key.push_str(&self.host.to_string().to_ascii_lowercase());
        if let Some(port) = self.port {
            key.push(':');
            key.push_str(&port.to_string());
        }
        key
    }

    /// RFC 3261 §19.1.4. Not transitive: `sip:carol@chicago.com` is equivalent to both
    /// `;security=on` and `;security=off`, which are not to each other.
    pub fn equivalent(&self, other: &Self) -> bool {
        equivalence::sip_uris(self, other)
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sip(sip) => sip.fmt(f),
            Self::Tel { number, params } => {
                write!(f, "tel:{number}")?;
                write_params(f, params)
            }
            Self::Other { scheme, rest } => write!(f, "{scheme}:{rest}"),
        }
    }
}

impl fmt::Display for SipUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.secure { "sips:" } else { "sip:" })?;
        if let Some(user) = &self.user {
            f.write_str(user)?;
            if let Some(password) = &self.password {
                write!(f, ":{password}")?;
            }
            f.write_str("@")?;
        }
        self.host.fmt(f)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        write_params(f, &self.params)?;
        if let Some(headers) = &self.headers {
            write!(f, "?{headers}")?;
        }
        Ok(())
    }
}

fn write_params(f: &mut fmt::Formatter<'_>, params: &Params) -> fmt::Result {
    for (name, value) in params.iter() {
        write!(f, ";{name}")?;
        if let Some(value) = value {
            write!(f, "={value}")?;
        }
    }
    Ok(())
}

fn scheme(cursor: &mut Cursor) -> ValueResult<String> {
    let expected = "a URI scheme and a colon";
    let start = cursor.clone();
    let is_scheme = |o: u8| o.is_ascii_alphanumeric() || matches!(o, b'+' | b'-' | b'.');
    let scheme = cursor.word(is_scheme, expected)?;
    if !scheme.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return start.error(expected);
    }
    cursor.expect(b':', "a colon after the URI scheme")?;
    Ok(scheme.to_ascii_lowercase())
}

fn sip(cursor: &mut Cursor, secure: bool) -> ValueResult<SipUri> {
    let (user, password) = match memchr(b'@', cursor.rest()) {
        Some(_) => userinfo(cursor)?,
        None => (None, None),
    };
    let (host, port) = host_port(cursor, false)?;
    let params = uri_params(cursor)?;
    let headers = if cursor.eat(b'?') {
        Some(headers(cursor)?)
    } else {
        None
    };
    at_end(cursor)?;
    Ok(SipUri {
        secure,
        user,
        password,
        host,
        port,
        params,
        headers,
    })
}

fn userinfo(cursor: &mut Cursor) -> ValueResult<(Option<String>, Option<String>)> {
    let user = escaped_word(cursor, is_user, "a user")?.to_owned();
    let password = if cursor.eat(b':') {
        // The one part that may be empty.
        if cursor.peek() == Some(b'@') {
            Some(String::new())
        } else {
            Some(escaped_word(cursor, is_password, "a password")?.to_owned())
        }
    } else {
        None
    };
    cursor.expect(b'@', "`@`, or a character that a user part may hold")?;
    Ok((Some(user), password))
}

fn uri_params(cursor: &mut Cursor) -> ValueResult<Params> {
    let mut params = Vec::new();
    while cursor.eat(b';') {
        let name = escaped_word(cursor, is_param, "a URI parameter name")?.to_owned();
        let value = if cursor.eat(b'=') {
            Some(escaped_word(cursor, is_param, "a URI parameter value")?.to_owned())
        } else {
            None
        };
        params.push((name, value));
    }
    Ok(Params(params))
}

/// `header *( "&" header )`, checked but kept as one text.
fn headers(cursor: &mut Cursor) -> ValueResult<String> {
    let rest = cursor.rest();
    let start = cursor.at();
    loop {
        escaped_word(cursor, is_header, "a header name")?;
        cursor.expect(b'=', "`=` and a header value")?;
        if cursor
            .peek()
            .is_some_and(|octet| octet == b'%' || is_header(octet))
        {
            escaped_word(cursor, is_header, "a header value")?;
        }
        if !cursor.eat(b'&') {
            break;
        }
    }
    let text = &rest[..cursor.at() - start];
    Ok(String::from_utf8_lossy(text).into_owned())
}

/// Both `global-number` and `local-number` of RFC 3966 §3, without asking for the phone-context
/// that the latter must have: in a header without angle brackets it belongs to the header.
fn tel(cursor: &mut Cursor) -> ValueResult<Uri> {
    let expected = "a telephone number";
    let start = cursor.clone();
    cursor.eat(b'+');
    let global = cursor.at() > start.at();
    let is_digit = move |octet: u8| {
        octet.is_ascii_digit()
            || !global && (octet.is_ascii_hexdigit() || matches!(octet, b'*' | b'#'))
    };
    let digits = cursor.word(|octet| is_digit(octet) || is_separator(octet), expected)?;
    if !digits.bytes().any(is_digit) {
        return start.error(expected);
    }
    let number = if global {
        format!("+{digits}")
    } else {
        digits.to_owned()
    };
    let params = uri_params(cursor)?;
    at_end(cursor)?;
    Ok(Uri::Tel { number, params })
}

fn at_end(cursor: &Cursor) -> ValueResult<()> {
    match cursor.peek() {
        None => Ok(()),
        Some(_) => cursor.error("the end of the URI, or a character that may stand here"),
    }
}

/// One or more octets of a class or `%HH`.
fn escaped_word<'v>(
    cursor: &mut Cursor<'v>,
    class: impl Fn(u8) -> bool,
    expected: &'static str,
) -> ValueResult<&'v str> {
    let start = cursor.clone();
    let word = cursor.word(|octet| octet == b'%' || class(octet), expected)?;
    let mut rest = word.as_bytes();
    while let Some(at) = memchr(b'%', rest) {
        match rest[at + 1..] {
            [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => rest = &rest[at + 3..],
            _ => {
                let offset = start.at() + word.len() - rest.len() + at;
                return Err(ValueError {
                    offset,
                    expected: "two hexadecimal digits after `%`",
                });
            }
        }
    }
    Ok(word)
}

/// The octets of a text and whether each was escaped. Decoded once only: `%2541` is `%41`, not `A`.
#[derive(Debug, Clone)]
pub(super) struct Unescape<'v> {
    rest: &'v [u8],
}

impl<'v> Unescape<'v> {
    pub(super) fn new(text: &'v str) -> Self {
        Self {
            rest: text.as_bytes(),
        }
    }
}

impl Iterator for Unescape<'_> {
    type Item = (u8, bool);

    fn next(&mut self) -> Option<Self::Item> {
        let digit = |octet: u8| {
            char::from(octet)
                .to_digit(16)
                .and_then(|d| u8::try_from(d).ok())
        };
        if let [b'%', high, low, rest @ ..] = self.rest
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            self.rest = rest;
            return Some((high << 4 | low, true));
        }
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some((*first, false))
    }
}

// Character classes of RFC 3261 §25.1 and RFC 2396 §2.

fn is_unreserved(octet: u8) -> bool {
    octet.is_ascii_alphanumeric()
        || matches!(
            octet,
            b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')'
        )
}

fn is_user(octet: u8) -> bool {
    is_unreserved(octet) || matches!(octet, b'&' | b'=' | b'+' | b'$' | b',' | b';' | b'?' | b'/')
}

fn is_password(octet: u8) -> bool {
    is_unreserved(octet) || matches!(octet, b'&' | b'=' | b'+' | b'$' | b',')
}

fn is_param(octet: u8) -> bool {
    is_unreserved(octet) || matches!(octet, b'[' | b']' | b'/' | b':' | b'&' | b'+' | b'$')
}

fn is_header(octet: u8) -> bool {
    is_unreserved(octet) || matches!(octet, b'[' | b']' | b'/' | b'?' | b':' | b'+' | b'$')
}

fn is_visible(octet: u8) -> bool {
    octet.is_ascii_graphic() && !matches!(octet, b'<' | b'>' | b'"')
}

pub(super) fn is_separator(octet: u8) -> bool {
    matches!(octet, b'-' | b'.' | b'(' | b')')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;

    fn read(text: &str) -> Uri {
        Uri::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn offset(text: &str) -> usize {
        Uri::parse(text.as_bytes())
            .map_or_else(|error| error.offset, |uri| panic!("{text}: {uri:?}"))
    }

    #[test]
    fn reads_sip_uris() {
        let uri = read("SIPS:al%69ce:s$cret@[2001:DB8::1]:5061;lr;maddr=[::1]?Subject=a%20b&to=");
        let sip = uri.as_sip().unwrap();
        assert!(sip.secure);
        assert_eq!(uri.scheme(), "sips");
        assert_eq!(sip.user.as_deref(), Some("al%69ce"));
        assert_eq!(sip.user_decoded().unwrap(), b"alice");
        assert_eq!(sip.password.as_deref(), Some("s$cret"));
        assert_eq!(sip.host.to_string(), "[2001:db8::1]");
        assert_eq!(sip.port, Some(5061));
        assert_eq!(sip.params.get("maddr"), Some("[::1]"));
        assert_eq!(sip.headers.as_deref(), Some("Subject=a%20b&to="));

        // RFC 4475 §3.1.1.9: the semicolon belongs to the user.
        let uri = read("sip:user;par=u%40example.net@example.com");
        let sip = uri.as_sip().unwrap();
        assert_eq!(sip.user_decoded().unwrap(), b"user;par=u@example.net");
        assert!(sip.params.is_empty());

        let odd = "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:\
            &it+has=1,weird!*pas$wo~d_too.\
            (doesn't-it)@example.com";
        assert_eq!(read(odd).to_string(), odd);
        assert_eq!(
            read("sip:%00%ff@h")
                .as_sip()
                .unwrap()
                .user_decoded()
                .unwrap(),
            [0, 255]
        );
        assert_eq!(
            read("sip:u:@h").as_sip().unwrap().password.as_deref(),
            Some("")
        );
        let domain = read("sip:registrar.example.com");
        assert_eq!(domain.as_sip().unwrap().user, None);
    }

    #[test]
    fn reads_other_schemes() {
        let Uri::Tel { number, params } = read("tel:+1-201-555-0123;ext=7;phone-context=x") else {
            panic!("tel");
        };
        assert_eq!(number, "+1-201-555-0123");
        assert_eq!(params.get("ext"), Some("7"));
        for text in [
            "tel:7042;phone-context=example.com",
            "im:romeo@example.net",
            "pres:a@b",
            "urn:service:sos",
            "msrp://atlanta.example.com:7654/jshA7weztas;tcp",
            "nobodyKnowsThisScheme:totallyopaquecontent",
            "soap.beep://192.0.2.103:3002",
            "http://www.example.com",
            "isbn:2983792873",
        ] {
            let (scheme, _) = text.split_once(':').unwrap();
            assert_eq!(read(text).scheme(), scheme.to_ascii_lowercase());
            assert!(read(text).to_string().eq_ignore_ascii_case(text));
            assert!(read(text).as_sip().is_none());
        }
    }

    #[test]
    fn errors_have_their_place() {
        for (text, at) in [
            ("", 0),
            ("bob", 3),
            ("bob@example.org", 3),
            (":a", 0),
            ("1sip:a", 0),
            ("sip:", 4),
            ("sip:@h", 4),
            ("sip:a@", 6),
            ("sip:a@b@c", 7),
            ("sip:a b@c", 5),
            ("sip: a@c", 4),
            ("sip:a%4@c", 5),
            ("sip:a%zz@c", 5),
            ("sip:a%00b%@c", 9),
            ("sip:\u{e9}@c", 4),
            ("sip:a#b@c", 5),
            ("sip:a@b:", 8),
            ("sip:a@b:70000", 8),
            ("sip:a@b;", 8),
            ("sip:a@b;;c", 8),
            ("sip:a@b; lr", 8),
            ("sip:a@b;c=", 10),
            ("sip:a@b?", 8),
            ("sip:a@b?x", 9),
            ("sip:a@b?x=1&", 12),
            ("sip:a@b?x=1 ", 11),
            ("sip:2001:db8::10", 4),
            ("sip:[2001:db8::10", 4),
            ("<sip:a@b>", 0),
            ("tel:", 4),
            ("tel:+", 5),
            ("tel:-", 4),
            ("tel:+12x", 7),
            ("urn:", 4),
            ("urn:a b", 5),
            ("urn:<", 4),
        ] {
            assert_eq!(offset(text), at, "{text}");
        }
        assert_eq!(Uri::parse(b"urn:\xff").unwrap_err().offset, 4);
    }

    #[test]
    fn aor_keys_are_canonical() {
        let key = |text: &str| read(text).as_sip().unwrap().aor_key();
        assert_eq!(
            key("sip:%61lice:pw@Example.ORG;user=phone?a=b"),
            "sip:alice@example.org"
        );
        assert_eq!(
            key("sip:alice@example.org:5060"),
            "sip:alice@example.org:5060"
        );
        assert_eq!(key("sips:ALICE@[2001:DB8::1]"), "sips:ALICE@[2001:db8::1]");
        assert_eq!(key("sip:a%00b@h"), "sip:a%00b@h");
        assert_eq!(key("sip:a%3Bb@h"), key("sip:a;b@h"));
        assert_eq!(key("sip:a%2541@h"), "sip:a%2541@h");
        assert_ne!(key("sip:a%2541@h"), key("sip:aA@h"));
        assert_ne!(key("sip:%00@h"), key("sip:%00%00@h"));
        assert_ne!(key("sip:h"), key("sip:a@h"));
        assert_eq!(key("sip:%C3%A9@h"), "sip:%c3%a9@h");
    }
}
