//! `imspec compare`: records side by side.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use imspec_reports::comparison::{Column, Comparison, Kind, document};
use imspec_reports::record::RunRecord;
use imspec_reports::{terminal, write};

use super::conclude::{Inconclusive, Manner};
use super::{ExitStatus, Stop, report, screen};

/// Put records side by side: builds of one server, or several servers
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit status: of builds, 1 if the last one has a nonconformity, profile mismatch or protocol error that the first \
    one has not (and no waiver accepts); 5 if the harness broke newly, 6 as with `run`. Of servers always 0."
)]
pub struct Args {
    /// Records (run.json, run.json.zst or their folders), the oldest build first; NAME=PATH gives a column its name, and
    /// records of one name become one column
    #[arg(required = true, value_name = "RECORD")]
    records: Vec<String>,
    /// What they are; default: builds where all have the same profile, else servers
    #[arg(long = "as", value_name = "WHAT")]
    kind: Option<What>,
    /// What to print, or to write into --out
    #[arg(long, short, value_name = "FORMAT", default_value = "terminal")]
    format: Format,
    /// Where it goes; default: the standard output
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    manner: Manner,
}

/// What stands side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum What {
    /// Builds of one server
    Builds,
    /// Several servers
    Servers,
}

/// How a comparison is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For the terminal
    Terminal,
    /// For a pull request
    Markdown,
    /// A page of its own
    Html,
}

/// Runs the command.
pub fn execute(args: &Args, out: &mut dyn Write) -> ExitStatus {
    super::ended(perform(args, out))
}

fn perform(args: &Args, out: &mut dyn Write) -> Result<ExitStatus, Stop> {
    let broken = |why: String| (ExitStatus::HarnessError, format!("error: {why}"));
    let mut named: Vec<(Option<String>, PathBuf, RunRecord)> = Vec::new();
    for word in &args.records {
        let (name, path) = name_and_path(word);
        let (path, mut record) = report::read(Some(path))?;
        for case in &mut record.cases {
            // What happened is not compared, and is most of a record.
            case.trace.events = Vec::new();
        }
        named.push((name, path, record));
    }
    let profiles: BTreeSet<&str> = named.iter().map(|it| it.2.profile.name.as_str()).collect();
    let kind = match args.kind {
        Some(What::Builds) => Kind::Builds,
        None if profiles.len() == 1 => Kind::Builds,
        Some(What::Servers) | None => Kind::Servers,
    };
    let columns = columns(named);
    if columns.len() < 2 && columns.iter().all(|it| it.records < 2) {
        let why = "error: one record has nothing beside it: give another".to_owned();
        return Err((ExitStatus::InvalidInput, why));
    }
    let comparison = Comparison::of(kind, columns);
    let text = match args.format {
        Format::Terminal => {
            let options = terminal::Options {
                width: screen::columns(),
                quiet: args.manner.quiet,
            };
            terminal::comparison::comparison(&comparison, &options)
        }
        format => {
            let document = document::document(&comparison, env!("CARGO_PKG_VERSION"));
            match format {
                Format::Html => document.html().map_err(|why| broken(why.to_string()))?,
                _ => document.markdown(),
            }
        }
    };
    match &args.out {
        Some(file) => {
            let plain = anstream::adapter::strip_str(&text).to_string();
            write::replace(file, plain.as_bytes()).map_err(|why| broken(why.to_string()))?;
        }
        // A reader that went away has what it wanted.
        None => drop(out.write_all(text.as_bytes())),
    }
    Ok(status(&comparison, args.manner))
}

/// `5.7=kamailio/run.json`. What is there as a file is no name.
fn name_and_path(word: &str) -> (Option<String>, &Path) {
    match word.split_once('=') {
        Some((name, path)) if !Path::new(word).exists() && !name.contains('/') => {
            (Some(name.to_owned()), Path::new(path))
        }
        _ => (None, Path::new(word)),
    }
}

/// One column a name; records without one have one of their own, named by their server, and where two servers have
/// the same name by the folder of the record, too.
fn columns(named: Vec<(Option<String>, PathBuf, RunRecord)>) -> Vec<Column> {
    let suts: Vec<String> = named.iter().map(|it| it.2.profile.sut.clone()).collect();
    let mut groups: Vec<(String, Vec<RunRecord>)> = Vec::new();
    for (at, (name, path, record)) in named.into_iter().enumerate() {
        let is_named = name.is_some();
        let name = name.unwrap_or_else(|| {
            let sut = &record.profile.sut;
            let twice = suts.iter().filter(|it| *it == sut).count() > 1;
            let folder = path.parent().and_then(Path::file_name);
            match folder {
                Some(folder) if twice => format!("{sut} ({})", folder.display()),
                _ if twice => format!("{sut} ({})", at + 1),
                _ => sut.clone(),
            }
        });
        match groups.iter_mut().find(|it| is_named && it.0 == name) {
            Some(group) => group.1.push(record),
            None => groups.push((name, vec![record])),
        }
    }
    let columns = groups.into_iter();
    columns
        .filter_map(|(name, records)| Column::of(name, records))
        .collect()
}

fn status(comparison: &Comparison, manner: Manner) -> ExitStatus {
    let changes = &comparison.changes;
    let last = comparison.columns.last();
    if comparison.kind == Kind::Servers {
        ExitStatus::Conforms
    } else if changes.has_errors() || last.is_some_and(|it| it.record.interrupted.is_some()) {
        ExitStatus::HarnessError
    } else if changes.breaks(manner.strict) {
        ExitStatus::Nonconformity
    } else if manner.inconclusive == Inconclusive::Fail && changes.is_unclear() {
        ExitStatus::Inconclusive
    } else {
        ExitStatus::Conforms
    }
}
