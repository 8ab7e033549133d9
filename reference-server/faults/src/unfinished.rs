//! The border of MSRP connections: chunks that never end, and ranges that cannot be true.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use imspec_reference_server::Parts;
use imspec_reference_server::clock::Clock;
use imspec_reference_server::msrp::Tap;
use imspec_reference_server::store::{
    Answer, Form, Inserted, NewMessage, Part, Piece as Stored, Store,
};
use imspec_reference_server::transport::{Gate, Incoming};
use imspec_wire::msrp::{Flag, Head, Method, Piece};
use imspec_wire::sip::Message;
use tokio::task;

use crate::fault::Fault;
use crate::msrp::{Heads, path_of, read_head, tapped};
use crate::rewrite::{self, Becomes};
use crate::store::{Memory, Spoil, spoil};
use crate::transport::responding;

/// What is kept of one chunk, and how much is made up at most.
const MOST: usize = 64 * 1024;

pub(crate) const FAULTS: &[Fault] = &[
    Fault::new(
        "unfinished-is-kept",
        "F-250",
        &["DM-STORE-20", "RFC4975-5.1"],
        "What came of a chunk that has no end is stored as a message when its session ends.",
    )
    .seed(|parts| {
        let calls = Arc::new(Calls::default());
        let noted = Arc::clone(&calls);
        let parts = responding(parts, move |response| {
            noted.answered(response);
            None
        });
        let parts = Parts {
            gate: Arc::new(Ends {
                inner: Arc::clone(&parts.gate),
                store: Arc::clone(&parts.store),
                clock: Arc::clone(&parts.clock),
                calls: Arc::clone(&calls),
            }),
            ..parts
        };
        tapped(parts, Unfinished(calls))
    }),
    Fault::new(
        "believes-ranges",
        "F-251",
        &["DM-STORE-20", "RFC4975-7.3.1"],
        "Where a message begins and ends is what its Byte-Range says: what did not come is made up of NULs, \
         and what is too much is cut off.",
    )
    .seed(|parts| {
        let parts = tapped(parts, Ranges::default());
        spoil(parts, |parts| Believed(Arc::clone(&parts.store)))
    }),
    Fault::new(
        "identifiers-of-sixteen",
        "F-369",
        &["DM-STORE-20", "DM-STORE-18"],
        "Of the Message-ID of a SEND sixteen characters count.",
    )
    .seed(|parts| {
        tapped(
            parts,
            Heads(|head: &Head| {
                let short = head.message_id()?.get(..16)?.to_owned();
                Some(rewrite::send_fields(head.as_bytes(), |field| {
                    if field.is("Message-ID") {
                        Becomes::field("Message-ID", &short)
                    } else {
                        Becomes::Same
                    }
                }))
            }),
        )
    }),
    Fault::new(
        "one-abort-takes-all",
        "F-351",
        &["DM-STORE-20"],
        "Where a sender gives a message up, what came of others in the same session is forgotten.",
    )
    .seed(|parts| tapped(parts, TakesAll::default())),
    Fault::new(
        "interrupted-counts-as-announced",
        "F-352",
        &["RFC4975-7.3.1-length"],
        "What an interrupted chunk announced and did not bring is NULs, whoever brings it afterwards.",
    )
    .seed(|parts| tapped(parts, Announced::default())),
    Fault::new(
        "first-octets-count",
        "F-252",
        &["RFC4975-7.3.1-overlap"],
        "Octets that come twice and differ stay as they came first.",
    )
    .seed(|parts| {
        spoil(parts, |parts| FirstCounts {
            inner: Arc::clone(&parts.store),
            written: Memory::default(),
        })
    }),
];

/// Which messages of which session are open, by the paths of their receiver.
#[derive(Default)]
struct TakesAll {
    /// The chunk that each connection brings: path and Message-ID.
    chunks: Memory<HashMap<task::Id, (String, String)>>,
    open: Memory<HashMap<String, HashSet<String>>>,
    forgotten: Memory<HashSet<String>>,
}

