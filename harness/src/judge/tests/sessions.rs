//! Judgements of message sessions. For each check a trace that passes, one that fails, and one that must
//! blame nobody; and each legal variant of a server by its number.

mod deliveries;
mod requests;
mod store;

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

const BRINGS: &str = "INVITE sip:bob@127.0.0.1:5 SIP/2.0\nVia: SIP/2.0/UDP 127.0.0.1:2;branch=z9hG4bK9\nFrom: \"Alice\" <sip:alice@example.org>;tag=new\nTo: <sip:bob@example.org>\nCall-ID: other\nCSeq: 9 INVITE\nSubject: Dinner\nContact: <sip:127.0.0.1:2>\nContent-Type: application/sdp\n\nv=0\n";

fn brought(body: &str, media_type: &str) -> String {
    format!(
        "MSRP dddd SEND\nTo-Path: msrp://127.0.0.1:5/b;tcp\nFrom-Path: msrp://127.0.0.1:2855/s;tcp\nMessage-ID: in12\nByte-Range: 1-{0}/{0}\nContent-Type: {media_type}\n\n{body}\n-------dddd$\n",
        body.len()
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
