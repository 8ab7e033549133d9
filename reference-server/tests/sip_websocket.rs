//! SIP over WebSocket, over real sockets (RFC 7118): the subprotocol, messages both ways over the connection
//! of a user agent, keep-alives, and what is too large.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use futures_util::{SinkExt as _, StreamExt as _};
use imspec_reference_server::Server;
use imspec_wire::sip::{Builder, Message as SipMessage};
use support::{ALICE, BOB, PATIENCE};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

async fn serve(extra: &str) -> (Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = support::config(&folder.path().join("s.db"), extra);
    config.listen.ws = vec!["127.0.0.1:0".parse().unwrap()];
    (Server::start(config).await.unwrap(), folder)
}

/// A user agent in a browser: it knows no address of its own.
struct Agent {
    aor: &'static str,
    socket: WebSocketStream<TcpStream>,
    host: String,
}

impl Agent {
    async fn connect(
        aor: &'static str,
        server: &Server,
        subprotocols: Option<&'static str>,
    ) -> Result<Self, Error> {
        let at = server.addresses().ws[0];
        let mut request = format!("ws://{at}/any/path").into_client_request().unwrap();
        if let Some(names) = subprotocols {
            let value = HeaderValue::from_static(names);
            request
                .headers_mut()
                .insert("Sec-WebSocket-Protocol", value);
        }
        let stream = TcpStream::connect(at).await.unwrap();
        let (socket, response) = client_async(request, stream).await?;
        assert_eq!(response.headers()["Sec-WebSocket-Protocol"], "sip");
        Ok(Self {
            aor,
            socket,
            host: format!("h{}.invalid", support::unique()),
        })
    }

    fn request(&self, method: &str, uri: &str, to: &str) -> Builder {
        let n = support::unique();
        Builder::request(method, uri)
            .header(
                "Via",
                format!("SIP/2.0/WS {};branch=z9hG4bKw{n}", self.host),
            )
            .header("Max-Forwards", "70")
            .header("From", format!("<{}>;tag=t{n}", self.aor))
            .header("To", format!("<{to}>"))
            .header("Call-ID", format!("w{n}"))
            .header("CSeq", format!("1 {method}"))
    }

    async fn register(&mut self) -> SipMessage {
        let contact = format!("<sip:me@{};transport=ws>", self.host);
        let request = self
            .request("REGISTER", "sip:example.org", self.aor)
            .header("Contact", contact);
        self.ask(request).await
    }

    async fn ask(&mut self, request: Builder) -> SipMessage {
        self.socket
            .send(Message::Binary(request.octets()))
            .await
            .unwrap();
        self.next().await
    }

    async fn next(&mut self) -> SipMessage {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.unwrap() {
                Some(Ok(Message::Text(text))) => {
                    return SipMessage::parse(bytes::Bytes::from(text)).unwrap();
                }
                Some(Ok(Message::Binary(octets))) => return SipMessage::parse(octets).unwrap(),
                Some(Ok(_)) => {}
                other => panic!("the server closed the connection: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn messages_go_both_ways_over_the_connection_of_a_user_agent() {
    let (server, _folder) = serve("").await;
    let mut alice = Agent::connect(ALICE, &server, Some("chat, sip"))
        .await
        .unwrap();
    let response = alice
        .ask(alice.request("MESSAGE", BOB, BOB).body("hello"))
        .await;
    assert_eq!(response.status(), Some(202));
    let mut bob = Agent::connect(BOB, &server, Some("sip")).await.unwrap();
    assert_eq!(bob.register().await.status(), Some(200));
    let delivered = bob.next().await;
    assert_eq!(&delivered.body_bytes()[..], b"hello");
    let via = delivered.header("Via").unwrap().text();
    let own = server.addresses().ws[0];
    assert!(via.starts_with(&format!("SIP/2.0/WS {own};")), "{via}");
    let answer = Builder::response_to(&delivered, 200, "OK", Some("b")).octets();
    bob.socket.send(Message::Binary(answer)).await.unwrap();
    // Now he is online, and a body that is no UTF-8 goes through.
    let body = &b"\xff\xfe"[..];
    let request = alice.request("MESSAGE", BOB, BOB).body(body).octets();
    alice.socket.send(Message::Binary(request)).await.unwrap();
    assert_eq!(&bob.next().await.body_bytes()[..], body);
    server.stop().await;
}

#[tokio::test]
async fn who_is_gone_is_offline_and_gets_it_over_his_next_connection() {
    let (server, _folder) = serve("").await;
    let mut bob = Agent::connect(BOB, &server, Some("sip")).await.unwrap();
    assert_eq!(bob.register().await.status(), Some(200));
    bob.socket.close(None).await.unwrap();
    while let Some(Ok(_)) = timeout(PATIENCE, bob.socket.next()).await.unwrap() {}
    let mut alice = Agent::connect(ALICE, &server, Some("sip")).await.unwrap();
    let mut response = alice
        .ask(alice.request("MESSAGE", BOB, BOB).body("later"))
        .await;
    while response.status() == Some(100) {
        response = alice.next().await;
    }
    assert_eq!(response.status(), Some(202));
    let mut bob = Agent::connect(BOB, &server, Some("sip")).await.unwrap();
    assert_eq!(bob.register().await.status(), Some(200));
    assert_eq!(&bob.next().await.body_bytes()[..], b"later");
    server.stop().await;
}

#[tokio::test]
async fn nobody_without_the_subprotocol_comes_in() {
    let (server, _folder) = serve("").await;
    for names in [None, Some("msrp, sips")] {
        match Agent::connect(ALICE, &server, names).await.err().unwrap() {
            Error::Http(response) => assert_eq!(response.status(), 400),
            other => panic!("{other}"),
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn line_ends_are_answered_and_what_is_too_large_ends_the_connection() {
    let (server, _folder) = serve("limits: { message_octets: 4096 }\n").await;
    let mut alice = Agent::connect(ALICE, &server, Some("sip")).await.unwrap();
    for ping in [Message::Text("\r\n\r\n".into()), Message::Ping("x".into())] {
        alice.socket.send(ping).await.unwrap();
        let pong = timeout(PATIENCE, alice.socket.next()).await.unwrap();
        let pong = pong.unwrap().unwrap();
        assert!(
            pong == Message::Text("\r\n".into()) || pong == Message::Pong("x".into()),
            "{pong:?}"
        );
    }
    let request = alice.request("MESSAGE", BOB, BOB).body("x".repeat(10_000));
    alice
        .socket
        .send(Message::Binary(request.octets()))
        .await
        .unwrap();
    let after = timeout(PATIENCE, alice.socket.next()).await.unwrap();
    assert!(
        !matches!(after, Some(Ok(Message::Text(_) | Message::Binary(_)))),
        "{after:?}"
    );
    server.stop().await;
}
