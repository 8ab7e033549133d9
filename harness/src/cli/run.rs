//! `imspec run`: plan, run, judge, render.

use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use imspec_reports::record::{FindingKind, ProtocolWeight, RunRecord, Trace, UtcTime, Verdict};
use imspec_reports::terminal;
use tokio::sync::{mpsc, watch};

use super::ExitStatus;
use crate::bundled;
use crate::catalogue::Catalogue;
use crate::judge::waiver::{self, Waiver};
use crate::judge::{self, RunFacts};
use crate::plan::{self, Selection};
use crate::run::{self, RunEvent, RunOptions};
use crate::scenario::{Case, Scenario};
use crate::sut::Profile;

/// Run the suite, by default all of it against the bundled reference server.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to run: scenario ids (PG-05), globs ('PG-*'), requirements (DM-EXP-10); default: everything
    selection: Vec<String>,
    /// Profile of the server under test: a file, or a folder that holds profile.yaml
    #[arg(long, short, value_name = "PATH")]
    profile: Option<PathBuf>,
    /// Run the scenarios of this folder instead of the bundled ones
    #[arg(long, value_name = "DIR")]
    scenarios: Option<PathBuf>,
    /// Only scenarios that ask for this PICS value
    #[arg(long, value_name = "KEY=VALUE")]
    pics: Vec<String>,
    /// Where the reports go; default: `imspec-reports/`, and in it the name of the profile
    #[arg(long, short, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Accepted findings
    #[arg(long, value_name = "FILE")]
    waivers: Option<PathBuf>,
    /// A deviation (failed SHOULD) is a failure too
    #[arg(long)]
    strict: bool,
    /// Whether something inconclusive makes the run fail
    #[arg(long, value_name = "HOW", default_value = "pass")]
    inconclusive: Inconclusive,
    /// Longest wait of a case where time cannot be moved; cases that need more are inconclusive
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    time_budget: Duration,
    /// Cases side by side on one server
    #[arg(long, short, value_name = "N", default_value_t = 64)]
    jobs: usize,
    /// Seed of random texts and user names; default: drawn and shown in the record
    #[arg(long)]
    seed: Option<u64>,
    /// Print nonconformities and totals only, no progress
    #[arg(long, short)]
    quiet: bool,
}

/// What an inconclusive case means for the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Inconclusive {
    Pass,
    Fail,
}

/// What ends a command early: the status, and what to tell.
type Stop = (ExitStatus, String);

/// Runs the command.
pub fn execute(args: &Args, out: &mut dyn Write) -> ExitStatus {
    match prepare(args).and_then(|prepared| perform(args, prepared, out)) {
        Ok(status) => status,
        Err((status, why)) => {
            anstream::eprintln!("{}", why.trim_end());
            status
        }
    }
}

/// Everything that can be wrong before anything is run.
struct Prepared {
    catalogue: Catalogue,
    scenarios: Vec<Arc<Scenario>>,
    profile: Profile,
    waivers: Vec<Waiver>,
    selection: Selection,
    out: PathBuf,
}

fn prepare(args: &Args) -> Result<Prepared, Stop> {
    let invalid = |why: String| (ExitStatus::InvalidInput, why);
    let catalogue = bundled::catalogue().map_err(|why| invalid(why.to_string()))?;
    let scenarios = match &args.scenarios {
        None => bundled::suite(&catalogue),
        Some(folder) => bundled::suite_in(folder, &catalogue),
    }
    .map_err(|why| invalid(why.to_string()))?;
    let profile = match &args.profile {
        None => bundled::reference_profile(),
        Some(path) => Profile::load(&profile_file(path)),
    }
    .map_err(|why| invalid(why.to_string()))?;
    let waivers = match &args.waivers {
        None => Vec::new(),
        Some(file) => {
            let name = file.display().to_string();
            let text = std::fs::read_to_string(file)
                .map_err(|why| invalid(format!("error: {name}: {why}")))?;
            waiver::read(&text, &name).map_err(|why| invalid(format!("error: {why}")))?
        }
    };
    let selection = Selection::parse(&args.selection, &args.pics, &scenarios, &catalogue)
        .map_err(|why| invalid(format!("error: {why}")))?;
    let out = args
        .out
        .clone()
        .unwrap_or_else(|| Path::new("imspec-reports").join(&profile.name));
    Ok(Prepared {
        catalogue,
        scenarios,
        profile,
        waivers,
        selection,
        out,
    })
}

/// A folder stands for the `profile.yaml` in it.
fn profile_file(path: &Path) -> PathBuf {
    if path.is_dir() {
        path.join("profile.yaml")
    } else {
        path.to_owned()
    }
}

