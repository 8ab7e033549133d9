//! Stored messages as the contract shows them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use imspec_wire::sip::Message;
use serde::Serialize;

use super::Control;
use crate::clock::Timestamp;
use crate::store::{Form, PIECE, Part, SessionRecord, Store, StoreError, StoredMessage, reparse};

/// Content of more octets than this is shown by its digest.
const SHOWN: u64 = 1024 * 1024;

/// One stored message.
#[derive(Serialize)]
pub(super) struct MessageView {
    account: String,
    message_id: String,
    #[serde(flatten)]
    form: FormView,
    received_at: Timestamp,
    stored_at: Timestamp,
    expire: Option<ExpireView>,
    state: &'static str,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum FormView {
    Pager {
        #[serde(flatten)]
        head: HeadView,
        body: BodyView,
    },
    Session(Box<SessionView>),
}

#[derive(Serialize)]
struct SessionView {
    invite: HeadView,
    ok: HeadView,
    bye: Option<HeadView>,
    #[serde(flatten)]
    first: PartView,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    further: Vec<PartView>,
}

/// Start line and header fields of a SIP message or an MSRP request.
#[derive(Serialize)]
struct HeadView {
    start_line: String,
    headers: Vec<HeaderView>,
    headers_complete: bool,
}

/// One message of a session.
#[derive(Serialize)]
struct PartView {
    send: HeadView,
    /// Left out where there was only one, and where not all were kept.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    chunks: Vec<HeadView>,
    body: BodyView,
}

#[derive(Serialize)]
struct HeaderView {
    name: String,
    #[serde(flatten)]
    value: ValueView,
}

#[derive(Serialize)]
enum ValueView {
    #[serde(rename = "value")]
    Text(String),
    #[serde(rename = "value_base64")]
    Octets(String),
}

#[derive(Serialize)]
#[serde(untagged)]
enum BodyView {
    Text { text: String },
    Base64 { base64: String },
    Digest { octets: u64, sha256: String },
}

#[derive(Serialize)]
struct ExpireView {
    seconds: u64,
    at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<String>,
}

impl MessageView {
    pub(super) async fn of(control: &Control, stored: &StoredMessage) -> Result<Self, StoreError> {
        let message = &stored.message;
        let parts = &control.context.parts;
        let mark = message.mark.as_ref();
        let has_expired = |at| parts.expiration.has_expired(at, control.context.now());
        let expired = stored.expired || has_expired(mark.map(|mark| mark.at));
        let state = if control.in_flight.contains(stored.number) {
            "delivering"
        } else if expired {
            "expired"
        } else {
            "waiting"
        };
        let form = match &message.form {
            Form::Pager(request) => {
                let parsed = message.parse().ok();
                FormView::Pager {
                    head: HeadView::of(request, parsed.as_ref()),
                    body: BodyView::of(parsed.as_ref().map_or(&[], Message::body)),
                }
            }
            Form::Session(record) => session_view(&*parts.store, record).await?,
        };
        Ok(Self {
            account: message.account.clone(),
            message_id: message.message_id.clone(),
            form,
            received_at: message.received_at,
            stored_at: message.stored_at,
            expire: mark.map(|mark| ExpireView {
                seconds: mark.seconds,
                at: mark.at,
                raw: mark.raw.clone(),
            }),
            state,
        })
    }
}

async fn session_view(store: &dyn Store, record: &SessionRecord) -> Result<FormView, StoreError> {
    let mut parts = Vec::new();
    for part in &record.parts {
        parts.push(PartView::of(store, part).await?);
    }
    let mut parts = parts.into_iter();
    let first = parts
        .next()
        .ok_or_else(|| StoreError::Failed("a session's record without a message".to_owned()))?;
    Ok(FormView::Session(Box::new(SessionView {
        invite: HeadView::sip(&record.invite),
        ok: HeadView::sip(&record.ok),
        bye: record.bye.as_ref().map(HeadView::sip),
        first,
        further: parts.collect(),
    })))
}

impl PartView {
    async fn of(store: &dyn Store, part: &Part) -> Result<Self, StoreError> {
        let chunks = if part.all_heads && part.heads.len() > 1 {
            part.heads.iter().map(|head| HeadView::msrp(head)).collect()
        } else {
            Vec::new()
        };
        let body = if part.octets > SHOWN {
            BodyView::Digest {
                octets: part.octets,
                sha256: part
                    .sha256
                    .iter()
                    .fold(String::new(), |hex, o| hex + &format!("{o:02x}")),
            }
        } else {
            let mut octets = Vec::new();
            loop {
                let more = store
                    .read_content(part.content, octets.len() as u64, PIECE)
                    .await?;
                if more.is_empty() {
                    break;
                }
                octets.extend_from_slice(&more);
            }
            BodyView::of(&octets)
        };
        Ok(Self {
            send: HeadView::msrp(part.head()),
            chunks,
            body,
        })
    }
}

impl HeadView {
    fn sip(octets: &Bytes) -> Self {
        Self::of(octets, reparse(octets.clone()).ok().as_ref())
    }

    fn of(octets: &Bytes, parsed: Option<&Message>) -> Self {
        let start_line = octets
            .split(|octet| *octet == b'\n')
            .next()
            .unwrap_or_default();
        let start_line = start_line.strip_suffix(b"\r").unwrap_or(start_line);
        Self {
            start_line: String::from_utf8_lossy(start_line).into_owned(),
            headers: parsed
                .iter()
                .flat_map(|message| header_views(message))
                .collect(),
            // What the record does not have was not stored, unless it cannot be read at all.
            headers_complete: parsed.is_some(),
        }
    }

    /// MSRP has neither folding nor compact names: a line is a field (RFC 4975 §9).
    fn msrp(octets: &[u8]) -> Self {
        let lines = octets.split(|octet| *octet == b'\n');
        let mut lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let start_line = lines.next().unwrap_or_default();
        let headers = lines.filter(|line| !line.is_empty()).map(|line| {
            let colon = line
                .iter()
                .position(|octet| *octet == b':')
                .unwrap_or(line.len());
            HeaderView {
                name: String::from_utf8_lossy(line.get(..colon).unwrap_or_default()).into_owned(),
                value: ValueView::of(line.get(colon + 1..).unwrap_or_default()),
            }
        });
        Self {
            start_line: String::from_utf8_lossy(start_line).into_owned(),
            headers: headers.collect(),
            headers_complete: true,
        }
    }
}

fn header_views(message: &Message) -> Vec<HeaderView> {
    message
        .headers()
        .map(|field| HeaderView {
            name: field.name().to_owned(),
            value: ValueView::of(field.raw_value()),
        })
        .collect()
}

impl ValueView {
    /// What follows the colon, less one space.
    fn of(raw: &[u8]) -> Self {
        let raw = raw.strip_prefix(b" ").unwrap_or(raw);
        match std::str::from_utf8(raw) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Octets(STANDARD.encode(raw)),
        }
    }
}

impl BodyView {
    fn of(body: &[u8]) -> Self {
        match std::str::from_utf8(body) {
            Ok(text) => Self::Text {
                text: text.to_owned(),
            },
            Err(_) => Self::Base64 {
                base64: STANDARD.encode(body),
            },
        }
    }
}
