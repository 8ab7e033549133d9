//! `name-addr` and `addr-spec` (RFC 3261 §20.10): From, To, Contact, Route, P-Asserted-Identity.

use super::params::Params;
use super::uri::Uri;
use super::{TypedHeader, ValueResult};

/// Display name, URI, header parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameAddr {
    /// Display name, unquoted and unescaped; `None` when there is none.
    pub display_name: Option<String>,
    /// The URI.
    pub uri: Uri,
    /// Header parameters: without angle brackets, parameters belong to the header (RFC 3261 §20.10).
    pub params: Params,
}

impl NameAddr {
    /// Reads one value.
    pub fn parse(value: &[u8]) -> ValueResult<Self> { let _ = value; todo!() }
    /// The tag parameter.
    pub fn tag(&self) -> Option<&str> { self.params.get("tag") }
}

macro_rules! address_header {
    ($(#[$doc:meta])* $name:ident, $header:literal, $list:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name(pub NameAddr);
        impl TypedHeader for $name {
            const NAME: &'static str = $header;
            const LIST: bool = $list;
            fn parse_value(value: &[u8]) -> ValueResult<Self> { NameAddr::parse(value).map(Self) }
        }
        impl std::ops::Deref for $name { type Target = NameAddr; fn deref(&self) -> &NameAddr { &self.0 } }
    };
}
address_header!(/// From (RFC 3261 §20.20).
    From, "From", false);
address_header!(/// To (RFC 3261 §20.39).
    To, "To", false);
address_header!(/// Route (RFC 3261 §20.34).
    Route, "Route", true);
address_header!(/// P-Asserted-Identity (RFC 3325 §9.1).
    PAssertedIdentity, "P-Asserted-Identity", true);

/// Contact (RFC 3261 §20.10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contact {
    /// `*`
    Star,
    /// An address.
    Address(NameAddr),
}
impl TypedHeader for Contact {
    const NAME: &'static str = "Contact";
    const LIST: bool = true;
    fn parse_value(value: &[u8]) -> ValueResult<Self> { let _ = value; todo!() }
}
