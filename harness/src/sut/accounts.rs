//! Makes accounts where a server does not take every user part for one.

use super::control::Control;
use super::policy::SetError;
use super::program::Program;
use crate::agent::Logins;
use crate::scenario::CaseUser;

/// An account that is to be made. It cannot be printed: its password is nobody's business.
pub(crate) struct NewAccount {
    /// Address of record.
    pub(crate) address: String,
    /// Its password, where it has one.
    pub(crate) password: Option<String>,
}

impl NewAccount {
    /// The account of a user.
    pub(crate) fn of(user: &CaseUser, logins: Option<&Logins>) -> Self {
        Self {
            address: user.uri(),
            password: logins.map(|logins| logins.of(user).1),
        }
    }
}

/// What stands for an account in the words of a program.
pub(super) fn words(account: &str) -> [(&str, &str); 3] {
    let bare = account.split_once(':').map_or(account, |(_, bare)| bare);
    let (user, domain) = bare.split_once('@').unwrap_or((bare, ""));
    [("account", account), ("user", user), ("domain", domain)]
}

/// The way in which accounts are made.
#[derive(Debug)]
pub(crate) enum Accounts {
    /// Through the control API.
    Control(Control),
    /// By a program, one at a time.
    Program(Program),
}

impl Accounts {
    /// Makes sure that these exist.
    pub(crate) async fn add(&self, accounts: &[NewAccount]) -> Result<(), SetError> {
        match self {
            Self::Control(control) => control.add_accounts(accounts).await,
            Self::Program(program) => {
                for account in accounts {
                    let mut words = words(&account.address).to_vec();
                    words.push(("password", account.password.as_deref().unwrap_or_default()));
                    program.run(&words).await?;
                }
                Ok(())
            }
        }
    }
}
