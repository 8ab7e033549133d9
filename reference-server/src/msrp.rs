//! MSRP (RFC 4975): listeners, connections, and which session a frame belongs to.
//!
//! A session opens an [`Endpoint`], a URI that nobody can guess, and gets what is sent there piece by
//! piece. The connection refuses what is for no session (481), and a second connection to one that has
//! its own (506); everything else about a session is its owner's.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use imspec_wire::msrp::{Builder, Head, Limits, Method, Piece, Uri};
use imspec_wire::sip::typed::Host;
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

pub use self::connection::Link;
pub use self::tls::{Fingerprint, Tls};
use crate::tasks::Tasks;
use crate::transport::local_address_towards;

mod connection;
mod tls;

/// Pieces that may wait for their session; then its connection is not read.
const QUEUE: usize = 8;
/// How long a peer may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// Sees every piece that comes in and every frame that goes out, and may change or drop it: where a
/// tester gets between the server and its sockets.
pub trait Tap: Send + Sync + 'static {
    /// A piece from a peer; `None` for one that is not to be seen.
    fn incoming(&self, piece: Piece) -> Option<Piece> {
        Some(piece)
    }
    /// Octets to a peer, a whole frame or a part of one; `None` for what is not to be sent.
    fn outgoing(&self, octets: Bytes) -> Option<Bytes> {
        Some(octets)
    }
}

/// The tap that leaves everything as it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Untapped;

impl Tap for Untapped {}

/// Bounds and times.
#[derive(Debug, Clone, Copy)]
pub struct MsrpLimits {
    /// Bounds of one head.
    pub head: Limits,
    /// Open connections.
    pub connections: usize,
    /// A connection that names no session for so long is closed.
    pub first: Duration,
    /// A frame that began and of which nothing more comes for so long ends its connection.
    pub chunk: Duration,
    /// How much of a refused chunk is read, waiting for its end, before the connection is closed.
    pub refused: u64,
}

/// What happens to a session.
#[derive(Debug)]
pub enum Event {
    /// It has its connection now.
    Bound(Link),
    /// A request or a response begins.
    Head(Head),
    /// More octets of its body.
    Body(Bytes),
    /// It ends.
    End(imspec_wire::msrp::Flag),
    /// The connection is gone, and with it the session (RFC 4975 §5.4).
    Lost,
}

/// How to protect a connection that is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Security {
    /// Plain TCP.
    Plain,
    /// TLS with a peer that has one of these certificates (RFC 4975 §14.4).
    Tls(Vec<Fingerprint>),
}

/// All of MSRP.
pub struct Msrp {
    limits: MsrpLimits,
    tcp: Vec<SocketAddr>,
    tls: Vec<SocketAddr>,
    listeners: Mutex<Vec<(TcpListener, bool)>>,
    identity: Tls,
    tap: Mutex<Arc<dyn Tap>>,
    sessions: Sessions,
    next_connection: AtomicU64,
    slots: Arc<Semaphore>,
    tasks: Tasks,
}

/// The sessions that are open, by session id.
type Sessions = Arc<Mutex<HashMap<String, Entry>>>;

