//! MSRP of the user agents (RFC 4975): listeners, connections over TCP and TLS, to a relay also over WebSocket
//! (RFC 7977), sessions, and what goes through them both ways.
//!
//! Each device of a user has one listener for each kind of connection, opened when it is first needed. As in
//! SIP everything is noted as it happens; what a message says is not kept beyond what the trace needs.

mod carrier;
mod connection;
mod content;
mod ledger;
mod receive;
mod relay;
mod session;
mod ship;
mod tls;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use imspec_reports::record::EventKind;
use imspec_reports::record::trace::ConnectionChange;
use imspec_wire::msrp::{self, ByteRange};
use imspec_wire::sdp::Role;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use super::Shared;
use super::door::{Door, Entry};
use super::sdp::{Ground, place_of};
use crate::link::websocket::{self, Subprotocol};
use crate::link::{self, Transport};
use crate::sut::profile::{Msrp as Setting, Relay};

pub use content::{Content, Drawn};
pub use session::{Conduct, Session};
pub use ship::{ChunkPlan, Cut, Cutting, Frames, Load, Parcel, Shipment, Shipped, Tally};

pub(super) use connection::Connection;
pub(super) use receive::unfinished;
pub(super) use ship::ship;

use carrier::{Reader, Writer};
use connection::{Ending, Opened};

/// How long connecting may take, TLS included.
const PATIENCE: Duration = Duration::from_secs(5);
/// Connections that may be open to one listener.
const CONNECTIONS: usize = 64;

/// A device of a user.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Owner {
    pub(super) user: String,
    pub(super) device: String,
}

/// A REPORT on a message of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// The event that holds it.
    pub event: u32,
    /// What it speaks of.
    pub range: Option<ByteRange>,
    /// Its status code; 0 where it has none.
    pub status: u16,
}

/// All that agents of a case have open for MSRP.
#[derive(Debug)]
pub(super) struct Hub {
    setting: Arc<Setting>,
    bind: IpAddr,
    listeners: tokio::sync::Mutex<HashMap<(Owner, bool), SocketAddr>>,
    sessions: Mutex<HashMap<(Owner, String), Arc<Session>>>,
    tasks: Mutex<Vec<AbortHandle>>,
}

impl Hub {
    pub(super) fn new(setting: Arc<Setting>, bind: IpAddr) -> Self {
        Self {
            bind: setting.bind.unwrap_or(bind),
            setting,
            listeners: tokio::sync::Mutex::default(),
            sessions: Mutex::default(),
            tasks: Mutex::default(),
        }
    }

    /// The session of that id.
    fn session(&self, owner: &Owner, id: &str) -> Option<Arc<Session>> {
        self.sessions()
            .get(&(owner.clone(), id.to_owned()))
            .cloned()
    }

    /// A new session of that id.
    fn enter(&self, owner: Owner, id: String, session: Session) -> Arc<Session> {
        let session = Arc::new(session);
        self.sessions().insert((owner, id), Arc::clone(&session));
        session
    }

    /// Keeps tasks, to end them with the case.
    pub(super) fn keep(&self, handles: &[AbortHandle]) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|task| !task.is_finished());
        tasks.extend_from_slice(handles);
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<(Owner, String), Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends everything. What was begun and not completed is noted by then.
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

    /// All sessions.
    pub(super) fn all(&self) -> Vec<Arc<Session>> {
        self.sessions().values().cloned().collect()
    }
}

