//! Message-IDs: unique for ever, made by the server alone.
//!
//! The String is 128 random bits or the next number of a durable counter. Numbers are reserved on disk
//! before the first of them is used, so neither a crash nor a deletion brings one back.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;

use crate::policy::{MessageIdForm, MessageIdSequence, Policy};
use crate::store::{Answer, Store, StoreError};

/// Makes Message-IDs.
pub trait MessageIds: Send + Sync + 'static {
    /// An ID for the account's next message, never given before.
    fn next<'a>(&'a self, account: &'a str) -> Answer<'a, String>;
}

/// Numbers taken from the disk at once. A crash leaves a gap of as many at most.
const BLOCK: u64 = 256;

/// IDs as the provider's settings want them.
pub struct ConfiguredIds {
    policy: Arc<Policy>,
    store: Arc<dyn Store>,
    block: Mutex<std::ops::Range<u64>>,
    random: RandomState,
    drawn: AtomicU64,
}

impl ConfiguredIds {
    /// IDs whose counters live in `store`.
    pub fn new(policy: Arc<Policy>, store: Arc<dyn Store>) -> Self {
        Self {
            policy,
            store,
            block: Mutex::new(0..0),
            random: RandomState::new(),
            drawn: AtomicU64::new(0),
        }
    }

    /// `SipHash` of a counter under a key from the system: nobody without the key can tell the next one
    /// from those before (RFC 5438 §6.3 wants as much of its Message-ID).
    fn random_128_bits(&self) -> String {
        let draw = self.drawn.fetch_add(1, Ordering::Relaxed);
        format!(
            "{:016x}{:016x}",
            self.random.hash_one((draw, 0)),
            self.random.hash_one((draw, 1))
        )
    }

    async fn increasing(&self) -> Result<u64, StoreError> {
        let mut block = self.block.lock().await;
        if block.is_empty() {
            let first = self.store.reserve("message-id", BLOCK).await?;
            *block = first..first.saturating_add(BLOCK);
        }
        block
            .next()
            .ok_or_else(|| StoreError::Failed("no Message-ID number is left".to_owned()))
    }

    /// Digits that rise by one within the account, and that no other account can have: the account's
    /// number comes first, the counter has a fixed width after it.
    async fn consecutive(&self, account: &str) -> Result<String, StoreError> {
        let owner = self.store.account_number(account).await?.ok_or_else(|| {
            StoreError::Failed(format!(
                "the account {account} is gone, so it has no counter"
            ))
        })?;
        let number = self
            .store
            .reserve(&format!("message-id {owner}"), 1)
            .await?;
        Ok(format!("{owner}{number:012}"))
    }
}

impl MessageIds for ConfiguredIds {
    fn next<'a>(&'a self, account: &'a str) -> Answer<'a, String> {
        Box::pin(async move {
            let settings = self.policy.settings();
            let string = match settings.mid_sequence {
                MessageIdSequence::None => self.random_128_bits(),
                // Apart from the digits of `consecutive`, so that a change of the setting cannot make
                // the two meet.
                MessageIdSequence::Increasing => format!("0{:015}", self.increasing().await?),
                MessageIdSequence::Consecutive => self.consecutive(account).await?,
            };
            Ok(dress(settings.mid_form, &string, &settings.mid_host))
        })
    }
}

fn dress(form: MessageIdForm, string: &str, host: &str) -> String {
    match form {
        MessageIdForm::Bare => format!("{string}@{host}"),
        MessageIdForm::SipUri => format!("sip:{string}@{host}"),
        MessageIdForm::SipUriParam => format!("sip:Message-ID={string}@{host}"),
        MessageIdForm::Angle => format!("<{string}@{host}>"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::json;

    use super::*;
    use crate::policy::Settings;
    use crate::store::SqliteStore;

    const BOB: &str = "sip:bob@example.org";
    const CAROL: &str = "sip:carol@example.org";

    async fn ids(folder: &tempfile::TempDir, sequence: &str) -> (ConfiguredIds, Arc<dyn Store>) {
        let store: Arc<dyn Store> =
            Arc::new(SqliteStore::open(&folder.path().join("ids.db")).unwrap());
        store
            .change_accounts(vec![BOB.into(), CAROL.into()], Vec::new())
            .await
            .unwrap();
        let changes = BTreeMap::from([("mid.sequence".to_owned(), json!(sequence))]);
        let settings = Settings::new("example.org").with(&changes).unwrap();
        (
            ConfiguredIds::new(Arc::new(Policy::new(settings)), Arc::clone(&store)),
            store,
        )
    }

    #[tokio::test]
    async fn no_kind_repeats_even_after_reopening() {
        let folder = tempfile::tempdir().unwrap();
        let mut seen = BTreeSet::new();
        for sequence in [
            "none",
            "increasing",
            "consecutive",
            "increasing",
            "consecutive",
        ] {
            let (ids, store) = ids(&folder, sequence).await;
            for _ in 0..300 {
                for account in [BOB, CAROL] {
                    let id = ids.next(account).await.unwrap();
                    assert!(seen.insert(id.clone()), "{sequence} gave {id} twice");
                }
            }
            store.close().await.unwrap();
        }
    }

    #[tokio::test]
    async fn consecutive_numbers_rise_by_one_in_each_account() {
        let folder = tempfile::tempdir().unwrap();
        let (ids, _store) = ids(&folder, "consecutive").await;
        let mut bobs: Vec<u64> = Vec::new();
        for _ in 0..5 {
            let id = ids.next(BOB).await.unwrap();
            ids.next(CAROL).await.unwrap();
            bobs.push(id.split('@').next().unwrap().parse().unwrap());
        }
        assert!(
            bobs.windows(2).all(|pair| pair[1] == pair[0] + 1),
            "{bobs:?}"
        );
    }

    #[test]
    fn each_form_is_dressed_as_named() {
        let dressed = |form| dress(form, "7", "m.example.org");
        assert_eq!(dressed(MessageIdForm::Bare), "7@m.example.org");
        assert_eq!(dressed(MessageIdForm::SipUri), "sip:7@m.example.org");
        assert_eq!(
            dressed(MessageIdForm::SipUriParam),
            "sip:Message-ID=7@m.example.org"
        );
        assert_eq!(dressed(MessageIdForm::Angle), "<7@m.example.org>");
    }
}
