//! Connections that carry SIP, to a server under test and from it: made and taken here for the user agents
//! and the probe alike, read in pieces, written whole. What keeps one from coming about is said in a sentence
//! with what to check.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsStream;

pub mod locate;
pub mod tls;
pub(crate) mod websocket;

use tls::{Explain, Secured, Trust};
use websocket::{Carrier, Subprotocol};

/// How long connecting and writing may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Octets that are read at once.
const PIECE: usize = 16 * 1024;

/// A transport of SIP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// UDP
    Udp,
    /// TCP
    Tcp,
    /// TLS over TCP
    Tls,
    /// WebSocket over TCP
    Ws,
    /// WebSocket over TLS
    Wss,
}

impl Transport {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Udp, Self::Tcp, Self::Tls, Self::Ws, Self::Wss];

    /// As written in profiles and scenarios.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    /// Where the profile has the server's address.
    pub fn target(self) -> &'static str {
        match self {
            Self::Udp => "target.udp",
            Self::Tcp => "target.tcp",
            Self::Tls => "target.tls",
            Self::Ws => "target.ws",
            Self::Wss => "target.wss",
        }
    }

    /// Reads it, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|transport| text.eq_ignore_ascii_case(transport.as_str()))
    }

    /// The name in Via (RFC 3261 §20.42, RFC 7118 §5.1).
    pub fn via_name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }

    /// The parameter of a SIP URI that asks for it; nothing where it is the usual one.
    pub fn uri_parameter(self) -> &'static str {
        match self {
            Self::Udp => "",
            Self::Tcp => ";transport=tcp",
            Self::Tls => ";transport=tls",
            // RFC 7118 §5.2: one name for both.
            Self::Ws | Self::Wss => ";transport=ws",
        }
    }

    /// Whether it is under TLS.
    pub fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    /// Whether it is WebSocket: message by message, and over connections of the client's alone.
    pub fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }
}

/// Makes connections and takes them, as the profile of a server has it.
#[derive(Debug, Clone)]
pub struct Dialer {
    bind: IpAddr,
    trust: Arc<Trust>,
    /// `host:port/path` of WebSocket servers, as the profile has them.
    places: Arc<BTreeMap<Transport, String>>,
}

impl Dialer {
    /// From an address of ours; `trust` says what holds under TLS.
    pub fn new(bind: IpAddr, trust: Trust) -> Self {
        Self {
            bind,
            trust: Arc::new(trust),
            places: Arc::default(),
        }
    }

    /// Knows the resources that stand for SIP at WebSocket servers.
    pub fn with_places(self, places: BTreeMap<Transport, String>) -> Self {
        Self {
            places: Arc::new(places),
            ..self
        }
    }

    /// Without TLS.
    pub fn plain(bind: IpAddr) -> Self {
        Self::new(bind, Trust::default())
    }

    /// Address of ours.
    pub fn bind(&self) -> IpAddr {
        self.bind
    }

    /// Connects to a server.
    pub async fn connect(&self, transport: Transport, target: SocketAddr) -> Result<Link, String> {
        let patience = PATIENCE.as_secs();
        let stream = timeout(PATIENCE, connect(self.bind, target))
            .await
            .map_err(|_| format!("no connection to {target} within {patience} s"))?
            .map_err(|e| format!("no connection to {target}: {e}"))?;
        if let Transport::Udp | Transport::Tcp = transport {
            return Link::plain(stream);
        }
        let socket = Socket::of(&stream)?;
        match transport {
            Transport::Tls => {
                let secured = self.secured(stream, target).await?;
                Ok(Link::secure(socket, secured))
            }
            Transport::Wss => {
                let secured = self.secured(stream, target).await?;
                let carrier = Box::new(secured.stream);
                let halves = self.websocket(transport, carrier, target).await;
                // With TLS 1.3 a refused certificate shows only now.
                let halves = halves.map_err(|(why, error)| {
                    error.and_then(|e| secured.explain.later(&e)).unwrap_or(why)
                })?;
                Ok(Link::by_messages(socket, halves))
            }
            _ => {
                let carrier = Box::new(stream);
                let halves = self.websocket(transport, carrier, target).await;
                let halves = halves.map_err(|(why, _)| why)?;
                Ok(Link::by_messages(socket, halves))
            }
        }
    }

