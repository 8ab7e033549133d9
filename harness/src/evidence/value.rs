//! Late references: what `${sent.header.Call-ID}` is in this trace.

use imspec_reports::record::{EventKind, Field, State, StoredMessage};
use imspec_wire::sip::Message;

use super::{Saved, View};
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
        (Saved::Request { response, .. }, SavedField::Status) => {
            match response.and_then(|(_, r)| r.status()) {
                Some(status) => Value::text(status.to_string()),
                None => Value::Absent,
            }
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
        (Saved::Records { records, .. }, SavedField::Record(field)) => match records.as_slice() {
            [one] => field_of(one, *field),
            several => Value::List(
                several
                    .iter()
                    .map(|record| field_of(record, *field))
                    .collect(),
            ),
        },
        (Saved::Records { records, .. }, SavedField::Body) => match records.as_slice() {
            [one] => field_value(&one.body, |body| body.to_vec(), "body"),
            several => Value::List(
                several
                    .iter()
                    .map(|r| field_value(&r.body, |body| body.to_vec(), "body"))
                    .collect(),
            ),
        },
        (Saved::Records { .. }, _) => Value::Unknown(format!(
            "`{name}` is a record of the store, which has no such field"
        )),
    }
}

fn of_message(message: &Message, name: &str, field: &SavedField) -> Value {
    match field {
        SavedField::Body => Value::Octets(message.body().to_vec()),
        SavedField::Uri => message
            .request_uri()
            .map_or(Value::Absent, |uri| Value::Octets(uri.to_vec())),
        SavedField::Header(header) => header_value(message, header),
        SavedField::Status | SavedField::ResponseHeader(_) => Value::Unknown(format!(
            "`{name}` is a received request; it has no response"
        )),
        SavedField::Itself | SavedField::Record(_) => {
            Value::Unknown(format!("`{name}` is a message, not a record"))
        }
        SavedField::Path
        | SavedField::OwnPath
        | SavedField::Sdp(_)
        | SavedField::MsrpId
        | SavedField::Report
        | SavedField::Send(_)
        | SavedField::Mode => Value::Unknown(format!("`{name}` came through no session")),
    }
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
