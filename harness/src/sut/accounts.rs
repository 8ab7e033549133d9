//! Makes accounts where a server does not take every user part for one.

use super::control::Control;
use super::policy::SetError;
use super::program::Program;

/// An account that a case needs. It cannot be printed: its password is nobody's business.
#[derive(Clone)]
pub struct NewAccount {
    /// Address of record.
    pub address: String,
    /// Its password, where it has one.
    pub password: Option<String>,
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
                    let bare = account.address.split_once(':').map_or("", |(_, bare)| bare);
                    let (user, domain) = bare.split_once('@').unwrap_or((bare, ""));
                    let words = [
                        ("account", account.address.as_str()),
                        ("user", user),
                        ("domain", domain),
                        ("password", account.password.as_deref().unwrap_or_default()),
                    ];
                    program.run(&words).await?;
                }
                Ok(())
            }
        }
    }
}
