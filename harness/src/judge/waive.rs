//! Takes the waivers to the findings of a record, and tells what became of each.
//!
//! A record alone is enough for it, so that shards that were joined come out as one run would have.

use std::collections::BTreeSet;

use imspec_reports::record::{
    CaseRecord, Check, FindingKind, RunRecord, Verdict, WaiverRecord, WaiverState,
};
use jiff::civil::Date;

use super::waiver::Waiver;

/// Writes into `record` which waiver accepts what, and what became of each. What it held about waivers before
/// is forgotten. `today` is held against their end dates.
pub(crate) fn apply(record: &mut RunRecord, waivers: &[Waiver], today: Date) {
    let mut fits = vec![0; waivers.len()];
    for finding in &mut record.findings {
        // Nothing was found, so there is nothing to accept.
        if finding.kind == FindingKind::NotDemonstrated {
            continue;
        }
        let scenario = scenario_of(&finding.case);
        finding.waiver = accepting(waivers, today, &mut fits, |waiver| {
            waiver.fits(&finding.requirement, scenario, &finding.case)
        });
    }
    for finding in &mut record.protocol {
        finding.waiver = accepting(waivers, today, &mut fits, |waiver| {
            // A rule is broken by a kind of message, wherever it shows: a case alone says nothing about it.
            waiver.requirement.is_some()
                && finding.places.iter().all(|place| {
                    waiver.fits(&finding.clause, scenario_of(&place.case), &place.case)
                })
        });
    }
    let states = waivers.iter().zip(fits).map(|(waiver, fits)| {
        let (state, why) = state(waiver, fits, record, today);
        WaiverRecord {
            state,
            why,
            fits,
            ..waiver.record()
        }
    });
    record.waivers = states.collect();
}

/// The first waiver that accepts a finding, in words. All that fit are counted: each of two that overlap has
/// its use.
fn accepting(
    waivers: &[Waiver],
    today: Date,
    fits: &mut [u32],
    fit: impl Fn(&Waiver) -> bool,
) -> Option<String> {
    let mut first = None;
    for (waiver, fits) in waivers.iter().zip(fits) {
        if fit(waiver) {
            *fits += 1;
            // What is over does not excuse any more.
            if first.is_none() && !waiver.is_over(today) {
                first = Some(waiver.record().describe());
            }
        }
    }
    first
}

/// `PG-05` of `PG-05[transport=tcp]`.
fn scenario_of(case: &str) -> &str {
    case.split('[').next().unwrap_or(case)
}

/// A waiver is stale only where this record shows it: the cases of other shards, and those that were not
/// selected, may need it.
fn state(
    waiver: &Waiver,
    fits: u32,
    record: &RunRecord,
    today: Date,
) -> (WaiverState, Option<String>) {
    let scope: BTreeSet<&str> = waiver.scope.iter().map(String::as_str).collect();
    let seen: Vec<&CaseRecord> = record
        .cases
        .iter()
        .filter(|case| scope.contains(case.id.as_str()))
        .collect();
    let open = |why: String| (WaiverState::Open, Some(why));
    let stale = |why: String| (WaiverState::Stale, Some(why));
    if seen.is_empty() {
        return open("no case that could need it is in this run".into());
    }
    if waiver.is_over(today) {
        let until = &waiver.until;
        return stale(match fits {
            0 => format!(
                "its time was over on {until}, and nothing was found that needs it: remove it"
            ),
            1 => format!(
                "its time was over on {until}, and a finding needs it: mend the server, or agree on a later day"
            ),
            n => format!(
                "its time was over on {until}, and {n} findings need it: mend the server, or agree on a later day"
            ),
        });
    }
    if fits > 0 {
        return (WaiverState::Used, None);
    }
    if seen.len() < scope.len() {
        let rest = scope.len() - seen.len();
        return open(format!(
            "nothing was found that needs it, but {rest} of the {} that could are not in this run",
            cases(scope.len())
        ));
    }
    if record.interrupted.is_some() {
        return open("the run was interrupted".into());
    }
    let is = |case: &&&CaseRecord, verdicts: &[Verdict]| verdicts.contains(&case.verdict);
    let broken = [Verdict::Error, Verdict::None];
    if let Some(broken) = seen.iter().find(|case| is(case, &broken)) {
        return open(format!("{} was not run to its end", broken.id));
    }
    if seen.iter().any(|case| tells(waiver, case)) {
        return stale(format!(
            "nothing was found that needs it in the {} that could: remove it",
            cases(seen.len())
        ));
    }
    let excluded = [Verdict::NotApplicable];
    if let Some(unclear) = seen.iter().find(|case| !is(case, &excluded)) {
        return open(format!("{} could not tell", unclear.id));
    }
    stale("the profile excludes every case that could need it: remove it".into())
}

