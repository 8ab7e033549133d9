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
mod datagrams;

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

/// The way on which octets travel.
#[derive(Debug, Clone)]
pub(super) enum Way {
    /// Datagrams to and from this address.
    Udp(SocketAddr),
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
        let datagrams = tokio::spawn(datagrams::read(Arc::clone(&core), inbox.clone()));
        let mut tasks = vec![datagrams.abort_handle()];
        if let Some(listener) = listener {
            let streams = tokio::spawn(accept(listener, Arc::clone(&core), inbox.clone()));
            tasks.push(streams.abort_handle());
        }
        Ok(Self {
            core,
            out: tokio::sync::Mutex::default(),
            tasks: Mutex::new(tasks),
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
            Arc::clone(&self.core),
            self.inbox.clone(),
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
        match (way, &self.udp) {
            (Way::Udp(remote), Some(socket)) => socket
                .send_to(octets, remote)
                .await
                .map(drop)
                .map_err(|e| e.to_string()),
            (Way::Udp(_), None) => Err("no UDP socket".into()),
            (Way::Connected(connection), _) => connection.send(octets).await,
        }
    }

    pub(super) fn packet(&self, way: &Way, octets: &Bytes, retransmission: bool) -> Packet {
        let (transport, local, remote) = match way {
            Way::Udp(remote) => (Transport::Udp, self.local, *remote),
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
    /// Where it leads.
    pub(super) fn remote(&self) -> SocketAddr {
        match self {
            Self::Udp(remote) => *remote,
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
            Self::Connected(connection) => Self::Connected(Arc::clone(connection)),
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
        readers.spawn(admit(stream, Arc::clone(&core), inbox.clone()));
    }
    // Who came in before stays.
    drop(listener);
    while readers.join_next().await.is_some() {}
}

async fn admit(stream: tokio::net::TcpStream, core: Arc<Core>, inbox: Inbox) {
    // Who takes datagrams takes TCP besides.
    let transport = match core.place.transport {
        Transport::Udp => Transport::Tcp,
        own => own,
    };
    match core.dialer.accept(transport, stream).await {
        Ok(link) => {
            let (connection, reader) = Connection::new(transport, link);
            connection::read(reader, connection, core, inbox).await;
        }
        Err(why) => inbox.remark(why),
    }
}
