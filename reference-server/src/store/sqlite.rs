//! The store as one `SQLite` file.
//!
//! One thread writes. It takes up to 64 requests at a time into one transaction and answers them after
//! the commit, which `SQLite` syncs to the disk: durability costs one sync for all of them. Another
//! thread reads, undisturbed by the writer (WAL).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row, params};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use super::{
    Answer, Binding, Form, Inserted, NewMessage, PIECE, Part, Piece, SessionRecord, Store,
    StoreError, StoredMessage,
};
use crate::clock::Timestamp;
use crate::policy::{ExpiredHandling, Mark};

/// Statements that stay prepared: all that there are. With fewer places they push each other out, and reading
/// the text of a statement takes longer than running it.
const STATEMENTS: usize = 64;
/// Requests in one transaction.
const GROUP: usize = 64;
/// Requests that may wait for the writer, and as many for the reader.
const QUEUE: usize = 4096;
/// Messages expired in one go, so that a great sweep does not hold up the senders.
const SWEEP: usize = 256;
/// Raised when the schema changes in a way that an older server cannot read.
const SCHEMA_VERSION: i64 = 4;
/// What brings a file from each version to the next, from 0, which is an empty file.
const STEPS: [&str; 4] = [
    include_str!("schema.sql"),
    include_str!("schema-2.sql"),
    include_str!("schema-3.sql"),
    include_str!("schema-4.sql"),
];