fn perform(args: &Args, prepared: Prepared, out: &mut dyn Write) -> Result<ExitStatus, Stop> {
    let Prepared {
        catalogue,
        scenarios,
        profile,
        waivers,
        selection,
        out: folder,
    } = prepared;
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..));
    let settable = profile.settable();
    let context = plan::Context {
        pics: &profile.pics,
        settable: &settable,
        domain: &profile.pixit.domain,
        transport: profile.pixit.transport.as_str(),
        seed,
    };
    let plan = plan::plan(&scenarios, &selection, &context);
    let set_aside = plan.set_aside.clone();
    let started = UtcTime::now();
    let clock = Instant::now();
    let options = RunOptions {
        jobs: args.jobs,
        time_budget: args.time_budget,
        seed,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|why| {
            (
                ExitStatus::HarnessError,
                format!("error: no runtime: {why}"),
            )
        })?;
    let total = plan.lanes.iter().map(|lane| lane.cases.len()).sum();
    let progress = run::Progress::new(total, args.quiet);
    let ran = runtime.block_on(drive(plan, &profile, &options, progress))?;
    let facts = RunFacts {
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        started,
        duration_us: u64::try_from(clock.elapsed().as_micros()).unwrap_or(u64::MAX),
        store_time_s: ran.store_time_s,
        interrupted: ran.interrupted,
        profile: profile.record(),
        today: jiff::Zoned::now().date(),
    };
    let context = judge::Context {
        pics: &profile.pics,
        catalogue: &catalogue,
    };
    let record = judge::record(facts, &ran.cases, &set_aside, &waivers, context);
    let broken = |why: std::io::Error| {
        (
            ExitStatus::HarnessError,
            format!("error: {}: {why}", folder.display()),
        )
    };
    let files = imspec_reports::write_all(&record, &folder).map_err(broken)?;
    let mut text = terminal::summary(
        &record,
        &terminal::Options {
            quiet: args.quiet,
            ..terminal::Options::default()
        },
    );
    if !args.quiet {
        text.push_str("\nReports:\n");
        for file in files {
            let _ = writeln!(text, "  {}", file.display());
        }
    }
    // A reader that went away has what it wanted; the reports are on disk.
    let _ = out.write_all(text.as_bytes());
    Ok(status(&record, args))
}

/// What came out of the events.
struct Ran {
    cases: Vec<(Arc<Case>, Trace, u64)>,
    store_time_s: f64,
    interrupted: Option<String>,
}

async fn drive(
    plan: plan::Plan,
    profile: &Profile,
    options: &RunOptions,
    mut progress: run::Progress,
) -> Result<Ran, Stop> {
    let (events, mut inbox) = mpsc::unbounded_channel();
    let (stop, stopped) = watch::channel(false);
    let interrupt = tokio::spawn(async move {
        // A supervisor whose patience is over wants the reports as much as a person at the keyboard.
        if super::end_requested().await.is_ok() {
            // The receivers are gone only when the run is over anyway.
            let _ = stop.send(true);
        }
        // Keeps the sender alive: a dropped one would look like a request to stop.
        std::future::pending::<()>().await;
    });
    let mut ran = Ran {
        cases: Vec::new(),
        store_time_s: 0.0,
        interrupted: None,
    };
    let running = run::run(plan, profile, options, events, stopped.clone());
    let collecting = async {
        while let Some(event) = inbox.recv().await {
            progress.show(&event);
            match event {
                RunEvent::CaseFinished {
                    case,
                    trace,
                    duration_us,
                } => ran.cases.push((case, trace, duration_us)),
                RunEvent::ClockMoved { by_s, .. } => ran.store_time_s += by_s,
                _ => {}
            }
        }
    };
    let (done, ()) = tokio::join!(running, collecting);
    interrupt.abort();
    progress.finish();
    done.map_err(|why| (ExitStatus::Unreachable, format!("error: {why}")))?;
    if *stopped.borrow() {
        ran.interrupted = Some("Ctrl-C or SIGTERM".into());
    }
    Ok(ran)
}

/// The exit status: a broken harness says nothing about the SUT, so it comes first.
fn status(record: &RunRecord, args: &Args) -> ExitStatus {
    let has = |verdict: Verdict| record.cases.iter().any(|case| case.verdict == verdict);
    if record.interrupted.is_some() || has(Verdict::Error) {
        ExitStatus::HarnessError
    } else if nonconforming(record, args.strict) {
        ExitStatus::Nonconformity
    } else if !record.stale_waivers.is_empty() {
        ExitStatus::StaleWaiver
    } else if args.inconclusive == Inconclusive::Fail && has(Verdict::Inconclusive) {
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

fn duration(text: &str) -> Result<Duration, String> {
    crate::scenario::duration::parse_ms(text)
        .map(Duration::from_millis)
        .ok_or_else(|| format!("expected {}", crate::scenario::duration::EXPECTED))
}
