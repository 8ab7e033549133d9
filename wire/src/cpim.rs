//! `message/cpim` (RFC 3862): message headers, and a MIME part with its own.
//!
//! [`Message`] keeps the octets, since nobody on the way may change one of them (RFC 3862 §2.2), and
//! an index into them. Header names are case-sensitive here, and prefixes of names are local to the
//! message: what counts is the namespace that [`Header::namespace`] gives.

pub mod build;
pub mod date_time;
pub mod defects;
pub mod error;
pub mod header;
mod index;
pub mod message;
mod text;
pub mod typed;

pub use crate::sip::{Defect, ParseError, ValueError};
pub use build::Builder;
pub use date_time::DateTime;
pub use error::Limits;
pub use header::{ContentHeader, Header};
pub use message::Message;
pub use typed::{Address, Requirement, Subject};

/// The namespace of the headers of RFC 3862, the default one in a message.
pub const CORE_NAMESPACE: &str = "urn:ietf:params:cpim-headers:";

/// The namespace of the headers of delivery notifications (RFC 5438 §6.1).
pub const IMDN_NAMESPACE: &str = "urn:ietf:params:imdn";

/// The media type of a message in this format.
pub const MEDIA_TYPE: &str = "message/cpim";

/// The media type of a delivery notification (RFC 5438 §15.1). It is recognised, not read.
pub const IMDN_MEDIA_TYPE: &str = "message/imdn+xml";

/// The media type of a composing indication (RFC 3994). It is recognised, not read.
pub const IS_COMPOSING_MEDIA_TYPE: &str = "application/im-iscomposing+xml";
