//! The `m=message` section of an MSRP session (RFC 4975 §8) with its values read.

use std::net::IpAddr;

use super::ParseError;
use super::address::{Address, AddressMatch, compare_hosts};
use super::formats::{Fit, FormatList};
use super::media::{Attribute, Media};
use super::setup::Setup;
use crate::msrp::Path;
use crate::sip::ValueError;
use crate::sip::text::digits;

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

/// What one `m=message` section says. Where an attribute stands twice, the first one counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageMedia {
    /// Which `m=` section of the description, from 0.
    pub index: usize,
    /// The port; 0 means refused.
    pub port: u16,
    /// TCP or TLS.
    pub protocol: Protocol,
    /// `a=path`; `None` where it is missing, which only a refused section may do.
    pub path: Option<Path>,
    /// `a=accept-types`; `None` where it is missing, which only a refused section may do.
    pub accept_types: Option<FormatList>,
    /// `a=accept-wrapped-types`.
    pub accept_wrapped_types: Option<FormatList>,
    /// `a=max-size`; `None` where it is missing or no number: it is a hint only (RFC 4975 §8.6).
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
    /// The value by its name.
    pub fn from_name(name: &str) -> Option<Self> {
        [
            Self::SendRecv,
            Self::SendOnly,
            Self::RecvOnly,
            Self::Inactive,
        ]
        .into_iter()
        .find(|direction| direction.name() == name)
    }

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

    /// Whether the author of the description sends messages.
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the author of the description receives messages.
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }
}

impl MessageMedia {
    /// Whether the section is refused or stopped (port 0).
    pub fn is_rejected(&self) -> bool {
        self.port == 0
    }

    /// Whether the author takes a whole message of that Content-Type (RFC 4975 §8.6): only what
    /// `accept-types` lists or covers with `*`. Containers such as `multipart/mixed` and
    /// `message/cpim` get no exception: what all must support is signalled like the rest.
    pub fn accepts(&self, content_type: &str) -> Option<Fit> {
        self.accept_types.as_ref()?.fit(content_type)
    }

    /// Whether the author takes content of that type inside a container of `container` type
    /// (RFC 4975 §8.6): the container must be accepted itself, and the content be in either list.
    /// A container inside a container is content like any other.
    pub fn accepts_wrapped(&self, container: &str, content_type: &str) -> Option<Fit> {
        let outer = self.accepts(container)?;
        let in_list = |list: &Option<FormatList>| list.as_ref()?.fit(content_type);
        let inner = match (
            in_list(&self.accept_types),
            in_list(&self.accept_wrapped_types),
        ) {
            (Some(Fit::Explicit), _) | (_, Some(Fit::Explicit)) => Fit::Explicit,
            (None, None) => return None,
            _ => Fit::Wildcard,
        };
        match (outer, inner) {
            (Fit::Explicit, Fit::Explicit) => Some(Fit::Explicit),
            _ => Some(Fit::Wildcard),
        }
    }

    /// Whether messages to the author should be wrapped in `message/cpim`: it is the first accepted
    /// type (RFC 4975 §13).
    pub fn prefers_cpim(&self) -> bool {
        self.accept_types
            .as_ref()
            .is_some_and(|list| list.prefers("message/cpim"))
    }

    /// Whether the path says that the author is behind a relay (RFC 4975 §8.3, RFC 6714 §4.3).
    pub fn has_relay(&self) -> bool {
        self.path.as_ref().is_some_and(|path| path.len() > 1)
    }

    /// Whether `c=` and the port of `m=` are the place that one of the path URIs names
    /// (RFC 6714 §4.4), as far as can be told without the DNS.
    ///
    /// The discard port of an active side names no place (RFC 4145 §4.1, RFC 6135 §4.2.2): beside
    /// `a=setup:active` it goes with any port.
    pub fn line_matches_path(&self) -> AddressMatch {
        let mut result = AddressMatch::Different;
        for (line, uri) in self.places() {
            match compare_hosts(line, &uri) {
                AddressMatch::Same => return AddressMatch::Same,
                AddressMatch::NeedsDns => result = AddressMatch::NeedsDns,
                AddressMatch::Different => {}
            }
        }
        result
    }

    /// The same with the DNS: `resolve` gives the addresses of a name, perhaps none.
    pub fn line_matches_path_with(&self, mut resolve: impl FnMut(&str) -> Vec<IpAddr>) -> bool {
        let mut addresses = |place: &Address| match place.ip() {
            Some(address) => vec![address],
            None => resolve(&place.host),
        };
        self.places()
            .any(|(line, uri)| match compare_hosts(line, &uri) {
                AddressMatch::Same => true,
                AddressMatch::Different => false,
                AddressMatch::NeedsDns => {
                    let line = addresses(line);
                    !line.is_empty() && addresses(&uri).iter().any(|it| line.contains(it))
                }
            })
    }

