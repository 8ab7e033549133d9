//! The protocol machine: transactions, refusals, garbage, limits.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod support;

use imspec_wire::sip::{Builder, ContentLength, Message};
use support::{ALICE, Agent, BOB, PATIENCE, Setup, body, show};
use tokio::net::UdpSocket;

async fn stored(setup: &Setup) -> usize {
    setup.control.messages(BOB).await.len()
}

#[tokio::test]
async fn a_retransmission_is_one_message_with_one_answer() {
    let setup = Setup::new("").await;
    for mut alice in [
        setup.agent(ALICE).await,
        Agent::tcp(ALICE, setup.tcp()).await,
    ] {
        let before = stored(&setup).await;
        let octets = alice.message(BOB).body("x").octets();
        let mut answers = Vec::new();
        alice.send(&octets).await;
        answers.push(alice.response().await.octets().clone());
        for _ in 0..4 {
            alice.send(&octets).await;
            answers.push(alice.response().await.octets().clone());
        }
        assert!(
            answers.windows(2).all(|pair| pair[0] == pair[1]),
            "the same answer, tag and all"
        );
        assert_eq!(stored(&setup).await, before + 1);
    }
}

#[tokio::test]
async fn a_copy_by_another_way_is_merged() {
    let setup = Setup::new("").await;
    let mut alice = setup.agent(ALICE).await;
    let first = alice.message(BOB).body("x").build().unwrap();
    alice.send(first.octets()).await;
    assert_eq!(alice.response().await.status(), Some(202));
    let copy = show(&first).replacen("branch=z9hG4bK", "branch=z9hG4bKother", 1);
    alice.send(copy).await;
    assert_eq!(alice.response().await.status(), Some(482));
    assert_eq!(stored(&setup).await, 1);
}

#[tokio::test]
async fn equal_texts_are_two_messages() {
    let setup = Setup::new("").await;
    let mut alice = setup.agent(ALICE).await;
    for _ in 0..2 {
        assert_eq!(alice.text(BOB, "same").await, 202);
    }
    let messages = setup.control.messages(BOB).await;
    assert_eq!(messages.len(), 2);
    assert_ne!(messages[0]["message_id"], messages[1]["message_id"]);
}

#[tokio::test]
async fn a_branch_without_the_cookie_still_makes_a_transaction() {
    let setup = Setup::new("").await;
    let mut alice = setup.agent(ALICE).await;
    let text = show(&alice.message(BOB).body("x").build().unwrap());
    let old = text.replacen("branch=z9hG4bK", "branch=", 1);
    for _ in 0..2 {
        alice.send(&old).await;
        assert_eq!(alice.response().await.status(), Some(202));
    }
    assert_eq!(stored(&setup).await, 1);
}

#[tokio::test]
async fn a_late_answer_is_announced_with_100_and_never_earlier() {
    // T1 of 20 ms: 100 is due after 140 ms and time is up after 1280 ms.
    let setup = Setup::new("sip: { t1_ms: 20 }").await;
    let mut alice = setup.agent(ALICE).await;
    let mut bob = setup.agent(BOB).await;
    bob.register().await;
    let request = alice.message(BOB).body("x");
    alice.send(request.octets()).await;
    let request = bob.receive().await;
    let trying = alice.next_within(PATIENCE).await.expect("an answer");
    assert_eq!(trying.status(), Some(100), "{}", show(&trying));
    assert!(!trying.header("To").unwrap().text().contains("tag="));
    bob.answer(&request, 200).await;
    assert_eq!(alice.response().await.status(), Some(200));

    // 100 would be due after 35 s.
    let setup = Setup::new("sip: { t1_ms: 5000 }").await;
    let mut alice = setup.agent(ALICE).await;
    let mut bob = setup.agent(BOB).await;
    bob.register().await;
    let request = alice.message(BOB).body("x");
    alice.send(request.octets()).await;
    bob.receive_and(200).await;
    let done = alice.next_within(PATIENCE).await.expect("an answer");
    assert_eq!(done.status(), Some(200), "no 100 before a quick answer");
}

