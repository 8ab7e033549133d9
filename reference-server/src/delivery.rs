//! Brings deferred messages to users who came back.
//!
//! One task for each account that has messages and somewhere to bring them: it sends one request at a
//! time (RFC 3428 §8), or has one session, in the order in which the messages came, and waits for nobody
//! else. A message leaves the store only after a final answer that says that it was delivered; what a
//! session brings, only after all of it was acknowledged ([`session`]).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use imspec_wire::sip::Message;
use tokio::sync::watch;

use self::parcel::{Parcel, Unreadable};
use self::session::{Bringing, Closing};
use crate::clock::{Timestamp, wait_until};
use crate::compose::{Deferred, as_message, expiry_notice};
use crate::context::Context;
use crate::expiry::{Expiry, InFlight};
use crate::policy::{DeliveryForm, ExpiredHandling, Indication};
use crate::reach::{self, Destination};
use crate::store::{Binding, Form, StoreError, StoredMessage, reparse};
use crate::transaction::client::{ClientTransactions, Outcome, Pending};

mod outgoing;
mod parcel;
mod session;

/// Longest pause between attempts, in seconds of store time.
const LONGEST_PAUSE: u32 = 3600;

/// How long a failing store is left in peace.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// Delivers deferred messages.
pub(crate) struct Delivery {
    context: Arc<Context>,
    clients: Arc<ClientTransactions>,
    expiry: Arc<Expiry>,
    in_flight: InFlight,
    workers: Mutex<HashMap<String, watch::Sender<Wake>>>,
}

/// What an account's worker is told. Each counts up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Wake {
    /// Bindings were made, refreshed or removed, or one of them proved to work.
    bindings: u64,
    /// A message was stored that may be deliverable.
    messages: u64,
    /// A message was stored because nobody could be reached.
    failures: u64,
}

/// How a walk through an account's messages ended.
#[derive(Debug, PartialEq, Eq)]
enum Round {
    /// Nothing is left, or nobody is there.
    Done,
    /// The bindings changed: start over.
    Again,
    /// Nobody could be reached.
    Unreachable,
    /// Something is left that was not taken, up to the message with this number.
    Rejected(i64),
}

/// What ended a pause.
#[derive(Debug, PartialEq, Eq)]
enum Woken {
    /// The bindings changed, or one of them proved to work.
    Bindings,
    /// A message was stored that nobody has refused yet.
    Message,
    /// It is time for another attempt.
    Time,
}

/// How one message fared.
enum Attempt {
    /// It was taken; by a session, which is to be ended when the record is gone.
    Delivered(Option<Box<Closing>>),
    /// 6xx: delivered, but refused by the user (RFC 3428 §7).
    Refused,
    /// This message was not taken; another may be.
    Rejected,
    /// Nobody is there.
    Unreachable,
    /// The binding that was tried is gone, or there is a newer one.
    Overtaken,
}

/// A record to be brought.
struct Item<'a> {
    stored: &'a StoredMessage,
    /// The stored MESSAGE or INVITE, or the MESSAGE made of a session.
    request: &'a Message,
    by_session: bool,
    expired: bool,
}

/// The longest Via that could be written, to measure a request by.
const LONGEST_VIA: &str = "SIP/2.0/UDP [ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535\
                           ;branch=z9hG4bK0123456789abcdef;rport";

/// The header that tells of an expired message, where the provider has one.
fn marker(indication: &Indication) -> Option<&str> {
    match indication {
        Indication::Header(name) => Some(name),
        Indication::None | Indication::Notify => None,
    }
}

/// What a final response says about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// 2xx
    Delivered,
    /// 6xx
    Refused,
    /// The user is not there, or not now.
    Absent,
    /// The request did not please.
    Rejected,
}

impl Meaning {
    pub(crate) fn of(status: u16) -> Self {
        match status {
            200..=299 => Self::Delivered,
            600..=699 => Self::Refused,
            408 | 410 | 480 | 486 | 487 | 491 | 500 | 502..=504 => Self::Absent,
            _ => Self::Rejected,
        }
    }
}

