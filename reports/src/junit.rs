//! `JUnit` XML for CI systems, which know fewer outcomes than a conformance test has.
//!
//! [`crate::outcome`] has the one mapping of verdicts; in its words, held is success, failed is `<failure>` whose
//! `type` names the weight, broke is `<error>`, skipped is `<skipped>`. Of a case that held, each finding is a
//! property and a line of `<system-out>`.
//!
//! A case that did not hold at first because something came too late, and held when it was run again, has a
//! `<flakyFailure>`.
//!
//! A `<testsuite>` is a group of scenarios (`PG`, `EX`), `classname` is the scenario, `name` the case. The
//! requirements that a case covers are `requirement` properties. Waivers are a suite of their own, so that one
//! that makes the exit status 3 is seen: stale is `<failure>`, one that this run cannot tell about is
//! `<skipped>`, one in use is a success.

use std::collections::BTreeMap;
use std::time::Duration;

use quick_junit::{
    NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestRerun, TestSuite,
};

use crate::escape;
use crate::failure;
use crate::outcome::{Outcome, name};
use crate::record::{CaseRecord, Finding, RunRecord, Verdict, WaiverRecord, WaiverState};
use crate::summary;
use crate::terminal;

/// A report that cannot be written as XML.
#[derive(Debug, thiserror::Error)]
#[error("the JUnit report cannot be written: {0}")]
pub struct Error(#[from] quick_junit::SerializeError);

/// The record as `JUnit` XML.
pub fn render(record: &RunRecord) -> Result<String, Error> {
    let mut report = Report::new(format!("imspec {}", record.profile.name));
    report.timestamp = record.started.to_string().parse().ok();
    report.set_time(Duration::from_micros(record.duration_us));
    let mut groups: BTreeMap<&str, Vec<&CaseRecord>> = BTreeMap::new();
    for case in &record.cases {
        groups.entry(group(&case.scenario)).or_default().push(case);
    }
    for (name, cases) in groups {
        let mut suite = TestSuite::new(escape::line(name));
        let time: u64 = cases.iter().map(|case| case.duration_us).sum();
        suite.set_time(Duration::from_micros(time));
        add(&mut suite.properties, "profile", &record.profile.name);
        add(&mut suite.properties, "sut", &record.profile.sut);
        add(&mut suite.properties, "imspec", &record.tool);
        if let Some(part) = summary::part(record) {
            add(&mut suite.properties, "part", &part);
        }
        if let Some(why) = &record.interrupted {
            add(&mut suite.properties, "interrupted", why);
        }
        suite.add_test_cases(cases.into_iter().map(|case| test_case(record, case)));
        report.add_test_suite(suite);
    }
    if !record.waivers.is_empty() {
        let mut suite = TestSuite::new("waivers");
        suite.set_time(Duration::ZERO);
        suite.add_test_cases(record.waivers.iter().map(waiver));
        report.add_test_suite(suite);
    }
    Ok(report.to_string()?)
}

fn waiver(waiver: &WaiverRecord) -> TestCase {
    let mut status = match waiver.state {
        WaiverState::Used => TestCaseStatus::success(),
        WaiverState::Stale => TestCaseStatus::non_success(NonSuccessKind::Failure),
        WaiverState::Open => TestCaseStatus::skipped(),
    };
    if waiver.is_stale() {
        status.set_type("stale-waiver");
    }
    if let Some(why) = &waiver.why {
        status.set_message(escape::line(why));
    }
    let mut test = TestCase::new(escape::line(&waiver.subject()), status);
    test.set_classname("waivers");
    test.set_time(Duration::ZERO);
    test.extra
        .insert("file".into(), escape::line(&waiver.source.file).into());
    test.extra
        .insert("line".into(), waiver.source.line.to_string().into());
    add(&mut test.properties, "reason", &waiver.reason);
    add(&mut test.properties, "issue", &waiver.issue);
    add(&mut test.properties, "until", &waiver.until);
    add(&mut test.properties, "findings", &waiver.fits.to_string());
    test
}

/// `PG` of `PG-05`.
fn group(scenario: &str) -> &str {
    scenario
        .split_once('-')
        .map_or(scenario, |(group, _)| group)
}

fn test_case(record: &RunRecord, case: &CaseRecord) -> TestCase {
    let findings = failure::of_case(record, &case.id);
    let mut status = status(case, &findings);
    if let Some(earlier) = case.unsteady() {
        // What CI systems know as a flaky test.
        let mut first = TestRerun::new(NonSuccessKind::Failure);
        first
            .set_type(earlier.verdict.as_str())
            .set_message(escape::line(&earlier.reason));
        status.add_rerun(first);
    }
    let succeeded = matches!(status, TestCaseStatus::Success { .. });
    let mut test = TestCase::new(escape::line(&case.id), status);
    test.set_classname(escape::line(&case.scenario));
    test.set_time(Duration::from_micros(case.duration_us));
    test.set_assertions(case.checks.len());
    // Some CI systems link a test to its source by these two.
    test.extra
        .insert("file".into(), escape::line(&case.source.file).into());
    test.extra
        .insert("line".into(), case.source.line.to_string().into());
    add(&mut test.properties, "title", &case.title);
    for id in &case.covers {
        add(&mut test.properties, "requirement", id);
    }
    for (name, value) in &case.matrix {
        add(
            &mut test.properties,
            &format!("matrix.{name}"),
            &plain(value),
        );
    }
    let mut out = Vec::new();
    for finding in findings {
        let kind = name(finding.kind);
        match &finding.waiver {
            Some(waiver) => {
                add(
                    &mut test.properties,
                    "waived",
                    &format!("{} ({kind}): {waiver}", finding.requirement),
                );
            }
            None => add(&mut test.properties, kind, &finding.requirement),
        }
        let waived = if finding.waiver.is_some() {
            ", waived"
        } else {
            ""
        };
        out.push(escape::line(&format!(
            "{kind}{waived}: {}: {}",
            finding.requirement, finding.summary
        )));
    }
    if succeeded && !out.is_empty() {
        test.set_system_out(out.join("\n"));
    }
    test
}

fn status(case: &CaseRecord, findings: &[&Finding]) -> TestCaseStatus {
    match Outcome::of(case, findings) {
        Outcome::Held => TestCaseStatus::success(),
        Outcome::Skipped { message } => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(message);
            status
        }
        Outcome::Broke { message } => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_type("error").set_message(message);
            status.set_description(evidence(case, &[Verdict::Error, Verdict::Fail], findings));
            status
        }
        Outcome::Failed { weight, message } => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_type(weight).set_message(message);
            status.set_description(evidence(case, &[Verdict::Fail], findings));
            status
        }
    }
}