#[tokio::test]
async fn unfit_requests_are_refused_and_nothing_is_stored() {
    let setup = Setup::new("").await;
    for over_tcp in [false, true] {
        let edits: &[(&str, &str, u16)] = &[
            ("\r\nCSeq: ", "\r\nX: ", 400),
            ("\r\nCall-ID: ", "\r\nX: ", 400),
            ("\r\nFrom: ", "\r\nX: ", 400),
            ("\r\nTo: ", "\r\nX: ", 400),
            ("\r\nTo: ", "\r\nt: <sip:x@example.org>\r\nTo: ", 400),
            ("\r\nTo: <", "\r\nTo: \"<", 400),
            (" MESSAGE\r\n", " INVITE\r\n", 400),
            (" MESSAGE\r\n", "x MESSAGE\r\n", 400),
            ("\r\nMax-Forwards: 70", "\r\nMax-Forwards: 300", 400),
            (
                "\r\nMax-Forwards: 70",
                "\r\nMax-Forwards: 70\r\nRequire: foo, bar",
                420,
            ),
            (
                "\r\nMax-Forwards: 70",
                "\r\nMax-Forwards: 70\r\nProxy-Require: foo",
                420,
            ),
            (" SIP/2.0\r\nVia", " SIP/7.0\r\nVia", 505),
            ("MESSAGE sip:bob@", "MESSAGE tel:bob@", 416),
            ("MESSAGE sip:bob@", "MESSAGE sips:bob@", 416),
            ("MESSAGE sip:bob@", "MESSAGE nobody:bob@", 416),
            ("MESSAGE sip:bob@example.org", "MESSAGE sip:bob@[::1", 400),
            (
                "MESSAGE sip:bob@example.org",
                "MESSAGE sip:bob%00@example.org",
                404,
            ),
            (
                "MESSAGE sip:bob@example.org",
                "MESSAGE sip:..%2F..%2Fx@example.org",
                404,
            ),
            (
                "MESSAGE sip:bob@example.org",
                "MESSAGE sip:b'--@example.org",
                404,
            ),
            (">\r\nCall-ID", ">;tag=x\r\nCall-ID", 481),
        ];
        let mut alice = if over_tcp {
            Agent::tcp(ALICE, setup.tcp()).await
        } else {
            setup.agent(ALICE).await
        };
        for (from, to, status) in edits {
            let text = show(&alice.message(BOB).body("x").build().unwrap());
            let edited = text.replacen(from, to, 1);
            assert_ne!(edited, text, "{from}");
            alice.send(&edited).await;
            let response = alice.response().await;
            assert_eq!(
                response.status(),
                Some(*status),
                "{edited}\n{}",
                show(&response)
            );
            assert!(
                response
                    .header("To")
                    .is_none_or(|to| to.text().contains("tag="))
            );
        }
        let long = text_with_uri(&mut alice, &format!("sip:{}@example.org", "b".repeat(8000)));
        alice.send(long).await;
        assert_eq!(alice.response().await.status(), Some(414));
        assert_eq!(alice.text("sip:bob@example.org:x", "x").await, 400);
    }
    assert_eq!(stored(&setup).await, 0);
}

fn text_with_uri(alice: &mut Agent, uri: &str) -> Vec<u8> {
    alice
        .request("MESSAGE", uri, BOB)
        .body("x")
        .octets()
        .to_vec()
}

