//! The border of MSRP connections: frames that are taken for others, and frames that should not be sent.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use imspec_reference_server::Parts;
use imspec_reference_server::compose::Field;
use imspec_reference_server::msrp::Tap;
use imspec_reference_server::transport::{Flow, Gate, Incoming, Outbox, Sending, Target};
use imspec_wire::msrp::{Decoder, End, Flag, Head, Limits, Piece};
use imspec_wire::sip::Message;

use crate::fault::Fault;
use crate::rewrite::{self, Becomes};
use crate::store::Memory;

pub(crate) const FAULTS: &[Fault] = &[
    Fault::new(
        "first-chunk-alone",
        "M-028",
        &["DM-STORE-20", "RFC4975-7.3.1"],
        "Of a message in several chunks the first one is stored.",
    )
    .seed(|parts| tapped(parts, FirstChunk::default())),
    Fault::new(
        "stores-aborted",
        "M-032",
        &["DM-STORE-20"],
        "A message that its sender gave up is stored as far as it came.",
    )
    .seed(|parts| tapped(parts, Aborted)),
    Fault::new(
        "ranges-from-zero",
        "M-033",
        &["DM-STORE-20", "DM-STORE-18", "RFC4975-7.3.1"],
        "Chunks after the first are put one octet too far to the front.",
    )
    .seed(|parts| {
        tapped(
            parts,
            Heads(|head: &Head| {
                let range = head.byte_range()?.ok()?;
                (range.start > 1).then(|| ranged(head, &format!("{}-*/*", range.start - 1)))
            }),
        )
    }),
    Fault::new(
        "stores-bodiless",
        "M-036",
        &["DM-STORE-18"],
        "A SEND without a body, which opens a connection, is stored as an empty message.",
    )
    .seed(|parts| {
        tapped(
            parts,
            Heads(|head: &Head| {
                let is_sign =
                    head.method() == Some(imspec_wire::msrp::Method::Send) && !head.has_body();
                is_sign.then(|| {
                    [head.as_bytes(), &b"Content-Type: text/plain\r\n\r\n"[..]]
                        .concat()
                        .into()
                })
            }),
        )
    }),
    Fault::new(
        "answers-unwanted",
        "M-054",
        &["RFC4975-7.2"],
        "A SEND with `Failure-Report: no` is answered with 200.",
    )
    .seed(|parts| {
        tapped(
            parts,
            Heads(|head: &Head| {
                let is_unwanted =
                    |field: &Field| field.is("Failure-Report") && field.value == b"no";
                Some(rewrite::send_fields(head.as_bytes(), |field| {
                    Becomes::gone_if(is_unwanted(field))
                }))
            }),
        )
    }),
    Fault::new(
        "refuses-send-with-expires",
        "M-090",
        &["DM-EXP-20", "RFC4975-12-header"],
        "A SEND with Expires is refused.",
    )
    .seed(|parts| {
        tapped(
            parts,
            Heads(|head: &Head| {
                head.header("Expires")?;
                let line = format!("MSRP {} FORGET", head.transaction_id());
                let rest = head.as_bytes().get(head.start_line_range().end..)?;
                Some([line.as_bytes(), rest].concat().into())
            }),
        )
    }),
    Fault::new(
        "bounds-are-expires",
        "F-276",
        &["DM-EXP-20"],
        "Min-Expires and Max-Expires of a SEND are taken for its Expires.",
    )
    .stored()
    .seed(|parts| {
        tapped(
            parts,
            Heads(|head: &Head| {
                let is_bound = |field: &Field| field.is("Min-Expires") || field.is("Max-Expires");
                Some(rewrite::send_fields(head.as_bytes(), |field| {
                    if is_bound(field) {
                        Becomes::field("Expires", &field.value)
                    } else {
                        Becomes::Same
                    }
                }))
            }),
        )
    }),
    Fault::new(
        "takes-other-sessions",
        "M-138",
        &["RFC4975-5.4-481", "DM-STORE-22"],
        "A SEND for a session that does not exist is taken for the one of its sender.",
    )
    .seed(|parts| {
        let sessions = Arc::new(Sessions::default());
        let known = |sessions: &Arc<Sessions>| Arc::clone(sessions);
        Parts {
            gate: Arc::new(Offers {
                inner: Arc::clone(&parts.gate),
                sessions: known(&sessions),
            }),
            outbox: Arc::new(Answers {
                inner: Arc::clone(&parts.outbox),
                sessions: known(&sessions),
            }),
            tap: Arc::new(Redirect { sessions }),
            ..parts
        }
    }),
    Fault::new(
        "stored-id-on-the-wire",
        "M-140",
        &["RFC4975-9-ident"],
        "The Message-ID of a deferred message, with its @, is written into MSRP.",
    )
    .under("delivery.form: session")
    .seed(|parts| {
        tapped(
            parts,
            Outgoing(|octets: &Bytes| {
                let is_send =
                    octets.starts_with(b"MSRP ") && first_line(octets).ends_with(b" SEND");
                is_send.then(|| {
                    rewrite::send_fields(octets, |field| {
                        if field.is("Message-ID") {
                            let id = [&field.value[..], b"@mailstore1.example.org"].concat();
                            Becomes::field("Message-ID", id)
                        } else {
                            Becomes::Same
                        }
                    })
                })
            }),
        )
    }),
    Fault::new(
        "needs-byte-range",
        "F-186",
        &["DM-STORE-20", "RFC4975-7.3.1"],
        "A SEND without Byte-Range is refused.",
    )
    .seed(|parts| {
        tapped(
            parts,
            Heads(|head: &Head| {
                let lacks_range = head.has_body() && head.header("Byte-Range").is_none();
                let rest = head.as_bytes().get(head.start_line_range().end..)?;
                let line = format!("MSRP {} FORGET", head.transaction_id());
                lacks_range.then(|| [line.as_bytes(), rest].concat().into())
            }),
        )
    }),
    Fault::new(
        "accepts-unknown-methods",
        "F-180",
        &["RFC4975-12-method"],
        "An MSRP request of an unknown method is answered with 200.",
    )
    .seed(|parts| tapped(parts, Outgoing(|octets: &Bytes| answered(octets, "501")))),
    Fault::new(
        "accepts-second-connection",
        "F-181",
        &["RFC4975-5.4-506"],
        "A SEND for a session that has its connection already is answered with 200 on another.",
    )
    .seed(|parts| tapped(parts, Outgoing(|octets: &Bytes| answered(octets, "506")))),
    Fault::new(
        "broken-request-stops-all",
        "F-279",
        &["RFC4975-10.2"],
        "After a request of MSRP without To-Path nothing is read for ten seconds, on whatever connection.",
    )
    .seed(|parts| tapped(parts, Stopped::default())),
    Fault::new(
        "accepts-every-type",
        "F-182",
        &["RFC4975-7.3.1-415"],
        "A SEND of a type that is not taken is answered with 200.",
    )
    .configure(|config| {
        config.session.accept_types = vec!["text/plain".to_owned(), "message/cpim".to_owned()];
    })
    .seed(|parts| tapped(parts, Outgoing(|octets: &Bytes| answered(octets, "415")))),
    Fault::new(
        "reports-nothing",
        "F-183",
        &["RFC4975-7.1.2"],
        "No success is reported, though reports on storing are declared.",
    )
    .under("lm.success_report: on-store")
    .seed(|parts| tapped(parts, Unreported)),
    Fault::new(
        "answers-reports",
        "F-184",
        &["RFC4975-7.3.2"],
        "A REPORT is answered with 200.",
    )
    .seed(|parts| {
        tapped(
            parts,
            Heads(|head: &Head| {
                let is_report = head.method() == Some(imspec_wire::msrp::Method::Report);
                let rest = head.as_bytes().get(head.start_line_range().end..)?;
                let line = format!("MSRP {} SEND", head.transaction_id());
                is_report.then(|| [line.as_bytes(), rest].concat().into())
            }),
        )
    }),
    Fault::new(
        "refuses-unknown-send-headers",
        "F-185",
        &["RFC4975-12-header"],
        "A SEND with a header field that the server does not know is refused.",
    )
    .seed(|parts| {
        tapped(
            parts,
            Heads(|head: &Head| {
                let is_unknown = head
                    .headers()
                    .any(|field| field.name().to_ascii_lowercase().starts_with("x-"));
                let rest = head.as_bytes().get(head.start_line_range().end..)?;
                let line = format!("MSRP {} FORGET", head.transaction_id());
                is_unknown.then(|| [line.as_bytes(), rest].concat().into())
            }),
        )
    }),
];

