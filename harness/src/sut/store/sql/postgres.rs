//! A store in `PostgreSQL`.

use std::error::Error as _;
use std::fmt::Write as _;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::StreamExt as _;
use imspec_reports::record::{StoredMessage, UtcTime};
use tokio::sync::Mutex;
use tokio_postgres::config::Host;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{Format, FromSql, IsNull, Kind, ToSql, Type};
use tokio_postgres::{Client, Config, Error, NoTls};

use super::parameters::{Dialect, Parameter, replaced};
use super::{Cell, QUERY, Query, Rows};
use crate::sut::Pending;
use crate::sut::store::{Account, Store};

/// How long a read may take, with the connection that it may need.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a connection may take.
const REACH: Duration = Duration::from_secs(5);
/// 2000-01-01T00:00:00Z, from which `PostgreSQL` counts, in microseconds of Unix time.
const EPOCH_US: i64 = 946_684_800_000_000;

/// A database of the server, in which every read is a transaction that only reads.
#[derive(Debug)]
pub struct Postgres {
    config: Config,
    /// The server and the database, for a reader: without the password.
    place: String,
    query: Query,
    /// The query with `$1`, `$2`, … in it.
    text: String,
    parameters: Vec<Parameter>,
    /// Made at the first read: the server may make the database when it starts.
    client: Mutex<Option<Client>>,
}

/// What a read fails of.
enum Trouble {
    /// Of the connection or the query.
    Database(Error),
    /// Of what it gave.
    Told(String),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

impl Postgres {
    /// Reads the database that a connection string (`host=… dbname=…`) or a URL names.
    ///
    /// # Errors
    /// Where it is neither.
    pub fn new(address: &str, password: Option<&str>, query: Query) -> Result<Self, String> {
        // The address may hold a password, and so may what is wrong with it: neither is repeated.
        let mut config: Config = address.parse().map_err(|_| {
            "`adapters.store.sql.postgres` is neither a URL, such as `postgres://im@127.0.0.1:5432/im`, nor words \
             such as `host=127.0.0.1 port=5432 user=im dbname=im`"
                .to_owned()
        })?;
        if let Some(password) = password {
            config.password(password);
        }
        config.connect_timeout(REACH).application_name("imspec");
        let mut parameters = Vec::new();
        let text = replaced(&query.text, Dialect::Postgres, |parameter| {
            if !parameters.contains(&parameter) {
                parameters.push(parameter);
            }
            format!("${}", parameter.number(&parameters))
        });
        Ok(Self {
            place: place_of(&config),
            config,
            query,
            text,
            parameters,
            client: Mutex::new(None),
        })
    }

    async fn records(&self, account: &Account) -> Result<Vec<StoredMessage>, String> {
        let mut held = self.client.lock().await;
        if let Some(mut client) = held.take().filter(|client| !client.is_closed()) {
            match self.rows(&mut client, account).await {
                Ok(records) => {
                    *held = Some(client);
                    return Ok(records);
                }
                // The server was started again since the last read.
                Err(Trouble::Database(error)) if is_end(&error) || client.is_closed() => {}
                Err(trouble) => return Err(self.explained(trouble)),
            }
        }
        let mut client = self.connect().await?;
        match self.rows(&mut client, account).await {
            Ok(records) => {
                *held = Some(client);
                Ok(records)
            }
            Err(trouble) => Err(self.explained(trouble)),
        }
    }

    async fn connect(&self) -> Result<Client, String> {
        let (client, connection) = self
            .config
            .connect(NoTls)
            .await
            .map_err(|error| self.unreached(&error))?;
        // Ends with the client, and what it ends with the client tells.
        tokio::spawn(connection);
        Ok(client)
    }

