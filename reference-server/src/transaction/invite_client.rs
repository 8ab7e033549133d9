//! Client INVITE transactions (RFC 3261 §17.1.1), as corrected by RFC 6026: an INVITE is repeated until
//! somebody answers, a refusal is acknowledged here, and every 2xx goes to whoever placed the call,
//! because its ACK is theirs to send (RFC 3261 §13.2.2.4).

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use imspec_wire::sip::typed::CSeq;
use imspec_wire::sip::{Builder, Message};
use tokio::sync::{mpsc, watch};

use super::Timers;
use super::client::ClientTransactions;
use crate::transport::{Closed, Target};

/// What is heard of an INVITE.
#[derive(Debug, Clone)]
pub enum Heard {
    /// 101 to 199, or a 100.
    Provisional(Box<Message>),
    /// A 2xx, each copy of it and those of other branches of a fork too: to be acknowledged.
    Accepted(Box<Message>),
    /// Another final response. It has been acknowledged.
    Refused(Box<Message>),
    /// Nobody answered: Timer B, or nothing came of a CANCEL.
    TimedOut,
    /// The connection broke before a final response.
    Broken,
    /// Nothing more will come.
    Ended,
}

/// The states of RFC 6026 figure 5 and their timers.
#[derive(Debug, Clone)]
pub struct InviteMachine {
    timers: Timers,
    reliable: bool,
    state: State,
    /// Timer A.
    again: Option<Instant>,
    interval: Duration,
    /// Timer B, D or M, whichever the state has; or the end of the wait for what a CANCEL does.
    ends: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Calling,
    Proceeding,
    Completed,
    Accepted,
}

/// What an INVITE machine wants done when time has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InviteTodo {
    /// Nothing yet.
    Wait,
    /// Send the INVITE again.
    Retransmit,
    /// Say that nobody answered, and end.
    TimeOut,
    /// End: no copy of the final response is to be expected any more.
    End,
}

/// What an INVITE machine makes of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Hand it on.
    Pass,
    /// Acknowledge it and hand it on.
    AcknowledgeAndPass,
    /// Acknowledge it: this is a copy.
    Acknowledge,
    /// It comes too late to mean anything.
    Drop,
}

impl InviteMachine {
    /// The INVITE was sent at `now`.
    pub fn new(timers: Timers, reliable: bool, now: Instant) -> Self {
        Self {
            timers,
            reliable,
            state: State::Calling,
            again: (!reliable).then(|| now + timers.t1),
            interval: timers.t1,
            ends: Some(now + timers.lifetime()),
        }
    }

    /// When to call [`Self::on_time`] next; `None` while somebody's telephone rings.
    pub fn wake_at(&self) -> Option<Instant> {
        match (self.again, self.ends) {
            (Some(again), Some(ends)) => Some(again.min(ends)),
            (again, ends) => again.or(ends),
        }
    }

    /// Time has passed.
    pub fn on_time(&mut self, now: Instant) -> InviteTodo {
        if self.ends.is_some_and(|ends| now >= ends) {
            return match self.state {
                State::Calling | State::Proceeding => InviteTodo::TimeOut,
                State::Completed | State::Accepted => InviteTodo::End,
            };
        }
        if self.again.is_none_or(|again| now < again) {
            return InviteTodo::Wait;
        }
        // Unlike Timer E, Timer A has no upper bound (RFC 3261 §17.1.1.2).
        self.interval *= 2;
        self.again = Some(now + self.interval);
        InviteTodo::Retransmit
    }

    /// A response has come.
    pub fn on_response(&mut self, status: u16, now: Instant) -> Verdict {
        match (self.state, status) {
            (State::Calling | State::Proceeding, 100..=199) => {
                if self.state == State::Calling {
                    self.state = State::Proceeding;
                    (self.again, self.ends) = (None, None);
                }
                Verdict::Pass
            }
            (State::Calling | State::Proceeding, 200..=299) => {
                self.state = State::Accepted;
                self.again = None;
                // Timer M
                self.ends = Some(now + self.timers.lifetime());
                Verdict::Pass
            }
            (State::Accepted, 200..=299) => Verdict::Pass,
            (State::Calling | State::Proceeding, _) => {
                self.state = State::Completed;
                self.again = None;
                // Timer D: 0 on reliable transports.
                let linger = if self.reliable {
                    Duration::ZERO
                } else {
                    self.timers.lifetime()
                };
                self.ends = Some(now + linger);
                Verdict::AcknowledgeAndPass
            }
            (State::Completed, 300..) => Verdict::Acknowledge,
            (State::Completed | State::Accepted, _) => Verdict::Drop,
        }
    }

