//! Deferred messages from end to end: stored while nobody is there, delivered, expired.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use serde_json::json;
use support::{ALICE, Agent, BOB, CAROL, Setup, body, show};

#[tokio::test]
async fn a_message_waits_for_its_recipient() {
    let setup = Setup::new("").await;
    let mut alice = setup.agent(ALICE).await;
    let request = alice
        .message(BOB)
        .header("s", "Dinner")
        .header("X-Vendor", "one")
        .header("X-Vendor", " two ")
        .header("Content-Type", "text/plain;charset=UTF-8")
        .body("Meet at eight\r\n");
    let sent = request.clone().build().unwrap();
    let response = alice.ask(request).await;
    assert_eq!(response.status(), Some(202));
    assert!(response.body().is_empty() && response.header("Contact").is_none());

    let stored = setup.control.messages(BOB).await;
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0]["account"], BOB);
    assert_eq!(stored[0]["state"], "waiting");
    assert_eq!(stored[0]["expire"], json!(null));
    assert_eq!(
        stored[0]["start_line"],
        "MESSAGE sip:bob@example.org SIP/2.0"
    );
    assert_eq!(stored[0]["body"], json!({ "text": "Meet at eight\r\n" }));
    let headers: Vec<(String, String)> = stored[0]["headers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|h| {
            (
                h["name"].as_str().unwrap().into(),
                h["value"].as_str().unwrap().into(),
            )
        })
        .collect();
    let expected: Vec<(String, String)> = sent
        .headers()
        .map(|h| {
            let raw = String::from_utf8(h.raw_value().to_vec()).unwrap();
            (
                h.name().to_owned(),
                raw.strip_prefix(' ').unwrap_or(&raw).to_owned(),
            )
        })
        .collect();
    assert_eq!(headers, expected);

    let mut bob = setup.agent(BOB).await;
    bob.register().await;
    let delivered = bob.receive_and(200).await;
    assert_eq!(body(&delivered), "Meet at eight\r\n");
    for name in ["Subject", "X-Vendor", "Content-Type", "To"] {
        let of = |m: &imspec_wire::sip::Message| {
            m.headers_named(name)
                .map(|h| h.line().to_vec())
                .collect::<Vec<_>>()
        };
        assert_eq!(of(&delivered), of(&sent), "{name}");
    }
    for name in ["Via", "Call-ID"] {
        let of = |m: &imspec_wire::sip::Message| m.header(name).unwrap().value().to_vec();
        assert_ne!(of(&delivered), of(&sent), "{name}");
    }
    assert_eq!(delivered.header("Max-Forwards").unwrap().text(), "70");
    assert!(
        delivered
            .header("From")
            .unwrap()
            .text()
            .starts_with("\"Test\" <sip:alice@example.org>;tag=")
    );
    setup.control.until_count(BOB, 0).await;
    // Once only: a refresh brings nothing, but the link works.
    bob.register().await;
    bob.silence().await;
    send_control(&mut alice, BOB).await;
    assert_eq!(body(&bob.receive_and(200).await), "control");
    assert_eq!(alice.response().await.status(), Some(200));
}

async fn send_control(alice: &mut Agent, to: &str) {
    let request = alice
        .message(to)
        .header("Content-Type", "text/plain")
        .body("control");
    alice.send(request.octets()).await;
}

#[tokio::test]
async fn somebody_online_gets_the_message_at_once_and_nothing_is_stored() {
    let setup = Setup::new("").await;
    let mut alice = setup.agent(ALICE).await;
    for server in [setup.udp(), setup.server.addresses().udp[1]] {
        let mut bob = Agent::udp(BOB, server).await;
        bob.register().await;
        send_control(&mut alice, BOB).await;
        let message = bob.receive().await;
        assert_eq!(message.typed_all::<imspec_wire::sip::typed::Via>().len(), 2);
        bob.answer(&message, 200).await;
        let response = alice.response().await;
        assert_eq!(response.status(), Some(200), "{}", show(&response));
        assert_eq!(
            response.typed_all::<imspec_wire::sip::typed::Via>().len(),
            1
        );
        assert!(setup.control.messages(BOB).await.is_empty());
        bob.unregister().await;
    }
}

