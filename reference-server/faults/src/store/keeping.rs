//! What stays in the store, and what goes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use imspec_reference_server::Parts;
use imspec_reference_server::clock::{Clock, Timestamp};
use imspec_reference_server::policy::ExpiredHandling;
use imspec_reference_server::store::{
    Answer, Binding, Form, Inserted, NewMessage, Piece, Store, StoreError, StoredMessage,
};

use super::{Memory, NOWHERE, Spoil, pager, request_of, spoil, writing};
use crate::fault::{Fault, Need};
use crate::rewrite;

const RESTART: &[Need] = &[Need::Wire, Need::Restart];

pub(crate) const FAULTS: &[Fault] = &[
    Fault::new(
        "accepts-and-forgets",
        "F-060",
        &["DM-CTX-01", "DM-TRIG-01", "DM-STORE-01", "DM-DRV-08"],
        "Messages are accepted and not stored.",
    )
    .seed(|parts| writing(parts, |_| None)),
    Fault::new(
        "drops-empty-messages",
        "F-061",
        &["DM-TRIG-01", "DM-STORE-01", "DM-DRV-08"],
        "Messages without a body are accepted and not stored.",
    )
    .seed(|parts| {
        writing(parts, |message| {
            let is_empty = matches!(message.form, Form::Pager(_))
                && request_of(&message).is_some_and(|request| request.body().is_empty());
            (!is_empty).then_some(message)
        })
    }),
    Fault::new(
        "drops-repeated-bodies",
        "M-021",
        &["DM-TRIG-01"],
        "A message with a body that was stored before is taken for a copy and dropped.",
    )
    .seed(|parts| {
        let seen = Memory::<HashSet<(String, u64)>>::default();
        writing(parts, move |message| {
            match (&message.form, request_of(&message)) {
                (Form::Pager(_), Some(request)) => {
                    let key = (message.account.clone(), rewrite::digest(request.body()));
                    seen.get().insert(key).then_some(message)
                }
                _ => Some(message),
            }
        })
    }),
    Fault::new(
        "drops-beyond-thirty",
        "F-062",
        &["DM-TRIG-01", "DM-DRV-08"],
        "More than thirty messages of an account are accepted and not stored.",
    )
    .seed(|parts| spoil(parts, |parts| Thirty(Arc::clone(&parts.store)))),
    Fault::new(
        "lost-while-registering",
        "M-135",
        &["DM-TRIG-02", "DM-DRV-01", "DM-TRIG-01"],
        "A message is lost whose recipient registers while it is being stored.",
    )
    .seed(|parts| spoil(parts, |parts| LostInBetween(Arc::clone(&parts.store)))),
    Fault::new(
        "delivered-again",
        "M-120",
        &["DM-DRV-03", "DM-CTX-02"],
        "Delivered messages stay in the store, and are delivered at every registration.",
    )
    .seed(|parts| spoil(parts, |parts| NeverRemoved(Arc::clone(&parts.store)))),
    Fault::new(
        "delivered-twice",
        "F-063",
        &["DM-DRV-03", "DM-CTX-02"],
        "A delivered message is delivered once more at the next registration.",
    )
    .seed(|parts| {
        spoil(parts, |parts| RemovedAtSecond {
            inner: Arc::clone(&parts.store),
            asked: Memory::default(),
        })
    }),
    Fault::new(
        "lost-at-restart",
        "M-116",
        &["DM-DRV-04", "DM-ACCT-02"],
        "A restart loses every message.",
    )
    .needs(RESTART)
    .seed(|parts| spoil(parts, |parts| Volatile(Arc::clone(&parts.store)))),
    Fault::new(
        "delivered-again-after-restart",
        "M-118",
        &["DM-DRV-03"],
        "After a restart delivered messages are delivered again.",
    )
    .needs(RESTART)
    .seed(|parts| {
        spoil(parts, |parts| HiddenOnly {
            inner: Arc::clone(&parts.store),
            hidden: Memory::default(),
        })
    }),
    Fault::new(
        "third-start-loses",
        "F-371",
        &["DM-DRV-04"],
        "What waited when the server was started again is lost when it is started once more.",
    )
    .needs(RESTART)
    .seed(|parts| {
        recovering(parts, |starts, _| starts > 2)
    }),
    Fault::new(
        "empty-lost-at-restart",
        "F-372",
        &["DM-DRV-04"],
        "A restart loses messages without a body.",
    )
    .needs(RESTART)
    .seed(|parts| {
        recovering(parts, |_, stored| {
            matches!(stored.message.form, Form::Pager(_))
                && request_of(&stored.message).is_some_and(|request| request.body().is_empty())
        })
    }),
    Fault::new(
        "half-a-life-after-restart",
        "F-382",
        &["DM-EXP-30", "DM-DRV-04"],
        "What waited through a restart is gone when half of its time is over.",
    )
    .needs(&[Need::Wire, Need::Restart, Need::Clock])
    .seed(|parts| {
        spoil(parts, |parts| HalfALife {
            inner: Arc::clone(&parts.store),
            clock: Arc::clone(&parts.clock),
            old: Memory::default(),
        })
    }),
    Fault::new(
        "drops-repeated-subjects",
        "F-373",
        &["DM-TRIG-01", "DM-DRV-08"],
        "A message with the Subject of another one for the same recipient is accepted and not stored.",
    )
    .seed(|parts| {
        let seen = Memory::<HashSet<(String, String)>>::default();
        writing(parts, move |message| {
            let subject = request_of(&message).and_then(|request| rewrite::text(&request, "Subject"));
            let is_new = subject.is_none_or(|subject| {
                seen.get().insert((message.account.clone(), subject))
            });
            is_new.then_some(message)
        })
    }),
    Fault::new(
        "bare-at-second-try",
        "F-360",
        &["DM-DRV-05"],
        "A message that was tried before is delivered without Subject, Date and Priority.",
    )
    .seed(|parts| {
        spoil(parts, |parts| BareAtSecond {
            inner: Arc::clone(&parts.store),
            tried: Memory::default(),
        })
    }),
    Fault::new(
        "tried-is-lost-at-restart",
        "F-354",
        &["DM-DRV-04", "DM-DRV-01"],
        "A restart loses what was offered to its recipient and not taken.",
    )
    .needs(RESTART)
    .seed(|parts| {
        spoil(parts, |parts| TriedIsLost {
            inner: Arc::clone(&parts.store),
            tried: Memory::default(),
        })
    }),
    Fault::new(
        "over-while-down-is-fresh",
        "F-355",
        &["DM-DEF-01", "DM-POL-02", "DM-IND-01"],
        "What has expired when the server starts has no end any more.",
    )
    .needs(RESTART)
    .seed(|parts| {
        spoil(parts, |parts| FreshAgain {
            inner: Arc::clone(&parts.store),
            clock: Arc::clone(&parts.clock),
            fresh: Memory::default(),
        })
    }),
    Fault::new(
        "durable-too-late",
        "F-064",
        &["DM-DRV-04", "DM-ACCT-02", "DM-DRV-08"],
        "Messages are accepted half a second before they are on disk.",
    )
    .needs(RESTART)
    .seed(|parts| spoil(parts, |parts| Late(Arc::clone(&parts.store)))),
    Fault::new(
        "body-lost-at-restart",
        "F-065",
        &["DM-DRV-04"],
        "After a restart the bodies of messages that wait end after 100 octets.",
    )
    .needs(RESTART)
    .seed(|parts| {
        spoil(parts, |parts| Shortened {
            inner: Arc::clone(&parts.store),
            old: Memory::default(),
        })
    }),
    Fault::new(
        "newest-first",
        "F-066",
        &["DM-DRV-06"],
        "What waits is delivered in the opposite order.",
    )
    .seed(|parts| {
        spoil(parts, |parts| Backwards {
            inner: Arc::clone(&parts.store),
            given: Memory::default(),
        })
    }),
    Fault::new(
        "any-order",
        "F-067",
        &["DM-DRV-06"],
        "What waits is delivered in no order.",
    )
    .seed(|parts| {
        spoil(parts, |parts| Shuffled {
            inner: Arc::clone(&parts.store),
            given: Memory::default(),
        })
    }),
    Fault::new(
        "first-three-delivered",
        "F-068",
        &["DM-DRV-01", "DM-TRIG-01"],
        "A registration brings three messages, and the rest never comes.",
    )
    .seed(|parts| {
        spoil(parts, |parts| Three {
            inner: Arc::clone(&parts.store),
            given: Memory::default(),
        })
    }),
    Fault::new(
        "failed-delivery-loses",
        "F-069",
        &["DM-DRV-01"],
        "A message is removed as soon as its delivery was tried.",
    )
    .seed(|parts| {
        spoil(parts, |parts| FewTries {
            inner: Arc::clone(&parts.store),
            most: 1,
            tried: Memory::default(),
        })
    }),
    Fault::new(
        "third-failure-loses",
        "F-377",
        &["DM-DRV-01"],
        "A message whose delivery failed three times is removed.",
    )
    .seed(|parts| {
        spoil(parts, |parts| FewTries {
            inner: Arc::clone(&parts.store),
            most: 3,
            tried: Memory::default(),
        })
    }),
    Fault::new(
        "rejected-message-blocks",
        "F-073",
        &["DM-DRV-01"],
        "A message that its recipient does not take is in the way of those after it.",
    )
    .seed(|parts| spoil(parts, |parts| Blocked(Arc::clone(&parts.store)))),
    Fault::new(
        "failed-delivery-renames",
        "F-070",
        &["DM-MID-09"],
        "A delivery that fails gives the message a new Message-ID.",
    )
    .stored()
    .seed(|parts| {
        spoil(parts, |parts| RenamedByTry {
            inner: Arc::clone(&parts.store),
            tries: Memory::default(),
        })
    }),
    Fault::new(
        "stale-contact",
        "M-123",
        &["DM-DRV-01", "DM-DRV-03"],
        "Bindings that were removed or that lapsed are still used.",
    )
    .seed(|parts| {
        spoil(parts, |parts| Stale {
            inner: Arc::clone(&parts.store),
            known: Memory::default(),
        })
    }),
    Fault::new(
        "expiry-of-one",
        "M-104",
        &["DM-POL-01", "DM-POL-02", "DM-CTX-03"],
        "Of the messages of an account that have expired one is deleted, the others are delivered.",
    )
    .seed(|parts| {
        let parts = spoil(parts, |parts| ExpiresOne {
            inner: Arc::clone(&parts.store),
            done: Memory::default(),
        });
        crate::policy::never_expired(parts)
    }),
    Fault::new(
        "expiry-of-account",
        "M-105",
        &["DM-DEF-03"],
        "With one expired message all messages of the account are deleted.",
    )
    .seed(|parts| spoil(parts, |parts| ExpiresAccount(Arc::clone(&parts.store)))),
    Fault::new(
        "expired-sessions-stay",
        "M-109",
        &["DM-POL-03"],
        "What came by a session is never delivered once it has expired.",
    )
    .under("policy.expired: deliver")
    .seed(|parts| {
        let (expiration, clock) = (Arc::clone(&parts.expiration), Arc::clone(&parts.clock));
        spoil(parts, |parts| Withheld {
            inner: Arc::clone(&parts.store),
            is_withheld: move |stored: &StoredMessage| {
                let at = stored.message.mark.as_ref().map(|mark| mark.at);
                matches!(stored.message.form, Form::Session(_))
                    && expiration.handling() == ExpiredHandling::Deliver
                    && expiration.has_expired(at, clock.now())
            },
        })
    }),
    Fault::new(
        "expires-unmarked",
        "M-113",
        &["DM-DEF-02"],
        "Messages without a mark are deleted after thirty days.",
    )
    .needs(&[Need::Wire, Need::Clock])
    .seed(|parts| spoil(parts, |parts| Hidden(Arc::clone(&parts.store)))),
    Fault::new(
        "remark-in-late-body",
        "F-071",
        &["DM-POL-03", "DM-IND-03"],
        "An expired message is delivered with a remark in its body.",
    )
    .under("policy.expired: deliver")
    .seed(|parts| {
        let (expiration, clock) = (Arc::clone(&parts.expiration), Arc::clone(&parts.clock));
        spoil(parts, |parts| Remarked {
            inner: Arc::clone(&parts.store),
            is_late: move |stored: &StoredMessage| {
                let at = stored.message.mark.as_ref().map(|mark| mark.at);
                expiration.has_expired(at, clock.now())
            },
        })
    }),
];

