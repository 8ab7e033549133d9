//! SIP over UDP, TCP, TLS and WebSocket: octets in, octets out (RFC 3261 §18).
//!
//! A message comes in with the *flow* on which it came, and an answer goes back on it. Everything that
//! a peer could make grow has a bound, and whatever is not SIP is dropped with a line in the log.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use imspec_wire::sip::Message;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{Semaphore, watch};

use crate::config::Listen;
use crate::tasks::Tasks;

mod stream;
mod tls;
mod udp;
mod websocket;

pub use tls::{Tls, TlsError};

/// What carries SIP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Datagrams.
    Udp,
    /// A stream.
    Tcp,
    /// A stream that nobody else reads.
    Tls,
    /// `WebSocket`.
    Ws,
    /// `WebSocket` over TLS.
    Wss,
}

impl Protocol {
    /// The name in Via.
    pub fn via_name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }

    /// The one of that name, in Via or in the parameter of a URI, in any case.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Udp, Self::Tcp, Self::Tls, Self::Ws, Self::Wss]
            .into_iter()
            .find(|protocol| protocol.via_name().eq_ignore_ascii_case(name))
    }

    /// The parameter of a URI that asks for it; nothing for the usual one.
    pub fn uri_parameter(self) -> &'static str {
        match self {
            Self::Udp => "",
            Self::Tcp => ";transport=tcp",
            Self::Tls => ";transport=tls",
            // RFC 7118 §5.2: one name for both.
            Self::Ws | Self::Wss => ";transport=ws",
        }
    }

    /// The port where it is spoken if nothing else is said (RFC 3261 §19.1.2).
    pub fn usual_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
            // RFC 7118 §5.5
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }

    /// Whether what is sent arrives, or its sender hears that it does not.
    pub fn is_reliable(self) -> bool {
        self != Self::Udp
    }

    /// Whether only user agents open its connections (RFC 7118 §3).
    pub fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }
}

/// Where a message came from, and so where its answer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Flow {
    /// What carried it.
    pub protocol: Protocol,
    /// Our end.
    pub local: SocketAddr,
    /// The peer's end.
    pub remote: SocketAddr,
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}",
            self.protocol.via_name().to_ascii_lowercase(),
            self.remote
        )
    }
}

/// A place to send to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Target {
    /// What carries it there.
    pub protocol: Protocol,
    /// Where.
    pub address: SocketAddr,
}

/// A message from the network.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// The message. Of a stream that went out of step it is the head only.
    pub message: Message,
    /// Where it came from.
    pub flow: Flow,
    /// Whether the stream cannot go on after it, because its end cannot be found within the limits.
    pub broken: bool,
}

/// Takes what arrives. Must not wait: whatever cannot be done at once is refused or put aside.
pub trait Inbox: Send + Sync + 'static {
    /// Takes one message.
    fn receive(&self, incoming: Incoming);
}

/// Stands before the inbox, and may change or drop what comes in. What goes out can be changed by a
/// wrapped [`Outbox`].
pub trait Gate: Send + Sync + 'static {
    /// A message from the network; `None` for one that is not to be seen.
    fn admit(&self, incoming: Incoming) -> Option<Incoming> {
        Some(incoming)
    }
}

/// The gate that lets everything in.
#[derive(Debug, Clone, Copy, Default)]
pub struct OpenGate;

impl Gate for OpenGate {}

/// An inbox behind its gate.
pub(crate) struct Gated {
    pub(crate) gate: Arc<dyn Gate>,
    pub(crate) inbox: Arc<dyn Inbox>,
}

impl Inbox for Gated {
    fn receive(&self, incoming: Incoming) {
        if let Some(incoming) = self.gate.admit(incoming) {
            self.inbox.receive(incoming);
        }
    }
}

/// Tells when the connection on which something was sent is gone.
#[derive(Debug, Clone)]
pub struct Closed(Option<watch::Receiver<bool>>);

impl Closed {
    /// Never: a datagram has no connection.
    pub fn never() -> Self {
        Self(None)
    }

    /// Completes when the connection is closed.
    pub async fn wait(&mut self) {
        match &mut self.0 {
            Some(closed) => {
                let _ = closed.wait_for(|closed| *closed).await;
            }
            None => std::future::pending().await,
        }
    }
}

/// The answer of an [`Outbox`].
pub type Sending<'a> = Pin<Box<dyn Future<Output = io::Result<Closed>> + Send + 'a>>;

