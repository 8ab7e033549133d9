//! Whole runs over real sockets: a server that conforms, servers that do not, servers that go away.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod support;

use std::io::Read as _;

use serde_json::Value;
use support::{Bench, Relay, Server, free_port, get, until, without_header};

fn cases(record: &Value) -> &Vec<Value> {
    record["cases"].as_array().unwrap()
}

fn findings<'a>(record: &'a Value, kind: &str) -> Vec<&'a Value> {
    record["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["kind"] == kind)
        .collect()
}

fn verdict<'a>(record: &'a Value, id: &str) -> &'a str {
    cases(record)
        .iter()
        .find(|case| case["id"] == id)
        .unwrap_or_else(|| panic!("no case {id}"))["verdict"]
        .as_str()
        .unwrap()
}

#[test]
fn the_reference_server_conforms_and_every_case_is_judged() {
    let bench = Bench::new();
    bench
        .imspec(&["run", "--out", "out", "--seed", "7"])
        .expect(0);
    let record = bench.record();
    let odd: Vec<String> = cases(&record)
        .iter()
        .filter(|case| !matches!(case["verdict"].as_str().unwrap(), "pass" | "not-applicable"))
        .map(|case| format!("{} {}: {}", case["id"], case["verdict"], case["reason"]))
        .collect();
    assert!(odd.is_empty(), "{odd:#?}");
    let waited = record["store_time_s"].as_f64().unwrap();
    assert!(
        waited > 30.0 * 86400.0,
        "the waits add up to {waited} s only"
    );
    for report in ["junit.xml", "report.html"] {
        assert!(
            bench.read(&format!("out/{report}")).len() > 10_000,
            "{report} is there and says something"
        );
    }
}

#[test]
fn a_black_box_without_adapters_is_judged_by_the_wire() {
    let bench = Bench::new();
    let server = Server::start(&bench, "");
    let profile = bench.black_box(
        server.udp,
        Some(server.control),
        ", expire.default.pm: none",
    );
    bench
        .imspec(&[
            "run",
            "PG-01",
            "--profile",
            profile.to_str().unwrap(),
            "--out",
            "out",
        ])
        .expect(0);
    let record = bench.record();
    assert!(findings(&record, "nonconformity").is_empty());
    let seen: Vec<&str> = cases(&record)
        .iter()
        .flat_map(|case| case["checks"].as_array().unwrap())
        .filter(|check| check["verdict"] == "pass")
        .map(|check| check["observation"].as_str().unwrap())
        .collect();
    assert!(
        !seen.is_empty() && seen.iter().all(|how| *how == "wire"),
        "{seen:?}"
    );
}

#[test]
fn cases_share_the_few_accounts_of_a_black_box() {
    let bench = Bench::new();
    let names = ["one", "two", "three"];
    let accounts = names.map(|name| format!("\"sip:{name}@example.org\""));
    let server = Server::start(&bench, &format!("accounts: [{}]\n", accounts.join(", ")));
    let profile = bench.black_box(server.udp, None, "");
    let text = std::fs::read_to_string(&profile).unwrap();
    let text = text.replace("provision: none", &format!("list: [{}]", names.join(", ")));
    std::fs::write(&profile, text).unwrap();
    let path = profile.to_str().unwrap().to_owned();
    // Of these some leave messages behind on purpose, and none may find what another has left.
    let args = [
        "run",
        "DL-02",
        "DL-03",
        "DL-37",
        "--profile",
        &path,
        "--out",
        "out",
    ];
    for _ in 0..2 {
        bench.imspec(&args).expect(0);
        let record = bench.record();
        assert!(findings(&record, "nonconformity").is_empty());
        let pass = cases(&record)
            .iter()
            .filter(|case| case["verdict"] == "pass")
            .count();
        let reasons = record["cases"].to_string();
        assert!(!reasons.contains("given to no case any more"), "{reasons}");
        assert!(pass >= 2, "{pass} of {}", cases(&record).len());
        for case in cases(&record) {
            for (role, uri) in case["trace"]["users"].as_object().unwrap() {
                let uri = uri.as_str().unwrap();
                let known = names
                    .iter()
                    .any(|name| uri == format!("sip:{name}@example.org"));
                assert!(known, "{role}: {uri}");
            }
        }
    }
}

