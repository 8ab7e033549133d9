//! Client transactions: a request is repeated until it is answered or time is up. What is different
//! for INVITE stands in [`super::invite_client`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use imspec_wire::sip::Message;
use imspec_wire::sip::typed::{CSeq, Via};
use tokio::sync::{mpsc, oneshot, watch};

use super::Timers;
use crate::tasks::Tasks;
use crate::transport::{Closed, Outbox, Target};

/// How a request ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The final response.
    Final(Box<Message>),
    /// Timer F fired.
    TimedOut,
    /// The connection broke.
    Broken,
}

/// The states of RFC 3261 figure 6 and their timers.
///
/// There is no Completed state: once a final response is in, further copies of it match no transaction
/// and are dropped, which is what Timer K is for.
#[derive(Debug, Clone)]
pub struct ClientMachine {
    timers: Timers,
    /// When the request is to be sent again; `None` on reliable transports and when silenced.
    again: Option<Instant>,
    interval: Duration,
    proceeding: bool,
    ends: Instant,
}

/// What a machine wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Todo {
    /// Nothing yet.
    Wait,
    /// Send the request again.
    Retransmit,
    /// Give up.
    TimeOut,
}

impl ClientMachine {
    /// The request was sent at `now`.
    pub fn new(timers: Timers, reliable: bool, now: Instant) -> Self {
        Self {
            timers,
            again: (!reliable).then(|| now + timers.t1),
            interval: timers.t1,
            proceeding: false,
            ends: now + timers.lifetime(),
        }
    }

    /// When to call [`Self::on_time`] next.
    pub fn wake_at(&self) -> Instant {
        self.again.map_or(self.ends, |again| again.min(self.ends))
    }

    /// Time has passed.
    pub fn on_time(&mut self, now: Instant) -> Todo {
        if now >= self.ends {
            return Todo::TimeOut;
        }
        if self.again.is_none_or(|again| now < again) {
            return Todo::Wait;
        }
        self.interval = if self.proceeding {
            self.timers.t2()
        } else {
            (self.interval * 2).min(self.timers.t2())
        };
        self.again = Some(now + self.interval);
        Todo::Retransmit
    }

    /// A provisional response came: Timer E goes on at T2.
    pub fn on_provisional(&mut self) {
        self.proceeding = true;
    }

    /// Nothing is to be sent any more; a late answer is still awaited.
    pub fn silence(&mut self) {
        self.again = None;
    }
}

/// All client transactions.
pub struct ClientTransactions {
    pub(super) timers: Timers,
    pub(super) outbox: Arc<dyn Outbox>,
    pub(super) tasks: Tasks,
    waiting: Arc<Mutex<Table>>,
}

/// Who waits for responses, by branch and method: a CANCEL has the branch of its INVITE (RFC 3261
/// §17.1.3).
type Table = HashMap<(String, String), mpsc::Sender<Message>>;

/// A request under way.
#[derive(Debug)]
pub struct Pending {
    outcome: oneshot::Receiver<Outcome>,
    silent: watch::Sender<bool>,
}

impl Pending {
    /// The outcome. May be awaited again after it was cancelled.
    pub async fn outcome(&mut self) -> Outcome {
        (&mut self.outcome).await.unwrap_or(Outcome::Broken)
    }

    /// Stops retransmitting. The outcome can still be awaited: the request may have got there.
    pub fn silence(&self) {
        self.silent.send_replace(true);
    }
}

impl ClientTransactions {
    /// No transaction yet.
    pub fn new(timers: Timers, outbox: Arc<dyn Outbox>, tasks: Tasks) -> Self {
        Self {
            timers,
            outbox,
            tasks,
            waiting: Arc::default(),
        }
    }

    /// Where requests go out.
    pub fn outbox(&self) -> &dyn Outbox {
        &*self.outbox
    }

    /// A branch that was never used (RFC 3261 §8.1.1.7).
    pub fn branch() -> String {
        format!("z9hG4bK{:016x}", fastrand::u64(..))
    }

    /// Sends a request other than INVITE, whose top Via has `branch`. An error means that it did not
    /// leave.
    pub async fn start(
        &self,
        target: Target,
        branch: String,
        method: &str,
        octets: Bytes,
    ) -> std::io::Result<Pending> {
        let (waiting, arriving) = self.wait(branch, method);
        let closed = self.outbox.send(target, octets.clone()).await?;
        let (report, outcome) = oneshot::channel();
        let (silent, silenced) = watch::channel(false);
        let reliable = target.protocol.is_reliable();
        let machine = ClientMachine::new(self.timers, reliable, Instant::now());
        let outbox = Arc::clone(&self.outbox);
        self.tasks.spawn(async move {
            let again = || outbox.send(target, octets.clone());
            let outcome = drive(machine, arriving, silenced, closed, again).await;
            drop(waiting);
            let _ = report.send(outcome);
        });
        Ok(Pending { outcome, silent })
    }

