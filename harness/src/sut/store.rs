//! Store adapters: read what the server holds for an account, in the one record model of
//! [`imspec_reports::record::stored`]. What an adapter cannot read it leaves *unknown*.

mod sql;

use imspec_reports::record::StoredMessage;

use super::Pending;
use super::control::Control;

pub use sql::{Columns, Source, Sqlite};

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
