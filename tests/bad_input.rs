//! Servers and profiles that are broken, each in one way, under `imspec run`: every case is inconclusive or an error with
//! a sentence that says what to look at, nobody is blamed, and no credential is told by anything that is printed or
//! written.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod support;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;

use regex::Regex;
use support::fake::{Fake, answer, is, obliging};
use support::{Bench, Server, free_port};

/// A profile with short timers. `more` stands below `pixit`, `rest` at the end.
fn profile(bench: &Bench, target: &str, more: &str, rest: &str) {
    bench.write(
        "profile.yaml",
        &format!(
            "name: broken\nsut: {{ product: Somebody's server }}\npixit:\n  target: {{ {target} }}\n  domain: example.org\n  \
             timers: {{ t1: 100ms, answer: 1s, delivery: 300ms, quiet: 50ms, store: 300ms }}\n{more}\
             pics: {{ accept.status: 202 }}\n{rest}"
        ),
    );
}

/// What a run says of each case, every sentence once; or why there was none. Nobody is blamed.
fn told(bench: &Bench) -> String {
    let ended = bench.imspec(&[
        "run",
        "--profile",
        "profile.yaml",
        "--out",
        "out",
        "--once",
        "--quiet",
        "PG-01",
        "PG-05",
    ]);
    let said = match ended.status {
        0 | 5 => {
            let record = bench.record();
            let cases = record["cases"].as_array().unwrap();
            let sentences = cases.iter().map(|case| {
                let verdict = case["verdict"].as_str().unwrap();
                assert!(["inconclusive", "error"].contains(&verdict), "{case}");
                plain(
                    bench,
                    &format!("{verdict}: {}\n", case["reason"].as_str().unwrap()),
                )
            });
            let sentences: BTreeSet<String> = sentences.collect();
            sentences.into_iter().collect()
        }
        4 => ended.stderr,
        other => panic!("status {other}\n{}{}", ended.stdout, ended.stderr),
    };
    plain(bench, &said)
}

/// The same in every run: without ports, folders and what is drawn for each case.
fn plain(bench: &Bench, text: &str) -> String {
    let folder = bench.path("").canonicalize().unwrap();
    let text = text.replace(folder.to_str().unwrap().trim_end_matches('/'), "FOLDER");
    let port = Regex::new(r"127\.0\.0\.1:\d+").unwrap();
    let time = Regex::new(r"within \d+ ms").unwrap();
    let user = Regex::new(r"\b(alice|bob)-pg-[0-9a-z-]+").unwrap();
    let text = port.replace_all(&text, "127.0.0.1:PORT").into_owned();
    let text = time.replace_all(&text, "within N ms");
    user.replace_all(&text, "$1-OF-CASE").into_owned()
}

fn udp(at: SocketAddr) -> String {
    format!("udp: \"{at}\"")
}

const PASSWORD: &str = "  accounts: { provision: none, password: s3cret }\n";

#[test]
fn a_run_says_what_is_wrong_with_credentials() {
    let bench = Bench::new();
    let server = Server::start(
        &bench,
        "policy: { auth.register: digest, auth.sender: digest }\n",
    );
    profile(&bench, &udp(server.udp), PASSWORD, "");
    let wrong = told(&bench);
    profile(&bench, &udp(server.udp), "", "");
    let none = told(&bench);
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
    profile(&bench, &udp(fake.at), PASSWORD, "");
    let ever = told(&bench);
    insta::assert_snapshot!(format!(
        "A wrong password.\n{wrong}\nNone.\n{none}\nA challenge, whatever comes.\n{ever}"
    ));
}

#[test]
fn a_run_says_what_is_wrong_with_answers() {
    let bench = Bench::new();
    let fake = Fake::udp(
        |request| match request.split(' ').next().unwrap_or_default() {
            "OPTIONS" => obliging(request),
            "REGISTER" => vec![answer(
                request,
                "403 Forbidden",
                "Warning: 399 other.example \"not my domain\"\r\n",
            )],
            _ => vec![answer(request, "404 Not Found", "")],
        },
    );
    profile(&bench, &udp(fake.at), "", "");
    let other = told(&bench);
    let fake = Fake::udp(|request| {
        if is(request, "OPTIONS") {
            return obliging(request);
        }
        Vec::new()
    });
    profile(&bench, &udp(fake.at), "", "");
    let slow = told(&bench);
    let fake = Fake::tcp(|mut stream| {
        let mut octets = vec![0; 65536];
        while let Ok(length @ 1..) = stream.read(&mut octets) {
            let request = String::from_utf8_lossy(&octets[..length]).into_owned();
            let response = answer(&request, "200 OK", "Server: fake\r\n");
            if is(&request, "OPTIONS") {
                let _ = stream.write_all(response.as_bytes());
            } else {
                // In the middle of the answer.
                let _ = stream.write_all(&response.as_bytes()[..60]);
                return;
            }
        }
    });
    profile(&bench, &format!("tcp: \"{}\"", fake.at), "", "");
    let cut = told(&bench);
    insta::assert_snapshot!(format!(
        "A server of another domain.\n{other}\nOne that answers later than the profile waits.\n{slow}\n\
         One that hangs up in the middle of an answer.\n{cut}"
    ));
}

