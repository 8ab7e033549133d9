//! Message sessions: two agents of the harness call each other through a switch, so that both sides are
//! looked at.

use imspec_reports::record::trace::{ConnectionChange, Direction, Packet, Protocol, Transfer};
use imspec_reports::record::{Event, EventKind, Outcome, Trace};

use super::peer::{Peer, Quirks};
use super::switch::{Habit, Switch};
use super::{kinds, of_step, outcome, packet, profile, text, took, trace_of};

/// T1 is long, so that a busy machine repeats nothing in a test that counts.
async fn run(habit: Habit, steps: &str) -> Trace {
    run_with(habit, "2s", steps).await
}

/// T1 is short: the test is about what is repeated.
async fn run_hastily(habit: Habit, steps: &str) -> Trace {
    run_with(habit, "20ms", steps).await
}

async fn run_with(habit: Habit, t1: &str, steps: &str) -> Trace {
    let switch = Switch::start(habit).await;
    let profile = profile(&format!(
        "name: switch\nsut: {{ product: switch }}\npixit:\n  target: {{ udp: \"{}\" }}\n  domain: example.org\n  \
         timers: {{ t1: {t1}, answer: 20s, delivery: 20s, quiet: 50ms }}\n",
        switch.udp
    ));
    trace_of(
        &profile,
        &format!("users: {{ alice: online, bob: online }}\nsteps:\n{steps}"),
    )
    .await
}

fn all_done(trace: &Trace) {
    let ended = trace.events.iter().filter_map(|event| match &event.kind {
        EventKind::StepEnded { outcome } => Some((event.step.clone(), outcome)),
        _ => None,
    });
    for (step, outcome) in ended {
        assert_eq!(*outcome, Outcome::Done, "{step:?}: {:#?}", kinds(trace));
    }
}

fn transfers(trace: &Trace, direction: Direction) -> Vec<&Transfer> {
    let all = trace.events.iter().filter_map(|event| match &event.kind {
        EventKind::Transfer(transfer) => Some(transfer),
        _ => None,
    });
    all.filter(|transfer| transfer.direction == direction)
        .collect()
}

fn content(transfer: &Transfer) -> String {
    String::from_utf8_lossy(transfer.content.as_ref().unwrap()).into_owned()
}

/// SIP messages that a user sent, by their first word.
fn sip<'t>(trace: &'t Trace, user: &str, start: &str) -> Vec<&'t Packet> {
    packets(trace, Protocol::Sip)
        .filter(|(_, packet)| packet.user == user && text(packet).starts_with(start))
        .filter(|(event, _)| matches!(event.kind, EventKind::Sent(_)))
        .map(|(_, packet)| packet)
        .collect()
}

fn frames(trace: &Trace) -> Vec<(&Event, &Packet)> {
    packets(trace, Protocol::Msrp).collect()
}

fn packets(trace: &Trace, protocol: Protocol) -> impl Iterator<Item = (&Event, &Packet)> {
    trace
        .events
        .iter()
        .filter_map(|event| packet(event).map(|packet| (event, packet)))
        .filter(move |(_, packet)| packet.protocol == protocol)
}

fn changes(trace: &Trace) -> Vec<&ConnectionChange> {
    let all = trace.events.iter().filter_map(|event| match &event.kind {
        EventKind::Connection { change, .. } => Some(change),
        _ => None,
    });
    all.collect()
}

const CALL: &str = "  - invite: { from: alice, to: bob, save: call }\n";

/// A message that comes, after one that must not.
const CONTROL: &str = "  - invite: { from: alice, to: bob, save: another }\n  \
                       - msrp: { session: another, body: still there, save: control }\n  \
                       - receive: { at: bob, of: control }\n";

