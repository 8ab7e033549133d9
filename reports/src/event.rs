//! What happened, in words: one line for each event of a trace, with its octets apart.

use std::ops::Range;

use imspec_wire::sip::name;

use crate::escape;
use crate::excerpt::{Source, body_start};
use crate::record::trace::{ConnectionChange, Direction, Packet, StoreResult, Transfer};
use crate::record::{
    Check, Event, EventKind, Evidence, Field, Outcome, StoredMessage, StoredPart, Trace,
};
use crate::summary::count;

/// An event in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// What kind of thing it is: `sent`, `received`, `store`, `clock`, …
    pub kind: &'static str,
    /// One line, safe to show.
    pub title: String,
    /// More lines, safe to show.
    pub details: Vec<String>,
}

/// Describes an event.
pub fn describe(event: &Event) -> Description {
    let mut details = Vec::new();
    let (kind, title) = match &event.kind {
        EventKind::StepStarted { verb } => ("step", format!("{verb} begins")),
        EventKind::StepEnded { outcome } => ("step", outcome_words(outcome)),
        EventKind::Sent(packet) => (
            "sent",
            format!("{} → server: {}", agent(packet), first_line(packet)),
        ),
        EventKind::Received(packet) => (
            "received",
            format!("server → {}: {}", agent(packet), first_line(packet)),
        ),
        EventKind::Transfer(transfer) => ("message", transfer_words(transfer, &mut details)),
        EventKind::Connection {
            user,
            local,
            remote,
            change,
        } => (
            "connection",
            format!(
                "MSRP connection of {user} ({local} – {remote}) {}",
                change_words(change)
            ),
        ),
        EventKind::Took { event } => ("took", format!("the step took event {event} as its own")),
        EventKind::Unclaimed { event } => ("unclaimed", format!("no step expected event {event}")),
        EventKind::Saved { name, event } => ("saved", format!("event {event} is saved as {name}")),
        EventKind::Value { expression, value } => {
            ("value", format!("${{{expression}}} is {value:?}"))
        }
        EventKind::StoreRead { account, result } => {
            ("store", store_words(account, result, &mut details))
        }
        EventKind::ClockMoved { from, to } => (
            "clock",
            format!(
                "store clock moved by {}, to {}",
                crate::summary::store_time(seconds_between(from.unix_us, to.unix_us)),
                to.to_millis()
            ),
        ),
        EventKind::WaitUntil {
            deadline,
            margin_ms,
        } => (
            "wait",
            format!(
                "waits until {}, margin {margin_ms} ms",
                deadline.to_millis()
            ),
        ),
        EventKind::Process { action } => ("process", format!("server process: {action}")),
        EventKind::PolicySet { values } => {
            details.extend(values.iter().map(|(key, value)| format!("{key}: {value}")));
            ("policy", "policy of the server is set".to_owned())
        }
        EventKind::Reading { defect, reading } => (
            "reading",
            format!("{defect}: the server follows “{reading}”"),
        ),
        EventKind::Note { text } => ("note", text.clone()),
    };
    Description {
        kind,
        title: escape::line(&title),
        details: details.iter().map(|detail| escape::line(detail)).collect(),
    }
}

fn transfer_words(transfer: &Transfer, details: &mut Vec<String>) -> String {
    let way = match transfer.direction {
        Direction::Sent => "to the server",
        Direction::Received => "from the server",
    };
    let whole = if transfer.complete {
        ""
    } else {
        ", not complete"
    };
    details.push(match &transfer.content {
        Some(content) => content_words(content),
        None => format!("SHA-256 {}", transfer.digest.sha256),
    });
    format!(
        "message {} of {} {way} in {}: {}{whole}",
        transfer.message_id,
        transfer.user,
        count(transfer.sends.len(), "SEND", "SENDs"),
        count(
            usize::try_from(transfer.digest.octets).unwrap_or(usize::MAX),
            "octet",
            "octets"
        ),
    )
}

/// The beginning of a content.
fn content_words(content: &[u8]) -> String {
    const LONGEST: usize = 160;
    let shown = &content[..content.len().min(LONGEST)];
    let more = content.len() - shown.len();
    let text = escape::octets(shown);
    if more == 0 {
        text
    } else {
        format!("{text}… and {}", count(more, "more octet", "more octets"))
    }
}

fn change_words(change: &ConnectionChange) -> String {
    match change {
        ConnectionChange::Opened => "opened".to_owned(),
        ConnectionChange::Accepted => "opened by the server".to_owned(),
        ConnectionChange::Closed => "closed".to_owned(),
        ConnectionChange::Reset => "reset".to_owned(),
        ConnectionChange::Ended => "ended by the server".to_owned(),
        ConnectionChange::Failed(why) => format!("could not be opened: {why}"),
    }
}

