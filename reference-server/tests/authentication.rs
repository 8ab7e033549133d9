//! Digest authentication: who is asked, what is believed, and what is forgotten afterwards.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use imspec_wire::digest::{Asked, AuthValue, Challenge, Credentials, Login};
use imspec_wire::sip::{Builder, Message};
use serde_json::json;
use support::{ALICE, Agent, BOB, CAROL, Setup, body};

const PASSWORDS: &str =
    "passwords: { 'sip:alice@example.org': wonder, 'sip:bob@example.org': secret }\n";

async fn setup(policy: &str) -> Setup {
    Setup::new(&format!("{PASSWORDS}policy: {{ {policy} }}")).await
}

fn challenges(response: &Message, name: &str) -> Vec<Challenge> {
    let fields = response.headers_named(name);
    let values = fields.flat_map(|field| AuthValue::parse_all(&field.value()).unwrap());
    values
        .map(|value| Challenge::read(&value).unwrap())
        .collect()
}

fn answer(
    challenge: &Challenge,
    login: (&str, &str),
    method: &str,
    uri: &str,
    count: u32,
) -> String {
    let login = Login {
        user: login.0,
        password: login.1,
    };
    let asked = Asked {
        method,
        uri,
        body: b"",
    };
    challenge
        .answer(login, asked, count, "c1")
        .unwrap()
        .to_string()
}

fn registration(agent: &mut Agent, credentials: Option<&str>) -> Builder {
    let contact = format!("<{}>", agent.contact());
    let aor = agent.aor.clone();
    let request = agent.request("REGISTER", "sip:example.org", &aor);
    let request = request.header("Contact", contact).header("Expires", "3600");
    match credentials {
        Some(credentials) => request.header("Authorization", credentials),
        None => request,
    }
}

/// The challenge of a registrar.
async fn asked(agent: &mut Agent) -> Challenge {
    let request = registration(agent, None);
    let response = agent.ask(request).await;
    assert_eq!(response.status(), Some(401));
    challenges(&response, "WWW-Authenticate").remove(0)
}

async fn register(agent: &mut Agent, credentials: &str) -> Message {
    let request = registration(agent, Some(credentials));
    agent.ask(request).await
}

#[tokio::test]
async fn nobody_is_asked_where_the_provider_wants_it_so() {
    let setup = setup("").await;
    let mut alice = setup.agent(ALICE).await;
    alice.register().await;
    assert_eq!(alice.text(BOB, "x").await, 202);
}

#[tokio::test]
async fn a_registration_takes_the_password_of_the_user() {
    let setup = setup("auth.register: digest").await;
    let mut bob = setup.agent(BOB).await;
    let request = registration(&mut bob, None);
    let response = bob.ask(request).await;
    assert_eq!(response.status(), Some(401));
    let all = challenges(&response, "WWW-Authenticate");
    let algorithms: Vec<_> = all
        .iter()
        .map(|one| one.algorithm.as_deref().unwrap())
        .collect();
    assert_eq!(
        algorithms,
        ["SHA-512-256", "SHA-256", "MD5"],
        "RFC 8760 §2.3"
    );
    for (index, challenge) in all.iter().enumerate() {
        assert_eq!(challenge.realm, "example.org");
        assert_eq!(
            challenge.qop.as_deref(),
            Some(&["auth".to_owned(), "auth-int".to_owned()][..])
        );
        assert!(!challenge.stale);
        let count = u32::try_from(index).unwrap() + 1;
        let good = answer(
            challenge,
            ("bob", "secret"),
            "REGISTER",
            "sip:example.org",
            count,
        );
        assert_eq!(
            register(&mut bob, &good).await.status(),
            Some(200),
            "{challenge}"
        );
    }
    let challenge = asked(&mut bob).await;
    for (user, password) in [
        ("bob", "wonder"),
        ("nobody", "secret"),
        ("carol", ""),
        ("bob", ""),
    ] {
        let wrong = answer(
            &challenge,
            (user, password),
            "REGISTER",
            "sip:example.org",
            1,
        );
        let response = register(&mut bob, &wrong).await;
        assert_eq!(response.status(), Some(401), "{user}");
        assert!(!challenges(&response, "WWW-Authenticate")[0].stale);
    }
    // RFC 3261 §10.3 step 4; `bob@example.org` is another name of the same user.
    let long = answer(
        &challenge,
        ("bob@example.org", "secret"),
        "REGISTER",
        "sip:example.org",
        2,
    );
    assert_eq!(register(&mut bob, &long).await.status(), Some(200));
    let alice = answer(
        &challenge,
        ("alice", "wonder"),
        "REGISTER",
        "sip:example.org",
        3,
    );
    assert_eq!(register(&mut bob, &alice).await.status(), Some(403));
}

