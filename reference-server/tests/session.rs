//! Messages that come by a session: what is taken, what is kept, what is answered.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use serde_json::{Value, json};
use support::sender::{Dialog, Msrp, offer, own_path};
use support::{ALICE, BOB, Setup, show};

fn header<'v>(head: &'v Value, name: &str) -> Vec<&'v str> {
    let fields = head["headers"].as_array().unwrap();
    fields
        .iter()
        .filter(|field| field["name"] == name)
        .map(|field| field["value"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn a_session_for_somebody_offline_becomes_a_record() {
    let setup = Setup::new("").await;
    let mut alice = setup.agent(ALICE).await;
    let own = own_path();
    let invite = alice
        .invitation(BOB, &offer(&own, 7394, "a=sendonly\r\na=setup:actpass\r\n"))
        .header("s", "Minutes of\r\n today")
        .header("Date", "Sat, 13 Nov 2010 23:29:00 GMT")
        .header("P-Asserted-Identity", "<sip:alice@example.org>, <tel:+1>")
        .header("X-Not-Kept", "1");
    let mut dialog = alice.establish(invite).await;
    let sdp = String::from_utf8_lossy(dialog.ok.body()).into_owned();
    for expected in [
        "a=setup:passive",
        "a=accept-types:*",
        "a=recvonly",
        "a=max-size:104857600",
    ] {
        assert!(sdp.contains(expected), "{sdp}");
    }
    let mut msrp = Msrp::connect(&dialog.path(), &own).await;
    let more = "Message-ID: m1\r\nByte-Range: 1-8/8\r\nX-Ext: kept\r\nExpires: 60\r\n";
    assert_eq!(msrp.send(more, b"abcdEFGH", '$').await, 200);
    let records = setup.control.messages(BOB).await;
    let record = &records[0];
    assert_eq!(record["kind"], "session");
    assert_eq!(record["body"], json!({"text": "abcdEFGH"}));
    assert_eq!(record["bye"], Value::Null);
    assert_eq!(record["expire"]["seconds"], 60);
    assert_eq!(
        record["invite"]["start_line"],
        "INVITE sip:bob@example.org SIP/2.0"
    );
    assert_eq!(header(&record["invite"], "s"), ["Minutes of\r\n today"]);
    assert_eq!(
        header(&record["invite"], "Date"),
        ["Sat, 13 Nov 2010 23:29:00 GMT"]
    );
    assert_eq!(header(&record["invite"], "P-Asserted-Identity").len(), 1);
    assert!(header(&record["invite"], "X-Not-Kept").is_empty());
    let sent = dialog.ok.header("To").unwrap().text().into_owned();
    assert_eq!(header(&record["ok"], "To"), [sent.as_str()]);
    assert_eq!(header(&record["send"], "X-Ext"), ["kept"]);
    assert!(
        record["send"]["start_line"]
            .as_str()
            .unwrap()
            .ends_with(" SEND")
    );
    assert!(record.get("chunks").is_none() && record.get("headers").is_none());
    let bye = dialog
        .request(&alice, "BYE")
        .header("Reason", "SIP;cause=200");
    let ended = alice.ask(bye).await;
    assert_eq!(ended.status(), Some(200), "{}", show(&ended));
    let records = setup.control.messages(BOB).await;
    assert_eq!(header(&records[0]["bye"], "Reason"), ["SIP;cause=200"]);
    assert_eq!(records[0]["message_id"], record["message_id"]);
}

/// A session from alice to bob, and its connection.
async fn session(setup: &Setup, alice: &mut support::Agent) -> (Dialog, Msrp) {
    let own = own_path();
    let invite = alice.invitation(BOB, &offer(&own, 7394, ""));
    let dialog = alice.establish(invite).await;
    let msrp = Msrp::connect(&dialog.path(), &own).await;
    assert_eq!(msrp.to, dialog.path(), "{:?}", setup.server.addresses());
    (dialog, msrp)
}

fn text(record: &Value) -> &str {
    record["body"]["text"].as_str().unwrap()
}

async fn texts(setup: &Setup) -> Vec<String> {
    let records = setup.control.messages(BOB).await;
    records
        .iter()
        .map(|record| text(record).to_owned())
        .collect()
}

fn range(id: &str, range: &str) -> String {
    format!("Message-ID: {id}\r\nByte-Range: {range}\r\n")
}

#[tokio::test]
async fn chunks_come_in_any_order_over_one_another_and_twice() {
    let setup = Setup::new("").await;
    let mut alice = setup.agent(ALICE).await;
    let (mut dialog, mut msrp) = session(&setup, &mut alice).await;
    for (at, octets, flag) in [
        ("9-*/*", "IJ", '$'),
        ("5-8/10", "efgh", '+'),
        ("5-6/*", "EF", '+'),
        ("7-99/*", "GH", '+'),
    ] {
        assert_eq!(
            msrp.send(&range("m1", at), octets.as_bytes(), flag).await,
            200
        );
    }
    assert!(
        setup.control.messages(BOB).await.is_empty(),
        "octets are missing"
    );
    assert_eq!(msrp.send(&range("m1", "1-4/10"), b"ABCD", '+').await, 200);
    assert_eq!(texts(&setup).await, ["ABCDEFGHIJ"]);
    let record = &setup.control.messages(BOB).await[0];
    let ranges: Vec<&str> = record["chunks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|chunk| header(chunk, "Byte-Range")[0])
        .collect();
    assert_eq!(ranges, ["9-*/*", "5-8/10", "5-6/*", "7-99/*", "1-4/10"]);
    assert_eq!(header(&record["send"], "Byte-Range"), ["1-4/10"]);
    dialog.bye(&mut alice).await;
}

#[tokio::test]
async fn the_body_is_kept_octet_for_octet() {
    let setup = Setup::new("").await;
    let mut alice = setup.agent(ALICE).await;
    let (_dialog, mut msrp) = session(&setup, &mut alice).await;
    let every: Vec<u8> = (0..=255).collect();
    let bodies: [&[u8]; 5] = [
        &every,
        b"ends with\r\n",
        b"-------other$\r\n-------tid",
        b"",
        "\u{e9}\u{1f600}".as_bytes(),
    ];
    for (index, body) in bodies.iter().enumerate() {
        assert_eq!(msrp.message(&format!("m{index}"), body).await, 200);
    }
    let records = setup.control.messages(BOB).await;
    let octets = |record: &Value| {
        use base64::Engine as _;
        let body = &record["body"];
        body["text"].as_str().map_or_else(
            || {
                let text = body["base64"].as_str().unwrap();
                base64::engine::general_purpose::STANDARD
                    .decode(text)
                    .unwrap()
            },
            |text| text.as_bytes().to_vec(),
        )
    };
    let kept: Vec<Vec<u8>> = records.iter().map(octets).collect();
    assert_eq!(kept, bodies);
}

#[tokio::test]
async fn signs_of_life_are_no_messages_and_aborted_or_torn_ones_are_none_either() {
    let setup = Setup::new("").await;
    let mut alice = setup.agent(ALICE).await;
    let (mut dialog, mut msrp) = session(&setup, &mut alice).await;
    let sign = format!(
        "MSRP sign1 SEND\r\nTo-Path: {}\r\nFrom-Path: {}\r\nMessage-ID: s1\r\n-------sign1$\r\n",
        msrp.to, msrp.from
    );
    msrp.write(sign).await;
    assert_eq!(msrp.status("sign1").await, 200);
    assert_eq!(msrp.send(&range("m1", "1-4/8"), b"ABCD", '+').await, 200);
    assert_eq!(msrp.send(&range("m1", "5-8/8"), b"EFGH", '#').await, 200);
    // The id is free again.
    assert_eq!(msrp.message("m1", b"other").await, 200);
    // A gap that is never filled.
    assert_eq!(msrp.send(&range("m2", "1-4/12"), b"ABCD", '+').await, 200);
    assert_eq!(msrp.send(&range("m2", "9-12/12"), b"IJKL", '$').await, 200);
    dialog.bye(&mut alice).await;
    assert_eq!(texts(&setup).await, ["other"]);
}

#[tokio::test]
async fn several_messages_are_one_record_each_or_one_together() {
    for (multi, further) in [("one-per-message-id", 0), ("one-per-session", 2)] {
        let setup = Setup::new(&format!(
            "policy: {{ lm.multi: {multi} }}\nsession: {{ linger_ms: 50 }}"
        ))
        .await;
        let mut alice = setup.agent(ALICE).await;
        let (mut dialog, mut msrp) = session(&setup, &mut alice).await;
        // Two of them interleaved.
        assert_eq!(msrp.message("m1", b"one").await, 200);
        assert_eq!(msrp.send(&range("m2", "1-2/4"), b"tw", '+').await, 200);
        assert_eq!(msrp.send(&range("m3", "1-2/5"), b"th", '+').await, 200);
        assert_eq!(msrp.send(&range("m3", "3-5/5"), b"ree", '$').await, 200);
        assert_eq!(msrp.send(&range("m2", "3-4/4"), b"o!", '$').await, 200);
        dialog.bye(&mut alice).await;
        drop(msrp);
        setup
            .control
            .until_count(BOB, if further == 0 { 3 } else { 1 })
            .await;
        let records = setup.control.messages(BOB).await;
        if further == 0 {
            assert_eq!(texts(&setup).await, ["one", "three", "two!"]);
            continue;
        }
        let more = records[0]["further"].as_array().unwrap();
        assert_eq!(
            (text(&records[0]), text(&more[0]), text(&more[1])),
            ("one", "three", "two!")
        );
        assert_eq!(more.len(), further);
        assert!(records[0]["bye"].is_object());
    }
}

#[tokio::test]
async fn a_copy_is_acknowledged_and_kept_once() {
    let setup = Setup::new("").await;
    let mut alice = setup.agent(ALICE).await;
    let (mut dialog, mut msrp) = session(&setup, &mut alice).await;
    assert_eq!(msrp.message("m1", b"once").await, 200);
    assert_eq!(msrp.message("m1", b"once").await, 200);
    dialog.bye(&mut alice).await;
    let (_dialog, mut msrp) = session(&setup, &mut alice).await;
    assert_eq!(msrp.message("m1", b"once").await, 200);
    // The same id with other octets is another message, whatever its sender thought.
    assert_eq!(msrp.message("m1", b"twice").await, 200);
    assert_eq!(texts(&setup).await, ["once", "twice"]);
    // And the same from somebody else is too.
    let mut carol = setup.agent(support::CAROL).await;
    let (_dialog, mut msrp) = session(&setup, &mut carol).await;
    assert_eq!(msrp.message("m1", b"once").await, 200);
    assert_eq!(texts(&setup).await, ["once", "twice", "once"]);
}

#[tokio::test]
async fn a_new_session_brings_the_rest_of_what_a_broken_one_began() {
    let setup = Setup::new("session: { linger_ms: 50 }").await;
    let mut alice = setup.agent(ALICE).await;
    let (_lost, mut msrp) = session(&setup, &mut alice).await;
    assert_eq!(msrp.send(&range("m1", "1-4/12"), b"ABCD", '+').await, 200);
    // Torn in the middle of a chunk.
    let torn = msrp.chunk("torn1", &range("m1", "5-8/12"), b"EF", '+');
    msrp.write(&torn[..torn.len() - 20]).await;
    drop(msrp);
    let bye = alice.receive().await;
    assert_eq!(bye.method(), Some("BYE"), "{}", show(&bye));
    alice.answer(&bye, 200).await;
    assert!(setup.control.messages(BOB).await.is_empty());
    // What the server has is there for a new session before its BYE leaves.
    let (_dialog, mut msrp) = session(&setup, &mut alice).await;
    assert_eq!(
        msrp.send(&range("m1", "5-12/12"), b"EFGHIJKL", '$').await,
        200
    );
    assert_eq!(texts(&setup).await, ["ABCDEFGHIJKL"]);
}

#[tokio::test]
async fn reports_are_sent_or_not_as_both_sides_want() {
    for policy in ["never-on-store", "on-store", "on-delivery"] {
        let setup = Setup::new(&format!("policy: {{ lm.success_report: {policy} }}")).await;
        let mut alice = setup.agent(ALICE).await;
        let (_dialog, mut msrp) = session(&setup, &mut alice).await;
        let more = format!("{}Success-Report: yes\r\n", range("m1", "1-*/*"));
        assert_eq!(msrp.send(&more, b"ABCD", '$').await, 200);
        assert_eq!(msrp.message("m2", b"no report").await, 200);
        if policy == "on-delivery" {
            let mut bob = setup.agent(BOB).await;
            bob.register().await;
            bob.receive_and(200).await;
        }
        if policy == "never-on-store" {
            assert_eq!(
                msrp.message("m3", b"the next frame is its answer").await,
                200
            );
            continue;
        }
        // Of on-store, the answer to m2 came after it.
        let report = if policy == "on-store" {
            assert!(msrp.earlier.len() == 1, "{:?}", msrp.earlier);
            msrp.earlier.remove(0)
        } else {
            msrp.frame().await
        };
        for expected in [
            "Byte-Range: 1-4/4",
            "Message-ID: m1",
            "Status: 000 200",
            " REPORT",
        ] {
            assert!(report.contains(expected), "{report}");
        }
        assert!(report.contains(&format!("To-Path: {}\r\nFrom-Path: {}", msrp.from, msrp.to)));
    }
}

#[tokio::test]
async fn failure_report_says_what_is_answered() {
    let setup = Setup::new("session: { max_octets: 10 }").await;
    let mut alice = setup.agent(ALICE).await;
    let (mut dialog, mut msrp) = session(&setup, &mut alice).await;
    let silent = |how: &str, id: &str, body: &[u8]| {
        let more = format!("Message-ID: {id}\r\nFailure-Report: {how}\r\n");
        msrp.chunk(&format!("{id}{how}"), &more, body, '$')
    };
    let octets = [
        silent("no", "m1", b"kept"),
        silent("partial", "m2", b"kept too"),
        silent("no", "m3", b"longer than ten"),
        silent("partial", "m4", b"longer than ten"),
    ]
    .concat();
    msrp.write(octets).await;
    assert_eq!(msrp.status("m4partial").await, 413);
    assert_eq!(msrp.message("m5", b"last").await, 200);
    assert_eq!(texts(&setup).await, ["kept", "kept too", "last"]);
    // What is under way when the BYE comes is still taken.
    let late = msrp.chunk(
        "late1",
        "Message-ID: m6\r\nFailure-Report: no\r\n",
        b"late",
        '$',
    );
    msrp.write(late).await;
    dialog.bye(&mut alice).await;
    setup.control.until_count(BOB, 4).await;
    assert!(setup.control.messages(BOB).await[3]["bye"].is_object());
}

#[tokio::test]
async fn what_is_wrong_has_its_status() {
    let setup =
        Setup::new("session: { max_octets: 10, accept_types: ['text/*', 'message/cpim'] }").await;
    let mut alice = setup.agent(ALICE).await;
    let (_dialog, mut msrp) = session(&setup, &mut alice).await;
    let head = format!("To-Path: {}\r\nFrom-Path: {}\r\n", msrp.to, msrp.from);
    let wrong_session = msrp
        .to
        .to_uppercase()
        .replace("MSRP", "msrp")
        .replace("TCP", "tcp");
    for (method, fields, status) in [
        ("SEND", "Message-ID: a\r\nContent-Type: image/png\r\n", 415),
        ("SEND", "Message-ID: a\r\nContent-Type: nonsense\r\n", 415),
        ("SEND", "Message-ID: a\r\n", 400),
        ("SEND", "Content-Type: text/plain\r\n", 400),
        (
            "SEND",
            "Message-ID: a\r\nByte-Range: 0-1/1\r\nContent-Type: text/plain\r\n",
            400,
        ),
        (
            "SEND",
            "Message-ID: a\r\nByte-Range: 1-x/1\r\nContent-Type: text/plain\r\n",
            400,
        ),
        (
            "SEND",
            "Message-ID: a\r\nByte-Range: 1-*/11\r\nContent-Type: text/plain\r\n",
            413,
        ),
        (
            "SEND",
            "Message-ID: a\r\nByte-Range: 1-*/9223372036854775808\r\nContent-Type: text/plain\r\n",
            413,
        ),
        (
            "SEND",
            "Message-ID: a\r\nByte-Range: 11-*/*\r\nContent-Type: text/plain\r\n",
            413,
        ),
        // A claim that is wrong; `$` says where it ends.
        (
            "SEND",
            "Message-ID: a\r\nByte-Range: 1-1/1\r\nContent-Type: text/plain\r\n",
            200,
        ),
        ("NICKNAME", "Use-Nickname: \"a\"\r\n", 501),
        ("AUTH", "", 501),
        (
            "SEND",
            "Message-ID: b\r\nExpires: 10\r\nExpires: soon\r\nX-Any: thing\r\nContent-Type: text/plain\r\n",
            200,
        ),
    ] {
        let tid = format!("t{}", support::unique());
        let frame = format!("MSRP {tid} {method}\r\n{head}{fields}\r\nabc\r\n-------{tid}$\r\n");
        msrp.write(frame).await;
        assert_eq!(msrp.status(&tid).await, status, "{method} {fields}");
    }
    let (to, from) = (msrp.to.clone(), msrp.from.clone());
    for (to, from, status) in [
        (wrong_session.as_str(), from.as_str(), 481),
        (&to.replace(";tcp", ";ws"), &from, 481),
        (&format!("{to} {to}"), &from, 481),
        (&to, "nonsense", 400),
    ] {
        let tid = format!("t{}", support::unique());
        let frame = format!(
            "MSRP {tid} SEND\r\nTo-Path: {to}\r\nFrom-Path: {from}\r\nMessage-ID: c\r\n\
             Content-Type: text/plain\r\n\r\nabc\r\n-------{tid}$\r\n"
        );
        msrp.write(frame).await;
        assert_eq!(msrp.status(&tid).await, status, "{to} {from}");
    }
    let mut second = Msrp::connect(&msrp.to, &msrp.from).await;
    assert_eq!(second.message("d", b"stolen").await, 506);
    assert_eq!(msrp.message("e", b"mine").await, 200);
    assert_eq!(texts(&setup).await, ["abc", "abc", "mine"]);
}

#[tokio::test]
async fn a_relay_in_between_is_answered_and_reported_through() {
    let setup = Setup::new("policy: { lm.success_report: on-store }").await;
    let mut alice = setup.agent(ALICE).await;
    let relay = "msrp://127.0.0.1:9000/relay;tcp";
    let own = own_path();
    let invite = alice.invitation(BOB, &offer(&format!("{relay} {own}"), 9000, ""));
    let dialog = alice.establish(invite).await;
    let mut msrp = Msrp::connect(&dialog.path(), &format!("{relay} {own}")).await;
    let more = "Message-ID: m1\r\nSuccess-Report: yes\r\n";
    let chunk = msrp.chunk("relayed1", more, b"by relay", '$');
    msrp.write(chunk).await;
    let response = msrp.frame().await;
    assert!(
        response.contains(&format!("To-Path: {relay}\r\n")),
        "{response}"
    );
    let report = msrp.frame().await;
    assert!(
        report.contains(&format!("To-Path: {relay} {own}\r\n")),
        "{report}"
    );
}

#[tokio::test]
async fn one_connection_may_carry_several_sessions() {
    let setup = Setup::new("").await;
    let mut alice = setup.agent(ALICE).await;
    let (mut first, mut msrp) = session(&setup, &mut alice).await;
    let own = own_path();
    let invite = alice.invitation(support::CAROL, &offer(&own, 7394, ""));
    let second = alice.establish(invite).await;
    assert_eq!(msrp.send(&range("m1", "1-2/4"), b"to", '+').await, 200);
    let one = std::mem::replace(&mut msrp.to, second.path());
    assert_eq!(msrp.message("m1", b"carol's").await, 200);
    first.bye(&mut alice).await;
    assert_eq!(msrp.message("m2", b"carol's too").await, 200);
    msrp.to = one;
    let carols = setup.control.messages(support::CAROL).await;
    assert_eq!(carols.len(), 2);
    assert!(setup.control.messages(BOB).await.is_empty());
}

#[tokio::test]
async fn the_mark_follows_chunk_base_default_and_clamp() {
    for (policy, chunks, expected) in [
        ("{}", ["60", "90"], Some(60)),
        ("{ lm.expires.chunk: last }", ["60", "90"], Some(90)),
        ("{ lm.expires.chunk: any }", ["", "90"], Some(90)),
        ("{ lm.expires.chunk: min }", ["80", "70"], Some(70)),
        ("{ lm.expires.chunk: min }", ["soon", "70"], Some(70)),
        ("{ lm.expires.chunk: first }", ["", "90"], None),
        ("{ lm.expires.honoured: no }", ["60", "60"], None),
        (
            "{ lm.expires.honoured: no, expire.default.lm: 5 }",
            ["60", "60"],
            Some(5),
        ),
        (
            "{ expire.default.lm: 5, expire.default.pm: 7 }",
            ["", ""],
            Some(5),
        ),
        (
            "{ expire.default.lm: 5, expire.malformed: reject }",
            ["-1", "-1"],
            Some(5),
        ),
        (
            "{ expire.malformed: '3600' }",
            ["4294967296", ""],
            Some(3600),
        ),
        (
            "{ expire.default.lm: 5, expire.zero: reject }",
            ["0", "0"],
            Some(5),
        ),
        ("{ expire.zero: never }", ["0", "0"], None),
        ("{ expire.clamp: 30 }", ["60", "60"], Some(30)),
        ("{ expire.marking: off }", ["60", "60"], None),
    ] {
        let setup = Setup::new(&format!("policy: {policy}")).await;
        let mut alice = setup.agent(ALICE).await;
        let (_dialog, mut msrp) = session(&setup, &mut alice).await;
        for ((expires, at), flag) in chunks.iter().zip(["1-2/4", "3-4/4"]).zip(['+', '$']) {
            let more = match *expires {
                "" => range("m1", at),
                _ => format!("{}Expires: {expires}\r\n", range("m1", at)),
            };
            assert_eq!(msrp.send(&more, b"xy", flag).await, 200, "{policy}");
        }
        let record = &setup.control.messages(BOB).await[0];
        assert_eq!(
            record["expire"]["seconds"].as_u64(),
            expected,
            "{policy} {chunks:?}"
        );
        assert_eq!(record["expire"].is_null(), expected.is_none());
    }
}

#[tokio::test]
async fn life_may_count_from_the_first_chunk_or_from_the_bye() {
    for (base, at) in [("completion", 100), ("first-chunk", 0), ("bye", 300)] {
        let setup = Setup::new(&format!(
            "policy: {{ lm.base: {base} }}\nsession: {{ linger_ms: 50 }}"
        ))
        .await;
        let mut alice = setup.agent(ALICE).await;
        let (mut dialog, mut msrp) = session(&setup, &mut alice).await;
        let micros = |text: &Value| {
            imspec_reference_server::clock::Timestamp::parse(text.as_str().unwrap())
                .unwrap()
                .micros()
        };
        let more = |at: &str| format!("{}Expires: 1000\r\n", range("m1", at));
        let start = micros(&setup.control.get("/v1/clock").await["now"]);
        assert_eq!(msrp.send(&more("1-2/4"), b"xy", '+').await, 200);
        setup.control.advance(100).await;
        assert_eq!(msrp.send(&more("3-4/4"), b"zz", '$').await, 200);
        setup.control.advance(200).await;
        dialog.bye(&mut alice).await;
        setup.control.until_count(BOB, 1).await;
        let record = &setup.control.messages(BOB).await[0];
        let life = (micros(&record["expire"]["at"]) - start) / 1_000_000 - 1000;
        assert!((at..at + 30).contains(&life), "{base}: {life}");
        let received = (micros(&record["received_at"]) - start) / 1_000_000;
        assert!((100..130).contains(&received), "{base}: {received}");
        setup.control.advance(2000).await;
        assert!(setup.control.messages(BOB).await.is_empty());
    }
}

#[tokio::test]
async fn without_a_bye_messages_are_kept_or_dropped() {
    for (no_bye, kept) in [("store", 1), ("drop", 0)] {
        let setup = Setup::new(&format!(
            "policy: {{ lm.no_bye: {no_bye} }}\nsession: {{ linger_ms: 50 }}"
        ))
        .await;
        let mut alice = setup.agent(ALICE).await;
        let (_dialog, mut msrp) = session(&setup, &mut alice).await;
        assert_eq!(msrp.message("m1", b"no bye follows").await, 200);
        drop(msrp);
        let bye = alice.receive_and(200).await;
        assert_eq!(bye.method(), Some("BYE"));
        // A session that does end well, after which the other is settled too.
        let (mut dialog, mut msrp) = session(&setup, &mut alice).await;
        assert_eq!(msrp.message("m2", b"ends well").await, 200);
        dialog.bye(&mut alice).await;
        setup.control.until_count(BOB, kept + 1).await;
        let records = setup.control.messages(BOB).await;
        assert!(records[kept]["bye"].is_object());
        if kept == 1 {
            assert_eq!(records[0]["bye"], Value::Null);
        }
    }
}

#[tokio::test]
async fn a_message_repeated_after_a_break_is_kept_once_whatever_becomes_of_the_first() {
    for policy in [
        "lm.no_bye: drop",
        "lm.base: bye",
        "lm.no_bye: store",
        "lm.multi: one-per-session",
        "{ lm.multi: one-per-session, lm.no_bye: drop }",
    ] {
        let policy = policy.trim_matches(['{', '}']);
        let setup = Setup::new(&format!(
            "policy: {{ {policy} }}\nsession: {{ linger_ms: 50 }}"
        ))
        .await;
        let mut alice = setup.agent(ALICE).await;
        let (_lost, mut msrp) = session(&setup, &mut alice).await;
        assert_eq!(msrp.message("m1", b"said twice").await, 200);
        drop(msrp);
        let (mut dialog, mut again) = session(&setup, &mut alice).await;
        assert_eq!(again.message("m1", b"said twice").await, 200);
        // The server says that the first is over, before or after the second ends.
        let bye = alice.receive_and(200).await;
        assert_eq!(bye.method(), Some("BYE"));
        dialog.bye(&mut alice).await;
        let (mut dialog, mut msrp) = session(&setup, &mut alice).await;
        assert_eq!(msrp.message("m2", b"control").await, 200);
        dialog.bye(&mut alice).await;
        setup.control.until_count(BOB, 2).await;
        let mut texts = texts(&setup).await;
        texts.sort();
        assert_eq!(texts, ["control", "said twice"], "{policy}");
    }
}

#[tokio::test]
async fn sessions_over_ipv6_and_over_a_connection_of_the_server_work_too() {
    let setup = Setup::new("").await;
    let mut alice = setup.agent(ALICE).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let own = format!("msrp://127.0.0.1:{port}/passive1;tcp");
    let invite = alice.invitation(BOB, &offer(&own, port, "a=setup:passive\r\n"));
    let dialog = alice.establish(invite).await;
    assert!(String::from_utf8_lossy(dialog.ok.body()).contains("a=setup:active"));
    let mut msrp = Msrp::accept(&listener, &dialog.path(), &own).await;
    let first = msrp.frame().await;
    assert!(
        first.contains(" SEND\r\n") && !first.contains("Content-Type"),
        "{first}"
    );
    assert!(first.contains(&format!(
        "To-Path: {own}\r\nFrom-Path: {}\r\n",
        dialog.path()
    )));
    assert_eq!(msrp.message("m1", b"to the active side").await, 200);
    let Some(address) = setup
        .server
        .addresses()
        .udp
        .iter()
        .copied()
        .find(std::net::SocketAddr::is_ipv6)
    else {
        return;
    };
    let mut alice = support::Agent::udp(ALICE, address).await;
    let own = format!("msrp://[::1]:7394/own{};tcp", support::unique());
    let sdp = offer(&own, 7394, "").replace("IN IP4 127.0.0.1", "IN IP6 ::1");
    let invite = alice.invitation(BOB, &sdp);
    let dialog = alice.establish(invite).await;
    assert!(
        dialog.path().starts_with("msrp://[::1]:"),
        "{}",
        dialog.path()
    );
    assert!(String::from_utf8_lossy(dialog.ok.body()).contains("c=IN IP6 ::1"));
    let mut msrp = Msrp::connect(&dialog.path(), &own).await;
    assert_eq!(msrp.message("m2", b"by six").await, 200);
    assert_eq!(texts(&setup).await, ["to the active side", "by six"]);
}

#[tokio::test]
async fn a_stored_session_is_delivered_survives_a_restart_and_counts() {
    let setup = Setup::new("limits: { messages_per_account: 2 }").await;
    let mut alice = setup.agent(ALICE).await;
    let (mut dialog, mut msrp) = session(&setup, &mut alice).await;
    assert_eq!(msrp.message("m1", b"first").await, 200);
    assert_eq!(alice.text(BOB, "pager").await, 202);
    assert_eq!(msrp.message("m2", b"one too many").await, 413);
    dialog.bye(&mut alice).await;
    let invite = alice.invitation(BOB, &offer(&own_path(), 7394, ""));
    let full = alice.call(&invite).await;
    assert_eq!(full.status(), Some(480));
    assert!(full.header("Retry-After").is_some());
    let before = setup.control.messages(BOB).await;
    let setup = setup.restart("").await;
    assert_eq!(setup.control.messages(BOB).await, before);
    let mut bob = setup.agent(BOB).await;
    bob.register().await;
    assert_eq!(support::body(&bob.receive_and(200).await), "first");
    assert_eq!(support::body(&bob.receive_and(200).await), "pager");
    setup.control.until_count(BOB, 0).await;
}

#[tokio::test]
async fn only_what_the_provider_defers_is_taken() {
    let setup = Setup::new("policy: { store.modes: [pager], store.classes: [im] }").await;
    let mut alice = setup.agent(ALICE).await;
    let invite = alice.invitation(BOB, &offer(&own_path(), 7394, ""));
    assert_eq!(alice.call(&invite).await.status(), Some(480));
    setup
        .control
        .policy(json!({"store.modes": ["session"]}))
        .await;
    assert_eq!(alice.text(BOB, "x").await, 480);
    let file = "a=file-selector:name:\"a.txt\" size:4\r\na=file-transfer-id:x1\r\n";
    let invite = alice.invitation(BOB, &offer(&own_path(), 7394, file));
    assert_eq!(alice.call(&invite).await.status(), Some(488));
    let (_dialog, mut msrp) = session(&setup, &mut alice).await;
    let typing = msrp.chunk("typing1", "Message-ID: m1\r\n", b"<isComposing/>", '$');
    let typing = String::from_utf8(typing)
        .unwrap()
        .replace("text/plain", "application/im-iscomposing+xml");
    msrp.write(typing).await;
    assert_eq!(msrp.status("typing1").await, 415);
    setup
        .control
        .policy(json!({"store.classes": ["im", "file"]}))
        .await;
    let invite = alice.invitation(BOB, &offer(&own_path(), 7394, file));
    let dialog = alice.establish(invite).await;
    let sdp = String::from_utf8_lossy(dialog.ok.body()).into_owned();
    assert!(
        sdp.contains("a=file-selector:name:\"a.txt\" size:4\r\na=file-transfer-id:x1\r\n"),
        "{sdp}"
    );
}
