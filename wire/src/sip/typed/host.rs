//! Hosts: names, IPv4 addresses, IPv6 references (RFC 3261 §25.1, RFC 5118).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::ValueResult;
use super::cursor::Cursor;

/// A host name or address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A name as written; compare without case.
    Name(String),
    /// IPv4, or IPv6 in brackets.
    Ip(IpAddr),
}

impl Host {
    /// Reads a whole host: a name, an IPv4 address, or an IPv6 address in brackets.
    pub fn parse(octets: &[u8]) -> ValueResult<Self> {
        let mut cursor = Cursor::new(octets);
        let host = host(&mut cursor)?;
        if cursor.rest().is_empty() {
            Ok(host)
        } else {
            cursor.error("the end of the host")
        }
    }

    /// Whether two hosts are the same: names without case, addresses by value. A name never is an
    /// address, whatever the DNS says (RFC 3261 §19.1.4).
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Name(a), Self::Name(b)) => a.eq_ignore_ascii_case(b),
            (Self::Ip(a), Self::Ip(b)) => a == b,
            _ => false,
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ip(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Ip(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// `host [ ":" port ]` where `spaced` says that white space may stand around the colon: in Via it
/// may (COLON), in a URI it may not.
pub(crate) fn host_port(cursor: &mut Cursor<'_>, spaced: bool) -> ValueResult<(Host, Option<u16>)> {
    let host = host(cursor)?;
    let after_host = cursor.clone();
    if spaced {
        cursor.skip_lws();
    }
    if !cursor.eat(b':') {
        *cursor = after_host;
        return Ok((host, None));
    }
    if spaced {
        cursor.skip_lws();
    }
    let start = cursor.clone();
    let expected = "a port, 0 to 65535";
    let port = cursor.word(|octet| octet.is_ascii_digit(), expected)?;
    match port.parse::<u16>() {
        Ok(port) => Ok((host, Some(port))),
        Err(_) => start.error(expected),
    }
}

/// Reads a host from the front.
pub(crate) fn host(cursor: &mut Cursor<'_>) -> ValueResult<Host> {
    if cursor.peek() == Some(b'[') {
        return ipv6_reference(cursor);
    }
    let start = cursor.clone();
    let expected = "a host name, an IPv4 address, or an IPv6 address in brackets";
    let text = cursor.word(is_host, expected)?;
    let name = text.strip_suffix('.').unwrap_or(text);
    let mut last = "";
    for label in name.split('.') {
        if label.is_empty() || label.starts_with('-') || label.ends_with('-') {
            return start.error(expected);
        }
        last = label;
    }
    // The grammar wants a letter first in the last label; names of containers break that. Only a
    // label of digits alone could be taken for an address.
    if last.bytes().all(|octet| octet.is_ascii_digit()) {
        return match ipv4(text) {
            Some(address) => Ok(Host::Ip(IpAddr::V4(address))),
            None => start.error(expected),
        };
    }
    Ok(Host::Name(text.to_owned()))
}

/// Reads an IPv6 address with or without brackets, or an IPv4 one: `received` comes in all three
/// forms (RFC 5118 §4.5).
pub(crate) fn address(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    ipv6(bare)
        .map(IpAddr::V6)
        .or_else(|| ipv4(text).map(IpAddr::V4))
}

/// An underscore is in no host name of the grammar, but in many that run; nothing else it could
/// mean.
fn is_host(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'-' | b'_')
}

fn ipv6_reference(cursor: &mut Cursor<'_>) -> ValueResult<Host> {
    let start = cursor.clone();
    cursor.eat(b'[');
    let text = cursor.take_while(|octet| octet.is_ascii_hexdigit() || matches!(octet, b':' | b'.'));
    let address = std::str::from_utf8(text).ok().and_then(ipv6);
    match address {
        Some(address) if cursor.eat(b']') => Ok(Host::Ip(IpAddr::V6(address))),
        _ => start.error("an IPv6 address in brackets"),
    }
}

fn ipv6(text: &str) -> Option<Ipv6Addr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    // RFC 5118 §4.10: the grammar of RFC 3261 gives one colon too many before an IPv4 part.
    let (front, ipv4) = text.split_once(":::")?;
    if !ipv4.contains('.') {
        return None;
    }
    format!("{front}::{ipv4}").parse().ok()
}

/// `1*3DIGIT` four times: leading zeros are decimal here, which the standard library refuses.
fn ipv4(text: &str) -> Option<Ipv4Addr> {
    let mut parts = text.split('.');
    let mut octets = [0_u8; 4];
    for octet in &mut octets {
        let part = parts.next()?;
        if !(1..=3).contains(&part.len()) || !part.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        *octet = part.parse().ok()?;
    }
    parts.next().is_none().then(|| Ipv4Addr::from(octets))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        Host::parse(text.as_bytes()).ok().map(|host| match host {
            Host::Name(name) => format!("name {name}"),
            Host::Ip(address) => format!("ip {address}"),
        })
    }

    #[test]
    fn reads_all_forms() {
        for (text, is) in [
            ("example.org", "name example.org"),
            ("example.org.", "name example.org."),
            ("my_host-1", "name my_host-1"),
            ("7f3a2b1c", "name 7f3a2b1c"),
            ("192.0.2.1", "ip 192.0.2.1"),
            ("192.000.002.001", "ip 192.0.2.1"),
            ("[2001:db8::10]", "ip 2001:db8::10"),
            ("[2001:DB8:0:0:0:0:0:10]", "ip 2001:db8::10"),
            ("[::ffff:192.0.2.10]", "ip ::ffff:192.0.2.10"),
            ("[2001:db8:::192.0.2.1]", "ip 2001:db8::c000:201"),
            ("[2001:db8::192.0.2.1]", "ip 2001:db8::c000:201"),
            ("[::]", "ip ::"),
        ] {
            assert_eq!(read(text).as_deref(), Some(is), "{text}");
        }
        for text in [
            "",
            ".",
            "a..b",
            ".a",
            "-a",
            "a-",
            "256.1.1.1",
            "1.2.3",
            "1.2.3.4.5",
            "12",
            "[]",
            "[::1",
            "[1.2.3.4]",
            "[:::1]",
            "[2001:db8:::1]",
            "[fe80::1%eth0]",
            "2001:db8::10",
            "a b",
            "\u{e9}",
            "192.0.2.1.",
            "1.2.3.0004",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn addresses_of_received() {
        assert_eq!(address("[2001:db8::9:255]"), address("2001:db8::9:255"));
        assert_eq!(address("192.0.2.1"), Some(IpAddr::from([192, 0, 2, 1])));
        assert_eq!(address("[192.0.2.1]"), None);
        assert_eq!(address("host"), None);
    }

    #[test]
    fn shows_brackets_where_they_belong() {
        for text in ["example.org", "192.0.2.1", "[2001:db8::1]"] {
            assert_eq!(
                Host::parse(text.as_bytes()).map(|h| h.to_string()),
                Ok(text.to_owned())
            );
        }
    }
}
