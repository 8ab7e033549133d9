//! Bad input in sessions: refused as the RFC says, with bounded memory, other sessions undisturbed, and
//! nothing half-received ever stored as whole.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

#[path = "support/held_store.rs"]
mod held_store;
mod support;
#[path = "support/tls.rs"]
#[allow(dead_code, unreachable_pub, reason = "of which each test uses a part")]
mod tls;

use std::sync::Arc;

use imspec_reference_server::msrp::Tap;
use imspec_reference_server::{Parts, Server};
use imspec_wire::msrp::Piece;
use imspec_wire::sip::Builder;
use support::sender::{Dialog, Msrp, address_of, line, offer, own_path};
use support::{ALICE, Agent, BOB, CAROL, Control, PATIENCE, Setup, show};
use tokio::net::TcpStream;
use tokio::sync::Notify;

async fn session(alice: &mut Agent, to: &str) -> (Dialog, Msrp) {
    let own = own_path();
    let invite = alice.invitation(to, &offer(&own, 7394, ""));
    let dialog = alice.establish(invite).await;
    let msrp = Msrp::connect(&dialog.path(), &own).await;
    (dialog, msrp)
}

/// A session that goes on beside what is done to others.
struct Bystander {
    agent: Agent,
    dialog: Dialog,
    msrp: Msrp,
    sent: usize,
}

impl Bystander {
    async fn new(setup: &Setup) -> Self {
        let mut agent = setup.agent(ALICE).await;
        let (dialog, mut msrp) = session(&mut agent, CAROL).await;
        assert_eq!(
            msrp.send("Message-ID: by\r\nByte-Range: 1-2/4\r\n", b"by", '+')
                .await,
            200
        );
        Self {
            agent,
            dialog,
            msrp,
            sent: 0,
        }
    }

    async fn goes_on(mut self, setup: &Setup) {
        assert_eq!(
            self.msrp
                .send("Message-ID: by\r\nByte-Range: 3-4/4\r\n", b"st", '$')
                .await,
            200
        );
        self.sent += 1;
        self.dialog.bye(&mut self.agent).await;
        let records = setup.control.messages(CAROL).await;
        assert_eq!(records.len(), self.sent);
        assert_eq!(records[0]["body"]["text"], "byst");
        assert!(
            setup.control.messages(BOB).await.is_empty(),
            "nothing half-received is stored"
        );
    }
}

/// Content in the file that no record has.
fn orphans(setup: &Setup) -> i64 {
    let file = rusqlite::Connection::open(setup.folder.path().join("s.db")).unwrap();
    let query = "SELECT count(*) FROM piece WHERE content NOT IN (SELECT content FROM part)";
    file.query_row(query, [], |row| row.get(0)).unwrap()
}

async fn until_no_orphans(setup: &Setup) {
    let gone = async {
        while orphans(setup) > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone)
        .await
        .expect("the pieces to go");
}

#[tokio::test]
async fn half_a_chunk_and_silence_ends_the_connection() {
    let setup = Setup::new("msrp: { chunk_s: 1 }\nsession: { resume_s: 0, linger_ms: 20 }").await;
    let bystander = Bystander::new(&setup).await;
    let mut alice = setup.agent(ALICE).await;
    let (_dialog, mut msrp) = session(&mut alice, BOB).await;
    let octets = msrp.chunk("half1", "Message-ID: m1\r\n", &vec![b'x'; 100_000], '$');
    msrp.write(&octets[..80_000]).await;
    assert!(msrp.is_closed().await);
    assert_eq!(alice.receive_and(200).await.method(), Some("BYE"));
    until_no_orphans(&setup).await;
    bystander.goes_on(&setup).await;
}

#[tokio::test]
async fn a_chunk_that_never_ends_is_refused_and_then_cut_off() {
    let setup = Setup::new("session: { max_octets: 200000, resume_s: 0 }").await;
    let bystander = Bystander::new(&setup).await;
    let mut alice = setup.agent(ALICE).await;
    let (_dialog, mut msrp) = session(&mut alice, BOB).await;
    let octets = msrp.chunk(
        "endless1",
        "Message-ID: m1\r\nByte-Range: 1-*/*\r\n",
        b"",
        '$',
    );
    let head = octets.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    msrp.write(&octets[..head]).await;
    let (mut reading, mut writing) = tokio::io::split(msrp.stream);
    let endless = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        let mut written = 0_u64;
        while writing.write_all(&[b'y'; 16_384]).await.is_ok() {
            written += 16_384;
        }
        written
    });
    let mut answer = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut reading, &mut answer);
    let _ = tokio::time::timeout(PATIENCE, read)
        .await
        .expect("the connection to be closed");
    assert!(String::from_utf8_lossy(&answer).starts_with("MSRP endless1 413 "));
    let written = endless.await.unwrap();
    assert!(written < 16 * 1024 * 1024, "{written} octets were taken");
    until_no_orphans(&setup).await;
    bystander.goes_on(&setup).await;
}