impl Delivery {
    pub(crate) fn new(
        context: Arc<Context>,
        clients: Arc<ClientTransactions>,
        expiry: Arc<Expiry>,
        in_flight: InFlight,
    ) -> Self {
        Self {
            context,
            clients,
            expiry,
            in_flight,
            workers: Mutex::default(),
        }
    }

    /// The bindings of an account changed; `refreshed` when one was made or refreshed.
    pub(crate) fn bindings_changed(self: &Arc<Self>, account: &str, refreshed: bool) {
        self.wake(account, refreshed.then_some(false), |wake| {
            wake.bindings += 1;
        });
    }

    /// A message was stored for somebody who has bindings.
    pub(crate) fn message_stored(self: &Arc<Self>, account: &str) {
        self.wake(account, Some(false), |wake| wake.messages += 1);
    }

    /// A message was stored because the bindings that are there could not be reached.
    pub(crate) fn message_failed(self: &Arc<Self>, account: &str) {
        self.wake(account, Some(true), |wake| wake.failures += 1);
    }

    /// A binding of the account has just answered.
    pub(crate) fn account_answered(self: &Arc<Self>, account: &str) {
        self.wake(account, None, |wake| wake.bindings += 1);
    }

    /// Takes up what was left when the server stopped.
    pub(crate) async fn resume(self: &Arc<Self>) -> Result<(), StoreError> {
        for account in self
            .context
            .parts
            .store
            .deliverable(self.context.now())
            .await?
        {
            self.message_stored(&account);
        }
        Ok(())
    }

    /// Tells the account's worker. Where there is none, `start` says whether to start one, and whether
    /// it begins with a pause.
    fn wake(self: &Arc<Self>, account: &str, start: Option<bool>, tell: impl FnOnce(&mut Wake)) {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(worker) = workers.get(account) {
            worker.send_modify(tell);
        } else if let Some(paused) = start {
            let (worker, wake) = watch::channel(Wake::default());
            workers.insert(account.to_owned(), worker);
            let delivery = Arc::clone(self);
            let account = account.to_owned();
            self.context
                .tasks
                .spawn(async move { delivery.work(&account, wake, paused).await });
        }
    }

    async fn work(
        self: &Arc<Self>,
        account: &str,
        mut wake: watch::Receiver<Wake>,
        mut paused: bool,
    ) {
        let first_pause = self.context.config.delivery.retry_s;
        let mut pause = first_pause;
        // When refused messages are tried again; newer ones do not put it off.
        let mut due = None;
        let mut after = 0;
        loop {
            let seen = *wake.borrow_and_update();
            let round = if std::mem::take(&mut paused) {
                Round::Unreachable
            } else {
                match self.round(account, after, &mut wake).await {
                    Ok(round) => round,
                    Err(StoreError::Closed) => return,
                    Err(error) => {
                        tracing::error!(account, %error, "delivery was interrupted");
                        tokio::time::sleep(STORE_PAUSE).await;
                        continue;
                    }
                }
            };
            let refused = match round {
                Round::Unreachable => None,
                Round::Rejected(number) => Some(number),
                Round::Again => {
                    (due, after) = (None, 0);
                    continue;
                }
                Round::Done => {
                    let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
                    // Who tells a worker holds the lock, so nothing can be told in between.
                    if *wake.borrow() == seen {
                        workers.remove(account);
                        return;
                    }
                    (due, after) = (None, 0);
                    continue;
                }
            };
            if due.is_none() && pause > 0 {
                due = Some(self.context.now().plus_seconds(i64::from(pause)));
            }
            let woken = self
                .pause(account, due, seen, refused.is_some(), &mut wake)
                .await;
            if woken == Woken::Message {
                after = refused.unwrap_or(0);
                continue;
            }
            (due, after) = (None, 0);
            pause = match woken {
                Woken::Time => pause.saturating_mul(2).min(LONGEST_PAUSE.max(first_pause)),
                Woken::Bindings | Woken::Message => first_pause,
            };
        }
    }

