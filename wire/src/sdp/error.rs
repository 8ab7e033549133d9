//! How much of a session description is taken from a peer.

/// Bounds on a session description. Each is checked before anything is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// All octets.
    pub total: usize,
    /// Octets of one line, its line end not counted.
    pub line: usize,
    /// Number of lines.
    pub lines: usize,
    /// Number of `m=` sections.
    pub media: usize,
}

impl Default for Limits {
    /// 64 KiB in 1024 lines of 8 KiB at most, 64 media sections.
    fn default() -> Self {
        Self {
            total: 64 * 1024,
            line: 8 * 1024,
            lines: 1024,
            media: 64,
        }
    }
}
