//! Looks at every message that the SUT sent, whether a scenario asks for it or not, and finds the rules of
//! SIP, SDP and MSRP that it breaks.
//!
//! A server that passes on what a tester wrote wrongly is not to blame: a rule that a message of the
//! harness broke in the same case is not held against the SUT there. What stands in the body of a stored
//! message is its sender's, and is not looked at.

use std::collections::HashSet;

use imspec_reports::record::trace::{Packet, Protocol};
use imspec_reports::record::{
    CaseRecord, EventKind, ProtocolFinding, ProtocolPlace, ProtocolWeight, Trace,
};
use imspec_wire::msrp::{Frame, Limits};
use imspec_wire::sip::typed::{CSeq, MediaType};
use imspec_wire::sip::{Defect, Message, Obligation};
use imspec_wire::{msrp, sdp};

use crate::evidence::frame_of;

/// Where values of SIP have their grammar.
const GRAMMAR: &str = "RFC 3261 §25.1";
/// Places that one finding lists; beyond, a number tells as much.
const PLACES: usize = 32;

/// A broken rule in one message.
struct Broken {
    weight: ProtocolWeight,
    clause: &'static str,
    expected: String,
    range: (u32, u32),
}

/// The rules that messages of the SUT break, errors first, in the order of the cases.
pub(super) fn find(cases: &[CaseRecord]) -> Vec<ProtocolFinding> {
    let mut findings: Vec<ProtocolFinding> = Vec::new();
    for case in cases {
        let own = OwnFaults::of(&case.trace);
        for event in &case.trace.events {
            let EventKind::Received(packet) = &event.kind else {
                continue;
            };
            if packet.retransmission {
                continue;
            }
            let (message, broken) = match packet.protocol {
                Protocol::Sip => in_sip(packet, &own),
                Protocol::Msrp => match frame_of(event) {
                    Some(frame) => (frame_name(&frame.head), in_frame(packet, &frame.head)),
                    // It was cut by the end of a connection, or a step broke it off.
                    None => continue,
                },
            };
            for broken in broken {
                if own.has(&broken, packet) {
                    continue;
                }
                let place = ProtocolPlace {
                    case: case.id.clone(),
                    event: event.id,
                    range: broken.range,
                };
                add(&mut findings, broken, &message, place);
            }
        }
    }
    findings.sort_by_key(|finding| finding.weight);
    findings
}

fn add(findings: &mut Vec<ProtocolFinding>, broken: Broken, message: &str, place: ProtocolPlace) {
    let known = findings.iter_mut().find(|known| {
        known.clause == broken.clause
            && known.expected == broken.expected
            && known.message == message
    });
    match known {
        Some(known) => {
            known.count += 1;
            let listed = known
                .places
                .last()
                .is_some_and(|last| last.case == place.case);
            if !listed && known.places.len() < PLACES {
                known.places.push(place);
            }
        }
        None => findings.push(ProtocolFinding {
            weight: broken.weight,
            clause: broken.clause.to_owned(),
            expected: broken.expected,
            message: message.to_owned(),
            count: 1,
            places: vec![place],
            waiver: None,
        }),
    }
}

/// What the harness itself wrote wrongly in a case.
struct OwnFaults {
    rules: HashSet<(&'static str, String)>,
    /// The values of its header fields: one may go from a SEND to a MESSAGE, where another grammar holds.
    values: HashSet<Vec<u8>>,
    /// It sent octets that are no message at all: what an answer mirrors of them is anybody's guess.
    unreadable: bool,
}

impl OwnFaults {
    fn of(trace: &Trace) -> Self {
        let mut own = Self {
            rules: HashSet::new(),
            values: HashSet::new(),
            unreadable: false,
        };
        for event in &trace.events {
            let EventKind::Sent(packet) = &event.kind else {
                continue;
            };
            let broken = match packet.protocol {
                Protocol::Sip => match Message::parse(packet.octets.0.clone()) {
                    Ok(message) => in_message(packet, &message),
                    Err(_) => {
                        own.unreadable = true;
                        continue;
                    }
                },
                Protocol::Msrp => match frame_of(event) {
                    Some(frame) => in_frame(packet, &frame.head),
                    None => continue,
                },
            };
            let rules = broken.into_iter();
            own.rules
                .extend(rules.map(|broken| (broken.clause, broken.expected)));
            let head = packet.octets.split(|octet| *octet == b'\n');
            let head = head.take_while(|line| !line.trim_ascii().is_empty());
            own.values.extend(head.map(|line| value_of(line).to_vec()));
        }
        own
    }

