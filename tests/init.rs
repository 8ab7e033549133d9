//! `imspec init`: a profile for a server that runs, which `check`, `doctor` and `run` take as it is.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod support;

use support::{Bench, Server, free_port};

/// The rule by which the reference server has its passwords here.
const RULE: &str = "secret-of-${user}";

#[test]
fn from_nothing_to_a_report() {
    let bench = Bench::new();
    let server = Server::start(&bench, "");
    let target = format!("udp:{}", server.udp);
    let control = format!("http://{}", server.control);
    // A black box but for its accounts and its clock.
    let args = [
        "init",
        "--target",
        &target,
        "--domain",
        "example.org",
        "--control",
        &control,
        "--store",
        "none",
        "--out",
        "mine",
        "--yes",
    ];
    let told = bench.imspec(&args).expect(0).stdout;
    let plain = |text: &str| {
        text.replace(&server.udp.port().to_string(), "PORT")
            .replace(&server.control.port().to_string(), "CONTROL")
    };
    insta::assert_snapshot!("told", plain(&told));
    let written = bench.read("mine/profile.yaml");
    insta::assert_snapshot!("profile", plain(&written));
    let checked = bench
        .imspec(&["check", "--strict", "--profile", "mine"])
        .expect(0);
    assert!(
        checked.stdout.contains("1 profile without error"),
        "{}",
        checked.stdout
    );
    bench.imspec(&["doctor", "mine"]).expect(0);
    bench
        .imspec(&[
            "run",
            "--profile",
            "mine",
            "--out",
            "out",
            "PG-01",
            "PG-05",
            "PG-06",
            "DL-01",
        ])
        .expect(0);
    let record = bench.record();
    let verdicts: Vec<&str> = record["cases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|case| case["verdict"].as_str().unwrap())
        .collect();
    assert!(verdicts.contains(&"pass"), "{verdicts:?}");
    assert!(
        !verdicts.contains(&"fail") && !verdicts.contains(&"error"),
        "{verdicts:?}"
    );
    // What somebody has written since is not lost.
    let again = bench.imspec(&args).expect(2);
    assert!(again.stderr.contains("--force"), "{}", again.stderr);
    assert_eq!(bench.read("mine/profile.yaml"), written);
}

#[test]
fn a_server_that_asks_for_passwords_and_has_a_control_api() {
    let bench = Bench::new();
    let server = Server::start(
        &bench,
        "policy: { auth.register: digest, auth.sender: digest }\n",
    );
    let (target, url) = (server.udp.to_string(), format!("http://{}", server.control));
    let args = [
        "init",
        "--target",
        &target,
        "--domain",
        "example.org",
        "--control",
        &url,
        "--password-rule",
        RULE,
        "--pics",
        "expire.marking=on",
        "--out",
        "mine",
        "--yes",
    ];
    let told = bench.imspec(&args).expect(0);
    assert!(!format!("{}{}", told.stdout, told.stderr).contains("secret-of"));
    let written = bench.read("mine/profile.yaml");
    for line in [
        "  auth.register: digest  #",
        "  auth.sender: digest  #",
        "  accept.status: 202  #",
        "  clock.control: virtual  #",
        "  inspect.kind: http  #",
        "  expire.marking: \"on\"  # as you said",
    ] {
        assert!(written.contains(line), "{line}\n{written}");
    }
    // Only UDP is at that port: TCP has one of its own.
    assert!(told.stdout.contains("left out"), "{}", told.stdout);
    bench
        .imspec(&["check", "--strict", "--profile", "mine"])
        .expect(0);
    bench.imspec(&["doctor", "mine"]).expect(0);
}

#[test]
fn a_password_that_is_not_given_is_asked_for_in_the_profile() {
    let bench = Bench::new();
    let server = Server::start(
        &bench,
        "policy: { auth.register: digest, auth.sender: digest }\n",
    );
    let target = format!("udp:{}", server.udp);
    bench
        .imspec(&[
            "init",
            "--target",
            &target,
            "--domain",
            "example.org",
            "--out",
            "mine",
            "--yes",
        ])
        .expect(0);
    let written = bench.read("mine/profile.yaml");
    let words: Vec<&str> = written
        .split_whitespace()
        .filter(|word| *word != "#")
        .collect();
    let told = "REGISTER was answered with 401 Unauthorized: the server asks who it is.";
    assert!(words.join(" ").contains(told), "{written}");
    bench
        .imspec(&["check", "--strict", "--profile", "mine"])
        .expect(0);
    bench.imspec(&["doctor", "mine"]).expect(4);
}

#[test]
fn an_application_server_with_a_few_users() {
    let bench = Bench::new();
    let users = ["one", "two", "three", "four"].map(|user| format!("\"sip:{user}@example.org\""));
    let config = format!(
        "accounts: [{}]\ntrust: {{ core: [\"127.0.0.1\"] }}\n",
        users.join(", ")
    );
    let server = Server::start(&bench, &config);
    let target = format!("udp:{}", server.udp);
    let args = [
        "init",
        "--target",
        &target,
        "--domain",
        "example.org",
        "--registration",
        "third-party",
        "--accounts",
        "list:one,two,three,four",
        "--out",
        "mine",
        "--yes",
    ];
    bench.imspec(&args).expect(0);
    let written = bench.read("mine/profile.yaml");
    for line in [
        "  registration: third-party\n",
        "    list: [\"one\", \"two\", \"three\", \"four\"]\n",
        "  delivery.trigger: on-register  #",
    ] {
        assert!(written.contains(line), "{line}\n{written}");
    }
    bench
        .imspec(&["check", "--strict", "--profile", "mine"])
        .expect(0);
    bench.imspec(&["doctor", "mine"]).expect(0);
}

#[test]
fn nobody_there_writes_nothing() {
    let bench = Bench::new();
    let port = free_port();
    let target = format!("127.0.0.1:{port}");
    let ended = bench
        .imspec(&["init", "--target", &target, "--out", "mine", "--yes"])
        .expect(4);
    insta::assert_snapshot!(ended.stderr.replace(&port.to_string(), "PORT"));
    assert!(!bench.path("mine").exists());
    bench
        .imspec(&[
            "init",
            "--target",
            &target,
            "--out",
            "mine",
            "--yes",
            "--no-probe",
        ])
        .expect(0);
    bench.imspec(&["check", "--profile", "mine"]).expect(0);
}

#[test]
fn what_is_missing_or_wrong_is_said() {
    let bench = Bench::new();
    let all: String = [
        &["init", "--yes"] as &[&str],
        &["init", "--target", "nowhere"],
        &[
            "init",
            "--target",
            "udp:127.0.0.1:5060",
            "--transport",
            "tcp",
        ],
        &[
            "init",
            "--target",
            "udp:127.0.0.1:5060",
            "--store",
            "sqlite",
        ],
        &[
            "init",
            "--target",
            "udp:127.0.0.1:5060",
            "--pics",
            "expire.marking=perhaps",
        ],
        &[
            "init",
            "--target",
            "udp:127.0.0.1:5060",
            "--accounts",
            "control",
        ],
        &[
            "init",
            "--target",
            "udp:127.0.0.1:5060",
            "--accounts",
            "pattern:user-1",
        ],
        &[
            "init",
            "--target",
            "udp:127.0.0.1:5060",
            "--accounts",
            "some",
        ],
        &[
            "init",
            "--outbound-proxy",
            "udp:127.0.0.1:5060",
            "--registration",
            "fourth-party",
        ],
        &[
            "init",
            "--outbound-proxy",
            "udp:127.0.0.1:5060",
            "--transport",
            "tcp",
        ],
    ]
    .iter()
    .map(|args| bench.imspec(args).expect(2).stderr)
    .collect();
    insta::assert_snapshot!(all);
}