#[tokio::test]
async fn a_session_leaves_the_agreed_trace() {
    let steps = format!(
        "{CALL}  - msrp: {{ session: call, body: \"Meet at eight\", headers: {{ Success-Report: yes }}, chunks: {{ size: 5 }}, \
         expect: {{ report: success }}, save: sent }}\n  - receive: {{ at: bob, of: sent, save: got }}\n  \
         - bye: {{ session: call, save: end }}\n"
    );
    let trace = run(Habit::Good, &steps).await;
    all_done(&trace);
    assert!(text(took(&trace, "steps[0]")).starts_with("SIP/2.0 200"));
    let acks = sip(&trace, "alice", "ACK");
    assert_eq!(acks.len(), 1);
    let ok = text(took(&trace, "steps[0]"));
    let contact = ok
        .lines()
        .find_map(|line| line.strip_prefix("Contact: <"))
        .unwrap()
        .trim_end_matches('>');
    assert!(text(acks[0]).starts_with(&format!("ACK {contact} SIP/2.0")));
    assert!(text(took(&trace, "steps[3]")).starts_with("SIP/2.0 200"));
    let sends: Vec<String> = of_step(&trace, "steps[1]")
        .into_iter()
        .filter(|event| matches!(event.kind, EventKind::Sent(_)))
        .filter_map(packet)
        .map(text)
        .collect();
    let ranges: Vec<&str> = sends
        .iter()
        .filter_map(|send| {
            send.lines()
                .find_map(|line| line.strip_prefix("Byte-Range: "))
        })
        .collect();
    assert_eq!(ranges, ["1-5/13", "6-10/13", "11-13/13"]);
    let flags: Vec<char> = sends
        .iter()
        .filter_map(|send| send.trim_end().chars().last())
        .collect();
    assert_eq!(flags, ['+', '+', '$']);
    let (out, inward) = (
        transfers(&trace, Direction::Sent),
        transfers(&trace, Direction::Received),
    );
    assert_eq!((out.len(), inward.len()), (1, 1), "{:#?}", kinds(&trace));
    assert_eq!(content(inward[0]), "Meet at eight");
    assert_eq!(out[0].digest, inward[0].digest);
    assert!(out[0].complete && inward[0].complete);
    assert_eq!((out[0].sends.len(), inward[0].sends.len()), (3, 3));
    assert_eq!(out[0].message_id, inward[0].message_id);
    let reports = frames(&trace)
        .into_iter()
        .filter(|(event, packet)| {
            matches!(event.kind, EventKind::Received(_)) && text(packet).contains(" REPORT\r\n")
        })
        .map(|(event, packet)| (event.step.clone(), text(packet)))
        .collect::<Vec<_>>();
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].0.as_deref(), Some("steps[1]"));
    assert!(
        reports[0]
            .1
            .contains("Byte-Range: 1-13/13\r\nStatus: 000 200")
    );
    assert_eq!(
        changes(&trace)[..2]
            .iter()
            .filter(|change| matches!(change, ConnectionChange::Opened))
            .count(),
        1
    );
    assert!(changes(&trace).contains(&&ConnectionChange::Closed));
}

#[tokio::test]
async fn chunks_in_any_order_with_lies_and_pauses_come_whole() {
    let steps = format!(
        "{CALL}  - msrp:\n      session: call\n      body: \"Meet at eight\"\n      writes: 1\n      chunks:\n        \
         - {{ octets: 9-13, flag: \"+\" }}\n        - {{ octets: 5-10, flag: \"+\", pause: 30ms }}\n        \
         - {{ octets: 1-6, flag: \"+\" }}\n        - {{ octets: 13-13, flag: \"$\" }}\n      save: sent\n  \
         - receive: {{ at: bob, of: sent }}\n"
    );
    let trace = run(Habit::Good, &steps).await;
    all_done(&trace);
    let inward = transfers(&trace, Direction::Received);
    assert_eq!(content(inward[0]), "Meet at eight");
    assert!(transfers(&trace, Direction::Sent)[0].complete);
}

#[tokio::test]
async fn more_chunks_in_another_step_are_the_same_message() {
    let steps = format!(
        "{CALL}  - msrp: {{ session: call, body: \"Meet at eight\", chunks: [{{ octets: 1-5 }}], save: first }}\n  \
         - msrp: {{ session: call, continues: first, chunks: [{{ octets: 6-13 }}], save: rest }}\n  \
         - receive: {{ at: bob, of: rest }}\n"
    );
    let trace = run(Habit::Good, &steps).await;
    all_done(&trace);
    let out = transfers(&trace, Direction::Sent);
    assert_eq!(
        out.iter().map(|t| t.complete).collect::<Vec<_>>(),
        [false, true]
    );
    assert_eq!(out[0].message_id, out[1].message_id);
}

