//! The server under test: its profile, and the adapters that reach into it.
//!
//! Each adapter is a small trait with several implementations, chosen by the profile: [`store`] reads what
//! is stored, [`clock`] moves the time by which messages age, [`policy`] sets what the provider may choose,
//! [`process`] starts and stops the server. [`instance`] is one server with all of them in place.

pub(crate) mod accounts;
pub mod clock;
pub(crate) mod control;
pub mod instance;
pub mod places;
pub mod policy;
pub mod pool;
pub mod probe;
pub mod process;
pub mod profile;
mod program;
pub mod store;
mod whereabouts;

use std::pin::Pin;

pub use instance::{Instance, SetUpError};
pub use profile::Profile;

/// What an adapter's method returns: a future without a name, so that adapters can be chosen at run time.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