struct Thirty(Arc<dyn Store>);

impl Spoil for Thirty {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.0
    }

    fn insert_session(
        &self,
        message: NewMessage,
        pieces: Vec<Piece>,
        held: bool,
        most: u64,
    ) -> Answer<'static, Inserted> {
        let inserting = self.0.insert_session(message, pieces, held, most.min(30));
        Box::pin(async move {
            match inserting.await? {
                Inserted::Full => Ok(Inserted::Stored(NOWHERE)),
                inserted => Ok(inserted),
            }
        })
    }
}

struct LostInBetween(Arc<dyn Store>);

impl Spoil for LostInBetween {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.0
    }

    fn insert_session(
        &self,
        message: NewMessage,
        pieces: Vec<Piece>,
        held: bool,
        most: u64,
    ) -> Answer<'static, Inserted> {
        if matches!(message.form, Form::Session(_)) {
            return self.0.insert_session(message, pieces, held, most);
        }
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            // Storing that takes a while, so that there is an in-between.
            tokio::time::sleep(Duration::from_millis(20)).await;
            let bindings = inner.bindings(&message.account).await?;
            // A binding has the time at which its REGISTER came, and writing it takes a while, too.
            let lately = message.stored_at.plus_seconds(-1);
            if bindings.iter().any(|binding| binding.bound_at >= lately) {
                return Ok(Inserted::Stored(NOWHERE));
            }
            inner.insert_session(message, pieces, held, most).await
        })
    }
}

