//! INVITE for somebody online: passed on, and what comes of it passed back; taken by the server itself
//! where nobody can be reached after all.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "tests"
)]

mod support;

use imspec_reference_server::Server;
use imspec_wire::sip::typed::Via;
use imspec_wire::sip::{Builder, Message};
use support::{ALICE, Agent, BOB, Control, PATIENCE, body, show};

const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
                     m=message 9 TCP/MSRP *\r\na=accept-types:*\r\n\
                     a=path:msrp://127.0.0.1:9/alice;tcp\r\na=setup:active\r\n";

struct Setup {
    server: Server,
    control: Control,
    _folder: tempfile::TempDir,
}

impl Setup {
    async fn new(extra: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = support::config(&folder.path().join("s.db"), extra);
        let server = Server::start(config).await.unwrap();
        let control = Control(server.addresses().control.unwrap());
        Self {
            server,
            control,
            _folder: folder,
        }
    }

    async fn agent(&self, aor: &str, tcp: bool) -> Agent {
        let addresses = self.server.addresses();
        if tcp {
            Agent::tcp(aor, addresses.tcp[0]).await
        } else {
            Agent::udp(aor, addresses.udp[0]).await
        }
    }
}

fn invite(alice: &mut Agent) -> Builder {
    let contact = format!("<{}>", alice.contact());
    alice
        .request("INVITE", BOB, BOB)
        .header("Contact", contact)
        .header("Subject", "Dinner")
        .header("Record-Route", "<sip:192.0.2.9;lr>")
        .header("Content-Type", "application/sdp")
        .body(OFFER)
}

/// The next response to an INVITE but for 100.
async fn heard(alice: &mut Agent) -> Message {
    loop {
        let message = alice.next_within(PATIENCE).await.expect("a response");
        match message.status() {
            Some(100) => {}
            Some(_) => return message,
            None => panic!("a request came:\n{}", show(&message)),
        }
    }
}

/// The request that belongs to an INVITE hop by hop.
fn like(invite: &Message, method: &str, to: &str) -> Builder {
    let text = |name: &str| invite.header(name).unwrap().text().into_owned();
    Builder::request(method, invite.request_uri().unwrap())
        .header("Via", text("Via"))
        .header("Max-Forwards", "70")
        .header("From", text("From"))
        .header("To", to)
        .header("Call-ID", text("Call-ID"))
        .header("CSeq", text("CSeq").replace("INVITE", method))
}

fn text(message: &Message, name: &str) -> String {
    message.header(name).unwrap().text().into_owned()
}

fn branch(message: &Message) -> String {
    let via = message.typed::<Via>().unwrap().unwrap();
    via.branch().unwrap().to_owned()
}

#[tokio::test]
async fn an_invite_goes_on_and_its_answers_come_back() {
    for tcp in [false, true] {
        let setup = Setup::new("").await;
        let mut alice = setup.agent(ALICE, tcp).await;
        let mut bob = setup.agent(BOB, tcp).await;
        bob.register().await;
        let sent = invite(&mut alice).build().unwrap();
        alice.send(sent.octets()).await;
        let trying = alice.next_within(PATIENCE).await.unwrap();
        assert_eq!(trying.status(), Some(100), "RFC 3261 §16.2");
        let passed = bob.receive().await;
        assert_eq!(passed.method(), Some("INVITE"));
        assert_eq!(passed.typed_all::<Via>().len(), 2);
        assert_eq!(text(&passed, "Max-Forwards"), "69");
        assert_eq!(passed.request_uri().unwrap(), bob.contact().as_bytes());
        assert_eq!(body(&passed), OFFER);
        for name in ["From", "To", "Call-ID", "CSeq", "Contact", "Subject"] {
            assert_eq!(text(&passed, name), text(&sent, name), "{name}");
        }
        // The way of those before us, to which we add nothing.
        assert_eq!(text(&passed, "Record-Route"), "<sip:192.0.2.9;lr>");
        bob.answer(&passed, 180).await;
        assert_eq!(heard(&mut alice).await.status(), Some(180));
        let answer = Builder::response_to(&passed, 200, "Fine", Some("bt"))
            .header("Contact", format!("<{}>", bob.contact()))
            .header("Content-Type", "application/sdp")
            .body("v=0\r\n")
            .octets();
        // Copies too, over TCP as well: whoever answered repeats it until the ACK (RFC 6026 §7.2).
        for _ in 0..3 {
            bob.send(&answer).await;
            let answered = heard(&mut alice).await;
            assert_eq!(answered.status(), Some(200));
            assert_eq!(answered.typed_all::<Via>().len(), 1);
            assert!(text(&answered, "To").ends_with("tag=bt"));
            assert!(text(&answered, "Contact").contains(&bob.contact()));
            assert_eq!(body(&answered), "v=0\r\n");
        }
        // A copy of the INVITE is no second one.
        alice.send(sent.octets()).await;
        bob.silence().await;
        assert!(setup.control.messages(BOB).await.is_empty());
    }
}

