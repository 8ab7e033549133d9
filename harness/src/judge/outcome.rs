//! What was observed, and what was ruled about it.

use std::fmt::Write as _;

use imspec_reports::record::Verdict;

use crate::evidence::Value;

/// One header field, body or value as it was observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// Name as written, for headers.
    pub(super) name: String,
    /// Value, unfolded and trimmed for headers.
    pub(super) value: Vec<u8>,
    /// The value as written.
    pub(super) raw: Vec<u8>,
    /// Where it stands in the message.
    pub(super) range: Option<(u32, u32)>,
}

impl Seen {
    pub(super) fn value(value: impl Into<Vec<u8>>) -> Self {
        let value = value.into();
        Self {
            name: String::new(),
            raw: value.clone(),
            value,
            range: None,
        }
    }
}

/// What there is to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Observed {
    /// This; empty when it is known that there is nothing.
    Known(Vec<Seen>),
    /// Cannot be seen, for this reason.
    Unknown(String),
}

impl Observed {
    pub(super) fn one(value: impl Into<Vec<u8>>) -> Self {
        Self::Known(vec![Seen::value(value)])
    }

    /// One unknown value makes the whole unknown; absent values are left out.
    pub(super) fn of_values(values: Vec<Value>) -> Self {
        let mut seen = Vec::new();
        for value in values {
            match value {
                Value::Octets(octets) => seen.push(Seen::value(octets)),
                Value::Absent => {}
                Value::Unknown(why) => return Self::Unknown(why),
                Value::List(list) => match Self::of_values(list) {
                    Self::Known(more) => seen.extend(more),
                    unknown @ Self::Unknown(_) => return unknown,
                },
            }
        }
        Self::Known(seen)
    }

    pub(super) fn in_words(&self) -> String {
        match self {
            Self::Unknown(why) => why.clone(),
            Self::Known(seen) if seen.is_empty() => "nothing".into(),
            Self::Known(seen) => seen
                .iter()
                .map(|one| show(&one.value))
                .collect::<Vec<_>>()
                .join(" and "),
        }
    }
}

/// What was ruled about an expectation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ruling {
    pub(super) verdict: Verdict,
    pub(super) expected: String,
    pub(super) observed: String,
    pub(super) note: Option<String>,
    /// Octets of the message at which to look.
    pub(super) range: Option<(u32, u32)>,
    /// Event to compare with.
    pub(super) against: Option<u32>,
    /// Legal, but not declared.
    pub(super) mismatch: bool,
}

impl Ruling {
    pub(super) fn new(
        verdict: Verdict,
        expected: impl Into<String>,
        observed: impl Into<String>,
    ) -> Self {
        Self {
            verdict,
            expected: expected.into(),
            observed: observed.into(),
            note: None,
            range: None,
            against: None,
            mismatch: false,
        }
    }

    pub(super) fn of(
        holds: bool,
        expected: impl Into<String>,
        observed: impl Into<String>,
    ) -> Self {
        Self::new(
            if holds { Verdict::Pass } else { Verdict::Fail },
            expected,
            observed,
        )
    }

    pub(super) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    pub(super) fn range(mut self, range: Option<(u32, u32)>) -> Self {
        self.range = range;
        self
    }
}

/// Octets for a sentence: text in quotes, cut at 80 characters; what is not text as hex.
pub(super) fn show(octets: &[u8]) -> String {
    const LONGEST: usize = 80;
    let Ok(text) = std::str::from_utf8(octets) else {
        return hex(octets);
    };
    let shown: String = text
        .chars()
        .take(LONGEST)
        .flat_map(char::escape_debug)
        .collect();
    match text.chars().count().saturating_sub(LONGEST) {
        0 => format!("\"{shown}\""),
        more => format!("\"{shown}…\" (and {more} more characters)"),
    }
}

/// How long something was waited for. From a second on in tenths: what a busy machine adds is no difference
/// between two cases, and reports put together what reads the same.
pub(super) fn waited(after_ms: u64) -> String {
    if after_ms < 1000 {
        return format!("{after_ms} ms");
    }
    let tenths = after_ms.saturating_add(50) / 100;
    format!("{}.{} s", tenths / 10, tenths % 10)
}

fn hex(octets: &[u8]) -> String {
    const LONGEST: usize = 24;
    let mut hex = String::new();
    for octet in octets.iter().take(LONGEST) {
        let _ = write!(hex, "{octet:02x} ");
    }
    let hex = hex.trim_end();
    match octets.len().saturating_sub(LONGEST) {
        0 => format!("<{hex}>"),
        more => format!("<{hex} … and {more} more octets>"),
    }
}

#[cfg(test)]
mod tests {
    use super::waited;

    #[test]
    fn a_wait_of_seconds_is_told_in_tenths() {
        assert_eq!(waited(499), "499 ms");
        assert_eq!(waited(999), "999 ms");
        assert_eq!(waited(5_019), "5.0 s");
        assert_eq!(waited(8_066), "8.1 s");
    }
}
