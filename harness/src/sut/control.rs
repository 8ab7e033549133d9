//! The control API over HTTP: one client for the store, the clock, the policy and the accounts of a server
//! that offers it. The reference server does; for another server it is a shim that its maker writes.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use imspec_reports::record::{
    BodyDigest, Expire, Field, FurtherMessage, Mode, Octets, State, StoredHeader, StoredMessage,
    StoredPart, UtcTime,
};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::policy::SetError;

/// How long one request may take; moving the clock by a month expires a month's messages first.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a connection may lie idle and still be used again. A server closes idle ones when it likes, many after
/// two to five seconds, and what is sent at that moment is lost.
const IDLE: Duration = Duration::from_millis(500);
/// Largest answer that is read.
const LARGEST: usize = 256 * 1024 * 1024;

/// A client of the control API of one server.
#[derive(Debug, Clone)]
pub(crate) struct Control {
    base: String,
    client: Client,
}

/// An account that a case needs.
#[derive(Clone)]
pub struct NewAccount {
    /// Address of record.
    pub address: String,
    /// Its password, where it has one.
    pub password: Option<String>,
}

impl Control {
    /// A client of the API at `base`, e.g. `http://127.0.0.1:8060`.
    pub(crate) fn new(base: &str) -> Result<Self, String> {
        let client = Client::builder()
            // The API is on loopback; a proxy of the environment would never reach it.
            .no_proxy()
            .timeout(PATIENCE)
            .pool_idle_timeout(IDLE)
            .build()
            .map_err(|e| format!("no HTTP client: {e}"))?;
        Ok(Self {
            base: base.trim_end_matches('/').to_owned(),
            client,
        })
    }

    /// The records of an account, by its address of record.
    pub(crate) async fn messages(&self, account: &str) -> Result<Vec<StoredMessage>, String> {
        let request = self
            .client
            .get(self.url(&format!("/v1/messages?account={}", escape(account))));
        match self.ask(request).await? {
            // No such account: nothing can lie in it.
            (StatusCode::NOT_FOUND, _) => Ok(Vec::new()),
            answer => {
                let page: Messages = parse(&found(answer)?)?;
                page.messages.into_iter().map(Wire::into_record).collect()
            }
        }
    }

    /// Makes sure that these accounts exist, with these passwords where there are some.
    pub(crate) async fn add_accounts(&self, accounts: &[NewAccount]) -> Result<(), SetError> {
        let add: Vec<Value> = accounts
            .iter()
            .map(|new| match &new.password {
                None => json!(new.address),
                Some(password) => json!({ "account": new.address, "password": password }),
            })
            .collect();
        let request = self
            .client
            .post(self.url("/v1/accounts"))
            .json(&json!({ "add": add }));
        taken(self.ask(request).await?)
    }

    /// The store clock now.
    pub(crate) async fn clock(&self) -> Result<UtcTime, String> {
        self.ask(self.client.get(self.url("/v1/clock")))
            .await
            .and_then(found)
            .and_then(|body| now_of(&body))
    }

    /// Moves the store clock on by so many milliseconds; returns what it shows then.
    pub(crate) async fn advance(&self, by_ms: u64) -> Result<UtcTime, String> {
        let request = self
            .client
            .post(self.url("/v1/clock/advance"))
            .json(&json!({ "by_ms": by_ms }));
        self.ask(request)
            .await
            .and_then(found)
            .and_then(|body| now_of(&body))
    }

    /// What the provider has chosen, by PICS key.
    pub(crate) async fn policy(&self) -> Result<BTreeMap<String, Value>, String> {
        self.ask(self.client.get(self.url("/v1/policy")))
            .await
            .and_then(found)
            .and_then(|body| parse(&body))
    }

    /// Chooses.
    pub(crate) async fn set_policy(
        &self,
        values: &BTreeMap<String, Value>,
    ) -> Result<(), SetError> {
        let request = self.client.patch(self.url("/v1/policy")).json(values);
        taken(self.ask(request).await?)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Status and body. A status that is neither a success nor 404 nor 422 is an error with the server's sentence.
    async fn ask(&self, request: RequestBuilder) -> Result<(StatusCode, Vec<u8>), String> {
        let failed = |e: &dyn std::fmt::Display| format!("control API at {}: {e}", self.base);
        let mut response = request.send().await.map_err(|e| failed(&root(&e)))?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| failed(&root(&e)))? {
            if body.len() + chunk.len() > LARGEST {
                return Err(failed(&format!("an answer of more than {LARGEST} octets")));
            }
            body.extend_from_slice(&chunk);
        }
        let plain = [StatusCode::NOT_FOUND, StatusCode::UNPROCESSABLE_ENTITY];
        if status.is_success() || plain.contains(&status) {
            return Ok((status, body));
        }
        Err(failed(&format!("{status}: {}", sentence(&body))))
    }
}

/// What the server says about a request that it refused.
fn sentence(body: &[u8]) -> String {
    serde_json::from_slice::<Failure>(body).map_or_else(
        |_| String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned(),
        |failure| failure.error,
    )
}

