//! Renders a record as the page, and tells what it took: `cargo run --release -p imspec-reports --example render --
//! RECORD [CASES]`.
//!
//! With a number of cases the record's own are repeated until there are so many; the larger record is written beside
//! the first, so that reading it is measured, too. What it takes is shown, not judged.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use imspec_reports::{html, json};

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let path = arguments.first().ok_or("name a run.json")?;
    if let Some(cases) = arguments.get(1) {
        let cases: usize = cases.parse()?;
        let mut record = imspec_reports::read(Path::new(path))?;
        let own = record.cases.len();
        for n in own..cases {
            let mut case = record.cases[n % own].clone();
            case.id = format!("{}-{}", case.id, n / own);
            record.cases.push(case);
        }
        let larger = format!("{path}.{cases}.json");
        std::fs::write(&larger, json::to_string(&record)?)?;
        println!("{larger}");
        return Ok(());
    }
    let began = Instant::now();
    let record = imspec_reports::read(Path::new(path))?;
    let read = began.elapsed();
    let began = Instant::now();
    let page = format!("{path}.html");
    html::write(&record, &mut BufWriter::new(File::create(&page)?))?;
    let rendered = began.elapsed();
    println!(
        "{} cases: read in {read:.2?}, rendered in {rendered:.2?}, page of {} octets, at most {} in memory",
        record.cases.len(),
        std::fs::metadata(&page)?.len(),
        peak().unwrap_or_default()
    );
    Ok(())
}

/// The most memory that this process had, as the system tells it.
fn peak() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().to_owned())
}
