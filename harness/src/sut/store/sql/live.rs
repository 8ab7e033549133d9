//! Against real databases: `tests/adapters/databases.sh` starts them, makes the tables, and says where they are.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "tests"
)]

use imspec_reports::record::{Field, State, StoredMessage, UtcTime};
use mysql_async::prelude::Queryable as _;

use super::{Columns, Mysql, Postgres, Query, Source};
use crate::sut::store::{Account, Store};

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run tests/adapters/databases.sh cargo test …")
    })
}

#[derive(Clone, Copy, Debug)]
enum Make {
    Postgres,
    Mysql,
}

impl Make {
    fn address(self) -> String {
        variable(match self {
            Self::Postgres => "IMSPEC_POSTGRES",
            Self::Mysql => "IMSPEC_MYSQL",
        })
    }

    fn at(self, address: &str, password: Option<&str>, query: Query) -> Box<dyn Store> {
        match self {
            Self::Postgres => Box::new(Postgres::new(address, password, query).unwrap()),
            Self::Mysql => Box::new(Mysql::new(address, password, query).unwrap()),
        }
    }

    fn asked(self, text: &str) -> Box<dyn Store> {
        let password = variable("IMSPEC_PASSWORD");
        self.at(&self.address(), Some(&password), query(text))
    }

    /// What a read fails of, without what differs from run to run.
    async fn complaint(self, address: &str, password: Option<&str>, text: &str) -> String {
        let store = self.at(address, password, query(text));
        let why = store.read(&account("Bob")).await.unwrap_err();
        for secret in ["IMSPEC_PASSWORD", "IMSPEC_WEAK"].map(variable) {
            assert!(!why.contains(&secret), "{why}");
        }
        let port = regex::Regex::new(r":\d{2,5}/").unwrap();
        let number = regex::Regex::new(r" \(os error \d+\)").unwrap();
        number
            .replace(&port.replace_all(&why, ":PORT/"), "")
            .into_owned()
    }
}

const WHOLE: &str = "SELECT id, place, owner, realm, sender, kind, body, extra, received, kept, expires, lifetime, how \
                     FROM inbox WHERE owner = :user AND realm = :domain ORDER BY place";

fn query(text: &str) -> Query {
    let column = |name: &str| Source::Column(name.into());
    let fields = [
        ("message-id", column("id")),
        ("account", column("owner")),
        ("body", column("body")),
        ("headers", column("extra")),
        ("received-at", column("received")),
        ("stored-at", column("kept")),
        ("expire-at", column("expires")),
        ("expire-seconds", column("lifetime")),
        ("state", column("how")),
    ];
    let fields = fields
        .map(|(name, source)| (name.to_owned(), source))
        .into();
    let headers = vec![
        ("From".into(), column("sender")),
        ("Content-Type".into(), column("kind")),
        ("X-Place".into(), column("place")),
    ];
    Query {
        text: text.into(),
        columns: Columns { fields, headers },
        headers_complete: true,
    }
}

fn account(user: &str) -> Account {
    Account {
        uri: format!("sip:{user}@example.org"),
        user: user.into(),
        domain: "example.org".into(),
    }
}

fn at(text: &str) -> UtcTime {
    UtcTime::parse(text).unwrap()
}

fn headers(record: &StoredMessage) -> Vec<(String, String)> {
    let shown = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    let all = record.headers.iter();
    all.map(|it| (it.name.clone(), shown(&it.value))).collect()
}

