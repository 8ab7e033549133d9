//! A sender of session messages as small as it can be. Its octets are written by hand, so that a mistake
//! of the codec cannot hide on both sides.

use std::net::SocketAddr;

use imspec_wire::sip::{Builder, Message};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::{Agent, PATIENCE, show, unique};

/// A dialog with the server.
pub struct Dialog {
    pub invite: Message,
    pub ok: Message,
    pub cseq: u32,
}

/// Plain SDP of an offer. `more` are lines of the media section.
pub fn offer(own: &str, port: u16, more: &str) -> String {
    format!(
        "v=0\r\no=alice 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=message {port} TCP/MSRP *\r\na=accept-types:*\r\na=path:{own}\r\n{more}"
    )
}

/// A path of our own that nobody listens at.
pub fn own_path() -> String {
    format!("msrp://127.0.0.1:7394/own{};tcp", unique())
}

impl Agent {
    /// An INVITE with that offer.
    pub fn invitation(&mut self, to: &str, sdp: &str) -> Builder {
        let contact = format!("<{}>", self.contact());
        self.request("INVITE", to, to)
            .header("Contact", contact)
            .header("Content-Type", "application/sdp")
            .body(sdp.to_owned())
    }

    /// Sends an INVITE and gives the final response, of which the 100 before it was seen.
    pub async fn call(&mut self, invite: &Builder) -> Message {
        self.send(invite.clone().octets()).await;
        let trying = self.next_within(PATIENCE).await.expect("a response");
        assert_eq!(trying.status(), Some(100), "{}", show(&trying));
        self.response().await
    }

    /// A dialog that was taken, with its ACK sent.
    pub async fn establish(&mut self, invite: Builder) -> Dialog {
        let ok = self.call(&invite).await;
        assert_eq!(ok.status(), Some(200), "{}", show(&ok));
        let invite = invite.build().unwrap();
        let mut dialog = Dialog {
            invite,
            ok,
            cseq: 0,
        };
        let ack = dialog.request(self, "ACK");
        self.send(ack.octets()).await;
        dialog
    }
}

impl Dialog {
    /// A request inside. ACK has the number of the INVITE.
    pub fn request(&mut self, agent: &Agent, method: &str) -> Builder {
        let field =
            |message: &Message, name: &str| message.header(name).unwrap().text().into_owned();
        let contact = field(&self.ok, "Contact");
        let uri = contact.trim_start_matches('<').split('>').next().unwrap();
        let invited = field(&self.invite, "CSeq");
        let first: u32 = invited.split(' ').next().unwrap().parse().unwrap();
        if method != "ACK" {
            self.cseq += 1;
        }
        let number = first + if method == "ACK" { 0 } else { self.cseq };
        let via = field(&self.invite, "Via");
        let (before, _) = via.split_once("branch=").unwrap();
        Builder::request(method, uri)
            .header(
                "Via",
                format!(
                    "{before}branch=z9hG4bK{}y{};rport",
                    std::process::id(),
                    unique()
                ),
            )
            .header("Max-Forwards", "70")
            .header("From", field(&self.invite, "From"))
            .header("To", field(&self.ok, "To"))
            .header("Call-ID", field(&self.invite, "Call-ID"))
            .header("CSeq", format!("{number} {method}"))
            .header("Contact", format!("<{}>", agent.contact()))
    }

    /// The path of the server.
    pub fn path(&self) -> String {
        path_of(&self.ok)
    }

    /// Ends the session.
    pub async fn bye(&mut self, agent: &mut Agent) {
        let bye = self.request(agent, "BYE");
        let response = agent.ask(bye).await;
        assert_eq!(response.status(), Some(200), "{}", show(&response));
    }
}

pub fn line<'s>(sdp: &'s str, start: &str) -> &'s str {
    sdp.lines()
        .find_map(|line| line.strip_prefix(start))
        .unwrap_or_else(|| panic!("no {start} in\n{sdp}"))
}

pub fn path_of(message: &Message) -> String {
    let sdp = String::from_utf8_lossy(message.body()).into_owned();
    line(&sdp, "a=path:").to_owned()
}

pub fn address_of(path: &str) -> SocketAddr {
    let rest = path.split("://").nth(1).unwrap();
    rest.split('/').next().unwrap().parse().unwrap()
}

pub trait Octets: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Octets for T {}

/// An MSRP connection.
pub struct Msrp {
    pub stream: Box<dyn Octets>,
    pub held: Vec<u8>,
    /// Reports that came before the response that was awaited.
    pub earlier: Vec<String>,
    /// The server's path.
    pub to: String,
    /// Our own.
    pub from: String,
}

