//! Records that are judged again or compared, without their server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod support;

use std::path::Path;
use std::sync::Arc;

use imspec::bundled;
use imspec::catalogue::Catalogue;
use imspec::document::Source;
use imspec::rejudge::{Rejudged, Rules, rejudge};
use imspec::scenario::Scenario;
use imspec_reports::change::Turn;
use imspec_reports::record::{FindingKind, JudgedAgain, Level, RunRecord, UtcTime, Verdict};
use support::{Bench, Relay, Server, without_header};

/// Cases of every kind: store and wire, both modes, policy lanes, restarts, time, and some that are set aside.
const SOME: [&str; 8] = [
    "PG-05", "PG-32", "MS-01", "EX-01", "DU-01", "PO-01", "DL-0*", "RB-0*",
];

fn record(bench: &Bench, folder: &str) -> RunRecord {
    imspec_reports::read(&bench.path(&format!("{folder}/run.json"))).unwrap()
}

/// Judges by this suite and catalogue, with the waivers of the record.
fn again(record: RunRecord, scenarios: &[Arc<Scenario>], catalogue: &Catalogue) -> Rejudged {
    let rules = Rules {
        scenarios,
        catalogue,
        waivers: None,
        today: "2026-11-24".parse().unwrap(),
        judge: JudgedAgain {
            tool: "0.1.0".into(),
            at: UtcTime { unix_us: 0 },
        },
    };
    rejudge(record, &rules).unwrap()
}

/// A server that loses the Subject of PG-06, behind a relay.
fn loses_subject(bench: &Bench) -> RunRecord {
    let server = Server::start(bench, "");
    let relay = Relay::start(server.udp, |octets| {
        without_header(without_header(octets, "Subject"), "s")
    });
    let profile = bench.black_box(relay.at, Some(server.control), "");
    let profile = profile.to_str().unwrap();
    let args = [
        "run",
        "PG-01",
        "PG-06",
        "--profile",
        profile,
        "--out",
        "out",
    ];
    bench.imspec(&args).expect(1);
    record(bench, "out")
}

#[test]
fn by_the_rules_of_the_run_a_record_comes_out_as_it_is() {
    let bench = Bench::new();
    let mut args = vec!["run", "--out", "out"];
    args.extend(SOME);
    // Whatever came out of it on a machine that is busy with other things.
    let status = bench.imspec(&args).status;
    let ended = bench
        .imspec(&["judge", "out", "--out", "again"])
        .expect(status);
    assert!(
        ended.stdout.contains("nothing: every case"),
        "{}",
        ended.stdout
    );
    let (was, is) = (record(&bench, "out"), record(&bench, "again"));
    assert!(was.cases.len() > 40 && was.judged_again.is_none());
    assert!(is.judged_again.is_some());
    let is = RunRecord {
        judged_again: None,
        ..is
    };
    assert!(is == was, "the records differ");
    // Judged a third time, from the compressed record, nothing changes either.
    bench
        .imspec(&["report", "again", "--format", "zst"])
        .expect(0);
    bench
        .imspec(&["judge", "again/run.json.zst", "--out", "third"])
        .expect(status);
    assert!(record(&bench, "third").cases == was.cases);
}

#[test]
fn a_server_that_fails_fails_again_until_a_waiver_accepts_it() {
    let bench = Bench::new();
    let was = loses_subject(&bench);
    bench.imspec(&["judge", "out", "--out", "again"]).expect(1);
    assert_eq!(record(&bench, "again").cases, was.cases);
    let waivers = "waivers:\n  - case: PG-06\n    reason: known\n    issue: https://example.org/1\n    until: 2999-12-31\n";
    bench.write("waivers.yaml", waivers);
    let ended = bench
        .imspec(&["judge", "out", "--waivers", "waivers.yaml"])
        .expect(0);
    assert!(
        ended.stdout.contains("→ nonconformity (waived)"),
        "{}",
        ended.stdout
    );
    assert!(ended.stdout.contains("changed  0 of "), "{}", ended.stdout);
}

