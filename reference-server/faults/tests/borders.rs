//! Every fault makes a server that works, and at each border one is seen to do what it says.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

#[path = "../../tests/support/mod.rs"]
mod support;

use imspec_faults::{FAULTS, find, start};
use imspec_reference_server::Server;
use imspec_wire::sip::Message;
use serde_json::json;
use support::sender::{Msrp, offer, own_path};
use support::{ALICE, Agent, BOB, CAROL, Control, body};

struct Faulty {
    server: Server,
    control: Control,
    _folder: tempfile::TempDir,
}

impl Faulty {
    async fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = support::config(&folder.path().join("s.db"), "sip: { t1_ms: 50 }");
        let server = start(config, find(name).unwrap()).await.unwrap();
        let control = Control(server.addresses().control.unwrap());
        Self {
            server,
            control,
            _folder: folder,
        }
    }

    async fn agent(&self, aor: &str) -> Agent {
        Agent::udp(aor, self.server.addresses().udp[0]).await
    }

    /// What BOB gets of a text of ALICE's that waited for him.
    async fn brought(&self, text: &str) -> Message {
        let mut alice = self.agent(ALICE).await;
        let request = alice
            .message(BOB)
            .header("Subject", "Dinner")
            .header("Content-Type", "text/plain")
            .body(text.to_owned());
        assert_eq!(alice.ask(request).await.status(), Some(202));
        let mut bob = self.agent(BOB).await;
        bob.register().await;
        bob.receive_and(200).await
    }
}

#[tokio::test]
async fn every_fault_makes_a_server_that_starts_and_answers() {
    for fault in FAULTS.iter() {
        let faulty = Faulty::new(fault.name).await;
        let mut alice = faulty.agent(ALICE).await;
        alice.register().await;
        faulty.server.stop().await;
    }
}

#[tokio::test]
async fn a_fault_of_the_store_changes_what_is_stored() {
    let faulty = Faulty::new("drops-subject").await;
    let got = faulty.brought("hello").await;
    assert!(got.header("Subject").is_none());
    assert_eq!(body(&got), "hello");
}

#[tokio::test]
async fn a_fault_of_accounts_changes_whose_a_message_is() {
    let faulty = Faulty::new("stored-for-sender").await;
    let mut alice = faulty.agent(ALICE).await;
    assert_eq!(alice.text(CAROL, "x").await, 202);
    assert!(faulty.control.messages(CAROL).await.is_empty());
    assert_eq!(faulty.control.messages(ALICE).await.len(), 1);
}

#[tokio::test]
async fn a_fault_of_message_ids_may_repeat_them() {
    let faulty = Faulty::new("id-per-account").await;
    let mut alice = faulty.agent(ALICE).await;
    for account in [BOB, CAROL] {
        assert_eq!(alice.text(account, "x").await, 202);
        let records = faulty.control.messages(account).await;
        assert_eq!(records[0]["message_id"], "1@mailstore1.example.org");
    }
}

#[tokio::test]
async fn a_fault_of_expiry_changes_marks() {
    let faulty = Faulty::new("expires-in-minutes").await;
    let mut alice = faulty.agent(ALICE).await;
    let request = alice.message(BOB).header("Expires", "60").body("x");
    assert_eq!(alice.ask(request).await.status(), Some(202));
    let records = faulty.control.messages(BOB).await;
    assert_eq!(records[0]["expire"]["seconds"], 3600);
    faulty.control.advance(3599).await;
    assert_eq!(faulty.control.messages(BOB).await.len(), 1);
    faulty.control.advance(2).await;
    assert!(faulty.control.messages(BOB).await.is_empty());
}

#[tokio::test]
async fn a_fault_of_marks_counts_by_what_it_shows() {
    let faulty = Faulty::new("last-mark-for-all").await;
    let mut alice = faulty.agent(ALICE).await;
    for expires in ["3600", "60"] {
        let request = alice.message(BOB).header("Expires", expires).body("x");
        assert_eq!(alice.ask(request).await.status(), Some(202));
    }
    faulty.control.advance(61).await;
    assert!(faulty.control.messages(BOB).await.is_empty());
}

#[tokio::test]
async fn a_fault_of_delivery_changes_what_is_sent() {
    let faulty = Faulty::new("offline-prefix").await;
    let got = faulty.brought("hello").await;
    assert_eq!(body(&got), "[Offline message] hello");
    assert_eq!(got.header("Content-Length").unwrap().text(), "23");
}

#[tokio::test]
async fn a_fault_of_the_transport_changes_responses() {
    let faulty = Faulty::new("accepts-unknown-users").await;
    let mut alice = faulty.agent(ALICE).await;
    assert_eq!(alice.text("sip:nobody@example.org", "x").await, 202);
}

#[tokio::test]
async fn a_retransmission_that_is_new_is_answered_as_it_was_asked() {
    let faulty = Faulty::new("retransmission-is-new").await;
    let mut alice = faulty.agent(ALICE).await;
    let request = alice.message(BOB).body("x").octets();
    for _ in 0..2 {
        alice.send(&request).await;
        assert_eq!(alice.response().await.status(), Some(202));
    }
    assert_eq!(faulty.control.messages(BOB).await.len(), 2);
}

#[tokio::test]
async fn a_fault_of_leniency_takes_what_is_to_be_refused() {
    let faulty = Faulty::new("requires-nothing").await;
    let mut alice = faulty.agent(ALICE).await;
    let request = alice
        .message(BOB)
        .header("Require", "nothing-like-it")
        .body("x");
    assert_eq!(alice.ask(request).await.status(), Some(202));
    let records = faulty.control.messages(BOB).await;
    let fields = records[0]["headers"].as_array().unwrap();
    assert!(fields.iter().all(|field| field["name"] != "Require"));
}

#[tokio::test]
async fn a_fault_of_msrp_takes_frames_for_others() {
    let faulty = Faulty::new("first-chunk-alone").await;
    let mut alice = faulty.agent(ALICE).await;
    let own = own_path();
    let invite = alice.invitation(BOB, &offer(&own, 7394, "a=setup:actpass\r\n"));
    let dialog = alice.establish(invite).await;
    let mut msrp = Msrp::connect(&dialog.path(), &own).await;
    let range = |range: &str| format!("Message-ID: m1\r\nByte-Range: {range}\r\n");
    assert_eq!(msrp.send(&range("1-4/8"), b"abcd", '+').await, 200);
    assert_eq!(msrp.send(&range("5-8/8"), b"EFGH", '$').await, 200);
    let records = faulty.control.messages(BOB).await;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["body"], json!({ "text": "abcd" }));
}

#[tokio::test]
async fn a_fault_of_settings_does_not_store() {
    let faulty = Faulty::new("refuses-for-absent").await;
    let mut alice = faulty.agent(ALICE).await;
    assert_eq!(alice.text(BOB, "x").await, 480);
}