/// The checks with their places in the messages; the findings where they are about the case as a whole.
fn evidence(case: &CaseRecord, verdicts: &[Verdict], findings: &[&Finding]) -> String {
    let mut text = terminal::checks(case, verdicts);
    if text.is_empty() {
        for finding in findings {
            text.push_str(&escape::line(&finding.summary));
            text.push('\n');
        }
    }
    format!("\n{text}")
}

/// A scalar without the quotation marks of JSON.
fn plain(value: &serde_json::Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn add(properties: &mut Vec<Property>, name: &str, value: &str) {
    properties.push(Property::new(escape::line(name), escape::line(value)));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::record::FindingKind;
    use crate::sample;

    #[test]
    fn sample_run() {
        insta::assert_snapshot!(render(&sample::record()).unwrap());
    }

    fn outcome(change: impl FnOnce(&mut RunRecord)) -> &'static str {
        let mut record = sample::record();
        record
            .cases
            .retain(|case| case.id == "PG-05[transport=udp]");
        record
            .findings
            .retain(|finding| finding.case == "PG-05[transport=udp]");
        change(&mut record);
        let findings = failure::of_case(&record, "PG-05[transport=udp]");
        match status(&record.cases[0], &findings) {
            TestCaseStatus::Success { .. } => "success",
            TestCaseStatus::NonSuccess {
                kind: NonSuccessKind::Failure,
                ..
            } => "failure",
            TestCaseStatus::NonSuccess {
                kind: NonSuccessKind::Error,
                ..
            } => "error",
            TestCaseStatus::Skipped { .. } => "skipped",
        }
    }

    fn verdict(verdict: Verdict) -> impl FnOnce(&mut RunRecord) {
        move |record| {
            record.findings.clear();
            record.cases[0].verdict = verdict;
        }
    }

    fn kind(kind: FindingKind, waiver: Option<&str>) -> impl FnOnce(&mut RunRecord) {
        let waiver = waiver.map(str::to_owned);
        move |record| {
            for finding in &mut record.findings {
                finding.kind = kind;
                finding.waiver.clone_from(&waiver);
            }
        }
    }

    #[test]
    fn the_mapping_is_as_documented() {
        assert_eq!(outcome(verdict(Verdict::Pass)), "success");
        assert_eq!(outcome(verdict(Verdict::Error)), "error");
        assert_eq!(outcome(verdict(Verdict::Fail)), "failure");
        for skipped in [Verdict::Inconclusive, Verdict::NotApplicable, Verdict::None] {
            assert_eq!(outcome(verdict(skipped)), "skipped");
        }
        assert_eq!(outcome(kind(FindingKind::Nonconformity, None)), "failure");
        assert_eq!(outcome(kind(FindingKind::ProfileMismatch, None)), "failure");
        assert_eq!(
            outcome(kind(FindingKind::Nonconformity, Some("accepted"))),
            "success"
        );
        assert_eq!(outcome(kind(FindingKind::Deviation, None)), "success");
        assert_eq!(outcome(kind(FindingKind::Observation, None)), "success");
        assert_eq!(outcome(kind(FindingKind::NotDemonstrated, None)), "failure");
        assert_eq!(
            outcome(|record| record.cases[0].verdict = Verdict::Error),
            "error"
        );
    }
}
