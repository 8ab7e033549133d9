//! What is stored of a message session.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use imspec_reference_server::Parts;
use imspec_reference_server::clock::{Clock, Timestamp};
use imspec_reference_server::store::{
    Answer, Form, Inserted, NewMessage, PIECE, Part, Piece, SessionRecord, Store, StoreError,
    StoredMessage,
};
use imspec_reference_server::transport::{Gate, Incoming};
use imspec_wire::sip::Message;

use super::{Memory, Spoil, head, invites, sessions, spoil, writing};
use crate::fault::Fault;
use crate::rewrite::{self, Becomes};

pub(crate) const FAULTS: &[Fault] = &[
    Fault::new(
        "session-not-stored",
        "F-020",
        &["DM-STORE-10", "DM-TRIG-01", "DM-CTX-01"],
        "What comes by a session is acknowledged and not stored.",
    )
    .seed(|parts| {
        writing(parts, |message| {
            matches!(message.form, Form::Pager(_)).then_some(message)
        })
    }),
    Fault::new(
        "session-start-forgotten",
        "F-021",
        &[
            "DM-STORE-10",
            "DM-STORE-11",
            "DM-STORE-13",
            "DM-STORE-14",
            "DM-STORE-15",
        ],
        "Of the INVITE From without its name, To and Call-ID are stored alone.",
    )
    .seed(|parts| {
        invites(parts, |invite| {
            rewrite::fields(invite, |field| {
                if field.is("From") {
                    Becomes::field("From", head::bare(&field.value()))
                } else {
                    Becomes::gone_if(!field.is("To") && !field.is("Call-ID"))
                }
            })
        })
    }),
    Fault::new(
        "session-from-of-recipient",
        "F-022",
        &["DM-STORE-11"],
        "The From of a session's record is its To.",
    )
    .seed(|parts| invites(parts, |invite| copied(invite, "To", "From"))),
    Fault::new(
        "session-to-of-account",
        "F-023",
        &["DM-STORE-12"],
        "The To of a session's record is the URI of the account.",
    )
    .stored()
    .seed(|parts| {
        writing(parts, |mut message| {
            let to = format!("<{}>", message.account);
            if let Form::Session(record) = &mut message.form {
                record.invite = rewrite::message(&record.invite, |invite| {
                    rewrite::value(invite, "To", |_| to.clone().into_bytes())
                });
            }
            Some(message)
        })
    }),
    Fault::new(
        "session-to-of-sender",
        "F-024",
        &["DM-STORE-12"],
        "The To of a session's record is its From.",
    )
    .stored()
    .seed(|parts| invites(parts, |invite| copied(invite, "From", "To"))),
    Fault::new(
        "session-drops-subject",
        "F-025",
        &["DM-STORE-14"],
        "The Subject of an INVITE is not stored.",
    )
    .seed(|parts| invites(parts, |invite| rewrite::without(invite, &["Subject"]))),
    Fault::new(
        "session-drops-date",
        "F-026",
        &["DM-STORE-15"],
        "The Date of an INVITE is not stored.",
    )
    .stored()
    .seed(|parts| invites(parts, |invite| rewrite::without(invite, &["Date"]))),
    Fault::new(
        "invents-asserted-identity",
        "M-042",
        &["DM-STORE-13", "DM-STORE-17"],
        "A session's record without an asserted identity gets one from From.",
    )
    .seed(|parts| {
        invites(parts, |invite| {
            let from = invite.header("From").map(|from| head::bare(&from.value()));
            match from {
                Some(from) if invite.header("P-Asserted-Identity").is_none() => {
                    rewrite::with_field(invite, "P-Asserted-Identity", from)
                }
                _ => invite.octets().clone(),
            }
        })
    }),
    Fault::new(
        "invents-subject",
        "F-027",
        &["DM-STORE-17", "DM-STORE-14"],
        "A session's record without Subject gets one.",
    )
    .seed(|parts| {
        invites(parts, |invite| match invite.header("Subject") {
            None => rewrite::with_field(invite, "Subject", "(no subject)"),
            Some(_) => invite.octets().clone(),
        })
    }),
    Fault::new(
        "ok-with-another-tag",
        "M-144",
        &["DM-STORE-16"],
        "The 200 of the record has another To tag than the one that was sent.",
    )
    .stored()
    .under("lm.ok_headers: To")
    .seed(|parts| {
        sessions(parts, |record| {
            record.ok = rewrite::message(&record.ok, |ok| {
                rewrite::value(ok, "To", |to| [to, b"0"].concat())
            });
        })
    }),
    Fault::new(
        "ok-not-stored",
        "F-028",
        &["DM-STORE-16"],
        "Of the 200 to the INVITE only the start line is stored.",
    )
    .stored()
    .under("lm.ok_headers: To")
    .seed(|parts| {
        sessions(parts, |record| {
            record.ok = rewrite::message(&record.ok, |ok| rewrite::fields(ok, |_| Becomes::Gone));
        })
    }),
    Fault::new(
        "bye-not-stored",
        "M-048",
        &["DM-STORE-21"],
        "Nothing of the BYE is stored.",
    )
    .stored()
    .under("lm.bye_headers: Reason")
    .seed(|parts| byes(parts, |_| Bytes::new())),
    Fault::new(
        "bye-without-reason",
        "F-029",
        &["DM-STORE-21"],
        "Of the BYE Reason and Call-ID are not stored, though they are declared.",
    )
    .stored()
    .under("lm.bye_headers: Reason")
    .seed(|parts| byes(parts, |bye| rewrite::without(bye, &["Reason", "Call-ID"]))),
    Fault::new(
        "bye-at-last-message",
        "F-350",
        &["DM-STORE-21"],
        "Of the messages of a session the last one alone gets what is kept of the BYE.",
    )
    .stored()
    .under("lm.bye_headers: Reason")
    .seed(|parts| spoil(parts, |parts| ByeAtLast(Arc::clone(&parts.store)))),
    Fault::new(
        "drops-send-headers",
        "M-050",
        &["DM-STORE-18"],
        "Header fields of a SEND that MSRP does not need are not stored.",
    )
    .stored()
    .seed(|parts| {
        heads(parts, |field| {
            Becomes::gone_if(!NEEDED.iter().any(|name| field.is(name)))
        })
    }),
    Fault::new(
        "drops-send-type-parameters",
        "F-030",
        &["DM-STORE-18"],
        "The Content-Type of a SEND is stored without its parameters.",
    )
    .seed(|parts| {
        heads(parts, |field| {
            if field.is("Content-Type") {
                let kind = field.value.split(|octet| *octet == b';').next();
                Becomes::field("Content-Type", kind.unwrap_or_default())
            } else {
                Becomes::Same
            }
        })
    }),
    Fault::new(
        "drops-send-expires",
        "F-035",
        &["DM-STORE-18"],
        "Expires of a SEND is used for the mark and not stored.",
    )
    .stored()
    .seed(|parts| heads(parts, |field| Becomes::gone_if(field.is("Expires")))),
    Fault::new(
        "keeps-line-end-of-frame",
        "M-034",
        &["DM-STORE-18"],
        "The line end before the end line of a SEND is stored as part of the body.",
    )
    .seed(|parts| spoil(parts, |parts| LineEnds(Arc::clone(&parts.store)))),
    Fault::new(
        "last-message-of-session",
        "M-051",
        &["DM-STORE-18", "DM-TRIG-01"],
        "Of several messages of a session the last one is kept.",
    )
    .seed(|parts| {
        spoil(parts, |parts| LastAlone {
            inner: Arc::clone(&parts.store),
            last: Arc::default(),
        })
    }),
    Fault::new(
        "retransmitted-invite-doubles",
        "M-052",
        &["DM-DRV-03", "RFC3261-17.2.1"],
        "A retransmitted INVITE makes a second record.",
    )
    .seed(|parts| {
        let invites = Arc::new(Invites::default());
        let parts = spoil(parts, |parts| Doubled {
            inner: Arc::clone(&parts.store),
            invites: Arc::clone(&invites),
        });
        watched(parts, &invites)
    }),
    Fault::new(
        "receipt-is-invitation",
        "M-044",
        &["DM-STORE-19"],
        "The time of receipt is that of the INVITE.",
    )
    .stored()
    .seed(|parts| {
        let invites = Arc::new(Invites::default());
        let known = Arc::clone(&invites);
        let parts = writing(parts, move |mut message| {
            if let Form::Session(record) = &message.form
                && let Some((at, _)) = known.of(&record.invite)
            {
                message.received_at = at;
            }
            Some(message)
        });
        watched(parts, &invites)
    }),
    Fault::new(
        "receipt-is-first-chunk",
        "M-045",
        &["DM-STORE-19"],
        "The time of receipt is that of the first chunk.",
    )
    .stored()
    .seed(|parts| {
        spoil(parts, |parts| FirstChunk {
            inner: Arc::clone(&parts.store),
            clock: Arc::clone(&parts.clock),
            begun: Memory::default(),
        })
    }),
    Fault::new(
        "receipt-is-bye",
        "M-046",
        &["DM-STORE-19"],
        "The time of receipt is that of the BYE.",
    )
    .stored()
    .seed(|parts| {
        spoil(parts, |parts| ReceiptAtBye {
            inner: Arc::clone(&parts.store),
            clock: Arc::clone(&parts.clock),
            ended: Memory::default(),
        })
    }),
    Fault::new(
        "receipt-in-local-time",
        "F-033",
        &["DM-STORE-19"],
        "The time of receipt is that of another time zone.",
    )
    .stored()
    .seed(|parts| {
        writing(parts, |mut message| {
            if matches!(message.form, Form::Session(_)) {
                message.received_at = message.received_at.plus_seconds(3600);
            }
            Some(message)
        })
    }),
    Fault::new(
        "start-of-session-before",
        "F-031",
        &["DM-STORE-22"],
        "A session's record has the INVITE of the session that was stored before.",
    )
    .seed(|parts| {
        let before = Memory::<Option<Bytes>>::default();
        sessions(parts, move |record| {
            let own = record.invite.clone();
            if let Some(other) = before.get().replace(own) {
                record.invite = other;
            }
        })
    }),
    Fault::new(
        "invitation-lapses-later",
        "F-374",
        &["DM-STORE-10", "DM-TRIG-01"],
        "Messages of a session that come after the Expires of its INVITE are acknowledged and not stored.",
    )
    .seed(|parts| {
        let lapses = Arc::<Memory<HashMap<String, Timestamp>>>::default();
        let known = Arc::clone(&lapses);
        let parts = writing(parts, move |message| {
            let call = match &message.form {
                Form::Session(record) => rewrite::read(&record.invite)
                    .and_then(|invite| rewrite::text(&invite, "Call-ID")),
                Form::Pager(_) => None,
            };
            let lapse = call.and_then(|call| known.get().get(&call).copied());
            let is_late = lapse.is_some_and(|lapse| lapse < message.received_at);
            (!is_late).then_some(message)
        });
        let gate = Lapsing {
            inner: Arc::clone(&parts.gate),
            clock: Arc::clone(&parts.clock),
            lapses,
        };
        Parts {
            gate: Arc::new(gate),
            ..parts
        }
    }),
    Fault::new(
        "answer-of-session-before",
        "F-032",
        &["DM-STORE-22", "DM-STORE-16"],
        "A session's record has the 200 of the session that was stored before.",
    )
    .stored()
    .under("lm.ok_headers: To")
    .seed(|parts| {
        let before = Memory::<Option<Bytes>>::default();
        sessions(parts, move |record| {
            let own = record.ok.clone();
            if let Some(other) = before.get().replace(own) {
                record.ok = other;
            }
        })
    }),
    Fault::new(
        "duplicate-is-new",
        "F-034",
        &["RFC4975-5.4-duplicate", "DM-DRV-03"],
        "A message that a sender repeats in a new session is another message.",
    )
    .seed(|parts| {
        sessions(parts, |record| {
            for part in &mut record.parts {
                part.origin = format!("{:016x}\n{}", fastrand::u64(..), part.origin);
            }
        })
    }),
    Fault::new(
        "cancelled-invite-stored",
        "M-151",
        &["DM-STORE-10"],
        "An INVITE that was cancelled leaves a record.",
    )
    .seed(|parts| {
        let gate = Cancelled {
            inner: Arc::clone(&parts.gate),
            store: Arc::clone(&parts.store),
            clock: Arc::clone(&parts.clock),
            invites: Memory::default(),
        };
        Parts {
            gate: Arc::new(gate),
            ..parts
        }
    }),
];

