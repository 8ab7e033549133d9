//! The laws of the verdict algebra, and judgements of traces made by hand.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod sessions;

use std::collections::BTreeSet;
use std::sync::Arc;

use imspec_reports::record::trace::{Packet, Protocol, StoreResult};
use imspec_reports::record::{
    Event, EventKind, Expire, Field, Octets, Outcome, State, StoreTime, StoredHeader,
    StoredMessage, Trace, UtcTime, Verdict,
};
use proptest::prelude::*;

use super::{Context, Judgement, fold, judge};
use crate::catalogue::Catalogue;
use crate::plan::{self, Selection};
use crate::scenario::load::load_str;
use crate::scenario::{Case, Known, Pics};

fn verdicts() -> impl Strategy<Value = Vec<Verdict>> {
    let one = prop_oneof![
        Just(Verdict::None),
        Just(Verdict::Pass),
        Just(Verdict::Inconclusive),
        Just(Verdict::Fail),
        Just(Verdict::Error),
    ];
    prop::collection::vec(one, 0..12)
}

proptest! {
    #[test]
    fn the_order_of_checks_does_not_matter((one, other) in verdicts().prop_flat_map(|v| (Just(v.clone()), Just(v).prop_shuffle()))) {
        prop_assert_eq!(fold(one), fold(other));
    }

    #[test]
    fn a_further_check_never_improves_a_verdict(some in verdicts(), more in verdicts()) {
        let before = fold(some.clone());
        let after = fold(some.into_iter().chain(more));
        prop_assert!(after >= before);
    }

    #[test]
    fn an_error_dominates(mut some in verdicts(), at in any::<prop::sample::Index>()) {
        let at = at.index(some.len() + 1);
        some.insert(at, Verdict::Error);
        prop_assert_eq!(fold(some), Verdict::Error);
    }

    #[test]
    fn parts_can_be_judged_apart(one in verdicts(), other in verdicts()) {
        let whole = fold(one.iter().chain(&other).copied());
        prop_assert_eq!(whole, fold([fold(one), fold(other)]));
    }
}

#[test]
fn nothing_judged_is_none_and_not_pass() {
    assert_eq!(fold([]), Verdict::None);
}

/// A case from the text of its steps, and a trace that is written by hand.
struct Story {
    case: Case,
    trace: Trace,
    at_s: i64,
    pics: Pics,
}

impl Story {
    fn new(steps: &str) -> Self {
        let indented = steps.replace('\n', "\n  ");
        let text = format!(
            "id: PG-900\ntitle: A story\npurpose: To be judged.\ncovers: [DM-STORE-02]\nusers: {{ alice: online, bob: offline }}\nsteps:\n  {indented}\n"
        );
        let scenario =
            load_str(&text, "story.yaml", &Known::bundled()).unwrap_or_else(|why| panic!("{why}"));
        let pics = Pics::new();
        let context = plan::Context {
            pics: &pics,
            settable: &BTreeSet::new(),
            domain: "example.org",
            transport: "udp",
            few: None,
            seed: 1,
        };
        let planned = plan::plan(&[Arc::new(scenario)], &Selection::all(), &context);
        let case = planned.cases().next().unwrap().clone();
        Self {
            case,
            trace: Trace::default(),
            at_s: 0,
            pics,
        }
    }

    fn event(&mut self, step: usize, kind: EventKind) -> u32 {
        let id = u32::try_from(self.trace.events.len()).unwrap();
        let at = UtcTime {
            unix_us: 1_800_000_000_000_000 + self.at_s * 1_000_000,
        };
        self.trace.events.push(Event {
            id,
            at_us: u64::from(id) * 1000,
            store: Some(StoreTime {
                at,
                uncertainty_ms: 1,
            }),
            step: Some(format!("steps[{step}]")),
            kind,
        });
        id
    }

    fn packet(user: &str, text: &str) -> Packet {
        Packet {
            user: user.into(),
            device: "main".into(),
            protocol: Protocol::Sip,
            transport: "udp".into(),
            local: "127.0.0.1:1".into(),
            remote: "127.0.0.1:2".into(),
            octets: Octets::from(text.replace('\n', "\r\n").into_bytes()),
            elided: None,
            retransmission: false,
        }
    }

