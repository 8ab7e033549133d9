//! The border of the store: what is written is not what came, what is read is not what was written, and
//! what should stay or go does not.
//!
//! A fault implements [`Spoil`], in which everything passes on what it gets, for the one thing that it
//! does otherwise; [`Spoiled`] makes a store of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use imspec_reference_server::Parts;
use imspec_reference_server::clock::Timestamp;
use imspec_reference_server::policy::{ExpiredHandling, Mark};
use imspec_reference_server::store::{
    Answer, Binding, Form, Inserted, NewMessage, Part, Piece, SessionRecord, Store, StoredMessage,
};
use imspec_wire::sip::Message;

use crate::rewrite;

pub(crate) mod account;
pub(crate) mod body;
pub(crate) mod ending;
pub(crate) mod head;
pub(crate) mod id;
pub(crate) mod keeping;
pub(crate) mod mark;
pub(crate) mod presence;
pub(crate) mod session;

/// What is written under [`Spoil`] and [`Spoiled`] alike: the methods of a store that hand on as they are.
macro_rules! passed_on {
    ($(fn $name:ident $(<$l:lifetime>)? (& $($s:lifetime)? self $(, $arg:ident: $ty:ty)*) -> $out:ty;)*) => {
        /// A store that does one thing otherwise.
        pub(crate) trait Spoil: Send + Sync + 'static {
            /// The store that does it right.
            fn inner(&self) -> &Arc<dyn Store>;

            /// What is made of a record that is read; `None` for one that is not seen.
            fn read(&self, stored: StoredMessage) -> Option<StoredMessage> {
                Some(stored)
            }

            /// As [`Store::messages`].
            fn messages(&self, account: Option<String>) -> Answer<'_, Vec<StoredMessage>> {
                Box::pin(async move {
                    let all = self.inner().messages(account).await?;
                    Ok(all.into_iter().filter_map(|stored| self.read(stored)).collect())
                })
            }

            /// As [`Store::next_message`].
            fn next_message<'a>(
                &'a self,
                account: &'a str,
                mut after: i64,
            ) -> Answer<'a, Option<StoredMessage>> {
                Box::pin(async move {
                    while let Some(stored) = self.inner().next_message(account, after).await? {
                        after = stored.number;
                        if let Some(read) = self.read(stored) {
                            return Ok(Some(read));
                        }
                    }
                    Ok(None)
                })
            }

            $(#[doc = "As in [`Store`]."]
            fn $name $(<$l>)? (& $($s)? self $(, $arg: $ty)*) -> $out {
                self.inner().$name($($arg),*)
            })*
        }

        impl<S: Spoil> Store for Spoiled<S> {
            fn messages(&self, account: Option<String>) -> Answer<'_, Vec<StoredMessage>> {
                self.0.messages(account)
            }

            fn next_message<'a>(
                &'a self,
                account: &'a str,
                after: i64,
            ) -> Answer<'a, Option<StoredMessage>> {
                self.0.next_message(account, after)
            }

            $(fn $name $(<$l>)? (& $($s)? self $(, $arg: $ty)*) -> $out {
                self.0.$name($($arg),*)
            })*
        }
    };
}

passed_on! {
    fn accounts(&self) -> Answer<'_, Vec<String>>;
    fn has_account<'a>(&'a self, account: &'a str) -> Answer<'a, bool>;
    fn change_accounts(&self, add: Vec<String>, remove: Vec<String>) -> Answer<'_, usize>;
    fn password<'a>(&'a self, account: &'a str) -> Answer<'a, Option<String>>;
    fn set_passwords(&self, passwords: Vec<(String, String)>) -> Answer<'_, ()>;
    fn bindings<'a>(&'a self, account: &'a str) -> Answer<'a, Vec<Binding>>;
    fn set_bindings<'a>(&'a self, account: &'a str, bindings: Vec<Binding>) -> Answer<'a, ()>;
    fn remove_lapsed(&self, now: Timestamp) -> Answer<'_, ()>;
    fn insert_session(
        &self, message: NewMessage, pieces: Vec<Piece>, held: bool, most: u64
    ) -> Answer<'static, Inserted>;
    fn append(
        &self, number: i64, part: Part, pieces: Vec<Piece>, received_at: Timestamp
    ) -> Answer<'static, Inserted>;
    fn add_bye(&self, numbers: Vec<i64>, bye: Bytes) -> Answer<'_, ()>;
    fn release(&self, number: i64, mark: Option<Mark>) -> Answer<'_, ()>;
    fn recover_sessions(&self, keep_held: bool) -> Answer<'_, ()>;
    fn new_content(&self) -> i64;
    fn write_content(&self, piece: Piece) -> Answer<'static, ()>;
    fn drop_content(&self, content: i64) -> Answer<'_, ()>;
    fn read_content(&self, content: i64, at: u64, most: usize) -> Answer<'_, Bytes>;
    fn count<'a>(&'a self, account: &'a str) -> Answer<'a, u64>;
    fn remove(&self, number: i64) -> Answer<'_, ()>;
    fn deliverable(&self, now: Timestamp) -> Answer<'_, Vec<String>>;
    fn next_expiry(&self, after: Timestamp) -> Answer<'_, Option<Timestamp>>;
    fn expire(
        &self, until: Timestamp, handling: ExpiredHandling, except: Vec<i64>
    ) -> Answer<'_, usize>;
    fn reserve<'a>(&'a self, counter: &'a str, count: u64) -> Answer<'a, u64>;
    fn account_number<'a>(&'a self, account: &'a str) -> Answer<'a, Option<u64>>;
    fn settings(&self) -> Answer<'_, BTreeMap<String, serde_json::Value>>;
    fn save_settings(&self, settings: BTreeMap<String, serde_json::Value>) -> Answer<'_, ()>;
    fn close(&self) -> Answer<'_, ()>;
}

