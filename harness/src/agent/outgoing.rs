//! Calls that a scenario makes: INVITE with its own transaction (RFC 3261 §17.1.1), CANCEL, requests within
//! a session, and what is sent through it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use imspec_reports::record::EventKind;
use imspec_wire::sip::Message;
use tokio::time::{Instant, sleep};

use super::call::{Call, End, Inviting};
use super::credentials::{Conversation, Showing};
use super::desk::{Calling, Client, ClientKey};
use super::dialog::Dialog;
use super::message::{self, Draft, Given};
use super::msrp::{self, Conduct, Owner, Shipment, Shipped};
use super::sdp::Described;
use super::{Agents, COPIES, Ending, Endpoint, Outgoing, Place, Shared, incoming};
use crate::scenario::model::Until;

/// An INVITE to send.
#[derive(Debug)]
pub struct Invitation {
    /// Path of the step.
    pub step: String,
    /// The octets.
    pub octets: Bytes,
    /// How often they are sent whatever comes back.
    pub copies: u32,
    /// Whether a 2xx is acknowledged.
    pub acknowledge: bool,
    /// Whether it is one within the session.
    pub again: bool,
    /// Name of the request in the trace.
    pub save: Option<String>,
    /// The next hop, where that is not the server.
    pub hop: Option<SocketAddr>,
    /// The credentials that it shows.
    pub credentials: Showing,
    /// Whether the server is known to want some.
    pub guarded: bool,
}

/// What has come back for an INVITE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// It is out, and that is all.
    Sent,
    /// A provisional response.
    Provisional,
    /// The final one.
    Final {
        /// Status code.
        status: u16,
        /// Id of the event.
        event: u32,
    },
    /// Nothing in time.
    Silence,
}

impl Agents {
    /// A session that a user is about to open; its listener is open.
    pub async fn open_session(
        &self,
        endpoint: &Endpoint,
        described: Described,
    ) -> Result<Arc<Call>, String> {
        let place = endpoint.place().clone();
        let owner = Owner {
            user: place.user.clone(),
            device: place.device.clone(),
        };
        let secure = described
            .connection
            .as_deref()
            .map(|connection| connection.eq_ignore_ascii_case("tls"));
        let session = msrp::open(&self.shared, owner, secure, Conduct::default()).await?;
        Ok(Arc::new(Call::new(place, session, described)))
    }

    /// Sends an INVITE and waits for as much as is wanted. A challenge is answered, and the INVITE goes out again
    /// (RFC 3261 §22.2). What comes back is dealt with as it comes, whether or not anybody waits for it.
    pub async fn invite(
        &self,
        endpoint: &Arc<Endpoint>,
        call: &Arc<Call>,
        mut out: Invitation,
        until: Until,
        within: Duration,
    ) -> Result<Awaited, String> {
        let mut conversation = Conversation::begin(
            &self.shared,
            &endpoint.place().user,
            std::mem::take(&mut out.credentials),
            out.octets.clone(),
            out.again.then(|| Arc::clone(call)),
        );
        if out.guarded {
            self.ask_beforehand(endpoint, &mut conversation, within)
                .await;
        }
        loop {
            let deadline = Instant::now() + within;
            out.octets = conversation.octets();
            let calling = self
                .invite_once(endpoint, call, &out, &conversation)
                .await?;
            let provisional = match until {
                Until::Sent => return Ok(Awaited::Sent),
                Until::Provisional => true,
                Until::Final => false,
            };
            let awaited = self.answer_to(&calling, provisional, deadline).await;
            let Awaited::Final { status, event } = awaited else {
                return Ok(awaited);
            };
            if let Some(response) = self.response(event)
                && conversation.goes_again(&response)
            {
                continue;
            }
            if matches!(status, 401 | 407) && !out.again {
                call.end(End::Remote);
            }
            return Ok(awaited);
        }
    }