/// Header fields of a SEND without which it cannot be delivered.
const NEEDED: &[&str] = &[
    "To-Path",
    "From-Path",
    "Message-ID",
    "Byte-Range",
    "Content-Type",
    "Success-Report",
    "Failure-Report",
    "Expires",
];

fn copied(message: &Message, from: &str, to: &str) -> Bytes {
    let value = message.header(from).map(|field| field.value().into_owned());
    value.map_or_else(
        || message.octets().clone(),
        |value| rewrite::value(message, to, |_| value.clone()),
    )
}

fn heads(
    parts: Parts,
    change: impl Fn(&imspec_reference_server::compose::Field) -> Becomes + Send + Sync + 'static,
) -> Parts {
    sessions(parts, move |record| {
        for part in &mut record.parts {
            for head in &mut part.heads {
                *head = rewrite::send_fields(head, &change);
            }
        }
    })
}

/// Stores another BYE than the one that came, or none where nothing is left.
fn byes(parts: Parts, change: fn(&Message) -> Bytes) -> Parts {
    let parts = sessions(parts, move |record| {
        let changed = record.bye.as_ref().map(|bye| rewrite::message(bye, change));
        record.bye = changed.filter(|bye| !bye.is_empty());
    });
    spoil(parts, |parts| Byes {
        inner: Arc::clone(&parts.store),
        change,
    })
}

