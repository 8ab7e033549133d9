//! What the end of a session, or that it has none yet, does to its messages.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use imspec_reference_server::clock::{Clock, Timestamp};
use imspec_reference_server::policy::ExpiredHandling;
use imspec_reference_server::store::{
    Answer, Form, Inserted, NewMessage, Part, Piece, Store, StoredMessage,
};

use super::{Memory, NOWHERE, Spoil, id, reading, spoil};
use crate::fault::{Fault, Need};

pub(crate) const FAULTS: &[Fault] = &[
    Fault::new(
        "kept-without-bye",
        "F-260",
        &["DM-STORE-20"],
        "Messages of sessions without BYE are kept, though they are to be dropped.",
    )
    .under("lm.no_bye: drop")
    .seed(|parts| {
        spoil(parts, |parts| Kept {
            inner: Arc::clone(&parts.store),
            held: Arc::default(),
        })
    }),
    Fault::new(
        "a-record-for-each-message",
        "F-261",
        &["DM-STORE-18"],
        "Each message of a session has a record of its own, though one for the session is declared.",
    )
    .needs(&[Need::Store, Need::Policy])
    .under("lm.multi: one-per-session")
    .seed(|parts| {
        spoil(parts, |parts| Apart {
            inner: Arc::clone(&parts.store),
            begun: Arc::default(),
        })
    }),
    Fault::new(
        "open-session-is-lost",
        "F-262",
        &["DM-DRV-01", "DM-STORE-20"],
        "A message whose session still stands when its recipient returns is lost.",
    )
    .seed(|parts| spoil(parts, |parts| LostWhileOpen(Arc::clone(&parts.store)))),
    Fault::new(
        "last-octets-come-with-bye",
        "F-263",
        &["DM-STORE-20"],
        "Of a message whose session has not ended by BYE the last eight octets are missing.",
    )
    .seed(|parts| {
        reading(parts, |mut stored| {
            if let Form::Session(record) = &mut stored.message.form
                && record.bye.is_none()
                && let Some(part) = record.parts.last_mut()
            {
                part.octets = part.octets.saturating_sub(8).max(1);
            }
            Some(stored)
        })
    }),
    Fault::new(
        "delivered-session-comes-back",
        "F-264",
        &["DM-DEF-04", "DM-DRV-03"],
        "When the time of a session's message is over that was delivered, it waits once more.",
    )
    .needs(&[Need::Wire, Need::Clock])
    .seed(|parts| {
        spoil(parts, |parts| ComesBack {
            inner: Arc::clone(&parts.store),
            clock: Arc::clone(&parts.clock),
            ends: Memory::default(),
            hidden: Memory::default(),
        })
    }),
    Fault::new(
        "no-sessions-after-restart",
        "F-265",
        &["DM-STORE-10", "DM-DRV-01"],
        "After a restart what comes by sessions is acknowledged and lost.",
    )
    .needs(&[Need::Wire, Need::Restart])
    .seed(|parts| {
        spoil(parts, |parts| AfterRestart {
            inner: Arc::clone(&parts.store),
            is_restarted: AtomicBool::new(false),
        })
    }),
];

struct Kept {
    inner: Arc<dyn Store>,
    held: Arc<Memory<HashSet<i64>>>,
}

impl Spoil for Kept {
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
        let numbers = Arc::clone(&self.held);
        let inserting = self.inner.insert_session(message, pieces, held, most);
        Box::pin(async move {
            let inserted = inserting.await?;
            if let (true, Inserted::Stored(number)) = (held, inserted) {
                numbers.get().insert(number);
            }
            Ok(inserted)
        })
    }

    fn remove(&self, number: i64) -> Answer<'_, ()> {
        if self.held.get().remove(&number) {
            return self.inner.release(number, None);
        }
        self.inner.remove(number)
    }

    fn release(
        &self,
        number: i64,
        mark: Option<imspec_reference_server::policy::Mark>,
    ) -> Answer<'_, ()> {
        self.held.get().remove(&number);
        self.inner.release(number, mark)
    }
}

