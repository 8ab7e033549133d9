//! `imspec wire`: shows how the codec reads one message, or every message of a record.

use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};

use imspec_reports::record::trace::{Packet, Protocol};
use imspec_reports::record::{Event, EventKind, RunRecord};
use imspec_wire::msrp;
use imspec_wire::sip::{Defect, Message};
use serde_json::{Map, Value, json};

use super::ExitStatus;
use crate::evidence::frame_of;

/// Decode one SIP message or one frame of MSRP, or print the fields of every message of a run.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A file that holds one SIP message, or one frame of MSRP
    #[arg(required_unless_present = "fields")]
    file: Option<PathBuf>,
    /// Print one JSON line for each message in this run.json: what an independent reader can be held against
    #[arg(long, value_name = "RUN_JSON", conflicts_with = "file")]
    fields: Option<PathBuf>,
}

/// Runs the command.
pub fn execute(args: &Args, out: &mut dyn Write) -> ExitStatus {
    let done = match (&args.fields, &args.file) {
        (Some(record), _) => fields(record, out),
        (None, Some(file)) => decode(file, out),
        (None, None) => Err("name a file that holds a SIP message or a frame of MSRP".to_owned()),
    };
    match done {
        Ok(status) => status,
        Err(why) => {
            anstream::eprintln!("error: {why}");
            ExitStatus::InvalidInput
        }
    }
}

fn decode(file: &Path, out: &mut dyn Write) -> Result<ExitStatus, String> {
    let octets = std::fs::read(file).map_err(|why| format!("{}: {why}", file.display()))?;
    // The first line tells: no SIP message begins like a frame of MSRP (RFC 3261 §7.1, RFC 4975 §9).
    let shown = if octets.trim_ascii_start().starts_with(b"MSRP ") {
        decode_frame(octets)
    } else {
        decode_message(octets)
    };
    let (mut table, defects) = shown.map_err(|why| format!("{}: {why}", file.display()))?;
    if !defects.is_empty() {
        table.text.push('\n');
    }
    for defect in &defects {
        let _ = writeln!(table.text, "{:>6}  {defect}", defect.range.start);
    }
    out.write_all(table.text.as_bytes())
        .map_err(|why| why.to_string())?;
    Ok(if defects.is_empty() {
        ExitStatus::Conforms
    } else {
        ExitStatus::Nonconformity
    })
}

/// The parts of a message, one a line: offset, what it is, what it says.
#[derive(Default)]
struct Table {
    text: String,
}

impl Table {
    fn line(&mut self, at: usize, what: &str, how: &[u8]) {
        let how = String::from_utf8_lossy(how);
        let _ = writeln!(self.text, "{at:>6}  {what:<20} {}", how.escape_debug());
    }
}

type Decoded = Result<(Table, Vec<Defect>), msrp::ParseError>;

fn decode_message(octets: Vec<u8>) -> Decoded {
    let message = Message::parse(octets)?;
    let mut table = Table::default();
    let first = message.start_line_range();
    let what = if message.is_request() {
        "request"
    } else {
        "response"
    };
    table.line(first.start, what, &message.octets()[first]);
    for header in message.headers() {
        table.line(header.offset(), &header.canonical_name(), &header.value());
    }
    let body = message.body_range();
    let length = format!("{} octets", body.len());
    table.line(body.start, "body", length.as_bytes());
    if !message.surplus().is_empty() {
        let after = format!("{} octets after the body", message.surplus().len());
        table.line(body.end, "surplus", after.as_bytes());
    }
    Ok((table, message.defects()))
}

fn decode_frame(octets: Vec<u8>) -> Decoded {
    let frame = msrp::Frame::parse(octets, &msrp::Limits::default())?;
    let mut table = Table::default();
    let first = frame.start_line_range();
    let what = if frame.method().is_some() {
        "request"
    } else {
        "response"
    };
    table.line(first.start, what, &frame.as_bytes()[first]);
    for header in frame.headers() {
        table.line(header.offset(), header.name(), header.value());
    }
    let end = frame.end_line_range();
    let (at, length) = match frame.body_range() {
        Some(body) => (body.start, format!("{} octets", body.len())),
        None => (end.start, "none".to_owned()),
    };
    table.line(at, "body", length.as_bytes());
    let meaning = match frame.flag() {
        msrp::Flag::Complete => "$, the message ends here",
        msrp::Flag::More => "+, more of the message follows",
        msrp::Flag::Abort => "#, the message is given up",
    };
    table.line(end.start, "end line", meaning.as_bytes());
    Ok((table, frame.defects()))
}

fn fields(file: &Path, out: &mut dyn Write) -> Result<ExitStatus, String> {
    let text = std::fs::read_to_string(file).map_err(|why| format!("{}: {why}", file.display()))?;
    let record: RunRecord = imspec_reports::json::from_str(&text)
        .map_err(|why| format!("{}: {why}", file.display()))?;
    for case in &record.cases {
        for event in &case.trace.events {
            let (direction, packet) = match &event.kind {
                EventKind::Sent(packet) => ("sent", packet),
                EventKind::Received(packet) => ("received", packet),
                _ => continue,
            };
            let elided = packet.elided.map_or(0, |gap| gap.octets);
            let mut line = json!({
                "case": case.id,
                "event": event.id,
                "direction": direction,
                "protocol": packet.protocol,
                "transport": packet.transport,
                "local": packet.local,
                "remote": packet.remote,
                "length": elided.saturating_add(packet.octets.len() as u64),
                "verb": event.step.as_deref().and_then(|step| verb_of(case, step)),
            });
            if let Some(line) = line.as_object_mut() {
                match packet.protocol {
                    Protocol::Sip => of_message(&packet.octets, line),
                    Protocol::Msrp => {
                        of_octets(packet, line);
                        of_frame(event, line);
                    }
                }
            }
            writeln!(out, "{line}").map_err(|why| why.to_string())?;
        }
    }
    Ok(ExitStatus::Conforms)
}

