//! What an agent does about a request of the SUT once the desk has decided: answers it, and keeps up what
//! that begins. A 2xx to an INVITE goes out again and again until it is acknowledged, and the session that
//! it accepts is connected (RFC 3261 §13.3.1.4, RFC 4975 §5.4).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use imspec_reports::record::EventKind;
use imspec_wire::sdp::Role;
use imspec_wire::sip::Message;
use imspec_wire::sip::typed::CSeq;
use tokio::time::{Instant, sleep};

use super::call::{Call, End};
use super::credentials::Showing;
use super::desk::{Accepted, Invited, Reply};
use super::dialog::Dialog;
use super::endpoint::{Core, Way};
use super::message::{self, Given};
use super::msrp::Owner;
use super::sdp::Remote;
use super::{Agents, Endpoint, Outgoing, Shared, T2, msrp as media};

/// An INVITE that is not answered within this time gets a 100 (RFC 3261 §17.2.1).
const TRYING: Duration = Duration::from_millis(200);

/// Does what the desk has decided.
pub(super) async fn reply(shared: Arc<Shared>, endpoint: Arc<Core>, way: Way, reply: Reply) {
    match reply {
        Reply::Again { octets, to } => {
            let way = way.towards(to);
            send(&shared, &endpoint, &way, &octets, None, true).await;
        }
        Reply::TurnAway { octets, to } => {
            // Whether it arrives is nobody's concern here.
            let _ = endpoint.send(&way.towards(to), &octets).await;
        }
        Reply::Answer {
            octets,
            after,
            key,
            to,
            ends,
        } => {
            let way = way.towards(to);
            // Even a sleep of nothing lasts until the next millisecond.
            if !after.is_zero() {
                sleep(after).await;
            }
            shared
                .desk()
                .answered(&key, endpoint.packet(&way, &octets, false));
            complain(&shared, endpoint.send(&way, &octets).await);
            shared.news.notify_waiters();
            if let Some(call) = ends {
                // What the relay has acknowledged may come later than a BYE that goes another way.
                if call.media.is_relayed() {
                    sleep(shared.surroundings.timers.quiet).await;
                }
                over(&shared, &call).await;
            }
        }
        Reply::Reset { key } => {
            way.reset();
            shared.desk().dismissed(&key);
            shared.news.notify_waiters();
        }
        Reply::Acknowledge {
            octets,
            step,
            again,
            key,
        } => {
            send(&shared, &endpoint, &way, &octets, Some(&step), again).await;
            shared.desk().acknowledgement_done(&key);
            shared.news.notify_waiters();
        }
        Reply::Accepted(accepted) => {
            let key = accepted.key.clone();
            shared.acknowledge(*accepted).await;
            shared.desk().acknowledgement_done(&key);
            shared.news.notify_waiters();
        }
        Reply::Invited(invited) => answer(&shared, &endpoint, &way, *invited).await,
    }
}

async fn send(
    shared: &Shared,
    endpoint: &Core,
    way: &Way,
    octets: &Bytes,
    step: Option<&str>,
    again: bool,
) {
    shared
        .desk()
        .note(step, EventKind::Sent(endpoint.packet(way, octets, again)));
    complain(shared, endpoint.send(way, octets).await);
}

fn complain(shared: &Shared, sent: Result<(), String>) {
    if let Err(why) = sent {
        let text = format!("the answer could not be sent: {why}");
        shared.desk().note(None, EventKind::Note { text });
    }
}

/// A session is over: its connection is closed, and who waited for its message waits no more.
pub(super) async fn over(shared: &Arc<Shared>, call: &Arc<Call>) {
    media::close(shared, &call.media).await;
    shared.desk().session_over(call.media.invite());
    shared.news.notify_waiters();
}

/// Answers an INVITE.
async fn answer(shared: &Arc<Shared>, endpoint: &Arc<Core>, way: &Way, invited: Invited) {
    let way = way.towards(invited.to);
    if invited.after >= TRYING {
        let octets = message::answer(&invited.request, 100, &[], invited.from);
        send(shared, endpoint, &way, &octets, None, false).await;
    }
    // Who cancels meanwhile is answered at once.
    let deadline = Instant::now() + invited.after;
    let cancelled = shared
        .until(deadline, |desk| {
            desk.is_cancelled(&invited.key).then_some(())
        })
        .await;
    if cancelled.is_none() && invited.status / 100 == 2 {
        match accept(shared, endpoint, &invited).await {
            Ok((octets, dialog, call)) => {
                return accepted(shared, endpoint, &way, &invited, octets, dialog, call).await;
            }
            Err(why) => {
                let text = format!("the session cannot be accepted: {why}");
                shared.desk().note(None, EventKind::Note { text });
                return refuse(shared, endpoint, &way, &invited, 488).await;
            }
        }
    }
    let status = if cancelled.is_some() {
        487
    } else {
        invited.status
    };
    refuse(shared, endpoint, &way, &invited, status).await;
}