    /// Sends one INVITE.
    async fn invite_once(
        &self,
        endpoint: &Arc<Endpoint>,
        call: &Arc<Call>,
        out: &Invitation,
        conversation: &Conversation,
    ) -> Result<Transaction, String> {
        let request = Message::parse(out.octets.clone())
            .map_err(|e| format!("the INVITE of this step is no SIP message: {e}"))?;
        let way = endpoint.way_to(out.hop).await?;
        let key = ClientKey::of(&out.octets, endpoint.place());
        {
            let mut desk = self.desk();
            let calling = Calling {
                call: Arc::clone(call),
                request: request.clone(),
                endpoint: Arc::clone(endpoint),
                acknowledge: out.acknowledge,
                again: out.again,
                may_go_again: conversation.may_answer(),
            };
            desk.expect_answer(key.clone(), Client::inviting(&out.step, calling));
            let kind = EventKind::Sent(endpoint.packet(&way, &out.octets, false));
            let sent = desk.note(Some(&out.step), kind);
            if let Some(name) = out.save.clone() {
                desk.note(Some(&out.step), EventKind::Saved { name, event: sent });
            }
            if !out.again {
                call.media.set_invite(sent);
                call.calling(Inviting {
                    request,
                    endpoint: Arc::clone(endpoint),
                    key: key.clone(),
                });
            }
            desk.join(sent, call);
            drop(desk);
            conversation.sent(sent);
        }
        self.post(endpoint, &way, &out.step, &out.octets).await;
        let again = Outgoing {
            step: out.step.clone(),
            octets: out.octets.clone(),
            copies: out.copies,
            retransmit: true,
            within: Duration::ZERO,
            save: None,
            hop: out.hop,
            credentials: Showing::None,
            guarded: false,
            call: None,
        };
        for _ in 1..again.copies {
            sleep(COPIES).await;
            self.again(endpoint, &again).await;
        }
        let task = tokio::spawn(insist(
            Arc::downgrade(&self.shared),
            Arc::clone(endpoint),
            key.clone(),
            again,
        ));
        self.shared.msrp.keep(&[task.abort_handle()]);
        Ok(Transaction(key))
    }

    /// Waits for what comes back for an INVITE: the final response, or the first provisional one if that is
    /// enough.
    async fn answer_to(
        &self,
        calling: &Transaction,
        provisional: bool,
        deadline: Instant,
    ) -> Awaited {
        let found = self.until(deadline, |desk| match desk.answer(&calling.0) {
            Some((event, status)) => Some(Awaited::Final { status, event }),
            None if provisional && desk.proceeding(&calling.0) => Some(Awaited::Provisional),
            None => None,
        });
        found.await.unwrap_or(Awaited::Silence)
    }

    /// Cancels an INVITE that has no final response yet, and waits for both responses.
    pub async fn cancel(
        &self,
        call: &Call,
        step: &str,
        given: &[Given],
        within: Duration,
    ) -> Result<Ending, String> {
        let inviting = call
            .inviting()
            .ok_or("no INVITE of ours opens this session")?;
        let deadline = Instant::now() + within;
        let out = Outgoing {
            step: step.to_owned(),
            octets: message::cancellation(&inviting.request, given),
            copies: 1,
            retransmit: true,
            within,
            save: None,
            hop: None,
            // RFC 3261 §22.1: nobody may ask for any.
            credentials: Showing::None,
            guarded: false,
            call: None,
        };
        let ending = self.transact(&inviting.endpoint, out).await?;
        self.until(deadline, |desk| desk.answer(&inviting.key))
            .await;
        Ok(ending)
    }

    /// Sends a request within a session, and waits for its final response.
    pub async fn request_within(
        &self,
        call: &Arc<Call>,
        method: &str,
        out: InSession,
    ) -> Result<Ending, String> {
        self.shared.request_within(call, method, out).await
    }

    /// Octets of a request within a session, to be sent by [`Self::invite`]: re-INVITE.
    pub async fn draft_within(
        &self,
        call: &Arc<Call>,
        method: &str,
    ) -> Result<(Arc<Endpoint>, Option<SocketAddr>, Draft), String> {
        self.shared.draft(call, method).await
    }

    /// A session was ended by BYE of ours.
    pub async fn hang_up(&self, call: &Arc<Call>) {
        call.end(End::Own);
        incoming::over(&self.shared, call).await;
    }

    /// Sends through a session, on the connection that the scenario wants.
    pub async fn ship(
        &self,
        shipment: Shipment,
        on: On,
        within: Duration,
    ) -> Result<Shipped, String> {
        let step = shipment.step.clone();
        let session = Arc::clone(&shipment.session);
        let connection = match on {
            On::Same => msrp::connection(&self.shared, &session, Some(&step), within).await?,
            On::New => msrp::dial(&self.shared, &session, Some(&step)).await?,
            On::Of(other) => msrp::connection(&self.shared, &other, Some(&step), within).await?,
        };
        Ok(msrp::ship(&self.shared, &connection, shipment).await)
    }

    /// What a step that sent through a session stands for: the event that its name names.
    pub fn shipped(&self, shipped: &Shipped, save: Option<String>) -> Option<u32> {
        shipped.rest();
        let mut desk = self.desk();
        let event = shipped.close(&mut desk)?;
        if let Some(name) = save {
            desk.note(Some(shipped.step()), EventKind::Saved { name, event });
            desk.look_again();
        }
        drop(desk);
        self.shared.news.notify_waiters();
        Some(event)
    }
}

/// The transaction of an INVITE.
#[derive(Debug)]
struct Transaction(ClientKey);

