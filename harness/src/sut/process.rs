//! Process adapters: start, stop and kill the server under test.
//!
//! It is a child of imspec ([`Child`]), or it is somebody else's, and commands reach it: of systemd, of a container, of
//! anything that can be typed, here or through `ssh` ([`ByCommands`]).

mod child;
mod commands;
mod guard;
mod log;
mod signal;

use tokio::sync::watch;

use super::Pending;

pub use child::Child;
pub use commands::ByCommands;

/// What became of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Life {
    /// It runs.
    Running,
    /// It was stopped, or is not started yet.
    Stopped,
    /// It ended by itself: how, and its last words.
    Died(String),
}

/// Starts and ends a server.
pub trait Process: Send + Sync + std::fmt::Debug {
    /// What becomes of it.
    fn life(&self) -> watch::Receiver<Life>;

    /// The last lines that it printed, as far as they can be had.
    fn last_words(&self) -> Pending<'_, String>;

    /// Starts it. Returns when it printed its ready line, or at once where readiness shows elsewhere.
    fn start(&mut self) -> Pending<'_, Result<(), String>>;

    /// Ends it: cleanly, or in such a way that it cannot prepare for it. It is gone when this returns.
    fn stop(&mut self, kill: bool) -> Pending<'_, Result<(), String>>;

    /// Leaves it as it was found.
    fn leave(&mut self) -> Pending<'_, Result<(), String>>;
}
