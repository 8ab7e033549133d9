//! One MSRP connection: cut into pieces, each given to its session.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use imspec_wire::msrp::{Decoder, Head, Method, Piece, Uri};
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf,
};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};

use super::{Binding, Event, Msrp, lock, respond};

/// Frames that may wait for a peer that reads slowly.
const WRITE_QUEUE: usize = 64;
/// How long a peer may take to read.
const PATIENCE: Duration = Duration::from_secs(10);
/// How much is read at once, and so the size of the greatest piece of a body.
const READ: usize = 32 * 1024;

/// What both TCP and TLS are.
pub(super) trait Octets: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Octets for T {}
pub(super) type Stream = Box<dyn Octets>;

/// An open connection, for sending.
#[derive(Debug, Clone)]
pub struct Link {
    local: SocketAddr,
    remote: SocketAddr,
    queue: mpsc::Sender<Bytes>,
    close: Arc<watch::Sender<bool>>,
}

impl Link {
    /// Queues octets: a frame, or a part of one where nobody else sends on the connection. Waits while
    /// the peer does not read, but not for ever.
    pub async fn send(&self, octets: Bytes) -> io::Result<()> {
        let gone = || io::Error::new(io::ErrorKind::BrokenPipe, "the connection is closed");
        if *self.close.borrow() {
            return Err(gone());
        }
        if let Ok(sent) = timeout(PATIENCE, self.queue.send(octets)).await {
            return sent.map_err(|_| gone());
        }
        self.close();
        let late = "the peer does not read";
        Err(io::Error::new(io::ErrorKind::TimedOut, late))
    }

    /// Closes the connection after what is queued.
    pub fn close(&self) {
        self.close.send_replace(true);
    }

    /// Our end.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// The peer's end.
    pub fn remote(&self) -> SocketAddr {
        self.remote
    }
}

/// Begins to read and write.
pub(super) fn start(
    msrp: &Arc<Msrp>,
    stream: Stream,
    id: u64,
    (local, remote): (SocketAddr, SocketAddr),
    bound: Option<String>,
    slot: OwnedSemaphorePermit,
    announce: impl FnOnce(&Link),
) -> Link {
    let (reading, writing) = tokio::io::split(stream);
    let (queue, queued) = mpsc::channel(WRITE_QUEUE);
    let close = Arc::new(watch::Sender::new(false));
    let link = Link {
        local,
        remote,
        queue,
        close,
    };
    let reader = Reader {
        msrp: Arc::clone(msrp),
        id,
        link: link.clone(),
        bound: bound.into_iter().collect(),
        current: Current::None,
    };
    announce(&link);
    let msrp = Arc::clone(msrp);
    let (own, tasks) = (link.clone(), msrp.tasks.clone());
    tasks.spawn(async move {
        // Sessions learn of the loss however this ends.
        let bindings = Bindings {
            msrp: Arc::clone(&msrp),
            id,
        };
        let mut closed = own.close.subscribe();
        let mut writer = std::pin::pin!(write(&msrp, writing, queued, own.close.subscribe()));
        let mut reader = std::pin::pin!(reader.run(reading));
        let (reason, has_written) = tokio::select! {
            reason = &mut reader => (reason, false),
            () = &mut writer => ("writing failed, or the connection was closed", true),
            _ = closed.wait_for(|closed| *closed) => ("closed", false),
        };
        drop(bindings);
        own.close();
        if !has_written {
            // A last answer may be queued.
            let _ = timeout(Duration::from_secs(1), writer).await;
        }
        tracing::debug!(%remote, reason, "MSRP connection closed");
        drop(slot);
    });
    link
}

/// Writes what is queued, until nobody can queue anything or the connection is closed; then what is
/// queued still, and an end.
async fn write(
    msrp: &Msrp,
    mut writing: WriteHalf<Stream>,
    mut queued: mpsc::Receiver<Bytes>,
    mut closed: watch::Receiver<bool>,
) {
    let tap = msrp.tap();
    loop {
        let next = tokio::select! {
            biased;
            next = queued.recv() => next,
            _ = closed.wait_for(|closed| *closed) => queued.try_recv().ok(),
        };
        let Some(octets) = next else { break };
        let Some(octets) = tap.outgoing(octets) else {
            continue;
        };
        if !matches!(
            timeout(PATIENCE, writing.write_all(&octets)).await,
            Ok(Ok(()))
        ) {
            return;
        }
        // TLS keeps what it was given until it is told to send it.
        if queued.is_empty() && !matches!(timeout(PATIENCE, writing.flush()).await, Ok(Ok(()))) {
            return;
        }
    }
    let _ = timeout(PATIENCE, writing.shutdown()).await;
}

/// Whose the frame is that is being read.
enum Current {
    /// Between two frames.
    None,
    /// A session's.
    Session(mpsc::Sender<Event>),
    /// Nobody's: so many octets of it were passed over.
    Refused(u64),
}

struct Reader {
    msrp: Arc<Msrp>,
    id: u64,
    link: Link,
    /// Ids of the sessions that this connection serves.
    bound: HashSet<String>,
    current: Current,
}