/// A session of a device, with a URI that nobody can guess (RFC 4975 §14.1); its listener is open.
pub(super) async fn open(
    shared: &Arc<Shared>,
    owner: Owner,
    secure: Option<bool>,
    conduct: Conduct,
) -> Result<Arc<Session>, String> {
    let id = fresh();
    if let Some(relay) = &shared.msrp.setting.relay {
        let (ground, connection) = relay::join(shared, &owner, relay, &id, secure).await?;
        let session = Session::new(owner.clone(), ground, conduct, None);
        // RFC 6135 §4.5: whoever is to connect, the connection of this end is the one to its relay.
        session.bind(&connection);
        if conduct.never_connects {
            // The relay finds nobody behind what it has granted.
            connection.end(shared, Ending::Close, None).await;
        }
        return Ok(shared.msrp.enter(owner, id, session));
    }
    let secure = secure.unwrap_or(shared.msrp.setting.secure);
    let (listens, shut) = if conduct.never_connects {
        let (listens, shut) = shut_port(shared.msrp.bind)?;
        (listens, Some(shut))
    } else {
        (listen(shared, &owner, secure).await?, None)
    };
    let own = uri_at(listens, &id, secure);
    let ground = Ground {
        path: own.clone(),
        own,
        relays: Vec::new(),
        listens,
        told: None,
        secure,
        fingerprint: if secure {
            Some(tls::own_fingerprint()?)
        } else {
            None
        },
        id: u64::from(fastrand::u32(..)),
    };
    let session = Session::new(owner.clone(), ground, conduct, shut);
    Ok(shared.msrp.enter(owner, id, session))
}

/// The connection of a session: the one that it has, or one that is made now, or waited for, as the two
/// descriptions say (RFC 4975 §5.4, RFC 6135).
pub(super) async fn connection(
    shared: &Arc<Shared>,
    session: &Arc<Session>,
    step: Option<&str>,
    within: Duration,
) -> Result<Arc<Connection>, String> {
    if session.conduct().never_connects {
        return Err(
            "the scenario wants no MSRP connection for this session (`connect: none`)".into(),
        );
    }
    if let Some(connection) = session.connection() {
        return Ok(connection);
    }
    if session.is_relayed() {
        return Err(
            "the connection to the relay is over, and with it the URI that the relay gave (RFC 4976 §6.3)"
                .into(),
        );
    }
    if session.role() == Some(Role::Passive) {
        let deadline = Instant::now() + within;
        let found = shared.until(deadline, |_| session.connection()).await;
        return found.ok_or_else(|| {
            format!(
                "the other end has made no MSRP connection to {} within {} ms, as it was to do",
                session.ground().listens,
                within.as_millis()
            )
        });
    }
    let _one = session.connecting.lock().await;
    if let Some(connection) = session.connection() {
        return Ok(connection);
    }
    let connection = dial(shared, session, step).await?;
    session.bind(&connection);
    Ok(connection)
}

/// Makes a connection to the other end of a session, or to the relay before it.
pub(super) async fn dial(
    shared: &Arc<Shared>,
    session: &Session,
    step: Option<&str>,
) -> Result<Arc<Connection>, String> {
    let target = match &shared.msrp.setting.relay {
        Some(relay) if session.is_relayed() => Target::of(relay),
        _ => {
            let (remote, cema) = session
                .remote()
                .ok_or("the other end has not said where it is (no SDP)")?;
            Target {
                place: remote.target(cema),
                host: remote.path.first().host().to_string(),
                secure: remote.secure,
                fingerprints: remote.fingerprints,
                resource: None,
            }
        }
    };
    let bind = session.ground().listens.ip();
    reach(shared, session.owner(), bind, target, step).await
}

/// Where a connection goes, and how the other end is known.
struct Target {
    /// Host and port.
    place: String,
    host: String,
    secure: bool,
    fingerprints: Vec<(String, Vec<u8>)>,
    /// The path of its resource, where it is reached by WebSocket.
    resource: Option<String>,
}

impl Target {
    /// A relay, for which only an authority can vouch.
    fn of(relay: &Relay) -> Self {
        let uri = &relay.uri;
        Self {
            place: place_of(uri),
            host: uri.host().to_string(),
            secure: uri.is_secure(),
            fingerprints: Vec::new(),
            resource: relay.is_websocket().then(|| relay.resource.clone()),
        }
    }

    /// Makes of a connection what MSRP goes through: TLS where it is wanted, WebSocket where it is wanted.
    async fn open(self, stream: TcpStream, setting: &Setting) -> Result<Opened, String> {
        let (stream, socket) = Opened::keep(stream).map_err(|e| e.to_string())?;
        let resource = self.resource.map(|path| format!("{}{path}", self.place));
        if !self.secure {
            return match resource {
                None => Ok(plain(stream, socket)),
                Some(at) => by_messages(stream, &at, Transport::Ws, socket, None).await,
            };
        }
        let authority = setting.ca.as_deref();
        let stream = tls::connect(stream, &self.host, self.fingerprints, authority).await?;
        match resource {
            None => Ok(secured(stream, socket)),
            Some(at) => {
                let certificate = tls::certificate(&stream);
                by_messages(stream, &at, Transport::Wss, socket, certificate).await
            }
        }
    }
}

