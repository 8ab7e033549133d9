//! Requests to the recipient: what of a sender's message goes on, and what is made anew.
//!
//! A message for somebody online is forwarded as a proxy does it (RFC 3261 §16.6). A deferred one is
//! sent again as a request of the server's own, with what belongs to the sender kept: From but for its
//! tag, To, every end-to-end header field as written, the body octet for octet (RFC 5365 §7.2 is the
//! closest model).

use std::fmt::Write as _;

use bytes::Bytes;
use imspec_wire::sip::typed::{MaxForwards, SipDate, list};
use imspec_wire::sip::{Builder, Header, Message};

use crate::clock::Timestamp;
use crate::policy::DeliveryExpires;
use crate::response::via_as_received;
use crate::store::StoredMessage;
use crate::transport::Flow;

/// What a deferred delivery needs to know beside the record.
#[derive(Debug, Clone)]
pub struct Deferred<'a> {
    /// Where to: the contact's URI.
    pub contact: &'a str,
    /// Value of the Via to write.
    pub via: &'a str,
    /// `delivery.expires`
    pub expires: DeliveryExpires,
    /// The header that tells of an expired message, where the provider has one.
    pub marker: Option<&'a str>,
    /// Whether this message has expired.
    pub expired: bool,
    /// The present instant.
    pub now: Timestamp,
}

/// Writes requests to recipients.
pub trait Composer: Send + Sync + 'static {
    /// A stored message as a new request.
    fn deferred(&self, stored: &StoredMessage, request: &Message, how: &Deferred<'_>) -> Bytes;
    /// A request that came on `flow`, forwarded with our Via on top.
    fn forwarded(&self, request: &Message, flow: &Flow, contact: &str, via: &str) -> Bytes;
}

/// The composer that keeps the rules.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlainComposer;

/// Fields that belong to one hop, or to the transaction of that hop: never sent on (RFC 3261 §16.6).
const HOP: &[&str] = &[
    "Via",
    "Route",
    "Record-Route",
    "Max-Forwards",
    "Proxy-Require",
    "Content-Length",
    "Authorization",
    "Proxy-Authorization",
    "Proxy-Authenticate",
    "Proxy-Authentication-Info",
];

/// Fields that a new request of our own has itself. RFC 3428 §4 forbids Contact.
const OWN: &[&str] = &["From", "To", "Call-ID", "CSeq", "Contact"];

/// Fields that are left out of the record where `store.hop_headers` is `drop`.
pub fn is_hop_field(field: &Header<'_>) -> bool {
    let kept = ["Content-Length", "Proxy-Require"];
    HOP.iter()
        .any(|name| !kept.contains(name) && field.is(name))
}

/// Whether the sender asked that the recipient does not learn the identity that the network asserts
/// (RFC 3325 §7).
fn hides_identity(request: &Message) -> bool {
    request.headers_named("Privacy").any(|field| {
        field
            .value()
            .split(|octet| matches!(octet, b';' | b','))
            .any(|part| part.trim_ascii().eq_ignore_ascii_case(b"id"))
    })
}

