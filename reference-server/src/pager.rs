//! MESSAGE (RFC 3428): at once to who is there, into the store for who is not.
//!
//! A sender gets a 2xx only for what was delivered or is durable on disk.

use std::sync::Arc;

use bytes::Bytes;
use imspec_wire::sip::Message;
use imspec_wire::sip::typed::{MaxForwards, MediaType, To};
use tokio::time::{Instant, timeout};

use crate::clock::Timestamp;
use crate::compose::{is_hop_field, without};
use crate::context::Context;
use crate::delivery::{Delivery, Meaning, same_binding};
use crate::expiry::Expiry;
use crate::policy::{ContentClass, HopHeaders, Mode, OfflineTrigger};
use crate::reach::{self, Destination};
use crate::response::Reply;
use crate::store::{Binding, Form, Inserted, NewMessage, StoreError};
use crate::transaction::client::{ClientTransactions, Outcome, Pending};
use crate::transport::Flow;

/// Answers MESSAGE requests.
pub(crate) struct Pager {
    context: Arc<Context>,
    clients: Arc<ClientTransactions>,
    delivery: Arc<Delivery>,
    expiry: Arc<Expiry>,
}

/// What came of trying to reach somebody online.
enum Online {
    /// A final answer for the sender.
    Answered(Reply),
    /// Nobody is there after all. Requests that may yet be answered.
    Absent(Vec<Pending>),
}

impl From<StoreError> for Reply {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy => Self::overloaded(),
            StoreError::Closed | StoreError::Failed(_) => {
                tracing::error!(%error, "a message could not be stored");
                Self::new(500)
            }
        }
    }
}

impl Pager {
    pub(crate) fn new(
        context: Arc<Context>,
        clients: Arc<ClientTransactions>,
        delivery: Arc<Delivery>,
        expiry: Arc<Expiry>,
    ) -> Self {
        Self {
            context,
            clients,
            delivery,
            expiry,
        }
    }

    /// Answers a MESSAGE that was complete at `received`.
    pub(crate) async fn message(
        &self,
        request: &Message,
        flow: &Flow,
        received: Timestamp,
    ) -> Reply {
        self.handle(request, flow, received)
            .await
            .unwrap_or_else(|reply| reply)
    }

    async fn handle(
        &self,
        request: &Message,
        flow: &Flow,
        received: Timestamp,
    ) -> Result<Reply, Reply> {
        let account = self.context.account(request).await?;
        if matches!(request.typed::<To>(), Some(Ok(to)) if to.tag().is_some()) {
            // There are no dialogs here, so it can belong to none (RFC 3261 §12.2.2).
            return Err(Reply::new(481));
        }
        let request = self.context.believed(request);
        let bindings = self.context.live_bindings(&account).await?;
        if bindings.is_empty() {
            let (reply, _) = self.store(&account, &request, received).await?;
            // Whoever registered while the message was on its way to the disk gets it now.
            if !self.context.live_bindings(&account).await?.is_empty() {
                self.delivery.message_stored(&account);
            }
            return Ok(reply);
        }
        if matches!(request.typed::<MaxForwards>(), Some(Ok(MaxForwards(0)))) {
            // As the sender's last hop it may be stored here, but not go on (RFC 3261 §16.3).
            return Err(Reply::new(483));
        }
        match self.forward(&account, &bindings, &request, flow).await {
            Online::Answered(reply) => Ok(reply),
            Online::Absent(late) => {
                let (reply, number) = self.store(&account, &request, received).await?;
                for pending in late {
                    self.delivery.expect_late(pending, number);
                }
                let now = self.context.live_bindings(&account).await?;
                let tried = |binding: &Binding| bindings.iter().any(|b| same_binding(b, binding));
                if now.iter().all(tried) {
                    self.delivery.message_failed(&account);
                } else {
                    self.delivery.message_stored(&account);
                }
                Ok(reply)
            }
        }
    }