/// Makes a connection.
async fn reach(
    shared: &Arc<Shared>,
    owner: &Owner,
    bind: IpAddr,
    target: Target,
    step: Option<&str>,
) -> Result<Arc<Connection>, String> {
    let place = target.place.clone();
    let dialled = timeout(PATIENCE, async {
        let mut addresses = tokio::net::lookup_host(&place)
            .await
            .map_err(|e| e.to_string())?;
        let address = addresses.next().ok_or("the name has no address")?;
        let stream = link::connect(bind, address)
            .await
            .map_err(|e| e.to_string())?;
        target.open(stream, &shared.msrp.setting).await
    });
    let opened = match dialled.await {
        Ok(opened) => opened,
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    };
    let owner = owner.clone();
    let opened = opened.map_err(|why: String| {
        let kind = EventKind::Connection {
            user: owner.user.clone(),
            local: bind.to_string(),
            remote: place.clone(),
            change: ConnectionChange::Failed(why.clone()),
        };
        shared.desk().note(step, kind);
        format!("no MSRP connection to {place}: {why}")
    })?;
    Connection::begin(shared, owner, opened, ConnectionChange::Opened, step)
        .map_err(|e| e.to_string())
}

/// Makes the connection that is ours to make, and says on it which session it is for: a SEND without a body
/// (RFC 4975 §7.1).
pub(super) async fn greet(
    shared: &Arc<Shared>,
    session: &Arc<Session>,
    within: Duration,
) -> Result<(), String> {
    let connection = connection(shared, session, None, within).await?;
    let (to, from) = session.paths();
    let octets = msrp::Builder::request("SEND", fresh())
        .to_path(to)
        .from_path(from)
        .header("Message-ID", fresh())
        .octets();
    let mut writer = connection.writing().await;
    if !connection.is_open() {
        return Err("the connection is closed".into());
    }
    let kind = EventKind::Sent(connection.packet(octets.clone(), None));
    shared.desk().note(None, kind);
    connection.write(&mut writer, &octets).await
}

/// The session is over: what it has not completed is noted, its connection closed.
pub(super) async fn close(shared: &Arc<Shared>, session: &Arc<Session>) {
    let connection = session.end();
    unfinished(shared, session);
    let Some(connection) = connection else { return };
    let shared_by = shared.msrp.all().into_iter().any(|other| {
        !other.is_over()
            && other
                .connection()
                .is_some_and(|other| Arc::ptr_eq(&other, &connection))
    });
    if !shared_by {
        connection.end(shared, Ending::Close, None).await;
    }
}

/// A port at which nobody listens, and that nobody else gets as long as the socket lives: who connects is
/// refused by the kernel.
fn shut_port(bind: IpAddr) -> Result<(SocketAddr, TcpSocket), String> {
    let at = SocketAddr::new(bind, 0);
    let failed = |e: std::io::Error| format!("no port at {at} to keep shut: {e}");
    let socket = match bind {
        IpAddr::V4(_) => TcpSocket::new_v4(),
        IpAddr::V6(_) => TcpSocket::new_v6(),
    }
    .map_err(failed)?;
    socket.bind(at).map_err(failed)?;
    Ok((socket.local_addr().map_err(failed)?, socket))
}

async fn listen(shared: &Arc<Shared>, owner: &Owner, secure: bool) -> Result<SocketAddr, String> {
    let mut listeners = shared.msrp.listeners.lock().await;
    let key = (owner.clone(), secure);
    if let Some(address) = listeners.get(&key) {
        return Ok(*address);
    }
    let at = SocketAddr::new(shared.msrp.bind, 0);
    let failed = |e: std::io::Error| format!("no MSRP listener at {at}: {e}");
    let listener = TcpListener::bind(at).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let task = tokio::spawn(accept(
        listener,
        owner.clone(),
        secure,
        Arc::downgrade(shared),
    ));
    shared.msrp.keep(&[task.abort_handle()]);
    listeners.insert(key, address);
    Ok(address)
}

