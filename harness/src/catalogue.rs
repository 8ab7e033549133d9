//! What is tested: the requirements of the specification, the rules of the base protocols, and the choices
//! (PICS) that a server's maker declares.

pub mod fingerprint;
pub mod pics;
pub mod requirement;

pub use fingerprint::{Change, Fingerprint};
pub use pics::{PicsKey, PicsKeys, PicsType};
pub use requirement::{About, Catalogue, Coverage, Requirement};
