//! Judgements of message sessions. For each check a trace that passes, one that fails, and one that must
//! blame nobody; and each legal variant of a server by its number.

use imspec_reports::record::trace::{ConnectionChange, Direction, Transfer};
use imspec_reports::record::{FurtherMessage, Mode, StoredPart};

use super::*;
use crate::evidence::content::digest_of;

const INVITE: &str = "INVITE sip:bob@example.org SIP/2.0\nVia: SIP/2.0/UDP 127.0.0.1:1;branch=z9hG4bK1\nFrom: \"Alice\" <sip:alice@example.org>;tag=a\nTo: <sip:bob@example.org>\nCall-ID: call1\nCSeq: 1 INVITE\nSubject: Dinner\nContact: <sip:127.0.0.1:1>\nContent-Type: application/sdp\n\nv=0\no=- 1 1 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=message 9 TCP/MSRP *\na=path:msrp://127.0.0.1:9/own;tcp\n";
const OK: &str = "SIP/2.0 200 OK\nVia: SIP/2.0/UDP 127.0.0.1:1;branch=z9hG4bK1\nFrom: \"Alice\" <sip:alice@example.org>;tag=a\nTo: <sip:bob@example.org>;tag=b\nCall-ID: call1\nCSeq: 1 INVITE\nContact: <sip:127.0.0.1:2>\nContent-Type: application/sdp\n\nv=0\no=- 2 1 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=message 2855 TCP/MSRP *\na=path:msrp://127.0.0.1:2855/theirs;tcp\na=accept-types:*\na=max-size:1000\na=setup:passive\n";
const CALL: &str = "- invite: { from: alice, to: bob, headers: { Subject: Dinner }, save: call }\n";
const MOVE: &str = "- msrp: { session: call, body: hello, save: sent }\n";

fn refusal(status: &str) -> String {
    OK.replace("200 OK", status)
        .split_once("\nContent-Type")
        .map(|(head, _)| format!("{head}\n\n"))
        .unwrap()
}

fn send(id: &str, range: &str, flag: char, body: &str, more: &str) -> String {
    format!(
        "MSRP {id} SEND\nTo-Path: msrp://127.0.0.1:2855/theirs;tcp\nFrom-Path: msrp://127.0.0.1:9/own;tcp\nMessage-ID: msg1\nByte-Range: {range}\n{more}Content-Type: text/plain\n\n{body}\n-------{id}{flag}\n"
    )
}

fn answer(id: &str, status: &str) -> String {
    format!(
        "MSRP {id} {status}\nTo-Path: msrp://127.0.0.1:9/own;tcp\nFrom-Path: msrp://127.0.0.1:2855/theirs;tcp\n-------{id}$\n"
    )
}

fn report(id: &str, range: &str, status: &str) -> String {
    format!(
        "MSRP {id} REPORT\nTo-Path: msrp://127.0.0.1:9/own;tcp\nFrom-Path: msrp://127.0.0.1:2855/theirs;tcp\nMessage-ID: msg1\nByte-Range: {range}\nStatus: {status}\n-------{id}$\n"
    )
}

fn frame(user: &str, text: &str) -> Packet {
    Packet {
        protocol: Protocol::Msrp,
        transport: "tcp".into(),
        local: "127.0.0.1:9".into(),
        ..Story::packet(user, text)
    }
}

/// What happens in an `msrp` step, in order.
enum Happens {
    Sent(String),
    Came(String),
    Ended,
    Waited(i64),
}
use Happens::{Came, Ended, Sent, Waited};

impl Story {
    fn starts(&mut self, step: usize, verb: &str) -> u32 {
        self.event(step, EventKind::StepStarted { verb: verb.into() })
    }

    fn ends(&mut self, step: usize, outcome: Outcome) -> &mut Self {
        self.event(step, EventKind::StepEnded { outcome });
        self
    }

    fn saves(&mut self, step: usize, name: &str, event: u32) {
        let name = name.into();
        self.event(step, EventKind::Saved { name, event });
    }