#[tokio::test]
async fn the_callee_connects_to_a_passive_caller() {
    let steps = "  - invite: { from: alice, to: bob, offer: { setup: passive }, save: call }\n  \
                 - msrp: { session: call, body: hello, save: sent }\n  - receive: { at: bob, of: sent }\n";
    let trace = run(Habit::Good, steps).await;
    all_done(&trace);
    assert!(text(took(&trace, "steps[0]")).contains("a=setup:active\r\n"));
    let opened = trace.events.iter().find_map(|event| match &event.kind {
        EventKind::Connection {
            user,
            change: ConnectionChange::Opened,
            ..
        } => Some(user.as_str()),
        _ => None,
    });
    assert_eq!(opened, Some("bob"));
}

#[tokio::test]
async fn under_tls_the_certificate_is_known_by_its_fingerprint() {
    let steps = "  - invite: { from: alice, to: bob, offer: { connection: tls }, save: call }\n  \
                 - msrp: { session: call, body: hello, save: sent }\n  - receive: { at: bob, of: sent }\n";
    let trace = run(Habit::Good, steps).await;
    all_done(&trace);
    let ok = text(took(&trace, "steps[0]"));
    assert!(ok.contains("TCP/TLS/MSRP") && ok.contains("a=fingerprint:SHA-256 "));
    assert!(!frames(&trace).is_empty());
    assert!(frames(&trace).iter().all(|(_, p)| p.transport == "tls"));
}

#[tokio::test]
async fn who_shows_another_certificate_than_was_announced_is_turned_away() {
    let steps = "  - invite: { from: alice, to: bob, offer: { connection: tls }, save: call }\n  \
                 - msrp: { session: call, body: hello, expect: { status: none, closed: true } }\n";
    let trace = run(Habit::Forges, steps).await;
    all_done(&trace);
    let why = trace.events.iter().find_map(|event| match &event.kind {
        EventKind::Note { text } if text.contains("a=fingerprint") => Some(text.as_str()),
        _ => None,
    });
    let why = why.unwrap_or_else(|| panic!("{:#?}", kinds(&trace)));
    assert!(
        why.contains("it shows another certificate (SHA-256 "),
        "{why}"
    );
    assert!(why.contains("(SHA-256 00:"), "{why}");
    assert!(changes(&trace).contains(&&ConnectionChange::Closed));
    assert!(transfers(&trace, Direction::Received).is_empty());
}

#[tokio::test]
async fn a_connection_that_is_reset_in_a_chunk_leaves_no_message() {
    let steps = format!(
        "{CALL}  - msrp: {{ session: call, body: {{ type: text/plain, generate: 4KiB }}, cut: {{ after: 1000, how: reset }}, save: sent }}\n  \
         - silence: {{ at: bob, of: sent }}\n{CONTROL}"
    );
    let trace = run(Habit::Good, &steps).await;
    all_done(&trace);
    assert!(changes(&trace).contains(&&ConnectionChange::Reset));
    let out = transfers(&trace, Direction::Sent);
    assert!(!out[0].complete);
    let inward = transfers(&trace, Direction::Received);
    let (whole, part): (Vec<_>, Vec<_>) = inward.into_iter().partition(|t| t.complete);
    let whole: Vec<_> = whole.into_iter().map(content).collect();
    assert_eq!(whole, ["still there"]);
    assert!(part.iter().all(|transfer| transfer.digest.octets < 1000));
    let send = of_step(&trace, "steps[1]")
        .into_iter()
        .filter(|event| matches!(event.kind, EventKind::Sent(_)))
        .find_map(packet)
        .unwrap();
    assert_eq!(send.octets.len(), 1000, "the trace has what went out");
}

#[tokio::test]
async fn raw_octets_that_are_no_msrp_end_the_connection() {
    let steps = format!(
        "{CALL}  - msrp: {{ session: call, raw: {{ text: \"GET / HTTP/1.1\\r\\n\\r\\n\" }}, expect: {{ status: none, closed: true }} }}\n"
    );
    let trace = run(Habit::Good, &steps).await;
    all_done(&trace);
    let ended = of_step(&trace, "steps[1]").into_iter().any(|event| {
        matches!(
            event.kind,
            EventKind::Connection {
                change: ConnectionChange::Ended,
                ..
            }
        )
    });
    assert!(ended, "{:#?}", kinds(&trace));
}