/// A response of that status as one of 200.
fn answered(octets: &Bytes, status: &str) -> Option<Bytes> {
    let line = std::str::from_utf8(first_line(octets)).ok()?;
    let mut words = line.split(' ');
    let id = words.by_ref().nth(1)?;
    let is_it = words.next() == Some(status);
    let rest = octets.get(line.len()..)?;
    is_it.then(|| {
        [format!("MSRP {id} 200 OK").as_bytes(), rest]
            .concat()
            .into()
    })
}

/// Keeps reports back.
struct Unreported;

impl Tap for Unreported {
    fn outgoing(&self, octets: Bytes) -> Option<Bytes> {
        (!first_line(&octets).ends_with(b" REPORT")).then_some(octets)
    }
}

pub(crate) fn tapped(parts: Parts, tap: impl Tap) -> Parts {
    Parts {
        tap: Arc::new(tap),
        ..parts
    }
}

pub(crate) fn first_line(octets: &[u8]) -> &[u8] {
    let end = octets
        .iter()
        .position(|octet| matches!(octet, b'\r' | b'\n'));
    octets
        .get(..end.unwrap_or(octets.len()))
        .unwrap_or_default()
}

/// When nothing is read any more.
#[derive(Default)]
struct Stopped(Memory<Option<Instant>>);