    async fn rows(
        &self,
        client: &mut Client,
        account: &Account,
    ) -> Result<Vec<StoredMessage>, Trouble> {
        let transaction = client.build_transaction().read_only(true).start().await?;
        let statement = transaction.prepare(&self.text).await?;
        let names = statement.columns().iter().map(|it| it.name().to_owned());
        let mut read = Rows::new(&self.place, names.collect(), &self.query);
        let values: Vec<Bound<'_>> = self
            .parameters
            .iter()
            .map(|it| Bound(it.of(account)))
            .collect();
        let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|it| it as _).collect();
        let rows = transaction.query_raw(&statement, values).await?;
        let mut rows = std::pin::pin!(rows);
        while let Some(row) = rows.next().await {
            let row = row?;
            let cells = (0..row.len()).map(|index| {
                row.try_get::<_, Option<Shown>>(index)
                    .map(|shown| shown.map(|shown| shown.0))
                    .map_err(|error| match error.source() {
                        Some(why) => Trouble::Told(format!(
                            "column `{}` of the query of the store adapter: {why} ({})",
                            row.columns()[index].name(),
                            self.place
                        )),
                        None => error.into(),
                    })
            });
            let cells: Vec<Cell> = cells.collect::<Result<_, _>>()?;
            read.push(cells).map_err(Trouble::Told)?;
        }
        Ok(read.records)
    }

    fn unreached(&self, error: &Error) -> String {
        let place = &self.place;
        let Some(said) = error.as_db_error() else {
            let why = error
                .source()
                .map_or_else(|| error.to_string(), ToString::to_string);
            let check = if why.contains("TLS") {
                "check `sslmode`: imspec speaks to a database without TLS, and a tunnel can carry what must be secret"
            } else if why.contains("password") {
                "check `adapters.store.sql.password` or `password-file`: one of them is wanted"
            } else {
                "check that the database runs, and that `adapters.store.sql.postgres` says where"
            };
            return format!("the store in {place} cannot be reached: {why}; {check}");
        };
        let check = match *said.code() {
            SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
                "check `user` and `password` of `adapters.store.sql`, and pg_hba.conf of the database"
            }
            SqlState::INVALID_CATALOG_NAME => {
                "check `dbname` in `adapters.store.sql.postgres`, and that the server has made its database"
            }
            SqlState::TOO_MANY_CONNECTIONS => {
                "check max_connections of the database: each server under test needs one connection for imspec"
            }
            _ => "check `adapters.store.sql.postgres`",
        };
        format!(
            "the store in {place} cannot be reached: {}; {check}",
            told(said)
        )
    }

    fn explained(&self, trouble: Trouble) -> String {
        let error = match trouble {
            Trouble::Told(why) => return why,
            Trouble::Database(error) => error,
        };
        let place = &self.place;
        let Some(said) = error.as_db_error() else {
            let why = error
                .source()
                .map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"));
            return format!(
                "the store in {place} could not be read: {why}; check that the database still runs"
            );
        };
        let check = match *said.code() {
            SqlState::READ_ONLY_SQL_TRANSACTION => {
                "check `adapters.store.sql.query`: a store adapter only reads"
                    .to_owned()
            }
            SqlState::INSUFFICIENT_PRIVILEGE => {
                "check that the user of `adapters.store.sql.postgres` may read that table (GRANT SELECT)"
                    .to_owned()
            }
            _ if is_end(&error) => "check that the database still runs".to_owned(),
            SqlState::UNDEFINED_TABLE => {
                format!("{QUERY}, and in which database and schema it looks")
            }
            _ => QUERY.to_owned(),
        };
        format!(
            "the query of the store adapter fails in {place}: {}; {check}",
            told(said)
        )
    }
}

impl Store for Postgres {
    fn read<'a>(&'a self, account: &'a Account) -> Pending<'a, Result<Vec<StoredMessage>, String>> {
        Box::pin(async move {
            match tokio::time::timeout(PATIENCE, self.records(account)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(format!(
                    "the store in {} was not read within {} s; check for locks that the server holds, and {}",
                    self.place,
                    PATIENCE.as_secs(),
                    "whether the table has an index for the account"
                )),
            }
        })
    }
}

/// Whether the connection is over, which the server may say before it closes it.
fn is_end(error: &Error) -> bool {
    error.is_closed()
        || error.code().is_some_and(|code| {
            matches!(
                *code,
                SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN | SqlState::CANNOT_CONNECT_NOW
            ) || code.code().starts_with("08")
        })
}

