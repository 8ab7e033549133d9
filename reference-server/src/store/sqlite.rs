//! The store as one `SQLite` file.
//!
//! One thread writes. It takes up to 64 requests at a time into one transaction and answers them after
//! the commit, which `SQLite` syncs to the disk: durability costs one sync for all of them. Another
//! thread reads, undisturbed by the writer (WAL).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row, params};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use super::{Answer, Binding, Inserted, NewMessage, Store, StoreError, StoredMessage};
use crate::clock::Timestamp;
use crate::policy::{ExpiredHandling, Mark};

/// Requests in one transaction.
const GROUP: usize = 64;
/// Requests that may wait for the writer, and as many for the reader.
const QUEUE: usize = 4096;
/// Messages expired in one go, so that a great sweep does not hold up the senders.
const SWEEP: usize = 256;
/// Raised when the schema changes in a way that an older server cannot read.
const SCHEMA_VERSION: i64 = 1;

/// Work done in the transaction, or not at all where there is none; what it gives is called after the
/// commit.
type Job = Box<dyn FnOnce(Result<&Connection, StoreError>) -> Report + Send>;
/// Tells whoever asked how it went, once it is known whether the commit held.
type Report = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// A [`Store`] in one `SQLite` file.
#[derive(Debug)]
pub struct SqliteStore {
    lanes: Mutex<Option<Lanes>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Debug, Clone)]
struct Lanes {
    write: mpsc::Sender<Job>,
    read: mpsc::Sender<Job>,
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl SqliteStore {
    /// Opens the file, and makes it where there is none.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let writer = Connection::open(path)?;
        prepare(&writer)?;
        let reader = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        reader.busy_timeout(Duration::from_secs(10))?;
        let (write, queued_writes) = mpsc::channel(QUEUE);
        let (read, queued_reads) = mpsc::channel(QUEUE);
        let threads = vec![
            spawn("store-write", move || write_all(&writer, queued_writes))?,
            spawn("store-read", move || read_all(&reader, queued_reads))?,
        ];
        let lanes = Mutex::new(Some(Lanes { write, read }));
        Ok(Self {
            lanes,
            threads: Mutex::new(threads),
        })
    }

    fn lanes(&self) -> Result<Lanes, StoreError> {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.clone().ok_or(StoreError::Closed)
    }

    fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<'_, T> {
        submit(self.lanes().map(|lanes| lanes.write), move |connection| {
            // One request's failure must not undo the others of its group, nor leave half of itself.
            connection.execute_batch("SAVEPOINT request")?;
            let result = work(connection);
            connection.execute_batch(match result {
                Ok(_) => "RELEASE request",
                Err(_) => "ROLLBACK TO request; RELEASE request",
            })?;
            result
        })
    }

    fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<'_, T> {
        submit(self.lanes().map(|lanes| lanes.read), work)
    }
}

fn submit<'a, T: Send + 'static>(
    lane: Result<mpsc::Sender<Job>, StoreError>,
    work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
) -> Answer<'a, T> {
    let (answer, answered) = oneshot::channel();
    let job: Job = Box::new(move |connection| {
        let result = connection.and_then(work);
        Box::new(move |commit| {
            // Whoever asked may have gone; the work is done all the same.
            let _ = answer.send(result.and_then(|value| commit.map(|()| value)));
        })
    });
    let sent = lane.and_then(|lane| {
        lane.try_send(job).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => StoreError::Busy,
            mpsc::error::TrySendError::Closed(_) => StoreError::Closed,
        })
    });
    Box::pin(async move {
        sent?;
        answered.await.unwrap_or(Err(StoreError::Closed))
    })
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(|error| StoreError::Failed(format!("cannot start the thread {name}: {error}")))
}

