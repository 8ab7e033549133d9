//! Late references: what `${sent.header.Call-ID}` is in this trace.

use imspec_reports::record::{EventKind, Field, Mode, State, StoredMessage};
use imspec_wire::sip::Message;

use super::fields::Fields;
use super::{Frame, Saved, SessionMessage, View, sdp};
use crate::scenario::template::{RecordField, Reference, SavedField};

/// The value of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Octets, usually text.
    Octets(Vec<u8>),
    /// It is known that there is none.
    Absent,
    /// It cannot be known here, for this reason.
    Unknown(String),
    /// Several.
    List(Vec<Value>),
}

/// A reference that has no value at this point of the trace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unresolved(pub String);

impl Value {
    /// As text for a message to send or a number to read; lossy where octets are not UTF-8.
    pub fn into_text(self) -> Result<String, Unresolved> {
        match self {
            Self::Octets(octets) => Ok(String::from_utf8_lossy(&octets).into_owned()),
            Self::Absent => Err(Unresolved("the value is absent".into())),
            Self::Unknown(why) => Err(Unresolved(why)),
            Self::List(_) => Err(Unresolved("a list stands where one value is wanted".into())),
        }
    }

    fn text(text: impl Into<String>) -> Self {
        Self::Octets(text.into().into_bytes())
    }
}

/// The value of one reference in the step `path`.
pub(super) fn of(view: &View<'_>, reference: &Reference, path: &str) -> Result<Value, Unresolved> {
    match reference {
        Reference::Saved { name, field } => Ok(saved(view, name, field)),
        Reference::All { stem, field } => {
            let values = (1..=view.trace().events.len())
                .map(|n| format!("{stem}{n}"))
                .take_while(|name| view.saved(name).is_some())
                .map(|name| saved(view, &name, field))
                .collect();
            Ok(Value::List(values))
        }
        Reference::Date { .. } | Reference::Socket { .. } => {
            let written = reference.to_string();
            view.step(path)
                .iter()
                .find_map(|event| match &event.kind {
                    EventKind::Value { expression, value } if *expression == written => {
                        Some(Value::text(value))
                    }
                    _ => None,
                })
                .ok_or_else(|| {
                    Unresolved(format!(
                        "`${{{written}}}` has no value in this step of the trace"
                    ))
                })
        }
        early => Err(Unresolved(format!(
            "`${{{early}}}` should have been filled in before the run"
        ))),
    }
}

fn saved(view: &View<'_>, name: &str, field: &SavedField) -> Value {
    let Some(saved) = view.saved(name) else {
        return Value::Absent;
    };
    match (saved, field) {
        (_, SavedField::Itself) => Value::text("present"),
        (_, SavedField::Path | SavedField::OwnPath | SavedField::Sdp(_)) => {
            of_description(view, name, field)
        }
        (Saved::Request { response, .. }, SavedField::Status) => {
            status(response.and_then(|(_, r)| r.status()))
        }
        (Saved::Request { response, .. }, SavedField::ResponseHeader(header)) => match response {
            Some((_, response)) => header_value(&response, header),
            None => Value::Absent,
        },
        (
            Saved::Request {
                request: Some(message),
                ..
            }
            | Saved::Received {
                request: message, ..
            },
            field,
        ) => of_message(&message, name, field),
        (Saved::Request { request: None, .. }, _) => {
            Value::Unknown(format!("`{name}` is no SIP message"))
        }
        (Saved::Transfer(message), field) => of_transfer(view, &message, name, field),
        (
            Saved::Frame {
                frame, response, ..
            },
            field,
        ) => of_frame(
            frame.as_ref(),
            response.map(|(_, frame)| frame).as_ref(),
            name,
            field,
        ),
        (Saved::Records { records, .. }, field) => {
            let of_one = |record: &StoredMessage| match field {
                SavedField::Record(field) => field_of(record, *field),
                SavedField::Body => match (&record.body, &record.body_digest) {
                    (Field::Unknown, Field::Known(_)) => {
                        Value::Unknown("the body is too long to be shown".into())
                    }
                    (body, _) => field_value(body, |body| body.to_vec(), "body"),
                },
                SavedField::Mode => {
                    field_value(&record.mode, |mode| mode_name(*mode).into(), "mode")
                }
                _ => Value::Unknown(format!(
                    "`{name}` is a record of the store, which has no such field"
                )),
            };
            match records.as_slice() {
                [one] => of_one(one),
                several => Value::List(several.iter().map(|record| of_one(record)).collect()),
            }
        }
    }
}

fn of_message(message: &Message, name: &str, field: &SavedField) -> Value {
    match field {
        SavedField::Body => Value::Octets(message.body().to_vec()),
        SavedField::Uri => message
            .request_uri()
            .map_or(Value::Absent, |uri| Value::Octets(uri.to_vec())),
        SavedField::Header(header) => header_value(message, header),
        SavedField::Mode => Value::text(mode_name(match message.method() {
            Some("INVITE") => Mode::Session,
            _ => Mode::Pager,
        })),
        SavedField::Status | SavedField::ResponseHeader(_) => Value::Unknown(format!(
            "`{name}` is a received request; it has no response"
        )),
        SavedField::Itself | SavedField::Record(_) => {
            Value::Unknown(format!("`{name}` is a message, not a record"))
        }
        _ => Value::Unknown(format!(
            "`{name}` is a SIP message, which has no such field"
        )),
    }
}