#[tokio::test]
async fn what_is_no_digest_of_ours_is_none() {
    let setup = setup("auth.register: digest, auth.algorithms: [SHA-256]").await;
    let mut bob = setup.agent(BOB).await;
    let challenge = asked(&mut bob).await;
    let good = answer(
        &challenge,
        ("bob", "secret"),
        "REGISTER",
        "sip:example.org",
        1,
    );
    let forged = Challenge {
        nonce: "0123456789abcdef".into(),
        ..challenge.clone()
    };
    let weaker = Challenge {
        algorithm: None,
        ..challenge.clone()
    };
    let realm = Challenge {
        realm: "example.com".into(),
        ..challenge.clone()
    };
    let of = |challenge: &Challenge| {
        answer(
            challenge,
            ("bob", "secret"),
            "REGISTER",
            "sip:example.org",
            1,
        )
    };
    let method = answer(
        &challenge,
        ("bob", "secret"),
        "MESSAGE",
        "sip:example.org",
        1,
    );
    for wrong in [
        of(&forged),
        of(&weaker),
        of(&realm),
        method,
        "Basic Ym9iOnNlY3JldA==".to_owned(),
        "Digest".to_owned(),
        "Digest username=\"bob".to_owned(),
        good.replace("nc=00000001", "nc=1"),
        good.replace(", nc=00000001", ""),
        good.replace("qop=auth", "qop=auth-conf"),
        format!("{good}, username=\"bob\""),
    ] {
        assert_eq!(
            register(&mut bob, &wrong).await.status(),
            Some(401),
            "{wrong}"
        );
    }
    assert_eq!(register(&mut bob, &good).await.status(), Some(200));
}

#[tokio::test]
async fn credentials_are_good_once_and_for_a_time() {
    let setup = setup("auth.register: digest, auth.nonce_s: 60").await;
    let mut bob = setup.agent(BOB).await;
    let challenge = asked(&mut bob).await;
    let of = |count| {
        answer(
            &challenge,
            ("bob", "secret"),
            "REGISTER",
            "sip:example.org",
            count,
        )
    };
    assert_eq!(register(&mut bob, &of(1)).await.status(), Some(200));
    let replayed = register(&mut bob, &of(1)).await;
    assert_eq!(replayed.status(), Some(401));
    assert_eq!(register(&mut bob, &of(2)).await.status(), Some(200));
    setup.control.advance(60).await;
    let late = register(&mut bob, &of(3)).await;
    assert_eq!(late.status(), Some(401));
    assert!(
        challenges(&late, "WWW-Authenticate")
            .iter()
            .all(|challenge| challenge.stale)
    );
    // Who does not know the password learns nothing of the nonce.
    let guess = answer(
        &challenge,
        ("bob", "guess"),
        "REGISTER",
        "sip:example.org",
        4,
    );
    let guessed = register(&mut bob, &guess).await;
    assert!(
        challenges(&guessed, "WWW-Authenticate")
            .iter()
            .all(|challenge| !challenge.stale)
    );
}

