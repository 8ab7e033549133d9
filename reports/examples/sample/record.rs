//! A made-up run with one of everything that a report must be able to show. No server behaved like this.

#[path = "sessions.rs"]
mod sessions;

use std::collections::BTreeMap;

use imspec_reports::record::stored::{Expire, Field, State, StoredHeader, StoredMessage};
use imspec_reports::record::trace::{Outcome, Packet, Protocol, StoreResult};
use imspec_reports::record::{
    Basis, CaseRecord, Check, Earlier, Event, EventKind, Evidence, FORMAT, Finding, FindingKind,
    Level, Location, Observation, Octets, PlanRecord, ProfileRecord, ProtocolFinding,
    ProtocolPlace, ProtocolWeight, RequirementRecord, RunRecord, StoreTime, Trace, UtcTime,
    Verdict, WaiverRecord, WaiverState,
};
use serde_json::json;

/// 2026-03-01T09:00:00Z
const START: UtcTime = UtcTime {
    unix_us: 1_772_355_600_000_000,
};
const SERVER: &str = "127.0.0.1:5060";

/// The whole run.
pub(crate) fn record() -> RunRecord {
    let mut cases = vec![
        immediate(),
        subject_dropped("udp"),
        subject_dropped("tcp"),
        body_changed(),
        accepted_with_200(),
        no_store(
            "MI-01",
            "Each deferred message gets a Message-ID",
            "DM-MID-01",
        ),
        no_store("MI-02", "A thousand Message-IDs differ", "DM-MID-02"),
        zero_expires(),
        default_not_as_declared(),
        session_mode(),
        sessions::send_not_kept(),
        no_indication(),
        server_died(),
    ];
    cases.sort_by(|a, b| a.id.cmp(&b.id));
    RunRecord {
        format: FORMAT,
        tool: "0.1.0".to_owned(),
        started: START,
        duration_us: 2_314_000,
        store_time_s: 2_692_800.0,
        interrupted: None,
        judged_again: None,
        plan: plan(),
        profile: profile(),
        requirements: requirements(),
        findings: findings(),
        protocol: vec![no_tag(&cases)],
        cases,
        readings: BTreeMap::from([
            (
                "WD-25".to_owned(),
                BTreeMap::from([(
                    "the mark counts from reception".to_owned(),
                    vec!["EX-03".to_owned(), "EX-11".to_owned()],
                )]),
            ),
            (
                "WD-34".to_owned(),
                BTreeMap::from([
                    ("no indication at all".to_owned(), vec!["PO-03".to_owned()]),
                    (
                        "a header field".to_owned(),
                        vec!["PO-04[policy=deliver]".to_owned()],
                    ),
                ]),
            ),
        ]),
        waivers: waivers(),
    }
}

/// A run that was ended early, and found nothing.
#[allow(dead_code, reason = "not every user of this file needs it")]
pub(crate) fn interrupted() -> RunRecord {
    let mut record = record();
    record.interrupted = Some("Ctrl-C".to_owned());
    record.duration_us = 450_000;
    record.store_time_s = 0.0;
    record.cases.retain(|case| case.verdict == Verdict::Pass);
    let mut rest = subject_dropped("udp");
    rest.verdict = Verdict::Inconclusive;
    rest.reason = Some("interrupted by Ctrl-C before it was done".to_owned());
    rest.checks.clear();
    record.cases.push(rest);
    record.findings.clear();
    record.readings.clear();
    for requirement in &mut record.requirements {
        if requirement.id == "DM-STORE-01" {
            continue;
        }
        requirement.verdict = Verdict::None;
        requirement.checks.clear();
    }
    record
}

fn waivers() -> Vec<WaiverRecord> {
    use WaiverState::{Open, Stale, Used};
    let one = |line, about: (Option<&str>, Option<&str>), said: [&str; 3], state, why: &str| {
        let [reason, issue, until] = said.map(str::to_owned);
        let (requirement, case) = about;
        WaiverRecord {
            requirement: requirement.map(str::to_owned),
            case: case.map(str::to_owned),
            reason,
            issue,
            until,
            source: Location {
                file: "waivers.yaml".to_owned(),
                line,
                column: 5,
            },
            state,
            why: (!why.is_empty()).then(|| why.to_owned()),
            fits: u32::from(state == Used),
            scope: vec![case.unwrap_or("PG-01").to_owned()],
        }
    };
    vec![
        one(
            2,
            (Some("DM-EXP-10"), Some("EX-03")),
            [
                "known since 3.0",
                "https://tracker.example/812",
                "2026-12-31",
            ],
            Used,
            "",
        ),
        one(
            7,
            (None, Some("PG-12")),
            [
                "the gateway was replaced",
                "https://example.org/issues/7",
                "2026-02-28",
            ],
            Stale,
            "its time was over on 2026-02-28, and nothing was found that needs it: remove it",
        ),
        one(
            11,
            (Some("DM-STORE-14"), None),
            [
                "to come with 3.2",
                "https://tracker.example/901",
                "2026-12-31",
            ],
            Open,
            "no case that could need it is in this run",
        ),
    ]
}