async fn accept(
    listener: TcpListener,
    owner: Owner,
    secure: bool,
    shared: std::sync::Weak<Shared>,
) {
    let mut door = Door::new(CONNECTIONS);
    let mut open: Vec<std::sync::Weak<Connection>> = Vec::new();
    let mut handshakes = tokio::task::JoinSet::new();
    loop {
        let (stream, remote) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            Some(done) = handshakes.join_next() => {
                if let Ok(Some(connection)) = done {
                    open.push(connection);
                }
                continue;
            }
        };
        open.retain(|connection| {
            connection
                .upgrade()
                .is_some_and(|connection| connection.is_open())
        });
        let Some(shared) = shared.upgrade() else {
            return;
        };
        match door.knock(open.len() + handshakes.len(), "MSRP", remote) {
            Entry::Taken => {
                handshakes.spawn(welcome(shared, owner.clone(), stream, remote, secure));
            }
            Entry::Refused(None) => {}
            Entry::Refused(Some(text)) => drop(shared.desk().note(None, EventKind::Note { text })),
            Entry::Last(text) => {
                shared.desk().note(None, EventKind::Note { text });
                break;
            }
        }
    }
    // Who came in before may finish.
    drop(listener);
    while handshakes.join_next().await.is_some() {}
}

async fn welcome(
    shared: Arc<Shared>,
    owner: Owner,
    stream: TcpStream,
    remote: SocketAddr,
    secure: bool,
) -> Option<std::sync::Weak<Connection>> {
    let opened = timeout(PATIENCE, async {
        let (stream, socket) = Opened::keep(stream).map_err(|e| e.to_string())?;
        if !secure {
            return Ok(plain(stream, socket));
        }
        Ok(secured(tls::accept(stream).await?, socket))
    })
    .await
    .unwrap_or_else(|_| Err(format!("no handshake within {} s", PATIENCE.as_secs())));
    let begun = opened.and_then(|opened| {
        Connection::begin(&shared, owner, opened, ConnectionChange::Accepted, None)
            .map_err(|e| e.to_string())
    });
    match begun {
        Ok(connection) => Some(Arc::downgrade(&connection)),
        Err(why) => {
            let text = format!("an MSRP connection from {remote} came to nothing: {why}");
            shared.desk().note(None, EventKind::Note { text });
            None
        }
    }
}

fn plain(stream: TcpStream, socket: std::net::TcpStream) -> Opened {
    let (reader, writer) = stream.into_split();
    Opened {
        reader: Reader::stream(reader),
        writer: Writer::stream(writer),
        socket,
        certificate: None,
        transport: Transport::Tcp,
    }
}

fn secured(stream: tokio_rustls::TlsStream<TcpStream>, socket: std::net::TcpStream) -> Opened {
    let certificate = tls::certificate(&stream);
    let (reader, writer) = tokio::io::split(stream);
    Opened {
        reader: Reader::stream(reader),
        writer: Writer::stream(writer),
        socket,
        certificate,
        transport: Transport::Tls,
    }
}

/// Shakes hands for WebSocket with the relay whose resource is `at`.
async fn by_messages(
    stream: impl websocket::Carrier + 'static,
    at: &str,
    transport: Transport,
    socket: std::net::TcpStream,
    certificate: Option<Vec<u8>>,
) -> Result<Opened, String> {
    let carrier = Box::new(stream);
    let shaken = websocket::connect(carrier, transport.is_secure(), at, Subprotocol::Msrp);
    let (incoming, outgoing) = shaken.await.map_err(|(why, _)| why)?;
    Ok(Opened {
        reader: Reader::Messages(incoming),
        writer: Writer::messages(outgoing),
        socket,
        certificate,
        transport,
    })
}