#[tokio::test]
async fn methods_have_their_answers() {
    let setup = Setup::new("").await;
    let mut alice = setup.agent(ALICE).await;
    for (method, status) in [
        ("OPTIONS", 200),
        ("SUBSCRIBE", 405),
        ("BYE", 481),
        ("UPDATE", 481),
        ("CANCEL", 481),
        ("message", 405),
    ] {
        let request = alice.request(method, BOB, BOB);
        let response = alice.ask(request).await;
        assert_eq!(response.status(), Some(status), "{method}");
        if status != 481 {
            assert_eq!(
                response.header("Allow").unwrap().text(),
                "INVITE, ACK, BYE, CANCEL, UPDATE, MESSAGE, OPTIONS, REGISTER"
            );
        }
    }
    let ack = alice.request("ACK", BOB, BOB);
    alice.send(ack.octets()).await;
    alice.silence().await;
    assert_eq!(alice.text(BOB, "still there").await, 202);
}

#[tokio::test]
async fn the_last_hop_may_store_but_not_forward() {
    let setup = Setup::new("").await;
    let mut alice = setup.agent(ALICE).await;
    let mut text = || {
        let text = show(&alice.message(BOB).body("x").build().unwrap());
        text.replacen("Max-Forwards: 70", "Max-Forwards: 0", 1)
    };
    let (first, second) = (text(), text());
    alice.send(first).await;
    assert_eq!(alice.response().await.status(), Some(202));
    let mut bob = setup.agent(BOB).await;
    bob.register().await;
    bob.receive_and(200).await;
    alice.send(second).await;
    assert_eq!(alice.response().await.status(), Some(483));
}

#[tokio::test]
async fn datagrams_are_measured_by_content_length() {
    let setup = Setup::new("").await;
    let mut alice = setup.agent(ALICE).await;
    let request = |alice: &mut Agent, length: &str| {
        let builder = alice
            .message(BOB)
            .header("Content-Length", length)
            .body("12345");
        builder.content_length(ContentLength::Omit).octets()
    };
    for (length, status) in [("6", 400), ("-1", 400), ("x", 400), ("", 400), ("3", 202)] {
        let octets = request(&mut alice, length);
        alice.send(octets).await;
        assert_eq!(alice.response().await.status(), Some(status), "{length}");
    }
    let twice = alice
        .message(BOB)
        .header("l", "5")
        .header("Content-Length", "4")
        .body("12345");
    alice.send(twice.octets()).await;
    assert_eq!(alice.response().await.status(), Some(400));
    let none = alice
        .message(BOB)
        .content_length(ContentLength::Omit)
        .body("12345");
    alice.send(none.octets()).await;
    assert_eq!(alice.response().await.status(), Some(202));
    let messages = setup.control.messages(BOB).await;
    let bodies: Vec<_> = messages.iter().map(|m| m["body"]["text"].clone()).collect();
    assert_eq!(bodies, ["123", "12345"]);
}

#[tokio::test]
async fn streams_that_cannot_be_framed_are_refused_and_closed() {
    let setup = Setup::new("limits: { message_octets: 30000 }").await;
    for (length, status) in [("1000000000", 513), ("x", 400), ("-5", 400)] {
        let mut alice = Agent::tcp(ALICE, setup.tcp()).await;
        let request = alice.message(BOB).header("Content-Length", length);
        alice.send(request.octets()).await;
        assert_eq!(alice.response().await.status(), Some(status), "{length}");
        assert!(alice.is_closed().await);
    }
    let mut alice = Agent::tcp(ALICE, setup.tcp()).await;
    let conflicting = alice
        .message(BOB)
        .header("Content-Length", "1")
        .header("l", "2")
        .body("12");
    alice.send(conflicting.octets()).await;
    assert_eq!(alice.response().await.status(), Some(400));
    assert!(alice.is_closed().await);
    assert_eq!(stored(&setup).await, 0);
}

