//! The border of Message-IDs: IDs that do not depend on the message.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use imspec_reference_server::Parts;
use imspec_reference_server::clock::Clock;
use imspec_reference_server::message_id::MessageIds;
use imspec_reference_server::store::{Answer, Store};

use crate::fault::{Fault, Need};
use crate::store::Memory;
use crate::store::id::{HOST, named};

pub(crate) const FAULTS: &[Fault] = &[
    Fault::new(
        "id-per-account",
        "M-057",
        &["DM-MID-02"],
        "Each account has a counter of its own, and all have one host, so that IDs repeat.",
    )
    .stored()
    .seed(|parts| ids(parts, |_| PerAccount::default())),
    Fault::new(
        "id-again-after-restart",
        "M-058",
        &["DM-MID-02"],
        "A restart begins the counter of Message-IDs anew.",
    )
    .needs(&[Need::Store, Need::Restart])
    .seed(|parts| ids(parts, |_| Counter::default())),
    Fault::new(
        "id-again-after-delivery",
        "M-059",
        &["DM-MID-02"],
        "The Message-ID of a message that is gone is given again.",
    )
    .stored()
    .seed(|parts| {
        // What is asked must be the store that shows IDs as they are meant.
        let parts = named(parts, |_| None);
        ids(parts, |parts| LowestFree(Arc::clone(&parts.store)))
    }),
    Fault::new(
        "id-of-second",
        "M-061",
        &["DM-MID-02"],
        "The Message-ID is the current second.",
    )
    .stored()
    .seed(|parts| ids(parts, |parts| Second(Arc::clone(&parts.clock)))),
    Fault::new(
        "id-without-host",
        "M-065",
        &["DM-MID-03", "DM-MID-04"],
        "A Message-ID has no host.",
    )
    .stored()
    .seed(|parts| {
        changed(parts, |id| {
            id.split('@').next().unwrap_or_default().to_owned()
        })
    }),
    Fault::new(
        "id-with-space",
        "M-067",
        &["DM-MID-03"],
        "A Message-ID has white space around its parts, as the draft prints it.",
    )
    .stored()
    .seed(|parts| {
        changed(parts, |id| {
            format!("sip: Message-ID= {}", id.replace('@', " @ "))
        })
    }),
    Fault::new(
        "id-with-two-ats",
        "F-090",
        &["DM-MID-03"],
        "A Message-ID has an @ in its string.",
    )
    .stored()
    .seed(|parts| changed(parts, |id| format!("im@{id}"))),
    Fault::new(
        "id-in-angles",
        "F-091",
        &["DM-MID-06", "DM-MID-03"],
        "A Message-ID stands in angle brackets, though a bare one is declared.",
    )
    .stored()
    .under("mid.form: bare")
    .seed(|parts| changed(parts, |id| format!("<{id}>"))),
    Fault::new(
        "id-as-uri",
        "F-092",
        &["DM-MID-06", "DM-MID-03"],
        "A Message-ID is a sip: URI, though a bare one is declared.",
    )
    .stored()
    .under("mid.form: bare")
    .seed(|parts| changed(parts, |id| format!("sip:{id}"))),
    Fault::new(
        "id-of-localhost",
        "F-093",
        &["DM-MID-04", "DM-MID-08"],
        "The host of a Message-ID is localhost.",
    )
    .stored()
    .seed(|parts| {
        changed(parts, |id| {
            format!("{}@localhost", id.split('@').next().unwrap_or_default())
        })
    }),
    Fault::new(
        "empty-id",
        "F-094",
        &["DM-MID-01", "DM-MID-02", "DM-MID-03"],
        "Messages get an empty Message-ID.",
    )
    .stored()
    .seed(|parts| changed(parts, |_| String::new())),
    Fault::new(
        "id-of-sixteen",
        "F-095",
        &["DM-MID-02"],
        "The counter of Message-IDs wraps after sixteen.",
    )
    .stored()
    .seed(|parts| ids(parts, |_| Wrapping::default())),
    Fault::new(
        "id-of-account",
        "F-096",
        &["DM-MID-07", "DM-MID-02"],
        "Every message of an account has the same Message-ID.",
    )
    .stored()
    .seed(|parts| ids(parts, |_| OfAccount)),
    Fault::new(
        "id-in-pairs",
        "F-097",
        &["DM-MID-07", "DM-MID-02"],
        "Every second Message-ID is that of the message before.",
    )
    .stored()
    .seed(|parts| ids(parts, |_| Pairs::default())),
];

