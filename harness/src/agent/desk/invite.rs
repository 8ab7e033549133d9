//! INVITE on both sides: what a final response obliges the caller to, what an INVITE is answered with, and
//! what CANCEL, ACK and BYE do to it (RFC 3261 §9, §13, §15).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use imspec_reports::record::EventKind;
use imspec_wire::sip::Message;
use imspec_wire::sip::typed::CSeq;

use super::{Claim, ClaimState, Client, ClientKey, Desk, Reply, Server, ServerKey};
use crate::agent::call::{Call, End};
use crate::agent::dialog::{Dialog, DialogId};
use crate::agent::message::{self, Given};
use crate::agent::msrp::Conduct;
use crate::agent::sdp::Described;
use crate::agent::{Endpoint, Place};
use crate::evidence::View;
use crate::scenario::Template;
use crate::scenario::duration;
use crate::scenario::model::{Answer, MsrpAnswer, MsrpConduct, Receive, SessionSdp};

/// Sessions that the SUT may open in one case.
const CALLS: usize = 1000;

/// An INVITE of ours.
#[derive(Debug, Clone)]
pub(in super::super) struct Calling {
    pub(in super::super) call: Arc<Call>,
    pub(in super::super) request: Message,
    pub(in super::super) endpoint: Arc<Endpoint>,
    /// Whether a 2xx is acknowledged.
    pub(in super::super) acknowledge: bool,
    /// Within a session that stands.
    pub(in super::super) again: bool,
    /// Whether a challenge is answered, so that it is not the end.
    pub(in super::super) may_go_again: bool,
}

/// A 2xx to an INVITE of ours.
#[derive(Debug)]
pub(in super::super) struct Accepted {
    pub(in super::super) calling: Calling,
    pub(in super::super) key: ClientKey,
    pub(in super::super) step: String,
    /// The dialog that the response makes.
    pub(in super::super) dialog: Dialog,
    /// `CSeq` number of the INVITE.
    pub(in super::super) number: u32,
    /// The offer that the response brought, where ours had none.
    pub(in super::super) offer: Option<Bytes>,
}

/// An INVITE of the SUT, and how it is to be answered.
#[derive(Debug)]
pub(in super::super) struct Invited {
    pub(in super::super) request: Message,
    pub(in super::super) event: u32,
    pub(in super::super) key: ServerKey,
    pub(in super::super) to: SocketAddr,
    pub(in super::super) from: SocketAddr,
    pub(in super::super) status: u16,
    pub(in super::super) after: Duration,
    pub(in super::super) headers: Vec<Given>,
    pub(in super::super) described: Described,
    pub(in super::super) conduct: Conduct,
    /// The session within which it is a re-INVITE.
    pub(in super::super) call: Option<Arc<Call>>,
}

impl Desk {
    /// The session whose INVITE an event holds.
    pub fn call(&self, event: u32) -> Option<Arc<Call>> {
        self.calls.get(&event).cloned()
    }

    /// The session that a name stands for: a saved INVITE, either way, or a delivery by session.
    pub fn call_named(&self, name: &str) -> Option<Arc<Call>> {
        self.call(self.invite_of(self.event_named(name)?))
    }

    /// The event that a name stands for.
    pub fn event_named(&self, name: &str) -> Option<u32> {
        let mut events = self.trace.events.iter().rev();
        events.find_map(|event| match &event.kind {
            EventKind::Saved { name: saved, event } if saved == name => Some(*event),
            _ => None,
        })
    }

    fn invite_of(&self, event: u32) -> u32 {
        match self.trace.events.get(event as usize).map(|e| &e.kind) {
            Some(EventKind::Transfer(transfer)) => transfer.invite,
            _ => event,
        }
    }

    /// The session whose INVITE that event holds stands here from now on.
    pub(in super::super) fn join(&mut self, event: u32, call: &Arc<Call>) {
        self.calls.insert(event, Arc::clone(call));
    }

    /// The session of that dialog.
    pub(super) fn call_in(&self, id: &DialogId) -> Option<Arc<Call>> {
        self.calls.values().find(|call| call.is(id)).cloned()
    }