struct NeverRemoved(Arc<dyn Store>);

impl Spoil for NeverRemoved {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.0
    }

    fn remove(&self, _number: i64) -> Answer<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}

struct RemovedAtSecond {
    inner: Arc<dyn Store>,
    asked: Memory<HashSet<i64>>,
}

impl Spoil for RemovedAtSecond {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    fn remove(&self, number: i64) -> Answer<'_, ()> {
        if self.asked.get().insert(number) {
            return Box::pin(async { Ok(()) });
        }
        self.inner.remove(number)
    }
}

struct Volatile(Arc<dyn Store>);

impl Spoil for Volatile {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.0
    }

    fn recover_sessions(&self, keep_held: bool) -> Answer<'_, ()> {
        Box::pin(async move {
            self.0.recover_sessions(keep_held).await?;
            for stored in self.0.messages(None).await? {
                self.0.remove(stored.number).await?;
            }
            Ok(())
        })
    }
}

/// Removes nothing, and remembers what is not to be seen as long as it runs.
struct HiddenOnly {
    inner: Arc<dyn Store>,
    hidden: Memory<HashSet<i64>>,
}

impl Spoil for HiddenOnly {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    fn remove(&self, number: i64) -> Answer<'_, ()> {
        self.hidden.get().insert(number);
        Box::pin(async { Ok(()) })
    }

    fn read(&self, stored: StoredMessage) -> Option<StoredMessage> {
        (!self.hidden.get().contains(&stored.number)).then_some(stored)
    }
}

