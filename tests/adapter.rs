//! `imspec adapter check` at adapters that are broken, each in one way; and servers that commands start and end, with
//! stand-ins for `systemctl`, `docker` and `ssh`.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod support;

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;
use support::fake::{Fake, answer, is, obliging};
use support::{Bench, Ended, Server, free_port, until};

/// A server that takes every message and files it: one file of JSON a message, in a folder a user. It brings nothing.
fn filing(bench: &Bench) -> Fake {
    let spool = bench.path("spool");
    let mut number = 0;
    Fake::udp(move |request| {
        // A retransmission is the same message.
        let header = |name: &str| {
            let line = request.lines().find(|line| line.starts_with(name));
            line.map(|line| line[name.len()..].to_owned()).unwrap()
        };
        let seen = spool.join(header("Call-ID: ").replace('/', "-"));
        if is(request, "MESSAGE") && !seen.exists() {
            number += 1;
            let uri = request.split(' ').nth(1).unwrap();
            let user = uri.trim_start_matches("sip:").split('@').next().unwrap();
            let body = request.split_once("\r\n\r\n").unwrap().1;
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            let now =
                jiff::Timestamp::from_second(now.unwrap().as_secs().try_into().unwrap()).unwrap();
            let record = json!({
                "account": uri, "message_id": number.to_string(), "kind": "pager", "state": "waiting",
                "headers": [{ "name": "From", "value": header("From: ") }],
                "body": { "text": body }, "received_at": now.to_string(),
            });
            std::fs::create_dir_all(spool.join(user)).unwrap();
            std::fs::write(
                spool.join(user).join(format!("{number:03}.json")),
                format!("{record}\n"),
            )
            .unwrap();
            std::fs::write(seen, "").unwrap();
        }
        obliging(request)
    })
}

