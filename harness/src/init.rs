//! A first profile for a server: what its owner says, what the server itself shows when it is asked, and every PICS
//! key either answered or listed with its meaning and its values.

mod learn;
mod write;

use serde_json::Value;

use crate::sut::profile::{Registration, Transport};

pub use learn::{Learnt, Seen, learn};
pub use write::{answers, profile};

/// What whoever runs the server says about it.
#[derive(Clone)]
pub struct Given {
    /// Name of the profile.
    pub name: String,
    /// Product; the server's own word for itself where nothing is said.
    pub product: Option<String>,
    /// `host:port` by transport.
    pub targets: Vec<(Transport, String)>,
    /// The domain that it serves.
    pub domain: String,
    /// Transport of the agents.
    pub transport: Transport,
    /// Address of the agents.
    pub bind: std::net::IpAddr,
    /// File of certificates: who vouches for the server under TLS.
    pub ca: Option<std::path::PathBuf>,
    /// The targets are those of an outbound proxy before the server.
    pub proxied: bool,
    /// How users get online.
    pub registration: Registration,
    /// Whether the agents belong to the operator; what goes with the registration where nothing is said.
    pub trusted: Option<bool>,
    /// How accounts come into being.
    pub accounts: Accounts,
    /// Rule for passwords, with `${user}` and `${domain}`.
    pub password: Option<String>,
    /// Rule for user names, likewise.
    pub username: Option<String>,
    /// What reads the store.
    pub store: Store,
    /// URL of a control API, for everything that has no other adapter.
    pub control: Option<String>,
    /// PICS answers.
    pub pics: Vec<(String, Value)>,
}

/// How accounts come into being.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accounts {
    /// Every user part is one.
    Any,
    /// By the control API.
    Control,
    /// By a program: its words.
    Command(Vec<String>),
    /// These are all that there are, by user part.
    List(Vec<String>),
    /// So many, by a pattern with `${n}`.
    Pattern(String, u32),
}

/// What reads the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Store {
    /// Nothing.
    None,
    /// The control API.
    Control,
    /// A program: its words.
    Command(Vec<String>),
}