#[tokio::test]
async fn a_refusal_comes_back_and_is_acknowledged_hop_by_hop() {
    for tcp in [false, true] {
        let setup = Setup::new("").await;
        let mut alice = setup.agent(ALICE, tcp).await;
        let mut bob = setup.agent(BOB, tcp).await;
        bob.register().await;
        let sent = invite(&mut alice).build().unwrap();
        alice.send(sent.octets()).await;
        let passed = bob.receive().await;
        let answer = Builder::response_to(&passed, 486, "Busy", Some("bt"))
            .header("Retry-After", "60")
            .octets();
        bob.send(&answer).await;
        let ack = bob.receive().await;
        assert_eq!(ack.method(), Some("ACK"));
        assert_eq!(branch(&ack), branch(&passed));
        let refused = heard(&mut alice).await;
        assert_eq!(refused.status(), Some(486));
        assert_eq!(text(&refused, "Retry-After"), "60");
        alice
            .send(like(&sent, "ACK", &text(&refused, "To")).octets())
            .await;
        // Ours to absorb, not Bob's to hear.
        bob.silence().await;
        if !tcp {
            bob.send(&answer).await;
            assert_eq!(bob.receive().await.method(), Some("ACK"), "each copy");
        }
        assert!(setup.control.messages(BOB).await.is_empty());
    }
}

#[tokio::test]
async fn a_cancel_goes_on_once_the_callee_rings() {
    let setup = Setup::new("").await;
    let mut alice = setup.agent(ALICE, true).await;
    let mut bob = setup.agent(BOB, true).await;
    bob.register().await;
    let sent = invite(&mut alice).build().unwrap();
    alice.send(sent.octets()).await;
    let passed = bob.receive().await;
    let cancel = like(&sent, "CANCEL", &text(&sent, "To"));
    assert_eq!(alice.ask(cancel).await.status(), Some(200));
    // RFC 3261 §9.1: not before Bob has said that he knows of the INVITE.
    bob.silence().await;
    bob.answer(&passed, 180).await;
    let cancel = bob.receive().await;
    assert_eq!(cancel.method(), Some("CANCEL"));
    assert_eq!(branch(&cancel), branch(&passed));
    assert_eq!(cancel.typed_all::<Via>().len(), 1);
    bob.answer(&cancel, 200).await;
    bob.answer(&passed, 487).await;
    assert_eq!(bob.receive().await.method(), Some("ACK"));
    let mut last = heard(&mut alice).await;
    if last.status() == Some(180) {
        last = heard(&mut alice).await;
    }
    assert_eq!(last.status(), Some(487));
    alice
        .send(like(&sent, "ACK", &text(&last, "To")).octets())
        .await;
    alice.silence().await;
    assert!(setup.control.messages(BOB).await.is_empty());
}

#[tokio::test]
async fn an_answer_that_overtakes_the_cancel_comes_back() {
    let setup = Setup::new("").await;
    let mut alice = setup.agent(ALICE, true).await;
    let mut bob = setup.agent(BOB, true).await;
    bob.register().await;
    let sent = invite(&mut alice).build().unwrap();
    alice.send(sent.octets()).await;
    let passed = bob.receive().await;
    bob.answer(&passed, 180).await;
    assert_eq!(heard(&mut alice).await.status(), Some(180));
    let cancel = like(&sent, "CANCEL", &text(&sent, "To"));
    assert_eq!(alice.ask(cancel).await.status(), Some(200));
    assert_eq!(bob.receive().await.method(), Some("CANCEL"));
    bob.answer(&passed, 200).await;
    assert_eq!(heard(&mut alice).await.status(), Some(200));
}

#[tokio::test]
async fn who_cannot_be_reached_is_offline() {
    for how in ["480", "silence", "gone"] {
        let setup = Setup::new("sip: { t1_ms: 20 }\n").await;
        let mut alice = setup.agent(ALICE, true).await;
        let mut bob = setup.agent(BOB, how == "gone").await;
        bob.register().await;
        if how == "gone" {
            drop(bob);
            let octets = invite(&mut alice).octets();
            alice.send(octets).await;
        } else {
            let octets = invite(&mut alice).octets();
            alice.send(octets).await;
            let passed = bob.receive().await;
            if how == "480" {
                bob.answer(&passed, 480).await;
            }
        }
        let answer = heard(&mut alice).await;
        assert_eq!(answer.status(), Some(200), "{how}: {}", show(&answer));
        assert!(body(&answer).contains("a=path:msrp://127.0.0.1:"), "{how}");
    }
}

#[tokio::test]
async fn the_next_contact_is_tried_where_the_newest_is_silent() {
    let setup = Setup::new("sip: { t1_ms: 20 }\n").await;
    let mut alice = setup.agent(ALICE, true).await;
    let mut old = setup.agent(BOB, false).await;
    old.register().await;
    let mut new = setup.agent(BOB, false).await;
    new.register().await;
    let octets = invite(&mut alice).octets();
    alice.send(octets).await;
    assert_eq!(new.receive().await.method(), Some("INVITE"));
    let passed = old.receive().await;
    old.answer(&passed, 200).await;
    assert_eq!(heard(&mut alice).await.status(), Some(200));
}

#[tokio::test]
async fn an_invite_that_may_not_go_on_is_refused() {
    let setup = Setup::new("").await;
    let mut alice = setup.agent(ALICE, true).await;
    let mut bob = setup.agent(BOB, true).await;
    bob.register().await;
    let octets = invite(&mut alice).octets();
    let text = String::from_utf8(octets.to_vec()).unwrap();
    alice
        .send(text.replace("Max-Forwards: 70", "Max-Forwards: 0"))
        .await;
    assert_eq!(heard(&mut alice).await.status(), Some(483));
    bob.silence().await;
}
