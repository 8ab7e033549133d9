//! What lies in the store.

use imspec_reports::record::trace::StoreResult;
use imspec_reports::record::{Field, Mode, Observation, StoredMessage, UtcTime, Verdict};
use imspec_wire::sip::typed::SipDate;
use imspec_wire::sip::{Message, name};

use super::aspect::Aspect;
use super::matcher::{self, MarkBase, Subject};
use super::outcome::{Observed, Ruling, Seen};
use super::{Entry, Sheet, compare};
use crate::evidence::record::{Found, assign, waits};
use crate::evidence::{Value, View, field_of, state_name};
use crate::scenario::model::{
    HeaderMatcher, Matcher, Presence, RecordKey, RecordMatcher, Step, Stored,
};
use crate::scenario::template::RecordField;

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

/// The names of `sent` that `same-as` compares, each once, in order.
pub(super) fn names_to_compare(sent: &Message, except: &[String], delivered: bool) -> Vec<String> {
    let left_out = |header: &str| {
        let in_set = |set: &[&str]| set.iter().any(|one| name::same(one, header));
        (delivered && (in_set(NEW_REQUEST) || in_set(HOP_BY_HOP)))
            || except.iter().any(|one| match one.as_str() {
                "hop-by-hop" => in_set(HOP_BY_HOP),
                one => name::same(one, header),
            })
    };
    let mut names: Vec<String> = Vec::new();
    for header in sent.headers() {
        let canonical = header.canonical_name();
        if !left_out(&canonical) && !names.iter().any(|known| name::same(known, &canonical)) {
            names.push(canonical.into_owned());
        }
    }
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
        let entry = Entry::of(step, "record", Observation::Store).about(Aspect::Presence);
        sheet.write(
            entry
                .at(&expected.at)
                .covers(expected.covers.as_ref())
                .seen_in(event.id),
            ruling,
        );
        if let Some(record) = record {
            fields(sheet, step, expected, record, event.id);
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
    let sent = of.as_deref().and_then(|name| sheet.view.message(name));
    let which = of.map_or_else(|| "a message".to_owned(), |name| format!("`{name}`"));
    let record = found.record(records);
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
            "the store adapter reads neither body nor Call-ID, so records cannot be told apart"
                .into();
    } else if !holds && record.is_some_and(|record| record.state == Field::Unknown) {
        return unsure_of_state(ruling);
    }
    ruling
}

fn unsure_of_state(ruling: Ruling) -> Ruling {
    Ruling {
        verdict: Verdict::Inconclusive,
        ..ruling.note("the store adapter cannot read `state`, so a record may not wait any more")
    }
}

fn fields(
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
    let declared_date = sheet
        .context
        .pics
        .get("expire.base")
        .and_then(|v| v.as_str())
        == Some("date");
    let base = MarkBase {
        window: of.as_deref().and_then(|name| sheet.view.window(name)),
        date: of
            .filter(|_| declared_date)
            .and_then(|name| sheet.view.message(&name))
            .and_then(|(_, sent)| sent.typed::<SipDate>()?.ok())
            .map(|date| UtcTime {
                unix_us: date.unix_seconds.saturating_mul(1_000_000),
            }),
    };
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
        let entry = Entry::of(step, subject_name, Observation::Store).about(aspect_of(*key));
        sheet.write(entry.at(&matcher.at).covers(covers).seen_in(event), ruling);
    }
    for matcher in &expected.headers {
        headers(sheet, step, matcher, record, event, covers);
    }
    if let Some(matcher) = &expected.body {
        let observed = match &record.body {
            Field::Known(body) => Observed::one(body.to_vec()),
            Field::Absent => Observed::one(Vec::new()),
            Field::Unknown => Observed::Unknown("the store adapter cannot read `body`".into()),
        };
        let ruling = matcher::rule(sheet, matcher, &observed, &Subject::Body, &step.path);
        let entry = Entry::of(step, "stored body", Observation::Store).about(Aspect::StoredBody);
        sheet.write(entry.at(&matcher.at).covers(covers).seen_in(event), ruling);
    }
}

fn headers(
    sheet: &mut Sheet<'_, '_>,
    step: &Step,
    matcher: &HeaderMatcher,
    record: &StoredMessage,
    event: u32,
    covers: Option<&Vec<String>>,
) {
    let subject_of = |name: &str| format!("stored header {name}");
    match matcher {
        HeaderMatcher::Named { name, matcher, at } => {
            let Ok(name) = sheet.view.text(name, &step.path) else {
                return;
            };
            let observed = stored_fields(record, &name);
            let subject = Subject::Header {
                name: &name,
                stored: true,
            };
            let ruling = matcher::rule(sheet, matcher, &observed, &subject, &step.path);
            let entry =
                Entry::of(step, subject_of(&name), Observation::Store).about(Aspect::StoredHeader);
            sheet.write(entry.at(at).covers(covers).seen_in(event), ruling);
        }
        HeaderMatcher::SameAs { of, except, at } => {
            let Some((sent_event, sent)) = sent(sheet.view, of, step) else {
                return;
            };
            let exact = sheet
                .context
                .pics
                .get("store.fidelity")
                .and_then(|v| v.as_str())
                == Some("octet");
            for name in names_to_compare(&sent, except, false) {
                let mut ruling = match stored_fields(record, &name) {
                    Observed::Known(seen) => compare::header(&name, &sent, &seen, exact, true),
                    Observed::Unknown(why) => Ruling::new(
                        Verdict::Inconclusive,
                        format!("{name} as in the message sent"),
                        why,
                    ),
                };
                ruling.against = Some(sent_event);
                let entry = Entry::of(step, subject_of(&name), Observation::Store)
                    .about(Aspect::StoredHeader);
                sheet.write(entry.at(at).covers(covers).seen_in(event), ruling);
            }
        }
    }
}

fn sent(view: &View<'_>, of: &crate::scenario::Template, step: &Step) -> Option<(u32, Message)> {
    let name = view.text(of, &step.path).ok()?;
    view.message(&name)
        .map(|(event, message)| (event.id, message))
}

fn stored_fields(record: &StoredMessage, header: &str) -> Observed {
    let seen: Vec<Seen> = record
        .headers
        .iter()
        .filter(|stored| name::same(&stored.name, header))
        .map(|stored| Seen {
            name: stored.name.clone(),
            ..Seen::value(stored.value.to_vec())
        })
        .collect();
    if seen.is_empty() && !record.headers_complete {
        return Observed::Unknown(format!(
            "the store adapter cannot tell whether {header} is stored"
        ));
    }
    Observed::Known(seen)
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
                Field::Known(Mode::Pager) => Observed::one("pager"),
                Field::Known(Mode::Session) => Observed::one("session"),
                Field::Absent => Observed::Known(Vec::new()),
                Field::Unknown => {
                    Observed::Unknown("the store adapter cannot read how a message came".into())
                }
            };
            ("mode", observed)
        }
        RecordKey::RequestUri => {
            let observed = match &record.start_line {
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
