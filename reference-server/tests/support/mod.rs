//! A server on free ports, a user agent as small as it can be, and a client for the control API.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test support, of which each test uses a part"
)]

pub mod sender;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use imspec_reference_server::{Config, Server};
use imspec_wire::sip::stream::Frame;
use imspec_wire::sip::{Builder, Limits, Message, StreamDecoder};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// Long enough for anything that is going to happen.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// Long enough to see that nothing comes, where a later positive control shows that it could have.
pub const SILENCE: Duration = Duration::from_millis(150);

pub const ALICE: &str = "sip:alice@example.org";
pub const BOB: &str = "sip:bob@example.org";
pub const CAROL: &str = "sip:carol@example.org";

pub struct Setup {
    pub server: Server,
    pub folder: tempfile::TempDir,
    pub control: Control,
}

pub fn config(path: &std::path::Path, extra: &str) -> Config {
    // IPv6 wherever the machine has it; many containers do not.
    let second = match std::net::UdpSocket::bind("[::1]:0") {
        Ok(_) => "[::1]:0",
        Err(_) => "127.0.0.1:0",
    };
    let yaml = format!(
        "listen: {{ udp: ['127.0.0.1:0', '{second}'], tcp: ['127.0.0.1:0', '{second}'], \
         msrp: ['127.0.0.1:0', '{second}'], msrps: ['127.0.0.1:0'] }}\n\
         control: '127.0.0.1:0'\n\
         store: {{ path: '{}' }}\n\
         accounts: ['{ALICE}', '{BOB}', '{CAROL}']\n{extra}",
        path.display()
    );
    Config::from_yaml(&yaml, "test.yaml").unwrap()
}

impl Setup {
    pub async fn new(extra: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start(config(&folder.path().join("s.db"), extra))
            .await
            .unwrap();
        let control = Control(server.addresses().control.unwrap());
        Self {
            server,
            folder,
            control,
        }
    }

    pub async fn restart(self, extra: &str) -> Self {
        self.server.stop().await;
        let config = config(&self.folder.path().join("s.db"), extra);
        let server = Server::start(config).await.unwrap();
        let control = Control(server.addresses().control.unwrap());
        Self {
            server,
            folder: self.folder,
            control,
        }
    }

    pub fn udp(&self) -> SocketAddr {
        self.server.addresses().udp[0]
    }

    pub fn tcp(&self) -> SocketAddr {
        self.server.addresses().tcp[0]
    }

    pub async fn agent(&self, aor: &str) -> Agent {
        Agent::udp(aor, self.udp()).await
    }
}

/// A connection under TLS.
pub trait Secured: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Secured for T {}

enum Link {
    Udp(UdpSocket, SocketAddr),
    Tcp(Box<TcpStream>, StreamDecoder),
    Tls(Box<dyn Secured>, StreamDecoder),
}

static COUNT: AtomicU32 = AtomicU32::new(1);

pub fn unique() -> u32 {
    COUNT.fetch_add(1, Ordering::Relaxed)
}

/// Sends what it is told and hands over what comes.
pub struct Agent {
    pub aor: String,
    link: Link,
    local: SocketAddr,
    call_id: String,
    cseq: u32,
}

impl Agent {
    pub async fn udp(aor: &str, server: SocketAddr) -> Self {
        let any = if server.is_ipv4() {
            "127.0.0.1:0"
        } else {
            "[::1]:0"
        };
        let socket = UdpSocket::bind(any).await.unwrap();
        let local = socket.local_addr().unwrap();
        Self::with(aor, Link::Udp(socket, server), local)
    }

    pub async fn tcp(aor: &str, server: SocketAddr) -> Self {
        Self::try_tcp(aor, server).await.unwrap()
    }

    /// `None` where nobody listens (any more).
    pub async fn try_tcp(aor: &str, server: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect(server).await.ok()?;
        let local = stream.local_addr().ok()?;
        let decoder = StreamDecoder::new(Limits::default());
        Some(Self::with(aor, Link::Tcp(Box::new(stream), decoder), local))
    }

    /// Over a connection on which the handshake is done.
    pub fn tls(aor: &str, local: SocketAddr, stream: impl Secured + 'static) -> Self {
        let decoder = StreamDecoder::new(Limits::default());
        Self::with(aor, Link::Tls(Box::new(stream), decoder), local)
    }

    fn with(aor: &str, link: Link, local: SocketAddr) -> Self {
        let call_id = format!("call-{}-{}", std::process::id(), unique());
        Self {
            aor: aor.to_owned(),
            link,
            local,
            call_id,
            cseq: 0,
        }
    }

    pub fn local(&self) -> SocketAddr {
        self.local
    }

