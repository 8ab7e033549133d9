//! The control API: how a tester reads the store, moves the clock and sets the policy.
//!
//! `openapi.yaml` is the contract; this room keeps it. Another server's maker can serve the same
//! document and leave out what that server does not know.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::Addresses;
use crate::account::Addressee;
use crate::clock::{ClockError, Timestamp};
use crate::context::Context;
use crate::expiry::{Expiry, InFlight};
use crate::policy::SettingError;
use crate::store::StoreError;

mod view;

use self::view::MessageView;

/// The contract.
pub const OPENAPI: &str = include_str!("../openapi.yaml");

/// Largest request body, for a great many accounts at once.
const BODY: usize = 8 * 1024 * 1024;

/// What the handlers need.
pub(crate) struct Control {
    pub(crate) context: Arc<Context>,
    pub(crate) expiry: Arc<Expiry>,
    pub(crate) in_flight: InFlight,
    pub(crate) addresses: Addresses,
    /// One change of the policy at a time, so that disk and memory agree.
    pub(crate) policy_turn: tokio::sync::Mutex<()>,
}

type Shared = State<Arc<Control>>;

/// Serves the API until the server stops.
pub(crate) async fn serve(control: Arc<Control>, listener: TcpListener) {
    // Open connections are not the server's own tasks; they end by this.
    let stopped = control.context.tasks.stopped();
    let router = Router::new()
        .route("/openapi.yaml", get(openapi))
        .route("/v1/health", get(health))
        .route("/v1/accounts", get(accounts).post(change_accounts))
        .route("/v1/messages", get(messages))
        .route("/v1/clock", get(clock))
        .route("/v1/clock/advance", post(advance))
        .route("/v1/policy", get(policy).patch(change_policy))
        .fallback(|| async { Failure::new(StatusCode::NOT_FOUND, "there is no such resource") })
        .method_not_allowed_fallback(|| async {
            Failure::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "this resource does not take that method; /openapi.yaml tells which it takes",
            )
        })
        .layer(DefaultBodyLimit::max(BODY))
        .with_state(control);
    if let Err(error) = axum::serve(listener, router)
        .with_graceful_shutdown(stopped)
        .await
    {
        tracing::error!(%error, "the control API stopped");
    }
}

/// An error, as `{"error": "sentence"}`.
struct Failure {
    status: StatusCode,
    sentence: String,
}

impl Failure {
    fn new(status: StatusCode, sentence: impl Into<String>) -> Self {
        Self {
            status,
            sentence: sentence.into(),
        }
    }

    fn bad(sentence: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, sentence)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "error": self.sentence }))).into_response()
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let status = match error {
            StoreError::Busy | StoreError::Closed => StatusCode::SERVICE_UNAVAILABLE,
            StoreError::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}

impl From<SettingError> for Failure {
    fn from(error: SettingError) -> Self {
        Self::bad(error.to_string())
    }
}

impl From<ClockError> for Failure {
    fn from(error: ClockError) -> Self {
        Self::bad(error.to_string())
    }
}

impl From<JsonRejection> for Failure {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

type Body<T> = Result<Json<T>, JsonRejection>;
type Outcome<T> = Result<Json<T>, Failure>;

async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/yaml")], OPENAPI)
}

async fn health(State(control): Shared) -> Json<Value> {
    Json(json!({
        "status": "ok",
        "server": env!("CARGO_PKG_NAME"),
        "version": env!("CARGO_PKG_VERSION"),
        "domain": control.context.domains.main(),
        "sip": {
            "udp": control.addresses.udp,
            "tcp": control.addresses.tcp,
            "tls": control.addresses.tls,
            "ws": control.addresses.ws,
            "wss": control.addresses.wss,
        },
        "msrp": { "tcp": control.addresses.msrp, "tls": control.addresses.msrps },
    }))
}