    /// A step that sends `request`, gets `response` and saves both as `sent`.
    fn sends(&mut self, step: usize, request: &str, response: &str) -> &mut Self {
        self.event(
            step,
            EventKind::StepStarted {
                verb: "message".into(),
            },
        );
        let sent = self.event(step, EventKind::Sent(Self::packet("alice", request)));
        let received = self.event(step, EventKind::Received(Self::packet("alice", response)));
        self.event(step, EventKind::Took { event: received });
        self.event(
            step,
            EventKind::Saved {
                name: "sent".into(),
                event: sent,
            },
        );
        self.event(
            step,
            EventKind::StepEnded {
                outcome: Outcome::Done,
            },
        );
        self
    }

    fn receives(&mut self, step: usize, request: &str) -> &mut Self {
        self.event(
            step,
            EventKind::StepStarted {
                verb: "receive".into(),
            },
        );
        let received = self.event(step, EventKind::Received(Self::packet("bob", request)));
        self.event(step, EventKind::Took { event: received });
        self.event(
            step,
            EventKind::StepEnded {
                outcome: Outcome::Done,
            },
        );
        self
    }

    fn reads(&mut self, step: usize, result: StoreResult) -> &mut Self {
        self.event(
            step,
            EventKind::StepStarted {
                verb: "stored".into(),
            },
        );
        self.event(
            step,
            EventKind::StoreRead {
                account: "sip:bob@example.org".into(),
                result,
            },
        );
        self.event(
            step,
            EventKind::StepEnded {
                outcome: Outcome::Done,
            },
        );
        self
    }

    fn passes(&mut self, step: usize, verb: &str) -> &mut Self {
        self.event(step, EventKind::StepStarted { verb: verb.into() });
        self.event(
            step,
            EventKind::StepEnded {
                outcome: Outcome::Done,
            },
        );
        self
    }

    /// A user goes offline by the end of his registration, which takes `lapse_s`; `other` is bound besides.
    fn lapses(&mut self, step: usize, lapse_s: i64, other: &str) -> &mut Self {
        let head = "Via: SIP/2.0/UDP 127.0.0.1:1;branch=z9hG4bK2\nFrom: <sip:bob@example.org>;tag=b\n\
                    To: <sip:bob@example.org>\nCall-ID: c2\nCSeq: 2 REGISTER\nContact: <sip:bob@127.0.0.1:1>";
        let asks = format!("REGISTER sip:example.org SIP/2.0\n{head}\nExpires: 1\n\n");
        let comma = if other.is_empty() { "" } else { "," };
        let says = format!("SIP/2.0 200 OK\n{head};expires=1{comma}{other}\n\n");
        let verb = "register".into();
        self.event(step, EventKind::StepStarted { verb });
        self.event(step, EventKind::Sent(Self::packet("bob", &asks)));
        let event = self.event(step, EventKind::Received(Self::packet("bob", &says)));
        self.event(step, EventKind::Took { event });
        self.elapses(step, lapse_s)
    }

    /// A step ends after store time has passed.
    fn elapses(&mut self, step: usize, by_s: i64) -> &mut Self {
        let now = |story: &Self| UtcTime {
            unix_us: 1_800_000_000_000_000 + story.at_s * 1_000_000,
        };
        let from = now(self);
        self.at_s += by_s;
        let to = now(self);
        self.event(step, EventKind::ClockMoved { from, to });
        let outcome = Outcome::Done;
        self.event(step, EventKind::StepEnded { outcome });
        self
    }

    fn judged(&self) -> Judgement {
        let catalogue = Catalogue::bundled().unwrap();
        judge(
            &self.case,
            &self.trace,
            Context {
                pics: &self.pics,
                catalogue: &catalogue,
            },
        )
    }
}

