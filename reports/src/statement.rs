//! The conformance statement: the two reports that ISO/IEC 9646-5 asks for, as one document. The system conformance test
//! report (SCTR) says who was tested by whom with which outcome; the protocol conformance test report (PCTR) says of
//! each test case whether it was selected and run, and what it showed, with the PICS and PIXIT it rests on.
//!
//! What only people can fill in is left open for them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::clause;
use crate::document::{Cell, Document, Section, Table};
use crate::escape;
use crate::failure;
use crate::outcome::breaks;
use crate::record::{
    CaseRecord, Event, EventKind, FindingKind, Level, ProtocolFinding, ProtocolWeight, RunRecord,
    Verdict,
};
use crate::summary::{self, count, count_of};

/// Cases of a finding that are named; beyond, a number tells as much.
const CASES: usize = 5;

/// The statement about the server of a run.
pub fn document(record: &RunRecord) -> Document {
    let errors = revealed(record);
    let mut document = Document {
        kicker: "Conformance statement".into(),
        title: escape::line(&record.profile.sut),
        headline: if errors > 0 {
            format!(
                "The test campaign revealed {}.",
                count(errors, "error", "errors")
            )
        } else {
            "The test campaign revealed no errors.".into()
        },
        class: if errors > 0 { "fail" } else { "pass" },
        tool: escape::line(&record.tool),
        sections: Vec::new(),
    };
    document.push(identification(record));
    document.push(reservations(record));
    document.push(system(record));
    document.push(protocol(record));
    document.push(statics(record));
    document.push(groups(record));
    document.push(findings(record));
    document.push(readings(record));
    document.push(selected(record));
    document.push(not_selected(record));
    document.push(pics(record));
    document.push(pixit(record));
    document.push(signatures());
    document
}

/// Failures that break conformance and that no waiver accepts.
fn revealed(record: &RunRecord) -> usize {
    let failures = failure::failures(record);
    failures.iter().filter(|it| breaks(it.kind)).count() + broken_rules(record)
}

/// Rules of the base protocols that messages break, and no waiver accepts it.
fn broken_rules(record: &RunRecord) -> usize {
    let weighty = |it: &&ProtocolFinding| it.waiver.is_none() && it.weight == ProtocolWeight::Error;
    record.protocol.iter().filter(weighty).count()
}

const OPEN: &str = "…………………………………………";

fn facts(entries: Vec<(&str, String)>) -> Table {
    let row = |(item, entry): (&str, String)| vec![Cell::text(item), Cell::text(entry)];
    Table {
        caption: None,
        head: vec!["Item".into(), "Entry".into()],
        rows: entries.into_iter().map(row).collect(),
    }
}

