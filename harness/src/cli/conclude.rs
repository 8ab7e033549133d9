//! What stands at the end of a run, and of a merge that gives the record of one: the reports, the summary, the
//! exit status.

use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};

use imspec_reports::record::{FindingKind, ProtocolWeight, RunRecord, Verdict};
use imspec_reports::terminal;

use super::{ExitStatus, Stop, screen};

/// How a record is weighed and shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Args)]
pub struct Manner {
    /// A deviation (failed SHOULD) is a failure too
    #[arg(long)]
    pub strict: bool,
    /// Whether something inconclusive makes the run fail
    #[arg(long, value_name = "HOW", default_value = "pass")]
    pub inconclusive: Inconclusive,
    /// Print nonconformities and totals only, no progress
    #[arg(long, short)]
    pub quiet: bool,
}

/// What an inconclusive case means for the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Inconclusive {
    /// Nothing.
    Pass,
    /// Status 6.
    Fail,
}

/// Writes the reports into a folder, prints the summary, and gives the status.
///
/// # Errors
/// When a report cannot be written.
pub(super) fn conclude(
    record: &RunRecord,
    folder: &Path,
    manner: Manner,
    out: &mut dyn Write,
) -> Result<ExitStatus, Stop> {
    let broken = |why: std::io::Error| {
        (
            ExitStatus::HarnessError,
            format!("error: {}: {why}", folder.display()),
        )
    };
    let files = imspec_reports::write_all(record, folder).map_err(broken)?;
    let mut text = terminal::summary(
        record,
        &terminal::Options {
            quiet: manner.quiet,
            width: screen::columns(),
        },
    );
    if !manner.quiet {
        text.push_str(&list(&files));
    }
    // A reader that went away has what it wanted; the reports are on disk.
    let _ = out.write_all(text.as_bytes());
    Ok(status(record, manner))
}

/// The files that were written.
pub(super) fn list(files: &[PathBuf]) -> String {
    let mut text = "\nReports:\n".to_owned();
    for file in files {
        let _ = writeln!(text, "  {}", file.display());
    }
    text
}

/// The exit status: a broken harness says nothing about the SUT, so it comes first.
pub(super) fn status(record: &RunRecord, manner: Manner) -> ExitStatus {
    let has = |verdict: Verdict| record.cases.iter().any(|case| case.verdict == verdict);
    if record.interrupted.is_some() || has(Verdict::Error) {
        ExitStatus::HarnessError
    } else if nonconforming(record, manner.strict) {
        ExitStatus::Nonconformity
    } else if record.stale_waivers().next().is_some() {
        ExitStatus::StaleWaiver
    } else if manner.inconclusive == Inconclusive::Fail && has(Verdict::Inconclusive) {
        ExitStatus::Inconclusive
    } else {
        ExitStatus::Conforms
    }
}

fn nonconforming(record: &RunRecord, strict: bool) -> bool {
    let protocol = record
        .protocol
        .iter()
        .filter(|finding| finding.waiver.is_none())
        .any(|finding| strict || finding.weight == ProtocolWeight::Error);
    protocol
        || record
            .findings
            .iter()
            .filter(|finding| finding.waiver.is_none())
            .any(|finding| match finding.kind {
                FindingKind::Nonconformity | FindingKind::ProfileMismatch => true,
                FindingKind::Deviation => strict,
                FindingKind::Observation | FindingKind::NotDemonstrated => false,
            })
}