#[tokio::test]
async fn an_end_line_of_another_transaction_ends_nothing() {
    let setup = Setup::new("msrp: { chunk_s: 1 }").await;
    let bystander = Bystander::new(&setup).await;
    let mut alice = setup.agent(ALICE).await;
    let (_dialog, mut msrp) = session(&mut alice, BOB).await;
    let octets = msrp.chunk("before1", "Message-ID: m1\r\n", b"changes", '$');
    let changed = String::from_utf8(octets)
        .unwrap()
        .replace("-------before1", "-------after1");
    msrp.write(changed).await;
    assert!(msrp.is_closed().await);
    bystander.goes_on(&setup).await;
}

#[tokio::test]
async fn ranges_that_lie_are_measured_and_contradictions_refused() {
    let setup = Setup::new("limits: { fragments: 4, messages_per_session: 3 }").await;
    let mut alice = setup.agent(ALICE).await;
    let (_dialog, mut msrp) = session(&mut alice, BOB).await;
    let range = |id: &str, range: &str| format!("Message-ID: {id}\r\nByte-Range: {range}\r\n");
    // By the actual length, since `$` says where the message ends (RFC 4975 §7.3.1).
    assert_eq!(
        msrp.send(&range("short", "1-10/10"), b"12345678", '$')
            .await,
        200
    );
    assert_eq!(
        msrp.send(&range("long", "1-4/4"), b"12345678", '$').await,
        200
    );
    assert_eq!(msrp.send(&range("totals", "1-2/9"), b"12", '+').await, 200);
    assert_eq!(msrp.send(&range("totals", "3-4/4"), b"34", '$').await, 200);
    // Two ends, and octets beyond the end.
    assert_eq!(msrp.send(&range("ends", "5-8/*"), b"5678", '$').await, 200);
    assert_eq!(msrp.send(&range("ends", "1-2/*"), b"12", '$').await, 400);
    assert_eq!(
        msrp.send(&range("beyond", "5-8/*"), b"5678", '+').await,
        200
    );
    assert_eq!(
        msrp.send(&range("beyond", "1-4/*"), b"1234", '$').await,
        400
    );
    // One octet in each of too many places.
    for at in [2, 4, 6, 8] {
        assert_eq!(
            msrp.send(&range("gaps", &format!("{at}-{at}/*")), b"x", '+')
                .await,
            200
        );
    }
    assert_eq!(msrp.send(&range("gaps", "10-10/*"), b"x", '+').await, 413);
    // Too many in the making.
    for id in ["a1", "a2", "a3"] {
        assert_eq!(msrp.send(&range(id, "1-1/2"), b"x", '+').await, 200);
    }
    assert_eq!(msrp.send(&range("a4", "1-1/2"), b"x", '+').await, 413);
    assert_eq!(msrp.send(&range("a1", "2-2/2"), b"y", '$').await, 200);
    let records = setup.control.messages(BOB).await;
    let texts: Vec<&str> = records
        .iter()
        .map(|r| r["body"]["text"].as_str().unwrap())
        .collect();
    assert_eq!(texts, ["12345678", "12345678", "1234", "xy"]);
}

