//! Trying a fault: a reference server with it, and the scenarios that concern it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use imspec_faults::Fault;
use imspec_reports::record::{PlanRecord, RunRecord, UtcTime, Verdict};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::Bench;
use crate::campaign;
use crate::judge::{self, RunFacts};
use crate::plan::{self, Selection};
use crate::run::RunOptions;
use crate::sut::profile::ProcessAdapter;

/// What is to be run against a server with a fault, or without one.
pub(super) type Task = (Option<&'static Fault>, Result<Selection, String>);

/// What was run.
pub(super) struct Attempt {
    pub(super) fault: Option<&'static Fault>,
    pub(super) record: Result<Tried, String>,
    pub(super) seconds: f64,
}

/// Does tasks, so many at the same time, and hands over each that is done.
pub(super) async fn side_by_side(
    bench: &Arc<Bench>,
    tasks: Vec<Task>,
    jobs: usize,
    stop: &watch::Receiver<bool>,
    mut done: impl FnMut(Attempt),
) {
    let places = Arc::new(Semaphore::new(jobs.max(1)));
    let mut running = JoinSet::new();
    for (fault, selection) in tasks {
        let (bench, places, stop) = (Arc::clone(bench), Arc::clone(&places), stop.clone());
        running.spawn(async move {
            let place = places.acquire_owned().await;
            let begun = Instant::now();
            let record = match selection {
                _ if *stop.borrow() || place.is_err() => Err("stopped".to_owned()),
                Ok(selection) => {
                    // In a task of its own: what panics there is told as what broke.
                    let trying =
                        tokio::spawn(async move { attempt(&bench, fault, &selection, stop).await });
                    trying
                        .await
                        .unwrap_or_else(|why| Err(format!("the trial broke: {why}")))
                }
                Err(why) => Err(why),
            };
            Attempt {
                fault,
                record,
                seconds: begun.elapsed().as_secs_f64(),
            }
        });
    }
    while let Some(attempt) = running.join_next().await {
        // The task inside catches what may break.
        if let Ok(attempt) = attempt {
            done(attempt);
        }
    }
}

/// The scenarios of all that some faults violate.
pub(super) fn of_faults(bench: &Bench, faults: &[&'static Fault]) -> Result<Selection, String> {
    let violated: BTreeSet<&str> = faults
        .iter()
        .flat_map(|fault| fault.violates)
        .copied()
        .collect();
    let select = |words: &[String]| {
        Selection::parse(words, &[], &bench.scenarios, &bench.catalogue)
            .map_err(|why| why.to_string())
    };
    let covered: Vec<String> = violated
        .iter()
        .map(|id| (*id).to_owned())
        .filter(|id| select(std::slice::from_ref(id)).is_ok())
        .collect();
    // A selection of nothing would be one of everything.
    if covered.is_empty() {
        return Err("no scenario covers what it violates".to_owned());
    }
    select(&covered)
}

/// The record of a run, with the reasons for which cases of each requirement could not be run.
pub(super) type Tried = (RunRecord, Vec<(String, String)>);

/// Runs some scenarios against a server with a fault.
async fn attempt(
    bench: &Bench,
    fault: Option<&Fault>,
    selection: &Selection,
    stop: watch::Receiver<bool>,
) -> Result<Tried, String> {
    let mut profile = bench.profile.clone();
    if let ProcessAdapter::Command(command) = &mut profile.adapters.process {
        // Several faults are at work at the same time.
        command.instances = command.instances.min(2);
        if let Some(fault) = fault {
            command
                .command
                .extend(["--fault".to_owned(), fault.name.to_owned()]);
        }
    }
    if let Some((key, value)) = fault.and_then(|fault| fault.declares) {
        profile.pics.insert(key.to_owned(), value.into());
    }
    let settable = profile.settable();
    let context = plan::Context {
        pics: &profile.pics,
        settable: &settable,
        domain: &profile.pixit.domain,
        transport: profile.pixit.transport.as_str(),
        few: None,
        seed: bench.seed,
    };
    let plan = plan::plan(&bench.scenarios, selection, &context);
    let aside: Vec<(String, String)> = plan
        .set_aside
        .iter()
        .filter(|aside| aside.verdict == Verdict::Inconclusive)
        .flat_map(|aside| {
            let covers = aside.case.scenario.covers.iter();
            covers.map(|id| (id.clone(), aside.reason.clone()))
        })
        .collect();
    let options = RunOptions {
        jobs: 64,
        time_budget: bench.time_budget,
        seed: bench.seed,
    };
    let (started, begun) = (UtcTime::now(), Instant::now());
    let context = judge::Context {
        pics: &profile.pics,
        catalogue: &bench.catalogue,
    };
    let broken = |why: crate::run::SetUpError| why.to_string();
    // What comes late at a server without a fault is no failure of it.
    let again = fault.is_none().then(|| plan.clone());
    let mut results = campaign::run(plan, &profile, &options, context, stop.clone(), |_| ())
        .await
        .map_err(broken)?;
    let late = results.late();
    if let Some(plan) = again.filter(|_| !late.is_empty()) {
        let second =
            campaign::run_again(plan, &late, &profile, &options, context, stop, |_| ()).await;
        results.replace(second.map_err(broken)?);
    }
    let facts = RunFacts {
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        started,
        duration_us: u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX),
        store_time_s: 0.0,
        interrupted: None,
        judged_again: None,
        plan: PlanRecord::default(),
        profile: profile.record(),
        today: jiff::Zoned::now().date(),
    };
    let record = judge::record(facts, results.judged, &[], &[], &bench.catalogue);
    Ok((record, aside))
}
