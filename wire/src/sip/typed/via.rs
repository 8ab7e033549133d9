//! Via (RFC 3261 §20.42, RFC 3581).

use super::params::Params;
use super::uri::Host;
use super::{TypedHeader, ValueResult};

/// One hop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Via {
    /// Transport as written: `UDP`, `TCP`, …
    pub transport: String,
    /// Host of sent-by.
    pub host: Host,
    /// Port of sent-by, where one is written.
    pub port: Option<u16>,
    /// Parameters.
    pub params: Params,
}
impl Via {
    /// The branch parameter.
    pub fn branch(&self) -> Option<&str> { self.params.get("branch") }
}
impl TypedHeader for Via {
    const NAME: &'static str = "Via";
    const LIST: bool = true;
    fn parse_value(value: &[u8]) -> ValueResult<Self> { let _ = value; todo!() }
}
