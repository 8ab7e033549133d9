//! Date (RFC 3261 §20.17): RFC 1123 form, GMT only.

use super::{TypedHeader, ValueResult};

/// An instant of the Date header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SipDate {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub unix_seconds: i64,
}
impl SipDate {
    /// `Mon, 23 Nov 2026 02:10:33 GMT`
    pub fn format(self) -> String { todo!() }
}
impl TypedHeader for SipDate {
    const NAME: &'static str = "Date";
    fn parse_value(value: &[u8]) -> ValueResult<Self> { let _ = value; todo!() }
}