struct Apart {
    inner: Arc<dyn Store>,
    begun: Arc<Memory<HashMap<i64, NewMessage>>>,
}

impl Spoil for Apart {
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
        let begun = Arc::clone(&self.begun);
        let copy = message.clone();
        let inserting = self.inner.insert_session(message, pieces, held, most);
        Box::pin(async move {
            let inserted = inserting.await?;
            if let (Form::Session(_), Inserted::Stored(number)) = (&copy.form, inserted) {
                begun.get().insert(number, copy);
            }
            Ok(inserted)
        })
    }

    fn append(
        &self,
        number: i64,
        part: Part,
        pieces: Vec<Piece>,
        received_at: Timestamp,
    ) -> Answer<'static, Inserted> {
        let begun = self.begun.get().get(&number).cloned();
        let Some(mut message) = begun else {
            return self.inner.append(number, part, pieces, received_at);
        };
        if let Form::Session(record) = &mut message.form {
            record.parts = vec![part];
        }
        message.message_id = format!("{:032x}@{}", fastrand::u128(..), id::HOST);
        message.received_at = received_at;
        self.inner.insert_session(message, pieces, false, u64::MAX)
    }
}

struct LostWhileOpen(Arc<dyn Store>);

impl Spoil for LostWhileOpen {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.0
    }

    fn next_message<'a>(
        &'a self,
        account: &'a str,
        after: i64,
    ) -> Answer<'a, Option<StoredMessage>> {
        Box::pin(async move {
            while let Some(stored) = self.0.next_message(account, after).await? {
                let is_open =
                    matches!(&stored.message.form, Form::Session(record) if record.bye.is_none());
                if !is_open {
                    return Ok(Some(stored));
                }
                self.0.remove(stored.number).await?;
            }
            Ok(None)
        })
    }
}

/// Hides what was delivered until its time is over.
struct ComesBack {
    inner: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    /// When the time of each session's message ends.
    ends: Memory<HashMap<i64, Timestamp>>,
    hidden: Memory<HashMap<i64, Timestamp>>,
}

impl Spoil for ComesBack {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    fn read(&self, mut stored: StoredMessage) -> Option<StoredMessage> {
        if let Some(ends) = self.hidden.get().get(&stored.number) {
            stored.message.mark = None;
            stored.expired = false;
            return (self.clock.now() >= *ends).then_some(stored);
        }
        if let (Form::Session(_), Some(mark)) = (&stored.message.form, &stored.message.mark) {
            self.ends.get().insert(stored.number, mark.at);
        }
        Some(stored)
    }

    fn remove(&self, number: i64) -> Answer<'_, ()> {
        let ends = self.ends.get().remove(&number);
        if let Some(ends) = ends.filter(|ends| *ends > self.clock.now()) {
            self.hidden.get().insert(number, ends);
            return Box::pin(async { Ok(()) });
        }
        self.hidden.get().remove(&number);
        self.inner.remove(number)
    }

    fn expire(
        &self,
        until: Timestamp,
        handling: ExpiredHandling,
        mut except: Vec<i64>,
    ) -> Answer<'_, usize> {
        except.extend(self.hidden.get().keys());
        self.inner.expire(until, handling, except)
    }
}

struct AfterRestart {
    inner: Arc<dyn Store>,
    is_restarted: AtomicBool,
}

impl Spoil for AfterRestart {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    fn recover_sessions(&self, keep_held: bool) -> Answer<'_, ()> {
        Box::pin(async move {
            // A store that was never used has no accounts.
            let is_used = !self.inner.accounts().await?.is_empty();
            self.is_restarted.store(is_used, Ordering::SeqCst);
            self.inner.recover_sessions(keep_held).await
        })
    }

    fn insert_session(
        &self,
        message: NewMessage,
        pieces: Vec<Piece>,
        held: bool,
        most: u64,
    ) -> Answer<'static, Inserted> {
        if matches!(message.form, Form::Session(_)) && self.is_restarted.load(Ordering::SeqCst) {
            return Box::pin(async { Ok(Inserted::Stored(NOWHERE)) });
        }
        self.inner.insert_session(message, pieces, held, most)
    }
}
