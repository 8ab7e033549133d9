//! How much is taken from a peer.

/// Bounds on what is taken from a peer. Every length is checked before it costs memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// One line of a head with its line end, in octets.
    pub line: usize,
    /// Number of header fields.
    pub headers: usize,
    /// Start line and header fields together, empty lines before and after them included.
    pub head: usize,
    /// Body of one frame that is held whole ([`super::Frame`], [`super::FrameDecoder`]).
    /// [`super::Decoder`] holds no bodies and does not ask: its caller counts what it is given.
    pub chunk: usize,
    /// A message in all, in octets ([`super::Reassembly`], [`super::Message`]). One that claims to
    /// be longer is refused before it costs anything (RFC 4975 §14.5).
    pub message: u64,
    /// Number of parts with gaps between them that a message may be in while it is incomplete.
    pub fragments: usize,
}

impl Default for Limits {
    /// 16 KiB of line, 256 header fields, 64 KiB of head, 16 MiB of chunk, 64 MiB of message in
    /// 1024 fragments.
    fn default() -> Self {
        Self {
            line: 16 * 1024,
            headers: 256,
            head: 64 * 1024,
            chunk: 16 * 1024 * 1024,
            message: 64 * 1024 * 1024,
            fragments: 1024,
        }
    }
}