fn of_message(octets: &[u8], line: &mut Map<String, Value>) {
    let Ok(message) = Message::parse(octets.to_vec()) else {
        return;
    };
    let header = |name: &str| {
        let header = message.header(name);
        header.map(|header| header.text().into_owned())
    };
    line.insert("method".into(), json!(message.method()));
    line.insert("status".into(), json!(message.status()));
    line.insert("call_id".into(), json!(header("Call-ID")));
    line.insert("cseq".into(), json!(header("CSeq")));
    line.insert("expires".into(), json!(header("Expires")));
    line.insert("subject".into(), json!(header("Subject")));
    line.insert("date".into(), json!(header("Date")));
    line.insert("content_type".into(), json!(header("Content-Type")));
    line.insert("body_length".into(), json!(message.body().len()));
}

/// What the trace holds of a frame: so many octets may be missing from its middle.
fn of_octets(packet: &Packet, line: &mut Map<String, Value>) {
    let held = crate::evidence::content::digest_of(&packet.octets);
    line.insert("held_sha256".into(), json!(held.sha256));
    line.insert("gap".into(), json!(packet.elided));
}

/// The names are those of tshark's fields, as far as it has them.
fn of_frame(event: &Event, line: &mut Map<String, Value>) {
    let Some(frame) = frame_of(event) else {
        return;
    };
    let header = |name: &str| {
        let header = frame.head.header(name);
        header.map(|header| header.text().trim().to_owned())
    };
    let method = frame.head.method();
    let flag = frame.flag.map(|flag| char::from(flag.octet()).to_string());
    line.insert(
        "method".into(),
        json!(method.map(|m| m.as_str().to_owned())),
    );
    line.insert("status".into(), json!(frame.head.status()));
    line.insert("transaction_id".into(), json!(frame.head.transaction_id()));
    line.insert("to_path".into(), json!(header("To-Path")));
    line.insert("from_path".into(), json!(header("From-Path")));
    line.insert("message_id".into(), json!(header("Message-ID")));
    line.insert("byte_range".into(), json!(header("Byte-Range")));
    line.insert("success_report".into(), json!(header("Success-Report")));
    line.insert("failure_report".into(), json!(header("Failure-Report")));
    line.insert("report_status".into(), json!(header("Status")));
    line.insert("content_type".into(), json!(header("Content-Type")));
    line.insert("flag".into(), json!(flag));
    line.insert(
        "body_length".into(),
        json!(frame.head.has_body().then_some(frame.octets)),
    );
    let body = frame.body.as_deref().filter(|_| frame.head.has_body());
    let digest = body.map(crate::evidence::content::digest_of);
    line.insert(
        "body_sha256".into(),
        json!(digest.map(|digest| digest.sha256)),
    );
}

/// The verb of a step, so that a reader can leave out what was malformed on purpose (`raw`).
fn verb_of<'a>(case: &'a imspec_reports::record::CaseRecord, step: &str) -> Option<&'a str> {
    case.trace
        .events
        .iter()
        .find_map(|event| match &event.kind {
            EventKind::StepStarted { verb } if event.step.as_deref() == Some(step) => {
                Some(verb.as_str())
            }
            _ => None,
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn shown(octets: &[u8]) -> (String, bool) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("message");
        std::fs::write(&path, octets).unwrap();
        let mut out = Vec::new();
        let args = Args {
            file: Some(path),
            fields: None,
        };
        let status = execute(&args, &mut out);
        (
            String::from_utf8(out).unwrap(),
            matches!(status, ExitStatus::Conforms),
        )
    }

    #[test]
    fn a_frame_is_told_by_its_first_line() {
        let (text, conforms) = shown(b"MSRP d93kswow SEND\r\nTo-Path: msrp://bob.example.org:8888/9di4eae923wzd;tcp\r\nFrom-Path: msrp://alice.example.org:7777/iau39soe2843z;tcp\r\nMessage-ID: 12339sdqwer\r\nByte-Range: 1-5/5\r\nContent-Type: text/plain\r\n\r\nhello\r\n-------d93kswow$\r\n");
        assert!(conforms, "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn what_a_strict_reader_objects_to_is_shown_below() {
        let (text, conforms) = shown(b"MSRP ab SEND\r\nFrom-Path: msrp://a.example.org:7777/x;tcp\r\nTo-Path: msrp://b.example.org:8888/y;tcp\r\n-------ab+\r\n");
        assert!(!conforms);
        insta::assert_snapshot!(text);
        let (text, conforms) =
            shown(b"OPTIONS sip:a@example.org SIP/2.0\r\nTo: <sip:a@example.org>\r\n\r\n");
        assert!(!conforms && text.contains("request"), "{text}");
    }
}