/// The message without the fields that `unwanted` picks, every other octet as it was.
pub fn without(request: &Message, unwanted: impl Fn(&Header<'_>) -> bool) -> Bytes {
    if !request.headers().any(|field| unwanted(&field)) {
        return request.octets().clone();
    }
    let octets = request.octets();
    let mut kept = Vec::with_capacity(octets.len());
    let mut from = 0;
    let mut fields = request.headers().peekable();
    while let Some(field) = fields.next() {
        if unwanted(&field) {
            let end = fields.peek().map_or_else(
                || after_line(octets, field.value_range().end),
                Header::offset,
            );
            kept.extend_from_slice(octets.get(from..field.offset()).unwrap_or_default());
            from = end;
        }
    }
    kept.extend_from_slice(octets.get(from..).unwrap_or_default());
    kept.into()
}

/// The offset after the line end that stands at `end`.
fn after_line(octets: &[u8], end: usize) -> usize {
    let rest = octets.get(end..).unwrap_or_default();
    end + rest
        .iter()
        .position(|octet| *octet == b'\n')
        .map_or(0, |at| at + 1)
}

impl Composer for PlainComposer {
    fn deferred(&self, stored: &StoredMessage, request: &Message, how: &Deferred<'_>) -> Bytes {
        let value = |name| request.header(name).map(|field| field.value().into_owned());
        let mut from = without_tag(&value("From").unwrap_or_default());
        from.extend_from_slice(format!(";tag={:012x}", fastrand::u64(..1 << 48)).as_bytes());
        let mut builder = Builder::request("MESSAGE", how.contact)
            .header("Via", how.via)
            .header("Max-Forwards", "70")
            .header("From", from)
            .header("To", without_tag(&value("To").unwrap_or_default()))
            .header(
                "Call-ID",
                format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..)),
            )
            .header("CSeq", "1 MESSAGE");
        let hidden = hides_identity(request);
        let mut has_expires = false;
        for field in request.headers() {
            let left_out = HOP.iter().chain(OWN).any(|name| field.is(name))
                || (hidden && field.is("P-Asserted-Identity"))
                // A sender must not be able to say in the server's name that a message has expired.
                || how.marker.is_some_and(|name| field.is(name));
            if left_out {
                continue;
            }
            if field.is("Expires") {
                match (how.expires, &stored.message.mark) {
                    (DeliveryExpires::Dropped, _) => continue,
                    (DeliveryExpires::Remaining, Some(mark)) => {
                        if !has_expires {
                            let left = mark.at.seconds_from(how.now).to_string();
                            builder = builder.header("Expires", left);
                        }
                        has_expires = true;
                        continue;
                    }
                    (DeliveryExpires::Remaining, None) | (DeliveryExpires::AsStored, _) => {
                        has_expires = true;
                    }
                }
            }
            builder = builder.header_line(field.line());
        }
        if has_expires && how.expires == DeliveryExpires::AsStored && value("Date").is_none() {
            // Without a Date the recipient would count the life from now on (RFC 3428 §7).
            let received = SipDate {
                unix_seconds: stored.message.received_at.seconds(),
            };
            builder = builder.header("Date", received.format());
        }
        if let Some(name) = how.marker.filter(|_| how.expired) {
            builder = builder.header(name, "true");
        }
        builder.body(request.body_bytes()).octets()
    }

    fn forwarded(&self, request: &Message, flow: &Flow, contact: &str, via: &str) -> Bytes {
        let hops = match request.typed::<MaxForwards>() {
            Some(Ok(MaxForwards(hops))) => hops.saturating_sub(1),
            _ => 70,
        };
        let method = request.method().unwrap_or_default();
        let mut builder = Builder::request(method, contact)
            .header("Via", via)
            .header("Max-Forwards", hops.to_string());
        let hidden = hides_identity(request);
        // RFC 3428 §4 has none in MESSAGE; of an INVITE it is the way back (RFC 3261 §16.6 item 4).
        let leaves_route = |field: &Header<'_>| method != "MESSAGE" && field.is("Record-Route");
        let mut first_via = true;
        for field in request.headers() {
            if field.is("Via") {
                let received = via_as_received(&field.value(), flow).filter(|_| first_via);
                builder = match received {
                    Some(value) => builder.header("Via", value),
                    None => builder.header_line(field.line()),
                };
                first_via = false;
            } else if leaves_route(&field)
                || !(HOP.iter().any(|name| field.is(name))
                    || hidden && field.is("P-Asserted-Identity"))
            {
                builder = builder.header_line(field.line());
            }
        }
        builder.body(request.body_bytes()).octets()
    }
}

/// A message from the server itself to a recipient: that the one before had expired.
pub fn expiry_notice(
    stored: &StoredMessage,
    domain: &str,
    contact: &str,
    via: &str,
    now: Timestamp,
) -> Bytes {
    let mut text = format!("The message {} had expired", stored.message.message_id);
    if let Some(mark) = &stored.message.mark {
        // Writing to a String does not fail.
        let _ = write!(text, " at {}", mark.at);
    }
    text.push_str(" before it was delivered.\r\n");
    Builder::request("MESSAGE", contact)
        .header("Via", via)
        .header("Max-Forwards", "70")
        .header(
            "From",
            format!("<sip:{domain}>;tag={:012x}", fastrand::u64(..1 << 48)),
        )
        .header("To", format!("<{}>", stored.message.account))
        .header(
            "Call-ID",
            format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..)),
        )
        .header("CSeq", "1 MESSAGE")
        .header(
            "Date",
            SipDate {
                unix_seconds: now.seconds(),
            }
            .format(),
        )
        .header("Content-Type", "text/plain;charset=UTF-8")
        .body(text.into_bytes())
        .octets()
}

/// An address value without its tag parameter.
fn without_tag(value: &[u8]) -> Vec<u8> {
    let mut kept: Vec<u8> = Vec::with_capacity(value.len());
    let (mut quoted, mut escaped, mut angle) = (false, false, false);
    let mut start = 0;
    for (at, octet) in value.iter().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'<' if !quoted => angle = true,
            b'>' if !quoted => angle = false,
            b';' if !quoted && !angle => {
                push_unless_tag(&mut kept, value.get(start..at).unwrap_or_default());
                start = at;
            }
            _ => {}
        }
    }
    push_unless_tag(&mut kept, value.get(start..).unwrap_or_default());
    kept
}

fn push_unless_tag(kept: &mut Vec<u8>, part: &[u8]) {
    let name = part.strip_prefix(b";").map(|part| {
        part.split(|octet| *octet == b'=')
            .next()
            .unwrap_or_default()
            .trim_ascii()
    });
    if !name.is_some_and(|name| name.eq_ignore_ascii_case(b"tag")) {
        kept.extend_from_slice(part);
    }
}

