//! The accounts of a server that has only a few: each belongs to one case at a time, and is clean when a case gets
//! it. A case waits until all that it needs are free; one that cannot be cleaned is given to nobody any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The accounts of one server, by user part.
#[derive(Debug)]
pub struct Pool {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Given to a case.
    taken: BTreeSet<String>,
    /// Nobody knows what is in it.
    unclean: BTreeSet<String>,
    /// Given to nobody any more, and why.
    retired: BTreeMap<String, String>,
}

/// Accounts that belong to a case until this is dropped.
#[derive(Debug)]
pub struct Lease {
    pool: Arc<Pool>,
    names: Vec<String>,
}

impl Pool {
    /// A pool of these accounts. What others have left in them is not known.
    pub fn new(names: &[String]) -> Arc<Self> {
        let state = State {
            unclean: names.iter().cloned().collect(),
            ..State::default()
        };
        Arc::new(Self {
            state: Mutex::new(state),
            changed: Notify::new(),
        })
    }

    /// Waits until all these accounts are free, and takes them at once: who holds some while waiting for others
    /// would keep everybody waiting.
    ///
    /// # Errors
    /// Where one of them is given to nobody any more.
    pub async fn take(self: &Arc<Self>, names: &[String]) -> Result<Lease, String> {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(lease) = self.try_take(names)? {
                return Ok(lease);
            }
            changed.await;
        }
    }

    fn try_take(self: &Arc<Self>, names: &[String]) -> Result<Option<Lease>, String> {
        let mut state = self.state();
        if let Some((name, why)) = names.iter().find_map(|name| {
            let why = state.retired.get(name)?;
            Some((name, why))
        }) {
            return Err(format!(
                "the account `{name}` is given to no case any more: {why}"
            ));
        }
        if names.iter().any(|name| state.taken.contains(name)) {
            return Ok(None);
        }
        state.taken.extend(names.iter().cloned());
        Ok(Some(Lease {
            pool: Arc::clone(self),
            names: names.to_vec(),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// Whether this one is among them.
    pub fn has(&self, name: &str) -> bool {
        self.names.iter().any(|own| own == name)
    }

    /// Those in which something may be left.
    pub fn unclean(&self) -> Vec<String> {
        let state = self.pool.state();
        let names = self.names.iter();
        names
            .filter(|name| state.unclean.contains(*name))
            .cloned()
            .collect()
    }

    /// A case begins to use them.
    pub fn begin(&self) {
        let mut state = self.pool.state();
        state.unclean.extend(self.names.iter().cloned());
    }

    /// Nothing is left in this one.
    pub fn is_clean(&self, name: &str) {
        self.pool.state().unclean.remove(name);
    }

    /// This one cannot be cleaned.
    pub fn retire(&self, name: &str, why: &str) {
        let mut state = self.pool.state();
        state.retired.insert(name.to_owned(), why.to_owned());
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        {
            let mut state = self.pool.state();
            for name in &self.names {
                state.taken.remove(name);
            }
        }
        self.pool.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[tokio::test]
    async fn who_needs_several_waits_without_any_and_gets_all_at_once() {
        let pool = Pool::new(&names(&["a", "b", "c"]));
        let ab = pool.take(&names(&["a", "b"])).await.unwrap();
        assert!(pool.try_take(&names(&["b", "c"])).unwrap().is_none());
        let c = pool.take(&names(&["c"])).await.unwrap();
        let waiting = tokio::spawn({
            let pool = Arc::clone(&pool);
            async move { pool.take(&names(&["b", "c"])).await.map(drop) }
        });
        tokio::task::yield_now().await;
        drop(c);
        tokio::task::yield_now().await;
        // It holds nothing while it waits.
        let c = pool.try_take(&names(&["c"])).unwrap();
        assert!(c.is_some() && !waiting.is_finished());
        drop((ab, c));
        waiting.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn an_account_is_clean_once_it_was_cleaned_and_until_a_case_begins() {
        let pool = Pool::new(&names(&["a", "b"]));
        let lease = pool.take(&names(&["a", "b"])).await.unwrap();
        assert_eq!(lease.unclean(), ["a", "b"]);
        lease.is_clean("a");
        lease.is_clean("b");
        drop(lease);
        let lease = pool.take(&names(&["a"])).await.unwrap();
        assert_eq!(lease.unclean(), [""; 0]);
        lease.begin();
        assert_eq!(lease.unclean(), ["a"]);
    }

    #[tokio::test]
    async fn what_cannot_be_cleaned_is_given_to_nobody() {
        let pool = Pool::new(&names(&["a", "b"]));
        let lease = pool.take(&names(&["a"])).await.unwrap();
        lease.retire("a", "2 messages stay in it");
        drop(lease);
        let why = pool.take(&names(&["a", "b"])).await.unwrap_err();
        assert_eq!(
            why,
            "the account `a` is given to no case any more: 2 messages stay in it"
        );
        assert!(pool.take(&names(&["b"])).await.is_ok());
    }
}