/// On which connection a step sends.
#[derive(Debug, Clone)]
pub enum On {
    /// The session's.
    Same,
    /// A new one to the same place.
    New,
    /// That of another session.
    Of(Arc<msrp::Session>),
}

/// A request within a session.
#[derive(Debug, Default)]
pub struct InSession {
    /// Path of the step; empty where there is none.
    pub step: String,
    /// Header fields that the scenario gives.
    pub given: Vec<Given>,
    /// How long to wait for a final response.
    pub within: Duration,
    /// Name of the request in the trace.
    pub save: Option<String>,
}

/// Sends an INVITE again, T1, 2·T1, 4·T1 … apart, until anything comes back or 64·T1 are over (RFC 3261
/// §17.1.1.2). Over TCP once is enough.
async fn insist(
    shared: std::sync::Weak<Shared>,
    endpoint: Arc<Endpoint>,
    key: ClientKey,
    out: Outgoing,
) {
    let Some(strong) = shared.upgrade() else {
        return;
    };
    let agents = Agents { shared: strong };
    if endpoint.place().transport != crate::sut::profile::Transport::Udp {
        return;
    }
    let t1 = agents.shared.surroundings.timers.t1;
    let begun = Instant::now();
    let mut interval = t1;
    loop {
        let wake = Instant::now() + interval;
        let heard = agents
            .until(wake, |desk| desk.is_heard(&key).then_some(()))
            .await;
        if heard.is_some() || begun.elapsed() >= t1 * 64 {
            return;
        }
        agents.again(&endpoint, &out).await;
        interval *= 2;
    }
}

impl Shared {
    /// Ends a session by BYE, unless it has ended.
    pub(super) fn bye_of(self: &Arc<Self>, invite: u32) {
        let Some(call) = self.desk().call(invite) else {
            return;
        };
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            if !call.end(End::Own) {
                return;
            }
            let out = InSession {
                within: shared.surroundings.timers.answer,
                ..InSession::default()
            };
            if let Err(why) = shared.request_within(&call, "BYE", out).await {
                shared.desk().note(None, EventKind::Note { text: why });
            }
            incoming::over(&shared, &call).await;
        });
    }

    async fn request_within(
        self: &Arc<Self>,
        call: &Arc<Call>,
        method: &str,
        out: InSession,
    ) -> Result<Ending, String> {
        let (endpoint, hop, draft) = self.draft(call, method).await?;
        let out = Outgoing {
            step: out.step,
            octets: draft.given(out.given).octets(),
            copies: 1,
            retransmit: true,
            within: out.within,
            save: out.save,
            hop,
            credentials: Showing::Own,
            guarded: false,
            call: Some(Arc::clone(call)),
        };
        let agents = Agents {
            shared: Arc::clone(self),
        };
        agents.transact(&endpoint, out).await
    }

    /// The next request of a session, with the header fields that the harness writes.
    async fn draft(
        self: &Arc<Self>,
        call: &Arc<Call>,
        method: &str,
    ) -> Result<(Arc<Endpoint>, Option<SocketAddr>, Draft), String> {
        let (dialog, number) = call
            .next_request()
            .ok_or("the session does not stand: there is no dialog")?;
        let known = self.endpoints.lock().await.get(&call.place).cloned();
        let known = known.ok_or("the socket of the session is closed")?;
        let (endpoint, hop) = self.endpoint_for(&call.place, &known, &dialog).await?;
        let own = dialog.headers(endpoint.via(), method, number);
        let draft = Draft::new(method, dialog.request_uri(), own);
        Ok((endpoint, hop, draft))
    }

    /// The socket from which a request of a dialog goes, and where to: another transport than that of the
    /// INVITE where the other end says so.
    pub(super) async fn endpoint_for(
        self: &Arc<Self>,
        place: &Place,
        usual: &Arc<Endpoint>,
        dialog: &Dialog,
    ) -> Result<(Arc<Endpoint>, Option<SocketAddr>), String> {
        let Some((transport, hop)) = dialog.hop() else {
            return Ok((Arc::clone(usual), None));
        };
        // Where a URI says nothing, what the two have spoken so far is right.
        let own = usual.place().transport;
        let transport = transport.unwrap_or(own);
        if transport == own || own.is_websocket() {
            return Ok((Arc::clone(usual), Some(hop)));
        }
        let user = self
            .desk()
            .case()
            .users
            .iter()
            .find(|user| user.role == place.user)
            .cloned()
            .ok_or_else(|| format!("the case has no user `{}`", place.user))?;
        let agents = Agents {
            shared: Arc::clone(self),
        };
        let endpoint = agents.endpoint(&user, &place.device, transport).await?;
        Ok((endpoint, Some(hop)))
    }
}
