//! Connection establishment for media anchoring (RFC 6714): which address to connect to.

use super::setup::{Role, Setup};

/// What an answerer knows when an offer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offered {
    /// The offer has `a=msrp-cema`.
    pub cema: bool,
    /// `c=` and `m=` are a place of the path.
    pub line_matches_path: bool,
    /// The path has more than one URI: the offerer is behind a relay (RFC 6714 §4.3).
    pub relay: bool,
    /// `a=setup` of the offer.
    pub setup: Option<Setup>,
}

/// What an answerer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswererDecision {
    /// Refuse the section (port 0) or the request (488).
    Reject,
    /// RFC 4975: no `a=msrp-cema` in the answer, connect by the path.
    Fallback,
    /// `a=msrp-cema` in the answer; an active answerer connects to `c=` and `m=`.
    Cema,
}

/// What an offerer knows when the answer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// The answer has `a=msrp-cema`.
    pub cema: bool,
    /// `c=` and `m=` are a place of the path.
    pub line_matches_path: bool,
    /// The path has more than one URI: the answerer is behind a relay.
    pub relay: bool,
    /// What the offerer becomes.
    pub role: Role,
}

/// What an offerer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffererDecision {
    /// Send a new offer without `a=msrp-cema`, by RFC 4975.
    NewOffer,
    /// Connect by the path, without a new offer.
    ConnectToPath,
    /// Connect to the address of `c=` and the port of `m=`.
    ConnectToLine,
    /// Wait for the answerer's connection.
    Wait,
}

/// The decision of an answerer that supports CEMA (RFC 6714 §4.3). `own_relay` says whether it is
/// behind a relay itself.
pub fn answerer(offered: Offered, own_relay: bool) -> AnswererDecision {
    let _ = (offered, own_relay);
    todo!()
}

/// The decision of an offerer that offered CEMA (RFC 6714 §4.2). `own_relay` says whether it is
/// behind a relay itself.
pub fn offerer(answered: Answered, own_relay: bool) -> OffererDecision {
    let _ = (answered, own_relay);
    todo!()
}
