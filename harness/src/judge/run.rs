//! From the traces of a run to its record.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imspec_reports::record::{
    CaseRecord, Earlier, EventKind, FORMAT, Finding, FindingKind, JudgedAgain, PlanRecord,
    ProfileRecord, RequirementRecord, RunRecord, Trace, UtcTime, Verdict,
};
use jiff::civil::Date;

use super::protocol;
use super::waive;
use super::waiver::Waiver;
use super::weigh::{Weighed, weigh};
use super::{Context, Judgement, fold, judge, sentence};
use crate::catalogue::Catalogue;
use crate::plan::SetAside;
use crate::scenario::Case;

/// What a run has to tell besides its traces.
#[derive(Debug, Clone)]
pub struct RunFacts {
    /// Version of imspec.
    pub tool: String,
    /// When it began.
    pub started: UtcTime,
    /// Real time that it took, in microseconds.
    pub duration_us: u64,
    /// How far store clocks were moved, in seconds.
    pub store_time_s: f64,
    /// What ended it early.
    pub interrupted: Option<String>,
    /// Who judges it again, where it is not judged for the first time.
    pub judged_again: Option<JudgedAgain>,
    /// What was planned.
    pub plan: PlanRecord,
    /// The SUT.
    pub profile: ProfileRecord,
    /// The day on which waivers are held against their end dates.
    pub today: Date,
}

/// A case that was run and judged.
#[derive(Debug, Clone)]
pub struct Judged {
    /// The case.
    pub case: Arc<Case>,
    /// All that happened.
    pub trace: Trace,
    /// Real time that it took, in microseconds.
    pub duration_us: u64,
    /// What it shows.
    pub judgement: Judgement,
    /// How it went before, when this is its second run.
    pub earlier: Option<Earlier>,
}

impl Judged {
    /// Judges a case that ended.
    pub fn new(case: Arc<Case>, trace: Trace, duration_us: u64, context: Context<'_>) -> Self {
        let judgement = judge(&case, &trace, context);
        Self {
            case,
            trace,
            duration_us,
            judgement,
            earlier: None,
        }
    }

    /// A case that is not judged, for this reason.
    pub fn aside(
        case: Arc<Case>,
        trace: Trace,
        duration_us: u64,
        verdict: Verdict,
        reason: String,
    ) -> Self {
        let judgement = Judgement {
            verdict,
            reason: Some(reason),
            checks: Vec::new(),
            late: false,
        };
        Self {
            case,
            trace,
            duration_us,
            judgement,
            earlier: None,
        }
    }

    /// Puts a second run of the same case in the place of this one, unless that could not be run to its end, or
    /// showed nothing.
    pub fn replace(&mut self, second: Self) {
        match second.judgement.verdict {
            Verdict::Pass | Verdict::Inconclusive | Verdict::Fail => {}
            Verdict::NotApplicable | Verdict::None | Verdict::Error => return,
        }
        let earlier = Earlier {
            verdict: self.judgement.verdict,
            reason: self.judgement.reason.take().unwrap_or_default(),
        };
        *self = Self {
            earlier: Some(earlier),
            ..second
        };
    }
}

/// Writes the record of what was judged.
pub fn record(
    facts: RunFacts,
    ran: Vec<Judged>,
    set_aside: &[SetAside],
    waivers: &[Waiver],
    catalogue: &Catalogue,
) -> RunRecord {
    let aside = set_aside.iter().map(|it| {
        let (case, reason) = (Arc::new(it.case.clone()), it.reason.clone());
        Judged::aside(case, Trace::default(), 0, it.verdict, reason)
    });
    let (cases, findings) = written(ran.into_iter().chain(aside), catalogue);
    assemble(facts, cases, findings, waivers, catalogue)
}

/// What the record tells about these cases, and what was found in them.
pub(crate) fn written(
    all: impl IntoIterator<Item = Judged>,
    catalogue: &Catalogue,
) -> (Vec<CaseRecord>, Vec<Finding>) {
    let (mut cases, mut findings) = (Vec::new(), Vec::new());
    for judged in all {
        find(&judged, catalogue, &mut findings);
        cases.push(case_record(judged));
    }
    (cases, findings)
}

/// Writes the record of these cases and findings, in whatever order they come. Everything else in a record
/// follows from them, so that what was run in parts comes out as if it had been run in one.
pub(crate) fn assemble(
    facts: RunFacts,
    mut cases: Vec<CaseRecord>,
    mut findings: Vec<Finding>,
    waivers: &[Waiver],
    catalogue: &Catalogue,
) -> RunRecord {
    cases.sort_by_cached_key(|case| natural(&case.id));
    findings.sort_by(|a: &Finding, b| {
        (a.kind, &a.requirement, natural(&a.case), a.check).cmp(&(
            b.kind,
            &b.requirement,
            natural(&b.case),
            b.check,
        ))
    });
    let mut record = RunRecord {
        format: FORMAT,
        tool: facts.tool,
        started: facts.started,
        duration_us: facts.duration_us,
        store_time_s: facts.store_time_s,
        interrupted: facts.interrupted,
        judged_again: facts.judged_again,
        plan: facts.plan,
        profile: facts.profile,
        requirements: requirements(&cases, catalogue),
        protocol: protocol::find(&cases),
        readings: readings(&cases),
        cases,
        findings,
        waivers: Vec::new(),
    };
    waive::apply(&mut record, waivers, facts.today);
    record
}