#[test]
fn a_run_says_what_is_wrong_with_the_store() {
    let bench = Bench::new();
    let server = Server::start(&bench, "");
    rusqlite::Connection::open(bench.path("im.db"))
        .unwrap()
        .execute_batch("PRAGMA journal_mode=WAL; CREATE TABLE silo (id INTEGER, gone TEXT); INSERT INTO silo VALUES (7, NULL)")
        .unwrap();
    let accounts = "  accounts: { provision: control }\n";
    let policy = format!(
        "  policy: {{ control: {{ url: \"http://{}\", settable: [] }} }}\n",
        server.control
    );
    let mut all = String::new();
    for (what, sql) in [
        (
            "A file that is not there.",
            "sqlite: none.db, query: \"SELECT body FROM silo\", columns: { body: body }",
        ),
        (
            "A query that fails.",
            "sqlite: im.db, query: \"SELECT body FROM silo\", columns: { body: body }",
        ),
        (
            "Half a table.",
            "sqlite: im.db, query: \"SELECT id, gone FROM silo\", columns: { message-id: id, expire-at: gone }",
        ),
        (
            "A database that is not there.",
            "postgres: \"postgres://im:s3cret@127.0.0.1:1/im\", query: \"SELECT body FROM silo\", columns: { body: body }",
        ),
    ] {
        let adapters = format!("adapters:\n{policy}  store: {{ sql: {{ {sql} }} }}\n");
        profile(&bench, &udp(server.udp), accounts, &adapters);
        let _ = writeln!(all, "{what}\n{}", told(&bench));
    }
    insta::assert_snapshot!(all);
}

/// Everything that commands print and write about the profile, by where it stands; `fewer`: only those commands that use
/// the store.
fn outputs(bench: &Bench, fewer: bool) -> Vec<(String, Vec<u8>)> {
    let _ = std::fs::remove_dir_all(bench.path("out"));
    std::fs::create_dir(bench.path("out")).unwrap();
    let mut all = Vec::new();
    let formats =
        "html,junit,markdown,tap,ctrf,github,statement,statement-markdown,badge,shields,json";
    let all_of_them = [
        (
            "run --profile profile.yaml --out out --once --verbose PG-01 MS-01",
            "",
        ),
        ("run --profile profile.yaml --out out --once PG-01", "trace"),
        ("report out --out out --format FORMATS", ""),
        ("report out --pcapng out/all.pcapng", ""),
        ("judge out --out out/again", ""),
        ("doctor profile.yaml", ""),
        ("doctor --json profile.yaml", ""),
        ("check --profile profile.yaml", ""),
        ("adapter check profile.yaml", ""),
        ("list --profile profile.yaml --json", ""),
    ];
    for (args, env) in all_of_them {
        let uses_store = ["run", "report", "doctor"]
            .iter()
            .any(|name| args.starts_with(name));
        if fewer && (!uses_store || !env.is_empty() || args.contains("json ")) {
            continue;
        }
        let words: Vec<&str> = args
            .split(' ')
            .map(|word| if word == "FORMATS" { formats } else { word })
            .collect();
        let mut command = bench.command(&words);
        if !env.is_empty() {
            command.env("IMSPEC_LOG", env);
        }
        let ended = command.output().unwrap();
        all.push((format!("{args}: stdout"), ended.stdout));
        all.push((format!("{args}: stderr"), ended.stderr));
    }
    written(&bench.path("out"), &mut all);
    all
}

fn written(folder: &Path, all: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            written(&path, all);
        } else {
            all.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
}

/// None of the outputs has one of the secrets; and there are some.
fn keeps(bench: &Bench, secrets: &[&str], fewer: bool) {
    bench
        .imspec(&["check", "--profile", "profile.yaml"])
        .expect(0);
    let outputs = outputs(bench, fewer);
    assert!(outputs.iter().any(|(_, octets)| !octets.is_empty()));
    for (place, octets) in outputs {
        for secret in secrets {
            let told = octets
                .windows(secret.len())
                .any(|part| part == secret.as_bytes());
            assert!(!told, "{place} tells {secret}");
        }
    }
}

