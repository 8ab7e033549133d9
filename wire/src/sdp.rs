//! Session descriptions (RFC 8866) as message sessions need them.
//!
//! [`Description`] keeps the octets and the lines they are made of; the crate `sdp-types` says what
//! the lines mean. Above it stand the `m=message` section with its types ([`MessageMedia`]), the
//! decisions of an offer and its answer as pure functions ([`setup`], [`cema`]), and a [`Builder`]
//! that also writes what nobody should.

pub mod address;
pub mod build;
pub mod cema;
pub mod defects;
pub mod description;
pub mod error;
pub mod formats;
pub mod lines;
pub mod media;
pub mod message;
pub mod origin;
pub mod setup;

pub use crate::sip::{Defect, ParseError, ValueError};
pub use address::{Address, AddressMatch};
pub use build::{Builder, MediaBuilder};
pub use description::Description;
pub use error::Limits;
pub use formats::{Fit, FormatEntry, FormatList};
pub use lines::{Line, LineEnd};
pub use media::{Attribute, Media};
pub use message::{Direction, MessageMedia, Protocol};
pub use origin::{Origin, Revision};
pub use setup::{Role, Setup};
