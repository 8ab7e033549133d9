//! What went over the wire, as a capture (pcapng) for Wireshark and its kin: real addresses and times, both
//! directions, SIP and MSRP.
//!
//! The record holds messages, not packets, so what carries them is made anew: headers of IP, UDP and TCP with
//! right checksums, and for each connection a handshake and sequence numbers. What went under TLS or over
//! WebSocket is here in the clear, as an exported PDU that names its protocol, for the octets of the
//! encryption are nobody's evidence. Comments name case, step and the checks that did not hold.

mod packet;

use std::collections::HashMap;
use std::net::SocketAddr;

use packet::Stream;

use crate::event;
use crate::record::trace::{ConnectionChange, Packet};
use crate::record::{CaseRecord, Event, EventKind, Protocol, RunRecord, Verdict};

/// Octets left out of the record are zeros here, up to so many: an agent takes no longer message.
const LONGEST_GAP: u64 = 16 << 20;

/// Raw IP, version 4 or 6.
const RAW: u16 = 101;
/// A protocol data unit with the name of its dissector.
const UPPER_PDU: u16 = 252;

/// A capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capture {
    /// The file.
    pub octets: Vec<u8>,
    /// How many messages are in it.
    pub messages: usize,
}

/// The capture of a run, or of one case of it.
pub fn render(record: &RunRecord, one: Option<&CaseRecord>) -> Capture {
    let cases: Vec<&CaseRecord> = match one {
        Some(case) => vec![case],
        None => record.cases.iter().collect(),
    };
    let mut events: Vec<(&CaseRecord, &Event)> = cases
        .iter()
        .flat_map(|case| case.trace.events.iter().map(move |event| (*case, event)))
        .filter(|(_, event)| {
            event::packet(event).is_some() || matches!(event.kind, EventKind::Connection { .. })
        })
        .collect();
    // Stable: what one case saw at one time keeps its order.
    events.sort_by_key(|(_, event)| event.at_us);
    let mut writer = Writer::new(record);
    for (case, event) in events {
        writer.event(case, event);
    }
    Capture {
        octets: writer.out,
        messages: writer.messages,
    }
}

struct Writer {
    out: Vec<u8>,
    started_us: i64,
    streams: HashMap<(SocketAddr, SocketAddr), Stream>,
    messages: usize,
    datagrams: u16,
}

impl Writer {
    fn new(record: &RunRecord) -> Self {
        let mut writer = Self {
            out: Vec::new(),
            started_us: record.started.unix_us,
            streams: HashMap::new(),
            messages: 0,
            datagrams: 0,
        };
        let comment = format!(
            "{} ({}), tested by imspec {}; packets are made anew from the messages of the record",
            record.profile.sut, record.profile.name, record.tool
        );
        let application = format!("imspec {}", record.tool);
        let mut body = Vec::new();
        body.extend(0x1a2b_3c4d_u32.to_le_bytes());
        body.extend(1_u16.to_le_bytes());
        body.extend(0_u16.to_le_bytes());
        body.extend((-1_i64).to_le_bytes());
        option(&mut body, 1, comment.as_bytes());
        option(&mut body, 4, application.as_bytes());
        end_of_options(&mut body);
        writer.block(0x0a0d_0d0a, &body);
        for (link, name) in [
            (RAW, "udp and tcp"),
            (UPPER_PDU, "tls and websocket, in the clear"),
        ] {
            let mut body = Vec::new();
            body.extend(link.to_le_bytes());
            body.extend(0_u16.to_le_bytes());
            body.extend(0_u32.to_le_bytes());
            option(&mut body, 2, name.as_bytes());
            // Microseconds, which is the default, said all the same.
            option(&mut body, 9, &[6]);
            end_of_options(&mut body);
            writer.block(1, &body);
        }
        writer
    }

