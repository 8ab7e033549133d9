//! Findings as a reader sees them: one failure is one expectation of one scenario that did not hold,
//! however many requirements it speaks for and however many matrix values show it.

use crate::record::{
    CaseRecord, Check, Finding, FindingKind, Location, RequirementRecord, RunRecord, Verdict,
};

/// One failure.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure<'r> {
    /// The worst weight of its findings.
    pub kind: FindingKind,
    /// Requirements that it speaks for, worst first.
    pub requirements: Vec<Touched<'r>>,
    /// Cases that show it, at least one.
    pub cases: Vec<Shown<'r>>,
}

/// A requirement that a failure touches.
#[derive(Debug, Clone, PartialEq)]
pub struct Touched<'r> {
    /// Weight that the failure has for it.
    pub kind: FindingKind,
    /// Its id.
    pub id: &'r str,
    /// The requirement, unless the record does not know it.
    pub requirement: Option<&'r RequirementRecord>,
}

/// A case that shows a failure.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown<'r> {
    /// Its id.
    pub id: &'r str,
    /// The case, unless the record does not know it.
    pub case: Option<&'r CaseRecord>,
    /// The check, unless the finding is about the case as a whole.
    pub check: Option<&'r Check>,
    /// What was found, in one sentence.
    pub summary: &'r str,
}

impl Shown<'_> {
    /// What was seen: of the check, else of the finding.
    pub fn observed(&self) -> &str {
        self.check.map_or(self.summary, |check| &check.observed)
    }

    /// Where in the scenario the expectation stands.
    pub fn place(&self) -> Option<&Location> {
        self.check
            .map(|check| &check.source)
            .or_else(|| self.case.map(|case| &case.source))
    }
}

/// A waiver with what it accepts.
#[derive(Debug, Clone, PartialEq)]
pub struct Waived<'r> {
    /// As it stands in the record.
    pub waiver: &'r str,
    /// Weight of what it accepts.
    pub kind: FindingKind,
    /// Requirement.
    pub requirement: &'r str,
    /// Cases.
    pub cases: Vec<&'r str>,
}

/// All failures that no waiver accepts, worst first. What could not be demonstrated is no failure.
pub fn failures(record: &RunRecord) -> Vec<Failure<'_>> {
    let mut failures: Vec<Failure<'_>> = Vec::new();
    for finding in &record.findings {
        if finding.waiver.is_some() || finding.kind == FindingKind::NotDemonstrated {
            continue;
        }
        let shown = shown(record, finding);
        let touched = Touched {
            kind: finding.kind,
            id: &finding.requirement,
            requirement: record
                .requirements
                .iter()
                .find(|r| r.id == finding.requirement),
        };
        let known = failures.iter_mut().find(|failure| {
            failure
                .cases
                .first()
                .is_some_and(|first| same(first, &shown))
        });
        let Some(known) = known else {
            failures.push(Failure {
                kind: finding.kind,
                requirements: vec![touched],
                cases: vec![shown],
            });
            continue;
        };
        known.kind = known.kind.min(finding.kind);
        if !known.requirements.iter().any(|r| r.id == touched.id) {
            known.requirements.push(touched);
        }
        if !known.cases.contains(&shown) {
            known.cases.push(shown);
        }
    }
    for failure in &mut failures {
        failure.requirements.sort_by_key(|touched| touched.kind);
    }
    failures.sort_by_key(|failure| failure.kind);
    failures
}

/// Accepted findings, joined by waiver and requirement.
pub fn waived(record: &RunRecord) -> Vec<Waived<'_>> {
    let mut all: Vec<Waived<'_>> = Vec::new();
    for finding in &record.findings {
        let Some(waiver) = &finding.waiver else {
            continue;
        };
        let known = all
            .iter_mut()
            .find(|w| w.waiver == waiver && w.requirement == finding.requirement);
        match known {
            Some(known) => {
                known.kind = known.kind.min(finding.kind);
                if !known.cases.contains(&finding.case.as_str()) {
                    known.cases.push(&finding.case);
                }
            }
            None => all.push(Waived {
                waiver,
                kind: finding.kind,
                requirement: &finding.requirement,
                cases: vec![&finding.case],
            }),
        }
    }
    all
}

/// Cases in which the harness or the set-up broke, in the order of the record.
pub fn errors(record: &RunRecord) -> impl Iterator<Item = &CaseRecord> {
    record
        .cases
        .iter()
        .filter(|case| case.verdict == Verdict::Error)
}

/// Findings of one case.
pub fn of_case<'r>(record: &'r RunRecord, case: &str) -> Vec<&'r Finding> {
    record
        .findings
        .iter()
        .filter(|finding| finding.case == case)
        .collect()
}

fn shown<'r>(record: &'r RunRecord, finding: &'r Finding) -> Shown<'r> {
    let case = record.cases.iter().find(|case| case.id == finding.case);
    let check = finding
        .check
        .and_then(|index| usize::try_from(index).ok())
        .and_then(|index| case.and_then(|case| case.checks.get(index)));
    Shown {
        id: &finding.case,
        case,
        check,
        summary: &finding.summary,
    }
}

/// Whether two findings are one failure: the same expectation of the same scenario. Findings about a case
/// as a whole are alike when they say the same.
fn same(a: &Shown<'_>, b: &Shown<'_>) -> bool {
    let scenario = |shown: &Shown<'_>| shown.case.map(|case| case.scenario.clone());
    match (a.check, b.check) {
        (Some(x), Some(y)) => {
            scenario(a) == scenario(b)
                && x.step == y.step
                && x.subject == y.subject
                && x.source == y.source
        }
        (None, None) => {
            scenario(a) == scenario(b)
                && a.summary == b.summary
                && (a.case.is_some() || a.id == b.id)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn one_check_with_two_requirements_over_a_matrix_is_one_failure() {
        let record = sample::record();
        let failures = failures(&record);
        let first = &failures[0];
        assert_eq!(first.kind, FindingKind::Nonconformity);
        let ids: Vec<_> = first.requirements.iter().map(|r| r.id).collect();
        assert_eq!(ids, ["DM-STORE-02", "DM-DRV-05"]);
        assert!(first.cases.len() > 1);
        assert!(failures.windows(2).all(|pair| pair[0].kind <= pair[1].kind));
    }

    #[test]
    fn waived_findings_are_apart() {
        let record = sample::record();
        assert_eq!(waived(&record).len(), 1);
        let accepted = &waived(&record)[0];
        assert!(
            failures(&record)
                .iter()
                .all(|f| f.requirements.iter().all(|r| r.id != accepted.requirement))
        );
    }

    #[test]
    fn findings_that_lead_nowhere_are_kept() {
        let mut record = sample::record();
        record.cases.clear();
        record.requirements.clear();
        let known = failures(&record);
        assert!(!known.is_empty());
        assert!(known.iter().all(|failure| failure.cases[0].check.is_none()));
    }
}