    async fn secured(&self, stream: TcpStream, target: SocketAddr) -> Result<Secured, String> {
        let secured = timeout(PATIENCE, self.trust.connect(stream, target));
        secured.await.map_err(|_| {
            format!(
                "no TLS handshake with {target} within {} s: check that the server speaks TLS at this port",
                PATIENCE.as_secs()
            )
        })?
    }

    async fn websocket(
        &self,
        transport: Transport,
        carrier: Box<dyn Carrier>,
        target: SocketAddr,
    ) -> Result<websocket::Halves, websocket::Failure> {
        let address = target.to_string();
        let place = self.places.get(&transport).unwrap_or(&address);
        let secure = transport == Transport::Wss;
        let shaken = websocket::connect(carrier, secure, place, Subprotocol::Sip);
        timeout(PATIENCE, shaken).await.unwrap_or_else(|_| {
            let why = format!(
                "no WebSocket handshake with {target} within {} s: check that this is the server's port for WebSocket",
                PATIENCE.as_secs()
            );
            Err((why, None))
        })
    }

    /// Takes a connection that came to a listener of ours.
    pub async fn accept(&self, transport: Transport, stream: TcpStream) -> Result<Link, String> {
        match transport {
            Transport::Udp | Transport::Tcp => Link::plain(stream),
            Transport::Tls => {
                let socket = Socket::of(&stream)?;
                let secured = timeout(PATIENCE, self.trust.accept(stream, self.bind));
                let secured = secured.await.map_err(|_| {
                    format!(
                        "the connection from {} was closed: no TLS handshake within {} s",
                        socket.remote,
                        PATIENCE.as_secs()
                    )
                })??;
                Ok(Link::secure(socket, secured))
            }
            Transport::Ws | Transport::Wss => {
                Err("nobody connects to a user agent by WebSocket (RFC 7118 §3)".to_owned())
            }
        }
    }
}

/// A connection that is there.
#[derive(Debug)]
pub struct Link {
    /// Our end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// What comes.
    pub reader: Reader,
    /// What goes.
    pub writer: Writer,
}

/// Reads a connection.
#[derive(Debug)]
pub struct Reader {
    source: Source,
    buffer: BytesMut,
}

#[derive(Debug)]
enum Source {
    Plain(OwnedReadHalf),
    Secure {
        half: ReadHalf<TlsStream<TcpStream>>,
        explain: Explain,
        socket: std::net::TcpStream,
    },
    Messages {
        incoming: websocket::Incoming,
        socket: std::net::TcpStream,
    },
}

/// What a connection gives at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Some octets of a stream, which need not be a message.
    Octets(Bytes),
    /// What the other end sent as one message.
    Message(Bytes),
}

/// Writes to a connection.
#[derive(Debug)]
pub struct Writer(Sink);

#[derive(Debug)]
enum Sink {
    Plain(OwnedWriteHalf),
    Secure(WriteHalf<TlsStream<TcpStream>>),
    Messages(websocket::Outgoing),
}

impl Reader {
    /// What comes next; `None` at the end. Where more can be said of an error than that the connection broke,
    /// it is said. Nothing is lost where the future is dropped.
    pub async fn next(&mut self) -> Result<Option<Piece>, Option<String>> {
        self.buffer.reserve(PIECE);
        let read = match &mut self.source {
            Source::Plain(half) => half.read_buf(&mut self.buffer).await.map_err(|_| None),
            Source::Secure { half, explain, .. } => half
                .read_buf(&mut self.buffer)
                .await
                .map_err(|error| explain.later(&error)),
            Source::Messages { incoming, .. } => {
                let message = incoming.next().await.map_err(Some)?;
                return Ok(message.map(Piece::Message));
            }
        };
        match read? {
            0 => Ok(None),
            _ => Ok(Some(Piece::Octets(self.buffer.split().freeze()))),
        }
    }