#[tokio::test]
async fn a_sender_is_who_he_says() {
    let setup = setup("auth.sender: digest").await;
    let mut alice = setup.agent(ALICE).await;
    alice.register().await;
    let response = {
        let request = alice
            .message(BOB)
            .header("Content-Type", "text/plain")
            .body("x");
        alice.ask(request).await
    };
    assert_eq!(response.status(), Some(407), "RFC 3261 §22.3");
    let challenge = challenges(&response, "Proxy-Authenticate").remove(0);
    let good = answer(&challenge, ("alice", "wonder"), "MESSAGE", BOB, 1);
    let other = "Digest username=\"alice\", realm=\"elsewhere.example\", nonce=\"1\", uri=\"sip:x\", response=\"2\"";
    let request = alice
        .message(BOB)
        .header("Proxy-Authorization", &good)
        .header("Proxy-Authorization", other)
        .header("Content-Type", "text/plain")
        .body("By me");
    assert_eq!(alice.ask(request).await.status(), Some(202));
    // What was for this server is gone; what was for another one is kept as any header field is.
    let stored = setup.control.messages(BOB).await;
    assert_eq!(stored.len(), 1);
    let fields = stored[0]["headers"].as_array().unwrap();
    let kept: Vec<_> = fields
        .iter()
        .filter(|field| field["name"] == "Proxy-Authorization")
        .collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0]["value"], other);
    // From another user: RFC 3261 §22.1.
    let mut carol = setup.agent(CAROL).await;
    let spoofed = answer(&challenge, ("alice", "wonder"), "MESSAGE", BOB, 2);
    let request = carol.message(BOB).header("Proxy-Authorization", spoofed);
    assert_eq!(carol.ask(request).await.status(), Some(403));
    // Credentials for an address that nobody has here.
    let elsewhere = answer(
        &challenge,
        ("alice", "wonder"),
        "MESSAGE",
        "sip:x@elsewhere.example",
        3,
    );
    let request = alice.message(BOB).header("Proxy-Authorization", elsewhere);
    assert_eq!(alice.ask(request).await.status(), Some(403));
    let mut bob = setup.agent(BOB).await;
    bob.register().await;
    assert_eq!(body(&bob.receive_and(200).await), "By me");
}

#[tokio::test]
async fn ack_and_cancel_are_never_asked() {
    let setup = setup("auth.sender: digest").await;
    let mut alice = setup.agent(ALICE).await;
    let invite = alice.request("INVITE", BOB, BOB).build().unwrap();
    alice.send(invite.octets()).await;
    let refused = alice.response().await;
    assert_eq!(refused.status(), Some(407));
    let cancel = support::show(&invite).replace("INVITE", "CANCEL");
    alice.send(cancel).await;
    loop {
        let response = alice.response().await;
        let cseq = response.header("CSeq").unwrap().text().into_owned();
        if cseq.ends_with("CANCEL") {
            assert!(
                matches!(response.status(), Some(200 | 481)),
                "RFC 3261 §22.1"
            );
            break;
        }
    }
    let ack = support::show(&invite)
        .replace("INVITE sip", "ACK sip")
        .replace(" INVITE", " ACK");
    alice.send(ack).await;
    assert_eq!(alice.text(BOB, "still there").await, 407);
}

#[tokio::test]
async fn passwords_come_over_the_control_api_and_survive_a_restart() {
    let setup = setup("auth.register: digest").await;
    let account = json!({ "account": "sip:dora@example.org", "password": "new" });
    setup
        .control
        .post("/v1/accounts", json!({ "add": [account] }))
        .await;
    setup
        .control
        .post("/v1/accounts", json!({ "add": ["sip:dora@example.org"] }))
        .await;
    let setup = setup.restart("policy: { auth.register: digest }").await;
    let mut dora = setup.agent("sip:dora@example.org").await;
    let challenge = asked(&mut dora).await;
    let good = answer(
        &challenge,
        ("dora", "new"),
        "REGISTER",
        "sip:example.org",
        1,
    );
    assert_eq!(register(&mut dora, &good).await.status(), Some(200));
    let (_, accounts) = setup.control.call("GET", "/v1/accounts", None).await;
    assert!(
        accounts.contains("dora") && !accounts.contains("new"),
        "{accounts}"
    );
    let read = Credentials::read(&AuthValue::parse_all(good.as_bytes()).unwrap()[0]).unwrap();
    assert!(read.proves("new", "REGISTER", b""));
}