    /// What the final response to a request of ours obliges to.
    pub(super) fn final_response(
        &mut self,
        key: &ClientKey,
        client: Client,
        response: &Message,
        status: u16,
        event: u32,
        first: bool,
    ) -> Option<Reply> {
        let calling = client.calling?;
        let step = client.step;
        if first {
            self.note(Some(&step), EventKind::Took { event });
        }
        if status >= 300 {
            let is_challenge = calling.may_go_again && matches!(status, 401 | 407);
            if first && !calling.again && !is_challenge {
                calling.call.end(End::Remote);
            }
            return Some(Reply::Acknowledge {
                octets: message::acknowledgement(&calling.request, response),
                step,
                again: !first,
                key: key.clone(),
            });
        }
        let Some(dialog) = Dialog::of_caller(&calling.request, response) else {
            let text = "this 2xx makes no dialog: it lacks From, To or Call-ID".to_owned();
            self.note(Some(&step), EventKind::Note { text });
            return None;
        };
        let brings = !response.body().is_empty();
        let offered = !calling.request.body().is_empty();
        if first {
            if calling.again {
                calling.call.refresh(response);
            } else {
                calling.call.confirm(dialog.clone());
            }
            if offered && brings {
                self.answered_offer(&calling.call, response.body_bytes(), &step);
            }
        }
        if !calling.acknowledge {
            return None;
        }
        let number = number(&calling.request);
        // The route set of a session stays as it was made (RFC 3261 §12.2).
        let dialog = match calling.call.dialog() {
            Some(own) if own.id() == dialog.id() => own,
            _ => dialog,
        };
        Some(Reply::Accepted(Box::new(Accepted {
            calling,
            key: key.clone(),
            step,
            dialog,
            number,
            offer: (!offered && brings).then(|| response.body_bytes()),
        })))
    }

    /// The answer to an offer of ours is there.
    fn answered_offer(&mut self, call: &Call, answer: Bytes, step: &str) {
        if let Err(why) = call.answered(answer) {
            let text = format!("the SDP of the other end: {why}");
            self.note(Some(step), EventKind::Note { text });
        }
    }

    /// An INVITE came: decides how it is answered.
    pub(super) fn invited(
        &mut self,
        place: &Place,
        request: &Message,
        (key, mut server): (ServerKey, Server),
        call: Option<Arc<Call>>,
        tagged: bool,
        from: SocketAddr,
    ) -> Vec<Reply> {
        let event = server.event;
        let mut invited = Invited {
            request: request.clone(),
            event,
            key: key.clone(),
            to: message::answer_address(request, from),
            from,
            status: 200,
            after: Duration::ZERO,
            headers: Vec::new(),
            described: Described::default(),
            conduct: Conduct::default(),
            call,
        };
        server.decided = tagged;
        if tagged {
            let stands = invited
                .call
                .as_ref()
                .is_some_and(|call| call.ended().is_none());
            if !stands {
                invited.status = 481;
            }
            self.servers.insert(key, server);
            return vec![Reply::Invited(Box::new(invited))];
        }
        if self.calls.len() >= CALLS {
            invited.status = 486;
        }
        let Some(index) = self.find_invite_claim(place) else {
            self.servers.insert(key, server);
            return vec![Reply::Invited(Box::new(invited))];
        };
        let (step, receive) = {
            let Claim { step, receive, .. } = &self.claims[index];
            (step.clone(), receive.clone())
        };
        let accepts = matches!(receive.answer, Answer::Status { status, .. } if status / 100 == 2);
        if receive.method.is_some() || !accepts {
            server.claim = Some(index);
            self.claims[index].state = ClaimState::Taken {
                event,
                answered: false,
            };
        } else {
            server.decided = true;
            if spoils(&receive.answer_msrp) {
                self.claims[index].state = ClaimState::Bound { invite: event };
            }
        }
        self.servers.insert(key.clone(), server);
        match &receive.answer {
            Answer::Silence => {
                self.claims[index].state = ClaimState::Taken {
                    event,
                    answered: true,
                };
                return Vec::new();
            }
            Answer::Reset => return vec![Reply::Reset { key }],
            Answer::Status {
                status,
                after_ms,
                headers,
            } => {
                invited.status = *status;
                invited.after = Duration::from_millis(*after_ms);
                invited.headers = self.fill(headers, &step);
            }
        }
        let (described, conduct) = self.answer_of(&receive, &step);
        invited.described = described;
        invited.conduct = conduct;
        vec![Reply::Invited(Box::new(invited))]
    }

    /// The first `receive` still to come that takes an INVITE, or decides about it.
    pub(super) fn find_invite_claim(&self, place: &Place) -> Option<usize> {
        self.claims.iter().position(|claim| {
            claim.state == ClaimState::Open
                && claim.is_at(&place.user, &place.device)
                && claim
                    .receive
                    .method
                    .as_ref()
                    .is_none_or(|method| method == "INVITE")
        })
    }

    /// What a `receive` says about a session that it accepts, references filled in.
    fn answer_of(&mut self, receive: &Receive, step: &str) -> (Described, Conduct) {
        let mut mistakes = Vec::new();
        let view = View::new(&self.case, &self.trace);
        let text = |template: &Template| view.text(template, step).map_err(|e| e.to_string());
        let described = described(&receive.answer_sdp, &text).unwrap_or_else(|why| {
            mistakes.push(why);
            Described::default()
        });
        let conduct = conduct(&receive.answer_msrp, &text).unwrap_or_else(|why| {
            mistakes.push(why);
            Conduct::default()
        });
        for why in mistakes {
            let text = format!("a part of the answer has no value: {why}");
            self.note(Some(step), EventKind::Note { text });
        }
        (described, conduct)
    }

