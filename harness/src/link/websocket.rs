//! WebSocket as the client, for SIP (RFC 7118) and for MSRP (RFC 7977): the handshake that asks for the
//! subprotocol, one message of it in each WebSocket message, and answers to pings.

use std::fmt;

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::{Error, ProtocolError};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::{Message, WebSocketConfig};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// What is spoken over a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subprotocol {
    /// RFC 7118
    Sip,
    /// RFC 7977
    Msrp,
}

impl Subprotocol {
    /// As the handshake has it.
    fn name(self) -> &'static str {
        match self {
            Self::Sip => "sip",
            Self::Msrp => "msrp",
        }
    }

    /// Where the profile has the path of the resource.
    fn resource(self) -> &'static str {
        match self {
            Self::Sip => "the path in `pixit.target`",
            Self::Msrp => "`pixit.msrp.relay.resource`, the path",
        }
    }

    /// What a server is that does not agree to it.
    fn refusal(self) -> &'static str {
        match self {
            Self::Sip => {
                "the server's 101 does not agree to the subprotocol `sip` (RFC 7118 §4.1): check that it is a SIP server"
            }
            Self::Msrp => {
                "the relay's 101 does not agree to the subprotocol `msrp` (RFC 7977 §4.1): check that it is an MSRP relay"
            }
        }
    }
}

/// The largest message that is taken, and the largest frame of one.
const LARGEST: usize = 17 * 1024 * 1024;

/// What WebSocket runs over: TCP, or TLS over it.
pub(crate) trait Carrier: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Carrier for T {}

type Socket = WebSocketStream<Box<dyn Carrier>>;

/// What comes.
pub(crate) struct Incoming {
    stream: SplitStream<Socket>,
    spoken: Subprotocol,
}

/// What goes.
pub(crate) struct Outgoing {
    sink: SplitSink<Socket, Message>,
    spoken: Subprotocol,
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Incoming")
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outgoing")
    }
}

/// Both ways of a connection.
pub(crate) type Halves = (Incoming, Outgoing);

/// Why there is no connection, and the error of what it runs over where that is the reason.
pub(crate) type Failure = (String, Option<std::io::Error>);

/// Shakes hands with the server at `place`, which is `host:port` with the path of the resource.
pub(crate) async fn connect(
    carrier: Box<dyn Carrier>,
    secure: bool,
    place: &str,
    spoken: Subprotocol,
) -> Result<Halves, Failure> {
    let scheme = if secure { "wss" } else { "ws" };
    let uri = format!("{scheme}://{place}");
    let mut request = uri
        .as_str()
        .into_client_request()
        .map_err(|e| (format!("`{uri}` cannot be asked for: {e}"), None))?;
    request.headers_mut().insert(
        "Sec-WebSocket-Protocol",
        HeaderValue::from_static(spoken.name()),
    );
    let config = WebSocketConfig::default()
        .max_message_size(Some(LARGEST))
        .max_frame_size(Some(LARGEST));
    let (socket, _) = client_async_with_config(request, carrier, Some(config))
        .await
        .map_err(|error| {
            let why = format!("no WebSocket at {uri}: {}", meaning(&error, spoken));
            match error {
                Error::Io(below) => (why, Some(below)),
                _ => (why, None),
            }
        })?;
    let (sink, stream) = socket.split();
    Ok((Incoming { stream, spoken }, Outgoing { sink, spoken }))
}

impl Incoming {
    /// The next message, `None` at the end. Nothing is lost where the future is dropped.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, String> {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) => return Ok(Some(text.into())),
                Some(Ok(Message::Binary(octets))) => return Ok(Some(octets)),
                // A ping is answered by the next read.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(
                    Ok(Message::Close(_)) | Err(Error::ConnectionClosed | Error::AlreadyClosed),
                )
                | None => return Ok(None),
                Some(Err(error)) => return Err(meaning(&error, self.spoken)),
            }
        }
    }
}

