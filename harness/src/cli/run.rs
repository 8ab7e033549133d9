//! `imspec run`: plan, run, judge, render.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use imspec_reports::record::{PlanRecord, Shard, UtcTime};
use tokio::sync::watch;

use super::conclude::{Manner, conclude};
use super::progress::{Loudness, Progress};
use super::{ExitStatus, Stop};
use crate::bundled;
use crate::campaign::{self, Results};
use crate::catalogue::Catalogue;
use crate::document::Source;
use crate::judge::waiver::{self, Waiver};
use crate::judge::{self, RunFacts};
use crate::plan::{self, Plan, Selection, shard};
use crate::run::RunOptions;
use crate::scenario::Scenario;
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
    /// Longest wait of a case where time cannot be moved; cases that need more are inconclusive
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    time_budget: Duration,
    /// Cases side by side on one server
    #[arg(long, short, value_name = "N", default_value_t = 64)]
    jobs: usize,
    /// Seed of random texts and user names; default: drawn and shown in the record
    #[arg(long)]
    seed: Option<u64>,
    /// Do not run cases again in which something did not come in time
    #[arg(long)]
    once: bool,
    /// Only this part of the cases, as 2/5; `imspec merge` joins the records of all parts
    #[arg(long, value_name = "K/N", value_parser = shard::parse)]
    shard: Option<Shard>,
    /// Print each case when it ends, with what it came to
    #[arg(long, short, conflicts_with = "quiet")]
    verbose: bool,
    #[command(flatten)]
    manner: Manner,
}

/// Runs the command.
pub fn execute(args: &Args, out: &mut dyn Write) -> ExitStatus {
    super::ended(prepare(args).and_then(|prepared| perform(args, prepared, out)))
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
    let scenarios = bundled::suite_in(args.scenarios.as_deref(), &catalogue)
        .map_err(|why| invalid(why.to_string()))?;
    let profile = match &args.profile {
        None => bundled::reference_profile(),
        Some(path) => Profile::load(&profile_file(path)),
    }
    .map_err(|why| invalid(why.to_string()))?;
    let waivers = match &args.waivers {
        None => Vec::new(),
        Some(file) => waivers(file, &scenarios, &catalogue).map_err(invalid)?,
    };
    let selection = Selection::parse(&args.selection, &args.pics, &scenarios, &catalogue)
        .map_err(|why| invalid(format!("error: {why}")))?;
    let out = args.out.clone().unwrap_or_else(|| {
        let folder = Path::new("imspec-reports").join(&profile.name);
        match args.shard {
            Some(shard) => folder.join(format!("shard-{}-of-{}", shard.number, shard.of)),
            None => folder,
        }
    });
    Ok(Prepared {
        catalogue,
        scenarios,
        profile,
        waivers,
        selection,
        out,
    })
}

/// The waivers of a file; what is wrong with it is told in full.
pub(super) fn waivers(
    file: &Path,
    scenarios: &[Arc<Scenario>],
    catalogue: &Catalogue,
) -> Result<Vec<Waiver>, String> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|why| format!("error: {name}: {why}"))?;
    let source = Arc::new(Source::new(name, text));
    waiver::read(&source, scenarios, catalogue).map_err(|why| why.to_string())
}

