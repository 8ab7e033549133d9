//! Seeded faults: named, deliberate violations of the requirements, put around the borders of the
//! reference server. They prove that the suite can fail: each must be caught by a scenario of the very
//! requirement that it violates.
//!
//! Every file is a border and holds its faults, each declared and done in the same place. The server
//! knows nothing of them: [`start`] wraps its parts before they are put together.

mod answers;
mod catalogue;
mod composer;
mod copies;
mod fault;
mod guard;
mod identity;
mod leniency;
mod message_ids;
mod misreading;
mod msrp;
mod policy;
mod reports;
mod rewrite;
mod server;
mod store;
mod transport;
mod unfinished;

pub use catalogue::{FAULTS, find};
pub use fault::{Fault, Need};

use imspec_reference_server::{Config, Server, StartError};

/// Starts a reference server with a fault.
pub async fn start(mut config: Config, fault: &Fault) -> Result<Server, StartError> {
    (fault.configure)(&mut config);
    Server::start_with(config, fault.seed).await
}
