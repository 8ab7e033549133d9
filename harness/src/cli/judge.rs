//! `imspec judge`: judges a recorded run again, without its server.

use std::io::Write;
use std::path::PathBuf;

use imspec_reports::record::{JudgedAgain, UtcTime};
use imspec_reports::terminal;

use super::conclude::{self, Manner};
use super::{ExitStatus, Stop, report, run, screen};
use crate::bundled;
use crate::rejudge::{Rules, rejudge};

/// Judge a recorded run again with the scenarios, requirements and waivers of today, and say what changed and why
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run.json or run.json.zst of a run, or the folder that holds it; default: of the latest run below
    /// imspec-reports/
    #[arg(value_name = "RECORD")]
    record: Option<PathBuf>,
    /// Judge by the scenarios of this folder instead of the bundled ones
    #[arg(long, value_name = "DIR")]
    scenarios: Option<PathBuf>,
    /// Accepted findings; default: those in the record
    #[arg(long, value_name = "FILE")]
    waivers: Option<PathBuf>,
    /// Write the new record and its reports into this folder; default: nothing is written
    #[arg(long, short, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    manner: Manner,
}

/// Runs the command.
pub fn execute(args: &Args, out: &mut dyn Write) -> ExitStatus {
    super::ended(perform(args, out))
}

fn perform(args: &Args, out: &mut dyn Write) -> Result<ExitStatus, Stop> {
    let invalid = |why: String| (ExitStatus::InvalidInput, why);
    let catalogue = bundled::catalogue().map_err(|why| invalid(why.to_string()))?;
    let scenarios = bundled::suite_in(args.scenarios.as_deref(), &catalogue)
        .map_err(|why| invalid(why.to_string()))?;
    let waivers = args.waivers.as_deref();
    let waivers = waivers.map(|file| run::waivers(file, &scenarios, &catalogue));
    let waivers = waivers.transpose().map_err(invalid)?;
    let (path, record) = report::read(args.record.as_deref())?;
    let rules = Rules {
        scenarios: &scenarios,
        catalogue: &catalogue,
        waivers: waivers.as_deref(),
        today: jiff::Zoned::now().date(),
        judge: JudgedAgain {
            tool: env!("CARGO_PKG_VERSION").to_owned(),
            at: UtcTime::now(),
        },
    };
    let again = rejudge(record, &rules)
        .map_err(|why| invalid(format!("error: {}: {why}", path.display())))?;
    let options = terminal::Options {
        width: screen::columns(),
        quiet: args.manner.quiet,
    };
    let mut text =
        terminal::changes::judged_again(&again.record, &again.changes, &again.suite, &options);
    if let Some(folder) = &args.out {
        let files = imspec_reports::write_all(&again.record, folder).map_err(|why| {
            (
                ExitStatus::HarnessError,
                format!("error: {}: {why}", folder.display()),
            )
        })?;
        if !args.manner.quiet {
            text.push_str(&conclude::list(&files));
        }
    }
    // A reader that went away has what it wanted; the reports are on disk.
    let _ = out.write_all(text.as_bytes());
    Ok(conclude::status(&again.record, args.manner))
}