impl Msrp {
    /// Connects to where the server's path says.
    pub async fn connect(to: &str, from: &str) -> Self {
        let stream = TcpStream::connect(address_of(to)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(Box::new(stream), to, from)
    }

    /// The same; `None` when nobody listens any more.
    pub async fn try_connect(to: &str, from: &str) -> Option<Self> {
        let stream = TcpStream::connect(address_of(to)).await.ok()?;
        Some(Self::over(Box::new(stream), to, from))
    }

    /// Sends a chunk and gives the frame that comes next; `None` when the connection breaks.
    pub async fn try_ask(&mut self, chunk: &[u8]) -> Option<String> {
        self.stream.write_all(chunk).await.ok()?;
        timeout(PATIENCE, self.next()).await.expect("an answer")
    }

    pub fn over(stream: Box<dyn Octets>, to: &str, from: &str) -> Self {
        Self {
            stream,
            held: Vec::new(),
            earlier: Vec::new(),
            to: to.to_owned(),
            from: from.to_owned(),
        }
    }

    /// The server's connection.
    pub async fn accept(listener: &TcpListener, to: &str, from: &str) -> Self {
        let (stream, _) = timeout(PATIENCE, listener.accept())
            .await
            .expect("a connection")
            .unwrap();
        Self::over(Box::new(stream), to, from)
    }

    /// A chunk as octets. `more` are header lines, each with its line end.
    pub fn chunk(&self, tid: &str, more: &str, body: &[u8], flag: char) -> Vec<u8> {
        let mut octets = format!(
            "MSRP {tid} SEND\r\nTo-Path: {}\r\nFrom-Path: {}\r\n{more}Content-Type: text/plain\r\n\r\n",
            self.to, self.from
        )
        .into_bytes();
        octets.extend_from_slice(body);
        octets.extend_from_slice(format!("\r\n-------{tid}{flag}\r\n").as_bytes());
        octets
    }

    pub async fn write(&mut self, octets: impl AsRef<[u8]>) {
        self.stream.write_all(octets.as_ref()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Sends a chunk and gives the status of its response.
    pub async fn send(&mut self, more: &str, body: &[u8], flag: char) -> u16 {
        let tid = format!("tid{}", unique());
        let chunk = self.chunk(&tid, more, body, flag);
        self.write(chunk).await;
        self.status(&tid).await
    }

    /// Sends a whole message.
    pub async fn message(&mut self, id: &str, body: &[u8]) -> u16 {
        let range = format!("Message-ID: {id}\r\nByte-Range: 1-{0}/{0}\r\n", body.len());
        self.send(&range, body, '$').await
    }

    /// The status of the response to that transaction, which is to come next but for reports.
    pub async fn status(&mut self, tid: &str) -> u16 {
        let mut frame = self.frame().await;
        while frame.lines().next().unwrap().ends_with(" REPORT") {
            self.earlier.push(frame);
            frame = self.frame().await;
        }
        let (mine, rest) = frame
            .strip_prefix("MSRP ")
            .unwrap()
            .split_once(' ')
            .unwrap();
        assert_eq!(mine, tid, "{frame}");
        rest[..3].parse().unwrap()
    }

    /// The next frame.
    pub async fn frame(&mut self) -> String {
        timeout(PATIENCE, self.next())
            .await
            .expect("a frame")
            .expect("an open connection")
    }

    /// The next frame; `None` when the connection is closed.
    pub async fn next(&mut self) -> Option<String> {
        loop {
            let text = String::from_utf8_lossy(&self.held).into_owned();
            let tid = text
                .strip_prefix("MSRP ")
                .and_then(|rest| rest.split(' ').next());
            if let Some(tid) = tid {
                let end = format!("-------{tid}");
                if let Some(at) = text.find(&end)
                    && let Some(length) = text[at..].find("\r\n")
                {
                    let frame = text[..at + length + 2].to_owned();
                    self.held.drain(..frame.len());
                    return Some(frame);
                }
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk).await {
                Ok(0) | Err(_) => return None,
                Ok(length) => self.held.extend_from_slice(&chunk[..length]),
            }
        }
    }

    /// Whether the server closes the connection, whatever it says before.
    pub async fn is_closed(&mut self) -> bool {
        let all = async { while self.next().await.is_some() {} };
        timeout(PATIENCE, all).await.is_ok()
    }
}
