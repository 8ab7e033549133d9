//! Judges a record again: its traces by the scenarios, requirements and waivers of another day, with no server at hand.
//!
//! No I/O here. A case is made again as the plan of the run made it, from the seed and the profile in the record, and
//! its trace is judged. By the rules of the day of the run that gives the record itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imspec_reports::change::{Changes, SuiteChanges};
use imspec_reports::record::{
    CaseRecord, EventKind, JudgedAgain, PlanRecord, RunRecord, Trace, Verdict, WaiverRecord,
};
use jiff::civil::Date;
use serde_json::Value;

use crate::catalogue::Catalogue;
use crate::evidence::find_step;
use crate::judge::waiver::Waiver;
use crate::judge::{self, Judged, RunFacts};
use crate::plan::{self, Looked, Selection};
use crate::scenario::Scenario;

/// By what a record is judged again.
#[derive(Debug, Clone)]
pub struct Rules<'a> {
    /// The suite.
    pub scenarios: &'a [Arc<Scenario>],
    /// The requirements.
    pub catalogue: &'a Catalogue,
    /// Accepted findings; `None`: those of the record.
    pub waivers: Option<&'a [Waiver]>,
    /// The day on which waivers are held against their end dates.
    pub today: Date,
    /// Who judges.
    pub judge: JudgedAgain,
}

/// A record judged again.
#[derive(Debug, Clone, PartialEq)]
pub struct Rejudged {
    /// The new record, with the traces of the old one.
    pub record: RunRecord,
    /// The old one, without its traces.
    pub then: RunRecord,
    /// What is other.
    pub changes: Changes,
    /// What the suite has otherwise.
    pub suite: SuiteChanges,
}

/// Why a record cannot be judged again, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RejudgeError {
    /// Without it, random texts and user names cannot be made again.
    #[error(
        "the record does not hold the seed of its run (imspec {tool} wrote it): its cases cannot be made again. Run again with this imspec"
    )]
    NoSeed {
        /// Version that wrote it.
        tool: String,
    },
    /// A record holds a waiver that no waiver file could hold.
    #[error(
        "the record was changed after the run: `until: {until}` of a waiver is no date. Give the waivers with --waivers"
    )]
    BadWaiver {
        /// What stands there.
        until: String,
    },
}

/// Judges a record again.
pub fn rejudge(mut record: RunRecord, rules: &Rules<'_>) -> Result<Rejudged, RejudgeError> {
    let traces: Vec<Trace> = record
        .cases
        .iter_mut()
        .map(|case| std::mem::take(&mut case.trace))
        .collect();
    let then = record;
    let own;
    let waivers = if let Some(waivers) = rules.waivers {
        waivers
    } else {
        own = waivers_of(&then.waivers)?;
        &own
    };
    let mut bench = Bench::of(&then, &traces, rules)?;
    let (mut judged, mut gone) = (Vec::new(), Vec::new());
    for (case, trace) in then.cases.iter().zip(traces) {
        match bench.judge(case, trace) {
            Ok(again) => judged.push(again),
            Err(trace) => gone.push(unjudged(case, trace)),
        }
    }
    bench.missing();
    let suite = bench.suite;
    let (mut cases, findings) = judge::written(judged, rules.catalogue);
    cases.extend(gone);
    let facts = RunFacts {
        tool: then.tool.clone(),
        started: then.started,
        duration_us: then.duration_us,
        store_time_s: then.store_time_s,
        interrupted: then.interrupted.clone(),
        judged_again: Some(rules.judge.clone()),
        plan: PlanRecord {
            suite: plan::record::of_suite(rules.scenarios),
            catalogue: rules.catalogue.fingerprint().to_owned(),
            ..then.plan.clone()
        },
        profile: then.profile.clone(),
        today: rules.today,
    };
    let record = judge::assemble(facts, cases, findings, waivers, rules.catalogue);
    Ok(Rejudged {
        changes: Changes::between(&then, &record),
        record,
        then,
        suite,
    })
}

