//! What lies in the store.

mod kept;

use imspec_reports::record::trace::StoreResult;
use imspec_reports::record::{
    Event, EventKind, Field, Observation, StoredMessage, UtcTime, Verdict,
};
use imspec_wire::sip::name;
use imspec_wire::sip::typed::{Expires, SipDate};

use super::aspect::Aspect;
use super::matcher::{self, BodySeen, MarkBase, Subject};
use super::outcome::{Observed, Ruling};
use super::{Entry, Sheet};
use crate::evidence::fields::{self, Fields};
use crate::evidence::record::{Found, assign, content_of, is_of_session, messages_in, waits};
use crate::evidence::{Saved, Value, field_of, mode_name, state_name};
use crate::scenario::model::{Matcher, Presence, RecordKey, RecordMatcher, Step, Stored};
use crate::scenario::template::RecordField;
use kept::{Kept, judge_headers, judge_part};

/// Header fields that belong to one hop or to the framing, not to the message.
const HOP_BY_HOP: &[&str] = &[
    "Via",
    "Route",
    "Record-Route",
    "Max-Forwards",
    "Proxy-Require",
    "Proxy-Authorization",
    "Authorization",
    "Content-Length",
];

/// Header fields that a request sent on behalf of another has of its own, or that its sender may choose.
const NEW_REQUEST: &[&str] = &[
    "From",
    "To",
    "Call-ID",
    "CSeq",
    "Contact",
    "Expires",
    "User-Agent",
    "Server",
    "Timestamp",
    "Allow",
    "Supported",
    "Require",
    "Accept",
    "Accept-Encoding",
    "Accept-Language",
    "P-Asserted-Identity",
    "P-Preferred-Identity",
    "Privacy",
];

/// Header fields of an INVITE that are about the call, not about a message in it.
const OF_CALL: &[&str] = &[
    "Session-Expires",
    "Min-SE",
    "Allow-Events",
    "Accept-Contact",
    "Reject-Contact",
    "Recv-Info",
];

/// The names of `sent` that `same-as` compares, each once, in order.
pub(super) fn names_to_compare(sent: &Fields, except: &[String], delivered: bool) -> Vec<String> {
    let left_out = |header: &str| {
        let in_set = |set: &[&str]| set.iter().any(|one| name::same(one, header));
        (delivered
            && (in_set(NEW_REQUEST)
                || in_set(HOP_BY_HOP)
                || in_set(OF_CALL)
                || fields::is_framing(header)))
            || except.iter().any(|one| match one.as_str() {
                "hop-by-hop" => in_set(HOP_BY_HOP),
                one => name::same(one, header),
            })
    };
    let mut names = sent.names();
    names.retain(|name| !left_out(name));
    names
}

/// Judges a `stored`.
pub(super) fn judge(sheet: &mut Sheet<'_, '_>, step: &Step, wanted: &Stored) {
    let view = sheet.view;
    let Some((event, _, result)) = view.read_by(&step.path) else {
        return;
    };
    let entry = Entry::of(step, "store", Observation::Store).seen_in(event.id);
    let records = match result {
        StoreResult::Records(records) => records,
        StoreResult::NoAdapter => {
            let ruling = Ruling::new(
                Verdict::Inconclusive,
                "to see the store",
                "black box: the profile has no store adapter",
            );
            return sheet.write(entry, ruling);
        }
        StoreResult::Failed(why) => {
            let ruling = Ruling::new(Verdict::Error, "the store adapter to answer", why.clone());
            return sheet.write(entry, ruling);
        }
    };
    if let Some(count) = &wanted.count {
        let ruling = rule_on_count(sheet, step, count, records);
        let entry = Entry::of(step, "number of waiting messages", Observation::Store)
            .about(Aspect::Presence);
        sheet.write(entry.at(&count.at).seen_in(event.id), ruling);
    }
    let given = assign(view, wanted, records, &step.path);
    for (expected, found) in wanted.messages.iter().zip(given) {
        let record = found.record(records);
        let ruling = rule_on_presence(sheet, step, wanted, expected, found, records);
        let presence = if of_session(sheet, step, expected) {
            Aspect::SessionPresence
        } else {
            Aspect::Presence
        };
        let entry = Entry::of(step, "record", Observation::Store).about(presence);
        sheet.write(
            entry
                .at(&expected.at)
                .covers(expected.covers.as_ref())
                .seen_in(event.id),
            ruling,
        );
        if let Some(record) = record {
            judge_record(sheet, step, expected, &record, event.id);
        }
    }
}