fn head(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn identification(record: &RunRecord) -> Section {
    let mut entries = vec![
        ("Test laboratory", OPEN.to_owned()),
        ("Client", OPEN.to_owned()),
        ("System under test (SUT)", record.profile.sut.clone()),
        ("Supplier of the SUT", OPEN.to_owned()),
        ("Profile", record.profile.name.clone()),
        ("Begin of testing", record.started.to_seconds()),
        ("Duration", summary::duration(record.duration_us)),
        ("Means of testing", format!("imspec {}", record.tool)),
        (
            "Conformance log",
            "run.json of this run, with the octets of every message".to_owned(),
        ),
    ];
    if let Some(again) = summary::judged_again(record) {
        entries.push(("Verdicts", again));
    }
    Section {
        id: "identification",
        title: "1 Identification (SCTR)".into(),
        lead: None,
        tables: vec![facts(entries)],
    }
}

fn reservations(record: &RunRecord) -> Section {
    let mut said = vec![
        "The verdicts hold for the system that was run, as it was configured, and for what it declares below. A test shows that an error is there, never that none is.".to_owned(),
    ];
    let plan = &record.plan;
    if !plan.selection.is_empty() {
        said.push(format!(
            "Only a part of the suite was asked for ({}): no statement is made about the rest.",
            plan.selection.join(", ")
        ));
    }
    if let Some(why) = &record.interrupted {
        said.push(format!(
            "The campaign was interrupted by {why}: what was not done by then is missing or inconclusive."
        ));
    }
    if let Some(part) = summary::part(record) {
        said.push(format!("This is a part of a campaign: {part}."));
    }
    let unsteady = record.unsteady().count();
    if unsteady > 0 {
        said.push(format!(
            "{} came out otherwise when run again; the second run counts.",
            count(unsteady, "test case", "test cases")
        ));
    }
    let waived = record
        .findings
        .iter()
        .filter(|it| it.waiver.is_some())
        .count();
    if waived > 0 {
        said.push(format!(
            "Not counted as errors: {} that waivers accept (clause 7).",
            count(waived, "finding", "findings")
        ));
    }
    Section {
        id: "reservations",
        title: "2 Limits and reservations".into(),
        lead: Some(escape::line(&said.join(" "))),
        tables: Vec::new(),
    }
}

/// One line for each part of the specification, as the SCTR has one for each protocol.
fn system(record: &RunRecord) -> Section {
    let row = |group: &clause::Group<'_>| {
        let with = |wanted: &dyn Fn(Verdict, Level) -> bool| {
            let own = group.requirements.iter();
            let own = own.filter(|it| wanted(it.verdict, it.level));
            Cell::text(own.count().to_string())
        };
        let failed = |wanted: Level| with(&|it, level| it == Verdict::Fail && level == wanted);
        let is_open = |it| matches!(it, Verdict::Inconclusive | Verdict::Error);
        let is_unjudged = |it| matches!(it, Verdict::None | Verdict::NotApplicable);
        vec![
            Cell::name(group.heading()),
            with(&|_, _| true),
            with(&|it, _| it == Verdict::Pass),
            failed(Level::Shall),
            failed(Level::Should),
            failed(Level::May),
            with(&|it, _| is_open(it)),
            with(&|it, _| is_unjudged(it)),
            status(record, group),
        ]
    };
    Section {
        id: "system",
        title: "3 System report summary (SCTR)".into(),
        lead: Some(
            "One line for each clause of the specification, and one for the base protocols. A SHALL that does not hold has failed, a SHOULD deviates, and where the text only permits, the SUT may do otherwise. Errors are what no waiver accepts."
                .into(),
        ),
        tables: vec![Table {
            caption: None,
            head: head(&[
                "Part", "Requirements", "Shown", "Failed", "Deviating", "Otherwise", "Not shown",
                "Not tested", "Status",
            ]),
            rows: clause::groups(&record.requirements)
                .iter()
                .map(row)
                .collect(),
        }],
    }
}

fn status(record: &RunRecord, group: &clause::Group<'_>) -> Cell {
    let own = |id: &str| group.requirements.iter().any(|it| it.id == id);
    let mut findings = record.findings.iter();
    let of_messages = group.number.is_empty() && broken_rules(record) > 0;
    if of_messages
        || findings.any(|it| breaks(it.kind) && it.waiver.is_none() && own(&it.requirement))
    {
        return Cell::verdict(Verdict::Fail, "errors revealed");
    }
    let judged = |it: Verdict| matches!(it, Verdict::Pass | Verdict::Fail);
    if group.requirements.iter().any(|it| judged(it.verdict)) {
        Cell::verdict(Verdict::Pass, "no errors revealed")
    } else {
        Cell::verdict(Verdict::None, "not tested")
    }
}

