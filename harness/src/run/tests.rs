//! Whole runs over loopback: against a small peer that does exactly what a test tells it to, and against
//! the reference server for store, clock and policy.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod credentials;
mod peer;
mod pool;
mod relay;
mod sessions;
mod switch;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use imspec_reports::record::trace::{Packet, StoreResult};
use imspec_reports::record::{Event, EventKind, Outcome, Trace};
use tokio::sync::{mpsc, watch};

use super::{RunEvent, RunOptions, SetUpError, run, spread};
use crate::catalogue::{Catalogue, PicsKeys};
use crate::document::Source;
use crate::plan::{self, Plan, Selection};
use crate::scenario::Known;
use crate::scenario::load::{Files, ScenarioFile, load_suite};
use crate::sut::Profile;
use crate::sut::profile::ClockAdapter;
use peer::{Peer, Quirks};

const OPTIONS: RunOptions = RunOptions {
    jobs: 64,
    time_budget: Duration::from_mins(1),
    seed: 1,
};

fn profile(text: &str) -> Profile {
    Profile::read(Source::new("profile.yaml", text), Path::new("."))
        .unwrap_or_else(|e| panic!("{e}"))
}

/// A profile of a peer that runs already, without any adapter.
fn attached(peer: &Peer) -> Profile {
    profile(&format!(
        "name: peer\nsut: {{ product: peer }}\npixit:\n  target: {{ udp: \"{}\", tcp: \"{}\" }}\n  domain: example.org\n  \
         timers: {{ t1: 20ms, answer: 5s, delivery: 5s, quiet: 50ms }}\n",
        peer.udp, peer.tcp
    ))
}

/// A plan for one scenario, given without its head.
fn planned(profile: &Profile, scenario: &str) -> Plan {
    let text = format!(
        "id: PG-99\ntitle: Test\npurpose: A test of the runner.\ncovers: [DM-STORE-01]\n{scenario}"
    );
    let file = ScenarioFile {
        name: "PG-99.yaml".into(),
        text,
        files: Files::None,
    };
    let known = Known::new(
        &Catalogue::bundled().unwrap(),
        &PicsKeys::bundled().unwrap(),
    );
    let scenarios = load_suite(&[file], &known).unwrap_or_else(|e| panic!("{e}"));
    let context = plan::Context {
        pics: &profile.pics,
        settable: &profile.settable(),
        domain: &profile.pixit.domain,
        transport: profile.pixit.transport.as_str(),
        few: profile.few(),
        seed: fastrand::u64(..),
    };
    let plan = plan::plan(&scenarios, &Selection::all(), &context);
    assert!(
        plan.set_aside.is_empty(),
        "{:?}",
        plan.set_aside
            .iter()
            .map(|aside| &aside.reason)
            .collect::<Vec<_>>()
    );
    plan
}

struct Ran {
    outcome: Result<(), SetUpError>,
    traces: BTreeMap<String, Trace>,
    moves: usize,
}

async fn drive(
    profile: &Profile,
    plan: Plan,
    options: RunOptions,
    stop: watch::Receiver<bool>,
) -> Ran {
    let (events, mut inbox) = mpsc::unbounded_channel();
    let outcome = run(plan, profile, &options, events, stop).await;
    let (mut traces, mut moves) = (BTreeMap::new(), 0);
    while let Some(event) = inbox.recv().await {
        match event {
            RunEvent::CaseFinished { case, trace, .. } => {
                drop(traces.insert(case.id.clone(), trace));
            }
            RunEvent::ClockMoved { .. } => moves += 1,
            _ => {}
        }
    }
    Ran {
        outcome,
        traces,
        moves,
    }
}

/// Runs a scenario of one case and gives its trace.
async fn trace_of(profile: &Profile, scenario: &str) -> Trace {
    let (_keep, stop) = watch::channel(false);
    let ran = drive(profile, planned(profile, scenario), OPTIONS, stop).await;
    ran.outcome.unwrap_or_else(|e| panic!("{e}"));
    let mut traces = ran.traces.into_values();
    let trace = traces.next().unwrap();
    assert!(traces.next().is_none());
    trace
}

fn of_step<'t>(trace: &'t Trace, path: &str) -> Vec<&'t Event> {
    trace
        .events
        .iter()
        .filter(|event| event.step.as_deref() == Some(path))
        .collect()
}

