//! `imspec draft coverage`: what shows the statements of a draft.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use imspec_faults::FAULTS;

use super::{File, open, write};
use crate::bundled;
use crate::catalogue::Coverage;
use crate::cli::{ExitStatus, report};
use crate::document::Diagnostics;
use crate::draft::coverage::{Evidence, html, markdown};
use crate::draft::link::Links;

/// Tell for each statement which requirements, scenarios and faults show it, and how servers did
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    draft: File,
    /// Records of runs (run.json, or the folder that holds it): how each server did
    #[arg(value_name = "RECORD")]
    records: Vec<PathBuf>,
    /// What to write
    #[arg(long, short, value_enum, default_value_t)]
    format: Format,
    /// Into this file; default: the standard output
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum Format {
    /// A table for minutes
    #[default]
    Markdown,
    /// A page: the text on the left, the evidence on the right
    Html,
    /// Everything, for programs
    Json,
}

/// Runs the command.
pub fn execute(args: &Args, out: &mut dyn Write) -> Result<ExitStatus, String> {
    let wrong = |found: Diagnostics| found.render(true);
    let draft = open(&args.draft.file)?;
    let catalogue = bundled::catalogue().map_err(wrong)?;
    let scenarios = bundled::suite(&catalogue).map_err(wrong)?;
    let read = |path: &PathBuf| report::read(Some(path)).map(|(_, record)| record);
    let records: Result<Vec<_>, _> = args.records.iter().map(read).collect();
    let records = records.map_err(|(_, why)| why)?;
    let links = Links::of(&draft.statements, &catalogue);
    let coverage = Coverage::of(scenarios.iter().map(Arc::as_ref));
    let evidence = Evidence::gather(&draft, &links, &coverage, &FAULTS, &records);
    let text = match args.format {
        Format::Markdown => markdown::render(&evidence),
        Format::Html => html::render(&evidence),
        Format::Json => format!("{:#}\n", evidence.as_json()),
    };
    match &args.out {
        None => write(out, &text),
        Some(file) => {
            std::fs::write(file, text)
                .map_err(|why| format!("error: {}: {why}", file.display()))?;
            write(out, &format!("{}\n", file.display()));
        }
    }
    Ok(ExitStatus::Conforms)
}
