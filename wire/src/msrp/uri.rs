//! MSRP URIs (RFC 4975 §6, §9) and when two of them are the same (§6.1).

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::str::FromStr;

use super::ValueError;
use crate::sip::typed::cursor::Cursor;
use crate::sip::typed::{Host, ValueResult};

/// `msrp://user@host:port/session;tcp;name=value`, kept as written.
///
/// `==` compares what is written; [`Self::equivalent`] compares what is meant.
#[derive(Debug, Clone)]
pub struct Uri {
    text: String,
    userinfo: Option<Range<usize>>,
    host: Host,
    port: Option<u16>,
    session_id: Option<Range<usize>>,
    /// Each with its value, where it has one. The first is the transport, where one is written.
    params: Vec<(Range<usize>, Option<Range<usize>>)>,
}

impl Uri {
    /// Reads a URI. A session id and the transport may be missing: the first is no error (§6: a
    /// relay or a device as such), the second is one that leaves no doubt.
    pub fn parse(octets: &[u8]) -> ValueResult<Self> {
        let mut cursor = Cursor::new(octets);
        let scheme = cursor.take_while(|octet| octet.is_ascii_alphabetic());
        if !(scheme.eq_ignore_ascii_case(b"msrp") || scheme.eq_ignore_ascii_case(b"msrps")) {
            return Cursor::error_at(0, "`msrp://` or `msrps://`");
        }
        for octet in b"://" {
            cursor.expect(*octet, "`://` after the scheme")?;
        }
        let userinfo = userinfo(&mut cursor)?;
        let host_at = cursor.at();
        let host = host(&mut cursor)?;
        let port = port(&mut cursor)?;
        let session_id = if cursor.eat(b'/') {
            let start = cursor.at();
            cursor.take_while(|octet| octet.is_ascii_graphic() && octet != b';');
            Some(start..cursor.at())
        } else {
            None
        };
        let mut params = Vec::new();
        while cursor.eat(b';') {
            let start = cursor.at();
            cursor.word(is_param, "a parameter")?;
            let name = start..cursor.at();
            let value = if cursor.eat(b'=') {
                let start = cursor.at();
                cursor.word(is_param, "a value of the parameter")?;
                Some(start..cursor.at())
            } else {
                None
            };
            params.push((name, value));
        }
        if !cursor.rest().is_empty() {
            return cursor.error(if cursor.at() == host_at {
                "a host"
            } else {
                "the end of the URI or `;` and a parameter"
            });
        }
        match std::str::from_utf8(octets) {
            Ok(text) => Ok(Self {
                text: text.to_owned(),
                userinfo,
                host,
                port,
                session_id,
                params,
            }),
            Err(error) => Cursor::error_at(error.valid_up_to(), "US-ASCII"),
        }
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// `msrps`: the connection to this hop is under TLS.
    pub fn is_secure(&self) -> bool {
        self.text.as_bytes().get(4) != Some(&b':')
    }

    /// The account before `@`, as written.
    pub fn userinfo(&self) -> Option<&str> {
        self.userinfo.clone().map(|range| &self.text[range])
    }

    /// Host name or address, percent-encoding resolved where it needs none.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port, where one is written. There is no default (§6: 2855 is a recommendation).
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The session at this device, case and all; `None` where the URI means the device.
    pub fn session_id(&self) -> Option<&str> {
        self.session_id.clone().map(|range| &self.text[range])
    }

    /// `tcp`, `ws` (RFC 7977) or another, as written; compare without case.
    pub fn transport(&self) -> Option<&str> {
        match self.params.first() {
            Some((name, None)) => Some(&self.text[name.clone()]),
            _ => None,
        }
    }

    /// The parameters after the transport, as written.
    pub fn params(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let transport = usize::from(self.transport().is_some());
        let text = |range: &Range<usize>| &self.text[range.clone()];
        self.params[transport..]
            .iter()
            .map(move |(name, value)| (text(name), value.as_ref().map(text)))
    }

    /// Whether both mean the same (RFC 4975 §6.1): scheme, host and transport without case,
    /// addresses by value, ports exactly (one that is written never equals one that is not),
    /// session ids with case. The account does not count, nor do other parameters, of which the
    /// rules do not speak.
    pub fn equivalent(&self, other: &Self) -> bool {
        self.is_secure() == other.is_secure()
            && self.host.same(&other.host)
            && self.port == other.port
            && self.session_id() == other.session_id()
            && match (self.transport(), other.transport()) {
                (Some(mine), Some(theirs)) => mine.eq_ignore_ascii_case(theirs),
                (None, None) => true,
                _ => false,
            }
    }

    /// What a strict reader objects to, if anything.
    pub(crate) fn strict(&self) -> ValueResult<()> {
        self.keeps_clauses().map_err(|(error, _)| error)
    }

    /// What a strict reader objects to, if anything, and the clause that does.
    pub(crate) fn keeps_clauses(&self) -> Result<(), (ValueError, &'static str)> {
        const GRAMMAR: &str = "RFC 4975 §9";
        let error = |offset, expected, clause| Err((ValueError { offset, expected }, clause));
        if self.port.is_none() && matches!(self.host, Host::Ip(_)) {
            let expected = "a port after a numeric address";
            return error(self.authority_end(), expected, "RFC 4975 §6");
        }
        if let Some(range) = &self.session_id {
            let octets = &self.text.as_bytes()[range.clone()];
            let bad = octets.iter().position(|octet| !is_session_id(*octet));
            if octets.is_empty() || bad.is_some() {
                let expected = "a session id of letters, digits and `-._~+=/`";
                return error(range.start + bad.unwrap_or(0), expected, GRAMMAR);
            }
        }
        match self.transport() {
            Some(text) if text.bytes().all(|octet| octet.is_ascii_alphanumeric()) => Ok(()),
            Some(_) => error(self.params[0].0.start, "a transport such as `tcp`", GRAMMAR),
            None => {
                let session_id = self.session_id.as_ref();
                let end = session_id.map_or(self.authority_end(), |range| range.end);
                error(end, "`;` and a transport such as `tcp`", GRAMMAR)
            }
        }
    }

    fn authority_end(&self) -> usize {
        match (&self.session_id, self.params.first()) {
            (Some(range), _) => range.start - 1,
            (None, Some((name, _))) => name.start - 1,
            (None, None) => self.text.len(),
        }
    }
}

impl PartialEq for Uri {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Uri {}

impl Hash for Uri {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Uri {
    type Err = ValueError;

