//! What every store must do, whatever it is made of: random operations, compared with a model that
//! a reader can check by eye.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;

use imspec_reference_server::clock::Timestamp;
use imspec_reference_server::policy::{ExpiredHandling, Mark};
use imspec_reference_server::store::{
    Form, Inserted, NewMessage, SqliteStore, Store, StoredMessage,
};
use proptest::prelude::*;

const QUOTA: u64 = 5;

#[derive(Debug, Clone)]
enum Step {
    AddAccount(u8),
    RemoveAccount(u8),
    Insert {
        account: u8,
        expires: Option<i64>,
        octets: Vec<u8>,
    },
    RemoveNth(usize),
    Expire {
        until: i64,
        handling: ExpiredHandling,
        spare_first: bool,
    },
    Reserve(u8, u64),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let handling = prop_oneof![
        Just(ExpiredHandling::Delete),
        Just(ExpiredHandling::Deliver),
        Just(ExpiredHandling::Hold)
    ];
    let octets = prop::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        2 => (0..3_u8).prop_map(Step::AddAccount),
        1 => (0..3_u8).prop_map(Step::RemoveAccount),
        8 => (0..3_u8, prop::option::of(0..100_i64), octets)
            .prop_map(|(account, expires, octets)| Step::Insert { account, expires, octets }),
        2 => any::<usize>().prop_map(Step::RemoveNth),
        3 => (0..100_i64, handling, any::<bool>()).prop_map(|(until, handling, spare_first)| {
            Step::Expire { until, handling, spare_first }
        }),
        2 => (0..2_u8, 1..300_u64).prop_map(|(counter, count)| Step::Reserve(counter, count)),
        1 => Just(Step::Reopen),
    ]
}

/// What a store should hold.
#[derive(Default)]
struct Model {
    accounts: Vec<String>,
    messages: Vec<StoredMessage>,
    counters: BTreeMap<u8, u64>,
    highest: i64,
    inserted: u64,
}

fn name(account: u8) -> String {
    format!("sip:user{account}@example.org")
}

async fn apply(store: &dyn Store, model: &mut Model, step: Step) {
    match step {
        Step::AddAccount(account) => {
            let name = name(account);
            if !model.accounts.contains(&name) {
                model.accounts.push(name.clone());
            }
            let count = store.change_accounts(vec![name], Vec::new()).await.unwrap();
            assert_eq!(count, model.accounts.len());
        }
        Step::RemoveAccount(account) => {
            let name = name(account);
            model.accounts.retain(|other| *other != name);
            model
                .messages
                .retain(|stored| stored.message.account != name);
            let count = store.change_accounts(Vec::new(), vec![name]).await.unwrap();
            assert_eq!(count, model.accounts.len());
        }
        Step::Insert {
            account,
            expires,
            octets,
        } => insert(store, model, account, expires, octets).await,
        Step::RemoveNth(n) => {
            if !model.messages.is_empty() {
                let removed = model.messages.remove(n % model.messages.len());
                store.remove(removed.number).await.unwrap();
            }
        }
        Step::Expire {
            until,
            handling,
            spare_first,
        } => {
            let until = Timestamp::from_seconds(until);
            let due = |stored: &StoredMessage| {
                !stored.expired
                    && stored
                        .message
                        .mark
                        .as_ref()
                        .is_some_and(|mark| mark.at <= until)
            };
            let spared = model
                .messages
                .iter()
                .find(|stored| due(stored))
                .map(|stored| stored.number);
            let spared: Vec<i64> = spared.into_iter().filter(|_| spare_first).collect();
            while store.expire(until, handling, spared.clone()).await.unwrap() > 0 {}
            let hit = |stored: &StoredMessage| due(stored) && !spared.contains(&stored.number);
            if handling == ExpiredHandling::Delete {
                model.messages.retain(|stored| !hit(stored));
            } else {
                for stored in model.messages.iter_mut().filter(|stored| hit(stored)) {
                    stored.expired = true;
                }
            }
        }
        Step::Reserve(counter, count) => {
            let next = model.counters.entry(counter).or_insert(1);
            let first = store.reserve(&format!("c{counter}"), count).await.unwrap();
            assert_eq!(first, *next);
            *next += count;
        }
        Step::Reopen => unreachable!("done by the caller"),
    }
}

async fn insert(
    store: &dyn Store,
    model: &mut Model,
    account: u8,
    expires: Option<i64>,
    octets: Vec<u8>,
) {
    let account = name(account);
    model.inserted += 1;
    let message = NewMessage {
        account: account.clone(),
        message_id: format!("{}@x", model.inserted),
        form: Form::Pager(octets.into()),
        received_at: Timestamp::from_micros(i64::try_from(model.inserted).unwrap()),
        stored_at: Timestamp::from_micros(-1),
        mark: expires.map(|seconds| Mark {
            seconds: u64::from(u32::MAX),
            at: Timestamp::from_seconds(seconds),
            raw: (seconds % 2 == 0).then(|| seconds.to_string()),
        }),
    };
    let held = model
        .messages
        .iter()
        .filter(|stored| stored.message.account == account)
        .count();
    match store.insert(message.clone(), QUOTA).await.unwrap() {
        Inserted::Duplicate => panic!("only sessions have copies"),
        Inserted::NoAccount => assert!(!model.accounts.contains(&account)),
        Inserted::Full => assert_eq!(held as u64, QUOTA),
        Inserted::Stored(number) => {
            assert!(model.accounts.contains(&account) && (held as u64) < QUOTA);
            assert!(number > model.highest, "numbers rise, also after deletion");
            model.highest = number;
            model.messages.push(StoredMessage {
                number,
                message,
                expired: false,
            });
        }
    }
}

async fn compare(store: &dyn Store, model: &Model) {
    assert_eq!(store.messages(None).await.unwrap(), model.messages);
    let mut accounts = model.accounts.clone();
    accounts.sort();
    assert_eq!(store.accounts().await.unwrap(), accounts);
    for account in (0..3).map(name) {
        assert_eq!(
            store.has_account(&account).await.unwrap(),
            accounts.contains(&account)
        );
        let own: Vec<_> = model
            .messages
            .iter()
            .filter(|s| s.message.account == account)
            .cloned()
            .collect();
        assert_eq!(store.messages(Some(account.clone())).await.unwrap(), own);
        let mut walked = Vec::new();
        let mut after = 0;
        while let Some(stored) = store.next_message(&account, after).await.unwrap() {
            after = stored.number;
            walked.push(stored);
        }
        assert_eq!(walked, own);
    }
    let after = Timestamp::from_seconds(50);
    let waiting = model.messages.iter().filter(|stored| !stored.expired);
    let marks = waiting.filter_map(|stored| stored.message.mark.as_ref());
    let next = marks.map(|mark| mark.at).filter(|at| *at > after).min();
    assert_eq!(store.next_expiry(after).await.unwrap(), next);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn sqlite_does_what_the_model_does(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("model.db");
            let mut store = SqliteStore::open(&path).unwrap();
            let mut model = Model::default();
            for step in steps {
                if matches!(step, Step::Reopen) {
                    store.close().await.unwrap();
                    store = SqliteStore::open(&path).unwrap();
                } else {
                    apply(&store, &mut model, step).await;
                }
                compare(&store, &model).await;
            }
        });
    }
}