/// Work done in the transaction, or not at all where there is none; what it gives is called after the
/// commit.
type Job = Box<dyn FnOnce(Result<&Connection, StoreError>) -> Report + Send>;
/// Tells whoever asked how it went, once it is known whether the commit held.
type Report = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// A [`Store`] in one `SQLite` file.
#[derive(Debug)]
pub struct SqliteStore {
    lanes: Mutex<Option<Lanes>>,
    next_content: AtomicI64,
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
        let next_content = writer.query_row(
            "SELECT 1 + max(coalesce((SELECT max(content) FROM part), 0),
                            coalesce((SELECT max(content) FROM piece), 0))",
            [],
            |row| row.get(0),
        )?;
        let reader = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        reader.busy_timeout(Duration::from_secs(10))?;
        for connection in [&writer, &reader] {
            connection.set_prepared_statement_cache_capacity(STATEMENTS);
        }
        let (write, queued_writes) = mpsc::channel(QUEUE);
        let (read, queued_reads) = mpsc::channel(QUEUE);
        let threads = vec![
            spawn("store-write", move || write_all(&writer, queued_writes))?,
            spawn("store-read", move || read_all(&reader, queued_reads))?,
        ];
        let lanes = Mutex::new(Some(Lanes { write, read }));
        Ok(Self {
            lanes,
            next_content: AtomicI64::new(next_content),
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
    ) -> Answer<'static, T> {
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
    let have = usize::try_from(version).unwrap_or(0);
    if have < STEPS.len() {
        // In one transaction: half a schema would be no schema.
        connection.execute_batch(&format!(
            "BEGIN; {} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;",
            STEPS.get(have..).unwrap_or_default().concat()
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

    fn password<'a>(&'a self, account: &'a str) -> Answer<'a, Option<String>> {
        let account = account.to_owned();
        self.read(move |db| {
            let mut query = db.prepare_cached("SELECT password FROM account WHERE aor = ?1")?;
            let found = query.query_row([account], |row| row.get::<_, Option<String>>(0));
            Ok(found.optional()?.flatten())
        })
    }

    fn set_passwords(&self, passwords: Vec<(String, String)>) -> Answer<'_, ()> {
        self.write(move |db| {
            let mut update =
                db.prepare_cached("UPDATE account SET password = ?2 WHERE aor = ?1")?;
            for (account, password) in passwords {
                update.execute([account, password])?;
            }
            Ok(())
        })
    }

    fn bindings<'a>(&'a self, account: &'a str) -> Answer<'a, Vec<Binding>> {
        let account = account.to_owned();
        self.read(move |db| {
            let mut query = db.prepare_cached(
                "SELECT contact, q, call_id, cseq, bound_at, updated_at, expires_at, source, target, route
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
                    target: row.get(8)?,
                    route: row
                        .get::<_, String>(9)?
                        .lines()
                        .map(str::to_owned)
                        .collect(),
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
                 expires_at, source, target, route)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
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
                    binding.target,
                    binding.route.join("\n"),
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

    fn insert_session(
        &self,
        message: NewMessage,
        pieces: Vec<Piece>,
        held: bool,
        most: u64,
    ) -> Answer<'static, Inserted> {
        self.write(move |db| insert(db, &message, pieces, held, most))
    }

    fn append(
        &self,
        number: i64,
        part: Part,
        pieces: Vec<Piece>,
        received_at: Timestamp,
    ) -> Answer<'static, Inserted> {
        self.write(move |db| {
            let account: Option<i64> = db
                .prepare_cached(
                    "UPDATE message SET received_at = ?2 WHERE id = ?1 RETURNING account",
                )?
                .query_row(params![number, received_at.micros()], |row| row.get(0))
                .optional()?;
            let Some(account) = account else {
                return Ok(Inserted::NoAccount);
            };
            if is_copy(db, account, &part, Some(number))? {
                return Ok(Inserted::Duplicate);
            }
            for piece in pieces {
                write_piece(db, &piece)?;
            }
            insert_part(db, number, &part)?;
            Ok(Inserted::Stored(number))
        })
    }

    fn add_bye(&self, numbers: Vec<i64>, bye: Bytes) -> Answer<'_, ()> {
        self.write(move |db| {
            let mut add = db.prepare_cached("UPDATE message SET bye = ?2 WHERE id = ?1")?;
            for number in numbers {
                add.execute(params![number, &bye[..]])?;
            }
            Ok(())
        })
    }

    fn release(&self, number: i64, mark: Option<Mark>) -> Answer<'_, ()> {
        self.write(move |db| {
            drop_copies(db, number)?;
            db.prepare_cached(
                "UPDATE message SET held = 0, expire_at = ?2, expire_seconds = ?3, expire_raw = ?4
                 WHERE id = ?1 AND held",
            )?
            .execute(params![
                number,
                mark.as_ref().map(|mark| mark.at.micros()),
                mark.as_ref().map(|mark| signed(mark.seconds)),
                mark.as_ref().and_then(|mark| mark.raw.as_deref()),
            ])?;
            Ok(())
        })
    }

    fn recover_sessions(&self, keep_held: bool) -> Answer<'_, ()> {
        self.write(move |db| {
            if keep_held {
                let held: Vec<i64> = db
                    .prepare("SELECT id FROM message WHERE held ORDER BY id")?
                    .query_map([], |row| row.get(0))?
                    .collect::<Result<_, _>>()?;
                for number in held {
                    drop_copies(db, number)?;
                    db.execute("UPDATE message SET held = 0 WHERE id = ?1", [number])?;
                }
            } else {
                db.execute_batch("DELETE FROM message WHERE held")?;
            }
            db.execute_batch("DELETE FROM piece WHERE content NOT IN (SELECT content FROM part)")?;
            Ok(())
        })
    }

    fn new_content(&self) -> i64 {
        self.next_content.fetch_add(1, Ordering::Relaxed)
    }

    fn write_content(&self, piece: Piece) -> Answer<'static, ()> {
        self.write(move |db| write_piece(db, &piece))
    }

    fn drop_content(&self, content: i64) -> Answer<'_, ()> {
        self.write(move |db| {
            db.prepare_cached(
                "DELETE FROM piece WHERE content = ?1
                 AND NOT EXISTS (SELECT 1 FROM part WHERE part.content = ?1)",
            )?
            .execute([content])?;
            Ok(())
        })
    }

    fn read_content(&self, content: i64, at: u64, most: usize) -> Answer<'_, Bytes> {
        self.read(move |db| {
            let (number, within) = place(at);
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            let octets: Option<Vec<u8>> = db
                .prepare_cached(
                    "SELECT substr(octets, ?3, ?4) FROM piece WHERE content = ?1 AND number = ?2",
                )?
                .query_row(
                    params![
                        content,
                        number,
                        i64::try_from(within).unwrap_or(0) + 1,
                        most
                    ],
                    |row| row.get(0),
                )
                .optional()?;
            Ok(octets.unwrap_or_default().into())
        })
    }

    fn count<'a>(&'a self, account: &'a str) -> Answer<'a, u64> {
        let account = account.to_owned();
        self.read(move |db| match account_id(db, &account)? {
            Some(id) => count(db, id),
            None => Ok(0),
        })
    }

    fn messages(&self, account: Option<String>) -> Answer<'_, Vec<StoredMessage>> {
        self.read(move |db| {
            let mut query = db.prepare_cached(&format!(
                "{SELECT_MESSAGE} WHERE (?1 IS NULL OR aor = ?1) AND NOT held ORDER BY message.id"
            ))?;
            let rows = query.query_map([account], stored_message)?;
            rows.map(|stored| with_parts(db, stored?)).collect()
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
                "{SELECT_MESSAGE} WHERE message.account = ?1 AND message.id > ?2 AND NOT held
                 ORDER BY message.id LIMIT 1"
            ))?;
            let stored = query
                .query_row(params![id, after], stored_message)
                .optional()?;
            stored.map(|stored| with_parts(db, stored)).transpose()
        })
    }

    fn remove(&self, number: i64) -> Answer<'_, ()> {
        self.write(move |db| {
            // Who had it, had it: copies that wait for the end of their session are not brought once more.
            db.prepare_cached(
                "DELETE FROM part WHERE EXISTS (
                     SELECT 1 FROM part had JOIN message done ON done.id = had.message
                     JOIN message held ON held.id = part.message
                     WHERE had.message = ?1 AND NOT done.held AND held.held
                     AND held.account = done.account AND had.origin = part.origin
                     AND had.octets = part.octets AND had.sha256 = part.sha256)
                 AND origin IN (SELECT origin FROM part WHERE message = ?1)",
            )?
            .execute([number])?;
            db.prepare_cached("DELETE FROM message WHERE id = ?1")?
                .execute([number])?;
            Ok(())
        })
    }

    fn deliverable(&self, now: Timestamp) -> Answer<'_, Vec<String>> {
        self.read(move |db| {
            let mut query = db.prepare_cached(
                "SELECT aor FROM account WHERE id IN (SELECT account FROM binding WHERE expires_at > ?1)
                 AND EXISTS (SELECT 1 FROM message WHERE message.account = account.id AND NOT held)",
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
    expire_at, expire_seconds, expire_raw, state, kind, ok, bye
    FROM message JOIN account ON account.id = message.account";

// Both name the condition of the partial index, so that it serves them.
const NEXT_EXPIRY: &str = "SELECT expire_at FROM message
    WHERE expire_at IS NOT NULL AND state = 'waiting' AND expire_at > ?1 AND NOT held
    ORDER BY expire_at LIMIT 1";
const DUE: &str = "SELECT id FROM message
    WHERE expire_at IS NOT NULL AND state = 'waiting' AND expire_at <= ?1 AND NOT held
    ORDER BY expire_at LIMIT ?2";

fn account_id(db: &Connection, account: &str) -> Result<Option<i64>, StoreError> {
    Ok(db
        .prepare_cached("SELECT id FROM account WHERE aor = ?1")?
        .query_row([account], |row| row.get(0))
        .optional()?)
}

fn count(db: &Connection, account: i64) -> Result<u64, StoreError> {
    let held: i64 = db
        .prepare_cached("SELECT count(*) FROM message WHERE account = ?1")?
        .query_row([account], |row| row.get(0))?;
    Ok(u64::try_from(held).unwrap_or(0))
}

fn insert(
    db: &Connection,
    message: &NewMessage,
    pieces: Vec<Piece>,
    held: bool,
    most: u64,
) -> Result<Inserted, StoreError> {
    let Some(account) = account_id(db, &message.account)? else {
        return Ok(Inserted::NoAccount);
    };
    let (kind, request, record) = match &message.form {
        Form::Pager(request) => ("pager", request, None),
        Form::Session(record) => ("session", &record.invite, Some(record)),
    };
    let parts = record.map_or(&[] as &[Part], |record| &record.parts);
    for part in parts {
        if is_copy(db, account, part, None)? {
            return Ok(Inserted::Duplicate);
        }
    }
    if count(db, account)? >= most {
        return Ok(Inserted::Full);
    }
    let mark = message.mark.as_ref();
    db.prepare_cached(
        "INSERT INTO message (account, message_id, request, received_at, stored_at,
         expire_at, expire_seconds, expire_raw, kind, ok, bye, held)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?
    .execute(params![
        account,
        message.message_id,
        &request[..],
        message.received_at.micros(),
        message.stored_at.micros(),
        mark.map(|mark| mark.at.micros()),
        mark.map(|mark| signed(mark.seconds)),
        mark.and_then(|mark| mark.raw.as_deref()),
        kind,
        record.map(|record| &record.ok[..]),
        record.and_then(|record| record.bye.as_deref()),
        held,
    ])?;
    let number = db.last_insert_rowid();
    for piece in pieces {
        write_piece(db, &piece)?;
    }
    for part in parts {
        insert_part(db, number, part)?;
    }
    Ok(Inserted::Stored(number))
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Whether the account holds this very message already, or the record `number` has it. What another
/// record holds for the end of its session may still be dropped then, so it is no reason to let go of a
/// copy.
fn is_copy(
    db: &Connection,
    account: i64,
    part: &Part,
    number: Option<i64>,
) -> Result<bool, StoreError> {
    Ok(db
        .prepare_cached(
            "SELECT 1 FROM part JOIN message ON message.id = part.message
             WHERE origin = ?1 AND account = ?2 AND octets = ?3 AND sha256 = ?4
             AND (NOT held OR message.id = ?5)",
        )?
        .exists(params![
            part.origin,
            account,
            signed(part.octets),
            &part.sha256[..],
            number
        ])?)
}

/// Before a held record becomes a deferred message: what its account has got meanwhile goes from it.
fn drop_copies(db: &Connection, number: i64) -> Result<(), StoreError> {
    db.prepare_cached(
        "DELETE FROM part WHERE message = ?1
         AND EXISTS (SELECT 1 FROM message WHERE id = ?1 AND held)
         AND EXISTS (SELECT 1 FROM part other JOIN message ON message.id = other.message
                     WHERE other.origin = part.origin AND other.octets = part.octets
                     AND other.sha256 = part.sha256 AND NOT held
                     AND account = (SELECT account FROM message WHERE id = ?1))",
    )?
    .execute([number])?;
    db.prepare_cached(
        "DELETE FROM message WHERE id = ?1 AND held
         AND NOT EXISTS (SELECT 1 FROM part WHERE message = ?1)",
    )?
    .execute([number])?;
    Ok(())
}

fn insert_part(db: &Connection, message: i64, part: &Part) -> Result<(), StoreError> {
    // What was written before was answered for one by one; here it is seen to be all there.
    let there: i64 = db
        .prepare_cached("SELECT coalesce(sum(length(octets)), 0) FROM piece WHERE content = ?1")?
        .query_row([part.content], |row| row.get(0))?;
    if there != signed(part.octets) {
        return Err(StoreError::Failed(format!(
            "of {} octets of a message {there} are in the store",
            part.octets
        )));
    }
    let mut heads = Vec::new();
    for head in &part.heads {
        heads.extend_from_slice(head);
        heads.extend_from_slice(b"\r\n");
    }
    db.prepare_cached(
        "INSERT INTO part (content, message, place, origin, heads, first, all_heads, octets, sha256)
         VALUES (?1, ?2, (SELECT coalesce(max(place) + 1, 0) FROM part WHERE message = ?2), ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        part.content,
        message,
        part.origin,
        heads,
        i64::try_from(part.first).unwrap_or(0),
        part.all_heads,
        signed(part.octets),
        &part.sha256[..],
    ])?;
    Ok(())
}

/// The piece that an octet is in, and its place there.
fn place(at: u64) -> (i64, usize) {
    let size = PIECE as u64;
    (signed(at / size), usize::try_from(at % size).unwrap_or(0))
}

fn write_piece(db: &Connection, piece: &Piece) -> Result<(), StoreError> {
    let (number, within) = place(piece.at);
    let end = within.saturating_add(piece.octets.len());
    if end > PIECE {
        return Err(StoreError::Failed("octets across two pieces".to_owned()));
    }
    let before: Option<Vec<u8>> = db
        .prepare_cached("SELECT octets FROM piece WHERE content = ?1 AND number = ?2")?
        .query_row(params![piece.content, number], |row| row.get(0))
        .optional()?;
    let mut written = db.prepare_cached(
        "INSERT INTO piece (content, number, octets) VALUES (?1, ?2, ?3)
         ON CONFLICT (content, number) DO UPDATE SET octets = ?3",
    )?;
    match before {
        None if within == 0 => {
            written.execute(params![piece.content, number, &piece.octets[..]])?
        }
        before => {
            let mut octets = before.unwrap_or_default();
            octets.resize(octets.len().max(end), 0);
            if let Some(place) = octets.get_mut(within..end) {
                place.copy_from_slice(&piece.octets);
            }
            written.execute(params![piece.content, number, octets])?
        }
    };
    Ok(())
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
    let request: Bytes = row.get::<_, Vec<u8>>(3)?.into();
    let form = if row.get::<_, String>(10)? == "session" {
        Form::Session(SessionRecord {
            invite: request,
            ok: row
                .get::<_, Option<Vec<u8>>>(11)?
                .unwrap_or_default()
                .into(),
            bye: row.get::<_, Option<Vec<u8>>>(12)?.map(Bytes::from),
            parts: Vec::new(),
        })
    } else {
        Form::Pager(request)
    };
    Ok(StoredMessage {
        number: row.get(0)?,
        message: NewMessage {
            account: row.get(1)?,
            message_id: row.get(2)?,
            form,
            received_at: Timestamp::from_micros(row.get(4)?),
            stored_at: Timestamp::from_micros(row.get(5)?),
            mark,
        },
        expired: row.get::<_, String>(9)? == "expired",
    })
}

fn with_parts(db: &Connection, mut stored: StoredMessage) -> Result<StoredMessage, StoreError> {
    if let Form::Session(record) = &mut stored.message.form {
        let mut query = db.prepare_cached(
            "SELECT content, octets, sha256, origin, heads, first, all_heads FROM part
             WHERE message = ?1 ORDER BY place",
        )?;
        let parts = query.query_map([stored.number], |row| {
            let sha256: Vec<u8> = row.get(2)?;
            Ok(Part {
                content: row.get(0)?,
                octets: u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0),
                sha256: sha256.try_into().unwrap_or_default(),
                origin: row.get(3)?,
                heads: split_heads(&row.get::<_, Vec<u8>>(4)?.into()),
                first: usize::try_from(row.get::<_, i64>(5)?).unwrap_or(0),
                all_heads: row.get(6)?,
            })
        })?;
        record.parts = parts.collect::<Result<_, _>>()?;
    }
    Ok(stored)
}

/// Heads as [`insert_part`] wrote them: an empty line ends each.
fn split_heads(heads: &Bytes) -> Vec<Bytes> {
    let mut split = Vec::new();
    let mut start = 0;
    let mut line = 0;
    for (at, _) in heads
        .iter()
        .enumerate()
        .filter(|(_, octet)| **octet == b'\n')
    {
        if at - line <= 1 {
            split.push(heads.slice(start..line));
            start = at + 1;
        }
        line = at + 1;
    }
    split
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