/// Loses messages when the server starts. What tells which gets the number of the start, too.
fn recovering(
    parts: Parts,
    is_lost: impl Fn(u64, &StoredMessage) -> bool + Send + Sync + 'static,
) -> Parts {
    spoil(parts, |parts| Recovering {
        inner: Arc::clone(&parts.store),
        is_lost,
    })
}

struct Recovering<F> {
    inner: Arc<dyn Store>,
    is_lost: F,
}

impl<F: Fn(u64, &StoredMessage) -> bool + Send + Sync + 'static> Spoil for Recovering<F> {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    fn recover_sessions(&self, keep_held: bool) -> Answer<'_, ()> {
        Box::pin(async move {
            self.inner.recover_sessions(keep_held).await?;
            let starts = self.inner.reserve("starts", 1).await?;
            for stored in self.inner.messages(None).await? {
                if (self.is_lost)(starts, &stored) {
                    self.inner.remove(stored.number).await?;
                }
            }
            Ok(())
        })
    }
}

/// Remembers what was there when the server was started again.
struct HalfALife {
    inner: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    old: Memory<HashSet<i64>>,
}

impl Spoil for HalfALife {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    fn recover_sessions(&self, keep_held: bool) -> Answer<'_, ()> {
        Box::pin(async move {
            self.inner.recover_sessions(keep_held).await?;
            let there = self.inner.messages(None).await?;
            self.old
                .get()
                .extend(there.iter().map(|stored| stored.number));
            Ok(())
        })
    }

    fn read(&self, stored: StoredMessage) -> Option<StoredMessage> {
        let is_over = stored.message.mark.as_ref().is_some_and(|mark| {
            let half = i64::try_from(mark.seconds / 2).unwrap_or(i64::MAX);
            mark.at.plus_seconds(-half) < self.clock.now()
        });
        (!is_over || !self.old.get().contains(&stored.number)).then_some(stored)
    }
}