    /// Whether a CANCEL may be sent: not before a provisional response (RFC 3261 §9.1).
    pub fn may_cancel(&self) -> bool {
        self.state == State::Proceeding
    }

    /// A CANCEL was sent. A peer that knows no CANCEL is given up after 64*T1 (RFC 3261 §9.1).
    pub fn on_cancel(&mut self, now: Instant) {
        self.ends = Some(now + self.timers.lifetime());
    }

    /// Nothing is to be sent any more; a late answer is still awaited, and acknowledged.
    pub fn silence(&mut self) {
        self.again = None;
    }

    fn is_answered(&self) -> bool {
        matches!(self.state, State::Completed | State::Accepted)
    }
}

/// A call being placed. Dropped, it goes on unheard: refusals are still acknowledged, a 2xx is not.
#[derive(Debug)]
pub struct Calling {
    heard: mpsc::Receiver<Heard>,
    wish: watch::Sender<Wish>,
    request: Bytes,
}

/// What is wanted of a call, one more than the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wish {
    Answer,
    Silence,
    Cancel,
}

impl Calling {
    /// What is heard next. May be awaited again after it was cancelled.
    pub async fn next(&mut self) -> Heard {
        self.heard.recv().await.unwrap_or(Heard::Ended)
    }

    /// Takes the call back, as soon as the callee has said that it knows of it (RFC 3261 §9.1). What
    /// comes of it is heard as before: 487 as a rule, or a 2xx that was faster.
    pub fn cancel(&self) {
        self.wish.send_replace(Wish::Cancel);
    }

    /// Stops repeating the INVITE.
    pub fn silence(&self) {
        self.wish
            .send_if_modified(|wish| std::mem::replace(wish, Wish::Silence.max(*wish)) != *wish);
    }

    /// The INVITE as it was sent.
    pub fn request(&self) -> &Bytes {
        &self.request
    }
}

impl ClientTransactions {
    /// Sends an INVITE whose top Via has `branch`. An error means that it did not leave.
    pub async fn invite(
        self: &Arc<Self>,
        target: Target,
        branch: String,
        octets: Bytes,
    ) -> std::io::Result<Calling> {
        let (waiting, arriving) = self.wait(branch.clone(), "INVITE");
        let closed = self.outbox.send(target, octets.clone()).await?;
        let reliable = target.protocol.is_reliable();
        let machine = InviteMachine::new(self.timers, reliable, Instant::now());
        let (tell, heard) = mpsc::channel(8);
        let (wish, wished) = watch::channel(Wish::Answer);
        let call = Call {
            clients: Arc::clone(self),
            target,
            branch,
            octets: octets.clone(),
            machine,
            tell,
        };
        self.tasks.spawn(async move {
            call.run(arriving, wished, closed).await;
            // Until now copies of the answer found their way here.
            drop(waiting);
        });
        Ok(Calling {
            heard,
            wish,
            request: octets,
        })
    }
}

/// One INVITE and all that belongs to it.
struct Call {
    clients: Arc<ClientTransactions>,
    target: Target,
    branch: String,
    octets: Bytes,
    machine: InviteMachine,
    tell: mpsc::Sender<Heard>,
}

impl Call {
    async fn run(
        mut self,
        mut arriving: mpsc::Receiver<Message>,
        mut wished: watch::Receiver<Wish>,
        mut closed: Closed,
    ) {
        let mut may_wish = true;
        let mut wants_cancel = false;
        let mut is_open = true;
        loop {
            if wants_cancel && self.machine.may_cancel() {
                wants_cancel = false;
                self.machine.on_cancel(Instant::now());
                self.send_cancel();
            }
            let wake_at = self.machine.wake_at();
            tokio::select! {
                biased;
                Some(response) = arriving.recv() => self.take(response).await,
                changed = wished.changed(), if may_wish => {
                    may_wish = changed.is_ok();
                    match *wished.borrow_and_update() {
                        Wish::Answer => {}
                        Wish::Silence => self.machine.silence(),
                        Wish::Cancel => {
                            self.machine.silence();
                            wants_cancel = true;
                        }
                    }
                }
                () = closed.wait(), if is_open => {
                    is_open = false;
                    if !self.machine.is_answered() {
                        self.say(Heard::Broken).await;
                        return;
                    }
                }
                () = sleep_until(wake_at) => match self.machine.on_time(Instant::now()) {
                    InviteTodo::Wait => {}
                    InviteTodo::Retransmit => {
                        if self.clients.outbox.send(self.target, self.octets.clone()).await.is_err() {
                            self.say(Heard::Broken).await;
                            return;
                        }
                    }
                    InviteTodo::TimeOut => {
                        self.say(Heard::TimedOut).await;
                        return;
                    }
                    InviteTodo::End => return,
                }
            }
        }
    }