impl Reader {
    /// Reads until the connection is of no more use, and says why.
    async fn run(mut self, mut reading: ReadHalf<Stream>) -> &'static str {
        let limits = self.msrp.limits;
        let tap = self.msrp.tap();
        let mut decoder = Decoder::new(limits.head);
        // When the connection last was without a session.
        let mut idle = Instant::now();
        loop {
            let deadline = if !decoder.is_between_frames() {
                Instant::now() + limits.chunk
            } else if self.serves_nobody() {
                idle + limits.first
            } else {
                // The session looks after itself, and comes back here when it is over.
                Instant::now() + limits.first
            };
            decoder.buffer_mut().reserve(READ);
            let read = timeout_at(deadline, reading.read_buf(decoder.buffer_mut())).await;
            match read {
                Err(_) if !decoder.is_between_frames() => return "a frame did not go on in time",
                Err(_) if self.serves_nobody() && idle + limits.first <= Instant::now() => {
                    return "it named no session in time";
                }
                Err(_) => continue,
                Ok(Err(_)) => return "reading failed",
                Ok(Ok(0)) => return "the peer closed it",
                Ok(Ok(_)) => {}
            }
            loop {
                match decoder.next_piece() {
                    Ok(Some(piece)) => {
                        let Some(piece) = tap.incoming(piece) else {
                            continue;
                        };
                        if let Err(reason) = self.piece(piece).await {
                            return reason;
                        }
                    }
                    Ok(None) => break,
                    Err(error) => {
                        tracing::debug!(remote = %self.link.remote, %error, "MSRP out of step");
                        return "out of step";
                    }
                }
            }
            if !self.serves_nobody() {
                idle = Instant::now();
            }
        }
    }

    /// Whether all sessions of this connection are over.
    fn serves_nobody(&mut self) -> bool {
        if !self.bound.is_empty() {
            let sessions = lock(&self.msrp.sessions);
            self.bound.retain(|id| {
                sessions
                    .get(id)
                    .is_some_and(|entry| entry.binding == Binding::To(self.id))
            });
        }
        self.bound.is_empty()
    }

    async fn piece(&mut self, piece: Piece) -> Result<(), &'static str> {
        let event = match piece {
            Piece::Head(head) => {
                self.current = self.begin(&head).await?;
                Event::Head(head)
            }
            Piece::Body(octets) => {
                if let Current::Refused(passed) = &mut self.current {
                    *passed = passed.saturating_add(octets.len() as u64);
                    if *passed > self.msrp.limits.refused {
                        return Err("a refused chunk did not end");
                    }
                }
                Event::Body(octets)
            }
            Piece::End(end) => Event::End(end.flag),
        };
        let ended = matches!(event, Event::End(_));
        if let Current::Session(session) = &self.current
            && session.send(event).await.is_err()
        {
            // The session ended in the middle of a frame of its own.
            self.current = Current::Refused(0);
        }
        if ended {
            self.current = Current::None;
        }
        Ok(())
    }

    /// Whose frame it is (RFC 4975 §7.3).
    async fn begin(&mut self, head: &Head) -> Result<Current, &'static str> {
        let Ok(path) = head.to_path() else {
            // Where it cannot be told which of our URIs is meant, no answer can be written.
            return Err("a frame without a To-Path");
        };
        let own = path.first();
        if path.len() > 1 {
            // We are nobody's relay.
            return self.refuse(head, own, 481, "No Session Here").await;
        }
        if head.from_path().is_err() && head.method().is_some() {
            return self.refuse(head, own, 400, "Bad From-Path").await;
        }
        let claim = self.claim(head, own);
        match claim {
            Claim::Mine(session) => Ok(Current::Session(session)),
            Claim::New(session) => {
                if session.send(Event::Bound(self.link.clone())).await.is_err() {
                    return self.refuse(head, own, 481, "No Such Session").await;
                }
                Ok(Current::Session(session))
            }
            Claim::Unknown => self.refuse(head, own, 481, "No Such Session").await,
            Claim::Taken => {
                self.refuse(head, own, 506, "Session Has Another Connection")
                    .await
            }
        }
    }

    fn claim(&mut self, head: &Head, own: &Uri) -> Claim {
        let id = own.session_id().unwrap_or_default();
        let mut sessions = lock(&self.msrp.sessions);
        let Some(entry) = sessions
            .get_mut(id)
            .filter(|entry| entry.uri.equivalent(own))
        else {
            return Claim::Unknown;
        };
        match entry.binding {
            Binding::To(connection) if connection == self.id => Claim::Mine(entry.events.clone()),
            Binding::To(_) => Claim::Taken,
            // RFC 4975 §5.4: a SEND binds.
            Binding::None if head.method() == Some(Method::Send) => {
                entry.binding = Binding::To(self.id);
                self.bound.insert(id.to_owned());
                Claim::New(entry.events.clone())
            }
            Binding::None | Binding::Lost => Claim::Unknown,
        }
    }

    async fn refuse(
        &self,
        head: &Head,
        own: &Uri,
        status: u16,
        comment: &str,
    ) -> Result<Current, &'static str> {
        tracing::debug!(remote = %self.link.remote, status, comment, "refused an MSRP request");
        if let Some(response) = respond(head, status, comment, own)
            && self.link.send(response).await.is_err()
        {
            return Err("a refusal could not be sent");
        }
        Ok(Current::Refused(0))
    }
}

enum Claim {
    Mine(mpsc::Sender<Event>),
    New(mpsc::Sender<Event>),
    Taken,
    Unknown,
}

/// Tells the sessions of a connection that it is gone.
struct Bindings {
    msrp: Arc<Msrp>,
    id: u64,
}

impl Drop for Bindings {
    fn drop(&mut self) {
        let mut lost = Vec::new();
        for entry in lock(&self.msrp.sessions).values_mut() {
            if entry.binding == Binding::To(self.id) {
                entry.binding = Binding::Lost;
                lost.push(entry.events.clone());
            }
        }
        for session in lost {
            // Its queue may be full of what came before.
            if let Err(mpsc::error::TrySendError::Full(event)) = session.try_send(Event::Lost) {
                self.msrp.tasks.spawn(async move {
                    let _ = session.send(event).await;
                });
            }
        }
    }
}