    /// An `invite` that is answered with `response`, saved as `call`.
    fn calls(&mut self, step: usize, response: &str) -> u32 {
        self.places(step, INVITE, response, "call")
    }

    fn places(&mut self, step: usize, invite: &str, response: &str, name: &str) -> u32 {
        self.starts(step, "invite");
        let sent = self.event(step, EventKind::Sent(Self::packet("alice", invite)));
        let received = self.event(step, EventKind::Received(Self::packet("alice", response)));
        self.event(step, EventKind::Took { event: received });
        self.saves(step, name, sent);
        self.ends(step, Outcome::Done);
        sent
    }

    /// An `msrp` with what happens in it; the message is `body` and saved as `name`.
    fn moves(
        &mut self,
        step: usize,
        invite: u32,
        body: &str,
        complete: bool,
        happens: &[Happens],
    ) -> &mut Self {
        self.moves_as(step, invite, ("msg1", "sent"), body, complete, happens)
    }

    fn moves_as(
        &mut self,
        step: usize,
        invite: u32,
        (id, name): (&str, &str),
        body: &str,
        complete: bool,
        happens: &[Happens],
    ) -> &mut Self {
        self.starts(step, "msrp");
        let mut sends = Vec::new();
        for one in happens {
            match one {
                Sent(text) => sends.push(self.event(step, EventKind::Sent(frame("alice", text)))),
                Came(text) => {
                    self.event(step, EventKind::Received(frame("alice", text)));
                }
                Ended => {
                    let kind = EventKind::Connection {
                        user: "alice".into(),
                        local: "127.0.0.1:9".into(),
                        remote: "127.0.0.1:2855".into(),
                        change: ConnectionChange::Ended,
                    };
                    self.event(step, kind);
                }
                Waited(seconds) => self.at_s += seconds,
            }
        }
        let transfer = transfer("alice", Direction::Sent, invite, sends, id, body, complete);
        let event = self.event(step, EventKind::Transfer(transfer));
        self.saves(step, name, event);
        self.ends(step, Outcome::Done)
    }

    /// The usual: one chunk, answered with 200.
    fn sends_hello(&mut self) -> &mut Self {
        let invite = self.calls(0, OK);
        self.moves(
            1,
            invite,
            "hello",
            true,
            &[
                Sent(send("aaaa", "1-5/5", '$', "hello", "")),
                Came(answer("aaaa", "200 OK")),
            ],
        )
    }

    /// A message through a session of the SUT. Returns the event of the INVITE and of the message.
    fn brings(&mut self, invite: &str, send: &str, body: &str) -> (u32, u32) {
        let invite = self.free(EventKind::Received(Self::packet("bob", invite)));
        (invite, self.brings_also(invite, "in1", send, body))
    }

    fn brings_also(&mut self, invite: u32, id: &str, send: &str, body: &str) -> u32 {
        let came = self.free(EventKind::Received(frame("bob", send)));
        let transfer = transfer(
            "bob",
            Direction::Received,
            invite,
            vec![came],
            id,
            body,
            true,
        );
        self.free(EventKind::Transfer(transfer))
    }

    /// An event that belongs to no step.
    fn free(&mut self, kind: EventKind) -> u32 {
        let id = self.event(0, kind);
        self.trace.events[id as usize].step = None;
        id
    }

    /// A `receive` that took an event.
    fn takes(&mut self, step: usize, event: u32) -> &mut Self {
        self.starts(step, "receive");
        self.event(step, EventKind::Took { event });
        self.ends(step, Outcome::Done)
    }

    fn declares(&mut self, key: &str, value: impl Into<serde_json::Value>) -> &mut Self {
        self.pics.insert(key.into(), value.into());
        self
    }

    fn verdict_of(&self, subject: &str) -> Option<Verdict> {
        let judged = self.judged();
        judged
            .checks
            .iter()
            .find(|c| c.check.subject == subject)
            .map(|c| c.check.verdict)
    }
}

