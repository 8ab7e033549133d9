//! The sockets of one device: a TCP listener, and with it a UDP socket or a connection to the server. Reads
//! never block a writer, and what is read is bounded.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use imspec_reports::record::trace::Packet;
use imspec_wire::sip::stream::Frame;
use imspec_wire::sip::{Limits, StreamDecoder};
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::AbortHandle;

use super::door::{Door, Entry};
use super::{Inbox, Place, packet, ports, tags};
use crate::sut::probe;
use crate::sut::profile::Transport;

/// Largest datagram.
const DATAGRAM: usize = 65_535;
/// How long connecting and writing may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Connections that the server may open to one device.
const CONNECTIONS: usize = 64;
/// What is taken of a message over TCP.
const LIMITS: Limits = Limits {
    head: 128 * 1024,
    headers: 2048,
    body: 16 * 1024 * 1024,
};

/// The socket of a device.
#[derive(Debug)]
pub struct Endpoint {
    core: Arc<Core>,
    /// The connections that were made from here, over TCP, by where they lead.
    out: tokio::sync::Mutex<HashMap<SocketAddr, Way>>,
    tasks: Mutex<Vec<AbortHandle>>,
    inbox: Inbox,
}

/// What sending needs; shared with the tasks that read.
#[derive(Debug)]
pub(super) struct Core {
    place: Place,
    user_part: String,
    target: SocketAddr,
    local: SocketAddr,
    udp: Option<UdpSocket>,
}

/// The way on which octets travel.
#[derive(Debug, Clone)]
pub(super) enum Way {
    /// Datagrams to and from this address.
    Udp(SocketAddr),
    /// A connection.
    Tcp(Arc<Connection>),
}

#[derive(Debug)]
pub(super) struct Connection {
    local: SocketAddr,
    remote: SocketAddr,
    writer: tokio::sync::Mutex<Option<OwnedWriteHalf>>,
    /// Wakes the reader when the connection is to be reset.
    reset: tokio::sync::Notify,
    open: std::sync::atomic::AtomicBool,
}

impl Endpoint {
    /// Opens the socket and listens.
    pub(super) async fn open(
        place: Place,
        user_part: &str,
        bind: IpAddr,
        target: SocketAddr,
        inbox: Inbox,
    ) -> Result<Self, String> {
        let failed = |e: std::io::Error| format!("no socket at {bind}: {e}");
        let at = SocketAddr::new(bind, 0);
        let (udp, listener) = match place.transport {
            Transport::Udp => {
                let (socket, listener) = ports::datagrams(at).await.map_err(failed)?;
                (Some(socket), listener)
            }
            Transport::Tcp => (None, ports::listener(at).await.map_err(failed)?),
        };
        let core = Arc::new(Core {
            place,
            user_part: user_part.to_owned(),
            target,
            local: listener.local_addr().map_err(failed)?,
            udp,
        });
        let streams = tokio::spawn(accept(listener, Arc::clone(&core), inbox.clone()));
        let datagrams = tokio::spawn(read_datagrams(Arc::clone(&core), inbox.clone()));
        Ok(Self {
            core,
            out: tokio::sync::Mutex::default(),
            tasks: Mutex::new(vec![streams.abort_handle(), datagrams.abort_handle()]),
            inbox,
        })
    }

    /// Whose it is.
    pub fn place(&self) -> &Place {
        &self.core.place
    }

    /// A Contact URI that leads here.
    pub fn contact(&self) -> String {
        self.core.contact()
    }

    /// A Via value with a fresh branch; `rport` asks for answers on the way back (RFC 3581).
    pub fn via(&self) -> String {
        let protocol = match self.core.place.transport {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
        };
        format!(
            "SIP/2.0/{protocol} {};branch={};rport",
            self.core.local,
            tags::branch()
        )
    }