fn prepare(connection: &Connection) -> Result<(), StoreError> {
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version > SCHEMA_VERSION {
        return Err(StoreError::Failed(format!(
            "the file has schema {version}, and this server reads up to {SCHEMA_VERSION}: use the \
             server that wrote it, or another file"
        )));
    }
    if version < SCHEMA_VERSION {
        // In one transaction: half a schema would be no schema.
        connection.execute_batch(&format!(
            "BEGIN; {} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;",
            include_str!("schema.sql")
        ))?;
    }
    // FULL: from here on the log is synced at every commit, so what was answered survives a power cut
    // as well.
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(())
}

fn write_all(connection: &Connection, mut jobs: mpsc::Receiver<Job>) {
    while let Some(first) = jobs.blocking_recv() {
        let begun = connection
            .execute_batch("BEGIN IMMEDIATE")
            .map_err(StoreError::from);
        let in_transaction = || begun.clone().map(|()| connection);
        let mut reports = vec![first(in_transaction())];
        while reports.len() < GROUP {
            match jobs.try_recv() {
                Ok(job) => reports.push(job(in_transaction())),
                Err(_) => break,
            }
        }
        let commit = || connection.execute_batch("COMMIT").map_err(StoreError::from);
        let outcome = begun.and_then(|()| commit());
        if let Err(error) = &outcome {
            tracing::error!(%error, "the store could not write");
            if !connection.is_autocommit() {
                // Nothing to add when this fails too: the next BEGIN will say so.
                let _ = connection.execute_batch("ROLLBACK");
            }
        }
        for report in reports {
            report(outcome.clone());
        }
    }
}

fn read_all(connection: &Connection, mut jobs: mpsc::Receiver<Job>) {
    while let Some(job) = jobs.blocking_recv() {
        job(Ok(connection))(Ok(()));
    }
}