    /// Sends the request on, to one contact after the other, newest first (RFC 3261 §16.7).
    async fn forward(
        &self,
        account: &str,
        bindings: &[Binding],
        request: &Message,
        flow: &Flow,
    ) -> Online {
        let deadline = Instant::now() + self.context.timers.online_patience();
        let trigger = self.context.policy.settings().offline_trigger;
        let mut late = Vec::new();
        let mut answer = None;
        for (tried, binding) in bindings.iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            let contacts_left = u32::try_from(bindings.len() - tried).unwrap_or(u32::MAX);
            let to = Destination::of(binding);
            let sent = reach::send(&self.clients, &to, "MESSAGE", |via| {
                let contact = reach::request_uri(binding);
                self.context
                    .parts
                    .composer
                    .forwarded(request, flow, contact, via)
            });
            let mut pending = match sent.await {
                Ok(pending) => pending,
                Err(error) => {
                    tracing::info!(account, %error, "not forwarded");
                    continue;
                }
            };
            let response = match timeout(left / contacts_left, pending.outcome()).await {
                Ok(Outcome::Final(response)) => response,
                Ok(Outcome::TimedOut | Outcome::Broken) => continue,
                Err(_) => {
                    pending.silence();
                    late.push(pending);
                    continue;
                }
            };
            let status = response.status().unwrap_or(500);
            match Meaning::of(status) {
                Meaning::Delivered => {
                    self.delivery.account_answered(account);
                    return Online::Answered(Reply::relayed(&response));
                }
                Meaning::Refused => return Online::Answered(Reply::relayed(&response)),
                Meaning::Absent if is_absence(status, trigger) => {}
                Meaning::Absent | Meaning::Rejected => answer = Some(response),
            }
        }
        match answer {
            Some(response) => Online::Answered(Reply::relayed(&response)),
            None => Online::Absent(late),
        }
    }

    /// Stores a message and gives its number, with the answer that its sender may now get.
    async fn store(
        &self,
        account: &str,
        request: &Message,
        received: Timestamp,
    ) -> Result<(Reply, i64), Reply> {
        let context = &self.context;
        let settings = context.policy.settings();
        if !settings.store_modes.contains(&Mode::Pager)
            || !settings.store_classes.contains(&content_class(request))
        {
            return Err(Reply::new(480));
        }
        let stored_at = context.now();
        let mark = context
            .parts
            .expiration
            .mark(request, received, stored_at)
            .map_err(|refusal| Reply::because(400, &refusal.to_string()))?;
        let expire_at = mark.as_ref().map(|mark| mark.at);
        let octets = match settings.store_hop_headers {
            HopHeaders::Keep => request.octets().clone(),
            HopHeaders::Drop => without(request, is_hop_field),
        };
        // What follows the end that Content-Length gives is not part of the message (RFC 3261 §18.3).
        let end = octets.len().saturating_sub(request.surplus().len());
        let message = NewMessage {
            account: account.to_owned(),
            message_id: context.parts.ids.next(account).await?,
            form: Form::Pager(Bytes::copy_from_slice(
                octets.get(..end).unwrap_or_default(),
            )),
            received_at: received,
            stored_at,
            mark,
        };
        let most = context.config.limits.messages_per_account;
        match context.parts.store.insert(message, most).await? {
            Inserted::Stored(number) => {
                if let Some(at) = expire_at {
                    self.expiry.consider(at);
                }
                Ok((Reply::new(settings.accept_status), number))
            }
            // Not 503: that would speak for the whole server (RFC 3261 §21.5.4).
            Inserted::Full => Err(Reply::because(480, "Mailbox Full").with("Retry-After", "3600")),
            Inserted::NoAccount => Err(Reply::new(404)),
            // Of sessions only.
            Inserted::Duplicate => Err(Reply::new(500)),
        }
    }
}

/// Whether an answer means that the user is offline after all.
pub(crate) fn is_absence(status: u16, trigger: OfflineTrigger) -> bool {
    match trigger {
        OfflineTrigger::NotRegistered => matches!(status, 410 | 480 | 503),
        OfflineTrigger::Unreachable => true,
    }
}

/// The class of a message's content.
fn content_class(request: &Message) -> ContentClass {
    match request.typed::<MediaType>() {
        Some(Ok(kind)) => class_of(&kind, request.body()),
        _ => ContentClass::Im,
    }
}

/// The class of content of a type. A CPIM wrapper is looked into, since that is how notifications
/// travel, where its body is at hand.
pub(crate) fn class_of(kind: &MediaType, body: &[u8]) -> ContentClass {
    let name = format!("{}/{}", kind.kind, kind.subtype).to_ascii_lowercase();
    match name.as_str() {
        "application/im-iscomposing+xml" => ContentClass::IsComposing,
        "message/imdn+xml" => ContentClass::Imdn,
        "application/vnd.gsma.rcs-ft-http+xml" => ContentClass::File,
        "message/cpim" => cpim_class(body),
        _ => ContentClass::Im,
    }
}

/// The second header block of a CPIM message names the content (RFC 3862 §2).
fn cpim_class(body: &[u8]) -> ContentClass {
    let start = body.get(..body.len().min(8192)).unwrap_or_default();
    let text = String::from_utf8_lossy(start).to_ascii_lowercase();
    let Some(inner) = text.split("\r\n\r\n").nth(1) else {
        return ContentClass::Im;
    };
    let kind = inner
        .lines()
        .find_map(|line| line.strip_prefix("content-type:"))
        .and_then(|value| value.split(';').next())
        .unwrap_or_default()
        .trim();
    match kind {
        "message/imdn+xml" => ContentClass::Imdn,
        "application/im-iscomposing+xml" => ContentClass::IsComposing,
        "application/vnd.gsma.rcs-ft-http+xml" => ContentClass::File,
        _ => ContentClass::Im,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use imspec_wire::sip::Builder;

    use super::*;

    fn class(kind: &str, body: &str) -> ContentClass {
        let builder = Builder::request("MESSAGE", "sip:bob@example.org");
        content_class(
            &builder
                .header("c", kind)
                .body(body.to_owned())
                .build()
                .unwrap(),
        )
    }

    #[test]
    fn classes_are_told_by_type_even_inside_cpim() {
        assert_eq!(class("text/plain;charset=UTF-8", ""), ContentClass::Im);
        assert_eq!(
            class("Application/im-isComposing+xml", ""),
            ContentClass::IsComposing
        );
        assert_eq!(class("message/imdn+xml", ""), ContentClass::Imdn);
        let wrap = |inner: &str| {
            let body =
                format!("From: <im:a@x>\r\n\r\nContent-Type: {inner}\r\n\r\nContent-Type: z/z");
            class("message/cpim", &body)
        };
        assert_eq!(wrap("text/plain"), ContentClass::Im);
        assert_eq!(wrap("message/imdn+xml;charset=utf-8"), ContentClass::Imdn);
        assert_eq!(class("message/cpim", "no end"), ContentClass::Im);
    }
}