    /// The way to the server, or to that address; over TCP a connection is made if none is open.
    pub(super) async fn way_to(&self, hop: Option<SocketAddr>) -> Result<Way, String> {
        let target = hop.unwrap_or(self.core.target);
        if self.core.udp.is_some() {
            return Ok(Way::Udp(target));
        }
        let mut out = self.out.lock().await;
        if let Some(Way::Tcp(connection)) = out.get(&target)
            && connection.is_open()
        {
            return Ok(Way::Tcp(Arc::clone(connection)));
        }
        let stream = tokio::time::timeout(PATIENCE, probe::connect(self.core.local.ip(), target))
            .await
            .map_err(|_| format!("no connection to {target} within {} s", PATIENCE.as_secs()))?
            .map_err(|e| format!("no connection to {target}: {e}"))?;
        let (connection, reader) = Connection::new(stream).map_err(|e| e.to_string())?;
        let task = tokio::spawn(read_stream(
            reader,
            Arc::clone(&connection),
            Arc::clone(&self.core),
            self.inbox.clone(),
        ));
        self.tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(task.abort_handle());
        let way = Way::Tcp(connection);
        out.insert(target, way.clone());
        Ok(way)
    }

    pub(super) async fn send(&self, way: &Way, octets: &Bytes) -> Result<(), String> {
        self.core.send(way, octets).await
    }

    pub(super) fn packet(&self, way: &Way, octets: &Bytes, retransmission: bool) -> Packet {
        self.core.packet(way, octets, retransmission)
    }

    /// Stops listening and closes everything.
    pub(super) fn close(&self) {
        for task in self
            .tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .drain(..)
        {
            task.abort();
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.close();
    }
}

impl Core {
    /// Whose it is.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// A Contact URI that leads here.
    pub(super) fn contact(&self) -> String {
        let Self {
            user_part, local, ..
        } = self;
        match self.place.transport {
            Transport::Udp => format!("sip:{user_part}@{local}"),
            Transport::Tcp => format!("sip:{user_part}@{local};transport=tcp"),
        }
    }

    pub(super) async fn send(&self, way: &Way, octets: &Bytes) -> Result<(), String> {
        match (way, &self.udp) {
            (Way::Udp(remote), Some(socket)) => socket
                .send_to(octets, remote)
                .await
                .map(drop)
                .map_err(|e| e.to_string()),
            (Way::Udp(_), None) => Err("no UDP socket".into()),
            (Way::Tcp(connection), _) => {
                let mut writer = connection.writer.lock().await;
                let stream = writer.as_mut().ok_or("the connection is closed")?;
                let written = tokio::time::timeout(PATIENCE, stream.write_all(octets)).await;
                let failed = match written {
                    Ok(Ok(())) => return Ok(()),
                    Ok(Err(e)) => e.to_string(),
                    Err(_) => format!("the server reads nothing for {} s", PATIENCE.as_secs()),
                };
                // Half a message may be out: the connection cannot be used any more.
                *writer = None;
                connection.shut();
                Err(failed)
            }
        }
    }

    pub(super) fn packet(&self, way: &Way, octets: &Bytes, retransmission: bool) -> Packet {
        let (transport, local, remote) = match way {
            Way::Udp(remote) => (Transport::Udp, self.local, *remote),
            Way::Tcp(connection) => (Transport::Tcp, connection.local, connection.remote),
        };
        packet(
            &self.place,
            transport,
            local,
            remote,
            octets,
            retransmission,
        )
    }
}

impl Way {
    /// Where it leads.
    pub(super) fn remote(&self) -> SocketAddr {
        match self {
            Self::Udp(remote) => *remote,
            Self::Tcp(connection) => connection.remote,
        }
    }

    /// Closes a connection with RST instead of FIN. There is none to close over UDP.
    pub(super) fn reset(&self) {
        if let Self::Tcp(connection) = self {
            connection.shut();
            connection.reset.notify_one();
        }
    }

