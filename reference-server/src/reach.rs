//! From a contact to the network: which addresses to try, and one request sent to it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use imspec_wire::sip::typed::{Host, NameAddr, SipUri, Uri};

use crate::store::Binding;
use crate::transaction::client::{ClientTransactions, Pending};
use crate::transaction::invite_client::Calling;
use crate::transport::{Protocol, Target};

/// RFC 3428 §8, RFC 3261 §18.1.1: above this a datagram may be cut on its way.
const DATAGRAM_LIMIT: usize = 1300;
/// How long a name server may take.
const RESOLVE: Duration = Duration::from_secs(5);

/// Why a contact could not be reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreachable {
    #[error("the contact {0} is not a sip: URI that this server can reach")]
    NotReachable(String),
    #[error("the host of {0} is not known")]
    UnknownHost(String),
    #[error("no listener is of the kind that {0} needs")]
    NoListener(String),
    #[error("sending to {contact} failed: {error}")]
    Failed {
        contact: String,
        error: std::io::Error,
    },
}

/// The URI to write into the request line of what is sent to a binding.
pub(crate) fn request_uri(binding: &Binding) -> &str {
    without_headers(binding.target.as_deref().unwrap_or(&binding.contact))
}

/// A Contact may carry header fields, a Request-URI must not (RFC 3261 §19.1.1).
fn without_headers(contact: &str) -> &str {
    contact.split('?').next().unwrap_or(contact)
}

/// A URI to send to, and the connection that its owner keeps open, if any.
#[derive(Debug, Clone)]
pub(crate) struct Destination {
    uri: String,
    flow: Option<Target>,
    /// Route of requests that leave for there.
    route: Vec<String>,
}

impl Destination {
    /// A URI, and a place that its owner can be reached at if the URI does not serve.
    pub(crate) fn new(uri: String, flow: Option<Target>) -> Self {
        Self {
            uri,
            flow,
            route: Vec::new(),
        }
    }

    /// The contact of a binding, or the first of those on the way to it (RFC 3261 §16.6 item 6).
    pub(crate) fn of(binding: &Binding) -> Self {
        let first = binding.route.first().and_then(|first| {
            let first = NameAddr::parse(first.as_bytes()).ok()?;
            Some(first.uri.to_string())
        });
        Self {
            uri: first.unwrap_or_else(|| binding.contact.clone()),
            flow: registered_flow(binding),
            route: binding.route.clone(),
        }
    }

    /// The next hop of a dialog whose peer registered as this one.
    pub(crate) fn hop(&self, uri: String) -> Self {
        Self {
            uri,
            flow: self.flow,
            route: Vec::new(),
        }
    }
}

/// Where a destination is, for what must be known before a request to it can be written.
pub(crate) async fn address(destination: &Destination) -> Result<SocketAddr, Unreachable> {
    Ok(Ways::to(destination).await?.address)
}

/// The URI at which the peer reaches this server, out of the Via of a request to it.
pub(crate) fn own_contact(via: &str) -> String {
    let mut words = via.split(' ');
    let protocol = words.next().and_then(|word| word.rsplit('/').next());
    let sent_by = words.next().and_then(|word| word.split(';').next());
    let parameter = protocol
        .and_then(Protocol::named)
        .map_or("", Protocol::uri_parameter);
    format!("sip:{}{parameter}", sent_by.unwrap_or_default())
}

/// Sends a request other than INVITE. `compose` writes it, given the value of the top Via.
pub(crate) async fn send(
    clients: &Arc<ClientTransactions>,
    destination: &Destination,
    method: &str,
    compose: impl Fn(&str) -> Bytes,
) -> Result<Pending, Unreachable> {
    let mut ways = Ways::to(destination).await?;
    while let Some(way) = ways.next(clients, &compose) {
        match clients
            .start(way.target, way.branch, method, way.octets)
            .await
        {
            Ok(pending) => return Ok(pending),
            Err(error) => ways.failed(error),
        }
    }
    Err(ways.last)
}

/// Sends an INVITE, in the same way.
pub(crate) async fn invite(
    clients: &Arc<ClientTransactions>,
    destination: &Destination,
    compose: impl Fn(&str) -> Bytes,
) -> Result<Calling, Unreachable> {
    let mut ways = Ways::to(destination).await?;
    while let Some(way) = ways.next(clients, &compose) {
        match clients.invite(way.target, way.branch, way.octets).await {
            Ok(calling) => return Ok(calling),
            Err(error) => ways.failed(error),
        }
    }
    Err(ways.last)
}

