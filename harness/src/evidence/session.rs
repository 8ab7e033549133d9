//! Messages that went through sessions: which INVITE, which frames, which reports belong to one.

use bytes::Bytes;
use imspec_reports::record::trace::{Direction, Protocol, Transfer};
use imspec_reports::record::{Event, EventKind, StoreTime};
use imspec_wire::sip::Message;

use super::content::Content;
use super::fields::{self, Fields};
use super::frame::{Frame, frame_of};
use super::{Saved, View, message_of};
use crate::scenario::model::Part;

/// A message that went through a session, either way.
#[derive(Debug, Clone)]
pub struct SessionMessage<'a> {
    /// The event that tells of it as a whole.
    pub event: &'a Event,
    /// What that event tells.
    pub transfer: &'a Transfer,
    /// The INVITE of its session.
    pub invite: Option<(&'a Event, Message)>,
    /// Its first SEND.
    pub send: Option<(&'a Event, Frame)>,
}

impl<'a> View<'a> {
    /// The message that an event of the kind `Transfer` tells of.
    pub fn session_message(&self, event: &'a Event) -> Option<SessionMessage<'a>> {
        let EventKind::Transfer(transfer) = &event.kind else {
            return None;
        };
        let invite = self.event(transfer.invite);
        let invite = invite.and_then(|event| message_of(event).map(|message| (event, message)));
        let mut sends = transfer.sends.iter().filter_map(|id| self.event(*id));
        let send = sends.find_map(|event| frame_of(event).map(|frame| (event, frame)));
        Some(SessionMessage {
            event,
            transfer,
            invite,
            send,
        })
    }

    /// All that the trace tells of the same message, of which several steps may have sent parts.
    fn parts_of(&self, transfer: &'a Transfer) -> impl Iterator<Item = (&'a Event, &'a Transfer)> {
        self.trace().events.iter().filter_map(move |event| {
            let EventKind::Transfer(other) = &event.kind else {
                return None;
            };
            let same = other.direction == transfer.direction
                && other.user == transfer.user
                && other.device == transfer.device
                && other.invite == transfer.invite
                && other.message_id == transfer.message_id;
            same.then_some((event, other))
        })
    }

    /// What a message says: a SIP request, or a message that went through a session. Of one that was never
    /// finished, what its chunks held.
    pub fn content(&self, event: &'a Event) -> Option<Content> {
        let EventKind::Transfer(transfer) = &event.kind else {
            return message_of(event).map(|message| Content::from(&message));
        };
        let parts: Vec<&Transfer> = self.parts_of(transfer).map(|(_, part)| part).collect();
        let told = parts
            .iter()
            .rev()
            .find(|part| part.complete)
            .copied()
            .unwrap_or(transfer);
        let frames = self.frames_of(transfer);
        let media_type = frames
            .iter()
            .find_map(|frame| frame.head.header("Content-Type"))
            .map(|field| field.text().trim().to_owned());
        // What was received is told as it is; what was sent counts only as far as it went out.
        if !told.complete && told.direction == Direction::Sent {
            let bodies = frames.into_iter().filter_map(|frame| frame.body);
            let pieces: Vec<Bytes> = bodies.filter(|body| !body.is_empty()).collect();
            return Some(Content::unfinished(media_type, pieces));
        }
        Some(match &told.content {
            Some(octets) => Content::new(media_type, octets.0.clone()),
            None => Content::digested(media_type, told.digest.clone()),
        })
    }

    /// What was sent, or received, under a name.
    pub fn saved_content(&self, name: &str) -> Option<(&'a Event, Content)> {
        match self.saved(name)? {
            Saved::Request {
                sent,
                request: Some(request),
                ..
            } => Some((sent, Content::from(&request))),
            Saved::Received { event, request } => Some((event, Content::from(&request))),
            Saved::Transfer(message) => Some((message.event, self.content(message.event)?)),
            Saved::Frame {
                sent,
                frame: Some(frame),
                ..
            } => {
                let media_type = frame.head.header("Content-Type");
                let media_type = media_type.map(|field| field.text().into_owned());
                let pieces = frame.body.into_iter().collect();
                Some((sent, Content::unfinished(media_type, pieces)))
            }
            Saved::Request { .. } | Saved::Frame { .. } | Saved::Records { .. } => None,
        }
    }

    /// Whether what an event tells of carries the message of that name.
    pub fn delivers(&self, event: &'a Event, name: &str) -> bool {
        let (Some(got), Some((_, sent))) = (self.content(event), self.saved_content(name)) else {
            return false;
        };
        super::delivery::carries(got, sent)
    }

    /// The requests of MSRP that a step sent.
    pub fn frames_sent(&self, step: &str) -> Vec<(&'a Event, Frame)> {
        self.step(step)
            .iter()
            .filter(|event| matches!(event.kind, EventKind::Sent(_)))
            .filter_map(|event| frame_of(event).map(|frame| (*event, frame)))
            .filter(|(_, frame)| frame.head.method().is_some())
            .collect()
    }

    /// The responses of MSRP that came in a step.
    pub fn responses_in(&self, step: &str) -> Vec<(&'a Event, Frame)> {
        self.step(step)
            .iter()
            .filter(|event| matches!(event.kind, EventKind::Received(_)))
            .filter_map(|event| frame_of(event).map(|frame| (*event, frame)))
            .filter(|(_, frame)| frame.head.status().is_some())
            .collect()
    }

    /// The response to a request of MSRP, by its transaction id.
    pub fn response_to(&self, sent: &Event, frame: &Frame) -> Option<(&'a Event, Frame)> {
        let id = frame.head.transaction_id();
        let user = user_of(sent);
        self.trace().events[sent.id as usize..]
            .iter()
            .filter(|event| matches!(event.kind, EventKind::Received(_)) && user_of(event) == user)
            .filter_map(|event| frame_of(event).map(|frame| (event, frame)))
            .find(|(_, answer)| {
                answer.head.status().is_some() && answer.head.transaction_id() == id
            })
    }

    /// The REPORTs on a message that was sent, up to the event `until`.
    pub fn reports_on(&self, message: &SessionMessage<'a>, until: u32) -> Vec<(&'a Event, Frame)> {
        let path = |frame: &Frame, name: &str| {
            let field = frame.head.header(name);
            field.map(|field| field.value().trim_ascii().to_vec())
        };
        let own = message
            .send
            .as_ref()
            .and_then(|(_, send)| path(send, "From-Path"));
        // The same Message-ID may stand in two sessions (RFC 4975 §5.4). A REPORT with a path that belongs
        // to neither is shown, so that it can be found wrong.
        let others: Vec<_> = self
            .trace()
            .events
            .iter()
            .filter_map(|event| self.session_message(event))
            .filter(|other| other.transfer.message_id == message.transfer.message_id)
            .filter(|other| other.transfer.invite != message.transfer.invite)
            .filter_map(|other| path(&other.send?.1, "From-Path"))
            .collect();
        self.trace()
            .events
            .iter()
            .take_while(|event| event.id <= until)
            .filter(|event| matches!(event.kind, EventKind::Received(_)))
            .filter(|event| user_of(event) == Some(message.transfer.user.as_str()))
            .filter_map(|event| frame_of(event).map(|frame| (event, frame)))
            .filter(|(_, frame)| frame.is_report())
            .filter(|(_, frame)| {
                frame.head.message_id() == Some(message.transfer.message_id.as_str())
            })
            .filter(|(_, frame)| {
                let to = path(frame, "To-Path");
                to == own || !to.is_some_and(|to| others.contains(&to))
            })
            .collect()
    }

    /// Store time from the sending of the last chunk of a step to its response, or to the end of the step.
    pub(super) fn window_of(
        &self,
        sent: &'a Event,
        frame: &Frame,
    ) -> Option<(StoreTime, StoreTime)> {
        let last = self
            .response_to(sent, frame)
            .map(|(event, _)| event)
            .or_else(|| self.end_of(sent.step.as_deref()?))?;
        Some((sent.store?, last.store?))
    }

    /// The last chunk that the step of a message sent.
    pub(super) fn last_chunk(&self, message: &SessionMessage<'a>) -> Option<(&'a Event, Frame)> {
        let sends = message.transfer.sends.iter().rev();
        sends
            .filter_map(|id| self.event(*id))
            .find_map(|event| frame_of(event).map(|frame| (event, frame)))
    }

    /// Store time in which a message began: from the sending of its first chunk to its response.
    pub fn begun(&self, name: &str) -> Option<(StoreTime, StoreTime)> {
        let Saved::Transfer(message) = self.saved(name)? else {
            return None;
        };
        let (_, first) = self.parts_of(message.transfer).next()?;
        let event = self.event(*first.sends.first()?)?;
        self.window_of(event, &frame_of(event)?)
    }

    /// Store time in which the session of a message was ended by BYE.
    pub fn ended(&self, name: &str) -> Option<(StoreTime, StoreTime)> {
        let Saved::Transfer(message) = self.saved(name)? else {
            return None;
        };
        let (_, invite) = message.invite?;
        let call = call_id(&invite)?;
        self.trace().events.iter().find_map(|event| {
            let EventKind::Sent(_) = &event.kind else {
                return None;
            };
            let request = message_of(event)?;
            (request.method() == Some("BYE") && call_id(&request)? == call).then_some(())?;
            let answer = self.took(event.step.as_deref()?)?;
            Some((event.store?, answer.store?))
        })
    }

    /// The header fields of what a name stands for; of its `part`, where it is one of a session. Of a message
    /// of a session as a whole: what describes its content from the SEND, all else from the INVITE, else
    /// from the SEND.
    pub fn original(&self, name: &str, part: Option<Part>) -> Option<(&'a Event, Fields)> {
        match (self.saved(name)?, part) {
            (Saved::Request { response, .. }, Some(Part::Ok)) => {
                response.map(|(event, answer)| (event, Fields::from(&answer)))
            }
            (Saved::Request { sent, request, .. }, part) => {
                let request = request?;
                let fields = Fields::from(&request);
                // They describe its SDP, and not a message.
                if part.is_none() && request.method() == Some("INVITE") {
                    return Some((sent, fields.only(|name| !fields::is_of_content(name))));
                }
                Some((sent, fields))
            }
            (Saved::Received { event, request }, _) => Some((event, Fields::from(&request))),
            (Saved::Transfer(message), None) => Some((message.event, message.fields())),
            (Saved::Transfer(message), Some(Part::Send)) => {
                let (event, send) = message.send?;
                Some((event, Fields::from(&send.head)))
            }
            (Saved::Transfer(message), Some(Part::Invite)) => {
                let (event, invite) = message.invite?;
                Some((event, Fields::from(&invite)))
            }
            (Saved::Transfer(message), Some(Part::Ok)) => {
                let (event, _) = message.invite?;
                let answer = self.took(event.step.as_deref()?)?;
                Some((answer, Fields::from(&message_of(answer)?)))
            }
            (Saved::Frame { sent, frame, .. }, _) => Some((sent, Fields::from(&frame?.head))),
            (Saved::Transfer(_), Some(Part::Bye)) | (Saved::Records { .. }, _) => None,
        }
    }

    /// The heads of all SENDs of a message that the trace has, of all steps that sent parts of it.
    pub fn sends_of(&self, name: &str) -> Vec<Frame> {
        match self.saved(name) {
            Some(Saved::Transfer(message)) => self.frames_of(message.transfer),
            _ => Vec::new(),
        }
    }

    /// The same of what an event tells.
    pub fn frames_of(&self, transfer: &'a Transfer) -> Vec<Frame> {
        self.parts_of(transfer)
            .flat_map(|(_, part)| &part.sends)
            .filter_map(|id| self.event(*id).and_then(frame_of))
            .collect()
    }

    /// The session description of the other end of a session, and that of the agent.
    pub(super) fn descriptions(&self, name: &str) -> Option<(Option<Bytes>, Option<Bytes>)> {
        let (event, invite) = match self.saved(name)? {
            Saved::Request {
                sent,
                request: Some(request),
                ..
            } => (sent, request),
            Saved::Received { event, request } => (event, request),
            Saved::Transfer(message) => message.invite?,
            Saved::Request { .. } | Saved::Frame { .. } | Saved::Records { .. } => return None,
        };
        (invite.method() == Some("INVITE")).then_some(())?;
        let call = call_id(&invite)?;
        let number = number_of(&invite);
        let of_call = |message: &Message| {
            call_id(message).as_ref() == Some(&call) && number_of(message) == number
        };
        let is_sent = matches!(event.kind, EventKind::Sent(_));
        let with_body = |sent: bool, answers: bool| {
            self.trace().events[event.id as usize..]
                .iter()
                .filter(|event| matches!(event.kind, EventKind::Sent(_)) == sent)
                .filter_map(message_of)
                .filter(|message| !message.body().is_empty() && of_call(message))
                .find(|message| match message.status() {
                    Some(status) => answers && status / 100 == 2,
                    None => !answers && message.method() == Some("ACK"),
                })
                .map(|message| message.body_bytes())
        };
        // An INVITE without an offer is answered with one, and the ACK brings the answer (RFC 3261 §13.2.1).
        let offered = if invite.body().is_empty() {
            with_body(is_sent, false)
        } else {
            Some(invite.body_bytes())
        };
        let answered = with_body(!is_sent, true);
        Some(if is_sent {
            (answered, offered)
        } else {
            (offered, answered)
        })
    }

    fn end_of(&self, step: &str) -> Option<&'a Event> {
        let ended = |event: &&&Event| matches!(event.kind, EventKind::StepEnded { .. });
        self.step(step).iter().find(ended).copied()
    }
}

impl SessionMessage<'_> {
    /// Its header fields: what describes its content from the SEND, all else from the INVITE, else from the
    /// SEND.
    pub fn fields(&self) -> Fields {
        let send = self.send.as_ref().map(|(_, send)| Fields::from(&send.head));
        let send = send.unwrap_or_default();
        let invite = self
            .invite
            .as_ref()
            .map(|(_, invite)| Fields::from(invite))
            .unwrap_or_default();
        let content = send.clone().only(fields::is_of_content);
        let others = send.only(|name| !fields::is_framing(name) && !fields::is_of_content(name));
        content
            .or(invite.only(|name| !fields::is_of_content(name)))
            .or(others)
    }
}

/// The role of whoever sent or received the packet of an event.
pub fn user_of(event: &Event) -> Option<&str> {
    match &event.kind {
        EventKind::Sent(packet) | EventKind::Received(packet) => Some(&packet.user),
        EventKind::Transfer(transfer) => Some(&transfer.user),
        _ => None,
    }
}

/// Whether the packet of an event is one of MSRP.
pub fn is_msrp(event: &Event) -> bool {
    super::packet_of(event).is_some_and(|packet| packet.protocol == Protocol::Msrp)
}

/// The Call-ID of a message.
pub fn call_id(message: &Message) -> Option<Vec<u8>> {
    let field = message.header("Call-ID")?;
    Some(field.value().into_owned())
}

/// The number of the transaction, which INVITE, ACK and responses share.
fn number_of(message: &Message) -> Option<Vec<u8>> {
    let value = message.header("CSeq")?.value().into_owned();
    value
        .split(u8::is_ascii_whitespace)
        .next()
        .map(<[u8]>::to_vec)
}
