//! Server transactions: one answer for a request, however often it comes.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{MergeKey, TransactionKey};

/// All server transactions, finished ones too while they can still be asked for.
#[derive(Debug, Clone)]
pub struct ServerTransactions {
    table: Arc<Mutex<Table>>,
}

/// What a request is to the table.
#[derive(Debug)]
pub enum Begin {
    /// New: answer it through the ticket.
    New(Ticket),
    /// Seen before. The last response, if there is one yet, is to be sent again.
    Again(Option<Bytes>),
    /// A copy that came another way: 482.
    Merged,
    /// No room: 503.
    Full,
}

/// The duty to answer one request. Dropped without an answer, it forgets the request, so that a
/// retransmission gets another chance.
#[derive(Debug)]
pub struct Ticket {
    table: Arc<Mutex<Table>>,
    key: TransactionKey,
    answered: bool,
}

#[derive(Debug)]
struct Table {
    most: usize,
    linger: Duration,
    entries: HashMap<TransactionKey, Entry>,
    merging: HashMap<MergeKey, TransactionKey>,
    /// Finished ones in the order in which they go: Timer J is the same for all.
    finished: VecDeque<(Instant, TransactionKey)>,
}

#[derive(Debug)]
struct Entry {
    merge: Option<MergeKey>,
    response: Option<Bytes>,
}

impl ServerTransactions {
    /// A table of that many transactions, which remembers a finished one for `linger` (Timer J).
    ///
    /// RFC 3261 §17.2.2 sets Timer J to zero on reliable transports. It is the same for all here: a
    /// sender whose connection broke before the answer came will ask again on another one, and must not
    /// have its message stored twice.
    pub fn new(most: usize, linger: Duration) -> Self {
        Self {
            table: Arc::new(Mutex::new(Table {
                most,
                linger,
                entries: HashMap::new(),
                merging: HashMap::new(),
                finished: VecDeque::new(),
            })),
        }
    }

    /// A request has come.
    pub fn begin(&self, key: TransactionKey, merge: Option<MergeKey>, now: Instant) -> Begin {
        let mut table = lock(&self.table);
        table.forget(now);
        if let Some(entry) = table.entries.get(&key) {
            return Begin::Again(entry.response.clone());
        }
        if let Some(merge) = &merge
            && table.merging.contains_key(merge)
        {
            return Begin::Merged;
        }
        if table.entries.len() >= table.most {
            return Begin::Full;
        }
        if let Some(merge) = &merge {
            table.merging.insert(merge.clone(), key.clone());
        }
        table.entries.insert(
            key.clone(),
            Entry {
                merge,
                response: None,
            },
        );
        Begin::New(Ticket {
            table: Arc::clone(&self.table),
            key,
            answered: false,
        })
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        lock(&self.table).entries.len()
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Ticket {
    /// Keeps a provisional response for retransmissions.
    pub fn provisional(&self, response: Bytes) {
        if let Some(entry) = lock(&self.table).entries.get_mut(&self.key) {
            entry.response = Some(response);
        }
    }

    /// Keeps the final response for retransmissions, until Timer J fires.
    pub fn finish(mut self, response: Bytes, now: Instant) {
        self.answered = true;
        let mut table = lock(&self.table);
        let until = now + table.linger;
        if let Some(entry) = table.entries.get_mut(&self.key) {
            entry.response = Some(response);
            table.finished.push_back((until, self.key.clone()));
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.answered {
            lock(&self.table).remove(&self.key);
        }
    }
}

impl Table {
    fn forget(&mut self, now: Instant) {
        while self
            .finished
            .front()
            .is_some_and(|(until, _)| *until <= now)
        {
            if let Some((_, key)) = self.finished.pop_front() {
                self.remove(&key);
            }
        }
    }

    fn remove(&mut self, key: &TransactionKey) {
        if let Some(merge) = self.entries.remove(key).and_then(|entry| entry.merge) {
            self.merging.remove(&merge);
        }
    }
}

fn lock(table: &Mutex<Table>) -> std::sync::MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "tests")]

    use super::*;

    const LINGER: Duration = Duration::from_secs(32);

    fn key(text: &str) -> TransactionKey {
        TransactionKey(text.to_owned())
    }

    fn ticket(begin: Begin) -> Ticket {
        match begin {
            Begin::New(ticket) => ticket,
            other => panic!("not new: {other:?}"),
        }
    }

    #[test]
    fn a_retransmission_gets_the_first_answer_until_timer_j() {
        let table = ServerTransactions::new(10, LINGER);
        let start = Instant::now();
        let first = ticket(table.begin(key("a"), None, start));
        assert!(matches!(
            table.begin(key("a"), None, start),
            Begin::Again(None)
        ));
        first.finish(Bytes::from_static(b"202"), start);
        let later = start + LINGER.saturating_sub(Duration::from_millis(1));
        assert!(matches!(table.begin(key("a"), None, later), Begin::Again(Some(r)) if r == "202"));
        assert!(matches!(
            table.begin(key("a"), None, start + LINGER),
            Begin::New(_)
        ));
    }

    #[test]
    fn a_copy_by_another_way_is_merged_while_the_first_is_remembered() {
        let table = ServerTransactions::new(10, LINGER);
        let start = Instant::now();
        let merge = || Some(MergeKey("m".to_owned()));
        let first = ticket(table.begin(key("a"), merge(), start));
        assert!(matches!(
            table.begin(key("b"), merge(), start),
            Begin::Merged
        ));
        first.finish(Bytes::new(), start);
        assert!(matches!(
            table.begin(key("b"), merge(), start),
            Begin::Merged
        ));
        assert!(matches!(
            table.begin(key("b"), merge(), start + LINGER),
            Begin::New(_)
        ));
    }

    #[test]
    fn a_full_table_refuses_and_an_abandoned_request_makes_room() {
        let table = ServerTransactions::new(1, LINGER);
        let start = Instant::now();
        let first = ticket(table.begin(key("a"), None, start));
        assert!(matches!(table.begin(key("b"), None, start), Begin::Full));
        drop(first);
        assert!(table.is_empty());
        assert!(matches!(table.begin(key("b"), None, start), Begin::New(_)));
    }
}