/// The octets of an event, if it has any.
pub fn octets(event: &Event) -> Option<&[u8]> {
    packet(event).map(|packet| &*packet.octets)
}

/// The same to be shown, with what the record leaves out.
pub fn source(event: &Event) -> Option<Source<'_>> {
    packet(event).map(Source::from)
}

/// The packet of an event, if it is one.
pub fn packet(event: &Event) -> Option<&Packet> {
    match &event.kind {
        EventKind::Sent(packet) | EventKind::Received(packet) => Some(packet),
        _ => None,
    }
}

/// The event with this id. Ids are indices, but a record may come from elsewhere.
pub fn by_id(trace: &Trace, id: u32) -> Option<&Event> {
    usize::try_from(id)
        .ok()
        .and_then(|index| trace.events.get(index))
        .filter(|event| event.id == id)
        .or_else(|| trace.events.iter().find(|event| event.id == id))
}

/// The marked octets of the message that a check looked at.
pub fn marked(evidence: &Evidence) -> Option<Range<usize>> {
    let (start, end) = evidence.range?;
    Some(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
}

/// What in the message that was expected corresponds to what a check looked at: the same header fields, or
/// the part of the body in which the two differ.
pub fn counterpart(check: &Check, observed: &[u8], expected: &[u8]) -> Vec<Range<usize>> {
    let stored = check.subject.strip_prefix("stored ");
    let subject = stored.unwrap_or(&check.subject);
    if let Some(header) = subject.strip_prefix("header ") {
        // `stored header Subject of the INVITE`
        let header = header.split(" of the ").next().unwrap_or(header);
        header_fields(expected, header.trim())
    } else if check.subject.starts_with("body") {
        vec![difference(observed, expected)]
    } else {
        Vec::new()
    }
}

/// `alice`, or `alice/tablet` where the device is not the main one.
pub fn agent(packet: &Packet) -> String {
    let device = if packet.device == "main" || packet.device.is_empty() {
        String::new()
    } else {
        format!("/{}", packet.device)
    };
    let again = if packet.retransmission {
        " (retransmission)"
    } else {
        ""
    };
    format!("{}{device}{again}", packet.user)
}

fn first_line(packet: &Packet) -> String {
    let line = packet
        .octets
        .split(|octet| matches!(octet, b'\r' | b'\n'))
        .next();
    match line {
        Some(line) if !line.is_empty() => String::from_utf8_lossy(line).into_owned(),
        _ => count(packet.octets.len(), "octet", "octets"),
    }
}

fn outcome_words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done => "done".to_owned(),
        Outcome::TimedOut { after_ms } => format!("nothing came within {after_ms} ms"),
        Outcome::NotReached { why } => format!("not reached: {why}"),
        Outcome::Impossible { why } => format!("impossible here: {why}"),
        Outcome::Broken { why } => format!("broke: {why}"),
    }
}

fn store_words(account: &str, result: &StoreResult, details: &mut Vec<String>) -> String {
    match result {
        StoreResult::Records(records) => {
            details.extend(
                records
                    .iter()
                    .enumerate()
                    .map(|(n, record)| record_words(n, record)),
            );
            format!(
                "account {account}: {}",
                count(records.len(), "message", "messages")
            )
        }
        StoreResult::NoAdapter => format!("account {account}: there is no store adapter"),
        StoreResult::Failed(why) => format!("account {account} could not be read: {why}"),
    }
}

fn record_words(index: usize, record: &StoredMessage) -> String {
    let mut parts = vec![format!("{}.", index + 1)];
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            parts.push(format!("{name} {value},"));
        }
    };
    add("Message-ID", field(&record.message_id, Clone::clone));
    add(
        "mode",
        field(&record.mode, |mode| format!("{mode:?}").to_lowercase()),
    );
    add(
        "mark",
        field(&record.expire, |expire| match (expire.seconds, expire.at) {
            (Some(seconds), Some(at)) => format!("{seconds} s (until {})", at.to_millis()),
            (Some(seconds), None) => format!("{seconds} s"),
            (None, Some(at)) => format!("until {}", at.to_millis()),
            (None, None) => "without a value".to_owned(),
        }),
    );
    add(
        "state",
        field(&record.state, |state| format!("{state:?}").to_lowercase()),
    );
    add("stored", field(&record.stored_at, |at| at.to_millis()));
    add(
        "body",
        field(&record.body, |body| count(body.len(), "octet", "octets")),
    );
    add(
        "body",
        field(&record.body_digest, |digest| {
            format!("{} octets, SHA-256 {}", digest.octets, digest.sha256)
        }),
    );
    let session = [
        ("INVITE", &record.invite),
        ("200", &record.ok),
        ("BYE", &record.bye),
        ("SEND", &record.send),
    ];
    let of_session = session.iter().any(|(_, part)| part.known().is_some());
    for (name, part) in session {
        let shown = |part: &StoredPart| fields_words(part.headers.len(), part.headers_complete);
        add(name, field(part, shown).filter(|_| of_session));
    }
    let own = !record.headers.is_empty() || !of_session;
    let header = fields_words(record.headers.len(), record.headers_complete);
    add("header", own.then_some(header));
    let further = record.further.len();
    let further = count(further, "more message", "more messages");
    add(
        "and",
        (!record.further.is_empty()).then(|| format!("{further} of the session")),
    );
    parts.join(" ").trim_end_matches(',').to_owned()
}