#[tokio::test]
async fn heads_without_end_and_garbage_end_their_connection() {
    let setup = Setup::new("").await;
    let bystander = Bystander::new(&setup).await;
    let mut alice = setup.agent(ALICE).await;
    for octets in [
        "X-Field: 1\r\n".repeat(10_000),
        format!("X-Long: {}\r\n", "x".repeat(200_000)),
    ] {
        let (_dialog, mut msrp) = session(&mut alice, BOB).await;
        let whole = msrp.chunk("many1", &format!("Message-ID: m1\r\n{octets}"), b"x", '$');
        // The server may have closed it in the middle.
        let _ = tokio::io::AsyncWriteExt::write_all(&mut msrp.stream, &whole).await;
        assert!(msrp.is_closed().await);
    }
    let (_dialog, msrp) = session(&mut alice, BOB).await;
    for garbage in [
        "GET / HTTP/1.1\r\n\r\n",
        "\0\u{1}\u{2}",
        "MSRP x SEND\r\nNo-Paths: 1\r\n-------x$\r\n",
    ] {
        let mut other = Msrp::connect(&msrp.to, &msrp.from).await;
        other.write(garbage.repeat(100)).await;
        other.write("\r\n".repeat(10)).await;
        tokio::io::AsyncWriteExt::shutdown(&mut other.stream)
            .await
            .unwrap();
        assert!(other.is_closed().await, "{garbage}");
    }
    bystander.goes_on(&setup).await;
}

#[tokio::test]
async fn a_connection_that_names_no_session_is_closed() {
    let setup = Setup::new("msrp: { first_s: 1 }").await;
    let bystander = Bystander::new(&setup).await;
    let address = setup.server.addresses().msrp[0];
    let nowhere = format!("msrp://{address}/guessed;tcp");
    let mut silent = Msrp::connect(&nowhere, &own_path()).await;
    let mut guessing = Msrp::connect(&nowhere, &own_path()).await;
    assert_eq!(guessing.message("m1", b"x").await, 481);
    let report = format!(
        "MSRP r1 REPORT\r\nTo-Path: {nowhere}\r\nFrom-Path: {}\r\nMessage-ID: m\r\n\
         Byte-Range: 1-1/1\r\nStatus: 000 200\r\n-------r1$\r\n",
        guessing.from
    );
    // A report is never answered, not even a lost one (RFC 4975 §7.1.2).
    guessing.write(report).await;
    assert_eq!(guessing.message("m2", b"x").await, 481);
    assert!(silent.is_closed().await && guessing.is_closed().await);
    bystander.goes_on(&setup).await;
}

