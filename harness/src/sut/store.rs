//! Store adapters: read what the server holds for an account, in the one record model of
//! [`imspec_reports::record::stored`]. What an adapter cannot read it leaves *unknown*.

mod imap;
pub(crate) mod json;
mod sql;

use imspec_reports::record::StoredMessage;

use super::Pending;
use super::control::Control;
use super::program::Program;
use crate::scenario::CaseUser;

pub use imap::{Imap, Mailboxes};
pub use sql::{Columns, Mysql, Postgres, Query, Source, Sqlite};

/// An account as the adapters name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Address of record.
    pub uri: String,
    /// User part.
    pub user: String,
    /// Domain.
    pub domain: String,
}

impl Account {
    /// That of a user.
    pub fn of(user: &CaseUser) -> Self {
        Self {
            uri: user.uri(),
            user: user.name.clone(),
            domain: user.domain.clone(),
        }
    }
}

/// Reads the store.
pub trait Store: Send + Sync {
    /// The records of an account, in the order of storing.
    fn read<'a>(&'a self, account: &'a Account) -> Pending<'a, Result<Vec<StoredMessage>, String>>;
}

/// The store through the control API.
#[derive(Debug)]
pub struct ByControl {
    control: Control,
}

impl ByControl {
    pub(crate) fn new(control: Control) -> Self {
        Self { control }
    }
}

impl Store for ByControl {
    fn read<'a>(&'a self, account: &'a Account) -> Pending<'a, Result<Vec<StoredMessage>, String>> {
        Box::pin(self.control.messages(&account.uri))
    }
}

/// The store as a program shows it: one record a line, as JSON.
#[derive(Debug)]
pub struct ByProgram {
    program: Program,
}

impl ByProgram {
    pub(crate) fn new(program: Program) -> Self {
        Self { program }
    }
}

impl Store for ByProgram {
    fn read<'a>(&'a self, account: &'a Account) -> Pending<'a, Result<Vec<StoredMessage>, String>> {
        Box::pin(async move {
            let words = [
                ("account", account.uri.as_str()),
                ("user", account.user.as_str()),
                ("domain", account.domain.as_str()),
            ];
            let printed = self.program.run(&words).await?;
            let lines = printed.split(|octet| *octet == b'\n').enumerate();
            lines
                .filter(|(_, line)| !line.trim_ascii().is_empty())
                .map(|(index, line)| {
                    let wrong =
                        |why: String| format!("line {} of the store's program: {why}", index + 1);
                    serde_json::from_slice::<json::Record>(line)
                        .map_err(|e| wrong(e.to_string()))
                        .and_then(|record| record.into_message().map_err(wrong))
                })
                .collect()
        })
    }
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use imspec_reports::record::Field;

    use super::super::places::Places;
    use super::*;

    async fn printed(script: &str) -> Result<Vec<StoredMessage>, String> {
        let words = ["sh", "-c", script, "sh", "${user}"].map(str::to_owned);
        let store = ByProgram::new(Program::new(
            &words,
            &Places {
                profile: std::env::temp_dir(),
                ..Places::default()
            },
        ));
        let account = Account {
            uri: "sip:bob@example.org".into(),
            user: "bob".into(),
            domain: "example.org".into(),
        };
        store.read(&account).await
    }

    #[tokio::test]
    async fn a_program_prints_a_record_a_line() {
        let script = r#"printf '{"account":"sip:%s@example.org","state":"waiting"}\n\n{"expire":null}\n' "$1""#;
        let records = printed(script).await.unwrap();
        assert_eq!(records.len(), 2);
        assert_eq!(
            records[0].account,
            Field::Known("sip:bob@example.org".into())
        );
        assert_eq!(records[1].expire, Field::Absent);
    }

    #[tokio::test]
    async fn a_line_that_is_no_record_is_named() {
        let why = printed(r#"printf '{}\n{"state":5}\n'"#).await.unwrap_err();
        assert!(why.starts_with("line 2 of the store's program: "), "{why}");
    }
}
