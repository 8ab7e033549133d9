//! A relay that says what a test wants it to say, over TCP and by WebSocket.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::result_large_err,
    reason = "tests"
)]

use std::net::SocketAddr;
use std::time::Instant;

use futures_util::{SinkExt, StreamExt};
use imspec_reports::record::trace::Packet;
use imspec_wire::msrp::{Frame, Limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

use super::super::{Conduct, Session, open};
use std::collections::BTreeMap;

use super::*;
use crate::agent::{Agents, Stamp, Surroundings};
use crate::catalogue::{Catalogue, PicsKeys};
use crate::link::{Dialer, Transport};
use crate::plan::{self, Selection};
use crate::scenario::load::{Files, ScenarioFile, load_suite};
use crate::scenario::{Case, Known};
use crate::sut::profile::{Msrp, Timers};

const CHALLENGE: &str = "Digest realm=\"relay\", nonce=\"n1\", qop=\"auth\"";
/// The path of the relay at its web server.
const RESOURCE: &str = "/msrp";

/// A relay that says what a test wants it to say.
struct Script {
    listener: TcpListener,
    uri: String,
}

/// The script's end of a connection.
struct Client {
    wire: Wire,
    read: Vec<u8>,
}

enum Wire {
    Octets(TcpStream),
    Messages(Box<WebSocketStream<TcpStream>>),
}

impl Wire {
    /// Some octets, or a message; nothing at the end.
    async fn read(&mut self) -> Vec<u8> {
        match self {
            Self::Octets(stream) => {
                let mut buffer = vec![0; 4096];
                let length = stream.read(&mut buffer).await.unwrap();
                buffer.truncate(length);
                buffer
            }
            Self::Messages(socket) => match socket.next().await {
                Some(Ok(Message::Text(text))) => text.as_bytes().to_vec(),
                Some(Ok(Message::Binary(octets))) => octets.to_vec(),
                _ => Vec::new(),
            },
        }
    }

    async fn write(&mut self, text: &str) {
        match self {
            Self::Octets(stream) => stream.write_all(text.as_bytes()).await.unwrap(),
            Self::Messages(socket) => socket.send(Message::text(text)).await.unwrap(),
        }
    }
}

impl Script {
    async fn listen() -> Self {
        Self::listen_for("tcp").await
    }

    async fn listen_for(transport: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("msrp://{};{transport}", listener.local_addr().unwrap());
        Self { listener, uri }
    }

    async fn client(&self) -> Client {
        let (stream, _) = self.listener.accept().await.unwrap();
        Client {
            wire: Wire::Octets(stream),
            read: Vec::new(),
        }
    }

    /// The same by WebSocket; the handshake agrees to that subprotocol.
    async fn client_of_websocket(&self, agreed: &'static str) -> Option<Client> {
        let (stream, _) = self.listener.accept().await.unwrap();
        let agree = |request: &Request, mut response: Response| {
            assert_eq!(request.uri().path(), RESOURCE);
            assert_eq!(request.headers()["Sec-WebSocket-Protocol"], "msrp");
            let headers = response.headers_mut();
            headers.insert("Sec-WebSocket-Protocol", agreed.parse().unwrap());
            Ok(response)
        };
        let socket = accept_hdr_async(stream, agree).await.ok()?;
        Some(Client {
            wire: Wire::Messages(Box::new(socket)),
            read: Vec::new(),
        })
    }

    fn agents(&self) -> Agents {
        let msrp = Msrp {
            relay: Some(Relay {
                uri: self.uri.parse().unwrap(),
                resource: RESOURCE.into(),
                user: "alice".into(),
                password: "s3cret".into(),
            }),
            ..Msrp::default()
        };
        let surroundings = Surroundings {
            targets: BTreeMap::new(),
            dialer: Dialer::plain([127, 0, 0, 1].into()),
            timers: Timers::default(),
            msrp: Arc::new(msrp),
            logins: None,
            nonce_life: None,
            standing: Arc::default(),
            scscf: None,
        };
        let stamp = Stamp {
            begun: Instant::now(),
            store: Arc::new(|| None),
        };
        Agents::new(Arc::new(case()), stamp, surroundings)
    }
}

impl Client {
    fn peer(&self) -> SocketAddr {
        match &self.wire {
            Wire::Octets(stream) => stream.peer_addr().unwrap(),
            Wire::Messages(socket) => socket.get_ref().peer_addr().unwrap(),
        }
    }

    /// The next frame; `None` once the connection is closed.
    async fn frame(&mut self) -> Option<Frame> {
        loop {
            let found = self.read.windows(3).enumerate().find_map(|(at, octets)| {
                let read = &self.read[..at + 3];
                (octets == b"$\r\n")
                    .then(|| Frame::parse(read.to_vec(), &Limits::default()).ok())
                    .flatten()
                    .map(|frame| (at + 3, frame))
            });
            if let Some((length, frame)) = found {
                self.read.drain(..length);
                return Some(frame);
            }
            let octets = self.wire.read().await;
            if octets.is_empty() {
                return None;
            }
            self.read.extend(octets);
        }
    }

    async fn answer(&mut self, request: &Frame, line: &str, fields: &[(&str, &str)]) {
        let (id, path) = (request.transaction_id(), request.from_path().unwrap());
        let own = request.to_path().unwrap();
        let fields: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let head = format!("MSRP {id} {line}\r\nTo-Path: {path}\r\nFrom-Path: {own}\r\n");
        let frame = format!("{head}{}-------{id}$\r\n", fields.concat());
        self.say(&frame).await;
    }

    async fn say(&mut self, octets: &str) {
        self.wire.write(octets).await;
    }

    /// Challenges, and grants what the digest asks for.
    async fn grant(&mut self, use_path: &str, expires: &str) -> Frame {
        let first = self.frame().await.unwrap();
        assert_eq!(first.method().unwrap().as_str(), "AUTH");
        assert!(first.authorization().is_none());
        let challenge = [("WWW-Authenticate", CHALLENGE)];
        self.answer(&first, "401 Unauthorized", &challenge).await;
        let second = self.frame().await.unwrap();
        assert_ne!(first.transaction_id(), second.transaction_id());
        let fields = [("Use-Path", use_path), ("Expires", expires)];
        self.answer(&second, "200 OK", &fields).await;
        second
    }
}

/// A case of any scenario: agents belong to one.
fn case() -> Case {
    let text = "id: PG-99\ntitle: Test\npurpose: A test of a relay.\ncovers: [DM-STORE-01]\n\
                users: { alice: offline }\nsteps:\n  - wait: 1s\n";
    let file = ScenarioFile {
        name: "PG-99.yaml".into(),
        text: text.into(),
        files: Files::None,
    };
    let known = Known::new(
        &Catalogue::bundled().unwrap(),
        &PicsKeys::bundled().unwrap(),
    );
    let scenarios = load_suite(&[file], &known).unwrap_or_else(|e| panic!("{e}"));
    let context = plan::Context {
        pics: &std::collections::BTreeMap::new(),
        settable: &std::collections::BTreeSet::new(),
        domain: "example.org",
        transport: Transport::Udp.as_str(),
        few: None,
        seed: 1,
    };
    let plan = plan::plan(&scenarios, &Selection::all(), &context);
    plan.lanes.into_iter().next().unwrap().cases.remove(0)
}

async fn session(agents: &Agents) -> Result<Arc<Session>, String> {
    let owner = Owner {
        user: "alice".into(),
        device: "phone".into(),
    };
    open(&agents.shared, owner, None, Conduct::default()).await
}

/// What AUTH comes to, where the relay answers it so.
async fn refused(answers: &[(&str, &[(&str, &str)])]) -> String {
    let script = Script::listen().await;
    let agents = script.agents();
    let relay = async {
        let mut client = script.client().await;
        for (line, fields) in answers {
            let request = client.frame().await.unwrap();
            client.answer(&request, line, fields).await;
        }
        assert!(client.frame().await.is_none(), "the agent hangs up");
    };
    let (why, ()) = tokio::join!(async { session(&agents).await.unwrap_err() }, relay);
    why.replace(&script.uri, "msrp://relay;tcp")
}

fn frames(agents: &Agents) -> Vec<String> {
    let line = |way: &str, packet: &Packet| {
        let frame = String::from_utf8_lossy(&packet.octets).into_owned();
        let mut words = frame.split_whitespace().skip(2);
        format!("{way} {}", words.next().unwrap_or_default())
    };
    let desk = agents.desk();
    let events = desk.trace().events.iter();
    events
        .filter_map(|event| match &event.kind {
            EventKind::Sent(packet) => Some(line("sent", packet)),
            EventKind::Received(packet) => Some(line("received", packet)),
            _ => None,
        })
        .collect()
}

#[tokio::test]
async fn a_session_goes_the_way_that_its_relay_grants() {
    let script = Script::listen().await;
    let agents = script.agents();
    let relay = async {
        let mut client = script.client().await;
        let way = "msrp://in.example.org:9000/a1;tcp msrp://out.example.org:9000/b2;tcp";
        let auth = client.grant(way, "900").await;
        (client, auth)
    };
    let (session, (client, auth)) = tokio::join!(async { session(&agents).await.unwrap() }, relay);
    let own = session.ground().own.clone();
    let agent = client.peer();
    assert!(own.starts_with(&format!("msrp://{agent}/")), "{own}");
    assert_eq!(auth.to_path().unwrap().to_string(), script.uri);
    assert_eq!(auth.from_path().unwrap().to_string(), own);
    let credentials = AuthValue::parse_all(auth.authorization().unwrap()).unwrap();
    let credentials = Credentials::read(&credentials[0]).unwrap();
    assert_eq!(
        (credentials.username.as_str(), &credentials.uri),
        ("alice", &script.uri)
    );
    assert!(credentials.proves("s3cret", "AUTH", b""));
    // RFC 4976 §5.1: reversed for the other end, as granted for ourselves.
    assert_eq!(
        session.ground().path,
        format!("msrp://out.example.org:9000/b2;tcp msrp://in.example.org:9000/a1;tcp {own}")
    );
    let (to, from) = session.paths();
    assert_eq!(
        to,
        "msrp://in.example.org:9000/a1;tcp msrp://out.example.org:9000/b2;tcp"
    );
    assert_eq!(from, own);
    assert_eq!(
        frames(&agents),
        ["sent AUTH", "received 401", "sent AUTH", "received 200"]
    );
}

#[tokio::test]
async fn answers_go_to_the_relay_and_reports_the_whole_way_back() {
    let script = Script::listen().await;
    let agents = script.agents();
    let relay = async {
        let mut client = script.client().await;
        client
            .grant("msrp://relay.example.org:2855/a1;tcp", "900")
            .await;
        client
    };
    let (session, mut client) = tokio::join!(async { session(&agents).await.unwrap() }, relay);
    let own = session.ground().own.clone();
    let path = "msrp://relay.example.org:2855/a1;tcp msrp://server.example.org:2855/s;tcp";
    client
        .say(&format!(
            "MSRP d93kswow SEND\r\nTo-Path: {own}\r\nFrom-Path: {path}\r\nMessage-ID: 12339sdqwer\r\n\
             Byte-Range: 1-2/2\r\nSuccess-Report: yes\r\nContent-Type: text/plain\r\n\r\nHi\r\n-------d93kswow$\r\n"
        ))
        .await;
    let answer = client.frame().await.unwrap();
    assert_eq!(answer.status(), Some(200));
    let hop = "msrp://relay.example.org:2855/a1;tcp";
    assert_eq!(answer.to_path().unwrap().to_string(), hop);
    assert_eq!(answer.from_path().unwrap().to_string(), own);
    let report = client.frame().await.unwrap();
    assert_eq!(report.method().unwrap().as_str(), "REPORT");
    assert_eq!(report.to_path().unwrap().to_string(), path);
    assert_eq!(report.from_path().unwrap().to_string(), own);
}

#[tokio::test]
async fn what_is_granted_is_asked_for_again_in_time() {
    let script = Script::listen().await;
    let agents = script.agents();
    let relay = async {
        let mut client = script.client().await;
        let way = "msrp://relay.example.org:2855/a1;tcp";
        client.grant(way, "1").await;
        client.grant(way, "1").await;
        client
            .grant("msrp://relay.example.org:2855/other;tcp", "900")
            .await;
        client
    };
    let (session, client) = tokio::join!(async { session(&agents).await.unwrap() }, relay);
    // The last grant is told once it has been read.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    let told = agents.until(deadline, |desk| {
        let mut events = desk.trace().events.iter();
        events.find_map(|event| match &event.kind {
            EventKind::Note { text } => Some(text.clone()),
            _ => None,
        })
    });
    let told = told.await.unwrap();
    assert!(told.contains("renews with another Use-Path"), "{told}");
    assert!(session.ground().path.contains("/a1;tcp"));
    assert!(session.connection().is_some());
    drop(client);
}

