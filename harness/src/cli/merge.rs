//! `imspec merge`: joins what shards left.

use std::io::Write;
use std::path::{Path, PathBuf};

use imspec_reports::json;

use super::conclude::{Manner, conclude};
use super::report::file_of;
use super::{ExitStatus, Stop};
use crate::bundled;
use crate::merge::{Part, merge};

/// Join the records of all shards of a run, and write its reports
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run.json of every shard, or the folders that hold them
    #[arg(required = true, value_name = "RECORD")]
    records: Vec<PathBuf>,
    /// Where the reports go; default: `imspec-reports/`, and in it the name of the profile
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
    let invalid = |why: String| (ExitStatus::InvalidInput, format!("error: {why}"));
    let catalogue = bundled::catalogue().map_err(|why| invalid(why.to_string()))?;
    let parts = args.records.iter().map(|path| read(path));
    let parts: Vec<Part> = parts.collect::<Result<_, _>>().map_err(invalid)?;
    let today = jiff::Zoned::now().date();
    let record = merge(parts, &catalogue, today).map_err(|why| invalid(why.to_string()))?;
    let folder = args
        .out
        .clone()
        .unwrap_or_else(|| Path::new("imspec-reports").join(&record.profile.name));
    conclude(&record, &folder, args.manner, out)
}

/// A folder stands for the record in it. What an older imspec wrote does not tell to which plan it belongs.
fn read(path: &Path) -> Result<Part, String> {
    let path = file_of(path);
    let file = path.display().to_string();
    let text = json::text(&path).map_err(|why| format!("{file}: {why}"))?;
    let record = json::from_str(&text).map_err(|why| format!("{file}: {why}"))?;
    Ok(Part { file, record })
}