    async fn take(&mut self, response: Message) {
        let Some(status) = response.status() else {
            return;
        };
        let verdict = self.machine.on_response(status, Instant::now());
        if matches!(verdict, Verdict::Acknowledge | Verdict::AcknowledgeAndPass)
            && let Some(ack) = ack_of_refusal(&self.octets, &response)
            && let Err(error) = self.clients.outbox.send(self.target, ack).await
        {
            // The callee repeats its answer if it misses the ACK.
            tracing::debug!(%error, "an ACK could not be sent");
        }
        if matches!(verdict, Verdict::Pass | Verdict::AcknowledgeAndPass) {
            let response = Box::new(response);
            self.say(match status {
                ..200 => Heard::Provisional(response),
                200..300 => Heard::Accepted(response),
                _ => Heard::Refused(response),
            })
            .await;
        }
    }

    async fn say(&self, heard: Heard) {
        // Whoever does not listen any more has no use for it.
        let _ = self.tell.send(heard).await;
    }

    fn send_cancel(&self) {
        let Some(cancel) = cancel_of(&self.octets) else {
            return;
        };
        let clients = Arc::clone(&self.clients);
        let (target, branch) = (self.target, self.branch.clone());
        self.clients.tasks.spawn(async move {
            match clients.start(target, branch, "CANCEL", cancel).await {
                // Its answer says nothing: what counts is what becomes of the INVITE.
                Ok(mut pending) => drop(pending.outcome().await),
                Err(error) => tracing::debug!(%error, "a CANCEL could not be sent"),
            }
        });
    }
}

async fn sleep_until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant.into()).await,
        None => std::future::pending().await,
    }
}

/// The ACK of a final response other than 2xx: part of the INVITE's transaction, so with its branch
/// (RFC 3261 §17.1.1.3).
fn ack_of_refusal(invite: &Bytes, response: &Message) -> Option<Bytes> {
    let invite = Message::parse_with(invite.clone(), &own_limits(invite)).ok()?;
    let to = response.header("To")?;
    Some(like(&invite, "ACK", |builder| builder.header_line(to.line()))?.octets())
}

/// The CANCEL of an INVITE (RFC 3261 §9.1).
fn cancel_of(invite: &Bytes) -> Option<Bytes> {
    let invite = Message::parse_with(invite.clone(), &own_limits(invite)).ok()?;
    let to = invite.header("To")?;
    Some(like(&invite, "CANCEL", |builder| builder.header_line(to.line()))?.octets())
}

/// A request that goes the way of the INVITE hop by hop: its top Via alone, its Route, From, Call-ID
/// and number.
fn like(
    invite: &Message,
    method: &str,
    with_to: impl FnOnce(Builder) -> Builder,
) -> Option<Builder> {
    let cseq = invite.typed::<CSeq>()?.ok()?.number;
    let mut builder = Builder::request(method, invite.request_uri()?)
        .header_line(invite.header("Via")?.line())
        .header("Max-Forwards", "70");
    for route in invite.headers_named("Route") {
        builder = builder.header_line(route.line());
    }
    builder = builder.header_line(invite.header("From")?.line());
    Some(
        with_to(builder)
            .header_line(invite.header("Call-ID")?.line())
            .header("CSeq", format!("{cseq} {method}")),
    )
}