impl Tap for TakesAll {
    fn incoming(&self, piece: Piece) -> Option<Piece> {
        let Some(connection) = task::try_id() else {
            return Some(piece);
        };
        match piece {
            Piece::Head(head) => {
                let path = head.header("To-Path").map(|path| path.text().into_owned());
                let id = head.message_id().map(str::to_owned);
                let (Some(path), Some(id)) = (path, id) else {
                    return Some(Piece::Head(head));
                };
                let is_forgotten = self.forgotten.get().contains(&id);
                self.chunks.get().insert(connection, (path, id));
                if !is_forgotten {
                    return Some(Piece::Head(head));
                }
                // Under another name its rest makes no message.
                let octets = rewrite::send_fields(head.as_bytes(), |field| {
                    if field.is("Message-ID") {
                        Becomes::field("Message-ID", "taken-along")
                    } else {
                        Becomes::Same
                    }
                });
                Some(Piece::Head(read_head(&octets, head)))
            }
            Piece::End(end) => {
                if let Some((path, id)) = self.chunks.get().remove(&connection) {
                    let mut open = self.open.get();
                    let of_session = open.entry(path).or_default();
                    match end.flag {
                        Flag::More => drop(of_session.insert(id)),
                        Flag::Complete => drop(of_session.remove(&id)),
                        Flag::Abort => {
                            of_session.remove(&id);
                            self.forgotten.get().extend(of_session.drain());
                        }
                    }
                }
                Some(Piece::End(end))
            }
            body @ Piece::Body(_) => Some(body),
        }
    }
}

/// What chunks announced and did not bring.
#[derive(Default)]
struct Announced {
    chunks: Memory<HashMap<task::Id, Chunk>>,
    /// First and last octets that are missing, by Message-ID.
    missing: Memory<HashMap<String, Vec<(u64, u64)>>>,
}

struct Chunk {
    id: String,
    /// The place of its next octet.
    next: u64,
    /// The last octet that it announces.
    last: u64,
}

impl Tap for Announced {
    fn incoming(&self, piece: Piece) -> Option<Piece> {
        let Some(connection) = task::try_id() else {
            return Some(piece);
        };
        let mut chunks = self.chunks.get();
        Some(match piece {
            Piece::Head(head) => {
                if let (Some(Ok(range)), Some(id)) = (head.byte_range(), head.message_id()) {
                    let chunk = Chunk {
                        id: id.to_owned(),
                        next: range.start,
                        last: range.end.unwrap_or(0),
                    };
                    chunks.insert(connection, chunk);
                }
                Piece::Head(head)
            }
            Piece::Body(octets) => {
                let Some(chunk) = chunks.get_mut(&connection) else {
                    return Some(Piece::Body(octets));
                };
                let all = self.missing.get();
                let missing = all.get(&chunk.id).map_or(&[][..], Vec::as_slice);
                let mut made = octets.to_vec();
                for octet in &mut made {
                    let is_missing = |(from, to): &(u64, u64)| (*from..=*to).contains(&chunk.next);
                    if missing.iter().any(is_missing) {
                        *octet = 0;
                    }
                    chunk.next += 1;
                }
                Piece::Body(made.into())
            }
            Piece::End(end) => {
                if let Some(chunk) = chunks.remove(&connection)
                    && end.flag == Flag::More
                    && chunk.next <= chunk.last
                {
                    let mut missing = self.missing.get();
                    let of_message = missing.entry(chunk.id).or_default();
                    of_message.push((chunk.next, chunk.last));
                }
                Piece::End(end)
            }
        })
    }
}

/// The octets of each content that are written, where they are not many.
type Written = Memory<HashMap<i64, Vec<(u64, Bytes)>>>;

/// Leaves octets as they were written first.
struct FirstCounts {
    inner: Arc<dyn Store>,
    written: Written,
}