    /// The same way to another address: datagrams only, a connection leads where it leads.
    pub(super) fn towards(&self, to: SocketAddr) -> Self {
        match self {
            Self::Udp(_) => Self::Udp(to),
            Self::Tcp(connection) => Self::Tcp(Arc::clone(connection)),
        }
    }
}

impl Connection {
    fn new(stream: TcpStream) -> std::io::Result<(Arc<Self>, OwnedReadHalf)> {
        stream.set_nodelay(true)?;
        let (local, remote) = (stream.local_addr()?, stream.peer_addr()?);
        let (reader, writer) = stream.into_split();
        let connection = Self {
            local,
            remote,
            writer: tokio::sync::Mutex::new(Some(writer)),
            reset: tokio::sync::Notify::new(),
            open: true.into(),
        };
        Ok((Arc::new(connection), reader))
    }

    fn is_open(&self) -> bool {
        self.open.load(std::sync::atomic::Ordering::SeqCst)
    }

    fn shut(&self) {
        self.open.store(false, std::sync::atomic::Ordering::SeqCst);
    }
}

async fn read_datagrams(core: Arc<Core>, inbox: Inbox) {
    let Some(socket) = &core.udp else { return };
    loop {
        if socket.readable().await.is_err() {
            return;
        }
        // Memory is taken only once something has arrived: hundreds of sockets wait at the same time.
        let mut buffer = BytesMut::with_capacity(DATAGRAM);
        match socket.try_recv_buf_from(&mut buffer) {
            // Copied, so that a short message does not hold a long buffer for as long as the trace lives.
            Ok((_, remote)) => {
                inbox.take(&core, &Way::Udp(remote), &Bytes::copy_from_slice(&buffer));
            }
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
            // An ICMP error about an earlier datagram: the transaction's time-out will tell.
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

async fn accept(listener: TcpListener, core: Arc<Core>, inbox: Inbox) {
    let mut readers = tokio::task::JoinSet::new();
    let mut door = Door::new(CONNECTIONS);
    loop {
        let Ok((stream, remote)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        while readers.try_join_next().is_some() {}
        match door.knock(readers.len(), "SIP", remote) {
            Entry::Taken => {}
            Entry::Refused(None) => continue,
            Entry::Refused(Some(why)) => {
                inbox.remark(why);
                continue;
            }
            Entry::Last(why) => {
                inbox.remark(why);
                break;
            }
        }
        if let Ok((connection, reader)) = Connection::new(stream) {
            readers.spawn(read_stream(
                reader,
                connection,
                Arc::clone(&core),
                inbox.clone(),
            ));
        }
    }
    // Who came in before stays.
    drop(listener);
    while readers.join_next().await.is_some() {}
}

async fn read_stream(
    mut reader: OwnedReadHalf,
    connection: Arc<Connection>,
    core: Arc<Core>,
    inbox: Inbox,
) {
    let mut decoder = StreamDecoder::new(LIMITS);
    let way = Way::Tcp(Arc::clone(&connection));
    let mut buffer = vec![0; 16 * 1024];
    'read: loop {
        let length = tokio::select! {
            read = reader.read(&mut buffer) => match read {
                Ok(0) | Err(_) => break,
                Ok(length) => length,
            },
            () = connection.reset.notified() => {
                // Without lingering the kernel answers with RST.
                let _ = reader.as_ref().set_zero_linger();
                break;
            }
        };
        decoder.push(&buffer[..length]);
        loop {
            match decoder.next_frame() {
                Ok(Some(Frame::Message(message))) => {
                    inbox.take(&core, &way, message.octets());
                }
                Ok(Some(Frame::KeepAlive)) => {}
                Ok(None) => break,
                Err(e) => {
                    // The stream is out of step; what it held last is kept for the reader of the trace.
                    inbox.remark(format!(
                        "the stream from {} is no SIP and was closed: {e}",
                        connection.remote
                    ));
                    inbox.take(&core, &way, &Bytes::copy_from_slice(&buffer[..length]));
                    break 'read;
                }
            }
        }
    }
    connection.shut();
    connection.writer.lock().await.take();
}
