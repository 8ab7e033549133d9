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

/// As it stands in `o=` and `c=`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.network, self.family, self.host)
    }
}
