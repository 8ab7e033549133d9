//! The control API keeps its published contract: every route and every answer is checked against
//! `openapi.yaml`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use serde_json::{Value, json};
use support::sender::{Msrp, offer, own_path};
use support::{ALICE, BOB, Setup};

/// The contract, and which of its operations were seen.
struct Contract {
    document: Value,
    seen: std::collections::BTreeSet<(String, String, String)>,
}

impl Contract {
    fn new(text: &str) -> Self {
        let document: Value = serde_yaml::from_str(text).unwrap();
        Self {
            document,
            seen: std::collections::BTreeSet::new(),
        }
    }

    fn schema_of(&self, node: &Value) -> Option<Value> {
        let node = match node["$ref"].as_str() {
            Some(reference) => self
                .document
                .pointer(reference.trim_start_matches('#'))
                .unwrap(),
            None => node,
        };
        let mut schema = node["content"].get("application/json")?["schema"].clone();
        schema["components"] = self.document["components"].clone();
        Some(schema)
    }

    fn check(&mut self, method: &str, path: &str, status: u16, body: &Value) {
        let bare = path.split('?').next().unwrap();
        let method = method.to_lowercase();
        let operation = &self.document["paths"][bare][&method];
        assert!(
            operation.is_object(),
            "{method} {bare} is not in the contract"
        );
        let response = &operation["responses"][status.to_string()];
        assert!(
            response.is_object(),
            "{method} {bare} gives {status}, which is not in the contract"
        );
        if let Some(schema) = self.schema_of(response) {
            let validator = jsonschema::validator_for(&schema).unwrap();
            let errors: Vec<String> = validator
                .iter_errors(body)
                .map(|e| format!("{}: {e}", e.instance_path()))
                .collect();
            assert!(errors.is_empty(), "{method} {path}: {errors:?}\n{body:#}");
        }
        self.seen
            .insert((bare.to_owned(), method, status.to_string()));
    }

    fn check_request(&self, method: &str, path: &str, body: &Value) -> bool {
        let operation = &self.document["paths"][path][method.to_lowercase()];
        let schema = self.schema_of(&operation["requestBody"]).unwrap();
        jsonschema::validator_for(&schema).unwrap().is_valid(body)
    }

    fn all(&self) -> std::collections::BTreeSet<(String, String, String)> {
        let mut all = std::collections::BTreeSet::new();
        for (path, item) in self.document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                for status in operation["responses"].as_object().unwrap().keys() {
                    all.insert((path.clone(), method.clone(), status.clone()));
                }
            }
        }
        all
    }
}

/// Calls that are granted.
fn granted() -> Vec<(&'static str, &'static str, Option<Value>)> {
    vec![
        ("GET", "/v1/health", None),
        ("GET", "/v1/accounts", None),
        (
            "POST",
            "/v1/accounts",
            Some(json!({ "add": ["sip:dora@example.org"] })),
        ),
        (
            "POST",
            "/v1/accounts",
            Some(json!({ "add": [{ "account": "sip:dora@example.org", "password": "s3cret" }] })),
        ),
        (
            "POST",
            "/v1/accounts",
            Some(json!({ "remove": ["sip:dora@example.org"] })),
        ),
        ("GET", "/v1/messages", None),
        ("GET", "/v1/messages?account=sip:bob%40example.org", None),
        ("GET", "/v1/clock", None),
        ("POST", "/v1/clock/advance", Some(json!({ "by_ms": 1 }))),
        (
            "POST",
            "/v1/clock/advance",
            Some(json!({ "by_ms": -3_600_000 })),
        ),
        (
            "POST",
            "/v1/clock/advance",
            Some(json!({ "to": "2040-01-01T00:00:00Z" })),
        ),
        ("GET", "/v1/policy", None),
        (
            "PATCH",
            "/v1/policy",
            Some(json!({ "policy.expired": "deliver" })),
        ),
        (
            "PATCH",
            "/v1/policy",
            Some(json!({ "expire.default.pm": "none", "expire.clamp": 9 })),
        ),
        (
            "PATCH",
            "/v1/policy",
            Some(json!({
                "store.modes": ["session"], "delivery.form": "session", "expire.default.lm": 5,
                "lm.expires.honoured": "no", "lm.expires.chunk": "min", "lm.base": "bye",
                "lm.invite_headers": ["all"], "lm.ok_headers": [], "lm.bye_headers": ["Reason"],
                "lm.multi": "one-per-session", "lm.no_bye": "drop", "lm.success_report": "on-delivery",
            })),
        ),
    ]
}