    /// A CANCEL came (RFC 3261 §9.2).
    pub(super) fn cancelled(
        &mut self,
        key: ServerKey,
        request: &Message,
        from: SocketAddr,
        to: SocketAddr,
    ) -> Vec<Reply> {
        let invite = ServerKey {
            method: "INVITE".into(),
            ..key.clone()
        };
        let Some(server) = self.servers.get_mut(&invite) else {
            return vec![Reply::Answer {
                octets: message::answer(request, 481, &[], from),
                after: Duration::ZERO,
                key,
                to,
                ends: None,
            }];
        };
        // Once there is a final response a CANCEL changes nothing.
        server.cancelled |= server.answer.is_none();
        if let Some(own) = self.servers.get_mut(&key) {
            own.decided = true;
        }
        vec![Reply::Answer {
            octets: message::answer(request, 200, &[], from),
            after: Duration::ZERO,
            key,
            to,
            ends: None,
        }]
    }

    /// Whether an INVITE of the SUT was cancelled before its final response.
    pub(in super::super) fn is_cancelled(&self, key: &ServerKey) -> bool {
        self.servers.get(key).is_some_and(|server| server.cancelled)
    }

    /// Whether the final response to an INVITE of the SUT was acknowledged.
    pub(in super::super) fn is_acked(&self, key: &ServerKey, id: Option<(&DialogId, u32)>) -> bool {
        if self.servers.get(key).is_some_and(|server| server.acked) {
            return true;
        }
        id.is_some_and(|(id, number)| {
            let ack = (id.call_id.clone(), id.local_tag.clone(), number);
            self.acknowledged.contains(&ack)
        })
    }

    /// An ACK came that belongs to no transaction: it acknowledges a 2xx.
    pub(super) fn acknowledge(&mut self, request: &Message) {
        let Some(id) = DialogId::of_request(request) else {
            return;
        };
        let Some(call) = self.call_in(&id) else {
            return;
        };
        let new = self
            .acknowledged
            .insert((id.call_id, id.local_tag, number(request)));
        // The answer to an offer that our 2xx made.
        if new
            && call.has_offered()
            && !request.body().is_empty()
            && let Err(why) = call.answered(request.body_bytes())
        {
            let text = format!("the SDP of the other end: {why}");
            self.note(None, EventKind::Note { text });
        }
    }
}

/// `CSeq` number of a request.
fn number(request: &Message) -> u32 {
    request
        .typed::<CSeq>()
        .and_then(Result::ok)
        .map_or(0, |sequence| sequence.number)
}

/// Whether no message can come whole through a session with that conduct.
fn spoils(conduct: &MsrpConduct) -> bool {
    let refuses = match conduct.status {
        None => false,
        Some(MsrpAnswer::Status(status)) => status != 200,
        Some(MsrpAnswer::Silence) => true,
    };
    refuses
        || conduct.reset_after.is_some()
        || conduct.bye_after.is_some()
        || conduct.never_connects
}

/// A description with its references filled in.
pub fn described(
    sdp: &SessionSdp,
    text: &dyn Fn(&Template) -> Result<String, String>,
) -> Result<Described, String> {
    let one = |template: &Option<Template>| template.as_ref().map(text).transpose();
    Ok(Described {
        accept_types: one(&sdp.accept_types)?,
        accept_wrapped_types: one(&sdp.accept_wrapped_types)?,
        max_size: one(&sdp.max_size)?,
        setup: one(&sdp.setup)?,
        direction: one(&sdp.direction)?,
        connection: one(&sdp.connection)?,
        subject: one(&sdp.subject)?,
        path: one(&sdp.path)?,
        address: one(&sdp.address)?,
        port: one(&sdp.port)?,
        cema: sdp.cema,
        attributes: sdp.attributes.iter().map(text).collect::<Result<_, _>>()?,
    })
}

/// A conduct with its references filled in.
fn conduct(
    conduct: &MsrpConduct,
    text: &dyn Fn(&Template) -> Result<String, String>,
) -> Result<Conduct, String> {
    let octets = |template: &Option<Template>| match template {
        None => Ok(None),
        Some(template) => {
            let text = text(template)?;
            crate::agent::octets(&text)
                .map(Some)
                .ok_or_else(|| format!("`{text}` is no number of octets"))
        }
    };
    let pause = match &conduct.pause {
        None => Duration::ZERO,
        Some(template) => {
            let text = text(template)?;
            duration::parse_ms(&text)
                .or_else(|| text.trim().parse().ok())
                .map(Duration::from_millis)
                .ok_or_else(|| format!("`{text}` is no length of time"))?
        }
    };
    Ok(Conduct {
        status: conduct.status,
        pause,
        reset_after: octets(&conduct.reset_after)?,
        bye_after: octets(&conduct.bye_after)?,
        never_connects: conduct.never_connects,
    })
}
