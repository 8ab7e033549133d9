//! Runs that are split over processes, and what is made of their records.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod support;

use serde_json::{Value, json};
use support::{Bench, Ended, Relay, Server, without_header};

impl Bench {
    /// Runs all shards of a run, one after the other, into `shard-1` and so on.
    fn shards(&self, of: u32, args: &[&str]) -> Vec<Ended> {
        let run = |number| {
            let (shard, out) = (format!("{number}/{of}"), format!("shard-{number}"));
            let mut all = vec!["run", "--shard", &shard, "--out", &out];
            all.extend(args);
            self.imspec(&all)
        };
        (1..=of).map(run).collect()
    }

    fn merge(&self, of: u32, more: &[&str]) -> Ended {
        let folders: Vec<String> = (1..=of).map(|number| format!("shard-{number}")).collect();
        let mut args = vec!["merge", "--out", "out"];
        args.extend(folders.iter().map(String::as_str));
        args.extend(more);
        self.imspec(&args)
    }

    fn record_in(&self, folder: &str) -> Value {
        serde_json::from_str(&self.read(&format!("{folder}/run.json"))).unwrap()
    }
}

/// What must be the same however a run was split: all but times, ports, tags and what follows from these. With
/// the same seed also what the agents wrote.
fn outcome(record: &Value, same_seed: bool) -> Value {
    let each = |list: &str, keys: &[&str]| -> Vec<Value> {
        let list = record[list].as_array().unwrap();
        let pick = |it: &Value| keys.iter().map(|key| it[key].clone()).collect();
        list.iter().map(pick).collect()
    };
    let checks = |case: &Value| -> Vec<Value> {
        let keys = ["step", "subject", "verdict", "requirements", "observation"];
        let checks = case["checks"].as_array().unwrap().iter();
        checks
            .map(|check| keys.iter().map(|key| check[key].clone()).collect())
            .collect()
    };
    let texts = |case: &Value| same_seed.then(|| texts(case));
    let cases = record["cases"].as_array().unwrap().iter();
    let cases: Vec<Value> = cases
        .map(|case| {
            json!([
                case["id"],
                case["verdict"],
                case["covers"],
                checks(case),
                texts(case)
            ])
        })
        .collect();
    json!({
        "cases": cases,
        "requirements": record["requirements"],
        "findings": each("findings", &["kind", "requirement", "case", "check", "waiver"]),
        "protocol": each("protocol", &["weight", "clause", "expected", "message"]),
        "readings": record["readings"],
        "waivers": record["waivers"],
        "profile": record["profile"],
        "selection": record["plan"]["selection"],
        "seed": same_seed.then(|| record["plan"]["seed"].clone()),
    })
}

/// What the agents wrote: it depends on the seed and on nothing else.
fn texts(case: &Value) -> Vec<String> {
    let mut texts: Vec<String> = case["trace"]["events"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|event| event["kind"]["sent"]["octets"].as_str())
        .filter(|octets| octets.starts_with("MESSAGE "))
        .map(|octets| {
            let line = octets.lines().next().unwrap_or_default();
            let body = octets.split_once("\r\n\r\n").map_or("", |(_, body)| body);
            format!("{line}\n{body}")
        })
        .collect();
    texts.sort();
    texts.dedup();
    texts
}

#[test]
fn joined_shards_say_what_the_unsplit_run_says() {
    let bench = Bench::new();
    // Cases that share a server, cases that have one of their own, cases that the profile excludes.
    let what = ["PG-01", "PG-32", "EX-01", "DU-01", "PO-01", "--seed", "7"];
    let mut args = vec!["run", "--out", "whole"];
    args.extend(what);
    bench.imspec(&args).expect(0);
    let whole = bench.record_in("whole");
    for ended in bench.shards(3, &what) {
        let ended = ended.expect(0);
        assert!(ended.stdout.contains("· shard "), "{}", ended.stdout);
    }
    let ended = bench.merge(3, &[]).expect(0);
    assert!(
        ended.stdout.contains("joined of 3 shards"),
        "{}",
        ended.stdout
    );
    let merged = bench.record();
    assert!(whole["cases"].as_array().unwrap().len() > 6);
    assert_eq!(outcome(&merged, true), outcome(&whole, true));
    let sizes: Vec<usize> = (1..=3)
        .map(|number| {
            let record = bench.record_in(&format!("shard-{number}"));
            record["cases"].as_array().unwrap().len()
        })
        .collect();
    assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
    for report in ["junit.xml", "summary.md", "report.html"] {
        assert!(bench.path(&format!("out/{report}")).exists(), "{report}");
    }
}