struct Byes {
    inner: Arc<dyn Store>,
    change: fn(&Message) -> Bytes,
}

impl Spoil for Byes {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    fn add_bye(&self, numbers: Vec<i64>, bye: Bytes) -> Answer<'_, ()> {
        let changed = rewrite::message(&bye, self.change);
        if changed.is_empty() {
            return Box::pin(async { Ok(()) });
        }
        self.inner.add_bye(numbers, changed)
    }
}

struct ByeAtLast(Arc<dyn Store>);

impl Spoil for ByeAtLast {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.0
    }

    fn add_bye(&self, numbers: Vec<i64>, bye: Bytes) -> Answer<'_, ()> {
        let last = numbers.into_iter().max();
        self.0.add_bye(last.into_iter().collect(), bye)
    }
}

/// Two octets more.
struct LineEnds(Arc<dyn Store>);

impl Spoil for LineEnds {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.0
    }

    fn insert_session(
        &self,
        mut message: NewMessage,
        mut pieces: Vec<Piece>,
        held: bool,
        most: u64,
    ) -> Answer<'static, Inserted> {
        if let Form::Session(record) = &mut message.form {
            for part in &mut record.parts {
                pieces.extend(line_end(part));
            }
        }
        self.0.insert_session(message, pieces, held, most)
    }
}

