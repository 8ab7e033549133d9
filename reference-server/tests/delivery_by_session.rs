//! Deferred messages brought by a message session: to a recipient that does everything right, and to
//! ones that do not.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "tests"
)]

mod support;
#[path = "support/tls.rs"]
#[allow(unreachable_pub, reason = "test support")]
mod tls;

use std::net::SocketAddr;
use std::path::Path;

use bytes::Bytes;
use imspec_reference_server::clock::Timestamp;
use imspec_reference_server::store::{
    Form, Inserted, NewMessage, PIECE, Part, Piece, SessionRecord, SqliteStore, Store as _,
};
use imspec_reference_server::{Config, Server};
use imspec_wire::msrp::{Decoder, Flag, Head, Limits, Piece as Octets};
use imspec_wire::sdp::Description;
use imspec_wire::sip::{Builder, Message};
use serde_json::json;
use support::{ALICE, Agent, BOB, Control, PATIENCE, body, sender, show};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Everything by a session, and answers soon missed.
const BY_SESSION: &str = "msrp: { transaction_s: 2 }\n\
                          policy: { delivery.form: session }\n";

struct Setup {
    server: Server,
    folder: tempfile::TempDir,
    control: Control,
}

fn config(folder: &Path, extra: &str) -> Config {
    support::config(&folder.join("s.db"), extra)
}

impl Setup {
    async fn new(extra: &str) -> Self {
        Self::with_records(extra, Vec::new()).await
    }

    /// A server whose store holds messages that came by a session.
    async fn with_records(extra: &str, records: Vec<Record>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), extra);
        // The first start makes the accounts.
        Server::start(config.clone()).await.unwrap().stop().await;
        let store = SqliteStore::open(&config.store.path).unwrap();
        for record in records {
            record.put(&store).await;
        }
        store.close().await.unwrap();
        let server = Server::start(config).await.unwrap();
        let control = Control(server.addresses().control.unwrap());
        Self {
            server,
            folder,
            control,
        }
    }

    async fn bob(&self) -> Agent {
        Agent::udp(BOB, self.server.addresses().udp[0]).await
    }

    async fn leave_text(&self, text: &str) {
        let mut alice = Agent::udp(ALICE, self.server.addresses().udp[0]).await;
        let request = alice
            .message(BOB)
            .header("s", "Dinner")
            .header("Date", "Mon, 23 Nov 2026 09:00:00 GMT")
            .header("X-Vendor", "one")
            .header("Expires", "86400")
            .header("c", "text/plain;charset=UTF-8")
            .body(text.to_owned());
        assert_eq!(alice.ask(request).await.status(), Some(202));
    }
}

/// A message that came by a session.
struct Record {
    number: usize,
    octets: u64,
    /// How many messages of that size and content it has.
    parts: usize,
}

/// The octet at that place of every content here.
fn octet(at: u64) -> u8 {
    // Not periodic in any size that is used on the way.
    (at.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]
}

fn content(from: u64, octets: usize) -> Bytes {
    (from..from + octets as u64).map(octet).collect()
}

impl Record {
    async fn part(&self, store: &SqliteStore, part: usize) -> Part {
        let id = store.new_content();
        let mut at = 0;
        while at < self.octets {
            let most = (self.octets - at).min(PIECE as u64);
            let octets = content(at, usize::try_from(most).unwrap());
            at += most;
            let piece = Piece {
                content: id,
                at: at - most,
                octets,
            };
            store.write_content(piece).await.unwrap();
        }
        let number = self.number;
        let head = format!(
            "MSRP a1b2c3d4 SEND\r\nTo-Path: msrp://127.0.0.1:2855/s;tcp\r\n\
             From-Path: msrp://127.0.0.1:9/a;tcp\r\nMessage-ID: m{number}\r\n\
             Byte-Range: 1-*/{octets}\r\nSuccess-Report: no\r\nX-Send: kept{part}\r\n\
             Expires: 86400\r\nContent-Disposition: inline\r\nContent-Type: text/plain\r\n",
            octets = self.octets
        );
        Part {
            content: id,
            octets: self.octets,
            sha256: [0; 32],
            origin: format!("o{number}.{part}"),
            heads: vec![head.into()],
            first: 0,
            all_heads: true,
        }
    }

    async fn put(&self, store: &SqliteStore) {
        let number = self.number;
        let mut parts = Vec::new();
        for part in 0..self.parts {
            parts.push(self.part(store, part).await);
        }
        let invite = format!(
            "INVITE {BOB} SIP/2.0\r\nFrom: \"Test\" <{ALICE}>;tag=a{number}\r\nTo: <{BOB}>\r\n\
             Call-ID: c{number}\r\nCSeq: 1 INVITE\r\nSubject: Large {number}\r\n\
             P-Asserted-Identity: <{ALICE}>\r\nContact: <sip:alice@192.0.2.1>\r\n\
             Contribution-ID: con{number}\r\nExpires: 30\r\n\r\n"
        );
        let ok = "SIP/2.0 200 OK\r\nTo: <sip:bob@example.org>;tag=s\r\n\r\n";
        let now = Timestamp::parse("2026-11-23T09:00:00Z").unwrap();
        let message = NewMessage {
            account: BOB.into(),
            message_id: format!("lm{number}@example.org"),
            form: Form::Session(SessionRecord {
                invite: invite.into(),
                ok: ok.into(),
                bye: None,
                parts,
            }),
            received_at: now,
            stored_at: now,
            mark: None,
        };
        let inserted = store.insert_session(message, Vec::new(), false, 100).await;
        assert!(matches!(inserted, Ok(Inserted::Stored(_))), "{inserted:?}");
    }
}

