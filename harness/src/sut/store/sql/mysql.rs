//! A store in `MySQL` or `MariaDB`.

use std::time::Duration;

use imspec_reports::record::StoredMessage;
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Error, Opts, OptsBuilder, Params, Value};
use tokio::sync::Mutex;

use super::parameters::{Dialect, Parameter, replaced};
use super::{Cell, QUERY, Query, Rows};
use crate::sut::Pending;
use crate::sut::store::{Account, Store};

/// How long a read may take, with the connection that it may need.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a connection may take.
const REACH: Duration = Duration::from_secs(5);
/// What makes a connection fit: it only reads, and gives every `TIMESTAMP` in UTC.
const SETTINGS: [&str; 2] = [
    "SET SESSION TRANSACTION READ ONLY",
    "SET SESSION time_zone = '+00:00'",
];

/// A database of the server, over a connection that only reads.
pub struct Mysql {
    options: Opts,
    /// The server and the database, for a reader: without the password.
    place: String,
    query: Query,
    /// The query with `?` in it.
    text: String,
    parameters: Vec<Parameter>,
    /// Made at the first read: the server may make the database when it starts.
    connection: Mutex<Option<Conn>>,
}

impl std::fmt::Debug for Mysql {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mysql")
            .field("place", &self.place)
            .field("query", &self.query)
            .finish_non_exhaustive()
    }
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

impl Mysql {
    /// Reads the database that a URL names.
    ///
    /// # Errors
    /// Where it is none.
    pub fn new(url: &str, password: Option<&str>, query: Query) -> Result<Self, String> {
        // The URL may hold a password, and so may what is wrong with it: neither is repeated.
        let options = Opts::from_url(url).map_err(|_| {
            "`adapters.store.sql.mysql` is no URL such as `mysql://im@127.0.0.1:3306/im`".to_owned()
        })?;
        let place = match options.socket() {
            Some(socket) => socket.to_owned(),
            None => format!("{}:{}", options.ip_or_hostname(), options.tcp_port()),
        };
        let place = format!("MySQL {place}/{}", options.db_name().unwrap_or_default());
        let password = password.or(options.pass()).map(str::to_owned);
        let options = OptsBuilder::from_opts(options)
            .pass(password)
            // Where the profile says, and nowhere else.
            .prefer_socket(false)
            .setup(SETTINGS.to_vec());
        let mut parameters = Vec::new();
        let text = replaced(&query.text, Dialect::Mysql, |parameter| {
            parameters.push(parameter);
            "?".to_owned()
        });
        Ok(Self {
            options: options.into(),
            place,
            query,
            text,
            parameters,
            connection: Mutex::new(None),
        })
    }

    async fn records(&self, account: &Account) -> Result<Vec<StoredMessage>, String> {
        let mut held = self.connection.lock().await;
        if let Some(mut connection) = held.take() {
            match self.rows(&mut connection, account).await {
                Ok(records) => {
                    *held = Some(connection);
                    return Ok(records);
                }
                // The server was started again since the last read.
                Err(Trouble::Database(error)) if error.is_fatal() => {}
                Err(trouble) => return Err(self.explained(trouble)),
            }
        }
        let mut connection = match tokio::time::timeout(REACH, Conn::new(self.options.clone()))
            .await
        {
            Ok(connection) => connection.map_err(|error| self.unreached(&error))?,
            Err(_) => {
                return Err(format!(
                    "the store in {} does not answer within {} s; check that `adapters.store.sql.mysql` says where \
                     the database is",
                    self.place,
                    REACH.as_secs()
                ));
            }
        };
        match self.rows(&mut connection, account).await {
            Ok(records) => {
                *held = Some(connection);
                Ok(records)
            }
            Err(trouble) => Err(self.explained(trouble)),
        }
    }

    async fn rows(
        &self,
        connection: &mut Conn,
        account: &Account,
    ) -> Result<Vec<StoredMessage>, Trouble> {
        let values = self.parameters.iter().map(|it| it.of(account).into());
        let values = match values.collect::<Vec<Value>>() {
            none if none.is_empty() => Params::Empty,
            values => Params::Positional(values),
        };
        let mut result = connection.exec_iter(self.text.as_str(), values).await?;
        let names = result.columns_ref().iter();
        let names = names.map(|it| it.name_str().into_owned()).collect();
        let mut read = Rows::new(&self.place, names, &self.query);
        while let Some(row) = result.next().await? {
            read.push(row.unwrap().into_iter().map(cell).collect())
                .map_err(Trouble::Told)?;
        }
        result.drop_result().await?;
        Ok(read.records)
    }