const SENT: &str = "MESSAGE sip:bob@example.org SIP/2.0\nVia: SIP/2.0/UDP 127.0.0.1:1;branch=z9hG4bK1\nFrom: <sip:alice@example.org>;tag=a\nTo: <sip:bob@example.org>\nCall-ID: c1\nCSeq: 1 MESSAGE\nSubject: Dinner\nContent-Type: text/plain\nContent-Length: 5\n\nhello";
const ACCEPTED: &str = "SIP/2.0 202 Accepted\nVia: SIP/2.0/UDP 127.0.0.1:1;branch=z9hG4bK1\nFrom: <sip:alice@example.org>;tag=a\nTo: <sip:bob@example.org>;tag=b\nCall-ID: c1\nCSeq: 1 MESSAGE\nContent-Length: 0\n\n";
const SEND: &str =
    "- message: { from: alice, to: bob, headers: { Subject: Dinner }, body: hello, save: sent }\n";

fn stored(headers_complete: bool, names: &[&str]) -> StoreResult {
    let headers = names
        .iter()
        .map(|name| StoredHeader {
            name: (*name).into(),
            value: Octets::from(b"Dinner".to_vec()),
        })
        .collect();
    StoreResult::Records(vec![StoredMessage {
        body: Field::Known(Octets::from(b"hello".to_vec())),
        headers,
        headers_complete,
        state: Field::Known(State::Waiting),
        ..StoredMessage::default()
    }])
}

#[test]
fn a_lost_header_fails_and_the_evidence_points_at_both_messages() {
    let mut story = Story::new(&format!(
        "{SEND}- receive: {{ at: bob, of: sent, headers: {{ Subject: {{ same-as: sent }} }} }}"
    ));
    story
        .sends(0, SENT, ACCEPTED)
        .receives(1, &SENT.replace("Subject: Dinner\n", ""));
    let judged = story.judged();
    assert_eq!(judged.verdict, Verdict::Fail);
    let check = &judged.checks.last().unwrap().check;
    assert_eq!(check.subject, "header Subject");
    let evidence = check.evidence.as_ref().unwrap();
    assert_eq!((evidence.event, evidence.against), (7, Some(1)));
}

#[test]
fn who_does_not_say_what_is_deferred_may_refuse_to_defer_it() {
    let steps = SEND.replace("save: sent", "save: sent, expect: { status: 2xx }");
    let text = "id: PG-901\ntitle: A condition\npurpose: To be had.\ncovers: [DM-STORE-02]\n\
                when: { store.modes: pager }\nusers: { alice: online }\nsteps: [ { register: alice } ]\n";
    let when = load_str(text, "when.yaml", &Known::bundled()).unwrap().when;
    for (declared, asks, status, verdict) in [
        (
            false,
            true,
            "480 Temporarily Unavailable",
            Verdict::Inconclusive,
        ),
        (false, true, "404 Not Found", Verdict::Fail),
        (true, true, "480 Temporarily Unavailable", Verdict::Fail),
        (false, false, "480 Temporarily Unavailable", Verdict::Fail),
    ] {
        let mut story = Story::new(&steps);
        if declared {
            story
                .pics
                .insert("store.modes".into(), vec!["pager"].into());
        }
        if asks {
            Arc::make_mut(&mut story.case.scenario)
                .when
                .clone_from(&when);
        }
        story.sends(0, SENT, &ACCEPTED.replace("202 Accepted", status));
        assert_eq!(
            story.judged().verdict,
            verdict,
            "{declared} {asks} {status}"
        );
    }
}

#[test]
fn a_compact_folded_header_is_the_same_header() {
    let mut story = Story::new(&format!(
        "{SEND}- receive: {{ at: bob, of: sent, headers: {{ same-as: sent }} }}"
    ));
    story
        .sends(0, SENT, ACCEPTED)
        .receives(1, &SENT.replace("Subject: Dinner", "s:\n  Dinner"));
    let judged = story.judged();
    assert_eq!(judged.verdict, Verdict::Pass, "{judged:#?}");
    assert!(judged.checks.iter().any(|c| {
        c.check
            .note
            .as_deref()
            .is_some_and(|note| note.contains("RFC 3261"))
    }));
}