fn protocol(record: &RunRecord) -> Section {
    let adapters = record.profile.adapters.iter();
    let adapters: Vec<String> = adapters
        .map(|(name, kind)| format!("{name}: {kind}"))
        .collect();
    let method = format!(
        "black-box at the wire, beside it what adapters show and set ({})",
        adapters.join(", ")
    );
    let suite = format!(
        "{} test cases, suite {}",
        record.plan.cases, record.plan.suite
    );
    let mut period = format!("{} of real time", summary::duration(record.duration_us));
    if record.store_time_s > 0.0 {
        let store = summary::store_time(record.store_time_s);
        let _ = write!(period, ", {store} by the clock of the store");
    }
    Section {
        id: "protocol",
        title: "4 Protocol and test environment (PCTR)".into(),
        lead: None,
        tables: vec![facts(vec![
            (
                "Specification",
                "OMA SIMPLE IM, deferred messages: clauses 9.3.2.4 and 9.3.2.5, with the RFCs of the base protocols".into(),
            ),
            ("Implementation under test (IUT)", record.profile.sut.clone()),
            ("Abstract test suite", suite),
            ("Requirements", format!("catalogue {}", record.plan.catalogue)),
            ("Test method", method),
            ("Period of testing", period),
            ("PICS and PIXIT", "clauses 11 and 12".into()),
        ])],
    }
}

/// What the declarations alone show, and where what was seen contradicts them.
fn statics(record: &RunRecord) -> Section {
    let mut undeclared: BTreeMap<&str, usize> = BTreeMap::new();
    for case in record.cases.iter().filter(|it| !was_run(it)) {
        if case.verdict == Verdict::Inconclusive {
            let reason = case.reason.as_deref().unwrap_or_default();
            *undeclared.entry(reason).or_default() += 1;
        }
    }
    let mismatches = record.findings.iter();
    let mismatches: Vec<_> = mismatches
        .filter(|it| it.kind == FindingKind::ProfileMismatch)
        .collect();
    let lead = match (mismatches.len(), undeclared.len()) {
        (0, 0) => "The PICS answers every question that the selected test cases depend on, and nothing that was seen contradicts it.".to_owned(),
        (0, _) => "Nothing that was seen contradicts the PICS. It leaves questions open on which test cases depend.".to_owned(),
        (n, _) => format!(
            "What was seen contradicts the PICS in {}.",
            count(n, "place", "places")
        ),
    };
    Section {
        id: "static",
        title: "5 Static conformance review".into(),
        lead: Some(lead),
        tables: vec![
            Table {
                caption: Some("Contradicted declarations".into()),
                head: head(&["Requirement", "Test case", "Observation"]),
                rows: mismatches
                    .iter()
                    .map(|it| {
                        vec![
                            Cell::name(&it.requirement),
                            Cell::text(&it.case),
                            Cell::text(&it.summary),
                        ]
                    })
                    .collect(),
            },
            Table {
                caption: Some("Open questions".into()),
                head: head(&["What is missing", "Test cases"]),
                rows: undeclared
                    .iter()
                    .map(|(why, cases)| vec![Cell::text(why), Cell::text(cases.to_string())])
                    .collect(),
            },
        ],
    }
}

/// Whether anything of a case was done; others were set aside before the run, or an interruption ended their steps.
fn was_run(case: &CaseRecord) -> bool {
    let mut events = case.trace.events.iter();
    let is_done = |it: &Event| !matches!(it.kind, EventKind::StepEnded { .. });
    events.any(is_done) || !case.checks.is_empty()
}

/// Test cases by group of the suite: `PG`, `MS`, ….
fn groups(record: &RunRecord) -> Section {
    let mut groups: BTreeMap<&str, Vec<&CaseRecord>> = BTreeMap::new();
    for case in &record.cases {
        let group = case.scenario.split('-').next().unwrap_or_default();
        groups.entry(group).or_default().push(case);
    }
    let row = |(name, cases): (&str, Vec<&CaseRecord>)| {
        let with = |verdict| cases.iter().filter(|it| it.verdict == verdict).count();
        let mut row = vec![
            Cell::name(name),
            Cell::text((cases.len() - with(Verdict::NotApplicable)).to_string()),
            Cell::text(cases.iter().filter(|it| was_run(it)).count().to_string()),
        ];
        let verdicts = [
            Verdict::Pass,
            Verdict::Fail,
            Verdict::Inconclusive,
            Verdict::Error,
        ];
        row.extend(verdicts.map(|it| Cell::text(with(it).to_string())));
        row
    };
    Section {
        id: "dynamic",
        title: "6 Dynamic conformance summary".into(),
        lead: None,
        tables: vec![Table {
            caption: None,
            head: head(&[
                "Group",
                "Selected",
                "Run",
                "Pass",
                "Fail",
                "Inconclusive",
                "Error",
            ]),
            rows: groups.into_iter().map(row).collect(),
        }],
    }
}