#[tokio::test]
async fn sessions_and_connections_are_bounded() {
    let setup =
        Setup::new("limits: { sessions: 2, msrp_connections: 1 }\nsession: { linger_ms: 10 }")
            .await;
    let mut alice = setup.agent(ALICE).await;
    let (mut first, mut msrp) = session(&mut alice, BOB).await;
    assert_eq!(msrp.message("m1", b"x").await, 200);
    let (mut second, mut refused) = session(&mut alice, BOB).await;
    assert!(refused.is_closed().await);
    let invite = alice.invitation(BOB, &offer(&own_path(), 7394, ""));
    let full = alice.call(&invite).await;
    assert_eq!(full.status(), Some(503), "{}", show(&full));
    second.bye(&mut alice).await;
    first.bye(&mut alice).await;
    drop(msrp);
    let free = async {
        loop {
            let invite = alice.invitation(BOB, &offer(&own_path(), 7394, ""));
            if alice.call(&invite).await.status() == Some(200) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, free).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_stored_is_never_acknowledged() {
    let setup = Setup::new("").await;
    let mut alice = setup.agent(ALICE).await;
    let (_dialog, mut msrp) = session(&mut alice, BOB).await;
    let file = rusqlite::Connection::open(setup.folder.path().join("s.db")).unwrap();
    file.busy_timeout(PATIENCE).unwrap();
    let break_at = |table: &str| {
        file.execute_batch(&format!(
            "CREATE TRIGGER broken BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'broken'); END"
        ))
        .unwrap();
    };
    for table in ["message", "part", "piece"] {
        break_at(table);
        assert_eq!(msrp.message(table, b"small").await, 413, "{table}");
        let large = vec![b'x'; 300_000];
        assert_eq!(
            msrp.message(&format!("{table}2"), &large).await,
            413,
            "{table}"
        );
        file.execute_batch("DROP TRIGGER broken").unwrap();
    }
    assert!(setup.control.messages(BOB).await.is_empty());
    until_no_orphans(&setup).await;
    assert_eq!(msrp.message("m9", b"now it can").await, 200);
    assert_eq!(setup.control.messages(BOB).await.len(), 1);
}

#[tokio::test]
async fn a_cancel_while_the_invite_is_looked_at_gives_487_and_no_session() {
    let (asked, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let folder = tempfile::tempdir().unwrap();
    let config = support::config(&folder.path().join("s.db"), "");
    let server = Server::start_with(config, |parts| Parts {
        store: Arc::new(held_store::HeldStore {
            inner: Arc::clone(&parts.store),
            asked: Arc::clone(&asked),
            go_on: Arc::clone(&go_on),
        }),
        ..parts
    })
    .await
    .unwrap();
    let mut alice = Agent::udp(ALICE, server.addresses().udp[0]).await;
    let invite = alice.invitation(BOB, &offer(&own_path(), 7394, ""));
    alice.send(invite.clone().octets()).await;
    asked.notified().await;
    let invite = invite.build().unwrap();
    let mut cancel = Builder::request("CANCEL", BOB);
    for name in ["Via", "From", "To", "Call-ID", "Max-Forwards"] {
        cancel = cancel.header_line(invite.header(name).unwrap().line());
    }
    let cseq = invite
        .header("CSeq")
        .unwrap()
        .text()
        .replace("INVITE", "CANCEL");
    assert_eq!(
        alice.ask(cancel.header("CSeq", cseq)).await.status(),
        Some(200)
    );
    go_on.notify_one();
    assert_eq!(alice.response().await.status(), Some(487));
    let control = Control(server.addresses().control.unwrap());
    assert!(control.messages(BOB).await.is_empty());
}

/// A tap that makes every chunk the last one, and mutes the server.
struct Meddling;

impl Tap for Meddling {
    fn incoming(&self, piece: Piece) -> Option<Piece> {
        Some(match piece {
            Piece::End(mut end) => {
                end.flag = imspec_wire::msrp::Flag::Complete;
                Piece::End(end)
            }
            other => other,
        })
    }

    fn outgoing(&self, octets: bytes::Bytes) -> Option<bytes::Bytes> {
        (!octets.windows(5).any(|word| word == b" 200 ")).then_some(octets)
    }
}

#[tokio::test]
async fn a_tap_stands_between_the_server_and_its_connections() {
    let folder = tempfile::tempdir().unwrap();
    let config = support::config(&folder.path().join("s.db"), "session: { max_octets: 9 }");
    let server = Server::start_with(config, |parts| Parts {
        tap: Arc::new(Meddling),
        ..parts
    })
    .await
    .unwrap();
    let mut alice = Agent::udp(ALICE, server.addresses().udp[0]).await;
    let (_dialog, mut msrp) = session(&mut alice, BOB).await;
    let chunk = msrp.chunk(
        "early1",
        "Message-ID: m1\r\nByte-Range: 1-4/*\r\n",
        b"part",
        '+',
    );
    msrp.write(chunk).await;
    assert_eq!(msrp.message("m2", b"far too long").await, 413);
    let control = Control(server.addresses().control.unwrap());
    assert_eq!(control.messages(BOB).await[0]["body"]["text"], "part");
}

#[tokio::test]
async fn under_tls_the_server_shows_the_certificate_that_it_announced() {
    let setup = Setup::new("").await;
    let mut alice = setup.agent(ALICE).await;
    let own = own_path().replace("msrp:", "msrps:");
    let sdp = offer(&own, 7394, "").replace("TCP/MSRP", "TCP/TLS/MSRP");
    let invite = alice.invitation(BOB, &sdp);
    let dialog = alice.establish(invite).await;
    let answer = String::from_utf8_lossy(dialog.ok.body()).into_owned();
    assert!(answer.contains("TCP/TLS/MSRP") && dialog.path().starts_with("msrps://"));
    let announced = line(&answer, "a=fingerprint:").to_owned();
    let stream = TcpStream::connect(address_of(&dialog.path()))
        .await
        .unwrap();
    let stream = tls::connect(stream, &announced).await;
    let mut msrp = Msrp::over(Box::new(stream), &dialog.path(), &own);
    assert_eq!(msrp.message("m1", b"under cover").await, 200);
    assert_eq!(
        setup.control.messages(BOB).await[0]["body"]["text"],
        "under cover"
    );
    // The same session in the clear is another one.
    let plain = dialog.path().replace("msrps:", "msrp:");
    let address = setup.server.addresses().msrp[0];
    let mut clear = Msrp::connect(&format!("msrp://{address}/x;tcp"), &own).await;
    clear.to = plain;
    assert_eq!(clear.message("m2", b"x").await, 481);
}
