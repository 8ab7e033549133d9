//! Records of sessions.

use super::*;

fn part(text: &str) -> Field<StoredPart> {
    let head = text.split("\n\n").next().unwrap();
    let mut lines = head.lines();
    let line = lines.next().unwrap().as_bytes().to_vec();
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| StoredHeader {
            name: name.into(),
            value: Octets::from(value.as_bytes().to_vec()),
        })
        .collect();
    Field::Known(StoredPart {
        start_line: Field::Known(Octets::from(line)),
        headers,
        headers_complete: true,
    })
}

fn kept(body: &str) -> StoredMessage {
    StoredMessage {
        mode: Field::Known(Mode::Session),
        invite: part(INVITE),
        ok: part(OK),
        bye: Field::Absent,
        send: part(&send("aaaa", "1-5/5", '$', "hello", "")),
        body: Field::Known(Octets::from(body.as_bytes().to_vec())),
        state: Field::Known(State::Waiting),
        ..StoredMessage::default()
    }
}

/// A message of a session and what the store has of it; `entry` is one of `messages`.
fn in_store(entry: &str, records: Vec<StoredMessage>) -> Story {
    let mut story = Story::new(&format!(
        "{CALL}{MOVE}- stored: {{ for: bob, messages: [{{ of: sent{entry} }}] }}"
    ));
    story.sends_hello();
    story.reads(2, StoreResult::Records(records));
    story
}

fn without(part: &Field<StoredPart>, name: &str) -> Field<StoredPart> {
    let mut part = part.known().unwrap().clone();
    part.headers.retain(|header| header.name != name);
    Field::Known(part)
}

#[test]
fn a_record_with_all_three_groups_is_right() {
    let all = ", mode: session, invite: { same-as: call }, ok: { same-as: call }, bye: absent, send: { same-as: sent }, body: { same-as: sent }";
    let judged = in_store(all, vec![kept("hello")]).judged();
    assert_eq!(judged.verdict, Verdict::Pass, "{judged:#?}");
    let pager = StoredMessage {
        mode: Field::Known(Mode::Pager),
        ..kept("hello")
    };
    let judged = in_store(all, vec![pager]).judged();
    assert_eq!(judged.verdict, Verdict::Fail, "no record of it");
}

#[test]
fn the_named_headers_of_the_start_must_be_kept_and_others_as_declared() {
    let lost = |name: &str| StoredMessage {
        invite: without(&kept("hello").invite, name),
        ..kept("hello")
    };
    let hidden = StoredMessage {
        invite: Field::Unknown,
        ..kept("hello")
    };
    let none = StoredMessage {
        invite: Field::Absent,
        ..kept("hello")
    };
    let subject = ", invite: { Subject: { same-as: call } }";
    let contact = ", invite: { Contact: { same-as: call } }";
    for (entry, record, declared, verdict) in [
        (subject, kept("hello"), None, Verdict::Pass),
        (subject, lost("Subject"), None, Verdict::Fail),
        (subject, hidden, None, Verdict::Inconclusive),
        (subject, none, None, Verdict::Fail),
        (contact, lost("Contact"), None, Verdict::Inconclusive),
        (
            contact,
            lost("Contact"),
            Some("From"),
            Verdict::Inconclusive,
        ),
        (contact, lost("Contact"), Some("m"), Verdict::Fail),
        (contact, lost("Contact"), Some("all"), Verdict::Fail),
    ] {
        let mut story = in_store(entry, vec![record]);
        if let Some(declared) = declared {
            story.declares("lm.invite_headers", serde_json::json!([declared]));
        }
        assert_eq!(story.judged().verdict, verdict, "{entry} {declared:?}");
    }
}