#[test]
fn an_unknown_header_is_inconclusive_and_an_absent_one_fails() {
    let steps = format!(
        "{SEND}- stored: {{ for: bob, messages: [{{ of: sent, headers: {{ Subject: {{ same-as: sent }} }} }}] }}"
    );
    for (result, verdict) in [
        (stored(true, &["Subject"]), Verdict::Pass),
        (stored(true, &["s"]), Verdict::Pass),
        (stored(false, &[]), Verdict::Inconclusive),
        (stored(true, &[]), Verdict::Fail),
        (StoreResult::NoAdapter, Verdict::Inconclusive),
        (StoreResult::Failed("no answer".into()), Verdict::Error),
    ] {
        let mut story = Story::new(&steps);
        story.sends(0, SENT, ACCEPTED).reads(1, result.clone());
        assert_eq!(story.judged().verdict, verdict, "{result:?}");
    }
}

#[test]
fn equal_in_meaning_is_a_mismatch_only_where_octets_are_declared() {
    let steps = format!(
        "{SEND}- stored: {{ for: bob, messages: [{{ of: sent, headers: {{ Subject: {{ same-as: sent }} }} }}] }}"
    );
    let mut story = Story::new(&steps);
    story
        .sends(0, SENT, ACCEPTED)
        .reads(1, stored(true, &["s"]));
    story.pics.insert("store.fidelity".into(), "octet".into());
    let judged = story.judged();
    let last = judged.checks.last().unwrap();
    assert!(
        last.check.verdict == Verdict::Fail && last.mismatch,
        "{last:#?}"
    );
    // The values alone would print alike.
    assert_ne!(
        last.check.expected,
        format!("the same octets: {}", last.check.observed)
    );
}

#[test]
fn a_refused_set_up_is_inconclusive_and_an_expected_status_fails() {
    let refused = ACCEPTED.replace("202 Accepted", "403 Forbidden");
    let mut story = Story::new(SEND);
    story.sends(0, SENT, &refused);
    assert_eq!(story.judged().verdict, Verdict::Inconclusive);
    let mut story = Story::new(
        "- message: { from: alice, to: bob, body: hello, expect: { status: [202, 200] } }",
    );
    story.sends(0, SENT, &refused);
    let judged = story.judged();
    assert_eq!(judged.verdict, Verdict::Fail);
    assert_eq!(
        judged.reason.as_deref(),
        Some("status: expected 202 or 200, observed SIP/2.0 403 Forbidden")
    );
}

const QUIET: &str = "- register: bob\n- silence: { at: bob, of: sent }\n- receive: { at: bob }";

#[test]
fn a_copy_breaks_the_silence_also_when_it_comes_before_the_silence_begins() {
    for early in [true, false] {
        let mut story = Story::new(&format!("{SEND}{QUIET}"));
        story.sends(0, SENT, ACCEPTED);
        story.event(
            1,
            EventKind::StepStarted {
                verb: "register".into(),
            },
        );
        if early {
            story.event(1, EventKind::Received(Story::packet("bob", SENT)));
        }
        story.event(
            1,
            EventKind::StepEnded {
                outcome: Outcome::Done,
            },
        );
        story.event(
            2,
            EventKind::StepStarted {
                verb: "silence".into(),
            },
        );
        if !early {
            story.event(2, EventKind::Received(Story::packet("bob", SENT)));
        }
        story.event(
            2,
            EventKind::StepEnded {
                outcome: Outcome::Done,
            },
        );
        let judged = story.judged();
        let silence = judged
            .checks
            .iter()
            .find(|c| c.check.subject == "silence")
            .unwrap();
        assert_eq!(silence.check.verdict, Verdict::Fail, "early: {early}");
        assert_eq!(
            silence.check.expected,
            "no delivery at bob that carries the body of `sent`"
        );
    }
}

