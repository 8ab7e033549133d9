//! The control API over HTTP: one client for the store, the clock, the policy and the accounts of a server
//! that offers it. The reference server does; for another server it is a shim that its maker writes.

use std::collections::BTreeMap;
use std::time::Duration;

use imspec_reports::record::{StoredMessage, UtcTime};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::accounts::NewAccount;
use super::policy::SetError;
use super::store::json::Record;

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
        match self.ask_again(request).await? {
            // No such account: nothing can lie in it.
            (StatusCode::NOT_FOUND, _) => Ok(Vec::new()),
            answer => {
                let page: Messages = parse(&found(answer)?)?;
                let records = page.messages.into_iter().map(Record::into_message);
                records
                    .collect::<Result<_, _>>()
                    .map_err(|why| format!("an answer of the control API is not as agreed: {why}"))
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
        taken(self.ask_again(request).await?)
    }

    /// The store clock now.
    pub(crate) async fn clock(&self) -> Result<UtcTime, String> {
        self.ask_again(self.client.get(self.url("/v1/clock")))
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
        self.ask_again(self.client.get(self.url("/v1/policy")))
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
        taken(self.ask_again(request).await?)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// The same for a request that does no more when it comes twice: where a server closes a connection just as
    /// something is sent over it, it is sent once more, over another one (RFC 9110 §9.2.2).
    async fn ask_again(&self, request: RequestBuilder) -> Result<(StatusCode, Vec<u8>), String> {
        let Some(first) = request.try_clone() else {
            return self.ask(request).await;
        };
        match first.send().await {
            Ok(response) => self.read(response).await,
            // Who does not answer in time, or cannot be reached, is not asked twice.
            Err(error) if error.is_timeout() || error.is_connect() => {
                Err(self.failed(&root(&error)))
            }
            Err(_) => self.ask(request).await,
        }
    }

    /// Status and body. A status that is neither a success nor 404 nor 422 is an error with the server's sentence.
    async fn ask(&self, request: RequestBuilder) -> Result<(StatusCode, Vec<u8>), String> {
        let response = request.send().await;
        let response = response.map_err(|error| self.failed(&root(&error)))?;
        self.read(response).await
    }

    async fn read(&self, mut response: Response) -> Result<(StatusCode, Vec<u8>), String> {
        let status = response.status();
        let mut body = Vec::new();
        loop {
            let chunk = response.chunk().await;
            let Some(chunk) = chunk.map_err(|error| self.failed(&root(&error)))? else {
                break;
            };
            if body.len() + chunk.len() > LARGEST {
                return Err(self.failed(&format!("an answer of more than {LARGEST} octets")));
            }
            body.extend_from_slice(&chunk);
        }
        let plain = [StatusCode::NOT_FOUND, StatusCode::UNPROCESSABLE_ENTITY];
        if status.is_success() || plain.contains(&status) {
            return Ok((status, body));
        }
        Err(self.failed(&format!("{status}: {}", sentence(&body))))
    }

    fn failed(&self, why: &str) -> String {
        format!("control API at {}: {why}", self.base)
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
    messages: Vec<Record>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::{Arc, Mutex};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

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

    /// A server that hangs up on the first request that comes, and answers the others; gives its address, and the first
    /// lines of what came once somebody asks.
    async fn hangs_up_once() -> (String, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut buffer = vec![0; 4096];
                let length = stream.read(&mut buffer).await.unwrap();
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                let came = {
                    let mut lines = lines.lock().unwrap();
                    lines.push(text.lines().next().unwrap().to_owned());
                    lines.len()
                };
                if came > 1 {
                    let body = "{\"now\":\"2026-01-01T00:00:00Z\"}";
                    let head =
                        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json";
                    let answer = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            }
        });
        (base, seen)
    }

    #[tokio::test]
    async fn what_may_come_twice_is_asked_again_where_the_server_hangs_up() {
        let (base, seen) = hangs_up_once().await;
        let control = Control::new(&base).unwrap();
        assert!(control.clock().await.is_ok());
        assert_eq!(*seen.lock().unwrap(), ["GET /v1/clock HTTP/1.1"; 2]);
        let (base, seen) = hangs_up_once().await;
        let control = Control::new(&base).unwrap();
        assert!(control.set_policy(&BTreeMap::new()).await.is_ok());
        assert_eq!(*seen.lock().unwrap(), ["PATCH /v1/policy HTTP/1.1"; 2]);
    }

    #[tokio::test]
    async fn a_clock_is_not_moved_twice() {
        let (base, seen) = hangs_up_once().await;
        let control = Control::new(&base).unwrap();
        let why = control.advance(1000).await.unwrap_err();
        assert!(why.starts_with("control API at http://127.0.0.1:"), "{why}");
        assert_eq!(*seen.lock().unwrap(), ["POST /v1/clock/advance HTTP/1.1"]);
    }

    #[test]
    fn accounts_are_escaped_in_the_query() {
        assert_eq!(escape("sip:bob@example.org"), "sip%3Abob%40example.org");
        assert_eq!(escape("ü&="), "%C3%BC%26%3D");
    }
}