fn case_record(judged: Judged) -> CaseRecord {
    let scenario = &judged.case.scenario;
    let judgement = judged.judgement;
    let checks = judgement.checks.into_iter();
    CaseRecord {
        id: judged.case.id.clone(),
        scenario: scenario.id.clone(),
        title: scenario.title.clone(),
        purpose: scenario.purpose.clone(),
        covers: scenario.covers.clone(),
        source: scenario.at.clone(),
        text: scenario.fingerprint(),
        matrix: judged.case.matrix.clone(),
        verdict: judgement.verdict,
        reason: judgement.reason,
        earlier: judged.earlier,
        checks: checks.map(|judged| judged.check).collect(),
        trace: judged.trace,
        duration_us: judged.duration_us,
    }
}

fn find(judged: &Judged, catalogue: &Catalogue, findings: &mut Vec<Finding>) {
    let (case, judgement) = (&judged.case, &judged.judgement);
    for (index, judged) in judgement.checks.iter().enumerate() {
        for id in &judged.check.requirements {
            let Some(requirement) = catalogue.get(id) else {
                continue;
            };
            let Weighed::Finding(kind) = weigh(requirement, judged.check.verdict, judged.mismatch)
            else {
                continue;
            };
            findings.push(Finding {
                kind,
                requirement: id.clone(),
                case: case.id.clone(),
                check: u32::try_from(index).ok(),
                summary: sentence(&judged.check),
                waiver: None,
            });
        }
    }
    // It was not run to anything that could be judged.
    if judgement.checks.is_empty() && judgement.verdict == Verdict::Inconclusive {
        for requirement in &case.scenario.covers {
            findings.push(Finding {
                kind: FindingKind::NotDemonstrated,
                requirement: requirement.clone(),
                case: case.id.clone(),
                check: None,
                summary: judgement.reason.clone().unwrap_or_default(),
                waiver: None,
            });
        }
    }
}

fn requirements(cases: &[CaseRecord], catalogue: &Catalogue) -> Vec<RequirementRecord> {
    let mut verdicts: BTreeMap<&str, Vec<Verdict>> = BTreeMap::new();
    let mut named: BTreeSet<&str> = BTreeSet::new();
    for case in cases {
        named.extend(case.covers.iter().map(String::as_str));
        for check in &case.checks {
            for requirement in &check.requirements {
                verdicts.entry(requirement).or_default().push(check.verdict);
            }
        }
        if case.verdict == Verdict::Inconclusive && case.checks.is_empty() {
            for requirement in &case.covers {
                verdicts
                    .entry(requirement)
                    .or_default()
                    .push(Verdict::Inconclusive);
            }
        }
    }
    catalogue
        .iter()
        .filter(|requirement| {
            named.contains(requirement.id.as_str())
                || verdicts.contains_key(requirement.id.as_str())
        })
        .map(|requirement| {
            let of = verdicts
                .get(requirement.id.as_str())
                .map_or(&[][..], Vec::as_slice);
            let mut checks = BTreeMap::new();
            for verdict in of {
                *checks.entry(verdict.to_string()).or_insert(0) += 1;
            }
            RequirementRecord {
                id: requirement.id.clone(),
                clause: requirement.clause.clone(),
                level: requirement.level,
                basis: requirement.basis,
                condition: requirement.condition.clone(),
                statement: requirement.statement.clone(),
                verdict: requirement_verdict(of),
                checks,
                wording: requirement.wording.clone(),
            }
        })
        .collect()
}

/// Of a requirement. What failed, failed; what one case showed is shown, even if another could not tell.
fn requirement_verdict(of: &[Verdict]) -> Verdict {
    let worst = fold(of.iter().copied());
    if worst == Verdict::Inconclusive && of.contains(&Verdict::Pass) {
        Verdict::Pass
    } else {
        worst
    }
}

fn readings(cases: &[CaseRecord]) -> BTreeMap<String, BTreeMap<String, Vec<String>>> {
    let mut readings: BTreeMap<String, BTreeMap<String, Vec<String>>> = BTreeMap::new();
    for case in cases {
        for event in &case.trace.events {
            if let EventKind::Reading { defect, reading } = &event.kind {
                readings
                    .entry(defect.clone())
                    .or_default()
                    .entry(reading.clone())
                    .or_default()
                    .push(case.id.clone());
            }
        }
    }
    readings
}

/// Sorts `PG-9` before `PG-10`.
fn natural(id: &str) -> (String, u32, String) {
    let letters: String = id.chars().take_while(|c| !c.is_ascii_digit()).collect();
    let digits: String = id[letters.len()..]
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    let rest = id[letters.len() + digits.len()..].to_owned();
    (letters, digits.parse().unwrap_or(0), rest)
}