    pub fn contact(&self) -> String {
        let user = self
            .aor
            .trim_start_matches("sip:")
            .split('@')
            .next()
            .unwrap();
        let transport = match self.link {
            Link::Udp(..) => "",
            Link::Tcp(..) => ";transport=tcp",
            Link::Tls(..) => ";transport=tls",
        };
        format!("sip:{user}@{}{transport}", self.local)
    }

    /// A request of ours with all that is mandatory.
    pub fn request(&mut self, method: &str, uri: &str, to: &str) -> Builder {
        let n = unique();
        self.cseq += 1;
        let transport = match self.link {
            Link::Udp(..) => "UDP",
            Link::Tcp(..) => "TCP",
            Link::Tls(..) => "TLS",
        };
        let (pid, local, cseq) = (std::process::id(), self.local, self.cseq);
        let call_id = match method {
            "REGISTER" => self.call_id.clone(),
            _ => format!("m{pid}-{n}@test"),
        };
        Builder::request(method, uri)
            .header(
                "Via",
                format!("SIP/2.0/{transport} {local};branch=z9hG4bK{pid}x{n};rport"),
            )
            .header("Max-Forwards", "70")
            .header("From", format!("\"Test\" <{}>;tag=t{n}", self.aor))
            .header("To", format!("<{to}>"))
            .header("Call-ID", call_id)
            .header("CSeq", format!("{cseq} {method}"))
    }

    pub fn message(&mut self, to: &str) -> Builder {
        self.request("MESSAGE", to, to)
    }

    pub async fn send(&mut self, octets: impl AsRef<[u8]>) {
        match &mut self.link {
            Link::Udp(socket, server) => {
                socket.send_to(octets.as_ref(), *server).await.unwrap();
            }
            Link::Tcp(stream, _) => stream.write_all(octets.as_ref()).await.unwrap(),
            Link::Tls(stream, _) => stream.write_all(octets.as_ref()).await.unwrap(),
        }
    }

    /// The next message, `None` when none comes in that time.
    pub async fn next_within(&mut self, time: Duration) -> Option<Message> {
        timeout(time, self.next()).await.ok()
    }

    async fn next(&mut self) -> Message {
        match &mut self.link {
            Link::Udp(socket, _) => {
                let mut buffer = vec![0; 65_536];
                let (length, _) = socket.recv_from(&mut buffer).await.unwrap();
                buffer.truncate(length);
                Message::parse(buffer).unwrap()
            }
            Link::Tcp(stream, decoder) => framed(stream, decoder).await,
            Link::Tls(stream, decoder) => framed(stream, decoder).await,
        }
    }

    /// Whether the server has closed the connection, whatever it said before.
    pub async fn is_closed(&mut self) -> bool {
        let Link::Tcp(stream, _) = &mut self.link else {
            panic!("no connection")
        };
        let mut chunk = [0; 4096];
        loop {
            match timeout(PATIENCE, stream.read(&mut chunk)).await {
                Ok(Ok(0) | Err(_)) => return true,
                Ok(Ok(_)) => {}
                Err(_) => return false,
            }
        }
    }

    /// Sends a request and gives the final response. Requests that come in between are an error.
    pub async fn ask(&mut self, request: Builder) -> Message {
        let octets = request.octets();
        let asked = Message::parse(octets.clone()).ok();
        self.send(octets).await;
        loop {
            let response = self.response().await;
            // An answer to an earlier request may be repeated meanwhile.
            let is_other = |name: &str| {
                let asked = asked.as_ref().and_then(|asked| asked.header(name));
                let answered = response.header(name);
                asked
                    .zip(answered)
                    .is_some_and(|(asked, answered)| asked.text() != answered.text())
            };
            if !is_other("Call-ID") && !is_other("CSeq") {
                return response;
            }
        }
    }

    /// The final response, or `None` when the connection breaks before it is there.
    pub async fn try_ask(&mut self, octets: &[u8]) -> Option<Message> {
        let Link::Tcp(stream, decoder) = &mut self.link else {
            panic!("no connection")
        };
        stream.write_all(octets).await.ok()?;
        loop {
            if let Some(Frame::Message(message)) = decoder.next_frame().unwrap() {
                if message.status() >= Some(200) {
                    return Some(message);
                }
                continue;
            }
            let mut chunk = [0; 4096];
            match timeout(PATIENCE, stream.read(&mut chunk))
                .await
                .expect("an answer")
            {
                Ok(0) | Err(_) => return None,
                Ok(length) => decoder.push(&chunk[..length]),
            }
        }
    }

    /// Sends octets over TCP; `None` when the connection is broken.
    pub async fn try_send(&mut self, octets: &[u8]) -> Option<()> {
        let Link::Tcp(stream, _) = &mut self.link else {
            panic!("no connection")
        };
        stream.write_all(octets).await.ok()
    }