#[tokio::test]
async fn a_session_that_does_not_exist_and_a_second_connection_are_refused() {
    let steps = format!(
        "{CALL}  - msrp: {{ session: call, body: one, save: one }}\n  \
         - msrp: {{ session: call, connection: new, body: two, expect: {{ status: 506 }} }}\n  \
         - msrp: {{ session: call, body: three, headers: {{ To-Path: \"msrp://127.0.0.1:9/nobody;tcp\" }}, expect: {{ status: 481 }} }}\n  \
         - msrp: {{ session: call, method: NICKNAME, body: four, expect: {{ status: 501 }} }}\n  \
         - receive: {{ at: bob, of: one }}\n"
    );
    let trace = run(Habit::Good, &steps).await;
    all_done(&trace);
    assert_eq!(transfers(&trace, Direction::Received).len(), 1);
}

#[tokio::test]
async fn who_does_not_want_to_hear_gets_no_response() {
    let steps = format!(
        "{CALL}  - msrp: {{ session: call, body: one, headers: {{ Failure-Report: no }}, save: one }}\n  \
         - msrp: {{ session: call, body: two, headers: {{ Failure-Report: partial }}, save: two }}\n  \
         - receive: {{ at: bob, of: one }}\n  - receive: {{ at: bob, of: two }}\n"
    );
    let trace = run(Habit::Good, &steps).await;
    all_done(&trace);
    let responses = frames(&trace)
        .into_iter()
        .filter(|(_, packet)| text(packet).contains(" 200"))
        .count();
    assert_eq!(responses, 0, "{:#?}", kinds(&trace));
}

#[tokio::test]
async fn both_ends_may_send() {
    let steps = format!(
        "{CALL}  - receive: {{ at: bob, method: INVITE, save: rung }}\n  \
         - msrp: {{ session: call, body: hello, save: there }}\n  - receive: {{ at: bob, of: there }}\n  \
         - msrp: {{ session: rung, body: goodbye, save: back }}\n  - receive: {{ at: alice, of: back }}\n  \
         - bye: rung\n"
    );
    let trace = run(Habit::Good, &steps).await;
    all_done(&trace);
    assert_eq!(sip(&trace, "bob", "BYE").len(), 1);
}

#[tokio::test]
async fn an_invite_is_repeated_until_something_comes() {
    let trace = run_hastily(Habit::Deaf, CALL).await;
    all_done(&trace);
    let invites = sip(&trace, "alice", "INVITE");
    assert!(invites.len() >= 2, "{:#?}", kinds(&trace));
    assert!(!invites[0].retransmission && invites[1].retransmission);
    assert_eq!(invites[0].octets, invites[1].octets);
}

#[tokio::test]
async fn each_copy_of_a_2xx_is_acknowledged() {
    let steps = format!("{CALL}  - bye: call\n");
    let trace = run(Habit::RepeatsAccept, &steps).await;
    all_done(&trace);
    let acks = sip(&trace, "alice", "ACK");
    assert!(acks.len() >= 2, "{:#?}", kinds(&trace));
    assert!(!acks[0].retransmission && acks[1].retransmission);
    assert_eq!(acks[0].octets, acks[1].octets);
}

#[tokio::test]
async fn a_2xx_without_ack_is_repeated_and_the_session_ended() {
    let steps = "  - invite: { from: alice, to: bob, ack: false, save: call }\n  \
                 - receive: { at: alice, method: BYE }\n";
    let trace = run_hastily(Habit::Good, steps).await;
    all_done(&trace);
    let accepts = sip(&trace, "bob", "SIP/2.0 200 OK")
        .into_iter()
        .filter(|packet| text(packet).contains(" INVITE\r\n"))
        .map(|packet| packet.retransmission)
        .collect::<Vec<_>>();
    assert!(accepts.len() > 3, "{accepts:?}");
    assert!(!accepts[0] && accepts[1..].iter().all(|again| *again));
    assert!(sip(&trace, "alice", "ACK").is_empty());
}

