//! Delivery by a message session: INVITE to the contact, connection, the content in SENDs, BYE
//! (RFC 4975).
//!
//! A record counts as delivered only when the recipient's side has answered every chunk of it with 200.
//! Whatever happens before, the record stays, and comes again as a whole; it keeps its MSRP Message-ID
//! then, so that a recipient who has it already can tell.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use imspec_wire::msrp::{Head, Method, Path, StartLine};
use imspec_wire::sdp::{
    self, Description, Direction, MediaBuilder, MessageMedia, Protocol, Role, Setup, setup,
};
use imspec_wire::sip::Message;
use tokio::sync::watch;
use tokio::time::timeout;

use super::outgoing::{Outgoing, Progress};
use super::parcel::Parcel;
use super::{Attempt, Delivery, Meaning, Wake};
use crate::call::{self, Answer, Established, Taken};
use crate::compose::Deferred;
use crate::dialog::{InDialog, Membership};
use crate::msrp::{Endpoint, Event, Fingerprint, Link, Security, respond};
use crate::reach::{self, Destination};
use crate::response::Reply;
use crate::store::{Binding, StoredMessage};

/// A session that has done its work and is still to be ended.
pub(super) struct Closing {
    call: Option<Established>,
    /// The connection, where we made it. Another may carry sessions that are none of ours: a relay's does.
    own_link: Option<Link>,
    /// Kept until then, so that nothing late is refused.
    _endpoint: Endpoint,
}

impl Closing {
    /// Says BYE, and closes the connection that was made for the session.
    pub(super) async fn end(self, delivery: &Delivery) {
        if let Some(call) = self.call {
            call.end(&delivery.clients).await;
        }
        if let Some(link) = self.own_link {
            link.close();
        }
    }
}

/// One record on its way to one contact.
pub(super) struct Bringing<'a> {
    pub(super) delivery: &'a Arc<Delivery>,
    pub(super) binding: &'a Binding,
    pub(super) known: &'a [Binding],
    pub(super) stored: &'a StoredMessage,
    pub(super) request: &'a Message,
    pub(super) how: Deferred<'a>,
}

/// Why a session did not bring what it should.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// Nobody is there, or the way is broken: everything waits.
    #[error("{0}")]
    Broken(String),
    /// This record is not wanted so; another may be.
    #[error("{0}")]
    Unfit(String),
    /// The recipient ended it.
    #[error("the recipient ended the session")]
    Ended,
    /// The binding is gone.
    #[error("the binding is gone")]
    Gone,
}

/// What an answer makes possible.
struct Terms {
    path: Path,
    role: Role,
    security: Security,
}