fn findings(record: &RunRecord) -> Section {
    let named = |ids: &[&str]| {
        let shown = ids
            .iter()
            .take(CASES)
            .copied()
            .collect::<Vec<_>>()
            .join(", ");
        match ids.len().saturating_sub(CASES) {
            0 => shown,
            more => format!("{shown} and {more} more"),
        }
    };
    let weight = |kind| {
        let words = count_of(kind, 1);
        let words = words.trim_start_matches("1 ").to_owned();
        match kind {
            FindingKind::Observation => Cell::toned("observation", "i", words),
            FindingKind::Deviation => Cell::toned("deviation", "✗", words),
            FindingKind::ProfileMismatch => Cell::toned("mismatch", "≠", words),
            _ => Cell::verdict(Verdict::Fail, words),
        }
    };
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for failure in failure::failures(record) {
        let Some(first) = failure.cases.first() else {
            continue;
        };
        let ids: Vec<&str> = failure.cases.iter().map(|it| it.id).collect();
        let requirements: Vec<&str> = failure.requirements.iter().map(|it| it.id).collect();
        let observed = match first.check {
            Some(check) => format!("expected {}, observed {}", check.expected, check.observed),
            None => first.summary.to_owned(),
        };
        rows.push(vec![
            weight(failure.kind),
            Cell::name(requirements.join(", ")),
            Cell::text(named(&ids)),
            Cell::text(observed),
        ]);
    }
    for finding in &record.protocol {
        let cases: Vec<&str> = finding.places.iter().map(|it| it.case.as_str()).collect();
        rows.push(vec![
            match finding.weight {
                _ if finding.waiver.is_some() => Cell::toned("waived", "·", "waived"),
                ProtocolWeight::Error => Cell::verdict(Verdict::Fail, "protocol error"),
                ProtocolWeight::Warning => Cell::verdict(Verdict::Inconclusive, "protocol warning"),
            },
            Cell::name(&finding.clause),
            Cell::text(named(&cases)),
            Cell::text(format!(
                "{}: expected {}",
                finding.message, finding.expected
            )),
        ]);
    }
    for waived in failure::waived(record) {
        rows.push(vec![
            Cell::toned("waived", "·", "waived"),
            Cell::name(waived.requirement),
            Cell::text(named(&waived.cases)),
            Cell::text(waived.waiver),
        ]);
    }
    Section {
        id: "findings",
        title: "7 Observations".into(),
        lead: rows
            .is_empty()
            .then(|| "Nothing was found that is to be reported.".into()),
        tables: vec![Table {
            caption: None,
            head: head(&["Weight", "Requirements", "Test cases", "Observation"]),
            rows,
        }],
    }
}

fn readings(record: &RunRecord) -> Section {
    let rows = record.readings.iter().flat_map(|(defect, readings)| {
        readings.iter().map(move |(reading, cases)| {
            vec![
                Cell::name(defect),
                Cell::text(reading),
                Cell::text(count(cases.len(), "test case", "test cases")),
            ]
        })
    });
    Section {
        id: "readings",
        title: "8 Readings of unclear wording".into(),
        lead: Some("Where the specification can be read in several ways, no way is an error. These were followed.".into()),
        tables: vec![Table {
            caption: None,
            head: head(&["Wording", "Reading", "Seen in"]),
            rows: rows.collect(),
        }],
    }
}