/// Sends octets.
pub trait Outbox: Send + Sync + 'static {
    /// Sends a request, over an open connection to that address if there is one.
    fn send(&self, target: Target, octets: Bytes) -> Sending<'_>;
    /// Sends a response back on a flow. `fallback` is where the top Via wants it when the connection
    /// has gone (RFC 3261 §18.2.2).
    fn respond(&self, flow: Flow, fallback: SocketAddr, octets: Bytes) -> Sending<'_>;
    /// Sends a response without waiting, or not at all: for refusals under overload.
    fn respond_now(&self, flow: Flow, address: SocketAddr, octets: Bytes);
    /// The address to write into the Via of a request to `target`; `None` when nothing listens that
    /// could take the response.
    fn sent_by(&self, target: Target) -> Option<SocketAddr>;
}

/// Bounds of the transport.
#[derive(Debug, Clone, Copy)]
pub struct TransportLimits {
    /// Bounds of one message.
    pub message: imspec_wire::sip::Limits,
    /// Open connections.
    pub connections: usize,
    /// A connection on which nothing moves is closed after this.
    pub idle: Duration,
    /// A message that began must be complete after this.
    pub message_time: Duration,
}

/// The sockets of the server.
pub struct Transport {
    limits: TransportLimits,
    udp: Mutex<Vec<(SocketAddr, Arc<UdpSocket>)>>,
    udp_addresses: Vec<SocketAddr>,
    streams: Mutex<Vec<(Protocol, TcpListener)>>,
    stream_addresses: Vec<(Protocol, SocketAddr)>,
    tls: Option<Tls>,
    connections: Arc<Mutex<HashMap<(Protocol, SocketAddr), stream::Connection>>>,
    next_connection: AtomicU64,
    slots: Arc<Semaphore>,
    inbox: Mutex<Option<Arc<dyn Inbox>>>,
    tasks: Tasks,
}

impl Transport {
    /// Opens the listeners. The error names the address.
    pub async fn bind(
        listen: &Listen,
        tls: Option<Tls>,
        limits: TransportLimits,
        tasks: Tasks,
    ) -> Result<Self, (SocketAddr, io::Error)> {
        let mut udp_sockets = Vec::new();
        for address in &listen.udp {
            let socket = udp::bind(*address).map_err(|error| (*address, error))?;
            let local = socket.local_addr().map_err(|error| (*address, error))?;
            udp_sockets.push((local, Arc::new(socket)));
        }
        let mut streams = Vec::new();
        let mut stream_addresses = Vec::new();
        let wanted = [
            (Protocol::Tcp, &listen.tcp),
            (Protocol::Tls, &listen.tls),
            (Protocol::Ws, &listen.ws),
            (Protocol::Wss, &listen.wss),
        ];
        for (protocol, addresses) in wanted {
            for address in addresses {
                let listener = TcpListener::bind(address)
                    .await
                    .map_err(|error| (*address, error))?;
                let local = listener.local_addr().map_err(|error| (*address, error))?;
                stream_addresses.push((protocol, local));
                streams.push((protocol, listener));
            }
        }
        Ok(Self {
            limits,
            udp_addresses: udp_sockets.iter().map(|(address, _)| *address).collect(),
            udp: Mutex::new(udp_sockets),
            streams: Mutex::new(streams),
            stream_addresses,
            tls,
            connections: Arc::default(),
            next_connection: AtomicU64::new(0),
            slots: Arc::new(Semaphore::new(limits.connections)),
            inbox: Mutex::default(),
            tasks,
        })
    }

    /// Where UDP is spoken.
    pub fn udp_addresses(&self) -> Vec<SocketAddr> {
        self.udp_addresses.clone()
    }

    /// Where that is spoken, which connects.
    pub fn stream_addresses(&self, protocol: Protocol) -> Vec<SocketAddr> {
        let of =
            |(known, address): &(Protocol, SocketAddr)| (*known == protocol).then_some(*address);
        self.stream_addresses.iter().filter_map(of).collect()
    }

