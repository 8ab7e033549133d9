//! Two agents behind an MSRP relay (RFC 4976): what they say goes through it twice, and nowhere else.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use imspec_reports::record::trace::{Direction, Protocol};
use imspec_reports::record::{EventKind, Outcome};
use imspec_wire::msrp::{Frame, Limits, Uri};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

use super::switch::{Habit, Switch};
use super::{kinds, packet, profile, text, trace_of};

/// A relay that takes every digest; it ends with the test's runtime.
#[derive(Clone)]
struct Relay {
    local: SocketAddr,
    /// How its clients reach it.
    transport: &'static str,
    /// Who was granted which URI.
    clients: Arc<Mutex<HashMap<String, mpsc::UnboundedSender<String>>>>,
}

impl Relay {
    async fn start(transport: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Self {
            local: listener.local_addr().unwrap(),
            transport,
            clients: Arc::default(),
        };
        let own = relay.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                match transport {
                    "ws" => tokio::spawn(own.clone().serve_messages(stream)),
                    _ => tokio::spawn(own.clone().serve(stream)),
                };
            }
        });
        relay
    }

    fn uri(&self, session: &str) -> String {
        format!("msrp://{}{session};tcp", self.local)
    }

    async fn serve(self, stream: TcpStream) {
        let (mut reader, mut writer) = stream.into_split();
        let (out, mut queue) = mpsc::unbounded_channel::<String>();
        tokio::spawn(async move {
            while let Some(frame) = queue.recv().await {
                if writer.write_all(frame.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
        let mut read = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let found = (1..=read.len()).find_map(|end| {
                let octets = &read[..end];
                let ends = [b"$\r\n", b"+\r\n", b"#\r\n"]
                    .iter()
                    .any(|mark| octets.ends_with(*mark));
                ends.then(|| Frame::parse(octets.to_vec(), &Limits::default()).ok())
                    .flatten()
                    .map(|frame| (end, frame))
            });
            if let Some((end, frame)) = found {
                let octets = String::from_utf8(read.drain(..end).collect()).unwrap();
                self.take(&frame, &octets, &out);
                continue;
            }
            match reader.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(length) => read.extend_from_slice(&buffer[..length]),
            }
        }
    }

    /// One frame a message (RFC 7977 §5.1): what is more or less would not be read.
    #[expect(
        clippy::result_large_err,
        reason = "what the crate for WebSocket wants"
    )]
    async fn serve_messages(self, stream: TcpStream) {
        let agree = |request: &Request, mut response: Response| {
            let wanted = request.headers()["Sec-WebSocket-Protocol"].clone();
            assert_eq!(wanted, "msrp");
            let headers = response.headers_mut();
            headers.insert("Sec-WebSocket-Protocol", wanted);
            Ok(response)
        };
        let socket = accept_hdr_async(stream, agree).await.unwrap();
        let (mut sink, mut source) = socket.split();
        let (out, mut queue) = mpsc::unbounded_channel::<String>();
        tokio::spawn(async move {
            while let Some(frame) = queue.recv().await {
                if sink.send(Message::text(frame)).await.is_err() {
                    return;
                }
            }
        });
        while let Some(Ok(message)) = source.next().await {
            if let Message::Text(text) = message {
                let frame = Frame::parse(text.as_bytes().to_vec(), &Limits::default()).unwrap();
                self.take(&frame, text.as_str(), &out);
            }
        }
    }

    fn take(&self, frame: &Frame, octets: &str, out: &mpsc::UnboundedSender<String>) {
        let id = frame.transaction_id();
        let Some(method) = frame.method() else { return };
        let from = frame.from_path().unwrap();
        let answer = |own: &str, line: &str| {
            let to = from.first();
            let head = format!("MSRP {id} {line}");
            let (status, field) = head.split_once('|').unwrap_or((&head, ""));
            let frame =
                format!("{status}\r\nTo-Path: {to}\r\nFrom-Path: {own}\r\n{field}-------{id}$\r\n");
            out.send(frame).unwrap();
        };
        if method.as_str() == "AUTH" {
            let own = frame.to_path().unwrap().to_string();
            if frame.authorization().is_none() {
                let challenge = "Digest realm=\"r\", nonce=\"n\", qop=\"auth\"";
                let line = format!("401 Unauthorized|WWW-Authenticate: {challenge}\r\n");
                return answer(&own, &line);
            }
            let mut clients = self.clients.lock().unwrap();
            let granted = self.uri(&format!("/c{}", clients.len()));
            clients.insert(granted.clone(), out.clone());
            return answer(
                &own,
                &format!("200 OK|Use-Path: {granted}\r\nExpires: 900\r\n"),
            );
        }
        let to = frame.to_path().unwrap();
        let mut to: Vec<&Uri> = to.iter().collect();
        let mut way: Vec<String> = from.iter().map(ToString::to_string).collect();
        let clients = self.clients.lock().unwrap();
        // The relays of both ends are this one.
        let mut last = None;
        while let Some(client) = to.first().and_then(|uri| clients.get(uri.as_str())) {
            way.insert(0, to.remove(0).to_string());
            last = Some(client);
        }
        let paths = |to: &str, from: &str| format!("To-Path: {to}\r\nFrom-Path: {from}\r\n");
        let before = paths(&frame.to_path().unwrap().to_string(), &from.to_string());
        let after = paths(&to[0].to_string(), &way.join(" "));
        assert!(octets.contains(&before), "{octets}");
        last.unwrap().send(octets.replace(&before, &after)).unwrap();
        if method.as_str() == "SEND" {
            answer(way.last().unwrap(), "200 OK");
        }
    }
}