fn fields_words(number: usize, complete: bool) -> String {
    let seen = if complete {
        ""
    } else {
        " that the adapter can see"
    };
    format!("{}{seen}", count(number, "field", "fields"))
}

/// Unknown and absent are different facts, and the reader is told which one it is.
fn field<T>(field: &Field<T>, show: impl Fn(&T) -> String) -> Option<String> {
    match field {
        Field::Unknown => None,
        Field::Absent => Some("absent".to_owned()),
        Field::Known(value) => Some(show(value)),
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown rounded to seconds")]
fn seconds_between(from_us: i64, to_us: i64) -> f64 {
    to_us.saturating_sub(from_us) as f64 / 1e6
}

/// Every field of this name, with its folded lines (RFC 3261 §7.3.1), without the line end.
fn header_fields(message: &[u8], wanted: &str) -> Vec<Range<usize>> {
    let head = &message[..body_start(message)];
    let mut fields: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    let mut matching = false;
    for (index, line) in head.split_inclusive(|octet| *octet == b'\n').enumerate() {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let range = at..at + text.len();
        at += line.len();
        if index == 0 {
            continue;
        }
        if text
            .first()
            .is_some_and(|octet| matches!(octet, b' ' | b'\t'))
        {
            if let (true, Some(field)) = (matching, fields.last_mut()) {
                field.end = range.end;
            }
            continue;
        }
        let name = text
            .split(|octet| *octet == b':')
            .next()
            .unwrap_or_default();
        matching = std::str::from_utf8(name).is_ok_and(|own| name::same(own.trim(), wanted));
        if matching {
            fields.push(range);
        }
    }
    fields
}

/// The part of the expected body that remains when what both begin and end with is taken away.
fn difference(observed: &[u8], expected: &[u8]) -> Range<usize> {
    let start = body_start(expected);
    let a = &observed[body_start(observed)..];
    let b = &expected[start..];
    let prefix = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let suffix = a[prefix..]
        .iter()
        .rev()
        .zip(b[prefix..].iter().rev())
        .take_while(|(x, y)| x == y)
        .count();
    start + prefix..expected.len() - suffix
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: &[u8] =
        b"MESSAGE sip:b SIP/2.0\r\ns: Dinner\r\n at eight\r\nTo: x\r\nSubject: y\r\n\r\nabcdef";

    #[test]
    fn finds_the_header_fields_in_any_form() {
        let shown: Vec<_> = header_fields(SENT, "subject")
            .into_iter()
            .map(|range| String::from_utf8_lossy(&SENT[range]).into_owned())
            .collect();
        assert_eq!(shown, ["s: Dinner\r\n at eight", "Subject: y"]);
        assert!(header_fields(SENT, "Expires").is_empty());
        assert!(header_fields(b"", "To").is_empty());
    }

    #[test]
    fn finds_where_bodies_differ() {
        let observed = b"MESSAGE sip:c SIP/2.0\r\n\r\nabXYef";
        assert_eq!(&SENT[difference(observed, SENT)], b"cd");
        // Something inserted leaves a place, not a stretch.
        let observed = b"MESSAGE sip:c SIP/2.0\r\n\r\nabc--def";
        let place = difference(observed, SENT);
        assert!(place.is_empty());
        assert_eq!(&SENT[place.start..], b"def");
    }

    #[test]
    fn every_event_of_the_sample_is_one_safe_line() {
        for case in crate::sample::record().cases {
            for event in &case.trace.events {
                let described = describe(event);
                assert!(!described.title.is_empty());
                assert!(!described.title.chars().any(char::is_control));
                assert_eq!(by_id(&case.trace, event.id), Some(event));
            }
        }
    }
}
