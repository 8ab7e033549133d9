//! Requests as a scenario wants them: the harness's own header fields, unless the scenario gives or omits
//! them; everything else as given.

use std::net::SocketAddr;

use bytes::Bytes;
use imspec_wire::sip::build::reason_phrase;
use imspec_wire::sip::typed::{CSeq, To, Via};
use imspec_wire::sip::{Builder, ContentLength, Message, name};

use super::tags;

/// A header field that the scenario gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// As written.
    pub name: String,
    /// One field for each value; none when the header is omitted.
    pub values: Vec<Vec<u8>>,
}

/// A request in the making.
#[derive(Debug)]
pub struct Draft {
    method: String,
    uri: Vec<u8>,
    own: Vec<(&'static str, String)>,
    given: Vec<Given>,
    body: Bytes,
}

impl Draft {
    /// A request with the header fields that the harness writes, in their order.
    pub fn new(method: &str, uri: impl Into<Vec<u8>>, own: Vec<(&'static str, String)>) -> Self {
        Self {
            method: method.to_owned(),
            uri: uri.into(),
            own,
            given: Vec::new(),
            body: Bytes::new(),
        }
    }

    /// Further header fields that the harness writes.
    #[must_use]
    pub fn own(mut self, more: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        self.own.extend(more);
        self
    }

    /// What the scenario gives.
    #[must_use]
    pub fn given(mut self, given: Vec<Given>) -> Self {
        self.given = given;
        self
    }

    /// The body.
    #[must_use]
    pub fn body(mut self, octets: impl Into<Bytes>) -> Self {
        self.body = octets.into();
        self
    }

    /// The octets. A given field stands where the harness's own would stand; the others follow in order.
    pub fn octets(self) -> Bytes {
        let mut builder = Builder::request(&self.method, &self.uri);
        let mut written = vec![false; self.given.len()];
        for (name, value) in &self.own {
            let mut overridden = false;
            for (index, field) in self.given.iter().enumerate() {
                if same(&field.name, name) {
                    overridden = true;
                    if !std::mem::replace(&mut written[index], true) {
                        builder = write(builder, field);
                    }
                }
            }
            if !overridden {
                builder = builder.header(name, value);
            }
        }
        for (field, written) in self.given.iter().zip(written) {
            if !written {
                builder = write(builder, field);
            }
        }
        let own_length = !self
            .given
            .iter()
            .any(|field| same(&field.name, "Content-Length"));
        builder
            .content_length(if own_length {
                ContentLength::Auto
            } else {
                ContentLength::Omit
            })
            .body(self.body)
            .octets()
    }
}

fn write(builder: Builder, field: &Given) -> Builder {
    field
        .values
        .iter()
        .fold(builder, |builder, value| builder.header(&field.name, value))
}

fn same(a: &str, b: &str) -> bool {
    name::same(a.trim(), b)
}

/// The answer to a request (RFC 3261 §8.2.6.2), with the header fields that a scenario adds.
pub(super) fn answer(request: &Message, status: u16, more: &[Given], from: SocketAddr) -> Bytes {
    answer_with(request, status, more, from, Bytes::new())
}

/// The same with a body.
pub(super) fn answer_with(
    request: &Message,
    status: u16,
    more: &[Given],
    from: SocketAddr,
    body: Bytes,
) -> Bytes {
    let mut builder = Builder::response(status, reason_phrase(status));
    for (index, via) in request.headers_named("Via").enumerate() {
        builder = match index {
            0 => builder.header("Via", with_source(request, via.raw_value(), from)),
            _ => builder.header_line(via.line()),
        };
    }
    for name in ["From", "To", "Call-ID", "CSeq"] {
        for field in request.headers_named(name) {
            let untagged = name == "To"
                && status > 100
                && request
                    .typed::<To>()
                    .is_some_and(|to| to.is_ok_and(|to| to.tag().is_none()));
            builder = if untagged {
                builder.header_line([field.line(), b";tag=", tags::tag().as_bytes()].concat())
            } else {
                builder.header_line(field.line())
            };
        }
    }
    more.iter().fold(builder, write).body(body).octets()
}

/// The ACK to a final response that is no 2xx: it belongs to the transaction of the INVITE (RFC 3261
/// §17.1.1.3).
pub(super) fn acknowledgement(invite: &Message, response: &Message) -> Bytes {
    within(invite, "ACK", response.header("To").map(|to| to.line()))
}

/// The CANCEL of an INVITE (RFC 3261 §9.1), with the header fields that a scenario adds.
pub(super) fn cancellation(invite: &Message, more: &[Given]) -> Bytes {
    let plain = within(invite, "CANCEL", None);
    if more.is_empty() {
        return plain;
    }
    let Ok(plain) = Message::parse(plain) else {
        return Bytes::new();
    };
    let builder = Builder::request("CANCEL", plain.request_uri().unwrap_or_default());
    let kept = plain.headers().filter(|field| {
        !field.is("Content-Length") && !more.iter().any(|given| same(&given.name, field.name()))
    });
    let builder = kept.fold(builder, |builder, field| builder.header_line(field.line()));
    more.iter().fold(builder, write).octets()
}

/// A request that shares the transaction of an INVITE, but for the method; `to` in place of its To.
fn within(invite: &Message, method: &str, to: Option<&[u8]>) -> Bytes {
    let mut builder = Builder::request(method, invite.request_uri().unwrap_or_default());
    if let Some(via) = invite.header("Via") {
        builder = builder.header_line(via.line());
    }
    builder = builder.header("Max-Forwards", "70");
    for route in invite.headers_named("Route") {
        builder = builder.header_line(route.line());
    }
    for name in ["From", "To", "Call-ID"] {
        let own = invite.header(name).map(|field| field.line());
        let line = if name == "To" { to.or(own) } else { own };
        if let Some(line) = line {
            builder = builder.header_line(line);
        }
    }
    if let Some(Ok(sequence)) = invite.typed::<CSeq>() {
        builder = builder.header("CSeq", format!("{} {method}", sequence.number));
    }
    builder.octets()
}

/// Where the answer to a request goes over UDP (RFC 3261 §18.2.2, RFC 3581 §4): to its source, at the port
/// of the Via unless that asks for the port of the source.
pub(super) fn answer_address(request: &Message, from: SocketAddr) -> SocketAddr {
    match request.typed::<Via>() {
        Some(Ok(via)) if !via.params.has("rport") => {
            SocketAddr::new(from.ip(), via.port.unwrap_or(5060))
        }
        _ => from,
    }
}

/// The top Via with `received` and `rport` filled in (RFC 3261 §18.2.1, RFC 3581 §4).
fn with_source(request: &Message, raw: &[u8], from: SocketAddr) -> Vec<u8> {
    let raw = raw.trim_ascii();
    let Some(Ok(via)) = request.typed::<Via>() else {
        return raw.to_vec();
    };
    let hop_end = raw
        .iter()
        .position(|&octet| octet == b',')
        .unwrap_or(raw.len());
    let (hop, rest) = raw.split_at(hop_end);
    let mut hop = hop.to_vec();
    let asks = via
        .params
        .iter()
        .any(|(name, value)| name.eq_ignore_ascii_case("rport") && value.is_none());
    if asks
        && let Some(at) = hop
            .to_ascii_lowercase()
            .windows(6)
            .position(|window| window == b";rport")
        && hop.get(at + 6) != Some(&b'=')
    {
        hop.splice(at + 6..at + 6, format!("={}", from.port()).into_bytes());
    }
    let elsewhere = via.host.to_string().trim_matches(['[', ']']) != from.ip().to_string();
    if (asks || elsewhere) && !via.params.has("received") {
        hop.extend_from_slice(format!(";received={}", from.ip()).as_bytes());
    }
    hop.extend_from_slice(rest);
    hop
}

/// Replaces the branch of the top Via; every other octet stays.
pub fn with_branch(octets: &Bytes, branch: &str) -> Option<Bytes> {
    let message = Message::parse(octets.clone()).ok()?;
    let range = message.header("Via")?.value_range();
    let value = octets.get(range.clone())?.to_ascii_lowercase();
    let hop = &value[..value
        .iter()
        .position(|&octet| octet == b',')
        .unwrap_or(value.len())];
    let start = hop.windows(8).position(|window| window == b";branch=")? + 8;
    let length = hop[start..]
        .iter()
        .position(|octet| b"; \t\r\n".contains(octet))
        .unwrap_or(hop.len() - start);
    let start = range.start + start;
    Some(
        [
            &octets[..start],
            branch.as_bytes(),
            &octets[start + length..],
        ]
        .concat()
        .into(),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn given(name: &str, values: &[&str]) -> Given {
        Given {
            name: name.into(),
            values: values.iter().map(|v| v.as_bytes().to_vec()).collect(),
        }
    }

    fn draft() -> Draft {
        let own = vec![
            (
                "Via",
                "SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKx".to_owned(),
            ),
            ("From", "<sip:alice@example.org>;tag=1".to_owned()),
            ("CSeq", "1 MESSAGE".to_owned()),
        ];
        Draft::new("MESSAGE", "sip:bob@example.org", own)
    }

    #[test]
    fn given_fields_replace_omit_and_follow() {
        let octets = draft()
            .given(vec![
                given("f", &["<sip:mallory@example.org>;tag=2"]),
                given("CSeq", &[]),
                given("X-Vendor", &["one", "two\r\n folded"]),
                given("s", &["Dinner"]),
            ])
            .body("hi")
            .octets();
        let text = String::from_utf8(octets.to_vec()).unwrap();
        assert_eq!(
            text,
            "MESSAGE sip:bob@example.org SIP/2.0\r\n\
             Via: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKx\r\n\
             f: <sip:mallory@example.org>;tag=2\r\n\
             X-Vendor: one\r\n\
             X-Vendor: two\r\n folded\r\n\
             s: Dinner\r\n\
             Content-Length: 2\r\n\r\nhi"
        );
    }

    #[test]
    fn content_length_can_be_left_out_or_wrong() {
        let without = draft()
            .given(vec![given("Content-Length", &[])])
            .body("hi")
            .octets();
        assert!(!String::from_utf8_lossy(&without).contains("Content-Length"));
        let wrong = draft().given(vec![given("l", &["99"])]).body("hi").octets();
        let text = String::from_utf8_lossy(&wrong).into_owned();
        assert!(
            text.contains("l: 99\r\n") && !text.contains("Content-Length"),
            "{text}"
        );
    }

    #[test]
    fn answers_mirror_the_request_and_say_where_it_came_from() {
        let request = Message::parse(
            "MESSAGE sip:bob@127.0.0.1:9 SIP/2.0\r\n\
             v: SIP/2.0/UDP server.example.org:5060;rport;branch=z9hG4bKa, SIP/2.0/UDP b\r\n\
             Via: SIP/2.0/UDP c;branch=z9hG4bKc\r\n\
             From: <sip:a@example.org>;tag=1\r\nTo: <sip:bob@example.org>\r\nCall-ID: x\r\nCSeq: 1 MESSAGE\r\n\
             Content-Length: 0\r\n\r\n",
        )
        .unwrap();
        let from: SocketAddr = "127.0.0.1:5099".parse().unwrap();
        let octets = answer(&request, 200, &[given("X-A", &["b"])], from);
        let answer = Message::parse(octets).unwrap();
        let vias: Vec<String> = answer
            .headers_named("Via")
            .map(|via| via.text().into_owned())
            .collect();
        assert_eq!(
            vias,
            [
                "SIP/2.0/UDP server.example.org:5060;rport=5099;branch=z9hG4bKa;received=127.0.0.1, SIP/2.0/UDP b",
                "SIP/2.0/UDP c;branch=z9hG4bKc",
            ]
        );
        assert!(answer.header("To").unwrap().text().contains(";tag="));
        assert_eq!(answer.header("X-A").unwrap().text(), "b");
        assert_eq!(answer_address(&request, from), from);
    }

    #[test]
    fn without_rport_the_answer_goes_to_the_port_of_the_via() {
        let request = Message::parse(
            "OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKa\r\n\r\n",
        )
        .unwrap();
        let from: SocketAddr = "127.0.0.1:5099".parse().unwrap();
        assert_eq!(answer_address(&request, from).to_string(), "127.0.0.1:5060");
    }

    #[test]
    fn only_the_branch_changes() {
        let octets = Bytes::from_static(
            b"MESSAGE sip:bob@example.org SIP/2.0\r\nv: SIP/2.0/UDP a ;Branch=z9hG4bKold;rport, SIP/2.0/UDP b;branch=x\r\nS: hi\r\n\r\nbody",
        );
        let changed = with_branch(&octets, "z9hG4bKnew").unwrap();
        assert_eq!(
            String::from_utf8_lossy(&changed),
            "MESSAGE sip:bob@example.org SIP/2.0\r\nv: SIP/2.0/UDP a ;Branch=z9hG4bKnew;rport, SIP/2.0/UDP b;branch=x\r\nS: hi\r\n\r\nbody"
        );
        assert_eq!(
            with_branch(
                &Bytes::from_static(b"MESSAGE sip:b SIP/2.0\r\nVia: SIP/2.0/UDP a\r\n\r\n"),
                "x"
            ),
            None
        );
    }
}
