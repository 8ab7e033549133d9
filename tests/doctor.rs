//! `imspec doctor` at servers that are broken, each in one way: what it says, and how it ends.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod support;

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use support::fake::{Fake, answer, is, obliging};
use support::{Bench, Server, free_port};

/// The password of every profile here. It must never be printed.
const PASSWORD: &str = "s3cret-of-nobody";

/// A profile with short timers. `more` stands below `pixit`, `rest` at the end.
fn profile(bench: &Bench, target: &str, more: &str, rest: &str) {
    bench.write(
        "profile.yaml",
        &format!(
            "name: broken\nsut: {{ product: Somebody's server }}\npixit:\n  target: {{ {target} }}\n  domain: example.org\n  timers: {{ t1: 100ms, answer: 600ms, delivery: 300ms, quiet: 50ms, store: 300ms }}\n{more}pics: {{ store.modes: [pager] }}\n{rest}"
        ),
    );
}

/// What the doctor prints, with what differs from run to run in one form.
fn diagnosis(bench: &Bench, status: i32, ports: &[u16]) -> String {
    let ended = bench.imspec(&["doctor", "profile.yaml"]).expect(status);
    assert!(!ended.stdout.contains(PASSWORD) && !ended.stderr.contains(PASSWORD));
    let mut text = format!("{}{}", ended.stdout, ended.stderr);
    for port in ports {
        text = text.replace(&port.to_string(), "PORT");
    }
    let folder = bench.path("").canonicalize().unwrap();
    text = text.replace(folder.to_str().unwrap().trim_end_matches('/'), "FOLDER");
    names(&text)
}

/// User parts are drawn for each visit: what differs is left out.
fn names(text: &str) -> String {
    let mut parts = text.split("-pg-99-");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str("-pg-99-RANDOM");
        plain.push_str(part.trim_start_matches(|c: char| c.is_ascii_hexdigit()));
    }
    plain
}

fn udp(at: SocketAddr) -> String {
    format!("udp: \"{at}\"")
}

#[test]
fn a_wrong_port() {
    let bench = Bench::new();
    let port = free_port();
    profile(
        &bench,
        &format!("udp: \"127.0.0.1:{port}\", tcp: \"127.0.0.1:{port}\""),
        "",
        "",
    );
    insta::assert_snapshot!(diagnosis(&bench, 4, &[port]));
}

#[test]
fn a_wrong_password() {
    let bench = Bench::new();
    let config = "policy: { auth.register: digest, auth.sender: digest }\n";
    let server = Server::start(&bench, config);
    let rule = format!("  accounts: {{ provision: none, password: {PASSWORD} }}\n");
    profile(&bench, &udp(server.udp), &rule, "");
    insta::assert_snapshot!(diagnosis(&bench, 4, &[server.udp.port()]));
}

/// Whom a server knows that has a few users.
const USERS: [&str; 4] = ["one", "two", "three", "four"];

/// An application server that knows four users, and believes who sends from there.
fn behind(bench: &Bench, core: &str) -> Server {
    let users = USERS.map(|user| format!("\"sip:{user}@example.org\""));
    let config = format!(
        "accounts: [{}]\ntrust: {{ core: [\"{core}\"] }}\n",
        users.join(", ")
    );
    Server::start(bench, &config)
}

const BY_CORE: &str =
    "  registration: third-party\n  accounts: { list: [one, two, three, four] }\n";

#[test]
fn an_application_server() {
    let bench = Bench::new();
    let server = behind(&bench, "127.0.0.1");
    profile(&bench, &udp(server.udp), BY_CORE, "");
    insta::assert_snapshot!(diagnosis(&bench, 0, &[server.udp.port()]));
}

#[test]
fn an_application_server_that_believes_another_core() {
    let bench = Bench::new();
    let server = behind(&bench, "192.0.2.9");
    profile(&bench, &udp(server.udp), BY_CORE, "");
    insta::assert_snapshot!(diagnosis(&bench, 4, &[server.udp.port()]));
}

#[test]
fn no_password_where_one_is_wanted() {
    let bench = Bench::new();
    let server = Server::start(
        &bench,
        "policy: { auth.register: digest, auth.sender: digest }\n",
    );
    profile(&bench, &udp(server.udp), "", "");
    insta::assert_snapshot!(diagnosis(&bench, 4, &[server.udp.port()]));
}

#[test]
fn trying_and_nothing_else() {
    let bench = Bench::new();
    let fake = Fake::udp(|request| vec![answer(request, "100 Trying", "")]);
    profile(&bench, &udp(fake.at), "", "");
    insta::assert_snapshot!(diagnosis(&bench, 4, &[fake.at.port()]));
}