fn of_transfer(
    view: &View<'_>,
    message: &SessionMessage<'_>,
    name: &str,
    field: &SavedField,
) -> Value {
    let send = message.send.as_ref().map(|(_, send)| send);
    match field {
        SavedField::Mode => Value::text(mode_name(Mode::Session)),
        SavedField::MsrpId => Value::text(message.transfer.message_id.clone()),
        SavedField::Status => {
            let last = view.last_chunk(message);
            let response = last.and_then(|(event, frame)| view.response_to(event, &frame));
            status(response.and_then(|(_, response)| response.head.status()))
        }
        SavedField::ResponseHeader(header) => {
            let last = view.last_chunk(message);
            let response = last.and_then(|(event, frame)| view.response_to(event, &frame));
            response.map_or(Value::Absent, |(_, response)| {
                field_in(&Fields::from(&response.head), header)
            })
        }
        SavedField::Report => {
            let reports = view.reports_on(message, u32::MAX);
            status(reports.last().and_then(|(_, report)| report_status(report)))
        }
        SavedField::Send(header) => send.map_or(Value::Absent, |send| {
            field_in(&Fields::from(&send.head), header)
        }),
        SavedField::Header(header) => field_in(&message.fields(), header),
        SavedField::Body => match view.content(message.event) {
            Some(content) => match content.octets() {
                Some(octets) => Value::Octets(octets.to_vec()),
                None => Value::Unknown(format!("the body of `{name}` is not held as a whole")),
            },
            None => Value::Absent,
        },
        SavedField::Uri => message
            .invite
            .as_ref()
            .and_then(|(_, invite)| invite.request_uri())
            .map_or(Value::Absent, |uri| Value::Octets(uri.to_vec())),
        _ => Value::Unknown(format!("`{name}` is a message, not a record")),
    }
}

fn of_frame(
    frame: Option<&Frame>,
    response: Option<&Frame>,
    name: &str,
    field: &SavedField,
) -> Value {
    let in_frame = |header: &str| {
        frame.map_or(Value::Absent, |frame| {
            field_in(&Fields::from(&frame.head), header)
        })
    };
    match field {
        SavedField::Status => status(response.and_then(|response| response.head.status())),
        SavedField::ResponseHeader(header) => response.map_or(Value::Absent, |response| {
            field_in(&Fields::from(&response.head), header)
        }),
        SavedField::Send(header) | SavedField::Header(header) => in_frame(header),
        SavedField::MsrpId => in_frame("Message-ID"),
        SavedField::Report => Value::Absent,
        SavedField::Mode => Value::text(mode_name(Mode::Session)),
        SavedField::Body => match frame.and_then(|frame| frame.body.as_ref()) {
            Some(body) => Value::Octets(body.to_vec()),
            None => Value::Absent,
        },
        _ => Value::Unknown(format!(
            "`{name}` is a frame of MSRP, which has no such field"
        )),
    }
}

/// What the session descriptions of a session say.
fn of_description(view: &View<'_>, name: &str, field: &SavedField) -> Value {
    let Some((theirs, own)) = view.descriptions(name) else {
        return Value::Unknown(format!("`{name}` is no session"));
    };
    let (description, what) = match field {
        SavedField::OwnPath => (own, "path"),
        SavedField::Sdp(what) => (theirs, what.as_str()),
        _ => (theirs, "path"),
    };
    let value = description.and_then(|description| sdp::value(&description, what));
    value.map_or(Value::Absent, Value::text)
}

fn status(status: Option<u16>) -> Value {
    status.map_or(Value::Absent, |status| Value::text(status.to_string()))
}

/// The status that a REPORT tells.
pub(super) fn report_status(report: &Frame) -> Option<u16> {
    let status = report.head.status_header()?.ok()?;
    Some(status.code)
}

fn field_in(fields: &Fields, name: &str) -> Value {
    fields
        .first(name)
        .map_or(Value::Absent, |field| Value::Octets(field.value.clone()))
}

fn header_value(message: &Message, name: &str) -> Value {
    message.header(name).map_or(Value::Absent, |header| {
        Value::Octets(header.value().into_owned())
    })
}

/// A field of a record as a value.
pub fn field_of(record: &StoredMessage, field: RecordField) -> Value {
    match field {
        RecordField::MessageId => field_value(
            &record.message_id,
            |id| id.clone().into_bytes(),
            "message-id",
        ),
        RecordField::Account => field_value(
            &record.account,
            |account| account.clone().into_bytes(),
            "account",
        ),
        RecordField::State => {
            field_value(&record.state, |state| state_name(*state).into(), "state")
        }
        RecordField::ReceivedAt => field_value(
            &record.received_at,
            |at| at.to_string().into_bytes(),
            "received-at",
        ),
        RecordField::Mark => match &record.expire {
            Field::Absent => Value::text("none"),
            Field::Unknown => Value::Unknown("the store adapter cannot read `mark`".into()),
            Field::Known(expire) => match super::record::seconds(record, *expire) {
                Some(seconds) => Value::text(seconds.to_string()),
                None => {
                    Value::Unknown("the mark is an instant, and the receipt time is unknown".into())
                }
            },
        },
    }
}

/// As written in scenarios.
pub fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Pager => "pager",
        Mode::Session => "session",
    }
}

/// As written in scenarios.
pub fn state_name(state: State) -> &'static str {
    match state {
        State::Waiting => "waiting",
        State::Delivering => "delivering",
        State::Delivered => "delivered",
        State::Expired => "expired",
        State::Deleted => "deleted",
    }
}

fn field_value<T>(field: &Field<T>, octets: impl Fn(&T) -> Vec<u8>, name: &str) -> Value {
    match field {
        Field::Known(value) => Value::Octets(octets(value)),
        Field::Absent => Value::Absent,
        Field::Unknown => Value::Unknown(format!("the store adapter cannot read `{name}`")),
    }
}