/// Sends the ACK of a 2xx, which nobody answers. Gives what was sent and where, to be sent again for
/// each copy of the 2xx.
pub(crate) async fn acknowledge(
    clients: &Arc<ClientTransactions>,
    destination: &Destination,
    compose: impl Fn(&str) -> Bytes,
) -> Result<(Target, Bytes), Unreachable> {
    let mut ways = Ways::to(destination).await?;
    while let Some(way) = ways.next(clients, &compose) {
        match clients.outbox().send(way.target, way.octets.clone()).await {
            Ok(_) => return Ok((way.target, way.octets)),
            Err(error) => ways.failed(error),
        }
    }
    Err(ways.last)
}

/// The ways to a destination that are left to try.
struct Ways {
    uri: String,
    flow: Option<Target>,
    wish: Option<Protocol>,
    address: SocketAddr,
    left: Vec<Target>,
    chosen: bool,
    route: Vec<String>,
    last: Unreachable,
}

/// One way, and the request written for it.
struct Way {
    target: Target,
    branch: String,
    octets: Bytes,
}

impl Ways {
    async fn to(destination: &Destination) -> Result<Self, Unreachable> {
        let contact = destination.uri.clone();
        let Ok(Uri::Sip(uri)) = Uri::parse(contact.as_bytes()) else {
            return Err(Unreachable::NotReachable(contact));
        };
        let wish =
            wished_protocol(&uri).map_err(|()| Unreachable::NotReachable(contact.clone()))?;
        let protocol = wish.unwrap_or(Protocol::Udp);
        if protocol.is_websocket() {
            return Self::by_websocket(destination);
        }
        let address = resolve(&uri, protocol)
            .await
            .ok_or_else(|| Unreachable::UnknownHost(contact.clone()))?;
        let mut left = vec![Target { protocol, address }];
        if let Some(flow) = destination.flow
            && flow.protocol == protocol
            && protocol == Protocol::Tls
        {
            // A user agent hardly ever has a certificate: its own connection is the way to it, where that is still
            // open (RFC 3261 §26.3.2.1, RFC 5923).
            left.push(flow);
        }
        Ok(Self {
            last: Unreachable::NoListener(contact.clone()),
            uri: contact,
            flow: destination.flow,
            wish,
            address,
            left,
            route: destination.route.clone(),
            chosen: false,
        })
    }

    /// A client of `WebSocket` is where its connection is, whatever its contact says.
    fn by_websocket(destination: &Destination) -> Result<Self, Unreachable> {
        let contact = destination.uri.clone();
        let flow = destination
            .flow
            .filter(|flow| flow.protocol.is_websocket())
            .ok_or_else(|| Unreachable::NotReachable(contact.clone()))?;
        Ok(Self {
            last: Unreachable::NoListener(contact.clone()),
            uri: contact,
            flow: None,
            wish: Some(flow.protocol),
            address: flow.address,
            left: vec![flow],
            route: destination.route.clone(),
            chosen: false,
        })
    }

    fn next(
        &mut self,
        clients: &ClientTransactions,
        compose: impl Fn(&str) -> Bytes,
    ) -> Option<Way> {
        while let Some(target) = self.left.pop() {
            let Some(sent_by) = clients.outbox().sent_by(target) else {
                continue;
            };
            let branch = ClientTransactions::branch();
            let protocol = target.protocol.via_name();
            let octets = compose(&format!(
                "SIP/2.0/{protocol} {sent_by};branch={branch};rport"
            ));
            let octets = routed(octets, &self.route);
            if !self.chosen {
                self.chosen = true;
                if self.wish.is_none() && octets.len() > DATAGRAM_LIMIT {
                    // TCP if the peer takes it, else a large datagram: better than nothing.
                    self.left.push(target);
                    self.left.push(Target {
                        protocol: Protocol::Tcp,
                        address: self.address,
                    });
                    continue;
                }
                if let Some(flow) = self.flow.filter(|flow| *flow != target) {
                    // Where the contact's address does not answer, the connection may that it came by.
                    self.left.push(flow);
                }
            }
            return Some(Way {
                target,
                branch,
                octets,
            });
        }
        None
    }

    fn failed(&mut self, error: std::io::Error) {
        self.last = Unreachable::Failed {
            contact: self.uri.clone(),
            error,
        };
    }
}

/// A request with the Route that leads to its target, behind the first line: who is on the way looks there first.
fn routed(request: Bytes, route: &[String]) -> Bytes {
    let end = request.windows(2).position(|two| two == b"\r\n");
    let (Some(end), false) = (end, route.is_empty()) else {
        return request;
    };
    let (line, rest) = request.split_at(end + 2);
    let mut octets = line.to_vec();
    for hop in route {
        octets.extend_from_slice(format!("Route: {hop}\r\n").as_bytes());
    }
    octets.extend_from_slice(rest);
    octets.into()
}

