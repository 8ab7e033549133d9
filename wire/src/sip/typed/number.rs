//! Headers that are one number.

use super::{TypedHeader, ValueResult};

/// Expires (RFC 3261 §20.19): delta-seconds, 0 to 2^32-1. A larger number is an error with offset 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expires(pub u32);
/// Max-Forwards (RFC 3261 §20.22).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxForwards(pub u8);
/// Content-Length (RFC 3261 §20.14).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentLengthValue(pub u64);

impl TypedHeader for Expires {
    const NAME: &'static str = "Expires";
    fn parse_value(value: &[u8]) -> ValueResult<Self> { let _ = value; todo!() }
}
impl TypedHeader for MaxForwards {
    const NAME: &'static str = "Max-Forwards";
    fn parse_value(value: &[u8]) -> ValueResult<Self> { let _ = value; todo!() }
}
impl TypedHeader for ContentLengthValue {
    const NAME: &'static str = "Content-Length";
    fn parse_value(value: &[u8]) -> ValueResult<Self> { let _ = value; todo!() }
}