fn selected(record: &RunRecord) -> Section {
    let own = record
        .cases
        .iter()
        .filter(|it| it.verdict != Verdict::NotApplicable);
    let row = |case: &CaseRecord| {
        let reason = case.reason.clone().unwrap_or_default();
        vec![
            Cell::name(&case.id).note(&case.title),
            Cell::text(if was_run(case) { "yes" } else { "no" }),
            Cell::verdict(case.verdict, case.verdict.as_str()),
            Cell::text(reason),
        ]
    };
    Section {
        id: "campaign",
        title: "9 Test campaign: selected test cases".into(),
        lead: None,
        tables: vec![Table {
            caption: None,
            head: head(&["Test case", "Run", "Verdict", "Observation"]),
            rows: own.map(row).collect(),
        }],
    }
}

fn not_selected(record: &RunRecord) -> Section {
    let own = record
        .cases
        .iter()
        .filter(|it| it.verdict == Verdict::NotApplicable);
    let rows: Vec<_> = own
        .map(|case| {
            vec![
                Cell::name(&case.id).note(&case.title),
                Cell::text(case.reason.as_deref().unwrap_or_default()),
            ]
        })
        .collect();
    Section {
        id: "not-selected",
        title: "10 Test cases that were not selected".into(),
        lead: rows
            .is_empty()
            .then(|| "The PICS excludes none.".to_owned()),
        tables: vec![Table {
            caption: None,
            head: head(&["Test case", "Reason"]),
            rows,
        }],
    }
}

fn settings(values: &BTreeMap<String, serde_json::Value>) -> Vec<Vec<Cell>> {
    let word = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let row = |(key, value): (&String, &serde_json::Value)| {
        vec![Cell::name(key), Cell::text(word(value))]
    };
    values.iter().map(row).collect()
}

fn pics(record: &RunRecord) -> Section {
    Section {
        id: "pics",
        title: "11 PICS: what the supplier declares".into(),
        lead: None,
        tables: vec![Table {
            caption: None,
            head: head(&["Key", "Declared"]),
            rows: settings(&record.profile.pics),
        }],
    }
}

fn pixit(record: &RunRecord) -> Section {
    Section {
        id: "pixit",
        title: "12 PIXIT: what the tester was told".into(),
        lead: Some("Secrets are masked.".into()),
        tables: vec![Table {
            caption: None,
            head: head(&["Key", "Value"]),
            rows: settings(&record.profile.pixit),
        }],
    }
}

fn signatures() -> Section {
    let row = |who: &str| vec![Cell::text(who), Cell::text(OPEN), Cell::text(OPEN)];
    Section {
        id: "signatures",
        title: "13 Signatures".into(),
        lead: None,
        tables: vec![Table {
            caption: None,
            head: head(&["For", "Name and date", "Signature"]),
            rows: vec![row("Test laboratory"), row("Client")],
        }],
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::sample;

    #[test]
    fn the_statement_of_the_sample() {
        insta::assert_snapshot!(document(&sample::record()).markdown());
    }

    #[test]
    fn every_case_stands_in_it_once() {
        let record = sample::record();
        let text = document(&record).markdown();
        for case in &record.cases {
            let name = format!("| **{}**<br>", crate::markdown::text(&case.id));
            assert_eq!(text.matches(&name).count(), 1, "{}", case.id);
        }
    }

    #[test]
    fn a_campaign_without_errors_says_so() {
        let mut record = sample::interrupted();
        record.protocol.clear();
        let statement = document(&record);
        assert_eq!(statement.class, "pass");
        assert!(statement.markdown().contains("interrupted by Ctrl-C"));
    }

    #[test]
    fn as_a_page() {
        let page = document(&sample::record()).html().unwrap();
        assert!(page.contains("<section id=\"pixit\"") && !page.contains("<script"));
    }
}