async fn types_become_fields(make: Make) {
    let store = make.asked(WHOLE);
    let records = store.read(&account("Bob")).await.unwrap();
    let [full, bare] = records.as_slice() else {
        panic!("two records")
    };
    assert_eq!(
        full.message_id,
        Field::Known("00000000-0000-0000-0000-00000000000a".into())
    );
    assert_eq!(full.account, Field::Known("Bob".into()));
    assert_eq!(full.body.known().unwrap()[..], [0, 0xff, b'\n']);
    assert_eq!(
        headers(full),
        [
            ("From", "<sip:alice@example.org>"),
            ("Content-Type", "text/plain"),
            ("X-Place", "1"),
            ("Subject", "Grüße"),
            ("X-A", "one\r\n two"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
    // Zones of the session and of the server play no part; a time without a zone is UTC.
    assert_eq!(
        full.received_at,
        Field::Known(at("2026-03-01T09:00:00.25Z"))
    );
    assert_eq!(full.stored_at, Field::Known(at("2026-03-01T09:00:01Z")));
    let expire = full.expire.known().unwrap();
    assert_eq!(expire.at, Some(at("2026-03-01T09:00:00.5Z")));
    assert_eq!(expire.seconds, Some(600));
    assert_eq!(full.state, Field::Known(State::Waiting));

    assert_eq!(bare.body.known().unwrap()[..], [0_u8; 0]);
    assert_eq!(headers(bare), [("X-Place".to_owned(), "2".to_owned())]);
    assert_eq!(bare.received_at, Field::Known(at("2026-03-01T09:00:02Z")));
    assert_eq!(
        (&bare.stored_at, &bare.expire),
        (&Field::Absent, &Field::Absent)
    );
    assert_eq!(bare.state, Field::Known(State::Delivered));
}

async fn the_account_is_a_value_and_never_text(make: Make) {
    let store = make.asked(&WHOLE.replace("received, ", "'1' AS received, "));
    for nobody in [
        "nobody",
        "' OR '1'='1",
        "Bob' -- ",
        "\\",
        "$1",
        "?",
        ":user",
    ] {
        assert_eq!(store.read(&account(nobody)).await.unwrap(), [], "{nobody}");
    }
    // He who is really called so has his own record, and it alone.
    let strange = store.read(&account("o'brien\" OR '1'='1")).await.unwrap();
    let places: Vec<_> = strange.iter().flat_map(headers).collect();
    assert_eq!(places, [("X-Place".to_owned(), "3".to_owned())]);
    // A column of numbers is compared with a number.
    let by_number = make.asked(&WHOLE.replace("owner = :user", "number = :user"));
    assert_eq!(by_number.read(&account("42")).await.unwrap().len(), 2);
}

async fn failures(make: Make) -> String {
    let address = make.address();
    let weak = address.replace("//im@", "//weak@");
    let elsewhere = format!("{}/none", address.rsplit_once('/').unwrap().0);
    let port = address
        .rsplit_once(':')
        .unwrap()
        .1
        .split_once('/')
        .unwrap()
        .0;
    // Nobody listens at the port of a listener that is gone.
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let nobody = address.replace(port, &free.to_string());
    let (good, poor) = (variable("IMSPEC_PASSWORD"), variable("IMSPEC_WEAK"));
    let mut told = String::new();
    for (what, address, password, text) in [
        (
            "no such table",
            &address,
            Some(&good),
            "SELECT * FROM outbox",
        ),
        (
            "no such column",
            &address,
            Some(&good),
            "SELECT bdy FROM inbox",
        ),
        ("no SQL", &address, Some(&good), "SELEKT 1"),
        (
            "a column that is not given",
            &address,
            Some(&good),
            "SELECT id FROM inbox",
        ),
        ("a wrong password", &address, Some(&poor), WHOLE),
        ("no password", &address, None, WHOLE),
        ("no such database", &elsewhere, Some(&good), WHOLE),
        ("nobody listens", &nobody, Some(&good), WHOLE),
        (
            "a table that may not be read",
            &weak,
            Some(&poor),
            "SELECT x FROM secret",
        ),
        (
            "a query that writes",
            &address,
            Some(&good),
            "DELETE FROM inbox",
        ),
    ] {
        let why = make
            .complaint(address, password.map(String::as_str), text)
            .await;
        told = format!("{told}{what}:\n  {why}\n");
    }
    told
}

#[tokio::test]
#[ignore = "asks a database: tests/adapters/databases.sh"]
async fn postgres() {
    let make = Make::Postgres;
    types_become_fields(make).await;
    the_account_is_a_value_and_never_text(make).await;
    insta::assert_snapshot!(failures(make).await);
    let why = make
        .asked(WHOLE)
        .read(&account("o'brien\" OR '1'='1"))
        .await;
    assert!(why.unwrap_err().contains("`received-at`: `infinity`"));
    let of_no_field = make.asked(&WHOLE.replace("extra,", "ARRAY[1] AS extra,"));
    insta::assert_snapshot!(
        "array",
        of_no_field
            .read(&account("Bob"))
            .await
            .unwrap_err()
            .replace(make.address().split(['@']).nth(1).unwrap(), "HOST:PORT/im")
    );
    // A connection that the database ended between two reads.
    let store = make.asked(WHOLE);
    assert_eq!(store.read(&account("Bob")).await.unwrap().len(), 2);
    let mut one = query(
        "SELECT pg_terminate_backend(pid)::text AS done FROM pg_stat_activity WHERE pid <> pg_backend_pid() \
                         AND application_name = 'imspec' AND usename = 'im'",
    );
    one.columns.fields = [("body".to_owned(), Source::Column("done".into()))].into();
    one.columns.headers.clear();
    let ending = make.at(&make.address(), Some(&variable("IMSPEC_PASSWORD")), one);
    assert!(!ending.read(&account("Bob")).await.unwrap().is_empty());
    assert_eq!(store.read(&account("Bob")).await.unwrap().len(), 2);
}

#[tokio::test]
#[ignore = "asks a database: tests/adapters/databases.sh"]
async fn mysql() {
    let make = Make::Mysql;
    types_become_fields(make).await;
    the_account_is_a_value_and_never_text(make).await;
    insta::assert_snapshot!(failures(make).await);
    // A connection that the database ended between two reads.
    let store = make.asked(WHOLE);
    assert_eq!(store.read(&account("Bob")).await.unwrap().len(), 2);
    let password = variable("IMSPEC_PASSWORD");
    let url = make
        .address()
        .replace("//im@", &format!("//im:{password}@"));
    let mut other = mysql_async::Conn::from_url(&url).await.unwrap();
    let all: Vec<u64> = other
        .query("SELECT id FROM information_schema.processlist WHERE user = 'im' AND id <> connection_id()")
        .await
        .unwrap();
    assert!(!all.is_empty());
    for id in all {
        other.query_drop(format!("KILL {id}")).await.unwrap();
    }
    other.disconnect().await.unwrap();
    assert_eq!(store.read(&account("Bob")).await.unwrap().len(), 2);
}