/// Whether a case judged what a waiver is about. A case may be inconclusive for something else.
fn tells(waiver: &Waiver, case: &CaseRecord) -> bool {
    let about = |check: &Check| match &waiver.requirement {
        Some(requirement) if !waiver.is_about_a_clause() => {
            check.requirements.contains(requirement)
        }
        _ => true,
    };
    let judged = [Verdict::Pass, Verdict::Fail];
    let mut checks = case.checks.iter();
    checks.any(|check| judged.contains(&check.verdict) && about(check))
}

fn cases(count: usize) -> String {
    match count {
        1 => "1 case".to_owned(),
        count => format!("{count} cases"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use imspec_reports::record::{
        Finding, Location, Observation, PlanRecord, ProfileRecord, ProtocolFinding, ProtocolPlace,
        ProtocolWeight, Trace, UtcTime,
    };

    use super::*;
    use crate::catalogue::Catalogue;
    use crate::judge::{RunFacts, assemble};

    const TODAY: &str = "2026-11-23";

    fn day(text: &str) -> Date {
        text.parse().unwrap()
    }

    fn at() -> Location {
        Location {
            file: "w.yaml".into(),
            line: 2,
            column: 5,
        }
    }

    fn case(id: &str, verdict: Verdict) -> CaseRecord {
        CaseRecord {
            id: id.into(),
            scenario: scenario_of(id).into(),
            title: String::new(),
            purpose: String::new(),
            covers: vec!["DM-STORE-02".into()],
            source: at(),
            text: String::new(),
            matrix: Vec::new(),
            verdict,
            reason: None,
            earlier: None,
            checks: vec![Check {
                step: String::new(),
                source: at(),
                subject: String::new(),
                verdict,
                requirements: vec!["DM-STORE-02".into()],
                expected: String::new(),
                observed: String::new(),
                observation: Observation::Wire,
                evidence: None,
                note: None,
            }],
            trace: Trace::default(),
            duration_us: 0,
        }
    }

    /// A record of these cases; each that failed has a finding.
    fn record(cases: &[(&str, Verdict)]) -> RunRecord {
        let profile = ProfileRecord {
            name: String::new(),
            sut: String::new(),
            pics: [].into(),
            pixit: [].into(),
            adapters: [].into(),
        };
        let facts = RunFacts {
            tool: String::new(),
            started: UtcTime { unix_us: 0 },
            duration_us: 0,
            store_time_s: 0.0,
            interrupted: None,
            judged_again: None,
            plan: PlanRecord::default(),
            profile,
            today: day(TODAY),
        };
        let failed = cases
            .iter()
            .filter(|(_, verdict)| *verdict == Verdict::Fail);
        let findings = failed.map(|(id, _)| Finding {
            kind: FindingKind::Nonconformity,
            requirement: "DM-STORE-02".into(),
            case: (*id).into(),
            check: None,
            summary: String::new(),
            waiver: None,
        });
        let cases = cases.iter().map(|(id, verdict)| case(id, *verdict));
        let catalogue = Catalogue::bundled().unwrap();
        assemble(facts, cases.collect(), findings.collect(), &[], &catalogue)
    }

    fn waiver(about: (Option<&str>, Option<&str>), until: &str, scope: &[&str]) -> Waiver {
        Waiver {
            requirement: about.0.map(str::to_owned),
            case: about.1.map(str::to_owned),
            reason: "known".into(),
            issue: "#1".into(),
            until: day(until),
            at: at(),
            scope: scope.iter().map(|id| (*id).to_owned()).collect(),
        }
    }

    /// What becomes of a waiver for PG-06, which has two cases.
    fn became(cases: &[(&str, Verdict)], until: &str) -> (WaiverState, String) {
        let mut record = record(cases);
        let scope = ["PG-06[a=1]", "PG-06[a=2]"];
        let waiver = waiver((Some("DM-STORE-02"), Some("PG-06")), until, &scope);
        apply(&mut record, &[waiver], day(TODAY));
        let became = &record.waivers[0];
        (became.state, became.why.clone().unwrap_or_default())
    }

    #[test]
    fn a_waiver_in_use_accepts_every_finding_that_fits() {
        let mut record = record(&[
            ("PG-05", Verdict::Fail),
            ("PG-06[a=1]", Verdict::Fail),
            ("PG-06[a=2]", Verdict::Fail),
        ]);
        let waiver = waiver((None, Some("PG-06")), TODAY, &["PG-06[a=1]", "PG-06[a=2]"]);
        apply(&mut record, &[waiver], day(TODAY));
        let waived: Vec<bool> = record
            .findings
            .iter()
            .map(|it| it.waiver.is_some())
            .collect();
        assert_eq!(waived, [false, true, true]);
        assert_eq!(record.waivers[0].fits, 2);
        assert_eq!(record.waivers[0].state, WaiverState::Used);
    }

    #[test]
    fn of_two_that_fit_both_are_in_use() {
        let mut record = record(&[("PG-06", Verdict::Fail)]);
        let waivers = [
            waiver((Some("DM-STORE-02"), None), "2026-01-01", &["PG-06"]),
            waiver((Some("DM-STORE-02"), None), "2027-01-01", &["PG-06"]),
            waiver((None, Some("PG-06")), "2027-01-01", &["PG-06"]),
        ];
        apply(&mut record, &waivers, day(TODAY));
        let states: Vec<WaiverState> = record.waivers.iter().map(|it| it.state).collect();
        assert_eq!(
            states,
            [WaiverState::Stale, WaiverState::Used, WaiverState::Used]
        );
        let waiver = record.findings[0].waiver.as_deref().unwrap();
        assert_eq!(waiver, "DM-STORE-02: known (#1, until 2027-01-01)");
    }

    #[test]
    fn it_is_told_why_a_waiver_is_stale_or_open() {
        use Verdict::{Error, Fail, Inconclusive, NotApplicable, Pass};
        let mut told = Vec::new();
        for (one, other, until) in [
            (Some(Pass), Some(Pass), "2027-01-01"),
            (Some(Pass), Some(Inconclusive), "2027-01-01"),
            (Some(NotApplicable), Some(NotApplicable), "2027-01-01"),
            (Some(Pass), None, "2026-01-01"),
            (Some(Fail), None, "2026-01-01"),
            (Some(Fail), Some(Fail), "2026-01-01"),
            (Some(Pass), None, "2027-01-01"),
            (None, None, "2027-01-01"),
            (None, None, "2026-01-01"),
            (Some(Pass), Some(Error), "2027-01-01"),
            (Some(Inconclusive), Some(NotApplicable), "2027-01-01"),
            (Some(Fail), None, "2027-01-01"),
        ] {
            let cases = [
                ("PG-06[a=1]", one),
                ("PG-06[a=2]", other),
                ("PG-07", Some(Pass)),
            ];
            let ran: Vec<_> = cases
                .iter()
                .filter_map(|(id, verdict)| Some((*id, (*verdict)?)))
                .collect();
            let (state, why) = became(&ran, until);
            let word = |it: Option<Verdict>| it.map_or("not run", Verdict::as_str);
            told.push(format!(
                "{}, {}, until {until} -> {state:?} {why}",
                word(one),
                word(other)
            ));
        }
        insta::assert_snapshot!(told.join("\n"));
    }

    #[test]
    fn a_case_that_looked_at_something_else_does_not_make_it_stale() {
        let mut record = record(&[("PG-06", Verdict::Pass)]);
        let other = waiver((Some("DM-STORE-03"), None), "2027-01-01", &["PG-06"]);
        let own = waiver((Some("DM-STORE-02"), None), "2027-01-01", &["PG-06"]);
        // Something else was unclear.
        record.cases[0].verdict = Verdict::Inconclusive;
        apply(&mut record, &[other, own], day(TODAY));
        let states: Vec<WaiverState> = record.waivers.iter().map(|it| it.state).collect();
        assert_eq!(states, [WaiverState::Open, WaiverState::Stale]);
    }

    #[test]
    fn an_interrupted_run_makes_nothing_stale() {
        let mut record = record(&[("PG-06", Verdict::Pass)]);
        record.interrupted = Some("Ctrl-C".into());
        let waiver = waiver((None, Some("PG-06")), "2027-01-01", &["PG-06"]);
        apply(&mut record, &[waiver], day(TODAY));
        assert_eq!(record.waivers[0].state, WaiverState::Open);
    }

    #[test]
    fn a_rule_of_a_base_protocol_is_named_by_its_clause_and_shows_in_its_case_alone() {
        let finding = |cases: &[&str]| ProtocolFinding {
            weight: ProtocolWeight::Error,
            clause: "RFC 3261 §8.2.6.2".into(),
            expected: "a tag".into(),
            message: "200 to MESSAGE".into(),
            count: 1,
            places: cases
                .iter()
                .map(|case| ProtocolPlace {
                    case: (*case).to_owned(),
                    event: 0,
                    range: (0, 0),
                })
                .collect(),
            waiver: None,
        };
        let mut record = record(&[("PG-06", Verdict::Pass), ("PG-07", Verdict::Pass)]);
        record.protocol = vec![finding(&["PG-06[a=b]"]), finding(&["PG-06", "PG-07"])];
        let clause = Some("RFC 3261 §8.2.6.2");
        let waivers = [
            waiver((clause, Some("PG-06")), "2027-01-01", &["PG-06"]),
            waiver((None, Some("PG-06")), "2027-01-01", &["PG-06"]),
        ];
        apply(&mut record, &waivers, day(TODAY));
        assert!(record.protocol[0].waiver.is_some());
        assert!(record.protocol[1].waiver.is_none());
        let states: Vec<WaiverState> = record.waivers.iter().map(|it| it.state).collect();
        assert_eq!(states, [WaiverState::Used, WaiverState::Stale]);
    }
}
