#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::change::Turn;
use crate::comparison::document::document;
use crate::record::FindingKind;
use crate::sample;
use crate::terminal::comparison::comparison;
use crate::terminal::{Options, tests::strip};

/// The sample, and a build after it: one case better, one worse, one that cannot tell, one gone, one new.
fn builds() -> Comparison {
    let then = sample::record();
    let mut now = then.clone();
    now.profile.sut = "Example IM Server 3.2.0".into();
    let at = |verdict| {
        now.cases
            .iter()
            .position(|it| it.verdict == verdict)
            .unwrap()
    };
    let (better, worse) = (at(Verdict::Fail), at(Verdict::Pass));
    let fail = now.cases[better]
        .checks
        .iter()
        .position(|it| it.verdict == Verdict::Fail);
    let fail = now.cases[better].checks[fail.unwrap()].clone();
    now.cases[better].verdict = Verdict::Pass;
    for check in &mut now.cases[better].checks {
        check.verdict = Verdict::Pass;
    }
    now.cases[worse].verdict = Verdict::Fail;
    now.cases[worse].reason = Some("it is not so".into());
    now.cases[worse].checks.push(fail);
    let mut finding = then.findings[0].clone();
    finding.case = now.cases[worse].id.clone();
    finding.requirement = "DM-TRIG-01".into();
    now.findings.push(finding);
    now.requirements[2].verdict = Verdict::Inconclusive;
    let mut new = now.cases[better].clone();
    new.id = "PG-99".into();
    now.cases.pop();
    now.cases.push(new);
    now.readings.clear();
    Comparison::of(
        Kind::Builds,
        vec![
            Column::of(then.profile.sut.clone(), vec![then]).unwrap(),
            Column::of(now.profile.sut.clone(), vec![now]).unwrap(),
        ],
    )
}

/// Three servers: the sample, one that cannot tell anything, and one of which there are two records that disagree.
fn servers() -> Comparison {
    let sample = sample::record();
    let mut untold = sample.clone();
    for requirement in &mut untold.requirements {
        requirement.verdict = Verdict::Inconclusive;
    }
    untold.readings.clear();
    let mut other = sample.clone();
    other.requirements[3].verdict = Verdict::Pass;
    other.plan.suite = "another".into();
    let readings = other.readings.values_mut().next().unwrap();
    let cases = readings.pop_first().unwrap().1;
    readings.insert("the mark counts from the BYE".into(), cases);
    Comparison::of(
        Kind::Servers,
        vec![
            Column::of("Example".into(), vec![sample.clone()]).unwrap(),
            Column::of("Untold".into(), vec![untold]).unwrap(),
            Column::of("Flaky".into(), vec![other, sample]).unwrap(),
        ],
    )
}

fn shown(it: &Comparison, width: usize, quiet: bool) -> String {
    strip(&comparison(it, &Options { width, quiet }))
}

#[test]
fn builds_in_the_terminal() {
    insta::assert_snapshot!(shown(&builds(), 100, false));
}

#[test]
fn servers_in_the_terminal() {
    insta::assert_snapshot!(shown(&servers(), 100, false));
}

#[test]
fn servers_in_forty_columns() {
    let shown = shown(&servers(), 40, false);
    assert!(shown.lines().all(|line| crate::escape::width(line) <= 40));
    insta::assert_snapshot!(shown);
}

#[test]
fn quietly() {
    insta::assert_snapshot!(shown(&builds(), 100, true));
}

#[test]
fn builds_in_markdown() {
    insta::assert_snapshot!(document(&builds(), "0.1.0").markdown());
}

#[test]
fn servers_in_markdown() {
    insta::assert_snapshot!(document(&servers(), "0.1.0").markdown());
}

#[test]
fn servers_as_a_page() {
    let page = document(&servers(), "0.1.0").html().unwrap();
    let (start, end) = (
        page.find("<style>").unwrap(),
        page.find("</style>").unwrap(),
    );
    insta::assert_snapshot!(format!("{}{}", &page[..start], &page[end..]));
}

#[test]
fn hostile_names_are_only_text() {
    let hostile = "</td><script>alert(1)</script>|\n\u{1b}[2J\u{202e}";
    let mut record = sample::record();
    record.profile.name = hostile.into();
    record.requirements[0].statement = hostile.into();
    record.cases[0].title = hostile.into();
    let column = |name: &str, record| Column::of(name.into(), vec![record]).unwrap();
    let other = column("other", sample::record());
    let comparison = Comparison::of(Kind::Builds, vec![column(hostile, record), other]);
    let document = document(&comparison, "0.1.0");
    let page = document.html().unwrap();
    let markdown = document.markdown();
    for forbidden in ["<script", "\u{1b}", "\u{202e}"] {
        assert!(
            !page.contains(forbidden) && !markdown.contains(forbidden),
            "{forbidden}"
        );
    }
}

#[test]
fn the_worst_of_several_records_counts_and_is_unsteady() {
    let worse = sample::record();
    let mut better = worse.clone();
    let id = worse.findings[0].case.clone();
    let failed = better.cases.iter_mut().find(|it| it.id == id).unwrap();
    failed.verdict = Verdict::Pass;
    better.findings.retain(|it| it.case != id);
    for records in [
        [worse.clone(), better.clone()],
        [better.clone(), worse.clone()],
    ] {
        let column = Column::of("it".into(), records.to_vec()).unwrap();
        assert!(column.unsteady.contains(&id));
        let case = column.record.cases.iter().find(|it| it.id == id).unwrap();
        assert_eq!(case.verdict, Verdict::Fail);
        assert!(column.record.findings.iter().any(|it| it.case == id));
        // What came and went by chance did not turn.
        let steady = Column::of("it".into(), vec![better.clone()]).unwrap();
        let comparison = Comparison::of(Kind::Builds, vec![steady, column]);
        let change = comparison
            .changes
            .cases
            .iter()
            .find(|it| it.id == id)
            .unwrap();
        assert_eq!(comparison.case_turn(change), Some(Turn::Unsteady));
        // A nonconformity that was seen once was seen.
        assert!(comparison.changes.breaks(false));
    }
}

#[test]
fn what_only_a_waiver_changed_turns_no_verdict() {
    let then = sample::record();
    let mut now = then.clone();
    for finding in &mut now.findings {
        if finding.kind != FindingKind::NotDemonstrated {
            finding.waiver = Some("accepted".into());
        }
    }
    let columns = vec![
        Column::of("one".into(), vec![then]).unwrap(),
        Column::of("two".into(), vec![now]).unwrap(),
    ];
    let comparison = Comparison::of(Kind::Builds, columns);
    assert!(comparison.rows().iter().all(|row| row.turn.is_none()));
    assert!(!comparison.changes.breaks(true) && !comparison.changes.findings.is_empty());
}
