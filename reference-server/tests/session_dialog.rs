//! The SIP side of sessions: INVITE transactions, dialogs, offers, session timers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod support;

use std::time::{Duration, Instant};

use imspec_wire::sip::{Builder, Message};
use support::sender::{Dialog, Msrp, line, offer, own_path, path_of};
use support::{ALICE, Agent, BOB, PATIENCE, Setup, show};

const QUICK: &str = "sip: { t1_ms: 20 }\nsession: { linger_ms: 20 }";

fn sdp(message: &Message) -> String {
    String::from_utf8_lossy(message.body()).into_owned()
}

async fn next(agent: &mut Agent) -> Message {
    agent.next_within(PATIENCE).await.expect("a message")
}

/// The next request, whatever responses come before it.
async fn next_request(agent: &mut Agent) -> Message {
    loop {
        let message = next(agent).await;
        if message.is_request() {
            return message;
        }
    }
}

fn plain(agent: &mut Agent) -> (String, Builder) {
    let own = own_path();
    let invite = agent.invitation(BOB, &offer(&own, 7394, ""));
    (own, invite)
}

/// A response's status, whatever came before that is of another transaction.
async fn answer_to(agent: &mut Agent, request: &Builder) -> Message {
    agent.send(request.clone().octets()).await;
    let request = request.clone().build().unwrap();
    let cseq = request.header("CSeq").unwrap().text().into_owned();
    loop {
        let message = next(agent).await;
        let same = message
            .header("CSeq")
            .is_some_and(|field| field.text() == cseq);
        if same && message.status() >= Some(200) {
            return message;
        }
    }
}

#[tokio::test]
async fn copies_of_an_invite_make_no_second_session() {
    let setup = Setup::new("").await;
    let mut alice = setup.agent(ALICE).await;
    let (own, invite) = plain(&mut alice);
    let ok = alice.call(&invite).await;
    for _ in 0..3 {
        // Absorbed: the 200 is repeated by its own time (RFC 6026).
        alice.send(invite.clone().octets()).await;
    }
    let mut dialog = Dialog {
        invite: invite.build().unwrap(),
        ok,
        cseq: 0,
    };
    let again = alice.response().await;
    assert_eq!(again.octets(), dialog.ok.octets(), "the same 200");
    let ack = dialog.request(&alice, "ACK");
    alice.send(ack.octets()).await;
    let mut msrp = Msrp::connect(&dialog.path(), &own).await;
    assert_eq!(msrp.message("m1", b"once").await, 200);
    dialog.bye(&mut alice).await;
    assert_eq!(setup.control.messages(BOB).await.len(), 1);
}

#[tokio::test]
async fn a_200_is_repeated_until_its_ack_and_then_the_session_is_ended() {
    for tcp in [false, true] {
        let setup = Setup::new(QUICK).await;
        let mut alice = if tcp {
            Agent::tcp(ALICE, setup.tcp()).await
        } else {
            setup.agent(ALICE).await
        };
        let (own, invite) = plain(&mut alice);
        let ok = alice.call(&invite).await;
        let mut msrp = Msrp::connect(&path_of(&ok), &own).await;
        assert_eq!(msrp.message("m1", b"no ack").await, 200);
        let mut copies = 0;
        let bye = loop {
            let message = next(&mut alice).await;
            if message.is_request() {
                break message;
            }
            assert_eq!(message.octets(), ok.octets());
            copies += 1;
        };
        // 64 x T1 in steps of T1 doubled up to T2 make 10; a busy machine may leave some out.
        assert!((5..=10).contains(&copies), "tcp: {tcp}: {copies}");
        assert_eq!(bye.method(), Some("BYE"));
        let tag = |name: &str, message: &Message| message.header(name).unwrap().text().into_owned();
        assert_eq!(tag("From", &bye), tag("To", &ok));
        alice.answer(&bye, 200).await;
        // What was acknowledged is kept.
        assert_eq!(setup.control.messages(BOB).await.len(), 1);
    }
}