impl Tap for Stopped {
    fn incoming(&self, piece: Piece) -> Option<Piece> {
        const PAUSE: Duration = Duration::from_secs(10);
        let mut since = self.0.get();
        if let Piece::Head(head) = &piece
            && head.to_path().is_err()
        {
            *since = Some(Instant::now());
        }
        let is_stopped = since.is_some_and(|since| since.elapsed() < PAUSE);
        (!is_stopped).then_some(piece)
    }
}

/// The head of other octets; the old one where they are none.
pub(crate) fn read_head(octets: &Bytes, old: Head) -> Head {
    let mut decoder = Decoder::new(Limits::default());
    decoder.push(octets);
    match decoder.next_piece() {
        Ok(Some(Piece::Head(head))) => head,
        _ if octets.ends_with(b"\r\n\r\n") => old,
        // Without a body the end line says where the head ends.
        _ => {
            let mut decoder = Decoder::new(Limits::default());
            decoder.push(octets);
            decoder.push(format!("-------{}$\r\n", old.transaction_id()).as_bytes());
            match decoder.next_piece() {
                Ok(Some(Piece::Head(head))) => head,
                _ => old,
            }
        }
    }
}

/// The octets of a head with another Byte-Range.
fn ranged(head: &Head, range: &str) -> Bytes {
    rewrite::send_fields(head.as_bytes(), |field| {
        if field.is("Byte-Range") {
            Becomes::field("Byte-Range", range)
        } else {
            Becomes::Same
        }
    })
}

/// The transaction id in an end line.
fn id_of(end: &End) -> String {
    let line = String::from_utf8_lossy(&end.octets);
    let line = line.trim();
    let id = line.strip_prefix("-------").unwrap_or(line);
    let mut id = id.to_owned();
    id.pop();
    id
}

/// Changes heads that come in.
pub(crate) struct Heads<F>(pub(crate) F);

impl<F: Fn(&Head) -> Option<Bytes> + Send + Sync + 'static> Tap for Heads<F> {
    fn incoming(&self, piece: Piece) -> Option<Piece> {
        Some(match piece {
            Piece::Head(head) => match (self.0)(&head) {
                Some(octets) => Piece::Head(read_head(&octets, head)),
                None => Piece::Head(head),
            },
            other => other,
        })
    }
}

/// Changes octets that go out.
struct Outgoing<F>(F);

impl<F: Fn(&Bytes) -> Option<Bytes> + Send + Sync + 'static> Tap for Outgoing<F> {
    fn outgoing(&self, octets: Bytes) -> Option<Bytes> {
        Some((self.0)(&octets).unwrap_or(octets))
    }
}

#[derive(Default)]
struct FirstChunk(Memory<HashSet<String>>);

