//! Writes the reports of a made-up run, to look at: `cargo run -p imspec-reports --example sample -- DIR`.
//!
//! Without a directory it prints the terminal summary; with `--quiet` the short one.

mod record;

use std::path::Path;
use std::process::ExitCode;

use imspec_reports::terminal::{Options, summary};
use imspec_reports::write_all;

fn main() -> ExitCode {
    let record = record::record();
    let mut quiet = false;
    let mut dir = None;
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--quiet" => quiet = true,
            "--interrupted" => {
                print!("{}", summary(&record::interrupted(), &Options::default()));
                return ExitCode::SUCCESS;
            }
            _ => dir = Some(argument),
        }
    }
    let Some(dir) = dir else {
        let width = std::env::var("COLUMNS")
            .ok()
            .and_then(|w| w.parse().ok())
            .unwrap_or(100);
        print!("{}", summary(&record, &Options { width, quiet }));
        return ExitCode::SUCCESS;
    };
    match write_all(&record, Path::new(&dir)) {
        Ok(paths) => {
            for path in paths {
                println!("{}", path.display());
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