/// A record of unknown state may or may not wait: what only its counting breaks is inconclusive.
fn rule_on_count(
    sheet: &Sheet<'_, '_>,
    step: &Step,
    count: &Matcher,
    records: &[StoredMessage],
) -> Ruling {
    let rule = |n: usize| {
        let observed = Observed::one(n.to_string());
        matcher::rule(sheet, count, &observed, &Subject::Value, &step.path)
    };
    let waiting = records.iter().filter(|record| waits(record)).count();
    let unsure = records
        .iter()
        .filter(|record| record.state == Field::Unknown)
        .count();
    let ruling = rule(waiting);
    // One record of a whole session is as good as one for each of its messages (WD-13).
    let messages = records.iter().filter(|record| waits(record));
    let messages: usize = messages.map(messages_in).sum();
    if ruling.verdict == Verdict::Fail && messages != waiting {
        let by_message = rule(messages);
        if by_message.verdict == Verdict::Pass {
            return by_message.note(format!(
                "{waiting} records hold {messages} messages (WD-13)"
            ));
        }
    }
    let may_hold = || ((waiting - unsure)..waiting).any(|n| rule(n).verdict == Verdict::Pass);
    if ruling.verdict == Verdict::Fail && may_hold() {
        return unsure_of_state(ruling);
    }
    ruling
}

fn rule_on_presence(
    sheet: &Sheet<'_, '_>,
    step: &Step,
    wanted: &Stored,
    expected: &RecordMatcher,
    found: Found,
    records: &[StoredMessage],
) -> Ruling {
    let of = expected
        .of
        .as_ref()
        .and_then(|of| sheet.view.text(of, &step.path).ok());
    let sent = of
        .as_deref()
        .and_then(|name| sheet.view.saved_content(name));
    let which = of.map_or_else(|| "a message".to_owned(), |name| format!("`{name}`"));
    let record = found.record(records);
    let record = record.as_deref();
    let alive = record.is_some_and(waits);
    let (holds, words) = match expected.presence {
        Presence::Waiting => (
            alive,
            format!("{which} waiting in the account of {}", wanted.user),
        ),
        Presence::Gone => (!alive, format!("{which} not waiting any more")),
        Presence::Any => (record.is_some(), format!("a record of {which}")),
    };
    let seen = match record.map(|record| &record.state) {
        None => format!("no record of it among the {} of the account", records.len()),
        Some(Field::Known(state)) => format!("a record in state {}", state_name(*state)),
        Some(Field::Unknown | Field::Absent) => "a record".to_owned(),
    };
    let mut ruling = Ruling::of(holds, words, seen);
    ruling.against = sent.map(|(event, _)| event.id);
    if found == Found::Untold {
        ruling.verdict = Verdict::Inconclusive;
        ruling.observed =
            "the store adapter reads nothing by which records could be told apart".into();
    } else if !holds && record.is_some_and(|record| record.state == Field::Unknown) {
        return unsure_of_state(ruling);
    } else if !holds
        && expected.presence != Presence::Gone
        && let Some(why) = outlived(sheet, step, expected)
    {
        ruling.verdict = Verdict::Inconclusive;
        ruling.note = Some(why);
    }
    ruling
}

/// Whether the store was read so late that the message may have expired although the case never let time
/// pass: a slow machine must not look like a server that raises or drops an Expires.
fn outlived(sheet: &Sheet<'_, '_>, step: &Step, expected: &RecordMatcher) -> Option<String> {
    let view = sheet.view;
    let name = view.text(expected.of.as_ref()?, &step.path).ok()?;
    let Saved::Request { sent, request, .. } = view.saved(&name)? else {
        return None;
    };
    let Expires(seconds) = request?.typed::<Expires>()?.ok()?;
    let (read, ..) = view.read_by(&step.path)?;
    let between = &view.trace().events[sent.id as usize..read.id as usize];
    let moved = |event: &Event| {
        matches!(
            event.kind,
            EventKind::ClockMoved { .. } | EventKind::WaitUntil { .. }
        )
    };
    if between.iter().any(moved) {
        return None;
    }
    let (start, end) = (sent.store?, read.store?);
    let margin_us = i64::from(start.uncertainty_ms + end.uncertainty_ms) * 1000;
    let expires = start.at.plus_us(i64::from(seconds) * 1_000_000 - margin_us);
    (end.at >= expires).then(|| {
        format!("the case was too slow: the message may have expired at store time {expires}")
    })
}

