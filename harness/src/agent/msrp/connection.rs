//! One MSRP connection of an agent: what is written, what waits for a response, and how it
//! ends, on purpose or not. What arrives is taken apart in [`super::receive`].

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use imspec_reports::record::EventKind;
use imspec_reports::record::trace::{ConnectionChange, Elided, Packet, Protocol};
use imspec_wire::msrp::Head;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};

use super::super::Shared;
use super::Owner;
use super::carrier::{Reader, Writer};
use super::ship::Waiting;
use crate::link::Transport;

/// How long the other end may take no octet of what we write.
const PATIENCE: Duration = Duration::from_secs(20);
/// Answers that may wait until a chunk of ours is out.
const ANSWERS: usize = 4096;

/// A connection.
pub(in super::super) struct Connection {
    owner: Owner,
    /// What carries it.
    pub(super) transport: Transport,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    /// The certificate that the other end showed, in DER.
    pub(super) certificate: Option<Vec<u8>>,
    writer: tokio::sync::Mutex<Option<Writer>>,
    /// The socket once more, to set how it ends.
    socket: Mutex<Option<std::net::TcpStream>>,
    over: watch::Sender<bool>,
    pub(super) answers: mpsc::Sender<super::receive::Answer>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Nothing more may be written: a scenario wants it so.
    stalled: bool,
    /// Requests of ours, by transaction id.
    waiting: HashMap<String, Waiting>,
    /// Octets of ours whose transaction ids are not known.
    raw: Option<Waiting>,
    /// Requests of the agent's own to its relay, by transaction id.
    asking: HashMap<String, oneshot::Sender<Head>>,
    /// The step that is at work here.
    step: Option<String>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("local", &self.local)
            .field("remote", &self.remote)
            .finish_non_exhaustive()
    }
}

/// How an agent ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// FIN.
    Close,
    /// RST.
    Reset,
}

/// A stream that is open, before anything is known of it but who has it.
pub(super) struct Opened {
    pub(super) reader: Reader,
    pub(super) writer: Writer,
    pub(super) socket: std::net::TcpStream,
    pub(super) certificate: Option<Vec<u8>>,
    pub(super) transport: Transport,
}

impl Opened {
    /// Takes the socket of a stream for later, and gives both back.
    pub(super) fn keep(stream: TcpStream) -> std::io::Result<(TcpStream, std::net::TcpStream)> {
        stream.set_nodelay(true)?;
        let stream = stream.into_std()?;
        let socket = stream.try_clone()?;
        Ok((TcpStream::from_std(stream)?, socket))
    }
}

impl Connection {
    /// Notes that the connection is there, and begins to read.
    pub(super) fn begin(
        shared: &Arc<Shared>,
        owner: Owner,
        opened: Opened,
        change: ConnectionChange,
        step: Option<&str>,
    ) -> std::io::Result<Arc<Self>> {
        let (answers, queue) = mpsc::channel(ANSWERS);
        let connection = Arc::new(Self {
            owner,
            transport: opened.transport,
            local: opened.socket.local_addr()?,
            remote: opened.socket.peer_addr()?,
            certificate: opened.certificate,
            writer: tokio::sync::Mutex::new(Some(opened.writer)),
            socket: Mutex::new(Some(opened.socket)),
            over: watch::channel(false).0,
            answers,
            state: Mutex::default(),
        });
        connection.tell(shared, change, step);
        let weak = Arc::downgrade(shared);
        shared.msrp.keep(&[
            tokio::spawn(super::receive::read(
                opened.reader,
                Arc::clone(&connection),
                weak,
            ))
            .abort_handle(),
            tokio::spawn(super::receive::answer(
                queue,
                Arc::clone(&connection),
                Arc::downgrade(shared),
            ))
            .abort_handle(),
        ]);
        Ok(connection)
    }

    /// Whose it is.
    pub(super) fn owner(&self) -> &Owner {
        &self.owner
    }

    /// A frame as the trace keeps it.
    pub(super) fn packet(&self, octets: Bytes, elided: Option<Elided>) -> Packet {
        Packet {
            user: self.owner.user.clone(),
            device: self.owner.device.clone(),
            protocol: Protocol::Msrp,
            transport: self.transport.as_str().to_owned(),
            local: self.local.to_string(),
            remote: self.remote.to_string(),
            octets: octets.into(),
            elided,
            retransmission: false,
        }
    }

    /// Notes what happened to it.
    pub(super) fn tell(&self, shared: &Shared, change: ConnectionChange, step: Option<&str>) {
        let kind = EventKind::Connection {
            user: self.owner.user.clone(),
            local: self.local.to_string(),
            remote: self.remote.to_string(),
            change,
        };
        shared.desk().note(step, kind);
        shared.news.notify_waiters();
    }

    /// Whether frames may still go out and come in.
    pub(super) fn is_open(&self) -> bool {
        !*self.over.borrow()
    }

    /// Whether a scenario has stopped it.
    pub(super) fn is_stalled(&self) -> bool {
        self.state().stalled
    }

    /// Nothing more goes out.
    pub(super) fn stall(&self) {
        self.state().stalled = true;
    }

