//! Connection addresses (RFC 8866 §5.7), and whether two places are the same one (RFC 6714 §4.4).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `IN IP4 192.0.2.1`, `IN IP6 2001:db8::1` or `IN IP4 host.example.org`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Network type, `IN`.
    pub network: String,
    /// Address type, `IP4` or `IP6`.
    pub family: String,
    /// The address or name as written, without brackets.
    pub host: String,
}

/// Whether two places are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressMatch {
    /// They are.
    Same,
    /// They are not.
    Different,
    /// A name stands against an address or another name: only the DNS can tell.
    NeedsDns,
}

impl Address {
    /// A name, said to be of that family.
    pub fn name(host: impl Into<String>, ipv6: bool) -> Self {
        Self {
            network: "IN".to_owned(),
            family: if ipv6 { "IP6" } else { "IP4" }.to_owned(),
            host: host.into(),
        }
    }

    /// The IP address, where it is one and not a name; a multicast suffix (`/ttl`) is left out.
    pub fn ip(&self) -> Option<IpAddr> {
        let host = self.host.split('/').next()?;
        host.parse().ok()
    }
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        Self::name(address.to_string(), address.is_ipv6())
    }
}

impl From<Ipv4Addr> for Address {
    fn from(address: Ipv4Addr) -> Self {
        IpAddr::from(address).into()
    }
}

impl From<Ipv6Addr> for Address {
    fn from(address: Ipv6Addr) -> Self {
        IpAddr::from(address).into()
    }
}

/// An IPv4 address, an IPv6 address with or without brackets, or else a name, said to be of IPv4.
impl From<&str> for Address {
    fn from(host: &str) -> Self {
        let bare = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(host);
        match bare.parse::<IpAddr>() {
            Ok(address) => address.into(),
            Err(_) => Self::name(host, false),
        }
    }
}

impl From<&sdp_types::Connection> for Address {
    fn from(connection: &sdp_types::Connection) -> Self {
        Self {
            network: connection.nettype.to_string(),
            family: connection.addrtype.to_string(),
            host: connection.connection_address.clone(),
        }
    }
}

/// As it stands in `o=` and `c=`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.network, self.family, self.host)
    }
}

/// Whether two hosts are the same one: addresses by value (RFC 6714 §4.4), names without case.
pub(super) fn compare_hosts(one: &Address, other: &Address) -> AddressMatch {
    match (one.ip(), other.ip()) {
        (Some(one), Some(other)) if one == other => AddressMatch::Same,
        (Some(_), Some(_)) => AddressMatch::Different,
        (None, None) if same_name(&one.host, &other.host) => AddressMatch::Same,
        _ => AddressMatch::NeedsDns,
    }
}

fn same_name(one: &str, other: &str) -> bool {
    let bare = |name: &'_ str| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    bare(one) == bare(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_addresses_from_names() {
        for (host, shown) in [
            ("192.0.2.1", "IN IP4 192.0.2.1"),
            ("[2001:DB8::1]", "IN IP6 2001:db8::1"),
            ("2001:db8::1", "IN IP6 2001:db8::1"),
            ("im.example.org", "IN IP4 im.example.org"),
            ("[im.example.org]", "IN IP4 [im.example.org]"),
        ] {
            assert_eq!(Address::from(host).to_string(), shown);
        }
        assert_eq!(Address::name("h", true).to_string(), "IN IP6 h");
        assert_eq!(Address::from(Ipv6Addr::LOCALHOST).to_string(), "IN IP6 ::1");
        assert_eq!(
            Address::name("224.2.1.1/127", false).ip(),
            Some(IpAddr::from([224, 2, 1, 1]))
        );
        assert_eq!(Address::name("im.example.org", false).ip(), None);
    }

    #[test]
    fn compares_places() {
        use AddressMatch::{Different, NeedsDns, Same};
        for (one, other, expected) in [
            ("192.0.2.1", "192.0.2.1", Same),
            ("192.0.2.1", "192.0.2.2", Different),
            ("2001:db8::1", "[2001:DB8:0:0::0001]", Same),
            ("::1", "127.0.0.1", Different),
            ("im.example.org", "IM.Example.org.", Same),
            ("im.example.org", "relay.example.org", NeedsDns),
            ("im.example.org", "192.0.2.1", NeedsDns),
        ] {
            let result = compare_hosts(&one.into(), &other.into());
            assert_eq!(result, expected, "{one} / {other}");
        }
    }
}