fn outcome<'t>(trace: &'t Trace, path: &str) -> &'t Outcome {
    let ended = of_step(trace, path)
        .into_iter()
        .find_map(|event| match &event.kind {
            EventKind::StepEnded { outcome } => Some(outcome),
            _ => None,
        });
    ended.unwrap_or_else(|| panic!("{path} did not end: {:#?}", kinds(trace)))
}

fn took<'t>(trace: &'t Trace, path: &str) -> &'t Packet {
    let event = of_step(trace, path)
        .into_iter()
        .find_map(|event| match event.kind {
            EventKind::Took { event } => Some(event),
            _ => None,
        });
    packet(
        &trace.events
            [event.unwrap_or_else(|| panic!("{path} took nothing: {:#?}", kinds(trace))) as usize],
    )
    .unwrap()
}

fn packet(event: &Event) -> Option<&Packet> {
    match &event.kind {
        EventKind::Sent(packet) | EventKind::Received(packet) => Some(packet),
        _ => None,
    }
}

fn text(packet: &Packet) -> String {
    String::from_utf8_lossy(&packet.octets).into_owned()
}

fn sent(trace: &Trace) -> Vec<&Packet> {
    let sent = trace
        .events
        .iter()
        .filter(|event| matches!(event.kind, EventKind::Sent(_)));
    sent.filter_map(packet).collect()
}

fn received(trace: &Trace) -> Vec<&Packet> {
    let received = trace
        .events
        .iter()
        .filter(|event| matches!(event.kind, EventKind::Received(_)));
    received.filter_map(packet).collect()
}

/// The trace in short, for messages.
fn kinds(trace: &Trace) -> Vec<String> {
    trace
        .events
        .iter()
        .map(|event| match packet(event) {
            Some(packet) => format!(
                "{:?} {} {}",
                event.step,
                packet.user,
                text(packet).lines().next().unwrap_or("")
            ),
            None => format!("{:?} {:?}", event.step, event.kind),
        })
        .collect()
}

const STORED_AND_DELIVERED: &str = "
users: { alice: online, bob: offline }
steps:
  - message: { from: alice, to: bob, headers: { s: Dinner }, body: \"Meet at eight\", save: sent }
  - silence: { at: bob }
  - register: bob
  - receive: { at: bob, of: sent, save: got }
";

#[tokio::test]
async fn a_case_leaves_the_agreed_trace() {
    let peer = Peer::start(Quirks::default()).await;
    let trace = trace_of(&attached(&peer), STORED_AND_DELIVERED).await;
    for step in [
        "users.alice",
        "steps[0]",
        "steps[1]",
        "steps[2]",
        "steps[3]",
    ] {
        assert_eq!(
            *outcome(&trace, step),
            Outcome::Done,
            "{step}: {:#?}",
            kinds(&trace)
        );
    }
    assert!(text(took(&trace, "steps[0]")).starts_with("SIP/2.0 202"));
    assert!(text(took(&trace, "steps[3]")).starts_with("MESSAGE sip:bob-"));
    assert!(
        trace
            .events
            .iter()
            .enumerate()
            .all(|(index, event)| event.id as usize == index)
    );
    assert!(trace.events.is_sorted_by_key(|event| event.at_us));
    let saved: Vec<_> = trace
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Saved { name, event } => {
                Some((name.as_str(), &trace.events[*event as usize].kind))
            }
            _ => None,
        })
        .collect();
    assert!(
        matches!(
            saved[..],
            [
                ("sent", EventKind::Sent(_)),
                ("got", EventKind::Received(_))
            ]
        ),
        "{saved:?}"
    );
    let message = sent(&trace)
        .into_iter()
        .map(text)
        .find(|text| text.starts_with("MESSAGE"))
        .unwrap();
    assert!(
        message.contains("\r\ns: Dinner\r\n") && message.ends_with("\r\n\r\nMeet at eight"),
        "{message}"
    );
    assert!(!message.contains("Date:"));
    assert!(
        trace.events.iter().all(|event| event.store.is_some()),
        "real time is a store clock too"
    );
}