    fn has(&self, broken: &Broken, packet: &Packet) -> bool {
        let same_rule = |(clause, expected): &(&str, String)| {
            *clause == broken.clause && *expected == broken.expected
        };
        let same_value = || {
            let value = broken.value(packet).unwrap_or_default();
            broken.clause == GRAMMAR && self.values.contains(value)
        };
        self.rules.iter().any(same_rule) || same_value()
    }
}

impl Broken {
    /// The value of the field in which the rule is broken.
    fn value<'p>(&self, packet: &'p Packet) -> Option<&'p [u8]> {
        let (before, after) = packet.octets.split_at_checked(self.range.0 as usize)?;
        let begins = before
            .iter()
            .rposition(|octet| *octet == b'\n')
            .map_or(0, |at| at + 1);
        let rest = after
            .iter()
            .position(|octet| *octet == b'\n')
            .unwrap_or(after.len());
        packet.octets.get(begins..before.len() + rest).map(value_of)
    }
}

/// What follows the name in the line of a header field, without white space around it.
fn value_of(line: &[u8]) -> &[u8] {
    let colon = line.iter().position(|octet| *octet == b':');
    line[colon.map_or(0, |at| at + 1)..].trim_ascii()
}

fn in_sip(packet: &Packet, own: &OwnFaults) -> (String, Vec<Broken>) {
    if keeps_alive(&packet.octets.0) {
        return (String::new(), Vec::new());
    }
    match Message::parse(packet.octets.0.clone()) {
        Ok(message) if own.unreadable && !message.is_request() => (String::new(), Vec::new()),
        Ok(message) => (message_name(&message), in_message(packet, &message)),
        Err(error) => {
            let place = offset(error.offset);
            let broken = Broken {
                weight: ProtocolWeight::Error,
                clause: "RFC 3261 §7",
                expected: error.expected.to_owned(),
                range: (place, place),
            };
            ("octets that are no SIP message".to_owned(), vec![broken])
        }
    }
}

/// Whether the octets only keep the way through an address translator open: an empty datagram, or
/// some NULs or line ends. Registrars send such to the contacts that they know; no rule of RFC 3261
/// speaks of datagrams that are no messages, and RFC 3261 §7.5 has them skipped in a stream.
fn keeps_alive(octets: &[u8]) -> bool {
    octets.len() <= 4
        && octets
            .iter()
            .all(|octet| matches!(octet, 0 | b'\r' | b'\n'))
}

fn in_message(packet: &Packet, message: &Message) -> Vec<Broken> {
    let mut defects = message.defects();
    let body = message.body_range();
    if packet.elided.is_some() {
        // The body in the trace is not the body that was sent.
        defects
            .retain(|defect| defect.range.end <= body.start && defect.clause != "RFC 3261 §18.3");
    } else if describes_a_session(message)
        && let Ok(description) = sdp::Description::parse(message.body_bytes())
    {
        defects.extend(description.defects().into_iter().map(|defect| Defect {
            range: defect.range.start + body.start..defect.range.end + body.start,
            ..defect
        }));
    }
    let mut broken: Vec<_> = defects.into_iter().map(Broken::from).collect();
    broken.extend(without_length(packet, message));
    broken
}

/// In a stream of octets nothing but Content-Length tells where a message ends; a frame of a WebSocket is one
/// message (RFC 7118 §5).
fn without_length(packet: &Packet, message: &Message) -> Option<Broken> {
    let streams = ["tcp", "tls"].contains(&packet.transport.as_str());
    let end = offset(message.body_range().start);
    (streams && message.header("Content-Length").is_none()).then(|| Broken {
        weight: ProtocolWeight::Error,
        clause: "RFC 3261 §18.3",
        expected: "a Content-Length, where the transport is a stream".to_owned(),
        range: (end, end),
    })
}

fn describes_a_session(message: &Message) -> bool {
    message
        .typed::<MediaType>()
        .is_some_and(|media| media.is_ok_and(|media| media.is("application/sdp")))
}

fn in_frame(packet: &Packet, head: &msrp::Head) -> Vec<Broken> {
    let length = packet.octets.len();
    let limits = Limits {
        line: length,
        headers: length,
        head: length,
        ..Limits::default()
    };
    let whole = (packet.elided.is_none())
        .then(|| Frame::parse(packet.octets.0.clone(), &limits).ok())
        .flatten();
    // A frame that was broken off has a head all the same.
    let defects = whole.map_or_else(|| head.defects(), |frame| frame.defects());
    defects.into_iter().map(Broken::from).collect()
}

