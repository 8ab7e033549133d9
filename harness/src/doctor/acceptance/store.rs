//! What a run relies on in a store adapter.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use imspec_reports::record::{Field, Mode, State, StoredMessage, UtcTime};
use tokio::time::Instant;

use super::super::adapters::{SLACK, says};
use super::super::visit::{self, Visit};
use super::super::{Complaint, Doctor, advice};
use super::unique;
use crate::scenario::CaseUser;
use crate::scenario::model::UserState;
use crate::sut::clock::{micros, signed};
use crate::sut::profile::StoreAdapter;
use crate::sut::store::{Account, Store};
use crate::sut::{Instance, Profile};

/// Reads at once, as cases do.
const AT_ONCE: usize = 8;
/// Parts of user names that mean something to a shell, to SQL and to patterns; all may stand in a URI.
const STRANGE: [&str; 4] = ["o'hara", "$(id);x", "b*", "a_b&c"];
/// What a body may hold besides letters.
const BODY: &str =
    "\u{17e}lu\u{165}ou\u{10d}k\u{fd} \"k\u{16f}\u{148}\"\r\n\t'$(id)' \\n {\"a\":1} end\r\n";

/// By how much of a text a message is known: a server may write in front of it, and what else is wrong is told apart.
const KNOWN_BY: usize = "imspec ".len() + 16;

/// Properties that need a message in the store.
const OF_A_MESSAGE: [&str; 7] = [
    "store.shows",
    "store.fields",
    "store.times",
    "store.order",
    "store.apart",
    "store.steady",
    "store.after",
];