/// A program of the test.
fn program(bench: &Bench, name: &str, text: &str) {
    let path = bench.write(name, &format!("#!/bin/sh\n{text}\n"));
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn profile(bench: &Bench, target: &str, pics: &str, adapters: &str) {
    let text = format!(
        "name: broken\nsut: {{ product: Somebody's server }}\npixit:\n  target: {{ udp: \"{target}\" }}\n  domain: example.org\n  \
         timers: {{ t1: 100ms, answer: 3s, delivery: 300ms, quiet: 50ms, store: 300ms }}\n\
         pics: {{ store.modes: [pager]{pics} }}\nadapters:\n{adapters}"
    );
    bench.write("profile.yaml", &text);
}

/// What is printed, with what differs from run to run in one form.
fn plain(bench: &Bench, ended: &Ended) -> String {
    let mut text = format!("{}{}", ended.stdout, ended.stderr);
    let folder = bench.path("").canonicalize().unwrap();
    text = text.replace(folder.to_str().unwrap().trim_end_matches('/'), "FOLDER");
    let changes = [
        (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
        (r"-pg-99-[0-9a-f]+", "-pg-99-RANDOM"),
        (r"(o'hara|x|b\*|b&c)-[0-9a-f]{8}", "$1-RANDOM"),
        (r"(advance-\d\.sh) \d+", "$1 N"),
        (r"it shows -?[\d.]+ s more", "it shows N s more"),
        (r"s each are -[\d.]+ s", "s each are -N s"),
        (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "INSTANT"),
        (r"give or take \d+ ms", "give or take N ms"),
        (r"after [\d.]+ s it is [\d.]+ s", "after N s it is N s"),
        (r"has \d+ octets, \d+ were", "has N octets, M were"),
    ];
    for (pattern, new) in changes {
        text = regex::Regex::new(pattern)
            .unwrap()
            .replace_all(&text, new)
            .into_owned();
    }
    text
}

/// What fails, and what to check, of each of several adapters; at most so many lines of each, because what comes after
/// a failure may be a matter of time.
fn failures(bench: &Bench, only: &str, most: usize, broken: &[(&str, String)]) -> String {
    let mut all = String::new();
    for (what, profile) in broken {
        bench.write("profile.yaml", profile);
        let ended = bench
            .imspec(&[
                "adapter",
                "check",
                "--profile",
                "profile.yaml",
                "--only",
                only,
            ])
            .expect(4);
        let text = plain(bench, &ended);
        let _ = writeln!(all, "{what}\n");
        let (mut shown, mut number) = (false, 0);
        for line in text.lines() {
            if !line.starts_with(' ') {
                number += usize::from(line.starts_with("fails "));
                shown = line.starts_with("fails ") && number <= most;
            }
            if shown {
                let _ = writeln!(all, "{line}");
            }
        }
        all.push('\n');
    }
    all
}

#[test]
fn the_reference_server_has_what_a_run_relies_on() {
    let bench = Bench::new();
    let ended = bench.imspec(&["adapter", "check"]).expect(0);
    insta::assert_snapshot!(plain(&bench, &ended));
}

#[test]
fn a_store_that_a_program_reads() {
    let bench = Bench::new();
    let fake = filing(&bench);
    program(
        &bench,
        "store.sh",
        "[ ! -d \"spool/$1\" ] || cat \"spool/$1\"/*.json",
    );
    profile(
        &bench,
        &fake.at.to_string(),
        "",
        "  store: { command: [./store.sh, \"${user}\"] }\n",
    );
    let ended = bench
        .imspec(&["adapter", "check", "profile.yaml"])
        .expect(0);
    insta::assert_snapshot!(plain(&bench, &ended));
}

#[test]
fn stores_that_are_broken() {
    let bench = Bench::new();
    let fake = filing(&bench);
    let all = [
        ("It says nothing.", "true"),
        ("It fails.", "echo no such table >&2; exit 3"),
        (
            "It shows to everybody what is there.",
            "cat spool/*/*.json 2>/dev/null || true",
        ),
        (
            "It takes a name for a pattern.",
            "cat $(find spool -path \"spool/*${1#?}*/*.json\" | sort)",
        ),
        (
            "A name is a part of its program.",
            "eval \"ls spool/$1\" >/dev/null 2>&1 || [ ! -d spool/$1 ]; [ ! -d \"spool/$1\" ] || cat \"spool/$1\"/*.json",
        ),
        (
            "The newest comes first.",
            "[ ! -d \"spool/$1\" ] || cat $(ls -r \"spool/$1\"/*.json)",
        ),
        (
            "What it reads is gone.",
            "[ ! -d \"spool/$1\" ] || { cat \"spool/$1\"/*.json; rm \"spool/$1\"/*.json; }",
        ),
        (
            "It cuts bodies off at the first line end.",
            "[ ! -d \"spool/$1\" ] || sed 's/\\\\r\\\\n[^}]*\"}/\"}/' \"spool/$1\"/*.json",
        ),
        (
            "Its clock is that of another zone.",
            "[ ! -d \"spool/$1\" ] || sed 's/\"received_at\":\"\\(....-..-..T\\)../\"received_at\":\"2001-01-01T00/' \"spool/$1\"/*.json",
        ),
        (
            "It is no JSON.",
            "[ ! -d \"spool/$1\" ] || echo bob has mail",
        ),
    ];
    let broken: Vec<(&str, String)> = all
        .iter()
        .enumerate()
        .map(|(number, (what, script))| {
            program(&bench, &format!("store-{number}.sh"), script);
            let adapter = format!("  store: {{ command: [./store-{number}.sh, \"${{user}}\"] }}\n");
            profile(&bench, &fake.at.to_string(), "", &adapter);
            (*what, bench.read("profile.yaml"))
        })
        .collect();
    insta::assert_snapshot!(failures(&bench, "store", 9, &broken));
}

#[test]
fn clocks_that_are_broken() {
    let bench = Bench::new();
    let fake = Fake::udp(obliging);
    // Each has an offset of its own.
    let read = "echo $(($(date +%s) + $(cat \"$0.offset\" 2>/dev/null || echo 0)))";
    let add = "of=$(echo \"$0\" | sed s/advance/read/).offset; echo $(($(cat \"$of\" 2>/dev/null || echo 0) + $1)) >\"$of\"";
    let all = [
        ("The server does not go by it.", read, add),
        ("It says what is no time.", "echo half past ten", add),
        (
            "It stands still.",
            "cat frozen",
            "echo $(($(cat frozen) + $1)) >frozen",
        ),
        ("It does not move.", read, "true"),
        (
            "It is set, and forgets what it was.",
            read,
            "echo $1 >\"$(echo \"$0\" | sed s/advance/read/).offset\"",
        ),
        (
            "It cannot be moved.",
            read,
            "echo permission denied >&2; exit 1",
        ),
    ];
    bench.write("frozen", "1000000000\n");
    let broken: Vec<(&str, String)> = all
        .iter()
        .enumerate()
        .map(|(number, (what, read, advance))| {
            program(&bench, &format!("read-{number}.sh"), read);
            program(&bench, &format!("advance-{number}.sh"), advance);
            let adapter = format!(
                "  clock:\n    command: {{ read: [./read-{number}.sh], advance: [./advance-{number}.sh, \"${{by_s}}\"], resolution: 1s }}\n"
            );
            profile(&bench, &fake.at.to_string(), "", &adapter);
            (*what, bench.read("profile.yaml"))
        })
        .collect();
    insta::assert_snapshot!(failures(&bench, "clock", 1, &broken));
}

#[test]
fn policies_that_are_broken() {
    let bench = Bench::new();
    let fake = Fake::udp(obliging);
    let known = ", policy.expired: delete, accept.status: 202";
    let settable = "policy.expired, accept.status";
    let all = [
        ("It says yes to everything.", "true", known, settable),
        (
            "It fails.",
            "echo the server has gone >&2; exit 1",
            known,
            settable,
        ),
        (
            "What holds is not declared.",
            "[ \"$2\" != no-such-choice ] || exit 65",
            "",
            settable,
        ),
        (
            "A choice of another kind of server.",
            "[ \"$2\" != no-such-choice ] || exit 65",
            known,
            "policy.expired, colour",
        ),
    ];
    let broken: Vec<(&str, String)> = all
        .iter()
        .enumerate()
        .map(|(number, (what, script, pics, settable))| {
            program(&bench, &format!("set-{number}.sh"), script);
            let adapter = format!(
                "  policy: {{ command: {{ set: [./set-{number}.sh, \"${{key}}\", \"${{value}}\"], settable: [{settable}] }} }}\n"
            );
            profile(&bench, &fake.at.to_string(), pics, &adapter);
            (*what, bench.read("profile.yaml"))
        })
        .collect();
    insta::assert_snapshot!(failures(&bench, "policy", 9, &broken));
}

/// `systemctl` and `docker` for one server, and an `ssh` to this machine; each does what it is asked and nothing else.
const STAND_IN: &str = r#"
cd "$(dirname "$0")"
echo "$(basename "$0") $*" >>calls
runs() { [ -s pid ] && kill -0 "$(cat pid)" 2>/dev/null && ! grep -q ' Z ' "/proc/$(cat pid)/stat" 2>/dev/null; }
ends() { ! runs || { kill "-$1" "$(cat pid)"; while runs; do sleep 0.02; done; }; : >pid; }
case "$(basename "$0") $*" in
    "systemctl start im-server" | "docker start im")
        runs || { setsid "$IMSPEC" serve --config ../server.yaml >>server.log 2>&1 </dev/null & echo $! >pid; } ;;
    "systemctl stop im-server" | "docker stop --time=30 im") ends TERM ;;
    "systemctl kill --signal=SIGKILL im-server" | "docker kill im") ends KILL ;;
    "systemctl is-active --quiet im-server") runs || exit 3 ;;
    "docker container inspect --format={{.State.Running}} im") if runs; then echo true; else echo false; fi ;;
    "journalctl --unit im-server --lines=20 --output=cat --no-pager" | "docker logs --tail=20 im") tail -n 20 server.log ;;
    *) echo "$(basename "$0"): no such thing: $*" >&2; exit 4 ;;