#[test]
fn of_the_200_what_is_declared_is_held_against_what_the_sender_saw() {
    let to = ", ok: { To: { same-as: call } }";
    let other = StoredMessage {
        ok: part(&OK.replace("tag=b", "tag=c")),
        ..kept("hello")
    };
    let lost = StoredMessage {
        ok: without(&kept("hello").ok, "To"),
        ..kept("hello")
    };
    let none = StoredMessage {
        ok: Field::Absent,
        ..kept("hello")
    };
    let declared = Some(serde_json::json!(["To"]));
    for (record, declared, verdict) in [
        (kept("hello"), &None, Verdict::Pass),
        (other, &None, Verdict::Fail),
        (lost.clone(), &None, Verdict::Inconclusive),
        (lost, &declared, Verdict::Fail),
        (none.clone(), &None, Verdict::Inconclusive),
        (none, &declared, Verdict::Fail),
    ] {
        let mut story = in_store(to, vec![record.clone()]);
        if let Some(declared) = declared {
            story.declares("lm.ok_headers", declared.clone());
        }
        assert_eq!(story.judged().verdict, verdict, "{record:#?} {declared:?}");
    }
    // Absent on both sides is the same.
    let judged = in_store(", ok: { Date: { same-as: call } }", vec![kept("hello")]).judged();
    assert_eq!(judged.verdict, Verdict::Pass);
}

#[test]
fn a_date_of_the_servers_own_in_the_record_is_that_of_the_receipt() {
    let with = |date: &str| StoredMessage {
        invite: part(&INVITE.replace("Subject", &format!("Date: {date}\nSubject"))),
        ..kept("hello")
    };
    let entry = ", invite: { Date: { same-as: call } }";
    for (date, verdict) in [
        ("Fri, 15 Jan 2027 08:00:03 GMT", Verdict::Pass),
        ("Fri, 15 Jan 2027 07:00:00 GMT", Verdict::Fail),
    ] {
        assert_eq!(in_store(entry, vec![with(date)]).judged().verdict, verdict);
    }
}

#[test]
fn the_send_is_kept_in_full() {
    let entry = ", send: { same-as: sent }";
    let lost = |name: &str| StoredMessage {
        send: without(&kept("hello").send, name),
        ..kept("hello")
    };
    assert_eq!(
        in_store(entry, vec![kept("hello")]).judged().verdict,
        Verdict::Pass
    );
    for name in ["Byte-Range", "From-Path", "Content-Type"] {
        let judged = in_store(entry, vec![lost(name)]).judged();
        assert_eq!(judged.verdict, Verdict::Fail, "{name}");
        let blamed = &judged.checks.last().unwrap().check.requirements;
        assert_eq!(*blamed, ["DM-STORE-18"]);
    }
    let mut hidden = lost("Byte-Range");
    if let Field::Known(send) = &mut hidden.send {
        send.headers_complete = false;
    }
    let judged = in_store(entry, vec![hidden]).judged();
    assert_eq!(judged.verdict, Verdict::Inconclusive);
}

#[test]
fn of_several_chunks_any_may_be_the_one_that_is_kept() {
    let record = |range: &str| StoredMessage {
        send: part(&send("aaaa", range, '$', "hello", "")),
        ..kept("hello")
    };
    for (range, verdict) in [
        ("1-3/5", Verdict::Pass),
        ("4-5/5", Verdict::Pass),
        ("1-5/5", Verdict::Pass),
        ("1-*/5", Verdict::Pass),
        ("1-4/5", Verdict::Fail),
        ("1-5/9", Verdict::Fail),
    ] {
        let mut story = Story::new(&format!(
            "{CALL}{MOVE}- stored: {{ for: bob, messages: [{{ of: sent, send: {{ Byte-Range: {{ same-as: sent }} }} }}] }}"
        ));
        let invite = story.calls(0, OK);
        let chunks = [
            Sent(send("aaaa", "1-3/5", '+', "hel", "")),
            Sent(send("bbbb", "4-5/5", '$', "lo", "")),
            Came(answer("aaaa", "200 OK")),
            Came(answer("bbbb", "200 OK")),
        ];
        story.moves(1, invite, "hello", true, &chunks);
        story.reads(2, StoreResult::Records(vec![record(range)]));
        assert_eq!(story.judged().verdict, verdict, "{range}");
    }
}

#[test]
fn l_38_a_session_without_bye_has_none_in_its_record() {
    let unknown = StoredMessage {
        bye: Field::Unknown,
        ..kept("hello")
    };
    let bye = INVITE.replace("INVITE", "BYE");
    let some = StoredMessage {
        bye: part(&bye),
        ..kept("hello")
    };
    for (record, verdict) in [
        (kept("hello"), Verdict::Pass),
        (unknown, Verdict::Inconclusive),
        (some, Verdict::Fail),
    ] {
        assert_eq!(
            in_store(", bye: absent", vec![record]).judged().verdict,
            verdict
        );
    }
}