/// The transport that the URI asks for, if it asks; an error when that is none that we speak.
fn wished_protocol(uri: &SipUri) -> Result<Option<Protocol>, ()> {
    match (uri.params.get("transport"), uri.secure) {
        (None, false) => Ok(None),
        (Some(name), false) => Protocol::named(name).map(Some).ok_or(()),
        // RFC 3261 §26.2.2: whatever the stream below.
        (None, true) => Ok(Some(Protocol::Tls)),
        (Some(name), true) => match Protocol::named(name) {
            Some(Protocol::Tcp | Protocol::Tls) => Ok(Some(Protocol::Tls)),
            Some(Protocol::Ws | Protocol::Wss) => Ok(Some(Protocol::Wss)),
            _ => Err(()),
        },
    }
}

/// RFC 3263 without NAPTR and SRV: contacts of user agents hardly ever need them.
async fn resolve(uri: &SipUri, protocol: Protocol) -> Option<SocketAddr> {
    let port = uri.port.unwrap_or(protocol.usual_port());
    match &uri.host {
        Host::Ip(ip) => Some(SocketAddr::new(*ip, port)),
        Host::Name(name) => {
            let found = tokio::net::lookup_host((name.as_str(), port));
            tokio::time::timeout(RESOLVE, found)
                .await
                .ok()?
                .ok()?
                .next()
        }
    }
}

/// The connection that the REGISTER came by.
fn registered_flow(binding: &Binding) -> Option<Target> {
    let (protocol, address) = binding.source.split_once(' ')?;
    let protocol = Protocol::named(protocol).filter(|protocol| protocol.is_reliable())?;
    let address: SocketAddr = address.parse().ok()?;
    let is_unusable = |ip: IpAddr| ip.is_unspecified();
    (!is_unusable(address.ip())).then_some(Target { protocol, address })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;

    fn sip(text: &str) -> SipUri {
        match Uri::parse(text.as_bytes()) {
            Ok(Uri::Sip(uri)) => uri,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_transport_parameter_decides() {
        assert_eq!(wished_protocol(&sip("sip:b@h")), Ok(None));
        assert_eq!(
            wished_protocol(&sip("sip:b@h;transport=TCP")),
            Ok(Some(Protocol::Tcp))
        );
        assert_eq!(
            wished_protocol(&sip("sip:b@h;transport=udp")),
            Ok(Some(Protocol::Udp))
        );
        assert_eq!(
            wished_protocol(&sip("sip:b@h;transport=tls")),
            Ok(Some(Protocol::Tls))
        );
        for secure in ["sips:b@h", "sips:b@h;transport=tcp"] {
            assert_eq!(wished_protocol(&sip(secure)), Ok(Some(Protocol::Tls)));
        }
        for unknown in ["sip:b@h;transport=sctp", "sips:b@h;transport=udp"] {
            assert_eq!(wished_protocol(&sip(unknown)), Err(()));
        }
    }

    #[tokio::test]
    async fn addresses_need_no_name_server() {
        assert_eq!(
            resolve(&sip("sip:b@[::1]:7"), Protocol::Tcp).await,
            "[::1]:7".parse().ok()
        );
        assert_eq!(
            resolve(&sip("sip:b@127.0.0.1"), Protocol::Udp).await,
            "127.0.0.1:5060".parse().ok()
        );
        assert_eq!(
            resolve(&sip("sips:b@127.0.0.1"), Protocol::Tls).await,
            "127.0.0.1:5061".parse().ok()
        );
    }

    #[test]
    fn our_contact_is_where_via_wants_the_answers() {
        let contact = own_contact("SIP/2.0/TCP [::1]:5060;branch=z9hG4bKa;rport");
        assert_eq!(contact, "sip:[::1]:5060;transport=tcp");
        let contact = own_contact("SIP/2.0/UDP 192.0.2.5:5060;branch=z9hG4bKa;rport");
        assert_eq!(contact, "sip:192.0.2.5:5060");
    }

    #[test]
    fn header_fields_do_not_reach_the_request_line() {
        assert_eq!(without_headers("sip:b@h;x=y?Subject=z"), "sip:b@h;x=y");
    }

    #[test]
    fn the_route_stands_behind_the_first_line() {
        let request = Bytes::from_static(b"MESSAGE sip:b@h SIP/2.0\r\nVia: x\r\n\r\nhi");
        let route = ["<sip:p1;lr>".to_owned(), "<sip:p2;lr>".to_owned()];
        assert_eq!(
            routed(request.clone(), &route),
            &b"MESSAGE sip:b@h SIP/2.0\r\nRoute: <sip:p1;lr>\r\nRoute: <sip:p2;lr>\r\nVia: x\r\n\r\nhi"[..]
        );
        assert_eq!(routed(request.clone(), &[]), request);
    }
}