#[tokio::test]
async fn tcp_and_udp_mix() {
    let setup = Setup::new("").await;
    let mut alice = Agent::tcp(ALICE, setup.tcp()).await;
    let text = "x".repeat(60_000);
    assert_eq!(alice.text(BOB, &text).await, 202);
    let mut bob = Agent::tcp(BOB, setup.server.addresses().tcp[1]).await;
    bob.register().await;
    assert_eq!(body(&bob.receive_and(200).await), text);
    setup.control.until_count(BOB, 0).await;
    send_control(&mut alice, BOB).await;
    bob.receive_and(200).await;
    assert_eq!(alice.response().await.status(), Some(200));
}

#[tokio::test]
async fn delivery_is_one_at_a_time_in_order_and_stops_at_a_refusal() {
    let setup = Setup::new("").await;
    let mut alice = setup.agent(ALICE).await;
    for n in 0..4 {
        assert_eq!(alice.text(BOB, &n.to_string()).await, 202);
    }
    let mut bob = setup.agent(BOB).await;
    bob.register().await;
    let first = bob.receive().await;
    bob.silence().await;
    bob.answer(&first, 200).await;
    assert_eq!(body(&bob.receive_and(480).await), "1");
    bob.silence().await;
    setup.control.until_count(BOB, 3).await;
    bob.register().await;
    assert_eq!(body(&bob.receive_and(603).await), "1");
    assert_eq!(body(&bob.receive_and(415).await), "2");
    assert_eq!(body(&bob.receive_and(202).await), "3");
    setup.control.until_count(BOB, 1).await;
    // By itself, after the pause, in store time.
    setup.control.advance(61).await;
    assert_eq!(body(&bob.receive_and(200).await), "2");
    setup.control.until_count(BOB, 0).await;
}

#[tokio::test]
async fn only_a_successful_registration_with_a_contact_brings_messages() {
    let setup = Setup::new("").await;
    let mut alice = setup.agent(ALICE).await;
    assert_eq!(alice.text(BOB, "hello").await, 202);
    let mut bob = setup.agent(BOB).await;
    let query = bob.request("REGISTER", "sip:example.org", BOB);
    assert_eq!(bob.ask(query).await.status(), Some(200));
    bob.unregister().await;
    let star = bob
        .request("REGISTER", "sip:example.org", BOB)
        .header("Contact", "*")
        .header("Expires", "0");
    assert_eq!(bob.ask(star).await.status(), Some(200));
    let required = bob
        .request("REGISTER", "sip:example.org", BOB)
        .header("Require", "foo")
        .header("Contact", format!("<{}>", bob.contact()));
    let response = bob.ask(required).await;
    assert_eq!(response.status(), Some(420));
    assert_eq!(response.header("Unsupported").unwrap().text(), "foo");
    bob.silence().await;
    bob.register().await;
    assert_eq!(body(&bob.receive_and(200).await), "hello");
}

#[tokio::test]
async fn a_lapsed_registration_is_offline() {
    let setup = Setup::new("").await;
    let mut alice = setup.agent(ALICE).await;
    let mut bob = setup.agent(BOB).await;
    assert_eq!(bob.register_for(60).await.status(), Some(200));
    setup.control.advance(61).await;
    assert_eq!(alice.text(BOB, "later").await, 202);
    bob.silence().await;
    bob.register().await;
    assert_eq!(body(&bob.receive_and(200).await), "later");
}

#[tokio::test]
async fn a_new_contact_is_preferred_even_while_the_old_one_is_being_tried() {
    let setup = Setup::new("").await;
    let mut alice = setup.agent(ALICE).await;
    assert_eq!(alice.text(BOB, "one").await, 202);
    let mut old = setup.agent(BOB).await;
    old.register().await;
    old.receive().await;
    let mut new = setup.agent(BOB).await;
    new.register().await;
    assert_eq!(body(&new.receive_and(200).await), "one");
    setup.control.until_count(BOB, 0).await;
}

#[tokio::test]
async fn a_broken_connection_keeps_the_message() {
    let setup = Setup::new("").await;
    let mut alice = setup.agent(ALICE).await;
    assert_eq!(alice.text(BOB, "one").await, 202);
    let mut bob = Agent::tcp(BOB, setup.tcp()).await;
    bob.register().await;
    bob.receive().await;
    drop(bob);
    let mut bob = Agent::tcp(BOB, setup.tcp()).await;
    bob.register().await;
    assert_eq!(body(&bob.receive_and(200).await), "one");
    setup.control.until_count(BOB, 0).await;
}

