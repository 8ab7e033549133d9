//! Does the suite catch faults? Each seeded fault is put into a reference server of its own, and the
//! scenarios of the requirements that it violates are run against it.
//!
//! A fault is *caught* when a check of a requirement that it violates fails, *missed* when nothing fails,
//! and *astray* when only others fail: then the suite would blame the server for something else. A server
//! without a fault is run besides, for what fails there proves nothing. A scenario is *proven* by a fault
//! that it catches; where all faults are tried, one that is not makes the proof fail. The result is a
//! [`Proof`], which [`render`] shows.

mod attempt;
pub mod render;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use imspec_faults::{Fault, Need};
use imspec_reports::record::{CaseRecord, Finding, FindingKind, RunRecord, Verdict};
use serde::Serialize;
use tokio::sync::watch;

use self::attempt::{Attempt, Task, Tried, of_faults, side_by_side};
use crate::catalogue::Catalogue;
use crate::plan::Selection;
use crate::scenario::Scenario;
use crate::sut::Profile;
use crate::sut::profile::{ClockAdapter, StoreAdapter};

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
    /// Faults and scenarios that a second look was needed for.
    pub again: BTreeSet<String>,
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
        self.trials.iter().all(|trial| self.is_enough(trial))
            && self.control.is_empty()
            && self.control_error.is_none()
            && (!self.asks_for_scenarios() || self.idle.is_empty())
    }

    fn is_enough(&self, trial: &Trial) -> bool {
        trial.fate == Fate::Caught
            || self.black_box && !trial.shows_on_the_wire() && trial.fate != Fate::Broken
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

/// How often what came out otherwise than it should is tried again.
const LOOKS: usize = 2;
/// Faults at work at the same time then.
const FEW: usize = 2;

/// Tries faults side by side, and a server without one. `None` when it was stopped.
///
/// A machine that does much at once is late, and some faults show only when two things come at the right time.
/// So what came out otherwise than it should is tried again, with little beside it; the proof names it.
pub async fn prove(
    bench: Bench,
    faults: &[&'static Fault],
    mut tell: impl FnMut(ProofEvent),
    stop: watch::Receiver<bool>,
) -> Option<Proof> {
    let begun = Instant::now();
    let bench = Arc::new(bench);
    let is_whole = faults.len() == imspec_faults::FAULTS.len();
    let mut proof = Proof {
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        trials: Vec::with_capacity(faults.len()),
        control: BTreeMap::new(),
        control_error: None,
        idle: Vec::new(),
        readers: Vec::new(),
        again: BTreeSet::new(),
        is_whole,
        all_scenarios: bench.all_scenarios,
        black_box: bench.black_box,
        seconds: 0.0,
    };
    let control = if bench.all_scenarios || is_whole {
        Ok(Selection::all())
    } else {
        of_faults(&bench, faults)
    };
    let selection = |fault: &'static Fault| {
        if bench.all_scenarios {
            Ok(Selection::all())
        } else {
            of_faults(&bench, &[fault])
        }
    };
    // The longest one first.
    let first = std::iter::once((None, control));
    let tasks = first.chain(faults.iter().map(|fault| (Some(*fault), selection(fault))));
    let mut ran = BTreeSet::new();
    let mut judged = BTreeSet::new();
    side_by_side(&bench, tasks.collect(), bench.jobs, &stop, |attempt| {
        if let Ok((record, _)) = &attempt.record {
            ran.extend(scenarios(record).map(str::to_owned));
            judged.extend(judging(record).map(str::to_owned));
        }
        match attempt.fault {
            None => {
                proof.controlled(&attempt.record);
                tell(ProofEvent::Controlled);
            }
            Some(fault) => {
                let trial = weighed(fault, attempt.record, attempt.seconds);
                tell(ProofEvent::Tried(Box::new(trial.clone())));
                proof.trials.push(trial);
            }
        }
    })
    .await;
    let place = |trial: &Trial| faults.iter().position(|fault| fault.name == trial.fault);
    proof.trials.sort_by_key(place);
    proof.readers = ran.difference(&judged).cloned().collect();
    if is_whole {
        // Those that no fault concerns are not proven either.
        judged = bench.scenarios.iter().map(|it| it.id.clone()).collect();
    }
    proof.idle = judged
        .into_iter()
        .filter(|id| !proof.readers.contains(id))
        .collect();
    proof.without_those_that_catch();
    for _ in 0..LOOKS {
        let tasks = proof.odd(&bench, faults);
        if tasks.is_empty() || *stop.borrow() {
            break;
        }
        side_by_side(&bench, tasks, FEW, &stop, |attempt| {
            proof.looked_again(attempt);
        })
        .await;
        proof.without_those_that_catch();
    }
    proof.seconds = begun.elapsed().as_secs_f64();
    (!*stop.borrow()).then_some(proof)
}

impl Proof {
    /// Takes what came out at the server without a fault.
    fn controlled(&mut self, record: &Result<Tried, String>) {
        match record {
            Ok((record, _)) => {
                self.control = failures(record, |_| true);
                self.control_error = broken(record);
            }
            Err(why) => self.control_error = Some(why.clone()),
        }
    }

    fn without_those_that_catch(&mut self) {
        let catching: BTreeSet<&String> = self
            .trials
            .iter()
            .flat_map(|trial| trial.caught_by.keys())
            .collect();
        self.idle.retain(|id| !catching.contains(id));
    }

    /// What is to be tried again: what failed without a fault, faults that were not caught, and scenarios that
    /// caught none, against those that concern them.
    fn odd(&self, bench: &Bench, faults: &[&'static Fault]) -> Vec<Task> {
        let of = |ids: Vec<String>| {
            Selection::parse(&ids, &[], &bench.scenarios, &bench.catalogue)
                .map_err(|why| why.to_string())
        };
        let mut tasks: Vec<Task> = Vec::new();
        if self.control_error.is_some() {
            tasks.push((None, Ok(Selection::all())));
        } else if !self.control.is_empty() {
            tasks.push((None, of(self.control.keys().cloned().collect())));
        }
        let idle: Vec<&Arc<Scenario>> = if self.asks_for_scenarios() {
            bench
                .scenarios
                .iter()
                .filter(|it| self.idle.contains(&it.id))
                .collect()
        } else {
            Vec::new()
        };
        for (fault, trial) in faults.iter().zip(&self.trials) {
            let concerns = |it: &&&Arc<Scenario>| {
                it.covers
                    .iter()
                    .any(|id| fault.violates.contains(&id.as_str()))
            };
            let idle: Vec<String> = idle
                .iter()
                .filter(concerns)
                .map(|it| it.id.clone())
                .collect();
            if !self.is_enough(trial) {
                let again = if self.all_scenarios {
                    Ok(Selection::all())
                } else {
                    of_faults(bench, &[fault])
                };
                tasks.push((Some(fault), again));
            } else if !idle.is_empty() {
                tasks.push((Some(fault), of(idle)));
            }
        }
        tasks
    }

    /// Takes what came out of a second look.
    fn looked_again(&mut self, attempt: Attempt) {
        let Some(fault) = attempt.fault else {
            self.again.extend(self.control.keys().cloned());
            self.control.clear();
            self.control_error = None;
            self.controlled(&attempt.record);
            return;
        };
        let mut second = weighed(fault, attempt.record, attempt.seconds);
        let Some(first) = self.trials.iter_mut().find(|it| it.fault == fault.name) else {
            return;
        };
        if first.fate == Fate::Caught {
            for (scenario, requirements) in second.caught_by {
                if let Entry::Vacant(place) = first.caught_by.entry(scenario) {
                    self.again.insert(place.key().clone());
                    place.insert(requirements);
                }
            }
        } else {
            self.again.insert(fault.name.to_owned());
            second.seconds += first.seconds;
            *first = second;
        }
    }
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
