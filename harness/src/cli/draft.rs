//! `imspec draft`: for those who write the specification; one file a command.

pub mod coverage;
pub mod extract;
pub mod lint;

use std::io::Write;
use std::path::{Path, PathBuf};

use super::ExitStatus;
use crate::draft::Draft;

/// For specification editors: what a draft says, and how well
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Sub,
}

#[derive(Debug, clap::Subcommand)]
enum Sub {
    /// List the normative statements of a draft, and the requirements that came from them
    Extract(extract::Args),
    /// Tell for each statement which requirements, scenarios and faults show it, and how servers did
    Coverage(coverage::Args),
    /// Find wording that is ambiguous, cannot be tested, or contradicts the RFCs
    Lint(lint::Args),
}

/// A draft to be read.
#[derive(Debug, clap::Args)]
struct File {
    /// The draft: plain text, Markdown, HTML or DOCX
    file: PathBuf,
}

/// Runs the command.
pub fn execute(args: &Args, out: &mut dyn Write) -> ExitStatus {
    let done = match &args.command {
        Sub::Extract(args) => extract::execute(args, out),
        Sub::Coverage(args) => coverage::execute(args, out),
        Sub::Lint(args) => lint::execute(args, out),
    };
    match done {
        Ok(status) => status,
        Err(problem) => {
            anstream::eprintln!("{}", problem.trim_end());
            ExitStatus::InvalidInput
        }
    }
}

fn open(path: &Path) -> Result<Draft, String> {
    Draft::open(path).map_err(|why| format!("error: {why}"))
}

fn write(out: &mut dyn Write, text: &str) {
    // A reader that went away has what it wanted.
    let _ = out.write_all(text.as_bytes());
}