impl FirstCounts {
    fn patched(&self, piece: &Stored) -> Stored {
        let mut written = self.written.get();
        let before = written.entry(piece.content).or_default();
        let mut octets = piece.octets.to_vec();
        for (at, old) in before.iter() {
            for (old_at, octet) in (*at..).zip(old.iter()) {
                let place = old_at.checked_sub(piece.at).map(usize::try_from);
                if let Some(Ok(place)) = place
                    && let Some(new) = octets.get_mut(place)
                {
                    *new = *octet;
                }
            }
        }
        if before.len() < 8 && octets.len() < MOST {
            before.push((piece.at, piece.octets.clone()));
        }
        Stored {
            octets: octets.into(),
            ..*piece
        }
    }
}

impl Spoil for FirstCounts {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    fn write_content(&self, piece: Stored) -> Answer<'static, ()> {
        self.inner.write_content(self.patched(&piece))
    }

    fn insert_session(
        &self,
        message: NewMessage,
        pieces: Vec<Stored>,
        held: bool,
        most: u64,
    ) -> Answer<'static, Inserted> {
        let patched = pieces.iter().map(|piece| self.patched(piece)).collect();
        self.inner.insert_session(message, patched, held, most)
    }
}

/// Sessions that are being set up or stand.
#[derive(Default)]
struct Calls {
    /// INVITEs by Call-ID.
    invites: Memory<HashMap<String, Message>>,
    /// Call-IDs by our path.
    paths: Memory<HashMap<String, String>>,
    /// What has come of a chunk that is not at its end, by the connection that brings it.
    open: Memory<HashMap<task::Id, Open>>,
}

struct Open {
    call: String,
    octets: Vec<u8>,
}

impl Calls {
    fn answered(&self, response: &Message) {
        if let (Some(200), Some(path), Some(call)) = (
            response.status(),
            path_of(response),
            rewrite::text(response, "Call-ID"),
        ) {
            self.paths.get().insert(path, call);
        }
    }

    /// What has no end in a session that ends, with its INVITE.
    fn left(&self, call: &str) -> Option<(Message, Vec<u8>)> {
        let mut open = self.open.get();
        let connection = open
            .iter()
            .find(|(_, open)| open.call == call && !open.octets.is_empty())
            .map(|(connection, _)| *connection)?;
        let octets = open.remove(&connection)?.octets;
        Some((self.invites.get().get(call).cloned()?, octets))
    }
}

struct Unfinished(Arc<Calls>);

impl Tap for Unfinished {
    fn incoming(&self, piece: Piece) -> Option<Piece> {
        let Some(connection) = task::try_id() else {
            return Some(piece);
        };
        let mut open = self.0.open.get();
        match &piece {
            Piece::Head(head) => {
                let path = head.header("To-Path").map(|path| path.text().into_owned());
                let call = path.and_then(|path| self.0.paths.get().get(path.trim()).cloned());
                if let Some(call) = call.filter(|_| head.has_body()) {
                    let octets = Vec::new();
                    open.insert(connection, Open { call, octets });
                }
            }
            Piece::Body(octets) => {
                if let Some(open) = open.get_mut(&connection) {
                    let room = MOST.saturating_sub(open.octets.len()).min(octets.len());
                    open.octets.extend_from_slice(&octets[..room]);
                }
            }
            Piece::End(_) => {
                open.remove(&connection);
            }
        }
        Some(piece)
    }
}

/// Stores at the BYE what has no end.
struct Ends {
    inner: Arc<dyn Gate>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    calls: Arc<Calls>,
}

impl Gate for Ends {
    fn admit(&self, incoming: Incoming) -> Option<Incoming> {
        let message = &incoming.message;
        if let Some(call) = rewrite::text(message, "Call-ID") {
            match message.method() {
                Some("INVITE") => {
                    self.calls.invites.get().insert(call, message.clone());
                }
                Some("BYE") => {
                    if let Some((invite, octets)) = self.calls.left(&call)
                        && let Some(kept) = self.message(&invite, &octets)
                    {
                        tokio::spawn(self.store.insert(kept, u64::MAX));
                    }
                }
                _ => {}
            }
        }
        self.inner.admit(incoming)
    }
}

