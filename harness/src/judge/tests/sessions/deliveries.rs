//! Deliveries in either form, and silence.

use super::*;

fn wrapped(from: &str) -> String {
    format!(
        "From: <{from}>\r\nTo: <sip:bob@example.org>\r\nSubject: Dinner\r\n\r\nContent-Type: text/plain\r\n\r\nhello"
    )
}

/// A message through a session, delivered through a session.
fn session_to_session(receive: &str, invite: &str, media_type: &str, body: &str) -> Story {
    let mut story = Story::new(&format!(
        "{CALL}{MOVE}- receive: {{ at: bob, of: sent{receive} }}"
    ));
    story.sends_hello();
    let (_, event) = story.brings(invite, &brought(body, media_type), body);
    story.takes(2, event);
    story
}

/// A MESSAGE, delivered through a session (L-31).
fn pager_to_session(receive: &str, invite: &str, media_type: &str, body: &str) -> Story {
    let mut story = Story::new(&format!(
        "{SEND}- receive: {{ at: bob, of: sent{receive} }}"
    ));
    story.sends(0, SENT, ACCEPTED);
    let (_, event) = story.brings(invite, &brought(body, media_type), body);
    story.takes(1, event);
    story
}

/// A message through a session, delivered as a MESSAGE (L-31).
fn session_to_pager(receive: &str, message: &str) -> Story {
    let mut story = Story::new(&format!(
        "{CALL}{MOVE}- receive: {{ at: bob, of: sent{receive} }}"
    ));
    story.sends_hello();
    story.receives(2, message);
    story
}

#[test]
fn l_31_a_message_may_come_in_either_form() {
    let asked = ", headers: { Subject: { same-as: sent }, Content-Type: text/plain }, body: { same-as: sent }";
    for story in [
        session_to_session(asked, BRINGS, "text/plain", "hello"),
        pager_to_session(asked, BRINGS, "text/plain", "hello"),
        session_to_pager(asked, SENT),
    ] {
        let judged = story.judged();
        assert_eq!(judged.verdict, Verdict::Pass, "{judged:#?}");
        assert_eq!(judged.checks.len(), 4);
    }
}

#[test]
fn a_damaged_delivery_through_a_session_fails_by_its_body_and_another_is_none() {
    for (body, delivery, of_body) in [
        ("hello", Verdict::Pass, None),
        ("hellO", Verdict::Pass, Some(Verdict::Fail)),
        ("*** back ***", Verdict::Fail, None),
    ] {
        let story = session_to_session("", BRINGS, "text/plain", body);
        assert_eq!(story.verdict_of("delivery"), Some(delivery), "{body}");
        assert_eq!(story.verdict_of("body"), of_body, "{body}");
    }
}

#[test]
fn a_wrapper_that_the_sender_had_not_written_is_taken_off() {
    let asked = ", headers: { Content-Type: { same-as: sent } }, body: { same-as: sent }";
    let body = wrapped("sip:alice@example.org");
    for build in [session_to_session, pager_to_session] {
        let judged = build(asked, BRINGS, "message/cpim", &body).judged();
        assert_eq!(judged.verdict, Verdict::Pass, "{judged:#?}");
        let other = body.replace("hello", "hell0");
        let judged = build(asked, BRINGS, "message/cpim", &other).judged();
        assert_eq!(judged.verdict, Verdict::Fail);
    }
    // Nobody may open what is none.
    let judged = session_to_session(asked, BRINGS, "text/plain", &body).judged();
    assert_eq!(judged.verdict, Verdict::Fail);
}

#[test]
fn l_33_the_author_may_be_named_beside_from() {
    let asked = ", headers: { From: { same-as: call } }";
    let of_service = BRINGS.replace("\"Alice\" <sip:alice@example.org>", "<sip:im.example.org>");
    let referred = of_service.replace("Contact", "Referred-By: <sip:alice@example.org>\nContact");
    let asserted = of_service.replace(
        "Contact",
        "P-Asserted-Identity: <sip:alice@example.org>\nContact",
    );
    for (invite, media_type, body, verdict) in [
        (BRINGS, "text/plain", "hello".to_owned(), Verdict::Pass),
        (&referred, "text/plain", "hello".to_owned(), Verdict::Pass),
        (&asserted, "text/plain", "hello".to_owned(), Verdict::Pass),
        (
            &of_service,
            "message/cpim",
            wrapped("sip:alice@example.org"),
            Verdict::Pass,
        ),
        (
            &of_service,
            "message/cpim",
            wrapped("sip:carol@example.org"),
            Verdict::Fail,
        ),
        (&of_service, "text/plain", "hello".to_owned(), Verdict::Fail),
    ] {
        let judged = session_to_session(asked, invite, media_type, &body).judged();
        assert_eq!(judged.verdict, verdict, "{invite}");
    }
    // What a field must not say it says in no place of its own; other fields may say it.
    let denied = ", headers: { From: { not: { contains: \"alice@\" } } }";
    for (invite, media_type, body, verdict) in [
        (&referred, "text/plain", "hello".to_owned(), Verdict::Pass),
        (&of_service, "text/plain", "hello".to_owned(), Verdict::Pass),
        (
            &of_service,
            "message/cpim",
            wrapped("sip:alice@example.org"),
            Verdict::Fail,
        ),
    ] {
        let judged = session_to_session(denied, invite, media_type, &body).judged();
        assert_eq!(judged.verdict, verdict, "{invite}");
    }
    let denied = ", headers: { P-Asserted-Identity: { not: { contains: \"alice@\" } } }";
    let judged = session_to_session(denied, BRINGS, "text/plain", "hello").judged();
    assert_eq!(judged.verdict, Verdict::Pass);
}

