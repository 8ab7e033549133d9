//! Does the suite catch faults? Each seeded fault is put into a reference server of its own, and the
//! scenarios of the requirements that it violates are run against it.
//!
//! A fault is *caught* when a check of a requirement that it violates fails, *missed* when nothing fails,
//! and *astray* when only others fail: then the suite would blame the server for something else. A server
//! without a fault is run besides, for what fails there proves nothing. A scenario is *proven* by a fault
//! that it catches; where all faults are tried, one that is not makes the proof fail. The result is a
//! [`Proof`], which [`render`] shows.

pub mod render;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use imspec_faults::{Fault, Need};
use imspec_reports::record::{
    CaseRecord, Finding, FindingKind, PlanRecord, RunRecord, UtcTime, Verdict,
};
use serde::Serialize;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::campaign;
use crate::catalogue::Catalogue;
use crate::judge::{self, RunFacts};
use crate::plan::{self, Selection};
use crate::run::RunOptions;
use crate::scenario::Scenario;
use crate::sut::Profile;
use crate::sut::profile::{ClockAdapter, ProcessAdapter, StoreAdapter};

/// What a proof works with.
#[derive(Debug, Clone)]
pub struct Bench {
    /// The requirements.
    pub catalogue: Arc<Catalogue>,
    /// The suite.
    pub scenarios: Arc<Vec<Arc<Scenario>>>,
    /// Starts the reference server; told by `--fault` which fault to seed.
    pub profile: Profile,
    /// Every scenario against every fault, and not only those of its requirements.
    pub all_scenarios: bool,
    /// Without a look into the store, and in real time.
    pub black_box: bool,
    /// Waits of a case that may be waited in real time.
    pub time_budget: Duration,
    /// Faults at work at the same time.
    pub jobs: usize,
    /// Seed of each run.
    pub seed: u64,
}

/// How a fault fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// A requirement that it violates failed.
    Caught,
    /// Only others failed.
    Astray,
    /// Nothing failed.
    Missed,
    /// Its server could not be run, or the harness broke.
    Broken,
}

/// The run of one fault.
#[derive(Debug, Clone, Serialize)]
pub struct Trial {
    /// Name of the fault.
    pub fault: &'static str,
    /// Its id.
    pub id: &'static str,
    /// What it violates.
    pub violates: &'static [&'static str],
    /// How it fared.
    pub fate: Fate,
    /// Scenarios in which a requirement failed that it violates, and which.
    pub caught_by: BTreeMap<String, BTreeSet<String>>,
    /// Scenarios in which others failed, and which.
    pub also: BTreeMap<String, BTreeSet<String>>,
    /// Requirements that it violates and that did not fail.
    pub not_shown: BTreeSet<&'static str>,
    /// What is needed to see it.
    pub needs: Vec<&'static str>,
    /// Why checks of these requirements could not tell, the most frequent reason first.
    pub not_demonstrated: Vec<String>,
    /// Scenarios that were run.
    pub scenarios: usize,
    /// Cases that were run.
    pub cases: usize,
    /// Real time that it took, in seconds.
    pub seconds: f64,
    /// What broke.
    pub error: Option<String>,
}

/// The result.
#[derive(Debug, Clone, Serialize)]
pub struct Proof {
    /// Version of imspec.
    pub tool: String,
    /// Every fault that was tried.
    pub trials: Vec<Trial>,
    /// What failed at the server without a fault, by scenario.
    pub control: BTreeMap<String, BTreeSet<String>>,
    /// What broke there.
    pub control_error: Option<String>,
    /// Scenarios that are to catch a fault and caught none: of all where all faults were tried, else of those
    /// that judged something.
    pub idle: Vec<String>,
    /// Scenarios that judge nothing: they tell only what the server takes a sentence for.
    pub readers: Vec<String>,
    /// Whether all faults were tried.
    pub is_whole: bool,
    /// Whether every scenario was tried on every fault that was chosen.
    pub all_scenarios: bool,
    /// Whether it was done without a look into the store, and in real time.
    pub black_box: bool,
    /// Real time that it took, in seconds.
    pub seconds: f64,
}

impl Trial {
    /// Whether the wire is enough to see the fault, perhaps with a restart or a setting.
    pub fn shows_on_the_wire(&self) -> bool {
        let beyond = [Need::Store.as_str(), Need::Clock.as_str()];
        !self.needs.iter().any(|need| beyond.contains(need))
    }
}

impl Proof {
    /// Faults of that fate.
    pub fn count(&self, fate: Fate) -> usize {
        self.trials
            .iter()
            .filter(|trial| trial.fate == fate)
            .count()
    }

