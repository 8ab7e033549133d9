//! Whose account a record is in.

use std::collections::BTreeMap;
use std::sync::Arc;

use imspec_reference_server::Parts;
use imspec_reference_server::store::{
    Answer, Binding, Inserted, NewMessage, Piece, Store, StoredMessage,
};

use super::{Spoil, request_of, spoil, writing};
use crate::fault::Fault;
use crate::rewrite;

pub(crate) const FAULTS: &[Fault] = &[
    Fault::new(
        "stored-for-sender",
        "M-070",
        &["DM-ACCT-01", "DM-DRV-07"],
        "A message is stored in the account of its sender.",
    )
    .seed(|parts| {
        placed(parts, |message, accounts| {
            let sender = rewrite::account_in(&request_of(message)?, "From")?;
            accounts.contains(&sender).then_some(sender)
        })
    }),
    Fault::new(
        "account-without-domain",
        "M-071",
        &["DM-ACCT-01"],
        "Accounts are told by their user part, whatever the domain.",
    )
    .seed(|parts| {
        keyed(parts, |account| match account.rsplit_once('@') {
            Some((user, _)) => format!("{user}@example.org"),
            None => account.to_owned(),
        })
    }),
    Fault::new(
        "account-without-case",
        "M-072",
        &["DM-ACCT-01", "RFC3261-19.1.4"],
        "Users whose names differ in case only share an account.",
    )
    .seed(|parts| keyed(parts, str::to_lowercase)),
    Fault::new(
        "account-without-dots",
        "F-040",
        &["DM-ACCT-01", "RFC3261-19.1.4"],
        "Users whose names differ in dots only share an account.",
    )
    .seed(|parts| {
        keyed(parts, |account| match account.rsplit_once('@') {
            Some((user, domain)) => format!("{}@{domain}", user.replace('.', "")),
            None => account.to_owned(),
        })
    }),
    Fault::new(
        "account-by-prefix",
        "M-073",
        &["DM-ACCT-01"],
        "A message goes to the account whose name begins like that of its recipient.",
    )
    .seed(|parts| {
        placed(parts, |message, accounts| {
            let (user, domain) = message.account.rsplit_once('@')?;
            let is_prefix = |account: &&String| {
                account.rsplit_once('@').is_some_and(|(shorter, other)| {
                    other == domain && shorter != user && user.starts_with(shorter)
                })
            };
            accounts.iter().find(is_prefix).cloned()
        })
    }),
    Fault::new(
        "account-of-to",
        "M-074",
        &["DM-ACCT-01"],
        "To decides in whose account a message is stored, not the Request-URI.",
    )
    .seed(|parts| {
        placed(parts, |message, accounts| {
            let to = rewrite::account_in(&request_of(message)?, "To")?;
            accounts.contains(&to).then_some(to)
        })
    }),
    Fault::new(
        "account-of-any-domain",
        "F-043",
        &["DM-ACCT-01"],
        "Whatever the domain of the Request-URI, a MESSAGE is for the user of that name here.",
    )
    .seed(|parts| {
        crate::transport::admitting(parts, |message| {
            let uri = std::str::from_utf8(message.request_uri()?).ok()?;
            let (user, _) = uri.split_once('@')?;
            let is_here = uri.contains("@example.org") || uri.contains("@second.example.org");
            (message.method() == Some("MESSAGE") && !is_here)
                .then(|| rewrite::request_uri(message, format!("{user}@example.org")))
        })
    }),
    Fault::new(
        "drops-messages-to-oneself",
        "F-044",
        &["DM-ACCT-01", "DM-TRIG-01"],
        "A message to oneself is accepted and not stored.",
    )
    .seed(|parts| {
        writing(parts, |message| {
            let sender = request_of(&message).and_then(|it| rewrite::account_in(&it, "From"));
            (sender.as_ref() != Some(&message.account)).then_some(message)
        })
    }),
    Fault::new(
        "delivers-to-whoever-comes",
        "F-041",
        &["DM-DRV-07", "DM-ACCT-01"],
        "Who registers gets what waits for others, too.",
    )
    .seed(|parts| spoil(parts, |parts| ForAnybody(Arc::clone(&parts.store)))),
    Fault::new(
        "drops-long-messages",
        "F-042",
        &["DM-STORE-01", "DM-DRV-08"],
        "Messages that are longer than 3000 octets are accepted and not stored.",
    )
    .seed(|parts| {
        writing(parts, |message| {
            let is_long = request_of(&message).is_some_and(|request| request.body().len() > 3000);
            (!is_long).then_some(message)
        })
    }),
];