#[tokio::test]
async fn a_silent_user_holds_up_nobody_else() {
    let setup = Setup::new("").await;
    let mut alice = setup.agent(ALICE).await;
    assert_eq!(alice.text(BOB, "b").await, 202);
    assert_eq!(alice.text(CAROL, "c").await, 202);
    let mut bob = setup.agent(BOB).await;
    bob.register().await;
    bob.receive().await;
    let mut carol = setup.agent(CAROL).await;
    carol.register().await;
    assert_eq!(body(&carol.receive_and(200).await), "c");
}

#[tokio::test]
async fn who_does_not_answer_online_gets_the_message_later() {
    let setup = Setup::new("sip: { t1_ms: 10 }").await;
    let mut alice = setup.agent(ALICE).await;
    let mut bob = setup.agent(BOB).await;
    bob.register().await;
    // A datagram to nobody: only time tells.
    send_control(&mut alice, BOB).await;
    bob.receive().await;
    assert_eq!(alice.response().await.status(), Some(202));
    setup.control.until_count(BOB, 1).await;
    let mut again = setup.agent(BOB).await;
    again.register().await;
    assert_eq!(body(&again.receive_and(200).await), "control");
    setup.control.until_count(BOB, 0).await;
}

#[tokio::test]
async fn an_answer_that_says_that_nobody_is_there_defers_and_another_is_passed_back() {
    let setup = Setup::new("").await;
    let mut alice = setup.agent(ALICE).await;
    let mut bob = setup.agent(BOB).await;
    bob.register().await;
    for (answer, expected) in [(480, 202), (486, 486), (488, 488), (603, 603), (202, 202)] {
        let before = setup.control.messages(BOB).await.len();
        send_control(&mut alice, BOB).await;
        bob.receive_and(answer).await;
        assert_eq!(alice.response().await.status(), Some(expected));
        let stored = setup.control.messages(BOB).await.len() - before;
        assert_eq!(stored, usize::from(answer == 480), "{answer}");
        if stored == 1 {
            bob.register().await;
            bob.receive_and(200).await;
            setup.control.until_count(BOB, 0).await;
        }
    }
    setup
        .control
        .policy(json!({ "offline.trigger": "unreachable" }))
        .await;
    send_control(&mut alice, BOB).await;
    bob.receive_and(486).await;
    assert_eq!(alice.response().await.status(), Some(202));
}

#[tokio::test]
async fn expired_messages_are_deleted_and_fresh_ones_are_not() {
    let setup = Setup::new("").await;
    let mut alice = setup.agent(ALICE).await;
    for (expires, text) in [("10", "a"), ("1000", "b"), ("10", "c"), ("0", "d")] {
        let request = alice.message(BOB).header("Expires", expires).body(text);
        assert_eq!(alice.ask(request).await.status(), Some(202));
    }
    let marks: Vec<_> = setup
        .control
        .messages(BOB)
        .await
        .iter()
        .map(|m| m["expire"]["seconds"].clone())
        .collect();
    assert!(
        marks.starts_with(&[json!(10), json!(1000), json!(10)]),
        "{marks:?}"
    );
    setup.control.advance(11).await;
    assert_eq!(setup.control.messages(BOB).await.len(), 1);
    let mut bob = setup.agent(BOB).await;
    bob.register().await;
    let message = bob.receive_and(200).await;
    assert_eq!(body(&message), "b");
    assert_eq!(message.header("Expires").unwrap().text(), "1000");
    assert!(
        message.header("Date").is_some(),
        "the life counts from the receipt"
    );
    setup.control.until_count(BOB, 0).await;
}