    fn event(&mut self, case: &CaseRecord, event: &Event) {
        match &event.kind {
            EventKind::Sent(packet) => self.message(case, event, packet, true),
            EventKind::Received(packet) => self.message(case, event, packet, false),
            EventKind::Connection {
                local,
                remote,
                change,
                ..
            } => {
                let (Some(local), Some(remote)) = (address(local), address(remote)) else {
                    return;
                };
                let by_local = matches!(change, ConnectionChange::Closed | ConnectionChange::Reset);
                let reset = matches!(change, ConnectionChange::Reset);
                if matches!(
                    change,
                    ConnectionChange::Closed | ConnectionChange::Reset | ConnectionChange::Ended
                ) && let Some(stream) = self.streams.remove(&(local, remote))
                {
                    for segment in stream.end(by_local, reset) {
                        self.packet(RAW, event.at_us, &segment, None);
                    }
                }
            }
            _ => {}
        }
    }

    fn message(&mut self, case: &CaseRecord, event: &Event, packet: &Packet, sent: bool) {
        let octets = whole(packet);
        if octets.is_empty() && packet.transport != "udp" {
            // A stream has no place for nothing.
            return;
        }
        self.messages += 1;
        let comment = comment(case, event, packet);
        let (local, remote) = (address(&packet.local), address(&packet.remote));
        match (packet.transport.as_str(), local, remote) {
            ("udp", Some(local), Some(remote)) if local.is_ipv4() == remote.is_ipv4() => {
                let (from, to) = if sent {
                    (local, remote)
                } else {
                    (remote, local)
                };
                self.datagrams = self.datagrams.wrapping_add(1);
                if let Some(datagram) = packet::datagram(from, to, self.datagrams, &octets) {
                    self.packet(RAW, event.at_us, &datagram, Some(&comment));
                    return;
                }
                self.exported(event, packet, sent, &octets, &comment);
            }
            ("tcp", Some(local), Some(remote)) if local.is_ipv4() == remote.is_ipv4() => {
                let opened = !self.streams.contains_key(&(local, remote));
                let stream = self
                    .streams
                    .entry((local, remote))
                    .or_insert_with(|| Stream::new(local, remote));
                let mut segments = Vec::new();
                if opened {
                    segments.extend(stream.handshake(sent).map(|it| (it, false)));
                }
                let data = stream.data(sent, &octets);
                let last = data.len().saturating_sub(1);
                let data = data.into_iter().enumerate();
                segments.extend(data.map(|(n, segment)| (segment, n == last)));
                for (segment, told) in segments {
                    self.packet(RAW, event.at_us, &segment, told.then_some(&*comment));
                }
            }
            _ => self.exported(event, packet, sent, &octets, &comment),
        }
    }

    /// Without the packets below: the dissector, the addresses, the message.
    fn exported(
        &mut self,
        event: &Event,
        packet: &Packet,
        sent: bool,
        octets: &[u8],
        comment: &str,
    ) {
        let (from, to) = if sent {
            (&packet.local, &packet.remote)
        } else {
            (&packet.remote, &packet.local)
        };
        let name: &[u8] = match packet.protocol {
            Protocol::Sip => b"sip",
            Protocol::Msrp => b"msrp",
        };
        let mut pdu = Vec::new();
        let mut tag = |number: u16, value: &[u8]| {
            let length = u16::try_from(value.len().next_multiple_of(4)).unwrap_or(u16::MAX);
            pdu.extend(number.to_be_bytes());
            pdu.extend(length.to_be_bytes());
            pdu.extend(value);
            pdu.resize(pdu.len().next_multiple_of(4), 0);
        };
        tag(12, name);
        for (address, v4, v6, port) in [(address(from), 20, 22, 25), (address(to), 21, 23, 26)] {
            match address {
                Some(SocketAddr::V4(it)) => tag(v4, &it.ip().octets()),
                Some(SocketAddr::V6(it)) => tag(v6, &it.ip().octets()),
                None => continue,
            }
            let number = address.map_or(0, |it| it.port());
            tag(port, &u32::from(number).to_be_bytes());
        }
        // The kind of the ports: TCP, or UDP for a datagram that fits into none.
        let kind: u32 = if packet.transport == "udp" { 3 } else { 2 };
        tag(24, &kind.to_be_bytes());
        tag(0, &[]);
        pdu.extend(octets);
        self.packet(UPPER_PDU, event.at_us, &pdu, Some(comment));
    }

