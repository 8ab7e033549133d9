//! Streams, TCP or TLS: framing by Content-Length, connections used again, idle and slow ones closed.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use imspec_wire::sip::stream::Frame;
use imspec_wire::sip::{Limits, Message, StreamDecoder};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};

use super::{Closed, Flow, Inbox, Incoming, Protocol, Transport, TransportLimits, websocket};

/// Messages that may wait for a peer that reads slowly.
const WRITE_QUEUE: usize = 64;
/// How long a peer may take to accept a connection, or the next octets.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// How long the last octets may take, which say that there are no more.
const PARTING: Duration = Duration::from_secs(1);

/// An open connection, for sending.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    id: u64,
    queue: mpsc::Sender<Bytes>,
    closed: watch::Receiver<bool>,
}

impl Connection {
    pub(super) async fn send(&self, octets: Bytes) -> io::Result<Closed> {
        let gone = || io::Error::new(io::ErrorKind::BrokenPipe, "the connection is closed");
        match timeout(PATIENCE, self.queue.send(octets)).await {
            Ok(Ok(())) if !*self.closed.borrow() => Ok(Closed(Some(self.closed.clone()))),
            Ok(_) => Err(gone()),
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the peer does not read",
            )),
        }
    }

    pub(super) fn send_now(&self, octets: Bytes) {
        let _ = self.queue.try_send(octets);
    }
}

impl Transport {
    pub(super) fn connection(&self, protocol: Protocol, remote: SocketAddr) -> Option<Connection> {
        let connections = self
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        connections
            .get(&(protocol, remote))
            .filter(|connection| !*connection.closed.borrow())
            .cloned()
    }
}

impl Transport {
    /// Gives a connection its place in the table, and what is queued for it. It loses that place when the entry
    /// is dropped.
    pub(super) fn enter(
        &self,
        key: (Protocol, SocketAddr),
    ) -> (Connection, Entry, mpsc::Receiver<Bytes>) {
        let (queue, queued) = mpsc::channel(WRITE_QUEUE);
        let (close, closed) = watch::channel(false);
        let id = self.next_connection.fetch_add(1, Ordering::Relaxed);
        let connection = Connection { id, queue, closed };
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, connection.clone());
        let entry = Entry {
            connections: Arc::clone(&self.connections),
            key,
            id,
            close,
        };
        (connection, entry, queued)
    }
}

pub(super) async fn accept(transport: Arc<Transport>, protocol: Protocol, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => match Arc::clone(&transport.slots).try_acquire_owned() {
                // Whoever is slow with a handshake keeps nobody else waiting.
                Ok(slot) if protocol == Protocol::Tls => {
                    let shaking = shake_hands(Arc::clone(&transport), stream, slot);
                    transport.tasks.spawn(shaking);
                }
                Ok(slot) if protocol.is_websocket() => {
                    let shared = Arc::clone(&transport);
                    let serving = websocket::accept(shared, protocol, stream, slot);
                    transport.tasks.spawn(serving);
                }
                Ok(slot) => {
                    if let Err(error) = start_plain(&transport, stream, slot) {
                        tracing::debug!(%remote, %error, "a connection broke at once");
                    }
                }
                Err(_) => {
                    tracing::warn!(%remote, "refused a connection: limits.connections are open");
                }
            },
            Err(error) => {
                tracing::warn!(%error, "accepting a connection failed");
                // Out of descriptors, most likely: let some go before trying again.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn shake_hands(transport: Arc<Transport>, stream: TcpStream, slot: OwnedSemaphorePermit) {
    let Some(tls) = &transport.tls else { return };
    let Ok(ends) = ends(&stream) else { return };
    let started = match timeout(PATIENCE, tls.accept(stream)).await {
        Ok(Ok(stream)) => start(&transport, Protocol::Tls, ends, stream, slot).map(drop),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no handshake")),
    };
    if let Err(error) = started {
        tracing::info!(remote = %ends.1, %error, "a TLS connection did not come about");
    }
}

/// Sends over the connection to that address, opened if need be.
pub(super) async fn send(
    transport: &Transport,
    protocol: Protocol,
    remote: SocketAddr,
    octets: Bytes,
) -> io::Result<Closed> {
    if let Some(connection) = transport.connection(protocol, remote)
        && let Ok(closed) = connection.send(octets.clone()).await
    {
        return Ok(closed);
    }
    if protocol.is_websocket() {
        // RFC 7118 §3: only the user agent can open it again.
        return Err(io::Error::new(
            io::ErrorKind::NotConnected,
            "its WebSocket is closed",
        ));
    }
    let slot = Arc::clone(&transport.slots)
        .try_acquire_owned()
        .map_err(|_| io::Error::other("limits.connections are open"))?;
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no answer to the connection");
    let stream = timeout(PATIENCE, TcpStream::connect(remote))
        .await
        .map_err(late)??;
    let connection = match (protocol, &transport.tls) {
        (Protocol::Tls, None) => return Err(io::Error::other("there is no TLS")),
        (Protocol::Tls, Some(tls)) => {
            let ends = ends(&stream)?;
            let stream = timeout(PATIENCE, tls.connect(stream, remote.ip()))
                .await
                .map_err(late)??;
            start(transport, protocol, ends, stream, slot)?
        }
        _ => start_plain(transport, stream, slot)?,
    };
    connection.send(octets).await
}

fn start_plain(
    transport: &Transport,
    stream: TcpStream,
    slot: OwnedSemaphorePermit,
) -> io::Result<Connection> {
    start(transport, Protocol::Tcp, ends(&stream)?, stream, slot)
}

/// Our end and the peer's.
pub(super) fn ends(stream: &TcpStream) -> io::Result<(SocketAddr, SocketAddr)> {
    stream.set_nodelay(true)?;
    Ok((stream.local_addr()?, stream.peer_addr()?))
}

fn start(
    transport: &Transport,
    protocol: Protocol,
    (local, remote): (SocketAddr, SocketAddr),
    stream: impl AsyncRead + AsyncWrite + Send + 'static,
    slot: OwnedSemaphorePermit,
) -> io::Result<Connection> {
    let inbox = transport
        .inbox()
        .ok_or_else(|| io::Error::other("the server is not running"))?;
    let (reading, writing) = tokio::io::split(stream);
    let (connection, entry, queued) = transport.enter((protocol, remote));
    let flow = Flow {
        protocol,
        local,
        remote,
    };
    let limits = transport.limits;
    transport.tasks.spawn(async move {
        let mut writer = std::pin::pin!(write_all(writing, queued));
        let mut reader = std::pin::pin!(read_all(reading, flow, limits, &*inbox));
        let reason = tokio::select! {
            reason = &mut reader => {
                // A last answer may be queued. The queue ends when the table lets go of it.
                drop(entry);
                if let Ok(Ok(mut writing)) = timeout(Duration::from_secs(1), &mut writer).await {
                    let _ = timeout(PARTING, writing.shutdown()).await;
                }
                reason
            }
            written = &mut writer => match written {
                // Another connection to the same peer took this one's place in the table. What was asked
                // over this one is still to be answered over it, so it stays until the peer closes it.
                Ok(mut writing) => {
                    let reason = reader.await;
                    let _ = timeout(PARTING, writing.shutdown()).await;
                    reason
                }
                Err(reason) => reason,
            },
        };
        tracing::debug!(%remote, reason, "connection closed");
        drop(slot);
    });
    Ok(connection)
}

/// A connection's place in the table.
pub(super) struct Entry {
    connections: Arc<Mutex<HashMap<(Protocol, SocketAddr), Connection>>>,
    key: (Protocol, SocketAddr),
    id: u64,
    close: watch::Sender<bool>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut connections = self
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // A newer connection to the same address may have taken the place.
        if connections
            .get(&self.key)
            .is_some_and(|connection| connection.id == self.id)
        {
            connections.remove(&self.key);
        }
        drop(connections);
        self.close.send_replace(true);
    }
}