    /// Waits until the bindings change, until `due`, which is never for `None`, or until they lapse;
    /// and for new messages too where the bindings work.
    async fn pause(
        &self,
        account: &str,
        due: Option<Timestamp>,
        seen: Wake,
        reachable: bool,
        wake: &mut watch::Receiver<Wake>,
    ) -> Woken {
        let bindings = self
            .context
            .live_bindings(account)
            .await
            .unwrap_or_default();
        let lapse = bindings
            .iter()
            .map(|binding| binding.expires_at)
            .max()
            .unwrap_or_else(|| self.context.now());
        let deadline = due.map_or(lapse, |due| due.min(lapse));
        let is_news = |wake: &Wake| {
            wake.bindings != seen.bindings || reachable && wake.messages != seen.messages
        };
        tokio::select! {
            news = wake.wait_for(is_news) => match news {
                Ok(news) if news.bindings == seen.bindings => Woken::Message,
                Ok(_) => Woken::Bindings,
                Err(_) => Woken::Time,
            },
            () = wait_until(&*self.context.parts.clock, deadline) => Woken::Time,
        }
    }

    /// Goes once through the account's messages that follow `after`, which is 0 or the number of one
    /// that was refused.
    async fn round(
        self: &Arc<Self>,
        account: &str,
        mut after: i64,
        wake: &mut watch::Receiver<Wake>,
    ) -> Result<Round, StoreError> {
        let parts = &self.context.parts;
        let mut rejected = after > 0;
        loop {
            let bindings = self.context.live_bindings(account).await?;
            if bindings.is_empty() {
                return Ok(Round::Done);
            }
            let Some(stored) = parts.store.next_message(account, after).await? else {
                return Ok(if rejected {
                    Round::Rejected(after)
                } else {
                    Round::Done
                });
            };
            after = stored.number;
            // Before its expiry is looked at, so that the sweep cannot take it away in between.
            let flight = self.in_flight.enter(stored.number);
            let mark = stored.message.mark.as_ref().map(|mark| mark.at);
            let has_expired = |now| stored.expired || parts.expiration.has_expired(mark, now);
            let expired = has_expired(self.context.now());
            if expired {
                match parts.expiration.handling() {
                    ExpiredHandling::Delete => {
                        parts.store.remove(stored.number).await?;
                        continue;
                    }
                    ExpiredHandling::Hold => continue,
                    ExpiredHandling::Deliver => {}
                }
            }
            let request = match stored.message.parse() {
                Ok(request) => request,
                Err(error) => {
                    let message_id = &stored.message.message_id;
                    tracing::error!(account, message_id, %error, "a stored message is damaged");
                    continue;
                }
            };
            let message = self.as_message(&stored, &request, &bindings).await?;
            let item = Item {
                stored: &stored,
                request: message.as_ref().unwrap_or(&request),
                by_session: message.is_none(),
                expired,
            };
            let (by, attempt) = self.attempt(&bindings, &item, wake).await;
            let is_over = matches!(attempt, Attempt::Delivered(_) | Attempt::Refused);
            if is_over {
                self.remove_delivered(stored.number).await?;
            }
            drop(flight);
            if !is_over && has_expired(self.context.now()) {
                // The sweep has passed it by while it was in flight.
                self.expiry.look_again();
            }
            match attempt {
                Attempt::Delivered(closing) => {
                    self.tell_delivered(stored.number);
                    if let Some(closing) = closing {
                        closing.end(self).await;
                    }
                    if let Some(binding) = by.filter(|_| expired) {
                        self.notify_expired(binding, &stored).await;
                    }
                }
                Attempt::Refused => {}
                Attempt::Rejected => rejected = true,
                Attempt::Unreachable => return Ok(Round::Unreachable),
                Attempt::Overtaken => return Ok(Round::Again),
            }
        }
    }