impl Outgoing {
    pub(crate) async fn send(&mut self, octets: &Bytes) -> Result<(), String> {
        // RFC 7118 §4.2, RFC 7977 §4.2: text where it is UTF-8, as what scripts in browsers say.
        let message = match Utf8Bytes::try_from(octets.clone()) {
            Ok(text) => Message::Text(text),
            Err(_) => Message::Binary(octets.clone()),
        };
        let sent = self.sink.send(message).await;
        sent.map_err(|e| meaning(&e, self.spoken))
    }

    /// Says that nothing more comes. What is still to be read may be read.
    pub(crate) async fn close(&mut self) {
        // Who has gone already need not be told.
        let _ = self.sink.close().await;
    }
}

fn meaning(error: &Error, spoken: Subprotocol) -> String {
    match error {
        Error::Http(response) => format!(
            "the server answers the handshake with {}, not with 101: check {}, and whether it wants an Origin or \
             credentials of HTTP",
            response.status(),
            spoken.resource()
        ),
        Error::Protocol(ProtocolError::SecWebSocketSubProtocolError(_)) => {
            spoken.refusal().to_owned()
        }
        Error::Protocol(ProtocolError::HandshakeIncomplete) => {
            "it was closed in the middle of the handshake: check that this is the server's port for WebSocket"
                .to_owned()
        }
        Error::Protocol(_) => format!("what answers does not keep the rules of WebSocket: {error}"),
        Error::Capacity(_) => format!("a message is larger than the harness takes: {error}"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::panic,
        clippy::result_large_err,
        reason = "tests"
    )]

    use std::net::{Ipv4Addr, SocketAddr};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_tungstenite::accept_hdr_async;
    use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

    use super::*;
    use crate::link::{Dialer, Piece, Transport};

    fn dialer(at: SocketAddr) -> Dialer {
        let place = (Transport::Ws, format!("{at}/sip"));
        Dialer::plain(Ipv4Addr::LOCALHOST.into()).with_places([place].into())
    }

    /// A server that takes one connection, agrees to that subprotocol, and says back what it hears.
    async fn serve(agreed: Option<&'static str>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let agree = |request: &Request, mut response: Response| {
                assert_eq!(request.uri().path(), "/sip");
                assert_eq!(request.headers()["Sec-WebSocket-Protocol"], "sip");
                if let Some(name) = agreed {
                    let value = HeaderValue::from_static(name);
                    response
                        .headers_mut()
                        .insert("Sec-WebSocket-Protocol", value);
                }
                Ok(response)
            };
            let Ok(mut socket) = accept_hdr_async(stream, agree).await else {
                return;
            };
            let _ = socket.send(Message::Ping(Bytes::new())).await;
            while let Some(Ok(message)) = socket.next().await {
                if matches!(message, Message::Text(_) | Message::Binary(_)) {
                    let _ = socket.send(message).await;
                }
            }
        });
        at
    }

    #[tokio::test]
    async fn a_message_is_a_message_and_text_where_it_is_utf_8() {
        let at = serve(Some("sip")).await;
        let mut link = dialer(at).connect(Transport::Ws, at).await.unwrap();
        for octets in [&b"one"[..], b"\xff two", b""] {
            let octets = Bytes::from_static(octets);
            link.writer.send(&octets).await.unwrap();
            let came = link.reader.next().await.unwrap();
            assert_eq!(came, Some(Piece::Message(octets)));
        }
    }

    #[tokio::test]
    async fn what_keeps_a_handshake_from_coming_about_is_said_with_what_to_check() {
        let mut said = Vec::new();
        for agreed in [None, Some("msrp")] {
            let at = serve(agreed).await;
            said.push((at, dialer(at).connect(Transport::Ws, at).await.unwrap_err()));
        }
        for answer in [
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            "SIP/2.0 400 Bad Request\r\n\r\n",
            "",
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let at = listener.local_addr().unwrap();
            tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut buffer = [0; 4096];
                let _ = stream.read(&mut buffer).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            });
            said.push((at, dialer(at).connect(Transport::Ws, at).await.unwrap_err()));
        }
        let said: Vec<_> = said
            .iter()
            .map(|(at, why)| why.replace(&at.to_string(), "127.0.0.1:PORT"))
            .collect();
        insta::assert_snapshot!(said.join("\n"));
    }
}