/// The answer to a change. The contract has 422 for what this server cannot be: that says nothing against the
/// way to it.
fn taken((status, body): (StatusCode, Vec<u8>)) -> Result<(), SetError> {
    if status == StatusCode::UNPROCESSABLE_ENTITY {
        return Err(SetError::Declined(sentence(&body)));
    }
    found((status, body)).map(drop).map_err(SetError::Failed)
}

/// The innermost cause: `connection refused` says more than `error sending request`.
fn root(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

fn found((status, body): (StatusCode, Vec<u8>)) -> Result<Vec<u8>, String> {
    if status == StatusCode::NOT_FOUND {
        return Err("the control API has no such resource (404)".into());
    }
    if status == StatusCode::UNPROCESSABLE_ENTITY {
        return Err(format!("{status}: {}", sentence(&body)));
    }
    Ok(body)
}

fn parse<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body)
        .map_err(|e| format!("an answer of the control API is not as agreed: {e}"))
}

fn now_of(body: &[u8]) -> Result<UtcTime, String> {
    parse::<Now>(body).map(|clock| clock.now)
}

/// Percent-encodes all but unreserved characters.
fn escape(text: &str) -> String {
    use std::fmt::Write as _;
    let mut escaped = String::with_capacity(text.len() * 2);
    for octet in text.bytes() {
        if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
            escaped.push(char::from(octet));
        } else {
            let _ = write!(escaped, "%{octet:02X}");
        }
    }
    escaped
}

#[derive(Deserialize)]
struct Failure {
    error: String,
}

#[derive(Deserialize)]
struct Now {
    now: UtcTime,
}

#[derive(Deserialize)]
struct Messages {
    messages: Vec<Wire>,
}

/// A stored message as the API writes it. A key left out means *unknown*, `null` means *there is none*.
#[derive(Deserialize)]
struct Wire {
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

impl Wire {
    fn into_record(self) -> Result<StoredMessage, String> {
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
            .map_err(|e| format!("the control API sent broken base64: {e}")),
        (None, None) => Err(
            "the control API sent a value that is neither text nor base64, nor number and digest"
                .into(),
        ),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn missing_is_unknown_and_null_is_absent() {
        let wire: Wire = serde_json::from_value(json!({
            "account": "sip:bob@example.org",
            "expire": null,
            "headers": [{ "name": "Subject", "value": "Dinner" }, { "name": "X", "value_base64": "/w==" }],
            "body": { "base64": "AAE=" },
        }))
        .unwrap();
        let record = wire.into_record().unwrap();
        assert_eq!(record.account, Field::Known("sip:bob@example.org".into()));
        assert_eq!(record.expire, Field::Absent);
        assert_eq!(record.state, Field::Unknown);
        assert!(!record.headers_complete);
        assert_eq!(record.headers[1].value[..], [0xff]);
        assert_eq!(record.body.known().unwrap()[..], [0, 1]);
    }

    #[test]
    fn what_a_server_declines_is_no_failure_of_the_way_to_it() {
        let body = br#"{"error":"policy.expired cannot be other:hold here"}"#.to_vec();
        let declined = taken((StatusCode::UNPROCESSABLE_ENTITY, body.clone())).unwrap_err();
        assert!(matches!(declined, SetError::Declined(_)));
        assert_eq!(
            declined.to_string(),
            "the server declines: policy.expired cannot be other:hold here"
        );
        let lost = taken((StatusCode::NOT_FOUND, Vec::new())).unwrap_err();
        assert!(matches!(lost, SetError::Failed(_)));
        assert!(taken((StatusCode::OK, Vec::new())).is_ok());
        let why = found((StatusCode::UNPROCESSABLE_ENTITY, body)).unwrap_err();
        assert!(why.starts_with("422 Unprocessable Entity: "), "{why}");
    }

    #[test]
    fn a_record_of_a_session_has_parts_and_perhaps_only_a_digest() {
        let part = json!({
            "start_line": "INVITE sip:bob@example.org SIP/2.0",
            "headers": [{ "name": "Subject", "value": "Dinner" }],
            "headers_complete": true,
        });
        let wire: Wire = serde_json::from_value(json!({
            "kind": "session",
            "invite": part,
            "bye": null,
            "send": { "start_line": "MSRP a1b2 SEND", "headers": [], "headers_complete": false },
            "body": { "octets": 67_108_864, "sha256": "AB".repeat(32) },
            "further": [{ "send": { "headers": [] }, "body": { "text": "more" } }],
        }))
        .unwrap();
        let record = wire.into_record().unwrap();
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
        let wire: Wire = serde_json::from_value(broken).unwrap();
        assert!(wire.into_record().is_err());
    }

    #[test]
    fn a_mark_may_be_a_lifetime_or_an_instant() {
        let wire: Wire = serde_json::from_value(json!({
            "expire": { "seconds": 600, "at": "2026-11-23T02:10:33Z", "raw": "600" }, "state": "waiting",
        }))
        .unwrap();
        let record = wire.into_record().unwrap();
        assert_eq!(record.expire.known().unwrap().seconds, Some(600));
        assert_eq!(record.state, Field::Known(State::Waiting));
    }

    #[test]
    fn accounts_are_escaped_in_the_query() {
        assert_eq!(escape("sip:bob@example.org"), "sip%3Abob%40example.org");
        assert_eq!(escape("ü&="), "%C3%BC%26%3D");
    }
}