    fn from_str(text: &str) -> ValueResult<Self> {
        Self::parse(text.as_bytes())
    }
}

/// What stands before the last `@` of the authority.
fn userinfo(cursor: &mut Cursor<'_>) -> ValueResult<Option<Range<usize>>> {
    let rest = cursor.rest();
    let authority = rest.iter().position(|o| *o == b'/').unwrap_or(rest.len());
    let Some(length) = rest[..authority].iter().rposition(|o| *o == b'@') else {
        return Ok(None);
    };
    let start = cursor.at();
    let taken = cursor.take(length);
    if let Some(at) = taken.iter().position(|octet| !octet.is_ascii_graphic()) {
        return Cursor::error_at(start + at, "an account without spaces before `@`");
    }
    cursor.expect(b'@', "`@` after the account")?;
    Ok(Some(start..start + length))
}

/// Names and IPv4 addresses may hold percent-encoded characters that need not be so (§6.1).
fn host(cursor: &mut Cursor<'_>) -> ValueResult<Host> {
    let start = cursor.at();
    let rest = cursor.rest();
    let length = if rest.first() == Some(&b'[') {
        rest.iter()
            .position(|o| *o == b']')
            .map_or(rest.len(), |at| at + 1)
    } else {
        let ends = |octet: &u8| matches!(octet, b':' | b'/' | b';' | b' ');
        rest.iter().position(ends).unwrap_or(rest.len())
    };
    let text = decode(cursor.take(length));
    Host::parse(&text).map_err(|error| ValueError {
        offset: start,
        ..error
    })
}

fn port(cursor: &mut Cursor<'_>) -> ValueResult<Option<u16>> {
    if !cursor.eat(b':') {
        return Ok(None);
    }
    let expected = "a port, 0 to 65535";
    let start = cursor.at();
    let digits = cursor.word(|octet| octet.is_ascii_digit(), expected)?;
    match digits.parse() {
        Ok(port) => Ok(Some(port)),
        Err(_) => Cursor::error_at(start, expected),
    }
}

/// Resolves the escapes of unreserved characters (RFC 3986 §6.2.2.2); others stay.
fn decode(octets: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(octets.len());
    let mut rest = octets;
    while let Some((octet, after)) = rest.split_first() {
        let escaped = match (octet, after) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)).map(|(h, l)| h * 16 + l),
            _ => None,
        };
        match escaped {
            Some(meant) if is_unreserved(meant) => {
                decoded.push(meant);
                rest = &after[2..];
            }
            _ => {
                decoded.push(*octet);
                rest = after;
            }
        }
    }
    decoded
}

