//! The `m=message` section of an MSRP session (RFC 4975 §8) with its values read.

use super::address::{Address, AddressMatch};
use super::formats::{Fit, FormatList};
use super::setup::Setup;

/// The transports of MSRP in an `m=` line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `TCP/MSRP`
    Tcp,
    /// `TCP/TLS/MSRP`
    Tls,
}

/// Who may send messages (RFC 4975 §8.9). Reports and other control messages are not concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// Both, the default.
    #[default]
    SendRecv,
    /// The author of the description only sends.
    SendOnly,
    /// The author of the description only receives.
    RecvOnly,
    /// Neither.
    Inactive,
}

/// What one `m=message` section says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageMedia {
    /// Which `m=` section of the description, from 0.
    pub index: usize,
    /// The port; 0 means refused.
    pub port: u16,
    /// TCP or TLS.
    pub protocol: Protocol,
    /// The URIs of `a=path`, nearest hop first; empty where there is no such attribute.
    pub path: Vec<String>,
    /// `a=accept-types`; `None` where it is missing, which the rule does not allow.
    pub accept_types: Option<FormatList>,
    /// `a=accept-wrapped-types`.
    pub accept_wrapped_types: Option<FormatList>,
    /// `a=max-size`; `None` where it is missing or no number, it is a hint only.
    pub max_size: Option<u64>,
    /// `a=setup` where it has a value of RFC 4145, `holdconn` included.
    pub setup: Option<Setup>,
    /// The direction of the section, else of the session, else both.
    pub direction: Direction,
    /// Whether `a=msrp-cema` is there (RFC 6714).
    pub cema: bool,
    /// The connection address of the section, else of the session.
    pub connection: Option<Address>,
    /// `a=file-selector` as written (RFC 5547).
    pub file_selector: Option<String>,
    /// `a=file-transfer-id` as written.
    pub file_transfer_id: Option<String>,
    /// `a=file-disposition` as written.
    pub file_disposition: Option<String>,
    /// Every attribute of the section in order, those above included, with its value as written.
    pub attributes: Vec<(String, Option<String>)>,
}

impl MessageMedia {
    /// Whether the section is refused or stopped (port 0).
    pub fn is_rejected(&self) -> bool {
        self.port == 0
    }

    /// Whether the author takes a whole message of that Content-Type (RFC 4975 §8.6): only what
    /// `accept-types` lists or covers with `*`. Containers such as `multipart/mixed` and
    /// `message/cpim` get no exception: what is mandatory to support is signalled like the rest.
    pub fn accepts(&self, content_type: &str) -> Option<Fit> {
        self.accept_types.as_ref()?.fit(content_type)
    }

    /// Whether the author takes content of that type inside a container of `container` type
    /// (RFC 4975 §8.6): the container must be accepted itself, and the content be in either list.
    pub fn accepts_wrapped(&self, container: &str, content_type: &str) -> Option<Fit> {
        let _ = (container, content_type);
        todo!()
    }

    /// Whether messages to the author should be wrapped in `message/cpim`: it is the first accepted
    /// type (RFC 4975 §13).
    pub fn prefers_cpim(&self) -> bool {
        todo!()
    }

    /// Whether `c=` and the port of `m=` are the place that one of the path URIs names
    /// (RFC 6714 §4.4), as far as can be told without the DNS.
    pub fn line_matches_path(&self) -> AddressMatch {
        todo!()
    }

    /// The same, names resolved by `resolve`. A name without addresses matches nothing.
    pub fn line_matches_path_with(
        &self,
        resolve: impl FnMut(&str) -> Vec<std::net::IpAddr>,
    ) -> bool {
        let _ = resolve;
        todo!()
    }
}

impl Protocol {
    /// As it stands in the `m=` line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP/MSRP",
            Self::Tls => "TCP/TLS/MSRP",
        }
    }
}

impl Direction {
    /// As it stands in the attribute.
    pub fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// The same stream seen from the other side, for an answer (RFC 3264 §6.1).
    pub fn reversed(self) -> Self {
        match self {
            Self::SendOnly => Self::RecvOnly,
            Self::RecvOnly => Self::SendOnly,
            same => same,
        }
    }
}
