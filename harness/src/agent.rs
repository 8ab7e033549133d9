//! The user agents of the harness: SIP over UDP, TCP and TLS, MSRP over TCP and TLS, as RFC 3261 and RFC 4975
//! oblige an agent to behave, and nothing besides behind the scenario's back.
//!
//! [`Agents`] are all agents of one case, with the trace that they write together. Each device of a user
//! has sockets of its own, opened when they are first needed. What arrives is noted and decided at once,
//! under one lock (`desk`); what goes out is noted before it goes.

mod call;
mod credentials;
mod desk;
mod dialog;
mod door;
mod endpoint;
mod incoming;
mod message;
pub mod msrp;
mod outgoing;
mod ports;
mod scscf;
mod sdp;
mod secrets;
mod standing;
mod tags;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use imspec_reports::record::trace::{Packet, Protocol};
use imspec_reports::record::{EventKind, Trace};
use imspec_wire::sip::Message;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use crate::evidence::View;
use crate::link::{Dialer, Transport};
use crate::scenario::{Case, CaseUser};
use crate::sut::profile::{Msrp, Standing, Timers};

pub use call::{Call, End};
pub use credentials::{Logins, Shape, Showing, without_own};
pub use desk::{Claim, Desk, Stamp, described};
pub use endpoint::Endpoint;
pub use message::{Draft, Given, with_branch};
pub use outgoing::{Awaited, InSession, Invitation, On};
pub use scscf::Scscf;
pub use sdp::Described;
pub use tags::{branch, call_id, tag};

use credentials::{Conversation, Keyring};
use desk::{Client, ClientKey};
use endpoint::Way;
use standing::ServiceRoutes;

/// Pause between copies that a scenario asks for.
const COPIES: Duration = Duration::from_millis(20);
/// How long ACKs that are due may still take once a case is over.
const PARTING: Duration = Duration::from_secs(1);
/// T2 of RFC 3261 §17.1.2.1 in units of T1: the interval to which retransmissions slow down.
const T2: u32 = 8;

/// What agents need to know of the server and of themselves.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The server, by transport.
    pub targets: BTreeMap<Transport, SocketAddr>,
    /// Makes connections to it, from the address of the agents.
    pub dialer: Dialer,
    /// Time-outs.
    pub timers: Timers,
    /// MSRP of the agents.
    pub msrp: Arc<Msrp>,
    /// Their user names and passwords, where the profile has them.
    pub logins: Option<Arc<Logins>>,
    /// How long a nonce holds, by store time, where that is declared.
    pub nonce_life: Option<Duration>,
    /// Where the agents stand.
    pub standing: Arc<Standing>,
    /// The address at which all of them are found, where they have one.
    pub scscf: Option<Arc<Scscf>>,
}

/// All user agents of one case.
#[derive(Debug, Clone)]
pub struct Agents {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    surroundings: Surroundings,
    desk: Mutex<Desk>,
    /// Something new stands on the desk.
    news: Notify,
    endpoints: tokio::sync::Mutex<HashMap<Place, Arc<Endpoint>>>,
    msrp: msrp::Hub,
    keyring: Keyring,
    service_routes: ServiceRoutes,
}

/// Whose socket.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// Role.
    pub user: String,
    /// Device.
    pub device: String,
    /// Transport.
    pub transport: Transport,
}

/// A request to send.
#[derive(Debug)]
pub struct Outgoing {
    /// Path of the step.
    pub step: String,
    /// The octets.
    pub octets: Bytes,
    /// How often they are sent whatever comes back.
    pub copies: u32,
    /// Whether RFC 3261's retransmissions are sent as well.
    pub retransmit: bool,
    /// How long to wait for a final response.
    pub within: Duration,
    /// Name of the request in the trace.
    pub save: Option<String>,
    /// The next hop, where that is not the server.
    pub hop: Option<SocketAddr>,
    /// The credentials that it shows.
    pub credentials: Showing,
    /// Whether the server is known to want some.
    pub guarded: bool,
    /// The session within which it is sent.
    pub call: Option<Arc<Call>>,
}

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With a final response of this status; the event that holds it.
    Final {
        /// Status code.
        status: u16,
        /// Id of the event.
        event: u32,
    },
    /// Without one.
    Silence,
}