fn hex(octet: u8) -> Option<u8> {
    char::from(octet)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

fn is_unreserved(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_' | b'~')
}

fn is_session_id(octet: u8) -> bool {
    is_unreserved(octet) || matches!(octet, b'+' | b'=' | b'/')
}

/// More than `token`: only `;` and `=` mean something here.
fn is_param(octet: u8) -> bool {
    octet.is_ascii_graphic() && !matches!(octet, b';' | b'=')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    #[test]
    fn reads_all_parts_and_keeps_the_text() {
        let text = "MSRPS://al%20ice@Relay.example.org:2855/s1+=/x.~;TCP;a=1;b";
        let read = uri(text);
        assert_eq!(read.to_string(), text);
        assert!(read.is_secure());
        assert_eq!(read.userinfo(), Some("al%20ice"));
        assert_eq!(read.host(), &Host::Name("Relay.example.org".to_owned()));
        assert_eq!(read.port(), Some(2855));
        assert_eq!(read.session_id(), Some("s1+=/x.~"));
        assert_eq!(read.transport(), Some("TCP"));
        let params: Vec<_> = read.params().collect();
        assert_eq!(params, [("a", Some("1")), ("b", None)]);
        assert_eq!(read.strict(), Ok(()));

        let device = uri("msrp://[2001:DB8::1]:9;ws");
        assert!(!device.is_secure());
        assert_eq!(device.host().to_string(), "[2001:db8::1]");
        assert_eq!((device.port(), device.session_id()), (Some(9), None));
        assert_eq!((device.transport(), device.userinfo()), (Some("ws"), None));

        let bare = uri("msrp://h/s");
        assert_eq!((bare.port(), bare.transport()), (None, None));
        assert_eq!(uri("msrp://a;b@h:1/s;tcp").userinfo(), Some("a;b"));
        assert_eq!(uri("msrp://h/;tcp").session_id(), Some(""));
        assert_eq!(uri("msrp://h;x=1").transport(), None);
        assert_eq!(uri("msrp://h;x=1").params().count(), 1);
        assert_eq!(uri("msrp://h/a@b;tcp").session_id(), Some("a@b"));
    }

    #[test]
    fn errors_have_their_place() {
        for (text, offset) in [
            ("", 0),
            ("sip:a@b", 0),
            ("msrpx://h", 0),
            ("msrp", 4),
            ("msrp:/h", 6),
            ("msrp://", 7),
            ("msrp:///s;tcp", 7),
            ("msrp://:1/s;tcp", 7),
            ("msrp://h:/s;tcp", 9),
            ("msrp://h:65536/s;tcp", 9),
            ("msrp://[::1/s;tcp", 7),
            ("msrp://h:1x/s;tcp", 10),
            ("msrp://h:1/s;", 13),
            ("msrp://h:1/s;tcp;a=", 19),
            ("msrp://h:1/s tcp", 12),
            ("msrp://h:1/s\u{e9};tcp", 12),
            ("msrp://a b@h:1/s;tcp", 8),
        ] {
            let error = Uri::parse(text.as_bytes()).unwrap_err();
            assert_eq!(error.offset, offset, "{text}: {error}");
        }
        assert!(Uri::parse(b"msrp://\xff@h:1/s;tcp").is_err());
    }

    /// RFC 4975 §6.1, rule by rule.
    #[test]
    fn compares_what_is_meant() {
        let base = "msrp://alice@host.example.org:7654/Sess;tcp;a=1";
        for (other, same) in [
            ("MSRP://alice@host.example.org:7654/Sess;tcp;a=1", true),
            ("msrps://alice@host.example.org:7654/Sess;tcp;a=1", false),
            ("msrp://HOST.Example.Org:7654/Sess;tcp;a=1", true),
            ("msrp://bob@h%6Fst.example.org:7654/Sess;tcp;a=1", true),
            ("msrp://other.example.org:7654/Sess;tcp;a=1", false),
            ("msrp://host.example.org:7655/Sess;tcp", false),
            ("msrp://host.example.org/Sess;tcp", false),
            ("msrp://host.example.org:07654/Sess;tcp", true),
            ("msrp://host.example.org:7654/sess;tcp", false),
            ("msrp://host.example.org:7654/%53ess;tcp", false),
            ("msrp://host.example.org:7654;tcp", false),
            ("msrp://host.example.org:7654/Sess;TCP", true),
            ("msrp://host.example.org:7654/Sess;ws", false),
            ("msrp://host.example.org:7654/Sess", false),
            ("msrp://host.example.org:7654/Sess;tcp;b=2", true),
        ] {
            assert_eq!(uri(base).equivalent(&uri(other)), same, "{other}");
            assert_eq!(uri(other).equivalent(&uri(base)), same, "{other}");
            assert_ne!(uri(base), uri(other));
        }
        let address = uri("msrp://[2001:db8:0:0::1]:1/s;tcp");
        assert!(address.equivalent(&uri("msrp://[2001:DB8::1]:1/s;tcp")));
        assert!(uri("msrp://127.0.0.1:1/s;tcp").equivalent(&uri("msrp://%3127.0.0.1:1/s;tcp")));
    }

    #[test]
    fn a_strict_reader_objects() {
        for (text, offset) in [
            ("msrp://h:1/s", 12),
            ("msrp://h:1", 10),
            ("msrp://h:1/;tcp", 11),
            ("msrp://h:1/a%41;tcp", 12),
            ("msrp://h:1/s;t-p", 13),
            ("msrp://127.0.0.1/s;tcp", 16),
            ("msrp://[::1];tcp", 12),
            ("msrp://127.0.0.1", 16),
        ] {
            assert_eq!(uri(text).strict().unwrap_err().offset, offset, "{text}");
        }
        assert_eq!(uri("msrp://relay.example.org;tcp").strict(), Ok(()));
    }
}