#[test]
fn a_connection_that_is_closed_at_once() {
    let bench = Bench::new();
    let fake = Fake::tcp(|mut stream| {
        // What was read leaves nothing that the system would have to take back with a reset.
        let _ = stream.read(&mut [0; 8192]);
    });
    profile(&bench, &format!("tcp: \"{}\"", fake.at), "", "");
    insta::assert_snapshot!(diagnosis(&bench, 4, &[fake.at.port()]));
}

#[test]
fn a_connection_that_is_closed_in_the_middle_of_an_answer() {
    let bench = Bench::new();
    let fake = Fake::tcp(|mut stream| {
        let mut octets = vec![0; 65536];
        let length = stream.read(&mut octets).unwrap_or(0);
        let request = String::from_utf8_lossy(&octets[..length]).into_owned();
        let response = answer(&request, "200 OK", "");
        let _ = stream.write_all(&response.as_bytes()[..60]);
    });
    profile(&bench, &format!("tcp: \"{}\"", fake.at), "", "");
    insta::assert_snapshot!(diagnosis(&bench, 4, &[fake.at.port()]));
}

#[test]
fn a_server_that_challenges_for_ever() {
    let bench = Bench::new();
    let mut nonce = 0;
    let fake = Fake::udp(move |request| {
        if is(request, "OPTIONS") {
            return obliging(request);
        }
        nonce += 1;
        let challenge = format!(
            "WWW-Authenticate: Digest realm=\"example.org\", nonce=\"n{nonce}\", algorithm=MD5, qop=\"auth\", stale=true\r\n"
        );
        vec![answer(request, "401 Unauthorized", &challenge)]
    });
    let rule = format!("  accounts: {{ provision: none, password: {PASSWORD} }}\n");
    profile(&bench, &udp(fake.at), &rule, "");
    insta::assert_snapshot!(diagnosis(&bench, 4, &[fake.at.port()]));
}

#[test]
fn a_server_of_another_domain() {
    let bench = Bench::new();
    let fake = Fake::udp(
        |request| match request.split(' ').next().unwrap_or_default() {
            "OPTIONS" => vec![answer(request, "200 OK", "Server: sip.other.example\r\n")],
            "REGISTER" => vec![answer(
                request,
                "403 Forbidden",
                "Warning: 399 other.example \"not my domain\"\r\n",
            )],
            _ => vec![answer(request, "404 Not Found", "")],
        },
    );
    profile(&bench, &udp(fake.at), "", "");
    insta::assert_snapshot!(diagnosis(&bench, 4, &[fake.at.port()]));
}

#[test]
fn a_server_that_is_slow() {
    let bench = Bench::new();
    let fake = Fake::udp(|request| {
        if is(request, "OPTIONS") {
            return obliging(request);
        }
        // Later than the profile waits; by then the request was repeated.
        Vec::new()
    });
    profile(&bench, &udp(fake.at), "", "");
    insta::assert_snapshot!(diagnosis(&bench, 4, &[fake.at.port()]));
}

/// A profile of the obliging server with an adapter.
fn with_adapters(bench: &Bench, adapters: &str) -> Fake {
    let fake = Fake::udp(obliging);
    profile(bench, &udp(fake.at), "", &format!("adapters:\n{adapters}"));
    fake
}

#[test]
fn a_store_that_is_not_there() {
    let bench = Bench::new();
    let fake = with_adapters(
        &bench,
        "  store: { sql: { sqlite: im.db, query: \"SELECT body FROM silo\", columns: { body: body } } }\n",
    );
    insta::assert_snapshot!(diagnosis(&bench, 4, &[fake.at.port()]));
}

#[test]
fn a_query_that_fails() {
    let bench = Bench::new();
    rusqlite::Connection::open(bench.path("im.db"))
        .unwrap()
        .execute_batch("PRAGMA journal_mode=WAL; CREATE TABLE silo (id INTEGER, text TEXT)")
        .unwrap();
    let fake = with_adapters(
        &bench,
        "  store: { sql: { sqlite: im.db, query: \"SELECT id, body FROM silo\", columns: { body: body } } }\n",
    );
    insta::assert_snapshot!(diagnosis(&bench, 4, &[fake.at.port()]));
}

#[test]
fn a_store_that_shows_half_a_table() {
    let bench = Bench::new();
    rusqlite::Connection::open(bench.path("im.db"))
        .unwrap()
        .execute_batch("PRAGMA journal_mode=WAL; CREATE TABLE silo (id INTEGER, gone TEXT); INSERT INTO silo VALUES (7, NULL)")
        .unwrap();
    let fake = with_adapters(
        &bench,
        "  store: { sql: { sqlite: im.db, query: \"SELECT id, gone FROM silo\", columns: { message-id: id, expire-at: gone } } }\n",
    );
    insta::assert_snapshot!(diagnosis(&bench, 4, &[fake.at.port()]));
}