#[tokio::test]
async fn a_cancelled_invite_ends_with_487() {
    let steps = "  - invite: { from: alice, to: bob, await: provisional, expect: { status: 487 }, save: call }\n  \
                 - cancel: call\n";
    let trace = run(Habit::Holds, steps).await;
    all_done(&trace);
    assert!(text(took(&trace, "steps[0]")).starts_with("SIP/2.0 487"));
    assert!(text(took(&trace, "steps[1]")).starts_with("SIP/2.0 200"));
    let (invite, cancel) = (
        text(sip(&trace, "alice", "INVITE")[0]),
        text(sip(&trace, "alice", "CANCEL")[0]),
    );
    let via = |text: &str| text.lines().nth(1).unwrap().to_owned();
    assert_eq!(via(&invite), via(&cancel), "one transaction");
    let ack = text(sip(&trace, "alice", "ACK")[0]);
    assert_eq!(via(&invite), via(&ack));
    assert!(ack.contains("tag=switch"), "the To of the response: {ack}");
}

#[tokio::test]
async fn the_callee_answers_a_cancel_and_gives_the_invite_up() {
    let steps = "  - invite: { from: alice, to: bob, await: provisional, save: call }\n  - cancel: call\n  \
                 - receive: { at: bob, method: INVITE, answer: { status: 200, after: 3s } }\n";
    let trace = run(Habit::Good, steps).await;
    assert!(
        text(took(&trace, "steps[0]")).starts_with("SIP/2.0 487"),
        "{:#?}",
        kinds(&trace)
    );
    assert_eq!(sip(&trace, "bob", "SIP/2.0 487").len(), 1);
}

#[tokio::test]
async fn a_refused_invite_is_acknowledged() {
    let steps = "  - invite: { from: alice, to: bob, expect: { status: 486 } }\n  \
                 - receive: { at: bob, method: INVITE, answer: 486 }\n";
    let trace = run(Habit::Good, steps).await;
    all_done(&trace);
    assert_eq!(sip(&trace, "alice", "ACK").len(), 1);
    assert_eq!(sip(&trace, "bob", "SIP/2.0 486").len(), 1);
}

#[tokio::test]
async fn an_agent_may_misbehave_in_a_session() {
    let steps = format!(
        "{CALL}  - msrp: {{ session: call, body: {{ type: text/plain, generate: 20KiB }}, chunks: {{ size: 2KiB }}, \
         expect: {{ status: [200, 413, none] }}, within: 300ms, save: sent }}\n  \
         - receive: {{ at: bob, of: sent, answer: {{ msrp: {{ reset-after: 5000 }} }} }}\n"
    );
    let trace = run(Habit::Good, &steps).await;
    assert_eq!(*outcome(&trace, "steps[2]"), Outcome::Done);
    assert!(changes(&trace).contains(&&ConnectionChange::Reset));
    let inward = transfers(&trace, Direction::Received);
    assert_eq!(inward.len(), 1, "{:#?}", kinds(&trace));
    assert!(!inward[0].complete && inward[0].digest.octets < 20 * 1024);
    let came: Vec<_> = frames(&trace)
        .into_iter()
        .filter(|(event, packet)| {
            packet.user == "bob" && matches!(event.kind, EventKind::Received(_))
        })
        .filter_map(|(event, _)| id_of(event))
        .collect();
    let once: std::collections::BTreeSet<_> = came.iter().collect();
    assert_eq!(once.len(), came.len(), "the last chunk is noted once");
}

#[tokio::test]
async fn who_has_sent_bye_takes_no_message() {
    let steps = format!(
        "{CALL}  - msrp: {{ session: call, body: {{ type: text/plain, generate: 20KiB }}, \
         headers: {{ Success-Report: \"yes\" }}, expect: {{ status: [481, none], report: any }}, within: 300ms, \
         save: sent }}\n  \
         - receive: {{ at: bob, answer: {{ msrp: {{ bye-after: 5000 }} }} }}\n"
    );
    let trace = run(Habit::Good, &steps).await;
    assert_eq!(sip(&trace, "bob", "BYE").len(), 1);
    let inward = transfers(&trace, Direction::Received);
    assert!(
        inward.iter().all(|transfer| !transfer.complete),
        "{:#?}",
        kinds(&trace)
    );
    let took = frames(&trace).into_iter().any(|(event, packet)| {
        packet.user == "bob"
            && matches!(event.kind, EventKind::Sent(_))
            && (text(packet).contains(" 200") || text(packet).contains(" REPORT"))
    });
    assert!(!took, "{:#?}", kinds(&trace));
}