impl From<Defect> for Broken {
    fn from(defect: Defect) -> Self {
        Self {
            weight: match defect.obligation {
                Obligation::Must => ProtocolWeight::Error,
                Obligation::Should => ProtocolWeight::Warning,
            },
            clause: defect.clause,
            expected: defect.expected.to_owned(),
            range: (offset(defect.range.start), offset(defect.range.end)),
        }
    }
}

fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

fn message_name(message: &Message) -> String {
    match (message.method(), message.status()) {
        (Some(method), _) => method.to_owned(),
        (None, Some(status)) => match message.typed::<CSeq>() {
            Some(Ok(cseq)) => format!("{status} to {}", cseq.method),
            _ => status.to_string(),
        },
        (None, None) => String::new(),
    }
}

fn frame_name(head: &msrp::Head) -> String {
    match (head.method(), head.status()) {
        (Some(method), _) => format!("MSRP {}", method.as_str()),
        (None, Some(status)) => format!("MSRP {status}"),
        (None, None) => "MSRP".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use imspec_reports::record::{Event, Location, Octets, Verdict};

    use super::*;

    const REQUEST: &str = "MESSAGE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP c;branch=z9hG4bK1\r\n\
        Max-Forwards: 70\r\nTo: <sip:b@h>\r\nFrom: <sip:a@h>;tag=1\r\nCall-ID: 1\r\n\
        CSeq: 1 MESSAGE\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi";
    const RESPONSE: &str = "SIP/2.0 202 Accepted\r\nVia: SIP/2.0/UDP c;branch=z9hG4bK1\r\n\
        To: <sip:b@h>;tag=2\r\nFrom: <sip:a@h>;tag=1\r\nCall-ID: 1\r\nCSeq: 1 MESSAGE\r\n\
        Content-Length: 0\r\n\r\n";

    fn packet(octets: &str, protocol: Protocol) -> Packet {
        Packet {
            user: "alice".into(),
            device: "main".into(),
            protocol,
            transport: "udp".into(),
            local: "127.0.0.1:1".into(),
            remote: "127.0.0.1:2".into(),
            octets: Octets::from(octets.to_owned()),
            elided: None,
            retransmission: false,
        }
    }

    fn case(id: &str, kinds: Vec<EventKind>) -> CaseRecord {
        let events = kinds.into_iter().zip(0..).map(|(kind, id)| Event {
            id,
            at_us: 0,
            store: None,
            step: None,
            kind,
        });
        CaseRecord {
            earlier: None,
            id: id.into(),
            scenario: "PG-01".into(),
            title: String::new(),
            purpose: String::new(),
            covers: Vec::new(),
            source: Location {
                file: "f".into(),
                line: 1,
                column: 1,
            },
            text: String::new(),
            matrix: Vec::new(),
            verdict: Verdict::Pass,
            reason: None,
            checks: Vec::new(),
            trace: Trace {
                events: events.collect(),
                ..Trace::default()
            },
            duration_us: 0,
        }
    }

    fn sent(octets: &str) -> EventKind {
        EventKind::Sent(packet(octets, Protocol::Sip))
    }

    fn received(octets: &str) -> EventKind {
        EventKind::Received(packet(octets, Protocol::Sip))
    }

    #[test]
    fn what_the_sut_writes_right_is_no_finding() {
        let case = case("PG-01", vec![sent(REQUEST), received(RESPONSE)]);
        assert_eq!(find(&[case]), []);
    }

    #[test]
    fn one_rule_in_one_kind_of_message_is_one_finding_with_its_places() {
        let broken = RESPONSE.replace(";tag=2", "");
        let cases = [
            case(
                "PG-01",
                vec![sent(REQUEST), received(&broken), received(&broken)],
            ),
            case("PG-02", vec![sent(REQUEST), received(&broken)]),
        ];
        let found = find(&cases);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].weight, ProtocolWeight::Error);
        assert_eq!(found[0].message, "202 to MESSAGE");
        assert_eq!(found[0].clause, "RFC 3261 §8.2.6.2");
        assert_eq!(found[0].count, 3);
        let places: Vec<_> = found[0]
            .places
            .iter()
            .map(|p| (&*p.case, p.event))
            .collect();
        assert_eq!(places, [("PG-01", 1), ("PG-02", 1)]);
        let (start, end) = found[0].places[0].range;
        assert_eq!(&broken[start as usize..end as usize], " <sip:b@h>");
    }

    #[test]
    fn what_the_harness_wrote_wrongly_is_not_held_against_who_passes_it_on() {
        let odd = REQUEST.replace("Max-Forwards: 70\r\n", "");
        let forwarded = odd.replace("z9hG4bK1", "z9hG4bK2");
        let passed_on = case("PG-01", vec![sent(&odd), received(&forwarded)]);
        assert_eq!(find(&[passed_on]), []);
        let own = case("PG-01", vec![sent(REQUEST), received(&forwarded)]);
        assert_eq!(find(&[own]).len(), 1);
    }

    #[test]
    fn a_value_may_go_from_one_protocol_to_another() {
        for value in ["+60", "0x10", "5.5", "18446744073709551617"] {
            let frame = format!(
                "MSRP a786hjs2 SEND\r\nTo-Path: msrp://b:1/k;tcp\r\n\
                From-Path: msrp://a:2/j;tcp\r\nMessage-ID: 8765\r\nByte-Range: 1-2/2\r\n\
                Expires: {value}\r\nContent-Type: text/plain\r\n\r\nhi\r\n-------a786hjs2$\r\n"
            );
            let chunk = EventKind::Sent(packet(&frame, Protocol::Msrp));
            let field = format!("Expires: {value}\r\nContent-Type");
            let delivery = REQUEST.replace("Content-Type", &field);
            assert_eq!(
                find(&[case("EX-35", vec![chunk, received(&delivery)])]),
                [],
                "{value}"
            );
            assert_eq!(
                find(&[case("EX-35", vec![received(&delivery)])]).len(),
                1,
                "{value}"
            );
        }
    }

    #[test]
    fn in_a_stream_a_message_says_its_length_even_if_it_has_no_body() {
        let bare = RESPONSE.replace("Content-Length: 0\r\n", "");
        for (transport, clauses) in [("udp", 0), ("ws", 0), ("tcp", 1), ("tls", 1)] {
            let mut packet = packet(&bare, Protocol::Sip);
            packet.transport = transport.into();
            let found = find(&[case("PG-01", vec![EventKind::Received(packet)])]);
            assert_eq!(found.len(), clauses, "{transport}: {found:?}");
            assert!(found.iter().all(|it| it.clause == "RFC 3261 §18.3"));
        }
    }

    #[test]
    fn retransmissions_count_once_and_answers_to_no_message_not_at_all() {
        let broken = RESPONSE.replace(";tag=2", "");
        let mut again = packet(&broken, Protocol::Sip);
        again.retransmission = true;
        let once = case("PG-01", vec![received(&broken), EventKind::Received(again)]);
        assert_eq!(find(&[once])[0].count, 1);
        let garbage = case("PG-01", vec![sent("garbage\r\n\r\n"), received(&broken)]);
        assert_eq!(find(&[garbage]), []);
    }

    #[test]
    fn octets_that_are_no_message_are_a_finding() {
        let found = find(&[case("PG-01", vec![received("SIP/2.0 OK\r\n\r\n")])]);
        assert_eq!(found[0].message, "octets that are no SIP message");
    }

    #[test]
    fn datagrams_that_only_keep_a_way_open_are_none() {
        for octets in ["", "\0\0\0\0", "\r\n\r\n", "\0"] {
            assert_eq!(find(&[case("PG-01", vec![received(octets)])]), []);
        }
        for octets in ["\0\0\0\0\0", "x", "\r\n\r\n\r\n"] {
            assert_eq!(find(&[case("PG-01", vec![received(octets)])]).len(), 1);
        }
    }

    #[test]
    fn frames_are_looked_at_and_a_missing_byte_range_is_a_warning() {
        let frame = "MSRP a786hjs2 SEND\r\nTo-Path: msrp://b:1/k;tcp\r\n\
            From-Path: msrp://a:2/j;tcp\r\nMessage-ID: 8765\r\nContent-Type: text/plain\r\n\r\n\
            hi\r\n-------a786hjs2$\r\n";
        let received = EventKind::Received(packet(frame, Protocol::Msrp));
        let found = find(&[case("MS-01", vec![received])]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].weight, ProtocolWeight::Warning);
        assert_eq!(found[0].message, "MSRP SEND");
    }
}