/// Sends a final response that is no 2xx, over UDP again and again until the ACK is there (RFC 3261
/// §17.2.1).
async fn refuse(
    shared: &Arc<Shared>,
    endpoint: &Arc<Core>,
    way: &Way,
    invited: &Invited,
    status: u16,
) {
    let octets = message::answer(&invited.request, status, &invited.headers, invited.from);
    shared
        .desk()
        .answered(&invited.key, endpoint.packet(way, &octets, false));
    if let Some(call) = invited.call.as_ref().filter(|_| status == 481) {
        call.end(End::Remote);
    }
    shared.desk().session_over(invited.event);
    complain(shared, endpoint.send(way, &octets).await);
    shared.news.notify_waiters();
    if way.is_udp() {
        until_acked(shared, endpoint, way, invited, None, &octets).await;
    }
}

/// Makes the 2xx: with the answer to the offer, or the same description as before within a session.
async fn accept(
    shared: &Arc<Shared>,
    endpoint: &Arc<Core>,
    invited: &Invited,
) -> Result<(Bytes, Dialog, Arc<Call>), String> {
    let offer = invited.request.body();
    let (call, description) = match &invited.call {
        Some(call) => {
            call.refresh(&invited.request);
            let own = call.own_sdp();
            let own = own.ok_or("the session has no description of ours")?;
            (Arc::clone(call), own)
        }
        None => {
            let call = opened(shared, endpoint, invited).await?;
            let description = call.answer(offer)?;
            (call, description)
        }
    };
    let mut headers = invited.headers.clone();
    let has = |name: &str| {
        invited
            .headers
            .iter()
            .any(|given| given.name.trim().eq_ignore_ascii_case(name))
    };
    let mut own = |name: &str, value: String| {
        if !has(name) {
            headers.push(Given {
                name: name.to_owned(),
                values: vec![value.into_bytes()],
            });
        }
    };
    own("Contact", format!("<{}>", endpoint.contact()));
    own("Content-Type", "application/sdp".into());
    let request = &invited.request;
    // The route set is that of the request (RFC 3261 §12.1.1).
    for route in request.headers_named("Record-Route") {
        headers.push(Given {
            name: route.name().to_owned(),
            values: vec![route.value().trim_ascii().to_vec()],
        });
    }
    let octets = message::answer_with(request, invited.status, &headers, invited.from, description);
    let dialog = Message::parse(octets.clone())
        .ok()
        .and_then(|response| Dialog::of_callee(request, &response))
        .ok_or("the INVITE lacks From or Call-ID")?;
    Ok((octets, dialog, call))
}

/// The session of an INVITE that opens one.
async fn opened(
    shared: &Arc<Shared>,
    endpoint: &Arc<Core>,
    invited: &Invited,
) -> Result<Arc<Call>, String> {
    let place = endpoint.place().clone();
    let offer = invited.request.body_bytes();
    let secure = match invited.described.connection.as_deref() {
        Some(connection) => Some(connection.eq_ignore_ascii_case("tls")),
        None if offer.is_empty() => None,
        None => Some(Remote::read(offer)?.secure),
    };
    let owner = Owner {
        user: place.user.clone(),
        device: place.device.clone(),
    };
    let session = media::open(shared, owner, secure, invited.conduct).await?;
    session.set_invite(invited.event);
    Ok(Arc::new(Call::new(
        place,
        session,
        invited.described.clone(),
    )))
}

/// The session stands once the 2xx is out.
async fn accepted(
    shared: &Arc<Shared>,
    endpoint: &Arc<Core>,
    way: &Way,
    invited: &Invited,
    octets: Bytes,
    dialog: Dialog,
    call: Arc<Call>,
) {
    call.confirm(dialog.clone());
    let stands = {
        let mut desk = shared.desk();
        // A CANCEL may have come while the listener was opened.
        let stands = !desk.is_cancelled(&invited.key);
        if stands {
            desk.join(invited.event, &call);
            desk.answered(&invited.key, endpoint.packet(way, &octets, false));
        }
        stands
    };
    if !stands {
        return refuse(shared, endpoint, way, invited, 487).await;
    }
    complain(shared, endpoint.send(way, &octets).await);
    shared.news.notify_waiters();
    let dialog = match call.dialog() {
        Some(own) => own,
        None => dialog,
    };
    if !until_acked(shared, endpoint, way, invited, Some(&dialog), &octets).await {
        // RFC 3261 §13.3.1.4: without ACK the session should be ended.
        if call.ended().is_none() && invited.call.is_none() {
            let text = "no ACK came for the 2xx; the session is ended by BYE".to_owned();
            shared.desk().note(None, EventKind::Note { text });
            shared.bye_of(invited.event);
        }
        return;
    }
    let connects = invited.call.is_none()
        && call.media.role() == Some(Role::Active)
        && !invited.conduct.never_connects;
    let within = shared.surroundings.timers.answer;
    if connects && let Err(why) = media::greet(shared, &call.media, within).await {
        shared.desk().note(None, EventKind::Note { text: why });
    }
}

