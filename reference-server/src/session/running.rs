//! One session, from the 200 to its end: what comes inside the dialog, what comes over MSRP, and what
//! time brings, taken one after the other by one task.

use std::sync::Arc;
use std::time::{Duration, Instant};

use imspec_wire::msrp::{Builder, Uri};
use imspec_wire::sdp::{Description, Role};
use imspec_wire::sip::Message;
use tokio::sync::{broadcast, mpsc};

use super::intake::Intake;
use super::offer::{self, Own};
use super::timer::{self, Agreed};
use super::{Agreement, Choice, Sessions, description, not_acceptable};
use crate::clock::Timestamp;
use crate::dialog::{Answer, Dialog, InDialog, Membership};
use crate::msrp::{Endpoint, Event, Link, transaction_id};
use crate::reach::{self, Destination};
use crate::response::Reply;
use crate::transaction::client::{ClientMachine, Todo};
use crate::transaction::invite_server::{Accepted, InviteTicket};
use crate::transport::{Flow, Target};
use crate::uas::ALLOW;

/// A session at work.
pub(super) struct Running {
    sessions: Arc<Sessions>,
    flow: Flow,
    dialog: Dialog,
    membership: Membership,
    /// A 200 whose ACK has not come, and when it is sent again.
    unacknowledged: Option<(Accepted, ClientMachine)>,
    choice: Option<Choice>,
    own: Own,
    endpoint: Endpoint,
    theirs: Option<Description>,
    ours: bytes::Bytes,
    link: Option<Link>,
    intake: Intake,
    timer: Option<Timer>,
    /// When something last happened.
    moved: Instant,
    /// Once there is nothing more to do than to wait for what is under way.
    ending: Option<Ending>,
    delivered: broadcast::Receiver<i64>,
    /// How opening the connection went, when that was our part.
    connected: mpsc::Receiver<bool>,
    connecting: mpsc::Sender<bool>,
    /// How a refresh of ours went.
    refreshed: mpsc::Receiver<bool>,
    refreshing: mpsc::Sender<bool>,
}

/// How the session ends.
struct Ending {
    at: Instant,
    /// Whether the sender is still to be told.
    tell: bool,
}

/// The session timer at work.
struct Timer {
    agreed: Agreed,
    refreshed: Instant,
    /// When our next refresh is due.
    due: Option<Instant>,
}

impl Timer {
    fn start(agreed: Agreed) -> Self {
        let now = Instant::now();
        let half = Duration::from_secs(u64::from(agreed.interval)) / 2;
        Self {
            agreed,
            refreshed: now,
            due: agreed.ours.then(|| now + half),
        }
    }

    fn ends(&self) -> Instant {
        self.refreshed + Duration::from_secs(u64::from(self.agreed.patience()))
    }
}

impl Running {
    #[expect(clippy::too_many_arguments, reason = "all that a session is")]
    pub(super) fn new(
        sessions: Arc<Sessions>,
        dialog: Dialog,
        membership: Membership,
        accepted: Accepted,
        agreement: Agreement,
        intake: Intake,
        timer: Option<Agreed>,
        flow: Flow,
    ) -> Self {
        let repetition = accepted.repetition();
        let (connecting, connected) = mpsc::channel(1);
        let (refreshing, refreshed) = mpsc::channel(1);
        Self {
            delivered: sessions.context.delivered.subscribe(),
            sessions,
            flow,
            dialog,
            membership,
            unacknowledged: Some((accepted, repetition)),
            choice: agreement.choice,
            own: agreement.own,
            endpoint: agreement.endpoint,
            theirs: agreement.theirs,
            ours: agreement.ours,
            link: None,
            intake,
            timer: timer.map(Timer::start),
            moved: Instant::now(),
            ending: None,
            connected,
            connecting,
            refreshed,
            refreshing,
        }
    }