impl Session {
    /// Whether who connects shows the certificate that its SDP announces. An end whose SDP has a fingerprint
    /// has to show a certificate, whether it connects or is connected to (RFC 4975 §14.4, RFC 8122 §6).
    fn trusts(&self, certificate: Option<&[u8]>) -> Result<(), String> {
        // Behind a relay TLS is hop by hop: the relay's certificate was looked at when we came to it.
        if self.is_relayed() {
            return Ok(());
        }
        let fingerprints = match self.remote() {
            Some((remote, _)) if !remote.fingerprints.is_empty() => remote.fingerprints,
            _ => return Ok(()),
        };
        match certificate {
            Some(certificate) if tls::is_announced(certificate, &fingerprints) => Ok(()),
            Some(certificate) => Err(format!(
                "it shows another certificate ({}) than its SDP announces by `a=fingerprint` ({})",
                tls::fingerprint(certificate),
                tls::written(&fingerprints)
            )),
            None => Err(format!(
                "it shows no certificate, and its SDP announces one by `a=fingerprint` ({})",
                tls::written(&fingerprints)
            )),
        }
    }

    /// To-Path and From-Path of what we send.
    fn paths(&self) -> (String, String) {
        let relays = self.ground().relays.iter().map(ToString::to_string);
        let remote = self.remote().map(|(remote, _)| remote.path.to_string());
        let to: Vec<String> = relays.chain(remote).collect();
        (to.join(" "), self.ground().own.clone())
    }
}

/// The URI of a session.
fn uri_at(at: SocketAddr, id: &str, secure: bool) -> String {
    format!("{}://{at}/{id};tcp", scheme(secure))
}

/// The scheme of MSRP URIs.
fn scheme(secure: bool) -> &'static str {
    if secure { "msrps" } else { "msrp" }
}

/// An identifier that nobody can guess.
fn fresh() -> String {
    msrp::ident(random())
}

fn random() -> [u8; 10] {
    let mut octets = [0; 10];
    if SystemRandom::new().fill(&mut octets).is_err() {
        // The kernel has none: what is left is not secret, but still no two are alike.
        fastrand::fill(&mut octets);
    }
    octets
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::agent::sdp::Remote;

    const CERTIFICATE: &[u8] = b"what a certificate is made of does not matter here";

    fn session(fingerprint: &str) -> Session {
        let ground = Ground {
            path: "msrps://127.0.0.1:7000/own;tcp".into(),
            own: "msrps://127.0.0.1:7000/own;tcp".into(),
            relays: Vec::new(),
            told: None,
            listens: "127.0.0.1:7000".parse().unwrap(),
            secure: true,
            fingerprint: None,
            id: 1,
        };
        let owner = Owner {
            user: "bob".into(),
            device: "phone".into(),
        };
        let sdp = format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=message 7001 TCP/TLS/MSRP *\r\na=accept-types:*\r\na=path:msrps://127.0.0.1:7001/theirs;tcp\r\n{fingerprint}"
        );
        let session = Session::new(owner, ground, Conduct::default(), None);
        session.agreed(Remote::read(sdp).unwrap(), Role::Passive, false);
        session
    }

    #[test]
    fn only_who_shows_the_certificate_of_its_sdp_is_trusted() {
        let announced = format!("a=fingerprint:{}\r\n", tls::fingerprint(CERTIFICATE));
        assert_eq!(session(&announced).trusts(Some(CERTIFICATE)), Ok(()));
        let lower = announced.to_lowercase();
        assert_eq!(session(&lower).trusts(Some(CERTIFICATE)), Ok(()));
        let why = session(&announced).trusts(None).unwrap_err();
        assert!(
            why.starts_with("it shows no certificate, and its SDP announces one"),
            "{why}"
        );
        assert!(why.contains(&tls::fingerprint(CERTIFICATE)), "{why}");
        let why = session(&announced).trusts(Some(b"another")).unwrap_err();
        assert!(why.contains(&tls::fingerprint(b"another")), "{why}");
        let two = format!("a=fingerprint:SHA-1 00:11\r\n{announced}");
        assert_eq!(
            session(&two).trusts(Some(CERTIFICATE)),
            Ok(()),
            "one of several"
        );
        let unknown = "a=fingerprint:MD5 00:11\r\n";
        assert!(session(unknown).trusts(Some(CERTIFICATE)).is_err());
        assert_eq!(session("").trusts(None), Ok(()), "nothing was announced");
    }
}