/// Sends a final response to an INVITE again and again, at T1, 2·T1 … T2, until it is acknowledged; whether
/// it was within 64·T1.
async fn until_acked(
    shared: &Arc<Shared>,
    endpoint: &Core,
    way: &Way,
    invited: &Invited,
    dialog: Option<&Dialog>,
    octets: &Bytes,
) -> bool {
    let t1 = shared.surroundings.timers.t1;
    let number = invited
        .request
        .typed::<CSeq>()
        .and_then(Result::ok)
        .map_or(0, |sequence| sequence.number);
    let id = dialog.map(|dialog| (dialog.id(), number));
    let begun = Instant::now();
    let mut interval = t1;
    loop {
        let wake = Instant::now() + interval;
        let acked = shared
            .until(wake, |desk| desk.is_acked(&invited.key, id).then_some(()))
            .await;
        if acked.is_some() {
            return true;
        }
        if begun.elapsed() >= t1 * 64 {
            return false;
        }
        send(shared, endpoint, way, octets, None, true).await;
        interval = (interval * 2).min(t1 * T2);
    }
}

impl Shared {
    /// Acknowledges a 2xx: a request of its own, over the route of the dialog, made once and sent at each copy
    /// of the 2xx (RFC 3261 §13.2.2.4).
    async fn acknowledge(self: &Arc<Self>, accepted: Accepted) {
        let Accepted {
            calling,
            step,
            dialog,
            number,
            offer,
            ..
        } = accepted;
        let key = (dialog.id().remote_tag.clone(), number);
        let mut acks = calling.call.acks.lock().await;
        let made = acks.get(&key).cloned();
        let again = made.is_some();
        let (endpoint, hop) = match self
            .endpoint_for(&calling.call.place, &calling.endpoint, &dialog)
            .await
        {
            Ok(found) => found,
            Err(why) => {
                self.desk().note(Some(&step), EventKind::Note { text: why });
                return;
            }
        };
        let octets = match made {
            Some(octets) => octets,
            None => {
                let answer = offer.map(|offer| calling.call.answer(&offer));
                let mut own = dialog.headers(endpoint.via(), "ACK", number);
                // RFC 3261 §13.2.2.4: the credentials of the INVITE.
                for name in ["Authorization", "Proxy-Authorization"] {
                    for field in calling.request.headers_named(name) {
                        own.push((name, field.text().trim().to_owned()));
                    }
                }
                let body = match answer {
                    None => Bytes::new(),
                    Some(Ok(body)) => {
                        own.push(("Content-Type", "application/sdp".into()));
                        body
                    }
                    Some(Err(why)) => {
                        let text = format!("the offer in the 2xx: {why}");
                        self.desk().note(Some(&step), EventKind::Note { text });
                        Bytes::new()
                    }
                };
                message::Draft::new("ACK", dialog.request_uri(), own)
                    .body(body)
                    .octets()
            }
        };
        acks.insert(key, octets.clone());
        drop(acks);
        let own = calling.call.dialog();
        let surplus = !again && !calling.again && own.is_some_and(|own| own.id() != dialog.id());
        match endpoint.way_to(hop).await {
            Ok(way) => {
                let kind = EventKind::Sent(endpoint.packet(&way, &octets, again));
                self.desk().note(Some(&step), kind);
                if let Err(why) = endpoint.send(&way, &octets).await {
                    let text = format!("the ACK could not be sent: {why}");
                    self.desk().note(Some(&step), EventKind::Note { text });
                }
            }
            Err(why) => drop(self.desk().note(Some(&step), EventKind::Note { text: why })),
        }
        if surplus {
            let text = "another 2xx with a To tag of its own: that session is acknowledged and ended by BYE";
            let text = text.to_owned();
            self.desk().note(Some(&step), EventKind::Note { text });
            self.decline(dialog, endpoint, hop);
        }
    }

    /// Ends a session by BYE which came of an INVITE besides the one that the scenario goes on with (RFC 3261
    /// §13.2.2.4).
    fn decline(
        self: &Arc<Self>,
        mut dialog: Dialog,
        endpoint: Arc<Endpoint>,
        hop: Option<SocketAddr>,
    ) {
        let number = dialog.next_number();
        let own = dialog.headers(endpoint.via(), "BYE", number);
        let out = Outgoing {
            step: String::new(),
            octets: message::Draft::new("BYE", dialog.request_uri(), own).octets(),
            copies: 1,
            retransmit: true,
            within: self.surroundings.timers.answer,
            save: None,
            hop,
            credentials: Showing::Own,
            guarded: false,
            call: None,
        };
        let agents = Agents {
            shared: Arc::clone(self),
        };
        let task = tokio::spawn(async move {
            if let Err(text) = agents.transact(&endpoint, out).await {
                agents.note(None, EventKind::Note { text });
            }
        });
        self.msrp.keep(&[task.abort_handle()]);
    }
}