/// Puts messages into other accounts: the one that is chosen among all, if any is.
fn placed(parts: Parts, choose: fn(&NewMessage, &[String]) -> Option<String>) -> Parts {
    spoil(parts, |parts| Placed {
        inner: Arc::clone(&parts.store),
        choose,
    })
}

struct Placed {
    inner: Arc<dyn Store>,
    choose: fn(&NewMessage, &[String]) -> Option<String>,
}

impl Spoil for Placed {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    fn insert_session(
        &self,
        mut message: NewMessage,
        pieces: Vec<Piece>,
        held: bool,
        most: u64,
    ) -> Answer<'static, Inserted> {
        let (inner, choose) = (Arc::clone(&self.inner), self.choose);
        Box::pin(async move {
            let accounts = inner.accounts().await?;
            if let Some(other) = choose(&message, &accounts) {
                message.account = other;
            }
            inner.insert_session(message, pieces, held, most).await
        })
    }
}

/// Takes several accounts for one: those that have the same key.
fn keyed(parts: Parts, key: fn(&str) -> String) -> Parts {
    spoil(parts, |parts| Keyed {
        inner: Arc::clone(&parts.store),
        key,
    })
}

struct Keyed {
    inner: Arc<dyn Store>,
    key: fn(&str) -> String,
}

impl Spoil for Keyed {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    fn has_account<'a>(&'a self, account: &'a str) -> Answer<'a, bool> {
        Box::pin(async move { self.inner.has_account(&(self.key)(account)).await })
    }

    fn change_accounts(&self, add: Vec<String>, remove: Vec<String>) -> Answer<'_, usize> {
        let keys = |all: Vec<String>| all.iter().map(|one| (self.key)(one)).collect();
        self.inner.change_accounts(keys(add), keys(remove))
    }

    fn password<'a>(&'a self, account: &'a str) -> Answer<'a, Option<String>> {
        Box::pin(async move { self.inner.password(&(self.key)(account)).await })
    }

    fn set_passwords(&self, passwords: Vec<(String, String)>) -> Answer<'_, ()> {
        let keyed = |(account, password): (String, String)| ((self.key)(&account), password);
        self.inner
            .set_passwords(passwords.into_iter().map(keyed).collect())
    }

    fn bindings<'a>(&'a self, account: &'a str) -> Answer<'a, Vec<Binding>> {
        Box::pin(async move { self.inner.bindings(&(self.key)(account)).await })
    }

    fn set_bindings<'a>(&'a self, account: &'a str, bindings: Vec<Binding>) -> Answer<'a, ()> {
        Box::pin(async move {
            self.inner
                .set_bindings(&(self.key)(account), bindings)
                .await
        })
    }

    fn insert_session(
        &self,
        mut message: NewMessage,
        pieces: Vec<Piece>,
        held: bool,
        most: u64,
    ) -> Answer<'static, Inserted> {
        message.account = (self.key)(&message.account);
        self.inner.insert_session(message, pieces, held, most)
    }

    fn count<'a>(&'a self, account: &'a str) -> Answer<'a, u64> {
        Box::pin(async move { self.inner.count(&(self.key)(account)).await })
    }

    fn messages(&self, account: Option<String>) -> Answer<'_, Vec<StoredMessage>> {
        self.inner
            .messages(account.map(|account| (self.key)(&account)))
    }

    fn next_message<'a>(
        &'a self,
        account: &'a str,
        after: i64,
    ) -> Answer<'a, Option<StoredMessage>> {
        Box::pin(async move { self.inner.next_message(&(self.key)(account), after).await })
    }

    fn account_number<'a>(&'a self, account: &'a str) -> Answer<'a, Option<u64>> {
        Box::pin(async move { self.inner.account_number(&(self.key)(account)).await })
    }
}

/// Delivers what waits for a user whose name has the same beginning, up to the first hyphen.
struct ForAnybody(Arc<dyn Store>);

impl Spoil for ForAnybody {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.0
    }

    fn next_message<'a>(
        &'a self,
        account: &'a str,
        after: i64,
    ) -> Answer<'a, Option<StoredMessage>> {
        Box::pin(async move {
            let all = self.0.messages(None).await?;
            let by_number: BTreeMap<i64, StoredMessage> = all
                .into_iter()
                .map(|stored| (stored.number, stored))
                .collect();
            let case = |account: &str| {
                let user = account.split('@').next().unwrap_or_default();
                user.split_once('-').map(|(_, rest)| rest.to_owned())
            };
            let wanted = case(account);
            let next = by_number.into_iter().find(|(number, stored)| {
                let of = &stored.message.account;
                *number > after && (of == account || wanted.is_some() && case(of) == wanted)
            });
            Ok(next.map(|(_, stored)| stored))
        })
    }
}