/// A folder stands for the `profile.yaml` in it.
pub(super) fn profile_file(path: &Path) -> PathBuf {
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
    // As many bits as every reader of JSON keeps.
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..1 << 53));
    let settable = profile.settable();
    let context = plan::Context {
        pics: &profile.pics,
        settable: &settable,
        domain: &profile.pixit.domain,
        transport: profile.pixit.transport.as_str(),
        few: profile.few(),
        seed,
    };
    let whole = plan::plan(&scenarios, &selection, &context);
    let made = plan::record::Made {
        scenarios: &scenarios,
        catalogue: &catalogue,
        selection: &selection,
    };
    let planned = PlanRecord {
        time_budget_ms: u64::try_from(args.time_budget.as_millis()).unwrap_or(u64::MAX),
        seed: Some(seed),
        shard: args.shard,
        ..plan::record::describe(&whole, &made)
    };
    let ours = |plan: Plan| match args.shard {
        Some(shard) => shard::take(shard, plan),
        None => plan,
    };
    let plan = ours(whole);
    let again = || {
        // Other users: what the first run left behind is none of theirs.
        let seed = seed.wrapping_add(1);
        ours(plan::plan(
            &scenarios,
            &selection,
            &plan::Context { seed, ..context },
        ))
    };
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
    let context = judge::Context {
        pics: &profile.pics,
        catalogue: &catalogue,
    };
    let bench = Bench {
        profile: &profile,
        options: &options,
        context,
        loudness: match (args.manner.quiet, args.verbose) {
            (true, _) => Loudness::Quiet,
            (false, true) => Loudness::Verbose,
            (false, false) => Loudness::Usual,
        },
    };
    let again = (!args.once).then_some(again);
    let (results, interrupted) = runtime.block_on(bench.drive(plan, again))?;
    let facts = RunFacts {
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        started,
        duration_us: u64::try_from(clock.elapsed().as_micros()).unwrap_or(u64::MAX),
        store_time_s: results.store_time_s,
        interrupted,
        judged_again: None,
        plan: planned,
        profile: profile.record(),
        today: jiff::Zoned::now().date(),
    };
    let record = judge::record(facts, results.judged, &set_aside, &waivers, &catalogue);
    conclude(&record, &folder, args.manner, out)
}

/// What both runs of a campaign need.
struct Bench<'a> {
    profile: &'a Profile,
    options: &'a RunOptions,
    context: judge::Context<'a>,
    loudness: Loudness,
}

impl Bench<'_> {
    fn progress(&self, cases: usize) -> Progress {
        Progress::new(cases, self.loudness)
    }

    /// Runs a plan, and of a second one, made where it is needed, those cases that were late in it. Gives also
    /// what ended the run early.
    async fn drive(
        &self,
        plan: Plan,
        again: Option<impl FnOnce() -> Plan>,
    ) -> Result<(Results, Option<String>), Stop> {
        let (stop, stopped) = watch::channel(false);
        let interrupt = tokio::spawn(async move {
            // A supervisor whose patience is over wants the reports as much as a person at the keyboard.
            super::interrupted().await;
            // The receivers are gone only when the run is over anyway.
            let _ = stop.send(true);
            // Keeps the sender alive: a dropped one would look like a request to stop.
            std::future::pending::<()>().await;
        });
        let mut progress = self.progress(plan.cases().count());
        let first = campaign::run(
            plan,
            self.profile,
            self.options,
            self.context,
            stopped.clone(),
            |told| progress.show(told),
        )
        .await;
        progress.finish();
        let mut results =
            first.map_err(|why| (ExitStatus::Unreachable, format!("error: {why}")))?;
        let late = results.late();
        if let Some(again) = again
            && !late.is_empty()
            && !*stopped.borrow()
        {
            let mut progress = self.progress(late.len());
            let second = campaign::run_again(
                again(),
                &late,
                self.profile,
                self.options,
                self.context,
                stopped.clone(),
                |told| progress.show(told),
            )
            .await;
            progress.finish();
            // A server that is gone by now, or a run that was cut short, leaves the first verdicts as they are.
            if let (Ok(second), false) = (second, *stopped.borrow()) {
                results.replace(second);
            }
        }
        interrupt.abort();
        let interrupted = stopped.borrow().then(|| "Ctrl-C or SIGTERM".to_owned());
        Ok((results, interrupted))
    }
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    crate::scenario::duration::parse_ms(text)
        .map(Duration::from_millis)
        .ok_or_else(|| format!("expected {}", crate::scenario::duration::EXPECTED))
}