#[tokio::test]
async fn what_two_agents_behind_a_relay_say_goes_through_it() {
    two_agents_behind(Relay::start("tcp").await).await;
}

#[tokio::test]
async fn what_two_agents_behind_a_relay_say_goes_through_it_by_websocket() {
    two_agents_behind(Relay::start("ws").await).await;
}

async fn two_agents_behind(relay: Relay) {
    let switch = Switch::start(Habit::Good).await;
    let reached = format!("msrp://{};{}", relay.local, relay.transport);
    let profile = profile(&format!(
        "name: relay\nsut: {{ product: relay }}\npixit:\n  target: {{ udp: \"{}\" }}\n  domain: example.org\n  \
         timers: {{ t1: 2s, answer: 20s, delivery: 20s, quiet: 50ms }}\n  \
         msrp: {{ relay: {{ uri: \"{}\", user: u, password: p }} }}\n",
        switch.udp, reached
    ));
    let trace = trace_of(
        &profile,
        "users: { alice: online, bob: online }\nsteps:\n  \
         - parallel:\n      \
         - - invite: { from: alice, to: bob, offer: { direction: sendrecv }, save: call }\n      \
         - - receive: { at: bob, method: INVITE, answer: { status: 200, sdp: { direction: sendrecv } }, save: came }\n  \
         - msrp: { session: call, body: \"Meet at eight\", headers: { Success-Report: yes }, chunks: { size: 5 }, \
         expect: { report: success }, save: sent }\n  - receive: { at: bob, of: sent }\n  \
         - msrp: { session: came, body: \"I will be there\", headers: { Success-Report: yes }, chunks: { size: 4 }, \
         expect: { report: success }, save: back }\n  - receive: { at: alice, of: back }\n  - bye: call\n",
    )
    .await;
    for event in &trace.events {
        if let EventKind::StepEnded { outcome } = &event.kind {
            assert_eq!(
                *outcome,
                Outcome::Done,
                "{:?}: {:#?}",
                event.step,
                kinds(&trace)
            );
        }
    }
    let frames: Vec<_> = trace
        .events
        .iter()
        .filter_map(packet)
        .filter(|packet| packet.protocol == Protocol::Msrp)
        .collect();
    assert!(
        frames
            .iter()
            .all(|packet| packet.remote == relay.local.to_string()
                && packet.transport == relay.transport)
    );
    let granted = |user: &str| {
        let of_user = frames.iter().filter(|packet| packet.user == user);
        let mut granted = of_user.filter_map(|packet| {
            let frame = text(packet);
            let (_, path) = frame.split_once("Use-Path: ")?;
            Some(path.split("\r\n").next()?.to_owned())
        });
        granted.next().unwrap()
    };
    let (alice, bob) = (granted("alice"), granted("bob"));
    // RFC 4976 §5.1: the sender's relay, that of the other end, and the other end; backwards where it comes.
    let there = frames.iter().find(|packet| {
        packet.user == "alice" && text(packet).contains(&format!("To-Path: {alice} {bob} msrp://"))
    });
    assert!(there.is_some_and(|packet| text(packet).contains(" SEND\r\n")));
    let came = frames.iter().find(|packet| {
        packet.user == "bob" && text(packet).contains(&format!("From-Path: {bob} {alice} msrp://"))
    });
    assert!(came.is_some_and(|packet| text(packet).contains(" SEND\r\n")));
    let whole = trace.events.iter().filter_map(|event| match &event.kind {
        EventKind::Transfer(transfer) if transfer.direction == Direction::Received => {
            Some((transfer.user.as_str(), transfer.complete))
        }
        _ => None,
    });
    assert_eq!(whole.collect::<Vec<_>>(), [("bob", true), ("alice", true)]);
}