    fn packet(&mut self, link: u16, at_us: u64, octets: &[u8], comment: Option<&str>) {
        let at = self.started_us.saturating_add_unsigned(at_us).to_le_bytes();
        let length = u32::try_from(octets.len()).unwrap_or(u32::MAX);
        let mut body = Vec::with_capacity(octets.len() + 64);
        body.extend(u32::from(link == UPPER_PDU).to_le_bytes());
        body.extend(&at[4..]);
        body.extend(&at[..4]);
        body.extend(length.to_le_bytes());
        body.extend(length.to_le_bytes());
        body.extend(octets);
        body.resize(body.len().next_multiple_of(4), 0);
        if let Some(comment) = comment {
            option(&mut body, 1, comment.as_bytes());
            end_of_options(&mut body);
        }
        self.block(6, &body);
    }

    fn block(&mut self, kind: u32, body: &[u8]) {
        let length = u32::try_from(body.len() + 12)
            .unwrap_or(u32::MAX)
            .to_le_bytes();
        self.out.extend(kind.to_le_bytes());
        self.out.extend(length);
        self.out.extend(body);
        self.out.extend(length);
    }
}

fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    body.extend(code.to_le_bytes());
    body.extend(length.to_le_bytes());
    body.extend(&value[..usize::from(length)]);
    body.resize(body.len().next_multiple_of(4), 0);
}

fn end_of_options(body: &mut Vec<u8>) {
    body.extend([0; 4]);
}

fn address(text: &str) -> Option<SocketAddr> {
    text.parse().ok()
}

/// The octets of a message, with zeros where the record leaves some out.
fn whole(packet: &Packet) -> Vec<u8> {
    let mut octets = packet.octets.to_vec();
    if let Some(gap) = packet.elided {
        let at = usize::try_from(gap.at)
            .unwrap_or(usize::MAX)
            .min(octets.len());
        let length = usize::try_from(gap.octets.min(LONGEST_GAP)).unwrap_or(0);
        octets.splice(at..at, std::iter::repeat_n(0, length));
    }
    octets
}

/// `PG-05 steps[0]: fail: header Subject`
fn comment(case: &CaseRecord, event: &Event, packet: &Packet) -> String {
    let mut comment = case.id.clone();
    if let Some(step) = &event.step {
        comment = format!("{comment} {step}");
    }
    comment = format!("{comment}, {}", event::agent(packet));
    for check in &case.checks {
        let here = check
            .evidence
            .as_ref()
            .is_some_and(|it| it.event == event.id);
        if here && matches!(check.verdict, Verdict::Fail | Verdict::Error) {
            comment = format!(
                "{comment}; {}: {}: expected {}, observed {} ({})",
                check.verdict,
                check.subject,
                check.expected,
                check.observed,
                check.requirements.join(", ")
            );
        }
    }
    if let Some(gap) = packet.elided {
        comment = format!(
            "{comment}; {} octets of the body are not in the record, and zeros here",
            gap.octets
        );
    }
    comment.chars().take(4_000).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn blocks_follow_each_other_to_the_end() {
        let record = sample::record();
        let capture = render(&record, None);
        let mut rest = &capture.octets[..];
        let mut kinds = Vec::new();
        while let [a, b, c, d, e, f, g, h, ..] = *rest {
            let length = u32::from_le_bytes([e, f, g, h]) as usize;
            assert_eq!(length % 4, 0);
            assert_eq!(rest[length - 4..length], [e, f, g, h]);
            kinds.push(u32::from_le_bytes([a, b, c, d]));
            rest = &rest[length..];
        }
        assert!(rest.is_empty());
        assert_eq!(kinds[..3], [0x0a0d_0d0a, 1, 1]);
        assert!(kinds.len() > capture.messages);
    }

    #[test]
    fn every_message_of_a_case_is_there() {
        let record = sample::record();
        for case in &record.cases {
            let messages = case.trace.events.iter().filter_map(event::packet).count();
            assert_eq!(render(&record, Some(case)).messages, messages);
        }
    }
}