#[test]
fn a_copy_after_a_delivery_is_called_a_further_one() {
    let steps = format!(
        "{SEND}- register: bob\n- receive: {{ at: bob, of: sent }}\n- silence: {{ at: bob, of: sent }}\n- receive: {{ at: bob }}"
    );
    let mut story = Story::new(&steps);
    story.sends(0, SENT, ACCEPTED).passes(1, "register");
    for (step, verb) in [(2, "receive"), (3, "silence")] {
        story.event(step, EventKind::StepStarted { verb: verb.into() });
        let came = story.event(step, EventKind::Received(Story::packet("bob", SENT)));
        if verb == "receive" {
            story.event(step, EventKind::Took { event: came });
        }
        story.event(
            step,
            EventKind::StepEnded {
                outcome: Outcome::Done,
            },
        );
    }
    let judged = story.judged();
    let silence = judged
        .checks
        .iter()
        .find(|c| c.check.subject == "silence")
        .unwrap();
    assert_eq!(silence.check.verdict, Verdict::Fail);
    assert_eq!(
        silence.check.expected,
        "no further delivery at bob that carries the body of `sent`"
    );
}

#[test]
fn another_message_does_not_break_a_silence_of_this_one() {
    let mut story = Story::new(&format!("{SEND}{QUIET}"));
    story.sends(0, SENT, ACCEPTED).passes(1, "register");
    story.event(
        2,
        EventKind::StepStarted {
            verb: "silence".into(),
        },
    );
    story.event(
        2,
        EventKind::Received(Story::packet("bob", &SENT.replace("hello", "other"))),
    );
    story.event(
        2,
        EventKind::StepEnded {
            outcome: Outcome::Done,
        },
    );
    let judged = story.judged();
    let silence = judged
        .checks
        .iter()
        .find(|c| c.check.subject == "silence")
        .unwrap();
    assert_eq!(silence.check.verdict, Verdict::Pass);
}

#[test]
fn a_case_that_was_too_slow_blames_nobody() {
    let steps = format!(
        "{}- wait: {{ until: 60s - tolerance, after: sent }}\n- register: bob\n- receive: {{ at: bob, of: sent }}",
        SEND.replace("Subject: Dinner", "Subject: Dinner, Expires: 60")
    );
    for (late_s, verdict) in [(59, Verdict::Fail), (61, Verdict::Inconclusive)] {
        let mut story = Story::new(&steps);
        story.pics.insert("delivery.form".into(), "message".into());
        story
            .pics
            .insert("delivery.trigger".into(), "on-register".into());
        story.sends(0, SENT, ACCEPTED).passes(1, "wait");
        story.at_s = late_s;
        story.event(
            2,
            EventKind::StepStarted {
                verb: "register".into(),
            },
        );
        story.event(2, EventKind::Sent(Story::packet("bob", SENT)));
        let received = story.event(2, EventKind::Received(Story::packet("bob", ACCEPTED)));
        story.event(2, EventKind::Took { event: received });
        story.event(
            2,
            EventKind::StepEnded {
                outcome: Outcome::Done,
            },
        );
        story.event(
            3,
            EventKind::StepStarted {
                verb: "receive".into(),
            },
        );
        story.event(
            3,
            EventKind::StepEnded {
                outcome: Outcome::TimedOut { after_ms: 5000 },
            },
        );
        assert_eq!(
            story.judged().verdict,
            verdict,
            "acted {late_s} s after the message"
        );
    }
}

#[test]
fn what_ran_out_because_registrations_lapsed_blames_nobody() {
    let steps = format!(
        "{SEND}- register: {{ user: bob, expires: 0 }}\n- wait: WAIT\n- register: bob\n- receive: {{ at: bob, of: sent }}"
    );
    let tablet = "<sip:bob@127.0.0.1:2>;expires=20";
    let until = "{ until: 61s, after: sent }";
    for (expires, lapse_s, other, wait, verdict) in [
        (60, 31, "", "10s", Verdict::Fail),
        (60, 31, "", "40s", Verdict::Inconclusive),
        // Without a lapse it would have run out just so.
        (60, 31, "", "70s", Verdict::Fail),
        (60, 31, "", until, Verdict::Fail),
        (3600, 19, tablet, "0s", Verdict::Fail),
        (3600, 31, tablet, "0s", Verdict::Inconclusive),
    ] {
        let mut story = Story::new(&steps.replace("WAIT", wait));
        let declared = [
            ("delivery.form", "message"),
            ("delivery.trigger", "on-register"),
        ];
        let declared = declared.map(|(key, value)| (key.into(), value.into()));
        story.pics.extend(declared);
        let request = SENT.replace("Subject: Dinner", &format!("Expires: {expires}"));
        story.sends(0, &request, ACCEPTED).lapses(1, lapse_s, other);
        let waited_s = wait.trim_end_matches('s').parse().unwrap_or(61 - lapse_s);
        let verb = "wait".into();
        story.event(2, EventKind::StepStarted { verb });
        story.elapses(2, waited_s).passes(3, "register");
        let outcome = Outcome::TimedOut { after_ms: 5000 };
        let verb = "receive".into();
        story.event(4, EventKind::StepStarted { verb });
        story.event(4, EventKind::StepEnded { outcome });
        let judged = story.judged().verdict;
        let given = format!("Expires {expires}, a lapse of {lapse_s} s, {other}, a wait of {wait}");
        assert_eq!(judged, verdict, "{given}");
    }
}

