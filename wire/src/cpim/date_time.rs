//! `DateTime` (RFC 3862 §4.4, RFC 3339).

use super::ValueError;

/// An instant with the offset it was written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateTime {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub unix_seconds: i64,
    /// Nanoseconds after that second; further digits are cut off.
    pub nanoseconds: u32,
    /// Minutes east of UTC; `None` for `-00:00`, which says that the local offset is not known
    /// (RFC 3339 §4.3).
    pub offset_minutes: Option<i16>,
}

impl DateTime {
    /// Reads `2026-11-23T09:00:00Z` or `2026-11-23T10:00:00.25+01:00`.
    pub fn parse(value: &str) -> Result<Self, ValueError> {
        let _ = value;
        todo!()
    }
    /// An instant in UTC.
    pub fn utc(unix_seconds: i64) -> Self {
        Self {
            unix_seconds,
            nanoseconds: 0,
            offset_minutes: Some(0),
        }
    }
}

/// As RFC 3339 writes it, in the offset it has.
impl std::fmt::Display for DateTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let _ = f;
        todo!()
    }
}