impl Bringing<'_> {
    /// Tries it.
    pub(super) async fn run(self, wake: &mut watch::Receiver<Wake>) -> Attempt {
        let context = &self.delivery.context;
        let account = &self.stored.message.account;
        let callee = Destination::of(self.binding);
        let secure = context.config.delivery.msrps;
        let peer = match reach::address(&callee).await {
            Ok(peer) => peer,
            Err(error) => {
                tracing::info!(account, %error, "not delivered");
                return Attempt::Unreachable;
            }
        };
        let open = |listening| context.msrp.open(secure, peer.ip(), listening);
        let either = open(true).map(|endpoint| (endpoint, Setup::ActPass));
        // Without a listener we can still connect ourselves.
        let opened = either.or_else(|_| open(false).map(|endpoint| (endpoint, Setup::Active)));
        let (endpoint, offered) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                tracing::warn!(account, %error, "no session can bring what waits");
                return Attempt::Rejected;
            }
        };
        let parcels = Parcel::of(self.stored, self.request, |part| {
            let composer = &context.parts.composer;
            composer.send_fields(self.stored, self.request, part, &self.how)
        });
        let offer = self.offer(&endpoint, offered, &parcels);
        let taken = match self.call(&callee, offer, wake).await {
            Ok(taken) => taken,
            Err(attempt) => return attempt,
        };
        let Taken {
            response,
            call,
            inside,
        } = taken;
        let mut session = Session {
            bringing: &self,
            endpoint,
            offered,
            link: None,
            has_connected: false,
            inside,
            wake,
            refusing: None,
            is_ended: false,
        };
        let outcome = session.bring(&response, parcels).await;
        let Session {
            endpoint,
            link,
            has_connected,
            is_ended,
            ..
        } = session;
        let closing = Closing {
            call: (!is_ended).then_some(call),
            own_link: link.filter(|_| has_connected),
            _endpoint: endpoint,
        };
        let Err(failure) = outcome else {
            return Attempt::Delivered(Some(Box::new(closing)));
        };
        tracing::info!(account, %failure, "a session did not bring what it should");
        if matches!(failure, Failure::Gone) {
            // Whoever has gone need not hear it before others are served.
            let delivery = Arc::clone(self.delivery);
            let tasks = &self.delivery.context.tasks;
            tasks.spawn(async move { closing.end(&delivery).await });
            return Attempt::Overtaken;
        }
        closing.end(self.delivery).await;
        match failure {
            Failure::Unfit(_) => Attempt::Rejected,
            Failure::Broken(_) | Failure::Ended | Failure::Gone => Attempt::Unreachable,
        }
    }

    /// Our session description. It promises to take nothing (`sendonly`).
    fn offer(&self, endpoint: &Endpoint, setup: Setup, parcels: &[Parcel]) -> Bytes {
        let uri = endpoint.uri();
        let protocol = if uri.is_secure() {
            Protocol::Tls
        } else {
            Protocol::Tcp
        };
        let mut types: Vec<String> = Vec::new();
        let cpim = "message/cpim".to_owned();
        for name in parcels.iter().map(Parcel::media_type).chain([cpim]) {
            if !types.iter().any(|known| known.eq_ignore_ascii_case(&name)) {
                types.push(name);
            }
        }
        let mut media = MediaBuilder::message(uri.port().unwrap_or(9), protocol)
            .accept_types(&types)
            .path([uri.as_str()])
            .setup(setup)
            .direction(Direction::SendOnly);
        if uri.is_secure() {
            let fingerprint = self.delivery.context.msrp.fingerprint().to_string();
            media = media.attribute("fingerprint", fingerprint);
        }
        let id = fastrand::u64(1..1 << 62);
        let host = uri.host().to_string();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        sdp::Builder::new(id, id, host).media(media).octets()
    }

    /// Calls the recipient and waits for the answer.
    async fn call(
        &self,
        callee: &Destination,
        offer: Bytes,
        wake: &mut watch::Receiver<Wake>,
    ) -> Result<Taken, Attempt> {
        let delivery = self.delivery;
        let context = &delivery.context;
        let account = &self.stored.message.account;
        let placed = call::place(
            &delivery.clients,
            &context.dialogs,
            &context.tasks,
            callee,
            |via| {
                let contact = reach::own_contact(via);
                let how = Deferred {
                    via,
                    ..self.how.clone()
                };
                let composer = &context.parts.composer;
                composer.invitation(self.stored, self.request, &how, &contact, offer.clone())
            },
        );
        let mut ringing = placed.await.map_err(|error| {
            tracing::info!(account, %error, "not delivered");
            Attempt::Unreachable
        })?;
        // As long as a proxy would let it ring.
        let patience = context.timers.ringing();
        let mut deadline = tokio::time::Instant::now() + patience;
        loop {
            tokio::select! {
                biased;
                answer = ringing.next() => match answer {
                    Answer::Rings => deadline = tokio::time::Instant::now() + patience,
                    Answer::Taken(taken) => return Ok(*taken),
                    Answer::Nobody => return Err(Attempt::Unreachable),
                    Answer::Declined(response) => {
                        let status = response.status().unwrap_or(500);
                        tracing::info!(account, status, "a session was declined");
                        return Err(match Meaning::of(status) {
                            // It is our description that does not please (RFC 3261 §21.6.4).
                            _ if status == 606 => Attempt::Rejected,
                            Meaning::Refused => Attempt::Refused,
                            Meaning::Absent => Attempt::Unreachable,
                            Meaning::Delivered | Meaning::Rejected => Attempt::Rejected,
                        });
                    }
                },
                changed = wake.changed() => {
                    if changed.is_err() || delivery.has_moved(account, self.binding, self.known).await {
                        return Err(Attempt::Overtaken);
                    }
                }
                () = tokio::time::sleep_until(deadline) => return Err(Attempt::Unreachable),
            }
        }
    }

    /// The MSRP Message-ID of a message: the same however often it has to be sent (RFC 4975 §5.4).
    fn msrp_message_id(&self, part: usize) -> String {
        // FNV-1a over what the record is called here.
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        let id = self.stored.message.message_id.as_bytes();
        for octet in id.iter().chain(&part.to_be_bytes()) {
            hash = (hash ^ u64::from(*octet)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        format!("{hash:016x}{:08x}", self.stored.number)
    }
}

/// An established session.
struct Session<'a, 'w> {
    bringing: &'a Bringing<'a>,
    endpoint: Endpoint,
    /// What we offered as `a=setup`.
    offered: Setup,
    link: Option<Link>,
    /// Whether the connection is one that we made.
    has_connected: bool,
    inside: Membership,
    wake: &'w mut watch::Receiver<Wake>,
    /// A request of the recipient's that is being read.
    refusing: Option<Head>,
    /// Whether the recipient has said BYE.
    is_ended: bool,
}

/// What a session waits for.
enum Happening {
    /// On the connection.
    Msrp(Event),
    /// The recipient said BYE.
    Bye,
    /// The binding is gone.
    Gone,
    /// Nothing, for too long.
    Nothing,
}

impl Session<'_, '_> {
    async fn bring(&mut self, response: &Message, mut parcels: Vec<Parcel>) -> Result<(), Failure> {
        let (answer, fingerprints) = read_answer(response)?;
        let secure = self.endpoint.uri().is_secure();
        let terms = Terms::of(&answer, self.offered, fingerprints, secure)?;
        for parcel in &mut parcels {
            self.fit(parcel, &answer)?;
        }
        let link = match terms.role {
            Role::Active => {
                self.has_connected = true;
                self.connect(&terms).await?
            }
            Role::Passive => self.wait_for_connection().await?,
        };
        self.link = Some(link.clone());
        for (part, parcel) in parcels.iter_mut().enumerate() {
            self.send(part, parcel, &terms, &link).await?;
        }
        Ok(())
    }

    /// Makes the message one that the recipient takes (RFC 4975 §8.6), or says that it cannot be.
    fn fit(&self, parcel: &mut Parcel, answer: &MessageMedia) -> Result<(), Failure> {
        let kind = parcel.media_type();
        if answer.accepts(&kind).is_none() {
            if answer.accepts_wrapped("message/cpim", &kind).is_none() {
                let message = format!("the recipient does not take {kind}");
                return Err(Failure::Unfit(message));
            }
            parcel.wrap(self.bringing.request);
        }
        match answer.max_size {
            Some(most) if parcel.length() > most => Err(Failure::Unfit(format!(
                "the recipient takes {most} octets, not {}",
                parcel.length()
            ))),
            _ => Ok(()),
        }
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(self.bringing.delivery.context.config.msrp.transaction_s)
    }

    async fn connect(&self, terms: &Terms) -> Result<Link, Failure> {
        let hop = terms.path.first();
        let Some(port) = hop.port() else {
            return Err(Failure::Unfit(format!("{hop} names no port")));
        };
        let msrp = &self.bringing.delivery.context.msrp;
        let connecting = msrp.connect(self.endpoint.uri(), hop.host(), port, &terms.security);
        match timeout(self.patience(), connecting).await {
            Ok(Ok(link)) => Ok(link),
            Ok(Err(error)) => Err(Failure::Broken(format!("no connection to {hop}: {error}"))),
            Err(_) => Err(Failure::Broken(format!("no connection to {hop} in time"))),
        }
    }

    /// The recipient connects, and its first SEND, which may be empty, makes the connection ours
    /// (RFC 4975 §5.4).
    async fn wait_for_connection(&mut self) -> Result<Link, Failure> {
        let deadline = Instant::now() + self.patience();
        loop {
            match self.happens(deadline).await {
                Happening::Msrp(Event::Bound(link)) => return Ok(link),
                Happening::Msrp(_) => {}
                other => return Err(other.failure("the recipient did not connect in time")),
            }
        }
    }

    async fn send(
        &mut self,
        part: usize,
        parcel: &mut Parcel,
        terms: &Terms,
        link: &Link,
    ) -> Result<(), Failure> {
        let store = &self.bringing.delivery.context.parts.store;
        let mut outgoing = Outgoing::new(
            terms.path.to_string(),
            self.endpoint.uri().to_string(),
            self.bringing.msrp_message_id(part),
            parcel.fields.clone(),
            parcel.length(),
            self.patience(),
            terms.path.len() > 1,
        );
        loop {
            while let Some(plan) = outgoing.next() {
                let octets = usize::try_from(plan.slice.end - plan.slice.start).unwrap_or(0);
                let content = parcel.read(&**store, plan.slice.start, octets).await;
                let content = content.map_err(|error| Failure::Broken(error.to_string()))?;
                let mut random = [0; 10];
                random.fill_with(|| fastrand::u8(..));
                let frame = outgoing.frame(&plan, content, random, Instant::now());
                let sent = link.send(frame).await;
                sent.map_err(|error| Failure::Broken(error.to_string()))?;
            }
            if outgoing.is_delivered() {
                return Ok(());
            }
            let deadline = outgoing.deadline().unwrap_or_else(Instant::now);
            match self.happens(deadline).await {
                Happening::Msrp(Event::Head(head)) => match heard(&mut outgoing, &head) {
                    Progress::None | Progress::Acknowledged => {}
                    Progress::Refused(status) => return Err(refused(status)),
                },
                Happening::Msrp(Event::Bound(_) | Event::Body(_) | Event::End(_)) => {}
                Happening::Msrp(Event::Lost) if self.is_ended => return Err(Failure::Ended),
                // What was answered before the BYE may still be on its way.
                Happening::Bye if outgoing.is_sent() => {}
                other => return Err(other.failure("the recipient does not answer")),
            }
        }
    }

    /// Waits for what happens next, and does meanwhile what is to be done whatever a session waits for.
    async fn happens(&mut self, deadline: Instant) -> Happening {
        let bringing = self.bringing;
        let account = &bringing.stored.message.account;
        loop {
            // Fairly, so that whoever sends without end is not waited for without end.
            tokio::select! {
                event = self.endpoint.next() => {
                    self.answer_request(&event).await;
                    return Happening::Msrp(event);
                }
                inside = self.inside.next() => {
                    if is_bye(inside) {
                        self.is_ended = true;
                        return Happening::Bye;
                    }
                }
                changed = self.wake.changed() => {
                    let delivery = bringing.delivery;
                    if changed.is_err() || !delivery.still_bound(account, bringing.binding).await {
                        return Happening::Gone;
                    }
                }
                () = tokio::time::sleep_until(deadline.into()) => return Happening::Nothing,
            }
        }
    }

    /// Answers a request of the recipient's at its end: its empty SENDs are fine, its content is not
    /// (we are `sendonly`), and its REPORTs are never answered (RFC 4975 §7.2).
    async fn answer_request(&mut self, event: &Event) {
        match event {
            Event::Bound(link) => self.link = Some(link.clone()),
            Event::Head(head) if head.method().is_some() => self.refusing = Some(head.clone()),
            Event::End(_) => {
                let Some(head) = self.refusing.take() else {
                    return;
                };
                let (status, comment) = match head.method() {
                    Some(Method::Send) if head.has_body() => (403, "Send Only"),
                    Some(Method::Send) => (200, "OK"),
                    _ => (501, "Not Implemented"),
                };
                let response = respond(&head, status, comment, self.endpoint.uri());
                if let (Some(response), Some(link)) = (response, &self.link)
                    && let Err(error) = link.send(response).await
                {
                    tracing::debug!(%error, "a response could not be sent");
                }
            }
            Event::Head(_) | Event::Body(_) | Event::Lost => {}
        }
    }
}

impl Happening {
    /// What it means to somebody who waited for something else.
    fn failure(self, silence: &str) -> Failure {
        match self {
            Self::Bye => Failure::Ended,
            Self::Gone => Failure::Gone,
            Self::Nothing => Failure::Broken(silence.to_owned()),
            Self::Msrp(Event::Lost) => Failure::Broken("the connection broke".to_owned()),
            Self::Msrp(_) => Failure::Broken("the recipient is out of step".to_owned()),
        }
    }
}

/// Takes note of a response or a report. Requests are answered elsewhere.
fn heard(outgoing: &mut Outgoing, head: &Head) -> Progress {
    match head.start() {
        StartLine::Response { status, .. } => outgoing.on_response(head.transaction_id(), status),
        StartLine::Request {
            method: Method::Report,
        } => {
            let status = head.status_header().and_then(Result::ok);
            let range = head.byte_range().and_then(Result::ok);
            match (head.message_id(), status) {
                (Some(id), Some(status)) => outgoing.on_report(id, status.code, range),
                _ => Progress::None,
            }
        }
        StartLine::Request { .. } => Progress::None,
    }
}

/// Answers a request inside the dialog; true when it was the BYE.
fn is_bye(inside: InDialog) -> bool {
    match inside {
        InDialog::Request {
            request, answer, ..
        } => {
            let method = request.method().unwrap_or_default();
            let is_bye = method == "BYE";
            answer.reply(match method {
                "BYE" | "OPTIONS" => Reply::new(200),
                _ => Reply::new(405).with("Allow", "INVITE, ACK, BYE, CANCEL, OPTIONS"),
            });
            is_bye
        }
        InDialog::Invite(ticket) => {
            // The session goes on as agreed (RFC 3261 §14.2).
            ticket.reject(&Reply::new(488));
            false
        }
        InDialog::Ack(_) => false,
    }
}

/// What a refused chunk says about the message, or the session (RFC 4975 §10).
fn refused(status: u16) -> Failure {
    let message = format!("the recipient answered {status} to a SEND");
    match status {
        403 | 413 | 415 => Failure::Unfit(message),
        _ => Failure::Broken(message),
    }
}

/// The message stream of the answer, and the fingerprints, which may stand above it.
fn read_answer(response: &Message) -> Result<(MessageMedia, Vec<Fingerprint>), Failure> {
    let unfit = |why: &str| Failure::Unfit(format!("the answer {why}"));
    let description = Description::parse(response.body_bytes())
        .map_err(|error| unfit(&format!("is no session description: {error}")))?;
    let media = description
        .message()
        .ok_or_else(|| unfit("has no m=message"))?
        .map_err(|error| unfit(&format!("cannot be read: {error}")))?;
    if media.is_rejected() {
        return Err(unfit("refuses the message stream"));
    }
    if !media.direction.receives() {
        return Err(unfit("does not take messages"));
    }
    let own = media.attributes.iter();
    let own = own.map(|(name, value)| (name.as_str(), value.as_deref()));
    let common = description.attributes();
    let fingerprints = own
        .chain(common.map(|attribute| (attribute.name, attribute.value)))
        .filter(|(name, _)| name.eq_ignore_ascii_case("fingerprint"))
        .filter_map(|(_, value)| Fingerprint::parse(value?))
        .collect();
    Ok((media, fingerprints))
}

impl Terms {
    fn of(
        answer: &MessageMedia,
        offered: Setup,
        fingerprints: Vec<Fingerprint>,
        secure: bool,
    ) -> Result<Self, Failure> {
        let unfit = |why: &str| Failure::Unfit(format!("the answer {why}"));
        let path = answer.path.clone().ok_or_else(|| unfit("has no a=path"))?;
        if (answer.protocol == Protocol::Tls) != secure || path.first().is_secure() != secure {
            return Err(unfit("has another transport than the offer"));
        }
        let role = setup::offerer_role(Some(offered), answer.setup)
            .map_err(|conflict| unfit(&format!("does not fit the offer: {conflict}")))?;
        let security = if secure {
            if fingerprints.is_empty() {
                return Err(unfit(
                    "has no fingerprint by which the certificate is known",
                ));
            }
            Security::Tls(fingerprints)
        } else {
            Security::Plain
        };
        Ok(Self {
            path,
            role,
            security,
        })
    }
}