struct BareAtSecond {
    inner: Arc<dyn Store>,
    tried: Memory<HashSet<i64>>,
}

impl Spoil for BareAtSecond {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    fn next_message<'a>(
        &'a self,
        account: &'a str,
        after: i64,
    ) -> Answer<'a, Option<StoredMessage>> {
        Box::pin(async move {
            let next = self.inner.next_message(account, after).await?;
            Ok(next.map(|mut next| {
                if !self.tried.get().insert(next.number) {
                    next.message = pager(next.message, |request| {
                        rewrite::without(request, &["Subject", "Date", "Priority"])
                    });
                }
                next
            }))
        })
    }
}

struct TriedIsLost {
    inner: Arc<dyn Store>,
    tried: Memory<HashSet<i64>>,
}

/// A counter of which a number is taken when a message is tried first.
fn tries_of(number: i64) -> String {
    format!("tries of {number}")
}

impl Spoil for TriedIsLost {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    fn recover_sessions(&self, keep_held: bool) -> Answer<'_, ()> {
        Box::pin(async move {
            self.inner.recover_sessions(keep_held).await?;
            for stored in self.inner.messages(None).await? {
                // The first number of every counter is 1.
                if self.inner.reserve(&tries_of(stored.number), 1).await? > 1 {
                    self.inner.remove(stored.number).await?;
                }
            }
            Ok(())
        })
    }

    fn next_message<'a>(
        &'a self,
        account: &'a str,
        after: i64,
    ) -> Answer<'a, Option<StoredMessage>> {
        Box::pin(async move {
            let next = self.inner.next_message(account, after).await?;
            if let Some(next) = &next
                && self.tried.get().insert(next.number)
            {
                self.inner.reserve(&tries_of(next.number), 1).await?;
            }
            Ok(next)
        })
    }
}

struct FreshAgain {
    inner: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    /// What was over when the server started.
    fresh: Memory<HashSet<i64>>,
}

impl Spoil for FreshAgain {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    fn recover_sessions(&self, keep_held: bool) -> Answer<'_, ()> {
        Box::pin(async move {
            self.inner.recover_sessions(keep_held).await?;
            let over = due(&*self.inner, self.clock.now()).await?;
            let mut fresh = self.fresh.get();
            fresh.extend(over.iter().map(|stored| stored.number));
            Ok(())
        })
    }

    fn read(&self, mut stored: StoredMessage) -> Option<StoredMessage> {
        if self.fresh.get().contains(&stored.number) {
            stored.message.mark = None;
            stored.expired = false;
        }
        Some(stored)
    }

    fn expire(
        &self,
        until: Timestamp,
        handling: ExpiredHandling,
        mut except: Vec<i64>,
    ) -> Answer<'_, usize> {
        except.extend(self.fresh.get().iter());
        self.inner.expire(until, handling, except)
    }
}