#[test]
fn a_message_that_outlived_a_slow_case_is_missed_by_nobody() {
    let request = SENT.replace("Subject: Dinner", "Subject: Dinner\nExpires: 2");
    let steps = format!("{SEND}- stored: {{ for: bob, messages: [{{ of: sent }}] }}");
    for (late_s, verdict) in [(1, Verdict::Fail), (3, Verdict::Inconclusive)] {
        let mut story = Story::new(&steps);
        story.sends(0, &request, ACCEPTED);
        story.at_s = late_s;
        story.reads(1, StoreResult::Records(Vec::new()));
        assert_eq!(story.judged().verdict, verdict, "read after {late_s} s");
    }
}

#[test]
fn what_was_not_reached_is_not_judged_and_what_broke_is_an_error() {
    let mut story = Story::new(&format!("{SEND}- stored: {{ for: bob, count: 1 }}"));
    story.sends(0, SENT, ACCEPTED);
    let without = story.judged().checks.len();
    story.event(
        1,
        EventKind::StepEnded {
            outcome: Outcome::NotReached {
                why: "an earlier step failed".into(),
            },
        },
    );
    assert_eq!(story.judged().checks.len(), without);
    story.event(
        1,
        EventKind::StepEnded {
            outcome: Outcome::Broken {
                why: "the server died".into(),
            },
        },
    );
    assert_eq!(story.judged().verdict, Verdict::Error);
}

#[test]
fn what_the_runner_set_before_the_case_counts_as_declared() {
    let steps = format!(
        "{SEND}- stored: {{ for: bob, messages: [{{ of: sent, message-id: {{ is: message-id }} }}] }}"
    );
    let mut story = Story::new(&steps);
    story.pics.insert("mid.form".into(), "bare".into());
    let values = [("mid.form".to_owned(), "sip-uri".into())].into();
    story.event(0, EventKind::PolicySet { values });
    story.trace.events[0].step = None;
    let StoreResult::Records(mut records) = stored(true, &[]) else {
        panic!()
    };
    records[0].message_id = Field::Known("sip:x@ms.example.org".into());
    story
        .sends(0, SENT, ACCEPTED)
        .reads(1, StoreResult::Records(records));
    assert_eq!(story.judged().verdict, Verdict::Pass);
}

#[test]
fn a_copy_that_a_later_receive_took_came_too_early() {
    let steps = format!(
        "{SEND}- register: {{ user: bob, expires: 0 }}\n- silence: {{ at: bob, of: sent }}\n- register: bob\n- receive: {{ at: bob, of: sent }}"
    );
    let mut story = Story::new(&steps);
    story.sends(0, SENT, ACCEPTED).passes(1, "register");
    story.event(
        2,
        EventKind::StepStarted {
            verb: "silence".into(),
        },
    );
    let early = story.event(2, EventKind::Received(Story::packet("bob", SENT)));
    story.event(
        2,
        EventKind::StepEnded {
            outcome: Outcome::Done,
        },
    );
    story.passes(3, "register");
    story.event(
        4,
        EventKind::StepStarted {
            verb: "receive".into(),
        },
    );
    story.event(4, EventKind::Took { event: early });
    story.event(
        4,
        EventKind::StepEnded {
            outcome: Outcome::Done,
        },
    );
    let judged = story.judged();
    let silence = judged
        .checks
        .iter()
        .find(|c| c.check.subject == "silence")
        .unwrap();
    assert_eq!(silence.check.verdict, Verdict::Fail);
}