/// The line end that follows a part, where it lies in one piece.
fn line_end(part: &mut Part) -> Option<Piece> {
    let octets = Bytes::from_static(b"\r\n");
    let room = PIECE as u64 - part.octets % PIECE as u64;
    let piece = Piece {
        content: part.content,
        at: part.octets,
        octets,
    };
    (room >= 2).then(|| {
        part.octets += 2;
        piece
    })
}

/// Numbers of records by what begins their session.
type ByStart = Arc<Memory<HashMap<Bytes, i64>>>;

struct LastAlone {
    inner: Arc<dyn Store>,
    last: ByStart,
}

impl Spoil for LastAlone {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    fn insert_session(
        &self,
        message: NewMessage,
        pieces: Vec<Piece>,
        held: bool,
        most: u64,
    ) -> Answer<'static, Inserted> {
        let start = match &message.form {
            Form::Session(record) => Some(record.invite.clone()),
            Form::Pager(_) => None,
        };
        let (inner, last) = (Arc::clone(&self.inner), Arc::clone(&self.last));
        Box::pin(async move {
            let inserted = inner.insert_session(message, pieces, held, most).await?;
            if let (Some(start), Inserted::Stored(number)) = (start, inserted) {
                let before = last.get().insert(start, number);
                if let Some(before) = before {
                    inner.remove(before).await?;
                }
            }
            Ok(inserted)
        })
    }
}

