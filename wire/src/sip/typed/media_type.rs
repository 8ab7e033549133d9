//! Content-Type (RFC 3261 §20.15).

use super::params::Params;
use super::{TypedHeader, ValueResult};

/// `type/subtype;param=value`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaType {
    /// Type as written.
    pub kind: String,
    /// Subtype as written.
    pub subtype: String,
    /// Parameters.
    pub params: Params,
}
impl TypedHeader for MediaType {
    const NAME: &'static str = "Content-Type";
    fn parse_value(value: &[u8]) -> ValueResult<Self> { let _ = value; todo!() }
}
