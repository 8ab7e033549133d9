//! A store behind SQL (SQLite): one query for the records of an account, and a table that says which
//! column is which field.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use imspec_reports::record::{
    Expire, Field, Mode, Octets, State, StoredHeader, StoredMessage, StoredPart, UtcTime,
};
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags};

use super::{Account, Store};
use crate::sut::Pending;

/// How long to wait for a lock of the server.
const BUSY: Duration = Duration::from_secs(2);
/// Most records that one read takes.
const MOST: usize = 10_000;

/// Where a field comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A column of the query.
    Column(String),
    /// The same for every record.
    Constant(String),
}

/// Which column is which field. A field without a source is *unknown*; a column that holds `NULL` says that
/// the field is *absent*.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Columns {
    /// Field name (`message-id`, `body`, `received-at`, …) → source.
    pub fields: BTreeMap<String, Source>,
    /// Header name → source, for headers that have a column of their own.
    pub headers: Vec<(String, Source)>,
}

impl Columns {
    /// Fields that a profile can map. `headers` is a block of header lines, and so are the parts of a session,
    /// `invite`, `ok`, `bye` and `send`, which may begin with their first line; `mode` is `pager` or
    /// `session`; the times are seconds since 1970 or RFC 3339 text.
    pub const FIELDS: [&str; 16] = [
        "account",
        "message-id",
        "start-line",
        "request-uri",
        "headers",
        "body",
        "received-at",
        "stored-at",
        "expire-at",
        "expire-seconds",
        "state",
        "mode",
        "invite",
        "ok",
        "bye",
        "send",
    ];
}

/// An `SQLite` database of the server, opened for reading only.
#[derive(Debug)]
pub struct Sqlite {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: std::path::PathBuf,
    query: String,
    columns: Columns,
    headers_complete: bool,
    /// Opened at the first read: the server makes the file when it starts.
    connection: Mutex<Option<Connection>>,
}

impl Sqlite {
    /// Reads `path` with `query`, in which `:user`, `:domain` and `:account` stand for the account.
    pub fn new(path: &Path, query: &str, columns: Columns, headers_complete: bool) -> Self {
        let inner = Inner {
            path: path.to_owned(),
            query: query.to_owned(),
            columns,
            headers_complete,
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
        let mut statement = connection.prepare_cached(&self.query).map_err(failed)?;
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
        let mut rows = statement.raw_query();
        let mut records = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            if records.len() == MOST {
                return Err(format!(
                    "store {}: more than {MOST} records of one account",
                    self.path.display()
                ));
            }
            let mut values = BTreeMap::new();
            for (index, name) in names.iter().enumerate() {
                values.insert(name.as_str(), row.get::<_, Value>(index).map_err(failed)?);
            }
            records.push(record(&self.columns, self.headers_complete, &values)?);
        }
        Ok(records)
    }
}

/// One row as a record.
fn record(
    columns: &Columns,
    headers_complete: bool,
    row: &BTreeMap<&str, Value>,
) -> Result<StoredMessage, String> {
    let cell = |name: &str| {
        columns
            .fields
            .get(name)
            .map_or(Ok(Field::Unknown), |source| cell_of(source, row))
    };
    let start_line = match (cell("start-line")?, cell("request-uri")?) {
        (Field::Unknown, Field::Known(uri)) => Field::Known(Octets::from(
            [b"MESSAGE ".as_slice(), &uri, b" SIP/2.0"].concat(),
        )),
        (line, _) => line.map(Octets::from),
    };
    let mut headers = Vec::new();
    for (name, source) in &columns.headers {
        if let Field::Known(value) = cell_of(source, row)?
            && !value.is_empty()
        {
            headers.push(StoredHeader {
                name: name.clone(),
                value: value.into(),
            });
        }
    }
    if let Field::Known(block) = cell("headers")? {
        headers.extend(lines_of(&block));
    }
    let received_at = instant(cell("received-at")?, "received-at")?;
    let seconds = match cell("expire-seconds")? {
        Field::Known(text) => Field::Known(number(&text, "expire-seconds")?),
        Field::Absent => Field::Absent,
        Field::Unknown => Field::Unknown,
    };
    let expire = match (seconds, instant(cell("expire-at")?, "expire-at")?) {
        (Field::Unknown, Field::Unknown) => Field::Unknown,
        (seconds, at) => {
            let (seconds, at) = (seconds.known().copied(), at.known().copied());
            if seconds.is_none() && at.is_none() {
                Field::Absent
            } else {
                Field::Known(Expire { seconds, at })
            }
        }
    };
    let part =
        |name: &str| Ok::<_, String>(cell(name)?.map(|block| part_of(&block, headers_complete)));
    Ok(StoredMessage {
        account: text(cell("account")?),
        message_id: text(cell("message-id")?),
        mode: mode(cell("mode")?)?,
        invite: part("invite")?,
        ok: part("ok")?,
        bye: part("bye")?,
        send: part("send")?,
        start_line,
        headers,
        headers_complete,
        body: cell("body")?.map(Octets::from),
        received_at,
        stored_at: instant(cell("stored-at")?, "stored-at")?,
        expire,
        state: state(cell("state")?)?,
        ..StoredMessage::default()
    })
}

