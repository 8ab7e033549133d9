//! `accept-types` and `accept-wrapped-types` (RFC 4975 §8.6).

use super::ValueError;
use crate::sip::typed::MediaType;

/// One entry of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormatEntry {
    /// `*`: anything may be tried.
    Any,
    /// `text/*`: any subtype of that type may be tried.
    AnyOf(String),
    /// A media type, perhaps with parameters.
    Type(MediaType),
}

/// How a list lets a type in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// It is listed.
    Explicit,
    /// A `*` covers it: the sender may try, the receiver may still answer 415.
    Wildcard,
}

/// The entries in order of preference.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FormatList {
    /// The entries.
    pub entries: Vec<FormatEntry>,
}

impl FormatList {
    /// Reads the value of the attribute.
    pub fn parse(value: &str) -> Result<Self, ValueError> {
        let _ = value;
        todo!()
    }

    /// How the list lets in a Content-Type value such as `text/plain;charset=utf-8`. Parameters do
    /// not count (RFC 4975 §8.6). `None` when it does not, or when `content_type` is none.
    pub fn fit(&self, content_type: &str) -> Option<Fit> {
        let _ = content_type;
        todo!()
    }
}