#[tokio::test]
async fn a_copy_by_another_way_is_merged() {
    let setup = Setup::new("").await;
    let mut alice = setup.agent(ALICE).await;
    let (_, invite) = plain(&mut alice);
    let octets = invite.clone().octets();
    alice.call(&invite).await;
    let other = String::from_utf8_lossy(&octets).replace("branch=z9hG4bK", "branch=z9hG4bKother");
    alice.send(other).await;
    loop {
        let response = alice.response().await;
        if response.status() == Some(482) {
            break;
        }
        assert_eq!(response.status(), Some(200));
    }
}

#[tokio::test]
async fn a_refusal_is_repeated_over_udp_until_it_is_acknowledged() {
    let setup = Setup::new(QUICK).await;
    let mut alice = setup.agent(ALICE).await;
    let invite = alice.invitation("sip:nobody@example.org", &offer(&own_path(), 7394, ""));
    let refused = alice.call(&invite).await;
    assert_eq!(refused.status(), Some(404));
    assert_eq!(next(&mut alice).await.octets(), refused.octets());
    // The ACK of a refusal has the branch of its INVITE (RFC 3261 §17.1.1.3).
    let invite = invite.build().unwrap();
    let mut ack = Builder::request("ACK", "sip:nobody@example.org");
    for name in ["Via", "From", "Call-ID"] {
        ack = ack.header_line(invite.header(name).unwrap().line());
    }
    let cseq = invite
        .header("CSeq")
        .unwrap()
        .text()
        .replace("INVITE", "ACK");
    let ack = ack
        .header_line(refused.header("To").unwrap().line())
        .header("CSeq", cseq);
    alice.send(ack.octets()).await;
    // One may have been on its way.
    let mut late = 0;
    while alice
        .next_within(Duration::from_millis(200))
        .await
        .is_some()
    {
        late += 1;
    }
    assert!(late <= 2, "{late} copies after the ACK");
}

#[tokio::test]
async fn a_cancel_before_the_answer_ends_the_invite_and_one_after_it_changes_nothing() {
    let setup = Setup::new("").await;
    let mut alice = setup.agent(ALICE).await;
    let cancel = |invite: &Builder| {
        let invite = invite.clone().build().unwrap();
        let mut cancel = Builder::request("CANCEL", BOB);
        for name in ["Via", "From", "To", "Call-ID", "Max-Forwards"] {
            cancel = cancel.header_line(invite.header(name).unwrap().line());
        }
        let cseq = invite
            .header("CSeq")
            .unwrap()
            .text()
            .replace("INVITE", "CANCEL");
        cancel.header("CSeq", cseq)
    };
    // Nothing to cancel.
    let (_, never_sent) = plain(&mut alice);
    assert_eq!(alice.ask(cancel(&never_sent)).await.status(), Some(481));
    // Back to back: whichever comes first, both have their answers and nothing is stored.
    for _ in 0..20 {
        let (own, invite) = plain(&mut alice);
        alice.send(invite.clone().octets()).await;
        alice.send(cancel(&invite).octets()).await;
        let mut to_invite = None;
        let mut to_cancel = None;
        while to_invite.is_none() || to_cancel.is_none() {
            let response = alice.response().await;
            let is_its = |name: &str| {
                let own = invite.clone().build().unwrap();
                response.header(name).unwrap().text() == own.header(name).unwrap().text()
            };
            if !is_its("Call-ID") {
                // A 487 that was not acknowledged comes again.
                continue;
            }
            if is_its("CSeq") {
                to_invite = Some(response);
            } else {
                to_cancel = response.status();
            }
        }
        let answer = to_invite.unwrap();
        assert_eq!(to_cancel, Some(200));
        assert!(
            matches!(answer.status(), Some(200 | 487)),
            "{}",
            show(&answer)
        );
        let mut dialog = Dialog {
            invite: invite.build().unwrap(),
            ok: answer,
            cseq: 0,
        };
        if dialog.ok.status() == Some(200) {
            let ack = dialog.request(&alice, "ACK");
            alice.send(ack.octets()).await;
            let mut msrp = Msrp::connect(&dialog.path(), &own).await;
            assert_eq!(msrp.message("m", b"").await, 200, "the session stands");
            dialog.bye(&mut alice).await;
            setup
                .control
                .post("/v1/accounts", serde_json::json!({"remove": [BOB]}))
                .await;
            setup
                .control
                .post("/v1/accounts", serde_json::json!({"add": [BOB]}))
                .await;
        }
    }
    assert!(setup.control.messages(BOB).await.is_empty());
}

