//! What a trace says about the names in a scenario.
//!
//! A [`View`] answers "what was `sent`, what came back, what did the store hold" from the trace alone.
//! The interpreter asks it while a case runs, the judge asks it afterwards, and so both see the same.

pub mod binding;
pub mod content;
pub mod delivery;
pub mod fields;
pub mod frame;
pub mod record;
pub mod sdp;
pub mod session;
mod value;

use std::borrow::Cow;
use std::collections::HashMap;

use imspec_reports::record::trace::{Packet, Protocol, StoreResult};
use imspec_reports::record::{Event, EventKind, Outcome, StoreTime, StoredMessage, Trace};
use imspec_wire::sip::Message;

use crate::scenario::Case;
use crate::scenario::model::{Step, Verb};
use crate::scenario::template::{Piece, Template};

pub use content::Content;
pub use frame::{Frame, frame_of};
pub use session::SessionMessage;
pub use value::{Unresolved, Value, field_of, mode_name, state_name};

/// A case and (the beginning of) its trace.
#[derive(Debug, Clone)]
pub struct View<'a> {
    case: &'a Case,
    trace: &'a Trace,
    steps: HashMap<&'a str, Vec<&'a Event>>,
    saved: HashMap<&'a str, &'a Event>,
}

/// What a saved name stands for.
#[derive(Debug, Clone)]
pub enum Saved<'a> {
    /// A request that the harness sent, and its final response.
    Request {
        /// The event in which it was first sent.
        sent: &'a Event,
        /// The request; `None` for `raw` octets that are no message.
        request: Option<Message>,
        /// The final response.
        response: Option<(&'a Event, Message)>,
    },
    /// A message that went through a session, either way.
    Transfer(SessionMessage<'a>),
    /// Octets that the harness sent on a connection of MSRP, where they are no message with content.
    Frame {
        /// The event in which they were sent.
        sent: &'a Event,
        /// The frame, where they are one.
        frame: Option<Frame>,
        /// The response.
        response: Option<(&'a Event, Frame)>,
    },
    /// A request that a user received.
    Received {
        /// The event.
        event: &'a Event,
        /// The request.
        request: Message,
    },
    /// Records that the store held.
    Records {
        /// The read.
        event: &'a Event,
        /// The records.
        records: Vec<Cow<'a, StoredMessage>>,
    },
}

impl<'a> View<'a> {
    /// Indexes the trace.
    pub fn new(case: &'a Case, trace: &'a Trace) -> Self {
        let mut steps: HashMap<&str, Vec<&Event>> = HashMap::new();
        let mut saved = HashMap::new();
        for event in &trace.events {
            if let Some(step) = &event.step {
                steps.entry(step.as_str()).or_default().push(event);
            }
            if let EventKind::Saved { name, event: id } = &event.kind
                && let Some(named) = trace.events.get(*id as usize)
            {
                saved.insert(name.as_str(), named);
            }
        }
        Self {
            case,
            trace,
            steps,
            saved,
        }
    }

    /// The case.
    pub fn case(&self) -> &'a Case {
        self.case
    }

    /// The trace.
    pub fn trace(&self) -> &'a Trace {
        self.trace
    }

    /// The event of that id.
    pub fn event(&self, id: u32) -> Option<&'a Event> {
        self.trace.events.get(id as usize)
    }

    /// The events of a step, in order.
    pub fn step(&self, path: &str) -> &[&'a Event] {
        self.steps.get(path).map_or(&[], Vec::as_slice)
    }

    /// How a step ended; `None` when it was never begun.
    pub fn outcome(&self, path: &str) -> Option<&'a Outcome> {
        self.step(path)
            .iter()
            .rev()
            .find_map(|event| match &event.kind {
                EventKind::StepEnded { outcome } => Some(outcome),
                _ => None,
            })
    }

    /// The event that a step took as its own: the final response, the delivery.
    pub fn took(&self, path: &str) -> Option<&'a Event> {
        self.step(path)
            .iter()
            .rev()
            .find_map(|event| match event.kind {
                EventKind::Took { event } => self.event(event),
                _ => None,
            })
    }

    /// The first request that a step sent.
    pub fn sent_by(&self, path: &str) -> Option<(&'a Event, &'a Packet)> {
        self.step(path).iter().find_map(|event| match &event.kind {
            EventKind::Sent(packet) => Some((*event, packet)),
            _ => None,
        })
    }

    /// The last store read of a step.
    pub fn read_by(&self, path: &str) -> Option<(&'a Event, &'a str, &'a StoreResult)> {
        self.step(path)
            .iter()
            .rev()
            .find_map(|event| match &event.kind {
                EventKind::StoreRead { account, result } => {
                    Some((*event, account.as_str(), result))
                }
                _ => None,
            })
    }

    /// The names saved so far.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        self.saved.keys().copied()
    }

    /// What a name stands for; `None` when nothing was saved under it.
    pub fn saved(&self, name: &str) -> Option<Saved<'a>> {
        let event = *self.saved.get(name)?;
        match &event.kind {
            EventKind::Transfer(_) => self.session_message(event).map(Saved::Transfer),
            EventKind::Sent(packet) if packet.protocol == Protocol::Msrp => {
                let frame = frame_of(event);
                let response = frame
                    .as_ref()
                    .and_then(|frame| self.response_to(event, frame));
                Some(Saved::Frame {
                    sent: event,
                    frame,
                    response,
                })
            }
            EventKind::Sent(packet) => {
                let request = Message::parse(packet.octets.0.clone()).ok();
                let response = event
                    .step
                    .as_deref()
                    .and_then(|step| self.took(step))
                    .and_then(|event| message_of(event).map(|message| (event, message)));
                Some(Saved::Request {
                    sent: event,
                    request,
                    response,
                })
            }
            EventKind::Received(_) => {
                message_of(event).map(|request| Saved::Received { event, request })
            }
            EventKind::StoreRead {
                result: StoreResult::Records(records),
                ..
            } => {
                let step = event
                    .step
                    .as_deref()
                    .and_then(|path| find_step(&self.case.steps, path))?;
                let Verb::Stored(stored) = &step.verb else {
                    return None;
                };
                let chosen = record::named(self, stored, records, name);
                Some(Saved::Records {
                    event,
                    records: chosen,
                })
            }
            _ => None,
        }
    }

    /// The SIP message saved under a name: what was sent, or what was received.
    pub fn message(&self, name: &str) -> Option<(&'a Event, Message)> {
        match self.saved(name)? {
            Saved::Request { sent, request, .. } => request.map(|request| (sent, request)),
            Saved::Received { event, request } => Some((event, request)),
            Saved::Transfer(_) | Saved::Frame { .. } | Saved::Records { .. } => None,
        }
    }

    /// Store time from the sending of `name` to its final response (or the end of waiting for one). Of a
    /// message through a session: of the last chunk that its step sent.
    pub fn window(&self, name: &str) -> Option<(StoreTime, StoreTime)> {
        match self.saved(name)? {
            Saved::Request { sent, response, .. } => {
                let last = response.map(|(event, _)| event).or_else(|| {
                    sent.step
                        .as_deref()
                        .and_then(|step| self.step(step).last().copied())
                })?;
                Some((sent.store?, last.store?))
            }
            Saved::Transfer(message) => {
                let (event, frame) = self.last_chunk(&message)?;
                self.window_of(event, &frame)
            }
            Saved::Frame {
                sent,
                frame: Some(frame),
                ..
            } => self.window_of(sent, &frame),
            Saved::Frame { .. } | Saved::Received { .. } | Saved::Records { .. } => None,
        }
    }

    /// The text of a template whose late references the trace can answer.
    pub fn text(&self, template: &Template, step: &str) -> Result<String, Unresolved> {
        self.resolve(template, step)?.into_text()
    }

    /// The value of a template. A template that is one reference keeps the value's kind (absent, unknown,
    /// a list); inside longer text such values are refused.
    pub fn resolve(&self, template: &Template, step: &str) -> Result<Value, Unresolved> {
        if let [Piece::Reference(reference)] = template.pieces.as_slice() {
            return value::of(self, reference, step);
        }
        let mut octets = Vec::new();
        for piece in &template.pieces {
            match piece {
                Piece::Text(text) => octets.extend_from_slice(text.as_bytes()),
                Piece::Reference(reference) => match value::of(self, reference, step)? {
                    Value::Octets(more) => octets.extend_from_slice(&more),
                    other => return Ok(other),
                },
            }
        }
        Ok(Value::Octets(octets))
    }
}

/// The SIP message of a `Sent` or `Received` event, where its octets are one.
pub fn message_of(event: &Event) -> Option<Message> {
    packet_of(event)
        .filter(|packet| packet.protocol == Protocol::Sip)
        .and_then(|packet| Message::parse(packet.octets.0.clone()).ok())
}

/// The packet of a `Sent` or `Received` event.
pub fn packet_of(event: &Event) -> Option<&Packet> {
    match &event.kind {
        EventKind::Sent(packet) | EventKind::Received(packet) => Some(packet),
        _ => None,
    }
}

/// The step of that path, wherever it is nested.
pub fn find_step<'a>(steps: &'a [Step], path: &str) -> Option<&'a Step> {
    steps.iter().find_map(|step| {
        if step.path == path {
            return Some(step);
        }
        match &step.verb {
            Verb::Parallel(branches) => branches.iter().find_map(|branch| find_step(branch, path)),
            Verb::When(when) => {
                find_step(&when.then, path).or_else(|| find_step(&when.otherwise, path))
            }
            Verb::Repeat(repeat) => find_step(&repeat.steps, path),
            _ => None,
        }
    })
}
