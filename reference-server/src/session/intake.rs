//! What a sender sends in a session: chunks become messages, messages become records (RFC 4975 §7.3).
//!
//! The response to the SEND that completes a message leaves when the message is durable, and so does a
//! report of success. Whatever cannot be kept is refused, and nothing of it stays.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use imspec_wire::msrp::{
    Builder, ByteRange, Chunk, Flag, Head, Method, Outcome, StartLine, Status, Uri,
};
use imspec_wire::sip::Message;

use super::Sessions;
use super::draft::{Draft, Settled, Trouble};
use crate::clock::Timestamp;
use crate::msrp::{Link, respond, transaction_id};
use crate::pager::class_of;
use crate::policy::{
    Fields, INVITE_FIELDS, NoBye, SessionBase, SessionTimes, SessionWishes, Settings,
    SeveralMessages, SuccessReport,
};
use crate::store::{Form, Inserted, NewMessage, SessionRecord, StoreError};

/// How much of a refused chunk is passed over before the connection is closed.
const PASSED: u64 = 1024 * 1024;
/// Ids of complete messages that a session remembers.
const REMEMBERED: usize = 1024;
/// Success reports that wait for a delivery.
const AWAITED: usize = 1024;

/// The messages of one session.
pub(super) struct Intake {
    sessions: Arc<Sessions>,
    settings: Arc<Settings>,
    account: String,
    /// Who sends, to tell copies.
    sender: String,
    own: Uri,
    invite: Bytes,
    ok: Bytes,
    bye: Option<Bytes>,
    /// When the BYE came.
    bye_at: Option<Timestamp>,
    drafts: HashMap<String, Draft>,
    complete: HashSet<String>,
    current: Current,
    /// Records that the store has.
    numbers: Vec<i64>,
    /// Records that wait for the end of the session.
    held: Vec<Held>,
    /// Reports that are due when their message is delivered.
    awaited: HashMap<i64, (Head, u64)>,
}

struct Held {
    number: i64,
    wishes: SessionWishes,
    first_chunk: Timestamp,
    complete: Timestamp,
}

/// The frame that is being received.
enum Current {
    None,
    /// A SEND without a body.
    Sign(Head),
    /// A chunk of the message of that id.
    Chunk(Box<Head>, String, Chunk),
    /// A chunk of a message that is complete already.
    Late(Box<Head>),
    /// It was refused, and so many octets of it were passed over.
    Refused(u64),
    /// A response or a report, which nobody waits for.
    Ignored,
}

impl Intake {
    pub(super) fn new(
        sessions: Arc<Sessions>,
        settings: Arc<Settings>,
        account: String,
        invite: &Message,
        ok: Option<&Message>,
        own: Uri,
    ) -> Self {
        let named = |fields: &Fields, message: &Message| {
            kept(message, |field| {
                fields.keeps(field)
                    || INVITE_FIELDS.iter().any(|name| field.is(name))
                    // Without it an identity to be hidden would be told (RFC 3325 §7).
                    || field.is("Privacy")
            })
        };
        Self {
            sender: sender(invite),
            invite: named(&settings.lm_invite_headers, invite),
            ok: ok.map_or_else(Bytes::new, |ok| {
                kept(ok, |field| settings.lm_ok_headers.keeps(field))
            }),
            sessions,
            settings,
            account,
            own,
            bye: None,
            bye_at: None,
            drafts: HashMap::new(),
            complete: HashSet::new(),
            current: Current::None,
            numbers: Vec::new(),
            held: Vec::new(),
            awaited: HashMap::new(),
        }
    }

    /// A request or a response begins.
    pub(super) async fn begin(&mut self, head: &Head, link: &Link) {
        let head = head.detached();
        self.current = match self.look_at(&head) {
            Ok(current) => current,
            Err((status, comment)) => {
                self.answer(&head, status, comment, link).await;
                Current::Refused(0)
            }
        };
    }

