//! Requests to the recipient: what of a sender's message goes on, and what is made anew.
//!
//! A message for somebody online is forwarded as a proxy does it (RFC 3261 §16.6). A deferred one is
//! sent again as a request of the server's own, with what belongs to the sender kept: From but for its
//! tag, To, every end-to-end header field as written, the body octet for octet (RFC 5365 §7.2 is the
//! closest model). Where it goes by a session, what stands in its head is divided: the INVITE says who
//! and what about, the SENDs say what the content is and how long it lives.

use std::fmt::Write as _;

use bytes::Bytes;
use imspec_wire::sip::typed::{Expires, MaxForwards, SipDate, TypedHeader as _, list};
use imspec_wire::sip::{Builder, Header, Message};

use crate::clock::Timestamp;
use crate::policy::DeliveryExpires;
use crate::response::via_as_received;
use crate::store::{Form, StoredMessage};
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
    /// A stored message as a new request. `request` is the stored MESSAGE, or what [`as_message`] makes
    /// of a session.
    fn deferred(&self, stored: &StoredMessage, request: &Message, how: &Deferred<'_>) -> Bytes;
    /// The INVITE to a session that brings a stored message. `request` is the stored MESSAGE or the
    /// stored INVITE, `contact` is where the recipient reaches us, `offer` our session description.
    fn invitation(
        &self,
        stored: &StoredMessage,
        request: &Message,
        how: &Deferred<'_>,
        contact: &str,
        offer: Bytes,
    ) -> Bytes;
    /// The header fields of the SENDs that bring one message of a record, but for those that MSRP
    /// itself needs. `part` counts the messages of a session from 0.
    fn send_fields(
        &self,
        stored: &StoredMessage,
        request: &Message,
        part: usize,
        how: &Deferred<'_>,
    ) -> Vec<Field>;
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

/// Fields of an INVITE that belong to the sender's own session with this server, not to the message.
/// Expires is among them: it limits the invitation (RFC 3261 §13.2.1).
const SESSION: &[&str] = &[
    "Accept",
    "Accept-Encoding",
    "Accept-Language",
    "Allow",
    "Allow-Events",
    "Expires",
    "Join",
    "MIME-Version",
    "Min-SE",
    "RAck",
    "Replaces",
    "Require",
    "Session-Expires",
    "Supported",
    "Timestamp",
];

/// Fields of a SEND that belong to one hop or one session.
const SEND: &[&str] = &[
    "To-Path",
    "From-Path",
    "Message-ID",
    "Byte-Range",
    "Success-Report",
    "Failure-Report",
    "Status",
    "Use-Path",
    "WWW-Authenticate",
    "Authorization",
    "Authentication-Info",
    "Min-Expires",
    "Max-Expires",
];

/// A header field of a SEND.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Name.
    pub name: String,
    /// Value, on one line.
    pub value: Vec<u8>,
}

impl Field {
    fn new(name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
        }
    }

    /// Whether this is the field of that name (RFC 4975 §9: names are as in SIP).
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    fn is_mime(&self) -> bool {
        let start = self.name.get(..8).unwrap_or_default();
        start.eq_ignore_ascii_case("Content-") && !self.is("Content-Length")
    }
}

/// The fields of a stored head of a SEND, start line left out. A value that has a line end of another kind
/// in it is left out, too: written elsewhere it could be read as several fields (RFC 4975 §9, `utf8text`).
pub fn fields_of_send(head: &[u8]) -> Vec<Field> {
    let mut fields = Vec::new();
    let mut rest = head;
    let mut is_start = true;
    while !rest.is_empty() {
        let end = rest.windows(2).position(|octets| octets == b"\r\n");
        let (line, next) = rest.split_at(end.unwrap_or(rest.len()));
        rest = next.get(2..).unwrap_or_default();
        if std::mem::take(&mut is_start) {
            continue;
        }
        fields.extend(field_of_send(line));
    }
    fields
}

fn field_of_send(line: &[u8]) -> Option<Field> {
    let colon = line.iter().position(|octet| *octet == b':')?;
    let name = std::str::from_utf8(line.get(..colon)?).ok()?;
    let value = line.get(colon + 1..)?.trim_ascii();
    let is_one_line = !line.iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0));
    (!name.is_empty() && is_one_line).then(|| Field::new(name, value))
}

/// What a MIME field of a SIP message is called where there are no compact names.
fn mime_field(field: &Header<'_>) -> Option<Field> {
    let name = field.canonical_name().into_owned();
    Some(Field::new(name, field.value().into_owned())).filter(Field::is_mime)
}