    /// Begins to hand what arrives to `inbox`.
    pub fn run(self: &Arc<Self>, inbox: &Arc<dyn Inbox>) {
        *lock(&self.inbox) = Some(Arc::clone(inbox));
        for (local, socket) in lock(&self.udp).iter() {
            let receiver = udp::receive(
                *local,
                Arc::clone(socket),
                self.limits.message,
                Arc::clone(inbox),
            );
            self.tasks.spawn(receiver);
        }
        let listeners = std::mem::take(&mut *lock(&self.streams));
        for (protocol, listener) in listeners {
            let accepting = stream::accept(Arc::clone(self), protocol, listener);
            self.tasks.spawn(accepting);
        }
    }

    /// Lets go of the sockets, and of the inbox, which may hold on to the transport in its turn.
    pub fn close(&self) {
        lock(&self.inbox).take();
        lock(&self.udp).clear();
        lock(&self.streams).clear();
    }

    fn inbox(&self) -> Option<Arc<dyn Inbox>> {
        lock(&self.inbox).clone()
    }

    fn udp_socket(&self, local: Option<SocketAddr>, remote: SocketAddr) -> Option<Arc<UdpSocket>> {
        lock(&self.udp)
            .iter()
            .find(|(address, _)| match local {
                Some(local) => *address == local,
                None => address.is_ipv4() == remote.is_ipv4(),
            })
            .map(|(_, socket)| Arc::clone(socket))
    }

    async fn send_datagram(
        &self,
        local: Option<SocketAddr>,
        remote: SocketAddr,
        octets: &[u8],
    ) -> io::Result<Closed> {
        let socket = self
            .udp_socket(local, remote)
            .ok_or_else(|| no_listener("UDP", remote))?;
        socket.send_to(octets, remote).await?;
        Ok(Closed::never())
    }
}

fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

fn no_listener(protocol: &str, remote: SocketAddr) -> io::Error {
    let family = if remote.is_ipv4() { "IPv4" } else { "IPv6" };
    io::Error::other(format!("no {protocol} listener for {family}"))
}

/// The address by which `remote` can reach us, for a listener on all addresses.
pub(crate) fn local_address_towards(remote: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = match remote {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // Connecting a datagram socket sends nothing; the system only picks the route.
    let probe = std::net::UdpSocket::bind((any, 0)).ok()?;
    probe.connect(remote).ok()?;
    Some(probe.local_addr().ok()?.ip())
}

impl Outbox for Transport {
    fn send(&self, target: Target, octets: Bytes) -> Sending<'_> {
        Box::pin(async move {
            match target.protocol {
                Protocol::Udp => self.send_datagram(None, target.address, &octets).await,
                connected => stream::send(self, connected, target.address, octets).await,
            }
        })
    }

    fn respond(&self, flow: Flow, fallback: SocketAddr, octets: Bytes) -> Sending<'_> {
        Box::pin(async move {
            match flow.protocol {
                Protocol::Udp => {
                    self.send_datagram(Some(flow.local), fallback, &octets)
                        .await
                }
                connected => {
                    if let Some(connection) = self.connection(connected, flow.remote)
                        && let Ok(closed) = connection.send(octets.clone()).await
                    {
                        return Ok(closed);
                    }
                    stream::send(self, connected, fallback, octets).await
                }
            }
        })
    }

    fn respond_now(&self, flow: Flow, address: SocketAddr, octets: Bytes) {
        match flow.protocol {
            Protocol::Udp => {
                if let Some(socket) = self.udp_socket(Some(flow.local), address) {
                    // The peer asks again if this one is lost.
                    let _ = socket.try_send_to(&octets, address);
                }
            }
            connected => {
                if let Some(connection) = self.connection(connected, flow.remote) {
                    connection.send_now(octets);
                }
            }
        }
    }

    fn sent_by(&self, target: Target) -> Option<SocketAddr> {
        let same_family = |address: &&SocketAddr| address.is_ipv4() == target.address.is_ipv4();
        let tcp = self.stream_addresses(Protocol::Tcp);
        let own = self.stream_addresses(target.protocol);
        let listener = match target.protocol {
            Protocol::Udp => self.udp_addresses.iter().find(same_family),
            // The response comes back on the connection, so any address of ours does as a name.
            Protocol::Tcp => tcp
                .iter()
                .find(same_family)
                .or_else(|| self.udp_addresses.iter().find(same_family))
                .or_else(|| tcp.first()),
            _ => own.iter().find(same_family).or_else(|| own.first()),
        };
        let mut address = *listener?;
        if address.ip().is_unspecified() {
            address.set_ip(local_address_towards(target.address)?);
        }
        Some(address)
    }
}