/// How a recipient answers an INVITE.
struct Answer {
    setup: &'static str,
    types: &'static str,
    more: String,
    /// What stands before the recipient's own URI in its path.
    relay: String,
    /// With TLS, and this certificate.
    identity: Option<tls::Identity>,
}

impl Default for Answer {
    fn default() -> Self {
        Self {
            setup: "passive",
            types: "*",
            more: String::new(),
            relay: String::new(),
            identity: None,
        }
    }
}

/// The recipient's end of a session.
struct Session {
    bob_uri: String,
    server_uri: String,
    link: Box<dyn Stream>,
    decoder: Decoder,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A SEND as it came.
struct Sent {
    head: Head,
    body: Vec<u8>,
    flag: Flag,
}

fn offer(invite: &Message) -> (String, SocketAddr) {
    let description = Description::parse(invite.body_bytes()).unwrap();
    let media = description.message().unwrap().unwrap();
    let uri = media.path.unwrap().first().to_string();
    let authority = uri.split('/').nth(2).unwrap();
    (uri.clone(), authority.parse().unwrap())
}

async fn accept_invite(bob: &mut Agent, invite: &Message, how: &Answer) -> TcpListener {
    let local = bob.local().ip();
    let listener = TcpListener::bind((local, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let family = if local.is_ipv4() { "IP4" } else { "IP6" };
    let (scheme, protocol) = if how.identity.is_some() {
        ("msrps", "TCP/TLS/MSRP")
    } else {
        ("msrp", "TCP/MSRP")
    };
    let sdp = format!(
        "v=0\r\no=- 1 1 IN {family} {local}\r\ns=-\r\nc=IN {family} {local}\r\nt=0 0\r\n\
         m=message {} {protocol} *\r\na=path:{}{scheme}://{address}/bobssession;tcp\r\n\
         a=accept-types:{}\r\na=setup:{}\r\n{}",
        address.port(),
        how.relay,
        how.types,
        how.setup,
        how.more
    );
    let contact = format!("<{}>", bob.contact());
    let response = Builder::response_to(invite, 200, "OK", Some("bt"))
        .header("Contact", contact)
        .header("Content-Type", "application/sdp")
        .body(sdp);
    bob.send(response.octets()).await;
    listener
}

async fn next_request(bob: &mut Agent, method: &str) -> Message {
    let request = bob.receive().await;
    assert_eq!(request.method(), Some(method), "{}", show(&request));
    request
}

/// Takes the next session, connected, as the passive side.
async fn take(bob: &mut Agent, how: &Answer) -> (Message, Session) {
    let invite = next_request(bob, "INVITE").await;
    let session = take_invite(bob, &invite, how).await;
    (invite, session)
}

async fn take_invite(bob: &mut Agent, invite: &Message, how: &Answer) -> Session {
    let listener = accept_invite(bob, invite, how).await;
    let scheme = if how.identity.is_some() {
        "msrps"
    } else {
        "msrp"
    };
    let address = listener.local_addr().unwrap();
    let bob_uri = format!("{scheme}://{address}/bobssession;tcp");
    let ack = next_request(bob, "ACK").await;
    let cseq = |message: &Message| message.header("CSeq").unwrap().text().into_owned();
    assert_eq!(
        cseq(&ack).replace("ACK", "INVITE"),
        cseq(invite),
        "RFC 3261 §13.2.2.4"
    );
    let (server_uri, server) = offer(invite);
    let link = if how.setup == "passive" {
        timeout(PATIENCE, listener.accept())
            .await
            .unwrap()
            .unwrap()
            .0
    } else {
        TcpStream::connect(server).await.unwrap()
    };
    link.set_nodelay(true).unwrap();
    let link: Box<dyn Stream> = match &how.identity {
        None => Box::new(link),
        Some(identity) => {
            let sdp = body(invite);
            let announced = sdp.lines().find_map(|it| it.strip_prefix("a=fingerprint:"));
            if how.setup == "passive" {
                let link = identity.accept(link).await.unwrap();
                assert_eq!(tls::shown(&link).as_deref(), announced);
                Box::new(link)
            } else {
                Box::new(tls::connect(link, announced.unwrap()).await)
            }
        }
    };
    let mut session = Session {
        bob_uri,
        server_uri,
        link,
        decoder: Decoder::new(Limits::default()),
    };
    if how.setup == "active" {
        session.bind().await;
    }
    session
}

impl Session {
    /// The empty SEND by which the active side makes itself known.
    async fn bind(&mut self) {
        let octets = format!(
            "MSRP binder01 SEND\r\nTo-Path: {}\r\nFrom-Path: {}\r\nMessage-ID: b1\r\n-------binder01$\r\n",
            self.server_uri, self.bob_uri
        );
        self.link.write_all(octets.as_bytes()).await.unwrap();
    }

    async fn piece(&mut self) -> Option<Octets> {
        loop {
            if let Some(piece) = self.decoder.next_piece().unwrap() {
                return Some(piece);
            }
            let read = self.link.read_buf(self.decoder.buffer_mut());
            match timeout(PATIENCE, read).await.expect("more octets") {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// The next frame; `None` at the end of the connection.
    async fn frame(&mut self) -> Option<Sent> {
        let mut head = None;
        let mut body = Vec::new();
        loop {
            match self.piece().await? {
                Octets::Head(it) => head = Some(it),
                Octets::Body(octets) => body.extend_from_slice(&octets),
                Octets::End(end) => {
                    return Some(Sent {
                        head: head.unwrap(),
                        body,
                        flag: end.flag,
                    });
                }
            }
        }
    }

    async fn answer(&mut self, sent: &Sent, status: u16) {
        let octets = format!(
            "MSRP {id} {status}\r\nTo-Path: {}\r\nFrom-Path: {}\r\n-------{id}$\r\n",
            self.server_uri,
            self.bob_uri,
            id = sent.head.transaction_id(),
        );
        self.link.write_all(octets.as_bytes()).await.unwrap();
    }

    /// The next SEND, answered.
    async fn receive(&mut self) -> Sent {
        loop {
            let sent = self.frame().await.expect("a SEND");
            if sent.head.status() == Some(200) {
                // Of the binder.
                continue;
            }
            self.answer(&sent, 200).await;
            return sent;
        }
    }

    /// A whole message, every chunk answered.
    async fn message(&mut self) -> (Head, Vec<u8>) {
        let first = self.receive().await;
        let mut octets = first.body;
        let mut flag = first.flag;
        while flag == Flag::More {
            let next = self.receive().await;
            let range = next.head.byte_range().unwrap().unwrap();
            assert_eq!(range.start, octets.len() as u64 + 1);
            assert_eq!(next.head.message_id(), first.head.message_id());
            octets.extend_from_slice(&next.body);
            flag = next.flag;
        }
        assert_eq!(flag, Flag::Complete);
        (first.head, octets)
    }
}

async fn bye(bob: &mut Agent) {
    let request = next_request(bob, "BYE").await;
    bob.answer(&request, 200).await;
}

/// A session that goes as it should.
async fn collect(bob: &mut Agent) -> (Message, Head, Vec<u8>) {
    let (invite, mut session) = take(bob, &Answer::default()).await;
    let (head, octets) = session.message().await;
    bye(bob).await;
    (invite, head, octets)
}

fn field(head: &Head, name: &str) -> Option<String> {
    Some(head.header(name)?.text().into_owned())
}

#[tokio::test]
async fn a_session_brings_a_pager_message_when_all_is_to_go_so() {
    let setup = Setup::new(BY_SESSION).await;
    setup.leave_text("Meet at eight\r\n").await;
    let mut bob = setup.bob().await;
    bob.register().await;
    let (invite, head, octets) = collect(&mut bob).await;
    assert_eq!(octets, b"Meet at eight\r\n");
    let text = |name: &str| invite.header(name).unwrap().text().into_owned();
    assert!(text("From").starts_with("\"Test\" <sip:alice@example.org>;tag="));
    assert_eq!(text("Subject"), "Dinner");
    assert_eq!(text("Date"), "Mon, 23 Nov 2026 09:00:00 GMT");
    assert_eq!(text("X-Vendor"), "one");
    assert_eq!(text("Content-Type"), "application/sdp");
    assert!(
        invite.header("Expires").is_none(),
        "that is the invitation's"
    );
    assert_eq!(invite.headers_named("Contact").count(), 1);
    let sdp = body(&invite);
    for line in [
        "a=setup:actpass",
        "a=sendonly",
        "a=accept-types:text/plain message/cpim",
    ] {
        assert!(sdp.lines().any(|it| it == line), "{sdp}");
    }
    let description = Description::parse(invite.body_bytes()).unwrap();
    assert!(
        description.defects().is_empty(),
        "{:?}",
        description.defects()
    );
    assert!(head.defects().is_empty(), "{:?}", head.defects());
    assert_eq!(field(&head, "Expires").unwrap(), "86400");
    assert_eq!(
        field(&head, "Content-Type").unwrap(),
        "text/plain;charset=UTF-8"
    );
    setup.control.until_count(BOB, 0).await;
    // Once only.
    bob.register().await;
    bob.silence().await;
}

#[tokio::test]
async fn the_recipient_may_connect_itself_over_any_transport() {
    for tcp in [false, true] {
        let setup = Setup::new(BY_SESSION).await;
        setup.leave_text("hello").await;
        let mut bob = if tcp {
            Agent::tcp(BOB, setup.server.addresses().tcp[0]).await
        } else {
            setup.bob().await
        };
        bob.register().await;
        let how = Answer {
            setup: "active",
            ..Answer::default()
        };
        let (invite, mut session) = take(&mut bob, &how).await;
        let via = invite.header("Via").unwrap().text().into_owned();
        assert!(via.contains(if tcp { "/TCP " } else { "/UDP " }), "{via}");
        assert_eq!(session.message().await.1, b"hello");
        bye(&mut bob).await;
        setup.control.until_count(BOB, 0).await;
    }
}

#[tokio::test]
async fn an_empty_message_is_brought_too() {
    let setup = Setup::new(BY_SESSION).await;
    setup.leave_text("").await;
    let mut bob = setup.bob().await;
    bob.register().await;
    let (_, head, octets) = collect(&mut bob).await;
    assert!(octets.is_empty());
    assert_eq!(field(&head, "Byte-Range").unwrap(), "1-0/0");
    setup.control.until_count(BOB, 0).await;
}

fn record(number: usize, octets: u64) -> Record {
    Record {
        number,
        octets,
        parts: 1,
    }
}

#[tokio::test]
async fn a_message_of_a_session_is_cut_into_chunks_and_comes_with_what_was_said_of_it() {
    // Also where MESSAGE is the usual form: it is too large for that.
    for extra in ["", BY_SESSION] {
        let setup = Setup::with_records(extra, vec![record(1, 5000)]).await;
        let mut bob = setup.bob().await;
        bob.register().await;
        let (invite, head, octets) = collect(&mut bob).await;
        assert_eq!(octets, content(0, 5000));
        assert_eq!(field(&head, "Byte-Range").unwrap(), "1-2048/5000");
        assert_eq!(field(&head, "X-Send").unwrap(), "kept0");
        assert_eq!(field(&head, "Expires").unwrap(), "86400");
        assert_eq!(field(&head, "Content-Disposition").unwrap(), "inline");
        assert_eq!(head.headers_named("To-Path").count(), 1);
        assert_eq!(head.headers_named("Message-ID").count(), 1);
        let text = |name: &str| invite.header(name).unwrap().text().into_owned();
        assert_eq!(text("Subject"), "Large 1");
        assert_eq!(text("Contribution-ID"), "con1");
        assert_eq!(text("P-Asserted-Identity"), "<sip:alice@example.org>");
        assert_ne!(text("Call-ID"), "c1");
        assert!(!text("Contact").contains("192.0.2.1"));
        setup.control.until_count(BOB, 0).await;
    }
}

#[tokio::test]
async fn a_small_message_of_a_session_goes_by_message() {
    let setup = Setup::with_records("", vec![record(1, 300)]).await;
    let mut bob = setup.bob().await;
    bob.register().await;
    let message = bob.receive_and(200).await;
    assert_eq!(message.method(), Some("MESSAGE"), "{}", show(&message));
    assert_eq!(message.body(), &content(0, 300)[..]);
    let text = |name: &str| message.header(name).map(|it| it.text().into_owned());
    assert_eq!(text("Subject").unwrap(), "Large 1");
    assert_eq!(text("Contribution-ID").unwrap(), "con1");
    assert_eq!(text("Content-Type").unwrap(), "text/plain");
    assert_eq!(text("Content-Disposition").unwrap(), "inline");
    assert_eq!(text("Expires").unwrap(), "86400");
    assert_eq!(text("CSeq").unwrap(), "1 MESSAGE");
    assert!(text("Contact").is_none() && text("X-Send").is_none());
    assert_eq!(message.headers_named("Expires").count(), 1);
    // Counted from when it came, since the sender gave no Date.
    assert_eq!(text("Date").unwrap(), "Mon, 23 Nov 2026 09:00:00 GMT");
    setup.control.until_count(BOB, 0).await;
}

#[tokio::test]
async fn one_session_after_the_other() {
    let setup = Setup::with_records(BY_SESSION, vec![record(1, 10), record(2, 20)]).await;
    let mut bob = setup.bob().await;
    bob.register().await;
    let (first, mut session) = take(&mut bob, &Answer::default()).await;
    // A refresh during the session begins no second one.
    bob.register().await;
    bob.silence().await;
    assert_eq!(session.message().await.1, content(0, 10));
    bye(&mut bob).await;
    let (second, _, octets) = collect(&mut bob).await;
    assert_eq!(octets, content(0, 20));
    let subject = |invite: &Message| invite.header("Subject").unwrap().text().into_owned();
    assert_eq!(
        (subject(&first), subject(&second)),
        ("Large 1".into(), "Large 2".into())
    );
    setup.control.until_count(BOB, 0).await;
}

#[tokio::test]
async fn the_messages_of_one_record_come_in_one_session() {
    let records = vec![Record {
        parts: 3,
        ..record(1, 100)
    }];
    // Small as they are: a MESSAGE could bring but one.
    let setup = Setup::with_records("", records).await;
    let mut bob = setup.bob().await;
    bob.register().await;
    let (_, mut session) = take(&mut bob, &Answer::default()).await;
    let mut ids = Vec::new();
    for part in 0..3 {
        assert_eq!(setup.control.messages(BOB).await.len(), 1);
        let (head, octets) = session.message().await;
        assert_eq!(octets, content(0, 100));
        assert_eq!(field(&head, "X-Send").unwrap(), format!("kept{part}"));
        ids.push(head.message_id().unwrap().to_owned());
    }
    ids.dedup();
    assert_eq!(ids.len(), 3);
    bye(&mut bob).await;
    setup.control.until_count(BOB, 0).await;
}

#[tokio::test]
async fn another_contact_may_take_what_the_newest_declines() {
    let setup = Setup::new(BY_SESSION).await;
    setup.leave_text("hello").await;
    let mut old = setup.bob().await;
    let mut new = setup.bob().await;
    let contacts = format!("<{}>, <{}>", old.contact(), new.contact());
    let request = new
        .request("REGISTER", "sip:example.org", BOB)
        .header("Contact", contacts)
        .header("Expires", "600");
    assert_eq!(new.ask(request).await.status(), Some(200));
    let invite = next_request(&mut new, "INVITE").await;
    new.answer(&invite, 488).await;
    next_request(&mut new, "ACK").await;
    assert_eq!(collect(&mut old).await.2, b"hello");
    setup.control.until_count(BOB, 0).await;
    new.silence().await;
}

#[tokio::test]
async fn who_declines_gets_it_later_and_who_refuses_never() {
    for (status, comes_again) in [
        (486, true),
        (480, true),
        (488, true),
        (606, true),
        (603, false),
    ] {
        let setup = Setup::new(BY_SESSION).await;
        setup.leave_text("hello").await;
        let mut bob = setup.bob().await;
        bob.register().await;
        let invite = next_request(&mut bob, "INVITE").await;
        bob.answer(&invite, status).await;
        let ack = next_request(&mut bob, "ACK").await;
        let branch = |message: &Message| {
            let via = message.header("Via").unwrap().text().into_owned();
            via.split("branch=").nth(1).unwrap().to_owned()
        };
        assert_eq!(branch(&ack), branch(&invite), "RFC 3261 §17.1.1.3");
        if comes_again {
            assert_eq!(setup.control.messages(BOB).await.len(), 1, "{status}");
            bob.register().await;
            assert_eq!(collect(&mut bob).await.2, b"hello", "{status}");
        }
        setup.control.until_count(BOB, 0).await;
    }
}

#[tokio::test]
async fn what_the_recipient_does_not_take_is_held() {
    let cases = [
        ("image/png", ""),
        // Only whole messages may be wrapped in what is accepted itself.
        ("image/png", "a=accept-wrapped-types:text/plain\r\n"),
        ("*", "a=max-size:4\r\n"),
        ("*", "a=sendonly\r\n"),
    ];
    for (types, more) in cases {
        let setup = Setup::new(BY_SESSION).await;
        setup.leave_text("hello").await;
        let mut bob = setup.bob().await;
        bob.register().await;
        let invite = next_request(&mut bob, "INVITE").await;
        let how = Answer {
            types,
            more: more.to_owned(),
            ..Answer::default()
        };
        let _listener = accept_invite(&mut bob, &invite, &how).await;
        next_request(&mut bob, "ACK").await;
        bye(&mut bob).await;
        assert_eq!(setup.control.messages(BOB).await.len(), 1, "{types} {more}");
        bob.register().await;
        assert_eq!(collect(&mut bob).await.2, b"hello");
        setup.control.until_count(BOB, 0).await;
    }
}

#[tokio::test]
async fn what_is_taken_in_a_wrapper_only_is_wrapped() {
    let setup = Setup::new(BY_SESSION).await;
    setup.leave_text("hello").await;
    let mut bob = setup.bob().await;
    bob.register().await;
    let how = Answer {
        types: "message/cpim",
        more: "a=accept-wrapped-types:text/plain\r\n".to_owned(),
        ..Answer::default()
    };
    let (_, mut session) = take(&mut bob, &how).await;
    let (head, octets) = session.message().await;
    assert_eq!(field(&head, "Content-Type").unwrap(), "message/cpim");
    insta::assert_snapshot!(String::from_utf8(octets).unwrap());
    bye(&mut bob).await;
    setup.control.until_count(BOB, 0).await;
}

#[tokio::test]
async fn a_broken_connection_brings_the_whole_message_again() {
    let setup = Setup::with_records(BY_SESSION, vec![record(1, 200_000)]).await;
    let mut bob = setup.bob().await;
    bob.register().await;
    let (_, mut session) = take(&mut bob, &Answer::default()).await;
    let mut got = 0;
    let mut id = None;
    while got < 100_000 {
        let sent = session.receive().await;
        got += sent.body.len();
        id = sent.head.message_id().map(str::to_owned);
    }
    drop(session);
    bye(&mut bob).await;
    assert_eq!(setup.control.messages(BOB).await.len(), 1);
    bob.register().await;
    let (_, head, octets) = collect(&mut bob).await;
    assert_eq!(octets, content(0, 200_000));
    assert_eq!(
        head.message_id().map(str::to_owned),
        id,
        "so that a copy can be told"
    );
    setup.control.until_count(BOB, 0).await;
}

#[tokio::test]
async fn only_the_last_answer_ends_the_record() {
    let setup = Setup::with_records(BY_SESSION, vec![record(1, 5000)]).await;
    let mut bob = setup.bob().await;
    bob.register().await;
    let (_, mut session) = take(&mut bob, &Answer::default()).await;
    let first = session.frame().await.unwrap();
    let second = session.frame().await.unwrap();
    let last = session.frame().await.unwrap();
    assert_eq!(last.flag, Flag::Complete);
    session.answer(&last, 200).await;
    session.answer(&first, 200).await;
    assert_eq!(setup.control.messages(BOB).await.len(), 1);
    // Silence about one chunk is as bad as silence about all.
    bye(&mut bob).await;
    assert_eq!(setup.control.messages(BOB).await.len(), 1);
    drop((session, second));
    bob.register().await;
    assert_eq!(collect(&mut bob).await.2, content(0, 5000));
    setup.control.until_count(BOB, 0).await;
}

#[tokio::test]
async fn a_refused_chunk_keeps_the_record() {
    for status in [400, 413, 415, 481] {
        let setup = Setup::with_records(BY_SESSION, vec![record(1, 100)]).await;
        let mut bob = setup.bob().await;
        bob.register().await;
        let (_, mut session) = take(&mut bob, &Answer::default()).await;
        let sent = session.frame().await.unwrap();
        session.answer(&sent, status).await;
        bye(&mut bob).await;
        assert_eq!(setup.control.messages(BOB).await.len(), 1, "{status}");
        bob.register().await;
        assert_eq!(collect(&mut bob).await.2, content(0, 100), "{status}");
        setup.control.until_count(BOB, 0).await;
    }
}

#[tokio::test]
async fn a_recipient_that_never_connects_keeps_the_record() {
    let setup = Setup::new(BY_SESSION).await;
    setup.leave_text("hello").await;
    let mut bob = setup.bob().await;
    bob.register().await;
    for how in ["active", "passive"] {
        let invite = next_request(&mut bob, "INVITE").await;
        let how = Answer {
            setup: how,
            ..Answer::default()
        };
        // Nobody listens there, or nobody comes from there.
        drop(accept_invite(&mut bob, &invite, &how).await);
        next_request(&mut bob, "ACK").await;
        bye(&mut bob).await;
        assert_eq!(setup.control.messages(BOB).await.len(), 1);
        bob.register().await;
    }
    assert_eq!(collect(&mut bob).await.2, b"hello");
    setup.control.until_count(BOB, 0).await;
}

#[tokio::test]
async fn the_recipients_bye_midway_keeps_the_record() {
    let setup = Setup::with_records(BY_SESSION, vec![record(1, 200_000)]).await;
    let mut bob = setup.bob().await;
    bob.register().await;
    let (invite, mut session) = take(&mut bob, &Answer::default()).await;
    session.receive().await;
    let bye = in_dialog(&bob, &invite, "BYE");
    let response = bob.ask(bye).await;
    assert_eq!(response.status(), Some(200), "{}", show(&response));
    assert_eq!(setup.control.messages(BOB).await.len(), 1);
    bob.silence().await;
    bob.register().await;
    assert_eq!(collect(&mut bob).await.2, content(0, 200_000));
    setup.control.until_count(BOB, 0).await;
}

#[tokio::test]
async fn a_bye_that_overtakes_the_last_answer_does_no_harm() {
    let setup = Setup::with_records(BY_SESSION, vec![record(1, 100)]).await;
    let mut bob = setup.bob().await;
    bob.register().await;
    let (invite, mut session) = take(&mut bob, &Answer::default()).await;
    let sent = session.frame().await.unwrap();
    let response = bob.ask(in_dialog(&bob, &invite, "BYE")).await;
    assert_eq!(response.status(), Some(200));
    session.answer(&sent, 200).await;
    setup.control.until_count(BOB, 0).await;
}

/// A request of the recipient's inside the dialog.
fn in_dialog(bob: &Agent, invite: &Message, method: &str) -> Builder {
    let value = |name: &str| invite.header(name).unwrap().text().into_owned();
    let contact = value("Contact");
    let uri = contact.trim_matches(|c| c == '<' || c == '>');
    Builder::request(method, uri)
        .header(
            "Via",
            format!(
                "SIP/2.0/UDP {};branch=z9hG4bKb{}",
                bob.local(),
                support::unique()
            ),
        )
        .header("Max-Forwards", "70")
        .header("From", format!("{};tag=bt", value("To")))
        .header("To", value("From"))
        .header("Call-ID", value("Call-ID"))
        .header("CSeq", format!("5 {method}"))
}

#[tokio::test]
async fn whoever_unregisters_midway_gets_it_when_back() {
    let setup = Setup::with_records(BY_SESSION, vec![record(1, 200_000)]).await;
    let mut bob = setup.bob().await;
    bob.register().await;
    let (_, mut session) = take(&mut bob, &Answer::default()).await;
    session.receive().await;
    let contact = format!("<{}>", bob.contact());
    let request = bob
        .request("REGISTER", "sip:example.org", BOB)
        .header("Contact", contact)
        .header("Expires", "0");
    bob.send(request.octets()).await;
    // The answer to REGISTER and the BYE may come in any order.
    let mut byes = 0;
    for _ in 0..2 {
        let message = bob.next_within(PATIENCE).await.unwrap();
        if message.is_request() {
            assert_eq!(message.method(), Some("BYE"));
            bob.answer(&message, 200).await;
            byes += 1;
        }
    }
    assert_eq!(byes, 1);
    assert_eq!(setup.control.messages(BOB).await.len(), 1);
    bob.register().await;
    assert_eq!(collect(&mut bob).await.2, content(0, 200_000));
    setup.control.until_count(BOB, 0).await;
}

#[tokio::test]
async fn whoever_moves_before_answering_gets_it_at_the_new_place() {
    let setup = Setup::new(BY_SESSION).await;
    setup.leave_text("hello").await;
    let mut old = setup.bob().await;
    old.register().await;
    let invite = next_request(&mut old, "INVITE").await;
    old.answer(&invite, 180).await;
    let mut new = setup.bob().await;
    new.register().await;
    let cancel = next_request(&mut old, "CANCEL").await;
    old.answer(&cancel, 200).await;
    // Too late: the answer was on its way.
    let _listener = accept_invite(&mut old, &invite, &Answer::default()).await;
    let (_, _, octets) = collect(&mut new).await;
    assert_eq!(octets, b"hello");
    next_request(&mut old, "ACK").await;
    bye(&mut old).await;
    setup.control.until_count(BOB, 0).await;
}

#[tokio::test]
async fn copies_of_the_answer_are_acknowledged_and_forks_ended() {
    let setup = Setup::new(BY_SESSION).await;
    setup.leave_text("hello").await;
    let mut bob = setup.bob().await;
    bob.register().await;
    let (invite, mut session) = take(&mut bob, &Answer::default()).await;
    // Its content does not matter any more.
    let copy = |tag| {
        Builder::response_to(&invite, 200, "OK", Some(tag))
            .header("Contact", format!("<{}>", bob.contact()))
            .octets()
    };
    let (same, other) = (copy("bt"), copy("other"));
    bob.send(same).await;
    let ack = next_request(&mut bob, "ACK").await;
    assert!(ack.header("To").unwrap().text().ends_with("tag=bt"));
    bob.send(other).await;
    let ack = next_request(&mut bob, "ACK").await;
    assert!(ack.header("To").unwrap().text().ends_with("tag=other"));
    let surplus = next_request(&mut bob, "BYE").await;
    assert!(surplus.header("To").unwrap().text().ends_with("tag=other"));
    bob.answer(&surplus, 200).await;
    assert_eq!(session.message().await.1, b"hello");
    bye(&mut bob).await;
    setup.control.until_count(BOB, 0).await;
}

#[tokio::test]
async fn the_recipient_may_keep_the_connection_alive_but_send_nothing() {
    let setup = Setup::with_records(BY_SESSION, vec![record(1, 100)]).await;
    let mut bob = setup.bob().await;
    bob.register().await;
    let (_, mut session) = take(&mut bob, &Answer::default()).await;
    let sent = session.frame().await.unwrap();
    session.bind().await;
    assert_eq!(session.frame().await.unwrap().head.status(), Some(200));
    let octets = format!(
        "MSRP content1 SEND\r\nTo-Path: {}\r\nFrom-Path: {}\r\nMessage-ID: b2\r\n\
         Byte-Range: 1-2/2\r\nContent-Type: text/plain\r\n\r\nhi\r\n-------content1$\r\n",
        session.server_uri, session.bob_uri
    );
    session.link.write_all(octets.as_bytes()).await.unwrap();
    assert_eq!(session.frame().await.unwrap().head.status(), Some(403));
    session.answer(&sent, 200).await;
    bye(&mut bob).await;
    setup.control.until_count(BOB, 0).await;
}

#[tokio::test]
async fn an_expired_message_says_so_in_the_invitation() {
    let extra = "policy: { delivery.form: session, policy.expired: deliver, \
                 policy.indication: 'header:X-Expired' }\n";
    let setup = Setup::new(extra).await;
    setup.leave_text("old").await;
    setup.control.advance(100_000).await;
    let mut bob = setup.bob().await;
    bob.register().await;
    let (invite, _, octets) = collect(&mut bob).await;
    assert_eq!(invite.header("X-Expired").unwrap().text(), "true");
    assert_eq!(octets, b"old");
    setup.control.until_count(BOB, 0).await;
}

#[tokio::test]
async fn the_remaining_life_goes_out_where_chosen() {
    let extra = "policy: { delivery.form: session, delivery.expires: remaining }\n";
    let setup = Setup::new(extra).await;
    setup
        .control
        .policy(json!({ "expire.base": "receipt" }))
        .await;
    setup.leave_text("hello").await;
    setup.control.advance(400).await;
    let mut bob = setup.bob().await;
    bob.register().await;
    let (_, head, _) = collect(&mut bob).await;
    let left: u64 = field(&head, "Expires").unwrap().parse().unwrap();
    assert!((85_900..=86_000).contains(&left), "{left}");
}

#[tokio::test]
async fn ipv6_is_spoken_with_who_has_it() {
    let setup = Setup::new(BY_SESSION).await;
    let addresses = setup.server.addresses();
    let Some(server) = addresses.udp.iter().find(|it| it.is_ipv6()) else {
        // Many containers have none.
        return;
    };
    for setup_value in ["active", "passive"] {
        setup.leave_text("hello").await;
        let mut bob = Agent::udp(BOB, *server).await;
        bob.register().await;
        let how = Answer {
            setup: setup_value,
            ..Answer::default()
        };
        let (invite, mut session) = take(&mut bob, &how).await;
        assert!(
            body(&invite).contains("c=IN IP6 ::1\r\n"),
            "{}",
            show(&invite)
        );
        assert!(session.server_uri.starts_with("msrp://[::1]:"));
        assert_eq!(session.message().await.1, b"hello");
        bye(&mut bob).await;
        setup.control.until_count(BOB, 0).await;
        bob.unregister().await;
    }
}

#[tokio::test]
async fn without_a_listener_the_server_connects_itself() {
    let mut setup = Setup::new(BY_SESSION).await;
    setup.leave_text("hello").await;
    setup.server.stop().await;
    let mut config = config(setup.folder.path(), BY_SESSION);
    config.listen.msrp.clear();
    setup.server = Server::start(config).await.unwrap();
    setup.control = Control(setup.server.addresses().control.unwrap());
    let mut bob = setup.bob().await;
    bob.register().await;
    let (invite, _, octets) = collect(&mut bob).await;
    let sdp = body(&invite);
    assert!(sdp.contains("m=message 9 TCP/MSRP *\r\n"), "{sdp}");
    assert!(sdp.contains("a=setup:active\r\n"), "{sdp}");
    assert_eq!(octets, b"hello");
    setup.control.until_count(BOB, 0).await;
}

#[tokio::test]
async fn behind_a_relay_only_the_recipients_report_ends_the_record() {
    let setup = Setup::with_records(BY_SESSION, vec![record(1, 3000)]).await;
    let mut bob = setup.bob().await;
    bob.register().await;
    let invite = next_request(&mut bob, "INVITE").await;
    // Where the connection goes, the recipient is not.
    let relay = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let relay_uri = format!("msrp://{}/relay;tcp", relay.local_addr().unwrap());
    let how = Answer {
        relay: format!("{relay_uri} "),
        ..Answer::default()
    };
    let own = accept_invite(&mut bob, &invite, &how).await;
    next_request(&mut bob, "ACK").await;
    let (link, _) = relay.accept().await.unwrap();
    let own_uri = format!("msrp://{}/bobssession;tcp", own.local_addr().unwrap());
    let mut session = Session {
        bob_uri: relay_uri.clone(),
        server_uri: offer(&invite).0,
        link: Box::new(link),
        decoder: Decoder::new(Limits::default()),
    };
    let (head, octets) = session.message().await;
    assert_eq!(octets, content(0, 3000));
    assert!(head.success_report());
    let to_path = field(&head, "To-Path").unwrap();
    assert_eq!(to_path, format!("{relay_uri} {own_uri}"));
    let report = |id: &str, range: &str| {
        format!(
            "MSRP {id} REPORT\r\nTo-Path: {}\r\nFrom-Path: {to_path}\r\nMessage-ID: {}\r\n\
             Byte-Range: {range}\r\nStatus: 000 200 OK\r\n-------{id}$\r\n",
            session.server_uri,
            head.message_id().unwrap()
        )
    };
    let (half, whole) = (
        report("half0001", "1-2048/3000"),
        report("whole001", "1-3000/3000"),
    );
    session.link.write_all(half.as_bytes()).await.unwrap();
    bob.silence().await;
    assert_eq!(setup.control.messages(BOB).await.len(), 1);
    session.link.write_all(whole.as_bytes()).await.unwrap();
    bye(&mut bob).await;
    setup.control.until_count(BOB, 0).await;
}

#[tokio::test]
async fn the_sender_hears_of_the_delivery_when_that_is_promised() {
    let extra = "policy: { delivery.form: session, lm.success_report: on-delivery }\n";
    let setup = Setup::new(extra).await;
    let mut alice = Agent::udp(ALICE, setup.server.addresses().udp[0]).await;
    let own = sender::own_path();
    let sdp = sender::offer(&own, 9, "a=setup:active\r\n");
    let invite = alice.invitation(BOB, &sdp).header("Subject", "All of it");
    let mut dialog = alice.establish(invite).await;
    let mut msrp = sender::Msrp::connect(&dialog.path(), &own).await;
    let more = "Message-ID: m1\r\nByte-Range: 1-9/9\r\nSuccess-Report: yes\r\n";
    assert_eq!(msrp.send(more, b"some text", '$').await, 200);
    setup.control.until_count(BOB, 1).await;
    assert!(msrp.earlier.is_empty());
    let mut bob = setup.bob().await;
    bob.register().await;
    let (invite, _, octets) = collect(&mut bob).await;
    assert_eq!(invite.header("Subject").unwrap().text(), "All of it");
    assert_eq!(octets, b"some text");
    let report = msrp.frame().await;
    assert!(
        report.lines().next().unwrap().ends_with(" REPORT"),
        "{report}"
    );
    assert!(report.contains("\r\nByte-Range: 1-9/9\r\n"), "{report}");
    assert!(report.contains("\r\nStatus: 000 200"), "{report}");
    setup.control.until_count(BOB, 0).await;
    dialog.bye(&mut alice).await;
}

#[tokio::test]
async fn under_tls_the_fingerprint_vouches_for_the_recipient() {
    let extra = "delivery: { msrps: true }\npolicy: { delivery.form: session }\n";
    for setup_value in ["active", "passive"] {
        let setup = Setup::new(extra).await;
        setup.leave_text("hello").await;
        let mut bob = setup.bob().await;
        bob.register().await;
        let identity = tls::Identity::new();
        let mut how = Answer {
            setup: setup_value,
            more: format!("a=fingerprint:{}\r\n", identity.fingerprint),
            identity: Some(identity),
            ..Answer::default()
        };
        if setup_value == "passive" {
            // Somebody else's certificate.
            let other = how.identity.replace(tls::Identity::new());
            let invite = next_request(&mut bob, "INVITE").await;
            assert!(body(&invite).contains(" TCP/TLS/MSRP *\r\n"));
            let listener = accept_invite(&mut bob, &invite, &how).await;
            next_request(&mut bob, "ACK").await;
            let (link, _) = listener.accept().await.unwrap();
            assert!(how.identity.unwrap().accept(link).await.is_err());
            bye(&mut bob).await;
            assert_eq!(setup.control.messages(BOB).await.len(), 1);
            how.identity = other;
            bob.register().await;
        }
        let (_, mut session) = take(&mut bob, &how).await;
        assert_eq!(session.message().await.1, b"hello");
        bye(&mut bob).await;
        setup.control.until_count(BOB, 0).await;
    }
}

fn resident_kib(key: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(key))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[tokio::test]
async fn a_large_message_is_streamed() {
    const OCTETS: u64 = 64 * 1024 * 1024;
    let setup = Setup::with_records(BY_SESSION, vec![record(1, OCTETS)]).await;
    let mut bob = setup.bob().await;
    let before = resident_kib("VmRSS");
    let mut most = before;
    bob.register().await;
    let (_, mut session) = take(&mut bob, &Answer::default()).await;
    let mut at = 0;
    let mut chunks = 0;
    let began = std::time::Instant::now();
    loop {
        let sent = session.receive().await;
        let expected = content(at, sent.body.len());
        assert!(sent.body == expected, "at octet {at}");
        at += sent.body.len() as u64;
        chunks += 1;
        if chunks % 1024 == 0 {
            most = most.max(resident_kib("VmRSS"));
        }
        if sent.flag == Flag::Complete {
            break;
        }
    }
    assert_eq!(at, OCTETS);
    bye(&mut bob).await;
    setup.control.until_count(BOB, 0).await;
    if let (Some(before), Some(most)) = (before, most) {
        println!(
            "64 MiB in {chunks} chunks in {:?}; resident before {before} KiB, at most {most} KiB",
            began.elapsed()
        );
        assert!(most < before + 40 * 1024, "{before} KiB, then {most} KiB");
    }
    drop(setup.folder);
}