fn plan() -> PlanRecord {
    PlanRecord {
        suite: "5f1c7a0e9b3d2846".to_owned(),
        catalogue: "0a4be3d9177c52f8".to_owned(),
        cases: 13,
        ids: "c2d98e01b4a7736f".to_owned(),
        time_budget_ms: 60_000,
        seed: Some(7),
        ..PlanRecord::default()
    }
}

fn profile() -> ProfileRecord {
    let text = |key: &str, value: &str| (key.to_owned(), json!(value));
    ProfileRecord {
        name: "example-im".to_owned(),
        sut: "Example IM Server 3.1.4".to_owned(),
        pics: BTreeMap::from([
            text("accept.status", "202"),
            ("expire.default.pm".to_owned(), json!(3600)),
            text("expire.marking", "on"),
            ("mode.session".to_owned(), json!(false)),
            text("policy.expired", "deliver"),
            ("lm.bye_headers".to_owned(), json!(["From", "To"])),
        ]),
        pixit: BTreeMap::from([
            text("domain", "im.example"),
            text("address", SERVER),
            text("password", "********"),
        ]),
        adapters: BTreeMap::from([
            ("store".to_owned(), "none".to_owned()),
            ("clock".to_owned(), "faketime".to_owned()),
            ("process".to_owned(), "command".to_owned()),
        ]),
    }
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn requirements() -> Vec<RequirementRecord> {
    use Basis::{Derived, Protocol, Written};
    use Level::{May, Shall, Should};
    let one = |id: &str,
               clause: &str,
               level,
               basis,
               statement: &str,
               checks: &[(Verdict, u32)],
               wording: &[&str]| {
        RequirementRecord {
            id: id.to_owned(),
            clause: clause.to_owned(),
            level,
            basis,
            condition: match id {
                "DM-STORE-01" => "A message arrives for a user who is offline.".to_owned(),
                _ => String::new(),
            },
            statement: statement.to_owned(),
            verdict: checks.iter().map(|(v, _)| *v).max().unwrap_or_default(),
            checks: checks.iter().map(|(v, n)| (v.to_string(), *n)).collect(),
            wording: wording.iter().map(|&w| w.to_owned()).collect(),
        }
    };
    let (pass, fail, unclear) = (Verdict::Pass, Verdict::Fail, Verdict::Inconclusive);
    vec![
        one(
            "DM-STORE-01",
            "9.3.2.4 b1",
            Shall,
            Written,
            "A SIP MESSAGE for an offline user is stored complete.",
            &[(pass, 3)],
            &[],
        ),
        one(
            "DM-STORE-02",
            "9.3.2.4 b1",
            Shall,
            Written,
            "Every header field of the MESSAGE is stored.",
            &[(pass, 4), (fail, 2)],
            &["WD-06", "WD-07"],
        ),
        one(
            "DM-STORE-03",
            "9.3.2.4 b1",
            Shall,
            Written,
            "Every body of the MESSAGE is stored, octet for octet: several parts, binary content, and a body without any octets included.",
            &[(pass, 2), (fail, 1)],
            &["WD-06"],
        ),
        one(
            "DM-STORE-14",
            "9.3.2.4 b2.1",
            Shall,
            Written,
            "The record of a session holds the Subject of its start.",
            &[(fail, 1)],
            &["WD-10"],
        ),
        one(
            "DM-STORE-18",
            "9.3.2.4 b2.2",
            Shall,
            Written,
            "The record holds the SEND request; its header fields, known or not, and its body.",
            &[(fail, 1)],
            &[],
        ),
        one(
            "DM-MID-01",
            "9.3.2.4 b3",
            Shall,
            Written,
            "Each deferred message gets a Message-ID.",
            &[(unclear, 1)],
            &[],
        ),
        one(
            "DM-MID-02",
            "9.3.2.4 b3",
            Shall,
            Written,
            "No two deferred messages have the same Message-ID.",
            &[(unclear, 1)],
            &["WD-19"],
        ),
        one(
            "DM-EXP-10",
            "9.3.2.4 b5.1.1",
            Shall,
            Written,
            "A MESSAGE with an Expires header field is marked with that value.",
            &[(pass, 5), (fail, 1)],
            &["WD-25", "WD-26"],
        ),
        one(
            "DM-EXP-11",
            "9.3.2.4 b5.1.2",
            May,
            Written,
            "A MESSAGE without Expires may be marked with a default.",
            &[(fail, 1)],
            &[],
        ),
        one(
            "DM-EXP-20",
            "9.3.2.4 b5.2.1",
            Shall,
            Written,
            "A SEND with an Expires header field is marked with that value.",
            &[(Verdict::NotApplicable, 1)],
            &["WD-23"],
        ),
        one(
            "DM-POL-01",
            "9.3.2.5 p1",
            Should,
            Written,
            "A message that expires before it is delivered is handled by local policy.",
            &[(pass, 2)],
            &[],
        ),
        one(
            "DM-IND-01",
            "9.3.2.5 p2",
            May,
            Written,
            "An expired message that is still delivered may say that it has expired.",
            &[(fail, 1)],
            &["WD-34"],
        ),
        one(
            "DM-DRV-04",
            "9.3.2.4",
            Shall,
            Derived,
            "A deferred message survives a restart of the server.",
            &[(Verdict::Error, 1)],
            &[],
        ),
        one(
            "DM-DRV-05",
            "9.3.2.4",
            Shall,
            Derived,
            "What is delivered is what was stored.",
            &[(pass, 2), (fail, 3)],
            &[],
        ),
        one(
            "DM-DRV-06",
            "9.3.2.4",
            May,
            Derived,
            "Messages of one sender are delivered in the order of their reception.",
            &[],
            &["WD-43"],
        ),
        one(
            "DM-DRV-02",
            "RFC 3428 §7",
            Should,
            Protocol,
            "A MESSAGE that is kept for later is answered with 202.",
            &[(pass, 4), (fail, 1)],
            &["WD-45"],
        ),
    ]
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn findings() -> Vec<Finding> {
    use FindingKind::{Deviation, Nonconformity, NotDemonstrated, ProfileMismatch};
    let one =
        |kind, requirement: &str, case: &str, check, summary: &str, waiver: Option<&str>| Finding {
            kind,
            requirement: requirement.to_owned(),
            case: case.to_owned(),
            check,
            summary: summary.to_owned(),
            waiver: waiver.map(str::to_owned),
        };
    vec![
        one(
            Nonconformity,
            "DM-STORE-02",
            "PG-05[transport=tcp]",
            Some(2),
            "Subject is lost",
            None,
        ),
        one(
            Nonconformity,
            "DM-DRV-05",
            "PG-05[transport=tcp]",
            Some(2),
            "Subject is lost",
            None,
        ),
        one(
            Nonconformity,
            "DM-STORE-02",
            "PG-05[transport=udp]",
            Some(2),
            "Subject is lost",
            None,
        ),
        one(
            Nonconformity,
            "DM-DRV-05",
            "PG-05[transport=udp]",
            Some(2),
            "Subject is lost",
            None,
        ),
        one(
            Nonconformity,
            "DM-STORE-03",
            "PG-07",
            Some(1),
            "the body is changed",
            None,
        ),
        one(
            Nonconformity,
            "DM-DRV-05",
            "PG-07",
            Some(1),
            "the body is changed",
            None,
        ),
        one(
            Nonconformity,
            "DM-EXP-10",
            "EX-03",
            Some(0),
            "Expires: 0 becomes the default",
            Some(
                "DM-EXP-10 in EX-03: known since 3.0 (https://tracker.example/812, until 2026-12-31)",
            ),
        ),
        one(
            Nonconformity,
            "DM-STORE-14",
            "MS-12",
            Some(1),
            "another Subject is delivered",
            None,
        ),
        one(
            Nonconformity,
            "DM-STORE-18",
            "MS-12",
            Some(0),
            "Expires of the SEND is lost",
            None,
        ),
        one(
            ProfileMismatch,
            "DM-EXP-11",
            "EX-11",
            Some(0),
            "the default is not the declared one",
            None,
        ),
        one(
            Deviation,
            "DM-DRV-02",
            "PG-02",
            Some(0),
            "answered with 200 where 202 is recommended",
            None,
        ),
        one(
            FindingKind::Observation,
            "DM-IND-01",
            "PO-03",
            Some(0),
            "an expired message is delivered without saying so",
            None,
        ),
        one(
            NotDemonstrated,
            "DM-MID-01",
            "MI-01",
            Some(0),
            "no store adapter",
            None,
        ),
        one(
            NotDemonstrated,
            "DM-MID-02",
            "MI-02",
            Some(0),
            "no store adapter",
            None,
        ),
    ]
}

// ---- cases -----------------------------------------------------------------------------------------

fn immediate() -> CaseRecord {
    let mut t = Script::new("PG-01", "A user who is online gets the message at once");
    t.covers = &["DM-STORE-01"];
    let sent = t.step("message", 0, |t| {
        t.send("alice", &message("alice", "Hello Bob", b"Meet at eight"))
    });
    let answer = t.receive("alice", &response("alice", "200 OK"));
    let got = t.step("receive", 1, |t| {
        t.receive(
            "bob",
            &delivered("Subject: Hello Bob\r\n", "text/plain", b"Meet at eight"),
        )
    });
    t.check(
        1,
        "status",
        Verdict::Pass,
        &["DM-STORE-01"],
        "200",
        "200 OK",
        Some(answer),
        None,
    );
    t.check(
        2,
        "body",
        Verdict::Pass,
        &["DM-STORE-01"],
        "the 13 octets that alice sent",
        "the same 13 octets",
        Some(got),
        Some(sent),
    );
    t.earlier = Some(Earlier {
        verdict: Verdict::Fail,
        reason: "delivery: expected a delivery at bob that carries the body of `m1`, observed nothing within \
                 5004 ms"
            .to_owned(),
    });
    t.done()
}

/// A response whose To has no tag.
fn no_tag(cases: &[CaseRecord]) -> ProtocolFinding {
    let places = cases
        .iter()
        .filter(|case| case.scenario == "PG-05")
        .filter_map(|case| {
            let (event, packet) = case
                .trace
                .events
                .iter()
                .find_map(|event| match &event.kind {
                    EventKind::Received(packet) if packet.octets.starts_with(b"SIP/2.0 202") => {
                        Some((event.id, packet))
                    }
                    _ => None,
                })?;
            let text = String::from_utf8_lossy(&packet.octets);
            let start = text.find("\r\nTo:")? + 5;
            let end = start + text[start..].find("\r\n")?;
            Some(ProtocolPlace {
                case: case.id.clone(),
                event,
                range: (u32::try_from(start).ok()?, u32::try_from(end).ok()?),
            })
        });
    ProtocolFinding {
        weight: ProtocolWeight::Error,
        clause: "RFC 3261 §8.2.6.2".to_owned(),
        expected: "a tag parameter".to_owned(),
        message: "202 to MESSAGE".to_owned(),
        count: 2,
        places: places.collect(),
        waiver: None,
    }
}

fn subject_dropped(transport: &'static str) -> CaseRecord {
    let mut t = Script::new(
        "PG-05",
        "Every header field and body octet of a MESSAGE for an offline user is kept",
    );
    t.matrix = vec![("transport".to_owned(), json!(transport))];
    t.transport = transport;
    t.covers = &["DM-STORE-02", "DM-STORE-03", "DM-DRV-05"];
    let body = "Treffen wir uns um acht? — 日本料理".as_bytes();
    t.event(EventKind::Value {
        expression: "random.text(8)".to_owned(),
        value: "k3v9qa0z".to_owned(),
    });
    let sent = t.step("message", 0, |t| {
        let sent = t.send("alice", &message("alice", "Dinner at eight", body));
        t.retransmit("alice", sent);
        sent
    });
    let untagged =
        String::from_utf8_lossy(&response("alice", "202 Accepted")).replace(";tag=srv-1", "");
    let answer = t.receive("alice", untagged.as_bytes());
    t.event(EventKind::Took { event: answer });
    t.event(EventKind::Saved {
        name: "sent".to_owned(),
        event: sent,
    });
    t.event(EventKind::WaitUntil {
        deadline: START.plus_us(3_600_000_000),
        margin_ms: 1_010,
    });
    t.event(EventKind::ClockMoved {
        from: START,
        to: START.plus_us(3_600_000_000),
    });
    t.advance(3_600_000_000);
    t.step("register", 3, |t| {
        t.send("bob", b"REGISTER sip:im.example SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:40002;branch=z9hG4bK77\r\nTo: <sip:bob@im.example>\r\nFrom: <sip:bob@im.example>;tag=9\r\nCall-ID: r1\r\nCSeq: 1 REGISTER\r\nContact: <sip:bob@127.0.0.1:40002>\r\nExpires: 7200\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n");
        t.receive("bob", &response("bob", "200 OK"))
    });
    let octets = delivered("", "text/plain;charset=UTF-8", body);
    let got = t.step("receive", 4, |t| t.receive("bob", &octets));
    t.check(
        1,
        "status",
        Verdict::Pass,
        &["DM-DRV-02"],
        "one of 200, 202",
        "202 Accepted",
        Some(answer),
        None,
    );
    t.check(
        4,
        "header X-Vendor",
        Verdict::Pass,
        &["DM-STORE-02", "DM-DRV-05"],
        "X-Vendor as sent",
        "equal",
        Some(got),
        Some(sent),
    );
    t.check(
        4,
        "header Subject",
        Verdict::Fail,
        &["DM-STORE-02", "DM-DRV-05"],
        "Subject: Dinner at eight, as alice sent it",
        "there is no Subject header field",
        Some(got),
        Some(sent),
    );
    t.mark(&octets, "Content-Type: text/plain;charset=UTF-8");
    t.note(
        "Subject is an end-to-end header field (RFC 3261 §20.36): a server may not take it away.",
    );
    t.check(
        4,
        "body",
        Verdict::Pass,
        &["DM-STORE-03", "DM-DRV-05"],
        "the octets that alice sent",
        "the same octets",
        Some(got),
        Some(sent),
    );
    t.done()
}

fn body_changed() -> CaseRecord {
    let mut t = Script::new("PG-07", "A binary body is kept octet for octet");
    t.covers = &["DM-STORE-03", "DM-DRV-05"];
    let mut image =
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x01\x00\x00\x00\x01\x00\x08\x06".to_vec();
    image.extend((0..96_u8).map(|n| n.wrapping_mul(37)));
    let mut changed = image.clone();
    // What a server does that thinks every body is text.
    changed.remove(4);
    changed.truncate(60);
    let sent = t.step("message", 0, |t| {
        t.send("alice", &with_type("alice", "Photo", "image/png", &image))
    });
    let answer = t.receive("alice", &response("alice", "202 Accepted"));
    let octets = delivered("Subject: Photo\r\n", "image/png", &changed);
    let got = t.step("receive", 2, |t| t.receive("bob", &octets));
    t.check(
        0,
        "status",
        Verdict::Pass,
        &["DM-DRV-02"],
        "one of 200, 202",
        "202 Accepted",
        Some(answer),
        None,
    );
    t.check(
        2,
        "body",
        Verdict::Fail,
        &["DM-STORE-03", "DM-DRV-05"],
        "the 122 octets that alice sent",
        "60 octets; the first difference is at octet 4",
        Some(got),
        Some(sent),
    );
    let start = octets.len() - changed.len();
    t.mark_range(start + 4, octets.len());
    t.done()
}

fn accepted_with_200() -> CaseRecord {
    let mut t = Script::new("PG-02", "The sender is told that the message waits");
    t.covers = &["DM-DRV-02"];
    t.step("message", 0, |t| {
        t.send("alice", &message("alice", "Hello", b"hi"))
    });
    let octets = response("alice", "200 OK");
    let answer = t.receive("alice", &octets);
    t.check(
        0,
        "status",
        Verdict::Fail,
        &["DM-DRV-02"],
        "202",
        "200 OK",
        Some(answer),
        None,
    );
    t.mark(&octets, "200");
    t.done()
}

fn no_store(id: &'static str, title: &'static str, requirement: &'static str) -> CaseRecord {
    let mut t = Script::new(id, title);
    t.covers = match id {
        "MI-01" => &["DM-MID-01"],
        _ => &["DM-MID-02"],
    };
    t.step("message", 0, |t| {
        t.send("alice", &message("alice", "Hello", b"hi"))
    });
    t.receive("alice", &response("alice", "202 Accepted"));
    let read = t.step("stored", 1, |t| {
        t.event(EventKind::StoreRead {
            account: "sip:bob@im.example".to_owned(),
            result: StoreResult::NoAdapter,
        })
    });
    t.check(
        1,
        "message-id",
        Verdict::Inconclusive,
        &[requirement],
        "a Message-ID that no other message has",
        "the store cannot be read",
        Some(read),
        None,
    );
    t.note("the profile has no store adapter, and nothing on the wire shows a Message-ID");
    t.reason("the profile has no store adapter, and nothing on the wire shows a Message-ID");
    t.done()
}

fn zero_expires() -> CaseRecord {
    let mut t = Script::new("EX-03", "Expires: 0 is kept as it is");
    t.covers = &["DM-EXP-10"];
    t.step("message", 0, |t| {
        t.send("alice", &message("alice", "Now or never", b"hi"))
    });
    t.receive("alice", &response("alice", "202 Accepted"));
    t.event(EventKind::Reading {
        defect: "WD-25".to_owned(),
        reading: "the mark counts from reception".to_owned(),
    });
    let read = t.step("stored", 1, Script::read_store);
    t.check(
        1,
        "mark",
        Verdict::Fail,
        &["DM-EXP-10"],
        "0 s",
        "3600 s",
        Some(read),
        None,
    );
    t.done()
}

fn default_not_as_declared() -> CaseRecord {
    let mut t = Script::new(
        "EX-11",
        "A MESSAGE without Expires gets the declared default",
    );
    t.covers = &["DM-EXP-11"];
    t.step("message", 0, |t| {
        t.send("alice", &message("alice", "Some day", b"hi"))
    });
    t.receive("alice", &response("alice", "202 Accepted"));
    let read = t.step("stored", 1, Script::read_store);
    t.check(
        1,
        "mark",
        Verdict::Fail,
        &["DM-EXP-11"],
        "600 s, as the profile declares (expire.default.pm)",
        "3600 s",
        Some(read),
        None,
    );
    t.note("Any default is legal. Correct the profile, or the server's configuration.");
    t.done()
}

fn session_mode() -> CaseRecord {
    let mut t = Script::new("EX-20", "Expires of a SEND is kept");
    t.covers = &["DM-EXP-20"];
    let mut case = t.done();
    case.verdict = Verdict::NotApplicable;
    case.reason =
        Some("the profile declares mode.session: false, the scenario needs true".to_owned());
    case.trace = Trace::default();
    case.duration_us = 0;
    case
}

fn no_indication() -> CaseRecord {
    let mut t = Script::new("PO-03", "An expired message says that it has expired");
    t.covers = &["DM-IND-01", "DM-POL-01"];
    t.step("message", 0, |t| {
        t.send("alice", &message("alice", "Late", b"hi"))
    });
    let octets = delivered("Subject: Late\r\n", "text/plain", b"hi");
    let got = t.step("receive", 3, |t| t.receive("bob", &octets));
    t.check(
        3,
        "indication",
        Verdict::Fail,
        &["DM-IND-01"],
        "an indication that the message has expired",
        "none that is known",
        Some(got),
        None,
    );
    let got = t.step("receive", 4, |t| {
        t.receive("bob", b"OPTIONS sip:bob@127.0.0.1 SIP/2.0\r\n\r\n")
    });
    t.event(EventKind::Unclaimed { event: got });
    t.done()
}

fn server_died() -> CaseRecord {
    let mut t = Script::new("DU-02", "A deferred message survives kill -9");
    t.covers = &["DM-DRV-04"];
    t.step("message", 0, |t| {
        t.send("alice", &message("alice", "Hello", b"hi"))
    });
    t.receive("alice", &response("alice", "202 Accepted"));
    t.event(EventKind::Process {
        action: "kill".to_owned(),
    });
    let start = t.event(EventKind::Process {
        action: "start".to_owned(),
    });
    let why = "the server did not come back within 10 s after `start`: nothing answers OPTIONS at 127.0.0.1:5060";
    t.event(EventKind::StepEnded {
        outcome: Outcome::Broken {
            why: why.to_owned(),
        },
    });
    t.check(
        1,
        "restart",
        Verdict::Error,
        &["DM-DRV-04"],
        "the server answers again",
        "nothing answers",
        Some(start),
        None,
    );
    t.note("look into the log of the server: runs/latest/server.log");
    t.reason(why);
    t.done()
}

// ---- building --------------------------------------------------------------------------------------

/// One case in the making.
struct Script {
    id: &'static str,
    title: &'static str,
    covers: &'static [&'static str],
    matrix: Vec<(String, serde_json::Value)>,
    transport: &'static str,
    checks: Vec<Check>,
    events: Vec<Event>,
    reason: Option<String>,
    earlier: Option<Earlier>,
    step: Option<String>,
    now_us: u64,
    store: UtcTime,
}

impl Script {
    fn new(id: &'static str, title: &'static str) -> Self {
        Self {
            id,
            title,
            covers: &[],
            matrix: Vec::new(),
            transport: "udp",
            checks: Vec::new(),
            events: Vec::new(),
            reason: None,
            earlier: None,
            step: None,
            now_us: 0,
            store: START,
        }
    }

    fn event(&mut self, kind: EventKind) -> u32 {
        let id = u32::try_from(self.events.len()).unwrap_or(u32::MAX);
        self.now_us += 1_250;
        self.store = self.store.plus_us(1_250);
        self.events.push(Event {
            id,
            at_us: self.now_us,
            store: Some(StoreTime {
                at: self.store,
                uncertainty_ms: 5,
            }),
            step: self.step.clone(),
            kind,
        });
        id
    }

    fn step(&mut self, verb: &str, index: usize, act: impl FnOnce(&mut Self) -> u32) -> u32 {
        self.step = Some(format!("steps[{index}]"));
        self.event(EventKind::StepStarted {
            verb: verb.to_owned(),
        });
        let id = act(self);
        self.event(EventKind::StepEnded {
            outcome: Outcome::Done,
        });
        id
    }

    fn packet(&self, user: &str, octets: Octets) -> Packet {
        Packet {
            user: user.to_owned(),
            device: "main".to_owned(),
            protocol: Protocol::Sip,
            transport: self.transport.to_owned(),
            local: format!(
                "127.0.0.1:{}",
                if user == "alice" { 40_001 } else { 40_002 }
            ),
            remote: SERVER.to_owned(),
            octets,
            elided: None,
            retransmission: false,
        }
    }

    fn send(&mut self, user: &str, octets: &[u8]) -> u32 {
        let packet = self.packet(user, Octets::from(octets.to_vec()));
        self.event(EventKind::Sent(packet))
    }

    fn retransmit(&mut self, user: &str, earlier: u32) {
        let Some(EventKind::Sent(packet)) =
            self.events.get(earlier as usize).map(|e| e.kind.clone())
        else {
            return;
        };
        let packet = Packet {
            retransmission: true,
            ..self.packet(user, packet.octets)
        };
        self.event(EventKind::Sent(packet));
    }

    fn receive(&mut self, user: &str, octets: &[u8]) -> u32 {
        let packet = self.packet(user, Octets::from(octets.to_vec()));
        self.event(EventKind::Received(packet))
    }

    fn read_store(&mut self) -> u32 {
        let record = StoredMessage {
            account: Field::Known("sip:bob@im.example".to_owned()),
            message_id: Field::Absent,
            headers: vec![StoredHeader {
                name: "Subject".to_owned(),
                value: Octets::from("Hello".to_owned()),
            }],
            body: Field::Known(Octets::from("hi".to_owned())),
            stored_at: Field::Known(self.store),
            expire: Field::Known(Expire {
                seconds: Some(3_600),
                at: None,
            }),
            state: Field::Known(State::Waiting),
            ..StoredMessage::default()
        };
        self.event(EventKind::StoreRead {
            account: "sip:bob@im.example".to_owned(),
            result: StoreResult::Records(vec![record]),
        })
    }

    fn advance(&mut self, us: i64) {
        self.store = self.store.plus_us(us);
    }

    fn place(&self, line: u32) -> Location {
        let group = self.id.split('-').next().unwrap_or_default().to_lowercase();
        Location {
            file: format!("scenarios/suite/{group}/{}.yaml", self.id),
            line,
            column: 9,
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "a table of checks reads best with one line each"
    )]
    fn check(
        &mut self,
        step: u32,
        subject: &str,
        verdict: Verdict,
        requirements: &[&str],
        expected: &str,
        observed: &str,
        event: Option<u32>,
        against: Option<u32>,
    ) {
        self.checks.push(Check {
            step: format!("steps[{step}]"),
            source: self.place(14 + 6 * step),
            subject: subject.to_owned(),
            verdict,
            requirements: requirements.iter().map(|&id| id.to_owned()).collect(),
            expected: expected.to_owned(),
            observed: observed.to_owned(),
            observation: match subject {
                "mark" | "message-id" => Observation::Store,
                "restart" => Observation::Harness,
                _ => Observation::Wire,
            },
            evidence: event.map(|event| Evidence {
                event,
                range: None,
                against,
            }),
            note: None,
        });
    }

    /// Marks the place of the last check.
    fn mark(&mut self, octets: &[u8], needle: &str) {
        let start = octets
            .windows(needle.len())
            .position(|w| w == needle.as_bytes())
            .unwrap_or(0);
        self.mark_range(start, start + needle.len());
    }

    fn mark_range(&mut self, start: usize, end: usize) {
        let at = |n| u32::try_from(n).unwrap_or(u32::MAX);
        if let Some(evidence) = self
            .checks
            .last_mut()
            .and_then(|check| check.evidence.as_mut())
        {
            evidence.range = Some((at(start), at(end)));
        }
    }

    fn note(&mut self, text: &str) {
        if let Some(check) = self.checks.last_mut() {
            check.note = Some(text.to_owned());
        }
    }

    fn reason(&mut self, text: &str) {
        self.reason = Some(text.to_owned());
    }

    fn done(self) -> CaseRecord {
        let verdict = self
            .checks
            .iter()
            .map(|check| check.verdict)
            .max()
            .unwrap_or_default();
        let suffix: Vec<_> = self
            .matrix
            .iter()
            .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
            .collect();
        let suffix = if suffix.is_empty() {
            String::new()
        } else {
            format!("[{}]", suffix.join(","))
        };
        let first = self
            .checks
            .iter()
            .find(|check| check.verdict == verdict && verdict != Verdict::Pass);
        CaseRecord {
            earlier: self.earlier.clone(),
            id: format!("{}{suffix}", self.id),
            scenario: self.id.to_owned(),
            title: self.title.to_owned(),
            purpose: format!(
                "Shows that this holds at any server: {}.",
                self.title.to_lowercase()
            ),
            covers: self.covers.iter().map(|&id| id.to_owned()).collect(),
            source: self.place(1),
            text: "5a1c0e6b27d94f38".to_owned(),
            matrix: self.matrix,
            verdict,
            reason: self
                .reason
                .or_else(|| first.map(|check| format!("{}: {}", check.subject, check.observed))),
            duration_us: self.now_us,
            trace: Trace {
                users: BTreeMap::from([
                    ("alice".to_owned(), "sip:alice@im.example".to_owned()),
                    ("bob".to_owned(), "sip:bob@im.example".to_owned()),
                ]),
                events: self.events,
            },
            checks: self.checks,
        }
    }
}

fn message(from: &str, subject: &str, body: &[u8]) -> Vec<u8> {
    with_type(from, subject, "text/plain;charset=UTF-8", body)
}

fn with_type(from: &str, subject: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let mut octets = format!(
        "MESSAGE sip:bob@im.example SIP/2.0\r\n\
         Via: SIP/2.0/UDP 127.0.0.1:40001;branch=z9hG4bK-5f1e0a;rport\r\n\
         Max-Forwards: 70\r\n\
         From: \"Alice\" <sip:{from}@im.example>;tag=a81f\r\n\
         To: <sip:bob@im.example>\r\n\
         Call-ID: 5f1e0a-77@127.0.0.1\r\n\
         CSeq: 1 MESSAGE\r\n\
         Subject: {subject}\r\n\
         Expires: 7200\r\n\
         X-Vendor: one\r\n\
         X-Vendor: two\r\n\
         Content-Type: {content_type}\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    octets.extend_from_slice(body);
    octets
}

fn delivered(subject: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let mut octets = format!(
        "MESSAGE sip:bob@127.0.0.1:40002 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK-31c\r\n\
         Max-Forwards: 70\r\n\
         From: \"Alice\" <sip:alice@im.example>;tag=as7\r\n\
         To: <sip:bob@im.example>\r\n\
         Call-ID: 9b1d@im.example\r\n\
         CSeq: 10 MESSAGE\r\n\
         {subject}X-Vendor: one\r\n\
         X-Vendor: two\r\n\
         Content-Type: {content_type}\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    octets.extend_from_slice(body);
    octets
}

fn response(to: &str, status: &str) -> Vec<u8> {
    format!(
        "SIP/2.0 {status}\r\n\
         Via: SIP/2.0/UDP 127.0.0.1:40001;branch=z9hG4bK-5f1e0a;rport=40001\r\n\
         From: <sip:{to}@im.example>;tag=a81f\r\n\
         To: <sip:bob@im.example>;tag=srv-1\r\n\
         Call-ID: 5f1e0a-77@127.0.0.1\r\n\
         CSeq: 1 MESSAGE\r\n\
         Content-Length: 0\r\n\r\n"
    )
    .into_bytes()
}