#[test]
fn a_damaged_delivery_is_a_delivery_and_its_body_fails() {
    let mut story = Story::new(&format!("{SEND}- receive: {{ at: bob, of: sent }}"));
    story
        .sends(0, SENT, ACCEPTED)
        .receives(1, &SENT.replace("hello", "hellO"));
    let judged = story.judged();
    let of = |subject: &str| {
        judged
            .checks
            .iter()
            .find(|c| c.check.subject == subject)
            .map(|c| c.check.verdict)
    };
    assert_eq!(
        (of("delivery"), of("body")),
        (Some(Verdict::Pass), Some(Verdict::Fail)),
        "{judged:#?}"
    );
}

#[test]
fn a_request_of_another_kind_is_no_delivery() {
    let mut story = Story::new(&format!(
        "{SEND}- receive: {{ at: bob, of: sent, body: {{ same-as: sent }} }}"
    ));
    story
        .sends(0, SENT, ACCEPTED)
        .receives(1, &SENT.replace("hello", "*** user bob is back ***"));
    let judged = story.judged();
    assert_eq!(judged.checks.len(), 1, "{judged:#?}");
    assert_eq!(
        (judged.checks[0].check.subject.as_str(), judged.verdict),
        ("delivery", Verdict::Fail)
    );
}

/// A record of which the adapter shows only what `change` fills in.
fn little(change: impl FnOnce(&mut StoredMessage)) -> StoreResult {
    let mut record = StoredMessage::default();
    change(&mut record);
    StoreResult::Records(vec![record])
}

#[test]
fn records_that_cannot_be_told_apart_are_inconclusive() {
    for entry in [
        "of: sent, present: true",
        "of: sent, gone: true",
        "of: sent, mark: 600",
    ] {
        let mut story = Story::new(&format!(
            "{SEND}- stored: {{ for: bob, messages: [{{ {entry} }}] }}"
        ));
        story.sends(0, SENT, ACCEPTED).reads(1, little(|_| {}));
        assert_eq!(story.judged().verdict, Verdict::Inconclusive, "{entry}");
    }
}

#[test]
fn a_record_of_unknown_state_may_not_wait_any_more() {
    let body =
        |record: &mut StoredMessage| record.body = Field::Known(Octets::from(b"hello".to_vec()));
    for (wanted, verdict) in [
        (
            "messages: [{ of: sent, gone: true }]",
            Verdict::Inconclusive,
        ),
        ("messages: [{ of: sent, present: true }]", Verdict::Pass),
        ("count: 0", Verdict::Inconclusive),
        ("count: 1", Verdict::Pass),
        ("count: 2", Verdict::Fail),
    ] {
        let mut story = Story::new(&format!("{SEND}- stored: {{ for: bob, {wanted} }}"));
        story.sends(0, SENT, ACCEPTED).reads(1, little(body));
        assert_eq!(story.judged().verdict, verdict, "{wanted}");
    }
}

#[test]
fn a_mark_that_is_only_an_instant_is_held_against_the_sending() {
    for (late_us, verdict) in [
        (0, Verdict::Pass),
        (900_000, Verdict::Pass),
        (9_000_000, Verdict::Fail),
    ] {
        let mut story = Story::new(&format!(
            "{SEND}- stored: {{ for: bob, messages: [{{ of: sent, mark: 600 }}] }}"
        ));
        story.sends(0, SENT, ACCEPTED);
        let sent = story.trace.events[1].store.unwrap().at;
        let at = Some(sent.plus_us(600_000_000 + late_us));
        let result = little(|record| {
            record.body = Field::Known(Octets::from(b"hello".to_vec()));
            record.expire = Field::Known(Expire { seconds: None, at });
        });
        story.reads(1, result.clone());
        assert_eq!(story.judged().verdict, verdict, "{late_us} µs late");
        for event in &mut story.trace.events {
            event.store = None;
        }
        assert_eq!(
            story.judged().verdict,
            Verdict::Inconclusive,
            "no clock at all"
        );
    }
}

