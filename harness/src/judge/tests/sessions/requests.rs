//! What comes back for INVITE, BYE and SENDs, and what is reported.

use super::*;

#[test]
fn a_server_that_may_defer_no_sessions_is_not_blamed_for_refusing_one() {
    let sessions = serde_json::json!(["pager", "session"]);
    let pager = serde_json::json!(["pager"]);
    let steps = "- invite: { from: alice, to: bob, expect: { status: 200 } }";
    for (status, declared, verdict) in [
        ("200 OK", None, Verdict::Pass),
        ("488 Not Acceptable Here", None, Verdict::Inconclusive),
        (
            "405 Method Not Allowed",
            Some(&pager),
            Verdict::Inconclusive,
        ),
        ("488 Not Acceptable Here", Some(&sessions), Verdict::Fail),
        ("400 Bad Request", None, Verdict::Fail),
        ("500 Server Internal Error", Some(&pager), Verdict::Fail),
    ] {
        let mut story = Story::new(steps);
        if let Some(declared) = declared {
            story.declares("store.modes", declared.clone());
        }
        story.calls(
            0,
            &if status == "200 OK" {
                OK.into()
            } else {
                refusal(status)
            },
        );
        assert_eq!(story.judged().verdict, verdict, "{status} {declared:?}");
    }
    let mut story = Story::new(CALL);
    story.declares("store.modes", sessions);
    story.calls(0, &refusal("500 Server Internal Error"));
    assert_eq!(story.judged().verdict, Verdict::Inconclusive, "set-up");
}

#[test]
fn what_the_answer_says_of_the_session_is_looked_at_as_written() {
    let with = |sdp: &str| {
        format!("- invite: {{ from: alice, to: bob, expect: {{ status: 200, sdp: {{ {sdp} }} }} }}")
    };
    for (sdp, verdict) in [
        ("setup: passive, max-size: 1000, port: 2855", Verdict::Pass),
        ("path: { is: msrp-uri }", Verdict::Pass),
        ("max-size: { at-least: 2000 }", Verdict::Fail),
        ("accept-wrapped-types: { present: true }", Verdict::Fail),
        ("accept-wrapped-types: { absent: true }", Verdict::Pass),
    ] {
        let mut story = Story::new(&with(sdp));
        story.calls(0, OK);
        assert_eq!(story.judged().verdict, verdict, "{sdp}");
    }
    let mut story = Story::new(&with("setup: passive"));
    story.calls(0, &refusal("200 OK"));
    assert_eq!(story.judged().verdict, Verdict::Fail, "no description");
}

#[test]
fn a_session_that_ended_before_needs_no_bye() {
    let steps = |expect: &str| format!("{CALL}- bye: {{ session: call{expect} }}");
    // Nothing was sent: the server had ended the session (L-38).
    let mut story = Story::new(&steps(""));
    story.calls(0, OK);
    story.passes(1, "bye");
    assert_eq!(story.judged().verdict, Verdict::None);
    for (status, expect, verdict) in [
        ("481 Call Does Not Exist", "", Verdict::None),
        ("500 Server Internal Error", "", Verdict::Inconclusive),
        ("200 OK", ", expect: { status: 200 }", Verdict::Pass),
        (
            "481 Call Does Not Exist",
            ", expect: { status: 200 }",
            Verdict::Fail,
        ),
    ] {
        let mut story = Story::new(&steps(expect));
        story.calls(0, OK);
        let bye = INVITE.replace("INVITE", "BYE");
        story.places(1, &bye, &refusal(status), "bye");
        assert_eq!(story.judged().verdict, verdict, "{status}{expect}");
    }
}

/// One SEND with these header fields, and what came for it.
fn one_send(expect: &str, more: &str, came: &[Happens]) -> Verdict {
    let mut story = Story::new(&format!(
        "{CALL}- msrp: {{ session: call, body: hello, save: sent{expect} }}"
    ));
    let invite = story.calls(0, OK);
    let mut happens = vec![Sent(send("aaaa", "1-5/5", '$', "hello", more))];
    happens.extend(came.iter().map(|one| match one {
        Sent(text) => Sent(text.clone()),
        Came(text) => Came(text.clone()),
        Ended => Ended,
        Waited(seconds) => Waited(*seconds),
    }));
    story.moves(1, invite, "hello", true, &happens);
    story.judged().verdict
}

