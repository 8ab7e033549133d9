//! SIP over WebSocket (RFC 7118): one SIP message in each WebSocket message. Nobody can be called by
//! WebSocket, so what goes to a user agent goes over the connection that it has opened, or nowhere.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use imspec_wire::sip::Message as SipMessage;
use imspec_wire::sip::stream::is_keep_alive;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::protocol::{Message, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};

use super::stream::{self, PATIENCE};
use super::{Flow, Inbox, Incoming, Protocol, Transport, TransportLimits};

/// The subprotocol of SIP (RFC 7118 §4.1).
const SUBPROTOCOL: &str = "sip";
const SUBPROTOCOLS: &str = "Sec-WebSocket-Protocol";
/// A connection on which nothing comes for so long is asked whether it is still there (RFC 7118 §6).
const PING: Duration = Duration::from_secs(30);

/// Shakes hands, under TLS where `protocol` wants it, and serves the connection in the background.
pub(super) async fn accept(
    transport: Arc<Transport>,
    protocol: Protocol,
    stream: TcpStream,
    slot: OwnedSemaphorePermit,
) {
    let Ok(ends) = stream::ends(&stream) else {
        return;
    };
    let remote = ends.1;
    let served = async {
        match (protocol, &transport.tls) {
            (Protocol::Wss, Some(tls)) => {
                let secured = timeout(PATIENCE, tls.accept(stream)).await;
                let stream = secured.map_err(|_| "no TLS handshake")?.map_err(|error| {
                    tracing::info!(%remote, %error, "no TLS");
                    "the TLS handshake failed"
                })?;
                serve(&transport, protocol, ends, stream).await
            }
            (Protocol::Wss, None) => Err("there is no TLS"),
            _ => serve(&transport, protocol, ends, stream).await,
        }
    };
    let reason = served.await.unwrap_or_else(|reason| reason);
    tracing::debug!(%remote, reason, "WebSocket closed");
    drop(slot);
}

async fn serve(
    transport: &Transport,
    protocol: Protocol,
    (local, remote): (std::net::SocketAddr, std::net::SocketAddr),
    stream: impl AsyncRead + AsyncWrite + Send + Unpin,
) -> Result<&'static str, &'static str> {
    let limits = transport.limits;
    let largest = limits.message.head.saturating_add(limits.message.body);
    let config = WebSocketConfig::default()
        .max_message_size(Some(largest))
        .max_frame_size(Some(largest));
    let shaken = accept_hdr_async_with_config(stream, agree, Some(config));
    let socket = timeout(PATIENCE, shaken)
        .await
        .map_err(|_| "no WebSocket handshake")?
        .map_err(|error| {
            tracing::info!(%remote, %error, "no WebSocket");
            "the WebSocket handshake failed"
        })?;
    let inbox = transport.inbox().ok_or("the server is not running")?;
    let flow = Flow {
        protocol,
        local,
        remote,
    };
    let (_, entry, mut queued) = transport.enter((protocol, remote));
    let reason = converse(socket, &mut queued, flow, limits, &*inbox).await;
    drop(entry);
    Ok(reason)
}

/// Agrees to the subprotocol, and to nothing without it.
#[expect(clippy::result_large_err, reason = "as the crate asks for it")]
fn agree(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let asked = request.headers().get_all(SUBPROTOCOLS);
    let is_asked = asked
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|name| name.trim().eq_ignore_ascii_case(SUBPROTOCOL));
    if !is_asked {
        let mut refused = ErrorResponse::new(Some(
            "Sec-WebSocket-Protocol must have sip (RFC 7118)".to_owned(),
        ));
        *refused.status_mut() = StatusCode::BAD_REQUEST;
        return Err(refused);
    }
    response
        .headers_mut()
        .insert(SUBPROTOCOLS, HeaderValue::from_static(SUBPROTOCOL));
    Ok(response)
}

/// Reads and writes until the connection is of no more use, and says why.
async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    mut socket: WebSocketStream<S>,
    queued: &mut tokio::sync::mpsc::Receiver<Bytes>,
    flow: Flow,
    limits: TransportLimits,
    inbox: &dyn Inbox,
) -> &'static str {
    let mut heard = Instant::now();
    loop {
        let message = tokio::select! {
            came = timeout(PING.min(limits.idle), socket.next()) => match came {
                Err(_) if heard.elapsed() >= limits.idle => return "idle",
                Err(_) => {
                    match timeout(PATIENCE, socket.send(Message::Ping(Bytes::new()))).await {
                        Ok(Ok(())) => continue,
                        _ => return "the peer does not read",
                    }
                }
                Ok(Some(Ok(message))) => message,
                Ok(Some(Err(Error::Capacity(_)))) => return "a message is too large",
                Ok(Some(Err(_))) => return "reading failed",
                Ok(None) => return "the peer closed it",
            },
            octets = queued.recv() => {
                // `None`: the table has let go of it, and the peer will close what it has left.
                let Some(octets) = octets else { return "another took its place" };
                match timeout(PATIENCE, socket.send(message_of(octets))).await {
                    Ok(Ok(())) => continue,
                    Ok(Err(_)) => return "writing failed",
                    Err(_) => return "the peer does not read",
                }
            }
        };
        heard = Instant::now();
        let octets: Bytes = match message {
            Message::Text(text) => text.into(),
            Message::Binary(octets) => octets,
            Message::Close(_) => return "the peer closed it",
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
        };
        if is_keep_alive(&octets) {
            // RFC 5626 §3.5.1: two line ends ask, one answers.
            if &octets[..] == b"\r\n\r\n" {
                let pong = Message::Text(Utf8Bytes::from_static("\r\n"));
                let _ = timeout(PATIENCE, socket.send(pong)).await;
            }
            continue;
        }
        let length = octets.len();
        match SipMessage::parse_with(octets, &limits.message) {
            Ok(message) => inbox.receive(Incoming {
                message,
                flow,
                broken: false,
            }),
            Err(error) => {
                tracing::debug!(remote = %flow.remote, length, %error, "dropped what is not SIP");
            }
        }
    }
}

/// RFC 7118 §4.2: text where it is UTF-8.
fn message_of(octets: Bytes) -> Message {
    match Utf8Bytes::try_from(octets.clone()) {
        Ok(text) => Message::Text(text),
        Err(_) => Message::Binary(octets),
    }
}
