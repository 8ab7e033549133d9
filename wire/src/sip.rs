//! SIP (RFC 3261, RFC 3428) as octets with an index.
//!
//! Two tiers. [`Message`] is the raw tier: start line, headers in order with their original
//! spelling, body. [`typed`] is the second tier: it reads *one* value when asked, and never writes
//! back.

pub mod build;
pub mod compare;
pub mod defects;
pub mod error;
mod index;
pub mod message;
pub mod name;
#[cfg(any(test, feature = "rsip"))]
pub mod rsip;
pub mod stream;
pub(crate) mod text;
pub mod typed;

pub use build::{Builder, ContentLength};
pub use compare::{Comparison, Relation};
pub use defects::{Defect, Obligation};
pub use error::{Limits, ParseError, ValueError};
pub use message::{Header, Message, StartLine};
pub use stream::{Frame, StreamDecoder, is_keep_alive};