esac
"#;
const SSH: &str = r#"
cd "$(dirname "$0")"
[ "$1 $2 $3 $4" = "-o BatchMode=yes -p 2222" ] && [ "$5" = im.example.org ] || { echo "ssh: $*" >&2; exit 255; }
shift 5
exec sh -c "$*"
"#;

/// A reference server that stand-ins start and end.
struct Kept {
    bench: Bench,
    sip: u16,
}

impl Kept {
    fn new(process: &str) -> Self {
        let bench = Bench::new();
        for name in ["systemctl", "docker", "journalctl"] {
            program(&bench, &format!("bin/{name}"), STAND_IN);
        }
        program(&bench, "bin/ssh", SSH);
        let (sip, control) = (free_port(), free_port());
        bench.write(
            "server.yaml",
            &format!(
                "listen: {{ udp: [\"127.0.0.1:{sip}\"], tcp: [\"127.0.0.1:{sip}\"] }}\ncontrol: \"127.0.0.1:{control}\"\n\
                 store: {{ path: \"{}\" }}\n",
                bench.path("server.db").display()
            ),
        );
        let api = format!("{{ control: {{ url: \"http://127.0.0.1:{control}\" }} }}");
        bench.write(
            "profile.yaml",
            &format!(
                "name: kept\nsut: {{ product: A server that others keep }}\npixit:\n  target: {{ udp: \"127.0.0.1:{sip}\" }}\n  \
                 domain: example.org\n  accounts: {{ provision: control }}\n\
                 pics: {{ store.modes: [pager], accept.status: 202 }}\nadapters:\n  store: {api}\n  clock: {api}\n  process: {process}\n"
            ),
        );
        Self { bench, sip }
    }

