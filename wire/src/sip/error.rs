//! What can be wrong with octets from the network, and how much of them we take.

/// Why octets are not a message: where, and what was expected there.
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
        Self {
            head: 256 * 1024,
            headers: 4096,
            body: 16 * 1024 * 1024,
        }
    }
}

/// How many octets of the offending text an error quotes.
const EXCERPT: usize = 24;

impl ParseError {
    /// An error at `offset` of `octets`, quoting what stands there.
    pub(crate) fn at(octets: &[u8], offset: usize, expected: &'static str) -> Self {
        Self {
            offset,
            expected,
            found: excerpt(octets.get(offset..).unwrap_or_default()),
        }
    }
}

impl ValueError {
    /// The same error in a value of which the faulty one is the part from `start`.
    pub(crate) fn shifted(self, start: usize) -> Self {
        Self {
            offset: self.offset + start,
            ..self
        }
    }
}

/// The first octets, escaped so that a terminal or a report survives them.
fn excerpt(octets: &[u8]) -> String {
    if octets.is_empty() {
        return "the end of the octets".to_owned();
    }
    let shown = octets[..octets.len().min(EXCERPT)].escape_ascii();
    let more = if octets.len() > EXCERPT { "…" } else { "" };
    format!("`{shown}{more}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_quote_little_and_printable() {
        let octets = b"abc\x00\xff\r\n0123456789012345678901234567890";
        let error = ParseError::at(octets, 1, "a colon");
        assert_eq!(
            error.to_string(),
            "at octet 1: expected a colon, found `bc\\x00\\xff\\r\\n012345678901234567…`"
        );
        assert!(
            ParseError::at(octets, 999, "x")
                .to_string()
                .ends_with("found the end of the octets")
        );
    }
}