#[tokio::test]
async fn offers_that_cannot_be_taken_are_refused_with_the_reason() {
    let setup = Setup::new("session: { accept_types: ['text/plain'] }").await;
    let mut alice = setup.agent(ALICE).await;
    let good = offer(&own_path(), 7394, "");
    for (sdp, status, reason) in [
        (good.replace("m=message", "m=audio"), 488, "m=message"),
        (
            good.replace("m=message 7394", "m=message 0"),
            488,
            "m=message",
        ),
        (
            good.replace("a=accept-types:*\r\n", ""),
            488,
            "accept-types",
        ),
        (
            good.replace("accept-types:*", "accept-types:image/png"),
            488,
            "accept-types",
        ),
        (good.replace("a=path", "a=pth"), 488, "a=path"),
        (
            good.replace("m=message 7394", "m=message 7395"),
            488,
            "6714",
        ),
        (
            good.replace("TCP/MSRP", "TCP/TLS/MSRP")
                .replace("msrp:", "msrps:")
                + "a=setup:passive\r\n",
            488,
            "fingerprint",
        ),
        ("nonsense".to_owned(), 400, ""),
    ] {
        let invite = alice.invitation(BOB, &sdp);
        let refused = alice.call(&invite).await;
        assert_eq!(refused.status(), Some(status), "{sdp}{}", show(&refused));
        let warning = refused
            .header("Warning")
            .map(|field| field.text().into_owned());
        assert!(
            warning.unwrap_or_default().contains(reason),
            "{}",
            show(&refused)
        );
    }
    let invite = alice.invitation(BOB, &good).header("Require", "100rel");
    assert_eq!(alice.call(&invite).await.status(), Some(420));
    let invite = alice
        .request("INVITE", BOB, BOB)
        .header("Content-Type", "text/plain")
        .body("x");
    assert_eq!(alice.call(&invite).await.status(), Some(415));
    // Other sections are refused, in their order.
    let many = good.replace("m=message", "m=audio 5004 RTP/AVP 0\r\nm=message")
        + "m=message 7395 TCP/MSRP *\r\na=accept-types:*\r\na=path:msrp://127.0.0.1:7395/x;tcp\r\n";
    let invite = alice.invitation(BOB, &many);
    let dialog = alice.establish(invite).await;
    let answer = sdp(&dialog.ok);
    let sections: Vec<&str> = answer
        .lines()
        .filter(|line| line.starts_with("m="))
        .collect();
    assert_eq!((sections.len(), sections[0]), (3, "m=audio 0 RTP/AVP 0"));
    assert!(sections[1].starts_with("m=message ") && sections[1] != "m=message 0 TCP/MSRP *");
    assert_eq!(sections[2], "m=message 0 TCP/MSRP *");
}

