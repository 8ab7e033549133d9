//! `kill -9` at any moment loses no message whose 202, or whose last MSRP 200, left, and no Message-ID is
//! given twice. What was not complete is not there at all.
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
use support::sender::{Dialog, Msrp, offer, own_path};
use support::{ALICE, Agent, BOB, CAROL, Control, show};

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

    /// A line of the process' status, in KiB.
    #[cfg(target_os = "linux")]
    fn memory(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
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

/// What a session got acknowledged.
#[derive(Default)]
struct Acknowledged {
    /// Texts of messages.
    complete: BTreeSet<String>,
    /// Texts of messages whose BYE was answered too.
    ended: BTreeSet<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_lose_nothing_acknowledged_and_keep_nothing_by_halves() {
    if std::env::var(STORE).is_ok() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("crash.db");
    let mut acknowledged = Acknowledged::default();
    let mut total = 0;
    for round in 0..ROUNDS {
        let process = Process::start(&path, "none");
        check_sessions(&process.control, &path, &mut acknowledged).await;
        let mut senders = tokio::task::JoinSet::new();
        for sender in 0..SENDERS {
            let sip = process.sip;
            senders.spawn(async move {
                let mut got = Acknowledged::default();
                while hold_session(sip, &format!("{round}.{sender}"), &mut got)
                    .await
                    .is_some()
                {}
                got
            });
        }
        tokio::time::sleep(Duration::from_millis(fastrand::u64(100..300))).await;
        process.kill();
        while let Some(got) = senders.join_next().await {
            let got = got.unwrap();
            acknowledged.complete.extend(got.complete);
            acknowledged.ended.extend(got.ended);
        }
        total += acknowledged.complete.len();
    }
    assert!(total > ROUNDS, "the senders hardly got a word in");
    let process = Process::start(&path, "none");
    check_sessions(&process.control, &path, &mut acknowledged).await;
    process.kill();
}

/// A message of 30 octets, or of several pieces.
fn text_of(name: &str) -> String {
    let length = if fastrand::bool() { 30 } else { 150_000 };
    let mut text = format!("{name} {length} ");
    while text.len() < length {
        text.push(char::from(b'a' + u8::try_from(text.len() % 26).unwrap()));
    }
    text
}

fn is_whole(text: &str) -> bool {
    let mut words = text.splitn(3, ' ');
    let (name, length) = (words.next().unwrap(), words.next().unwrap());
    let start = format!("{name} {length} ").len();
    let tail = text.bytes().enumerate().skip(start);
    text.len().to_string() == length
        && tail
            .into_iter()
            .all(|(at, octet)| usize::from(octet - b'a') == at % 26)
}

/// One session with two messages in chunks. `None` when the server died.
async fn hold_session(sip: std::net::SocketAddr, name: &str, got: &mut Acknowledged) -> Option<()> {
    let mut agent = Agent::try_tcp(ALICE, sip).await?;
    let own = own_path();
    let invite = agent.invitation(BOB, &offer(&own, 7394, ""));
    let ok = agent.try_ask(&invite.clone().octets()).await?;
    assert_eq!(ok.status(), Some(200), "{}", show(&ok));
    let mut dialog = Dialog {
        invite: invite.build().unwrap(),
        ok,
        cseq: 0,
    };
    let ack = dialog.request(&agent, "ACK");
    agent.try_send(&ack.octets()).await?;
    let mut msrp = Msrp::try_connect(&dialog.path(), &own).await?;
    let mut complete = BTreeSet::new();
    for message in 0..2 {
        let text = text_of(&format!("{name}.{}.{message}", support::unique()));
        let id = format!("m{}", support::unique());
        let (half, end) = (text.len() / 2, text.len());
        for (from, to, flag) in [(half, end, '$'), (0, half, '+')] {
            let range = format!(
                "Message-ID: {id}\r\nByte-Range: {}-{to}/{end}\r\n",
                from + 1
            );
            let tid = format!("tid{}", support::unique());
            let chunk = msrp.chunk(&tid, &range, &text.as_bytes()[from..to], flag);
            let answer = msrp.try_ask(&chunk).await?;
            assert!(answer.contains(" 200 "), "{answer}");
        }
        complete.insert(text.clone());
        got.complete.insert(text);
    }
    let bye = dialog.request(&agent, "BYE");
    assert_eq!(agent.try_ask(&bye.octets()).await?.status(), Some(200));
    got.ended.extend(complete);
    Some(())
}

async fn check_sessions(
    control: &Control,
    path: &std::path::Path,
    acknowledged: &mut Acknowledged,
) {
    let messages = control.get("/v1/messages").await["messages"]
        .as_array()
        .unwrap()
        .clone();
    let mut texts = BTreeSet::new();
    for message in &messages {
        let text = message["body"]["text"].as_str().unwrap().to_owned();
        assert!(is_whole(&text), "half a message of {} octets", text.len());
        assert!(!acknowledged.ended.contains(&text) || message["bye"].is_object());
        assert!(texts.insert(text), "stored twice");
    }
    let lost = acknowledged.complete.difference(&texts).count();
    assert_eq!(lost, 0, "acknowledged and lost");
    let file = rusqlite::Connection::open(path).unwrap();
    let query = "SELECT count(*) FROM piece WHERE content NOT IN (SELECT content FROM part)";
    let orphans: i64 = file.query_row(query, [], |row| row.get(0)).unwrap();
    assert_eq!(orphans, 0, "pieces of what was not complete");
    for account in [BOB, ALICE] {
        control
            .post("/v1/accounts", serde_json::json!({ "remove": [account] }))
            .await;
        control
            .post("/v1/accounts", serde_json::json!({ "add": [account] }))
            .await;
    }
    let pieces: i64 = file
        .query_row("SELECT count(*) FROM piece", [], |row| row.get(0))
        .unwrap();
    assert_eq!(pieces, 0, "content goes with its account");
    *acknowledged = Acknowledged::default();
}

#[cfg(target_os = "linux")]
const SIZE: usize = 64 * 1024 * 1024;
#[cfg(target_os = "linux")]
const CHUNK: usize = 2048;

/// Peak memory while 64 MiB come in chunks of 2 KiB: bounded by pieces, not by the message.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_message_does_not_cost_its_size_in_memory() {
    if std::env::var(STORE).is_ok() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(&folder.path().join("large.db"), "none");
    let idle = process.memory("VmRSS");
    let mut agent = Agent::tcp(ALICE, process.sip).await;
    let own = own_path();
    let invite = agent.invitation(BOB, &offer(&own, 7394, ""));
    let mut dialog = agent.establish(invite).await;
    let msrp = Msrp::connect(&dialog.path(), &own).await;
    let piece: Vec<u8> = (0..CHUNK).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let chunks: Vec<(String, String, char)> = (0..SIZE / CHUNK)
        .map(|n| {
            let range = format!(
                "Message-ID: m1\r\nByte-Range: {}-*/{SIZE}\r\n",
                n * CHUNK + 1
            );
            let flag = if (n + 1) * CHUNK == SIZE { '$' } else { '+' };
            (format!("chunk{n}"), range, flag)
        })
        .collect();
    let frames: Vec<Vec<u8>> = chunks
        .iter()
        .map(|(tid, range, flag)| msrp.chunk(tid, range, b"", *flag))
        .collect();
    let (mut reading, mut writing) = tokio::io::split(msrp.stream);
    let began = std::time::Instant::now();
    let writer = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        for frame in &frames {
            let body = frame
                .windows(4)
                .position(|word| word == b"\r\n\r\n")
                .unwrap()
                + 4;
            let whole = [&frame[..body], &piece, &frame[body..]].concat();
            writing.write_all(&whole).await.unwrap();
        }
        writing
    });
    let last = format!("MSRP chunk{} 200 ", SIZE / CHUNK - 1);
    let mut answers = Vec::new();
    let all = async {
        use tokio::io::AsyncReadExt as _;
        let mut octets = vec![0; 65_536];
        loop {
            let length = reading.read(&mut octets).await.unwrap();
            assert_ne!(length, 0, "the server closed the connection");
            answers.extend_from_slice(&octets[..length]);
            if answers
                .windows(last.len())
                .any(|word| word == last.as_bytes())
            {
                return;
            }
            let keep = answers.len().saturating_sub(200);
            answers.drain(..keep);
        }
    };
    tokio::time::timeout(Duration::from_mins(2), all)
        .await
        .expect("the last answer");
    let took = began.elapsed();
    drop(writer.await.unwrap());
    dialog.bye(&mut agent).await;
    let peak = process.memory("VmHWM");
    let record = &process.control.messages(BOB).await[0];
    assert_eq!(record["body"]["octets"].as_u64(), Some(SIZE as u64));
    println!("64 MiB in 2 KiB chunks: {took:.1?}, idle {idle} KiB, peak {peak} KiB");
    assert!(peak < idle + 48 * 1024, "idle {idle} KiB, peak {peak} KiB");
    process.kill();
}