#[tokio::test]
async fn expired_messages_are_delivered_with_an_indication_where_the_policy_says_so() {
    let setup = Setup::new(
        "policy: { policy.expired: deliver, policy.indication: 'header:X-Deferred-Expired' }",
    )
    .await;
    let mut alice = setup.agent(ALICE).await;
    for (expires, text) in [("10", "old"), ("1000", "fresh")] {
        let request = alice
            .message(BOB)
            .header("Expires", expires)
            .header("X-Deferred-Expired", "a lie")
            .body(text);
        assert_eq!(alice.ask(request).await.status(), Some(202));
    }
    setup.control.advance(60).await;
    let states: Vec<_> = setup
        .control
        .messages(BOB)
        .await
        .iter()
        .map(|m| m["state"].clone())
        .collect();
    assert_eq!(states, ["expired", "waiting"]);
    let mut bob = setup.agent(BOB).await;
    bob.register().await;
    let old = bob.receive_and(200).await;
    assert_eq!(body(&old), "old");
    let marks: Vec<_> = old
        .headers_named("X-Deferred-Expired")
        .map(|h| h.text())
        .collect();
    assert_eq!(marks, ["true"]);
    let fresh = bob.receive_and(200).await;
    assert_eq!(body(&fresh), "fresh");
    assert!(fresh.header("X-Deferred-Expired").is_none());
    setup.control.until_count(BOB, 0).await;
}

#[tokio::test]
async fn a_notice_may_follow_an_expired_message() {
    let setup = Setup::new("policy: { policy.expired: deliver, policy.indication: notify }").await;
    let mut alice = setup.agent(ALICE).await;
    let request = alice.message(BOB).header("Expires", "10").body("old");
    assert_eq!(alice.ask(request).await.status(), Some(202));
    let id = setup.control.messages(BOB).await[0]["message_id"]
        .as_str()
        .unwrap()
        .to_owned();
    setup.control.advance(60).await;
    let mut bob = setup.agent(BOB).await;
    bob.register().await;
    assert_eq!(body(&bob.receive_and(200).await), "old");
    let notice = bob.receive_and(200).await;
    assert!(body(&notice).contains(&id), "{}", show(&notice));
    assert!(
        notice
            .header("From")
            .unwrap()
            .text()
            .starts_with("<sip:example.org>;tag=")
    );
}

#[tokio::test]
async fn held_messages_are_seen_but_not_pushed() {
    let setup = Setup::new("policy: { policy.expired: 'other:hold' }").await;
    let mut alice = setup.agent(ALICE).await;
    for (expires, text) in [("10", "old"), ("1000", "fresh")] {
        let request = alice.message(BOB).header("Expires", expires).body(text);
        assert_eq!(alice.ask(request).await.status(), Some(202));
    }
    setup.control.advance(60).await;
    let mut bob = setup.agent(BOB).await;
    bob.register().await;
    assert_eq!(body(&bob.receive_and(200).await), "fresh");
    setup.control.until_count(BOB, 1).await;
    assert_eq!(setup.control.messages(BOB).await[0]["state"], "expired");
}

#[tokio::test]
async fn an_expired_message_is_not_pushed_before_the_sweep_either() {
    let setup = Setup::new("policy: { policy.granularity_s: 86400 }").await;
    let mut alice = setup.agent(ALICE).await;
    // In the middle of a step, so that no sweep falls between.
    let now = setup.control.get("/v1/clock").await["now"]
        .as_str()
        .unwrap()
        .to_owned();
    let noon = format!("{}T12:00:00Z", &now[..10]);
    setup
        .control
        .post("/v1/clock/advance", json!({ "to": noon }))
        .await;
    let request = alice.message(BOB).header("Expires", "10").body("old");
    assert_eq!(alice.ask(request).await.status(), Some(202));
    setup.control.advance(60).await;
    assert_eq!(setup.control.messages(BOB).await[0]["state"], "expired");
    let mut bob = setup.agent(BOB).await;
    bob.register().await;
    setup.control.until_count(BOB, 0).await;
    send_control(&mut alice, BOB).await;
    assert_eq!(body(&bob.receive_and(200).await), "control");
}

#[tokio::test]
async fn an_attempt_that_began_in_time_may_finish() {
    let setup = Setup::new("").await;
    let mut alice = setup.agent(ALICE).await;
    for text in ["first", "second"] {
        let request = alice.message(BOB).header("Expires", "10").body(text);
        assert_eq!(alice.ask(request).await.status(), Some(202));
    }
    let mut bob = setup.agent(BOB).await;
    bob.register().await;
    let first = bob.receive().await;
    assert_eq!(setup.control.messages(BOB).await[0]["state"], "delivering");
    setup.control.advance(60).await;
    assert_eq!(
        setup.control.messages(BOB).await.len(),
        1,
        "the second is gone"
    );
    bob.answer(&first, 480).await;
    // It failed, so the policy applies to it now.
    setup.control.until_count(BOB, 0).await;
    bob.silence().await;
}