/// The INVITEs that came, by Call-ID: when the first one did, and how many there were.
#[derive(Default)]
struct Invites(Memory<HashMap<String, (Timestamp, u32)>>);

impl Invites {
    fn of(&self, invite: &Bytes) -> Option<(Timestamp, u32)> {
        let id = rewrite::text(&rewrite::read(invite)?, "Call-ID")?;
        self.0.get().get(&id).copied()
    }
}

/// Notes when the Expires of INVITEs is over.
struct Lapsing {
    inner: Arc<dyn Gate>,
    clock: Arc<dyn Clock>,
    lapses: Arc<Memory<HashMap<String, Timestamp>>>,
}

impl Gate for Lapsing {
    fn admit(&self, incoming: Incoming) -> Option<Incoming> {
        let message = &incoming.message;
        let expires = rewrite::text(message, "Expires").and_then(|value| value.trim().parse().ok());
        if message.method() == Some("INVITE")
            && let (Some(call), Some(expires)) = (rewrite::text(message, "Call-ID"), expires)
        {
            let lapse = self.clock.now().plus_seconds(expires);
            self.lapses.get().entry(call).or_insert(lapse);
        }
        self.inner.admit(incoming)
    }
}

/// A gate that notes INVITEs.
struct Watch {
    inner: Arc<dyn Gate>,
    clock: Arc<dyn Clock>,
    invites: Arc<Invites>,
}

fn watched(parts: Parts, invites: &Arc<Invites>) -> Parts {
    let gate = Watch {
        inner: Arc::clone(&parts.gate),
        clock: Arc::clone(&parts.clock),
        invites: Arc::clone(invites),
    };
    Parts {
        gate: Arc::new(gate),
        ..parts
    }
}

impl Gate for Watch {
    fn admit(&self, incoming: Incoming) -> Option<Incoming> {
        if incoming.message.method() == Some("INVITE")
            && let Some(id) = rewrite::text(&incoming.message, "Call-ID")
        {
            let mut invites = self.invites.0.get();
            invites.entry(id).or_insert((self.clock.now(), 0)).1 += 1;
        }
        self.inner.admit(incoming)
    }
}

struct Doubled {
    inner: Arc<dyn Store>,
    invites: Arc<Invites>,
}

impl Spoil for Doubled {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    fn insert_session(
        &self,
        message: NewMessage,
        pieces: Vec<Piece>,
        held: bool,
        most: u64,
    ) -> Answer<'static, Inserted> {
        let is_doubled = match &message.form {
            Form::Session(record) => self
                .invites
                .of(&record.invite)
                .is_some_and(|(_, times)| times > 1),
            Form::Pager(_) => false,
        };
        let inner = Arc::clone(&self.inner);
        Box::pin(async move {
            let copy = is_doubled.then(|| message.clone());
            let inserted = inner.insert_session(message, pieces, held, most).await?;
            if let Some(copy) = copy {
                insert_copy(&*inner, copy, held, most).await?;
            }
            Ok(inserted)
        })
    }
}

