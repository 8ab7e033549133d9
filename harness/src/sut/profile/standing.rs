//! How the agents stand to the server: as user agents before it, or as the operator's core beside it; how a user
//! gets online, and how he goes.

use std::time::Duration;

/// Where the tester stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// How a user gets online.
    pub registration: Registration,
    /// How a user goes offline.
    pub offline: Offline,
    /// On the trusted side: the agents assert identities themselves, and a Route leads to the server.
    pub trusted: bool,
    /// The agents send everything to an outbound proxy, and a Route leads through it.
    pub proxied: bool,
}

/// How a user gets online.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registration {
    /// By a REGISTER of his own.
    Register,
    /// By a REGISTER that an S-CSCF sends to an application server (3GPP TS 24.229 §5.4.1.7).
    ThirdParty {
        /// URI of the application server; its address where nothing else is named.
        server: Option<String>,
        /// Where the S-CSCF is found by it, one for all users; where the agent of each user is, if nothing is named.
        address: Option<String>,
    },
    /// By programs.
    Command {
        /// Makes him online, or prolongs that.
        online: Vec<String>,
        /// Makes him offline.
        offline: Vec<String>,
    },
}

/// How a user goes offline, where a scenario does not care how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offline {
    /// His registration is ended.
    Deregister,
    /// It is not renewed, and he is out of reach: a last one for this time is waited for.
    Lapse(Duration),
    /// It stays, and nobody answers.
    Silence,
}

impl Default for Standing {
    fn default() -> Self {
        Self {
            registration: Registration::Register,
            offline: Offline::Deregister,
            trusted: false,
            proxied: false,
        }
    }
}

impl Standing {
    /// Whether a Route goes with what the agents begin.
    pub fn leads(&self) -> bool {
        self.trusted || self.proxied
    }

    /// For the run record: what differs from the usual.
    pub(super) fn entries(&self) -> Vec<(&'static str, String)> {
        let mut entries = Vec::new();
        match &self.registration {
            Registration::Register => {}
            Registration::ThirdParty { server, address } => {
                entries.push(("registration", "third-party".to_owned()));
                entries.extend(server.clone().map(|uri| ("registration.server", uri)));
                entries.extend(address.clone().map(|at| ("registration.address", at)));
            }
            Registration::Command { .. } => entries.push(("registration", "command".to_owned())),
        }
        match self.offline {
            Offline::Deregister => {}
            Offline::Lapse(after) => {
                entries.push(("offline", format!("lapse after {} s", after.as_secs())));
            }
            Offline::Silence => entries.push(("offline", "silence".to_owned())),
        }
        if self.trusted {
            entries.push(("side", "trusted".to_owned()));
        }
        if self.proxied {
            entries.push(("outbound-proxy", "yes".to_owned()));
        }
        entries
    }
}