struct Late(Arc<dyn Store>);

impl Spoil for Late {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.0
    }

    fn insert_session(
        &self,
        message: NewMessage,
        pieces: Vec<Piece>,
        held: bool,
        most: u64,
    ) -> Answer<'static, Inserted> {
        if matches!(message.form, Form::Session(_)) {
            return self.0.insert_session(message, pieces, held, most);
        }
        let inner = Arc::clone(&self.0);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(500)).await;
            // What is lost then is what this fault is about.
            let _ = inner.insert_session(message, pieces, held, most).await;
        });
        Box::pin(async { Ok(Inserted::Stored(NOWHERE)) })
    }
}

struct Shortened {
    inner: Arc<dyn Store>,
    /// The number of the last message that was there when the server started.
    old: Memory<i64>,
}

impl Spoil for Shortened {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    fn recover_sessions(&self, keep_held: bool) -> Answer<'_, ()> {
        Box::pin(async move {
            self.inner.recover_sessions(keep_held).await?;
            let last = self
                .inner
                .messages(None)
                .await?
                .last()
                .map(|stored| stored.number);
            *self.old.get() = last.unwrap_or(0);
            Ok(())
        })
    }

    fn read(&self, mut stored: StoredMessage) -> Option<StoredMessage> {
        if stored.number <= *self.old.get() {
            stored.message = pager(stored.message, |request| {
                rewrite::body(request, request.body().get(..100).unwrap_or(request.body()))
            });
        }
        Some(stored)
    }
}

/// Walks through an account in another order. Who walks names the last number that it was given, which
/// is not enough to tell where it is.
fn walked(
    all: Vec<StoredMessage>,
    account: &str,
    after: i64,
    given: &Memory<HashMap<String, HashSet<i64>>>,
) -> Option<StoredMessage> {
    let mut given = given.get();
    let of_account = given.entry(account.to_owned()).or_default();
    if after == 0 {
        of_account.clear();
    }
    let next = all
        .into_iter()
        .find(|stored| !of_account.contains(&stored.number))?;
    of_account.insert(next.number);
    Some(next)
}

struct Backwards {
    inner: Arc<dyn Store>,
    given: Memory<HashMap<String, HashSet<i64>>>,
}

impl Spoil for Backwards {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    fn next_message<'a>(
        &'a self,
        account: &'a str,
        after: i64,
    ) -> Answer<'a, Option<StoredMessage>> {
        Box::pin(async move {
            let mut all = self.inner.messages(Some(account.to_owned())).await?;
            all.reverse();
            Ok(walked(all, account, after, &self.given))
        })
    }
}

struct Shuffled {
    inner: Arc<dyn Store>,
    given: Memory<HashMap<String, HashSet<i64>>>,
}

impl Spoil for Shuffled {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    fn next_message<'a>(
        &'a self,
        account: &'a str,
        after: i64,
    ) -> Answer<'a, Option<StoredMessage>> {
        Box::pin(async move {
            let mut all = self.inner.messages(Some(account.to_owned())).await?;
            // Now from the one end, now from the other.
            let given = self.given.get().get(account).map_or(0, HashSet::len);
            if given.is_multiple_of(2) {
                all.reverse();
            }
            Ok(walked(all, account, after, &self.given))
        })
    }
}

struct Three {
    inner: Arc<dyn Store>,
    given: Memory<HashMap<String, HashSet<i64>>>,
}

impl Spoil for Three {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    fn next_message<'a>(
        &'a self,
        account: &'a str,
        after: i64,
    ) -> Answer<'a, Option<StoredMessage>> {
        Box::pin(async move {
            let next = self.inner.next_message(account, after).await?;
            let mut given = self.given.get();
            let of_account = given.entry(account.to_owned()).or_default();
            Ok(next.filter(|next| {
                of_account.len() < 3 && of_account.insert(next.number)
                    || of_account.contains(&next.number)
            }))
        })
    }
}