    /// The address of `c=` beside that of each URI whose port is the one of `m=`.
    fn places(&self) -> impl Iterator<Item = (&Address, Address)> {
        let discards = self.setup == Some(Setup::Active) && self.port == DISCARD;
        let uris = self.path.iter().flat_map(Path::iter);
        let same_port = uris.filter(move |uri| discards || uri.port() == Some(self.port));
        same_port.filter_map(|uri| {
            let host = uri.host().to_string();
            Some((self.connection.as_ref()?, Address::from(host.as_str())))
        })
    }
}

/// The port that says that there is none.
pub(super) const DISCARD: u16 = 9;

/// Reads the section. The first attribute of a name counts.
pub(super) fn read(media: &Media<'_>, protocol: Protocol) -> Result<MessageMedia, ParseError> {
    let first = |name: &str| media.attribute(name);
    let text = |name: &str| first(name)?.value.map(str::to_owned);
    let located = |attribute: Attribute<'_>, error: ValueError| {
        let offset = attribute.value_range().start + error.offset;
        ParseError::at(media.description.as_bytes(), offset, error.expected)
    };
    let list = |name: &str| {
        let read = |attribute: Attribute<'_>| {
            FormatList::parse(attribute.value.unwrap_or_default())
                .map_err(|error| located(attribute, error))
        };
        first(name).map(read).transpose()
    };
    let path = |attribute: Attribute<'_>| {
        Path::parse(attribute.value.unwrap_or_default().as_bytes())
            .map_err(|error| located(attribute, error))
    };
    let own = media.attributes().find_map(direction);
    Ok(MessageMedia {
        index: media.index(),
        port: media.port(),
        protocol,
        path: first("path").map(path).transpose()?,
        accept_types: list("accept-types")?,
        accept_wrapped_types: list("accept-wrapped-types")?,
        max_size: first("max-size").and_then(max_size),
        setup: first("setup").and_then(setup),
        direction: own
            .or_else(|| media.description.attributes().find_map(direction))
            .unwrap_or_default(),
        cema: first("msrp-cema").is_some(),
        connection: media.connection(),
        file_selector: text("file-selector"),
        file_transfer_id: text("file-transfer-id"),
        file_disposition: text("file-disposition"),
        attributes: media
            .attributes()
            .map(|it| (it.name.to_owned(), it.value.map(str::to_owned)))
            .collect(),
    })
}

/// The direction that an attribute says, if it says one.
pub(super) fn direction(attribute: Attribute<'_>) -> Option<Direction> {
    Direction::from_name(attribute.name).filter(|_| attribute.value.is_none())
}

/// `1*DIGIT`; numbers beyond `u64` become its maximum.
pub(super) fn max_size(attribute: Attribute<'_>) -> Option<u64> {
    digits(attribute.value?.as_bytes())
}

