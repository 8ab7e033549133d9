//! Server INVITE transactions (RFC 3261 §17.2.1) with the Accepted state of RFC 6026.
//!
//! An INVITE has one owner, who holds its [`InviteTicket`] and answers through it. Copies of the INVITE
//! get the last answer again and never reach anybody; an ACK of a refusal ends its repetition here; a
//! CANCEL is made known to the owner, who still has to answer.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use imspec_wire::sip::Message;
use tokio::sync::watch;

use super::client::{ClientMachine, Todo};
use super::{MergeKey, Timers, TransactionKey};
use crate::clock::Timestamp;
use crate::response::{Reply, return_address};
use crate::tasks::Tasks;
use crate::transport::{Flow, Outbox, Protocol};

/// All server INVITE transactions, finished ones too while copies may come.
#[derive(Clone)]
pub struct InviteTransactions {
    shared: Arc<Shared>,
}

struct Shared {
    timers: Timers,
    outbox: Arc<dyn Outbox>,
    tasks: Tasks,
    most: usize,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    entries: HashMap<TransactionKey, Entry>,
    merging: HashMap<MergeKey, TransactionKey>,
    /// Finished ones in the order in which they go.
    finished: VecDeque<(Instant, TransactionKey)>,
}

struct Entry {
    merge: Option<MergeKey>,
    state: State,
    /// The last response.
    response: Option<Bytes>,
    cancelled: watch::Sender<bool>,
    acknowledged: watch::Sender<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Proceeding,
    /// A refusal was sent.
    Completed,
    /// A 2xx was sent: copies of the INVITE are absorbed, the rest is the owner's (RFC 6026 §7.1).
    Accepted,
    /// The refusal was acknowledged.
    Confirmed,
}

/// What an INVITE is to the table.
pub enum Begin {
    /// New: answer it through the ticket.
    New(Box<InviteTicket>),
    /// Seen before, and dealt with.
    Again,
    /// A copy that came another way: 482.
    Merged,
    /// No room: 503.
    Full,
}

/// The duty to answer one INVITE. Dropped without a final answer, it answers 500.
pub struct InviteTicket {
    shared: Arc<Shared>,
    key: TransactionKey,
    request: Message,
    flow: Flow,
    received: Timestamp,
    tag: String,
    cancelled: watch::Receiver<bool>,
    finished: bool,
}

/// A 2xx that was sent, to be sent again until its ACK comes.
pub struct Accepted {
    shared: Arc<Shared>,
    flow: Flow,
    request: Message,
    octets: Bytes,
}