/// Stores a record once more.
async fn insert_copy(
    store: &dyn Store,
    mut message: NewMessage,
    held: bool,
    most: u64,
) -> Result<Inserted, StoreError> {
    message.message_id = format!("again-{}", message.message_id);
    if let Form::Session(SessionRecord { parts, .. }) = &mut message.form {
        for part in parts {
            part.origin.push_str("\nagain");
            let (from, to) = (part.content, store.new_content());
            part.content = to;
            let mut at = 0;
            while at < part.octets {
                let octets = store.read_content(from, at, PIECE).await?;
                if octets.is_empty() {
                    break;
                }
                let length = octets.len() as u64;
                let content = to;
                store
                    .write_content(Piece {
                        content,
                        at,
                        octets,
                    })
                    .await?;
                at += length;
            }
        }
    }
    store.insert_session(message, Vec::new(), held, most).await
}

struct FirstChunk {
    inner: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    begun: Memory<HashMap<i64, Timestamp>>,
}

impl Spoil for FirstChunk {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    fn new_content(&self) -> i64 {
        let content = self.inner.new_content();
        self.begun.get().insert(content, self.clock.now());
        content
    }

    fn insert_session(
        &self,
        mut message: NewMessage,
        pieces: Vec<Piece>,
        held: bool,
        most: u64,
    ) -> Answer<'static, Inserted> {
        if let Form::Session(record) = &message.form
            && let Some(part) = record.parts.first()
            && let Some(begun) = self.begun.get().get(&part.content)
        {
            message.received_at = *begun;
        }
        self.inner.insert_session(message, pieces, held, most)
    }
}

struct ReceiptAtBye {
    inner: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    ended: Memory<HashMap<i64, Timestamp>>,
}

impl Spoil for ReceiptAtBye {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    fn add_bye(&self, numbers: Vec<i64>, bye: Bytes) -> Answer<'_, ()> {
        let now = self.clock.now();
        self.ended
            .get()
            .extend(numbers.iter().map(|number| (*number, now)));
        self.inner.add_bye(numbers, bye)
    }

    fn read(&self, mut stored: StoredMessage) -> Option<StoredMessage> {
        if let Some(ended) = self.ended.get().get(&stored.number) {
            stored.message.received_at = *ended;
        }
        Some(stored)
    }
}

/// Makes a record of an INVITE that is cancelled.
struct Cancelled {
    inner: Arc<dyn Gate>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    invites: Memory<HashMap<String, Message>>,
}

impl Gate for Cancelled {
    fn admit(&self, incoming: Incoming) -> Option<Incoming> {
        let message = &incoming.message;
        if let Some(id) = rewrite::text(message, "Call-ID") {
            match message.method() {
                Some("INVITE") => drop(self.invites.get().insert(id, message.clone())),
                Some("CANCEL") => {
                    if let Some(invite) = self.invites.get().remove(&id) {
                        self.keep(&invite);
                    }
                }
                _ => {}
            }
        }
        self.inner.admit(incoming)
    }
}

impl Cancelled {
    fn keep(&self, invite: &Message) {
        let uri = invite.request_uri().unwrap_or_default();
        let Some(account) = rewrite::account_of(uri) else {
            return;
        };
        let octets = rewrite::start_line(invite, [b"MESSAGE ", uri, b" SIP/2.0"].concat());
        let Some(request) = rewrite::read(&octets) else {
            return;
        };
        let now = self.clock.now();
        let kept = NewMessage {
            account,
            message_id: format!("{:016x}@mailstore1.example.org", fastrand::u64(..)),
            form: Form::Pager(rewrite::body(
                &rewrite::read(&rewrite::without(&request, &["Content-Type"])).unwrap_or(request),
                b"",
            )),
            received_at: now,
            stored_at: now,
            mark: None,
        };
        tokio::spawn(self.store.insert(kept, u64::MAX));
    }
}