#[tokio::test]
async fn many_and_large_headers_are_kept_whole_or_refused() {
    let setup = Setup::new("").await;
    let mut alice = Agent::tcp(ALICE, setup.tcp()).await;
    let mut builder = alice.message(BOB).body("x");
    for n in 0..1000 {
        builder = builder.header(format!("X-{n}"), "y".repeat(100));
    }
    assert_eq!(alice.ask(builder.clone()).await.status(), Some(202));
    assert_eq!(
        setup.control.messages(BOB).await[0]["headers"]
            .as_array()
            .unwrap()
            .len(),
        1007
    );
    let mut builder = alice.message(BOB).body("x");
    for n in 0..2000 {
        builder = builder.header(format!("X-{n}"), "y");
    }
    assert_eq!(alice.ask(builder).await.status(), Some(513));
    let mut bob = Agent::tcp(BOB, setup.tcp()).await;
    bob.register().await;
    assert_eq!(bob.receive_and(200).await.headers().count(), 1007);
}

#[tokio::test]
async fn garbage_is_dropped_and_service_goes_on() {
    let setup = Setup::new("").await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for octets in [
        &b"\x00\x01\x02\xff"[..],
        b"",
        b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"MESSAGE sip:bob@example.org SIP/2.0\r\n",
        b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP x;branch=z9hG4bKnone\r\nCSeq: 1 MESSAGE\r\n\r\n",
        b"SIP/2.0 99999 \r\n\r\n",
        b"x".repeat(60_000).as_slice(),
    ] {
        socket.send_to(octets, setup.udp()).await.unwrap();
        let mut stranger = Agent::tcp(ALICE, setup.tcp()).await;
        stranger.send(octets).await;
    }
    let mut alice = setup.agent(ALICE).await;
    assert_eq!(alice.text(BOB, "x").await, 202);
    let mut alice = Agent::tcp(ALICE, setup.tcp()).await;
    assert_eq!(alice.text(BOB, "x").await, 202);
}

#[tokio::test]
async fn an_endless_head_ends_the_connection() {
    let setup = Setup::new("limits: { message_octets: 20000 }").await;
    let mut alice = Agent::tcp(ALICE, setup.tcp()).await;
    alice
        .send(format!(
            "MESSAGE {BOB} SIP/2.0\r\nX: {}",
            "y".repeat(40_000)
        ))
        .await;
    assert!(alice.is_closed().await);
}

#[tokio::test]
async fn a_message_that_drips_in_is_cut_off() {
    let setup = Setup::new("limits: { message_s: 1 }").await;
    let mut alice = Agent::tcp(ALICE, setup.tcp()).await;
    alice.send("MESSAGE sip:bob").await;
    assert!(alice.is_closed().await);
}

#[tokio::test]
async fn keep_alives_and_split_messages_are_fine() {
    let setup = Setup::new("").await;
    let mut alice = Agent::tcp(ALICE, setup.tcp()).await;
    let octets = alice.message(BOB).body("split").octets();
    alice.send("\r\n\r\n").await;
    for chunk in octets.chunks(7) {
        alice.send(chunk).await;
        tokio::task::yield_now().await;
    }
    loop {
        // The keep-alive's pong, if there is one, is no message.
        let response = alice.response().await;
        if response.status().is_some() {
            assert_eq!(response.status(), Some(202));
            break;
        }
    }
    let two = [
        alice.message(BOB).body("1").octets(),
        alice.message(BOB).body("2").octets(),
    ]
    .concat();
    alice.send(two).await;
    for _ in 0..2 {
        assert_eq!(alice.response().await.status(), Some(202));
    }
    assert_eq!(stored(&setup).await, 3);
}

#[tokio::test]
async fn overload_is_refused_and_not_passed_over() {
    let setup = Setup::new("limits: { transactions: 3 }").await;
    let mut alice = setup.agent(ALICE).await;
    let mut statuses = Vec::new();
    for _ in 0..5 {
        let request = alice.message(BOB).body("x");
        let response = alice.ask(request).await;
        statuses.push(response.status().unwrap());
        if response.status() == Some(503) {
            assert!(response.header("Retry-After").is_some());
        }
    }
    assert_eq!(statuses, [202, 202, 202, 503, 503]);
    assert_eq!(stored(&setup).await, 3);

    let setup = Setup::new("limits: { requests: 1 }").await;
    let mut alice = setup.agent(ALICE).await;
    let mut bob = setup.agent(BOB).await;
    bob.register().await;
    let first = alice.message(BOB).body("1");
    alice.send(first.octets()).await;
    let pending = bob.receive().await;
    assert_eq!(alice.text(BOB, "2").await, 503);
    bob.answer(&pending, 200).await;
    assert_eq!(alice.response().await.status(), Some(200));
    let third = alice.message(BOB).body("3");
    alice.send(third.octets()).await;
    assert_eq!(body(&bob.receive_and(200).await), "3");
}