#[test]
fn another_level_weighs_the_same_verdicts_otherwise() {
    let bench = Bench::new();
    let was = loses_subject(&bench);
    let texts = ["requirements.yaml", "rfc-rules.yaml"].map(|name| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../scenarios")
            .join(name);
        let text = std::fs::read_to_string(path).unwrap();
        Arc::new(Source::new(
            name,
            text.replace("level: SHALL", "level: SHOULD"),
        ))
    });
    let milder = Catalogue::read(&texts).unwrap();
    let scenarios = bundled::suite(&bundled::catalogue().unwrap()).unwrap();
    let again = again(was, &scenarios, &milder);
    assert!(again.changes.cases.is_empty() && again.suite.is_empty());
    let levels = again.changes.requirements.iter().filter_map(|it| it.level);
    assert!(levels.clone().count() > 0);
    assert!(
        levels
            .into_iter()
            .all(|it| it == (Level::Shall, Level::Should))
    );
    let kinds =
        |record: &RunRecord, kind| record.findings.iter().filter(|it| it.kind == kind).count();
    assert!(kinds(&again.then, FindingKind::Nonconformity) > 0);
    assert_eq!(kinds(&again.record, FindingKind::Nonconformity), 0);
    assert_eq!(
        kinds(&again.record, FindingKind::Deviation),
        kinds(&again.then, FindingKind::Nonconformity) + kinds(&again.then, FindingKind::Deviation)
    );
}

#[test]
fn a_scenario_that_changed_is_judged_as_far_as_its_trace_goes() {
    let scenario = |third: &str| {
        format!(
            "id: XX-01\ntitle: A message is accepted\npurpose: The server accepts.\ncovers: [DM-STORE-01]\nusers: {{ alice: online, bob: online }}\nsteps:\n  - message: {{ from: alice, to: bob, expect: {{ status: [200, 202] }} }}\n  - receive: {{ at: bob, method: MESSAGE }}\n{third}"
        )
    };
    let bench = Bench::new();
    bench.write("suite/xx.yaml", &scenario(""));
    let judge = |text: &str, status| {
        bench.write("suite/xx.yaml", text);
        let ended = bench.imspec(&["judge", "out", "--scenarios", "suite", "--out", "again"]);
        (ended.expect(status).stdout, record(&bench, "again"))
    };
    bench
        .imspec(&["run", "--scenarios", "suite", "--out", "out"])
        .expect(0);

    // Another expectation: the same trace shows that it does not hold.
    let stricter = scenario("").replace("status: [200, 202]", "status: 299");
    let (told, is) = judge(&stricter, 1);
    assert_eq!(is.cases[0].verdict, Verdict::Fail);
    assert!(
        told.contains("1 scenario with another text: XX-01"),
        "{told}"
    );
    assert!(
        told.contains("✗ status pass → fail: expected 299"),
        "{told}"
    );

    // Another step: what was not done cannot be judged.
    let longer = scenario("  - register: { user: bob }\n");
    let (told, is) = judge(&longer, 0);
    assert_eq!(is.cases[0].verdict, Verdict::Inconclusive);
    assert!(told.contains("Run it again"), "{told}");
    assert!(!is.cases[0].trace.events.is_empty());

    // No such scenario any more, and one that was not there.
    let (told, is) = judge(&scenario("").replace("XX-01", "XX-02"), 0);
    assert_eq!(is.cases[0].verdict, Verdict::None);
    assert!(
        told.contains("1 case the run did not have: XX-02"),
        "{told}"
    );
    assert!(!is.cases[0].trace.events.is_empty());

    // As it was: judged again from what the last one wrote, the first verdict is back.
    bench.write("suite/xx.yaml", &scenario(""));
    bench
        .imspec(&["judge", "again", "--scenarios", "suite", "--out", "back"])
        .expect(0);
    assert_eq!(record(&bench, "back").cases[0].verdict, Verdict::Pass);
    let turn = Turn::of(Some(Verdict::None), Some(Verdict::Pass));
    assert_eq!(turn, Some(Turn::New));
}