/// The MESSAGE that a message of a session could have been: what the INVITE said of it, the MIME
/// fields and the Expires of its SEND, its octets.
pub fn as_message(invite: &Message, send_head: &[u8], body: Bytes) -> Bytes {
    let mut builder = Builder::request("MESSAGE", invite.request_uri().unwrap_or_default());
    for field in invite.headers() {
        let is_sessions = SESSION.iter().any(|name| field.is(name));
        if !is_sessions && mime_field(&field).is_none() && !field.is("Content-Length") {
            builder = builder.header_line(field.line());
        }
    }
    let fields = fields_of_send(send_head);
    let is_alone = fields.iter().filter(|field| field.is("Expires")).count() == 1;
    for field in fields {
        // What the sender wrote in MSRP is no reason to write SIP that nobody can read.
        let lasts = is_alone && field.is("Expires") && Expires::parse_value(&field.value).is_ok();
        if field.is_mime() || lasts {
            builder = builder.header(&field.name, &field.value);
        }
    }
    builder.body(body).octets()
}

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

impl PlainComposer {
    /// A request of the server's own, in the sender's name.
    fn begin(method: &str, request: &Message, how: &Deferred<'_>) -> Builder {
        let value = |name| request.header(name).map(|field| field.value().into_owned());
        let mut from = without_tag(&value("From").unwrap_or_default());
        from.extend_from_slice(format!(";tag={:012x}", fastrand::u64(..1 << 48)).as_bytes());
        Builder::request(method, how.contact)
            .header("Via", how.via)
            .header("Max-Forwards", "70")
            .header("From", from)
            .header("To", without_tag(&value("To").unwrap_or_default()))
            .header(
                "Call-ID",
                format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..)),
            )
            .header("CSeq", format!("1 {method}"))
    }

    fn end(
        mut builder: Builder,
        stored: &StoredMessage,
        lacks_date: bool,
        how: &Deferred<'_>,
    ) -> Builder {
        if lacks_date {
            // Without a Date the recipient would count the life from now on (RFC 3428 §7).
            let received = SipDate {
                unix_seconds: stored.message.received_at.seconds(),
            };
            builder = builder.header("Date", received.format());
        }
        if let Some(name) = how.marker.filter(|_| how.expired) {
            builder = builder.header(name, "true");
        }
        builder
    }
}

/// Whether a field of the sender's stays behind.
fn stays(field: &Header<'_>, hidden: bool, how: &Deferred<'_>) -> bool {
    HOP.iter().chain(OWN).any(|name| field.is(name))
        || (hidden && field.is("P-Asserted-Identity"))
        // A sender must not be able to say in the server's name that a message has expired.
        || how.marker.is_some_and(|name| field.is(name))
}

/// What becomes of an Expires of the sender's: the value that goes out in its place, if any.
fn expires_as_chosen(
    value: Vec<u8>,
    stored: &StoredMessage,
    how: &Deferred<'_>,
) -> Option<Vec<u8>> {
    match (how.expires, &stored.message.mark) {
        (DeliveryExpires::Dropped, _) => None,
        (DeliveryExpires::Remaining, Some(mark)) => {
            Some(mark.at.seconds_from(how.now).to_string().into_bytes())
        }
        (DeliveryExpires::Remaining, None) | (DeliveryExpires::AsStored, _) => Some(value),
    }
}

impl Composer for PlainComposer {
    fn deferred(&self, stored: &StoredMessage, request: &Message, how: &Deferred<'_>) -> Bytes {
        let mut builder = Self::begin("MESSAGE", request, how);
        let hidden = hides_identity(request);
        let mut has_expires = false;
        for field in request.headers() {
            if stays(&field, hidden, how) {
                continue;
            }
            if field.is("Expires") {
                let value = field.value().into_owned();
                match expires_as_chosen(value.clone(), stored, how) {
                    None => continue,
                    Some(changed) if changed != value => {
                        if !std::mem::replace(&mut has_expires, true) {
                            builder = builder.header("Expires", changed);
                        }
                        continue;
                    }
                    Some(_) => has_expires = true,
                }
            }
            builder = builder.header_line(field.line());
        }
        let lacks_date = has_expires
            && how.expires == DeliveryExpires::AsStored
            && request.header("Date").is_none();
        Self::end(builder, stored, lacks_date, how)
            .body(request.body_bytes())
            .octets()
    }

