#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use imspec_reports::record::{CaseRecord, Finding, FindingKind, Location, Trace, UtcTime, Verdict};

use super::*;
use crate::bundled;
use crate::plan::{Plan, Selection, shard};
use crate::scenario::Scenario;
use crate::sut::Profile;

/// A whole plan over some scenarios of the suite, and what "runs" it: each case gets a verdict that depends on
/// its id alone.
struct Bench {
    catalogue: Catalogue,
    scenarios: Vec<Arc<Scenario>>,
    waivers: Vec<Waiver>,
    profile: Profile,
}

const TODAY: &str = "2026-11-23";

fn today() -> Date {
    TODAY.parse().unwrap()
}

impl Bench {
    fn new() -> Self {
        let catalogue = bundled::catalogue().unwrap();
        let scenarios = bundled::suite(&catalogue).unwrap();
        let text = "waivers:\n  - { case: PG-05, reason: r, issue: i, until: 2027-01-01 }\n  - { requirement: DM-STORE-02, reason: r, issue: i, until: 2027-01-01 }\n  - { case: PG-01, reason: r, issue: i, until: 2026-01-01 }\n";
        let source = Arc::new(crate::document::Source::new("w.yaml", text));
        let waivers = judge::waiver::read(&source, &scenarios, &catalogue).unwrap();
        Self {
            catalogue,
            scenarios,
            waivers,
            profile: bundled::reference_profile().unwrap(),
        }
    }

    /// The plan, made once: the shards of a suite are a matter of dealing.
    fn plan(&self, words: &[&str]) -> (Plan, PlanRecord) {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let selection = Selection::parse(&words, &[], &self.scenarios, &self.catalogue).unwrap();
        let context = plan::Context {
            pics: &self.profile.pics,
            settable: &self.profile.settable(),
            domain: &self.profile.pixit.domain,
            transport: self.profile.pixit.transport.as_str(),
            few: None,
            seed: 7,
        };
        let plan = plan::plan(&self.scenarios, &selection, &context);
        let made = plan::record::Made {
            scenarios: &self.scenarios,
            catalogue: &self.catalogue,
            selection: &selection,
        };
        let planned = PlanRecord {
            seed: Some(7),
            time_budget_ms: 60_000,
            ..plan::record::describe(&plan, &made)
        };
        (plan, planned)
    }

    fn run(&self, (plan, planned): (Plan, PlanRecord), shard: Option<Shard>) -> RunRecord {
        let plan = match shard {
            Some(shard) => shard::take(shard, plan),
            None => plan,
        };
        let (cases, findings) = outcome(&plan);
        let number = shard.map_or(0, |shard| shard.number);
        let facts = RunFacts {
            tool: "0.1.0".into(),
            started: UtcTime {
                unix_us: 1_000_000 - i64::from(number),
            },
            duration_us: 5,
            store_time_s: 2.0,
            interrupted: None,
            judged_again: None,
            plan: PlanRecord { shard, ..planned },
            profile: self.profile.record(),
            today: today(),
        };
        judge::assemble(facts, cases, findings, &self.waivers, &self.catalogue)
    }

    fn shards(&self, words: &[&str], of: u32) -> Vec<Part> {
        let planned = self.plan(words);
        let part = |number| Part {
            file: format!("{number}/run.json"),
            record: self.run(planned.clone(), Some(Shard { number, of })),
        };
        (1..=of).map(part).collect()
    }

    fn merge(&self, parts: Vec<Part>) -> Result<RunRecord, MergeError> {
        merge(parts, &self.catalogue, today())
    }

    fn refused(&self, change: impl FnOnce(&mut Vec<Part>)) -> String {
        let mut parts = self.shards(&["PG-05", "PG-06"], 3);
        change(&mut parts);
        self.merge(parts).unwrap_err().to_string()
    }
}

fn outcome(plan: &Plan) -> (Vec<CaseRecord>, Vec<Finding>) {
    let (mut cases, mut findings) = (Vec::new(), Vec::new());
    let aside = plan.set_aside.iter().map(|it| &it.case);
    for case in plan.cases().chain(aside) {
        let verdict = match case.id.len() % 3 {
            0 => Verdict::Pass,
            1 => Verdict::Fail,
            _ => Verdict::Inconclusive,
        };
        if verdict == Verdict::Fail {
            findings.extend(case.scenario.covers.iter().map(|requirement| Finding {
                kind: FindingKind::Nonconformity,
                requirement: requirement.clone(),
                case: case.id.clone(),
                check: None,
                summary: "it is so".into(),
                waiver: None,
            }));
        }
        cases.push(CaseRecord {
            id: case.id.clone(),
            scenario: case.scenario.id.clone(),
            title: case.scenario.title.clone(),
            purpose: case.scenario.purpose.clone(),
            covers: case.scenario.covers.clone(),
            source: Location {
                file: "a.yaml".into(),
                line: 1,
                column: 1,
            },
            text: String::new(),
            matrix: case.matrix.clone(),
            verdict,
            reason: None,
            earlier: None,
            checks: Vec::new(),
            trace: Trace::default(),
            duration_us: 1,
        });
    }
    (cases, findings)
}