/// Calls that are refused, and the status.
fn refused() -> Vec<(&'static str, &'static str, Value, u16)> {
    vec![
        ("POST", "/v1/accounts", json!({ "add": ["bob"] }), 400),
        (
            "POST",
            "/v1/accounts",
            json!({ "add": ["sip:bob@elsewhere.test"] }),
            400,
        ),
        ("POST", "/v1/accounts", json!({ "added": [] }), 422),
        (
            "GET",
            "/v1/messages?account=sip:nobody%40example.org",
            Value::Null,
            404,
        ),
        ("GET", "/v1/messages?account=nobody", Value::Null, 404),
        ("POST", "/v1/clock/advance", json!({}), 400),
        (
            "POST",
            "/v1/clock/advance",
            json!({ "by_ms": 1, "to": "2040-01-01T00:00:00Z" }),
            400,
        ),
        (
            "POST",
            "/v1/clock/advance",
            json!({ "by_ms": i64::MAX }),
            400,
        ),
        (
            "POST",
            "/v1/clock/advance",
            json!({ "to": "tomorrow" }),
            400,
        ),
        ("POST", "/v1/clock/advance", json!({ "by_ms": "1" }), 422),
        (
            "PATCH",
            "/v1/policy",
            json!({ "policy.expired": "keep" }),
            400,
        ),
        (
            "PATCH",
            "/v1/policy",
            json!({ "policy.expired": "delete", "no.such": 1 }),
            400,
        ),
        ("PATCH", "/v1/policy", json!([]), 422),
    ]
}

/// Fills the store with messages of every kind that the contract can show.
async fn fill(setup: &Setup) {
    let mut alice = setup.agent(ALICE).await;
    assert_eq!(alice.text(BOB, "with a default").await, 202);
    let octets = alice
        .message(BOB)
        .header("Expires", "60")
        .header("X-Latin", b"\xe9")
        .body(vec![0xff, 0x00]);
    assert_eq!(alice.ask(octets).await.status(), Some(202));
    setup
        .control
        .policy(json!({ "expire.marking": "off", "lm.multi": "one-per-session" }))
        .await;
    assert_eq!(alice.text(BOB, "without a mark").await, 202);
    let own = own_path();
    let invite = alice.invitation(BOB, &offer(&own, 7394, ""));
    let mut dialog = alice.establish(invite).await;
    let mut msrp = Msrp::connect(&dialog.path(), &own).await;
    let chunk = |range: &str| format!("Message-ID: m1\r\nByte-Range: {range}\r\n");
    assert_eq!(msrp.send(&chunk("1-1/2"), b"a", '+').await, 200);
    assert_eq!(msrp.send(&chunk("2-2/2"), b"\xff", '$').await, 200);
    assert_eq!(msrp.message("m2", &vec![b'x'; 1024 * 1024 + 1]).await, 200);
    dialog.bye(&mut alice).await;
    drop(msrp);
    setup.control.until_count(BOB, 4).await;
    let records = setup.control.messages(BOB).await;
    let further = &records[3]["further"][0];
    assert_eq!(records[3]["body"], json!({"base64": "Yf8="}));
    assert_eq!(further["body"]["octets"], 1024 * 1024 + 1);
    let digest = ring::digest::digest(&ring::digest::SHA256, &vec![b'x'; 1024 * 1024 + 1]);
    let hex: String = digest
        .as_ref()
        .iter()
        .fold(String::new(), |hex, octet| hex + &format!("{octet:02x}"));
    assert_eq!(further["body"]["sha256"], hex);
}