    fn invitation(
        &self,
        stored: &StoredMessage,
        request: &Message,
        how: &Deferred<'_>,
        contact: &str,
        offer: Bytes,
    ) -> Bytes {
        let mut builder = Self::begin("INVITE", request, how)
            .header("Contact", format!("<{contact}>"))
            .header("Allow", "INVITE, ACK, BYE, CANCEL");
        let hidden = hides_identity(request);
        for field in request.headers() {
            let is_sessions = SESSION.iter().any(|name| field.is(name));
            if !is_sessions && mime_field(&field).is_none() && !stays(&field, hidden, how) {
                builder = builder.header_line(field.line());
            }
        }
        let has_expires = match &stored.message.form {
            Form::Pager(_) => request.header("Expires").is_some(),
            Form::Session(record) => record.parts.iter().any(|part| {
                let fields = fields_of_send(part.head());
                fields.iter().any(|field| field.is("Expires"))
            }),
        };
        let lacks_date = has_expires
            && how.expires == DeliveryExpires::AsStored
            && request.header("Date").is_none();
        Self::end(builder, stored, lacks_date, how)
            .header("Content-Type", "application/sdp")
            .body(offer)
            .octets()
    }

    fn send_fields(
        &self,
        stored: &StoredMessage,
        request: &Message,
        part: usize,
        how: &Deferred<'_>,
    ) -> Vec<Field> {
        let (mut fields, expires) = match &stored.message.form {
            Form::Pager(_) => {
                let expires = request.header("Expires");
                (
                    request
                        .headers()
                        .filter_map(|field| mime_field(&field))
                        .collect(),
                    expires.map(|field| field.value().into_owned()),
                )
            }
            Form::Session(record) => {
                let head = record.parts.get(part).map_or(&[][..], |part| part.head());
                let (expires, mut others): (Vec<_>, Vec<_>) = fields_of_send(head)
                    .into_iter()
                    .partition(|field| field.is("Expires"));
                others.retain(|field| {
                    !SEND.iter().any(|name| field.is(name))
                        && !how.marker.is_some_and(|name| field.is(name))
                });
                // Which chunk's Expires counts is the provider's choice (`lm.expires.chunk`).
                let chosen = match (&record.parts[..], &stored.message.mark) {
                    ([_], Some(mark)) => mark.raw.clone().map(String::into_bytes),
                    _ => None,
                };
                let first = expires.into_iter().next().map(|field| field.value);
                (others, chosen.or(first))
            }
        };
        let expires = expires.and_then(|value| expires_as_chosen(value, stored, how));
        // RFC 4976 §7 knows no other form; as it was written it is in the record.
        if let Some(value) = expires.filter(|value| Expires::parse_value(value).is_ok()) {
            fields.push(Field::new("Expires", value));
        }
        // The grammar wants Content-Type last (RFC 4975 §9), and content needs one.
        let (kinds, mut fields): (Vec<_>, Vec<_>) = fields
            .into_iter()
            .partition(|field: &Field| field.is("Content-Type"));
        let kind = kinds.into_iter().next();
        fields.push(kind.unwrap_or_else(|| Field::new("Content-Type", "text/plain")));
        fields
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

    #[test]
    fn a_line_end_within_a_value_makes_no_further_field() {
        let head =
            b"MSRP a SEND\r\nTo-Path: x\r\nX-A: one\nX-B: two\r\nX-C: a\rX-D: b\r\nX-E: \r\n";
        let fields: Vec<String> = fields_of_send(head)
            .into_iter()
            .map(|field| field.name)
            .collect();
        assert_eq!(fields, ["To-Path", "X-E"]);
    }

    fn stored() -> (StoredMessage, Message) {
        let received = Timestamp::parse("2026-11-23T02:10:33.9Z").unwrap();
        let message = NewMessage {
            account: "sip:bob@example.org".into(),
            message_id: "7@m".into(),
            form: Form::Pager(Bytes::from_static(REQUEST)),
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

    fn shown(octets: &[u8]) -> String {
        octets.escape_ascii().to_string().replace("\\r\\n", "\n")
    }

    fn how<'a>(stored: &StoredMessage) -> Deferred<'a> {
        Deferred {
            contact: "sip:bob@192.0.2.7",
            via: "SIP/2.0/UDP 192.0.2.5:5060;branch=z9hG4bKnew",
            expires: DeliveryExpires::AsStored,
            marker: Some("X-Mark"),
            expired: true,
            now: stored.message.received_at.plus_seconds(15),
        }
    }

    #[test]
    fn a_session_divides_what_is_said_between_invite_and_send() {
        let (stored, request) = stored();
        let how = how(&stored);
        let offer = Bytes::from_static(b"v=0\r\n");
        let contact = "sip:192.0.2.5:5060";
        let invite = PlainComposer.invitation(&stored, &request, &how, contact, offer);
        let mut settings = insta::Settings::clone_current();
        settings.add_filter(";tag=[0-9a-f]{12}\n", ";tag=NEW\n");
        settings.add_filter("Call-ID: [0-9a-f]{32}", "Call-ID: NEW");
        settings.bind(|| insta::assert_snapshot!(shown(&invite)));
        let fields = PlainComposer.send_fields(&stored, &request, 0, &how);
        let names: Vec<_> = fields.iter().map(|field| field.name.as_str()).collect();
        assert_eq!(names, ["Expires", "Content-Type"]);
        let dropped = Deferred {
            expires: DeliveryExpires::Dropped,
            ..how
        };
        let fields = PlainComposer.send_fields(&stored, &request, 0, &dropped);
        assert_eq!(fields, [Field::new("Content-Type", "text/plain")]);
    }

    const INVITE: &[u8] = b"INVITE sip:bob@example.org SIP/2.0\r\n\
        Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa\r\n\
        From: <sip:alice@example.org>;tag=a1\r\n\
        To: <sip:bob@example.org>\r\n\
        Call-ID: 1@x\r\n\
        CSeq: 9 INVITE\r\n\
        Contact: <sip:alice@192.0.2.1>\r\n\
        s: Dinner\r\n\
        Expires: 30\r\n\
        x: 1800\r\n\
        Supported: timer\r\n\
        Contribution-ID: 7\r\n\
        c: application/sdp\r\n\
        l: 0\r\n\r\n";
    const SEND: &[u8] = b"MSRP a1b2 SEND\r\nTo-Path: msrp://x:1/a;tcp\r\n\
        From-Path: msrp://y:1/b;tcp\r\nMessage-ID: 7\r\nByte-Range: 1-2/2\r\n\
        Expires: 60\r\nx-mark: true\r\nX-Other: 1\r\nContent-ID: <1@x>\r\n\
        Content-Type: text/plain;charset=UTF-8\r\n";

    #[test]
    fn a_message_of_a_session_becomes_a_message() {
        let invite = Message::parse(Bytes::from_static(INVITE)).unwrap();
        let message = as_message(&invite, SEND, Bytes::from_static(b"hi"));
        insta::assert_snapshot!(shown(&message));
        assert!(Message::parse(message).is_ok());
    }

    #[test]
    fn an_expires_that_cannot_be_read_does_not_become_one_of_a_message() {
        let invite = Message::parse(Bytes::from_static(INVITE)).unwrap();
        for (expires, goes) in [
            ("Expires: 4294967295", true),
            ("Expires: 4294967296", false),
            ("Expires: soon", false),
            ("Expires:", false),
            ("Expires: 60\r\nExpires: 61", false),
        ] {
            let send = String::from_utf8_lossy(SEND).replace("Expires: 60", expires);
            let message = as_message(&invite, send.as_bytes(), Bytes::from_static(b"hi"));
            let message = Message::parse(message).unwrap();
            assert_eq!(message.header("Expires").is_some(), goes, "{expires}");
        }
    }

    #[test]
    fn a_send_is_sent_again_without_what_belonged_to_its_session() {
        let (mut stored, _) = stored();
        let invite = Message::parse(Bytes::from_static(INVITE)).unwrap();
        let part = crate::store::Part {
            content: 1,
            octets: 2,
            sha256: [0; 32],
            origin: String::new(),
            heads: vec![Bytes::from_static(SEND)],
            first: 0,
            all_heads: true,
        };
        stored.message.form = Form::Session(crate::store::SessionRecord {
            invite: Bytes::from_static(INVITE),
            ok: Bytes::new(),
            bye: None,
            parts: vec![part],
        });
        let unreadable = String::from_utf8_lossy(SEND).replace("Expires: 60", "Expires: soon");
        let mut odd = stored.clone();
        odd.message.mark = None;
        if let Form::Session(record) = &mut odd.message.form {
            record.parts[0].heads = vec![unreadable.into()];
        }
        let fields = PlainComposer.send_fields(&odd, &invite, 0, &how(&odd));
        assert!(!fields.iter().any(|field| field.is("Expires")));
        let fields = PlainComposer.send_fields(&stored, &invite, 0, &how(&stored));
        let lines: Vec<_> = fields
            .iter()
            .map(|field| format!("{}: {}", field.name, field.value.escape_ascii()))
            .collect();
        assert_eq!(
            lines,
            [
                "X-Other: 1",
                "Content-ID: <1@x>",
                "Expires: 60",
                "Content-Type: text/plain;charset=UTF-8"
            ]
        );
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