fn waivers_of(records: &[WaiverRecord]) -> Result<Vec<Waiver>, RejudgeError> {
    let read = |record: &WaiverRecord| {
        let until = record.until.clone();
        Waiver::of_record(record).ok_or(RejudgeError::BadWaiver { until })
    };
    records.iter().map(read).collect()
}

/// A case that the suite has no more: its trace is kept, and nothing judges it.
fn unjudged(case: &CaseRecord, trace: Trace) -> CaseRecord {
    CaseRecord {
        verdict: Verdict::None,
        reason: Some("the suite has no such case any more".into()),
        earlier: None,
        checks: Vec::new(),
        trace,
        ..case.clone()
    }
}

/// What every case of a record needs to be judged again.
struct Bench<'a> {
    then: &'a RunRecord,
    rules: &'a Rules<'a>,
    scenarios: BTreeMap<&'a str, (&'a Arc<Scenario>, String)>,
    /// The suite is that of the run, to the letter.
    same_suite: bool,
    /// Of an unsplit run, or of each shard.
    seeds: Vec<u64>,
    /// Keys that a policy adapter set in the run.
    settable: BTreeSet<String>,
    few: Option<Vec<String>>,
    suite: SuiteChanges,
}

impl<'a> Bench<'a> {
    fn of(
        then: &'a RunRecord,
        traces: &[Trace],
        rules: &'a Rules<'a>,
    ) -> Result<Self, RejudgeError> {
        let shards = then.plan.joined.iter().filter_map(|shard| shard.seed);
        let seeds: BTreeSet<u64> = then.plan.seed.into_iter().chain(shards).collect();
        if seeds.is_empty() {
            let tool = then.tool.clone();
            return Err(RejudgeError::NoSeed { tool });
        }
        let scenarios = rules.scenarios.iter();
        let few = then.profile.pixit.get("accounts.list");
        let few = few.and_then(Value::as_str);
        Ok(Self {
            then,
            rules,
            scenarios: scenarios
                .map(|it| (it.id.as_str(), (it, it.fingerprint())))
                .collect(),
            same_suite: then.plan.suite == plan::record::of_suite(rules.scenarios),
            seeds: seeds.into_iter().collect(),
            settable: traces
                .iter()
                .flat_map(policy_of)
                .map(|it| it.0.clone())
                .collect(),
            few: few.map(|few| few.split(' ').map(str::to_owned).collect()),
            suite: SuiteChanges::default(),
        })
    }

    /// Judges a case again; gives its trace back where the suite has no such case.
    fn judge(&mut self, was: &CaseRecord, trace: Trace) -> Result<Judged, Trace> {
        let Some((scenario, text)) = self.scenarios.get(was.scenario.as_str()) else {
            self.suite.gone.push(was.id.clone());
            return Err(trace);
        };
        let same = self.same_suite || was.text == *text;
        let Some((looked, is_ours)) = self.recall(scenario, was, &trace) else {
            self.suite.gone.push(was.id.clone());
            return Err(trace);
        };
        if was.text.is_empty() && !same {
            self.suite.untold.insert(was.scenario.clone());
        } else if !same {
            self.suite.changed.insert(was.scenario.clone());
        }
        let was_run = !trace.events.is_empty();
        let aside = match (same, was_run) {
            (true, true) => None,
            (true, false) => Some((was.verdict, was.reason.clone().unwrap_or_default())),
            (false, true) => looked.aside.or_else(|| {
                let why = misfit(&looked.case.steps, &trace)?;
                self.suite.unlike.insert(was.id.clone(), why.clone());
                Some((Verdict::Inconclusive, why))
            }),
            (false, false) => Some(looked.aside.unwrap_or_else(|| {
                let why = "it was not run, and the scenario of today would be: run it".to_owned();
                self.suite.unlike.insert(was.id.clone(), why.clone());
                (Verdict::Inconclusive, why)
            })),
        };
        let aside = aside.or_else(|| {
            let why = "its users are not those of the trace: the record was changed after the run";
            (!is_ours).then(|| (Verdict::Inconclusive, why.to_owned()))
        });
        let case = Arc::new(looked.case);
        let context = judge::Context {
            pics: &self.then.profile.pics,
            catalogue: self.rules.catalogue,
        };
        let judged = match aside {
            Some((verdict, reason)) => Judged::aside(case, trace, was.duration_us, verdict, reason),
            None => Judged::new(case, trace, was.duration_us, context),
        };
        Ok(Judged {
            earlier: was.earlier.clone(),
            ..judged
        })
    }