fn transfer(
    user: &str,
    direction: Direction,
    invite: u32,
    sends: Vec<u32>,
    id: &str,
    body: &str,
    complete: bool,
) -> Transfer {
    Transfer {
        user: user.into(),
        device: "main".into(),
        direction,
        invite,
        sends,
        message_id: id.into(),
        content: Some(Octets::from(body.as_bytes().to_vec())),
        digest: digest_of(body.as_bytes()),
        complete,
    }
}

// ---- invite, bye ------------------------------------------------------------------------------------

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

// ---- msrp -------------------------------------------------------------------------------------------

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

// ---- reports ----------------------------------------------------------------------------------------

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

// ---- deliveries -------------------------------------------------------------------------------------

const BRINGS: &str = "INVITE sip:bob@127.0.0.1:5 SIP/2.0\nVia: SIP/2.0/UDP 127.0.0.1:2;branch=z9hG4bK9\nFrom: \"Alice\" <sip:alice@example.org>;tag=new\nTo: <sip:bob@example.org>\nCall-ID: other\nCSeq: 9 INVITE\nSubject: Dinner\nContact: <sip:127.0.0.1:2>\nContent-Type: application/sdp\n\nv=0\n";

fn brought(body: &str, media_type: &str) -> String {
    format!(
        "MSRP dddd SEND\nTo-Path: msrp://127.0.0.1:5/b;tcp\nFrom-Path: msrp://127.0.0.1:2855/s;tcp\nMessage-ID: in12\nByte-Range: 1-{0}/{0}\nContent-Type: {media_type}\n\n{body}\n-------dddd$\n",
        body.len()
    )
}

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
    // What must not be said must not be said anywhere.
    let denied = ", headers: { From: { not: { contains: \"alice@\" } } }";
    let judged = session_to_session(denied, &referred, "text/plain", "hello").judged();
    assert_eq!(judged.verdict, Verdict::Fail);
    let judged = session_to_session(denied, &of_service, "text/plain", "hello").judged();
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

// ---- silence ----------------------------------------------------------------------------------------

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

// ---- the store --------------------------------------------------------------------------------------

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

// ---- references -------------------------------------------------------------------------------------

#[test]
fn references_to_a_session_are_answered_by_the_trace() {
    let checks = [
        ("${call.path}", "msrp://127.0.0.1:2855/theirs;tcp"),
        ("${call.own-path}", "msrp://127.0.0.1:9/own;tcp"),
        ("${call.sdp.max-size}", "1000"),
        ("${call.status}", "200"),
        ("${sent.msrp-id}", "msg1"),
        ("${sent.status}", "200"),
        ("${sent.report}", "200"),
        ("${sent.send.Byte-Range}", "1-5/5"),
        ("${sent.header.Subject}", "Dinner"),
        ("${got.mode}", "session"),
        ("${got.send.Content-Type}", "text/plain"),
        ("${got.body}", "hello"),
    ];
    let mut steps = format!("{CALL}{MOVE}- receive: {{ at: bob, of: sent, save: got }}\n");
    let lines: Vec<String> = checks
        .iter()
        .map(|(reference, wanted)| {
            format!("- check: {{ that: \"{reference}\", is: \"{wanted}\" }}\n")
        })
        .collect();
    steps.push_str(&lines.concat());
    steps.push_str("- check: { that: \"${call.sdp.accept-wrapped-types}\", is: absent }");
    let mut story = Story::new(&steps);
    let invite = story.calls(0, OK);
    let happens = [
        Sent(send("aaaa", "1-5/5", '$', "hello", "")),
        Came(answer("aaaa", "200 OK")),
        Came(report("rrrr", "1-5/5", "000 200 OK")),
    ];
    story.moves(1, invite, "hello", true, &happens);
    let (_, event) = story.brings(BRINGS, &brought("hello", "text/plain"), "hello");
    story.starts(2, "receive");
    story.event(2, EventKind::Took { event });
    story.saves(2, "got", event);
    story.ends(2, Outcome::Done);
    for step in 3..=3 + checks.len() {
        story.passes(step, "check");
    }
    let judged = story.judged();
    assert_eq!(judged.verdict, Verdict::Pass, "{judged:#?}");
    assert_eq!(judged.checks.len(), checks.len() + 2);
}