/// An application server has one next hop for all users of all cases.
#[test]
fn all_users_of_an_s_cscf_are_found_at_one_address() {
    let bench = Bench::new();
    let server = Server::start(&bench, "trust: { core: [\"127.0.0.1\"] }\n");
    let profile = bench.black_box(server.udp, Some(server.control), "");
    let address = format!("127.0.0.1:{}", free_port());
    let text = std::fs::read_to_string(&profile).unwrap().replace(
        "  domain: example.org\n",
        &format!(
            "  domain: example.org\n  registration: {{ third-party: {{ address: \"{address}\" }} }}\n"
        ),
    );
    std::fs::write(&profile, text).unwrap();
    let path = profile.to_str().unwrap();
    bench
        .imspec(&["run", "DL-0*", "--profile", path, "--out", "out"])
        .expect(0);
    let record = bench.record();
    assert!(findings(&record, "nonconformity").is_empty());
    let (mut pass, mut delivered) = (0, 0);
    for case in cases(&record) {
        assert_ne!(case["verdict"], "error", "{case}");
        pass += usize::from(case["verdict"] == "pass");
        for event in case["trace"]["events"].as_array().unwrap() {
            let received = &event["kind"]["received"];
            let octets = received["octets"].as_str().unwrap_or_default();
            if octets.starts_with("MESSAGE ") {
                delivered += 1;
                assert_eq!(received["local"], address.as_str());
                let user = octets["MESSAGE sip:".len()..].split('@').next().unwrap();
                let of_role = case["trace"]["users"][received["user"].as_str().unwrap()].as_str();
                assert!(of_role.unwrap().contains(user), "{user}");
            }
        }
    }
    assert!(
        pass >= 3 && delivered >= 3,
        "{pass} pass, {delivered} delivered"
    );
}

#[test]
fn a_server_that_loses_subject_is_caught_on_the_wire_alone() {
    let bench = Bench::new();
    let server = Server::start(&bench, "");
    let relay = Relay::start(server.udp, |octets| {
        without_header(without_header(octets, "Subject"), "s")
    });
    let profile = bench.black_box(relay.at, Some(server.control), "");
    let ended = bench
        .imspec(&[
            "run",
            "PG-06",
            "--profile",
            profile.to_str().unwrap(),
            "--out",
            "out",
        ])
        .expect(1);
    let record = bench.record();
    let lost = findings(&record, "nonconformity");
    assert!(
        lost.iter()
            .any(|finding| finding["requirement"] == "DM-STORE-02"),
        "{lost:#?}"
    );
    assert!(ended.stdout.contains("DM-STORE-02"), "{}", ended.stdout);
    assert!(bench.read("out/report.html").contains("DM-STORE-02"));
    assert!(bench.read("out/junit.xml").contains("<failure"));
}

#[test]
fn agents_show_who_they_are_and_no_report_tells_how() {
    let bench = Bench::new();
    let policy = "policy: { auth.register: digest, auth.sender: digest }\n";
    let server = Server::start(&bench, policy);
    let profile = bench.black_box(server.udp, Some(server.control), "");
    let path = profile.to_str().unwrap().to_owned();
    let args = ["run", "PG-01", "IS-01", "--profile", &path, "--out", "out"];
    bench.imspec(&args).expect(0);
    let record = bench.record();
    assert!(cases(&record).iter().all(|case| case["verdict"] != "pass"));
    let reasons = record["cases"].to_string();
    assert!(
        reasons.contains("give `pixit.accounts.password`"),
        "{reasons}"
    );

    let text = std::fs::read_to_string(&profile).unwrap();
    let text = text.replace(
        "provision: control",
        "provision: control, password: \"s3cret-of-${user}\"",
    );
    std::fs::write(&profile, text).unwrap();
    let ended = bench.imspec(&args).expect(0);
    let record = bench.record();
    let checks = |verdict: &str| {
        let cases = cases(&record).iter();
        cases
            .flat_map(|case| case["checks"].as_array().unwrap())
            .filter(|check| check["verdict"] == verdict)
            .count()
    };
    assert!(checks("pass") > 0 && checks("fail") == 0, "{record}");
    let all: Vec<String> = [
        "out/run.json",
        "out/report.html",
        "out/junit.xml",
        "out/summary.md",
    ]
    .iter()
    .map(|name| bench.read(name))
    .chain([ended.stdout, ended.stderr])
    .collect();
    assert!(
        all[0].contains("Proxy-Authorization: Digest username="),
        "they were shown"
    );
    let digest = regex::Regex::new("(?i)response=[^*0-9a-f]{0,12}[0-9a-f]{32}").unwrap();
    for text in &all {
        assert!(!text.contains("s3cret"));
        assert!(!digest.is_match(text), "{:?}", digest.find(text));
    }
}