fn unsure_of_state(ruling: Ruling) -> Ruling {
    Ruling {
        verdict: Verdict::Inconclusive,
        ..ruling.note("the store adapter cannot read `state`, so a record may not wait any more")
    }
}

fn judge_record(
    sheet: &mut Sheet<'_, '_>,
    step: &Step,
    expected: &RecordMatcher,
    record: &StoredMessage,
    event: u32,
) {
    let covers = expected.covers.as_ref();
    let of = expected
        .of
        .as_ref()
        .and_then(|of| sheet.view.text(of, &step.path).ok());
    let base = mark_base(sheet, of.as_deref());
    for (key, matcher) in &expected.fields {
        let (subject_name, mut observed) = observe(record, *key);
        let instant_only = record
            .expire
            .known()
            .is_some_and(|expire| expire.seconds.is_none());
        if *key == RecordKey::Mark
            && instant_only
            && record.received_at.known().is_none()
            && base.window.is_none()
        {
            observed = Observed::Unknown(
                "the mark is an instant, and neither the receipt time nor the store clock is known"
                    .into(),
            );
        }
        let subject = match key {
            RecordKey::RequestUri | RecordKey::Account => Subject::Uri,
            RecordKey::Mark => Subject::Mark(record, base),
            RecordKey::ReceivedAt => Subject::Instant,
            RecordKey::MessageId | RecordKey::State | RecordKey::Mode => Subject::Value,
        };
        let ruling = matcher::rule(sheet, matcher, &observed, &subject, &step.path);
        let aspect = match key {
            RecordKey::ReceivedAt if is_of_session(record) => Aspect::ReceiptTime,
            key => aspect_of(*key),
        };
        let entry = Entry::of(step, subject_name, Observation::Store).about(aspect);
        sheet.write(entry.at(&matcher.at).covers(covers).seen_in(event), ruling);
    }
    let whole = Kept::of_record(record);
    judge_headers(sheet, step, &expected.headers, &whole, event, covers);
    for part in &expected.parts {
        judge_part(sheet, step, part, record, event, covers);
    }
    if let Some(matcher) = &expected.body {
        let ruling = rule_on_body(sheet, step, matcher, record);
        let aspect = if is_of_session(record) {
            Aspect::StoredSend
        } else {
            Aspect::StoredBody
        };
        let entry = Entry::of(step, "stored body", Observation::Store).about(aspect);
        sheet.write(entry.at(&matcher.at).covers(covers).seen_in(event), ruling);
    }
}

/// What the mark of a message may be counted from: the receipt, its Date (`expire.base`), and of a message
/// through a session also its first chunk or the BYE (`lm.base`). Where nothing is declared, each is right
/// (WD-25).
fn mark_base(sheet: &Sheet<'_, '_>, of: Option<&str>) -> MarkBase {
    let declared = |key: &str| sheet.context.pics.get(key).and_then(|v| v.as_str());
    let Some(name) = of else {
        return MarkBase::default();
    };
    let view = sheet.view;
    let date = || {
        let (_, sent) = view.message(name)?;
        let date = sent.typed::<SipDate>()?.ok()?;
        Some(UtcTime {
            unix_us: date.unix_seconds.saturating_mul(1_000_000),
        })
    };
    let by_session = matches!(view.saved(name), Some(Saved::Transfer(_)));
    let lm = declared("lm.base").filter(|_| by_session);
    MarkBase {
        window: view.window(name),
        first: view
            .begun(name)
            .filter(|_| lm.is_none_or(|base| base == "first-chunk")),
        bye: view
            .ended(name)
            .filter(|_| lm.is_none_or(|base| base == "bye")),
        elsewhere: matches!(lm, Some("first-chunk" | "bye")),
        date: (declared("expire.base") == Some("date"))
            .then(date)
            .flatten(),
    }
}