    /// Takes a place in the table, where responses arrive until it is dropped.
    pub(super) fn wait(&self, branch: String, method: &str) -> (Waiting, mpsc::Receiver<Message>) {
        let (responses, arriving) = mpsc::channel(8);
        let waiting = Waiting {
            table: Arc::clone(&self.waiting),
            key: (branch, method.to_owned()),
        };
        lock(&self.waiting).insert(waiting.key.clone(), responses);
        (waiting, arriving)
    }

    /// A response has come. False when nobody waits for it.
    pub fn receive(&self, response: Message) -> bool {
        let via = response.typed::<Via>().and_then(Result::ok);
        let branch = via.as_ref().and_then(Via::branch);
        let waiting = match (branch, response.typed::<CSeq>()) {
            (Some(branch), Some(Ok(cseq))) => lock(&self.waiting)
                .get(&(branch.to_owned(), cseq.method))
                .cloned(),
            _ => None,
        };
        match waiting {
            // A full queue means that this one adds nothing.
            Some(waiting) => {
                let _ = waiting.try_send(response);
                true
            }
            None => false,
        }
    }
}

/// A place in the table, given up with the transaction.
pub(super) struct Waiting {
    table: Arc<Mutex<Table>>,
    key: (String, String),
}

impl Drop for Waiting {
    fn drop(&mut self) {
        lock(&self.table).remove(&self.key);
    }
}

fn lock<T>(table: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn drive<'a>(
    mut machine: ClientMachine,
    mut arriving: mpsc::Receiver<Message>,
    mut silenced: watch::Receiver<bool>,
    mut closed: Closed,
    again: impl Fn() -> crate::transport::Sending<'a>,
) -> Outcome {
    let mut may_be_silenced = true;
    loop {
        tokio::select! {
            biased;
            Some(response) = arriving.recv() => match response.status() {
                Some(100..=199) => machine.on_provisional(),
                Some(_) => return Outcome::Final(Box::new(response)),
                None => {}
            },
            silent = silenced.changed(), if may_be_silenced => {
                // Whoever dropped the handle lost interest in the same way.
                machine.silence();
                may_be_silenced = silent.is_ok();
            }
            () = closed.wait() => return Outcome::Broken,
            () = tokio::time::sleep_until(machine.wake_at().into()) => {
                match machine.on_time(Instant::now()) {
                    Todo::Wait => {}
                    Todo::TimeOut => return Outcome::TimedOut,
                    Todo::Retransmit => {
                        if again().await.is_err() {
                            return Outcome::Broken;
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Milliseconds after the start at which the machine wants something, and what.
    fn schedule(mut machine: ClientMachine, start: Instant) -> (Vec<u128>, u128) {
        let mut retransmissions = Vec::new();
        loop {
            let now = machine.wake_at();
            match machine.on_time(now) {
                Todo::Retransmit => retransmissions.push((now - start).as_millis()),
                Todo::TimeOut => return (retransmissions, (now - start).as_millis()),
                Todo::Wait => {}
            }
        }
    }

    const TIMERS: Timers = Timers {
        t1: Duration::from_millis(500),
    };

    #[test]
    fn datagrams_are_repeated_ten_times_in_32_seconds() {
        let start = Instant::now();
        let (again, end) = schedule(ClientMachine::new(TIMERS, false, start), start);
        assert_eq!(
            again,
            [
                500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500
            ]
        );
        assert_eq!(end, 32_000);
    }

    #[test]
    fn streams_are_not_repeated() {
        let start = Instant::now();
        let (again, end) = schedule(ClientMachine::new(TIMERS, true, start), start);
        assert_eq!((again, end), (Vec::new(), 32_000));
    }

    #[test]
    fn a_provisional_response_slows_repetition_to_t2() {
        let start = Instant::now();
        let mut machine = ClientMachine::new(TIMERS, false, start);
        machine.on_provisional();
        let (again, _) = schedule(machine, start);
        assert_eq!(
            again,
            [500, 4500, 8500, 12_500, 16_500, 20_500, 24_500, 28_500]
        );
    }

    #[test]
    fn a_silenced_transaction_only_waits() {
        let start = Instant::now();
        let mut machine = ClientMachine::new(TIMERS, false, start);
        machine.silence();
        let (again, end) = schedule(machine, start);
        assert_eq!((again, end), (Vec::new(), 32_000));
    }
}