    /// Lives with the session to its end.
    pub(super) async fn run(mut self) {
        self.connect();
        loop {
            let wake = self.wake_at();
            tokio::select! {
                inside = self.membership.next() => self.inside(inside).await,
                event = self.endpoint.next() => self.event(event).await,
                number = self.delivered.recv() => {
                    if let Ok(number) = number {
                        self.intake.delivered(number, self.link.as_ref()).await;
                    }
                }
                Some(is_open) = self.connected.recv() => if !is_open {
                    self.end(true);
                },
                Some(is_alive) = self.refreshed.recv() => self.refresh_answered(is_alive),
                () = tokio::time::sleep_until(wake.into()) => self.on_time().await,
            }
            if self
                .ending
                .as_ref()
                .is_some_and(|ending| Instant::now() >= ending.at)
            {
                break;
            }
        }
        // Before the sender hears that it is over: what it begins next may go on with what is kept here.
        self.intake.finish().await;
        if self.ending.as_ref().is_some_and(|ending| ending.tell) {
            self.say_bye();
        }
    }

    fn wake_at(&self) -> Instant {
        let config = &self.sessions.context.config.session;
        let mut wake = self.moved + Duration::from_secs(config.idle_s);
        if let Some((_, repetition)) = &self.unacknowledged {
            wake = wake.min(repetition.wake_at());
        }
        if let Some(timer) = &self.timer {
            wake = wake.min(timer.ends());
            wake = timer.due.map_or(wake, |due| wake.min(due));
        }
        match &self.ending {
            Some(ending) => ending.at,
            None => wake,
        }
    }

    async fn on_time(&mut self) {
        if self.ending.is_some() {
            return;
        }
        let now = Instant::now();
        if let Some((accepted, repetition)) = &mut self.unacknowledged {
            match repetition.on_time(now) {
                Todo::Wait => {}
                Todo::Retransmit => accepted.send_again().await,
                Todo::TimeOut => {
                    // RFC 3261 §13.3.1.4
                    tracing::debug!("a 200 was never acknowledged");
                    self.unacknowledged = None;
                    self.end(true);
                    return;
                }
            }
        }
        if let Some(timer) = &mut self.timer {
            if now >= timer.ends() {
                tracing::debug!("a session was not refreshed");
                self.end(true);
                return;
            }
            if timer.due.is_some_and(|due| now >= due) {
                timer.due = None;
                self.refresh();
                return;
            }
        }
        let idle = Duration::from_secs(self.sessions.context.config.session.idle_s);
        if now >= self.moved + idle {
            tracing::debug!("nothing happens in a session");
            self.end(true);
        }
    }

    /// Ends the session at once, or after what may be under way; tells the sender where it does not
    /// know.
    fn end(&mut self, tell: bool) {
        let linger = Duration::from_millis(self.sessions.context.config.session.linger_ms);
        let now = Instant::now();
        // Without a connection nothing can be under way but the sender's BYE; but a relay may hold what it
        // has acknowledged and connect later than the BYE comes (RFC 4976 §6.4.1).
        let relayed = self
            .choice
            .as_ref()
            .is_some_and(|choice| choice.peer.len() > 1);
        let wait = self.link.is_some() || tell || relayed;
        let at = if wait { now + linger } else { now };
        let at = self.ending.as_ref().map_or(at, |ending| ending.at.min(at));
        self.ending = Some(Ending { at, tell });
    }

    async fn event(&mut self, event: Event) {
        self.moved = Instant::now();
        let link = self.link.clone();
        match (event, link) {
            (Event::Bound(link), _) => self.link = Some(link),
            (Event::Lost, _) => {
                self.link = None;
                self.intake.cut_off();
                // RFC 4975 §5.4: the session has failed. Its BYE may still come.
                let tell = self.ending.as_ref().is_none_or(|ending| ending.tell);
                self.end(tell);
            }
            (Event::Head(head), Some(link)) => self.intake.begin(&head, &link).await,
            (Event::Body(octets), Some(link)) => self.intake.body(&octets, &link).await,
            (Event::End(flag), Some(link)) => self.intake.end(flag, &link).await,
            (Event::Head(_) | Event::Body(_) | Event::End(_), None) => {}
        }
    }

    async fn inside(&mut self, inside: InDialog) {
        self.moved = Instant::now();
        match inside {
            InDialog::Ack(ack) => self.acknowledged(&ack),
            InDialog::Invite(ticket) => self.invited_again(*ticket),
            InDialog::Request {
                request,
                received,
                answer,
            } => {
                if !self.dialog.in_order(&request) {
                    return answer.reply(Reply::because(500, "Out Of Order"));
                }
                self.requested(&request, received, answer).await;
            }
        }
    }