impl Agents {
    /// Agents of a case; no socket is open yet.
    pub fn new(case: Arc<Case>, stamp: Stamp, surroundings: Surroundings) -> Self {
        let shared = Shared {
            msrp: msrp::Hub::new(Arc::clone(&surroundings.msrp), surroundings.dialer.bind()),
            surroundings,
            desk: Mutex::new(Desk::new(case, stamp)),
            news: Notify::new(),
            endpoints: tokio::sync::Mutex::default(),
            keyring: Keyring::default(),
            service_routes: ServiceRoutes::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The desk: trace, transactions, claims.
    pub fn desk(&self) -> MutexGuard<'_, Desk> {
        self.shared.desk()
    }

    /// Writes an event.
    pub fn note(&self, step: Option<&str>, kind: EventKind) -> u32 {
        self.desk().note(step, kind)
    }

    /// Asks the trace.
    pub fn view<T>(&self, ask: impl FnOnce(&View<'_>) -> T) -> T {
        let desk = self.desk();
        ask(&View::new(desk.case(), desk.trace()))
    }

    /// Waits until `wanted` gives something, looking again whenever something new stands on the desk.
    pub async fn until<T>(
        &self,
        deadline: Instant,
        wanted: impl FnMut(&mut Desk) -> Option<T>,
    ) -> Option<T> {
        self.shared.until(deadline, wanted).await
    }

    /// When something last came of a message that a user is still receiving through a session.
    pub fn arriving(&self, user: &str) -> Option<Instant> {
        let sessions = self.shared.msrp.all().into_iter();
        sessions
            .filter(|session| session.owner().user == user)
            .filter_map(|session| session.arriving())
            .max()
    }

    /// What carries a request that wants a connection: TCP where the server is reached over it, else TLS, else WebSocket.
    /// Any other transport is itself.
    pub fn carried_by(&self, transport: Transport) -> Transport {
        if transport != Transport::Tcp {
            return transport;
        }
        let own = [
            Transport::Tcp,
            Transport::Tls,
            Transport::Wss,
            Transport::Ws,
        ];
        let targets = &self.shared.surroundings.targets;
        let carrier = own.into_iter().find(|own| targets.contains_key(own));
        carrier.unwrap_or(transport)
    }

    /// The socket of a device, opened now if it is not yet.
    pub async fn endpoint(
        &self,
        user: &CaseUser,
        device: &str,
        transport: Transport,
    ) -> Result<Arc<Endpoint>, String> {
        let place = Place {
            user: user.role.clone(),
            device: device.to_owned(),
            transport,
        };
        let mut endpoints = self.shared.endpoints.lock().await;
        if let Some(endpoint) = endpoints.get(&place) {
            return Ok(Arc::clone(endpoint));
        }
        let target = self.shared.surroundings.targets.get(&transport).copied();
        let target = target.ok_or_else(|| self.lacks(transport))?;
        let inbox = Inbox {
            shared: Arc::downgrade(&self.shared),
            place: place.clone(),
        };
        let endpoint = Endpoint::open(
            place.clone(),
            &user.name,
            self.shared.surroundings.dialer.clone(),
            target,
            inbox,
        )
        .await?;
        let endpoint = Arc::new(endpoint);
        if let Some(scscf) = &self.shared.surroundings.scscf {
            scscf.enroll(user, endpoint.own());
        }
        endpoints.insert(place, Arc::clone(&endpoint));
        Ok(endpoint)
    }

    /// Why nothing can be sent over a transport.
    fn lacks(&self, wanted: Transport) -> String {
        let targets = &self.shared.surroundings.targets;
        let own: Vec<_> = targets.keys().map(|own| own.as_str()).collect();
        let (own, wanted) = (own.join(" and "), wanted.as_str());
        format!(
            "this is about {wanted}, and the profile reaches the server over {own} alone: give `pixit.target.{wanted}`, too, if \
             the server has it"
        )
    }

    /// A device gets another address, and is found at the old one no more.
    pub async fn moves(&self, user: &str, device: &str) {
        let mut endpoints = self.shared.endpoints.lock().await;
        endpoints.retain(|place, endpoint| {
            let stays = place.user != user || place.device != device;
            if !stays {
                endpoint.close();
            }
            stays
        });
    }

    /// Sends a request and waits for its final response. A challenge is answered, and the request goes out again
    /// (RFC 3261 §22.2).
    pub async fn transact(
        &self,
        endpoint: &Arc<Endpoint>,
        mut out: Outgoing,
    ) -> Result<Ending, String> {
        let mut conversation = Conversation::begin(
            &self.shared,
            &endpoint.place().user,
            std::mem::take(&mut out.credentials),
            out.octets.clone(),
            out.call.clone(),
        );
        if out.guarded {
            self.ask_beforehand(endpoint, &mut conversation, out.within)
                .await;
        }
        loop {
            out.octets = conversation.octets();
            let ending = self.once(endpoint, &out, &conversation).await?;
            if let Ending::Final { event, .. } = ending
                && let Some(response) = self.response(event)
                && conversation.goes_again(&response)
            {
                continue;
            }
            if let Ending::Final { event, .. } = ending
                && out.octets.starts_with(b"REGISTER ")
                && let Some(response) = self.response(event)
            {
                let user = &endpoint.place().user;
                self.shared.service_routes.learn(user, &response);
            }
            return Ok(ending);
        }
    }

    /// Where the server is known to challenge, and no challenge is at hand: asks for one, so that the request of
    /// the scenario goes out once, and as the scenario has it. A REGISTER without Contact changes nothing, and a
    /// MESSAGE without credentials gets no further than the challenge.
    async fn ask_beforehand(
        &self,
        endpoint: &Arc<Endpoint>,
        conversation: &mut Conversation,
        within: Duration,
    ) {
        let Some((method, uri, address)) = conversation.asks_beforehand() else {
            return;
        };
        let own = vec![
            ("Via", endpoint.via()),
            ("Max-Forwards", "70".to_owned()),
            ("From", format!("<{address}>;tag={}", tag())),
            ("To", format!("<{address}>")),
            ("Call-ID", call_id()),
            ("CSeq", format!("1 {method}")),
        ];
        let out = Outgoing {
            step: String::new(),
            octets: Draft::new(method, uri, own).octets(),
            copies: 1,
            retransmit: true,
            within,
            save: None,
            hop: None,
            credentials: Showing::None,
            guarded: false,
            call: None,
        };
        let text = format!("a {method} without credentials asks for a challenge beforehand");
        self.note(None, EventKind::Note { text });
        let bare = Conversation::begin(
            &self.shared,
            &endpoint.place().user,
            Showing::None,
            out.octets.clone(),
            None,
        );
        if let Ok(Ending::Final { event, .. }) = self.once(endpoint, &out, &bare).await
            && let Some(response) = self.response(event)
        {
            conversation.learn(&response);
        }
    }

    /// The highest `CSeq` number that a request of that Call-ID took because it went out again.
    pub fn number_of(&self, call_id: &str) -> u32 {
        self.shared.keyring.number_of(call_id)
    }

    /// Whether the request of an event went out with credentials of ours.
    pub fn has_shown(&self, event: u32) -> bool {
        self.shared.keyring.has_shown(event)
    }

    /// The message that arrived as an event.
    pub fn response(&self, event: u32) -> Option<Message> {
        let desk = self.desk();
        let event = desk.trace().events.get(event as usize)?;
        crate::evidence::message_of(event)
    }

    /// One transaction (RFC 3261 §17.1.2).
    async fn once(
        &self,
        endpoint: &Arc<Endpoint>,
        out: &Outgoing,
        conversation: &Conversation,
    ) -> Result<Ending, String> {
        let way = endpoint.way_to(out.hop).await?;
        let key = ClientKey::of(&out.octets, endpoint.place());
        {
            let mut desk = self.desk();
            desk.expect_answer(key.clone(), Client::new(&out.step));
            let sent = desk.note(
                Some(&out.step),
                EventKind::Sent(endpoint.packet(&way, &out.octets, false)),
            );
            if let Some(name) = out.save.clone() {
                desk.note(Some(&out.step), EventKind::Saved { name, event: sent });
            }
            drop(desk);
            conversation.sent(sent);
        }
        let begun = Instant::now();
        let deadline = begun + out.within;
        self.post(endpoint, &way, &out.step, &out.octets).await;
        for _ in 1..out.copies {
            sleep(COPIES).await;
            self.again(endpoint, out).await;
        }
        let t1 = self.shared.surroundings.timers.t1;
        let mut interval = t1;
        let mut next = begun + t1;
        let over_udp = endpoint.place().transport == Transport::Udp;
        loop {
            let wake = if over_udp && out.retransmit {
                next.min(deadline)
            } else {
                deadline
            };
            let answer = self.until(wake, |desk| desk.answer(&key)).await;
            if let Some((event, status)) = answer {
                return Ok(Ending::Final { status, event });
            }
            let now = Instant::now();
            if now >= deadline {
                if way.is_closed() {
                    let text = format!(
                        "the connection to {} was closed before the answer came",
                        way.remote()
                    );
                    self.note(Some(&out.step), EventKind::Note { text });
                }
                return Ok(Ending::Silence);
            }
            // A response may have come in while the copies went out.
            if now >= next {
                self.again(endpoint, out).await;
                // Once the server says that it is at work, it is reminded every T2 only.
                interval = if self.desk().proceeding(&key) {
                    t1 * T2
                } else {
                    (interval * 2).min(t1 * T2)
                };
                next = now + interval;
            }
        }
    }

    /// Ends the sessions that still stand, without a word in the trace: the case is over.
    pub async fn leave(&self) {
        let deadline = Instant::now() + PARTING;
        self.until(deadline, |desk| (!desk.owes()).then_some(()))
            .await;
        let (trace, calls) = {
            let mut desk = self.desk();
            (desk.take_trace(), desk.standing_calls())
        };
        for call in calls {
            let out = InSession {
                step: String::new(),
                given: Vec::new(),
                within: PARTING,
                save: None,
            };
            // Whoever is gone already has ended it, too.
            let _ = self.request_within(&call, "BYE", out).await;
            self.hang_up(&call).await;
        }
        self.desk().put_trace(trace);
    }

    /// Closes all sockets and gives the trace away.
    pub async fn finish(self) -> Trace {
        // What came last may be acknowledged just now.
        let deadline = Instant::now() + PARTING;
        self.until(deadline, |desk| (!desk.owes()).then_some(()))
            .await;
        if let Some(scscf) = &self.shared.surroundings.scscf {
            scscf.dismiss(&self.desk().case().users);
        }
        let endpoints = std::mem::take(&mut *self.shared.endpoints.lock().await);
        for endpoint in endpoints.into_values() {
            endpoint.close();
        }
        self.shared.msrp.close();
        for session in self.shared.msrp.all() {
            msrp::unfinished(&self.shared, &session);
        }
        self.desk().take_trace()
    }

    async fn again(&self, endpoint: &Arc<Endpoint>, out: &Outgoing) {
        match endpoint.way_to(out.hop).await {
            Ok(way) => {
                self.note(
                    Some(&out.step),
                    EventKind::Sent(endpoint.packet(&way, &out.octets, true)),
                );
                self.post(endpoint, &way, &out.step, &out.octets).await;
            }
            Err(why) => drop(self.note(Some(&out.step), EventKind::Note { text: why })),
        }
    }

    async fn post(&self, endpoint: &Arc<Endpoint>, way: &Way, step: &str, octets: &Bytes) {
        if let Err(why) = endpoint.send(way, octets).await {
            self.note(
                Some(step),
                EventKind::Note {
                    text: format!("could not be sent: {why}"),
                },
            );
        }
    }
}

impl Shared {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn until<T>(
        &self,
        deadline: Instant,
        mut wanted: impl FnMut(&mut Desk) -> Option<T>,
    ) -> Option<T> {
        loop {
            let mut news = std::pin::pin!(self.news.notified());
            // Enrolled before looking, so that nothing is missed in between.
            news.as_mut().enable();
            if let Some(found) = wanted(&mut self.desk()) {
                return Some(found);
            }
            tokio::select! {
                () = news => {}
                () = sleep_until(deadline) => return wanted(&mut self.desk()),
            }
        }
    }
}

/// Where an endpoint puts what arrives.
#[derive(Debug, Clone)]
pub struct Inbox {
    shared: std::sync::Weak<Shared>,
    place: Place,
}

impl Inbox {
    /// Takes octets that arrived at an endpoint: notes them, and answers requests.
    fn take(&self, endpoint: &Arc<endpoint::Core>, way: &Way, octets: &Bytes) {
        let Some(shared) = self.shared.upgrade() else {
            return;
        };
        let packet = endpoint.packet(way, octets, false);
        let replies = shared.desk().arrived(&self.place, packet, way.remote());
        shared.news.notify_waiters();
        for reply in replies {
            tokio::spawn(incoming::reply(
                Arc::clone(&shared),
                Arc::clone(endpoint),
                way.clone(),
                reply,
            ));
        }
    }

    /// Notes something about an endpoint that is no message.
    fn remark(&self, text: String) {
        if let Some(shared) = self.shared.upgrade() {
            shared.desk().note(None, EventKind::Note { text });
            shared.news.notify_waiters();
        }
    }
}

/// A number of octets as a scenario writes it.
fn octets(text: &str) -> Option<u64> {
    crate::scenario::octets::parse_size(text)
}

/// A packet as the trace keeps it.
fn packet(
    place: &Place,
    transport: Transport,
    local: SocketAddr,
    remote: SocketAddr,
    octets: &Bytes,
    retransmission: bool,
) -> Packet {
    Packet {
        user: place.user.clone(),
        device: place.device.clone(),
        protocol: Protocol::Sip,
        transport: transport.as_str().to_owned(),
        local: local.to_string(),
        remote: remote.to_string(),
        octets: octets.clone().into(),
        elided: None,
        retransmission,
    }
}