    pub async fn response(&mut self) -> Message {
        loop {
            let message = self.next_within(PATIENCE).await.expect("a response");
            match message.status() {
                Some(100..=199) => {}
                Some(_) => return message,
                None => panic!("a request came:\n{}", show(&message)),
            }
        }
    }

    /// The next request, taken but not answered.
    pub async fn receive(&mut self) -> Message {
        let message = self.next_within(PATIENCE).await.expect("a request");
        assert!(message.is_request(), "a response came:\n{}", show(&message));
        message
    }

    /// The next request, answered.
    pub async fn receive_and(&mut self, status: u16) -> Message {
        let message = self.receive().await;
        self.answer(&message, status).await;
        message
    }

    pub async fn answer(&mut self, request: &Message, status: u16) {
        let reason = imspec_wire::sip::build::reason_phrase(status);
        let response = Builder::response_to(request, status, reason, Some("bt"));
        self.send(response.octets()).await;
    }

    pub async fn silence(&mut self) {
        if let Some(message) = self.next_within(SILENCE).await {
            panic!("nothing was to come, but:\n{}", show(&message));
        }
    }

    pub async fn register_for(&mut self, seconds: u32) -> Message {
        let contact = format!("<{}>", self.contact());
        let request = self
            .request("REGISTER", "sip:example.org", &self.aor.clone())
            .header("Contact", contact)
            .header("Expires", seconds.to_string());
        self.ask(request).await
    }

    pub async fn register(&mut self) {
        assert_eq!(self.register_for(3600).await.status(), Some(200));
    }

    pub async fn unregister(&mut self) {
        assert_eq!(self.register_for(0).await.status(), Some(200));
    }

    /// Sends a text and gives the status.
    pub async fn text(&mut self, to: &str, text: &str) -> u16 {
        let request = self
            .message(to)
            .header("Content-Type", "text/plain")
            .body(text.to_owned());
        self.ask(request).await.status().unwrap()
    }
}

pub fn show(message: &Message) -> String {
    String::from_utf8_lossy(message.octets()).into_owned()
}

pub fn body(message: &Message) -> String {
    String::from_utf8_lossy(message.body()).into_owned()
}

/// Talks HTTP to the control API.
#[derive(Debug, Clone, Copy)]
pub struct Control(pub SocketAddr);

impl Control {
    pub async fn call(&self, method: &str, path: &str, json: Option<&Value>) -> (u16, String) {
        let text = json.map(Value::to_string).unwrap_or_default();
        let kind = if json.is_some() {
            "Content-Type: application/json\r\n"
        } else {
            ""
        };
        self.raw(&format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{kind}\
             Content-Length: {}\r\n\r\n{text}",
            text.len()
        ))
        .await
    }

    pub async fn raw(&self, request: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.0).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut response))
            .await
            .unwrap()
            .unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        assert!(
            !head.to_ascii_lowercase().contains("transfer-encoding"),
            "{head}"
        );
        (
            head.split(' ').nth(1).unwrap().parse().unwrap(),
            body.to_owned(),
        )
    }

    pub async fn get(&self, path: &str) -> Value {
        let (status, text) = self.call("GET", path, None).await;
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    pub async fn post(&self, path: &str, json: Value) -> Value {
        let (status, text) = self.call("POST", path, Some(&json)).await;
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    pub async fn advance(&self, seconds: i64) {
        self.post(
            "/v1/clock/advance",
            serde_json::json!({ "by_ms": seconds * 1000 }),
        )
        .await;
    }

    pub async fn policy(&self, changes: Value) {
        let (status, text) = self.call("PATCH", "/v1/policy", Some(&changes)).await;
        assert_eq!(status, 200, "{text}");
    }

    pub async fn messages(&self, account: &str) -> Vec<Value> {
        let path = format!("/v1/messages?account={}", account.replace('@', "%40"));
        self.get(&path).await["messages"]
            .as_array()
            .unwrap()
            .clone()
    }

    /// Waits until the account holds that many messages.
    pub async fn until_count(&self, account: &str, count: usize) {
        let counted = async {
            while self.messages(account).await.len() != count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, counted)
            .await
            .expect("the count to be reached");
    }
}

/// The next message of a stream.
async fn framed(stream: &mut (impl AsyncRead + Unpin), decoder: &mut StreamDecoder) -> Message {
    loop {
        match decoder.next_frame().unwrap() {
            Some(Frame::Message(message)) => return message,
            Some(Frame::KeepAlive) => {}
            None => {
                let mut chunk = [0; 4096];
                let length = stream.read(&mut chunk).await.unwrap();
                assert_ne!(length, 0, "the server closed the connection");
                decoder.push(&chunk[..length]);
            }
        }
    }
}