/// The option tags of a header such as Require.
pub fn option_tags(request: &Message, name: &str) -> Vec<String> {
    request
        .headers_named(name)
        .flat_map(|field| {
            list::split(&field.value())
                .into_iter()
                .map(|(_, tag)| String::from_utf8_lossy(tag).into_owned())
                .collect::<Vec<_>>()
        })
        .filter(|tag| !tag.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::policy::Mark;
    use crate::store::NewMessage;
    use crate::transport::Protocol;

    const REQUEST: &[u8] = b"MESSAGE sip:bob@example.org SIP/2.0\r\n\
        Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa\r\n\
        Route: <sip:example.org;lr>\r\n\
        Max-Forwards: 3\r\n\
        From: \"A; \\\" tag=x\" <sip:alice@example.org;tag=in>;q=1;tag=a1;z\r\n\
        To: <sip:bob@example.org>\r\n\
        Call-ID: 1@x\r\n\
        CSeq: 9 MESSAGE\r\n\
        s:   Folded\r\n subject\r\n\
        EXPIRES: 60\r\n\
        X-Multi: one\r\n\
        X-Multi: \xff\xfe\r\n\
        X-Mark: true\r\n\
        P-Asserted-Identity: <sip:alice@example.org>\r\n\
        Proxy-Authorization: Digest username=\"alice\"\r\n\
        Content-Type: text/plain\r\n\
        Content-Length: 4\r\n\r\n\x00\xff\r\n";

    fn stored() -> (StoredMessage, Message) {
        let received = Timestamp::parse("2026-11-23T02:10:33.9Z").unwrap();
        let message = NewMessage {
            account: "sip:bob@example.org".into(),
            message_id: "7@m".into(),
            request: Bytes::from_static(REQUEST),
            received_at: received,
            stored_at: received,
            mark: Some(Mark {
                seconds: 60,
                at: received.plus_seconds(60),
                raw: Some("60".into()),
            }),
        };
        let request = Message::parse(Bytes::from_static(REQUEST)).unwrap();
        (
            StoredMessage {
                number: 1,
                message,
                expired: false,
            },
            request,
        )
    }

    fn deferred(change: impl FnOnce(&mut Deferred<'_>)) -> String {
        let (stored, request) = stored();
        let mut how = Deferred {
            contact: "sip:bob@192.0.2.7",
            via: "SIP/2.0/UDP 192.0.2.5:5060;branch=z9hG4bKnew",
            expires: DeliveryExpires::AsStored,
            marker: None,
            expired: false,
            now: stored.message.received_at.plus_seconds(15),
        };
        change(&mut how);
        PlainComposer
            .deferred(&stored, &request, &how)
            .escape_ascii()
            .to_string()
            .replace("\\r\\n", "\n")
    }

    #[test]
    fn a_deferred_message_keeps_what_is_the_senders_and_renews_the_rest() {
        let mut settings = insta::Settings::clone_current();
        settings.add_filter(";tag=[0-9a-f]{12}\n", ";tag=NEW\n");
        settings.add_filter("Call-ID: [0-9a-f]{32}", "Call-ID: NEW");
        settings.bind(|| insta::assert_snapshot!(deferred(|_| {})));
    }

    #[test]
    fn the_indication_is_the_servers_alone() {
        assert!(
            deferred(|_| {}).contains("X-Mark: true"),
            "an ordinary header"
        );
        let fresh = deferred(|how| how.marker = Some("x-mark"));
        assert!(
            !fresh.contains("Mark: true") && !fresh.contains("x-mark"),
            "{fresh}"
        );
        let expired = deferred(|how| {
            how.marker = Some("x-mark");
            how.expired = true;
        });
        assert_eq!(expired.matches("x-mark: true").count(), 1, "{expired}");
    }

    #[test]
    fn expires_goes_out_as_chosen() {
        let remaining = deferred(|how| how.expires = DeliveryExpires::Remaining);
        assert!(remaining.contains("Expires: 45\n"), "{remaining}");
        let dropped = deferred(|how| how.expires = DeliveryExpires::Dropped);
        assert!(
            !dropped.to_ascii_lowercase().contains("expires:"),
            "{dropped}"
        );
        assert!(!dropped.contains("Date:"), "{dropped}");
    }

    #[test]
    fn forwarding_adds_a_hop_and_takes_credentials_out() {
        let (_, request) = stored();
        let flow = Flow {
            protocol: Protocol::Udp,
            local: "192.0.2.5:5060".parse().unwrap(),
            remote: "198.51.100.7:1024".parse().unwrap(),
        };
        let via = "SIP/2.0/UDP 192.0.2.5:5060;branch=z9hG4bKnew";
        let octets = PlainComposer.forwarded(&request, &flow, "sip:bob@192.0.2.7", via);
        insta::assert_snapshot!(octets.escape_ascii().to_string().replace("\\r\\n", "\n"));
    }

    #[test]
    fn leaving_fields_out_leaves_the_rest_alone() {
        let (_, request) = stored();
        let kept = without(&request, is_hop_field);
        let text = kept.escape_ascii().to_string().replace("\\r\\n", "\n");
        insta::assert_snapshot!(text);
        assert_eq!(without(&request, |_| false), request.octets());
    }
}