/// What a source gives for a row, as octets: numbers in decimal.
fn cell_of(source: &Source, row: &BTreeMap<&str, Value>) -> Result<Field<Vec<u8>>, String> {
    let column = match source {
        Source::Constant(text) => return Ok(Field::Known(text.clone().into_bytes())),
        Source::Column(column) => column,
    };
    match row.get(column.as_str()) {
        None => Err(format!(
            "the query of the store adapter gives no column `{column}`; it gives {}",
            row.keys().copied().collect::<Vec<_>>().join(", ")
        )),
        Some(Value::Null) => Ok(Field::Absent),
        Some(Value::Integer(number)) => Ok(Field::Known(number.to_string().into_bytes())),
        Some(Value::Real(number)) => Ok(Field::Known(number.to_string().into_bytes())),
        Some(Value::Text(text)) => Ok(Field::Known(text.clone().into_bytes())),
        Some(Value::Blob(octets)) => Ok(Field::Known(octets.clone())),
    }
}

/// What is kept of one message of a session: its first line, where that is kept, and header lines.
fn part_of(block: &[u8], headers_complete: bool) -> StoredPart {
    let line = block.split(|octet| *octet == b'\n').next().unwrap_or(block);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    // `INVITE sip:… SIP/2.0`, `SIP/2.0 200 OK`, `MSRP a1b2 SEND`: no name of a header has a space in it.
    let name = line.split(|octet| *octet == b':').next().unwrap_or(line);
    let is_start_line = name.trim_ascii_end().contains(&b' ');
    StoredPart {
        start_line: if is_start_line {
            Field::Known(line.to_vec().into())
        } else {
            Field::Unknown
        },
        headers: lines_of(block)
            .into_iter()
            .filter(|header| !header.name.contains(' '))
            .collect(),
        headers_complete,
    }
}

fn mode(cell: Field<Vec<u8>>) -> Result<Field<Mode>, String> {
    Ok(match text(cell) {
        Field::Unknown => Field::Unknown,
        Field::Absent => Field::Absent,
        Field::Known(name) => Field::Known(match name.as_str() {
            "pager" => Mode::Pager,
            "session" => Mode::Session,
            other => {
                return Err(format!(
                    "the store gives the mode `{other}`; it is `pager` or `session`"
                ));
            }
        }),
    })
}

/// Header lines of a block, folded lines kept with the field that they continue (RFC 3261 §7.3.1).
fn lines_of(block: &[u8]) -> Vec<StoredHeader> {
    let mut fields: Vec<Vec<u8>> = Vec::new();
    for line in block.split_inclusive(|&octet| octet == b'\n') {
        match fields.last_mut() {
            Some(field) if line.starts_with(b" ") || line.starts_with(b"\t") => {
                field.extend_from_slice(line);
            }
            _ => fields.push(line.to_vec()),
        }
    }
    fields
        .iter()
        .filter_map(|field| {
            let colon = field.iter().position(|&octet| octet == b':')?;
            let name = String::from_utf8_lossy(field[..colon].trim_ascii_end()).into_owned();
            let value = field[colon + 1..]
                .strip_prefix(b" ")
                .unwrap_or(&field[colon + 1..]);
            let value = value.strip_suffix(b"\n").unwrap_or(value);
            let value = value.strip_suffix(b"\r").unwrap_or(value);
            Some(StoredHeader {
                name,
                value: value.to_vec().into(),
            })
        })
        .collect()
}

fn text(cell: Field<Vec<u8>>) -> Field<String> {
    cell.map(|octets| String::from_utf8_lossy(&octets).into_owned())
}

fn number(octets: &[u8], field: &str) -> Result<u64, String> {
    std::str::from_utf8(octets)
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .ok_or_else(|| {
            format!(
                "the store holds no number for `{field}`: {}",
                octets.escape_ascii()
            )
        })
}

