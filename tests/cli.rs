//! What the commands print, and how they end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod support;

use support::{Bench, root};

/// Two mistakes in one file, both told at once.
const BROKEN: &str = "id: PG-902\ntitle: Broken\npurpose: None.\ncovers: [DM-STORE-2]\nusers: { alice: online, bob: offline }\nsteps:\n  - message: { from: alice, to: bobb, boddy: x }\n";

#[test]
fn a_mistake_is_shown_with_place_caret_and_suggestion() {
    let bench = Bench::new();
    bench.write("broken.yaml", BROKEN);
    let ended = bench.imspec(&["check", "broken.yaml"]).expect(2);
    insta::assert_snapshot!(format!("{}{}", ended.stdout, ended.stderr));
}

#[test]
fn a_run_with_a_broken_scenario_runs_nothing() {
    let bench = Bench::new();
    bench.write("suite/broken.yaml", BROKEN);
    let ended = bench
        .imspec(&["run", "--scenarios", "suite", "--out", "out"])
        .expect(2);
    assert!(ended.stderr.contains("broken.yaml:"), "{}", ended.stderr);
    assert!(!bench.path("out").exists());
}

#[test]
fn a_broken_profile_is_shown_and_nothing_is_run() {
    let bench = Bench::new();
    bench.write("profile.yaml", "name: x\nsut: { product: y }\npixit:\n  target: { udpp: \"127.0.0.1:5060\" }\n  domain: example.org\n");
    let ended = bench
        .imspec(&["run", "--profile", "profile.yaml", "--out", "out"])
        .expect(2);
    insta::assert_snapshot!(ended.stderr);
    assert!(!bench.path("out").exists());
}

#[test]
fn a_waiver_for_what_does_not_exist_is_shown_and_nothing_is_run() {
    let bench = Bench::new();
    let waiver = |what: &str| {
        format!(
            "waivers:\n  - {what}\n    reason: known\n    issue: https://example.org/1\n    until: 2027-01-31\n"
        )
    };
    bench.write("waivers.yaml", &waiver("case: PG-O6"));
    let args = ["run", "PG-06", "--waivers", "waivers.yaml", "--out", "out"];
    let ended = bench.imspec(&args).expect(2);
    insta::assert_snapshot!(ended.stderr);
    assert!(!bench.path("out").exists());
    let ended = bench.imspec(&["check", "waivers.yaml"]).expect(2);
    assert!(
        ended.stdout.contains("waivers.yaml:2:11"),
        "{}",
        ended.stdout
    );
    bench.write("waivers.yaml", &waiver("requirement: DM-STORE-02"));
    let ended = bench.imspec(&["check", "waivers.yaml"]).expect(0);
    assert_eq!(ended.stdout, "1 waiver without error\n");
}

#[test]
fn every_bundled_scenario_is_valid() {
    let bench = Bench::new();
    bench
        .imspec(&["check", root().join("scenarios/suite").to_str().unwrap()])
        .expect(0);
}

#[test]
fn a_selection_that_selects_nothing_is_a_mistake() {
    let bench = Bench::new();
    let ended = bench.imspec(&["run", "PG-1000", "--out", "out"]).expect(2);
    assert!(ended.stderr.contains("PG-1000"), "{}", ended.stderr);
}

#[test]
fn an_unknown_option_is_wrong_usage_and_help_is_not() {
    let bench = Bench::new();
    bench.imspec(&["run", "--nonsense"]).expect(2);
    let help = bench.imspec(&["--help"]).expect(0).stdout;
    insta::assert_snapshot!(help);
}

#[test]
fn explain_knows_requirements_and_suggests() {
    let bench = Bench::new();
    insta::assert_snapshot!(bench.imspec(&["explain", "DM-MID-08"]).expect(0).stdout);
    let ended = bench.imspec(&["explain", "DM-EXP-1O"]).expect(2);
    assert!(format!("{}{}", ended.stdout, ended.stderr).contains("DM-EXP-10"));
}

#[test]
fn the_example_configuration_of_the_server_is_its_default() {
    let bench = Bench::new();
    let printed = bench.imspec(&["serve", "--print-config"]).expect(0).stdout;
    assert!(printed.contains("domain: example.org"), "{printed}");
}

#[test]
fn an_unknown_fault_is_answered_with_a_near_one() {
    let bench = Bench::new();
    let ended = bench
        .imspec(&["serve", "--fault", "drops-subjects"])
        .expect(2);
    insta::assert_snapshot!(ended.stderr);
    assert_eq!(ended.stdout, "");
}

#[test]
fn faults_are_listed_by_name_id_and_requirement() {
    let bench = Bench::new();
    let listed = bench.imspec(&["faults", "drops-subject", "M-027", "DM-DRV-02"]);
    insta::assert_snapshot!(listed.expect(0).stdout);
    let ended = bench.imspec(&["faults", "M-999"]).expect(2);
    assert!(ended.stderr.contains("M-999"), "{}", ended.stderr);
}

#[test]
fn a_fault_is_proved_to_be_caught() {
    let bench = Bench::new();
    let proved = bench
        .imspec(&["faults", "--prove", "M-027", "--out", "out", "--json"])
        .expect(0);
    let proof: serde_json::Value = serde_json::from_str(&proved.stdout).unwrap();
    let trial = &proof["trials"][0];
    assert_eq!(trial["fault"], "answer-with-body");
    assert_eq!(trial["fate"], "caught");
    assert_eq!(trial["caught_by"]["PG-03"][0], "RFC3428-7-2xx-body");
    assert!(bench.read("out/proof.md").contains("| answer-with-body |"));
    assert!(bench.read("out/proof.txt").contains("1 fault: 1 caught"));
}

#[test]
fn a_record_is_rendered_again_for_other_readers() {
    let bench = Bench::new();
    bench.imspec(&["run", "PG-01", "--out", "out"]).expect(0);
    let ended = bench
        .imspec(&["report", "out", "--format", "tap", "--out", "-"])
        .expect(0);
    assert!(
        ended.stdout.starts_with("TAP version 14\n1.."),
        "{}",
        ended.stdout
    );
    bench
        .imspec(&["report", "out", "--format", "ctrf,github,zst"])
        .expect(0);
    assert!(bench.path("out/ctrf.json").exists() && bench.path("out/annotations.txt").exists());
    let ladder = ["report", "out/run.json.zst", "--ladder", "pg-01"];
    let packed = bench.imspec(&ladder).expect(0).stdout;
    assert!(
        packed.contains("MESSAGE") && !packed.contains('\u{1b}'),
        "{packed}"
    );
    assert_eq!(
        bench
            .imspec(&["report", "out", "--ladder", "PG-01"])
            .expect(0)
            .stdout,
        packed
    );
    let capture = bench.path("out/one.pcapng");
    bench
        .imspec(&[
            "report",
            "out",
            "--pcapng",
            capture.to_str().unwrap(),
            "--case",
            "PG-01",
        ])
        .expect(0);
    assert!(std::fs::metadata(&capture).unwrap().len() > 1_000);
    let ended = bench
        .imspec(&["report", "out", "--ladder", "PG-O1"])
        .expect(2);
    insta::assert_snapshot!(ended.stderr);
}