    /// A step is at work here, or no longer.
    pub(super) fn at_work(&self, step: Option<&str>) {
        self.state().step = step.map(str::to_owned);
    }

    /// A request of ours is about to go out.
    pub(super) fn expect(&self, transaction: Option<String>, waiting: Waiting) {
        let mut state = self.state();
        match transaction {
            Some(id) => drop(state.waiting.insert(id, waiting)),
            None => state.raw = Some(waiting),
        }
    }

    /// The request that a response belongs to. It is taken off the list: there is one response.
    pub(super) fn answered(&self, transaction: &str) -> Option<Waiting> {
        let mut state = self.state();
        match state.waiting.remove(transaction) {
            Some(waiting) => Some(waiting),
            None => state.raw.clone(),
        }
    }

    /// A request that is no step's is about to go out; gives what will bring its response.
    pub(super) fn ask(&self, transaction: &str) -> oneshot::Receiver<Head> {
        let (asking, response) = oneshot::channel();
        self.state().asking.insert(transaction.to_owned(), asking);
        response
    }

    /// Who waits for that response, where it is to such a request.
    pub(super) fn asked(&self, transaction: &str) -> Option<oneshot::Sender<Head>> {
        self.state().asking.remove(transaction)
    }

    /// The requests of a step that have no response yet.
    pub(super) fn unanswered(&self, step: &str) -> Vec<Waiting> {
        let state = self.state();
        let mut open: Vec<Waiting> = state
            .waiting
            .values()
            .filter(|waiting| waiting.step == step)
            .cloned()
            .collect();
        open.sort_by_key(|waiting| waiting.index);
        open
    }

    /// Everything that is to be written, in one go: no other frame comes between.
    pub(super) async fn writing(&self) -> tokio::sync::MutexGuard<'_, Option<Writer>> {
        self.writer.lock().await
    }

    /// Writes a frame; `writer` is what [`Self::writing`] gave.
    pub(super) async fn write(
        &self,
        writer: &mut Option<Writer>,
        octets: &[u8],
    ) -> Result<(), String> {
        self.write_part(writer, octets).await?;
        self.finish(writer).await
    }

    /// Writes octets of a frame. Where frames go one by one, they wait for [`Self::finish`].
    pub(super) async fn write_part(
        &self,
        writer: &mut Option<Writer>,
        octets: &[u8],
    ) -> Result<(), String> {
        let mut rest = octets;
        loop {
            let written = self
                .in_time(writer, async |writer| writer.write(rest).await)
                .await?;
            if rest.is_empty() {
                return Ok(());
            }
            rest = &rest[written..];
        }
    }

    /// The frame ends here, complete or not.
    pub(super) async fn finish(&self, writer: &mut Option<Writer>) -> Result<(), String> {
        self.in_time(writer, async |writer| writer.finish().await)
            .await
    }

    /// Does something with the writer, unless the connection ends or the other end reads nothing for too long.
    async fn in_time<T>(
        &self,
        writer: &mut Option<Writer>,
        work: impl AsyncFnOnce(&mut Writer) -> Result<T, String>,
    ) -> Result<T, String> {
        let open = writer.as_mut().ok_or("the connection is closed")?;
        let why = tokio::select! {
            done = tokio::time::timeout(PATIENCE, work(open)) => match done {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(why)) => why,
                Err(_) => format!("the other end reads nothing for {} s", PATIENCE.as_secs()),
            },
            () = self.until_over() => "the connection is closed".to_owned(),
        };
        // Half a frame may be out: nothing can follow it.
        *writer = None;
        Err(why)
    }

    /// Waits until the connection is over.
    pub(super) async fn until_over(&self) {
        let _ = self.over.subscribe().wait_for(|over| *over).await;
    }

    /// Ends the connection, unless it is over already.
    pub(super) async fn end(&self, shared: &Shared, how: Ending, step: Option<&str>) {
        if !self.over() {
            return;
        }
        let change = match how {
            Ending::Close => ConnectionChange::Closed,
            Ending::Reset => ConnectionChange::Reset,
        };
        self.tell(shared, change, step);
        self.release(how == Ending::Reset).await;
    }

    /// The other end has ended the connection, or it cannot be read any more.
    pub(super) async fn ended(&self, shared: &Weak<Shared>) {
        if !self.over() {
            return;
        }
        if let Some(shared) = shared.upgrade() {
            let step = self.state().step.clone();
            self.tell(&shared, ConnectionChange::Ended, step.as_deref());
        }
        self.release(false).await;
    }

    /// Marks it as over; whether it was not before.
    fn over(&self) -> bool {
        self.over
            .send_if_modified(|over| !std::mem::replace(over, true))
    }

    /// Lets go of the socket. Whoever writes or reads has been told.
    async fn release(&self, reset: bool) {
        let socket = self
            .socket
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let (Some(socket), true) = (&socket, reset) {
            // Without lingering the kernel ends the connection with RST.
            let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
        }
        if let Some(mut writer) = self.writer.lock().await.take()
            && !reset
        {
            let _ = tokio::time::timeout(Duration::from_secs(1), writer.close()).await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
