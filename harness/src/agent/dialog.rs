//! A dialog (RFC 3261 §12): what an agent must remember of an INVITE and its 2xx so that later requests
//! reach the other end and are known there.

use std::net::SocketAddr;

use imspec_wire::sip::Message;
use imspec_wire::sip::typed::{CSeq, Contact, From, Host, NameAddr, RecordRoute, To, Uri};

use crate::sut::profile::Transport;

/// What a request must name to belong to a dialog, seen from our side (RFC 3261 §12).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DialogId {
    /// Call-ID.
    pub(super) call_id: String,
    /// Our tag.
    pub(super) local_tag: String,
    /// The tag of the other end; empty where it gave none.
    pub(super) remote_tag: String,
}

impl DialogId {
    /// The dialog that a received request names.
    pub(super) fn of_request(request: &Message) -> Option<Self> {
        Some(Self {
            call_id: text(request, "Call-ID")?,
            local_tag: tag_of_to(request)?,
            remote_tag: tag_of_from(request).unwrap_or_default(),
        })
    }
}

/// A confirmed dialog.
#[derive(Debug, Clone)]
pub(super) struct Dialog {
    id: DialogId,
    /// From of our requests.
    local: String,
    /// To of our requests.
    remote: String,
    /// In the order in which our requests take them.
    routes: Vec<String>,
    /// Where our requests go to.
    target: String,
    /// `CSeq` of our last request.
    sequence: u32,
}

impl Dialog {
    /// The dialog that a 2xx to our INVITE makes (RFC 3261 §12.1.2): the route set is turned around.
    pub(super) fn of_caller(invite: &Message, response: &Message) -> Option<Self> {
        let mut routes = routes(response);
        routes.reverse();
        Some(Self {
            id: DialogId {
                call_id: text(response, "Call-ID")?,
                local_tag: tag_of_from(response).unwrap_or_default(),
                remote_tag: tag_of_to(response).unwrap_or_default(),
            },
            local: text(response, "From")?,
            remote: text(response, "To")?,
            routes,
            target: target(response).or_else(|| {
                let uri = invite.request_uri()?;
                Some(String::from_utf8_lossy(uri).into_owned())
            })?,
            sequence: number(invite).unwrap_or(1),
        })
    }

    /// The dialog that our 2xx to an INVITE makes (RFC 3261 §12.1.1).
    pub(super) fn of_callee(invite: &Message, response: &Message) -> Option<Self> {
        Some(Self {
            id: DialogId {
                call_id: text(invite, "Call-ID")?,
                local_tag: tag_of_to(response).unwrap_or_default(),
                remote_tag: tag_of_from(invite).unwrap_or_default(),
            },
            local: text(response, "To")?,
            remote: text(invite, "From")?,
            routes: routes(invite),
            target: target(invite).or_else(|| {
                let from = invite.typed::<From>()?.ok()?;
                Some(from.uri.to_string())
            })?,
            sequence: 0,
        })
    }

    /// Who it is.
    pub(super) fn id(&self) -> &DialogId {
        &self.id
    }

    /// A re-INVITE or its 2xx may move the other end (RFC 3261 §12.2).
    pub(super) fn refresh(&mut self, message: &Message) {
        if let Some(target) = target(message) {
            self.target = target;
        }
    }