    fn command(&self, args: &[&str]) -> Command {
        let path = format!(
            "{}:{}",
            self.bench.path("bin").display(),
            std::env::var("PATH").unwrap()
        );
        let mut command = self.bench.command(args);
        command
            .env("PATH", path)
            .env("IMSPEC", env!("CARGO_BIN_EXE_imspec"));
        command
    }

    fn imspec(&self, args: &[&str]) -> Ended {
        self.command(args).output().unwrap().into()
    }

    fn pid(&self) -> Option<u32> {
        std::fs::read_to_string(self.bench.path("bin/pid"))
            .ok()?
            .trim()
            .parse()
            .ok()
    }

    /// Which commands were run, each once, in the order of their first time.
    fn calls(&self) -> Vec<String> {
        let mut calls: Vec<String> = Vec::new();
        for line in self.bench.read("bin/calls").lines() {
            if !calls.iter().any(|known| known == line) {
                calls.push(line.to_owned());
            }
        }
        calls
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            let _ = Command::new("kill")
                .args(["-KILL", &pid.to_string()])
                .status();
        }
    }
}

#[test]
fn a_unit_of_systemd_is_started_ended_and_left_as_it_was_found() {
    let kept = Kept::new("{ systemctl: im-server }");
    let ended = kept
        .imspec(&["adapter", "check", "profile.yaml", "--only", "process"])
        .expect(0);
    insta::assert_snapshot!(plain(&kept.bench, &ended));
    assert_eq!(
        kept.pid(),
        None,
        "it did not run before, and does not run now"
    );
    insta::assert_snapshot!(kept.calls().join("\n"), @r"
    systemctl is-active --quiet im-server
    systemctl start im-server
    systemctl stop im-server
    systemctl kill --signal=SIGKILL im-server
    ");
}

#[test]
fn a_container_over_ssh_is_restarted_by_scenarios() {
    let kept = Kept::new("{ docker: im, ssh: [-p, 2222, im.example.org], ready: options }");
    let ended = kept
        .imspec(&[
            "run",
            "DU-01",
            "DU-03",
            "--profile",
            "profile.yaml",
            "--quiet",
            "--out",
            "out",
        ])
        .expect(0);
    let record = kept.bench.record();
    let verdicts: Vec<&str> = record["cases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|case| case["verdict"].as_str().unwrap())
        .collect();
    assert!(
        !verdicts.is_empty() && verdicts.iter().all(|verdict| *verdict == "pass"),
        "{verdicts:?}\n{ended:?}"
    );
    assert_eq!(record["profile"]["adapters"]["process"], "docker");
    assert_eq!(kept.pid(), None);
    let calls = kept.calls();
    for call in [
        "docker start im",
        "docker stop --time=30 im",
        "docker kill im",
    ] {
        assert!(calls.iter().any(|known| known == call), "{calls:?}");
    }
}

#[test]
fn a_server_that_ran_before_runs_afterwards() {
    let kept = Kept::new("{ systemctl: im-server }");
    let unit = kept.bench.path("bin/systemctl");
    let started = Command::new(unit)
        .args(["start", "im-server"])
        .env("IMSPEC", env!("CARGO_BIN_EXE_imspec"))
        .status();
    assert!(started.unwrap().success());
    let ended = kept
        .imspec(&["adapter", "check", "profile.yaml", "--only", "process"])
        .expect(0);
    let pid = kept.pid().unwrap_or_else(|| panic!("{ended:?}"));
    assert!(Path::new(&format!("/proc/{pid}")).exists() || !Path::new("/proc/self").exists());
    assert!(std::net::UdpSocket::bind(("127.0.0.1", kept.sip)).is_err());
}

/// Who is interrupted leaves neither accounts nor a server behind, wherever he is at the time.
#[test]
fn an_interrupted_command_leaves_things_as_they_were() {
    let commands: [&[&str]; 3] = [
        &["doctor", "profile.yaml"],
        &["adapter", "check", "profile.yaml", "--only", "store"],
        &["run", "PG-01", "--profile", "profile.yaml", "--out", "out"],
    ];
    for args in commands {
        let kept = Kept::new("{ systemctl: im-server }");
        // The interruption comes while an account is made.
        program(&kept.bench, "add.sh", "echo \"$1\" >>made; exec sleep 600");
        program(&kept.bench, "remove.sh", "echo \"$1\" >>removed");
        let text = kept.bench.read("profile.yaml").replace(
            "provision: control",
            "provision: { command: [./add.sh, \"${account}\"], remove: [./remove.sh, \"${account}\"] }",
        );
        kept.bench.write("profile.yaml", &text);
        let mut command = kept.command(args);
        let running = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let running = running.spawn().unwrap();
        let lines = |name: &str| {
            let text = std::fs::read_to_string(kept.bench.path(name)).unwrap_or_default();
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        until("an account is made", || !lines("made").is_empty());
        assert!(kept.pid().is_some());
        let told = Command::new("kill")
            .args(["-TERM", &running.id().to_string()])
            .status();
        assert!(told.unwrap().success());
        let ended: Ended = running.wait_with_output().unwrap().into();
        assert!(ended.status > 0, "{ended:?}");
        let removed = lines("removed");
        let made = lines("made");
        assert!(
            made.iter().all(|account| removed.contains(account)),
            "{made:?} {removed:?}"
        );
        assert_eq!(
            kept.pid(),
            None,
            "it did not run before, and does not run now: {ended:?}"
        );
    }
}

#[test]
fn two_accounts_that_others_have_used_will_do() {
    let bench = Bench::new();
    let server = Server::start(
        &bench,
        "accounts: [\"sip:one@example.org\", \"sip:two@example.org\"]\n",
    );
    // What lies in them is no record of ours.
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for user in ["one", "two"] {
        let at = socket.local_addr().unwrap();
        let message = format!(
            "MESSAGE sip:{user}@example.org SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bK-{user}\r\nMax-Forwards: 70\r\n\
             From: <sip:one@example.org>;tag={user}\r\nTo: <sip:{user}@example.org>\r\nCall-ID: {user}\r\nCSeq: 1 MESSAGE\r\n\
             Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nold\r\n"
        );
        socket.send_to(message.as_bytes(), server.udp).unwrap();
        let mut answer = [0; 2048];
        let length = socket.recv(&mut answer).unwrap();
        assert!(answer[..length].starts_with(b"SIP/2.0 202 "), "{user}");
    }
    let api = format!("{{ control: {{ url: \"http://{}\" }} }}", server.control);
    profile(
        &bench,
        &server.udp.to_string(),
        "",
        &format!("  store: {api}\n  clock: {api}\n"),
    );
    let text = bench.read("profile.yaml").replace(
        "  domain: example.org\n",
        "  domain: example.org\n  accounts: { list: [one, two] }\n",
    );
    bench.write("profile.yaml", &text);
    let check = || {
        bench
            .imspec(&["adapter", "check", "profile.yaml"])
            .expect(0)
    };
    insta::assert_snapshot!(plain(&bench, &check()));
    // It has left things behind itself.
    check();
}

#[test]
fn processes_that_are_broken() {
    let all = [
        ("There is no such unit.", "{ systemctl: another }"),
        (
            "The other machine does not let us in.",
            "{ systemctl: im-server, ssh: [im.example.org] }",
        ),
        (
            "It stops nothing.",
            "{ commands: { start: [systemctl, start, im-server], stop: [\"true\"], kill: [systemctl, kill, --signal=SIGKILL, im-server] } }",
        ),
        (
            "It stops nothing, and could tell.",
            "{ commands: { start: [systemctl, start, im-server], stop: [\"true\"], kill: [systemctl, kill, --signal=SIGKILL, im-server], \
             running: [systemctl, is-active, --quiet, im-server] }, stop-within: 300ms }",
        ),
        (
            "Each start makes the store anew.",
            "{ commands: { start: [sh, -c, 'rm -f server.db*; systemctl start im-server'], stop: [systemctl, stop, im-server], \
             kill: [systemctl, kill, --signal=SIGKILL, im-server] } }",
        ),
    ];
    let mut printed = String::new();
    for (what, process) in all {
        let kept = Kept::new(process);
        let ended = kept
            .imspec(&["adapter", "check", "profile.yaml", "--only", "process"])
            .expect(4);
        let _ = writeln!(printed, "{what}\n\n{}", plain(&kept.bench, &ended));
    }
    insta::assert_snapshot!(printed);
}

#[test]
fn a_server_that_cannot_be_asked_leaves_nothing_to_try() {
    let bench = Bench::new();
    program(&bench, "store.sh", "true");
    let fake = Fake::udp(|request| vec![answer(request, "403 Forbidden", "")]);
    profile(
        &bench,
        &fake.at.to_string(),
        "",
        "  store: { command: [./store.sh] }\n",
    );
    let ended = bench
        .imspec(&["adapter", "check", "profile.yaml"])
        .expect(0);
    insta::assert_snapshot!(plain(&bench, &ended));
}

#[test]
fn json_for_those_who_want_it() {
    let bench = Bench::new();
    let fake = Fake::udp(obliging);
    profile(&bench, &fake.at.to_string(), "", "  store: none\n");
    let ended = bench
        .imspec(&["adapter", "check", "profile.yaml", "--json"])
        .expect(0);
    insta::assert_snapshot!(plain(&bench, &ended));
}
