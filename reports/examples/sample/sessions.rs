//! A made-up case of a message that goes through sessions: frames, a transfer each way, a record in parts.

use imspec_reports::record::stored::{
    BodyDigest, Field, Mode, State, StoredHeader, StoredMessage, StoredPart,
};
use imspec_reports::record::trace::{
    ConnectionChange, Direction, Elided, Packet, Protocol, StoreResult, Transfer,
};
use imspec_reports::record::{CaseRecord, EventKind, Octets, Verdict};

use super::{Script, response};

/// What the message says, as far as the record shows it.
const LENGTH: u64 = 5_242_880;
const SHA256: &str = "9e107d9d372bb6826bd81d3542a419d6e07d1f2b0c1a2f3e4d5c6b7a89900f1e";

/// A long message in two chunks: the SEND is stored without a header field, and delivered with another Subject.
pub(super) fn send_not_kept() -> CaseRecord {
    let mut t = Script::new("MS-12", "Every header field of a SEND is kept");
    t.covers = &["DM-STORE-14", "DM-STORE-18", "DM-DRV-05"];
    let invite = t.step("invite", 0, |t| {
        let sent = t.send("alice", &call("alice", "Minutes"));
        t.receive("alice", &response("alice", "200 OK"));
        sent
    });
    let send = t.step("msrp", 1, |t| {
        t.event(EventKind::Connection {
            user: "alice".to_owned(),
            local: "127.0.0.1:40101".to_owned(),
            remote: "127.0.0.1:2855".to_owned(),
            change: ConnectionChange::Opened,
        });
        let first = t.send_frame("a3f1", "1-2621440/5242880", '+', LENGTH / 2);
        let second = t.send_frame("a3f2", "2621441-5242880/5242880", '$', LENGTH / 2);
        t.receive_frame("alice", &answer("a3f1"));
        t.receive_frame("alice", &answer("a3f2"));
        t.transfer("alice", Direction::Sent, invite, vec![first, second]);
        first
    });
    let read = t.step("stored", 2, Script::read_session);
    t.check(
        2,
        "stored header Expires of the SEND",
        Verdict::Fail,
        &["DM-STORE-18"],
        "\"3600\"",
        "no such header",
        Some(read),
        Some(send),
    );
    let octets = call("bob", "Voice message");
    let brought = t.receive("bob", &octets);
    let frame = t.receive_frame("bob", b"MSRP d4e5 SEND\r\nTo-Path: msrp://127.0.0.1:40102/b;tcp\r\nFrom-Path: msrp://127.0.0.1:2855/s;tcp\r\nMessage-ID: 7hq2\r\nByte-Range: 1-4/4\r\nContent-Type: application/octet-stream\r\n\r\n\x00\x01\r\xff\r\n-------d4e5$\r\n");
    t.transfer("bob", Direction::Received, brought, vec![frame]);
    t.check(
        3,
        "header Subject",
        Verdict::Fail,
        &["DM-STORE-14", "DM-DRV-05"],
        "\"Minutes\"",
        "\"Voice message\"",
        Some(brought),
        Some(invite),
    );
    t.mark(&octets, "Subject: Voice message");
    t.done()
}

impl Script {
    fn frame(&self, user: &str, octets: Vec<u8>, elided: Option<Elided>) -> Packet {
        Packet {
            protocol: Protocol::Msrp,
            transport: "tcp".to_owned(),
            local: format!(
                "127.0.0.1:{}",
                if user == "alice" { 40_101 } else { 40_102 }
            ),
            remote: "127.0.0.1:2855".to_owned(),
            elided,
            ..self.packet(user, Octets::from(octets))
        }
    }

    fn send_frame(&mut self, id: &str, range: &str, flag: char, length: u64) -> u32 {
        let head = format!(
            "MSRP {id} SEND\r\nTo-Path: msrp://127.0.0.1:2855/s8f;tcp\r\nFrom-Path: msrp://127.0.0.1:40101/a;tcp\r\nMessage-ID: kj83\r\nByte-Range: {range}\r\nExpires: 3600\r\nContent-Type: application/octet-stream\r\n\r\n"
        );
        let at = u32::try_from(head.len()).unwrap_or(u32::MAX);
        let octets = format!("{head}\r\n-------{id}{flag}\r\n").into_bytes();
        let elided = Some(Elided { at, octets: length });
        let packet = self.frame("alice", octets, elided);
        self.event(EventKind::Sent(packet))
    }

    fn receive_frame(&mut self, user: &str, octets: &[u8]) -> u32 {
        let packet = self.frame(user, octets.to_vec(), None);
        self.event(EventKind::Received(packet))
    }

    fn transfer(&mut self, user: &str, direction: Direction, invite: u32, sends: Vec<u32>) -> u32 {
        let sent = direction == Direction::Sent;
        self.event(EventKind::Transfer(Transfer {
            user: user.to_owned(),
            device: "main".to_owned(),
            direction,
            invite,
            sends,
            message_id: if sent { "kj83" } else { "7hq2" }.to_owned(),
            content: (!sent).then(|| Octets::from(b"\x00\x01\r\xff".to_vec())),
            digest: BodyDigest {
                octets: if sent { LENGTH } else { 4 },
                sha256: SHA256.to_owned(),
            },
            complete: true,
        }))
    }

    fn read_session(&mut self) -> u32 {
        let part = |names: &[&str]| {
            let headers = names.iter().map(|name| StoredHeader {
                name: (*name).to_owned(),
                value: Octets::from("x".to_owned()),
            });
            Field::Known(StoredPart {
                start_line: Field::Unknown,
                headers: headers.collect(),
                headers_complete: true,
            })
        };
        let record = StoredMessage {
            message_id: Field::Known("71@store1.im.example".to_owned()),
            mode: Field::Known(Mode::Session),
            invite: part(&["From", "To", "Subject", "Call-ID"]),
            ok: Field::Unknown,
            bye: Field::Absent,
            send: part(&[
                "To-Path",
                "From-Path",
                "Message-ID",
                "Byte-Range",
                "Content-Type",
            ]),
            body_digest: Field::Known(BodyDigest {
                octets: LENGTH,
                sha256: SHA256.to_owned(),
            }),
            state: Field::Known(State::Waiting),
            ..StoredMessage::default()
        };
        self.event(EventKind::StoreRead {
            account: "sip:bob@im.example".to_owned(),
            result: StoreResult::Records(vec![record]),
        })
    }
}

fn call(who: &str, subject: &str) -> Vec<u8> {
    format!(
        "INVITE sip:bob@im.example SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:40001;branch=z9hG4bK{who}\r\nMax-Forwards: 70\r\nFrom: <sip:alice@im.example>;tag=8\r\nTo: <sip:bob@im.example>\r\nCall-ID: ms12-{who}\r\nCSeq: 1 INVITE\r\nSubject: {subject}\r\nContact: <sip:127.0.0.1:40001>\r\nContent-Type: application/sdp\r\nContent-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

fn answer(id: &str) -> Vec<u8> {
    format!(
        "MSRP {id} 200 OK\r\nTo-Path: msrp://127.0.0.1:40101/a;tcp\r\nFrom-Path: msrp://127.0.0.1:2855/s8f;tcp\r\n-------{id}$\r\n"
    )
    .into_bytes()
}