#[tokio::test]
async fn connections_are_bounded() {
    let setup = Setup::new("limits: { connections: 2 }").await;
    let mut first = Agent::tcp(ALICE, setup.tcp()).await;
    assert_eq!(first.text(BOB, "x").await, 202);
    let mut second = Agent::tcp(ALICE, setup.tcp()).await;
    assert_eq!(second.text(BOB, "x").await, 202);
    let mut third = Agent::tcp(ALICE, setup.tcp()).await;
    assert!(third.is_closed().await);
    drop(second);
    let mut tries = 0;
    loop {
        let mut again = Agent::tcp(ALICE, setup.tcp()).await;
        let request = again.message(BOB).body("x");
        again.send(request.octets()).await;
        if let Ok(Some(response)) =
            tokio::spawn(async move { again.next_within(PATIENCE).await }).await
        {
            assert_eq!(response.status(), Some(202));
            break;
        }
        tries += 1;
        assert!(
            tries < 100,
            "the place of a closed connection is never free again"
        );
    }
}

#[tokio::test]
async fn answers_find_their_way_without_rport_too() {
    let setup = Setup::new("").await;
    let sender = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let listener = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let request = Builder::request("OPTIONS", "sip:example.org")
        .header(
            "v",
            format!("SIP/2.0/UDP pc33.example.com:{port};branch=z9hG4bKno-rport"),
        )
        .header("f", "<sip:alice@example.org>;tag=1")
        .header("t", "<sip:example.org>")
        .header("i", "options-1")
        .header("CSeq", "1 OPTIONS");
    sender
        .send_to(&request.octets(), setup.udp())
        .await
        .unwrap();
    let mut buffer = vec![0; 2000];
    let received = tokio::time::timeout(PATIENCE, listener.recv(&mut buffer)).await;
    buffer.truncate(received.expect("an answer").unwrap());
    let response = Message::parse(buffer).unwrap();
    let via = response.header("Via").unwrap();
    assert!(
        via.text().ends_with(";received=127.0.0.1"),
        "{}",
        via.text()
    );
}

#[tokio::test]
async fn large_deliveries_prefer_tcp_and_fall_back_to_udp() {
    let setup = Setup::new("").await;
    let mut alice = Agent::tcp(ALICE, setup.tcp()).await;
    let text = "x".repeat(1400);
    assert_eq!(alice.text(BOB, &text).await, 202);
    // Only UDP at this address.
    let mut bob = setup.agent(BOB).await;
    bob.register().await;
    assert_eq!(body(&bob.receive_and(200).await), text);
    setup.control.until_count(BOB, 0).await;
    bob.unregister().await;

    assert_eq!(alice.text(BOB, &text).await, 202);
    // UDP and TCP at one port.
    let (udp, tcp) = loop {
        let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
            break (udp, tcp);
        }
    };
    let mut bob = setup.agent(BOB).await;
    let contact = format!("<sip:bob@{}>", udp.local_addr().unwrap());
    let register = bob
        .request("REGISTER", "sip:example.org", BOB)
        .header("Contact", contact);
    assert_eq!(bob.ask(register).await.status(), Some(200));
    let accepted = tokio::time::timeout(PATIENCE, tcp.accept()).await;
    assert!(accepted.is_ok(), "TCP was not tried");
}