#[test]
fn a_send_is_answered_as_its_failure_report_asks() {
    const EXPECT: &str = ", expect: {}";
    let ok = || [Came(answer("aaaa", "200 OK"))];
    let refused = || [Came(answer("aaaa", "413 Too large"))];
    for (more, came, verdict) in [
        ("", &ok()[..], Verdict::Pass),
        ("", &refused(), Verdict::Fail),
        ("", &[], Verdict::Fail),
        ("Failure-Report: no\n", &[], Verdict::Pass),
        ("Failure-Report: no\n", &ok(), Verdict::Fail),
        ("Failure-Report: partial\n", &[], Verdict::Pass),
        ("Failure-Report: partial\n", &refused(), Verdict::Fail),
        ("Failure-Report: yes\n", &ok(), Verdict::Pass),
    ] {
        assert_eq!(one_send(EXPECT, more, came), verdict, "{more}");
    }
    // As set-up it blames nobody.
    assert_eq!(one_send("", "", &ok()), Verdict::None);
    assert_eq!(one_send("", "", &refused()), Verdict::Inconclusive);
    assert_eq!(one_send("", "", &[]), Verdict::Inconclusive);
    // An answer to another transaction is none.
    let other = [Came(answer("bbbb", "200 OK"))];
    assert_eq!(one_send(EXPECT, "", &other), Verdict::Fail);
}

#[test]
fn a_status_that_is_asked_for_is_the_right_one() {
    let refused = || [Came(answer("aaaa", "415 Unsupported"))];
    for (expect, verdict) in [
        (", expect: { status: 415 }", Verdict::Pass),
        (", expect: { status: [413, 4xx] }", Verdict::Pass),
        (", expect: { status: 481 }", Verdict::Fail),
        (", expect: { status: none }", Verdict::Fail),
        (
            ", expect: { status: 415, headers: { X-Reason: { absent: true } } }",
            Verdict::Pass,
        ),
        (
            ", expect: { status: 415, headers: { X-Reason: { present: true } } }",
            Verdict::Fail,
        ),
    ] {
        assert_eq!(one_send(expect, "", &refused()), verdict, "{expect}");
    }
    assert_eq!(
        one_send(", expect: { status: none }", "", &[]),
        Verdict::Pass
    );
}

#[test]
fn the_last_chunk_may_have_another_answer() {
    let chunks = |last: &str| {
        let mut story = Story::new(&format!(
            "{CALL}- msrp: {{ session: call, body: hello, chunks: {{ size: 3 }}, save: sent, expect: {{ status: 200, last: 413 }} }}"
        ));
        let invite = story.calls(0, OK);
        story.moves(
            1,
            invite,
            "hello",
            true,
            &[
                Sent(send("aaaa", "1-3/5", '+', "hel", "")),
                Sent(send("bbbb", "4-5/5", '$', "lo", "")),
                Came(answer("aaaa", "200 OK")),
                Came(answer("bbbb", last)),
            ],
        );
        story.judged().verdict
    };
    assert_eq!(chunks("413 Enough"), Verdict::Pass);
    assert_eq!(chunks("200 OK"), Verdict::Fail);
}

#[test]
fn what_a_cut_connection_swallowed_is_nobodys_fault() {
    let steps = |expect: &str| {
        format!(
            "{CALL}- msrp: {{ session: call, body: hello, cut: {{ after: 90, how: reset }}, save: sent{expect} }}"
        )
    };
    for (expect, verdict) in [
        ("", Verdict::None),
        (", expect: { status: 200 }", Verdict::Fail),
    ] {
        let mut story = Story::new(&steps(expect));
        let invite = story.calls(0, OK);
        let whole = send("aaaa", "1-5/5", '$', "hello", "");
        let cut = whole.split_once("-------").unwrap().0.to_owned();
        story.moves(1, invite, "hello", false, &[Sent(cut)]);
        assert_eq!(story.judged().verdict, verdict, "{expect}");
    }
}