    fn unreached(&self, error: &Error) -> String {
        let place = &self.place;
        let Error::Server(said) = error else {
            let why = cause(error);
            return format!(
                "the store in {place} cannot be reached: {why}; check that the database runs, and that \
                 `adapters.store.sql.mysql` says where"
            );
        };
        let check = match said.code {
            1044 | 1045 | 1698 => {
                "check the user in `adapters.store.sql.mysql`, and `password` or `password-file`"
            }
            1049 => {
                "check the database in `adapters.store.sql.mysql`, and that the server has made it"
            }
            1040 => {
                "check max_connections of the database: each server under test needs one connection for imspec"
            }
            _ => "check `adapters.store.sql.mysql`",
        };
        format!(
            "the store in {place} cannot be reached: {}; {check}",
            said.message
        )
    }

    fn explained(&self, trouble: Trouble) -> String {
        let error = match trouble {
            Trouble::Told(why) => return why,
            Trouble::Database(error) => error,
        };
        let place = &self.place;
        let Error::Server(said) = error else {
            let why = cause(&error);
            return format!(
                "the store in {place} could not be read: {why}; check that the database still runs"
            );
        };
        let check = match said.code {
            1290 | 1792 => {
                "check `adapters.store.sql.query`: a store adapter only reads"
                    .to_owned()
            }
            1142 | 1143 => {
                "check that the user of `adapters.store.sql.mysql` may read that table (GRANT SELECT)"
                    .to_owned()
            }
            1146 => format!("{QUERY}, and in which database it looks"),
            _ => QUERY.to_owned(),
        };
        format!(
            "the query of the store adapter fails in {place}: {}; {check}",
            said.message
        )
    }
}

impl Store for Mysql {
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

/// The innermost reason, without what the library wraps around it.
fn cause(error: &Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn cell(value: Value) -> Cell {
    let text = match value {
        // The date is what the server writes where none was given.
        Value::NULL | Value::Date(_, 0, ..) | Value::Date(_, _, 0, ..) => return None,
        Value::Bytes(octets) => return Some(octets),
        Value::Int(number) => number.to_string(),
        Value::UInt(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Double(number) => number.to_string(),
        Value::Date(year, month, day, hour, minute, second, us) => {
            format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{us:06}Z")
        }
        Value::Time(negative, days, hours, minutes, seconds, us) => {
            let sign = if negative { "-" } else { "" };
            let hours = u64::from(days) * 24 + u64::from(hours);
            format!("{sign}{hours:02}:{minutes:02}:{seconds:02}.{us:06}")
        }
    };
    Some(text.into_bytes())
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
    fn parameters_keep_their_order() {
        let text = "SELECT :domain, :user, :user";
        let store = Mysql::new("mysql://im@127.0.0.1/im", None, query(text)).unwrap();
        assert_eq!(store.text, "SELECT ?, ?, ?");
        let all = [Parameter::Domain, Parameter::User, Parameter::User];
        assert_eq!(store.parameters, all);
    }

    #[test]
    fn a_password_is_never_shown() {
        let store = Mysql::new("mysql://im:s3cret@127.0.0.1:13306/im", None, query("")).unwrap();
        assert_eq!(store.place, "MySQL 127.0.0.1:13306/im");
        assert!(!format!("{store:?}").contains("s3cret"));
        let why = Mysql::new("mysql://im:s3cret@127.0.0.1:x/im", None, query("")).unwrap_err();
        assert!(
            !why.contains("s3cret") && why.contains("mysql://im@"),
            "{why}"
        );
    }

    #[test]
    fn values_become_text() {
        let of = |value| cell(value).map(|octets| String::from_utf8_lossy(&octets).into_owned());
        assert_eq!(of(Value::UInt(7)).unwrap(), "7");
        assert_eq!(of(Value::NULL), None);
        assert_eq!(of(Value::Date(0, 0, 0, 0, 0, 0, 0)), None);
        assert_eq!(
            of(Value::Date(2026, 1, 2, 3, 4, 5, 60)).unwrap(),
            "2026-01-02T03:04:05.000060Z"
        );
        assert_eq!(
            of(Value::Time(true, 1, 2, 3, 4, 0)).unwrap(),
            "-26:03:04.000000"
        );
    }
}
