//! A stored message as JSON, as the control API and a program write it. A key left out means *unknown*, `null`
//! means *there is none*.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use imspec_reports::record::{
    BodyDigest, Expire, Field, FurtherMessage, Mode, Octets, State, StoredHeader, StoredMessage,
    StoredPart, UtcTime,
};
use serde::Deserialize;

/// One record.
#[derive(Deserialize)]
pub(crate) struct Record {
    #[serde(default)]
    account: Key<String>,
    #[serde(default)]
    message_id: Key<String>,
    #[serde(default)]
    kind: Key<Mode>,
    #[serde(default)]
    start_line: Key<String>,
    #[serde(default)]
    headers: Vec<WireHeader>,
    #[serde(default)]
    headers_complete: bool,
    #[serde(default)]
    invite: Key<WirePart>,
    #[serde(default)]
    ok: Key<WirePart>,
    #[serde(default)]
    bye: Key<WirePart>,
    #[serde(default)]
    send: Key<WirePart>,
    #[serde(default)]
    further: Vec<WireFurther>,
    #[serde(default)]
    body: Key<WireBody>,
    #[serde(default)]
    received_at: Key<UtcTime>,
    #[serde(default)]
    stored_at: Key<UtcTime>,
    #[serde(default)]
    expire: Key<WireExpire>,
    #[serde(default)]
    state: Key<State>,
}

/// A key that may be missing, `null` or there.
#[derive(Default)]
enum Key<T> {
    #[default]
    Missing,
    Null,
    There(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Key<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::<T>::deserialize(deserializer).map(|value| value.map_or(Self::Null, Self::There))
    }
}

impl<T> Key<T> {
    fn field<U>(self, convert: impl FnOnce(T) -> Result<U, String>) -> Result<Field<U>, String> {
        Ok(match self {
            Self::Missing => Field::Unknown,
            Self::Null => Field::Absent,
            Self::There(value) => Field::Known(convert(value)?),
        })
    }
}

#[derive(Deserialize)]
struct WireHeader {
    name: String,
    value: Option<String>,
    value_base64: Option<String>,
}

/// What is kept of one message of a session.
#[derive(Deserialize)]
struct WirePart {
    #[serde(default)]
    start_line: Key<String>,
    #[serde(default)]
    headers: Vec<WireHeader>,
    #[serde(default)]
    headers_complete: bool,
}

/// A message after the first in a record of a whole session.
#[derive(Deserialize)]
struct WireFurther {
    #[serde(default)]
    send: Key<WirePart>,
    #[serde(default)]
    body: Key<WireBody>,
}

/// Octets, or number and digest of very many.
#[derive(Deserialize)]
struct WireBody {
    text: Option<String>,
    base64: Option<String>,
    octets: Option<u64>,
    sha256: Option<String>,
}

#[derive(Deserialize)]
struct WireExpire {
    #[serde(default)]
    seconds: Option<u64>,
    #[serde(default)]
    at: Option<UtcTime>,
}

impl Record {
    /// In the record model.
    ///
    /// # Errors
    /// Where a value is not what its key says.
    pub(crate) fn into_message(self) -> Result<StoredMessage, String> {
        let (body, body_digest) = body_of(self.body)?;
        let further = self.further.into_iter().map(WireFurther::into_message);
        Ok(StoredMessage {
            account: self.account.field(Ok)?,
            message_id: self.message_id.field(Ok)?,
            mode: self.kind.field(Ok)?,
            start_line: self.start_line.field(line)?,
            headers: headers_of(self.headers)?,
            headers_complete: self.headers_complete,
            invite: self.invite.field(WirePart::into_part)?,
            ok: self.ok.field(WirePart::into_part)?,
            bye: self.bye.field(WirePart::into_part)?,
            send: self.send.field(WirePart::into_part)?,
            further: further.collect::<Result<_, String>>()?,
            body,
            body_digest,
            received_at: self.received_at.field(Ok)?,
            stored_at: self.stored_at.field(Ok)?,
            expire: self.expire.field(|expire| {
                Ok(Expire {
                    seconds: expire.seconds,
                    at: expire.at,
                })
            })?,
            state: self.state.field(Ok)?,
        })
    }
}

impl WirePart {
    fn into_part(self) -> Result<StoredPart, String> {
        Ok(StoredPart {
            start_line: self.start_line.field(line)?,
            headers: headers_of(self.headers)?,
            headers_complete: self.headers_complete,
        })
    }
}