/// Writes what is queued. When nobody can queue anything any more, the writing side is given back.
async fn write_all<W: AsyncWrite + Unpin>(
    mut writing: W,
    mut queued: mpsc::Receiver<Bytes>,
) -> Result<W, &'static str> {
    while let Some(octets) = queued.recv().await {
        let written = async {
            writing.write_all(&octets).await?;
            writing.flush().await
        };
        match timeout(PATIENCE, written).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err("writing failed"),
            Err(_) => return Err("the peer does not read"),
        }
    }
    Ok(writing)
}

/// Reads until the connection is of no more use, and says why.
async fn read_all(
    mut reading: impl AsyncRead + Unpin,
    flow: Flow,
    limits: TransportLimits,
    inbox: &dyn Inbox,
) -> &'static str {
    let mut decoder = StreamDecoder::new(limits.message);
    let mut chunk = vec![0; 16 * 1024];
    // What the decoder holds, again: it is needed to answer a message that cannot be framed.
    let mut held: Vec<u8> = Vec::new();
    let mut began = Instant::now();
    loop {
        let deadline = if held.is_empty() {
            Instant::now() + limits.idle
        } else {
            began + limits.message_time
        };
        let length = match timeout_at(deadline, reading.read(&mut chunk)).await {
            Err(_) if held.is_empty() => return "idle",
            Err(_) => return "a message was not complete in time",
            Ok(Err(_)) => return "reading failed",
            Ok(Ok(0)) => return "the peer closed it",
            Ok(Ok(length)) => length,
        };
        let octets = chunk.get(..length).unwrap_or_default();
        if held.is_empty() {
            began = Instant::now();
        }
        decoder.push(octets);
        held.extend_from_slice(octets);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => {
                    let done = held.len().saturating_sub(decoder.pending());
                    held.drain(..done);
                    began = Instant::now();
                    if let Frame::Message(message) = frame {
                        inbox.receive(Incoming {
                            message,
                            flow,
                            broken: false,
                        });
                    }
                }
                Ok(None) => {
                    // White space between messages is not held.
                    let done = held.len().saturating_sub(decoder.pending());
                    held.drain(..done);
                    break;
                }
                Err(error) => {
                    tracing::debug!(remote = %flow.remote, %error, "a stream is out of step");
                    if let Some(message) = head_of(&held) {
                        inbox.receive(Incoming {
                            message,
                            flow,
                            broken: true,
                        });
                    }
                    return "out of step";
                }
            }
        }
    }
}

/// The head of a message whose body cannot be framed, if that much can be read, for an answer that
/// says why.
fn head_of(held: &[u8]) -> Option<Message> {
    let start = held.iter().position(|octet| !octet.is_ascii_whitespace())?;
    let rest = held.get(start..)?;
    let end = memmem(rest, b"\r\n\r\n")?;
    let limits = Limits {
        head: end.saturating_add(4),
        headers: usize::MAX,
        body: usize::MAX,
    };
    Message::parse_with(
        Bytes::copy_from_slice(rest.get(..end.saturating_add(4))?),
        &limits,
    )
    .ok()
}

fn memmem(octets: &[u8], wanted: &[u8]) -> Option<usize> {
    octets
        .windows(wanted.len())
        .position(|window| window == wanted)
}