#[tokio::test]
async fn marks_do_not_change_when_the_policy_does() {
    let setup = Setup::new("policy: { expire.default.pm: 100 }").await;
    let mut alice = setup.agent(ALICE).await;
    assert_eq!(alice.text(BOB, "a").await, 202);
    let before = setup.control.messages(BOB).await;
    assert_eq!(before[0]["expire"]["seconds"], 100);
    setup
        .control
        .policy(json!({ "expire.default.pm": 5 }))
        .await;
    assert_eq!(alice.text(BOB, "b").await, 202);
    let setup = setup.restart("policy: { expire.default.pm: 100 }").await;
    let after = setup.control.messages(BOB).await;
    assert_eq!(after[0], before[0]);
    assert_eq!(after[1]["expire"]["seconds"], 5);
    let mut alice = setup.agent(ALICE).await;
    assert_eq!(alice.text(BOB, "c").await, 202);
    assert_eq!(
        setup.control.messages(BOB).await[2]["expire"]["seconds"],
        5,
        "kept over a restart"
    );
}

#[tokio::test]
async fn everything_survives_a_restart_clock_and_registrations_too() {
    let setup = Setup::new("").await;
    let mut alice = setup.agent(ALICE).await;
    setup.control.advance(86_400 * 30).await;
    let request = alice
        .message(BOB)
        .header("Expires", "3600")
        .body(vec![0, 255, 13, 10]);
    assert_eq!(alice.ask(request).await.status(), Some(202));
    let mut carol = setup.agent(CAROL).await;
    carol.register().await;
    let before = setup.control.messages(BOB).await;
    let clock = setup.control.get("/v1/clock").await["now"]
        .as_str()
        .unwrap()
        .to_owned();
    let setup = setup.restart("").await;
    assert_eq!(setup.control.messages(BOB).await, before);
    assert_eq!(before[0]["body"], json!({ "base64": "AP8NCg==" }));
    let now = setup.control.get("/v1/clock").await["now"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        now > clock && now[..10] == clock[..10],
        "{now} after {clock}"
    );
    // Carol is still registered, at her old address.
    let mut alice = setup.agent(ALICE).await;
    send_control(&mut alice, CAROL).await;
    let message = carol.receive().await;
    assert_eq!(body(&message), "control");
}

#[tokio::test]
async fn whoever_has_both_messages_and_a_contact_is_served_after_a_restart() {
    let setup = Setup::new("").await;
    let mut alice = setup.agent(ALICE).await;
    assert_eq!(alice.text(BOB, "one").await, 202);
    let mut bob = setup.agent(BOB).await;
    bob.register().await;
    bob.receive_and(480).await;
    setup.control.until_count(BOB, 1).await;
    let setup = setup.restart("").await;
    let message = bob.receive().await;
    assert_eq!(body(&message), "one");
    let via = message.header("Via").unwrap().text().into_owned();
    assert!(via.contains(&setup.udp().to_string()), "{via}");
}

#[tokio::test]
async fn the_account_is_the_request_uris_and_spelling_does_not_matter() {
    let setup = Setup::new("more_domains: [example.net]").await;
    setup
        .control
        .post("/v1/accounts", json!({ "add": ["sip:bob@example.net"] }))
        .await;
    let mut alice = setup.agent(ALICE).await;
    for uri in [
        "sip:%62ob@EXAMPLE.org;transport=udp",
        "sip:bob@example.org:5060",
    ] {
        let request = alice.request("MESSAGE", uri, CAROL).body("x");
        assert_eq!(alice.ask(request).await.status(), Some(202), "{uri}");
    }
    assert_eq!(setup.control.messages(BOB).await.len(), 2);
    assert_eq!(
        setup.control.messages("sip:%62ob@Example.ORG").await.len(),
        2
    );
    assert!(setup.control.messages(CAROL).await.is_empty());
    assert!(setup.control.messages(ALICE).await.is_empty());
    assert_eq!(alice.text("sip:bob@example.net", "x").await, 202);
    assert_eq!(setup.control.messages("sip:bob@example.net").await.len(), 1);
    assert_eq!(setup.control.messages(BOB).await.len(), 2);
    for uri in [
        "sip:BOB@example.org",
        "sip:bob2@example.org",
        "sip:example.org",
        "sip:bob@test",
    ] {
        assert_eq!(alice.text(uri, "x").await, 404, "{uri}");
    }
}