#[tokio::test]
async fn a_long_header_field_is_taken_and_one_beyond_all_bounds_ends_the_connection() {
    let long = "x".repeat(60_000);
    let endless = "x".repeat(140_000);
    let steps = format!(
        "{CALL}  - msrp: {{ session: call, body: hello, headers: {{ X-Long: {long} }}, save: sent }}\n  \
         - receive: {{ at: bob, of: sent, send: {{ X-Long: {long} }} }}\n  \
         - msrp: {{ session: call, body: hello, headers: {{ X-Long: {endless} }}, expect: {{ status: none, closed: true }} }}\n"
    );
    let trace = run(Habit::Good, &steps).await;
    all_done(&trace);
    assert_eq!(transfers(&trace, Direction::Received).len(), 1);
    let told = trace.events.iter().any(|event| match &event.kind {
        EventKind::Note { text } => text.contains("is no MSRP and was closed"),
        _ => false,
    });
    assert!(told, "{:#?}", kinds(&trace));
}

#[tokio::test]
async fn a_2xx_from_a_second_place_is_acknowledged_and_its_session_ended() {
    let steps = format!(
        "{CALL}  - msrp: {{ session: call, body: hello, save: sent }}\n  - receive: {{ at: bob, of: sent }}\n  - bye: call\n"
    );
    let trace = run(Habit::Forks, &steps).await;
    all_done(&trace);
    let to_fork = |packet: &&&Packet| text(packet).contains("tag=fork");
    let acks = sip(&trace, "alice", "ACK sip:fork@");
    assert_eq!(
        acks.iter().filter(to_fork).count(),
        1,
        "{:#?}",
        kinds(&trace)
    );
    let byes = sip(&trace, "alice", "BYE");
    assert_eq!(byes.len(), 2, "{:#?}", kinds(&trace));
    let fork: Vec<_> = byes.iter().filter(to_fork).map(|bye| text(bye)).collect();
    assert_eq!(fork.len(), 1);
    assert!(fork[0].starts_with("BYE sip:fork@") && fork[0].contains("CSeq: 2 BYE"));
    let accepts = sip(&trace, "bob", "SIP/2.0 200").len();
    assert_eq!(accepts, 2, "his INVITE and his BYE");
}

#[tokio::test]
async fn who_takes_no_connection_has_a_port_that_refuses() {
    let steps = format!(
        "{CALL}  - msrp: {{ session: call, body: hello }}\n  \
         - receive: {{ at: bob, answer: {{ msrp: {{ connect: none }} }} }}\n"
    );
    let trace = run(Habit::Good, &steps).await;
    let all = changes(&trace);
    assert!(
        matches!(all[..], [ConnectionChange::Failed(why)] if why.contains("refused")),
        "{:#?}",
        kinds(&trace)
    );
}

#[tokio::test]
async fn a_step_whose_session_never_ends_is_over_in_its_time() {
    let steps = format!(
        "{CALL}  - msrp: {{ session: call, body: Meet at eight, chunks: [{{ octets: 1-5 }}], expect: {{ status: none }} }}\n  \
         - receive: {{ at: bob, answer: {{ msrp: none }}, within: 200ms, save: got }}\n  - bye: call\n"
    );
    let trace = run(Habit::Good, &steps).await;
    all_done(&trace);
    assert!(text(took(&trace, "steps[2]")).starts_with("INVITE"));
    let inward = transfers(&trace, Direction::Received);
    assert_eq!(inward.len(), 1);
    assert!(!inward[0].complete);
}