struct FewTries {
    inner: Arc<dyn Store>,
    most: u32,
    tried: Memory<HashMap<i64, u32>>,
}

impl Spoil for FewTries {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    fn next_message<'a>(
        &'a self,
        account: &'a str,
        mut after: i64,
    ) -> Answer<'a, Option<StoredMessage>> {
        Box::pin(async move {
            loop {
                let Some(next) = self.inner.next_message(account, after).await? else {
                    return Ok(None);
                };
                let may = {
                    let mut tried = self.tried.get();
                    let times = tried.entry(next.number).or_default();
                    *times += 1;
                    *times <= self.most
                };
                if may {
                    return Ok(Some(next));
                }
                after = next.number;
                self.inner.remove(next.number).await?;
            }
        })
    }
}

struct RenamedByTry {
    inner: Arc<dyn Store>,
    tries: Memory<HashMap<i64, u32>>,
}

impl Spoil for RenamedByTry {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    fn next_message<'a>(
        &'a self,
        account: &'a str,
        after: i64,
    ) -> Answer<'a, Option<StoredMessage>> {
        Box::pin(async move {
            let next = self.inner.next_message(account, after).await?;
            if let Some(next) = &next {
                *self.tries.get().entry(next.number).or_default() += 1;
            }
            Ok(next)
        })
    }

    fn read(&self, mut stored: StoredMessage) -> Option<StoredMessage> {
        if let Some(tries) = self.tries.get().get(&stored.number) {
            let id = &mut stored.message.message_id;
            *id = format!("{tries}{id}");
        }
        Some(stored)
    }
}

struct Stale {
    inner: Arc<dyn Store>,
    known: Memory<HashMap<String, Vec<Binding>>>,
}

impl Spoil for Stale {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    fn set_bindings<'a>(&'a self, account: &'a str, bindings: Vec<Binding>) -> Answer<'a, ()> {
        {
            let mut known = self.known.get();
            let of_account = known.entry(account.to_owned()).or_default();
            for binding in &bindings {
                of_account.retain(|old| old.contact != binding.contact);
                of_account.push(Binding {
                    expires_at: binding.expires_at.plus_seconds(10 * 365 * 86_400),
                    ..binding.clone()
                });
            }
        }
        self.inner.set_bindings(account, bindings)
    }

    fn bindings<'a>(&'a self, account: &'a str) -> Answer<'a, Vec<Binding>> {
        let known = self.known.get().get(account).cloned();
        match known {
            Some(known) => Box::pin(async { Ok(known) }),
            None => self.inner.bindings(account),
        }
    }
}

struct ExpiresOne {
    inner: Arc<dyn Store>,
    /// Accounts that have had theirs.
    done: Memory<HashSet<String>>,
}

impl Spoil for ExpiresOne {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    fn expire(
        &self,
        until: Timestamp,
        handling: ExpiredHandling,
        except: Vec<i64>,
    ) -> Answer<'_, usize> {
        if handling != ExpiredHandling::Delete {
            return self.inner.expire(until, handling, except);
        }
        Box::pin(async move {
            for stored in due(&*self.inner, until).await? {
                if self.done.get().insert(stored.message.account) {
                    self.inner.remove(stored.number).await?;
                }
            }
            Ok(0)
        })
    }
}

/// The messages that expire up to an instant.
async fn due(store: &dyn Store, until: Timestamp) -> Result<Vec<StoredMessage>, StoreError> {
    let mut all = store.messages(None).await?;
    all.retain(|stored| {
        stored
            .message
            .mark
            .as_ref()
            .is_some_and(|mark| mark.at <= until)
    });
    Ok(all)
}

struct ExpiresAccount(Arc<dyn Store>);