#[test]
fn no_output_tells_the_password_of_an_account_or_of_a_relay() {
    let bench = Bench::new();
    let server = Server::start(
        &bench,
        "policy: { auth.register: digest, auth.sender: digest }\n",
    );
    let adapters = format!(
        "adapters:\n  policy: {{ control: {{ url: \"http://{}\", settable: [] }} }}\n",
        server.control
    );
    let relay = Fake::tcp(|mut stream| {
        let mut octets = vec![0; 65536];
        while let Ok(length @ 1..) = stream.read(&mut octets) {
            let text = String::from_utf8_lossy(&octets[..length]).into_owned();
            let id = text.split(' ').nth(1).unwrap_or_default();
            let challenge = "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"";
            let answer = format!(
                "MSRP {id} 401 Unauthorized\r\nTo-Path: msrp://a:1/b;tcp\r\nFrom-Path: msrp://c:1;tcp\r\n{challenge}\r\n-------{id}$\r\n"
            );
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    let more = format!(
        "  accounts: {{ provision: control, password: \"s3cret-of-${{user}}\" }}\n  \
         msrp: {{ relay: {{ uri: \"msrp://{};tcp\", user: im, password: r3lay-s3cret }} }}\n",
        relay.at
    );
    profile(&bench, &udp(server.udp), &more, &adapters);
    keeps(
        &bench,
        &[
            "s3cret-of-alice",
            "s3cret-of-bob",
            "s3cret-of-user",
            "r3lay-s3cret",
        ],
        false,
    );
    // Those of a list of accounts.
    let more = "  accounts: { list: [one, two, three, four], password: \"s3cret-of-${user}\" }\n";
    profile(&bench, &udp(server.udp), more, &adapters);
    keeps(
        &bench,
        &["s3cret-of-one", "s3cret-of-two", "s3cret-of-three"],
        true,
    );
}

#[test]
fn no_output_tells_the_password_of_a_store() {
    let bench = Bench::new();
    let fake = Fake::udp(obliging);
    bench.write("im.password", "f1le-s3cret\n");
    let imap = Fake::tcp(|mut stream| {
        let _ = stream.write_all(b"* OK here\r\n");
        let mut octets = vec![0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut octets) {
            // It says what it has heard, as some do.
            let text = String::from_utf8_lossy(&octets[..length]).into_owned();
            let tag = text.split(' ').next().unwrap_or_default();
            let said = format!("{tag} NO what is {}", text.trim_end());
            let _ = stream.write_all(format!("{said}\r\n").as_bytes());
        }
    });
    let port = free_port();
    let query =
        "query: \"SELECT body FROM silo WHERE account = :account\", columns: { body: body }";
    for store in [
        format!(
            "{{ sql: {{ postgres: \"postgres://im:url-s3cret@127.0.0.1:{port}/im\", {query} }} }}"
        ),
        format!(
            "{{ sql: {{ postgres: \"host=127.0.0.1 port={port} user=im\", password: key-s3cret, {query} }} }}"
        ),
        format!("{{ sql: {{ mysql: \"mysql://im:url-s3cret@127.0.0.1:{port}/im\", {query} }} }}"),
        format!(
            "{{ sql: {{ mysql: \"mysql://im@127.0.0.1:{port}/im\", password-file: im.password, {query} }} }}"
        ),
        format!(
            "{{ imap: {{ server: \"{}\", login: \"${{user}}\", password: key-s3cret, columns: {{ body: body }} }} }}",
            imap.at
        ),
    ] {
        profile(
            &bench,
            &udp(fake.at),
            "",
            &format!("adapters:\n  store: {store}\n"),
        );
        keeps(&bench, &["url-s3cret", "key-s3cret", "f1le-s3cret"], true);
    }
}

#[test]
fn no_output_tells_what_programs_are_given() {
    let bench = Bench::new();
    let port = free_port();
    // The server prints its environment, and dies.
    let adapters = "adapters:\n  process: { command: [sh, -c, \"env >&2; exit 1\"], env: { DB_PASSWORD: env-s3cret, API_TOKEN: t0ken-s3cret } }\n";
    let accounts = "  accounts: { provision: { command: [sh, -c, \"echo $0 >&2; exit 1\", \"${password}\"] }, password: given-s3cret }\n";
    profile(
        &bench,
        &format!("udp: \"127.0.0.1:{port}\""),
        accounts,
        adapters,
    );
    keeps(
        &bench,
        &["env-s3cret", "t0ken-s3cret", "given-s3cret"],
        false,
    );
    let fake = Fake::udp(obliging);
    profile(&bench, &udp(fake.at), accounts, "");
    keeps(&bench, &["given-s3cret"], true);
}