#[tokio::test]
async fn a_user_behind_a_connection_is_reached_over_it() {
    let setup = Setup::new("").await;
    let mut alice = setup.agent(ALICE).await;
    assert_eq!(alice.text(BOB, "hello").await, 202);
    let mut bob = Agent::tcp(BOB, setup.tcp()).await;
    // Nothing listens there.
    let unused = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let contact = format!("<sip:bob@{unused};transport=tcp>");
    let register = bob
        .request("REGISTER", "sip:example.org", BOB)
        .header("Contact", contact);
    assert_eq!(bob.ask(register).await.status(), Some(200));
    assert_eq!(body(&bob.receive_and(200).await), "hello");
}

#[tokio::test]
async fn registrations_are_listed_with_what_is_left() {
    let setup = Setup::new("registrar: { min_expires_s: 60 }").await;
    let mut bob = setup.agent(BOB).await;
    let brief = bob.register_for(30).await;
    assert_eq!(brief.status(), Some(423));
    assert_eq!(brief.header("Min-Expires").unwrap().text(), "60");
    let two = bob
        .request("REGISTER", "sip:example.org", BOB)
        .header(
            "Contact",
            "<sip:bob@127.0.0.1:9>;q=0.5;expires=100, <sip:bob@127.0.0.2:9>",
        )
        .header("Expires", "1000");
    assert_eq!(bob.ask(two).await.status(), Some(200));
    setup.control.advance(50).await;
    let query = bob.request("REGISTER", "sip:example.org", BOB);
    let response = bob.ask(query).await;
    let contacts: Vec<String> = response
        .headers_named("Contact")
        .map(|c| c.text().into_owned())
        .collect();
    assert_eq!(contacts.len(), 2, "{contacts:?}");
    assert!(
        contacts[0].starts_with("<sip:bob@127.0.0.1:9>;q=0.5;expires=5")
            || contacts[0].ends_with("=49")
    );
    setup.control.advance(51).await;
    let query = bob.request("REGISTER", "sip:example.org", BOB);
    assert_eq!(bob.ask(query).await.headers_named("Contact").count(), 1);
    for (uri, to, status) in [
        ("sip:example.org", "sip:nobody@example.org", 404),
        ("sip:example.org", "sip:bob@example.com", 404),
        ("sip:example.com", BOB, 403),
        ("sip:127.0.0.1", BOB, 200),
    ] {
        let request = bob.request("REGISTER", uri, to);
        assert_eq!(bob.ask(request).await.status(), Some(status), "{uri} {to}");
    }
}

#[tokio::test]
async fn a_server_starts_at_once_and_its_ports_are_free_after_it_stopped() {
    let setup = Setup::new("").await;
    let addresses = setup.server.addresses().clone();
    setup.server.stop().await;
    UdpSocket::bind(addresses.udp[0]).await.unwrap();
    let refused = tokio::net::TcpStream::connect(addresses.tcp[0]).await;
    assert!(refused.is_err());
    let refused = tokio::net::TcpStream::connect(addresses.control.unwrap()).await;
    assert!(refused.is_err());
}

#[tokio::test]
async fn starting_where_it_cannot_says_why() {
    let taken = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut config = support::config(&folder.path().join("s.db"), "");
    config.listen.udp = vec![taken.local_addr().unwrap()];
    let error = imspec_reference_server::Server::start(config)
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.starts_with(&format!(
            "cannot listen on SIP {}",
            taken.local_addr().unwrap()
        )),
        "{error}"
    );
    let config = support::config(&folder.path().join("no/such/folder.db"), "");
    let error = imspec_reference_server::Server::start(config)
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.starts_with("cannot use the store ") && error.contains("folder.db"),
        "{error}"
    );
    let not_a_store = folder.path().join("text");
    std::fs::write(
        &not_a_store,
        "this is no database, and too long to be taken for an empty one. ".repeat(40),
    )
    .unwrap();
    let config = support::config(&not_a_store, "");
    let error = imspec_reference_server::Server::start(config)
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("not a database"), "{error}");
}
