//! The `imspec` command: one file a subcommand, one type for the exit status.

pub mod exit;

pub use exit::ExitStatus;
