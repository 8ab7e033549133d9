//! The `imspec` command: one file a subcommand, one type for the exit status.

pub mod adapter;
pub mod check;
pub mod compare;
pub mod conclude;
pub mod doctor;
pub mod draft;
pub mod exit;
pub mod explain;
pub mod faults;
pub mod init;
pub mod judge;
pub mod list;
pub mod merge;
mod progress;
pub mod report;
pub mod run;
pub mod schema;
mod screen;
pub mod serve;
pub mod wire;

use std::fmt::Write as _;
use std::io::{BufWriter, Write as _};

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Parser, Subcommand};

pub use exit::ExitStatus;

/// What ends a command early: the status, and what to tell.
type Stop = (ExitStatus, String);

/// The status of a command. What ended it early is told.
fn ended(result: Result<ExitStatus, Stop>) -> ExitStatus {
    result.unwrap_or_else(|(status, why)| {
        anstream::eprintln!("{}", why.trim_end());
        status
    })
}

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Does an instant-messaging server keep the rules for deferred messages?
#[derive(Debug, Parser)]
#[command(name = "imspec", version, styles = STYLES, propagate_version = true, after_help = exit_help())]
struct Command {
    #[command(subcommand)]
    command: Sub,
    /// Colour: on a terminal (and without `NO_COLOR`), always, or never
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: clap::ColorChoice,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// Run the suite; by default all of it, against the bundled reference server
    Run(run::Args),
    /// Join the records of the shards of a run
    Merge(merge::Args),
    /// Judge a recorded run again, by the scenarios, requirements and waivers of today
    Judge(judge::Args),
    /// Put records side by side: builds of one server, or several servers
    Compare(compare::Args),
    /// Render a recorded run again: page, ladder of a case, capture, other formats
    Report(report::Args),
    /// Start the reference server
    Serve(serve::Args),
    /// List the scenarios or the requirements
    List(list::Args),
    /// List the faults that the reference server can be started with
    Faults(faults::Args),
    /// Tell all about a requirement, a scenario, a PICS key, a wording defect or an exit status
    Explain(explain::Args),
    /// Find mistakes in scenarios, profiles and waivers
    Check(check::Args),
    /// Write a profile for a server, with what it shows when it is asked
    Init(Box<init::Args>),
    /// Try each thing that a profile promises, and say of what fails what to check
    Doctor(doctor::Args),
    /// Hold the adapters of a profile to what a run relies on
    Adapter(adapter::Args),
    /// Print the JSON Schema of scenarios, for editors
    Schema(schema::Args),
    /// For specification editors: what a draft says, and how well
    Draft(draft::Args),
    /// Show how the codec reads a SIP message
    Wire(wire::Args),
}

/// Reads the command line and does what it says.
pub fn main() -> ExitStatus {
    let command = match Command::try_parse() {
        Ok(command) => command,
        Err(why) => {
            // Help and version are no mistakes; everything else is wrong usage.
            let wrong = why.use_stderr();
            // A closed pipe is not worth a word.
            let _ = why.print();
            return if wrong {
                ExitStatus::InvalidInput
            } else {
                ExitStatus::Conforms
            };
        }
    };
    match command.color {
        clap::ColorChoice::Auto => {}
        clap::ColorChoice::Always => anstream::ColorChoice::Always.write_global(),
        clap::ColorChoice::Never => anstream::ColorChoice::Never.write_global(),
    }
    let mut out = BufWriter::new(anstream::stdout().lock());
    let status = match &command.command {
        Sub::Run(args) => run::execute(args, &mut out),
        Sub::Merge(args) => merge::execute(args, &mut out),
        Sub::Judge(args) => judge::execute(args, &mut out),
        Sub::Compare(args) => compare::execute(args, &mut out),
        Sub::Report(args) => report::execute(args, &mut out),
        Sub::Serve(args) => serve::execute(args, &mut out),
        Sub::List(args) => list::execute(args, &mut out),
        Sub::Faults(args) => faults::execute(args, &mut out),
        Sub::Explain(args) => explain::execute(args, &mut out),
        Sub::Check(args) => check::execute(args, &mut out),
        Sub::Init(args) => init::execute(args, &mut out),
        Sub::Doctor(args) => doctor::execute(args, &mut out),
        Sub::Adapter(args) => adapter::execute(args, &mut out),
        Sub::Schema(args) => schema::execute(args, &mut out),
        Sub::Draft(args) => draft::execute(args, &mut out),
        Sub::Wire(args) => wire::execute(args, &mut out),
    };
    // A reader that went away (`imspec list | head`) has what it wanted.
    let _ = out.flush();
    status
}

fn exit_help() -> String {
    let mut text = "Exit status:\n".to_owned();
    for status in ExitStatus::ALL {
        let _ = writeln!(text, "  {}  {}", status.code(), status.meaning());
    }
    text
}

/// Waits for Ctrl-C, or SIGTERM from a supervisor; for ever where neither can be heard. Whoever then puts things in
/// order is not waited for by somebody who asks once more.
async fn interrupted() {
    if end_requested().await.is_err() {
        return std::future::pending().await;
    }
    tokio::spawn(async {
        if end_requested().await.is_ok() {
            anstream::eprintln!(
                "interrupted twice: the server may not be as it was found, and accounts may be left"
            );
            std::process::exit(ExitStatus::HarnessError.code().into());
        }
    });
}

/// Ctrl-C, or SIGTERM from a supervisor.
async fn end_requested() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut term = signal(SignalKind::terminate())?;
        tokio::select! {
            done = tokio::signal::ctrl_c() => done,
            _ = term.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}