#[test]
fn the_status_of_a_merge_is_that_of_the_run_with_its_waivers() {
    let bench = Bench::new();
    let server = Server::start(&bench, "");
    let relay = Relay::start(server.udp, |octets| {
        without_header(without_header(octets, "Subject"), "s")
    });
    let profile = bench.black_box(relay.at, Some(server.control), "");
    let profile = profile.to_str().unwrap();
    let waivers = |more: &str| {
        let text = format!(
            "waivers:\n  - case: PG-06\n    reason: known\n    issue: https://example.org/1\n    until: 2999-12-31\n{more}"
        );
        bench.write("waivers.yaml", &text);
    };
    let what = ["PG-06", "PG-01", "--profile", profile];
    for ended in bench.shards(2, &what) {
        assert!(matches!(ended.status, 0 | 1), "{ended:?}");
    }
    bench.merge(2, &[]).expect(1);
    let mut whole = vec!["run", "--out", "whole"];
    whole.extend(what);
    bench.imspec(&whole).expect(1);
    let (merged, whole) = (bench.record(), bench.record_in("whole"));
    assert!(!merged["findings"].as_array().unwrap().is_empty());
    assert_eq!(outcome(&merged, false), outcome(&whole, false));

    waivers("");
    let mut waived = what.to_vec();
    waived.extend(["--waivers", "waivers.yaml"]);
    for ended in bench.shards(2, &waived) {
        ended.expect(0);
    }
    let ended = bench.merge(2, &[]).expect(0);
    assert!(ended.stdout.contains("PG-06: known"), "{}", ended.stdout);
    bench.merge(2, &["--inconclusive=fail"]).expect(6);

    // Only all cases of PG-01 together show that nothing needs it.
    waivers(
        "  - case: PG-01\n    reason: gone\n    issue: https://example.org/2\n    until: 2999-12-31\n",
    );
    for ended in bench.shards(2, &waived) {
        ended.expect(0);
    }
    let ended = bench.merge(2, &[]).expect(3);
    assert!(
        ended.stdout.contains("stale waiver") && ended.stdout.contains("PG-01: gone"),
        "{}",
        ended.stdout
    );
}

#[test]
fn what_cannot_be_joined_is_refused_and_nothing_is_written() {
    let bench = Bench::new();
    for ended in bench.shards(2, &["PG-32"]) {
        ended.expect(0);
    }
    let refused = |args: &[&str]| {
        let mut all = vec!["merge", "--out", "out"];
        all.extend(args);
        let ended = bench.imspec(&all).expect(2);
        assert!(!bench.path("out").exists());
        ended.stderr
    };
    insta::assert_snapshot!(refused(&["shard-1"]));
    insta::assert_snapshot!(refused(&["shard-1", "shard-1/run.json"]));
    bench.write("odd/run.json", "{}");
    insta::assert_snapshot!(refused(&["shard-1", "odd"]));
    let text = bench.read("shard-2/run.json");
    bench.write(
        "odd/run.json",
        &text.replacen("\"format\": 2", "\"format\": 1", 1),
    );
    insta::assert_snapshot!(refused(&["shard-1", "odd"]));
    bench.write(
        "odd/run.json",
        &text.replacen("\"format\": 2", "\"format\": 3", 1),
    );
    insta::assert_snapshot!(refused(&["shard-1", "odd"]));
    let missing = refused(&["shard-1", "none.json"]);
    assert!(missing.starts_with("error: none.json: "), "{missing}");
    bench.imspec(&["run", "PG-32", "--out", "whole"]).expect(0);
    insta::assert_snapshot!(refused(&["whole"]));
}

#[test]
fn a_shard_out_of_range_is_wrong_usage_and_an_empty_one_is_not() {
    let bench = Bench::new();
    let ended = bench.imspec(&["run", "--shard", "6/5"]).expect(2);
    insta::assert_snapshot!(ended.stderr);
    let ended = bench.imspec(&["run", "--shard", "two of five"]).expect(2);
    insta::assert_snapshot!(ended.stderr);
    let args = ["run", "PG-32", "--shard", "9999/9999", "--out", "out"];
    bench.imspec(&args).expect(0);
    assert_eq!(bench.record()["cases"], json!([]));
}
