//! The `imspec` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    imspec::cli::main().into()
}