impl Spoil for ExpiresAccount {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.0
    }

    fn expire(
        &self,
        until: Timestamp,
        handling: ExpiredHandling,
        except: Vec<i64>,
    ) -> Answer<'_, usize> {
        if handling != ExpiredHandling::Delete {
            return self.0.expire(until, handling, except);
        }
        Box::pin(async move {
            for expired in due(&*self.0, until).await? {
                for stored in self.0.messages(Some(expired.message.account)).await? {
                    self.0.remove(stored.number).await?;
                }
            }
            Ok(0)
        })
    }
}

struct Withheld<F> {
    inner: Arc<dyn Store>,
    is_withheld: F,
}

impl<F: Fn(&StoredMessage) -> bool + Send + Sync + 'static> Spoil for Withheld<F> {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    fn next_message<'a>(
        &'a self,
        account: &'a str,
        mut after: i64,
    ) -> Answer<'a, Option<StoredMessage>> {
        Box::pin(async move {
            while let Some(next) = self.inner.next_message(account, after).await? {
                if !(self.is_withheld)(&next) {
                    return Ok(Some(next));
                }
                after = next.number;
            }
            Ok(None)
        })
    }
}

/// Thirty days, in seconds.
const MONTH: i64 = 30 * 86_400;

struct Hidden(Arc<dyn Store>);

impl Spoil for Hidden {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.0
    }

    fn expire(
        &self,
        until: Timestamp,
        handling: ExpiredHandling,
        except: Vec<i64>,
    ) -> Answer<'_, usize> {
        Box::pin(async move {
            for stored in self.0.messages(None).await? {
                let message = &stored.message;
                if message.mark.is_none() && message.received_at.plus_seconds(MONTH) <= until {
                    self.0.remove(stored.number).await?;
                }
            }
            self.0.expire(until, handling, except).await
        })
    }
}

struct Remarked<F> {
    inner: Arc<dyn Store>,
    is_late: F,
}

impl<F: Fn(&StoredMessage) -> bool + Send + Sync + 'static> Spoil for Remarked<F> {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    fn next_message<'a>(
        &'a self,
        account: &'a str,
        after: i64,
    ) -> Answer<'a, Option<StoredMessage>> {
        Box::pin(async move {
            let next = self.inner.next_message(account, after).await?;
            Ok(next.map(|mut next| {
                if (self.is_late)(&next) {
                    next.message = pager(next.message, |request| {
                        rewrite::body(request, &[b"(late) ", request.body()].concat())
                    });
                }
                next
            }))
        })
    }
}

/// Delivers nothing of an account from a message on that has expired and is held.
pub(crate) fn held_in_the_way(parts: Parts) -> Parts {
    let (expiration, clock) = (Arc::clone(&parts.expiration), Arc::clone(&parts.clock));
    spoil(parts, |parts| InTheWay {
        inner: Arc::clone(&parts.store),
        is_held: move |stored: &StoredMessage| {
            let at = stored.message.mark.as_ref().map(|mark| mark.at);
            expiration.handling() == ExpiredHandling::Hold
                && expiration.has_expired(at, clock.now())
        },
    })
}

struct InTheWay<F> {
    inner: Arc<dyn Store>,
    is_held: F,
}

impl<F: Fn(&StoredMessage) -> bool + Send + Sync + 'static> Spoil for InTheWay<F> {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    fn next_message<'a>(
        &'a self,
        account: &'a str,
        after: i64,
    ) -> Answer<'a, Option<StoredMessage>> {
        Box::pin(async move {
            let next = self.inner.next_message(account, after).await?;
            Ok(next.filter(|next| !(self.is_held)(next)))
        })
    }
}

struct Blocked(Arc<dyn Store>);

impl Spoil for Blocked {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.0
    }

    fn next_message<'a>(
        &'a self,
        account: &'a str,
        after: i64,
    ) -> Answer<'a, Option<StoredMessage>> {
        Box::pin(async move {
            let first = self.0.next_message(account, 0).await?;
            // Whatever was brought is gone; what is left and was passed over was not taken.
            Ok(first.filter(|first| first.number > after))
        })
    }
}