/// Seconds since 1970, with or without a fraction, or RFC 3339. 0 means that no instant was written.
fn instant(cell: Field<Vec<u8>>, field: &str) -> Result<Field<UtcTime>, String> {
    let octets = match cell {
        Field::Known(octets) => octets,
        Field::Absent => return Ok(Field::Absent),
        Field::Unknown => return Ok(Field::Unknown),
    };
    let text = String::from_utf8_lossy(&octets);
    if let Ok(seconds) = text.parse::<i64>() {
        return Ok(match seconds {
            0 => Field::Absent,
            seconds => Field::Known(UtcTime {
                unix_us: seconds.saturating_mul(1_000_000),
            }),
        });
    }
    if let Ok(seconds) = text.parse::<f64>() {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the cast saturates, which is right for absurd times"
        )]
        return Ok(Field::Known(UtcTime {
            unix_us: (seconds * 1e6) as i64,
        }));
    }
    UtcTime::parse(&text).map(Field::Known).map_err(|e| {
        format!("the store holds no time that can be read for `{field}`: `{text}`: {e}")
    })
}

fn state(cell: Field<Vec<u8>>) -> Result<Field<State>, String> {
    Ok(match text(cell) {
        Field::Unknown => Field::Unknown,
        Field::Absent => Field::Absent,
        Field::Known(name) => Field::Known(match name.as_str() {
            "waiting" => State::Waiting,
            "delivering" => State::Delivering,
            "delivered" => State::Delivered,
            "expired" => State::Expired,
            "deleted" => State::Deleted,
            other => {
                return Err(format!(
                    "the store gives the state `{other}`, which is none of ours"
                ));
            }
        }),
    })
}

/// `Field::map`, which the record model has no need of.
trait Map<T> {
    fn map<U>(self, convert: impl FnOnce(T) -> U) -> Field<U>;
}

impl<T> Map<T> for Field<T> {
    fn map<U>(self, convert: impl FnOnce(T) -> U) -> Field<U> {
        match self {
            Self::Unknown => Field::Unknown,
            Self::Absent => Field::Absent,
            Self::Known(value) => Field::Known(convert(value)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;

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

    fn bob(domain: &str) -> Account {
        Account {
            uri: format!("sip:bob@{domain}"),
            user: "bob".into(),
            domain: domain.into(),
        }
    }

    #[test]
    fn a_block_may_begin_with_the_first_line_of_the_message() {
        let part = part_of(
            b"INVITE sip:bob@example.org SIP/2.0\r\nSubject: Dinner\r\n at eight\r\n",
            true,
        );
        assert_eq!(
            part.start_line.known().unwrap()[..],
            *b"INVITE sip:bob@example.org SIP/2.0"
        );
        let names: Vec<_> = part.headers.iter().map(|h| h.name.as_str()).collect();
        assert_eq!(names, ["Subject"]);
        let part = part_of(b"To-Path : msrp://a:1/s;tcp\r\nMessage-ID: m1\r\n", true);
        assert_eq!(part.start_line, Field::Unknown);
        assert_eq!(part.headers.len(), 2);
        assert_eq!(
            mode(Field::Known(b"session".to_vec())),
            Ok(Field::Known(Mode::Session))
        );
        assert!(mode(Field::Known(b"lm".to_vec())).is_err());
    }

    #[tokio::test]
    async fn a_row_becomes_a_record() {
        let directory = tempfile::tempdir().unwrap();
        let query = "SELECT * FROM silo WHERE username = :user AND domain = :domain ORDER BY id";
        let store = Sqlite::new(&silo(directory.path()), query, columns(), true);
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
            "SELECT id, dst, extra, inc, exp, snd, src, ctype FROM silo",
            wrong,
            true,
        );
        let why = store.read(&bob("example.org")).await.unwrap_err();
        assert!(why.contains("no column `bdy`"), "{why}");
        let store = Sqlite::new(&path, "SELECT nonsense FROM silo", columns(), true);
        assert!(
            store
                .read(&bob("example.org"))
                .await
                .unwrap_err()
                .contains("nonsense")
        );
        let missing = Sqlite::new(
            &directory.path().join("none.db"),
            "SELECT 1",
            columns(),
            true,
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
            "DELETE FROM silo RETURNING *",
            columns(),
            true,
        );
        assert!(store.read(&bob("example.org")).await.is_err());
    }
}
