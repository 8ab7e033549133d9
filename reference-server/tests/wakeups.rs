//! No message is left behind and none is brought twice, whatever else happens to its recipient while it
//! is being delivered: restarts, refreshes, other devices, messages that come in between, and a store
//! that fails.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod support;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use imspec_reference_server::message_id::MessageIds;
use imspec_reference_server::store::Answer;
use imspec_reference_server::{Parts, Server};
use imspec_wire::sip::Message;
use serde_json::json;
use support::{ALICE, Agent, BOB, Control, Setup, body};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Bounds a storm. It is over in a second, unless the machine is busy or something hangs.
const STORM: Duration = Duration::from_mins(1);

/// The top Via, which tells one transaction from the next: a repeated datagram is not a second copy.
fn via(message: &Message) -> String {
    message.header("Via").unwrap().text().into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_everything_comes_once_while_users_refresh_and_others_write() {
    const USERS: usize = 8;
    const WAITING: usize = 10;
    const LATER: usize = 5;
    let mut setup = Setup::new("").await;
    let users: Vec<String> = (0..USERS)
        .map(|n| format!("sip:user{n}@example.org"))
        .collect();
    setup
        .control
        .post("/v1/accounts", json!({ "add": users }))
        .await;
    for round in 0..3 {
        send_all(&setup, &users, &format!("{round} waiting"), WAITING).await;
        setup = setup.restart("").await;
        let mut tasks = JoinSet::new();
        for user in &users {
            let (server, user) = (setup.udp(), user.clone());
            let receiver = receive_while_refreshing(server, user, WAITING + LATER);
            tasks.spawn(async move { timeout(STORM, receiver).await.expect("all to arrive") });
        }
        send_all(&setup, &users, &format!("{round} later"), LATER).await;
        while let Some(texts) = tasks.join_next().await {
            let texts = texts.unwrap();
            let distinct: BTreeSet<_> = texts.iter().collect();
            assert_eq!(
                distinct.len(),
                texts.len(),
                "something came twice: {texts:?}"
            );
            let waiting = texts.iter().filter(|text| text.contains("waiting"));
            let expected = (0..WAITING).map(|n| format!("{round} waiting {n}"));
            assert!(waiting.eq(expected.collect::<Vec<_>>().iter()), "{texts:?}");
        }
        for user in &users {
            setup.control.until_count(user, 0).await;
        }
    }
}

/// Several senders, each to one user.
async fn send_all(setup: &Setup, users: &[String], text: &str, count: usize) {
    let mut senders = JoinSet::new();
    for user in users {
        let (server, user, text) = (setup.udp(), user.clone(), text.to_owned());
        senders.spawn(async move {
            let mut alice = Agent::udp(ALICE, server).await;
            for n in 0..count {
                let status = alice.text(&user, &format!("{text} {n}")).await;
                assert!(matches!(status, 200 | 202), "{status}");
            }
        });
    }
    while let Some(done) = senders.join_next().await {
        done.unwrap();
    }
}

/// Registers, takes that many messages, refreshes as often as it may while they come, and leaves.
async fn receive_while_refreshing(
    server: std::net::SocketAddr,
    user: String,
    count: usize,
) -> Vec<String> {
    let mut agent = Agent::udp(&user, server).await;
    let mut seen = HashSet::new();
    let mut texts = Vec::new();
    refresh(&mut agent, 3600).await;
    // RFC 3261 §10.2: the next REGISTER waits for the answer to the last.
    let mut is_refreshing = true;
    while texts.len() < count || is_refreshing {
        let Some(message) = agent.next_within(support::PATIENCE).await else {
            panic!("{user} has only {texts:?}");
        };
        if let Some(status) = message.status() {
            assert_eq!(status, 200);
            is_refreshing = false;
            continue;
        }
        if seen.insert(via(&message)) {
            texts.push(body(&message));
            if !is_refreshing {
                // Before the answer, so that it comes while the message is under way.
                refresh(&mut agent, 3600).await;
                is_refreshing = true;
            }
        }
        agent.answer(&message, 200).await;
    }
    // Nobody is online in the next round before the restart.
    agent.unregister().await;
    texts
}

async fn refresh(agent: &mut Agent, seconds: u32) {
    let (contact, aor) = (agent.contact(), agent.aor.clone());
    let request = agent
        .request("REGISTER", "sip:example.org", &aor)
        .header("Contact", format!("<{contact}>"))
        .header("Expires", seconds.to_string());
    agent.send(request.octets()).await;
}

#[tokio::test]
async fn a_device_that_is_slow_to_answer_is_not_overtaken_by_one_that_was_there_before() {
    let setup = Setup::new("").await;
    let mut alice = setup.agent(ALICE).await;
    let mut first = setup.agent(BOB).await;
    first.register().await;
    let mut second = setup.agent(BOB).await;
    second.register().await;
    // The older binding is refreshed last, and so it is tried first.
    first.register().await;
    let request = alice.message(BOB).body("slow");
    alice.send(request.octets()).await;
    first.receive_and(480).await;
    second.receive_and(480).await;
    assert_eq!(alice.response().await.status(), Some(202));
    first.register().await;
    let slow = first.receive().await;
    assert_eq!(body(&slow), "slow");
    // It proves to work while the deferred message is under way there.
    let request = alice.message(BOB).body("quick");
    alice.send(request.octets()).await;
    loop {
        let message = first.receive().await;
        if body(&message) == "quick" {
            first.answer(&message, 200).await;
            break;
        }
        assert_eq!(via(&message), via(&slow), "a second copy");
    }
    assert_eq!(alice.response().await.status(), Some(200));
    while let Some(message) = first.next_within(support::SILENCE).await {
        assert_eq!(via(&message), via(&slow), "a second copy");
    }
    first.answer(&slow, 200).await;
    setup.control.until_count(BOB, 0).await;
    second.silence().await;
}

/// Lets messages into the store one at a time.
struct Gate {
    ids: Arc<dyn MessageIds>,
    asked: Semaphore,
    open: Semaphore,
}

impl MessageIds for Gate {
    fn next<'a>(&'a self, account: &'a str) -> Answer<'a, String> {
        Box::pin(async move {
            self.asked.add_permits(1);
            self.open.acquire().await.unwrap().forget();
            self.ids.next(account).await
        })
    }
}

#[tokio::test]
async fn a_message_that_is_stored_beside_a_refused_one_does_not_share_its_pause() {
    let folder = tempfile::tempdir().unwrap();
    let config = support::config(&folder.path().join("s.db"), "");
    let mut gate = None;
    let server = Server::start_with(config, |parts| {
        let made = Arc::new(Gate {
            ids: Arc::clone(&parts.ids),
            asked: Semaphore::new(0),
            open: Semaphore::new(1),
        });
        gate = Some(Arc::clone(&made));
        Parts { ids: made, ..parts }
    })
    .await
    .unwrap();
    let gate = gate.unwrap();
    let sip = server.addresses().udp[0];
    let control = Control(server.addresses().control.unwrap());
    let mut alice = Agent::udp(ALICE, sip).await;
    assert_eq!(alice.text(BOB, "refused").await, 202);
    gate.asked.acquire().await.unwrap().forget();
    let request = alice.message(BOB).body("welcome");
    alice.send(request.octets()).await;
    gate.asked.acquire().await.unwrap().forget();
    let mut bob = Agent::udp(BOB, sip).await;
    bob.register().await;
    assert_eq!(body(&bob.receive_and(415).await), "refused");
    bob.silence().await;
    gate.open.add_permits(1);
    assert_eq!(body(&bob.receive_and(200).await), "welcome");
    assert_eq!(alice.response().await.status(), Some(202));
    control.until_count(BOB, 1).await;
    bob.silence().await;
    // The other is tried again in its own time.
    control.advance(61).await;
    assert_eq!(body(&bob.receive_and(200).await), "refused");
    control.until_count(BOB, 0).await;
}

#[tokio::test]
async fn a_store_that_cannot_remove_does_not_bring_a_message_twice() {
    let setup = Setup::new("").await;
    let mut alice = setup.agent(ALICE).await;
    assert_eq!(alice.text(BOB, "one").await, 202);
    assert_eq!(alice.text(BOB, "two").await, 202);
    let file = rusqlite::Connection::open(setup.folder.path().join("s.db")).unwrap();
    file.busy_timeout(support::PATIENCE).unwrap();
    file.execute_batch(
        "CREATE TRIGGER stuck BEFORE DELETE ON message BEGIN SELECT RAISE(ABORT, 'stuck'); END",
    )
    .unwrap();
    let mut bob = setup.agent(BOB).await;
    bob.register().await;
    assert_eq!(body(&bob.receive_and(200).await), "one");
    // Longer than the store is left in peace.
    assert!(bob.next_within(Duration::from_millis(1500)).await.is_none());
    file.execute_batch("DROP TRIGGER stuck").unwrap();
    assert_eq!(body(&bob.receive_and(200).await), "two");
    setup.control.until_count(BOB, 0).await;
}