#[test]
fn l_34_a_delivery_is_a_new_request() {
    let asked = ", headers: { same-as: call, From: { same-as: call } }";
    let judged = session_to_session(asked, BRINGS, "text/plain", "hello").judged();
    assert_eq!(judged.verdict, Verdict::Pass, "{judged:#?}");
    let nameless = BRINGS.replace("\"Alice\" ", "");
    let judged = session_to_session(asked, &nameless, "text/plain", "hello").judged();
    assert_eq!(judged.verdict, Verdict::Fail, "the display name is lost");
}

#[test]
fn l_35_a_date_that_was_added_is_legal() {
    let asked = ", headers: { Date: { same-as: sent } }";
    let dated =
        |text: &str| text.replace("Subject", "Date: Fri, 15 Jan 2027 08:00:00 GMT\nSubject");
    for story in [
        session_to_session(asked, &dated(BRINGS), "text/plain", "hello"),
        session_to_pager(asked, &dated(SENT)),
        session_to_session(asked, BRINGS, "text/plain", "hello"),
    ] {
        let judged = story.judged();
        assert_eq!(judged.verdict, Verdict::Pass, "{judged:#?}");
    }
}

#[test]
fn l_36_the_expires_of_an_invite_is_about_the_invite() {
    let with_expires = BRINGS.replace("Subject", "Expires: 30\nSubject");
    let judged = pager_to_session(
        ", headers: { Expires: 600 }",
        &with_expires,
        "text/plain",
        "hello",
    )
    .judged();
    assert_eq!(judged.verdict, Verdict::Inconclusive);
}

#[test]
fn a_lost_header_is_a_failure_where_it_had_its_place() {
    let asked = ", headers: { Subject: { same-as: sent } }";
    let lost = |text: &str| text.replace("Subject: Dinner\n", "");
    let other = |text: &str| text.replace("Dinner", "Lunch");
    // The draft names Subject among what is kept of a session.
    let of = |invite: &str| {
        let story = session_to_session(asked, invite, "text/plain", "hello");
        story.verdict_of("header Subject").unwrap()
    };
    assert_eq!(of(&lost(BRINGS)), Verdict::Fail);
    assert_eq!(of(&other(BRINGS)), Verdict::Fail);
    let of = |message: &str| session_to_pager(asked, message).verdict_of("header Subject");
    assert_eq!(of(&lost(SENT)), Some(Verdict::Fail));
    // Of a MESSAGE nobody says where a session keeps it; a wrong one is wrong all the same.
    let of = |invite: &str| {
        let story = pager_to_session(asked, invite, "text/plain", "hello");
        story.verdict_of("header Subject").unwrap()
    };
    assert_eq!(of(&lost(BRINGS)), Verdict::Inconclusive);
    assert_eq!(of(&other(BRINGS)), Verdict::Fail);
}

#[test]
fn what_the_server_itself_adds_to_a_message_of_a_session_is_asked_for() {
    let of = |header: &str, message: &str| {
        let asked = format!(", headers: {{ {header}: {{ present: true }} }}");
        session_to_pager(&asked, message).verdict_of(&format!("header {header}"))
    };
    let marked = SENT.replace("Subject", "X-Expired: true\nSubject");
    assert_eq!(of("X-Expired", &marked), Some(Verdict::Pass));
    assert_eq!(of("X-Expired", SENT), Some(Verdict::Fail));
    // The sender's INVITE had one, and nobody says that it is kept.
    let bare = SENT.replace("Contact", "X-Contact");
    assert_eq!(of("Contact", &bare), Some(Verdict::Inconclusive));
}

#[test]
fn an_invite_speaks_for_one_message_of_its_session_only() {
    let mut story = session_to_session(
        ", headers: { Subject: { same-as: sent } }",
        &BRINGS.replace("Dinner", "Lunch"),
        "text/plain",
        "hello",
    );
    let invite = story
        .trace
        .events
        .iter()
        .find_map(|event| match &event.kind {
            EventKind::Transfer(one) if one.direction == Direction::Received => Some(one.invite),
            _ => None,
        })
        .unwrap();
    story.brings_also(invite, "in22", &brought("more", "text/plain"), "more");
    assert_eq!(
        story.verdict_of("header Subject"),
        Some(Verdict::Inconclusive)
    );
}