#[tokio::test]
async fn identity_and_credentials_go_no_further_than_they_should() {
    let setup = Setup::new("trust: { peers: false }").await;
    let mut alice = setup.agent(ALICE).await;
    let request = alice
        .message(BOB)
        .header("P-Asserted-Identity", "<sip:carol@example.org>")
        .header("Proxy-Authorization", "Digest username=\"alice\"")
        .header("Authorization", "Digest username=\"alice\"")
        .header("Record-Route", "<sip:hop.example.org;lr>")
        .body("x");
    assert_eq!(alice.ask(request).await.status(), Some(202));
    let stored = setup.control.messages(BOB).await[0].to_string();
    assert!(
        !stored.contains("carol") && stored.contains("Proxy-Authorization"),
        "{stored}"
    );
    setup
        .control
        .policy(json!({ "store.hop_headers": "drop" }))
        .await;
    let request = alice
        .message(BOB)
        .header("Proxy-Authorization", "Digest x=y")
        .body("x");
    assert_eq!(alice.ask(request).await.status(), Some(202));
    let stored = setup.control.messages(BOB).await[1].to_string();
    assert!(
        !stored.contains("Authorization") && !stored.contains("Via"),
        "{stored}"
    );
    let mut bob = setup.agent(BOB).await;
    bob.register().await;
    for _ in 0..2 {
        let text = show(&bob.receive_and(200).await);
        assert!(
            !text.contains("carol") && !text.contains("uthorization"),
            "{text}"
        );
        assert!(!text.contains("Record-Route"), "{text}");
    }
}

#[tokio::test]
async fn privacy_hides_an_asserted_identity_that_is_otherwise_kept() {
    let setup = Setup::new("").await;
    let mut alice = setup.agent(ALICE).await;
    let identities = "<sip:alice@example.org>, <tel:+15551234>";
    for privacy in ["none", "header; id"] {
        let request = alice
            .message(BOB)
            .header("Privacy", privacy)
            .header("P-Asserted-Identity", identities)
            .body("x");
        assert_eq!(alice.ask(request).await.status(), Some(202));
    }
    let mut bob = setup.agent(BOB).await;
    bob.register().await;
    let shown = bob.receive_and(200).await;
    assert_eq!(
        shown.header("P-Asserted-Identity").unwrap().text(),
        identities
    );
    assert!(
        bob.receive_and(200)
            .await
            .header("P-Asserted-Identity")
            .is_none()
    );
}

#[tokio::test]
async fn what_may_not_be_stored_is_refused() {
    let setup = Setup::new(
        "limits: { messages_per_account: 2, message_octets: 20000 }\n\
         policy: { store.classes: [im], expire.malformed: reject, expire.zero: reject }",
    )
    .await;
    let mut alice = Agent::tcp(ALICE, setup.tcp()).await;
    for (name, value) in [("Expires", "soon"), ("Expires", "0")] {
        let request = alice.message(BOB).header(name, value).body("x");
        assert_eq!(
            alice.ask(request).await.status(),
            Some(400),
            "{name}: {value}"
        );
    }
    let typing = alice
        .message(BOB)
        .header("Content-Type", "application/im-iscomposing+xml");
    assert_eq!(alice.ask(typing.body("<x/>")).await.status(), Some(480));
    assert_eq!(alice.text(BOB, &"x".repeat(20_000)).await, 513);
    assert_eq!(alice.text(BOB, "1").await, 202);
    assert_eq!(alice.text(BOB, "2").await, 202);
    let request = alice.message(BOB).body("3");
    let full = alice.ask(request).await;
    assert_eq!(full.status(), Some(480));
    assert!(full.header("Retry-After").is_some());
    assert_eq!(alice.text(CAROL, "3").await, 202);
    assert_eq!(setup.control.messages(BOB).await.len(), 2);
}
