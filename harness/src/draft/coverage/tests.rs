//! The evidence for a small specification of nobody's, tied to requirements that have scenarios and faults.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use imspec_reports::record::{Basis, Level, PlanRecord, ProfileRecord, RequirementRecord, UtcTime};

use super::super::render;
use super::super::tests::LOCKERS;
use super::*;
use crate::catalogue::Catalogue;
use crate::document::Source;

/// The requirements of the sample: two of them have the ids of real ones, so that scenarios and faults are theirs.
fn catalogue(draft: &Draft) -> Catalogue {
    let text = render::skeleton(draft)
        .replace("id: S-9ff144\n", "id: DM-MID-02\n")
        .replace("id: S-992e2f\n", "id: DM-POL-01\n")
        .replace("wording: []", "wording: [WD-19]");
    Catalogue::read(&[Arc::new(Source::new("requirements.yaml", text))]).unwrap()
}

fn record(verdict: Verdict) -> RunRecord {
    let requirement = RequirementRecord {
        id: "DM-MID-02".into(),
        clause: String::new(),
        level: Level::Shall,
        basis: Basis::Written,
        condition: String::new(),
        statement: String::new(),
        verdict,
        checks: BTreeMap::new(),
        wording: Vec::new(),
    };
    let seen = [("global".to_owned(), vec!["MI-03".to_owned()])];
    RunRecord {
        format: imspec_reports::record::FORMAT,
        tool: String::new(),
        started: UtcTime { unix_us: 0 },
        duration_us: 0,
        store_time_s: 0.0,
        interrupted: None,
        judged_again: None,
        plan: PlanRecord::default(),
        profile: ProfileRecord {
            name: String::new(),
            sut: format!("Server <{verdict}>"),
            pics: BTreeMap::new(),
            pixit: BTreeMap::new(),
            adapters: BTreeMap::new(),
        },
        requirements: vec![requirement],
        cases: Vec::new(),
        findings: Vec::new(),
        protocol: Vec::new(),
        readings: [("WD-19".to_owned(), seen.into())].into(),
        waivers: Vec::new(),
    }
}

/// Calls with the evidence for the sample, a sentence of which was changed since.
fn with<T>(see: impl FnOnce(&Evidence<'_>) -> T) -> T {
    let catalogue = catalogue(&Draft::read("a.txt", LOCKERS.as_bytes()).unwrap());
    let edited = LOCKERS.replace("whole parcel", "whole | parcel <all>");
    let draft = Draft::read("lockers.txt", edited.as_bytes()).unwrap();
    let links = Links::of(&draft.statements, &catalogue);
    let id = "MI-03";
    let scenario = crate::scenario::load::load_str(
        &format!("id: {id}\ntitle: t\npurpose: p\ncovers: [DM-MID-02]\nusers: {{ a: online, b: offline }}\nsteps:\n  - message: {{ from: a, to: b, expect: {{ status: 202 }} }}\n"),
        "MI-03.yaml",
        &crate::scenario::Known::anything(),
    )
    .unwrap();
    let coverage = Coverage::of([&scenario]);
    let faults: Vec<Fault> = imspec_faults::FAULTS
        .iter()
        .filter(|it| it.violates == ["DM-MID-02"])
        .take(1)
        .copied()
        .collect();
    let records = [record(Verdict::Pass), record(Verdict::Fail)];
    see(&Evidence::gather(
        &draft, &links, &coverage, &faults, &records,
    ))
}

#[test]
fn minutes() {
    insta::assert_snapshot!(with(markdown::render));
}

#[test]
fn the_page_has_the_text_and_the_evidence_side_by_side() {
    let page = with(html::render);
    let (_, main) = page.split_once("<main>").unwrap();
    insta::assert_snapshot!(main);
    assert!(!page.contains("://"), "the page loads nothing");
}

#[test]
fn programs_get_everything() {
    insta::assert_snapshot!(with(|evidence| format!(
        "{:#}",
        evidence.as_json()["statements"][1]
    )));
    with(|evidence| assert_eq!(evidence.covered(), (1, 13)));
}
