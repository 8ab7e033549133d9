//! Responses: what is mirrored from the request, and where they go.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use imspec_wire::sip::typed::{Host, NameAddr, TypedHeader as _, Via, list};
use imspec_wire::sip::{Builder, Message, build};

use crate::transport::{Flow, Protocol};

/// An answer in the making.
#[derive(Debug, Clone)]
pub struct Reply {
    status: u16,
    reason: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// The answer of the next hop, whose other headers and body are passed on.
    relayed: Option<Box<Message>>,
}

impl Reply {
    /// An answer with the usual reason phrase.
    pub fn new(status: u16) -> Self {
        Self::because(status, build::reason_phrase(status))
    }

    /// An answer with a reason phrase of its own.
    pub fn because(status: u16, reason: &str) -> Self {
        Self {
            status,
            reason: reason.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            relayed: None,
        }
    }

    /// The answer of the next hop, passed back (RFC 3261 §16.7).
    pub fn relayed(response: &Message) -> Self {
        let reason = match response.start_line() {
            imspec_wire::sip::StartLine::Response { reason, .. } => {
                String::from_utf8_lossy(reason).into_owned()
            }
            imspec_wire::sip::StartLine::Request { .. } => String::new(),
        };
        let status = response.status().unwrap_or(500);
        let reply = Self::because(status, &reason);
        Self {
            relayed: Some(Box::new(response.clone())),
            ..reply
        }
    }

    /// 503 with the time after which it is worth trying again (RFC 3261 §21.5.4).
    pub fn overloaded() -> Self {
        Self::new(503).with("Retry-After", "5")
    }

