//! `imspec wire`: shows how the codec reads one message, or every message of a record.

use std::io::Write;
use std::path::{Path, PathBuf};

use imspec_reports::record::{EventKind, RunRecord};
use imspec_wire::sip::typed::{
    CSeq, Contact, Expires, From, MaxForwards, MediaType, PAssertedIdentity, SipDate, To,
    TypedHeader, Via,
};
use imspec_wire::sip::{Header, Message, StartLine};
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
    let length = octets.len();
    let message = Message::parse(octets).map_err(|why| format!("{}: {why}", file.display()))?;
    let mut text = String::new();
    let mut line = |at: usize, what: &str, how: &str| {
        text.push_str(&format!("{at:>6}  {what:<20} {how}\n"));
    };
    match message.start_line() {
        StartLine::Request {
            method,
            uri,
            version,
        } => {
            line(
                0,
                "request",
                &format!(
                    "{method} {} ({version})",
                    String::from_utf8_lossy(uri).escape_debug()
                ),
            );
        }
        StartLine::Response {
            version,
            status,
            reason,
        } => {
            line(
                0,
                "response",
                &format!(
                    "{status} {} ({version})",
                    String::from_utf8_lossy(reason).escape_debug()
                ),
            );
        }
    }
    let mut faults = 0;
    for header in message.headers() {
        let reading = match read(&header) {
            Ok(()) => header.text().escape_debug().to_string(),
            Err(why) => {
                faults += 1;
                format!("{}  <- {why}", header.text().escape_debug())
            }
        };
        line(header.offset(), &header.canonical_name(), &reading);
    }
    let body = message.body_range();
    line(body.start, "body", &format!("{} octets", body.len()));
    if message.missing_body() > 0 {
        faults += 1;
        line(
            length,
            "missing",
            &format!(
                "{} octets that Content-Length promises",
                message.missing_body()
            ),
        );
    }
    if !message.surplus().is_empty() {
        line(
            body.end,
            "surplus",
            &format!("{} octets after the body", message.surplus().len()),
        );
    }
    out.write_all(text.as_bytes())
        .map_err(|why| why.to_string())?;
    Ok(if faults == 0 {
        ExitStatus::Conforms
    } else {
        ExitStatus::Nonconformity
    })
}

/// Reads a header with its type, where it has one.
fn read(header: &Header<'_>) -> Result<(), String> {
    fn one<T: TypedHeader>(header: &Header<'_>) -> Result<(), String> {
        let value = header.value();
        if T::LIST {
            for (offset, piece) in imspec_wire::sip::typed::list::split(&value) {
                T::parse_value(piece)
                    .map_err(|why| format!("{why} (value from octet {offset})"))?;
            }
            return Ok(());
        }
        T::parse_value(&value)
            .map(|_| ())
            .map_err(|why| why.to_string())
    }
    match header.canonical_name().as_ref() {
        Via::NAME => one::<Via>(header),
        From::NAME => one::<From>(header),
        To::NAME => one::<To>(header),
        Contact::NAME => one::<Contact>(header),
        CSeq::NAME => one::<CSeq>(header),
        Expires::NAME => one::<Expires>(header),
        MaxForwards::NAME => one::<MaxForwards>(header),
        SipDate::NAME => one::<SipDate>(header),
        MediaType::NAME => one::<MediaType>(header),
        PAssertedIdentity::NAME => one::<PAssertedIdentity>(header),
        _ => Ok(()),
    }
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
