//! `imspec wire`: shows how the codec reads one message, or every message of a record.

use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};

use imspec_reports::record::{EventKind, RunRecord};
use imspec_wire::sip::Message;
use serde_json::json;

use super::ExitStatus;

/// Decode one SIP message, or print the fields of every message of a run.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A file that holds one SIP message
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
        (None, None) => Err("name a file that holds a SIP message".to_owned()),
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
    let message = Message::parse(octets).map_err(|why| format!("{}: {why}", file.display()))?;
    let mut text = String::new();
    let mut line = |at: usize, what: &str, how: &[u8]| {
        let how = String::from_utf8_lossy(how);
        let _ = writeln!(text, "{at:>6}  {what:<20} {}", how.escape_debug());
    };
    let first = message.start_line_range();
    let what = if message.is_request() {
        "request"
    } else {
        "response"
    };
    line(first.start, what, &message.octets()[first]);
    for header in message.headers() {
        line(header.offset(), &header.canonical_name(), &header.value());
    }
    let body = message.body_range();
    line(
        body.start,
        "body",
        format!("{} octets", body.len()).as_bytes(),
    );
    if !message.surplus().is_empty() {
        let after = format!("{} octets after the body", message.surplus().len());
        line(body.end, "surplus", after.as_bytes());
    }
    let defects = message.defects();
    if !defects.is_empty() {
        text.push('\n');
    }
    for defect in &defects {
        let _ = writeln!(text, "{:>6}  {defect}", defect.range.start);
    }
    out.write_all(text.as_bytes())
        .map_err(|why| why.to_string())?;
    Ok(if defects.is_empty() {
        ExitStatus::Conforms
    } else {
        ExitStatus::Nonconformity
    })
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
            let mut line = json!({
                "case": case.id,
                "event": event.id,
                "direction": direction,
                "transport": packet.transport,
                "local": packet.local,
                "remote": packet.remote,
                "length": packet.octets.len(),
                "verb": event.step.as_deref().and_then(|step| verb_of(case, step)),
            });
            if let (Ok(message), Some(line)) = (
                Message::parse(packet.octets.0.clone()),
                line.as_object_mut(),
            ) {
                let header = |name: &str| {
                    message
                        .header(name)
                        .map(|header| header.text().into_owned())
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
            writeln!(out, "{line}").map_err(|why| why.to_string())?;
        }
    }
    Ok(ExitStatus::Conforms)
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