#[tokio::test]
async fn why_a_relay_is_of_no_use_is_said() {
    let challenge: &[(&str, &str)] = &[("WWW-Authenticate", CHALLENGE)];
    let stale: &[(&str, &str)] = &[(
        "WWW-Authenticate",
        "Digest realm=\"relay\", nonce=\"n2\", qop=\"auth\", stale=true",
    )];
    let unauthorized = "401 Unauthorized";
    let all = [
        refused(&[(unauthorized, challenge), (unauthorized, challenge)]).await,
        // A stale nonce is answered once more, and no oftener.
        refused(&[
            (unauthorized, challenge),
            (unauthorized, stale),
            (unauthorized, stale),
        ])
        .await,
        refused(&[("403 Forbidden", &[])]).await,
        refused(&[(unauthorized, &[])]).await,
        refused(&[(unauthorized, &[("WWW-Authenticate", "Basic realm=\"r\"")])]).await,
        refused(&[("200 OK", &[])]).await,
        refused(&[("200 OK", &[("Use-Path", "http://relay/")])]).await,
        refused(&[(
            "200 OK",
            &[("Use-Path", "msrp://r:1/a;tcp"), ("Expires", "soon")],
        )])
        .await,
    ];
    insta::assert_snapshot!(all.join("\n"));
}