    /// Whether every fault was caught, and nothing else failed. Where all faults were tried, or all scenarios,
    /// each scenario must have caught one. Of a black box only what shows on the wire is asked.
    pub fn holds(&self) -> bool {
        let is_enough = |trial: &Trial| {
            trial.fate == Fate::Caught
                || self.black_box && !trial.shows_on_the_wire() && trial.fate != Fate::Broken
        };
        self.trials.iter().all(is_enough)
            && self.control.is_empty()
            && self.control_error.is_none()
            && (!self.asks_for_scenarios() || self.idle.is_empty())
    }

    /// Whether a scenario that caught nothing is an error.
    pub fn asks_for_scenarios(&self) -> bool {
        !self.black_box && (self.is_whole || self.all_scenarios)
    }
}

/// The same server for whoever cannot look into its store nor move its clock.
pub fn black_box(mut profile: Profile) -> Profile {
    profile.adapters.store = StoreAdapter::None;
    // Both ends have the same clock.
    profile.adapters.clock = ClockAdapter::Real {
        skew: Duration::ZERO,
        resolution: Duration::ZERO,
    };
    profile
}

/// What happens in a proof.
#[derive(Debug, Clone)]
pub enum ProofEvent {
    /// A fault was tried.
    Tried(Box<Trial>),
    /// The server without a fault was tried.
    Controlled,
}

/// Tries faults side by side, and a server without one. `None` when it was stopped.
pub async fn prove(
    bench: Bench,
    faults: &[&'static Fault],
    mut tell: impl FnMut(ProofEvent),
    stop: watch::Receiver<bool>,
) -> Option<Proof> {
    let begun = Instant::now();
    let bench = Arc::new(bench);
    let places = Arc::new(Semaphore::new(bench.jobs.max(1)));
    let mut running = JoinSet::new();
    let is_whole = faults.len() == imspec_faults::FAULTS.len();
    let control = if bench.all_scenarios || is_whole {
        Ok(Selection::all())
    } else {
        of_faults(&bench, faults)
    };
    // The longest one first.
    let first = std::iter::once(None);
    for fault in first.chain(faults.iter().map(|fault| Some(*fault))) {
        let (bench, places, stop) = (Arc::clone(&bench), Arc::clone(&places), stop.clone());
        let control = control.clone();
        running.spawn(async move {
            let place = places.acquire_owned().await;
            if *stop.borrow() || place.is_err() {
                return (fault, Err("stopped".to_owned()), 0.0);
            }
            let begun = Instant::now();
            let selection = match fault {
                Some(fault) if !bench.all_scenarios => of_faults(&bench, &[fault]),
                Some(_) => Ok(Selection::all()),
                None => control,
            };
            let record = match selection {
                Ok(selection) => attempt(&bench, fault, &selection, stop).await,
                Err(why) => Err(why),
            };
            (fault, record, begun.elapsed().as_secs_f64())
        });
    }
    let mut proof = Proof {
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        trials: Vec::with_capacity(faults.len()),
        control: BTreeMap::new(),
        control_error: None,
        idle: Vec::new(),
        readers: Vec::new(),
        is_whole,
        all_scenarios: bench.all_scenarios,
        black_box: bench.black_box,
        seconds: 0.0,
    };
    let mut ran = BTreeSet::new();
    let mut judged = BTreeSet::new();
    let mut catching = BTreeSet::new();
    while let Some(done) = running.join_next().await {
        let (fault, record, seconds) = match done {
            Ok(done) => done,
            Err(why) => {
                proof.control_error = Some(format!("a trial broke: {why}"));
                continue;
            }
        };
        if let Ok((record, _)) = &record {
            ran.extend(scenarios(record).map(str::to_owned));
            judged.extend(judging(record).map(str::to_owned));
        }
        match fault {
            None => {
                match &record {
                    Ok((record, _)) => {
                        proof.control = failures(record, |_| true);
                        proof.control_error = broken(record);
                    }
                    Err(why) => proof.control_error = Some(why.clone()),
                }
                tell(ProofEvent::Controlled);
            }
            Some(fault) => {
                let trial = weighed(fault, record, seconds);
                catching.extend(trial.caught_by.keys().cloned());
                tell(ProofEvent::Tried(Box::new(trial.clone())));
                proof.trials.push(trial);
            }
        }
    }
    if *stop.borrow() {
        return None;
    }
    let place = |trial: &Trial| faults.iter().position(|fault| fault.name == trial.fault);
    proof.trials.sort_by_key(place);
    proof.readers = ran.difference(&judged).cloned().collect();
    if is_whole {
        // Those that no fault concerns are not proven either.
        judged = bench.scenarios.iter().map(|it| it.id.clone()).collect();
    }
    proof.idle = judged
        .difference(&catching)
        .filter(|id| !proof.readers.contains(id))
        .cloned()
        .collect();
    proof.seconds = begun.elapsed().as_secs_f64();
    Some(proof)
}

/// The scenarios of all that some faults violate.
fn of_faults(bench: &Bench, faults: &[&'static Fault]) -> Result<Selection, String> {
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
type Tried = (RunRecord, Vec<(String, String)>);

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
        plan: PlanRecord::default(),
        profile: profile.record(),
        today: jiff::Zoned::now().date(),
    };
    let record = judge::record(facts, results.judged, &[], &[], &bench.catalogue);
    Ok((record, aside))
}

/// Scenarios of which a case was run.
fn scenarios(record: &RunRecord) -> impl Iterator<Item = &str> {
    record.cases.iter().map(|case| case.scenario.as_str())
}

/// Scenarios that judged something. Those that only read what a server takes a sentence for cannot fail.
fn judging(record: &RunRecord) -> impl Iterator<Item = &str> {
    let judges = |case: &&CaseRecord| case.checks.iter().any(|it| !it.requirements.is_empty());
    let cases = record.cases.iter().filter(judges);
    cases.map(|case| case.scenario.as_str())
}

/// What failed, by scenario, of the requirements that are wanted.
fn failures(
    record: &RunRecord,
    wanted: impl Fn(&str) -> bool,
) -> BTreeMap<String, BTreeSet<String>> {
    let scenario_of: BTreeMap<&str, &str> = record
        .cases
        .iter()
        .map(|case| (case.id.as_str(), case.scenario.as_str()))
        .collect();
    let mut failed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for finding in &record.findings {
        if finding.kind == FindingKind::NotDemonstrated || !wanted(&finding.requirement) {
            continue;
        }
        let scenario = scenario_of.get(finding.case.as_str());
        failed
            .entry((*scenario.unwrap_or(&finding.case.as_str())).to_owned())
            .or_default()
            .insert(finding.requirement.clone());
    }
    failed
}

/// The first reason for which a case could not be run to its end.
fn broken(record: &RunRecord) -> Option<String> {
    let case = record
        .cases
        .iter()
        .find(|case| case.verdict == Verdict::Error)?;
    let why = case.reason.as_deref().unwrap_or("the harness broke");
    Some(format!("{}: {why}", case.id))
}

/// Why checks of some requirements could not tell, the most frequent reason first.
fn not_demonstrated(
    record: &RunRecord,
    aside: &[(String, String)],
    wanted: impl Fn(&str) -> bool,
) -> Vec<String> {
    let open = |finding: &&Finding| finding.kind == FindingKind::NotDemonstrated;
    let found = record.findings.iter().filter(open);
    let found = found.map(|finding| (&finding.requirement, &finding.summary));
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, why) in found
        .chain(aside.iter().map(|(id, why)| (id, why)))
        .filter(|(id, _)| wanted(id))
    {
        *count.entry(why).or_default() += 1;
    }
    let mut reasons: Vec<(&str, usize)> = count.into_iter().collect();
    reasons.sort_by_key(|(why, count)| (std::cmp::Reverse(*count), *why));
    reasons.into_iter().map(|(why, _)| why.to_owned()).collect()
}

