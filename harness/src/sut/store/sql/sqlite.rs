//! A store in a file of `SQLite`.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use imspec_reports::record::StoredMessage;
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags};

use super::{Cell, Query, Rows};
use crate::sut::Pending;
use crate::sut::store::{Account, Store};

/// How long to wait for a lock of the server.
const BUSY: Duration = Duration::from_secs(2);

/// An `SQLite` database of the server, opened for reading only.
#[derive(Debug)]
pub struct Sqlite {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: std::path::PathBuf,
    query: Query,
    /// Opened at the first read: the server makes the file when it starts.
    connection: Mutex<Option<Connection>>,
}

impl Sqlite {
    /// Reads a file.
    pub fn new(path: &Path, query: Query) -> Self {
        let inner = Inner {
            path: path.to_owned(),
            query,
            connection: Mutex::new(None),
        };
        Self {
            inner: Arc::new(inner),
        }
    }
}

impl Store for Sqlite {
    fn read<'a>(&'a self, account: &'a Account) -> Pending<'a, Result<Vec<StoredMessage>, String>> {
        let inner = Arc::clone(&self.inner);
        let account = account.clone();
        Box::pin(async move {
            tokio::task::spawn_blocking(move || inner.read(&account))
                .await
                .unwrap_or_else(|e| Err(format!("reading the store was interrupted: {e}")))
        })
    }
}

impl Inner {
    fn read(&self, account: &Account) -> Result<Vec<StoredMessage>, String> {
        let failed = |e: rusqlite::Error| format!("store {}: {e}", self.path.display());
        let mut held = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let connection = if let Some(connection) = held.take() {
            connection
        } else {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(&self.path, flags).map_err(failed)?;
            connection.busy_timeout(BUSY).map_err(failed)?;
            connection
        };
        // A connection that failed is opened anew next time: the server may have made a new file.
        let records = self.query(&connection, account)?;
        *held = Some(connection);
        Ok(records)
    }

    fn query(
        &self,
        connection: &Connection,
        account: &Account,
    ) -> Result<Vec<StoredMessage>, String> {
        let failed = |e: rusqlite::Error| format!("store {}: {e}", self.path.display());
        let mut statement = connection
            .prepare_cached(&self.query.text)
            .map_err(failed)?;
        for (name, value) in [
            (":user", &account.user),
            (":domain", &account.domain),
            (":account", &account.uri),
        ] {
            if let Some(index) = statement.parameter_index(name).map_err(failed)? {
                statement.raw_bind_parameter(index, value).map_err(failed)?;
            }
        }
        let names: Vec<String> = statement.column_names().map(ToString::to_string).collect();
        let place = self.path.display().to_string();
        let mut read = Rows::new(&place, names, &self.query);
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().map_err(failed)? {
            let cells = (0..read.names.len()).map(|index| row.get::<_, Value>(index).map(cell));
            let cells = cells.collect::<Result<_, _>>().map_err(failed)?;
            read.push(cells)?;
        }
        Ok(read.records)
    }
}