/// A value of RFC 4145 §4.
pub(super) fn setup(attribute: Attribute<'_>) -> Option<Setup> {
    Setup::from_name(attribute.value?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::sdp::Description;

    fn read(connection: &str, media: &str) -> MessageMedia {
        let text = format!(
            "v=0\r\no=- 1 1 IN IP4 h\r\ns=-\r\nc={connection}\r\nt=0 0\r\na=sendonly\r\n{}\r\n",
            media.replace('\n', "\r\n")
        );
        let description = Description::parse(text).unwrap();
        description.messages().next().unwrap().unwrap()
    }

    fn message(media: &str) -> MessageMedia {
        read("IN IP4 192.0.2.1", media)
    }

    #[test]
    fn reads_every_value() {
        let it = message(
            "m=message 7654 TCP/TLS/MSRP *\na=accept-types:message/cpim text/*\n\
             a=accept-wrapped-types:image/png *\na=max-size:65536\na=setup:actpass\n\
             a=path:msrps://relay.example.org:2855/r;tcp msrps://192.0.2.1:7654/s;tcp\n\
             a=recvonly\na=msrp-cema\na=file-selector:name:\"a b\" size:9\n\
             a=file-transfer-id:x\na=file-disposition:attachment\na=x-own:1:2\na=x-flag",
        );
        assert_eq!((it.port, it.protocol), (7654, Protocol::Tls));
        let path = it.path.as_ref().unwrap();
        assert_eq!(path.len(), 2);
        assert_eq!(path.last().session_id(), Some("s"));
        assert!(it.has_relay());
        assert_eq!(it.accept_types.as_ref().unwrap().entries.len(), 2);
        assert_eq!(it.accept_wrapped_types.as_ref().unwrap().entries.len(), 2);
        assert_eq!(it.max_size, Some(65_536));
        assert_eq!(it.setup, Some(Setup::ActPass));
        assert_eq!(it.direction, Direction::RecvOnly);
        assert!(it.cema && it.prefers_cpim() && !it.is_rejected());
        assert_eq!(it.connection.as_ref().unwrap().host, "192.0.2.1");
        assert_eq!(it.file_selector.as_deref(), Some("name:\"a b\" size:9"));
        assert_eq!(it.file_transfer_id.as_deref(), Some("x"));
        assert_eq!(it.file_disposition.as_deref(), Some("attachment"));
        let own: Vec<_> = it.attributes.iter().rev().take(2).collect();
        assert_eq!(own[0], &("x-flag".to_owned(), None));
        assert_eq!(own[1], &("x-own".to_owned(), Some("1:2".to_owned())));
        assert_eq!(it.line_matches_path(), AddressMatch::Same);
    }

    #[test]
    fn defaults_and_what_cannot_be_read() {
        let it = message("m=message 0 TCP/MSRP *");
        assert!(it.is_rejected() && it.path.is_none() && it.accept_types.is_none());
        assert_eq!(it.direction, Direction::SendOnly, "from the session");
        assert_eq!((it.max_size, it.setup), (None, None));
        assert!(!it.cema && !it.prefers_cpim());
        assert_eq!(it.accepts("text/plain"), None);
        for (attribute, max_size) in [
            ("a=max-size:0", Some(0)),
            ("a=max-size:99999999999999999999999", Some(u64::MAX)),
            ("a=max-size:-1", None),
            ("a=max-size:1k", None),
            ("a=max-size:", None),
            ("a=max-size", None),
            ("a=max-size:1\na=max-size:2", Some(1)),
        ] {
            let it = message(&format!("m=message 1 TCP/MSRP *\n{attribute}"));
            assert_eq!(it.max_size, max_size, "{attribute}");
        }
        for (attribute, setup) in [
            ("a=setup:holdconn", Some(Setup::HoldConn)),
            ("a=setup:Active", None),
            ("a=setup", None),
        ] {
            let it = message(&format!("m=message 1 TCP/MSRP *\n{attribute}"));
            assert_eq!(it.setup, setup, "{attribute}");
        }
    }

    #[test]
    fn other_transports_are_no_message_sessions() {
        for line in [
            "m=message 1 TCP/WS/MSRP *",
            "m=audio 1 TCP/MSRP *",
            "m=message 1 tcp/msrp *",
            "m=message 1  TCP/MSRP *",
        ] {
            let text = format!("v=0\r\n{line}\r\n");
            assert_eq!(
                Description::parse(text).unwrap().messages().count(),
                0,
                "{line}"
            );
        }
    }

    #[test]
    fn two_sections_are_two_sessions() {
        let media = "m=message 0 TCP/MSRP *\nm=message 5 TCP/MSRP *\na=inactive\n\
                     m=message 6 TCP/TLS/MSRP *";
        let text = format!("v=0\r\n{}\r\n", media.replace('\n', "\r\n"));
        let description = Description::parse(text).unwrap();
        let ports: Vec<_> = description.messages().map(|it| it.unwrap().port).collect();
        assert_eq!(ports, [0, 5, 6]);
        let first = description.message().unwrap().unwrap();
        assert_eq!((first.index, first.port), (1, 5));
        assert_eq!(first.direction, Direction::Inactive);
    }

    #[test]
    fn wrapped_content_needs_an_accepted_container() {
        let it = message(
            "m=message 1 TCP/MSRP *\na=accept-types:message/cpim text/plain\n\
             a=accept-wrapped-types:text/html image/*",
        );
        assert_eq!(it.accepts("message/cpim"), Some(Fit::Explicit));
        assert_eq!(it.accepts("text/html"), None);
        for (container, content, expected) in [
            ("message/cpim", "text/html", Some(Fit::Explicit)),
            ("message/cpim", "text/plain", Some(Fit::Explicit)),
            ("message/cpim", "image/png", Some(Fit::Wildcard)),
            ("message/cpim", "audio/basic", None),
            ("multipart/mixed", "text/plain", None),
        ] {
            assert_eq!(
                it.accepts_wrapped(container, content),
                expected,
                "{content}"
            );
        }
        let any = message("m=message 1 TCP/MSRP *\na=accept-types:*");
        assert_eq!(
            any.accepts_wrapped("message/cpim", "a/b"),
            Some(Fit::Wildcard)
        );
    }

    #[test]
    fn whether_the_lines_name_the_place_of_the_path() {
        use AddressMatch::{Different, NeedsDns, Same};
        for (connection, port, attributes, expected) in [
            (
                "IN IP4 192.0.2.1",
                2855,
                "path:msrp://192.0.2.1:2855/s;tcp",
                Same,
            ),
            (
                "IN IP4 192.0.2.1",
                2855,
                "path:msrp://192.0.2.9:2855/s;tcp",
                Different,
            ),
            (
                "IN IP4 192.0.2.1",
                2856,
                "path:msrp://192.0.2.1:2855/s;tcp",
                Different,
            ),
            (
                "IN IP4 192.0.2.1",
                2855,
                "path:msrp://192.0.2.1/s;tcp",
                Different,
            ),
            (
                "IN IP4 192.0.2.1",
                2855,
                "path:msrp://im.example.org:2855/s;tcp",
                NeedsDns,
            ),
            (
                "IN IP4 im.example.org",
                2855,
                "path:msrp://192.0.2.1:2855/s;tcp",
                NeedsDns,
            ),
            (
                "IN IP4 im.example.org",
                2855,
                "path:msrp://IM.example.org:2855/s;tcp",
                Same,
            ),
            (
                "IN IP4 im.example.org",
                2855,
                "path:msrp://im.example.org:2856/s;tcp",
                Different,
            ),
            (
                "IN IP6 2001:db8::1",
                2855,
                "path:msrp://[2001:DB8:0::1]:2855/s;tcp",
                Same,
            ),
            (
                "IN IP6 ::1",
                2855,
                "path:msrp://127.0.0.1:2855/s;tcp",
                Different,
            ),
            // The relay's place, or the endpoint's: one of them is enough.
            (
                "IN IP4 192.0.2.1",
                2855,
                "path:msrp://192.0.2.7:2855/r;tcp msrp://192.0.2.1:2855/s;tcp",
                Same,
            ),
            // The discard port of an active side names no place.
            (
                "IN IP4 192.0.2.1",
                9,
                "setup:active\na=path:msrp://192.0.2.1:7/s;tcp",
                Same,
            ),
            (
                "IN IP4 192.0.2.1",
                9,
                "setup:active\na=path:msrp://192.0.2.9:9/s;tcp",
                Different,
            ),
            (
                "IN IP4 192.0.2.1",
                9,
                "setup:passive\na=path:msrp://192.0.2.1:7/s;tcp",
                Different,
            ),
            ("IN IP4 192.0.2.1", 2855, "x", Different),
        ] {
            let it = read(
                connection,
                &format!("m=message {port} TCP/MSRP *\na={attributes}"),
            );
            assert_eq!(
                it.line_matches_path(),
                expected,
                "{connection} {port} {attributes}"
            );
        }
    }

    #[test]
    fn names_are_resolved_where_it_matters() {
        let dns = |name: &str| match name {
            "im.example.org" => vec![IpAddr::from([192, 0, 2, 8]), IpAddr::from([192, 0, 2, 1])],
            "alias.example.org" => vec![IpAddr::from([192, 0, 2, 1])],
            _ => Vec::new(),
        };
        for (connection, uri_host, expected) in [
            ("IN IP4 192.0.2.1", "im.example.org", true),
            ("IN IP4 192.0.2.2", "im.example.org", false),
            ("IN IP4 im.example.org", "192.0.2.8", true),
            ("IN IP4 alias.example.org", "im.example.org", true),
            ("IN IP4 no.example.org", "nothing.example.org", false),
            ("IN IP4 no.example.org", "no.example.org", true),
            ("IN IP4 192.0.2.1", "192.0.2.2", false),
        ] {
            let path = format!("m=message 5 TCP/MSRP *\na=path:msrp://{uri_host}:5/s;tcp");
            let it = read(connection, &path);
            assert_eq!(
                it.line_matches_path_with(dns),
                expected,
                "{connection} {uri_host}"
            );
        }
    }

    #[test]
    fn directions() {
        use Direction::{Inactive, RecvOnly, SendOnly, SendRecv};
        for (direction, reversed, sends, receives) in [
            (SendRecv, SendRecv, true, true),
            (SendOnly, RecvOnly, true, false),
            (RecvOnly, SendOnly, false, true),
            (Inactive, Inactive, false, false),
        ] {
            assert_eq!(direction.reversed(), reversed);
            assert_eq!((direction.sends(), direction.receives()), (sends, receives));
            assert_eq!(Direction::from_name(direction.name()), Some(direction));
        }
        assert_eq!(Direction::default(), SendRecv);
    }
}