#[test]
fn joined_shards_are_the_unsplit_run() {
    let bench = Bench::new();
    for (words, of) in [
        (vec!["PG-*", "DU-*", "DM-EXP-10"], 5),
        (vec!["PG-01"], 1),
        (vec!["PG-01"], 9),
    ] {
        let whole = bench.run(bench.plan(&words), None);
        let mut parts = bench.shards(&words, of);
        // In whatever order they are given.
        parts.reverse();
        let mut joined = bench.merge(parts).unwrap();
        assert_eq!(joined.duration_us, 5 * u64::from(of));
        assert_eq!(joined.started.unix_us, 1_000_000 - i64::from(of));
        assert_eq!(joined.plan.joined.len(), of as usize);
        let cases: u32 = joined.plan.joined.iter().map(|it| it.cases).sum();
        assert_eq!(cases, whole.plan.cases);
        // What is of one run by nature.
        joined.duration_us = whole.duration_us;
        joined.started = whole.started;
        joined.store_time_s = whole.store_time_s;
        joined.plan.joined.clear();
        assert_eq!(joined, whole);
    }
}

#[test]
fn a_shard_calls_no_waiver_stale_that_another_may_need() {
    let bench = Bench::new();
    let words = ["PG-01", "PG-05", "PG-06"];
    let whole = bench.run(bench.plan(&words), None);
    assert_eq!(whole.stale_waivers().count(), 1);
    for part in bench.shards(&words, 9) {
        let record = part.record;
        let has = record.cases.iter().any(|case| case.scenario == "PG-01");
        assert_eq!(record.stale_waivers().count(), usize::from(has));
    }
}

#[test]
fn seeds_that_differ_are_no_seed_of_the_whole() {
    let bench = Bench::new();
    let mut parts = bench.shards(&["PG-05"], 2);
    parts[1].record.plan.seed = Some(8);
    let joined = bench.merge(parts).unwrap();
    assert_eq!(joined.plan.seed, None);
    let seeds: Vec<_> = joined.plan.joined.iter().map(|it| it.seed).collect();
    assert_eq!(seeds, [Some(7), Some(8)]);
}

#[test]
fn an_interrupted_shard_interrupts_the_whole() {
    let bench = Bench::new();
    let mut parts = bench.shards(&["PG-05", "PG-06"], 2);
    parts[1].record.interrupted = Some("Ctrl-C".into());
    parts[1].record.cases.pop();
    let joined = bench.merge(parts).unwrap();
    assert_eq!(joined.interrupted.as_deref(), Some("Ctrl-C (shard 2/2)"));
}

#[test]
fn what_does_not_fit_together_is_refused_with_what_to_do() {
    let bench = Bench::new();
    let refused = [
        bench.refused(Vec::clear),
        bench.refused(|parts| drop(parts.remove(1))),
        bench.refused(|parts| parts.truncate(1)),
        bench.refused(|parts| {
            parts.truncate(1);
            parts[0].record.plan.shard = Some(Shard {
                number: 1,
                of: u32::MAX,
            });
        }),
        bench.refused(|parts| {
            let mut again = parts[1].clone();
            again.file = "again/run.json".into();
            parts.push(again);
        }),
        bench.refused(|parts| parts[2].record.plan.shard = None),
        bench.refused(|parts| parts[2].record.plan.shard = Some(Shard { number: 3, of: 4 })),
        bench.refused(|parts| parts[2].record.tool = "0.2.0".into()),
        bench.refused(|parts| parts[2].record.profile.name = "kamailio".into()),
        bench.refused(|parts| parts[2].record.profile.sut = "Kamailio 5.6".into()),
        bench.refused(|parts| {
            let pics = &mut parts[2].record.profile.pics;
            pics.insert("expire.marking".into(), "off".into());
        }),
        bench.refused(|parts| {
            parts[2].record.profile.adapters.remove("store");
        }),
        bench.refused(|parts| parts[2].record.plan.suite = "another".into()),
        bench.refused(|parts| {
            parts[2].record = bench.run(bench.plan(&["PG-05"]), Some(Shard { number: 3, of: 3 }));
        }),
        bench.refused(|parts| parts[2].record.plan.time_budget_ms = 1),
        bench.refused(|parts| drop(parts[2].record.waivers.pop())),
        bench.refused(|parts| drop(parts[2].record.cases.pop())),
        bench.refused(|parts| {
            for part in parts {
                part.record.plan.catalogue = "another".into();
            }
        }),
        bench.refused(|parts| {
            for part in parts {
                part.record.waivers[0].until = "soon".into();
            }
        }),
    ];
    insta::assert_snapshot!(refused.join("\n\n"));
}
