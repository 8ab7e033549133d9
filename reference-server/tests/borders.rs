//! Parts can be replaced or wrapped at their borders, and the server stays honest when one of them
//! fails.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use std::sync::Arc;

use bytes::Bytes;
use imspec_reference_server::compose::{Composer, Deferred, Field};
use imspec_reference_server::message_id::MessageIds;
use imspec_reference_server::store::{Answer, StoreError, StoredMessage};
use imspec_reference_server::transport::Flow;
use imspec_reference_server::{Parts, Server};
use imspec_wire::sip::Message;
use support::{ALICE, Agent, BOB, Control, body};
use tokio::sync::Notify;

struct FailingIds(StoreError);

impl MessageIds for FailingIds {
    fn next<'a>(&'a self, _account: &'a str) -> Answer<'a, String> {
        Box::pin(async move { Err(self.0.clone()) })
    }
}

/// Holds a message up between the look for bindings and the store.
struct HeldUp {
    ids: Arc<dyn MessageIds>,
    asked: Notify,
    go_on: Notify,
}

impl MessageIds for HeldUp {
    fn next<'a>(&'a self, account: &'a str) -> Answer<'a, String> {
        Box::pin(async move {
            self.asked.notify_one();
            self.go_on.notified().await;
            self.ids.next(account).await
        })
    }
}

#[tokio::test]
async fn who_registers_while_a_message_is_being_stored_gets_it() {
    let mut gate = None;
    let (server, _folder) = start(|parts| {
        let held = Arc::new(HeldUp {
            ids: Arc::clone(&parts.ids),
            asked: Notify::new(),
            go_on: Notify::new(),
        });
        gate = Some(Arc::clone(&held));
        Parts { ids: held, ..parts }
    })
    .await;
    let gate = gate.unwrap();
    let mut alice = Agent::udp(ALICE, server.addresses().udp[0]).await;
    let request = alice.message(BOB).body("just in time");
    alice.send(request.octets()).await;
    gate.asked.notified().await;
    let mut bob = Agent::udp(BOB, server.addresses().udp[0]).await;
    bob.register().await;
    bob.silence().await;
    gate.go_on.notify_one();
    assert_eq!(body(&bob.receive_and(200).await), "just in time");
    assert_eq!(alice.response().await.status(), Some(202));
}

/// A wrapper that spoils what it passes on.
struct Shouting(Arc<dyn Composer>);

impl Composer for Shouting {
    fn deferred(&self, stored: &StoredMessage, request: &Message, how: &Deferred<'_>) -> Bytes {
        let octets = self.0.deferred(stored, request, how);
        String::from_utf8_lossy(&octets)
            .replace("hello", "HELLO")
            .into()
    }

    fn invitation(
        &self,
        stored: &StoredMessage,
        request: &Message,
        how: &Deferred<'_>,
        contact: &str,
        offer: Bytes,
    ) -> Bytes {
        self.0.invitation(stored, request, how, contact, offer)
    }

    fn send_fields(
        &self,
        stored: &StoredMessage,
        request: &Message,
        part: usize,
        how: &Deferred<'_>,
    ) -> Vec<Field> {
        self.0.send_fields(stored, request, part, how)
    }

    fn forwarded(&self, request: &Message, flow: &Flow, contact: &str, via: &str) -> Bytes {
        self.0.forwarded(request, flow, contact, via)
    }
}

async fn start(change: impl FnOnce(Parts) -> Parts) -> (Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let config = support::config(&folder.path().join("s.db"), "");
    (Server::start_with(config, change).await.unwrap(), folder)
}

#[tokio::test]
async fn what_cannot_be_stored_is_never_accepted() {
    for (error, status) in [
        (StoreError::Failed("disk full".into()), 500),
        (StoreError::Busy, 503),
        (StoreError::Closed, 500),
    ] {
        let (server, _folder) = start(|parts| Parts {
            ids: Arc::new(FailingIds(error)),
            ..parts
        })
        .await;
        let mut alice = Agent::udp(ALICE, server.addresses().udp[0]).await;
        assert_eq!(alice.text(BOB, "x").await, status);
        let control = Control(server.addresses().control.unwrap());
        assert!(control.messages(BOB).await.is_empty());
    }
}

#[tokio::test]
async fn a_wrapped_part_is_used() {
    let (server, _folder) = start(|parts| Parts {
        composer: Arc::new(Shouting(Arc::clone(&parts.composer))),
        ..parts
    })
    .await;
    let mut alice = Agent::udp(ALICE, server.addresses().udp[0]).await;
    assert_eq!(alice.text(BOB, "hello").await, 202);
    let mut bob = Agent::udp(BOB, server.addresses().udp[0]).await;
    bob.register().await;
    assert_eq!(body(&bob.receive_and(200).await), "HELLO");
}