impl Ends {
    fn message(&self, invite: &Message, octets: &[u8]) -> Option<NewMessage> {
        let uri = invite.request_uri()?;
        let request = rewrite::start_line(invite, [b"MESSAGE ", uri, b" SIP/2.0"].concat());
        let request = rewrite::message(&request, |request| {
            rewrite::with_field(request, "Content-Type", "text/plain")
        });
        let now = self.clock.now();
        Some(NewMessage {
            account: rewrite::account_of(uri)?,
            message_id: format!("{:016x}@{}", fastrand::u64(..), crate::store::id::HOST),
            form: Form::Pager(rewrite::message(&request, |request| {
                rewrite::body(request, octets)
            })),
            received_at: now,
            stored_at: now,
            mark: None,
        })
    }
}

/// Under these names what a Byte-Range said passes by those who would not believe it.
const START: &str = "X-Range-Start";
const TOTAL: &str = "X-Range-Total";

/// Messages of which a chunk came.
#[derive(Default)]
struct Ranges(Memory<HashSet<String>>);

impl Ranges {
    fn opened(&self, head: &Head) -> Option<Bytes> {
        let is_send = head.method() == Some(Method::Send) && head.has_body();
        let range = head.header("Byte-Range").filter(|_| is_send)?;
        let text = range.text().trim().to_owned();
        let (start, rest) = text.split_once('-')?;
        let (_, total) = rest.split_once('/')?;
        let start: usize = start.parse().ok()?;
        let is_first = self.0.get().insert(head.message_id()?.to_owned());
        let place = if is_first { 1 } else { start };
        let said = format!("{START}: {start}\r\n{TOTAL}: {total}");
        Some(rewrite::send_fields(head.as_bytes(), |field| {
            if field.is("Byte-Range") {
                Becomes::Line(format!("Byte-Range: {place}-*/*\r\n{said}").into_bytes())
            } else {
                Becomes::Same
            }
        }))
    }
}

impl Tap for Ranges {
    fn incoming(&self, piece: Piece) -> Option<Piece> {
        Some(match piece {
            Piece::Head(head) => match self.opened(&head) {
                Some(octets) => Piece::Head(read_head(&octets, head)),
                None => Piece::Head(head),
            },
            other => other,
        })
    }
}

struct Believed(Arc<dyn Store>);

impl Spoil for Believed {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.0
    }

    fn insert_session(
        &self,
        mut message: NewMessage,
        mut pieces: Vec<Stored>,
        held: bool,
        most: u64,
    ) -> Answer<'static, Inserted> {
        if let Form::Session(record) = &mut message.form {
            for part in &mut record.parts {
                // What fills several pieces is partly written already.
                if let Some(piece) = pieces
                    .iter_mut()
                    .find(|piece| piece.content == part.content && piece.at == 0)
                {
                    believe(part, piece);
                }
            }
        }
        self.0.insert_session(message, pieces, held, most)
    }
}

fn believe(part: &mut Part, piece: &mut Stored) {
    let said = |head: &Bytes, name: &str| {
        let text = String::from_utf8_lossy(head).into_owned();
        text.lines().find_map(|line| {
            let value = line.strip_prefix(name)?.strip_prefix(':')?;
            value.trim().parse::<usize>().ok()
        })
    };
    let mut octets = piece.octets.to_vec();
    let total = part.heads.iter().find_map(|head| said(head, TOTAL));
    if let Some(total) = total.filter(|total| *total < MOST / 2) {
        octets.resize(total, 0);
    }
    if let [head] = &part.heads[..]
        && let Some(before) = said(head, START).and_then(|start| start.checked_sub(1))
        && before < MOST / 2
    {
        octets.splice(0..0, std::iter::repeat_n(0, before));
    }
    part.octets = octets.len() as u64;
    piece.octets = octets.into();
}
