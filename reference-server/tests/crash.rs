//! `kill -9` at any moment loses no message whose 202 left, and no Message-ID is given twice.
//!
//! The server runs in a process of its own: this test program, started again.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use imspec_reference_server::Server;
use support::{ALICE, Agent, BOB, CAROL, Control};

const STORE: &str = "IMSPEC_CRASH_TEST_STORE";
const SEQUENCE: &str = "IMSPEC_CRASH_TEST_SEQUENCE";
const ROUNDS: usize = 12;
const SENDERS: usize = 8;

/// Not a test of its own: what the other one starts and kills.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_child_serves_until_it_is_killed() {
    let (Ok(path), Ok(sequence)) = (std::env::var(STORE), std::env::var(SEQUENCE)) else {
        return;
    };
    let extra = format!("policy: {{ mid.sequence: {sequence} }}");
    let server = Server::start(support::config(path.as_ref(), &extra))
        .await
        .unwrap();
    let addresses = server.addresses();
    println!(
        "\nREADY {} {}",
        addresses.tcp[0],
        addresses.control.unwrap()
    );
    // Not for ever, in case that nobody is left to kill it.
    tokio::time::sleep(Duration::from_mins(2)).await;
}

struct Process {
    child: Child,
    sip: std::net::SocketAddr,
    control: Control,
}

impl Process {
    fn start(path: &std::path::Path, sequence: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "the_child_serves_until_it_is_killed",
                "--nocapture",
            ])
            .env(STORE, path)
            .env(SEQUENCE, sequence)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines
            .map(Result::unwrap)
            .find(|line| line.starts_with("READY "));
        let ready = ready.expect("the child to start");
        let mut words = ready.split(' ').skip(1).map(|word| word.parse().unwrap());
        let sip = words.next().unwrap();
        Self {
            child,
            sip,
            control: Control(words.next().unwrap()),
        }
    }

    fn kill(mut self) {
        // SIGKILL, on Unix.
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_and_no_id_comes_back() {
    if std::env::var(STORE).is_ok() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("crash.db");
    let mut acknowledged: BTreeSet<String> = BTreeSet::new();
    // Which message had which ID.
    let mut ids: BTreeMap<String, String> = BTreeMap::new();
    let mut total = 0;
    for round in 0..ROUNDS {
        let sequence = ["increasing", "consecutive", "none"][round % 3];
        let process = Process::start(&path, sequence);
        check(&process.control, &mut acknowledged, &mut ids).await;
        let mut senders = tokio::task::JoinSet::new();
        for sender in 0..SENDERS {
            let sip = process.sip;
            senders.spawn(async move { send_until_it_dies(sip, round, sender).await });
        }
        // Any moment will do; a few milliseconds are hundreds of writes.
        tokio::time::sleep(Duration::from_millis(fastrand::u64(20..120))).await;
        process.kill();
        while let Some(sent) = senders.join_next().await {
            acknowledged.extend(sent.unwrap());
        }
        total += acknowledged.len();
    }
    assert!(total > ROUNDS, "the senders hardly got a word in");
    let process = Process::start(&path, "increasing");
    check(&process.control, &mut acknowledged, &mut ids).await;
    process.kill();
}

/// Sends one text after the other, and gives those that were acknowledged.
async fn send_until_it_dies(sip: std::net::SocketAddr, round: usize, sender: usize) -> Vec<String> {
    let mut agent = Agent::tcp(ALICE, sip).await;
    let mut acknowledged = Vec::new();
    for n in 0.. {
        let text = format!("round {round} sender {sender} message {n}");
        let to = if n % 2 == 0 { BOB } else { CAROL };
        let request = agent
            .message(to)
            .header("Expires", "3600")
            .body(text.clone())
            .octets();
        match agent.try_ask(&request).await {
            Some(response) => {
                assert_eq!(response.status(), Some(202));
                acknowledged.push(text);
            }
            None => break,
        }
    }
    acknowledged
}

/// Everything acknowledged is there once, whole, under an ID that nothing else ever had. Then all
/// of it is deleted by expiry, so that the next round shows whether deleted IDs come back.
async fn check(
    control: &Control,
    acknowledged: &mut BTreeSet<String>,
    ids: &mut BTreeMap<String, String>,
) {
    let messages = control.get("/v1/messages").await["messages"]
        .as_array()
        .unwrap()
        .clone();
    let mut texts = BTreeSet::new();
    for message in &messages {
        let text = message["body"]["text"].as_str().unwrap().to_owned();
        let id = message["message_id"].as_str().unwrap().to_owned();
        assert!(text.contains(" message "), "half a record: {message}");
        assert!(texts.insert(text.clone()), "stored twice: {text}");
        let owner = ids.entry(id.clone()).or_insert_with(|| text.clone());
        assert_eq!(*owner, text, "{id} was given twice");
    }
    let lost: Vec<_> = acknowledged.difference(&texts).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    control.advance(3601).await;
    assert!(
        control.get("/v1/messages").await["messages"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    acknowledged.clear();
}