#[tokio::test]
async fn the_same_over_tcp() {
    let peer = Peer::start(Quirks::default()).await;
    let scenario =
        STORED_AND_DELIVERED.replace("bob: offline", "bob: { state: offline, transport: tcp }");
    let trace = trace_of(&attached(&peer), &scenario).await;
    let delivery = took(&trace, "steps[3]");
    assert_eq!(delivery.transport, "tcp");
    assert!(
        text(delivery).contains(";transport=tcp SIP/2.0"),
        "the Contact leads to the listener"
    );
}

#[tokio::test]
async fn requests_are_repeated_until_they_are_answered() {
    let peer = Peer::start(Quirks {
        deaf: 2,
        ..Quirks::default()
    })
    .await;
    let trace = trace_of(&attached(&peer), STORED_AND_DELIVERED).await;
    let copies: Vec<_> = sent(&trace)
        .into_iter()
        .filter(|packet| text(packet).starts_with("MESSAGE"))
        .collect();
    assert!(copies.len() >= 3, "{:#?}", kinds(&trace));
    assert!(copies.iter().all(|copy| copy.octets == copies[0].octets));
    assert!(!copies[0].retransmission && copies[1..].iter().all(|copy| copy.retransmission));
    assert!(text(took(&trace, "steps[0]")).starts_with("SIP/2.0 202"));
}

#[tokio::test]
async fn a_repeated_request_gets_the_same_answer_and_is_no_second_one() {
    let peer = Peer::start(Quirks {
        deliver_twice: true,
        ..Quirks::default()
    })
    .await;
    // The second message comes after the copy of the first, on the same socket.
    let scenario = format!(
        "{STORED_AND_DELIVERED}  - message: {{ from: alice, to: bob, body: again, save: more }}\n  - register: bob\n  \
         - receive: {{ at: bob, of: more }}\n"
    );
    let trace = trace_of(&attached(&peer), &scenario).await;
    let deliveries: Vec<_> = received(&trace)
        .into_iter()
        .filter(|p| text(p).ends_with("Meet at eight"))
        .collect();
    assert_eq!(
        deliveries
            .iter()
            .map(|p| p.retransmission)
            .collect::<Vec<_>>(),
        [false, true]
    );
    let via = text(deliveries[0])
        .lines()
        .find_map(|line| line.strip_prefix("Via: "))
        .unwrap()
        .replace(";rport", "");
    let answers: Vec<_> = sent(&trace)
        .into_iter()
        .filter(|p| text(p).starts_with("SIP/2.0 200") && text(p).contains(&via))
        .collect();
    assert_eq!(
        answers.iter().map(|p| p.retransmission).collect::<Vec<_>>(),
        [false, true]
    );
    assert_eq!(answers[0].octets, answers[1].octets);
    assert!(
        !trace
            .events
            .iter()
            .any(|event| matches!(event.kind, EventKind::Unclaimed { .. }))
    );
}

