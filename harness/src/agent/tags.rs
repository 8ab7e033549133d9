//! Branches, tags and Call-IDs. They are drawn afresh in every run, whatever its seed: a server that still
//! remembers an earlier run must not take a new request for an old one.

/// A Via branch (RFC 3261 §8.1.1.7).
pub fn branch() -> String {
    format!("z9hG4bK{:016x}{:08x}", fastrand::u64(..), fastrand::u32(..))
}

/// A From or To tag (RFC 3261 §19.3).
pub fn tag() -> String {
    format!("{:016x}", fastrand::u64(..))
}

/// A Call-ID (RFC 3261 §20.8).
pub fn call_id() -> String {
    format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..))
}