    fn look_at(&mut self, head: &Head) -> Result<Current, (u16, &'static str)> {
        match head.start() {
            StartLine::Response { .. }
            | StartLine::Request {
                method: Method::Report,
            } => return Ok(Current::Ignored),
            StartLine::Request {
                method: Method::Send,
            } => {}
            // RFC 4975 §12; AUTH is for relays.
            StartLine::Request { .. } => return Err((501, "Method Not Known")),
        }
        if !head.has_body() {
            // It opens a connection or keeps it alive, and is no message.
            return Ok(Current::Sign(head.clone()));
        }
        let Some(id) = head.message_id().filter(|id| !id.is_empty()) else {
            return Err((400, "No Message-ID"));
        };
        let range = match head.byte_range() {
            None => ByteRange::OPEN,
            Some(Ok(range)) => range,
            Some(Err(_)) => return Err((400, "Bad Byte-Range")),
        };
        self.check_type(head)?;
        let id = id.to_owned();
        if self.complete.contains(&id) && range.start > 1 {
            return Ok(Current::Late(Box::new(head.clone())));
        }
        if !self.drafts.contains_key(&id) {
            let limits = &self.sessions.context.config.limits;
            if self.drafts.len() >= limits.messages_per_session {
                return Err((413, "Too Many Messages At Once"));
            }
            // A sender that begins anew wants nothing of what it sent before.
            let resumed = (range.start > 1)
                .then(|| self.sessions.resume(&self.key(&id)))
                .flatten();
            let draft = resumed.unwrap_or_else(|| self.sessions.new_draft());
            self.drafts.insert(id.clone(), draft);
        }
        let Some(draft) = self.drafts.get_mut(&id) else {
            return Err((413, "No Room"));
        };
        match draft.begin(head) {
            Ok(chunk) => Ok(Current::Chunk(Box::new(head.clone()), id, chunk)),
            Err(refusal) => {
                tracing::debug!(%refusal, "refused a chunk");
                self.drafts.remove(&id);
                Err((413, "Message Too Large"))
            }
        }
    }

    /// RFC 4975 §7.3.1: 415 for what is not understood, which here is what is not stored.
    fn check_type(&self, head: &Head) -> Result<(), (u16, &'static str)> {
        let Some(field) = head.header("Content-Type") else {
            return Err((400, "No Content-Type"));
        };
        let text = field.text();
        let fits = self.sessions.accepted.fit(text.trim()).is_some();
        let Some(Ok(kind)) = head.content_type().filter(|_| fits) else {
            return Err((415, "Type Not Taken"));
        };
        // The content of a wrapper is not at hand yet.
        if self.settings.store_classes.contains(&class_of(&kind, &[])) {
            Ok(())
        } else {
            Err((415, "Type Not Stored"))
        }
    }

    /// More octets of the body.
    pub(super) async fn body(&mut self, octets: &[u8], link: &Link) {
        match &mut self.current {
            Current::Chunk(head, id, chunk) => {
                let Some(draft) = self.drafts.get_mut(id) else {
                    return;
                };
                let Err(trouble) = draft.take(chunk, octets).await else {
                    return;
                };
                let comment = match &trouble {
                    Trouble::Refused(refusal) => {
                        tracing::debug!(%refusal, "refused a chunk");
                        "Message Too Large"
                    }
                    Trouble::Store(error) => {
                        tracing::error!(%error, "a chunk could not be stored");
                        "Cannot Be Stored Now"
                    }
                };
                self.drafts.remove(id);
                let head = Head::clone(head);
                self.answer(&head, 413, comment, link).await;
                self.current = Current::Refused(0);
            }
            Current::Refused(passed) => {
                *passed = passed.saturating_add(octets.len() as u64);
                if *passed > PASSED {
                    // Whoever goes on after a refusal does not listen.
                    link.close();
                }
            }
            Current::None | Current::Sign(_) | Current::Late(_) | Current::Ignored => {}
        }
    }

    /// The frame ends.
    pub(super) async fn end(&mut self, flag: Flag, link: &Link) {
        match std::mem::replace(&mut self.current, Current::None) {
            Current::Sign(head) => self.answer(&head, 200, "OK", link).await,
            Current::Late(head) => self.answer(&head, 200, "OK", link).await,
            Current::Chunk(head, id, chunk) => self.end_chunk(&head, &id, &chunk, flag, link).await,
            Current::None | Current::Refused(_) | Current::Ignored => {}
        }
    }