#[test]
fn the_sut_ends_the_connection_or_it_does_not() {
    const EXPECT: &str = ", expect: { status: [400, none], closed: true }";
    let refused = Came(answer("aaaa", "400 Bad Request"));
    assert_eq!(one_send(EXPECT, "", &[refused, Ended]), Verdict::Pass);
    assert_eq!(one_send(EXPECT, "", &[Ended]), Verdict::Pass);
    let refused = Came(answer("aaaa", "400 Bad Request"));
    assert_eq!(one_send(EXPECT, "", &[refused]), Verdict::Fail);
}

/// A message of eight octets in two chunks, and the reports on it.
fn reported(expect: &str, declared: Option<&str>, reports: &[String]) -> Verdict {
    let mut story = Story::new(&format!(
        "{CALL}- msrp: {{ session: call, body: abcdefgh, chunks: {{ size: 4 }}, save: sent, expect: {{ report: {expect} }} }}"
    ));
    if let Some(declared) = declared {
        story.declares("lm.success_report", declared);
    }
    let invite = story.calls(0, OK);
    let mut happens = vec![
        Sent(send("aaaa", "1-4/8", '+', "abcd", "")),
        Sent(send("bbbb", "5-8/8", '$', "efgh", "")),
        Came(answer("aaaa", "200 OK")),
        Came(answer("bbbb", "200 OK")),
    ];
    happens.extend(reports.iter().cloned().map(Came));
    story.moves(1, invite, "abcdefgh", true, &happens);
    story.judged().verdict
}

#[test]
fn reports_of_success_cover_what_was_sent_and_nothing_else() {
    let r = |range| report("rrrr", range, "000 200 OK");
    for (reports, verdict) in [
        (vec![r("1-8/8")], Verdict::Pass),
        (vec![r("1-4/8"), r("5-8/8")], Verdict::Pass),
        (vec![r("5-8/8"), r("1-4/*")], Verdict::Pass),
        (vec![r("1-4/8")], Verdict::Fail),
        (vec![r("1-9/9")], Verdict::Fail),
        (vec![r("0-7/8")], Verdict::Fail),
        (
            vec![r("1-8/8").replace("msrp://127.0.0.1:9/own;tcp", "msrp://127.0.0.1:9/other;tcp")],
            Verdict::Fail,
        ),
        (vec![r("1-8/8").replace("000 200 OK", "200")], Verdict::Fail),
        (vec![report("rrrr", "1-8/8", "000 413")], Verdict::Fail),
        (
            vec![r("1-8/8").replace("msg1", "msg2")],
            Verdict::Inconclusive,
        ),
    ] {
        assert_eq!(reported("success", None, &reports), verdict, "{reports:#?}");
    }
}

#[test]
fn l_41_when_success_is_reported_is_the_servers_choice() {
    for (declared, verdict) in [
        (Some("on-store"), Verdict::Fail),
        (Some("on-delivery"), Verdict::Inconclusive),
        (Some("never-on-store"), Verdict::Inconclusive),
        (None, Verdict::Inconclusive),
    ] {
        assert_eq!(reported("success", declared, &[]), verdict, "{declared:?}");
    }
    assert_eq!(reported("any", Some("on-store"), &[]), Verdict::Pass);
    assert_eq!(reported("none", None, &[]), Verdict::Pass);
    let one = [report("rrrr", "1-8/8", "000 200")];
    assert_eq!(reported("none", None, &one), Verdict::Fail);
}

#[test]
fn a_report_like_the_one_asked_for_must_come() {
    let failure = [report("rrrr", "5-8/8", "000 408 gone")];
    for (expect, verdict) in [
        ("{ status: 408 }", Verdict::Pass),
        ("{ status: 408, range: \"5-8/8\" }", Verdict::Pass),
        ("{ status: 408, range: \"1-8/8\" }", Verdict::Fail),
        ("{ status: 413 }", Verdict::Fail),
        (
            "{ status: 408, headers: { Message-ID: { is: msrp-id } } }",
            Verdict::Pass,
        ),
    ] {
        assert_eq!(reported(expect, None, &failure), verdict, "{expect}");
    }
    // A success that does not come is open, a failure that does not come is missing.
    assert_eq!(
        reported("{ status: 200 }", None, &[]),
        Verdict::Inconclusive
    );
    assert_eq!(reported("{ status: 408 }", None, &[]), Verdict::Fail);
}