#[test]
fn a_long_body_is_compared_by_digest() {
    let with = |body: &str| StoredMessage {
        body: Field::Unknown,
        body_digest: Field::Known(digest_of(body.as_bytes())),
        ..kept("")
    };
    for (entry, body, verdict) in [
        (", body: { same-as: sent }", "hello", Verdict::Pass),
        (", body: { same-as: sent }", "hellO", Verdict::Fail),
        (", body: { present: true }", "hello", Verdict::Pass),
        (", body: { contains: ell }", "hello", Verdict::Inconclusive),
        (", body: { not: { same-as: sent } }", "hellO", Verdict::Pass),
    ] {
        let judged = in_store(entry, vec![with(body)]).judged();
        assert_eq!(judged.verdict, verdict, "{entry} {body}");
    }
}

#[test]
fn l_40_one_record_may_hold_a_whole_session() {
    let record = StoredMessage {
        further: vec![FurtherMessage {
            send: part(&send("bbbb", "1-5/5", '$', "again", "").replace("msg1", "msg2")),
            body: Field::Known(Octets::from(b"again".to_vec())),
            body_digest: Field::Unknown,
        }],
        ..kept("hello")
    };
    let lost = StoredMessage {
        further: Vec::new(),
        ..record.clone()
    };
    for (records, verdict) in [
        (vec![record.clone()], Verdict::Pass),
        (vec![lost], Verdict::Fail),
    ] {
        let mut story = Story::new(&format!(
            "{CALL}{MOVE}- msrp: {{ session: call, body: again, save: second }}\n- stored: {{ for: bob, count: 2, messages: [{{ of: sent, body: {{ same-as: sent }} }}, {{ of: second, body: {{ same-as: second }}, send: {{ Message-ID: {{ same-as: second }} }} }}] }}"
        ));
        story.sends_hello();
        let invite = 1;
        let again = send("bbbb", "1-5/5", '$', "again", "").replace("msg1", "msg2");
        let happens = [Sent(again), Came(answer("bbbb", "200 OK"))];
        story.moves_as(2, invite, ("msg2", "second"), "again", true, &happens);
        story.reads(3, StoreResult::Records(records));
        let judged = story.judged();
        assert_eq!(judged.verdict, verdict, "{judged:#?}");
    }
}

#[test]
fn parts_of_different_sessions_in_one_record_are_found_out() {
    let mixed = StoredMessage {
        invite: part(&INVITE.replace("call1", "call2").replace("Dinner", "Lunch")),
        ..kept("hello")
    };
    let judged = in_store(", invite: { Subject: { same-as: call } }", vec![mixed]).judged();
    assert_eq!(judged.verdict, Verdict::Fail, "{judged:#?}");
    // A record of another message with the same words is not this one.
    let mut story = Story::new(&format!(
        "{CALL}{MOVE}- msrp: {{ session: call, body: hello, save: second }}\n- stored: {{ for: bob, messages: [{{ of: sent, present: true }}] }}"
    ));
    story.sends_hello();
    let again = send("bbbb", "1-5/5", '$', "hello", "").replace("msg1", "msg2");
    let happens = [Sent(again.clone()), Came(answer("bbbb", "200 OK"))];
    story.moves_as(2, 1, ("msg2", "second"), "hello", true, &happens);
    let second = StoredMessage {
        send: part(&again),
        ..kept("hello")
    };
    story.reads(3, StoreResult::Records(vec![second]));
    assert_eq!(story.judged().verdict, Verdict::Fail);
}

#[test]
fn a_record_of_a_session_is_no_record_of_a_message_and_a_faceless_one_is_untold() {
    let steps =
        format!("{SEND}- stored: {{ for: bob, messages: [{{ of: sent, present: true }}] }}");
    let mut story = Story::new(&steps);
    story
        .sends(0, SENT, ACCEPTED)
        .reads(1, StoreResult::Records(vec![kept("hello")]));
    assert_eq!(story.judged().verdict, Verdict::Fail);
    let faceless = StoredMessage {
        mode: Field::Known(Mode::Session),
        ..StoredMessage::default()
    };
    let judged = in_store(", present: true", vec![faceless]).judged();
    assert_eq!(judged.verdict, Verdict::Inconclusive);
}