#[test]
fn a_record_without_its_seed_is_refused() {
    let bench = Bench::new();
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("../reports/records/format-1.json");
    let ended = bench.imspec(&["judge", old.to_str().unwrap()]).expect(2);
    assert!(
        ended.stderr.contains("does not hold the seed"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_build_that_is_worse_than_the_first_has_a_status_of_its_own() {
    let bench = Bench::new();
    loses_subject(&bench);
    let compare = |args: &[&str], status| {
        let mut all = vec!["compare"];
        all.extend(args);
        bench.imspec(&all).expect(status)
    };
    let waivers = "waivers:\n  - case: PG-06\n    reason: known\n    issue: https://example.org/1\n    until: 2999-12-31\n";
    bench.write("waivers.yaml", waivers);
    bench
        .imspec(&[
            "judge",
            "out",
            "--waivers",
            "waivers.yaml",
            "--out",
            "waived",
        ])
        .expect(0);
    compare(&["out", "out"], 0);
    compare(&["out", "waived"], 0);
    // Without the waiver something breaks conformance that did not.
    let ended = compare(&["waived", "out"], 1);
    assert!(
        ended
            .stdout
            .contains("nonconformity (waived) → nonconformity"),
        "{}",
        ended.stdout
    );
    compare(&["waived", "out", "--as", "servers"], 0);
    // One build, twice.
    let ended = compare(&["it=out", "it=waived", "--quiet"], 0);
    assert!(
        ended.stdout.contains("No verdict turned"),
        "{}",
        ended.stdout
    );
    for format in ["markdown", "html"] {
        compare(&["out", "waived", "--format", format, "--out", "page"], 0);
        assert!(bench.read("page").contains("PG-06"));
    }
    let ended = compare(&["out"], 2);
    assert!(
        ended.stderr.contains("nothing beside it"),
        "{}",
        ended.stderr
    );
    compare(&["out", "elsewhere"], 2);
}

#[test]
fn a_run_tells_as_much_as_it_is_asked_to() {
    let bench = Bench::new();
    let run = |more: &[&str]| {
        let mut args = vec!["run", "PG-01", "--out", "out"];
        args.extend(more);
        bench.imspec(&args).expect(0)
    };
    // In a pipe there is no live area, and no colour.
    let usual = run(&[]);
    assert_eq!(usual.stderr, "");
    assert!(!usual.stdout.contains('\u{1b}') && usual.stdout.contains("Reports:"));
    let verbose = run(&["--verbose"]);
    assert!(
        verbose
            .stderr
            .lines()
            .all(|line| line.starts_with("✓ pass")),
        "{}",
        verbose.stderr
    );
    assert!(verbose.stderr.contains("PG-01[") && !verbose.stderr.contains('\u{1b}'));
    let quiet = run(&["--quiet"]);
    assert_eq!(quiet.stderr, "");
    assert!(!quiet.stdout.contains("Reports:"), "{}", quiet.stdout);
    let coloured = run(&["--color", "always"]);
    assert!(coloured.stdout.contains("\u{1b}["), "{}", coloured.stdout);
    bench
        .imspec(&["run", "PG-01", "--quiet", "--verbose"])
        .expect(2);
    // As narrow as it is told.
    let narrow = bench
        .command(&["report", "out", "--ladder", "PG-01"])
        .env("COLUMNS", "60")
        .output();
    let narrow = String::from_utf8(narrow.unwrap().stdout).unwrap();
    assert!(
        narrow.lines().all(|line| line.chars().count() <= 60),
        "{narrow}"
    );
}
