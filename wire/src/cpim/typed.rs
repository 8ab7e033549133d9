//! Values of the core headers (RFC 3862 §4).

use super::ValueError;

/// `From`, `To`, `cc`: `Winnie the Pooh <im:pooh@example.org>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The formal name, quotation marks and escapes resolved.
    pub name: Option<String>,
    /// The URI between the angle brackets, as written.
    pub uri: String,
}

/// `Subject:;lang=fr Objet`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The language tag, where one is given.
    pub language: Option<String>,
    /// The text, escapes resolved.
    pub text: String,
}

/// One name of a `Require` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// The name as written, prefix included.
    pub name: String,
    /// The URI of its namespace; `None` where its prefix was not declared before.
    pub namespace: Option<String>,
    /// The name without its prefix.
    pub local_name: String,
}

impl Address {
    /// Reads `[name] <uri>`.
    pub fn parse(value: &str) -> Result<Self, ValueError> {
        let _ = value;
        todo!()
    }
}
