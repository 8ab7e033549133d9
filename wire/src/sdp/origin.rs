//! `o=`: whose description this is, and whether it is a new one (RFC 8866 §5.2, RFC 3264 §8).

use super::address::Address;

/// The fields of an `o=` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// User name; `-` where the host knows none.
    pub username: String,
    /// Session id as written, digits by the grammar.
    pub session_id: String,
    /// Version of the description.
    pub version: u64,
    /// The host that made it.
    pub address: Address,
}

impl Origin {
    /// Whether both are of one session by one party: all but the version is the same.
    pub fn same_session(&self, other: &Self) -> bool {
        self.username == other.username
            && self.session_id == other.session_id
            && self.address == other.address
    }
}

impl From<&sdp_types::Origin> for Origin {
    fn from(origin: &sdp_types::Origin) -> Self {
        Self {
            username: origin.username.clone().unwrap_or_else(|| "-".to_owned()),
            session_id: origin.sess_id.clone(),
            version: origin.sess_version,
            address: Address {
                network: origin.nettype.to_string(),
                family: origin.addrtype.to_string(),
                host: origin.unicast_address.clone(),
            },
        }
    }
}

/// What a description is to the one that the same party sent before in the same dialog
/// (RFC 3264 §8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revision {
    /// Octet for octet the last one: a refresh.
    Unchanged,
    /// The version is one higher: a new offer or answer.
    Next,
    /// The version is higher by more than one, which the rule does not allow.
    Skipped,
    /// The version is lower.
    Older,
    /// The version is the same, the description is not, which the rule does not allow.
    SameVersionOtherContent,
    /// The `o=` lines differ in more than the version, or one of them has none.
    OtherSession,
}