#[test]
fn a_waiver_accepts_a_finding_and_a_stale_one_is_told() {
    let bench = Bench::new();
    let server = Server::start(&bench, "");
    let relay = Relay::start(server.udp, |octets| {
        without_header(without_header(octets, "Subject"), "s")
    });
    let profile = bench.black_box(relay.at, Some(server.control), "");
    let profile = profile.to_str().unwrap();
    let waiver = |scenario: &str, until: &str| {
        format!(
            "waivers:\n  - case: {scenario}\n    reason: known\n    issue: https://example.org/1\n    until: {until}\n"
        )
    };
    bench.write("waivers.yaml", &waiver("PG-06", "2999-12-31"));
    let args = [
        "run",
        "PG-06",
        "--profile",
        profile,
        "--waivers",
        "waivers.yaml",
        "--out",
        "out",
    ];
    let ended = bench.imspec(&args).expect(0);
    assert!(ended.stdout.contains("known"), "{}", ended.stdout);
    bench.write("waivers.yaml", &waiver("PG-06", "2020-01-01"));
    bench.imspec(&args).expect(1);
    bench.write("waivers.yaml", &waiver("PG-01", "2999-12-31"));
    // Nobody looked at PG-01, so it may still need it.
    let ended = bench.imspec(&args).expect(1);
    assert!(ended.stdout.contains("not used"), "{}", ended.stdout);
    let mut args = args;
    args[1] = "PG-01";
    let ended = bench.imspec(&args).expect(3);
    assert!(
        ended.stdout.contains("stale waiver") && ended.stdout.contains("PG-01: known"),
        "{}",
        ended.stdout
    );
    assert!(bench.read("out/junit.xml").contains("stale-waiver"));
    assert!(bench.read("out/report.html").contains("Stale waivers"));
    assert!(
        bench
            .read("out/summary.md")
            .contains("**stale** PG-01: known")
    );
    assert_eq!(bench.record()["waivers"][0]["state"], "stale");
    // A day that has passed is reason enough, and told as such.
    bench.write("waivers.yaml", &waiver("PG-01", "2020-01-01"));
    let mut args = args.to_vec();
    args.push("--quiet");
    let ended = bench.imspec(&args).expect(3);
    let told = ended
        .stdout
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    assert!(
        told.contains("its time was over on 2020-01-01") && told.contains("(waivers.yaml:2:5)"),
        "{}",
        ended.stdout
    );
}

#[test]
fn nothing_listens_so_nothing_is_run() {
    let bench = Bench::new();
    let profile = bench.black_box(([127, 0, 0, 1], free_port()).into(), None, "");
    let ended = bench
        .imspec(&[
            "run",
            "PG-01",
            "--profile",
            profile.to_str().unwrap(),
            "--out",
            "out",
        ])
        .expect(4);
    assert!(ended.stderr.contains("127.0.0.1"), "{}", ended.stderr);
    assert!(!bench.path("out").exists());
}

/// The REGISTER of the first recipient loses its Contact on the way, which makes it a question: nothing comes.
#[test]
fn what_came_too_late_once_has_a_second_chance_and_the_report_says_so() {
    const LATE: &str = "id: PG-902\ntitle: A delivery\npurpose: It may come late.\ncovers: [DM-DRV-01]\nusers: { alice: online, bob: offline }\nsteps:\n  - message: { from: alice, to: bob, body: \"late ${random.text(8)}\", save: sent }\n  - register: bob\n  - receive: { at: bob, of: sent, within: 500ms }\n";
    let run = |more: &[&str]| {
        let bench = Bench::new();
        bench.write("suite/PG-902.yaml", LATE);
        let server = Server::start(&bench, "");
        let mut first = None;
        let relay = Relay::start(server.udp, move |octets| {
            let text = String::from_utf8_lossy(&octets);
            let is_for = text.starts_with("REGISTER ") && text.contains("\r\nTo: <sip:bob");
            let call = text.lines().find(|line| line.starts_with("Call-ID: "));
            let call = call.filter(|_| is_for).map(str::to_owned);
            // Sent again by a busy machine it is the same.
            first = first.take().or_else(|| call.clone());
            if call.is_some() && call == first {
                without_header(octets, "Contact")
            } else {
                octets
            }
        });
        let pics = ", delivery.form: message, delivery.trigger: on-register";
        let profile = bench.black_box(relay.at, Some(server.control), pics);
        let profile = profile.to_str().unwrap().to_owned();
        let mut args = vec!["run", "--scenarios", "suite", "--profile", &profile];
        args.extend(["--out", "out"]);
        args.extend(more);
        let ended = bench.imspec(&args);
        (ended, bench)
    };
    let (ended, bench) = run(&[]);
    let ended = ended.expect(0);
    assert!(
        ended
            .stdout
            .contains("1 case came out otherwise when run again: PG-902"),
        "{}",
        ended.stdout
    );
    let record = bench.record();
    assert_eq!(verdict(&record, "PG-902"), "pass");
    assert_eq!(cases(&record)[0]["earlier"]["verdict"], "fail");
    assert!(bench.read("out/junit.xml").contains("<flakyFailure"));
    let (ended, bench) = run(&["--once"]);
    ended.expect(1);
    assert_eq!(verdict(&bench.record(), "PG-902"), "fail");
}

