//! Via (RFC 3261 §20.42, RFC 3581).

use std::net::IpAddr;

use super::cursor::Cursor;
use super::host::{self, Host};
use super::params::{Params, RawParam, header_params};
use super::{TypedHeader, ValueResult};

/// One hop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Via {
    /// Protocol as written: `SIP`.
    pub protocol: String,
    /// Protocol version as written: `2.0`.
    pub version: String,
    /// Transport as written: `UDP`, `TCP`, …
    pub transport: String,
    /// Host of sent-by.
    pub host: Host,
    /// Port of sent-by, where one is written.
    pub port: Option<u16>,
    /// Parameters.
    pub params: Params,
}

impl Via {
    /// The branch parameter.
    pub fn branch(&self) -> Option<&str> {
        self.params.get("branch")
    }

    /// The address of the received parameter, IPv6 with or without brackets (RFC 5118 §4.5).
    pub fn received(&self) -> Option<IpAddr> {
        self.params.get("received").and_then(host::address)
    }

    /// Whether the client asks for symmetric response routing (RFC 3581 §3): an rport parameter is
    /// there, with or without a value.
    pub fn wants_rport(&self) -> bool {
        self.params.has("rport")
    }

    /// The port of the rport parameter, once a server has filled it in (RFC 3581 §4).
    pub fn rport(&self) -> Option<u16> {
        self.params.get("rport").and_then(|port| port.parse().ok())
    }
}

impl TypedHeader for Via {
    const NAME: &'static str = "Via";
    const LIST: bool = true;

    fn parse_value(value: &[u8]) -> ValueResult<Self> {
        let raw = RawVia::parse(value)?;
        Ok(Self {
            protocol: raw.protocol.to_owned(),
            version: raw.version.to_owned(),
            transport: raw.transport.to_owned(),
            host: raw.host,
            port: raw.port,
            params: raw.params.into(),
        })
    }
}

/// One hop borrowed from the value.
#[derive(Debug)]
pub(crate) struct RawVia<'v> {
    pub(crate) protocol: &'v str,
    pub(crate) version: &'v str,
    pub(crate) transport: &'v str,
    pub(crate) host: Host,
    pub(crate) port: Option<u16>,
    pub(crate) params: Vec<RawParam<'v>>,
}

impl<'v> RawVia<'v> {
    pub(crate) fn parse(value: &'v [u8]) -> ValueResult<Self> {
        let mut cursor = Cursor::new(value);
        cursor.skip_lws();
        let protocol = cursor.token("a protocol, as `SIP`")?;
        slash(&mut cursor)?;
        let version = cursor.token("a protocol version, as `2.0`")?;
        slash(&mut cursor)?;
        let transport = cursor.token("a transport, as `UDP`")?;
        let before = cursor.at();
        cursor.skip_lws();
        if cursor.at() == before {
            return cursor.error("white space and the host of sent-by");
        }
        let (host, port) = host::host_port(&mut cursor, true)?;
        let params = header_params(&mut cursor)?;
        Ok(Self {
            protocol,
            version,
            transport,
            host,
            port,
            params,
        })
    }
}

fn slash(cursor: &mut Cursor) -> ValueResult<()> {
    cursor.skip_lws();
    cursor.expect(b'/', "`/`")?;
    cursor.skip_lws();
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn reads_all_forms() {
        let read = |v: &str| Via::parse_value(v.as_bytes()).unwrap();
        let via = read("SIP/2.0/UDP pc33.example.com:5062;branch=z9hG4bK776;rport");
        assert_eq!(
            (via.protocol.as_str(), via.version.as_str()),
            ("SIP", "2.0")
        );
        assert_eq!((via.transport.as_str(), via.port), ("UDP", Some(5062)));
        assert_eq!(via.host, Host::Name("pc33.example.com".to_owned()));
        assert_eq!(via.branch(), Some("z9hG4bK776"));
        assert!(via.wants_rport());
        assert_eq!(via.rport(), None);

        let via =
            read("SIP  /   2.0\r\n /UNKNOWN\r\n   [2001:db8::9:1] : 6050 ; branch = a ;rport=99");
        assert_eq!((via.transport.as_str(), via.port), ("UNKNOWN", Some(6050)));
        assert_eq!(via.host.to_string(), "[2001:db8::9:1]");
        assert_eq!((via.branch(), via.rport()), (Some("a"), Some(99)));

        let with = read("SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:255];branch=z9hG4bKas3");
        let without =
            read("SIP/2.0/UDP [2001:db8::9:1];received=2001:db8::9:255;branch=z9hG4bKas3");
        assert!(with.received().is_some());
        assert_eq!(with.received(), without.received());
        assert_eq!(read("SIP/2.0/TCP h").branch(), None);
    }

    #[test]
    fn errors_have_their_place() {
        for (value, offset) in [
            ("", 0),
            ("SIP/2.0", 7),
            ("SIP/2.0/UDP", 11),
            ("SIP/2.0/UDP ", 12),
            ("SIP/2.0/UDP 2001:db8::9:1", 12),
            ("SIP/2.0/UDP h:", 14),
            ("SIP/2.0/UDP h:65536", 14),
            ("SIP/2.0/UDP h x", 14),
            ("SIP/2.0/UDP 192.0.2.15;;", 23),
            ("SIP/2.0/UDP <h>", 12),
        ] {
            assert_eq!(
                Via::parse_value(value.as_bytes()).unwrap_err().offset,
                offset,
                "{value}"
            );
        }
    }
}