impl Tap for FirstChunk {
    fn incoming(&self, piece: Piece) -> Option<Piece> {
        Some(match piece {
            Piece::Head(head) => {
                let starts = head
                    .byte_range()
                    .and_then(Result::ok)
                    .map(|range| range.start);
                if head.has_body() && starts == Some(1) {
                    self.0.get().insert(head.transaction_id().to_owned());
                    Piece::Head(read_head(&ranged(&head, "1-*/*"), head))
                } else {
                    Piece::Head(head)
                }
            }
            Piece::End(end) if self.0.get().remove(&id_of(&end)) && end.flag == Flag::More => {
                Piece::End(End {
                    flag: Flag::Complete,
                    ..end
                })
            }
            other => other,
        })
    }
}

struct Aborted;

impl Tap for Aborted {
    fn incoming(&self, piece: Piece) -> Option<Piece> {
        Some(match piece {
            Piece::Head(head) => match head.byte_range() {
                Some(Ok(range)) => Piece::Head(read_head(
                    &ranged(&head, &format!("{}-*/*", range.start)),
                    head,
                )),
                _ => Piece::Head(head),
            },
            Piece::End(end) if end.flag == Flag::Abort => Piece::End(End {
                flag: Flag::Complete,
                ..end
            }),
            other => other,
        })
    }
}

/// Which session of ours belongs to which path of a peer's.
#[derive(Default)]
struct Sessions {
    /// Paths of offers, by Call-ID.
    offers: Memory<HashMap<String, String>>,
    /// Our paths, by the peer's.
    paths: Memory<HashMap<String, String>>,
}

/// The path in a message's session description.
pub(crate) fn path_of(message: &Message) -> Option<String> {
    let body = String::from_utf8_lossy(message.body()).into_owned();
    let path = body.lines().find_map(|line| line.strip_prefix("a=path:"))?;
    path.split(' ').next_back().map(|uri| uri.trim().to_owned())
}

struct Offers {
    inner: Arc<dyn Gate>,
    sessions: Arc<Sessions>,
}

impl Gate for Offers {
    fn admit(&self, incoming: Incoming) -> Option<Incoming> {
        let message = &incoming.message;
        if let (Some("INVITE"), Some(path), Some(id)) = (
            message.method(),
            path_of(message),
            rewrite::text(message, "Call-ID"),
        ) {
            self.sessions.offers.get().insert(id, path);
        }
        self.inner.admit(incoming)
    }
}

struct Answers {
    inner: Arc<dyn Outbox>,
    sessions: Arc<Sessions>,
}

impl Answers {
    fn note(&self, octets: &Bytes) {
        let Some(message) = rewrite::read(octets) else {
            return;
        };
        if let (Some(200), Some(own), Some(id)) = (
            message.status(),
            path_of(&message),
            rewrite::text(&message, "Call-ID"),
        ) && let Some(peer) = self.sessions.offers.get().get(&id).cloned()
        {
            self.sessions.paths.get().insert(peer, own);
        }
    }
}

impl Outbox for Answers {
    fn send(&self, target: Target, octets: Bytes) -> Sending<'_> {
        self.inner.send(target, octets)
    }

    fn respond(&self, flow: Flow, fallback: std::net::SocketAddr, octets: Bytes) -> Sending<'_> {
        self.note(&octets);
        self.inner.respond(flow, fallback, octets)
    }

    fn respond_now(&self, flow: Flow, address: std::net::SocketAddr, octets: Bytes) {
        self.note(&octets);
        self.inner.respond_now(flow, address, octets);
    }

    fn sent_by(&self, target: Target) -> Option<std::net::SocketAddr> {
        self.inner.sent_by(target)
    }
}

struct Redirect {
    sessions: Arc<Sessions>,
}

impl Tap for Redirect {
    fn incoming(&self, piece: Piece) -> Option<Piece> {
        let Piece::Head(head) = piece else {
            return Some(piece);
        };
        let from = head
            .header("From-Path")
            .map(|path| path.text().into_owned());
        let own = from.and_then(|from| self.sessions.paths.get().get(from.trim()).cloned());
        let Some(own) = own else {
            return Some(Piece::Head(head));
        };
        let octets = rewrite::send_fields(head.as_bytes(), |field| {
            if field.is("To-Path") {
                Becomes::field("To-Path", &own)
            } else {
                Becomes::Same
            }
        });
        Some(Piece::Head(read_head(&octets, head)))
    }
}
