//! Many at once: every message exactly once, each in its own account, under an ID of its own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use imspec_wire::sip::{Builder, Frame, Limits, Message, StreamDecoder};
use serde_json::json;
use support::{ALICE, Agent, BOB, Setup, body};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_senders_and_many_accounts_do_not_mix() {
    let setup = Setup::new("policy: { mid.sequence: consecutive }").await;
    let users: Vec<String> = (0..10)
        .map(|n| format!("sip:user{n}@example.org"))
        .collect();
    setup
        .control
        .post("/v1/accounts", json!({ "add": users }))
        .await;
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..20 {
        let (users, server) = (users.clone(), setup.udp());
        senders.spawn(async move {
            let mut alice = Agent::udp(ALICE, server).await;
            for (n, user) in users.iter().enumerate() {
                assert_eq!(alice.text(user, &format!("{sender} to {n}")).await, 202);
            }
        });
    }
    while let Some(done) = senders.join_next().await {
        done.unwrap();
    }
    let mut ids = BTreeSet::new();
    for (n, user) in users.iter().enumerate() {
        let messages = setup.control.messages(user).await;
        let texts: BTreeSet<_> = messages
            .iter()
            .map(|m| m["body"]["text"].as_str().unwrap().to_owned())
            .collect();
        let expected: BTreeSet<_> = (0..20).map(|sender| format!("{sender} to {n}")).collect();
        assert_eq!(texts, expected);
        ids.extend(
            messages
                .iter()
                .map(|m| m["message_id"].as_str().unwrap().to_owned()),
        );
    }
    assert_eq!(ids.len(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coming_and_going_in_a_storm_loses_and_repeats_nothing() {
    const SENDERS: usize = 5;
    const EACH: usize = 20;
    let setup = Setup::new("").await;
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..SENDERS {
        let server = setup.udp();
        senders.spawn(async move {
            let mut alice = Agent::udp(ALICE, server).await;
            for n in 0..EACH {
                let status = alice.text(BOB, &format!("{sender}.{n}")).await;
                assert!(matches!(status, 200 | 202), "{status}");
            }
        });
    }
    let mut bob = setup.agent(BOB).await;
    let mut received: Vec<String> = Vec::new();
    let mut online = false;
    let storm = async {
        while received.len() < SENDERS * EACH {
            let change = bob
                .request("REGISTER", "sip:example.org", BOB)
                .header("Contact", format!("<{}>", bob.contact()))
                .header("Expires", if online { "0" } else { "3600" });
            // Going is rarer than staying, or the storm would never end.
            if !online || fastrand::u8(..) < 40 {
                online = !online;
                bob.send(change.octets()).await;
            }
            while let Some(message) = bob.next_within(Duration::from_millis(20)).await {
                if message.is_request() {
                    received.push(body(&message));
                    bob.answer(&message, 200).await;
                }
            }
        }
    };
    timeout(Duration::from_mins(1), storm)
        .await
        .expect("everything to arrive");
    while let Some(done) = senders.join_next().await {
        done.unwrap();
    }
    let distinct: BTreeSet<_> = received.iter().collect();
    assert_eq!(distinct.len(), SENDERS * EACH);
    assert_eq!(received.len(), SENDERS * EACH, "something came twice");
    setup.control.until_count(BOB, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_expire_while_others_arrive() {
    let setup = Setup::new("").await;
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let server = setup.udp();
        senders.spawn(async move {
            let mut alice = Agent::udp(ALICE, server).await;
            for n in 0..50 {
                let expires = if n % 10 == 0 { "100000" } else { "60" };
                let request = alice
                    .message(BOB)
                    .header("Expires", expires)
                    .body(n.to_string());
                assert_eq!(alice.ask(request).await.status(), Some(202));
            }
        });
    }
    while let Some(done) = senders.join_next().await {
        done.unwrap();
    }
    let mut alice = setup.agent(ALICE).await;
    let control = setup.control;
    let advance = tokio::spawn(async move { control.advance(61).await });
    for n in 0..50 {
        let request = alice
            .message(BOB)
            .header("Expires", "60")
            .body(format!("new {n}"));
        assert_eq!(alice.ask(request).await.status(), Some(202));
    }
    advance.await.unwrap();
    control.advance(0).await;
    let kept = control.messages(BOB).await;
    let old = kept
        .iter()
        .filter(|m| !m["body"]["text"].as_str().unwrap().starts_with("new"));
    assert_eq!(old.count(), 100);
    // Those that came before the clock moved are gone, those that came after are not; none is expired.
    assert!(kept.iter().all(|m| m["state"] == "waiting"));
}

/// Two requests at the same time to a peer with whom no connection is open may open two. The one that
/// loses its place in the table must still be there for the answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_opened_at_the_same_time_all_bring_their_answers() {
    let setup = Setup::new("").await;
    let mut bob = setup.agent(BOB).await;
    for round in 0..20 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let clear = bob
            .request("REGISTER", "sip:example.org", BOB)
            .header("Contact", "*")
            .header("Expires", "0");
        assert_eq!(bob.ask(clear).await.status(), Some(200));
        let register = bob
            .request("REGISTER", "sip:example.org", BOB)
            .header("Contact", format!("<sip:bob@{at};transport=tcp>"))
            .header("Expires", "600");
        assert_eq!(bob.ask(register).await.status(), Some(200));
        let devices = tokio::spawn(answer_both_late(listener));
        let server = setup.udp();
        let mut senders = tokio::task::JoinSet::new();
        for n in 0..2 {
            senders.spawn(async move {
                Agent::udp(ALICE, server)
                    .await
                    .text(BOB, &format!("{round}-{n}"))
                    .await
            });
        }
        while let Some(status) = senders.join_next().await {
            assert_eq!(status.unwrap(), 200, "passed on, and not kept for later");
        }
        devices.abort();
    }
}

/// Takes connections and answers nothing before two requests have come, over however many connections.
async fn answer_both_late(listener: TcpListener) {
    let mut pending: Vec<(Arc<Mutex<OwnedWriteHalf>>, Message)> = Vec::new();
    let (found, mut requests) = mpsc::channel(4);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (mut reading, writing) = stream.into_split();
            let (found, writing) = (found.clone(), Arc::new(Mutex::new(writing)));
            tokio::spawn(async move {
                let mut decoder = StreamDecoder::new(Limits::default());
                let mut octets = [0; 4096];
                while let Ok(length @ 1..) = reading.read(&mut octets).await {
                    decoder.push(&octets[..length]);
                    while let Ok(Some(Frame::Message(request))) = decoder.next_frame() {
                        let _ = found.send((Arc::clone(&writing), request)).await;
                    }
                }
            });
        }
    });
    while pending.len() < 2 {
        pending.push(requests.recv().await.unwrap());
    }
    for (writing, request) in pending {
        let answer = Builder::response_to(&request, 200, "OK", Some("late")).octets();
        writing.lock().await.write_all(&answer).await.unwrap();
    }
    // The connections stay open until the test is over.
    std::future::pending::<()>().await;
}