async fn accounts(State(control): Shared) -> Outcome<Value> {
    let accounts = control.context.parts.store.accounts().await?;
    Ok(Json(json!({ "accounts": accounts })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountChange {
    #[serde(default)]
    add: Vec<NewAccount>,
    #[serde(default)]
    remove: Vec<String>,
}

/// An account, perhaps with a password.
#[derive(Deserialize)]
#[serde(untagged)]
enum NewAccount {
    Bare(String),
    With(WithPassword),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WithPassword {
    account: String,
    password: String,
}

async fn change_accounts(State(control): Shared, change: Body<AccountChange>) -> Outcome<Value> {
    let Json(change) = change?;
    let keys = |uris: Vec<String>| -> Result<Vec<String>, Failure> {
        uris.iter().map(|uri| account_key(&control, uri)).collect()
    };
    let (mut add, mut passwords) = (Vec::new(), Vec::new());
    for new in change.add {
        match new {
            NewAccount::Bare(uri) => add.push(account_key(&control, &uri)?),
            NewAccount::With(new) => {
                let account = account_key(&control, &new.account)?;
                passwords.push((account.clone(), new.password));
                add.push(account);
            }
        }
    }
    let remove = keys(change.remove)?;
    let store = &control.context.parts.store;
    // Both are asked for before either is awaited, so that the store needs one commit for them.
    let changed = store.change_accounts(add, remove);
    let set = (!passwords.is_empty()).then(|| store.set_passwords(passwords));
    let count = changed.await?;
    if let Some(set) = set {
        set.await?;
    }
    Ok(Json(json!({ "accounts": count })))
}

fn account_key(control: &Control, uri: &str) -> Result<String, Failure> {
    match control.context.domains.addressee(uri.as_bytes()) {
        Addressee::User(account) => Ok(account),
        _ => Err(Failure::bad(format!(
            "`{uri}` is no sip: URI of a user in a served domain, such as sip:bob@{}",
            control.context.domains.main()
        ))),
    }
}

#[derive(Deserialize)]
struct Which {
    account: Option<String>,
}

async fn messages(State(control): Shared, Query(which): Query<Which>) -> Outcome<Value> {
    let store = &control.context.parts.store;
    let account = match which.account {
        None => None,
        Some(uri) => {
            let account = account_key(&control, &uri)
                .map_err(|error| Failure::new(StatusCode::NOT_FOUND, error.sentence))?;
            if !store.has_account(&account).await? {
                let sentence = format!("there is no account {account}");
                return Err(Failure::new(StatusCode::NOT_FOUND, sentence));
            }
            Some(account)
        }
    };
    let mut views = Vec::new();
    for stored in store.messages(account).await? {
        views.push(MessageView::of(&control, &stored).await?);
    }
    Ok(Json(json!({ "messages": views })))
}

async fn clock(State(control): Shared) -> Json<Value> {
    let clock = &control.context.parts.clock;
    Json(json!({ "now": clock.now(), "movable": clock.movable() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    by_ms: Option<i64>,
    to: Option<String>,
}

async fn advance(State(control): Shared, advance: Body<Advance>) -> Outcome<Value> {
    let Json(advance) = advance?;
    let parts = &control.context.parts;
    let micros = match (advance.by_ms, advance.to) {
        (Some(ms), None) => ms.checked_mul(1000).ok_or(ClockError::OutOfRange)?,
        (None, Some(text)) => {
            let to = Timestamp::parse(&text).ok_or_else(|| {
                Failure::bad(format!("`to` is `{text}`; it must be an RFC 3339 time"))
            })?;
            to.micros().saturating_sub(parts.clock.now().micros())
        }
        _ => return Err(Failure::bad("give either `by_ms` or `to`")),
    };
    let offset = parts.clock.shift(micros)?;
    // A restarted server goes on in the same store time.
    let offset = BTreeMap::from([(OFFSET_KEY.to_owned(), json!(offset))]);
    // All at once, so that the store needs one commit for them.
    let (saved, lapsed, swept) = tokio::join!(
        parts.store.save_settings(offset),
        parts.store.remove_lapsed(parts.clock.now()),
        control.expiry.sweep(),
    );
    saved?;
    lapsed?;
    swept?;
    Ok(Json(json!({ "now": parts.clock.now() })))
}

/// Where the clock's offset is kept, in microseconds. The colon keeps it apart from PICS keys.
pub(crate) const OFFSET_KEY: &str = "clock:offset_us";

async fn policy(State(control): Shared) -> Json<Value> {
    Json(Value::Object(control.context.policy.settings().entries()))
}

async fn change_policy(
    State(control): Shared,
    changes: Body<BTreeMap<String, Value>>,
) -> Outcome<Value> {
    let Json(changes) = changes?;
    let _turn = control.policy_turn.lock().await;
    let policy = &control.context.policy;
    policy.settings().with(&changes)?;
    control
        .context
        .parts
        .store
        .save_settings(changes.clone())
        .await?;
    let settings = policy.change(&changes)?;
    control.expiry.look_again();
    Ok(Json(Value::Object(settings.entries())))
}
