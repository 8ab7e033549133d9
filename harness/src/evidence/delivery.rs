//! Is what a user received a delivery of that message?

use super::content::{Content, Likeness};

/// Whether `got` carries what `sent` says. Text before or after it does not matter: a server that writes
/// into the body is to be caught by a check of the body, not by being overlooked here. Nor does a
/// `message/cpim` wrapper that the sender had not written.
pub fn carries(got: impl Into<Content>, sent: impl Into<Content>) -> bool {
    let likeness = got.into().likeness(&sent.into());
    matches!(
        likeness,
        Likeness::Same | Likeness::Carries | Likeness::Untold
    )
}

/// Whether `got` is a damaged copy of `sent`: at least half of the body stands at its beginning and end.
pub fn resembles(got: impl Into<Content>, sent: impl Into<Content>) -> bool {
    let (got, sent) = (got.into(), sent.into());
    match got.likeness(&sent) {
        Likeness::Same | Likeness::Carries | Likeness::Untold => true,
        Likeness::Partly(octets) => octets.saturating_mul(2) >= sent.length().max(1),
    }
}

/// How alike two bodies are, to choose the closest of several that do not fit.
pub fn likeness(got: impl Into<Content>, sent: impl Into<Content>) -> u64 {
    let got = got.into();
    match got.likeness(&sent.into()) {
        Likeness::Same | Likeness::Carries | Likeness::Untold => u64::MAX,
        Likeness::Partly(octets) => octets,
    }
}
