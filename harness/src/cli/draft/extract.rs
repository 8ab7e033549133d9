//! `imspec draft extract`: the normative statements of a draft.

use std::io::Write;

use super::{File, open, write};
use crate::bundled;
use crate::cli::ExitStatus;
use crate::document::Diagnostics;
use crate::draft::link::Links;
use crate::draft::render;

/// List the normative statements of a draft, and the requirements that came from them
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    draft: File,
    /// What to print
    #[arg(long, short, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum Format {
    /// A line a statement
    #[default]
    Table,
    /// Everything, for programs
    Json,
    /// Entries for a requirements.yaml
    Yaml,
    /// The text as it was read, of HTML and DOCX, too
    Text,
}

/// Runs the command.
pub fn execute(args: &Args, out: &mut dyn Write) -> Result<ExitStatus, String> {
    let draft = open(&args.draft.file)?;
    let catalogue = bundled::catalogue().map_err(|found: Diagnostics| found.render(true))?;
    let links = Links::of(&draft.statements, &catalogue);
    let text = match args.format {
        Format::Table => render::table(&draft, &links),
        Format::Json => format!("{:#}\n", render::as_json(&draft, &links)),
        Format::Yaml => render::skeleton(&draft),
        Format::Text => draft.source.text().to_owned(),
    };
    write(out, &text);
    Ok(ExitStatus::Conforms)
}