/// Puts other Message-IDs in the place of the server's, which may repeat.
fn ids<I: MessageIds>(parts: Parts, make: impl FnOnce(&Parts) -> I) -> Parts {
    let ids = Arc::new(make(&parts));
    named(Parts { ids, ..parts }, |message| {
        Some(message.message_id.clone())
    })
}

fn changed(parts: Parts, change: fn(String) -> String) -> Parts {
    ids(parts, |parts| Changed {
        inner: Arc::clone(&parts.ids),
        change,
    })
}

struct Changed {
    inner: Arc<dyn MessageIds>,
    change: fn(String) -> String,
}

impl MessageIds for Changed {
    fn next<'a>(&'a self, account: &'a str) -> Answer<'a, String> {
        Box::pin(async move { self.inner.next(account).await.map(self.change) })
    }
}

fn id(number: u64) -> Answer<'static, String> {
    Box::pin(async move { Ok(format!("{number}@{HOST}")) })
}

#[derive(Default)]
struct PerAccount(Memory<HashMap<String, u64>>);

impl MessageIds for PerAccount {
    fn next<'a>(&'a self, account: &'a str) -> Answer<'a, String> {
        let mut counters = self.0.get();
        let counter = counters.entry(account.to_owned()).or_default();
        *counter += 1;
        id(*counter)
    }
}

#[derive(Default)]
struct Counter(AtomicU64);

impl MessageIds for Counter {
    fn next<'a>(&'a self, _account: &'a str) -> Answer<'a, String> {
        id(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

#[derive(Default)]
struct Wrapping(AtomicU64);

impl MessageIds for Wrapping {
    fn next<'a>(&'a self, _account: &'a str) -> Answer<'a, String> {
        id(self.0.fetch_add(1, Ordering::Relaxed) % 16)
    }
}

#[derive(Default)]
struct Pairs(Memory<HashMap<String, (u64, u64)>>);

impl MessageIds for Pairs {
    fn next<'a>(&'a self, account: &'a str) -> Answer<'a, String> {
        let mut given = self.0.get();
        let (count, last) = given.entry(account.to_owned()).or_default();
        if *count % 2 == 0 {
            *last = fastrand::u64(..);
        }
        *count += 1;
        id(*last)
    }
}

struct OfAccount;

impl MessageIds for OfAccount {
    fn next<'a>(&'a self, account: &'a str) -> Answer<'a, String> {
        id(crate::rewrite::digest(account.as_bytes()))
    }
}

struct Second(Arc<dyn Clock>);

impl MessageIds for Second {
    fn next<'a>(&'a self, _account: &'a str) -> Answer<'a, String> {
        id(u64::try_from(self.0.now().seconds()).unwrap_or(0))
    }
}

struct LowestFree(Arc<dyn Store>);

impl MessageIds for LowestFree {
    fn next<'a>(&'a self, account: &'a str) -> Answer<'a, String> {
        Box::pin(async move {
            let owner = self.0.account_number(account).await?.unwrap_or(0);
            let all = self.0.messages(Some(account.to_owned())).await?;
            let mut number = 1;
            let name = |number: u64| format!("{owner}.{number}@{HOST}");
            while all
                .iter()
                .any(|stored| stored.message.message_id == name(number))
            {
                number += 1;
            }
            Ok(name(number))
        })
    }
}
