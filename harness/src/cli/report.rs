//! `imspec report`: renders the record of a run again, for another reader.

use std::io::Write;
use std::path::{Path, PathBuf};

use imspec_reports::record::{CaseRecord, RunRecord};
use imspec_reports::{ladder, pcapng, terminal, write};

use super::{ExitStatus, Stop, screen};
use crate::document::suggest;

/// Render a recorded run again: pages, formats for programs, the ladder of a case, a capture for Wireshark
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run.json or run.json.zst of a run, or the folder that holds it; default: of the latest run below
    /// imspec-reports/
    #[arg(value_name = "RECORD")]
    record: Option<PathBuf>,
    /// What to write; default: html, junit and markdown
    #[arg(long, short, value_name = "FORMAT", value_delimiter = ',')]
    format: Vec<Format>,
    /// Where it goes: a folder, or `-` for one format on the standard output; default: beside the record
    #[arg(long, short, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the ladder of this case, or of the worst case of this scenario
    #[arg(long, value_name = "CASE", conflicts_with_all = ["format", "out"])]
    ladder: Option<String>,
    /// Write what went over the wire as pcapng: of the whole run, or of one case
    #[arg(long, value_name = "FILE", conflicts_with_all = ["format", "out", "ladder"])]
    pcapng: Option<PathBuf>,
    /// With --pcapng: only this case
    #[arg(long, value_name = "CASE", requires = "pcapng")]
    case: Option<String>,
}

/// What a record is rendered as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// report.html: the page, for whoever has to believe the result
    Html,
    /// junit.xml
    Junit,
    /// summary.md
    Markdown,
    /// results.tap: TAP 14
    Tap,
    /// ctrf.json: Common Test Report Format
    Ctrf,
    /// annotations.txt: commands by which GitHub shows failures at the lines of scenarios
    Github,
    /// statement.html: the conformance statement, SCTR and PCTR of ISO/IEC 9646
    Statement,
    /// statement.md: the same as Markdown
    StatementMarkdown,
    /// badge.svg
    Badge,
    /// badge.json: for the endpoint badge of shields.io
    Shields,
    /// run.json
    Json,
    /// run.json.zst
    Zst,
}

impl Format {
    fn file(self) -> &'static str {
        match self {
            Self::Html => "report.html",
            Self::Junit => "junit.xml",
            Self::Markdown => "summary.md",
            Self::Tap => "results.tap",
            Self::Ctrf => "ctrf.json",
            Self::Github => "annotations.txt",
            Self::Statement => "statement.html",
            Self::StatementMarkdown => "statement.md",
            Self::Badge => "badge.svg",
            Self::Shields => "badge.json",
            Self::Json => "run.json",
            Self::Zst => "run.json.zst",
        }
    }
}

/// Runs the command.
pub fn execute(args: &Args, out: &mut dyn Write) -> ExitStatus {
    match perform(args, out) {
        Ok(()) => ExitStatus::Conforms,
        Err((status, why)) => {
            anstream::eprintln!("{}", why.trim_end());
            status
        }
    }
}

fn perform(args: &Args, out: &mut dyn Write) -> Result<(), Stop> {
    let invalid = |why: String| (ExitStatus::InvalidInput, format!("error: {why}"));
    let broken = |why: String| (ExitStatus::HarnessError, format!("error: {why}"));
    let (path, record) = read(args.record.as_deref())?;
    if let Some(id) = &args.ladder {
        let case = case(&record, id).map_err(invalid)?;
        let text = terminal::ladder::ladder(&record, case, screen::columns());
        // A reader that went away has what it wanted.
        let _ = out.write_all(text.as_bytes());
        return Ok(());
    }
    if let Some(file) = &args.pcapng {
        let one = args.case.as_ref().map(|id| case(&record, id));
        let one = one.transpose().map_err(invalid)?;
        let capture = pcapng::render(&record, one);
        write::replace(file, &capture.octets).map_err(|why| broken(why.to_string()))?;
        let _ = writeln!(out, "{}: {} messages", file.display(), capture.messages);
        return Ok(());
    }
    let formats = if args.format.is_empty() {
        vec![Format::Html, Format::Junit, Format::Markdown]
    } else {
        args.format.clone()
    };
    if args.out.as_deref() == Some(Path::new("-")) {
        let [one] = formats[..] else {
            return Err(invalid("--out - takes one --format".into()));
        };
        let text = write::render(&record, one.file()).map_err(|why| broken(why.to_string()))?;
        let _ = out.write_all(&text);
        return Ok(());
    }
    let folder = match &args.out {
        Some(folder) => folder.clone(),
        None => path.parent().unwrap_or(Path::new("")).to_owned(),
    };
    let names: Vec<_> = formats.into_iter().map(Format::file).collect();
    let files =
        write::write_some(&record, &folder, &names).map_err(|why| broken(why.to_string()))?;
    for file in files {
        let _ = writeln!(out, "{}", file.display());
    }
    Ok(())
}

/// The record of this path, or of the latest run.
pub(super) fn read(path: Option<&Path>) -> Result<(PathBuf, RunRecord), Stop> {
    let invalid = |why: String| (ExitStatus::InvalidInput, format!("error: {why}"));
    let path = match path {
        Some(path) => file_of(path),
        None => latest(Path::new("imspec-reports")).ok_or_else(|| {
            invalid("there is no record below imspec-reports/: name the run.json of a run".into())
        })?,
    };
    let record = imspec_reports::read(&path);
    let record = record.map_err(|why| invalid(format!("{}: {why}", path.display())))?;
    Ok((path, record))
}

fn case<'r>(record: &'r RunRecord, id: &str) -> Result<&'r CaseRecord, String> {
    ladder::find(&record.cases, id).ok_or_else(|| {
        let ids = record
            .cases
            .iter()
            .flat_map(|case| [case.id.as_str(), case.scenario.as_str()]);
        let near = suggest::closest(id, ids);
        let near = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
        format!("the record has no case {id}{near}")
    })
}

/// A folder stands for the record in it.
pub(super) fn file_of(path: &Path) -> PathBuf {
    if !path.is_dir() {
        return path.to_owned();
    }
    let plain = path.join("run.json");
    let packed = path.join("run.json.zst");
    if packed.exists() && !plain.exists() {
        packed
    } else {
        plain
    }
}

/// The record that was written last in a folder of this one.
fn latest(folder: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let records = entries.map(|entry| file_of(&entry.path()));
    let dated = records.filter_map(|path| {
        let written = std::fs::metadata(&path).and_then(|it| it.modified()).ok()?;
        Some((written, path))
    });
    dated.max().map(|(_, path)| path)
}