#[test]
fn a_column_that_the_query_does_not_give() {
    let bench = Bench::new();
    rusqlite::Connection::open(bench.path("im.db"))
        .unwrap()
        .execute_batch(
            "PRAGMA journal_mode=WAL; CREATE TABLE silo (id INTEGER); INSERT INTO silo VALUES (7)",
        )
        .unwrap();
    let fake = with_adapters(
        &bench,
        "  store: { sql: { sqlite: im.db, query: \"SELECT id FROM silo\", columns: { message-id: id, body: text } } }\n",
    );
    insta::assert_snapshot!(diagnosis(&bench, 4, &[fake.at.port()]));
}

#[test]
fn programs_that_fail() {
    let bench = Bench::new();
    let fake = Fake::udp(obliging);
    let accounts = format!(
        "  accounts: {{ provision: {{ command: [sh, -c, \"echo cannot add $1 >&2; exit 3\", x, \"${{password}}\"] }}, password: {PASSWORD} }}\n"
    );
    let adapters = "adapters:\n  store: { command: [sh, -c, \"exit 3\"] }\n  clock: { command: { read: [./no-such-program], advance: [./move] } }\n  policy: { command: { set: [sh, -c, \"echo read-only >&2; exit 3\"], settable: [store.modes] } }\n";
    profile(&bench, &udp(fake.at), &accounts, adapters);
    insta::assert_snapshot!(diagnosis(&bench, 4, &[fake.at.port()]));
}

#[test]
fn a_clock_file_that_cannot_be_written() {
    let bench = Bench::new();
    // The server starts, and that is all that matters here.
    bench.write("profile.yaml", "");
    let port = free_port();
    profile(
        &bench,
        &format!("udp: \"127.0.0.1:{port}\""),
        "",
        "adapters:\n  clock: { faketime: { file: \"no/such/folder/faketime\" } }\n  process: { command: [sh, -c, \"echo up; exec sleep 600\"], ready: { line: up } }\n",
    );
    insta::assert_snapshot!(diagnosis(&bench, 4, &[port]));
}

#[test]
fn a_process_that_dies_at_its_start() {
    let bench = Bench::new();
    let port = free_port();
    profile(
        &bench,
        &format!("udp: \"127.0.0.1:{port}\""),
        "",
        "adapters:\n  process: { command: [sh, -c, \"echo no such database >&2; exit 1\"] }\n",
    );
    insta::assert_snapshot!(diagnosis(&bench, 4, &[port]));
}

#[test]
fn a_program_that_is_not_installed() {
    let bench = Bench::new();
    profile(
        &bench,
        "udp: \"127.0.0.1:5060\"",
        "",
        "adapters:\n  process: { command: [no-such-server, -f, x] }\n",
    );
    insta::assert_snapshot!(diagnosis(&bench, 4, &[]));
}

/// A server with a certificate of an authority of its own, over TLS and both kinds of WebSocket.
struct Secured {
    bench: Bench,
    server: Server,
}

impl Secured {
    /// The certificate is of that authority, names that domain, and is valid or was.
    fn new(authority: &str, domain: &str, expired: bool) -> Self {
        let bench = Bench::new();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, authority);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let mut params = CertificateParams::new(vec![domain.to_owned()]).unwrap();
        if expired {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        bench.write("ca.pem", &authority.pem());
        let certificate = bench.write("server.pem", &certificate.pem());
        let key = bench.write("server.key", &key.serialize_pem());
        let users = USERS.map(|user| format!("\"sip:{user}@example.org\""));
        let config = format!(
            "accounts: [{}]\ntls: {{ certificate: \"{}\", key: \"{}\" }}\n",
            users.join(", "),
            certificate.display(),
            key.display()
        );
        let server = Server::listening(&bench, &["tls", "ws", "wss"], &config);
        Self { bench, server }
    }

    /// What the doctor says of a server that is reached so: by `transport`, at the port of `at`.
    fn diagnosis(&self, transport: &str, at: &str, ca: &str, status: i32) -> String {
        let at = self.server.at(at);
        let path = if transport.starts_with("ws") {
            "/sip"
        } else {
            ""
        };
        let text = format!(
            "name: secure\nsut: {{ product: Somebody's server }}\npixit:\n  target: {{ {transport}: \"{at}{path}\" }}\n  \
             domain: example.org\n  accounts: {{ list: [one, two, three, four] }}\n  tls: {{ ca: {ca} }}\n  timers: {{ answer: 10s, delivery: 10s, quiet: 50ms }}\n\
             pics: {{ store.modes: [pager] }}\n"
        );
        self.bench.write("profile.yaml", &text);
        diagnosis(&self.bench, status, &[at.port()])
    }
}

