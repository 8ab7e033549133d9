//! Header values with meaning, parsed one at a time when asked, never written back over what was
//! received.
//!
//! These parsers keep to the grammar of RFC 3261 §25.1. Where practice differs from it without any
//! doubt about the meaning they take what practice sends, and the comment there says so.

use super::error::ValueError;

/// A value, or why it is none.
pub type ValueResult<T> = Result<T, ValueError>;

/// A header whose value has a type of its own.
pub trait TypedHeader: Sized {
    /// Long name.
    const NAME: &'static str;
    /// Whether one field may hold several values separated by commas (RFC 3261 §7.3.1).
    const LIST: bool = false;
    /// Reads one unfolded, trimmed value.
    fn parse_value(value: &[u8]) -> ValueResult<Self>;
}

pub mod address;
pub mod cseq;
pub(crate) mod cursor;
pub mod date;
pub mod host;
pub mod list;
pub mod media_type;
pub mod number;
pub mod params;
pub mod uri;
pub mod via;

pub use address::{
    Contact, From, NameAddr, PAssertedIdentity, PPreferredIdentity, Path, RecordRoute, ReplyTo,
    Route, ServiceRoute, To,
};
pub use cseq::CSeq;
pub use date::{SipDate, Weekday};
pub use host::Host;
pub use media_type::MediaType;
pub use number::{ContentLengthValue, Expires, MaxForwards, MinExpires};
pub use params::Params;
pub use uri::{SipUri, Uri};
pub use via::Via;