#[tokio::test]
async fn deliveries_are_taken_in_any_order() {
    let peer = Peer::start(Quirks {
        newest_first: true,
        ..Quirks::default()
    })
    .await;
    let scenario = "
users: { alice: offline, bob: offline }
steps:
  - message: { from: alice, to: bob, body: first, save: one }
  - message: { from: alice, to: bob, body: second, save: two }
  - register: bob
  - receive: { at: bob, of: one, answer: 486 }
  - receive: { at: bob, of: two, answer: { status: 202, after: 30ms, headers: { X-Of: \"${two.header.Call-ID}\" } } }
";
    let trace = trace_of(&attached(&peer), scenario).await;
    assert!(text(took(&trace, "steps[3]")).ends_with("first"));
    assert!(text(took(&trace, "steps[4]")).ends_with("second"));
    let answers: Vec<_> = sent(&trace)
        .into_iter()
        .map(text)
        .filter(|text| text.starts_with("SIP/2.0"))
        .collect();
    assert!(
        answers
            .iter()
            .any(|answer| answer.starts_with("SIP/2.0 486")),
        "{answers:?}"
    );
    let accepted = answers
        .iter()
        .find(|answer| answer.starts_with("SIP/2.0 202"))
        .unwrap();
    let two = sent(&trace)
        .into_iter()
        .map(text)
        .find(|text| text.ends_with("second"))
        .unwrap();
    let call_id = two
        .lines()
        .find_map(|line| line.strip_prefix("Call-ID: "))
        .unwrap();
    assert!(accepted.contains(&format!("X-Of: {call_id}")), "{accepted}");
}

#[tokio::test]
async fn the_closest_request_is_the_evidence_when_none_fits() {
    let peer = Peer::start(Quirks {
        mangle: true,
        ..Quirks::default()
    })
    .await;
    let profile = attached(&peer);
    let scenario =
        STORED_AND_DELIVERED.replace("of: sent, save: got", "of: sent, save: got, within: 300ms");
    let trace = trace_of(&profile, &scenario).await;
    assert!(matches!(
        outcome(&trace, "steps[3]"),
        Outcome::TimedOut { .. }
    ));
    assert!(
        text(took(&trace, "steps[3]")).ends_with("teeM ta hgiet"),
        "{:#?}",
        kinds(&trace)
    );
    assert_eq!(
        trace
            .events
            .iter()
            .filter(|e| matches!(e.kind, EventKind::Unclaimed { .. }))
            .count(),
        1
    );
}

#[tokio::test]
async fn another_status_than_expected_ends_the_case() {
    let peer = Peer::start(Quirks::default()).await;
    let scenario = "
users: { alice: offline, bob: offline }
steps:
  - message: { from: alice, to: bob, expect: { status: [403, 5xx] } }
  - parallel:
      - [{ register: bob }]
      - [{ wait: 1ms }]
  - when: { that: \"${domain}\", is: example.org, then: [{ register: bob }], else: [{ register: alice }] }
";
    let trace = trace_of(&attached(&peer), scenario).await;
    assert_eq!(*outcome(&trace, "steps[0]"), Outcome::Done);
    for path in [
        "steps[1]",
        "steps[1].parallel[0][0]",
        "steps[2]",
        "steps[2].then[0]",
    ] {
        let Outcome::NotReached { why } = outcome(&trace, path) else {
            panic!("{path} was reached")
        };
        assert!(
            why.contains("steps[0]") && why.contains("202") && why.contains("403 or 5xx"),
            "{why}"
        );
    }
}

#[tokio::test]
async fn silence_and_reset_are_answers_too() {
    let peer = Peer::start(Quirks::default()).await;
    let quiet = STORED_AND_DELIVERED.replace("of: sent,", "of: sent, answer: none,");
    let trace = trace_of(&attached(&peer), &quiet).await;
    assert!(
        !sent(&trace)
            .iter()
            .any(|packet| text(packet).starts_with("SIP/2.0"))
    );
    let reset = STORED_AND_DELIVERED
        .replace("of: sent,", "of: sent, answer: reset,")
        .replace("bob: offline", "bob: { state: offline, transport: tcp }");
    let trace = trace_of(&attached(&peer), &reset).await;
    assert_eq!(*outcome(&trace, "steps[3]"), Outcome::Done);
    assert!(
        !sent(&trace)
            .iter()
            .any(|packet| text(packet).starts_with("SIP/2.0"))
    );
}

#[tokio::test]
async fn garbage_is_kept_and_harms_nobody() {
    let peer = Peer::start(Quirks {
        garbage: true,
        ..Quirks::default()
    })
    .await;
    for transport in ["udp", "tcp"] {
        let scenario = STORED_AND_DELIVERED.replace(
            "bob: offline",
            &format!("bob: {{ state: offline, transport: {transport} }}"),
        );
        let trace = trace_of(&attached(&peer), &scenario).await;
        assert!(
            received(&trace)
                .iter()
                .any(|p| p.octets[..] == *peer::GARBAGE),
            "{:#?}",
            kinds(&trace)
        );
        assert_eq!(*outcome(&trace, "steps[3]"), Outcome::Done);
    }
}

#[tokio::test]
async fn raw_octets_wait_for_whatever_comes() {
    let peer = Peer::start(Quirks::default()).await;
    let scenario = "
users: { alice: offline }
steps:
  - raw: { user: alice, text: \"no message at all\", save: junk }
  - raw:
      user: alice
      lines: [\"OPTIONS sip:example.org SIP/2.0\", \"Via: ${alice.via}\", \"Call-ID: 1\", \"CSeq: 1 OPTIONS\",
              \"From: <${alice.contact}>;tag=1\", \"To: <sip:example.org>\", \"Date: ${date(-58s)}\"]
      expect: { status: 200 }
";
    let trace = trace_of(&attached(&peer), scenario).await;
    assert!(matches!(
        outcome(&trace, "steps[0]"),
        Outcome::TimedOut { .. }
    ));
    assert_eq!(*outcome(&trace, "steps[1]"), Outcome::Done);
    let values: Vec<_> = of_step(&trace, "steps[1]")
        .into_iter()
        .filter_map(|event| match &event.kind {
            EventKind::Value { expression, value } => Some((expression.as_str(), value.as_str())),
            _ => None,
        })
        .collect();
    let names: Vec<_> = values.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["alice.via", "alice.contact", "date(-58s)"]);
    let request = sent(&trace)
        .into_iter()
        .map(text)
        .find(|text| text.starts_with("OPTIONS"))
        .unwrap();
    assert!(
        values.iter().all(|(_, value)| request.contains(value)),
        "{request}"
    );
}

#[tokio::test]
async fn waits_beyond_the_budget_are_given_up_at_once() {
    let peer = Peer::start(Quirks::default()).await;
    let scenario = "
users: { alice: offline }
steps: [{ wait: 10ms }, { wait: 1h }, { register: alice }]
";
    let trace = trace_of(&attached(&peer), scenario).await;
    let Outcome::Impossible { why } = outcome(&trace, "steps[0]") else {
        panic!("{:#?}", kinds(&trace))
    };
    assert!(
        why.contains("3600 s") && why.contains("60 s") && why.contains("--time-budget"),
        "{why}"
    );
    assert!(matches!(
        outcome(&trace, "steps[2]"),
        Outcome::NotReached { .. }
    ));
}

#[tokio::test]
async fn a_wait_as_long_as_the_budget_fits_whatever_clocks_may_differ_by() {
    let peer = Peer::start(Quirks::default()).await;
    let mut profile = attached(&peer);
    profile.adapters.clock = ClockAdapter::Real {
        skew: Duration::ZERO,
        resolution: Duration::from_millis(50),
    };
    let scenario = "
users: { alice: online, bob: online }
steps:
  - message: { from: alice, to: bob, body: Hello, save: sent }
  - wait: { until: 200ms + tolerance, after: sent }
";
    let options = RunOptions {
        time_budget: Duration::from_millis(200),
        ..OPTIONS
    };
    let (_keep, stop) = watch::channel(false);
    let ran = drive(&profile, planned(&profile, scenario), options, stop).await;
    ran.outcome.unwrap_or_else(|e| panic!("{e}"));
    let trace = ran.traces.into_values().next().unwrap();
    assert!(
        matches!(outcome(&trace, "steps[1]"), Outcome::Done),
        "{:#?}",
        kinds(&trace)
    );
}

#[tokio::test]
async fn what_this_server_cannot_do_is_said() {
    let peer = Peer::start(Quirks::default()).await;
    let profile = attached(&peer);
    for (steps, wanted) in [
        (
            "users: { alice: offline }\nsteps: [{ restart: kill }]",
            "process adapter",
        ),
        (
            "users: { alice: absent }\nsteps: [{ register: alice }]",
            "no account",
        ),
    ] {
        let trace = trace_of(&profile, steps).await;
        let Outcome::Impossible { why } = outcome(&trace, "steps[0]") else {
            panic!("{:#?}", kinds(&trace))
        };
        assert!(why.contains(wanted), "{why}");
    }
    let trace = trace_of(
        &profile,
        "users: { alice: offline }\nsteps: [{ stored: { for: alice, count: 0 } }]",
    )
    .await;
    assert!(trace.events.iter().any(|event| matches!(
        event.kind,
        EventKind::StoreRead {
            result: StoreResult::NoAdapter,
            ..
        }
    )));
}

#[tokio::test]
async fn an_interrupted_run_still_gives_its_traces() {
    let peer = Peer::start(Quirks::default()).await;
    let profile = attached(&peer);
    let plan = planned(
        &profile,
        "users: { alice: online }\nsteps: [{ wait: 50s }, { register: alice }]",
    );
    let (stop, stopped) = watch::channel(false);
    let (events, mut inbox) = mpsc::unbounded_channel();
    let running = tokio::spawn({
        let profile = profile.clone();
        async move { run(plan, &profile, &OPTIONS, events, stopped).await }
    });
    let trace = loop {
        match inbox.recv().await.unwrap() {
            RunEvent::CaseStarted { .. } => stop.send(true).map_or((), |()| ()),
            RunEvent::CaseFinished { trace, .. } => break trace,
            _ => {}
        }
    };
    running.await.unwrap().unwrap();
    let Outcome::NotReached { why } = outcome(&trace, "steps[1]") else {
        panic!("{:#?}", kinds(&trace))
    };
    assert!(why.contains("interrupted"), "{why}");
}

#[tokio::test]
async fn nobody_there_is_a_set_up_error() {
    let free = std::net::UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let profile = profile(&format!(
        "name: x\nsut: {{ product: x }}\npixit: {{ target: {{ udp: \"{free}\" }}, domain: example.org }}\n"
    ));
    let plan = planned(
        &profile,
        "users: { alice: offline }\nsteps: [{ register: alice }]",
    );
    let (_keep, stop) = watch::channel(false);
    let ran = drive(&profile, plan, OPTIONS, stop).await;
    let error = ran.outcome.unwrap_err().to_string();
    assert!(
        error.contains(&free.to_string())
            && error.contains("OPTIONS")
            && error.contains("pixit.target"),
        "{error}"
    );
    assert!(ran.traces.is_empty());
}

#[cfg(unix)]
#[tokio::test]
async fn a_server_that_dies_ends_its_cases_with_the_reason() {
    let peer = Peer::start(Quirks {
        deaf: usize::MAX,
        ..Quirks::default()
    })
    .await;
    let profile = profile(&format!(
        "name: mortal\nsut: {{ product: sh }}\npixit:\n  target: {{ udp: \"{}\" }}\n  domain: example.org\nadapters:\n  process:\n    \
         command: [sh, -c, \"echo ready; sleep 0.3; echo out of memory; exit 3\"]\n    ready: {{ line: ^ready }}\n",
        peer.udp
    ));
    let scenario = "
users: { alice: offline, bob: offline }
steps: [{ message: { from: alice, to: bob } }, { register: bob }]
";
    let trace = trace_of(&profile, scenario).await;
    let Outcome::Broken { why } = outcome(&trace, "steps[0]") else {
        panic!("{:#?}", kinds(&trace))
    };
    assert!(
        why.contains("exit status: 3") && why.contains("out of memory"),
        "{why}"
    );
    assert!(matches!(
        outcome(&trace, "steps[1]"),
        Outcome::NotReached { .. }
    ));
}

/// A reference server in this process, and a profile that is attached to it.
async fn reference(folder: &Path) -> (imspec_reference_server::Server, Profile) {
    let config = format!(
        "listen: {{ udp: [\"127.0.0.1:0\"], tcp: [\"127.0.0.1:0\"] }}\ncontrol: \"127.0.0.1:0\"\nstore: {{ path: {:?} }}\n",
        folder.join("server.db")
    );
    let config = imspec_reference_server::Config::from_yaml(&config, "server.yaml").unwrap();
    let server = imspec_reference_server::Server::start(config)
        .await
        .unwrap();
    let at = server.addresses();
    let url = format!("http://{}", at.control.unwrap());
    let profile = profile(&format!(
        "name: reference\nsut: {{ product: reference }}\npixit:\n  target: {{ udp: \"{}\", tcp: \"{}\" }}\n  domain: example.org\n  \
         accounts: {{ provision: control }}\n  timers: {{ quiet: 50ms }}\npics: {{ policy.expired: delete }}\nadapters:\n  \
         store: {{ control: {{ url: \"{url}\" }} }}\n  clock: {{ control: {{ url: \"{url}\" }} }}\n  \
         policy: {{ control: {{ url: \"{url}\", settable: [policy.expired, expire.default.pm] }} }}\n",
        at.udp[0], at.tcp[0]
    ));
    (server, profile)
}

#[tokio::test]
async fn a_month_passes_in_no_time_and_everyone_is_woken_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let (server, profile) = reference(folder.path()).await;
    let scenario = "
users: { alice: online, bob: offline }
matrix: { life: [60, 600, 2592000] }
steps:
  - message: { from: alice, to: bob, headers: { Expires: \"${life}\" }, body: hello, save: sent }
  - stored: { for: bob, count: 1, messages: [{ of: sent, save: rec }] }
  - wait: { until: \"${life}s - tolerance\", after: sent }
  - stored: { for: bob, count: 1 }
  - wait: { until: \"${life}s + tolerance\", after: sent }
  - stored: { for: bob, count: 0, save: rest }
";
    let (_keep, stop) = watch::channel(false);
    let ran = drive(&profile, planned(&profile, scenario), OPTIONS, stop).await;
    ran.outcome.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(ran.traces.len(), 3);
    assert!(ran.moves >= 3, "{}", ran.moves);
    for (case, trace) in &ran.traces {
        for step in 0..6 {
            assert_eq!(
                *outcome(trace, &format!("steps[{step}]")),
                Outcome::Done,
                "{case}: {:#?}",
                kinds(trace)
            );
        }
        let held = |path: &str| {
            let reads = of_step(trace, path)
                .into_iter()
                .filter_map(|event| match &event.kind {
                    EventKind::StoreRead {
                        result: StoreResult::Records(records),
                        ..
                    } => Some(records),
                    _ => None,
                });
            reads
                .last()
                .unwrap()
                .iter()
                .filter(|record| crate::evidence::record::waits(record))
                .count()
        };
        assert_eq!(
            (held("steps[1]"), held("steps[3]"), held("steps[5]")),
            (1, 1, 0),
            "{case}"
        );
        // The wait is over when its deadline is past, by the stamps of the trace.
        let deadline = of_step(trace, "steps[4]")
            .into_iter()
            .find_map(|event| match event.kind {
                EventKind::WaitUntil { deadline, .. } => Some(deadline),
                _ => None,
            });
        let ended = of_step(trace, "steps[4]").last().unwrap().store.unwrap();
        assert!(ended.at >= deadline.unwrap(), "{case}");
    }
    server.stop().await;
}

#[tokio::test]
async fn policies_are_set_for_a_lane_and_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let (server, profile) = reference(folder.path()).await;
    let control =
        crate::sut::control::Control::new(profile.adapters.control_url().unwrap()).unwrap();
    let before = control.policy().await.unwrap();
    let scenario = "
when: { policy.expired: deliver }
users: { alice: offline, bob: offline }
steps:
  - policy: { expire.default.pm: 60 }
  - message: { from: alice, to: bob, body: hello, save: sent }
  - stored: { for: bob, messages: [{ of: sent, mark: 60 }] }
";
    let trace = trace_of(&profile, scenario).await;
    assert_eq!(*outcome(&trace, "steps[2]"), Outcome::Done);
    let set: BTreeMap<_, _> = trace
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::PolicySet { values } => Some(values.clone()),
            _ => None,
        })
        .flatten()
        .collect();
    assert_eq!(set["policy.expired"], "deliver", "for the lane");
    assert_eq!(set["expire.default.pm"], 60, "by the step");
    assert_eq!(control.policy().await.unwrap(), before);
    server.stop().await;
}

#[test]
fn what_no_clock_makes_shorter_begins_first_then_the_largest() {
    let profile = profile(
        "name: peer\nsut: { product: peer }\npixit:\n  target: { udp: \"127.0.0.1:5060\" }\n  domain: example.org\n\
         adapters:\n  process: { command: [server] }\n",
    );
    let users = "users: { alice: online, bob: offline }\n";
    let message = "  - message: { from: alice, to: bob, save: it }\n";
    let mut lanes = Vec::new();
    for (matrix, step) in [
        ("", "  - restart: clean\n"),
        ("", "  - restart: { how: kill, down: 601s }\n"),
        ("", "  - restart: { how: kill, down: 2s }\n"),
        ("matrix: { body: [a, b, c] }\n", ""),
        ("", "  - restart: { how: kill, down: 3s }\n"),
    ] {
        lanes.extend(planned(&profile, &format!("{users}{matrix}steps:\n{message}{step}")).lanes);
    }
    let names: Vec<_> = spread::spread(lanes.clone(), 2)
        .iter()
        .map(|lane| lanes.iter().position(|other| other == lane).unwrap())
        .collect();
    // A long time is caught up with by moving the clock.
    assert_eq!(names, [4, 2, 3, 0, 1]);
}