    /// The `CSeq` number of our next request.
    pub(super) fn next_number(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    /// Request-URI of our requests: the remote target, unless the first hop is a strict router (RFC 3261
    /// §12.2.1.1).
    pub(super) fn request_uri(&self) -> String {
        match self.strict() {
            Some(uri) => uri,
            None => self.target.clone(),
        }
    }

    /// The header fields of a request within the dialog.
    pub(super) fn headers(
        &self,
        via: String,
        method: &str,
        number: u32,
    ) -> Vec<(&'static str, String)> {
        let mut own = vec![("Via", via), ("Max-Forwards", "70".to_owned())];
        let mut routes = self.routes.clone();
        if self.strict().is_some() {
            routes.remove(0);
            routes.push(format!("<{}>", self.target));
        }
        own.extend(routes.into_iter().map(|route| ("Route", route)));
        own.extend([
            ("From", self.local.clone()),
            ("To", self.remote.clone()),
            ("Call-ID", self.id.call_id.clone()),
            ("CSeq", format!("{number} {method}")),
        ]);
        own
    }

    /// Where our requests go: the first route, else the remote target. `None` where that is no address;
    /// then the server is the next hop, as for requests outside of dialogs.
    pub(super) fn hop(&self) -> Option<(Option<Transport>, SocketAddr)> {
        let uri = match self.routes.first() {
            Some(route) => NameAddr::parse(route.as_bytes()).ok()?.uri,
            None => Uri::parse(self.target.as_bytes()).ok()?,
        };
        let sip = uri.as_sip()?;
        let Host::Ip(address) = sip.host else {
            return None;
        };
        let transport = sip.params.get("transport").and_then(Transport::parse);
        Some((
            transport,
            SocketAddr::new(address, sip.port.unwrap_or(5060)),
        ))
    }

    /// The URI of the first route where it is none of a loose router.
    fn strict(&self) -> Option<String> {
        let first = NameAddr::parse(self.routes.first()?.as_bytes()).ok()?;
        let sip = first.uri.as_sip()?;
        (!sip.params.has("lr")).then(|| first.uri.to_string())
    }
}

fn routes(message: &Message) -> Vec<String> {
    message
        .typed_all::<RecordRoute>()
        .into_iter()
        .filter_map(Result::ok)
        .map(|route| route.to_string())
        .collect()
}

fn target(message: &Message) -> Option<String> {
    match message.typed::<Contact>()?.ok()? {
        Contact::Address(address) => Some(address.uri.to_string()),
        Contact::Star => None,
    }
}

fn number(message: &Message) -> Option<u32> {
    Some(message.typed::<CSeq>()?.ok()?.number)
}

/// The tag of To.
pub(super) fn tag_of_to(message: &Message) -> Option<String> {
    Some(message.typed::<To>()?.ok()?.tag()?.to_owned())
}

fn tag_of_from(message: &Message) -> Option<String> {
    Some(message.typed::<From>()?.ok()?.tag()?.to_owned())
}

fn text(message: &Message, name: &str) -> Option<String> {
    Some(message.header(name)?.text().trim().to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const INVITE: &str = "INVITE sip:bob@example.org SIP/2.0\r\n\
        Via: SIP/2.0/UDP 127.0.0.1:5001;branch=z9hG4bKa\r\n\
        Record-Route: <sip:127.0.0.1:5070;lr>, <sip:127.0.0.1:5071;lr>\r\n\
        From: \"Alice\" <sip:alice@example.org>;tag=a1\r\nTo: <sip:bob@example.org>\r\n\
        Call-ID: c1\r\nCSeq: 7 INVITE\r\nContact: <sip:alice@127.0.0.1:5001>\r\nContent-Length: 0\r\n\r\n";

    const OK: &str = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1:5001;branch=z9hG4bKa\r\n\
        Record-Route: <sip:127.0.0.1:5070;lr>, <sip:127.0.0.1:5071;lr>\r\n\
        From: \"Alice\" <sip:alice@example.org>;tag=a1\r\nTo: <sip:bob@example.org>;tag=b2\r\n\
        Call-ID: c1\r\nCSeq: 7 INVITE\r\nContact: <sip:bob@127.0.0.1:5002;transport=tcp>\r\n\
        Content-Length: 0\r\n\r\n";

    fn parse(text: &str) -> Message {
        Message::parse(text.to_owned()).unwrap()
    }

    #[test]
    fn both_ends_name_the_same_dialog() {
        let (invite, ok) = (parse(INVITE), parse(OK));
        let mut caller = Dialog::of_caller(&invite, &ok).unwrap();
        let callee = Dialog::of_callee(&invite, &ok).unwrap();
        assert_eq!(caller.id().local_tag, "a1");
        assert_eq!(caller.id().remote_tag, callee.id().local_tag);
        assert_eq!(caller.next_number(), 8);
        let own = caller.headers("SIP/2.0/UDP x".into(), "BYE", 8);
        let lines: Vec<String> = own.iter().map(|(n, v)| format!("{n}: {v}")).collect();
        assert_eq!(
            lines,
            [
                "Via: SIP/2.0/UDP x",
                "Max-Forwards: 70",
                "Route: <sip:127.0.0.1:5071;lr>",
                "Route: <sip:127.0.0.1:5070;lr>",
                "From: \"Alice\" <sip:alice@example.org>;tag=a1",
                "To: <sip:bob@example.org>;tag=b2",
                "Call-ID: c1",
                "CSeq: 8 BYE",
            ]
        );
        assert_eq!(caller.request_uri(), "sip:bob@127.0.0.1:5002;transport=tcp");
        assert_eq!(
            caller.hop(),
            Some((None, "127.0.0.1:5071".parse().unwrap()))
        );
        let text = String::from_utf8(
            super::super::message::Draft::new(
                "BYE",
                caller.request_uri(),
                caller.headers("SIP/2.0/UDP x".into(), "BYE", 8),
            )
            .octets()
            .to_vec(),
        )
        .unwrap();
        let request = parse(&text);
        assert_eq!(DialogId::of_request(&request).as_ref(), Some(callee.id()));
    }

    #[test]
    fn a_strict_router_takes_the_place_of_the_target() {
        let strict = OK.replace(";lr", "");
        let dialog = Dialog::of_caller(&parse(INVITE), &parse(&strict)).unwrap();
        assert_eq!(dialog.request_uri(), "sip:127.0.0.1:5071");
        let own = dialog.headers(String::new(), "BYE", 8);
        let routes: Vec<&str> = own
            .iter()
            .filter(|(name, _)| *name == "Route")
            .map(|(_, value)| value.as_str())
            .collect();
        assert_eq!(
            routes,
            [
                "<sip:127.0.0.1:5070>",
                "<sip:bob@127.0.0.1:5002;transport=tcp>"
            ]
        );
    }

    #[test]
    fn without_routes_the_contact_is_the_next_hop() {
        let direct: String = OK
            .lines()
            .filter(|line| !line.starts_with("Record-Route"))
            .flat_map(|line| [line, "\r\n"])
            .collect();
        let dialog = Dialog::of_caller(&parse(INVITE), &parse(&direct)).unwrap();
        assert_eq!(
            dialog.hop(),
            Some((Some(Transport::Tcp), "127.0.0.1:5002".parse().unwrap()))
        );
        let named = direct.replace("127.0.0.1:5002", "im.example.org");
        let dialog = Dialog::of_caller(&parse(INVITE), &parse(&named)).unwrap();
        assert_eq!(dialog.hop(), None);
    }

    #[test]
    fn a_later_contact_moves_the_target_and_nothing_else() {
        let mut dialog = Dialog::of_caller(&parse(INVITE), &parse(OK)).unwrap();
        let routes = dialog.headers(String::new(), "BYE", 8);
        let moved = OK
            .replace("127.0.0.1:5002", "127.0.0.1:5003")
            .replace("127.0.0.1:5071", "127.0.0.1:5079");
        dialog.refresh(&parse(&moved));
        assert_eq!(dialog.request_uri(), "sip:bob@127.0.0.1:5003;transport=tcp");
        assert_eq!(
            dialog.headers(String::new(), "BYE", 8),
            routes,
            "RFC 3261 §12.2"
        );
        let without: String = OK
            .lines()
            .filter(|line| !line.starts_with("Contact"))
            .flat_map(|line| [line, "\r\n"])
            .collect();
        dialog.refresh(&parse(&without));
        assert_eq!(dialog.request_uri(), "sip:bob@127.0.0.1:5003;transport=tcp");
    }

    #[test]
    fn another_tag_is_another_dialog() {
        let first = Dialog::of_caller(&parse(INVITE), &parse(OK)).unwrap();
        let other = OK.replace("tag=b2", "tag=b3");
        let second = Dialog::of_caller(&parse(INVITE), &parse(&other)).unwrap();
        assert_ne!(first.id(), second.id());
        let none = OK.replace(";tag=b2", "");
        let none = Dialog::of_caller(&parse(INVITE), &parse(&none)).unwrap();
        assert_eq!(
            none.id().remote_tag,
            "",
            "RFC 3261 §12.1.2: an agent of RFC 2543"
        );
    }

    #[test]
    fn a_request_without_our_tag_belongs_to_no_dialog() {
        assert_eq!(DialogId::of_request(&parse(INVITE)), None);
        let within = INVITE.replace(
            "To: <sip:bob@example.org>",
            "To: <sip:bob@example.org>;tag=b2",
        );
        let id = DialogId::of_request(&parse(&within)).unwrap();
        assert_eq!(
            (id.local_tag.as_str(), id.remote_tag.as_str()),
            ("b2", "a1")
        );
    }

    #[test]
    fn numbers_of_the_two_ends_are_their_own() {
        let mut callee = Dialog::of_callee(&parse(INVITE), &parse(OK)).unwrap();
        assert_eq!((callee.next_number(), callee.next_number()), (1, 2));
        let routes: Vec<String> = callee
            .headers(String::new(), "BYE", 1)
            .into_iter()
            .filter(|(name, _)| *name == "Route")
            .map(|(_, value)| value)
            .collect();
        let wanted = ["<sip:127.0.0.1:5070;lr>", "<sip:127.0.0.1:5071;lr>"];
        assert_eq!(routes, wanted, "RFC 3261 §12.1.1: as they stand");
        assert_eq!(callee.request_uri(), "sip:alice@127.0.0.1:5001");
    }
}
