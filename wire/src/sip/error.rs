//! What can be wrong with octets from the network, and how much of them we take.

/// Why octets are not a SIP message: where, and what was expected there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at octet {offset}: expected {expected}, found {found}")]
pub struct ParseError {
    /// Offset from the first octet of the message.
    pub offset: usize,
    /// What the grammar wants there.
    pub expected: &'static str,
    /// What stands there instead, printable and short.
    pub found: String,
}

/// Why a header value is not of its type: where in the value, and what was expected there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at octet {offset} of the value: expected {expected}")]
pub struct ValueError {
    /// Offset from the first octet of the value that was given.
    pub offset: usize,
    /// What the grammar wants there.
    pub expected: &'static str,
}

/// Bounds on what is taken from a peer. Every length is checked before it costs memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Start line and headers together, in octets.
    pub head: usize,
    /// Number of header fields.
    pub headers: usize,
    /// Body, in octets.
    pub body: usize,
}

impl Default for Limits {
    /// 256 KiB of head, 4096 header fields, 16 MiB of body.
    fn default() -> Self {
        Self { head: 256 * 1024, headers: 4096, body: 16 * 1024 * 1024 }
    }
}