impl InviteTransactions {
    /// A table of that many transactions.
    pub fn new(timers: Timers, outbox: Arc<dyn Outbox>, tasks: Tasks, most: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                timers,
                outbox,
                tasks,
                most,
                table: Mutex::default(),
            }),
        }
    }

    /// An INVITE has come, complete at `received`.
    pub fn begin(&self, request: Message, flow: Flow, received: Timestamp) -> Begin {
        let key = TransactionKey::of(&request, "INVITE");
        let merge = MergeKey::of(&request);
        let mut table = lock(&self.shared.table);
        table.forget(Instant::now());
        if let Some(entry) = table.entries.get(&key) {
            let response = entry.response.clone();
            let again = matches!(entry.state, State::Proceeding | State::Completed);
            drop(table);
            if let Some(response) = response.filter(|_| again) {
                let address = return_address(&request, &flow);
                self.shared.outbox.respond_now(flow, address, response);
            }
            return Begin::Again;
        }
        if merge
            .as_ref()
            .is_some_and(|merge| table.merging.contains_key(merge))
        {
            return Begin::Merged;
        }
        if table.entries.len() >= self.shared.most {
            return Begin::Full;
        }
        if let Some(merge) = &merge {
            table.merging.insert(merge.clone(), key.clone());
        }
        let (cancel, cancelled) = watch::channel(false);
        let entry = Entry {
            merge,
            state: State::Proceeding,
            response: None,
            cancelled: cancel,
            acknowledged: watch::Sender::new(false),
        };
        table.entries.insert(key.clone(), entry);
        Begin::New(Box::new(InviteTicket {
            shared: Arc::clone(&self.shared),
            key,
            request,
            flow,
            received,
            tag: format!("{:012x}", fastrand::u64(..1 << 48)),
            cancelled,
            finished: false,
        }))
    }

    /// A CANCEL has come. False when there is no such INVITE (481); one that was answered is left as it
    /// is (RFC 3261 §9.2).
    pub fn cancel(&self, cancel: &Message) -> bool {
        let key = TransactionKey::of(cancel, "INVITE");
        let table = lock(&self.shared.table);
        let Some(entry) = table.entries.get(&key) else {
            return false;
        };
        if entry.state == State::Proceeding {
            entry.cancelled.send_replace(true);
        }
        true
    }

    /// An ACK has come. False when it is not that of a refusal.
    pub fn acknowledge(&self, ack: &Message) -> bool {
        let key = TransactionKey::of(ack, "INVITE");
        let mut table = lock(&self.shared.table);
        match table.entries.get_mut(&key) {
            Some(entry) if matches!(entry.state, State::Completed | State::Confirmed) => {
                entry.state = State::Confirmed;
                entry.acknowledged.send_replace(true);
                true
            }
            _ => false,
        }
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        lock(&self.shared.table).entries.len()
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl InviteTicket {
    /// The INVITE.
    pub fn request(&self) -> &Message {
        &self.request
    }

    /// Where it came from.
    pub fn flow(&self) -> Flow {
        self.flow
    }

    /// When it was complete.
    pub fn received(&self) -> Timestamp {
        self.received
    }

    /// The tag that our answers add to To.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// Completes when a CANCEL has come. The INVITE is to be answered all the same.
    pub async fn cancelled(&mut self) {
        // The sender lives in the table as long as the ticket is unanswered.
        let _ = self.cancelled.wait_for(|cancelled| *cancelled).await;
    }

    /// Sends a provisional response.
    pub fn provisional(&self, reply: &Reply) {
        let octets = self.octets(reply);
        self.keep(State::Proceeding, &octets);
        self.send_now(octets);
    }

    /// Sends a final response that is no 2xx, until it is acknowledged.
    pub fn reject(mut self, reply: &Reply) {
        self.refuse(reply);
    }

    /// Sends a 2xx. A CANCEL that came before gives 487 instead, and no call.
    pub fn accept(mut self, reply: &Reply) -> Option<Accepted> {
        if *self.cancelled.borrow() {
            self.refuse(&Reply::new(487));
            return None;
        }
        let octets = self.succeed(reply);
        Some(Accepted {
            shared: Arc::clone(&self.shared),
            flow: self.flow,
            request: self.request.clone(),
            octets,
        })
    }

    /// Sends a 2xx of somebody else's, as a proxy does: whenever one comes, CANCEL or not (RFC 3261
    /// §16.7). Gives what was sent.
    pub fn succeed(&mut self, reply: &Reply) -> Bytes {
        let octets = self.octets(reply);
        self.keep(State::Accepted, &octets);
        if !std::mem::replace(&mut self.finished, true) {
            self.shared.finish(&self.key);
        }
        self.send(octets.clone());
        octets
    }

    fn refuse(&mut self, reply: &Reply) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        let octets = self.octets(reply);
        let Some(acknowledged) = self.keep(State::Completed, &octets) else {
            return;
        };
        self.shared.finish(&self.key);
        self.send(octets.clone());
        if self.flow.protocol == Protocol::Udp {
            let shared = Arc::clone(&self.shared);
            let (flow, address) = (self.flow, return_address(&self.request, &self.flow));
            self.shared.tasks.spawn(async move {
                shared.repeat(flow, address, octets, acknowledged).await;
            });
        }
    }

    fn octets(&self, reply: &Reply) -> Bytes {
        reply.octets(&self.request, &self.flow, &self.tag)
    }

    fn keep(&self, state: State, octets: &Bytes) -> Option<watch::Receiver<bool>> {
        let mut table = lock(&self.shared.table);
        let entry = table.entries.get_mut(&self.key)?;
        entry.state = state;
        entry.response = Some(octets.clone());
        Some(entry.acknowledged.subscribe())
    }

    fn send_now(&self, octets: Bytes) {
        let address = return_address(&self.request, &self.flow);
        self.shared.outbox.respond_now(self.flow, address, octets);
    }

    fn send(&self, octets: Bytes) {
        let shared = Arc::clone(&self.shared);
        let (flow, address) = (self.flow, return_address(&self.request, &self.flow));
        self.shared.tasks.spawn(async move {
            if shared.outbox.respond(flow, address, octets).await.is_err() {
                tracing::debug!(remote = %flow.remote, "an answer to INVITE could not be sent");
            }
        });
    }
}

impl Drop for InviteTicket {
    fn drop(&mut self) {
        if !self.finished {
            self.refuse(&Reply::new(500));
        }
    }
}

impl Accepted {
    /// The octets that were sent.
    pub fn octets(&self) -> &Bytes {
        &self.octets
    }

    /// When to send it again: T1 after it was sent, then after twice as long each time up to T2, for 64
    /// times T1, whatever carries it (RFC 3261 §13.3.1.4).
    pub fn repetition(&self) -> ClientMachine {
        ClientMachine::new(self.shared.timers, false, Instant::now())
    }

    /// Sends it again.
    pub async fn send_again(&self) {
        let address = return_address(&self.request, &self.flow);
        let octets = self.octets.clone();
        let _ = self.shared.outbox.respond(self.flow, address, octets).await;
    }
}

impl Shared {
    /// Timers H and L are the same. Timer I is shorter; to remember an acknowledged refusal as long as
    /// the others does no harm.
    fn finish(&self, key: &TransactionKey) {
        let until = Instant::now() + self.timers.lifetime();
        lock(&self.table).finished.push_back((until, key.clone()));
    }

    /// Timer G: as Timer E, and for as long.
    async fn repeat(
        &self,
        flow: Flow,
        address: std::net::SocketAddr,
        octets: Bytes,
        mut acknowledged: watch::Receiver<bool>,
    ) {
        let mut machine = ClientMachine::new(self.timers, false, Instant::now());
        loop {
            let acknowledgement = async {
                // An error means that the transaction was forgotten.
                let _ = acknowledged.wait_for(|acknowledged| *acknowledged).await;
            };
            tokio::select! {
                () = acknowledgement => return,
                () = tokio::time::sleep_until(machine.wake_at().into()) => {
                    match machine.on_time(Instant::now()) {
                        Todo::Wait => {}
                        Todo::TimeOut => return,
                        Todo::Retransmit => {
                            let _ = self.outbox.respond(flow, address, octets.clone()).await;
                        }
                    }
                }
            }
        }
    }
}

impl Table {
    fn forget(&mut self, now: Instant) {
        while self
            .finished
            .front()
            .is_some_and(|(until, _)| *until <= now)
        {
            let Some((_, key)) = self.finished.pop_front() else {
                return;
            };
            if let Some(merge) = self.entries.remove(&key).and_then(|entry| entry.merge) {
                self.merging.remove(&merge);
            }
        }
    }
}

fn lock(table: &Mutex<Table>) -> std::sync::MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}