#[test]
fn an_unfinished_message_must_not_lie_in_the_store_as_a_whole_one() {
    let steps = format!(
        "{CALL}- msrp: {{ session: call, body: abcdefghijklmnop, chunks: [{{ octets: 1-10 }}], save: sent }}\n- stored: {{ for: bob, messages: [{{ of: sent, gone: true }}] }}"
    );
    for (records, verdict) in [
        (Vec::new(), Verdict::Pass),
        (vec![kept("abcdefghij")], Verdict::Fail),
    ] {
        let mut story = Story::new(&steps);
        let invite = story.calls(0, OK);
        let chunk = send("aaaa", "1-10/16", '+', "abcdefghij", "");
        let happens = [Sent(chunk), Came(answer("aaaa", "200 OK"))];
        story.moves(1, invite, "abcdefghijklmnop", false, &happens);
        story.reads(2, StoreResult::Records(records));
        assert_eq!(story.judged().verdict, verdict);
    }
}

#[test]
fn a_message_is_received_when_its_last_chunk_is() {
    let steps = format!(
        "{CALL}- msrp: {{ session: call, body: hello, chunks: {{ size: 3 }}, save: sent }}\n- stored: {{ for: bob, messages: [{{ of: sent, received-at: {{ within: {{ of: sent, margin: tolerance }} }} }}] }}"
    );
    for (after_s, verdict) in [(20, Verdict::Pass), (0, Verdict::Fail), (30, Verdict::Fail)] {
        let mut story = Story::new(&steps);
        let invite = story.calls(0, OK);
        let began = story.trace.events[0].store.unwrap().at;
        let chunks = [
            Sent(send("aaaa", "1-3/5", '+', "hel", "")),
            Came(answer("aaaa", "200 OK")),
            Waited(20),
            Sent(send("bbbb", "4-5/5", '$', "lo", "")),
            Came(answer("bbbb", "200 OK")),
            Waited(10),
        ];
        story.moves(1, invite, "hello", true, &chunks);
        let record = StoredMessage {
            received_at: Field::Known(began.plus_us(after_s * 1_000_000)),
            ..kept("hello")
        };
        story.reads(2, StoreResult::Records(vec![record]));
        let judged = story.judged();
        assert_eq!(judged.verdict, verdict, "{after_s}: {judged:#?}");
        let blamed = &judged.checks.last().unwrap().check.requirements;
        assert_eq!(*blamed, ["DM-STORE-19"]);
    }
}

#[test]
fn time_counts_from_where_the_profile_says() {
    let steps = format!(
        "{CALL}- msrp: {{ session: call, body: hello, chunks: {{ size: 3 }}, save: sent }}\n- stored: {{ for: bob, messages: [{{ of: sent, mark: 600 }}] }}"
    );
    for (base, after_s, verdict) in [
        (None, 0, Verdict::Pass),
        (None, 20, Verdict::Pass),
        (None, 300, Verdict::Fail),
        (Some("completion"), 20, Verdict::Pass),
        (Some("completion"), 0, Verdict::Fail),
        (Some("first-chunk"), 0, Verdict::Pass),
        (Some("first-chunk"), 20, Verdict::Fail),
    ] {
        let mut story = Story::new(&steps);
        if let Some(base) = base {
            story.declares("lm.base", base);
        }
        let invite = story.calls(0, OK);
        let began = story.trace.events[0].store.unwrap().at;
        let chunks = [
            Sent(send("aaaa", "1-3/5", '+', "hel", "")),
            Came(answer("aaaa", "200 OK")),
            Waited(20),
            Sent(send("bbbb", "4-5/5", '$', "lo", "")),
            Came(answer("bbbb", "200 OK")),
        ];
        story.moves(1, invite, "hello", true, &chunks);
        let at = Some(began.plus_us((600 + after_s) * 1_000_000));
        let record = StoredMessage {
            received_at: Field::Known(began.plus_us(20_000_000)),
            expire: Field::Known(Expire { seconds: None, at }),
            ..kept("hello")
        };
        story.reads(2, StoreResult::Records(vec![record]));
        assert_eq!(story.judged().verdict, verdict, "{base:?} {after_s}");
    }
}