    async fn end_chunk(&mut self, head: &Head, id: &str, chunk: &Chunk, flag: Flag, link: &Link) {
        let Some(draft) = self.drafts.get_mut(id) else {
            return;
        };
        let (status, comment) = match draft.end(chunk, head, flag) {
            Outcome::Incomplete | Outcome::Duplicate => (200, "OK"),
            Outcome::Aborted => {
                self.drafts.remove(id);
                (200, "OK")
            }
            Outcome::Conflict(conflict) => match draft.settle(conflict) {
                Settled::Complete(octets) => {
                    return self.completed(head, id, octets, link).await;
                }
                Settled::Open => (200, "OK"),
                Settled::Never => {
                    tracing::debug!(%conflict, "chunks that make no message");
                    self.drafts.remove(id);
                    (400, "Byte-Ranges Contradict")
                }
            },
            Outcome::Complete(octets) => return self.completed(head, id, octets, link).await,
        };
        self.answer(head, status, comment, link).await;
    }

    /// All octets of a message are there.
    async fn completed(&mut self, head: &Head, id: &str, octets: u64, link: &Link) {
        let Some(draft) = self.drafts.remove(id) else {
            return;
        };
        let wants_report = draft.success_report;
        let stored = match self.store(id, draft, octets).await {
            Ok(Inserted::Stored(number)) => Some(number),
            Ok(Inserted::Duplicate) => None,
            Ok(Inserted::Full) => return self.answer(head, 413, "Mailbox Full", link).await,
            Ok(Inserted::NoAccount) => return self.answer(head, 413, "No Such User", link).await,
            Err(error) => {
                tracing::error!(%error, "a message could not be stored");
                return self.answer(head, 413, "Cannot Be Stored Now", link).await;
            }
        };
        if self.complete.len() < REMEMBERED {
            self.complete.insert(id.to_owned());
        }
        self.answer(head, 200, "OK", link).await;
        if !wants_report {
            return;
        }
        match (self.settings.lm_success_report, stored) {
            (SuccessReport::OnStore, _) => self.report(head, octets, link).await,
            (SuccessReport::OnDelivery, Some(number)) if self.awaited.len() < AWAITED => {
                self.awaited.insert(number, (head.clone(), octets));
            }
            (SuccessReport::NeverOnStore | SuccessReport::OnDelivery, _) => {}
        }
    }

    async fn store(
        &mut self,
        id: &str,
        mut draft: Draft,
        octets: u64,
    ) -> Result<Inserted, StoreError> {
        let sessions = Arc::clone(&self.sessions);
        let context = &sessions.context;
        // Before the store is asked: waiting for the disk is no part of receiving.
        let complete = context.now();
        let finished = draft.finish(octets, self.key(id)).await?;
        let in_one = self.settings.lm_multi == SeveralMessages::OnePerSession;
        if in_one && let Some(held) = self.held.first_mut() {
            held.complete = complete;
            let added = context
                .parts
                .store
                .append(held.number, finished.part, finished.pieces, complete)
                .await?;
            if matches!(added, Inserted::Stored(_)) {
                draft.stored();
            }
            return Ok(added);
        }
        let held = in_one
            || self.bye_at.is_none()
                && (self.settings.lm_no_bye == NoBye::Drop
                    || self.settings.lm_base == SessionBase::Bye);
        let first_chunk = draft.first_chunk;
        let times = SessionTimes {
            first_chunk,
            complete,
            end: self.bye_at,
        };
        let mark = context.parts.expiration.session_mark(&draft.wishes, &times);
        let expire_at = mark.as_ref().map(|mark| mark.at);
        let wishes = draft.wishes.clone();
        let message = NewMessage {
            account: self.account.clone(),
            message_id: context.parts.ids.next(&self.account).await?,
            form: Form::Session(SessionRecord {
                invite: self.invite.clone(),
                ok: self.ok.clone(),
                bye: self.bye.clone(),
                parts: vec![finished.part],
            }),
            received_at: complete,
            stored_at: context.now(),
            mark,
        };
        let most = context.config.limits.messages_per_account;
        let store = &context.parts.store;
        let inserted = store
            .insert_session(message, finished.pieces, held, most)
            .await?;
        let Inserted::Stored(number) = inserted else {
            return Ok(inserted);
        };
        draft.stored();
        self.numbers.push(number);
        if held {
            self.held.push(Held {
                number,
                wishes,
                first_chunk,
                complete,
            });
        } else {
            sessions.stored(&self.account, expire_at).await;
        }
        Ok(inserted)
    }