fn weighed(fault: &'static Fault, record: Result<Tried, String>, seconds: f64) -> Trial {
    let mut trial = Trial {
        fault: fault.name,
        id: fault.id,
        violates: fault.violates,
        fate: Fate::Broken,
        caught_by: BTreeMap::new(),
        also: BTreeMap::new(),
        not_shown: fault.violates.iter().copied().collect(),
        needs: fault.needs.iter().map(|need| need.as_str()).collect(),
        not_demonstrated: Vec::new(),
        scenarios: 0,
        cases: 0,
        seconds,
        error: None,
    };
    let (record, aside) = match record {
        Ok(tried) => tried,
        Err(why) => {
            trial.error = Some(why);
            return trial;
        }
    };
    trial.cases = record.cases.len();
    trial.scenarios = scenarios(&record).collect::<BTreeSet<_>>().len();
    trial.caught_by = failures(&record, |id| fault.violates.contains(&id));
    trial.also = failures(&record, |id| !fault.violates.contains(&id));
    let shown: BTreeSet<&String> = trial.caught_by.values().flatten().collect();
    trial
        .not_shown
        .retain(|id| !shown.iter().any(|shown| shown == id));
    trial.not_demonstrated = not_demonstrated(&record, &aside, |id| trial.not_shown.contains(id));
    trial.error = broken(&record);
    trial.fate = if !trial.caught_by.is_empty() {
        Fate::Caught
    } else if trial.error.is_some() {
        Fate::Broken
    } else if trial.also.is_empty() {
        Fate::Missed
    } else {
        Fate::Astray
    };
    trial
}