impl WireFurther {
    fn into_message(self) -> Result<FurtherMessage, String> {
        let (body, body_digest) = body_of(self.body)?;
        Ok(FurtherMessage {
            send: self.send.field(WirePart::into_part)?,
            body,
            body_digest,
        })
    }
}

#[expect(clippy::unnecessary_wraps, reason = "what `Key::field` takes")]
fn line(line: String) -> Result<Octets, String> {
    Ok(line.into_bytes().into())
}

fn headers_of(headers: Vec<WireHeader>) -> Result<Vec<StoredHeader>, String> {
    let headers = headers.into_iter().map(|header| {
        let value = octets(header.value, header.value_base64)?;
        Ok(StoredHeader {
            name: header.name,
            value: value.into(),
        })
    });
    headers.collect()
}

/// The octets of a body, or where it is too long their number and digest.
fn body_of(body: Key<WireBody>) -> Result<(Field<Octets>, Field<BodyDigest>), String> {
    match body {
        Key::There(WireBody {
            octets: Some(octets),
            sha256: Some(sha256),
            text: None,
            base64: None,
        }) => {
            let sha256 = sha256.to_ascii_lowercase();
            let digest = BodyDigest { octets, sha256 };
            Ok((Field::Unknown, Field::Known(digest)))
        }
        body => Ok((
            body.field(|body| octets(body.text, body.base64).map(Into::into))?,
            Field::Unknown,
        )),
    }
}

fn octets(text: Option<String>, base64: Option<String>) -> Result<Vec<u8>, String> {
    match (text, base64) {
        (Some(text), _) => Ok(text.into_bytes()),
        (None, Some(base64)) => STANDARD
            .decode(base64)
            .map_err(|e| format!("broken base64: {e}")),
        (None, None) => {
            Err("a value that is neither text nor base64, nor number and digest".into())
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    #[test]
    fn missing_is_unknown_and_null_is_absent() {
        let wire: Record = serde_json::from_value(json!({
            "account": "sip:bob@example.org",
            "expire": null,
            "headers": [{ "name": "Subject", "value": "Dinner" }, { "name": "X", "value_base64": "/w==" }],
            "body": { "base64": "AAE=" },
        }))
        .unwrap();
        let record = wire.into_message().unwrap();
        assert_eq!(record.account, Field::Known("sip:bob@example.org".into()));
        assert_eq!(record.expire, Field::Absent);
        assert_eq!(record.state, Field::Unknown);
        assert!(!record.headers_complete);
        assert_eq!(record.headers[1].value[..], [0xff]);
        assert_eq!(record.body.known().unwrap()[..], [0, 1]);
    }

    #[test]
    fn a_record_of_a_session_has_parts_and_perhaps_only_a_digest() {
        let part = json!({
            "start_line": "INVITE sip:bob@example.org SIP/2.0",
            "headers": [{ "name": "Subject", "value": "Dinner" }],
            "headers_complete": true,
        });
        let wire: Record = serde_json::from_value(json!({
            "kind": "session",
            "invite": part,
            "bye": null,
            "send": { "start_line": "MSRP a1b2 SEND", "headers": [], "headers_complete": false },
            "body": { "octets": 67_108_864, "sha256": "AB".repeat(32) },
            "further": [{ "send": { "headers": [] }, "body": { "text": "more" } }],
        }))
        .unwrap();
        let record = wire.into_message().unwrap();
        assert_eq!(record.mode, Field::Known(Mode::Session));
        let invite = record.invite.known().unwrap();
        assert!(invite.headers_complete && invite.headers[0].name == "Subject");
        assert_eq!((&record.ok, &record.bye), (&Field::Unknown, &Field::Absent));
        assert_eq!(record.body, Field::Unknown);
        let digest = record.body_digest.known().unwrap();
        assert_eq!(digest.octets, 67_108_864);
        assert_eq!(digest.sha256, "ab".repeat(32));
        assert_eq!(record.further[0].body.known().unwrap()[..], *b"more");
        let broken = json!({ "body": { "octets": 5 } });
        let wire: Record = serde_json::from_value(broken).unwrap();
        assert!(wire.into_message().is_err());
    }

    #[test]
    fn a_mark_may_be_a_lifetime_or_an_instant() {
        let wire: Record = serde_json::from_value(json!({
            "expire": { "seconds": 600, "at": "2026-11-23T02:10:33Z", "raw": "600" }, "state": "waiting",
        }))
        .unwrap();
        let record = wire.into_message().unwrap();
        assert_eq!(record.expire.known().unwrap().seconds, Some(600));
        assert_eq!(record.state, Field::Known(State::Waiting));
    }
}