    fn acknowledged(&mut self, ack: &Message) {
        let is_ours = |cseq: Option<u32>| cseq.is_some() && cseq == self.dialog.invite_cseq();
        let number = ack
            .typed::<imspec_wire::sip::typed::CSeq>()
            .and_then(Result::ok);
        if self.unacknowledged.is_none() || !is_ours(number.map(|cseq| cseq.number)) {
            return;
        }
        self.unacknowledged = None;
        if self.choice.is_some() {
            return;
        }
        // The answer to our offer.
        let answer = description(ack).ok().flatten();
        let choice = answer
            .as_ref()
            .ok_or_else(|| "the ACK has no answer".to_owned())
            .and_then(|answer| {
                self.sessions
                    .with_means(|means| offer::answered(answer, means))
            });
        match choice {
            Ok(choice) => {
                self.choice = Some(choice);
                self.theirs = answer;
                self.connect();
            }
            Err(reason) => {
                tracing::debug!(reason, "the answer to our offer makes no session");
                self.end(true);
            }
        }
    }

    async fn requested(&mut self, request: &Message, received: Timestamp, answer: Answer) {
        match request.method().unwrap_or_default() {
            "BYE" => {
                self.unacknowledged = None;
                let kept = self.intake.bye(request, received).await;
                answer.reply(match &kept {
                    Ok(()) => Reply::new(200),
                    Err(error) => error.into(),
                });
                if kept.is_ok() {
                    self.end(false);
                }
            }
            "UPDATE" => {
                let updated = self.updated(request).map(|(reply, _)| reply);
                answer.reply(updated.unwrap_or_else(|refusal| refusal));
            }
            "OPTIONS" => answer.reply(Reply::new(200).with("Allow", ALLOW)),
            // MESSAGE too: what is to be kept comes over MSRP here.
            _ => answer
                .reply(Reply::new(405).with("Allow", "INVITE, ACK, BYE, CANCEL, UPDATE, OPTIONS")),
        }
    }

    /// A re-INVITE (RFC 3261 §14.2).
    fn invited_again(&mut self, ticket: InviteTicket) {
        if self.ending.is_some() {
            return ticket.reject(&Reply::new(481));
        }
        if !self.dialog.in_order(ticket.request()) {
            return ticket.reject(&Reply::because(500, "Out Of Order"));
        }
        if self.choice.is_none() {
            // An offer of ours has no answer yet (RFC 3261 §14.2).
            return ticket.reject(&Reply::new(491));
        }
        let request = ticket.request().clone();
        let (reply, timer) = match self.updated(&request) {
            Ok(updated) => updated,
            Err(reply) => return ticket.reject(&reply),
        };
        let reply = if description(&request).is_ok_and(|offer| offer.is_none()) {
            // Without an offer it gets ours, which has not changed (RFC 4975 §8.4).
            reply.with_body("application/sdp", &self.ours)
        } else {
            reply
        };
        if let Some(accepted) = ticket.accept(&reply) {
            self.dialog.invited_again(&request);
            let repetition = accepted.repetition();
            self.unacknowledged = Some((accepted, repetition));
            self.timer = timer.map(Timer::start).or(self.timer.take());
        }
    }

    /// What a re-INVITE or an UPDATE gets, and the session timer that follows.
    fn updated(&mut self, request: &Message) -> Result<(Reply, Option<Agreed>), Reply> {
        let timer = timer::negotiate(request, self.sessions.timer_bounds())?;
        let mut reply = match description(request)? {
            None => self.sessions.ok_without_body(self.flow),
            Some(offer) => {
                let answer = self.answer_again(offer)?;
                self.sessions.ok(self.flow, &answer)
            }
        };
        self.dialog.refresh_target(request);
        if let Some(timer) = timer {
            reply = timer.announce(reply);
            if request.method() == Some("UPDATE") {
                self.timer = Some(Timer::start(timer));
            }
        } else if let Some(timer) = &mut self.timer {
            timer.refreshed = Instant::now();
        }
        Ok((reply, timer))
    }