#[tokio::test]
async fn an_invite_without_an_offer_gets_one() {
    for active in [true, false] {
        let setup = Setup::new("").await;
        let mut alice = setup.agent(ALICE).await;
        let contact = format!("<{}>", alice.contact());
        let invite = alice.request("INVITE", BOB, BOB).header("Contact", contact);
        let ok = alice.call(&invite).await;
        assert!(sdp(&ok).contains("a=setup:actpass"), "{}", show(&ok));
        let mut dialog = Dialog {
            invite: invite.build().unwrap(),
            ok,
            cseq: 0,
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let own = format!("msrp://127.0.0.1:{port}/answered;tcp");
        let setup_line = if active { "a=setup:active\r\n" } else { "" };
        let ack = dialog
            .request(&alice, "ACK")
            .header("Content-Type", "application/sdp")
            .body(offer(&own, port, setup_line));
        alice.send(ack.octets()).await;
        let mut msrp = if active {
            Msrp::connect(&dialog.path(), &own).await
        } else {
            let mut msrp = Msrp::accept(&listener, &dialog.path(), &own).await;
            assert!(msrp.frame().await.contains(" SEND\r\n"));
            msrp
        };
        assert_eq!(msrp.message("m1", b"answered").await, 200);
        dialog.bye(&mut alice).await;
        assert_eq!(setup.control.messages(BOB).await.len(), 1);
    }
    // An ACK without the answer ends it.
    let setup = Setup::new(QUICK).await;
    let mut alice = setup.agent(ALICE).await;
    let contact = format!("<{}>", alice.contact());
    let invite = alice.request("INVITE", BOB, BOB).header("Contact", contact);
    let _ = alice.establish(invite).await;
    assert_eq!(next_request(&mut alice).await.method(), Some("BYE"));
}

#[tokio::test]
async fn inside_a_dialog_requests_have_their_order_and_outside_they_have_none() {
    let setup = Setup::new("").await;
    let mut alice = setup.agent(ALICE).await;
    let bye = alice.request("BYE", BOB, BOB);
    assert_eq!(alice.ask(bye).await.status(), Some(481));
    let (own, invite) = plain(&mut alice);
    let mut dialog = alice.establish(invite).await;
    let mut stray = dialog
        .request(&alice, "BYE")
        .build()
        .unwrap()
        .octets()
        .to_vec();
    let at = stray.windows(5).position(|w| w == b";tag=").unwrap();
    stray[at + 5] = b'!';
    alice.send(stray).await;
    assert_eq!(alice.response().await.status(), Some(481));
    for (method, status) in [
        ("OPTIONS", 200),
        ("MESSAGE", 405),
        ("INFO", 405),
        ("UPDATE", 200),
    ] {
        let request = dialog.request(&alice, method);
        assert_eq!(
            answer_to(&mut alice, &request).await.status(),
            Some(status),
            "{method}"
        );
    }
    let mut msrp = Msrp::connect(&dialog.path(), &own).await;
    assert_eq!(msrp.message("m1", b"in between").await, 200);
    let now = dialog.cseq;
    dialog.cseq = 1;
    let old = dialog.request(&alice, "BYE");
    assert_eq!(answer_to(&mut alice, &old).await.status(), Some(500));
    dialog.cseq = now;
    dialog.bye(&mut alice).await;
    // It is over for every further request, a second BYE too, once nothing can be under way.
    drop(msrp);
    let over = async {
        loop {
            let again = dialog.request(&alice, "BYE");
            if answer_to(&mut alice, &again).await.status() == Some(481) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, over).await.unwrap();
}

#[tokio::test]
async fn a_session_may_be_refreshed_and_held_but_not_moved() {
    let setup = Setup::new("").await;
    let mut alice = setup.agent(ALICE).await;
    let (own, invite) = plain(&mut alice);
    let mut dialog = alice.establish(invite.clone()).await;
    let mut msrp = Msrp::connect(&dialog.path(), &own).await;
    let half = "Message-ID: m1\r\nByte-Range: 1-4/8\r\n";
    assert_eq!(msrp.send(half, b"half", '+').await, 200);
    let first = sdp(&invite.build().unwrap());
    let held = first.replace("alice 1 1", "alice 1 2") + "a=inactive\r\n";
    let moved = first
        .replace("alice 1 1", "alice 1 3")
        .replace("/own", "/moved");
    for (body, status, expected) in [
        (first.as_str(), 200, "a=recvonly"),
        (&held, 200, "a=inactive"),
        (&moved, 488, ""),
        ("", 200, "a=inactive"),
    ] {
        let mut again = dialog.request(&alice, "INVITE");
        if !body.is_empty() {
            again = again
                .header("Content-Type", "application/sdp")
                .body(body.to_owned());
        }
        let answer = answer_to(&mut alice, &again).await;
        assert_eq!(answer.status(), Some(status), "{}", show(&answer));
        assert!(sdp(&answer).contains(expected), "{}", show(&answer));
        if status == 200 {
            assert_eq!(path_of(&answer), dialog.path());
            let number = format!("{}", 1 + dialog.cseq);
            let mut ack = dialog
                .request(&alice, "ACK")
                .build()
                .unwrap()
                .octets()
                .to_vec();
            let text = String::from_utf8(std::mem::take(&mut ack)).unwrap();
            let invited = line(&text, "CSeq: ").to_owned();
            let first: u32 = invited.split(' ').next().unwrap().parse().unwrap();
            let own_number = first - 1 + number.parse::<u32>().unwrap();
            alice
                .send(text.replace(&invited, &format!("{own_number} ACK")))
                .await;
        }
    }
    let versions: Vec<String> = vec![line(&sdp(&dialog.ok), "o=").to_owned()];
    assert!(versions[0].contains(" 1 IN"), "{versions:?}");
    let rest = "Message-ID: m1\r\nByte-Range: 5-8/8\r\n";
    assert_eq!(msrp.send(rest, b"rest", '$').await, 200);
    dialog.bye(&mut alice).await;
    assert_eq!(
        setup.control.messages(BOB).await[0]["body"]["text"],
        "halfrest"
    );
}

#[tokio::test]
async fn a_session_that_is_not_refreshed_ends() {
    let setup = Setup::new("session: { min_se_s: 2, linger_ms: 20 }").await;
    let mut alice = setup.agent(ALICE).await;
    let (_, invite) = plain(&mut alice);
    let short = invite.clone().header("k", "timer").header("x", "1");
    let refused = alice.call(&short).await;
    assert_eq!(refused.status(), Some(422));
    assert_eq!(refused.header("Min-SE").unwrap().text(), "2");
    // Ours to refresh where the peer cannot; a peer that answers keeps it alive.
    let (_, invite) = plain(&mut alice);
    let dialog = alice
        .establish(invite.header("Session-Expires", "3;refresher=uas"))
        .await;
    assert_eq!(
        dialog.ok.header("Session-Expires").unwrap().text(),
        "3;refresher=uas"
    );
    let start = Instant::now();
    for _ in 0..2 {
        let update = next_request(&mut alice).await;
        assert_eq!(update.method(), Some("UPDATE"), "{}", show(&update));
        alice.answer(&update, 200).await;
    }
    assert!(
        start.elapsed() >= Duration::from_secs(2),
        "two halves of the interval"
    );
    let update = next_request(&mut alice).await;
    assert_eq!(update.method(), Some("UPDATE"));
    alice.answer(&update, 405).await;
    assert_eq!(next_request(&mut alice).await.method(), Some("BYE"));
    // The peer's to refresh, and it does not.
    let (_, invite) = plain(&mut alice);
    let invite = invite
        .header("Supported", "timer")
        .header("Session-Expires", "2");
    let dialog = alice.establish(invite).await;
    assert_eq!(
        dialog.ok.header("Session-Expires").unwrap().text(),
        "2;refresher=uac"
    );
    assert_eq!(dialog.ok.header("Require").unwrap().text(), "timer");
    assert_eq!(next_request(&mut alice).await.method(), Some("BYE"));
}

#[tokio::test]
async fn a_session_in_which_nothing_happens_ends() {
    let setup = Setup::new("session: { idle_s: 1, linger_ms: 20 }").await;
    let mut alice = setup.agent(ALICE).await;
    let (_, invite) = plain(&mut alice);
    alice.establish(invite).await;
    assert_eq!(next_request(&mut alice).await.method(), Some("BYE"));
}

#[tokio::test]
async fn options_tell_what_is_taken() {
    let setup = Setup::new("").await;
    let mut alice = setup.agent(ALICE).await;
    let options = alice.request("OPTIONS", "sip:example.org", "sip:example.org");
    let response = alice.ask(options).await;
    let allow = response.header("Allow").unwrap().text().into_owned();
    for method in [
        "INVITE", "ACK", "BYE", "CANCEL", "UPDATE", "MESSAGE", "OPTIONS", "REGISTER",
    ] {
        assert!(
            allow.split(", ").any(|allowed| allowed == method),
            "{allow}"
        );
    }
    assert_eq!(response.header("Supported").unwrap().text(), "timer");
}