fn cell(value: Value) -> Cell {
    match value {
        Value::Null => None,
        Value::Integer(number) => Some(number.to_string().into_bytes()),
        Value::Real(number) => Some(number.to_string().into_bytes()),
        Value::Text(text) => Some(text.into_bytes()),
        Value::Blob(octets) => Some(octets),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use imspec_reports::record::{Field, State, UtcTime};

    use super::*;
    use crate::sut::store::{Columns, Source};

    fn column(name: &str) -> Source {
        Source::Column(name.into())
    }

    fn silo(directory: &Path) -> std::path::PathBuf {
        let path = directory.join("im.db");
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch(
                "CREATE TABLE silo (id INTEGER PRIMARY KEY, src TEXT, dst TEXT, username TEXT, domain TEXT,
                                    inc INTEGER, exp INTEGER, snd INTEGER, ctype TEXT, body BLOB, extra TEXT);
                 INSERT INTO silo VALUES (7, 'sip:alice@example.org', 'sip:bob@example.org', 'bob', 'example.org',
                                          1700000000, 1700000600, 0, 'text/plain', x'00ff',
                                          'X-A: one' || char(13, 10) || 'X-B:  two' || char(13, 10) || ' more' || char(13, 10));
                 INSERT INTO silo VALUES (8, NULL, '', 'bob', 'other.org', 1, 2, 0, NULL, 'text', NULL);",
            )
            .unwrap();
        path
    }

    fn columns() -> Columns {
        let fields = [
            ("message-id", column("id")),
            ("request-uri", column("dst")),
            ("headers", column("extra")),
            ("body", column("body")),
            ("received-at", column("inc")),
            ("expire-at", column("exp")),
            ("stored-at", column("snd")),
            ("state", Source::Constant("waiting".into())),
        ];
        Columns {
            fields: fields
                .map(|(name, source)| (name.to_owned(), source))
                .into(),
            headers: vec![
                ("From".into(), column("src")),
                ("Content-Type".into(), column("ctype")),
            ],
        }
    }

    fn asked(text: &str, columns: Columns) -> Query {
        Query {
            text: text.into(),
            columns,
            headers_complete: true,
        }
    }

    fn bob(domain: &str) -> Account {
        Account {
            uri: format!("sip:bob@{domain}"),
            user: "bob".into(),
            domain: domain.into(),
        }
    }

    #[tokio::test]
    async fn a_row_becomes_a_record() {
        let directory = tempfile::tempdir().unwrap();
        let query = "SELECT * FROM silo WHERE username = :user AND domain = :domain ORDER BY id";
        let store = Sqlite::new(&silo(directory.path()), asked(query, columns()));
        let records = store.read(&bob("example.org")).await.unwrap();
        let [record] = records.as_slice() else {
            panic!("one record")
        };
        assert_eq!(record.message_id, Field::Known("7".into()));
        assert_eq!(
            record.start_line.known().unwrap()[..],
            *b"MESSAGE sip:bob@example.org SIP/2.0"
        );
        assert_eq!(record.body.known().unwrap()[..], [0, 0xff]);
        assert_eq!(
            record.expire.known().unwrap().at,
            Some(UtcTime {
                unix_us: 1_700_000_600_000_000
            })
        );
        assert_eq!(record.expire.known().unwrap().seconds, None);
        assert_eq!(record.stored_at, Field::Absent, "0 is no instant");
        assert_eq!(record.account, Field::Unknown);
        assert_eq!(record.state, Field::Known(State::Waiting));
        let headers: Vec<_> = record
            .headers
            .iter()
            .map(|h| (h.name.as_str(), &h.value[..]))
            .collect();
        assert_eq!(
            headers,
            [
                ("From", b"sip:alice@example.org".as_slice()),
                ("Content-Type", b"text/plain"),
                ("X-A", b"one"),
                ("X-B", b" two\r\n more"),
            ]
        );
        let others = store.read(&bob("other.org")).await.unwrap();
        assert!(others[0].headers.is_empty());
        assert!(store.read(&bob("nowhere.org")).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn mistakes_of_the_profile_are_explained() {
        let directory = tempfile::tempdir().unwrap();
        let path = silo(directory.path());
        let mut wrong = columns();
        wrong.fields.insert("body".into(), column("bdy"));
        let store = Sqlite::new(
            &path,
            asked(
                "SELECT id, dst, extra, inc, exp, snd, src, ctype FROM silo",
                wrong,
            ),
        );
        let why = store.read(&bob("example.org")).await.unwrap_err();
        assert!(why.contains("no column `bdy`"), "{why}");
        let store = Sqlite::new(&path, asked("SELECT nonsense FROM silo", columns()));
        assert!(
            store
                .read(&bob("example.org"))
                .await
                .unwrap_err()
                .contains("nonsense")
        );
        let missing = Sqlite::new(
            &directory.path().join("none.db"),
            asked("SELECT 1", columns()),
        );
        assert!(
            missing
                .read(&bob("example.org"))
                .await
                .unwrap_err()
                .contains("none.db")
        );
    }

    #[tokio::test]
    async fn a_reader_never_writes() {
        let directory = tempfile::tempdir().unwrap();
        let store = Sqlite::new(
            &silo(directory.path()),
            asked("DELETE FROM silo RETURNING *", columns()),
        );
        assert!(store.read(&bob("example.org")).await.is_err());
    }
}