fn rule_on_body(
    sheet: &Sheet<'_, '_>,
    step: &Step,
    matcher: &Matcher,
    record: &StoredMessage,
) -> Ruling {
    let content = content_of(record);
    let observed = match (&record.body, &record.body_digest) {
        (Field::Known(body), _) => Observed::one(body.to_vec()),
        (_, Field::Known(digest)) => Observed::Unknown(format!(
            "the store adapter shows only number and digest of the {} octets",
            digest.octets
        )),
        (Field::Absent, _) => Observed::one(Vec::new()),
        (Field::Unknown, _) => Observed::Unknown("the store adapter cannot read `body`".into()),
    };
    let seen = BodySeen {
        content: content.as_ref(),
        delivered: false,
    };
    matcher::rule(sheet, matcher, &observed, &Subject::Body(seen), &step.path)
}

/// Whether an entry is about a message that was sent through a session.
fn of_session(sheet: &Sheet<'_, '_>, step: &Step, expected: &RecordMatcher) -> bool {
    let name = expected
        .of
        .as_ref()
        .and_then(|of| sheet.view.text(of, &step.path).ok());
    let saved = name.and_then(|name| sheet.view.saved(&name));
    matches!(saved, Some(Saved::Transfer(_) | Saved::Frame { .. }))
}

fn aspect_of(key: RecordKey) -> Aspect {
    match key {
        RecordKey::RequestUri => Aspect::StoredHeader,
        RecordKey::MessageId => Aspect::MessageId,
        RecordKey::Mark
        | RecordKey::ReceivedAt
        | RecordKey::State
        | RecordKey::Account
        | RecordKey::Mode => Aspect::Any,
    }
}

fn observe(record: &StoredMessage, key: RecordKey) -> (&'static str, Observed) {
    let of = |field| match field_of(record, field) {
        Value::Octets(octets) => Observed::one(octets),
        Value::Unknown(why) => Observed::Unknown(why),
        Value::Absent | Value::List(_) => Observed::Known(Vec::new()),
    };
    match key {
        RecordKey::MessageId => ("Message-ID", of(RecordField::MessageId)),
        RecordKey::Mark => ("mark", mark(record)),
        RecordKey::ReceivedAt => ("receipt time", of(RecordField::ReceivedAt)),
        RecordKey::State => ("state", of(RecordField::State)),
        RecordKey::Account => ("account", of(RecordField::Account)),
        RecordKey::Mode => {
            let observed = match record.mode {
                Field::Known(mode) => Observed::one(mode_name(mode)),
                Field::Absent => Observed::Known(Vec::new()),
                Field::Unknown => {
                    Observed::Unknown("the store adapter cannot read how a message came".into())
                }
            };
            ("mode", observed)
        }
        RecordKey::RequestUri => {
            // A record of a session keeps the first line of its INVITE, where it keeps one.
            let line = match record.invite.known() {
                Some(invite) => &invite.start_line,
                None => &record.start_line,
            };
            let observed = match line {
                Field::Known(line) => match line.split(|octet| *octet == b' ').nth(1) {
                    Some(uri) => Observed::one(uri.to_vec()),
                    None => Observed::Known(Vec::new()),
                },
                Field::Absent => Observed::Known(Vec::new()),
                Field::Unknown => {
                    Observed::Unknown("the store adapter cannot read the start line".into())
                }
            };
            ("stored Request-URI", observed)
        }
    }
}

/// The mark as observed: a lifetime, an instant where the lifetime cannot be computed, `none`.
fn mark(record: &StoredMessage) -> Observed {
    match (&record.expire, field_of(record, RecordField::Mark)) {
        (Field::Unknown, _) => Observed::Unknown("the store adapter cannot read `mark`".into()),
        (_, Value::Octets(octets)) => Observed::one(octets),
        (Field::Known(expire), _) => match expire.at {
            Some(at) => Observed::one(at.to_string()),
            None => Observed::Unknown(
                "the store adapter gives neither a lifetime nor an instant".into(),
            ),
        },
        (Field::Absent, _) => Observed::one("none"),
    }
}