#[tokio::test]
async fn every_route_and_every_answer_is_as_published() {
    let setup = Setup::new("policy: { expire.default.pm: 100 }").await;
    let control = setup.control;
    let (status, published) = control.call("GET", "/openapi.yaml", None).await;
    assert_eq!(
        (status, published.as_str()),
        (200, include_str!("../openapi.yaml"))
    );
    let mut contract = Contract::new(&published);
    contract.check("GET", "/openapi.yaml", 200, &Value::Null);
    fill(&setup).await;
    for (method, path, body) in granted() {
        if let Some(body) = &body {
            assert!(
                contract.check_request(method, path, body),
                "{method} {path} {body}"
            );
        }
        let (status, text) = control.call(method, path, body.as_ref()).await;
        assert_eq!(status, 200, "{method} {path}: {text}");
        contract.check(method, path, status, &serde_json::from_str(&text).unwrap());
    }
    let before = control.get("/v1/policy").await;
    for (method, path, body, expected) in refused() {
        let body = Some(body).filter(|body| !body.is_null());
        let (status, text) = control.call(method, path, body.as_ref()).await;
        assert_eq!(status, expected, "{method} {path} {body:?}: {text}");
        contract.check(method, path, status, &serde_json::from_str(&text).unwrap());
    }
    for (method, path) in [
        ("POST", "/v1/accounts"),
        ("POST", "/v1/clock/advance"),
        ("PATCH", "/v1/policy"),
    ] {
        // Without saying that it is JSON.
        let head = "Host: x\r\nConnection: close\r\nContent-Length: 2";
        let raw = format!("{method} {path} HTTP/1.1\r\n{head}\r\n\r\n{{}}");
        let (status, text) = control.raw(&raw).await;
        assert_eq!(status, 415);
        contract.check(method, path, status, &serde_json::from_str(&text).unwrap());
    }
    assert_eq!(
        control.get("/v1/policy").await,
        before,
        "a refusal changes nothing"
    );
    assert_eq!(
        contract
            .all()
            .difference(&contract.seen)
            .collect::<Vec<_>>(),
        Vec::<&_>::new()
    );
}

#[tokio::test]
async fn what_is_not_there_is_refused_with_a_sentence() {
    let setup = Setup::new("").await;
    for (method, path, status) in [("GET", "/nothing", 404), ("DELETE", "/v1/accounts", 405)] {
        let (got, text) = setup.control.call(method, path, None).await;
        assert_eq!(got, status);
        let error: Value = serde_json::from_str(&text).unwrap();
        assert!(error["error"].as_str().unwrap().len() > 10, "{text}");
    }
}

#[tokio::test]
async fn a_fixed_clock_says_so() {
    let setup = Setup::new("clock: { movable: false }").await;
    assert_eq!(setup.control.get("/v1/clock").await["movable"], false);
    let (status, text) = setup
        .control
        .call("POST", "/v1/clock/advance", Some(&json!({ "by_ms": 1 })))
        .await;
    assert_eq!(status, 400);
    assert!(text.contains("clock.movable"), "{text}");
}

#[tokio::test]
async fn removing_an_account_removes_what_is_its_own() {
    let setup = Setup::new("").await;
    let mut alice = setup.agent(ALICE).await;
    assert_eq!(alice.text(BOB, "x").await, 202);
    let id = setup.control.messages(BOB).await[0]["message_id"].clone();
    setup
        .control
        .post("/v1/accounts", json!({ "remove": [BOB] }))
        .await;
    assert_eq!(alice.text(BOB, "x").await, 404);
    let count = setup
        .control
        .post("/v1/accounts", json!({ "add": [BOB, BOB] }))
        .await;
    assert_eq!(count, json!({ "accounts": 3 }));
    assert!(setup.control.messages(BOB).await.is_empty());
    assert_eq!(alice.text(BOB, "x").await, 202);
    assert_ne!(setup.control.messages(BOB).await[0]["message_id"], id);
}
