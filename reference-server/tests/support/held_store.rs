//! A store that can be made to wait before it counts: a place to stand still between an INVITE and its
//! answer. It passes everything else on, as a wrapper of any kind would.

#![allow(dead_code, unreachable_pub, reason = "test support")]

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use imspec_reference_server::clock::Timestamp;
use imspec_reference_server::policy::{ExpiredHandling, Mark};
use imspec_reference_server::store::{
    Answer, Binding, Inserted, NewMessage, Part, Piece, Store, StoredMessage,
};
use serde_json::Value;
use tokio::sync::Notify;

pub struct HeldStore {
    pub inner: Arc<dyn Store>,
    pub asked: Arc<Notify>,
    pub go_on: Arc<Notify>,
}

macro_rules! pass_on {
    ($($name:ident($($arg:ident: $type:ty),*) -> $answer:ty;)*) => {
        $(fn $name(&self, $($arg: $type),*) -> $answer { self.inner.$name($($arg),*) })*
    };
}

impl Store for HeldStore {
    fn count<'a>(&'a self, account: &'a str) -> Answer<'a, u64> {
        Box::pin(async move {
            self.asked.notify_one();
            self.go_on.notified().await;
            self.inner.count(account).await
        })
    }

    fn has_account<'a>(&'a self, account: &'a str) -> Answer<'a, bool> {
        self.inner.has_account(account)
    }

    fn password<'a>(&'a self, account: &'a str) -> Answer<'a, Option<String>> {
        self.inner.password(account)
    }

    fn bindings<'a>(&'a self, account: &'a str) -> Answer<'a, Vec<Binding>> {
        self.inner.bindings(account)
    }

    fn set_bindings<'a>(&'a self, account: &'a str, bindings: Vec<Binding>) -> Answer<'a, ()> {
        self.inner.set_bindings(account, bindings)
    }

    fn next_message<'a>(
        &'a self,
        account: &'a str,
        after: i64,
    ) -> Answer<'a, Option<StoredMessage>> {
        self.inner.next_message(account, after)
    }

    fn reserve<'a>(&'a self, counter: &'a str, count: u64) -> Answer<'a, u64> {
        self.inner.reserve(counter, count)
    }

    fn account_number<'a>(&'a self, account: &'a str) -> Answer<'a, Option<u64>> {
        self.inner.account_number(account)
    }

    pass_on! {
        accounts() -> Answer<'_, Vec<String>>;
        change_accounts(add: Vec<String>, remove: Vec<String>) -> Answer<'_, usize>;
        set_passwords(passwords: Vec<(String, String)>) -> Answer<'_, ()>;
        remove_lapsed(now: Timestamp) -> Answer<'_, ()>;
        insert_session(message: NewMessage, pieces: Vec<Piece>, held: bool, most: u64)
            -> Answer<'static, Inserted>;
        append(number: i64, part: Part, pieces: Vec<Piece>, received_at: Timestamp)
            -> Answer<'static, Inserted>;
        add_bye(numbers: Vec<i64>, bye: Bytes) -> Answer<'_, ()>;
        release(number: i64, mark: Option<Mark>) -> Answer<'_, ()>;
        recover_sessions(keep_held: bool) -> Answer<'_, ()>;
        new_content() -> i64;
        write_content(piece: Piece) -> Answer<'static, ()>;
        drop_content(content: i64) -> Answer<'_, ()>;
        read_content(content: i64, at: u64, most: usize) -> Answer<'_, Bytes>;
        messages(account: Option<String>) -> Answer<'_, Vec<StoredMessage>>;
        remove(number: i64) -> Answer<'_, ()>;
        deliverable(now: Timestamp) -> Answer<'_, Vec<String>>;
        next_expiry(after: Timestamp) -> Answer<'_, Option<Timestamp>>;
        expire(until: Timestamp, handling: ExpiredHandling, except: Vec<i64>) -> Answer<'_, usize>;
        settings() -> Answer<'_, BTreeMap<String, Value>>;
        save_settings(settings: BTreeMap<String, Value>) -> Answer<'_, ()>;
        close() -> Answer<'_, ()>;
    }
}