/// A scenario that is certainly still running when the test does something to it.
const LONG: &str = "id: PG-901\ntitle: A long silence\npurpose: Nothing comes while the test looks elsewhere.\ncovers: [DM-DRV-01]\nusers: { alice: online, bob: offline }\nsteps:\n  - message: { from: alice, to: bob, body: \"first ${random.text(8)}\", save: first }\n  - silence: { at: alice, for: 30s }\n  - register: bob\n  - receive: { at: bob, of: first }\n  - message: { from: bob, to: alice, body: \"control ${random.text(8)}\", save: control }\n  - receive: { at: alice, of: control }\n";

/// A profile whose server is started by the runner, with a control port that the test knows.
fn started(bench: &Bench, control: u16, pid_file: &str) -> String {
    bench.write(
        "server.yaml",
        &format!(
            "listen: {{ udp: [\"127.0.0.1:{}\"], tcp: [] }}\ncontrol: \"127.0.0.1:{control}\"\nstore: {{ path: \"{}\" }}\n",
            free_port(),
            bench.path("server.db").display()
        ),
    );
    let server = bench.read("server.yaml");
    let udp = server
        .split("udp: [\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .to_owned();
    let binary = env!("CARGO_BIN_EXE_imspec");
    let config = bench.path("server.yaml");
    let text = format!(
        "name: started\nsut: {{ product: reference }}\npixit:\n  target: {{ udp: \"{udp}\" }}\n  domain: example.org\n  accounts: {{ provision: control }}\npics: {{}}\nadapters:\n  store: none\n  clock: real\n  policy: {{ control: {{ url: \"http://127.0.0.1:{control}\", settable: [] }} }}\n  process:\n    command: [sh, -c, 'echo $$ > {pid_file}; exec {binary} serve --config {config}']\n    ready: {{ line: ready }}\n",
        config = config.display(),
    );
    bench
        .write("profile.yaml", &text)
        .to_str()
        .unwrap()
        .to_owned()
}

fn stored_something(control: u16) -> bool {
    get(([127, 0, 0, 1], control).into(), "/v1/messages")
        .is_some_and(|text| text.contains("first "))
}

fn kill(signal: &str, pid: &str) {
    assert!(
        std::process::Command::new("kill")
            .args([signal, pid])
            .status()
            .unwrap()
            .success()
    );
}

/// A run that is in the middle of [`LONG`]: the message is stored, the silence lasts.
struct LongRun {
    bench: Bench,
    child: std::process::Child,
    control: u16,
}

impl LongRun {
    fn start() -> Self {
        let bench = Bench::new();
        bench.write("suite/PG-901.yaml", LONG);
        let control = free_port();
        let profile = started(&bench, control, bench.path("pid").to_str().unwrap());
        let mut child = bench
            .command(&[
                "run",
                "--scenarios",
                "suite",
                "--profile",
                &profile,
                "--out",
                "out",
            ])
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        until("the message is stored", || {
            if child.try_wait().unwrap().is_some() {
                let mut said = String::new();
                let _ = child.stdout.take().unwrap().read_to_string(&mut said);
                let _ = child.stderr.take().unwrap().read_to_string(&mut said);
                panic!("the run ended before anything was stored:\n{said}");
            }
            stored_something(control)
        });
        Self {
            bench,
            child,
            control,
        }
    }

    /// Waits for the end, which must have status 5, and gives the record.
    fn end(self) -> (Bench, Value) {
        let output = self.child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(5), "{said}");
        let record = self.bench.record();
        (self.bench, record)
    }
}

#[test]
fn a_server_that_dies_leaves_error_verdicts_and_reports() {
    let run = LongRun::start();
    kill("-KILL", run.bench.read("pid").trim());
    let (_, record) = run.end();
    assert_eq!(verdict(&record, "PG-901"), "error");
    let reason = cases(&record)[0]["reason"].as_str().unwrap();
    assert!(
        reason.contains("ended") || reason.contains("died") || reason.contains("gone"),
        "{reason}"
    );
}

#[test]
fn ctrl_c_ends_cleanly_with_what_is_done_so_far() {
    let run = LongRun::start();
    let control = run.control;
    kill("-INT", &run.child.id().to_string());
    let (bench, record) = run.end();
    assert_eq!(record["interrupted"], "Ctrl-C or SIGTERM");
    assert!(bench.path("out/report.html").exists());
    until("the server is stopped too", || {
        get(([127, 0, 0, 1], control).into(), "/v1/health").is_none()
    });
}
