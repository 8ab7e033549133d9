//! URIs of any scheme, with the comparison rules of RFC 3261 §19.1.4.

use std::net::IpAddr;

use super::ValueResult;
use super::params::Params;

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

/// A host name or address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A name as written; compare without case.
    Name(String),
    /// IPv4, or IPv6 in brackets.
    Ip(IpAddr),
}

impl Uri {
    /// Reads a URI. Octets that are not UTF-8 are an error.
    pub fn parse(octets: &[u8]) -> ValueResult<Self> { let _ = octets; todo!() }
    /// Scheme in lower case.
    pub fn scheme(&self) -> &str { todo!() }
    /// The parts, for `sip:` and `sips:`.
    pub fn as_sip(&self) -> Option<&SipUri> { todo!() }
    /// RFC 3261 §19.1.4 (sip, sips), RFC 3966 §4 (tel); other schemes: scheme without case, rest exact.
    pub fn equivalent(&self, other: &Self) -> bool { let _ = other; todo!() }
}

impl SipUri {
    /// User part with escapes decoded: octets, since `%00` and `%ff` are legal.
    pub fn user_decoded(&self) -> Option<Vec<u8>> { todo!() }
    /// The address-of-record key of RFC 3261 §10.3 step 5: scheme, decoded user, lower-case host, port;
    /// without parameters. Two AORs are the same when their keys are.
    pub fn aor_key(&self) -> String { todo!() }
}

impl std::fmt::Display for Uri {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { let _ = f; todo!() }
}
impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { let _ = f; todo!() }
}
