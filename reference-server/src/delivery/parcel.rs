//! What a session brings: the content of one message, read as it is sent, and its header fields.

use bytes::{Bytes, BytesMut};
use imspec_wire::cpim;
use imspec_wire::sip::Message;
use imspec_wire::sip::typed::{From, NameAddr, SipDate, To};

use crate::compose::Field;
use crate::store::{Form, Store, StoreError, StoredMessage};

/// How much is read from the store at once.
const READ: usize = 64 * 1024;

/// One message to be sent.
#[derive(Debug, Clone)]
pub(super) struct Parcel {
    /// Header fields of its SENDs, `Content-Type` among them.
    pub(super) fields: Vec<Field>,
    source: Source,
    /// What stands before the stored octets.
    prefix: Bytes,
    /// Octets of the source that were read and not used yet, and where they begin.
    ahead: (u64, Bytes),
}

#[derive(Debug, Clone)]
enum Source {
    Held(Bytes),
    Stored { content: i64, octets: u64 },
}

/// Why the content could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the store has fewer octets than the record says")]
    Short,
}

impl Parcel {
    /// The messages of a record, each with the fields that `fields` gives for it.
    pub(super) fn of(
        stored: &StoredMessage,
        request: &Message,
        fields: impl Fn(usize) -> Vec<Field>,
    ) -> Vec<Self> {
        let new = |part, source| Self {
            fields: fields(part),
            source,
            prefix: Bytes::new(),
            ahead: (0, Bytes::new()),
        };
        match &stored.message.form {
            Form::Pager(_) => vec![new(0, Source::Held(request.body_bytes()))],
            Form::Session(record) => {
                let parts = record.parts.iter().enumerate();
                parts
                    .map(|(index, part)| {
                        let (content, octets) = (part.content, part.octets);
                        new(index, Source::Stored { content, octets })
                    })
                    .collect()
            }
        }
    }

    /// The value of Content-Type.
    pub(super) fn content_type(&self) -> String {
        let field = self.fields.iter().find(|field| field.is("Content-Type"));
        field.map_or_else(String::new, |field| {
            String::from_utf8_lossy(&field.value).into_owned()
        })
    }

    /// The type alone, as it stands in `a=accept-types`.
    pub(super) fn media_type(&self) -> String {
        let kind = self.content_type();
        kind.split(';').next().unwrap_or_default().trim().to_owned()
    }

    /// How many octets are to be sent.
    pub(super) fn length(&self) -> u64 {
        let octets = match &self.source {
            Source::Held(octets) => octets.len() as u64,
            Source::Stored { octets, .. } => *octets,
        };
        octets.saturating_add(self.prefix.len() as u64)
    }

    /// The octets from `at` on; `octets` of them, which is not more than a chunk.
    pub(super) async fn read(
        &mut self,
        store: &dyn Store,
        at: u64,
        octets: usize,
    ) -> Result<Bytes, Unreadable> {
        let prefixed = self.prefix.len() as u64;
        let mut read = BytesMut::with_capacity(octets);
        while read.len() < octets {
            let at = at + read.len() as u64;
            let missing = octets - read.len();
            let piece = if at < prefixed {
                slice(&self.prefix, at, missing)
            } else {
                self.read_source(store, at - prefixed, missing).await?
            };
            if piece.is_empty() {
                return Err(Unreadable::Short);
            }
            read.extend_from_slice(&piece);
        }
        Ok(read.freeze())
    }

    async fn read_source(
        &mut self,
        store: &dyn Store,
        at: u64,
        most: usize,
    ) -> Result<Bytes, Unreadable> {
        let content = match &self.source {
            Source::Held(octets) => return Ok(slice(octets, at, most)),
            Source::Stored { content, .. } => *content,
        };
        let (start, octets) = &self.ahead;
        if at < *start || at >= start.saturating_add(octets.len() as u64) {
            let octets = store.read_content(content, at, READ).await?;
            self.ahead = (at, octets);
        }
        let (start, octets) = &self.ahead;
        Ok(slice(octets, at - start, most))
    }

    /// Reads all of it, where it is not more than `most` octets.
    pub(super) async fn read_whole(
        &mut self,
        store: &dyn Store,
        most: usize,
    ) -> Result<Option<Bytes>, Unreadable> {
        match usize::try_from(self.length()) {
            Ok(length) if length <= most => Ok(Some(self.read(store, 0, length).await?)),
            _ => Ok(None),
        }
    }

    /// Puts the content into a `message/cpim`, for a recipient that takes its type only so. The MIME
    /// fields go inside (RFC 3862 §2); what the INVITE says of the sender is said again.
    pub(super) fn wrap(&mut self, invite: &Message) {
        let (inner, outer): (Vec<_>, Vec<_>) = std::mem::take(&mut self.fields)
            .into_iter()
            .partition(|field| field.name.len() > 8 && starts_with_content(&field.name));
        let mut builder = cpim::Builder::new();
        let uri = |address: NameAddr| format!("<{}>", address.uri);
        if let Some(Ok(from)) = invite.typed::<From>() {
            builder = builder.from(uri(from.0));
        }
        if let Some(Ok(to)) = invite.typed::<To>() {
            builder = builder.to(uri(to.0));
        }
        if let Some(Ok(date)) = invite.typed::<SipDate>() {
            builder = builder.date_time(cpim::DateTime::utc(date.unix_seconds));
        }
        if let Some(subject) = invite.header("Subject") {
            builder = builder.subject(None, &subject.text());
        }
        for field in &inner {
            builder = builder.content_header(&field.name, &field.value);
        }
        // Everything but the content itself, which follows from the store.
        self.prefix = builder.body(Bytes::new()).octets();
        self.fields = outer;
        self.fields.push(Field {
            name: "Content-Type".to_owned(),
            value: b"message/cpim".to_vec(),
        });
    }
}

fn starts_with_content(name: &str) -> bool {
    name.get(..8)
        .is_some_and(|start| start.eq_ignore_ascii_case("Content-"))
}

/// At most `most` octets from `at` on.
fn slice(octets: &Bytes, at: u64, most: usize) -> Bytes {
    let start = usize::try_from(at).map_or(octets.len(), |at| at.min(octets.len()));
    let end = start.saturating_add(most).min(octets.len());
    octets.slice(start..end)
}