#[derive(Debug)]
struct Entry {
    uri: Uri,
    events: mpsc::Sender<Event>,
    binding: Binding,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Binding {
    None,
    /// To the connection with this number.
    To(u64),
    /// Its connection is gone. Only a new exchange of descriptions could give it another one.
    Lost,
}

/// One session's end. Dropped, the URI is nobody's.
pub struct Endpoint {
    uri: Uri,
    events: mpsc::Receiver<Event>,
    sessions: Sessions,
}

/// Why there is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no listener for {0}")]
pub struct NoListener(&'static str);

impl Msrp {
    /// Opens the listeners. The error names the address.
    pub async fn bind(
        tcp: &[SocketAddr],
        tls: &[SocketAddr],
        names: Vec<String>,
        limits: MsrpLimits,
        tasks: Tasks,
    ) -> Result<Self, (SocketAddr, io::Error)> {
        let mut listeners = Vec::new();
        let mut addresses = [Vec::new(), Vec::new()];
        for (secure, address) in tcp
            .iter()
            .map(|a| (false, a))
            .chain(tls.iter().map(|a| (true, a)))
        {
            let failed = |error| (*address, error);
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            addresses[usize::from(secure)].push(listener.local_addr().map_err(failed)?);
            listeners.push((listener, secure));
        }
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let identity =
            Tls::new(names).map_err(|error| (tls.first().copied().unwrap_or(nowhere), error))?;
        let [tcp, tls] = addresses;
        Ok(Self {
            limits,
            tcp,
            tls,
            listeners: Mutex::new(listeners),
            identity,
            tap: Mutex::new(Arc::new(Untapped)),
            sessions: Sessions::default(),
            next_connection: AtomicU64::new(0),
            slots: Arc::new(Semaphore::new(limits.connections)),
            tasks,
        })
    }

    /// Where plain TCP is taken.
    pub fn tcp_addresses(&self) -> &[SocketAddr] {
        &self.tcp
    }

    /// Where TLS is taken.
    pub fn tls_addresses(&self) -> &[SocketAddr] {
        &self.tls
    }

    /// Our certificate's fingerprint, for `a=fingerprint`.
    pub fn fingerprint(&self) -> &Fingerprint {
        self.identity.fingerprint()
    }

    /// Begins to take connections.
    pub fn run(self: &Arc<Self>, tap: Arc<dyn Tap>) {
        *lock(&self.tap) = tap;
        for (listener, secure) in std::mem::take(&mut *lock(&self.listeners)) {
            self.tasks.spawn(accept(Arc::clone(self), listener, secure));
        }
    }

    /// A new endpoint with a URI that a peer at `towards` can connect to. An endpoint that only opens
    /// connections itself (`listening: false`) needs no listener.
    pub fn open(
        &self,
        secure: bool,
        towards: IpAddr,
        listening: bool,
    ) -> Result<Endpoint, NoListener> {
        let addresses = if secure { &self.tls } else { &self.tcp };
        let same_family = |address: &&SocketAddr| address.is_ipv4() == towards.is_ipv4();
        let found = addresses.iter().find(same_family).or(addresses.first());
        let mut address = match found {
            Some(address) => *address,
            // RFC 4145 §4: the discard port says that nobody listens.
            None if !listening => SocketAddr::new(towards, 9),
            None => return Err(NoListener(if secure { "TCP/TLS/MSRP" } else { "TCP/MSRP" })),
        };
        if address.ip().is_unspecified()
            && let Some(own) = local_address_towards(SocketAddr::new(towards, address.port()))
        {
            address.set_ip(own);
        }
        let session_id = session_id().ok_or(NoListener("a source of random numbers"))?;
        let scheme = if secure { "msrps" } else { "msrp" };
        let uri = Uri::parse(format!("{scheme}://{address}/{session_id};tcp").as_bytes())
            .map_err(|_| NoListener("an address that fits into a URI"))?;
        let (sender, events) = mpsc::channel(QUEUE);
        let entry = Entry {
            uri: uri.clone(),
            events: sender,
            binding: Binding::None,
        };
        lock(&self.sessions).insert(session_id, entry);
        Ok(Endpoint {
            uri,
            events,
            sessions: Arc::clone(&self.sessions),
        })
    }

    /// Opens a connection for an endpoint, which from then on is bound to it. Whoever calls this has to
    /// send a SEND at once (RFC 4975 §5.4).
    pub async fn connect(
        self: &Arc<Self>,
        endpoint: &Uri,
        host: &Host,
        port: u16,
        security: &Security,
    ) -> io::Result<Link> {
        let address = resolve(host, port).await?;
        let slot = Arc::clone(&self.slots)
            .try_acquire_owned()
            .map_err(|_| io::Error::other("limits.msrp_connections are open"))?;
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no answer to the connection");
        let stream = timeout(CONNECT, TcpStream::connect(address))
            .await
            .map_err(late)??;
        stream.set_nodelay(true)?;
        let (local, remote) = (stream.local_addr()?, stream.peer_addr()?);
        let stream: connection::Stream = match security {
            Security::Plain => Box::new(stream),
            Security::Tls(fingerprints) => {
                let secured = self.identity.connect(stream, host, fingerprints.clone());
                Box::new(timeout(CONNECT, secured).await.map_err(late)??)
            }
        };
        let id = self.next_connection.fetch_add(1, Ordering::Relaxed);
        let session = endpoint.session_id().unwrap_or_default();
        let events = match lock(&self.sessions).get_mut(session) {
            Some(entry) if entry.binding == Binding::None => {
                entry.binding = Binding::To(id);
                entry.events.clone()
            }
            _ => return Err(io::Error::other("the session is over, or has a connection")),
        };
        let bound = Some(session.to_owned());
        let announce = |link: &Link| {
            // Before anything that the peer says. A new session's queue has room.
            let _ = events.try_send(Event::Bound(link.clone()));
        };
        Ok(connection::start(
            self,
            stream,
            id,
            (local, remote),
            bound,
            slot,
            announce,
        ))
    }

    fn tap(&self) -> Arc<dyn Tap> {
        Arc::clone(&lock(&self.tap))
    }
}

impl Endpoint {
    /// Its URI.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The next thing that happens.
    pub async fn next(&mut self) -> Event {
        match self.events.recv().await {
            Some(event) => event,
            // The table holds a sender as long as we are in it.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        lock(&self.sessions).remove(self.uri.session_id().unwrap_or_default());
    }
}

/// The response to a request, or `None` where there may be none (RFC 4975 §7.2).
pub fn respond(request: &Head, status: u16, comment: &str, own: &Uri) -> Option<Bytes> {
    let is_due = match request.method()? {
        Method::Report => false,
        Method::Send => request.failure_report().allows_response(status),
        Method::Auth | Method::Other(_) => true,
    };
    is_due.then(|| Builder::response_to(request, status, Some(comment), own).octets())
}

/// A transaction id of 80 random bits.
pub fn transaction_id() -> String {
    let mut random = [0; 10];
    random.fill_with(|| fastrand::u8(..));
    imspec_wire::msrp::ident(random)
}

/// A session id of 160 random bits that nobody can guess (RFC 4975 §14.1).
fn session_id() -> Option<String> {
    let mut random = [0; 20];
    SystemRandom::new().fill(&mut random).ok()?;
    let half = |range: std::ops::Range<usize>| {
        let half: [u8; 10] = random.get(range)?.try_into().ok()?;
        Some(imspec_wire::msrp::ident(half))
    };
    Some(half(0..10)? + &half(10..20)?)
}

async fn resolve(host: &Host, port: u16) -> io::Result<SocketAddr> {
    match host {
        Host::Ip(ip) => Ok(SocketAddr::new(*ip, port)),
        Host::Name(name) => tokio::net::lookup_host((name.as_str(), port))
            .await?
            .next()
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the host has no address")),
    }
}

async fn accept(msrp: Arc<Msrp>, listener: TcpListener, secure: bool) {
    loop {
        let (stream, remote) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "accepting an MSRP connection failed");
                // Out of descriptors, most likely: let some go before trying again.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(slot) = Arc::clone(&msrp.slots).try_acquire_owned() else {
            tracing::warn!(%remote, "refused an MSRP connection: limits.msrp_connections are open");
            continue;
        };
        let Ok(local) = stream
            .local_addr()
            .and_then(|local| stream.set_nodelay(true).map(|()| local))
        else {
            continue;
        };
        let id = msrp.next_connection.fetch_add(1, Ordering::Relaxed);
        if !secure {
            connection::start(
                &msrp,
                Box::new(stream),
                id,
                (local, remote),
                None,
                slot,
                |_| {},
            );
            continue;
        }
        let own = Arc::clone(&msrp);
        msrp.tasks.spawn(async move {
            match timeout(own.limits.first, own.identity.accept(stream)).await {
                Ok(Ok(stream)) => {
                    connection::start(
                        &own,
                        Box::new(stream),
                        id,
                        (local, remote),
                        None,
                        slot,
                        |_| {},
                    );
                }
                Ok(Err(error)) => tracing::debug!(%remote, %error, "no TLS came about"),
                Err(_) => tracing::debug!(%remote, "TLS took too long"),
            }
        });
    }
}

fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}