impl Doctor<'_> {
    pub(super) async fn accept_store(&mut self, sound: &Profile, instance: &Arc<Instance>) {
        let Some(store) = instance.store.as_deref() else {
            return self.not_promised("store", "a black box: there is no adapter");
        };
        let visit = match self.visit(sound, instance).await {
            Ok(visit) => visit,
            Err(why) => return self.not_tried(&["store"], &why),
        };
        let bob = match visit.user("bob") {
            Ok(user) => Account::of(user),
            Err(why) => {
                self.not_tried(&["store"], &why);
                return visit.leave().await;
            }
        };
        if self.empty(store, &bob).await {
            self.strange(store, instance).await;
        } else {
            self.not_tried(
                &["store.strange"],
                "what is nothing else than a name fails, too",
            );
        }
        let texts = [unique(BODY), unique("the second")];
        let before = UtcTime::now();
        for text in &texts {
            if let Err(why) = self.left(&visit, "bob", text).await {
                self.not_tried(&OF_A_MESSAGE, &why);
                return visit.leave().await;
            }
        }
        let Some(records) = self.shows(store, &bob, &texts).await else {
            self.not_tried(&OF_A_MESSAGE[1..], "the messages are not shown");
            return visit.leave().await;
        };
        let first = records
            .iter()
            .find(|record| says(record, start(&texts[0])) != Some(false));
        if let Some(record) = first {
            self.fields_are_right(&visit, &bob, record, &texts[0]);
            self.times_are_right(instance, record, before);
        }
        self.order(&records, &texts);
        self.apart(store, &visit, &bob, &texts).await;
        self.steady(store, &bob, &records).await;
        self.delivered(store, &visit, &bob, &texts).await;
        visit.leave().await;
    }

    /// What to look at where the store could not be read.
    fn of_store(&self, why: &str) -> (String, Vec<String>) {
        match self.profile.adapters.store {
            StoreAdapter::Program(_) => {
                let check = advice::of_program_or_url(why, "adapters.store");
                (why.to_owned(), check)
            }
            _ => advice::of_store(why),
        }
    }

    /// Before anything came for him.
    async fn empty(&mut self, store: &dyn Store, bob: &Account) -> bool {
        let read = store.read(bob).await;
        let good = read.as_ref().is_ok_and(Vec::is_empty);
        match read {
            Ok(records) if records.is_empty() => self.ok(
                "store.empty",
                "an account for which nothing came has no record",
            ),
            Ok(records) => self.fails(
                "store.empty",
                Complaint::new(
                    format!("{} records of an account for which nothing came", records.len()),
                    &["`adapters.store`: only the records of `${account}` (`:account`, `${user}`, …) may be given"],
                ),
            ),
            Err(why) => {
                let (said, mut check) = self.of_store(&why);
                check.push("nothing in an account is no failure: status 0 and no line".into());
                self.fails("store.empty", Complaint { said: visit::shown(&said), check });
            }
        }
        good
    }

    /// What stands in a name is a name.
    async fn strange(&mut self, store: &dyn Store, instance: &Instance) {
        if instance.pool.is_some() {
            let said = "the server has a few accounts, and none with such a name";
            return self.not_tried(&["store.strange"], said);
        }
        let pixit = &self.profile.pixit;
        let (mut read, mut declined) = (0, 0);
        for name in STRANGE {
            let user = CaseUser {
                role: name.to_owned(),
                state: UserState::Offline,
                name: format!("{name}-{:08x}", fastrand::u32(..)),
                domain: pixit.domain.clone(),
                transport: pixit.transport.as_str().to_owned(),
            };
            let account = Account::of(&user);
            if instance.provision(&[user]).await.is_err() {
                declined += 1;
                continue;
            }
            let said = match store.read(&account).await {
                Ok(records) if records.is_empty() => {
                    read += 1;
                    continue;
                }
                Ok(records) => format!(
                    "{} records of `{}`, for whom nothing came",
                    records.len(),
                    account.uri
                ),
                Err(why) => format!("`{}`: {}", account.uri, visit::shown(&why)),
            };
            let check = "`adapters.store`: an account is given to a program as a word and to a database as a value; it must \
                         go on as such (quotes around \"$1\" in a shell, a parameter or doubled quotes in SQL, no pattern)";
            return self.fails("store.strange", Complaint::new(said, &[check]));
        }
        if read == 0 {
            return self.not_tried(
                &["store.strange"],
                "the server has no accounts with such names",
            );
        }
        let mut said = "user parts with ' $ ( ; * _ & are names and nothing else".to_owned();
        if declined > 0 {
            said = format!(
                "{said}; {declined} of {} such accounts the server cannot have",
                STRANGE.len()
            );
        }
        self.ok("store.strange", said);
    }

    /// Both messages, once they show.
    async fn shows(
        &mut self,
        store: &dyn Store,
        bob: &Account,
        texts: &[String; 2],
    ) -> Option<Vec<StoredMessage>> {
        let within = self.profile.pixit.timers.store;
        let deadline = Instant::now() + within;
        loop {
            let records = match store.read(bob).await {
                Ok(records) => records,
                Err(why) => {
                    let (said, check) = self.of_store(&why);
                    self.fails(
                        "store.shows",
                        Complaint {
                            said: visit::shown(&said),
                            check,
                        },
                    );
                    return None;
                }
            };
            let shown = texts.iter().all(|text| {
                records
                    .iter()
                    .any(|record| says(record, start(text)) != Some(false))
            });
            if shown && records.len() >= texts.len() {
                let more = records.len() - texts.len();
                if more > 0 {
                    let said = format!("{} records of 2 messages", records.len());
                    let check = "`adapters.store`: one record a message; a join that doubles rows, or an account that others use, too";
                    self.fails("store.shows", Complaint::new(said, &[check]));
                    return None;
                }
                self.ok(
                    "store.shows",
                    "2 messages were taken for somebody offline, and 2 records are there",
                );
                return Some(records);
            }
            if Instant::now() >= deadline {
                let seconds = within.as_secs_f64();
                let said = if records.len() >= texts.len() {
                    format!(
                        "{} records after {seconds} s, and not all have the bodies that were sent",
                        records.len()
                    )
                } else {
                    format!(
                        "{} of 2 messages that were taken are shown after {seconds} s",
                        records.len()
                    )
                };
                let check = [
                    "`adapters.store`: which account it asks for, how the body is written (octet for octet; base64 where it is no \
                     text), and at which server it looks",
                    "`pixit.timers.store`, if the server writes later",
                ];
                self.fails("store.shows", Complaint::new(said, &check));
                return None;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What is known is true.
    fn fields_are_right(
        &mut self,
        visit: &Visit,
        bob: &Account,
        record: &StoredMessage,
        text: &str,
    ) {
        let mut wrong = Vec::new();
        match &record.body {
            Field::Known(body) if *body.0 != *text.as_bytes() => {
                wrong.push(format!(
                    "the body has {} octets, {} were sent",
                    body.0.len(),
                    text.len()
                ));
            }
            Field::Absent if record.body_digest == Field::Unknown => {
                wrong.push("the body is said to be absent".to_owned());
            }
            _ => {}
        }
        if let Field::Known(digest) = &record.body_digest
            && usize::try_from(digest.octets) != Ok(text.len())
        {
            wrong.push(format!(
                "the body is said to have {} octets, {} were sent",
                digest.octets,
                text.len()
            ));
        }
        if let Field::Known(account) = &record.account
            && !account.contains(&bob.user)
        {
            wrong.push(format!(
                "the account is {}, and was {}",
                visit::shown(account),
                bob.uri
            ));
        }
        if let Field::Known(mode) = record.mode
            && mode != Mode::Pager
        {
            wrong.push("the mode is said to be `session`, and it was `pager`".to_owned());
        }
        if let Field::Known(state) = record.state
            && !matches!(state, State::Waiting | State::Delivering)
        {
            wrong.push("the message waits, and its state says otherwise".to_owned());
        }
        let from = record
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case("From"));
        let alice = visit
            .user("alice")
            .map(|user| user.name.clone())
            .unwrap_or_default();
        match from {
            Some(from) if !visit::holds(&from.value.0, &alice) => {
                let value = String::from_utf8_lossy(&from.value.0).into_owned();
                wrong.push(format!(
                    "From is {}, and {alice} has sent it",
                    visit::shown(&value)
                ));
            }
            None if record.headers_complete => {
                wrong.push("`headers-complete` says that a header field which is not shown is lost, and From is not shown".to_owned());
            }
            _ => {}
        }
        if wrong.is_empty() {
            self.ok(
                "store.fields",
                "what is known of a message is as it was sent; what is not known stays open",
            );
        } else {
            let check = "`adapters.store`: which column or key is what; what cannot be read is left out (unknown), not `null`";
            self.fails("store.fields", Complaint::new(wrong.join("; "), &[check]));
        }
    }

    /// Instants are instants of store time.
    fn times_are_right(&mut self, instance: &Instance, record: &StoredMessage, before: UtcTime) {
        let Some(now) = instance.clock.now() else {
            return self.not_tried(&["store.times"], "the clock adapter tells no time");
        };
        let adapter = instance.clock.adapter();
        let margin =
            SLACK + Duration::from_millis(now.uncertainty_ms.into()) + adapter.resolution();
        let margin = signed(micros(margin));
        // What was sent since then was received since then, on the clock of the server.
        let earliest = before
            .plus_us(now.at.unix_us.saturating_sub(UtcTime::now().unix_us))
            .plus_us(-margin);
        let latest = now.at.plus_us(margin);
        let mut wrong = Vec::new();
        let mut known = 0;
        for (name, at) in [
            ("received-at", &record.received_at),
            ("stored-at", &record.stored_at),
        ] {
            if let Field::Known(at) = at {
                known += 1;
                if *at < earliest || *at > latest {
                    wrong.push(format!(
                        "`{name}` is {at}, and the clock adapter says that it is {}",
                        now.at
                    ));
                }
            }
        }
        if let (Field::Known(expire), Field::Known(received)) =
            (&record.expire, &record.received_at)
            && let Some(at) = expire.at
        {
            known += 1;
            if at < *received {
                wrong.push(format!("it expires at {at}, before it was received"));
            }
        }
        if known == 0 {
            return self.not_promised(
                "store.times",
                "neither when a message came nor when it expires is known",
            );
        }
        if wrong.is_empty() {
            return self.ok("store.times", "agree with the clock adapter");
        }
        let check = "`adapters.store`: instants are UTC, in seconds since 1970 or RFC 3339; a time without a zone has to be converted. \
                     Or `adapters.clock` reads another clock than the one the server stamps with";
        self.fails("store.times", Complaint::new(wrong.join("; "), &[check]));
    }

    fn order(&mut self, records: &[StoredMessage], texts: &[String; 2]) {
        let place = |text: &str| {
            records
                .iter()
                .position(|record| says(record, start(text)) == Some(true))
        };
        match (place(&texts[0]), place(&texts[1])) {
            (Some(first), Some(second)) if first < second => {
                self.ok("store.order", "records stand in the order of storing");
            }
            (Some(_), Some(_)) => {
                let check =
                    "`adapters.store`: let it sort by when a message was stored (`ORDER BY id`)";
                self.fails(
                    "store.order",
                    Complaint::new("the second message stands before the first", &[check]),
                );
            }
            _ => self.not_promised("store.order", "no body is known, so nobody can tell"),
        }
    }

    /// Nobody sees what is somebody else's, a name that is like his included.
    async fn apart(
        &mut self,
        store: &dyn Store,
        visit: &Visit,
        bob: &Account,
        texts: &[String; 2],
    ) {
        let like = |user: String| Account {
            uri: format!("sip:{user}@{}", bob.domain),
            user,
            domain: bob.domain.clone(),
        };
        let rest: String = bob.user.chars().skip(1).collect();
        let alike = [
            like(format!("_{rest}")),
            like(format!("*{rest}")),
            like(rest),
            like(format!("{}x", bob.user)),
        ];
        let others = visit.users().iter().map(Account::of);
        for other in others.filter(|other| other != bob).chain(alike) {
            // An account that is not there may be an error, and one that is there may have something; it must not
            // be bob's.
            let records = store.read(&other).await.unwrap_or_default();
            let is_bobs = |record: &&StoredMessage| {
                texts
                    .iter()
                    .any(|text| says(record, start(text)) != Some(false))
            };
            let of_bob = records.iter().filter(is_bobs).count();
            if of_bob > 0 {
                let said = format!(
                    "asked for {}, it gives {of_bob} records; they are of {}",
                    other.uri, bob.uri
                );
                let check = "`adapters.store`: the account is compared as a whole, by equality, not by a pattern or a part of it";
                return self.fails("store.apart", Complaint::new(said, &[check]));
            }
        }
        self.ok(
            "store.apart",
            "what waits for one user is shown for nobody else, whatever the names have in common",
        );
    }

    async fn steady(&mut self, store: &dyn Store, bob: &Account, before: &[StoredMessage]) {
        let reads = join_all((0..AT_ONCE).map(|_| store.read(bob))).await;
        for read in reads {
            let said = match read {
                Ok(records) if records == before => continue,
                Ok(_) => format!("{AT_ONCE} reads at once, and not all give the same"),
                Err(why) => format!(
                    "one of {AT_ONCE} reads at once fails: {}",
                    visit::shown(&why)
                ),
            };
            let check = "`adapters.store`: reading changes nothing (no `fetch and delete`, no mark as seen), uses no file of its own that \
                         two readers would share, and locks nobody out";
            return self.fails("store.steady", Complaint::new(said, &[check]));
        }
        self.ok(
            "store.steady",
            format!(
                "read {} times, {AT_ONCE} of them at once: always the same",
                AT_ONCE + 1
            ),
        );
    }

    /// What was delivered does not wait any more.
    async fn delivered(
        &mut self,
        store: &dyn Store,
        visit: &Visit,
        bob: &Account,
        texts: &[String; 2],
    ) {
        let what = "store.after";
        let timers = self.profile.pixit.timers;
        let heard = visit.register("bob", Some(600)).await;
        if !heard.is_good() {
            return self.not_tried(
                &[what],
                "bob could not be registered (`imspec doctor` says what to check)",
            );
        }
        for text in texts {
            if !visit.delivered(start(text), timers.delivery).await {
                return self.not_tried(
                    &[what],
                    "the messages were not delivered by MESSAGE on his registration",
                );
            }
        }
        let deadline = Instant::now() + timers.store;
        loop {
            let records = match store.read(bob).await {
                Ok(records) => records,
                Err(why) => {
                    let (said, check) = self.of_store(&why);
                    break self.fails(
                        what,
                        Complaint {
                            said: visit::shown(&said),
                            check,
                        },
                    );
                }
            };
            let waits =
                |record: &&StoredMessage| matches!(record.state, Field::Known(State::Waiting));
            let waiting = records.iter().filter(waits).count();
            if waiting == 0 {
                let open = records
                    .iter()
                    .filter(|record| record.state == Field::Unknown)
                    .count();
                let said = if open > 0 {
                    "a delivered message stays, and nobody knows its state: whether it waits is not demonstrated"
                } else {
                    "what was delivered is gone, or its state says that it was delivered"
                };
                break self.ok(what, said);
            }
            if Instant::now() >= deadline {
                let said = format!(
                    "{waiting} messages that were delivered wait, {} s later, if the adapter is right",
                    timers.store.as_secs_f64()
                );
                let check = [
                    "`adapters.store`: whatever marks a delivered message (a state, a flag, another folder) belongs into `state`",
                    "`pixit.timers.store`, if the server clears up later",
                ];
                break self.fails(what, Complaint::new(said, &check));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        visit.register("bob", Some(0)).await;
    }
}

/// What a message is known by.
fn start(text: &str) -> &str {
    text.get(..KNOWN_BY).unwrap_or(text)
}