/// What we wrote ourselves is within bounds.
fn own_limits(octets: &Bytes) -> imspec_wire::sip::Limits {
    imspec_wire::sip::Limits {
        head: octets.len(),
        headers: octets.len(),
        body: octets.len(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const TIMERS: Timers = Timers {
        t1: Duration::from_millis(500),
    };

    fn schedule(mut machine: InviteMachine, start: Instant) -> (Vec<u128>, InviteTodo, u128) {
        let mut retransmissions = Vec::new();
        loop {
            let now = machine.wake_at().unwrap();
            match machine.on_time(now) {
                InviteTodo::Retransmit => retransmissions.push((now - start).as_millis()),
                InviteTodo::Wait => {}
                end => return (retransmissions, end, (now - start).as_millis()),
            }
        }
    }

    #[test]
    fn datagrams_are_repeated_six_times_at_doubling_intervals() {
        let start = Instant::now();
        let machine = InviteMachine::new(TIMERS, false, start);
        assert_eq!(
            schedule(machine, start),
            (
                vec![500, 1500, 3500, 7500, 15_500, 31_500],
                InviteTodo::TimeOut,
                32_000
            )
        );
        let machine = InviteMachine::new(TIMERS, true, start);
        assert_eq!(
            schedule(machine, start),
            (Vec::new(), InviteTodo::TimeOut, 32_000)
        );
    }

    #[test]
    fn a_call_that_rings_has_no_timer() {
        let start = Instant::now();
        let mut machine = InviteMachine::new(TIMERS, false, start);
        assert!(!machine.may_cancel());
        assert_eq!(machine.on_response(180, start), Verdict::Pass);
        assert_eq!(machine.wake_at(), None);
        assert!(machine.may_cancel());
        machine.on_cancel(start);
        assert_eq!(
            schedule(machine, start),
            (Vec::new(), InviteTodo::TimeOut, 32_000)
        );
    }

    #[test]
    fn every_copy_of_a_2xx_is_handed_on_until_timer_m() {
        let start = Instant::now();
        for reliable in [false, true] {
            let mut machine = InviteMachine::new(TIMERS, reliable, start);
            assert_eq!(machine.on_response(200, start), Verdict::Pass);
            assert_eq!(machine.on_response(200, start), Verdict::Pass);
            assert_eq!(machine.on_response(180, start), Verdict::Drop);
            assert_eq!(machine.on_response(486, start), Verdict::Drop);
            assert!(!machine.may_cancel());
            assert_eq!(
                schedule(machine, start),
                (Vec::new(), InviteTodo::End, 32_000)
            );
        }
    }

    #[test]
    fn every_copy_of_a_refusal_is_acknowledged_until_timer_d() {
        let start = Instant::now();
        for (reliable, timer_d) in [(false, 32_000), (true, 0)] {
            let mut machine = InviteMachine::new(TIMERS, reliable, start);
            assert_eq!(machine.on_response(486, start), Verdict::AcknowledgeAndPass);
            assert_eq!(machine.on_response(486, start), Verdict::Acknowledge);
            assert_eq!(machine.on_response(200, start), Verdict::Drop);
            assert_eq!(
                schedule(machine, start),
                (Vec::new(), InviteTodo::End, timer_d)
            );
        }
    }

    const INVITE: &[u8] = b"INVITE sip:bob@192.0.2.7 SIP/2.0\r\n\
        Via: SIP/2.0/UDP 192.0.2.5:5060;branch=z9hG4bKnew;rport\r\n\
        Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKold\r\n\
        Max-Forwards: 69\r\n\
        Route: <sip:192.0.2.6;lr>\r\n\
        From: Alice <sip:alice@example.org>;tag=a\r\n\
        To: <sip:bob@example.org>\r\n\
        Call-ID: 1@x\r\n\
        CSeq: 9 INVITE\r\n\
        Contact: <sip:alice@192.0.2.1>\r\n\
        Content-Type: application/sdp\r\n\
        Content-Length: 4\r\n\r\nv=0\n";

    #[test]
    fn a_refusal_is_acknowledged_and_a_call_taken_back_on_the_same_branch() {
        let invite = Bytes::from_static(INVITE);
        let request = Message::parse(invite.clone()).unwrap();
        let refusal = Builder::response_to(&request, 486, "Busy Here", Some("b"))
            .build()
            .unwrap();
        let shown = |octets: Bytes| String::from_utf8(octets.to_vec()).unwrap();
        insta::assert_snapshot!(
            "ack_of_refusal",
            shown(ack_of_refusal(&invite, &refusal).unwrap())
        );
        insta::assert_snapshot!("cancel_of", shown(cancel_of(&invite).unwrap()));
    }
}