fn place_of(config: &Config) -> String {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        #[cfg(unix)]
        Some(Host::Unix(path)) => path.display().to_string(),
        None => config
            .get_hostaddrs()
            .first()
            .map(ToString::to_string)
            .unwrap_or_default(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let database = config.get_dbname().or_else(|| config.get_user());
    format!("PostgreSQL {host}:{port}/{}", database.unwrap_or_default())
}

fn told(said: &tokio_postgres::error::DbError) -> String {
    let mut text = said.message().to_owned();
    for more in [said.detail(), said.hint()].into_iter().flatten() {
        text = format!("{text} ({})", more.trim_end_matches('.'));
    }
    text
}

/// A value that the server reads as whatever the query compares it with.
#[derive(Debug)]
struct Bound<'a>(&'a str);

impl ToSql for Bound<'_> {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    tokio_postgres::types::to_sql_checked!();
}

/// What a column holds, as the octets of a cell.
struct Shown(Vec<u8>);

impl<'a> FromSql<'a> for Shown {
    fn from_sql(
        kind: &Type,
        raw: &'a [u8],
    ) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        shown(kind, raw).map(Self).map_err(Into::into)
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// The binary form of a value as text, or its octets where it is text or `bytea`.
fn shown(kind: &Type, raw: &[u8]) -> Result<Vec<u8>, String> {
    if let Kind::Domain(inner) = kind.kind() {
        return shown(inner, raw);
    }
    let broken = || format!("a broken value of type {kind}");
    let text = match *kind {
        Type::BOOL => u8::from(raw != [0]).to_string(),
        Type::INT2 => i16::from_be_bytes(raw.try_into().map_err(|_| broken())?).to_string(),
        Type::INT4 => i32::from_be_bytes(raw.try_into().map_err(|_| broken())?).to_string(),
        Type::INT8 => i64::from_be_bytes(raw.try_into().map_err(|_| broken())?).to_string(),
        Type::OID => u32::from_be_bytes(raw.try_into().map_err(|_| broken())?).to_string(),
        Type::FLOAT4 => f32::from_be_bytes(raw.try_into().map_err(|_| broken())?).to_string(),
        Type::FLOAT8 => f64::from_be_bytes(raw.try_into().map_err(|_| broken())?).to_string(),
        Type::NUMERIC => numeric(raw).ok_or_else(broken)?,
        // Without a zone: taken for UTC, which docs/profile.md says.
        Type::TIMESTAMP | Type::TIMESTAMPTZ => {
            match i64::from_be_bytes(raw.try_into().map_err(|_| broken())?) {
                i64::MAX => "infinity".to_owned(),
                i64::MIN => "-infinity".to_owned(),
                us => UtcTime {
                    unix_us: us.saturating_add(EPOCH_US),
                }
                .to_string(),
            }
        }
        Type::UUID => uuid(raw).ok_or_else(broken)?,
        Type::JSONB => return raw.get(1..).map(<[u8]>::to_vec).ok_or_else(broken),
        Type::BYTEA
        | Type::TEXT
        | Type::VARCHAR
        | Type::BPCHAR
        | Type::NAME
        | Type::CHAR
        | Type::UNKNOWN
        | Type::JSON
        | Type::XML => return Ok(raw.to_vec()),
        _ if matches!(kind.kind(), Kind::Enum(_)) || kind.name() == "citext" => {
            return Ok(raw.to_vec());
        }
        _ => {
            return Err(format!(
                "it is of the type {kind}, which no field is made of; let the query write it as text (`…::text`)"
            ));
        }
    };
    Ok(text.into_bytes())
}

/// Decimal digits of a `numeric`: four of them in each word, and where the point stands.
fn numeric(raw: &[u8]) -> Option<String> {
    let mut words = raw
        .chunks_exact(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let (number, weight) = (words.next()?, words.next()?.cast_signed());
    let (sign, scale) = (words.next()?, words.next()?);
    let digits: Vec<u16> = words.collect();
    if digits.len() != usize::from(number) || digits.iter().any(|digit| *digit > 9999) {
        return None;
    }
    let mut text = match sign {
        0 => String::new(),
        0x4000 => "-".to_owned(),
        0xC000 => return Some("NaN".to_owned()),
        0xD000 => return Some("infinity".to_owned()),
        0xF000 => return Some("-infinity".to_owned()),
        _ => return None,
    };
    let digit = |place: i32| {
        usize::try_from(i32::from(weight) - place)
            .ok()
            .and_then(|index| digits.get(index))
            .copied()
            .unwrap_or(0)
    };
    let written = |mut text: String, place: i32| {
        let _ = write!(text, "{:04}", digit(place));
        text
    };
    let whole = (0..=i32::from(weight)).rev().fold(String::new(), written);
    let whole = whole.trim_start_matches('0');
    text.push_str(if whole.is_empty() { "0" } else { whole });
    if scale > 0 {
        let groups = i32::from(scale).div_euclid(4) + 1;
        let mut fraction = (-groups..0).rev().fold(String::new(), written);
        fraction.truncate(usize::from(scale));
        text.push('.');
        text.push_str(&fraction);
    }
    Some(text)
}

fn uuid(raw: &[u8]) -> Option<String> {
    let raw: [u8; 16] = raw.try_into().ok()?;
    let hex = format!("{:032x}", u128::from_be_bytes(raw));
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    Some(parts.join("-"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::sut::store::Columns;

    fn query(text: &str) -> Query {
        Query {
            text: text.into(),
            columns: Columns::default(),
            headers_complete: false,
        }
    }

    #[test]
    fn parameters_are_numbered_once_each() {
        let text = "SELECT :domain, :user, :user";
        let store = Postgres::new("host=h user=im dbname=d", None, query(text)).unwrap();
        assert_eq!(store.text, "SELECT $1, $2, $2");
        assert_eq!(store.parameters, [Parameter::Domain, Parameter::User]);
    }

    #[test]
    fn a_password_is_never_shown() {
        for address in [
            "postgres://im:s3cret@127.0.0.1:15432/im",
            "host=127.0.0.1 port=15432 user=im password=s3cret dbname=im",
        ] {
            let store = Postgres::new(address, None, query("")).unwrap();
            assert_eq!(store.place, "PostgreSQL 127.0.0.1:15432/im");
            let shown = format!("{store:?}");
            assert!(!shown.contains("s3cret"), "{shown}");
        }
        let why = Postgres::new("password=s3cret port=x", None, query("")).unwrap_err();
        assert!(
            !why.contains("s3cret") && why.contains("host=127.0.0.1"),
            "{why}"
        );
    }

    #[test]
    fn values_become_text() {
        let of = |kind: &Type, raw: &[u8]| {
            shown(kind, raw).map(|octets| String::from_utf8_lossy(&octets).into_owned())
        };
        assert_eq!(of(&Type::INT4, &(-7_i32).to_be_bytes()).unwrap(), "-7");
        assert_eq!(
            of(&Type::TIMESTAMPTZ, &0_i64.to_be_bytes()).unwrap(),
            "2000-01-01T00:00:00.000000Z"
        );
        assert_eq!(
            of(&Type::TIMESTAMP, &i64::MAX.to_be_bytes()).unwrap(),
            "infinity"
        );
        assert_eq!(of(&Type::JSONB, b"\x01{}").unwrap(), "{}");
        assert_eq!(
            of(&Type::UUID, &[0xab; 16]).unwrap(),
            "abababab-abab-abab-abab-abababababab"
        );
        assert!(
            of(&Type::INT8, &[1])
                .unwrap_err()
                .contains("broken value of type int8")
        );
        assert!(of(&Type::INT4_ARRAY, &[]).unwrap_err().contains("::text"));
    }

    #[test]
    fn a_numeric_is_read_digit_by_digit() {
        let words = |words: &[u16]| {
            let raw: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
            numeric(&raw)
        };
        assert_eq!(words(&[0, 0, 0, 0]).unwrap(), "0");
        // 1700000000.25: 17·10⁸ is the word 17 at weight 2.
        assert_eq!(
            words(&[4, 2, 0, 2, 17, 0, 0, 2500]).unwrap(),
            "1700000000.25"
        );
        assert_eq!(words(&[1, 2, 0, 0, 17]).unwrap(), "1700000000");
        assert_eq!(words(&[1, 0xffff, 0x4000, 4, 12]).unwrap(), "-0.0012");
        assert_eq!(words(&[1, 0xfffe, 0, 6, 500]).unwrap(), "0.000005");
        assert_eq!(words(&[0, 0, 0xC000, 0]).unwrap(), "NaN");
        assert_eq!(words(&[2, 0, 0, 0, 1]), None);
        assert_eq!(words(&[1, 0, 0, 0, 10_000]), None);
        assert_eq!(numeric(&[0]), None);
    }
}