    /// A case as the run made it, and whether it has the users of the trace.
    fn recall(
        &self,
        scenario: &Arc<Scenario>,
        was: &CaseRecord,
        trace: &Trace,
    ) -> Option<(Looked, bool)> {
        let mut pics = self.then.profile.pics.clone();
        pics.extend(policy_of(trace).map(|(key, value)| (key.clone(), value.clone())));
        let nothing = BTreeSet::new();
        let was_run = !trace.events.is_empty();
        let pixit = |key: &str| self.then.profile.pixit.get(key).and_then(Value::as_str);
        let mut first = None;
        for seed in &self.seeds {
            let context = plan::Context {
                pics: &pics,
                // What was set for this case is declared in it; nothing else was.
                settable: if was_run { &nothing } else { &self.settable },
                domain: pixit("domain").unwrap_or_default(),
                transport: pixit("transport").unwrap_or_default(),
                few: self.few.as_deref(),
                // A second run has users of its own.
                seed: seed.wrapping_add(u64::from(was.earlier.is_some())),
            };
            let looked = plan::one(scenario, &was.id, &context)?;
            let users = looked.case.users.iter();
            let users = users.map(|user| (user.role.clone(), user.uri()));
            if !was_run || users.collect::<BTreeMap<_, _>>() == trace.users {
                return Some((looked, true));
            }
            first.get_or_insert(looked);
        }
        first.map(|looked| (looked, false))
    }

    /// Looks for cases of the suite that were asked for and are not there. A shard has but a part of them.
    fn missing(&mut self) {
        if self.same_suite || self.then.plan.shard.is_some() {
            return;
        }
        let there: BTreeSet<&str> = self.then.cases.iter().map(|it| it.id.as_str()).collect();
        let asked = Selection::of_words(&self.then.plan.selection);
        for scenario in self.rules.scenarios {
            let ids = plan::wanted(scenario, &asked);
            let ids = ids.into_iter().filter(|id| !there.contains(id.as_str()));
            self.suite.missing.extend(ids);
        }
    }
}

/// What the runner set before the case began.
fn policy_of(trace: &Trace) -> impl Iterator<Item = (&String, &Value)> {
    let before = trace.events.iter().filter(|event| event.step.is_none());
    before
        .filter_map(|event| match &event.kind {
            EventKind::PolicySet { values } => Some(values),
            _ => None,
        })
        .flatten()
}

/// Why a trace is not one of these steps: a verdict over other steps than those that were run would mean nothing.
fn misfit(steps: &[crate::scenario::Step], trace: &Trace) -> Option<String> {
    let mut done: BTreeSet<&str> = BTreeSet::new();
    for event in &trace.events {
        let Some(path) = &event.step else { continue };
        done.insert(path);
        let EventKind::StepStarted { verb } = &event.kind else {
            continue;
        };
        // Users who are online from the beginning register before the first step.
        if !path.starts_with("steps") {
            continue;
        }
        let now = find_step(steps, path).map(|step| step.verb.name());
        if now != Some(verb.as_str()) {
            let now = now.map_or_else(|| "nothing".to_owned(), |verb| format!("`{verb}`"));
            return Some(format!(
                "its steps were changed: {path} was `{verb}` in the run, and is {now} today. Run it again"
            ));
        }
    }
    let new = steps
        .iter()
        .find(|step| !done.contains(step.path.as_str()))?;
    Some(format!(
        "its steps were changed: the run had no {}, which is `{}` today. Run it again",
        new.path,
        new.verb.name()
    ))
}
