//! CSeq (RFC 3261 §20.16).

use super::{TypedHeader, ValueResult};

/// Sequence number and method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CSeq {
    /// Below 2^31 where valid (RFC 3261 §8.1.1.5); the reader takes all of `u32`.
    pub number: u32,
    /// Method as written.
    pub method: String,
}
impl TypedHeader for CSeq {
    const NAME: &'static str = "CSeq";
    fn parse_value(value: &[u8]) -> ValueResult<Self> { let _ = value; todo!() }
}
