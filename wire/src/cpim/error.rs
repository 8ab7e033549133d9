//! How much of a `message/cpim` object is taken from a peer.

/// Bounds on a message. Each is checked before anything is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Message headers and MIME headers together, in octets.
    pub head: usize,
    /// Octets of one header. RFC 3862 §2.2 asks for no limit; memory does.
    pub line: usize,
    /// Number of headers of both kinds.
    pub headers: usize,
    /// Body of the MIME part, in octets.
    pub body: usize,
}

impl Default for Limits {
    /// 256 KiB of head in 1024 headers of 64 KiB at most, 64 MiB of body.
    fn default() -> Self {
        Self {
            head: 256 * 1024,
            line: 64 * 1024,
            headers: 1024,
            body: 64 * 1024 * 1024,
        }
    }
}