    /// The answer to another offer in the session (RFC 3264 §8): the same stream may be put on hold and
    /// taken up again; another path would be another session.
    fn answer_again(&mut self, offer: Description) -> Result<bytes::Bytes, Reply> {
        if self.theirs.as_ref() == Some(&offer) {
            return Ok(self.ours.clone());
        }
        let mut choice = self
            .sessions
            .with_means(|means| offer::choose(&offer, means))
            .map_err(|reason| not_acceptable(&reason))?;
        let Some(current) = self
            .choice
            .as_ref()
            .filter(|now| now.is_same_stream(&choice))
        else {
            return Err(not_acceptable("another path needs another session"));
        };
        // Who connected, connected.
        choice.role = current.role;
        self.own.version += 1;
        let config = &self.sessions.context.config.session;
        self.ours = offer::answer(&offer, &choice, &self.own, config);
        self.theirs = Some(offer);
        self.choice = Some(choice);
        Ok(self.ours.clone())
    }

    /// Opens the connection where that is our part, and sends the SEND that has to follow at once (RFC
    /// 4975 §5.4).
    fn connect(&mut self) {
        let Some(choice) = self
            .choice
            .as_ref()
            .filter(|choice| choice.role == Role::Active)
        else {
            return;
        };
        let msrp = Arc::clone(&self.sessions.context.msrp);
        let own = self.own.uri.clone();
        let (host, port) = choice.place.clone();
        let security = choice.security.clone();
        let peer: Vec<String> = choice
            .peer
            .iter()
            .map(|uri| uri.as_str().to_owned())
            .collect();
        let tell = self.connecting.clone();
        self.sessions.context.tasks.spawn(async move {
            let opened = match msrp.connect(&own, &host, port, &security).await {
                Ok(link) => link.send(first_send(&own, &peer)).await,
                Err(error) => Err(error),
            };
            if let Err(error) = &opened {
                tracing::info!(%error, "an MSRP connection could not be opened");
            }
            let _ = tell.send(opened.is_ok()).await;
        });
    }

    /// The way to the sender.
    fn destination(&self) -> Destination {
        let flow = self.flow.protocol.is_reliable().then_some(Target {
            protocol: self.flow.protocol,
            address: self.flow.remote,
        });
        Destination::new(self.dialog.next_hop(), flow)
    }

    /// Ends the dialog. Whether the sender hears of it changes nothing.
    fn say_bye(&mut self) {
        let (dialog, to) = (self.dialog.clone(), self.destination());
        let clients = Arc::clone(&self.sessions.clients);
        self.sessions.context.tasks.spawn(async move {
            let sent = reach::send(&clients, &to, "BYE", |via| {
                dialog.clone().request("BYE", via).octets()
            });
            match sent.await {
                Ok(mut pending) => drop(pending.outcome().await),
                Err(error) => tracing::debug!(%error, "a BYE could not be sent"),
            }
        });
    }

    /// A refresh of ours, by UPDATE (RFC 4028 §7.4). Who does not take it lets the session run out.
    fn refresh(&mut self) {
        let Some(timer) = &self.timer else { return };
        let interval = timer.agreed.interval;
        let contact = self.sessions.contact(self.flow);
        let (to, clients) = (self.destination(), Arc::clone(&self.sessions.clients));
        let before = self.dialog.clone();
        self.dialog.pass_over();
        let tell = self.refreshing.clone();
        self.sessions.context.tasks.spawn(async move {
            let sent = reach::send(&clients, &to, "UPDATE", |via| {
                before
                    .clone()
                    .request("UPDATE", via)
                    .header("Contact", &contact)
                    .header("Supported", "timer")
                    .header("Session-Expires", format!("{interval};refresher=uac"))
                    .octets()
            });
            let is_alive = match sent.await {
                Ok(mut pending) => matches!(
                    pending.outcome().await,
                    crate::transaction::client::Outcome::Final(response)
                        if response.status().is_some_and(|status| status / 100 == 2)
                ),
                Err(_) => false,
            };
            let _ = tell.send(is_alive).await;
        });
    }

    fn refresh_answered(&mut self, is_alive: bool) {
        if is_alive && let Some(timer) = &mut self.timer {
            *timer = Timer::start(timer.agreed);
        }
    }
}

/// A SEND without a body.
fn first_send(own: &Uri, peer: &[String]) -> bytes::Bytes {
    Builder::request("SEND", transaction_id())
        .to_path(peer.join(" "))
        .from_path(own.as_str())
        .header("Message-ID", transaction_id())
        .octets()
}