#[tokio::test]
async fn what_is_noted_late_has_its_own_time() {
    let steps = format!(
        "{CALL}  - msrp: {{ session: call, body: {{ type: text/plain, generate: 100 }}, chunks: {{ size: 1 }}, \
         expect: {{ status: 413 }} }}\n  \
         - receive: {{ at: bob, method: INVITE, answer: {{ msrp: {{ status: 413, pause: 5ms }} }} }}\n"
    );
    let trace = run(Habit::Good, &steps).await;
    all_done(&trace);
    let frames: Vec<_> = of_step(&trace, "steps[1]")
        .into_iter()
        .filter(|event| packet(event).is_some())
        .collect();
    let is_sent = |event: &Event| matches!(event.kind, EventKind::Sent(_));
    // Chunks in the middle are noted once their responses turn out to be of interest.
    let pairs: Vec<_> = frames
        .windows(2)
        .filter(|pair| is_sent(pair[0]) && !is_sent(pair[1]))
        .filter(|pair| id_of(pair[0]) == id_of(pair[1]))
        .collect();
    assert_eq!(pairs.len(), 16, "{:#?}", kinds(&trace));
    for pair in pairs {
        // Bob answers no chunk sooner than 5 ms after it came.
        assert!(pair[0].at_us + 5_000 <= pair[1].at_us, "{pair:#?}");
    }
}

fn id_of(event: &Event) -> Option<String> {
    text(packet(event)?).split(' ').nth(1).map(str::to_owned)
}

#[tokio::test]
async fn a_server_that_connects_without_end_finds_the_door_shut() {
    let trace = run(Habit::Floods, CALL).await;
    let told: Vec<_> = trace
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Note { text } if text.contains("MSRP connection") => Some(text.as_str()),
            _ => None,
        })
        .collect();
    let last = told.iter().filter(|text| text.contains("takes no more"));
    assert_eq!(last.count(), 1, "{told:#?}");
    assert!(told.len() <= 2, "{told:#?}");
    let accepted = changes(&trace)
        .into_iter()
        .filter(|change| **change == ConnectionChange::Accepted)
        .count();
    assert!(accepted <= 2000, "{accepted}");
}

#[tokio::test]
async fn very_long_messages_go_both_ways_without_being_kept() {
    let steps = format!(
        "{CALL}  - receive: {{ at: bob, method: INVITE, save: rung }}\n  - parallel:\n    \
         - - msrp: {{ session: call, body: {{ type: text/plain, generate: 2MiB }}, chunks: {{ size: 2KiB }}, save: there }}\n    \
         - - msrp: {{ session: rung, body: {{ type: text/plain, generate: 2MiB }}, save: back }}\n  \
         - receive: {{ at: bob, of: there }}\n  - receive: {{ at: alice, of: back }}\n"
    );
    let trace = run(Habit::Good, &steps).await;
    all_done(&trace);
    for inward in transfers(&trace, Direction::Received) {
        assert!(inward.complete && inward.content.is_none());
        let out = transfers(&trace, Direction::Sent);
        assert!(out.iter().any(|out| out.digest == inward.digest));
        assert_eq!(inward.digest.octets, 2 * 1024 * 1024);
    }
    let kept: usize = frames(&trace)
        .iter()
        .map(|(_, packet)| packet.octets.len())
        .sum();
    assert!(kept < 1024 * 1024, "{kept} octets of frames in the trace");
    assert!(trace.events.len() < 500, "{}", trace.events.len());
}

#[tokio::test]
async fn a_bye_that_is_written_down_later_is_waited_for() {
    let peer = Peer::start(Quirks::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let seen = folder.path().join("seen");
    let profile = profile(&format!(
        "name: peer\nsut: {{ product: peer }}\npixit:\n  target: {{ udp: \"{}\" }}\n  domain: example.org\n  \
         timers: {{ store: 60s }}\nadapters:\n  store:\n    command:\n      - sh\n      - -c\n      - >-\n        \
         if test -e {seen}; then bye='{{\"headers\":[]}}'; else bye=null; : > {seen}; fi;\n        \
         echo '{{\"kind\":\"session\",\"bye\":'$bye'}}'\n",
        peer.udp,
        seen = seen.display()
    ));
    let trace = trace_of(
        &profile,
        "users: { alice: offline }\nsteps: [{ stored: { for: alice, messages: [{ bye: { Reason: SIP } }] } }]",
    )
    .await;
    let byes: Vec<_> = trace
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::StoreRead {
                result: imspec_reports::record::StoreResult::Records(records),
                ..
            } => Some(records[0].bye == imspec_reports::record::Field::Absent),
            _ => None,
        })
        .collect();
    assert_eq!(byes, [true, false], "{:#?}", kinds(&trace));
}