#[test]
fn what_only_a_session_has_is_not_missed_in_a_message() {
    let asked = ", send: { Message-ID: { is: msrp-id } }";
    let judged = session_to_pager(asked, SENT).judged();
    assert_eq!(judged.verdict, Verdict::Inconclusive);
    let judged = session_to_session(asked, BRINGS, "text/plain", "hello").judged();
    assert_eq!(judged.verdict, Verdict::Pass, "{judged:#?}");
    let asked = ", send: { Message-ID: { same-as: sent } }";
    let judged = session_to_session(asked, BRINGS, "text/plain", "hello").judged();
    assert_eq!(judged.verdict, Verdict::Fail, "{judged:#?}");
}

#[test]
fn what_the_server_offers_is_looked_at_as_written() {
    let steps = "- receive: { at: bob, method: INVITE, sdp: { setup: active } }";
    let offered = BRINGS.replace("v=0\n", "v=0\nm=message 9 TCP/MSRP *\na=setup:active\n");
    for (invite, verdict) in [(offered.as_str(), Verdict::Pass), (BRINGS, Verdict::Fail)] {
        let mut story = Story::new(steps);
        let event = story.free(EventKind::Received(Story::packet("bob", invite)));
        story.takes(0, event);
        assert_eq!(story.judged().verdict, verdict);
    }
}

#[test]
fn an_invite_that_was_refused_on_purpose_is_an_arrival() {
    let mut story = Story::new(&format!(
        "{CALL}{MOVE}- receive: {{ at: bob, of: sent, answer: 480 }}"
    ));
    story.sends_hello();
    let invite = story.free(EventKind::Received(Story::packet("bob", BRINGS)));
    story.takes(2, invite);
    let judged = story.judged();
    assert_eq!((judged.verdict, judged.checks.len()), (Verdict::Pass, 1));
}

#[test]
fn a_session_breaks_a_silence_by_its_messages_or_by_itself() {
    let judge = |of: &str, bring: &dyn Fn(&mut Story)| {
        let mut story = Story::new(&format!(
            "{CALL}{MOVE}- silence: {{ at: bob{of} }}\n- receive: {{ at: bob }}"
        ));
        story.sends_hello();
        story.starts(2, "silence");
        bring(&mut story);
        story.ends(2, Outcome::Done);
        story.verdict_of("silence").unwrap()
    };
    let nothing = |_: &mut Story| {};
    let invite = |story: &mut Story| {
        story.free(EventKind::Received(Story::packet("bob", BRINGS)));
    };
    let hello = |story: &mut Story| {
        story.brings(BRINGS, &brought("hello", "text/plain"), "hello");
    };
    let other = |story: &mut Story| {
        story.brings(BRINGS, &brought("other", "text/plain"), "other");
    };
    let ack = |story: &mut Story| {
        let ack = BRINGS.replace("INVITE", "ACK");
        story.free(EventKind::Received(Story::packet("bob", &ack)));
    };
    for (of, bring, verdict) in [
        ("", &nothing as &dyn Fn(&mut Story), Verdict::Pass),
        ("", &invite, Verdict::Fail),
        ("", &hello, Verdict::Fail),
        ("", &ack, Verdict::Pass),
        (", of: sent", &invite, Verdict::Pass),
        (", of: sent", &hello, Verdict::Fail),
        (", of: sent", &other, Verdict::Pass),
        (", method: INVITE", &other, Verdict::Fail),
        (", method: MESSAGE", &hello, Verdict::Pass),
    ] {
        assert_eq!(judge(of, bring), verdict, "{of}");
    }
}

#[test]
fn a_session_that_a_receive_took_does_not_break_the_silence_after_it() {
    let mut story = Story::new(&format!(
        "{CALL}{MOVE}- register: bob\n- receive: {{ at: bob, of: sent }}\n- silence: {{ at: bob }}\n- receive: {{ at: bob }}"
    ));
    story.sends_hello();
    story.passes(2, "register");
    let (_, event) = story.brings(BRINGS, &brought("hello", "text/plain"), "hello");
    let bye = BRINGS.replace("INVITE", "BYE");
    story.free(EventKind::Received(Story::packet("bob", &bye)));
    story.takes(3, event);
    story.passes(4, "silence");
    assert_eq!(story.verdict_of("silence"), Some(Verdict::Pass));
}

#[test]
fn a_piece_of_an_unfinished_message_must_not_come() {
    let steps = format!(
        "{CALL}- msrp: {{ session: call, body: abcdefghijklmnop, chunks: [{{ octets: 1-10 }}], save: sent }}\n- silence: {{ at: bob, of: sent }}\n- receive: {{ at: bob }}"
    );
    for (body, verdict) in [
        ("abcdefghij", Verdict::Fail),
        ("abcdefghij\0\0", Verdict::Fail),
        ("good morning", Verdict::Pass),
    ] {
        let mut story = Story::new(&steps);
        let invite = story.calls(0, OK);
        let chunk = send("aaaa", "1-10/16", '+', "abcdefghij", "");
        let happens = [Sent(chunk), Came(answer("aaaa", "200 OK"))];
        story.moves(1, invite, "abcdefghijklmnop", false, &happens);
        story.starts(2, "silence");
        story.brings(BRINGS, &brought(body, "text/plain"), body);
        story.ends(2, Outcome::Done);
        assert_eq!(story.verdict_of("silence"), Some(verdict), "{body}");
    }
}