#[test]
fn a_server_over_tls_and_websocket() {
    let secured = Secured::new("Authority", "example.org", false);
    let mut all = String::new();
    for transport in ["tls", "ws", "wss"] {
        let _ = writeln!(
            all,
            "{}",
            secured.diagnosis(transport, transport, "ca.pem", 0)
        );
    }
    insta::assert_snapshot!(all);
}

#[test]
fn what_keeps_tls_and_websocket_from_coming_about() {
    let right = Secured::new("Authority", "example.org", false);
    let other = Secured::new("Another", "example.org", false);
    right.bench.write("other.pem", &other.bench.read("ca.pem"));
    right.bench.write("none.pem", "no certificate\n");
    let renamed = Secured::new("Authority", "other.example", false);
    let expired = Secured::new("Authority", "example.org", true);
    let broken = [
        ("Another authority.", &right, "tls", "tls", "other.pem"),
        (
            "Another authority, WebSocket.",
            &right,
            "wss",
            "wss",
            "other.pem",
        ),
        (
            "A file without an authority.",
            &right,
            "tls",
            "tls",
            "none.pem",
        ),
        (
            "The certificate of another domain.",
            &renamed,
            "tls",
            "tls",
            "ca.pem",
        ),
        (
            "The certificate of another domain, WebSocket.",
            &renamed,
            "wss",
            "wss",
            "ca.pem",
        ),
        (
            "A certificate of long ago.",
            &expired,
            "tls",
            "tls",
            "ca.pem",
        ),
        (
            "A certificate of long ago, WebSocket.",
            &expired,
            "wss",
            "wss",
            "ca.pem",
        ),
        (
            "TLS where plain SIP is spoken.",
            &right,
            "tls",
            "tcp",
            "ca.pem",
        ),
        (
            "TLS where WebSocket is spoken.",
            &right,
            "tls",
            "ws",
            "ca.pem",
        ),
        (
            "WebSocket where SIP is spoken.",
            &right,
            "ws",
            "tcp",
            "ca.pem",
        ),
        (
            "WebSocket without TLS where it is under TLS.",
            &right,
            "ws",
            "wss",
            "ca.pem",
        ),
        (
            "WebSocket under TLS where it is without.",
            &right,
            "wss",
            "ws",
            "ca.pem",
        ),
    ];
    let mut all = String::new();
    for (what, server, transport, at, ca) in broken {
        let said = server.diagnosis(transport, at, ca, 4);
        // What comes after the target is the same for all.
        let target = said.lines().skip_while(|line| !line.starts_with("fails"));
        let target: Vec<&str> = target
            .enumerate()
            .take_while(|(number, line)| *number == 0 || line.starts_with(' '))
            .map(|(_, line)| line)
            .collect();
        let _ = writeln!(all, "{what}\n{}\n", target.join("\n"));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn an_invalid_profile_ends_with_2() {
    let bench = Bench::new();
    bench.write("profile.yaml", "name: x\n");
    let ended = bench
        .imspec(&["doctor", "--profile", "profile.yaml"])
        .expect(2);
    assert!(ended.stderr.contains("profile.yaml:"), "{}", ended.stderr);
}

#[test]
fn the_reference_server_is_well() {
    let bench = Bench::new();
    let ended = bench.imspec(&["doctor", "--json"]).expect(0);
    let told: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(told["works"], true);
    let lines = told["lines"].as_array().unwrap();
    let state = |what: &str| {
        let mut lines = lines.iter().filter(|line| line["what"] == what);
        lines.next().unwrap_or_else(|| panic!("no line {what}"))["state"].clone()
    };
    for what in [
        "process",
        "target udp",
        "target tcp",
        "accounts",
        "register",
        "message",
        "store",
        "delivery",
        "deregister",
        "session",
        "clock",
        "clock moved",
        "store time",
        "policy",
        "restart",
    ] {
        assert_eq!(state(what), "ok", "{what}: {}", ended.stdout);
    }
    assert_eq!(state("relay"), "not-promised");
}

#[test]
fn a_run_says_that_only_trying_came() {
    let bench = Bench::new();
    let fake = Fake::udp(|request| vec![answer(request, "100 Trying", "")]);
    profile(&bench, &udp(fake.at), "", "");
    let args = [
        "run",
        "--profile",
        "profile.yaml",
        "--out",
        "out",
        "--once",
        "PG-01",
    ];
    bench.imspec(&args).expect(0);
    let record = bench.record();
    let reasons: Vec<&str> = record["cases"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|case| case["verdict"] == "inconclusive")
        .filter_map(|case| case["reason"].as_str())
        .collect();
    let told = reasons
        .iter()
        .any(|reason| reason.contains("100 is all that came"));
    assert!(told, "{reasons:?}");
}