#[test]
fn a_mark_counted_from_date_is_right_where_that_is_declared() {
    let steps = format!(
        "{}- stored: {{ for: bob, messages: [{{ of: sent, mark: 600 }}] }}",
        SEND.replace("Subject: Dinner", "Date: \"Fri, 15 Jan 2027 07:59:30 GMT\"")
    );
    let date = UtcTime::parse("2027-01-15T07:59:30Z").unwrap();
    let received = UtcTime::parse("2027-01-15T08:00:00Z").unwrap();
    let request = SENT.replace("Subject: Dinner", "Date: Fri, 15 Jan 2027 07:59:30 GMT");
    for (base, verdict) in [("date", Verdict::Pass), ("receipt", Verdict::Fail)] {
        let mut story = Story::new(&steps);
        story.pics.insert("expire.base".into(), base.into());
        let result = little(|record| {
            record.body = Field::Known(Octets::from(b"hello".to_vec()));
            record.received_at = Field::Known(received);
            let at = Some(date.plus_us(600_000_000));
            record.expire = Field::Known(Expire { seconds: None, at });
        });
        story.sends(0, &request, ACCEPTED).reads(1, result);
        assert_eq!(story.judged().verdict, verdict, "{base}");
    }
}

#[test]
fn nothing_comes_is_a_failure_only_where_it_must_come_this_way() {
    let steps = format!("{SEND}- receive: {{ at: bob, of: sent }}");
    for (form, trigger, verdict) in [
        (Some("message"), Some("on-register"), Verdict::Fail),
        (Some("session"), Some("on-register"), Verdict::Fail),
        (
            Some("notify-then-fetch"),
            Some("on-register"),
            Verdict::Inconclusive,
        ),
        (None, None, Verdict::Inconclusive),
    ] {
        let mut story = Story::new(&steps);
        story
            .pics
            .extend(form.map(|value| ("delivery.form".to_owned(), value.into())));
        story
            .pics
            .extend(trigger.map(|value| ("delivery.trigger".to_owned(), value.into())));
        story.sends(0, SENT, ACCEPTED);
        story.event(
            1,
            EventKind::StepStarted {
                verb: "receive".into(),
            },
        );
        story.event(
            1,
            EventKind::StepEnded {
                outcome: Outcome::TimedOut { after_ms: 5000 },
            },
        );
        assert_eq!(story.judged().verdict, verdict, "{form:?} {trigger:?}");
    }
}

#[test]
fn what_did_not_come_may_be_late_and_what_is_wrong_is_wrong() {
    let awaited = format!("{SEND}- receive: {{ at: bob, of: sent }}");
    let mut story = Story::new(&awaited);
    story.pics.insert("delivery.form".into(), "message".into());
    story
        .pics
        .insert("delivery.trigger".into(), "on-register".into());
    story.sends(0, SENT, ACCEPTED);
    let outcome = Outcome::TimedOut { after_ms: 5000 };
    story.event(
        1,
        EventKind::StepStarted {
            verb: "receive".into(),
        },
    );
    story.event(1, EventKind::StepEnded { outcome });
    let judged = story.judged();
    assert_eq!((judged.verdict, judged.late), (Verdict::Fail, true));

    let refused = format!("{SEND}- receive: {{ at: bob, of: sent }}")
        .replace("save: sent", "save: sent, expect: { status: 202 }");
    let mut story = Story::new(&refused);
    story.sends(0, SENT, &ACCEPTED.replace("202 Accepted", "403 Forbidden"));
    let judged = story.judged();
    assert_eq!((judged.verdict, judged.late), (Verdict::Fail, false));

    let stored = format!("{SEND}- stored: {{ for: bob, messages: [ {{ of: sent }} ] }}");
    let mut story = Story::new(&stored);
    story
        .sends(0, SENT, ACCEPTED)
        .reads(1, StoreResult::Records(Vec::new()));
    let judged = story.judged();
    assert_eq!((judged.verdict, judged.late), (Verdict::Fail, true));
}
