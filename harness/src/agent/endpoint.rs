//! The sockets of one device: a listener, and with it a UDP socket or a connection to the server. Reads
//! never block a writer, and what is read is bounded.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use imspec_reports::record::trace::Packet;
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::AbortHandle;

use super::door::{Door, Entry};
use super::{Inbox, Place, packet, ports, tags};
use crate::link::{Dialer, Transport};

mod connection;
pub(super) mod datagrams;

use connection::Connection;

/// Connections that the server may open to one device.
const CONNECTIONS: usize = 64;

/// The socket of a device.
#[derive(Debug)]
pub struct Endpoint {
    core: Arc<Core>,
    /// The connections that were made from here, by where they lead.
    out: tokio::sync::Mutex<HashMap<SocketAddr, Arc<Connection>>>,
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
    /// How Via and Contact call this place.
    host: String,
    udp: Option<UdpSocket>,
    dialer: Dialer,
}

/// Who gets what arrives.
pub(super) trait Recipient: Send + Sync {
    /// Octets that are one message, or are meant to be one.
    fn take(&self, way: &Way, octets: &Bytes);
    /// Something that is no message.
    fn remark(&self, text: String);
}

/// A device, as a recipient.
#[derive(Debug, Clone)]
pub(super) struct Own {
    core: Arc<Core>,
    inbox: Inbox,
}

impl Recipient for Own {
    fn take(&self, way: &Way, octets: &Bytes) {
        self.inbox.take(&self.core, way, octets);
    }

    fn remark(&self, text: String) {
        self.inbox.remark(text);
    }
}

/// The way on which octets travel.
#[derive(Debug, Clone)]
pub(super) enum Way {
    /// Datagrams to and from this address.
    Udp(SocketAddr),
    /// The same at a socket that is not the device's alone.
    Common(Arc<UdpSocket>, SocketAddr),
    /// A connection.
    Connected(Arc<Connection>),
}

impl Endpoint {
    /// Opens the socket and listens.
    pub(super) async fn open(
        place: Place,
        user_part: &str,
        dialer: Dialer,
        target: SocketAddr,
        inbox: Inbox,
    ) -> Result<Self, String> {
        let bind = dialer.bind();
        let failed = |e: std::io::Error| format!("no socket at {bind}: {e}");
        let at = SocketAddr::new(bind, 0);
        let (udp, listener) = match place.transport {
            Transport::Udp => {
                let (socket, listener) = ports::datagrams(at).await.map_err(failed)?;
                (Some(socket), Some(listener))
            }
            Transport::Tcp | Transport::Tls => {
                (None, Some(ports::listener(at).await.map_err(failed)?))
            }
            Transport::Ws | Transport::Wss => (None, None),
        };
        let (local, host) = match &listener {
            Some(listener) => {
                let local = listener.local_addr().map_err(failed)?;
                (local, local.to_string())
            }
            // Nobody can connect to a client of WebSocket, and it need not know its own address: it takes a
            // name that leads nowhere (RFC 7118 §8.1).
            None => (at, format!("{}.invalid", tags::tag())),
        };
        let core = Arc::new(Core {
            place,
            user_part: user_part.to_owned(),
            target,
            local,
            host,
            udp,
            dialer,
        });
        let own = Own {
            core: Arc::clone(&core),
            inbox: inbox.clone(),
        };
        let mut tasks = Vec::new();
        if core.udp.is_some() {
            let own = own.clone();
            let datagrams = tokio::spawn(async move {
                if let Some(socket) = &own.core.udp {
                    datagrams::read(socket, Way::Udp, &own).await;
                }
            });
            tasks.push(datagrams.abort_handle());
        }
        if let Some(listener) = listener {
            // Who takes datagrams takes TCP besides.
            let transport = match core.place.transport {
                Transport::Udp => Transport::Tcp,
                own => own,
            };
            let streams = accept(listener, transport, core.dialer.clone(), own);
            tasks.push(tokio::spawn(streams).abort_handle());
        }
        Ok(Self {
            core,
            out: tokio::sync::Mutex::default(),
            tasks: Mutex::new(tasks),
            inbox,
        })
    }

    /// It, as a recipient.
    pub(super) fn own(&self) -> Own {
        Own {
            core: Arc::clone(&self.core),
            inbox: self.inbox.clone(),
        }
    }

    /// Whose it is.
    pub fn place(&self) -> &Place {
        &self.core.place
    }

    /// A Contact URI that leads here.
    pub fn contact(&self) -> String {
        self.core.contact()
    }

    /// A URI that leads here and names nobody: that of a server of the operator's core.
    pub fn core(&self) -> String {
        let parameter = self.core.place.transport.uri_parameter();
        format!("sip:{}{parameter}", self.core.host)
    }

    /// The URI of the next hop.
    pub fn server(&self) -> String {
        let parameter = self.core.place.transport.uri_parameter();
        format!("sip:{}{parameter}", self.core.target)
    }

