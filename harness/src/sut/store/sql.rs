//! A store behind SQL: one query for the records of an account, and a table that says which column is which
//! field. What the query gives is the same to every make of database: octets by the name of their column.

#[cfg(test)]
mod live;
mod mysql;
mod parameters;
mod postgres;
mod sqlite;

use std::collections::BTreeMap;

use imspec_reports::record::{
    Expire, Field, Mode, Octets, State, StoredHeader, StoredMessage, StoredPart, UtcTime,
};

pub use mysql::Mysql;
pub use postgres::Postgres;
pub use sqlite::Sqlite;

/// Most records that one read takes.
const MOST: usize = 10_000;
/// Most octets that one read takes.
const LARGEST: usize = 256 * 1024 * 1024;
/// Where a profile has the query.
const QUERY: &str = "check `adapters.store.sql.query`";

/// A query, and how its rows become records.
#[derive(Debug, Clone)]
pub struct Query {
    /// The records of one account, in the order of storing; `:user`, `:domain` and `:account` stand for the
    /// account.
    pub text: String,
    /// Which column is which field.
    pub columns: Columns,
    /// A header that no column shows is absent rather than unknown.
    pub headers_complete: bool,
}

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

/// What a row holds in one column, as text where it is neither text nor octets; `None` is `NULL`.
pub(super) type Cell = Option<Vec<u8>>;

/// The rows of one read.
struct Rows<'a> {
    /// The database, for a reader.
    place: &'a str,
    names: Vec<String>,
    query: &'a Query,
    octets: usize,
    records: Vec<StoredMessage>,
}

impl<'a> Rows<'a> {
    fn new(place: &'a str, names: Vec<String>, query: &'a Query) -> Self {
        Self {
            place,
            names,
            query,
            octets: 0,
            records: Vec::new(),
        }
    }

    fn push(&mut self, cells: Vec<Cell>) -> Result<(), String> {
        self.octets += cells.iter().flatten().map(Vec::len).sum::<usize>();
        if self.records.len() == MOST || self.octets > LARGEST {
            return Err(format!(
                "the store in {} gives more than {MOST} records, or {LARGEST} octets, for one account; {QUERY}: \
                 it must pick out one account",
                self.place
            ));
        }
        let row = self.names.iter().map(String::as_str).zip(cells).collect();
        self.records.push(record(
            &self.query.columns,
            self.query.headers_complete,
            &row,
        )?);
        Ok(())
    }
}

/// One row as a record.
pub(super) fn record(
    columns: &Columns,
    headers_complete: bool,
    row: &BTreeMap<&str, Cell>,
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

/// What a source gives for a row.
fn cell_of(source: &Source, row: &BTreeMap<&str, Cell>) -> Result<Field<Vec<u8>>, String> {
    let column = match source {
        Source::Constant(text) => return Ok(Field::Known(text.clone().into_bytes())),
        Source::Column(column) => column,
    };
    match row.get(column.as_str()) {
        None => Err(format!(
            "the query of the store adapter gives no column `{column}`; it gives {}; \
             check `adapters.store.sql.columns`",
            row.keys().copied().collect::<Vec<_>>().join(", ")
        )),
        Some(None) => Ok(Field::Absent),
        Some(Some(octets)) => Ok(Field::Known(octets.clone())),
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
pub(super) fn lines_of(block: &[u8]) -> Vec<StoredHeader> {
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
    // `infinity` is a time to some databases, and no number of seconds.
    if let Some(seconds) = text.parse::<f64>().ok().filter(|it| it.is_finite()) {
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

/// A state by its name.
pub(super) fn state_named(name: &str) -> Result<Field<State>, String> {
    state(Field::Known(name.as_bytes().to_vec()))
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
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

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

    #[test]
    fn infinity_is_no_time() {
        let at = |text: &str| instant(Field::Known(text.into()), "expire-at");
        assert!(at("infinity").is_err_and(|why| why.contains("`infinity`")));
        assert!(at("NaN").is_err());
        assert_eq!(at("1.5"), Ok(Field::Known(UtcTime { unix_us: 1_500_000 })));
        assert_eq!(at("1970-01-01T00:00:02Z"), at("2"));
    }
}
