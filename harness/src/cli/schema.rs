//! `imspec schema`: the JSON Schema of scenarios, for editors.

use std::io::Write;

use super::ExitStatus;
use crate::scenario::{Known, schema};

/// Print the JSON Schema of scenarios; an editor completes and checks by it
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn execute(_args: &Args, out: &mut dyn Write) -> ExitStatus {
    // A reader that went away (`| head`) has what it wanted.
    let _ = out.write_all(schema::published(&Known::bundled()).as_bytes());
    ExitStatus::Conforms
}