    /// Makes the kernel end the connection with RST instead of FIN, once both halves of it are dropped.
    pub fn reset(&self) {
        let _ = match &self.source {
            Source::Plain(half) => half.as_ref().set_zero_linger(),
            Source::Secure { socket, .. } | Source::Messages { socket, .. } => {
                SockRef::from(socket).set_linger(Some(Duration::ZERO))
            }
        };
    }
}

impl Writer {
    /// Writes all of a message.
    pub async fn send(&mut self, octets: &Bytes) -> Result<(), String> {
        let written = async {
            let written = match &mut self.0 {
                Sink::Plain(half) => half.write_all(octets).await,
                Sink::Secure(half) => match half.write_all(octets).await {
                    Ok(()) => half.flush().await,
                    failed => failed,
                },
                Sink::Messages(outgoing) => return outgoing.send(octets).await,
            };
            written.map_err(|e| e.to_string())
        };
        match timeout(PATIENCE, written).await {
            Ok(written) => written,
            Err(_) => Err(format!(
                "the server reads nothing for {} s",
                PATIENCE.as_secs()
            )),
        }
    }
}

impl Link {
    fn plain(stream: TcpStream) -> Result<Self, String> {
        let (local, remote) = places(&stream)?;
        let (reader, writer) = stream.into_split();
        Ok(Self {
            local,
            remote,
            reader: Reader {
                source: Source::Plain(reader),
                buffer: BytesMut::new(),
            },
            writer: Writer(Sink::Plain(writer)),
        })
    }

    fn secure(socket: Socket, secured: Secured) -> Self {
        let (half, writer) = tokio::io::split(secured.stream);
        let source = Source::Secure {
            half,
            explain: secured.explain,
            socket: socket.handle,
        };
        Self {
            local: socket.local,
            remote: socket.remote,
            reader: Reader {
                source,
                buffer: BytesMut::new(),
            },
            writer: Writer(Sink::Secure(writer)),
        }
    }
}

impl Link {
    fn by_messages(socket: Socket, (incoming, outgoing): websocket::Halves) -> Self {
        let source = Source::Messages {
            incoming,
            socket: socket.handle,
        };
        Self {
            local: socket.local,
            remote: socket.remote,
            reader: Reader {
                source,
                buffer: BytesMut::new(),
            },
            writer: Writer(Sink::Messages(outgoing)),
        }
    }
}

/// What is kept of a socket that goes into a layer above TCP.
struct Socket {
    local: SocketAddr,
    remote: SocketAddr,
    handle: std::net::TcpStream,
}

impl Socket {
    fn of(stream: &TcpStream) -> Result<Self, String> {
        let (local, remote) = places(stream)?;
        let handle = SockRef::from(stream)
            .try_clone()
            .map_err(|e| broke(&e))?
            .into();
        Ok(Self {
            local,
            remote,
            handle,
        })
    }
}

fn places(stream: &TcpStream) -> Result<(SocketAddr, SocketAddr), String> {
    let places = || {
        stream.set_nodelay(true)?;
        Ok((stream.local_addr()?, stream.peer_addr()?))
    };
    places().map_err(|e| broke(&e))
}

fn broke(error: &std::io::Error) -> String {
    format!("the connection broke at once: {error}")
}

/// Opens a connection from an address of ours: a host with several must not choose for us.
pub async fn connect(bind: IpAddr, target: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = match target {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.bind(SocketAddr::new(bind, 0))?;
    socket.connect(target).await
}