    /// A Route value that leads by the next hop.
    pub fn first_route(&self) -> String {
        format!("<{};lr>", self.server())
    }

    /// A Via value with a fresh branch; `rport` asks for answers on the way back (RFC 3581).
    pub fn via(&self) -> String {
        let protocol = self.core.place.transport.via_name();
        format!(
            "SIP/2.0/{protocol} {};branch={};rport",
            self.core.host,
            tags::branch()
        )
    }

    /// The way to the server, or to that address; a connection is made if none is open.
    pub(super) async fn way_to(&self, hop: Option<SocketAddr>) -> Result<Way, String> {
        let target = match hop {
            // RFC 7118 §3: all that a client of WebSocket says goes through its server.
            Some(hop) if !self.core.place.transport.is_websocket() => hop,
            _ => self.core.target,
        };
        if self.core.udp.is_some() {
            return Ok(Way::Udp(target));
        }
        let mut out = self.out.lock().await;
        if let Some(connection) = out.get(&target)
            && connection.is_open()
        {
            return Ok(Way::Connected(Arc::clone(connection)));
        }
        let Core { dialer, place, .. } = &*self.core;
        let link = dialer.connect(place.transport, target).await?;
        let (connection, reader) = Connection::new(place.transport, link);
        let task = tokio::spawn(connection::read(
            reader,
            Arc::clone(&connection),
            self.own(),
        ));
        self.tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(task.abort_handle());
        out.insert(target, Arc::clone(&connection));
        Ok(Way::Connected(connection))
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
            user_part, host, ..
        } = self;
        let parameter = self.place.transport.uri_parameter();
        format!("sip:{user_part}@{host}{parameter}")
    }

    pub(super) async fn send(&self, way: &Way, octets: &Bytes) -> Result<(), String> {
        way.send(self.udp.as_ref(), octets).await
    }

    pub(super) fn packet(&self, way: &Way, octets: &Bytes, retransmission: bool) -> Packet {
        let (transport, local, remote) = match way {
            Way::Udp(remote) => (Transport::Udp, self.local, *remote),
            Way::Common(socket, remote) => {
                let local = socket.local_addr().unwrap_or(self.local);
                (Transport::Udp, local, *remote)
            }
            Way::Connected(connection) => {
                (connection.transport, connection.local, connection.remote)
            }
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
    /// Sends octets; datagrams of a device go out at its `own` socket.
    pub(super) async fn send(&self, own: Option<&UdpSocket>, octets: &Bytes) -> Result<(), String> {
        let (socket, remote) = match self {
            Self::Udp(remote) => (own.ok_or("no UDP socket")?, remote),
            Self::Common(socket, remote) => (&**socket, remote),
            Self::Connected(connection) => return connection.send(octets).await,
        };
        let sent = socket.send_to(octets, remote).await;
        sent.map(drop).map_err(|e| e.to_string())
    }

    /// Whether datagrams travel on it.
    pub(super) fn is_udp(&self) -> bool {
        matches!(self, Self::Udp(_) | Self::Common(..))
    }

    /// Where it leads.
    pub(super) fn remote(&self) -> SocketAddr {
        match self {
            Self::Udp(remote) | Self::Common(_, remote) => *remote,
            Self::Connected(connection) => connection.remote,
        }
    }

    /// Whether it is a connection that is closed.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self, Self::Connected(connection) if !connection.is_open())
    }

    /// Closes a connection with RST instead of FIN. There is none to close over UDP.
    pub(super) fn reset(&self) {
        if let Self::Connected(connection) = self {
            connection.reset();
        }
    }

    /// The same way to another address: datagrams only, a connection leads where it leads.
    pub(super) fn towards(&self, to: SocketAddr) -> Self {
        match self {
            Self::Udp(_) => Self::Udp(to),
            Self::Common(socket, _) => Self::Common(Arc::clone(socket), to),
            Self::Connected(connection) => Self::Connected(Arc::clone(connection)),
        }
    }
}

/// Takes connections for as long as somebody wants them.
pub(super) async fn accept(
    listener: TcpListener,
    transport: Transport,
    dialer: Dialer,
    to: impl Recipient + Clone + 'static,
) {
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
                to.remark(why);
                continue;
            }
            Entry::Last(why) => {
                to.remark(why);
                break;
            }
        }
        readers.spawn(admit(stream, transport, dialer.clone(), to.clone()));
    }
    // Who came in before stays.
    drop(listener);
    while readers.join_next().await.is_some() {}
}

async fn admit(
    stream: tokio::net::TcpStream,
    transport: Transport,
    dialer: Dialer,
    to: impl Recipient,
) {
    match dialer.accept(transport, stream).await {
        Ok(link) => {
            let (connection, reader) = Connection::new(transport, link);
            connection::read(reader, connection, to).await;
        }
        Err(why) => to.remark(why),
    }
}