#[tokio::test]
async fn a_relay_that_hangs_up_grants_nothing() {
    let script = Script::listen().await;
    let agents = script.agents();
    let relay = async {
        let mut client = script.client().await;
        client.frame().await.unwrap();
        drop(client);
    };
    let (why, ()) = tokio::join!(async { session(&agents).await.unwrap_err() }, relay);
    assert!(
        why.contains("the connection was ended before AUTH was answered"),
        "{why}"
    );
}

#[tokio::test]
async fn a_connection_that_is_over_is_not_replaced_in_silence() {
    let script = Script::listen().await;
    let agents = script.agents();
    let relay = async {
        let mut client = script.client().await;
        client
            .grant("msrp://relay.example.org:2855/a1;tcp", "900")
            .await;
    };
    let (session, ()) = tokio::join!(async { session(&agents).await.unwrap() }, relay);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    let over = agents.until(deadline, |_| session.connection().is_none().then_some(()));
    over.await.unwrap();
    let within = Duration::from_millis(1);
    let again = super::super::connection(&agents.shared, &session, None, within).await;
    assert!(again.unwrap_err().contains("RFC 4976 §6.3"));
}

#[tokio::test]
async fn by_websocket_each_frame_is_a_message_and_nobody_knows_the_agents_address() {
    let script = Script::listen_for("ws").await;
    let agents = script.agents();
    let relay = async {
        let mut client = script.client_of_websocket("msrp").await.unwrap();
        let auth = client
            .grant("msrp://relay.example.org:2855/a1;tcp", "900")
            .await;
        (client, auth)
    };
    let (session, (mut client, auth)) =
        tokio::join!(async { session(&agents).await.unwrap() }, relay);
    let own = session.ground().own.clone();
    assert_eq!(auth.to_path().unwrap().to_string(), script.uri);
    assert_eq!(auth.from_path().unwrap().to_string(), own);
    // RFC 7977, appendix A.
    let written = regex::Regex::new(r"^msrp://[^/:.]+\.invalid:2855/[^;]+;ws$").unwrap();
    assert!(written.is_match(&own), "{own}");
    assert_eq!(
        session.ground().path,
        format!("msrp://relay.example.org:2855/a1;tcp {own}")
    );
    assert_eq!(
        session.ground().told,
        Some(("relay.example.org".to_owned(), 2855))
    );
    // Two frames in one message are taken, and the trace says whose fault that is.
    let path = "msrp://relay.example.org:2855/a1;tcp msrp://server.example.org:2855/s;tcp";
    let frame = |id: &str, range: &str, body: &str, mark: char| {
        format!(
            "MSRP {id} SEND\r\nTo-Path: {own}\r\nFrom-Path: {path}\r\nMessage-ID: m1\r\nByte-Range: {range}\r\n\
             Content-Type: text/plain\r\n\r\n{body}\r\n-------{id}{mark}\r\n"
        )
    };
    let two = frame("f1aa", "1-2/4", "Hi", '+') + &frame("f2bb", "3-4/4", " u", '$');
    client.say(&two).await;
    for id in ["f1aa", "f2bb"] {
        // Each answer is a message by itself.
        let octets = client.wire.read().await;
        let answer = Frame::parse(octets, &Limits::default()).unwrap();
        assert_eq!((answer.transaction_id(), answer.status()), (id, Some(200)));
    }
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    let complaint = agents.until(deadline, |desk| {
        let mut events = desk.trace().events.iter();
        events.find_map(|event| match &event.kind {
            EventKind::Note { text } => Some(text.clone()),
            _ => None,
        })
    });
    assert!(complaint.await.unwrap().contains("is not one MSRP frame"));
    let desk = agents.desk();
    let over = desk.trace().events.iter().all(|event| match &event.kind {
        EventKind::Sent(packet) | EventKind::Received(packet) => packet.transport == "ws",
        _ => true,
    });
    assert!(over);
}

#[tokio::test]
async fn what_is_no_relay_of_websocket_is_said_with_what_to_check() {
    let script = Script::listen_for("ws").await;
    let agents = script.agents();
    let other = script.client_of_websocket("sip");
    let (why, _) = tokio::join!(async { session(&agents).await.unwrap_err() }, other);
    assert!(
        why.contains("does not agree to the subprotocol `msrp`"),
        "{why}"
    );
    let relay = async {
        let mut client = script.client().await;
        client.wire.read().await;
        client
            .say("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            .await;
    };
    let (why, ()) = tokio::join!(async { session(&agents).await.unwrap_err() }, relay);
    assert!(why.contains("404 Not Found"), "{why}");
    assert!(why.contains("`pixit.msrp.relay.resource`"), "{why}");
}