    /// Adds a header field.
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Adds a body of that type.
    pub fn with_body(self, content_type: &str, body: &[u8]) -> Self {
        Self {
            body: body.to_vec(),
            ..self.with("Content-Type", content_type)
        }
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The octets of this answer to `request`, which came on `flow`. `tag` goes into To where the
    /// request has none (RFC 3261 §8.2.6.2).
    pub fn octets(&self, request: &Message, flow: &Flow, tag: &str) -> Bytes {
        let mut builder = Builder::response(self.status, &self.reason);
        for (index, via) in request.headers_named("Via").enumerate() {
            builder = match (index, via_as_received(&via.value(), flow)) {
                (0, Some(value)) => builder.header("Via", value),
                _ => builder.header_line(via.line()),
            };
        }
        let own_to = self
            .relayed
            .as_ref()
            .and_then(|response| response.header("To"));
        for name in ["From", "To", "Call-ID", "CSeq"] {
            let Some(field) = request.header(name) else {
                continue;
            };
            builder = match (name, own_to) {
                ("To", Some(to)) => builder.header_line(to.line()),
                ("To", None) if self.status > 100 => with_tag(builder, &field.value(), tag),
                _ => builder.header_line(field.line()),
            };
        }
        if self.status == 100
            && let Some(timestamp) = request.header("Timestamp")
        {
            // RFC 3261 §8.2.6.1
            builder = builder.header_line(timestamp.line());
        }
        if self.relayed.is_none()
            && (101..300).contains(&self.status)
            && request.method() == Some("INVITE")
        {
            // RFC 3261 §12.1.1: the proxies on the way stay on the path of the session.
            for route in request.headers_named("Record-Route") {
                builder = builder.header_line(route.line());
            }
        }
        for (name, value) in &self.headers {
            builder = builder.header(name, value);
        }
        if let Some(response) = &self.relayed {
            let mirrored = ["Via", "From", "To", "Call-ID", "CSeq", "Content-Length"];
            for field in response.headers() {
                if !mirrored.iter().any(|name| field.is(name)) {
                    builder = builder.header_line(field.line());
                }
            }
            builder = builder.body(response.body_bytes());
        } else if !self.body.is_empty() {
            builder = builder.body(self.body.clone());
        }
        builder.octets()
    }
}

fn with_tag(builder: Builder, to: &[u8], tag: &str) -> Builder {
    let has_tag = NameAddr::parse(to).is_ok_and(|to| to.tag().is_some());
    let mut value = to.to_vec();
    if !has_tag {
        value.extend_from_slice(b";tag=");
        value.extend_from_slice(tag.as_bytes());
    }
    builder.header("To", value)
}

/// Where a response to `request` goes that cannot go back on a connection: RFC 3261 §18.2.2, RFC 3581
/// §4. The address is the one that the request came from, whatever Via claims: `maddr` would let a
/// stranger point us at others.
pub fn return_address(request: &Message, flow: &Flow) -> SocketAddr {
    let via = request.typed::<Via>().and_then(Result::ok);
    let Some(via) = via else { return flow.remote };
    if flow.protocol == Protocol::Udp && via.params.has("rport") {
        return flow.remote;
    }
    SocketAddr::new(
        flow.remote.ip(),
        via.port.unwrap_or(flow.protocol.usual_port()),
    )
}

/// The Via field with `received` and `rport` filled into its first value, or `None` where nothing is
/// to be added (RFC 3261 §18.2.1, RFC 3581 §4).
pub fn via_as_received(field: &[u8], flow: &Flow) -> Option<Vec<u8>> {
    let values = list::split(field);
    let (first, others) = values.split_first()?;
    let via = Via::parse_value(first.1).ok()?;
    let wants_port = via.params.has("rport");
    let same_host = match &via.host {
        Host::Ip(ip) => *ip == flow.remote.ip(),
        Host::Name(_) => false,
    };
    if same_host && !wants_port && !via.params.has("received") {
        return None;
    }
    let hop_end = first
        .1
        .iter()
        .position(|octet| *octet == b';')
        .unwrap_or(first.1.len());
    let mut value = first.1.get(..hop_end)?.trim_ascii_end().to_vec();
    for (name, given) in &via.params.0 {
        if name.eq_ignore_ascii_case("received") {
            continue;
        }
        value.extend_from_slice(format!(";{name}").as_bytes());
        if name.eq_ignore_ascii_case("rport") {
            value.extend_from_slice(format!("={}", flow.remote.port()).as_bytes());
        } else if let Some(given) = given {
            value.extend_from_slice(format!("={given}").as_bytes());
        }
    }
    value.extend_from_slice(format!(";received={}", bare(flow.remote.ip())).as_bytes());
    for (_, other) in others {
        value.extend_from_slice(b", ");
        value.extend_from_slice(other);
    }
    Some(value)
}

/// `received` takes an IPv6 address without brackets (RFC 3261 §25.1, RFC 5118 §4.5).
fn bare(ip: IpAddr) -> String {
    ip.to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn flow(remote: &str) -> Flow {
        Flow {
            protocol: Protocol::Udp,
            local: "127.0.0.1:5060".parse().unwrap(),
            remote: remote.parse().unwrap(),
        }
    }

    fn received(via: &str, remote: &str) -> Option<String> {
        via_as_received(via.as_bytes(), &flow(remote)).map(|v| String::from_utf8(v).unwrap())
    }

    fn request(via: &str, to: &str) -> Message {
        Builder::request("MESSAGE", "sip:bob@example.org")
            .header("v", via)
            .header("f", "<sip:alice@example.org>;tag=a")
            .header("To", to)
            .header("i", "1@x")
            .header("CSeq", "7 MESSAGE")
            .build()
            .unwrap()
    }

    #[test]
    fn via_tells_where_the_request_came_from() {
        let from = "192.0.2.9:4711";
        assert_eq!(
            received("SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKa", from),
            None
        );
        assert_eq!(
            received("SIP/2.0/UDP 10.1.1.1;branch=z9hG4bKa", from).unwrap(),
            "SIP/2.0/UDP 10.1.1.1;branch=z9hG4bKa;received=192.0.2.9"
        );
        assert_eq!(
            received(
                "SIP/2.0/UDP pc:5060 ;rport;branch=z9hG4bKa, SIP/2.0/TCP b",
                from
            )
            .unwrap(),
            "SIP/2.0/UDP pc:5060;rport=4711;branch=z9hG4bKa;received=192.0.2.9, SIP/2.0/TCP b"
        );
        assert_eq!(
            received(
                "SIP/2.0/UDP [2001:db8::1];rport;branch=z9hG4bKa",
                "[2001:db8::2]:99"
            )
            .unwrap(),
            "SIP/2.0/UDP [2001:db8::1];rport=99;branch=z9hG4bKa;received=2001:db8::2"
        );
    }

    #[test]
    fn a_claimed_received_is_replaced() {
        let via = "SIP/2.0/UDP 192.0.2.9;received=198.51.100.1;branch=z9hG4bKa";
        assert_eq!(
            received(via, "192.0.2.9:4711").unwrap(),
            "SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKa;received=192.0.2.9"
        );
    }

    #[test]
    fn answers_go_to_rport_or_to_the_port_of_sent_by() {
        let to = |via: &str| return_address(&request(via, "<sip:b@x>"), &flow("192.0.2.9:4711"));
        assert_eq!(
            to("SIP/2.0/UDP pc:99;rport"),
            "192.0.2.9:4711".parse().unwrap()
        );
        assert_eq!(to("SIP/2.0/UDP pc:99"), "192.0.2.9:99".parse().unwrap());
        assert_eq!(to("SIP/2.0/UDP pc"), "192.0.2.9:5060".parse().unwrap());
    }

    #[test]
    fn an_answer_mirrors_the_request_and_tags_to() {
        let request = request(
            "SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKa",
            "Bob <sip:bob@example.org>",
        );
        let octets = Reply::new(202).octets(&request, &flow("192.0.2.9:5060"), "t1");
        insta::assert_snapshot!(String::from_utf8_lossy(&octets));
    }

    #[test]
    fn an_answer_that_makes_a_dialog_repeats_the_record_route() {
        let invite = Builder::request("INVITE", "sip:bob@example.org")
            .header("Via", "SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKa")
            .header("Record-Route", "<sip:p2;lr>, <sip:p1;lr;x=\"a,b\">")
            .header("Record-Route", "<sip:p0;lr>")
            .header("From", "<sip:alice@example.org>;tag=a")
            .header("To", "<sip:bob@example.org>")
            .header("Call-ID", "1@x")
            .header("CSeq", "7 INVITE")
            .build()
            .unwrap();
        let routes = |status: u16| {
            let octets = Reply::new(status).octets(&invite, &flow("192.0.2.9:5060"), "t");
            let text = String::from_utf8_lossy(&octets).into_owned();
            let routes: Vec<String> = text
                .lines()
                .filter(|line| line.starts_with("Record-Route"))
                .map(str::to_owned)
                .collect();
            routes
        };
        assert_eq!(
            routes(200),
            [
                "Record-Route: <sip:p2;lr>, <sip:p1;lr;x=\"a,b\">",
                "Record-Route: <sip:p0;lr>"
            ]
        );
        assert_eq!(routes(183), routes(200));
        assert!(routes(100).is_empty() && routes(486).is_empty());
    }

    #[test]
    fn a_tag_that_is_there_stays() {
        let request = request("SIP/2.0/UDP 192.0.2.9", "<sip:bob@example.org>;tag=old");
        let octets = Reply::new(481).octets(&request, &flow("192.0.2.9:5060"), "new");
        let text = String::from_utf8_lossy(&octets).into_owned();
        assert!(
            text.contains("To: <sip:bob@example.org>;tag=old\r\n"),
            "{text}"
        );
    }
}