    /// The record as the MESSAGE that brings it; `None` where a session is to bring it.
    async fn as_message(
        &self,
        stored: &StoredMessage,
        request: &Message,
        bindings: &[Binding],
    ) -> Result<Option<Message>, StoreError> {
        let context = &self.context;
        let settings = context.policy.settings();
        let record = match (&stored.message.form, settings.delivery_form) {
            (_, DeliveryForm::Session) => return Ok(None),
            (Form::Pager(_), DeliveryForm::Message) => return Ok(Some(request.clone())),
            (Form::Session(record), DeliveryForm::Message) => record,
        };
        let most = context.config.delivery.message_octets;
        let [part] = &record.parts[..] else {
            return Ok(None);
        };
        let mut parcel = Parcel::of(stored, request, |_| Vec::new());
        let body = match parcel.first_mut() {
            Some(parcel) => parcel.read_whole(&*context.parts.store, most).await,
            None => Ok(None),
        };
        let body = match body {
            Ok(Some(body)) => body,
            // Of what is damaged the session will say so.
            Ok(None) | Err(Unreadable::Short) => return Ok(None),
            Err(Unreadable::Store(error)) => return Err(error),
        };
        let Ok(message) = reparse(as_message(request, part.head(), body)) else {
            return Ok(None);
        };
        // RFC 3428 §8 counts the whole request.
        let contacts = bindings.iter().map(|binding| binding.contact.as_str());
        let how = Deferred {
            contact: contacts.max_by_key(|uri| uri.len()).unwrap_or_default(),
            via: LONGEST_VIA,
            ..self.how(false)
        };
        let indication = context.parts.expiration.indication();
        let how = Deferred {
            marker: marker(&indication),
            ..how
        };
        let octets = context.parts.composer.deferred(stored, &message, &how);
        Ok((octets.len() <= most).then_some(message))
    }