    /// The sender's BYE came. When this is done its header fields are durable, and what only waited for
    /// it is a deferred message.
    pub(super) async fn bye(&mut self, bye: &Message, at: Timestamp) -> Result<(), StoreError> {
        let kept = kept(bye, |field| self.settings.lm_bye_headers.keeps(field));
        self.bye = Some(kept.clone());
        self.bye_at = Some(at);
        if !self.numbers.is_empty() {
            let store = &self.sessions.context.parts.store;
            store.add_bye(self.numbers.clone(), kept).await?;
        }
        if self.settings.lm_multi == SeveralMessages::OnePerMessageId {
            self.release(at).await?;
        }
        Ok(())
    }

    /// The session is over, and no octet can come any more.
    pub(super) async fn finish(&mut self) {
        self.current = Current::None;
        for (id, draft) in std::mem::take(&mut self.drafts) {
            self.sessions.park(self.key(&id), draft).await;
        }
        let end = self.bye_at.unwrap_or_else(|| self.sessions.context.now());
        if let Err(error) = self.release(end).await {
            // They are looked at again at the next start.
            tracing::error!(%error, "messages of a session could not be released");
        }
    }

    async fn release(&mut self, end: Timestamp) -> Result<(), StoreError> {
        let sessions = Arc::clone(&self.sessions);
        let parts = &sessions.context.parts;
        let keep = self.bye_at.is_some() || self.settings.lm_no_bye == NoBye::Store;
        for held in std::mem::take(&mut self.held) {
            if !keep {
                parts.store.remove(held.number).await?;
                continue;
            }
            let times = SessionTimes {
                first_chunk: held.first_chunk,
                complete: held.complete,
                end: Some(end),
            };
            let mark = parts.expiration.session_mark(&held.wishes, &times);
            let expire_at = mark.as_ref().map(|mark| mark.at);
            parts.store.release(held.number, mark).await?;
            sessions.stored(&self.account, expire_at).await;
        }
        Ok(())
    }

    /// A message was brought to its recipient.
    pub(super) async fn delivered(&mut self, number: i64, link: Option<&Link>) {
        if let Some((head, octets)) = self.awaited.remove(&number)
            && let Some(link) = link
        {
            self.report(&head, octets, link).await;
        }
    }

    /// Whether the connection broke in the middle of a frame: what was taken of it stays.
    pub(super) fn cut_off(&mut self) {
        self.current = Current::None;
    }

    fn key(&self, id: &str) -> String {
        format!("{}\n{}\n{id}", self.account, self.sender)
    }

    async fn answer(&self, head: &Head, status: u16, comment: &str, link: &Link) {
        if status != 200 {
            tracing::debug!(remote = %link.remote(), status, comment, "refused an MSRP request");
        }
        if let Some(response) = respond(head, status, comment, &self.own) {
            // When it cannot be sent the connection is gone, which is told apart.
            let _ = link.send(response).await;
        }
    }

    /// RFC 4975 §7.1.3: on all of the message, since nothing less is kept.
    async fn report(&self, head: &Head, octets: u64, link: &Link) {
        let range = ByteRange {
            start: 1,
            end: Some(octets),
            total: Some(octets),
        };
        let status = Status::new(200, Some("OK"));
        let report = Builder::report(head, transaction_id(), range, &status, &self.own);
        let _ = link.send(report.octets()).await;
    }
}

/// Start line and the fields that are kept.
fn kept(message: &Message, keep: impl Fn(&imspec_wire::sip::Header<'_>) -> bool) -> Bytes {
    let octets = message.octets();
    let mut head = octets
        .get(message.start_line_range())
        .unwrap_or_default()
        .to_vec();
    head.extend_from_slice(b"\r\n");
    for field in message.headers().filter(|field| keep(field)) {
        head.extend_from_slice(field.line());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head.into()
}

/// The user that From names.
fn sender(invite: &Message) -> String {
    match invite.typed::<imspec_wire::sip::typed::From>() {
        Some(Ok(from)) => from.0.uri.as_sip().map_or_else(
            || from.0.uri.to_string(),
            imspec_wire::sip::typed::SipUri::aor_key,
        ),
        _ => String::new(),
    }
}