impl Store for SqliteStore {
    fn accounts(&self) -> Answer<'_, Vec<String>> {
        self.read(|db| {
            let mut query = db.prepare_cached("SELECT aor FROM account ORDER BY aor")?;
            let rows = query.query_map([], |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    fn has_account<'a>(&'a self, account: &'a str) -> Answer<'a, bool> {
        let account = account.to_owned();
        self.read(move |db| Ok(account_id(db, &account)?.is_some()))
    }

    fn change_accounts(&self, add: Vec<String>, remove: Vec<String>) -> Answer<'_, usize> {
        self.write(move |db| {
            let mut insert =
                db.prepare_cached("INSERT OR IGNORE INTO account (aor) VALUES (?1)")?;
            for account in add {
                insert.execute([account])?;
            }
            let mut delete = db.prepare_cached("DELETE FROM account WHERE aor = ?1")?;
            for account in remove {
                delete.execute([account])?;
            }
            let count: i64 = db.query_row("SELECT count(*) FROM account", [], |row| row.get(0))?;
            Ok(usize::try_from(count).unwrap_or(0))
        })
    }

    fn bindings<'a>(&'a self, account: &'a str) -> Answer<'a, Vec<Binding>> {
        let account = account.to_owned();
        self.read(move |db| {
            let mut query = db.prepare_cached(
                "SELECT contact, q, call_id, cseq, bound_at, updated_at, expires_at, source
                 FROM binding JOIN account ON account.id = binding.account
                 WHERE aor = ?1 ORDER BY binding.id",
            )?;
            let rows = query.query_map([account], |row| {
                Ok(Binding {
                    contact: row.get(0)?,
                    q: row.get(1)?,
                    call_id: row.get(2)?,
                    cseq: row.get(3)?,
                    bound_at: Timestamp::from_micros(row.get(4)?),
                    updated_at: Timestamp::from_micros(row.get(5)?),
                    expires_at: Timestamp::from_micros(row.get(6)?),
                    source: row.get(7)?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    fn set_bindings<'a>(&'a self, account: &'a str, bindings: Vec<Binding>) -> Answer<'a, ()> {
        let account = account.to_owned();
        self.write(move |db| {
            let Some(id) = account_id(db, &account)? else {
                return Ok(());
            };
            db.prepare_cached("DELETE FROM binding WHERE account = ?1")?
                .execute([id])?;
            let mut insert = db.prepare_cached(
                "INSERT INTO binding (account, contact, q, call_id, cseq, bound_at, updated_at,
                 expires_at, source) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?;
            for binding in bindings {
                insert.execute(params![
                    id,
                    binding.contact,
                    binding.q,
                    binding.call_id,
                    binding.cseq,
                    binding.bound_at.micros(),
                    binding.updated_at.micros(),
                    binding.expires_at.micros(),
                    binding.source,
                ])?;
            }
            Ok(())
        })
    }

    fn remove_lapsed(&self, now: Timestamp) -> Answer<'_, ()> {
        self.write(move |db| {
            db.prepare_cached("DELETE FROM binding WHERE expires_at <= ?1")?
                .execute([now.micros()])?;
            Ok(())
        })
    }

    fn insert(&self, message: NewMessage, most: u64) -> Answer<'_, Inserted> {
        self.write(move |db| {
            let Some(id) = account_id(db, &message.account)? else {
                return Ok(Inserted::NoAccount);
            };
            let held: i64 = db
                .prepare_cached("SELECT count(*) FROM message WHERE account = ?1")?
                .query_row([id], |row| row.get(0))?;
            if u64::try_from(held).unwrap_or(0) >= most {
                return Ok(Inserted::Full);
            }
            let mark = message.mark.as_ref();
            db.prepare_cached(
                "INSERT INTO message (account, message_id, request, received_at, stored_at,
                 expire_at, expire_seconds, expire_raw) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                id,
                message.message_id,
                &message.request[..],
                message.received_at.micros(),
                message.stored_at.micros(),
                mark.map(|mark| mark.at.micros()),
                mark.map(|mark| i64::try_from(mark.seconds).unwrap_or(i64::MAX)),
                mark.and_then(|mark| mark.raw.as_deref()),
            ])?;
            Ok(Inserted::Stored(db.last_insert_rowid()))
        })
    }

    fn messages(&self, account: Option<String>) -> Answer<'_, Vec<StoredMessage>> {
        self.read(move |db| {
            let mut query = db.prepare_cached(&format!(
                "{SELECT_MESSAGE} WHERE ?1 IS NULL OR aor = ?1 ORDER BY message.id"
            ))?;
            let rows = query.query_map([account], stored_message)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    fn next_message<'a>(
        &'a self,
        account: &'a str,
        after: i64,
    ) -> Answer<'a, Option<StoredMessage>> {
        let account = account.to_owned();
        self.read(move |db| {
            let Some(id) = account_id(db, &account)? else {
                return Ok(None);
            };
            let mut query = db.prepare_cached(&format!(
                "{SELECT_MESSAGE} WHERE message.account = ?1 AND message.id > ?2
                 ORDER BY message.id LIMIT 1"
            ))?;
            Ok(query
                .query_row(params![id, after], stored_message)
                .optional()?)
        })
    }

    fn remove(&self, number: i64) -> Answer<'_, ()> {
        self.write(move |db| {
            db.prepare_cached("DELETE FROM message WHERE id = ?1")?
                .execute([number])?;
            Ok(())
        })
    }

    fn deliverable(&self, now: Timestamp) -> Answer<'_, Vec<String>> {
        self.read(move |db| {
            let mut query = db.prepare_cached(
                "SELECT aor FROM account WHERE id IN (SELECT account FROM binding WHERE expires_at > ?1)
                 AND EXISTS (SELECT 1 FROM message WHERE message.account = account.id)",
            )?;
            let rows = query.query_map([now.micros()], |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    fn next_expiry(&self, after: Timestamp) -> Answer<'_, Option<Timestamp>> {
        self.read(move |db| {
            let next: Option<i64> = db
                .prepare_cached(NEXT_EXPIRY)?
                .query_row([after.micros()], |row| row.get(0))
                .optional()?;
            Ok(next.map(Timestamp::from_micros))
        })
    }

    fn expire(
        &self,
        until: Timestamp,
        handling: ExpiredHandling,
        except: Vec<i64>,
    ) -> Answer<'_, usize> {
        self.write(move |db| {
            let limit = SWEEP.saturating_add(except.len());
            let due: Vec<i64> = db
                .prepare_cached(DUE)?
                .query_map(
                    params![until.micros(), i64::try_from(limit).unwrap_or(i64::MAX)],
                    |row| row.get(0),
                )?
                .collect::<Result<_, _>>()?;
            let mut change = db.prepare_cached(match handling {
                ExpiredHandling::Delete => "DELETE FROM message WHERE id = ?1",
                ExpiredHandling::Deliver | ExpiredHandling::Hold => {
                    "UPDATE message SET state = 'expired' WHERE id = ?1"
                }
            })?;
            let mut changed = 0;
            for number in due.into_iter().filter(|number| !except.contains(number)) {
                changed += change.execute([number])?;
            }
            Ok(changed)
        })
    }

    fn reserve<'a>(&'a self, counter: &'a str, count: u64) -> Answer<'a, u64> {
        let counter = counter.to_owned();
        self.write(move |db| {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            let next: i64 = db
                .prepare_cached(
                    "INSERT INTO counter (name, next) VALUES (?1, 1 + ?2)
                     ON CONFLICT (name) DO UPDATE SET next = next + ?2 RETURNING next",
                )?
                .query_row(params![counter, count], |row| row.get(0))?;
            Ok(u64::try_from(next - count).unwrap_or(0))
        })
    }

    fn account_number<'a>(&'a self, account: &'a str) -> Answer<'a, Option<u64>> {
        let account = account.to_owned();
        self.read(move |db| {
            Ok(account_id(db, &account)?.and_then(|number| u64::try_from(number).ok()))
        })
    }

    fn settings(&self) -> Answer<'_, BTreeMap<String, Value>> {
        self.read(|db| {
            let mut query = db.prepare_cached("SELECT key, value FROM setting")?;
            let rows = query.query_map([], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
            })?;
            rows.map(|row| {
                let (key, value) = row?;
                let value = serde_json::from_str(&value)
                    .map_err(|error| StoreError::Failed(format!("setting {key}: {error}")))?;
                Ok((key, value))
            })
            .collect()
        })
    }

    fn save_settings(&self, settings: BTreeMap<String, Value>) -> Answer<'_, ()> {
        self.write(move |db| {
            let mut save = db.prepare_cached(
                "INSERT INTO setting (key, value) VALUES (?1, ?2)
                 ON CONFLICT (key) DO UPDATE SET value = ?2",
            )?;
            for (key, value) in settings {
                save.execute(params![key, value.to_string()])?;
            }
            Ok(())
        })
    }

    fn close(&self) -> Answer<'_, ()> {
        // Without senders the threads finish what is queued and end.
        drop(
            self.lanes
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        let threads: Vec<_> = self
            .threads
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .drain(..)
            .collect();
        Box::pin(async move {
            tokio::task::spawn_blocking(move || {
                for thread in threads {
                    let _ = thread.join();
                }
            })
            .await
            .map_err(|error| StoreError::Failed(error.to_string()))
        })
    }
}

const SELECT_MESSAGE: &str = "SELECT message.id, aor, message_id, request, received_at, stored_at,
    expire_at, expire_seconds, expire_raw, state
    FROM message JOIN account ON account.id = message.account";

// Both name the condition of the partial index, so that it serves them.
const NEXT_EXPIRY: &str = "SELECT expire_at FROM message
    WHERE expire_at IS NOT NULL AND state = 'waiting' AND expire_at > ?1
    ORDER BY expire_at LIMIT 1";
const DUE: &str = "SELECT id FROM message
    WHERE expire_at IS NOT NULL AND state = 'waiting' AND expire_at <= ?1
    ORDER BY expire_at LIMIT ?2";

fn account_id(db: &Connection, account: &str) -> Result<Option<i64>, StoreError> {
    Ok(db
        .prepare_cached("SELECT id FROM account WHERE aor = ?1")?
        .query_row([account], |row| row.get(0))
        .optional()?)
}

fn stored_message(row: &Row<'_>) -> rusqlite::Result<StoredMessage> {
    let expire_at: Option<i64> = row.get(6)?;
    let seconds: Option<i64> = row.get(7)?;
    let raw: Option<String> = row.get(8)?;
    let mark = expire_at.map(|at| Mark {
        seconds: u64::try_from(seconds.unwrap_or(0)).unwrap_or(0),
        at: Timestamp::from_micros(at),
        raw,
    });
    Ok(StoredMessage {
        number: row.get(0)?,
        message: NewMessage {
            account: row.get(1)?,
            message_id: row.get(2)?,
            request: row.get::<_, Vec<u8>>(3)?.into(),
            received_at: Timestamp::from_micros(row.get(4)?),
            stored_at: Timestamp::from_micros(row.get(5)?),
            mark,
        },
        expired: row.get::<_, String>(9)? == "expired",
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn plan(query: &str) -> String {
        let db = Connection::open_in_memory().unwrap();
        prepare(&db).unwrap();
        let mut explain = db.prepare(&format!("EXPLAIN QUERY PLAN {query}")).unwrap();
        let arguments = vec![1_i64; explain.parameter_count()];
        let lines: Vec<String> = explain
            .query_map(rusqlite::params_from_iter(arguments), |row| row.get(3))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        lines.join("\n")
    }

    #[test]
    fn expiry_is_found_by_its_index() {
        for query in [NEXT_EXPIRY, DUE] {
            let plan = plan(query);
            assert!(plan.contains("SEARCH message USING"), "{plan}");
            assert!(plan.contains("message_expiry"), "{plan}");
            assert!(!plan.contains("SCAN"), "{plan}");
        }
    }

    #[test]
    fn a_newer_schema_is_refused() {
        let db = Connection::open_in_memory().unwrap();
        db.pragma_update(None, "user_version", SCHEMA_VERSION + 1)
            .unwrap();
        let error = prepare(&db).unwrap_err().to_string();
        assert!(error.contains("use the server that wrote it"), "{error}");
    }

    #[tokio::test]
    async fn one_failure_in_a_group_leaves_the_others_alone() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("x.db")).unwrap();
        let good = store.change_accounts(vec!["sip:bob@example.org".into()], Vec::new());
        let bad: Answer<'_, ()> = store.write(|db| {
            db.execute(
                "INSERT INTO account (aor) VALUES ('sip:half@example.org')",
                [],
            )?;
            db.execute("INSERT INTO nowhere VALUES (1)", [])?;
            Ok(())
        });
        let (good, bad) = tokio::join!(good, bad);
        assert_eq!(good, Ok(1));
        assert!(matches!(bad, Err(StoreError::Failed(_))), "{bad:?}");
        assert_eq!(store.accounts().await.unwrap(), ["sip:bob@example.org"]);
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_not_done_by_halves() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let store = SqliteStore::open(&path).unwrap();
        store
            .write(|db| Ok(db.busy_timeout(Duration::ZERO)?))
            .await
            .unwrap();
        let other = Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let refused = store
            .change_accounts(vec!["sip:bob@example.org".into()], Vec::new())
            .await;
        assert!(matches!(refused, Err(StoreError::Failed(_))), "{refused:?}");
        other.execute_batch("ROLLBACK").unwrap();
        assert!(store.accounts().await.unwrap().is_empty());
        assert_eq!(
            store
                .change_accounts(vec!["sip:c@example.org".into()], Vec::new())
                .await,
            Ok(1)
        );
    }

    #[tokio::test]
    async fn a_closed_store_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("x.db")).unwrap();
        store.close().await.unwrap();
        assert_eq!(store.accounts().await, Err(StoreError::Closed));
    }
}