    /// How deferred messages are written, but for where to and by which way.
    fn how(&self, expired: bool) -> Deferred<'static> {
        Deferred {
            contact: "",
            via: "",
            expires: self.context.policy.settings().delivery_expires,
            marker: None,
            expired,
            now: self.context.now(),
        }
    }

    /// Tries the bindings one after the other, newest first. Tells also which one took the message.
    async fn attempt<'b>(
        self: &Arc<Self>,
        bindings: &'b [Binding],
        item: &Item<'_>,
        wake: &mut watch::Receiver<Wake>,
    ) -> (Option<&'b Binding>, Attempt) {
        let mut result = Attempt::Unreachable;
        for binding in bindings {
            let attempt = if item.by_session {
                self.by_session(binding, bindings, item, wake).await
            } else {
                self.by_message(binding, bindings, item, wake).await
            };
            match attempt {
                Attempt::Rejected => result = Attempt::Rejected,
                Attempt::Unreachable => {}
                last => return (Some(binding), last),
            }
        }
        (None, result)
    }

    async fn by_session(
        self: &Arc<Self>,
        binding: &Binding,
        known: &[Binding],
        item: &Item<'_>,
        wake: &mut watch::Receiver<Wake>,
    ) -> Attempt {
        let indication = self.context.parts.expiration.indication();
        let bringing = Bringing {
            delivery: self,
            binding,
            known,
            stored: item.stored,
            request: item.request,
            how: Deferred {
                contact: reach::request_uri(binding),
                marker: marker(&indication),
                ..self.how(item.expired)
            },
        };
        // Large, and rarely needed.
        Box::pin(bringing.run(wake)).await
    }

    async fn by_message(
        self: &Arc<Self>,
        binding: &Binding,
        known: &[Binding],
        item: &Item<'_>,
        wake: &mut watch::Receiver<Wake>,
    ) -> Attempt {
        let pending = match self.send(binding, item).await {
            Ok(pending) => pending,
            Err(error) => {
                tracing::info!(account = item.stored.message.account, %error, "not delivered");
                return Attempt::Unreachable;
            }
        };
        let outcome = self
            .await_answer(binding, known, item.stored, pending, wake)
            .await;
        match outcome {
            None => Attempt::Overtaken,
            Some(Outcome::Broken | Outcome::TimedOut) => Attempt::Unreachable,
            Some(Outcome::Final(response)) => match Meaning::of(response.status().unwrap_or(500)) {
                Meaning::Delivered => Attempt::Delivered(None),
                Meaning::Refused => Attempt::Refused,
                Meaning::Rejected => Attempt::Rejected,
                Meaning::Absent => Attempt::Unreachable,
            },
        }
    }

    async fn send(
        &self,
        binding: &Binding,
        item: &Item<'_>,
    ) -> Result<Pending, reach::Unreachable> {
        let context = &self.context;
        let indication = context.parts.expiration.indication();
        let to = Destination::of(binding);
        reach::send(&self.clients, &to, "MESSAGE", |via| {
            let how = Deferred {
                contact: reach::request_uri(binding),
                via,
                marker: marker(&indication),
                ..self.how(item.expired)
            };
            let composer = &context.parts.composer;
            composer.deferred(item.stored, item.request, &how)
        })
        .await
    }

    /// Removes a message that was delivered. A store that fails is asked until it does it: what stays
    /// in there would be brought to its recipient once more.
    async fn remove_delivered(&self, number: i64) -> Result<(), StoreError> {
        loop {
            match self.context.parts.store.remove(number).await {
                Err(error) if error != StoreError::Closed => {
                    tracing::error!(%error, "a delivered message could not be removed yet");
                    tokio::time::sleep(STORE_PAUSE).await;
                }
                result => return result,
            }
        }
    }

    /// Waits for the end of a request, or gives it up (`None`) because the user has moved on: the
    /// binding is gone, or there is one that was not among the `known`.
    async fn await_answer(
        self: &Arc<Self>,
        binding: &Binding,
        known: &[Binding],
        stored: &StoredMessage,
        mut pending: Pending,
        wake: &mut watch::Receiver<Wake>,
    ) -> Option<Outcome> {
        loop {
            tokio::select! {
                biased;
                outcome = pending.outcome() => return Some(outcome),
                changed = wake.changed() => {
                    let account = &stored.message.account;
                    if changed.is_ok() && !self.has_moved(account, binding, known).await {
                        continue;
                    }
                    // No second copy goes to this URI while the first is repeated (RFC 3428 §8), and an
                    // answer that still comes counts.
                    pending.silence();
                    self.expect_late(pending, stored.number);
                    return None;
                }
            }
        }
    }

    /// Whether the binding is gone, or there is one that was not among the `known`.
    async fn has_moved(&self, account: &str, binding: &Binding, known: &[Binding]) -> bool {
        let is_known = |b: &Binding| known.iter().any(|k| same_binding(k, b));
        // While the store does not say, nobody has moved.
        match self.context.live_bindings(account).await {
            Ok(now) => !now.iter().any(|b| same_binding(b, binding)) || !now.iter().all(is_known),
            Err(_) => false,
        }
    }

    /// Whether the binding is still there.
    async fn still_bound(&self, account: &str, binding: &Binding) -> bool {
        match self.context.live_bindings(account).await {
            Ok(now) => now.iter().any(|b| same_binding(b, binding)),
            Err(_) => true,
        }
    }

    /// Who stored it may want to know (`lm.success_report: on-delivery`).
    fn tell_delivered(&self, number: i64) {
        // An error only means that nobody does.
        let _ = self.context.delivered.send(number);
    }

    /// Removes a message whose delivery is confirmed after it was given up.
    pub(crate) fn expect_late(self: &Arc<Self>, mut pending: Pending, number: i64) {
        let delivery = Arc::clone(self);
        self.context.tasks.spawn(async move {
            let Outcome::Final(response) = pending.outcome().await else {
                return;
            };
            let meaning = Meaning::of(response.status().unwrap_or(500));
            if !matches!(meaning, Meaning::Delivered | Meaning::Refused) {
                return;
            }
            match delivery.remove_delivered(number).await {
                Ok(()) if meaning == Meaning::Delivered => delivery.tell_delivered(number),
                Ok(()) => {}
                Err(error) => tracing::debug!(%error, "a late answer came too late"),
            }
        });
    }

    /// `policy.indication: notify`
    async fn notify_expired(&self, binding: &Binding, stored: &StoredMessage) {
        let context = &self.context;
        if context.parts.expiration.indication() != Indication::Notify {
            return;
        }
        let to = Destination::of(binding);
        let sent = reach::send(&self.clients, &to, "MESSAGE", |via| {
            let contact = reach::request_uri(binding);
            expiry_notice(stored, context.domains.main(), contact, via, context.now())
        });
        if let Ok(mut pending) = sent.await {
            // A courtesy: whether it arrives changes nothing.
            pending.outcome().await;
        }
    }
}

/// The same contact since the same REGISTER made it.
pub(crate) fn same_binding(a: &Binding, b: &Binding) -> bool {
    a.contact == b.contact && a.bound_at == b.bound_at
}