/// The store of a fault.
pub(crate) struct Spoiled<S>(pub(crate) S);

/// Puts a fault around the store.
pub(crate) fn spoil<S: Spoil>(parts: Parts, fault: impl FnOnce(&Parts) -> S) -> Parts {
    let store = Arc::new(Spoiled(fault(&parts)));
    Parts { store, ..parts }
}

/// A number that a message gets which is never there.
pub(crate) const NOWHERE: i64 = i64::MAX;

/// Changes records on their way into the store, and drops those of which nothing is left.
struct Writing<F> {
    inner: Arc<dyn Store>,
    change: F,
}

impl<F: Fn(NewMessage) -> Option<NewMessage> + Send + Sync + 'static> Spoil for Writing<F> {
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
        match (self.change)(message) {
            Some(changed) => self.inner.insert_session(changed, pieces, held, most),
            None => Box::pin(async { Ok(Inserted::Stored(NOWHERE)) }),
        }
    }
}

/// Stores something else than what came, or nothing while saying that it did.
pub(crate) fn writing(
    parts: Parts,
    change: impl Fn(NewMessage) -> Option<NewMessage> + Send + Sync + 'static,
) -> Parts {
    spoil(parts, |parts| Writing {
        inner: Arc::clone(&parts.store),
        change,
    })
}

/// Changes records when they are read.
struct Reading<F> {
    inner: Arc<dyn Store>,
    change: F,
}

impl<F: Fn(StoredMessage) -> Option<StoredMessage> + Send + Sync + 'static> Spoil for Reading<F> {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    fn read(&self, stored: StoredMessage) -> Option<StoredMessage> {
        (self.change)(stored)
    }
}

/// Shows something else than what was stored.
pub(crate) fn reading(
    parts: Parts,
    change: impl Fn(StoredMessage) -> Option<StoredMessage> + Send + Sync + 'static,
) -> Parts {
    spoil(parts, |parts| Reading {
        inner: Arc::clone(&parts.store),
        change,
    })
}

/// Stores other MESSAGEs than those that came.
pub(crate) fn requests(
    parts: Parts,
    change: impl Fn(&Message) -> Bytes + Send + Sync + 'static,
) -> Parts {
    writing(parts, move |message| Some(pager(message, &change)))
}

/// The record with its MESSAGE changed, where it is one.
pub(crate) fn pager(mut message: NewMessage, change: impl FnOnce(&Message) -> Bytes) -> NewMessage {
    if let Form::Pager(request) = &mut message.form {
        *request = rewrite::message(request, change);
    }
    message
}

/// Stores other records of sessions than those that came.
pub(crate) fn sessions(
    parts: Parts,
    change: impl Fn(&mut SessionRecord) + Send + Sync + 'static,
) -> Parts {
    writing(parts, move |mut message| {
        if let Form::Session(record) = &mut message.form {
            change(record);
        }
        Some(message)
    })
}

/// Stores other INVITEs of sessions than those that came.
pub(crate) fn invites(
    parts: Parts,
    change: impl Fn(&Message) -> Bytes + Send + Sync + 'static,
) -> Parts {
    sessions(parts, move |record| {
        record.invite = rewrite::message(&record.invite, &change);
    })
}

/// What the sender's side wrote: the MESSAGE, or the INVITE.
pub(crate) fn request_of(message: &NewMessage) -> Option<Message> {
    message.parse().ok()
}

/// What a fault keeps in mind.
#[derive(Debug, Default)]
pub(crate) struct Memory<T>(Mutex<T>);

impl<T> Memory<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub(crate) fn get(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
